//! fastqueue's dialogues, over HTTP without credentials.

mod additions;
mod entities;
mod messages;
mod refusals;

pub use additions::ADDITIONS;

use super::{Answer, Case, Mismatch, PATIENCE, Target, Wire};
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};

/// The dialogues of a fastqueue server.
pub const CASES: &[Case] = &{
    const COUNT: usize = entities::CASES.len() + messages::CASES.len() + refusals::CASES.len();
    let mut all = [entities::CASES[0]; COUNT];
    let mut at = 0;
    while at < COUNT {
        let (after_entities, after_messages) =
            (entities::CASES.len(), entities::CASES.len() + messages::CASES.len());
        all[at] = if at < after_entities {
            entities::CASES[at]
        } else if at < after_messages {
            messages::CASES[at - after_entities]
        } else {
            refusals::CASES[at - after_messages]
        };
        at += 1;
    }
    all
};

type Played = Result<(), Mismatch>;

/// Deletes the queues and topics of a case.
pub fn sweep(target: Target) -> LocalBoxFuture<'static, Played> {
    Box::pin(async move {
        let mut client = Client::connect(&target).await?;
        for kind in ["queues", "topics"] {
            for name in target.names() {
                client.send("DELETE", &format!("/{kind}/{name}"), "").await?;
            }
        }
        Ok(())
    })
}

/// A client on one connection that stays open.
struct Client {
    wire: Wire,
}

impl Client {
    async fn connect(target: &Target) -> Result<Client, Mismatch> {
        Ok(Client { wire: target.connect().await? })
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Mismatch> {
        let kind = [("content-type", "application/json")];
        let headers = if body.is_empty() { &[][..] } else { &kind };
        let answer = self.wire.http(method, path, headers, body.as_bytes()).await;
        answer.map_err(|Mismatch(text)| Mismatch(format!("{method} {path} {body}: {text}")))
    }

    /// Asks, and expects this status; answers the JSON.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Value,
        status: u16,
    ) -> Result<Value, Mismatch> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(method, path, &body).await?.json(status);
        answer.map_err(|Mismatch(text)| Mismatch(format!("{method} {path} {body}: {text}")))
    }

    async fn get(&mut self, path: &str) -> Result<Value, Mismatch> {
        self.ask("GET", path, Value::Null, 200).await
    }

    async fn topic(&mut self, id: &str) -> Result<Value, Mismatch> {
        self.ask("POST", "/topics", json!({ "id": id }), 201).await
    }

    /// Makes a queue with these settings beside a deadline of 30 s and a retention of 10 min.
    async fn queue(&mut self, id: &str, more: Value) -> Result<Value, Mismatch> {
        self.ask("POST", "/queues", settings(Some(id), more), 201).await
    }

    /// Publishes; the messages that were made.
    async fn publish(&mut self, topic: &str, message: Value) -> Result<Vec<Value>, Mismatch> {
        let path = format!("/topics/{topic}/messages");
        data(self.ask("POST", &path, message, 201).await?)
    }

    async fn consume(&mut self, queue: &str) -> Result<Vec<Value>, Mismatch> {
        data(self.get(&format!("/queues/{queue}/messages")).await?)
    }

    /// The only message that is there.
    async fn consume_one(&mut self, queue: &str) -> Result<Value, Mismatch> {
        let mut found = self.consume(queue).await?;
        match (found.pop(), found.is_empty()) {
            (Some(message), true) => Ok(message),
            (last, _) => Err(Mismatch(format!("one message expected, got {found:?} and {last:?}"))),
        }
    }

    /// Consumes again and again until there is something.
    async fn consume_later(&mut self, queue: &str) -> Result<Value, Mismatch> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < deadline {
            if let Some(message) = self.consume(queue).await?.pop() {
                return Ok(message);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Err(Mismatch(format!("nothing in {queue} within {PATIENCE:?}")))
    }

    async fn settle(&mut self, message: &Value, verb: &str) -> Played {
        let id = text(message, "id")?;
        self.ask("PUT", &format!("/messages/{id}/{verb}"), Value::Null, 204).await.map(drop)
    }

    async fn available(&mut self, queue: &str) -> Result<u64, Mismatch> {
        let stats = self.get(&format!("/queues/{queue}/stats")).await?;
        stats["num_undelivered_messages"].as_u64().ok_or_else(|| odd("stats", &stats))
    }
}

fn settings(id: Option<&str>, more: Value) -> Value {
    let mut settings = json!({"ack_deadline_seconds": 30, "message_retention_seconds": 600});
    if let Some(id) = id {
        settings["id"] = id.into();
    }
    if let (Some(settings), Value::Object(more)) = (settings.as_object_mut(), more) {
        settings.extend(more);
    }
    settings
}

fn odd(what: &str, found: &Value) -> Mismatch {
    Mismatch(format!("{what}: not expected: {found}"))
}

fn data(answer: Value) -> Result<Vec<Value>, Mismatch> {
    answer["data"].as_array().cloned().ok_or_else(|| odd("data", &answer))
}

fn text(value: &Value, field: &str) -> Result<String, Mismatch> {
    value[field].as_str().map(str::to_owned).ok_or_else(|| odd(field, value))
}

/// Two values are the same.
fn same(what: &str, found: &Value, expected: Value) -> Played {
    match *found == expected {
        true => Ok(()),
        false => Err(Mismatch(format!("{what}: expected {expected}, got {found}"))),
    }
}

fn is(what: &str, holds: bool) -> Played {
    if holds { Ok(()) } else { Err(Mismatch(format!("{what}: it is not so"))) }
}

/// Milliseconds of a time; only for comparing times of one month.
fn ms(value: &Value, field: &str) -> Result<i64, Mismatch> {
    let time = text(value, field)?;
    let number = |from: usize, to: usize| time.get(from..to).and_then(|part| part.parse().ok());
    let parts = [(8, 10), (11, 13), (14, 16), (17, 19)].map(|(from, to)| number(from, to));
    let [Some(day), Some(hour), Some(minute), Some(second)] = parts else {
        return Err(odd(field, value));
    };
    let fraction: i64 = number(20, 23).unwrap_or(0);
    let seconds: i64 = ((day * 24 + hour) * 60 + minute) * 60 + second;
    Ok(seconds * 1000 + fraction)
}

/// Milliseconds from one time to another, over the end of a month as well.
fn between(value: &Value, from: &str, to: &str) -> Result<i64, Mismatch> {
    const DAY: i64 = 86_400_000;
    let span = ms(value, to)? - ms(value, from)?;
    let month = |field| text(value, field).map(|time| time.get(..7).map(str::to_owned));
    if month(from)? == month(to)? {
        return Ok(span);
    }
    // Months have 28 to 31 days; whatever is nearest to a whole multiple of what is asked for.
    Ok((28..=31)
        .map(|days| span + days * DAY)
        .find(|span| *span >= 0 && *span < 31 * DAY)
        .unwrap_or(span))
}
