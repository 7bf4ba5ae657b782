//! What the log was at a time, and how many events of which type it has: read by itself, so that it can prove what a fold has counted.

use std::collections::BTreeMap;

use domain::log::{EventStore, Filter, Position, StoreError};
use domain::time::Timestamp;

use crate::context::Context;

const PAGE: usize = 8_192;

/// How many events of each type the log has, counted by itself: what a fold has counted is held against it. What was counted once is not counted again.
#[derive(Debug, Default)]
pub(super) struct Census(tokio::sync::Mutex<BTreeMap<Position, BTreeMap<String, u64>>>);

impl Census {
    /// Counts the events up to a position, by type.
    pub(super) async fn until(&self, log: &dyn EventStore, until: Position) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut known = self.0.lock().await;
        let nearest = known.range(..=until).next_back();
        let (after, mut counts) = nearest.map_or_else(|| (Position(0), BTreeMap::new()), |(at, counts)| (*at, counts.clone()));
        for (name, count) in log.count_types(after, until).await? {
            *counts.entry(name.as_str().to_owned()).or_default() += count;
        }
        known.insert(until, counts.clone());
        Ok(counts)
    }
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
