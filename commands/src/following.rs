//! A small fold that is kept in memory and follows the log: what has to answer without a database.

use std::sync::Arc;
use std::time::Duration;

use domain::log::{EventStore, Filter, Position, StoreError, StoredEvent};
use futures::StreamExt as _;
use tokio::task::AbortHandle;
use tracing::error;

/// The task that follows the log. It ends when this is dropped, so that nobody holds the store open until the next event.
#[derive(Debug)]
pub struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes in the matching events that are there, and follows the log from then on in a task of its own. `what` names the fold in the log lines.
///
/// # Errors
/// When the log cannot be read.
pub async fn follow<T: Send + Sync + 'static>(
    store: Arc<dyn EventStore>,
    filter: Filter,
    what: &'static str,
    fold: &Arc<T>,
    take: impl Fn(&T, StoredEvent) + Send + 'static,
) -> Result<Following, StoreError> {
    let mut after = Position(0);
    loop {
        let page = store.read_all(after, &filter, 512).await?;
        if page.scanned_to <= after {
            break;
        }
        after = page.scanned_to;
        page.events.into_iter().for_each(|stored| take(fold, stored));
    }
    let fold = Arc::downgrade(fold);
    let task = tokio::spawn(async move {
        let mut pages = store.subscribe_all(after, filter, 64);
        while let Some(page) = pages.next().await {
            let Some(fold) = fold.upgrade() else { return };
            match page {
                Ok(page) => page.events.into_iter().for_each(|stored| take(&fold, stored)),
                Err(error) => {
                    error!(%error, what, "the log is not followed at the moment");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(Following(task.abort_handle()))
}
