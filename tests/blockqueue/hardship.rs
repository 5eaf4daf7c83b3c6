//! Bad input: each is refused in the door's words, costs no memory, and disturbs nobody else.

use crate::common::*;
use crate::{ask, counts, create, messages, publish, read};
use serde_json::json;

/// The door works as if nothing had been.
async fn works(broker: &TestBroker) {
    publish(broker, "t", "still here").await;
    assert_eq!(messages(&read(broker, "t", "s").await), ["still here"]);
}

#[actix_web::test]
async fn nesting_without_end_is_refused() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let bombs = [
        "[".repeat(2_000_000),
        "{\"a\":".repeat(500_000),
        format!("{{\"x\":{}", "[".repeat(999_999)),
    ];
    for bomb in bombs {
        for path in ["/topics", "/topics/t/messages", "/topics/t/subscribers"] {
            let answer = ask(&broker, "POST", path, &bomb).await.expect(400);
            assert_eq!(answer, json!({"message": "failure", "error": "exceeded max depth"}));
        }
    }
    works(&broker).await;
}

#[actix_web::test]
async fn a_body_above_the_limit_is_refused() {
    let broker = TestBroker::start_with(&["http.request_bytes_max=1000"]).await;
    create(&broker, "t", &["s"]).await;
    let long = json!({"message": "x".repeat(2000)}).to_string();
    assert_eq!(
        ask(&broker, "POST", "/topics/t/messages", &long).await.expect(413)["message"],
        "failure"
    );
    // Announced only.
    let mut wire = Wire::connect(broker.door("blockqueue")).await;
    wire.send(
        "POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n",
    )
    .await;
    assert_eq!(wire.answer().await.expect(413)["message"], "failure");
    // In chunks, without an announced length.
    let mut wire = Wire::connect(broker.door("blockqueue")).await;
    wire.send("POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", long.len(), long)).await;
    assert_eq!(wire.answer().await.expect(413)["message"], "failure");
    works(&broker).await;
}

#[actix_web::test]
async fn a_message_above_the_limit_is_refused() {
    let broker =
        TestBroker::start_with(&["limits.body_bytes_max=100", "limits.batch_max=20"]).await;
    create(&broker, "t", &["s"]).await;
    let fits = json!({"message": "x".repeat(100)}).to_string();
    ask(&broker, "POST", "/topics/t/messages", &fits).await.expect(200);
    let long = json!({"message": "x".repeat(101)}).to_string();
    let answer = ask(&broker, "POST", "/topics/t/messages", &long).await.expect(413);
    assert_eq!(answer["error"], "message of 101 bytes exceeds the limit of 100");
    let many = json!(vec![json!({"message": "x"}); 21]).to_string();
    ask(&broker, "POST", "/topics/t/messages/batch", &many).await.expect(429);
    let many = json!((0..21).map(|nth| json!({"name": nth.to_string()})).collect::<Vec<_>>());
    ask(&broker, "POST", "/topics/t/subscribers", &many.to_string()).await.expect(429);
    let topic = json!({"name": "u", "subscribers": many}).to_string();
    ask(&broker, "POST", "/topics", &topic).await.expect(429);
    ask(&broker, "GET", "/topics/u/subscribers", "").await.expect(404);
    assert_eq!(counts(&broker, "t", "s").await, (1, 0));
}

/// A client that never finishes its request is let go; one in the middle of a body, too.
#[actix_web::test]
async fn requests_that_never_end_are_timed_out() {
    let broker =
        TestBroker::start_with(&["http.request_timeout_ms=200", "http.body_timeout_ms=200"]).await;
    create(&broker, "t", &["s"]).await;
    let mut head = Wire::connect(broker.door("blockqueue")).await;
    head.send("GET /topics/t/subscribers HTTP/1.1\r\nHost: lo").await;
    let mut body = Wire::connect(broker.door("blockqueue")).await;
    body.send(
        "POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{\"mess",
    )
    .await;
    let mut native = Wire::connect(broker.door("http")).await;
    native
        .send("POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        .await;
    works(&broker).await;
    assert_eq!(head.answer().await.status, 408);
    let answer = body.answer().await.expect(408);
    assert_eq!(answer["error"], "the request's body did not come within `http.body_timeout_ms`");
    native.answer().await.expect_problem(408, "too_slow");
    works(&broker).await;
}

#[actix_web::test]
async fn bytes_that_are_no_text_are_replaced_as_go_does() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let address = broker.door("blockqueue");
    let answer =
        http(address, "POST", "/topics/t/messages", &[], b"{\"message\":\"a\xff\xfeb\"}").await;
    answer.expect(200);
    assert_eq!(messages(&read(&broker, "t", "s").await), ["a\u{fffd}\u{fffd}b"]);
    for body in [&b"\xff\xfe"[..], b"\0", b"{\"message\":\xe4}"] {
        let answer = http(address, "POST", "/topics/t/messages", &[], body).await;
        let error = answer.expect(400)["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with("invalid character "), "{error}");
    }
}

/// Names that cannot be names, in paths.
#[actix_web::test]
async fn paths_without_sense_lead_nowhere() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let long = "n".repeat(5000);
    let not_found = [
        format!("/topics/{long}/subscribers"),
        "/topics/%00/subscribers".to_owned(),
        "/topics/%ff%fe/subscribers".to_owned(),
        "/topics/%/subscribers".to_owned(),
    ];
    for path in not_found {
        assert_eq!(ask(&broker, "GET", &path, "").await.expect(404)["error"], "topic not found");
    }
    for subscriber in [long.as_str(), "%00", "%ff", "%"] {
        let path = format!("/topics/t/subscribers/{subscriber}?timeout=1s");
        assert_eq!(ask(&broker, "GET", &path, "").await.expect(500)["error"], "listener not found");
    }
    for id in [long.as_str(), "%00", "%ff", "%", "..."] {
        let path = format!("/topics/t/subscribers/s/messages/{id}");
        let answer = ask(&broker, "DELETE", &path, "").await.expect(500);
        assert_eq!(answer["error"], "error ack message. message_id not found");
    }
    for path in ["//", "/topics//messages", "/topics/t//", "/.", "/%2e%2e/topics"] {
        assert_eq!(ask(&broker, "POST", path, "").await.text(), "404 page not found\n", "{path}");
    }
    for query in ["limit=x", "limit=-1", "offset=1e3", "limit=99999", "offset=18446744073709551615"]
    {
        let path = format!("/topics/t/subscribers/s/messages?{query}");
        assert_eq!(
            ask(&broker, "GET", &path, "").await.expect(400)["message"],
            "failure",
            "{query}"
        );
    }
    works(&broker).await;
}

#[actix_web::test]
async fn what_is_not_http_is_refused() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut wire = Wire::connect(broker.door("blockqueue")).await;
        wire.send(bytes).await;
        assert_eq!(wire.answer().await.status, 400, "{}", bytes.escape_ascii());
    }
    works(&broker).await;
}

/// Requests sent together are answered in their order, on one connection.
#[actix_web::test]
async fn requests_may_be_sent_ahead() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let mut wire = Wire::connect(broker.door("blockqueue")).await;
    let post = |body: &str| {
        let length = body.len();
        format!(
            "POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let read = "GET /topics/t/subscribers/s?timeout=10s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    wire.send(
        [post(r#"{"message":"a"}"#), post("{"), post(r#"{"message":"b"}"#), read.to_owned()]
            .concat(),
    )
    .await;
    let mut all = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut wire.stream, &mut all);
    tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    let all = String::from_utf8_lossy(&all).into_owned();
    let statuses: Vec<_> = all
        .match_indices("HTTP/1.1 ")
        .map(|(at, word)| &all[at + word.len()..at + word.len() + 3])
        .collect();
    assert_eq!(statuses, ["200", "400", "200", "200"]);
    assert!(all.contains(r#""message":"a"}"#) && all.contains(r#""message":"b"}"#), "{all}");
}
