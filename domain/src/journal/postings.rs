//! The posting rules. The table stands in the module above; this is the table as code, one arm a row.

use super::{Account, Customer, EntryError, EntryKind, JournalEntry, Posting, RulesVersion};
use crate::agency::Division;
use crate::event::Event;
use crate::ids::UserId;
use crate::log::Recorded;
use crate::payment::{PaymentEvent, Purpose};
use crate::pricing::{Bill, FeeKind};
use crate::session::SessionEvent;
use crate::units::Money;
use crate::wallet::WalletEvent;

/// The types of events that are posted: what a view of the journal reads.
pub const POSTED: [&str; 10] = [
    "payment.succeeded",
    "payment.received_late",
    "payment.receipt_accepted",
    "payment.receipt_applied",
    "payment.refund_succeeded",
    "session.billed",
    "session.bill_corrected",
    "session.settled",
    "wallet.captured",
    "wallet.credited",
];

/// The entry of one event under one version of the rules; none when it moves no money.
///
/// # Errors
/// When the event contradicts itself, as a bill whose parts do not sum to its total: nothing that is built here, but a log may hold anything.
pub fn postings(recorded: &Recorded<Event>, rules: RulesVersion) -> Result<Option<JournalEntry>, EntryError> {
    let draft = match &recorded.event {
        Event::Payment(event) => of_payment(event),
        Event::Session(event) => of_session(event, rules),
        Event::Wallet(event) => of_wallet(event),
        Event::Connector(_)
        | Event::Pile(_)
        | Event::Station(_)
        | Event::Tariff(_)
        | Event::User(_)
        | Event::Operator(_)
        | Event::Key(_)
        | Event::Journal(_)
        | Event::Request(_)
        | Event::Process(_)
        | Event::Projection(_) => None,
    };
    let Some((kind, mut postings)) = draft else { return Ok(None) };
    // A free session, a rate of nothing: what does not move is not posted.
    postings.retain(|posting| !posting.amount.is_zero());
    if postings.is_empty() {
        return Ok(None);
    }
    JournalEntry::new(kind, recorded.metadata.event_id, postings).map(Some)
}

type Draft = Option<(EntryKind, Vec<Posting>)>;

fn of_payment(event: &PaymentEvent) -> Draft {
    match event {
        PaymentEvent::Succeeded { user_id, channel, purpose, amount, .. } => {
            Some(moved(EntryKind::PaymentReceived, Account::ChannelClearing(*channel), counterpart(*user_id, *purpose), *amount))
        }
        PaymentEvent::ReceivedLate { channel, amount, .. } => {
            Some(moved(EntryKind::LateReceipt, Account::ChannelClearing(*channel), Account::Unidentified, *amount))
        }
        PaymentEvent::ReceiptAccepted { channel, amount, .. } => {
            Some(moved(EntryKind::ReceiptAccepted, Account::ChannelClearing(*channel), Account::Unidentified, *amount))
        }
        PaymentEvent::ReceiptApplied { user_id, amount, .. } => {
            Some(moved(EntryKind::ReceiptApplied, Account::Unidentified, Account::Prepayment(Customer::User(*user_id)), *amount))
        }
        PaymentEvent::RefundSucceeded { user_id, channel, purpose, amount, of_late_receipt, .. } => {
            let from = if *of_late_receipt { Account::Unidentified } else { counterpart(*user_id, *purpose) };
            Some(moved(EntryKind::RefundPaid, from, Account::ChannelClearing(*channel), *amount))
        }
        PaymentEvent::Initiated { .. }
        | PaymentEvent::Prepared { .. }
        | PaymentEvent::Failed { .. }
        | PaymentEvent::Closed { .. }
        | PaymentEvent::Disputed { .. }
        | PaymentEvent::DisputesClosed { .. }
        | PaymentEvent::RefundRequested { .. }
        | PaymentEvent::RefundFailed { .. }
        | PaymentEvent::RefundDisputed { .. } => None,
    }
}

fn of_session(event: &SessionEvent, rules: RulesVersion) -> Draft {
    match event {
        SessionEvent::Billed { refs, bill, .. } => Some((EntryKind::Billed, billed(refs.user_id.into(), None, bill, rules))),
        SessionEvent::BillCorrected { refs, replaced, bill, .. } => {
            Some((EntryKind::BillCorrected, billed(refs.user_id.into(), Some(replaced), bill, rules)))
        }
        // Negative when a corrected bill gives some of it back: then the two sides change places.
        SessionEvent::Settled { refs, prepaid_applied, .. } => {
            let customer = refs.user_id.into();
            Some(moved(EntryKind::PrepaymentApplied, Account::Prepayment(customer), Account::Receivable(customer), *prepaid_applied))
        }
        SessionEvent::Requested { .. }
        | SessionEvent::Discovered { .. }
        | SessionEvent::Authorised { .. }
        | SessionEvent::Refused { .. }
        | SessionEvent::Starting { .. }
        | SessionEvent::StartTimedOut { .. }
        | SessionEvent::Started { .. }
        | SessionEvent::MeterRead { .. }
        | SessionEvent::MeterDisputed { .. }
        | SessionEvent::StopRequested { .. }
        | SessionEvent::Stopped { .. }
        | SessionEvent::Faulted { .. }
        | SessionEvent::Abandoned { .. }
        | SessionEvent::TariffAssigned { .. }
        | SessionEvent::Unplugged { .. }
        | SessionEvent::RecordAccepted { .. }
        | SessionEvent::RecordDisputed { .. }
        | SessionEvent::ClosedByOperator { .. }
        | SessionEvent::ReceivablePaid { .. } => None,
    }
}

fn of_wallet(event: &WalletEvent) -> Draft {
    match event {
        WalletEvent::Captured { user_id, amount, .. } => {
            let customer = Customer::User(*user_id);
            Some(moved(EntryKind::WalletCaptured, Account::Prepayment(customer), Account::Receivable(customer), *amount))
        }
        WalletEvent::Credited { user_id, amount, .. } => {
            let customer = Customer::User(*user_id);
            Some(moved(EntryKind::WalletCredited, Account::Receivable(customer), Account::Prepayment(customer), *amount))
        }
        WalletEvent::ToppedUp { .. }
        | WalletEvent::Held { .. }
        | WalletEvent::Released { .. }
        | WalletEvent::RefundRequested { .. }
        | WalletEvent::RefundPartSucceeded { .. }
        | WalletEvent::RefundPartFailed { .. } => None,
    }
}

fn moved(kind: EntryKind, debit: Account, credit: Account, amount: Money) -> (EntryKind, Vec<Posting>) {
    (kind, vec![Posting::debit(debit, amount), Posting::credit(credit, amount)])
}

/// What a payment's money stands against: the user's prepayments, or the session's debt that it paid.
fn counterpart(user_id: UserId, purpose: Purpose) -> Account {
    match purpose {
        Purpose::Prepayment { .. } | Purpose::TopUp => Account::Prepayment(Customer::User(user_id)),
        Purpose::Postpaid { .. } => Account::Receivable(Customer::User(user_id)),
    }
}

/// What a bill adds to the one before it: all of it, when there is none.
fn billed(customer: Customer, replaced: Option<&Bill>, bill: &Bill, rules: RulesVersion) -> Vec<Posting> {
    let owed = bill.total - replaced.map_or(Money::ZERO, |replaced| replaced.total);
    let mut credits = credited(bill, rules);
    for (account, before) in replaced.map_or_else(Vec::new, |replaced| credited(replaced, rules)) {
        match credits.iter_mut().find(|(known, _)| *known == account) {
            Some((_, amount)) => *amount -= before,
            None => credits.push((account, -before)),
        }
    }
    let debit = Posting::debit(Account::Receivable(customer), owed);
    [debit].into_iter().chain(credits.into_iter().map(|(account, amount)| Posting::credit(account, amount))).collect()
}

/// Whose a bill's money is: ours and the tax office's, or the station owner's but for our commission.
fn credited(bill: &Bill, rules: RulesVersion) -> Vec<(Account, Money)> {
    if let Some(division) = bill.division.as_deref().filter(|_| rules.divide()) {
        return divided(division);
    }
    let fee = |kind: FeeKind| bill.fees.iter().find(|fee| fee.kind == kind);
    let mut credits: Vec<(Account, Money)> =
        FeeKind::ALL.map(|kind| (Account::Revenue(kind), fee(kind).map_or(Money::ZERO, |fee| fee.net))).into();
    let taxes = FeeKind::ALL.map(|kind| (kind, fee(kind).map_or(Money::ZERO, |fee| fee.tax)));
    match rules {
        RulesVersion::V1 => credits.push((Account::Tax(None), taxes.iter().map(|(_, tax)| *tax).sum())),
        RulesVersion::V2 | RulesVersion::V3 => credits.extend(taxes.map(|(kind, tax)| (Account::Tax(Some(kind)), tax))),
    }
    credits
}

fn divided(division: &Division) -> Vec<(Account, Money)> {
    let mut credits = vec![(Account::OperatorPayable(division.owner_id), division.owner_part)];
    credits.extend(division.commissions.iter().map(|commission| (Account::Commission(commission.kind), commission.net)));
    credits.push((Account::CommissionTax, division.commissions.iter().map(|commission| commission.tax).sum()));
    credits
}
