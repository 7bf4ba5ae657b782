use super::*;
use crate::log::Position;
use crate::testing::given;

fn advance(position: u64) -> ProcessCommand {
    ProcessCommand::Advance { process: "settle".to_owned(), position: Position(position) }
}

fn advanced(position: u64) -> ProcessEvent {
    ProcessEvent::Advanced { process: "settle".to_owned(), position: Position(position) }
}

#[test]
fn a_mark_moves_forward() {
    given::<Process>([]).when(advance(7)).then([advanced(7)]);
    given::<Process>([advanced(7)]).when(advance(9)).then([advanced(9)]);
}

#[test]
fn a_mark_goes_with_a_log_that_moves_to_another_engine() {
    let moved = |position| ProcessCommand::Move { process: "settle".to_owned(), position: Position(position) };
    given::<Process>([advanced(7_000)]).when(moved(7)).then([advanced(7)]);
    given::<Process>([advanced(7)]).when(moved(7)).then_nothing();
}

#[test]
fn a_mark_never_moves_back_or_stands_twice() {
    given::<Process>([]).when(advance(0)).then_nothing();
    given::<Process>([advanced(7)]).when(advance(7)).then_nothing();
    given::<Process>([advanced(7)]).when(advance(6)).then_nothing();
}
