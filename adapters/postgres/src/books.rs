//! The books: trial balance, statements of accounts, and where one session's money came from and went to.
//!
//! Each answer is read in one snapshot, so that its sums belong together. A trial balance by business date sums daily balances; one by what was
//! known at a moment sums the postings themselves.

use domain::ids::OperatorId;
use domain::log::Position;
use domain::units::Money;
use projections::query::{
    AccountBalance, AsOf, Explanation, Item, LIMIT_MAX, Query, QueryError, Statement, StatementQuery, Subject, Test, TrialBalance,
};
use projections::value::{Column as _, Value};
use rust_decimal::Decimal;
use tokio_postgres::{IsolationLevel, Row};

use crate::ReadModels;
use crate::cells::clean;
use crate::error::database;
use crate::page::Conditions;
use crate::store::borrowed;

/// The accounts that are kept by customer. `balances` keeps them together.
const BY_CUSTOMER: &str = "('1122', '2205')";

impl ReadModels {
    pub(crate) async fn sum_up(&self, operator_id: OperatorId, as_of: AsOf) -> Result<TrialBalance, QueryError> {
        let mut conditions = Conditions::of_operator(operator_id);
        if let Some(date) = as_of.business_on {
            let date = conditions.bind(Box::new(date), "date");
            conditions.clauses.push(format!("t.business_on <= {date}"));
        }
        let by_moment = as_of.recorded_to.is_some() || as_of.recorded_at.is_some();
        if let Some(position) = as_of.recorded_to {
            let position = conditions.bind(Box::new(i64::try_from(position.0).unwrap_or(i64::MAX)), "bigint");
            conditions.clauses.push(format!("t.position <= {position}"));
        }
        if let Some(time) = as_of.recorded_at {
            let time = conditions.bind(Box::new(time.jiff()), "timestamptz");
            conditions.clauses.push(format!("t.recorded_at <= {time}"));
        }
        let view = if by_moment { "journal" } else { "balances" };
        let detail = format!("CASE WHEN t.account IN {BY_CUSTOMER} THEN '' ELSE t.detail END");
        let sql = format!(
            "SELECT t.account, {detail} AS part, sum(t.debit_yuan) AS debit, sum(t.credit_yuan) AS credit FROM read.{view} t WHERE {} \
             GROUP BY 1, 2 ORDER BY 1, 2",
            conditions.all()
        );
        let position_sql = "SELECT position FROM build.registry WHERE name = $1 AND state = 'serving'";
        let (mut client, asking) = self.query_client().await?;
        let read = asking.answer(async {
            let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
            let reached = snapshot.query_opt(position_sql, &[&view]).await?;
            let rows = snapshot.query(&sql, &borrowed(&conditions.parameters)).await?;
            snapshot.commit().await?;
            Ok((reached, rows))
        });
        let (reached, rows) = read.await?;
        let accounts = rows.iter().map(account_balance).collect::<Result<Vec<_>, _>>()?;
        let reached = Position(reached.map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)));
        Ok(TrialBalance {
            debit_yuan: accounts.iter().map(|account| account.debit_yuan).sum(),
            credit_yuan: accounts.iter().map(|account| account.credit_yuan).sum(),
            position: as_of.recorded_to.map_or(reached, |asked| asked.min(reached)),
            accounts,
        })
    }

    pub(crate) async fn state_account(&self, query: &StatementQuery) -> Result<Statement, QueryError> {
        let (account, part) = query.account.split_once('.').map_or((query.account.as_str(), None), |(code, part)| (code, Some(part)));
        let part = query.detail.as_deref().or(part);
        // Customers' own postings are few and stand behind an index; everything else is summed by day already.
        let view = if part.is_some() && BY_CUSTOMER.contains(account) { "journal" } else { "balances" };
        let mut conditions = Conditions::of_operator(query.operator_id);
        let bound = conditions.bind(Box::new(clean(account)), "text");
        conditions.clauses.push(format!("t.account = {bound}"));
        if let Some(part) = part {
            let bound = conditions.bind(Box::new(clean(part)), "text");
            conditions.clauses.push(format!("t.detail = {bound}"));
        }
        let from = conditions.bind(Box::new(query.from), "date");
        let to = conditions.bind(Box::new(query.to), "date");
        let sql = format!(
            "SELECT coalesce(sum(t.debit_yuan - t.credit_yuan) FILTER (WHERE t.business_on < {from}), 0), \
             coalesce(sum(t.debit_yuan - t.credit_yuan) FILTER (WHERE {to} IS NULL OR t.business_on <= {to}), 0) FROM read.{view} t WHERE {}",
            conditions.all()
        );
        let rows = self.fetch(&sql, &conditions.parameters).await?;
        let sum = |at: usize| rows.first().map_or(Ok(Money::ZERO), |row| money(row, at));
        let mut page = Query::of("journal", query.operator_id).equal("account", &account.to_owned());
        if let Some(part) = part {
            page = page.equal("detail", &part.to_owned());
        }
        if let Some(from) = query.from {
            page = page.filter("business_on", Test::AtLeast(from.to_value()));
        }
        if let Some(to) = query.to {
            page = page.filter("business_on", Test::AtMost(to.to_value()));
        }
        let postings = self.find_page(&page.after(query.cursor.clone()).limit(query.limit)).await?;
        Ok(Statement { opening_yuan: sum(0)?, closing_yuan: sum(1)?, postings })
    }

    pub(crate) async fn explain_subject(&self, operator_id: OperatorId, subject: &Subject) -> Result<Option<Explanation>, QueryError> {
        let all = |view: &str, column: &str, values: Vec<Value>| {
            let query = Query::of(view, operator_id).filter(column, Test::OneOf(values)).limit(LIMIT_MAX);
            async move { self.find_page(&query).await.map(|found| found.items) }
        };
        let (session, payment) = match subject {
            Subject::Session(id) => (Some(Value::Uuid(id.0)), None),
            Subject::OrderNumber(number) => {
                let found = all("sessions", "order_number", vec![Value::Text(number.clone())]).await?;
                (found.first().and_then(|item| uuid(item, "session_id")), None)
            }
            Subject::Entry(position) => {
                let found = all("journal", "position", vec![position.to_value()]).await?;
                let of = |column: &str| found.first().and_then(|item| uuid(item, column));
                (of("session_id"), of("payment_id"))
            }
        };
        let mut explanation = Explanation::default();
        let mut payments: Vec<Value> = payment.into_iter().collect();
        if let Some(session) = session {
            explanation.session = all("sessions", "session_id", vec![session.clone()]).await?.into_iter().next();
            explanation.bills = all("bills", "session_id", vec![session.clone()]).await?;
            explanation.postings = all("journal", "session_id", vec![session.clone()]).await?;
            let of_session = all("payments", "session_id", vec![session]).await?;
            payments.extend(of_session.iter().filter_map(|item| uuid(item, "payment_id")));
        }
        if !payments.is_empty() {
            explanation.payments = all("payments", "payment_id", payments.clone()).await?;
            explanation.refunds = all("refunds", "payment_id", payments.clone()).await?;
            for posting in all("journal", "payment_id", payments).await? {
                if !explanation.postings.contains(&posting) {
                    explanation.postings.push(posting);
                }
            }
        }
        let place =
            |item: &Item| (item.get("position").and_then(serde_json::Value::as_u64), item.get("line").and_then(serde_json::Value::as_u64));
        explanation.postings.sort_by_key(place);
        let is_empty = explanation.session.is_none() && explanation.payments.is_empty() && explanation.postings.is_empty();
        Ok(if is_empty { None } else { Some(explanation) })
    }
}

fn account_balance(row: &Row) -> Result<AccountBalance, QueryError> {
    let (code, part): (String, String) =
        (row.try_get(0).map_err(|error| database(&error))?, row.try_get(1).map_err(|error| database(&error))?);
    let (debit_yuan, credit_yuan) = (money(row, 2)?, money(row, 3)?);
    let account = if part.is_empty() { code } else { format!("{code}.{part}") };
    Ok(AccountBalance { account, debit_yuan, credit_yuan, balance_yuan: debit_yuan - credit_yuan })
}

fn money(row: &Row, at: usize) -> Result<Money, QueryError> {
    let sum: Decimal = row.try_get(at).map_err(|error| database(&error))?;
    Money::new(sum).map_err(|error| QueryError::BadValue { column: "sum".to_owned(), reason: error.to_string() })
}

fn uuid(item: &Item, column: &str) -> Option<Value> {
    item.get(column).and_then(serde_json::Value::as_str).and_then(|text| text.parse().ok()).map(Value::Uuid)
}
