//! Settings of topics and queues as flags.

use super::failure::Failure;
use super::name::Address;
use super::span::Span;
use serde_json::{Map, Value, json};

/// How surely messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// Never written
    Memory,
    /// Survives a kill
    Async,
    /// Survives power loss
    Sync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Overflow {
    /// The publisher is told
    Refuse,
    /// The oldest goes
    DropOldest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Returns {
    /// To its own place
    Place,
    /// It is handed out next
    Front,
    /// Behind all that waits
    Back,
}

/// A count of bytes: `512`, `64K`, `20M`, `1G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(u64);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("`{text}` is not a size like 512, 64K, 20M or 1G");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..).unwrap_or_default() {
            "" | "B" => 1,
            "K" | "k" | "KiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            "T" | "TiB" => 1_u64 << 40,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Size).ok_or_else(wrong)
    }
}

/// A list of spans: `1s,5s,1m`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans(Vec<u64>);

impl std::str::FromStr for Spans {
    type Err = String;

    fn from_str(text: &str) -> Result<Spans, String> {
        if text.is_empty() {
            return Ok(Spans(Vec::new()));
        }
        let spans = text.split(',').map(|span| Ok(span.parse::<Span>()?.millis()));
        spans.collect::<Result<_, String>>().map(Spans)
    }
}

fn object(name: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("--{name} must be a JSON object: {error}")))
}

/// Settings of a topic. Those left out stay as they are, or have their default.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings of the topic")]
pub struct TopicPolicyArgs {
    /// What a confirmation stands for
    #[arg(long, value_enum)]
    durability: Option<Level>,
    /// Most messages kept; 0 is unlimited
    #[arg(long, value_name = "N")]
    capacity: Option<u64>,
    /// Most bytes of bodies kept; 0 is unlimited
    #[arg(long, value_name = "SIZE")]
    bytes_max: Option<Size>,
    /// What happens above those two
    #[arg(long, value_enum)]
    overflow: Option<Overflow>,
    /// Time to live of messages that name none; 0 is for ever
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Span>,
    /// How long a dedup key is remembered
    #[arg(long, value_name = "SPAN")]
    dedup_window: Option<Span>,
    /// Pubsub: how many messages stay readable
    #[arg(long, value_name = "N")]
    history: Option<u64>,
    /// Pubsub: how many bytes of them
    #[arg(long, value_name = "SIZE")]
    history_bytes: Option<Size>,
    /// Pubsub: for how long; 0 is for ever
    #[arg(long, value_name = "SPAN")]
    history_time: Option<Span>,
    /// Bodies and the values of attributes are shown to administrators and the topic's owner only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    mask_payloads: Option<bool>,
    /// Any settings, as the API names them; the flags above count more
    #[arg(long, value_name = "JSON")]
    policy: Option<String>,
}

impl TopicPolicyArgs {
    /// The settings that were said.
    pub fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = match &self.policy {
            Some(text) => object("policy", text)?,
            None => Map::new(),
        };
        let said = [
            ("durability", self.durability.map(|level| level_word(level).into())),
            ("capacity", self.capacity.map(Value::from)),
            ("bytes_max", self.bytes_max.map(|size| size.0.into())),
            ("overflow", self.overflow.map(|overflow| overflow_word(overflow).into())),
            ("ttl_ms", self.ttl.map(|span| span.millis().into())),
            ("dedup_window_ms", self.dedup_window.map(|span| span.millis().into())),
            ("history_messages", self.history.map(Value::from)),
            ("history_bytes", self.history_bytes.map(|size| size.0.into())),
            ("history_ms", self.history_time.map(|span| span.millis().into())),
            ("mask_payloads", self.mask_payloads.map(Value::from)),
        ];
        put(&mut fields, said);
        Ok(fields)
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Memory => "memory",
        Level::Async => "async",
        Level::Sync => "sync",
    }
}

fn overflow_word(overflow: Overflow) -> &'static str {
    match overflow {
        Overflow::Refuse => "refuse",
        Overflow::DropOldest => "drop_oldest",
    }
}

fn put<const N: usize>(fields: &mut Map<String, Value>, said: [(&str, Option<Value>); N]) {
    for (name, value) in said {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    }
}

/// Settings of a queue. Those left out stay as they are, or have their default.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Settings of the queue")]
pub struct QueuePolicyArgs {
    /// How long a consumer has until its ack
    #[arg(long, value_name = "SPAN")]
    ack_deadline: Option<Span>,
    /// A message that failed this often becomes a dead letter; 0 is never
    #[arg(long, value_name = "N")]
    max_deliveries: Option<u32>,
    /// Waits after the 1st, 2nd, ... failure; the last repeats
    #[arg(long, value_name = "SPAN,...")]
    backoff: Option<Spans>,
    /// Where dead letters go; "" keeps them in this queue
    #[arg(long, value_name = "TOPIC/QUEUE")]
    dead_letter: Option<String>,
    /// Most dead letters kept; 0 is unlimited
    #[arg(long, value_name = "N")]
    dead_max: Option<u64>,
    /// How long a message is kept; 0 is for ever
    #[arg(long, value_name = "SPAN")]
    retention: Option<Span>,
    /// Most messages waiting; 0 is unlimited
    #[arg(long, value_name = "N")]
    messages_max: Option<u64>,
    /// Most bytes of bodies waiting; 0 is unlimited
    #[arg(long, value_name = "SIZE")]
    bytes_max: Option<Size>,
    /// What happens above those two
    #[arg(long, value_enum)]
    overflow: Option<Overflow>,
    /// Each message waits this long before it is ready
    #[arg(long, value_name = "SPAN")]
    delay: Option<Span>,
    /// Where a message goes back
    #[arg(long, value_enum)]
    returns: Option<Returns>,
    /// Which messages it takes, by attributes: name to list of values; "null" takes all
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// Any settings, as the API names them; the flags above count more
    #[arg(long, value_name = "JSON")]
    policy: Option<String>,
}

impl QueuePolicyArgs {
    /// The settings that were said.
    pub fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = match &self.policy {
            Some(text) => object("policy", text)?,
            None => Map::new(),
        };
        let dead_letter = match self.dead_letter.as_deref() {
            None => None,
            Some("") => Some(Value::Null),
            Some(text) => {
                let (topic, queue) = text.rsplit_once('/').unwrap_or((text, "default"));
                Some(json!({ "topic": topic, "queue": queue }))
            }
        };
        let filter = match &self.filter {
            None => None,
            Some(text) => Some(
                serde_json::from_str(text)
                    .map_err(|error| Failure::usage(format!("--filter must be JSON: {error}")))?,
            ),
        };
        let returns = self.returns.map(|returns| match returns {
            Returns::Place => "place".into(),
            Returns::Front => "front".into(),
            Returns::Back => "back".into(),
        });
        let said = [
            ("ack_deadline_ms", self.ack_deadline.map(|span| span.millis().into())),
            ("max_deliveries", self.max_deliveries.map(Value::from)),
            ("backoff_ms", self.backoff.as_ref().map(|spans| spans.0.clone().into())),
            ("dead_letter", dead_letter),
            ("dead_max", self.dead_max.map(Value::from)),
            ("retention_ms", self.retention.map(|span| span.millis().into())),
            ("messages_max", self.messages_max.map(Value::from)),
            ("bytes_max", self.bytes_max.map(|size| size.0.into())),
            ("overflow", self.overflow.map(|overflow| overflow_word(overflow).into())),
            ("delay_ms", self.delay.map(|span| span.millis().into())),
            ("returns", returns),
            ("filter", filter),
        ];
        put(&mut fields, said);
        Ok(fields)
    }
}

/// Something about a queue, as JSON of the API.
pub fn place(address: &Address) -> Value {
    json!({ "topic": address.topic.to_string(), "queue": address.queue.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{QueuePolicy, TopicPolicy};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Queue {
        #[command(flatten)]
        policy: QueuePolicyArgs,
    }

    #[derive(Debug, Parser)]
    struct Topic {
        #[command(flatten)]
        policy: TopicPolicyArgs,
    }

    #[test]
    fn flags_of_a_queue_are_settings_of_the_broker() {
        let line = "x --ack-deadline 1m --max-deliveries 3 --backoff 1s,5s --dead-letter a/b --dead-max 7 \
                    --retention 7d --messages-max 9 --bytes-max 1M --overflow drop-oldest --delay 2s \
                    --returns back --policy {\"paused_in\":true,\"delay_ms\":1}";
        let fields = Queue::parse_from(line.split(' ')).policy.fields().unwrap();
        let policy: QueuePolicy = serde_json::from_value(fields.into()).unwrap();
        assert_eq!(
            (policy.ack_deadline_ms, policy.max_deliveries, policy.dead_max),
            (60_000, 3, 7)
        );
        assert_eq!(policy.backoff_ms, [1000, 5000]);
        assert_eq!(policy.dead_letter.unwrap().queue.as_bytes(), b"b");
        assert_eq!((policy.retention_ms, policy.messages_max), (604_800_000, 9));
        assert_eq!((policy.bytes_max, policy.delay_ms, policy.paused_in), (1 << 20, 2000, true));
        assert!(Queue::parse_from(["x"]).policy.fields().unwrap().is_empty());
        let none = Queue::parse_from(["x", "--dead-letter", ""]).policy.fields().unwrap();
        assert_eq!(none["dead_letter"], Value::Null);
    }

    #[test]
    fn flags_of_a_topic_are_settings_of_the_broker() {
        let line = "x --durability async --capacity 5 --bytes-max 2K --overflow refuse --ttl 1h \
                    --dedup-window 1m --history 10 --history-bytes 1G --history-time 1d";
        let fields = Topic::parse_from(line.split_whitespace()).policy.fields().unwrap();
        let policy: TopicPolicy = serde_json::from_value(fields.into()).unwrap();
        assert_eq!((policy.capacity, policy.bytes_max, policy.ttl_ms), (5, 2048, 3_600_000));
        assert_eq!((policy.history_messages, policy.history_ms), (10, 86_400_000));
        assert!(!policy.mask_payloads);
        for (flag, masks) in [("--mask-payloads", true), ("--mask-payloads=false", false)] {
            let fields = Topic::parse_from(["x", flag]).policy.fields().unwrap();
            assert_eq!(fields["mask_payloads"], masks, "{flag}");
        }
        assert!(Topic::parse_from(["x", "--policy", "[]"]).policy.fields().is_err());
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!("64K".parse(), Ok(Size(65_536)));
        for wrong in ["", "K", "1X", "-1", "99999999999999999999T", "18446744073709551615K"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
