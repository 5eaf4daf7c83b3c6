//! The door's topics at other doors, the topics of other doors here, and both after a restart.

use crate::common::*;
use crate::{ask, counts, create, messages, publish, read};
use serde_json::json;

#[actix_web::test]
async fn a_subscriber_is_a_queue_of_the_topic() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let topic = broker.http("GET", "/v1/topics/t", "").await.expect(200);
    let policy = &topic["queues"][0]["policy"];
    assert_eq!((&topic["kind"], &topic["queues"][0]["name"]), (&json!("broker"), &json!("s")));
    assert_eq!(
        (&policy["max_deliveries"], &policy["ack_deadline_ms"]),
        (&json!(2), &json!(300_000))
    );
    assert_eq!(policy["returns"], "back");

    publish(&broker, "t", "m").await;
    let got = broker.http("POST", "/v1/topics/t/queues/s/receive", "").await.expect(200);
    assert_eq!(got["messages"][0]["body"], "m");
    assert_eq!(counts(&broker, "t", "s").await, (0, 1));
    // What was received there can be acked here.
    let path =
        format!("/topics/t/subscribers/s/messages/{}", got["messages"][0]["id"].as_str().unwrap());
    ask(&broker, "DELETE", &path, "").await.expect(200);
    assert_eq!(counts(&broker, "t", "s").await, (0, 0));
}

#[actix_web::test]
async fn a_topic_of_octoque_has_the_subscriber_default() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 1 BATCH\r\n", "PROCEED\r\n").await;
    otq.exchange("from octoque\r\n", "ENDOFRESP\r\n").await;
    assert_eq!(messages(&read(&broker, "default", "default").await), ["from octoque"]);
    publish(&broker, "default", "from blockqueue").await;
    otq.exchange("OTQ GET default 1 BATCH\r\n", "PROCEED\r\nfrom blockqueue\r\nENDOFRESP\r\n")
        .await;
}

/// Bodies that are no text are shown as base64 and say so; ids a path cannot hold are encoded.
#[actix_web::test]
async fn what_blockqueue_does_not_know_is_shown_as_well_as_can_be() {
    let broker = TestBroker::start().await;
    let odd = json!({"base64": "//4=", "id": "odd/id %"}).to_string();
    broker.http("POST", "/v1/topics/default/messages", &odd).await.expect(201);
    broker.http("POST", "/v1/topics/default/messages", r#"{"json":{"a":1}}"#).await.expect(201);
    let got = read(&broker, "default", "default").await;
    assert_eq!(got[0], json!({"id": "odd%2Fid%20%25", "message": "//4=", "encoding": "base64"}));
    assert_eq!(got[1]["message"], r#"{"a":1}"#);
    // As it was shown, or encoded once more by a careful client: both mean the message.
    let path = "/topics/default/subscribers/default/messages";
    let odd_id = ask(&broker, "DELETE", &format!("{path}/odd%252Fid%2520%2525"), "").await;
    odd_id.expect(200);
    let ids = json!([got[1]["id"], "odd%2Fid%20%25"]).to_string();
    ask(&broker, "DELETE", &format!("{path}/batch"), &ids).await.expect(200);
    assert_eq!(counts(&broker, "default", "default").await, (0, 0));
}

#[actix_web::test]
async fn a_pubsub_topic_can_be_published_to_and_has_no_subscribers() {
    let broker = TestBroker::start().await;
    publish(&broker, "pubsub", "news").await;
    let status = ask(&broker, "GET", "/topics/pubsub/subscribers", "").await;
    assert_eq!(status.text(), r#"{"message":"success","data":[]}"#);
    let answer = ask(&broker, "GET", "/topics/pubsub/subscribers/default?timeout=1s", "").await;
    assert_eq!(answer.expect(500)["error"], "listener not found");
    let answer = ask(&broker, "POST", "/topics/pubsub/subscribers", r#"[{"name":"s"}]"#).await;
    assert_eq!(answer.expect(409)["message"], "failure");
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ GET pubsub 1 BATCH\r\n", "PROCEED\r\nnews\r\nENDOFRESP\r\n").await;
}

/// Unread messages, messages that were read, dead letters and options survive; what was acked does not.
#[actix_web::test]
async fn everything_survives_a_restart() {
    let broker = TestBroker::start().await;
    let option = json!({"max_attempts": 1, "visibility_duration": "200ms"});
    let list = json!([{"name": "s"}, {"name": "short", "option": option}]);
    let body = json!({"name": "t", "subscribers": list}).to_string();
    ask(&broker, "POST", "/topics", &body).await.expect(200);
    for message in ["acked", "read", "unread"] {
        publish(&broker, "t", message).await;
    }
    let late = r#"[{"name":"late"},{"name":"later"}]"#;
    ask(&broker, "POST", "/topics/t/subscribers", late).await.expect(200);
    let twice = r#"[{"name":"never"},{"name":"late"}]"#;
    ask(&broker, "POST", "/topics/t/subscribers", twice).await.expect(500);
    let got = broker.http("POST", "/v1/topics/t/queues/s/receive?max=2", "").await.expect(200);
    let id = got["messages"][0]["id"].as_str().unwrap();
    ask(&broker, "DELETE", &format!("/topics/t/subscribers/s/messages/{id}"), "").await.expect(200);
    for _ in 0..2 {
        let mut left = 3;
        while left > 0 {
            left -= read(&broker, "t", "short").await.len();
        }
    }
    eventually("all three are dead", async || {
        (counts(&broker, "t", "short").await == (0, 0)).then_some(())
    })
    .await;

    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    assert_eq!(counts(&broker, "t", "s").await, (2, 0));
    let status = ask(&broker, "GET", "/topics/t/subscribers", "").await.expect(200);
    let names: Vec<_> =
        status["data"].as_array().unwrap().iter().map(|status| &status["name"]).collect();
    assert_eq!(names, ["s", "short", "late", "later"]);
    let got = read(&broker, "t", "s").await;
    assert_eq!(messages(&got), ["read", "unread"]);
    let dead = ask(&broker, "GET", "/topics/t/subscribers/short/dlq", "").await.expect(200);
    let dead = dead["data"].as_array().unwrap().clone();
    assert_eq!(messages(&dead), ["acked", "read", "unread"]);
    let id = dead[1]["id"].as_str().unwrap();
    assert_eq!(dead[1]["id"], got[0]["id"], "one id at every subscriber");
    ask(&broker, "POST", &format!("/topics/t/subscribers/short/dlq/{id}/replay"), "")
        .await
        .expect(200);
    assert_eq!(messages(&read(&broker, "t", "short").await), ["read"]);
}

#[actix_web::test]
async fn a_trace_is_kept_with_its_message_and_handed_out() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let door = broker.door("blockqueue");
    let sent = async |path: &str, body: &str| {
        http(door, "POST", path, &[("traceparent", trace)], body.as_bytes()).await.expect(200)
    };
    let got = async || ask(&broker, "GET", "/topics/t/subscribers/s?timeout=0s", "").await;
    sent("/topics/t/messages", r#"{"message":"one"}"#).await;
    let answer = got().await;
    assert_eq!(answer.expect(200)["data"][0]["message"], "one");
    let line = format!("traceparent: {trace}");
    assert!(answer.head.lines().any(|found| found == line), "{}", answer.head);
    // Several have it as their attribute only.
    sent("/topics/t/messages/batch", r#"[{"message":"two"},{"message":"three"}]"#).await;
    let answer = broker.http("POST", "/v1/topics/t/queues/s/receive?max=1", "").await.expect(200);
    assert_eq!(answer["messages"][0]["attributes"], json!({"traceparent": trace}));
    publish(&broker, "t", "four").await;
    let answer = got().await;
    assert_eq!(answer.expect(200)["data"].as_array().unwrap().len(), 2);
    assert!(!answer.head.contains("traceparent"), "{}", answer.head);
}
