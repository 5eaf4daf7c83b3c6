use super::*;

const BOUNDS: Bounds = Bounds { prefetch_max: 100, reply_wait_max: Duration::from_secs(10) };
const NOW: Timestamp = Timestamp(1000);

fn said(frame: &str) -> Result<(Req, Verb), Malformed> {
    text(frame.as_bytes(), &BOUNDS, NOW)
}

fn verb(frame: &str) -> Verb {
    said(frame).unwrap_or_else(|malformed| panic!("{frame}: {}", malformed.problem)).1
}

#[track_caller]
fn refused(frame: &str) -> (Option<String>, Problem) {
    match said(frame) {
        Err(Malformed { req, problem }) => (req.map(|req| req.get().to_owned()), problem),
        Ok((_, verb)) => panic!("{frame} is {verb:?}"),
    }
}

fn topic() -> TopicName {
    TopicName::parse("t").unwrap()
}

fn plain(body: &'static str) -> NewMessage {
    NewMessage::plain(Bytes::from_static(body.as_bytes()))
}

#[test]
fn each_verb_is_read() {
    let receipt = Receipt { queue: 1, slot: 2, stamp: 3 };
    let table = [
        (
            r#"{"op":"publish","topic":"t","message":{"body":"x"}}"#.to_owned(),
            Verb::Publish { topic: topic(), queue: None, messages: vec![plain("x")], single: true },
        ),
        (
            r#"{"op":"publish","topic":"t","queue":"q","messages":[{"body":"x"},{"json":[1]}]}"#.into(),
            Verb::Publish {
                topic: topic(),
                queue: Some(QueueName::parse("q").unwrap()),
                messages: vec![plain("x"), plain("[1]")],
                single: false,
            },
        ),
        (
            r#"{"op":"subscribe","topic":"t"}"#.into(),
            Verb::Subscribe {
                topic: topic(),
                position: None,
                slow: SlowPolicy::DropOldest,
                sub: "t".into(),
                binary: false,
                look: false,
            },
        ),
        (
            r#"{"op":"subscribe","topic":"t","epoch":1,"seq":2,"slow":"close","sub":"s","binary":true,"look":true}"#.into(),
            Verb::Subscribe {
                topic: topic(),
                position: Some(Position { epoch: 1, seq: 2 }),
                slow: SlowPolicy::Disconnect,
                sub: "s".into(),
                binary: true,
                look: true,
            },
        ),
        (
            r#"{"op":"consume","topic":"t","queue":"q","prefetch":100,"ack_deadline_ms":5}"#.into(),
            Verb::Consume {
                topic: topic(),
                queue: Some(QueueName::parse("q").unwrap()),
                prefetch: 100,
                ack_deadline: Some(Duration::from_millis(5)),
                sub: "t/q".into(),
                binary: false,
            },
        ),
        (
            format!(r#"{{"op":"ack","topic":"t","receipt":"{receipt}"}}"#),
            Verb::Settle { topic: topic(), receipts: vec![receipt], single: true, how: Settle::Ack },
        ),
        (
            format!(r#"{{"op":"nack","topic":"t","receipts":["{receipt}"],"mode":"dead","error":"e"}}"#),
            Verb::Settle {
                topic: topic(),
                receipts: vec![receipt],
                single: false,
                how: Settle::Nack(Nack::Dead { error: Some("e".into()) }),
            },
        ),
        (
            format!(r#"{{"op":"extend","topic":"t","receipt":"{receipt}","ack_deadline_ms":9}}"#),
            Verb::Settle {
                topic: topic(),
                receipts: vec![receipt],
                single: true,
                how: Settle::Extend(Duration::from_millis(9)),
            },
        ),
        (r#"{"op":"unsubscribe","sub":"s"}"#.into(), Verb::Unsubscribe("s".into())),
        (r#"{"op":"ping"}"#.into(), Verb::Ping),
    ];
    for (frame, expected) in table {
        assert_eq!(verb(&frame), expected, "{frame}");
    }
}

#[test]
fn a_request_ends_with_the_wait_and_says_where_its_reply_goes() {
    let frame = r#"{"op":"request","req":1,"topic":"t","timeout_ms":500,"message":{"body":"x","attributes":{"a":1}}}"#;
    let Verb::Request { message, timeout, .. } = verb(frame) else { panic!() };
    assert_eq!(timeout, Duration::from_millis(500));
    assert_eq!(message.extra.as_ref().unwrap().expires_at, Some(Timestamp(1500)));
    let to: ReplyAddress = "00000000000040008000000000000001".parse().unwrap();
    let message = addressed(message, to, "7").unwrap();
    let attributes = message.extra.unwrap().attributes.clone().unwrap();
    let attributes: serde_json::Value = serde_json::from_str(&attributes).unwrap();
    let expected = serde_json::json!(
        {"a": 1, "reply-to": "00000000000040008000000000000001", "correlation-id": "7"});
    assert_eq!(attributes, expected);

    // An end of its own counts when it is earlier.
    let frame = r#"{"op":"request","req":1,"topic":"t","timeout_ms":500,"message":{"body":"x","ttl_ms":5}}"#;
    let Verb::Request { message, .. } = verb(frame) else { panic!() };
    assert_eq!(message.extra.as_ref().unwrap().expires_at, Some(Timestamp(1005)));

    let frame = r#"{"op":"request","req":1,"topic":"t","timeout_ms":500,"message":{"body":"x","attributes":{"reply-to":1}}}"#;
    let Verb::Request { message, .. } = verb(frame) else { panic!() };
    assert!(addressed(message, to, "7").is_err(), "the attribute is the broker's");
}

#[test]
fn a_reply_has_a_body_and_attributes_only() {
    let to = "00000000000040008000000000000001";
    let frame = |message: &str| {
        format!(r#"{{"op":"reply","to":"{to}","correlation":"1","message":{message}}}"#)
    };
    let Verb::Reply { reply, .. } = verb(&frame(r#"{"body":"x","attributes":{"a":1}}"#)) else {
        panic!()
    };
    assert_eq!((&reply.body[..], reply.attributes.as_deref()), (&b"x"[..], Some(r#"{"a":1}"#)));
    assert_eq!(refused(&frame(r#"{"body":"x","delay_ms":1}"#)).1.code, "invalid_request");
    let nowhere = r#"{"op":"reply","to":"x","correlation":"1","message":{"body":""}}"#;
    assert_eq!(refused(nowhere).1.code, "reply_gone");
}

#[test]
fn a_refused_frame_keeps_its_name_where_that_can_be_read() {
    let receipt = "0".repeat(32);
    let deep = format!(
        r#"{{"op":"publish","req":"a","topic":"t","message":{}1{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    let table: Vec<(String, Option<&str>)> = vec![
        ("".into(), None),
        ("nonsense".into(), None),
        ("[]".into(), None),
        (r#"["publish","a"]"#.into(), None),
        ("{}".into(), None),
        (r#"{"op":7,"req":"a"}"#.into(), Some(r#""a""#)),
        (r#"{"op":"ping","req":-1.5,"colour":"red"}"#.into(), Some("-1.5")),
        (r#"{"op":"ping","req":{}}"#.into(), None),
        (r#"{"op":"ping","req":true}"#.into(), None),
        (format!(r#"{{"op":"ping","req":"{}"}}"#, "x".repeat(300)), None),
        (r#"{"op":"ping","op":"ping"}"#.into(), None),
        (r#"{"op":"fly","req":1}"#.into(), Some("1")),
        (r#"{"op":"publish","req":1}"#.into(), Some("1")),
        (r#"{"op":"publish","req":1,"topic":""}"#.into(), Some("1")),
        (format!(r#"{{"op":"publish","req":1,"topic":"{}"}}"#, "x".repeat(256)), Some("1")),
        (r#"{"op":"publish","req":1,"topic":7}"#.into(), Some("1")),
        (r#"{"op":"publish","req":1,"topic":"t","message":{}}"#.into(), Some("1")),
        (r#"{"op":"publish","req":1,"topic":"t","message":[]}"#.into(), Some("1")),
        (
            r#"{"op":"publish","req":1,"topic":"t","message":{"body":"x"},"messages":[]}"#.into(),
            Some("1"),
        ),
        (
            r#"{"op":"publish","req":1,"topic":"t","message":{"body":"x"},"prefetch":1}"#.into(),
            Some("1"),
        ),
        (r#"{"op":"publish","req":1,"topic":"t","message":{"base64":"*"}}"#.into(), Some("1")),
        (deep, Some(r#""a""#)),
        (r#"{"op":"subscribe","req":1,"topic":"t","epoch":1}"#.into(), Some("1")),
        (r#"{"op":"subscribe","req":1,"topic":"t","epoch":-1,"seq":1}"#.into(), Some("1")),
        (r#"{"op":"subscribe","req":1,"topic":"t","slow":"maybe"}"#.into(), Some("1")),
        (r#"{"op":"subscribe","req":1,"topic":"t","sub":""}"#.into(), Some("1")),
        (r#"{"op":"consume","req":1,"topic":"t","prefetch":0}"#.into(), Some("1")),
        (r#"{"op":"consume","req":1,"topic":"t","prefetch":101}"#.into(), Some("1")),
        (r#"{"op":"consume","req":1,"topic":"t","prefetch":1e99}"#.into(), Some("1")),
        (r#"{"op":"consume","req":1,"topic":"t","ack_deadline_ms":0}"#.into(), Some("1")),
        (
            r#"{"op":"consume","req":1,"topic":"t","ack_deadline_ms":18446744073709551615}"#.into(),
            Some("1"),
        ),
        (r#"{"op":"ack","req":1,"topic":"t"}"#.into(), Some("1")),
        (r#"{"op":"ack","req":1,"topic":"t","receipt":"zz"}"#.into(), Some("1")),
        (format!(r#"{{"op":"ack","req":1,"receipt":"{receipt}"}}"#), Some("1")),
        (
            format!(r#"{{"op":"ack","req":1,"topic":"t","receipt":"{receipt}","receipts":[]}}"#),
            Some("1"),
        ),
        (
            format!(r#"{{"op":"ack","req":1,"topic":"t","receipt":"{receipt}","mode":"fail"}}"#),
            Some("1"),
        ),
        (
            format!(r#"{{"op":"nack","req":1,"topic":"t","receipt":"{receipt}","mode":"eat"}}"#),
            Some("1"),
        ),
        (format!(r#"{{"op":"extend","req":1,"topic":"t","receipt":"{receipt}"}}"#), Some("1")),
        (r#"{"op":"unsubscribe","req":1}"#.into(), Some("1")),
        (r#"{"op":"request","topic":"t","timeout_ms":5,"message":{"body":""}}"#.into(), None),
        (r#"{"op":"request","req":1,"topic":"t","message":{"body":""}}"#.into(), Some("1")),
        (
            r#"{"op":"request","req":1,"topic":"t","timeout_ms":0,"message":{"body":""}}"#.into(),
            Some("1"),
        ),
        (
            r#"{"op":"request","req":1,"topic":"t","timeout_ms":10001,"message":{"body":""}}"#
                .into(),
            Some("1"),
        ),
    ];
    for (frame, name) in table {
        assert_eq!(refused(&frame).0.as_deref(), name, "{frame}");
    }
    assert_eq!(refused(r#"{"op":"fly"}"#).1.code, "unknown_op");
}

#[test]
fn a_binary_frame_has_its_body_behind_the_head() {
    let frame = |head: &str, body: &[u8]| {
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        Bytes::from([&length[..], head.as_bytes(), body].concat())
    };
    let read = |frame: &Bytes| binary(frame, &BOUNDS, NOW);
    for head in [r#"{"op":"publish","topic":"t"}"#, r#"{"op":"publish","topic":"t","message":{}}"#]
    {
        let (_, verb) = read(&frame(head, b"\xff\x00")).unwrap();
        let messages = vec![NewMessage::plain(Bytes::from_static(b"\xff\x00"))];
        let expected = Verb::Publish { topic: topic(), queue: None, messages, single: true };
        assert_eq!(verb, expected, "{head}");
    }
    assert_eq!(read(&frame(r#"{"op":"ping"}"#, b"")).unwrap().1, Verb::Ping);

    let refused = [
        (frame(r#"{"op":"ping","req":1}"#, b"x"), Some("1")),
        (frame(r#"{"op":"publish","req":1,"topic":"t","message":{"body":"x"}}"#, b"y"), Some("1")),
        (frame(r#"{"op":"publish","req":1,"topic":"t","messages":[]}"#, b"y"), Some("1")),
        (Bytes::from_static(b""), None),
        (Bytes::from_static(b"\0\0\0"), None),
        (Bytes::from_static(b"\0\0\0\0"), None),
        (Bytes::from_static(b"\0\0\0\x03{}"), None),
        (Bytes::from_static(b"\xff\xff\xff\xff{}"), None),
        (frame("{\"op\":\"pi", b"ng\"}"), None),
    ];
    for (frame, name) in refused {
        let Err(Malformed { req, .. }) = read(&frame) else { panic!("{frame:?} is taken") };
        assert_eq!(req.as_ref().map(|req| req.get()), name, "{frame:?}");
    }
}
