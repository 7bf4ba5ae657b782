//! The embedded event store and key store: SQLite, one writing process, group commit.
