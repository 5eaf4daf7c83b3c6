//! Topics and queues as the broker shows them.

use super::client::Ask;
use super::failure::Failure;
use super::name::{Name, topic_path, with_query};
use super::remote::Session;
use super::show;
use crate::queue::TopicName;
use serde::Deserialize;
use serde_json::Value;

/// Topics of one page.
const PAGE: &str = "500";

/// What is read of a topic.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Topic {
    /// As a person reads it.
    pub name: String,
    /// `broker` or `pubsub`.
    pub kind: String,
    /// What a confirmation stands for.
    pub durability: String,
    /// The settings.
    pub policy: Value,
    /// The queues.
    pub queues: Vec<Queue>,
    /// Live subscribers.
    pub subscribers: u64,
}

/// What is read of a queue.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// As a person reads it.
    pub name: String,
    /// Can be handed out.
    pub ready: u64,
    /// Wait for their time.
    pub delayed: u64,
    /// Handed out.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
    /// Of bodies.
    pub bytes: u64,
    /// Who consumes.
    pub consumers: u64,
    /// The settings.
    pub policy: Value,
    /// Since the broker started.
    pub totals: Option<Totals>,
}

/// What is read of a queue's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Messages that came.
    pub published: u64,
    /// Messages that were acked.
    pub acked: u64,
}

impl Queue {
    /// What is held up, as a word.
    pub fn paused(&self) -> &'static str {
        let paused = |key: &str| self.policy[key] == Value::Bool(true);
        match (paused("paused_in"), paused("paused_out")) {
            (true, true) => "paused",
            (true, false) => "paused in",
            (false, true) => "paused out",
            (false, false) => "",
        }
    }

    /// Ready, delayed, in flight and dead ones.
    pub fn all(&self) -> u64 {
        self.ready + self.delayed + self.in_flight + self.dead
    }
}

/// What stands where a topic's name would, for queues that belong to none.
pub const NO_TOPIC: &str = "(no topic)";

/// The name of a topic as a person reads it; for the one that holds the queues without a topic, that
/// they have none.
pub fn topic_shown(name: &str) -> &str {
    if is_nowhere(name) { NO_TOPIC } else { name }
}

/// It is no topic, but where the queues are that belong to none.
pub fn is_nowhere(topic: &str) -> bool {
    topic.as_bytes() == TopicName::unattached().as_bytes()
}

impl Topic {
    /// The sum of something over its queues.
    pub fn sum(&self, of: impl Fn(&Queue) -> u64) -> u64 {
        self.queues.iter().map(of).sum()
    }
}

/// One page of topics.
#[derive(Debug, Deserialize)]
struct Page {
    topics: Vec<Value>,
    next: Option<Value>,
}

/// All topics the caller may see, as they came.
pub async fn topics(session: &mut Session, prefix: Option<&str>) -> Result<Vec<Value>, Failure> {
    let mut topics = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = [
            ("limit", Some(PAGE.to_owned())),
            ("prefix", prefix.map(str::to_owned)),
            ("after", after),
        ];
        let answer = session.ask(Ask::get(with_query("/v1/topics".into(), &query))).await?;
        let page: Page = answer.json()?;
        topics.extend(page.topics);
        after = match page.next {
            None | Some(Value::Null) => return Ok(topics),
            Some(Value::String(cursor)) => Some(cursor),
            Some(number) => Some(number.to_string()),
        };
    }
}

/// One topic.
pub async fn topic(session: &mut Session, name: &Name) -> Result<Topic, Failure> {
    session.ask(Ask::get(topic_path(name))).await?.json()
}

/// A count and what it counts.
pub fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Settings, one per line, those that say nothing left out.
pub fn settings(out: &mut impl std::io::Write, policy: &Value) -> std::io::Result<()> {
    let Some(fields) = policy.as_object() else { return Ok(()) };
    for (name, value) in fields {
        let shown = match value {
            Value::Null => continue,
            Value::Number(ms) if name.ends_with("_ms") => match ms.as_u64() {
                Some(0) | None => ms.to_string(),
                Some(ms) => super::span::rough(ms),
            },
            Value::Number(size) if name.ends_with("bytes_max") || name == "history_bytes" => {
                show::bytes(size.as_u64().unwrap_or_default())
            }
            Value::String(text) => show::printable(text),
            Value::Object(place) if name == "dead_letter" => {
                let part = |key: &str| place.get(key).and_then(Value::as_str).unwrap_or_default();
                show::printable(&format!("{}/{}", topic_shown(part("topic")), part("queue")))
            }
            other => other.to_string(),
        };
        writeln!(out, "  {:<18} {shown}", name.trim_end_matches("_ms"))?;
    }
    Ok(())
}
