//! Drivers and their wallets.

use domain::key::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

#[tokio::test]
async fn a_driver_is_registered_found_by_phone_changed_and_closed() {
    let world = World::new().await;
    let body = json!({"phone": "+8613900139000", "name": "李雷"});
    let made = world.post(Role::App, "/v1/users", body.clone()).await;
    let user = made.is(201);
    let id = user["user_id"].as_str().unwrap().to_owned();
    assert_eq!((&user["phone"], &user["name"], &user["plate"]), (&json!("+8613900139000"), &json!("李雷"), &Value::Null));
    world.post(Role::App, "/v1/users", body).await.is_problem(409, "phone-taken");
    let found = world.post(Role::App, "/v1/users/look-up", json!({"phone": "+8613900139000"})).await.is(200);
    assert_eq!(found["user_id"], user["user_id"]);
    let patch = world.request(Role::App, Method::PATCH, &format!("/v1/users/{id}")).json(&json!({"plate": "粤B12345"}));
    let changed = send(patch).await.is(200);
    assert_eq!((&changed["plate"], &changed["name"]), (&json!("粤B12345"), &json!("李雷")));
    let closed = send(world.request(Role::App, Method::POST, &format!("/v1/users/{id}/close"))).await.is(200);
    assert_eq!(closed["status"], "closed");
    let start = json!({"connector_id": world.connector, "user_id": id, "payment": {"mode": "postpaid"}});
    world.post(Role::App, "/v1/sessions", start).await.is_problem(409, "user-closed");
}

#[tokio::test]
async fn a_number_is_the_same_however_it_is_written_and_its_holder_is_known_to_their_own_operator_alone() {
    let world = World::new().await;
    let user = world.post(Role::App, "/v1/users", json!({"phone": "+86 138 0013 8000"})).await.is(201);
    assert_eq!(user["phone"], "+8613800138000");
    world.post(Role::App, "/v1/users", json!({"phone": "+86 (138) 0013-8000"})).await.is_problem(409, "phone-taken");
    let found = world.post(Role::App, "/v1/users/look-up", json!({"phone": "+8613800138000"})).await.is(200);
    assert_eq!(found["user_id"], user["user_id"]);
    // The other operator may have the same person, and is not told that we do.
    let register = || world.foreign(Role::App, Method::POST, "/v1/users").json(&json!({"phone": "+8613800138000"}));
    let theirs = send(register()).await.is(201);
    assert_ne!(theirs["user_id"], user["user_id"]);
    send(register()).await.is_problem(409, "phone-taken");
}

#[tokio::test]
async fn personal_data_is_not_for_every_role_nor_for_another_operator() {
    let world = World::new().await;
    let path = format!("/v1/users/{}", world.user);
    world.get(Role::App, &path).await.is(200);
    for role in [Role::Finance, Role::Regulator, Role::Partner, Role::Gateway] {
        world.get(role, &path).await.is_problem(403, "forbidden");
    }
    send(world.foreign(Role::Admin, Method::GET, &path)).await.is_problem(404, "not-found");
    send(world.foreign(Role::Admin, Method::PATCH, &path).json(&json!({"name": "x"}))).await.is_problem(404, "not-found");
    send(world.foreign(Role::Admin, Method::POST, &format!("{path}/close"))).await.is_problem(404, "not-found");
    let look_up = |body: Value| world.foreign(Role::Admin, Method::POST, "/v1/users/look-up").json(&body);
    let theirs = send(look_up(json!({"phone": "13800138000"}))).await.is_problem(404, "not-found");
    let nobodys = send(look_up(json!({"phone": "13800138001"}))).await.is_problem(404, "not-found");
    assert_eq!(theirs["detail"], nobodys["detail"], "another operator's user must look like none");
}

#[tokio::test]
async fn a_problem_never_repeats_a_phone_number() {
    let world = World::new().await;
    let answered = world.post(Role::App, "/v1/users", json!({"phone": "13800-secret"})).await;
    answered.is_problem(422, "invalid-body");
    assert!(!answered.text.contains("13800"), "{}", answered.text);
}

#[tokio::test]
async fn a_wallet_shows_what_is_in_it_and_gives_back_no_more() {
    let world = World::new().await;
    let path = format!("/v1/wallets/{}", world.user);
    assert_eq!(world.get(Role::App, &path).await.is(200)["balance_yuan"], "0.00");
    let body = json!({"user_id": world.user, "channel": "sandbox", "amount_yuan": "80", "purpose": {"kind": "top_up"}});
    let payment = world.post(Role::App, "/v1/payments", body).await.is(201);
    world.pay(payment["payment_id"].as_str().unwrap(), "80").await.is(200);
    let full = world.until(Role::App, &path, |answered| answered.json()["available_yuan"] == "80.00").await;
    let known = world.request(Role::App, Method::GET, &path).header("if-none-match", full.header("etag"));
    assert_eq!(send(known).await.status, 304);
    let refund = |amount: &str| json!({"amount_yuan": amount});
    world.post(Role::App, &format!("{path}/refunds"), refund("80.01")).await.is_problem(409, "insufficient-funds");
    let less = world.post(Role::App, &format!("{path}/refunds"), refund("30")).await.is(202);
    assert_eq!((&less["available_yuan"], &less["returning_yuan"]), (&json!("50.00"), &json!("30.00")));
    send(world.foreign(Role::Admin, Method::GET, &path)).await.is_problem(404, "not-found");
    send(world.foreign(Role::Admin, Method::POST, &format!("{path}/refunds")).json(&refund("1"))).await.is_problem(404, "not-found");
}
