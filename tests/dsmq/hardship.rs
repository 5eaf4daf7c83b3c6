//! Clients that break off, dawdle, never read, ask too much, or come in crowds; bounds; ends.

use super::common::{PATIENCE, TestBroker, Wire, eventually};
use super::{exchange, expect_connections, framed, get, message, nothing, open, put};
use octoq::conform::websocket::{WebSocket, first, frame};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Closes so that the other side sees a reset.
fn reset(wire: Wire) {
    socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn connect(broker: &TestBroker) -> Wire {
    Wire::connect(broker.door("dsmq")).await
}

#[actix_web::test]
async fn a_reader_that_has_connected_sees_every_later_put() {
    // Connected means for a client: its connect has returned, not that anybody has accepted it.
    let broker = TestBroker::start().await;
    let mut writer = connect(&broker).await;
    for at in 0..300 {
        let mut bare = connect(&broker).await;
        let mut ws = open(&broker).await;
        writer.exchange([put("t", &at.to_string()), get("nothing")].concat(), nothing()).await;
        bare.exchange(get("t"), message(&at.to_string())).await;
        exchange(&mut ws, &get("t"), message(&at.to_string())).await;
    }
}

#[actix_web::test]
async fn a_request_that_never_ends_ends_the_connection() {
    let broker = TestBroker::start_with(&["dsmq.request_timeout_s=1"]).await;
    let mut silent = connect(&broker).await;
    let mut idle = connect(&broker).await;
    idle.exchange(get("t"), nothing()).await;
    let mut idle_ws = open(&broker).await;
    let begun = [
        "{",
        "{\"action\": \"ge",
        "GE",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "{\"msg_length\": 10000",
        "{\"msg_length\": 1000050}",
        "{\"msg_length\": 1000050}{\"action\": ",
    ];
    let mut unfinished = Vec::new();
    for begun in begun {
        let mut wire = connect(&broker).await;
        wire.send(begun).await;
        unfinished.push(wire);
    }
    // Dripping does not help.
    let mut dripping = connect(&broker).await;
    dripping.send("{\"a\":\"").await;
    let (mut reading, mut writing) = dripping.stream.into_split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut rest = Vec::new();
    let ended = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut rest);
    let (_, ended) =
        tokio::join!(tokio::time::timeout(PATIENCE, drip), tokio::time::timeout(PATIENCE, ended));
    // A reset is an end, too.
    let _ = ended.expect("an end in time");
    for mut wire in unfinished {
        wire.expect_close().await;
    }
    for begun in [
        frame(first::TEXT, b"{\"action\"")[..9].to_vec(),
        frame(first::TEXT_BEGINS, b"{\"action\""),
        vec![first::TEXT],
    ] {
        let mut ws = open(&broker).await;
        ws.wire.send(begun).await.unwrap();
        ws.expect_close(1008).await.unwrap();
    }
    // Who owes nothing may be silent.
    for wire in [&mut silent, &mut idle] {
        wire.exchange(get("t"), nothing()).await;
    }
    exchange(&mut idle_ws, &get("t"), nothing()).await;
}

#[actix_web::test]
async fn a_client_that_pipelines_without_reading_is_dropped() {
    let broker = TestBroker::start_with(&["dsmq.stuck_s=1"]).await;
    let mut other = open(&broker).await;
    let mut wire = connect(&broker).await;
    wire.send(put("t", &"x".repeat(100_000))).await;
    let gets = get("t").repeat(1000);
    // The broker stops reading when it cannot answer, so this ends with an error, not never.
    let flood = async { while wire.stream.write_all(gets.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE * 2, flood).await.unwrap();
    exchange(&mut other, &get("nothing"), nothing()).await;
    expect_connections(&broker, 1).await;
}

#[actix_web::test]
async fn sessions_in_crowds_and_their_abrupt_ends() {
    let broker = TestBroker::start().await;
    let mut sessions = Vec::new();
    for _ in 0..200 {
        sessions.push(connect(&broker).await);
    }
    expect_connections(&broker, 200).await;
    for (at, wire) in sessions.iter_mut().enumerate() {
        wire.send([put(&format!("t{at}"), "m"), get(&format!("t{at}"))].concat()).await;
    }
    for wire in &mut sessions {
        wire.expect(message("m")).await;
    }
    sessions.into_iter().for_each(reset);
    expect_connections(&broker, 0).await;

    // Broken off at every step of each dialect.
    let open_ws = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let dialects = [
        [put("t", "m"), get("t")].concat().into_bytes(),
        [framed(&put("t", "m")), framed(&get("t"))].concat().into_bytes(),
        [
            open_ws.as_bytes(),
            &frame(first::TEXT, put("t", "m").as_bytes()),
            &frame(first::PING, b"x"),
        ]
        .concat(),
    ];
    for steps in dialects {
        for at in (0..=steps.len()).step_by(3) {
            let mut wire = connect(&broker).await;
            wire.send(&steps[..at]).await;
            if at % 2 == 0 { reset(wire) } else { drop(wire) }
        }
    }
    expect_connections(&broker, 0).await;
    exchange(&mut open(&broker).await, &get("nothing"), nothing()).await;
}

#[actix_web::test]
async fn above_the_limit_connections_are_closed_at_once() {
    let broker = TestBroker::start_with(&["dsmq.connections_max=2"]).await;
    let (first, mut second) = (open(&broker).await, open(&broker).await);
    let mut third = connect(&broker).await;
    third.expect_close().await;
    exchange(&mut second, &get("t"), nothing()).await;
    drop(first);
    expect_connections(&broker, 1).await;
    eventually("a free place", async || {
        WebSocket::connect(broker.door("dsmq")).await.is_ok().then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_half_closed_client_gets_all_its_replies() {
    let broker = TestBroker::start().await;
    let mut wire = connect(&broker).await;
    wire.send([put("t", "a"), get("t"), put("t", "b"), get("t"), "{\"unfini".into()].concat())
        .await;
    wire.stream.shutdown().await.unwrap();
    wire.expect([message("a"), message("b")].concat()).await;
    wire.expect_close().await;
}

#[actix_web::test]
async fn replies_of_many_megabytes_leave_in_order() {
    let broker = TestBroker::start().await;
    let (mut reader, mut writer) = (connect(&broker).await, connect(&broker).await);
    let texts: Vec<String> =
        (0..12u8).map(|at| char::from(b'a' + at).to_string().repeat(700_000)).collect();
    for text in &texts {
        writer.send(put("big", text)).await;
    }
    writer.exchange([put("small", "s"), get("nothing")].concat(), nothing()).await;
    // One job is too small for them; what is behind it waits its turn.
    let mut asked = [get("big").repeat(6), get("small"), get("big")].concat();
    asked.push_str(&put("big", "last"));
    asked.push_str(&get("big").repeat(7));
    reader.send(asked).await;
    for text in &texts[..6] {
        reader.expect(message(text)).await;
    }
    reader.expect(message("s")).await;
    for text in &texts[6..] {
        reader.expect(message(text)).await;
    }
    reader.expect([message("last"), nothing()].concat()).await;
}

#[actix_web::test]
async fn many_topics_in_one_pipeline_keep_their_order() {
    let broker = TestBroker::start().await;
    let mut wire = connect(&broker).await;
    let topics: Vec<String> = (0..100).map(|at| format!("t{at}")).collect();
    let turn: String = topics
        .iter()
        .map(|topic| [put(topic, topic), get(topic), get("nothing")].concat())
        .collect();
    let replies: String = topics.iter().map(|topic| [message(topic), nothing()].concat()).collect();
    wire.exchange(turn, replies).await;
    let gets: String = topics.iter().map(|topic| get(topic)).collect();
    wire.exchange(gets, nothing().repeat(100)).await;
}

#[actix_web::test]
async fn the_oldest_messages_go_first() {
    let broker = TestBroker::start_with(&["dsmq.max_messages_per_topic=3"]).await;
    let (mut ws, mut slow) = (open(&broker).await, open(&broker).await);
    for at in 0..10 {
        ws.send(put("t", &at.to_string())).await.unwrap();
    }
    for reader in [&mut ws, &mut slow] {
        for text in ["7", "8", "9", ""] {
            exchange(reader, &get("t"), message(text)).await;
        }
    }
    let broker = TestBroker::start_with(&["dsmq.max_bytes_per_topic=5"]).await;
    let mut ws = open(&broker).await;
    for text in ["aa", "bb", "cc", "d"] {
        ws.send(put("t", text)).await.unwrap();
    }
    for text in ["bb", "cc", "d", ""] {
        exchange(&mut ws, &get("t"), message(text)).await;
    }
}

#[actix_web::test]
async fn a_message_is_read_until_its_time_is_over() {
    let broker = TestBroker::start_with(&["dsmq.retention_seconds=1"]).await;
    let (mut ws, mut late) = (open(&broker).await, open(&broker).await);
    ws.send(put("t", "short")).await.unwrap();
    exchange(&mut ws, &get("t"), message("short")).await;
    eventually("the end of the message", async || {
        let topic = broker.http("GET", "/v1/topics/t", "").await.expect(200);
        (topic["queues"][0]["ready"] == 0).then_some(())
    })
    .await;
    exchange(&mut late, &get("t"), nothing()).await;
    ws.send(put("t", "next")).await.unwrap();
    exchange(&mut ws, &get("t"), message("next")).await;
}

#[actix_web::test]
async fn memory_that_is_used_up_costs_the_oldest_messages() {
    let broker = TestBroker::start_with(&["limits.memory_bytes=4000000"]).await;
    let (mut reader, mut ws) = (open(&broker).await, open(&broker).await);
    let long = |at: u32| format!("{at:0>50}").repeat(4000);
    for at in 0..40 {
        ws.send(put("t", &long(at))).await.unwrap();
    }
    exchange(&mut ws, r#"{"action": "get_latest", "topic": "t"}"#, message(&long(39))).await;
    reader.send(get("t")).await.unwrap();
    let (_, reply) = reader.frame().await.unwrap();
    let oldest: u32 = String::from_utf8_lossy(&reply[13..63]).parse().unwrap();
    assert!((15..=39).contains(&oldest), "{oldest}");
    let state = broker.server.broker.state();
    assert!(state.memory_bytes <= 4_000_000, "{}", state.memory_bytes);
}

#[actix_web::test]
async fn a_connection_that_reads_too_many_topics_is_closed() {
    let broker = TestBroker::start_with(&["dsmq.topics_per_connection_max=3"]).await;
    let mut ws = open(&broker).await;
    // Naming and putting costs nothing that must be kept.
    for at in 0..10 {
        ws.send(put(&format!("t{at}"), "m")).await.unwrap();
        exchange(&mut ws, &get(&format!("unknown{at}")), nothing()).await;
    }
    for at in 0..3 {
        exchange(&mut ws, &get(&format!("t{at}")), message("m")).await;
    }
    exchange(&mut ws, &get("t0"), nothing()).await;
    exchange(&mut ws, &get("t3"), message("m")).await;
    ws.send(get("t3")).await.unwrap();
    ws.expect_close(1008).await.unwrap();
}

#[actix_web::test]
async fn pages_of_foreign_origins_are_turned_away() {
    let broker =
        TestBroker::start_with(&["dsmq.origins=https://app.example,https://b.example"]).await;
    let ask = async |origin: &str| {
        let mut wire = connect(&broker).await;
        let origin =
            if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        wire.send(format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{origin}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
        wire.line().await
    };
    for welcome in ["", "https://app.example", "https://b.example"] {
        assert_eq!(ask(welcome).await, "HTTP/1.1 101 Switching Protocols\r\n", "{welcome}");
    }
    for foreign in ["https://evil.example", "null", "http://app.example"] {
        assert_eq!(ask(foreign).await, "HTTP/1.1 403 Forbidden\r\n", "{foreign}");
    }
}

#[actix_web::test]
async fn where_credentials_are_wanted_nobody_is_let_in() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let mut wire = connect(&broker).await;
    wire.expect_close().await;
    assert!(WebSocket::connect(broker.door("dsmq")).await.is_err());
    let broker = TestBroker::start_with(&["auth.anonymous=anywhere"]).await;
    exchange(&mut open(&broker).await, &get("t"), nothing()).await;
}

#[actix_web::test]
async fn a_shutdown_that_is_allowed_closes_this_door_and_no_other() {
    let broker = TestBroker::start_with(&["dsmq.allow_shutdown=true"]).await;
    let (mut asking, mut other) = (open(&broker).await, open(&broker).await);
    let mut bare = connect(&broker).await;
    bare.exchange(get("t"), nothing()).await;
    asking.send(put("t", "last words")).await.unwrap();
    asking.send(r#"{"action": "shutdown", "topic": ""}"#).await.unwrap();
    asking.expect_close(1000).await.unwrap();
    other.expect_close(1001).await.unwrap();
    bare.expect_close().await;
    let refused = tokio::net::TcpStream::connect(broker.door("dsmq")).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let taken = broker.http("POST", "/v1/topics/t/receive?take=true", "").await.expect(200);
    assert_eq!(taken["messages"][0]["body"], "last words");
    broker.stop().await;
}

#[actix_web::test]
async fn a_stop_closes_every_connection_with_1001() {
    let broker = TestBroker::start().await;
    let (mut ws, mut bare) = (open(&broker).await, connect(&broker).await);
    bare.exchange(get("t"), nothing()).await;
    // A put that is in before the stop is served.
    ws.send(put("t", "m")).await.unwrap();
    exchange(&mut ws, &get("t"), message("m")).await;
    let (_, closed) = tokio::join!(broker.stop(), ws.expect_close(1001));
    closed.unwrap();
    bare.expect_close().await;
}
