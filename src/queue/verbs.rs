//! The words the rules are asked in, and what they answer.

use super::{DeadLetter, Door, Failure, Message, MessageId, Receipt, Timestamp, record::Times};
use std::time::Duration;

/// What a consumer asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// Most messages, at least 1.
    pub max: usize,
    /// Stop once the bodies reach this many bytes; the first message always fits.
    pub bytes_max: usize,
    /// How long the consumer has; `None` takes the queue's own.
    pub ack_deadline: Option<Duration>,
    /// True: the messages are gone when handed out (no receipt, no ack).
    pub take: bool,
    /// From the back of the queue (the youngest first) instead of the front.
    pub from_back: bool,
}

/// How a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nack {
    /// Ready again without counting the attempt.
    Release {
        /// Not before this has passed.
        delay: Option<Duration>,
    },
    /// Counts; ready again after the backoff, or a dead letter after the last allowed delivery.
    Fail {
        /// Overrides the backoff.
        delay: Option<Duration>,
        /// What went wrong, for the dead letter's history.
        error: Option<String>,
    },
    /// The consumer never got it: to where it was, as if it had not been handed out.
    Unread,
    /// Straight to the dead letters.
    Dead {
        /// What went wrong.
        error: Option<String>,
    },
}

/// Where a message of a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not visible yet.
    Delayed,
    /// Can be handed out.
    Ready,
    /// Handed out, deadline running.
    InFlight,
    /// Failed too often.
    Dead,
}

/// How many, without a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Not visible yet.
    pub delayed: u64,
    /// Can be handed out.
    pub ready: u64,
    /// Handed out, deadline running.
    pub in_flight: u64,
    /// Failed too often.
    pub dead: u64,
    /// Bytes of bodies of all of them.
    pub bytes: u64,
    /// Publish time of the oldest ready message.
    pub oldest_ready: Option<Timestamp>,
    /// When the first of the dead letters died.
    pub oldest_dead: Option<Timestamp>,
}

impl Counts {
    /// With those of another queue.
    pub fn plus(self, other: &Counts) -> Counts {
        Counts {
            delayed: self.delayed + other.delayed,
            ready: self.ready + other.ready,
            in_flight: self.in_flight + other.in_flight,
            dead: self.dead + other.dead,
            bytes: self.bytes + other.bytes,
            oldest_ready: [self.oldest_ready, other.oldest_ready].into_iter().flatten().min(),
            oldest_dead: [self.oldest_dead, other.oldest_dead].into_iter().flatten().min(),
        }
    }
}

/// All queues of a topic together (pubsub: its backlog), without a message being looked at but the
/// oldest of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TopicSum {
    /// How many messages are where.
    pub counts: Counts,
    /// What happened so far.
    pub totals: Totals,
    /// How many queues there are; a pubsub topic has none.
    pub queues: u64,
    /// Of these, those that take nothing in.
    pub paused_in: u64,
    /// Those that hand nothing out.
    pub paused_out: u64,
    /// How full the fullest bound of the topic or a queue is, of 1000.
    pub full_per_mille: u64,
}

/// How much of a bound is used, of 1000; 0 is no bound.
pub fn full_per_mille(used: u64, bound: u64) -> u64 {
    used.min(bound).saturating_mul(1000).checked_div(bound).unwrap_or(0)
}

/// What happened since the queue was made or the broker started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Messages that came in.
    pub published: u64,
    /// Handed out, first or again.
    pub delivered: u64,
    /// Of these, again.
    pub redelivered: u64,
    /// Acked or taken.
    pub acked: u64,
    /// Nacked or released.
    pub nacked: u64,
    /// Deadlines missed.
    pub missed: u64,
    /// Became dead letters.
    pub died: u64,
    /// Ended by their time to live or the queue's retention.
    pub expired: u64,
    /// Dropped by overflow.
    pub dropped: u64,
    /// Purged.
    pub purged: u64,
    /// Redriven or moved in.
    pub moved_in: u64,
}

impl Totals {
    /// With what happened elsewhere.
    pub fn plus(self, other: &Totals) -> Totals {
        Totals {
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            redelivered: self.redelivered + other.redelivered,
            acked: self.acked + other.acked,
            nacked: self.nacked + other.nacked,
            missed: self.missed + other.missed,
            died: self.died + other.died,
            expired: self.expired + other.expired,
            dropped: self.dropped + other.dropped,
            purged: self.purged + other.purged,
            moved_in: self.moved_in + other.moved_in,
        }
    }
}

/// A message of a queue, looked at without taking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The message.
    pub message: Message,
    /// It is masked for who looks: the length of its body, bytes.
    pub masked: Option<u64>,
    /// Where it is.
    pub state: State,
    /// Deliveries so far.
    pub attempts: u32,
    /// Visible from (delayed) or acked until (in flight).
    pub due: Option<Timestamp>,
    /// Its receipt while it is in flight.
    pub receipt: Option<Receipt>,
    /// When it was handed out, while it is in flight.
    pub since: Option<Timestamp>,
    /// Through which door it was handed out, while it is in flight.
    pub lent_by: Option<Door>,
    /// Through which door it was published.
    pub published_by: Option<Door>,
    /// Deliveries that failed so far, oldest first.
    pub failures: Vec<Failure>,
    /// What is known when it is dead.
    pub dead: Option<DeadLetter>,
    /// Where it is in the list of its state: what a page that ends with it is continued behind. Only
    /// in a list.
    pub cursor: Option<u128>,
}

/// A page of [`View`]s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The messages; perhaps none although there are more.
    pub views: Vec<View>,
    /// Give this back to get the next page; `None` at the end.
    pub next: Option<u128>,
}

/// Which end of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Handed out next.
    Front,
    /// Handed out last.
    Back,
}

/// Which messages a bulk verb means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The oldest first, at most this many.
    Oldest(usize),
    /// These ids.
    Ids(Vec<MessageId>),
}

impl Selection {
    /// How many ids it names.
    pub fn ids(&self) -> usize {
        match self {
            Selection::Oldest(_) => 0,
            Selection::Ids(ids) => ids.len(),
        }
    }
}

/// A message on its way to a queue of another topic (dead letter, redrive, move), after its
/// [`Record::Moved`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// The queue it goes to.
    pub to_queue: u32,
    /// Its place there.
    pub to_entry: u64,
    /// The message; its `number` is already the one in force after the move; its id is kept in `extra.made_id`.
    pub message: Message,
    /// Length of the body.
    pub body_bytes: u32,
    /// When it is visible there, and when it ends.
    pub times: Times,
    /// The history it keeps.
    pub letter: Option<DeadLetter>,
    /// Through which door it was published.
    pub door: Option<Door>,
}

/// What a step of time did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Advanced {
    /// Some message became ready.
    pub ready: bool,
    /// The budget ran out: call again at once.
    pub more: bool,
}
