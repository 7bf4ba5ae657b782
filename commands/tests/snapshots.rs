//! An aggregate from a snapshot and what came after it is the aggregate folded from all, and a command of long ago is recognised all the same.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use commands::snapshot::Snapshots;
use commands::{HandleError, Ledger};
use domain::connector::{Connector, ConnectorCommand, ConnectorError};
use domain::log::{Revision, StreamId};
use domain::testing::id;
use domain::wallet::{Wallet, WalletCommand};
use memory::MemorySnapshots;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use support::{BreakableStore, command, ledger};

/// A process that begins anew, with what lies beside the log.
fn process(store: &Arc<BreakableStore>, snapshots: &Arc<MemorySnapshots>) -> Ledger {
    ledger(store).with_snapshots(Arc::clone(snapshots) as _, 10)
}

fn stream() -> StreamId {
    StreamId::connector(id(4))
}

fn register() -> ConnectorCommand {
    ConnectorCommand::Register { connector_id: id(4), pile_id: id(3), station_id: id(2), number: 1 }
}

fn occupy(session: u128) -> ConnectorCommand {
    ConnectorCommand::Occupy { session_id: id(session) }
}

fn release(session: u128) -> ConnectorCommand {
    ConnectorCommand::Release { session_id: id(session) }
}

/// Registered by command 1; session n comes with command 2n and goes with 2n + 1.
async fn used(store: &Arc<BreakableStore>, sessions: u128) {
    let ledger = ledger(store);
    ledger.handle::<Connector>(&stream(), register(), &command(1)).await.unwrap();
    for n in 1..=sessions {
        ledger.handle::<Connector>(&stream(), occupy(n), &command(2 * n)).await.unwrap();
        ledger.handle::<Connector>(&stream(), release(n), &command(2 * n + 1)).await.unwrap();
    }
}

/// How many reads of the stream a cold load takes, and what comes of it.
async fn cold(store: &Arc<BreakableStore>, snapshots: &Arc<MemorySnapshots>) -> (usize, commands::Loaded<Connector>) {
    let before = store.reads.load(Ordering::SeqCst);
    let loaded = process(store, snapshots).load::<Connector>(&stream()).await.unwrap();
    (store.reads.load(Ordering::SeqCst) - before, loaded)
}

#[tokio::test]
async fn a_long_stream_is_read_once_and_then_from_its_snapshot_on() {
    let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    used(&store, 1_000).await;
    let (reads, first) = cold(&store, &snapshots).await;
    assert!(reads >= 4, "{reads}");
    let (reads, again) = cold(&store, &snapshots).await;
    assert_eq!((reads, &again), (2, &first), "the snapshot's own event, and what came after it");
    assert_eq!(again.revision, Some(Revision(2_000)));
}

#[tokio::test]
async fn a_command_of_long_before_the_snapshot_is_a_repetition_and_a_new_one_is_not() {
    let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    used(&store, 300).await;
    cold(&store, &snapshots).await;
    for (n, what) in [(1, register()), (10, occupy(5)), (11, release(5)), (601, release(300))] {
        let done = process(&store, &snapshots).handle::<Connector>(&stream(), what, &command(n)).await.unwrap();
        assert_eq!((done.repeated, done.events.len(), done.revision), (true, 1, Some(Revision(u64::try_from(n - 1).unwrap()))));
        assert!(process(&store, &snapshots).has_done::<Connector>(&stream(), id(n)).await.unwrap());
    }
    assert!(!process(&store, &snapshots).has_done::<Connector>(&stream(), id(9_999)).await.unwrap());
    let new = process(&store, &snapshots).handle::<Connector>(&stream(), occupy(301), &command(9_999)).await.unwrap();
    assert_eq!((new.repeated, new.revision), (false, Some(Revision(601))));
}

#[tokio::test]
async fn a_command_that_only_looks_like_an_old_one_is_new() {
    let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    used(&store, 100).await;
    cold(&store, &snapshots).await;
    // The same words in another order have the same fingerprint.
    let twin = command(20 << 32);
    let process = process(&store, &snapshots);
    for _ in 0..2 {
        assert!(!process.has_done::<Connector>(&stream(), twin.command_id).await.unwrap());
    }
    let done = process.handle::<Connector>(&stream(), occupy(101), &twin).await.unwrap();
    assert!(!done.repeated);
    assert!(process.has_done::<Connector>(&stream(), twin.command_id).await.unwrap());
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_is_not_there() {
    let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    used(&store, 100).await;
    let (_, truth) = cold(&store, &snapshots).await;
    let good = snapshots.find(&stream()).await.unwrap().unwrap();
    // Each byte of it, changed; and all that is missing something.
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        snapshots.keep(&stream(), bad).await.unwrap();
        assert_eq!(cold(&store, &snapshots).await.1, truth, "byte {place}");
        // And it is made again.
        assert_eq!(snapshots.find(&stream()).await.unwrap().unwrap(), good, "byte {place}");
    }
    for length in [0, 1, 31, 32, 39, 83, good.len() - 1] {
        snapshots.keep(&stream(), good[..length].to_vec()).await.unwrap();
        assert_eq!(cold(&store, &snapshots).await.1, truth, "{length} bytes");
    }
    // Another ledger's: the stream has the same name there, and another past.
    let (other, theirs) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    let (code, n) = ("E1".to_owned(), 5_000);
    ledger(&other).handle::<Connector>(&stream(), register(), &command(n)).await.unwrap();
    ledger(&other).handle::<Connector>(&stream(), ConnectorCommand::ReportFaulted { code }, &command(n + 1)).await.unwrap();
    ledger(&other).handle::<Connector>(&stream(), ConnectorCommand::ReportFaultCleared, &command(n + 500)).await.unwrap();
    for session in 1..=99 {
        ledger(&other).handle::<Connector>(&stream(), occupy(session), &command(n + 2 * session)).await.unwrap();
        ledger(&other).handle::<Connector>(&stream(), release(session), &command(n + 2 * session + 1)).await.unwrap();
    }
    cold(&other, &theirs).await;
    snapshots.keep(&stream(), theirs.find(&stream()).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(cold(&store, &snapshots).await.1, truth);
    // A stream that was restored from before the snapshot.
    let shorter = BreakableStore::new();
    used(&shorter, 20).await;
    snapshots.keep(&stream(), good.clone()).await.unwrap();
    assert_eq!(cold(&shorter, &snapshots).await.1.revision, Some(Revision(40)));
    // Another stream's.
    snapshots.keep(&StreamId::connector(id(5)), good).await.unwrap();
    let loaded = process(&store, &snapshots).load::<Connector>(&StreamId::connector(id(5))).await.unwrap();
    assert_eq!((loaded.state, loaded.revision), (Connector::Absent, None));
}

#[tokio::test]
async fn whatever_happened_a_process_with_snapshots_knows_what_one_without_knows() {
    for seed in 0..10 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
        let wallet = StreamId::wallet(id(6));
        let mut with = process(&store, &snapshots);
        for n in 1..=120_u128 {
            if random.random_range(0..8) == 0 {
                with = process(&store, &snapshots);
            }
            // Some of them again, and some of them somebody else's.
            let number = if random.random_range(0..5) == 0 { random.random_range(1..=n) } else { n };
            let (plug, purse) = asked(seed, number);
            let somebody = ledger(&store);
            let by = if random.random() { &with } else { &somebody };
            let (before, repeats) = (store.stream(&stream()).await.len(), store.stream(&wallet).await.len());
            let plugged = by.handle::<Connector>(&stream(), plug, &command(number)).await;
            let held = by.handle::<Wallet>(&wallet, purse, &command(number)).await;
            if number < n {
                // What was done is not done again; what was refused then may be done now.
                let is_again = |done: bool, events: usize, length: usize| !done || events == length;
                assert!(is_again(plugged.is_ok_and(|done| done.repeated), before, store.stream(&stream()).await.len()), "seed {seed}");
                assert!(is_again(held.is_ok_and(|done| done.repeated), repeats, store.stream(&wallet).await.len()), "seed {seed}");
            }
            let cold = process(&store, &snapshots);
            let all = ledger(&store);
            let (one, other) = (cold.load::<Connector>(&stream()).await.unwrap(), all.load::<Connector>(&stream()).await.unwrap());
            assert_eq!(one, other, "seed {seed}, command {n}");
            let (one, other) = (cold.load::<Wallet>(&wallet).await.unwrap(), all.load::<Wallet>(&wallet).await.unwrap());
            assert_eq!(one, other, "seed {seed}, command {n}");
            let asked = id(random.random_range(1..=n));
            assert_eq!(
                cold.has_done::<Wallet>(&wallet, asked).await.unwrap(),
                all.has_done::<Wallet>(&wallet, asked).await.unwrap(),
                "seed {seed}, command {n}"
            );
        }
        assert!(snapshots.find(&wallet).await.unwrap().is_some() && snapshots.find(&stream()).await.unwrap().is_some(), "seed {seed}");
    }
}

/// What command `number` asks for, always the same.
fn asked(seed: u64, number: u128) -> (ConnectorCommand, WalletCommand) {
    let mut random = ChaCha8Rng::seed_from_u64(seed << 32 | u64::try_from(number).unwrap());
    let plug = match random.random_range(0..8) {
        _ if number == 1 => register(),
        0 => ConnectorCommand::ReportFaulted { code: format!("E{}", random.random_range(0..3)) },
        1 => ConnectorCommand::ReportFaultCleared,
        2 => ConnectorCommand::ReportOffline,
        3 => ConnectorCommand::ReportOnline,
        4 | 5 => occupy(random.random_range(1..4)),
        _ => release(random.random_range(1..4)),
    };
    let (user_id, amount) = (id(6), domain::units::Money::from_fen(random.random_range(1..5_000)));
    let session_id = id(random.random_range(1..200));
    let purse = match random.random_range(0..6) {
        0 | 1 => WalletCommand::TopUp { user_id, payment_id: id(number), amount },
        2 => WalletCommand::Hold { user_id, session_id, amount },
        3 => WalletCommand::Capture { user_id, session_id, due: amount },
        4 => WalletCommand::Release { user_id, session_id },
        _ => WalletCommand::RequestRefund { user_id, refund_id: id(number), amount, reason: None },
    };
    (plug, purse)
}

#[tokio::test]
async fn of_two_processes_one_gets_the_connector_though_the_other_began_with_a_snapshot() {
    let (store, snapshots) = (BreakableStore::new(), Arc::<MemorySnapshots>::default());
    used(&store, 100).await;
    cold(&store, &snapshots).await;
    let (one, other) = (process(&store, &snapshots), process(&store, &snapshots));
    one.load::<Connector>(&stream()).await.unwrap();
    other.handle::<Connector>(&stream(), occupy(901), &command(9_001)).await.unwrap();
    let second = one.handle::<Connector>(&stream(), occupy(902), &command(9_002)).await;
    assert_eq!(second, Err(HandleError::Refused(ConnectorError::Occupied { session: id(901) })));
}
