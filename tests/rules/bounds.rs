//! What a topic and a queue keep: retention, overflow, capacity, pause.

use crate::*;
use octoq::queue::Overflow;

fn full(what: &'static str, limit: u64) -> Refusal {
    Refusal::Full { what, limit }
}

/// Most messages, most bytes, what is put, the refusal of the last, what dropping leaves.
type Case = (u64, u64, &'static [&'static str], Option<Refusal>, &'static [&'static str]);

/// The same bounds for a queue, or for its topic.
fn bounded(of_topic: bool, messages: u64, bytes: u64, overflow: Overflow) -> Subject {
    let (mut topic, mut queue) = (TopicPolicy::default(), QueuePolicy::default());
    if of_topic {
        (topic.capacity, topic.bytes_max, topic.overflow) = (messages, bytes, overflow);
    } else {
        (queue.messages_max, queue.bytes_max, queue.overflow) = (messages, bytes, overflow);
    }
    Subject::new(topic, vec![queue])
}

#[test]
fn what_is_over_a_bound_is_refused_or_pushes_the_oldest_out() {
    for of_topic in [false, true] {
        let count = if of_topic { "capacity" } else { "messages_max" };
        let table: [Case; 6] = [
            (0, 0, &["a", "b", "c"], None, &["a", "b", "c"]),
            (3, 0, &["a", "b", "c"], None, &["a", "b", "c"]),
            (2, 0, &["a", "b", "c"], Some(full(count, 2)), &["b", "c"]),
            (0, 4, &["aa", "bb"], None, &["aa", "bb"]),
            (0, 4, &["aa", "bb", "c"], Some(full("bytes_max", 4)), &["bb", "c"]),
            (0, 4, &["a", "bb", "cccc"], Some(full("bytes_max", 4)), &["cccc"]),
        ];
        for (messages, bytes, put, refusal, left) in table {
            let case = format!("of the topic {of_topic}, {messages} {bytes}");
            let (last, first) = put.split_last().unwrap();

            let mut refusing = bounded(of_topic, messages, bytes, Overflow::Refuse);
            refusing.put(0, first);
            let answer = refusing.try_put(0, last, Extra::default());
            assert_eq!(answer.err(), refusal, "{case}");
            let kept = if refusal.is_some() { first } else { put };
            assert_eq!(refusing.ready(QUEUE), kept, "{case}");

            let mut dropping = bounded(of_topic, messages, bytes, Overflow::DropOldest);
            dropping.put(0, put);
            assert_eq!(dropping.ready(QUEUE), left, "{case}");
            let dropped = (put.len() - left.len()) as u64;
            assert_eq!(dropping.topic.totals(QUEUE).unwrap().dropped, dropped, "{case}");
        }
    }
}

#[test]
fn a_message_that_never_fits_is_refused_and_pushes_nothing_out() {
    for of_topic in [false, true] {
        let mut subject = bounded(of_topic, 0, 4, Overflow::DropOldest);
        subject.put(0, &["a", "b"]);
        let refused = subject.try_put(0, "12345", Extra::default());
        assert_eq!(refused, Err(full("bytes_max", 4)));
        assert_eq!(subject.ready(QUEUE), ["a", "b"]);
    }
}

#[test]
fn a_queue_counts_what_waits_and_a_topic_all_that_lives() {
    let mut queue = bounded(false, 1, 0, Overflow::Refuse);
    queue.put(0, &["a"]);
    queue.lend(0, 1);
    assert!(queue.try_put(0, "b", Extra::default()).is_ok(), "what is in flight does not wait");

    let mut topic = bounded(true, 1, 0, Overflow::Refuse);
    topic.put(0, &["a"]);
    let lent = topic.lend_one(0);
    assert_eq!(topic.try_put(0, "b", Extra::default()), Err(full("capacity", 1)));
    topic.ack(0, &of(&lent)).unwrap();
    assert!(topic.try_put(0, "b", Extra::default()).is_ok());
}

#[test]
fn what_is_in_flight_is_never_dropped_for_room() {
    let mut subject = bounded(true, 2, 0, Overflow::DropOldest);
    subject.put(0, &["a", "b"]);
    let lent = subject.lend(0, 2);
    assert_eq!(subject.try_put(0, "c", Extra::default()), Err(full("capacity", 2)));
    subject.nack(0, &of(&lent[1]), &RELEASE).unwrap();
    subject.put(0, &["c"]);
    assert_eq!(subject.ready(QUEUE), ["c"]);
    assert_eq!(subject.ack(0, &of(&lent[0])), Ok(()));
}

#[test]
fn one_queue_that_refuses_refuses_for_all() {
    for refusing in [
        QueuePolicy { messages_max: 1, ..QueuePolicy::default() },
        QueuePolicy { bytes_max: 1, ..QueuePolicy::default() },
    ] {
        let mut subject =
            Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(), refusing]);
        subject.put(0, &["a"]);
        assert!(matches!(subject.try_put(0, "b", Extra::default()), Err(Refusal::Full { .. })));
        assert_eq!((subject.counts(QUEUE), subject.counts(OTHER)), ([0, 1, 0, 0], [0, 1, 0, 0]));
        let named = message("b", Extra::default());
        let placed = subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger);
        assert_eq!(placed.map(|placed| placed.seq), Ok(2), "the refused one used no number");
    }
}

#[test]
fn retention_ends_what_nobody_took_in_time() {
    for told in [true, false] {
        let mut subject =
            Subject::queue(QueuePolicy { retention_ms: 1000, ..QueuePolicy::default() });
        subject.put(0, &["a"]);
        subject.put(500, &["b"]);
        assert!(subject.topic.next_deadline().is_some_and(|next| next <= at(1000)));
        if told {
            subject.advance(999);
            assert_eq!(subject.ready(QUEUE), ["a", "b"]);
            subject.advance(1000);
            assert_eq!(subject.ready(QUEUE), ["b"]);
        }
        assert_eq!(bodies(&subject.lend(1000, 9)), ["b"], "told {told}");
        assert_eq!(subject.topic.totals(QUEUE).unwrap().expired, 1, "told {told}");
        assert_eq!(subject.topic.len(), 1, "told {told}");
    }
}

#[test]
fn retention_spares_a_delivery_until_it_comes_back() {
    let mut subject = Subject::queue(QueuePolicy { retention_ms: 1000, ..QueuePolicy::default() });
    subject.put(0, &["a", "b"]);
    let lent = subject.lend(0, 2);
    subject.advance(2000);
    assert_eq!(subject.counts(QUEUE), [0, 0, 2, 0]);
    assert_eq!(subject.ack(2000, &of(&lent[0])), Ok(()));
    subject.nack(2000, &of(&lent[1]), &RELEASE).unwrap();
    subject.advance(2000);
    assert!(subject.topic.is_empty());
}

#[test]
fn a_paused_topic_or_queue_takes_nothing() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let paused = TopicPolicy { paused_in: true, ..TopicPolicy::default() };
    subject.topic.set_policy(paused);
    assert_eq!(subject.try_put(0, "a", Extra::default()), Err(Refusal::Paused));
    subject.topic.set_policy(TopicPolicy::default());

    let paused = QueuePolicy { paused_in: true, ..QueuePolicy::default() };
    subject.topic.set_queue_policy(OTHER, paused).unwrap();
    assert_eq!(subject.try_put(0, "a", Extra::default()), Err(Refusal::Paused));
    let named = message("a", Extra::default());
    let placed = subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger);
    assert!(placed.is_ok(), "the other queue is not paused");
    assert_eq!((subject.counts(QUEUE), subject.counts(OTHER)), ([0, 1, 0, 0], [0; 4]));
}

#[test]
fn a_purge_makes_room_at_once() {
    for of_topic in [false, true] {
        let mut subject = bounded(of_topic, 2, 0, Overflow::Refuse);
        subject.put(0, &["a", "b"]);
        assert_eq!(subject.topic.purge(QUEUE, &mut subject.ledger), Ok(2));
        subject.put(0, &["c", "d"]);
        assert_eq!(subject.ready(QUEUE), ["c", "d"]);
    }
}
