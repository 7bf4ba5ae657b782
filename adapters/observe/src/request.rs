//! The HTTP request's span: the root of the story that it begins.
//!
//! A request's first append says which story it is about. A caller's own trace (`traceparent`, W3C Trace Context) is linked to; a request that appends nothing
//! stays in the caller's trace, if there is one, and is not traced otherwise: queries are counted, and there are very many.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use uuid::Uuid;

use crate::traces::{Span, Traces, random_id, trace_id};

tokio::task_local! {
    static REQUEST: Arc<Story>;
}

/// What a request turns out to be about.
struct Story {
    id: SpanId,
    story: OnceLock<Uuid>,
}

/// Tells the request under way, if there is one, that it appends to this story. Answers its span, if it is the story's.
pub(crate) fn began_story(story: Uuid) -> Option<SpanId> {
    let ours = |request: &Arc<Story>| (*request.story.get_or_init(|| story) == story).then_some(request.id);
    REQUEST.try_with(ours).ok().flatten()
}

/// A layer that traces requests.
pub async fn trace_request(State(traces): State<Arc<Traces>>, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let began = SystemTime::now();
    let caller = traceparent(request.headers());
    let method = request.method().to_string();
    let route = path.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let story = Arc::new(Story { id: random_id(), story: OnceLock::new() });
    let response = REQUEST.scope(story.clone(), next.run(request)).await;
    let mut span = match (story.story.get(), caller) {
        (Some(id), caller) if traces.keeps(*id) => Span { link: caller, ..Span::new(trace_id(*id), story.id, "", began) },
        (None, Some(caller)) if caller.is_sampled() => {
            Span { parent: Some(caller.span_id()), ..Span::new(caller.trace_id(), story.id, "", began) }
        }
        _ => return response,
    };
    let status = response.status();
    span.kind = SpanKind::Server;
    span.name = format!("{method} {route}").into();
    span.attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    if status.is_server_error() {
        span.status = Status::error(status.to_string());
    }
    traces.send(span);
    response
}

/// The caller's span: `00-{trace id}-{span id}-{flags}`, in hexadecimal digits (W3C Trace Context, section 3.2).
fn traceparent(headers: &HeaderMap) -> Option<SpanContext> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may have more parts; 255 is no version.
    if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    u8::from_str_radix(version, 16).ok()?;
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let context = SpanContext::new(TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().expect("a header"));
        traceparent(&headers)
    }

    #[test]
    fn a_callers_span_is_taken_as_w3c_writes_it() {
        let caller = parsed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").expect("a context");
        assert_eq!(caller.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(caller.span_id().to_string(), "b7ad6b7169203331");
        assert!(caller.is_sampled());
        assert!(parsed("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-later").is_some(), "a later version may say more");
    }

    #[test]
    fn what_is_no_span_is_not_taken() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", axum::http::HeaderValue::from_bytes(text.as_bytes()).expect("bytes"));
            assert_eq!(traceparent(&headers), None, "{text}");
        }
    }
}
