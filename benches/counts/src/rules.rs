//! The rules alone: publish, deliver and ack of messages of every sort, and a history.

use crate::meter::Meter;
use bytes::Bytes;
use octoq::queue::*;
use std::hint::black_box;

/// Messages of one section.
const MESSAGES: usize = 1000;
/// Messages that wait all the time.
const DEPTH: usize = 1000;
/// Rounds before the first that is counted: tables and lists have grown by then.
const WARM: usize = 3;
const BODY: &[u8] = &[b'x'; 100];
const START: Timestamp = Timestamp(1_700_000_000_000);

/// Every section of the rules.
pub fn count(meter: &mut Meter) {
    if !meter.wants("rules") {
        return;
    }
    let plain = |_, _| NewMessage::plain(Bytes::from_static(BODY));
    let said = |extra| NewMessage::new(Bytes::from_static(BODY), extra);
    broker(meter, "plain", Ledger::off(1), plain);
    broker(meter, "stored", Ledger::on(1, u64::MAX - 1), plain);
    broker(meter, "client-id", Ledger::off(1), |_, n| {
        NewMessage::with_id(format!("order-{n:08}").as_bytes(), BODY)
    });
    broker(meter, "time-to-live", Ledger::off(1), |now, n| {
        said(Extra { expires_at: Some(now.after_ms(60_000 + n % 1000)), ..Extra::default() })
    });
    broker(meter, "delay", Ledger::off(1), |now, n| {
        said(Extra { deliver_at: Some(now.after_ms(1 + n % 5)), ..Extra::default() })
    });
    broker(meter, "priority", Ledger::off(1), |_, n| {
        said(Extra { priority: (n % 10) as u8, ..Extra::default() })
    });
    // As many keys as messages are out at once: of each key at most one is.
    broker(meter, "ordering-key", Ledger::off(1), |_, n| {
        let key = Bytes::from(format!("customer-{}", n % MESSAGES as u64));
        said(Extra { ordering_key: Some(key), ..Extra::default() })
    });
    history(meter);
}

fn definition(kind: Kind) -> TopicDefinition {
    TopicDefinition {
        number: 1,
        name: TopicName::parse("counts").expect("a name"),
        kind,
        policy: TopicPolicy { history_messages: DEPTH as u64, ..TopicPolicy::default() },
        salt: 1,
        epoch: 1,
        owner: None,
        created_at: START,
    }
}

/// A broker topic with one queue, and what a topic's actor has in hand beside it.
struct Work<M> {
    topic: Topic,
    ledger: Ledger,
    now: Timestamp,
    made: u64,
    message: M,
    out: Vec<Delivery>,
    receipts: Vec<Receipt>,
}

impl<M: FnMut(Timestamp, u64) -> NewMessage> Work<M> {
    fn new(ledger: Ledger, message: M) -> Self {
        let mut topic = Topic::new(&definition(Kind::Broker), 1);
        let queue = QueueDefinition {
            number: 1,
            topic: 1,
            name: QueueName::default_queue(),
            policy: QueuePolicy::default(),
            created_at: START,
        };
        topic.add_queue(queue).expect("the first queue");
        let (out, receipts) = (Vec::with_capacity(MESSAGES), Vec::with_capacity(MESSAGES));
        Work { topic, ledger, now: START, made: 0, message, out, receipts }
    }

    /// So many messages as a door made them, and some time later.
    fn messages(&mut self, count: usize) -> Vec<NewMessage> {
        self.ledger.records.clear();
        self.now = self.now.after_ms(10);
        let numbers = self.made..self.made + count as u64;
        self.made = numbers.end;
        numbers.map(|n| (self.message)(self.now, n)).collect()
    }

    fn publish(&mut self, messages: &mut Vec<NewMessage>) {
        for message in messages.drain(..) {
            let placed = self.topic.publish(self.now, None, message, true, &mut self.ledger);
            black_box(placed).expect("placed");
        }
    }

    /// What became visible, and so many at a time.
    fn deliver(&mut self, max: usize) {
        self.receipts.clear();
        self.now = self.now.after_ms(10);
        self.topic.advance(self.now, usize::MAX, &mut self.ledger);
        let request = Receive {
            max,
            bytes_max: usize::MAX,
            ack_deadline: None,
            take: false,
            from_back: false,
        };
        while self.receipts.len() < MESSAGES {
            let received =
                self.topic.receive(self.now, 1, &request, &mut self.out, &mut self.ledger);
            received.expect("a queue");
            assert_eq!(self.out.len(), max, "there are enough");
            self.receipts.extend(self.out.drain(..).filter_map(|delivery| delivery.receipt));
        }
    }

    fn ack(&mut self) {
        for receipt in &self.receipts {
            let reference = Reference::Receipt(*receipt);
            self.topic.ack(self.now, &reference, &mut self.ledger).expect("in flight");
        }
    }
}

/// Publishes, hands out one by one, and acks, at a steady depth; then hands out a hundred at a time.
fn broker(
    meter: &mut Meter,
    sort: &str,
    ledger: Ledger,
    message: impl FnMut(Timestamp, u64) -> NewMessage,
) {
    let mut work = Work::new(ledger, message);
    let mut waiting = work.messages(DEPTH);
    work.publish(&mut waiting);
    for _ in 0..WARM {
        let mut messages = work.messages(MESSAGES);
        work.publish(&mut messages);
        work.deliver(1);
        work.ack();
    }
    let name = |verb| format!("rules/{sort}/{verb}");
    let mut messages = work.messages(MESSAGES);
    meter.section(&name("publish"), MESSAGES, || work.publish(&mut messages));
    meter.section(&name("deliver"), MESSAGES, || work.deliver(1));
    meter.section(&name("ack"), MESSAGES, || work.ack());
    let mut messages = work.messages(MESSAGES);
    work.publish(&mut messages);
    meter.section(&name("deliver-100"), MESSAGES, || work.deliver(100));
    work.ack();
    assert_eq!(work.topic.len(), DEPTH);
}

/// Publishes to a history that is full, and reads what is new a hundred at a time.
fn history(meter: &mut Meter) {
    let mut history = History::new(&definition(Kind::Pubsub));
    let mut ledger = Ledger::off(1);
    let plain = || NewMessage::plain(Bytes::from_static(BODY));
    let mut publish = |history: &mut History, messages: &mut Vec<NewMessage>| {
        for message in messages.drain(..) {
            let placed = history.publish(START, message, true, true, &mut ledger);
            black_box(placed).expect("placed");
        }
        history.commit(history.last_seq());
    };
    for _ in 0..WARM {
        publish(&mut history, &mut (0..DEPTH).map(|_| plain()).collect());
    }
    let mut from = history.last_seq() + 1;
    let mut messages = (0..MESSAGES).map(|_| plain()).collect();
    meter.section("rules/history/publish", MESSAGES, || publish(&mut history, &mut messages));
    meter.section("rules/history/read-100", MESSAGES, || {
        while from <= history.last_seq() {
            let batch = history.read(from, 100, usize::MAX);
            assert_eq!(batch.messages.len(), 100);
            from = black_box(batch).next;
        }
    });
}
