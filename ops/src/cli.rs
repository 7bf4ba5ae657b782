//! The words of the command line. What they do stands in [`crate::command`], one file each.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::ids::{ApiKeyId, OperatorCode, OperatorId, UserId};
use domain::key::Role;
use domain::operator::BookingMode;
use domain::time::ZoneName;

use crate::config::EventStoreUrl;

/// The ledger of a charging network: every session, payment, refund and device fact as an immutable event.
#[derive(Debug, Parser)]
#[command(name = "chargeledger", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print the result as one JSON object on standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The configuration file. Without it: chargeledger.toml in this directory, if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "CHARGELEDGER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the ledger's files are.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API, keep the read models up to date, run the process managers.
    Serve(Serve),
    /// Ask a server whether it is ready: for health checks.
    Health(Health),
    /// Import real sessions if that has not been done, print a summary, and serve.
    Demo(Demo),
    /// Import real data.
    #[command(subcommand)]
    Import(Import),
    /// Look at the read models' projections, and decide about those that have halted.
    #[command(subcommand)]
    Projection(Projection),
    /// Check the ledger against itself and explain its numbers.
    #[command(subcommand)]
    Audit(Audit),
    /// Drivers and their personal data.
    #[command(subcommand)]
    User(User),
    /// The feed of events in NATS JetStream.
    #[command(subcommand)]
    Feed(Feed),
    /// The event store's files.
    #[command(subcommand)]
    Store(Store),
    /// API keys.
    #[command(subcommand)]
    Key(Key),
    /// Operators: the tenants.
    #[command(subcommand)]
    Operator(Operator),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(Bench),
}

/// What a serving process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum ServeRole {
    /// The HTTP API.
    Api,
    /// The read models.
    Projector,
    /// The feed: every event to NATS JetStream.
    Publisher,
    /// The process managers.
    Processes,
}

impl ServeRole {
    /// All of them.
    pub(crate) const ALL: [ServeRole; 4] = [ServeRole::Api, ServeRole::Projector, ServeRole::Publisher, ServeRole::Processes];
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// What this process does; without it, everything that is configured. With `projector` and `publisher` alone it only reads the ledger, so that it runs beside the
    /// process that writes.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub(crate) roles: Vec<ServeRole>,
    /// The address of the API; without the role `api`, of /healthz, /readyz and /metrics, which are served only when it is given.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Whether read models that are missing or outdated are rebuilt without being asked for.
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) auto_rebuild: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// The server; without it, the one at the configured address on this machine.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Only this one of its roles.
    #[arg(long, value_enum)]
    pub(crate) role: Option<ServeRole>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The file to import.
    #[arg(long, value_name = "FILE", default_value = "ops/demo/cary_sessions.csv.gz")]
    pub(crate) input: PathBuf,
    /// Its layout.
    #[arg(long, default_value = "cary", value_parser = PossibleValuesParser::new(crate::import::names()))]
    pub(crate) format: String,
    /// Real stations of Shenzhen to search among, without sessions.
    #[arg(long, value_name = "FILE")]
    pub(crate) stations: Option<PathBuf>,
    /// Exit after the summary instead of serving.
    #[arg(long)]
    pub(crate) once: bool,
    /// The address of the API.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Import charging sessions as the commands that would have happened.
    Sessions(ImportSessions),
}

#[derive(Debug, Args)]
pub(crate) struct ImportSessions {
    /// The file, compressed with gzip or not.
    pub(crate) file: PathBuf,
    /// Its layout.
    #[arg(long, value_parser = PossibleValuesParser::new(crate::import::names()))]
    pub(crate) format: String,
    /// Whose books. Without it: the operator that belongs to the format, made if it is not there.
    #[arg(long, value_name = "ID")]
    pub(crate) operator: Option<OperatorId>,
    /// The seed of what is made up: users, payments, prices.
    #[arg(long, default_value_t = crate::import::generate::SEED)]
    pub(crate) seed: u64,
    /// Only say what would become of the rows.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Projection {
    /// Every projection with its place and lag.
    List,
    /// One projection, with what halted it and what it steps over.
    Show {
        /// Its name.
        name: String,
    },
    /// Build read models anew from the log while the old ones serve, prove that no event is missing, and put them in their place.
    Rebuild(Rebuild),
    /// What is different between two builds: the one that waits, or else the one that serves, and another.
    Diff {
        /// The projection.
        name: String,
        /// The number of the other build; without it, the one that waits to serve, or the one that served before.
        #[arg(long, value_name = "BUILD", conflicts_with = "as_of")]
        against: Option<i64>,
        /// Compare what serves with what it was at a position, or at a time.
        #[arg(long, value_name = "POSITION|TIME")]
        as_of: Option<String>,
    },
    /// Put a rebuilt read model in its place, once it has caught up.
    Swap {
        /// The projection.
        name: String,
        /// Why the difference is right, for whoever asks later: an event of the ledger.
        #[arg(long, value_name = "NOTE")]
        approve: Option<String>,
        #[command(flatten)]
        through: Through,
    },
    /// Put back what served before.
    Rollback {
        /// The projection.
        name: String,
    },
    /// Fold one row again from its events, and put it right.
    Repair {
        /// The projection.
        name: String,
        /// The row's key; several cells are separated by commas.
        #[arg(long)]
        key: String,
        /// Only show what is different.
        #[arg(long)]
        dry_run: bool,
    },
    /// Drop a view of the past, or a build that does not serve.
    Drop {
        /// The view's name, or the projection's.
        name: String,
        /// The number of the projection's build.
        #[arg(long, value_name = "BUILD")]
        build: Option<i64>,
    },
    /// Let a rebuild stand still, whichever process does it; `resume` lets it go on.
    Pause {
        /// The projection.
        name: String,
    },
    /// Give a rebuild up; nothing is left of it.
    Cancel {
        /// The projection.
        name: String,
    },
    /// Let a paused rebuild go on, or a halted projection try again after what was the matter has been mended.
    Resume {
        /// Its name.
        name: String,
    },
    /// Let a halted projection step over the event at which it stands, for ever.
    Quarantine {
        /// Its name.
        name: String,
        /// Why, for whoever asks later.
        #[arg(long)]
        reason: String,
        /// Where it stands, to be sure that it is this event.
        #[arg(long)]
        position: Option<u64>,
        #[command(flatten)]
        through: Through,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The projections.
    pub(crate) names: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) budget: Budget,
    /// Leave the new build beside the one that serves: `projection swap` puts it in its place.
    #[arg(long)]
    pub(crate) no_swap: bool,
    /// Swap by itself only where no row differs; a difference waits for `projection swap`.
    #[arg(long, conflicts_with = "no_swap")]
    pub(crate) approve: bool,
    /// End at a position, or at what had been recorded by a time: a view of the past.
    #[arg(long, value_name = "POSITION|TIME", requires = "name")]
    pub(crate) until: Option<String>,
    /// The name of the view of the past.
    #[arg(long = "as", id = "name", value_name = "OTHER", requires = "until")]
    pub(crate) name: Option<String>,
}

/// How much of the machine a rebuild may take.
#[derive(Debug, Args)]
pub(crate) struct Budget {
    /// Threads that read the log, and as many that fold; without it, one for each core.
    #[arg(long, value_name = "1-256", value_parser = RangedU64ValueParser::<usize>::new().range(1..=256))]
    pub(crate) cores: Option<usize>,
    /// About how much memory rows may take. When they take more, the log is read again for the rest.
    #[arg(long, value_name = "16-65536", value_parser = RangedU64ValueParser::<usize>::new().range(16..=65_536))]
    pub(crate) memory_mb: Option<usize>,
    /// How many rows it may write in a second.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_db_rows_per_s: Option<u64>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Audit {
    /// Recompute every hash, every entry, and the sums that must agree.
    Verify,
    /// The balance of every account.
    TrialBalance {
        /// Whose books; all without it.
        #[arg(long, value_name = "ID")]
        operator: Option<OperatorId>,
        /// Business date in the books' zone: entries up to and including this day.
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
        /// Only what had been recorded by then.
        #[arg(long, value_name = "TIME")]
        recorded_as_of: Option<domain::time::Timestamp>,
    },
    /// The way of every fen of a session: its bill, its payments, its entries.
    Explain {
        /// A session's id or order number.
        session: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Destroy the key of a user's personal data. Hashes and sums stay valid.
    Erase {
        /// Which.
        user: UserId,
        /// Needed, because nothing brings the data back.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        through: Through,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// What there is.
    Info,
    /// Copy the store while it is being written to; the copy is verified.
    Backup {
        /// A directory that holds no store yet.
        to: PathBuf,
    },
    /// Copy a backup to where the store is to be. Nothing is overwritten.
    Restore {
        /// The backup.
        from: PathBuf,
    },
    /// Copy a ledger to another event store, with every hash and time as it is. Run it again, and it goes on where it stopped.
    Migrate {
        /// Where the ledger is: embedded:DIRECTORY or esdb://…
        #[arg(long, value_name = "URL")]
        from: EventStoreUrl,
        /// Where it is to be: empty, or a beginning of the same ledger.
        #[arg(long, value_name = "URL")]
        to: EventStoreUrl,
    },
    /// Move the keys of personal data from keys.db into the database that all processes share, with nobody serving. Run it again, and it goes on where it stopped.
    MoveKeys {
        /// A PostgreSQL database, without keys or with a part of these; CHARGELEDGER_KEY_STORE without it.
        #[arg(long, value_name = "URL")]
        to: Option<String>,
    },
    /// Every event as one line of JSON.
    Export {
        /// The file; standard output without it.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Only events after this position.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Feed {
    /// What there is, and how far it is behind the ledger.
    Info,
    /// Compare every message with the ledger.
    Verify {
        /// Publish what is missing.
        #[arg(long)]
        fill: bool,
    },
    /// Take everything out of the feed, and publish everything once more. Consumers stay, and know each event by its id.
    Rebuild {
        /// Delete the stream and make a new one: for what the server cannot change. Durable consumers go with it.
        #[arg(long)]
        recreate: bool,
    },
    /// Show events as a consumer gets them, each once.
    Tail(Tail),
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Begin after this position of the ledger; without it, with the first event there is.
    #[arg(long, value_name = "POSITION", conflicts_with = "new")]
    pub(crate) from: Option<u64>,
    /// Begin with what comes from here on.
    #[arg(long)]
    pub(crate) new: bool,
    /// Only events of these types: session.settled, session.*, several with commas.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// Be a durable consumer of this name: the next run goes on where this one ended. Which events were shown is kept in the data directory.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key. Its secret is shown once.
    Create {
        /// What its bearer may do.
        #[arg(long, value_parser = role)]
        role: Role,
        /// Whose data it sees.
        #[arg(long, value_name = "ID")]
        operator: OperatorId,
        /// A name for people.
        #[arg(long, default_value = "made on the command line")]
        name: String,
        #[command(flatten)]
        through: Through,
    },
    /// Every key that opens something, without its secret.
    List {
        /// Only this operator's.
        #[arg(long, value_name = "ID")]
        operator: Option<OperatorId>,
    },
    /// Take a key's power away, for good.
    Revoke {
        /// Which.
        key: ApiKeyId,
        #[command(flatten)]
        through: Through,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Let an operator join, and make its first key, of role admin. The secret is shown once.
    Register {
        /// Its code, nine letters or digits; order numbers begin with it. It joins once and never changes.
        #[arg(long)]
        code: OperatorCode,
        /// Its name.
        #[arg(long)]
        name: String,
        /// Business dates are dates on this clock. It never changes.
        #[arg(long, value_name = "ZONE", default_value = "Asia/Shanghai")]
        books_zone: ZoneName,
        /// How its books treat stations that somebody else owns: principal or agent.
        #[arg(long, value_parser = booking, default_value = "principal")]
        booking: BookingMode,
        #[command(flatten)]
        through: Through,
    },
    /// Every operator.
    List,
}

/// The way to a ledger that a server is writing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Through {
    /// The server to go through, with the admin key in `CHARGELEDGER_API_KEY`. Without it: the store itself, or, while a server writes it and there is such a key,
    /// the server at the configured address.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Durable appends, against the bound of the same disk.
    Append {
        /// How long one round of one measurement is.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Another event store than the configured one. On a server the events stay, in a ledger of their own.
        #[arg(long, value_name = "URL")]
        event_store: Option<EventStoreUrl>,
    },
    /// Read, decode and fold everything in the store.
    Replay,
    /// Copy the store again and again into a new one, with new ids.
    #[command(hide = true)]
    Multiply {
        /// A directory that holds no store yet.
        to: PathBuf,
        /// How many events it is to have.
        #[arg(long)]
        events: u64,
    },
    /// How long after its acknowledgement an event is in every read model.
    Lag {
        /// How many events come in a second.
        #[arg(long, default_value_t = 2_000)]
        events_per_s: u64,
        /// For how long.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Publish a history, the store's own, multiplied, to NATS; beside a bare publisher.
    Feed {
        /// How many events the history has.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// Rebuild read models from a long history: the store's own, multiplied.
    Rebuild {
        /// How many events the history has.
        #[arg(long, default_value_t = 10_000_000)]
        events: u64,
    },
}

fn booking(text: &str) -> Result<BookingMode, String> {
    match text {
        "principal" => Ok(BookingMode::Principal),
        "agent" => Ok(BookingMode::Agent),
        _ => Err("principal or agent".to_owned()),
    }
}

fn role(text: &str) -> Result<Role, String> {
    use serde::Deserialize as _;
    use serde::de::IntoDeserializer as _;
    let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    Role::deserialize(word).map_err(|_| "one of app, finance, operator, gateway, regulator, partner, admin".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_words_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_role_is_one_of_the_ledger_s() {
        assert_eq!(role("finance"), Ok(Role::Finance));
        assert!(role("root").is_err());
    }
}
