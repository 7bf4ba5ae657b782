//! The read models: each a fold over events, and the runner that keeps them up to date.
//!
//! | module | what |
//! |---|---|
//! | [`fold`], [`context`] | what a projection is, and the little it may know beside its event |
//! | [`table`], [`value`] | the shape of a row; cells |
//! | [`port`] | the database of the read models, and the way builds are written |
//! | [`geo`] | coordinates for distances |
//! | [`query`] | the port of those who read |
//! | [`quarantine`], [`halted`] | which events a projection steps over, by an operator's decision; at which one it stands |
//! | [`breaker`] | what turns callers of an engine away while that does not answer |
//! | [`rate`] | how many events a second, lately |
//! | [`observer`] | who is told of events once a view holds them |
//! | [`runner`], [`feed`] | one reader of the log, a task for each projection; `projector` is such a task, `supervisor` its watchdog, `registry` what it hears from outside |
//! | [`outbox`] | what goes out of a read model, each once, whatever becomes of its builds |
//! | [`rebuild`] | a build beside the one that serves: filled, accounted for, compared, put behind the view |
//!
//! Adding one is a file and a line in [`all`]: docs/howto/add-a-projection.md.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod breaker;
pub mod context;
pub mod feed;
pub mod fold;
pub mod geo;
pub mod halted;
mod measure;
pub mod observer;
pub mod outbox;
pub mod port;
mod projector;
pub mod quarantine;
pub mod query;
pub mod rate;
pub mod rebuild;
mod registry;
pub mod runner;
mod status;
mod stretch;
mod supervisor;
pub mod table;
pub mod value;

pub mod accounts;
pub mod api_keys;
pub mod audit_trail;
pub mod balances;
pub mod bills;
pub mod connectors;
pub mod daily_statistics;
pub mod deadlines;
pub mod journal;
pub mod notices;
pub mod operators;
pub mod payments;
pub mod piles;
pub mod receivables;
pub mod refunds;
pub mod session_errors;
pub mod sessions;
pub mod stations;
pub mod tariffs;
pub mod users;
pub mod wallet_statement;
pub mod wallets;

use std::sync::Arc;

use fold::{Projection, journal as of_journal, keyed};

/// Every projection there is.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        keyed::<operators::Operators>(),
        keyed::<stations::Stations>(),
        keyed::<piles::Piles>(),
        keyed::<connectors::Connectors>(),
        keyed::<tariffs::Tariffs>(),
        of_journal::<tariffs::TariffVersions>(),
        keyed::<users::Users>(),
        keyed::<api_keys::ApiKeys>(),
        keyed::<sessions::Sessions>(),
        keyed::<session_errors::SessionErrors>(),
        keyed::<deadlines::Deadlines>(),
        keyed::<bills::Bills>(),
        keyed::<payments::Payments>(),
        keyed::<refunds::Refunds>(),
        keyed::<wallets::Wallets>(),
        of_journal::<wallet_statement::WalletStatement>(),
        keyed::<receivables::Receivables>(),
        of_journal::<journal::Postings>(),
        keyed::<balances::Balances>(),
        keyed::<accounts::Accounts>(),
        keyed::<daily_statistics::DailyStatistics>(),
        of_journal::<audit_trail::AuditTrail>(),
        of_journal::<notices::Notices>(),
    ]
}

/// Events that no read model is made of: what the ledger notes for itself.
pub const NOBODYS: &[&str] = &["process.advanced", "request.accepted"];

/// The read model of this name.
#[must_use]
pub fn definition(name: &str) -> Option<fold::Definition> {
    all().iter().map(|projection| projection.definition()).find(|definition| definition.name == name)
}
