//! blockqueue's dialogues over HTTP: what release v0.0.3-beta answers, and what octoq adds to it.

mod additions;
mod delivery;
mod topics;

use super::{Answer, Case, Mismatch, Target, Wire, case};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;

pub use additions::ADDITIONS;

/// The dialogues of release v0.0.3-beta.
pub const CASES: &[Case] = &[
    case!("a topic is made with its subscribers", topics::create),
    case!("a topic without subscribers is not made", topics::create_alone),
    case!("a topic with the same subscriber twice is not made", topics::create_twins),
    case!("a name that is taken is a conflict", topics::create_again),
    case!("a deleted topic is gone and its name free, and it starts empty", topics::delete),
    case!("every route of an unknown topic is 404 before its body is read", topics::unknown),
    case!("a trailing slash is accepted where topics are made", topics::trailing_slash),
    case!("an unknown path is Go's 404, another method an empty 405", topics::no_route),
    case!("names may need percent-encoding", topics::odd_names),
    case!("what is not JSON or of a wrong type is 400 in Go's words", topics::malformed),
    case!("unknown fields, other cases, trailing text and types are no matter", topics::lenient),
    case!("the status of subscribers comes in the order they were made", topics::status),
    case!("subscribers are added all or none", topics::add),
    case!("a deleted subscriber is unknown until it is added again", topics::remove),
    case!("a topic without subscribers takes messages and drops them", topics::nobody),
    case!("a message is read, acked once, and counted on its way", delivery::read_and_ack),
    case!("a message is any text", delivery::any_text),
    case!("every subscriber has its own copy", delivery::copies),
    case!("a new subscriber gets what is published after it", delivery::newcomer),
    case!("a read brings at most ten messages and loses none", delivery::batches),
    case!("a read of an empty subscriber ends with an empty list", delivery::timeout),
    case!("a timeout that is none is 400 in Go's words", delivery::bad_timeout),
    case!("a subscriber that is not there has nothing to read or ack", delivery::no_listener),
    case!("a reader of a deleted subscriber or topic is told", delivery::deleted_meanwhile),
    case!("readers that wait are served one by one", delivery::competing),
    case!("a reader that left gets nothing", delivery::departed),
];

/// Deletes the topics of a case.
pub fn sweep(target: Target) -> LocalBoxFuture<'static, Result<(), Mismatch>> {
    Box::pin(async move {
        let mut client = Client::new(&target).await?;
        for name in target.names() {
            client.ask("DELETE", &format!("/topics/{name}"), "").await?;
        }
        Ok(())
    })
}

/// Long enough for a message to be there, shorter than the patience of a case.
const SOON: &str = "timeout=8s";
const SUCCESS: &str = r#"{"message":"success"}"#;
const NO_TOPIC: &str = r#"{"message":"not found","error":"topic not found"}"#;
const NO_LISTENER: &str = r#"{"message":"failure","error":"listener not found"}"#;
const DELETED: &str = r#"{"message":"failure","error":"listener was deleted"}"#;
const NOT_IN_FLIGHT: &str =
    r#"{"message":"failure","error":"error ack message. message_id not found"}"#;
const NO_SUBSCRIBERS: &str =
    r#"{"message":"failure","error":"length of array is 0: core.Subscribers{}"}"#;
const UNIQUE: &str = "{\"message\":\"failure\",\"error\":\"UNIQUE constraint failed: \
                      topic_subscribers.name, topic_subscribers.topic_id\"}";
const EMPTY: &str = r#"{"message":"success","data":[]}"#;

/// One client with one connection.
struct Client {
    wire: Wire,
    /// The topic of the case.
    topic: String,
}

impl Client {
    /// A client and the path of a topic that is not made yet.
    async fn new(target: &Target) -> Result<Client, Mismatch> {
        let topic = format!("/topics/{}", target.name("bq"));
        Ok(Client { wire: target.connect().await?, topic })
    }

    /// Another client of the same topic.
    async fn beside(&self, target: &Target) -> Result<Client, Mismatch> {
        Ok(Client { wire: target.connect().await?, topic: self.topic.clone() })
    }

    /// A client and its topic with these subscribers, which have the default options.
    async fn with(target: &Target, subscribers: &[&str]) -> Result<Client, Mismatch> {
        let list: Vec<Value> =
            subscribers.iter().map(|name| serde_json::json!({"name": name})).collect();
        Client::with_options(target, Value::Array(list)).await
    }

    async fn with_options(target: &Target, subscribers: Value) -> Result<Client, Mismatch> {
        let mut client = Client::new(target).await?;
        let name = client.name().to_owned();
        let body = serde_json::json!({"name": name, "subscribers": subscribers});
        client.ask("POST", "/topics", &body.to_string()).await?.expect(200, SUCCESS)?;
        Ok(client)
    }

    fn name(&self) -> &str {
        self.topic.rsplit('/').next().unwrap_or_default()
    }

    /// A request for a whole path.
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Mismatch> {
        let answer = self.wire.http(method, path, &[], body.as_bytes()).await;
        answer.map_err(|Mismatch(text)| Mismatch(format!("{method} {path} {body}: {text}")))
    }

    /// A request below the topic, and what it answers.
    async fn exchange(
        &mut self,
        (method, below): (&str, &str),
        sent: &str,
        (status, body): (u16, &str),
    ) -> Result<(), Mismatch> {
        let path = format!("{}{below}", self.topic);
        let answer = self.ask(method, &path, sent).await?;
        let expected = answer.expect(status, body);
        expected.map_err(|Mismatch(text)| Mismatch(format!("{method} {below} {sent}: {text}")))
    }

    async fn publish(&mut self, message: &str) -> Result<(), Mismatch> {
        let body = serde_json::json!({"message": message}).to_string();
        self.exchange(("POST", "/messages"), &body, (200, SUCCESS)).await
    }

    /// The `data` of an answer below the topic.
    async fn data(&mut self, below: &str) -> Result<Vec<Value>, Mismatch> {
        let path = format!("{}{below}", self.topic);
        let answer = self.ask("GET", &path, "").await?.json(200)?;
        match (answer["message"].as_str(), &answer["data"]) {
            (Some("success"), Value::Array(list)) => Ok(list.clone()),
            _ => Err(Mismatch(format!("GET {below}: no list of data in {answer}"))),
        }
    }

    /// One read: ids and messages.
    async fn read(&mut self, subscriber: &str, query: &str) -> Result<Vec<Received>, Mismatch> {
        let list = self.data(&format!("/subscribers/{subscriber}?{query}")).await?;
        list.into_iter().map(received).collect()
    }

    /// Reads until so many messages have come.
    async fn read_all(
        &mut self,
        subscriber: &str,
        count: usize,
    ) -> Result<Vec<Received>, Mismatch> {
        let mut all = Vec::new();
        while all.len() < count {
            let batch = self.read(subscriber, SOON).await?;
            if batch.is_empty() || batch.len() > 10 {
                let (had, got) = (all.len(), batch.len());
                return Err(Mismatch(format!("{got} messages in a read after {had} of {count}")));
            }
            all.extend(batch);
        }
        Ok(all)
    }

    async fn ack(&mut self, subscriber: &str, id: &str) -> Result<(), Mismatch> {
        let below = format!("/subscribers/{subscriber}/messages/{id}");
        self.exchange(("DELETE", &below), "", (200, SUCCESS)).await
    }

    /// Waits until the counts of the first subscriber are these.
    async fn counts(&mut self, unpublished: u64, unacked: u64) -> Result<(), Mismatch> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let status = self.data("/subscribers").await?;
            let first = status.first().cloned().unwrap_or_default();
            let found = (&first["unpublished_message"], &first["unacked_message"]);
            if found == (&Value::from(unpublished), &Value::from(unacked)) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let text = format!("{unpublished} unpublished, {unacked} unacked: {first}");
                return Err(Mismatch(format!("expected {text}")));
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

/// A message as it was read.
struct Received {
    id: String,
    message: String,
}

/// Exactly the two keys.
fn received(value: Value) -> Result<Received, Mismatch> {
    let fields = value.as_object().map_or(0, serde_json::Map::len);
    match (&value["id"], &value["message"]) {
        (Value::String(id), Value::String(message)) if fields == 2 && !id.is_empty() => {
            Ok(Received { id: id.clone(), message: message.clone() })
        }
        _ => Err(Mismatch(format!("not a message: {value}"))),
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<(), Mismatch> {
    if got == wanted {
        return Ok(());
    }
    Err(Mismatch(format!("{what}: expected {wanted:?}, got {got:?}")))
}

/// The messages without their ids.
fn texts(received: &[Received]) -> Vec<&str> {
    received.iter().map(|received| received.message.as_str()).collect()
}

fn sorted(received: &[Received]) -> Vec<&str> {
    let mut texts = texts(received);
    texts.sort_unstable();
    texts
}
