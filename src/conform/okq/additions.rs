//! What octoq does beyond the original.

use super::*;
use crate::conform::{Case, case};

/// Dialogues that the original does not know.
pub const ADDITIONS: &[Case] = &[
    case!("lines of words are requests, for telnet and nc", inline),
    case!("what is not RESP is answered and ends the connection", garbage),
    case!("a request without elements is ignored", no_elements),
    case!("no line end in an id breaks an error", ids_in_errors),
    case!("HELLO tells of the server and changes the protocol", hello),
    case!("SELECT knows one database", select),
    case!("CLIENT names a connection and lists them", client),
    case!("INFO, COMMAND, CONFIG, ECHO and PING with a message are answered", small_talk),
    case!("QUIT closes, RESET begins anew", quit_and_reset),
    case!("a connection that closes consumes nothing more, at once", closes),
    case!("NOACK behind the queue or EX takes an event for good", noack),
    case!("a very long EX holds an event", long_expires),
    case!("a missed deadline is noticed at once and wakes who waits", expiry_wakes),
    case!("REDO wakes who waits", redo_wakes),
    case!("each pop has its own full deadline", own_deadline),
    case!("COUNT pops several", count),
    case!("QBPOP waits for the first of several queues", blocking_pop),
    case!("QBPOP is answered with nothing when its time is up", blocking_pop_ends),
    case!("QNACK gives an event back after a delay", nack),
    case!("NOBLOCK keeps the order of a connection", noblock_order),
];

async fn inline(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.0.exchange("\r\nPING\n", "+PONG\r\n").await?;
    client.0.exchange(format!("qlpush {q} 1 \"two words\\r\\n\"\r\n"), OK).await?;
    client.0.exchange(format!("QRPOP {q}\r\n"), array(&["1", "two words\r\n"])).await?;
    client.0.exchange("NO such\r\n", error("unknown command \"NO\"")).await
}

async fn garbage(target: Target) -> Result<(), Mismatch> {
    let table = [
        ("*x\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "invalid multibulk length"),
        ("*1\r\n$-2\r\n", "invalid bulk length"),
        ("*1\r\n$99999999999\r\n", "invalid bulk length"),
        ("*1\r\n$1\r\nabc", "expected CRLF after a string"),
        ("*1\r\n*1\r\n", "expected '$', got '*'"),
        ("*1\n", "expected CRLF after a string"),
        ("PING \"\r\n", "unbalanced quotes in request"),
        ("GET / HTTP/1.1\r\n", "HTTP is not spoken here"),
    ];
    for (input, why) in table {
        let mut client = Client::connect(&target).await?;
        client.send(&["PING"]).await?;
        client.0.exchange(input, format!("+PONG\r\n-ERR Protocol error: {why}\r\n")).await?;
        client.0.expect_close().await?;
    }
    Ok(())
}

async fn no_elements(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.0.send("*0\r\n").await?;
    client.say(&["PING"], "+PONG\r\n").await
}

async fn ids_in_errors(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QLPUSH", &q, "a\r\nb", ""], OK).await?;
    client.say(&["QLPUSH", &q, "a\r\nb", ""], error("duplicate event a  b")).await
}

async fn hello(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    let version = bulk(env!("CARGO_PKG_VERSION"));
    for (words, head, proto, nil) in [
        (&["HELLO"][..], "*14\r\n", 2, NIL),
        (&["HELLO", "3"], "%7\r\n", 3, "_\r\n"),
        (&["hello"], "%7\r\n", 3, "_\r\n"),
        (&["HELLO", "2", "SETNAME", "me"], "*14\r\n", 2, NIL),
    ] {
        client.send(words).await?;
        let start = [head.into(), bulk("server"), bulk("octoq"), bulk("version"), version.clone()];
        client.0.expect(start.concat()).await?;
        client
            .0
            .expect([bulk("proto"), format!(":{proto}\r\n").into(), bulk("id")].concat())
            .await?;
        client.0.line().await?;
        let rest = [bulk("mode"), bulk("standalone"), bulk("role"), bulk("master")];
        client.0.expect([rest.concat(), bulk("modules"), b"*0\r\n".to_vec()].concat()).await?;
        client.say(&["QRPOP", &q], nil).await?;
    }
    client.say(&["HELLO", "4"], "-NOPROTO unsupported protocol version\r\n").await?;
    let option = error("Syntax error in HELLO option 'x'");
    client.say(&["HELLO", "3", "x"], option).await?;
    client.say(&["QRPOP", &q], NIL).await
}

async fn select(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.say(&["SELECT", "0"], OK).await?;
    client.say(&["SELECT", "1"], error("DB index is out of range")).await
}

async fn client(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.say(&["CLIENT", "GETNAME"], NIL).await?;
    client.say(&["client", "setname", "me"], OK).await?;
    client.say(&["CLIENT", "GETNAME"], bulk("me")).await?;
    for words in [
        &["CLIENT", "SETINFO", "LIB-NAME", "x"][..],
        &["CLIENT", "NO-EVICT", "ON"],
        &["CLIENT", "NO-TOUCH", "ON"],
    ] {
        client.say(words, OK).await?;
    }
    let words = ["CLIENT", "MAINT_NOTIFICATIONS", "ON"];
    let expected = error("unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.");
    client.say(&words, expected).await?;
    client.send(&["CLIENT", "ID"]).await?;
    let id = String::from_utf8_lossy(&client.0.line().await?).trim()[1..].to_owned();
    for form in ["LIST", "INFO"] {
        client.send(&["CLIENT", form]).await?;
        let length = String::from_utf8_lossy(&client.0.line().await?).trim()[1..].parse();
        let lines = client.0.bytes(length.unwrap_or(0) + 2).await?;
        let lines = String::from_utf8_lossy(&lines).into_owned();
        let own = lines.lines().find(|line| line.starts_with(&format!("id={id} ")));
        if !own.is_some_and(|own| own.contains("name=me")) {
            return Err(Mismatch(format!("expected a line of connection {id}, got {lines:?}")));
        }
    }
    Ok(())
}

async fn small_talk(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    client.say(&["PING", "hi"], bulk("hi")).await?;
    client.say(&["ECHO", "a\r\nb"], bulk("a\r\nb")).await?;
    for words in
        [&["COMMAND"][..], &["COMMAND", "DOCS"], &["COMMAND", "INFO"], &["CONFIG", "GET", "x"]]
    {
        client.say(words, "*0\r\n").await?;
    }
    client.send(&["INFO"]).await?;
    let length = String::from_utf8_lossy(&client.0.line().await?).trim()[1..].parse();
    let text = client.0.bytes(length.unwrap_or(0) + 2).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let wanted = [
        "redis_version:7.0.0\r\n",
        "redis_mode:standalone\r\n",
        "role:master\r\n",
        "loading:0\r\n",
    ];
    for line in wanted {
        if !text.contains(line) {
            return Err(Mismatch(format!("INFO does not say {line:?}: {text}")));
        }
    }
    client.say(&["MULTI"], error("unknown command \"MULTI\"")).await
}

async fn quit_and_reset(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QREGISTER", &q], OK).await?;
    client.send(&["HELLO", "3"]).await?;
    client.send(&["RESET"]).await?;
    loop {
        if client.0.line().await? == b"+RESET\r\n" {
            break;
        }
    }
    client.say(&["QRPOP", &q], NIL).await?;
    client.until_status(&q, [0, 0, 0]).await?;
    client.send(&["QUIT"]).await?;
    client.send(&["PING"]).await?;
    client.0.expect(OK).await?;
    client.0.expect_close().await
}

async fn closes(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    let mut waiting = Client::connect(&target).await?;
    waiting.say(&["QREGISTER", &q], OK).await?;
    waiting.send(&["QNOTIFY", "600"]).await?;
    client.until_status(&q, [0, 0, 1]).await?;
    drop(waiting);
    let closed = Instant::now();
    client.until_status(&q, [0, 0, 0]).await?;
    if closed.elapsed() > Duration::from_secs(5) {
        return Err(Mismatch("the close was noticed late".into()));
    }
    Ok(())
}

async fn noack(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a", "b"]).await?;
    client.say(&["QRPOP", &q, "NOACK"], array(&["a", "a"])).await?;
    client.say(&["QRPOP", &q, "EX", "30", "noack"], array(&["b", "b"])).await?;
    client.expect_status(&q, [0, 0, 0]).await
}

async fn long_expires(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a"]).await?;
    client.pop(&q, "9223372036854775807", &["a"]).await?;
    client.expect_status(&q, [1, 1, 0]).await?;
    client.say(&["QACK", &q, "a"], ONE).await
}

async fn expiry_wakes(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("a:b"));
    client.push(&q, &["a"]).await?;
    client.say(&["QREGISTER", &q], OK).await?;
    let begun = Instant::now();
    client.pop(&q, "1", &["a"]).await?;
    client.say(&["QNOTIFY", "9"], bulk(&q)).await?;
    let took = begun.elapsed();
    if took < Duration::from_millis(900) || took > Duration::from_secs(3) {
        return Err(Mismatch(format!("it came back after {took:?}")));
    }
    client.pop(&q, "30", &["a"]).await
}

async fn redo_wakes(target: Target) -> Result<(), Mismatch> {
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let q = target.name("q");
    one.push(&q, &["a"]).await?;
    one.pop(&q, "30", &["a"]).await?;
    other.say(&["QREGISTER", &q], OK).await?;
    other.send(&["QNOTIFY", "9"]).await?;
    other.0.expect_silence(Duration::from_millis(100)).await?;
    one.say(&["QACK", &q, "a", "REDO"], ONE).await?;
    other.0.expect(bulk(&q)).await
}

async fn own_deadline(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.push(&q, &["a"]).await?;
    client.pop(&q, "1", &["a"]).await?;
    client.say(&["QACK", &q, "a", "REDO"], ONE).await?;
    client.pop(&q, "30", &["a"]).await?;
    client.say(&["QREGISTER", &q], OK).await?;
    // The deadline of the first pop passes meanwhile.
    client.say(&["QNOTIFY", "2"], NIL).await?;
    client.expect_status(&q, [1, 1, 1]).await
}

async fn count(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QRPOP", &q, "COUNT", "5"], NIL).await?;
    client.push(&q, &["a", "b", "c"]).await?;
    let both = array(&["a", "a", "b", "b"]);
    client.say(&["QRPOP", &q, "EX", "30", "COUNT", "2"], both).await?;
    client.say(&["QRPOP", &q, "NOACK", "COUNT", "2"], array(&["c", "c"])).await?;
    client.expect_status(&q, [2, 2, 0]).await?;
    client.say(&["QRPOP", &q, "COUNT", "0"], error("bad count value: 0 < 1")).await
}

async fn blocking_pop(target: Target) -> Result<(), Mismatch> {
    let (mut one, mut other) = (Client::connect(&target).await?, Client::connect(&target).await?);
    let (a, b) = (target.name("a"), target.name("b"));
    one.push(&b, &["1", "2", "3"]).await?;
    one.say(&["QBPOP", &a, &b, "9"], array(&[&b, "1", "1"])).await?;
    let two = array(&[&b, "2", "2", "3", "3"]);
    one.say(&["QBPOP", &a, &b, "9", "EX", "30", "COUNT", "5"], two).await?;
    for queues in [&[a.as_str(), b.as_str()][..], &[a.as_str()]] {
        let words = [&["QBPOP"], queues, &["9", "NOACK"]].concat();
        one.send(&words).await?;
        one.0.expect_silence(Duration::from_millis(100)).await?;
        other.push(&a, &["4"]).await?;
        one.0.expect(array(&[&a, "4", "4"])).await?;
    }
    one.say(&["QBPOP", "1"], error("missing args")).await
}

async fn blocking_pop_ends(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::connect(&target).await?;
    let (a, b) = (target.name("a"), target.name("b"));
    client.say(&["QBPOP", &a, "0"], NIL).await?;
    client.say(&["QBPOP", &a, &b, "0"], NIL).await?;
    client.say(&["QBPOP", &a, "1"], NIL).await?;
    client.say(&["QBPOP", &a, &b, "1"], NIL).await
}

async fn nack(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    client.say(&["QNACK", &q, "a"], ZERO).await?;
    client.push(&q, &["a", "b"]).await?;
    client.say(&["QNACK", &q, "a"], ZERO).await?;
    client.pop(&q, "30", &["a"]).await?;
    client.say(&["QNACK", &q, "a"], ONE).await?;
    client.pop(&q, "30", &["a"]).await?;
    client.say(&["QNACK", &q, "a", "DELAY", "600"], ONE).await?;
    client.pop(&q, "30", &["b"]).await?;
    client.say(&["QRPOP", &q], NIL).await?;
    client.expect_status(&q, [2, 1, 0]).await?;
    client.say(&["QNACK", &q, "a", "DELAY", "1"], ONE).await?;
    client.say(&["QBPOP", &q, "9"], array(&[&q, "a", "a"])).await?;
    client.say(&["QNACK", &q, "a", "DELAY", "-1"], error("bad delay value: -1 < 0")).await
}

async fn noblock_order(target: Target) -> Result<(), Mismatch> {
    let (mut client, q) = (Client::connect(&target).await?, target.name("q"));
    let requests = [
        array(&["QLPUSH", &q, "1", "a"]),
        array(&["QLPUSH", &q, "2", "b", "NOBLOCK"]),
        array(&["QLPUSH", &q, "2", "again"]),
        array(&["QRPOP", &q]),
        array(&["QRPUSH", &q, "3", "c", "NOBLOCK"]),
        array(&["QRPOP", &q]),
    ];
    let answers = [
        OK.into(),
        OK.into(),
        error("duplicate event 2").into_bytes(),
        array(&["1", "a"]),
        OK.into(),
        array(&["3", "c"]),
    ];
    client.0.exchange(requests.concat(), answers.concat()).await
}
