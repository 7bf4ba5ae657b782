//! Whose a station is, and how the books treat it.

use domain::key::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

fn ownership(energy: &str, service: &str) -> Value {
    let commission = json!({"energy_percent": energy, "service_percent": service, "idle_percent": "0"});
    json!({"owner_code": "MA5OWNER1", "owner_name": "Harbour Estates", "commission": commission})
}

fn station() -> Value {
    json!({
        "code": "SZ-1", "name": "Futian", "address": "", "zone": "Asia/Shanghai", "ownership": ownership("5", "12.5"),
        "place": {"longitude": "114.0579", "latitude": "22.5431", "datum": "GCJ-02"},
    })
}

#[tokio::test]
async fn a_station_is_registered_with_its_owner_who_is_changed_and_taken_away() {
    let world = World::new().await;
    let made = world.post(Role::Operator, "/v1/stations", station()).await.is(201);
    assert_eq!((&made["ownership"]["owner_code"], &made["revision"]), (&json!("MA5OWNER1"), &json!(1)));
    assert_eq!(made["ownership"]["commission_tax_percent"], "6.0000", "the rate of an agent's service, when none is given");
    let path = format!("/v1/stations/{}/ownership", made["station_id"].as_str().unwrap());
    let put = |role: Role, body: Value| world.request(role, Method::PUT, &path).json(&body);
    let changed = send(put(Role::Finance, json!({"ownership": ownership("5", "20")})).header("if-match", "\"r1\"")).await;
    assert_eq!(
        (changed.is(200)["ownership"]["commission"]["service_percent"].clone(), changed.header("etag")),
        (json!("20.0000"), "\"r2\"")
    );
    send(put(Role::Finance, json!({"ownership": null})).header("if-match", "\"r1\"")).await.is_problem(412, "precondition-failed");
    assert_eq!(world.get(Role::Finance, &path).await.is(200)["ownership"]["owner_name"], "Harbour Estates");
    assert_eq!(send(put(Role::Operator, json!({}))).await.is(200)["ownership"], Value::Null);
    world.get(Role::App, &path).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn terms_that_cannot_be_are_refused_and_nothing_is_registered_then() {
    let world = World::new().await;
    let mut all_and_more = station();
    all_and_more["ownership"] = ownership("5", "100.0001");
    let post = world.request(Role::Operator, Method::POST, "/v1/stations").header("idempotency-key", "k");
    send(post.json(&all_and_more)).await.is_problem(422, "ownership-invalid");
    let path = format!("/v1/stations/{}/ownership", world.station);
    let refused = async |body: Value, kind: &'static str| {
        send(world.request(Role::Finance, Method::PUT, &path).json(&body)).await.is_problem(422, kind);
    };
    refused(json!({"ownership": ownership("100.01", "0")}), "ownership-invalid").await;
    refused(json!({"ownership": ownership("-1", "0")}), "invalid-body").await;
    let mut nameless = ownership("5", "5");
    nameless["owner_name"] = json!(" ");
    refused(json!({"ownership": nameless}), "invalid-body").await;
    let mut short = ownership("5", "5");
    short["owner_code"] = json!("MA5");
    refused(json!({"ownership": short}), "invalid-body").await;
}

#[tokio::test]
async fn an_operator_books_as_agent_by_its_own_finance_team_alone() {
    let world = World::new().await;
    let own = world.get(Role::Admin, "/v1/operators").await.is(200)["items"][0].clone();
    assert_eq!(own["booking"], "principal");
    let path = format!("/v1/operators/{}/booking", own["operator_id"].as_str().unwrap());
    let put = |role: Role, booking: &str| world.request(role, Method::PUT, &path).json(&json!({"booking": booking}));
    send(put(Role::Operator, "agent")).await.is_problem(403, "forbidden");
    send(put(Role::Finance, "both")).await.is_problem(422, "invalid-body");
    assert_eq!(send(put(Role::Finance, "agent")).await.is(200)["operator"]["booking"], "agent");
    assert_eq!(world.get(Role::Admin, "/v1/operators").await.is(200)["items"][0]["booking"], "agent");
    send(world.foreign(Role::Admin, Method::PUT, &path).json(&json!({"booking": "principal"}))).await.is_problem(404, "not-found");
}
