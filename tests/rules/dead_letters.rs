//! Messages that failed too often, and their way back to work.

use crate::*;
use octoq::queue::{
    DeadReason, Selection, State,
    record::{ERROR_BYTES_MAX, FAILURES_MAX},
};

fn deliveries(max_deliveries: u32) -> QueuePolicy {
    QueuePolicy { max_deliveries, ..QueuePolicy::default() }
}

/// Sends the next ready message straight to the dead letters.
fn reject(subject: &mut Subject, now: i64) {
    let lent = subject.lend_one(now);
    subject.nack(now, &of(&lent), &Nack::Dead { error: Some("bad".to_owned()) }).unwrap();
}

#[test]
fn a_dead_letter_tells_why_it_died_and_how_it_failed_before() {
    // How the second delivery ends, and the reason and the last error this gives.
    let table = [
        ("nack", DeadReason::Nacked, Some("second")),
        ("miss", DeadReason::DeadlineMissed, None),
        ("reject", DeadReason::Rejected, Some("bad")),
    ];
    for (end, reason, error) in table {
        let mut subject = Subject::queue(deliveries(2));
        let id = subject.put(0, &["a"]).remove(0);
        let lent = subject.lend_one(0);
        subject.nack(10, &of(&lent), &fail("first")).unwrap();
        match end {
            "nack" => {
                let lent = subject.lend_one(20);
                subject.nack(30, &of(&lent), &fail("second")).unwrap();
            }
            "miss" => {
                subject.lend_one(20);
                subject.advance(30_020);
            }
            _ => reject(&mut subject, 20),
        }
        assert_eq!(subject.counts(QUEUE), [0, 0, 0, 1], "{end}");
        let view = subject.topic.find(QUEUE, &id).unwrap();
        assert_eq!(view.state, State::Dead, "{end}");
        let letter = view.dead.unwrap();
        assert_eq!((letter.reason, letter.attempts, letter.revived), (reason, 2, false), "{end}");
        let failures: Vec<_> = letter
            .failures
            .iter()
            .map(|failure| (failure.attempt, failure.reason, failure.error.as_deref()))
            .collect();
        assert_eq!(failures, [(1, DeadReason::Nacked, Some("first")), (2, reason, error)]);
        assert_eq!(letter.failures[0].at, at(10), "{end}");
        assert_eq!(letter.failures[1].at, letter.at, "{end}");
        assert!(subject.lend(40_000, 1).is_empty(), "{end}: it is not handed out");
        assert_eq!(subject.topic.totals(QUEUE).unwrap().died, 1, "{end}");
    }
}

#[test]
fn a_message_dies_at_the_last_allowed_delivery_or_never() {
    for (max, fails, dead) in [(1, 1, true), (3, 2, false), (3, 3, true), (0, 50, false)] {
        let mut subject = Subject::queue(deliveries(max));
        subject.put(0, &["a"]);
        for _ in 0..fails {
            let lent = subject.lend_one(0);
            subject.nack(0, &of(&lent), &fail("no")).unwrap();
        }
        assert_eq!(subject.counts(QUEUE)[3], u64::from(dead), "{max} {fails}");
    }
}

#[test]
fn only_the_newest_failures_are_kept_and_long_errors_are_cut_between_characters() {
    let mut subject = Subject::queue(deliveries(0));
    let id = subject.put(0, &["a"]).remove(0);
    let long = format!("x{}", "ä".repeat(ERROR_BYTES_MAX));
    for _ in 0..FAILURES_MAX + 4 {
        let lent = subject.lend_one(0);
        subject.nack(0, &of(&lent), &fail(&long)).unwrap();
    }
    reject(&mut subject, 0);
    let letter = subject.topic.find(QUEUE, &id).unwrap().dead.unwrap();
    assert_eq!(letter.failures.len(), FAILURES_MAX);
    assert_eq!(letter.failures[0].attempt, 6);
    let kept = letter.failures[0].error.as_deref().unwrap();
    assert!(long.starts_with(kept));
    assert_eq!(kept.len(), ERROR_BYTES_MAX - 1);
}

#[test]
fn only_so_many_dead_letters_are_kept_and_the_oldest_goes_first() {
    for (dead_max, left) in [(2, vec!["b", "c"]), (0, vec!["a", "b", "c"])] {
        let mut subject = Subject::queue(QueuePolicy { dead_max, ..deliveries(1) });
        subject.put(0, &["a", "b", "c"]);
        (0..3).for_each(|_| reject(&mut subject, 0));
        let dead = subject.topic.list(QUEUE, State::Dead, None, 10).unwrap();
        assert_eq!(seen(&dead.views), left, "{dead_max}");
        assert_eq!(subject.topic.len(), left.len());
        assert_eq!(subject.topic.totals(QUEUE).unwrap().dropped, 3 - left.len() as u64);
    }
}

#[test]
fn a_dead_letter_outlives_its_time_to_live() {
    let mut subject = Subject::queue(deliveries(1));
    subject.put_with(0, "a", Extra { expires_at: Some(at(100)), ..Extra::default() });
    reject(&mut subject, 0);
    subject.advance(1000);
    assert_eq!(subject.counts(QUEUE), [0, 0, 0, 1]);
}

#[test]
fn a_dead_letter_may_go_to_another_queue_of_the_topic_and_wait_there() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![deliveries(1); 2]);
    subject.topic.set_dead_letter_target(QUEUE, Some(octoq::queue::Target::from(OTHER))).unwrap();
    let named = message("a", Extra::default());
    let placed =
        subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger).unwrap();
    reject(&mut subject, 5);
    assert_eq!((subject.counts(QUEUE), subject.counts(OTHER)), ([0; 4], [0, 1, 0, 0]));
    let id = placed.id.unwrap();
    let view = subject.topic.find(OTHER, &id).unwrap();
    let letter = view.dead.unwrap();
    assert_eq!((view.attempts, letter.reason), (0, DeadReason::Rejected));
    assert!(letter.revived, "it waits again");
    assert_eq!(letter.failures[0].error.as_deref(), Some("bad"));
    let lent = subject.receive(6, OTHER, &up_to(1)).remove(0);
    assert_eq!((lent.message.id(), lent.attempt), (id, 1));
    assert_eq!(subject.topic.totals(OTHER).unwrap().moved_in, 1);
}

#[test]
fn a_dead_letter_that_its_target_already_holds_is_there_twice() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![deliveries(1); 2]);
    subject.topic.set_dead_letter_target(QUEUE, Some(octoq::queue::Target::from(OTHER))).unwrap();
    subject.put(0, &["a"]);
    reject(&mut subject, 0);
    assert_eq!(subject.ready(OTHER), ["a", "a"]);
}

#[test]
fn a_dead_letter_may_go_to_a_queue_of_another_topic_with_its_id_and_history() {
    let mut subject = Subject::queue(deliveries(1));
    let definition = topic_definition(2, Kind::Broker, TopicPolicy::default());
    let mut target = Topic::new(&definition, 1 << 50);
    target.add_queue(queue_definition(7, 2, deliveries(1))).unwrap();
    subject.topic.set_dead_letter_target(QUEUE, Some(octoq::queue::Target::from(7))).unwrap();
    let id = subject.put(0, &["a"]).remove(0);
    reject(&mut subject, 5);
    assert!(subject.topic.is_empty());

    let mut leaving = subject.topic.take_leaving();
    assert!(subject.topic.take_leaving().is_empty(), "told once");
    let arriving = Box::new(leaving.pop().unwrap());
    assert!(leaving.is_empty());
    assert_eq!(arriving.to_queue, 7);
    let back = subject.topic.adopt(at(6), arriving, &mut subject.ledger).unwrap_err();
    target.adopt(at(6), back, &mut subject.ledger).unwrap();

    let view = target.find(7, &id).unwrap();
    assert_eq!((view.state, view.attempts), (State::Ready, 0));
    assert_eq!(view.dead.unwrap().failures[0].error.as_deref(), Some("bad"));
    let mut out = Vec::new();
    target.receive(at(6), 7, &up_to(1), &mut out, &mut subject.ledger).unwrap();
    assert_eq!((&out[0].message.id(), out[0].message.body()), (&id, &b"a"[..]));
    target.ack(at(6), &of(&out[0]), &mut subject.ledger).unwrap();
    assert!(target.is_empty());
}

#[test]
fn a_redrive_brings_dead_letters_to_the_back_with_no_attempts_counted() {
    let mut subject = Subject::queue(deliveries(1));
    let ids = subject.put(0, &["a", "b", "c"]);
    (0..3).for_each(|_| reject(&mut subject, 0));
    subject.put(0, &["d"]);
    let redrive = |subject: &mut Subject, selection: Selection| {
        subject.topic.redrive(at(1), QUEUE, &selection, None, &mut subject.ledger).unwrap()
    };
    let c_twice_and_none =
        Selection::Ids(vec![ids[2].clone(), ids[2].clone(), MessageId::Client("nobody".into())]);
    assert_eq!(redrive(&mut subject, c_twice_and_none), 1);
    assert_eq!(redrive(&mut subject, Selection::Oldest(1)), 1);
    assert_eq!(subject.ready(QUEUE), ["d", "c", "a"]);
    assert_eq!(redrive(&mut subject, Selection::Oldest(100)), 1);
    assert_eq!(redrive(&mut subject, Selection::Oldest(100)), 0);
    assert_eq!(subject.ready(QUEUE), ["d", "c", "a", "b"]);
    let view = subject.topic.find(QUEUE, &ids[2]).unwrap();
    assert_eq!((view.state, view.attempts), (State::Ready, 0));
    assert!(view.dead.is_some_and(|letter| letter.revived && letter.failures.len() == 1));
}

#[test]
fn a_redrive_may_go_to_another_queue() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![deliveries(1); 2]);
    let named = message("a", Extra::default());
    subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger).unwrap();
    reject(&mut subject, 0);
    let all = Selection::Oldest(9);
    let moved = subject.topic.redrive(at(1), QUEUE, &all, Some(OTHER.into()), &mut subject.ledger);
    assert_eq!(moved, Ok(1));
    assert_eq!((subject.counts(QUEUE), subject.ready(OTHER)), ([0; 4], vec!["a".to_owned()]));
}
