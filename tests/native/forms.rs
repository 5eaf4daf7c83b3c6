//! The forms in which messages come and go: bare bytes with headers, lines of JSON; and traces.

use crate::common::*;
use crate::{create, receive, take};
use serde_json::json;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn send(broker: &TestBroker, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    http(broker.door("http"), "POST", "/v1/topics/default/messages", headers, body).await
}

/// One message as its bytes.
async fn raw(broker: &TestBroker, query: &str) -> Answer {
    let path = format!("/v1/topics/default/receive{query}");
    let accept = [("Accept", "application/octet-stream")];
    http(broker.door("http"), "POST", &path, &accept, b"").await
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

#[actix_web::test]
async fn bare_bytes_travel_with_their_type_and_what_the_headers_say() {
    let broker = TestBroker::start().await;
    let headers = [
        ("Content-Type", "image/png"),
        ("octoq-id", "pic-1"),
        ("Octoq-Priority", "3"),
        ("octoq-ttl-ms", "60000"),
        ("octoq-dedup-key", "once"),
        ("octoq-attr-Shop", "north ü"),
        ("octoq-attr-n", "5"),
    ];
    let body = b"\x89PNG\r\n\x00\xff{";
    let placed = send(&broker, &headers, body).await.expect(201);
    assert_eq!((&placed["id"], &placed["durability"]), (&json!("pic-1"), &json!("sync")));
    assert_eq!(send(&broker, &headers, body).await.expect(201)["duplicate"], true);

    let seen = broker.http("GET", "/v1/topics/default/queues/default/messages/pic-1", "").await;
    let seen = seen.expect(200);
    assert_eq!(
        seen["attributes"],
        json!({"content-type": "image/png", "shop": "north ü", "n": "5"})
    );
    assert_eq!((&seen["priority"], &seen["dedup_key"]), (&json!(3), &json!("once")));
    assert!(seen["expires_at_ms"].is_i64(), "{seen}");

    let got = raw(&broker, "").await;
    assert_eq!((got.status, got.body.as_slice()), (200, &body[..]));
    let named = ["content-type", "octoq-id", "octoq-seq", "octoq-attempt", "octoq-attr-n"];
    let values = named.map(|name| header(&got, name).unwrap_or_default());
    assert_eq!(values, ["image/png", "pic-1", "1", "1", "5"]);
    assert_eq!(header(&got, "x-content-type-options").as_deref(), Some("nosniff"));
    for name in ["octoq-published-at-ms", "octoq-deadline-ms"] {
        assert!(header(&got, name).unwrap().parse::<u64>().is_ok(), "{}", got.head);
    }
    let receipt = json!({"receipt": header(&got, "octoq-receipt").unwrap()}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &receipt).await.status, 204);
    let none = raw(&broker, "").await;
    assert_eq!((none.status, none.body.len()), (204, 0));
}

#[actix_web::test]
async fn a_body_of_any_type_is_taken_as_it_is_and_json_is_read() {
    let broker = TestBroker::start().await;
    for (kind, body) in [
        ("text/plain", "{\"body\":\"not read\"}"),
        ("application/octet-stream", ""),
        ("application/cloudevents+json", "[]"),
        ("nonsense", "x"),
    ] {
        send(&broker, &[("Content-Type", kind)], body.as_bytes()).await.expect(201);
        let got = raw(&broker, "?take=true").await;
        assert_eq!(got.text(), body, "{kind}");
        assert_eq!(header(&got, "content-type").as_deref(), Some(kind));
        assert_eq!(header(&got, "octoq-receipt"), None, "taken for good");
    }
    for kind in
        ["application/json", "Application/JSON; charset=utf-8", "application/x-www-form-urlencoded"]
    {
        send(&broker, &[("Content-Type", kind)], br#"{"body":"read"}"#).await.expect(201);
        assert_eq!(take(&broker, "default").await, ["read"], "{kind}");
    }
    // One that was published as JSON has no type of its own.
    send(&broker, &[], br#"{"body":"plain"}"#).await.expect(201);
    let got = raw(&broker, "?take=true").await;
    assert_eq!(header(&got, "content-type").as_deref(), Some("application/octet-stream"));
}

#[actix_web::test]
async fn headers_that_make_no_sense_are_refused() {
    let broker = TestBroker::start().await;
    let long = "x".repeat(256);
    let table = [
        ("octoq-id", ""),
        ("octoq-id", &long),
        ("octoq-dedup-key", ""),
        ("octoq-priority", "10"),
        ("octoq-priority", "-1"),
        ("octoq-priority", "high"),
        ("octoq-delay-ms", "1e3"),
        ("octoq-delay-ms", "99999999999999999999999"),
        ("octoq-delay-ms", "999999999999999"),
        ("octoq-ttl-ms", "soon"),
        ("octoq-front", "1"),
        ("octoq-colour", "red"),
        ("octoq-attr-", "x"),
    ];
    let kind = ("Content-Type", "text/plain");
    for (name, value) in table {
        let answer = send(&broker, &[kind, (name, value)], b"x").await;
        assert_eq!(answer.status, 400, "{name}: {value}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    for twice in ["octoq-id", "octoq-attr-a", "octoq-priority"] {
        let answer = send(&broker, &[kind, (twice, "1"), (twice, "2")], b"x").await;
        answer.expect_problem(400, "invalid_request");
    }
    let both = [kind, ("octoq-delay-ms", "1"), ("octoq-deliver-at-ms", "1")];
    send(&broker, &both, b"x").await.expect_problem(400, "invalid_request");
    let typed = [kind, ("octoq-attr-content-type", "text/html")];
    send(&broker, &typed, b"x").await.expect_problem(400, "invalid_request");
    assert!(take(&broker, "default").await.is_empty());
    let long = "x".repeat(1001);
    let small = TestBroker::start_with(&["limits.body_bytes_max=1000"]).await;
    send(&small, &[kind], long.as_bytes()).await.expect_problem(413, "too_large");
}

#[actix_web::test]
async fn a_raw_receive_waits_and_gives_one() {
    let broker = TestBroker::start().await;
    for query in ["?max=2", "?max=0", "?wait_ms=99999999"] {
        raw(&broker, query).await.expect_problem(400, "invalid_request");
    }
    let address = broker.door("http");
    let waiting = actix_web::rt::spawn(async move {
        let accept = [("Accept", "application/octet-stream")];
        http(address, "POST", "/v1/topics/default/receive?wait_ms=60000", &accept, b"").await
    });
    crate::until_waiting(&broker, "default", 1).await;
    send(&broker, &[("Content-Type", "text/plain")], b"there").await.expect(201);
    assert_eq!(waiting.await.unwrap().text(), "there");
}

/// Attributes that no header can say are counted, not lost without a word.
#[actix_web::test]
async fn attributes_that_fit_in_no_header_are_counted() {
    let broker = TestBroker::start().await;
    let attributes = json!({"two words": "x", "line": "a\r\nX-Evil: 1", "fine": "y", "deep": {"a": [1]}, "content-type": "a\nb"});
    let message = json!({"body": "x", "id": "mine", "attributes": attributes});
    send(&broker, &[], message.to_string().as_bytes()).await.expect(201);
    let got = raw(&broker, "").await;
    assert_eq!(header(&got, "octoq-left-out").as_deref(), Some("3"), "{}", got.head);
    assert_eq!(header(&got, "octoq-attr-fine").as_deref(), Some("y"));
    assert_eq!(header(&got, "octoq-attr-deep").as_deref(), Some(r#"{"a":[1]}"#));
    assert_eq!(header(&got, "x-evil"), None);
}

#[actix_web::test]
async fn lines_of_json_are_published_together() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=10", "limits.batch_max=4"]).await;
    let kind = ("Content-Type", "application/x-ndjson");
    let lines = "{\"body\":\"a\"}\n\r\n{\"body\":\"much too long\"}\r\n{\"json\":[1]}";
    let answer = send(&broker, &[kind], lines.as_bytes()).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[1]["problem"]["code"], "too_large");

    let accept = ("Accept", "application/json;q=0.5, application/x-ndjson");
    let answer = send(&broker, &[kind, accept], lines.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(header(&answer, "content-type").as_deref(), Some("application/x-ndjson"));
    let read: Vec<serde_json::Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), 3);
    assert_eq!((&read[0]["seq"], &read[1]["problem"]["status"]), (&json!(3), &json!(413)));
    assert_eq!(take(&broker, "default").await, ["a", "[1]", "a", "[1]"]);

    for (lines, line) in [
        ("{\"body\":\"a\"}\n{\"body\":5}\n", "line 2"),
        ("x", "line 1"),
        ("[{\"body\":\"a\"}]", "line 1"),
        ("\n\n{\"body\":\"a\",\"body\":\"b\"}", "line 3"),
        ("{\"body\":\"a\"} {\"body\":\"b\"}", "line 1"),
        ("{\"body\":\"\u{0}", "line 1"),
    ] {
        let answer = send(&broker, &[kind], lines.as_bytes()).await;
        answer.expect_problem(400, "invalid_request");
        assert!(answer.json()["detail"].as_str().unwrap().contains(line), "{}", answer.text());
    }
    let five = "{\"body\":\"a\"}\n".repeat(5);
    send(&broker, &[kind], five.as_bytes()).await.expect_problem(413, "too_many");
    let none = send(&broker, &[kind], b"\n \n").await.expect(200);
    assert_eq!(none, json!({"results": []}));
    assert!(take(&broker, "default").await.is_empty(), "a refused request publishes nothing");
}

#[actix_web::test]
async fn a_trace_is_kept_with_the_message_in_every_form() {
    let broker = TestBroker::start().await;
    let trace = ("traceparent", TRACE);
    let (json, lines, text) = (
        ("Content-Type", "application/json"),
        ("Content-Type", "application/x-ndjson"),
        ("Content-Type", "text/plain"),
    );
    send(&broker, &[trace, json], br#"{"body":"one","attributes":{"a":1}}"#).await.expect(201);
    send(&broker, &[trace, json], br#"[{"body":"many"}]"#).await.expect(200);
    send(&broker, &[trace, lines], br#"{"body":"line"}"#).await.expect(200);
    send(&broker, &[trace, text], b"raw").await.expect(201);
    send(&broker, &[trace], br#"{"body":"own","attributes":{"traceparent":"mine"}}"#)
        .await
        .expect(201);
    let got = receive(&broker, "default?max=9&take=true").await;
    let traces: Vec<_> =
        got.iter().map(|one| one["attributes"]["traceparent"].as_str().unwrap()).collect();
    assert_eq!(traces, [TRACE, TRACE, TRACE, TRACE, "mine"]);
    assert_eq!(got[0]["attributes"]["a"], 1);

    send(&broker, &[trace, text], b"raw").await.expect(201);
    assert_eq!(header(&raw(&broker, "?take=true").await, "traceparent").as_deref(), Some(TRACE));
    // What is none is treated as none.
    for wrong in ["", "00-0-0-0", &TRACE.to_uppercase(), &format!("{TRACE}-x")] {
        send(&broker, &[("traceparent", wrong)], br#"{"body":"x"}"#).await.expect(201);
        assert_eq!(
            receive(&broker, "default?take=true").await[0].get("attributes"),
            None,
            "{wrong}"
        );
    }
}

#[actix_web::test]
async fn an_encoded_body_is_refused() {
    let broker = TestBroker::start().await;
    for coding in ["gzip", "br", "deflate, gzip", "nonsense", ""] {
        let answer = send(&broker, &[("Content-Encoding", coding)], br#"{"body":"x"}"#).await;
        assert_eq!(answer.status, 415, "{coding}: {}", answer.text());
        answer.expect_problem(415, "unsupported_encoding");
        assert_eq!(header(&answer, "accept-encoding").as_deref(), Some("identity"));
    }
    send(&broker, &[("Content-Encoding", "identity")], br#"{"body":"x"}"#).await.expect(201);
    assert_eq!(take(&broker, "default").await, ["x"]);
}

/// Who publishes bare bytes into one queue reaches no other.
#[actix_web::test]
async fn bare_bytes_go_into_one_queue_or_all() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t", "queues": [{"name": "a"}, {"name": "b"}]})).await;
    for path in ["/v1/topics/t/messages", "/v1/topics/t/queues/b/messages"] {
        let kind = [("Content-Type", "text/plain")];
        http(broker.door("http"), "POST", path, &kind, b"x").await.expect(201);
    }
    assert_eq!(take(&broker, "t/queues/a").await, ["x"]);
    assert_eq!(take(&broker, "t/queues/b").await, ["x", "x"]);
}
