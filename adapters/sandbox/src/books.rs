//! The sandbox's own books: a file of its own, as an external system has. What it acknowledged survives the death of the process.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commands::port::{ChannelError, ChannelReport, PayOrder, RefundOrder};
use domain::time::Timestamp;
use domain::units::Money;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS orders(
    payment_no TEXT PRIMARY KEY, amount_fen INTEGER NOT NULL, ordered_us INTEGER NOT NULL, state TEXT NOT NULL,
    transaction_no TEXT, changed_us INTEGER, reason TEXT, is_reported INTEGER NOT NULL DEFAULT 1) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refunds(
    refund_no TEXT PRIMARY KEY, payment_no TEXT NOT NULL REFERENCES orders(payment_no), amount_fen INTEGER NOT NULL,
    channel_refund TEXT NOT NULL, refunded_us INTEGER NOT NULL, is_reported INTEGER NOT NULL, reason TEXT) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refunds_of_payment ON refunds(payment_no);
CREATE INDEX IF NOT EXISTS orders_unreported ON orders(is_reported) WHERE is_reported = 0;
CREATE INDEX IF NOT EXISTS refunds_unreported ON refunds(is_reported) WHERE is_reported = 0;
";

/// Books from before refunds had their reason in them.
const ADD_REFUND_REASON: &str = "ALTER TABLE refunds ADD COLUMN reason TEXT";
/// As long as the strictest of the real channels takes it, in characters.
const REASON_CHARS_MAX: usize = 80;

pub(crate) const NAME: &str = "sandbox";

/// What the sandbox has taken in and given back on one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementDay {
    /// The day, `2026-03-01`.
    pub day: String,
    /// How many payments came in.
    pub receipts: u64,
    /// How much.
    pub received: Money,
    /// How many refunds went out.
    pub refunds: u64,
    /// How much.
    pub refunded: Money,
}

/// What the sandbox says about itself: to be compared with the journal's 1012.sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Day by day.
    pub days: Vec<StatementDay>,
}

impl Statement {
    /// What it holds for us: received less refunded.
    #[must_use]
    pub fn balance(&self) -> Money {
        self.days.iter().map(|day| day.received - day.refunded).sum()
    }
}

#[derive(Debug)]
pub(crate) struct Books {
    connection: Mutex<Connection>,
    /// Reports that have been taken and are not marked so in the file yet.
    taken: Mutex<Vec<ChannelReport>>,
}

/// So many reports are marked as taken in one go. Those that a crash keeps from being marked are sent once more, which changes nothing.
const MARKED_AT_ONCE: usize = 64;

struct Order {
    amount_fen: i64,
    state: String,
    transaction_no: Option<String>,
    changed_us: Option<i64>,
    reason: Option<String>,
}

impl Order {
    fn read(row: &Row<'_>) -> rusqlite::Result<Order> {
        Ok(Order { amount_fen: row.get(0)?, state: row.get(1)?, transaction_no: row.get(2)?, changed_us: row.get(3)?, reason: row.get(4)? })
    }
}

/// Makes an empty file that its owner alone reads and writes, where there is none: SQLite would make one that everybody may read.
pub(crate) fn make_for_owner(path: &Path) {
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    // A file that cannot be made cannot be opened either, and SQLite says so in its own words.
    let _ = file.open(path);
}

impl Books {
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Books> {
        make_for_owner(path);
        Books::over(Connection::open(path)?)
    }

    pub(crate) fn in_memory() -> rusqlite::Result<Books> {
        Books::over(Connection::open_in_memory()?)
    }

    fn over(connection: Connection) -> rusqlite::Result<Books> {
        connection.execute_batch(SCHEMA)?;
        let has_reason: bool =
            connection
                .query_row("SELECT EXISTS (SELECT 1 FROM pragma_table_info('refunds') WHERE name = 'reason')", [], |row| row.get(0))?;
        if !has_reason {
            connection.execute_batch(ADD_REFUND_REASON)?;
        }
        Ok(Books { connection: Mutex::new(connection), taken: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a payment known. The same number with another amount is refused.
    pub(crate) fn order(&self, order: &PayOrder) -> Result<(), ChannelError> {
        let connection = self.lock();
        let amount = fen(order.amount)?;
        connection
            .prepare_cached(
                "INSERT INTO orders(payment_no, amount_fen, ordered_us, state) VALUES (?1, ?2, ?3, 'open') ON CONFLICT DO NOTHING",
            )
            .and_then(|mut insert| insert.execute(params![order.payment_no, amount, order.ordered_at.micros()]))
            .map_err(broken)?;
        match find(&connection, &order.payment_no)? {
            Some(known) if known.amount_fen == amount => Ok(()),
            _ => Err(refused("this number was used for another amount")),
        }
    }

    /// The payer pays. Paying twice is paying once; a closed order takes no money.
    pub(crate) fn pay(&self, payment_no: &str, at: Timestamp) -> Result<Option<ChannelReport>, ChannelError> {
        let connection = self.lock();
        let transaction_no = format!("{NAME}-{payment_no}");
        connection
            .prepare_cached("UPDATE orders SET state = 'paid', transaction_no = ?2, changed_us = ?3, is_reported = 0 WHERE payment_no = ?1 AND state = 'open'")
            .and_then(|mut update| update.execute(params![payment_no, transaction_no, at.micros()]))
            .map_err(broken)?;
        Ok(find(&connection, payment_no)?.and_then(|order| report(payment_no, order)))
    }

    /// The payer's bank says no.
    pub(crate) fn fail(&self, payment_no: &str, at: Timestamp, reason: &str) -> Result<Option<ChannelReport>, ChannelError> {
        let connection = self.lock();
        connection
            .execute(
                "UPDATE orders SET state = 'failed', reason = ?2, changed_us = ?3, is_reported = 0 WHERE payment_no = ?1 AND state = 'open'",
                params![payment_no, reason, at.micros()],
            )
            .map_err(broken)?;
        Ok(find(&connection, payment_no)?.and_then(|order| report(payment_no, order)))
    }

    /// Closes an unpaid order; an unknown one is as good as closed, and stays so.
    pub(crate) fn close(&self, payment_no: &str, at: Timestamp) -> Result<(), ChannelError> {
        let connection = self.lock();
        connection
            .execute(
                "INSERT INTO orders(payment_no, amount_fen, ordered_us, state, changed_us) VALUES (?1, 0, ?2, 'closed', ?2)
                 ON CONFLICT(payment_no) DO UPDATE SET state = 'closed', changed_us = ?2 WHERE state = 'open'",
                params![payment_no, at.micros()],
            )
            .map_err(broken)?;
        match find(&connection, payment_no)? {
            Some(order) if order.state == "paid" => Err(refused("the order has been paid")),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives money back. The same number is the same refund, and says the same; the sum never exceeds what was paid.
    pub(crate) fn refund(&self, order: &RefundOrder, at: Timestamp) -> Result<ChannelReport, ChannelError> {
        if order.reason.chars().count() > REASON_CHARS_MAX || order.reason.chars().any(char::is_control) {
            return Err(refused("the reason is too long, or more than a line"));
        }
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(broken)?;
        let amount = fen(order.amount)?;
        let known: Option<(i64, String, Option<String>)> = transaction
            .prepare_cached("SELECT amount_fen, payment_no, reason FROM refunds WHERE refund_no = ?1")
            .and_then(|mut select| select.query_row([&order.refund_no], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional())
            .map_err(broken)?;
        if let Some((known_amount, known_payment, known_reason)) = known {
            let says_the_same = known_reason.is_none_or(|reason| reason == order.reason);
            if known_amount != amount || known_payment != order.payment_no || !says_the_same {
                return Err(refused("this refund number was used for another refund"));
            }
        } else {
            let paid = match find(&transaction, &order.payment_no)? {
                Some(paid) if paid.state == "paid" => paid.amount_fen,
                _ => return Err(refused("the order has not been paid")),
            };
            let refunded: i64 = transaction
                .prepare_cached("SELECT COALESCE(SUM(amount_fen), 0) FROM refunds WHERE payment_no = ?1")
                .and_then(|mut select| select.query_row([&order.payment_no], |row| row.get(0)))
                .map_err(broken)?;
            if refunded + amount > paid {
                return Err(refused("the refunds would exceed the payment"));
            }
            let channel_refund = format!("{NAME}-{}", order.refund_no);
            transaction
                .prepare_cached("INSERT INTO refunds(refund_no, payment_no, amount_fen, channel_refund, refunded_us, is_reported, reason) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)")
                .and_then(|mut insert| insert.execute(params![order.refund_no, order.payment_no, amount, channel_refund, at.micros(), order.reason]))
                .map_err(broken)?;
        }
        transaction.commit().map_err(broken)?;
        find_refund(&connection, &order.refund_no)?.ok_or_else(|| refused("the refund is unknown"))
    }

    pub(crate) fn payment(&self, payment_no: &str) -> Result<Option<ChannelReport>, ChannelError> {
        Ok(find(&self.lock(), payment_no)?.and_then(|order| report(payment_no, order)))
    }

    pub(crate) fn refund_report(&self, refund_no: &str) -> Result<Option<ChannelReport>, ChannelError> {
        find_refund(&self.lock(), refund_no)
    }

    /// What a refund was asked for with.
    pub(crate) fn refund_reason(&self, refund_no: &str) -> Result<Option<String>, ChannelError> {
        self.lock()
            .prepare_cached("SELECT reason FROM refunds WHERE refund_no = ?1")
            .and_then(|mut select| select.query_row([refund_no], |row| row.get(0)).optional())
            .map(Option::flatten)
            .map_err(broken)
    }

    /// Remembers that a report has been taken, so that it is not sent again.
    pub(crate) fn taken(&self, report: ChannelReport) -> Result<(), ChannelError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(report);
        if taken.len() < MARKED_AT_ONCE {
            return Ok(());
        }
        let taken = std::mem::take(&mut *taken);
        self.mark(&taken)
    }

    fn mark_taken(&self) -> Result<(), ChannelError> {
        let taken = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        self.mark(&taken)
    }

    fn mark(&self, taken: &[ChannelReport]) -> Result<(), ChannelError> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(broken)?;
        for report in taken {
            let (sql, number) = match report {
                ChannelReport::Paid { payment_no, .. } | ChannelReport::PaymentFailed { payment_no, .. } => {
                    ("UPDATE orders SET is_reported = 1 WHERE payment_no = ?1", payment_no)
                }
                ChannelReport::Refunded { refund_no, .. } | ChannelReport::RefundFailed { refund_no, .. } => {
                    ("UPDATE refunds SET is_reported = 1 WHERE refund_no = ?1", refund_no)
                }
            };
            transaction.prepare_cached(sql).and_then(|mut update| update.execute([number])).map_err(broken)?;
        }
        transaction.commit().map_err(broken)
    }

    /// What has not been taken yet: real channels repeat it, and so does this one when it starts.
    pub(crate) fn untaken(&self) -> Result<Vec<ChannelReport>, ChannelError> {
        self.mark_taken()?;
        let connection = self.lock();
        let numbers = |sql: &str| -> Result<Vec<String>, ChannelError> {
            let mut select = connection.prepare(sql).map_err(broken)?;
            let rows = select.query_map([], |row| row.get(0)).map_err(broken)?;
            rows.collect::<rusqlite::Result<_>>().map_err(broken)
        };
        let mut reports = Vec::new();
        for payment_no in numbers("SELECT payment_no FROM orders WHERE is_reported = 0")? {
            reports.extend(find(&connection, &payment_no)?.and_then(|order| report(&payment_no, order)));
        }
        for refund_no in numbers("SELECT refund_no FROM refunds WHERE is_reported = 0")? {
            reports.extend(find_refund(&connection, &refund_no)?);
        }
        Ok(reports)
    }

    pub(crate) fn statement(&self) -> Result<Statement, ChannelError> {
        let connection = self.lock();
        let mut select = connection
            .prepare(
                "SELECT day, SUM(receipts), SUM(received), SUM(refunds), SUM(refunded) FROM (
                     SELECT date(changed_us / 1000000, 'unixepoch') AS day, 1 AS receipts, amount_fen AS received, 0 AS refunds, 0 AS refunded
                       FROM orders WHERE state = 'paid'
                     UNION ALL
                     SELECT date(refunded_us / 1000000, 'unixepoch'), 0, 0, 1, amount_fen FROM refunds)
                 GROUP BY day ORDER BY day",
            )
            .map_err(broken)?;
        let days = select
            .query_map([], |row| {
                Ok(StatementDay {
                    day: row.get(0)?,
                    receipts: row.get::<_, i64>(1)?.unsigned_abs(),
                    received: Money::from_fen(row.get(2)?),
                    refunds: row.get::<_, i64>(3)?.unsigned_abs(),
                    refunded: Money::from_fen(row.get(4)?),
                })
            })
            .and_then(Iterator::collect)
            .map_err(broken)?;
        Ok(Statement { days })
    }
}

impl Drop for Books {
    fn drop(&mut self) {
        // What cannot be marked now is sent once more at the next start.
        let _ = self.mark_taken();
    }
}

fn find(connection: &Connection, payment_no: &str) -> Result<Option<Order>, ChannelError> {
    connection
        .prepare_cached("SELECT amount_fen, state, transaction_no, changed_us, reason FROM orders WHERE payment_no = ?1")
        .and_then(|mut select| select.query_row([payment_no], Order::read).optional())
        .map_err(broken)
}

fn find_refund(connection: &Connection, refund_no: &str) -> Result<Option<ChannelReport>, ChannelError> {
    connection
        .prepare_cached("SELECT channel_refund, amount_fen, refunded_us FROM refunds WHERE refund_no = ?1")
        .and_then(|mut select| {
            select
                .query_row([refund_no], |row| {
                    Ok(ChannelReport::Refunded {
                        refund_no: refund_no.to_owned(),
                        channel_refund: row.get(0)?,
                        amount: Money::from_fen(row.get(1)?),
                        refunded_at: Timestamp::from_micros(row.get(2)?).unwrap_or_default(),
                    })
                })
                .optional()
        })
        .map_err(broken)
}

fn report(payment_no: &str, order: Order) -> Option<ChannelReport> {
    let at = Timestamp::from_micros(order.changed_us?).ok()?;
    let payment_no = payment_no.to_owned();
    match order.state.as_str() {
        "paid" => Some(ChannelReport::Paid {
            payment_no,
            amount: Money::from_fen(order.amount_fen),
            channel_transaction: order.transaction_no?,
            paid_at: at,
        }),
        "failed" => Some(ChannelReport::PaymentFailed { payment_no, reason: order.reason.unwrap_or_default(), failed_at: at }),
        _ => None,
    }
}

fn fen(amount: Money) -> Result<i64, ChannelError> {
    i64::try_from(amount.value().mantissa()).map_err(|_| refused("the amount is too large"))
}

pub(crate) fn refused(reason: &str) -> ChannelError {
    ChannelError::Refused { channel: NAME, reason: reason.to_owned() }
}

#[allow(clippy::needless_pass_by_value, reason = "map_err hands it over by value")]
fn broken(error: rusqlite::Error) -> ChannelError {
    ChannelError::Unknown { channel: NAME, reason: error.to_string() }
}
