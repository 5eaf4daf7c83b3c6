//! dsmq's dialogues: of the WebSocket releases (1.0 to 1.4.1), of those with bare JSON (0.2 to 0.6)
//! and of the one with length headers (0.7). octoq speaks all three on one port.

mod plain;

use super::websocket::{WebSocket, first, frame};
use super::{Case, Mismatch, Target};
use crate::conform::case;
use std::time::Duration;

/// The dialogues of a WebSocket server of dsmq 1.4.
pub const CASES: &[Case] = &[
    case!("a put has no reply, a get has one, and nothing is an empty message", put_and_get),
    case!("positions begin at the connection; get goes on, get_latest skips", transcript),
    case!("every reader gets every message", one_to_many),
    case!("a topic that was not mentioned yet is read from the connection on", unmentioned),
    case!("the reply to a get tells that earlier puts are there for everybody", visible),
    case!("requests that are sent at once are served in order", pipelined),
    case!("a reconnect begins anew", reconnect),
    case!("scalars come back as SQLite keeps them", scalars),
    case!("a topic that is no text is the topic of its text", topic_scalars),
    case!("any text is a topic's name", topic_names),
    case!("texts come back byte for byte, in ASCII", texts),
    case!("keys come in any order, twice, or in vain, with white space", keys),
    case!("a binary frame and a text in fragments are requests", frames),
    case!("a ping is answered", ping),
    case!("what is no request closes with 1011, after what came before it", errors),
    case!("a request of more than 1 MiB closes with 1009", too_long),
    case!(
        "a text that is no UTF-8 closes with 1007, a frame that is not masked with 1002",
        bad_frames
    ),
    case!("an error of one connection leaves the others alone", others_survive),
    case!("a client's close is answered", close),
    case!("a plain request is answered with 426", plain_http),
];

/// What octoq does on WebSocket where the original does not, or dies of it.
pub const ADDITIONS: &[Case] = &[
    case!("arrays, objects and long integers come back as they were", json_values),
    case!("a shutdown that is not allowed closes the connection that asked, with 1000", shutdown),
    case!("a backlog of thousands is read from its oldest message on", backlog),
    case!("messages of one moment are all read", one_moment),
    case!("raw and framed requests mix on one connection, and share the topics", plain::mixed),
    case!("bare objects may come together or in parts", plain::bare_stream),
    case!("framed objects may come together or in parts", plain::framed_stream),
    case!("a bare request of more than 1 KiB is served", plain::bare_long),
    case!(
        "what is no request closes a plain connection, after what came before it",
        plain::plain_errors
    ),
    case!("a length that is none or too long closes the connection", plain::bad_lengths),
    case!("other protocols are closed", plain::other_protocols),
];

/// The dialogues of a server with bare JSON (0.2 to 0.6). It reads one request at a time, so each
/// one waits for what the one before it did.
pub const RAW_CASES: &[Case] = &[
    case!("bare: the documented dialogue", plain::bare_dialogue),
    case!("bare: every reader gets every message from its connection on", plain::bare_readers),
    case!("bare: white space around a request is skipped", plain::bare_blanks),
];

/// The dialogues of a server with length headers (0.7).
pub const HDR_CASES: &[Case] = &[
    case!("framed: the documented dialogue", plain::framed_dialogue),
    case!("framed: every reader gets every message from its connection on", plain::framed_readers),
];

/// How long nothing is listened for.
const QUIET: Duration = Duration::from_millis(60);
const NOTHING: &str = r#"{"message": ""}"#;

fn put(topic: &str, message: &str) -> String {
    format!(r#"{{"action": "put", "topic": "{topic}", "message": "{message}"}}"#)
}

fn get(topic: &str) -> String {
    format!(r#"{{"action": "get", "topic": "{topic}"}}"#)
}

fn latest(topic: &str) -> String {
    format!(r#"{{"action": "get_latest", "topic": "{topic}"}}"#)
}

fn message(text: &str) -> String {
    format!(r#"{{"message": "{text}"}}"#)
}

/// A connection that is being served: the original takes its start a moment after it has said that
/// it is open, and what is put in between is lost for it.
async fn open(target: &Target) -> Result<WebSocket, Mismatch> {
    let mut ws = WebSocket::connect(target.address).await?;
    ws.exchange(get(&target.name("opened")), NOTHING).await?;
    Ok(ws)
}

async fn put_and_get(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("greetings"));
    ws.exchange(get(&topic), NOTHING).await?;
    ws.send(put(&topic, "Hello!")).await?;
    ws.expect_silence(QUIET).await?;
    ws.exchange(get(&topic), message("Hello!")).await?;
    ws.exchange(get(&topic), NOTHING).await?;
    ws.send(put(&topic, "")).await?;
    ws.exchange(get(&topic), NOTHING).await
}

async fn transcript(target: Target) -> Result<(), Mismatch> {
    let (mut a, t) = (open(&target).await?, target.name("t"));
    a.send(put(&t, "m0")).await?;
    // Its reply tells that m0 is there before B comes.
    a.exchange(get(&target.name("other")), NOTHING).await?;
    let mut b = open(&target).await?;
    a.send(put(&t, "m1")).await?;
    a.send(put(&t, "m2")).await?;
    a.exchange(get(&t), message("m0")).await?;
    b.exchange(get(&t), message("m1")).await?;
    b.exchange(latest(&t), message("m2")).await?;
    b.exchange(get(&t), NOTHING).await?;
    a.exchange(latest(&t), message("m2")).await?;
    a.exchange(get(&t), NOTHING).await?;
    b.send("{nope").await?;
    b.expect_close(1011).await
}

async fn one_to_many(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("many");
    let mut readers = [open(&target).await?, open(&target).await?, open(&target).await?];
    let mut writer = open(&target).await?;
    for text in ["a", "b", "c"] {
        writer.send(put(&topic, text)).await?;
    }
    writer.exchange(get(&topic), message("a")).await?;
    for reader in &mut readers {
        for text in ["a", "b", "c"] {
            reader.exchange(get(&topic), message(text)).await?;
        }
        reader.exchange(get(&topic), NOTHING).await?;
    }
    Ok(())
}

async fn unmentioned(target: Target) -> Result<(), Mismatch> {
    let (mut reader, mut writer) = (open(&target).await?, open(&target).await?);
    let (first, second) = (target.name("first"), target.name("second"));
    writer.send(put(&first, "1")).await?;
    writer.send(put(&second, "2")).await?;
    writer.exchange(get(&second), message("2")).await?;
    let mut late = open(&target).await?;
    reader.exchange(get(&first), message("1")).await?;
    reader.exchange(get(&second), message("2")).await?;
    late.exchange(get(&first), NOTHING).await?;
    late.exchange(latest(&second), NOTHING).await?;
    writer.send(put(&second, "3")).await?;
    writer.exchange(get(&second), message("3")).await?;
    late.exchange(get(&second), message("3")).await
}

async fn visible(target: Target) -> Result<(), Mismatch> {
    let (mut reader, mut writer) = (open(&target).await?, open(&target).await?);
    for turn in 0..20 {
        let topic = target.name(&format!("visible-{}", turn % 3));
        writer.send(put(&topic, &format!("m{turn}"))).await?;
        writer.exchange(get(&target.name("elsewhere")), NOTHING).await?;
        reader.exchange(get(&topic), message(&format!("m{turn}"))).await?;
    }
    Ok(())
}

async fn pipelined(target: Target) -> Result<(), Mismatch> {
    let (mut ws, t, u) = (open(&target).await?, target.name("t"), target.name("u"));
    let requests = [
        get(&t),
        put(&t, "1"),
        get(&t),
        get(&t),
        put(&u, "x"),
        put(&t, "2"),
        put(&t, "3"),
        get(&u),
        get(&t),
        put(&u, "y"),
        put(&t, "4"),
        latest(&t),
        get(&t),
        get(&u),
        get(&u),
    ];
    let frames: Vec<Vec<u8>> =
        requests.iter().map(|request| frame(first::TEXT, request.as_bytes())).collect();
    ws.wire.send(frames.concat()).await?;
    for text in ["", "1", "", "x", "2", "4", "", "y", ""] {
        ws.expect(message(text)).await?;
    }
    Ok(())
}

async fn reconnect(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("again"));
    ws.send(put(&topic, "old")).await?;
    ws.exchange(get(&topic), message("old")).await?;
    drop(ws);
    let mut ws = open(&target).await?;
    ws.exchange(get(&topic), NOTHING).await?;
    ws.send(put(&topic, "new")).await?;
    ws.exchange(get(&topic), message("new")).await
}

async fn scalars(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("scalars"));
    let table = [
        ("5", r#""5""#),
        ("-0", r#""0""#),
        ("9223372036854775807", r#""9223372036854775807""#),
        ("1.5", r#""1.5""#),
        ("100.0", r#""100.0""#),
        ("1e15", r#""1.0e+15""#),
        ("0.00001", r#""1.0e-05""#),
        ("0.30000000000000004", r#""0.3""#),
        ("-0.0", r#""0.0""#),
        ("true", r#""1""#),
        ("false", r#""0""#),
        ("null", "null"),
    ];
    for (value, kept) in table {
        let put = format!(r#"{{"action": "put", "topic": "{topic}", "message": {value}}}"#);
        ws.send(put).await?;
        ws.exchange(get(&topic), format!(r#"{{"message": {kept}}}"#)).await?;
    }
    Ok(())
}

async fn topic_scalars(target: Target) -> Result<(), Mismatch> {
    let mut ws = open(&target).await?;
    for (value, text) in [("5", "5"), ("true", "1"), ("false", "0"), ("2.50", "2.5")] {
        let put = format!(r#"{{"action": "put", "topic": {value}, "message": "m{value}"}}"#);
        ws.send(put).await?;
        ws.exchange(get(text), message(&format!("m{value}"))).await?;
    }
    // null is equal to no topic.
    ws.send(r#"{"action": "put", "topic": null, "message": "lost"}"#).await?;
    ws.exchange(r#"{"action": "get", "topic": null}"#, NOTHING).await?;
    ws.exchange(get("null"), NOTHING).await
}

async fn topic_names(target: Target) -> Result<(), Mismatch> {
    let mut ws = open(&target).await?;
    let long = "x".repeat(1000);
    let names = [
        "",
        " ",
        "a/b",
        "dsmq~",
        "\\n\\u0000",
        "\u{e9}",
        &long,
        &format!("{long}y"),
        &"\u{e9}".repeat(200),
    ];
    for (at, name) in names.iter().enumerate() {
        ws.send(put(name, &target.name(&at.to_string()))).await?;
    }
    for (at, name) in names.iter().enumerate() {
        ws.exchange(get(name), message(&target.name(&at.to_string()))).await?;
        ws.exchange(get(name), NOTHING).await?;
    }
    Ok(())
}

async fn texts(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("texts"));
    let table = [
        ("Hello!", "Hello!"),
        (r#"\" \\ \/"#, r#"\" \\ /"#),
        (r"\n\r\t\b\f\u0000\u001f\u007f", r"\n\r\t\b\f\u0000\u001f\u007f"),
        ("\u{e9}\u{20ac}\u{1f600}", r"\u00e9\u20ac\ud83d\ude00"),
        (r"\u00E9\uD83D\uDE00", r"\u00e9\ud83d\ude00"),
        ("\u{2028}{}[]", r"\u2028{}[]"),
    ];
    for (sent, got) in table {
        ws.send(put(&topic, sent)).await?;
        ws.exchange(get(&topic), message(got)).await?;
    }
    Ok(())
}

async fn keys(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("keys"));
    let puts = [
        format!(r#"{{"message":"m","topic":"{topic}","action":"put"}}"#),
        format!(
            "\n {{ \"x\" : [ {{ }} ] , \"action\" : \"put\" ,\t\"topic\" : \"{topic}\" , \"message\" : \"m\" }} \r\n"
        ),
        format!(
            r#"{{"action": "get", "topic": "?", "message": "?", "action": "put", "topic": "{topic}", "message": "m"}}"#
        ),
        format!(r#"{{"\u0061ction": "p\u0075t", "topic": "{topic}", "message": "\u006d"}}"#),
    ];
    for put in puts {
        ws.send(put).await?;
        ws.exchange(get(&topic), message("m")).await?;
    }
    ws.exchange(format!(r#"{{"action": "get", "topic": "{topic}", "message": 1}}"#), NOTHING).await
}

async fn frames(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("frames"));
    ws.wire.send(frame(first::BINARY, put(&topic, "binary").as_bytes())).await?;
    ws.exchange(get(&topic), message("binary")).await?;
    let text = put(&topic, "in \u{e9} parts");
    let (one, rest) = text.as_bytes().split_at(text.find('\u{e9}').unwrap_or(0) + 1);
    let (two, three) = rest.split_at(rest.len() / 2);
    let parts = [
        frame(first::TEXT_BEGINS, one),
        frame(first::GOES_ON, two),
        frame(first::PING, b"?"),
        frame(first::ENDS, three),
    ];
    ws.wire.send(parts.concat()).await?;
    let pong = ws.frame().await?;
    if pong != (first::PONG, b"?".to_vec()) {
        return Err(Mismatch(format!("expected a pong, got {pong:?}")));
    }
    ws.exchange(get(&topic), message(r"in \u00e9 parts")).await
}

async fn ping(target: Target) -> Result<(), Mismatch> {
    let mut ws = open(&target).await?;
    for payload in [&b""[..], b"abc", &[7; 125]] {
        ws.wire.send(frame(first::PING, payload)).await?;
        let pong = ws.frame().await?;
        if pong != (first::PONG, payload.to_vec()) {
            return Err(Mismatch(format!("expected a pong, got {pong:?}")));
        }
    }
    ws.exchange(get(&target.name("after")), NOTHING).await
}

const NO_REQUESTS: [&str; 16] = [
    "",
    "{nope",
    "nope",
    "[]",
    "5",
    "null",
    "\"get\"",
    "{}",
    r#"{"action": "get"}"#,
    r#"{"topic": "t"}"#,
    r#"{"action": "put", "topic": "t"}"#,
    r#"{"action": "get", "topic": ["t"]}"#,
    r#"{"action": "put", "topic": {}, "message": "m"}"#,
    r#"{"action": "get", "topic": "t"} x"#,
    r#"{"action": "put", "topic": "t", "message": "\ud800"}"#,
    "{'action': 'get', 'topic': 't'}",
];

async fn errors(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("errors");
    let unknown = ["zap", "GET", "get_wait", ""]
        .map(|action| format!(r#"{{"action": "{action}", "topic": "t"}}"#));
    let no_action = [r#"{"action": 5, "topic": "t"}"#.to_owned()];
    let all = NO_REQUESTS.map(str::to_owned).into_iter().chain(unknown).chain(no_action);
    for (at, wrong) in all.enumerate() {
        let play = async {
            let mut ws = open(&target).await?;
            let before = put(&topic, &at.to_string());
            let sent = [before, get(&topic), wrong.clone(), put(&topic, "never")];
            let sent: Vec<_> = sent.iter().map(|it| frame(first::TEXT, it.as_bytes())).collect();
            ws.wire.send(sent.concat()).await?;
            ws.expect(message(&at.to_string())).await?;
            ws.expect_close(1011).await
        };
        play.await.map_err(|Mismatch(text)| Mismatch(format!("{wrong}: {text}")))?;
    }
    Ok(())
}

async fn too_long(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("long");
    let mut ws = open(&target).await?;
    let room = (1 << 20) - put(&topic, "").len();
    ws.send(put(&topic, &"x".repeat(room))).await?;
    ws.exchange(get(&topic), message(&"x".repeat(room))).await?;
    ws.send(put(&topic, &"x".repeat(room + 1))).await?;
    ws.expect_close(1009).await?;
    let mut ws = open(&target).await?;
    let half = vec![b' '; (1 << 19) + 1];
    ws.wire.send([frame(first::TEXT_BEGINS, &half), frame(first::ENDS, &half)].concat()).await?;
    ws.expect_close(1009).await
}

async fn bad_frames(target: Target) -> Result<(), Mismatch> {
    let mut ws = open(&target).await?;
    ws.wire.send(frame(first::TEXT, b"{\"action\": \"get\", \"topic\": \"\xff\"}")).await?;
    ws.expect_close(1007).await?;
    for wrong in [
        vec![first::TEXT, 2, b'{', b'}'],
        frame(0xc1, b"{}"),
        frame(0x83, b"{}"),
        frame(first::ENDS, b"{}"),
        frame(0x09, b""),
        frame(first::PING, &[0; 126]),
    ] {
        let mut ws = open(&target).await?;
        ws.wire.send(&wrong).await?;
        let closed = ws.expect_close(1002).await;
        let shown = wrong.escape_ascii();
        closed.map_err(|Mismatch(text)| Mismatch(format!("{shown}: {text}")))?;
    }
    Ok(())
}

async fn others_survive(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("others");
    let mut steady = open(&target).await?;
    for wrong in ["{nope", r#"{"action": "zap", "topic": "t"}"#] {
        let mut ws = open(&target).await?;
        ws.send(put(&topic, "kept")).await?;
        ws.send(wrong).await?;
        ws.expect_close(1011).await?;
        steady.exchange(get(&topic), message("kept")).await?;
    }
    Ok(())
}

async fn close(target: Target) -> Result<(), Mismatch> {
    let mut ws = open(&target).await?;
    ws.wire.send(frame(first::CLOSE, b"\x03\xe8")).await?;
    ws.expect_close(1000).await
}

async fn plain_http(target: Target) -> Result<(), Mismatch> {
    let mut wire = target.connect().await?;
    let answer = wire.http("GET", "/", &[], b"").await?;
    if answer.status != 426 {
        return Err(Mismatch(format!("expected 426, got {}", answer.status)));
    }
    wire.expect_close().await
}

async fn json_values(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("json"));
    let values = [
        "[]",
        r#"{"a": [1, {"b": null}], "c": "\u00e9"}"#,
        "[1,2 , 3]",
        "9223372036854775808",
        "-123456789012345678901234567890",
    ];
    for value in values {
        let put = format!(r#"{{"action": "put", "topic": "{topic}", "message": {value}}}"#);
        ws.send(put).await?;
        ws.exchange(get(&topic), format!(r#"{{"message": {value}}}"#)).await?;
    }
    Ok(())
}

async fn shutdown(target: Target) -> Result<(), Mismatch> {
    let (mut ws, mut other) = (open(&target).await?, open(&target).await?);
    let topic = target.name("shutdown");
    ws.send(put(&topic, "last words")).await?;
    ws.send(r#"{"action": "shutdown", "topic": ""}"#).await?;
    ws.expect_close(1000).await?;
    other.exchange(get(&topic), message("last words")).await?;
    open(&target).await?.exchange(get(&topic), NOTHING).await
}

async fn backlog(target: Target) -> Result<(), Mismatch> {
    const MESSAGES: usize = 5000;
    let (mut reader, mut writer) = (open(&target).await?, open(&target).await?);
    let topic = target.name("backlog");
    let puts =
        (0..MESSAGES).flat_map(|at| frame(first::TEXT, put(&topic, &at.to_string()).as_bytes()));
    writer.wire.send(puts.collect::<Vec<u8>>()).await?;
    writer.exchange(get(&topic), message("0")).await?;
    for at in 0..10 {
        reader.exchange(get(&topic), message(&at.to_string())).await?;
    }
    let gets = frame(first::TEXT, get(&topic).as_bytes()).repeat(MESSAGES - 9);
    reader.wire.send(gets).await?;
    for at in 10..MESSAGES {
        reader.expect(message(&at.to_string())).await?;
    }
    reader.expect(NOTHING).await?;
    writer.exchange(latest(&topic), message(&(MESSAGES - 1).to_string())).await
}

async fn one_moment(target: Target) -> Result<(), Mismatch> {
    let (mut ws, topic) = (open(&target).await?, target.name("moment"));
    let puts = (0..500).flat_map(|at| frame(first::TEXT, put(&topic, &at.to_string()).as_bytes()));
    ws.wire.send(puts.collect::<Vec<u8>>()).await?;
    for at in 0..500 {
        ws.exchange(get(&topic), message(&at.to_string())).await?;
    }
    Ok(())
}
