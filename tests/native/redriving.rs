//! Dead letters back to work: all, some, only counted, at a rate.

use crate::common::*;
use crate::{create, kill, publish, take};
use serde_json::{Value, json};

/// A topic `t` with so many dead letters, `m0`, `m1`, ...; every other one has `odd` set.
async fn dead(broker: &TestBroker, count: usize) {
    create(broker, json!({"name": "t", "queues": [{"name": "default"}, {"name": "other"}]})).await;
    let message = |n: usize| json!({"body": format!("m{n};"), "id": format!("m{n}"), "attributes": {"odd": n % 2 == 1}});
    let batch: Vec<_> = (0..count).map(message).collect();
    let path = "/v1/topics/t/queues/default/messages";
    broker.http("POST", path, &json!(batch).to_string()).await.expect(200);
    kill(broker, "t", "broken").await;
}

async fn redrive(broker: &TestBroker, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    broker.http("POST", "/v1/topics/t/queues/default/redrive", &body).await
}

async fn progress(broker: &TestBroker, method: &str) -> Value {
    broker.http(method, "/v1/topics/t/queues/default/redrive", "").await.expect(200)
}

#[actix_web::test]
async fn all_or_the_oldest_or_those_that_are_named_go() {
    let broker = TestBroker::start().await;
    dead(&broker, 6).await;
    let dry = redrive(&broker, json!({"dry_run": true})).await.expect(200);
    assert_eq!(dry, json!({"matching": 6, "complete": true}));
    assert_eq!(
        redrive(&broker, json!({"max": 2, "dry_run": true})).await.expect(200)["matching"],
        2
    );
    let ids = json!(["m3", "none", "m3"]);
    assert_eq!(
        redrive(&broker, json!({"ids": ids, "dry_run": true})).await.expect(200)["matching"],
        1
    );
    assert!(take(&broker, "t").await.is_empty(), "a dry run does nothing");
    assert_eq!(
        redrive(&broker, json!({"ids": ids})).await.expect(200),
        json!({"redriven": 1, "missing": ["none"], "complete": true})
    );
    assert_eq!(
        redrive(&broker, json!({"ids": ["m3"]})).await.expect(200)["missing"],
        json!(["m3"])
    );
    assert_eq!(take(&broker, "t").await, ["m3;"]);
    assert_eq!(
        redrive(&broker, json!({"max": 2})).await.expect(200),
        json!({"redriven": 2, "complete": true})
    );
    assert_eq!(take(&broker, "t").await, ["m0;", "m1;"]);
    assert_eq!(redrive(&broker, json!({"max": 1, "to": "other"})).await.expect(200)["redriven"], 1);
    assert_eq!(take(&broker, "t/queues/other").await, ["m2;"]);
    assert_eq!(redrive(&broker, json!(null)).await.expect(200)["redriven"], 2);
    assert_eq!(take(&broker, "t").await, ["m4;", "m5;"]);
    assert_eq!(redrive(&broker, json!({})).await.expect(200)["redriven"], 0);
}

#[actix_web::test]
async fn those_that_pass_a_filter_go() {
    let broker = TestBroker::start().await;
    dead(&broker, 10).await;
    let odd = json!({"attribute": {"odd": "true"}});
    let dry = redrive(&broker, json!({"filter": odd, "dry_run": true})).await.expect(200);
    assert_eq!(dry, json!({"matching": 5, "scanned": 10, "complete": true}));
    let some = redrive(&broker, json!({"filter": odd, "max": 2})).await.expect(200);
    assert_eq!((&some["redriven"], &some["complete"]), (&json!(2), &json!(false)));
    assert_eq!(take(&broker, "t").await, ["m1;", "m3;"]);
    let rest = redrive(&broker, json!({"filter": odd, "after": some["next"]})).await.expect(200);
    assert_eq!((&rest["redriven"], &rest["complete"]), (&json!(3), &json!(true)));
    assert_eq!(take(&broker, "t").await, ["m5;", "m7;", "m9;"]);
    for (filter, count) in [
        (json!({"reason": "nacked"}), 0),
        (json!({"older_than_ms": 3_600_000}), 0),
        (json!({"attribute": {"odd": ["true", "maybe"]}}), 0),
        (json!({"text": "m4;", "reason": "rejected"}), 1),
        (json!({"newer_than_ms": 3_600_000}), 4),
        (json!({}), 0),
    ] {
        let done = redrive(&broker, json!({"filter": filter})).await.expect(200);
        assert_eq!(done["redriven"], count, "{filter}");
    }
}

#[actix_web::test]
async fn a_wrong_redrive_does_nothing() {
    let broker = TestBroker::start_with(&["limits.redrives_max=0"]).await;
    dead(&broker, 2).await;
    let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
    for body in [
        json!([]),
        json!({"ids": "m1"}),
        json!({"ids": [1]}),
        json!({"max": -1}),
        json!({"max": "all"}),
        json!({"ids": [], "max": 1}),
        json!({"ids": [], "filter": {}}),
        json!({"filter": []}),
        json!({"filter": {"colour": "red"}}),
        json!({"filter": {"text": ""}}),
        json!({"filter": {"text": "x".repeat(1025)}}),
        json!({"filter": {"attribute": {"a": 5}}}),
        json!({"filter": {"attribute": {"a": many}}}),
        json!({"filter": {"json": {"a": 5}}}),
        json!({"filter": {"older_than_ms": 1e300}}),
        json!({"to": ""}),
        json!({"rate_per_s": 0}),
        json!({"rate_per_s": 10_001}),
        json!({"rate_per_s": 5, "dry_run": true}),
        json!({"after": "x"}),
        json!({"dry_run": "yes"}),
        json!({"everything": true}),
    ] {
        let answer = redrive(&broker, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    let after = json!({"filter": {}, "after": "5-00000000"});
    redrive(&broker, after).await.expect_problem(400, "invalid_cursor");
    redrive(&broker, json!({"to": "none"})).await.expect_problem(404, "queue_not_found");
    let dry = json!({"to": "none", "dry_run": true});
    redrive(&broker, dry).await.expect_problem(404, "queue_not_found");
    redrive(&broker, json!({"rate_per_s": 5})).await.expect_problem(429, "too_many");
    let ids: Vec<_> = (0..10_001).map(|n| n.to_string()).collect();
    redrive(&broker, json!({"ids": ids})).await.expect_problem(413, "too_many");
    let deep = format!("{{\"filter\":{}", "{\"a\":".repeat(100_000));
    let answer = broker.http("POST", "/v1/topics/t/queues/default/redrive", &deep).await;
    answer.expect_problem(400, "invalid_request");
    assert_eq!(broker.http("GET", "/v1/topics/t/queues/default", "").await.expect(200)["dead"], 2);
    let lost = broker.http("POST", "/v1/topics/t/queues/none/redrive", "").await;
    lost.expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn a_redrive_at_a_rate_goes_on_by_itself() {
    let broker = TestBroker::start().await;
    dead(&broker, 30).await;
    let none = progress(&broker, "GET").await;
    assert_eq!((&none["running"], &none["done"]), (&json!(false), &json!(0)));
    let started = redrive(&broker, json!({"rate_per_s": 100, "max": 25})).await;
    let started = started.expect(202);
    assert_eq!((&started["running"], &started["total"]), (&json!(true), &json!(25)));
    let done = eventually("it ends", async || {
        let progress = progress(&broker, "GET").await;
        (progress["running"] == false).then_some(progress)
    })
    .await;
    assert_eq!(done, json!({"running": false, "done": 25, "total": 25}));
    assert_eq!(take(&broker, "t").await.len(), 25);
    assert_eq!(broker.http("GET", "/v1/topics/t/queues/default", "").await.expect(200)["dead"], 5);

    // By what they are like, and by name.
    let odd = json!({"filter": {"attribute": {"odd": "true"}}, "rate_per_s": 10_000});
    assert_eq!(redrive(&broker, odd).await.expect(202)["total"], Value::Null);
    eventually("the odd ones are back", async || {
        (progress(&broker, "GET").await["running"] == false).then_some(())
    })
    .await;
    assert_eq!(take(&broker, "t").await, ["m25;", "m27;", "m29;"]);
    redrive(&broker, json!({"ids": ["m28", "m26"], "rate_per_s": 10_000, "to": "other"}))
        .await
        .expect(202);
    eventually("the named ones are back", async || {
        (progress(&broker, "GET").await == json!({"running": false, "done": 2, "total": 2}))
            .then_some(())
    })
    .await;
    assert_eq!(take(&broker, "t/queues/other").await, ["m28;", "m26;"]);
}

#[actix_web::test]
async fn a_redrive_at_a_rate_is_slow_and_can_be_stopped() {
    let broker = TestBroker::start_with(&["limits.redrives_max=1"]).await;
    dead(&broker, 5).await;
    redrive(&broker, json!({"rate_per_s": 1})).await.expect(202);
    redrive(&broker, json!({"rate_per_s": 1})).await.expect_problem(429, "too_many");
    create(&broker, json!({"name": "u"})).await;
    publish(&broker, "u", json!({"body": "x"})).await;
    kill(&broker, "u", "x").await;
    let second =
        broker.http("POST", "/v1/topics/u/queues/default/redrive", r#"{"rate_per_s":1}"#).await;
    second.expect_problem(429, "too_many");
    eventually("the first one is back", async || {
        (progress(&broker, "GET").await["done"] == 1).then_some(())
    })
    .await;
    let stopped = progress(&broker, "DELETE").await;
    assert_eq!(stopped["running"], false);
    assert!(stopped["done"].as_u64().unwrap() < 5, "{stopped}");
    assert_eq!(progress(&broker, "DELETE").await, stopped, "it has ended already");
    let freed =
        broker.http("POST", "/v1/topics/u/queues/default/redrive", r#"{"rate_per_s":1}"#).await;
    freed.expect(202);
    eventually("the one of the other topic is back", async || {
        (take(&broker, "u").await == ["x"]).then_some(())
    })
    .await;
}

/// It is told why it ended.
#[actix_web::test]
async fn a_redrive_ends_with_its_queue() {
    let broker = TestBroker::start().await;
    dead(&broker, 5).await;
    redrive(&broker, json!({"rate_per_s": 5, "to": "other"})).await.expect(202);
    assert_eq!(broker.http("DELETE", "/v1/topics/t/queues/other", "").await.status, 204);
    let ended = eventually("it ends", async || {
        let progress = progress(&broker, "GET").await;
        (progress["running"] == false).then_some(progress)
    })
    .await;
    assert_eq!(ended["problem"]["code"], "queue_not_found", "{ended}");
    assert!(ended["done"].as_u64().unwrap() < 5);
}
