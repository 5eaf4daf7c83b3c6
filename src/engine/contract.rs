//! One suite that every engine passes, unchanged: what [`Engine`] promises, as a consumer sees it.
//!
//! An engine joins by implementing [`Bench`], and one test that calls [`all`].

mod lives;

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
        ("a message is received, acked, and then gone", acked_is_gone),
        ("what is taken is gone at once", taken_is_gone),
        ("messages come in order, highest priority first", order),
        ("a message given back returns to its own place", own_place),
        ("a missed deadline gives back, the last one kills", deadlines),
        ("a receipt is good once and until its deadline", receipts),
        ("an extended deadline is later", extended),
        ("an id as a client says it acks in any state", acked_by_id),
        ("delayed messages wait, expired ones are gone", delayed),
        ("every queue has its own copy, by filter", fan_out),
        ("a dedup key stores once", dedup),
        ("of an ordering key one is out at a time, in order", ordering_keys),
        ("dead letters tell why, and can be redriven", dead_letters),
        ("purge empties, deliveries in flight may finish", purge),
        ("a purged delivery neither comes back nor dies, dead letters stay", purged_for_good),
        ("what comes back goes to the end the queue names", to_an_end),
        ("clearing ends what waits and what is in flight", cleared),
        ("messages can be looked at without taking them", looks),
        ("a bystander reads what came after it", read_after),
        ("copies are messages of their own, each in its queue", copies),
        ("a queue goes to another topic and comes back when it is refused", carried),
        ("what waits can be made to wait until another time", lives::delays),
        ("a life names the doors it went through", lives::doors),
    ];
    let pubsub: [(&str, Case); 4] = [
        ("the history is read in order from a position", history),
        ("the backlog is taken once", backlog),
        ("a reader reads what came after it, of one number for all topics", read_after),
        ("a position of another epoch is told the gap", other_epoch),
    ];
    let durable: [(&str, Case); 8] = [
        ("what was cleared stays cleared, with its own place for what came back", cleared_survives),
        (
            "copies keep their ends and where they came from, moved ones get new ends",
            copies_survive,
        ),
        ("the order of an ordering key survives", ordering_survives),
        ("ids that publishers chose survive and are taken", own_ids_survive),
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
            run(Kind::Pubsub, ("the history survives", history_survives), &mut make);
        }
    }
}

fn read_after(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let read = |subject: &mut Subject<'_>, cursor: &mut Cursor, want| -> Vec<String> {
        let now = subject.now;
        let answer = subject.engine().read_after(now, QUEUE, cursor, want);
        let messages = subject.wait(answer).unwrap();
        messages.iter().map(|it| String::from_utf8_lossy(it.body()).into_owned()).collect()
    };
    let mut first = Cursor::behind(0, usize::MAX);
    assert_eq!(read(subject, &mut first, Want::Oldest(1)), ["a"]);
    let mut start = first;
    assert_eq!(read(subject, &mut start, Want::Newest), ["b"]);
    assert_eq!(read(subject, &mut start, Want::Newest), [""; 0]);

    // What is not in the store yet is read, and the answer waits for it.
    let now = subject.now;
    let messages = vec![subject.message("c"), subject.message("d")];
    let published = subject.engine().publish(now, None, messages, false);
    let early = subject.engine().read_after(now, QUEUE, &mut start, Want::Oldest(9));
    let position = start.number;
    let early = subject.wait(early).unwrap();
    assert!(subject.wait(published).iter().all(Result::is_ok));
    assert_eq!(early.iter().map(|it| it.body().to_vec()).collect::<Vec<_>>(), [b"c", b"d"]);
    assert_eq!(early.last().map(|last| last.number), Some(position));

    // Cut by its bytes: of what lies on disk as well.
    first.bytes_left = 2;
    assert_eq!(read(subject, &mut first, Want::Oldest(9)), ["b", "c"]);
    assert!(first.cut);
    first.bytes_left = usize::MAX;
    assert_eq!(read(subject, &mut first, Want::Oldest(9)), ["d"]);
    assert_eq!((first.cut, first.number), (false, start.number));
}

fn to_an_end(subject: &mut Subject<'_>) {
    for (number, name, returns, order) in [
        // The latest first, and the batch in its own order.
        (5, "front", Returns::Front, ["a", "c", "d", "b"]),
        (6, "back", Returns::Back, ["b", "d", "a", "c"]),
    ] {
        let (max_deliveries, ack_deadline_ms) = (0, 1000);
        let policy =
            QueuePolicy { returns, max_deliveries, ack_deadline_ms, ..QueuePolicy::default() };
        subject.add_queue(number, name, policy);
        let messages = ["a", "b", "c", "d"].map(|body| subject.message(body)).to_vec();
        let now = subject.now;
        let placed = subject.engine().publish(now, Some(number), messages, false);
        assert!(subject.wait(placed).iter().all(Result::is_ok));
        assert!(subject.engine().is_ready(number));
        let got = subject.receive_from(number, 4, false);
        assert!(!subject.engine().is_ready(number));
        subject.nack(&got[1], Nack::Release { delay: None });
        subject.nack(&got[3], Nack::Release { delay: None });
        let both = [&got[0], &got[2]];
        let batch = both.map(|held| (reference(held), Nack::Release { delay: None })).to_vec();
        let answer = subject.engine().nack(now, batch);
        assert_eq!(subject.wait(answer), [Ok(()), Ok(())]);
        assert_eq!(texts(&subject.receive_from(number, 4, true)), order, "{name}");
    }
}

fn publish_copies(subject: &mut Subject<'_>, body: &str) -> Vec<PlacedCopy> {
    let (now, message) = (subject.now, subject.message(body));
    let answer = subject.engine().publish_copies(now, message);
    subject.wait(answer).unwrap()
}

/// Acks by origin; whether there was something to ack.
fn ack_origin(subject: &mut Subject<'_>, queue: Option<u32>, origin: Origin) -> bool {
    let now = subject.now;
    let answer = subject.engine().ack(now, vec![Reference::Origin { queue, origin }]);
    match subject.wait(answer).remove(0) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, EngineError::Refused(Refusal::MessageNotFound));
            false
        }
    }
}

fn copies(subject: &mut Subject<'_>) {
    let policy = QueuePolicy { retention_ms: 5000, ..QueuePolicy::default() };
    subject.add_queue(OTHER, "other", policy);
    let made = publish_copies(subject, "copy");
    let ends: Vec<Timestamp> = made.iter().map(|copy| copy.expires_at).collect();
    assert_eq!(ends, [Timestamp::NEVER, subject.now.after(ms(5000))]);
    assert_ne!(made[0].origin, made[1].origin);
    let held = subject.receive(1);
    assert_eq!(held[0].message.origin(), made[0].origin);
    assert!(held[0].message.lone);
    assert!(ack_origin(subject, None, made[0].origin), "in flight");
    assert!(!ack_origin(subject, None, made[0].origin), "gone");
    assert_eq!(subject.ack(&held), [gone()]);
    assert!(ack_origin(subject, Some(OTHER), made[1].origin), "never handed out");
    publish_copies(subject, "ends");
    assert_eq!(subject.take(), ["ends"]);
    subject.pass(5000);
    assert_eq!(subject.counts(OTHER).ready, 0);
}

fn carried(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let held = subject.receive(1);
    let now = subject.now;
    let detached = subject.engine().detach(now, QUEUE);
    let mut detached = subject.wait(detached).unwrap();
    let name = detached.definition.name.clone();
    subject.add_queue(OTHER, &name.to_string(), QueuePolicy::default());
    detached = match subject.engine().attach(now, detached) {
        Err(refused) => refused,
        Ok(_) => panic!("two queues of one name"),
    };
    let dropped = subject.engine().drop_queue(OTHER);
    subject.wait(dropped).unwrap();
    let attached = match subject.engine().attach(now, detached) {
        Ok(attached) => attached,
        Err(_) => panic!("there is room"),
    };
    subject.wait(attached).unwrap();
    assert_eq!(subject.engine().strangers(), 2);
    assert_eq!(subject.ack(&held), [Ok(())], "a receipt stays good");
    assert_eq!(subject.take(), ["b"]);
}

fn copies_survive(subject: &mut Subject<'_>) {
    let policy = QueuePolicy { retention_ms: 50_000, ..QueuePolicy::default() };
    subject.add_queue(OTHER, "other", policy.clone());
    let made = publish_copies(subject, "copy");
    let now = subject.now.after(ms(10_000));
    subject.now = now;
    let to = Target::new(OTHER, &policy);
    let moved = subject.engine().transfer(now, QUEUE, Selection::Oldest(1), to);
    assert_eq!(subject.wait(moved), Ok(1));
    // Messages that are there keep their ends.
    let forever = QueuePolicy::default();
    let set = subject.engine().set_queue(now, OTHER, forever, None);
    subject.wait(set).unwrap();
    subject.restart(true);
    let found = subject.receive_from(OTHER, 10, false);
    let seen = |delivery: &Delivery| {
        (delivery.message.origin(), delivery.expires_at, delivery.message.lone)
    };
    let mut found: Vec<_> = found.iter().map(seen).collect();
    found.sort_by_key(|(origin, ..)| origin.seq);
    let expected =
        [(made[0].origin, now.after(ms(50_000)), true), (made[1].origin, made[1].expires_at, true)];
    assert_eq!(found, expected);
    assert!(ack_origin(subject, None, made[0].origin));
    assert!(ack_origin(subject, None, made[1].origin));
}

fn cleared(subject: &mut Subject<'_>) {
    subject.publish(&["held", "waits"]);
    let held = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().clear(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    assert_eq!(subject.ack(&held), [gone()]);
    subject.pass(60_000);
    assert_eq!(subject.take(), [""; 0]);
}

fn cleared_survives(subject: &mut Subject<'_>) {
    let policy =
        QueuePolicy { returns: Returns::Front, max_deliveries: 0, ..QueuePolicy::default() };
    let now = subject.now;
    let set = subject.engine().set_queue(now, QUEUE, policy, None);
    subject.wait(set).unwrap();
    subject.add_queue(OTHER, "other", QueuePolicy::default());
    subject.publish(&["held", "waits"]);
    subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().clear(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(3);
    subject.nack(&got[2], Nack::Fail { delay: None, error: None });
    subject.restart(true);
    assert_eq!(subject.take(), ["a", "b", "c"]);
    let others = subject.receive_from(OTHER, 10, true);
    assert_eq!(texts(&others), ["held", "waits", "a", "b", "c"]);
}

fn acked_is_gone(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a", "b"]);
    assert_eq!(placed.iter().map(|placed| placed.seq).collect::<Vec<_>>(), [1, 2]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a", "b"]);
    assert_eq!(Some(got[0].message.id()), placed[0].id);
    assert_eq!((got[0].attempt, got[0].deadline), (1, subject.now.after(ms(1000))));
    assert_eq!(subject.ack(&got), [Ok(()), Ok(())]);
    assert_eq!(subject.counts(QUEUE), Counts::default());
    subject.pass(2000);
    assert!(subject.take().is_empty());
}

fn ack_ids(subject: &mut Subject<'_>, ids: &[&[u8]]) -> Each<()> {
    let mut list = IdList::default();
    ids.iter().for_each(|id| list.push(id));
    let now = subject.now;
    let answer = subject.engine().ack_ids(now, QUEUE, &list);
    subject.wait(answer)
}

fn acked_by_id(subject: &mut Subject<'_>) {
    let messages = vec![NewMessage::with_id(b"lent", b"a"), NewMessage::with_id(b"ready", b"b")];
    let placed = subject.publish_all(messages);
    assert!(placed.iter().flatten().all(|placed| placed.id.is_none()), "those they came with");
    let made = subject.publish(&["c"]).remove(0).id.unwrap().to_string();
    assert_eq!(texts(&subject.receive(1)), ["a"]);
    let gone = || Err(Refusal::MessageNotFound.into());
    let ids = [&b"ready"[..], b"ready", b"unknown", b"lent", made.as_bytes()];
    assert_eq!(ack_ids(subject, &ids), [Ok(()), gone(), gone(), Ok(()), Ok(())]);
    assert_eq!(subject.counts(QUEUE), Counts::default());
}

fn own_ids_survive(subject: &mut Subject<'_>) {
    let named = |id: &'static str| NewMessage::with_id(id.as_bytes(), id.to_uppercase().as_bytes());
    for placed in subject.publish_all(vec![named("a"), named("b"), named("c")]) {
        placed.unwrap();
    }
    assert_eq!(ack_ids(subject, &[b"b"]), [Ok(())]);
    subject.restart(true);
    let got = subject.receive(9);
    assert_eq!(texts(&got), ["A", "C"]);
    let ids: Vec<_> = got.iter().map(|delivery| delivery.message.own_id()).collect();
    assert_eq!(ids, [Some(&b"a"[..]), Some(b"c")]);
    let again = subject.publish_all(vec![named("a"), named("b")]);
    assert_eq!(again[0].as_ref().err(), Some(&Refusal::DuplicateId.into()));
    assert!(again[1].is_ok(), "it was acked");
}

fn taken_is_gone(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let got = subject.receive_from(QUEUE, 10, true);
    assert_eq!((texts(&got), got[0].receipt), (vec!["a".to_owned()], None));
    assert_eq!(subject.counts(QUEUE), Counts::default());
}

fn order(subject: &mut Subject<'_>) {
    let priority = |priority| Extra { priority, ..Extra::default() };
    let front = Extra { front: true, ..Extra::default() };
    let messages = vec![
        subject.message("a"),
        subject.with("urgent", priority(9)),
        subject.message("b"),
        subject.with("first", front),
        subject.with("sooner", priority(3)),
    ];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    assert_eq!(subject.take(), ["urgent", "sooner", "first", "a", "b"]);
}

fn own_place(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(2);
    subject.nack(&got[1], Nack::Release { delay: None });
    subject.nack(&got[0], Nack::Fail { delay: None, error: None });
    let again = subject.receive(10);
    assert_eq!(texts(&again), ["a", "b", "c"]);
    let attempts: Vec<u32> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [2, 1, 1], "a release does not count");
    subject.nack(&again[0], Nack::Release { delay: Some(ms(500)) });
    assert!(subject.take().is_empty());
    subject.pass(500);
    assert_eq!(subject.take(), ["a"]);
}

fn deadlines(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let first = subject.receive(1);
    subject.pass(999);
    assert_eq!(subject.counts(QUEUE).in_flight, 1);
    subject.pass(20);
    assert_eq!(subject.counts(QUEUE).ready, 1);
    assert_eq!(subject.ack(&first), [gone()]);
    assert_eq!(subject.receive(1)[0].attempt, 2);
    subject.pass(1100);
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.ready, counts.dead), (0, 1), "two deliveries are allowed");
}

fn receipts(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let got = subject.receive(2);
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    assert_eq!(subject.ack(&got), [gone(), Ok(())], "each item has its own result");
    let never = Receipt { queue: QUEUE, slot: 900, stamp: 1 };
    let now = subject.now;
    let answer = subject.engine().ack(now, vec![Reference::Receipt(never)]);
    assert_eq!(subject.wait(answer), [gone()]);
}

fn extended(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a"]);
    let got = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().extend(now, vec![(reference(&got[0]), ms(5000))]);
    assert_eq!(subject.wait(answer), [Ok(now.after(ms(5000)))]);
    subject.pass(4000);
    assert_eq!(subject.counts(QUEUE).in_flight, 1);
    let (now, by_id) =
        (subject.now, Reference::Id { queue: QUEUE, id: placed[0].id.clone().unwrap() });
    let answer = subject.engine().ack(now, vec![by_id]);
    assert_eq!(subject.wait(answer), [Ok(())], "by id, too");
}

fn delayed(subject: &mut Subject<'_>) {
    let now = subject.now;
    let later = Extra { deliver_at: Some(now.after(ms(300))), ..Extra::default() };
    let short = Extra { expires_at: Some(now.after(ms(200))), ..Extra::default() };
    let messages =
        vec![subject.with("later", later), subject.with("short", short), subject.message("now")];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.delayed, counts.ready), (1, 2));
    assert!(subject.engine().next_deadline().is_some_and(|next| next <= now.after(ms(300))));
    subject.pass(250);
    assert_eq!(subject.take(), ["now"]);
    subject.pass(50);
    assert_eq!(subject.take(), ["later"]);
}

fn fan_out(subject: &mut Subject<'_>) {
    let filter = Filter(BTreeMap::from([("kind".to_owned(), vec!["x".to_owned()])]));
    subject.add_queue(
        OTHER,
        "other",
        QueuePolicy { filter: Some(filter), ..QueuePolicy::default() },
    );
    let attributes = Extra { attributes: Some(r#"{"kind":"x"}"#.into()), ..Extra::default() };
    let messages = vec![subject.message("plain"), subject.with("both", attributes)];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    assert_eq!(texts(&subject.receive_from(OTHER, 10, true)), ["both"]);
    assert_eq!(subject.take(), ["plain", "both"], "the other queue's taking changed nothing here");
    let now = subject.now;
    let direct = vec![subject.message("direct")];
    let answer = subject.engine().publish(now, Some(OTHER), direct, false);
    assert!(subject.wait(answer)[0].is_ok());
    assert_eq!(texts(&subject.receive_from(OTHER, 10, true)), ["direct"]);
    assert!(subject.take().is_empty());
}

fn dedup(subject: &mut Subject<'_>) {
    let keyed = || Extra { dedup_key: Some(Bytes::from_static(b"k")), ..Extra::default() };
    let messages = vec![subject.with("one", keyed()), subject.with("two", keyed())];
    let placed: Vec<_> = subject.publish_all(messages).into_iter().map(Result::unwrap).collect();
    assert!(!placed[0].duplicate && placed[1].duplicate);
    assert_eq!(placed[0].id, placed[1].id);
    assert_eq!(subject.take(), ["one"]);
    subject.pass(300_001);
    let again = vec![subject.with("three", keyed())];
    assert!(!subject.publish_all(again)[0].as_ref().unwrap().duplicate);
    assert_eq!(subject.take(), ["three"]);
}

/// Publishes these, each with the ordering key that its text begins with.
fn publish_keyed(subject: &mut Subject<'_>, bodies: &[&str]) {
    let key = |body: &str| Some(Bytes::copy_from_slice(&body.as_bytes()[..1]));
    let message = |body| subject.with(body, Extra { ordering_key: key(body), ..Extra::default() });
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
}

fn ordering_keys(subject: &mut Subject<'_>) {
    publish_keyed(subject, &["a1", "a2", "b1", "a3"]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a1", "b1"], "one of each key");
    assert_eq!(got[0].message.ordering_key(), Some(&b"a"[..]));
    assert_eq!(subject.counts(QUEUE).ready, 2);
    assert!(!subject.engine().is_ready(QUEUE));
    subject.engine().take_freed();
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    assert!(subject.engine().take_freed() && !subject.engine().take_freed());
    let second = subject.receive(10);
    assert_eq!(texts(&second), ["a2"]);
    subject.nack(&second[0], Nack::Fail { delay: Some(ms(50)), error: None });
    assert!(subject.receive(10).is_empty(), "what waits after a failure holds up its key");
    subject.pass(51);
    let second = subject.receive(10);
    assert_eq!(texts(&second), ["a2"]);
    subject.nack(&second[0], Nack::Dead { error: None });
    assert_eq!(texts(&subject.receive(10)), ["a3"], "a dead letter holds up nobody");
    let nameless = Extra { ordering_key: Some(Bytes::new()), ..Extra::default() };
    let refused = subject.publish_all(vec![subject.with("x", nameless)]).remove(0);
    assert_eq!(refused, Err(Refusal::OutOfBounds("ordering_key").into()));
}

fn ordering_survives(subject: &mut Subject<'_>) {
    publish_keyed(subject, &["a1", "a2", "b1", "b2"]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a1", "b1"]);
    subject.nack(&got[0], Nack::Release { delay: Some(ms(50)) });
    subject.restart(true);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["b1"], "what waits for a time holds up its key");
    assert_eq!(got[0].message.ordering_key(), Some(&b"b"[..]));
    subject.pass(51);
    assert_eq!(texts(&subject.receive(10)), ["a1"]);
}

fn dead_letters(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let got = subject.receive(1);
    subject.nack(&got[0], Nack::Dead { error: Some("broken".into()) });
    assert_eq!(subject.counts(QUEUE).dead, 1);
    let answer = subject.engine().list(QUEUE, State::Dead, None, 10, 100);
    let page = subject.wait(answer).unwrap();
    let letter = page.views[0].dead.clone().unwrap();
    assert_eq!((letter.reason, letter.attempts), (record::DeadReason::Rejected, 1));
    assert_eq!(letter.failures[0].error.as_deref(), Some("broken"));
    let now = subject.now;
    let answer = subject.engine().redrive(now, QUEUE, Selection::Oldest(10), None);
    assert_eq!(subject.wait(answer), Ok(1));
    let again = subject.receive(1);
    assert_eq!((texts(&again), again[0].attempt), (vec!["a".to_owned()], 1));
}

fn purge(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    assert!(subject.take().is_empty());
    assert_eq!(subject.ack(&got), [Ok(())]);
    subject.publish(&["d"]);
    subject.pass(1);
    assert_eq!(subject.take(), ["d"]);
}

/// A queue with one message in each state that a purge meets; those in flight come back.
fn of_every_state(subject: &mut Subject<'_>) -> Vec<Delivery> {
    subject.add_queue(OTHER, "other", QueuePolicy::default());
    subject.publish(&["acked", "failed", "rejected", "missed", "dead", "returned", "ready"]);
    let late = Extra { deliver_at: Some(subject.now.after(ms(50))), ..Extra::default() };
    let late = subject.with("late", late);
    subject.publish_all(vec![late]);
    let mut got = subject.receive(6);
    subject.nack(&got[4], Nack::Dead { error: None });
    subject.nack(&got[5], Nack::Fail { delay: None, error: None });
    got.truncate(4);
    // As often as it may be delivered.
    let fail = Nack::Fail { delay: None, error: None };
    subject.nack(&got[1], fail);
    got[1] = subject.receive(1).remove(0);
    assert_eq!((texts(&got)[1].as_str(), got[1].attempt), ("failed", 2));
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(3));
    got
}

#[track_caller]
fn only_the_dead_letter_is_left(subject: &mut Subject<'_>) {
    let left = Counts { dead: 1, bytes: 4, ..Counts::default() };
    assert_eq!(subject.counts(QUEUE), left);
    let answer = subject.engine().list(QUEUE, State::Dead, None, 9, 1000);
    assert_eq!(subject.wait(answer).unwrap().views[0].message.body(), b"dead");
}

fn purged_for_good(subject: &mut Subject<'_>) {
    let got = of_every_state(subject);
    assert_eq!(subject.counts(QUEUE).in_flight, 4);
    let fail = Nack::Fail { delay: None, error: None };
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    subject.nack(&got[1], fail);
    subject.nack(&got[2], Nack::Dead { error: None });
    subject.pass(60_000);
    only_the_dead_letter_is_left(subject);
    let all = ["acked", "failed", "rejected", "missed", "dead", "returned", "ready", "late"];
    assert_eq!(texts(&subject.receive_from(OTHER, 9, false)), all);
    let now = subject.now;
    let answer = subject.engine().redrive(now, QUEUE, Selection::Oldest(9), None);
    assert_eq!(subject.wait(answer), Ok(1));
    assert_eq!(subject.take(), ["dead"]);
}

/// The same, with the end of the process before the deliveries end: for engines that come back.
pub fn a_purge_outlives_the_process(make: &mut dyn FnMut() -> Box<dyn Bench>) {
    for killed in [false, true] {
        let mut bench = make();
        let mut subject = Subject::new(bench.as_mut(), Kind::Broker, Level::Sync);
        let subject = &mut subject;
        let got = of_every_state(subject);
        subject.restart(killed);
        only_the_dead_letter_is_left(subject);
        for delivery in &got {
            assert_eq!(subject.ack(std::slice::from_ref(delivery)), [gone()]);
        }
        subject.pass(60_000);
        only_the_dead_letter_is_left(subject);
        let others = texts(&subject.receive_from(OTHER, 99, true));
        assert_eq!((others.len(), others[0].as_str()), (8, "acked"));
        subject.restart(killed);
        only_the_dead_letter_is_left(subject);
        assert!(subject.receive_from(OTHER, 9, true).is_empty());
    }
}

/// For an engine that keeps every body on disk: rows of purged deliveries go at any time.
pub fn a_swept_delivery_may_be_acked(bench: &mut dyn Bench) {
    let mut subject = Subject::new(bench, Kind::Broker, Level::Sync);
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(2);
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(1));
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = subject.engine().list(QUEUE, State::InFlight, None, 9, 1000);
        let page = subject.wait(answer).unwrap();
        assert!(
            page.next.is_none() && page.views.iter().all(|view| view.message.body().len() == 1)
        );
        if page.views.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the rows are still there");
    }
    assert_eq!(subject.counts(QUEUE).in_flight, 2, "they are in flight all the same");
    let answer = subject.engine().counts(QUEUE);
    assert_eq!(subject.wait(answer).unwrap().totals.dropped, 0);
    assert_eq!(subject.ack(&got), [Ok(()), Ok(())]);
    subject.pass(60_000);
    assert_eq!(subject.counts(QUEUE), Counts::default());
}

fn looks(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a", "b", "c"]);
    let answer = subject.engine().peek(QUEUE, End::Back, 2, 100);
    let views = subject.wait(answer).unwrap();
    assert_eq!(views.iter().map(|view| view.message.body()).collect::<Vec<_>>(), [b"c", b"b"]);
    // Bounded in bytes, too; the first one always fits.
    let answer = subject.engine().peek(QUEUE, End::Front, 3, 0);
    assert_eq!(subject.wait(answer).unwrap()[0].message.body(), b"a");
    let answer = subject.engine().list(QUEUE, State::Ready, None, 3, 2);
    let page = subject.wait(answer).unwrap();
    assert_eq!((page.views.len(), page.next, page.views[1].cursor), (2, page.next, page.next));
    let answer = subject.engine().list(QUEUE, State::Ready, None, 2, 100);
    let page = subject.wait(answer).unwrap();
    let answer = subject.engine().list(QUEUE, State::Ready, page.next, 2, 100);
    let rest = subject.wait(answer).unwrap();
    assert_eq!((page.views.len(), rest.views[0].message.body(), rest.next), (2, &b"c"[..], None));
    let answer = subject.engine().find(QUEUE, placed[1].id.clone().unwrap());
    assert_eq!(subject.wait(answer).unwrap().message.body(), b"b");
    let now = subject.now;
    let answer = subject.engine().delete(now, QUEUE, vec![placed[1].id.clone().unwrap()]);
    assert_eq!(subject.wait(answer), [Ok(())]);
    assert_eq!(subject.take(), ["a", "c"]);
}

fn read(subject: &mut Subject<'_>, from: u64) -> ReadBatch {
    let answer = subject.engine().read(from, 100, usize::MAX);
    subject.wait(answer).unwrap()
}

fn bodies(batch: &ReadBatch) -> Vec<&[u8]> {
    batch.messages.iter().map(|message| message.body()).collect()
}

fn history(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    assert_eq!(subject.engine().committed(), 3);
    let batch = read(subject, 2);
    assert_eq!((bodies(&batch), batch.next, batch.gap), (vec![&b"b"[..], b"c"], 4, None));
    let now = subject.now;
    let epoch = subject.engine().definition().epoch;
    let answer = subject.engine().resume(now, Some(Position { epoch, seq: 2 }));
    let start = subject.wait(answer).unwrap();
    assert_eq!((start.next, start.gap, start.backlog.len()), (3, None, 0));
}

fn backlog(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    assert_eq!(texts(&subject.receive_from(0, 1, true)), ["a"]);
    let now = subject.now;
    let answer = subject.engine().resume(now, None);
    let start = subject.wait(answer).unwrap();
    assert_eq!((start.backlog, start.next), (vec![(2, 3)], 4));
    assert!(subject.receive_from(0, 10, true).is_empty(), "a subscriber has it");
    let request =
        Receive { max: 1, bytes_max: 1, ack_deadline: None, take: false, from_back: false };
    let answer = subject.engine().receive(now, 0, request);
    assert_eq!(subject.wait(answer), Err(EngineError::Refused(Refusal::WrongKind)));
}

fn other_epoch(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let now = subject.now;
    let answer = subject.engine().resume(now, Some(Position { epoch: 4, seq: 1 }));
    let start = subject.wait(answer).unwrap();
    assert_eq!((start.next, start.gap), (2, Some(Gap { from: 1, to: 1 })));
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

fn history_survives(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    assert_eq!(texts(&subject.receive_from(0, 1, true)), ["a"]);
    let epoch = subject.engine().definition().epoch;
    subject.restart(true);
    assert_eq!(subject.engine().definition().epoch, epoch, "nothing was lost");
    assert_eq!(bodies(&read(subject, 1)), [b"a", b"b"]);
    assert_eq!(
        texts(&subject.receive_from(0, 10, true)),
        ["b"],
        "the backlog goes on where it was"
    );
    let placed = subject.publish(&["c"]);
    let batch = read(subject, 3);
    assert_eq!((bodies(&batch), batch.gap), (vec![&b"c"[..]], None), "a jump in numbers is no gap");
    assert!(placed[0].seq > 2);
}
