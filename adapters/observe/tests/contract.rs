//! An observed engine keeps the contract of the engine inside.

use std::sync::Arc;

use domain::testing::event_store::contract;
use memory::MemoryStore;
use observe::Observed;

contract!((Observed::new(Arc::new(MemoryStore::default()), "memory", None), ()));
