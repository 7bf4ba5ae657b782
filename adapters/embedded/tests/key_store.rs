//! The keys of personal data: one a subject, and gone when destroyed.

use std::sync::Arc;

use commands::port::{SubjectKeyError, SubjectKeys};
use commands::testing::subject_keys;
use domain::ids::UserId;
use domain::sealed::LookupHash;
use domain::testing::id;
use embedded::KeyStore;

fn user(number: u128) -> UserId {
    id(number)
}

fn phone(text: &str) -> LookupHash {
    LookupHash(text.to_owned())
}

#[tokio::test]
async fn the_contract_is_kept() {
    let directories = std::sync::Mutex::new(Vec::new());
    subject_keys::all(async || {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(KeyStore::open(directory.path()).unwrap()) as Arc<dyn SubjectKeys>;
        let two = (open(), open());
        directories.lock().unwrap().push(directory);
        two
    })
    .await;
}

#[tokio::test]
async fn keys_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    KeyStore::open(directory.path()).unwrap().get_or_create(user(1), [1; 32]).await.unwrap();
    assert_eq!(KeyStore::open(directory.path()).unwrap().get(user(1)).await, Ok(Some([1; 32])));
}

#[tokio::test]
async fn a_destroyed_key_is_nowhere_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(directory.path()).unwrap();
    let secret: [u8; 32] = std::array::from_fn(|n| u8::try_from(n).unwrap() ^ 0xa5);
    keys.get_or_create(user(1), [7; 32]).await.unwrap();
    keys.get_or_create(user(2), secret).await.unwrap();
    let lookup = "0badc0de".repeat(8);
    keys.claim(&phone(&lookup), user(2)).await.unwrap();
    let on_disk = |bytes: &[u8]| {
        let files = std::fs::read_dir(directory.path()).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.into_iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes))
    };
    assert!(on_disk(&secret) && on_disk(lookup.as_bytes()), "the test can find them");
    keys.destroy(user(2)).await.unwrap();
    assert!(!on_disk(&secret) && !on_disk(lookup.as_bytes()));
    assert!(on_disk(&[7; 32]), "the others keep theirs");
    assert_eq!(keys.get(user(2)).await, Ok(None));
    assert_eq!(keys.find(&phone(&lookup)).await, Ok(None));
    keys.destroy(user(2)).await.expect("repeating it changes nothing");
}

#[tokio::test]
async fn a_key_store_open_for_reading_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    assert!(KeyStore::open_read_only(directory.path()).is_err(), "there is none yet");
    let keys = KeyStore::open(directory.path()).unwrap();
    keys.get_or_create(user(1), [1; 32]).await.unwrap();
    let reading = KeyStore::open_read_only(directory.path()).unwrap();
    assert_eq!(reading.get_or_create(user(1), [2; 32]).await, Ok([1; 32]));
    assert!(matches!(reading.get_or_create(user(2), [2; 32]).await, Err(SubjectKeyError::Unavailable { .. })));
    assert!(matches!(reading.destroy(user(1)).await, Err(SubjectKeyError::Unavailable { .. })));
    let info = reading.info().await.unwrap();
    assert_eq!((info.subjects, info.lookups), (1, 0));
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_of_keys_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(directory.path()).unwrap();
    keys.get_or_create(user(1), [1; 32]).await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
}
