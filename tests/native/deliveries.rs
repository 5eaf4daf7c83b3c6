//! Ack, nack and extend: by receipt, by receipts, by ids.

use crate::common::*;
use crate::{create, publish, receive, show, take};
use serde_json::{Value, json};

async fn tell(broker: &TestBroker, verb: &str, what: &Value) -> Answer {
    broker.http("POST", &format!("/v1/topics/default/{verb}"), &what.to_string()).await
}

async fn deliver(broker: &TestBroker, count: usize) -> Vec<Value> {
    for number in 0..count {
        publish(broker, "default", json!({"body": format!("m{number}")})).await;
    }
    let got = receive(broker, &format!("default?max={count}")).await;
    assert_eq!(got.len(), count);
    got
}

#[actix_web::test]
async fn an_acked_message_is_gone_and_its_receipt_used() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 1).await;
    let which = json!({"receipt": got[0]["receipt"]});
    let answer = tell(&broker, "ack", &which).await;
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    for verb in ["ack", "nack"] {
        tell(&broker, verb, &which).await.expect_problem(409, "receipt_gone");
    }
    let mut extend = which.clone();
    extend["ack_deadline_ms"] = json!(1000);
    tell(&broker, "extend", &extend).await.expect_problem(409, "receipt_gone");
    let queue = &show(&broker, "default").await["queues"][0];
    assert_eq!(
        (&queue["ready"], &queue["in_flight"], &queue["dead"]),
        (&json!(0), &json!(0), &json!(0))
    );
}

#[actix_web::test]
async fn an_ack_hands_the_next_of_its_ordering_key_to_who_waits_for_it() {
    let broker = TestBroker::start().await;
    for body in ["a1", "a2"] {
        publish(&broker, "default", json!({"body": body, "ordering_key": "a"})).await;
    }
    let got = receive(&broker, "default?max=10").await;
    assert_eq!(got.len(), 1, "{got:?}");
    assert_eq!((&got[0]["body"], &got[0]["ordering_key"]), (&json!("a1"), &json!("a")));
    let acked = json!({"receipt": got[0]["receipt"]});
    let (next, answer) = futures_util::future::join(
        receive(&broker, "default?max=10&wait_ms=20000"),
        tell(&broker, "ack", &acked),
    )
    .await;
    assert_eq!(answer.status, 204);
    assert_eq!((next.len(), &next[0]["body"]), (1, &json!("a2")));
    publish(&broker, "default", json!({"body": "free"})).await;
    let free = receive(&broker, "default").await;
    assert!(free[0].get("ordering_key").is_none(), "{free:?}");
}

#[actix_web::test]
async fn many_receipts_have_a_result_each() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 2).await;
    let never = "0".repeat(32);
    let receipts =
        json!({"receipts": [got[0]["receipt"], never, got[1]["receipt"], got[0]["receipt"]]});
    let answer = tell(&broker, "ack", &receipts).await.expect(200);
    let results = answer["results"].as_array().unwrap();
    assert_eq!((&results[0], &results[2]), (&json!({"ok": true}), &json!({"ok": true})));
    for at in [1, 3] {
        assert_eq!(results[at]["problem"]["code"], "receipt_gone", "{at}");
    }
    let none = tell(&broker, "ack", &json!({"receipts": []})).await.expect(200);
    assert_eq!(none, json!({"results": []}));
}

#[actix_web::test]
async fn messages_in_flight_are_named_by_id_too() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 3).await;
    publish(&broker, "default", json!({"body": "waits", "id": "waits"})).await;
    let which = json!({"ids": [got[0]["id"], "waits", "unknown"]});
    let answer = tell(&broker, "ack", &which).await.expect(200);
    let codes: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["problem"]["code"].as_str())
        .collect();
    assert_eq!(codes, [None, Some("message_not_found"), Some("message_not_found")]);

    let extend = json!({"ids": [got[1]["id"]], "queue": "default", "ack_deadline_ms": 100_000});
    let answer = tell(&broker, "extend", &extend).await.expect(200);
    assert!(
        answer["results"][0]["deadline_ms"].as_i64() > got[1]["deadline_ms"].as_i64(),
        "{answer}"
    );
    let nack = json!({"ids": [got[1]["id"]], "queue": "default"});
    assert_eq!(tell(&broker, "nack", &nack).await.expect(200)["results"][0], json!({"ok": true}));
    let elsewhere = json!({"ids": [got[2]["id"]], "queue": "none"});
    let answer = tell(&broker, "ack", &elsewhere).await.expect(200);
    assert_eq!(answer["results"][0]["problem"]["code"], "queue_not_found");
    assert_eq!(take(&broker, "default").await, ["m1", "waits"]);
}

#[actix_web::test]
async fn a_nacked_message_returns_to_its_own_place_and_counts() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 2).await;
    for one in got.iter().rev() {
        let nack = json!({"receipt": one["receipt"], "mode": "fail", "error": "no luck"});
        assert_eq!(tell(&broker, "nack", &nack).await.status, 204);
    }
    let again = receive(&broker, "default?max=2").await;
    let shown: Vec<_> = again
        .iter()
        .map(|one| (one["body"].as_str().unwrap(), one["attempt"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [("m0", 2), ("m1", 2)]);
}

#[actix_web::test]
async fn a_release_does_not_count_and_a_delay_holds_back() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 1).await;
    let release = json!({"receipt": got[0]["receipt"], "mode": "release"});
    assert_eq!(tell(&broker, "nack", &release).await.status, 204);
    let again = receive(&broker, "default").await;
    assert_eq!(again[0]["attempt"], 1);

    let later = json!({"receipt": again[0]["receipt"], "delay_ms": 3_600_000});
    assert_eq!(tell(&broker, "nack", &later).await.status, 204);
    assert!(receive(&broker, "default").await.is_empty());
    assert_eq!(show(&broker, "default").await["queues"][0]["delayed"], 1);
}

#[actix_web::test]
async fn a_message_nacked_as_dead_is_a_dead_letter_at_once() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 1).await;
    let dead = json!({"receipt": got[0]["receipt"], "mode": "dead", "error": "poison"});
    assert_eq!(tell(&broker, "nack", &dead).await.status, 204);
    assert!(receive(&broker, "default").await.is_empty());
    assert_eq!(show(&broker, "default").await["queues"][0]["dead"], 1);
}

#[actix_web::test]
async fn a_message_that_fails_too_often_is_a_dead_letter() {
    let broker = TestBroker::start().await;
    let keep = json!({"max_deliveries": 2});
    let send =
        json!({"max_deliveries": 1, "dead_letter": {"topic": "default", "queue": "default"}});
    create(&broker, json!({"name": "t", "queues": [{"name": "keep", "policy": keep}, {"name": "send", "policy": send}]})).await;
    publish(&broker, "t", json!({"body": "x"})).await;
    for (queue, attempts) in [("keep", 2), ("send", 1)] {
        for attempt in 1..=attempts {
            let got = receive(&broker, &format!("t/queues/{queue}")).await;
            assert_eq!(got[0]["attempt"], attempt);
            let nack = json!({"receipt": got[0]["receipt"]}).to_string();
            assert_eq!(broker.http("POST", "/v1/topics/t/nack", &nack).await.status, 204);
        }
        assert!(receive(&broker, &format!("t/queues/{queue}")).await.is_empty(), "{queue}");
    }
    assert_eq!(show(&broker, "t").await["queues"][0]["dead"], 1);
    let sent = receive(&broker, "default?wait_ms=20000").await;
    assert_eq!(sent[0]["body"], "x");
}

/// The deadline counts as a failed delivery, so a consumer that always dies ends in a dead letter.
#[actix_web::test]
async fn missed_deadlines_end_in_a_dead_letter() {
    let broker = TestBroker::start().await;
    let policy = json!({"max_deliveries": 2, "ack_deadline_ms": 10});
    create(&broker, json!({"name": "t", "queues": [{"name": "default", "policy": policy}]})).await;
    publish(&broker, "t", json!({"body": "x"})).await;
    for _ in 0..2 {
        assert_eq!(receive(&broker, "t?wait_ms=20000").await.len(), 1);
    }
    eventually("a dead letter", async || {
        (show(&broker, "t").await["queues"][0]["dead"] == 1).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn an_extended_delivery_keeps_its_receipt() {
    let broker = TestBroker::start().await;
    let got = deliver(&broker, 1).await;
    let extend = json!({"receipt": got[0]["receipt"], "ack_deadline_ms": 120_000});
    let answer = tell(&broker, "extend", &extend).await.expect(200);
    assert_eq!(answer["ok"], true);
    assert!(answer["deadline_ms"].as_i64() > got[0]["deadline_ms"].as_i64(), "{answer}");
    assert_eq!(tell(&broker, "ack", &json!({"receipt": got[0]["receipt"]})).await.status, 204);
}

#[actix_web::test]
async fn bodies_of_the_wrong_form_are_refused() {
    let broker = TestBroker::start().await;
    let receipt = "0".repeat(32);
    let table = [
        json!({}),
        json!(5),
        json!([]),
        json!({"receipt": 5}),
        json!({"receipt": "short"}),
        json!({"receipt": "z".repeat(32)}),
        json!({"receipts": "x"}),
        json!({"receipts": [receipt, "bad"]}),
        json!({"ids": [5]}),
        json!({"ids": ["x"], "queue": ""}),
        json!({"receipt": receipt, "ids": []}),
        json!({"receipt": receipt, "colour": "red"}),
    ];
    for verb in ["ack", "nack", "extend"] {
        for what in &table {
            let mut what = what.clone();
            if verb == "extend" && what.is_object() {
                what["ack_deadline_ms"] = json!(1000);
            }
            let answer = tell(&broker, verb, &what).await;
            assert_eq!(answer.status, 400, "{verb} {what}: {}", answer.text());
            answer.expect_problem(400, "invalid_request");
        }
    }
    for what in [
        json!({"receipt": receipt, "mode": "maybe"}),
        json!({"receipt": receipt, "delay_ms": -1}),
        json!({"receipt": receipt, "delay_ms": 10u64.pow(15)}),
        json!({"receipt": receipt, "error": 5}),
    ] {
        tell(&broker, "nack", &what).await.expect_problem(400, "invalid_request");
    }
    for what in [
        json!({"receipt": receipt}),
        json!({"receipt": receipt, "ack_deadline_ms": 0}),
        json!({"receipt": receipt, "ack_deadline_ms": "x"}),
    ] {
        tell(&broker, "extend", &what).await.expect_problem(400, "invalid_request");
    }
    for verb in ["ack", "nack", "extend"] {
        let path = format!("/v1/topics/none/{verb}");
        let what = json!({"receipt": receipt, "ack_deadline_ms": 5});
        let what = if verb == "extend" { what } else { json!({"receipt": receipt}) };
        broker.http("POST", &path, &what.to_string()).await.expect_problem(404, "topic_not_found");
    }
}

/// A receipt names its queue: another topic's is as good as none.
#[actix_web::test]
async fn a_receipt_of_another_topic_is_refused() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "other"})).await;
    publish(&broker, "other", json!({"body": "x"})).await;
    let got = receive(&broker, "other").await;
    tell(&broker, "ack", &json!({"receipt": got[0]["receipt"]}))
        .await
        .expect_problem(409, "receipt_gone");
    let right = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/other/ack", &right).await.status, 204);
}
