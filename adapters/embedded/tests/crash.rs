//! Kill the writing process anywhere: what it acknowledged is there, nothing is there twice, and the chain holds.
//!
//! The test starts itself again as the process to be killed. `CRASH_SEED` repeats a run, `CRASH_ROUNDS` makes it shorter or longer.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use domain::ids::EventId;
use domain::log::{EventStore as _, Expected, Filter, NewEvent, Position, Revision};
use domain::testing::event_store::{event, stream};
use embedded::{EmbeddedStore, Reader};
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

const ROUNDS: u32 = 100;
const WRITERS: u128 = 32;
const STREAM_EVENTS: u64 = 6;
/// Where the child finds its store and its round.
const STORE: &str = "CRASH_STORE";
const ROUND: &str = "CRASH_ROUND";

/// What the child said it had heard: position, stream and id of an acknowledged event.
type Acknowledged = (Position, String, EventId);

#[test]
fn what_was_acknowledged_survives_a_hundred_kills() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("CRASH_SEED").unwrap_or_else(rand::random);
    let rounds = number("CRASH_ROUNDS").map_or(ROUNDS, |rounds| u32::try_from(rounds).unwrap());
    println!("CRASH_SEED={seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = HashMap::new();
    for round in 0..rounds {
        let alive = Duration::from_micros(random.random_range(0..100_000));
        // Every third is killed while it may still be opening the file, and mending what the last kill left.
        let heard = kill_after(directory.path(), round, alive, !round.is_multiple_of(3));
        check(directory.path(), round, &heard);
        acknowledged.extend(heard.into_iter().map(|(position, stream, id)| (id, (position, stream))));
    }
    assert!(acknowledged.len() > rounds as usize, "the children did write: {} events", acknowledged.len());

    let store = EmbeddedStore::open(directory.path()).unwrap();
    let mut reader = store.reader().unwrap();
    let verified = reader.verify(|_| ()).unwrap();
    assert_eq!(verified.fault, None);
    let mut seen = HashMap::new();
    let mut after = Position(0);
    while after < verified.head {
        let page = reader.scan(after, &Filter::All, 1_000).unwrap();
        after = page.scanned_to;
        for stored in page.events {
            let id = stored.metadata.event_id;
            let twice = seen.insert(id, (stored.position, stored.stream.to_string()));
            assert_eq!(twice, None, "event {id} is there twice");
        }
    }
    for (id, place) in &acknowledged {
        assert_eq!(seen.get(id), Some(place), "acknowledged event {id}");
    }
    println!("{rounds} kills, {} events acknowledged, {} stored", acknowledged.len(), seen.len());
}

/// Starts a child on the store, lets it live for a while after its start or its first acknowledgement, kills it, and returns what it had heard.
fn kill_after(store: &Path, round: u32, alive: Duration, once_it_appends: bool) -> Vec<Acknowledged> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(STORE, store)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (first, began) = std::sync::mpsc::channel();
    let listening = std::thread::spawn(move || {
        let (mut heard, mut line) = (Vec::new(), String::new());
        // A line without its end was cut off by the kill: nobody has heard it.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            if let Some(said) = line.strip_prefix("appended ") {
                let _ = first.send(());
                heard.push(parse(said));
            }
            line.clear();
        }
        heard
    });
    if once_it_appends {
        began.recv_timeout(Duration::from_secs(30)).expect("the child appends");
    }
    std::thread::sleep(alive);
    kill(&mut child);
    listening.join().unwrap()
}

/// SIGKILL, on the systems that have it.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn parse(said: &str) -> Acknowledged {
    let mut words = said.split_whitespace();
    let mut word = || words.next().unwrap();
    (Position(word().parse().unwrap()), word().to_owned(), word().parse().unwrap())
}

/// A reader finds what was acknowledged in this round before anybody opens the file for writing.
fn check(store: &Path, round: u32, heard: &[Acknowledged]) {
    if heard.is_empty() {
        return;
    }
    let mut reader = Reader::open(store).unwrap();
    for (position, stream, id) in heard {
        let page = reader.scan(Position(position.0 - 1), &Filter::All, 1).unwrap();
        let found = page.events.first().map(|event| (event.position, event.stream.to_string(), event.metadata.event_id));
        assert_eq!(found, Some((*position, stream.clone(), *id)), "round {round}");
    }
}

/// Not a test of its own: it does nothing unless [`kill_after`] has started it.
#[test]
fn the_process_that_is_killed() {
    let (Ok(path), Ok(round)) = (std::env::var(STORE), std::env::var(ROUND)) else { return };
    let round: u128 = round.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(EmbeddedStore::open(path).unwrap());
        let writers = (0..WRITERS).map(|writer| tokio::spawn(append_for_ever(store.clone(), round * WRITERS + writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

async fn append_for_ever(store: Arc<EmbeddedStore>, writer: u128) {
    for number in 0.. {
        let stream = stream((writer << 64) + number);
        for n in 0..STREAM_EVENTS {
            let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
            let id = EventId(Uuid::from_u128((writer << 96) + (number << 32) + u128::from(n) + 1));
            let mut new = NewEvent { payload: vec![7; 232], ..event(1) };
            new.metadata.event_id = id;
            let landed = store.append(&stream, expected, vec![new]).await.unwrap();
            writeln!(std::io::stdout().lock(), "appended {} {stream} {id}", landed.position).unwrap();
        }
    }
}
