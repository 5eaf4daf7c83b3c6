//! The contract, kept on disk; and bodies that are read while their messages go.

use super::*;
use crate::engine::contract::{self, Bench};
use crate::journal::{Catalog, JournalSettings};

struct OnDisk {
    folder: tempfile::TempDir,
    journal: Option<Journal>,
    memory_bytes: u64,
}

impl OnDisk {
    fn new(memory_bytes: u64) -> Self {
        OnDisk { folder: tempfile::tempdir().unwrap(), journal: None, memory_bytes }
    }

    fn open(&mut self) -> (LocalFactory, Catalog) {
        let settings = JournalSettings {
            path: self.folder.path().join("store"),
            queue_max: 64,
            commit_records_max: 4096,
            commit_bytes_max: 4 << 20,
            sync_interval: Duration::from_millis(20),
            reserve_bytes: 1 << 16,
            cache_bytes: 1 << 20,
        };
        let (journal, catalog) = Journal::open(settings).unwrap();
        self.journal = Some(journal.clone());
        let memory = Arc::new(MemoryBudget::new(self.memory_bytes));
        (LocalFactory::new(journal, memory, || Timestamp(4_000_000_000_000)), catalog)
    }
}

impl Bench for OnDisk {
    fn create(&mut self, definition: TopicDefinition) -> Box<dyn Engine> {
        self.open().0.create(definition)
    }

    fn restart(&mut self, engine: Box<dyn Engine>, killed: bool) -> Box<dyn Engine> {
        let journal = self.journal.take().unwrap();
        if !killed {
            journal.close().unwrap();
        }
        // The last handle ends the threads and gives the lock back.
        drop((engine, journal));
        let (factory, catalog) = self.open();
        let mut engines = factory.open_all(&catalog).unwrap();
        assert_eq!(engines.len(), 1);
        engines.remove(0)
    }
}

#[test]
fn the_local_engine_keeps_the_contract() {
    contract::all(|| Box::new(OnDisk::new(1 << 20)));
}

/// An engine whose every body is on disk, with one message in its one queue.
struct Cold {
    now: Timestamp,
    engine: LocalEngine,
    bell: mpsc::Receiver<()>,
    _bench: OnDisk,
}

impl Cold {
    fn new(settled: bool) -> Cold {
        let now = Timestamp(4_000_000_000_000);
        let mut bench = OnDisk::new(0);
        let (factory, _) = bench.open();
        let definition = TopicDefinition {
            number: 1,
            name: TopicName::parse("t").unwrap(),
            kind: Kind::Broker,
            policy: TopicPolicy::default(),
            salt: 1,
            epoch: 1,
            owner: None,
            created_at: now,
        };
        let mut engine = factory.empty(definition);
        let (rings, bell) = mpsc::channel();
        engine.connect(Arc::new(move || {
            let _ = rings.send(());
        }));
        let queue = QueueDefinition {
            number: 1,
            topic: 1,
            name: QueueName::parse("q").unwrap(),
            policy: QueuePolicy::default(),
            created_at: now,
        };
        drop(engine.add_queue(queue));
        let mut cold = Cold { now, engine, bell, _bench: bench };
        let body = NewMessage::plain(Bytes::from("body"));
        drop(cold.engine.publish(now, None, vec![body], false));
        if settled {
            cold.engine.flush(now);
            while cold.engine.pipeline.in_store() > 0 {
                cold.turn();
            }
        }
        cold
    }

    fn turn(&mut self) {
        self.bell.recv_timeout(Duration::from_secs(20)).expect("the engine has news");
        self.engine.settle(self.now);
    }

    /// Asks for the message.
    fn receive(&mut self, take: bool) -> oneshot::Receiver<Whole<Vec<Delivery>>> {
        let request =
            Receive { max: 1, bytes_max: usize::MAX, ack_deadline: None, take, from_back: false };
        match self.engine.receive(self.now, 1, request) {
            Answer::Later(got) => got,
            Answer::Now(_) => panic!("the body is on disk"),
        }
    }

    /// What comes of `last`, before which the deliveries come.
    fn end<T>(
        &mut self,
        mut got: oneshot::Receiver<Whole<Vec<Delivery>>>,
        last: Answer<Whole<T>>,
    ) -> (Vec<Delivery>, T) {
        let Answer::Later(mut last) = last else { panic!("the body is not read yet") };
        let told =
            |record: &Record| matches!(record, Record::Purged { .. } | Record::QueueDropped { .. });
        assert!(!self.engine.ledger.records.iter().any(told), "the store hears of it later");
        self.engine.flush(self.now);
        let mut deliveries = None;
        let value = loop {
            self.turn();
            if let Ok(answer) = got.try_recv() {
                deliveries = Some(answer.unwrap());
            }
            if let Ok(answer) = last.try_recv() {
                break answer.unwrap();
            }
        };
        let deliveries = deliveries.expect("the delivery comes before the last is confirmed");
        assert_eq!(deliveries[0].message.body(), b"body");
        (deliveries, value)
    }
}

/// What was asked first is answered first, though the purge took the row away.
#[test]
fn a_purge_goes_to_the_store_behind_the_bodies_that_were_granted_before() {
    for settled in [true, false] {
        let mut cold = Cold::new(settled);
        let got = cold.receive(false);
        let purged = cold.engine.purge(cold.now, 1);
        let (deliveries, removed) = cold.end(got, purged);
        assert_eq!(removed, 0);
        let receipt = Reference::Receipt(deliveries[0].receipt.unwrap());
        let Answer::Later(mut acked) = cold.engine.ack(cold.now, vec![receipt]) else {
            panic!("an ack is stored")
        };
        cold.engine.flush(cold.now);
        let acked = loop {
            cold.turn();
            if let Ok(answer) = acked.try_recv() {
                break answer;
            }
        };
        assert_eq!(acked, [Ok(())]);
    }
}

/// The same of a queue that is dropped; its receipts are gone.
#[test]
fn a_queue_is_dropped_behind_the_bodies_that_were_granted_before() {
    for (settled, take) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut cold = Cold::new(settled);
        let got = cold.receive(take);
        let dropped = cold.engine.drop_queue(1);
        let (deliveries, ()) = cold.end(got, dropped);
        assert_eq!(deliveries[0].receipt.is_none(), take);
        assert_eq!(cold.engine.queues(), []);
        if let Some(receipt) = deliveries[0].receipt {
            let Answer::Now(acked) = cold.engine.ack(cold.now, vec![Reference::Receipt(receipt)])
            else {
                panic!("nothing is stored")
            };
            assert_eq!(acked, [Err(Refusal::ReceiptGone.into())]);
        }
    }
}

/// The store need not have what was purged in flight: that is no damage.
#[test]
fn a_body_that_the_store_let_go_of_is_not_shown_and_no_damage() {
    contract::a_swept_delivery_may_be_acked(&mut OnDisk::new(0));
}

#[test]
fn a_purge_outlives_the_process() {
    for memory_bytes in [0, 1 << 20] {
        contract::a_purge_outlives_the_process(&mut || Box::new(OnDisk::new(memory_bytes)));
    }
}

#[test]
fn it_keeps_the_contract_with_every_body_on_disk() {
    contract::all(|| Box::new(NoMemory(OnDisk::new(0))));
}

/// Stored topics keep no body in memory at all; those in memory still do.
struct NoMemory(OnDisk);

impl Bench for NoMemory {
    fn create(&mut self, definition: TopicDefinition) -> Box<dyn Engine> {
        self.0.memory_bytes =
            if definition.policy.durability == Level::Memory { 1 << 20 } else { 0 };
        self.0.create(definition)
    }

    fn restart(&mut self, engine: Box<dyn Engine>, killed: bool) -> Box<dyn Engine> {
        self.0.restart(engine, killed)
    }
}
