//! A topic that panics: it alone is rebuilt, from what is durable, while the others run on.

use super::handle::{Broker, DefaultLevels, Parts};
use super::registry::Registry;
use super::{
    BrokerError, Caller, Limits, NewTopic, Op, Reply, TopicHandle, clock, doorkeeper::Doorkeeper,
};
use crate::auth::Accounts;
use crate::config::{AuthConfig, UiConfig};
use crate::engine::local::{LocalFactory, MemoryBudget};
use crate::engine::*;
use crate::journal::{Journal, JournalSettings};
use crate::queue::*;
use actix::Actor;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// An engine that panics, half-way through its work, on one body.
struct Fragile(Box<dyn Engine>);

const POISON: &[u8] = b"poison";

/// Hands a verb on.
macro_rules! hand_on {
    ($(fn $name:ident(&mut self $(, $arg:ident: $ty:ty)*) $(-> $out:ty)?;)*) => {
        $(fn $name(&mut self $(, $arg: $ty)*) $(-> $out)? { self.0.$name($($arg),*) })*
    };
}

impl Engine for Fragile {
    fn publish(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        messages: Vec<NewMessage>,
        listeners: bool,
    ) -> Answer<Each<Placed>> {
        let poisoned = messages.iter().any(|message| message.body.body() == POISON);
        let answer = self.0.publish(now, to, messages, listeners);
        assert!(!poisoned, "poison");
        answer
    }

    hand_on! {
        fn connect(&mut self, wake: Wake);
        fn through(&mut self, door: Option<Door>);
        fn flush(&mut self, now: Timestamp);
        fn settle(&mut self, now: Timestamp);
        fn receive(&mut self, now: Timestamp, queue: u32, request: Receive) -> Answer<Whole<Vec<Delivery>>>;
        fn ack(&mut self, now: Timestamp, references: Vec<Reference>) -> Answer<Each<()>>;
        fn ack_ids(&mut self, now: Timestamp, queue: u32, ids: &IdList) -> Answer<Each<()>>;
        fn nack(&mut self, now: Timestamp, references: Vec<(Reference, Nack)>) -> Answer<Each<()>>;
        fn extend(&mut self, now: Timestamp, references: Vec<(Reference, Duration)>) -> Answer<Each<Timestamp>>;
        fn delete(&mut self, now: Timestamp, queue: u32, ids: Vec<MessageId>) -> Answer<Each<()>>;
        fn delay(&mut self, now: Timestamp, queue: u32, ids: Vec<MessageId>, delay: Duration) -> Answer<Each<()>>;
        fn find(&mut self, queue: u32, id: MessageId) -> Answer<Whole<View>>;
        fn peek(&mut self, queue: u32, end: End, max: usize, bytes_max: usize) -> Answer<Whole<Vec<View>>>;
        fn list(&mut self, queue: u32, state: State, after: Option<u128>, max: usize, bytes_max: usize) -> Answer<Whole<Page>>;
        fn purge(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>>;
        fn clear(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>>;
        fn redrive(&mut self, now: Timestamp, queue: u32, selection: Selection, to: Option<u32>) -> Answer<Whole<u64>>;
        fn transfer(&mut self, now: Timestamp, queue: u32, selection: Selection, to: Target) -> Answer<Whole<u64>>;
        fn counts(&mut self, queue: u32) -> Answer<Whole<QueueFigures>>;
        fn expire(&mut self, now: Timestamp) -> Advanced;
        fn read(&mut self, from: u64, max: usize, bytes_max: usize) -> Answer<Whole<ReadBatch>>;
        fn read_after(&mut self, now: Timestamp, queue: u32, cursor: &mut Cursor, want: Want) -> Answer<Whole<Vec<Message>>>;
        fn resume(&mut self, now: Timestamp, position: Option<Position>) -> Answer<Whole<Start>>;
        fn add_queue(&mut self, definition: QueueDefinition) -> Answer<Whole<()>>;
        fn publish_copies(&mut self, now: Timestamp, message: NewMessage) -> Answer<Whole<Vec<PlacedCopy>>>;
        fn set_queue(&mut self, now: Timestamp, queue: u32, policy: QueuePolicy, dead_letter: Option<Target>) -> Answer<Whole<()>>;
        fn drop_queue(&mut self, queue: u32) -> Answer<Whole<()>>;
        fn detach(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<Box<Detached>>>;
        fn attach(&mut self, now: Timestamp, detached: Box<Detached>) -> Result<Answer<Whole<()>>, Box<Detached>>;
        fn set_topic(&mut self, policy: TopicPolicy) -> Answer<Whole<()>>;
        fn drop_topic(&mut self) -> Answer<Whole<()>>;
        fn departures(&mut self) -> Vec<Leaving>;
        fn adopt(&mut self, now: Timestamp, arriving: Vec<Leaving>);
        fn hold_from(&mut self, from: u64);
        fn take_freed(&mut self) -> bool;
        fn barrier(&mut self) -> Answer<Whole<()>>;
        fn close(&mut self, now: Timestamp);
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.0.next_deadline()
    }
    fn is_ready(&self, queue: u32) -> bool {
        self.0.is_ready(queue)
    }
    fn totals(&self) -> Totals {
        self.0.totals()
    }
    fn sum(&self) -> TopicSum {
        self.0.sum()
    }
    fn strangers(&self) -> u64 {
        self.0.strangers()
    }
    fn committed(&self) -> u64 {
        self.0.committed()
    }
    fn definition(&self) -> &TopicDefinition {
        self.0.definition()
    }
    fn queues(&self) -> Vec<QueueDefinition> {
        self.0.queues()
    }
    fn queue_number(&self, name: &QueueName) -> Option<u32> {
        self.0.queue_number(name)
    }
}

struct FragileFactory(LocalFactory);

impl EngineFactory for FragileFactory {
    fn create(&self, definition: TopicDefinition) -> Box<dyn Engine> {
        Box::new(Fragile(self.0.create(definition)))
    }
    fn rebuild(&self, definition: &TopicDefinition) -> Result<Box<dyn Engine>, EngineError> {
        Ok(Box::new(Fragile(self.0.rebuild(definition)?)))
    }
}

pub(super) async fn broker(folder: &std::path::Path) -> Broker {
    let settings = JournalSettings {
        path: folder.join("store"),
        queue_max: 64,
        commit_records_max: 4096,
        commit_bytes_max: 4 << 20,
        sync_interval: Duration::from_millis(20),
        reserve_bytes: 1 << 16,
        cache_bytes: 1 << 20,
    };
    let (journal, _) = Journal::open(settings).unwrap();
    let memory = Arc::new(MemoryBudget::new(1 << 20));
    let factory = FragileFactory(LocalFactory::new(journal.clone(), memory.clone(), clock::now));
    let limits = Arc::new(Limits::default());
    let registry = Registry::new(Arc::new(factory), (0, 0), limits.clone());
    let directory = registry.version();
    let registry = registry.start();
    let (doorkeeper, accounts) =
        Doorkeeper::start_with(Accounts::default(), journal.clone(), &AuthConfig::default());
    let levels = DefaultLevels { broker: Level::Sync, pubsub: Level::Async };
    let broker = Broker::new(Parts {
        registry,
        doorkeeper,
        accounts,
        limits,
        sessions: UiConfig::default().sessions(),
        levels,
        journal,
        memory,
        directory,
        observing: Default::default(),
    });
    broker.begin(Vec::new(), Vec::new()).await.unwrap();
    broker
}

pub(super) async fn topic(
    broker: &Broker,
    caller: &Caller,
    name: &str,
    level: Level,
) -> TopicHandle {
    let new = NewTopic {
        name: TopicName::parse(name).unwrap(),
        kind: Kind::Broker,
        policy: TopicPolicy { durability: level, ..TopicPolicy::default() },
        queues: vec![(QueueName::default_queue(), QueuePolicy::default())],
        owner: None,
    };
    broker.create_topic(caller, new).await.unwrap()
}

async fn publish(topic: &TopicHandle, body: &'static [u8]) -> Reply {
    let messages = vec![NewMessage::plain(Bytes::from_static(body))];
    topic.ask(Op::Publish { to: None, messages }).await.unwrap()
}

async fn take(topic: &TopicHandle, wait: Option<Duration>) -> Reply {
    let request =
        Receive { max: 10, bytes_max: 1 << 20, ack_deadline: None, take: true, from_back: false };
    topic.ask(Op::Receive { queue: None, request, wait }).await.unwrap()
}

fn bodies(reply: &Reply) -> Vec<&[u8]> {
    let Reply::Delivered(deliveries) = reply else { panic!("{reply:?}") };
    deliveries.iter().map(|delivery| delivery.message.body()).collect()
}

#[actix::test]
async fn a_topic_that_panics_is_rebuilt_while_the_others_run_on() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path()).await;
    let caller = broker.anonymous();
    let weak = topic(&broker, &caller, "weak", Level::Sync).await;
    let steady = topic(&broker, &caller, "steady", Level::Memory).await;
    assert!(matches!(publish(&weak, b"kept").await, Reply::Published(_)));
    publish(&steady, b"in memory").await;

    let waits = tokio::time::timeout(Duration::from_secs(20), async {
        // Somebody waits on an empty queue of the topic that fails.
        assert_eq!(bodies(&take(&weak, None).await), [b"kept"]);
        publish(&weak, b"kept again").await;
        assert_eq!(publish(&weak, POISON).await, Reply::Failed(BrokerError::Unavailable));
        take(&weak, Some(Duration::from_secs(10))).await
    });
    let after = waits.await.expect("the topic answers again, at the same address");
    assert_eq!(bodies(&after), [b"kept again"], "what was confirmed is there, the poison is not");
    assert_eq!(
        bodies(&take(&steady, None).await),
        [b"in memory"],
        "the other topic kept its memory"
    );
    assert_eq!(weak.describe().await.unwrap().restarts, 1);
}

#[actix::test]
async fn a_topic_that_fails_again_and_again_is_given_up_and_the_broker_lives() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path()).await;
    let caller = broker.anonymous();
    let weak = topic(&broker, &caller, "weak", Level::Async).await;
    let steady = topic(&broker, &caller, "steady", Level::Async).await;
    for _ in 0..3 {
        assert_eq!(publish(&weak, POISON).await, Reply::Failed(BrokerError::Unavailable));
    }
    assert_eq!(publish(&weak, b"more").await, Reply::Failed(BrokerError::TopicFailed));
    assert!(matches!(publish(&steady, b"fine").await, Reply::Published(_)));
}
