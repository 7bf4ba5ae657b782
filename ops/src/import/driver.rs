//! Sends the commands that would have happened, session by session: top-up, request, the device's facts, the payment of what is left. The process managers do
//! the rest, as they do for a session of today.
//!
//! Connectors go side by side, and those with the most sessions left go first: the import takes as long as they do. The sessions of one connector go one after
//! the other, as they did; what does not need the connector does not wait for it: the next ones ask, and top up, ahead of time, and what is left is paid while the
//! next one charges. Every id derives from the row, so that
//! an import that was killed goes on where it stopped, and one that is repeated changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use commands::payment::PayFor;
use commands::port::{payment_no, transaction_number};
use commands::session::{StartPayment, StartSession};
use commands::{Caller, Commands, RequestIds};
use domain::connector::Connector;
use domain::event::Event;
use domain::ids::{ConnectorId, PaymentId, SessionId, UserId};
use domain::log::{Actor, ActorKind, EventStore, Filter, Position, StreamId};
use domain::payment::{Channel, Payment, PaymentStatus};
use domain::session::{DeviceFact, MeterReading, Session, SessionCommand, SessionEvent, StopReason, TransactionRecord};
use domain::time::Timestamp;
use domain::units::{Money, ReportedEnergy};
use domain::wallet::Wallet;
use sandbox::SandboxChannel;
use tokio::sync::{OwnedMutexGuard, Semaphore, mpsc};

use super::generate::{Generator, How, Paying};
use super::plan::{Plan, PlannedSession};
use super::story::{Signal, Stories, Story, listen};
use super::turns::{Turn, Turns};
use crate::compose::Writing;
use crate::progress::Meter;

/// Connectors that are in use at once: enough to keep the machine busy, few enough that the longest queue never waits for a short one.
const CONNECTORS_AT_ONCE: usize = 24;
/// Sessions that have given their connector back and wait for their money.
const IN_FLIGHT: usize = 256;
/// Sessions of one connector whose money is made ready ahead of time.
const AHEAD: usize = 3;
const PAGE: usize = 4_096;
/// People ask for a session a little before energy flows.
const ASK_BEFORE_SECONDS: i64 = 30;
const TOP_UP_BEFORE_SECONDS: i64 = 90;
/// A payer takes this long.
const PAYER_SECONDS: i64 = 5;
/// How often a session looks for itself whether it may go on: quickly when it was begun by an import that was killed, else only in case a signal was missed.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

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
    sandbox: Arc<SandboxChannel>,
    generator: Generator,
    plan: Plan,
    /// Sessions that the ledger had heard of when the import began.
    begun: HashSet<SessionId>,
    stories: Arc<Stories>,
    turns: Turns,
    /// One session at a time for each wallet: what one tops up to hold, another one's bill must not take.
    wallets: Mutex<HashMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    in_flight: Arc<Semaphore>,
    played: AtomicU64,
    known: AtomicU64,
    meter: Meter,
}

/// A session whose money is where it has to be before it is asked for.
struct Ready {
    session: PlannedSession,
    paying: Paying,
    story: Story,
}

impl Driver {
    pub(crate) fn new(writing: &Writing, plan: Plan, generator: Generator) -> Driver {
        let meter = Meter::start("importing sessions", plan.sessions.len() as u64);
        Driver {
            commands: Arc::clone(&writing.commands),
            sandbox: Arc::clone(&writing.sandbox),
            generator,
            plan,
            begun: HashSet::new(),
            stories: Arc::default(),
            turns: Turns::of(CONNECTORS_AT_ONCE),
            wallets: Mutex::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            played: AtomicU64::new(0),
            known: AtomicU64::new(0),
            meter,
        }
    }

    /// Plays every session that has not been played. The process managers have to be running.
    pub(crate) async fn run(mut self) -> anyhow::Result<Done> {
        let store = Arc::clone(self.commands.ledger.store());
        let head = store.head().await?.position;
        self.begun = begun(&store, head).await?;
        let listener = tokio::spawn(listen(store, head, Arc::clone(&self.stories)));
        let mut connectors: HashMap<ConnectorId, Vec<PlannedSession>> = HashMap::new();
        for session in &self.plan.sessions {
            connectors.entry(session.connector_id).or_default().push(session.clone());
        }
        let driver = Arc::new(self);
        let mut running = tokio::task::JoinSet::new();
        for sessions in connectors.into_values() {
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
        let mut left = sessions.len();
        let mut tasks = tokio::task::JoinSet::new();
        let (ready, mut next) = mpsc::channel(AHEAD);
        tasks.spawn(Arc::clone(&self).make_ready(sessions, ready));
        while let Some(session) = next.recv().await {
            if let Some(Ready { session, paying, mut story }) = session {
                let line = session.line;
                let turn = self.turns.take(left).await;
                let wallet = self.charge(&session, &paying, &mut story, turn).await.with_context(|| format!("line {line}"))?;
                let permit = Arc::clone(&self.in_flight).acquire_owned().await?;
                let driver = Arc::clone(&self);
                tasks.spawn(async move {
                    let finished = driver.finish(&session, &paying, &mut story, wallet).await.with_context(|| format!("line {line}"));
                    drop(permit);
                    finished
                });
            }
            left -= 1;
            while let Some(ended) = tasks.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Hands over the sessions of one connector in their order, a few of them ahead; nothing for those that are over.
    async fn make_ready(self: Arc<Self>, sessions: Vec<PlannedSession>, ready: mpsc::Sender<Option<Ready>>) -> anyhow::Result<()> {
        // One at a time: what waits to be handed over must not hold what the connector's session needs.
        for session in sessions {
            // Nobody takes it when the connector's sessions have ended with an error.
            if ready.send(self.prepare(session).await?).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// What needs no connector: the payment that comes first is made ready to be paid.
    async fn prepare(&self, session: PlannedSession) -> anyhow::Result<Option<Ready>> {
        let line = session.line;
        let paying = self.generator.paying(&session);
        let is_fresh = !self.begun.contains(&session.session_id);
        if !is_fresh {
            let found = self.commands.ledger.load::<Session>(&StreamId::session(session.session_id)).await?.state;
            if is_over(&found, &paying) {
                self.known.fetch_add(1, Ordering::Relaxed);
                self.meter.add(1);
                return Ok(None);
            }
        }
        let top_up: PaymentId = top_up_ids(&session).id("payment");
        let mut story = Story::begin(&self.stories, [session.session_id.0, top_up.0], is_fresh);
        self.make_money_ready(&session, &paying, &mut story).await.with_context(|| format!("line {line}"))?;
        Ok(Some(Ready { session, paying, story }))
    }

    async fn make_money_ready(&self, session: &PlannedSession, paying: &Paying, story: &mut Story) -> anyhow::Result<()> {
        match paying.how {
            How::Wallet { top_up, .. } => self.ask_to_pay(session, paying, story, &top_up_ids(session), PayFor::TopUp, top_up).await,
            How::Prepaid { amount } => {
                let payment = StartPayment::Prepaid { amount, channel: Channel::Sandbox };
                let (caller, start) = self.wish(session, paying, payment);
                self.commands.start_session_ahead(&caller, &session.ids, start).await?;
                self.until(Signal::Prepared(session.ids.id("payment")), session, story).await
            }
            How::Postpaid => Ok(()),
        }
    }

    /// Asks for a payment that belongs to no start, until the channel waits for the payer.
    async fn ask_to_pay(
        &self,
        session: &PlannedSession,
        paying: &Paying,
        story: &mut Story,
        ids: &RequestIds,
        pay_for: PayFor,
        amount: Money,
    ) -> anyhow::Result<()> {
        let at = match pay_for {
            PayFor::TopUp => top_up_at(session),
            PayFor::Session(_) => paying.pays_rest_at.unwrap_or(session.ended_at),
        };
        let user_id = self.generator.user_id(paying.user);
        let (payment_id, asked) = self.commands.pay(&self.person(at), ids, user_id, Channel::Sandbox, pay_for, amount).await?;
        // Asked for by an import that was killed before it got any further.
        story.is_fresh &= !asked.repeated;
        self.until(Signal::Prepared(payment_id), session, story).await
    }

    /// The payer pays.
    async fn pay(&self, payment_id: PaymentId, asked_at: Timestamp) -> anyhow::Result<()> {
        Ok(self.sandbox.pay(&payment_no(payment_id), asked_at.plus_seconds(PAYER_SECONDS)).await?)
    }

    /// From the wish to the moment when the next one may have the connector. The wallet is not for others before its part is settled.
    async fn charge(
        &self,
        session: &PlannedSession,
        paying: &Paying,
        story: &mut Story,
        turn: Turn<'_>,
    ) -> anyhow::Result<Option<OwnedMutexGuard<()>>> {
        let wallet = self.start(session, paying, story).await?;
        self.until(Signal::Starting, session, story).await?;
        self.tell_device_facts(session).await?;
        self.until(Signal::ConnectorFree, session, story).await?;
        drop(turn);
        Ok(wallet)
    }

    async fn finish(
        &self,
        session: &PlannedSession,
        paying: &Paying,
        story: &mut Story,
        wallet: Option<OwnedMutexGuard<()>>,
    ) -> anyhow::Result<()> {
        self.until(Signal::Settled, session, story).await?;
        drop(wallet);
        self.pay_rest(session, paying, story).await?;
        self.played.fetch_add(1, Ordering::Relaxed);
        self.meter.add(1);
        Ok(())
    }

    async fn start(&self, session: &PlannedSession, paying: &Paying, story: &mut Story) -> anyhow::Result<Option<OwnedMutexGuard<()>>> {
        let (payment, wallet) = match paying.how {
            How::Prepaid { .. } => {
                self.pay(session.ids.id("payment"), session.started_at.plus_seconds(-ASK_BEFORE_SECONDS)).await?;
                return Ok(None);
            }
            How::Postpaid => (StartPayment::Postpaid, None),
            How::Wallet { hold, .. } => {
                let wallet = self.wallet(self.generator.user_id(paying.user)).lock_owned().await;
                self.pay(top_up_ids(session).id("payment"), top_up_at(session)).await?;
                self.until(Signal::ToppedUp, session, story).await?;
                (StartPayment::Wallet { hold }, Some(wallet))
            }
        };
        let (caller, start) = self.wish(session, paying, payment);
        self.commands.start_session(&caller, &session.ids, start).await?;
        Ok(wallet)
    }

    fn wallet(&self, user_id: UserId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.wallets.lock().unwrap_or_else(PoisonError::into_inner).entry(user_id).or_default())
    }

    fn wish(&self, session: &PlannedSession, paying: &Paying, payment: StartPayment) -> (Caller, StartSession) {
        let caller = self.person(session.started_at.plus_seconds(-ASK_BEFORE_SECONDS));
        (caller, StartSession { connector_id: session.connector_id, user_id: self.generator.user_id(paying.user), payment })
    }

    /// What the device says of the session, in its order and in one delivery: a device that was out of reach hands over what it has kept.
    async fn tell_device_facts(&self, session: &PlannedSession) -> anyhow::Result<()> {
        let first = MeterReading { register: ReportedEnergy::default(), read_at: session.started_at };
        let last = MeterReading { register: session.energy.into(), read_at: session.ended_at };
        // The file does not say why it ended.
        let reason = StopReason::Unknown;
        let record = TransactionRecord {
            transaction_number: transaction_number(session.session_id),
            started_at: session.started_at,
            ended_at: session.ended_at,
            meter_start: ReportedEnergy::default(),
            meter_end: session.energy.into(),
            energy: session.energy.into(),
            reason,
        };
        let facts = [
            ("started", session.started_at, DeviceFact::Started { meter: first }),
            ("stopped", session.ended_at, DeviceFact::Stopped { reason, meter: Some(last), stopped_at: session.ended_at }),
            ("unplugged", session.ended_at, DeviceFact::Unplugged { unplugged_at: session.ended_at }),
            ("record", session.ended_at, DeviceFact::Record { record }),
        ];
        let actor = Actor::new(ActorKind::Device, session.pile_code.as_str());
        let reports = facts.map(|(name, at, fact)| {
            let caller = Caller { operator_id: self.plan.operator_id, actor: actor.clone(), at };
            let envelope = caller.envelope(session.ids.command(name), session.session_id.0);
            (SessionCommand::Report { fact, discovery: None }, envelope)
        });
        self.commands.ledger.handle_all::<Session>(&StreamId::session(session.session_id), &reports).await?;
        Ok(())
    }

    async fn pay_rest(&self, session: &PlannedSession, paying: &Paying, story: &mut Story) -> anyhow::Result<()> {
        let stream = StreamId::session(session.session_id);
        let owed = owed(&self.commands.ledger.load::<Session>(&stream).await?.state);
        let Some(at) = paying.pays_rest_at.filter(|_| owed.is_positive()) else { return Ok(()) };
        let ids = RequestIds::new(session.ids.id("the rest"));
        self.ask_to_pay(session, paying, story, &ids, PayFor::Session(session.session_id), owed).await?;
        self.pay(ids.id("payment"), at).await?;
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
            Signal::Prepared(payment_id) => {
                let payment = ledger.load::<Payment>(&StreamId::payment(payment_id)).await?.state;
                match payment.status() {
                    PaymentStatus::Absent => false,
                    PaymentStatus::Open => payment.pay_token().is_some(),
                    PaymentStatus::Failed | PaymentStatus::Closed | PaymentStatus::Succeeded | PaymentStatus::ReceivedLate => true,
                }
            }
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

/// The sessions that the log has heard of.
async fn begun(store: &Arc<dyn EventStore>, until: Position) -> anyhow::Result<HashSet<SessionId>> {
    let filter = Filter::types(["session.requested"]);
    let (mut begun, mut after) = (HashSet::new(), Position(0));
    while after < until {
        let page = store.read_all(after, &filter, PAGE).await?;
        after = page.scanned_to;
        for stored in page.events {
            if let Event::Session(SessionEvent::Requested { refs, .. }) = stored.decode()?.event {
                begun.insert(refs.session_id);
            }
        }
    }
    Ok(begun)
}

fn top_up_ids(session: &PlannedSession) -> RequestIds {
    RequestIds::new(session.ids.id("top-up"))
}

fn top_up_at(session: &PlannedSession) -> Timestamp {
    session.started_at.plus_seconds(-TOP_UP_BEFORE_SECONDS)
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
