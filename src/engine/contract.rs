//! One suite that every engine passes, unchanged: what [`Engine`] promises, as a consumer sees it.
//!
//! An engine joins by implementing [`Bench`], and one test that calls [`all`].

mod clearing;
mod consuming;
mod copies;
mod lives;
mod ordering;
mod reading;

pub use clearing::{a_purge_outlives_the_process, a_swept_delivery_may_be_acked};

use super::*;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::mpsc, time::Duration};

/// No answer takes longer in a healthy test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes engines of one sort.
pub trait Bench {
    /// A new topic with these queues.
    fn create(&mut self, definition: TopicDefinition) -> Box<dyn Engine>;
    /// The same topic after the process ended (by a kill when `killed`) and came back.
    fn restart(&mut self, engine: Box<dyn Engine>, killed: bool) -> Box<dyn Engine>;
}

/// An engine with its bell, driven by hand.
struct Subject<'a> {
    bench: &'a mut dyn Bench,
    engine: Option<Box<dyn Engine>>,
    bell: (mpsc::Sender<()>, mpsc::Receiver<()>),
    now: Timestamp,
}

const QUEUE: u32 = 1;
const OTHER: u32 = 2;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl<'a> Subject<'a> {
    fn new(bench: &'a mut dyn Bench, kind: Kind, level: Level) -> Self {
        let definition = TopicDefinition {
            number: 1,
            name: TopicName::parse("orders").unwrap(),
            kind,
            policy: TopicPolicy { durability: level, ..TopicPolicy::default() },
            salt: 77,
            epoch: 5,
            owner: None,
            created_at: Timestamp(1),
        };
        let engine = bench.create(definition);
        // Later than any clock: what a store restores is not delayed by accident.
        let mut subject = Subject {
            bench,
            engine: None,
            bell: mpsc::channel(),
            now: Timestamp(4_000_000_000_000),
        };
        subject.adopt_engine(engine);
        if kind == Kind::Broker {
            subject.add_queue(
                QUEUE,
                "default",
                QueuePolicy { max_deliveries: 2, ..QueuePolicy::default() },
            );
        }
        subject
    }

    fn adopt_engine(&mut self, mut engine: Box<dyn Engine>) {
        let bell = self.bell.0.clone();
        engine.connect(Arc::new(move || {
            let _ = bell.send(());
        }));
        self.engine = Some(engine);
    }

    fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut().unwrap().as_mut()
    }

    fn add_queue(&mut self, number: u32, name: &str, policy: QueuePolicy) {
        let definition = QueueDefinition {
            number,
            topic: 1,
            name: QueueName::parse(name).unwrap(),
            policy,
            created_at: Timestamp(1),
        };
        let added = self.engine().add_queue(definition);
        self.wait(added).unwrap();
    }

    /// Ends the turn and waits for the answer.
    #[track_caller]
    fn wait<T>(&mut self, answer: Answer<T>) -> T {
        let now = self.now;
        self.engine().flush(now);
        let mut later = match answer {
            Answer::Now(value) => return value,
            Answer::Later(later) => later,
        };
        loop {
            if let Ok(value) = later.try_recv() {
                return value;
            }
            self.bell.1.recv_timeout(PATIENCE).expect("the engine rings when it has news");
            self.engine().settle(now);
        }
    }

    #[track_caller]
    fn restart(&mut self, killed: bool) {
        let barrier = self.engine().barrier();
        self.wait(barrier).unwrap();
        if !killed {
            let now = self.now;
            self.engine().close(now);
            let barrier = self.engine().barrier();
            self.wait(barrier).unwrap();
        }
        let engine = self.bench.restart(self.engine.take().unwrap(), killed);
        self.adopt_engine(engine);
    }

    fn message(&self, body: &str) -> NewMessage {
        NewMessage::plain(Bytes::copy_from_slice(body.as_bytes()))
    }

    fn with(&self, body: &str, extra: Extra) -> NewMessage {
        NewMessage::new(Bytes::copy_from_slice(body.as_bytes()), extra)
    }

    #[track_caller]
    fn publish_all(&mut self, messages: Vec<NewMessage>) -> Each<Placed> {
        let now = self.now;
        let answer = self.engine().publish(now, None, messages, false);
        self.wait(answer)
    }

    #[track_caller]
    fn publish(&mut self, bodies: &[&str]) -> Vec<Placed> {
        let messages = bodies.iter().map(|body| self.message(body)).collect();
        self.publish_all(messages).into_iter().map(Result::unwrap).collect()
    }

    #[track_caller]
    fn receive_from(&mut self, queue: u32, max: usize, take: bool) -> Vec<Delivery> {
        let now = self.now;
        let request = Receive {
            max,
            bytes_max: usize::MAX,
            ack_deadline: Some(ms(1000)),
            take,
            from_back: false,
        };
        let answer = self.engine().receive(now, queue, request);
        self.wait(answer).unwrap()
    }

    #[track_caller]
    fn receive(&mut self, max: usize) -> Vec<Delivery> {
        self.receive_from(QUEUE, max, false)
    }

    #[track_caller]
    fn take(&mut self) -> Vec<String> {
        texts(&self.receive_from(QUEUE, 100, true))
    }

    #[track_caller]
    fn ack(&mut self, deliveries: &[Delivery]) -> Each<()> {
        let now = self.now;
        let references = deliveries.iter().map(reference).collect();
        let answer = self.engine().ack(now, references);
        self.wait(answer)
    }

    #[track_caller]
    fn nack(&mut self, delivery: &Delivery, nack: Nack) {
        let now = self.now;
        let answer = self.engine().nack(now, vec![(reference(delivery), nack)]);
        assert_eq!(self.wait(answer), [Ok(())]);
    }

    fn counts(&mut self, queue: u32) -> Counts {
        let answer = self.engine().counts(queue);
        self.wait(answer).unwrap().counts
    }

    fn pass(&mut self, span_ms: u64) {
        self.now = self.now.after(ms(span_ms));
        let now = self.now;
        while self.engine().expire(now).more {}
    }
}

fn reference(delivery: &Delivery) -> Reference {
    Reference::Receipt(delivery.receipt.unwrap())
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries
        .iter()
        .map(|delivery| String::from_utf8_lossy(delivery.message.body()).into_owned())
        .collect()
}

fn gone<T>() -> Result<T, EngineError> {
    Err(EngineError::Refused(Refusal::ReceiptGone))
}

/// Runs every case at every level.
pub fn all(mut make: impl FnMut() -> Box<dyn Bench>) {
    type Case = fn(&mut Subject<'_>);
    let broker: [(&str, Case); 23] = [
        ("a message is received, acked, and then gone", consuming::acked_is_gone),
        ("what is taken is gone at once", consuming::taken_is_gone),
        ("messages come in order, highest priority first", consuming::order),
        ("a message given back returns to its own place", consuming::own_place),
        ("a missed deadline gives back, the last one kills", consuming::deadlines),
        ("a receipt is good once and until its deadline", consuming::receipts),
        ("an extended deadline is later", consuming::extended),
        ("an id as a client says it acks in any state", consuming::acked_by_id),
        ("delayed messages wait, expired ones are gone", consuming::delayed),
        ("every queue has its own copy, by filter", consuming::fan_out),
        ("a dedup key stores once", consuming::dedup),
        ("of an ordering key one is out at a time, in order", ordering::ordering_keys),
        ("dead letters tell why, and can be redriven", consuming::dead_letters),
        ("purge empties, deliveries in flight may finish", clearing::purge),
        (
            "a purged delivery neither comes back nor dies, dead letters stay",
            clearing::purged_for_good,
        ),
        ("what comes back goes to the end the queue names", consuming::to_an_end),
        ("clearing ends what waits and what is in flight", clearing::cleared),
        ("messages can be looked at without taking them", reading::looks),
        ("a bystander reads what came after it", reading::read_after),
        ("copies are messages of their own, each in its queue", copies::copies),
        ("a queue goes to another topic and comes back when it is refused", copies::carried),
        ("what waits can be made to wait until another time", lives::delays),
        ("a life names the doors it went through", lives::doors),
    ];
    let pubsub: [(&str, Case); 4] = [
        ("the history is read in order from a position", reading::history),
        ("the backlog is taken once", reading::backlog),
        ("a reader reads what came after it, of one number for all topics", reading::read_after),
        ("a position of another epoch is told the gap", reading::other_epoch),
    ];
    let durable: [(&str, Case); 8] = [
        (
            "what was cleared stays cleared, with its own place for what came back",
            clearing::cleared_survives,
        ),
        (
            "copies keep their ends and where they came from, moved ones get new ends",
            copies::copies_survive,
        ),
        ("the order of an ordering key survives", ordering::ordering_survives),
        ("ids that publishers chose survive and are taken", consuming::own_ids_survive),
        ("a wait that was changed survives", lives::delays_survive),
        ("the doors of a life survive", lives::doors_survive),
        ("confirmed messages and acks survive", |subject| survives(subject, false)),
        ("confirmed messages and acks survive a kill", |subject| survives(subject, true)),
    ];
    for level in [Level::Memory, Level::Async, Level::Sync] {
        let run = |kind, (name, case): (&str, Case), make: &mut dyn FnMut() -> Box<dyn Bench>| {
            println!("{level:?} {kind:?}: {name}");
            let mut bench = make();
            case(&mut Subject::new(bench.as_mut(), kind, level));
        };
        broker.into_iter().for_each(|case| run(Kind::Broker, case, &mut make));
        pubsub.into_iter().for_each(|case| run(Kind::Pubsub, case, &mut make));
        if level != Level::Memory {
            durable.into_iter().for_each(|case| run(Kind::Broker, case, &mut make));
            run(Kind::Pubsub, ("the history survives", reading::history_survives), &mut make);
        }
    }
}

fn survives(subject: &mut Subject<'_>, killed: bool) {
    subject.add_queue(OTHER, "other", QueuePolicy::default());
    let now = subject.now;
    let later = Extra { deliver_at: Some(now.after(ms(60_000))), ..Extra::default() };
    let own_id =
        Extra { client_id: Some(Bytes::from_static(b"mine")), priority: 2, ..Extra::default() };
    let messages = vec![
        subject.message("acked"),
        subject.message("lent"),
        subject.message("failed"),
        subject.message("dead"),
        subject.with("later", later),
        subject.with("own", own_id),
        subject.message("plain"),
    ];
    let placed = subject.publish_all(messages);
    let first = subject.receive(1);
    assert_eq!(texts(&first), ["own"], "the priority goes first");
    subject.nack(&first[0], Nack::Release { delay: None });
    let got = subject.receive(5);
    assert_eq!(texts(&got), ["own", "acked", "lent", "failed", "dead"]);
    subject.nack(&got[0], Nack::Release { delay: None });
    assert_eq!(subject.ack(&got[1..2]), [Ok(())]);
    subject.nack(&got[3], Nack::Fail { delay: None, error: Some("oops".into()) });
    subject.nack(&got[4], Nack::Dead { error: None });
    subject.restart(killed);
    assert_eq!(subject.ack(&got[2..3]), [gone()], "a receipt of the last run");
    let again = subject.receive(10);
    assert_eq!(texts(&again), ["own", "lent", "failed", "plain"]);
    assert_eq!(again.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>(), [1, 1, 2, 1]);
    assert_eq!(Some(again[3].message.id()), placed[6].as_ref().unwrap().id, "ids stay");
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.dead, counts.delayed), (1, 1));
    let others = texts(&subject.receive_from(OTHER, 10, true));
    assert_eq!(
        others,
        ["own", "acked", "lent", "failed", "dead", "plain"],
        "the other queue has all of it"
    );
    assert_eq!(subject.ack(&again).len(), 4);
    let newer = subject.publish(&["new"]);
    assert!(newer[0].seq > 7, "a sequence number is never given twice");
    subject.restart(killed);
    assert_eq!(subject.take(), ["new"]);
    subject.pass(60_000);
    assert_eq!(subject.take(), ["later"]);
}
