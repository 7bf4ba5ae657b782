//! A payment channel without real money.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use commands::Commands;
use commands::port::{ChannelError, ChannelReport, PayOrder, PaymentChannel, RefundOrder};
use domain::payment::Channel;
use domain::time::Timestamp;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::behaviour::Behaviour;
use crate::books::{Books, NAME, Statement};

/// Reports under way at once.
const REPORTERS: usize = 64;
/// Reports waiting to be taken; beyond that, whoever causes more waits.
const QUEUE: usize = 4_096;
/// Between two repetitions of a report that was not taken.
const REPEAT_MS_MIN: u64 = 250;
const REPEAT_MS_MAX: u64 = 8_000;
/// A payer takes this long, and a refund too: so that what happened in the past keeps its business date.
const PAYER_SECONDS: i64 = 5;

/// A payment channel without real money: takes orders, plays the payer, pays back, reports, and keeps books of its own.
#[derive(Debug)]
pub struct SandboxChannel {
    books: Books,
    behaviour: Behaviour,
    pays_at_once: bool,
    reports: mpsc::Sender<ChannelReport>,
}

/// The reports of a sandbox, to be taken by [`deliver`].
#[derive(Debug)]
pub struct Reports(mpsc::Receiver<ChannelReport>);

impl Reports {
    /// The next report that is there already.
    pub fn next_now(&mut self) -> Option<ChannelReport> {
        self.0.try_recv().ok()
    }
}

impl SandboxChannel {
    /// Opens the sandbox with its books in a file. With `pays_at_once`, every payer pays as soon as they are asked.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(path: &Path, behaviour: Behaviour, pays_at_once: bool) -> Result<(Arc<SandboxChannel>, Reports), OpenError> {
        Ok(SandboxChannel::new(Books::open(path)?, behaviour, pays_at_once))
    }

    /// A sandbox that forgets everything in the end, for tests.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn in_memory(behaviour: Behaviour, pays_at_once: bool) -> Result<(Arc<SandboxChannel>, Reports), OpenError> {
        Ok(SandboxChannel::new(Books::in_memory()?, behaviour, pays_at_once))
    }

    fn new(books: Books, behaviour: Behaviour, pays_at_once: bool) -> (Arc<SandboxChannel>, Reports) {
        let (reports, receiver) = mpsc::channel(QUEUE);
        (Arc::new(SandboxChannel { books, behaviour, pays_at_once, reports }), Reports(receiver))
    }

    /// Plays the payer.
    ///
    /// # Errors
    /// When there is no such order that can be paid.
    pub async fn pay(&self, payment_no: &str, at: Timestamp) -> Result<(), ChannelError> {
        match self.books.pay(payment_no, at)? {
            Some(report @ ChannelReport::Paid { .. }) => {
                self.send(report).await;
                Ok(())
            }
            Some(_) | None => Err(crate::books::refused("there is no such open order")),
        }
    }

    /// Plays the payer's bank, which says no.
    ///
    /// # Errors
    /// When there is no such open order.
    pub async fn fail(&self, payment_no: &str, at: Timestamp, reason: &str) -> Result<(), ChannelError> {
        match self.books.fail(payment_no, at, reason)? {
            Some(report @ ChannelReport::PaymentFailed { .. }) => {
                self.send(report).await;
                Ok(())
            }
            Some(_) | None => Err(crate::books::refused("there is no such open order")),
        }
    }

    /// What the sandbox says it has taken in and given back: to be compared with the journal's 1012.sandbox.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn statement(&self) -> Result<Statement, ChannelError> {
        self.books.statement()
    }

    /// Why a refund was asked for, as the payer is told; none for an unknown one, and for those from before reasons were kept.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn refund_reason(&self, refund_no: &str) -> Result<Option<String>, ChannelError> {
        self.books.refund_reason(refund_no)
    }

    /// The reports that nobody has taken yet.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn untaken(&self) -> Result<Vec<ChannelReport>, ChannelError> {
        self.books.untaken()
    }

    async fn send(&self, report: ChannelReport) {
        let delivery = self.behaviour.delivery();
        for time in 0..delivery.times {
            if delivery.delay.is_zero() {
                if self.reports.send(report.clone()).await.is_err() {
                    return;
                }
                continue;
            }
            let (reports, report) = (self.reports.clone(), report.clone());
            let delay = delivery.delay * (u32::from(time) * 3 + 1);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                // Nobody listens any more: the report is kept, and sent again at the next start.
                let _ = reports.send(report).await;
            });
        }
    }
}

/// Hands the sandbox's reports to the ledger until the sandbox is gone; those that were not taken before the last stop come first.
pub async fn deliver(channel: Arc<SandboxChannel>, reports: Reports, commands: Arc<Commands>) {
    match channel.books.untaken() {
        Ok(untaken) => {
            if !untaken.is_empty() {
                info!(reports.count = untaken.len(), "the sandbox repeats what was not taken");
            }
            for report in untaken {
                take(&channel, &commands, report).await;
            }
        }
        Err(error) => warn!(%error, "the sandbox's books cannot be read"),
    }
    let Reports(mut receiver) = reports;
    let permits = Arc::new(tokio::sync::Semaphore::new(REPORTERS));
    while let Some(report) = receiver.recv().await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let (channel, commands) = (Arc::clone(&channel), Arc::clone(&commands));
        tokio::spawn(async move {
            take(&channel, &commands, report).await;
            drop(permit);
        });
    }
}

/// Real channels repeat a report that is not taken, at growing distances, and so does this one. What is not taken in the end comes again at the next start; until then the
/// ledger asks.
async fn take(channel: &SandboxChannel, commands: &Commands, report: ChannelReport) {
    let mut wait_ms = REPEAT_MS_MIN;
    loop {
        let error = match commands.channel_report(report.clone()).await {
            Ok(_) => match channel.books.taken(report) {
                Ok(()) => return,
                Err(error) => return warn!(%error, "the sandbox's books cannot be written"),
            },
            Err(error) => error,
        };
        if !error.is_retryable() || wait_ms > REPEAT_MS_MAX {
            return warn!(%error, "a report of the sandbox was not taken; it comes again at the next start");
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        wait_ms *= 2;
    }
}

#[async_trait]
impl PaymentChannel for SandboxChannel {
    fn channel(&self) -> Channel {
        Channel::Sandbox
    }

    async fn prepare(&self, order: PayOrder) -> Result<String, ChannelError> {
        self.books.order(&order)?;
        // Whoever made a payer up says when it pays.
        if self.pays_at_once && !order.is_made_up {
            let paid_at = order.ordered_at.plus_seconds(PAYER_SECONDS);
            if let Some(report @ ChannelReport::Paid { .. }) = self.books.pay(&order.payment_no, paid_at)? {
                self.send(report).await;
            }
        }
        self.answer(format!("{NAME}:{}", order.payment_no))
    }

    async fn close(&self, payment_no: &str, at: Timestamp) -> Result<(), ChannelError> {
        self.books.close(payment_no, at)?;
        self.answer(())
    }

    async fn refund(&self, order: RefundOrder) -> Result<(), ChannelError> {
        let report = self.books.refund(&order, order.ordered_at.plus_seconds(PAYER_SECONDS))?;
        self.send(report).await;
        self.answer(())
    }

    async fn query(&self, payment_no: &str) -> Result<Option<ChannelReport>, ChannelError> {
        self.books.payment(payment_no)
    }

    async fn query_refund(&self, refund_no: &str) -> Result<Option<ChannelReport>, ChannelError> {
        self.books.refund_report(refund_no)
    }
}

impl SandboxChannel {
    fn answer<T>(&self, answer: T) -> Result<T, ChannelError> {
        if self.behaviour.loses_answer() {
            return Err(ChannelError::Unknown { channel: NAME, reason: "the answer was lost, as it sometimes is".to_owned() });
        }
        Ok(answer)
    }
}

/// The sandbox's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox's books cannot be opened")]
pub struct OpenError(#[from] rusqlite::Error);
