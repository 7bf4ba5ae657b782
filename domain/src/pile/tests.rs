use super::*;
use crate::testing::{given, id};
use crate::text::TextError;

fn details(power: &str) -> PileDetails {
    PileDetails { model: "EV-120".to_owned(), current: CurrentKind::Dc, rated_power: power.parse().unwrap() }
}

fn register(code: &str, details: PileDetails) -> PileCommand {
    PileCommand::Register { pile_id: id(1), station_id: id(2), code: code.to_owned(), details }
}

fn registered() -> PileEvent {
    PileEvent::Registered { pile_id: id(1), station_id: id(2), code: "32010200000001".to_owned(), details: details("120.000") }
}

fn changed(power: &str) -> PileEvent {
    PileEvent::Changed { pile_id: id(1), details: details(power) }
}

fn retired() -> PileEvent {
    PileEvent::Retired { pile_id: id(1) }
}

#[test]
fn a_pile_is_put_into_service() {
    given::<Pile>([]).when(register("32010200000001", details("120.000"))).then([registered()]);
}

#[test]
fn registering_the_same_again_changes_nothing_and_other_facts_are_refused() {
    given::<Pile>([registered()]).when(register("32010200000001", details("120.000"))).then_nothing();
    given::<Pile>([registered()]).when(register("32010200000002", details("120.000"))).then_refused(PileError::AlreadyRegistered);
    given::<Pile>([registered(), retired()]).when(register("32010200000001", details("120.000"))).then_refused(PileError::Retired);
}

#[test]
fn a_code_has_one_to_twenty_three_characters() {
    given::<Pile>([]).when(register("", details("7.000"))).then_refused(TextError::Empty { field: "pile code" }.into());
    given::<Pile>([])
        .when(register(&"9".repeat(24), details("7.000")))
        .then_refused(TextError::TooLong { field: "pile code", length: 24, most: 23 }.into());
}

#[test]
fn the_model_may_be_unknown_but_not_endless() {
    let model = |model: String| PileDetails { model, ..details("7.000") };
    given::<Pile>([registered()])
        .when(PileCommand::Change { details: model(String::new()) })
        .then([PileEvent::Changed { pile_id: id(1), details: model(String::new()) }]);
    given::<Pile>([registered()])
        .when(PileCommand::Change { details: model("x".repeat(51)) })
        .then_refused(TextError::TooLong { field: "pile model", length: 51, most: 50 }.into());
}

#[test]
fn a_pile_without_power_is_refused() {
    given::<Pile>([]).when(register("P-1", details("0"))).then_refused(PileError::NoPower);
    given::<Pile>([registered()]).when(PileCommand::Change { details: details("0") }).then_refused(PileError::NoPower);
}

#[test]
fn what_it_is_changes_and_the_same_changes_nothing() {
    given::<Pile>([registered()]).when(PileCommand::Change { details: details("60") }).then([changed("60")]);
    given::<Pile>([registered(), changed("60")]).when(PileCommand::Change { details: details("60") }).then_nothing();
}

#[test]
fn retiring_is_final_and_twice_is_once() {
    given::<Pile>([registered()]).when(PileCommand::Retire).then([retired()]);
    given::<Pile>([registered(), retired()]).when(PileCommand::Retire).then_nothing();
    given::<Pile>([registered(), retired()]).when(PileCommand::Change { details: details("60") }).then_refused(PileError::Retired);
}

#[test]
fn what_is_not_registered_refuses() {
    given::<Pile>([]).when(PileCommand::Change { details: details("60") }).then_refused(PileError::Absent);
    given::<Pile>([]).when(PileCommand::Retire).then_refused(PileError::Absent);
}
