//! One topic is the same topic at every door.

use super::*;

#[actix_web::test]
async fn the_queue_of_a_topic_is_known_by_the_topics_name() {
    let broker = TestBroker::start().await;
    broker.http("POST", "/v1/topics", r#"{"name":"jobs"}"#).await.expect(201);
    broker.http("POST", "/v1/topics/jobs/messages", r#"{"body":"plain"}"#).await.expect(201);
    let json = r#"{"body":"{\"n\": 7}","attributes":{"a":"x","b":5}}"#;
    broker.http("POST", "/v1/topics/jobs/messages", json).await.expect(201);
    let found = consume(&broker, "jobs").await;
    assert_eq!(found[0]["data"], json!({"body": "plain"}));
    assert_eq!((&found[1]["data"], &found[1]["queue_id"]), (&json!({"n": 7}), &json!("jobs")));
    assert_eq!(found[1]["attributes"], json!({"a": "x", "b": "5"}));
    assert_eq!(found[0]["expired_at"], json!("9999-12-31T23:59:59.999999"));
    for message in &found {
        settle(&broker, message, "ack").await;
    }
    let topic = broker.http("GET", "/v1/topics/jobs", "").await.expect(200);
    assert_eq!(topic["queues"][0]["in_flight"], json!(0), "{topic}");
    assert_eq!(show(&broker, "jobs").await["topic_id"], json!("jobs"));
    // Its settings may be changed, its place may not.
    let updated = update(&broker, "jobs", json!({})).await;
    assert_eq!((&updated["id"], &updated["topic_id"]), (&json!("jobs"), &json!("jobs")));
}

#[actix_web::test]
async fn any_queue_of_a_topic_is_known_by_both_names() {
    let broker = TestBroker::start().await;
    broker.http("POST", "/v1/topics", r#"{"name":"t","queues":[]}"#).await.expect(201);
    broker.http("PUT", "/v1/topics/t/queues/inner", "").await.expect(201);
    let shown = show(&broker, "t%2Finner").await;
    assert_eq!((&shown["id"], &shown["topic_id"]), (&json!("t/inner"), &json!("t")));
    let made = publish(&broker, "t", 1).await;
    assert_eq!(made[0]["queue_id"], json!("t/inner"));
    assert_eq!(numbers(&consume(&broker, "t%2Finner").await), [1]);
    assert_eq!(send(&broker, "GET", "/queues/t", &Value::Null).await.status, 404);
    // A name without a topic comes first.
    queue(&broker, "t", json!({})).await;
    assert_eq!(show(&broker, "t").await["topic_id"], Value::Null);
    let path = "/queues/t%2Finner/messages/x";
    assert_eq!(send(&broker, "GET", path, &Value::Null).await.status, 404);
}

#[actix_web::test]
async fn acking_one_queues_place_leaves_the_others() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "a", json!({"topic_id": "t"})).await;
    queue(&broker, "b", json!({"topic_id": "t"})).await;
    // The native door publishes one message that both queues share.
    broker.http("POST", "/v1/topics/t/messages", r#"{"body":"{\"n\":1}"}"#).await.expect(201);
    let (a, b) = (consume(&broker, "a").await, consume(&broker, "b").await);
    assert_ne!(a[0]["id"], b[0]["id"]);
    settle(&broker, &a[0], "ack").await;
    settle(&broker, &b[0], "nack").await;
    assert_eq!(numbers(&consume(&broker, "b").await), [1]);
    settle(&broker, &a[0], "nack").await;
    assert_eq!(consume(&broker, "a").await, [Value::Null; 0]);
    settle(&broker, &b[0], "ack").await;
    // A native message in one queue is found by its native id as well.
    update(&broker, "b", json!({})).await;
    let placed =
        broker.http("POST", "/v1/topics/t/messages", r#"{"body":"{\"n\":2}"}"#).await.expect(201);
    settle(&broker, &placed, "ack").await;
    assert_eq!(consume(&broker, "a").await, [Value::Null; 0]);
}

#[actix_web::test]
async fn messages_published_here_are_received_there() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "q", json!({"topic_id": "t"})).await;
    let body = json!({"data": {"n": 1}, "attributes": {"a": "x"}});
    send(&broker, "POST", "/topics/t/messages", &body).await.expect(201);
    let path = "/v1/topics/t/queues/q/receive?take=true";
    let found = broker.http("POST", path, "").await.expect(200);
    assert_eq!(found["messages"][0]["body"], json!("{\"n\":1}"));
    assert_eq!(found["messages"][0]["attributes"], json!({"a": "x"}));
}

#[actix_web::test]
async fn a_pubsub_topic_takes_messages_and_has_no_queues() {
    let broker = TestBroker::start().await;
    assert_eq!(publish(&broker, "pubsub", 1).await, [Value::Null; 0]);
    let taken = broker.http("POST", "/v1/topics/pubsub/receive?take=true", "").await.expect(200);
    assert_eq!(taken["messages"][0]["body"], json!("{\"n\":1}"));
    let more = settings_of(Some("q"), json!({"topic_id": "pubsub"}));
    let answer = send(&broker, "POST", "/queues", &more).await;
    assert_eq!((answer.status, answer.json()["detail"].is_string()), (422, true));
}

#[actix_web::test]
async fn a_topic_deleted_natively_takes_its_queues_with_it() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "dead", json!({"topic_id": "t"})).await;
    queue(&broker, "q", json!({"dead_queue_id": "dead", "message_max_deliveries": 1})).await;
    broker.http("DELETE", "/v1/topics/t", "").await.expect(204);
    assert_eq!(send(&broker, "GET", "/queues/dead", &Value::Null).await.status, 404);
    assert_eq!(show(&broker, "q").await["dead_queue_id"], Value::Null);
    // The name is free again.
    queue(&broker, "dead", json!({})).await;
}

#[actix_web::test]
async fn the_door_is_found_below_a_path_of_the_native_port() {
    let broker = TestBroker::start_with(&["fastqueue.mount=/fq", "fastqueue.listen="]).await;
    let json = [("content-type", "application/json")];
    let native = broker.door("http");
    let at = async |method: &str, path: &str, body: &str| {
        http(native, method, path, &json, body.as_bytes()).await
    };
    at("POST", "/fq/topics", r#"{"id":"t"}"#).await.expect(201);
    assert_eq!(at("GET", "/fq/topics/t", "").await.expect(200)["id"], json!("t"));
    assert_eq!(at("GET", "/fq/nope", "").await.expect(404), json!({"detail": "Not Found"}));
    let away = at("GET", "/fq/topics/", "").await;
    assert!(away.head.contains("/fq/topics\r\n"), "{}", away.head);
    let document = at("GET", "/fq/openapi.json", "").await.expect(200);
    assert_eq!(document["servers"][0]["url"], json!("/fq"));
    at("GET", "/topics", "").await.expect_problem(404, "not_found");
    at("GET", "/v1/topics/t", "").await.expect(200);
}

#[actix_web::test]
async fn a_trace_is_kept_with_its_message_and_handed_out() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "q", json!({"topic_id": "t"})).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let sent = async |trace: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("traceparent", trace)];
        let body = body.to_string();
        let door = broker.door("fastqueue");
        http(door, "POST", "/topics/t/messages", &headers, body.as_bytes()).await.expect(201)
    };
    let got = async |limit: u32| {
        let path = format!("/queues/q/messages?limit={limit}");
        send(&broker, "GET", &path, &Value::Null).await
    };
    let has =
        |answer: &Answer| answer.head.lines().any(|line| line == format!("traceparent: {trace}"));
    let made = sent(trace, json!({"data": {}, "attributes": {"a": "b"}})).await;
    let attributes = json!({"traceparent": trace, "a": "b"});
    assert_eq!(made["data"][0]["attributes"], attributes);
    let answer = got(1).await;
    assert!(has(&answer), "{}", answer.head);
    assert_eq!(answer.expect(200)["data"][0]["attributes"], attributes);
    // What is no trace is none; two messages have no header in common.
    let made = sent("00-nonsense", json!({"data": {}})).await;
    assert_eq!(made["data"][0]["attributes"], Value::Null);
    sent(trace, json!({"data": {}})).await;
    let answer = got(2).await;
    assert!(!answer.head.contains("traceparent"), "{}", answer.head);
    assert_eq!(answer.expect(200)["data"][1]["attributes"], json!({"traceparent": trace}));
}
