use proptest::prelude::*;

use super::*;
use crate::Decider;
use crate::ids::{ConnectorId, SessionId, StationId};
use crate::testing::{given, id};

fn connector_id() -> ConnectorId {
    id(1)
}

fn station_id() -> StationId {
    id(3)
}

fn register(number: u8) -> ConnectorCommand {
    ConnectorCommand::Register { connector_id: connector_id(), pile_id: id(2), station_id: station_id(), number }
}

fn registered() -> ConnectorEvent {
    ConnectorEvent::Registered { connector_id: connector_id(), pile_id: id(2), station_id: station_id(), number: 1 }
}

fn occupy(session: u128) -> ConnectorCommand {
    ConnectorCommand::Occupy { session_id: id(session) }
}

fn release(session: u128) -> ConnectorCommand {
    ConnectorCommand::Release { session_id: id(session) }
}

fn occupied(session: u128) -> ConnectorEvent {
    ConnectorEvent::Occupied { connector_id: connector_id(), station_id: station_id(), session_id: id(session) }
}

fn released(session: u128) -> ConnectorEvent {
    ConnectorEvent::Released { connector_id: connector_id(), station_id: station_id(), session_id: id(session) }
}

fn report_faulted(code: &str) -> ConnectorCommand {
    ConnectorCommand::ReportFaulted { code: code.to_owned() }
}

fn faulted(code: &str) -> ConnectorEvent {
    ConnectorEvent::Faulted { connector_id: connector_id(), station_id: station_id(), code: code.to_owned() }
}

fn fault_cleared() -> ConnectorEvent {
    ConnectorEvent::FaultCleared { connector_id: connector_id(), station_id: station_id() }
}

fn went_offline() -> ConnectorEvent {
    ConnectorEvent::WentOffline { connector_id: connector_id(), station_id: station_id() }
}

fn came_online() -> ConnectorEvent {
    ConnectorEvent::CameOnline { connector_id: connector_id(), station_id: station_id() }
}

fn retired() -> ConnectorEvent {
    ConnectorEvent::Retired { connector_id: connector_id(), station_id: station_id() }
}

fn state(events: impl IntoIterator<Item = ConnectorEvent>) -> Connector {
    events.into_iter().fold(Connector::default(), |connector, event| connector.evolve(&event))
}

#[test]
fn a_connector_is_put_into_service_once() {
    given::<Connector>([]).when(register(1)).then([registered()]);
    given::<Connector>([registered()]).when(register(1)).then_nothing();
    given::<Connector>([registered(), occupied(9), faulted("E1")]).when(register(1)).then_nothing();
    given::<Connector>([registered()]).when(register(2)).then_refused(ConnectorError::AlreadyRegistered);
    given::<Connector>([registered(), retired()]).when(register(1)).then_refused(ConnectorError::Retired);
}

#[test]
fn numbers_start_at_one() {
    given::<Connector>([]).when(register(0)).then_refused(ConnectorError::NumberZero);
}

#[test]
fn one_session_has_it_at_a_time() {
    given::<Connector>([registered()]).when(occupy(9)).then([occupied(9)]);
    given::<Connector>([registered(), occupied(9)]).when(occupy(8)).then_refused(ConnectorError::Occupied { session: id(9) });
    given::<Connector>([registered(), occupied(9), released(9)]).when(occupy(8)).then([occupied(8)]);
}

#[test]
fn the_session_that_has_it_may_ask_again_even_after_a_fault() {
    given::<Connector>([registered(), occupied(9)]).when(occupy(9)).then_nothing();
    given::<Connector>([registered(), occupied(9), faulted("E1"), went_offline()]).when(occupy(9)).then_nothing();
}

#[test]
fn a_faulted_offline_retired_or_unknown_connector_is_not_given_away() {
    given::<Connector>([registered(), faulted("E1")]).when(occupy(9)).then_refused(ConnectorError::Faulted { code: "E1".to_owned() });
    given::<Connector>([registered(), went_offline()]).when(occupy(9)).then_refused(ConnectorError::Offline);
    given::<Connector>([registered(), retired()]).when(occupy(9)).then_refused(ConnectorError::Retired);
    given::<Connector>([]).when(occupy(9)).then_refused(ConnectorError::Absent);
}

#[test]
fn it_is_given_away_again_when_the_fault_is_over_and_it_is_heard_of() {
    given::<Connector>([registered(), faulted("E1"), fault_cleared()]).when(occupy(9)).then([occupied(9)]);
    given::<Connector>([registered(), went_offline(), came_online()]).when(occupy(9)).then([occupied(9)]);
    given::<Connector>([registered(), faulted("E1"), went_offline(), came_online()])
        .when(occupy(9))
        .then_refused(ConnectorError::Faulted { code: "E1".to_owned() });
}

#[test]
fn only_its_session_gives_it_back_and_twice_is_once() {
    given::<Connector>([registered(), occupied(9)]).when(release(9)).then([released(9)]);
    given::<Connector>([registered(), occupied(9), released(9)]).when(release(9)).then_nothing();
    given::<Connector>([registered(), occupied(9), released(9), occupied(8)]).when(release(9)).then_nothing();
    given::<Connector>([registered()]).when(release(9)).then_nothing();
    given::<Connector>([]).when(release(9)).then_nothing();
}

#[test]
fn a_fault_or_silence_during_a_session_keeps_the_occupant() {
    let session: SessionId = id(9);
    given::<Connector>([registered(), occupied(9)]).when(report_faulted("E1")).then([faulted("E1")]);
    given::<Connector>([registered(), occupied(9)]).when(ConnectorCommand::ReportOffline).then([went_offline()]);
    assert_eq!(state([registered(), occupied(9), faulted("E1"), went_offline()]).occupant(), Some(session));
    given::<Connector>([registered(), occupied(9), faulted("E1"), went_offline()]).when(release(9)).then([released(9)]);
}

#[test]
fn a_report_that_says_nothing_new_changes_nothing() {
    given::<Connector>([registered(), faulted("E1")]).when(report_faulted("E1")).then_nothing();
    given::<Connector>([registered(), faulted("E1")]).when(report_faulted("E2")).then([faulted("E2")]);
    given::<Connector>([registered()]).when(ConnectorCommand::ReportFaultCleared).then_nothing();
    given::<Connector>([registered(), faulted("E1")]).when(ConnectorCommand::ReportFaultCleared).then([fault_cleared()]);
    given::<Connector>([registered(), went_offline()]).when(ConnectorCommand::ReportOffline).then_nothing();
    given::<Connector>([registered()]).when(ConnectorCommand::ReportOnline).then_nothing();
    given::<Connector>([registered(), went_offline()]).when(ConnectorCommand::ReportOnline).then([came_online()]);
}

#[test]
fn a_report_about_an_unknown_connector_is_refused_because_it_has_no_station() {
    for report in
        [report_faulted("E1"), ConnectorCommand::ReportFaultCleared, ConnectorCommand::ReportOffline, ConnectorCommand::ReportOnline]
    {
        given::<Connector>([]).when(report).then_refused(ConnectorError::Absent);
    }
}

#[test]
fn the_device_of_a_retired_connector_still_reports() {
    given::<Connector>([registered(), retired()]).when(report_faulted("E1")).then([faulted("E1")]);
    assert_eq!(state([registered(), retired(), faulted("E1")]).status(), Some(ConnectorStatus::Retired));
}

#[test]
fn an_occupied_connector_is_not_retired() {
    given::<Connector>([registered(), occupied(9)])
        .when(ConnectorCommand::Retire)
        .then_refused(ConnectorError::Occupied { session: id(9) });
    given::<Connector>([registered(), occupied(9), released(9)]).when(ConnectorCommand::Retire).then([retired()]);
    given::<Connector>([registered(), retired()]).when(ConnectorCommand::Retire).then_nothing();
    given::<Connector>([]).when(ConnectorCommand::Retire).then_refused(ConnectorError::Absent);
}

#[test]
fn its_status_is_one_word() {
    assert_eq!(state([]).status(), None);
    assert_eq!(state([registered()]).status(), Some(ConnectorStatus::Available));
    assert_eq!(state([registered(), occupied(9)]).status(), Some(ConnectorStatus::Occupied));
    assert_eq!(state([registered(), occupied(9), faulted("E1")]).status(), Some(ConnectorStatus::Faulted));
    assert_eq!(state([registered(), faulted("E1"), went_offline()]).status(), Some(ConnectorStatus::Offline));
    assert_eq!(state([registered(), occupied(9), went_offline(), came_online()]).status(), Some(ConnectorStatus::Occupied));
}

fn anything() -> impl Strategy<Value = ConnectorCommand> {
    prop_oneof![
        4 => (5_u128..8).prop_map(occupy),
        4 => (5_u128..8).prop_map(release),
        1 => Just(report_faulted("E1")),
        1 => Just(ConnectorCommand::ReportFaultCleared),
        1 => Just(ConnectorCommand::ReportOffline),
        1 => Just(ConnectorCommand::ReportOnline),
        1 => Just(ConnectorCommand::Retire),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_a_session_keeps_it_until_it_gives_it_back(commands in prop::collection::vec(anything(), 0..60)) {
        let (mut connector, mut happened) = (state([registered()]), vec![]);
        for command in commands {
            let events = connector.decide(command).unwrap_or_default();
            connector = events.iter().fold(connector, Connector::evolve);
            happened.extend(events);
        }
        let mut holder: Option<SessionId> = None;
        for event in happened {
            match event {
                ConnectorEvent::Occupied { session_id, .. } => prop_assert_eq!(holder.replace(session_id), None),
                ConnectorEvent::Released { session_id, .. } => prop_assert_eq!(holder.take(), Some(session_id)),
                ConnectorEvent::Retired { .. } => prop_assert_eq!(holder, None),
                ConnectorEvent::Registered { .. }
                | ConnectorEvent::Faulted { .. }
                | ConnectorEvent::FaultCleared { .. }
                | ConnectorEvent::WentOffline { .. }
                | ConnectorEvent::CameOnline { .. } => {}
            }
        }
        prop_assert_eq!(connector.occupant(), holder);
    }
}
