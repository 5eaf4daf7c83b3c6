//! Publish one message or many, with all that can be said about a message.

use crate::common::*;
use crate::{create, publish, receive, show, take};
use serde_json::json;

#[actix_web::test]
async fn a_body_comes_back_as_it_was_given() {
    let broker = TestBroker::start().await;
    let table = [
        (json!({"body": "text"}), "body", "text"),
        (json!({"body": ""}), "body", ""),
        (json!({"body": "ü\u{0}\n\"\\"}), "body", "ü\u{0}\n\"\\"),
        (json!({"json": {"a": [1, null]}}), "body", r#"{"a":[1,null]}"#),
        (json!({"json": null}), "body", "null"),
        (json!({"base64": "/wAB"}), "base64", "/wAB"),
        (json!({"base64": "dGV4dA=="}), "body", "text"),
    ];
    for (message, field, text) in table {
        let placed = publish(&broker, "default", message.clone()).await;
        assert_eq!((&placed["duplicate"], &placed["durability"]), (&json!(false), &json!("sync")));
        let got = receive(&broker, "default?take=true").await;
        assert_eq!(got[0][field], text, "{message}");
        assert_eq!((&got[0]["id"], &got[0]["seq"]), (&placed["id"], &placed["seq"]));
        assert_eq!(
            (got[0].get("receipt"), got[0].get("deadline_ms")),
            (None, None),
            "taken for good"
        );
    }
}

#[actix_web::test]
async fn json_is_kept_as_it_is_written() {
    let broker = TestBroker::start().await;
    let body = r#" { "json" : {"z":1, "a" : 1.50e3} } "#;
    broker.http("POST", "/v1/topics/default/messages", body).await.expect(201);
    assert_eq!(take(&broker, "default").await, [r#"{"z":1, "a" : 1.50e3}"#]);
}

#[actix_web::test]
async fn a_message_of_the_wrong_form_is_refused() {
    let broker = TestBroker::start().await;
    let long = "k".repeat(256);
    let table = [
        json!({}),
        json!(5),
        json!("text"),
        json!({"body": 5}),
        json!({"body": "x", "json": 1}),
        json!({"body": "x", "base64": ""}),
        json!({"base64": "%%%"}),
        json!({"body": "x", "colour": "red"}),
        json!({"body": "x", "attributes": []}),
        json!({"body": "x", "attributes": "a"}),
        json!({"body": "x", "attributes": {"a": "x".repeat(70_000)}}),
        json!({"body": "x", "priority": 10}),
        json!({"body": "x", "priority": -1}),
        json!({"body": "x", "delay_ms": -1}),
        json!({"body": "x", "delay_ms": 10u64.pow(15)}),
        json!({"body": "x", "ttl_ms": "soon"}),
        json!({"body": "x", "delay_ms": 1, "deliver_at_ms": 1}),
        json!({"body": "x", "id": ""}),
        json!({"body": "x", "id": long}),
        json!({"body": "x", "dedup_key": long}),
        json!({"body": "x", "ordering_key": ""}),
        json!({"body": "x", "front": 1}),
        json!([{"body": "good"}, {"body": "x", "priority": 10}]),
        json!([5]),
    ];
    for message in table {
        let answer = broker.http("POST", "/v1/topics/default/messages", &message.to_string()).await;
        assert_eq!(answer.status, 400, "{message}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    for text in [
        "",
        "{",
        "[",
        "{\"body\":\"x\"} tail",
        "[{\"body\":\"x\"}",
        "{\"body\":\"x\",\"body\":\"y\"}",
        "\u{feff}{}",
    ] {
        let answer = broker.http("POST", "/v1/topics/default/messages", text).await;
        answer.expect_problem(400, "invalid_request");
    }
    assert!(take(&broker, "default").await.is_empty(), "a refused request publishes nothing");
}

#[actix_web::test]
async fn many_messages_have_a_result_each() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=10"]).await;
    let messages = json!([{"body": "a"}, {"body": "much too long"}, {"body": "b", "id": "mine"}, {"body": "c", "id": "mine"}]);
    let answer =
        broker.http("POST", "/v1/topics/default/messages", &messages.to_string()).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!((&results[0]["durability"], &results[2]["id"]), (&json!("sync"), &json!("mine")));
    let problems: Vec<_> =
        results.iter().filter_map(|result| result["problem"]["code"].as_str()).collect();
    assert_eq!(problems, ["too_large", "duplicate_id"]);
    assert_eq!(results[1]["problem"]["status"], 413);
    assert_eq!(take(&broker, "default").await, ["a", "b"]);

    let none = broker.http("POST", "/v1/topics/default/messages", " [] ").await.expect(200);
    assert_eq!(none, json!({"results": []}));
    let single =
        broker.http("POST", "/v1/topics/default/messages", r#"{"body":"12345678901"}"#).await;
    single.expect_problem(413, "too_large");
}

#[actix_web::test]
async fn attributes_and_id_travel_with_the_message() {
    let broker = TestBroker::start().await;
    let placed = publish(
        &broker,
        "default",
        json!({"body": "x", "id": "order-7", "attributes": {"kind": "new", "n": 5}}),
    )
    .await;
    assert_eq!(placed["id"], "order-7");
    let again =
        broker.http("POST", "/v1/topics/default/messages", r#"{"body":"y","id":"order-7"}"#).await;
    again.expect_problem(409, "duplicate_id");
    let got = receive(&broker, "default?take=true").await;
    assert_eq!(
        (&got[0]["id"], &got[0]["attributes"]),
        (&json!("order-7"), &json!({"kind": "new", "n": 5}))
    );
    publish(&broker, "default", json!({"body": "y", "id": "order-7"})).await;
}

#[actix_web::test]
async fn a_delayed_message_comes_when_its_time_has_come() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "past", "deliver_at_ms": 5})).await;
    assert_eq!(take(&broker, "default").await, ["past"]);
    publish(&broker, "default", json!({"body": "much later", "delay_ms": 3_600_000})).await;
    publish(&broker, "default", json!({"body": "far", "deliver_at_ms": 9_000_000_000_000i64}))
        .await;
    publish(&broker, "default", json!({"body": "soon", "delay_ms": 60})).await;
    let got = receive(&broker, "default?wait_ms=20000&take=true").await;
    assert_eq!(got[0]["body"], "soon");
    let queue = &show(&broker, "default").await["queues"][0];
    assert_eq!((&queue["delayed"], &queue["ready"]), (&json!(2), &json!(0)));
}

#[actix_web::test]
async fn an_expired_message_is_not_handed_out() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "short", "ttl_ms": 1})).await;
    publish(&broker, "default", json!({"body": "long", "ttl_ms": 3_600_000})).await;
    eventually("the short one expires", async || {
        (show(&broker, "default").await["queues"][0]["ready"] == 1).then_some(())
    })
    .await;
    assert_eq!(take(&broker, "default").await, ["long"]);
}

#[actix_web::test]
async fn a_dedup_key_is_taken_once() {
    let broker = TestBroker::start().await;
    let first = publish(&broker, "default", json!({"body": "x", "dedup_key": "k"})).await;
    let second = publish(&broker, "default", json!({"body": "y", "dedup_key": "k"})).await;
    assert_eq!(second["duplicate"], true);
    assert_eq!((&second["id"], &second["seq"]), (&first["id"], &first["seq"]));
    assert_eq!(take(&broker, "default").await, ["x"]);
}

#[actix_web::test]
async fn priority_front_and_order_decide_what_comes_first() {
    let broker = TestBroker::start().await;
    for (body, more) in [
        ("a", json!({})),
        ("b", json!({})),
        ("front", json!({"front": true})),
        ("urgent", json!({"priority": 9})),
        ("high", json!({"priority": 3})),
    ] {
        let mut message = json!({"body": body});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        publish(&broker, "default", message).await;
    }
    assert_eq!(take(&broker, "default").await, ["urgent", "high", "front", "a", "b"]);
}

#[actix_web::test]
async fn a_message_goes_where_it_is_sent() {
    let broker = TestBroker::start().await;
    let filtered = json!({"filter": {"kind": ["red"]}});
    create(
        &broker,
        json!({"name": "t", "queues": [{"name": "all"}, {"name": "red", "policy": filtered}]}),
    )
    .await;
    publish(&broker, "t", json!({"body": "plain"})).await;
    publish(&broker, "t", json!({"body": "r", "attributes": {"kind": "red"}})).await;
    publish(&broker, "t/queues/red", json!({"body": "direct"})).await;
    assert_eq!(take(&broker, "t/queues/all").await, ["plain", "r"]);
    assert_eq!(take(&broker, "t/queues/red").await, ["r", "direct"]);
    // No queue named `default` here.
    broker.http("POST", "/v1/topics/t/receive", "").await.expect_problem(404, "queue_not_found");
    let nowhere = broker.http("POST", "/v1/topics/t/queues/none/messages", r#"{"body":"x"}"#).await;
    nowhere.expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn a_full_queue_refuses_or_drops_its_oldest() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "refuse", "policy": {"capacity": 2}})).await;
    let drop = json!({"messages_max": 2, "overflow": "drop_oldest"});
    create(&broker, json!({"name": "drop", "queues": [{"name": "default", "policy": drop}]})).await;
    for (topic, third) in [("refuse", 429), ("drop", 201)] {
        for body in ["1", "2"] {
            publish(&broker, topic, json!({"body": body})).await;
        }
        let answer =
            broker.http("POST", &format!("/v1/topics/{topic}/messages"), r#"{"body":"3"}"#).await;
        assert_eq!(answer.status, third, "{}", answer.text());
        if third == 429 {
            answer.expect_problem(429, "full");
        }
    }
    assert_eq!(take(&broker, "refuse").await, ["1", "2"]);
    assert_eq!(take(&broker, "drop").await, ["2", "3"]);
    publish(&broker, "refuse", json!({"body": "room again"})).await;
}

#[actix_web::test]
async fn a_paused_topic_or_queue_says_so() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "in", "policy": {"paused_in": true}})).await;
    create(
        &broker,
        json!({"name": "qin", "queues": [{"name": "default", "policy": {"paused_in": true}}]}),
    )
    .await;
    create(
        &broker,
        json!({"name": "out", "queues": [{"name": "default", "policy": {"paused_out": true}}]}),
    )
    .await;
    for topic in ["in", "qin"] {
        let answer =
            broker.http("POST", &format!("/v1/topics/{topic}/messages"), r#"{"body":"x"}"#).await;
        answer.expect_problem(409, "paused");
    }
    publish(&broker, "out", json!({"body": "kept"})).await;
    assert!(take(&broker, "out").await.is_empty());
    assert_eq!(show(&broker, "out").await["queues"][0]["ready"], 1);
}
