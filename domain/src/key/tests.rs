use super::*;
use crate::testing::{given, id};
use crate::text::TextError;

fn create(role: Role, name: &str, digest: &str) -> KeyCommand {
    KeyCommand::Create { key_id: id(1), operator_id: id(2), role, name: name.to_owned(), secret_sha256: digest.to_owned() }
}

fn digest() -> String {
    "0a".repeat(32)
}

fn created() -> KeyEvent {
    KeyEvent::Created { key_id: id(1), operator_id: id(2), role: Role::App, name: "app".to_owned(), secret_sha256: digest() }
}

fn revoked() -> KeyEvent {
    KeyEvent::Revoked { key_id: id(1) }
}

#[test]
fn a_key_is_made_once() {
    given::<Key>([]).when(create(Role::App, "app", &digest())).then([created()]);
    given::<Key>([created()]).when(create(Role::App, "app", &digest())).then_nothing();
    given::<Key>([created()]).when(create(Role::Admin, "app", &digest())).then_refused(KeyError::AlreadyCreated);
}

#[test]
fn a_revoked_key_does_not_come_back() {
    given::<Key>([created()]).when(KeyCommand::Revoke).then([revoked()]);
    given::<Key>([created(), revoked()]).when(KeyCommand::Revoke).then_nothing();
    given::<Key>([created(), revoked()]).when(create(Role::App, "app", &digest())).then_refused(KeyError::Revoked);
    given::<Key>([]).when(KeyCommand::Revoke).then_refused(KeyError::Absent);
}

#[test]
fn a_name_has_one_to_fifty_characters() {
    given::<Key>([]).when(create(Role::App, "", &digest())).then_refused(TextError::Empty { field: "key name" }.into());
}

#[test]
fn only_a_digest_is_kept_never_a_secret() {
    for text in ["", "secret", &"0A".repeat(32), &"0g".repeat(32), &"0a".repeat(33)] {
        given::<Key>([]).when(create(Role::App, "app", text)).then_refused(KeyError::NotADigest);
    }
}

#[test]
fn only_an_active_key_opens_something() {
    let state = |events: &[KeyEvent]| events.iter().fold(Key::default(), <Key as crate::Decider>::evolve);
    assert_eq!(state(&[]).active(), None);
    assert_eq!(state(&[created()]).active().map(|facts| facts.role), Some(Role::App));
    assert_eq!(state(&[created(), revoked()]).active(), None);
}
