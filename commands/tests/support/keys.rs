//! The keys of personal data in memory, and what may happen between two steps of a command.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Mutex;

use async_trait::async_trait;
use commands::port::{SubjectKeyError, SubjectKeys};
use domain::ids::UserId;
use domain::sealed::LookupHash;

/// What is done at one moment, once.
pub(crate) type Meanwhile = Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>;

async fn now(meanwhile: &Meanwhile) {
    let work = meanwhile.lock().unwrap().take();
    if let Some(work) = work {
        work.await;
    }
}

/// Keys in memory, of which a test may say what happens before an entry is made and after a key is destroyed.
#[derive(Default)]
pub(crate) struct Keys {
    keys: Mutex<HashMap<UserId, [u8; 32]>>,
    index: Mutex<HashMap<String, UserId>>,
    pub(crate) before_claim: Meanwhile,
    pub(crate) after_destruction: Meanwhile,
}

impl Keys {
    /// Whether nothing is left that leads to the user or opens what was sealed for them.
    pub(crate) fn know_nothing_of(&self, user: UserId) -> bool {
        !self.keys.lock().unwrap().contains_key(&user) && self.index.lock().unwrap().values().all(|owner| *owner != user)
    }
}

#[async_trait]
impl SubjectKeys for Keys {
    async fn get_or_create(&self, subject: UserId, fresh: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok(*self.keys.lock().unwrap().entry(subject).or_insert(fresh))
    }
    async fn get(&self, subject: UserId) -> Result<Option<[u8; 32]>, SubjectKeyError> {
        Ok(self.keys.lock().unwrap().get(&subject).copied())
    }
    async fn destroy(&self, subject: UserId) -> Result<(), SubjectKeyError> {
        self.keys.lock().unwrap().remove(&subject);
        self.index.lock().unwrap().retain(|_, owner| *owner != subject);
        now(&self.after_destruction).await;
        Ok(())
    }
    async fn claim(&self, lookup: &LookupHash, subject: UserId) -> Result<(), SubjectKeyError> {
        now(&self.before_claim).await;
        let owner = *self.index.lock().unwrap().entry(lookup.0.clone()).or_insert(subject);
        if owner == subject { Ok(()) } else { Err(SubjectKeyError::Taken { owner }) }
    }
    async fn find(&self, lookup: &LookupHash) -> Result<Option<UserId>, SubjectKeyError> {
        Ok(self.index.lock().unwrap().get(&lookup.0).copied())
    }
    async fn lookup_key(&self, _: [u8; 32]) -> Result<[u8; 32], SubjectKeyError> {
        Ok([3; 32])
    }
}
