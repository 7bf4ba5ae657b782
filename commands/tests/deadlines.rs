//! What must not wait for ever, as a fold over events: time is an input.

use commands::process::Action;
use commands::process::deadlines::{Deadlines, Missed, WATCHES};
use domain::event::Event;
use domain::ids::EventId;
use domain::log::{Actor, Metadata, Position, Recorded, Revision, StreamId};
use domain::payment::{Channel, PaymentEvent, Purpose};
use domain::session::{MeterReading, SessionCommand, SessionEvent, SessionRefs, StopReason};
use domain::testing::{at, id};
use domain::time::Timestamp;
use domain::units::Money;
use uuid::Uuid;

fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

/// Seconds after the beginning.
fn after(seconds: i64) -> Timestamp {
    at("2026-03-01T08:00:00Z").plus_seconds(seconds)
}

/// Recorded so many seconds after the beginning; it had happened a week before.
fn recorded(seconds: i64, event: impl Into<Event>) -> Recorded<Event> {
    let event = event.into();
    assert!(WATCHES.contains(&event.name().as_str()), "{} is not read", event.name());
    let metadata = Metadata {
        event_id: id::<EventId>(900),
        command_id: id(901),
        causation_id: None,
        correlation_id: Uuid::from_u128(10),
        actor: Actor::system("test"),
        operator_id: id(1),
        occurred_at: at("2026-02-22T08:00:00Z"),
        recorded_at: after(seconds),
    };
    Recorded { position: Position(7), stream: StreamId::from("session-10"), revision: Revision(0), metadata, event }
}

fn of(events: impl IntoIterator<Item = Recorded<Event>>) -> Deadlines {
    let mut deadlines = Deadlines::default();
    events.into_iter().for_each(|event| deadlines.observe(&event));
    deadlines
}

fn refs() -> SessionRefs {
    SessionRefs { session_id: id(10), station_id: id(2), pile_id: id(3), connector_id: id(4), user_id: Some(id(6)) }
}

fn reading() -> MeterReading {
    MeterReading { register: "1".parse().unwrap(), read_at: after(0) }
}

fn initiated() -> PaymentEvent {
    PaymentEvent::Initiated {
        payment_id: id(50),
        user_id: id(6),
        channel: Channel::Sandbox,
        purpose: Purpose::TopUp,
        amount: yuan("50"),
        payment_no: "n".to_owned(),
        expires_at: after(900),
    }
}

fn refund_requested() -> PaymentEvent {
    PaymentEvent::RefundRequested {
        payment_id: id(50),
        refund_id: id(70),
        user_id: id(6),
        channel: Channel::Sandbox,
        amount: yuan("5"),
        refund_no: "r".to_owned(),
        reason: "rest".to_owned(),
        again: false,
    }
}

/// At which seconds something is due, when every deadline is met at once, and what.
fn met_until(deadlines: &mut Deadlines, seconds: i64) -> Vec<(i64, &'static str)> {
    let mut met = Vec::new();
    for second in 0..=seconds {
        for missed in deadlines.due(after(second)) {
            assert_eq!(missed.cause.occurred_at, after(second), "it happens when the deadline passes, not when its cause did");
            met.push((second, missed.step.name));
            deadlines.met(&missed);
        }
    }
    met
}

#[test]
fn a_channel_is_asked_after_a_payment_at_growing_distances_until_it_expires() {
    let due = met_until(&mut of([recorded(0, initiated())]), 2_000);
    let asks = [30, 60, 120, 240, 480].map(|second| (second, "ask after payment"));
    assert_eq!(due, [&asks[..], &[(900, "payment expired")]].concat());
}

#[test]
fn a_payment_that_is_over_is_not_asked_after() {
    let purpose = Purpose::TopUp;
    let (payment_id, user_id, channel) = (id(50), id(6), Channel::Sandbox);
    let succeeded =
        PaymentEvent::Succeeded { payment_id, user_id, channel, purpose, amount: yuan("50"), channel_transaction: "t".to_owned() };
    let failed = PaymentEvent::Failed { payment_id, purpose, reason: "no".to_owned() };
    for end in [succeeded, failed, PaymentEvent::Closed { payment_id, purpose }] {
        assert!(of([recorded(0, initiated()), recorded(5, end)]).is_empty());
    }
}

#[test]
fn a_refund_is_asked_after_until_the_channel_says_what_became_of_it() {
    let mut deadlines = of([recorded(0, refund_requested())]);
    assert_eq!(met_until(&mut deadlines, 1_300), [60, 660, 1_260].map(|second| (second, "ask after refund")));
    let reason = "no".to_owned();
    let failed = PaymentEvent::RefundFailed {
        payment_id: id(50),
        refund_id: id(70),
        user_id: id(6),
        purpose: Purpose::TopUp,
        amount: yuan("5"),
        reason,
    };
    deadlines.observe(&recorded(1_301, failed));
    assert!(deadlines.is_empty());
}

#[test]
fn two_refunds_of_one_payment_are_two() {
    let PaymentEvent::RefundRequested { payment_id, user_id, channel, amount, refund_no, reason, .. } = refund_requested() else {
        panic!()
    };
    let other = PaymentEvent::RefundRequested { payment_id, refund_id: id(71), user_id, channel, amount, refund_no, reason, again: false };
    assert_eq!(of([recorded(0, refund_requested()), recorded(0, other)]).len(), 2);
}

#[test]
fn what_could_not_be_done_is_due_again_soon() {
    let starting = SessionEvent::Starting { refs: refs(), expires_at: after(60) };
    let mut deadlines = of([recorded(0, starting)]);
    assert!(deadlines.due(after(59)).is_empty());
    let names = |missed: Vec<Missed>| missed.iter().map(|missed| missed.step.name).collect::<Vec<_>>();
    assert_eq!(names(deadlines.due(after(60))), ["start timed out"]);
    assert!(deadlines.due(after(69)).is_empty());
    let again = deadlines.due(after(70));
    deadlines.met(&again[0]);
    assert!(deadlines.is_empty());
}

#[test]
fn a_start_that_is_heard_of_late_is_not_late_at_once() {
    // The order had expired long before its event was recorded: an import, or a gateway that was away.
    let starting = SessionEvent::Starting { refs: refs(), expires_at: after(-3_600) };
    assert_eq!(met_until(&mut of([recorded(0, starting)]), 100), [(10, "start timed out")]);
}

#[test]
fn news_moves_the_end_of_patience() {
    let started = SessionEvent::Started { refs: refs(), meter: reading() };
    let read = SessionEvent::MeterRead { session_id: id(10), reading: reading(), energy: "1".parse().unwrap() };
    let mut deadlines = of([recorded(0, started), recorded(5_000, read)]);
    assert!(deadlines.due(after(5_000 + 6 * 3_600 - 1)).is_empty());
    let due = deadlines.due(after(5_000 + 6 * 3_600));
    assert!(matches!(due[0].step.action, Action::Session(_, SessionCommand::Abandon)));
}

#[test]
fn an_end_without_a_record_has_a_day() {
    let stopped = SessionEvent::Stopped { refs: refs(), reason: StopReason::Local, meter: None, stopped_at: after(0) };
    let mut deadlines = of([recorded(0, stopped)]);
    assert!(deadlines.due(after(24 * 3_600 - 1)).is_empty());
    assert_eq!(deadlines.due(after(24 * 3_600)).len(), 1);
}

#[test]
fn an_event_that_comes_while_a_deadline_is_being_met_has_the_last_word() {
    let started = || SessionEvent::Started { refs: refs(), meter: reading() };
    let read = SessionEvent::MeterRead { session_id: id(10), reading: reading(), energy: "1".parse().unwrap() };
    let mut deadlines = of([recorded(0, started())]);
    let due = deadlines.due(after(6 * 3_600));
    // It was heard of again just then: the new deadline stands.
    deadlines.observe(&recorded(6 * 3_600, read));
    deadlines.met(&due[0]);
    assert_eq!(deadlines.len(), 1);
    // It ended just then, and meeting the deadline fails: nothing comes back.
    let mut deadlines = of([recorded(0, started())]);
    deadlines.due(after(6 * 3_600));
    deadlines.observe(&recorded(6 * 3_600, SessionEvent::Abandoned { refs: refs() }));
    assert!(deadlines.is_empty());
}
