//! Random histories, made by the domain's own deciders: whatever is asked, only what can happen happens.

use domain::Decider;
use domain::agency::{CommissionRates, Ownership};
use domain::connector::{Connector, ConnectorCommand};
use domain::ids::{ApiKeyId, ConnectorId, OperatorId, PaymentId, PileId, RefundId, SessionId, StationId, TariffId, UserId};
use domain::journal::{Journal, JournalCommand};
use domain::key::{KeyEvent, Role};
use domain::log::StreamId;
use domain::operator::{BookingMode, Operator, OperatorCommand};
use domain::payment::{Channel, Payment, PaymentCommand, Purpose};
use domain::pile::{CurrentKind, Pile, PileCommand, PileDetails};
use domain::sealed::{LookupHash, Sealed};
use domain::session::{
    DeviceFact, Discovery, MeterReading, PaymentMode, RefusalReason, Request, Session, SessionCommand, SessionRefs, StopReason,
    TransactionRecord,
};
use domain::station::{Datum, Place, Station, StationCommand, StationDetails};
use domain::tariff::{Tariff, TariffCommand, TariffSnapshot, TariffTerms};
use domain::testing::{at, id};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Money, ReportedEnergy};
use domain::user::{User, UserCommand};
use domain::wallet::{Wallet, WalletCommand};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;

use super::Log;

const STATIONS: u128 = 3;
const USERS: u128 = 6;
/// How a session usually goes; and how one goes that an operator closes before its true record comes.
const SCRIPTS: [[u32; 12]; 2] = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10], [0, 1, 2, 3, 15, 7, 8, 9, 6, 8, 9, 10]];

struct Running {
    refs: SessionRefs,
    operator: u128,
    mode: PaymentMode,
    began: Timestamp,
    register: i64,
    step: usize,
}

/// A world in which things happen at random, the same for the same seed.
pub struct History {
    log: Log,
    random: ChaCha8Rng,
    now: Timestamp,
    next: u128,
    sessions: Vec<Running>,
    payments: Vec<(u128, PaymentId, UserId, u32)>,
}

pub fn operator(number: u128) -> OperatorId {
    id(number)
}

fn number(operator: u128, kind: u128, number: u128) -> u128 {
    operator * 1_000_000 + kind * 1_000 + number
}

pub fn station(operator: u128, at: u128) -> StationId {
    id(number(operator, 1, at))
}

pub fn user(operator: u128, at: u128) -> UserId {
    id(number(operator, 4, at))
}

fn tariff(operator: u128) -> TariffId {
    id(number(operator, 5, 0))
}

pub fn terms() -> TariffTerms {
    let rate = |energy: &str, service: &str| serde_json::json!({ "energy": energy, "service": service });
    serde_json::from_value(serde_json::json!({
        "elements": [{
            "half_hours": "VVVVVVVVVVVVVVVVFFFFPPPPPPPPFFFFFFFFSSSSPPPPFFVV",
            "rates": { "sharp": rate("1.31230", "0.60000"), "peak": rate("1.10000", "0.50000"), "flat": rate("0.80000", "0.40000"), "valley": rate("0.40000", "0.30000") },
        }],
        "idle": { "price": "0.10000", "grace_minutes": 30, "most": "20.00" },
        "tax": { "energy": "13.0000", "service": "6.0000", "idle": "6.0000" },
    }))
    .unwrap()
}

impl History {
    /// Two operators with stations, piles, connectors, tariffs and users; nothing has been charged yet.
    pub async fn new(seed: u64) -> History {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let now = at("2026-03-28T20:00:00Z");
        let mut history = History { log: Log::default(), random, now, next: 1_000_000_000, sessions: Vec::new(), payments: Vec::new() };
        for operator in 1..=2 {
            history.found(operator).await;
        }
        history
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Lets something happen this many times.
    pub async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now = self.now.plus_seconds(self.random.random_range(0..1_800));
            let operator = self.random.random_range(1..=2);
            match self.random.random_range(0..100) {
                0..60 => self.charge(operator).await,
                60..80 => self.pay(operator).await,
                80..93 => self.use_wallet(operator).await,
                _ => self.change_something(operator).await,
            }
        }
    }

    async fn act<D: Decider>(&self, operator_id: OperatorId, stream: StreamId, command: D::Command) {
        let state = self.log.state::<D>(&stream).await;
        for event in state.decide(command).unwrap_or_default() {
            self.log.append_for(operator_id, stream.clone(), event, self.now).await;
        }
    }

    fn fresh(&mut self) -> u128 {
        self.next += 1;
        self.next
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn money(&mut self, fen_max: i64) -> Money {
        Money::from_fen(self.random.random_range(1..=fen_max))
    }

    async fn found(&mut self, of: u128) {
        let us = operator(of);
        let zone: ZoneName = if of == 1 { "Asia/Shanghai" } else { "Europe/Berlin" }.parse().unwrap();
        let register = OperatorCommand::Register {
            operator_id: us,
            code: format!("MA0000{of:03}").parse().unwrap(),
            name: format!("operator {of}"),
            books_zone: zone.clone(),
            booking: BookingMode::Principal,
        };
        self.act::<Operator>(us, StreamId::operator(us), register).await;
        let publish = TariffCommand::Publish {
            tariff_id: tariff(of),
            operator_id: us,
            name: "by the hour".to_owned(),
            effective_from: self.now,
            terms: terms(),
            published_at: self.now,
        };
        self.act::<Tariff>(us, StreamId::tariff(tariff(of)), publish).await;
        for at in 0..STATIONS {
            let station_id = station(of, at);
            let place = Place {
                longitude: Decimal::new(11_406_000 + i64::try_from(at).unwrap() * 2_500, 5),
                latitude: Decimal::new(2_254_000, 5),
                datum: if at == 0 { Datum::Gcj02 } else { Datum::Wgs84 },
            };
            let details = StationDetails { name: format!("南山区充电站 {at}"), address: format!("Shennan Road {at}"), place };
            let register = StationCommand::Register { station_id, operator_id: us, code: format!("ST{at}"), details, zone: zone.clone() };
            self.act::<Station>(us, StreamId::station(station_id), register).await;
            self.act::<Station>(us, StreamId::station(station_id), StationCommand::AssignTariff { tariff_id: tariff(of) }).await;
            let ownership = (at == 1).then(ownership);
            self.act::<Station>(us, StreamId::station(station_id), StationCommand::SetOwnership { ownership }).await;
            let pile_id: PileId = id(number(of, 2, at));
            let details = PileDetails { model: String::new(), current: CurrentKind::Dc, rated_power: "60.000".parse().unwrap() };
            let register = PileCommand::Register { pile_id, station_id, code: format!("{at:014}"), details };
            self.act::<Pile>(us, StreamId::pile(pile_id), register).await;
            for connector in 0..2 {
                let connector_id: ConnectorId = id(number(of, 3, at * 2 + u128::from(connector)));
                let register = ConnectorCommand::Register { connector_id, pile_id, station_id, number: connector + 1 };
                self.act::<Connector>(us, StreamId::connector(connector_id), register).await;
            }
        }
        for at in 0..USERS {
            let user_id = user(of, at);
            let sealed = |text: &str| Sealed { sealed: format!("{text} of {at}") };
            let register = UserCommand::Register {
                user_id,
                phone: sealed("phone"),
                phone_lookup: LookupHash(format!("{of}-{at}")),
                name: Some(sealed("name")),
                plate: None,
            };
            self.act::<User>(us, StreamId::user(user_id), register).await;
        }
        let key_id: ApiKeyId = id(number(of, 6, 0));
        let created =
            KeyEvent::Created { key_id, operator_id: us, role: Role::App, name: "app".to_owned(), secret_sha256: "00".to_owned() };
        self.log.append_for(us, StreamId::api_key(key_id), created, self.now).await;
    }

    async fn charge(&mut self, of: u128) {
        if self.sessions.is_empty() || self.chance(15) {
            self.begin(of).await;
            return;
        }
        // The newest are the ones that are still going on.
        let newest = self.sessions.len().saturating_sub(12);
        let which = self.random.random_range(newest..self.sessions.len());
        let natural = self.chance(75);
        let script = SCRIPTS[usize::from(which % 4 == 0)];
        let at = self.sessions[which].step;
        let step = if natural { script[at] } else { self.random.random_range(0..16) };
        if natural {
            self.sessions[which].step = (at + 1).min(script.len() - 1);
        }
        self.sessions[which].register += self.random.random_range(-2_000..30_000);
        let (captured, odd) = (self.money(800), self.chance(10));
        let running = &self.sessions[which];
        let (now, refs) = (self.now, running.refs);
        let register = ReportedEnergy::new(Decimal::new(running.register, 4));
        let reading = MeterReading { register, read_at: now };
        let report = |fact| SessionCommand::Report { fact, discovery: None };
        let command = match step {
            0 => SessionCommand::Authorise,
            1 => SessionCommand::BeginStart { expires_at: now.plus_seconds(60) },
            2 => report(DeviceFact::Started { meter: reading }),
            3 | 4 => report(DeviceFact::Meter { reading }),
            5 => report(DeviceFact::Stopped { reason: StopReason::VehicleFull, meter: Some(reading), stopped_at: now }),
            6 => {
                let meter_start = ReportedEnergy::new(Decimal::new(100_000, 4));
                let energy = if odd { "-1".parse().unwrap() } else { ReportedEnergy::new(register.value() - meter_start.value()) };
                let record = TransactionRecord {
                    transaction_number: format!("tx-{which}"),
                    started_at: running.began,
                    ended_at: now,
                    meter_start,
                    meter_end: register,
                    energy,
                    reason: StopReason::VehicleFull,
                };
                report(DeviceFact::Record { record })
            }
            7 => report(DeviceFact::Unplugged { unplugged_at: now }),
            8 => SessionCommand::Bill { plugged_until: Some(now) },
            9 => SessionCommand::Settle { captured },
            10 => SessionCommand::PayReceivable { payment_id: id(number(running.operator, 9, which as u128)), amount: captured },
            11 => SessionCommand::Refuse { reason: RefusalReason::Cancelled },
            12 => SessionCommand::TimeOutStart,
            13 => SessionCommand::Abandon,
            14 => report(DeviceFact::Faulted { code: "E07".to_owned(), faulted_at: now }),
            // Now and then nothing was delivered, as far as anybody can see: a bill without lines.
            _ => {
                let session = self.log.state::<Session>(&StreamId::session(refs.session_id)).await;
                let began = session.course().and_then(|course| course.started).map(|started| started.read_at);
                let (energy, ended_at) = began.filter(|_| which.is_multiple_of(8)).map_or(("3.2100", now), |began| ("0", began));
                SessionCommand::CloseByOperator { energy: energy.parse().unwrap(), ended_at, note: "a zombie\0".to_owned() }
            }
        };
        let operator_id = operator(running.operator);
        self.act::<Session>(operator_id, StreamId::session(refs.session_id), command).await;
        let holds = if step == 1 {
            ConnectorCommand::Occupy { session_id: refs.session_id }
        } else {
            ConnectorCommand::Release { session_id: refs.session_id }
        };
        if matches!(step, 1 | 7) {
            self.act::<Connector>(operator_id, StreamId::connector(refs.connector_id), holds).await;
        }
    }

    async fn begin(&mut self, of: u128) {
        let session_id: SessionId = id(self.fresh());
        let at = self.random.random_range(0..STATIONS);
        let connector = self.random.random_range(0..2);
        let who = user(of, self.random.random_range(0..USERS));
        let refs = SessionRefs {
            session_id,
            station_id: station(of, at),
            pile_id: id(number(of, 2, at)),
            connector_id: id(number(of, 3, at * 2 + connector)),
            user_id: Some(who),
        };
        let amount = self.money(5_000);
        let mode = match self.random.random_range(0..3) {
            0 => PaymentMode::Prepaid { payment_id: id(self.fresh()), amount, channel: Channel::Sandbox },
            1 => PaymentMode::Wallet { hold: amount },
            _ => PaymentMode::Postpaid,
        };
        let zone: ZoneName = if of == 1 { "Asia/Shanghai" } else { "Europe/Berlin" }.parse().unwrap();
        let order_number = domain::ids::OrderNumber::of(&format!("MA0000{of:03}").parse().unwrap(), session_id, self.now);
        // Some keep the connector for nothing: when they deliver nothing, either, their bills have no lines.
        let has_idle_fee = !self.sessions.len().is_multiple_of(8);
        let terms = TariffTerms { idle: terms().idle.filter(|_| has_idle_fee), ..terms() };
        let snapshot = TariffSnapshot { tariff_id: tariff(of), version: 1, terms };
        let rated_power = Some("60.000".parse().unwrap());
        // Whatever the rules are: those that do not divide post such a bill whole.
        let agency = (at == 1).then(|| Box::new(ownership().terms()));
        let known = self.chance(85);
        let command = if known {
            SessionCommand::Request(Box::new(Request { refs, order_number, mode, tariff: snapshot, zone, rated_power, agency }))
        } else {
            let priced = self.chance(70);
            let refs = SessionRefs { user_id: None, ..refs };
            let discovery = Discovery { refs, order_number, tariff: priced.then_some(snapshot), zone, rated_power, agency };
            let meter = MeterReading { register: "10".parse().unwrap(), read_at: self.now };
            SessionCommand::Report { fact: DeviceFact::Started { meter }, discovery: Some(Box::new(discovery)) }
        };
        self.act::<Session>(operator(of), StreamId::session(session_id), command).await;
        self.sessions.push(Running { refs, operator: of, mode, began: self.now, register: 100_000, step: 0 });
    }

    async fn pay(&mut self, of: u128) {
        if self.payments.is_empty() || self.chance(30) {
            let recent = self.sessions.last().map(|running| (running.operator, running.refs, running.mode));
            let amount = self.money(8_000);
            let fresh: PaymentId = id(self.fresh());
            let (of, user_id, payment_id, purpose) = match recent {
                Some((of, SessionRefs { user_id: Some(user_id), session_id, .. }, mode)) if self.chance(60) => match mode {
                    PaymentMode::Prepaid { payment_id, .. } => (of, user_id, payment_id, Purpose::Prepayment { session_id }),
                    PaymentMode::Wallet { .. } | PaymentMode::Postpaid => (of, user_id, fresh, Purpose::Postpaid { session_id }),
                },
                _ => (of, user(of, self.random.random_range(0..USERS)), fresh, Purpose::TopUp),
            };
            let initiate = PaymentCommand::Initiate {
                payment_id,
                user_id,
                channel: Channel::Sandbox,
                purpose,
                amount,
                payment_no: format!("P{}", payment_id.0.simple()),
                expires_at: self.now.plus_seconds(900),
            };
            self.act::<Payment>(operator(of), StreamId::payment(payment_id), initiate).await;
            self.payments.push((of, payment_id, user_id, 0));
            return;
        }
        let which = self.random.random_range(self.payments.len().saturating_sub(10)..self.payments.len());
        let natural = self.chance(75);
        let (of, payment_id, user_id, step) = self.payments[which];
        let step = if natural { step } else { self.random.random_range(0..8) };
        if natural {
            self.payments[which].3 += 1;
        }
        // Now and then the channel refuses a refund, and it goes back after all.
        let step = match step {
            3 | 4 if natural && which.is_multiple_of(3) => 7 - step,
            step => step,
        };
        let stream = StreamId::payment(payment_id);
        let payment = self.log.state::<Payment>(&stream).await;
        let amount = payment.terms().map_or(Money::ZERO, |terms| terms.amount);
        let part = Money::from_fen(self.random.random_range(1..=4_000));
        let refund_id: RefundId = id(payment_id.0.as_u128() * 8 + 1 + u128::from(step > 5));
        // Mostly the channel reports what was asked for.
        let odd = self.chance(10);
        let part = payment.refund(refund_id).map(|refund| refund.amount).filter(|_| !odd).unwrap_or(part);
        let command = match step {
            0 => PaymentCommand::Prepare { payment_id, pay_token: "token".to_owned() },
            1 => PaymentCommand::ReportSucceeded { payment_id, amount, channel_transaction: format!("T{}", payment_id.0.simple()) },
            2 | 6 => PaymentCommand::RequestRefund {
                payment_id,
                refund_id,
                amount: part,
                refund_no: format!("R{}", refund_id.0.simple()),
                reason: "the rest".to_owned(),
            },
            3 => PaymentCommand::ReportRefundSucceeded { payment_id, refund_id, amount: part, channel_refund: "C1".to_owned() },
            4 => PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason: "account closed".to_owned() },
            5 => PaymentCommand::Close { payment_id },
            _ => PaymentCommand::ReportFailed { payment_id, reason: "not enough".to_owned() },
        };
        self.act::<Payment>(operator(of), stream, command).await;
        if step == 1 {
            let top_up = WalletCommand::TopUp { user_id, payment_id, amount };
            self.act::<Wallet>(operator(of), StreamId::wallet(user_id), top_up).await;
        }
    }

    async fn use_wallet(&mut self, of: u128) {
        let Some(running) = self.sessions.last() else { return };
        let (of, session_id) = (if running.operator == of { of } else { running.operator }, running.refs.session_id);
        let user_id = running.refs.user_id.unwrap_or_else(|| user(of, 0));
        let (amount, refund_id): (Money, RefundId) = (self.money(3_000), id(self.next % 5));
        let command = match self.random.random_range(0..7) {
            0 => WalletCommand::Hold { user_id, session_id, amount },
            1 => WalletCommand::Capture { user_id, session_id, due: amount },
            2 => WalletCommand::Release { user_id, session_id },
            3 => WalletCommand::Credit { user_id, session_id, amount },
            4 => WalletCommand::RequestRefund { user_id, refund_id, amount, reason: None },
            5 => WalletCommand::ReportRefundPartSucceeded { user_id, refund_id },
            _ => WalletCommand::ReportRefundPartFailed { user_id, refund_id },
        };
        self.act::<Wallet>(operator(of), StreamId::wallet(user_id), command).await;
    }

    async fn change_something(&mut self, of: u128) {
        let us = operator(of);
        let who = user(of, self.random.random_range(0..USERS));
        let connector: ConnectorId = id(number(of, 3, self.random.random_range(0..STATIONS * 2)));
        let user_stream = StreamId::user(who);
        match self.random.random_range(0..10) {
            9 => {
                let booking = if self.chance(50) { BookingMode::Agent } else { BookingMode::Principal };
                self.act::<Operator>(us, StreamId::operator(us), OperatorCommand::SetBooking { booking }).await;
            }
            0 => self.act::<Operator>(us, StreamId::operator(us), OperatorCommand::Rename { name: "another name".to_owned() }).await,
            1 => {
                let adopt = JournalCommand::AdoptRules { operator_id: us, rules_version: if self.chance(50) { 2 } else { 3 } };
                self.act::<Journal>(us, StreamId::journal(us), adopt).await;
            }
            2 => self.act::<User>(us, user_stream, UserCommand::Erase).await,
            3 => self.act::<User>(us, user_stream, UserCommand::Close).await,
            4 => {
                let plate = Some(Sealed { sealed: "plate".to_owned() });
                self.act::<User>(us, user_stream, UserCommand::Change { phone: None, name: None, plate }).await;
            }
            5 => self.act::<Connector>(us, StreamId::connector(connector), ConnectorCommand::ReportOffline).await,
            6 => self.act::<Connector>(us, StreamId::connector(connector), ConnectorCommand::ReportOnline).await,
            7 => self.act::<Connector>(us, StreamId::connector(connector), ConnectorCommand::ReportFaulted { code: "E1".to_owned() }).await,
            _ => self.act::<Connector>(us, StreamId::connector(connector), ConnectorCommand::ReportFaultCleared).await,
        }
    }
}

/// Whose the second station of every operator is.
fn ownership() -> Ownership {
    let commission = CommissionRates { energy: "5".parse().unwrap(), service: "12.5".parse().unwrap(), idle: "50".parse().unwrap() };
    Ownership::new("MA5OWNER1".parse().unwrap(), "Harbour Estates".to_owned(), commission, "6".parse().unwrap())
}
