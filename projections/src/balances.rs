//! Balances: what was posted to each account on each business date. A trial balance sums them up to a date.
//!
//! Customers' accounts stand together here, so that a date has few rows; each customer's own balance stands in `accounts`.

use jiff::civil::Date;

use domain::ids::OperatorId;
use domain::journal::{Account, POSTED};
use domain::log::Position;
use domain::units::Money;

use crate::fold::{Keyed, Moment, ProjectionError};
use crate::journal::posted;
use crate::row;

row! {
    /// What was posted to an account on a business date.
    pub struct BalanceRow in "balances" {
        key {
            /// Whose books: the tenant.
            operator_id: OperatorId,
            /// The account's number in the chart.
            account: String,
            /// What the account is kept by, but for customers: a channel, a kind of fee.
            detail: String,
            /// The date in the books.
            business_on: Date,
        }
        /// Sum of the debits.
        debit_yuan: Money,
        /// Sum of the credits.
        credit_yuan: Money,
        /// How many postings.
        posting_count: u64,
        /// The position that this row holds.
        position: Position,
    }
}

/// The projection of [`BalanceRow`].
#[derive(Debug)]
pub struct Balances;

type Key = (OperatorId, String, String, Date);

impl Keyed for Balances {
    type Row = BalanceRow;
    const VERSION: u32 = 1;
    const HANDLES: &'static [&'static str] = &POSTED;

    fn keys(moment: &Moment<'_>) -> Result<Vec<Key>, ProjectionError> {
        let Some(posted) = posted(moment)? else { return Ok(Vec::new()) };
        let key = |account: Account| (moment.operator_id(), account.code().to_owned(), detail(account), posted.business_on);
        let mut keys: Vec<Key> = posted.entry.postings().iter().map(|posting| key(posting.account)).collect();
        keys.sort();
        keys.dedup();
        Ok(keys)
    }

    fn evolve(key: &Key, row: Option<BalanceRow>, moment: &Moment<'_>) -> Result<Option<BalanceRow>, ProjectionError> {
        let Some(posted) = posted(moment)? else { return Ok(row) };
        let (operator_id, account, part, business_on) = key;
        let mut row = row.unwrap_or_else(|| BalanceRow {
            operator_id: *operator_id,
            account: account.clone(),
            detail: part.clone(),
            business_on: *business_on,
            debit_yuan: Money::ZERO,
            credit_yuan: Money::ZERO,
            posting_count: 0,
            position: moment.position(),
        });
        for posting in
            posted.entry.postings().iter().filter(|posting| posting.account.code() == account && detail(posting.account) == *part)
        {
            row.debit_yuan += posting.debited();
            row.credit_yuan += posting.credited();
            row.posting_count += 1;
        }
        row.position = moment.position();
        Ok(Some(row))
    }
}

/// What an account is kept by, but for customers.
fn detail(account: Account) -> String {
    match account {
        Account::Receivable(_) | Account::Prepayment(_) => String::new(),
        other => other.detail().unwrap_or_default(),
    }
}
