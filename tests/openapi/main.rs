//! The document of the API and its page: what they say is what the broker does. schemathesis makes
//! requests up from the document, right ones and wrong ones, and compares every answer with it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

use common::*;
use serde_json::json;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// How long schemathesis may take, on a busy machine.
const RUN_MAX: Duration = Duration::from_secs(600);

/// Where tests/run puts schemathesis.
fn schemathesis() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis-venv");
    assert!(
        folder.join("release").exists(),
        "schemathesis is not there: `tests/run` installs it into {} (it needs the network and \
         python3-venv, once)",
        folder.display()
    );
    folder.join("bin/schemathesis")
}

#[actix_web::test]
async fn schemathesis_finds_no_answer_that_is_not_in_the_document() {
    // Made-up requests are not to wait for a minute, nor for the disk.
    let settings = ["http.wait_max_s=1", "store.durability=memory", "limits.topics_max=200"];
    let broker = TestBroker::start_with(&settings).await;
    let queues = json!([{"name": "default"}, {"name": "audit"}]);
    let topic = json!({"name": "orders", "queues": queues});
    broker.http("POST", "/v1/topics", &topic.to_string()).await.expect(201);
    let bodies: Vec<_> = (0..50).map(|number| json!({"json": {"number": number}})).collect();
    let bodies = json!(bodies).to_string();
    broker.http("POST", "/v1/topics/orders/messages", &bodies).await.expect(200);
    let token = json!({"name": "schemathesis", "user": "admin", "rights": "a"}).to_string();
    let token = broker.http("POST", "/v1/tokens", &token).await.expect(201);

    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let file = File::create(&told).unwrap();
    let mut command = Command::new(schemathesis());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi");
    command
        .arg("--config-file")
        .arg(here.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", broker.door("http")))
        .env("OCTOQ_TOKEN", token["token"].as_str().unwrap())
        .env("PYTHONPATH", &here)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    let mut child = command.spawn().unwrap();
    let deadline = tokio::time::Instant::now() + RUN_MAX;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if tokio::time::Instant::now() > deadline => {
                let _ = child.kill();
                break None;
            }
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let told = String::from_utf8_lossy(&fs::read(told).unwrap()).into_owned();
    println!("{told}");
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    // It went through all of it, and did not stop at a broker that answers nobody.
    let number = |what: &str| -> usize {
        let (_, rest) =
            told.split_once(what).unwrap_or_else(|| panic!("no `{what}` in its summary"));
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let selected = number("Selected: ");
    assert!(told.contains(&format!("Selected: {selected}/{selected}")), "some are left out");
    assert_eq!(number("Tested: "), selected);
    assert!(selected > 50 && number("Test cases:\n  ") > 1000);
    // It was let in to the end.
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let headers = [("Authorization", bearer.as_str())];
    http(broker.door("http"), "GET", "/v1/definitions", &headers, b"").await.expect(200);
    assert_eq!(broker.http("GET", "/readyz", "").await.status, 200);
}

#[actix_web::test]
async fn the_document_is_served_and_says_what_this_broker_takes() {
    let broker = TestBroker::start_with(&["http.wait_max_s=7"]).await;
    let answer = broker.http("GET", "/openapi.json", "").await;
    assert!(answer.head.to_lowercase().contains("content-type: application/json"));
    let document = answer.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let receive = &document["paths"]["/v1/topics/{topic}/receive"]["post"];
    let wait =
        receive["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "wait_ms");
    assert_eq!(wait.unwrap()["schema"]["maximum"], 7000);
    let codes = &document["components"]["schemas"]["Problem"]["properties"]["code"];
    assert!(codes["enum"].as_array().unwrap().contains(&json!("topic_not_found")));
    assert_eq!(codes["x-statuses"]["too_many"], json!([413, 429]));
}

/// Examples are there to be pasted: each is taken as it stands.
#[actix_web::test]
async fn the_examples_of_the_document_are_taken() {
    let broker = TestBroker::start().await;
    let topic = json!({"name": "orders"}).to_string();
    broker.http("POST", "/v1/topics", &topic).await.expect(201);
    let document = broker.http("GET", "/openapi.json", "").await.expect(200);
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = operation["requestBody"]["content"].as_object().into_iter().flatten();
            for (kind, media) in content.filter(|(_, media)| !media["example"].is_null()) {
                let body = match &media["example"] {
                    serde_json::Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                let path = path.replace("{topic}", "orders").replace("{queue}", "default");
                let headers = [("Content-Type", kind.as_str())];
                let method = method.to_uppercase();
                let answer =
                    http(broker.door("http"), &method, &path, &headers, body.as_bytes()).await;
                let text = format!("{method} {path} {body}: {} {}", answer.status, answer.text());
                // What it speaks of may not be there; its form is right.
                assert!(matches!(answer.status, 200..300 | 404 | 409), "{text}");
                tried += 1;
            }
        }
    }
    assert!(tried > 10, "{tried}");
}

#[actix_web::test]
async fn the_page_needs_nobody_else() {
    let broker = TestBroker::start().await;
    let mut text = String::new();
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/ui/docs.js", "text/javascript; charset=utf-8"),
        ("/ui/docs.css", "text/css; charset=utf-8"),
    ] {
        let answer = broker.http("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        let head = answer.head.to_lowercase();
        for part in [
            &format!("content-type: {kind}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(part), "{path}: {part} is not in {head}");
        }
        text.push_str(&answer.text());
    }
    for foreign in ["https://", "http://", "//cdn", "@import", "style=", "onclick", "innerHTML"] {
        assert!(!text.contains(foreign), "{foreign}");
    }
}
