//! Server-sent events.

use crate::*;

/// One event stream.
struct Events {
    wire: Wire,
    head: String,
}

/// One event: its kind, its id, its data.
#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Events {
    async fn open(broker: &TestBroker, path: &str, headers: &str) -> Events {
        let mut wire = Wire::connect(broker.door("http")).await;
        wire.send(format!(
            "GET /v1/topics/{path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n",
            broker.door("http")
        ))
        .await;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push_str(&wire.line().await);
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Events { wire, head: head.to_lowercase() }
    }

    /// The next line of the stream, chunk heads apart.
    async fn line(&mut self) -> String {
        loop {
            let line = self.wire.line().await;
            let line = line.trim_end_matches('\n');
            // A chunk ends with CRLF, its head is a number; lines of the stream end with LF.
            if line.ends_with('\r') {
                continue;
            }
            return line.to_owned();
        }
    }

    async fn next(&mut self) -> Event {
        let mut event = Event { kind: String::new(), id: String::new(), data: Value::Null };
        loop {
            let line = self.line().await;
            match line.split_once(": ") {
                Some(("event", kind)) => event.kind = kind.to_owned(),
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                Some(("retry", _)) => (),
                None if line.is_empty() && !event.kind.is_empty() => return event,
                None if line.is_empty() || line == ":" => (),
                other => panic!("{other:?}: {line}"),
            }
        }
    }
}

#[actix_web::test]
async fn a_topic_is_followed_as_events_that_can_be_resumed() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    let mut events = Events::open(&broker, "t/events", "").await;
    for header in ["content-type: text/event-stream", "cache-control: no-store"] {
        assert!(events.head.contains(header), "{}", events.head);
    }
    let epoch = show(&broker, "t").await["epoch"].clone();
    let hello = events.next().await;
    assert_eq!((hello.kind.as_str(), hello.id.clone()), ("subscribed", format!("{epoch}-0")));
    assert_eq!(hello.data, json!({"topic": "t", "epoch": epoch, "next": 1}));
    assert_eq!(metric(&broker, "octoq_connections{door=\"events\"}").await, 1);

    publish(&broker, "t", &["1", "line\nend", "3"]).await;
    for (seq, body) in [(1, "1"), (2, "line\nend"), (3, "3")] {
        let event = events.next().await;
        assert_eq!((event.kind.as_str(), event.id), ("message", format!("{epoch}-{seq}")));
        assert_eq!((&event.data["seq"], &event.data["body"]), (&json!(seq), &json!(body)));
    }
    drop(events);
    until(&broker, "t", "/subscribers", json!(0)).await;
    publish(&broker, "t", &["4"]).await;
    let mut back =
        Events::open(&broker, "t/events", &format!("Last-Event-ID: {epoch}-2\r\n")).await;
    assert_eq!(back.next().await.id, format!("{epoch}-2"), "where it is now");
    for body in ["3", "4"] {
        assert_eq!(back.next().await.data["body"], body);
    }
    let path = format!("t/events?last_event_id={epoch}-3");
    let mut query = Events::open(&broker, &path, "").await;
    query.next().await;
    assert_eq!(query.next().await.data["body"], "4");
}

#[actix_web::test]
async fn what_is_gone_is_told_as_a_gap() {
    let broker = TestBroker::start().await;
    let new = json!({"name": "t", "kind": "pubsub", "policy": {"history_messages": 2}});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
    let mut stays = Events::open(&broker, "t/events", "").await;
    stays.next().await;
    for seq in 1..=5 {
        publish(&broker, "t", &[&seq.to_string()]).await;
        assert_eq!(stays.next().await.data["seq"], seq);
    }
    let epoch = show(&broker, "t").await["epoch"].clone();
    let mut back =
        Events::open(&broker, "t/events", &format!("Last-Event-ID: {epoch}-1\r\n")).await;
    back.next().await;
    let gap = Event {
        kind: "gap".into(),
        id: format!("{epoch}-3"),
        data: json!({"epoch": epoch, "from": 2, "through": 3}),
    };
    assert_eq!(back.next().await, gap);
    assert_eq!(back.next().await.data["seq"], 4);
    let other = epoch.as_u64().unwrap() ^ 1;
    let mut back =
        Events::open(&broker, "t/events", &format!("Last-Event-ID: {other}-1\r\n")).await;
    back.next().await;
    let data = json!({"epoch": epoch, "from": 1, "through": 5, "reason": "epoch", "kept_from": 4});
    assert_eq!(back.next().await, Event { kind: "gap".into(), id: format!("{epoch}-5"), data });
}

#[actix_web::test]
async fn a_stream_with_nothing_to_tell_has_a_heartbeat() {
    let broker = TestBroker::start_with(&["http.events_heartbeat_s=1"]).await;
    let mut events = Events::open(&broker, "pubsub/events", "").await;
    events.next().await;
    assert_eq!([events.line().await, events.line().await], [":", ""]);
    publish(&broker, "pubsub", &["x"]).await;
    assert_eq!(events.next().await.data["body"], "x");
}

#[actix_web::test]
async fn a_stream_ends_with_its_topic_and_with_the_broker() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    let mut events = Events::open(&broker, "t/events", "").await;
    events.next().await;
    assert_eq!(broker.http("DELETE", "/v1/topics/t", "").await.status, 204);
    let end = events.next().await;
    assert_eq!((end.kind.as_str(), &end.data["code"]), ("ended", &json!("topic_not_found")));

    let mut events = Events::open(&broker, "pubsub/events", "").await;
    events.next().await;
    let (_, end) = tokio::join!(broker.stop(), events.next());
    assert_eq!((end.kind.as_str(), &end.data["code"]), ("ended", &json!("stopping")));
}

#[actix_web::test]
async fn a_stream_that_cannot_be_is_refused_as_a_problem() {
    let broker = TestBroker::start_with(&["http.origins=http://app.example"]).await;
    let table = [
        ("none/events", "", 404, "topic_not_found"),
        ("default/events", "", 409, "wrong_kind"),
        ("pubsub/events?last_event_id=7", "", 400, "invalid_request"),
        ("pubsub/events?slow=maybe", "", 400, "invalid_request"),
        ("pubsub/events?colour=red", "", 400, "invalid_request"),
        ("pubsub/events", "Last-Event-ID: 1-2-3\r\n", 400, "invalid_request"),
        ("pubsub/events", "Last-Event-ID: -1\r\n", 400, "invalid_request"),
        ("pubsub/events", "Origin: http://evil.example\r\n", 403, "foreign_origin"),
    ];
    let address = broker.door("http");
    for (path, headers, status, code) in table {
        let mut wire = Wire::connect(address).await;
        wire.send(format!("GET /v1/topics/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n")).await;
        wire.answer().await.expect_problem(status, code);
    }
    let events = Events::open(&broker, "pubsub/events", "Origin: http://app.example\r\n").await;
    assert!(
        events.head.contains("access-control-allow-origin: http://app.example"),
        "{}",
        events.head
    );
    // An id that was never given says nothing.
    Events::open(&broker, "pubsub/events", "Last-Event-ID: \r\n").await.next().await;
}

#[actix_web::test]
async fn a_listener_that_leaves_is_forgotten_at_once() {
    let broker = TestBroker::start().await;
    for _ in 0..10 {
        let mut events = Events::open(&broker, "pubsub/events", "").await;
        events.next().await;
    }
    until(&broker, "pubsub", "/subscribers", json!(0)).await;
}
