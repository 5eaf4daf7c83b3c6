//! Copies with a life of their own, moves that give new times, and messages known by where they came
//! into the world.

use super::*;
use octoq::queue::{
    DeadReason, Filter, Origin, PlacedCopy, QueueDefinition, Selection, State, Target,
};
use std::collections::BTreeMap;

fn three(policy: TopicPolicy) -> Subject {
    let filter = Filter(BTreeMap::from([("a".to_owned(), vec!["x".to_owned()])]));
    let plain = QueuePolicy { retention_ms: 1000, ..QueuePolicy::default() };
    let delayed = QueuePolicy { delay_ms: 50, filter: Some(filter), ..QueuePolicy::default() };
    Subject::new(policy, vec![plain, delayed, QueuePolicy::default()])
}

fn copies(subject: &mut Subject, now: i64, body: &str) -> Result<Vec<PlacedCopy>, Refusal> {
    let extra = Extra { attributes: Some(r#"{"a":"x"}"#.into()), ..Extra::default() };
    let message = message(body, extra);
    subject.topic.publish_copies(at(now), &message, true, &mut subject.ledger)
}

fn by_origin(origin: Origin) -> Reference {
    Reference::Origin { queue: None, origin }
}

fn receive(subject: &mut Subject, now: i64, queue: u32) -> Vec<Delivery> {
    let mut out = Vec::new();
    subject.topic.receive(at(now), queue, &up_to(10), &mut out, &mut subject.ledger).unwrap();
    out
}

#[test]
fn each_queue_that_takes_a_message_gets_one_of_its_own_with_its_own_times() {
    let mut subject = three(TopicPolicy::default());
    let made = copies(&mut subject, 10, "m").unwrap();
    let seen: Vec<_> =
        made.iter().map(|copy| (copy.origin.seq, copy.visible_at, copy.expires_at)).collect();
    let never = Timestamp::NEVER;
    assert_eq!(seen, [(1, at(10), at(1010)), (2, at(60), never), (3, at(10), never)]);
    assert_eq!(subject.topic.len(), 3);
    let plain = message("m", Extra::default());
    let made = subject.topic.publish_copies(at(10), &plain, true, &mut subject.ledger).unwrap();
    assert_eq!(made.len(), 2, "the filter wants attributes");
}

#[test]
fn copies_are_refused_as_a_whole() {
    let policy = TopicPolicy { capacity: 4, ..TopicPolicy::default() };
    let mut subject = three(policy);
    copies(&mut subject, 0, "fits").unwrap();
    let refusal = Refusal::Full { what: "capacity", limit: 4 };
    assert_eq!(copies(&mut subject, 0, "does not"), Err(refusal));
    assert_eq!(subject.topic.len(), 3);
    let nobody = QueuePolicy {
        filter: Some(Filter(BTreeMap::from([("b".into(), vec![])]))),
        ..QueuePolicy::default()
    };
    let mut subject = Subject::queue(nobody);
    assert_eq!(copies(&mut subject, 0, "m"), Ok(Vec::new()));
    assert_eq!(subject.topic.unrouted(), 1);
}

#[test]
fn a_copy_ends_when_its_queue_said_at_its_publish_whatever_the_queue_says_later() {
    for later in [10, 100_000] {
        let mut subject =
            Subject::queue(QueuePolicy { retention_ms: 1000, ..QueuePolicy::default() });
        copies(&mut subject, 0, "m").unwrap();
        let policy = QueuePolicy { retention_ms: later, ..QueuePolicy::default() };
        subject.topic.set_queue_policy(QUEUE, policy).unwrap();
        subject.topic.advance(at(999), 10, &mut subject.ledger);
        assert_eq!(subject.topic.counts(QUEUE).unwrap().ready, 1);
        subject.topic.advance(at(1000), 10, &mut subject.ledger);
        assert_eq!(subject.topic.counts(QUEUE).unwrap().ready, 0);
    }
}

#[test]
fn a_message_that_moves_gets_the_delay_and_the_retention_of_its_new_queue() {
    let times = QueuePolicy { retention_ms: 500, delay_ms: 20, ..QueuePolicy::default() };
    let mut subject =
        Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(), times.clone()]);
    let own_end = Extra { expires_at: Some(at(300)), ..Extra::default() };
    for (body, extra) in [("long", Extra::default()), ("short", own_end)] {
        let message = message(body, extra);
        let to = Some(QUEUE);
        subject.topic.publish(at(0), to, message, true, &mut subject.ledger).unwrap();
    }
    let (selection, to) = (Selection::Oldest(2), Target::from(OTHER));
    subject.topic.transfer(at(100), QUEUE, &selection, to, &mut subject.ledger).unwrap();
    assert_eq!(subject.topic.counts(OTHER).unwrap().delayed, 2);
    assert!(receive(&mut subject, 119, OTHER).is_empty());
    let found = receive(&mut subject, 120, OTHER);
    let ends: Vec<Timestamp> = found.iter().map(|delivery| delivery.expires_at).collect();
    assert_eq!(ends, [at(600), at(300)], "the publisher's own end stays");
}

#[test]
fn a_shared_message_that_moves_leaves_the_times_of_the_others_alone() {
    let times = QueuePolicy { retention_ms: 500, ..QueuePolicy::default() };
    let queues = vec![QueuePolicy::default(), QueuePolicy::default(), times];
    let mut subject = Subject::new(TopicPolicy::default(), queues);
    subject.put(0, &["m"]);
    let selection = Selection::Oldest(1);
    let to = Target::from(3);
    subject.topic.transfer(at(0), QUEUE, &selection, to, &mut subject.ledger).unwrap();
    assert_eq!(receive(&mut subject, 1, OTHER)[0].expires_at, Timestamp::NEVER);
    let ends: Vec<_> = receive(&mut subject, 1, 3).iter().map(|found| found.expires_at).collect();
    assert_eq!(ends, [at(500), at(500)]);
}

#[test]
fn a_copy_is_found_wherever_it_went() {
    let mut subject = three(TopicPolicy::default());
    let made = copies(&mut subject, 0, "m").unwrap();
    let origin = made[0].origin;
    let selection = Selection::Oldest(1);
    let to = Target::from(3);
    subject.topic.transfer(at(0), QUEUE, &selection, to, &mut subject.ledger).unwrap();
    subject.topic.ack(at(1), &by_origin(origin), &mut subject.ledger).unwrap();
    let gone = subject.topic.ack(at(1), &by_origin(origin), &mut subject.ledger);
    assert_eq!(gone, Err(Refusal::MessageNotFound));
    assert_eq!(subject.topic.len(), 2, "the other copies stay");
}

#[test]
fn by_origin_a_message_is_acked_in_any_state_and_a_delayed_one_is_hastened() {
    let mut subject = three(TopicPolicy::default());
    let made = copies(&mut subject, 0, "m").unwrap();
    let (ready, delayed, held) = (made[0].origin, made[1].origin, made[2].origin);
    let delivery = receive(&mut subject, 0, 3).pop().unwrap();
    subject.topic.nack(at(1), &by_origin(delayed), &fail("early"), &mut subject.ledger).unwrap();
    assert_eq!(subject.topic.counts(OTHER).unwrap().ready, 1);
    subject.topic.nack(at(1), &by_origin(ready), &fail("waits"), &mut subject.ledger).unwrap();
    assert_eq!(receive(&mut subject, 2, QUEUE)[0].attempt, 1, "what waits is left alone");
    for origin in [ready, delayed, held] {
        subject.topic.ack(at(3), &by_origin(origin), &mut subject.ledger).unwrap();
    }
    assert!(subject.topic.is_empty());
    let late = subject.topic.ack(at(3), &of(&delivery), &mut subject.ledger);
    assert_eq!(late, Err(Refusal::ReceiptGone));
}

#[test]
fn a_message_of_several_queues_is_named_with_the_queue() {
    let mut subject =
        Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(), QueuePolicy::default()]);
    let placed = subject.put_with(0, "shared", Extra::default());
    let origin = Origin { salt: 71, seq: placed.seq };
    let nowhere = subject.topic.ack(at(1), &by_origin(origin), &mut subject.ledger);
    assert_eq!(nowhere, Err(Refusal::MessageNotFound), "which one is not said");
    let there = Reference::Origin { queue: Some(OTHER), origin };
    subject.topic.ack(at(1), &there, &mut subject.ledger).unwrap();
    let (one, other) = (subject.topic.counts(QUEUE).unwrap(), subject.topic.counts(OTHER).unwrap());
    assert_eq!((one.ready, other.ready), (1, 0));
}

#[test]
fn a_limit_that_needs_a_target_is_inactive_without_one() {
    let limit =
        QueuePolicy { max_deliveries: 1, limit_needs_target: true, ..QueuePolicy::default() };
    let mut subject = Subject::queue(limit);
    subject.put(0, &["m"]);
    for attempt in 1..=3 {
        let found = receive(&mut subject, attempt, QUEUE).pop().unwrap();
        assert_eq!(i64::from(found.attempt), attempt);
        subject.topic.nack(at(attempt), &of(&found), &fail("no"), &mut subject.ledger).unwrap();
    }
    // Itself as a target: back to work with no attempts.
    subject.topic.set_dead_letter_target(QUEUE, Some(Target::from(QUEUE))).unwrap();
    let found = receive(&mut subject, 5, QUEUE).pop().unwrap();
    subject.topic.nack(at(5), &of(&found), &fail("no"), &mut subject.ledger).unwrap();
    assert_eq!(receive(&mut subject, 6, QUEUE)[0].attempt, 1);
}

#[test]
fn who_is_over_a_lowered_limit_dies_at_once() {
    let mut subject = Subject::queue(QueuePolicy { max_deliveries: 5, ..QueuePolicy::default() });
    subject.put(0, &["twice", "once"]);
    for (now, max) in [(1, 2), (2, 1)] {
        let mut out = Vec::new();
        let request = up_to(max);
        subject.topic.receive(at(now), QUEUE, &request, &mut out, &mut subject.ledger).unwrap();
        for found in &out {
            subject.topic.nack(at(now), &of(found), &fail("no"), &mut subject.ledger).unwrap();
        }
    }
    let lower = QueuePolicy { max_deliveries: 2, ..QueuePolicy::default() };
    subject.topic.set_queue_policy(QUEUE, lower).unwrap();
    assert_eq!(subject.topic.exhausted(QUEUE), Ok(1));
    subject.topic.expel(at(3), QUEUE, &mut subject.ledger).unwrap();
    let dead = subject.topic.list(QUEUE, State::Dead, None, 10).unwrap();
    assert_eq!(seen(&dead.views), ["twice"]);
    assert_eq!(dead.views[0].dead.as_ref().unwrap().reason, DeadReason::Nacked);
}

#[test]
fn a_queue_that_is_refused_comes_back_whole() {
    let mut subject = Subject::queue(QueuePolicy::default());
    copies(&mut subject, 0, "m").unwrap();
    let detached = subject.topic.detach(at(0), QUEUE, &mut subject.ledger).unwrap();
    let mut full = Subject::queue(QueuePolicy::default());
    let mut detached = Box::new(detached);
    detached.definition = QueueDefinition { topic: 2, ..detached.definition.clone() };
    let back = full.topic.attach(at(0), detached).unwrap_err();
    subject.topic.attach(at(0), back).unwrap();
    let found = receive(&mut subject, 1, QUEUE);
    assert_eq!(bodies(&found), ["m"]);
    assert!(found[0].message.lone);
}
