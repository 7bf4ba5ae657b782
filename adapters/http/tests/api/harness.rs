//! A ledger of two operators behind a local listener, and a client for it.

#![allow(dead_code, reason = "the tests on PostgreSQL use it, too, each a part of it")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use commands::key::KeyDirectory;
use commands::port::{
    ChannelError, ChannelReport, Clock, DeviceError, DeviceGateway, IdSource, PayOrder, PaymentChannel, RefundOrder, StartOrder, StopOrder,
    SubjectKeyError, SubjectKeys,
};
use commands::process::runner::Managers;
use commands::user::PersonalData;
use commands::{Caller, Commands, Ledger, RequestIds};
use domain::ids::{ConnectorId, OperatorId, PileId, StationId, TariffId, UserId};
use domain::key::Role;
use domain::log::{Actor, EventStore};
use domain::payment::Channel;
use domain::pile::{CurrentKind, PileDetails};
use domain::sealed::LookupHash;
use domain::station::{Datum, Place, StationDetails};
use domain::tariff::{HalfHours, Rate, Rates, TariffElement, TariffTerms, TaxRates, TouPeriod};
use domain::testing::at;
use domain::time::{Timestamp, ZoneName};
use http_api::live::Hub;
use http_api::presence::{Presence, watch_silence};
use http_api::{Api, Limits};
use projections::port::ReadStore;
use projections::query::ReadQueries;
use projections::rebuild::port::BuildStore;
use projections::runner::{Options, Runner};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

pub(crate) struct World {
    base: String,
    client: reqwest::Client,
    pub(crate) commands: Arc<Commands>,
    pub(crate) devices: Arc<Devices>,
    keys: HashMap<(&'static str, Role), String>,
    pub(crate) station: Uuid,
    pub(crate) pile: Uuid,
    pub(crate) connector: Uuid,
    pub(crate) user: Uuid,
    _stop: watch::Sender<bool>,
}

/// The read models of a test.
pub(crate) struct Reading {
    pub(crate) queries: Arc<dyn ReadQueries>,
    pub(crate) store: Arc<dyn BuildStore>,
    /// Whether a rebuilt view that differs waits for somebody to agree.
    pub(crate) swap_approval: bool,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The kind of the problem that this is; panics when it is none.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16(), "{self:?}");
        document["type"].as_str().unwrap().strip_prefix("urn:ledger:problem:").unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.problem().as_str()), (status, kind), "{}", self.text);
        self.json()
    }
}

impl World {
    pub(crate) async fn new() -> World {
        World::with(Limits { start_wait: Duration::from_secs(3), ..Limits::default() }).await
    }

    pub(crate) async fn with(limits: Limits) -> World {
        World::reading(limits, None).await
    }

    /// With read models behind it.
    pub(crate) async fn reading(limits: Limits, reading: Option<Reading>) -> World {
        let store: Arc<dyn EventStore> = Arc::new(memory::MemoryStore::default());
        let ledger = Arc::new(Ledger::new(Arc::clone(&store), Arc::new(WallClock), Arc::new(RandomIds), 1_000));
        let devices = Arc::new(Devices::default());
        let commands = Arc::new(Commands {
            ledger,
            channels: vec![Arc::new(PatientChannel)],
            devices: Arc::clone(&devices) as _,
            subjects: Arc::new(MemoryKeys::default()),
        });
        let (stop, stopped) = watch::channel(false);
        let managers = Managers::resume(Arc::clone(&commands), true).await.unwrap();
        tokio::spawn(managers.run(stopped.clone()));

        let mut secrets = HashMap::new();
        for (name, number) in [("ours", 1), ("theirs", 2)] {
            let caller = caller(number);
            let code = format!("OPERATOR{number}").parse().unwrap();
            commands.register_operator(&caller, &ids(), code, name.to_owned(), ZoneName::shanghai(), Default::default()).await.unwrap();
            for role in [Role::App, Role::Finance, Role::Operator, Role::Gateway, Role::Regulator, Role::Partner, Role::Admin] {
                let key = commands.create_key(&caller, &ids(), role, format!("{role:?}")).await.unwrap();
                secrets.insert((name, role), key.secret);
            }
        }
        let (station, pile, connector, user) = estate(&commands, &caller(1)).await;
        let keys = KeyDirectory::follow(Arc::clone(&store)).await.unwrap();
        let presence = Presence::follow(Arc::clone(&store)).await.unwrap();
        tokio::spawn(watch_silence(Arc::clone(&presence), Arc::clone(&commands), limits.silence_max, stopped.clone()));
        let hub = Hub::follow(Arc::clone(&store), stopped);
        let mut api = Api::new(Arc::clone(&commands), keys, hub, presence, limits);
        if let Some(Reading { queries, store: read_store, swap_approval }) = reading {
            api.swap_approval = swap_approval;
            api.queries = Some(queries);
            api.builds = Some(Arc::clone(&read_store));
            let read_store: Arc<dyn ReadStore> = read_store;
            api.runner = Some(Arc::new(Runner::start(store, &read_store, projections::all(), Options::default())));
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, api.router()).await.unwrap() });
        World {
            base,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            commands,
            devices,
            keys: secrets,
            station: station.0,
            pile: pile.0,
            connector: connector.0,
            user: user.0,
            _stop: stop,
        }
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A request of ours in this role.
    pub(crate) fn request(&self, role: Role, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.keys[&("ours", role)])
    }

    /// A request of the other operator.
    pub(crate) fn foreign(&self, role: Role, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.keys[&("theirs", role)])
    }

    pub(crate) async fn post(&self, role: Role, path: &str, body: Value) -> Answered {
        send(self.request(role, Method::POST, path).json(&body)).await
    }

    pub(crate) async fn get(&self, role: Role, path: &str) -> Answered {
        send(self.request(role, Method::GET, path)).await
    }

    /// A device reports.
    pub(crate) async fn device(&self, event: Value) -> Answered {
        self.post(Role::Gateway, "/v1/device-events", event).await
    }

    /// The payer pays.
    pub(crate) async fn pay(&self, payment_id: &str, amount_yuan: &str) -> Answered {
        let payment_no = payment_id.replace('-', "");
        let report = json!({
            "type": "paid", "payment_no": payment_no, "amount_yuan": amount_yuan,
            "channel_transaction": format!("T{payment_no}"), "paid_at": "2026-03-01T08:00:00+08:00",
        });
        self.post(Role::App, "/v1/webhooks/sandbox", report).await
    }

    /// A postpaid session that charges.
    pub(crate) async fn charging(&self) -> String {
        let start = self.start(&json!({"mode": "postpaid"}));
        let starting = tokio::spawn(send(start));
        let transaction = self.devices.started().await;
        let number = transaction.simple().to_string();
        let report = json!({
            "type": "session_started", "connector_id": self.connector, "transaction_number": number,
            "register_kwh": "100.0", "occurred_at": "2026-03-01T10:00:00+08:00",
        });
        self.device(report).await.is(200);
        starting.await.unwrap().is(201)["session_id"].as_str().unwrap().to_owned()
    }

    /// A connector at a station that has no tariff, and a session of 20 kWh that only its device knows of.
    pub(crate) async fn unpriced(&self) -> String {
        let station = json!({
            "code": "S2", "name": "Nanshan", "address": "", "zone": "Asia/Shanghai",
            "place": {"longitude": "113.9", "latitude": "22.5", "datum": "WGS-84"},
        });
        let station = self.post(Role::Operator, "/v1/stations", station).await.is(201)["station_id"].as_str().unwrap().to_owned();
        let pile = json!({"code": "P2", "model": "", "current": "dc", "rated_power_kw": "60"});
        let pile = self.post(Role::Operator, &format!("/v1/stations/{station}/piles"), pile).await.is(201);
        let path = format!("/v1/piles/{}/connectors", pile["pile_id"].as_str().unwrap());
        let connector = self.post(Role::Operator, &path, json!({"number": 1})).await.is(201)["connector_id"].clone();
        let mut record = self.record("00000000000000000000000000000042", "20");
        record["connector_id"] = connector;
        self.device(record).await.is(200)["session_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn start(&self, payment: &Value) -> RequestBuilder {
        let body = json!({"connector_id": self.connector, "user_id": self.user, "payment": payment});
        self.request(Role::App, Method::POST, "/v1/sessions").json(&body)
    }

    pub(crate) fn record(&self, session_id: &str, energy_kwh: &str) -> Value {
        json!({
            "type": "transaction_record", "connector_id": self.connector, "transaction_number": session_id.replace('-', ""),
            "started_at": "2026-03-01T10:00:00+08:00", "ended_at": "2026-03-01T11:00:00+08:00",
            "meter_start_kwh": "100", "meter_end_kwh": format!("{}", 100 + energy_kwh.parse::<i64>().unwrap()), "energy_kwh": energy_kwh,
        })
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, role: Role, path: &str, is_so: impl Fn(&Answered) -> bool) -> Answered {
        for _ in 0..300 {
            let answered = self.get(role, path).await;
            if is_so(&answered) {
                return answered;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} did not come to be so: {:?}", self.get(role, path).await);
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answered {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answered { status, headers, text: response.text().await.unwrap() }
}

fn caller(number: u128) -> Caller {
    Caller { operator_id: OperatorId(Uuid::from_u128(number)), actor: Actor::system("test"), at: at("2026-01-01T00:00:00Z") }
}

fn ids() -> RequestIds {
    RequestIds::new(Uuid::now_v7())
}

async fn estate(commands: &Commands, caller: &Caller) -> (StationId, PileId, ConnectorId, UserId) {
    let (station, pile, connector) = (StationId(Uuid::now_v7()), PileId(Uuid::now_v7()), ConnectorId(Uuid::now_v7()));
    let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
    let details = StationDetails { name: "Futian".into(), address: "1 Fuhua Road".into(), place };
    commands.register_station(caller, &ids(), station, "S1".into(), details, ZoneName::shanghai()).await.unwrap();
    let tariff = TariffId(Uuid::now_v7());
    commands.publish_tariff(caller, &ids(), tariff, "t".into(), caller.at, terms()).await.unwrap();
    commands.assign_tariff(caller, &ids(), station, tariff).await.unwrap();
    let details = PileDetails { model: "m".into(), current: CurrentKind::Dc, rated_power: "60".parse().unwrap() };
    commands.register_pile(caller, &ids(), pile, station, "P1".into(), details).await.unwrap();
    commands.register_connector(caller, &ids(), connector, pile, 1).await.unwrap();
    let user = UserId(Uuid::now_v7());
    let data = PersonalData { phone: Some("13800138000".into()), ..PersonalData::default() };
    commands.register_user(caller, &ids(), user, data).await.unwrap();
    (station, pile, connector, user)
}

fn terms() -> TariffTerms {
    let rate = Rate { energy: "0.8".parse().unwrap(), service: "0.4".parse().unwrap() };
    let rates = Rates { sharp: rate, peak: rate, flat: rate, valley: rate };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffTerms { elements: vec![element], idle: None, tax }
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let micros = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        Timestamp::from_micros(i64::try_from(micros).unwrap()).unwrap()
    }
}

struct RandomIds;

impl IdSource for RandomIds {
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn secret(&self) -> [u8; 32] {
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(Uuid::now_v7().as_bytes());
        secret
    }
}

/// A channel that takes everything and reports nothing by itself.
struct PatientChannel;

#[async_trait]
impl PaymentChannel for PatientChannel {
    fn channel(&self) -> Channel {
        Channel::Sandbox
    }
    async fn prepare(&self, order: PayOrder) -> Result<String, ChannelError> {
        Ok(format!("pay {}", order.payment_no))
    }
    async fn close(&self, _: &str, _: Timestamp) -> Result<(), ChannelError> {
        Ok(())
    }
    async fn refund(&self, _: RefundOrder) -> Result<(), ChannelError> {
        Ok(())
    }
    async fn query(&self, _: &str) -> Result<Option<ChannelReport>, ChannelError> {
        Ok(None)
    }
    async fn query_refund(&self, _: &str) -> Result<Option<ChannelReport>, ChannelError> {
        Ok(None)
    }
}

/// Devices that do as they are told, unless they are unreachable.
#[derive(Default)]
pub(crate) struct Devices {
    started: Mutex<Vec<Uuid>>,
    stopped: Mutex<Vec<Uuid>>,
    pub(crate) are_gone: std::sync::atomic::AtomicBool,
}

impl Devices {
    /// The session that a device was last told to start.
    pub(crate) async fn started(&self) -> Uuid {
        for _ in 0..300 {
            if let Some(session) = self.started.lock().unwrap().pop() {
                return session;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no device was told to start");
    }

    pub(crate) fn stopped(&self) -> Vec<Uuid> {
        self.stopped.lock().unwrap().clone()
    }
}

#[async_trait]
impl DeviceGateway for Devices {
    async fn start(&self, order: StartOrder) -> Result<(), DeviceError> {
        if self.are_gone.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(DeviceError::Unreachable);
        }
        self.started.lock().unwrap().push(order.refs.session_id.0);
        Ok(())
    }
    async fn stop(&self, order: StopOrder) -> Result<(), DeviceError> {
        self.stopped.lock().unwrap().push(order.refs.session_id.0);
        Ok(())
    }
}

#[derive(Default)]
struct MemoryKeys {
    keys: Mutex<HashMap<UserId, [u8; 32]>>,
    index: Mutex<HashMap<String, UserId>>,
    lookup: Mutex<Option<[u8; 32]>>,
}

#[async_trait]
impl SubjectKeys for MemoryKeys {
    async fn get_or_create(&self, subject: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(*self.keys.lock().unwrap().entry(subject).or_insert(fresh))
    }
    async fn get(&self, subject: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        Ok(self.keys.lock().unwrap().get(&subject).copied())
    }
    async fn destroy(&self, subject: UserId) -> Result<(), SubjectKeyError> {
        self.keys.lock().unwrap().remove(&subject);
        self.index.lock().unwrap().retain(|_, owner| *owner != subject);
        Ok(())
    }
    async fn claim(&self, lookup: &LookupHash, subject: UserId) -> Result<(), SubjectKeyError> {
        let owner = *self.index.lock().unwrap().entry(lookup.0.clone()).or_insert(subject);
        if owner == subject { Ok(()) } else { Err(SubjectKeyError::Taken { owner }) }
    }
    async fn find(&self, lookup: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        Ok(self.index.lock().unwrap().get(&lookup.0).copied())
    }
    async fn lookup_key(&self, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(*self.lookup.lock().unwrap().get_or_insert(fresh))
    }
}
