//! Rebuilds what nobody has asked for and everybody expects: the read models of a database that was lost, and those whose fold is another one than the fold that
//! filled the build that serves.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::log::EventStore;
use tokio::time::Instant;
use tracing::{info, warn};

use super::RebuildError;
use super::job::{Options, Rebuilder};
use super::port::BuildStore;
use crate::fold::{Definition, Projection};
use crate::port::{Build, BuildState, ReadStoreError};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What could not be rebuilt is left alone for a while: most often, people have to do something first.
const LEAVE_ALONE: Duration = Duration::from_secs(300);

/// Looks after the builds for as long as it is polled. A projection without any build is rebuilt where the log has more than `first_build_events_max` events; with
/// fewer, its projector fills it by itself. What somebody went back to is left as it is.
pub async fn keep_built(
    log: Arc<dyn EventStore>,
    store: Arc<dyn BuildStore>,
    projections: Vec<Arc<dyn Projection>>,
    options: Options,
    first_build_events_max: u64,
) {
    let rebuilder = Rebuilder::new(log.clone(), store.clone(), options, Arc::new(|_| {}));
    let mut left_alone: HashMap<&'static str, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let builds = match store.builds().await {
            Ok(builds) => builds,
            Err(ReadStoreError::Missing { .. }) => Vec::new(),
            // The projectors say what is the matter.
            Err(_) => continue,
        };
        let Ok(head) = log.head().await else { continue };
        let is_long = head.events > first_build_events_max;
        left_alone.retain(|_, since| since.elapsed() < LEAVE_ALONE);
        let wanted: Vec<Arc<dyn Projection>> = projections
            .iter()
            .filter(|projection| {
                let definition = projection.definition();
                !left_alone.contains_key(definition.name) && is_wanted(&definition, &builds, is_long)
            })
            .cloned()
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let names: Vec<&'static str> = wanted.iter().map(|projection| projection.definition().name).collect();
        info!(projections = names.join(" "), "rebuilt by itself");
        match rebuilder.rebuild(wanted, "by itself").await {
            Ok(results) => {
                for error in results.into_iter().filter_map(Result::err) {
                    match &error {
                        // Another process does it, or people did not want it.
                        RebuildError::Busy { name } | RebuildError::Cancelled { name } | RebuildError::Halted { name, .. } => {
                            leave(&mut left_alone, &names, name);
                        }
                        other => warn!(error = %other, "a rebuild failed"),
                    }
                }
            }
            Err(error) => warn!(%error, "the log cannot be read for a rebuild"),
        }
        // Whatever else is the matter, it is not tried without a pause.
        for name in names {
            left_alone.entry(name).or_insert_with(Instant::now);
        }
    }
}

fn leave(left_alone: &mut HashMap<&'static str, Instant>, names: &[&'static str], name: &str) {
    if let Some(name) = names.iter().find(|known| **known == name) {
        left_alone.insert(name, Instant::now());
    }
}

/// Whether a projection's view is to be rebuilt by itself.
fn is_wanted(definition: &Definition, builds: &[Build], is_long: bool) -> bool {
    let mut own = builds.iter().filter(|build| build.name == definition.name);
    match own.clone().find(|build| build.state == BuildState::Serving) {
        Some(serving) => serving.version != definition.version && !serving.pinned,
        // A first build that was interrupted is gone on with, however short the log is.
        None => is_long || own.any(|build| build.state == BuildState::Filling),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::keyed;
    use crate::port::Counted;
    use crate::sessions::Sessions;
    use domain::log::Position;

    fn build(number: i64, version: u32, state: BuildState) -> Build {
        let (name, projection) = ("sessions".to_owned(), "sessions".to_owned());
        let (position, counted) = (Position(3), Counted::default());
        Build { name, projection, number, version, state, position, last_event: None, counted, halt: None, pinned: false }
    }

    fn wanted(builds: &[Build], is_long: bool) -> bool {
        is_wanted(&keyed::<Sessions>().definition(), builds, is_long)
    }

    const NOW: u32 = <Sessions as crate::fold::Keyed>::VERSION;

    #[test]
    fn a_view_whose_fold_has_changed_is_rebuilt_unless_somebody_went_back_to_it() {
        assert!(!wanted(&[build(1, NOW, BuildState::Serving)], true));
        assert!(wanted(&[build(1, NOW - 1, BuildState::Serving)], false));
        assert!(!wanted(&[Build { pinned: true, ..build(1, NOW - 1, BuildState::Serving) }], true));
    }

    #[test]
    fn a_view_that_is_not_there_is_rebuilt_when_following_would_take_long() {
        assert!(wanted(&[], true) && !wanted(&[], false));
        assert!(wanted(&[build(1, NOW, BuildState::Filling)], false), "interrupted");
    }
}
