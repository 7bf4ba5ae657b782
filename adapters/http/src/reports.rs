//! Lists that people work through: what is owed, sessions in error, the days' figures.

use std::sync::Arc;

use axum::extract::State;
use domain::units::Money;
use jiff::civil::Date;
use projections::query::{Query, Test};
use projections::value::Value;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::Api;
use crate::asked::{Limit, Params};
use crate::problem::Problem;
use crate::reading::{Listed, Look, Narrow as _, Page};
use crate::rows::{DailyStatisticsRow, ReceivableRow, SessionErrorRow};
use crate::wire::Time;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(receivables)).routes(routes!(session_errors)).routes(routes!(daily_statistics))
}

/// Which receivables.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReceivableParams {
    /// Of this user.
    user_id: Option<Uuid>,
    /// Only what is still open, also in part (`true`, also when not given), or only what is settled (`false`).
    open: Option<bool>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// What sessions owe
#[utoipa::path(get, path = "/v1/receivables", operation_id = "receivables", tag = "ledger", params(ReceivableParams),
    extensions(("x-read-model" = json!("receivables"))),
    responses((status = 200, description = "The oldest first.", body = Page<ReceivableRow>)))]
async fn receivables(State(api): State<Arc<Api>>, look: Look, Params(params): Params<ReceivableParams>) -> Result<Listed, Problem> {
    let nothing = Value::Decimal(Money::ZERO.value());
    let open = if params.open.unwrap_or(true) { Test::Above(nothing) } else { Test::AtMost(nothing) };
    let query =
        Query::of("receivables", look.operator_id()).by_id("user_id", params.user_id).filter("open_yuan", open).earliest("since_at");
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// Which sessions in error.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionErrorParams {
    /// At this station.
    station_id: Option<Uuid>,
    /// Only those still open (`true`, also when not given), or only those resolved (`false`).
    open: Option<bool>,
    /// Since this time.
    #[param(inline)]
    from_at: Option<Time>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Sessions that need somebody
#[utoipa::path(get, path = "/v1/session-errors", operation_id = "sessionErrors", tag = "sessions", params(SessionErrorParams),
    extensions(("x-read-model" = json!("session_errors"))),
    responses((status = 200, description = "The latest first.", body = Page<SessionErrorRow>)))]
async fn session_errors(State(api): State<Arc<Api>>, look: Look, Params(params): Params<SessionErrorParams>) -> Result<Listed, Problem> {
    let query = Query::of("session_errors", look.operator_id())
        .by_id("station_id", params.station_id)
        .filter("is_open", Test::Is(Value::Bool(params.open.unwrap_or(true))))
        .since_at("since_at", params.from_at)
        .latest("since_at");
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DailyParams {
    /// Of this station.
    station_id: Option<Uuid>,
    /// From this date on, on the station's clock.
    #[param(value_type = Option<String>, format = Date)]
    from_on: Option<Date>,
    /// Up to this date.
    #[param(value_type = Option<String>, format = Date)]
    until_on: Option<Date>,
    /// At most this many.
    #[param(inline)]
    limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    cursor: Option<String>,
}

/// Sessions, energy, revenue and use, by station and day
#[utoipa::path(get, path = "/v1/statistics/daily", operation_id = "dailyStatistics", tag = "ledger", params(DailyParams),
    extensions(("x-read-model" = json!("daily_statistics"))),
    responses((status = 200, description = "The latest day first.", body = Page<DailyStatisticsRow>)))]
async fn daily_statistics(State(api): State<Arc<Api>>, look: Look, Params(params): Params<DailyParams>) -> Result<Listed, Problem> {
    let query = Query::of("daily_statistics", look.operator_id())
        .by_id("station_id", params.station_id)
        .since_on("local_on", params.from_on)
        .until_on("local_on", params.until_on)
        .latest("local_on");
    look.list(&api, query, params.limit, params.cursor.as_deref()).await
}
