//! Messages that leave their place: deleted, purged, moved, edited.

use crate::common::*;
use crate::{create, kill, publish, receive, take};
use serde_json::{Value, json};

async fn post(broker: &TestBroker, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    broker.http("POST", &format!("/v1/topics/{path}"), &body).await
}

#[actix_web::test]
async fn a_message_is_deleted_in_any_state() {
    let broker = TestBroker::start().await;
    let path = "/v1/topics/default/queues/default/messages";
    publish(&broker, "default", json!({"body": "dead", "id": "dead"})).await;
    kill(&broker, "default", "x").await;
    publish(&broker, "default", json!({"body": "flies", "id": "flies"})).await;
    receive(&broker, "default").await;
    let ready = publish(&broker, "default", json!({"body": "ready"})).await;
    publish(&broker, "default", json!({"body": "later", "id": "la/ter", "delay_ms": 3_600_000}))
        .await;
    for id in ["dead", "flies", ready["id"].as_str().unwrap(), "la%2Fter"] {
        assert_eq!(broker.http("DELETE", &format!("{path}/{id}"), "").await.status, 204, "{id}");
        let again = broker.http("DELETE", &format!("{path}/{id}"), "").await;
        again.expect_problem(404, "message_not_found");
    }
    let queue = broker.http("GET", "/v1/topics/default/queues/default", "").await.expect(200);
    let counts = ["ready", "delayed", "in_flight", "dead"];
    assert_eq!(counts.map(|count| queue[count].as_u64().unwrap()), [0, 0, 0, 0]);
}

#[actix_web::test]
async fn many_are_deleted_with_a_result_each() {
    let broker = TestBroker::start().await;
    for id in ["a", "b", "c"] {
        publish(&broker, "default", json!({"body": id, "id": id})).await;
    }
    let path = "default/queues/default/delete";
    let answer = post(&broker, path, json!({"ids": ["a", "none", "c", "a"]})).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    let codes: Vec<_> = results.iter().map(|one| one["problem"]["code"].as_str()).collect();
    assert_eq!(codes, [None, Some("message_not_found"), None, Some("message_not_found")]);
    assert_eq!(results[0], json!({"ok": true}));
    assert_eq!(take(&broker, "default").await, ["b"]);

    let ids: Vec<_> = (0..10_000).map(|n| format!("id-{n}")).collect();
    let many = post(&broker, path, json!({"ids": ids})).await.expect(200);
    assert_eq!(many["results"].as_array().unwrap().len(), 10_000);
    let more: Vec<_> = (0..10_001).map(|n| n.to_string()).collect();
    post(&broker, path, json!({"ids": more})).await.expect_problem(413, "too_many");
    for body in [
        json!(null),
        json!([]),
        json!({"ids": "a"}),
        json!({"ids": [1]}),
        json!({"ids": [], "x": 1}),
    ] {
        post(&broker, path, body).await.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn a_purge_leaves_the_dead_and_what_is_in_flight() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "dead"})).await;
    kill(&broker, "default", "x").await;
    publish(&broker, "default", json!({"body": "flies"})).await;
    let held = receive(&broker, "default").await;
    for body in ["a", "b"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    let purged = post(&broker, "default/queues/default/purge", json!(null)).await.expect(200);
    assert_eq!(purged, json!({"purged": 2}));
    assert!(take(&broker, "default").await.is_empty());
    let ack = json!({"receipt": held[0]["receipt"]});
    assert_eq!(post(&broker, "default/ack", ack).await.status, 204);
    let queue = broker.http("GET", "/v1/topics/default/queues/default", "").await.expect(200);
    assert_eq!(queue["dead"], 1);
    // Whoever says which ones means something else than all of them.
    for body in [json!({"state": "dead"}), json!([])] {
        post(&broker, "default/queues/default/purge", body)
            .await
            .expect_problem(400, "invalid_request");
    }
    post(&broker, "default/queues/default/purge?dry_run=true", json!(null))
        .await
        .expect_problem(400, "invalid_request");
    post(&broker, "default/queues/none/purge", json!(null))
        .await
        .expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn messages_move_to_another_queue() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "a", "queues": [{"name": "q"}, {"name": "r"}]})).await;
    create(&broker, json!({"name": "b"})).await;
    for n in 0..6 {
        post(
            &broker,
            "a/queues/q/messages",
            json!({"body": format!("m{n}"), "id": format!("m{n}")}),
        )
        .await
        .expect(201);
    }
    let path = "a/queues/q/move";
    let moved =
        post(&broker, path, json!({"ids": ["m5", "m1", "none", "m1"], "to": {"topic": "b"}})).await;
    assert_eq!(moved.expect(200), json!({"moved": 2}));
    assert_eq!(take(&broker, "b").await, ["m5", "m1"]);
    let moved = post(&broker, path, json!({"max": 1, "to": {"queue": "r"}})).await.expect(200);
    assert_eq!(moved, json!({"moved": 1}));
    assert_eq!(take(&broker, "a/queues/r").await, ["m0"]);
    assert_eq!(
        post(&broker, path, json!({"max": 0, "to": {"queue": "r"}})).await.expect(200),
        json!({"moved": 0})
    );
    assert_eq!(
        post(&broker, path, json!({"to": {"topic": "b", "queue": "default"}})).await.expect(200),
        json!({"moved": 3})
    );
    assert_eq!(take(&broker, "b").await, ["m2", "m3", "m4"]);

    create(&broker, json!({"name": "memory", "policy": {"durability": "memory"}})).await;
    let out_of_store = post(&broker, path, json!({"to": {"topic": "memory"}})).await;
    out_of_store.expect_problem(400, "out_of_bounds");
    post(&broker, path, json!({"to": {"topic": "none"}}))
        .await
        .expect_problem(404, "topic_not_found");
    post(&broker, path, json!({"to": {"queue": "none"}}))
        .await
        .expect_problem(404, "queue_not_found");
    post(&broker, "a/queues/none/move", json!({"to": {"queue": "r"}}))
        .await
        .expect_problem(404, "queue_not_found");
    for body in [
        json!(null),
        json!({}),
        json!({"to": "b"}),
        json!({"to": {"topic": ""}}),
        json!({"to": {"topic": "b"}, "max": -1}),
        json!({"to": {"topic": "b"}, "max": 1, "ids": []}),
        json!({"to": {"topic": "b", "x": 1}}),
    ] {
        post(&broker, path, body).await.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn a_dead_letter_is_edited_and_works_again() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t", "queues": [{"name": "default"}, {"name": "other"}]})).await;
    let path = "t/queues/default";
    post(
        &broker,
        &format!("{path}/messages"),
        json!({"body": "{bad", "id": "one", "priority": 4, "attributes": {"kind": "order"}}),
    )
    .await
    .expect(201);
    let edit = format!("{path}/messages/one/edit");
    post(&broker, &edit, json!({"body": "x"})).await.expect_problem(404, "message_not_found");
    kill(&broker, "t", "not json").await;
    for wrong in [
        json!([]),
        json!({"body": "x", "json": 1}),
        json!({"base64": "?"}),
        json!({"attributes": []}),
        json!({"to": ""}),
        json!({"delay_ms": 5}),
    ] {
        post(&broker, &edit, wrong).await.expect_problem(400, "invalid_request");
    }
    post(&broker, &edit, json!({"json": {}, "to": "none"}))
        .await
        .expect_problem(404, "queue_not_found");
    let queue = broker.http("GET", &format!("/v1/topics/{path}"), "").await.expect(200);
    assert_eq!((&queue["dead"], &queue["ready"]), (&json!(1), &json!(0)), "it is still there");

    let edited = post(&broker, &edit, json!({"json": {"good": 1}})).await.expect(200);
    assert_eq!((&edited["seq"], &edited["replaced"]), (&json!(2), &json!(true)));
    let got = receive(&broker, "t").await;
    assert_eq!((&got[0]["id"], &got[0]["body"]), (&edited["id"], &json!("{\"good\":1}")));
    assert_eq!(got[0]["attributes"], json!({"kind": "order"}), "they stay");
    post(&broker, &edit, json!({"body": "x"})).await.expect_problem(404, "message_not_found");

    // Only its attributes, and into another queue.
    let nack = json!({"receipt": got[0]["receipt"], "mode": "dead"});
    assert_eq!(post(&broker, "t/nack", nack).await.status, 204);
    let again = format!("{path}/messages/{}/edit", edited["id"].as_str().unwrap());
    post(&broker, &again, json!({"attributes": {"kind": "fixed"}, "to": "other"}))
        .await
        .expect(200);
    let got = receive(&broker, "t/queues/other").await;
    assert_eq!(
        (&got[0]["body"], &got[0]["attributes"]["kind"]),
        (&json!("{\"good\":1}"), &json!("fixed"))
    );
    let queue = broker.http("GET", &format!("/v1/topics/{path}"), "").await.expect(200);
    assert_eq!((&queue["dead"], &queue["ready"]), (&json!(0), &json!(0)));
}

/// Receipts of one queue mean nothing at another topic, and ten thousand of them are just as many
/// results.
#[actix_web::test]
async fn receipts_are_good_where_they_were_given() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    publish(&broker, "default", json!({"body": "x"})).await;
    let got = receive(&broker, "default").await;
    let ack = json!({"receipt": got[0]["receipt"]});
    post(&broker, "t/ack", ack.clone()).await.expect_problem(409, "receipt_gone");
    let ids: Vec<_> = (0..10_000).map(|n| format!("id-{n}")).collect();
    let many = post(&broker, "default/ack", json!({"ids": ids})).await.expect(200);
    assert!(many["results"].as_array().unwrap().iter().all(|one| one["problem"]["status"] == 404));
    assert_eq!(post(&broker, "default/ack", ack).await.status, 204);
}
