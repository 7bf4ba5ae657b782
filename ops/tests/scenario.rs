//! The whole system on the memory store: from plug to settled money, in every mode.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use commands::port::{Clock, IdSource, SubjectKeyError, SubjectKeys};
use commands::process::runner::Managers;
use commands::session::{StartPayment, StartSession};
use commands::user::PersonalData;
use commands::{Caller, Commands, Ledger, RequestIds};
use domain::ids::{CommandId, ConnectorId, OperatorId, PileId, SessionId, StationId, TariffId, UserId};
use domain::log::{Actor, EventStore, StreamId};
use domain::sealed::LookupHash;
use domain::session::{DeviceFact, MeterReading, Session, StopReason, TransactionRecord};
use domain::station::{Datum, Place, StationDetails};
use domain::tariff::{HalfHours, Rate, Rates, TariffElement, TariffTerms, TaxRates, TouPeriod};
use domain::testing::at;
use domain::time::{Timestamp, ZoneName};
use sandbox::{Behaviour, DeviceMood, SandboxChannel, SimulatedGateway};
use tokio::sync::watch;
use uuid::Uuid;

struct FixedClock(AtomicU64);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.0.load(Ordering::SeqCst)).unwrap()).unwrap()
    }
}

#[derive(Default)]
struct CountedIds(AtomicU64);

impl IdSource for CountedIds {
    fn uuid(&self) -> Uuid {
        let count = self.0.fetch_add(1, Ordering::SeqCst);
        Uuid::from_u128((0x0190_0000_0000_7000_8000_0000_0000_0000_u128) | u128::from(count))
    }
    fn secret(&self) -> [u8; 32] {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        secret
    }
}

#[derive(Default)]
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

fn terms() -> TariffTerms {
    let rate = |energy: &str, service: &str| Rate { energy: energy.parse().unwrap(), service: service.parse().unwrap() };
    let rates = Rates { sharp: rate("1.2", "0.4"), peak: rate("1.0", "0.4"), flat: rate("0.8", "0.4"), valley: rate("0.4", "0.4") };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffTerms { elements: vec![element], idle: None, tax }
}

#[tokio::test]
async fn a_prepaid_session_is_charged_billed_settled_and_its_rest_refunded() {
    let store: Arc<dyn EventStore> = Arc::new(memory::MemoryStore::default());
    let clock = Arc::new(FixedClock(AtomicU64::new(u64::try_from(at("2026-03-01T00:00:00Z").micros()).unwrap())));
    let ledger = Arc::new(Ledger::new(store, clock, Arc::new(CountedIds::default()), 1_000));
    let (channel, reports) = SandboxChannel::in_memory(Behaviour::Prompt, true).unwrap();
    let (gateway, started) = SimulatedGateway::new(DeviceMood::Willing);
    let commands =
        Arc::new(Commands { ledger, channels: vec![Arc::clone(&channel) as _], devices: Arc::new(gateway), subjects: Arc::new(NoKeys) });
    tokio::spawn(sandbox::deliver(channel, reports, Arc::clone(&commands)));
    tokio::spawn(sandbox::speak(started, Arc::clone(&commands)));
    let (_stop, stopped) = watch::channel(false);
    let managers = Managers::resume(Arc::clone(&commands), true).await.unwrap();
    tokio::spawn(managers.run(stopped));

    let operator_id = OperatorId(Uuid::from_u128(1));
    let caller = Caller { operator_id, actor: Actor::system("test"), at: at("2026-03-01T00:00:00Z") };
    let ids = |n: u128| RequestIds::new(Uuid::from_u128(0x0190 << 112 | n));
    let zone = ZoneName::shanghai();
    commands
        .register_operator(&caller, &ids(1), "MA5GXX12T".parse().unwrap(), "op".into(), zone.clone(), Default::default())
        .await
        .unwrap();
    let station = StationId(Uuid::from_u128(2));
    let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
    let details = StationDetails { name: "s".into(), address: "a".into(), place };
    commands.register_station(&caller, &ids(2), station, "S1".into(), details, zone).await.unwrap();
    let tariff = TariffId(Uuid::from_u128(3));
    commands.publish_tariff(&caller, &ids(3), tariff, "t".into(), caller.at, terms()).await.unwrap();
    commands.assign_tariff(&caller, &ids(4), station, tariff).await.unwrap();
    let pile = PileId(Uuid::from_u128(4));
    let details =
        domain::pile::PileDetails { model: "m".into(), current: domain::pile::CurrentKind::Dc, rated_power: "120".parse().unwrap() };
    commands.register_pile(&caller, &ids(5), pile, station, "P1".into(), details).await.unwrap();
    let connector = ConnectorId(Uuid::from_u128(5));
    commands.register_connector(&caller, &ids(6), connector, pile, 1).await.unwrap();
    let user = UserId(Uuid::from_u128(6));
    let data = PersonalData { phone: Some("13800138000".into()), ..PersonalData::default() };
    commands.register_user(&caller, &ids(7), user, data).await.unwrap();

    let payment = StartPayment::Prepaid { amount: "50".parse().unwrap(), channel: domain::payment::Channel::Sandbox };
    let start = StartSession { connector_id: connector, user_id: user, payment };
    let requested = commands.start_session(&caller, &ids(8), start).await.unwrap();
    let started = commands.await_start(requested.session_id, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(started.state, Session::Charging(_)), "{:?}", started.state);

    let reading = |energy: &str, time: &str| MeterReading { register: energy.parse().unwrap(), read_at: at(time) };
    let report = |n: u128, fact| commands.device_fact(&caller, CommandId(Uuid::from_u128(n)), connector, requested.session_id, fact);
    report(100, DeviceFact::Meter { reading: reading("10", "2026-03-01T00:30:00Z") }).await.unwrap();
    let record = TransactionRecord {
        transaction_number: "1".into(),
        started_at: at("2026-03-01T00:00:00Z"),
        ended_at: at("2026-03-01T01:00:00Z"),
        meter_start: "0".parse().unwrap(),
        meter_end: "20".parse().unwrap(),
        energy: "20".parse().unwrap(),
        reason: StopReason::User,
    };
    report(101, DeviceFact::Record { record }).await.unwrap();
    let session = wait_until_settled(&commands, requested.session_id).await;
    let Session::Billed { bill, paid, .. } = session else { panic!() };
    assert_eq!(bill.total.to_string(), "24.00");
    assert_eq!(paid.total().to_string(), "24.00");
    let head = commands.ledger.store().head().await.unwrap();
    let all = commands.ledger.store().read_all(Default::default(), &Default::default(), 100).await.unwrap();
    for event in &all.events {
        println!("{} {} {}", event.position, event.stream, event.event_type);
    }
    assert_eq!(head.events, all.events.len() as u64);
    assert!(all.events.iter().any(|event| event.event_type.as_str() == "payment.refund_succeeded"));
    let audited = |events: &mut dyn Iterator<Item = domain::log::StoredEvent>| {
        let mut audit = domain::audit::Audit::default();
        events.for_each(|event| audit.observe(&event.decode().unwrap()));
        audit
    };
    let audit = audited(&mut all.events.iter().cloned());
    assert_eq!(audit.findings(), []);
    assert_eq!(audit.totals().debit, audit.totals().credit);
    // A lost refund leaves the books in order; the channel's own statement and the chain tell of it.
    for missing in ["payment.succeeded", "session.billed"] {
        let mut rest = all.events.iter().filter(|event| event.event_type.as_str() != missing).cloned();
        assert!(!audited(&mut rest).findings().is_empty(), "{missing}");
    }
}

async fn wait_until_settled(commands: &Commands, session_id: SessionId) -> Session {
    let store = commands.ledger.store();
    let mut quiet = 0;
    loop {
        let head = store.head().await.unwrap();
        let session = commands.ledger.load::<Session>(&StreamId::session(session_id)).await.unwrap().state;
        if matches!(session, Session::Billed { is_settled: true, .. }) {
            quiet += 1;
            if quiet > 3 {
                return session;
            }
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), store.wait_past(head.position)).await;
    }
}
