//! Real sessions from files: a format reads rows, [`plan`] makes stations, connectors and sessions of them, [`generate`] makes up what the files do not
//! have, and the driver sends the commands that would have happened.
//!
//! A row is imported, imported with something odd about it, or rejected with a reason; none is lost. Another city's layout is one file here, its `mod` line and
//! its place in [`FORMATS`]: `docs/import.md` shows it.

mod cary;
mod columns;
mod driver;
pub(crate) mod estate;
pub(crate) mod generate;
pub(crate) mod plan;
pub(crate) mod shenzhen;
mod story;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::HashMap;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use domain::ids::OperatorId;
use domain::pile::{CurrentKind, check_model};
use domain::station::{Place, StationDetails};
use domain::time::{Timestamp, ZoneName};
use domain::units::{Energy, Power};

pub(crate) use columns::{Fields, RowError};

use crate::compose::Writing;
use driver::Driver;
use generate::Generator;
use plan::{Account, Plan};

/// When nothing has been written for this many looks, all that follows from the sessions has happened.
const QUIET_LOOKS: u32 = 4;
const QUIET_EVERY: Duration = Duration::from_millis(40);

/// Every layout that can be read.
pub(crate) const FORMATS: &[&dyn Format] = &[&cary::Cary];

/// The layout of one publisher's files.
pub(crate) trait Format: Sync {
    /// What `--format` calls it.
    fn name(&self) -> &'static str;

    /// What stands between two columns.
    fn separator(&self) -> u8;

    /// The columns it needs, by their names in the first line; others may be there, in any order.
    fn columns(&self) -> &'static [&'static str];

    /// One row.
    fn session(&self, row: &Fields<'_>) -> Result<ImportedSession, RowError>;

    /// What is known about a charger of this model; an empty text is an unknown one.
    fn charger(&self, model: &str) -> Charger;

    /// The zone of the sites.
    fn zone(&self) -> ZoneName;

    /// Who operates them, as a name for people.
    fn operator_name(&self) -> &'static str;
}

/// A session as a file has it. Nothing here is made up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportedSession {
    /// The file's name for the station.
    pub(crate) station: String,
    /// Its address.
    pub(crate) address: String,
    /// Where it is.
    pub(crate) place: Place,
    /// The charger's model; empty when the file does not say.
    pub(crate) model: String,
    /// When charging began.
    pub(crate) started_at: Timestamp,
    /// When charging ended.
    pub(crate) ended_at: Timestamp,
    /// The energy, exactly as written.
    pub(crate) energy: Energy,
}

/// What kind of charger a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charger {
    pub(crate) current: CurrentKind,
    /// The most that one connector can give.
    pub(crate) rated_power: Power,
    /// How many vehicles it serves at once.
    pub(crate) connectors: u8,
}

/// A row that is not imported.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Rejected {
    /// Its line in the file, from 1; the heading is line 1.
    pub(crate) line: u64,
    /// Why.
    pub(crate) reason: String,
}

/// All rows of a file: `sessions` and `rejected` together are every one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rows {
    /// The readable ones with their lines.
    pub(crate) sessions: Vec<(u64, ImportedSession)>,
    /// The others.
    pub(crate) rejected: Vec<Rejected>,
}

/// What `--format` may say.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name())
}

/// The format with this name.
pub(crate) fn format(name: &str) -> anyhow::Result<&'static dyn Format> {
    FORMATS
        .iter()
        .find(|format| format.name() == name)
        .copied()
        .ok_or_else(|| anyhow!("\"{name}\" is not a format; known are: {}", names().collect::<Vec<_>>().join(", ")))
}

/// Reads a file's bytes, compressed with gzip or not: its first bytes tell.
pub(crate) fn read(format: &dyn Format, bytes: &[u8]) -> anyhow::Result<Rows> {
    let mut unpacked = Vec::new();
    let text: &[u8] = if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut unpacked).context("the file begins like gzip, but cannot be unpacked")?;
        &unpacked
    } else {
        bytes
    };
    read_text(format, text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

fn read_text(format: &dyn Format, text: &[u8]) -> anyhow::Result<Rows> {
    let mut reader = csv::ReaderBuilder::new().delimiter(format.separator()).flexible(true).from_reader(text);
    let heading = reader.byte_headers().context("the first line cannot be read")?.clone();
    let places: HashMap<String, usize> =
        heading.iter().enumerate().map(|(place, name)| (String::from_utf8_lossy(name).trim().to_owned(), place)).collect();
    let missing: Vec<&str> = format.columns().iter().filter(|name| !places.contains_key(**name)).copied().collect();
    if !missing.is_empty() {
        bail!("this is not a file of format {}: there is no column {}", format.name(), missing.join(", "));
    }
    let mut rows = Rows::default();
    let mut record = csv::ByteRecord::new();
    let (mut line, mut counted) = (1, 0);
    loop {
        // Only the reader itself can fail here, and it reads from memory: a row of another length or in another encoding is judged below.
        if !reader.read_byte_record(&mut record).context("the file cannot be read")? {
            return Ok(rows);
        }
        // The reader's own count lags behind where lines end with CR and LF: it leaves the LF to the next row.
        let start = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(counted);
        let start = start + text[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        line += text[counted..start].iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = start;
        let session = Fields::of(&record, &places, heading.len()).and_then(|fields| format.session(&fields)).and_then(fitting);
        match session {
            Ok(session) => rows.sessions.push((line, session)),
            Err(error) => rows.rejected.push(Rejected { line, reason: error.to_string() }),
        }
    }
}

/// A session that the ledger takes. What it refuses later would end the whole import.
fn fitting(session: ImportedSession) -> Result<ImportedSession, RowError> {
    let ImportedSession { station, address, place, model, started_at, ended_at, energy: _ } = &session;
    if ended_at < started_at {
        return Err(RowError::EndsBeforeItBegins { started_at: *started_at, ended_at: *ended_at });
    }
    StationDetails { name: station.clone(), address: address.clone(), place: place.clone() }.check_texts()?;
    check_model(model)?;
    Ok(session)
}

/// What one import did.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Report {
    /// What became of the rows.
    #[serde(flatten)]
    pub(crate) account: Account,
    /// Whose books.
    pub(crate) operator_id: OperatorId,
    /// Sessions that were played this time; the others were there already.
    pub(crate) played: u64,
    /// Events that were written this time.
    pub(crate) events: u64,
    /// How long it took.
    #[serde(serialize_with = "to_millis_place")]
    pub(crate) seconds: f64,
}

impl Report {
    /// Events per second.
    pub(crate) fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let events = self.events as f64;
        if self.seconds > 0.0 { events / self.seconds } else { 0.0 }
    }
}

fn to_millis_place<S: serde::Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((seconds * 1000.0).round() / 1000.0)
}

/// Carries a plan out: what has to exist, then every session, and returns when all that follows from them has happened.
pub(crate) async fn carry_out(writing: &Writing, format: &dyn Format, plan: Plan, seed: u64) -> anyhow::Result<Report> {
    let began = std::time::Instant::now();
    let store = writing.store.clone();
    let before = store.head().await?;
    let (account, operator_id) = (plan.account(), plan.operator_id);
    let managers = writing.start_managers(false).await?;
    let played = async {
        let generator = Generator::new(format.name(), operator_id, seed);
        estate::prepare(&writing.commands, &plan, &generator).await?;
        let done = Driver::new(writing, plan, generator).run().await?;
        // Refunds come back from their channel after the session has settled.
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let head = store.head().await?.position;
            managers.progress.done().wait_for(|done| *done >= head).await?;
            tokio::time::sleep(QUIET_EVERY).await;
            quiet = if store.head().await?.position == head { quiet + 1 } else { 0 };
        }
        Ok::<_, anyhow::Error>(done)
    }
    .await;
    managers.stop().await;
    let played = played?.played;
    let events = store.head().await?.events.saturating_sub(before.events);
    Ok(Report { account, operator_id, played, events, seconds: began.elapsed().as_secs_f64() })
}
