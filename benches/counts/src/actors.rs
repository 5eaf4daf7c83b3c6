//! One pass through the actors, in memory: a caller like a session, the topic's mailbox, the topic,
//! its engine, and the reply; all on one thread, as on a worker where session and topic meet.

use crate::meter::Meter;
use actix::{Actor, System, SystemRunner};
use bytes::Bytes;
use octoq::{
    auth::Accounts,
    broker::{
        Broker, DefaultLevels, Home, Job, Limits, Look, Named, NewTopic, Op, PushFormat, Reply,
        Slot, SlowPolicy, Subscription, TopicHandle, clock, doorkeeper::Doorkeeper, handle::Parts,
        registry::Registry,
    },
    config::{AuthConfig, UiConfig},
    engine::local::{LocalFactory, MemoryBudget},
    journal::{Journal, JournalSettings},
    queue::*,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;

const MESSAGES: usize = 1000;
const BATCH: usize = 100;
const SUBSCRIBERS: usize = 10;
const WARM: usize = 3;
const BODY: &[u8] = &[b'x'; 100];

/// Every section of the actors.
pub fn count(meter: &mut Meter) {
    if !meter.wants("actors") {
        return;
    }
    let folder = std::env::temp_dir().join("store");
    let system = System::new();
    let broker = system.block_on(async { start(&folder).await });
    for (name, batch) in [("one", 1), ("batch-100", BATCH)] {
        let topic = system.block_on(topic(&broker, name, Kind::Broker));
        let mut caller = Caller::of(topic);
        for _ in 0..WARM {
            caller.pass(&system, batch);
        }
        meter.section(&format!("actors/{name}/pass"), MESSAGES, || caller.pass(&system, batch));
    }
    let topic = system.block_on(topic(&broker, "feed", Kind::Pubsub));
    let mut subscriptions = system.block_on(subscribe(&topic));
    let mut caller = Caller::of(topic);
    for _ in 0..WARM {
        caller.push(&system, &mut subscriptions);
    }
    meter.section("actors/batch-100/push-to-10", MESSAGES, || {
        caller.push(&system, &mut subscriptions);
    });
}

/// The actors of a broker on this thread, without doors.
async fn start(folder: &std::path::Path) -> Broker {
    let settings = JournalSettings {
        path: folder.to_owned(),
        queue_max: 64,
        commit_records_max: 4096,
        commit_bytes_max: 4 << 20,
        sync_interval: Duration::from_secs(1),
        reserve_bytes: 1 << 16,
        cache_bytes: 1 << 20,
    };
    let (journal, _) = Journal::open(settings).expect("a store");
    let memory = Arc::new(MemoryBudget::new(64 << 20));
    let factory = LocalFactory::new(journal.clone(), memory.clone(), clock::now);
    let limits = Arc::new(Limits::default());
    let registry = Registry::new(Arc::new(factory), (0, 0), limits.clone());
    let directory = registry.version();
    let registry = registry.start();
    let (doorkeeper, accounts) =
        Doorkeeper::start_with(Accounts::default(), journal.clone(), &AuthConfig::default());
    let broker = Broker::new(Parts {
        registry,
        doorkeeper,
        accounts,
        limits,
        sessions: UiConfig::default().sessions(),
        levels: DefaultLevels { broker: Level::Memory, pubsub: Level::Memory },
        journal,
        memory,
        directory,
        observing: Default::default(),
    });
    broker.begin(Vec::new(), Vec::new()).await.expect("the registry is there");
    broker
}

async fn topic(broker: &Broker, name: &str, kind: Kind) -> TopicHandle {
    let queues = match kind {
        Kind::Broker => vec![(QueueName::default_queue(), QueuePolicy::default())],
        Kind::Pubsub => Vec::new(),
    };
    let policy = TopicPolicy {
        durability: Level::Memory,
        history_messages: MESSAGES as u64,
        ..TopicPolicy::default()
    };
    let name = TopicName::parse(name).expect("a name");
    let new = NewTopic { name, kind, policy, queues, owner: None };
    broker.create_topic(&broker.anonymous(), new).await.expect("a topic")
}

/// A job that came home.
type Answered = (u64, Vec<Slot>);

/// Asks a topic as a session does: with jobs that come home through its channel.
struct Caller {
    topic: TopicHandle,
    home: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
}

impl Caller {
    fn of(topic: TopicHandle) -> Caller {
        Caller { topic, home: mpsc::channel(4) }
    }

    async fn ask(&mut self, op: Op) -> Reply {
        let home = Home::Channel(self.home.0.clone());
        self.topic.submit(Job::new(vec![Slot::Op(op)], home, 0));
        let (_, slots) = self.home.1.recv().await.expect("it comes home");
        match slots.into_iter().next() {
            Some(Slot::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    async fn publish(&mut self, count: usize) {
        let message = || NewMessage::plain(Bytes::from_static(BODY));
        let messages = (0..count).map(|_| message()).collect();
        match self.ask(Op::Publish { to: None, messages }).await {
            Reply::Published(results) => assert!(results.iter().all(Result::is_ok)),
            other => panic!("{other:?}"),
        }
    }

    /// Publish, deliver, ack: so many at a time.
    fn pass(&mut self, system: &SystemRunner, batch: usize) {
        system.block_on(async {
            for _ in 0..MESSAGES / batch {
                self.publish(batch).await;
                let request = Receive {
                    max: batch,
                    bytes_max: usize::MAX,
                    ack_deadline: None,
                    take: false,
                    from_back: false,
                };
                let reply = self.ask(Op::Receive { queue: None, request, wait: None }).await;
                let Reply::Delivered(deliveries) = reply else { panic!("{reply:?}") };
                let receipts = deliveries.iter().filter_map(|delivery| delivery.receipt);
                let named: Vec<_> = receipts.map(Named::Receipt).collect();
                assert_eq!(named.len(), batch);
                let reply = self.ask(Op::Ack(named)).await;
                let Reply::Done(results) = reply else { panic!("{reply:?}") };
                assert!(results.iter().all(Result::is_ok));
            }
        });
    }

    /// Publishes, and reads at each subscriber what it is pushed.
    fn push(&mut self, system: &SystemRunner, subscriptions: &mut [Subscription]) {
        system.block_on(async {
            for _ in 0..MESSAGES / BATCH {
                self.publish(BATCH).await;
                for subscription in &mut *subscriptions {
                    let mut bytes = 0;
                    while bytes < BATCH * BODY.len() {
                        bytes += subscription.chunk().await.expect("it goes on").len();
                    }
                }
            }
        });
    }
}

async fn subscribe(topic: &TopicHandle) -> Vec<Subscription> {
    const FORMAT: PushFormat = PushFormat {
        name: "counts",
        message: |_, message, out| out.extend_from_slice(message.body()),
        gap: |_, _, _| (),
    };
    let mut subscriptions = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let look = Look::from(FORMAT);
        let subscription = topic.subscribe(None, look, SlowPolicy::Disconnect).await;
        subscriptions.push(subscription.expect("a subscription"));
    }
    subscriptions
}
