//! The process managers of a process that serves. On the embedded engine it is the only one that writes, and they simply run. On a server that several processes
//! share, one of them runs the managers, by an advisory lock in the read models' database; the others stand by, and one takes over when it is gone.
//!
//! For a moment two may run them, when a connection to the database is lost and the work in hand is finished: every step has an id that makes its repetition
//! harmless, so the lock saves work and is not what keeps the books right.

use std::sync::Arc;
use std::time::Duration;

use commands::Commands;
use commands::process::runner::Managers;
use projections::port::{Leadership, ReadStore as _};
use read_models::ReadModels;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::compose::{RunningManagers, Writing};
use crate::config::{Config, EventStoreUrl};

/// What is led.
const NAME: &str = "process managers";
/// How often a process that stands by asks, and one that leads looks whether it still does.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the process managers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Works {
    /// Nobody has asked yet.
    Starting,
    Here,
    Elsewhere,
    /// The database does not say.
    Unknown,
    /// Here, but they do not start; it is tried again.
    Failing,
}

/// The process managers of this process, running or standing by.
pub(crate) struct Managing {
    works: watch::Receiver<Works>,
    running: Running,
}

enum Running {
    Alone(RunningManagers),
    Shared { stop: watch::Sender<bool>, task: JoinHandle<()> },
}

impl Managing {
    pub(crate) async fn start(config: &Config, writing: &Writing, database: Option<&Arc<ReadModels>>) -> anyhow::Result<Managing> {
        let database = match (&config.event_store, database) {
            (EventStoreUrl::Embedded(_), _) => return Managing::alone(writing).await,
            (EventStoreUrl::Server(_), None) => {
                warn!("without a database nobody can tell who runs the process managers: let one process alone have the role processes");
                return Managing::alone(writing).await;
            }
            (EventStoreUrl::Server(_), Some(database)) => database,
        };
        let (stop, stopped) = watch::channel(false);
        let (shown, works) = watch::channel(Works::Starting);
        let task = tokio::spawn(share(writing.commands.clone(), database.leadership(), stopped, shown));
        Ok(Managing { works, running: Running::Shared { stop, task } })
    }

    async fn alone(writing: &Writing) -> anyhow::Result<Managing> {
        let running = Running::Alone(writing.start_managers(true).await?);
        Ok(Managing { works: watch::channel(Works::Here).1, running })
    }

    /// For those who ask where they run.
    pub(crate) fn watched(&self) -> watch::Receiver<Works> {
        self.works.clone()
    }

    /// Finishes what is in hand, keeps the place, and lets another process take over.
    pub(crate) async fn stop(self) {
        match self.running {
            Running::Alone(managers) => managers.stop().await,
            Running::Shared { stop, task } => {
                // Nobody listens only if it has ended already.
                let _ = stop.send(true);
                let _ = task.await;
            }
        }
    }
}

async fn share(
    commands: Arc<Commands>,
    mut leadership: Box<dyn Leadership>,
    mut stopped: watch::Receiver<bool>,
    shown: watch::Sender<Works>,
) {
    let mut stands_by = false;
    loop {
        let works = looks(&mut *leadership).await;
        if works == Works::Here {
            stands_by = false;
            info!("this process runs the process managers");
            let ran = run(&commands, &mut *leadership, stopped.clone(), &shown).await;
            if *stopped.borrow() {
                return;
            }
            match ran {
                Ok(()) => {
                    shown.send_replace(Works::Unknown);
                    warn!("the process managers stop here: another process may run them");
                }
                Err(error) => {
                    shown.send_replace(Works::Failing);
                    warn!(%error, "the process managers cannot start; it is tried again");
                }
            }
        } else {
            shown.send_replace(works);
        }
        if works == Works::Elsewhere && !std::mem::replace(&mut stands_by, true) {
            info!("another process runs the process managers; this one stands by");
        }
        tokio::select! {
            () = told(&mut stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn looks(leadership: &mut dyn Leadership) -> Works {
    match leadership.lead(&[(NAME, 1)]).await {
        Ok(led) if led.contains(NAME) => Works::Here,
        Ok(_) => Works::Elsewhere,
        Err(error) => {
            warn!(%error, "who runs the process managers cannot be found out");
            Works::Unknown
        }
    }
}

/// Returns when the process is told to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever tells being gone is being told, too.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Runs them for as long as this process leads and is not told to stop.
async fn run(
    commands: &Arc<Commands>,
    leadership: &mut dyn Leadership,
    mut stopped: watch::Receiver<bool>,
    shown: &watch::Sender<Works>,
) -> anyhow::Result<()> {
    let managers = Managers::resume(commands.clone(), true).await?;
    shown.send_replace(Works::Here);
    let (stop, is_told) = watch::channel(false);
    let mut running = tokio::spawn(managers.run(is_told));
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            _ = &mut running => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => if looks(leadership).await != Works::Here { break },
        }
    }
    // It has ended already if nobody listens.
    let _ = stop.send(true);
    let _ = running.await;
    Ok(())
}
