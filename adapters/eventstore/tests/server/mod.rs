//! What a test runs against: the stand-in, or a real server when `CHARGELEDGER_TEST_ESDB` names one.

#![allow(dead_code, unreachable_pub)]

use esdb::{EsdbStore, EsdbUrl, Patience};
use uuid::Uuid;

use crate::standin::StandIn;

/// Names a real server or cluster. Each test makes a ledger of its own there, which stays.
pub const VARIABLE: &str = "CHARGELEDGER_TEST_ESDB";

/// The address of a real server, with an empty ledger on it.
pub fn real() -> Option<String> {
    let url = std::env::var(VARIABLE).ok().filter(|url| !url.is_empty())?;
    let joint = if url.contains('?') { '&' } else { '?' };
    Some(format!("{url}{joint}ledger=t{}", Uuid::now_v7().simple()))
}

pub async fn open(url: &str) -> EsdbStore {
    let url: EsdbUrl = url.parse().unwrap();
    EsdbStore::open(&url, Patience::default()).await.unwrap()
}

/// An empty store, and what has to outlive it.
pub async fn fresh() -> (EsdbStore, Option<StandIn>) {
    match real() {
        Some(url) => (open(&url).await, None),
        None => {
            let stand_in = StandIn::start().await;
            (open(&stand_in.url()).await, Some(stand_in))
        }
    }
}
