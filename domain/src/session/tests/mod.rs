//! Every rule and every refusal of a session. A kilowatt-hour costs one yuan here and every time is on the 2nd of March 2026 in Shanghai, so that amounts
//! and clocks can be read off.

mod agency;
mod billing;
mod clocks;
mod late;
mod properties;
mod readings;
mod records;
mod requests;
mod settlement;
mod stops;

use super::*;
use crate::Decider;
use crate::ids::PaymentId;
use crate::payment::Channel;
use crate::pricing::{self, Bill, Usage};
use crate::tariff::{HalfHours, IdleFee, Rate, Rates, Restrictions, TariffElement, TariffSnapshot, TariffTerms, TaxRates, TouPeriod};
use crate::testing::{at, id};
use crate::time::{Timestamp, ZoneName};
use crate::units::{Energy, Money};

const ORDER: &str = "MA5GXX12T260302020000000009";

fn clock(time: &str) -> Timestamp {
    at(&format!("2026-03-02T{time}:00+08:00"))
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn kwh(text: &str) -> Energy {
    text.parse().unwrap()
}

fn refs() -> SessionRefs {
    SessionRefs { session_id: id(9), station_id: id(3), pile_id: id(2), connector_id: id(1), user_id: Some(id(4)) }
}

fn tariff() -> TariffSnapshot {
    let rate = Rate { energy: "1".parse().unwrap(), service: "0".parse().unwrap() };
    let rates = Rates { sharp: rate, peak: rate, flat: rate, valley: rate };
    let element = TariffElement { restrictions: Restrictions::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffSnapshot { tariff_id: id(5), version: 1, terms: TariffTerms { elements: vec![element], idle: None, tax } }
}

/// Half a yuan for each minute after charging.
fn tariff_with_idle_fee() -> TariffSnapshot {
    let mut tariff = tariff();
    tariff.terms.idle = Some(IdleFee { price: "0.5".parse().unwrap(), grace_minutes: 0, most: None });
    tariff
}

fn prepayment() -> PaymentId {
    id(70)
}

fn prepaid() -> PaymentMode {
    PaymentMode::Prepaid { payment_id: prepayment(), amount: money("50.00"), channel: Channel::Sandbox }
}

fn wallet() -> PaymentMode {
    PaymentMode::Wallet { hold: money("50.00") }
}

const MODES: [fn() -> PaymentMode; 3] = [prepaid, wallet, || PaymentMode::Postpaid];

fn request(mode: PaymentMode) -> SessionCommand {
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    let rated_power = Some("60".parse().unwrap());
    SessionCommand::Request(Box::new(Request { refs: refs(), order_number, mode, tariff: tariff(), zone, rated_power, agency: None }))
}

fn requested(mode: PaymentMode) -> SessionEvent {
    requested_under(mode, tariff())
}

fn requested_under(mode: PaymentMode, tariff: TariffSnapshot) -> SessionEvent {
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    SessionEvent::Requested { refs: refs(), order_number, mode, tariff, zone, rated_power: Some("60".parse().unwrap()), agency: None }
}

fn discovery(tariff: Option<TariffSnapshot>) -> Option<Box<Discovery>> {
    let refs = SessionRefs { user_id: None, ..refs() };
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    Some(Box::new(Discovery { refs, order_number, tariff, zone, rated_power: Some("60".parse().unwrap()), agency: None }))
}

fn authorised() -> SessionEvent {
    SessionEvent::Authorised { refs: refs() }
}

fn starting() -> SessionEvent {
    SessionEvent::Starting { refs: refs(), expires_at: clock("10:01") }
}

fn timed_out(mode: PaymentMode) -> SessionEvent {
    SessionEvent::StartTimedOut { refs: refs(), mode }
}

fn refused(mode: PaymentMode, reason: RefusalReason) -> SessionEvent {
    SessionEvent::Refused { refs: refs(), mode, reason }
}

fn meter(register: &str, time: &str) -> MeterReading {
    MeterReading { register: register.parse().unwrap(), read_at: clock(time) }
}

fn started() -> SessionEvent {
    SessionEvent::Started { refs: refs(), meter: meter("100", "10:00") }
}

/// Until the device was told to start.
fn told(mode: PaymentMode) -> Vec<SessionEvent> {
    vec![requested(mode), authorised(), starting()]
}

/// Charging since ten o'clock, from register 100.
fn charging(mode: PaymentMode) -> Vec<SessionEvent> {
    vec![requested(mode), authorised(), starting(), started()]
}

fn with<const N: usize>(mut before: Vec<SessionEvent>, then: [SessionEvent; N]) -> Vec<SessionEvent> {
    before.extend(then);
    before
}

fn read(register: &str, time: &str, energy: &str) -> SessionEvent {
    SessionEvent::MeterRead { session_id: id(9), reading: meter(register, time), energy: kwh(energy) }
}

fn disputed(register: &str, time: &str, reason: DisputeReason) -> SessionEvent {
    SessionEvent::MeterDisputed { session_id: id(9), reading: meter(register, time), reason }
}

fn stop_requested(reason: StopReason) -> SessionEvent {
    SessionEvent::StopRequested { refs: refs(), reason }
}

fn stopped(time: &str) -> SessionEvent {
    SessionEvent::Stopped { refs: refs(), reason: StopReason::Local, meter: None, stopped_at: clock(time) }
}

fn faulted(time: &str) -> SessionEvent {
    SessionEvent::Faulted { refs: refs(), code: "0x11".to_owned(), faulted_at: clock(time) }
}

fn abandoned() -> SessionEvent {
    SessionEvent::Abandoned { refs: refs() }
}

fn unplugged(time: &str) -> SessionEvent {
    SessionEvent::Unplugged { refs: refs(), unplugged_at: clock(time), claimed_at: None }
}

fn report(fact: DeviceFact) -> SessionCommand {
    SessionCommand::Report { fact, discovery: None }
}

fn report_start(register: &str, time: &str) -> SessionCommand {
    report(DeviceFact::Started { meter: meter(register, time) })
}

fn report_meter(register: &str, time: &str) -> SessionCommand {
    report(DeviceFact::Meter { reading: meter(register, time) })
}

fn report_stop(time: &str) -> SessionCommand {
    report(DeviceFact::Stopped { reason: StopReason::Local, meter: None, stopped_at: clock(time) })
}

fn report_fault(time: &str) -> SessionCommand {
    report(DeviceFact::Faulted { code: "0x11".to_owned(), faulted_at: clock(time) })
}

fn report_unplugged(time: &str) -> SessionCommand {
    report(DeviceFact::Unplugged { unplugged_at: clock(time) })
}

fn report_record(record: TransactionRecord) -> SessionCommand {
    report(DeviceFact::Record { record })
}

/// From ten o'clock, register 100, until half past, with registers that fit.
fn record(energy: &str) -> TransactionRecord {
    let end = kwh("100") + kwh(energy);
    TransactionRecord {
        transaction_number: "32010600019236012603021000003060".to_owned(),
        started_at: clock("10:00"),
        ended_at: clock("10:30"),
        meter_start: kwh("100").into(),
        meter_end: end.into(),
        energy: kwh(energy).into(),
        reason: StopReason::VehicleFull,
    }
}

fn accepted(energy: &str, oddities: impl Into<Vec<Oddity>>) -> SessionEvent {
    SessionEvent::RecordAccepted { refs: refs(), record: record(energy), energy: kwh(energy), oddities: oddities.into() }
}

fn record_disputed(record: TransactionRecord, reason: DisputeReason) -> SessionEvent {
    SessionEvent::RecordDisputed { refs: refs(), record, reason }
}

fn close(energy: &str, time: &str) -> SessionCommand {
    SessionCommand::CloseByOperator { energy: kwh(energy), ended_at: clock(time), note: "the pile burnt down".to_owned() }
}

fn closed(energy: &str, time: &str) -> SessionEvent {
    SessionEvent::ClosedByOperator { refs: refs(), energy: kwh(energy), ended_at: clock(time), note: "the pile burnt down".to_owned() }
}

const BILL: SessionCommand = SessionCommand::Bill { plugged_until: None };

/// A bill from ten o'clock until `until`.
fn bill(number: &str, until: &str, energy: &str) -> Bill {
    let usage = Usage::new(clock("10:00"), clock(until), kwh(energy), []).unwrap();
    pricing::price(format!("{ORDER}{number}"), &tariff(), &ZoneName::shanghai(), &usage).unwrap()
}

/// A bill from ten o'clock until half past, and for keeping the connector until `idle_until`.
fn bill_with_idle(number: &str, energy: &str, idle_until: &str) -> Bill {
    let usage = Usage::new(clock("10:00"), clock("10:30"), kwh(energy), []).unwrap().idle_until(clock(idle_until)).unwrap();
    pricing::price(format!("{ORDER}{number}"), &tariff_with_idle_fee(), &ZoneName::shanghai(), &usage).unwrap()
}

fn billed(mode: PaymentMode, energy: &str) -> SessionEvent {
    SessionEvent::Billed { refs: refs(), mode, bill: bill("", "10:30", energy) }
}

const AFTER_THE_BILL: &str = "the device's record came after the bill";

fn corrected(mode: PaymentMode, replaced: Bill, bill: Bill) -> SessionEvent {
    SessionEvent::BillCorrected { refs: refs(), mode, replaced, bill, note: AFTER_THE_BILL.to_owned() }
}

fn settle(captured: &str) -> SessionCommand {
    SessionCommand::Settle { captured: money(captured) }
}

fn state(events: impl IntoIterator<Item = SessionEvent>) -> Session {
    events.into_iter().fold(Session::default(), |session, event| session.evolve(&event))
}
