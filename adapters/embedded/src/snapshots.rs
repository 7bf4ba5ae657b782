//! Snapshots in a file beside the log. It may be lost, and no backup has it: what cannot be read is thrown away and made again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use commands::snapshot::{SnapshotError, Snapshots};
use domain::log::StreamId;
use rusqlite::{Connection, OptionalExtension as _, params};
use tracing::warn;

use crate::database::{SNAPSHOTS, SNAPSHOTS_KIND, make_for_owner, open_writing};
use crate::error::{OpenError, store_error};

/// The snapshots of one ledger.
#[derive(Debug, Clone)]
pub struct SnapshotFile(Arc<Mutex<Connection>>);

impl SnapshotFile {
    /// Opens the file in a store's directory, in place of one that is damaged or not ours.
    ///
    /// # Errors
    /// When there can be none.
    pub fn open(directory: impl AsRef<Path>) -> Result<SnapshotFile, OpenError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory).map_err(|source| OpenError::Io { path: directory.to_owned(), source })?;
        let path = directory.join(SNAPSHOTS);
        let connection = open_sound(&path).or_else(|error| {
            warn!(%error, "the snapshots are thrown away and made again");
            for end in ["", "-wal", "-shm"] {
                // What is not there need not go; what cannot go shows when it is opened again.
                let _ = std::fs::remove_file(PathBuf::from(format!("{}{end}", path.display())));
            }
            open_sound(&path)
        })?;
        Ok(SnapshotFile(Arc::new(Mutex::new(connection))))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let connection = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&connection.lock().unwrap_or_else(PoisonError::into_inner))).await;
        let unavailable = |reason: String| SnapshotError { reason };
        done.map_err(|error| unavailable(error.to_string()))?.map_err(|error| unavailable(error.to_string()))
    }
}

fn open_sound(path: &Path) -> Result<Connection, OpenError> {
    make_for_owner(path)?;
    let connection = open_writing(path, SNAPSHOTS_KIND)?;
    // What the machine's death takes away is made again: no command waits for a disk because of it.
    connection.execute_batch("PRAGMA synchronous = OFF").map_err(store_error)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(store_error)?;
    if verdict == "ok" { Ok(connection) } else { Err(OpenError::Foreign { path: path.to_owned() }) }
}

#[async_trait]
impl Snapshots for SnapshotFile {
    async fn find(&self, stream: &StreamId) -> Result<Option<Vec<u8>>, SnapshotError> {
        let stream = stream.as_str().to_owned();
        self.run(move |connection| {
            let mut find = connection.prepare_cached("SELECT bytes FROM snapshots WHERE stream = ?")?;
            find.query_row([stream], |row| row.get(0)).optional()
        })
        .await
    }

    async fn keep(&self, stream: &StreamId, bytes: Vec<u8>) -> Result<(), SnapshotError> {
        let stream = stream.as_str().to_owned();
        self.run(move |connection| {
            let keep = "INSERT INTO snapshots (stream, bytes) VALUES (?, ?) ON CONFLICT (stream) DO UPDATE SET bytes = excluded.bytes";
            connection.prepare_cached(keep)?.execute(params![stream, bytes]).map(drop)
        })
        .await
    }
}
