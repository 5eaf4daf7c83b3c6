//! Requests that are malformed, slow, huge or cut up; other connections go on.

use super::*;
use std::time::Duration;

/// Reads one answer with a body of known length from a connection that stays open.
async fn answer(wire: &mut Wire) -> (u16, String) {
    let status_line = wire.line().await;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut length = 0;
    loop {
        let line = wire.line().await.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    while body.len() < length {
        let mut byte = [0];
        tokio::io::AsyncReadExt::read_exact(&mut wire.stream, &mut byte).await.unwrap();
        body.push(byte[0]);
    }
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[actix_web::test]
async fn a_body_that_does_not_come_ends_only_its_own_connection() {
    let broker = TestBroker::start_with(&["http.body_timeout_ms=200"]).await;
    topic(&broker, "t").await;
    let mut slow = Wire::connect(broker.door("fastqueue")).await;
    slow.send("POST /topics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{").await;
    let (status, body) = answer(&mut slow).await;
    assert_eq!((status, body.contains("body_timeout_ms")), (408, true), "{body}");
    slow.expect_close().await;
    topic(&broker, "others-go-on").await;
}

#[actix_web::test]
async fn a_head_that_does_not_come_ends_its_connection() {
    let broker = TestBroker::start_with(&["http.request_timeout_ms=2000"]).await;
    let mut slow = Wire::connect(broker.door("fastqueue")).await;
    slow.send("GET /topics HT").await;
    let line = slow.line().await;
    assert!(line.contains("408"), "{line}");
    topic(&broker, "others-go-on").await;
}

#[actix_web::test]
async fn bodies_beyond_the_bound_are_refused_before_they_are_read() {
    let broker = TestBroker::start_with(&["http.request_bytes_max=1000"]).await;
    for length in ["1001", "9223372036854775807"] {
        let mut wire = Wire::connect(broker.door("fastqueue")).await;
        let head =
            format!("POST /topics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        wire.send(head).await;
        assert_eq!(answer(&mut wire).await.0, 413, "{length}");
    }
    // In chunks nobody says the length before.
    let mut wire = Wire::connect(broker.door("fastqueue")).await;
    wire.send("POST /topics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..2 {
        wire.send(format!("258\r\n{}\r\n", "x".repeat(600))).await;
    }
    assert_eq!(answer(&mut wire).await.0, 413);
    for length in ["-1", "abc", "99999999999999999999999999"] {
        let mut wire = Wire::connect(broker.door("fastqueue")).await;
        let head =
            format!("POST /topics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        wire.send(head).await;
        assert!(wire.line().await.contains("400"), "{length}");
    }
    topic(&broker, "others-go-on").await;
}

#[actix_web::test]
async fn a_message_beyond_the_bound_of_bodies_is_refused() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=100"]).await;
    topic(&broker, "t").await;
    queue(&broker, "q", json!({"topic_id": "t"})).await;
    let body = json!({"data": {"long": "x".repeat(100)}});
    let answer = send(&broker, "POST", "/topics/t/messages", &body).await;
    assert_eq!((answer.status, answer.json()["detail"].is_string()), (413, true));
    assert_eq!(publish(&broker, "t", 1).await.len(), 1);
}

#[actix_web::test]
async fn bytes_that_are_no_text_are_refused() {
    let broker = TestBroker::start().await;
    let json = [("content-type", "application/json")];
    let address = broker.door("fastqueue");
    for body in [&b"\xff\xfe\x00"[..], b"{\"id\":\"\xc3\x28\"}"] {
        let answer = http(address, "POST", "/topics", &json, body).await;
        let detail = json!({"detail": "There was an error parsing the body"});
        assert_eq!((answer.status, answer.json()), (400, detail));
    }
    for path in ["/topics/%ff%fe", "/queues/%00", "/queues/%c3%28/stats", "/topics/%"] {
        assert_eq!(http(address, "GET", path, &[], b"").await.status, 404, "{path}");
    }
    let answer = http(address, "PUT", "/messages/%ff/ack", &[], b"").await;
    assert_eq!(answer.status, 422);
    let long = format!("/queues/{}", "a".repeat(5000));
    assert_eq!(http(address, "GET", &long, &[], b"").await.status, 404);
}

#[actix_web::test]
async fn deep_json_is_refused_wherever_it_is() {
    let broker = TestBroker::start().await;
    let json = [("content-type", "application/json")];
    let address = broker.door("fastqueue");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let body = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        for path in ["/topics", "/queues", "/topics/x/messages"] {
            let answer = http(address, "POST", path, &json, body.as_bytes()).await;
            let kind = answer.json()["detail"][0]["type"].clone();
            assert_eq!((answer.status, kind), (422, json!("value_error.jsondecode")));
        }
    }
    // Another door's message is shown as text when it is deeper than that.
    broker.http("POST", "/v1/topics", r#"{"name":"deep"}"#).await.expect(201);
    let body = json!({"body": format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000))});
    broker.http("POST", "/v1/topics/deep/messages", &body.to_string()).await.expect(201);
    assert!(consume(&broker, "deep").await[0]["data"]["body"].is_string());
}

#[actix_web::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "q", json!({"topic_id": "t"})).await;
    let mut wire = Wire::connect(broker.door("fastqueue")).await;
    let mut all = String::new();
    for n in 0..20 {
        all.push_str(&post("/topics/t/messages", &format!("{{\"data\":{{\"n\":{n}}}}}")));
    }
    all.push_str("PUT /queues/q/purge HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    all.push_str("GET /queues/q/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    wire.send(all).await;
    for n in 0..20 {
        let (status, body) = answer(&mut wire).await;
        assert!(status == 201 && body.contains(&format!("\"data\":{{\"n\":{n}}}")), "{body}");
    }
    assert_eq!(answer(&mut wire).await, (204, String::new()));
    assert_eq!(answer(&mut wire).await, (200, "{\"data\":[]}".to_owned()));
}

#[actix_web::test]
async fn a_request_cut_at_any_byte_is_understood() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "q", json!({"topic_id": "t"})).await;
    let mut wire = Wire::connect(broker.door("fastqueue")).await;
    let request = post("/topics/t/messages", "{\"data\":{\"é\":1}}");
    for cut in 1..request.len() {
        wire.send(&request.as_bytes()[..cut]).await;
        tokio::task::yield_now().await;
        wire.send(&request.as_bytes()[cut..]).await;
        let (status, body) = answer(&mut wire).await;
        assert!(status == 201 && body.contains("{\"é\":1}"), "cut at {cut}: {body}");
    }
}

#[actix_web::test]
async fn a_client_that_goes_away_in_the_middle_costs_nothing() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    for _ in 0..50 {
        let mut wire = Wire::connect(broker.door("fastqueue")).await;
        wire.send("POST /topics/t/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{\"da").await;
    }
    let state = || broker.server.broker.state();
    eventually("the connections are gone", async || {
        let open = state().connections.into_iter().find(|(door, _)| *door == "fastqueue");
        open.is_some_and(|(_, count)| count == 0).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(5), topic(&broker, "others-go-on")).await.unwrap();
}
