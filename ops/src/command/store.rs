//! `store info|backup|restore|migrate|move-keys|export`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use commands::port::SubjectKeys;
use domain::event::Event;
use domain::log::{Filter, Position, StoredEvent};
use domain::user::UserEvent;
use embedded::{Copied, EmbeddedStore, Reader};
use esdb::EsdbUrl;
use serde_json::json;

use super::{migrate, move_keys};
use crate::cli::Store;
use crate::compose::{SANDBOX, open_reading, store_path, subject_keys};
use crate::config::{Config, DatabaseUrl, EventStoreUrl};
use crate::output::{Answer, grouped, table};
use crate::progress::Meter;
use crate::raw_log::RawLog;

pub(crate) async fn run(config: &Config, what: Store) -> anyhow::Result<Answer> {
    match what {
        Store::Info => info(config).await,
        Store::Migrate { from, to } => migrate::run(&from, &to).await,
        Store::MoveKeys { to } => move_keys::run(config, to.as_deref()).await,
        Store::Backup { to } => {
            let from = of_files(config, "backed up")?;
            copy("copied", config.key_store.as_ref(), move || {
                sandbox::copy::must_not_be_there(&to.join(SANDBOX))?;
                let meter = Meter::start("backup", 0);
                let copied = embedded::backup(&from, &to, |progress| meter.set(progress.done, progress.total))?;
                Ok((copied, copy_sandbox(&from, &to)?))
            })
            .await
        }
        Store::Restore { from } => {
            let to = of_files(config, "restored")?;
            let restored = to.clone();
            let answer = copy("restored", config.key_store.as_ref(), move || {
                sandbox::copy::must_not_be_there(&to.join(SANDBOX))?;
                let meter = Meter::start("restore", 0);
                let copied = embedded::restore(&from, &to, |progress| meter.set(progress.done, progress.total))?;
                Ok((copied, copy_sandbox(&from, &to)?))
            })
            .await?;
            forget_erased(&restored, &*subject_keys(config)?).await?;
            Ok(answer)
        }
        Store::Export { to, after } => {
            let log = RawLog::open(config).await?;
            tokio::task::spawn_blocking(move || export(&log, to.as_deref(), Position(after))).await?
        }
    }
}

async fn info(config: &Config) -> anyhow::Result<Answer> {
    let path = match &config.event_store {
        EventStoreUrl::Embedded(path) => path,
        EventStoreUrl::Server(url) => return info_of_server(config, url).await,
    };
    let info = EmbeddedStore::open_read_only(path)?.info().await?;
    let json = json!({
        "path": info.path,
        "schema_version": info.schema_version,
        "head": info.head,
        "events": info.events,
        "streams": info.streams,
        "types": info.types,
        "bytes": info.bytes,
        "first_recorded_at": info.first_recorded_at,
        "last_recorded_at": info.last_recorded_at,
    });
    let time = |time: Option<domain::time::Timestamp>| time.map_or_else(|| "–".to_owned(), |time| time.to_string());
    let text = table(&[
        ("store", info.path.display().to_string()),
        ("events", grouped(info.events)),
        ("head", grouped(info.head.0)),
        ("streams", grouped(info.streams)),
        ("types", info.types.to_string()),
        ("size", format!("{} KiB", grouped(info.bytes / 1024))),
        ("first recorded", time(info.first_recorded_at)),
        ("last recorded", time(info.last_recorded_at)),
    ]);
    Answer::new(&json, text)
}

/// What a server says of the ledger on it: what is counted there is read once, page by page.
async fn info_of_server(config: &Config, url: &EsdbUrl) -> anyhow::Result<Answer> {
    let store = open_reading(config).await?;
    let head = store.head().await?;
    let types = store.count_types(Position(0), head.position).await?;
    let first = store.read_all(Position(0), &Filter::All, 1).await?.events.first().map(|event| event.metadata.recorded_at);
    let json = json!({
        "server": url.to_string(),
        "head": head.position,
        "events": head.events,
        "types": types.len(),
        "first_recorded_at": first,
        "beside": store_path(config),
    });
    let text = table(&[
        ("server", url.to_string()),
        ("events", grouped(head.events)),
        ("head", grouped(head.position.0)),
        ("types", types.len().to_string()),
        ("first recorded", first.map_or_else(|| "–".to_owned(), |time| time.to_string())),
        ("keys of personal data", store_path(config).display().to_string()),
    ]);
    Answer::new(&json, text)
}

/// The directory of a store that is files. A server's are its own.
fn of_files(config: &Config, what: &str) -> anyhow::Result<PathBuf> {
    match &config.event_store {
        EventStoreUrl::Embedded(path) => Ok(path.clone()),
        EventStoreUrl::Server(url) => bail!(
            "the log on {url} is {what} by its server's own means; keys.db in {} belongs to it and is to be kept with it (or copy the whole \
             ledger: store migrate --from … --to embedded:DIRECTORY, and back that up)",
            store_path(config).display()
        ),
    }
}

/// Copies the books of the sandbox channel, where it is used. They come after the log: a payment that only they know of is asked for again, one that only the
/// log knows of never was.
fn copy_sandbox(from: &Path, to: &Path) -> anyhow::Result<bool> {
    let has_sandbox = from.join(SANDBOX).exists();
    if has_sandbox {
        sandbox::copy::copy(&from.join(SANDBOX), &to.join(SANDBOX))?;
    }
    Ok(has_sandbox)
}

/// `work` says what was copied, and whether the sandbox's books were.
async fn copy(
    word: &'static str,
    key_store: Option<&DatabaseUrl>,
    work: impl FnOnce() -> anyhow::Result<(Copied, bool)> + Send + 'static,
) -> anyhow::Result<Answer> {
    let (copied, has_sandbox) = tokio::task::spawn_blocking(work).await??;
    let json = json!({
        "path": copied.log.path,
        "events": copied.log.events,
        "head": copied.log.head,
        "bytes": copied.log.bytes,
        "streams": copied.verified.streams,
        "has_keys": copied.has_keys,
        "has_sandbox": has_sandbox,
        "verified": copied.verified.fault.is_none(),
    });
    let keys = match (copied.has_keys, key_store) {
        (true, _) => "with the keys of personal data".to_owned(),
        (false, Some(url)) => format!("the keys of personal data are in {url}: back it up, too"),
        (false, None) => "there were no keys of personal data".to_owned(),
    };
    let sandbox = if has_sandbox { ", and with the sandbox channel's books" } else { "" };
    let text =
        format!("{word} {} events to {}, every hash checked, {keys}{sandbox}", grouped(copied.log.events), copied.log.path.display());
    Answer::new(&json, text)
}

/// An erasure that the log knows of holds for the keys beside it: a backup copies the two one after the other, and may have a key that was destroyed in between.
async fn forget_erased(directory: &Path, keys: &dyn SubjectKeys) -> anyhow::Result<()> {
    let mut reader = Reader::open(directory)?;
    let head = reader.head()?.position;
    let mut at = Position(0);
    while at < head {
        let page = reader.scan(at, &Filter::types(["user.erased"]), 1_024)?;
        at = page.scanned_to;
        for stored in page.events {
            if let Event::User(UserEvent::Erased { user_id }) = stored.decode()?.event {
                keys.destroy(user_id).await?;
            }
        }
    }
    Ok(())
}

fn export(log: &RawLog, to: Option<&Path>, after: Position) -> anyhow::Result<Answer> {
    let mut reader = log.reader()?;
    let head = reader.head()?.position;
    let meter = Meter::start("export", head.0.saturating_sub(after.0));
    let mut out: Box<dyn Write> = match to {
        Some(path) => Box::new(BufWriter::new(
            File::options()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("{} cannot be made", path.display()))?,
        )),
        None => Box::new(BufWriter::new(std::io::stdout().lock())),
    };
    let (mut at, mut events) = (after, 0_u64);
    let mut write = || -> anyhow::Result<()> {
        while at < head {
            let page = reader.scan(at, &Filter::All, 1_024)?;
            for stored in page.events.iter().take_while(|stored| stored.position <= head) {
                out.write_all(line(stored).to_string().as_bytes())?;
                out.write_all(b"\n")?;
                events += 1;
            }
            meter.add(page.scanned_to.0.min(head.0).saturating_sub(at.0));
            at = page.scanned_to;
        }
        Ok(out.flush()?)
    };
    match write() {
        // Whoever read it has seen enough, like `head`.
        Err(error) if is_broken_pipe(&error) => return Ok(Answer::silent()),
        written => written?,
    }
    match to {
        Some(path) => {
            let json = json!({ "path": path, "events": events, "head": head });
            Answer::new(&json, format!("exported {} events to {}", grouped(events), path.display()))
        }
        None => Ok(Answer::silent()),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// One event as it is exported. What this release cannot read is exported all the same, without what it says.
pub(crate) fn line(stored: &StoredEvent) -> serde_json::Value {
    let metadata = &stored.metadata;
    let (data, error) = match stored.clone().decode() {
        Ok(recorded) => (variant(serde_json::to_value(&recorded.event).unwrap_or_default()), None),
        Err(error) => (serde_json::Value::Null, Some(error.to_string())),
    };
    let mut line = json!({
        "position": stored.position,
        "stream": stored.stream,
        "revision": stored.revision,
        "type": stored.event_type,
        "version": stored.version,
        "event_id": metadata.event_id,
        "command_id": metadata.command_id,
        "causation_id": metadata.causation_id,
        "correlation_id": metadata.correlation_id,
        "actor": metadata.actor.to_string(),
        "operator_id": metadata.operator_id,
        "occurred_at": metadata.occurred_at,
        "recorded_at": metadata.recorded_at,
        "prev_hash": stored.prev_hash.to_string(),
        "hash": stored.hash.to_string(),
        "data": data,
    });
    if let Some(error) = error {
        line["unreadable"] = error.into();
    }
    line
}

/// What stands inside `{"session": {"requested": {…}}}`: both names are in the type already.
fn variant(event: serde_json::Value) -> serde_json::Value {
    let inner = |value: serde_json::Value| match value {
        serde_json::Value::Object(map) if map.len() == 1 => map.into_iter().next().map_or(serde_json::Value::Null, |(_, inner)| inner),
        other => other,
    };
    inner(inner(event))
}
