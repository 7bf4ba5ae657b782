//! The read models in PostgreSQL: builds, checkpoints, views and queries.
