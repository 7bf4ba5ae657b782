//! Builds and rebuilds as they stand in JSON.
//!
//! A rebuild is of all operators: how far it is, and how many rows differ, everybody who operates the read models may know. What stands in a row is shown to a
//! key of the row's operator only; how many were left out is said.

use std::collections::BTreeMap;

use domain::log::Position;
use projections::port::Build;
use projections::rebuild::Repaired;
use projections::rebuild::port::{Account, Diff, Job, MoneyDifference, Sample};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::asked::word;
use crate::read_models::HaltAnswer;
use crate::wire::Time;

/// A build of a read model.
#[derive(Debug, Serialize, ToSchema)]
pub struct BuildAnswer {
    /// Its name: the read model's, or another one for a view of the past.
    name: String,
    /// Counts up with each build of the name.
    number: i64,
    /// The version of the fold that fills it.
    version: u32,
    /// `filling`, `serving`, `retired` (kept for the way back) or `as_of` (a view of the past).
    state: String,
    /// How far it has got.
    position: u64,
    /// Somebody went back to it: nothing takes its place by itself.
    pinned: bool,
    /// How its filling goes or went, of a view of the past.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuild: Option<RebuildAnswer>,
}

impl BuildAnswer {
    pub(crate) fn of(build: &Build, jobs: &[Job]) -> BuildAnswer {
        let is_other = build.name != build.projection;
        let rebuild = jobs.iter().find(|job| is_other && job.name == build.name && job.number == build.number);
        BuildAnswer {
            name: build.name.clone(),
            number: build.number,
            version: build.version,
            state: word(build.state),
            position: build.position.0,
            pinned: build.pinned,
            rebuild: rebuild.map(RebuildAnswer::from),
        }
    }
}

/// A rebuild and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebuildAnswer {
    /// The name of the build: the read model's, or another one for a view of the past.
    name: String,
    /// The build that is made.
    build: i64,
    /// `replaying`, `indexing`, `catching_up`, `accounting`, `comparing`; `awaiting_approval`, `ready`; `swapped`, `cancelled`, `failed`.
    phase: String,
    /// `run`, `pause` or `cancel`: what people want of it.
    wanted: String,
    /// How much of this phase is done. What a phase has not said yet is 0.
    percent: f64,
    /// Events of this phase that were looked at.
    events_done: u64,
    /// Of how many.
    events_total: u64,
    /// Events a second, of late.
    events_per_s: u64,
    /// Rows that were written.
    rows: u64,
    /// When this phase will be over, if it goes on like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_s: Option<u64>,
    /// How often the log is read, because all rows at once would be too much memory.
    passes: u32,
    /// Where the replay ends and catching up begins.
    until: u64,
    /// Why it could not go on, or what it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The event that it cannot apply: where it is, not what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_at: Option<HaltAnswer>,
    /// The proof that no event is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountAnswer>,
    /// How it differs from the build that served.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<DiffSummary>,
    /// Who asked for it.
    by: String,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    started_at: Option<Time>,
    /// When it was last heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Time>)]
    updated_at: Option<Time>,
}

impl From<&Job> for RebuildAnswer {
    fn from(job: &Job) -> RebuildAnswer {
        // What the fold says about an event may quote it, and it is one operator's.
        let error = match &job.halt {
            Some(halt) => Some(format!("it cannot apply the event at position {}", halt.position)),
            None => job.error.clone(),
        };
        RebuildAnswer {
            name: job.name.clone(),
            build: job.number,
            phase: word(job.phase),
            wanted: word(job.wanted),
            percent: f64::from(job.per_mille()) / 10.0,
            events_done: job.events_done,
            events_total: job.events_total,
            events_per_s: job.events_per_s,
            rows: job.rows,
            eta_s: job.eta_s,
            passes: job.passes,
            until: job.until.0,
            error,
            halted_at: job.halt.as_ref().map(HaltAnswer::from),
            account: job.account.as_ref().map(AccountAnswer::from),
            diff: job.diff.as_ref().map(DiffSummary::from),
            by: job.by.clone(),
            started_at: job.started_at.map(Time),
            updated_at: job.updated_at.map(Time),
        }
    }
}

/// The proof that a build accounts for every event of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountAnswer {
    /// Up to where.
    position: u64,
    /// The ledger's events up to there, counted by a scan of its own.
    events: u64,
    /// Events that the fold took in.
    applied: u64,
    /// Events of types that it does not handle.
    ignored: u64,
    /// Events stepped over by an operator's decision.
    quarantined: u64,
    /// Whether they are all of them.
    complete: bool,
}

impl From<&Account> for AccountAnswer {
    fn from(account: &Account) -> AccountAnswer {
        AccountAnswer {
            position: account.position.0,
            events: account.events,
            applied: account.applied,
            ignored: account.ignored.values().sum(),
            quarantined: account.quarantined,
            complete: account.is_complete(),
        }
    }
}

/// How many rows differ, without any of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffSummary {
    /// Rows that are the same in both.
    same: u64,
    /// Rows that only the new build has.
    only_here: u64,
    /// Rows that only the other one has.
    only_there: u64,
    /// Rows that both have, with different cells.
    changed: u64,
    /// Rows that were left out, because they have changed since one of the builds stood still.
    not_compared: u64,
}

impl From<&Diff> for DiffSummary {
    fn from(diff: &Diff) -> DiffSummary {
        let Diff { same, only_here, only_there, changed, not_compared, .. } = *diff;
        DiffSummary { same, only_here, only_there, changed, not_compared }
    }
}

/// How two builds of a read model differ.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffAnswer {
    /// The new build's table.
    here: String,
    /// Where it stood.
    here_position: u64,
    /// The other one's.
    there: String,
    /// Where that stood.
    there_position: u64,
    /// How many rows differ.
    rows: DiffSummary,
    /// Which cells differ, and in how many rows.
    fields: BTreeMap<String, u64>,
    /// Columns that only the new build has.
    columns_only_here: Vec<String>,
    /// Columns that only the other one has.
    columns_only_there: Vec<String>,
    /// Some of the rows that differ: those of the key's operator.
    samples: Vec<SampleAnswer>,
    /// How many of these rows are other operators', and not shown.
    samples_withheld: usize,
    /// Money that differs, by day: the key's operator's.
    totals: Vec<MoneyAnswer>,
    /// How many sums are other operators', and not shown.
    totals_withheld: usize,
}

/// A row that differs.
#[derive(Debug, Serialize, ToSchema)]
pub struct SampleAnswer {
    /// Its key.
    key: Value,
    /// The cells that differ, in the new build; all of them where only it has the row; null where it has none.
    here: Option<Value>,
    /// The same in the other one.
    there: Option<Value>,
}

/// A sum of money that differs.
#[derive(Debug, Serialize, ToSchema)]
pub struct MoneyAnswer {
    /// Whose.
    operator_id: Option<String>,
    /// On which day.
    day: Option<String>,
    /// Of which column.
    column: String,
    /// The sum in the new build.
    here_yuan: String,
    /// The sum in the other one.
    there_yuan: String,
}

impl DiffAnswer {
    /// With what an admin of this operator sees of it.
    pub(crate) fn of(diff: Diff, operator_id: &str) -> DiffAnswer {
        let rows = DiffSummary::from(&diff);
        let (all_samples, all_totals) = (diff.samples.len(), diff.totals.len());
        let own = |whose: Option<&str>| whose == Some(operator_id);
        let samples: Vec<Sample> = diff.samples.into_iter().filter(|sample| own(sample.operator_id.as_deref())).collect();
        let totals: Vec<MoneyDifference> = diff.totals.into_iter().filter(|total| own(total.operator_id.as_deref())).collect();
        DiffAnswer {
            here: diff.here,
            here_position: diff.here_position.0,
            there: diff.there,
            there_position: diff.there_position.0,
            rows,
            fields: diff.fields,
            columns_only_here: diff.columns_only_here,
            columns_only_there: diff.columns_only_there,
            samples_withheld: all_samples - samples.len(),
            samples: samples.into_iter().map(|Sample { key, here, there, .. }| SampleAnswer { key, here, there }).collect(),
            totals_withheld: all_totals - totals.len(),
            totals: totals.into_iter().map(MoneyAnswer::from).collect(),
        }
    }
}

impl From<MoneyDifference> for MoneyAnswer {
    fn from(total: MoneyDifference) -> MoneyAnswer {
        let MoneyDifference { operator_id, day, column, here_yuan, there_yuan } = total;
        MoneyAnswer { operator_id, day, column, here_yuan, there_yuan }
    }
}

/// What folding one row again found.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepairAnswer {
    /// The read model.
    projection: String,
    /// The build that serves.
    build: i64,
    /// The row's key.
    key: Value,
    /// Up to where it was folded.
    position: u64,
    /// How many events touched it.
    events: u64,
    /// Whether the row was as its events make it.
    was_right: bool,
    /// Whether there was a row.
    was_there: bool,
    /// Whether there is to be one.
    belongs_there: bool,
    /// Whether it was put right.
    written: bool,
    /// The cells that were wrong; none when the row is another operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<BTreeMap<String, CellAnswer>>,
}

/// A cell that was wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct CellAnswer {
    /// What belongs there.
    here: Value,
    /// What was there.
    there: Value,
}

impl RepairAnswer {
    pub(crate) fn of(repaired: Repaired, operator_id: &str) -> RepairAnswer {
        let Position(position) = repaired.position;
        let was_right = repaired.was_right();
        let own = was_right || repaired.operator_id.as_deref() == Some(operator_id);
        let cells = repaired.cells.into_iter().map(|(name, (there, here))| (name, CellAnswer { here, there }));
        RepairAnswer {
            projection: repaired.name,
            build: repaired.build,
            key: repaired.key,
            position,
            events: repaired.events,
            was_right,
            was_there: repaired.was_there,
            belongs_there: repaired.belongs_there,
            written: repaired.written,
            cells: own.then(|| cells.collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stands_in_a_row_is_shown_to_its_own_operator_only() {
        let sample = |operator: &str| Sample {
            key: json!({"session_id": operator}),
            operator_id: Some(operator.to_owned()),
            here: Some(json!({"total_yuan": "1.00"})),
            there: None,
        };
        let total = |operator: &str| MoneyDifference {
            operator_id: Some(operator.to_owned()),
            day: None,
            column: "total_yuan".to_owned(),
            here_yuan: "1.00".to_owned(),
            there_yuan: "0.00".to_owned(),
        };
        let diff = Diff {
            only_here: 2,
            samples: vec![sample("ours"), sample("theirs")],
            totals: vec![total("ours"), total("theirs"), total("theirs")],
            ..Diff::default()
        };
        let shown = serde_json::to_value(DiffAnswer::of(diff, "ours")).unwrap();
        assert_eq!(shown["rows"]["only_here"], 2);
        assert_eq!((shown["samples"].as_array().unwrap().len(), &shown["samples_withheld"]), (1, &json!(1)));
        assert_eq!((shown["totals"].as_array().unwrap().len(), &shown["totals_withheld"]), (1, &json!(2)));
        assert!(!shown.to_string().contains("theirs"));
    }
}
