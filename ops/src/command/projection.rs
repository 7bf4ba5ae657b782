//! `projection list|show`: read from the database, so that it works beside a serving process and without one.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use domain::log::EventStore as _;
use projections::port::{Build, ReadStore};
use serde_json::{Value, json};

use crate::cli::Projection;
use crate::compose::{open_reading, read_models};
use crate::config::Config;
use crate::output::{Answer, grouped};

pub(crate) async fn run(config: &Config, what: &Projection) -> anyhow::Result<Answer> {
    let Some(database) = read_models(config)? else { bail!("no database is configured: set CHARGELEDGER_DATABASE_URL") };
    let database: Arc<dyn ReadStore> = database;
    let head = open_reading(config)?.head().await?;
    let builds = database.builds().await?;
    let one = |build: &Build| {
        let lag = head.events.saturating_sub(build.counted.total());
        let mut value = serde_json::to_value(build)?;
        value["lag"] = lag.into();
        value["head"] = head.position.0.into();
        Ok::<Value, anyhow::Error>(value)
    };
    match what {
        Projection::List => {
            let values: Vec<Value> = builds.iter().map(one).collect::<Result<_, _>>()?;
            let line = |build: &Build| {
                let lag = head.events.saturating_sub(build.counted.total());
                let state = if build.halt.is_some() { "halted".to_owned() } else { format!("{:?}", build.state).to_lowercase() };
                format!("{:24}  {:8}  position {:>12}  lag {:>9}", build.table_name(), state, grouped(build.position.0), grouped(lag))
            };
            let text = builds.iter().map(line).collect::<Vec<_>>().join("\n");
            let mut answer = Answer::new(&json!({ "head": head.position, "projections": values }), text)?;
            answer.is_fine = builds.iter().all(|build| build.halt.is_none());
            Ok(answer)
        }
        Projection::Show { name } => {
            let found: Vec<&Build> = builds.iter().filter(|build| build.name == *name).collect();
            if found.is_empty() {
                let known: Vec<&str> = builds.iter().map(|build| build.name.as_str()).collect();
                return Err(anyhow!("there is no projection {name}; there are: {}", known.join(", ")));
            }
            let values: Vec<Value> = found.iter().map(|build| one(build)).collect::<Result<_, _>>()?;
            let text = serde_json::to_string_pretty(&values)?;
            let mut answer = Answer::new(&json!({ "name": name, "builds": values }), text)?;
            answer.is_fine = found.iter().all(|build| build.halt.is_none());
            Ok(answer)
        }
    }
}
