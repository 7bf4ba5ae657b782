//! The binary `chargeledger`: reads the command line and the configuration, carries one command out, and says how it went.
//!
//! Exit status: 0 done, 1 found a difference or failed, 2 wrong usage or configuration.

mod cli;
mod command;
mod compose;
mod config;
mod feeding;
mod import;
mod logging;
mod managing;
mod multiplied;
mod observing;
mod output;
mod progress;
mod raw_log;
mod ready;
mod server;
mod summary;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::Config;
use mimalloc::MiMalloc;
use output::{Answer, WrongUsage, report};
use tracing::warn;

/// One that gives back to all threads what one of them has let go: glibc keeps it for threads that take up the same arena, and a rebuild's second reading of the log
/// would take its memory beside what the first one had left (ADR 0021).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // clap prints its own errors and exits with 2.
    let cli = Cli::parse();
    let listen = match &cli.command {
        Command::Serve(serve) => serve.listen.as_deref(),
        Command::Demo(demo) => demo.listen.as_deref(),
        _ => None,
    };
    let config = match Config::load(&cli.global, listen) {
        Ok(config) => config,
        Err(error) => {
            report(&Err(error.into()), cli.global.json);
            return ExitCode::from(2);
        }
    };
    if let Err(error) = logging::start(&config, matches!(cli.command, Command::Serve(_))) {
        report(&Err(error), cli.global.json);
        return ExitCode::from(2);
    }
    for name in config::unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        warn!("{name} is not a setting, and is passed over");
    }
    let result = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(command::run(cli.command, &config, cli.global.json));
            // What still runs has been told to stop; nothing may keep the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(10));
            result
        }
        Err(error) => Err(error.into()),
    };
    report(&result, cli.global.json);
    match result {
        Ok(Answer { is_fine: true, .. }) => ExitCode::SUCCESS,
        Err(error) if error.is::<WrongUsage>() => ExitCode::from(2),
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
