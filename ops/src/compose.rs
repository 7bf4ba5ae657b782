//! The composition root: which engine, which channel, which devices, which database. Only here do the parts meet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use commands::port::{Clock, IdSource, SubjectKeys};
use commands::process::runner::{Managers, Progress};
use commands::{Caller, Commands, Ledger, RequestIds};
use domain::ids::OperatorId;
use domain::log::{Actor, ActorKind, EventStore};
use domain::time::Timestamp;
use embedded::{EmbeddedStore, HeldKeys, KeyStore, SnapshotFile};
use esdb::{EsdbStore, EsdbUrl, Patience};
use observe::{Observed, Traces};
use projections::observer::Observer;
use projections::port::ReadStore;
use projections::rebuild;
use projections::runner::{Options, Runner};
use read_models::{ReadModels, Settings, SharedKeys};
use sandbox::{Behaviour, DeviceMood, SandboxChannel, SimulatedGateway};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;
use uuid::Uuid;

use crate::config::{Config, EventStoreUrl, SandboxMode};
use crate::output::wrong_usage;

/// Aggregates that stay in memory: every connector, station and wallet in use, and the sessions under way.
const HOT_STREAMS_MAX: usize = 20_000;

/// A stream of so many events is worth a snapshot.
const SNAPSHOT_EVERY: u64 = 1_000;

/// A log of no more events is followed from its beginning in less time than a rebuild is worth.
const FIRST_BUILD_EVENTS_MAX: u64 = 50_000;

/// How often a store that is still in use is looked at again before it is given up; the process's end frees it in any case.
const CLOSE_TRIES: u32 = 250;

/// The file of the sandbox channel's own books, in the store's directory.
pub(crate) const SANDBOX: &str = "sandbox.db";

/// This machine's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(0)).unwrap_or_default()
    }
}

/// Ids in time order, and the operating system's randomness.
pub(crate) struct SystemIds;

impl IdSource for SystemIds {
    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
    fn secret(&self) -> [u8; 32] {
        rand::random()
    }
}

/// Where that lies which belongs to the ledger and is no part of the log: the keys of personal data, the sandbox's books. The embedded log lies there, too.
pub(crate) fn store_path(config: &Config) -> &Path {
    match &config.event_store {
        EventStoreUrl::Embedded(path) => path,
        EventStoreUrl::Server(_) => &config.data_dir,
    }
}

/// The embedded log's directory, for what only that engine does.
pub(crate) fn embedded_path<'a>(config: &'a Config, what: &str) -> anyhow::Result<&'a Path> {
    match &config.event_store {
        EventStoreUrl::Embedded(path) => Ok(path),
        EventStoreUrl::Server(url) => bail!("{what} is for the embedded event store, and this ledger lies on {url}"),
    }
}

/// The store, for reading beside whoever writes it.
pub(crate) async fn open_reading(config: &Config) -> anyhow::Result<Arc<dyn EventStore>> {
    match &config.event_store {
        EventStoreUrl::Embedded(path) => Ok(Arc::new(EmbeddedStore::open_read_only(path)?)),
        EventStoreUrl::Server(url) => open_server(url).await,
    }
}

async fn open_server(url: &EsdbUrl) -> anyhow::Result<Arc<dyn EventStore>> {
    Ok(Arc::new(EsdbStore::open(url, Patience::default()).await?))
}

/// The store as a process that serves sees it: counted, and traced when there are traces.
pub(crate) fn observed(config: &Config, store: Arc<dyn EventStore>, traces: Option<Arc<Traces>>) -> Arc<dyn EventStore> {
    let engine = match &config.event_store {
        EventStoreUrl::Embedded(_) => "embedded",
        EventStoreUrl::Server(_) => "esdb",
    };
    Arc::new(Observed::new(store, engine, traces))
}

/// The keys of personal data: in a database that all processes share, or in a file beside the log.
pub(crate) fn subject_keys(config: &Config) -> anyhow::Result<Arc<dyn SubjectKeys>> {
    match &config.key_store {
        Some(url) => Ok(Arc::new(SharedKeys::new(url.reveal()).map_err(|reason| anyhow!("CHARGELEDGER_KEY_STORE: {reason}"))?)),
        None => match HeldKeys::put_aside_in(store_path(config)) {
            // New keys here would part people from what is known of them.
            Some(moved) => bail!(
                "the keys of personal data were moved into a database (what is left of them is {}): set CHARGELEDGER_KEY_STORE",
                moved.display()
            ),
            None => Ok(Arc::new(KeyStore::open(store_path(config))?)),
        },
    }
}

/// Everything that writes, of this one process.
pub(crate) struct Writing {
    pub(crate) store: Arc<dyn EventStore>,
    /// The same, observed: what everybody in the process reads and appends through.
    pub(crate) log: Arc<dyn EventStore>,
    pub(crate) commands: Arc<Commands>,
    pub(crate) sandbox: Arc<SandboxChannel>,
    /// Stops with them: what carries reports and facts from the sandbox to the ledger.
    carriers: Vec<JoinHandle<()>>,
}

/// How the outside world is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// Payers, channels and devices do as the configuration says.
    Configured,
    /// Of the past: channels report at once, and the import plays the payers and the devices.
    Imported,
}

impl Writing {
    /// Opens the store for writing, and what belongs to it. The embedded one has one writing process at a time.
    pub(crate) async fn open(config: &Config, world: World, traces: Option<Arc<Traces>>) -> anyhow::Result<Writing> {
        Writing::open_under(config, world, traces, Arc::new(SystemClock)).await
    }

    /// The same under another clock than this machine's.
    pub(crate) async fn open_under(
        config: &Config,
        world: World,
        traces: Option<Arc<Traces>>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Writing> {
        let store: Arc<dyn EventStore> = match &config.event_store {
            EventStoreUrl::Embedded(path) => Arc::new(EmbeddedStore::open(path)?),
            EventStoreUrl::Server(url) => open_server(url).await?,
        };
        let subjects = subject_keys(config)?;
        let is_prompt = config.sandbox == SandboxMode::Prompt;
        let (behaviour, pays_at_once) = match world {
            World::Imported => (Behaviour::Prompt, false),
            World::Configured if is_prompt => (Behaviour::Prompt, true),
            World::Configured => (Behaviour::realistic(rand::random()), false),
        };
        // With the log and the keys elsewhere, nobody else has made it.
        std::fs::create_dir_all(store_path(config)).with_context(|| format!("{} cannot be made", store_path(config).display()))?;
        let (sandbox, reports) = SandboxChannel::open(&sandbox_path(config), behaviour, pays_at_once).context("the sandbox channel")?;
        let mood = if world == World::Imported { DeviceMood::Silent } else { DeviceMood::Willing };
        let (devices, started) = SimulatedGateway::new(mood);
        let log = observed(config, store.clone(), traces);
        let ledger = Ledger::new(log.clone(), clock, Arc::new(SystemIds), HOT_STREAMS_MAX);
        let ledger = match &config.event_store {
            EventStoreUrl::Embedded(path) => with_snapshots(ledger.as_only_writer(), path),
            // Others write there, too; and snapshots beside a server may be another ledger's.
            EventStoreUrl::Server(_) => ledger,
        };
        let commands =
            Arc::new(Commands { ledger: Arc::new(ledger), channels: vec![sandbox.clone()], devices: Arc::new(devices), subjects });
        let carriers = vec![
            tokio::spawn(sandbox::deliver(sandbox.clone(), reports, commands.clone())),
            tokio::spawn(sandbox::speak(started, commands.clone())),
        ];
        Ok(Writing { store, log, commands, sandbox, carriers })
    }

    /// Starts the process managers where they left off.
    pub(crate) async fn start_managers(&self, with_deadlines: bool) -> anyhow::Result<RunningManagers> {
        let managers = Managers::resume(self.commands.clone(), with_deadlines).await.context("the process managers cannot start")?;
        let progress = managers.progress();
        let (stop, stopped) = watch::channel(false);
        Ok(RunningManagers { progress, stop, task: tokio::spawn(managers.run(stopped)) })
    }

    /// Lets go of everything. The last of it frees the store for another process.
    pub(crate) async fn close(self) {
        let Writing { store, log, commands, sandbox, carriers } = self;
        drop((log, commands, sandbox));
        for carrier in carriers {
            carrier.abort();
            // Cancelled is what it is meant to be.
            let _ = carrier.await;
        }
        // What was in hand still holds the store for a moment.
        for _ in 0..CLOSE_TRIES {
            if Arc::strong_count(&store) == 1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// Long streams are loaded from snapshots, which lie beside the embedded log.
fn with_snapshots(ledger: Ledger, path: &Path) -> Ledger {
    match SnapshotFile::open(path) {
        Ok(snapshots) => ledger.with_snapshots(Arc::new(snapshots), SNAPSHOT_EVERY),
        Err(error) => {
            warn!(%error, "there are no snapshots: long streams are read from their beginning");
            ledger
        }
    }
}

/// Process managers that run.
pub(crate) struct RunningManagers {
    pub(crate) progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningManagers {
    /// Finishes what is in hand and keeps the place.
    pub(crate) async fn stop(self) {
        // Nobody listens only if it has ended already.
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

fn sandbox_path(config: &Config) -> PathBuf {
    store_path(config).join(SANDBOX)
}

/// The read models' database, if one is configured.
pub(crate) fn read_models(config: &Config) -> anyhow::Result<Option<Arc<ReadModels>>> {
    let Some(url) = &config.database_url else { return Ok(None) };
    Ok(Some(Arc::new(ReadModels::new(url.reveal(), Settings::default())?)))
}

/// The read models' database, for what cannot do without.
pub(crate) fn needed_read_models(config: &Config) -> anyhow::Result<Arc<ReadModels>> {
    match read_models(config)? {
        Some(database) => Ok(database),
        None => wrong_usage!("no database is configured: set CHARGELEDGER_DATABASE_URL"),
    }
}

/// Starts every projection.
pub(crate) fn start_projections(
    config: &Config,
    log: Arc<dyn EventStore>,
    database: &Arc<ReadModels>,
    observer: Option<Arc<dyn Observer>>,
) -> Runner {
    let store: Arc<dyn ReadStore> = database.clone();
    let first_build_events_max = if config.auto_rebuild { FIRST_BUILD_EVENTS_MAX } else { u64::MAX };
    let options = Options { stuck_after: config.projection_stuck_after.0, first_build_events_max, observer, ..Options::default() };
    Runner::start(log, &store, projections::all(), options)
}

/// Rebuilds what is missing or outdated, for as long as it is kept.
pub(crate) fn keep_built(config: &Config, log: Arc<dyn EventStore>, database: &Arc<ReadModels>) -> JoinSet<()> {
    let mut keeping = JoinSet::new();
    if config.auto_rebuild {
        let finish = if config.swap_approval { rebuild::Finish::Approve } else { rebuild::Finish::Swap };
        let (store, options) = (database.clone(), rebuild::Options { finish, ..rebuild::Options::default() });
        keeping.spawn(rebuild::keep_built(log, store, projections::all(), options, FIRST_BUILD_EVENTS_MAX));
    }
    keeping
}

/// Somebody at this machine's command line.
pub(crate) fn staff(commands: &Commands, operator_id: OperatorId) -> (Caller, RequestIds) {
    let at = commands.ledger.clock().now();
    let ids = RequestIds::new(commands.ledger.ids().uuid());
    (Caller { operator_id, actor: Actor::new(ActorKind::Staff, "command line"), at }, ids)
}
