//! Traces over OTLP, one for each story: its id is the story's correlation id, so that whoever has a session or a payment has its trace.
//!
//! An event's span has an id made of the event's, and its parent is the event that caused it. So processes that know nothing of each other, and a projector that
//! meets the event an hour later, draw one tree. Nothing waits for the collector: what cannot be sent is dropped.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use domain::ids::EventId;
use domain::log::{AppendError, Appended, NewEvent, StreamId};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _};
use uuid::Uuid;

use crate::request;

/// How long the collector may take for one batch, and the process for its last ones when it stops.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be sent to {endpoint}: {reason}")]
pub struct TraceError {
    endpoint: String,
    reason: String,
}

/// Sends spans to a collector, from a thread of its own.
#[derive(Debug)]
pub struct Traces {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Stories whose last four bytes are below this are kept.
    keep_below: u64,
}

impl Traces {
    /// Sends to the collector at `endpoint` (OTLP over HTTP, `http://127.0.0.1:4318`), and keeps this part of the stories, from 0 to 1: each whole, or none of it.
    /// `process` names this process to whoever looks at the spans: its roles.
    ///
    /// # Errors
    /// When the endpoint is not a URL. A collector that is down is none: it may come.
    pub fn start(endpoint: &str, ratio: f64, process: &str) -> Result<Traces, TraceError> {
        let failed = |reason: String| TraceError { endpoint: endpoint.to_owned(), reason };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(COLLECTOR_TIMEOUT)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let resource = Resource::builder()
            .with_service_name("chargeledger")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", Uuid::now_v7().to_string()))
            .with_attribute(KeyValue::new("chargeledger.roles", process.to_owned()))
            .build();
        processor.set_resource(&resource);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the stories; no money in it")]
        let keep_below = (ratio.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        Ok(Traces { processor, scope: InstrumentationScope::builder("chargeledger").build(), keep_below })
    }

    /// Sends what is left. Blocks for as long as the collector takes, a few seconds at most.
    pub fn stop(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(COLLECTOR_TIMEOUT) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }

    /// Whether this story is kept. Every process says the same of it.
    pub(crate) fn keeps(&self, story: Uuid) -> bool {
        // The last bytes of an id are random, or a hash; those before hold its version.
        let [.., a, b, c, d] = *story.as_bytes();
        u64::from(u32::from_be_bytes([a, b, c, d])) < self.keep_below
    }

    pub(crate) fn send(&self, span: Span) {
        let link = span.link.map(|context| Link::new(context, Vec::new(), 0));
        let mut links = SpanLinks::default();
        links.links.extend(link);
        self.processor.on_end(SpanData {
            span_context: SpanContext::new(span.trace, span.id, TraceFlags::SAMPLED, span.is_remote, TraceState::NONE),
            parent_span_id: span.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: span.parent.is_some(),
            span_kind: span.kind,
            name: span.name,
            start_time: span.began,
            end_time: SystemTime::now(),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: span.status,
            instrumentation_scope: self.scope.clone(),
        });
    }

    /// The spans of events that are about to be appended; none when their story is not kept.
    pub(crate) fn appending(&self, stream: &StreamId, events: &[NewEvent]) -> Vec<Span> {
        let began = SystemTime::now();
        let kept = events.iter().filter(|new| self.keeps(new.metadata.correlation_id));
        kept.map(|new| {
            let meta = &new.metadata;
            let request = request::began_story(meta.correlation_id);
            Span {
                parent: meta.causation_id.map(span_id).or(request),
                kind: SpanKind::Internal,
                attributes: vec![
                    KeyValue::new("chargeledger.stream", stream.as_str().to_owned()),
                    KeyValue::new("chargeledger.event_id", meta.event_id.to_string()),
                    KeyValue::new("chargeledger.command_id", meta.command_id.to_string()),
                    KeyValue::new("chargeledger.operator_id", meta.operator_id.to_string()),
                    KeyValue::new("chargeledger.actor", meta.actor.kind.as_str()),
                ],
                ..Span::new(trace_id(meta.correlation_id), span_id(meta.event_id), new.event_type.as_str().to_owned(), began)
            }
        })
        .collect()
    }

    /// What became of them. A conflict and a repetition are no events: the story has them already, or never will.
    pub(crate) fn appended(&self, spans: Vec<Span>, result: &Result<Appended, AppendError>) {
        for mut span in spans {
            match result {
                Ok(appended) if appended.repeated => continue,
                Ok(appended) => span.attributes.push(KeyValue::new("chargeledger.position", position(appended.position.0))),
                Err(AppendError::Conflict { .. }) => continue,
                Err(error) => {
                    // It may be there or not, and it may come again: this try has an id of its own.
                    span.id = random_id();
                    span.status = Status::error(error.to_string());
                }
            }
            self.send(span);
        }
    }
}

/// One span, before it is sent.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) is_remote: bool,
    pub(crate) link: Option<SpanContext>,
    pub(crate) kind: SpanKind,
    pub(crate) name: Cow<'static, str>,
    pub(crate) began: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) status: Status,
}

impl Span {
    pub(crate) fn new(trace: TraceId, id: SpanId, name: impl Into<Cow<'static, str>>, began: SystemTime) -> Span {
        Span {
            trace,
            id,
            parent: None,
            is_remote: false,
            link: None,
            kind: SpanKind::Internal,
            name: name.into(),
            began,
            attributes: Vec::new(),
            status: Status::Unset,
        }
    }
}

/// The trace of a story.
pub(crate) fn trace_id(story: Uuid) -> TraceId {
    TraceId::from_bytes(story.into_bytes())
}

/// The span of an event.
pub(crate) fn span_id(event: EventId) -> SpanId {
    let [.., a, b, c, d, e, f, g, h] = event.0.into_bytes();
    SpanId::from_bytes([a, b, c, d, e, f, g, h])
}

pub(crate) fn random_id() -> SpanId {
    SpanId::from_bytes(rand::random())
}

/// A position as an attribute, whose integers have a sign.
pub(crate) fn position(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
