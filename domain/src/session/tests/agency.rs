//! Bills of a session at somebody else's station, whose operator books as agent.

use super::*;
use crate::agency::tests::ownership;
use crate::agency::{AgencyTerms, Division};
use crate::testing::given;

fn terms() -> AgencyTerms {
    ownership("5", "12.5").terms()
}

fn requested_as_agent() -> SessionEvent {
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    let (rated_power, agency, mode) = (Some("60".parse().unwrap()), Some(Box::new(terms())), PaymentMode::Postpaid);
    SessionEvent::Requested { refs: refs(), order_number, mode, tariff: tariff(), zone, rated_power, agency }
}

fn closed_as_agent() -> Vec<SessionEvent> {
    vec![requested_as_agent(), authorised(), starting(), started(), closed("20", "10:30")]
}

fn billed_as_agent() -> SessionEvent {
    SessionEvent::Billed { refs: refs(), mode: PaymentMode::Postpaid, bill: bill("", "10:30", "20").divided(Some(&terms())) }
}

fn division_after(events: Vec<SessionEvent>, command: SessionCommand) -> Division {
    match &state(events).decide(command).unwrap()[..] {
        [SessionEvent::BillCorrected { bill, .. }] => (**bill.division.as_ref().unwrap()).clone(),
        other => panic!("one correction was expected, not {other:?}"),
    }
}

#[test]
fn a_session_keeps_the_terms_that_it_was_requested_under_and_its_bill_is_divided_on_them() {
    let (order_number, zone) = (ORDER.parse().unwrap(), ZoneName::shanghai());
    let (mode, rated_power, agency) = (PaymentMode::Postpaid, Some("60".parse().unwrap()), Some(Box::new(terms())));
    let request = Request { refs: refs(), order_number, mode, tariff: tariff(), zone, rated_power, agency };
    given::<Session>([]).when(SessionCommand::Request(Box::new(request))).then([requested_as_agent()]);
    given::<Session>(closed_as_agent()).when(BILL).then([billed_as_agent()]);
}

#[test]
fn a_discovered_session_keeps_the_terms_of_its_station() {
    let mut found = discovery(Some(tariff())).unwrap();
    found.agency = Some(Box::new(terms()));
    let report = SessionCommand::Report { fact: DeviceFact::Started { meter: meter("100", "10:00") }, discovery: Some(found) };
    let events = Session::default().decide(report).unwrap();
    assert!(matches!(&events[0], SessionEvent::Discovered { agency: Some(agency), .. } if **agency == terms()));
    assert_eq!(state(events).terms().unwrap().agency, Some(Box::new(terms())));
}

#[test]
fn a_corrected_bill_and_one_with_a_credit_are_divided_on_the_same_terms() {
    let billed = with(closed_as_agent(), [billed_as_agent()]);
    // 20.00 for 20 kWh, all of it energy: 1.00 is kept; 5 % of 30.00 and of 13.00.
    let late = with(billed.clone(), [accepted("30", [Oddity::Late])]);
    let division = division_after(late, BILL);
    assert_eq!((division.commission(), division.owner_part), (money("1.50"), money("28.50")));
    let division = division_after(billed, SessionCommand::Credit { amount: money("7.00"), note: "noisy".to_owned() });
    assert_eq!((division.commission(), division.owner_part), (money("0.65"), money("12.35")));
}
