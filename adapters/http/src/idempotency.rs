//! A command's body, read once: bounded, JSON, known fields only; and the ids that its `Idempotency-Key` stands for.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, header};
use commands::RequestIds;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::Api;
use crate::auth::Asker;
use crate::problem::{Kind, Problem};

/// The longest key.
pub const KEY_CHARS_MAX: usize = 255;

/// A request to do something: who, what, and its ids. The same key finds the same ids, and so the same outcome.
#[derive(Debug)]
pub struct Order<T> {
    /// Who asks.
    pub asker: Asker,
    /// The ids of whatever comes of it.
    pub ids: RequestIds,
    /// What is asked.
    pub body: T,
}

/// Nothing beyond the path: no body, or an empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned + Send> FromRequest<Arc<Api>> for Order<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Order<T>, Problem> {
        let (mut parts, body) = request.into_parts();
        let asker = Asker::from_request_parts(&mut parts, api).await?;
        let key = key(&parts.headers)?;
        let head = format!("{} {}\n", parts.method, parts.uri.path());
        let headers = parts.headers.clone();
        let bytes = read(Request::from_parts(parts, body), api).await?;
        let body = parse(&headers, &bytes)?;
        let digest = Sha256::new().chain_update(head).chain_update(&bytes).finalize();
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let principal = asker.principal.key_id.to_string();
        let ids = api.commands.accept(&asker.caller, &principal, key.as_deref(), &sha256).await?;
        Ok(Order { asker, ids, body })
    }
}

/// A JSON body without more.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Body<T>, Problem> {
        let headers = request.headers().clone();
        let bytes = read(request, api).await?;
        parse(&headers, &bytes).map(Body)
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let unfit = || Problem::new(Kind::InvalidHeader, format!("Idempotency-Key has 1 to {KEY_CHARS_MAX} visible ASCII characters"));
    let text = value.to_str().map_err(|_| unfit())?;
    if text.trim().is_empty() || text.len() > KEY_CHARS_MAX { Err(unfit()) } else { Ok(Some(text.to_owned())) }
}

async fn read(request: Request, api: &Arc<Api>) -> Result<Bytes, Problem> {
    Bytes::from_request(request, api).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(Kind::BodyTooLarge, format!("a body has at most {} bytes", api.limits.body_bytes_max))
        }
        _ => Problem::new(Kind::UnreadableBody, "the body broke off"),
    })
}

/// No body is an empty object, so that what needs none can be called without.
fn parse<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, Problem> {
    if bytes.is_empty() {
        return from_json(b"{}");
    }
    if !is_json(headers) {
        return Err(Problem::new(Kind::UnsupportedMediaType, "send Content-Type: application/json"));
    }
    from_json(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| {
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// Reads JSON; what does not fit is named by its path.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    Json::<T>::from_bytes(bytes).map(|Json(value)| value).map_err(|rejection| {
        // The outer texts only say that it did not work; the innermost says what.
        let mut reason: &dyn std::error::Error = &rejection;
        while let Some(source) = reason.source().filter(|source| !source.is::<serde_json::Error>()) {
            reason = source;
        }
        let reason = reason.to_string();
        match rejection {
            JsonRejection::JsonDataError(_) => Problem::new(Kind::InvalidBody, reason),
            _ => Problem::new(Kind::MalformedJson, reason),
        }
    })
}
