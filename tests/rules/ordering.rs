//! Ordering keys: of each at most one is in flight, in the order of the publishes, and no key keeps the
//! others waiting.

use crate::*;
use octoq::queue::{Selection, Target};
use std::collections::BTreeMap;

/// A message whose ordering key is the first letter of its text.
fn keyed(body: &str) -> Extra {
    Extra { ordering_key: Some(Bytes::copy_from_slice(&body.as_bytes()[..1])), ..Extra::default() }
}

fn put_keyed(subject: &mut Subject, now: i64, bodies: &[&str]) {
    for body in bodies {
        subject.put_with(now, body, keyed(body));
    }
}

/// A queue with these, each under the key of its first letter.
fn with(bodies: &[&str]) -> Subject {
    let mut subject = Subject::queue(QueuePolicy::default());
    put_keyed(&mut subject, 0, bodies);
    subject
}

/// All that is handed out one by one, each acked before the next.
fn serially(subject: &mut Subject, now: i64) -> Vec<String> {
    std::iter::from_fn(|| {
        let lent = subject.lend(now, 1).pop()?;
        subject.ack(now, &of(&lent)).unwrap();
        Some(text(lent.message.body()))
    })
    .collect()
}

#[test]
fn of_each_key_one_is_out_and_the_rest_goes_on() {
    let mut subject = with(&["a1", "a2", "b1", "a3", "b2"]);
    subject.put(0, &["x", "y"]);
    let lent = subject.lend(0, 10);
    assert_eq!(bodies(&lent), ["a1", "b1", "x", "y"]);
    assert!(subject.lend(0, 10).is_empty());
    assert_eq!(subject.counts(QUEUE), [0, 3, 4, 0]);
    assert_eq!(
        subject.ready(QUEUE),
        ["a2", "a3", "b2"],
        "what has to wait is looked at like the rest"
    );
    assert!(!subject.topic.is_ready_in(QUEUE));
    subject.ack(0, &of(&lent[1])).unwrap();
    assert!(subject.topic.is_ready_in(QUEUE) && subject.topic.take_freed());
    assert_eq!(bodies(&subject.lend(0, 10)), ["b2"]);
}

#[test]
fn each_queue_has_its_own_deliveries_of_a_key() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    put_keyed(&mut subject, 0, &["a1", "a2"]);
    for queue in [QUEUE, OTHER] {
        assert_eq!(bodies(&subject.receive(0, queue, &up_to(9))), ["a1"]);
    }
}

/// Ends what is out in one way.
type Ending = fn(&mut Subject, &Delivery);

#[test]
fn a_key_goes_on_when_its_delivery_ended_for_good() {
    let ends: [(&str, Ending); 7] = [
        ("acked", |subject, out| subject.ack(0, &of(out)).unwrap()),
        ("acked by id", |subject, out| subject.ack(0, &by_id(QUEUE, &out.message.id())).unwrap()),
        ("rejected", |subject, out| {
            subject.nack(0, &of(out), &Nack::Dead { error: None }).unwrap()
        }),
        ("deleted", |subject, out| {
            subject.topic.delete(QUEUE, &out.message.id(), &mut subject.ledger).unwrap()
        }),
        ("unpublished", |subject, out| subject.topic.unpublish(&[out.message.seq])),
        ("damaged", |subject, out| {
            assert_eq!(subject.topic.quarantine(vec![out.message.number]), 1)
        }),
        ("died", |subject, out| {
            let policy = QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() };
            subject.topic.set_queue_policy(QUEUE, policy).unwrap();
            subject.nack(0, &of(out), &fail("no")).unwrap();
        }),
    ];
    for (name, end) in ends {
        let mut subject = with(&["a1", "a2"]);
        let out = subject.lend_one(0);
        assert!(subject.lend(0, 9).is_empty(), "{name}");
        end(&mut subject, &out);
        assert_eq!(bodies(&subject.lend(0, 9)), ["a2"], "{name}");
    }
}

#[test]
fn what_is_taken_frees_its_key_at_once() {
    let mut subject = with(&["a1", "b1", "a2", "a3"]);
    let taken = subject.receive(0, QUEUE, &Receive { take: true, ..up_to(9) });
    assert_eq!(bodies(&taken), ["a1", "b1", "a2", "a3"]);
}

#[test]
fn what_comes_back_is_the_first_of_its_key_and_holds_it_up_while_it_waits() {
    for returns in [Returns::Place, Returns::Front, Returns::Back] {
        let mut subject = Subject::queue(QueuePolicy { returns, ..QueuePolicy::default() });
        put_keyed(&mut subject, 0, &["a1", "a2", "b1"]);
        for nack in [RELEASE, fail("again"), Nack::Unread] {
            let out = subject.lend_one(0);
            subject.nack(0, &of(&out), &nack).unwrap();
            let again = subject.lend(0, 9);
            assert!(bodies(&again).contains(&"a1".to_owned()), "{returns:?} {nack:?}");
            assert!(!bodies(&again).contains(&"a2".to_owned()), "{returns:?} {nack:?}");
            again.iter().for_each(|out| subject.nack(0, &of(out), &Nack::Unread).unwrap());
        }
        let later = Some(ms(50));
        for (now, nack) in
            [(0, Nack::Release { delay: later }), (50, Nack::Fail { delay: later, error: None })]
        {
            let a1 = subject.lend(now, 9).remove(0);
            assert_eq!(text(a1.message.body()), "a1");
            subject.nack(now, &of(&a1), &nack).unwrap();
            assert!(subject.lend(now + 49, 9).is_empty(), "{returns:?} {nack:?}");
        }
        assert_eq!(serially(&mut subject, 100), ["a1", "a2"], "{returns:?}");
    }
}

#[test]
fn what_dies_while_it_waits_is_not_handed_out_and_holds_up_nobody() {
    let mut subject = with(&["a1", "b1", "b2"]);
    for out in subject.lend(0, 9) {
        subject.nack(0, &of(&out), &fail("no")).unwrap();
    }
    let policy = QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() };
    subject.topic.set_queue_policy(QUEUE, policy).unwrap();
    subject.topic.expel(at(0), QUEUE, &mut subject.ledger).unwrap();
    assert_eq!(subject.counts(QUEUE), [0, 1, 0, 2]);
    assert_eq!(serially(&mut subject, 0), ["b2"]);
    assert!(!subject.topic.is_ready_in(QUEUE));
}

#[test]
fn a_missed_deadline_gives_the_key_back_with_the_same_message_first() {
    let mut subject = with(&["a1", "a2"]);
    subject.lend_one(0);
    subject.advance(30_000);
    let again = subject.lend(30_000, 9);
    assert_eq!((bodies(&again), again[0].attempt), (vec!["a1".to_owned()], 2));
}

#[test]
fn what_is_published_for_later_holds_up_what_comes_after_it() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put_with(0, "a1", Extra { deliver_at: Some(at(100)), ..keyed("a") });
    put_keyed(&mut subject, 0, &["a2", "b1"]);
    assert_eq!(serially(&mut subject, 99), ["b1"]);
    assert_eq!(serially(&mut subject, 100), ["a1", "a2"]);
}

#[test]
fn a_key_goes_on_when_what_held_it_up_is_gone() {
    let gone: [(&str, Ending); 3] = [
        ("expired", |subject, _| {
            subject.advance(60);
        }),
        ("acked by id", |subject, out| {
            let id = out.message.id();
            subject.ack(60, &Reference::Anywhere { queue: QUEUE, id }).unwrap();
        }),
        ("deleted", |subject, out| {
            subject.topic.delete(QUEUE, &out.message.id(), &mut subject.ledger).unwrap()
        }),
    ];
    for (name, end) in gone {
        let mut subject = Subject::queue(QueuePolicy::default());
        subject.put_with(0, "a1", Extra { expires_at: Some(at(60)), ..keyed("a") });
        put_keyed(&mut subject, 0, &["a2"]);
        let out = subject.lend_one(0);
        subject.nack(0, &of(&out), &Nack::Release { delay: Some(ms(500)) }).unwrap();
        assert!(subject.lend(59, 9).is_empty(), "{name}");
        subject.topic.take_freed();
        end(&mut subject, &out);
        assert!(subject.topic.take_freed(), "{name}");
        assert_eq!(bodies(&subject.lend(60, 9)), ["a2"], "{name}");
    }
}

#[test]
fn a_higher_priority_of_a_key_comes_first_but_not_while_another_is_out() {
    let mut subject = with(&["a1", "a2"]);
    let low = subject.lend_one(0);
    subject.put_with(0, "a9", Extra { priority: 9, ..keyed("a") });
    subject.put_with(0, "b5", Extra { priority: 5, ..keyed("b") });
    assert_eq!(bodies(&subject.lend(0, 9)), ["b5"]);
    subject.nack(0, &of(&low), &fail("again")).unwrap();
    assert_eq!(serially(&mut subject, 0), ["a9", "a1", "a2"]);
}

#[test]
fn what_is_published_to_the_front_is_the_first_of_its_key() {
    let mut subject = with(&["a1", "a2"]);
    subject.put_with(0, "a0", Extra { front: true, ..keyed("a") });
    assert_eq!(serially(&mut subject, 0), ["a0", "a1", "a2"]);
}

#[test]
fn from_the_back_the_youngest_keys_come_first_but_each_in_its_order() {
    let mut subject = with(&["a1", "a2", "b1", "b2", "c1"]);
    subject.put(0, &["x"]);
    let lent = subject.receive(0, QUEUE, &Receive { from_back: true, ..up_to(9) });
    assert_eq!(bodies(&lent), ["x", "c1", "b1", "a1"]);
}

/// After which delivery each text is there, of deliveries acked one by one.
fn when_served(subject: &mut Subject, max: usize) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    loop {
        let lent = subject.lend(0, max);
        if lent.is_empty() {
            return served;
        }
        for out in lent {
            served.insert(text(out.message.body()), served.len() + 1);
            subject.ack(0, &of(&out)).unwrap();
        }
    }
}

#[test]
fn a_hot_key_and_cold_ones_are_all_served_soon() {
    for max in [1, 3, 100] {
        let mut subject = Subject::queue(QueuePolicy::default());
        for n in 0..1_000 {
            subject.put_with(0, &format!("h{n:04}"), keyed("h"));
        }
        for cold in "abcdefg".chars() {
            put_keyed(&mut subject, 0, &[&format!("{cold}1"), &format!("{cold}2")]);
        }
        subject.put(0, &["x", "y", "z"]);
        let served = when_served(&mut subject, max);
        assert_eq!(served.len(), 1_017);
        for (body, at) in &served {
            if let Some(nth) = body.strip_prefix('h') {
                // Hot ones in their order, and at least one in each round.
                let nth: usize = nth.parse().unwrap();
                assert!(*at > nth && *at <= nth + 18, "{body} as number {at}, {max} at a time");
            } else {
                assert!(*at <= 42, "{body} as number {at}, {max} at a time");
            }
        }
    }
}

#[test]
fn keys_that_became_free_take_turns_with_each_other_and_with_the_rest() {
    let mut subject = with(&["a1", "a2", "a3", "b1", "b2", "b3"]);
    subject.put(0, &["1", "2", "3", "4"]);
    let order = serially(&mut subject, 0);
    assert_eq!(order, ["a1", "b1", "a2", "1", "b2", "2", "a3", "3", "b3", "4"]);
}

#[test]
fn a_hot_key_goes_on_behind_a_long_backlog_that_grows() {
    let mut subject = with(&["h1", "h2", "h3", "h4"]);
    let mut hot = 0;
    for n in 0..20 {
        subject.put(n, &["x", "y"]);
        let out = subject.lend_one(n);
        hot += usize::from(out.message.body().starts_with(b"h"));
        subject.ack(n, &of(&out)).unwrap();
    }
    assert_eq!(hot, 4);
}

#[test]
fn what_waits_for_its_key_is_counted_bounded_and_kept_like_the_rest() {
    let policy = QueuePolicy {
        messages_max: 3,
        overflow: octoq::queue::Overflow::DropOldest,
        retention_ms: 1_000,
        ..QueuePolicy::default()
    };
    let mut subject = Subject::queue(policy);
    put_keyed(&mut subject, 0, &["a1"]);
    let out = subject.lend_one(0);
    put_keyed(&mut subject, 10, &["a2"]);
    put_keyed(&mut subject, 20, &["a3", "a4", "a5"]);
    assert_eq!(subject.ready(QUEUE), ["a3", "a4", "a5"], "the oldest was dropped");
    assert_eq!(subject.topic.counts(QUEUE).unwrap().oldest_ready, Some(at(20)));
    subject
        .topic
        .delete(
            QUEUE,
            &subject.topic.peek(QUEUE, End::Front, 2).unwrap()[1].message.id(),
            &mut subject.ledger,
        )
        .unwrap();
    assert_eq!(subject.ready(QUEUE), ["a3", "a5"]);
    subject.advance(1_020);
    assert_eq!(subject.counts(QUEUE), [0, 0, 1, 0], "as old as the queue keeps them");
    assert_eq!(subject.topic.totals(QUEUE).unwrap().expired, 2);
    subject.ack(1_020, &of(&out)).unwrap();
    assert!(subject.topic.is_empty());
}

#[test]
fn a_purge_leaves_the_key_with_what_is_out_and_a_clear_does_not() {
    let mut subject = with(&["a1", "a2", "b1", "b2"]);
    let a1 = subject.lend_one(0);
    assert_eq!(subject.topic.purge(QUEUE, &mut subject.ledger), Ok(3));
    put_keyed(&mut subject, 0, &["a3", "b3"]);
    let b3 = subject.lend(0, 9);
    assert_eq!(bodies(&b3), ["b3"]);
    subject.nack(0, &of(&a1), &fail("no")).unwrap();
    assert_eq!(bodies(&subject.lend(0, 9)), ["a3"], "what was purged while it was out is gone");
    put_keyed(&mut subject, 0, &["a4", "b4"]);
    assert_eq!(subject.topic.clear(QUEUE, &mut subject.ledger), Ok(4));
    put_keyed(&mut subject, 0, &["a5", "b5"]);
    assert_eq!(bodies(&subject.lend(0, 9)), ["a5", "b5"]);
    subject.advance(1);
    assert_eq!(subject.topic.len(), 2);
}

#[test]
fn what_moves_stands_at_the_end_of_its_key_there() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    for (queue, body) in [(QUEUE, "a1"), (QUEUE, "a2"), (OTHER, "a3"), (OTHER, "a4")] {
        let message = message(body, keyed(body));
        subject.topic.publish(at(0), Some(queue), message, true, &mut subject.ledger).unwrap();
    }
    let a1 = subject.lend_one(0);
    let moved = subject.topic.transfer(
        at(0),
        QUEUE,
        &Selection::Oldest(9),
        Target::from(OTHER),
        &mut subject.ledger,
    );
    assert_eq!(moved, Ok(1));
    assert_eq!(subject.ready(OTHER), ["a3", "a4", "a2"]);
    subject.nack(0, &of(&a1), &Nack::Dead { error: None }).unwrap();
    let redriven = subject.topic.redrive(
        at(0),
        QUEUE,
        &Selection::Oldest(9),
        Some(Target::from(OTHER)),
        &mut subject.ledger,
    );
    assert_eq!(redriven, Ok(1));
    for expected in ["a3", "a4", "a2", "a1"] {
        let out = subject.receive(0, OTHER, &up_to(9));
        assert_eq!(bodies(&out), [expected]);
        subject.ack(0, &of(&out[0])).unwrap();
    }
}

#[test]
fn a_queue_takes_its_keys_along_to_another_topic() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    put_keyed(&mut subject, 0, &["a1", "a2", "b1", "b2"]);
    let lent = subject.lend(0, 9);
    assert_eq!(bodies(&lent), ["a1", "b1"]);
    let detached = subject.topic.detach(at(0), QUEUE, &mut subject.ledger).unwrap();
    let mut other = Topic::new(&topic_definition(2, Kind::Broker, TopicPolicy::default()), 1 << 41);
    other.attach(at(0), Box::new(detached)).unwrap();
    let mut subject = Subject { topic: other, ledger: subject.ledger };
    assert!(subject.lend(0, 9).is_empty());
    subject.ack(0, &of(&lent[0])).unwrap();
    assert_eq!(bodies(&subject.lend(0, 9)), ["a2"]);
}

#[test]
fn a_key_has_1_to_255_bytes_of_any_kind() {
    let mut subject = Subject::queue(QueuePolicy::default());
    for (bytes, fits) in [(0, false), (1, true), (255, true), (256, false)] {
        let key = Bytes::from(vec![0xff; bytes]);
        let extra = Extra { ordering_key: Some(key), ..Extra::default() };
        let expected = if fits { Ok(()) } else { Err(Refusal::OutOfBounds("ordering_key")) };
        assert_eq!(subject.try_put(0, "x", extra.clone()).map(drop), expected, "{bytes}");
        let copies =
            subject.topic.publish_copies(at(0), &message("x", extra), true, &mut subject.ledger);
        assert_eq!(copies.map(drop), expected, "{bytes}");
    }
}
