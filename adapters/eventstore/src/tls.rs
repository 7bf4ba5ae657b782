//! The process's TLS provider. The client installs its own one in a task of its own and panics there when another one is installed already; the client is then
//! dead without a word. So it goes first: whoever uses this engine claims the provider before anything else in the process speaks TLS, and what comes after finds
//! one installed.

use std::time::Duration;

use eventstore::{Client, ClientSettings};
use rustls::crypto::CryptoProvider;
use tokio::sync::OnceCell;

use crate::link::OpenError;

static CLAIMED: OnceCell<()> = OnceCell::const_new();

/// How long the client may take to install its provider: it does so before it reads anything.
const INSTALL_MAX: Duration = Duration::from_secs(10);

/// Lets the client install the process's TLS provider. Call it before anything else that may install one; to call it again costs nothing.
///
/// # Errors
/// When another part of the process has installed a provider already.
pub async fn claim_tls() -> Result<(), OpenError> {
    CLAIMED.get_or_try_init(claim).await.copied()
}

async fn claim() -> Result<(), OpenError> {
    if CryptoProvider::get_default().is_some() {
        return Err(OpenError::TlsTaken);
    }
    let nowhere: ClientSettings = "esdb://127.0.0.1:1?tls=false".parse().map_err(|_| OpenError::TlsNotReady)?;
    // Making one is enough: it connects only when it is used, and ends when it is dropped.
    let _client = Client::new(nowhere).map_err(|_| OpenError::TlsNotReady)?;
    let installed = async {
        while CryptoProvider::get_default().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(INSTALL_MAX, installed).await.map_err(|_| OpenError::TlsNotReady)
}
