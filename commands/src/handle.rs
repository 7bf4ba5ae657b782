//! One way in for every aggregate: load, decide, append, and again when somebody else was faster.
//!
//! A command is recognised by its id: before deciding, its events are looked for in the stream, so that a retry after a lost answer never decides
//! again. Aggregates in use stay in memory (`hot`); a conflict says when one is behind.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use domain::decider::Decider;
use domain::event::DecodeError;
use domain::ids::{CommandId, EventId};
use domain::log::{AppendError, EventStore, Metadata, NewEvent, Position, Revision, StoreError, StreamId};
use lru::LruCache;

use crate::envelope::Envelope;
use crate::hot::{Hot, HotAggregates};
use crate::measure;
use crate::port::{Clock, IdSource};
use crate::snapshot::{Keeper, Snapshot, Snapshots, clear_up};

/// How often a command is decided anew because somebody else wrote first, before the caller is told to come back.
const ATTEMPTS_MAX: usize = 32;
/// How many events are read at a time while loading.
const PAGE: usize = 512;

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<D: Decider> {
    /// The state after it.
    pub state: D,
    /// What happened; empty when it changed nothing.
    pub events: Vec<D::Event>,
    /// The stream's last revision that this command knows of; none when the stream does not exist.
    pub revision: Option<Revision>,
    /// Where the last event landed: what `X-Min-Position` waits for. None when nothing happened.
    pub position: Option<Position>,
    /// Whether it had been done before.
    pub repeated: bool,
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError<E: std::error::Error> {
    /// The aggregate refused.
    #[error("{0}")]
    Refused(E),
    /// Others kept writing to the same stream.
    #[error("{stream} is written to by too many at once; try again")]
    Busy {
        /// Which.
        stream: StreamId,
    },
    /// The command's id was used for another command.
    #[error("command {command_id} has been used for something else in {stream}")]
    CommandReused {
        /// The id.
        command_id: CommandId,
        /// Where.
        stream: StreamId,
    },
    /// The stream is at another revision than the command was meant for.
    #[error("{stream} has changed since it was read")]
    Moved {
        /// Which.
        stream: StreamId,
        /// Where it is; none when there is none.
        revision: Option<Revision>,
    },
    /// The event store could not.
    #[error(transparent)]
    Store(StoreError),
    /// What the stream holds cannot be read by this release.
    #[error(transparent)]
    Unreadable(DecodeError),
}

impl<E: std::error::Error> HandleError<E> {
    /// Whether the same command can succeed later without anything else changing.
    pub const fn is_retryable(&self) -> bool {
        match self {
            HandleError::Busy { .. } | HandleError::Store(StoreError::Unavailable { .. }) => true,
            HandleError::Refused(_)
            | HandleError::CommandReused { .. }
            | HandleError::Moved { .. }
            | HandleError::Store(_)
            | HandleError::Unreadable(_) => false,
        }
    }
}

/// An aggregate as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<D> {
    /// Its state.
    pub state: D,
    /// Its last revision; none when the stream does not exist.
    pub revision: Option<Revision>,
}

/// Where commands are carried out.
pub struct Ledger {
    store: Arc<dyn EventStore>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    hot: HotAggregates,
    origins: Mutex<LruCache<StreamId, Metadata>>,
    is_only_writer: bool,
    keeper: Option<Keeper>,
}

impl Ledger {
    /// A ledger over an engine; `hot_streams_max` aggregates stay in memory.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>, hot_streams_max: usize) -> Ledger {
        let origins = Mutex::new(LruCache::new(NonZeroUsize::new(hot_streams_max).unwrap_or(NonZeroUsize::MIN)));
        Ledger { store, clock, ids, hot: HotAggregates::new(hot_streams_max), origins, is_only_writer: false, keeper: None }
    }

    /// For an engine that lets one process write, and a process that has one ledger: an aggregate in memory is the newest, and is not read again.
    #[must_use]
    pub fn as_only_writer(mut self) -> Ledger {
        self.is_only_writer = true;
        self
    }

    /// With snapshots of streams that grow for years, from so many events on.
    #[must_use]
    pub fn with_snapshots(mut self, snapshots: Arc<dyn Snapshots>, every: u64) -> Ledger {
        self.keeper = Some(Keeper::new(snapshots, every));
        self
    }

    /// The engine, for reading.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Fresh ids.
    #[must_use]
    pub fn ids(&self) -> &Arc<dyn IdSource> {
        &self.ids
    }

    /// Carries out a command on the aggregate in `stream`. Commands on one stream wait for each other here, so that conflicts come from other processes only.
    ///
    /// # Errors
    /// See [`HandleError`]; nothing was written then, except that after [`HandleError::Store`] it may have been: the same command tells.
    pub async fn handle<D: Decider>(
        &self,
        stream: &StreamId,
        command: D::Command,
        envelope: &Envelope,
    ) -> Result<Done<D>, HandleError<D::Error>> {
        self.handle_each(stream, &[(command, envelope.clone())], None).await
    }

    /// The same, and only while the stream's last revision is this one: between looking and appending nobody else can write. A repetition is answered all the same,
    /// since it was done at that revision.
    ///
    /// # Errors
    /// As [`Ledger::handle`], and [`HandleError::Moved`] when somebody has written since.
    pub async fn handle_at<D: Decider>(
        &self,
        stream: &StreamId,
        command: D::Command,
        envelope: &Envelope,
        only_at: Option<Revision>,
    ) -> Result<Done<D>, HandleError<D::Error>> {
        self.handle_each(stream, &[(command, envelope.clone())], only_at).await
    }

    /// Carries out several commands on the aggregate in `stream`, one after the other, and writes what comes of them at once: all of it or nothing. Each is
    /// recognised by its own id, so that those that had been done before, alone or with others, are not done again.
    ///
    /// # Errors
    /// As [`Ledger::handle`]; when one is refused, none is done.
    pub async fn handle_all<D: Decider>(
        &self,
        stream: &StreamId,
        commands: &[(D::Command, Envelope)],
    ) -> Result<Done<D>, HandleError<D::Error>> {
        self.handle_each(stream, commands, None).await
    }

    async fn handle_each<D: Decider>(
        &self,
        stream: &StreamId,
        commands: &[(D::Command, Envelope)],
        only_at: Option<Revision>,
    ) -> Result<Done<D>, HandleError<D::Error>> {
        let result = self.carry_out(stream, commands, only_at).await;
        measure::carried_out(stream, commands.len(), &result);
        result
    }

    async fn carry_out<D: Decider>(
        &self,
        stream: &StreamId,
        commands: &[(D::Command, Envelope)],
        only_at: Option<Revision>,
    ) -> Result<Done<D>, HandleError<D::Error>> {
        let entry = self.hot.of::<D>(stream);
        let mut hot = entry.lock().await;
        // Whether the state holds all that was there when the commands came.
        let mut is_newest = self.is_newest(&hot);
        for _ in 0..ATTEMPTS_MAX {
            self.clear_up(stream, &mut hot, commands.iter().map(|(_, envelope)| envelope.command_id)).await?;
            let to_do: Vec<&(D::Command, Envelope)> =
                commands.iter().filter(|(_, envelope)| !hot.commands.has(envelope.command_id)).collect();
            if to_do.is_empty() && !commands.is_empty() {
                return self.repetition(stream, &ids(commands), &hot).await;
            }
            if only_at.is_some() && hot.revision != only_at {
                if is_newest {
                    return Err(HandleError::Moved { stream: stream.clone(), revision: hot.revision });
                }
                self.catch_up(stream, &mut hot).await?;
                is_newest = true;
                continue;
            }
            let (state, decided) = match decide_all(&hot.state, &to_do) {
                Ok((state, decided)) if !decided.is_empty() => (state, decided),
                // A refusal and a command that changes nothing count only against the newest state: another process may have written since.
                Ok(_) | Err(_) if !is_newest => {
                    self.catch_up(stream, &mut hot).await?;
                    is_newest = true;
                    continue;
                }
                Ok((state, _)) => {
                    return Ok(Done { state, events: Vec::new(), revision: hot.revision, position: None, repeated: false });
                }
                Err(refusal) => return Err(HandleError::Refused(refusal)),
            };
            let recorded_at = self.clock.now();
            let new: Vec<NewEvent> = decided
                .iter()
                .map(|(envelope, index, event)| {
                    NewEvent::encode(&event.clone().into(), envelope.metadata(EventId::of(envelope.command_id, *index), recorded_at))
                })
                .collect();
            let origin = hot.revision.is_none().then(|| new.first().map(|first| first.metadata.clone())).flatten();
            // Until its answer is here, nobody knows what the stream holds: the answer may get lost, and the caller may go away.
            (hot.is_whole, hot.is_doubtful) = (false, true);
            match self.store.append(stream, hot.expected(), new).await {
                // It had been done, and its answer was lost, or forgotten since: what came after it in the stream is not known here.
                Ok(appended) if appended.repeated => {
                    hot.is_doubtful = false;
                    self.catch_up(stream, &mut hot).await?;
                    return self.repetition(stream, &ids(commands), &hot).await;
                }
                Ok(appended) => {
                    (hot.is_whole, hot.is_doubtful) = (true, false);
                    hot.state = state;
                    hot.revision = Some(appended.revision);
                    decided.iter().for_each(|(envelope, ..)| hot.commands.insert(envelope.command_id));
                    if let Some(origin) = origin {
                        self.origins.lock().unwrap_or_else(PoisonError::into_inner).put(stream.clone(), origin);
                    }
                    return Ok(Done {
                        state: hot.state.clone(),
                        events: decided.into_iter().map(|(_, _, event)| event).collect(),
                        revision: hot.revision,
                        position: Some(appended.position),
                        repeated: false,
                    });
                }
                Err(AppendError::Conflict { .. }) => {
                    hot.is_doubtful = false;
                    self.catch_up(stream, &mut hot).await?;
                    is_newest = true;
                }
                // Its answer was lost when it was done, and it comes again at another time: the stream knows the command, whatever surrounds it now.
                Err(AppendError::IdReused { event_id, .. }) => {
                    hot.is_doubtful = false;
                    self.catch_up(stream, &mut hot).await?;
                    is_newest = true;
                    self.clear_up(stream, &mut hot, to_do.iter().map(|(_, envelope)| envelope.command_id)).await?;
                    if to_do.iter().all(|(_, envelope)| !hot.commands.has(envelope.command_id)) {
                        let reused = decided.iter().find(|(envelope, index, _)| EventId::of(envelope.command_id, *index) == event_id);
                        let command_id = reused.map_or(to_do[0].1.command_id, |(envelope, ..)| envelope.command_id);
                        return Err(HandleError::CommandReused { command_id, stream: stream.clone() });
                    }
                }
                Err(AppendError::Store(error)) => return Err(HandleError::Store(error)),
            }
        }
        Err(HandleError::Busy { stream: stream.clone() })
    }

    /// The aggregate in `stream` as it is now.
    ///
    /// # Errors
    /// When the engine cannot, or this release cannot read what it holds.
    pub async fn load<D: Decider>(&self, stream: &StreamId) -> Result<Loaded<D>, HandleError<std::convert::Infallible>> {
        let entry = self.hot.of::<D>(stream);
        let mut hot = entry.lock().await;
        if !self.is_newest(&hot) {
            self.catch_up(stream, &mut hot).await?;
        }
        Ok(Loaded { state: hot.state.clone(), revision: hot.revision })
    }

    /// Whether a command has changed the aggregate in `stream`.
    ///
    /// # Errors
    /// When the engine cannot, or this release cannot read what it holds.
    pub async fn has_done<D: Decider>(
        &self,
        stream: &StreamId,
        command_id: CommandId,
    ) -> Result<bool, HandleError<std::convert::Infallible>> {
        let entry = self.hot.of::<D>(stream);
        let mut hot = entry.lock().await;
        self.knows(stream, &mut hot, command_id).await
    }

    /// What a command did to the aggregate in `stream`, for one that must touch nothing else when it comes again; none when it has changed nothing.
    ///
    /// # Errors
    /// When the engine cannot, or this release cannot read what it holds.
    pub async fn done_before<D: Decider>(
        &self,
        stream: &StreamId,
        command_id: CommandId,
    ) -> Result<Option<Done<D>>, HandleError<std::convert::Infallible>> {
        let entry = self.hot.of::<D>(stream);
        let mut hot = entry.lock().await;
        if !self.knows(stream, &mut hot, command_id).await? {
            return Ok(None);
        }
        self.repetition(stream, &[command_id], &hot).await.map(Some)
    }

    async fn knows<D: Decider, E: std::error::Error>(
        &self,
        stream: &StreamId,
        hot: &mut Hot<D>,
        command_id: CommandId,
    ) -> Result<bool, HandleError<E>> {
        if !self.is_newest(hot) {
            self.catch_up(stream, hot).await?;
        }
        self.clear_up(stream, hot, std::iter::once(command_id)).await?;
        Ok(hot.commands.has(command_id))
    }

    /// How a stream began; none when it does not exist. Its first event never changes, so that it is read once.
    ///
    /// # Errors
    /// When the engine cannot.
    pub async fn origin(&self, stream: &StreamId) -> Result<Option<Metadata>, StoreError> {
        let known = self.origins.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let first = self.store.read_stream(stream, Revision(0), 1).await?.into_iter().next().map(|stored| stored.metadata);
        if let Some(origin) = &first {
            self.origins.lock().unwrap_or_else(PoisonError::into_inner).put(stream.clone(), origin.clone());
        }
        Ok(first)
    }

    const fn is_newest<D>(&self, hot: &Hot<D>) -> bool {
        self.is_only_writer && hot.is_whole
    }

    async fn catch_up<D: Decider, E: std::error::Error>(&self, stream: &StreamId, hot: &mut Hot<D>) -> Result<(), HandleError<E>> {
        if let (Some(keeper), None) = (&self.keeper, hot.revision)
            && let Some(found) = keeper.find::<D>(&*self.store, stream).await
        {
            let Snapshot { state, revision, written, .. } = found;
            (hot.state, hot.commands, hot.revision, hot.snapshot) = (state, written, Some(revision), Some(revision));
        }
        let (mut folded, mut last) = (0, None);
        loop {
            let events = self.store.read_stream(stream, hot.expected().next(), PAGE).await.map_err(HandleError::Store)?;
            let is_last = events.len() < PAGE;
            for stored in events {
                folded += 1;
                last = Some((stored.revision, stored.hash));
                let recorded = stored.decode().map_err(HandleError::Unreadable)?;
                hot.state = std::mem::take(&mut hot.state).apply(&recorded);
                hot.revision = Some(recorded.revision);
                hot.commands.insert(recorded.metadata.command_id);
            }
            if is_last {
                if let (Some(keeper), Some(last)) = (&self.keeper, last) {
                    keeper.keep(stream, &hot.state, &hot.commands, last, folded).await;
                }
                hot.is_whole = !hot.is_doubtful;
                return Ok(());
            }
        }
    }

    /// Reads what lies before the snapshot for those commands that it does not tell apart from one of that time.
    async fn clear_up<D: Decider, E: std::error::Error>(
        &self,
        stream: &StreamId,
        hot: &mut Hot<D>,
        commands: impl Iterator<Item = CommandId> + Send,
    ) -> Result<(), HandleError<E>> {
        let Some(until) = hot.snapshot else { return Ok(()) };
        clear_up(&*self.store, stream, until, &mut hot.commands, commands, PAGE).await.map_err(HandleError::Store)
    }

    /// What the commands did when they were done.
    async fn repetition<D: Decider, E: std::error::Error>(
        &self,
        stream: &StreamId,
        commands: &[CommandId],
        hot: &Hot<D>,
    ) -> Result<Done<D>, HandleError<E>> {
        let mut from = Revision(0);
        let mut done = Done { state: hot.state.clone(), events: Vec::new(), revision: None, position: None, repeated: true };
        loop {
            let page = self.store.read_stream(stream, from, PAGE).await.map_err(HandleError::Store)?;
            let is_last = page.len() < PAGE;
            for stored in page {
                from = stored.revision.next();
                if commands.contains(&stored.metadata.command_id) {
                    let recorded = stored.decode().map_err(HandleError::Unreadable)?;
                    done.events.extend(D::event(&recorded.event).cloned());
                    done.revision = Some(recorded.revision);
                    done.position = Some(recorded.position);
                }
            }
            if is_last {
                return Ok(done);
            }
        }
    }
}

fn ids<C>(commands: &[(C, Envelope)]) -> Vec<CommandId> {
    commands.iter().map(|(_, envelope)| envelope.command_id).collect()
}

/// An event that a command became, with the command's envelope and the event's place among what it became.
type Decided<'a, D> = (&'a Envelope, usize, <D as Decider>::Event);

/// What commands become one after the other, and the state after all of them.
fn decide_all<'a, D: Decider>(state: &D, commands: &[&'a (D::Command, Envelope)]) -> Result<(D, Vec<Decided<'a, D>>), D::Error> {
    let mut state = state.clone();
    let mut decided = Vec::new();
    for (command, envelope) in commands {
        let events = state.decide(command.clone())?;
        state = events.iter().fold(state, D::evolve);
        decided.extend(events.into_iter().enumerate().map(|(index, event)| (envelope, index, event)));
    }
    Ok((state, decided))
}
