//! A small charging network: one operator, two stations of which one takes an idle fee, four connectors, five users, a sandbox channel, and devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use commands::port::{Clock, IdSource, SubjectKeyError, SubjectKeys, payment_no};
use commands::process::runner::Managers;
use commands::session::{Requested, StartPayment, StartSession};
use commands::user::PersonalData;
use commands::{Caller, CommandError, Commands, Ledger, RequestIds};
use domain::decider::Decider;
use domain::event::Event;
use domain::ids::{CommandId, ConnectorId, OperatorId, PaymentId, PileId, SessionId, StationId, TariffId, UserId};
use domain::log::{Actor, ActorKind, EventStore, Filter, Position, Recorded, StreamId};
use domain::payment::{Channel, Payment};
use domain::pile::{CurrentKind, PileDetails};
use domain::sealed::LookupHash;
use domain::session::{DeviceFact, MeterReading, Session, StopReason, TransactionRecord};
use domain::station::{Datum, Place, StationDetails};
use domain::tariff::{HalfHours, IdleFee, Rate, Rates, TariffElement, TariffTerms, TaxRates, TouPeriod};
use domain::testing::{at, id};
use domain::time::{Timestamp, ZoneName};
use domain::units::Money;
use domain::wallet::Wallet;
use sandbox::{Behaviour, SandboxChannel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broken::{BrokenStore, Devices, Rates as Faults};

/// A clock that stands until it is moved.
pub(crate) struct HandClock(AtomicI64);

impl HandClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[derive(Default)]
struct CountedIds(AtomicU64);

impl IdSource for CountedIds {
    fn uuid(&self) -> Uuid {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        // The low half spreads, as that of a real one does.
        let spread = u128::from(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | (u128::from(count) << 80) | (spread >> 2))
    }
    fn secret(&self) -> [u8; 32] {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        secret
    }
}

/// Nobody is looked up or erased here.
struct NoKeys;

#[async_trait]
impl SubjectKeys for NoKeys {
    async fn get_or_create(&self, _: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(fresh)
    }
    async fn get(&self, _: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        Ok(None)
    }
    async fn destroy(&self, _: UserId) -> Result<(), SubjectKeyError> {
        Ok(())
    }
    async fn claim(&self, _: &LookupHash, _: UserId) -> Result<(), SubjectKeyError> {
        Ok(())
    }
    async fn find(&self, _: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        Ok(None)
    }
    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(fresh)
    }
}

pub(crate) const USERS: u128 = 5;
pub(crate) const CONNECTORS: u128 = 4;

pub(crate) fn user(number: u128) -> UserId {
    id(600 + number)
}

/// Numbers 0 and 1 stand where keeping them costs an idle fee.
pub(crate) fn connector(number: u128) -> ConnectorId {
    id(500 + number)
}

pub(crate) fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

pub(crate) struct World {
    /// What is recorded, for looking at it afterwards.
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) wire: Arc<BrokenStore>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) channel: Arc<SandboxChannel>,
    pub(crate) devices: Arc<Devices>,
    ids: Arc<CountedIds>,
    /// Of short streams here, so that every process that begins anew begins with them.
    snapshots: Arc<memory::MemorySnapshots>,
    /// The process that serves the clients and devices.
    pub(crate) edge: Arc<Commands>,
    /// The process managers' process, with its way to be told to stop.
    managers: Option<(JoinHandle<()>, watch::Sender<bool>)>,
}

impl World {
    /// Nothing breaks here.
    pub(crate) async fn calm() -> World {
        World::new(Arc::new(memory::MemoryStore::default()), 1, Faults::default(), Behaviour::Prompt, true).await
    }

    pub(crate) async fn new(store: Arc<dyn EventStore>, seed: u64, faults: Faults, behaviour: Behaviour, pays_at_once: bool) -> World {
        let clock = Arc::new(HandClock(AtomicI64::new(at("2026-03-01T00:00:00Z").micros())));
        let wire = BrokenStore::new(Arc::clone(&store), seed, faults);
        let (channel, reports) = SandboxChannel::in_memory(behaviour, pays_at_once).unwrap();
        let devices = Devices::new(Arc::clone(&clock), seed);
        let ids = Arc::new(CountedIds::default());
        let snapshots = Arc::<memory::MemorySnapshots>::default();
        let edge = process(&wire, &clock, &ids, &snapshots, &channel, &devices);
        tokio::spawn(sandbox::deliver(Arc::clone(&channel), reports, Arc::clone(&edge)));
        let world = World { store, wire, clock, channel, devices, ids, snapshots, edge, managers: None };
        world.build().await;
        world.wire.set_broken(true);
        world
    }

    /// A process with caches of its own, cold; where there is only one process, that one.
    pub(crate) fn process(&self) -> Arc<Commands> {
        if self.wire.is_only_writer() {
            return Arc::clone(&self.edge);
        }
        process(&self.wire, &self.clock, &self.ids, &self.snapshots, &self.channel, &self.devices)
    }

    pub(crate) async fn start_managers(&mut self) {
        self.start_managers_of(self.process()).await;
    }

    pub(crate) async fn start_managers_of(&mut self, commands: Arc<Commands>) {
        let (stop, stopped) = watch::channel(false);
        let managers = loop {
            match Managers::resume(Arc::clone(&commands), true).await {
                Ok(managers) => break managers,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        };
        self.managers = Some((tokio::spawn(managers.run(stopped)), stop));
    }

    /// Ends the process managers where they stand: nothing is finished, nothing is kept.
    pub(crate) async fn crash_managers(&mut self) {
        if let Some((task, _)) = self.managers.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Lets the process managers finish what they have in hand.
    pub(crate) async fn stop_managers(&mut self) {
        if let Some((task, stop)) = self.managers.take() {
            stop.send_replace(true);
            task.await.unwrap();
        }
    }

    async fn build(&self) {
        let caller = self.caller();
        let zone = ZoneName::shanghai();
        let edge = &self.edge;
        edge.register_operator(&caller, &self.request(), "MA5GXX12T".parse().unwrap(), "op".into(), zone.clone(), Default::default())
            .await
            .unwrap();
        for number in 0..2_u128 {
            let (station, tariff): (StationId, TariffId) = (id(200 + number), id(300 + number));
            let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
            let details = StationDetails { name: "s".into(), address: "a".into(), place };
            edge.register_station(&caller, &self.request(), station, format!("S{number}"), details, zone.clone()).await.unwrap();
            let idle = (number == 0).then(|| IdleFee { price: "0.5".parse().unwrap(), grace_minutes: 10, most: Some(yuan("30")) });
            edge.publish_tariff(&caller, &self.request(), tariff, "t".into(), caller.at, terms(idle)).await.unwrap();
            edge.assign_tariff(&caller, &self.request(), station, tariff).await.unwrap();
            let pile: PileId = id(400 + number);
            let details = PileDetails { model: "m".into(), current: CurrentKind::Dc, rated_power: "120".parse().unwrap() };
            edge.register_pile(&caller, &self.request(), pile, station, format!("P{number}"), details).await.unwrap();
            for plug in 0..2_u8 {
                let connector = connector(2 * number + u128::from(plug));
                edge.register_connector(&caller, &self.request(), connector, pile, plug + 1).await.unwrap();
            }
        }
        for number in 0..USERS {
            let data = PersonalData { phone: Some(format!("1380013800{number}")), ..PersonalData::default() };
            edge.register_user(&caller, &self.request(), user(number), data).await.unwrap();
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { operator_id: OperatorId(Uuid::from_u128(1)), actor: Actor::system("app"), at: self.now() }
    }

    pub(crate) fn device(&self) -> Caller {
        Caller { actor: Actor::new(ActorKind::Device, "pile".to_owned()), ..self.caller() }
    }

    pub(crate) fn request(&self) -> RequestIds {
        RequestIds::new(self.ids.uuid())
    }

    pub(crate) fn message(&self) -> CommandId {
        CommandId(self.ids.uuid())
    }

    /// Gives everybody time to do what is to be done, without moving the clock.
    pub(crate) async fn settle_down(&self) {
        let mut quiet = 0;
        let mut head = self.store.head().await.unwrap().events;
        while quiet < 3 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let now = self.store.head().await.unwrap().events;
            quiet = if now == head { quiet + 1 } else { 0 };
            head = now;
        }
    }

    /// Moves the clock in steps, and lets everybody do in between what has become due.
    pub(crate) async fn pass(&self, seconds: i64, step: i64) {
        let mut left = seconds;
        while left > 0 {
            self.clock.advance(step.min(left));
            left -= step;
            self.settle_down().await;
        }
    }

    pub(crate) async fn start(&self, connector: ConnectorId, user: UserId, payment: StartPayment) -> Result<Requested, CommandError> {
        let start = StartSession { connector_id: connector, user_id: user, payment };
        self.edge.start_session(&self.caller(), &self.request(), start).await
    }

    pub(crate) async fn top_up(&self, user: UserId, amount: &str) -> PaymentId {
        let pay_for = commands::payment::PayFor::TopUp;
        let asked = self.edge.pay(&self.caller(), &self.request(), user, Channel::Sandbox, pay_for, yuan(amount)).await;
        self.settle_down().await;
        asked.unwrap().0
    }

    pub(crate) async fn report(&self, session: SessionId, fact: DeviceFact) {
        let session_state = self.load::<Session>(&StreamId::session(session)).await;
        let connector = session_state.terms().unwrap().refs.connector_id;
        self.edge.device_fact(&self.device(), self.message(), connector, session, fact).await.unwrap();
    }

    /// Plays a device from its start to its record.
    pub(crate) async fn charge(&self, session: SessionId, energy: &str, minutes: i64) {
        let started_at = self.now();
        self.report(session, DeviceFact::Started { meter: reading("0", started_at) }).await;
        self.clock.advance(minutes * 60);
        self.report(session, DeviceFact::Record { record: record(started_at, self.now(), energy) }).await;
    }

    pub(crate) async fn load<D: Decider>(&self, stream: &StreamId) -> D {
        let mut state = D::default();
        for stored in self.store.read_stream(stream, Default::default(), 100_000).await.unwrap() {
            state = state.apply(&stored.decode().unwrap());
        }
        state
    }

    pub(crate) async fn session(&self, session: SessionId) -> Session {
        self.load(&StreamId::session(session)).await
    }

    pub(crate) async fn payment(&self, payment: PaymentId) -> Payment {
        self.load(&StreamId::payment(payment)).await
    }

    pub(crate) async fn wallet(&self, user: UserId) -> Wallet {
        self.load(&StreamId::wallet(user)).await
    }

    pub(crate) async fn log(&self) -> Vec<Recorded<Event>> {
        let page = self.store.read_all(Position(0), &Filter::All, 1_000_000).await.unwrap();
        page.events.into_iter().map(|stored| stored.decode().unwrap()).collect()
    }

    /// How often a type stands in the log.
    pub(crate) async fn count(&self, event_type: &str) -> usize {
        self.log().await.iter().filter(|recorded| recorded.event.name() == event_type).count()
    }

    pub(crate) async fn pays(&self, payment: PaymentId) {
        self.channel.pay(&payment_no(payment), self.now()).await.unwrap();
        self.settle_down().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((task, _)) = self.managers.take() {
            task.abort();
        }
    }
}

fn process(
    wire: &Arc<BrokenStore>,
    clock: &Arc<HandClock>,
    ids: &Arc<CountedIds>,
    snapshots: &Arc<memory::MemorySnapshots>,
    channel: &Arc<SandboxChannel>,
    devices: &Arc<Devices>,
) -> Arc<Commands> {
    let ledger =
        Ledger::new(Arc::clone(wire) as _, Arc::clone(clock) as _, Arc::clone(ids) as _, 64).with_snapshots(Arc::clone(snapshots) as _, 3);
    let ledger = if wire.is_only_writer() { ledger.as_only_writer() } else { ledger };
    Arc::new(Commands {
        ledger: Arc::new(ledger),
        channels: vec![Arc::clone(channel) as _],
        devices: Arc::clone(devices) as _,
        subjects: Arc::new(NoKeys),
    })
}

/// 1.20 yuan for each kWh, at any time of the day.
fn terms(idle: Option<IdleFee>) -> TariffTerms {
    let rate = || Rate { energy: "0.8".parse().unwrap(), service: "0.4".parse().unwrap() };
    let rates = Rates { sharp: rate(), peak: rate(), flat: rate(), valley: rate() };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffTerms { elements: vec![element], idle, tax }
}

pub(crate) fn reading(register: &str, read_at: Timestamp) -> MeterReading {
    MeterReading { register: register.parse().unwrap(), read_at }
}

pub(crate) fn record(started_at: Timestamp, ended_at: Timestamp, energy: &str) -> TransactionRecord {
    TransactionRecord {
        transaction_number: "1".into(),
        started_at,
        ended_at,
        meter_start: "0".parse().unwrap(),
        meter_end: energy.parse().unwrap(),
        energy: energy.parse().unwrap(),
        reason: StopReason::VehicleFull,
    }
}

pub(crate) fn prepaid(amount: &str) -> StartPayment {
    StartPayment::Prepaid { amount: yuan(amount), channel: Channel::Sandbox }
}
