//! The port of those who read: pages of a read model, and the few questions that span several.
//!
//! Every question names an operator and sees nothing of another. Columns are named as the row types name them; what is asked for by another
//! name is refused, and every value is bound, never put into SQL's text. Answers are rows as JSON objects: amounts as decimal text, times
//! as RFC 3339.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use domain::ids::{OperatorId, SessionId};
use domain::log::Position;
use domain::time::Timestamp;
use domain::units::Money;

use crate::port::ReadStoreError;
use crate::value::{Column, Value};

/// One row as a JSON object.
pub type Item = serde_json::Map<String, serde_json::Value>;

/// The most rows of one page.
pub const LIMIT_MAX: u32 = 500;

/// How a column is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The same.
    Is(Value),
    /// Another one.
    IsNot(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// This or later, or more.
    AtLeast(Value),
    /// Later, or more.
    Above(Value),
    /// This or earlier, or less.
    AtMost(Value),
    /// Earlier, or less.
    Below(Value),
    /// Empty, or not.
    IsEmpty(bool),
}

/// Where to look from, in WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// East of Greenwich, degrees.
    pub longitude: f64,
    /// North of the equator, degrees.
    pub latitude: f64,
    /// How far, in metres.
    pub radius_m: f64,
}

/// A question to one read model.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Which: `sessions`, `bills`, …
    pub view: String,
    /// Whose rows.
    pub operator_id: OperatorId,
    /// All of these hold.
    pub filters: Vec<(String, Test)>,
    /// Words, or a part of a name, as the read model's search defines it.
    pub text: Option<String>,
    /// By which column (never empty); the key decides among equals. Without one, by the key.
    pub order: Option<String>,
    /// The last first.
    pub descending: bool,
    /// Where the page before this one ended.
    pub cursor: Option<Cursor>,
    /// At most this many rows, up to [`LIMIT_MAX`].
    pub limit: u32,
}

impl Query {
    /// The first rows of a read model by key.
    #[must_use]
    pub fn of(view: &str, operator_id: OperatorId) -> Query {
        Query {
            view: view.to_owned(),
            operator_id,
            filters: Vec::new(),
            text: None,
            order: None,
            descending: false,
            cursor: None,
            limit: 50,
        }
    }

    /// Only rows whose column passes.
    #[must_use]
    pub fn filter(mut self, column: &str, test: Test) -> Query {
        self.filters.push((column.to_owned(), test));
        self
    }

    /// Only rows whose column is this.
    #[must_use]
    pub fn equal<T: Column>(self, column: &str, value: &T) -> Query {
        self.filter(column, Test::Is(value.to_value()))
    }

    /// The latest first.
    #[must_use]
    pub fn latest(mut self, column: &str) -> Query {
        self.order = Some(column.to_owned());
        self.descending = true;
        self
    }

    /// The earliest, or least, first.
    #[must_use]
    pub fn earliest(mut self, column: &str) -> Query {
        self.order = Some(column.to_owned());
        self.descending = false;
        self
    }

    /// Only rows with this text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Query {
        self.text = Some(text.into());
        self
    }

    /// From where a page ended.
    #[must_use]
    pub fn after(mut self, cursor: Option<Cursor>) -> Query {
        self.cursor = cursor;
        self
    }

    /// At most this many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Query {
        self.limit = limit;
        self
    }
}

/// Where a page ended: opaque to whoever carries it. It belongs to one read model and order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The read model.
    #[serde(rename = "v")]
    pub view: String,
    /// Its order, with a minus in front when the last comes first.
    #[serde(rename = "o")]
    pub order: String,
    /// The last row's cells in that order, as text.
    #[serde(rename = "c")]
    pub cells: Vec<String>,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| std::fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl std::str::FromStr for Cursor {
    type Err = QueryError;
    fn from_str(text: &str) -> Result<Cursor, QueryError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::BadCursor)?;
        serde_json::from_slice(&json).map_err(|_| QueryError::BadCursor)
    }
}

/// Rows, and where to go on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// The rows.
    pub items: Vec<Item>,
    /// Where the next page begins; none on the last.
    pub next: Option<Cursor>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No read model of this name.
    #[error("there is no read model \"{0}\"")]
    UnknownView(String),
    /// No column of this name, or not one that can be asked for this way.
    #[error("{view} cannot be asked by \"{column}\"")]
    UnknownColumn {
        /// The read model.
        view: String,
        /// What was asked by.
        column: String,
    },
    /// A value that the column cannot be compared with.
    #[error("{column}: {reason}")]
    BadValue {
        /// The column.
        column: String,
        /// What does not fit.
        reason: String,
    },
    /// Not a cursor, or of another question.
    #[error("the cursor is not one of this question")]
    BadCursor,
    /// The database could not.
    #[error(transparent)]
    Store(#[from] ReadStoreError),
}

/// Which stations.
#[derive(Debug, Clone, PartialEq)]
pub struct StationSearch {
    /// Whose.
    pub operator_id: OperatorId,
    /// Around here, the nearest first; without it, by name.
    pub near: Option<Near>,
    /// A part of the name, the address or the code.
    pub text: Option<String>,
    /// Only with a free connector.
    pub only_available: bool,
    /// Where the page before this one ended.
    pub cursor: Option<Cursor>,
    /// At most this many.
    pub limit: u32,
}

/// Until when the books are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsOf {
    /// Business dates up to this one, in the books' zone.
    pub business_on: Option<Date>,
    /// What was known up to this position.
    pub recorded_to: Option<Position>,
    /// What was known at this time.
    pub recorded_at: Option<Timestamp>,
}

/// One account of a trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountBalance {
    /// The account's code, `1122`, or with its part, `1012.sandbox`.
    pub account: String,
    /// Sum of the debits.
    pub debit_yuan: Money,
    /// Sum of the credits.
    pub credit_yuan: Money,
    /// Debits less credits.
    pub balance_yuan: Money,
}

/// All accounts. The two sums are equal, or the books are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialBalance {
    /// By account.
    pub accounts: Vec<AccountBalance>,
    /// Sum of all debits.
    pub debit_yuan: Money,
    /// Sum of all credits.
    pub credit_yuan: Money,
    /// The position that the books hold.
    pub position: Position,
}

/// Which postings of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementQuery {
    /// Whose books.
    pub operator_id: OperatorId,
    /// The account, `2205` or `1012.sandbox`.
    pub account: String,
    /// Only this one of its parts: a user, a partner.
    pub detail: Option<String>,
    /// From this business date on.
    pub from: Option<Date>,
    /// Up to this business date.
    pub to: Option<Date>,
    /// Where the page before this one ended.
    pub cursor: Option<Cursor>,
    /// At most this many.
    pub limit: u32,
}

/// An account's postings, with what was there before and what is there after all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Debits less credits before the first date.
    pub opening_yuan: Money,
    /// Debits less credits after the last date.
    pub closing_yuan: Money,
    /// The postings, in order of recording.
    pub postings: Found,
}

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A session, by its id.
    Session(SessionId),
    /// A session, by the number that people see.
    OrderNumber(String),
    /// A journal entry: the session or payment that it came from.
    Entry(Position),
}

/// Everything that one session's money came from and went to.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Explanation {
    /// The session.
    pub session: Option<Item>,
    /// Its bills, lines and rules included, the first first.
    pub bills: Vec<Item>,
    /// Its payments.
    pub payments: Vec<Item>,
    /// Their refunds.
    pub refunds: Vec<Item>,
    /// The postings of all of them, in order of recording.
    pub postings: Vec<Item>,
}

/// Those who read.
#[async_trait]
pub trait ReadQueries: Send + Sync + 'static {
    /// A page of a read model.
    async fn page(&self, query: &Query) -> Result<Found, QueryError>;

    /// One row by the text of its key's columns, if it is the operator's.
    async fn one(&self, view: &str, operator_id: OperatorId, key: &[&str]) -> Result<Option<Item>, QueryError>;

    /// Stations with how many connectors are free: `distance_m`, and `connectors` by status.
    async fn stations(&self, search: &StationSearch) -> Result<Found, QueryError>;

    /// The trial balance.
    async fn trial_balance(&self, operator_id: OperatorId, as_of: AsOf) -> Result<TrialBalance, QueryError>;

    /// An account's statement.
    async fn statement(&self, query: &StatementQuery) -> Result<Statement, QueryError>;

    /// The path of every fen.
    async fn explain(&self, operator_id: OperatorId, subject: &Subject) -> Result<Option<Explanation>, QueryError>;

    /// How far the serving build of a read model is.
    async fn position(&self, view: &str) -> Result<Position, QueryError>;
}
