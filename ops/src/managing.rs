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

/// The process managers of this process, running or standing by.
pub(crate) enum Managing {
    Alone(RunningManagers),
    Shared { stop: watch::Sender<bool>, task: JoinHandle<()> },
}

impl Managing {
    pub(crate) async fn start(config: &Config, writing: &Writing, database: Option<&Arc<ReadModels>>) -> anyhow::Result<Managing> {
        let database = match (&config.event_store, database) {
            (EventStoreUrl::Embedded(_), _) => return Ok(Managing::Alone(writing.start_managers(true).await?)),
            (EventStoreUrl::Server(_), None) => {
                warn!("without a database nobody can tell who runs the process managers: let one process alone have the role processes");
                return Ok(Managing::Alone(writing.start_managers(true).await?));
            }
            (EventStoreUrl::Server(_), Some(database)) => database,
        };
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(share(writing.commands.clone(), database.leadership(), stopped));
        Ok(Managing::Shared { stop, task })
    }

    /// Finishes what is in hand, keeps the place, and lets another process take over.
    pub(crate) async fn stop(self) {
        match self {
            Managing::Alone(managers) => managers.stop().await,
            Managing::Shared { stop, task } => {
                // Nobody listens only if it has ended already.
                let _ = stop.send(true);
                let _ = task.await;
            }
        }
    }
}

async fn share(commands: Arc<Commands>, mut leadership: Box<dyn Leadership>, mut stopped: watch::Receiver<bool>) {
    let mut stands_by = false;
    loop {
        if leads(&mut *leadership).await {
            stands_by = false;
            info!("this process runs the process managers");
            let ran = run(&commands, &mut *leadership, stopped.clone()).await;
            if *stopped.borrow() {
                return;
            }
            match ran {
                Ok(()) => warn!("the process managers stop here: another process may run them"),
                Err(error) => warn!(%error, "the process managers cannot start; it is tried again"),
            }
        } else if !std::mem::replace(&mut stands_by, true) {
            info!("another process runs the process managers; this one stands by");
        }
        tokio::select! {
            () = told(&mut stopped) => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn leads(leadership: &mut dyn Leadership) -> bool {
    match leadership.lead(&[(NAME, 1)]).await {
        Ok(led) => led.contains(NAME),
        Err(error) => {
            warn!(%error, "who runs the process managers cannot be found out");
            false
        }
    }
}

/// Returns when the process is told to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // Whoever tells being gone is being told, too.
    drop(stopped.wait_for(|stop| *stop).await);
}

/// Runs them for as long as this process leads and is not told to stop.
async fn run(commands: &Arc<Commands>, leadership: &mut dyn Leadership, mut stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
    let managers = Managers::resume(commands.clone(), true).await?;
    let (stop, is_told) = watch::channel(false);
    let mut running = tokio::spawn(managers.run(is_told));
    loop {
        tokio::select! {
            () = told(&mut stopped) => break,
            _ = &mut running => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => if !leads(leadership).await { break },
        }
    }
    // It has ended already if nobody listens.
    let _ = stop.send(true);
    let _ = running.await;
    Ok(())
}
