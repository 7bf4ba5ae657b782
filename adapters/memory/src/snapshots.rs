//! Snapshots in memory, for tests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use commands::snapshot::{SnapshotError, Snapshots};
use domain::log::StreamId;

/// Snapshots that nothing survives.
#[derive(Debug, Default)]
pub struct MemorySnapshots(Mutex<HashMap<StreamId, Vec<u8>>>);

#[async_trait]
impl Snapshots for MemorySnapshots {
    async fn find(&self, stream: &StreamId) -> Result<Option<Vec<u8>>, SnapshotError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned())
    }

    async fn keep(&self, stream: &StreamId, bytes: Vec<u8>) -> Result<(), SnapshotError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream.clone(), bytes);
        Ok(())
    }
}
