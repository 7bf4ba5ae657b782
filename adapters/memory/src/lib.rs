//! The memory event store: real code for scenarios and tests, nothing survives it.
