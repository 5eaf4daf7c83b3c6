//! Requests and their replies.

use crate::*;

async fn worker(broker: &TestBroker) -> Client {
    let mut worker = Client::of(broker).await;
    worker.ok(json!({"op": "consume", "topic": "work", "prefetch": 100})).await;
    worker
}

/// Where the reply to a delivery goes.
fn reply_to(delivery: &Value) -> (Value, Value) {
    let attributes = &delivery["attributes"];
    (attributes["reply-to"].clone(), attributes["correlation-id"].clone())
}

fn request(req: u64, body: &str) -> Value {
    let message = json!({"body": body, "attributes": {"own": true}});
    json!({"op": "request", "req": req, "topic": "work", "message": message, "timeout_ms": 60_000})
}

#[actix_web::test]
async fn a_reply_reaches_who_asked_by_the_name_of_the_request() {
    let broker = TestBroker::start().await;
    create(&broker, "work", "broker").await;
    let mut worker = worker(&broker).await;
    let mut askers = [Client::of(&broker).await, Client::of(&broker).await];
    for (at, asker) in askers.iter_mut().enumerate() {
        for req in [1, 2] {
            asker.say(request(req, &format!("{at}-{req}"))).await;
        }
    }
    for _ in 0..4 {
        let delivery = worker.hear().await;
        assert_eq!(delivery["attributes"]["own"], true);
        let (to, correlation) = reply_to(&delivery);
        let text = format!("re {}", delivery["body"].as_str().unwrap());
        let message = json!({"body": text, "attributes": {"b": 2}});
        // Without names: other deliveries may come before the answers.
        let reply =
            json!({"op": "reply", "to": to, "correlation": correlation, "message": message});
        worker.say(reply).await;
        let ack = json!({"op": "ack", "topic": "work", "receipt": delivery["receipt"]});
        worker.say(ack).await;
    }
    for (at, asker) in askers.iter_mut().enumerate() {
        let mut replies = [asker.hear().await, asker.hear().await];
        replies.sort_by_key(|reply| reply["req"].as_u64());
        for (reply, req) in replies.iter().zip([1, 2]) {
            let expected = json!({"type": "reply", "req": req, "body": format!("re {at}-{req}"), "attributes": {"b": 2}});
            assert_eq!(*reply, expected);
        }
    }
    assert_eq!(metric(&broker, "octoq_ws_calls_total{outcome=\"replied\"}").await, 4);
    // No topic was made for it.
    let topics = broker.http("GET", "/v1/topics", "").await.expect(200);
    assert_eq!(topics["topics"].as_array().unwrap().len(), 3, "{topics}");
}

#[actix_web::test]
async fn who_works_over_http_replies_over_http() {
    let broker = TestBroker::start().await;
    create(&broker, "work", "broker").await;
    let mut asker = Client::of(&broker).await;
    asker.say(request(1, "over http")).await;
    let got = broker.http("POST", "/v1/topics/work/receive?wait_ms=5000", "").await.expect(200);
    let (to, correlation) = reply_to(&got["messages"][0]);
    let path = format!("/v1/replies/{}/{}", to.as_str().unwrap(), correlation.as_str().unwrap());
    broker.http("POST", &path, "nonsense").await.expect_problem(400, "invalid_request");
    let later = r#"{"body":"x","delay_ms":1}"#;
    broker.http("POST", &path, later).await.expect_problem(400, "invalid_request");
    assert_eq!(broker.http("POST", &path, r#"{"base64":"/w=="}"#).await.status, 204);
    assert_eq!(asker.hear().await["base64"], "/w==");
    // The first reply is the reply.
    assert_eq!(broker.http("POST", &path, r#"{"body":"again"}"#).await.status, 204);
    assert_eq!(asker.ask(json!({"op": "ping"})).await["type"], "pong");
    eventually("the late one is counted", async || {
        (metric(&broker, "octoq_ws_calls_total{outcome=\"late\"}").await == 1).then_some(())
    })
    .await;
    drop(asker);
    eventually("the address is gone with who asked", async || {
        let answer = broker.http("POST", &path, r#"{"body":"gone"}"#).await;
        (answer.status == 404).then(|| answer.expect_problem(404, "reply_gone"))
    })
    .await;
}

#[actix_web::test]
async fn a_request_that_nobody_answers_ends_in_time_and_leaves_nothing() {
    let broker = TestBroker::start().await;
    create(&broker, "work", "broker").await;
    let mut asker = Client::of(&broker).await;
    let message = json!({"body": "x"});
    let frame = json!({"op": "request", "topic": "work", "message": message, "timeout_ms": 30});
    asker.refused(frame, "timeout").await;
    // The message has ended with the wait.
    until(&broker, "work", "/queues/0/ready", json!(0)).await;
    assert_eq!(metric(&broker, "octoq_ws_calls_total{outcome=\"timed_out\"}").await, 1);
}

#[actix_web::test]
async fn a_subscriber_of_a_pubsub_topic_may_reply_too() {
    let broker = TestBroker::start().await;
    let (mut asker, mut other) = (Client::of(&broker).await, Client::of(&broker).await);
    other.ok(json!({"op": "subscribe", "topic": "pubsub"})).await;
    asker
        .say_binary(
            json!({"op": "request", "req": "b", "topic": "pubsub", "timeout_ms": 60_000}),
            b"\xff",
        )
        .await;
    let push = other.hear().await;
    assert_eq!(push["base64"], "/w==");
    let (to, correlation) = reply_to(&push);
    other.say_binary(json!({"op": "reply", "to": to, "correlation": correlation}), b"\xfe").await;
    let (head, body) = asker.hear_binary().await;
    assert_eq!((head, body), (json!({"type": "reply", "req": "b"}), vec![0xfe]));
}

#[actix_web::test]
async fn what_cannot_be_asked_or_replied_is_refused() {
    let broker = TestBroker::start_with(&[
        "ws.calls_max=2",
        "ws.reply_wait_max_s=60",
        "limits.body_bytes_max=100",
    ])
    .await;
    create(&broker, "work", "broker").await;
    let mut asker = Client::of(&broker).await;
    let ask = |timeout_ms: u64, message: Value| json!({"op": "request", "topic": "work", "message": message, "timeout_ms": timeout_ms});
    asker.refused(ask(60_001, json!({"body": ""})), "invalid_request").await;
    let taken = json!({"body": "", "attributes": {"correlation-id": 1}});
    asker.refused(ask(60_000, taken), "invalid_request").await;
    asker.refused(ask(60_000, json!({"body": "x".repeat(101)})), "too_large").await;
    for req in [1, 2] {
        asker.say(request(req, "waits")).await;
    }
    asker.refused(ask(60_000, json!({"body": ""})), "too_many").await;
    let mut worker = worker(&broker).await;
    let (to, correlation) = reply_to(&worker.hear().await);
    let reply = |to: &Value, body: &str| json!({"op": "reply", "to": to, "correlation": correlation, "message": {"body": body}});
    worker.hear().await;
    worker.refused(reply(&json!("0123456789abcdef0123456789abcdef"), "x"), "reply_gone").await;
    worker.refused(reply(&to, &"x".repeat(101)), "too_large").await;
    worker.ok(reply(&to, "x")).await;
    assert_eq!(asker.hear().await["type"], "reply");
}
