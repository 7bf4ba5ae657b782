//! The aggregates in use: as many as there is room for stay in memory, each with the commands that have written to it.

use std::any::Any;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use domain::decider::Decider;
use domain::log::{Expected, Revision, StreamId};
use lru::LruCache;

use crate::snapshot::Written;

/// They are divided, so that commands on different streams do not wait for one lock.
const SHARDS: usize = 16;

/// An aggregate in memory.
pub(crate) struct Hot<D> {
    pub(crate) state: D,
    pub(crate) revision: Option<Revision>,
    /// The commands that have written to it: a retry is recognised without reading the stream again.
    pub(crate) commands: Written,
    /// It began with a snapshot of this revision.
    pub(crate) snapshot: Option<Revision>,
    /// The stream has been read to its end, and everything that was written here since is in the state.
    pub(crate) is_whole: bool,
    /// An append has been sent of which nobody knows what became: it may land at any time, also after the stream has been read. The next append that is
    /// answered settles it, because of two with the same expectation one wins.
    pub(crate) is_doubtful: bool,
}

impl<D: Decider> Hot<D> {
    pub(crate) fn absent() -> Hot<D> {
        Hot { state: D::default(), revision: None, commands: Written::default(), snapshot: None, is_whole: false, is_doubtful: false }
    }

    pub(crate) fn expected(&self) -> Expected {
        self.revision.map_or(Expected::NoStream, Expected::Exact)
    }
}

type Shard = Mutex<LruCache<StreamId, Arc<dyn Any + Send + Sync>>>;

/// The aggregates in memory.
pub(crate) struct HotAggregates {
    shards: Vec<Shard>,
}

impl HotAggregates {
    /// Room for so many.
    pub(crate) fn new(streams_max: usize) -> HotAggregates {
        let each = NonZeroUsize::new(streams_max / SHARDS).unwrap_or(NonZeroUsize::MIN);
        HotAggregates { shards: (0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect() }
    }

    /// An aggregate's place in memory. Whoever works on it holds its lock, and it stays as long as somebody does: two of one aggregate would not know of
    /// each other.
    pub(crate) fn of<D: Decider>(&self, stream: &StreamId) -> Arc<tokio::sync::Mutex<Hot<D>>> {
        let mut shard = self.shard(stream).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hot) = shard.get(stream).and_then(|entry| Arc::clone(entry).downcast().ok()) {
            return hot;
        }
        let fresh = Arc::new(tokio::sync::Mutex::new(Hot::<D>::absent()));
        let mut evicted = shard.push(stream.clone(), Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>);
        while let Some((stream, in_use)) = evicted.take().filter(|(_, entry)| Arc::strong_count(entry) > 1) {
            let room_for_one_more = shard.cap().saturating_add(1);
            shard.resize(room_for_one_more);
            evicted = shard.push(stream, in_use);
        }
        fresh
    }

    fn shard(&self, stream: &StreamId) -> &Shard {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        &self.shards[usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)]
    }
}
