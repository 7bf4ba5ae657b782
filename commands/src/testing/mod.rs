//! What every implementation of a port keeps, as tests that an adapter runs on itself (feature "testing").

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs)]

pub mod subject_keys;
