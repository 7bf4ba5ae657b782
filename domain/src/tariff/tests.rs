use super::*;
use crate::ids::{OperatorId, TariffId};
use crate::testing::{at, given, id};
use crate::time::Timestamp;
use crate::units::{Energy, Percent};

const MARCH: &str = "2026-03-01T00:00:00+08:00";
const APRIL: &str = "2026-04-01T00:00:00+08:00";
const MAY: &str = "2026-05-01T00:00:00+08:00";

fn tariff_id() -> TariffId {
    id(1)
}

fn operator_id() -> OperatorId {
    id(2)
}

fn terms(price: &str) -> TariffTerms {
    let rate = Rate { energy: price.parse().unwrap(), service: "0.80000".parse().unwrap() };
    TariffTerms {
        elements: vec![element(Restrictions::default(), rate)],
        idle: None,
        tax: TaxRates { energy: percent("13"), service: percent("6"), idle: percent("6") },
    }
}

fn element(restrictions: Restrictions, rate: Rate) -> TariffElement {
    let rates = Rates { sharp: rate, peak: rate, flat: rate, valley: rate };
    TariffElement { restrictions, half_hours: HalfHours::all(TouPeriod::Flat), rates }
}

/// A holiday's element before the one that always holds.
fn terms_with(restrictions: Restrictions) -> TariffTerms {
    let mut terms = terms("1.2");
    let rate = terms.elements[0].rates.flat;
    terms.elements.insert(0, element(restrictions, rate));
    terms
}

fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

fn energy(text: &str) -> Option<Energy> {
    Some(text.parse().unwrap())
}

fn publish(effective_from: &str, published_at: &str, terms: TariffTerms) -> TariffCommand {
    TariffCommand::Publish {
        tariff_id: tariff_id(),
        operator_id: operator_id(),
        name: "downtown".into(),
        effective_from: at(effective_from),
        terms,
        published_at: at(published_at),
    }
}

fn publish_terms(terms: TariffTerms) -> TariffCommand {
    publish(APRIL, MARCH, terms)
}

fn published(version: u32, effective_from: &str, terms: TariffTerms) -> TariffEvent {
    TariffEvent::VersionPublished {
        tariff_id: tariff_id(),
        operator_id: operator_id(),
        name: "downtown".into(),
        version,
        effective_from: at(effective_from),
        terms,
    }
}

fn withdraw() -> TariffCommand {
    TariffCommand::Withdraw { tariff_id: tariff_id() }
}

fn withdrawn() -> TariffEvent {
    TariffEvent::Withdrawn { tariff_id: tariff_id() }
}

fn after(events: impl IntoIterator<Item = TariffEvent>) -> Tariff {
    use crate::Decider as _;
    events.into_iter().fold(Tariff::default(), |tariff, event| tariff.evolve(&event))
}

fn refuses(terms: TariffTerms, error: TermsError) {
    given::<Tariff>([]).when(publish_terms(terms)).then_refused(TariffError::Terms(error));
}

#[test]
fn the_first_version_is_one_and_may_look_back() {
    given::<Tariff>([]).when(publish("2014-11-18T00:00:00Z", MARCH, terms("1"))).then([published(1, "2014-11-18T00:00:00Z", terms("1"))]);
}

#[test]
fn versions_count_without_a_gap() {
    given::<Tariff>([published(1, MARCH, terms("1")), published(2, APRIL, terms("2"))])
        .when(publish(MAY, APRIL, terms("3")))
        .then([published(3, MAY, terms("3"))]);
}

#[test]
fn a_version_may_replace_one_that_has_not_begun_from_the_same_moment_on() {
    given::<Tariff>([published(1, APRIL, terms("1"))]).when(publish(APRIL, MARCH, terms("2"))).then([published(2, APRIL, terms("2"))]);
}

#[test]
fn publishing_what_holds_already_changes_nothing() {
    given::<Tariff>([published(1, MARCH, terms("1"))]).when(publish(MARCH, MAY, terms("1"))).then_nothing();
}

#[test]
fn a_new_name_is_a_new_version() {
    let TariffCommand::Publish { tariff_id, operator_id, effective_from, terms, published_at, .. } = publish_terms(terms("1")) else {
        unreachable!()
    };
    let event = |version, name: &str| TariffEvent::VersionPublished {
        tariff_id,
        operator_id,
        name: name.into(),
        version,
        effective_from,
        terms: terms.clone(),
    };
    given::<Tariff>([event(1, "old")])
        .when(TariffCommand::Publish { tariff_id, operator_id, name: "new".into(), effective_from, terms: terms.clone(), published_at })
        .then([event(2, "new")]);
}

#[test]
fn a_version_before_an_earlier_one_is_refused() {
    given::<Tariff>([published(1, MAY, terms("1"))])
        .when(publish(APRIL, MARCH, terms("2")))
        .then_refused(TariffError::BeforeEarlierVersion { effective_from: at(APRIL), version: 1, version_effective_from: at(MAY) });
}

#[test]
fn a_later_version_that_looks_back_is_refused() {
    given::<Tariff>([published(1, MARCH, terms("1"))])
        .when(publish(APRIL, MAY, terms("2")))
        .then_refused(TariffError::EffectiveBeforePublished { effective_from: at(APRIL), published_at: at(MAY) });
}

#[test]
fn a_later_version_may_begin_at_the_moment_it_is_published() {
    given::<Tariff>([published(1, MARCH, terms("1"))]).when(publish(APRIL, APRIL, terms("2"))).then([published(2, APRIL, terms("2"))]);
}

#[test]
fn a_version_by_another_operator_is_refused() {
    let TariffCommand::Publish { tariff_id, name, effective_from, terms: prices, published_at, .. } = publish(MAY, APRIL, terms("2"))
    else {
        unreachable!()
    };
    given::<Tariff>([published(1, MARCH, terms("1"))])
        .when(TariffCommand::Publish { tariff_id, operator_id: id(9), name, effective_from, terms: prices, published_at })
        .then_refused(TariffError::OtherOperator);
}

#[test]
fn a_tariff_without_a_name_is_refused() {
    given::<Tariff>([]).when(named(" \t")).then_refused(TariffError::NoName);
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    given::<Tariff>([]).when(named(&"峰".repeat(101))).then_refused(TariffError::NameTooLong { length: 101 });
}

fn named(name: &str) -> TariffCommand {
    let (tariff_id, operator_id) = (tariff_id(), operator_id());
    TariffCommand::Publish {
        tariff_id,
        operator_id,
        name: name.into(),
        effective_from: at(APRIL),
        terms: terms("1"),
        published_at: at(MARCH),
    }
}

#[test]
fn a_version_beyond_the_most_is_refused() {
    let versions = (1..=520).map(|version| published(version, MARCH, terms("1")));
    given::<Tariff>(versions).when(publish(MAY, APRIL, terms("2"))).then_refused(TariffError::TooManyVersions);
}

#[test]
fn a_withdrawn_tariff_has_no_more_versions() {
    given::<Tariff>([published(1, MARCH, terms("1")), withdrawn()])
        .when(publish(MAY, APRIL, terms("2")))
        .then_refused(TariffError::Withdrawn);
}

#[test]
fn a_published_tariff_can_be_withdrawn() {
    given::<Tariff>([published(1, MARCH, terms("1"))]).when(withdraw()).then([withdrawn()]);
}

#[test]
fn withdrawing_twice_changes_nothing() {
    given::<Tariff>([published(1, MARCH, terms("1")), withdrawn()]).when(withdraw()).then_nothing();
}

#[test]
fn what_was_never_published_cannot_be_withdrawn() {
    given::<Tariff>([]).when(withdraw()).then_refused(TariffError::NeverPublished);
}

#[test]
fn terms_without_elements_are_refused() {
    let mut none = terms("1");
    none.elements.clear();
    refuses(none, TermsError::NoElements);
}

#[test]
fn more_elements_than_the_most_are_refused() {
    let mut many = terms("1");
    many.elements = vec![many.elements[0].clone(); 65];
    refuses(many, TermsError::TooManyElements { count: 65 });
}

#[test]
fn a_last_element_with_restrictions_is_refused() {
    let mut restricted = terms("1");
    restricted.elements[0].restrictions.weekdays = vec![6, 7];
    refuses(restricted, TermsError::LastElementRestricted);
}

#[test]
fn an_element_that_never_holds_is_refused() {
    refuses(terms_with(Restrictions::default()), TermsError::LaterElementsNeverHold { element: 1 });
}

#[test]
fn a_weekday_outside_the_week_is_refused() {
    for weekday in [0, 8, 255] {
        let restrictions = Restrictions { weekdays: vec![1, weekday], ..Restrictions::default() };
        refuses(terms_with(restrictions), TermsError::NotAWeekday { element: 1, weekday });
    }
}

#[test]
fn a_weekday_named_twice_is_refused() {
    let restrictions = Restrictions { weekdays: vec![6, 7, 6], ..Restrictions::default() };
    refuses(terms_with(restrictions), TermsError::WeekdayTwice { element: 1, weekday: 6 });
}

#[test]
fn dates_that_end_before_they_begin_are_refused() {
    let (first, last) = ("2026-10-07".parse().unwrap(), "2026-10-01".parse().unwrap());
    let restrictions = Restrictions { dates: Some(DateRange { first, last }), ..Restrictions::default() };
    refuses(terms_with(restrictions), TermsError::NoDates { element: 1, first, last });
}

#[test]
fn a_holiday_of_one_day_is_fine() {
    let first = "2026-10-01".parse().unwrap();
    let restrictions = Restrictions { dates: Some(DateRange { first, last: first }), ..Restrictions::default() };
    given::<Tariff>([]).when(publish_terms(terms_with(restrictions.clone()))).then([published(1, APRIL, terms_with(restrictions))]);
}

#[test]
fn an_energy_range_with_nothing_in_it_is_refused() {
    for (from, below) in [(energy("20"), "20"), (energy("20"), "10"), (None, "0")] {
        let restrictions = Restrictions { energy_from: from, energy_below: energy(below), ..Restrictions::default() };
        let error = TermsError::NoEnergyBetween { element: 1, from: from.unwrap_or_default(), below: below.parse().unwrap() };
        refuses(terms_with(restrictions), error);
    }
}

#[test]
fn a_negative_most_for_idle_time_is_refused() {
    let mut negative = terms("1");
    let most = "-0.01".parse().unwrap();
    negative.idle = Some(IdleFee { price: "0.5".parse().unwrap(), grace_minutes: 15, most: Some(most) });
    refuses(negative, TermsError::NegativeIdleMost { most });
}

#[test]
fn more_tax_than_price_is_refused() {
    let mut taxed = terms("1");
    taxed.tax.service = percent("130");
    refuses(taxed, TermsError::TaxAboveWhole { rate: percent("130") });
}

#[test]
fn the_newest_version_that_has_begun_is_in_force() {
    let tariff = after([published(1, MARCH, terms("1")), published(2, APRIL, terms("2")), published(3, APRIL, terms("3"))]);
    let version = |time: Timestamp| tariff.in_force(time).map(|snapshot| (snapshot.version, snapshot.terms));
    assert_eq!(version(at(MARCH).plus_seconds(-1)), None);
    assert_eq!(version(at(MARCH)), Some((1, terms("1"))));
    assert_eq!(version(at(APRIL).plus_seconds(-1)), Some((1, terms("1"))));
    assert_eq!(version(at(APRIL)), Some((3, terms("3"))));
    assert_eq!(version(at(MAY)), Some((3, terms("3"))));
}

#[test]
fn nothing_is_in_force_before_the_first_publishing() {
    assert_eq!(Tariff::default().in_force(at(MAY)), None);
    assert_eq!(Tariff::default().held_at(at(MAY)), None);
}

#[test]
fn nothing_starts_under_a_withdrawn_tariff_but_what_a_device_began_before_has_its_price() {
    let tariff = after([published(1, MARCH, terms("1")), withdrawn()]);
    assert_eq!(tariff.in_force(at(APRIL)), None);
    let snapshot = TariffSnapshot { tariff_id: tariff_id(), version: 1, terms: terms("1") };
    assert_eq!(tariff.held_at(at(APRIL)), Some(snapshot));
}
