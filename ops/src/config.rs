//! Where everything is: from `chargeledger.toml`, then the environment, then the command line; the later one wins. Every setting has the same name in both,
//! `listen` and `CHARGELEDGER_LISTEN`. `docs/configuration.md` lists them.
//!
//! Secrets are never printed: a URL shows without its password.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use esdb::{EsdbUrl, UrlError};
use serde::Deserialize;

use crate::cli::Global;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file was named, and cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It is not what a configuration is.
    #[error("{} is not a configuration: {reason}", path.display())]
    Form { path: PathBuf, reason: String },
    /// A value is not what its setting holds.
    #[error("{from}: {reason}")]
    Value { from: String, reason: String },
}

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) event_store: EventStoreUrl,
    /// Without it there are no read models.
    pub(crate) database_url: Option<DatabaseUrl>,
    /// Without it nothing is published.
    pub(crate) nats_url: Option<NatsUrl>,
    /// With what NATS is told who this is, beside what the URL has in it.
    pub(crate) nats_credentials: Option<NatsCredentials>,
    /// How many servers keep the feed's stream.
    pub(crate) nats_replicas: Replicas,
    /// How large the stream may become.
    pub(crate) nats_max_bytes: Option<Bytes>,
    /// The database with the keys of personal data; without it they lie in a file beside the log.
    pub(crate) key_store: Option<DatabaseUrl>,
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    /// Which lines are logged; without it, a server tells what it does and the rest is quiet.
    pub(crate) log: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) sandbox: SandboxMode,
    /// With which a command goes through a server.
    pub(crate) api_key: Option<ApiKey>,
    /// A projection that stands still for this long while the log moves on is started again.
    pub(crate) projection_stuck_after: Seconds,
    /// Read models that are missing, or that another version of their fold has filled, are rebuilt without being asked for.
    pub(crate) auto_rebuild: bool,
    /// Whether somebody has to agree to what differs before a rebuilt view serves.
    pub(crate) swap_approval: bool,
    /// The collector that traces are sent to; without it there are none.
    pub(crate) otlp_endpoint: Option<OtlpEndpoint>,
    /// Which part of the stories is traced.
    pub(crate) trace_ratio: Ratio,
}

/// Which engine, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventStoreUrl {
    /// A directory of this machine.
    Embedded(PathBuf),
    /// EventStoreDB or KurrentDB: a server or a cluster.
    Server(Box<EsdbUrl>),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How the sandbox channel behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SandboxMode {
    /// Payers pay at once; reports come once and in order.
    Prompt,
    /// As real channels: late, twice, out of order, or never; payers pay when somebody plays them.
    Realistic,
}

/// An API key's secret. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiKey(String);

impl ApiKey {
    /// The secret, for sending it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Where a collector takes traces: OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtlpEndpoint(String);

impl OtlpEndpoint {
    /// The URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of the whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio(pub(crate) f64);

/// A time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

/// A database's URL. Its password is not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseUrl(String);

impl DatabaseUrl {
    /// With the password, for connecting.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the known-harmless parts are shown: whatever else the text has in it may be a secret.
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str("(set)") };
        let rest = rest.split('?').next().unwrap_or_default();
        match rest.rsplit_once('@') {
            Some((account, place)) => write!(f, "{scheme}://{}@{place}", account.split(':').next().unwrap_or_default()),
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where NATS is: one server, or several of a cluster. Passwords are not shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NatsUrl(String);

impl NatsUrl {
    /// With the passwords, for connecting.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands before the @ may be a password or a token.
        let shown = self.0.split(',').map(str::trim).map(|url| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
            (None, Some((_, place))) => place.to_owned(),
            (_, None) => url.to_owned(),
        });
        f.write_str(&shown.collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A file of credentials for NATS, or a seed. It is not shown: it may be the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NatsCredentials(String);

impl NatsCredentials {
    /// As it was set.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NatsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsCredentials(…)")
    }
}

/// How many servers keep a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replicas(pub(crate) usize);

/// A size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

/// The settings as a file or the environment has them: text, or nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    event_store: Option<String>,
    database_url: Option<String>,
    nats_url: Option<String>,
    nats_credentials: Option<String>,
    nats_replicas: Option<Written>,
    nats_max_bytes: Option<Written>,
    key_store: Option<String>,
    listen: Option<String>,
    data_dir: Option<String>,
    log: Option<String>,
    log_format: Option<String>,
    sandbox: Option<String>,
    api_key: Option<String>,
    projection_stuck_after_s: Option<Written>,
    auto_rebuild: Option<Switch>,
    swap_approval: Option<Switch>,
    otlp_endpoint: Option<String>,
    trace_ratio: Option<Written>,
}

/// Yes or no may be written as such, or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Switch {
    Bool(bool),
    Text(String),
}

impl Switch {
    fn text(&self) -> String {
        match self {
            Switch::Bool(yes) => yes.to_string(),
            Switch::Text(text) => text.clone(),
        }
    }
}

/// Whether something is on.
struct Yes(bool);

impl FromStr for Yes {
    type Err = String;
    fn from_str(text: &str) -> Result<Yes, String> {
        text.parse().map(Yes).map_err(|_| format!("{text} is neither true nor false"))
    }
}

/// A number may be written as one, or as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Part(f64),
    Text(String),
}

impl Written {
    fn text(&self) -> String {
        match self {
            Written::Number(number) => number.to_string(),
            Written::Part(part) => part.to_string(),
            Written::Text(text) => text.clone(),
        }
    }
}

impl Config {
    /// The configuration of this process.
    pub(crate) fn load(global: &Global, listen: Option<&str>) -> Result<Config, ConfigError> {
        let (path, is_named) = match &global.config {
            Some(path) => (path.clone(), true),
            None => (PathBuf::from("chargeledger.toml"), false),
        };
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => Settings::parse(&path, &text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => Settings::default(),
            Err(source) => return Err(ConfigError::File { path, source }),
        };
        Config::of(&path, &file, |name| std::env::var(name).ok().filter(|value| !value.is_empty()), global, listen)
    }

    fn of(
        path: &Path,
        file: &Settings,
        environment: impl Fn(&str) -> Option<String>,
        global: &Global,
        listen: Option<&str>,
    ) -> Result<Config, ConfigError> {
        // Each value with where it comes from, so that an error names the place to mend.
        let setting = |name: &str, value: &Option<String>| {
            let variable = format!("CHARGELEDGER_{}", name.to_uppercase());
            match environment(&variable) {
                Some(value) => Some((value, variable)),
                None => value.clone().map(|value| (value, format!("{name} in {}", path.display()))),
            }
        };
        let flag = |flag: &str, value: Option<String>| value.map(|value| (value, flag.to_owned()));

        let data_dir = global.data_dir.clone().or_else(|| setting("data_dir", &file.data_dir).map(|(value, _)| value.into()));
        let data_dir = data_dir.unwrap_or_else(|| "chargeledger-data".into());
        let event_store = match (&global.data_dir, setting("event_store", &file.event_store)) {
            // Whoever names a directory on the command line means that one.
            (Some(_), _) | (None, None) => EventStoreUrl::Embedded(data_dir.clone()),
            (None, Some(setting)) => parse(setting)?,
        };
        let listen = flag("--listen", listen.map(str::to_owned)).or_else(|| setting("listen", &file.listen));
        Ok(Config {
            event_store,
            database_url: setting("database_url", &file.database_url).map(parse).transpose()?,
            nats_url: setting("nats_url", &file.nats_url).map(parse).transpose()?,
            nats_credentials: setting("nats_credentials", &file.nats_credentials).map(|(value, _)| NatsCredentials(value)),
            nats_replicas: setting("nats_replicas", &file.nats_replicas.as_ref().map(Written::text)).map_or(Ok(Replicas(1)), parse)?,
            nats_max_bytes: setting("nats_max_bytes", &file.nats_max_bytes.as_ref().map(Written::text)).map(parse).transpose()?,
            key_store: setting("key_store", &file.key_store).map(parse).transpose()?,
            listen: match listen {
                Some((text, from)) => text.parse().map_err(|_| ConfigError::Value {
                    from,
                    reason: format!("\"{text}\" is not an address and a port like 127.0.0.1:8600"),
                })?,
                None => SocketAddr::from(([127, 0, 0, 1], 8600)),
            },
            data_dir,
            log: setting("log", &file.log).map(|(value, _)| value),
            log_format: setting("log_format", &file.log_format).map_or(Ok(LogFormat::Text), parse)?,
            sandbox: setting("sandbox", &file.sandbox).map_or(Ok(SandboxMode::Prompt), parse)?,
            api_key: setting("api_key", &file.api_key).map(|(secret, _)| ApiKey(secret)),
            projection_stuck_after: setting("projection_stuck_after_s", &file.projection_stuck_after_s.as_ref().map(Written::text))
                .map_or(Ok(Seconds(Duration::from_secs(30))), parse)?,
            auto_rebuild: setting("auto_rebuild", &file.auto_rebuild.as_ref().map(Switch::text)).map_or(Ok(Yes(true)), parse)?.0,
            swap_approval: setting("swap_approval", &file.swap_approval.as_ref().map(Switch::text)).map_or(Ok(Yes(false)), parse)?.0,
            otlp_endpoint: setting("otlp_endpoint", &file.otlp_endpoint).map(parse).transpose()?,
            trace_ratio: setting("trace_ratio", &file.trace_ratio.as_ref().map(Written::text)).map_or(Ok(Ratio(1.0)), parse)?,
        })
    }
}

/// The variables that look like settings and are none: one that is misspelt would be passed over without a word.
pub(crate) fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_unknown = |name: &String| match name.strip_prefix("CHARGELEDGER_") {
        None => false,
        Some("CONFIG") => false,
        Some(rest) => !rest.starts_with("TEST_") && !Settings::has(&rest.to_lowercase()),
    };
    names.into_iter().filter(is_unknown).collect()
}

impl Settings {
    /// Whether there is a setting of this name. The file's own reader knows, so that no second list can be forgotten.
    fn has(name: &str) -> bool {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        !name.is_empty()
            && is_plain
            && !matches!(toml::from_str::<Settings>(&format!("{name} = \"\"")), Err(error) if error.message().starts_with("unknown field"))
    }

    fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
        // The error's own message quotes the line, which may hold a password.
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            ConfigError::Form { path: path.to_owned(), reason: format!("line {line}: {}", error.message()) }
        })
    }
}

fn parse<T: FromStr<Err = String>>((text, from): (String, String)) -> Result<T, ConfigError> {
    text.parse().map_err(|reason| ConfigError::Value { from, reason })
}

impl fmt::Display for EventStoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventStoreUrl::Embedded(path) => write!(f, "embedded:{}", path.display()),
            EventStoreUrl::Server(url) => url.fmt(f),
        }
    }
}

impl FromStr for EventStoreUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<EventStoreUrl, String> {
        match text.split_once(':') {
            Some(("embedded", path)) if !path.is_empty() => Ok(EventStoreUrl::Embedded(path.into())),
            Some(_) if text.contains("://") => {
                text.parse().map(|url| EventStoreUrl::Server(Box::new(url))).map_err(|error: UrlError| error.to_string())
            }
            _ => Err(format!(
                "\"{}\" is not an event store like embedded:DIRECTORY or esdb://user:password@host:2113",
                text.split('@').next_back().unwrap_or_default()
            )),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<DatabaseUrl, String> {
        // Whether it names a database that is there is found out by connecting.
        read_models::check_url(text).map(|()| DatabaseUrl(text.to_owned()))
    }
}

impl FromStr for NatsUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<NatsUrl, String> {
        match nats_feed::connect::servers(text) {
            Ok(_) => Ok(NatsUrl(text.to_owned())),
            Err(error) => Err(format!("not the URL of a NATS server like nats://localhost:4222, or several with commas: {error}")),
        }
    }
}

impl FromStr for Replicas {
    type Err = String;
    fn from_str(text: &str) -> Result<Replicas, String> {
        match text.parse() {
            Ok(replicas @ (1 | 3 | 5)) => Ok(Replicas(replicas)),
            _ => Err(format!("\"{text}\" is none of 1, 3, 5")),
        }
    }
}

impl FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Bytes, String> {
        text.parse().ok().filter(|bytes| *bytes > 0).map(Bytes).ok_or_else(|| format!("\"{text}\" is not a number of bytes above 0"))
    }
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("\"{text}\" is neither text nor json")),
        }
    }
}

impl FromStr for OtlpEndpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<OtlpEndpoint, String> {
        let is_plain = |uri: &axum::http::Uri| uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
        match text.parse::<axum::http::Uri>() {
            Ok(uri) if is_plain(&uri) => Ok(OtlpEndpoint(text.to_owned())),
            _ => Err("not the URL of a collector that takes OTLP over HTTP, like http://127.0.0.1:4318 (TLS is the collector's to add)"
                .to_owned()),
        }
    }
}

impl FromStr for Ratio {
    type Err = String;
    fn from_str(text: &str) -> Result<Ratio, String> {
        let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        ratio.map(Ratio).ok_or_else(|| format!("\"{text}\" is not a part from 0 to 1, like 0.1"))
    }
}

impl FromStr for Seconds {
    type Err = String;
    fn from_str(text: &str) -> Result<Seconds, String> {
        let seconds = text.parse::<u64>().ok().filter(|seconds| (1..=86_400).contains(seconds));
        seconds
            .map(|seconds| Seconds(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("\"{text}\" is not a number of seconds from 1 to 86400"))
    }
}

impl FromStr for SandboxMode {
    type Err = String;
    fn from_str(text: &str) -> Result<SandboxMode, String> {
        match text {
            "prompt" => Ok(SandboxMode::Prompt),
            "realistic" => Ok(SandboxMode::Realistic),
            _ => Err(format!("\"{text}\" is neither prompt nor realistic")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(data_dir: Option<&str>) -> Global {
        Global { json: false, config: None, data_dir: data_dir.map(PathBuf::from) }
    }

    fn config(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let path = Path::new("chargeledger.toml");
        let variable = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::of(path, &Settings::parse(path, file)?, variable, &global(None), None)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let config = config("listen = \"127.0.0.1:1\"\nlog = \"debug\"", &[("CHARGELEDGER_LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!((config.listen.port(), config.log.as_deref()), (2, Some("debug")));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let path = Path::new("chargeledger.toml");
        let variable = |name: &str| (name == "CHARGELEDGER_EVENT_STORE").then(|| "embedded:/elsewhere".to_owned());
        let config = Config::of(path, &Settings::default(), variable, &global(Some("here")), Some("[::1]:3")).unwrap();
        assert_eq!(config.event_store, EventStoreUrl::Embedded("here".into()));
        assert_eq!(config.listen.port(), 3);
    }

    #[test]
    fn seconds_may_be_written_as_a_number_or_as_text() {
        let stuck_after = |file: &str| config(file, &[]).map(|config| config.projection_stuck_after.0.as_secs());
        assert_eq!((stuck_after("").unwrap(), stuck_after("projection_stuck_after_s = 5").unwrap()), (30, 5));
        assert_eq!(stuck_after("projection_stuck_after_s = \"7\"").unwrap(), 7);
        assert!(stuck_after("projection_stuck_after_s = 0").unwrap_err().to_string().contains("from 1 to 86400"));
    }

    #[test]
    fn traces_go_to_a_collector_that_is_named_and_to_none_otherwise() {
        assert_eq!(config("", &[]).unwrap().otlp_endpoint, None);
        let traced = config("otlp_endpoint = \"http://127.0.0.1:4318\"\ntrace_ratio = 0.25", &[]).unwrap();
        assert_eq!(traced.otlp_endpoint.as_ref().map(OtlpEndpoint::as_str), Some("http://127.0.0.1:4318"));
        assert_eq!(traced.trace_ratio, Ratio(0.25));
        for wrong in ["collector:4318", "https://collector:4318", "4318"] {
            let error = config("", &[("CHARGELEDGER_OTLP_ENDPOINT", wrong)]).unwrap_err().to_string();
            assert!(error.starts_with("CHARGELEDGER_OTLP_ENDPOINT: not the URL of a collector"), "{error}");
        }
        for wrong in ["2", "-0.1", "NaN", "half"] {
            let error = config("", &[("CHARGELEDGER_TRACE_RATIO", wrong)]).unwrap_err().to_string();
            assert_eq!(error, format!("CHARGELEDGER_TRACE_RATIO: \"{wrong}\" is not a part from 0 to 1, like 0.1"));
        }
    }

    #[test]
    fn swaps_need_approval_when_it_is_said_and_not_otherwise() {
        assert!(!config("", &[]).unwrap().swap_approval);
        assert!(config("swap_approval = true", &[]).unwrap().swap_approval);
        assert!(!config("swap_approval = true", &[("CHARGELEDGER_SWAP_APPROVAL", "false")]).unwrap().swap_approval);
        let error = config("", &[("CHARGELEDGER_SWAP_APPROVAL", "sometimes")]).unwrap_err().to_string();
        assert_eq!(error, "CHARGELEDGER_SWAP_APPROVAL: sometimes is neither true nor false");
    }

    #[test]
    fn an_error_says_where_the_mistake_is_and_what_is_wanted() {
        let error = config("", &[("CHARGELEDGER_LISTEN", "8600")]).unwrap_err().to_string();
        assert_eq!(error, "CHARGELEDGER_LISTEN: \"8600\" is not an address and a port like 127.0.0.1:8600");
        let error = config("log = \"info\"\nlisten_on = 1", &[]).unwrap_err().to_string();
        assert!(error.starts_with("chargeledger.toml is not a configuration: line 2: unknown field `listen_on`"), "{error}");
        let error = config("event_store = \"kurrentdb://db\"", &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("event_store in chargeledger.toml: the scheme kurrentdb:// is not spoken here: write esdb://"),
            "{error}"
        );
        let error = config("event_store = \"somewhere\"", &[]).unwrap_err().to_string();
        assert!(error.contains("embedded:DIRECTORY or esdb://"), "{error}");
    }

    #[test]
    fn a_variable_that_is_misspelt_is_noticed() {
        let said = |name: &str| unknown_variables([name.to_owned()]).len() == 1;
        for known in ["LISTEN", "CONFIG", "TRACE_RATIO", "AUTO_REBUILD", "NATS_REPLICAS", "TEST_SEEDS"] {
            assert!(!said(&format!("CHARGELEDGER_{known}")), "{known}");
        }
        assert!(said("CHARGELEDGER_LISTN") && said("CHARGELEDGER_DATABASE") && said("CHARGELEDGER_") && said("CHARGELEDGER_A-B"));
        assert!(!said("PATH") && !said("LISTN"));
    }

    #[test]
    fn a_nats_url_names_servers_and_keeps_its_passwords_to_itself() {
        let config = config("nats_url = \"nats://me:secret@a:4222, nats://b:4222\"\nnats_replicas = 3", &[]).unwrap();
        let url = config.nats_url.unwrap();
        assert_eq!((url.to_string().as_str(), config.nats_replicas), ("nats://a:4222,nats://b:4222", Replicas(3)));
        assert!(!format!("{url:?}").contains("secret") && url.reveal().contains("secret"));
    }

    #[test]
    fn a_stream_has_one_three_or_five_replicas_and_a_size_above_nothing() {
        let says = |file: &str, part: &str| {
            let error = config(file, &[]).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        says("nats_replicas = 2", "\"2\" is none of 1, 3, 5");
        says("nats_max_bytes = 0", "not a number of bytes above 0");
        says("nats_url = \"ws://a\"", "nats_url in chargeledger.toml: not the URL of a NATS server");
        assert_eq!(config("nats_max_bytes = \"1000\"", &[]).unwrap().nats_max_bytes, Some(Bytes(1_000)));
    }

    #[test]
    fn a_password_is_never_printed() {
        let file = "database_url = \"postgresql://app:secret@db/ledger?password=secret\"";
        let config = config(file, &[("CHARGELEDGER_API_KEY", "clk_secret"), ("CHARGELEDGER_NATS_CREDENTIALS", "SUsecret")]).unwrap();
        assert_eq!(config.nats_credentials.as_ref().unwrap().reveal(), "SUsecret");
        assert_eq!(config.api_key.as_ref().unwrap().reveal(), "clk_secret");
        assert!(config.database_url.as_ref().unwrap().reveal().contains("secret"));
        let printed = format!("{config:?} {}", config.database_url.as_ref().unwrap());
        assert!(!printed.contains("secret") && printed.contains("postgresql://app@db/ledger"), "{printed}");
        let error = self::config("", &[("CHARGELEDGER_DATABASE_URL", "postgresql://app:secret@db:port/ledger")]).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
