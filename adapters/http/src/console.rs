//! The page for those who operate the read models: three static files, which ask the API with the key that the operator pastes. Nothing is put together here, so
//! that nothing can be smuggled in; what the page shows comes from the API, under the key's own role.
//!
//! Deliberately absent: a session, a cookie, a build step, and anything from another place.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::Api;

const PAGE: &str = include_str!("../console/operations.html");
const STYLE: &str = include_str!("../console/operations.css");
const SCRIPT: &str = include_str!("../console/operations.js");

/// The page may load its own style and script and ask its own server, and nothing else; nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/console", get(async || Redirect::to("/console/operations")))
        .route("/console/operations", get(async || file("text/html; charset=utf-8", PAGE)))
        .route("/console/operations.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/console/operations.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // After an upgrade the page is the new one at once.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
