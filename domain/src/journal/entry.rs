//! A journal entry: postings that sum to nothing, or it does not exist.

use jiff::civil::Date;
use serde::Serialize;

use super::Account;
use crate::ids::EventId;
use crate::time::{Timestamp, ZoneName};
use crate::units::Money;

/// One line of an entry (分录): an account and a signed amount, debit above nothing, credit below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Posting {
    /// Where.
    pub account: Account,
    /// How much: a debit is positive, a credit negative.
    pub amount: Money,
}

impl Posting {
    /// A debit (借); of less than nothing it is a credit.
    #[must_use]
    pub const fn debit(account: Account, amount: Money) -> Posting {
        Posting { account, amount }
    }

    /// A credit (贷); of less than nothing it is a debit.
    #[must_use]
    pub fn credit(account: Account, amount: Money) -> Posting {
        Posting { account, amount: -amount }
    }

    /// What stands in the debit column.
    #[must_use]
    pub fn debited(&self) -> Money {
        self.amount.max(Money::ZERO)
    }

    /// What stands in the credit column.
    #[must_use]
    pub fn credited(&self) -> Money {
        (-self.amount).max(Money::ZERO)
    }
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A user paid.
    PaymentReceived,
    /// A user paid too late.
    LateReceipt,
    /// A receipt of another amount than was agreed is money all the same.
    ReceiptAccepted,
    /// An unidentified receipt became a user's prepayment.
    ReceiptApplied,
    /// Money went back.
    RefundPaid,
    /// A session got its price.
    Billed,
    /// A session got another price.
    BillCorrected,
    /// A prepayment was applied to a bill, or given back by a corrected one.
    PrepaymentApplied,
    /// A wallet paid a bill.
    WalletCaptured,
    /// A wallet got money back for a corrected bill.
    WalletCredited,
}

impl EntryKind {
    /// The key in JSON and SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryKind::PaymentReceived => "payment_received",
            EntryKind::LateReceipt => "late_receipt",
            EntryKind::ReceiptAccepted => "receipt_accepted",
            EntryKind::ReceiptApplied => "receipt_applied",
            EntryKind::RefundPaid => "refund_paid",
            EntryKind::Billed => "billed",
            EntryKind::BillCorrected => "bill_corrected",
            EntryKind::PrepaymentApplied => "prepayment_applied",
            EntryKind::WalletCaptured => "wallet_captured",
            EntryKind::WalletCredited => "wallet_credited",
        }
    }
}

/// Why postings are no entry. A view with money in it halts on the event that they came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Debits and credits differ.
    #[error("the entry of event {source_event} does not balance: debit less credit is {difference}")]
    Unbalanced {
        /// Of which event.
        source_event: EventId,
        /// Debits less credits.
        difference: Money,
    },
    /// Money has to come from somewhere and go somewhere.
    #[error("the entry of event {source_event} has fewer than two postings")]
    TooFewPostings {
        /// Of which event.
        source_event: EventId,
    },
    /// A posting of nothing says nothing.
    #[error("the entry of event {source_event} posts nothing to {account}")]
    ZeroPosting {
        /// Of which event.
        source_event: EventId,
        /// Where.
        account: Account,
    },
}

/// A journal entry (记账凭证): at least two postings, none of nothing, debits equal to credits. There is no other way to make one than [`JournalEntry::new`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalEntry {
    kind: EntryKind,
    source_event: EventId,
    postings: Vec<Posting>,
}

impl JournalEntry {
    /// Puts postings together.
    ///
    /// # Errors
    /// When they do not balance, are fewer than two, or one of them is of nothing.
    pub fn new(kind: EntryKind, source_event: EventId, postings: Vec<Posting>) -> Result<JournalEntry, EntryError> {
        if let Some(posting) = postings.iter().find(|posting| posting.amount.is_zero()) {
            return Err(EntryError::ZeroPosting { source_event, account: posting.account });
        }
        if postings.len() < 2 {
            return Err(EntryError::TooFewPostings { source_event });
        }
        let difference: Money = postings.iter().map(|posting| posting.amount).sum();
        if !difference.is_zero() {
            return Err(EntryError::Unbalanced { source_event, difference });
        }
        Ok(JournalEntry { kind, source_event, postings })
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The event that it posts: one event, one entry.
    #[must_use]
    pub const fn source_event(&self) -> EventId {
        self.source_event
    }

    /// Its lines.
    #[must_use]
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// The sum of its debits, which is the sum of its credits.
    #[must_use]
    pub fn total(&self) -> Money {
        self.postings.iter().map(Posting::debited).sum()
    }
}

/// The date under which an event stands in the books: when the world did it, on the calendar of the books.
#[must_use]
pub fn business_date(occurred_at: Timestamp, books_zone: &ZoneName) -> Date {
    books_zone.date(occurred_at)
}
