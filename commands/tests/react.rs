//! Event in, commands out: what the process managers want done because of each event, and of which they want nothing.

use commands::process::{Action, REACTS_TO, Step, react};
use domain::connector::{ConnectorCommand, ConnectorEvent};
use domain::event::Event;
use domain::ids::{CommandId, EventId, RefundId};
use domain::log::{Actor, Metadata, Position, Recorded, Revision, StreamId};
use domain::payment::{Channel, PaymentCommand, PaymentEvent, Purpose, Resolution};
use domain::pricing::{Bill, BillLine, FeeKind};
use domain::session::{
    DisputeReason, MeterReading, PaymentMode, RefusalReason, SessionCommand, SessionEvent, SessionRefs, StopReason, TransactionRecord,
};
use domain::tariff::{HalfHours, Rate, Rates, TariffElement, TariffSnapshot, TariffTerms, TaxRates, TouPeriod};
use domain::testing::{at, id};
use domain::time::ZoneName;
use domain::units::Money;
use domain::wallet::{RefundPart, WalletCommand, WalletEvent};
use uuid::Uuid;

fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

fn recorded(event: impl Into<Event>) -> Recorded<Event> {
    let metadata = Metadata {
        event_id: id::<EventId>(900),
        command_id: id::<CommandId>(901),
        causation_id: None,
        correlation_id: Uuid::from_u128(10),
        actor: Actor::system("test"),
        operator_id: id(1),
        occurred_at: at("2026-03-01T07:00:00Z"),
        recorded_at: at("2026-03-01T08:00:00Z"),
    };
    Recorded { position: Position(7), stream: StreamId::from("session-10"), revision: Revision(0), metadata, event: event.into() }
}

fn refs() -> SessionRefs {
    SessionRefs { session_id: id(10), station_id: id(2), pile_id: id(3), connector_id: id(4), user_id: Some(id(6)) }
}

fn nobody() -> SessionRefs {
    SessionRefs { user_id: None, ..refs() }
}

fn prepaid() -> PaymentMode {
    PaymentMode::Prepaid { payment_id: id(50), amount: yuan("50"), channel: Channel::Sandbox }
}

fn wallet() -> PaymentMode {
    PaymentMode::Wallet { hold: yuan("40") }
}

fn tariff() -> TariffSnapshot {
    let rate = || Rate { energy: "0.8".parse().unwrap(), service: "0.4".parse().unwrap() };
    let rates = Rates { sharp: rate(), peak: rate(), flat: rate(), valley: rate() };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    TariffSnapshot { tariff_id: id(20), version: 1, terms: TariffTerms { elements: vec![element], idle: None, tax: tax() } }
}

fn tax() -> TaxRates {
    TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() }
}

fn bill() -> Bill {
    let line = BillLine::credit(FeeKind::Energy, at("2026-03-01T08:00:00Z"), yuan("-24"));
    Bill::of_lines("1".to_owned(), "20".parse().unwrap(), vec![line], &tax())
}

fn requested(refs: SessionRefs, mode: PaymentMode) -> SessionEvent {
    let order_number = "MA5GXX12T260301000000000010".parse().unwrap();
    SessionEvent::Requested { refs, order_number, mode, tariff: tariff(), zone: ZoneName::shanghai(), rated_power: None, agency: None }
}

fn settled(captured: &str, refund: &str, refund_to: Option<u128>) -> SessionEvent {
    SessionEvent::Settled {
        refs: refs(),
        mode: prepaid(),
        due: yuan("24"),
        prepaid_applied: yuan("24"),
        captured: yuan(captured),
        refund: yuan(refund),
        refund_to: refund_to.map(id),
        receivable: yuan("0"),
        note: None,
    }
}

fn record() -> TransactionRecord {
    TransactionRecord {
        transaction_number: "1".to_owned(),
        started_at: at("2026-03-01T07:00:00Z"),
        ended_at: at("2026-03-01T08:00:00Z"),
        meter_start: "0".parse().unwrap(),
        meter_end: "20".parse().unwrap(),
        energy: "20".parse().unwrap(),
        reason: StopReason::VehicleFull,
    }
}

fn succeeded(purpose: Purpose) -> PaymentEvent {
    let channel_transaction = "t".to_owned();
    PaymentEvent::Succeeded {
        payment_id: id(50),
        user_id: id(6),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan("50"),
        channel_transaction,
    }
}

fn refunded(purpose: Purpose) -> PaymentEvent {
    PaymentEvent::RefundSucceeded {
        payment_id: id(50),
        refund_id: id(70),
        user_id: id(6),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan("5"),
        of_late_receipt: false,
        channel_refund: "r".to_owned(),
    }
}

fn not_refunded(purpose: Purpose) -> PaymentEvent {
    let reason = "no".to_owned();
    PaymentEvent::RefundFailed { payment_id: id(50), refund_id: id(70), user_id: id(6), purpose, amount: yuan("5"), reason }
}

const PREPAYMENT: fn() -> Purpose = || Purpose::Prepayment { session_id: id(10) };
const POSTPAID: fn() -> Purpose = || Purpose::Postpaid { session_id: id(10) };

/// A step in words: its name, to whom it goes, what it asks; then what is done when it is refused.
fn words(step: &Step) -> String {
    let what = match &step.action {
        Action::Session(session, command) => {
            assert_eq!(*session, id(10));
            match command {
                SessionCommand::Authorise => "session authorise".to_owned(),
                SessionCommand::Refuse { reason } => format!("session refuse {reason:?}"),
                SessionCommand::BeginStart { expires_at } => format!("session begin until {expires_at}"),
                SessionCommand::Bill { plugged_until } => {
                    format!("session bill{}", plugged_until.map_or_else(String::new, |until| format!(" until {until}")))
                }
                SessionCommand::Settle { captured } => format!("session settle {captured}"),
                SessionCommand::PayReceivable { amount, .. } => format!("session receives {amount}"),
                other => panic!("{other:?}"),
            }
        }
        Action::Payment(payment, command) => {
            assert_eq!((*payment, command.payment_id()), (id(50), id(50)));
            match command {
                PaymentCommand::Initiate { amount, expires_at, .. } => format!("payment initiate {amount} until {expires_at}"),
                PaymentCommand::RequestRefund { amount, .. } => format!("payment refund {amount}"),
                PaymentCommand::ResolveReceipt { channel_transaction, resolution: Resolution::Return { .. }, .. } => {
                    format!("payment return receipt {channel_transaction}")
                }
                other => panic!("{other:?}"),
            }
        }
        Action::Wallet(user, command) => {
            assert_eq!((*user, command.user_id()), (id(6), id(6)));
            match command {
                WalletCommand::TopUp { amount, .. } => format!("wallet top up {amount}"),
                WalletCommand::Hold { amount, .. } => format!("wallet hold {amount}"),
                WalletCommand::Capture { due, .. } => format!("wallet capture {due}"),
                WalletCommand::Release { .. } => "wallet release".to_owned(),
                WalletCommand::Credit { amount, .. } => format!("wallet credit {amount}"),
                WalletCommand::ReportRefundPartSucceeded { .. } => "wallet part back".to_owned(),
                WalletCommand::ReportRefundPartFailed { .. } => "wallet part kept".to_owned(),
                other @ WalletCommand::RequestRefund { .. } => panic!("{other:?}"),
            }
        }
        Action::Connector(_, ConnectorCommand::Occupy { .. }) => "connector occupy".to_owned(),
        Action::Connector(_, ConnectorCommand::Release { .. }) => "connector release".to_owned(),
        Action::Connector(_, other) => panic!("{other:?}"),
        Action::StartDevice { expires_at, .. } => format!("device start until {expires_at}"),
        Action::StopDevice { reason, .. } => format!("device stop {reason:?}"),
        Action::Collect { amount, .. } => format!("channel collect {amount}"),
        Action::ClosePayment { .. } => "channel and payment close".to_owned(),
        Action::AskAfterPayment { .. } => "channel ask after payment".to_owned(),
        Action::GiveBack { amount, refund_no, .. } => format!("channel give back {amount} as {refund_no}"),
        Action::AskAfterRefund { .. } => "channel ask after refund".to_owned(),
    };
    step.otherwise.iter().fold(what, |what, other| format!("{what}, or {}", words(other)))
}

/// An event, and all that is wanted because of it, in order.
fn expectations() -> Vec<(Event, Vec<&'static str>)> {
    let (user_id, session_id, balance, held) = (id(6), id(10), yuan("50"), yuan("0"));
    let part = RefundPart { payment_id: id(50), refund_id: id(70), amount: yuan("5") };
    let payment_id = id(50);
    let stopped = SessionEvent::Stopped { refs: refs(), reason: StopReason::Local, meter: None, stopped_at: at("2026-03-01T08:00:00Z") };
    let reading = MeterReading { register: "1".parse().unwrap(), read_at: at("2026-03-01T08:00:00Z") };
    let mut all: Vec<(Event, Vec<&'static str>)> = Vec::new();
    let mut because = |event: Event, wanted: &[&'static str]| all.push((event, wanted.to_vec()));

    // From the wish to energy: money first, then the connector, then the device.
    because(requested(refs(), prepaid()).into(), &["payment initiate 50.00 until 2026-03-01T08:15:00Z, or session refuse PaymentFailed"]);
    because(requested(refs(), wallet()).into(), &["wallet hold 40.00, or session refuse InsufficientFunds"]);
    because(requested(refs(), PaymentMode::Postpaid).into(), &["session authorise"]);
    because(requested(nobody(), prepaid()).into(), &["session refuse PaymentFailed"]);
    because(requested(nobody(), wallet()).into(), &["session refuse PaymentFailed"]);
    because(succeeded(PREPAYMENT()).into(), &["session authorise, or payment refund 50.00"]);
    because(WalletEvent::Held { user_id, session_id, amount: yuan("40"), balance, held }.into(), &["session authorise, or wallet release"]);
    because(SessionEvent::Authorised { refs: refs() }.into(), &["connector occupy, or session refuse ConnectorUnavailable"]);
    because(
        ConnectorEvent::Occupied { connector_id: id(4), station_id: id(2), session_id }.into(),
        &["session begin until 2026-03-01T08:01:00Z, or connector release"],
    );
    because(
        SessionEvent::Starting { refs: refs(), expires_at: at("2026-03-01T08:01:00Z") }.into(),
        &["device start until 2026-03-01T08:01:00Z"],
    );
    // Whatever fails, everything taken goes back.
    for (mode, back) in [
        (prepaid(), vec!["connector release", "channel and payment close, or payment refund 50.00"]),
        (wallet(), vec!["connector release", "wallet release"]),
        (PaymentMode::Postpaid, vec!["connector release"]),
    ] {
        because(SessionEvent::Refused { refs: refs(), mode, reason: RefusalReason::Cancelled }.into(), &back);
        because(SessionEvent::StartTimedOut { refs: refs(), mode }.into(), &back);
    }
    let failed = |purpose| PaymentEvent::Failed { payment_id, purpose, reason: "no".to_owned() };
    because(failed(PREPAYMENT()).into(), &["session refuse PaymentFailed"]);
    because(failed(Purpose::TopUp).into(), &[]);
    because(PaymentEvent::Closed { payment_id, purpose: PREPAYMENT() }.into(), &["session refuse PaymentFailed"]);
    because(PaymentEvent::Closed { payment_id, purpose: POSTPAID() }.into(), &[]);
    // Charging and its end.
    because(SessionEvent::Started { refs: refs(), meter: reading }.into(), &[]);
    because(SessionEvent::MeterRead { session_id, reading, energy: "1".parse().unwrap() }.into(), &[]);
    because(SessionEvent::StopRequested { refs: refs(), reason: StopReason::User }.into(), &["device stop User"]);
    because(stopped.into(), &[]);
    because(
        SessionEvent::RecordAccepted { refs: refs(), record: record(), energy: "20".parse().unwrap(), oddities: vec![] }.into(),
        &["session bill, or connector release"],
    );
    because(
        SessionEvent::ClosedByOperator {
            refs: refs(),
            energy: "20".parse().unwrap(),
            ended_at: at("2026-03-01T08:00:00Z"),
            note: "n".to_owned(),
        }
        .into(),
        &["session bill until 2026-03-01T08:00:00Z, or connector release"],
    );
    because(
        SessionEvent::Unplugged { refs: refs(), unplugged_at: at("2026-03-01T08:00:00Z"), claimed_at: None }.into(),
        &["connector release", "session bill"],
    );
    because(SessionEvent::Abandoned { refs: refs() }.into(), &["connector release"]);
    because(
        SessionEvent::RecordDisputed { refs: refs(), record: record(), reason: DisputeReason::NotAnEnergy }.into(),
        &["connector release"],
    );
    // From the bill to the last fen.
    let billed = |refs, mode| SessionEvent::Billed { refs, mode, bill: bill() };
    because(billed(refs(), prepaid()).into(), &["connector release", "session settle 0.00"]);
    because(billed(refs(), PaymentMode::Postpaid).into(), &["connector release", "session settle 0.00"]);
    because(billed(refs(), wallet()).into(), &["connector release", "wallet capture 24.00, or session settle 0.00"]);
    because(billed(nobody(), wallet()).into(), &["connector release", "session settle 0.00"]);
    because(
        WalletEvent::Captured { user_id, session_id, due: yuan("24"), amount: yuan("18"), balance, held }.into(),
        &["session settle 18.00"],
    );
    let corrected = SessionEvent::BillCorrected { refs: refs(), mode: prepaid(), replaced: bill(), bill: bill(), note: "n".to_owned() };
    because(corrected.into(), &["session settle 0.00"]);
    because(settled("0", "26", Some(50)).into(), &["payment refund 26.00"]);
    because(settled("0", "0", Some(50)).into(), &[]);
    because(settled("0", "0", None).into(), &[]);
    because(settled("-3", "0", None).into(), &["wallet credit 3.00"]);
    because(settled("18", "0", None).into(), &[]);
    because(succeeded(Purpose::TopUp).into(), &["wallet top up 50.00"]);
    because(succeeded(POSTPAID()).into(), &["session receives 50.00, or payment refund 50.00"]);
    let received = |excess: &str| SessionEvent::ReceivablePaid {
        refs: refs(),
        payment_id,
        amount: yuan("20"),
        excess: yuan(excess),
        receivable: yuan("0"),
    };
    because(received("30").into(), &["payment refund 30.00"]);
    because(received("0").into(), &[]);
    // What goes to the channel, and what comes of it.
    because(
        PaymentEvent::Initiated {
            payment_id,
            user_id,
            channel: Channel::Sandbox,
            purpose: Purpose::TopUp,
            amount: yuan("50"),
            payment_no: "n".to_owned(),
            expires_at: at("2026-03-01T08:15:00Z"),
        }
        .into(),
        &["channel collect 50.00"],
    );
    because(PaymentEvent::Prepared { payment_id, pay_token: "t".to_owned() }.into(), &[]);
    let late = PaymentEvent::ReceivedLate {
        payment_id,
        user_id,
        channel: Channel::Sandbox,
        amount: yuan("50"),
        channel_transaction: "t".to_owned(),
    };
    because(late.into(), &["payment return receipt t"]);
    let accepted = PaymentEvent::ReceiptAccepted {
        payment_id,
        user_id,
        channel: Channel::Sandbox,
        amount: yuan("49"),
        channel_transaction: "t".to_owned(),
        note: "n".to_owned(),
    };
    // Staff have said in the same breath what becomes of it.
    because(accepted.into(), &[]);
    let applied = PaymentEvent::ReceiptApplied { payment_id, user_id, amount: yuan("49"), note: "n".to_owned() };
    because(applied.into(), &["wallet top up 49.00"]);
    because(PaymentEvent::DisputesClosed { payment_id, note: "n".to_owned() }.into(), &[]);
    because(
        PaymentEvent::RefundRequested {
            payment_id,
            refund_id: id(70),
            user_id,
            channel: Channel::Sandbox,
            amount: yuan("5"),
            refund_no: "its number".to_owned(),
            reason: "rest".to_owned(),
            again: false,
        }
        .into(),
        &["channel give back 5.00 as its number"],
    );
    because(
        WalletEvent::RefundRequested { user_id, refund_id: id(71), amount: yuan("5"), parts: vec![part], reason: None, balance, held }
            .into(),
        &["payment refund 5.00, or wallet part kept"],
    );
    because(refunded(Purpose::TopUp).into(), &["wallet part back"]);
    because(refunded(PREPAYMENT()).into(), &[]);
    because(not_refunded(Purpose::TopUp).into(), &["wallet part kept"]);
    because(not_refunded(POSTPAID()).into(), &[]);
    all
}

#[test]
fn what_goes_back_goes_with_the_reason_that_was_given() {
    let reason_of = |event: Event| match &react(&recorded(event))[..] {
        [Step { action: Action::Payment(_, PaymentCommand::RequestRefund { reason, .. }), .. }] => reason.clone(),
        other => panic!("{other:?}"),
    };
    let settlement = |why: Option<&str>| {
        let mut settled = settled("0", "26", Some(50));
        if let SessionEvent::Settled { note, .. } = &mut settled {
            *note = why.map(str::to_owned);
        }
        settled.into()
    };
    assert_eq!(reason_of(settlement(None)), "what the session did not use");
    assert_eq!(reason_of(settlement(Some("the cable was broken"))), "the cable was broken");
    let part = RefundPart { payment_id: id(50), refund_id: id(70), amount: yuan("5") };
    let requested = |reason: Option<&str>| {
        let (balance, held, reason) = (yuan("0"), yuan("0"), reason.map(str::to_owned));
        let (user_id, refund_id) = (id(6), id(71));
        WalletEvent::RefundRequested { user_id, refund_id, amount: yuan("5"), parts: vec![part], reason, balance, held }.into()
    };
    assert_eq!(reason_of(requested(None)), "refund of the wallet");
    assert_eq!(reason_of(requested(Some("moved away"))), "moved away");
}

#[test]
fn each_event_has_its_consequences() {
    for (event, wanted) in expectations() {
        let steps: Vec<String> = react(&recorded(event.clone())).iter().map(words).collect();
        assert_eq!(steps, wanted, "{event:?}");
    }
}

#[test]
fn what_is_reacted_to_is_read() {
    // The log is filtered by type before anything is decoded: a type that is missing there is never heard of.
    for (event, wanted) in expectations() {
        assert!(wanted.is_empty() || REACTS_TO.contains(&event.name().as_str()), "{} is not read", event.name());
    }
    for name in REACTS_TO {
        assert!(expectations().iter().any(|(event, _)| event.name() == *name), "{name} is read for nothing, or has no test");
    }
}

#[test]
fn the_same_event_always_wants_the_same_and_its_steps_have_different_names() {
    for (event, _) in expectations() {
        let event = recorded(event);
        let steps = react(&event);
        assert_eq!(steps, react(&event));
        let mut names: Vec<&str> = steps.iter().flat_map(|step| step.otherwise.iter().chain([step])).map(|step| step.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "two steps of {:?} would be taken for one", event.event);
    }
}

#[test]
fn a_refund_has_the_id_that_its_cause_gives_it() {
    let refunds = |event_id: u128| {
        let event = Recorded {
            metadata: Metadata { event_id: id(event_id), ..recorded(settled("0", "26", Some(50))).metadata },
            ..recorded(settled("0", "26", Some(50)))
        };
        let [Step { action: Action::Payment(_, PaymentCommand::RequestRefund { refund_id, refund_no, .. }), .. }] = &react(&event)[..]
        else {
            panic!()
        };
        (*refund_id, refund_no.clone())
    };
    assert_eq!(refunds(1), refunds(1));
    assert_ne!(refunds(1), refunds(2), "two equal refunds are two");
    assert_eq!(refunds(1).0, RefundId::derived(id::<EventId>(1).0, "refund"));
}
