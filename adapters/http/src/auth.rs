//! Who asks, and what they may do: one table for every path, which the OpenAPI document shows. A path that is not in it is closed to everybody.
//!
//! A key acts within its own operator; whose data a request sees is decided nowhere else.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use commands::Caller;
use commands::key::Principal;
use domain::ids::OperatorId;
use domain::key::Role;
use domain::log::{Actor, ActorKind};
use domain::time::Timestamp;

use crate::Api;
use crate::problem::{Kind, Problem};

use Role::{Admin, App, Finance, Gateway, Operator, Partner, Regulator};

const APPS: &[Role] = &[App, Operator, Admin];
const STAFF: &[Role] = &[Operator, Admin];
const BACK_OFFICE: &[Role] = &[Finance, Operator, Admin];
const MONEY: &[Role] = &[App, Finance, Operator, Admin];
const BOOKS: &[Role] = &[Finance, Regulator, Admin];
const INSIDE: &[Role] = &[App, Finance, Operator, Regulator, Admin];
const EVERYBODY: &[Role] = &[App, Finance, Operator, Gateway, Regulator, Partner, Admin];
const ADMINS: &[Role] = &[Admin];
const DEVICES: &[Role] = &[Gateway, Admin];

/// Who may do what.
pub const ACCESS: &[(&str, &str, &[Role])] = &[
    ("POST", "/v1/sessions", APPS),
    ("GET", "/v1/sessions", INSIDE),
    ("POST", "/v1/sessions/price-estimate", &[App, Operator, Partner, Admin]),
    ("GET", "/v1/sessions/{session_id}", INSIDE),
    ("POST", "/v1/sessions/{session_id}/stop", APPS),
    ("POST", "/v1/sessions/{session_id}/close", STAFF),
    ("POST", "/v1/sessions/{session_id}/tariff", STAFF),
    ("GET", "/v1/sessions/{session_id}/events", INSIDE),
    ("GET", "/v1/sessions/{session_id}/bill", INSIDE),
    ("GET", "/v1/sessions/{session_id}/live", INSIDE),
    ("GET", "/v1/stations", EVERYBODY),
    ("POST", "/v1/stations", STAFF),
    ("GET", "/v1/stations/{station_id}", EVERYBODY),
    ("PUT", "/v1/stations/{station_id}", STAFF),
    ("GET", "/v1/stations/{station_id}/ownership", BACK_OFFICE),
    ("PUT", "/v1/stations/{station_id}/ownership", BACK_OFFICE),
    ("POST", "/v1/stations/{station_id}/tariff", STAFF),
    ("POST", "/v1/stations/{station_id}/retire", STAFF),
    ("GET", "/v1/stations/{station_id}/piles", EVERYBODY),
    ("POST", "/v1/stations/{station_id}/piles", STAFF),
    ("GET", "/v1/piles/{pile_id}", EVERYBODY),
    ("POST", "/v1/piles/{pile_id}/retire", STAFF),
    ("POST", "/v1/piles/{pile_id}/connectors", STAFF),
    ("GET", "/v1/connectors", EVERYBODY),
    ("GET", "/v1/connectors/{connector_id}", EVERYBODY),
    ("POST", "/v1/connectors/{connector_id}/retire", STAFF),
    ("POST", "/v1/users", APPS),
    ("GET", "/v1/users", APPS),
    ("POST", "/v1/users/look-up", APPS),
    ("GET", "/v1/users/{user_id}", APPS),
    ("PATCH", "/v1/users/{user_id}", APPS),
    ("POST", "/v1/users/{user_id}/close", APPS),
    ("POST", "/v1/users/{user_id}/erase", ADMINS),
    ("POST", "/v1/payments", APPS),
    ("GET", "/v1/payments", MONEY),
    ("GET", "/v1/payments/{payment_no}", MONEY),
    ("POST", "/v1/payments/{payment_no}/close", MONEY),
    ("POST", "/v1/payments/{payment_no}/resolve", &[Finance, Admin]),
    ("GET", "/v1/payments/{payment_no}/refunds", MONEY),
    ("POST", "/v1/payments/{payment_no}/refunds", MONEY),
    ("GET", "/v1/wallets/{user_id}", MONEY),
    ("GET", "/v1/wallets/{user_id}/statement", MONEY),
    ("POST", "/v1/wallets/{user_id}/refunds", MONEY),
    ("GET", "/v1/tariffs", EVERYBODY),
    ("POST", "/v1/tariffs", STAFF),
    ("GET", "/v1/tariffs/{tariff_id}", EVERYBODY),
    ("POST", "/v1/tariffs/{tariff_id}/versions", STAFF),
    ("POST", "/v1/tariffs/{tariff_id}/withdraw", STAFF),
    ("GET", "/v1/ledger/trial-balance", BOOKS),
    ("GET", "/v1/ledger/accounts", BOOKS),
    ("GET", "/v1/ledger/accounts/{code}/statement", BOOKS),
    ("GET", "/v1/ledger/entries", BOOKS),
    ("GET", "/v1/ledger/entries/{entry_id}", BOOKS),
    ("GET", "/v1/ledger/explain", BOOKS),
    ("GET", "/v1/receivables", MONEY),
    ("GET", "/v1/session-errors", &[Finance, Operator, Regulator, Admin]),
    ("GET", "/v1/statistics/daily", &[Finance, Operator, Regulator, Admin]),
    ("GET", "/v1/projections", STAFF),
    ("GET", "/v1/projections/quarantined", STAFF),
    ("GET", "/v1/projections/{name}", STAFF),
    ("POST", "/v1/projections/{name}/resume", ADMINS),
    ("POST", "/v1/projections/{name}/quarantine", ADMINS),
    ("POST", "/v1/projections/{name}/rebuild", ADMINS),
    ("POST", "/v1/projections/{name}/rebuild/pause", ADMINS),
    ("POST", "/v1/projections/{name}/rebuild/resume", ADMINS),
    ("POST", "/v1/projections/{name}/rebuild/cancel", ADMINS),
    ("POST", "/v1/projections/{name}/swap", ADMINS),
    ("POST", "/v1/projections/{name}/rollback", ADMINS),
    ("GET", "/v1/projections/{name}/diff", ADMINS),
    ("POST", "/v1/projections/{name}/repair", ADMINS),
    ("DELETE", "/v1/projections/{name}/builds/{number}", ADMINS),
    ("GET", "/v1/keys", ADMINS),
    ("POST", "/v1/keys", ADMINS),
    ("GET", "/v1/keys/{key_id}", ADMINS),
    ("POST", "/v1/keys/{key_id}/revoke", ADMINS),
    ("GET", "/v1/operators", ADMINS),
    ("POST", "/v1/operators", ADMINS),
    ("PUT", "/v1/operators/{operator_id}/booking", &[Finance, Admin]),
    ("POST", "/v1/device-events", DEVICES),
    ("POST", "/v1/webhooks/{channel}", &[App, Operator, Gateway, Admin]),
];

/// Who may call this path; none when it is closed.
#[must_use]
pub fn roles(method: &str, path: &str) -> Option<&'static [Role]> {
    let method = if method == "HEAD" { "GET" } else { method };
    ACCESS.iter().find(|(m, p, _)| *m == method && *p == path).map(|(_, _, roles)| *roles)
}

/// A role's name.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        App => "app",
        Finance => "finance",
        Operator => "operator",
        Gateway => "gateway",
        Regulator => "regulator",
        Partner => "partner",
        Admin => "admin",
    }
}

/// Lets a request through if its key is valid, has not asked too often, and its role may do this.
pub async fn guard(State(api): State<Arc<Api>>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    match admit(&api, request.method(), path.as_str(), request.headers()) {
        Ok(principal) => {
            tracing::Span::current().record("key", tracing::field::display(principal.key_id));
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit(api: &Api, method: &Method, path: &str, headers: &HeaderMap) -> Result<Principal, Problem> {
    let token = bearer(headers).ok_or_else(|| Problem::new(Kind::Unauthenticated, "send Authorization: Bearer with an API key"))?;
    let principal = api.keys.authenticate(token).ok_or_else(|| Problem::new(Kind::Unauthenticated, "the API key is unknown or revoked"))?;
    api.rates.take(principal.key_id, &api.limits)?;
    let roles = roles(method.as_str(), path).unwrap_or_default();
    if roles.contains(&principal.role) {
        Ok(principal)
    } else {
        let names: Vec<&str> = roles.iter().copied().map(role_name).collect();
        let detail = format!("a key of role {} may not do this", role_name(principal.role));
        Err(Problem::new(Kind::Forbidden, detail).with("roles", names))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.trim())
}

/// Who asks, once they have been let through.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The key.
    pub principal: Principal,
    /// On whose behalf, and when.
    pub caller: Caller,
}

impl Asker {
    /// Whose data they see.
    #[must_use]
    pub const fn operator_id(&self) -> OperatorId {
        self.caller.operator_id
    }

    /// The same, of something that happened at another time.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Caller {
        Caller { at, ..self.caller.clone() }
    }
}

impl FromRequestParts<Arc<Api>> for Asker {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Asker, Problem> {
        let principal = parts
            .extensions
            .get::<Principal>()
            .cloned()
            .ok_or_else(|| Problem::broken(Kind::Internal, &"a guarded handler was reached without a key"))?;
        let actor = Actor::new(kind(principal.role), format!("key/{}", principal.key_id));
        let caller = Caller { operator_id: principal.operator_id, actor, at: api.commands.ledger.clock().now() };
        Ok(Asker { principal, caller })
    }
}

const fn kind(role: Role) -> ActorKind {
    match role {
        App => ActorKind::User,
        Finance | Operator | Admin => ActorKind::Staff,
        Gateway => ActorKind::Device,
        Regulator | Partner => ActorKind::Partner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_in_the_table_is_closed() {
        assert_eq!(roles("GET", "/v1/secrets"), None);
        assert_eq!(roles("HEAD", "/v1/sessions"), roles("GET", "/v1/sessions"));
    }

    #[test]
    fn a_key_is_read_from_a_bearer_header_only() {
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&headers("Bearer clk_1")), Some("clk_1"));
        assert_eq!(bearer(&headers("bearer clk_1")), Some("clk_1"));
        assert_eq!(bearer(&headers("Basic clk_1")), None);
        assert_eq!(bearer(&headers("clk_1")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn no_path_stands_twice_in_the_table() {
        let mut seen = std::collections::BTreeSet::new();
        assert!(ACCESS.iter().all(|(method, path, _)| seen.insert((method, path))));
    }
}
