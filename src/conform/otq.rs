//! octoque's dialogues, for the user `admin` with the stock password.

use super::{Case, Mismatch, Target, Wire, case};

/// The dialogues of an otq server.
pub const CASES: &[Case] = &[
    case!("a command before CONNECT is refused and the connection closed", not_connected),
    case!("what was put is got once, in order", put_and_get),
    case!("PUTACK tells the size after each row", putack),
    case!("CLEAR leaves nothing to get", clear),
    case!("a name that is taken closes the connection, an unknown one does not", names),
    case!("a subscriber is pushed what is published after it", subscribe),
];

const DONE: &str = "PROCEED\r\nENDOFRESP\r\n";

async fn login(target: &Target) -> Result<Wire, Mismatch> {
    let mut wire = target.connect().await?;
    wire.exchange("OTQ CONNECT admin password\r\n", "CONNECTED\r\nENDOFRESP\r\n").await?;
    Ok(wire)
}

async fn with_topic(target: &Target, kind: &str) -> Result<(Wire, String), Mismatch> {
    let (mut wire, topic) = (login(target).await?, target.name("conform"));
    wire.exchange(format!("OTQ NEW {topic} {kind}\r\n"), "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n")
        .await?;
    Ok((wire, topic))
}

async fn not_connected(target: Target) -> Result<(), Mismatch> {
    let mut wire = target.connect().await?;
    wire.send("OTQ PING default\r\n").await?;
    let line = wire.line().await?;
    if line.starts_with(b"DECLINE:") {
        Ok(())
    } else {
        Err(Mismatch(format!("expected a DECLINE, got \"{}\"", line.escape_ascii())))
    }
}

async fn put_and_get(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = with_topic(&target, "BROKER").await?;
    wire.exchange(format!("OTQ PUT {topic} 2 BATCH\r\n"), "PROCEED\r\n").await?;
    wire.exchange("hello\r\nworld\r\n", "ENDOFRESP\r\n").await?;
    let got = "PROCEED\r\nhello\r\nworld\r\nENDOFRESP\r\n";
    wire.exchange(format!("OTQ GET {topic} 5 BATCH\r\n"), got).await?;
    wire.exchange(format!("OTQ GET {topic} 1 BATCH\r\n"), DONE).await
}

async fn putack(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = with_topic(&target, "BROKER").await?;
    wire.exchange(format!("OTQ PUTACK {topic} 2 BATCH\r\n"), "PROCEED\r\n").await?;
    wire.exchange("a\r\nb\r\n", "SUCCESS\r\n1\r\nSUCCESS\r\n2\r\nENDOFRESP\r\n").await
}

async fn clear(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = with_topic(&target, "BROKER").await?;
    wire.exchange(format!("OTQ PUT {topic} 1 BATCH\r\n"), "PROCEED\r\n").await?;
    wire.exchange("gone\r\n", "ENDOFRESP\r\n").await?;
    let cleared = "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n";
    wire.exchange(format!("OTQ CLEAR {topic}\r\n"), cleared).await?;
    wire.exchange(format!("OTQ GET {topic} 1 BATCH\r\n"), DONE).await
}

async fn names(target: Target) -> Result<(), Mismatch> {
    let (mut wire, topic) = with_topic(&target, "BROKER").await?;
    let taken = "PROCEED\r\nDECLINE:Topic is already existed\nENDOFRESP\r\n";
    wire.exchange(format!("OTQ NEW {topic} BROKER\r\n"), taken).await?;
    wire.expect_close().await?;
    let mut wire = login(&target).await?;
    let unknown = target.name("unknown");
    let not_found = "NOT FOUND\r\nENDOFRESP\r\n";
    wire.exchange(format!("OTQ PING {unknown}\r\n"), not_found).await?;
    wire.exchange(format!("OTQ PING {topic}\r\n"), "PONG\r\nENDOFRESP\r\n").await
}

async fn subscribe(target: Target) -> Result<(), Mismatch> {
    let (mut publisher, topic) = with_topic(&target, "PUBSUB").await?;
    let mut subscriber = login(&target).await?;
    subscriber.exchange(format!("OTQ SUBSCRIBE {topic}\r\n"), "PROCEED\r\n").await?;
    publisher.exchange(format!("OTQ PUBLISH {topic} 1 BATCH\r\n"), "PROCEED\r\n").await?;
    publisher.exchange("news\r\n", "ENDOFRESP\r\n").await?;
    subscriber.expect("news\n").await
}
