//! What the original does and its clients rely on.

use super::*;
use crate::conform::{Case, case};

/// The dialogues of an okQ server.
pub const CASES: &[Case] = &[
    case!("the recorded transcript", transcript),
    case!("commands and options are read without regard to case, surplus is ignored", letters),
    case!("an unknown command is named as it was sent", unknown),
    case!("a command without its arguments is an error and the connection stays", missing),
    case!("elements that are no strings are refused, simple strings are taken", elements),
    case!("values that are no requests are ignored", ignored),
    case!("names, ids and contents are any bytes", any_bytes),
    case!("an id is one event of a queue until it is gone", duplicates),
    case!("left is the back and right the front", ends),
    case!("a peek changes nothing and does not see what is held", peeks),
    case!("EX 0 takes an event for good", at_most_once),
    case!("a bad EX is an error and takes no event", bad_expires),
    case!("an ack ends a held event or a waiting one, from any connection", acks),
    case!("REDO makes a held event the next one", redo),
    case!("what missed its deadline comes back in the order in which it was popped", deadlines),
    case!("a late ack deletes what has come back", late_ack),
    case!("registering replaces what the connection consumes", register),
    case!("QNOTIFY names a queue that has something until it is empty", notify_level),
    case!("QNOTIFY waits for a push", notify_waits),
    case!("a push wakes everybody who waits for the queue", notify_all),
    case!("QNOTIFY without queues waits out its time", notify_nothing),
    case!("a bad timeout is an error", bad_timeout),
    case!("what stands behind a blocked QNOTIFY waits for it", notify_blocks),
    case!("QFLUSH ends everything but registrations", flush),
    case!("QSTATUS and QINFO show the named queues in their order", figures),
    case!("QSTATUS without names shows active queues", all_figures),
    case!("requests may be cut and joined anywhere", segments),
    case!("NOBLOCK is answered at once and the event is there soon", noblock),
    case!("NOBLOCK counts behind the contents only", noblock_place),
];

async fn transcript(target: Target) -> Result<(), Mismatch> {
    let q = target.name("foo");
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let event = array(&["1", "hello"]);
    one.say(&["QLPUSH", &q, "1", "hello"], OK).await?;
    one.say(&["QLPUSH", &q, "1", "x"], error("duplicate event 1")).await?;
    one.say(&["QRPEEK", &q], &event).await?;
    one.say(&["QRPOP", &q, "EX", "10"], &event).await?;
    one.expect_status(&q, [1, 1, 0]).await?;
    one.say(&["QACK", &q, "1", "REDO"], ONE).await?;
    one.say(&["QRPOP", &q], &event).await?;
    one.say(&["QACK", &q, "1"], ONE).await?;
    one.say(&["QACK", &q, "1"], ZERO).await?;
    one.say(&["QRPOP", &q], NIL).await?;
    let zz = target.name("zz");
    let info = format!("{zz}  total: 0  processing: 0  consumers: 0");
    one.say(&["QINFO", &zz], array(&[info])).await?;
    let (a, b) = (target.name("a"), target.name("b"));
    one.say(&["QREGISTER", &a, &b], OK).await?;
    one.send(&["QNOTIFY", "5"]).await?;
    other.push(&b, &["1"]).await?;
    one.0.expect(bulk(&b)).await?;
    other.pop(&b, "0", &["1"]).await?;
    one.say(&["QNOTIFY", "0"], NIL).await?;
    one.say(&["QLPUSH"], error("missing args")).await?;
    one.say(&["FOO"], error("unknown command \"FOO\"")).await?;
    one.0.exchange("*2\r\n$4\r\nPING\r\n:1\r\n", error("invalid command")).await
}

async fn letters(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["ping"], "+PONG\r\n").await?;
    client.say(&["qLpUsH", &q, "1", "a", "nothing", "more"], OK).await?;
    client.say(&["qrpop", &q, "ex", "+30", "more"], array(&["1", "a"])).await?;
    client.say(&["qack", &q, "1", "rEdO", "more"], ONE).await?;
    client.say(&["QRPOP", &q, "surplus", "EX", "0"], array(&["1", "a"])).await?;
    client.expect_status(&q, [1, 1, 0]).await?;
    client.say(&["QACK", &q, "1", "surplus"], ONE).await
}

async fn unknown(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let table: [(&[u8], &str); 4] = [
        (b"qlpop", "\"qlpop\""),
        (b"a \"b\" \\", r#""a \"b\" \\""#),
        (b"\r\n\t\x01\xff", r#""\r\n\t\x01\xff""#),
        (b"", "\"\""),
    ];
    for (name, quoted) in table {
        client.say(&[name], error(&format!("unknown command {quoted}"))).await?;
    }
    client.say(&["PING"], "+PONG\r\n").await
}

async fn missing(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    let q = q.as_str();
    let table: [&[&str]; 14] = [
        &["QLPUSH"],
        &["QLPUSH", q],
        &["QLPUSH", q, "1"],
        &["QRPUSH"],
        &["QRPUSH", q, "1"],
        &["QLPEEK"],
        &["QRPEEK"],
        &["QRPOP"],
        &["QACK"],
        &["QACK", q],
        &["QNOTIFY"],
        &["QFLUSH"],
        &["qrpop"],
        &["qack", q],
    ];
    for words in table {
        client.say(words, error("missing args")).await?;
    }
    client.expect_status(q, [0, 0, 0]).await
}

async fn elements(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.0.exchange("*1\r\n+PING\r\n", "+PONG\r\n").await?;
    for element in [":1\r\n", "$-1\r\n", "-ERR\r\n"] {
        let request = format!("*2\r\n$4\r\nPING\r\n{element}");
        client.0.exchange(request, error("invalid command")).await?;
    }
    client.say(&["PING"], "+PONG\r\n").await
}

async fn ignored(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    for value in ["*-1\r\n", "+PING\r\n", ":7\r\n", "$4\r\nPING\r\n"] {
        client.0.send(value).await?;
    }
    client.0.send(array(&["QRPOP", &target.name("q")])).await?;
    client.0.expect(NIL).await
}

async fn any_bytes(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let name = [target.name("q").into_bytes(), b" \r\n:\0\xff".to_vec()].concat();
    let pairs: [(&[u8], &[u8]); 4] =
        [(b"", b""), (b"\r\n", b"\0\xff\r\n$3\r\n"), (b"a b:c", b" "), (b"\xff\xfe", b"x")];
    for (id, contents) in pairs {
        client.say(&[b"QLPUSH", name.as_slice(), id, contents], OK).await?;
    }
    for (id, contents) in pairs {
        client.say(&[b"QRPOP", name.as_slice()], array(&[id, contents])).await?;
        client.say(&[b"QACK", name.as_slice(), id], ONE).await?;
    }
    client.say(&[b"QRPOP", name.as_slice()], NIL).await
}

async fn duplicates(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let (q, other) = (target.name("q"), target.name("other"));
    let duplicate = error("duplicate event 1");
    client.say(&["QLPUSH", &q, "1", "first"], OK).await?;
    client.say(&["QRPUSH", &q, "1", "second"], &duplicate).await?;
    client.say(&["QLPUSH", &other, "1", "independent"], OK).await?;
    client.say(&["QRPOP", &q], array(&["1", "first"])).await?;
    client.say(&["QLPUSH", &q, "1", "held"], &duplicate).await?;
    client.say(&["QACK", &q, "1"], ONE).await?;
    client.say(&["QLPUSH", &q, "1", "acked"], OK).await?;
    client.say(&["QRPOP", &q, "EX", "0"], array(&["1", "acked"])).await?;
    client.say(&["QLPUSH", &q, "1", "taken"], OK).await?;
    client.say(&["QFLUSH", &q], OK).await?;
    client.say(&["QLPUSH", &q, "1", "flushed"], OK).await?;
    client.say(&["QRPOP", &q], array(&["1", "flushed"])).await?;
    client.say(&["QFLUSH", &q], OK).await?;
    client.say(&["QLPUSH", &q, "1", "flushed while it was held"], OK).await
}

async fn ends(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a", "b"]).await?;
    client.say(&["QRPUSH", &q, "c", "c"], OK).await?;
    client.say(&["QRPUSH", &q, "d", "d"], OK).await?;
    client.push(&q, &["e"]).await?;
    client.say(&["QRPEEK", &q], array(&["d", "d"])).await?;
    client.say(&["QLPEEK", &q], array(&["e", "e"])).await?;
    client.pop(&q, "30", &["d", "c", "a", "b", "e"]).await?;
    client.say(&["QRPOP", &q], NIL).await
}

async fn peeks(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QRPEEK", &q], NIL).await?;
    client.say(&["QLPEEK", &q], NIL).await?;
    client.push(&q, &["a", "b"]).await?;
    for _ in 0..2 {
        client.say(&["QRPEEK", &q], array(&["a", "a"])).await?;
        client.say(&["QLPEEK", &q], array(&["b", "b"])).await?;
    }
    client.pop(&q, "30", &["a", "b"]).await?;
    client.say(&["QRPEEK", &q], NIL).await?;
    client.say(&["QLPEEK", &q], NIL).await?;
    client.expect_status(&q, [2, 2, 0]).await
}

async fn at_most_once(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a", "b", "c"]).await?;
    client.pop(&q, "0", &["a"]).await?;
    client.say(&["QACK", &q, "a"], ZERO).await?;
    client.say(&["QRPOP", &q, "EX", "0", "NOACK"], array(&["b", "b"])).await?;
    client.say(&["QRPOP", &q, "EX"], array(&["c", "c"])).await?;
    client.expect_status(&q, [1, 1, 0]).await
}

async fn bad_expires(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a"]).await?;
    let table = [
        ("abc", "strconv.Atoi: parsing \"abc\": invalid syntax"),
        ("", "strconv.Atoi: parsing \"\": invalid syntax"),
        ("1.5", "strconv.Atoi: parsing \"1.5\": invalid syntax"),
        (
            "99999999999999999999",
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        ("-1", "-1 < 0"),
    ];
    for (value, why) in table {
        let expected = error(&format!("bad expires value: {why}"));
        client.say(&["QRPOP", &q, "EX", value], expected).await?;
    }
    client.expect_status(&q, [1, 0, 0]).await
}

async fn acks(target: Target) -> Result<(), Mismatch> {
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let q = target.name("q");
    one.say(&["QACK", &q, "a"], ZERO).await?;
    one.push(&q, &["a", "b", "c"]).await?;
    one.pop(&q, "30", &["a"]).await?;
    other.say(&["QACK", &q, "a"], ONE).await?;
    one.say(&["QACK", &q, "a"], ZERO).await?;
    one.say(&["QACK", &q, "c", "anything"], ONE).await?;
    one.say(&["QACK", &q, "unknown"], ZERO).await?;
    one.expect_status(&q, [1, 0, 0]).await?;
    one.pop(&q, "30", &["b"]).await
}

async fn redo(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QACK", &q, "a", "REDO"], ZERO).await?;
    client.push(&q, &["a", "b", "c"]).await?;
    client.say(&["QACK", &q, "a", "REDO"], ZERO).await?;
    client.pop(&q, "30", &["a", "b"]).await?;
    client.say(&["QACK", &q, "a", "REDO"], ONE).await?;
    client.say(&["QACK", &q, "a", "REDO"], ZERO).await?;
    client.say(&["QACK", &q, "b", "REDO"], ONE).await?;
    client.say(&["QRPUSH", &q, "d", "d"], OK).await?;
    client.pop(&q, "30", &["d", "b", "a", "c"]).await
}

async fn deadlines(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a", "b", "c", "d"]).await?;
    client.pop(&q, "1", &["a", "b", "c"]).await?;
    client.expect_status(&q, [4, 3, 0]).await?;
    client.until_status(&q, [4, 0, 0]).await?;
    client.pop(&q, "30", &["a", "b", "c", "d"]).await
}

async fn late_ack(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a"]).await?;
    client.pop(&q, "1", &["a"]).await?;
    client.until_status(&q, [1, 0, 0]).await?;
    client.say(&["QACK", &q, "a"], ONE).await?;
    client.say(&["QRPOP", &q], NIL).await
}

async fn register(target: Target) -> Result<(), Mismatch> {
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let (a, b) = (target.name("a"), target.name("b"));
    one.say(&["QREGISTER", &a, &b, &a], OK).await?;
    other.say(&["QREGISTER", &a], OK).await?;
    one.expect_status(&a, [0, 0, 2]).await?;
    one.expect_status(&b, [0, 0, 1]).await?;
    one.say(&["QREGISTER", &b], OK).await?;
    other.expect_status(&a, [0, 0, 1]).await?;
    one.say(&["QREGISTER"], OK).await?;
    other.say(&["QREGISTER"], OK).await?;
    other.expect_status(&a, [0, 0, 0]).await?;
    other.expect_status(&b, [0, 0, 0]).await
}

async fn notify_level(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a", "b"]).await?;
    let empty = target.name("empty");
    client.say(&["QREGISTER", &empty, &q], OK).await?;
    client.say(&["QNOTIFY", "5"], bulk(&q)).await?;
    client.say(&["QNOTIFY", "0"], bulk(&q)).await?;
    client.pop(&q, "30", &["a", "b"]).await?;
    client.say(&["QNOTIFY", "0"], NIL).await?;
    client.say(&["QNOTIFY", "1"], NIL).await
}

async fn notify_waits(target: Target) -> Result<(), Mismatch> {
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let (a, b) = (target.name("a"), target.name("b"));
    one.say(&["QREGISTER", &a, &b], OK).await?;
    one.send(&["QNOTIFY", "10"]).await?;
    one.0.expect_silence(Duration::from_millis(100)).await?;
    other.push(&b, &["1"]).await?;
    one.0.expect(bulk(&b)).await?;
    one.pop(&b, "30", &["1"]).await
}

async fn notify_all(target: Target) -> Result<(), Mismatch> {
    let q = target.name("q");
    let mut pusher = Client::connect(&target).await?;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(&target).await?;
        client.say(&["QREGISTER", &q], OK).await?;
        client.send(&["QNOTIFY", "10"]).await?;
        waiting.push(client);
    }
    pusher.until_status(&q, [0, 0, 3]).await?;
    pusher.push(&q, &["1"]).await?;
    for client in &mut waiting {
        client.0.expect(bulk(&q)).await?;
    }
    Ok(())
}

async fn notify_nothing(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.say(&["QNOTIFY", "0"], NIL).await?;
    let begun = Instant::now();
    client.say(&["QNOTIFY", "1"], NIL).await?;
    if begun.elapsed() < Duration::from_millis(900) {
        return Err(Mismatch("it did not wait".into()));
    }
    Ok(())
}

async fn bad_timeout(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.say(&["QNOTIFY", "-1"], error("bad timeout value: -1 < 0")).await?;
    let expected = error("bad timeout value: strconv.Atoi: parsing \"x\": invalid syntax");
    client.say(&["QNOTIFY", "x"], expected).await
}

async fn notify_blocks(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QREGISTER", &q], OK).await?;
    client.send(&["QNOTIFY", "10"]).await?;
    client.send(&["PING"]).await?;
    client.0.expect_silence(Duration::from_millis(200)).await?;
    Client::connect(&target).await?.push(&q, &["1"]).await?;
    client.0.expect([bulk(&q), b"+PONG\r\n".to_vec()].concat()).await
}

async fn flush(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QFLUSH", &q], OK).await?;
    client.say(&["QREGISTER", &q], OK).await?;
    client.push(&q, &["a", "b"]).await?;
    client.pop(&q, "1", &["a"]).await?;
    client.say(&["QFLUSH", &q], OK).await?;
    client.expect_status(&q, [0, 0, 1]).await?;
    client.say(&["QACK", &q, "a"], ZERO).await?;
    client.say(&["QACK", &q, "b"], ZERO).await?;
    client.say(&["QNOTIFY", "3"], NIL).await?;
    client.say(&["QRPOP", &q], NIL).await
}

async fn figures(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let (a, long, none) = (target.name("a"), target.name("a-long-one"), target.name("none"));
    client.push(&a, &["1", "2"]).await?;
    client.pop(&a, "30", &["1"]).await?;
    for id in 0..12 {
        client.push(&long, &[id.to_string().as_str()]).await?;
    }
    client.say(&["QREGISTER", &a], OK).await?;
    let expected = [
        b"*4\r\n".to_vec(),
        row(&long, 12, 0, 0),
        row(&none, 0, 0, 0),
        row(&a, 2, 1, 1),
        row(&long, 12, 0, 0),
    ];
    client.say(&["QSTATUS", &long, &none, &a, &long], expected.concat()).await?;
    let wide = long.len();
    let line =
        |name: &str, total: u32, rest: &str| format!("{name:wide$}  total: {total:<2}{rest}");
    let expected = [
        line(&a, 2, "  processing: 1  consumers: 1"),
        line(&long, 12, "  processing: 0  consumers: 0"),
    ];
    client.say(&["QINFO", &a, &long], array(&expected)).await
}

async fn all_figures(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let names = ["b", "a", "c"].map(|name| target.name(name));
    let [b, a, c] = &names;
    client.push(b, &["1"]).await?;
    client.push(c, &["1"]).await?;
    client.pop(c, "0", &["1"]).await?;
    client.say(&["QREGISTER", a], OK).await?;
    // Others may have queues of their own here.
    client.send(&["QSTATUS"]).await?;
    let head = client.0.line().await?;
    let count = std::str::from_utf8(&head).ok().and_then(|head| head.trim()[1..].parse().ok());
    let mut shown = Vec::new();
    for _ in 0..count.unwrap_or(0) {
        client.0.expect("*4\r\n").await?;
        let length = client.0.line().await?;
        let length =
            std::str::from_utf8(&length).ok().and_then(|head| head.trim()[1..].parse().ok());
        let name = client.0.bytes(length.unwrap_or(0) + 2).await?;
        for _ in 0..3 {
            client.0.line().await?;
        }
        shown.push(String::from_utf8_lossy(&name).trim_end().to_owned());
    }
    let ours: Vec<&String> = shown.iter().filter(|name| names.contains(name)).collect();
    if ours != [a, b] || !shown.is_sorted() {
        return Err(Mismatch(format!("expected {a} and {b} among {shown:?}, sorted")));
    }
    client.say(&["PING"], "+PONG\r\n").await
}

async fn segments(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    let requests = [
        array(&["QLPUSH", &q, "1", "a\r\nb"]),
        array(&["QLPUSH", &q, "2", ""]),
        array(&["QRPOP", &q]),
        array(&["QACK", &q, "1"]),
        array(&["NO"]),
        array(&["QRPOP", &q]),
        array(&["QRPOP", &q]),
        array(&["QACK", &q, "2"]),
        array(&["PING"]),
    ]
    .concat();
    let answers = [
        OK.into(),
        OK.into(),
        array(&["1", "a\r\nb"]),
        ONE.into(),
        error("unknown command \"NO\"").into_bytes(),
        array(&["2", ""]),
        NIL.into(),
        ONE.into(),
        b"+PONG\r\n".to_vec(),
    ]
    .concat();
    client.0.exchange(&requests, &answers).await?;
    for byte in requests.chunks(1) {
        client.0.send(byte).await?;
    }
    client.0.expect(&answers).await?;
    for chunk in requests.chunks(37) {
        client.0.send(chunk).await?;
    }
    client.0.expect(&answers).await
}

async fn noblock(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QLPUSH", &q, "1", "first", "NOBLOCK"], OK).await?;
    client.until_status(&q, [1, 0, 0]).await?;
    client.say(&["QLPUSH", &q, "1", "again", "noblock"], OK).await?;
    client.say(&["QRPUSH", &q, "2", "right", "NOBLOCK"], OK).await?;
    client.until_status(&q, [2, 0, 0]).await?;
    client.say(&["QRPOP", &q], array(&["2", "right"])).await?;
    client.say(&["QRPOP", &q], array(&["1", "first"])).await
}

async fn noblock_place(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QLPUSH", &q, "1", "a", "BLOCK", "NOBLOCK"], OK).await?;
    let again = ["QLPUSH", &q, "1", "a", "BLOCK", "NOBLOCK"];
    client.say(&again, error("duplicate event 1")).await
}
