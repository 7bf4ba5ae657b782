//! A story's trace runs through the processes: asked for in one, held by the read models of another.

mod database;
mod serving;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use serving::{Ledger, PATIENCE, Serving};

/// Spans as a collector gets them, each with the roles of the process that sent it.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector that keeps what it gets.
async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let take = async |State(spans): State<Spans>, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let sent = ExportTraceServiceRequest::decode(body).expect("OTLP");
        for resource in sent.resource_spans {
            let known = resource.resource.expect("a resource").attributes;
            let roles = known.iter().find(|pair| pair.key == "chargeledger.roles").and_then(|pair| pair.value.clone()).expect("roles");
            let roles = format!("{:?}", roles.value.expect("a value"));
            let all = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(all.map(|span| (roles.clone(), span)));
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, spans)
}

/// The span of this name in this trace, once it is there.
async fn until_sent(spans: &Spans, trace: &[u8], name: &str) -> (String, Span) {
    let began = Instant::now();
    loop {
        let found = spans.lock().unwrap().iter().find(|(_, span)| span.trace_id == trace && span.name == name).cloned();
        if let Some(found) = found {
            return found;
        }
        let known = || spans.lock().unwrap().iter().map(|(_, span)| span.name.clone()).collect::<Vec<_>>();
        assert!(began.elapsed() < PATIENCE, "{name} in {:?}", known());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn register(server: &Serving, key: &str, phone: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/v1/users", server.url)).bearer_auth(key).json(&json!({"phone": phone}));
    let made = request.header("traceparent", format!("00-{CALLER}-b7ad6b7169203331-01")).send().await.unwrap();
    assert_eq!(made.status(), 201);
    made.json().await.unwrap()
}

const CALLER: &str = "0af7651916cd43dd8448eb211c80319c";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storys_trace_is_one_tree_over_all_processes_and_its_id_is_the_storys() {
    let Some(ledger) = Ledger::new() else { return };
    let key = ledger.key("app");
    let (endpoint, spans) = collector().await;
    let traced = [("CHARGELEDGER_OTLP_ENDPOINT", &*endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let server = ledger.serve_with("api,processes", &traced);
    let _projector = ledger.serve_with("projector", &traced);
    server.until_ready().await;
    let user = register(&server, &key, "13800138000").await;

    let story: uuid::Uuid = user["id"].as_str().or(user["user_id"].as_str()).unwrap().parse().unwrap();
    let trace = story.as_bytes();
    let (roles, request) = until_sent(&spans, trace, "POST /v1/users").await;
    assert!(roles.contains("api,processes"), "{roles}");
    assert_eq!(request.links.iter().map(|link| hex(&link.trace_id)).collect::<Vec<_>>(), [CALLER], "the caller's trace is linked to");
    let (_, event) = until_sent(&spans, trace, "user.registered").await;
    assert_eq!(event.parent_span_id, request.span_id);
    let (roles, held) = until_sent(&spans, trace, "user.registered into users").await;
    assert!(roles.contains("\"projector\""), "{roles}");
    assert_eq!(held.parent_span_id, event.span_id);
    for line in [
        "chargeledger_commands_total{aggregate=\"user\",outcome=\"done\"} 1",
        "chargeledger_events_appended_total{type=\"user.registered\"} 1",
        "chargeledger_append_duration_seconds_count{engine=\"embedded\"} 1",
        "chargeledger_store_errors_total{engine=\"embedded\",operation=\"append\"} 0",
    ] {
        server.until_measured(line).await;
    }
    assert!(held.end_time_unix_nano >= event.end_time_unix_nano, "held after it was appended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_holds_nobody_up() {
    let Some(ledger) = Ledger::new() else { return };
    let key = ledger.key("app");
    let mut server = ledger.serve_with("api,processes", &[("CHARGELEDGER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
    server.until_ready().await;
    register(&server, &key, "13800138001").await;
    let terminated = std::process::Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    assert!(server.child.wait().unwrap().success(), "it stops in good order, without its last spans");
}
