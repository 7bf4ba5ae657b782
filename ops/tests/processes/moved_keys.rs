//! The keys of personal data move from their file into a database: whoever was readable stays so, whoever was erased stays erased, and a move that is killed is done again.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::database::Database;
use crate::serving::{Ledger, PATIENCE, SESSIONS, Serving};

async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn register(server: &Serving, app: &str, phone: &str) -> (u16, Value) {
    server.post(app, "/v1/users", &json!({"phone": phone, "name": "王小明", "plate": "粤B12345"})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_move_into_a_database_and_everybody_is_who_he_was() {
    let (Some(keys), Some(other)) = (Database::new(), Database::new()) else { return };
    let ledger = Ledger::empty().imported(SESSIONS);
    let (app, admin) = (ledger.key("app"), ledger.key("admin"));
    let moving = ["store", "move-keys", "--to", &keys.url()];
    let server = ledger.serve("api");
    server.until_ready().await;
    let (status, kept) = register(&server, &app, "13800138000").await;
    assert_eq!(status, 201, "{kept}");
    let (_, erased) = register(&server, &app, "13800138001").await;
    let (kept, erased) = (kept["user_id"].as_str().unwrap(), erased["user_id"].as_str().unwrap());
    let (status, answer) = server.post(&admin, &format!("/v1/users/{erased}/erase"), &json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let refused = ledger.refused(&moving);
    assert!(refused.contains("keys.db is in use: stop every server"), "{refused}");
    drop(server);

    // Killed in the middle: while the database has not taken them yet.
    let made = ledger.command(&["audit", "verify"]).output().unwrap();
    assert!(made.status.success());
    read_models::SharedKeys::new(&keys.url()).unwrap().info().await.unwrap();
    let holder = client(&keys.url()).await;
    holder.batch_execute("BEGIN; LOCK TABLE subject_keys.lookup_key IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut child = ledger.command(&moving).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (began, waits) = (Instant::now(), "SELECT FROM pg_locks WHERE NOT granted AND relation = 'subject_keys.lookup_key'::regclass");
    while holder.query(waits, &[]).await.unwrap().is_empty() {
        assert!(began.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "it waits for the table");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    holder.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(keys.number("SELECT count(*) FROM subject_keys.subjects").await, 0, "all or none");
    assert!(ledger.data().join("keys.db").exists());

    let moved = ledger.json(&moving);
    let subjects = moved["subjects"].as_i64().unwrap();
    assert_eq!((&moved["were_there"], &moved["verified"]), (&json!(0), &json!(true)), "{moved}");
    assert_eq!(keys.number("SELECT count(*) FROM subject_keys.subjects").await, subjects);
    // Killed after the database has taken them, and before the file was put aside.
    std::fs::rename(ledger.data().join("keys.db.moved"), ledger.data().join("keys.db")).unwrap();
    assert_eq!(ledger.json(&moving)["were_there"].as_i64(), Some(subjects));

    // Nobody goes on without them, or moves them twice.
    assert!(ledger.refused(&["serve", "--roles", "api", "--listen", "127.0.0.1:0"]).contains("set CHARGELEDGER_KEY_STORE"));
    assert!(ledger.refused(&moving).contains("the keys were moved before"));

    let server = ledger.serve_with("api", &[("CHARGELEDGER_KEY_STORE", &keys.url())]);
    server.until_ready().await;
    let (status, known) = server.get(&app, &format!("/v1/users/{kept}")).await;
    assert_eq!((status, &known["name"], &known["plate"]), (200, &json!("王小明"), &json!("粤B12345")), "{known}");
    assert_eq!(register(&server, &app, "13800138000").await.0, 409, "the number has an owner");
    let (_, gone) = server.get(&app, &format!("/v1/users/{erased}")).await;
    assert!(gone["name"].is_null() && gone["phone"].is_null(), "{gone}");
    assert_eq!(register(&server, &app, "13800138001").await.0, 201, "the number of nobody");
    drop(server);

    // Another ledger's keys are not mixed with these.
    let stranger = Ledger::empty().imported(SESSIONS);
    let refused = stranger.refused(&moving);
    assert!(refused.contains("the database holds other keys") && refused.contains("the keys stay in"), "{refused}");
    assert!(stranger.data().join("keys.db").exists());
    assert_eq!(stranger.json(&["store", "move-keys", "--to", &other.url()])["verified"], true);
    let wrong = ledger.refused(&["store", "move-keys", "--to", "postgresql://app:secret@db:port/keys"]);
    assert!(wrong.contains("--to: ") && !wrong.contains("secret"), "{wrong}");
}
