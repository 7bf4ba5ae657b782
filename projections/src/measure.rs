//! The projections as metrics, for whatever recorder the process has.
//!
//! Gauges, because they are of the build that is written on: after a swap, counts may be smaller than before.

use crate::rebuild::port::{Job, Phase, Wanted};
use crate::status::{State, Status};

/// A projection was started again by the watchdog.
pub(crate) fn restarted(name: &'static str) {
    metrics::counter!("chargeledger_projection_restarts_total", "projection" => name).increment(1);
}

/// Shows how a projection is.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
pub(crate) fn publish(status: &Status) {
    let gauge = |name: &'static str, value: f64| metrics::gauge!(name, "projection" => status.name.clone()).set(value);
    gauge("chargeledger_projection_position", status.position.0 as f64);
    gauge("chargeledger_projection_build", status.build as f64);
    gauge("chargeledger_projection_lag_events", status.lag_events as f64);
    gauge("chargeledger_projection_lag_seconds", status.lag_seconds as f64);
    gauge("chargeledger_projection_events_per_second", status.events_per_s as f64);
    gauge("chargeledger_projection_halted", f64::from(u8::from(status.halt.is_some())));
    for (fate, events) in
        [("applied", status.counted.applied), ("ignored", status.counted.ignored), ("quarantined", status.counted.quarantined)]
    {
        metrics::gauge!("chargeledger_projection_events", "projection" => status.name.clone(), "fate" => fate).set(events as f64);
    }
    for state in State::ALL {
        let is_so = f64::from(u8::from(status.state == state));
        metrics::gauge!("chargeledger_projection_state", "projection" => status.name.clone(), "state" => state.as_str()).set(is_so);
    }
    // The counter is there from the beginning, so that its first increase is seen.
    metrics::counter!("chargeledger_projection_restarts_total", "projection" => status.name.clone()).increment(0);
}

/// Shows how far a rebuild of this process is.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; no money in it")]
pub(crate) fn rebuilding(job: &Job) {
    let gauge = |name: &'static str, value: f64| metrics::gauge!(name, "projection" => job.name.clone()).set(value);
    let works = !job.phase.is_over() && !matches!(job.phase, Phase::AwaitingApproval | Phase::Failed);
    gauge("chargeledger_rebuild_running", f64::from(u8::from(works)));
    let stands = job.error.is_some() || job.wanted == Wanted::Pause;
    gauge("chargeledger_rebuild_waiting", f64::from(u8::from(works && stands)));
    gauge("chargeledger_rebuild_events_done", job.events_done as f64);
    gauge("chargeledger_rebuild_events_to_do", job.events_total as f64);
    gauge("chargeledger_rebuild_events_per_second", job.events_per_s as f64);
    gauge("chargeledger_rebuild_rows", job.rows as f64);
    gauge("chargeledger_rebuild_failed", f64::from(u8::from(job.phase == Phase::Failed)));
}
