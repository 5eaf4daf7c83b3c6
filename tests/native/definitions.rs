//! All definitions as one text, and a broker that is brought to such a text.

use crate::common::*;
use crate::{create, publish, show, take};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

async fn export(broker: &TestBroker) -> Value {
    broker.http("GET", "/v1/definitions", "").await.expect(200)
}

async fn import(broker: &TestBroker, query: &str, definitions: &Value) -> Value {
    let path = format!("/v1/definitions{query}");
    broker.http("POST", &path, &definitions.to_string()).await.expect(200)
}

/// Topics of both kinds, queues that point at each other, one without a topic, and odd names.
async fn furnish(broker: &TestBroker) {
    let dead = json!({"topic": "a", "queue": "dead"});
    let retry = json!({"dead_letter": dead, "max_deliveries": 3, "filter": {"kind": ["x"]}});
    let queues = json!([{"name": "work", "policy": retry}, {"name": "dead"}]);
    create(broker, json!({"name": "a", "policy": {"capacity": 9}, "queues": queues})).await;
    create(broker, json!({"name": "ü/b", "kind": "pubsub", "policy": {"history_messages": 5}}))
        .await;
    create(broker, json!({"name": "c", "queues": [{"name": "lone"}]})).await;
    assert_eq!(broker.http("POST", "/v1/topics/c/queues/lone/detach", "").await.status, 204);
    let odd = broker.http("PUT", "/v1/topics/c/queues/%ff", r#"{"delay_ms":1}"#).await;
    odd.expect(201);
}

#[actix_web::test]
async fn another_broker_becomes_the_same_and_stays_so() {
    let first = TestBroker::start().await;
    furnish(&first).await;
    publish(&first, "a", json!({"body": "no definition"})).await;
    let text = export(&first).await;
    assert_eq!(text["version"], 1);
    assert_eq!(
        (&text["queues"][0]["name"], text["queues"].as_array().unwrap().len()),
        (&json!("lone"), 1)
    );
    assert!(!text.to_string().contains("\\u0000"), "no topic that there is not: {text}");
    assert_eq!(text.get("users"), None);

    let second = TestBroker::start().await;
    let before = export(&second).await;
    let dry = import(&second, "?dry_run=true", &text).await;
    assert_eq!(export(&second).await, before, "a dry run does nothing");
    let done = import(&second, "", &text).await;
    assert_eq!(dry, done);
    let created: Vec<_> =
        done["created"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(
        created,
        [
            "topic a",
            "topic ü/b",
            "topic c",
            "queue a/work",
            "queue a/dead",
            "queue c/\\xff",
            "queue lone"
        ]
    );
    assert_eq!((&done["changed"], &done["refused"]), (&json!([]), &json!([])));
    assert_eq!(export(&second).await, text);
    let again = import(&second, "", &text).await;
    assert_eq!((&again["created"], &again["changed"]), (&json!([]), &json!([])));

    let folder = second.stop().await;
    let second = TestBroker::start_in(folder, &[]).await;
    assert_eq!(export(&second).await, text);
}

/// As they were written before queues without a topic had a place of their own.
#[actix_web::test]
async fn a_text_that_names_the_topic_of_queues_without_one_is_read_too() {
    let broker = TestBroker::start().await;
    let queues = json!([{"name": "lone", "policy": {"delay_ms": 7}}]);
    let topics = json!([{"name": "\0queues", "kind": "broker", "queues": queues}]);
    let done = import(&broker, "", &json!({"version": 1, "topics": topics})).await;
    assert_eq!((&done["created"], &done["refused"]), (&json!(["queue lone"]), &json!([])));
    let text = export(&broker).await;
    assert_eq!(text["queues"][0]["policy"]["delay_ms"], 7, "{text}");
    assert_eq!(import(&broker, "", &text).await["created"], json!([]));
}

#[actix_web::test]
async fn what_differs_is_changed_and_what_cannot_be_is_refused_alone() {
    let broker = TestBroker::start().await;
    furnish(&broker).await;
    publish(&broker, "a", json!({"body": "kept", "attributes": {"kind": "x"}})).await;
    let topic = |name: &str, kind: &str, policy: Value, queues: Value| json!({"name": name, "kind": kind, "policy": policy, "queues": queues});
    let definitions = json!({"version": 1, "topics": [
        topic("a", "broker", json!({"capacity": 10}), json!([
            {"name": "work", "policy": {"max_deliveries": 4, "dead_letter": {"topic": "new", "queue": "q"}}},
            {"name": "lost", "policy": {"dead_letter": {"topic": "nowhere", "queue": "q"}}},
            {"name": "bad", "policy": {"ack_deadline_ms": 0}},
        ])),
        topic("ü/b", "broker", json!({}), json!([{"name": "never"}])),
        topic("c", "broker", json!({"durability": "memory"}), json!([])),
        topic("new", "broker", json!({"ttl_ms": 5}), json!([{"name": "q"}])),
    ]});
    let dry = import(&broker, "?dry_run=true", &definitions).await;
    let done = import(&broker, "", &definitions).await;
    assert_eq!(done, dry);
    assert_eq!(done["created"], json!(["topic new", "queue new/q"]));
    assert_eq!(done["changed"], json!(["topic a", "queue a/work"]));
    let refused: Vec<_> = done["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        refused,
        [
            ("topic ü/b", "wrong_kind"),
            ("topic c", "out_of_bounds"),
            ("queue a/lost", "queue_not_found"),
            ("queue a/bad", "invalid_request"),
        ]
    );
    let lost = broker.http("GET", "/v1/topics/a/queues/lost", "").await;
    lost.expect_problem(404, "queue_not_found");
    assert_eq!(show(&broker, "a").await["policy"]["capacity"], 10);
    let work = broker.http("GET", "/v1/topics/a/queues/work", "").await.expect(200);
    assert_eq!(work["policy"]["dead_letter"], json!({"topic": "new", "queue": "q"}));
    assert_eq!(take(&broker, "a/queues/work").await, ["kept"], "messages stay");
}

#[actix_web::test]
async fn users_come_along_when_they_are_asked_for() {
    let first = TestBroker::start().await;
    let ann = json!({"password": "secret of ann", "topics": ["default"]}).to_string();
    assert_eq!(first.http("PUT", "/v1/users/ann", &ann).await.status, 204);
    let text = first.http("GET", "/v1/definitions?users=true", "").await.expect(200);
    let users = text["users"].as_array().unwrap();
    assert_eq!(users.len(), 2);
    assert!(!text.to_string().contains("secret of ann"));

    let second = TestBroker::start().await;
    let wrong = json!([
        {"name": "bob", "role": "user", "topics": [], "password_hash": "plain"},
        {"name": "b b", "role": "user", "topics": [], "password_hash": users[1]["password_hash"]},
        {"name": "bob", "role": "none", "topics": [], "password_hash": users[1]["password_hash"]},
    ]);
    let refused = import(&second, "", &json!({"version": 1, "topics": [], "users": wrong})).await;
    assert_eq!(refused["refused"].as_array().unwrap().len(), 3, "{refused}");
    let done = import(&second, "", &json!({"version": 1, "topics": [], "users": [users[1]]})).await;
    assert_eq!(done["created"], json!(["user ann"]));
    let credentials = format!("Basic {}", STANDARD.encode("ann:secret of ann"));
    let headers = [("Authorization", credentials.as_str())];
    http(second.door("http"), "GET", "/v1/topics/default", &headers, b"").await.expect(200);
    let again =
        import(&second, "", &json!({"version": 1, "topics": [], "users": [users[1]]})).await;
    assert_eq!(again["unchanged"], 1);

    // Only administrators may have or bring definitions.
    for (method, path) in [
        ("GET", "/v1/definitions"),
        ("GET", "/v1/definitions?users=true"),
        ("POST", "/v1/definitions"),
    ] {
        let answer =
            http(second.door("http"), method, path, &headers, b"{\"version\":1,\"topics\":[]}")
                .await;
        answer.expect_problem(403, "not_allowed");
    }
}

#[actix_web::test]
async fn a_text_of_the_wrong_form_changes_nothing() {
    let broker = TestBroker::start().await;
    let before = export(&broker).await;
    let deep = format!("{{\"version\":1,\"topics\":{}", "[".repeat(100_000));
    for text in [
        "",
        "[]",
        "{}",
        r#"{"version":2,"topics":[]}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"version":1,"topics":[]}"#,
        r#"{"version":1,"topics":[{"name":"t"}]}"#,
        r#"{"version":1,"topics":[{"name":"t","kind":"broker","colour":1}]}"#,
        r#"{"version":1,"topics":[{"kind":"broker"}]}"#,
        r#"{"version":1,"topics":[{"name":"t","kind":"broker"},{"name":"","kind":"broker"}]}"#,
        r#"{"version":1,"topics":[{"name_base64":"?","kind":"broker"}]}"#,
        r#"{"version":1,"topics":[{"name":"t","kind":"broker","queues":[{"name":"q","policy":[]}]}]}"#,
        r#"{"version":1,"topics":[],"users":[{"name":"x"}]}"#,
        &deep,
    ] {
        let answer = broker.http("POST", "/v1/definitions", text).await;
        assert_eq!(answer.status, 400, "{text}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    for query in ["?dry_run=maybe", "?x=1", "?dry_run=true&dry_run=true"] {
        let answer = broker
            .http("POST", &format!("/v1/definitions{query}"), r#"{"version":1,"topics":[]}"#)
            .await;
        answer.expect_problem(400, "invalid_request");
    }
    broker.http("GET", "/v1/definitions?users=1", "").await.expect_problem(400, "invalid_request");
    assert_eq!(export(&broker).await, before);
}
