//! Part of the log, as a projector folds it at once, and what comes of it.

use std::sync::Arc;

use domain::log::Position;

use crate::feed::{Entry, Page};
use crate::fold::{Folded, Moment, ProjectionError};
use crate::port::{Batch, Counted, Halt};
use crate::quarantine::{Fate, Sorting};

/// Part of the log, as it is folded at once. Pages may overlap, because each reader asks from where it stands: of each, only what comes after the
/// one before it counts.
#[derive(Clone)]
pub(crate) struct Stretch {
    pub(crate) pages: Vec<(Position, Arc<Page>)>,
    pub(crate) after: Position,
    pub(crate) events_max: usize,
}

impl Stretch {
    /// Its events, each once.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Entry, &Page)> {
        let fresh = |(after, page): &'_ (Position, Arc<Page>)| page.entries.partition_point(|entry| entry.position <= *after);
        let all = self.pages.iter().flat_map(move |part| part.1.entries[fresh(part)..].iter().map(|entry| (entry, &*part.1)));
        all.take(self.events_max)
    }

    /// Its events that are to be applied, up to the first that cannot be read.
    pub(crate) fn moments(&self, sorting: &Sorting) -> Vec<Moment<'_>> {
        let handled = self.entries().filter(|(entry, _)| sorting.fate(entry.event_type.as_str(), entry.event_id) == Fate::Handled);
        // What cannot be decoded ends the stretch: `outcome` finds it in its place.
        handled
            .map_while(|(entry, page)| {
                let recorded = entry.recorded.as_ref().ok()?;
                Some(Moment { recorded, event_type: entry.event_type.as_str(), context: &page.context })
            })
            .collect()
    }

    /// How far it reaches.
    pub(crate) fn end(&self) -> Position {
        let cut = self.entries().count() >= self.events_max;
        let last = if cut { self.entries().last().map(|(entry, _)| entry.position) } else { None };
        last.or_else(|| self.pages.last().map(|(_, page)| page.scanned_to)).unwrap_or(self.after)
    }
}

/// An event that could not be applied, quoted.
pub(crate) fn halt_at(entry: &Entry, error: &str) -> Halt {
    Halt {
        position: entry.position,
        event_id: entry.event_id,
        event_type: entry.event_type.as_str().to_owned(),
        stream: entry.stream.as_str().to_owned(),
        error: error.to_owned(),
        event: entry
            .recorded
            .as_ref()
            .map_or(serde_json::Value::Null, |recorded| serde_json::to_value(&recorded.event).unwrap_or_default()),
    }
}

/// What to write, and where it ends: at the end of the stretch, or before the event that could not be applied.
pub(crate) fn outcome(stretch: &Stretch, sorting: &Sorting, folded: Folded) -> (Batch, Option<Halt>) {
    let mut batch =
        Batch { from: stretch.after, to: stretch.after, last_event: None, changes: folded.changes, counted: Counted::default() };
    let applied = folded.applied as u64;
    let mut stopped = folded.stopped;
    for (entry, _) in stretch.entries() {
        match sorting.fate(entry.event_type.as_str(), entry.event_id) {
            Fate::Ignored => batch.counted.ignored += 1,
            Fate::Quarantined => batch.counted.quarantined += 1,
            Fate::Handled if batch.counted.applied < applied => batch.counted.applied += 1,
            Fate::Handled => {
                let error = stopped.take().or_else(|| entry.recorded.as_ref().err().map(|error| ProjectionError::Decode(error.clone())));
                let error = error.map_or_else(|| "the fold ended early".to_owned(), |error| describe(&error));
                return (batch, Some(halt_at(entry, &error)));
            }
        }
        batch.to = entry.position;
        batch.last_event = Some(entry.event_id);
    }
    batch.to = stretch.end();
    (batch, None)
}

/// The error with its causes.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::testing::id;

    fn page(after: u64, to: u64) -> Arc<Page> {
        let entry = |position| Entry {
            position: Position(position),
            event_id: id(u128::from(position)),
            event_type: "key.revoked".into(),
            stream: "key-1".into(),
            recorded_at: domain::time::Timestamp::default(),
            recorded: Err(domain::event::DecodeError::UnknownType { name: String::new(), version: 1 }),
        };
        let entries = (after + 1..=to).map(entry).collect();
        Arc::new(Page { after: Position(after), scanned_to: Position(to), entries, context: Arc::default() })
    }

    #[test]
    fn pages_that_overlap_give_each_event_once() {
        let pages = vec![(Position(2), page(0, 5)), (Position(5), page(3, 9))];
        let mut stretch = Stretch { pages, after: Position(2), events_max: 100 };
        let positions = |stretch: &Stretch| stretch.entries().map(|(entry, _)| entry.position.0).collect::<Vec<_>>();
        assert_eq!((positions(&stretch), stretch.end()), (vec![3, 4, 5, 6, 7, 8, 9], Position(9)));
        stretch.events_max = 4;
        assert_eq!((positions(&stretch), stretch.end()), (vec![3, 4, 5, 6], Position(6)));
    }
}
