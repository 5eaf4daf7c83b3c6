//! Input that is made to hurt: each gets a problem with its stable code, and little work is done for it.

use crate::common::*;
use crate::{create, publish, receive};
use serde_json::{Value, json};

async fn post(broker: &TestBroker, path: &str, body: &str) -> Answer {
    broker.http("POST", &format!("/v1/topics{path}"), body).await
}

#[actix_web::test]
async fn what_is_said_twice_is_refused_at_any_depth() {
    let broker = TestBroker::start().await;
    for body in [
        r#"{"body":"x","body":"y"}"#,
        r#"{"body":"x","attributes":{"a":1,"a":2}}"#,
        r#"{"body":"x","attributes":{"a":1,"\u0061":2}}"#,
        r#"{"body":"x","attributes":{"a":{"b":[{"c":1,"c":2}]}}}"#,
    ] {
        post(&broker, "/default/messages", body).await.expect_problem(400, "invalid_request");
        let many = format!("[{body}]");
        post(&broker, "/default/messages", &many).await.expect_problem(400, "invalid_request");
    }
    let edit = "/default/queues/default/messages/x/edit";
    let twice = r#"{"attributes":{"a":1,"a":2}}"#;
    post(&broker, edit, twice).await.expect_problem(400, "invalid_request");
    for body in [
        r#"{"receipt":"0","receipt":"0"}"#,
        r#"{"receipt":"0","receipts":[]}"#,
        r#"{"receipt":"0","more":1}"#,
        r#"{"ids":[],"receipts":[]}"#,
        "{}",
    ] {
        for verb in ["ack", "nack", "extend"] {
            let answer = post(&broker, &format!("/default/{verb}"), body).await;
            answer.expect_problem(400, "invalid_request");
        }
    }
    assert!(receive(&broker, "default").await.is_empty());
}

/// Attributes that are kept must be readable when they are handed out.
#[actix_web::test]
async fn attributes_that_are_nested_too_deep_are_refused() {
    let broker = TestBroker::start().await;
    let nested = |depth: usize| {
        let attributes = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"body":"x","attributes":{attributes}}}"#)
    };
    post(&broker, "/default/messages", &nested(100)).await.expect(201);
    for depth in [200, 30_000] {
        let answer = post(&broker, "/default/messages", &nested(depth)).await;
        answer.expect_problem(400, "invalid_request");
    }
    assert_eq!(receive(&broker, "default?max=10").await.len(), 1);
}

#[actix_web::test]
async fn an_array_within_settings_is_no_object() {
    let broker = TestBroker::start().await;
    for policy in [
        r#"{"dead_letter":["default","default"]}"#,
        r#"{"dead_letter":{"topic":"default","queue":"default","more":1}}"#,
        r#"["30000"]"#,
    ] {
        let path = "/v1/topics/default/queues/other";
        broker.http("PUT", path, policy).await.expect_problem(400, "invalid_request");
        let path = "/v1/topics/default/queues/default";
        broker.http("PATCH", path, policy).await.expect_problem(400, "invalid_request");
        let topic = format!(r#"{{"name":"t","queues":[{{"name":"q","policy":{policy}}}]}}"#);
        post(&broker, "", &topic).await.expect_problem(400, "invalid_request");
        let all = format!(
            r#"{{"version":1,"topics":[{{"name":"t","kind":"broker","queues":[{{"name":"q","policy":{policy}}}]}}]}}"#
        );
        let answer = broker.http("POST", "/v1/definitions", &all).await;
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn ten_thousand_ids_are_answered_one_by_one_and_more_are_refused() {
    let broker = TestBroker::start().await;
    let ids: Vec<String> = (0..10_000).map(|number| format!("no-{number}")).collect();
    let asked = json!({"ids": ids}).to_string();
    let answer = post(&broker, "/default/ack", &asked).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 10_000);
    assert!(results.iter().all(|one| one["problem"]["code"] == "message_not_found"));
    let many: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    for (path, body) in [
        ("/default/ack", json!({"ids": many})),
        ("/default/nack", json!({"ids": many})),
        ("/default/extend", json!({"ids": many, "ack_deadline_ms": 1})),
        ("/default/queues/default/delete", json!({"ids": many})),
        ("/default/queues/default/redrive", json!({"ids": many})),
        ("/default/queues/default/move", json!({"ids": many, "to": {"queue": "default"}})),
    ] {
        let answer = post(&broker, path, &body.to_string()).await;
        assert_eq!((answer.status, path), (413, path), "{}", answer.text());
        answer.expect_problem(413, "too_many");
    }
}

#[actix_web::test]
async fn numbers_that_are_too_large_or_none_are_refused() {
    let broker = TestBroker::start().await;
    let receive = |query: &str| format!("/default/receive?{query}");
    for number in ["1e400", "-1", "1.5", "18446744073709551616", "\"5\"", "true", "[]", "NaN"] {
        let coded = number.replace('"', "%22").replace('[', "%5B").replace(']', "%5D");
        let body = format!(r#"{{"body":"x","delay_ms":{number}}}"#);
        let answer = post(&broker, "/default/messages", &body).await;
        answer.expect_problem(400, "invalid_request");
        let answer = post(&broker, &receive(&format!("max={coded}")), "").await;
        answer.expect_problem(400, "invalid_request");
        let path = format!("/v1/topics/default/queues/default/messages?limit={coded}");
        broker.http("GET", &path, "").await.expect_problem(400, "invalid_request");
    }
    let path = receive("max=18446744073709551615");
    assert_eq!(post(&broker, &path, "").await.expect(200)["messages"], json!([]));
    for query in ["max=1&max=2", "no=1", "wait_ms=99999999", "ack_deadline_ms=0", "take=maybe"] {
        post(&broker, &receive(query), "").await.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn odd_names_are_names_or_refused() {
    let broker = TestBroker::start().await;
    let long = "x".repeat(256);
    for path in ["", "/"] {
        let answer = broker.http("GET", &format!("/v1/topics/{path}"), "").await;
        answer.expect_problem(404, "not_found");
    }
    broker
        .http("GET", &format!("/v1/topics/{long}"), "")
        .await
        .expect_problem(400, "invalid_request");
    let odd =
        ["%00", "%2F", "%2e%2e", "%ff%fe", "%25", "%", "%zz", "%F0%9F%90%99", "a%20b", "%0d%0a"];
    for name in odd {
        let path = format!("/v1/topics/{name}");
        broker.http("GET", &path, "").await.expect_problem(404, "topic_not_found");
    }
    for name in ["\u{0}", "a/b", "..", "\u{1f419}", "\r\n"] {
        let shown = create(&broker, json!({"name": name})).await;
        assert_eq!(shown["name"], name);
        let coded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/v1/topics/{coded}");
        assert_eq!(broker.http("GET", &path, "").await.expect(200)["name"], name);
        let path = format!("/{coded}/messages");
        assert_eq!(post(&broker, &path, r#"{"body":"x"}"#).await.expect(201)["seq"], 1);
    }
}

#[actix_web::test]
async fn a_receipt_of_another_queue_frees_nothing_there() {
    let broker = TestBroker::start().await;
    let queues = json!([{"name": "default"}, {"name": "other"}]);
    create(&broker, json!({"name": "two", "queues": queues})).await;
    publish(&broker, "two", json!({"body": "x"})).await;
    let receipt = receive(&broker, "two/queues/other").await[0]["receipt"].clone();
    for wrong in ["", "0", &"f".repeat(32), &"f".repeat(5000), "ü", "../../x"] {
        let body = json!({"receipt": wrong}).to_string();
        let answer = post(&broker, "/two/ack", &body).await;
        let code = answer.json()["code"].clone();
        let expected: [Value; 2] = ["invalid_request".into(), "receipt_gone".into()];
        assert!(expected.contains(&code), "{wrong}: {code}");
    }
    let body = json!({"receipt": receipt}).to_string();
    post(&broker, "/default/ack", &body).await.expect_problem(409, "receipt_gone");
    assert_eq!(post(&broker, "/two/ack", &body).await.status, 204);
    assert_eq!(receive(&broker, "two?max=10").await.len(), 1, "the copy of the other queue");
}

/// However much a filter asks for, one request looks at so many messages and no more.
#[actix_web::test]
async fn an_expensive_filter_is_bounded() {
    let broker = TestBroker::start_with(&["limits.list_scan_max=100"]).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let messages: Vec<Value> = (0..300).map(|_| json!({"body": deep})).collect();
    post(&broker, "/default/messages", &json!(messages).to_string()).await.expect(200);
    let path = |query: &str| format!("/v1/topics/default/queues/default/messages?{query}");
    let pointer = "/0".repeat(64);
    let query = format!("json={pointer}=2&text=nowhere&attribute=a=b");
    let page = broker.http("GET", &path(&query), "").await.expect(200);
    assert_eq!((&page["scanned"], &page["complete"]), (&json!(100), &json!(false)));
    for query in [
        format!("json={}=1", "/0".repeat(65)),
        format!("text={}", "x".repeat(1025)),
        vec!["attribute=a=b"; 65].join("&"),
        vec!["json=/a=1"; 65].join("&"),
        vec!["x=1"; 300].join("&"),
        "text=".to_owned(),
        "attribute=a".to_owned(),
        "json=a=1".to_owned(),
        "older_than_ms=18446744073709551615".to_owned(),
        "text=%ff".to_owned(),
    ] {
        broker.http("GET", &path(&query), "").await.expect_problem(400, "invalid_request");
    }
    for cursor in ["x", "-", "0-0", "99999999999999999999999999999999999-00000000"] {
        let answer = broker.http("GET", &path(&format!("after={cursor}")), "").await;
        answer.expect_problem(400, "invalid_cursor");
    }
}

/// What would do nothing is refused: whoever says it means something.
#[actix_web::test]
async fn parameters_and_bodies_that_nobody_reads_are_refused() {
    let broker = TestBroker::start().await;
    let queue = "/v1/topics/default/queues/default";
    for (method, path, body) in [
        ("POST", "/v1/topics/default/ack", r#"{"ids":["x"]}"#),
        ("POST", "/v1/topics/default/nack", r#"{"ids":["x"]}"#),
        ("POST", "/v1/topics/default/messages", r#"{"body":"x"}"#),
        ("GET", "/v1/topics/default", ""),
        ("DELETE", queue, ""),
        ("PUT", "/v1/topics/default/queues/other", "{}"),
        ("GET", "/v1/stats", ""),
    ] {
        let answer = broker.http(method, &format!("{path}?queue=other"), body).await;
        answer.expect_problem(400, "invalid_request");
        let answer = broker.http(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    }
    let broker = TestBroker::start().await;
    for (method, path) in [
        ("POST", "/v1/topics/default/receive".to_owned()),
        ("POST", format!("{queue}/receive?max=2")),
        ("POST", format!("{queue}/purge")),
        ("POST", format!("{queue}/detach")),
        ("DELETE", "/v1/topics/pubsub".to_owned()),
    ] {
        for body in [r#"{"max":2}"#, "[]", "max=2"] {
            broker.http(method, &path, body).await.expect_problem(400, "invalid_request");
        }
        let answer = broker.http(method, &path, "{}").await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    }
}
