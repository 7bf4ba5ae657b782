//! `store migrate`: a ledger copied to another event store, in its order, with every hash and time as it is.
//!
//! It can be killed and run again: what is there already is first compared with the source, event by event, and the copy goes on behind it. What has been copied is
//! read back and compared in the same way. The keys of personal data are no part of the log and stay where they are.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use commands::port::{Clock as _, IdSource as _};
use commands::process::runner;
use domain::decider::Decider as _;
use domain::ids::{CommandId, EventId, OperatorId};
use domain::log::{Actor, EventStore, Expected, Filter, Metadata, NewEvent, Page, Position, Revision, StoredEvent, StreamId};
use domain::process::{Process, ProcessCommand};
use domain::recorded::RecordedLog;
use embedded::EmbeddedStore;
use esdb::{EsdbStore, Patience};
use serde_json::json;
use uuid::Uuid;

use crate::compose::{SystemClock, SystemIds};
use crate::config::EventStoreUrl;
use crate::output::{Answer, grouped};
use crate::progress::Meter;
use crate::raw_log::Chains;

/// Events that are read, copied and compared at a time.
const PAGE: usize = 1_024;
/// What one append carries at most: well below what every engine takes.
const RUN_EVENTS: usize = 256;
const RUN_BYTES: usize = 512 << 10;

/// Who writes the one event that a migration adds.
const BY: &str = "migration";

pub(crate) async fn run(from: &EventStoreUrl, to: &EventStoreUrl) -> anyhow::Result<Answer> {
    if from == to {
        bail!("the ledger is there already: --from and --to are the same");
    }
    let source = source(from).await.with_context(|| format!("--from {from}"))?;
    let target = target(to).await.with_context(|| format!("--to {to}"))?;
    let head = source.head().await?;
    let meter = Meter::start("migrate", head.events);
    let mut copy = Copy::new(&*source, &*target, head.events, place(&*source).await?);
    let is_done = copy.compare(&meter).await?;
    let there = copy.chains.events;
    let mut moved_place = None;
    if !is_done {
        copy.go_on(&meter).await?;
        moved_place = copy.move_place().await?;
    }
    drop(meter);
    let Copy { chains, .. } = copy;
    let json = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "events": chains.events,
        "streams": chains.streams(),
        "copied": chains.events - there,
        "verified": true,
        "process_place": moved_place,
    });
    let text = format!(
        "{} events in {} streams are in {to} as they are in {from}: {} copied, {} were there; every hash and the order compared\n\
         keys.db stays where it is: the data directory belongs to the ledger, whichever event store it is in\n\
         read models know places of {from}: give the ledger there an empty database, or let them be rebuilt",
        grouped(chains.events),
        grouped(chains.streams()),
        grouped(chains.events - there),
        grouped(there),
    );
    Answer::new(&json, text)
}

async fn source(url: &EventStoreUrl) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(match url {
        EventStoreUrl::Embedded(path) => Arc::new(EmbeddedStore::open_read_only(path)?),
        EventStoreUrl::Server(url) => Arc::new(EsdbStore::open(url, Patience::default()).await?),
    })
}

async fn target(url: &EventStoreUrl) -> anyhow::Result<Arc<dyn RecordedLog>> {
    Ok(match url {
        EventStoreUrl::Embedded(path) => Arc::new(EmbeddedStore::open(path)?),
        EventStoreUrl::Server(url) => Arc::new(EsdbStore::open(url, Patience::default()).await?),
    })
}

fn process() -> StreamId {
    StreamId::process(runner::NAME)
}

/// How far the process managers came, in the source's numbers.
async fn place(source: &dyn EventStore) -> anyhow::Result<Position> {
    let (mut state, mut from) = (Process::default(), Revision(0));
    loop {
        let page = source.read_stream(&process(), from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(state.position) };
        from = last.revision.next();
        for stored in page {
            state = state.apply(&stored.decode()?);
        }
    }
}

/// One copy under way.
struct Copy<'a> {
    source: &'a dyn EventStore,
    target: &'a dyn RecordedLog,
    total: u64,
    /// What has been found to be alike on both sides.
    chains: Chains,
    at: Position,
    there: Position,
    /// How far the process managers came, here and there.
    place: Position,
    place_there: Position,
    /// The last event of their stream.
    process_end: Option<Revision>,
}

impl<'a> Copy<'a> {
    fn new(source: &'a dyn EventStore, target: &'a dyn RecordedLog, total: u64, place: Position) -> Copy<'a> {
        let (at, there) = (Position(0), Position(0));
        Copy { source, target, total, chains: Chains::default(), at, there, place, place_there: Position(0), process_end: None }
    }

    /// Compares what is in the target with the source's beginning. Whether all has been copied before.
    async fn compare(&mut self, meter: &Meter) -> anyhow::Result<bool> {
        loop {
            let page = self.target.read_all(self.there, &Filter::All, PAGE).await?;
            if page.scanned_to <= self.there {
                return Ok(false);
            }
            let source = read_exactly(self.source, self.at, page.events.len()).await?;
            // The place that a migration has moved is the one event that the source need not have.
            let (mut there, mut is_done) = (&page.events[..], false);
            if let [before @ .., last] = there
                && source.len() == before.len()
                && is_of_migration(last)
                && read_exactly(self.target, page.scanned_to, 1).await?.is_empty()
            {
                (there, is_done) = (before, true);
            }
            self.compare_page(&source, there)?;
            meter.set(self.chains.events, self.total);
            if is_done {
                return Ok(true);
            }
        }
    }

    /// Two pages that must say the same; an error says where they do not.
    fn compare_page(&mut self, source: &[StoredEvent], target: &[StoredEvent]) -> anyhow::Result<()> {
        for (n, there) in target.iter().enumerate() {
            let number = self.chains.events + 1;
            if is_of_migration(there) && source.get(n).is_none_or(|here| here.metadata.event_id != there.metadata.event_id) {
                bail!("the ledger has been moved to --to before, at its event {}; one of both has been written to since", grouped(number));
            }
            let Some(here) = source.get(n) else {
                bail!(
                    "--to holds more than --from: event {} there is {} of {}, and --from ends before it",
                    grouped(number),
                    there.event_type,
                    there.stream
                );
            };
            if *there != (StoredEvent { position: there.position, ..here.clone() }) {
                bail!(
                    "--to holds something else: its event {} is {} {} of {}, and --from has {} {} of {} there; an empty store is wanted, or a beginning of this ledger",
                    grouped(number),
                    there.event_type,
                    there.metadata.event_id,
                    there.stream,
                    here.event_type,
                    here.metadata.event_id,
                    here.stream,
                );
            }
            if let Err(reason) = self.chains.event(here) {
                bail!("--from is damaged at position {}: {reason}", here.position);
            }
            (self.at, self.there) = (here.position, there.position);
            if here.position <= self.place {
                self.place_there = there.position;
            }
            if here.stream == process() {
                self.process_end = Some(here.revision);
            }
        }
        Ok(())
    }

    /// Copies what is left.
    async fn go_on(&mut self, meter: &Meter) -> anyhow::Result<()> {
        loop {
            let page: Page = self.source.read_all(self.at, &Filter::All, PAGE).await?;
            if page.scanned_to <= self.at {
                return Ok(());
            }
            for run in runs(&page.events) {
                self.target.append_as_recorded(run.to_vec()).await.with_context(|| {
                    format!("the copy stopped after {} events; run it again, and it goes on", grouped(self.chains.events))
                })?;
            }
            let there = read_exactly(self.target, self.there, page.events.len()).await?;
            if there.len() != page.events.len() {
                bail!("--to does not show what was copied to it: {} events instead of {}", there.len(), page.events.len());
            }
            self.compare_page(&page.events, &there)?;
            meter.set(self.chains.events, self.total);
        }
    }

    /// Tells the process managers there how far they came, in the numbers there: the one event that the source does not have.
    async fn move_place(&self) -> anyhow::Result<Option<Position>> {
        let state = Process { position: self.place };
        let command = ProcessCommand::Move { process: runner::NAME.to_owned(), position: self.place_there };
        let Some(event) = state.decide(command)?.into_iter().next() else { return Ok(None) };
        let command_id = CommandId(SystemIds.uuid());
        let now = SystemClock.now();
        let metadata = Metadata {
            event_id: EventId::of(command_id, 0),
            command_id,
            causation_id: None,
            correlation_id: command_id.0,
            actor: Actor::system(BY),
            operator_id: OperatorId(Uuid::nil()),
            occurred_at: now,
            recorded_at: now,
        };
        let expected = self.process_end.map_or(Expected::NoStream, Expected::Exact);
        self.target.append(&process(), expected, vec![NewEvent::encode(&event.into(), metadata)]).await?;
        Ok(Some(self.place_there))
    }
}

fn is_of_migration(event: &StoredEvent) -> bool {
    event.stream == process() && event.metadata.actor == Actor::system(BY)
}

/// So many events after a position; fewer at the end.
async fn read_exactly<S: EventStore + ?Sized>(store: &S, after: Position, count: usize) -> anyhow::Result<Vec<StoredEvent>> {
    let (mut events, mut at) = (Vec::with_capacity(count), after);
    while events.len() < count {
        let page = store.read_all(at, &Filter::All, count - events.len()).await?;
        if page.scanned_to <= at {
            break;
        }
        at = page.scanned_to;
        events.extend(page.events);
    }
    Ok(events)
}

/// Consecutive events of one stream go together: the order of the whole is kept, and an append carries as many as it may.
fn runs(events: &[StoredEvent]) -> Vec<&[StoredEvent]> {
    let mut runs = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (n, event) in events.iter().enumerate() {
        let size = event.payload.len() + 1_024;
        if n > begin && (event.stream != events[begin].stream || n - begin == RUN_EVENTS || bytes + size > RUN_BYTES) {
            runs.push(&events[begin..n]);
            (begin, bytes) = (n, 0);
        }
        bytes += size;
    }
    if begin < events.len() {
        runs.push(&events[begin..]);
    }
    runs
}
