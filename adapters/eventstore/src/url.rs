//! Where the server is: `esdb://…` and `esdb+discover://…`, checked before the client sees them, because the client's own errors quote the whole text.

use std::fmt;
use std::str::FromStr;

use eventstore::ClientSettings;

/// A server or a cluster. Its password is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct EsdbUrl {
    text: String,
    shown: String,
    account: Option<(String, String)>,
    ledger: Option<String>,
}

/// Why a text names no server. It never quotes the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme.
    #[error("not an event store like esdb://user:password@host:2113 or esdb+discover://cluster:2113")]
    Scheme,
    /// An old scheme of another protocol.
    #[error(
        "the scheme {scheme}:// is not spoken here: write esdb:// for a server or a list of them, esdb+discover:// for a cluster's name"
    )]
    OtherScheme {
        /// As it was written.
        scheme: String,
    },
    /// A part of it cannot be read.
    #[error("the event store's address cannot be read: {reason}")]
    Form {
        /// What is wrong, without quoting.
        reason: String,
    },
    /// A ledger's name that cannot begin a stream's.
    #[error("ledger={name} is not a ledger's name: letters, digits and _, at most 64")]
    LedgerName {
        /// As it was written.
        name: String,
    },
    /// Somebody asked for another node than the leader.
    #[error("nodePreference must be leader, or left out: the ledger reads what it has just written, which a follower may not have yet")]
    NotTheLeader,
}

impl EsdbUrl {
    /// What the client is given. The leader is asked, unless told otherwise: a follower would answer with yesterday's tail.
    pub(crate) fn settings(&self) -> Result<ClientSettings, UrlError> {
        let joint = if self.text.contains('?') { '&' } else { '?' };
        let text = match parameters(&self.text).any(|(name, _)| name.eq_ignore_ascii_case("nodepreference")) {
            true => self.text.clone(),
            false => format!("{}{joint}nodePreference=leader", self.text),
        };
        let settings = text.parse::<ClientSettings>().map_err(|error| {
            // Only the parser's own words: its message may be the whole text.
            let reason =
                error.error().map_or_else(|| "a host, a port or a parameter is not what it should be".to_owned(), ToString::to_string);
            UrlError::Form { reason }
        })?;
        let Some((name, password)) = &self.account else { return Ok(settings) };
        // The account comes in beside the parser, which takes `%40` literally; nothing else of the settings can be set from outside.
        let unfit = || UrlError::Form { reason: "the account does not fit the client's settings".to_owned() };
        let mut table = toml::Table::try_from(&settings).map_err(|_| unfit())?;
        let account = [("login", name), ("password", password)].map(|(key, text)| (key.to_owned(), text.as_str().into()));
        table.insert("default_user_name".to_owned(), toml::Value::Table(account.into_iter().collect()));
        table.try_into().map_err(|_| unfit())
    }

    /// Which of several ledgers on this server, when there are several.
    pub(crate) fn ledger(&self) -> Option<&str> {
        self.ledger.as_deref()
    }

    /// Another ledger on the same server.
    ///
    /// # Errors
    /// When the name is none.
    pub fn with_ledger(&self, name: &str) -> Result<EsdbUrl, UrlError> {
        let shown = self.shown.split('?').next().unwrap_or_default();
        let ledger = Some(ledger_name(name)?);
        Ok(EsdbUrl { shown: format!("{shown}?ledger={name}"), ledger, ..self.clone() })
    }

    /// Whether an account goes with every call.
    pub(crate) const fn has_account(&self) -> bool {
        self.account.is_some()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        !self.text.to_lowercase().contains("tls=false")
    }
}

fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = text.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.split_once('='))
}

impl FromStr for EsdbUrl {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<EsdbUrl, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        match scheme {
            "esdb" | "esdb+discover" => {}
            "kurrentdb" | "kurrent" | "kdb" | "kurrentdb+discover" | "kurrent+discover" | "kdb+discover" | "tcp" | "http" | "https" => {
                return Err(UrlError::OtherScheme { scheme: scheme.to_owned() });
            }
            _ => return Err(UrlError::Scheme),
        }
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        // A password may hold an @ that nobody has escaped: the last one ends the account.
        let (account, hosts) = place.rsplit_once('@').map_or((None, place), |(account, hosts)| (Some(account), hosts));
        if hosts.trim_end_matches('/').is_empty() {
            return Err(UrlError::Form { reason: "there is no host in it".to_owned() });
        }
        let account = account
            .map(|account| {
                let (name, password) = account.split_once(':').unwrap_or((account, ""));
                match (unescaped(name), unescaped(password)) {
                    (Some(name), Some(password)) => Ok((name, password)),
                    _ => Err(UrlError::Form { reason: "the account has a % that begins no escape; write it as %25".to_owned() }),
                }
            })
            .transpose()?;
        let hosts = hosts.trim_end_matches('/');
        let name = account.as_ref().map_or_else(String::new, |(name, _)| format!("{name}@"));
        let mut shown = format!("{scheme}://{name}{hosts}");
        // The client's parser never sees a password, nor what is not meant for it.
        let (ours, theirs): (Vec<&str>, Vec<&str>) =
            query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).partition(|pair| pair.starts_with("ledger="));
        let joint = if theirs.is_empty() { "" } else { "?" };
        let text = format!("{scheme}://{hosts}{joint}{}", theirs.join("&"));
        let ledger = ours.last().and_then(|pair| pair.split_once('=')).map(|(_, name)| ledger_name(name)).transpose()?;
        if parameters(&text).any(|(name, value)| name.eq_ignore_ascii_case("nodepreference") && !value.eq_ignore_ascii_case("leader")) {
            return Err(UrlError::NotTheLeader);
        }
        if let Some(name) = &ledger {
            shown.push_str(&format!("?ledger={name}"));
        }
        let url = EsdbUrl { text, shown, account, ledger };
        url.settings()?;
        Ok(url)
    }
}

fn ledger_name(name: &str) -> Result<String, UrlError> {
    let fits = !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { Ok(name.to_owned()) } else { Err(UrlError::LedgerName { name: name.to_owned() }) }
}

/// `%40` is an @.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for EsdbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for EsdbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventstore::Credentials;

    #[test]
    fn settings_besides_the_account_stay_as_they_are_written() {
        let url =
            |account: &str| format!("esdb://{account}a:2111,b:2112?tls=false&gossipTimeout=1234&keepAliveInterval=20000&connectionName=x");
        let settings = |account: &str| url(account).parse::<EsdbUrl>().unwrap().settings().unwrap();
        let (with, without) = (settings("admin:changeit@"), settings(""));
        assert_eq!((with.hosts(), with.gossip_timeout()), (without.hosts(), std::time::Duration::from_millis(1_234)));
        assert_eq!((with.is_secure_mode_enabled(), with.node_preference()), (false, eventstore::NodePreference::Leader));
    }

    #[test]
    fn a_server_a_list_and_a_cluster_s_name_are_addresses() {
        for text in [
            "esdb://localhost:2113?tls=false",
            "esdb://admin:changeit@a:2111,b:2112,c:2113?tls=true&tlsVerifyCert=false",
            "esdb+discover://admin:changeit@cluster.example:2113",
            "esdb://host",
        ] {
            text.parse::<EsdbUrl>().unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn an_address_of_something_else_says_what_to_write() {
        let error = |text: &str| text.parse::<EsdbUrl>().unwrap_err().to_string();
        assert!(error("kurrentdb://host").contains("write esdb://"));
        assert!(error("postgresql://host").contains("esdb://user:password@host:2113"));
        assert!(error("esdb://?tls=false").contains("no host"));
        assert!(error("esdb://host?ledger=a-b").contains("not a ledger's name"));
        assert!(error("esdb://host?nodePreference=follower").contains("must be leader"));
    }

    #[test]
    fn a_password_is_never_shown_whatever_is_wrong() {
        let url: EsdbUrl = "esdb://admin:se%40cret@host:2113?tls=false".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "esdb://admin@host:2113 esdb://admin@host:2113");
        let known = Credentials::new("admin", "se@cret");
        assert_eq!(url.settings().unwrap().default_authenticated_user(), &Some(known), "as it is meant");
        for text in [
            "esdb://admin:secret@host:port",
            "esdb://admin:secret@a:1,b:x",
            "esdb://a:secret@h?maxDiscoverAttempts=x",
            "esdb://a:secret%zz@h",
        ] {
            let error = text.parse::<EsdbUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }
}
