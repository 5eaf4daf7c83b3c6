//! One topic is the same topic at every door.

use super::common::{TestBroker, eventually};
use super::{NIL, OK, connect, dialogue, line};

#[actix_web::test]
async fn a_queue_of_okq_is_a_topic_at_the_other_doors() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    dialogue(&mut okq, &[("QLPUSH jobs mine hello", OK), ("QREGISTER jobs", OK)]).await;
    let shown = broker.http("GET", "/v1/topics/jobs", "").await.expect(200);
    let queue = &shown["queues"][0];
    assert_eq!((&queue["name"], &queue["ready"]), (&"default".into(), &1.into()), "{shown}");
    assert_eq!(queue["consumers"], 1, "{shown}");
    let policy = &queue["policy"];
    assert_eq!((&policy["returns"], &policy["max_deliveries"]), (&"front".into(), &0.into()));
    assert_eq!(
        (&policy["ack_deadline_ms"], &shown["durability"]),
        (&30_000.into(), &"sync".into())
    );
    let got = broker.http("POST", "/v1/topics/jobs/receive", "").await.expect(200);
    assert_eq!(
        (&got["messages"][0]["id"], &got["messages"][0]["body"]),
        (&"mine".into(), &"hello".into())
    );
    // Acks are not tied to whoever popped it.
    dialogue(
        &mut okq,
        &[
            ("QSTATUS jobs", "*1\r\n*4\r\n$4\r\njobs\r\n:1\r\n:1\r\n:1\r\n"),
            ("QACK jobs mine", ":1\r\n"),
        ],
    )
    .await;
    let metrics = broker.http("GET", "/metrics", "").await.text();
    assert!(metrics.contains("octoq_consumers{topic=\"jobs\"} 1\n"), "{metrics}");
    assert!(metrics.contains("octoq_connections{door=\"okq\"} 1\n"), "{metrics}");
    drop(okq);
    eventually("no consumer", async || {
        let shown = broker.http("GET", "/v1/topics/jobs", "").await.expect(200);
        (shown["queues"][0]["consumers"] == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_message_of_another_door_is_known_by_the_id_octoq_made() {
    let broker = TestBroker::start().await;
    let placed = broker.http("POST", "/v1/topics/default/messages", r#"{"body":"hi"}"#).await;
    let id = placed.expect(201)["id"].as_str().unwrap().to_owned();
    let mut okq = connect(&broker).await;
    let event = format!("*2\r\n$36\r\n{id}\r\n$2\r\nhi\r\n");
    okq.exchange(line("QRPEEK default"), &event).await;
    okq.exchange(line("QRPOP default"), &event).await;
    okq.exchange(line(&format!("QACK default {id} REDO")), ":1\r\n").await;
    okq.exchange(line(&format!("QACK default {id}")), ":1\r\n").await;
    okq.exchange(line(&format!("QACK default {id}")), ":0\r\n").await;
}

#[actix_web::test]
async fn ids_of_the_shape_that_octoq_makes_are_the_publishers_own() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    for id in ["01a1fdbd-30b5-700e-8870-000000000001", "01A1FDBD-30B5-700E-8870-00000000000A"] {
        okq.exchange(line(&format!("QLPUSH q {id} x")), OK).await;
        okq.exchange(line("QRPOP q"), format!("*2\r\n$36\r\n{id}\r\n$1\r\nx\r\n")).await;
        okq.exchange(line(&format!("QACK q {id} REDO")), ":1\r\n").await;
        okq.exchange(line(&format!("QACK q {id}")), ":1\r\n").await;
    }
}

#[actix_web::test]
async fn a_name_with_a_slash_is_another_queue_of_a_topic_that_has_one() {
    let broker = TestBroker::start().await;
    let body = r#"{"name":"orders","queues":[{"name":"default"},{"name":"audit"}]}"#;
    broker.http("POST", "/v1/topics", body).await.expect(201);
    let mut okq = connect(&broker).await;
    let event = |id: &str| format!("*2\r\n$1\r\n{id}\r\n$1\r\nx\r\n");
    dialogue(
        &mut okq,
        &[
            ("QLPUSH orders 1 x", OK),
            ("QLPUSH orders/audit 2 x", OK),
            ("QRPOP orders", &event("1")),
            ("QRPOP orders", NIL),
            ("QRPOP orders/audit", &event("1")),
            ("QRPOP orders/audit", &event("2")),
            ("QACK orders/audit 2", ":1\r\n"),
            ("QSTATUS orders/audit", "*1\r\n*4\r\n$12\r\norders/audit\r\n:1\r\n:1\r\n:0\r\n"),
            ("QLPUSH orders/none 3 x", OK),
            ("QRPOP orders/none", &event("3")),
        ],
    )
    .await;
    let info = "*3\r\n$50\r\norders        total: 1  processing: 1  consumers: 0\r\n"
        .replace("$50", "$51")
        + "$51\r\norders/audit  total: 1  processing: 1  consumers: 0\r\n"
        + "$51\r\norders/none   total: 1  processing: 1  consumers: 0\r\n";
    okq.exchange(line("QINFO"), info).await;
}

#[actix_web::test]
async fn a_queue_without_a_name_is_a_queue() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    okq.exchange("*4\r\n$6\r\nQLPUSH\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n", OK).await;
    okq.exchange(line("QSTATUS"), "*1\r\n*4\r\n$0\r\n\r\n:1\r\n:0\r\n:0\r\n").await;
    okq.exchange("*2\r\n$5\r\nQRPOP\r\n$0\r\n\r\n", "*2\r\n$0\r\n\r\n$0\r\n\r\n").await;
    let long = "x".repeat(256);
    let refused = "-ERR too many bytes in the name of a queue: the limit is 255\r\n";
    okq.exchange(line(&format!("QLPUSH {long} 1 x")), refused).await;
    okq.exchange(line(&format!("QRPOP {long}")), refused).await;
}

#[actix_web::test]
async fn a_topic_that_was_deleted_is_made_anew() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    dialogue(&mut okq, &[("QLPUSH q 1 x", OK), ("QREGISTER q", OK)]).await;
    broker.http("DELETE", "/v1/topics/q", "").await.expect(204);
    dialogue(
        &mut okq,
        &[
            ("QRPOP q", NIL),
            ("QACK q 1", ":0\r\n"),
            ("QFLUSH q", OK),
            ("QSTATUS", "*0\r\n"),
            ("QLPUSH q 1 y", OK),
            ("QNOTIFY 9", "$1\r\nq\r\n"),
            ("QSTATUS q", "*1\r\n*4\r\n$1\r\nq\r\n:1\r\n:0\r\n:1\r\n"),
        ],
    )
    .await;
    okq.send(line("QNOTIFY 20")).await;
    okq.expect("$1\r\nq\r\n").await;
    dialogue(&mut okq, &[("QRPOP q NOACK", "*2\r\n$1\r\n1\r\n$1\r\ny\r\n")]).await;
    okq.send(line("QNOTIFY 20")).await;
    eventually("somebody waits", async || {
        let broker = &broker.server.broker;
        let (topics, _) = broker.list_topics(&broker.anonymous(), None, 99).await.unwrap();
        topics.iter().any(|topic| topic.waiters == 1).then_some(())
    })
    .await;
    broker.http("DELETE", "/v1/topics/q", "").await.expect(204);
    let mut other = connect(&broker).await;
    eventually("registered anew", async || {
        other.send(line("QSTATUS q")).await;
        let mut row = String::new();
        for _ in 0..7 {
            row += &other.line().await;
        }
        row.ends_with(":0\r\n:0\r\n:1\r\n").then_some(())
    })
    .await;
    other.exchange(line("QLPUSH q 2 z"), OK).await;
    okq.expect("$1\r\nq\r\n").await;
}

#[actix_web::test]
async fn a_pubsub_topic_can_be_pushed_to_but_lends_nothing() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    dialogue(
        &mut okq,
        &[
            ("QLPUSH pubsub 1 x", OK),
            ("QRPOP pubsub", "-ERR not possible on a topic of this kind\r\n"),
            ("QRPOP pubsub EX 0", "*2\r\n$1\r\n1\r\n$1\r\nx\r\n"),
            ("QSTATUS", "*0\r\n"),
        ],
    )
    .await;
}

#[actix_web::test]
async fn what_was_confirmed_is_there_after_a_restart() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    dialogue(
        &mut okq,
        &[
            ("QLPUSH q a 1", OK),
            ("QLPUSH q b 2", OK),
            ("QRPUSH q c 3", OK),
            ("QRPOP q EX 600", "*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
            ("QACK q b", ":1\r\n"),
        ],
    )
    .await;
    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    let mut okq = connect(&broker).await;
    dialogue(
        &mut okq,
        &[
            ("QLPUSH q a again", "-ERR duplicate event a\r\n"),
            ("QRPOP q", "*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
            ("QRPOP q", "*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
            ("QRPOP q", NIL),
        ],
    )
    .await;
}
