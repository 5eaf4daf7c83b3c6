//! All words the actors speak, no behaviour: the vocabulary on one page.
//!
//! The unit is a batch: a [`Job`] carries everything a session read for one topic, and comes home
//! with a [`Reply`] in the place of each [`Op`], in the same allocation.

use super::rates::Rates;
use super::{BrokerError, Look, SlowPolicy, Subscription};
use crate::engine::QueueFigures;
use crate::queue::*;
use actix::{Addr, Message as ActixMessage, WeakAddr};
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// How a session names a message it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// By the receipt of its delivery.
    Receipt(Receipt),
    /// By its id in a queue (`None`: `default`); means the delivery in flight.
    Id {
        /// The queue.
        queue: Option<QueueName>,
        /// The public id.
        id: MessageId,
    },
    /// By where it came into the world, whatever its state.
    Origin {
        /// The queue's number; `None`: the one that holds it, if it is lone.
        queue: Option<u32>,
        /// What tells the message from others.
        origin: Origin,
    },
    /// By its id in a queue (`None`: `default`), whatever its state there: an ack removes it, a nack
    /// gives it back or ends its delay.
    Anywhere {
        /// The queue.
        queue: Option<QueueName>,
        /// The public id.
        id: MessageId,
    },
}

/// One verb for one topic. A queue of `None` is the one named `default`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Publishes messages into one queue, or (`None`) into every queue that takes them.
    /// Reply: [`Reply::Published`].
    Publish {
        /// The one queue, if only one is meant.
        to: Option<QueueName>,
        /// In order; at most `limits.batch_max`.
        messages: Vec<NewMessage>,
    },
    /// Publishes an independent message into each queue that takes it, all or nothing; its own id and
    /// dedup key are not looked at. Reply: [`Reply::Copies`].
    PublishCopies(NewMessage),
    /// Hands out messages. Reply: [`Reply::Delivered`]; empty when there are none (after the wait).
    Receive {
        /// From which queue.
        queue: Option<QueueName>,
        /// How many, for how long.
        request: Receive,
        /// How long to wait for the first one; `None` answers at once.
        wait: Option<Duration>,
    },
    /// Ends deliveries. Reply: [`Reply::Done`].
    Ack(Vec<Named>),
    /// Ends messages for good, whatever their state, by their ids as clients say them. Reply:
    /// [`Reply::Done`].
    AckIds {
        /// In which queue.
        queue: Option<QueueName>,
        /// Which.
        ids: IdList,
    },
    /// Gives deliveries back. Reply: [`Reply::Done`].
    Nack(Vec<(Named, Nack)>),
    /// Moves deadlines. Reply: [`Reply::Extended`].
    Extend(Vec<(Named, Duration)>),
    /// Removes messages by id. Reply: [`Reply::Done`].
    Delete {
        /// From which queue.
        queue: Option<QueueName>,
        /// Which.
        ids: Vec<MessageId>,
    },
    /// Messages that wait, ready or delayed, are ready when the delay has passed; without one, now.
    /// What is in flight or dead is not found. Reply: [`Reply::Done`].
    Delay {
        /// In which queue.
        queue: Option<QueueName>,
        /// Which.
        ids: Vec<MessageId>,
        /// How long.
        delay: Duration,
    },
    /// Looks at one message. Reply: [`Reply::Views`] with one view.
    Find {
        /// In which queue.
        queue: Option<QueueName>,
        /// Which.
        id: MessageId,
    },
    /// Looks at an end of the queue. Reply: [`Reply::Views`].
    Peek {
        /// Which queue.
        queue: Option<QueueName>,
        /// Which end.
        end: End,
        /// How many.
        max: usize,
    },
    /// Looks at a state, page by page. Reply: [`Reply::Listed`].
    List {
        /// Which queue.
        queue: Option<QueueName>,
        /// Which state.
        state: State,
        /// Where the page before ended.
        after: Option<u128>,
        /// How many.
        max: usize,
    },
    /// Removes what waits. Reply: [`Reply::Counted`].
    Purge {
        /// Which queue.
        queue: Option<QueueName>,
    },
    /// Removes what waits and what is in flight. Reply: [`Reply::Counted`].
    Clear {
        /// Which queue.
        queue: Option<QueueName>,
    },
    /// Waits for the queue to have a ready message, and takes nothing. Reply: [`Reply::Ready`]: true
    /// as soon as there is one, false after the wait. Everybody who watches is told of it; given up
    /// when nobody waits for the reply any more.
    Watch {
        /// Which queue.
        queue: Option<QueueName>,
        /// How long.
        wait: Duration,
    },
    /// Dead letters back to work. Reply: [`Reply::Counted`].
    Redrive {
        /// Whose dead letters.
        queue: Option<QueueName>,
        /// Which of them.
        selection: Selection,
        /// Into which queue of the topic; `None`: the same.
        to: Option<QueueName>,
    },
    /// Ready messages to the back of another queue, of this topic or another; see
    /// [`Broker::transfer`](super::Broker::transfer). Reply: [`Reply::Counted`].
    Transfer {
        /// Whose messages.
        queue: Option<QueueName>,
        /// Which of them.
        selection: Selection,
        /// Where to.
        to: Target,
    },
    /// Counts and totals. Reply: [`Reply::Figures`].
    Counts {
        /// Of which queue.
        queue: Option<QueueName>,
    },
    /// Reads what came behind a number of the whole broker, and takes nothing. Reply:
    /// [`Reply::Passed`].
    ///
    /// A reading that has used up its bytes ends the job: the ops behind it come back undone, to be
    /// sent again when what was read has been passed on.
    ReadAfter {
        /// Which queue of a broker topic; a pubsub topic has its history.
        queue: Option<QueueName>,
        /// Behind which number. `None`: where the reading before it in the same job ended.
        after: Option<u64>,
        /// Which messages.
        want: Want,
        /// Bytes of bodies that this reading and those that follow it in the job may take; the first
        /// message always is.
        bytes_max: usize,
    },
    /// Reads the history of a pubsub topic. Reply: [`Reply::Read`].
    Read {
        /// From this sequence number on.
        from: u64,
        /// How many.
        max: usize,
    },
}

impl Op {
    /// How many messages it brings, ends or asks for: how much work it is, roughly.
    pub fn messages(&self) -> usize {
        match self {
            Op::Publish { messages, .. } => messages.len(),
            Op::Receive { request, .. } => request.max,
            Op::Ack(named) => named.len(),
            Op::AckIds { ids, .. } => ids.len(),
            Op::Nack(named) => named.len(),
            Op::Extend(named) => named.len(),
            Op::Delete { ids, .. } | Op::Delay { ids, .. } => ids.len(),
            Op::Read { max, .. } | Op::Peek { max, .. } | Op::List { max, .. } => *max,
            _ => 1,
        }
    }
}

/// The answer to one [`Op`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// One result per message; sent when it is as durable as the topic's level says.
    Published(Vec<Result<Placed, BrokerError>>),
    /// One for each queue that took the message, in the order of the topic's queues.
    Copies(Vec<PlacedCopy>),
    /// The messages; none is an answer.
    Delivered(Vec<Delivery>),
    /// One result per item.
    Done(Vec<Result<(), BrokerError>>),
    /// One new deadline per item.
    Extended(Vec<Result<Timestamp, BrokerError>>),
    /// The messages looked at.
    Views(Vec<View>),
    /// A page.
    Listed(Page),
    /// How many messages it touched.
    Counted(u64),
    /// Something can be received.
    Ready(bool),
    /// Counts and totals.
    Figures(Box<QueueFigures>),
    /// History.
    Read(ReadBatch),
    /// What a reader without a claim was shown.
    Passed {
        /// Ascending by their numbers.
        messages: Vec<Message>,
        /// Where the reader is now.
        position: u64,
        /// The bytes were used up; there is more.
        cut: bool,
    },
    /// The whole op was refused.
    Failed(BrokerError),
}

/// An op on its way out, a reply on its way home.
#[derive(Debug)]
pub enum Slot {
    /// To be done.
    Op(Op),
    /// Done.
    Reply(Reply),
}

impl Slot {
    /// Of all that is handed out in these.
    pub fn receipts(slots: &[Slot]) -> Vec<Receipt> {
        let delivered = slots.iter().filter_map(|slot| match slot {
            Slot::Reply(Reply::Delivered(deliveries)) => Some(deliveries),
            Slot::Reply(_) | Slot::Op(_) => None,
        });
        delivered.flatten().filter_map(|delivery| delivery.receipt).collect()
    }
}

/// Where a job goes when it is answered.
#[derive(Debug)]
pub enum Home {
    /// To a session with several jobs out; the channel has room for as many as the session sends.
    Channel(mpsc::Sender<(u64, Vec<Slot>)>),
    /// To a session that waits for this one.
    Once(oneshot::Sender<Vec<Slot>>),
}

impl Home {
    /// The session is gone: nobody will read the answer.
    pub fn is_closed(&self) -> bool {
        match self {
            Home::Channel(sender) => sender.is_closed(),
            Home::Once(sender) => sender.is_closed(),
        }
    }

    /// Returns when the session is gone.
    pub async fn closed(&mut self) {
        match self {
            Home::Channel(sender) => sender.closed().await,
            Home::Once(sender) => sender.closed().await,
        }
    }
}

/// A batch of ops for one topic. Answers for itself: dropped unanswered (a topic that failed, a
/// mailbox that closed), it goes home with [`BrokerError::Unavailable`].
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Job {
    slots: Vec<Slot>,
    home: Option<Home>,
    tag: u64,
    /// Who asks is shown payloads that the topic masks. Set by whoever knows the caller.
    pub sees: bool,
    door: Option<Door>,
}

impl Job {
    /// A job whose answer carries `tag`, for a session with several out.
    pub fn new(slots: Vec<Slot>, home: Home, tag: u64) -> Self {
        Job { slots, home: Some(home), tag, sees: false, door: None }
    }

    /// It comes through this door.
    pub fn set_door(&mut self, door: Option<Door>) {
        self.door = door;
    }

    /// Through which door it comes.
    pub fn door(&self) -> Option<Door> {
        self.door
    }

    /// The ops and replies.
    pub fn slots(&mut self) -> &mut Vec<Slot> {
        &mut self.slots
    }

    /// Nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.home.as_ref().is_none_or(Home::is_closed)
    }

    /// Returns when nobody waits for it any more.
    pub async fn abandoned(&mut self) {
        if let Some(home) = &mut self.home {
            home.closed().await;
        }
    }

    /// Sends it home; answers what was handed out to nobody, since the session is gone.
    pub fn finish(mut self) -> Vec<Receipt> {
        self.go_home()
    }

    fn go_home(&mut self) -> Vec<Receipt> {
        let slots = std::mem::take(&mut self.slots);
        let unread = match self.home.take() {
            // A session that is there kept room for it.
            Some(Home::Channel(sender)) => {
                sender.try_send((self.tag, slots)).err().map(|unread| unread.into_inner().1)
            }
            Some(Home::Once(sender)) => sender.send(slots).err(),
            None => None,
        };
        Slot::receipts(&unread.unwrap_or_default())
    }

    /// Answers everything that is not answered with one error.
    pub fn fail(mut self, error: &BrokerError) {
        self.fail_open(error);
        self.go_home();
    }

    fn fail_open(&mut self, error: &BrokerError) {
        for slot in &mut self.slots {
            if let Slot::Op(_) = slot {
                *slot = Slot::Reply(Reply::Failed(error.clone()));
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.home.is_some() {
            self.fail_open(&BrokerError::Unavailable);
            self.go_home();
        }
    }
}

/// To a topic: the engine has something to settle.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Settle;

/// To a topic: the sessions that these deliveries were meant for are gone.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Unread(pub Vec<Receipt>);

/// To a topic: attach a subscriber.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<Subscription, BrokerError>")]
pub struct Subscribe {
    /// The last message it saw; `None`: it takes the backlog.
    pub position: Option<Position>,
    /// How its pushes look.
    pub look: Look,
    /// What happens when it cannot follow.
    pub slow: SlowPolicy,
    /// What it is to the topic.
    pub how: Part,
}

/// What a subscriber is to its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What it is pushed counts as handed out; it takes the backlog.
    Takes,
    /// It takes nothing: others get what they would get without it.
    Watches,
    /// Likewise, and payloads that the topic masks are masked for it.
    WatchesMasked,
}

/// To a topic: a subscriber that lagged has written all it was given.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Drained(pub u64);

/// To a topic: a subscriber is gone.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub u64);

/// To a topic: a connection consumes a queue from now on (`None`: `default`), until [`Unconsume`].
/// Answers with the queue's number.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<u32, BrokerError>")]
pub struct Consume(pub Option<QueueName>);

/// To a topic: a consumer of the queue with this number is gone.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Unconsume(pub u32);

/// To a topic: tell about yourself.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<TopicFigures, BrokerError>")]
pub struct Describe;

/// A topic at one moment.
#[derive(Debug, Clone)]
pub struct TopicFigures {
    /// What defines it.
    pub definition: TopicDefinition,
    /// Its queues with counts and totals; a pubsub topic has one entry for its backlog.
    pub queues: Vec<(QueueName, QueuePolicy, QueueFigures)>,
    /// Live subscribers.
    pub subscribers: usize,
    /// Of these, lagging.
    pub lagging: usize,
    /// Receivers that wait.
    pub waiters: usize,
    /// Messages published since the start, whoever took them.
    pub published: u64,
    /// Messages pushed to subscribers.
    pub pushed: u64,
    /// Messages subscribers did not get because they were too slow.
    pub push_dropped: u64,
    /// Subscribers dropped because they were too slow.
    pub subscribers_dropped: u64,
    /// How often the topic was rebuilt after a failure.
    pub restarts: u64,
    /// pubsub: the last sequence number that may be read.
    pub committed: u64,
    /// What happens per second.
    pub rates: Rates,
}

impl TopicFigures {
    /// Messages waiting (delayed, ready) in all queues.
    pub fn waiting(&self) -> u64 {
        self.queues
            .iter()
            .map(|(_, _, figures)| figures.counts.ready + figures.counts.delayed)
            .sum()
    }
}

/// To a topic: messages that left another topic.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Adopt(pub Vec<Leaving>);

/// To the registry: messages that left a topic for queues of others.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Departed(pub Vec<Leaving>);

/// A queue that is to be added, and where its dead letters go.
pub type NewQueue = (QueueDefinition, Option<Target>);

/// A change of a topic's shape; one at a time, through the registry.
#[derive(Debug)]
pub enum Change {
    /// Answers when the definition is durable.
    Settle,
    /// Adds queues, with where their dead letters go: all of them, or none.
    AddQueues(Vec<NewQueue>),
    /// Changes a queue's settings, and where its dead letters go.
    SetQueue(u32, Box<QueuePolicy>, Option<Target>),
    /// Removes a queue.
    DropQueue(u32),
    /// Changes the topic's settings.
    SetTopic(Box<TopicPolicy>),
    /// Removes the topic.
    Delete,
    /// Takes nothing more; answers when everything is flushed.
    Stop,
}

/// To a topic, from the registry.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct Reshape(pub Change);

/// To a topic, from the registry: give a queue away with its messages.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<Box<Detached>, BrokerError>")]
pub struct Detach(pub u32);

/// To a topic, from the registry: take a queue that was detached. It comes back when it is refused.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), (BrokerError, Option<Box<Detached>>)>")]
pub struct Attach(pub Box<Detached>);

/// A running topic, as the registry knows it.
#[derive(Debug, Clone)]
pub struct TopicEntry {
    /// Its actor.
    pub addr: Addr<super::topic::TopicActor>,
    /// What defined it when it was made or loaded.
    pub definition: Arc<TopicDefinition>,
    /// Set when the topic is deleted; whoever keeps the address asks the registry again.
    pub gone: Arc<std::sync::atomic::AtomicBool>,
    /// How many messages it has that came into the world in other topics.
    pub strangers: Arc<std::sync::atomic::AtomicU64>,
    /// Its figures.
    pub gauge: Arc<super::gauge::Gauge>,
}

/// To the registry: the topic of that name.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<TopicEntry, BrokerError>")]
pub struct Resolve(pub TopicName);

/// To the registry: all topics, in the order they were made.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Vec<TopicEntry>")]
pub struct ListTopics;

/// What is needed to make a topic.
#[derive(Debug, Clone)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// Its kind.
    pub kind: Kind,
    /// Its settings.
    pub policy: TopicPolicy,
    /// Its queues; none for pubsub.
    pub queues: Vec<(QueueName, QueuePolicy)>,
    /// Who makes it.
    pub owner: Option<String>,
}

/// To the registry: make a topic. Answers when its definition is durable.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<TopicEntry, BrokerError>")]
pub struct CreateTopic(pub NewTopic);

/// To the registry: remove a topic with its queues and messages.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct DeleteTopic(pub TopicName);

/// To the registry: change a topic's settings.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct ChangeTopic(pub TopicName, pub Revision<TopicPolicy>);

/// What becomes of settings.
#[derive(Debug, Clone)]
pub enum Revision<P> {
    /// All of them.
    Whole(P),
    /// These fields get these values, the others stay. As JSON, since it has names for them.
    Fields(serde_json::Map<String, serde_json::Value>),
}

impl<P: Clone + serde::Serialize + serde::de::DeserializeOwned> Revision<P> {
    /// The settings after it; nothing when a field is none of theirs, or cannot have its value.
    pub fn of(self, before: &P) -> Option<P> {
        match self {
            Revision::Whole(policy) => Some(policy),
            Revision::Fields(fields) => {
                let mut policy = serde_json::to_value(before).ok()?;
                policy.as_object_mut()?.extend(fields);
                serde_json::from_value(policy).ok()
            }
        }
    }
}

/// To the registry: remove a topic; its global queues stay and belong to no topic then.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct DissolveTopic(pub TopicName);

/// To the registry: add a queue to a topic.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<Arc<QueueDefinition>, BrokerError>")]
pub struct CreateQueue {
    /// The topic; [`TopicName::unattached`] is made when it is needed.
    pub topic: TopicName,
    /// The new queue's name.
    pub queue: QueueName,
    /// Its settings.
    pub policy: QueuePolicy,
}

/// To the registry: add several queues to a topic, all of them or none.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct CreateQueues {
    /// The topic.
    pub topic: TopicName,
    /// The new queues with their settings.
    pub queues: Vec<(QueueName, QueuePolicy)>,
}

/// To the registry: remove a queue of a topic.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct DeleteQueue {
    /// The queue's number.
    pub queue: u32,
}

/// To the registry: change a queue's settings, or the topic it belongs to, or both.
#[derive(Debug, Clone, ActixMessage)]
#[rtype(result = "Result<Arc<QueueDefinition>, BrokerError>")]
pub struct AlterQueue {
    /// The queue's number: whoever asked for the queue may have been overtaken by another change.
    pub queue: u32,
    /// The topic it shall belong to; its messages and deliveries go with it.
    pub to: Option<TopicName>,
    /// Its settings.
    pub policy: Option<Revision<QueuePolicy>>,
}

/// To the registry: a queue and its topic.
#[derive(Debug, Clone, ActixMessage)]
#[rtype(result = "Result<(TopicEntry, Arc<QueueDefinition>), BrokerError>")]
pub struct FindQueue {
    /// The topic; `None`: whichever has the global queue of that name.
    pub topic: Option<TopicName>,
    /// The queue.
    pub queue: QueueName,
}

/// To the registry: all queues with their topics, in no order.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Vec<(TopicEntry, Arc<QueueDefinition>)>")]
pub struct ListQueues;

/// To the registry: where a message may be that came into the world there. The likeliest first, each
/// with the queue that is meant (`None`: a lone message, wherever it is).
#[derive(Debug, ActixMessage)]
#[rtype(result = "Vec<(TopicEntry, Option<u32>)>")]
pub struct WhereIs {
    /// The queue in which it was seen, for one that is not lone.
    pub queue: Option<u32>,
    /// What tells it from others.
    pub origin: Origin,
}

/// To the registry: what a topic must know of a queue to send it messages, if it may.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(TopicEntry, Target), BrokerError>")]
pub struct FindTarget {
    /// The topic that sends.
    pub from: TopicName,
    /// The queue.
    pub to: QueueAddress,
}

/// To the registry: stop all topics in order.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct StopAll;

/// A topic's address that does not keep it alive.
pub type WeakTopic = WeakAddr<super::topic::TopicActor>;
