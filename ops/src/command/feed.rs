//! `feed info|verify|rebuild|tail`: the feed of events in NATS, compared with the ledger, mended, made again, and shown as a consumer gets it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::log::{EventStore, Position};
use nats_feed::progress::{Progress, waits_since};
use nats_feed::reconcile::{self, Verified};
use nats_feed::subscribe::{ConsumerSettings, Inbox as _, MemoryInbox, SqliteInbox, Subscriber};
use nats_feed::walk::{Start, Walk};
use nats_feed::wire::Published;
use nats_feed::{FeedError, FeedStream, Nats, Window, again};
use serde_json::json;
use tokio::sync::watch;

use super::serve::told_to_stop;
use super::store::line;
use crate::cli::{Feed, Tail};
use crate::compose::open_reading;
use crate::config::Config;
use crate::feeding;
use crate::output::{Answer, grouped, say, table};
use crate::progress::Meter;

/// What a run that was killed had not acknowledged comes again after this long.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Between two attempts to follow a NATS that has gone away.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn run(config: &Config, what: &Feed, as_json: bool) -> anyhow::Result<Answer> {
    match what {
        Feed::Info => info(config).await,
        Feed::Verify { fill } => verify(config, *fill).await,
        Feed::Rebuild { recreate } => rebuild(config, *recreate).await,
        Feed::Tail(options) => tail(config, options, as_json).await,
    }
}

async fn find(config: &Config, nats: &Nats) -> anyhow::Result<FeedStream> {
    let found = FeedStream::find(nats, &feeding::stream(config)).await?;
    found.context("there is no feed yet: the role publisher makes it")
}

async fn info(config: &Config) -> anyhow::Result<Answer> {
    let nats = feeding::connect(config).await?;
    let stream = find(config, &nats).await?;
    let log: Arc<dyn EventStore> = open_reading(config).await?;
    let (state, position) = (stream.state().await?, stream.reached().await?);
    let head = log.head().await?;
    let lag_events: u64 = log.count_types(position, head.position).await?.values().sum();
    let lag_seconds = if lag_events > 0 { waits_since(&*log, position).await? } else { 0 };
    let members = stream.members().await?;
    let json = json!({
        "url": feeding::url(config)?.to_string(),
        "server": nats.server_version(),
        "stream": stream.name(),
        "messages": state.messages,
        "bytes": state.bytes,
        "first_sequence": state.first_sequence,
        "last_sequence": state.last_sequence,
        "consumers": state.consumer_count,
        "members": members,
        "position": position,
        "head": head.position,
        "lag_events": lag_events,
        "lag_seconds": lag_seconds,
    });
    let mut rows = vec![
        ("stream", format!("{} at {}", stream.name(), feeding::url(config)?)),
        ("server", nats.server_version()),
        ("messages", grouped(state.messages)),
        ("size", format!("{} KiB", grouped(state.bytes / 1024))),
        ("consumers", state.consumer_count.to_string()),
        ("position", format!("{} of {}", grouped(position.0), grouped(head.position.0))),
        (
            "behind",
            match lag_events {
                0 => "nothing is waiting".to_owned(),
                events => format!("{} events, the oldest for {lag_seconds} s", grouped(events)),
            },
        ),
    ];
    if !members.is_empty() {
        rows.insert(2, ("members", members.join(", ")));
    }
    Answer::new(&json, table(&rows))
}

async fn verify(config: &Config, fill: bool) -> anyhow::Result<Answer> {
    let nats = feeding::connect(config).await?;
    let stream = find(config, &nats).await?;
    let log: Arc<dyn EventStore> = open_reading(config).await?;
    let mut found = compared(&stream, &log).await?;
    let mut filled = 0;
    if fill && found.missing > 0 {
        let meter = Meter::start("filling holes", found.missing);
        filled = reconcile::fill(&stream, &log, &found, |done, total| meter.set(done, total)).await?;
        drop(meter);
        found = compared(&stream, &log).await?;
    }
    let mut json = serde_json::to_value(&found)?;
    (json["filled"], json["is_fine"]) = (filled.into(), found.is_fine().into());
    let answer = Answer::new(&json, told(&found, filled))?;
    Ok(Answer { is_fine: found.is_fine(), ..answer })
}

async fn compared(stream: &FeedStream, log: &Arc<dyn EventStore>) -> anyhow::Result<Verified> {
    let meter = Meter::start("comparing", 0);
    Ok(reconcile::verify(stream, &**log, |done, total| meter.set(done, total)).await?)
}

fn told(found: &Verified, filled: u64) -> String {
    let mut text = format!("{} messages, {} events of the ledger", grouped(found.messages), grouped(found.events));
    if filled > 0 {
        text.push_str(&format!("; {} filled in", grouped(filled)));
    }
    if found.behind > 0 {
        text.push_str(&format!("; {} still to be published", grouped(found.behind)));
    }
    if found.is_fine() {
        return format!("{text}\nThe feed is the ledger, as far as it has come.");
    }
    for hole in &found.holes {
        text.push_str(&format!("\nmissing: positions {} to {}, {} events", hole.first, hole.last, grouped(hole.events)));
    }
    for one in &found.differences {
        let at = one.position.map_or_else(String::new, |position| format!(", position {position}"));
        text.push_str(&format!("\nsequence {}{at}: {}", one.sequence, one.what));
    }
    if found.differing > found.differences.len() as u64 {
        text.push_str(&format!("\n… {} in all", grouped(found.differing)));
    }
    if found.missing > 0 {
        text.push_str("\n`chargeledger feed verify --fill` publishes what is missing");
    }
    if found.differing > 0 {
        text.push_str("\n`chargeledger feed rebuild` makes the feed again");
    }
    text
}

async fn rebuild(config: &Config, recreate: bool) -> anyhow::Result<Answer> {
    let nats = feeding::connect(config).await?;
    let log: Arc<dyn EventStore> = open_reading(config).await?;
    let total = log.head().await?.events;
    let meter = Meter::start("publishing", total);
    let progress = watch::Sender::new(Progress::default());
    let mut seen = progress.subscribe();
    let settings = feeding::stream(config);
    let made = again::rebuild(&nats, &settings, &log, recreate, Window::default(), &progress);
    let shown = async {
        while seen.changed().await.is_ok() {
            meter.set(seen.borrow_and_update().published, total);
        }
    };
    let published = tokio::select! {
        published = made => published?,
        () = shown => unreachable!("whoever publishes holds the other end"),
    };
    drop(meter);
    let json = json!({ "stream": settings.name, "published": published, "recreated": recreate });
    Answer::new(&json, format!("{} events published again, into {}", grouped(published), settings.name))
}

async fn tail(config: &Config, options: &Tail, as_json: bool) -> anyhow::Result<Answer> {
    let told = told_to_stop();
    tokio::pin!(told);
    let mut shown = Shown { limit: options.limit, seen: MemoryInbox::default(), last: None };
    loop {
        let ended = tokio::select! {
            ended = follow(config, options, as_json, &mut shown) => ended,
            () = &mut told => return Ok(Answer::silent()),
        };
        match ended {
            Ok(()) => return Ok(Answer::silent()),
            // Whoever looks on stays while a server is started again, once it was there.
            Err(error) if shown.last.is_some() && error.downcast_ref::<FeedError>().is_some_and(FeedError::is_retryable) => {
                tracing::warn!("{error:#}");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = &mut told => return Ok(Answer::silent()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// What was shown so far.
struct Shown {
    limit: Option<u64>,
    seen: MemoryInbox,
    /// The last sequence that came.
    last: Option<u64>,
}

impl Shown {
    /// Counts one more; whether that was enough.
    fn is_enough(&mut self) -> bool {
        self.limit = self.limit.map(|left| left.saturating_sub(1));
        self.limit == Some(0)
    }
}

/// Shows events until that is enough.
async fn follow(config: &Config, options: &Tail, as_json: bool, shown: &mut Shown) -> anyhow::Result<()> {
    if shown.limit == Some(0) {
        return Ok(());
    }
    let nats = feeding::connect(config).await?;
    let stream = find(config, &nats).await?;
    let start = match (shown.last, options.from, options.new) {
        (Some(last), ..) => Start::Sequence(last + 1),
        (None, Some(position), _) => Start::Sequence(stream.sequence_after(Position(position)).await?),
        (None, None, true) => Start::New,
        (None, None, false) => Start::Beginning,
    };
    // The server filters by one pattern; of several, this side chooses.
    let types = options.types.iter().map(|types| pattern(types)).collect::<HashSet<_>>();
    let filter = if types.len() == 1 { types.iter().next().cloned() } else { None };
    let is_wanted = |published: &Published| {
        let named = types.is_empty() || types.iter().any(|types| matches(types, published.event.event_type.as_str()));
        named && options.from.is_none_or(|after| published.event.position > Position(after))
    };
    match &options.name {
        Some(name) => {
            // One at a time, so that what a run left unacknowledged comes first in the next one, and in order.
            let consumer =
                ConsumerSettings { start, types: filter, ack_wait: ACK_WAIT, unacknowledged_max: 1, ..ConsumerSettings::new(name) };
            let mut inbox = SqliteInbox::open(&inbox_path(config, name)?, Box::new(|_, _| Ok(())))?;
            let mut subscriber = Subscriber::durable(&stream, &consumer).await?;
            loop {
                let delivered = subscriber.next().await?;
                shown.last = Some(delivered.sequence);
                let is_new = inbox.once(&delivered.published).await?;
                if is_new && is_wanted(&delivered.published) {
                    show(&delivered.published, as_json);
                    if shown.is_enough() {
                        // Gone before the last one is acknowledged, or else one more would be delivered to nobody.
                        drop(subscriber);
                        nats.flush().await;
                        delivered.ack().await?;
                        nats.flush().await;
                        return Ok(());
                    }
                }
                delivered.ack().await?;
            }
        }
        None => {
            let mut walk = Walk::start(&stream, start, filter.as_deref()).await?;
            loop {
                let step = walk.next().await?;
                shown.last = Some(step.sequence);
                let published = step.message.with_context(|| format!("sequence {}", step.sequence))?;
                if is_wanted(&published) && shown.seen.once(&published).await? {
                    show(&published, as_json);
                    if shown.is_enough() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// Where a named consumer keeps what it has handled.
fn inbox_path(config: &Config, name: &str) -> anyhow::Result<PathBuf> {
    if name.is_empty() || !name.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '_')) {
        bail!("a consumer's name has letters, digits, - and _");
    }
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("{} cannot be made", config.data_dir.display()))?;
    Ok(config.data_dir.join(format!("feed-{name}.db")))
}

/// What people write as the end of a pattern means everything that begins so.
fn pattern(types: &str) -> String {
    types.strip_suffix(".*").map_or_else(|| types.to_owned(), |category| format!("{category}.>"))
}

fn matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('>') {
        Some(beginning) => event_type.starts_with(beginning),
        None => event_type == pattern,
    }
}

fn show(published: &Published, as_json: bool) {
    let event = &published.event;
    if as_json {
        say(&line(event).to_string());
        return;
    }
    let (position, at, kind) = (event.position.to_string(), event.metadata.recorded_at.to_string(), event.event_type.as_str());
    say(&format!("{position:>10}  {at}  {kind:32}  {}  {}", event.stream, event.metadata.event_id));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_whole_or_by_its_beginning() {
        assert!(matches(&pattern("session.*"), "session.settled") && matches(&pattern("session.>"), "session.settled"));
        assert!(matches(&pattern("session.settled"), "session.settled"));
        assert!(!matches(&pattern("session.*"), "payment.settled") && !matches(&pattern("session.sett"), "session.settled"));
    }
}
