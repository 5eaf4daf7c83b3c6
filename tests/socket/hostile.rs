//! Clients that speak badly, byte by byte where that is needed.

use crate::raw_socket::{Raw, UPGRADE};
use crate::*;
use tokio::io::AsyncWriteExt as _;

/// Whatever a frame says, it is answered, and the socket goes on.
#[actix_web::test]
async fn frames_that_make_no_sense_are_refused_one_by_one() {
    let broker = TestBroker::start().await;
    let mut client = Client::of(&broker).await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let texts = [
        "".to_owned(),
        "{".into(),
        "null".into(),
        "[]".into(),
        r#"{"op":"ping"} {"op":"ping"}"#.into(),
        r#"{"op":null}"#.into(),
        r#"{"op":"ping","op":"ping"}"#.into(),
        r#"{"op":"publish","topic":{"a":1},"message":{"body":"x"}}"#.into(),
        r#"{"op":"publish","topic":"default","message":"x"}"#.into(),
        r#"{"op":"publish","topic":"default","message":{"body":"x","priority":300}}"#.into(),
        r#"{"op":"publish","topic":"default","message":{"body":"x","delay_ms":1e300}}"#.into(),
        r#"{"op":"publish","topic":"default","messages":{"body":"x"}}"#.into(),
        r#"{"op":"consume","topic":"default","prefetch":-1}"#.into(),
        r#"{"op":"ack","topic":"default","receipts":[1,2]}"#.into(),
        r#"{"op":"__proto__"}"#.into(),
        format!(r#"{{"op":{deep}}}"#),
        deep,
    ];
    for text in &texts {
        client.socket.send(Message::Text(text.as_str().into())).await.unwrap();
        let answer = client.hear().await;
        assert_eq!(answer["type"], "error", "{text:.80}: {answer}");
    }
    for frame in
        [&b""[..], b"\0", b"\0\0\0\0", b"\0\0\0\x09{}", b"\xff\xff\xff\xff", b"\0\0\0\x02{}x"]
    {
        client.socket.send(Message::Binary(frame.to_vec().into())).await.unwrap();
        let answer = client.hear().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!("invalid_request")),
            "{frame:?}"
        );
    }
    assert_eq!(client.ask(json!({"op": "ping"})).await["type"], "pong");
    until(&broker, "default", "/queues/0/ready", json!(0)).await;
}

#[actix_web::test]
async fn ten_thousand_receipts_that_are_none_cost_an_answer_each() {
    let broker = TestBroker::start().await;
    let mut client = Client::of(&broker).await;
    let receipts: Vec<_> = (0..10_000).map(|number| format!("{number:032x}")).collect();
    let answer = client.ok(json!({"op": "ack", "topic": "default", "receipts": receipts})).await;
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 10_000);
    assert!(results.iter().all(|one| one["problem"]["code"] == "receipt_gone"));
    let more: Vec<_> = (0..10_001).map(|number| format!("{number:032x}")).collect();
    client.refused(json!({"op": "ack", "topic": "default", "receipts": more}), "too_many").await;
    // Receipts of another topic's queue are no good here.
    create(&broker, "other", "broker").await;
    publish(&broker, "other", &["x"]).await;
    let got = broker.http("POST", "/v1/topics/other/receive", "").await.expect(200);
    let receipt = &got["messages"][0]["receipt"];
    client
        .refused(json!({"op": "ack", "topic": "default", "receipt": receipt}), "receipt_gone")
        .await;
    until(&broker, "other", "/queues/0/in_flight", json!(1)).await;
}

#[actix_web::test]
async fn a_message_above_the_limit_closes_with_1009() {
    let broker = TestBroker::start_with(&["ws.message_bytes_max=1000"]).await;
    let fits = format!("{:1000}", r#"{"op":"ping"}"#);
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.send(0x81, fits.as_bytes()).await;
    assert_eq!(raw.json().await["type"], "pong");
    raw.send(0x81, format!("{fits} ").as_bytes()).await;
    assert_eq!(raw.close_code().await, 1009);
    raw.expect_end().await;

    // In fragments, of which none is too long.
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.send(0x01, &fits.as_bytes()[..600]).await;
    raw.send(0x80, &fits.as_bytes()[600..]).await;
    assert_eq!(raw.json().await["type"], "pong");
    raw.send(0x01, &[b' '; 600]).await;
    raw.send(0x00, &[b' '; 400]).await;
    raw.send(0x00, b" ").await;
    assert_eq!(raw.close_code().await, 1009);
    raw.expect_end().await;

    // Announced, and never sent.
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.wire.send([&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat()).await;
    assert_eq!(raw.close_code().await, 1009);
    raw.expect_end().await;
    assert_eq!(metric(&broker, "octoq_ws_closed_total{reason=\"too_long\"}").await, 3);
}

#[actix_web::test]
async fn a_malformed_frame_closes_the_socket() {
    let broker = TestBroker::start().await;
    let table: [(&str, u16, &[u8]); 6] = [
        ("not masked", 1002, &[0x81, 0x01, b'x']),
        ("an opcode that is none", 1002, &[0x83, 0x80, 0, 0, 0, 0]),
        ("reserved bits", 1002, &[0xc1, 0x80, 0, 0, 0, 0]),
        ("a long ping", 1002, &[&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat()),
        ("a continuation of nothing", 1002, &[0x80, 0x80, 0, 0, 0, 0]),
        ("text that is none", 1007, &[0x81, 0x81, 0, 0, 0, 0, 0xff]),
    ];
    for (what, code, bytes) in table {
        let mut raw = Raw::open(&broker, "/v1/ws").await;
        raw.wire.send(bytes).await;
        assert_eq!(raw.close_code().await, code, "{what}");
        raw.expect_end().await;
    }
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.send(0x01, b"a message").await;
    raw.send(0x81, b"within a message").await;
    assert_eq!(raw.close_code().await, 1002);
    assert_eq!(metric(&broker, "octoq_ws_closed_total{reason=\"protocol\"}").await, 7);
}

#[actix_web::test]
async fn a_client_that_vanishes_within_a_frame_leaves_nothing_behind() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    publish(&broker, "t", &["x"]).await;
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.send(0x81, br#"{"op":"consume","topic":"t","req":1}"#).await;
    assert_eq!(raw.json().await["type"], "ok");
    assert_eq!(raw.json().await["type"], "delivery");
    raw.wire.send([0x81, 0xfe, 0x01]).await;
    raw.wire.stream.shutdown().await.unwrap();
    drop(raw);
    until(&broker, "t", "/queues/0/in_flight", json!(0)).await;
    until(&broker, "t", "/queues/0/consumers", json!(0)).await;
    eventually("no socket is open", async || {
        let open = metric(&broker, "octoq_connections{door=\"websocket\"}").await;
        (open == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_client_that_answers_no_ping_is_let_go() {
    let broker = TestBroker::start_with(&["ws.ping_s=1", "ws.timeout_s=1"]).await;
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    assert_eq!(raw.close_code().await, 1008);
    raw.expect_end().await;
    assert_eq!(metric(&broker, "octoq_ws_closed_total{reason=\"silent\"}").await, 1);
}

#[actix_web::test]
async fn pings_and_closes_are_answered() {
    let broker = TestBroker::start().await;
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    raw.send(0x89, b"abc").await;
    assert_eq!(raw.frame().await, Some((10, b"abc".to_vec())));
    raw.send(0x88, &[]).await;
    assert_eq!(raw.close_code().await, 1000);
    raw.expect_end().await;
    assert_eq!(metric(&broker, "octoq_ws_closed_total{reason=\"client\"}").await, 1);
}

#[actix_web::test]
async fn an_upgrade_that_cannot_be_is_refused_as_a_problem() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let ask = async |headers: &str| {
        let mut wire = Wire::connect(address).await;
        wire.send(format!(
            "GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await;
        wire.answer().await
    };
    ask("").await.expect_problem(400, "invalid_request");
    let foreign = format!("{UPGRADE}Origin: http://evil.example\r\n");
    ask(&foreign).await.expect_problem(403, "foreign_origin");
    let answer = broker.http("POST", "/v1/ws", "").await;
    answer.expect_problem(405, "method_not_allowed");
}

/// What a client asks for and does not read is bounded: it is not read on, and nobody else waits.
#[actix_web::test]
async fn a_client_that_asks_and_does_not_read_is_not_read_on() {
    let broker = TestBroker::start_with(&["ws.out_bytes_max=10000"]).await;
    let mut raw = Raw::open(&broker, "/v1/ws").await;
    let ping =
        br#"{"op":"ping","req":"a name that makes the answer a good deal longer than it was"}"#;
    let mut frame = vec![0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0];
    frame.extend(ping);
    let many = frame.repeat(1000);
    // Until the kernel's buffers are full on both sides: far less than this.
    let mut sent = 0usize;
    let stuck = eventually("the client has to wait", async || {
        let write = timeout(std::time::Duration::from_millis(500), raw.wire.stream.write(&many));
        match write.await {
            Ok(written) => {
                sent += written.unwrap();
                assert!(sent < 256 << 20, "everything is taken");
                None
            }
            Err(_) => Some(sent),
        }
    })
    .await;
    assert!(stuck > 0);
    let mut other = Client::of(&broker).await;
    assert_eq!(other.ask(json!({"op": "ping"})).await["type"], "pong");
    // Everything is answered once it reads.
    for _ in 0..1000 {
        assert_eq!(raw.json().await["type"], "pong");
    }
}
