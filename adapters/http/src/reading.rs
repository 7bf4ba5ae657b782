//! Reading: pages and single rows of the read models, as fresh as the client asks.
//!
//! `X-Min-Position` waits for the read model, bounded; a client reads its own writes by sending on the position of its command's answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use domain::ids::OperatorId;
use domain::log::Position;
use domain::time::{Timestamp, ZoneName};
use projections::query::{Cursor, Found, Item, Query, ReadQueries, Test};
use projections::runner::WaitError;
use projections::value::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Api;
use crate::asked::{self, Limit};
use crate::auth::Asker;
use crate::problem::{Kind, Problem};
use crate::wire::{Time, in_zone};

/// How often a read model is asked how far it is, where nobody tells.
const POLL: Duration = Duration::from_millis(25);

/// A request to read.
#[derive(Debug)]
pub struct Look {
    /// Who asks.
    pub asker: Asker,
    min_position: Option<Position>,
    if_none_match: Option<String>,
    uri: Uri,
}

impl FromRequestParts<Arc<Api>> for Look {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Look, Problem> {
        let asker = Asker::from_request_parts(parts, api).await?;
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let min_position = match parts.headers.get("x-min-position") {
            None => None,
            Some(value) => {
                let position =
                    value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|position| i64::try_from(*position).is_ok());
                let unfit =
                    || Problem::new(Kind::InvalidHeader, "X-Min-Position is a position, like the one that a command's answer carries");
                Some(Position(position.ok_or_else(unfit)?))
            }
        };
        let if_none_match = text("if-none-match");
        let OriginalUri(uri) = OriginalUri::from_request_parts(parts, api).await.unwrap_or_else(|never| match never {});
        Ok(Look { asker, min_position, if_none_match, uri })
    }
}

impl Look {
    /// Whose data they see.
    #[must_use]
    pub const fn operator_id(&self) -> OperatorId {
        self.asker.operator_id()
    }

    /// The read models, once `view` has come as far as the client wants.
    ///
    /// # Errors
    /// When there are none, or the wait was in vain.
    pub async fn queries<'a>(&self, api: &'a Api, view: &str) -> Result<&'a dyn ReadQueries, Problem> {
        let Some(queries) = api.queries.as_deref() else { return Err(Problem::bare(Kind::ReadModelsUnavailable)) };
        let Some(position) = self.min_position else { return Ok(queries) };
        let head = api.commands.ledger.store().head().await?.position;
        if position > head {
            return Err(Problem::new(Kind::PositionAhead, format!("the ledger's last position is {head}")));
        }
        let behind = || Problem::bare(Kind::ReadModelBehind);
        let deadline = Instant::now() + api.limits.read_wait;
        if let Some(runner) = &api.runner {
            match runner.wait_for(&[view], position, api.limits.read_wait).await {
                Ok(()) => return Ok(queries),
                Err(WaitError::TimedOut { .. } | WaitError::Halted { .. }) => return Err(behind()),
                Err(WaitError::Unknown { .. }) => {}
            }
        }
        while queries.position(view).await? < position {
            if Instant::now() >= deadline {
                return Err(behind());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(queries)
    }

    /// A page of a read model.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn list(&self, api: &Api, query: Query, limit: Option<Limit>, cursor: Option<&str>) -> Result<Listed, Problem> {
        let cursor = cursor_of(cursor)?;
        let query = query.limit(limit.unwrap_or_default().0).after(cursor);
        let found = self.queries(api, &query.view).await?.page(&query).await?;
        Ok(self.listed(found))
    }

    /// Rows, with where to go on.
    #[must_use]
    pub fn listed(&self, found: Found) -> Listed {
        let next = found.next.as_ref().map(Cursor::to_string);
        let link = next.as_deref().map(|next| next_link(&self.uri, next));
        Listed { items: found.items.into_iter().map(localised).collect(), next, link }
    }

    /// Rows, with the cursor of the next page.
    #[must_use]
    pub fn listed_until(&self, items: Vec<Item>, next: Option<String>) -> Listed {
        let link = next.as_deref().map(|next| next_link(&self.uri, next));
        Listed { items, next, link }
    }

    /// One row of a read model.
    ///
    /// # Errors
    /// When there is none of this operator.
    pub async fn one(&self, api: &Api, view: &str, what: &str, id: Uuid) -> Result<Shown, Problem> {
        let id = id.to_string();
        let item = self.queries(api, view).await?.one(view, self.operator_id(), &[&id]).await?;
        Ok(self.shown(localised(item.ok_or_else(|| Problem::not_found(what, &id))?)))
    }

    /// An answer that a client that has it already need not get again.
    #[must_use]
    pub fn shown(&self, item: impl Serialize) -> Shown {
        let body = serde_json::to_value(item).unwrap_or_default();
        let etag = match body.get("revision").and_then(serde_json::Value::as_u64) {
            Some(revision) => asked::etag(domain::log::Revision(revision)),
            None => {
                let digest = Sha256::digest(body.to_string().as_bytes());
                let hex: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
                format!("W/\"{hex}\"")
            }
        };
        let is_known = self.if_none_match.as_deref().is_some_and(|known| asked::matches(known, &etag));
        Shown { body, etag, is_known }
    }
}

/// The cursor of a query parameter.
pub(crate) fn cursor_of(text: Option<&str>) -> Result<Option<Cursor>, Problem> {
    text.map(str::parse).transpose().map_err(Problem::from)
}

/// The same request, from there on.
fn next_link(uri: &Uri, next: &str) -> String {
    let others: Vec<&str> =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor=")).collect();
    let mut query = others.join("&");
    if !query.is_empty() {
        query.push('&');
    }
    format!("<{}?{query}cursor={next}>; rel=\"next\"", uri.path())
}

/// Rows of a station show its own clock.
fn localised(mut item: Item) -> Item {
    let zone: Option<ZoneName> = item.get("zone").and_then(serde_json::Value::as_str).and_then(|zone| zone.parse().ok());
    if let Some(zone) = zone {
        for (_, value) in item.iter_mut().filter(|(name, _)| name.ends_with("_at")) {
            if let Some(time) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
                *value = in_zone(time, &zone).into();
            }
        }
    }
    item
}

/// Rows of a list, and where it goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    items: Vec<T>,
    /// The `cursor` of the next page; null on the last.
    next: Option<String>,
}

/// A page as it is answered.
#[derive(Debug)]
pub struct Listed {
    items: Vec<Item>,
    next: Option<String>,
    link: Option<String>,
}

impl Listed {
    /// Without these columns.
    #[must_use]
    pub fn without(mut self, columns: &[&str]) -> Listed {
        self.items.iter_mut().for_each(|item| item.retain(|name, _| !columns.contains(&name.as_str())));
        self
    }
}

impl IntoResponse for Listed {
    fn into_response(self) -> Response {
        let Listed { items, next, link } = self;
        let mut response = Json(Page { items, next }).into_response();
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

/// One thing as it is answered.
#[derive(Debug)]
pub struct Shown {
    body: serde_json::Value,
    etag: String,
    is_known: bool,
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let mut response = if self.is_known { StatusCode::NOT_MODIFIED.into_response() } else { Json(self.body).into_response() };
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

/// Filters that a client may leave out.
pub(crate) trait Narrow {
    fn by_id(self, column: &str, id: Option<Uuid>) -> Self;
    fn by_text(self, column: &str, text: Option<&str>) -> Self;
    fn since_at(self, column: &str, time: Option<Time>) -> Self;
    fn until_at(self, column: &str, time: Option<Time>) -> Self;
    fn since_on(self, column: &str, date: Option<jiff::civil::Date>) -> Self;
    fn until_on(self, column: &str, date: Option<jiff::civil::Date>) -> Self;
    fn containing(self, text: Option<crate::wire::SearchText>) -> Self;
}

impl Narrow for Query {
    fn by_id(self, column: &str, id: Option<Uuid>) -> Query {
        id.map(Value::Uuid).into_iter().fold(self, |query, id| query.filter(column, Test::Is(id)))
    }
    fn by_text(self, column: &str, text: Option<&str>) -> Query {
        text.map(|text| Value::Text(text.to_owned())).into_iter().fold(self, |query, text| query.filter(column, Test::Is(text)))
    }
    fn since_at(self, column: &str, time: Option<Time>) -> Query {
        time.into_iter().fold(self, |query, time| query.filter(column, Test::AtLeast(Value::Timestamp(time.0))))
    }
    fn until_at(self, column: &str, time: Option<Time>) -> Query {
        time.into_iter().fold(self, |query, time| query.filter(column, Test::Below(Value::Timestamp(time.0))))
    }
    fn since_on(self, column: &str, date: Option<jiff::civil::Date>) -> Query {
        date.into_iter().fold(self, |query, date| query.filter(column, Test::AtLeast(Value::Date(date))))
    }
    fn until_on(self, column: &str, date: Option<jiff::civil::Date>) -> Query {
        date.into_iter().fold(self, |query, date| query.filter(column, Test::AtMost(Value::Date(date))))
    }
    fn containing(self, text: Option<crate::wire::SearchText>) -> Query {
        match text {
            Some(text) => self.text(text.0),
            None => self,
        }
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// At most this many rows.
    #[param(inline)]
    pub limit: Option<Limit>,
    /// Where the page before ended: its `next`.
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        let uri: Uri = "/v1/sessions?status=settled&cursor=old&limit=5".parse().unwrap();
        assert_eq!(next_link(&uri, "new"), "</v1/sessions?status=settled&limit=5&cursor=new>; rel=\"next\"");
        assert_eq!(next_link(&"/v1/sessions".parse().unwrap(), "new"), "</v1/sessions?cursor=new>; rel=\"next\"");
    }

    #[test]
    fn a_row_with_a_zone_shows_its_times_there() {
        let row = serde_json::json!({"zone": "Asia/Shanghai", "started_at": "2026-03-01T00:00:00Z", "note": "x", "ended_at": null});
        let serde_json::Value::Object(row) = row else { unreachable!() };
        let shown = localised(row);
        assert_eq!((&shown["started_at"], &shown["ended_at"]), (&serde_json::json!("2026-03-01T08:00:00+08:00"), &serde_json::Value::Null));
    }
}
