//! Stations, piles, connectors and tariffs are put there over HTTP alone.

use domain::key::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

fn station() -> Value {
    json!({
        "code": "SZ-1", "name": "Futian", "address": "1 Fuhua Road", "zone": "Asia/Shanghai",
        "place": {"longitude": "114.0579", "latitude": "22.5431", "datum": "GCJ-02"},
    })
}

fn tariff(price: &str, effective_from_at: &str) -> Value {
    let rate = json!({"energy_yuan_per_kwh": price, "service_yuan_per_kwh": "0.4"});
    let rates = json!({"sharp": rate, "peak": rate, "flat": rate, "valley": rate});
    json!({
        "name": "all day", "effective_from_at": effective_from_at,
        "terms": {
            "elements": [
                {"restrictions": {"weekdays": [6, 7], "first_on": "2026-01-01", "last_on": "2026-12-31"}, "half_hours": "V".repeat(48), "rates": rates},
                {"half_hours": "F".repeat(48), "rates": rates},
            ],
            "idle": {"price_yuan_per_minute": "0.1", "grace_minutes": 10, "most_yuan": "20"},
            "tax": {"energy_percent": "13", "service_percent": "6", "idle_percent": "6"},
        },
    })
}

#[tokio::test]
async fn a_station_with_its_tariff_pile_and_connector_takes_a_session_that_is_priced() {
    let world = World::new().await;
    let made = world.post(Role::Operator, "/v1/stations", station()).await;
    let id = made.is(201)["station_id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/v1/stations/{id}"));
    let made = world.post(Role::Operator, "/v1/tariffs", tariff("1.0", "2026-01-01T00:00:00+08:00")).await.is(201);
    assert_eq!(made["versions"][0]["terms"]["elements"][0]["restrictions"]["weekdays"], json!([6, 7]));
    let tariff_id = made["tariff_id"].clone();
    let assigned = world.post(Role::Operator, &format!("/v1/stations/{id}/tariff"), json!({"tariff_id": tariff_id})).await.is(200);
    assert_eq!(assigned["tariff_id"], tariff_id);
    let pile = json!({"code": "P9", "model": "", "current": "dc", "rated_power_kw": "60"});
    let pile = world.post(Role::Operator, &format!("/v1/stations/{id}/piles"), pile).await.is(201);
    let path = format!("/v1/piles/{}/connectors", pile["pile_id"].as_str().unwrap());
    let connector = world.post(Role::Operator, &path, json!({"number": 1})).await.is(201);
    assert_eq!(connector["status"], "available");
    let estimate = json!({"connector_id": connector["connector_id"], "energy_kwh": "10"});
    assert_eq!(world.post(Role::Partner, "/v1/sessions/price-estimate", estimate).await.is(200)["total_yuan"], "14.00");
    let shown = world.get(Role::App, &format!("/v1/tariffs/{}", tariff_id.as_str().unwrap())).await;
    assert_eq!((shown.is(200)["withdrawn"].clone(), shown.header("etag")), (json!(false), "\"r0\""));
}

#[tokio::test]
async fn a_station_is_changed_whole_and_only_if_it_is_as_the_client_knows_it() {
    let world = World::new().await;
    let id = world.post(Role::Operator, "/v1/stations", station()).await.is(201)["station_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/stations/{id}");
    let mut details = station();
    details.as_object_mut().unwrap().retain(|name, _| matches!(name.as_str(), "name" | "address" | "place"));
    details["name"] = json!("Futian Central");
    let put = |tag: &str| world.request(Role::Operator, Method::PUT, &path).header("if-match", tag.to_owned()).json(&details);
    send(put("\"r7\"")).await.is_problem(412, "precondition-failed");
    send(put("r0")).await.is_problem(400, "invalid-header");
    let changed = send(put("\"r0\"").header("idempotency-key", "k")).await;
    assert_eq!((changed.is(200)["name"].clone(), changed.header("etag")), (json!("Futian Central"), "\"r1\""));
    // The answer got lost: the same request is told what it did, and another one that the station has changed.
    assert_eq!(send(put("\"r0\"").header("idempotency-key", "k")).await.is(200)["revision"], 1);
    send(put("\"r0\"")).await.is_problem(412, "precondition-failed");
    let gone = send(world.request(Role::Operator, Method::POST, &format!("{path}/retire"))).await.is(200);
    assert_eq!(gone["retired"], true);
    send(put("*")).await.is_problem(409, "retired");
}

#[tokio::test]
async fn what_cannot_be_a_station_a_pile_a_connector_or_a_tariff_is_refused() {
    let world = World::new().await;
    let with = |mut body: Value, path: &str, value: Value| {
        *body.pointer_mut(path).unwrap() = value;
        body
    };
    let refused = |path: &str, body: Value, kind: &'static str| {
        let request = world.request(Role::Operator, Method::POST, path).json(&body);
        async move { send(request).await.is_problem(422, kind) }
    };
    refused("/v1/stations", with(station(), "/zone", json!("Mars/Olympus")), "invalid-body").await;
    refused("/v1/stations", with(station(), "/place/longitude", json!("181")), "place-invalid").await;
    refused("/v1/stations", with(station(), "/code", json!("x".repeat(21))), "invalid-body").await;
    refused("/v1/stations", with(station(), "/name", json!("  ")), "invalid-body").await;
    let tariff = || tariff("1.0", "2026-01-01T00:00:00+08:00");
    refused("/v1/tariffs", with(tariff(), "/terms/elements/1/half_hours", json!("F")), "invalid-body").await;
    refused("/v1/tariffs", with(tariff(), "/terms/elements/1", tariff()["terms"]["elements"][0].clone()), "tariff-terms-invalid").await;
    refused("/v1/tariffs", with(tariff(), "/terms/elements/0/restrictions/last_on", Value::Null), "invalid-body").await;
    let number = format!("/v1/piles/{}/connectors", world.pile);
    refused(&number, json!({"number": 0}), "invalid-body").await;
    refused(&number, json!({"number": 256}), "invalid-body").await;
    let pile = json!({"code": "P9", "model": "", "current": "dc", "rated_power_kw": "0"});
    refused(&format!("/v1/stations/{}/piles", world.station), pile, "invalid-body").await;
}

#[tokio::test]
async fn a_connector_in_use_cannot_be_retired() {
    let world = World::new().await;
    let session = world.charging().await;
    let path = format!("/v1/connectors/{}/retire", world.connector);
    let problem = send(world.request(Role::Operator, Method::POST, &path)).await.is_problem(409, "connector-occupied");
    assert_eq!(problem["session_id"], session);
}

#[tokio::test]
async fn a_withdrawn_tariff_takes_no_further_version() {
    let world = World::new().await;
    let made = world.post(Role::Operator, "/v1/tariffs", tariff("1.0", "2026-01-01T00:00:00+08:00")).await.is(201);
    let path = format!("/v1/tariffs/{}", made["tariff_id"].as_str().unwrap());
    world
        .post(Role::Operator, &format!("{path}/versions"), tariff("1.1", "2025-01-01T00:00:00+08:00"))
        .await
        .is_problem(409, "tariff-version-order");
    let second = world.post(Role::Operator, &format!("{path}/versions"), tariff("1.1", "2099-01-01T00:00:00+08:00")).await.is(200);
    assert_eq!(second["versions"][1]["version"], 2);
    assert_eq!(world.post(Role::Operator, &format!("{path}/withdraw"), json!({})).await.is(200)["withdrawn"], true);
    world
        .post(Role::Operator, &format!("{path}/versions"), tariff("1.2", "2099-01-01T00:00:00+08:00"))
        .await
        .is_problem(409, "tariff-withdrawn");
}

#[tokio::test]
async fn nothing_of_an_operator_can_be_touched_with_a_key_of_another() {
    let world = World::new().await;
    let details = json!({"name": "x", "address": "", "place": {"longitude": "0", "latitude": "0", "datum": "WGS-84"}});
    let pile = json!({"code": "P9", "model": "", "current": "dc", "rated_power_kw": "60"});
    let (station, pile_id, connector) = (world.station, world.pile, world.connector);
    for (method, path, body) in [
        (Method::PUT, format!("/v1/stations/{station}"), details),
        (Method::POST, format!("/v1/stations/{station}/tariff"), json!({"tariff_id": station})),
        (Method::GET, format!("/v1/stations/{station}/ownership"), json!({})),
        (Method::PUT, format!("/v1/stations/{station}/ownership"), json!({"ownership": null})),
        (Method::POST, format!("/v1/stations/{station}/retire"), json!({})),
        (Method::POST, format!("/v1/stations/{station}/piles"), pile),
        (Method::GET, format!("/v1/stations/{station}/piles"), json!({})),
        (Method::POST, format!("/v1/piles/{pile_id}/connectors"), json!({"number": 2})),
        (Method::POST, format!("/v1/piles/{pile_id}/retire"), json!({})),
        (Method::POST, format!("/v1/connectors/{connector}/retire"), json!({})),
    ] {
        send(world.foreign(Role::Admin, method, &path).json(&body)).await.is_problem(404, "not-found");
    }
}
