//! The way to a ledger that a server is writing: the embedded store has one writing process, so what writes beside it goes through it, as a client of its API with
//! an admin key.
//!
//! Deliberately absent: TLS. This client is for the machine that the server runs on, or its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, bail};
use embedded::{EmbeddedStore, OpenError};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::cli::Through;
use crate::compose::{World, Writing};
use crate::config::{ApiKey, Config, EventStoreUrl};
use crate::output::wrong_usage;

/// How a command reaches the ledger.
pub(crate) enum Way {
    /// This process writes the store itself.
    Direct(Writing),
    /// A server does.
    Through(Server),
}

impl Way {
    /// The store itself, which has to be there; the server when one is named, or when one is writing and there is a key for it.
    pub(crate) async fn find(config: &Config, through: &Through) -> anyhow::Result<Way> {
        if let (None, EventStoreUrl::Embedded(path)) = (&through.server, &config.event_store) {
            EmbeddedStore::must_be_in(path)?;
        }
        Way::find_or_make(config, through).await
    }

    /// The same for what may be the first thing that is said to a ledger: the store is made when it is not there.
    pub(crate) async fn find_or_make(config: &Config, through: &Through) -> anyhow::Result<Way> {
        if let Some(url) = &through.server {
            let Some(key) = &config.api_key else { wrong_usage!("--server needs an admin key in CHARGELEDGER_API_KEY") };
            return Ok(Way::Through(Server::new(url, key)?));
        }
        let error = match Writing::open(config, World::Configured, None).await {
            Ok(writing) => return Ok(Way::Direct(writing)),
            Err(error) => error,
        };
        let Some(OpenError::Locked { pid, .. }) = error.downcast_ref() else { return Err(error) };
        match &config.api_key {
            Some(key) => Ok(Way::Through(Server::new(&url_of(config.listen), key)?)),
            // Where it listens is its own business: this process knows what it would listen on itself.
            None => bail!("process {pid} is writing: use --server with its address, and an admin key in CHARGELEDGER_API_KEY"),
        }
    }
}

/// A server of this ledger, as its client sees it.
pub(crate) struct Server {
    url: String,
    key: ApiKey,
    client: Client,
}

impl Server {
    fn new(url: &str, key: &ApiKey) -> anyhow::Result<Server> {
        if !url.starts_with("http://") {
            wrong_usage!("\"{url}\" is not the address of a server like http://127.0.0.1:8600; TLS is not spoken here");
        }
        let client = Client::builder().no_proxy().build()?;
        Ok(Server { url: url.trim_end_matches('/').to_owned(), key: key.clone(), client })
    }

    /// What stands at this path.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// Has something done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = &self.url;
        let mut request = self.client.request(method, format!("{url}{path}")).bearer_auth(self.key.reveal());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("the server at {url} cannot be reached"))?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(|| format!("what answers at {url} is not a server of this ledger"))?;
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["detail"].as_str().or(answer["title"].as_str()).unwrap_or("no reason given");
        let hint = if status == StatusCode::UNAUTHORIZED { " (CHARGELEDGER_API_KEY)" } else { "" };
        bail!("the server at {url} refused: {said}{hint}")
    }
}

/// Where a server that listens on this address is reached from its own machine.
pub(crate) fn url_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_listens_everywhere_is_reached_on_this_machine() {
        assert_eq!(url_of("0.0.0.0:8600".parse().unwrap()), "http://127.0.0.1:8600");
        assert_eq!(url_of("[::]:8600".parse().unwrap()), "http://[::1]:8600");
        assert_eq!(url_of("10.0.0.7:80".parse().unwrap()), "http://10.0.0.7:80");
    }
}
