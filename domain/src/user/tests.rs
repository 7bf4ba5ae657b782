use super::*;
use crate::sealed::{LookupHash, Sealed};
use crate::testing::{given, id};

fn sealed(text: &str) -> Sealed {
    Sealed { sealed: text.to_owned() }
}

fn register() -> UserCommand {
    let (phone, phone_lookup) = (sealed("phone"), LookupHash("ab".to_owned()));
    UserCommand::Register { user_id: id(1), phone, phone_lookup, name: Some(sealed("name")), plate: None }
}

fn registered() -> UserEvent {
    let (phone, phone_lookup) = (sealed("phone"), LookupHash("ab".to_owned()));
    UserEvent::Registered { user_id: id(1), phone, phone_lookup, name: Some(sealed("name")), plate: None }
}

fn change_plate() -> UserCommand {
    UserCommand::Change { phone: None, name: None, plate: Some(sealed("plate")) }
}

fn plate_changed() -> UserEvent {
    UserEvent::Changed { user_id: id(1), phone: None, name: None, plate: Some(sealed("plate")) }
}

fn closed() -> UserEvent {
    UserEvent::Closed { user_id: id(1) }
}

fn erased() -> UserEvent {
    UserEvent::Erased { user_id: id(1) }
}

#[test]
fn a_driver_joins_once() {
    given::<User>([]).when(register()).then([registered()]);
    given::<User>([registered()]).when(register()).then_refused(UserError::AlreadyRegistered);
    given::<User>([registered(), closed()]).when(register()).then_refused(UserError::AlreadyRegistered);
}

#[test]
fn personal_data_changes_and_no_data_changes_nothing() {
    given::<User>([registered()]).when(change_plate()).then([plate_changed()]);
    given::<User>([registered(), plate_changed()]).when(UserCommand::Change { phone: None, name: None, plate: None }).then_nothing();
}

#[test]
fn a_closed_account_changes_nothing_more() {
    given::<User>([registered()]).when(UserCommand::Close).then([closed()]);
    given::<User>([registered(), closed()]).when(UserCommand::Close).then_nothing();
    given::<User>([registered(), closed()]).when(change_plate()).then_refused(UserError::Closed);
}

#[test]
fn an_open_or_closed_account_is_erased_and_twice_is_once() {
    given::<User>([registered()]).when(UserCommand::Erase).then([erased()]);
    given::<User>([registered(), closed()]).when(UserCommand::Erase).then([erased()]);
    given::<User>([registered(), erased()]).when(UserCommand::Erase).then_nothing();
}

#[test]
fn an_erased_user_takes_no_new_data() {
    let erased = || given::<User>([registered(), erased()]);
    erased().when(change_plate()).then_refused(UserError::Erased);
    erased().when(register()).then_refused(UserError::Erased);
    erased().when(UserCommand::Close).then_nothing();
}

#[test]
fn who_is_not_registered_is_refused() {
    given::<User>([]).when(change_plate()).then_refused(UserError::Absent);
    given::<User>([]).when(UserCommand::Close).then_refused(UserError::Absent);
    given::<User>([]).when(UserCommand::Erase).then_refused(UserError::Absent);
}

#[test]
fn only_an_active_account_may_start_something() {
    let state = |events: &[UserEvent]| events.iter().fold(User::default(), <User as crate::Decider>::evolve);
    assert_eq!(state(&[]).active(), Err(UserError::Absent));
    assert_eq!(state(&[registered(), plate_changed()]).active(), Ok(id(1)));
    assert_eq!(state(&[registered(), closed()]).active(), Err(UserError::Closed));
    assert_eq!(state(&[registered(), erased()]).active(), Err(UserError::Erased));
}
