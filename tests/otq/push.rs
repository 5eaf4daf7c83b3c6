//! Subscriptions: backlog, live messages, keep-alive, and every way out.

use super::common::{TestBroker, Wire, eventually};
use super::{dialogue, expect_connections, expect_open, expect_subscribers, login_as};

async fn put(otq: &mut Wire, topic: &str, rows: &[&str]) {
    let lines: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
    let command = format!("OTQ PUT {topic} {} BATCH\r\n{lines}", rows.len());
    otq.exchange(command, "PROCEED\r\nENDOFRESP\r\n").await;
}

async fn subscriber(broker: &TestBroker) -> Wire {
    let mut wire = broker.login_otq().await;
    wire.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\n").await;
    wire
}

/// The next line that is no keep-alive.
async fn expect_behind_blanks(otq: &mut Wire, expected: &str) {
    loop {
        let line = otq.line().await;
        if line != "\n" {
            assert_eq!(line, expected);
            return;
        }
    }
}

#[actix_web::test]
async fn worked_transcript_of_a_subscriber() {
    let broker = TestBroker::start_with(&["otq.keep_alive_s=1"]).await;
    let mut publisher = broker.login_otq().await;
    put(&mut publisher, "pubsub", &["b1", "b2"]).await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\n").await;
    otq.expect("b1\nb2\n").await;
    otq.expect("\n").await;
    otq.send("ACKNOWLEDGE\n").await;
    put(&mut publisher, "pubsub", &["live1"]).await;
    expect_behind_blanks(&mut otq, "live1\n").await;
    otq.send("OTQ UNSUBSCRIBE pubsub\r\n").await;
    expect_behind_blanks(&mut otq, "PROCEED\r\n").await;
    otq.exchange("OTQ PING pubsub\r\n", "PONG\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn the_backlog_goes_to_the_first_subscriber_and_live_messages_to_all() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    put(&mut publisher, "pubsub", &["1", "2"]).await;
    publisher.exchange("OTQ GET pubsub 1 BATCH\r\n", "PROCEED\r\n1\r\nENDOFRESP\r\n").await;
    let mut first = subscriber(&broker).await;
    first.expect("2\n").await;
    let mut second = subscriber(&broker).await;
    put(&mut publisher, "pubsub", &["3", "", "4"]).await;
    first.expect("3\n\n4\n").await;
    second.expect("3\n\n4\n").await;
    // What went to subscribers is not kept.
    publisher.exchange("OTQ GET pubsub 9 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn a_large_backlog_comes_whole_and_in_order() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    let rows: Vec<String> = (0..3000).map(|row| format!("{row:0100}")).collect();
    let lines: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
    let command = format!("OTQ PUT pubsub 3000 BATCH\r\n{lines}");
    publisher.exchange(command, "PROCEED\r\nENDOFRESP\r\n").await;
    let mut otq = subscriber(&broker).await;
    put(&mut publisher, "pubsub", &["live"]).await;
    otq.expect(rows.join("\n") + "\nlive\n").await;
}

#[actix_web::test]
async fn when_the_last_subscriber_has_gone_messages_wait() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    let first = subscriber(&broker).await;
    let mut second = subscriber(&broker).await;
    drop(first);
    expect_subscribers(&broker, "pubsub", 1).await;
    put(&mut publisher, "pubsub", &["to the second"]).await;
    second.expect("to the second\n").await;
    drop(second);
    expect_subscribers(&broker, "pubsub", 0).await;
    put(&mut publisher, "pubsub", &["for whoever comes"]).await;
    let mut third = subscriber(&broker).await;
    third.expect("for whoever comes\n").await;
}

#[actix_web::test]
async fn a_reset_subscriber_is_forgotten() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    let reset = subscriber(&broker).await;
    let mut other = subscriber(&broker).await;
    socket2::SockRef::from(&reset.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(reset);
    put(&mut publisher, "pubsub", &["x"]).await;
    other.expect("x\n").await;
    expect_subscribers(&broker, "pubsub", 1).await;
}

#[actix_web::test]
async fn a_half_closed_subscriber_has_gone() {
    let broker = TestBroker::start().await;
    let mut otq = subscriber(&broker).await;
    tokio::io::AsyncWriteExt::shutdown(&mut otq.stream).await.unwrap();
    otq.expect_close().await;
    expect_subscribers(&broker, "pubsub", 0).await;
}

#[actix_web::test]
async fn a_client_that_never_answers_keeps_its_subscription() {
    let broker = TestBroker::start_with(&["otq.keep_alive_s=1"]).await;
    let mut otq = subscriber(&broker).await;
    otq.expect("\n\n\n\n\n").await;
    let mut publisher = broker.login_otq().await;
    put(&mut publisher, "pubsub", &["still here"]).await;
    expect_behind_blanks(&mut otq, "still here\n").await;
    expect_subscribers(&broker, "pubsub", 1).await;
}

#[actix_web::test]
async fn a_client_that_did_answer_and_stops_is_dropped() {
    let broker = TestBroker::start_with(&["otq.keep_alive_s=1"]).await;
    let mut otq = subscriber(&broker).await;
    otq.expect("\n").await;
    otq.send("REPLPONG\r\n").await;
    let mut blanks = 0;
    while otq.line().await == "\n" {
        blanks += 1;
    }
    assert!(blanks >= 3, "{blanks} keep-alives before the close");
    expect_subscribers(&broker, "pubsub", 0).await;
}

#[actix_web::test]
async fn answers_keep_a_subscription_whatever_they_say() {
    let broker = TestBroker::start_with(&["otq.keep_alive_s=1"]).await;
    let mut otq = subscriber(&broker).await;
    for answer in
        ["ACKNOWLEDGE\n", "REPLPONG\r\n", "\r", "\nOTQ PING pubsub\r\n", "OTQ PUT x y z\n"]
    {
        otq.exchange("", "\n").await;
        otq.send(answer).await;
    }
    let long = "x".repeat(100_000);
    otq.send(format!("{long}\r\nOTQ UNSUBSCRIBE pubsub\r\n")).await;
    expect_behind_blanks(&mut otq, "PROCEED\r\n").await;
    expect_open(&mut otq).await;
}

#[actix_web::test]
async fn unsubscribe_ends_the_subscription_and_another_may_follow() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    let mut otq = subscriber(&broker).await;
    otq.exchange("otq unsubscribe anything\n", "PROCEED\r\n").await;
    expect_subscribers(&broker, "pubsub", 0).await;
    put(&mut publisher, "pubsub", &["waits"]).await;
    dialogue(
        &mut otq,
        &[
            ("OTQ PING pubsub\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\nwaits\n"),
            ("OTQ UNSUBSCRIBE pubsub\r\n", "PROCEED\r\n"),
            ("OTQ GET pubsub 1 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
        ],
    )
    .await;
}

#[actix_web::test]
async fn commands_pipelined_behind_subscribe_are_not_left_lying() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange(
        "OTQ SUBSCRIBE pubsub\r\nACKNOWLEDGE\nOTQ UNSUBSCRIBE pubsub\r\nOTQ PING pubsub\r\n",
        "PROCEED\r\nPROCEED\r\nPONG\r\nENDOFRESP\r\n",
    )
    .await;
}

#[actix_web::test]
async fn disconnect_while_subscribed_waits_for_the_client_to_close() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    for ending in [
        "OTQ DISCONNECT\r\n",
        // As the client library says it.
        "OTQ UNSUBSCRIBE pubsub\r\nOTQ DISCONNECT\r\n",
    ] {
        let mut otq = subscriber(&broker).await;
        otq.send(ending).await;
        if ending.contains("UNSUBSCRIBE") {
            otq.expect("PROCEED\r\n").await;
        }
        expect_subscribers(&broker, "pubsub", 0).await;
        // Nothing is pushed any more, nothing answered, and the socket stays.
        put(&mut publisher, "pubsub", &["not for the parked"]).await;
        otq.send("OTQ PING pubsub\r\n").await;
        expect_connections(&broker, 2).await;
        tokio::io::AsyncWriteExt::shutdown(&mut otq.stream).await.unwrap();
        otq.expect_close().await;
        expect_connections(&broker, 1).await;
        let got = "PROCEED\r\nnot for the parked\r\nENDOFRESP\r\n";
        publisher.exchange("OTQ GET pubsub 9 BATCH\r\n", got).await;
    }
}

#[actix_web::test]
async fn above_the_limit_the_oldest_parked_connection_is_closed() {
    let broker = TestBroker::start_with(&["otq.parked_max=1"]).await;
    let mut first = subscriber(&broker).await;
    first.send("OTQ DISCONNECT\r\n").await;
    expect_subscribers(&broker, "pubsub", 0).await;
    let mut second = subscriber(&broker).await;
    second.send("OTQ DISCONNECT\r\n").await;
    first.expect_close().await;
    expect_connections(&broker, 1).await;
}

#[actix_web::test]
async fn several_topics_are_one_stream() {
    let broker = TestBroker::start().await;
    let mut publisher = broker.login_otq().await;
    let made = "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n";
    publisher.exchange("OTQ NEW news PUBSUB\r\n", made).await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ SUBSCRIBE pubsub,news\r\n", "PROCEED\r\n").await;
    for row in 0..20 {
        let topic = if row % 2 == 0 { "pubsub" } else { "news" };
        put(&mut publisher, topic, &[&row.to_string()]).await;
        otq.expect(format!("{row}\n")).await;
    }
    put(&mut publisher, "pubsub,news", &["both"]).await;
    otq.expect("both\nboth\n").await;
    otq.exchange("OTQ UNSUBSCRIBE pubsub,news\r\n", "PROCEED\r\n").await;
    expect_subscribers(&broker, "pubsub", 0).await;
    expect_subscribers(&broker, "news", 0).await;
}

#[actix_web::test]
async fn deleting_the_topic_ends_its_subscriptions() {
    let broker = TestBroker::start().await;
    let mut otq = subscriber(&broker).await;
    let mut publisher = broker.login_otq().await;
    put(&mut publisher, "pubsub", &["last"]).await;
    otq.expect("last\n").await;
    broker.http("DELETE", "/v1/topics/pubsub", "").await.expect(204);
    otq.expect_close().await;
    publisher.exchange("OTQ SUBSCRIBE pubsub\r\n", "DECLINE:Requested topic not found\n").await;
    publisher.expect_close().await;
}

#[actix_web::test]
async fn a_subscriber_that_does_not_read_is_dropped_and_the_others_are_served() {
    let broker = TestBroker::start_with(&[
        "limits.subscriber_backlog_bytes=1000000",
        "limits.subscriber_chunks=2",
        "otq.stuck_s=5",
    ])
    .await;
    let stuck = subscriber(&broker).await;
    let mut reader = subscriber(&broker).await;
    let mut publisher = broker.login_otq().await;
    let row = "x".repeat(500_000);
    for _ in 0..60 {
        put(&mut publisher, "pubsub", &[&row]).await;
        reader.expect(&row).await;
        reader.expect("\n").await;
    }
    expect_subscribers(&broker, "pubsub", 1).await;
    // Its socket is closed as well, though it never reads.
    expect_connections(&broker, 2).await;
    drop(stuck);
}

#[actix_web::test]
async fn a_user_without_right_cannot_subscribe_and_goes_on() {
    let broker = TestBroker::start().await;
    let mut ann = login_as(&broker, "ann", r#"["news"]"#).await;
    ann.exchange("OTQ NEW news PUBSUB\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    let declined = "DECLINE:Unauthorized access\nENDOFRESP\r\n";
    ann.exchange("OTQ SUBSCRIBE news,pubsub\r\n", declined).await;
    expect_subscribers(&broker, "news", 0).await;
    ann.exchange("OTQ SUBSCRIBE news\r\n", "PROCEED\r\n").await;
}

#[actix_web::test]
async fn an_orderly_stop_ends_subscribers() {
    let broker = TestBroker::start().await;
    let mut otq = subscriber(&broker).await;
    let mut parked = subscriber(&broker).await;
    parked.send("OTQ DISCONNECT\r\n").await;
    let mut idle = broker.login_otq().await;
    eventually("parked", async || {
        let shown = broker.http("GET", "/v1/topics/pubsub", "").await.expect(200);
        (shown["subscribers"] == 1).then_some(())
    })
    .await;
    let _folder = broker.stop().await;
    otq.expect_close().await;
    parked.expect_close().await;
    idle.expect_close().await;
}
