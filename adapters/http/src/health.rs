//! How the process is: alive, ready, and in numbers. No key needed; nothing of any operator in them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Api;
use crate::problem::{Kind, Problem};

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

/// How ready the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`.
    status: &'static str,
    /// The last position of the ledger.
    position: u64,
}

/// Whether the process is alive
#[utoipa::path(get, path = "/healthz", operation_id = "health", tag = "health", responses((status = 200, description = "It is.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether it can take requests: the ledger can be read
///
/// Queries need the read models, too; while their database is down commands and device facts go on, so that it does not count here.
#[utoipa::path(get, path = "/readyz", operation_id = "readiness", tag = "health", responses(
    (status = 200, description = "It can.", body = Readiness),
))]
async fn readyz(State(api): State<Arc<Api>>) -> Result<Json<Readiness>, Problem> {
    let head = api.commands.ledger.store().head().await?;
    Ok(Json(Readiness { status: "ready", position: head.position.0 }))
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
