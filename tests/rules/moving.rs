//! Messages and queues that change their place: transfer, purge, drop, detach and attach.

use crate::*;
use octoq::queue::{Detached, Record, Selection, State};

/// Another topic, number 2, without queues.
fn second() -> Topic {
    Topic::new(&topic_definition(2, Kind::Broker, TopicPolicy::default()), 1 << 50)
}

/// Two queues, of which only the first is filled.
fn filled(bodies: &[&str]) -> (Subject, Vec<MessageId>) {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let mut ids = Vec::new();
    for body in bodies {
        let named = message(body, Extra::default());
        let placed = subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger);
        ids.push(placed.unwrap().id.unwrap());
    }
    (subject, ids)
}

fn transfer(subject: &mut Subject, selection: Selection, to: u32) -> u64 {
    subject.topic.transfer(at(1), QUEUE, &selection, to.into(), &mut subject.ledger).unwrap()
}

#[test]
fn a_transfer_moves_ready_messages_to_the_back_of_another_queue() {
    let (mut subject, ids) = filled(&["a", "b", "c", "d"]);
    let named = message("z", Extra::default());
    subject.topic.publish(at(0), Some(OTHER), named, true, &mut subject.ledger).unwrap();
    assert_eq!(transfer(&mut subject, Selection::Oldest(2), OTHER), 2);
    assert_eq!(transfer(&mut subject, Selection::Ids(vec![ids[3].clone()]), OTHER), 1);
    assert_eq!(subject.ready(QUEUE), ["c"]);
    assert_eq!(subject.ready(OTHER), ["z", "a", "b", "d"]);
    assert_eq!(subject.topic.find(OTHER, &ids[3]).unwrap().message.id(), ids[3]);
    assert_eq!(subject.topic.totals(OTHER).unwrap().moved_in, 3);
}

#[test]
fn a_transfer_leaves_what_is_not_ready() {
    let (mut subject, ids) = filled(&["a", "b"]);
    subject.lend(0, 1);
    assert_eq!(transfer(&mut subject, Selection::Ids(ids), OTHER), 1);
    assert_eq!(transfer(&mut subject, Selection::Oldest(9), OTHER), 0);
    assert_eq!((subject.counts(QUEUE), subject.ready(OTHER)), ([0, 0, 1, 0], vec!["b".into()]));
}

#[test]
fn a_transfer_to_its_own_back_goes_round_once() {
    let (mut subject, _) = filled(&["a", "b", "c"]);
    assert_eq!(transfer(&mut subject, Selection::Oldest(2), QUEUE), 2);
    assert_eq!(subject.ready(QUEUE), ["c", "a", "b"]);
    assert_eq!(transfer(&mut subject, Selection::Oldest(99), QUEUE), 3);
    assert_eq!(subject.ready(QUEUE), ["c", "a", "b"]);
}

#[test]
fn a_transfer_to_another_topic_keeps_ids_bodies_and_order() {
    let (mut subject, ids) = filled(&["a", "b"]);
    let mut target = second();
    target.add_queue(queue_definition(7, 2, QueuePolicy::default())).unwrap();
    assert_eq!(transfer(&mut subject, Selection::Oldest(9), 7), 2);
    assert!(subject.topic.is_empty());
    for leaving in subject.topic.take_leaving() {
        target.adopt(at(1), Box::new(leaving), &mut subject.ledger).unwrap();
    }
    let views = target.peek(7, End::Front, 9).unwrap();
    assert_eq!(seen(&views), ["a", "b"]);
    let moved: Vec<_> = views.into_iter().map(|view| view.message.id()).collect();
    assert_eq!(moved, ids);
}

#[test]
fn a_purge_spares_deliveries_until_they_end_and_dead_letters() {
    let (mut subject, _) = filled(&["dead", "acked", "released", "missed", "waits"]);
    let lent = subject.lend(0, 4);
    subject.nack(0, &of(&lent[0]), &Nack::Dead { error: None }).unwrap();
    let late = message("late", Extra { deliver_at: Some(at(900)), ..Extra::default() });
    subject.topic.publish(at(0), Some(QUEUE), late, true, &mut subject.ledger).unwrap();

    assert_eq!(subject.topic.purge(QUEUE, &mut subject.ledger), Ok(2));
    assert_eq!(subject.counts(QUEUE), [0, 0, 3, 1]);
    assert!(subject.ready(QUEUE).is_empty());
    subject.advance(1000);
    assert!(subject.lend(1000, 9).is_empty(), "what was delayed is gone as well");

    assert_eq!(subject.ack(1000, &of(&lent[1])), Ok(()));
    assert_eq!(subject.nack(1000, &of(&lent[2]), &RELEASE), Ok(()));
    subject.advance(30_000);
    assert_eq!(subject.counts(QUEUE), [0, 0, 0, 1]);
    assert_eq!(subject.topic.len(), 1);
    let totals = subject.topic.totals(QUEUE).unwrap();
    assert_eq!((totals.purged, totals.acked), (4, 1));
}

#[test]
fn a_purged_delivery_neither_dies_nor_comes_back_and_a_later_one_does() {
    let policy = QueuePolicy { max_deliveries: 1, ..QueuePolicy::default() };
    let mut subject = Subject::queue(policy);
    subject.put(0, &["failed", "rejected", "missed", "unread", "extended"]);
    let lent = subject.lend(0, 5);
    subject.topic.purge(QUEUE, &mut subject.ledger).unwrap();
    subject.put(0, &["new"]);
    let new = subject.lend_one(0);
    subject.ledger.records.clear();
    subject.nack(1, &of(&lent[0]), &fail("broken")).unwrap();
    subject.nack(1, &of(&lent[1]), &Nack::Dead { error: None }).unwrap();
    subject.nack(1, &of(&lent[3]), &Nack::Unread).unwrap();
    subject.topic.extend(at(1), &of(&lent[4]), ms(40_000)).unwrap();
    subject.nack(1, &of(&new), &fail("broken")).unwrap();
    assert_eq!(subject.counts(QUEUE), [0, 0, 2, 1]);
    subject.advance(30_000);
    assert_eq!(subject.counts(QUEUE), [0, 0, 1, 1]);
    assert_eq!(subject.ack(30_001, &of(&lent[4])), Ok(()));
    let totals = subject.topic.totals(QUEUE).unwrap();
    assert_eq!((totals.purged, totals.acked, totals.died, totals.nacked), (4, 1, 1, 3));
    let removed = |record: &&Record| matches!(record, Record::Removed { .. });
    assert_eq!(subject.ledger.records.iter().filter(removed).count(), 5);
    assert_eq!(subject.ledger.records.len(), 6, "and one death");
}

#[test]
fn a_purge_and_a_clear_are_one_record_whatever_is_there() {
    for clear in [false, true] {
        let (mut subject, _) = filled(&["lent", "dead", "returned", "ready"]);
        let lent = subject.lend(0, 3);
        subject.nack(0, &of(&lent[1]), &Nack::Dead { error: None }).unwrap();
        subject.nack(0, &of(&lent[2]), &RELEASE).unwrap();
        let late = message("late", Extra { deliver_at: Some(at(900)), ..Extra::default() });
        subject.topic.publish(at(0), Some(QUEUE), late, true, &mut subject.ledger).unwrap();
        subject.ledger.records.clear();
        let (topic, ledger) = (&mut subject.topic, &mut subject.ledger);
        let gone = if clear { topic.clear(QUEUE, ledger) } else { topic.purge(QUEUE, ledger) };
        assert_eq!(gone, Ok(3 + u64::from(clear)));
        assert_eq!(ledger.records, [Record::Purged { queue: QUEUE, through: 5 }]);
        assert_eq!(subject.counts(QUEUE), [0, 0, u64::from(!clear), 1]);
        // Also before its memory is given back.
        let id = &lent[0].message.id();
        let there = subject.topic.find(QUEUE, id).map(|view| view.state);
        let expected = if clear { Err(Refusal::MessageNotFound) } else { Ok(State::InFlight) };
        assert_eq!(there, expected);
        let again = subject.topic.clear(QUEUE, &mut subject.ledger);
        assert_eq!(again, Ok(u64::from(!clear)));
        assert_eq!(subject.ack(0, &of(&lent[0])), Err(Refusal::ReceiptGone));
        subject.topic.extend(at(0), &of(&lent[0]), ms(1)).unwrap_err();
        subject.put(0, &["new"]);
        assert_eq!(bodies(&subject.lend(0, 9)), ["new"]);
        subject.advance(60_000);
        assert_eq!(subject.counts(QUEUE), [0, 1, 0, 1]);
        assert_eq!(subject.topic.len(), 2);
    }
}

#[test]
fn a_purged_delivery_stays_purged_in_the_topic_its_queue_goes_to() {
    for shared in [false, true] {
        let queues = vec![QueuePolicy::default(); 1 + usize::from(shared)];
        let mut subject = Subject::new(TopicPolicy::default(), queues);
        subject.put(0, &["acked", "missed"]);
        let lent = subject.lend(0, 2);
        subject.topic.purge(QUEUE, &mut subject.ledger).unwrap();
        subject.put(0, &["new"]);
        let new = subject.lend_one(0);
        subject.ledger.records.clear();
        let mut target = second();
        target.attach(at(0), detach(&mut subject, 0)).unwrap();
        // Only what lives in the store can be told to move there.
        let moved = |record: &&Record| matches!(record, Record::Moved { .. });
        assert_eq!(subject.ledger.records.iter().filter(moved).count(), usize::from(shared));
        target.ack(at(1), &of(&lent[0]), &mut subject.ledger).unwrap();
        target.nack(at(1), &of(&new), &RELEASE, &mut subject.ledger).unwrap();
        target.purge(7, &mut subject.ledger).unwrap_err();
        while target.advance(at(60_000), 9, &mut subject.ledger).more {}
        assert_eq!(seen(&target.peek(QUEUE, End::Front, 9).unwrap()), ["new"]);
        assert_eq!(target.len(), 1);
        if shared {
            assert_eq!(subject.ready(OTHER), ["acked", "missed", "new"]);
        }
    }
}

#[test]
fn a_purge_of_one_queue_leaves_the_messages_to_the_others() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    subject.put(0, &["a", "b"]);
    assert_eq!(subject.topic.purge(QUEUE, &mut subject.ledger), Ok(2));
    subject.put(0, &["c"]);
    subject.advance(0);
    assert_eq!(subject.ready(QUEUE), ["c"]);
    assert_eq!(subject.ready(OTHER), ["a", "b", "c"]);
}

#[test]
fn a_dropped_queue_is_gone_with_what_only_it_held() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    subject.put(0, &["both"]);
    let named = message("only here", Extra::default());
    subject.topic.publish(at(0), Some(QUEUE), named, true, &mut subject.ledger).unwrap();
    let lent = subject.lend_one(0);
    assert_eq!(subject.topic.drop_queue(QUEUE).unwrap().number, QUEUE);
    assert_eq!(subject.topic.drop_queue(QUEUE), Err(Refusal::QueueNotFound));
    subject.advance(0);
    assert_eq!(subject.ack(0, &of(&lent)), Err(Refusal::ReceiptGone));
    assert_eq!((subject.ready(OTHER), subject.topic.len()), (vec!["both".to_owned()], 1));
}

fn detach(subject: &mut Subject, now: i64) -> Box<Detached> {
    Box::new(subject.topic.detach(at(now), QUEUE, &mut subject.ledger).unwrap())
}

#[test]
fn a_queue_goes_to_another_topic_with_its_order_ids_and_deliveries() {
    let mut subject = Subject::queue(QueuePolicy { max_deliveries: 0, ..QueuePolicy::default() });
    let ids = subject.put(0, &["a", "b", "c", "d"]);
    let lent = subject.lend(0, 3);
    subject.nack(0, &of(&lent[2]), &Nack::Dead { error: Some("bad".to_owned()) }).unwrap();
    subject.put_with(0, "late", Extra { deliver_at: Some(at(900)), ..Extra::default() });
    subject.put_with(0, "high", Extra { priority: 9, ..Extra::default() });

    let detached = detach(&mut subject, 1);
    assert!(subject.topic.is_empty());
    assert_eq!(subject.ack(1, &of(&lent[0])), Err(Refusal::ReceiptGone), "it is not here now");
    let mut target = second();
    target.attach(at(1), detached).unwrap();

    assert_eq!(seen(&target.peek(QUEUE, End::Front, 9).unwrap()), ["high", "d"]);
    let counts = target.counts(QUEUE).unwrap();
    assert_eq!([counts.delayed, counts.ready, counts.in_flight, counts.dead], [1, 2, 2, 1]);
    let states = [State::InFlight, State::InFlight, State::Dead, State::Ready];
    for (id, state) in ids.iter().zip(states) {
        assert_eq!(target.find(QUEUE, id).unwrap().state, state);
    }
    let letter = target.find(QUEUE, &ids[2]).unwrap().dead.unwrap();
    assert_eq!(letter.failures[0].error.as_deref(), Some("bad"));

    // A receipt given there is good here; a deadline that was running there passes here.
    target.ack(at(2), &of(&lent[0]), &mut subject.ledger).unwrap();
    while target.advance(at(30_000), 9, &mut subject.ledger).more {}
    assert_eq!(
        seen(&target.peek(QUEUE, End::Front, 9).unwrap()),
        ["high", "b", "d", "late"].map(String::from)
    );
    assert!(matches!(
        target.ack(at(30_000), &of(&lent[1]), &mut subject.ledger),
        Err(Refusal::ReceiptGone)
    ));
}

#[test]
fn a_queue_that_shares_messages_takes_copies_with_the_same_ids() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let ids = subject.put(0, &["a", "b"]);
    let mut target = second();
    let detached = detach(&mut subject, 0);
    target.attach(at(0), detached).unwrap();
    assert_eq!(subject.ready(OTHER), ["a", "b"]);
    let views = target.peek(QUEUE, End::Front, 9).unwrap();
    assert_eq!(seen(&views), ["a", "b"]);
    assert!(views.iter().map(|view| view.message.id()).eq(ids));
    subject.topic.purge(OTHER, &mut subject.ledger).unwrap();
    subject.advance(0);
    assert_eq!((subject.topic.len(), target.len()), (0, 2));
}

#[test]
fn a_detached_queue_comes_back_when_its_name_is_taken() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a"]);
    let detached = detach(&mut subject, 0);
    subject.topic.add_queue(queue_definition(QUEUE, 1, QueuePolicy::default())).unwrap();
    let back = subject.topic.attach(at(0), detached).unwrap_err();
    subject.topic.drop_queue(QUEUE).unwrap();
    subject.topic.attach(at(0), back).unwrap();
    assert_eq!(subject.ready(QUEUE), ["a"]);
}

#[test]
fn what_is_published_after_an_attach_stands_behind_what_came_with_the_queue() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b"]);
    let mut target = second();
    target.attach(at(0), detach(&mut subject, 0)).unwrap();
    let new = message("c", Extra::default());
    target.publish(at(1), None, new, true, &mut subject.ledger).unwrap();
    assert_eq!(seen(&target.peek(QUEUE, End::Front, 9).unwrap()), ["a", "b", "c"]);
}
