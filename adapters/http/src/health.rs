//! How the process is: alive, ready, and in numbers. No key needed; nothing of any operator in them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::asked::Params;
use crate::problem::{Kind, Problem};
use crate::readiness::Readiness;

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// The version that runs.
    version: &'static str,
}

/// Whose readiness. What else stands in the query is left alone: probes carry all kinds of things.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReadinessParams {
    /// That of this role alone: `api`, `projector`, `publisher` or `processes`.
    pub role: Option<String>,
}

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", operation_id = "health", tag = "health", responses((status = 200, description = "It is.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether it can take requests: the ledger can be read
///
/// Each role of the process is named with what it is doing. Queries need the read models, too; while their database is down commands and device facts go on, so that it does
/// not count here. With `role` that one alone decides, and 404 says that the process does not have it. What is not ready says so in `roles` of the problem.
#[utoipa::path(get, path = "/readyz", operation_id = "readiness", tag = "health", params(ReadinessParams), responses(
    (status = 200, description = "It can.", body = Readiness),
))]
async fn readyz(State(api): State<Arc<Api>>, Params(asked): Params<ReadinessParams>) -> Result<Json<Readiness>, Problem> {
    api.roster.answer(asked.role.as_deref()).await
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "health", responses(
    (status = 200, description = "Prometheus' text form.", body = String, content_type = "text/plain"),
))]
async fn metrics(State(api): State<Arc<Api>>) -> Response {
    match &api.metrics {
        Some(render) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render()).into_response(),
        None => Problem::new(Kind::NotFound, "metrics are not kept by this process").into_response(),
    }
}
