//! fastqueue: its three tables in PostgreSQL, as Alembic leaves them since the limit of deliveries
//! is called `message_max_deliveries` (checked with release 1.7.0).
//!
//! | table | columns |
//! |---|---|
//! | `topics` | `id`, `created_at` |
//! | `queues` | `id`, `topic_id`, `dead_queue_id`, `ack_deadline_seconds`, `message_retention_seconds`, `message_filters`, `message_max_deliveries`, `created_at`, `updated_at`; from revision 4c4cb56442a9 on `delivery_delay_seconds` |
//! | `messages` | `id`, `queue_id`, `data`, `attributes`, `delivery_attempts`, `expired_at`, `scheduled_at`, `created_at`, `updated_at` |
//!
//! Tables with other columns (the first drafts had `dead_letter_queue_id`, `acked`, `dead`) are refused.

use super::postgres::{Reader, Row};
use super::{Found, FoundState, ImportError, Item, ItemPlace, Plan, PlannedQueue, PlannedTopic};
use super::{check_columns, number, text};
use crate::broker::clock;
use crate::queue::policy::QueueAddress;
use crate::queue::{Filter, Kind, QueueName, QueuePolicy, Timestamp, TopicName};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Duration;

/// A fastqueue's database.
pub struct Fastqueue {
    url: String,
    reader: Option<Reader>,
    queues: HashMap<String, Queue>,
}

/// What must be known of a queue to understand its messages.
#[derive(Debug, Clone, Default, PartialEq)]
struct Queue {
    /// Indexes of the topic in the plan and of the queue in it.
    topic: usize,
    queue: usize,
    /// Where exhausted messages go, and after how many deliveries.
    dead: Option<(String, u32)>,
    retention: Duration,
    delay: Duration,
}

const MESSAGES: &str = "SELECT id::text, queue_id, data::text, attributes::text, delivery_attempts, \
     (extract(epoch FROM expired_at) * 1000)::bigint, \
     (extract(epoch FROM scheduled_at) * 1000)::bigint, \
     (extract(epoch FROM created_at) * 1000)::bigint \
     FROM messages ORDER BY created_at, id";

impl Fastqueue {
    /// `postgresql://user:password@host:port/database`
    pub fn new(url: String) -> Self {
        Fastqueue { url, reader: None, queues: HashMap::new() }
    }
}

impl super::Source for Fastqueue {
    async fn plan(&mut self) -> Result<Plan, ImportError> {
        let reader = Reader::connect(&self.url).await?;
        check_columns("topics", &reader.columns("topics").await?, &["id", "created_at"], &[])?;
        let queues = [
            "id",
            "topic_id",
            "dead_queue_id",
            "ack_deadline_seconds",
            "message_retention_seconds",
            "message_filters",
            "message_max_deliveries",
            "created_at",
            "updated_at",
        ];
        let columns = reader.columns("queues").await?;
        check_columns("queues", &columns, &queues, &["delivery_delay_seconds"])?;
        let delay = match columns.iter().any(|column| column == "delivery_delay_seconds") {
            true => "delivery_delay_seconds",
            false => "NULL",
        };
        let messages = [
            "id",
            "queue_id",
            "data",
            "attributes",
            "delivery_attempts",
            "expired_at",
            "scheduled_at",
            "created_at",
            "updated_at",
        ];
        check_columns("messages", &reader.columns("messages").await?, &messages, &[])?;
        let revision = match reader.columns("alembic_version").await?.is_empty() {
            true => "no Alembic revision".to_owned(),
            false => {
                let rows = reader.all("SELECT version_num FROM alembic_version").await?;
                format!("Alembic revision {}", rows.first().map_or("?".into(), |row| text(row, 0)))
            }
        };
        let topics = reader.all("SELECT id FROM topics ORDER BY id").await?;
        let queues = reader
            .all(&format!(
                "SELECT id, topic_id, dead_queue_id, ack_deadline_seconds, \
                 message_retention_seconds, message_filters::text, message_max_deliveries, {delay} \
                 FROM queues ORDER BY id"
            ))
            .await?;
        let mut plan = Plan {
            // Ids of messages are random UUIDs, so the same message is known wherever it is read.
            source: "fastqueue".into(),
            layout: format!("fastqueue in PostgreSQL, {revision}"),
            topics: Vec::new(),
            notes: Vec::new(),
            is_live: false,
        };
        self.queues = arrange(&topics, &queues, &mut plan)?;
        self.reader = Some(reader);
        Ok(plan)
    }

    async fn next(&mut self) -> Result<Option<Vec<Found>>, ImportError> {
        let reader = self.reader.as_mut();
        let reader = reader.ok_or_else(|| ImportError::Source("not connected".into()))?;
        let rows = reader.page(MESSAGES).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let now = clock::now();
        rows.iter().map(|row| found(row, &self.queues, now)).collect::<Result<_, _>>().map(Some)
    }
}

/// Fills the plan, and says of each queue what its messages need. Queues are global, as the
/// fastqueue door makes them: named without their topic, and known without one.
fn arrange(
    topics: &[Row],
    queues: &[Row],
    plan: &mut Plan,
) -> Result<HashMap<String, Queue>, ImportError> {
    let mut ids: Vec<String> = topics.iter().map(|row| text(row, 0)).collect();
    let mut names = ids.iter().map(TopicName::parse).collect::<Result<Vec<_>, _>>()?;
    if queues.iter().any(|row| text(row, 1).is_empty()) {
        // A queue without a topic has an empty topic_id here.
        ids.push(String::new());
        names.push(TopicName::unattached());
    }
    plan.topics.extend(names.into_iter().map(|name| PlannedTopic {
        name,
        kind: Kind::Broker,
        capacity: 0,
        level: None,
        queues: Vec::new(),
    }));
    let mut known = HashMap::new();
    for row in queues {
        let (id, topic) = (text(row, 0), text(row, 1));
        let Some(at) = ids.iter().position(|known| *known == topic) else { continue };
        let seconds = |at| Duration::from_secs(number(row, at).unwrap_or(0));
        let dead_queue = Some(text(row, 2)).filter(|dead| !dead.is_empty());
        let (retention, delay, limit) = (seconds(4), seconds(7), number::<u32>(row, 6));
        let dead_letter = match &dead_queue {
            Some(queue) => Some(QueueAddress {
                topic: TopicName::unattached(),
                queue: QueueName::parse(queue)?,
            }),
            None => None,
        };
        let policy = QueuePolicy {
            ack_deadline_ms: millis(seconds(3)).max(1),
            max_deliveries: limit.unwrap_or(0),
            dead_letter,
            limit_needs_target: true,
            retention_ms: millis(retention),
            delay_ms: millis(delay),
            filter: filter(row, &id)?,
            global: true,
            ..QueuePolicy::default()
        };
        if let Some(planned) = plan.topics.get_mut(at) {
            let queue = planned.queues.len();
            planned.queues.push(PlannedQueue { name: QueueName::parse(&id)?, policy });
            let dead = dead_queue.zip(limit);
            known.insert(id, Queue { topic: at, queue, dead, retention, delay });
        }
    }
    Ok(known)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `message_filters`, which is NULL or a JSON null when there are none.
fn filter(row: &Row, queue: &str) -> Result<Option<Filter>, ImportError> {
    let Some(Some(json)) = row.get(5) else { return Ok(None) };
    serde_json::from_slice(json).map_err(|error| {
        ImportError::Unknown(format!("message_filters of queue `{queue}`: {error}"))
    })
}

fn found(row: &Row, queues: &HashMap<String, Queue>, now: Timestamp) -> Result<Found, ImportError> {
    let id = text(row, 0);
    let odd = |what| ImportError::Odd(format!("message {id}: {what}"));
    let of = queues.get(&text(row, 1)).ok_or_else(|| odd("its queue is not there"))?;
    let uuid = uuid::Uuid::parse_str(&id).map_err(|_| odd("its id is no UUID"))?;
    let time = |at| number(row, at).map(Timestamp);
    let (Some(mut attempts), Some(mut expires_at), Some(mut visible_at), Some(published_at)) =
        (number::<u32>(row, 4), time(5), time(6), time(7))
    else {
        return Err(odd("a number or a time is missing"));
    };
    if expires_at < now {
        return Ok(Found::Left { topic: of.topic, queue: of.queue, why: "expired" });
    }
    let dead = of.dead.as_ref().filter(|(_, max)| attempts >= *max);
    // What the original does at its next clean-up.
    let home = match dead.and_then(|(dead, _)| queues.get(dead)) {
        Some(dead) => {
            attempts = 0;
            expires_at = now.after(dead.retention);
            visible_at = visible_at.max(now.after(dead.delay));
            dead
        }
        None => of,
    };
    let waits = visible_at > now;
    let state = match (waits, attempts) {
        (true, 0) => FoundState::Delayed,
        (true, _) => FoundState::Held,
        (false, _) => FoundState::Waiting,
    };
    let attributes = row.get(3).cloned().flatten().filter(|json| json.as_ref() != b"null");
    Ok(Found::Message(Box::new(Item {
        topic: home.topic,
        key: uuid.as_bytes().to_vec(),
        body: row.get(2).cloned().flatten().unwrap_or_default(),
        id: Some(Bytes::from(uuid.to_string())),
        attributes: attributes.map(|json| String::from_utf8_lossy(&json).into_owned()),
        published_at: Some(published_at),
        kept_until: Some(expires_at),
        places: vec![ItemPlace {
            queue: home.queue,
            state,
            attempts,
            visible_at: waits.then_some(visible_at),
            dead: None,
        }],
        ..Item::default()
    })))
}
