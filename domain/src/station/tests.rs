use super::*;
use crate::agency::Ownership;
use crate::agency::tests::ownership;
use crate::testing::{given, id};
use crate::text::TextError;
use crate::time::ZoneName;

fn details(name: &str) -> StationDetails {
    at_place(name, "113.94000", "22.52000")
}

fn at_place(name: &str, longitude: &str, latitude: &str) -> StationDetails {
    let place = Place { longitude: longitude.parse().unwrap(), latitude: latitude.parse().unwrap(), datum: Datum::Gcj02 };
    StationDetails { name: name.to_owned(), address: "1 Harbour Road".to_owned(), place }
}

fn register(code: &str, details: StationDetails) -> StationCommand {
    let (code, zone) = (code.to_owned(), ZoneName::shanghai());
    StationCommand::Register { station_id: id(1), operator_id: id(2), code, details, zone }
}

fn registered() -> StationEvent {
    let (code, zone) = ("S-1".to_owned(), ZoneName::shanghai());
    StationEvent::Registered { station_id: id(1), operator_id: id(2), code, details: details("Bay"), zone }
}

fn changed(name: &str) -> StationEvent {
    StationEvent::Changed { station_id: id(1), details: details(name) }
}

fn tariff_assigned(number: u128) -> StationEvent {
    StationEvent::TariffAssigned { station_id: id(1), tariff_id: id(number) }
}

fn retired() -> StationEvent {
    StationEvent::Retired { station_id: id(1) }
}

#[test]
fn a_station_is_put_into_service() {
    given::<Station>([]).when(register("S-1", details("Bay"))).then([registered()]);
}

#[test]
fn registering_the_same_again_changes_nothing_whatever_its_tariff() {
    given::<Station>([registered()]).when(register("S-1", details("Bay"))).then_nothing();
    given::<Station>([registered(), tariff_assigned(7)]).when(register("S-1", details("Bay"))).then_nothing();
}

#[test]
fn registering_other_facts_under_the_same_id_is_refused() {
    given::<Station>([registered()]).when(register("S-2", details("Bay"))).then_refused(StationError::AlreadyRegistered);
    given::<Station>([registered(), retired()]).when(register("S-1", details("Bay"))).then_refused(StationError::Retired);
}

#[test]
fn a_code_has_one_to_twenty_characters() {
    given::<Station>([])
        .when(register("123456789012345678901", details("Bay")))
        .then_refused(TextError::TooLong { field: "station code", length: 21, most: 20 }.into());
    given::<Station>([]).when(register(" ", details("Bay"))).then_refused(TextError::Empty { field: "station code" }.into());
}

#[test]
fn a_name_has_one_to_fifty_characters() {
    given::<Station>([])
        .when(register("S-1", details(&"站".repeat(51))))
        .then_refused(TextError::TooLong { field: "station name", length: 51, most: 50 }.into());
    given::<Station>([registered()])
        .when(StationCommand::Change { details: details("") })
        .then_refused(TextError::Empty { field: "station name" }.into());
}

#[test]
fn a_place_is_on_the_earth() {
    for (longitude, latitude) in [("180.00001", "0"), ("-180.1", "0"), ("0", "90.1"), ("0", "-91")] {
        let error = StationError::NotAPlace { longitude: longitude.parse().unwrap(), latitude: latitude.parse().unwrap() };
        let details = at_place("Bay", longitude, latitude);
        given::<Station>([]).when(register("S-1", details.clone())).then_refused(error.clone());
        given::<Station>([registered()]).when(StationCommand::Change { details }).then_refused(error);
    }
}

#[test]
fn its_details_change_and_the_same_details_change_nothing() {
    given::<Station>([registered()]).when(StationCommand::Change { details: details("Bay East") }).then([changed("Bay East")]);
    given::<Station>([registered(), changed("Bay East")]).when(StationCommand::Change { details: details("Bay East") }).then_nothing();
    given::<Station>([registered(), changed("Bay East")]).when(StationCommand::Change { details: details("Bay") }).then([changed("Bay")]);
}

#[test]
fn a_tariff_is_assigned_and_replaced() {
    given::<Station>([registered()]).when(StationCommand::AssignTariff { tariff_id: id(7) }).then([tariff_assigned(7)]);
    given::<Station>([registered(), tariff_assigned(7)]).when(StationCommand::AssignTariff { tariff_id: id(7) }).then_nothing();
    given::<Station>([registered(), tariff_assigned(7)]).when(StationCommand::AssignTariff { tariff_id: id(8) }).then([tariff_assigned(8)]);
}

fn set_ownership(ownership: Option<Ownership>) -> StationCommand {
    StationCommand::SetOwnership { ownership }
}

fn owned(ownership: Option<Ownership>) -> StationEvent {
    StationEvent::OwnershipChanged { station_id: id(1), ownership }
}

#[test]
fn a_station_gets_an_owner_other_terms_and_becomes_the_operators_own_again() {
    let (first, second) = (ownership("5", "10"), ownership("5", "12"));
    given::<Station>([registered()]).when(set_ownership(Some(first.clone()))).then([owned(Some(first.clone()))]);
    given::<Station>([registered(), owned(Some(first.clone()))]).when(set_ownership(Some(first.clone()))).then_nothing();
    given::<Station>([registered(), owned(Some(first.clone()))]).when(set_ownership(Some(second.clone()))).then([owned(Some(second))]);
    given::<Station>([registered(), owned(Some(first.clone()))]).when(set_ownership(None)).then([owned(None)]);
    given::<Station>([registered()]).when(set_ownership(None)).then_nothing();
    given::<Station>([registered(), owned(Some(first))]).when(register("S-1", details("Bay"))).then_nothing();
}

#[test]
fn no_more_than_the_whole_is_kept_and_nobody_keeps_it_from_themselves() {
    let above = |percent: &str| StationError::RateAboveWhole { percent: percent.parse().unwrap() };
    given::<Station>([registered()]).when(set_ownership(Some(ownership("100", "100.0001")))).then_refused(above("100.0001"));
    given::<Station>([registered()]).when(set_ownership(Some(ownership("101", "0")))).then_refused(above("101"));
    let tax = Ownership { commission_tax: "100.5".parse().unwrap(), ..ownership("5", "5") };
    given::<Station>([registered()]).when(set_ownership(Some(tax))).then_refused(above("100.5"));
    let own = Ownership { owner_id: id(2), ..ownership("5", "5") };
    given::<Station>([registered()]).when(set_ownership(Some(own))).then_refused(StationError::OwnedByOperator);
    let nameless = Ownership { owner_name: " ".to_owned(), ..ownership("5", "5") };
    given::<Station>([registered()]).when(set_ownership(Some(nameless))).then_refused(TextError::Empty { field: "owner name" }.into());
}

#[test]
fn retiring_is_final_and_twice_is_once() {
    given::<Station>([registered()]).when(StationCommand::Retire).then([retired()]);
    given::<Station>([registered(), retired()]).when(StationCommand::Retire).then_nothing();
    let retired = || given::<Station>([registered(), retired()]);
    retired().when(StationCommand::Change { details: details("Bay East") }).then_refused(StationError::Retired);
    retired().when(set_ownership(None)).then_refused(StationError::Retired);
    retired().when(StationCommand::AssignTariff { tariff_id: id(7) }).then_refused(StationError::Retired);
}

#[test]
fn what_is_not_registered_refuses() {
    let absent = || given::<Station>([]);
    absent().when(StationCommand::Change { details: details("Bay") }).then_refused(StationError::Absent);
    absent().when(StationCommand::AssignTariff { tariff_id: id(7) }).then_refused(StationError::Absent);
    absent().when(set_ownership(Some(ownership("5", "5")))).then_refused(StationError::Absent);
    absent().when(StationCommand::Retire).then_refused(StationError::Absent);
}
