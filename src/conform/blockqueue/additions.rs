//! What octoq adds: choices where the original is poor, and what its releases of January 2026 have
//! on the same paths.

use super::*;
use std::time::Duration;

/// What octoq answers beyond the original, or better.
pub const ADDITIONS: &[Case] = &[
    case!("messages come in the order they were published", order),
    case!("a missed message goes to the end, with the same id", redelivery),
    case!("after its last delivery a message is a dead letter, and can be replayed", dead_letters),
    case!("a subscriber without options redelivers once", defaults),
    case!("a timeout of nothing reads what is there", no_wait),
    case!("a bad timeout is answered with one object", one_object),
    case!("a reader is woken at once", woken),
    case!("names that no path can hold are refused", names),
    case!("topics are listed", list),
    case!("a delayed message comes later", delay),
    case!("many messages are published and acked at once", batch),
    case!("messages are looked at without being read", peek),
];

const S: &str = "/subscribers/s";

/// A topic with one subscriber `s`.
async fn with_option(target: &Target, option: Value) -> Result<Client, Mismatch> {
    let list = serde_json::json!([{"name": "s", "option": option}]);
    Client::with_options(target, list).await
}

fn refused(error: &str) -> String {
    format!(r#"{{"message":"failure","error":{}}}"#, Value::from(error))
}

async fn order(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let wanted: Vec<String> = (0..25).map(|nth| format!("m{nth}")).collect();
    for message in &wanted {
        client.publish(message).await?;
    }
    let mut got = Vec::new();
    for count in [10, 10, 5] {
        let batch = client.read("s", SOON).await?;
        equal("messages of a read", batch.len(), count)?;
        got.extend(batch);
    }
    equal("messages", texts(&got), wanted.iter().map(String::as_str).collect())
}

async fn redelivery(target: Target) -> Result<(), Mismatch> {
    let option = serde_json::json!({"max_attempts": 3, "visibility_duration": "300ms"});
    let mut client = with_option(&target, option).await?;
    client.publish("missed").await?;
    let first = client.read("s", SOON).await?;
    client.publish("later").await?;
    client.counts(1, 1).await?;
    client.counts(2, 0).await?;
    let again = client.read("s", SOON).await?;
    equal("messages", texts(&again), vec!["later", "missed"])?;
    let ids = |received: &[Received]| received.last().map(|received| received.id.clone());
    equal("id", ids(&again), ids(&first))
}

async fn dead_letters(target: Target) -> Result<(), Mismatch> {
    let option = serde_json::json!({"max_attempts": 2, "visibility_duration": "150ms"});
    let mut client = with_option(&target, option).await?;
    client.publish("poison").await?;
    let mut id = String::new();
    for delivery in 1..=3 {
        let got = client.read("s", SOON).await?;
        equal(&format!("delivery {delivery}"), texts(&got), vec!["poison"])?;
        id = got.first().map(|received| received.id.clone()).unwrap_or_default();
    }
    client.counts(0, 1).await?;
    client.counts(0, 0).await?;
    let dead = client.data(&format!("{S}/dlq")).await?;
    let shown = dead.first().cloned().unwrap_or_default();
    equal("dead letters", dead.len(), 1)?;
    equal("id", shown["id"].as_str(), Some(&*id))?;
    equal("message", shown["message"].as_str(), Some("poison"))?;
    equal("status", shown["status"].as_str(), Some("dead_letter"))?;
    equal("retry_count", shown["retry_count"].as_u64(), Some(3))?;
    let ack = format!("{S}/messages/{id}");
    client.exchange(("DELETE", &ack), "", (500, NOT_IN_FLIGHT)).await?;
    let replay = format!("{S}/dlq/{id}/replay");
    client.exchange(("POST", &replay), "", (200, SUCCESS)).await?;
    client.exchange(("POST", &replay), "", (500, &refused("message not found"))).await?;
    let got = client.read("s", SOON).await?;
    equal("messages", texts(&got), vec!["poison"])?;
    client.ack("s", &id).await?;
    client.exchange(("GET", &format!("{S}/dlq")), "", (200, EMPTY)).await
}

async fn defaults(target: Target) -> Result<(), Mismatch> {
    let option = serde_json::json!({"visibility_duration": "100ms", "max_attempts": -1});
    let mut client = with_option(&target, option).await?;
    client.publish("m").await?;
    for _ in 1..=2 {
        equal("messages", texts(&client.read("s", SOON).await?), vec!["m"])?;
    }
    client.counts(0, 0).await?;
    equal("dead letters", client.data(&format!("{S}/dlq")).await?.len(), 1)
}

async fn no_wait(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    for none in ["timeout=0s", "timeout=0", "timeout=-1h"] {
        client.exchange(("GET", &format!("{S}?{none}")), "", (200, EMPTY)).await?;
        client.publish(none).await?;
        equal("messages", texts(&client.read("s", none).await?), vec![none])?;
    }
    Ok(())
}

async fn one_object(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let text = refused("time: missing unit in duration \"5\"");
    client.exchange(("GET", &format!("{S}?timeout=5")), "", (400, &text)).await
}

async fn woken(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let mut reader = client.beside(&target).await?;
    let started = tokio::time::Instant::now();
    let (got, sent) = futures_util::future::join(reader.read("s", SOON), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.publish("m").await
    })
    .await;
    sent?;
    equal("messages", texts(&got?), vec!["m"])?;
    let took = started.elapsed();
    if took > Duration::from_secs(4) {
        return Err(Mismatch(format!("the reader was woken after {took:?}")));
    }
    Ok(())
}

async fn names(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let list = r#"[{"name":"s"}]"#;
    for name in ["", "a/b", "a\\u0000b"] {
        let body = format!(r#"{{"name":"{name}","subscribers":{list}}}"#);
        let answer = client.ask("POST", "/topics", &body).await?.json(400)?;
        equal("message", answer["message"].as_str(), Some("failure"))?;
        let path = format!("{}/subscribers", client.topic);
        let body = format!(r#"[{{"name":"{name}"}}]"#);
        client.ask("POST", &path, &body).await?.json(400)?;
    }
    equal("subscribers", client.data("/subscribers").await?.len(), 1)
}

async fn list(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let name = client.name().to_owned();
    for path in ["/topics", "/topics/"] {
        let answer = client.ask("GET", path, "").await?.json(200)?;
        let topics = answer["data"].as_array().cloned().unwrap_or_default();
        let found = topics.iter().find(|topic| topic["name"].as_str() == Some(&name)).cloned();
        let found = found.unwrap_or_default();
        equal("length of the id", found["id"].as_str().map(str::len), Some(36))?;
        equal("created_at", found["created_at"].as_str().map(str::len), Some(20))?;
        equal("deleted_at", found.get("deleted_at"), Some(&Value::Null))?;
    }
    Ok(())
}

async fn delay(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let to = ("POST", "/messages");
    client.exchange(to, r#"{"message":"later","delay":"400ms"}"#, (200, SUCCESS)).await?;
    client.exchange(to, r#"{"message":"now","delay":""}"#, (200, SUCCESS)).await?;
    client.counts(2, 0).await?;
    equal("messages", texts(&client.read("s", SOON).await?), vec!["now"])?;
    equal("messages", texts(&client.read("s", SOON).await?), vec!["later"])?;
    let text = refused("time: unknown unit \"x\" in duration \"5x\"");
    client.exchange(to, r#"{"delay":"5x"}"#, (400, &text)).await
}

async fn batch(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let list = r#"[{"message":"a"},{"message":"b","delay":"0s"},{},{"MESSAGE":"d"}]"#;
    client.exchange(("POST", "/messages/batch"), list, (200, SUCCESS)).await?;
    client.exchange(("POST", "/messages/batch"), "[]", (200, SUCCESS)).await?;
    let got = client.read("s", SOON).await?;
    equal("messages", texts(&got), vec!["a", "b", "", "d"])?;
    let mut ids: Vec<Value> = got.iter().map(|got| Value::from(got.id.as_str())).collect();
    ids.push("nope".into());
    let ids = Value::Array(ids).to_string();
    let below = format!("{S}/messages/batch");
    client.exchange(("DELETE", &below), &ids, (200, SUCCESS)).await?;
    client.counts(0, 0).await?;
    let text = refused("message not found");
    client.exchange(("DELETE", &below), &ids, (500, &text)).await?;
    client.exchange(("DELETE", &below), "[]", (200, SUCCESS)).await
}

async fn peek(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    for message in ["a", "b", "c"] {
        client.publish(message).await?;
    }
    let shown = |views: &[Value]| -> Vec<String> {
        views.iter().map(|view| format!("{} {}", view["message"], view["status"])).collect()
    };
    let pending = [r#""a" "pending""#, r#""b" "pending""#, r#""c" "pending""#].map(str::to_owned);
    let messages = format!("{S}/messages");
    equal("views", shown(&client.data(&messages).await?), pending.to_vec())?;
    let some = client.data(&format!("{messages}?limit=1&offset=1")).await?;
    equal("views", shown(&some), vec![r#""b" "pending""#.to_owned()])?;
    let fields = some.first().and_then(Value::as_object).cloned().unwrap_or_default();
    for field in ["id", "message", "status", "retry_count", "visible_at", "created_at"] {
        equal(field, fields.contains_key(field), true)?;
    }
    client.counts(3, 0).await?;
    client.read("s", SOON).await?;
    client.publish("d").await?;
    let views = client.data(&format!("{messages}?limit=2&offset=2")).await?;
    let wanted = [r#""c" "delivered""#, r#""d" "pending""#].map(str::to_owned);
    equal("views", shown(&views), wanted.to_vec())?;
    client.exchange(("GET", &format!("{messages}?offset=9")), "", (200, EMPTY)).await
}
