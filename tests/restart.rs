//! What was confirmed is there after an orderly restart, and after a kill.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/process.rs"]
mod process;

use common::{Answer, TestBroker, eventually};
use process::{Http, Otq, Process};
use serde_json::{Value, json};

async fn publish(broker: &TestBroker, topic: &str, message: Value) -> Value {
    broker
        .http("POST", &format!("/v1/topics/{topic}/messages"), &message.to_string())
        .await
        .expect(201)
}

async fn receive(broker: &TestBroker, topic: &str, query: &str) -> Vec<Value> {
    let path = format!("/v1/topics/{topic}/receive?{query}");
    broker.http("POST", &path, "").await.expect(200)["messages"].as_array().unwrap().clone()
}

async fn show(broker: &TestBroker, topic: &str) -> Value {
    broker.http("GET", &format!("/v1/topics/{topic}"), "").await.expect(200)
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

async fn restart(broker: TestBroker) -> TestBroker {
    let folder = broker.stop().await;
    TestBroker::start_in(folder, &[]).await
}

#[actix_web::test]
async fn messages_keep_their_order_and_everything_about_them() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 3 BATCH\r\na\r\n\r\nc\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    publish(
        &broker,
        "default",
        json!({"base64": "AP8NCg==", "attributes": {"k": [1, "two"]}, "id": "mine"}),
    )
    .await;
    publish(&broker, "default", json!({"body": "first", "front": true})).await;
    publish(&broker, "default", json!({"body": "urgent", "priority": 9})).await;
    let large = "x".repeat(1_000_000);
    publish(&broker, "default", json!({ "body": large })).await;
    let published_at = {
        let shown = publish(&broker, "default", json!({"body": "last"})).await;
        shown["seq"].as_u64().unwrap()
    };

    let broker = restart(broker).await;
    let got = receive(&broker, "default", "max=100").await;
    let text: Vec<Option<&str>> = got.iter().map(|message| message["body"].as_str()).collect();
    let expected = [
        Some("urgent"),
        Some("first"),
        Some("a"),
        Some(""),
        Some("c"),
        None,
        Some(large.as_str()),
        Some("last"),
    ];
    assert_eq!(text, expected);
    assert_eq!(got[5]["base64"], "AP8NCg==");
    assert_eq!(got[5]["attributes"], json!({"k": [1, "two"]}));
    assert_eq!(got[5]["id"], "mine");
    assert_eq!(got[7]["seq"], published_at);
    assert!(got.iter().all(|message| message["attempt"] == 1));
    // Numbers go on from where they were.
    let next = publish(&broker, "default", json!({"body": "later"})).await;
    assert!(next["seq"].as_u64().unwrap() > published_at);
}

#[actix_web::test]
async fn what_was_acked_taken_cleared_or_expired_does_not_come_back() {
    let broker = TestBroker::start().await;
    for body in ["taken", "acked", "in flight", "left"] {
        publish(&broker, "default", json!({ "body": body })).await;
    }
    publish(&broker, "default", json!({"body": "expires", "ttl_ms": 1})).await;
    assert_eq!(bodies(&receive(&broker, "default", "take=true").await), ["taken"]);
    let acked = receive(&broker, "default", "").await;
    let ack = json!({ "receipt": acked[0]["receipt"] }).to_string();
    broker.http("POST", "/v1/topics/default/ack", &ack).await.expect(204);
    let in_flight = receive(&broker, "default", "ack_deadline_ms=3600000").await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW cleared BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT cleared 1 BATCH\r\nx\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ CLEAR cleared\r\n", "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n").await;

    let broker = restart(broker).await;
    let now = receive(&broker, "default", "max=9").await;
    // What was in flight is back in its place, and the old receipt is no good.
    assert_eq!(bodies(&now), ["in flight", "left"]);
    let late = json!({ "receipt": in_flight[0]["receipt"] }).to_string();
    broker.http("POST", "/v1/topics/default/ack", &late).await.expect_problem(409, "receipt_gone");
    assert_eq!(show(&broker, "cleared").await["queues"][0]["ready"], 0);
    let gone: Answer = broker.http("POST", "/v1/topics/default/ack", &ack).await;
    gone.expect_problem(409, "receipt_gone");
}

#[actix_web::test]
async fn failed_attempts_delays_and_dead_letters_are_remembered() {
    let broker = TestBroker::start().await;
    let topic =
        json!({"name": "work", "queues": [{"name": "default", "policy": {"max_deliveries": 2}}]});
    broker.http("POST", "/v1/topics", &topic.to_string()).await.expect(201);
    publish(&broker, "work", json!({"body": "fails"})).await;
    publish(&broker, "work", json!({"body": "delayed", "delay_ms": 3_600_000})).await;
    let nack = |message: &Value| json!({"receipt": message["receipt"], "error": "no"}).to_string();
    let failed = receive(&broker, "work", "").await;
    broker.http("POST", "/v1/topics/work/nack", &nack(&failed[0])).await.expect(204);

    let broker = restart(broker).await;
    let again = receive(&broker, "work", "max=9").await;
    assert_eq!((bodies(&again), &again[0]["attempt"]), (vec!["fails"], &json!(2)));
    broker.http("POST", "/v1/topics/work/nack", &nack(&again[0])).await.expect(204);

    let broker = restart(broker).await;
    let queue = show(&broker, "work").await["queues"][0].clone();
    assert_eq!(
        (&queue["ready"], &queue["delayed"], &queue["dead"]),
        (&json!(0), &json!(1), &json!(1))
    );
    assert_eq!(queue["policy"]["max_deliveries"], 2);
}

#[actix_web::test]
async fn topics_queues_users_and_their_rights_are_remembered() {
    let broker = TestBroker::start().await;
    let mut admin = broker.login_otq().await;
    for new in ["OTQ NEW zz BROKER 7\r\n", "OTQ NEW aa PUBSUB\r\n", "OTQ NEW gone BROKER\r\n"] {
        admin.exchange(new, "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    }
    broker.http("PUT", "/v1/topics/zz/queues/second", "").await.expect(201);
    broker.http("DELETE", "/v1/topics/gone", "").await.expect(204);
    broker.http("DELETE", "/v1/topics/default", "").await.expect(204);
    broker.http("PUT", "/v1/users/ann", r#"{"password":"pw","topics":["hers"]}"#).await.expect(204);
    broker.http("PUT", "/v1/users/admin", r#"{"password":"better"}"#).await.expect(204);
    let mut ann = broker.connect_otq().await;
    ann.exchange("OTQ CONNECT ann pw\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
    ann.exchange("OTQ NEW hers BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    broker.http("PUT", "/v1/users/ann", r#"{"password":"pw","topics":[]}"#).await.expect(204);
    let topics = broker.http("GET", "/v1/topics", "").await.expect(200);

    let broker = restart(broker).await;
    assert_eq!(broker.http("GET", "/v1/topics", "").await.expect(200), topics);
    let names: Vec<_> =
        topics["topics"].as_array().unwrap().iter().map(|topic| &topic["name"]).collect();
    // The topics of the first start are not made again.
    assert_eq!(names, ["pubsub", "zz", "aa", "hers"]);
    let mut otq = broker.connect_otq().await;
    otq.exchange("OTQ CONNECT admin password\r\n", "DECLINE:Unauthorized access\nENDOFRESP\r\n")
        .await;
    let mut otq = broker.connect_otq().await;
    otq.exchange("OTQ CONNECT admin better\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
    let mut ann = broker.connect_otq().await;
    ann.exchange("OTQ CONNECT ann pw\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
    // Its maker still owns it.
    ann.exchange("OTQ PUT hers 1 BATCH\r\nx\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    ann.exchange("OTQ GET zz 1 BATCH\r\n", "DECLINE:Unauthorized access\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn the_backlog_of_a_pubsub_topic_waits_and_what_was_pushed_does_not_come_again() {
    let broker = TestBroker::start().await;
    let mut subscriber = broker.login_otq().await;
    subscriber.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\n").await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT pubsub 1 BATCH\r\npushed\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    subscriber.expect("pushed\n").await;
    drop(subscriber);
    eventually("no subscriber", async || {
        (show(&broker, "pubsub").await["subscribers"] == 0).then_some(())
    })
    .await;
    otq.exchange("OTQ PUT pubsub 2 BATCH\r\nw1\r\nw2\r\n", "PROCEED\r\nENDOFRESP\r\n").await;

    let broker = restart(broker).await;
    let mut subscriber = broker.login_otq().await;
    subscriber.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\nw1\nw2\n").await;
}

#[actix_web::test]
async fn a_lifespan_goes_on_and_a_dedup_key_is_remembered() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 1 BATCH 1\r\nshort\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let first = publish(&broker, "default", json!({"body": "once", "dedup_key": "k"})).await;

    let broker = restart(broker).await;
    let again = publish(&broker, "default", json!({"body": "once", "dedup_key": "k"})).await;
    assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &first["seq"]));
    eventually("the short one expires", async || {
        (show(&broker, "default").await["queues"][0]["ready"] == 1).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_memory_topic_is_there_and_empty() {
    let broker = TestBroker::start().await;
    let topic = r#"{"name":"fast","policy":{"durability":"memory"}}"#;
    broker.http("POST", "/v1/topics", topic).await.expect(201);
    publish(&broker, "fast", json!({"body": "x"})).await;
    let broker = restart(broker).await;
    let shown = show(&broker, "fast").await;
    assert_eq!((&shown["durability"], &shown["queues"][0]["ready"]), (&json!("memory"), &json!(0)));
    publish(&broker, "fast", json!({"body": "y"})).await;
    assert_eq!(bodies(&receive(&broker, "fast", "max=9").await), ["y"]);
}

#[actix_web::test]
async fn many_restarts_change_nothing() {
    let mut broker = TestBroker::start().await;
    for round in 0..5 {
        publish(&broker, "default", json!({ "body": round.to_string() })).await;
        broker = restart(broker).await;
    }
    assert_eq!(bodies(&receive(&broker, "default", "max=9").await), ["0", "1", "2", "3", "4"]);
}

#[test]
fn sync_and_async_confirmations_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &["store.sync_interval_ms=60000"]);
    let mut http = Http::connect(broker.http).unwrap();
    for level in ["sync", "async", "memory"] {
        let new = json!({"name": level, "policy": {"durability": level}}).to_string();
        assert_eq!(http.ask("POST", "/v1/topics", &new).unwrap().0, 201);
        let messages =
            json!([{"body": "acked"}, {"body": "taken"}, {"body": "in flight"}, {"body": "left"}]);
        let path = format!("/v1/topics/{level}/messages");
        let (status, placed) = http.ask("POST", &path, &messages.to_string()).unwrap();
        assert_eq!((status, &placed["results"][3]["durability"]), (200, &json!(level)));
        let (_, received) = http.ask("POST", &format!("/v1/topics/{level}/receive"), "").unwrap();
        let ack = json!({ "receipt": received["messages"][0]["receipt"] }).to_string();
        assert_eq!(http.ask("POST", &format!("/v1/topics/{level}/ack"), &ack).unwrap().0, 204);
        let mut otq = Otq::login(broker.otq).unwrap();
        assert_eq!(otq.get(level, 1).unwrap(), ["taken"]);
        let receive = format!("/v1/topics/{level}/receive?ack_deadline_ms=3600000");
        let (_, received) = http.ask("POST", &receive, "").unwrap();
        assert_eq!(received["messages"][0]["body"], "in flight");
    }
    let user = r#"{"password":"pw","topics":["sync"]}"#;
    assert_eq!(http.ask("PUT", "/v1/users/ann", user).unwrap().0, 204);
    let mut otq = Otq::login(broker.otq).unwrap();
    otq.send("OTQ PUT pubsub 1 BATCH\r\nbacklog\r\n").unwrap();
    assert_eq!((otq.line().unwrap(), otq.line().unwrap()), ("PROCEED".into(), "ENDOFRESP".into()));
    broker.kill();

    let broker = Process::start(folder.path(), &[]);
    let mut otq = Otq::login(broker.otq).unwrap();
    assert_eq!(otq.get("sync", 9).unwrap(), ["in flight", "left"]);
    assert_eq!(otq.get("async", 9).unwrap(), ["in flight", "left"]);
    assert_eq!(otq.get("memory", 9).unwrap(), [""; 0]);
    assert_eq!(otq.get("pubsub", 9).unwrap(), ["backlog"]);
    otq.send("OTQ CONNECT ann pw\r\n").unwrap();
    assert_eq!(otq.line().unwrap(), "CONNECTED");
    broker.stop();
}

#[test]
fn a_take_is_final_at_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let broker = Process::start(folder.path(), &[]);
        let mut otq = Otq::login(broker.otq).unwrap();
        assert_eq!(otq.get("default", 9).unwrap(), [""; 0], "round {round}");
        otq.send("OTQ PUT default 2 BATCH\r\na\r\nb\r\n").unwrap();
        assert_eq!(
            (otq.line().unwrap(), otq.line().unwrap()),
            ("PROCEED".into(), "ENDOFRESP".into())
        );
        assert_eq!(otq.get("default", 2).unwrap(), ["a", "b"]);
        broker.kill();
    }
}
