//! `health`: whether a server is ready, for health checks where there is nothing else to ask with: the container image has no shell and no curl.
//!
//! Deliberately absent: TLS. It asks the server of its own machine or its own container.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use reqwest::Client;
use serde_json::{Value, json};

use crate::cli::Health;
use crate::config::Config;
use crate::output::Answer;
use crate::server::url_of;

/// A server that takes longer is not ready, whatever it would have said.
const ANSWER_MAX: Duration = Duration::from_secs(4);

pub(crate) async fn run(config: &Config, options: &Health) -> anyhow::Result<Answer> {
    let url = options.server.clone().unwrap_or_else(|| url_of(config.listen));
    let url = url.trim_end_matches('/');
    let client = Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
    let role = options.role.and_then(|role| role.to_possible_value());
    let asked = role.map(|role| format!("?role={}", role.get_name())).unwrap_or_default();
    let response =
        client.get(format!("{url}/readyz{asked}")).send().await.with_context(|| format!("the server at {url} cannot be reached"))?;
    let status = response.status();
    let said: Value = response.json().await.unwrap_or_default();
    if !status.is_success() {
        let reason = said["detail"].as_str().or(said["title"].as_str()).unwrap_or("no reason given");
        bail!("the server at {url} is not ready ({status}): {reason}");
    }
    let json = json!({ "server": url, "ready": true, "position": said["position"], "roles": said["roles"] });
    let mut text = format!("the server at {url} is ready");
    for (name, role) in said["roles"].as_object().into_iter().flatten() {
        let word = |member: &str| role[member].as_str().unwrap_or_default().to_owned();
        let detail = if role["detail"].is_string() { format!(": {}", word("detail")) } else { String::new() };
        text.push_str(&format!("\n{name}  {}, {}{detail}", word("status"), word("state")));
    }
    Answer::new(&json, text)
}
