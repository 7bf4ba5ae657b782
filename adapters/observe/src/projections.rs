//! A story's events as they come into the read models: a span for each event and view that handles it, under the event's own.

use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use projections::observer::{Applied, Observer};

use crate::traces::{Span, Traces, position, random_id, span_id, trace_id};

impl Observer for Traces {
    fn applied(&self, applied: Applied<'_>) {
        let began = SystemTime::now().checked_sub(applied.took).unwrap_or_else(SystemTime::now);
        for (event_type, recorded) in applied.events {
            let meta = &recorded.metadata;
            if !self.keeps(meta.correlation_id) {
                continue;
            }
            let name = format!("{event_type} into {}", applied.projection);
            self.send(Span {
                parent: Some(span_id(meta.event_id)),
                kind: SpanKind::Consumer,
                attributes: vec![
                    KeyValue::new("chargeledger.projection", applied.projection),
                    KeyValue::new("chargeledger.build", applied.build),
                    KeyValue::new("chargeledger.position", position(recorded.position.0)),
                ],
                ..Span::new(trace_id(meta.correlation_id), random_id(), name, began)
            });
        }
    }
}
