//! `octoq bench` against a real broker: at every door its figures agree with each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

mod common;

use common::TestBroker;
use serde_json::Value;
use std::process::{Command, Output};

async fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octoq"));
    command.arg("bench").args(arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Runs it at a door of the broker; what it prints as JSON.
async fn measured(broker: &TestBroker, door: &str, arguments: &[&str]) -> Value {
    let listener = if matches!(door, "ws" | "sse") { "http" } else { door };
    let address = broker.door(listener).to_string();
    let mut all = vec!["--door", door, "--addr", &address, "--json"];
    all.extend(arguments);
    let output = bench(&all).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{door} {arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn counts(report: &Value) -> [u64; 4] {
    ["published", "received", "acked", "missed"].map(|count| report[count].as_u64().unwrap())
}

fn positive(report: &Value, field: &str) {
    assert!(report[field].as_f64().unwrap() > 0.0, "{field}: {report}");
}

#[actix_web::test]
async fn what_is_published_at_a_door_is_confirmed_there() {
    let broker = TestBroker::start_with(&["store.durability=memory"]).await;
    for door in ["otq", "http", "ws", "okq", "dsmq", "fastqueue", "blockqueue"] {
        let batch = if door == "fastqueue" { "1" } else { "10" };
        let arguments = ["--count", "300", "--batch", batch, "--connections", "3", "--depth", "2"];
        let report = measured(&broker, door, &arguments).await;
        assert_eq!(counts(&report), [300, 0, 0, 0], "{report}");
        assert_eq!(report["door"], door);
        positive(&report, "messages_per_s");
        assert!(report["latency_us"]["p99"].as_f64() >= report["latency_us"]["p50"].as_f64());
    }
}

#[actix_web::test]
async fn what_waits_is_received_and_acked_once_each() {
    let broker = TestBroker::start_with(&["store.durability=memory"]).await;
    for door in ["otq", "http", "okq", "fastqueue", "blockqueue"] {
        let arguments =
            ["--work", "receive", "--count", "300", "--batch", "7", "--connections", "3"];
        let report = measured(&broker, door, &arguments).await;
        // otq's GET takes for good.
        let acked = if door == "otq" { 0 } else { 300 };
        assert_eq!(counts(&report)[1..], [300, acked, 0], "{report}");
        positive(&report, "messages_per_s");
    }
}

#[actix_web::test]
async fn every_listener_gets_everything() {
    let broker = TestBroker::start().await;
    for door in ["otq", "ws", "dsmq"] {
        let arguments =
            ["--work", "pubsub", "--count", "400", "--batch", "20", "--connections", "2"];
        let more = ["--subscribers", "3", "--threads", "2"];
        let report = measured(&broker, door, &[&arguments[..], &more].concat()).await;
        assert_eq!(counts(&report), [400, 1200, 0, 0], "{report}");
        assert!(report["latency_us"]["count"].as_u64().unwrap() > 0, "{report}");
    }
}

#[actix_web::test]
async fn messages_go_there_and_come_back() {
    let broker = TestBroker::start_with(&["store.durability=memory"]).await;
    for door in ["otq", "http", "ws", "okq", "dsmq", "fastqueue", "blockqueue"] {
        let arguments = ["--work", "roundtrip", "--count", "40", "--connections", "2"];
        let report = measured(&broker, door, &arguments).await;
        let [published, received, _, missed] = counts(&report);
        assert_eq!([published, received, missed], [40, 40, 0], "{report}");
        assert_eq!(report["latency_us"]["count"], 40, "{report}");
    }
}

#[actix_web::test]
async fn a_paced_run_for_a_time_asks_what_was_due_and_has_a_reference() {
    let broker = TestBroker::start_with(&["store.durability=memory"]).await;
    let arguments = ["--duration", "0.5", "--warm-up", "0.1", "--rate", "500", "--reference"];
    for door in ["http", "otq"] {
        let report = measured(&broker, door, &arguments).await;
        let [published, ..] = counts(&report);
        // What is due in 0.6 seconds; a slow machine may not manage all of it.
        assert!((1..=300).contains(&published), "{report}");
        positive(&report["reference"], "requests_per_s");
        positive(&report["reference"], "ratio");
    }
}

#[actix_web::test]
async fn what_makes_no_sense_is_usage_and_nobody_there_is_5() {
    let table: [(&[&str], i32); 6] = [
        (&["--door", "okq", "--work", "pubsub"], 2),
        (&["--door", "ws", "--work", "receive"], 2),
        (&["--door", "fastqueue", "--batch", "2"], 2),
        (&["--connections", "0"], 2),
        (&["--topic", "a/b"], 2),
        // Port 1 of this machine: nobody.
        (&["--addr", "127.0.0.1:1"], 5),
    ];
    for (arguments, code) in table {
        let output = bench(arguments).await;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[actix_web::test]
async fn it_starts_a_broker_of_its_own() {
    let arguments = ["--self", "--durability", "memory", "--count", "50", "--connections", "2"];
    let output = bench(&[&arguments[..], &["--json"]].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&report), [50, 0, 0, 0]);
}
