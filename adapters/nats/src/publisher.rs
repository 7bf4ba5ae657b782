//! The publisher as a role: it leads or stands by, waits for NATS while that is away, finds its place again whenever something was not as expected, and stops when
//! another publisher writes.

use std::sync::Arc;
use std::time::Duration;

use domain::log::{EventStore, Position};
use projections::port::Leadership;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::connect::Nats;
use crate::error::FeedError;
use crate::place;
use crate::progress::{self, Progress, State, Status};
use crate::publish::{Ended, Pump, Window, told};
use crate::stream::{FeedStream, StreamSettings};
use crate::wire::Purpose;

/// Pauses between attempts, each twice as long as the one before. After a few, one attempt in a while is all that a NATS in trouble gets to see of this process.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often leadership is asked for.
const LEAD_EVERY: Duration = Duration::from_secs(1);
/// A database that has not answered by then is away.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A process whose connection to the database is lost knows so by then.
const LOST_AFTER: Duration = Duration::from_secs(8);
/// The name under which one publisher leads, and the version of that agreement.
const LEADS: (&str, u32) = ("feed of all events", 1);

/// A publisher that runs.
pub struct Publisher {
    log: Arc<dyn EventStore>,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    publishing: JoinHandle<Result<(), FeedError>>,
}

impl Publisher {
    /// Starts publishing, once NATS is there and nobody else does. With `leadership`, one process of all publishes; without it, and in any case, the stream refuses the
    /// second.
    #[must_use]
    pub fn start(
        nats: Nats,
        settings: StreamSettings,
        log: Arc<dyn EventStore>,
        leadership: Option<Box<dyn Leadership>>,
        window: Window,
    ) -> Publisher {
        let (sender, progress) = watch::channel(Progress::default());
        let (stop, stopped) = watch::channel(false);
        let (lead, leads) = watch::channel(leadership.is_none());
        let mut tasks = Vec::new();
        let is_led = leadership.is_some();
        if let Some(leadership) = leadership {
            tasks.push(tokio::spawn(claim(leadership, lead)));
        }
        tasks.push(tokio::spawn(measure(log.clone(), progress.clone())));
        let publishing = Publishing {
            nats,
            settings,
            log: log.clone(),
            run: Uuid::now_v7(),
            window,
            progress: sender,
            stop: stopped,
            leads,
            is_led,
            mine: None,
        };
        Publisher { log, progress, stop, tasks, publishing: tokio::spawn(publishing.run()) }
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// How it is, as people see it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn status(&self) -> Result<Status, FeedError> {
        let progress = self.progress.borrow().clone();
        Ok(progress::status(&*self.log, &progress).await?)
    }

    /// Returns when it cannot go on by itself.
    ///
    /// # Errors
    /// Why.
    pub async fn ended(&mut self) -> Result<(), FeedError> {
        match (&mut self.publishing).await {
            Ok(ended) => ended,
            Err(_) => Err(FeedError::Unavailable { reason: "the publisher has panicked".to_owned() }),
        }
    }

    /// Lets what is under way be acknowledged, and ends.
    pub async fn stop(self) {
        // Without a receiver there is nothing to stop.
        let _ = self.stop.send(true);
        let _ = self.publishing.await;
        for task in self.tasks {
            task.abort();
            let _ = task.await;
        }
    }
}

struct Publishing {
    nats: Nats,
    settings: StreamSettings,
    log: Arc<dyn EventStore>,
    run: Uuid,
    window: Window,
    progress: watch::Sender<Progress>,
    stop: watch::Receiver<bool>,
    leads: watch::Receiver<bool>,
    is_led: bool,
    /// The last sequence that this run has written, or found when it began.
    mine: Option<u64>,
}

impl Publishing {
    async fn run(mut self) -> Result<(), FeedError> {
        let mut backoff = BACKOFF_MIN;
        let mut stalled = false;
        loop {
            if !self.may_publish().await {
                return Ok(());
            }
            let before = self.progress.borrow().published;
            let ended = self.stretch(stalled).await;
            let advanced = self.progress.borrow().published > before;
            stalled = !advanced;
            if advanced {
                backoff = BACKOFF_MIN;
            }
            match ended {
                Ok(Ended::Finished) => return Ok(()),
                Ok(Ended::Displaced) => self.progress.send_modify(|progress| progress.displaced += 1),
                Err(FeedError::Overtaken { by, sequence }) if self.is_led && !self.still_leads().await => {
                    info!(by = ?by, sequence, "another process publishes; this one stands by");
                }
                Err(error) if error.is_retryable() => self.waits(&error),
                Err(error) => {
                    error!(%error, "the publisher has stopped");
                    self.progress.send_modify(|progress| (progress.state, progress.error) = (State::Stopped, Some(error.to_string())));
                    return Err(error);
                }
            }
            tokio::select! {
                () = sleep(backoff.mul_f64(rand::random_range(0.75..1.0))) => {}
                () = told(&mut self.stop) => return Ok(()),
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// From finding the place to whatever goes wrong.
    async fn stretch(&mut self, stalled: bool) -> Result<Ended, FeedError> {
        let stream = FeedStream::open(&self.nats, &self.settings).await?;
        let place = place::find(&stream, &*self.log, self.run, self.mine).await?;
        let known = self.progress.borrow().clone();
        let counted = self.count(&known, place.position).await?;
        self.mine = Some(place.sequence);
        self.progress.send_modify(|progress| progress.placed(place.sequence, place.position, counted));
        info!(sequence = place.sequence, position = %place.position, "publishing");
        let pump = Pump {
            log: &self.log,
            stream: &stream,
            run: self.run,
            purpose: Purpose::Publish,
            window: self.window,
            until: None,
            progress: &self.progress,
            stop: self.stop.clone(),
            leads: self.leads.clone(),
        };
        let (place, remembered) = if stalled { pump.carefully(place).await? } else { (place, Position(0)) };
        let ended = pump.run(place, remembered).await;
        self.mine = Some(self.progress.borrow().sequence.max(place.sequence));
        ended
    }

    /// How many of the log's events there are up to a position.
    async fn count(&self, known: &Progress, position: Position) -> Result<u64, FeedError> {
        if position.0 == 0 {
            return Ok(0);
        }
        if self.mine.is_some() && position >= known.position {
            let more: u64 = self.log.count_types(known.position, position).await?.values().sum();
            return Ok(known.counted + more);
        }
        let head = self.log.head().await?;
        let after: u64 = self.log.count_types(position, head.position).await?.values().sum();
        Ok(head.events.saturating_sub(after))
    }

    /// Waits until this process leads; false when it is to stop.
    async fn may_publish(&mut self) -> bool {
        if *self.stop.borrow() {
            return false;
        }
        if *self.leads.borrow() {
            return true;
        }
        self.progress.send_modify(|progress| (progress.state, progress.error) = (State::Standby, None));
        tokio::select! {
            leads = self.leads.wait_for(|leads| *leads) => leads.is_ok(),
            () = told(&mut self.stop) => false,
        }
    }

    /// Whether this process leads even after it had the time to find out that it does not.
    async fn still_leads(&mut self) -> bool {
        let lost = timeout(LOST_AFTER, self.leads.wait_for(|leads| !*leads)).await;
        lost.is_err()
    }

    fn waits(&self, error: &FeedError) {
        let message = error.to_string();
        let is_news = self.progress.borrow().error.as_ref() != Some(&message);
        if is_news {
            warn!(error = message, "the feed waits");
        }
        self.progress.send_modify(|progress| (progress.state, progress.error) = (State::Waiting, Some(message)));
    }
}

/// Asks for leadership, now and then. A database that is away changes nothing: who led goes on, because the stream refuses a second one in any case.
async fn claim(mut leadership: Box<dyn Leadership>, leads: watch::Sender<bool>) {
    loop {
        if let Ok(Ok(led)) = timeout(ANSWER_MAX, leadership.lead(&[LEADS])).await {
            leads.send_if_modified(|leads| std::mem::replace(leads, led.contains(LEADS.0)) != led.contains(LEADS.0));
        }
        sleep(LEAD_EVERY).await;
    }
}

/// Shows how the publisher is, every second.
async fn measure(log: Arc<dyn EventStore>, progress: watch::Receiver<Progress>) {
    loop {
        let now = progress.borrow().clone();
        if let Ok(status) = progress::status(&*log, &now).await {
            progress::measure(&status);
        }
        sleep(LEAD_EVERY).await;
    }
}
