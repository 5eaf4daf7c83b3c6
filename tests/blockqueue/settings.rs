//! What `[blockqueue]`, `[http]` and `[auth]` change at the door.

use crate::common::*;
use crate::{ask, create, messages, publish, read};
use octoq::config::Config;
use octoq::server::Server;
use serde_json::json;

#[actix_web::test]
async fn short_visibility_may_be_one_minute_as_it_used_to_be() {
    let option = |text: &str| json!({"name": text, "option": {"visibility_duration": text}});
    let list = json!([option("1s"), option("4m"), option("5m"), option("1h")]);
    let body = json!({"name": "t", "subscribers": list}).to_string();
    for (setting, deadlines) in [
        ("blockqueue.visibility_floor=false", [1_000, 240_000, 300_000, 3_600_000]),
        ("blockqueue.visibility_floor=true", [60_000, 60_000, 300_000, 3_600_000]),
    ] {
        let broker = TestBroker::start_with(&[setting]).await;
        ask(&broker, "POST", "/topics", &body).await.expect(200);
        let topic = broker.http("GET", "/v1/topics/t", "").await.expect(200);
        for (queue, deadline) in topic["queues"].as_array().unwrap().iter().zip(deadlines) {
            assert_eq!(queue["policy"]["ack_deadline_ms"], deadline, "{queue}");
        }
    }
}

#[actix_web::test]
async fn a_wait_has_a_bound() {
    let broker = TestBroker::start_with(&["blockqueue.wait_max_s=1"]).await;
    create(&broker, "t", &["s"]).await;
    let answer = ask(&broker, "GET", "/topics/t/subscribers/s?timeout=2000000h", "").await;
    assert_eq!(answer.text(), r#"{"message":"success","data":[]}"#);
}

#[actix_web::test]
async fn the_originals_counters_are_served_when_asked_for() {
    let broker = TestBroker::start().await;
    let answer = ask(&broker, "GET", "/prometheus/metrics", "").await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "404 page not found\n"));

    let broker = TestBroker::start_with(&["blockqueue.metrics=true"]).await;
    create(&broker, "with-hyphen \\\"", &["s"]).await;
    for message in ["a", "b"] {
        publish(&broker, "with-hyphen%20%5C%22", message).await;
    }
    assert_eq!(messages(&read(&broker, "with-hyphen%20%5C%22", "s").await), ["a", "b"]);
    let answer = ask(&broker, "GET", "/prometheus/metrics", "").await;
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    let text = answer.text();
    let topic = r#"topic="with-hyphen \\\"""#;
    for line in [
        "# TYPE message_store_to_the_topic_watcher counter".to_owned(),
        "message_store_to_the_topic_watcher 2".to_owned(),
        format!("worker_dispatch_job_message_published{{{topic}}} 2"),
        format!(r#"request_queue_total_flight_request_queue{{{topic},subscriber="s"}} 0"#),
        format!(r#"request_message_total_consumed_message{{{topic},subscriber="s"}} 2"#),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(ask(&broker, "POST", "/prometheus/metrics", "").await.status, 405);
}

#[actix_web::test]
async fn the_door_can_be_mounted_at_the_native_port() {
    let broker = TestBroker::start_with(&["blockqueue.mount=/below/here"]).await;
    let address = broker.door("http");
    let ask = async |method: &str, path: &str, body: &str| {
        http(address, method, &format!("/below/here{path}"), &[], body.as_bytes()).await
    };
    ask("POST", "/topics", r#"{"name":"t","subscribers":[{"name":"s"}]}"#).await.expect(200);
    ask("POST", "/topics/t/messages", r#"{"message":"m"}"#).await.expect(200);
    let got = ask("GET", "/topics/t/subscribers/s?timeout=5s", "").await.expect(200);
    assert_eq!(got["data"][0]["message"], "m");
    let id = got["data"][0]["id"].as_str().unwrap();
    ask("DELETE", &format!("/topics/t/subscribers/s/messages/{id}"), "").await.expect(200);
    assert_eq!(ask("GET", "/nothing", "").await.text(), "404 page not found\n");
    assert_eq!(broker.http("GET", "/livez", "").await.status, 200);
}

#[actix_web::test]
async fn credentials_are_needed_where_they_are_asked_for() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let answer = ask(&broker, "GET", "/topics", "").await;
    let error =
        "not authenticated: `auth.anonymous` is \"never\", so log in with Basic authentication";
    assert_eq!(answer.expect(401), json!({"message": "failure", "error": error}));
    assert!(answer.head.to_lowercase().contains("www-authenticate: basic"), "{}", answer.head);
    let admin = [("Authorization", "Basic YWRtaW46cGFzc3dvcmQ=")];
    let body = br#"{"name":"t","subscribers":[{"name":"s"}]}"#;
    let address = broker.door("blockqueue");
    http(address, "POST", "/topics", &admin, body).await.expect(200);
    let ann = r#"{"password":"secret","role":"consumer"}"#;
    http(broker.door("http"), "PUT", "/v1/users/ann", &admin, ann.as_bytes()).await;
    let wrong = [("Authorization", "Basic YWRtaW46d3Jvbmc=")];
    http(address, "GET", "/topics", &wrong, b"").await.expect(401);
    let malformed = [("Authorization", "Digest x")];
    http(address, "GET", "/topics", &malformed, b"").await.expect(400);
    let foreign = [("Origin", "https://evil.example")];
    http(address, "GET", "/topics", &foreign, b"").await.expect(403);
}

/// A busy port costs the door when nobody asked for it, and the start when somebody did.
#[actix_web::test]
async fn a_busy_port_costs_what_was_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("blockqueue.listen={}", taken.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut set = settings(folder.path());
    set.push(listen);
    let mut config = Config::load(None, &set).unwrap();
    let refused = Server::start(config.clone()).await.err().unwrap().to_string();
    assert!(refused.starts_with("blockqueue: cannot listen on"), "{refused}");
    config.chosen_doors.clear();
    let server = Server::start(config).await.unwrap();
    assert!(server.doors().iter().all(|(door, _)| *door != "blockqueue"));
    server.stop().await.unwrap();
}

#[actix_web::test]
async fn connections_are_counted_by_door() {
    let broker = TestBroker::start().await;
    let wire = Wire::connect(broker.door("blockqueue")).await;
    let counted = || {
        let state = broker.server.broker.state();
        state.connections.iter().find(|(door, _)| *door == "blockqueue").unwrap().1
    };
    eventually("counted", async || (counted() == 1).then_some(())).await;
    drop(wire);
    eventually("not counted any more", async || (counted() == 0).then_some(())).await;
}
