//! The rules of topics and queues as a user of the library meets them: one sentence per test, with
//! the time as an argument.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bounds;
mod copies;
mod dead_letters;
mod delivering;
mod history;
mod looking;
mod moving;
mod ordering;
mod publishing;

use bytes::Bytes;
use octoq::queue::{
    Delivery, End, Extra, Kind, Ledger, MessageId, Nack, NewMessage, Placed, QueueDefinition,
    QueueName, QueuePolicy, Receive, Reference, Refusal, Returns, Timestamp, Topic,
    TopicDefinition, TopicName, TopicPolicy, View,
};
use std::time::Duration;

/// The first queue of a subject, and the second.
const QUEUE: u32 = 1;
const OTHER: u32 = 2;

/// Gives a message back without counting the attempt, at once.
const RELEASE: Nack = Nack::Release { delay: None };

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn topic_definition(number: u32, kind: Kind, policy: TopicPolicy) -> TopicDefinition {
    TopicDefinition {
        number,
        name: TopicName::parse(format!("topic-{number}")).unwrap(),
        kind,
        policy,
        salt: 70 + number,
        epoch: 5,
        owner: None,
        created_at: at(0),
    }
}

fn queue_definition(number: u32, topic: u32, policy: QueuePolicy) -> QueueDefinition {
    QueueDefinition {
        number,
        topic,
        name: QueueName::parse(format!("queue-{number}")).unwrap(),
        policy,
        created_at: at(0),
    }
}

fn message(body: &str, extra: Extra) -> NewMessage {
    NewMessage::new(Bytes::copy_from_slice(body.as_bytes()), extra)
}

fn up_to(max: usize) -> Receive {
    Receive { max, bytes_max: usize::MAX, ack_deadline: None, take: false, from_back: false }
}

/// A failure in these words.
fn fail(error: &str) -> Nack {
    Nack::Fail { delay: None, error: Some(error.to_owned()) }
}

/// The receipt of a delivery, as a reference to it.
fn of(delivery: &Delivery) -> Reference {
    Reference::Receipt(delivery.receipt.unwrap())
}

fn by_id(queue: u32, id: &MessageId) -> Reference {
    Reference::Id { queue, id: id.clone() }
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).unwrap()
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| text(delivery.message.body())).collect()
}

fn seen(views: &[View]) -> Vec<String> {
    views.iter().map(|view| text(view.message.body())).collect()
}

/// A broker topic with its ledger.
struct Subject {
    topic: Topic,
    ledger: Ledger,
}

impl Subject {
    /// Queues 1, 2, ... with these settings.
    fn new(policy: TopicPolicy, queues: Vec<QueuePolicy>) -> Subject {
        let mut topic = Topic::new(&topic_definition(1, Kind::Broker, policy), 1 << 40);
        for (number, policy) in (QUEUE..).zip(queues) {
            topic.add_queue(queue_definition(number, 1, policy)).unwrap();
        }
        Subject { topic, ledger: Ledger::on(1, 1 << 40) }
    }

    /// One queue with these settings, in a topic with the usual ones.
    fn queue(policy: QueuePolicy) -> Subject {
        Subject::new(TopicPolicy::default(), vec![policy])
    }

    fn try_put(&mut self, now: i64, body: &str, extra: Extra) -> Result<Placed, Refusal> {
        self.topic.publish(at(now), None, message(body, extra), true, &mut self.ledger)
    }

    #[track_caller]
    fn put_with(&mut self, now: i64, body: &str, extra: Extra) -> Placed {
        self.try_put(now, body, extra).unwrap()
    }

    #[track_caller]
    fn put(&mut self, now: i64, bodies: &[&str]) -> Vec<MessageId> {
        let mut put = |body: &&str| self.put_with(now, body, Extra::default()).id.unwrap();
        bodies.iter().map(&mut put).collect()
    }

    #[track_caller]
    fn receive(&mut self, now: i64, queue: u32, request: &Receive) -> Vec<Delivery> {
        let mut out = Vec::new();
        self.topic.receive(at(now), queue, request, &mut out, &mut self.ledger).unwrap();
        out
    }

    /// Up to this many of the first queue.
    #[track_caller]
    fn lend(&mut self, now: i64, max: usize) -> Vec<Delivery> {
        self.receive(now, QUEUE, &up_to(max))
    }

    /// The one that is handed out next.
    #[track_caller]
    fn lend_one(&mut self, now: i64) -> Delivery {
        self.lend(now, 1).pop().expect("a ready message")
    }

    fn ack(&mut self, now: i64, reference: &Reference) -> Result<(), Refusal> {
        self.topic.ack(at(now), reference, &mut self.ledger)
    }

    fn nack(&mut self, now: i64, reference: &Reference, nack: &Nack) -> Result<(), Refusal> {
        self.topic.nack(at(now), reference, nack, &mut self.ledger)
    }

    /// Lets time pass, a few events at a time. True: something became ready.
    fn advance(&mut self, now: i64) -> bool {
        let mut ready = false;
        loop {
            let advanced = self.topic.advance(at(now), 3, &mut self.ledger);
            ready |= advanced.ready;
            if !advanced.more {
                return ready;
            }
        }
    }

    /// What would be handed out, in this order.
    #[track_caller]
    fn ready(&self, queue: u32) -> Vec<String> {
        seen(&self.topic.peek(queue, End::Front, usize::MAX).unwrap())
    }

    /// Delayed, ready, in flight, dead.
    #[track_caller]
    fn counts(&self, queue: u32) -> [u64; 4] {
        let counts = self.topic.counts(queue).unwrap();
        [counts.delayed, counts.ready, counts.in_flight, counts.dead]
    }
}
