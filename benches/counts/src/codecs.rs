//! The codecs alone: bytes of a client to what the broker is asked for, and what the broker hands out
//! to bytes. One message at a time, and a hundred.

use crate::meter::Meter;
use bytes::{BufMut, Bytes, BytesMut};
use octoq::{
    broker::subscribers::PushSource,
    config::FastqueueConfig,
    dialect::{
        blockqueue::request as blockqueue,
        dsmq::{
            objects::{Framing, Objects},
            reply::Replies,
            request::{self as dsmq, Content, Request},
        },
        fastqueue::{json, schema::CreateMessage},
        native::{self, PublishBody, socket},
        okq::{
            command::{self, Command},
            resp::{self, Decoder, Step},
        },
        otq::codec::{self as otq, Line, Lines},
        websocket::{Frames, Incoming},
    },
    queue::*,
};
use std::{hint::black_box, time::Duration};

/// Messages of one section.
const MESSAGES: usize = 1000;
const BATCH: usize = 100;
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const BYTES_MAX: usize = 4 << 20;

/// Every section of the codecs.
pub fn count(meter: &mut Meter) {
    type Group = (&'static str, fn(&mut Meter));
    let groups: [Group; 7] = [
        ("otq", otq_rows),
        ("okq", okq_commands),
        ("dsmq", dsmq_requests),
        ("blockqueue", blockqueue_bodies),
        ("fastqueue", fastqueue_bodies),
        ("native", native_bodies),
        ("socket", socket_frames),
    ];
    for (group, count) in groups {
        if meter.wants(group) {
            count(meter);
        }
    }
}

/// A body of 100 bytes, as text that JSON needs not escape.
fn body() -> String {
    "x".repeat(100)
}

/// Counts work on one message at a time, and on batches; what it works on is there before.
fn each<T>(
    meter: &mut Meter,
    name: &str,
    batches: &[usize],
    made: impl Fn(usize) -> T,
    mut work: impl FnMut(T),
) {
    for batch in batches {
        // Once before, for what is made at the first time only.
        work(made(*batch));
        let mut inputs: Vec<T> = (0..MESSAGES / batch).map(|_| made(*batch)).collect();
        let name = if *batch == 1 { name.to_owned() } else { format!("{name}-{batch}") };
        meter.section(&name, MESSAGES, || inputs.drain(..).for_each(&mut work));
    }
}

const BOTH: &[usize] = &[1, BATCH];

fn message(n: u64) -> Message {
    Message {
        salt: 1,
        lone: true,
        seq: n,
        number: n,
        body: Some(Bytes::from(body()).into()),
        published_at: NOW,
        extra: None,
    }
}

fn delivery(n: u64) -> Delivery {
    Delivery {
        message: message(n),
        receipt: Some(Receipt { queue: 1, slot: n as u32, stamp: n }),
        attempt: 1,
        at: NOW,
        deadline: NOW.after_ms(30_000),
        expires_at: Timestamp::NEVER,
    }
}

fn deliveries(count: usize) -> Vec<Delivery> {
    (0..count as u64).map(delivery).collect()
}

fn otq_rows(meter: &mut Meter) {
    let put = |rows: usize| {
        let mut input = BytesMut::new();
        input.put_slice(format!("OTQ PUT orders {rows} BATCH\r\n").as_bytes());
        for _ in 0..rows {
            input.put_slice(body().as_bytes());
            input.put_slice(b"\r\n");
        }
        input
    };
    each(meter, "otq/read-put", BOTH, put, |mut input| {
        let mut lines = Lines::default();
        let Some(Line::Whole(head)) = lines.next(&mut input, BYTES_MAX) else { panic!("a line") };
        let command = otq::parse(&head, 10_000).expect("a command");
        let mut messages = Vec::new();
        while let Some(Line::Whole(row)) = lines.next(&mut input, BYTES_MAX) {
            messages.push(NewMessage::plain(Bytes::copy_from_slice(&row)));
        }
        black_box((command, messages));
    });
    let mut out = Vec::with_capacity(64 << 10);
    each(meter, "otq/write-get", BOTH, deliveries, |deliveries| {
        out.clear();
        out.extend_from_slice(otq::PROCEED);
        for delivery in &deliveries {
            otq::row(&mut out, delivery.message.body());
        }
        out.extend_from_slice(otq::END);
        black_box(&out);
    });
}

fn okq_commands(meter: &mut Meter) {
    let bounds = resp::Bounds { bulk_bytes_max: BYTES_MAX, request_bytes_max: BYTES_MAX };
    let pipeline = |count: usize, words: &dyn Fn(usize) -> Vec<String>| {
        let mut input = Vec::new();
        for n in 0..count {
            let words = words(n);
            resp::array(&mut input, words.len());
            words.iter().for_each(|word| resp::bulk(&mut input, word.as_bytes()));
        }
        input
    };
    // As one connection reads them, whose decoder keeps its memory.
    let mut decoder = Decoder::default();
    let mut read = |input: Vec<u8>, take: &mut dyn FnMut(Command<'_>)| {
        let mut rest = &input[..];
        while let Ok(Step::Request(bytes)) = decoder.next(rest, &bounds) {
            take(command::parse(&decoder.args(rest)).expect("a command"));
            rest = &rest[bytes..];
        }
        assert!(rest.is_empty());
    };
    let push = |n: usize| vec!["QLPUSH".into(), "orders".into(), format!("id-{n:08}"), body()];
    each(
        meter,
        "okq/read-push",
        BOTH,
        |count| pipeline(count, &push),
        |input| {
            let mut messages = Vec::new();
            read(input, &mut |command| match command {
                Command::Push { id, contents, .. } => {
                    messages.push(NewMessage::with_id(id, contents))
                }
                other => panic!("{other:?}"),
            });
            black_box(messages);
        },
    );
    let ack = |n: usize| vec!["QACK".into(), "orders".into(), format!("id-{n:08}")];
    each(
        meter,
        "okq/read-ack",
        BOTH,
        |count| pipeline(count, &ack),
        |input| {
            read(input, &mut |command| {
                black_box(command);
            });
        },
    );
    let mut out = Vec::with_capacity(64 << 10);
    each(meter, "okq/write-pop", BOTH, deliveries, |deliveries| {
        out.clear();
        for delivery in &deliveries {
            resp::array(&mut out, 2);
            resp::bulk(&mut out, b"id-00000001");
            resp::bulk(&mut out, delivery.message.body());
        }
        black_box(&out);
    });
}

/// A client's frame, masked.
fn framed(first: u8, payload: &[u8]) -> BytesMut {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = BytesMut::new();
    out.put_u8(first);
    match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => out.put_u8(0x80 | short as u8),
        Ok(middle) => {
            out.put_u8(0x80 | 126);
            out.put_u16(middle);
        }
        Err(_) => {
            out.put_u8(0x80 | 127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The messages of a stream of frames.
fn frames(mut input: BytesMut, mut take: impl FnMut(Bytes)) {
    let mut frames = Frames::new(BYTES_MAX);
    while let Some(incoming) = frames.next(&mut input).expect("frames") {
        let Incoming::Message { body, .. } = incoming else { panic!("{incoming:?}") };
        take(body);
    }
}

fn dsmq_requests(meter: &mut Meter) {
    let put = format!(r#"{{"action":"put","topic":"orders","message":"{}"}}"#, body());
    let stored = |request: Request<'_>| match request {
        Request::Put(topic, Content::Text(text)) => {
            black_box(topic);
            black_box(NewMessage::plain(Bytes::copy_from_slice(text.as_bytes())));
        }
        other => panic!("{other:?}"),
    };
    let bare = |count: usize| BytesMut::from(put.repeat(count).as_bytes());
    each(meter, "dsmq/read-put", BOTH, bare, |mut input| {
        let mut objects = Objects::new(BYTES_MAX);
        while let Some((_, object)) = objects.next(&mut input).expect("objects") {
            stored(dsmq::parse(&object).expect("a request"));
        }
    });
    let in_frames = |count: usize| {
        let mut input = BytesMut::new();
        (0..count).for_each(|_| input.extend_from_slice(&framed(TEXT, put.as_bytes())));
        input
    };
    each(meter, "dsmq/read-put-frame", BOTH, in_frames, |input| {
        frames(input, |body| stored(dsmq::parse(&body).expect("a request")));
    });
    let (mut replies, mut out) = (Replies::default(), Vec::with_capacity(64 << 10));
    each(meter, "dsmq/write-frame", BOTH, deliveries, |deliveries| {
        out.clear();
        for delivery in &deliveries {
            replies.write(&mut out, Framing::Frame, Some(&delivery.message), BYTES_MAX);
        }
        black_box(&out);
    });
}

/// A JSON array of so many of these.
fn list(count: usize, item: &str) -> String {
    format!("[{}]", vec![item; count].join(","))
}

/// What came out is there, and used.
fn good<T, E>(result: Result<T, E>) {
    assert!(black_box(result).is_ok());
}

/// Bodies of blockqueue's publishes.
fn blockqueue_bodies(meter: &mut Meter) {
    let one = format!(r#"{{"message":"{}","delay":"5s"}}"#, body());
    each(
        meter,
        "blockqueue/publish",
        &[1],
        |_| one.clone(),
        |input| {
            let publish = blockqueue::publish(input.as_bytes());
            good(publish.and_then(|publish| publish.message(NOW, None)));
        },
    );
    each(
        meter,
        "blockqueue/publish",
        &[BATCH],
        |count| list(count, &one),
        |input| {
            let publishes = blockqueue::publishes(input.as_bytes()).unwrap_or_default();
            assert_eq!(publishes.len(), BATCH);
            publishes.into_iter().for_each(|publish| good(publish.message(NOW, None)));
        },
    );
}

/// Bodies of fastqueue's publishes.
fn fastqueue_bodies(meter: &mut Meter) {
    let one = format!(r#"{{"data":{{"text":"{}","n":17}},"attributes":{{"kind":"a"}}}}"#, body());
    let settings = FastqueueConfig::default();
    each(
        meter,
        "fastqueue/publish",
        &[1],
        |_| one.clone(),
        |input| {
            let value = json::read(&input, settings.nesting_max).ok();
            good(CreateMessage::check(value.as_ref()));
        },
    );
}

/// Bodies of the native API's publishes.
fn native_bodies(meter: &mut Meter) {
    let one = format!(r#"{{"body":"{}","attributes":{{"kind":"a"}},"id":"order-17"}}"#, body());
    each(
        meter,
        "native/publish",
        &[1],
        |_| one.clone(),
        |input| {
            let publish = native::object::<PublishBody<'_>>(input.as_bytes());
            good(publish.and_then(|publish| publish.message(NOW, None)));
        },
    );
    each(
        meter,
        "native/publish",
        &[BATCH],
        |count| list(count, &one),
        |input| {
            let publishes: Vec<native::Object<PublishBody<'_>>> =
                native::json(input.as_bytes()).unwrap_or_default();
            assert_eq!(publishes.len(), BATCH);
            publishes.into_iter().for_each(|native::Object(item)| good(item.message(NOW, None)));
        },
    );
}

/// The frames of `/v1/ws`.
fn socket_frames(meter: &mut Meter) {
    let bounds =
        socket::request::Bounds { prefetch_max: 1000, reply_wait_max: Duration::from_secs(60) };
    let single =
        format!(r#"{{"op":"publish","topic":"orders","message":{{"body":"{}"}},"req":1}}"#, body());
    each(
        meter,
        "socket/read-publish",
        &[1],
        |_| framed(TEXT, single.as_bytes()),
        |input| {
            frames(input, |body| good(socket::request::text(&body, &bounds, NOW)));
        },
    );
    let many = |count: usize| {
        let messages = vec![format!(r#"{{"body":"{}"}}"#, body()); count].join(",");
        framed(
            TEXT,
            format!(r#"{{"op":"publish","topic":"orders","messages":[{messages}]}}"#).as_bytes(),
        )
    };
    each(meter, "socket/read-publish", &[BATCH], many, |input| {
        frames(input, |body| good(socket::request::text(&body, &bounds, NOW)));
    });
    let head = br#"{"op":"publish","topic":"orders"}"#;
    let mut binary = (head.len() as u32).to_be_bytes().to_vec();
    binary.extend_from_slice(head);
    binary.extend_from_slice(body().as_bytes());
    each(
        meter,
        "socket/read-binary",
        &[1],
        |_| framed(BINARY, &binary),
        |input| {
            frames(input, |body| good(socket::request::binary(&body, &bounds, NOW)));
        },
    );
    let look = socket::DeliveryLook {
        sub: "orders".into(),
        topic: "orders".to_owned(),
        queue: "default".to_owned(),
        binary: false,
    };
    let mut out = BytesMut::with_capacity(256 << 10);
    each(meter, "socket/write-delivery", BOTH, deliveries, |deliveries| {
        out.clear();
        deliveries.iter().for_each(|delivery| socket::delivery(&mut out, &look, delivery));
        black_box(&out);
    });
    let source = PushSource {
        topic: TopicName::parse("orders").expect("a name"),
        epoch: 1,
        label: Some("orders".into()),
        masked: None,
    };
    each(meter, "socket/write-push", BOTH, deliveries, |deliveries| {
        out.clear();
        for delivery in &deliveries {
            (socket::TEXT.message)(&source, &delivery.message, &mut out);
        }
        black_box(&out);
    });
}
