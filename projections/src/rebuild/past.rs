//! What the log was at a time, and how many events of which type it has: read by itself, so that it can prove what a fold has counted.

use std::collections::BTreeMap;

use domain::log::{EventStore, Filter, Position, StoreError};
use domain::time::Timestamp;

use crate::context::Context;

const PAGE: usize = 8_192;

/// Counts the events after one position up to another, by type.
///
/// # Errors
/// When the log cannot be read.
pub async fn census(log: &dyn EventStore, after: Position, until: Position) -> Result<BTreeMap<String, u64>, StoreError> {
    let counts = log.count_types(after, until).await?;
    Ok(counts.into_iter().map(|(name, count)| (name.as_str().to_owned(), count)).collect())
}

/// The last position that had been recorded at a time: what was known then.
///
/// # Errors
/// When the log cannot be read.
pub async fn position_at(log: &dyn EventStore, time: Timestamp) -> Result<Position, StoreError> {
    // Recording times never run backwards along the log, so that halving finds the place, also among positions with gaps.
    let (mut known, mut beyond) = (Position(0), log.head().await?.position);
    while known < beyond {
        let middle = Position(known.0 + (beyond.0 - known.0) / 2);
        let page = log.read_all(middle, &Filter::All, 1).await?;
        match page.events.first() {
            Some(event) if event.metadata.recorded_at <= time => known = event.position,
            Some(_) | None => beyond = middle,
        }
    }
    Ok(known)
}

/// The little that folds need beside their event, from the whole log up to a position.
pub(super) async fn context_to(log: &dyn EventStore, until: Position) -> Result<Context, StoreError> {
    let wanted = Filter::types(Context::HANDLES.iter().copied());
    let (mut context, mut after) = (Context::default(), Position(0));
    while after < until {
        let page = log.read_all(after, &wanted, PAGE).await?;
        if page.scanned_to <= after {
            break;
        }
        after = page.scanned_to;
        for recorded in page.events.into_iter().filter_map(|stored| stored.decode().ok()) {
            context.apply(&recorded);
        }
    }
    Ok(context)
}
