//! Bounds on what one client can take: body size, time, requests per second and key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::ids::ApiKeyId;

use crate::Api;
use crate::problem::{Kind, Problem};

/// Sizes, times and rates.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// The longest that a request may take until its answer begins.
    pub request_time_max: Duration,
    /// How long `POST /v1/sessions` waits for the device.
    pub start_wait: Duration,
    /// How long `X-Min-Position` waits for a read model.
    pub read_wait: Duration,
    /// Requests per second and key, over time.
    pub requests_per_s: f64,
    /// Requests that a key may make at once.
    pub requests_burst: f64,
    /// The most device events in one request.
    pub device_events_max: usize,
    /// A pile that has sent heartbeats and then none for this long is offline.
    pub silence_max: Duration,
    /// A comment is sent into a quiet live stream this often, so that nobody in between takes it for dead.
    pub live_heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 256 * 1024,
            request_time_max: Duration::from_secs(30),
            start_wait: Duration::from_secs(10),
            read_wait: Duration::from_secs(5),
            requests_per_s: 1_000.0,
            requests_burst: 2_000.0,
            device_events_max: 200,
            silence_max: Duration::from_secs(90),
            live_heartbeat: Duration::from_secs(15),
        }
    }
}

/// A token bucket per key.
#[derive(Debug, Default)]
pub struct Rates(Mutex<HashMap<ApiKeyId, Bucket>>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Rates {
    /// Takes one request from a key's bucket.
    ///
    /// # Errors
    /// When it is empty.
    pub fn take(&self, key: ApiKeyId, limits: &Limits) -> Result<(), Problem> {
        self.take_at(key, limits, Instant::now())
    }

    fn take_at(&self, key: ApiKeyId, limits: &Limits, now: Instant) -> Result<(), Problem> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(key).or_insert_with(|| Bucket { tokens: limits.requests_burst, filled_at: now });
        let elapsed = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * limits.requests_per_s).min(limits.requests_burst);
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Problem::new(Kind::TooManyRequests, "this key asks too often").retry_after(1))
    }
}

/// Ends what takes too long. What it was doing may still have been done: the same `Idempotency-Key` tells.
pub async fn in_time(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.limits.request_time_max, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::broken(Kind::TimedOut, &"the request's time was over").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_asks_too_often_is_told_to_come_back_and_others_are_not() {
        let limits = Limits { requests_per_s: 1.0, requests_burst: 2.0, ..Limits::default() };
        let (rates, now) = (Rates::default(), Instant::now());
        let (one, other) = (domain::testing::id(1), domain::testing::id(2));
        assert!(rates.take_at(one, &limits, now).is_ok());
        assert!(rates.take_at(one, &limits, now).is_ok());
        let refused = rates.take_at(one, &limits, now).unwrap_err();
        assert_eq!((refused.kind, refused.retry_after_s), (Kind::TooManyRequests, Some(1)));
        assert!(rates.take_at(other, &limits, now).is_ok());
        assert!(rates.take_at(one, &limits, now + Duration::from_secs(1)).is_ok());
    }
}
