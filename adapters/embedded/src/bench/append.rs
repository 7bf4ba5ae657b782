//! Durable appends, measured against the bound of the same disk: a raw file with the same queue, batching and sizes, nothing but
//! `write` and `fdatasync`. Rounds of both are interleaved, because a disk's mood changes by the minute.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{CommandId, EventId, OperatorId, SessionId};
use domain::log::{
    Actor, ActorKind, EventStore as _, Expected, Hash, Metadata, NewEvent, Position, Revision, StoreError, StoredEvent, StreamId,
};
use domain::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::OpenError;
use crate::row::write_meta;
use crate::store::EmbeddedStore;
use crate::writer::COMMANDS_MAX;

/// What is measured.
#[derive(Debug, Clone)]
pub struct AppendBench {
    /// Where: a new directory is made in it and removed afterwards.
    pub directory: PathBuf,
    /// How many writers at once, one measurement each.
    pub writers: Vec<usize>,
    /// How often; figures are medians.
    pub rounds: usize,
    /// How long one round of one engine is.
    pub round: Duration,
    /// The size of an event's payload.
    pub payload_bytes: usize,
}

impl AppendBench {
    /// As `docs/performance.md` has it: 1, 16 and 256 writers, three rounds, 232 bytes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> AppendBench {
        let (writers, round) = (vec![1, 16, 256], Duration::from_secs(3));
        AppendBench { directory: directory.into(), writers, rounds: 3, round, payload_bytes: 232 }
    }
}

/// What an engine did with so many writers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Events made durable in a second.
    pub events_per_s: f64,
    /// Half the appends were answered within this.
    pub p50: Duration,
    /// Ninety-nine in a hundred were.
    pub p99: Duration,
}

/// The store beside its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AppendFigures {
    /// How many writers at once.
    pub writers: usize,
    /// The embedded store: expected revision, ids, hash chain, indexes, durable.
    pub store: Figures,
    /// The raw file.
    pub bound: Figures,
    /// The median of store to bound, round by round.
    pub ratio: f64,
}

/// Measures durable appends with the expected revision and the ids checked, five to eight events a stream.
/// `progress` hears the rounds that are done, of how many.
///
/// # Errors
/// When the directory cannot be written to.
pub async fn append(bench: &AppendBench, mut progress: impl FnMut(usize, usize)) -> Result<Vec<AppendFigures>, OpenError> {
    let place = bench.directory.join(format!("bench-append-{}", std::process::id()));
    let io = |source| OpenError::Io { path: place.clone(), source };
    std::fs::create_dir_all(&place).map_err(io)?;
    let result = measure(bench, &place, &mut progress).await;
    std::fs::remove_dir_all(&place).map_err(io)?;
    result
}

async fn measure(bench: &AppendBench, place: &Path, progress: &mut impl FnMut(usize, usize)) -> Result<Vec<AppendFigures>, OpenError> {
    let store = Engine::Store(Arc::new(EmbeddedStore::open(place)?));
    let bound = Engine::Raw(Arc::new(RawLog::start(&place.join("raw.log"))?));
    let mut rounds: Vec<Vec<(Figures, Figures)>> = vec![Vec::new(); bench.writers.len()];
    let all = bench.rounds * bench.writers.len();
    for round in 0..bench.rounds {
        for (n, writers) in bench.writers.iter().enumerate() {
            // Neither always goes first.
            let (first, second) = if round.is_multiple_of(2) { (&store, &bound) } else { (&bound, &store) };
            let first = first.run(*writers, bench).await?;
            let second = second.run(*writers, bench).await?;
            rounds[n].push(if round.is_multiple_of(2) { (first, second) } else { (second, first) });
            progress(round * bench.writers.len() + n + 1, all);
        }
    }
    let figures = bench.writers.iter().zip(rounds).map(|(writers, rounds)| {
        let of = |pick: fn(&(Figures, Figures)) -> Figures| Figures {
            events_per_s: median(rounds.iter().map(|round| pick(round).events_per_s)),
            p50: Duration::from_secs_f64(median(rounds.iter().map(|round| pick(round).p50.as_secs_f64()))),
            p99: Duration::from_secs_f64(median(rounds.iter().map(|round| pick(round).p99.as_secs_f64()))),
        };
        let ratio = median(rounds.iter().map(|(store, bound)| store.events_per_s / bound.events_per_s));
        AppendFigures { writers: *writers, store: of(|round| round.0), bound: of(|round| round.1), ratio }
    });
    Ok(figures.collect())
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

#[derive(Clone)]
enum Engine {
    Store(Arc<EmbeddedStore>),
    Raw(Arc<RawLog>),
}

impl Engine {
    async fn run(&self, writers: usize, bench: &AppendBench) -> Result<Figures, OpenError> {
        let began = Instant::now();
        let tasks: Vec<_> =
            (0..writers).map(|_| tokio::spawn(self.clone().write_until(began + bench.round, bench.payload_bytes))).collect();
        let mut waits = Vec::new();
        for task in tasks {
            let done = task.await.map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
            waits.extend(done?);
        }
        let took = began.elapsed();
        waits.sort_unstable();
        let at = |share: usize| waits.get(waits.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "a count of appends is far below 2^52")]
        let events_per_s = waits.len() as f64 / took.as_secs_f64();
        Ok(Figures { events_per_s, p50: at(50), p99: at(99) })
    }

    /// One writer: streams of five to eight events, one event an append, each wait noted.
    async fn write_until(self, end: Instant, payload_bytes: usize) -> Result<Vec<Duration>, StoreError> {
        let mut waits = Vec::new();
        let operator = OperatorId(Uuid::from_u128(1));
        for streams in 0_u64.. {
            let session = SessionId(Uuid::now_v7());
            let stream = StreamId::session(session);
            for n in 0..5 + streams % 4 {
                if Instant::now() >= end {
                    return Ok(waits);
                }
                let new = new_event(session, operator, n, payload_bytes);
                let asked = Instant::now();
                match &self {
                    Engine::Store(store) => {
                        let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
                        let appended = store.append(&stream, expected, vec![new]).await;
                        appended.map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
                    }
                    Engine::Raw(raw) => raw.append(&stream, Revision(n), new).await?,
                }
                waits.push(asked.elapsed());
            }
        }
        Ok(waits)
    }
}

fn new_event(session: SessionId, operator_id: OperatorId, n: u64, payload_bytes: usize) -> NewEvent {
    let types = ["session.requested", "session.authorised", "session.started", "session.meter_read", "session.meter_read"];
    let event_type = types.get(usize::try_from(n).unwrap_or_default()).copied().unwrap_or("session.stopped");
    let command_id = CommandId::derived(session.0, event_type);
    let now = Timestamp::from_micros(1_700_000_000_000_000).unwrap_or_default();
    let metadata = Metadata {
        event_id: EventId(Uuid::now_v7()),
        command_id,
        causation_id: None,
        correlation_id: session.0,
        actor: Actor::new(ActorKind::System, "bench"),
        operator_id,
        occurred_at: now,
        recorded_at: now,
    };
    NewEvent { event_type: event_type.into(), version: 1, metadata, payload: vec![0x5a; payload_bytes] }
}

/// The bound: a file that is only appended to.
struct RawLog {
    queue: mpsc::Sender<(Vec<u8>, oneshot::Sender<std::io::Result<()>>)>,
}

impl RawLog {
    fn start(path: &Path) -> Result<RawLog, OpenError> {
        let mut file = File::create(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        let (queue, mut requests) = mpsc::channel::<(Vec<u8>, oneshot::Sender<std::io::Result<()>>)>(2 * COMMANDS_MAX);
        let work = move || {
            let (mut buffer, mut answers) = (Vec::new(), Vec::new());
            while let Some((bytes, answer)) = requests.blocking_recv() {
                buffer.extend_from_slice(&bytes);
                answers.push(answer);
                while answers.len() < COMMANDS_MAX {
                    let Ok((bytes, answer)) = requests.try_recv() else { break };
                    buffer.extend_from_slice(&bytes);
                    answers.push(answer);
                }
                let written = file.write_all(&buffer).and_then(|()| file.sync_data());
                for answer in answers.drain(..) {
                    let answered = match &written {
                        Ok(()) => Ok(()),
                        Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
                    };
                    let _ = answer.send(answered);
                }
                buffer.clear();
            }
        };
        let thread = std::thread::Builder::new().name("raw-log".to_owned()).spawn(work);
        thread.map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(RawLog { queue })
    }

    /// The bytes of a row of the store, behind each other.
    async fn append(&self, stream: &StreamId, revision: Revision, new: NewEvent) -> Result<(), StoreError> {
        let stored = StoredEvent {
            position: Position(0),
            stream: stream.clone(),
            revision,
            event_type: new.event_type,
            version: new.version,
            metadata: new.metadata,
            payload: new.payload,
            prev_hash: Hash::START,
            hash: Hash::START,
        };
        let mut bytes = Vec::new();
        write_meta(&stored, &mut bytes);
        bytes.extend_from_slice(stored.metadata.event_id.0.as_bytes());
        for number in [1, revision.0, 1, 1, 1, 1] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&stored.payload);
        let gone = || StoreError::Unavailable { reason: "the raw log has stopped".to_owned() };
        let (answer, answered) = oneshot::channel();
        self.queue.send((bytes, answer)).await.map_err(|_| gone())?;
        let written = answered.await.map_err(|_| gone())?;
        written.map_err(|error| StoreError::Unavailable { reason: error.to_string() })
    }
}
