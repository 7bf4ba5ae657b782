//! What a rebuild does while the database cannot take what it writes: it waits, visibly, and hears what people want meanwhile.
//!
//! A disk that is full is not like a database that is away: trying again at once would fill whatever room somebody has just made, and take it from the read models that
//! serve. So what was not finished is given back first, and the rebuild pauses: people let it go on, or it does so by itself after a while.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::RebuildError;
use super::board::NOTE_EVERY;
use super::job::Rebuilder;
use super::port::{Job, Room, Wanted};
use crate::port::{Build, ReadStoreError};

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a full disk is left alone, unless people say that there is room.
const ROOM_MIN: Duration = Duration::from_secs(10);
const ROOM_MAX: Duration = Duration::from_secs(300);

/// How long the next wait is.
#[derive(Debug)]
pub(super) struct Patience {
    backoff: Duration,
    room: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { backoff: BACKOFF_MIN, room: ROOM_MIN }
    }
}

impl Patience {
    /// Waits a little, and longer the next time.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.backoff).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    fn for_room(&mut self) -> Duration {
        let wait = self.room;
        self.room = (self.room * 2).min(ROOM_MAX);
        wait
    }
}

impl Rebuilder {
    /// Does something again until the database is there for it. A rebuild that is shown to people says what it waits for, and can be cancelled meanwhile.
    pub(super) async fn patiently<T, F>(&self, mut job: Option<&mut Job>, mut work: impl FnMut() -> F) -> Result<T, RebuildError>
    where
        F: Future<Output = Result<T, ReadStoreError>> + Send,
    {
        let mut patience = Patience::default();
        loop {
            match work().await {
                Err(error) if is_waited_for(&error) => self.wait_out(job.as_deref_mut(), &error, &mut patience).await?,
                done => return Ok(done?),
            }
        }
    }

    /// Waits because of an error that goes away.
    pub(super) async fn wait_out(
        &self,
        job: Option<&mut Job>,
        error: &ReadStoreError,
        patience: &mut Patience,
    ) -> Result<(), RebuildError> {
        let Some(job) = job else {
            warn!(%error, "a rebuild waits");
            patience.wait().await;
            return Ok(());
        };
        if matches!(error, ReadStoreError::Full { .. }) {
            // What it wrote went with its transaction.
            let (said, wait) = self.ask_for_room(&[], error, patience).await;
            (job.error, job.wanted) = (Some(said), Wanted::Pause);
            self.stand_still(std::slice::from_ref(job), wait, true).await?;
        } else {
            warn!(%error, "a rebuild waits");
            job.error = Some(error.to_string());
            self.tell(job);
            patience.wait().await;
        }
        (job.error, job.wanted) = (None, Wanted::Run);
        Ok(())
    }

    /// The disk is full: gives back what `builds` have not finished. Answers what would help, and how long to wait for it.
    pub(super) async fn ask_for_room(&self, builds: &[Build], error: &ReadStoreError, patience: &mut Patience) -> (String, Duration) {
        let room = self.store.make_room(builds).await.unwrap_or_default();
        let wait = patience.for_room();
        let said = advice(error, &room, wait);
        warn!(error = said, given_back_bytes = room.given_back_bytes, "a rebuild waits for room");
        (said, wait)
    }

    /// Pauses until people let it go on, or for so long. With `notes`, nobody else writes down meanwhile how these are.
    pub(super) async fn stand_still(&self, jobs: &[Job], wait: Duration, notes: bool) -> Result<(), RebuildError> {
        let mut paused = false;
        for job in jobs {
            paused |= self.store.want(&job.name, Wanted::Pause).await.unwrap_or(false);
            self.tell(job);
        }
        let until = Instant::now() + wait;
        let mut resumed = false;
        while !resumed && Instant::now() < until {
            tokio::time::sleep(NOTE_EVERY.min(until - Instant::now())).await;
            for job in jobs.iter().filter(|_| notes) {
                // Without any room this cannot be written down either; what people want can be read all the same.
                let _ = self.store.note(job).await;
            }
            let Ok(known) = self.store.jobs().await else { continue };
            let ours = |known: &&Job| jobs.iter().any(|job| job.name == known.name && job.number == known.number);
            for known in known.iter().filter(ours) {
                match known.wanted {
                    Wanted::Cancel => return Err(RebuildError::Cancelled { name: known.name.clone() }),
                    // Where the pause could not be written down, its absence says nothing.
                    Wanted::Run => resumed |= paused,
                    Wanted::Pause => {}
                }
            }
        }
        for job in jobs {
            // Where it is still too full for that, the next attempt finds out.
            let _ = self.store.want(&job.name, Wanted::Run).await;
        }
        Ok(())
    }
}

fn is_waited_for(error: &ReadStoreError) -> bool {
    match error {
        ReadStoreError::Unavailable { .. } | ReadStoreError::Full { .. } => true,
        ReadStoreError::Superseded { .. } | ReadStoreError::Missing { .. } | ReadStoreError::Refused { .. } => false,
    }
}

/// What is the matter, and what would help.
fn advice(error: &ReadStoreError, room: &Room, wait: Duration) -> String {
    let needed = match room.given_back_bytes {
        0 => "free some space".to_owned(),
        bytes => format!("free more than {}", megabytes(bytes)),
    };
    let drop = |(name, number, bytes): &(String, i64, u64)| format!("projection drop {name} --build {number} ({})", megabytes(*bytes));
    let droppable = match room.droppable.iter().map(drop).collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => String::new(),
        some => format!(", or drop what does not serve: {some}"),
    };
    format!("{error}; {needed}{droppable}. It tries again in {} s, or at once when it is resumed", wait.as_secs())
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_help_is_said_with_its_size() {
        let full = ReadStoreError::Full { reason: "could not extend file".to_owned() };
        let room = Room { given_back_bytes: 3 << 20, droppable: vec![("bills".to_owned(), 1, 1)] };
        assert_eq!(
            advice(&full, &room, Duration::from_secs(10)),
            "the disk of the read models' database is full: could not extend file; free more than 3 MiB, or drop what does not serve: \
             projection drop bills --build 1 (1 MiB). It tries again in 10 s, or at once when it is resumed"
        );
        assert!(advice(&full, &Room::default(), Duration::from_secs(20)).contains("; free some space. It tries again in 20 s"));
    }

    #[test]
    fn a_full_disk_is_left_alone_for_longer_and_longer() {
        let mut patience = Patience::default();
        let waits: Vec<u64> = (0..7).map(|_| patience.for_room().as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
    }
}
