//! The names of streams.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::ids::{ApiKeyId, ConnectorId, OperatorId, PaymentId, PileId, SessionId, StationId, TariffId, UserId};

/// The name of a stream: a category, a dash, and a key. Everything in one stream is consistent at once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StreamId(Arc<str>);

macro_rules! streams {
    ($($function:ident($id:ty) $category:literal;)*) => {$(
        #[doc = concat!("`", $category, "-…`")]
        #[must_use]
        pub fn $function(id: $id) -> StreamId {
            StreamId(format!(concat!($category, "-{}"), id).into())
        }
    )*};
}

impl StreamId {
    streams! {
        session(SessionId) "session";
        payment(PaymentId) "payment";
        wallet(UserId) "wallet";
        connector(ConnectorId) "connector";
        pile(PileId) "pile";
        station(StationId) "station";
        tariff(TariffId) "tariff";
        user(UserId) "user";
        operator(OperatorId) "operator";
        api_key(ApiKeyId) "key";
        journal(OperatorId) "journal";
        request(&str) "request";
        process(&str) "process";
        projection(&str) "projection";
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before the first dash.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&*self.0, |(category, _)| category)
    }

    /// What comes after the first dash.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, key)| key)
    }
}

impl From<Arc<str>> for StreamId {
    fn from(name: Arc<str>) -> StreamId {
        StreamId(name)
    }
}

impl From<&str> for StreamId {
    fn from(name: &str) -> StreamId {
        StreamId(name.into())
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
