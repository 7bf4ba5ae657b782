//! Accounts: the balance of each, customers' own ones included, as it stands now.

use domain::ids::OperatorId;
use domain::journal::POSTED;
use domain::log::Position;
use domain::time::Timestamp;
use domain::units::Money;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::journal::posted;
use crate::row;

row! {
    /// An account (科目) with its detail.
    pub struct AccountRow in "accounts" {
        key {
            /// Whose books: the tenant.
            operator_id: OperatorId,
            /// The account's number in the chart.
            account: String,
            /// What it is kept by: a channel, a user, a kind of fee; empty when it stands alone.
            detail: String,
        }
        /// What it holds, for people.
        name: String,
        /// Sum of the debits.
        debit_yuan: Money,
        /// Sum of the credits.
        credit_yuan: Money,
        /// Debits less credits.
        balance_yuan: Money,
        /// How many postings.
        posting_count: u64,
        /// When it was last posted to.
        posted_at: Timestamp,
        /// The position that this row holds.
        position: Position,
    }
}

/// The projection of [`AccountRow`].
#[derive(Debug)]
pub struct Accounts;

type Key = (OperatorId, String, String);

impl Keyed for Accounts {
    type Row = AccountRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &POSTED;

    fn keys(moment: &Moment<'_>) -> Result<Vec<Key>, ProjectionError> {
        let Some(posted) = posted(moment)? else { return Ok(Vec::new()) };
        let mut accounts: Vec<_> = posted.entry.postings().iter().map(|posting| posting.account).collect();
        accounts.sort();
        accounts.dedup();
        let key =
            |account: domain::journal::Account| (moment.operator_id(), account.code().to_owned(), account.detail().unwrap_or_default());
        Ok(accounts.into_iter().map(key).collect())
    }

    fn evolve(key: &Key, row: Option<AccountRow>, moment: &Moment<'_>) -> Result<Option<AccountRow>, ProjectionError> {
        let Some(posted) = posted(moment)? else { return Ok(row) };
        let (operator_id, account, detail) = key;
        let mut row = row.unwrap_or_else(|| AccountRow {
            operator_id: *operator_id,
            account: account.clone(),
            detail: detail.clone(),
            name: String::new(),
            debit_yuan: Money::ZERO,
            credit_yuan: Money::ZERO,
            balance_yuan: Money::ZERO,
            posting_count: 0,
            posted_at: moment.occurred_at(),
            position: moment.position(),
        });
        for posting in posted.entry.postings() {
            if posting.account.code() == account && posting.account.detail().unwrap_or_default() == *detail {
                posting.account.name().clone_into(&mut row.name);
                row.debit_yuan += posting.debited();
                row.credit_yuan += posting.credited();
                row.balance_yuan += posting.amount;
                row.posting_count += 1;
            }
        }
        row.posted_at = moment.occurred_at();
        row.position = moment.position();
        Ok(Some(row))
    }
}
