//! Clients that break off, dawdle, never read, or come in crowds; topics that go away.

use super::common::{PATIENCE, TestBroker, Wire, eventually};
use super::{expect_connections, expect_open, expect_subscribers};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Closes so that the other side sees a reset.
fn reset(wire: Wire) {
    socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[actix_web::test]
async fn rows_that_came_whole_stay_when_the_stream_ends() {
    let broker = TestBroker::start().await;
    for (rows, stay) in
        [("a\r\nb\r\nunfini", "a\r\nb\r\n"), ("", ""), ("unfinished", ""), ("c\r", "c\r\n")]
    {
        let mut otq = broker.login_otq().await;
        otq.exchange("OTQ PUT default 5 BATCH\r\n", "PROCEED\r\n").await;
        otq.send(rows).await;
        drop(otq);
        expect_connections(&broker, 0).await;
        let mut otq = broker.login_otq().await;
        otq.exchange("OTQ GET default 9 BATCH\r\n", format!("PROCEED\r\n{stay}ENDOFRESP\r\n"))
            .await;
        drop(otq);
        expect_connections(&broker, 0).await;
    }
}

#[actix_web::test]
async fn a_half_closed_client_gets_all_its_answers() {
    let broker = TestBroker::start().await;
    let mut otq = broker.connect_otq().await;
    otq.send(
        "OTQ CONNECT admin password\r\nOTQ PUTACK default 1 BATCH\r\nx\r\nOTQ GET default 1 BATCH\r\n\
         OTQ PUTACK default 2 BATCH\r\ny\r\nunfinished",
    )
    .await;
    otq.stream.shutdown().await.unwrap();
    otq.expect(
        "CONNECTED\r\nENDOFRESP\r\nPROCEED\r\nSUCCESS\r\n1\r\nENDOFRESP\r\n\
         PROCEED\r\nx\r\nENDOFRESP\r\nPROCEED\r\nSUCCESS\r\n1\r\n",
    )
    .await;
    otq.expect_close().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ GET default 9 BATCH\r\n", "PROCEED\r\ny\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn an_answer_reaches_a_client_that_had_sent_more_than_was_read() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    // Everything behind the malformed line stays unread, and must not cost the client the reason.
    let mut sent = "OTQ NOPE\r\n".to_owned();
    sent.push_str(&"OTQ PING default\r\n".repeat(20_000));
    let (mut reading, mut writing) = otq.stream.split();
    let mut got = Vec::new();
    let (_, read) = tokio::join!(writing.write_all(sent.as_bytes()), async {
        tokio::time::timeout(PATIENCE, reading.read_to_end(&mut got)).await.unwrap()
    });
    read.unwrap();
    assert_eq!(String::from_utf8_lossy(&got), "DECLINE:Invalid command\nENDOFRESP\r\n");
}

#[actix_web::test]
async fn a_client_that_never_reads_is_dropped_and_the_broker_goes_on() {
    let broker = TestBroker::start_with(&["otq.stuck_s=1"]).await;
    let mut otq = broker.login_otq().await;
    let rows = format!("{}\r\n", "x".repeat(1_000_000)).repeat(30);
    otq.exchange(format!("OTQ PUT default 30 BATCH\r\n{rows}"), "PROCEED\r\nENDOFRESP\r\n").await;
    drop(otq);
    let mut stuck = broker.login_otq().await;
    stuck.send("OTQ GET default 30 BATCH\r\n").await;
    let mut other = broker.login_otq().await;
    expect_open(&mut other).await;
    drop(other);
    expect_connections(&broker, 0).await;
    let mut other = broker.login_otq().await;
    expect_open(&mut other).await;
    drop(stuck);
}

#[actix_web::test]
async fn a_client_that_pipelines_without_reading_is_dropped() {
    let broker = TestBroker::start_with(&["otq.stuck_s=1"]).await;
    let mut otq = broker.login_otq().await;
    let pings = "OTQ PING default\r\n".repeat(1000);
    // The broker stops reading when it cannot answer, so this ends with an error, not never.
    let flood = async { while otq.stream.write_all(pings.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE * 2, flood).await.unwrap();
    expect_connections(&broker, 0).await;
}

#[actix_web::test]
async fn a_client_that_does_not_log_in_is_closed() {
    let broker = TestBroker::start_with(&["otq.login_timeout_s=1"]).await;
    let mut known = broker.login_otq().await;
    let mut silent = broker.connect_otq().await;
    let mut slow = broker.connect_otq().await;
    slow.send("OTQ CONN").await;
    let mut busy = broker.connect_otq().await;
    // What it sends before it logs in wins it no time.
    let asking = async {
        let mut answer = [0; 64];
        while busy.stream.write_all(b"OTQ PING default\r\n").await.is_ok()
            && matches!(busy.stream.read(&mut answer).await, Ok(1..))
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it is closed in time");
    silent.expect_close().await;
    slow.expect_close().await;
    expect_connections(&broker, 1).await;
    // Who has logged in may be silent.
    expect_open(&mut known).await;
}

#[actix_web::test]
async fn a_line_that_never_ends_ends_the_connection() {
    let broker = TestBroker::start_with(&["otq.stuck_s=1"]).await;
    let mut idle = broker.login_otq().await;
    let mut line = broker.login_otq().await;
    line.send("OTQ PI").await;
    let mut rows = broker.login_otq().await;
    rows.exchange("OTQ PUT default 2 BATCH\r\na\r\n", "PROCEED\r\n").await;
    let mut row = broker.login_otq().await;
    row.exchange("OTQ PUT default 1 BATCH\r\nunfini", "PROCEED\r\n").await;
    line.expect_close().await;
    rows.expect_close().await;
    row.expect_close().await;
    // Who owes nothing may be silent.
    expect_open(&mut idle).await;
    idle.exchange("OTQ GET default 9 BATCH\r\n", "PROCEED\r\na\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn two_hundred_sessions_at_once_and_their_abrupt_ends() {
    let broker = TestBroker::start().await;
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push(broker.login_otq().await);
    }
    expect_connections(&broker, 200).await;
    for (at, otq) in sessions.iter_mut().enumerate() {
        otq.send(format!("OTQ PUT default 1 BATCH\r\nrow {at}\r\nOTQ GET default 1 BATCH\r\n"))
            .await;
    }
    for otq in &mut sessions {
        otq.expect("PROCEED\r\nENDOFRESP\r\nPROCEED\r\nrow ").await;
    }
    sessions.into_iter().for_each(reset);
    expect_connections(&broker, 0).await;

    // Broken off at every step of a login, a PUT and a subscription.
    let steps = "OTQ CONNECT admin password\r\nOTQ PUT default 2 BATCH\r\na\r\nb\r\nOTQ SUBSCRIBE pubsub\r\n";
    for at in 0..=steps.len() {
        let mut otq = broker.connect_otq().await;
        otq.send(&steps[..at]).await;
        if at % 2 == 0 { reset(otq) } else { drop(otq) }
    }
    expect_connections(&broker, 0).await;
    expect_subscribers(&broker, "pubsub", 0).await;
    let mut otq = broker.login_otq().await;
    expect_open(&mut otq).await;
}

#[actix_web::test]
async fn a_crowd_of_logins_is_served_in_turn() {
    let broker = TestBroker::start_with(&["auth.logins_remembered_max=0"]).await;
    let mut waiting = Vec::new();
    for _ in 0..40 {
        let mut otq = broker.connect_otq().await;
        otq.send("OTQ CONNECT admin password\r\n").await;
        waiting.push(otq);
    }
    // Half of them do not wait for the answer.
    waiting.drain(..20).for_each(reset);
    for otq in &mut waiting {
        otq.expect("CONNECTED\r\nENDOFRESP\r\n").await;
    }
    expect_connections(&broker, 20).await;
}

#[actix_web::test]
async fn above_the_limit_connections_are_closed_at_once() {
    let broker = TestBroker::start_with(&["otq.connections_max=2"]).await;
    let first = broker.login_otq().await;
    let mut second = broker.login_otq().await;
    let mut third = broker.connect_otq().await;
    third.expect_close().await;
    expect_open(&mut second).await;
    drop(first);
    expect_connections(&broker, 1).await;
    eventually("a free place", async || {
        let mut otq = broker.connect_otq().await;
        otq.send("OTQ PING default\r\n").await;
        (otq.line().await == "DECLINE:Unauthorized access\n").then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_topic_deleted_while_a_session_holds_it_is_not_found() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW t BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT t 1 BATCH\r\nold\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    broker.http("DELETE", "/v1/topics/t", "").await.expect(204);
    otq.exchange("OTQ PING t\r\n", "NOT FOUND\r\nENDOFRESP\r\n").await;
    // Made anew, it is another one: empty.
    otq.exchange("OTQ NEW t BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ GET t 1 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    broker.http("DELETE", "/v1/topics/t", "").await.expect(204);
    let declined = "DECLINE:Requested topic not found\nENDOFRESP\r\n";
    otq.exchange("OTQ GET t 1 BATCH\r\n", declined).await;
    otq.expect_close().await;
}

#[actix_web::test]
async fn rows_of_a_topic_that_was_deleted_meanwhile_fail() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW t BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUTACK t 3 BATCH\r\na\r\n", "PROCEED\r\nSUCCESS\r\n1\r\n").await;
    broker.http("DELETE", "/v1/topics/t", "").await.expect(204);
    otq.exchange("b\r\nc\r\n", "FAIL\r\nFAIL\r\nENDOFRESP\r\n").await;
    expect_open(&mut otq).await;
}
