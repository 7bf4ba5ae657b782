use super::*;
use crate::testing::{given, id};
use crate::text::TextError;
use crate::time::ZoneName;

fn register(code: &str, name: &str) -> OperatorCommand {
    let (code, name) = (code.parse().unwrap(), name.to_owned());
    OperatorCommand::Register { operator_id: id(1), code, name, books_zone: ZoneName::shanghai(), booking: BookingMode::Principal }
}

fn registered() -> OperatorEvent {
    let (code, name) = ("MA5GXX12T".parse().unwrap(), "Bay Charging".to_owned());
    OperatorEvent::Registered { operator_id: id(1), code, name, books_zone: ZoneName::shanghai(), booking: BookingMode::Principal }
}

fn rename(name: &str) -> OperatorCommand {
    OperatorCommand::Rename { name: name.to_owned() }
}

fn renamed(name: &str) -> OperatorEvent {
    OperatorEvent::Changed { operator_id: id(1), name: name.to_owned() }
}

fn closed() -> OperatorEvent {
    OperatorEvent::Closed { operator_id: id(1) }
}

#[test]
fn an_operator_joins_once() {
    given::<Operator>([]).when(register("MA5GXX12T", "Bay Charging")).then([registered()]);
    given::<Operator>([registered()]).when(register("MA5GXX12T", "Bay Charging")).then_nothing();
    given::<Operator>([registered()]).when(register("MA5GXX12U", "Bay Charging")).then_refused(OperatorError::AlreadyRegistered);
    given::<Operator>([registered(), closed()]).when(register("MA5GXX12T", "Bay Charging")).then_refused(OperatorError::Closed);
}

#[test]
fn its_name_changes_and_the_same_name_changes_nothing() {
    given::<Operator>([registered()]).when(rename("Harbour")).then([renamed("Harbour")]);
    given::<Operator>([registered(), renamed("Harbour")]).when(rename("Harbour")).then_nothing();
}

#[test]
fn a_name_has_one_to_fifty_characters() {
    let (empty, long) = (TextError::Empty { field: "operator name" }, TextError::TooLong { field: "operator name", length: 51, most: 50 });
    given::<Operator>([]).when(register("MA5GXX12T", "")).then_refused(empty.clone().into());
    given::<Operator>([registered()]).when(rename("")).then_refused(empty.into());
    given::<Operator>([registered()]).when(rename(&"x".repeat(51))).then_refused(long.into());
}

fn set_booking(booking: BookingMode) -> OperatorCommand {
    OperatorCommand::SetBooking { booking }
}

fn booking_changed(booking: BookingMode) -> OperatorEvent {
    OperatorEvent::BookingChanged { operator_id: id(1), booking }
}

#[test]
fn its_booking_changes_and_the_same_booking_changes_nothing() {
    let (agent, principal) = (BookingMode::Agent, BookingMode::Principal);
    given::<Operator>([registered()]).when(set_booking(agent)).then([booking_changed(agent)]);
    given::<Operator>([registered()]).when(set_booking(principal)).then_nothing();
    given::<Operator>([registered(), booking_changed(agent)]).when(set_booking(agent)).then_nothing();
    given::<Operator>([registered(), booking_changed(agent)]).when(set_booking(principal)).then([booking_changed(principal)]);
}

#[test]
fn leaving_is_final_and_twice_is_once() {
    given::<Operator>([registered()]).when(OperatorCommand::Close).then([closed()]);
    given::<Operator>([registered(), closed()]).when(OperatorCommand::Close).then_nothing();
    given::<Operator>([registered(), closed()]).when(rename("Harbour")).then_refused(OperatorError::Closed);
    given::<Operator>([registered(), closed()]).when(set_booking(BookingMode::Agent)).then_refused(OperatorError::Closed);
}

#[test]
fn what_is_not_registered_refuses() {
    given::<Operator>([]).when(rename("Harbour")).then_refused(OperatorError::Absent);
    given::<Operator>([]).when(set_booking(BookingMode::Agent)).then_refused(OperatorError::Absent);
    given::<Operator>([]).when(OperatorCommand::Close).then_refused(OperatorError::Absent);
}
