//! Keys, operators and erasures are administered while the server runs.

use domain::key::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

async fn made(world: &World, role: &str) -> (String, String) {
    let made = world.post(Role::Admin, "/v1/keys", json!({"role": role, "name": "driver app"})).await.is(201);
    (made["key_id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_key_opens_from_its_answer_on_and_nothing_more_once_it_is_revoked() {
    let world = World::new().await;
    let (id, secret) = made(&world, "app").await;
    let user = format!("/v1/users/{}", world.user);
    let ask = || world.anonymous(Method::GET, &user).bearer_auth(&secret);
    send(ask()).await.is(200);
    let finance = world.anonymous(Method::GET, "/v1/keys").bearer_auth(&secret);
    send(finance).await.is_problem(403, "forbidden");
    let revoked = world.post(Role::Admin, &format!("/v1/keys/{id}/revoke"), json!({})).await.is(200);
    assert_eq!((&revoked["revoked"], &revoked["changed"]), (&json!(true), &json!(true)));
    send(ask()).await.is_problem(401, "unauthenticated");
    let again = world.post(Role::Admin, &format!("/v1/keys/{id}/revoke"), json!({})).await.is(200);
    assert_eq!(again["changed"], false);
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let world = World::new().await;
    let ask = || {
        let body = json!({"role": "app", "name": "driver app"});
        world.request(Role::Admin, Method::POST, "/v1/keys").header("idempotency-key", "k1").json(&body)
    };
    send(ask()).await.is(201);
    send(ask()).await.is_problem(409, "key-exists");
}

#[tokio::test]
async fn nobody_but_an_admin_administers_and_never_another_operator_s_keys() {
    let world = World::new().await;
    for role in [Role::App, Role::Finance, Role::Operator, Role::Gateway, Role::Regulator, Role::Partner] {
        world.post(role, "/v1/keys", json!({"role": "admin", "name": "mine"})).await.is_problem(403, "forbidden");
        world.get(role, "/v1/operators").await.is_problem(403, "forbidden");
        world.post(role, &format!("/v1/users/{}/erase", world.user), json!({})).await.is_problem(403, "forbidden");
    }
    let (id, _) = made(&world, "app").await;
    send(world.foreign(Role::Admin, Method::POST, &format!("/v1/keys/{id}/revoke"))).await.is_problem(404, "not-found");
    send(world.foreign(Role::Admin, Method::POST, &format!("/v1/users/{}/erase", world.user))).await.is_problem(404, "not-found");
    world.get(Role::App, &format!("/v1/users/{}", world.user)).await.is(200);
}

#[tokio::test]
async fn a_key_is_only_revoked_as_it_was_seen() {
    let world = World::new().await;
    let (id, _) = made(&world, "app").await;
    let revoke = |tag: &str| world.request(Role::Admin, Method::POST, &format!("/v1/keys/{id}/revoke")).header("if-match", tag.to_owned());
    send(revoke("\"r7\"")).await.is_problem(412, "precondition-failed");
    send(revoke("\"r0\"")).await.is(200);
}

#[tokio::test]
async fn an_erased_driver_is_nobody_that_can_be_read_or_found() {
    let world = World::new().await;
    let path = format!("/v1/users/{}", world.user);
    let patch = world.request(Role::App, Method::PATCH, &path).json(&json!({"plate": "粤B12345"}));
    assert_eq!(send(patch).await.is(200)["revision"], 1);
    let stale = world.request(Role::Admin, Method::POST, &format!("{path}/erase")).header("if-match", "\"r0\"");
    send(stale).await.is_problem(412, "precondition-failed");
    assert_eq!(world.get(Role::App, &path).await.is(200)["phone"], "13800138000", "nothing is destroyed by a request that was not meant");
    let erased = world.post(Role::Admin, &format!("{path}/erase"), json!({})).await.is(200);
    assert_eq!((&erased["status"], &erased["phone"], &erased["revision"]), (&json!("erased"), &Value::Null, &json!(2)));
    assert_eq!(world.get(Role::App, &path).await.is(200)["phone"], Value::Null);
    world.post(Role::App, "/v1/users/look-up", json!({"phone": "13800138000"})).await.is_problem(404, "not-found");
}

fn operator(code: &str) -> Value {
    json!({"code": code, "name": "Bay Charging", "books_zone": "Asia/Shanghai"})
}

#[tokio::test]
async fn an_operator_that_joins_is_given_its_first_key_and_is_seen_by_nobody_else() {
    let world = World::new().await;
    let joined = world.post(Role::Admin, "/v1/operators", operator("MA5GXX12T")).await.is(201);
    assert_eq!((&joined["operator"]["code"], &joined["operator"]["booking"]), (&json!("MA5GXX12T"), &json!("principal")));
    let secret = joined["admin_key"]["secret"].as_str().unwrap();
    let theirs = send(world.anonymous(Method::GET, "/v1/operators").bearer_auth(secret)).await.is(200);
    assert_eq!(theirs["items"], json!([joined["operator"]]));
    let ours = world.get(Role::Admin, "/v1/operators").await.is(200);
    assert_eq!((ours["items"].as_array().unwrap().len(), &ours["items"][0]["code"]), (1, &json!("OPERATOR1")));
    let key = json!({"role": "app", "name": "driver app"});
    let made = send(world.anonymous(Method::POST, "/v1/keys").bearer_auth(secret).json(&key)).await.is(201);
    assert_eq!(made["operator_id"], joined["operator"]["operator_id"]);
}

#[tokio::test]
async fn nobody_is_given_a_key_to_an_operator_that_has_joined_already() {
    let world = World::new().await;
    let ask = |key: &str| {
        world.request(Role::Admin, Method::POST, "/v1/operators").header("idempotency-key", key.to_owned()).json(&operator("MA5GXX12T"))
    };
    send(ask("1")).await.is(201);
    // A lost answer: the operator is there, and the secret was shown.
    assert_eq!(send(ask("1")).await.is(201)["admin_key"], Value::Null);
    send(ask("2")).await.is_problem(409, "already-registered");
    let foreign = world.foreign(Role::Admin, Method::POST, "/v1/operators").json(&operator("MA5GXX12T"));
    send(foreign).await.is_problem(409, "already-registered");
    world.post(Role::Admin, "/v1/operators", operator("MA5GXX12")).await.is_problem(422, "invalid-body");
}
