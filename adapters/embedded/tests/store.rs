//! What the embedded store promises beyond the port: one writer, many readers, dense positions, a full disk, a log nobody can edit unseen.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::log::{AppendError, EventStore as _, Expected, Filter, Hash, Position, Revision, StoreError};
use domain::testing::event_store::{event, stream, typed};
use domain::time::Timestamp;
use embedded::{EmbeddedStore, Fault, OpenError, Options, Reader, replay};
use tempfile::TempDir;

fn fresh() -> (EmbeddedStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (EmbeddedStore::open(directory.path()).unwrap(), directory)
}

/// So many streams of three events.
async fn fill(store: &EmbeddedStore, streams: std::ops::Range<u128>) {
    let appends = streams.map(|n| async move {
        store.append(&stream(n), Expected::NoStream, vec![event(n * 10), event(n * 10 + 1)]).await.unwrap();
        store.append(&stream(n), Expected::Exact(Revision(1)), vec![typed(n * 10 + 2, "session.stopped")]).await.unwrap();
    });
    futures::future::join_all(appends).await;
}

#[cfg(unix)]
#[tokio::test]
async fn no_file_of_a_store_is_anybody_s_but_its_owner_s() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let _snapshots = embedded::SnapshotFile::open(directory.path()).unwrap();
    fill(&store, 1..3).await;
    let mut names = Vec::new();
    for file in std::fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
        names.push(file.file_name().into_string().unwrap());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{names:?}");
    }
    assert!(names.iter().any(|name| name == "log.db-wal") && names.iter().any(|name| name == "snapshots.db"), "{names:?}");
}

#[tokio::test]
async fn positions_are_dense_from_one() {
    let (store, _directory) = fresh();
    fill(&store, 1..50).await;
    let refused = store.append(&stream(1), Expected::NoStream, vec![event(9_999)]).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "a refusal takes no position");
    fill(&store, 50..60).await;
    let page = store.read_all(Position(0), &Filter::All, 1_000).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.position.0).collect::<Vec<_>>(), (1..=59 * 3).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_written_is_there_after_opening_again() {
    let (store, directory) = fresh();
    fill(&store, 1..20).await;
    let before = store.read_all(Position(0), &Filter::All, 1_000).await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(directory.path()).unwrap();
    assert_eq!(store.read_all(Position(0), &Filter::All, 1_000).await.unwrap(), before);
    let again = store.append(&stream(1), Expected::NoStream, vec![event(10), event(11)]).await.unwrap();
    assert!(again.repeated, "a repeat is known after opening again");
    let reused = store.append(&stream(1), Expected::Exact(Revision(2)), vec![event(11)]).await;
    assert!(matches!(reused, Err(AppendError::IdReused { .. })), "{reused:?}");
    let next = store.append(&stream(1), Expected::Exact(Revision(2)), vec![event(13)]).await.unwrap();
    assert_eq!(next.position, Position(19 * 3 + 1));
}

#[tokio::test]
async fn a_second_writer_is_refused_and_learns_who_holds_it() {
    let (store, directory) = fresh();
    let refused = EmbeddedStore::open(directory.path()).unwrap_err();
    let message = refused.to_string();
    assert!(matches!(&refused, OpenError::Locked { pid, .. } if *pid == std::process::id().to_string()), "{message}");
    drop(store);
    EmbeddedStore::open(directory.path()).expect("the lock goes with its holder");
}

#[tokio::test]
async fn a_reader_beside_the_writer_sees_what_comes() {
    let (store, directory) = fresh();
    fill(&store, 1..5).await;
    let reading = Arc::new(EmbeddedStore::open_read_only(directory.path()).unwrap());
    assert!(!reading.is_writing());
    assert_eq!(reading.head().await.unwrap(), store.head().await.unwrap());
    let refused = reading.append(&stream(99), Expected::NoStream, vec![event(1)]).await;
    assert_eq!(refused, Err(StoreError::ReadOnly.into()));
    let waiting = tokio::spawn({
        let reading = reading.clone();
        async move { reading.wait_past(Position(12)).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    fill(&store, 5..6).await;
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("it looks again").unwrap().unwrap();
    assert_eq!(reading.read_stream(&stream(5), Revision(0), 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn there_is_nothing_to_read_before_the_first_writer() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(EmbeddedStore::open_read_only(directory.path()), Err(OpenError::Missing { .. })));
    let other = rusqlite::Connection::open(directory.path().join("log.db")).unwrap();
    other.execute_batch("CREATE TABLE somebody_elses (x)").unwrap();
    assert!(matches!(EmbeddedStore::open(directory.path()), Err(OpenError::Foreign { .. })));
    assert!(matches!(EmbeddedStore::open_read_only(directory.path()), Err(OpenError::Foreign { .. })));
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_left_alone() {
    let (store, directory) = fresh();
    drop(store);
    edit(directory.path(), "PRAGMA user_version = 7");
    assert!(matches!(EmbeddedStore::open(directory.path()), Err(OpenError::TooNew { found: 7, known: 1, .. })));
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_not_a_corruption() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_max: Some(200 * 1024) };
    let store = EmbeddedStore::open_with(directory.path(), options).unwrap();
    let (mut written, mut refused) = (0, None);
    while refused.is_none() {
        let mut new = event(written);
        new.payload = vec![7; 3_000];
        match store.append(&stream(written), Expected::NoStream, vec![new]).await {
            Ok(_) => written += 1,
            Err(error) => refused = Some(error),
        }
    }
    let Some(AppendError::Store(StoreError::Unavailable { reason })) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("disk is full"), "{reason}");
    assert!(written > 10);
    assert_eq!(store.head().await.unwrap().events, u64::try_from(written).unwrap());
    let small = store.append(&stream(0), Expected::Exact(Revision(0)), vec![event(5_000_000)]).await;
    let small = u128::from(small.is_ok());
    drop(store);
    let store = EmbeddedStore::open(directory.path()).expect("there is space again");
    fill(&store, 10_000..10_010).await;
    let verified = store.reader().unwrap().verify(|_| ()).unwrap();
    assert_eq!((verified.fault, u128::from(verified.events)), (None, written + small + 30));
}

#[tokio::test]
async fn appends_work_again_in_the_same_process_when_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open_with(directory.path(), Options { bytes_max: Some(400 * 1024) }).unwrap();
    let mut large = event(1);
    large.payload = vec![7; 600 * 1024];
    let refused = store.append(&stream(1), Expected::NoStream, vec![large]).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Unavailable { .. }))), "{refused:?}");
    assert_eq!(store.append(&stream(1), Expected::NoStream, vec![event(2)]).await.unwrap().position, Position(1));
    fill(&store, 10..20).await;
    assert_eq!(store.reader().unwrap().verify(|_| ()).unwrap().fault, None);
}

/// What comes before a commit that fails, and what was to follow it: all at once, so that followers wait already when it fails.
#[tokio::test]
async fn what_was_to_follow_an_append_that_fails_fails_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open_with(directory.path(), Options { bytes_max: Some(2 << 20) }).unwrap());
    let (mut taken, mut failed) = (0, 0);
    for round in 0_u128..40 {
        // Each stream: four events, one after the other; of one of them, the second is more than the disk has room for.
        let mut asked = Vec::new();
        for n in 0..4_u128 {
            for of in 0..8 {
                let mut new = event(round * 100 + of * 10 + n);
                new.payload = if n == 1 && of == round % 8 { vec![7; 1_000_000] } else { vec![7; 100] };
                let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(u64::try_from(last).unwrap())));
                let (store, stream) = (Arc::clone(&store), stream(round * 100 + of));
                asked.push((of, tokio::spawn(async move { store.append(&stream, expected, vec![new]).await })));
            }
        }
        let mut answered = BTreeMap::<u128, Vec<bool>>::new();
        for (of, asked) in asked {
            answered.entry(of).or_default().push(asked.await.unwrap().is_ok());
        }
        for (of, answers) in answered {
            let there = store.read_stream(&stream(round * 100 + of), Revision(0), 10).await.unwrap();
            // Acknowledged is what is there, and nothing stands behind a hole.
            let acknowledged = answers.iter().take_while(|is_taken| **is_taken).count();
            assert_eq!(
                (there.len(), answers.iter().filter(|is_taken| **is_taken).count()),
                (acknowledged, acknowledged),
                "round {round}, stream {of}: {answers:?}"
            );
            taken += acknowledged;
            failed += answers.len() - acknowledged;
        }
    }
    assert!(taken > 100 && failed > 100, "{taken} taken, {failed} failed");
    assert_eq!(store.head().await.unwrap().events, u64::try_from(taken).unwrap());
    assert_eq!(store.reader().unwrap().verify(|_| ()).unwrap().fault, None);
}

#[tokio::test]
async fn the_log_refuses_update_and_delete() {
    let (store, directory) = fresh();
    fill(&store, 1..3).await;
    drop(store);
    let other = rusqlite::Connection::open(directory.path().join("log.db")).unwrap();
    for table in ["events", "streams", "types"] {
        for sql in [format!("DELETE FROM {table}"), format!("UPDATE {table} SET rowid = rowid + 100")] {
            let refused = other.execute(&sql, []).unwrap_err().to_string();
            assert!(refused.contains("append-only"), "{sql}: {refused}");
        }
    }
}

#[tokio::test]
async fn any_sqlite_tool_can_read_it() {
    let (store, directory) = fresh();
    store.append(&stream(7), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    let stored = store.read_stream(&stream(7), Revision(0), 10).await.unwrap();
    let other = rusqlite::Connection::open(directory.path().join("log.db")).unwrap();
    for event in stored {
        let sql = "SELECT stream, revision, type, actor, recorded_at, hash, prev_hash, event_id, command_id FROM readable_events WHERE position = ?";
        let row: Vec<String> = other
            .query_row(sql, [event.position.0 as i64], |row| {
                (0..9).map(|n| row.get::<_, rusqlite::types::Value>(n).map(|value| format!("{value:?}"))).collect()
            })
            .unwrap();
        let text = |text: &str| format!("Text({text:?})");
        let simple = |id: uuid::Uuid| text(&id.simple().to_string());
        let expected = [
            text(event.stream.as_str()),
            format!("Integer({})", event.revision),
            text("session.meter_read"),
            text("device:pile 7"),
            text("2023-11-14T22:13:20Z"),
            text(&event.hash.to_string()),
            text(&event.prev_hash.to_string()),
            simple(event.metadata.event_id.0),
            simple(event.metadata.command_id.0),
        ];
        assert_eq!(row, expected);
    }
}

/// Edits the file as somebody would who has the rights to: without the triggers.
fn edit(directory: &Path, sql: &str) {
    let other = rusqlite::Connection::open(directory.join("log.db")).unwrap();
    let triggers: Vec<String> = {
        let mut names = other.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for trigger in triggers {
        other.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
    }
    other.execute_batch(sql).unwrap();
}

fn first_fault(directory: &Path) -> Option<Fault> {
    Reader::open(directory).unwrap().verify(|_| ()).unwrap().fault
}

#[tokio::test]
async fn a_sound_log_verifies_and_tells_its_progress() {
    let (store, _directory) = fresh();
    fill(&store, 1..2_001).await;
    let mut told = Vec::new();
    let verified = store.reader().unwrap().verify(|progress| told.push((progress.done, progress.total))).unwrap();
    assert_eq!((verified.events, verified.streams, verified.head, verified.fault), (6_000, 2_000, Position(6_000), None));
    assert_eq!(told, [(0, 6_000), (4_096, 6_000), (6_000, 6_000)]);
}

#[tokio::test]
async fn every_edit_of_the_log_is_found_where_it_was_made() {
    let edits = [
        ("UPDATE events SET data = x'00' WHERE pos = 8", 8),
        ("UPDATE events SET occurred = occurred + 1 WHERE pos = 8", 8),
        ("UPDATE events SET recorded = recorded + 1 WHERE pos = 8", 8),
        ("UPDATE events SET version = 2 WHERE pos = 8", 8),
        ("UPDATE events SET type = 2 WHERE pos = 8", 8),
        ("UPDATE events SET id = randomblob(16) WHERE pos = 8", 8),
        ("UPDATE events SET meta = CAST(substr(meta, 1, 1) || x'04' || substr(meta, 3) AS BLOB) WHERE pos = 8", 8),
        ("UPDATE events SET meta = CAST(substr(meta, 1, 70) || x'ff' || substr(meta, 72) AS BLOB) WHERE pos = 8", 8),
        ("UPDATE events SET meta = CAST(meta || x'78' AS BLOB) WHERE pos = 8", 8),
        ("UPDATE events SET meta = x'01' WHERE pos = 8", 8),
        ("UPDATE streams SET name = 'session-other' WHERE no = 3", 7),
        ("UPDATE types SET name = 'session.other' WHERE no = 1", 1),
        ("DELETE FROM events WHERE pos = 8", 8),
        ("DELETE FROM events WHERE pos = 8; UPDATE events SET pos = pos - 1 WHERE pos > 8", 8),
        ("UPDATE events SET rev = 9 WHERE pos = 8", 8),
        ("DELETE FROM streams WHERE no = 3", 7),
        ("UPDATE events SET stream = 40 WHERE stream = 4", 10),
    ];
    for (sql, position) in edits {
        let (store, directory) = fresh();
        for n in 1..11 {
            fill(&store, n..n + 1).await;
        }
        drop(store);
        assert_eq!(first_fault(directory.path()), None);
        edit(directory.path(), sql);
        let fault = first_fault(directory.path());
        assert_eq!(fault.as_ref().map(|fault| fault.position), Some(Position(position)), "{sql}: {fault:?}");
        let refused = EmbeddedStore::open(directory.path());
        assert!(matches!(refused, Err(OpenError::Store(StoreError::Damaged { .. }))), "{sql}: {refused:?}");
        EmbeddedStore::open_read_only(directory.path()).expect("looking at the damage is always allowed");
    }
}

#[tokio::test]
async fn an_event_that_was_rewritten_with_a_new_hash_breaks_the_chain_after_it() {
    let (store, directory) = fresh();
    fill(&store, 1..2).await;
    let mut forged = store.read_stream(&stream(1), Revision(1), 1).await.unwrap().remove(0);
    drop(store);
    forged.payload = b"another amount".to_vec();
    let sql =
        "UPDATE events SET data = x'616e6f7468657220616d6f756e74', meta = CAST(substr(meta, 1, 34) || x'HASH' || substr(meta, 67) AS BLOB)
        WHERE pos = 2";
    edit(directory.path(), &sql.replace("HASH", &forged.computed_hash().to_string()));
    let fault = first_fault(directory.path()).unwrap();
    assert_eq!(fault.position, Position(3));
    assert!(fault.reason.contains("does not continue the chain"), "{}", fault.reason);
    assert!(matches!(EmbeddedStore::open(directory.path()), Err(OpenError::Store(StoreError::Damaged { position: Position(3), .. }))));
}

#[tokio::test]
async fn an_index_that_lacks_an_event_is_found() {
    let (store, directory) = fresh();
    fill(&store, 1..11).await;
    drop(store);
    let whole = "CREATE UNIQUE INDEX events_stream ON events (stream, rev)";
    let edits = format!(
        "DROP INDEX events_stream; {whole} WHERE pos <> 8; PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = '{whole}' WHERE name = 'events_stream'"
    );
    edit(directory.path(), &edits);
    let fault = first_fault(directory.path()).expect("a read of its stream would miss it");
    assert_eq!(fault.reason, "the index by stream has 29 of 30 events");
}

#[tokio::test]
async fn what_was_known_at_a_time_is_a_position() {
    let (store, _directory) = fresh();
    let time = |micros| Timestamp::from_micros(micros).unwrap();
    for (n, at) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
        let mut new = event(n);
        new.metadata.recorded_at = time(at);
        store.append(&stream(n), Expected::NoStream, vec![new]).await.unwrap();
    }
    let reader = store.reader().unwrap();
    let known = [5, 10, 19, 20, 25, 30, 99].map(|at| reader.position_at(time(at)).unwrap().0);
    assert_eq!(known, [0, 1, 1, 3, 3, 4, 4]);
}

#[tokio::test]
async fn info_tells_what_there_is() {
    let (store, directory) = fresh();
    assert_eq!(store.info().await.unwrap().first_recorded_at, None);
    fill(&store, 1..11).await;
    let info = store.info().await.unwrap();
    assert_eq!((info.events, info.head, info.streams, info.types, info.schema_version), (30, Position(30), 10, 2, 1));
    assert!(info.bytes > 0 && info.first_recorded_at.is_some() && info.last_recorded_at >= info.first_recorded_at);
    assert_eq!(info.path, directory.path());
}

#[tokio::test]
async fn a_replay_on_many_threads_is_in_the_order_of_the_log() {
    let (store, directory) = fresh();
    assert_eq!(replay(directory.path(), Position(0), &Filter::All, 2, |page| page).unwrap().count(), 0);
    fill(&store, 1..5_001).await;
    for (threads, after) in [(1, 0), (2, 0), (3, 7), (2, 14_999), (2, 15_000)] {
        let pages = replay(directory.path(), Position(after), &Filter::All, threads, |page| page).unwrap();
        let positions: Vec<u64> = pages.flat_map(|page| page.unwrap().events).map(|event| event.position.0).collect();
        assert_eq!(positions, (after + 1..=15_000).collect::<Vec<_>>());
    }
    let stopped = Filter::types(["session.stopped"]);
    let pages: Vec<_> = replay(directory.path(), Position(0), &stopped, 2, |page| page).unwrap().map(Result::unwrap).collect();
    assert_eq!(pages.iter().map(|page| page.events.len()).sum::<usize>(), 5_000);
    assert_eq!(pages.last().unwrap().scanned_to, Position(15_000));
}

#[tokio::test]
async fn a_replay_ends_at_what_it_cannot_read() {
    let (store, directory) = fresh();
    fill(&store, 1..5_001).await;
    drop(store);
    edit(directory.path(), "UPDATE events SET meta = x'01' WHERE pos = 9000");
    let pages: Vec<_> = replay(directory.path(), Position(0), &Filter::All, 2, |page| page.events.len()).unwrap().collect();
    assert!(matches!(&pages[..], [Ok(4_096), Ok(4_096), Err(StoreError::Damaged { position: Position(9_000), .. })]), "{pages:?}");
}

#[tokio::test]
async fn a_thread_scans_by_type_beside_the_writer() {
    let (store, directory) = fresh();
    fill(&store, 1..101).await;
    let seen = std::thread::spawn({
        let path = directory.path().to_owned();
        move || {
            let mut reader = Reader::open(path).unwrap();
            let (mut after, mut seen) = (Position(0), Vec::new());
            let head = reader.head().unwrap().position;
            while after < head {
                let page = reader.scan(after, &Filter::types(["session.stopped"]), 7).unwrap();
                after = page.scanned_to;
                seen.extend(page.events);
            }
            seen
        }
    })
    .join()
    .unwrap();
    assert_eq!(seen.len(), 100);
    assert!(seen.iter().all(|event| event.event_type.as_str() == "session.stopped" && event.revision == Revision(2)));
    assert!(seen.iter().all(|event| event.hash == event.computed_hash() && event.prev_hash != Hash::START));
}
