//! Who comes first with TLS. A process of its own, because a provider is installed once for all.

mod standin;

use esdb::{EsdbStore, EsdbUrl, OpenError, Patience};
use standin::StandIn;

#[tokio::test]
async fn a_process_that_has_set_up_tls_before_is_told_so_instead_of_hanging() {
    let stand_in = StandIn::start().await;
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    let url: EsdbUrl = stand_in.url().parse().unwrap();
    let refused = EsdbStore::open(&url, Patience::default()).await;
    assert!(matches!(refused, Err(OpenError::TlsTaken)));
}
