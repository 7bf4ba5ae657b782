//! Readers for the runtime: a few connections, each on a blocking thread while it works, so that a slow disk holds up no task.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::log::StoreError;
use tokio::sync::Semaphore;

use crate::error::OpenError;
use crate::reader::Reader;

const READERS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Readers>);

#[derive(Debug)]
struct Readers {
    directory: PathBuf,
    idle: Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// A pool whose first reader is open, so that a store that cannot be read does not open.
    pub(crate) fn open(directory: PathBuf) -> Result<Pool, OpenError> {
        let first = Reader::open_with(&directory, false)?;
        Ok(Pool(Arc::new(Readers { directory, idle: Mutex::new(vec![first]), permits: Arc::new(Semaphore::new(READERS)) })))
    }

    /// Does this with a reader, off the runtime's threads.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let closing = |error: &dyn std::fmt::Display| StoreError::Unavailable { reason: format!("the store is closing: {error}") };
        let permit = self.0.permits.clone().acquire_owned().await.map_err(|error| closing(&error))?;
        let readers = self.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut reader = match idle {
                Some(reader) => reader,
                None => {
                    Reader::open_with(&readers.directory, false).map_err(|error| StoreError::Unavailable { reason: error.to_string() })?
                }
            };
            let result = work(&mut reader)?;
            // After an error the connection is not kept: a new one starts clean.
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            Ok(result)
        });
        read.await.map_err(|error| closing(&error))?
    }
}
