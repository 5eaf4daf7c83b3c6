//! blockqueue: its tables, in SQLite or PostgreSQL.
//!
//! | layout | releases | what is read |
//! |---|---|---|
//! | `message_deliveries` | v0.2.0, v0.3.0 | `topics`, `topic_subscribers`, `messages`, `message_deliveries` |
//! | `subscriber_messages` | v0.0.4 to v0.1.1 and what came before v0.2.0 | `topics`, `topic_subscribers`, `subscriber_messages` |
//! | `topic_messages` alone | up to v0.0.3 | `topics`, `topic_subscribers`: what its subscribers have not read lies in an embedded key-value store (nutsdb), which is not read |
//!
//! The layout is told by the tables and their columns; anything else is refused. Times of
//! PostgreSQL without a zone, and of SQLite without one, are taken for UTC.

mod rows;

use super::postgres::Row;
use super::{Found, ImportError, Item, Plan, PlannedQueue, PlannedTopic};
use super::{check_columns, number, postgres, sqlite, text};
use crate::broker::clock;
use crate::queue::{Kind, QueueName, Timestamp, TopicName};
use rows::{attributes, is_true, option_policy, place, priority, settings_policy, when};
use std::collections::HashMap;
use std::path::PathBuf;

/// Where blockqueue keeps its tables.
#[derive(Debug, Clone)]
pub enum Place {
    /// `sqlite.db_name`
    File(PathBuf),
    /// A PostgreSQL database.
    Database(String),
}

/// A blockqueue's database.
pub struct Blockqueue {
    place: Place,
    topics_only: bool,
    reader: Option<Reader>,
    layout: Layout,
    subscribers: HashMap<String, Subscriber>,
    /// The message whose rows are being read.
    open: Option<(String, Item)>,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Deliveries,
    SubscriberMessages,
    TopicMessages,
}

/// A subscriber: a queue of octoq.
#[derive(Debug, Clone, Copy)]
struct Subscriber {
    topic: usize,
    queue: usize,
    max_deliveries: u32,
}

enum Reader {
    Sqlite(sqlite::Reader),
    Postgres(Box<postgres::Reader>),
}

impl Reader {
    async fn all(&self, sql: &str) -> Result<Vec<Row>, ImportError> {
        match self {
            Reader::Sqlite(reader) => reader.all(sql),
            Reader::Postgres(reader) => reader.all(sql).await,
        }
    }

    async fn columns(&self, table: &str) -> Result<Vec<String>, ImportError> {
        match self {
            Reader::Sqlite(reader) => reader.columns(table),
            Reader::Postgres(reader) => reader.columns(table).await,
        }
    }

    async fn page(&mut self, sql: &str) -> Result<Vec<Row>, ImportError> {
        match self {
            Reader::Sqlite(reader) => reader.page(sql).await,
            Reader::Postgres(reader) => reader.page(sql).await,
        }
    }

    /// A column with a time, so that [`when`] can read it.
    fn time(&self, column: &str) -> String {
        match self {
            Reader::Sqlite(_) => column.to_owned(),
            Reader::Postgres(_) => format!("(extract(epoch FROM {column}) * 1000)::bigint"),
        }
    }
}

const SUBSCRIBER_MESSAGES: [&str; 9] = [
    "id",
    "subscriber_id",
    "topic_id",
    "message_id",
    "message",
    "status",
    "retry_count",
    "visible_at",
    "created_at",
];
const MESSAGES: [&str; 9] = [
    "id",
    "topic_id",
    "message",
    "headers",
    "correlation_id",
    "idempotency_key",
    "priority",
    "scheduled_at",
    "created_at",
];
const DELIVERIES: [&str; 15] = [
    "message_id",
    "subscriber_id",
    "status",
    "delivery_count",
    "failure_count",
    "visible_at",
    "priority",
    "message_created_at",
    "receipt_token",
    "lease_expires_at",
    "delivered_at",
    "processed_at",
    "cancelled_at",
    "cancel_reason",
    "last_error",
];
const SUBSCRIBERS: [&str; 6] = ["id", "topic_id", "name", "option", "created_at", "deleted_at"];
const SUBSCRIBER_SETTINGS: [&str; 8] = [
    "paused",
    "max_attempts",
    "visibility_timeout_ms",
    "dequeue_batch_size",
    "retry_initial_delay_ms",
    "retry_max_delay_ms",
    "retry_multiplier",
    "retry_jitter",
];

impl Blockqueue {
    /// `topics_only`: topics and subscribers without messages.
    pub fn new(place: Place, topics_only: bool) -> Self {
        Blockqueue {
            place,
            topics_only,
            reader: None,
            layout: Layout::TopicMessages,
            subscribers: HashMap::new(),
            open: None,
            ended: topics_only,
        }
    }

    /// Which release wrote these tables.
    async fn recognise(&self, reader: &Reader) -> Result<Layout, ImportError> {
        let topics = ["id", "name", "created_at", "deleted_at"];
        check_columns("topics", &reader.columns("topics").await?, &topics, &["paused"])?;
        let subscribers = reader.columns("topic_subscribers").await?;
        let rows = reader.columns("subscriber_messages").await?;
        let deliveries = reader.columns("message_deliveries").await?;
        if !deliveries.is_empty() {
            let must = [&SUBSCRIBERS[..], &SUBSCRIBER_SETTINGS].concat();
            check_columns("topic_subscribers", &subscribers, &must, &[])?;
            let messages = reader.columns("messages").await?;
            check_columns("messages", &messages, &MESSAGES, &["idempotency_hash"])?;
            check_columns("message_deliveries", &deliveries, &DELIVERIES, &[])?;
            return Ok(Layout::Deliveries);
        }
        check_columns("topic_subscribers", &subscribers, &SUBSCRIBERS, &[])?;
        if !rows.is_empty() {
            check_columns("subscriber_messages", &rows, &SUBSCRIBER_MESSAGES, &[])?;
            return Ok(Layout::SubscriberMessages);
        }
        let messages = ["id", "topic_id", "message", "status", "created_at"];
        check_columns("topic_messages", &reader.columns("topic_messages").await?, &messages, &[])?;
        Ok(Layout::TopicMessages)
    }

    /// Every state that a message may be in is known.
    async fn check_states(&self, reader: &Reader) -> Result<(), ImportError> {
        let table = match self.layout {
            Layout::Deliveries => "message_deliveries",
            Layout::SubscriberMessages | Layout::TopicMessages => "subscriber_messages",
        };
        let known = ["pending", "delivered", "dead_letter", "processed", "cancelled"];
        let rows = reader.all(&format!("SELECT DISTINCT status FROM {table}")).await?;
        match rows.iter().map(|row| text(row, 0)).find(|status| !known.contains(&status.as_str())) {
            Some(odd) => Err(ImportError::Unknown(format!("a message has the status `{odd}`"))),
            None => Ok(()),
        }
    }

    async fn topics(&mut self, reader: &Reader, plan: &mut Plan) -> Result<(), ImportError> {
        let new = self.layout == Layout::Deliveries;
        let paused = if new { "paused" } else { "NULL" };
        let topics = reader
            .all(&format!(
                "SELECT id, name, {paused} FROM topics WHERE deleted_at IS NULL \
                 ORDER BY created_at, name"
            ))
            .await?;
        let mut at: HashMap<String, (usize, bool)> = HashMap::new();
        for row in &topics {
            at.insert(text(row, 0), (plan.topics.len(), is_true(row, 2)));
            plan.topics.push(PlannedTopic {
                name: TopicName::parse(text(row, 1))?,
                kind: Kind::Broker,
                capacity: 0,
                level: None,
                queues: Vec::new(),
            });
        }
        let settings = match new {
            true => SUBSCRIBER_SETTINGS.join(", "),
            false => "\"option\"".into(),
        };
        let rows = reader
            .all(&format!(
                "SELECT id, topic_id, name, {settings} FROM topic_subscribers \
                 WHERE deleted_at IS NULL ORDER BY created_at, name"
            ))
            .await?;
        for row in &rows {
            let Some((topic, topic_paused)) = at.get(&text(row, 1)).copied() else { continue };
            let name = text(row, 2);
            let policy = match new {
                true => settings_policy(row, topic_paused),
                false => option_policy(&text(row, 3)),
            };
            let policy = policy.ok_or_else(|| {
                ImportError::Unknown(format!("the settings of subscriber `{name}`"))
            })?;
            let max_deliveries = policy.max_deliveries;
            if let Some(planned) = plan.topics.get_mut(topic) {
                let queue = planned.queues.len();
                planned.queues.push(PlannedQueue { name: QueueName::parse(&name)?, policy });
                let subscriber = Subscriber { topic, queue, max_deliveries };
                self.subscribers.insert(text(row, 0), subscriber);
            }
        }
        Ok(())
    }
}

impl super::Source for Blockqueue {
    async fn plan(&mut self) -> Result<Plan, ImportError> {
        let (reader, store) = match &self.place {
            Place::File(path) => (Reader::Sqlite(sqlite::Reader::open(path)?), "SQLite"),
            Place::Database(url) => {
                (Reader::Postgres(Box::new(postgres::Reader::connect(url).await?)), "PostgreSQL")
            }
        };
        self.layout = self.recognise(&reader).await?;
        let layout = match self.layout {
            Layout::Deliveries => "v0.2.0 to v0.3.0",
            Layout::SubscriberMessages => "v0.0.4 to v0.1.1",
            Layout::TopicMessages => "v0.0.3 or older",
        };
        let mut plan = Plan {
            // Ids of messages and subscribers are random UUIDs.
            source: "blockqueue".into(),
            layout: format!("blockqueue {layout} in {store}"),
            topics: Vec::new(),
            notes: Vec::new(),
            is_live: false,
        };
        match (self.layout, self.topics_only) {
            (Layout::TopicMessages, false) => {
                return Err(ImportError::Unknown(
                    "blockqueue v0.0.3 and older keep what subscribers have not read in an \
                     embedded key-value store (etcd.path), which cannot be read; --topics-only \
                     makes the topics and subscribers"
                        .into(),
                ));
            }
            (_, true) => plan.notes.push("topics and subscribers only, no messages".into()),
            (Layout::Deliveries, false) => {
                let schedules = reader.all("SELECT count(*) FROM schedules").await?;
                let schedules: u64 = schedules.first().and_then(|row| number(row, 0)).unwrap_or(0);
                if schedules > 0 {
                    plan.notes.push(format!("{schedules} schedules are not copied"));
                }
            }
            (Layout::SubscriberMessages, false) => (),
        }
        if !self.topics_only {
            self.check_states(&reader).await?;
        }
        self.topics(&reader, &mut plan).await?;
        self.reader = Some(reader);
        Ok(plan)
    }

    async fn next(&mut self) -> Result<Option<Vec<Found>>, ImportError> {
        while !self.ended {
            let reader = self.reader.as_mut();
            let reader = reader.ok_or_else(|| ImportError::Source("not connected".into()))?;
            let sql = query(self.layout, reader);
            let rows = reader.page(&sql).await?;
            self.ended = rows.is_empty();
            let now = clock::now();
            let mut found = Vec::with_capacity(rows.len());
            for row in &rows {
                self.take(row, now, &mut found)?;
            }
            if self.ended
                && let Some((_, item)) = self.open.take()
            {
                found.push(Found::Message(Box::new(item)));
            }
            if !found.is_empty() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The rows of one message come one after the other. The first nine columns are those of both layouts.
fn query(layout: Layout, reader: &Reader) -> String {
    match layout {
        Layout::SubscriberMessages | Layout::TopicMessages => format!(
            "SELECT message_id, topic_id, subscriber_id, status, retry_count, {}, {}, message, \
             min(id) OVER (PARTITION BY topic_id, message_id) AS first \
             FROM subscriber_messages WHERE status NOT IN ('processed', 'cancelled') ORDER BY first, message_id, id",
            reader.time("visible_at"),
            reader.time("created_at"),
        ),
        Layout::Deliveries => format!(
            "SELECT d.message_id, m.topic_id, d.subscriber_id, d.status, d.failure_count, \
             CASE d.status WHEN 'delivered' THEN {} ELSE {} END, {}, m.message, 0, \
             m.headers, m.correlation_id, m.idempotency_key, m.priority, d.last_error, {} \
             FROM message_deliveries d JOIN messages m ON m.id = d.message_id \
             WHERE d.status IN ('pending', 'delivered', 'dead_letter') \
             ORDER BY m.created_at, m.id, d.subscriber_id",
            reader.time("d.lease_expires_at"),
            reader.time("d.visible_at"),
            reader.time("m.created_at"),
            reader.time("d.processed_at"),
        ),
    }
}

impl Blockqueue {
    /// Adds a row to the message it belongs to; the message before is whole when another begins.
    fn take(
        &mut self,
        row: &Row,
        now: Timestamp,
        found: &mut Vec<Found>,
    ) -> Result<(), ImportError> {
        // Of a subscriber that was deleted.
        let Some(subscriber) = self.subscribers.get(&text(row, 2)).copied() else { return Ok(()) };
        let key = format!("{}/{}", text(row, 1), text(row, 0));
        let place = place(row, subscriber, now)?;
        if let Some((open, item)) = &mut self.open
            && *open == key
        {
            item.places.push(place);
            return Ok(());
        }
        let attributes = attributes(row);
        let item = Item {
            topic: subscriber.topic,
            key: key.clone().into_bytes(),
            body: row.get(7).cloned().flatten().unwrap_or_default(),
            id: row.first().cloned().flatten(),
            attributes,
            published_at: when(row, 6),
            dedup_key: row.get(11).cloned().flatten(),
            priority: priority(number(row, 12).unwrap_or(0)),
            places: vec![place],
            ..Item::default()
        };
        if let Some((_, whole)) = self.open.replace((key, item)) {
            found.push(Found::Message(Box::new(whole)));
        }
        Ok(())
    }
}
