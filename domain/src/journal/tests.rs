use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;
use crate::event::Event;
use crate::ids::{EventId, OperatorId, UserId};
use crate::log::{Actor, Metadata, Position, Recorded, Revision, StreamId};
use crate::payment::{Channel, PaymentEvent, Purpose};
use crate::pricing::{Bill, BillLine, FeeKind};
use crate::session::{PaymentMode, SessionEvent, SessionRefs};
use crate::tariff::TaxRates;
use crate::testing::{at, given as given_events, id};
use crate::time::ZoneName;
use crate::units::{Energy, Money};
use crate::wallet::WalletEvent;

/// Where an entry debits and credits, as text, in the order of its lines.
pub(super) type Columns<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)]);

const USER: &str = "00000000-0000-0000-0000-000000000002";

pub(super) fn yuan(text: &str) -> Money {
    text.parse().unwrap()
}

pub(super) fn recorded(position: u64, event: impl Into<Event>) -> Recorded<Event> {
    let time = at("2026-03-01T08:30:00+08:00");
    Recorded {
        position: Position(position),
        stream: StreamId::from("any-1"),
        revision: Revision(0),
        metadata: Metadata {
            event_id: EventId(Uuid::from_u128(u128::from(position))),
            command_id: id(1),
            causation_id: None,
            correlation_id: Uuid::from_u128(1),
            actor: Actor::system("test"),
            operator_id: id(1),
            occurred_at: time,
            recorded_at: time,
        },
        event: event.into(),
    }
}

pub(super) fn refs(user_id: Option<UserId>) -> SessionRefs {
    SessionRefs { session_id: id(3), station_id: id(4), pile_id: id(5), connector_id: id(6), user_id }
}

/// A bill with these amounts for energy, taxed at 13 %, and service, taxed at 6 %.
pub(super) fn bill(energy: Money, service: Money) -> Bill {
    let line = |kind, amount| BillLine {
        kind,
        period: None,
        from: at("2026-03-01T08:00:00+08:00"),
        until: at("2026-03-01T08:30:00+08:00"),
        quantity: Decimal::ONE,
        unit_price: Decimal::ONE,
        rule: "element 1".to_owned(),
        amount,
    };
    let (full, reduced) = ("13".parse().unwrap(), "6".parse().unwrap());
    let tax = TaxRates { energy: full, service: reduced, idle: reduced };
    Bill::of_lines("B".to_owned(), Energy::ZERO, vec![line(FeeKind::Energy, energy), line(FeeKind::Service, service)], &tax)
}

fn user() -> UserId {
    id(2)
}

fn succeeded(purpose: Purpose) -> PaymentEvent {
    PaymentEvent::Succeeded {
        payment_id: id(7),
        user_id: user(),
        channel: Channel::Sandbox,
        purpose,
        amount: yuan("50.00"),
        channel_transaction: "T".to_owned(),
    }
}

fn refunded(purpose: Purpose, of_late_receipt: bool) -> PaymentEvent {
    PaymentEvent::RefundSucceeded {
        payment_id: id(7),
        refund_id: id(8),
        user_id: user(),
        channel: Channel::Alipay,
        purpose,
        amount: yuan("17.90"),
        of_late_receipt,
        channel_refund: "R".to_owned(),
    }
}

fn prepayment() -> Purpose {
    Purpose::Prepayment { session_id: id(3) }
}

fn postpaid() -> Purpose {
    Purpose::Postpaid { session_id: id(3) }
}

fn billed(user_id: Option<UserId>, energy: &str, service: &str) -> SessionEvent {
    SessionEvent::Billed { refs: refs(user_id), mode: PaymentMode::Postpaid, bill: bill(yuan(energy), yuan(service)) }
}

fn settled(user_id: Option<UserId>, prepaid_applied: &str) -> SessionEvent {
    SessionEvent::Settled {
        refs: refs(user_id),
        mode: PaymentMode::Postpaid,
        due: yuan("32.10"),
        prepaid_applied: yuan(prepaid_applied),
        captured: yuan("1.00"),
        refund: yuan("17.90"),
        refund_to: None,
        receivable: Money::ZERO,
        note: None,
    }
}

#[track_caller]
pub(super) fn assert_posts_under(rules: RulesVersion, event: impl Into<Event>, kind: EntryKind, (debits, credits): Columns<'_>) {
    let entry = postings(&recorded(9, event), rules).unwrap().expect("an entry");
    let column = |side: fn(&Posting) -> Money| -> Vec<(String, String)> {
        let lines = entry.postings().iter().filter(|posting| side(posting).is_positive());
        lines.map(|posting| (posting.account.to_string().replace(USER, "user"), side(posting).to_string())).collect()
    };
    let expected = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
        lines.iter().map(|(account, amount)| ((*account).to_owned(), (*amount).to_owned())).collect()
    };
    assert_eq!(entry.kind(), kind);
    assert_eq!(entry.source_event(), id(9));
    assert_eq!(column(Posting::debited), expected(debits));
    assert_eq!(column(Posting::credited), expected(credits));
}

#[track_caller]
fn assert_posts(event: impl Into<Event>, kind: EntryKind, columns: Columns<'_>) {
    assert_posts_under(RulesVersion::V1, event, kind, columns);
}

#[track_caller]
fn assert_posts_nothing(event: impl Into<Event>) {
    assert_eq!(postings(&recorded(9, event), RulesVersion::V1), Ok(None));
}

#[test]
fn a_prepayment_is_the_customers_money() {
    assert_posts(succeeded(prepayment()), EntryKind::PaymentReceived, (&[("1012.sandbox", "50.00")], &[("2205.user", "50.00")]));
}

#[test]
fn a_top_up_is_the_customers_money() {
    assert_posts(succeeded(Purpose::TopUp), EntryKind::PaymentReceived, (&[("1012.sandbox", "50.00")], &[("2205.user", "50.00")]));
}

#[test]
fn a_later_payment_pays_the_receivable() {
    assert_posts(succeeded(postpaid()), EntryKind::PaymentReceived, (&[("1012.sandbox", "50.00")], &[("1122.user", "50.00")]));
}

#[test]
fn a_late_receipt_is_unidentified() {
    let late = PaymentEvent::ReceivedLate {
        payment_id: id(7),
        user_id: user(),
        channel: Channel::Wechatpay,
        amount: yuan("50.00"),
        channel_transaction: "T".to_owned(),
    };
    assert_posts(late, EntryKind::LateReceipt, (&[("1012.wechatpay", "50.00")], &[("2241", "50.00")]));
}

fn accepted() -> PaymentEvent {
    PaymentEvent::ReceiptAccepted {
        payment_id: id(7),
        user_id: user(),
        channel: Channel::Wechatpay,
        amount: yuan("49.00"),
        channel_transaction: "T".to_owned(),
        note: "the payer chose the amount".to_owned(),
    }
}

fn applied() -> PaymentEvent {
    PaymentEvent::ReceiptApplied { payment_id: id(7), user_id: user(), amount: yuan("49.00"), note: "wanted as credit".to_owned() }
}

#[test]
fn an_accepted_receipt_is_unidentified_until_it_is_applied_to_the_customers_prepayments() {
    assert_posts(accepted(), EntryKind::ReceiptAccepted, (&[("1012.wechatpay", "49.00")], &[("2241", "49.00")]));
    assert_posts(applied(), EntryKind::ReceiptApplied, (&[("2241", "49.00")], &[("2205.user", "49.00")]));
    assert_posts_nothing(PaymentEvent::DisputesClosed { payment_id: id(7), note: "given back at the channel".to_owned() });
}

#[test]
fn an_audit_ties_what_belongs_to_nothing_to_what_came_and_what_became_of_it() {
    let mut audit = crate::audit::Audit::default();
    audit.observe(&recorded(1, accepted()));
    assert_eq!((audit.findings(), audit.balances()[&Account::Unidentified]), (vec![], yuan("-49.00")));
    audit.observe(&recorded(2, applied()));
    assert_eq!((audit.findings(), audit.balances()[&Account::Unidentified]), (vec![], Money::ZERO));
}

#[test]
fn a_refund_gives_the_customers_money_back() {
    let columns: Columns<'_> = (&[("2205.user", "17.90")], &[("1012.alipay", "17.90")]);
    assert_posts(refunded(prepayment(), false), EntryKind::RefundPaid, columns);
    assert_posts(refunded(Purpose::TopUp, false), EntryKind::RefundPaid, columns);
}

#[test]
fn a_refund_of_a_later_payment_is_owed_again() {
    assert_posts(refunded(postpaid(), false), EntryKind::RefundPaid, (&[("1122.user", "17.90")], &[("1012.alipay", "17.90")]));
}

#[test]
fn a_refund_of_a_late_receipt_clears_the_unidentified_whatever_it_was_for() {
    for purpose in [prepayment(), Purpose::TopUp, postpaid()] {
        assert_posts(refunded(purpose, true), EntryKind::RefundPaid, (&[("2241", "17.90")], &[("1012.alipay", "17.90")]));
    }
}

#[test]
fn a_bill_is_owed_with_tax_and_earned_without() {
    // 20.00 / 1.13 = 17.70, 12.10 / 1.06 = 11.42 (half up); the taxes are the rests.
    assert_posts(
        billed(Some(user()), "20.00", "12.10"),
        EntryKind::Billed,
        (&[("1122.user", "32.10")], &[("6001.energy", "17.70"), ("6001.service", "11.42"), ("2221", "2.98")]),
    );
}

#[test]
fn a_bill_without_a_user_is_owed_by_unknown() {
    assert_posts(
        billed(None, "20.00", "0.00"),
        EntryKind::Billed,
        (&[("1122.unknown", "20.00")], &[("6001.energy", "17.70"), ("2221", "2.30")]),
    );
}

#[test]
fn a_bill_of_nothing_posts_nothing() {
    assert_posts_nothing(billed(Some(user()), "0.00", "0.00"));
}

#[test]
fn a_corrected_bill_posts_the_difference() {
    let corrected = |energy: &str, service: &str| SessionEvent::BillCorrected {
        refs: refs(Some(user())),
        mode: PaymentMode::Postpaid,
        replaced: bill(yuan("20.00"), yuan("12.10")),
        bill: bill(yuan(energy), yuan(service)),
        note: "wrong meter".to_owned(),
    };
    let kind = EntryKind::BillCorrected;
    assert_posts(corrected("10.00", "12.10"), kind, (&[("6001.energy", "8.85"), ("2221", "1.15")], &[("1122.user", "10.00")]));
    assert_posts(corrected("30.00", "12.10"), kind, (&[("1122.user", "10.00")], &[("6001.energy", "8.85"), ("2221", "1.15")]));
    // The same sum, otherwise divided: nobody owes more or less.
    assert_posts(corrected("12.10", "20.00"), kind, (&[("6001.energy", "6.99"), ("2221", "0.46")], &[("6001.service", "7.45")]));
    assert_posts_nothing(corrected("20.00", "12.10"));
}

#[test]
fn a_settlement_applies_the_prepayment_and_nothing_else() {
    let kind = EntryKind::PrepaymentApplied;
    assert_posts(settled(Some(user()), "32.10"), kind, (&[("2205.user", "32.10")], &[("1122.user", "32.10")]));
    // What was captured has been posted by the wallet; what goes back will be by the refund.
    assert_posts_nothing(settled(Some(user()), "0.00"));
}

#[test]
fn a_settlement_of_a_corrected_bill_gives_back_to_the_prepayment() {
    let kind = EntryKind::PrepaymentApplied;
    assert_posts(settled(Some(user()), "-4.00"), kind, (&[("1122.user", "4.00")], &[("2205.user", "4.00")]));
}

#[test]
fn a_capture_pays_the_receivable_from_the_wallet() {
    let captured = |amount: &str| WalletEvent::Captured {
        user_id: user(),
        session_id: id(3),
        due: yuan("32.10"),
        amount: yuan(amount),
        balance: Money::ZERO,
        held: Money::ZERO,
    };
    assert_posts(captured("30.00"), EntryKind::WalletCaptured, (&[("2205.user", "30.00")], &[("1122.user", "30.00")]));
    assert_posts_nothing(captured("0.00"));
}

#[test]
fn a_credit_gives_back_to_the_wallet() {
    let (user_id, session_id) = (user(), id(3));
    let credited = WalletEvent::Credited { user_id, session_id, amount: yuan("4.00"), balance: yuan("4.00"), held: Money::ZERO };
    assert_posts(credited, EntryKind::WalletCredited, (&[("1122.user", "4.00")], &[("2205.user", "4.00")]));
}

#[test]
fn what_another_event_posts_is_not_posted_twice() {
    let (user_id, amount, balance, held) = (user(), yuan("50.00"), yuan("50.00"), yuan("10.00"));
    assert_posts_nothing(WalletEvent::ToppedUp { user_id, payment_id: id(7), amount, balance, held });
    assert_posts_nothing(WalletEvent::Held { user_id, session_id: id(3), amount, balance, held });
    assert_posts_nothing(WalletEvent::Released { user_id, session_id: id(3), amount, balance, held });
    assert_posts_nothing(WalletEvent::RefundPartSucceeded { user_id, payment_id: id(7), refund_id: id(8), amount, balance, held });
    assert_posts_nothing(SessionEvent::ReceivablePaid {
        refs: refs(Some(user_id)),
        payment_id: id(7),
        amount,
        excess: Money::ZERO,
        receivable: Money::ZERO,
    });
}

#[test]
fn the_second_rules_divide_the_tax_by_kind_of_fee() {
    assert_posts_under(
        RulesVersion::V2,
        billed(Some(user()), "20.00", "12.10"),
        EntryKind::Billed,
        (
            &[("1122.user", "32.10")],
            &[("6001.energy", "17.70"), ("6001.service", "11.42"), ("2221.energy", "2.30"), ("2221.service", "0.68")],
        ),
    );
}

#[test]
fn the_types_that_are_posted_are_listed() {
    let (user_id, session_id, amount, balance, held) = (user(), id(3), yuan("1.00"), yuan("9.00"), Money::ZERO);
    let bill = bill(yuan("1.00"), yuan("1.00"));
    let posted: [Event; 10] = [
        succeeded(prepayment()).into(),
        PaymentEvent::ReceivedLate { payment_id: id(7), user_id, channel: Channel::Sandbox, amount, channel_transaction: "T".to_owned() }
            .into(),
        accepted().into(),
        applied().into(),
        refunded(prepayment(), false).into(),
        billed(None, "1.00", "1.00").into(),
        SessionEvent::BillCorrected {
            refs: refs(None),
            mode: PaymentMode::Postpaid,
            replaced: Bill { total: Money::ZERO, fees: vec![], ..bill.clone() },
            bill,
            note: "first".to_owned(),
        }
        .into(),
        settled(None, "1.00").into(),
        WalletEvent::Captured { user_id, session_id, due: amount, amount, balance, held }.into(),
        WalletEvent::Credited { user_id, session_id, amount, balance, held }.into(),
    ];
    assert_eq!(posted.each_ref().map(Event::name), POSTED.map(str::to_owned));
    for event in posted {
        assert!(postings(&recorded(1, event), RulesVersion::V1).unwrap().is_some());
    }
}

#[test]
fn a_bill_that_contradicts_itself_is_not_posted() {
    let mut wrong = bill(yuan("20.00"), yuan("12.10"));
    wrong.total = yuan("32.11");
    let event = SessionEvent::Billed { refs: refs(None), mode: PaymentMode::Postpaid, bill: wrong };
    let refused = postings(&recorded(9, event), RulesVersion::V1);
    assert_eq!(refused, Err(EntryError::Unbalanced { source_event: id(9), difference: yuan("0.01") }));
}

#[test]
fn an_entry_that_does_not_balance_cannot_be_built() {
    let entry = |postings| JournalEntry::new(EntryKind::Billed, id(9), postings);
    let (bank, losses) = (Account::Bank, Account::Losses);
    let balanced = vec![Posting::debit(losses, yuan("1.00")), Posting::credit(bank, yuan("1.00"))];
    assert_eq!(entry(balanced).unwrap().total(), yuan("1.00"));
    assert_eq!(
        entry(vec![Posting::debit(losses, yuan("1.00")), Posting::credit(bank, yuan("0.99"))]),
        Err(EntryError::Unbalanced { source_event: id(9), difference: yuan("0.01") })
    );
    assert_eq!(entry(vec![]), Err(EntryError::TooFewPostings { source_event: id(9) }));
    assert_eq!(
        entry(vec![Posting::debit(losses, Money::ZERO), Posting::credit(bank, Money::ZERO)]),
        Err(EntryError::ZeroPosting { source_event: id(9), account: losses })
    );
}

#[test]
fn an_account_is_read_from_its_own_text() {
    let accounts = [
        Account::Bank,
        Account::ChannelClearing(Channel::Wechatpay),
        Account::Receivable(Customer::User(user())),
        Account::Receivable(Customer::Unknown),
        Account::ChannelDispute(Channel::Sandbox),
        Account::OperatorPayable(id(1)),
        Account::Prepayment(Customer::User(user())),
        Account::Tax(None),
        Account::Tax(Some(FeeKind::Idle)),
        Account::CommissionTax,
        Account::Unidentified,
        Account::Revenue(FeeKind::Energy),
        Account::Commission(FeeKind::Energy),
        Account::Shares,
        Account::Promotion,
        Account::ChannelFees,
        Account::Losses,
    ];
    let texts = accounts.map(|account| account.to_string());
    assert_eq!(texts.each_ref().map(|text| text.parse::<Account>().unwrap()), accounts);
    let codes = texts.each_ref().map(|text| text.split('.').next().unwrap().to_owned());
    assert!(codes.is_sorted(), "accounts stand in the order of the chart");
    for text in ["", "1012", "1012.cash", "6001.flat", "2205.nobody", "2241.sandbox", "9999"] {
        assert!(text.parse::<Account>().is_err(), "{text}");
    }
}

#[test]
fn the_business_date_is_a_date_of_the_books() {
    let evening = at("2026-02-28T23:30:00Z");
    assert_eq!(business_date(evening, &ZoneName::shanghai()).to_string(), "2026-03-01");
    assert_eq!(business_date(evening, &"America/New_York".parse().unwrap()).to_string(), "2026-02-28");
}

fn adopt(rules_version: u16) -> JournalCommand {
    JournalCommand::AdoptRules { operator_id: id(1), rules_version }
}

fn adopted(operator: u128, rules_version: u16) -> JournalEvent {
    JournalEvent::RulesAdopted { operator_id: id(operator), rules_version }
}

fn given(events: impl IntoIterator<Item = JournalEvent>) -> crate::testing::Given<Journal> {
    given_events(events)
}

#[test]
fn books_adopt_newer_rules_that_exist() {
    given([]).when(adopt(2)).then([adopted(1, 2)]);
    given([adopted(1, 2)]).when(adopt(3)).then([adopted(1, 3)]);
    given([]).when(adopt(1)).then_refused(JournalError::NotNewer { rules_version: 1, adopted: 1 });
    given([adopted(1, 2)]).when(adopt(2)).then_refused(JournalError::NotNewer { rules_version: 2, adopted: 2 });
    for version in [0, 4] {
        given([]).when(adopt(version)).then_refused(UnknownRules { version }.into());
    }
}

#[test]
fn rules_hold_from_their_position_on_and_for_their_operator() {
    let (ours, theirs): (OperatorId, OperatorId) = (id(1), id(2));
    let mut rules = AdoptedRules::default();
    // Twice, as a feed may deliver it.
    for _ in 0..2 {
        rules.apply(&recorded(10, adopted(1, 2))).unwrap();
        rules.apply(&recorded(11, succeeded(Purpose::TopUp))).unwrap();
    }
    assert_eq!([9, 10, 11].map(|position| rules.at(ours, Position(position))), [RulesVersion::V1, RulesVersion::V2, RulesVersion::V2]);
    assert_eq!(rules.at(theirs, Position(11)), RulesVersion::V1);
    assert_eq!(rules.apply(&recorded(12, adopted(1, 4))), Err(UnknownRules { version: 4 }));
}

#[test]
fn every_version_is_known_by_its_number() {
    for version in 1..=RulesVersion::NEWEST.number() {
        assert_eq!(RulesVersion::try_from(version).unwrap().number(), version);
    }
    assert_eq!(RulesVersion::try_from(RulesVersion::NEWEST.number() + 1).unwrap_err().version, RulesVersion::NEWEST.number() + 1);
}
