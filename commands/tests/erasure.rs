//! An erased person stays erased: whatever is repeated, and whatever comes at the same time, no key and no entry of theirs is there afterwards.

mod support;

use std::sync::Arc;

use commands::user::PersonalData;
use commands::{Caller, CommandError, Commands, RequestIds};
use domain::ids::{OperatorId, UserId};
use domain::log::Actor;
use domain::testing::{at, id};
use domain::user::{User, UserError};
use support::BreakableStore;
use support::keys::Keys;

const PHONE: &str = "13800138000";

fn operator() -> OperatorId {
    id(1)
}

fn user() -> UserId {
    id(6)
}

fn caller() -> Caller {
    Caller { operator_id: operator(), actor: Actor::system("test"), at: at("2026-03-01T12:00:00Z") }
}

fn request(number: u128) -> RequestIds {
    RequestIds::new(id(number))
}

fn phone(text: &str) -> PersonalData {
    PersonalData { phone: Some(text.to_owned()), ..PersonalData::default() }
}

/// A ledger in which the user is registered, by request 100.
async fn registered() -> (Arc<Commands>, Arc<Keys>) {
    let keys = Arc::new(Keys::default());
    let commands = Arc::new(support::commands(&BreakableStore::new(), &keys));
    commands.register_user(&caller(), &request(100), user(), phone(PHONE)).await.unwrap();
    (commands, keys)
}

#[tokio::test]
async fn a_repeated_registration_of_somebody_erased_is_answered_and_leaves_their_number_free() {
    let (commands, keys) = registered().await;
    commands.erase_user(&caller(), &request(101), user()).await.unwrap();
    let repeated = commands.register_user(&caller(), &request(100), user(), phone(PHONE)).await.unwrap();
    assert_eq!((repeated.repeated, repeated.state, repeated.events.len()), (true, User::Erased { user_id: user() }, 1));
    assert!(keys.know_nothing_of(user()));
    let returning: UserId = id(7);
    commands.register_user(&caller(), &request(102), returning, phone(PHONE)).await.unwrap();
    commands.register_user(&caller(), &request(100), user(), phone(PHONE)).await.unwrap();
    assert_eq!(commands.find_user(operator(), PHONE).await, Ok(Some(returning)));
}

#[tokio::test]
async fn a_second_registration_of_somebody_erased_is_refused_and_enters_nothing() {
    let (commands, keys) = registered().await;
    let again = commands.register_user(&caller(), &request(101), user(), phone("13900139000")).await;
    assert_eq!(again, Err(CommandError::User(UserError::AlreadyRegistered)));
    assert_eq!(commands.find_user(operator(), "13900139000").await, Ok(None));
    commands.erase_user(&caller(), &request(102), user()).await.unwrap();
    let again = commands.register_user(&caller(), &request(103), user(), phone(PHONE)).await;
    assert_eq!(again, Err(CommandError::User(UserError::Erased)));
    assert!(keys.know_nothing_of(user()));
}

#[tokio::test]
async fn a_change_that_an_erasure_overtakes_enters_nothing() {
    let (commands, keys) = registered().await;
    let other = Arc::clone(&commands);
    *keys.before_claim.lock().unwrap() = Some(Box::pin(async move {
        other.erase_user(&caller(), &request(101), user()).await.unwrap();
    }));
    let changed = commands.change_user(&caller(), &request(102), user(), phone("13900139000")).await;
    assert_eq!(changed, Err(CommandError::User(UserError::Erased)));
    assert!(keys.know_nothing_of(user()));
}

#[tokio::test]
async fn an_erasure_takes_with_it_what_a_change_enters_meanwhile() {
    let (commands, keys) = registered().await;
    let other = Arc::clone(&commands);
    *keys.after_destruction.lock().unwrap() = Some(Box::pin(async move {
        other.change_user(&caller(), &request(101), user(), phone("13900139000")).await.unwrap();
    }));
    commands.erase_user(&caller(), &request(102), user()).await.unwrap();
    assert!(keys.know_nothing_of(user()));
}
