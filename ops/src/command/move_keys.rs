//! `store move-keys`: the keys of personal data, from `keys.db` into the database that all processes share.
//!
//! It holds `keys.db` alone while it works, the database takes all keys in one transaction or none, and only then is the file put aside. So it can be killed and run
//! again at any time.

use anyhow::{Context as _, anyhow, bail};
use embedded::HeldKeys;
use read_models::SharedKeys;
use serde_json::json;

use crate::compose::store_path;
use crate::config::{Config, DatabaseUrl};
use crate::output::{Answer, grouped};

pub(crate) async fn run(config: &Config, to: Option<&str>) -> anyhow::Result<Answer> {
    let directory = store_path(config);
    // Read here and not with the command line, which quotes what it does not understand.
    let named: Option<DatabaseUrl> = to.map(str::parse).transpose().map_err(|reason| anyhow!("--to: {reason}"))?;
    let Some(to) = named.as_ref().or(config.key_store.as_ref()) else {
        bail!("where to? Name the database with --to, or set CHARGELEDGER_KEY_STORE");
    };
    let target = SharedKeys::new(to.reveal()).map_err(|reason| anyhow!("{to}: {reason}"))?;
    if let Some(moved) = HeldKeys::put_aside_in(directory) {
        bail!("the keys were moved before: {} is what is left of them", moved.display());
    }
    if !HeldKeys::are_in(directory) {
        bail!("there is no keys.db in {}", directory.display());
    }
    let held = HeldKeys::hold(directory)?;
    let keys = held.all()?;
    let were_there = target.take(&keys).await.with_context(|| format!("the keys stay in {}", directory.display()))?;
    let aside = held.put_aside()?;
    let json = json!({
        "to": to.to_string(),
        "subjects": keys.subjects.len(),
        "lookups": keys.lookups.len(),
        "were_there": were_there,
        "verified": true,
        "put_aside": aside,
    });
    let text = format!(
        "the keys of {} persons and {} phone numbers are in {to}, each compared; {} were there\n\
         set CHARGELEDGER_KEY_STORE for every process of this ledger before it is served again\n\
         back that database up, then delete {}: with it, whoever is erased from now on could still be read",
        grouped(keys.subjects.len() as u64),
        grouped(keys.lookups.len() as u64),
        grouped(were_there as u64),
        aside.display(),
    );
    Answer::new(&json, text)
}
