//! `bench append` on a server: what it takes through this client, with the expected revision checked and each append read back. The events stay there, in a
//! ledger of their own, which nobody else sees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{CommandId, EventId, OperatorId, SessionId};
use domain::log::{Actor, ActorKind, EventStore, Expected, Metadata, NewEvent, Revision, StreamId};
use esdb::{EsdbStore, EsdbUrl, Patience};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bench::{machine, whole};
use crate::compose::SystemClock;
use crate::output::{Answer, grouped};
use crate::progress::Meter;
use commands::port::Clock as _;

const WRITERS: [usize; 3] = [1, 16, 256];
/// As in the embedded engine's measurement.
const PAYLOAD_BYTES: usize = 232;
const EVENTS_PER_STREAM: u64 = 6;

pub(crate) async fn run(url: &EsdbUrl, round: Duration) -> anyhow::Result<Answer> {
    let ledger = format!("bench_{}", Uuid::now_v7().simple());
    let store = Arc::new(EsdbStore::open(&url.with_ledger(&ledger)?, Patience::default()).await?);
    let meter = Meter::start("bench append", WRITERS.len() as u64);
    let mut figures: Vec<Value> = Vec::new();
    let mut text = format!("{}\n{}\nwriters    events/s   p50 ms   p99 ms\n", machine(), store.shown());
    for writers in WRITERS {
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers).map(|_| tokio::spawn(write_until(store.clone(), began + round))).collect();
        let mut waits = Histogram::<u64>::new(3)?;
        for task in tasks {
            waits.add(task.await??)?;
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let events_per_s = whole(waits.len() as f64 / began.elapsed().as_secs_f64());
        let [p50, p99] = [0.5, 0.99].map(|share| Duration::from_micros(waits.value_at_quantile(share)).as_secs_f64() * 1e3);
        figures.push(json!({ "writers": writers, "events_per_s": events_per_s, "p50_ms": p50, "p99_ms": p99 }));
        text.push_str(&format!("{writers:>7}  {:>10}  {p50:>7.3}  {p99:>7.3}\n", grouped(events_per_s)));
        meter.add(1);
    }
    drop(meter);
    let json = json!({
        "bench": "append", "machine": machine(), "server": store.shown(), "payload_bytes": PAYLOAD_BYTES, "figures": figures,
    });
    Answer::new(&json, text)
}

/// One writer: streams of a few events, one append after the other; answers how long each took, in microseconds.
async fn write_until(store: Arc<EsdbStore>, end: Instant) -> anyhow::Result<Histogram<u64>> {
    let mut waits = Histogram::<u64>::new(3)?;
    while Instant::now() < end {
        let session_id = SessionId(Uuid::now_v7());
        let stream = StreamId::session(session_id);
        for n in 0..EVENTS_PER_STREAM {
            let expected = n.checked_sub(1).map_or(Expected::NoStream, |last| Expected::Exact(Revision(last)));
            let command_id = CommandId(Uuid::now_v7());
            let now = SystemClock.now();
            let metadata = Metadata {
                event_id: EventId::of(command_id, 0),
                command_id,
                causation_id: None,
                correlation_id: session_id.0,
                actor: Actor::new(ActorKind::System, "bench"),
                operator_id: OperatorId(Uuid::nil()),
                occurred_at: now,
                recorded_at: now,
            };
            let new = NewEvent { event_type: "session.meter_read".into(), version: 1, metadata, payload: vec![0x5a; PAYLOAD_BYTES] };
            let began = Instant::now();
            store.append(&stream, expected, vec![new]).await?;
            waits.record(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))?;
        }
    }
    Ok(waits)
}
