//! What an import listens to: the log tells each session's story, and whoever plays the session waits for its next turn.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use domain::event::Event;
use domain::ids::PaymentId;
use domain::log::{EventStore, Filter, Position};
use domain::payment::PaymentEvent;
use domain::session::SessionEvent;
use domain::wallet::WalletEvent;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::driver::LOOK_AGAIN;

/// What is waited for in a session's story.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Signal {
    /// The channel waits for the payer.
    Prepared(PaymentId),
    /// The wallet has the money.
    ToppedUp,
    /// The device has been told to begin.
    Starting,
    /// It will not begin.
    NotStarted,
    /// The connector has been given back.
    ConnectorFree,
    /// What was there has been applied to the bill.
    Settled,
    /// What was left has been paid.
    RestPaid,
}

/// Who waits for what, by correlation id.
#[derive(Default)]
pub(super) struct Stories(Mutex<HashMap<Uuid, mpsc::UnboundedSender<Signal>>>);

impl Stories {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, mpsc::UnboundedSender<Signal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, correlation_id: Uuid, signal: Signal) {
        if let Some(story) = self.lock().get(&correlation_id) {
            // Whoever has stopped listening has what it wanted.
            let _ = story.send(signal);
        }
    }
}

/// One session's story, as far as it has been heard.
pub(super) struct Story {
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    pub(super) heard: HashSet<Signal>,
    /// It began with this import: everything that happens in it is heard.
    pub(super) is_fresh: bool,
    stories: Arc<Stories>,
    keys: [Uuid; 2],
}

impl Story {
    /// Listens to what happens under these correlation ids.
    pub(super) fn begin(stories: &Arc<Stories>, keys: [Uuid; 2], is_fresh: bool) -> Story {
        let (sender, signals) = mpsc::unbounded_channel();
        for key in keys {
            stories.lock().insert(key, sender.clone());
        }
        Story { signals, heard: HashSet::new(), is_fresh, stories: Arc::clone(stories), keys }
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let mut stories = self.stories.lock();
        for key in &self.keys {
            stories.remove(key);
        }
    }
}

/// Reads what happens and tells the stories that wait for it.
pub(super) async fn listen(store: Arc<dyn EventStore>, after: Position, stories: Arc<Stories>) {
    let types = [
        "payment.prepared",
        "wallet.topped_up",
        "session.starting",
        "session.refused",
        "session.start_timed_out",
        "connector.released",
        "session.settled",
        "session.receivable_paid",
    ];
    let mut pages = store.subscribe_all(after, Filter::types(types), 1_024);
    while let Some(page) = pages.next().await {
        let Ok(page) = page else {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        };
        for stored in page.events {
            let Ok(recorded) = stored.decode() else { continue };
            let signal = match &recorded.event {
                Event::Payment(PaymentEvent::Prepared { payment_id, .. }) => Signal::Prepared(*payment_id),
                Event::Wallet(WalletEvent::ToppedUp { .. }) => Signal::ToppedUp,
                Event::Session(SessionEvent::Starting { .. }) => Signal::Starting,
                Event::Session(SessionEvent::Refused { .. } | SessionEvent::StartTimedOut { .. }) => Signal::NotStarted,
                Event::Session(SessionEvent::Settled { .. }) => Signal::Settled,
                Event::Session(SessionEvent::ReceivablePaid { .. }) => Signal::RestPaid,
                _ => Signal::ConnectorFree,
            };
            stories.tell(recorded.metadata.correlation_id, signal);
        }
    }
}
