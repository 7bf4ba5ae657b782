//! What the words of the command line do, one file each.

pub(crate) mod audit;
mod bench;
mod bench_feed;
mod bench_lag;
mod bench_rebuild;
mod bench_server;
mod demo;
mod feed;
mod halts;
mod health;
mod import;
mod key;
mod migrate;
mod move_keys;
mod operator;
mod projection;
mod projector;
mod rebuild;
mod serve;
mod store;
mod user;

use crate::cli::{Command, Import};
use crate::config::{Config, EventStoreUrl};
use crate::output::Answer;

/// Carries out one command.
pub(crate) async fn run(command: Command, config: &Config, as_json: bool) -> anyhow::Result<Answer> {
    if matches!(config.event_store, EventStoreUrl::Server(_)) || config.nats_url.is_some() {
        // Two TLS providers are compiled in, so that a client which names none needs one installed; and the event store's client has to be the one that does.
        esdb::claim_tls().await?;
    }
    match command {
        Command::Serve(options) => serve::run(config, &options).await,
        Command::Health(options) => health::run(config, &options).await,
        Command::Demo(options) => demo::run(config, &options, as_json).await,
        Command::Import(Import::Sessions(options)) => import::run(config, &options).await,
        Command::Projection(what) => projection::run(config, &what).await,
        Command::Audit(what) => audit::run(config, &what).await,
        Command::User(what) => user::run(config, &what).await,
        Command::Feed(what) => feed::run(config, &what, as_json).await,
        Command::Store(what) => store::run(config, what).await,
        Command::Key(what) => key::run(config, what).await,
        Command::Operator(what) => operator::run(config, what).await,
        Command::Bench(what) => bench::run(config, &what).await,
    }
}
