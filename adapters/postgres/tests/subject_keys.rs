//! The keys of personal data in a database: the port's contract, and no trace of a key that was destroyed.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use commands::port::{SubjectKeyError, SubjectKeys};
use commands::testing::subject_keys;
use domain::testing::id;
use read_models::SharedKeys;
use support::{Database, on_postgres};

fn keys(url: &str) -> SharedKeys {
    SharedKeys::new(url).unwrap()
}

#[test]
fn the_contract_is_kept() {
    on_postgres(|database: Database| async move {
        // The database is made by whoever comes first; each rule then finds it empty.
        let made = AtomicU32::new(0);
        subject_keys::all(async || {
            let (one, other) = (keys(&database.url()), keys(&database.url()));
            one.info().await.unwrap();
            made.fetch_add(1, Ordering::Relaxed);
            database.sql("TRUNCATE subject_keys.subjects, subject_keys.lookups, subject_keys.lookup_key").await;
            (Arc::new(one) as Arc<dyn SubjectKeys>, Arc::new(other) as Arc<dyn SubjectKeys>)
        })
        .await;
        assert_eq!(made.into_inner(), 6);
    });
}

#[test]
fn two_processes_that_come_first_at_once_make_one_store() {
    on_postgres(|database: Database| async move {
        let stores: Vec<SharedKeys> = (0..6).map(|_| keys(&database.url())).collect();
        let made = futures::future::join_all(stores.iter().map(|store| store.lookup_key(rand::random()))).await;
        assert!(made.iter().all(|key| key.is_ok() && key == &made[0]), "{made:?}");
    });
}

#[test]
fn a_destroyed_key_leaves_no_row_behind() {
    on_postgres(|database: Database| async move {
        let keys = keys(&database.url());
        keys.get_or_create(id(1), [0xa5; 32]).await.unwrap();
        database.sql("CREATE EXTENSION pageinspect").await;
        let rows = "SELECT count(*) FROM heap_page_items(get_raw_page('subject_keys.subjects', 0)) WHERE t_data IS NOT NULL";
        assert_eq!(database.number(rows).await, 1, "the test can find it");
        keys.destroy(id(1)).await.unwrap();
        let pages = "SELECT (pg_relation_size('subject_keys.subjects') / 8192)::bigint";
        if database.number(pages).await > 0 {
            assert_eq!(database.number(rows).await, 0);
        }
    });
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be() {
    let away = keys("postgresql://keys:secret@127.0.0.1:9/keys");
    let error = away.get(id(1)).await.unwrap_err();
    assert!(
        matches!(&error, SubjectKeyError::Unavailable { reason } if reason.contains("127.0.0.1") || reason.contains("refused")),
        "{error}"
    );
    assert!(!error.to_string().contains("secret"), "{error}");
}
