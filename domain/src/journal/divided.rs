//! Bills that are divided between a station's owner and its operator, in the books.

use proptest::prelude::*;

use super::tests::{Columns, assert_posts_under, bill, recorded, refs, yuan};
use super::*;
use crate::agency::AgencyTerms;
use crate::agency::tests::{ownership, terms};
use crate::audit::Audit;
use crate::event::Event;
use crate::ids::OperatorId;
use crate::pricing::{Bill, FeeKind};
use crate::session::{PaymentMode, SessionEvent};
use crate::testing::id;
use crate::units::Money;

/// 5 % of the energy fee and 12.5 % of the service fee are kept, 6 % tax included.
fn on_terms(energy: &str, service: &str) -> Bill {
    bill(yuan(energy), yuan(service)).divided(Some(&ownership("5", "12.5").terms()))
}

fn billed(bill: Bill) -> SessionEvent {
    SessionEvent::Billed { refs: refs(Some(id(2))), mode: PaymentMode::Postpaid, bill }
}

fn corrected(replaced: Bill, bill: Bill) -> SessionEvent {
    SessionEvent::BillCorrected { refs: refs(Some(id(2))), mode: PaymentMode::Postpaid, replaced, bill, note: "less".to_owned() }
}

fn owner() -> String {
    format!("2202.{}", ownership("5", "12.5").owner_id)
}

#[test]
fn a_divided_bill_owes_the_owner_and_earns_the_commission() {
    // 20.00 × 5 % = 1.00, 12.04 × 12.5 % = 1.505 → 1.51: 0.94 and 1.42 without tax.
    let columns: Columns<'_> = (
        &[("1122.user", "32.04")],
        &[(&owner(), "29.53"), ("6001.commission_energy", "0.94"), ("6001.commission_service", "1.42"), ("2221.commission", "0.15")],
    );
    assert_posts_under(RulesVersion::V3, billed(on_terms("20.00", "12.04")), EntryKind::Billed, columns);
}

#[test]
fn older_rules_post_a_divided_bill_whole_so_that_books_they_closed_stay() {
    for rules in [RulesVersion::V1, RulesVersion::V2] {
        let (divided, whole) = (billed(on_terms("20.00", "12.04")), billed(bill(yuan("20.00"), yuan("12.04"))));
        assert_eq!(postings(&recorded(9, divided), rules), postings(&recorded(9, whole), rules));
    }
}

#[test]
fn the_third_rules_post_an_undivided_bill_as_the_second_do() {
    let whole = || recorded(9, billed(bill(yuan("20.00"), yuan("12.04"))));
    assert_eq!(postings(&whole(), RulesVersion::V3), postings(&whole(), RulesVersion::V2));
}

#[test]
fn a_credit_on_a_divided_bill_is_borne_by_owner_and_operator_in_their_parts() {
    let kind = EntryKind::BillCorrected;
    let less = corrected(on_terms("20.00", "12.04"), on_terms("20.00", "2.04"));
    // The commission on the service fee falls from 1.51 to 0.26 (0.255, half up), its net from 1.42 to 0.25, its tax from 0.09 to 0.01.
    let columns: Columns<'_> =
        (&[(&owner(), "8.75"), ("6001.commission_service", "1.17"), ("2221.commission", "0.08")], &[("1122.user", "10.00")]);
    assert_posts_under(RulesVersion::V3, less, kind, columns);
    let more = corrected(on_terms("20.00", "2.04"), on_terms("20.00", "12.04"));
    assert_posts_under(RulesVersion::V3, more, kind, (columns.1, columns.0));
}

#[test]
fn a_commission_of_everything_and_one_of_nothing_leave_out_the_other_part() {
    let all = bill(yuan("20.00"), yuan("0.00")).divided(Some(&ownership("100", "100").terms()));
    let kept: Columns<'_> = (&[("1122.user", "20.00")], &[("6001.commission_energy", "18.87"), ("2221.commission", "1.13")]);
    assert_posts_under(RulesVersion::V3, billed(all), EntryKind::Billed, kept);
    let none = bill(yuan("20.00"), yuan("0.00")).divided(Some(&ownership("0", "0").terms()));
    assert_posts_under(RulesVersion::V3, billed(none), EntryKind::Billed, (&[("1122.user", "20.00")], &[(&owner(), "20.00")]));
}

/// What an event posts to the accounts that a test asks for, credits less debits.
fn credited_to(event: SessionEvent, wanted: impl Fn(Account) -> bool) -> Money {
    let entry = postings(&recorded(9, event), RulesVersion::V3).unwrap();
    let postings = entry.as_ref().map_or(&[][..], JournalEntry::postings);
    postings.iter().filter(|posting| wanted(posting.account)).map(|posting| -posting.amount).sum()
}

fn amount() -> impl Strategy<Value = Money> {
    (0_i64..1_000_000).prop_map(Money::from_fen)
}

proptest! {
    #[test]
    fn any_bill_on_any_terms_and_its_correction_balance_and_owe_the_owner_what_the_last_bill_says(
        (first, second) in ((amount(), amount()), (amount(), amount())),
        terms in terms(),
    ) {
        let on = |(energy, service): (Money, Money), terms: &AgencyTerms| bill(energy, service).divided(Some(terms));
        let (first, second) = (on(first, &terms), on(second, &terms));
        let payable = |event| credited_to(event, |account| account == Account::OperatorPayable(terms.owner_id));
        let earned = |event| credited_to(event, |account| matches!(account, Account::Commission(_) | Account::CommissionTax));
        let events = || (billed(first.clone()), corrected(first.clone(), second.clone()));
        // Each is an entry at all only because it balances.
        let owed = payable(events().0) + payable(events().1);
        let kept = earned(events().0) + earned(events().1);
        prop_assert_eq!(owed, second.division.as_ref().unwrap().owner_part);
        prop_assert_eq!(owed + kept, second.total);
        prop_assert_eq!(credited_to(events().0, |account| matches!(account, Account::Revenue(_) | Account::Tax(_))), Money::ZERO);
    }
}

#[test]
fn the_accounts_of_commissions_are_read_from_their_own_text() {
    let owner: OperatorId = id(1);
    let commissions = FeeKind::ALL.map(Account::Commission);
    for account in commissions.into_iter().chain([Account::CommissionTax, Account::OperatorPayable(owner)]) {
        assert_eq!(account.to_string().parse(), Ok(account));
    }
    assert!("6001.commission_flat".parse::<Account>().is_err());
    assert!("6001.commission".parse::<Account>().is_err());
}

fn audited(events: Vec<Event>) -> Vec<String> {
    let mut audit = Audit::default();
    let adopted: Event = JournalEvent::RulesAdopted { operator_id: id(1), rules_version: 3 }.into();
    (1..).zip([adopted].into_iter().chain(events)).for_each(|(position, event)| audit.observe(&recorded(position, event)));
    audit.findings().iter().map(ToString::to_string).collect()
}

#[test]
fn an_audit_ties_what_owners_are_owed_to_the_lines_and_rates_of_their_bills() {
    let (first, second) = (on_terms("20.00", "12.04"), on_terms("20.00", "2.04"));
    let events = |first: &Bill| vec![billed(first.clone()).into(), corrected(first.clone(), second.clone()).into()];
    assert_eq!(audited(events(&first)), Vec::<String>::new());

    // A fen goes from our commission to the owner: the entry balances, and nothing else tells.
    let mut wrong = first;
    let division = wrong.division.as_mut().unwrap();
    division.owner_part += yuan("0.01");
    division.commissions[0].net -= yuan("0.01");
    let found = audited(vec![billed(wrong).into()]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "position 2: bill B leaves 29.54 to the station's owner; its lines and rates leave 29.53");
    assert_eq!(found[1], format!("account {} stands at -29.54; owners' parts of bills come to -29.53", owner()));
}

#[test]
fn an_audit_follows_the_rules_that_held() {
    let mut audit = Audit::default();
    let events: [Event; 3] = [
        billed(on_terms("20.00", "12.04")).into(),
        JournalEvent::RulesAdopted { operator_id: id(1), rules_version: 3 }.into(),
        billed(Bill { bill_number: "C".to_owned(), ..on_terms("20.00", "12.04") }).into(),
    ];
    (1..).zip(events).for_each(|(position, event)| audit.observe(&recorded(position, event)));
    assert_eq!(audit.findings(), []);
    assert_eq!(audit.balances()[&Account::OperatorPayable(ownership("5", "12.5").owner_id)], yuan("-29.53"));
    assert_eq!(audit.balances()[&Account::Revenue(FeeKind::Energy)], yuan("-17.70"));
}
