//! Answers: JSON with the headers that belong to it.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::log::{Position, Revision};
use serde::Serialize;

use crate::asked;

/// Where the log stands after a command: what `X-Min-Position` of a query waits for.
pub const X_POSITION: HeaderName = HeaderName::from_static("x-position");

/// An answer.
#[derive(Debug)]
pub struct Answer<T> {
    status: StatusCode,
    headers: HeaderMap,
    body: T,
}

impl<T: Serialize> Answer<T> {
    /// It is so.
    #[must_use]
    pub fn ok(body: T) -> Answer<T> {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    /// It has come to be, at this place.
    #[must_use]
    pub fn created(location: &str, body: T) -> Answer<T> {
        Answer { status: StatusCode::CREATED, ..Answer::ok(body) }.header(header::LOCATION, location)
    }

    /// It will come to be; look here.
    #[must_use]
    pub fn accepted(location: &str, body: T) -> Answer<T> {
        Answer { status: StatusCode::ACCEPTED, ..Answer::ok(body) }.header(header::LOCATION, location)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Answer<T> {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// With where the log stands.
    #[must_use]
    pub fn position(self, position: Option<Position>) -> Answer<T> {
        match position {
            Some(position) => self.header(X_POSITION, &position.to_string()),
            None => self,
        }
    }

    /// With the resource's revision.
    #[must_use]
    pub fn revision(self, revision: Option<Revision>) -> Answer<T> {
        match revision {
            Some(revision) => self.header(header::ETAG, &asked::etag(revision)),
            None => self,
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
