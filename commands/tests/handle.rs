//! One way in for every aggregate: what is done once, what is refused, and what is tried again.

mod support;

use std::sync::atomic::Ordering;

use commands::HandleError;
use domain::connector::{Connector, ConnectorCommand, ConnectorError, ConnectorEvent};
use domain::ids::{ConnectorId, EventId, PileId, SessionId, StationId};
use domain::log::{EventStore as _, Expected, NewEvent, Revision, StreamId};
use domain::testing::{at, id};
use domain::wallet::{Wallet, WalletCommand};
use support::{BreakableStore, Fault, broken, command, ledger, ledger_with_cache};

fn stream() -> StreamId {
    StreamId::connector(id(4))
}

fn register() -> ConnectorCommand {
    ConnectorCommand::Register { connector_id: id::<ConnectorId>(4), pile_id: id::<PileId>(3), station_id: id::<StationId>(2), number: 1 }
}

fn occupy(session: u128) -> ConnectorCommand {
    ConnectorCommand::Occupy { session_id: id::<SessionId>(session) }
}

fn release(session: u128) -> ConnectorCommand {
    ConnectorCommand::Release { session_id: id::<SessionId>(session) }
}

fn occupied(session: u128) -> ConnectorEvent {
    ConnectorEvent::Occupied { connector_id: id(4), station_id: id(2), session_id: id(session) }
}

const REGISTERED: &str = "connector.registered";
const OCCUPIED: &str = "connector.occupied";
const RELEASED: &str = "connector.released";

#[tokio::test]
async fn a_command_becomes_events_that_carry_its_id() {
    let store = BreakableStore::new();
    let done = ledger(&store).handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    assert_eq!((done.revision, done.repeated), (Some(Revision(0)), false));
    let [stored] = &store.stream(&stream()).await[..] else { panic!() };
    assert_eq!(stored.metadata.command_id, id(1));
    assert_eq!(stored.metadata.event_id, EventId::of(id(1), 0));
    assert_eq!(done.position, Some(stored.position));
}

#[tokio::test]
async fn who_was_slower_decides_again_on_what_the_faster_one_did() {
    let store = BreakableStore::new();
    let (one, other) = (ledger(&store), ledger(&store));
    one.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    other.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    one.handle::<Connector>(&stream(), ConnectorCommand::ReportOffline, &command(3)).await.unwrap();
    // The first knows nothing of the occupation but for the conflict, which must have been read.
    let done = one.load::<Connector>(&stream()).await.unwrap();
    assert_eq!(done.state.occupant(), Some(id(11)));
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED, "connector.went_offline"]);
}

#[tokio::test]
async fn of_two_ledgers_one_gets_the_connector() {
    let store = BreakableStore::new();
    let (one, other) = (ledger(&store), ledger(&store));
    one.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    other.load::<Connector>(&stream()).await.unwrap();
    one.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    let second = other.handle::<Connector>(&stream(), occupy(12), &command(3)).await;
    assert_eq!(second, Err(HandleError::Refused(ConnectorError::Occupied { session: id(11) })));
}

#[tokio::test]
async fn a_command_again_is_answered_with_what_it_did() {
    let store = BreakableStore::new();
    let warm = ledger(&store);
    warm.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let first = warm.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    warm.handle::<Connector>(&stream(), release(11), &command(3)).await.unwrap();
    for ledger in [warm, ledger(&store)] {
        // Decided anew, it would occupy the connector a second time.
        let again = ledger.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
        assert_eq!((again.events, again.revision, again.position), (vec![occupied(11)], first.revision, first.position));
        assert!(again.repeated);
        assert_eq!(again.state.occupant(), None, "the state is the newest, not the one of then");
    }
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED, RELEASED]);
}

#[tokio::test]
async fn a_lost_answer_is_found_again_by_whoever_asks_again() {
    for retries_elsewhere in [false, true] {
        let store = BreakableStore::new();
        let first = ledger(&store);
        first.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
        store.next([Fault::LostAnswer]);
        let lost = first.handle::<Connector>(&stream(), occupy(11), &command(2)).await;
        assert_eq!(lost, Err(HandleError::Store(broken())));
        assert!(lost.unwrap_err().is_retryable());
        let elsewhere = ledger(&store);
        let again = if retries_elsewhere { &elsewhere } else { &first };
        let done = again.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
        assert!(done.repeated);
        assert_eq!((done.events, done.state.occupant()), (vec![occupied(11)], Some(id(11))));
        assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED]);
    }
}

#[tokio::test]
async fn a_lost_answer_is_found_again_at_another_time() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    store.next([Fault::LostAnswer]);
    ledger.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap_err();
    // A client that repeats its request does so later: the engine takes that for another body under the same id.
    let mut later = command(2);
    later.occurred_at = at("2026-03-01T08:00:07Z");
    let done = ledger.handle::<Connector>(&stream(), occupy(11), &later).await.unwrap();
    assert!(done.repeated);
    assert_eq!(store.stream(&stream()).await[1].metadata.occurred_at, command(2).occurred_at, "what is recorded stands");
}

#[tokio::test]
async fn what_was_not_written_is_written_by_the_retry() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    store.next([Fault::Before]);
    assert_eq!(ledger.handle::<Connector>(&stream(), register(), &command(1)).await, Err(HandleError::Store(broken())));
    let done = ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    assert!(!done.repeated);
    assert_eq!(store.types(&stream()).await, [REGISTERED]);
}

#[tokio::test]
async fn a_refusal_counts_only_against_the_newest_state() {
    let store = BreakableStore::new();
    let (one, other) = (ledger(&store), ledger(&store));
    one.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    one.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    other.handle::<Connector>(&stream(), release(11), &command(3)).await.unwrap();
    let done = one.handle::<Connector>(&stream(), occupy(12), &command(4)).await.unwrap();
    assert_eq!(done.events, [occupied(12)]);
}

#[tokio::test]
async fn that_nothing_changes_counts_only_against_the_newest_state() {
    let store = BreakableStore::new();
    let (one, other) = (ledger(&store), ledger(&store));
    one.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    other.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    // As far as the first knows the connector is free, and a release changes nothing. It would stay occupied for ever.
    one.handle::<Connector>(&stream(), release(11), &command(3)).await.unwrap();
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED, RELEASED]);
    let nothing = one.handle::<Connector>(&stream(), release(11), &command(4)).await.unwrap();
    assert_eq!((nothing.events.len(), nothing.position), (0, None));
}

#[tokio::test]
async fn an_id_that_another_command_took_is_refused_loudly() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    // Somebody wrote the event that command 2 would write, under another command.
    let mut foreign = store.stream(&stream()).await[0].metadata.clone();
    (foreign.event_id, foreign.command_id) = (EventId::of(id(2), 0), id(99));
    let event = NewEvent::encode(&occupied(12).into(), foreign);
    store.inner.append(&stream(), Expected::Exact(Revision(0)), vec![event]).await.unwrap();
    let reused = ledger.handle::<Connector>(&stream(), ConnectorCommand::ReportOffline, &command(2)).await;
    assert_eq!(reused, Err(HandleError::CommandReused { command_id: id(2), stream: stream() }));
    assert!(!reused.unwrap_err().is_retryable());
}

#[tokio::test]
async fn retries_are_bounded() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    store.always(Fault::Conflict);
    let before = store.appends.load(Ordering::SeqCst);
    let busy = ledger.handle::<Connector>(&stream(), occupy(11), &command(2)).await;
    assert_eq!(busy, Err(HandleError::Busy { stream: stream() }));
    assert!(busy.unwrap_err().is_retryable());
    assert_eq!(store.appends.load(Ordering::SeqCst) - before, 32);
}

#[tokio::test]
async fn what_the_cache_dropped_is_read_again() {
    let store = BreakableStore::new();
    let ledger = ledger_with_cache(&store, 1);
    for user in 0..200 {
        let top_up = WalletCommand::TopUp { user_id: id(user), payment_id: id(user), amount: "1.00".parse().unwrap() };
        ledger.handle::<Wallet>(&StreamId::wallet(id(user)), top_up, &command(user)).await.unwrap();
    }
    for user in 0..200 {
        let wallet = ledger.load::<Wallet>(&StreamId::wallet(id(user))).await.unwrap();
        assert_eq!((wallet.state.balance().to_string(), wallet.revision), ("1.00".to_owned(), Some(Revision(0))));
        let top_up = WalletCommand::TopUp { user_id: id(user), payment_id: id(user), amount: "1.00".parse().unwrap() };
        assert!(ledger.handle::<Wallet>(&StreamId::wallet(id(user)), top_up, &command(user)).await.unwrap().repeated);
    }
}

#[tokio::test]
async fn what_the_cache_has_is_not_read_again() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let before = store.reads.load(Ordering::SeqCst);
    ledger.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap();
    assert_eq!(store.reads.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_long_stream_is_read_to_its_end() {
    let store = BreakableStore::new();
    let writer = ledger(&store);
    writer.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    for n in 0..600 {
        writer.handle::<Connector>(&stream(), occupy(n), &command(1_000 + 2 * n)).await.unwrap();
        writer.handle::<Connector>(&stream(), release(n), &command(1_001 + 2 * n)).await.unwrap();
    }
    let cold = ledger(&store);
    assert_eq!(cold.load::<Connector>(&stream()).await.unwrap().revision, Some(Revision(1_200)));
    assert!(cold.handle::<Connector>(&stream(), occupy(0), &command(1_000)).await.unwrap().repeated);
    assert!(cold.has_done::<Connector>(&stream(), id(2_199)).await.unwrap());
    assert!(!cold.has_done::<Connector>(&stream(), id(2_200)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_on_one_stream_at_once_all_count_once() {
    let store = BreakableStore::new();
    let wallet = StreamId::wallet(id(6));
    let ledgers = [std::sync::Arc::new(ledger(&store)), std::sync::Arc::new(ledger(&store))];
    let tasks = (0..120_u128).map(|n| {
        // Every command comes twice, once to each of two processes.
        let (ledger, wallet) = (ledgers[usize::try_from(n % 2).unwrap()].clone(), wallet.clone());
        tokio::spawn(async move {
            let top_up = WalletCommand::TopUp { user_id: id(6), payment_id: id(n / 2), amount: "1.00".parse().unwrap() };
            loop {
                match ledger.handle::<Wallet>(&wallet, top_up.clone(), &command(n / 2)).await {
                    Ok(_) => return,
                    Err(error) => assert!(error.is_retryable(), "{error}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let wallet = ledger(&store).load::<Wallet>(&wallet).await.unwrap();
    assert_eq!((wallet.state.balance().to_string(), wallet.revision), ("60.00".to_owned(), Some(Revision(59))));
}

#[tokio::test]
async fn the_only_writer_reads_a_stream_once() {
    let store = BreakableStore::new();
    let ledger = ledger(&store).as_only_writer();
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let reads = store.reads.load(Ordering::SeqCst);
    ledger.handle::<Connector>(&stream(), occupy(7), &command(2)).await.unwrap();
    // A refusal, too, is by the newest state already.
    let refused = ledger.handle::<Connector>(&stream(), occupy(8), &command(3)).await;
    assert!(matches!(refused, Err(HandleError::Refused(ConnectorError::Occupied { .. }))), "{refused:?}");
    assert_eq!(ledger.load::<Connector>(&stream()).await.unwrap().state.occupant(), Some(id(7)));
    assert_eq!(store.reads.load(Ordering::SeqCst), reads);
    // Who began it knows how it began.
    assert_eq!(ledger.origin(&stream()).await.unwrap().unwrap().command_id, id(1));
    assert_eq!(store.reads.load(Ordering::SeqCst), reads);
}

#[tokio::test]
async fn how_a_stream_began_is_read_once() {
    let store = BreakableStore::new();
    ledger(&store).handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let ledger = ledger(&store);
    let reads = store.reads.load(Ordering::SeqCst);
    assert_eq!(ledger.origin(&stream()).await.unwrap().unwrap().command_id, id(1));
    assert_eq!(ledger.origin(&stream()).await.unwrap().unwrap().command_id, id(1));
    assert_eq!(store.reads.load(Ordering::SeqCst), reads + 1);
}

#[tokio::test]
async fn a_stream_that_begins_is_not_looked_for_first() {
    let store = BreakableStore::new();
    ledger(&store).handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    assert_eq!(store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stream_that_turns_out_to_be_there_is_read_and_decided_on_anew() {
    let store = BreakableStore::new();
    let wallet = StreamId::wallet(id(6));
    let top_up = |payment| WalletCommand::TopUp { user_id: id(6), payment_id: id(payment), amount: "1.00".parse().unwrap() };
    ledger(&store).handle::<Wallet>(&wallet, top_up(1), &command(1)).await.unwrap();
    let done = ledger(&store).handle::<Wallet>(&wallet, top_up(2), &command(2)).await.unwrap();
    assert_eq!((done.state.balance().to_string(), done.revision, done.repeated), ("2.00".to_owned(), Some(Revision(1)), false));
    // The first command again, by somebody who knows nothing of the stream: what came after it is not forgotten.
    let again = ledger(&store).as_only_writer();
    let done = again.handle::<Wallet>(&wallet, top_up(1), &command(1)).await.unwrap();
    assert_eq!((done.state.balance().to_string(), done.revision, done.repeated), ("2.00".to_owned(), Some(Revision(0)), true));
    assert_eq!(again.load::<Wallet>(&wallet).await.unwrap().revision, Some(Revision(1)));
}

#[tokio::test]
async fn several_commands_are_decided_one_after_the_other_and_written_at_once() {
    let store = BreakableStore::new();
    let ledger = ledger(&store);
    let commands = [(register(), command(1)), (occupy(7), command(2)), (release(7), command(3)), (release(7), command(4))];
    let before = store.appends.load(Ordering::SeqCst);
    let done = ledger.handle_all::<Connector>(&stream(), &commands).await.unwrap();
    assert_eq!((done.events.len(), done.revision, done.repeated), (3, Some(Revision(2)), false));
    assert_eq!(done.state, ledger.load::<Connector>(&stream()).await.unwrap().state);
    assert_eq!(store.appends.load(Ordering::SeqCst), before + 1);
    let ids: Vec<_> = store.stream(&stream()).await.iter().map(|stored| stored.metadata.event_id).collect();
    assert_eq!(ids, [EventId::of(id(1), 0), EventId::of(id(2), 0), EventId::of(id(3), 0)]);
}

#[tokio::test]
async fn when_one_of_several_commands_is_refused_none_is_done() {
    let store = BreakableStore::new();
    let refused = ledger(&store)
        .handle_all::<Connector>(&stream(), &[(register(), command(1)), (occupy(7), command(2)), (occupy(8), command(3))])
        .await;
    assert!(matches!(refused, Err(HandleError::Refused(ConnectorError::Occupied { .. }))), "{refused:?}");
    assert!(store.stream(&stream()).await.is_empty());
}

#[tokio::test]
async fn several_commands_again_are_answered_with_what_they_did() {
    let store = BreakableStore::new();
    let commands = [(register(), command(1)), (occupy(7), command(2))];
    for fault in [Fault::LostAnswer, Fault::Before] {
        store.next([fault]);
        let _ = ledger(&store).handle_all::<Connector>(&stream(), &commands).await;
    }
    for ledger in [ledger(&store), ledger(&store).as_only_writer()] {
        let again = ledger.handle_all::<Connector>(&stream(), &commands).await.unwrap();
        assert_eq!((again.events.len(), again.revision, again.repeated), (2, Some(Revision(1)), true));
    }
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED]);
}

#[tokio::test]
async fn of_several_commands_only_those_are_done_that_had_not_been_done_alone() {
    let store = BreakableStore::new();
    ledger(&store).handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    ledger(&store).handle::<Connector>(&stream(), occupy(7), &command(2)).await.unwrap();
    let commands = [(register(), command(1)), (occupy(7), command(2)), (release(7), command(3))];
    let done = ledger(&store).handle_all::<Connector>(&stream(), &commands).await.unwrap();
    assert_eq!((done.events.len(), done.repeated), (1, false));
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED, RELEASED]);
}

#[tokio::test]
async fn after_a_lost_answer_the_only_writer_looks_again() {
    let store = BreakableStore::new();
    let ledger = ledger(&store).as_only_writer();
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    store.next([Fault::LostAnswer]);
    ledger.handle::<Connector>(&stream(), occupy(7), &command(2)).await.unwrap_err();
    assert_eq!(ledger.load::<Connector>(&stream()).await.unwrap().state.occupant(), Some(id(7)));
}

#[tokio::test]
async fn an_aggregate_that_is_worked_on_stays_in_the_cache() {
    let store = BreakableStore::new();
    let ledger = std::sync::Arc::new(ledger_with_cache(&store, 1).as_only_writer());
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let writers = (0..64_u128).map(|number| {
        let ledger = std::sync::Arc::clone(&ledger);
        let (stream, wanted) = if number % 2 == 0 { (stream(), occupy(7)) } else { (StreamId::connector(id(100 + number)), occupy(7)) };
        tokio::spawn(async move { ledger.handle::<Connector>(&stream, wanted, &command(10 + number)).await.map(|done| done.events.len()) })
    });
    let mut occupied = 0;
    for writer in writers.collect::<Vec<_>>() {
        occupied += writer.await.unwrap().unwrap_or(0);
    }
    assert_eq!(occupied, 1);
    assert_eq!(ledger.load::<Connector>(&stream()).await.unwrap().state.occupant(), Some(id(7)));
}

#[tokio::test]
async fn an_append_that_lands_late_is_not_overlooked_by_the_only_writer() {
    let store = BreakableStore::new();
    let ledger = ledger(&store).as_only_writer();
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    store.next([Fault::Late]);
    ledger.handle::<Connector>(&stream(), occupy(11), &command(2)).await.unwrap_err();
    // The stream is read before the append arrives: what was read then is not the newest for ever.
    assert_eq!(ledger.load::<Connector>(&stream()).await.unwrap().state.occupant(), None);
    store.land().await;
    ledger.handle::<Connector>(&stream(), release(11), &command(3)).await.unwrap();
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED, RELEASED]);
    let reads = store.reads.load(Ordering::SeqCst);
    ledger.load::<Connector>(&stream()).await.unwrap();
    assert_eq!(store.reads.load(Ordering::SeqCst), reads, "the doubt is over");
}

#[tokio::test]
async fn a_command_that_is_tied_to_a_revision_is_refused_when_somebody_was_faster_and_a_repetition_is_not() {
    let store = BreakableStore::new();
    let (one, other) = (ledger(&store), ledger(&store));
    one.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    let at = |revision| Some(Revision(revision));
    other.handle_at::<Connector>(&stream(), occupy(11), &command(2), at(0)).await.unwrap();
    // The first still has revision 0 in memory, and is told all the same: the append itself finds out.
    let late = one.handle_at::<Connector>(&stream(), ConnectorCommand::ReportOffline, &command(3), at(0)).await;
    assert_eq!(late, Err(HandleError::Moved { stream: stream(), revision: at(1) }));
    assert!(!late.unwrap_err().is_retryable());
    let again = other.handle_at::<Connector>(&stream(), occupy(11), &command(2), at(0)).await.unwrap();
    assert!(again.repeated);
    // Also one that would change nothing was not meant for what is there now.
    let nothing = other.handle_at::<Connector>(&stream(), occupy(11), &command(4), at(0)).await;
    assert_eq!(nothing, Err(HandleError::Moved { stream: stream(), revision: at(1) }));
    assert_eq!(store.types(&stream()).await, [REGISTERED, OCCUPIED]);
}
