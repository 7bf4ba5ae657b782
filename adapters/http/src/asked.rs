//! What stands in a request's head: ids in the path, query parameters, preconditions, how long to wait.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use commands::RequestIds;
use domain::log::Revision;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::Api;
use crate::problem::{Kind, Problem};

/// The id in the path.
#[derive(Debug, Clone, Copy)]
pub struct Id<T>(pub T);

impl<T: From<Uuid>> FromRequestParts<Arc<Api>> for Id<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Id<T>, Problem> {
        let unfit = || Problem::new(Kind::InvalidId, "an id is a UUID, like 0190a6c2-7b1e-7c3a-9d54-3f2a1b0c9e8d");
        let Path(text) = Path::<String>::from_request_parts(parts, api).await.map_err(|_| unfit())?;
        // Other spellings of a UUID (braces, urn:) would make two addresses of one thing.
        if !matches!(text.len(), 32 | 36) {
            return Err(unfit());
        }
        Uuid::try_parse(&text).map(|id| Id(T::from(id))).map_err(|_| unfit())
    }
}

/// The text in the path.
#[derive(Debug, Clone)]
pub struct Segment(pub String);

impl FromRequestParts<Arc<Api>> for Segment {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Segment, Problem> {
        let unfit = || Problem::new(Kind::InvalidId, "the path is not UTF-8");
        Path::<String>::from_request_parts(parts, api).await.map(|Path(text)| Segment(text)).map_err(|_| unfit())
    }
}

/// The query parameters.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Params<T>, Problem> {
        Query::<T>::try_from_uri(&parts.uri).map(|Query(params)| Params(params)).map_err(|rejection| {
            let mut reason: &dyn std::error::Error = &rejection;
            while let Some(source) = reason.source() {
                reason = source;
            }
            Problem::new(Kind::InvalidQuery, reason.to_string())
        })
    }
}

/// How many rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u32);

impl Default for Limit {
    fn default() -> Limit {
        Limit(50)
    }
}

impl FromStr for Limit {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Limit, &'static str> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|limit| is_plain && (1..=200).contains(limit)).map(Limit).ok_or("limit is a number from 1 to 200")
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(200))
            .default(Some(50.into()))
            .description(Some("At most this many rows."))
            .into()
    }
}
impl ToSchema for Limit {}

/// What `If-Match` asks for. It keeps a person from acting on what they have not seen: the command is tied to the revision that they saw, and refused when somebody
/// writes in between.
#[derive(Debug, Clone, Default)]
pub struct IfMatch(Option<String>);

impl FromRequestParts<Arc<Api>> for IfMatch {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<IfMatch, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(IfMatch(None)) };
        let unfit = || Problem::new(Kind::InvalidHeader, "If-Match is an ETag in its quotes, several with commas between, or *");
        let text = value.to_str().map_err(|_| unfit())?;
        if text.trim() == "*" || text.split(',').all(|tag| is_tag(tag.trim())) { Ok(IfMatch(Some(text.to_owned()))) } else { Err(unfit()) }
    }
}

impl IfMatch {
    /// Ties the request to what the client saw of the resource that it changes.
    ///
    /// # Errors
    /// When that is not, and cannot have been, what is there.
    pub fn tie(&self, ids: RequestIds, now: Option<Revision>) -> Result<RequestIds, Problem> {
        let Some(asked) = self.0.as_deref().filter(|asked| asked.trim() != "*") else { return Ok(ids) };
        match revision_of(asked) {
            // It may be this very request that has changed it, and whose answer got lost: the command knows itself again, and is refused if it does not.
            Some(seen) if now.is_some_and(|now| seen <= now) => Ok(ids.only_at(Some(seen))),
            Some(_) | None => self.check(now).map(|()| ids.only_at(now)),
        }
    }

    /// Whether the resource is as the client knows it: for what changes another one.
    ///
    /// # Errors
    /// When it has changed since.
    pub fn check(&self, revision: Option<Revision>) -> Result<(), Problem> {
        let (Some(asked), Some(revision)) = (&self.0, revision) else { return Ok(()) };
        if matches(asked, &etag(revision)) {
            return Ok(());
        }
        Err(Problem::new(Kind::PreconditionFailed, format!("the resource is at {}; read it again", etag(revision))))
    }
}

/// The revision of a single tag of ours.
fn revision_of(tag: &str) -> Option<Revision> {
    let tag = tag.trim();
    let number = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix("\"r")?.strip_suffix('"')?;
    number.parse().ok().map(Revision)
}

/// The tag of a resource at a revision.
#[must_use]
pub fn etag(revision: Revision) -> String {
    format!("\"r{revision}\"")
}

fn is_tag(text: &str) -> bool {
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    opaque.is_some_and(|opaque| opaque.bytes().all(|byte| byte == 0x21 || (0x23..=0x7e).contains(&byte)))
}

/// Whether one of a header's tags is this one. The comparison is the weak one: a proxy that compresses may weaken a tag.
#[must_use]
pub fn matches(header: &str, etag: &str) -> bool {
    header.trim() == "*" || header.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag.trim_start_matches("W/"))
}

/// How long the client would have us wait (`Prefer: wait=5`, RFC 7240), up to `most`.
#[must_use]
pub fn patience(headers: &HeaderMap, most: Duration) -> Duration {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for preference in preferences {
        let preference = preference.trim().to_ascii_lowercase();
        if preference == "respond-async" {
            return Duration::ZERO;
        }
        if let Some(seconds) = preference.strip_prefix("wait=").and_then(|seconds| seconds.parse().ok()) {
            return Duration::from_secs(seconds).min(most);
        }
    }
    most
}

/// The word that stands for a value of a closed set, in JSON as in the read models.
pub(crate) fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

impl<T: fmt::Display> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_from_1_to_200() {
        assert_eq!("200".parse(), Ok(Limit(200)));
        for bad in ["0", "201", "-1", "+5", "", "1.0", "99999999999999999999"] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_weakened_tag_still_matches_and_another_revision_does_not() {
        assert!(matches("W/\"r3\", \"r4\"", "\"r3\""));
        assert!(matches("*", "\"r3\""));
        assert!(!matches("\"r2\"", "\"r3\""));
    }

    #[test]
    fn a_client_may_wait_less_and_never_longer() {
        let most = Duration::from_secs(10);
        let headers = |value: &str| HeaderMap::from_iter([("prefer".parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(patience(&HeaderMap::new(), most), most);
        assert_eq!(patience(&headers("wait=2"), most), Duration::from_secs(2));
        assert_eq!(patience(&headers("respond-async, wait=2"), most), Duration::ZERO);
        assert_eq!(patience(&headers("wait=600"), most), most);
        assert_eq!(patience(&headers("wait=soon"), most), most);
    }
}
