//! Receive, ack, nack, extend, and deadlines that pass.

use crate::*;

#[test]
fn a_receive_hands_out_at_most_as_many_as_it_asks_for() {
    for (max, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (9, 3), (usize::MAX, 3)] {
        let mut subject = Subject::queue(QueuePolicy::default());
        subject.put(0, &["a", "b", "c"]);
        assert_eq!(bodies(&subject.lend(0, max)), ["a", "b", "c"][..expected], "{max}");
        assert_eq!(subject.counts(QUEUE), [0, 3 - expected as u64, expected as u64, 0], "{max}");
    }
}

#[test]
fn a_receive_stops_at_its_bytes_but_the_first_message_always_fits() {
    for (bytes_max, expected) in [(0, 1), (3, 1), (4, 1), (7, 1), (8, 2), (11, 2), (12, 3)] {
        let mut subject = Subject::queue(QueuePolicy::default());
        subject.put(0, &["aaaa", "bbbb", "cccc"]);
        let lent = subject.receive(0, QUEUE, &Receive { bytes_max, ..up_to(10) });
        assert_eq!(lent.len(), expected, "{bytes_max}");
    }
}

#[test]
fn the_deadline_is_the_one_of_the_consumer_or_of_the_queue() {
    for (asked, due) in [(None, 5_100), (Some(20), 120), (Some(60_000), 60_100)] {
        let mut subject =
            Subject::queue(QueuePolicy { ack_deadline_ms: 5_000, ..QueuePolicy::default() });
        subject.put(0, &["a"]);
        let request = Receive { ack_deadline: asked.map(ms), ..up_to(1) };
        let lent = subject.receive(100, QUEUE, &request).remove(0);
        assert_eq!((lent.deadline, lent.attempt), (at(due), 1), "{asked:?}");
        subject.advance(due - 1);
        assert!(subject.ready(QUEUE).is_empty(), "{asked:?}");
        assert!(subject.advance(due), "{asked:?}");
        assert_eq!(subject.ready(QUEUE), ["a"], "{asked:?}");
        assert_eq!(subject.topic.totals(QUEUE).unwrap().missed, 1, "{asked:?}");
    }
}

#[test]
fn what_is_taken_is_gone_when_it_is_handed_out() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b"]);
    let taken = subject.receive(0, QUEUE, &Receive { take: true, ..up_to(1) });
    assert_eq!((taken[0].receipt, taken[0].deadline), (None, Timestamp::NEVER));
    assert_eq!(subject.counts(QUEUE), [0, 1, 0, 0]);
    assert_eq!(subject.topic.totals(QUEUE).unwrap().acked, 1);
    assert_eq!(subject.topic.len(), 1);
}

#[test]
fn a_receive_may_take_from_the_back() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b", "c"]);
    let lent = subject.receive(0, QUEUE, &Receive { from_back: true, ..up_to(2) });
    assert_eq!(bodies(&lent), ["c", "b"]);
}

#[test]
fn a_receipt_is_good_once_and_until_its_deadline() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b"]);
    let lent = subject.lend(0, 2);
    let (a, b) = (of(&lent[0]), of(&lent[1]));
    assert_eq!(subject.ack(29_999, &a), Ok(()));
    let late = [
        subject.ack(29_999, &a),
        subject.nack(29_999, &a, &RELEASE),
        subject.topic.extend(at(29_999), &a, ms(5)).map(drop),
        subject.ack(30_000, &b),
        subject.nack(30_000, &b, &fail("late")),
        subject.topic.extend(at(30_000), &b, ms(5)).map(drop),
    ];
    for refused in late {
        assert_eq!(refused, Err(Refusal::ReceiptGone));
    }
    subject.advance(30_000);
    let again = subject.lend_one(30_000);
    assert_eq!(again.attempt, 2);
    assert_eq!(subject.ack(30_000, &b), Err(Refusal::ReceiptGone), "the first delivery is over");
    assert_eq!(subject.ack(30_000, &of(&again)), Ok(()));
}

#[test]
fn a_message_id_means_the_delivery_in_flight_of_that_queue() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let made = subject.put(0, &["a"]).remove(0);
    let client = MessageId::Client("mine".into());
    subject.put_with(0, "b", Extra { client_id: Some("mine".into()), ..Extra::default() });
    assert_eq!(subject.ack(0, &by_id(QUEUE, &made)), Err(Refusal::MessageNotFound), "ready");
    subject.lend(0, 2);
    assert_eq!(subject.ack(0, &by_id(OTHER, &made)), Err(Refusal::MessageNotFound));
    assert_eq!(subject.ack(0, &by_id(9, &made)), Err(Refusal::QueueNotFound));
    assert_eq!(subject.topic.extend(at(0), &by_id(QUEUE, &made), ms(50)), Ok(at(50)));
    assert_eq!(subject.nack(0, &by_id(QUEUE, &made), &RELEASE), Ok(()));
    assert_eq!(subject.ready(QUEUE), ["a"]);
    assert_eq!(subject.ack(0, &by_id(QUEUE, &client)), Ok(()));
    assert_eq!(subject.ack(0, &by_id(QUEUE, &client)), Err(Refusal::MessageNotFound));
}

#[test]
fn an_extended_delivery_lasts_until_its_new_deadline_be_it_later_or_sooner() {
    for (span, due) in [(60_000, 70_000), (5, 10_005)] {
        let mut subject = Subject::queue(QueuePolicy::default());
        subject.put(0, &["a"]);
        let lent = subject.lend_one(0);
        assert_eq!(subject.topic.extend(at(10_000), &of(&lent), ms(span)), Ok(at(due)));
        subject.advance(due - 1);
        assert_eq!(subject.counts(QUEUE), [0, 0, 1, 0], "{span}");
        subject.advance(due);
        assert_eq!(subject.counts(QUEUE), [0, 1, 0, 0], "{span}");
    }
}

#[test]
fn every_way_back_leads_to_the_messages_own_place() {
    for way in ["deadline", "fail", "release", "delayed release"] {
        let mut subject = Subject::queue(QueuePolicy::default());
        subject.put(0, &["a", "b", "c"]);
        let lent = subject.lend(0, 2);
        subject.put(0, &["d"]);
        // The second comes back first.
        for delivery in lent.iter().rev() {
            match way {
                "deadline" => drop(subject.advance(30_000)),
                "fail" => subject.nack(0, &of(delivery), &fail("no")).unwrap(),
                "release" => subject.nack(0, &of(delivery), &RELEASE).unwrap(),
                _ => {
                    let later = Nack::Release { delay: Some(ms(10)) };
                    subject.nack(0, &of(delivery), &later).unwrap();
                }
            }
        }
        subject.advance(30_000);
        assert_eq!(subject.ready(QUEUE), ["a", "b", "c", "d"], "{way}");
    }
}

#[test]
fn what_nobody_got_lies_where_it_lay_wherever_messages_return_to() {
    for returns in [Returns::Place, Returns::Front, Returns::Back] {
        let mut subject = Subject::queue(QueuePolicy { returns, ..QueuePolicy::default() });
        subject.put(0, &["a", "b", "c", "d"]);
        // One that came back already, whose place may not be its own any more.
        let lent = subject.lend(0, 2);
        subject.nack(0, &of(&lent[1]), &fail("no")).unwrap();
        subject.nack(0, &of(&lent[0]), &Nack::Unread).unwrap();
        let before = subject.ready(QUEUE);
        let lent = subject.lend(0, 4);
        for nth in [2, 0, 3, 1] {
            subject.nack(0, &of(&lent[nth]), &Nack::Unread).unwrap();
        }
        assert_eq!(subject.ready(QUEUE), before, "{returns:?}");
        let attempts: Vec<_> = subject
            .lend(0, 4)
            .iter()
            .map(|lent| (text(lent.message.body()), lent.attempt))
            .collect();
        for (body, attempt) in attempts {
            assert_eq!(attempt, if body == "b" { 2 } else { 1 }, "{returns:?}: {body}");
        }
        assert_eq!(subject.topic.totals(QUEUE).unwrap().nacked, 1);
    }
}

#[test]
fn a_release_does_not_count_and_a_failure_does() {
    let mut subject = Subject::queue(QueuePolicy { max_deliveries: 2, ..QueuePolicy::default() });
    subject.put(0, &["a"]);
    for _ in 0..5 {
        let lent = subject.lend_one(0);
        assert_eq!(lent.attempt, 1);
        subject.nack(0, &of(&lent), &RELEASE).unwrap();
    }
    let lent = subject.lend_one(0);
    subject.nack(0, &of(&lent), &fail("once")).unwrap();
    assert_eq!(subject.lend_one(0).attempt, 2);
    let totals = subject.topic.totals(QUEUE).unwrap();
    assert_eq!((totals.nacked, totals.delivered, totals.redelivered), (6, 7, 1));
}

#[test]
fn failures_wait_as_the_backoff_list_says_and_its_last_entry_repeats() {
    let policy = QueuePolicy { backoff_ms: vec![100, 1000], ..QueuePolicy::default() };
    let mut subject = Subject::queue(policy);
    subject.put(0, &["a"]);
    let mut now = 0;
    // (delay of the consumer, the wait that follows)
    for (asked, wait) in
        [(None, 100), (None, 1000), (None, 1000), (Some(7), 7), (Some(0), 0), (None, 1000)]
    {
        let lent = subject.lend_one(now);
        let nack = Nack::Fail { delay: asked.map(ms), error: None };
        subject.nack(now, &of(&lent), &nack).unwrap();
        if wait > 0 {
            assert_eq!(subject.counts(QUEUE), [1, 0, 0, 0]);
            subject.advance(now + wait - 1);
            assert!(subject.lend(now + wait - 1, 1).is_empty(), "waits {wait}");
        }
        now += wait;
    }
    assert_eq!(subject.lend_one(now).attempt, 7);
}

#[test]
fn a_missed_deadline_waits_for_the_backoff_too() {
    let mut subject =
        Subject::queue(QueuePolicy { backoff_ms: vec![500], ..QueuePolicy::default() });
    subject.put(0, &["a"]);
    subject.lend(0, 1);
    subject.advance(30_000);
    assert_eq!(subject.counts(QUEUE), [1, 0, 0, 0]);
    subject.advance(30_500);
    assert_eq!(subject.counts(QUEUE), [0, 1, 0, 0]);
}

#[test]
fn time_in_queue_and_time_to_ack_are_measured() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a"]);
    subject.put_with(0, "b", Extra { deliver_at: Some(at(60)), ..Extra::default() });
    let a = subject.lend_one(100);
    subject.advance(100);
    let b = subject.lend_one(100);
    subject.ack(130, &of(&a)).unwrap();
    subject.nack(150, &of(&b), &RELEASE).unwrap();
    let waits = subject.topic.waits(QUEUE).unwrap();
    // From ready to handed out: 100 and 40. Only what was acked took time to ack.
    assert_eq!((waits.in_queue.total(), waits.in_queue.sum_ms()), (2, 140));
    assert_eq!((waits.in_queue.max_ms(), waits.in_queue.percentile_ms(1000)), (100, 100));
    assert_eq!((waits.to_ack.total(), waits.to_ack.sum_ms()), (1, 30));

    let b = subject.lend_one(155);
    subject.ack(165, &of(&b)).unwrap();
    let waits = subject.topic.waits(QUEUE).unwrap();
    assert_eq!((waits.in_queue.sum_ms(), waits.to_ack.sum_ms()), (145, 40), "anew each time");
}

#[test]
fn a_paused_queue_hands_out_nothing_and_still_takes_acks() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b"]);
    let lent = subject.lend_one(0);
    let paused = QueuePolicy { paused_out: true, ..QueuePolicy::default() };
    subject.topic.set_queue_policy(QUEUE, paused).unwrap();
    assert!(subject.lend(0, 1).is_empty());
    assert_eq!(subject.ack(0, &of(&lent)), Ok(()));
    subject.put(0, &["c"]);
    subject.topic.set_queue_policy(QUEUE, QueuePolicy::default()).unwrap();
    assert_eq!(bodies(&subject.lend(0, 9)), ["b", "c"]);
}

#[test]
fn a_queue_that_is_not_there_is_said() {
    let mut subject = Subject::queue(QueuePolicy::default());
    let mut out = Vec::new();
    let received = subject.topic.receive(at(0), 9, &up_to(1), &mut out, &mut subject.ledger);
    assert_eq!(received, Err(Refusal::QueueNotFound));
    assert_eq!(subject.topic.counts(9), Err(Refusal::QueueNotFound));
    assert_eq!(subject.topic.purge(9, &mut subject.ledger), Err(Refusal::QueueNotFound));
    let again = queue_definition(QUEUE, 1, QueuePolicy::default());
    assert_eq!(subject.topic.add_queue(again), Err(Refusal::QueueExists));
}
