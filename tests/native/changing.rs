//! Topics and queues that are changed: some settings, all of them, paused, moved to another topic.

use crate::common::*;
use crate::{create, publish, receive, show, take};
use serde_json::{Value, json};

async fn patch(broker: &TestBroker, path: &str, body: Value) -> Answer {
    broker.http("PATCH", &format!("/v1/topics/{path}"), &body.to_string()).await
}

#[actix_web::test]
async fn a_topic_changes_only_what_is_given() {
    let broker = TestBroker::start().await;
    let before =
        create(&broker, json!({"name": "t", "policy": {"capacity": 5, "ttl_ms": 60_000}})).await;
    let after = patch(&broker, "t", json!({"policy": {"capacity": 7}})).await.expect(200);
    let mut wanted = before.clone();
    wanted["policy"]["capacity"] = json!(7);
    assert_eq!(after, wanted);
    assert_eq!(show(&broker, "t").await, wanted);
    assert_eq!(patch(&broker, "t", json!({"policy": {}})).await.expect(200), wanted);

    let folder = broker.stop().await;
    let again = TestBroker::start_in(folder, &[]).await;
    assert_eq!(show(&again, "t").await["policy"], wanted["policy"]);
}

#[actix_web::test]
async fn a_wrong_change_of_a_topic_changes_nothing() {
    let broker = TestBroker::start().await;
    let before = create(&broker, json!({"name": "t"})).await;
    for body in [
        "",
        "[]",
        "5",
        "{}",
        r#"{"policy":5}"#,
        r#"{"policy":[]}"#,
        r#"{"policy":{"capacity":-1}}"#,
        r#"{"policy":{"capacity":1e30}}"#,
        r#"{"policy":{"capacity":99999999999999999999999999}}"#,
        r#"{"policy":{"capacity":"5"}}"#,
        r#"{"policy":{"capacity":1,"capacity":2}}"#,
        r#"{"policy":{"colour":1}}"#,
        r#"{"policy":{"ttl_ms":999999999999999}}"#,
        r#"{"policy":{}} x"#,
        r#"{"policy":{},"policy":{}}"#,
        r#"{"policy":{},"name":"u"}"#,
        &format!(r#"{{"policy":{}"#, "{\"a\":".repeat(10_000)),
    ] {
        let answer = broker.http("PATCH", "/v1/topics/t", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    // What it stands for is fixed.
    let level = patch(&broker, "t", json!({"policy": {"durability": "memory"}})).await;
    level.expect_problem(400, "out_of_bounds");
    patch(&broker, "none", json!({"policy": {}})).await.expect_problem(404, "topic_not_found");
    assert_eq!(show(&broker, "t").await, before);
}

/// Each of many who change something else at a time has its way.
#[actix_web::test]
async fn changes_at_one_time_do_not_undo_each_other() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    let fields = ["capacity", "bytes_max", "ttl_ms", "history_messages", "history_bytes"];
    let changes = fields.map(|field| patch(&broker, "t", json!({"policy": {field: 7}})));
    for answer in futures_util::future::join_all(changes).await {
        answer.expect(200);
    }
    let policy = show(&broker, "t").await["policy"].clone();
    assert!(fields.iter().all(|field| policy[field] == 7), "{policy}");

    let fields = ["max_deliveries", "dead_max", "retention_ms", "messages_max", "delay_ms"];
    let changes = fields.map(|field| patch(&broker, "t/queues/default", json!({field: 7})));
    for answer in futures_util::future::join_all(changes).await {
        answer.expect(200);
    }
    let queue = broker.http("GET", "/v1/topics/t/queues/default", "").await.expect(200);
    assert!(fields.iter().all(|field| queue["policy"][field] == 7), "{queue}");
}

#[actix_web::test]
async fn a_queue_is_made_or_changed_whole_by_put() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    let path = "/v1/topics/t/queues/q";
    let policy = json!({"ack_deadline_ms": 5, "dead_letter": {"topic": "t", "queue": "default"}});
    let made = broker.http("PUT", path, &policy.to_string()).await.expect(201);
    assert_eq!((&made["name"], &made["topic"]), (&json!("q"), &json!("t")));
    assert_eq!(made["policy"]["dead_letter"], policy["dead_letter"]);
    let changed = broker.http("PUT", path, r#"{"max_deliveries": 2}"#).await.expect(200);
    assert_eq!(changed["policy"]["max_deliveries"], 2);
    assert_eq!(changed["policy"]["ack_deadline_ms"], 30_000, "what is left out has its default");
    assert_eq!(changed["policy"]["dead_letter"], Value::Null);
    let whole = broker.http("PUT", path, "").await.expect(200);
    assert_eq!(whole["policy"]["max_deliveries"], 16);
    for body in ["[]", r#"{"x":1}"#, r#"{"ack_deadline_ms":0}"#, r#"{"max_deliveries":-1}"#] {
        broker.http("PUT", path, body).await.expect_problem(400, "invalid_request");
    }
    let lost = json!({"dead_letter": {"topic": "t", "queue": "none"}}).to_string();
    broker.http("PUT", path, &lost).await.expect_problem(404, "queue_not_found");
    broker
        .http("PUT", "/v1/topics/t/queues/new", &lost)
        .await
        .expect_problem(404, "queue_not_found");
    broker.http("GET", "/v1/topics/t/queues/new", "").await.expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn a_queue_changes_only_what_is_given() {
    let broker = TestBroker::start().await;
    let policy = json!({"backoff_ms": [1, 2], "dead_letter": {"topic": "t", "queue": "default"}});
    let queues = json!([{"name": "default"}, {"name": "q", "policy": policy}]);
    create(&broker, json!({"name": "t", "queues": queues})).await;
    let after = patch(&broker, "t/queues/q", json!({"max_deliveries": 3})).await.expect(200);
    assert_eq!(after["policy"]["max_deliveries"], 3);
    assert_eq!(after["policy"]["backoff_ms"], json!([1, 2]));
    assert_eq!(after["policy"]["dead_letter"], policy["dead_letter"]);
    let without = patch(&broker, "t/queues/q", json!({"dead_letter": null})).await.expect(200);
    assert_eq!(without["policy"]["dead_letter"], Value::Null);
    for body in [
        "",
        "[]",
        r#"{"ack_deadline_ms":0}"#,
        r#"{"x":1}"#,
        r#"{"max_deliveries":1,"max_deliveries":2}"#,
        r#"{"max_deliveries":4294967296}"#,
        r#"{"backoff_ms":"1"}"#,
    ] {
        let answer = broker.http("PATCH", "/v1/topics/t/queues/q", body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    for (path, code) in [("t/queues/none", "queue_not_found"), ("none/queues/q", "topic_not_found")]
    {
        patch(&broker, path, json!({})).await.expect_problem(404, code);
    }
    let seen = broker.http("GET", "/v1/topics/t/queues/q", "").await.expect(200);
    assert_eq!(seen["policy"]["max_deliveries"], 3);
    assert!(seen["policy"]["changed_at"].is_i64(), "when it was changed is told: {seen}");
}

#[actix_web::test]
async fn a_queue_tells_all_about_itself() {
    let broker = TestBroker::start().await;
    for body in ["a", "b", "c"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    publish(&broker, "default", json!({"body": "later", "delay_ms": 3_600_000})).await;
    let got = receive(&broker, "default").await;
    let ack = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);
    receive(&broker, "default").await;
    let queue = broker.http("GET", "/v1/topics/default/queues/default", "").await.expect(200);
    let counts = ["ready", "delayed", "in_flight", "dead", "bytes", "consumers", "waiting"];
    assert_eq!(counts.map(|count| queue[count].as_u64().unwrap()), [1, 1, 1, 0, 7, 0, 0]);
    let totals = ["published", "delivered", "acked", "nacked"];
    assert_eq!(totals.map(|total| queue["totals"][total].as_u64().unwrap()), [4, 2, 1, 0]);
    assert_eq!(queue["waits"]["in_queue"]["count"], 2);
    assert_eq!(queue["waits"]["to_ack"]["count"], 1);
    assert!(queue["oldest_ready_at_ms"].is_i64() && queue["created_at_ms"].is_i64(), "{queue}");
    for (path, code) in
        [("default/queues/none", "queue_not_found"), ("none/queues/q", "topic_not_found")]
    {
        broker.http("GET", &format!("/v1/topics/{path}"), "").await.expect_problem(404, code);
    }
}

#[actix_web::test]
async fn the_queues_of_a_topic_come_in_pages() {
    let broker = TestBroker::start().await;
    let queues: Vec<_> = (0..5).map(|number| json!({"name": format!("q{number}")})).collect();
    create(&broker, json!({"name": "t", "queues": queues})).await;
    let (mut names, mut path) = (Vec::new(), "/v1/topics/t/queues?limit=2".to_owned());
    loop {
        let page = broker.http("GET", &path, "").await.expect(200);
        let queues = page["queues"].as_array().unwrap();
        names.extend(queues.iter().map(|queue| queue["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/topics/t/queues?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["q0", "q1", "q2", "q3", "q4"]);
    let lost = broker.http("GET", "/v1/topics/t/queues?after=none", "").await;
    lost.expect_problem(400, "invalid_cursor");
    for query in ["limit=x", "limit=0", "colour=red", "limit=1&limit=2", "after=%ff"] {
        let answer = broker.http("GET", &format!("/v1/topics/t/queues?{query}"), "").await;
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn topics_are_found_by_how_their_names_begin() {
    let broker = TestBroker::start().await;
    for name in ["ab", "abc", "b", "a b"] {
        create(&broker, json!({"name": name, "policy": {"durability": "memory"}})).await;
    }
    for (prefix, names) in [
        ("ab", &["ab", "abc"][..]),
        ("a%20", &["a b"]),
        ("a+", &["a b"]),
        ("x", &[]),
        ("d", &["default"]),
    ] {
        let list = broker.http("GET", &format!("/v1/topics?prefix={prefix}"), "").await.expect(200);
        let topics = list["topics"].as_array().unwrap();
        let found: Vec<_> = topics.iter().map(|topic| topic["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{prefix}");
    }
}

#[actix_web::test]
async fn what_is_paused_goes_on_when_it_is_resumed() {
    let broker = TestBroker::start().await;
    let post = async |path: &str, body: &str| {
        broker.http("POST", &format!("/v1/topics/default/{path}"), body).await
    };
    assert_eq!(post("pause", "").await.expect(200)["policy"]["paused_in"], true);
    post("messages", r#"{"body":"x"}"#).await.expect_problem(409, "paused");
    assert_eq!(post("resume", "").await.expect(200)["policy"]["paused_in"], false);
    publish(&broker, "default", json!({"body": "x"})).await;

    let ways = |queue: Value| {
        [queue["policy"]["paused_in"].clone(), queue["policy"]["paused_out"].clone()]
    };
    let queue = "queues/default";
    assert_eq!(ways(post(&format!("{queue}/pause"), "").await.expect(200)), [true, true]);
    assert!(take(&broker, "default").await.is_empty());
    post("messages", r#"{"body":"x"}"#).await.expect_problem(409, "paused");
    let resumed = post(&format!("{queue}/resume"), r#"{"in":true}"#).await.expect(200);
    assert_eq!(ways(resumed), [false, true]);
    publish(&broker, "default", json!({"body": "y"})).await;
    let resumed = post(&format!("{queue}/resume"), r#"{"out":true,"in":false}"#).await.expect(200);
    assert_eq!(ways(resumed), [false, false]);
    assert_eq!(take(&broker, "default").await, ["x", "y"]);
    let paused = post(&format!("{queue}/pause"), r#"{"out":true}"#).await.expect(200);
    assert_eq!(ways(paused), [false, true]);

    for body in ["[]", r#"{"in":1}"#, r#"{"both":true}"#, r#"{"in":true,"in":true}"#, "x"] {
        post(&format!("{queue}/pause"), body).await.expect_problem(400, "invalid_request");
        post("pause", body).await.expect_problem(400, "invalid_request");
    }
    post("pause", r#"{"out":true}"#).await.expect_problem(400, "invalid_request");
    post("queues/none/pause", "").await.expect_problem(404, "queue_not_found");
}

/// Whoever waits gets what was held back, without asking again.
#[actix_web::test]
async fn a_resume_wakes_those_who_wait() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "held"})).await;
    broker.http("POST", "/v1/topics/default/queues/default/pause", "").await.expect(200);
    let waiting = crate::post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    crate::until_waiting(&broker, "default", 1).await;
    broker.http("POST", "/v1/topics/default/queues/default/resume", "").await.expect(200);
    assert_eq!(waiting.await.unwrap().expect(200)["messages"][0]["body"], "held");
}

#[actix_web::test]
async fn a_queue_goes_to_another_topic_with_its_messages() {
    let broker = TestBroker::start().await;
    let queues = json!([{"name": "default"}, {"name": "audit"}]);
    create(&broker, json!({"name": "a", "queues": queues})).await;
    create(&broker, json!({"name": "b"})).await;
    publish(&broker, "a", json!({"body": "waits"})).await;
    publish(&broker, "a", json!({"body": "held"})).await;
    let held = receive(&broker, "a/queues/audit").await;
    let moved = broker.http("POST", "/v1/topics/b/queues/audit/attach", r#"{"from":"a"}"#).await;
    let moved = moved.expect(200);
    assert_eq!(
        (&moved["topic"], &moved["ready"], &moved["in_flight"]),
        (&json!("b"), &json!(1), &json!(1))
    );
    broker
        .http("GET", "/v1/topics/a/queues/audit", "")
        .await
        .expect_problem(404, "queue_not_found");
    let ack = json!({"receipt": held[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/b/ack", &ack).await.status, 204);
    assert_eq!(take(&broker, "b/queues/audit").await, ["held"]);

    publish(&broker, "b", json!({"body": "stays"})).await;
    assert_eq!(broker.http("POST", "/v1/topics/b/queues/audit/detach", "").await.status, 204);
    broker
        .http("GET", "/v1/topics/b/queues/audit", "")
        .await
        .expect_problem(404, "queue_not_found");
    publish(&broker, "b", json!({"body": "not for it"})).await;
    // It is there, and found where queues without a topic are.
    let none = broker.http("GET", "/v1/topics/%00queues/queues/audit", "").await.expect(200);
    assert_eq!(none["ready"], 1);
    let back = broker.http("POST", "/v1/topics/a/queues/audit/attach", "").await.expect(200);
    assert_eq!((&back["topic"], &back["ready"]), (&json!("a"), &json!(1)));
    assert_eq!(take(&broker, "a/queues/audit").await, ["stays"]);

    let attach = async |path: &str, body: &str| {
        broker.http("POST", &format!("/v1/topics/{path}/attach"), body).await
    };
    attach("b/queues/none", r#"{"from":"a"}"#).await.expect_problem(404, "queue_not_found");
    attach("none/queues/audit", r#"{"from":"a"}"#).await.expect_problem(404, "topic_not_found");
    attach("b/queues/audit", r#"{"from":"none"}"#).await.expect_problem(404, "topic_not_found");
    attach("b/queues/default", r#"{"from":"a"}"#).await.expect_problem(409, "queue_exists");
    attach("pubsub/queues/audit", r#"{"from":"a"}"#).await.expect_problem(409, "wrong_kind");
    for body in ["[]", r#"{"from":""}"#, r#"{"from":5}"#, r#"{"to":"a"}"#] {
        attach("b/queues/audit", body).await.expect_problem(400, "invalid_request");
    }
    broker
        .http("POST", "/v1/topics/a/queues/none/detach", "")
        .await
        .expect_problem(404, "queue_not_found");
    assert_eq!(show(&broker, "a").await["queues"].as_array().unwrap().len(), 2);
}
