//! The books: trial balance, accounts, entries, and the path of every fen.

use std::sync::Arc;

use axum::extract::State;
use domain::ids::SessionId;
use domain::log::Position;
use jiff::civil::Date;
use projections::query::{AsOf, Explanation, Item, Query, StatementQuery, Subject, Test};
use projections::value::Value;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::asked::{Limit, Params, Segment};
use crate::explained::{ExplainedBillAnswer, HappenedAnswer, Story};
use crate::problem::{Kind, Problem};
use crate::reading::{Listed, Look, Narrow as _, Page, PageParams, Shown, cursor_of};
use crate::rows::{AccountRow, PaymentRow, PostingRow, RefundRow, SessionRow};
use crate::wire::{Time, Yuan};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(trial_balance))
        .routes(routes!(accounts))
        .routes(routes!(statement))
        .routes(routes!(entries))
        .routes(routes!(entry))
        .routes(routes!(explain))
}

/// Until when the books are asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrialBalanceParams {
    /// Business dates up to this one, on the clock of the books.
    #[param(value_type = Option<String>, format = Date)]
    as_of: Option<Date>,
    /// What was known then: a time, or a position of the log.
    #[param(
        example = "2026-03-31T23:59:59+08:00",
        pattern = r"^([0-9]{1,18}|[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):00))$"
    )]
    recorded_as_of: Option<String>,
}

/// One account of a trial balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountBalanceAnswer {
    /// Its code, `1122`, or with its part, `1012.sandbox`.
    account: String,
    /// Sum of the debits.
    debit_yuan: Yuan,
    /// Sum of the credits.
    credit_yuan: Yuan,
    /// Debits less credits.
    balance_yuan: Yuan,
}

/// All accounts. The two sums are equal, or the books are wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalanceAnswer {
    /// By code.
    accounts: Vec<AccountBalanceAnswer>,
    /// Sum of all debits.
    debit_yuan: Yuan,
    /// Sum of all credits.
    credit_yuan: Yuan,
    /// Whether they are equal.
    balanced: bool,
    /// The position that the books hold.
    position: u64,
}

/// The trial balance
///
/// `as_of` is the business date; `recorded_as_of` is what was known when. Together: what the books of then said of a date before.
#[utoipa::path(get, path = "/v1/ledger/trial-balance", operation_id = "trialBalance", tag = "ledger", params(TrialBalanceParams),
    extensions(("x-read-model" = json!("journal"))),
    responses((status = 200, description = "Every account that has been posted to.", body = TrialBalanceAnswer)))]
async fn trial_balance(State(api): State<Arc<Api>>, look: Look, Params(params): Params<TrialBalanceParams>) -> Result<Shown, Problem> {
    let (recorded_to, recorded_at) = match params.recorded_as_of.as_deref() {
        None => (None, None),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) && (1..=18).contains(&text.len()) => {
            (text.parse().ok().map(Position), None)
        }
        Some(text) => {
            let time: Time =
                text.parse().map_err(|error| Problem::new(Kind::InvalidQuery, format!("recorded_as_of: {error}, or a position")))?;
            (None, Some(time.0))
        }
    };
    let as_of = AsOf { business_on: params.as_of, recorded_to, recorded_at };
    // Sums of today come from the balances by day, sums of a past moment from the journal.
    look.queries(&api, "balances").await?;
    let balance = look.queries(&api, "journal").await?.trial_balance(look.operator_id(), as_of).await?;
    let accounts = balance.accounts.into_iter().map(|account| AccountBalanceAnswer {
        account: account.account,
        debit_yuan: Yuan(account.debit_yuan),
        credit_yuan: Yuan(account.credit_yuan),
        balance_yuan: Yuan(account.balance_yuan),
    });
    Ok(look.shown(TrialBalanceAnswer {
        accounts: accounts.collect(),
        debit_yuan: Yuan(balance.debit_yuan),
        credit_yuan: Yuan(balance.credit_yuan),
        balanced: balance.debit_yuan == balance.credit_yuan,
        position: balance.position.0,
    }))
}

/// Accounts with their parts and balances
#[utoipa::path(get, path = "/v1/ledger/accounts", operation_id = "accounts", tag = "ledger", params(PageParams),
    extensions(("x-read-model" = json!("accounts"))),
    responses((status = 200, description = "By code.", body = Page<AccountRow>)))]
async fn accounts(State(api): State<Arc<Api>>, look: Look, Params(params): Params<PageParams>) -> Result<Listed, Problem> {
    look.list(&api, Query::of("accounts", look.operator_id()), params.limit, params.cursor.as_deref()).await
}

/// Which postings of an account.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementParams {
    /// Only this one of its parts: a user, a partner.
    #[param(pattern = r"^[^\x00-\x1F\x7F-\x9F]{0,100}$")]
    detail: Option<String>,
    /// From this business date on.
    #[param(value_type = Option<String>, format = Date)]
    from_on: Option<Date>,
    /// Up to this business date.
    #[param(value_type = Option<String>, format = Date)]
    until_on: Option<Date>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// An account's postings, with what was there before and what is there after.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementAnswer {
    /// The account.
    account: String,
    /// Debits less credits before the first date.
    opening_yuan: Yuan,
    /// Debits less credits after the last date.
    closing_yuan: Yuan,
    /// The postings, in the order of recording.
    #[schema(value_type = Vec<PostingRow>)]
    items: Vec<Item>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// The statement of an account
#[utoipa::path(get, path = "/v1/ledger/accounts/{code}/statement", operation_id = "accountStatement", tag = "ledger",
    params(("code" = String, Path, description = "The account, like `2205` or `1012.sandbox`.", pattern = "^[0-9A-Za-z._-]{1,64}$"), StatementParams),
    extensions(("x-read-model" = json!("journal"))),
    responses((status = 200, description = "Its postings and balances.", body = StatementAnswer)))]
async fn statement(
    State(api): State<Arc<Api>>,
    Segment(code): Segment,
    look: Look,
    Params(params): Params<StatementParams>,
) -> Result<Shown, Problem> {
    if !is_code(&code) || params.detail.as_deref().is_some_and(|detail| detail.chars().any(char::is_control)) {
        return Err(Problem::not_found("account", &code.chars().filter(|c| !c.is_control()).take(64).collect::<String>()));
    }
    let query = StatementQuery {
        operator_id: look.operator_id(),
        account: code.clone(),
        detail: params.detail,
        from: params.from_on,
        to: params.until_on,
        cursor: cursor_of(params.cursor.as_deref())?,
        limit: params.limit.unwrap_or_default().0,
    };
    look.queries(&api, "balances").await?;
    let statement = look.queries(&api, "journal").await?.statement(&query).await?;
    Ok(look.shown(StatementAnswer {
        account: code,
        opening_yuan: Yuan(statement.opening_yuan),
        closing_yuan: Yuan(statement.closing_yuan),
        items: statement.postings.items,
        next: statement.postings.next.map(|next| next.to_string()),
    }))
}

/// Which postings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntryParams {
    /// Of this session.
    session_id: Option<Uuid>,
    /// Of this payment.
    payment_id: Option<Uuid>,
    /// On this account.
    #[param(pattern = r"^[0-9A-Za-z._-]{1,64}$")]
    account: Option<String>,
    /// From this business date on.
    #[param(value_type = Option<String>, format = Date)]
    from_on: Option<Date>,
    /// Up to this business date.
    #[param(value_type = Option<String>, format = Date)]
    until_on: Option<Date>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Whether an account could be called so.
fn is_code(account: &str) -> bool {
    (1..=64).contains(&account.len()) && account.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Postings of journal entries
///
/// One row a line, in the order of recording; lines of one `position` are one entry, and its id.
#[utoipa::path(get, path = "/v1/ledger/entries", operation_id = "entries", tag = "ledger", params(EntryParams),
    extensions(("x-read-model" = json!("journal"))),
    responses((status = 200, description = "In the order of recording.", body = Page<PostingRow>)))]
async fn entries(State(api): State<Arc<Api>>, look: Look, Params(params): Params<EntryParams>) -> Result<Listed, Problem> {
    if params.account.as_deref().is_some_and(|account| !is_code(account)) {
        return Err(Problem::new(Kind::InvalidQuery, "account: 1 to 64 letters, digits, dots, hyphens and underscores"));
    }
    let query = Query::of("journal", look.operator_id())
        .by_id("session_id", params.session_id)
        .by_id("payment_id", params.payment_id)
        .by_text("account", params.account.as_deref())
        .since_on("business_on", params.from_on)
        .until_on("business_on", params.until_on);
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// A journal entry: its lines, which sum to nothing.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryAnswer {
    /// Its id: the position of the event that it was made from.
    entry_id: u64,
    /// Its lines.
    #[schema(value_type = Vec<PostingRow>)]
    postings: Vec<projections::query::Item>,
}

fn entry_id(text: &str) -> Result<Position, Problem> {
    let is_plain = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let position = text.parse().ok().filter(|_| is_plain).map(Position);
    position.ok_or_else(|| Problem::new(Kind::InvalidId, "an entry's id is the position of its event, a number"))
}

/// A journal entry
#[utoipa::path(get, path = "/v1/ledger/entries/{entry_id}", operation_id = "entry", tag = "ledger",
    params(("entry_id" = i64, Path, description = "The position of the event that it was made from.", minimum = 0, maximum = 999_999_999_999_999_999_i64)),
    extensions(("x-read-model" = json!("journal"))),
    responses((status = 200, description = "Its lines.", body = EntryAnswer)))]
async fn entry(State(api): State<Arc<Api>>, Segment(id): Segment, look: Look) -> Result<Shown, Problem> {
    let position = entry_id(&id)?;
    let at = Value::Int(i64::try_from(position.0).unwrap_or(i64::MAX));
    let query = Query::of("journal", look.operator_id()).filter("position", Test::Is(at)).limit(200);
    let found = look.queries(&api, "journal").await?.page(&query).await?;
    if found.items.is_empty() {
        return Err(Problem::not_found("journal entry", &id));
    }
    Ok(look.shown(EntryAnswer { entry_id: position.0, postings: found.items }))
}

/// What is to be explained: exactly one of these.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainParams {
    /// A session, by its id.
    session: Option<Uuid>,
    /// A session, by the number that people see.
    #[param(pattern = "^[0-9A-Za-z]{27}$")]
    order_number: Option<String>,
    /// A journal entry, by its id.
    #[param(minimum = 0, maximum = 999_999_999_999_999_999_i64, value_type = Option<i64>)]
    entry: Option<String>,
}

/// Everything that one session's money came from and went to.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationAnswer {
    /// The session.
    #[schema(value_type = Option<SessionRow>)]
    session: Option<Item>,
    /// What happened to it.
    events: Vec<HappenedAnswer>,
    /// Its bills, worked out again from its tariff, the first first.
    bills: Vec<ExplainedBillAnswer>,
    /// Its payments.
    #[schema(value_type = Vec<PaymentRow>)]
    payments: Vec<Item>,
    /// Their refunds.
    #[schema(value_type = Vec<RefundRow>)]
    refunds: Vec<Item>,
    /// The postings of all of them, in the order of recording.
    #[schema(value_type = Vec<PostingRow>)]
    postings: Vec<Item>,
}

/// The path of every fen of a session
#[utoipa::path(get, path = "/v1/ledger/explain", operation_id = "explain", tag = "ledger", params(ExplainParams),
    extensions(("x-read-model" = json!("journal"))),
    responses((status = 200, description = "From the meter to the books.", body = ExplanationAnswer)))]
async fn explain(State(api): State<Arc<Api>>, look: Look, Params(params): Params<ExplainParams>) -> Result<Shown, Problem> {
    let (subject, name) = match (params.session, params.order_number, params.entry) {
        (Some(session), None, None) => (Subject::Session(SessionId(session)), session.to_string()),
        (None, Some(number), None) if number.len() == 27 && number.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (Subject::OrderNumber(number.clone()), number)
        }
        (None, None, Some(entry)) => {
            let position = entry_id(&entry).map_err(|problem| Problem { kind: Kind::InvalidQuery, ..problem })?;
            (Subject::Entry(position), entry)
        }
        _ => return Err(Problem::new(Kind::InvalidQuery, "give one of session, order_number (27 letters or digits) and entry")),
    };
    for view in ["sessions", "bills", "payments", "refunds"] {
        look.queries(&api, view).await?;
    }
    let explanation = look.queries(&api, "journal").await?.explain(look.operator_id(), &subject).await?;
    let Explanation { session, bills, mut payments, refunds, postings } =
        explanation.ok_or_else(|| Problem::not_found("session or entry", &name))?;
    payments.iter_mut().for_each(|payment| payment.retain(|name, _| !PaymentRow::HIDDEN.contains(&name.as_str())));
    let session_id = session.as_ref().and_then(|session| session.get("session_id")?.as_str()?.parse().ok());
    let story = match session_id {
        Some(session_id) => Story::of(&api, session_id).await?,
        None => Story::default(),
    };
    let bills = bills.into_iter().map(|bill| story.explain(bill)).collect::<Result<_, _>>()?;
    Ok(look.shown(ExplanationAnswer { session, events: story.events, bills, payments, refunds, postings }))
}
