//! Publishing, reading, acking.

use super::*;
use std::time::Duration;

pub async fn read_and_ack(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    client.publish("hello").await?;
    client.counts(1, 0).await?;
    let got = client.read("s", SOON).await?;
    equal("messages", texts(&got), vec!["hello"])?;
    let id = got.first().map(|received| received.id.clone()).unwrap_or_default();
    if id.contains('/') {
        return Err(Mismatch(format!("the id `{id}` cannot stand in a path")));
    }
    client.counts(0, 1).await?;
    let below = format!("/subscribers/s/messages/{id}");
    client.ack("s", &id).await?;
    client.counts(0, 0).await?;
    client.exchange(("DELETE", &below), "", (500, NOT_IN_FLIGHT)).await?;
    client.exchange(("DELETE", "/subscribers/s/messages/nope"), "", (500, NOT_IN_FLIGHT)).await
}

pub async fn any_text(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let long = "x".repeat(100_000);
    let odd = "\"quoted\" \\ /\n\t\u{1} <b>&amp;</b> \u{e4}\u{1f600}\u{2028} {\"json\":[1]}";
    for text in ["", odd, &long] {
        client.publish(text).await?;
        let got = client.read_all("s", 1).await?;
        equal("messages", texts(&got), vec![text])?;
        for received in got {
            client.ack("s", &received.id).await?;
        }
    }
    // Escapes beyond what JSON asks for, and halves of characters, as Go's decoder takes them.
    let body = r#"{"message":"\u0041\u00e4\ud83d\ude00\ud83d."}"#;
    client.exchange(("POST", "/messages"), body, (200, SUCCESS)).await?;
    let got = client.read_all("s", 1).await?;
    equal("messages", texts(&got), vec!["A\u{e4}\u{1f600}\u{fffd}."])
}

pub async fn copies(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["a", "b"]).await?;
    client.publish("m").await?;
    let mut ids = Vec::new();
    for subscriber in ["a", "b"] {
        let got = client.read_all(subscriber, 1).await?;
        equal("messages", texts(&got), vec!["m"])?;
        ids.extend(got.into_iter().map(|received| received.id));
    }
    let (of_a, of_b) = match ids.as_slice() {
        [a, b] => (a.clone(), b.clone()),
        _ => return Err(Mismatch(format!("not two ids: {ids:?}"))),
    };
    client.ack("a", &of_a).await?;
    client.counts(0, 0).await?;
    client.ack("b", &of_b).await
}

pub async fn newcomer(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["old"]).await?;
    client.publish("before").await?;
    let got = client.read_all("old", 1).await?;
    equal("messages", texts(&got), vec!["before"])?;
    client.exchange(("POST", "/subscribers"), r#"[{"name":"new"}]"#, (200, SUCCESS)).await?;
    client.publish("after").await?;
    for subscriber in ["new", "old"] {
        let got = client.read_all(subscriber, 1).await?;
        equal("messages", texts(&got), vec!["after"])?;
    }
    Ok(())
}

pub async fn batches(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let wanted: Vec<String> = (10..33).map(|nth| format!("m{nth}")).collect();
    for message in &wanted {
        client.publish(message).await?;
    }
    let got = client.read_all("s", wanted.len()).await?;
    equal("messages", sorted(&got), wanted.iter().map(String::as_str).collect())?;
    client.counts(0, wanted.len() as u64).await?;
    for received in got {
        client.ack("s", &received.id).await?;
    }
    client.counts(0, 0).await
}

pub async fn timeout(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    for query in ["timeout=1s", "timeout=500ms", "timeout=0.5s", "x=y&timeout=0h0.01m"] {
        let below = format!("/subscribers/s?{query}");
        client.exchange(("GET", &below), "", (200, EMPTY)).await?;
    }
    Ok(())
}

pub async fn bad_timeout(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    for (query, error) in [
        ("", r#"time: invalid duration \"\""#),
        ("?timeout=", r#"time: invalid duration \"\""#),
        ("?timeout=abc", r#"time: invalid duration \"abc\""#),
        ("?timeout=5", r#"time: missing unit in duration \"5\""#),
        ("?timeout=5x", r#"time: unknown unit \"x\" in duration \"5x\""#),
    ] {
        let path = format!("{}/subscribers/s{query}", client.topic);
        let answer = client.ask("GET", &path, "").await?;
        // The original appends a second object, which is none of a client's business.
        let envelope = format!(r#"{{"message":"failure","error":"{error}"}}"#);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        equal(query, answer.status, 400)?;
        equal(query, text.starts_with(&envelope).then_some(&*text), Some(&*text))?;
    }
    Ok(())
}

pub async fn no_listener(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let none = (500, NO_LISTENER);
    client.exchange(("GET", "/subscribers/other?timeout=5s"), "", none).await?;
    client.exchange(("DELETE", "/subscribers/other/messages/1"), "", none).await
}

pub async fn deleted_meanwhile(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s", "t"]).await?;
    let (mut of_s, mut of_t) = (client.beside(&target).await?, client.beside(&target).await?);
    let gone = (500, DELETED);
    let (first, second, third) = futures_util::future::join3(
        of_s.exchange(("GET", "/subscribers/s?timeout=8s"), "", gone),
        of_t.exchange(("GET", "/subscribers/t?timeout=8s"), "", gone),
        async {
            // Time for both to wait.
            tokio::time::sleep(Duration::from_millis(1000)).await;
            client.exchange(("DELETE", "/subscribers/s"), "", (200, SUCCESS)).await?;
            client.exchange(("DELETE", ""), "", (200, SUCCESS)).await
        },
    )
    .await;
    first.and(second).and(third)
}

pub async fn competing(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let (mut one, mut two) = (client.beside(&target).await?, client.beside(&target).await?);
    let (first, second, sent) =
        futures_util::future::join3(one.read("s", SOON), two.read("s", SOON), async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            client.publish("a").await?;
            // The original gathers what comes within a tick.
            tokio::time::sleep(Duration::from_millis(2500)).await;
            client.publish("b").await
        })
        .await;
    sent?;
    let (mut got, second) = (first?, second?);
    equal("messages of one reader", (got.len(), second.len()), (1, 1))?;
    got.extend(second);
    equal("messages", sorted(&got), vec!["a", "b"])
}

pub async fn departed(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    for nth in ["1", "2", "3"] {
        let mut leaving = client.beside(&target).await?;
        let request = format!(
            "GET {}/subscribers/s?timeout=60s HTTP/1.1\r\nHost: localhost\r\n\r\n",
            client.topic
        );
        leaving.wire.send(request).await?;
        leaving.wire.expect_silence(Duration::from_millis(300)).await?;
        drop(leaving);
        client.publish(nth).await?;
        let got = client.read("s", SOON).await?;
        equal("messages", texts(&got), vec![nth])?;
    }
    Ok(())
}
