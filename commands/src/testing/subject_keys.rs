//! The contract of [`SubjectKeys`]. Each rule gets two handles on one store, empty before.

use std::sync::Arc;

use domain::ids::UserId;
use domain::sealed::LookupHash;
use uuid::Uuid;

use crate::port::{SubjectKeyError, SubjectKeys};

/// Two handles, as two processes have them.
pub type Two = (Arc<dyn SubjectKeys>, Arc<dyn SubjectKeys>);

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn phone(text: &str) -> LookupHash {
    LookupHash(text.to_owned())
}

/// All of them, one after the other; `fresh` makes an empty store.
pub async fn all<F: Future<Output = Two>>(fresh: impl Fn() -> F) {
    a_subjects_first_key_stays_its_key(fresh().await).await;
    of_many_that_make_a_key_at_once_all_hear_the_same(fresh().await).await;
    a_destroyed_key_is_gone_for_everybody(fresh().await).await;
    an_entry_of_the_index_has_one_owner(fresh().await).await;
    of_many_that_claim_an_entry_at_once_one_has_it(fresh().await).await;
    the_lookup_key_is_made_once(fresh().await).await;
}

async fn a_subjects_first_key_stays_its_key((one, other): Two) {
    assert_eq!(one.get(user(1)).await, Ok(None));
    assert_eq!(one.get_or_create(user(1), [1; 32]).await, Ok([1; 32]));
    assert_eq!(other.get_or_create(user(1), [2; 32]).await, Ok([1; 32]));
    assert_eq!(other.get(user(1)).await, Ok(Some([1; 32])));
    assert_eq!(other.get(user(2)).await, Ok(None));
}

async fn of_many_that_make_a_key_at_once_all_hear_the_same((one, other): Two) {
    let each = (0..20_u8).map(|n| if n.is_multiple_of(2) { &one } else { &other }.get_or_create(user(1), [n; 32]));
    let made = futures::future::join_all(each).await;
    assert!(made.iter().all(|key| key == &made[0] && key.is_ok()), "{made:?}");
}

async fn a_destroyed_key_is_gone_for_everybody((one, other): Two) {
    one.get_or_create(user(1), [1; 32]).await.expect("a key");
    one.get_or_create(user(2), [2; 32]).await.expect("a key");
    one.claim(&phone("1"), user(1)).await.expect("an entry");
    other.destroy(user(1)).await.expect("destroyed");
    assert_eq!(one.get(user(1)).await, Ok(None));
    assert_eq!(one.find(&phone("1")).await, Ok(None));
    assert_eq!(one.get(user(2)).await, Ok(Some([2; 32])), "the others keep theirs");
    other.destroy(user(1)).await.expect("repeating it changes nothing");
}

async fn an_entry_of_the_index_has_one_owner((one, other): Two) {
    one.claim(&phone("1"), user(1)).await.expect("an entry");
    one.claim(&phone("1"), user(1)).await.expect("one's own is no obstacle");
    assert_eq!(other.claim(&phone("1"), user(2)).await, Err(SubjectKeyError::Taken { owner: user(1) }));
    assert_eq!(other.find(&phone("1")).await, Ok(Some(user(1))));
    assert_eq!(other.find(&phone("2")).await, Ok(None));
    one.destroy(user(1)).await.expect("destroyed");
    other.claim(&phone("1"), user(2)).await.expect("an erased person's number is free again");
}

async fn of_many_that_claim_an_entry_at_once_one_has_it((one, other): Two) {
    let claim = async |n: u128| if n.is_multiple_of(2) { &one } else { &other }.claim(&phone("1"), user(n)).await;
    let claimed = futures::future::join_all((0..20).map(claim)).await;
    assert_eq!(claimed.iter().filter(|claimed| claimed.is_ok()).count(), 1, "{claimed:?}");
}

async fn the_lookup_key_is_made_once((one, other): Two) {
    assert_eq!(one.lookup_key([1; 32]).await, Ok([1; 32]));
    assert_eq!(other.lookup_key([2; 32]).await, Ok([1; 32]));
}
