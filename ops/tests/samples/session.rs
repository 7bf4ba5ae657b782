//! Sessions.

use domain::event::Event;
use domain::payment::Channel;
use domain::session::{
    DisputeReason, MeterReading, Oddity, PaymentMode, RefusalReason, SessionEvent, SessionRefs, StopReason, TransactionRecord,
};
use domain::testing::at;

use super::estate::ownership;
use super::tariff::{bill, snapshot};
use super::{of, who};

pub fn all() -> Vec<Event> {
    starting().into_iter().chain(charging()).chain(recorded()).chain(paid()).map(Event::from).collect()
}

const ORDER_NUMBER: &str = "MA5GXX12T260301020000000007";

fn refs() -> SessionRefs {
    SessionRefs {
        session_id: who::session(),
        station_id: who::station(),
        pile_id: who::pile(),
        connector_id: who::connector(),
        user_id: Some(who::user()),
    }
}

fn mode() -> PaymentMode {
    PaymentMode::Prepaid { payment_id: who::payment(), amount: of("50.00"), channel: Channel::Sandbox }
}

fn meter(register: &str, read_at: &str) -> MeterReading {
    MeterReading { register: of(register), read_at: at(read_at) }
}

fn record() -> TransactionRecord {
    TransactionRecord {
        transaction_number: "32010200000001012603011000000001".to_owned(),
        started_at: at("2026-03-01T10:00:00+08:00"),
        ended_at: at("2026-03-01T10:30:00+08:00"),
        meter_start: of("1000.0000"),
        meter_end: of("1012.0000"),
        energy: of("12.0000"),
        reason: StopReason::VehicleFull,
    }
}

fn starting() -> Vec<SessionEvent> {
    let (refs, mode) = (refs(), mode());
    vec![
        SessionEvent::Requested {
            refs,
            order_number: of(ORDER_NUMBER),
            mode,
            tariff: snapshot(),
            zone: of("Asia/Shanghai"),
            rated_power: Some(of("120.000")),
            agency: Some(Box::new(ownership().terms())),
        },
        SessionEvent::Discovered {
            refs,
            order_number: of(ORDER_NUMBER),
            tariff: Some(snapshot()),
            zone: of("Asia/Shanghai"),
            rated_power: Some(of("120.000")),
            agency: Some(Box::new(ownership().terms())),
        },
        SessionEvent::TariffAssigned { refs, tariff: snapshot(), note: "the station's tariff was published late".to_owned() },
        SessionEvent::Authorised { refs },
        SessionEvent::Refused { refs, mode, reason: RefusalReason::ConnectorOccupied },
        SessionEvent::Starting { refs, expires_at: at("2026-03-01T10:01:00+08:00") },
        SessionEvent::StartTimedOut { refs, mode },
        SessionEvent::Started { refs, meter: meter("1000.0000", "2026-03-01T10:00:00+08:00") },
    ]
}

fn charging() -> Vec<SessionEvent> {
    let (refs, session_id) = (refs(), who::session());
    vec![
        SessionEvent::MeterRead { session_id, reading: meter("1006.5000", "2026-03-01T10:15:00+08:00"), energy: of("6.5000") },
        SessionEvent::MeterDisputed { session_id, reading: meter("-0.5", "2026-03-01T10:16:00+08:00"), reason: DisputeReason::NotAnEnergy },
        SessionEvent::StopRequested { refs, reason: StopReason::User },
        SessionEvent::Stopped {
            refs,
            reason: StopReason::VehicleFull,
            meter: Some(meter("1012.0000", "2026-03-01T10:30:00+08:00")),
            stopped_at: at("2026-03-01T10:30:00+08:00"),
        },
        SessionEvent::Faulted { refs, code: "0x0011".to_owned(), faulted_at: at("2026-03-01T10:20:00+08:00") },
        SessionEvent::Abandoned { refs },
        SessionEvent::Unplugged { refs, unplugged_at: at("2026-03-01T10:50:00+08:00"), claimed_at: Some(at("2026-03-01T18:50:00+08:00")) },
    ]
}

fn recorded() -> Vec<SessionEvent> {
    let refs = refs();
    vec![
        SessionEvent::RecordAccepted { refs, record: record(), energy: of("12.0000"), oddities: vec![Oddity::Late] },
        SessionEvent::RecordDisputed { refs, record: record(), reason: DisputeReason::BelowLastReading },
        SessionEvent::ClosedByOperator {
            refs,
            energy: of("12.0000"),
            ended_at: at("2026-03-01T10:30:00+08:00"),
            note: "the pile was replaced; energy from its display".to_owned(),
        },
    ]
}

fn paid() -> Vec<SessionEvent> {
    let (refs, mode) = (refs(), mode());
    vec![
        SessionEvent::Billed { refs, mode, bill: bill(ORDER_NUMBER) },
        SessionEvent::BillCorrected {
            refs,
            mode,
            replaced: bill(ORDER_NUMBER),
            bill: bill(&format!("{ORDER_NUMBER}-2")),
            note: "wrong tariff".to_owned(),
        },
        SessionEvent::Settled {
            refs,
            mode,
            due: of("22.90"),
            prepaid_applied: of("22.90"),
            captured: of("0.00"),
            refund: of("27.10"),
            refund_to: Some(who::payment()),
            receivable: of("0.00"),
            note: Some("wrong tariff".to_owned()),
        },
        SessionEvent::ReceivablePaid { refs, payment_id: who::payment(), amount: of("10.00"), excess: of("0.10"), receivable: of("0.00") },
    ]
}
