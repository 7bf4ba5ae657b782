//! Event → balanced entries (记账凭证). A pure function of the event and of the version of the rules that its operator had adopted.
//!
//! | event | debit | credit |
//! |---|---|---|
//! | `payment.succeeded`, prepayment or top-up | 1012.channel | 2205.user |
//! | `payment.succeeded`, for a billed session | 1012.channel | 1122.user |
//! | `payment.received_late`, `payment.receipt_accepted` | 1012.channel | 2241 |
//! | `payment.receipt_applied` | 2241 | 2205.user |
//! | `payment.refund_succeeded`, prepayment or top-up | 2205.user | 1012.channel |
//! | `payment.refund_succeeded`, for a billed session: the user owes it again | 1122.user | 1012.channel |
//! | `payment.refund_succeeded`, of a late receipt | 2241 | 1012.channel |
//! | `session.billed` | 1122.user, tax included | 6001.kind, without tax; 2221, the tax |
//! | `session.billed`, divided between owner and operator | 1122.user, tax included | 2202.owner; 6001.commission_kind, without tax; 2221.commission, the tax |
//! | `session.bill_corrected` | the difference of the two bills, signed | |
//! | `session.settled`, by what it takes from the prepayment | 2205.user | 1122.user |
//! | `session.settled`, by what it gives back to the prepayment | 1122.user | 2205.user |
//! | `wallet.captured` | 2205.user | 1122.user |
//! | `wallet.credited` | 1122.user | 2205.user |
//!
//! Each fact is posted by exactly one event: `wallet.topped_up` and `session.receivable_paid` tell of money that `payment.succeeded` has posted,
//! a settlement's captured part is posted by the wallet. A session that no user is known of owes as `1122.unknown`. An entry of nothing is no entry.
//!
//! Version 2 of the rules posts the tax by kind of fee, `2221.energy`. Version 3 also posts a divided bill as the table says; the versions before it post such a bill whole.
//!
//! Deliberately absent: sums. Balances and the trial balance are sums over the entries, made where they are read.

mod account;
mod adoption;
#[cfg(test)]
mod divided;
mod entry;
mod event;
mod postings;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use account::{Account, AccountClass, AccountError, Customer};
pub use adoption::{AdoptedRules, Journal, JournalCommand, JournalError, RulesVersion, UnknownRules};
pub use entry::{EntryError, EntryKind, JournalEntry, Posting, business_date};
pub use event::*;
pub use postings::{POSTED, postings};
