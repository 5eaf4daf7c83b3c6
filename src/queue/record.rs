//! The facts a topic must remember, as the rules state them. A journal writes them down in order;
//! replaying what is left of them gives the same topic.
//!
//! Every message and every place of a message in a queue has a number, given ascending over the
//! whole store. A message in just one queue has one number for both.
//!
//! The number of a place is its place in line: within a priority, what was published with `front`
//! comes first, from the highest number to the lowest, then the others, from the lowest to the highest.
//! So the order is the same after a restart, whatever came back, was moved or went with its queue.

use super::{
    Content, Door, Extra, Kind, QueueName, QueuePolicy, Timestamp, TopicName, TopicPolicy,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a published message lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In one queue; the entry has the message's own number.
    Queue(u32),
    /// In several queues: (entry number, queue number), ascending.
    Queues(Box<[(u64, u32)]>),
    /// In the history of a pubsub topic.
    History {
        /// True: subscribers were attached, so it is not part of the backlog.
        claimed: bool,
    },
}

/// A message as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its number in the store.
    pub number: u64,
    /// The topic that published it.
    pub topic: u32,
    /// Its number in that topic.
    pub seq: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// When it becomes visible; `published_at` or later.
    pub visible_at: Timestamp,
    /// When it ends; [`Timestamp::NEVER`] for none.
    pub expires_at: Timestamp,
    /// What else the publisher said.
    pub extra: Option<Arc<Extra>>,
    /// The publisher's bytes, and before them its own id if there is no `extra`.
    pub body: Content,
    /// Where it lies.
    pub place: Place,
    /// `expires_at` is also the end of what its queue's retention gives it.
    pub stamped: bool,
    /// Through which door it came, where that is kept.
    pub door: Option<Door>,
}

/// Why a message became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// It failed `max_deliveries` times; the last one was a nack.
    Nacked,
    /// It failed `max_deliveries` times; the last one missed its deadline.
    DeadlineMissed,
    /// A consumer sent it here at once.
    Rejected,
}

/// One failed delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When the delivery ended.
    pub at: Timestamp,
    /// Which attempt it was.
    pub attempt: u32,
    /// Nacked, missed or rejected.
    pub reason: DeadReason,
    /// What the consumer said, cut to [`ERROR_BYTES_MAX`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Arc<str>>,
    /// When it was handed out. Not known of what an older octoq wrote; so the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lent_at: Option<Timestamp>,
    /// Through which door it was handed out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lent_by: Option<Door>,
    /// Through which door it was given back; none when its deadline passed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub door: Option<Door>,
}

/// Longest error text kept with a failed delivery, in bytes.
pub const ERROR_BYTES_MAX: usize = 1024;
/// Most failed deliveries kept per message; the newest stay.
pub const FAILURES_MAX: usize = 16;

/// What is known of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it died.
    pub at: Timestamp,
    /// Why.
    pub reason: DeadReason,
    /// How often it had been delivered.
    pub attempts: u32,
    /// Its failed deliveries, oldest first, at most [`FAILURES_MAX`].
    pub failures: Vec<Failure>,
    /// True: it was moved since and waits again; this only tells its history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revived: bool,
    /// When that was; not known of what an older octoq wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revived_at: Option<Timestamp>,
    /// Through which door; none when it went to the queue of its dead letters by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revived_by: Option<Door>,
}

impl DeadLetter {
    /// It waits again, or in another queue, since `at`. What is known of an earlier time stays.
    pub fn revive(self, at: Timestamp, by: Option<Door>) -> DeadLetter {
        match self.revived {
            true => self,
            false => DeadLetter { revived: true, revived_at: Some(at), revived_by: by, ..self },
        }
    }
}

/// When a message that moved is visible, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Visible from; its publish time when it never was delayed.
    pub visible_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// `expires_at` is also the end of what its queue's retention gives it.
    pub stamped: bool,
}

/// One fact. The order of records is the order of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A message was published.
    Published(Stored),
    /// A message left a queue or the history for good: acked, taken, expired, dropped.
    Removed {
        /// Number of its place in the queue.
        entry: u64,
        /// Number of the message.
        message: u64,
        /// True: no other place holds the message; it goes as well.
        last: bool,
    },
    /// A message was handed out before, or waits until a time.
    Attempted {
        /// Number of its place in the queue.
        entry: u64,
        /// Deliveries so far that count.
        attempts: u32,
        /// When it is visible again.
        visible_at: Timestamp,
        /// The failed deliveries so far, when there are any.
        failures: Vec<Failure>,
    },
    /// A message became a dead letter of its queue.
    Died {
        /// Number of its place in the queue.
        entry: u64,
        /// What is known.
        letter: DeadLetter,
    },
    /// A message moved to another queue (or to the back of the same one), ready, with no attempts.
    /// It may be of the same queue when that goes to another topic: then [`Record::Attempted`] or a
    /// letter that is not `revived` tells its state.
    Moved {
        /// Number of its old place; whatever was recorded of it is forgotten.
        entry: u64,
        /// Number of the message.
        message: u64,
        /// Number of its new place, from the store's ascending numbers.
        to_entry: u64,
        /// The queue it is in now.
        to_queue: u32,
        /// True: other places hold the message too and the new queue may belong to another topic,
        /// so a copy of the message under the number `to_entry` is made.
        copied: bool,
        /// Its failures and death, if it keeps them; `revived`, so that it is read back as one that
        /// waits, not as a dead letter of the new queue.
        letter: Option<DeadLetter>,
        /// What the new queue does to its times.
        times: Times,
        /// It is still the only message with its topic and sequence number, in one queue.
        lone: bool,
    },
    /// All places of a queue with numbers up to `through` are gone, but for its dead letters. What was
    /// in flight may be removed later all the same.
    Purged {
        /// The queue.
        queue: u32,
        /// The highest number of a place the queue has had.
        through: u64,
    },
    /// pubsub: the backlog is claimed up to this sequence number.
    Claimed {
        /// The topic.
        topic: u32,
        /// Through which sequence number.
        through: u64,
    },
    /// Sequence numbers up to `through` may be in use: a restart continues above it.
    SeqReserved {
        /// The topic.
        topic: u32,
        /// The highest one reserved.
        through: u64,
    },
    /// A dedup key is remembered.
    Deduped {
        /// Number for the record, from the store's ascending numbers.
        number: u64,
        /// The topic.
        topic: u32,
        /// The key.
        key: Bytes,
        /// The message that has it.
        seq: u64,
        /// Its publish time (with `seq` and the salt it gives the id).
        published_at: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// A dedup key is forgotten.
    DedupForgotten {
        /// Number of its record.
        number: u64,
    },
    /// A topic was made or its settings changed.
    TopicPut(TopicDefinition),
    /// A topic, its queues and all messages in them are gone.
    TopicDropped {
        /// Its number.
        topic: u32,
    },
    /// A queue was made, changed, or attached to another topic.
    QueuePut(QueueDefinition),
    /// A queue and all places in it are gone.
    QueueDropped {
        /// Its number.
        queue: u32,
    },
    /// A named text of another room (users, settings): put, or deleted when `value` is `None`.
    Setting {
        /// Which kind: `user`, `role`, ...
        table: &'static str,
        /// Its name.
        key: String,
        /// JSON text.
        value: Option<String>,
    },
}

/// What defines a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDefinition {
    /// Its number, never used again.
    pub number: u32,
    /// Its name.
    pub name: TopicName,
    /// Its kind, fixed.
    pub kind: Kind,
    /// Its settings.
    pub policy: TopicPolicy,
    /// 26 random bits that make its message ids its own.
    pub salt: u32,
    /// pubsub: sequence numbers of two epochs must not be compared.
    pub epoch: u32,
    /// The user who made it; has all rights on it.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What defines a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Its number, never used again.
    pub number: u32,
    /// The topic it is attached to.
    pub topic: u32,
    /// Its name.
    pub name: QueueName,
    /// Its settings.
    pub policy: QueuePolicy,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Collects the facts of one turn. A topic at level memory keeps none.
#[derive(Debug, Default)]
pub struct Ledger {
    on: bool,
    /// The facts so far, oldest first.
    pub records: Vec<Record>,
    next: u64,
    last: u64,
}

impl Ledger {
    /// A ledger that forgets everything, for topics at level memory; numbers from `next` on.
    pub fn off(next: u64) -> Self {
        Ledger { on: false, records: Vec::new(), next, last: u64::MAX }
    }

    /// A ledger that remembers, with the numbers `next..=last` to give away.
    pub fn on(next: u64, last: u64) -> Self {
        Ledger { on: true, records: Vec::new(), next, last }
    }

    /// Whether facts are remembered.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Adds a fact; not even made when the ledger is off.
    #[inline]
    pub fn note(&mut self, fact: impl FnOnce() -> Record) {
        if self.on {
            self.records.push(fact());
        }
    }

    /// Takes `count` ascending numbers and returns the first.
    ///
    /// The engine provides enough for a turn ([`Ledger::remaining`]); running dry is its fault and
    /// repeats no number: the ledger goes on above.
    #[inline]
    pub fn numbers(&mut self, count: u64) -> u64 {
        let first = self.next;
        self.next += count;
        first
    }

    /// How many numbers are left.
    pub fn remaining(&self) -> u64 {
        self.last.saturating_add(1).saturating_sub(self.next)
    }
}

/// An entry of a queue as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredEntry {
    /// Number of its place.
    pub entry: u64,
    /// The queue.
    pub queue: u32,
    /// Deliveries so far that count.
    pub attempts: u32,
    /// When it is visible.
    pub visible_at: Timestamp,
    /// Failed deliveries so far.
    pub failures: Vec<Failure>,
    /// Set when it is a dead letter.
    pub dead: Option<DeadLetter>,
}

/// A message as it is read back, in ascending order of its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its number.
    pub number: u64,
    /// The topic that published it (not always the one that has it now).
    pub topic: u32,
    /// Its number in that topic.
    pub seq: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What else the publisher said.
    pub extra: Option<Arc<Extra>>,
    /// The body, and the publisher's own id unless that is in `extra`; `None` leaves it on disk.
    pub body: Option<Content>,
    /// Length of the body.
    pub body_bytes: u32,
    /// Its places in queues of one topic; empty for history.
    pub entries: Vec<RestoredEntry>,
    /// History: it was published while subscribers were attached.
    pub claimed: bool,
    /// `expires_at` is also the end of what its queue's retention gives it.
    pub stamped: bool,
    /// It was published into one queue only, and no copy was split from it.
    pub lone: bool,
    /// Through which door it came.
    pub door: Option<Door>,
}
