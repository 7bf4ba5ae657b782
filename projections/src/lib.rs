//! The read models: each a fold over events, and the runner that keeps them up to date.
