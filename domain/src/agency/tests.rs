use proptest::prelude::*;

use super::*;
use crate::Decider as _;
use crate::journal::JournalEvent;
use crate::operator::OperatorEvent;
use crate::pricing::BillLine;
use crate::station::{Datum, Place, StationDetails, StationEvent};
use crate::tariff::TaxRates;
use crate::testing::{at, id};
use crate::time::ZoneName;
use crate::units::Energy;

pub(crate) fn ownership(energy: &str, service: &str) -> Ownership {
    let (energy, service, idle) = (energy.parse().unwrap(), service.parse().unwrap(), "50".parse().unwrap());
    let (code, name) = ("MA5OWNER1".parse().unwrap(), "Harbour Estates".to_owned());
    Ownership::new(code, name, CommissionRates { energy, service, idle }, "6".parse().unwrap())
}

fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

fn bill(amounts: &[(FeeKind, i64)]) -> Bill {
    let line = |(kind, fen): &(FeeKind, i64)| BillLine::credit(*kind, at("2026-03-01T08:00:00+08:00"), Money::from_fen(-fen));
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    Bill::of_lines("B".to_owned(), Energy::ZERO, amounts.iter().map(line).collect(), &tax)
}

#[test]
fn a_commission_is_rounded_half_up_once_and_the_owner_has_the_rest() {
    let terms = ownership("5", "12.5").terms();
    let bill = bill(&[(FeeKind::Energy, 20_10), (FeeKind::Service, 12_04)]).divided(Some(&terms));
    // 20.10 × 5 % = 1.005, half up; 12.04 × 12.5 % = 1.505, half up.
    let division = bill.division.clone().unwrap();
    let kept: Vec<(FeeKind, Money, Money, Money)> =
        division.commissions.iter().map(|commission| (commission.kind, commission.gross, commission.net, commission.tax)).collect();
    assert_eq!(
        kept,
        [(FeeKind::Energy, yuan("1.01"), yuan("0.95"), yuan("0.06")), (FeeKind::Service, yuan("1.51"), yuan("1.42"), yuan("0.09")),]
    );
    assert_eq!((division.commission(), division.owner_part), (yuan("2.52"), yuan("29.62")));
    assert_eq!(division.owner_part_of_lines(&bill), division.owner_part);
}

#[test]
fn an_owner_is_the_operator_that_its_code_would_be() {
    let ownership = ownership("0", "10");
    assert_eq!(ownership.owner_id, OperatorId::of_code(&ownership.owner_code));
    assert_eq!(ownership.terms().owner_id, ownership.owner_id);
}

fn operator(booking: BookingMode) -> Operator {
    let (code, name) = ("MA5GXX12T".parse().unwrap(), "Bay Charging".to_owned());
    let joined = OperatorEvent::Registered { operator_id: id(2), code, name, books_zone: ZoneName::shanghai(), booking };
    Operator::default().evolve(&joined)
}

fn books(rules_version: u16) -> Journal {
    Journal::default().evolve(&JournalEvent::RulesAdopted { operator_id: id(2), rules_version })
}

fn station(ownership: Option<Ownership>) -> Station {
    let place = Place { longitude: "113.9".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Gcj02 };
    let details = StationDetails { name: "Bay".to_owned(), address: String::new(), place };
    let (station_id, operator_id, code, zone) = (id(1), id(2), "S-1".to_owned(), ZoneName::shanghai());
    let registered = StationEvent::Registered { station_id, operator_id, code, details, zone };
    Station::default().evolve(&registered).evolve(&StationEvent::OwnershipChanged { station_id, ownership })
}

#[test]
fn a_session_takes_terms_only_for_an_agent_at_an_owned_station_under_rules_that_divide() {
    let owned = || station(Some(ownership("5", "10")));
    let (agent, principal) = (operator(BookingMode::Agent), operator(BookingMode::Principal));
    assert_eq!(terms_of(&agent, &books(3), &owned()), Some(ownership("5", "10").terms()));
    assert_eq!(terms_of(&principal, &books(3), &owned()), None);
    assert_eq!(terms_of(&agent, &books(3), &station(None)), None);
    for older in [Journal::default(), books(2)] {
        assert_eq!(terms_of(&agent, &older, &owned()), None);
    }
}

#[test]
fn the_path_of_a_division_is_shown() {
    let bill = bill(&[(FeeKind::Energy, 20_10), (FeeKind::Service, 12_04)]);
    let text = ownership("5", "12.5").terms().explain(&bill.fees).to_string();
    let owner = OperatorId::of_code(&"MA5OWNER1".parse().unwrap());
    let expected = format!(
        "commission on energy: 20.10 × 5 % → 1.01; net of 6 % tax 0.95, tax 0.06\n\
         commission on service: 12.04 × 12.5 % → 1.51; net of 6 % tax 1.42, tax 0.09\n\
         owner {owner}: the rest, 29.62 yuan\n"
    );
    assert_eq!(text, expected);
}

pub(crate) fn percent() -> impl Strategy<Value = Percent> {
    (0_i64..=1_000_000).prop_map(|value| Percent::new(rust_decimal::Decimal::new(value, 4)).unwrap())
}

pub(crate) fn terms() -> impl Strategy<Value = AgencyTerms> {
    (percent(), percent(), percent(), percent()).prop_map(|(energy, service, idle, commission_tax)| AgencyTerms {
        owner_id: id(77),
        commission: CommissionRates { energy, service, idle },
        commission_tax,
    })
}

proptest! {
    #[test]
    fn the_owners_part_and_the_commission_with_its_tax_are_the_whole_bill(
        amounts in proptest::collection::vec((0_usize..3, 0_i64..1_000_000), 0..12),
        terms in terms(),
    ) {
        let lines: Vec<(FeeKind, i64)> = amounts.into_iter().map(|(kind, fen)| (FeeKind::ALL[kind], fen)).collect();
        let bill = bill(&lines).divided(Some(&terms));
        let division = bill.division.clone().unwrap();
        let (net, tax): (Money, Money) =
            (division.commissions.iter().map(|c| c.net).sum(), division.commissions.iter().map(|c| c.tax).sum());
        prop_assert_eq!(division.owner_part + net + tax, bill.total);
        prop_assert!(!division.owner_part.is_negative() && !net.is_negative() && !tax.is_negative());
        prop_assert_eq!(division.owner_part_of_lines(&bill), division.owner_part);
        for (commission, fee) in division.commissions.iter().zip(&bill.fees) {
            prop_assert_eq!(commission.kind, fee.kind);
            let exact = fee.gross.value() * commission.percent.value() / rust_decimal::Decimal::ONE_HUNDRED;
            prop_assert!((commission.gross.value() - exact).abs() <= rust_decimal::Decimal::new(5, 3));
        }
    }
}
