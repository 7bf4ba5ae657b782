use super::*;
use crate::Decider;
use crate::log::Position;
use crate::testing::{given, id};
use crate::text::TextError;

fn quarantine(event: u128, reason: &str) -> ProjectionCommand {
    ProjectionCommand::Quarantine {
        projection: "journal".to_owned(),
        position: Position(7),
        event_id: id(event),
        event_type: "session.billed".to_owned(),
        reason: reason.to_owned(),
    }
}

fn quarantined(event: u128, reason: &str) -> ProjectionEvent {
    ProjectionEvent::EventQuarantined {
        projection: "journal".to_owned(),
        position: Position(7),
        event_id: id(event),
        event_type: "session.billed".to_owned(),
        reason: reason.to_owned(),
    }
}

fn approve(build: u64, position: u64, note: &str) -> ProjectionCommand {
    ProjectionCommand::ApproveSwap {
        projection: "journal".to_owned(),
        build,
        position: Position(position),
        rows_differing: 3,
        note: note.to_owned(),
    }
}

fn approved(build: u64, position: u64, note: &str) -> ProjectionEvent {
    ProjectionEvent::SwapApproved {
        projection: "journal".to_owned(),
        build,
        position: Position(position),
        rows_differing: 3,
        note: note.to_owned(),
    }
}

#[test]
fn an_event_is_stepped_over_for_a_reason() {
    given::<Projection>([]).when(quarantine(1, "booked by hand")).then([quarantined(1, "booked by hand")]);
    given::<Projection>([quarantined(1, "booked by hand")]).when(quarantine(2, "the same")).then([quarantined(2, "the same")]);
}

#[test]
fn nothing_is_stepped_over_without_a_reason() {
    let empty = || ProjectionError::from(TextError::Empty { field: "reason" });
    given::<Projection>([]).when(quarantine(1, "")).then_refused(empty());
    given::<Projection>([]).when(quarantine(1, " \u{3000}")).then_refused(empty());
    given::<Projection>([quarantined(1, "booked by hand")]).when(quarantine(1, "")).then_refused(empty());
    let long = "x".repeat(501);
    given::<Projection>([]).when(quarantine(1, &long)).then_refused(TextError::TooLong { field: "reason", length: 501, most: 500 }.into());
}

#[test]
fn the_same_event_again_changes_nothing_and_the_first_reason_stands() {
    let first = quarantined(1, "booked by hand");
    given::<Projection>([first.clone()]).when(quarantine(1, "another reason")).then_nothing();
    let state = Projection::default().evolve(&first).evolve(&quarantined(1, "another reason"));
    assert_eq!((state.reason(id(1)), state.reason(id(2))), (Some("booked by hand"), None));
}

#[test]
fn a_comparison_is_approved_once_and_a_later_one_anew() {
    given::<Projection>([]).when(approve(2, 40, "")).then([approved(2, 40, "")]);
    given::<Projection>([approved(2, 40, "")]).when(approve(2, 40, "again")).then_nothing();
    given::<Projection>([approved(2, 40, "")]).when(approve(2, 41, "")).then([approved(2, 41, "")]);
    given::<Projection>([approved(2, 40, "")]).when(approve(3, 40, "")).then([approved(3, 40, "")]);
}

#[test]
fn what_was_approved_is_that_build_as_it_was_compared() {
    let state = Projection::default().evolve(&approved(2, 40, "")).evolve(&approved(2, 41, ""));
    assert!(state.is_approved(2, Position(41), 3));
    assert!(!state.is_approved(2, Position(40), 3), "a later comparison has taken its place");
    assert!(!state.is_approved(2, Position(41), 4) && !state.is_approved(3, Position(41), 3));
}

#[test]
fn a_note_is_one_line() {
    given::<Projection>([]).when(approve(2, 40, "a\nb")).then_refused(TextError::ControlCharacter { field: "note" }.into());
}
