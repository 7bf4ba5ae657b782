//! The read models' database with something wrong about it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use projections::fold::Definition;
use projections::port::{Batch, Build, Halt, Leadership, Opened, ReadStore, ReadStoreError};
use projections::value::Value;
use read_models::ReadModels;

/// What is wrong.
#[derive(Default)]
pub struct Tampered {
    /// The next commit of this projection never answers.
    pub hangs: AtomicBool,
    /// Every process believes that it leads.
    pub is_led_by_everybody: bool,
}

pub struct TamperedStore(pub Arc<ReadModels>, pub Tampered);

#[async_trait]
impl ReadStore for TamperedStore {
    async fn open(&self, definition: &Definition, may_begin: bool) -> Result<Opened, ReadStoreError> {
        self.0.open(definition, may_begin).await
    }
    async fn load(&self, definition: &Definition, build: &Build, keys: &[Vec<Value>]) -> Result<Vec<Vec<Value>>, ReadStoreError> {
        self.0.load(definition, build, keys).await
    }
    async fn commit(&self, definition: &Definition, build: &Build, batch: &Batch) -> Result<(), ReadStoreError> {
        if definition.name == "sessions" && self.1.hangs.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.commit(definition, build, batch).await
    }
    async fn note_halt(&self, build: &Build, halt: Option<&Halt>) -> Result<(), ReadStoreError> {
        self.0.note_halt(build, halt).await
    }
    async fn caught_up(&self, definition: &Definition, build: &Build) -> Result<(), ReadStoreError> {
        self.0.caught_up(definition, build).await
    }
    async fn builds(&self) -> Result<Vec<Build>, ReadStoreError> {
        self.0.builds().await
    }
    fn leadership(&self) -> Box<dyn Leadership> {
        if self.1.is_led_by_everybody { Box::new(Everybody) } else { self.0.leadership() }
    }
}

struct Everybody;

#[async_trait]
impl Leadership for Everybody {
    async fn lead(&mut self, projections: &[(&'static str, u32)]) -> Result<HashSet<&'static str>, ReadStoreError> {
        Ok(projections.iter().map(|(name, _)| *name).collect())
    }
}
