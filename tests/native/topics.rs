//! Topics and their queues: create, list, show, delete.

use crate::common::*;
use crate::{create, publish, show, take};
use serde_json::json;

#[actix_web::test]
async fn a_start_gives_the_two_topics_of_octoque() {
    let broker = TestBroker::start().await;
    let list = broker.http("GET", "/v1/topics", "").await.expect(200);
    let kinds: Vec<_> = list["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| (topic["name"].as_str().unwrap(), topic["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("default", "broker"), ("pubsub", "pubsub")]);
    assert_eq!(list.get("next"), None);
}

#[actix_web::test]
async fn a_topic_with_nothing_but_a_name_has_the_defaults() {
    let broker = TestBroker::start().await;
    let topic = create(&broker, json!({"name": "jobs"})).await;
    assert_eq!(
        (&topic["name"], &topic["kind"], &topic["durability"]),
        (&json!("jobs"), &json!("broker"), &json!("sync"))
    );
    assert_eq!(topic["queues"].as_array().unwrap().len(), 1);
    let queue = &topic["queues"][0];
    assert_eq!((&queue["name"], &queue["ready"]), (&json!("default"), &json!(0)));
    assert_eq!(queue["policy"]["ack_deadline_ms"], 30_000);
    assert_eq!(queue["policy"]["max_deliveries"], 16);
    assert_eq!((topic.get("epoch"), topic.get("last_seq")), (None, None));
    assert_eq!(show(&broker, "jobs").await, topic);
}

#[actix_web::test]
async fn a_pubsub_topic_has_an_epoch_and_a_level_of_its_own() {
    let broker = TestBroker::start().await;
    let topic = create(&broker, json!({"name": "news", "kind": "pubsub"})).await;
    assert_eq!((&topic["kind"], &topic["durability"]), (&json!("pubsub"), &json!("async")));
    assert!(topic["epoch"].is_u64() && topic["last_seq"] == 0, "{topic}");
    publish(&broker, "news", json!({"body": "x"})).await;
    assert_eq!(show(&broker, "news").await["last_seq"], 1);
}

#[actix_web::test]
async fn every_field_of_a_new_topic_is_kept() {
    let broker = TestBroker::start().await;
    let policy = json!({
        "durability": "async", "capacity": 7, "bytes_max": 1000, "overflow": "drop_oldest", "ttl_ms": 60_000,
        "dedup_window_ms": 1000, "dedup_keys_max": 10, "history_messages": 5, "history_bytes": 500,
        "history_ms": 9000, "paused_in": true,
    });
    let queue = json!({
        "ack_deadline_ms": 100, "max_deliveries": 3, "backoff_ms": [1, 2], "returns": "back", "dead_letter": {"topic": "default", "queue": "default"},
        "dead_max": 4, "retention_ms": 5, "messages_max": 6, "bytes_max": 7, "overflow": "drop_oldest",
        "delay_ms": 8, "filter": {"kind": ["a", "b"]}, "paused_in": true, "paused_out": true,
    });
    let queues = json!([{"name": "one", "policy": queue}, {"name": "two"}]);
    let new = json!({"name": "all", "kind": "broker", "policy": policy, "queues": queues});
    let topic = create(&broker, new).await;
    assert_eq!(topic["policy"], policy);
    assert_eq!(topic["queues"][0]["policy"], queue);
    assert_eq!(topic["queues"][1]["name"], "two");

    let TestBroker { server, folder } = broker;
    server.stop().await.unwrap();
    let again = TestBroker::start_in(folder, &[]).await;
    let found = show(&again, "all").await;
    assert_eq!((&found["policy"], &found["queues"][0]["policy"]), (&policy, &queue));
}

#[actix_web::test]
async fn a_new_topic_of_the_wrong_form_is_refused() {
    let broker = TestBroker::start().await;
    let long = "x".repeat(256);
    let table = [
        json!({}),
        json!([]),
        json!({"name": 5}),
        json!({"name": ""}),
        json!({"name": long}),
        json!({"name": "t", "kind": "queue"}),
        json!({"name": "t", "colour": "red"}),
        json!({"name": "t", "policy": 5}),
        json!({"name": "t", "policy": {"durability": "forever"}}),
        json!({"name": "t", "policy": {"capacity": -1}}),
        json!({"name": "t", "policy": {"capacitiy": 1}}),
        json!({"name": "t", "policy": {"ttl_ms": 10u64.pow(15)}}),
        json!({"name": "t", "queues": [{"name": ""}]}),
        json!({"name": "t", "queues": [{"name": "q", "policy": {"ack_deadline_ms": 0}}]}),
        json!({"name": "t", "queues": [{"name": "q", "policy": {"backoff_ms": vec![1; 65]}}]}),
        json!({"name": "t", "queues": [{"name": "q", "policy": {"dead_letter": {"topic": ""}}}]}),
    ];
    for new in table {
        let answer = broker.http("POST", "/v1/topics", &new.to_string()).await;
        assert_eq!(answer.status, 400, "{new}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    broker.http("GET", "/v1/topics/t", "").await.expect_problem(404, "topic_not_found");
}

#[actix_web::test]
async fn two_queues_of_one_name_cannot_be_made_with_a_topic() {
    let broker = TestBroker::start().await;
    let new = json!({"name": "t", "queues": [{"name": "q"}, {"name": "q"}]});
    let answer = broker.http("POST", "/v1/topics", &new.to_string()).await;
    answer.expect_problem(409, "queue_exists");
    broker.http("GET", "/v1/topics/t", "").await.expect_problem(404, "topic_not_found");
}

#[actix_web::test]
async fn a_name_is_taken_until_its_topic_is_deleted() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    publish(&broker, "t", json!({"body": "old"})).await;
    broker.http("POST", "/v1/topics", r#"{"name":"t"}"#).await.expect_problem(409, "topic_exists");

    assert_eq!(broker.http("DELETE", "/v1/topics/t", "").await.status, 204);
    for (method, path) in
        [("GET", "/v1/topics/t"), ("DELETE", "/v1/topics/t"), ("POST", "/v1/topics/t/receive")]
    {
        broker.http(method, path, "").await.expect_problem(404, "topic_not_found");
    }
    let publish = broker.http("POST", "/v1/topics/t/messages", r#"{"body":"x"}"#).await;
    publish.expect_problem(404, "topic_not_found");

    create(&broker, json!({"name": "t"})).await;
    assert!(take(&broker, "t").await.is_empty(), "nothing of the old topic is in the new one");
}

#[actix_web::test]
async fn the_list_comes_in_pages() {
    let broker = TestBroker::start().await;
    for number in 0..5 {
        create(&broker, json!({"name": format!("t{number}"), "policy": {"durability": "memory"}}))
            .await;
    }
    let mut names = Vec::new();
    let mut path = "/v1/topics?limit=3".to_owned();
    loop {
        let page = broker.http("GET", &path, "").await.expect(200);
        let topics = page["topics"].as_array().unwrap();
        assert!(topics.len() <= 3);
        names.extend(topics.iter().map(|topic| topic["name"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => path = format!("/v1/topics?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["default", "pubsub", "t0", "t1", "t2", "t3", "t4"]);
    for query in ["limit=x", "limit=0", "after=-1", "colour=red"] {
        broker
            .http("GET", &format!("/v1/topics?{query}"), "")
            .await
            .expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn queues_are_added_and_removed() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    let policy = r#"{"ack_deadline_ms": 5}"#;
    assert_eq!(broker.http("PUT", "/v1/topics/t/queues/audit", policy).await.status, 201);
    assert_eq!(broker.http("PUT", "/v1/topics/t/queues/plain", "").await.status, 201);
    publish(&broker, "t", json!({"body": "to all"})).await;
    for queue in ["t", "t/queues/audit", "t/queues/plain", "t/queues/default"] {
        let expected: &[&str] = if queue == "t/queues/default" { &[] } else { &["to all"] };
        assert_eq!(take(&broker, queue).await, expected, "{queue}");
    }

    assert_eq!(broker.http("DELETE", "/v1/topics/t/queues/audit", "").await.status, 204);
    broker
        .http("DELETE", "/v1/topics/t/queues/audit", "")
        .await
        .expect_problem(404, "queue_not_found");
    let gone = broker.http("POST", "/v1/topics/t/queues/audit/receive", "").await;
    gone.expect_problem(404, "queue_not_found");
    assert_eq!(show(&broker, "t").await["queues"].as_array().unwrap().len(), 2);

    for (path, body) in
        [("q", "5"), ("q", "{"), ("q", r#"{"ack_deadline_ms":0}"#), ("q", r#"{"x":1}"#)]
    {
        let answer = broker.http("PUT", &format!("/v1/topics/t/queues/{path}"), body).await;
        answer.expect_problem(400, "invalid_request");
    }
    broker.http("PUT", "/v1/topics/none/queues/q", "").await.expect_problem(404, "topic_not_found");
    broker
        .http("DELETE", "/v1/topics/none/queues/q", "")
        .await
        .expect_problem(404, "topic_not_found");
    broker.http("PUT", "/v1/topics/pubsub/queues/q", "").await.expect_problem(409, "wrong_kind");
}

#[actix_web::test]
async fn any_name_can_be_written_in_a_path() {
    let broker = TestBroker::start().await;
    for (name, path) in [
        ("a/b", "a%2Fb"),
        ("ü é", "%C3%BC%20%c3%a9"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("q?#", "q%3F%23"),
        ("a+b", "a+b"),
    ] {
        create(&broker, json!({"name": name})).await;
        publish(&broker, path, json!({"body": name})).await;
        assert_eq!(take(&broker, path).await, [name], "{path}");
        assert_eq!(show(&broker, path).await["name"], name);
        assert_eq!(
            broker.http("DELETE", &format!("/v1/topics/{path}"), "").await.status,
            204,
            "{path}"
        );
    }
}

/// Names of other doors need not be UTF-8; a path can still say them.
#[actix_web::test]
async fn a_name_that_is_not_text_is_reached_by_its_encoded_bytes() {
    use octoq::{broker::NewTopic, queue::*};
    let broker = TestBroker::start().await;
    let inside = &broker.server.broker;
    for name in [&b"\xff\xfe"[..], b"a\x80b", b"\xc3"] {
        let queues = vec![(QueueName::parse(b"q\xff").unwrap(), QueuePolicy::default())];
        let policy = TopicPolicy { durability: Level::Memory, ..TopicPolicy::default() };
        let new = NewTopic {
            name: TopicName::parse(name).unwrap(),
            kind: Kind::Broker,
            policy,
            queues,
            owner: None,
        };
        inside.create_topic(&inside.anonymous(), new).await.unwrap();
    }
    for path in ["%ff%FE", "a%80b", "%c3"] {
        publish(&broker, path, json!({"body": path})).await;
        assert_eq!(take(&broker, &format!("{path}/queues/q%ff")).await, [path]);
        assert!(show(&broker, path).await["name"].is_string());
    }
    let list = broker.http("GET", "/v1/topics", "").await.expect(200);
    assert_eq!(list["topics"].as_array().unwrap().len(), 5);
    assert_eq!(broker.http("DELETE", "/v1/topics/%ff%fe", "").await.status, 204);
    broker
        .http("GET", "/v1/topics/%EF%BF%BD%EF%BF%BD", "")
        .await
        .expect_problem(404, "topic_not_found");
    let long = "%ff".repeat(256);
    broker
        .http("GET", &format!("/v1/topics/{long}"), "")
        .await
        .expect_problem(400, "invalid_request");
}
