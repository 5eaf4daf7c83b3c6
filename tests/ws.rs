//! WebSocket pushes of the native door: order, resume, gaps, and clients that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/raw_socket.rs"]
mod raw_socket;

use common::*;
use frames::{Message, Socket};
use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use raw_socket::{Raw, UPGRADE};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::client_async;

/// A well-behaved subscriber.
struct Subscriber {
    socket: Socket,
}

impl Subscriber {
    /// `path`: topic, perhaps with a query.
    async fn connect(broker: &TestBroker, path: &str) -> Self {
        let (topic, query) = path.split_once('?').unwrap_or((path, ""));
        let address = broker.door("http");
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/v1/topics/{topic}/ws?{query}");
        let (socket, _) = timeout(PATIENCE, client_async(url, stream)).await.unwrap().unwrap();
        Subscriber { socket }
    }

    /// Connects and reads the first frame.
    async fn subscribed(broker: &TestBroker, path: &str) -> (Self, Value) {
        let mut subscriber = Self::connect(broker, path).await;
        let hello = subscriber.json().await;
        assert_eq!(hello["type"], "subscribed", "{hello}");
        (subscriber, hello)
    }

    async fn frame(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.socket.next()).await.expect("a frame in time").map(Result::unwrap)
    }

    /// The next text frame; pings are passed over.
    async fn json(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => (),
                other => panic!("{other:?} is not a text frame"),
            }
        }
    }

    /// The bodies of the next messages, which must be numbered in a row from `seq`.
    async fn bodies(&mut self, seq: u64, count: u64) -> Vec<String> {
        let mut bodies = Vec::new();
        for expected in seq..seq + count {
            let message = self.json().await;
            assert_eq!(
                (&message["type"], &message["seq"]),
                (&json!("message"), &json!(expected)),
                "{message}"
            );
            bodies.push(message["body"].as_str().unwrap().to_owned());
        }
        bodies
    }

    /// Reads up to the close frame; its code. Then the socket closes, too.
    async fn close_code(&mut self) -> u16 {
        frames::close_code_and_end(&mut self.socket).await
    }
}

async fn publish(broker: &TestBroker, topic: &str, bodies: &[&str]) {
    let messages: Vec<_> = bodies.iter().map(|body| json!({"body": body})).collect();
    let answer = broker
        .http("POST", &format!("/v1/topics/{topic}/messages"), &json!(messages).to_string())
        .await;
    assert!(!answer.text().contains("problem"), "{}", answer.text());
    answer.expect(200);
}

async fn create(broker: &TestBroker, name: &str, policy: Value) {
    let new = json!({"name": name, "kind": "pubsub", "policy": policy});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
}

async fn subscribers(broker: &TestBroker, topic: &str) -> Value {
    broker.http("GET", &format!("/v1/topics/{topic}"), "").await.expect(200)["subscribers"].clone()
}

#[actix_web::test]
async fn the_first_frame_says_where_the_subscription_starts() {
    let broker = TestBroker::start().await;
    let (mut subscriber, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    let topic = broker.http("GET", "/v1/topics/pubsub", "").await.expect(200);
    assert_eq!(
        hello,
        json!({"type": "subscribed", "topic": "pubsub", "epoch": topic["epoch"], "next": 1})
    );
    assert_eq!(topic["subscribers"], 1);

    let message = json!({"body": "x", "id": "mine", "attributes": {"a": 1}}).to_string();
    broker.http("POST", "/v1/topics/pubsub/messages", &message).await.expect(201);
    let pushed = subscriber.json().await;
    assert!(pushed["published_at_ms"].is_i64());
    for (field, value) in [
        ("type", json!("message")),
        ("epoch", hello["epoch"].clone()),
        ("seq", json!(1)),
        ("id", json!("mine")),
        ("body", json!("x")),
        ("attributes", json!({"a": 1})),
    ] {
        assert_eq!(pushed[field], value, "{field}");
    }
    drop(subscriber);
    eventually("the subscriber is forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn messages_come_in_order_and_once() {
    let broker = TestBroker::start().await;
    let (mut subscriber, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    let bodies: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    for chunk in bodies.chunks(90) {
        publish(&broker, "pubsub", &chunk.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    assert_eq!(subscriber.bodies(1, 1000).await, bodies);
    publish(&broker, "pubsub", &["last"]).await;
    let last = subscriber.json().await;
    assert_eq!((&last["seq"], &last["epoch"]), (&json!(1001), &hello["epoch"]));
}

#[actix_web::test]
async fn a_subscriber_that_comes_back_gets_exactly_what_it_missed() {
    let broker = TestBroker::start().await;
    let (mut first, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    let (mut stays, _) = Subscriber::subscribed(&broker, "pubsub").await;
    publish(&broker, "pubsub", &["1", "2", "3"]).await;
    assert_eq!(first.bodies(1, 3).await, ["1", "2", "3"]);
    drop(first);
    publish(&broker, "pubsub", &["4", "5"]).await;

    for (seen, missed) in [
        (3, vec!["4", "5"]),
        (1, vec!["2", "3", "4", "5"]),
        (0, vec!["1", "2", "3", "4", "5"]),
        (5, vec![]),
    ] {
        let path = format!("pubsub?epoch={}&seq={seen}", hello["epoch"]);
        let (mut back, again) = Subscriber::subscribed(&broker, &path).await;
        assert_eq!((&again["next"], &again["epoch"]), (&json!(seen + 1), &hello["epoch"]));
        assert_eq!(back.bodies(seen + 1, missed.len() as u64).await, missed, "behind {seen}");
    }
    publish(&broker, "pubsub", &["6"]).await;
    assert_eq!(stays.bodies(1, 6).await, ["1", "2", "3", "4", "5", "6"]);
}

#[actix_web::test]
async fn a_gap_is_told_when_the_history_is_gone() {
    let broker = TestBroker::start().await;
    create(&broker, "short", json!({"history_messages": 2})).await;
    let (mut stays, hello) = Subscriber::subscribed(&broker, "short").await;
    for seq in 1..=6 {
        publish(&broker, "short", &[&seq.to_string()]).await;
        stays.bodies(seq, 1).await;
    }
    let (mut back, _) =
        Subscriber::subscribed(&broker, &format!("short?epoch={}&seq=1", hello["epoch"])).await;
    let gap = back.json().await;
    assert_eq!(gap, json!({"type": "gap", "epoch": hello["epoch"], "from": 2, "to": 4}));
    assert_eq!(back.bodies(5, 2).await, ["5", "6"]);
    publish(&broker, "short", &["7"]).await;
    assert_eq!(back.bodies(7, 1).await, ["7"]);
}

#[actix_web::test]
async fn a_position_of_another_epoch_is_a_gap() {
    let broker = TestBroker::start().await;
    let (mut stays, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    publish(&broker, "pubsub", &["1", "2"]).await;
    stays.bodies(1, 2).await;
    let other = hello["epoch"].as_u64().unwrap() as u32 ^ 1;
    let (mut back, again) =
        Subscriber::subscribed(&broker, &format!("pubsub?epoch={other}&seq=1")).await;
    assert_eq!((&again["epoch"], &again["next"]), (&hello["epoch"], &json!(3)));
    assert_eq!(
        back.json().await,
        json!({"type": "gap", "epoch": hello["epoch"], "from": 1, "to": 2,
            "reason": "epoch", "kept_from": 1})
    );
    publish(&broker, "pubsub", &["3"]).await;
    assert_eq!(back.bodies(3, 1).await, ["3"]);
    // What it says is there is there.
    let path = format!("pubsub?epoch={}&seq=0", hello["epoch"]);
    let (mut all, _) = Subscriber::subscribed(&broker, &path).await;
    assert_eq!(all.bodies(1, 3).await, ["1", "2", "3"]);
}

#[actix_web::test]
async fn a_position_in_the_future_starts_at_the_end() {
    let broker = TestBroker::start().await;
    let (_stays, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    publish(&broker, "pubsub", &["1"]).await;
    let path = format!("pubsub?epoch={}&seq={}", hello["epoch"], u64::MAX);
    let (mut back, again) = Subscriber::subscribed(&broker, &path).await;
    assert_eq!(again["next"], 2);
    publish(&broker, "pubsub", &["2"]).await;
    assert_eq!(back.bodies(2, 1).await, ["2"]);
}

#[actix_web::test]
async fn what_nobody_heard_goes_to_the_first_subscriber() {
    let broker = TestBroker::start().await;
    publish(&broker, "pubsub", &["1", "2"]).await;
    let (mut first, hello) = Subscriber::subscribed(&broker, "pubsub").await;
    assert_eq!(hello["next"], 3, "the backlog comes apart from what follows");
    assert_eq!(first.bodies(1, 2).await, ["1", "2"]);
    let (mut second, _) = Subscriber::subscribed(&broker, "pubsub").await;
    publish(&broker, "pubsub", &["3"]).await;
    assert_eq!(first.bodies(3, 1).await, ["3"]);
    assert_eq!(second.bodies(3, 1).await, ["3"]);
}

#[actix_web::test]
async fn a_body_that_is_not_text_is_pushed_as_base64() {
    let broker = TestBroker::start().await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    broker.http("POST", "/v1/topics/pubsub/messages", r#"{"base64":"/wAB"}"#).await.expect(201);
    let pushed = subscriber.json().await;
    assert_eq!((&pushed["base64"], pushed.get("body")), (&json!("/wAB"), None));
}

#[actix_web::test]
async fn bodies_of_every_frame_length_arrive_whole() {
    let broker = TestBroker::start().await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    for (at, length) in
        [0, 1, 10, 100, 1000, 65_400, 65_500, 65_600, 1_000_000, 3_900_000].into_iter().enumerate()
    {
        let body = "y".repeat(length);
        publish(&broker, "pubsub", &[&body]).await;
        assert!(subscriber.bodies(at as u64 + 1, 1).await[0] == body, "{length} bytes");
    }
}

#[actix_web::test]
async fn pings_are_answered_and_silent_clients_pinged() {
    let broker = TestBroker::start_with(&["ws.ping_s=1"]).await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    subscriber.socket.send(Message::Ping("abc".into())).await.unwrap();
    assert_eq!(subscriber.frame().await, Some(Message::Pong("abc".into())));
    assert_eq!(subscriber.frame().await, Some(Message::Ping("".into())));
}

#[actix_web::test]
async fn a_client_that_answers_no_ping_is_let_go() {
    let broker = TestBroker::start_with(&["ws.ping_s=1", "ws.timeout_s=1"]).await;
    let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
    assert_eq!(raw.close_code().await, 1008);
    raw.expect_end().await;
    eventually("it is forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_close_is_answered() {
    let broker = TestBroker::start().await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    subscriber.socket.close(None).await.unwrap();
    assert_eq!(subscriber.close_code().await, 1000);
    let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
    raw.send(0x88, &[]).await;
    assert_eq!(raw.close_code().await, 1000);
    raw.expect_end().await;
    eventually("both are forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn what_a_client_says_is_answered_with_an_error_and_nothing_ends() {
    let broker = TestBroker::start().await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    for message in [Message::Text("hello".into()), Message::Binary(vec![1].into())] {
        subscriber.socket.send(message).await.unwrap();
        let error = subscriber.json().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("push_only")));
    }
    publish(&broker, "pubsub", &["still"]).await;
    assert_eq!(subscriber.bodies(1, 1).await, ["still"]);
}

#[actix_web::test]
async fn a_frame_above_the_limit_closes_with_1009() {
    let broker = TestBroker::start_with(&["ws.frame_bytes_max=1000"]).await;
    let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
    raw.send(0x81, &[b'x'; 1000]).await;
    assert_eq!(
        (raw.json().await["type"].clone(), raw.json().await["type"].clone()),
        (json!("subscribed"), json!("error"))
    );
    raw.send(0x81, &[b'x'; 1001]).await;
    assert_eq!(raw.close_code().await, 1009);
    raw.expect_end().await;

    // Announced, and never sent: what is buffered of it has the same bound.
    let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
    raw.wire
        .send([&[0x82, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4], &[0; 1100]].concat())
        .await;
    assert_eq!(raw.close_code().await, 1009);
    raw.expect_end().await;
}

#[actix_web::test]
async fn a_malformed_frame_closes_with_1002() {
    let broker = TestBroker::start().await;
    let table: [(&str, &[u8]); 4] = [
        ("not masked", &[0x81, 0x01, b'x']),
        ("an opcode that is none", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a long ping", &[&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat()),
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
    ];
    for (what, bytes) in table {
        let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
        raw.wire.send(bytes).await;
        assert_eq!(raw.close_code().await, 1002, "{what}");
        raw.expect_end().await;
    }
    eventually("all are forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}

/// A client that vanishes in the middle of a frame.
#[actix_web::test]
async fn a_half_sent_frame_and_an_end_are_a_departure() {
    let broker = TestBroker::start().await;
    let mut raw = Raw::open(&broker, "/v1/topics/pubsub/ws").await;
    raw.wire.send([0x81, 0xfe, 0x01]).await;
    raw.wire.stream.shutdown().await.unwrap();
    drop(raw);
    eventually("it is forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}

const SMALL: [&str; 6] = [
    // On a busy machine the clients take their time.
    "server.tcp_user_timeout_ms=600000",
    "ws.timeout_s=600",
    "limits.subscriber_chunks=1",
    "limits.chunk_bytes=1000",
    "limits.subscriber_backlog_bytes=100000",
    "limits.subscriber_stuck_s=600",
];

/// More than any socket buffers: 30 MB. Another subscriber reads all of it meanwhile.
async fn flood(broker: &TestBroker, first: u64) {
    let body = "z".repeat(50_000);
    let (mut reader, hello) = Subscriber::subscribed(broker, "flood").await;
    assert_eq!(hello["next"], first);
    for batch in 0..60 {
        publish(broker, "flood", &[&body; 10].map(|body: &String| body.as_str())).await;
        reader.bodies(first + batch * 10, 10).await;
    }
}

/// It misses the oldest, is told which, and goes on; everybody else is served as ever.
#[actix_web::test]
async fn a_client_that_does_not_read_misses_messages_and_is_told() {
    let broker = TestBroker::start_with(&SMALL).await;
    create(&broker, "flood", json!({"durability": "memory", "history_messages": 20})).await;
    let mut raw = Raw::open(&broker, "/v1/topics/flood/ws?slow=drop").await;
    flood(&broker, 1).await;
    publish(&broker, "flood", &["end"]).await;

    assert_eq!(raw.json().await["type"], "subscribed");
    let (mut next, mut gaps) = (1, 0);
    while next <= 601 {
        let frame = raw.json().await;
        if frame["type"] == "gap" {
            assert_eq!(frame["from"], next, "{frame}");
            next = frame["to"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(frame["seq"], next);
            next += 1;
        }
    }
    assert_eq!(next, 602);
    assert!(gaps >= 1, "nothing was missed, so this tests nothing");
    publish(&broker, "flood", &["after"]).await;
    assert_eq!(raw.json().await["body"], "after");
    let metrics = broker.http("GET", "/metrics", "").await.text();
    let dropped =
        metrics.lines().find(|line| line.starts_with("octoq_push_dropped_total{topic=\"flood\"}"));
    assert!(dropped.is_some_and(|line| !line.ends_with(" 0")), "{dropped:?}");
}

#[actix_web::test]
async fn a_client_that_does_not_read_is_closed_with_1013_if_it_wants() {
    let broker = TestBroker::start_with(&SMALL).await;
    create(&broker, "flood", json!({"durability": "memory"})).await;
    let mut raw = Raw::open(&broker, "/v1/topics/flood/ws?slow=close").await;
    flood(&broker, 1).await;
    assert_eq!(raw.json().await["type"], "subscribed");
    let mut next = 1;
    let code = loop {
        match raw.frame().await.expect("a close frame before the end") {
            (1, text) => {
                let frame: Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(
                    (&frame["type"], &frame["seq"]),
                    (&json!("message"), &json!(next)),
                    "no gap before the end"
                );
                next += 1;
            }
            (8, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            (_, _) => (),
        }
    };
    assert_eq!(code, 1013);
    raw.send(0x88, &1013u16.to_be_bytes()).await;
    raw.expect_end().await;
}

#[actix_web::test]
async fn subscribers_of_a_deleted_topic_are_closed_with_4404() {
    let broker = TestBroker::start().await;
    create(&broker, "t", json!({})).await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "t").await;
    let mut raw = Raw::open(&broker, "/v1/topics/t/ws").await;
    assert_eq!(broker.http("DELETE", "/v1/topics/t", "").await.status, 204);
    assert_eq!(subscriber.close_code().await, 4404);
    assert_eq!(raw.close_code().await, 4404);
    // One close frame from each side is all.
    raw.send(0x88, &4404u16.to_be_bytes()).await;
    raw.expect_end().await;
}

#[actix_web::test]
async fn subscribers_are_closed_with_1001_when_the_broker_stops() {
    let broker = TestBroker::start().await;
    let (mut subscriber, _) = Subscriber::subscribed(&broker, "pubsub").await;
    publish(&broker, "pubsub", &["before"]).await;
    let (_, code) = tokio::join!(broker.stop(), async {
        assert_eq!(subscriber.bodies(1, 1).await, ["before"]);
        subscriber.close_code().await
    });
    assert_eq!(code, 1001);
}

#[actix_web::test]
async fn an_upgrade_that_cannot_be_is_refused_as_a_problem() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let upgrade: Vec<(&str, &str)> =
        UPGRADE.lines().map(|line| line.trim().split_once(": ").unwrap()).collect();
    let try_with = async |path: &str, headers: &[(&str, &str)]| {
        let mut wire = Wire::connect(address).await;
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        wire.send(format!("GET /v1/topics/{path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n"))
            .await;
        wire.stream.shutdown().await.unwrap();
        wire.answer().await
    };
    let paths = [
        ("default/ws", 409, "wrong_kind"),
        ("none/ws", 404, "topic_not_found"),
        ("pubsub/ws?epoch=1", 400, "invalid_request"),
        ("pubsub/ws?seq=1", 400, "invalid_request"),
        ("pubsub/ws?epoch=x&seq=1", 400, "invalid_request"),
        ("pubsub/ws?slow=maybe", 400, "invalid_request"),
        ("pubsub/ws?colour=red", 400, "invalid_request"),
    ];
    for (path, status, code) in paths {
        let answer = try_with(path, &upgrade).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        answer.expect_problem(status, code);
    }
    for missing in ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        let headers: Vec<_> =
            upgrade.iter().filter(|(name, _)| *name != missing).copied().collect();
        let answer = try_with("pubsub/ws", &headers).await;
        assert_eq!(answer.status, 400, "without {missing}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
    let foreign = [upgrade.clone(), vec![("Origin", "http://evil.example")]].concat();
    try_with("pubsub/ws", &foreign).await.expect_problem(403, "foreign_origin");

    let body = r#"{"password":"pw"}"#;
    assert_eq!(broker.http("PUT", "/v1/users/ann", body).await.status, 204);
    // ann:pw
    let hers = [upgrade.clone(), vec![("Authorization", "Basic YW5uOnB3")]].concat();
    try_with("pubsub/ws", &hers).await.expect_problem(403, "not_allowed");
    assert_eq!(subscribers(&broker, "pubsub").await, 0);
}

#[actix_web::test]
async fn two_hundred_subscribers_all_get_everything() {
    let broker = TestBroker::start().await;
    let all = join_all((0..200).map(|_| Subscriber::subscribed(&broker, "pubsub"))).await;
    assert_eq!(subscribers(&broker, "pubsub").await, 200);
    let bodies: Vec<_> = (0..50).map(|number| format!("message {number}")).collect();
    publish(&broker, "pubsub", &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let readers =
        all.into_iter().map(|(mut subscriber, _)| async move { subscriber.bodies(1, 50).await });
    for got in join_all(readers).await {
        assert_eq!(got, bodies);
    }
    eventually("all are forgotten", async || {
        (subscribers(&broker, "pubsub").await == 0).then_some(())
    })
    .await;
}
