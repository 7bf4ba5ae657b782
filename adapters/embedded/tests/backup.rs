//! Copies of a store that is being written to, and the way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use commands::port::SubjectKeys as _;
use domain::log::{EventStore as _, Expected, Filter, Position, StoreError};
use domain::testing::event_store::{event, stream};
use domain::testing::id;
use embedded::{EmbeddedStore, KeyStore, OpenError, Reader, backup, restore};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_store_that_is_being_written_to_is_whole() {
    let (place, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Arc::new(EmbeddedStore::open(place.path()).unwrap());
    let keys = KeyStore::open(place.path()).unwrap();
    keys.get_or_create(id(1), [7; 32]).await.unwrap();
    let append = |store: Arc<EmbeddedStore>, n: u128| async move {
        store.append(&stream(n), Expected::NoStream, vec![event(n)]).await.unwrap();
    };
    futures::future::join_all((0..2_000).map(|n| append(store.clone(), n))).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut n = 2_000;
            while !stop.load(Ordering::Relaxed) {
                append(store.clone(), n).await;
                n += 1;
            }
            n
        }
    });
    let (from, to) = (place.path().to_owned(), copies.path().join("monday"));
    let copied = tokio::task::spawn_blocking({
        let to = to.clone();
        move || backup(&from, &to, |_| ()).unwrap()
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    assert!(copied.log.events >= 2_000 && u128::from(copied.log.events) <= written);
    assert_eq!((copied.verified.events, copied.verified.fault, copied.has_keys), (copied.log.events, None, true));

    let restored = copies.path().join("restored");
    assert_eq!(restore(&to, &restored, |_| ()).unwrap().log.events, copied.log.events);
    let restored_store = EmbeddedStore::open(&restored).unwrap();
    let count = usize::try_from(copied.log.events).unwrap();
    let original = store.read_all(Position(0), &Filter::All, count).await.unwrap();
    assert_eq!(restored_store.read_all(Position(0), &Filter::All, count).await.unwrap(), original);
    restored_store.append(&stream(u128::MAX), Expected::NoStream, vec![event(u128::MAX >> 8)]).await.expect("it goes on from there");
    assert_eq!(KeyStore::open(&restored).unwrap().get(id(1)).await, Ok(Some([7; 32])));
}

#[tokio::test]
async fn nothing_is_ever_overwritten() {
    let (place, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = EmbeddedStore::open(place.path()).unwrap();
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let to = copies.path().join("a");
    backup(place.path(), &to, |_| ()).unwrap();
    assert!(matches!(backup(place.path(), &to, |_| ()), Err(OpenError::Exists { .. })));
    assert!(matches!(restore(&to, place.path(), |_| ()), Err(OpenError::Exists { .. })));
    let leftover = copies.path().join("b");
    std::fs::create_dir(&leftover).unwrap();
    std::fs::write(leftover.join("log.db-wal"), b"of a store that was here").unwrap();
    assert!(matches!(restore(&to, &leftover, |_| ()), Err(OpenError::Exists { .. })));
    assert!(matches!(backup(&copies.path().join("none"), &copies.path().join("c"), |_| ()), Err(OpenError::Missing { .. })));
}

#[tokio::test]
async fn a_damaged_log_makes_no_backup() {
    let (place, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = EmbeddedStore::open(place.path()).unwrap();
    store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    drop(store);
    let other = rusqlite::Connection::open(place.path().join("log.db")).unwrap();
    other.execute_batch("DROP TRIGGER events_are_never_changed; UPDATE events SET data = x'00' WHERE pos = 2").unwrap();
    let to = copies.path().join("a");
    let refused = backup(place.path(), &to, |_| ());
    assert!(matches!(refused, Err(OpenError::Store(StoreError::Damaged { position: Position(2), .. }))), "{refused:?}");
    assert!(matches!(Reader::open(&to), Err(OpenError::Missing { .. })), "half a backup does not look like one");
}
