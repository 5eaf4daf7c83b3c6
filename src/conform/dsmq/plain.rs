//! The dialogues of the two dialects on a plain TCP stream, alone and beside WebSocket.

use super::{NO_REQUESTS, NOTHING, QUIET, get, latest, message, open, put};
use crate::conform::{Mismatch, Target, Wire};

fn framed(text: &str) -> String {
    format!(r#"{{"msg_length": {}}}{text}"#, text.len() + 1_000_000)
}

pub(super) async fn mixed(target: Target) -> Result<(), Mismatch> {
    let (mut wire, mut ws, topic) =
        (target.connect().await?, open(&target).await?, target.name("mixed"));
    wire.exchange(get(&topic), NOTHING).await?;
    ws.send(put(&topic, "ws")).await?;
    ws.exchange(get(&topic), message("ws")).await?;
    wire.exchange(framed(&get(&topic)), framed(&message("ws"))).await?;
    wire.send([put(&topic, "bare"), framed(&put(&topic, "framed"))].concat()).await?;
    let gets = [get(&topic), framed(&get(&topic)), get(&topic)].concat();
    let replies = [message("bare"), framed(&message("framed")), NOTHING.to_owned()].concat();
    wire.exchange(gets, replies).await?;
    ws.exchange(get(&topic), message("bare")).await?;
    ws.exchange(get(&topic), message("framed")).await
}

async fn in_parts(target: &Target, stream: &str, expected: &str) -> Result<(), Mismatch> {
    let mut wire = target.connect().await?;
    wire.exchange(stream, expected).await?;
    let mut wire = target.connect().await?;
    for part in stream.as_bytes().chunks(3) {
        wire.send(part).await?;
    }
    wire.expect(expected).await
}

pub(super) async fn bare_stream(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("parts");
    let stream = [
        put(&topic, "}{"),
        put(&topic, r#"\"\\"#),
        get(&topic),
        " \n".into(),
        get(&topic),
        latest(&topic),
    ];
    let expected = [message("}{"), message(r#"\"\\"#), NOTHING.to_owned()];
    in_parts(&target, &stream.concat(), &expected.concat()).await
}

pub(super) async fn framed_stream(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("parts");
    let stream = [put(&topic, "one"), put(&topic, "two"), get(&topic), get(&topic), get(&topic)];
    let expected = [message("one"), message("two"), NOTHING.to_owned()];
    let all = |texts: &[String]| texts.iter().map(|text| framed(text)).collect::<String>();
    in_parts(&target, &all(&stream), &all(&expected)).await
}

pub(super) async fn bare_long(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = (target.connect().await?, target.name("long"));
    let long = "y".repeat(500_000);
    wire.send(put(&topic, &long)).await?;
    wire.exchange(get(&topic), message(&long)).await
}

pub(super) async fn plain_errors(target: Target) -> Result<(), Mismatch> {
    let topic = target.name("errors");
    for (at, wrong) in NO_REQUESTS.iter().enumerate() {
        let text = at.to_string();
        let before = [put(&topic, &text), get(&topic)];
        // No request at all, or one with something behind it.
        let bare = if wrong.is_empty() { "x" } else { wrong.trim_start_matches("{nope") };
        if bare.starts_with('{') || !wrong.starts_with('{') {
            let mut wire = target.connect().await?;
            wire.exchange(
                [before.concat(), bare.to_owned()].concat(),
                if bare.ends_with(" x") {
                    [message(&text), NOTHING.to_owned()].concat()
                } else {
                    message(&text)
                },
            )
            .await?;
            wire.expect_close().await?;
        }
        let mut wire = target.connect().await?;
        let before: String = before.iter().map(|text| framed(text)).collect();
        wire.exchange([before, framed(wrong)].concat(), framed(&message(&text))).await?;
        wire.expect_close().await?;
    }
    // An action that is none was always ignored here; so is the one these releases do not know.
    let mut wire = target.connect().await?;
    for ignored in ["zap", "shutdown"] {
        let ignored = format!(r#"{{"action": "{ignored}", "topic": "t"}}"#);
        wire.exchange([ignored.clone(), get(&target.name("new"))].concat(), NOTHING).await?;
        let framed_get = framed(&get(&target.name("new")));
        wire.exchange([framed(&ignored), framed_get].concat(), framed(NOTHING)).await?;
    }
    Ok(())
}

pub(super) async fn bad_lengths(target: Target) -> Result<(), Mismatch> {
    for length in [
        "1000000",
        "999999",
        "0",
        "-1",
        "null",
        "\"1000002\"",
        "1000002.0",
        "2048577",
        "9999999",
        "18446744073709551615",
        "99999999999999999999",
    ] {
        let mut wire = target.connect().await?;
        wire.send(format!(r#"{{"msg_length": {length}}}{{}}"#)).await?;
        let closed = wire.expect_close().await;
        closed.map_err(|Mismatch(text)| Mismatch(format!("{length}: {text}")))?;
    }
    Ok(())
}

pub(super) async fn other_protocols(target: Target) -> Result<(), Mismatch> {
    for hello in [
        "POST / HTTP/1.1\r\n\r\n",
        "GETX",
        "OTQ PING t\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\x16\x03\x01\x02",
        "[1]",
    ] {
        let mut wire: Wire = target.connect().await?;
        wire.send(hello).await?;
        let closed = wire.expect_close().await;
        closed.map_err(|Mismatch(text)| Mismatch(format!("{hello:?}: {text}")))?;
    }
    Ok(())
}

/// Sends what has no reply, and gives it the time to be read alone.
async fn alone(wire: &mut Wire, sent: String) -> Result<(), Mismatch> {
    wire.send(sent).await?;
    wire.expect_silence(QUIET).await
}

pub(super) async fn bare_dialogue(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = (target.connect().await?, target.name("greetings"));
    wire.exchange(get(&topic), NOTHING).await?;
    alone(&mut wire, put(&topic, "Hello!")).await?;
    wire.exchange(get(&topic), message("Hello!")).await?;
    wire.exchange(get(&topic), NOTHING).await?;
    alone(&mut wire, format!(r#"{{"action": "zap", "topic": "{topic}"}}"#)).await?;
    alone(&mut wire, put(&topic, "\u{e9}")).await?;
    wire.exchange(get(&topic), message(r"\u00e9")).await
}

pub(super) async fn bare_readers(target: Target) -> Result<(), Mismatch> {
    let (mut writer, topic) = (target.connect().await?, target.name("readers"));
    alone(&mut writer, put(&topic, "before")).await?;
    let elsewhere = get(&target.name("elsewhere"));
    writer.exchange(&elsewhere, NOTHING).await?;
    let mut readers = [target.connect().await?, target.connect().await?];
    for reader in &mut readers {
        reader.exchange(get(&target.name("accepted")), NOTHING).await?;
    }
    alone(&mut writer, put(&topic, "a")).await?;
    alone(&mut writer, put(&topic, "b")).await?;
    writer.exchange(&elsewhere, NOTHING).await?;
    for reader in &mut readers {
        for text in ["a", "b", ""] {
            reader.exchange(get(&topic), message(text)).await?;
        }
    }
    for text in ["before", "a", "b", ""] {
        writer.exchange(get(&topic), message(text)).await?;
    }
    Ok(())
}

pub(super) async fn bare_blanks(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = (target.connect().await?, target.name("blanks"));
    alone(&mut wire, format!("\r\n {} \n", put(&topic, "m"))).await?;
    wire.exchange(format!("{}\n", get(&topic)), message("m")).await
}

pub(super) async fn framed_dialogue(target: Target) -> Result<(), Mismatch> {
    let mut wire = target.connect().await?;
    // The very bytes of the release.
    wire.exchange(
        r#"{"msg_length": 1000039}{"action": "get", "topic": "?nothing?"}"#,
        r#"{"msg_length": 1000015}{"message": ""}"#,
    )
    .await?;
    let topic = target.name("greetings");
    wire.send(framed(&put(&topic, "Hello!"))).await?;
    let hello = r#"{"msg_length": 1000021}{"message": "Hello!"}"#;
    wire.exchange(framed(&get(&topic)), hello).await?;
    wire.exchange(framed(&get(&topic)), framed(NOTHING)).await?;
    wire.send(framed(&format!(r#"{{"action": "zap", "topic": "{topic}"}}"#))).await?;
    wire.exchange(framed(&get(&topic)), framed(NOTHING)).await
}

pub(super) async fn framed_readers(target: Target) -> Result<(), Mismatch> {
    let (mut writer, topic) = (target.connect().await?, target.name("readers"));
    let mut reader = target.connect().await?;
    reader.exchange(framed(&get(&topic)), framed(NOTHING)).await?;
    for text in ["a", "b"] {
        writer.send(framed(&put(&topic, text))).await?;
    }
    writer.exchange(framed(&get(&topic)), framed(&message("a"))).await?;
    for text in ["a", "b", ""] {
        reader.exchange(framed(&get(&topic)), framed(&message(text))).await?;
    }
    Ok(())
}
