//! Snapshots lie in memory or in a file: the same contract, and what becomes of a file that cannot be read.

use std::sync::Arc;

use commands::snapshot::Snapshots;
use domain::log::StreamId;
use embedded::SnapshotFile;
use memory::MemorySnapshots;

/// What was kept last is found, for each stream by itself, whatever it is.
async fn keeps_the_contract(snapshots: Arc<dyn Snapshots>) {
    let (one, other) = (StreamId::from("connector-1"), StreamId::from("connector-2"));
    assert_eq!(snapshots.find(&one).await, Ok(None));
    snapshots.keep(&one, vec![1, 2]).await.unwrap();
    snapshots.keep(&other, vec![]).await.unwrap();
    assert_eq!(snapshots.find(&one).await, Ok(Some(vec![1, 2])));
    assert_eq!(snapshots.find(&other).await, Ok(Some(vec![])));
    let large = vec![7; 5 << 20];
    snapshots.keep(&one, large.clone()).await.unwrap();
    assert_eq!(snapshots.find(&one).await, Ok(Some(large)));
    assert_eq!(snapshots.find(&other).await, Ok(Some(vec![])));
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(Arc::<MemorySnapshots>::default()).await;
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    keeps_the_contract(Arc::new(SnapshotFile::open(directory.path()).unwrap())).await;
}

#[tokio::test]
async fn a_file_is_found_again_and_one_that_is_damaged_or_foreign_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (stream, path) = (StreamId::from("connector-1"), directory.path().join("snapshots.db"));
    let kept = async |expected: Option<Vec<u8>>| {
        let snapshots = SnapshotFile::open(directory.path()).unwrap();
        assert_eq!(snapshots.find(&stream).await, Ok(expected));
        snapshots.keep(&stream, vec![1]).await.unwrap();
    };
    kept(None).await;
    kept(Some(vec![1])).await;
    std::fs::write(&path, vec![b'x'; 10_000]).unwrap();
    kept(None).await;
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    kept(None).await;
    kept(Some(vec![1])).await;
}
