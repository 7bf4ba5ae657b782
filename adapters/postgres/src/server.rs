//! Where the database is, as a URL says it in libpq's words, and the TLS on the way there.
//!
//! `sslmode=require`, `verify-ca` and `verify-full` are one: TLS, and the certificate must be good for the host's name. Anything else goes without TLS: a
//! connection that looks encrypted and can be listened to helps nobody. Roots are `sslrootcert=FILE`, or those that the machine trusts.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A database server: the settings of a connection, and its TLS.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
}

impl Server {
    /// The server that a URL names.
    ///
    /// # Errors
    /// When the URL is none, or its root certificates cannot be read.
    pub(crate) fn of(url: &str) -> Result<Server, String> {
        let (url, wanted) = take_tls(url);
        // The URL may hold a password: what is wrong with it is said, it is not.
        let mut config = Config::from_str(&url)
            .map_err(|error| format!("not a PostgreSQL URL like postgresql://user:password@host/database: {error}"))?;
        let is_verified = match wanted.mode.as_deref() {
            Some("verify-ca" | "verify-full") => true,
            Some("allow") => false,
            Some(other) => return Err(format!("sslmode={other} is none of disable, allow, prefer, require, verify-ca, verify-full")),
            None => config.get_ssl_mode() == SslMode::Require,
        };
        config.ssl_mode(if is_verified { SslMode::Require } else { SslMode::Disable });
        let roots = match (is_verified, wanted.roots.as_deref()) {
            (false, _) => RootCertStore::empty(),
            (true, None | Some("system")) => of_the_machine(),
            (true, Some(file)) => of_file(Path::new(file))?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        Ok(Server { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// The same with other settings.
    pub(crate) fn with(&self, change: impl FnOnce(&mut Config)) -> Server {
        let mut server = self.clone();
        change(&mut server.config);
        server
    }

    /// The same with these run-time settings besides those that it has.
    pub(crate) fn with_options(&self, options: &str) -> Server {
        let given = self.config.get_options().unwrap_or_default().to_owned();
        self.with(|config| {
            config.options(format!("{given} {options}"));
        })
    }

    pub(crate) async fn connect(&self) -> Result<(Client, Connection<Socket, Stream>), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// Whether this is the URL of a database: it need not be there.
///
/// # Errors
/// What is wrong with it, without its password.
pub fn check_url(url: &str) -> Result<(), String> {
    Server::of(url).map(drop)
}

/// What a URL says about TLS that the driver does not know.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    mode: Option<String>,
    roots: Option<String>,
}

/// A URL without those of its parameters that are for us.
fn take_tls(url: &str) -> (String, Wanted) {
    let mut wanted = Wanted::default();
    let Some((place, query)) = url.split_once('?').filter(|(place, _)| place.contains("://")) else { return (url.to_owned(), wanted) };
    let kept = query.split('&').filter(|pair| match pair.split_once('=') {
        Some(("sslrootcert", file)) => {
            wanted.roots = Some(decoded(file));
            false
        }
        Some(("sslmode", mode)) if !matches!(mode, "disable" | "prefer" | "require") => {
            wanted.mode = Some(mode.to_owned());
            false
        }
        _ => true,
    });
    let kept: Vec<&str> = kept.collect();
    let url = if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
    (url, wanted)
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What this machine trusts. A store of which a part cannot be read still has the rest.
fn of_the_machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let unreadable = |why: String| format!("sslrootcert: {} holds no certificates: {why}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() { Err(unreadable("there is no BEGIN CERTIFICATE in it".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        match Server::of(url) {
            Err(error) => error,
            Ok(_) => panic!("{url} was taken"),
        }
    }

    #[test]
    fn tls_is_verified_or_it_is_not_there() {
        for (mode, expected) in [
            ("", SslMode::Disable),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=allow", SslMode::Disable),
            ("?sslmode=prefer", SslMode::Disable),
            ("?sslmode=require", SslMode::Require),
            ("?connect_timeout=3&sslmode=verify-ca", SslMode::Require),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require),
        ] {
            let server = Server::of(&format!("postgresql://app@db.example/ledger{mode}")).unwrap();
            assert_eq!(server.config.get_ssl_mode(), expected, "{mode}");
            assert_eq!(server.config.get_dbname(), Some("ledger"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_is() {
        for (query, says) in [
            ("sslmode=sometimes", "sslmode=sometimes is none of disable, allow, prefer, require"),
            ("sslmode=verify-full&sslrootcert=%2Fno%2Fsuch%20file", "sslrootcert: /no/such file holds no certificates"),
            ("sslmode=verify-full&sslrootcert=%2Fdev%2Fnull", "there is no BEGIN CERTIFICATE in it"),
        ] {
            let error = refused(&format!("postgresql://app:secret@db.example/ledger?{query}"));
            assert!(error.contains(says) && !error.contains("secret"), "{error}");
        }
    }
}
