//! The API with its read models on PostgreSQL, over real HTTP: a client reads what it wrote, and nothing of anybody else.

use std::sync::Arc;

use domain::key::Role;
use http_api::{Limits, auth};
use read_models::{ReadModels, Settings};
use reqwest::Method;
use serde_json::{Value, json};

#[path = "../../adapters/http/tests/api/harness.rs"]
mod harness;

mod database;

use database::Database;
use harness::{Answered, Reading, World, send};

/// A world with read models in a database of its own, dropped afterwards.
fn on_postgres<F: Future<Output = ()>>(limits: Limits, test: impl FnOnce(World) -> F) {
    let Some(database) = Database::new() else { return };
    let url = database.url();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let read_models = Arc::new(ReadModels::new(&url, Settings::default()).unwrap());
            let reading = Reading { queries: Arc::clone(&read_models) as _, store: read_models, swap_approval: false };
            test(World::reading(limits, Some(reading)).await).await;
        });
    }));
    // What still holds a connection goes first.
    drop(runtime);
    drop(database);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// A settled session of 20 kWh, and the position at which everything about it stands in the log.
async fn settled(world: &World) -> (String, u64) {
    let session = world.charging().await;
    world.device(world.record(&session, "20")).await.is(200);
    let path = format!("/v1/sessions/{session}/events?limit=200");
    let is_settled = |answered: &Answered| answered.json()["items"].as_array().unwrap().last().unwrap()["type"] == "session.settled";
    let events = world.until(Role::Finance, &path, is_settled).await.json();
    (session, events["items"].as_array().unwrap().last().unwrap()["position"].as_u64().unwrap())
}

/// Waits until every read model holds a position.
async fn caught_up(world: &World, position: u64) {
    let is_there = |projection: &Value| projection["position"].as_u64().unwrap() >= position;
    world.until(Role::Operator, "/v1/projections", |answered| answered.json()["items"].as_array().unwrap().iter().all(is_there)).await;
}

fn after(world: &World, role: Role, position: u64, path: &str) -> reqwest::RequestBuilder {
    world.request(role, Method::GET, path).header("x-min-position", position)
}

#[test]
fn a_client_reads_what_it_wrote_in_every_read_model() {
    on_postgres(Limits::default(), |world| async move {
        let (session, position) = settled(&world).await;
        let read = async |role: Role, path: &str| send(after(&world, role, position, path)).await;
        let row = read(Role::App, &format!("/v1/sessions/{session}")).await;
        let body = row.is(200);
        assert_eq!((&body["status"], &body["total_yuan"], &body["receivable_yuan"]), (&json!("settled"), &json!("24.00"), &json!("24.00")));
        assert_eq!(body["started_at"], "2026-03-01T10:00:00+08:00", "times are on the station's clock");
        assert_eq!(row.header("etag"), format!("\"r{}\"", body["revision"]));
        let known = after(&world, Role::App, position, &format!("/v1/sessions/{session}")).header("if-none-match", row.header("etag"));
        assert_eq!(send(known).await.status, 304);

        let found = read(Role::App, &format!("/v1/sessions?user_id={}&status=settled", world.user)).await.is(200);
        assert_eq!(found["items"][0]["session_id"], session);
        let balance = read(Role::Finance, "/v1/ledger/trial-balance").await.is(200);
        assert_eq!((&balance["balanced"], &balance["debit_yuan"]), (&json!(true), &json!("24.00")));
        let before = read(Role::Finance, "/v1/ledger/trial-balance?as_of=2026-02-28").await.is(200);
        assert_eq!(before["debit_yuan"], "0.00");
        let receivable = read(Role::Finance, "/v1/receivables").await.is(200);
        assert_eq!((&receivable["items"][0]["session_id"], &receivable["items"][0]["open_yuan"]), (&json!(session), &json!("24.00")));
        let days = read(Role::Operator, "/v1/statistics/daily?from_on=2026-03-01&until_on=2026-03-01").await.is(200);
        assert_eq!((&days["items"][0]["session_count"], &days["items"][0]["energy_kwh"]), (&json!(1), &json!("20.0000")));
        let postings = read(Role::Finance, &format!("/v1/ledger/entries?session_id={session}")).await.is(200);
        let entry = postings["items"][0]["position"].as_u64().unwrap();
        let lines = read(Role::Finance, &format!("/v1/ledger/entries/{entry}")).await.is(200);
        assert_eq!(lines["postings"].as_array().unwrap().len(), postings["items"].as_array().unwrap().len());
        let statement = read(Role::Finance, "/v1/ledger/accounts/1122/statement").await.is(200);
        assert_eq!(statement["closing_yuan"], "24.00");
        let explained = read(Role::Finance, &format!("/v1/ledger/explain?session={session}")).await.is(200);
        assert_eq!((explained["bills"].as_array().unwrap().len(), &explained["session"]["session_id"]), (1, &json!(session)));
        assert_eq!(explained["events"].as_array().unwrap().last().unwrap()["type"], "session.settled");
        let (line, bill) =
            (&explained["bills"][0]["lines"][0], world.get(Role::Finance, &format!("/v1/sessions/{session}/bill")).await.is(200));
        for name in ["kind", "from_at", "until_at", "quantity", "unit_price_yuan", "rule", "amount_yuan"] {
            assert_eq!(line[name], bill["lines"][0][name], "one name says one thing: {name}");
        }
        assert_eq!((&line["product_yuan"], &explained["bills"][0]["disagreements"]), (&json!("16.000000000"), &json!([])));
        assert_eq!(read(Role::Finance, &format!("/v1/ledger/explain?entry={entry}")).await.is(200)["session"]["session_id"], session);
        let near = read(Role::Partner, "/v1/stations?near=114.1,22.5&radius_m=100").await.is(200);
        assert_eq!((&near["items"][0]["connectors"]["total"], &near["items"][0]["distance_m"]), (&json!(1), &json!(0.0)));
        let projections = world.until(Role::Operator, "/v1/projections", |answered| {
            answered.json()["items"].as_array().unwrap().iter().all(|projection| projection["lag_events"] == 0)
        });
        assert!(projections.await.json()["items"].as_array().unwrap().len() > 20);
        assert_eq!(world.get(Role::Admin, "/v1/projections/sessions").await.is(200)["state"], "live");
        world.get(Role::Admin, "/v1/projections/horoscopes").await.is_problem(404, "not-found");
    });
}

#[test]
fn an_agents_books_show_what_the_owner_of_a_station_is_owed() {
    on_postgres(Limits::default(), |world| async move {
        let path = format!("/v1/stations/{}/ownership", world.station);
        let commission = json!({"energy_percent": "5", "service_percent": "30", "idle_percent": "0"});
        let body = json!({"ownership": {"owner_code": "MA5OWNER1", "owner_name": "Harbour Estates", "commission": commission}});
        let owned = send(world.request(Role::Finance, Method::PUT, &path).json(&body)).await.is(200);
        let owner = owned["ownership"]["owner_id"].as_str().unwrap().to_owned();
        let operator = world.get(Role::Admin, "/v1/operators").await.is(200)["items"][0]["operator_id"].as_str().unwrap().to_owned();
        let booking = world.request(Role::Finance, Method::PUT, &format!("/v1/operators/{operator}/booking"));
        send(booking.json(&json!({"booking": "agent"}))).await.is(200);

        let (session, position) = settled(&world).await;
        let read = async |role: Role, path: &str| send(after(&world, role, position, path)).await.is(200);
        assert_eq!(read(Role::Partner, &format!("/v1/stations/{}", world.station)).await["owner_name"], "Harbour Estates");
        // 16.00 for energy, of which 0.80 are kept, and 8.00 for service, of which 2.40.
        let balance = read(Role::Finance, "/v1/ledger/trial-balance").await;
        let stands = |account: &str| {
            let accounts = balance["accounts"].as_array().unwrap();
            accounts.iter().find(|row| row["account"] == account).map(|row| row["balance_yuan"].as_str().unwrap().to_owned())
        };
        assert_eq!(stands(&format!("2202.{owner}")), Some("-20.80".to_owned()));
        assert_eq!(stands("6001.commission_energy"), Some("-0.75".to_owned()));
        assert_eq!(stands("6001.commission_service"), Some("-2.26".to_owned()));
        assert_eq!((stands("2221.commission"), stands("6001.energy")), (Some("-0.19".to_owned()), None));
        assert_eq!(balance["balanced"], true);
        let statement = read(Role::Finance, &format!("/v1/ledger/accounts/2202/statement?detail={owner}")).await;
        assert_eq!((&statement["closing_yuan"], &statement["items"][0]["session_id"]), (&json!("-20.80"), &json!(session)));
        let explained = read(Role::Finance, &format!("/v1/ledger/explain?session={session}")).await;
        let (bill, division) = (&explained["bills"][0], &explained["bills"][0]["division"]);
        assert_eq!((&bill["owner_part_yuan"], &bill["commission_yuan"]), (&json!("20.80"), &json!("3.20")));
        assert_eq!((&division["owner_id"], &division["owner_part_yuan"]), (&json!(owner), &json!("20.80")));
        assert_eq!(division["commissions"][1]["commission_yuan"], "2.40");
        assert_eq!(bill["disagreements"], json!([]));
        assert!(explained["postings"].as_array().unwrap().iter().any(|posting| posting["detail"] == owner.as_str()));
    });
}

#[test]
fn a_disputed_receipt_is_listed_until_it_is_decided_and_stands_in_the_books_from_then_on() {
    on_postgres(Limits::default(), |world| async move {
        let pay = json!({"user_id": world.user, "channel": "sandbox", "amount_yuan": "10", "purpose": {"kind": "top_up"}});
        let payment = world.post(Role::App, "/v1/payments", pay).await.is(201);
        let (id, number) = (payment["payment_id"].as_str().unwrap(), payment["payment_no"].as_str().unwrap());
        let report = json!({
            "type": "paid", "payment_no": number, "amount_yuan": "9", "channel_transaction": "t-9", "paid_at": "2026-03-01T08:00:00+08:00",
        });
        world.post(Role::Gateway, "/v1/webhooks/sandbox", report).await.is(200);
        let closed = send(world.request(Role::App, Method::POST, &format!("/v1/payments/{id}/close"))).await.is(200);
        let disputed = async |position: &Value| {
            let listed = send(after(&world, Role::Finance, position.as_u64().unwrap(), "/v1/payments?disputed=true")).await;
            listed.is(200)["items"].as_array().unwrap().len()
        };
        assert_eq!(disputed(&closed["position"]).await, 1);
        let apply = json!({"resolution": "apply", "channel_transaction": "t-9", "note": "the payer typed the amount"});
        let decided = world.post(Role::Finance, &format!("/v1/payments/{id}/resolve"), apply).await.is(200);
        assert_eq!(disputed(&decided["position"]).await, 0);
        let position = decided["position"].as_u64().unwrap();
        let balance = send(after(&world, Role::Finance, position, "/v1/ledger/trial-balance")).await.is(200);
        let accounts: Vec<(&str, &str)> = balance["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (row["account"].as_str().unwrap(), row["balance_yuan"].as_str().unwrap()))
            .collect();
        assert_eq!(accounts, [("1012.sandbox", "9.00"), ("2205", "-9.00"), ("2241", "0.00")]);
    });
}

#[test]
fn what_was_owed_is_listed_open_until_it_is_paid_and_settled_from_then_on() {
    on_postgres(Limits::default(), |world| async move {
        let (session, position) = settled(&world).await;
        let listed = async |path: &str, position: u64| send(after(&world, Role::Finance, position, path)).await.is(200)["items"].clone();
        assert_eq!(listed("/v1/receivables?open=false", position).await, json!([]));
        let pay = async |amount: &str| {
            let body = json!({
                "user_id": world.user, "channel": "sandbox", "amount_yuan": amount,
                "purpose": {"kind": "session", "session_id": session},
            });
            let payment = world.post(Role::App, "/v1/payments", body).await.is(201);
            world.pay(payment["payment_id"].as_str().unwrap(), amount).await.is(200);
        };
        let paid = |wanted: &'static str| {
            let path = format!("/v1/sessions/{session}/events?limit=200");
            let is_paid = move |answered: &Answered| {
                let items = answered.json()["items"].as_array().unwrap().clone();
                items.last().unwrap()["type"] == "session.receivable_paid" && items.last().unwrap()["data"]["receivable"] == wanted
            };
            let world = &world;
            async move {
                let events = world.until(Role::Finance, &path, is_paid).await.json();
                events["items"].as_array().unwrap().last().unwrap()["position"].as_u64().unwrap()
            }
        };
        pay("10").await;
        let partly = listed("/v1/receivables", paid("14.00").await).await;
        assert_eq!((&partly[0]["session_id"], &partly[0]["open_yuan"]), (&json!(session), &json!("14.00")), "what is paid in part is open");
        pay("14").await;
        let position = paid("0.00").await;
        assert_eq!(listed("/v1/receivables", position).await, json!([]));
        let done = listed("/v1/receivables?open=false", position).await;
        assert_eq!(
            (&done[0]["session_id"], &done[0]["due_yuan"], &done[0]["open_yuan"]),
            (&json!(session), &json!("24.00"), &json!("0.00"))
        );
    });
}

#[test]
fn a_session_without_prices_is_in_error_until_staff_give_it_some() {
    on_postgres(Limits::default(), |world| async move {
        let session = world.unpriced().await;
        let of = async |open: bool, position: u64| {
            let path = format!("/v1/session-errors?open={open}");
            send(after(&world, Role::Operator, position, &path)).await.is(200)["items"].clone()
        };
        let events = world.get(Role::Operator, &format!("/v1/sessions/{session}/events")).await.is(200);
        let position = events["items"].as_array().unwrap().last().unwrap()["position"].as_u64().unwrap();
        let open = of(true, position).await;
        assert_eq!((&open[0]["session_id"], &open[0]["problem"]), (&json!(session), &json!("unpriced")));
        let tariff = send(after(&world, Role::Operator, position, "/v1/tariffs")).await.is(200)["items"][0]["tariff_id"].clone();
        let assign = json!({"tariff_id": tariff, "note": "it had none yet"});
        let priced = world.post(Role::Operator, &format!("/v1/sessions/{session}/tariff"), assign).await.is(200);
        let position = priced["position"].as_u64().unwrap();
        assert_eq!(of(true, position).await, json!([]));
        assert_eq!(of(false, position).await[0]["session_id"], session);
        let row = send(after(&world, Role::App, position, &format!("/v1/sessions/{session}"))).await.is(200);
        assert_eq!((&row["tariff_id"], &row["total_yuan"]), (&tariff, &json!("24.00")));
    });
}

#[test]
fn keys_are_listed_without_what_would_open_anything_and_with_when_they_stopped() {
    on_postgres(Limits::default(), |world| async move {
        let made = world.post(Role::Admin, "/v1/keys", json!({"role": "app", "name": "driver app"})).await.is(201);
        let key = made["key_id"].as_str().unwrap().to_owned();
        let revoked = world.post(Role::Admin, &format!("/v1/keys/{key}/revoke"), json!({})).await.is(200);
        let position = revoked["position"].as_u64().unwrap();
        let read = async |path: &str| send(after(&world, Role::Admin, position, path)).await;
        let one = read(&format!("/v1/keys/{key}")).await.is(200);
        assert_eq!((&one["name"], one["revoked_at"].is_string()), (&json!("driver app"), true));
        let gone = read("/v1/keys?revoked=true&role=app").await;
        assert_eq!((gone.is(200)["items"].as_array().unwrap().len(), &gone.json()["items"][0]["key_id"]), (1, &json!(key)));
        assert!(!gone.text.contains(made["secret"].as_str().unwrap()) && !gone.text.contains("sha256"));
        let own = read("/v1/keys?revoked=false").await.is(200);
        assert_eq!(own["items"].as_array().unwrap().len(), 7, "one of each role, and none of the other operator's");
    });
}

#[test]
fn every_list_goes_page_by_page_to_its_end() {
    on_postgres(Limits::default(), |world| async move {
        let mut position = 0;
        for _ in 0..3 {
            let (session, at) = settled(&world).await;
            position = at;
            let unplugged = json!({"type": "unplugged", "connector_id": world.connector, "transaction_number": session.replace('-', "")});
            world.device(unplugged).await.is(200);
        }
        for path in ["/v1/sessions", "/v1/ledger/entries", "/v1/receivables", "/v1/users", "/v1/stations", "/v1/connectors", "/v1/tariffs"]
        {
            let all = send(after(&world, Role::Admin, position, path)).await.is(200)["items"].as_array().unwrap().clone();
            let mut found: Vec<Value> = Vec::new();
            let mut next = Some(format!("{path}?limit=1"));
            while let Some(path) = next.take() {
                let page = world.get(Role::Admin, &path).await;
                found.extend(page.is(200)["items"].as_array().unwrap().iter().cloned());
                let link = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>'));
                next = link.map(|(target, _)| target.to_owned());
            }
            assert_eq!(found, all, "{path}");
            assert!(!all.is_empty(), "{path}");
        }
        world.get(Role::Finance, "/v1/ledger/entries?account=1012.sandbox").await.is(200);
        for account in ["", "1012 sandbox", "%F0%9F%92%B0", &"1".repeat(65)] {
            world.get(Role::Finance, &format!("/v1/ledger/entries?account={account}")).await.is_problem(400, "invalid-query");
        }
    });
}

#[test]
fn another_operators_keys_see_nothing_at_any_path() {
    on_postgres(Limits::default(), |world| async move {
        let (session, position) = settled(&world).await;
        caught_up(&world, position).await;
        let ids = [session, world.station.to_string(), world.pile.to_string(), world.connector.to_string(), world.user.to_string()];
        for (_, path, _) in auth::ACCESS.iter().filter(|(method, ..)| *method == "GET") {
            for id in &ids {
                let filled: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part }).collect();
                let filled = filled.join("/");
                let answered = send(world.foreign(Role::Admin, Method::GET, &filled)).await;
                let seen = ids.iter().any(|id| answered.text.contains(id.as_str())) && answered.status.is_success();
                assert!(!seen || filled.contains("/accounts/"), "{filled}: {}", answered.text);
                assert!(!answered.text.contains("24.00"), "{filled}: {}", answered.text);
            }
        }
    });
}

#[test]
fn malformed_questions_are_answered_with_problems_and_never_with_a_5xx() {
    on_postgres(Limits::default(), |world| async move {
        let (session, position) = settled(&world).await;
        caught_up(&world, position).await;
        let cursor = "eyJ2Ijoic2Vzc2lvbnMiLCJvIjoiLW9wZW5lZF9hdCIsImMiOlsibm93IiwieCJdfQ";
        let values =
            ["", "0", "-1", "x", "%00", "%ff", "1e400", "9999999999999999999999", "'; DROP TABLE x; --", "9999-12-31", "true", cursor];
        let names = [
            "limit",
            "cursor",
            "near",
            "radius_m",
            "text",
            "status",
            "from_at",
            "from_on",
            "until_on",
            "as_of",
            "recorded_as_of",
            "account",
            "detail",
            "session",
            "entry",
            "order_number",
            "user_id",
            "open",
        ];
        for (_, path, _) in auth::ACCESS.iter().filter(|(method, path, _)| *method == "GET" && !path.ends_with("/live")) {
            let ids: &[&str] = if path.contains('{') { &[&session, "1122", "0", "x", "%00", "%ff"] } else { &[""] };
            for id in ids {
                let filled: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { *id } else { part }).collect();
                let filled = filled.join("/");
                for name in names {
                    for value in values {
                        let answered = world.get(Role::Admin, &format!("{filled}?{name}={}", value.replace(' ', "+"))).await;
                        assert!(answered.status.as_u16() < 500, "{filled}?{name}={value}: {answered:?}");
                        if !answered.status.is_success() {
                            answered.problem();
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn a_position_that_nobody_has_reached_is_said_and_not_waited_for_for_ever() {
    on_postgres(Limits::default(), |world| async move {
        send(after(&world, Role::App, 1_000_000, "/v1/sessions")).await.is_problem(409, "position-ahead");
        let request = world.request(Role::App, Method::GET, "/v1/sessions").header("x-min-position", "soon");
        send(request).await.is_problem(400, "invalid-header");
    });
}
