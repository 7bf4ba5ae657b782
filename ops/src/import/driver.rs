//! Sends the commands that would have happened, session by session: top-up, request, the device's facts, the payment of what is left. The process managers do
//! the rest, as they do for a session of today.
//!
//! Connectors go side by side; the sessions of one connector go one after the other, as they did. Every id derives from the row, so that an import that was
//! killed goes on where it stopped, and one that is repeated changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use commands::payment::PayFor;
use commands::port::transaction_number;
use commands::session::{StartPayment, StartSession};
use commands::{Caller, Commands, RequestIds};
use domain::connector::Connector;
use domain::event::Event;
use domain::ids::{ConnectorId, PaymentId};
use domain::log::{Actor, ActorKind, EventStore, Filter, StreamId};
use domain::payment::Channel;
use domain::session::{DeviceFact, MeterReading, Session, SessionCommand, SessionEvent, StopReason, TransactionRecord};
use domain::time::Timestamp;
use domain::units::{Money, ReportedEnergy};
use domain::wallet::{Wallet, WalletEvent};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use super::generate::{Generator, How, Paying};
use super::plan::{Plan, PlannedSession};
use crate::progress::Meter;

/// Sessions under way at once: enough to fill the engine's group commit.
const IN_FLIGHT: usize = 256;
/// People ask for a session a little before energy flows.
const ASK_BEFORE_SECONDS: i64 = 30;
const TOP_UP_BEFORE_SECONDS: i64 = 90;
/// How often a session looks for itself whether it may go on: quickly when it was begun by an import that was killed, else only in case a signal was missed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// What is waited for in a session's story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Signal {
    ToppedUp,
    Starting,
    NotStarted,
    ConnectorFree,
    Settled,
    RestPaid,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Done {
    /// Sessions that were played, or played to their end.
    pub(crate) played: u64,
    /// Sessions that were there already.
    pub(crate) known: u64,
}

/// Plays planned sessions.
pub(crate) struct Driver {
    commands: Arc<Commands>,
    generator: Generator,
    plan: Plan,
    stories: Arc<Stories>,
    in_flight: Arc<Semaphore>,
    played: AtomicU64,
    known: AtomicU64,
    meter: Meter,
}

/// Who waits for what, by correlation id.
#[derive(Default)]
struct Stories(Mutex<HashMap<Uuid, mpsc::UnboundedSender<Signal>>>);

impl Stories {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, mpsc::UnboundedSender<Signal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, correlation_id: Uuid, signal: Signal) {
        if let Some(story) = self.lock().get(&correlation_id) {
            // Whoever has stopped listening has what it wanted.
            let _ = story.send(signal);
        }
    }
}

impl Driver {
    pub(crate) fn new(commands: Arc<Commands>, plan: Plan, generator: Generator) -> Driver {
        let meter = Meter::start("importing sessions", plan.sessions.len() as u64);
        Driver {
            commands,
            generator,
            plan,
            stories: Arc::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            played: AtomicU64::new(0),
            known: AtomicU64::new(0),
            meter,
        }
    }

    /// Plays every session that has not been played. The process managers have to be running.
    pub(crate) async fn run(self) -> anyhow::Result<Done> {
        let store = Arc::clone(self.commands.ledger.store());
        let head = store.head().await?.position;
        let listener = tokio::spawn(listen(store, head, Arc::clone(&self.stories)));
        let mut connectors: HashMap<ConnectorId, Vec<PlannedSession>> = HashMap::new();
        for session in &self.plan.sessions {
            connectors.entry(session.connector_id).or_default().push(session.clone());
        }
        // The busiest first: the import takes as long as they do.
        let mut connectors: Vec<Vec<PlannedSession>> = connectors.into_values().collect();
        connectors.sort_by_key(|sessions| std::cmp::Reverse(sessions.len()));
        let driver = Arc::new(self);
        let mut running = tokio::task::JoinSet::new();
        for sessions in connectors {
            running.spawn(Arc::clone(&driver).play_connector(sessions));
        }
        let mut outcome = Ok(());
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended.context("a connector's sessions").and_then(|played| played) {
                outcome = Err(error);
                break;
            }
        }
        running.shutdown().await;
        listener.abort();
        outcome?;
        Ok(Done { played: driver.played.load(Ordering::Relaxed), known: driver.known.load(Ordering::Relaxed) })
    }

    async fn play_connector(self: Arc<Self>, sessions: Vec<PlannedSession>) -> anyhow::Result<()> {
        let mut tails = tokio::task::JoinSet::new();
        for session in sessions {
            let permit = Arc::clone(&self.in_flight).acquire_owned().await?;
            let (free, is_free) = oneshot::channel();
            let driver = Arc::clone(&self);
            tails.spawn(async move {
                let line = session.line;
                let played = driver.play(&session, free).await.with_context(|| format!("line {line}"));
                driver.meter.add(1);
                drop(permit);
                played
            });
            // An error when the session ended without giving the connector back: its own error says why.
            let _ = is_free.await;
            while let Some(ended) = tails.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = tails.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn play(&self, session: &PlannedSession, free: oneshot::Sender<()>) -> anyhow::Result<()> {
        let stream = StreamId::session(session.session_id);
        let paying = self.generator.paying(session);
        let found = self.commands.ledger.load::<Session>(&stream).await?.state;
        if is_over(&found, &paying) {
            self.known.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let is_fresh = matches!(found, Session::Absent);
        let mut story = Story::begin(&self.stories, session, is_fresh);
        self.start(session, &paying, &mut story).await?;
        self.tell_device_facts(session).await?;
        self.until(Signal::ConnectorFree, session, &mut story).await?;
        // The next one may have the connector; nobody waits when this was the last.
        let _ = free.send(());
        self.tell_record(session).await?;
        self.until(Signal::Settled, session, &mut story).await?;
        self.pay_rest(session, &paying, &mut story).await?;
        self.played.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn start(&self, session: &PlannedSession, paying: &Paying, story: &mut Story) -> anyhow::Result<()> {
        let user_id = self.generator.user_id(paying.user);
        let payment = match paying.how {
            How::Prepaid { amount } => StartPayment::Prepaid { amount, channel: Channel::Sandbox },
            How::Postpaid => StartPayment::Postpaid,
            How::Wallet { top_up, hold } => {
                let ids = top_up_ids(session);
                let caller = self.person(session.started_at.plus_seconds(-TOP_UP_BEFORE_SECONDS));
                self.commands.pay(&caller, &ids, user_id, Channel::Sandbox, PayFor::TopUp, top_up).await?;
                self.until(Signal::ToppedUp, session, &mut *story).await?;
                StartPayment::Wallet { hold }
            }
        };
        let caller = self.person(session.started_at.plus_seconds(-ASK_BEFORE_SECONDS));
        let start = StartSession { connector_id: session.connector_id, user_id, payment };
        self.commands.start_session(&caller, &session.ids, start).await?;
        self.until(Signal::Starting, session, story).await
    }

    async fn tell_device_facts(&self, session: &PlannedSession) -> anyhow::Result<()> {
        let first = MeterReading { register: ReportedEnergy::default(), read_at: session.started_at };
        let last = MeterReading { register: session.energy.into(), read_at: session.ended_at };
        self.tell(session, "started", session.started_at, DeviceFact::Started { meter: first }).await?;
        // The file does not say why it ended.
        let stopped = DeviceFact::Stopped { reason: StopReason::Unknown, meter: Some(last), stopped_at: session.ended_at };
        self.tell(session, "stopped", session.ended_at, stopped).await?;
        self.tell(session, "unplugged", session.ended_at, DeviceFact::Unplugged { unplugged_at: session.ended_at }).await
    }

    async fn tell_record(&self, session: &PlannedSession) -> anyhow::Result<()> {
        let record = TransactionRecord {
            transaction_number: transaction_number(session.session_id),
            started_at: session.started_at,
            ended_at: session.ended_at,
            meter_start: ReportedEnergy::default(),
            meter_end: session.energy.into(),
            energy: session.energy.into(),
            reason: StopReason::Unknown,
        };
        self.tell(session, "record", session.ended_at, DeviceFact::Record { record }).await
    }

    /// A device's fact, of a session that is known.
    async fn tell(&self, session: &PlannedSession, name: &str, at: Timestamp, fact: DeviceFact) -> anyhow::Result<()> {
        let actor = Actor::new(ActorKind::Device, session.pile_code.as_str());
        let caller = Caller { operator_id: self.plan.operator_id, actor, at };
        let envelope = caller.envelope(session.ids.command(name), session.session_id.0);
        let report = SessionCommand::Report { fact, discovery: None };
        self.commands.ledger.handle::<Session>(&StreamId::session(session.session_id), report, &envelope).await?;
        Ok(())
    }

    async fn pay_rest(&self, session: &PlannedSession, paying: &Paying, story: &mut Story) -> anyhow::Result<()> {
        let stream = StreamId::session(session.session_id);
        let owed = owed(&self.commands.ledger.load::<Session>(&stream).await?.state);
        let Some(at) = paying.pays_rest_at.filter(|_| owed.is_positive()) else { return Ok(()) };
        let ids = RequestIds::new(session.ids.id("the rest"));
        let user_id = self.generator.user_id(paying.user);
        self.commands.pay(&self.person(at), &ids, user_id, Channel::Sandbox, PayFor::Session(session.session_id), owed).await?;
        self.until(Signal::RestPaid, session, story).await
    }

    /// Waits until a signal has come, or what it stands for is so without it.
    async fn until(&self, signal: Signal, session: &PlannedSession, story: &mut Story) -> anyhow::Result<()> {
        if !story.is_fresh && self.is_so(signal, session).await? {
            return Ok(());
        }
        let look = if story.is_fresh { LOOK_ANYWAY } else { LOOK_AGAIN };
        while !story.heard.contains(&signal) {
            match tokio::time::timeout(look, story.signals.recv()).await {
                Ok(Some(Signal::NotStarted)) => return Err(anyhow!("the ledger refused the session")),
                Ok(Some(heard)) => {
                    story.heard.insert(heard);
                }
                Ok(None) => return Err(anyhow!("nobody reads the log any more")),
                Err(_) if self.is_so(signal, session).await? => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether what a signal stands for is so, by the ledger itself.
    async fn is_so(&self, signal: Signal, session: &PlannedSession) -> anyhow::Result<bool> {
        let ledger = &self.commands.ledger;
        let state = ledger.load::<Session>(&StreamId::session(session.session_id)).await?.state;
        Ok(match signal {
            Signal::ToppedUp => {
                let payment_id: PaymentId = top_up_ids(session).id("payment");
                let user_id = self.generator.user_id(self.generator.paying(session).user);
                let wallet = ledger.load::<Wallet>(&StreamId::wallet(user_id)).await?.state;
                !matches!(state, Session::Absent) || wallet.sources().any(|source| source.payment_id == payment_id)
            }
            Signal::Starting => match state {
                Session::Absent | Session::Requested(_) | Session::Authorised(_) => false,
                Session::NotStarted(_) => return Err(anyhow!("the ledger refused the session")),
                Session::Starting { .. }
                | Session::Charging(_)
                | Session::Ended { .. }
                | Session::Finished { .. }
                | Session::Billed { .. } => true,
            },
            Signal::NotStarted => matches!(state, Session::NotStarted(_)),
            Signal::ConnectorFree => {
                let connector = ledger.load::<Connector>(&StreamId::connector(session.connector_id)).await?.state;
                connector.occupant() != Some(session.session_id)
            }
            Signal::Settled => matches!(state, Session::Billed { is_settled: true, .. }),
            Signal::RestPaid => !owed(&state).is_positive(),
        })
    }

    /// A person who was made up.
    fn person(&self, at: Timestamp) -> Caller {
        Caller { operator_id: self.plan.operator_id, actor: self.generator.actor().clone(), at }
    }
}

fn top_up_ids(session: &PlannedSession) -> RequestIds {
    RequestIds::new(session.ids.id("top-up"))
}

/// What a settled session still owes.
fn owed(session: &Session) -> Money {
    match session {
        Session::Billed { bill, paid, is_settled: true, .. } => bill.total - paid.total(),
        _ => Money::ZERO,
    }
}

fn is_over(session: &Session, paying: &Paying) -> bool {
    let is_settled = matches!(session, Session::Billed { is_settled: true, .. });
    is_settled && (paying.pays_rest_at.is_none() || !owed(session).is_positive())
}

/// Reads what happens and tells the stories that wait for it.
async fn listen(store: Arc<dyn EventStore>, after: domain::log::Position, stories: Arc<Stories>) {
    let types = [
        "wallet.topped_up",
        "session.starting",
        "session.refused",
        "session.start_timed_out",
        "connector.released",
        "session.settled",
        "session.receivable_paid",
    ];
    let mut pages = store.subscribe_all(after, Filter::types(types), 1_024);
    while let Some(page) = pages.next().await {
        let Ok(page) = page else {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        };
        for stored in page.events {
            let Ok(recorded) = stored.decode() else { continue };
            let signal = match &recorded.event {
                Event::Wallet(WalletEvent::ToppedUp { .. }) => Signal::ToppedUp,
                Event::Session(SessionEvent::Starting { .. }) => Signal::Starting,
                Event::Session(SessionEvent::Refused { .. } | SessionEvent::StartTimedOut { .. }) => Signal::NotStarted,
                Event::Session(SessionEvent::Settled { .. }) => Signal::Settled,
                Event::Session(SessionEvent::ReceivablePaid { .. }) => Signal::RestPaid,
                _ => Signal::ConnectorFree,
            };
            stories.tell(recorded.metadata.correlation_id, signal);
        }
    }
}

/// One session's story, as far as it has been heard.
struct Story {
    signals: mpsc::UnboundedReceiver<Signal>,
    heard: HashSet<Signal>,
    is_fresh: bool,
    stories: Arc<Stories>,
    keys: [Uuid; 2],
}

impl Story {
    fn begin(stories: &Arc<Stories>, session: &PlannedSession, is_fresh: bool) -> Story {
        let (sender, signals) = mpsc::unbounded_channel();
        let top_up: PaymentId = top_up_ids(session).id("payment");
        let keys = [session.session_id.0, top_up.0];
        for key in keys {
            stories.lock().insert(key, sender.clone());
        }
        Story { signals, heard: HashSet::new(), is_fresh, stories: Arc::clone(stories), keys }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let mut stories = self.stories.lock();
        for key in &self.keys {
            stories.remove(key);
        }
    }
}
