//! The schemas of settings and words that the rules own. The rules know of no document, so their types
//! are told of here; the tests compare every field and word with what the types themselves read.

use crate::auth::Account;
use crate::queue::{
    DeadReason, Door, Filter, Kind, Level, Overflow, QueueAddress, QueuePolicy, Returns, Timestamp,
    TopicPolicy,
};
use std::{borrow::Cow, collections::BTreeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// Gives a type the schema that is written down for it.
macro_rules! told {
    ($($type:ident as $written:ident),* $(,)?) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $written::schema()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                $written::schemas(schemas);
            }
        }
    )*};
}

told! {
    Kind as KindWords,
    Level as LevelWords,
    Overflow as OverflowWords,
    Returns as ReturnsWords,
    DeadReason as DeadReasonWords,
    Door as DoorWords,
    QueueAddress as QueueAddressFields,
    Filter as FilterMap,
    TopicPolicy as TopicPolicyFields,
    QueuePolicy as QueuePolicyFields,
    Account as AccountFields,
}

/// What a topic does with a message: `broker` puts it into every queue whose filter takes it,
/// `pubsub` keeps it in a bounded history and pushes it to every subscriber.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum KindWords {
    Broker,
    Pubsub,
}

/// What a confirmation stands for: `memory` never reaches the store, `async` survives the end of the
/// process, `sync` a power loss.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum LevelWords {
    Memory,
    Async,
    Sync,
}

/// What happens to a publish that does not fit: it is refused, or the oldest that wait make room.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum OverflowWords {
    Refuse,
    DropOldest,
}

/// Where a message goes back after a missed deadline, a nack or a release: its own place, the front or
/// the back.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum ReturnsWords {
    Place,
    Front,
    Back,
}

/// Why a message became a dead letter, or a delivery failed: `nacked` and `deadline_missed` count
/// towards `max_deliveries`, `rejected` was sent here at once.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum DeadReasonWords {
    Nacked,
    DeadlineMissed,
    Rejected,
}

/// A way into the broker: `http` is octoq's own HTTP, `websocket` its own sockets, `import` a copy from
/// another broker.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum DoorWords {
    Http,
    Websocket,
    Otq,
    Okq,
    Dsmq,
    Fastqueue,
    Blockqueue,
    Import,
}

/// A queue of any topic.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct QueueAddressFields {
    /// Its topic.
    #[schema(min_length = 1, max_length = 255)]
    topic: String,
    /// Its name in that topic.
    #[schema(min_length = 1, max_length = 255)]
    queue: String,
}

/// Attributes with the texts of which each must have one.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct FilterMap(BTreeMap<String, Vec<String>>);

/// Settings of a topic; those left out have their defaults.
#[derive(ToSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct TopicPolicyFields {
    /// What a confirmation stands for.
    durability: Level,
    /// Most messages kept; 0 is unlimited. For pubsub: messages nobody has claimed yet.
    capacity: u64,
    /// Most bytes of bodies kept; 0 is unlimited.
    bytes_max: u64,
    /// What happens above `capacity` or `bytes_max`.
    overflow: Overflow,
    /// Time to live of a message that names none; 0 is for ever.
    #[schema(maximum = 315360000000u64)]
    ttl_ms: u64,
    /// How long a dedup key is remembered.
    #[schema(maximum = 315360000000u64)]
    dedup_window_ms: u64,
    /// Most dedup keys remembered; the oldest goes first.
    dedup_keys_max: usize,
    /// pubsub: how many claimed messages stay readable.
    history_messages: u64,
    /// pubsub: how many bytes of them.
    history_bytes: u64,
    /// pubsub: for how long; 0 is for ever.
    #[schema(maximum = 315360000000u64)]
    history_ms: u64,
    /// Refuse publishes.
    paused_in: bool,
    /// Who only looks, and neither administers nor owns the topic, is shown no bodies and no values of
    /// attributes.
    mask_payloads: bool,
}

impl Default for TopicPolicyFields {
    fn default() -> Self {
        let TopicPolicy {
            durability,
            capacity,
            bytes_max,
            overflow,
            ttl_ms,
            dedup_window_ms,
            dedup_keys_max,
            history_messages,
            history_bytes,
            history_ms,
            paused_in,
            mask_payloads,
        } = TopicPolicy::default();
        TopicPolicyFields {
            durability,
            capacity,
            bytes_max,
            overflow,
            ttl_ms,
            dedup_window_ms,
            dedup_keys_max,
            history_messages,
            history_bytes,
            history_ms,
            paused_in,
            mask_payloads,
        }
    }
}

/// Milliseconds.
#[derive(ToSchema)]
#[schema(maximum = 315360000000u64)]
#[allow(dead_code, reason = "only its schema is used")]
struct Wait(u64);

/// Settings of a queue; those left out have their defaults.
#[derive(ToSchema)]
#[serde(default, deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct QueuePolicyFields {
    /// How long a consumer has when it names no deadline.
    #[schema(minimum = 1, maximum = 315360000000u64)]
    ack_deadline_ms: u64,
    /// A message that failed this often becomes a dead letter; 0 is never.
    max_deliveries: u32,
    /// Wait after the 1st, 2nd, ... failed delivery; the last entry repeats. Empty: no wait.
    #[schema(max_items = 64, value_type = Vec<Wait>)]
    backoff_ms: Vec<u64>,
    /// Where a message goes back.
    returns: Returns,
    /// Where dead letters go; null: they stay in this queue, in state dead.
    dead_letter: Option<QueueAddress>,
    /// `max_deliveries` counts only while `dead_letter` names a queue.
    limit_needs_target: bool,
    /// Most dead letters kept in this queue; the oldest goes first. 0 is unlimited.
    dead_max: u64,
    /// How long an unacked message is kept; 0 is for ever.
    #[schema(maximum = 315360000000u64)]
    retention_ms: u64,
    /// Most messages waiting (ready and delayed); 0 is unlimited.
    messages_max: u64,
    /// Most bytes of bodies waiting; 0 is unlimited.
    bytes_max: u64,
    /// What happens above those two.
    overflow: Overflow,
    /// Each message waits this long before it is ready.
    #[schema(maximum = 315360000000u64)]
    delay_ms: u64,
    /// Which messages of the topic this queue takes; null takes all.
    filter: Option<Filter>,
    /// Refuse publishes that would reach this queue.
    paused_in: bool,
    /// Hand out nothing.
    paused_out: bool,
    /// It can be named without its topic; no two such queues have the same name.
    global: bool,
    /// When the settings were changed last; the broker's to set.
    #[schema(value_type = Option<i64>)]
    changed_at: Option<Timestamp>,
}

impl Default for QueuePolicyFields {
    fn default() -> Self {
        let QueuePolicy {
            ack_deadline_ms,
            max_deliveries,
            backoff_ms,
            returns,
            dead_letter,
            limit_needs_target,
            dead_max,
            retention_ms,
            messages_max,
            bytes_max,
            overflow,
            delay_ms,
            filter,
            paused_in,
            paused_out,
            global,
            changed_at,
        } = QueuePolicy::default();
        QueuePolicyFields {
            ack_deadline_ms,
            max_deliveries,
            backoff_ms,
            returns,
            dead_letter,
            limit_needs_target,
            dead_max,
            retention_ms,
            messages_max,
            bytes_max,
            overflow,
            delay_ms,
            filter,
            paused_in,
            paused_out,
            global,
            changed_at,
        }
    }
}

/// A user as it goes from one broker to another.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct AccountFields {
    /// Its name.
    name: String,
    /// The name of its role.
    role: String,
    /// Topics on which it may do everything.
    #[serde(default)]
    topics: Vec<String>,
    /// The password's hash as a PHC string.
    password_hash: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::policy::{DURATION_MS_MAX, POLICY_LIST_MAX};
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn schema<T: ToSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()
    }

    /// The names that serde expects where it met `unknown`.
    fn expected<T: DeserializeOwned>(unknown: Value) -> BTreeSet<String> {
        let Err(error) = serde_json::from_value::<T>(unknown) else { panic!("not refused") };
        let error = error.to_string();
        let (_, names) = error.split_once("expected").unwrap();
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn fields<T: ToSchema + DeserializeOwned>() {
        let schema = schema::<T>();
        let told = schema["properties"].as_object().unwrap().keys().cloned();
        let known = expected::<T>(json!({"no such field": 0}));
        assert_eq!(told.collect::<BTreeSet<_>>(), known, "{}", T::name());
        assert_eq!(schema["additionalProperties"], false, "{}", T::name());
    }

    fn words<T: ToSchema + DeserializeOwned>() {
        let schema = schema::<T>();
        let told = schema["enum"].as_array().unwrap().iter();
        let told = told.map(|word| word.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(told, expected::<T>("no such word".into()), "{}", T::name());
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        fields::<TopicPolicy>();
        fields::<QueuePolicy>();
        fields::<Account>();
        words::<Kind>();
        words::<Level>();
        words::<Overflow>();
        words::<Returns>();
        words::<DeadReason>();
    }

    /// Every default has the type that is told, and every bound is the one that is checked.
    #[test]
    fn bounds_and_types_are_those_of_the_settings() {
        fn typed<T: ToSchema + Serialize + Default>() {
            let (schema, settings) = (schema::<T>(), serde_json::to_value(T::default()).unwrap());
            for (name, value) in settings.as_object().unwrap() {
                let told = &schema["properties"][name];
                let kind = match value {
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::Array(_) => "array",
                    // A word, or another type: that one is looked at by itself.
                    _ => continue,
                };
                assert_eq!(told["type"], kind, "{name}");
                if name.ends_with("_ms") && kind == "integer" {
                    assert_eq!(told["maximum"], DURATION_MS_MAX, "{name}");
                }
            }
        }
        typed::<TopicPolicy>();
        typed::<QueuePolicy>();
        let backoff = &schema::<QueuePolicy>()["properties"]["backoff_ms"];
        assert_eq!(backoff["maxItems"], POLICY_LIST_MAX);
        let filter: Filter = serde_json::from_value(json!({"kind": ["a", "b"]})).unwrap();
        assert_eq!(serde_json::to_value(&filter).unwrap(), json!({"kind": ["a", "b"]}));
        let told = schema::<Filter>();
        assert_eq!(told["additionalProperties"]["items"]["type"], "string", "{told}");
    }
}
