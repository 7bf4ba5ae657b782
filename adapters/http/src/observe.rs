//! What operators see of each request: an id, a span, counters. Never a token, a query string or a body: they may name people.

use std::any::Any;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::{Instrument as _, debug, field, info_span};
use uuid::Uuid;

use crate::problem::{Kind, Problem};

/// The id of a request: the client's, if it sends one, else ours.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request its id and span, and counts it.
pub async fn observe(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    // Unknown paths share a label: a scanner must not fill the metrics.
    let route = path.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!("request", request.id = %id, http.method = %method, http.route = %route, key = field::Empty);
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    let labels = [("method", method.to_string()), ("route", route), ("status", status.to_string())];
    metrics::counter!("chargeledger_http_requests_total", &labels).increment(1);
    metrics::histogram!("chargeledger_http_request_duration_seconds", &labels[..2]).record(seconds);
    span.in_scope(|| debug!(http.status = status, seconds, "request answered"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

fn request_id(request: &Request) -> String {
    let given = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    given.filter(is_plain).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// A handler that panicked is our mistake; the client learns no more than that.
// The layer asks for an owned box.
#[allow(clippy::needless_pass_by_value)]
pub fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let reason = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a reason".to_owned());
    Problem::broken(Kind::Internal, &format!("a handler panicked: {reason}")).into_response()
}
