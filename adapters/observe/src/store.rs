//! An event store that counts: around whichever engine, so that all of them show the same numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use domain::log::{
    AppendError, Appended, EventStore, EventType, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent,
    StreamId,
};
use futures::stream::BoxStream;

use crate::traces::Traces;

/// An engine, observed. It answers as the engine does.
pub struct Observed {
    inner: Arc<dyn EventStore>,
    /// Its name in the numbers.
    engine: &'static str,
    traces: Option<Arc<Traces>>,
}

impl Observed {
    /// This engine, counted under its name, and its events traced when there are traces.
    #[must_use]
    pub fn new(inner: Arc<dyn EventStore>, engine: &'static str, traces: Option<Arc<Traces>>) -> Observed {
        // The counters are there from the beginning, so that their first increase is seen.
        for outcome in ["appended", "repeated", "conflict", "refused", "unavailable"] {
            metrics::counter!("chargeledger_appends_total", "engine" => engine, "outcome" => outcome).increment(0);
        }
        for operation in ["append", "read", "head", "wait"] {
            metrics::counter!("chargeledger_store_errors_total", "engine" => engine, "operation" => operation).increment(0);
        }
        Observed { inner, engine, traces }
    }

    /// Counts what failed of the engine, and lets it through.
    fn noted<T>(&self, operation: &'static str, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            metrics::counter!("chargeledger_store_errors_total", "engine" => self.engine, "operation" => operation).increment(1);
        }
        result
    }

    /// The outcome's word, and whether the engine itself failed.
    fn outcome(result: &Result<Appended, AppendError>) -> (&'static str, bool) {
        match result {
            Ok(Appended { repeated: false, .. }) => ("appended", false),
            Ok(Appended { repeated: true, .. }) => ("repeated", false),
            Err(AppendError::Conflict { .. }) => ("conflict", false),
            Err(AppendError::IdReused { .. } | AppendError::Store(StoreError::Empty | StoreError::TooLarge { .. })) => ("refused", false),
            Err(AppendError::Store(StoreError::Unavailable { .. } | StoreError::ReadOnly | StoreError::Damaged { .. })) => {
                ("unavailable", true)
            }
        }
    }
}

#[async_trait]
impl EventStore for Observed {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        let types: Vec<EventType> = events.iter().map(|new| new.event_type.clone()).collect();
        let spans = self.traces.as_ref().map(|traces| traces.appending(stream, &events));
        let began = Instant::now();
        let result = self.inner.append(stream, expected, events).await;
        metrics::histogram!("chargeledger_append_duration_seconds", "engine" => self.engine).record(began.elapsed().as_secs_f64());
        let (outcome, is_failure) = Observed::outcome(&result);
        metrics::counter!("chargeledger_appends_total", "engine" => self.engine, "outcome" => outcome).increment(1);
        if is_failure {
            metrics::counter!("chargeledger_store_errors_total", "engine" => self.engine, "operation" => "append").increment(1);
        }
        if let Ok(appended) = &result
            && !appended.repeated
        {
            #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
            metrics::gauge!("chargeledger_ledger_position", "engine" => self.engine).set(appended.position.0 as f64);
            for event_type in types {
                metrics::counter!("chargeledger_events_appended_total", "type" => event_type.0).increment(1);
            }
        }
        if let (Some(traces), Some(spans)) = (&self.traces, spans) {
            traces.appended(spans, &result);
        }
        result
    }

    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.noted("read", self.inner.read_stream(stream, from, limit).await)
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        self.noted("read", self.inner.read_all(after, filter, limit).await)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.noted("head", self.inner.head().await)
    }

    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        self.noted("wait", self.inner.wait_past(position).await)
    }

    async fn count_types(&self, after: Position, until: Position) -> Result<BTreeMap<EventType, u64>, StoreError> {
        self.noted("read", self.inner.count_types(after, until).await)
    }

    fn subscribe_all(self: Arc<Self>, after: Position, filter: Filter, page: usize) -> BoxStream<'static, Result<Page, StoreError>> {
        self.inner.clone().subscribe_all(after, filter, page)
    }
}
