//! Where the queues of a topic live, behind one trait.
//!
//! A topic actor speaks to its [`Engine`] in verbs and gets an [`Answer`] for each: at once, or
//! later when the answer must wait for a store. What an answer promises is the same for every
//! engine: **an answer that has arrived is as durable as the topic's level says**. The contract is
//! [`contract`], one suite that every engine passes.
//!
//! Holds the local engine: rules in memory, a journal behind them. Never knows actors, who asks, or
//! how an answer is shown.

#[cfg(test)]
pub mod contract;
mod granted;
pub mod local;
mod pending;

use crate::journal::JournalError;
use crate::queue::*;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Why an engine refuses: a rule, or the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A rule of the queue.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store did not take it; nothing of it happened.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// All topics together hold as many bytes in memory as they may.
    #[error("memory: {resident} bytes of messages are held, the limit is {limit}")]
    Memory {
        /// Bytes held now.
        resident: u64,
        /// `limits.memory_bytes`.
        limit: u64,
    },
}

/// An engine's answer to one verb.
#[derive(Debug)]
pub enum Answer<T> {
    /// Final.
    Now(T),
    /// Decided in the order of the calls, not yet final. A closed channel means the engine died.
    Later(oneshot::Receiver<T>),
}

impl<T> Answer<T> {
    /// The answer, however long it takes; `None` when the engine died meanwhile.
    pub async fn get(self) -> Option<T> {
        match self {
            Answer::Now(value) => Some(value),
            Answer::Later(receiver) => receiver.await.ok(),
        }
    }
}

/// One result per item of a batch, in the order of the batch.
pub type Each<T> = Vec<Result<T, EngineError>>;
/// One result for the whole call.
pub type Whole<T> = Result<T, EngineError>;

/// Called by the engine, from any thread, when [`Engine::settle`] has something to do.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A consumer's error text and the like are cut by the rules; batches by the caller.
///
/// # What every implementation promises
/// - Verbs take effect in the order of the calls.
/// - Nothing that an answer reported is lost by a crash that the topic's [`Level`] covers.
/// - A message is in one state of a queue at a time, and at most one receipt of it is good.
/// - `now` never runs backwards.
pub trait Engine: Send {
    /// Gives the engine its bell; called before the first verb and again after a restart.
    fn connect(&mut self, wake: Wake);

    /// The verbs that follow come through this door: where it is kept, it is part of what they do.
    fn through(&mut self, door: Option<Door>);

    /// Ends a turn: what was decided since the last call goes to the store as one unit.
    fn flush(&mut self, now: Timestamp);

    /// Finishes what the store has reported since; to be called after each [`Wake`].
    fn settle(&mut self, now: Timestamp);

    /// Publishes messages into `to`, or into every queue that takes them. All into the store as
    /// one unit, each with a result of its own.
    ///
    /// `listeners`: live subscribers are attached (pubsub only).
    fn publish(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        messages: Vec<NewMessage>,
        listeners: bool,
    ) -> Answer<Each<Placed>>;

    /// Publishes an independent message into each queue that takes it, all or nothing.
    fn publish_copies(
        &mut self,
        now: Timestamp,
        message: NewMessage,
    ) -> Answer<Whole<Vec<PlacedCopy>>>;

    /// Hands out up to `request.max` messages of a queue; none is an answer, not an error.
    ///
    /// On a pubsub topic only `take` is possible and takes from the backlog; `queue` is ignored.
    fn receive(
        &mut self,
        now: Timestamp,
        queue: u32,
        request: Receive,
    ) -> Answer<Whole<Vec<Delivery>>>;

    /// Ends deliveries (or, by id, messages in flight; or messages in any state) for good.
    fn ack(&mut self, now: Timestamp, references: Vec<Reference>) -> Answer<Each<()>>;

    /// Ends messages of a queue for good, whatever their state, by their ids as clients say them.
    fn ack_ids(&mut self, now: Timestamp, queue: u32, ids: &IdList) -> Answer<Each<()>>;

    /// Gives deliveries back. To the front of a queue, the one that was handed out last goes first, so
    /// that a batch keeps its order.
    fn nack(&mut self, now: Timestamp, references: Vec<(Reference, Nack)>) -> Answer<Each<()>>;

    /// Moves deadlines to `now` plus the span; answers the new deadlines.
    fn extend(
        &mut self,
        now: Timestamp,
        references: Vec<(Reference, Duration)>,
    ) -> Answer<Each<Timestamp>>;

    /// Removes messages by id, whatever their state.
    fn delete(&mut self, now: Timestamp, queue: u32, ids: Vec<MessageId>) -> Answer<Each<()>>;

    /// Looks at messages by id.
    fn find(&mut self, queue: u32, id: MessageId) -> Answer<Whole<View>>;

    /// Looks at the messages that would come next (or last), until their bodies reach `bytes_max`; the
    /// first one always fits.
    fn peek(
        &mut self,
        queue: u32,
        end: End,
        max: usize,
        bytes_max: usize,
    ) -> Answer<Whole<Vec<View>>>;

    /// Looks at the messages in one state, page by page; a page is bounded in bytes as
    /// [`Engine::peek`] is, and in what it looks through: it may be empty and not the last.
    fn list(
        &mut self,
        queue: u32,
        state: State,
        after: Option<u128>,
        max: usize,
        bytes_max: usize,
    ) -> Answer<Whole<Page>>;

    /// Messages that wait, ready or delayed, are ready when `delay` has passed, and not before.
    fn delay(
        &mut self,
        now: Timestamp,
        queue: u32,
        ids: Vec<MessageId>,
        delay: Duration,
    ) -> Answer<Each<()>>;

    /// Removes everything that waits. Deliveries in flight may finish but do not come back.
    fn purge(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>>;

    /// Removes everything that waits or is in flight; receipts are gone, dead letters stay.
    fn clear(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>>;

    /// Whether a receive would hand something out now. `queue` is ignored on a pubsub topic.
    fn is_ready(&self, queue: u32) -> bool;

    /// Whether a receive would hand out something, since the last call, that had to wait for another
    /// message of its ordering key before.
    fn take_freed(&mut self) -> bool;

    /// Dead letters back into their queue, or into another one of the topic.
    fn redrive(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: Selection,
        to: Option<u32>,
    ) -> Answer<Whole<u64>>;

    /// Ready messages to the back of another queue, of this topic or another.
    fn transfer(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: Selection,
        to: Target,
    ) -> Answer<Whole<u64>>;

    /// Counts and totals of a queue (pubsub: of the backlog).
    fn counts(&mut self, queue: u32) -> Answer<Whole<QueueFigures>>;

    /// What happened in all queues together, without a message being looked at.
    fn totals(&self) -> Totals;

    /// All queues together (pubsub: the backlog), at the cost of a look at each queue.
    fn sum(&self) -> TopicSum;

    /// Lets time pass: deadlines, delays, retention. Bounded; `more` says to call again at once.
    fn expire(&mut self, now: Timestamp) -> Advanced;

    /// When [`Engine::expire`] has something to do next.
    fn next_deadline(&self) -> Option<Timestamp>;

    /// pubsub: committed messages from `from` on.
    fn read(&mut self, from: u64, max: usize, bytes_max: usize) -> Answer<Whole<ReadBatch>>;

    /// Messages behind a cursor, by their numbers in the whole broker, for a reader who takes
    /// nothing: of the history, or those that are ready in a queue. `queue` is ignored on a pubsub
    /// topic.
    ///
    /// Moves the cursor at once, in the order of the calls; answers when what is read is as durable
    /// as it will be. A message that the store refused meanwhile is passed over.
    fn read_after(
        &mut self,
        now: Timestamp,
        queue: u32,
        cursor: &mut Cursor,
        want: Want,
    ) -> Answer<Whole<Vec<Message>>>;

    /// pubsub: the last sequence number that may be read.
    fn committed(&self) -> u64;

    /// pubsub: live subscribers are still to be sent what is from `from` on; the history keeps it.
    fn hold_from(&mut self, from: u64);

    /// pubsub: where a new subscriber starts. Without a position it claims the backlog.
    fn resume(&mut self, now: Timestamp, position: Option<Position>) -> Answer<Whole<Start>>;

    /// Adds a queue.
    fn add_queue(&mut self, definition: QueueDefinition) -> Answer<Whole<()>>;
    /// Changes a queue's settings; `dead_letter`: the queue its dead letters go to. Messages that wait
    /// and have had more deliveries than they may have now become dead letters.
    fn set_queue(
        &mut self,
        now: Timestamp,
        queue: u32,
        policy: QueuePolicy,
        dead_letter: Option<Target>,
    ) -> Answer<Whole<()>>;
    /// Removes a queue with its messages.
    fn drop_queue(&mut self, queue: u32) -> Answer<Whole<()>>;
    /// Takes a queue out of the topic with its messages; the other topic's [`Engine::attach`] follows.
    fn detach(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<Box<Detached>>>;
    /// Puts a detached queue into this topic. It comes back when it has no room here.
    fn attach(
        &mut self,
        now: Timestamp,
        detached: Box<Detached>,
    ) -> Result<Answer<Whole<()>>, Box<Detached>>;
    /// Changes the topic's settings (the level of durability excepted, which is fixed).
    fn set_topic(&mut self, policy: TopicPolicy) -> Answer<Whole<()>>;
    /// Forgets the topic and everything in it.
    fn drop_topic(&mut self) -> Answer<Whole<()>>;

    /// The topic as it is defined now.
    fn definition(&self) -> &TopicDefinition;
    /// Its queues.
    fn queues(&self) -> Vec<QueueDefinition>;
    /// The number of a queue.
    fn queue_number(&self, name: &QueueName) -> Option<u32>;

    /// How many messages are here that came into the world in other topics.
    fn strangers(&self) -> u64;

    /// Messages that left for queues of other topics and are durable there; see [`Engine::adopt`].
    fn departures(&mut self) -> Vec<Leaving>;
    /// Takes in what left another topic.
    fn adopt(&mut self, now: Timestamp, arriving: Vec<Leaving>);

    /// Answers when everything decided so far is as durable as it will be.
    fn barrier(&mut self) -> Answer<Whole<()>>;

    /// Last act of an orderly stop, after which no verb is called.
    fn close(&mut self, now: Timestamp);
}

/// What [`Engine::counts`] tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueFigures {
    /// How many messages are where.
    pub counts: Counts,
    /// What happened so far.
    pub totals: Totals,
    /// Time in queue and time to ack.
    pub waits: crate::queue::stats::Waits,
    /// Connections that said they consume it; the engine knows none, the topic fills it in.
    pub consumers: u64,
    /// Receivers that wait; likewise.
    pub waiting: u64,
}

/// Where a subscriber starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// Stretches of the backlog (first and last sequence number), to be read before `next`.
    pub backlog: Vec<(u64, u64)>,
    /// Then everything from here on.
    pub next: u64,
    /// What the subscriber missed and cannot get.
    pub gap: Option<Gap>,
    /// The topic's epoch.
    pub epoch: u32,
}

/// Makes engines: for a new topic, for all topics at start, and anew for one that failed.
pub trait EngineFactory: Send + Sync {
    /// An engine for a new topic; its definition goes to the store with the first flush.
    fn create(&self, definition: TopicDefinition) -> Box<dyn Engine>;
    /// The engine of a topic, built from what is durable. Blocks.
    fn rebuild(&self, definition: &TopicDefinition) -> Result<Box<dyn Engine>, EngineError>;
}
