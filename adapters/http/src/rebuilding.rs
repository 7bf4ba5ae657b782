//! The rebuilds that this process runs, in the background: at most one of each name. Dropping it ends them; what they filled stays, and the next one goes on there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use projections::rebuild::port::Job;
use projections::rebuild::{RebuildError, Watcher};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What is known of a rebuild that runs here.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Nothing yet.
    Begun,
    /// How far it is.
    UnderWay(Box<Job>),
    /// How it ended.
    Ended(Box<Result<Job, RebuildError>>),
}

/// The rebuilds that run here, by name.
#[derive(Debug, Default)]
pub struct Rebuilding(Mutex<HashMap<String, AbortHandle>>);

impl Rebuilding {
    /// Whether one of this name runs here.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).is_some_and(|task| !task.is_finished())
    }

    /// Runs one in the background; nothing when one of this name runs already. `work` is given whom to tell how far it is.
    pub(crate) fn start<F>(&self, name: &str, work: impl FnOnce(Watcher) -> F) -> Option<watch::Receiver<News>>
    where
        F: Future<Output = Result<Job, RebuildError>> + Send + 'static,
    {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, task| !task.is_finished());
        if running.contains_key(name) {
            return None;
        }
        let (tell, news) = watch::channel(News::Begun);
        let tell = Arc::new(tell);
        let telling = tell.clone();
        let work = work(Arc::new(move |job: &Job| {
            telling.send_replace(News::UnderWay(Box::new(job.clone())));
        }));
        let task = tokio::spawn(async move {
            let ended = work.await;
            tell.send_replace(News::Ended(Box::new(ended)));
        });
        running.insert(name.to_owned(), task.abort_handle());
        Some(news)
    }
}

impl Drop for Rebuilding {
    fn drop(&mut self) {
        let running = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(AbortHandle::abort);
    }
}

/// The first news that are so, or what there is when the time is over.
pub(crate) async fn news_that(mut news: watch::Receiver<News>, most: Duration, are_so: impl Fn(&News) -> bool) -> News {
    // What is waited for is looked at below, whether it came or not.
    let _ = tokio::time::timeout(most, news.wait_for(|now| are_so(now))).await;
    news.borrow().clone()
}

#[cfg(test)]
mod tests {
    use projections::port::{Build, BuildState, Counted};

    use super::*;

    fn job() -> Job {
        let (name, projection) = ("sessions".to_owned(), "sessions".to_owned());
        let (number, version, state, position) = (2, 1, BuildState::Filling, domain::log::Position(0));
        let (last_event, counted, halt, pinned) = (None, Counted::default(), None, false);
        Job::of(&Build { name, projection, number, version, state, position, last_event, counted, halt, pinned })
    }

    #[tokio::test]
    async fn of_each_name_one_runs_and_another_may_follow_it() {
        let rebuilding = Rebuilding::default();
        let (end, ended) = watch::channel(false);
        let mut waiting = ended.clone();
        let first = rebuilding.start("sessions", |_| async move {
            drop(waiting.wait_for(|end| *end).await);
            Ok(job())
        });
        assert!(first.is_some() && rebuilding.runs("sessions"));
        assert!(rebuilding.start("sessions", |_| async { Ok(job()) }).is_none(), "one runs already");
        assert!(rebuilding.start("bills", |_| async { Ok(job()) }).is_some(), "another name is another rebuild");
        end.send_replace(true);
        let is_over = |news: &News| matches!(news, News::Ended(_));
        assert!(is_over(&news_that(first.unwrap(), Duration::from_secs(5), is_over).await));
        while rebuilding.runs("sessions") {
            tokio::task::yield_now().await;
        }
        assert!(rebuilding.start("sessions", |_| async { Ok(job()) }).is_some());
    }

    #[tokio::test]
    async fn dropping_it_ends_what_runs() {
        let rebuilding = Rebuilding::default();
        let (held, gone) = watch::channel(());
        let started = rebuilding.start("sessions", |_| async move {
            let _held = held;
            std::future::pending().await
        });
        assert!(started.is_some());
        drop(rebuilding);
        let mut gone = gone;
        assert!(tokio::time::timeout(Duration::from_secs(5), gone.changed()).await.unwrap().is_err(), "the task let go of what it held");
    }
}
