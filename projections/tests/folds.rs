//! What the rows of a read model come to after a story that the domain's own deciders tell.

use std::collections::HashMap;

use domain::Decider;
use domain::event::Event;
use domain::ids::{CommandId, EventId, OrderNumber, PaymentId, RefundId, SessionId};
use domain::log::{Actor, Metadata, Position, Recorded, Revision, StreamId};
use domain::payment::{Channel, Payment, PaymentCommand, Purpose};
use domain::session::{
    DeviceFact, MeterReading, PaymentMode, Request, Session, SessionCommand, SessionRefs, StopReason, TransactionRecord,
};
use domain::station::{Datum, Place, StationDetails, StationEvent};
use domain::tariff::{HalfHours, IdleFee, Rate, Rates, TariffElement, TariffSnapshot, TariffTerms, TaxRates, TouPeriod};
use domain::testing::{at, id};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Money};
use projections::bills::Bills;
use projections::context::Context;
use projections::daily_statistics::DailyStatistics;
use projections::fold::{Keyed, Moment};
use projections::payments::Payments;
use projections::table::Row;

/// A log of one operator with one station, and the state of what is told in it.
#[derive(Default)]
struct Story {
    events: Vec<Recorded<Event>>,
    sessions: HashMap<SessionId, Session>,
    payment: Payment,
}

impl Story {
    fn new() -> Story {
        let mut story = Story::default();
        let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
        let details = StationDetails { name: "Futian".into(), address: String::new(), place };
        let (operator_id, zone) = (id(1), ZoneName::shanghai());
        let registered = StationEvent::Registered { station_id: id(3), operator_id, code: "S1".into(), details, zone };
        story.add(StreamId::station(id(3)), registered, "2026-01-01T00:00:00+08:00");
        story
    }

    fn add(&mut self, stream: StreamId, event: impl Into<Event>, time: &str) {
        let number = self.events.len() as u64 + 1;
        let event_id = EventId::of(id::<CommandId>(u128::from(number)), 0);
        let metadata = Metadata {
            event_id,
            command_id: id(u128::from(number)),
            causation_id: None,
            correlation_id: id::<SessionId>(9).0,
            actor: Actor::system("test"),
            operator_id: id(1),
            occurred_at: at(time),
            recorded_at: at(time),
        };
        self.events.push(Recorded { position: Position(number), stream, revision: Revision(number), metadata, event: event.into() });
    }

    /// Something is asked or told of a session; it is done, or the test is wrong.
    fn session(&mut self, session_id: SessionId, command: SessionCommand, time: &str) {
        let state = self.sessions.remove(&session_id).unwrap_or_default();
        let events = state.decide(command).unwrap();
        assert!(!events.is_empty(), "nothing happened at {time}");
        self.sessions.insert(session_id, events.iter().fold(state, Session::evolve));
        events.into_iter().for_each(|event| self.add(StreamId::session(session_id), event, time));
    }

    fn payment(&mut self, command: PaymentCommand) {
        let events = self.payment.decide(command).unwrap();
        assert!(!events.is_empty(), "nothing happened");
        self.payment = events.iter().fold(std::mem::take(&mut self.payment), Payment::evolve);
        events.into_iter().for_each(|event| self.add(StreamId::payment(payment()), event, "2026-03-01T10:00:00+08:00"));
    }

    /// The rows, in no order.
    fn rows<P: Keyed>(&self) -> Vec<P::Row> {
        let (mut context, mut rows) = (Context::default(), HashMap::<<P::Row as Row>::Key, P::Row>::new());
        for recorded in &self.events {
            context.apply(recorded);
            let event_type = recorded.event.name();
            let moment = Moment { recorded, event_type: &event_type, context: &context };
            for key in P::keys(&moment).unwrap() {
                if let Some(row) = P::evolve(&key, rows.remove(&key), &moment).unwrap() {
                    rows.insert(key, row);
                }
            }
        }
        rows.into_values().collect()
    }

    /// A postpaid session that charges since a time on the first of March, under a tariff with an idle fee.
    fn charging(&mut self, session_id: SessionId, order_number: OrderNumber, time: &str) {
        let refs = SessionRefs { session_id, station_id: id(3), pile_id: id(4), connector_id: id(5), user_id: Some(id(6)) };
        let request = Request {
            refs,
            order_number,
            mode: PaymentMode::Postpaid,
            tariff: TariffSnapshot { tariff_id: id(2), version: 1, terms: terms() },
            zone: ZoneName::shanghai(),
            rated_power: None,
            agency: None,
        };
        let meter = MeterReading { register: "100".parse().unwrap(), read_at: at(time) };
        self.session(session_id, SessionCommand::Request(Box::new(request)), time);
        self.session(session_id, SessionCommand::Authorise, time);
        self.session(session_id, SessionCommand::BeginStart { expires_at: at(time).plus_seconds(60) }, time);
        self.session(session_id, report(DeviceFact::Started { meter }), time);
    }
}

fn payment() -> PaymentId {
    id(50)
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn terms() -> TariffTerms {
    let rate = Rate { energy: "1".parse().unwrap(), service: "0".parse().unwrap() };
    let rates = Rates { sharp: rate, peak: rate, flat: rate, valley: rate };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffTerms { elements: vec![element], idle: Some(IdleFee { price: "0.5".parse().unwrap(), grace_minutes: 0, most: None }), tax }
}

fn order_number(session: SessionId, started_at: Timestamp) -> OrderNumber {
    OrderNumber::of(&"MA5GXX12T".parse().unwrap(), session, started_at)
}

fn report(fact: DeviceFact) -> SessionCommand {
    SessionCommand::Report { fact, discovery: None }
}

fn record(energy: &str, started_at: &str, ended_at: &str) -> SessionCommand {
    let energy: Energy = energy.parse().unwrap();
    let meter_start: Energy = "100".parse().unwrap();
    report(DeviceFact::Record {
        record: TransactionRecord {
            transaction_number: "1".to_owned(),
            started_at: at(started_at),
            ended_at: at(ended_at),
            meter_start: meter_start.into(),
            meter_end: (meter_start + energy).into(),
            energy: energy.into(),
            reason: StopReason::Local,
        },
    })
}

fn close(energy: &str, ended_at: &str) -> SessionCommand {
    SessionCommand::CloseByOperator { energy: energy.parse().unwrap(), ended_at: at(ended_at), note: "silent".to_owned() }
}

fn bill(time: &str) -> SessionCommand {
    SessionCommand::Bill { plugged_until: Some(at(time)) }
}

/// Day, sessions, energy and fees of the days that say anything, in order.
fn days(story: &Story) -> Vec<(String, i64, String, String)> {
    let said = story.rows::<DailyStatistics>().into_iter().filter(|row| row.session_count != 0 || row.total_yuan != Money::ZERO);
    let mut days: Vec<_> =
        said.map(|row| (row.local_on.to_string(), row.session_count, row.energy_kwh.to_string(), row.total_yuan.to_string())).collect();
    days.sort();
    days
}

#[test]
fn a_session_that_was_billed_with_nothing_stays_one_session_when_its_true_record_comes_days_later() {
    let mut story = Story::new();
    let session = id(9);
    let (began, closed) = ("2026-03-01T10:00:00+08:00", "2026-03-03T09:00:00+08:00");
    story.charging(session, order_number(session, at(began)), began);
    story.session(session, close("0", began), closed);
    story.session(session, bill(began), closed);
    assert_eq!(days(&story), [("2026-03-01".to_owned(), 1, "0.0000".to_owned(), "0.00".to_owned())], "on the day on which it began");
    story.session(session, record("20", began, "2026-03-01T11:00:00+08:00"), "2026-03-01T11:00:00+08:00");
    story.session(session, SessionCommand::Bill { plugged_until: None }, "2026-03-01T11:00:00+08:00");
    assert_eq!(days(&story), [("2026-03-01".to_owned(), 1, "20.0000".to_owned(), "20.00".to_owned())]);
}

#[test]
fn a_session_without_energy_stays_one_session_when_an_unplugging_the_next_day_adds_an_idle_fee() {
    let mut story = Story::new();
    let session = id(9);
    let (began, left) = ("2026-03-01T23:50:00+08:00", "2026-03-02T00:10:00+08:00");
    story.charging(session, order_number(session, at(began)), began);
    story.session(session, record("0", began, began), "2026-03-01T23:51:00+08:00");
    story.session(session, bill(began), "2026-03-01T23:52:00+08:00");
    story.session(session, report(DeviceFact::Unplugged { unplugged_at: at(left) }), left);
    story.session(session, SessionCommand::Bill { plugged_until: None }, left);
    assert_eq!(days(&story), [("2026-03-01".to_owned(), 1, "0.0000".to_owned(), "10.00".to_owned())]);
}

#[test]
fn a_refund_that_went_back_although_the_channel_had_refused_it_is_on_its_way_no_more() {
    let mut story = Story::new();
    let (payment_id, refund_id): (PaymentId, RefundId) = (payment(), id(51));
    story.payment(PaymentCommand::Initiate {
        payment_id,
        user_id: id(6),
        channel: Channel::Sandbox,
        purpose: Purpose::Postpaid { session_id: id(9) },
        amount: money("50"),
        payment_no: "P1".to_owned(),
        expires_at: at("2026-03-01T11:00:00+08:00"),
    });
    story.payment(PaymentCommand::ReportSucceeded { payment_id, amount: money("50"), channel_transaction: "T1".to_owned() });
    let request = |refund_id, amount, refund_no: &str| {
        let (refund_no, reason) = (refund_no.to_owned(), "the rest".to_owned());
        PaymentCommand::RequestRefund { payment_id, refund_id, amount: money(amount), refund_no, reason }
    };
    let arrived = |refund_id, amount, number: &str| PaymentCommand::ReportRefundSucceeded {
        payment_id,
        refund_id,
        amount: money(amount),
        channel_refund: number.to_owned(),
    };
    story.payment(request(refund_id, "17.90", "R1"));
    story.payment(request(id(52), "5", "R2"));
    story.payment(PaymentCommand::ReportRefundFailed { payment_id, refund_id, reason: "closed".to_owned() });
    let amounts = |story: &Story| {
        let rows = story.rows::<Payments>();
        (rows[0].refunded_yuan.to_string(), rows[0].refunding_yuan.to_string())
    };
    assert_eq!(amounts(&story), ("0.00".to_owned(), "5.00".to_owned()));
    story.payment(arrived(refund_id, "17.90", "C1"));
    assert_eq!(amounts(&story), ("17.90".to_owned(), "5.00".to_owned()));
    story.payment(arrived(id(52), "5", "C2"));
    assert_eq!(amounts(&story), ("22.90".to_owned(), "0.00".to_owned()));
}

#[test]
fn two_sessions_with_one_order_number_keep_all_their_bills() {
    let mut story = Story::new();
    let began = "2026-03-01T10:00:00+08:00";
    let twins: [SessionId; 2] = [id(9), id(10)];
    for (session, energy) in twins.into_iter().zip(["1", "2"]) {
        story.charging(session, order_number(id(9), at(began)), began);
        story.session(session, close(energy, began), "2026-03-01T10:30:00+08:00");
        story.session(session, bill(began), "2026-03-01T10:30:00+08:00");
    }
    story.session(twins[0], record("20", began, "2026-03-01T11:00:00+08:00"), "2026-03-01T11:00:00+08:00");
    story.session(twins[0], SessionCommand::Bill { plugged_until: None }, "2026-03-01T11:00:00+08:00");
    let number = order_number(id(9), at(began));
    let mut bills: Vec<_> =
        story.rows::<Bills>().into_iter().map(|row| (row.session_id, row.total_yuan.to_string(), row.replaced_by)).collect();
    bills.sort();
    let expected = [
        (twins[0], "1.00".to_owned(), Some(format!("{number}-2"))),
        (twins[0], "20.00".to_owned(), None),
        (twins[1], "2.00".to_owned(), None),
    ];
    assert_eq!(bills, expected);
}
