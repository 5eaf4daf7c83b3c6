//! What the verbs do, one sentence each. The model tests are in `model`.

use super::model::{queue, topic};
use super::*;
use bytes::Bytes;

/// One queue, number 1, with its topic and a ledger.
struct One {
    topic: Topic,
    ledger: Ledger,
}

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn one(policy: QueuePolicy) -> One {
    with(TopicPolicy::default(), vec![policy])
}

/// Queues 1, 2, ... with these settings.
fn with(policy: TopicPolicy, queues: Vec<QueuePolicy>) -> One {
    let mut topic = Topic::new(&topic(1, Kind::Broker, policy), 1 << 40);
    for (number, policy) in (1..).zip(queues) {
        topic.add_queue(queue(number, 1, policy)).unwrap();
    }
    One { topic, ledger: Ledger::on(1, u64::MAX - 1) }
}

impl One {
    fn put(&mut self, now: i64, bodies: &[&str]) {
        for body in bodies {
            self.put_with(now, body, Extra::default()).unwrap();
        }
    }

    fn put_with(&mut self, now: i64, body: &str, extra: Extra) -> Result<Placed, Refusal> {
        let message = NewMessage::new(Bytes::copy_from_slice(body.as_bytes()), extra);
        self.topic.publish(at(now), None, message, true, &mut self.ledger)
    }

    fn lend_from(&mut self, now: i64, queue: u32, max: usize, from_back: bool) -> Vec<Delivery> {
        let request =
            Receive { max, bytes_max: usize::MAX, ack_deadline: None, take: false, from_back };
        let mut out = Vec::new();
        self.topic.receive(at(now), queue, &request, &mut out, &mut self.ledger).unwrap();
        self.topic.check_invariants();
        out
    }

    fn lend(&mut self, now: i64, max: usize) -> Vec<Delivery> {
        self.lend_from(now, 1, max, false)
    }

    fn ack(&mut self, now: i64, delivery: &Delivery) -> Result<(), Refusal> {
        self.topic.ack(at(now), &of(delivery), &mut self.ledger)
    }

    fn nack(&mut self, now: i64, delivery: &Delivery, nack: Nack) {
        self.topic.nack(at(now), &of(delivery), &nack, &mut self.ledger).unwrap();
    }

    fn advance(&mut self, now: i64) {
        while self.topic.advance(at(now), 7, &mut self.ledger).more {}
        self.topic.check_invariants();
    }

    fn ready(&self, queue: u32) -> Vec<String> {
        texts(&self.topic.peek(queue, End::Front, usize::MAX).unwrap())
    }
}

fn of(delivery: &Delivery) -> Reference {
    Reference::Receipt(delivery.receipt.unwrap())
}

fn texts(views: &[View]) -> Vec<String> {
    views.iter().map(|view| String::from_utf8_lossy(view.message.body()).into_owned()).collect()
}

fn fail() -> Nack {
    Nack::Fail { delay: None, error: Some("no".to_owned()) }
}

const RELEASE: Nack = Nack::Release { delay: None };

#[test]
fn a_topic_can_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Topic>();
    is_send::<Detached>();
    is_send::<History>();
}

#[test]
fn a_missed_ack_deadline_puts_the_message_back_in_its_place() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["a", "b"]);
    let a = one.lend(0, 1).remove(0);
    assert!(one.topic.next_deadline().is_some_and(|next| next <= at(30_000)));

    one.advance(29_999);
    assert_eq!(one.ready(1), ["b"]);
    one.advance(30_000);
    assert_eq!(one.ready(1), ["a", "b"]);
    assert_eq!(one.ack(30_000, &a), Err(Refusal::ReceiptGone));
    assert_eq!(one.lend(30_000, 1)[0].attempt, 2);
}

#[test]
fn an_ack_at_the_deadline_is_too_late_even_before_time_has_been_told_to_pass() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["a", "b"]);
    let lent = one.lend(0, 2);
    assert_eq!(one.ack(29_999, &lent[0]), Ok(()));
    assert_eq!(one.ack(29_999, &lent[0]), Err(Refusal::ReceiptGone), "used twice");
    assert_eq!(one.ack(30_000, &lent[1]), Err(Refusal::ReceiptGone));
}

#[test]
fn what_comes_back_after_later_pushes_loses_neither_its_place_nor_a_message() {
    for (from_back, front) in [(false, true), (true, false), (false, false), (true, true)] {
        let mut one = one(QueuePolicy::default());
        one.put(0, &["a", "b", "c"]);
        let first = one.lend_from(0, 1, 1, from_back).remove(0);
        one.put_with(0, "d", Extra { front, ..Extra::default() }).unwrap();
        let second = one.lend_from(0, 1, 1, from_back).remove(0);
        one.nack(0, &second, RELEASE);
        one.nack(0, &first, RELEASE);
        one.topic.check_invariants();
        let order = if front { ["d", "a", "b", "c"] } else { ["a", "b", "c", "d"] };
        assert_eq!(one.ready(1), order, "from_back {from_back}, front {front}");
    }
}

#[test]
fn the_highest_priority_comes_first_and_the_back_is_the_back_of_the_lowest() {
    let mut one = one(QueuePolicy::default());
    for (body, priority) in [("a", 0), ("b", 9), ("c", 5), ("d", 0), ("e", 9)] {
        one.put_with(0, body, Extra { priority, ..Extra::default() }).unwrap();
    }
    assert_eq!(one.ready(1), ["b", "e", "c", "a", "d"]);
    assert_eq!(one.lend_from(0, 1, 1, true)[0].message.body(), b"d");
}

#[test]
fn failures_wait_as_the_backoff_says_and_end_among_the_dead_letters() {
    let mut one =
        one(QueuePolicy { max_deliveries: 4, backoff_ms: vec![10, 100], ..QueuePolicy::default() });
    one.put(0, &["a"]);
    let mut now = 0;
    for (attempt, wait) in [(1, 10), (2, 100), (3, 100)] {
        let lent = one.lend(now, 1).remove(0);
        assert_eq!(lent.attempt, attempt);
        one.nack(now, &lent, fail());
        assert!(one.lend(now + wait - 1, 1).is_empty(), "too early after {attempt}");
        now += wait;
    }
    let last = one.lend(now, 1).remove(0);
    one.nack(now, &last, fail());
    let page = one.topic.list(1, State::Dead, None, 10).unwrap();
    let letter = page.views[0].dead.clone().unwrap();
    assert_eq!((letter.reason, letter.attempts, letter.at), (DeadReason::Nacked, 4, at(now)));
    let said = letter.failures.iter().map(|failure| (failure.attempt, failure.error.as_deref()));
    assert_eq!(said.collect::<Vec<_>>(), (1..5).map(|n| (n, Some("no"))).collect::<Vec<_>>());

    let all = Selection::Oldest(9);
    assert_eq!(one.topic.redrive(at(now), 1, &all, None, &mut one.ledger), Ok(1));
    let again = one.lend(now, 1).remove(0);
    assert_eq!(again.attempt, 1);
    let view = one.topic.find(1, &again.message.id()).unwrap();
    assert!(view.dead.is_some_and(|letter| letter.revived && letter.failures.len() == 4));
}

#[test]
fn a_release_does_not_count() {
    let mut one = one(QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() });
    one.put(0, &["a"]);
    for _ in 0..3 {
        let lent = one.lend(0, 1).remove(0);
        assert_eq!(lent.attempt, 1);
        one.nack(0, &lent, RELEASE);
    }
    assert_eq!(one.ready(1), ["a"]);
}

#[test]
fn a_dead_letter_goes_to_the_back_of_its_target_and_can_be_handed_out_there() {
    let mut one = with(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    one.topic.set_dead_letter_target(1, Some(Target::from(2))).unwrap();
    one.put(0, &["a", "b"]);
    let a = one.lend(0, 1).remove(0);
    one.nack(0, &a, Nack::Dead { error: None });
    assert_eq!(one.topic.counts(1).unwrap().dead, 0);
    // Queue 2 has a message of its own that is the same: it holds both.
    assert_eq!(one.ready(2), ["a", "b", "a"]);
    let lent = one.lend_from(0, 2, 3, false);
    lent.iter().for_each(|delivery| one.ack(0, delivery).unwrap());
    assert_eq!(one.topic.len(), 1);
}

#[test]
fn one_full_queue_refuses_the_message_for_all() {
    let full = QueuePolicy { messages_max: 1, ..QueuePolicy::default() };
    let drops = QueuePolicy { overflow: Overflow::DropOldest, ..full.clone() };
    let mut one = with(TopicPolicy::default(), vec![drops, full]);
    one.put(0, &["a"]);
    let refused = one.put_with(0, "b", Extra::default());
    assert_eq!(refused, Err(Refusal::Full { what: "messages_max", limit: 1 }));
    assert_eq!((one.ready(1), one.ready(2)), (vec!["a".to_owned()], vec!["a".to_owned()]));
    assert_eq!(one.topic.totals(1).unwrap().dropped, 0);
}

#[test]
fn what_is_in_flight_or_delayed_is_not_dropped_to_make_room() {
    let policy =
        QueuePolicy { messages_max: 2, overflow: Overflow::DropOldest, ..QueuePolicy::default() };
    let mut one = one(policy);
    one.put(0, &["a", "b"]);
    let a = one.lend(0, 1).remove(0);
    one.put(0, &["c", "d"]);
    assert_eq!(one.ready(1), ["c", "d"], "what is in flight does not wait");
    assert_eq!(one.ack(0, &a), Ok(()));
    let later = Extra { deliver_at: Some(at(50)), ..Extra::default() };
    one.put_with(0, "e", later.clone()).unwrap();
    one.put_with(0, "f", later.clone()).unwrap();
    let refused = one.put_with(0, "g", later);
    assert_eq!(refused, Err(Refusal::Full { what: "messages_max", limit: 2 }));
    assert_eq!(one.topic.counts(1).unwrap().delayed, 2);
}

#[test]
fn the_bytes_of_a_queue_are_those_that_wait() {
    let mut one = one(QueuePolicy { bytes_max: 4, ..QueuePolicy::default() });
    one.put(0, &["aaaa"]);
    assert!(one.put_with(0, "b", Extra::default()).is_err());
    one.lend(0, 1);
    one.put(0, &["bbbb"]);
    assert_eq!(one.topic.purge(1, &mut one.ledger), Ok(1));
    one.put(0, &["cccc"]);
    assert_eq!(one.topic.counts(1).unwrap().bytes, 8);
}

#[test]
fn an_expired_message_is_never_handed_out() {
    let mut one = one(QueuePolicy::default());
    one.put_with(0, "a", Extra { expires_at: Some(at(10)), ..Extra::default() }).unwrap();
    one.put(0, &["b"]);
    let lent = one.lend(10, 5);
    assert_eq!(lent.len(), 1);
    assert_eq!(lent[0].message.body(), b"b");
    assert_eq!(one.topic.totals(1).unwrap().expired, 1);
}

#[test]
fn a_dedup_key_holds_for_its_window_and_not_for_what_was_taken_back() {
    let mut one = one(QueuePolicy::default());
    let key = || Extra { dedup_key: Some(Bytes::from_static(b"k")), ..Extra::default() };
    let first = one.put_with(0, "a", key()).unwrap();
    let second = one.put_with(299_999, "b", key()).unwrap();
    assert_eq!((second.duplicate, second.id, second.seq), (true, first.id, first.seq));
    let third = one.put_with(300_000, "c", key()).unwrap();
    assert!(!third.duplicate);
    one.topic.unpublish(&[third.seq]);
    assert!(!one.put_with(300_000, "d", key()).unwrap().duplicate);
    assert_eq!(one.ready(1), ["a", "d"]);
}

#[test]
fn a_client_id_is_one_living_message() {
    let mut one = one(QueuePolicy::default());
    let id = || Extra { client_id: Some(Bytes::from_static(b"x")), ..Extra::default() };
    let placed = one.put_with(0, "a", id()).unwrap();
    assert_eq!(placed.id, None, "the one it came with");
    let named = MessageId::Client(Bytes::from_static(b"x"));
    assert_eq!(one.put_with(0, "b", id()), Err(Refusal::DuplicateId));
    one.topic.purge(1, &mut one.ledger).unwrap();
    one.put_with(0, "c", id()).expect("the first is gone, though its memory is not yet");
    assert_eq!(one.topic.find(1, &named).unwrap().message.body(), b"c");
    one.advance(0);
    assert_eq!(one.topic.find(1, &named).unwrap().message.body(), b"c");
}

#[test]
fn a_purge_is_done_at_once_and_needs_no_number() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["a", "b", "c"]);
    let a = one.lend(0, 1).remove(0);
    let b = one.lend(0, 1).remove(0);
    // As after a restart: nothing was taken from the ledger yet.
    let mut dry = Ledger::on(1, 0);
    assert_eq!(one.topic.purge(1, &mut dry), Ok(1));
    let purged = Record::Purged { queue: 1, through: 3 };
    assert_eq!(dry.records, [purged]);
    let counts = one.topic.counts(1).unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.bytes), (0, 2, 2));
    assert_eq!(one.topic.next_deadline(), Some(at(0)), "the memory is to be given back");
    one.advance(0);
    assert_eq!(one.topic.len(), 2);
    one.ack(0, &a).unwrap();
    one.nack(0, &b, RELEASE);
    assert_eq!((one.ready(1).len(), one.topic.len()), (0, 0), "it does not come back");
}

#[test]
fn a_paused_queue_takes_nothing_or_gives_nothing() {
    let mut one = one(QueuePolicy { paused_in: true, ..QueuePolicy::default() });
    assert_eq!(one.put_with(0, "a", Extra::default()), Err(Refusal::Paused));
    let paused_out = QueuePolicy { paused_out: true, ..QueuePolicy::default() };
    one.topic.set_queue_policy(1, paused_out).unwrap();
    one.put(0, &["a"]);
    assert!(one.lend(0, 1).is_empty());
    one.topic.set_policy(TopicPolicy { paused_in: true, ..TopicPolicy::default() });
    assert_eq!(one.put_with(0, "a", Extra::default()), Err(Refusal::Paused));
}

#[test]
fn a_message_for_nobody_is_counted() {
    let nothing = Filter([("kind".to_owned(), vec!["x".to_owned()])].into());
    let mut one = one(QueuePolicy { filter: Some(nothing), ..QueuePolicy::default() });
    one.put(0, &["a"]);
    assert_eq!((one.topic.unrouted(), one.topic.len(), one.ledger.records.len()), (1, 0, 0));
    let attributes = Some(r#"{"kind":"x"}"#.into());
    one.put_with(0, "b", Extra { attributes, ..Extra::default() }).unwrap();
    assert_eq!(one.ready(1), ["b"]);
}

#[test]
fn pages_show_what_stays_once_whatever_leaves_meanwhile() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["a", "b", "c", "d", "e", "f"]);
    let first = one.topic.list(1, State::Ready, None, 2).unwrap();
    assert_eq!(texts(&first.views), ["a", "b"]);
    one.lend(0, 3);
    let second = one.topic.list(1, State::Ready, first.next, 2).unwrap();
    assert_eq!(texts(&second.views), ["d", "e"]);
    let third = one.topic.list(1, State::Ready, second.next, 2).unwrap();
    assert_eq!((texts(&third.views), third.next), (vec!["f".to_owned()], None));
}

#[test]
fn waits_are_measured_from_ready_to_handed_out_to_acked() {
    let mut one = one(QueuePolicy::default());
    one.put_with(0, "a", Extra { deliver_at: Some(at(1000)), ..Extra::default() }).unwrap();
    let lent = one.lend(1500, 1).remove(0);
    one.ack(1700, &lent).unwrap();
    let waits = one.topic.waits(1).unwrap();
    assert_eq!((waits.in_queue.max_ms(), waits.to_ack.max_ms()), (500, 200));
}

#[test]
fn acks_leave_no_pile_of_timers() {
    let mut one = one(QueuePolicy::default());
    one.ledger = Ledger::off(1);
    for now in 0..30_000 {
        one.put(now / 10, &["a"]);
        let request = Receive {
            max: 1,
            bytes_max: usize::MAX,
            ack_deadline: None,
            take: false,
            from_back: false,
        };
        let mut out = Vec::new();
        one.topic.receive(at(now / 10), 1, &request, &mut out, &mut one.ledger).unwrap();
        one.ack(now / 10, &out[0]).unwrap();
    }
    assert!(one.topic.wheel.len() <= 4097, "{}", one.topic.wheel.len());
}

#[test]
fn a_dropped_queue_gives_its_memory_back_with_time() {
    let mut one = with(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    one.put(0, &["a", "b", "c"]);
    let a = one.lend(0, 1).remove(0);
    one.topic.purge(1, &mut one.ledger).unwrap();
    one.put(0, &["d"]);
    one.topic.drop_queue(1).unwrap();
    one.topic.check_invariants();
    assert_eq!(one.ack(0, &a), Err(Refusal::ReceiptGone));
    one.lend_from(0, 2, 9, false).iter().for_each(|delivery| one.ack(0, delivery).unwrap());
    one.advance(0);
    assert_eq!(one.topic.len(), 0);
}

#[test]
fn bodies_on_disk_are_named_ahead_and_given_back() {
    let mut one = one(QueuePolicy::default());
    for body in ["a", "b"] {
        let message = NewMessage::plain(Bytes::copy_from_slice(body.as_bytes()));
        one.topic.publish(at(0), None, message, false, &mut one.ledger).unwrap();
    }
    assert_eq!(one.topic.resident_bytes(), 0);
    assert_eq!(one.topic.cold_ahead(1, 9), [1, 2]);
    one.topic.warm(vec![(2, Bytes::from_static(b"b"))]);
    assert_eq!(one.topic.cold_ahead(1, 9), [1]);
    let lent = one.lend(0, 2);
    assert_eq!((&lent[0].message.body, lent[1].message.body()), (&None, &b"b"[..]));
}

#[test]
fn a_history_keeps_what_live_subscribers_are_still_to_be_sent() {
    let policy = TopicPolicy { history_messages: 2, ..TopicPolicy::default() };
    let mut history = History::new(&topic(1, Kind::Pubsub, policy));
    let mut ledger = Ledger::on(1, u64::MAX - 1);
    let mut publish = |history: &mut History, listeners| {
        let message = NewMessage::plain(Bytes::from_static(b"x"));
        let placed = history.publish(at(0), message, listeners, true, &mut ledger).unwrap();
        history.commit(placed.seq);
    };
    (0..5).for_each(|_| publish(&mut history, false));
    let mut claims = Ledger::on(100, u64::MAX - 1);
    assert_eq!(history.claim_all(at(0), &mut claims), [(1, 5)]);
    publish(&mut history, true);
    let read = history.read(1, 10, usize::MAX);
    assert_eq!((read.messages.len(), read.gap), (6, None), "the claimed backlog was not trimmed");
    history.hold_from(7);
    publish(&mut history, true);
    let read = history.read(1, 10, usize::MAX);
    assert_eq!((read.messages.len(), read.gap), (2, Some(Gap::gone(1, 5))));
}

#[test]
fn a_message_with_a_past_goes_on_where_it_was() {
    let policy = QueuePolicy { max_deliveries: 3, ..QueuePolicy::default() };
    let mut one = with(TopicPolicy::default(), vec![policy.clone(), policy.clone(), policy]);
    let names: Vec<QueueName> = one.topic.queues().map(|queue| queue.name.clone()).collect();
    let letter = DeadLetter {
        at: at(70),
        reason: DeadReason::DeadlineMissed,
        attempts: 3,
        failures: Vec::new(),
        revived: false,
        revived_at: None,
        revived_by: None,
    };
    let places = vec![
        PastPlace { attempts: 2, ..PastPlace::waiting(names[0].clone()) },
        PastPlace { dead: Some(letter.clone()), ..PastPlace::waiting(names[2].clone()) },
    ];
    let past = Past { published_at: Some(at(40)), kept_until: None, places };
    let extra = || Extra { past: Some(Box::new(past.clone())), ..Extra::default() };
    one.put_with(100, "a", extra()).unwrap();
    assert!(one.ready(2).is_empty(), "only the queues it was in");
    let dead = one.topic.list(3, State::Dead, None, 5).unwrap().views.remove(0);
    assert_eq!((dead.attempts, dead.dead), (3, Some(letter)));
    let lent = one.lend(100, 1).remove(0);
    assert_eq!((lent.attempt, lent.message.published_at), (3, at(40)));
    let failed = Nack::Fail { delay: None, error: None };
    one.topic.nack(at(101), &of(&lent), &failed, &mut one.ledger).unwrap();
    assert_eq!(one.topic.counts(1).unwrap().dead, 1, "its third delivery was its last");
    let attempted = one.ledger.records.iter().any(|record| {
        matches!(record, Record::Attempted { attempts: 2, failures, .. } if failures.is_empty())
    });
    let published = one.ledger.records.iter().find_map(|record| match record {
        Record::Published(stored) => Some((stored.published_at, stored.extra.clone())),
        _ => None,
    });
    assert!(attempted, "how often it was delivered is remembered");
    assert_eq!(published, Some((at(40), None)), "its past is not stored a second time");
}

#[test]
fn a_message_that_waited_elsewhere_waits_here_until_the_same_time() {
    let mut one = one(QueuePolicy { delay_ms: 500, ..QueuePolicy::default() });
    let name = one.topic.queues().next().unwrap().name.clone();
    let place = PastPlace { visible_at: Some(at(80)), ..PastPlace::waiting(name.clone()) };
    for (body, places) in [("a", vec![place]), ("b", vec![PastPlace::waiting(name)])] {
        let past = Some(Box::new(Past { places, ..Past::default() }));
        one.put_with(10, body, Extra { past, ..Extra::default() }).unwrap();
    }
    assert_eq!(one.ready(1), ["b"], "the queue's own delay was served elsewhere");
    one.advance(80);
    assert_eq!(one.ready(1), ["a", "b"]);
}

#[test]
fn a_message_of_the_past_is_kept_until_its_own_time_whatever_the_retention() {
    let mut one = one(QueuePolicy { retention_ms: 50, ..QueuePolicy::default() });
    for (body, until) in [("a", 300), ("b", 110)] {
        let past =
            Past { published_at: Some(at(1)), kept_until: Some(at(until)), ..Past::default() };
        one.put_with(100, body, Extra { past: Some(Box::new(past)), ..Extra::default() }).unwrap();
    }
    one.advance(200);
    assert_eq!(one.ready(1), ["a"]);
    one.advance(300);
    assert!(one.topic.is_empty());
}

#[test]
fn a_past_in_a_queue_that_is_not_there_or_named_twice_is_refused() {
    let mut one = one(QueuePolicy::default());
    let name = one.topic.queues().next().unwrap().name.clone();
    let put = |one: &mut One, names: &[&QueueName]| {
        let places = names.iter().map(|name| PastPlace::waiting((*name).clone())).collect();
        let past = Some(Box::new(Past { places, ..Past::default() }));
        one.put_with(0, "a", Extra { past, ..Extra::default() })
    };
    let other = QueueName::parse("other").unwrap();
    assert_eq!(put(&mut one, &[&other]), Err(Refusal::QueueNotFound));
    assert_eq!(put(&mut one, &[&name, &name]), Err(Refusal::OutOfBounds("past")));
    let mut two = with(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let kept = Some(Box::new(Past { kept_until: Some(at(9)), ..Past::default() }));
    let kept = two.put_with(0, "a", Extra { past: kept, ..Extra::default() });
    assert_eq!(kept, Err(Refusal::OutOfBounds("past")), "which of the two keeps it so long?");
    assert_eq!(one.topic.len(), 0);
}

fn returning(returns: Returns) -> One {
    let mut one = one(QueuePolicy { returns, max_deliveries: 0, ..QueuePolicy::default() });
    one.put(0, &["a", "b", "c", "d"]);
    one
}

#[test]
fn what_misses_its_deadline_within_a_second_is_next_in_the_order_of_handing_out() {
    let mut one = returning(Returns::Front);
    for now in [0, 300, 600] {
        one.lend(now, 1);
    }
    one.advance(30_000);
    assert_eq!(one.ready(1), ["a", "d"]);
    one.put_with(30_100, "pushed", Extra { front: true, ..Extra::default() }).unwrap();
    one.advance(30_600);
    assert_eq!(one.ready(1), ["pushed", "a", "b", "c", "d"], "one moment keeps one place");
    let again = one.lend(30_600, 2);
    one.lend(31_700, 1);
    one.ack(31_700, &again[0]).unwrap();
    one.advance(61_000);
    one.advance(61_700);
    assert_eq!(one.ready(1), ["b", "a", "c", "d"], "a second later is another moment");
}

#[test]
fn what_is_given_back_goes_to_the_end_its_queue_names() {
    let mut one = returning(Returns::Front);
    let lent = one.lend(0, 3);
    one.nack(1, &lent[0], fail());
    one.nack(1, &lent[2], RELEASE);
    assert_eq!(one.ready(1), ["c", "a", "d"], "the latest is the next");
    one.put_with(2, "pushed", Extra { front: true, ..Extra::default() }).unwrap();
    one.nack(3, &lent[1], Nack::Fail { delay: Some(publish::span(10)), error: None });
    one.put_with(4, "later", Extra { front: true, ..Extra::default() }).unwrap();
    one.advance(13);
    let expected = ["later", "b", "pushed", "c", "a", "d"];
    assert_eq!(one.ready(1), expected, "a delay holds the place it was given back to");

    let mut one = returning(Returns::Back);
    let lent = one.lend(0, 2);
    one.nack(1, &lent[1], RELEASE);
    one.advance(30_000);
    one.put(30_001, &["e"]);
    assert_eq!(one.ready(1), ["c", "d", "b", "a", "e"]);
}

#[test]
fn by_id_anywhere_a_message_is_acked_in_any_state() {
    let mut one = one(QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() });
    let named = |id: &'static str| Extra { client_id: Some(id.into()), ..Extra::default() };
    let delayed = Extra { deliver_at: Some(at(500)), ..named("delayed") };
    for (body, extra) in
        [("1", named("dead")), ("2", named("held")), ("3", named("ready")), ("4", delayed)]
    {
        one.put_with(0, body, extra).unwrap();
    }
    let lent = one.lend(0, 2);
    one.nack(0, &lent[0], fail());
    let anywhere = |id: &'static str| Reference::Anywhere {
        queue: 1,
        id: MessageId::Client(Bytes::from_static(id.as_bytes())),
    };
    let nack = |one: &mut One, id| one.topic.nack(at(1), &anywhere(id), &RELEASE, &mut one.ledger);
    for id in ["ready", "dead", "unknown"] {
        assert_eq!(nack(&mut one, id), Err(Refusal::MessageNotFound), "{id}");
    }
    assert_eq!(nack(&mut one, "delayed"), Ok(()));
    assert_eq!(one.ready(1), ["3", "4"], "what was delayed is ready");
    for id in ["ready", "dead", "held", "delayed"] {
        assert_eq!(one.topic.ack(at(2), &anywhere(id), &mut one.ledger), Ok(()), "{id}");
        let again = one.topic.ack(at(2), &anywhere(id), &mut one.ledger);
        assert_eq!(again, Err(Refusal::MessageNotFound), "{id} twice");
    }
    assert!(one.topic.is_empty());
    assert_eq!(one.topic.totals(1).unwrap().acked, 4);
}

#[test]
fn an_id_as_a_client_says_it_acks_a_message_in_any_state() {
    for keep_body in [true, false] {
        let mut one = one(QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() });
        let mut put = |body: &'static str, extra: Extra| {
            let message = NewMessage::new(Bytes::from_static(body.as_bytes()), extra);
            let placed = one.topic.publish(at(0), None, message, keep_body, &mut one.ledger);
            placed.unwrap().id
        };
        let named = |id: &'static [u8]| Extra { client_id: Some(id.into()), ..Extra::default() };
        // Its publisher's own, though octoq might have made it.
        let upper = b"0191E2B4-0000-7000-8000-000000000001";
        let lower = b"0191e2b4-0000-7000-8000-000000000001";
        for (body, id) in [("1", b"dead".as_slice()), ("2", b"held"), ("3", b""), ("4", upper)] {
            assert_eq!(put(body, named(id)), None, "the one it came with");
        }
        assert_eq!(put("5", named(lower)), None);
        assert_eq!(put("6", Extra { deliver_at: Some(at(500)), ..named(b"delayed") }), None);
        let made = put("7", Extra::default()).unwrap().to_string();
        let delayed = Extra { deliver_at: Some(at(500)), ..Extra::default() };
        let made_delayed = put("8", delayed).unwrap().to_string();
        let lent = one.lend(0, 2);
        assert_eq!(lent[1].message.own_id(), Some(&b"held"[..]));
        one.nack(0, &lent[0], fail());
        let mut ack = |id: &[u8]| one.topic.ack_id(at(2), 1, id, &mut one.ledger);
        let spelled = |id: &str| [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")];
        for id in
            spelled(&made).iter().map(String::as_bytes).chain([b"unknown".as_slice(), b"\xff"])
        {
            assert_eq!(ack(id), Err(Refusal::MessageNotFound), "{}", id.escape_ascii());
        }
        let (made, made_delayed) = (made.as_bytes(), made_delayed.as_bytes());
        for id in [b"dead".as_slice(), b"held", b"", upper, lower, b"delayed", made, made_delayed] {
            assert_eq!(ack(id), Ok(()), "{}", id.escape_ascii());
            assert_eq!(ack(id), Err(Refusal::MessageNotFound), "{} twice", id.escape_ascii());
        }
        assert_eq!(
            one.topic.ack_id(at(2), 9, b"held", &mut one.ledger),
            Err(Refusal::QueueNotFound)
        );
        assert!(one.topic.is_empty());
        assert_eq!(one.topic.totals(1).unwrap().acked, 8);
        one.topic.check_invariants();
    }
}

#[test]
fn a_body_that_is_left_to_the_store_leaves_its_id_here() {
    let policy = TopicPolicy::default();
    let mut history = History::new(&topic(1, Kind::Pubsub, policy));
    let mut ledger = Ledger::on(1, u64::MAX - 1);
    for (id, keep_body) in [("first", true), ("second", false)] {
        let message = NewMessage::with_id(id.as_bytes(), b"body");
        let placed = history.publish(at(0), message, true, keep_body, &mut ledger).unwrap();
        assert_eq!(placed.id, None, "the one it came with");
    }
    history.commit(2);
    let ids = |history: &History| -> Vec<_> {
        let messages = history.read(1, 9, usize::MAX).messages;
        messages.iter().map(|message| (message.id().to_string(), message.body.is_some())).collect()
    };
    assert_eq!(ids(&history), [("first".into(), true), ("second".into(), false)]);
    assert_eq!(history.relieve(1, true, &mut ledger), 4);
    assert_eq!(ids(&history), [("first".into(), false), ("second".into(), false)]);
}

#[test]
fn a_message_that_goes_to_another_topic_takes_its_own_id_along() {
    for keep_body in [true, false] {
        let mut one = one(QueuePolicy::default());
        let message = NewMessage::with_id(b"mine", b"body");
        one.topic.publish(at(0), None, message, keep_body, &mut one.ledger).unwrap();
        let mut other = Topic::new(&topic(2, Kind::Broker, TopicPolicy::default()), 1 << 40);
        other.add_queue(queue(7, 2, QueuePolicy::default())).unwrap();
        let all = Selection::Oldest(1);
        let origin = one.topic.peek(1, End::Front, 1).unwrap()[0].message.origin();
        assert_eq!(one.topic.transfer(at(1), 1, &all, 7.into(), &mut one.ledger), Ok(1));
        for leaving in one.topic.take_leaving() {
            assert_eq!(leaving.message.own_id(), Some(&b"mine"[..]));
            other.adopt(at(1), Box::new(leaving), &mut one.ledger).unwrap();
        }
        assert!(
            one.topic
                .publish(at(1), None, NewMessage::with_id(b"mine", b""), true, &mut one.ledger)
                .is_ok()
        );
        let again =
            other.publish(at(1), None, NewMessage::with_id(b"mine", b""), true, &mut one.ledger);
        assert_eq!(again, Err(Refusal::DuplicateId));
        assert_eq!(other.peek(7, End::Front, 1).unwrap()[0].message.origin(), origin);
        assert_eq!(other.ack_id(at(1), 7, b"mine", &mut one.ledger), Ok(()));
        other.check_invariants();
    }
}

#[test]
fn clearing_takes_what_is_in_flight_and_frees_its_id() {
    let mut one = one(QueuePolicy::default());
    let named = || Extra { client_id: Some("id".into()), ..Extra::default() };
    one.put_with(0, "held", named()).unwrap();
    one.put(0, &["waits"]);
    let held = one.lend(0, 1).remove(0);
    assert_eq!(one.topic.clear(1, &mut one.ledger), Ok(2));
    assert_eq!(one.ack(1, &held), Err(Refusal::ReceiptGone));
    one.put_with(2, "new", named()).unwrap();
    one.advance(60_000);
    assert_eq!(one.ready(1), ["new"]);
}

#[test]
fn a_bystander_is_shown_what_came_after_it_and_takes_nothing() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["old"]);
    let mut cursor = Cursor::behind(one.ledger.numbers(1), usize::MAX);
    one.put_with(0, "high", Extra { priority: 9, ..Extra::default() }).unwrap();
    one.put_with(0, "first", Extra { front: true, ..Extra::default() }).unwrap();
    one.put_with(0, "short", Extra { expires_at: Some(at(5)), ..Extra::default() }).unwrap();
    one.put(0, &["a", "b"]);
    let read = |one: &One, cursor: &mut Cursor, want| -> Vec<String> {
        let read = one.topic.read_after(at(5), 1, cursor, want).unwrap();
        read.iter().map(|message| String::from_utf8_lossy(message.body()).into()).collect()
    };
    // In the order of publishing, whatever the order of handing out.
    assert_eq!(read(&one, &mut cursor, Want::Oldest(2)), ["high", "first"]);
    let mut other = cursor;
    assert_eq!(read(&one, &mut cursor, Want::Oldest(9)), ["a", "b"]);
    assert_eq!(read(&one, &mut cursor, Want::Oldest(9)), [""; 0]);
    assert_eq!(read(&one, &mut other, Want::Newest), ["b"]);
    assert_eq!(read(&one, &mut other, Want::Oldest(9)), [""; 0]);
    assert_eq!(one.ready(1).len(), 6);
}

#[test]
fn a_reading_ends_when_its_bytes_are_used_up_and_says_so() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["four", "more", "x"]);
    let mut cursor = Cursor::behind(0, 5);
    let mut read = |want| one.topic.read_after(at(0), 1, &mut cursor, want).unwrap().len();
    assert_eq!(read(Want::Oldest(2)), 2);
    assert_eq!(read(Want::Oldest(1)), 0);
    assert_eq!((cursor.cut, cursor.bytes_left), (true, 0));
    let mut rest = Cursor::behind(cursor.number, 1);
    assert_eq!(one.topic.read_after(at(0), 1, &mut rest, Want::Newest).unwrap().len(), 1);
    assert_eq!(one.topic.read_after(at(0), 1, &mut rest, Want::Oldest(1)).unwrap().len(), 0);
    assert!(!rest.cut, "there is nothing more");
}

#[test]
fn a_history_short_of_memory_drops_its_backlog_only_where_it_drops_at_all() {
    for (overflow, left) in [(Overflow::Refuse, 3), (Overflow::DropOldest, 1)] {
        let policy = TopicPolicy { overflow, durability: Level::Memory, ..TopicPolicy::default() };
        let mut history = History::new(&topic(1, Kind::Pubsub, policy));
        let mut off = Ledger::off(1);
        for listeners in [false, true, false, false] {
            let message = NewMessage::plain(Bytes::from_static(b"12345"));
            history.publish(at(0), message, listeners, true, &mut off).unwrap();
        }
        // The claimed one goes first, then the oldest of the backlog.
        history.relieve(11, false, &mut off);
        assert_eq!(history.kept().0, left, "{overflow:?}");
    }
}

#[test]
fn what_arrives_behind_a_purge_is_told_to_be_gone() {
    let mut one = one(QueuePolicy::default());
    one.put(0, &["moved"]);
    let mut other = Topic::new(&topic(2, Kind::Broker, TopicPolicy::default()), 1 << 40);
    other.add_queue(queue(7, 2, QueuePolicy::default())).unwrap();
    one.topic.transfer(at(1), 1, &Selection::Oldest(1), 7.into(), &mut one.ledger).unwrap();
    let arriving = one.topic.take_leaving().remove(0);
    let (entry, message) = (arriving.to_entry, arriving.message.number);
    let later = NewMessage::plain(Bytes::from_static(b"later"));
    other.publish(at(1), None, later, true, &mut one.ledger).unwrap();
    assert_eq!(other.purge(7, &mut one.ledger), Ok(1));
    one.ledger.records.clear();
    // The store may learn of the move only now, and takes it for one that came after the purge.
    other.adopt(at(2), Box::new(arriving), &mut one.ledger).unwrap();
    assert_eq!(one.ledger.records, [Record::Removed { entry, message, last: true }]);
    assert_eq!(other.counts(7).unwrap().ready, 0);
    other.check_invariants();
}

#[test]
fn what_waits_is_made_to_wait_until_another_time() {
    let mut one = one(QueuePolicy::default());
    let ids: Vec<MessageId> = ["a", "b", "flies"]
        .iter()
        .filter_map(|body| one.put_with(0, body, Extra::default()).unwrap().id)
        .collect();
    let delay = |one: &mut One, ms, id: &MessageId, delay| {
        one.topic.delay(at(ms), 1, id, std::time::Duration::from_millis(delay), &mut one.ledger)
    };
    assert_eq!(delay(&mut one, 0, &ids[0], 50), Ok(()));
    assert_eq!(
        (one.ready(1), one.topic.counts(1).unwrap().delayed),
        (vec!["b".into(), "flies".into()], 1)
    );
    let noted = matches!(one.ledger.records.last(), Some(Record::Attempted { attempts: 0, visible_at, .. }) if *visible_at == at(50));
    assert!(noted, "the store knows");
    // Ready is ready, whatever the delay before; its place is its own.
    assert_eq!(delay(&mut one, 10, &ids[0], 0), Ok(()));
    assert_eq!(one.ready(1), ["a", "b", "flies"]);
    assert_eq!(delay(&mut one, 10, &ids[1], 5), Ok(()));
    assert_eq!(delay(&mut one, 11, &ids[1], 100), Ok(()), "a delay takes the place of another");
    one.advance(20);
    assert_eq!(one.ready(1), ["a", "flies"]);
    one.advance(111);
    assert_eq!(one.ready(1), ["a", "b", "flies"]);
    one.topic.ack_id(at(111), 1, ids[0].to_string().as_bytes(), &mut one.ledger).unwrap();
    one.topic.ack_id(at(111), 1, ids[1].to_string().as_bytes(), &mut one.ledger).unwrap();
    let _out = one.lend(111, 1);
    for id in [&ids[0], &ids[2]] {
        assert_eq!(delay(&mut one, 112, id, 5), Err(Refusal::MessageNotFound), "{id}");
    }
}

#[test]
fn the_door_costs_a_message_nothing() {
    assert_eq!(size_of::<super::entries::Entry>(), 64);
    assert_eq!(size_of::<super::shelf::Kept>(), size_of::<super::shelf::Body>() + 56);
}
