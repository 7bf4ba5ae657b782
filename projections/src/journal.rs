//! The journal (日记账): every posting of every entry, in the order of the log. Nothing here decides an amount; that is `domain::journal`.

use jiff::civil::Date;

use domain::event::Event;
use domain::ids::{EventId, OperatorId, PaymentId, SessionId, UserId};
use domain::journal::{JournalEntry, POSTED, RulesVersion, business_date, postings};
use domain::log::Position;
use domain::payment::PaymentEvent;
use domain::time::Timestamp;
use domain::units::Money;
use domain::wallet::WalletEvent;

use crate::fold::{Journal, Moment, ProjectionError};
use crate::payments::{payment_id, purpose_word};
use crate::row;

row! {
    /// A posting (分录): one line of a journal entry.
    pub struct PostingRow in "journal" {
        key {
            /// The position of the event that was posted: the entry's number.
            position: Position,
            /// The line of the entry, from 1.
            line: u32,
        }
        /// Whose books: the tenant.
        operator_id: OperatorId,
        /// What the entry is about.
        kind: String,
        /// The account's number in the chart.
        account: String,
        /// What the account is kept by: a channel, a user, a kind of fee; empty when it stands alone.
        detail: String,
        /// What stands in the debit column.
        debit_yuan: Money,
        /// What stands in the credit column.
        credit_yuan: Money,
        /// Under which date it stands in the books, in the books' zone.
        business_on: Date,
        /// When the world did it.
        occurred_at: Timestamp,
        /// When we recorded it.
        recorded_at: Timestamp,
        /// The event that was posted.
        event_id: EventId,
        /// For which session.
        session_id: Option<SessionId>,
        /// By which payment.
        payment_id: Option<PaymentId>,
        /// Whose money.
        user_id: Option<UserId>,
        /// The version of the posting rules.
        rules_version: u32,
    }
    index(operator_id, account);
    index(operator_id, account, detail, business_on);
    index(operator_id, session_id);
    index(operator_id, payment_id);
    index(operator_id, business_on);
}

/// The projection of [`PostingRow`].
#[derive(Debug)]
pub struct Postings;

impl Journal for Postings {
    type Row = PostingRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &POSTED;

    fn rows(moment: &Moment<'_>) -> Result<Vec<PostingRow>, ProjectionError> {
        let Some(Posted { entry, rules, business_on }) = posted(moment)? else { return Ok(Vec::new()) };
        let (session_id, payment_id, user_id) = about(moment.event());
        let row = |(line, posting): (u32, &domain::journal::Posting)| PostingRow {
            position: moment.position(),
            line,
            operator_id: moment.operator_id(),
            kind: entry.kind().as_str().to_owned(),
            account: posting.account.code().to_owned(),
            detail: posting.account.detail().unwrap_or_default(),
            debit_yuan: posting.debited(),
            credit_yuan: posting.credited(),
            business_on,
            occurred_at: moment.occurred_at(),
            recorded_at: moment.recorded_at(),
            event_id: entry.source_event(),
            session_id,
            payment_id,
            user_id,
            rules_version: u32::from(rules.number()),
        };
        Ok((1..).zip(entry.postings()).map(row).collect())
    }
}

/// An entry with what it takes to write it down.
pub(crate) struct Posted {
    pub(crate) entry: JournalEntry,
    pub(crate) rules: RulesVersion,
    pub(crate) business_on: Date,
}

/// The entry of an event, under the rules that its operator had adopted by then.
pub(crate) fn posted(moment: &Moment<'_>) -> Result<Option<Posted>, ProjectionError> {
    let books = moment.books()?;
    let refused = |error: &dyn std::fmt::Display| ProjectionError::NotPosted { reason: error.to_string() };
    let rules = match books.rules_version {
        0 => RulesVersion::default(),
        version => RulesVersion::try_from(version).map_err(|error| refused(&error))?,
    };
    let entry = postings(moment.recorded, rules).map_err(|error| refused(&error))?;
    Ok(entry.map(|entry| Posted { entry, rules, business_on: business_date(moment.occurred_at(), &books.zone) }))
}

fn about(event: &Event) -> (Option<SessionId>, Option<PaymentId>, Option<UserId>) {
    match event {
        Event::Session(event) => {
            let refs = crate::sessions::refs(event);
            (refs.map(|refs| refs.session_id), None, refs.and_then(|refs| refs.user_id))
        }
        Event::Payment(event) => {
            let (session_id, user_id) = match event {
                PaymentEvent::Succeeded { purpose, user_id, .. } | PaymentEvent::RefundSucceeded { purpose, user_id, .. } => {
                    (purpose_word(*purpose).1, Some(*user_id))
                }
                PaymentEvent::ReceivedLate { user_id, .. }
                | PaymentEvent::ReceiptAccepted { user_id, .. }
                | PaymentEvent::ReceiptApplied { user_id, .. } => (None, Some(*user_id)),
                _ => (None, None),
            };
            (session_id, Some(payment_id(event)), user_id)
        }
        Event::Wallet(WalletEvent::Captured { session_id, user_id, .. } | WalletEvent::Credited { session_id, user_id, .. }) => {
            (Some(*session_id), None, Some(*user_id))
        }
        _ => (None, None, None),
    }
}
