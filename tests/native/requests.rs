//! Requests that are wrong before anybody reads their meaning.

use crate::common::*;
use crate::{publish, take};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

#[actix_web::test]
async fn what_is_not_there_is_not_found() {
    let broker = TestBroker::start().await;
    let table = [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/nothing"),
        ("GET", "/v2/topics"),
        ("GET", "/v1/topics/"),
        ("GET", "/v1/topics/default/"),
        ("GET", "/v1/topics/default/colour"),
        ("POST", "/livez/x"),
    ];
    for (method, path) in table {
        let answer = broker.http(method, path, "").await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
        answer.expect_problem(404, "not_found");
    }
}

#[actix_web::test]
async fn a_wrong_method_is_told_so_with_the_right_ones() {
    let broker = TestBroker::start().await;
    let table = [
        ("DELETE", "/v1/topics", "GET, POST"),
        ("PUT", "/v1/topics/default", "GET, PATCH, DELETE"),
        ("GET", "/v1/topics/default/messages", "POST"),
        ("GET", "/v1/topics/default/receive", "POST"),
        ("GET", "/v1/topics/default/ack", "POST"),
        ("PUT", "/v1/topics/default/nack", "POST"),
        ("PATCH", "/v1/topics/default/extend", "POST"),
        ("POST", "/v1/topics/pubsub/ws", "GET"),
        ("PUT", "/v1/topics/default/queues/default/messages", "GET, POST"),
        ("POST", "/v1/topics/default/queues/default", "GET, PUT, PATCH, DELETE"),
        ("POST", "/v1/topics/default/queues", "GET"),
        ("GET", "/v1/topics/default/pause", "POST"),
        ("GET", "/v1/topics/default/queues/default/resume", "POST"),
        ("PUT", "/v1/topics/default/queues/default/messages/x", "GET, DELETE"),
        ("GET", "/v1/topics/default/queues/default/messages/x/edit", "POST"),
        ("POST", "/v1/topics/default/queues/default/peek", "GET"),
        ("GET", "/v1/topics/default/queues/default/purge", "POST"),
        ("PUT", "/v1/topics/default/queues/default/redrive", "GET, POST, DELETE"),
        ("POST", "/v1/stats", "GET"),
        ("DELETE", "/v1/definitions", "GET, POST"),
        ("POST", "/livez", "GET"),
        ("DELETE", "/metrics", "GET"),
        ("GET", "/v1/users/ann", "PUT, PATCH, DELETE"),
    ];
    for (method, path, allowed) in table {
        let answer = broker.http(method, path, "").await;
        assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
        answer.expect_problem(405, "method_not_allowed");
        let allow = answer
            .head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("allow: ").map(str::to_uppercase));
        assert_eq!(allow.as_deref(), Some(allowed), "{method} {path}");
    }
}

/// An array of values in the order of a struct's fields is what serde would take as well.
#[actix_web::test]
async fn an_array_is_no_object() {
    let broker = TestBroker::start().await;
    let refused = async |method: &str, path: &str, body: &str| {
        let answer = broker.http(method, path, body).await;
        assert_eq!(answer.status, 400, "{method} {path} {body}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    };
    for body in ["[]", "[30000]", "[[]]", " []"] {
        refused("PUT", "/v1/topics/default/queues/q", body).await;
    }
    for body in [
        r#"["t"]"#,
        r#"["t","broker",null,null]"#,
        r#"{"name":"t","queues":[["q"]]}"#,
        r#"{"name":"t","queues":[{"name":"q","policy":[]}]}"#,
        r#"{"name":"t","policy":[]}"#,
    ] {
        refused("POST", "/v1/topics", body).await;
    }
    refused("PUT", "/v1/users/ann", r#"["pw",null,null]"#).await;
    let fields = r#"["x",null,null,null,null,null,null,null,null,null,null]"#;
    refused("POST", "/v1/topics/default/messages", &format!("[{fields}]")).await;
    assert!(take(&broker, "default").await.is_empty());
    let queue = json!({"name": "t", "queues": [{"name": "q"}, {"name": "r", "policy": {}}]});
    broker.http("POST", "/v1/topics", &queue.to_string()).await.expect(201);
}

/// The body is refused by its announced length, before it is read.
#[actix_web::test]
async fn a_body_above_the_limit_is_refused_as_a_problem() {
    let broker = TestBroker::start_with(&["http.request_bytes_max=1000"]).await;
    let body = json!({"body": "x".repeat(2000)}).to_string();
    let paths = [
        "/v1/topics/default/messages",
        "/v1/topics",
        "/v1/topics/default/ack",
        "/v1/topics/default/nack",
        "/v1/topics/default/extend",
    ];
    for path in paths {
        broker.http("POST", path, &body).await.expect_problem(413, "too_large");
    }
    for path in ["/v1/topics/default/queues/q", "/v1/users/ann"] {
        broker.http("PUT", path, &body).await.expect_problem(413, "too_large");
    }
    // Without a length, when it has become too long.
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send("POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.send(format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000))).await;
    wire.answer().await.expect_problem(413, "too_large");
    assert!(take(&broker, "default").await.is_empty());
}

#[actix_web::test]
async fn a_body_in_chunks_is_taken() {
    let broker = TestBroker::start().await;
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send("POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for part in ["{\"bo", "dy\":", "\"x\"}"] {
        wire.send(format!("{:x}\r\n{part}\r\n", part.len())).await;
    }
    wire.send("0\r\n\r\n").await;
    wire.answer().await.expect(201);
    assert_eq!(take(&broker, "default").await, ["x"]);
}

#[actix_web::test]
async fn text_that_is_not_utf_8_is_refused() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    for body in [
        &b"{\"body\":\"\xff\"}"[..],
        b"\xff",
        b"{\"id\":\"\xc3(\",\"body\":\"\"}",
        b"{\"json\":\"\xff\"}",
        b"{\"body\":\"\",\"attributes\":{\"a\":\"\xff\"}}",
    ] {
        let answer = http(address, "POST", "/v1/topics/default/messages", &[], body).await;
        answer.expect_problem(400, "invalid_request");
    }
    assert!(take(&broker, "default").await.is_empty());
}

#[actix_web::test]
async fn deeply_nested_json_is_refused() {
    let broker = TestBroker::start().await;
    let deep = "[".repeat(100_000);
    for body in [
        deep.clone(),
        format!("{{\"json\":{deep}"),
        format!("{{\"body\":\"\",\"attributes\":{{\"a\":{deep}"),
    ] {
        broker
            .http("POST", "/v1/topics/default/messages", &body)
            .await
            .expect_problem(400, "invalid_request");
        broker.http("POST", "/v1/topics", &body).await.expect_problem(400, "invalid_request");
    }
}

/// A client that announces more than it sends and then says that it has no more.
#[actix_web::test]
async fn a_request_that_is_cut_short_publishes_nothing() {
    let broker = TestBroker::start().await;
    let body = r#"{"body":"whole"}"#;
    let mut wire = Wire::connect(broker.door("http")).await;
    let length = body.len() + 10;
    wire.send(format!("POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    wire.stream.shutdown().await.unwrap();
    // Either it is told or the socket closes; it is not left hanging.
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut wire.stream, &mut rest);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("an end in time");
    assert!(
        !String::from_utf8_lossy(&rest).contains(" 201 "),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert!(take(&broker, "default").await.is_empty());
}

/// Bare bytes have no end of their own: only the announced length tells that some are missing.
#[actix_web::test]
async fn bare_bytes_that_are_cut_short_are_not_published() {
    let broker = TestBroker::start().await;
    for (header, body) in [
        ("Content-Length: 10", "half"),
        ("Transfer-Encoding: chunked", "4\r\nhalf\r\n"),
        ("Transfer-Encoding: chunked", "9\r\nhalf"),
        ("Transfer-Encoding: chunked", "zz\r\nhalf\r\n0\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(broker.door("http")).await;
        wire.send(format!("POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n{header}\r\n\r\n{body}")).await;
        wire.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut wire.stream, &mut rest);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("an end in time");
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.contains(" 201 "), "{header} {body}: {rest}");
    }
    assert!(take(&broker, "default").await.is_empty());
}

/// A client that has sent all it has to say may close its side and still read the answer.
#[actix_web::test]
async fn a_half_closed_socket_still_gets_its_answer() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "x"})).await;
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send("POST /v1/topics/default/receive?take=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    wire.stream.shutdown().await.unwrap();
    let answer = wire.answer().await.expect(200);
    assert_eq!(answer["messages"][0]["body"], "x");
}

#[actix_web::test]
async fn what_is_not_http_is_closed_with_400() {
    let broker = TestBroker::start().await;
    let table = [
        "OTQ CONNECT admin password\r\n\r\n",
        "GET\r\n\r\n",
        "POST /v1/topics HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /v1/topics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /v1/topics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ];
    for request in table {
        let mut wire = Wire::connect(broker.door("http")).await;
        wire.send(request).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{request:?}: {}", answer.head);
    }
    broker.http("GET", "/livez", "").await;
}

/// A client that never finishes its head is let go.
#[actix_web::test]
async fn a_head_that_never_ends_is_timed_out() {
    let broker = TestBroker::start_with(&["http.request_timeout_ms=200"]).await;
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send("GET /v1/topics HTTP/1.1\r\nHost: local").await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 408, "{}", answer.head);
}

#[actix_web::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let broker = TestBroker::start().await;
    let mut wire = Wire::connect(broker.door("http")).await;
    let one = |body: &str, more: &str| {
        format!(
            "POST /v1/topics/default/messages HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let sent =
        [one(r#"{"body":"a"}"#, ""), one("{", ""), one(r#"{"body":"b"}"#, "Connection: close\r\n")]
            .concat();
    wire.send(sent).await;
    let mut all = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut wire.stream, &mut all);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    let all = String::from_utf8_lossy(&all).into_owned();
    // The body of one answer and the head of the next share a line.
    let statuses: Vec<_> = all
        .match_indices("HTTP/1.1 ")
        .map(|(at, word)| &all[at + word.len()..at + word.len() + 3])
        .collect();
    assert_eq!(statuses, ["201", "400", "201"]);
    assert_eq!(take(&broker, "default").await, ["a", "b"]);
}
