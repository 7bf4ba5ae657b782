//! The HTTP API: parse, call one function, answer.
//!
//! | module | what |
//! |---|---|
//! | [`auth`] | bearer keys, and the one table of who may do what |
//! | [`problem`], [`kinds`] | where errors become RFC 9457 problems |
//! | [`idempotency`], [`asked`] | bodies with their idempotency keys; ids and query parameters |
//! | [`wire`], [`terms`], [`bills`], [`explained`], [`rows`] | values as they stand in JSON |
//! | [`answer`], [`reading`] | answers with their headers; pages and rows of the read models |
//! | [`observe`], [`limits`] | request ids, spans, metrics; sizes, times, rates |
//! | [`docs`], [`health`], [`readiness`] | the OpenAPI document and its page; how the process is, and each of its roles |
//! | [`rebuilding`], [`console`] | the rebuilds that run here; the page for those who operate the read models |
//! | the others | one resource each |
//!
//! Deliberately absent: TLS (a proxy's work), any SQL, and any decision about money.

pub mod answer;
pub mod asked;
pub mod auth;
pub mod bills;
pub mod builds;
pub mod connectors;
pub mod console;
pub mod device_events;
pub mod docs;
pub mod explained;
pub mod halts;
pub mod health;
pub mod idempotency;
pub mod keys;
pub mod kinds;
pub mod ledger;
pub mod limits;
pub mod live;
pub mod observe;
pub mod operators;
pub mod ownership;
pub mod payments;
pub mod presence;
pub mod problem;
pub mod read_models;
pub mod readiness;
pub mod reading;
pub mod rebuilding;
pub mod rebuilds;
pub mod receipts;
pub mod reports;
pub mod rows;
pub mod session_history;
pub mod sessions;
pub mod stations;
pub mod swaps;
pub mod tariffs;
pub mod terms;
pub mod users;
pub mod wallets;
pub mod webhooks;
pub mod wire;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use commands::Commands;
use commands::key::KeyDirectory;
use projections::query::ReadQueries;
use projections::rebuild::port::BuildStore;
use projections::runner::Runner;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

pub use limits::Limits;
pub use problem::{Kind, Problem};

/// What every request may reach.
pub struct Api {
    /// What can be asked of the ledger.
    pub commands: Arc<Commands>,
    /// Who may ask.
    pub keys: Arc<KeyDirectory>,
    /// The read models; without them commands and device facts go on, and queries answer 503.
    pub queries: Option<Arc<dyn ReadQueries>>,
    /// The builds of the read models, for those who operate them.
    pub builds: Option<Arc<dyn BuildStore>>,
    /// The rebuilds that run here. They end with this, and can be gone on with.
    pub rebuilding: rebuilding::Rebuilding,
    /// Whether somebody has to agree to what differs before a rebuilt view serves.
    pub swap_approval: bool,
    /// Those who keep the read models up to date, if this process does.
    pub runner: Option<Arc<Runner>>,
    /// Says which sessions have news.
    pub hub: Arc<live::Hub>,
    /// Which devices have been heard of.
    pub presence: Arc<presence::Presence>,
    /// The metrics in Prometheus' text form, if they are kept.
    pub metrics: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// The roles of the process, for who asks whether it is ready.
    pub roster: readiness::Roster,
    /// Sizes, times and rates.
    pub limits: Limits,
    /// How much each key has asked for of late.
    pub rates: limits::Rates,
}

impl Api {
    /// What a process needs at least; read models and metrics are added by field.
    #[must_use]
    pub fn new(
        commands: Arc<Commands>,
        keys: Arc<KeyDirectory>,
        hub: Arc<live::Hub>,
        presence: Arc<presence::Presence>,
        limits: Limits,
    ) -> Api {
        let roster = readiness::Roster::new(Arc::clone(commands.ledger.store()), vec![]);
        Api {
            commands,
            roster,
            keys,
            queries: None,
            builds: None,
            rebuilding: rebuilding::Rebuilding::default(),
            swap_approval: false,
            runner: None,
            hub,
            presence,
            metrics: None,
            limits,
            rates: limits::Rates::default(),
        }
    }

    /// Everything under one router. Shutting down is the caller's: `axum::serve(…).with_graceful_shutdown(…)`.
    pub fn router(self) -> Router {
        let api = Arc::new(self);
        let (guarded, _) = guarded().split_for_parts();
        let (open, _) = open().split_for_parts();
        guarded
            .route_layer(from_fn_with_state(Arc::clone(&api), auth::guard))
            .merge(open)
            .merge(docs::routes())
            .merge(console::routes())
            .fallback(async |uri: axum::http::Uri| Problem::new(Kind::NoSuchPath, format!("there is nothing at {}", uri.path())))
            .method_not_allowed_fallback(async |method: axum::http::Method| {
                Problem::new(Kind::MethodNotAllowed, format!("this path does not take {method}"))
            })
            .layer(from_fn_with_state(Arc::clone(&api), limits::in_time))
            .layer(CatchPanicLayer::custom(observe::panicked))
            .layer(axum::extract::DefaultBodyLimit::max(api.limits.body_bytes_max))
            .layer(from_fn(observe::observe))
            .with_state(api)
    }
}

/// The OpenAPI document, from the same routes.
#[must_use]
pub fn openapi() -> serde_json::Value {
    let document = OpenApiRouter::<Arc<Api>>::with_openapi(docs::Document::openapi()).merge(guarded()).merge(open()).into_openapi();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    docs::complete(&mut document);
    document
}

fn guarded() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .merge(sessions::routes())
        .merge(session_history::routes())
        .merge(live::routes())
        .merge(stations::routes())
        .merge(ownership::routes())
        .merge(connectors::routes())
        .merge(users::routes())
        .merge(payments::routes())
        .merge(receipts::routes())
        .merge(wallets::routes())
        .merge(tariffs::routes())
        .merge(ledger::routes())
        .merge(reports::routes())
        .merge(read_models::routes())
        .merge(halts::routes())
        .merge(rebuilds::routes())
        .merge(swaps::routes())
        .merge(keys::routes())
        .merge(operators::routes())
        .merge(device_events::routes())
        .merge(webhooks::routes())
}

fn open() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().merge(health::routes())
}
