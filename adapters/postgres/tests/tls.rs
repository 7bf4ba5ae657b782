//! TLS on the way to the server: verified, or refused.

mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use projections::fold::keyed;
use projections::port::{ReadStore as _, ReadStoreError};
use projections::rebuild::port::{Job, Phase};
use projections::rebuild::{Options, Rebuilder};
use projections::sessions::Sessions;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use read_models::{ReadModels, Settings};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use support::history::History;
use support::{Database, on_postgres, stored};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::config::Host;
use tokio_rustls::TlsAcceptor;

/// What a client sends first when it wants TLS: a length of 8, and the code 80877103 (PostgreSQL, "SSL Session Encryption").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Somebody who signs certificates, made for this test.
fn authority() -> (CertifiedIssuer<'static, KeyPair>, NamedTempFile) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    (issuer, file)
}

/// The TLS of a server whose certificate is for this name.
fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    TlsAcceptor::from(Arc::new(versions.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap()))
}

/// The real server behind TLS; without an acceptor it says that it has none. A client that does not ask for TLS is cut off.
async fn before(database: &Database, tls: Option<TlsAcceptor>) -> SocketAddr {
    let real: tokio_postgres::Config = database.url().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(carry(client, real.clone(), tls.clone()));
        }
    });
    address
}

/// An error is the client's to see: its connection ends.
async fn carry(mut client: TcpStream, real: tokio_postgres::Config, tls: Option<TlsAcceptor>) -> std::io::Result<()> {
    let mut asked = [0; 8];
    client.read_exact(&mut asked).await?;
    if asked != SSL_REQUEST {
        return Ok(());
    }
    let Some(tls) = tls else {
        client.write_all(b"N").await?;
        return Ok(());
    };
    client.write_all(b"S").await?;
    let mut client = tls.accept(client).await?;
    let port = real.get_ports().first().copied().unwrap_or(5432);
    match &real.get_hosts()[0] {
        Host::Unix(directory) => {
            let mut server = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
        Host::Tcp(host) => {
            let mut server = TcpStream::connect((host.as_str(), port)).await?;
            copy_bidirectional(&mut client, &mut server).await?;
        }
    }
    Ok(())
}

/// The same database, reached through there.
fn through(database: &Database, address: SocketAddr, query: &str) -> ReadModels {
    let real: tokio_postgres::Config = database.url().parse().unwrap();
    let (user, name) = (real.get_user().unwrap(), real.get_dbname().unwrap());
    let password = real.get_password().map_or_else(String::new, |password| format!(":{}", String::from_utf8_lossy(password)));
    let url = format!("postgresql://{user}{password}@localhost:{}/{name}?hostaddr=127.0.0.1&{query}", address.port());
    ReadModels::new(&url, Settings::default()).unwrap()
}

#[test]
fn every_connection_goes_over_tls_when_it_is_asked_for() {
    on_postgres(|database: Database| async move {
        let (authority, roots) = authority();
        let address = before(&database, Some(acceptor(&authority, "localhost"))).await;
        let query = format!("sslmode=verify-full&sslrootcert={}", roots.path().display());
        // The one in front cuts off whoever comes without: all that works here works over TLS.
        let read_models = Arc::new(through(&database, address, &query));
        let mut history = History::new(7).await;
        history.go_on(60).await;
        let log = history.log().clone();
        log.catch_up(&read_models, projections::all()).await;
        assert_eq!(read_models.leadership().lead(&[("sessions", 1)]).await.unwrap().len(), 1);
        let rebuilder = Rebuilder::new(log.store.clone(), read_models.clone(), Options::default(), Arc::new(|_: &Job| {}));
        let jobs = rebuilder.rebuild(vec![keyed::<Sessions>()], "a test").await.unwrap();
        assert!(jobs.into_iter().all(|job| job.unwrap().phase == Phase::Swapped));
        let sessions = keyed::<Sessions>();
        assert_eq!(stored(&read_models, &*sessions).await, log.folded(&*sessions).await);
    });
}

#[test]
fn a_server_that_cannot_prove_its_name_is_not_talked_to() {
    on_postgres(|database: Database| async move {
        let ((ours, roots), (theirs, _)) = (authority(), authority());
        let query = format!("sslmode=require&sslrootcert={}", roots.path().display());
        for (acceptor, says) in [
            // An authority that calls itself by the same name.
            (Some(acceptor(&theirs, "localhost")), "BadSignature"),
            (Some(acceptor(&ours, "another.example")), "not valid for name"),
            (None, "server does not support TLS"),
        ] {
            let read_models = through(&database, before(&database, acceptor).await, &query);
            let refused = read_models.ping().await;
            assert!(matches!(&refused, Err(ReadStoreError::Unavailable { reason }) if reason.contains(says)), "{says}: {refused:?}");
        }
        let plain = through(&database, before(&database, None).await, "sslmode=disable");
        assert!(plain.ping().await.is_err(), "the one in front cuts off whoever comes without TLS");
    });
}
