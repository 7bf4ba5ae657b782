//! What a real server and its client do to whoever trusts them: lost answers, cut connections, silence, polite ends, leaders that change or die, answers that
//! nobody understands. These need a server that fails on command, so they run on the stand-in only.

mod server;
mod standin;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::log::{AppendError, EventStore, Expected, Filter, Position, Revision, StoreError, StoredEvent};
use domain::testing::event_store::{event, stream, typed};
use domain::testing::id;
use esdb::{EsdbStore, EsdbUrl, Patience};
use futures::future::join_all;
use futures::{FutureExt as _, StreamExt as _};
use standin::StandIn;

/// For tests in which nobody answers.
const HASTE: Patience = Patience { deadline: Duration::from_millis(300), total: Duration::from_millis(900) };
/// For tests in which somebody answers in the end.
const CALM: Patience = Patience { deadline: Duration::from_secs(3), total: Duration::from_secs(30) };

async fn open(stand_in: &StandIn, patience: Patience) -> Arc<EsdbStore> {
    let url: EsdbUrl = stand_in.url().parse().unwrap();
    Arc::new(EsdbStore::open(&url, patience).await.unwrap())
}

async fn whole_log(store: &EsdbStore) -> Vec<StoredEvent> {
    let (mut after, mut events) = (Position(0), Vec::new());
    loop {
        let page = store.read_all(after, &Filter::All, 50).await.unwrap();
        if page.scanned_to <= after {
            return events;
        }
        after = page.scanned_to;
        events.extend(page.events);
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, AppendError>) -> String {
    match result {
        Err(AppendError::Store(StoreError::Unavailable { reason })) => reason,
        other => panic!("{other:?} is not an outage"),
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_event_is_there_once() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    stand_in.faults().lose_answers.store(2, Ordering::SeqCst);
    let landed = store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    assert_eq!((landed.revision, landed.repeated), (Revision(1), false), "it is this call that wrote it");
    assert_eq!(stand_in.faults().appends.load(Ordering::SeqCst), 3);
    assert_eq!(store.read_stream(&stream(1), Revision(0), 10).await.unwrap().len(), 2);
    let next = store.append(&stream(1), Expected::Exact(Revision(1)), vec![event(3)]).await.unwrap();
    assert_eq!(next.revision, Revision(2));
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn an_append_whose_answers_are_all_lost_says_that_it_may_be_there_and_a_repeat_finds_it() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, HASTE).await;
    stand_in.faults().lose_answers.store(u32::MAX, Ordering::SeqCst);
    let lost = reason(store.append(&stream(1), Expected::NoStream, vec![event(1)]).await);
    assert!(lost.contains("may have been done; ask again with the same ids"), "{lost}");
    stand_in.faults().lose_answers.store(0, Ordering::SeqCst);
    let calm = open(&stand_in, CALM).await;
    let again = calm.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert!(again.repeated);
    let mut other = event(1);
    other.payload.push(b'!');
    let refused = calm.append(&stream(1), Expected::NoStream, vec![other]).await;
    assert_eq!(refused, Err(AppendError::IdReused { stream: stream(1), event_id: id(1) }), "the server itself calls that done");
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn a_server_that_is_too_busy_is_asked_again() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    stand_in.faults().busy.store(3, Ordering::SeqCst);
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(whole_log(&store).await.len(), 1);
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    for n in 1..=5 {
        stand_in.drop_connections();
        store.append(&stream(n), Expected::NoStream, vec![event(n)]).await.unwrap();
    }
    assert_eq!(whole_log(&store).await.len(), 5);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time_and_found_again() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, HASTE).await;
    stand_in.be_silent(true);
    let begun = Instant::now();
    let silence = reason(store.append(&stream(1), Expected::NoStream, vec![event(1)]).await);
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    assert!(silence.contains("does not answer"), "{silence}");
    stand_in.be_silent(false);
    let calm = open(&stand_in, CALM).await;
    calm.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(whole_log(&calm).await.len(), 1, "what was asked in the silence came once at most");
}

#[tokio::test]
async fn callers_of_a_server_that_is_gone_hear_so_at_once() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, HASTE).await;
    stand_in.kill(0);
    for _ in 0..4 {
        assert!(store.head().await.is_err());
    }
    let begun = Instant::now();
    let mut quick = 0;
    for _ in 0..20 {
        let one = Instant::now();
        assert!(store.head().await.is_err());
        quick += u32::from(one.elapsed() < Duration::from_millis(20));
    }
    assert!(quick >= 15, "{quick} of 20 were quick, in {:?}", begun.elapsed());
}

#[tokio::test]
async fn another_node_that_leads_is_followed() {
    let stand_in = StandIn::cluster(3).await;
    let store = open(&stand_in, CALM).await;
    for (leader, n) in [(1, 1), (2, 2), (0, 3)] {
        stand_in.lead(leader);
        store.append(&stream(n), Expected::NoStream, vec![event(n)]).await.unwrap();
    }
    assert_eq!(whole_log(&store).await.len(), 3);
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_dies_under_load_and_what_was_acknowledged_is_there_once() {
    let stand_in = Arc::new(StandIn::cluster(3).await);
    let store = open(&stand_in, CALM).await;
    let writers = (1..=8_u128).map(|writer| {
        let (store, stand_in) = (store.clone(), stand_in.clone());
        async move {
            for n in 0..20_u64 {
                if (writer, n) == (3, 7) {
                    stand_in.faults().lose_answers.store(4, Ordering::SeqCst);
                    stand_in.kill(0);
                    tokio::task::yield_now().await;
                    stand_in.lead(1);
                }
                let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
                let new = event(writer * 1_000 + u128::from(n));
                // A caller comes again with the same ids until it knows.
                let landed = loop {
                    match store.append(&stream(writer), expected, vec![new.clone()]).await {
                        Ok(landed) => break landed,
                        Err(AppendError::Store(StoreError::Unavailable { .. })) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                };
                assert_eq!(landed.revision, Revision(n));
            }
        }
    });
    join_all(writers).await;
    let log = whole_log(&store).await;
    assert_eq!(log.len(), 8 * 20);
    assert_eq!(store.head().await.unwrap().events, 8 * 20);
    assert!(log.is_sorted_by(|a, b| a.position < b.position));
    stand_in.assert_no_sins();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_ends_politely_before_its_end_loses_nothing() {
    let stand_in = StandIn::start().await;
    let (writer, reader) = (open(&stand_in, CALM).await, open(&stand_in, CALM).await);
    let mut pages = reader.clone().subscribe_all(Position(0), Filter::All, 7);
    let mut seen = Vec::new();
    for n in 1..=60_u128 {
        stand_in.faults().end_reads.fetch_add(u32::from(n % 3 == 0), Ordering::SeqCst);
        if n % 10 == 0 {
            stand_in.drop_connections();
        }
        // Also where it is the reading back that ends before its end.
        assert!(!writer.append(&stream(n), Expected::NoStream, vec![event(n)]).await.unwrap().repeated);
        while let Some(Some(page)) = pages.next().now_or_never() {
            seen.extend(page.unwrap().events);
        }
    }
    while seen.len() < 60 {
        seen.extend(pages.next().await.unwrap().unwrap().events);
    }
    stand_in.faults().end_reads.store(0, Ordering::SeqCst);
    assert_eq!(seen, whole_log(&reader).await);
}

#[tokio::test]
async fn an_answer_over_which_the_client_panics_is_asked_for_again() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    stand_in.faults().odd_answers.store(2, Ordering::SeqCst);
    assert_eq!(store.read_stream(&stream(1), Revision(0), 10).await.unwrap().len(), 1);
    assert_eq!(stand_in.faults().odd_answers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_long_stretch_of_the_server_s_own_events_is_left_behind_once() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    let landed = store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    for _ in 0..5_000 {
        stand_in.cluster.log.lock().unwrap().own("$stats-127.0.0.1:2113", "$statsCollected");
    }
    let head = store.head().await.unwrap();
    assert_eq!((head.events, head.position), (1, landed.position), "only what is ours is counted");
    let end = store.read_all(landed.position, &Filter::All, 10).await.unwrap();
    assert_eq!((end.events.len(), end.scanned_to), (0, landed.position), "the end is where ours end");
    let before = stand_in.faults().calls.load(Ordering::SeqCst);
    store.read_all(landed.position, &Filter::All, 10).await.unwrap();
    assert_eq!(stand_in.faults().calls.load(Ordering::SeqCst) - before, 1, "the stretch is not read again");
    let (one, next) = (stream(2), vec![event(2)]);
    let (waited, appended) = futures::join!(store.wait_past(landed.position), store.append(&one, Expected::NoStream, next));
    waited.unwrap();
    let page = store.read_all(landed.position, &Filter::All, 10).await.unwrap();
    assert_eq!(page.scanned_to, appended.unwrap().position);
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn what_others_keep_on_the_server_is_not_the_ledger_s() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    let url = |name: &str| format!("{}&ledger={name}", stand_in.url()).parse::<EsdbUrl>().unwrap();
    let other = EsdbStore::open(&url("other"), CALM).await.unwrap();
    stand_in.cluster.log.lock().unwrap().stranger();
    store.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    other.append(&stream(1), Expected::NoStream, vec![event(2), event(3)]).await.unwrap();
    stand_in.cluster.log.lock().unwrap().stranger();
    assert_eq!((whole_log(&store).await.len(), whole_log(&other).await.len()), (1, 2));
    assert_eq!((store.head().await.unwrap().events, other.head().await.unwrap().events), (1, 2));
    let counted = store.count_types(Position(0), store.head().await.unwrap().position).await.unwrap();
    assert_eq!(counted.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn a_stranger_s_event_in_a_stream_of_the_ledger_is_damage_that_is_named() {
    let stand_in = StandIn::start().await;
    let store = open(&stand_in, CALM).await;
    stand_in.cluster.log.lock().unwrap().own(stream(1).as_str(), "somebody.wrote");
    let error = store.read_stream(&stream(1), Revision(0), 10).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { reason, .. } if reason.contains("not written by the ledger")), "{error}");
}

#[tokio::test]
async fn any_number_may_be_asked_for_though_the_server_takes_only_places_of_events() {
    let stand_in = StandIn::start().await;
    let writer = open(&stand_in, CALM).await;
    join_all((1..=600_u128).map(|n| {
        let writer = writer.clone();
        async move { writer.append(&stream(n), Expected::NoStream, vec![typed(n, "session.stopped")]).await.unwrap() }
    }))
    .await;
    let log = whole_log(&writer).await;
    // A process that has just come up and knows no place but those that it is asked for.
    let store = open(&stand_in, CALM).await;
    for asked in [1, 300, 598] {
        let (before, at) = (Position(log[asked].position.0 - 1), log[asked].position);
        assert_eq!(store.read_all(before, &Filter::All, 1).await.unwrap().events, [log[asked].clone()]);
        assert_eq!(store.read_all(at, &Filter::All, 1).await.unwrap().events, [log[asked + 1].clone()]);
        let middle = Position(at.0 + 1);
        assert_eq!(store.read_all(middle, &Filter::types(["session.stopped"]), 1).await.unwrap().events, [log[asked + 1].clone()]);
    }
    let beyond = store.read_all(Position(u64::MAX - 1), &Filter::All, 10).await.unwrap();
    assert_eq!((beyond.events.len(), beyond.scanned_to), (0, Position(u64::MAX - 1)));
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn two_processes_share_a_server() {
    let stand_in = StandIn::start().await;
    let (a, b) = (open(&stand_in, CALM).await, open(&stand_in, CALM).await);
    let first = a.append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(b.read_all(Position(0), &Filter::All, 10).await.unwrap().events.len(), 1);
    let waiting = b.wait_past(first.position);
    let (one, next) = (stream(1), vec![event(2)]);
    let (waited, appended) = futures::join!(waiting, a.append(&one, Expected::Exact(Revision(0)), next));
    waited.unwrap();
    assert_eq!(b.head().await.unwrap().position, appended.unwrap().position);
    // Each knows the end as it left it: the server knows better.
    b.append(&stream(1), Expected::Exact(Revision(1)), vec![event(3)]).await.unwrap();
    let stale = a.append(&stream(1), Expected::Exact(Revision(1)), vec![event(4)]).await;
    assert!(matches!(stale, Err(AppendError::Conflict { actual: Some(Revision(2)), .. })), "{stale:?}");
    let same = a.append(&stream(1), Expected::Exact(Revision(1)), vec![event(3)]).await.unwrap();
    assert!(same.repeated, "whoever wrote it");
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn a_server_before_22_6_gives_places_of_the_log_only_and_that_is_enough() {
    let stand_in = StandIn::start().await;
    stand_in.faults().is_old.store(true, Ordering::SeqCst);
    let store = open(&stand_in, CALM).await;
    let landed = store.append(&stream(1), Expected::NoStream, vec![event(1), event(2)]).await.unwrap();
    let log = whole_log(&store).await;
    assert!(landed.position >= log[1].position && landed.position.0 < u64::MAX, "whoever waits for it does not wait in vain");
    assert_eq!(store.head().await.unwrap().events, 2);
    stand_in.assert_no_sins();
}

#[tokio::test]
async fn an_account_is_given_as_it_is_meant_and_a_wrong_one_is_named() {
    let stand_in = StandIn::start().await;
    // admin:ch@nge
    *stand_in.faults().account.lock().unwrap() = Some("Basic YWRtaW46Y2hAbmdl".to_owned());
    let url = |account: &str| stand_in.url().replacen("://", &format!("://{account}"), 1).parse::<EsdbUrl>().unwrap();
    let opened = EsdbStore::open(&url("admin:ch%40nge@"), CALM).await;
    opened.unwrap().append(&stream(1), Expected::NoStream, vec![event(1)]).await.unwrap();
    let error = |result: Result<EsdbStore, esdb::OpenError>| result.err().unwrap().to_string();
    let wrong = error(EsdbStore::open(&url("admin:secret@"), CALM).await);
    assert!(wrong.contains("refuses the account") && !wrong.contains("secret"), "{wrong}");
    let none = error(EsdbStore::open(&url(""), CALM).await);
    assert!(none.contains("wants an account"), "{none}");
}

#[tokio::test]
async fn a_server_that_is_not_there_or_speaks_no_tls_is_named_with_what_to_look_at() {
    let stand_in = StandIn::start().await;
    let open = |text: String| async move {
        let url: EsdbUrl = text.parse().unwrap();
        EsdbStore::open(&url, HASTE).await.err().unwrap().to_string()
    };
    let plain = open(stand_in.url().replace("tls=false", "tls=true")).await;
    assert!(plain.contains("tls=false"), "{plain}");
    stand_in.kill(0);
    let gone = open(stand_in.url()).await;
    assert!(gone.contains("is it running"), "{gone}");
}
