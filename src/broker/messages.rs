//! All words the actors speak, no behaviour: the vocabulary on one page.
//!
//! The unit is a batch: a [`Job`] carries everything a session read for one topic, and comes home
//! with a [`Reply`] in the place of each [`Op`], in the same allocation.

use super::{BrokerError, PushFormat, SlowPolicy, Subscription};
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
        after: Option<u64>,
        /// How many.
        max: usize,
    },
    /// Removes what waits. Reply: [`Reply::Counted`].
    Purge {
        /// Which queue.
        queue: Option<QueueName>,
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
    /// Counts and totals. Reply: [`Reply::Figures`].
    Counts {
        /// Of which queue.
        queue: Option<QueueName>,
    },
    /// Reads the history of a pubsub topic. Reply: [`Reply::Read`].
    Read {
        /// From this sequence number on.
        from: u64,
        /// How many.
        max: usize,
    },
}

/// The answer to one [`Op`].
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// One result per message; sent when it is as durable as the topic's level says.
    Published(Vec<Result<Placed, BrokerError>>),
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
    /// Counts and totals.
    Figures(Box<QueueFigures>),
    /// History.
    Read(ReadBatch),
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
}

/// A batch of ops for one topic. Answers for itself: dropped unanswered (a topic that failed, a
/// mailbox that closed), it goes home with [`BrokerError::Unavailable`].
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Job {
    slots: Vec<Slot>,
    home: Option<Home>,
    tag: u64,
}

impl Job {
    /// A job whose answer carries `tag`, for a session with several out.
    pub fn new(slots: Vec<Slot>, home: Home, tag: u64) -> Self {
        Job { slots, home: Some(home), tag }
    }

    /// The ops and replies.
    pub fn slots(&mut self) -> &mut Vec<Slot> {
        &mut self.slots
    }

    /// Nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.home.as_ref().is_none_or(Home::is_closed)
    }

    /// Sends it home.
    pub fn finish(mut self) {
        self.go_home();
    }

    fn go_home(&mut self) {
        let slots = std::mem::take(&mut self.slots);
        match self.home.take() {
            // A session that is gone needs no answer; one that is there kept room for it.
            Some(Home::Channel(sender)) => drop(sender.try_send((self.tag, slots))),
            Some(Home::Once(sender)) => drop(sender.send(slots)),
            None => (),
        }
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

/// To a topic: attach a subscriber.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<Subscription, BrokerError>")]
pub struct Subscribe {
    /// The last message it saw; `None`: it takes the backlog.
    pub position: Option<Position>,
    /// How its pushes look.
    pub format: PushFormat,
    /// What happens when it cannot follow.
    pub slow: SlowPolicy,
}

/// To a topic: a subscriber that lagged has written all it was given.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Drained(pub u64);

/// To a topic: a subscriber is gone.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct Unsubscribe(pub u64);

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

/// A change of a topic's shape; one at a time, through the registry.
#[derive(Debug)]
pub enum Change {
    /// Answers when the definition is durable.
    Settle,
    /// Adds a queue.
    AddQueue(Box<QueueDefinition>, Option<u32>),
    /// Changes a queue's settings; the number is that of its dead-letter target.
    SetQueue(u32, Box<QueuePolicy>, Option<u32>),
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

/// A running topic, as the registry knows it.
#[derive(Debug, Clone)]
pub struct TopicEntry {
    /// Its actor.
    pub addr: Addr<super::topic::TopicActor>,
    /// What defined it when it was made or loaded.
    pub definition: Arc<TopicDefinition>,
    /// Set when the topic is deleted; whoever keeps the address asks the registry again.
    pub gone: Arc<std::sync::atomic::AtomicBool>,
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

/// To the registry: add a queue to a topic.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct CreateQueue {
    /// The topic.
    pub topic: TopicName,
    /// The new queue's name.
    pub queue: QueueName,
    /// Its settings.
    pub policy: QueuePolicy,
}

/// To the registry: remove a queue of a topic.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct DeleteQueue {
    /// The topic.
    pub topic: TopicName,
    /// The queue.
    pub queue: QueueName,
}

/// To the registry: stop all topics in order.
#[derive(Debug, ActixMessage)]
#[rtype(result = "()")]
pub struct StopAll;

/// A topic's address that does not keep it alive.
pub type WeakTopic = WeakAddr<super::topic::TopicActor>;
