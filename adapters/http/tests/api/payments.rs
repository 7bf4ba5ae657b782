//! Payments, refunds and what the sandbox channel reports.

use domain::event::Event;
use domain::ids::UserId;
use domain::key::Role;
use domain::log::{Revision, StreamId};
use domain::wallet::WalletEvent;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{World, send};

async fn topped_up(world: &World, amount: &str) -> Value {
    let body = json!({"user_id": world.user, "channel": "sandbox", "amount_yuan": amount, "purpose": {"kind": "top_up"}});
    let answered = world.post(Role::App, "/v1/payments", body).await;
    let payment = answered.is(201);
    assert_eq!(answered.header("location"), format!("/v1/payments/{}", payment["payment_id"].as_str().unwrap()));
    payment
}

#[tokio::test]
async fn a_top_up_is_paid_once_however_often_the_channel_says_so() {
    let world = World::new().await;
    let payment = topped_up(&world, "100").await;
    let id = payment["payment_id"].as_str().unwrap();
    assert_eq!((&payment["status"], &payment["amount_yuan"]), (&json!("open"), &json!("100.00")));
    for _ in 0..2 {
        let paid = world.pay(id, "100").await.is(200);
        assert_eq!((&paid["status"], &paid["refundable_yuan"]), (&json!("succeeded"), &json!("100.00")));
    }
    let by_number = world.get(Role::Finance, &format!("/v1/payments/{}", payment["payment_no"].as_str().unwrap())).await.is(200);
    assert_eq!(by_number["payment_id"], payment["payment_id"]);
}

#[tokio::test]
async fn a_refund_is_never_more_than_there_is() {
    let world = World::new().await;
    let payment = topped_up(&world, "30").await;
    let id = payment["payment_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/payments/{id}/refunds");
    let refund = |amount: &str| json!({"amount_yuan": amount, "reason": "asked for"});
    world.pay(&id, "30").await.is(200);
    let mut answered = world.post(Role::Finance, &path, refund("20")).await;
    for _ in 0..100 {
        if answered.status == 202 {
            break;
        }
        // The wallet learns of the money a moment later.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        answered = world.post(Role::Finance, &path, refund("20")).await;
    }
    answered.is(202);
    world.post(Role::Finance, &path, refund("20")).await.is_problem(409, "insufficient-funds");
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_is_answered_again_although_it_has_moved_what_it_was_tied_to() {
    let world = World::new().await;
    let payment = topped_up(&world, "30").await;
    let path = format!("/v1/payments/{}", payment["payment_id"].as_str().unwrap());
    world.pay(payment["payment_id"].as_str().unwrap(), "30").await.is(200);
    let wallet = format!("/v1/wallets/{}", world.user);
    world.until(Role::Finance, &wallet, |answered| answered.json()["refundable_yuan"] == "30.00").await;
    let seen = world.get(Role::Finance, &path).await.header("etag").to_owned();
    let tied = |key: &'static str, path: &str| {
        world.request(Role::Finance, Method::POST, path).header("idempotency-key", key).header("if-match", seen.clone())
    };
    let refund = |key| tied(key, &format!("{path}/refunds")).json(&json!({"amount_yuan": "20", "reason": "asked for"}));
    let first = send(refund("a")).await.is(202);
    world.until(Role::Finance, &path, |answered| answered.json()["refundable_yuan"] == "10.00").await;
    assert_eq!(send(refund("a")).await.is(202), first);
    send(refund("b")).await.is_problem(412, "precondition-failed");
    assert_eq!(world.get(Role::Finance, &path).await.json()["refundable_yuan"], "10.00");

    let open = topped_up(&world, "5").await;
    let path = format!("/v1/payments/{}", open["payment_id"].as_str().unwrap());
    let seen = world.get(Role::Finance, &path).await.header("etag").to_owned();
    let close = |key: &'static str| {
        let close = world.request(Role::Finance, Method::POST, &format!("{path}/close"));
        close.header("idempotency-key", key).header("if-match", seen.clone())
    };
    for _ in 0..2 {
        assert_eq!(send(close("c")).await.is(200)["status"], "closed");
    }
    send(close("d")).await.is_problem(412, "precondition-failed");
}

#[tokio::test]
async fn why_money_leaves_a_wallet_is_kept_as_it_was_written() {
    let world = World::new().await;
    let payment = topped_up(&world, "30").await;
    world.pay(payment["payment_id"].as_str().unwrap(), "30").await.is(200);
    let wallet = format!("/v1/wallets/{}", world.user);
    world.until(Role::Finance, &wallet, |answered| answered.json()["refundable_yuan"] == "30.00").await;
    let path = format!("{wallet}/refunds");
    world.post(Role::Finance, &path, json!({"amount_yuan": "1", "reason": " "})).await.is_problem(422, "invalid-body");
    world.post(Role::Finance, &path, json!({"amount_yuan": "20", "reason": "moved away"})).await.is(202);
    let stream = StreamId::wallet(UserId(world.user));
    let events = world.commands.ledger.store().read_stream(&stream, Revision(0), 10).await.unwrap();
    let reasons: Vec<Option<String>> = events
        .into_iter()
        .filter_map(|stored| match stored.decode().unwrap().event {
            Event::Wallet(WalletEvent::RefundRequested { reason, .. }) => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [Some("moved away".to_owned())]);
}

#[tokio::test]
async fn an_unpaid_payment_closes_and_a_paid_one_does_not() {
    let world = World::new().await;
    let unpaid = topped_up(&world, "10").await["payment_id"].as_str().unwrap().to_owned();
    let closed = send(world.request(Role::App, Method::POST, &format!("/v1/payments/{unpaid}/close"))).await.is(200);
    assert_eq!(closed["status"], "closed");
    let paid = topped_up(&world, "10").await["payment_id"].as_str().unwrap().to_owned();
    world.pay(&paid, "10").await.is(200);
    let close = world.request(Role::App, Method::POST, &format!("/v1/payments/{paid}/close"));
    send(close).await.is_problem(409, "payment-already-paid");
}

#[tokio::test]
async fn a_channel_that_is_not_configured_is_refused() {
    let world = World::new().await;
    let body = json!({"user_id": world.user, "channel": "alipay", "amount_yuan": "10", "purpose": {"kind": "top_up"}});
    world.post(Role::App, "/v1/payments", body).await.is_problem(422, "channel-not-configured");
    world.post(Role::App, "/v1/webhooks/alipay", json!({})).await.is_problem(422, "invalid-body");
}

#[tokio::test]
async fn another_operator_neither_sees_nor_pays_nor_refunds_a_payment() {
    let world = World::new().await;
    let payment = topped_up(&world, "10").await;
    let (id, number) = (payment["payment_id"].as_str().unwrap(), payment["payment_no"].as_str().unwrap());
    let refund = json!({"amount_yuan": "1", "reason": "r"});
    let paid = json!({"type": "paid", "payment_no": number, "amount_yuan": "10", "channel_transaction": "x", "paid_at": "2026-03-01T08:00:00+08:00"});
    let pay = json!({"user_id": world.user, "channel": "sandbox", "amount_yuan": "1", "purpose": {"kind": "top_up"}});
    for (method, path, body) in [
        (Method::GET, format!("/v1/payments/{id}"), json!({})),
        (Method::POST, format!("/v1/payments/{id}/close"), json!({})),
        (Method::POST, format!("/v1/payments/{id}/refunds"), refund),
        (Method::POST, "/v1/webhooks/sandbox".to_owned(), paid),
        (Method::POST, "/v1/payments".to_owned(), pay),
    ] {
        send(world.foreign(Role::Admin, method, &path).json(&body)).await.is_problem(404, "not-found");
    }
}

/// A top-up of 10 for which another amount came, under the transaction `t-9`.
async fn disputed(world: &World, amount: &str) -> (String, String) {
    let payment = topped_up(world, "10").await;
    let (id, number) = (payment["payment_id"].as_str().unwrap().to_owned(), payment["payment_no"].as_str().unwrap());
    let report = json!({
        "type": "paid", "payment_no": number, "amount_yuan": amount, "channel_transaction": "t-9", "paid_at": "2026-03-01T08:00:00+08:00",
    });
    assert_eq!(world.post(Role::Gateway, "/v1/webhooks/sandbox", report).await.is(200)["status"], "open");
    let path = format!("/v1/payments/{id}/resolve");
    (id, path)
}

async fn close(world: &World, id: &str) {
    send(world.request(Role::App, Method::POST, &format!("/v1/payments/{id}/close"))).await.is(200);
}

#[tokio::test]
async fn money_of_another_amount_goes_back_or_into_the_wallet_once_its_payment_has_closed() {
    let world = World::new().await;
    let resolve = |how: &str| json!({"resolution": how, "channel_transaction": "t-9", "note": "the payer typed the amount"});
    let (back, path) = disputed(&world, "9").await;
    world.post(Role::Finance, &path, resolve("return")).await.is_problem(409, "payment-open");
    close(&world, &back).await;
    let decided = world.post(Role::Finance, &path, resolve("return")).await.is(200);
    assert_eq!((&decided["status"], &decided["refundable_yuan"]), (&json!("received_late"), &json!("0.00")));
    world.post(Role::Finance, &path, resolve("return")).await.is_problem(409, "refund-under-way");

    let (kept, path) = disputed(&world, "12.50").await;
    close(&world, &kept).await;
    let apply = || world.request(Role::Finance, Method::POST, &path).header("idempotency-key", "k").json(&resolve("apply"));
    for _ in 0..2 {
        let decided = send(apply()).await.is(200);
        assert_eq!((&decided["status"], &decided["purpose"]["kind"]), (&json!("succeeded"), &json!("top_up")));
    }
    let wallet = format!("/v1/wallets/{}", world.user);
    world.until(Role::Finance, &wallet, |answered| answered.json()["refundable_yuan"] == "12.50").await;
    world.post(Role::Finance, &path, resolve("apply")).await.is_problem(409, "receipt-not-unidentified");
}

#[tokio::test]
async fn only_finance_decides_and_never_without_a_note_or_about_anothers_payment() {
    let world = World::new().await;
    let (id, path) = disputed(&world, "9").await;
    close(&world, &id).await;
    let dismiss = json!({"resolution": "dismiss", "note": "it was never there"});
    world.post(Role::App, &path, dismiss.clone()).await.is_problem(403, "forbidden");
    world.post(Role::Operator, &path, dismiss.clone()).await.is_problem(403, "forbidden");
    world.post(Role::Finance, &path, json!({"resolution": "dismiss", "note": " "})).await.is_problem(422, "invalid-body");
    world.post(Role::Finance, &path, json!({"resolution": "return", "note": "n"})).await.is_problem(422, "invalid-body");
    send(world.foreign(Role::Admin, Method::POST, &path).json(&dismiss)).await.is_problem(404, "not-found");
    let first = world.post(Role::Finance, &path, dismiss.clone()).await.is(200);
    assert_eq!(world.post(Role::Finance, &path, dismiss).await.is(200)["revision"], first["revision"]);
}
