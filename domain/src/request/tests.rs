use super::*;
use crate::Decider;
use crate::testing::{given, id};

fn accept(body: &str, seed: u128) -> RequestCommand {
    RequestCommand::Accept { body_sha256: body.to_owned(), seed: id(seed) }
}

fn accepted(body: &str, seed: u128) -> RequestEvent {
    RequestEvent::Accepted { body_sha256: body.to_owned(), seed: id(seed) }
}

#[test]
fn the_first_use_binds_the_key_to_its_body() {
    given::<Request>([]).when(accept("a1", 1)).then([accepted("a1", 1)]);
}

#[test]
fn the_same_body_again_changes_nothing_and_finds_the_first_seed() {
    given::<Request>([accepted("a1", 1)]).when(accept("a1", 2)).then_nothing();
    assert_eq!(Request::default().evolve(&accepted("a1", 1)).seed(), Some(id(1)));
}

#[test]
fn the_same_key_with_another_body_is_refused() {
    given::<Request>([accepted("a1", 1)]).when(accept("b2", 1)).then_refused(RequestError::KeyReused);
}
