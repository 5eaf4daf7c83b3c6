//! What a publisher may say of a message.

use crate::*;
use octoq::queue::Filter;
use std::collections::BTreeMap;

#[test]
fn a_message_is_visible_at_the_later_of_its_own_time_and_the_delay_of_the_queue() {
    // (wished time, delay of the queue, visible from), published at 1000.
    let table = [
        (None, 0, 1000),
        (Some(0), 0, 1000),
        (Some(1000), 0, 1000),
        (Some(1500), 0, 1500),
        (None, 700, 1700),
        (Some(1500), 700, 1700),
        (Some(9000), 700, 9000),
    ];
    for (wished, delay_ms, visible) in table {
        let case = format!("{wished:?} {delay_ms}");
        let mut subject = Subject::queue(QueuePolicy { delay_ms, ..QueuePolicy::default() });
        let deliver_at = wished.map(at);
        subject.put_with(1000, "a", Extra { deliver_at, ..Extra::default() });
        if visible > 1000 {
            assert_eq!(subject.counts(QUEUE), [1, 0, 0, 0], "{case}");
            assert!(subject.topic.next_deadline().unwrap() <= at(visible), "{case}");
            assert!(subject.lend(visible - 1, 1).is_empty(), "{case}");
            assert!(subject.advance(visible), "{case}: told that it is ready");
        }
        assert_eq!(subject.counts(QUEUE), [0, 1, 0, 0], "{case}");
        assert_eq!(bodies(&subject.lend(visible, 1)), ["a"], "{case}");
    }
}

#[test]
fn delayed_messages_take_their_place_by_when_they_were_published() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put_with(0, "late", Extra { deliver_at: Some(at(100)), ..Extra::default() });
    subject.put(0, &["a", "b"]);
    assert_eq!(subject.ready(QUEUE), ["a", "b"]);
    subject.advance(100);
    assert_eq!(subject.ready(QUEUE), ["late", "a", "b"]);
}

#[test]
fn a_message_ends_at_its_own_time_or_after_the_time_to_live_of_the_topic() {
    // (the message's end, time to live of the topic, ends at), published at 1000.
    let table = [
        (Some(1200), 0, Some(1200)),
        (None, 300, Some(1300)),
        (Some(1200), 300, Some(1200)),
        (Some(5000), 300, Some(5000)),
        (None, 0, None),
    ];
    for (wished, ttl_ms, end) in table {
        for told in [true, false] {
            let case = format!("{wished:?} {ttl_ms} told {told}");
            let mut subject = Subject::new(
                TopicPolicy { ttl_ms, ..TopicPolicy::default() },
                vec![QueuePolicy::default()],
            );
            let expires_at = wished.map(at);
            subject.put_with(1000, "a", Extra { expires_at, ..Extra::default() });
            let last = end.unwrap_or(1_000_000) - 1;
            if told {
                subject.advance(last);
            }
            let delivery = subject.lend_one(last);
            subject.nack(last, &of(&delivery), &RELEASE).unwrap();
            let Some(end) = end else { continue };
            if told {
                subject.advance(end);
            }
            assert!(subject.lend(end, 1).is_empty(), "{case}");
            assert_eq!(subject.topic.totals(QUEUE).unwrap().expired, 1, "{case}");
            assert!(subject.topic.is_empty(), "{case}");
        }
    }
}

#[test]
fn what_expires_in_flight_may_still_be_acked_but_does_not_come_back() {
    let extra = || Extra { expires_at: Some(at(50)), ..Extra::default() };
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put_with(0, "a", extra());
    subject.put_with(0, "b", extra());
    let lent = subject.lend(0, 2);
    subject.advance(60);
    assert_eq!(subject.counts(QUEUE), [0, 0, 2, 0]);
    assert_eq!(subject.ack(60, &of(&lent[0])), Ok(()));
    assert_eq!(subject.nack(60, &of(&lent[1]), &RELEASE), Ok(()));
    assert!(subject.topic.is_empty());
    let totals = subject.topic.totals(QUEUE).unwrap();
    assert_eq!((totals.acked, totals.expired), (1, 1));
}

#[test]
fn a_dedup_key_is_remembered_for_the_window_even_when_the_message_is_gone() {
    let key = || Extra { dedup_key: Some("key".into()), ..Extra::default() };
    // (window, time of the second, is a duplicate), the first at 0.
    for (dedup_window_ms, second, duplicate) in
        [(1000, 0, true), (1000, 999, true), (1000, 1000, false), (0, 0, false)]
    {
        let case = format!("{dedup_window_ms} {second}");
        let mut subject = Subject::new(
            TopicPolicy { dedup_window_ms, ..TopicPolicy::default() },
            vec![QueuePolicy::default()],
        );
        let first = subject.put_with(0, "a", key());
        subject.receive(0, QUEUE, &Receive { take: true, ..up_to(1) });
        subject.advance(second);
        let again = subject.put_with(second, "b", key());
        assert_eq!(again.duplicate, duplicate, "{case}");
        assert_eq!(again.id == first.id && again.seq == first.seq, duplicate, "{case}");
        assert_eq!(subject.counts(QUEUE)[1], u64::from(!duplicate), "{case}");
    }
}

#[test]
fn only_so_many_dedup_keys_are_remembered_and_the_oldest_goes_first() {
    let mut subject = Subject::new(
        TopicPolicy { dedup_keys_max: 2, ..TopicPolicy::default() },
        vec![QueuePolicy::default()],
    );
    let mut is_duplicate = |key: &'static str| {
        let extra = Extra { dedup_key: Some(key.into()), ..Extra::default() };
        subject.put_with(0, key, extra).duplicate
    };
    let answers = ["a", "b", "c", "b", "c", "a"].map(&mut is_duplicate);
    assert_eq!(answers, [false, false, false, true, true, false]);
}

#[test]
fn a_duplicate_is_answered_with_the_id_the_first_publisher_chose() {
    let mut subject = Subject::queue(QueuePolicy::default());
    let extra = |id: &'static str| Extra {
        client_id: Some(id.into()),
        dedup_key: Some("key".into()),
        ..Extra::default()
    };
    let first = subject.put_with(0, "a", extra("first"));
    let second = subject.put_with(0, "a", extra("second"));
    assert_eq!(first.id, None, "the one it came with");
    assert_eq!((second.id, second.duplicate), (Some(MessageId::Client("first".into())), true));
}

#[test]
fn a_client_id_is_unique_while_the_message_lives() {
    let mut subject = Subject::queue(QueuePolicy::default());
    let extra = || Extra { client_id: Some("mine".into()), ..Extra::default() };
    subject.put_with(0, "a", extra());
    assert_eq!(subject.try_put(0, "b", extra()), Err(Refusal::DuplicateId));
    let lent = subject.lend(0, 1).remove(0).message;
    assert_eq!(lent.id(), MessageId::Client("mine".into()));
    assert_eq!(subject.try_put(0, "b", extra()), Err(Refusal::DuplicateId), "in flight");
    subject.ack(0, &by_id(QUEUE, &lent.id())).unwrap();
    assert!(subject.try_put(0, "b", extra()).is_ok());
}

#[test]
fn priority_goes_before_age_and_the_front_is_the_front_of_its_priority() {
    let mut subject = Subject::queue(QueuePolicy::default());
    for (body, priority, front) in [
        ("low", 0, false),
        ("mid", 5, false),
        ("high", 9, false),
        ("low front", 0, true),
        ("low later", 0, false),
        ("high front", 9, true),
        ("low front again", 0, true),
    ] {
        subject.put_with(0, body, Extra { priority, front, ..Extra::default() });
    }
    let expected =
        ["high front", "high", "mid", "low front again", "low front", "low", "low later"];
    assert_eq!(subject.ready(QUEUE), expected);
    assert_eq!(bodies(&subject.lend(0, 10)), expected);
}

#[test]
fn a_message_goes_to_every_queue_whose_filter_takes_it_or_only_to_the_one_that_was_named() {
    let filter = Filter(BTreeMap::from([("kind".to_owned(), vec!["x".to_owned()])]));
    let filtered = QueuePolicy { filter: Some(filter), ..QueuePolicy::default() };
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(), filtered]);
    let attributes = |text: &str| Extra { attributes: Some(text.into()), ..Extra::default() };
    subject.put_with(0, "both", attributes(r#"{"kind":"x"}"#));
    subject.put_with(0, "other kind", attributes(r#"{"kind":"y"}"#));
    subject.put(0, &["none"]);
    let named = message("named", Extra::default());
    subject.topic.publish(at(0), Some(OTHER), named, true, &mut subject.ledger).unwrap();
    assert_eq!(subject.ready(QUEUE), ["both", "other kind", "none"]);
    assert_eq!(subject.ready(OTHER), ["both", "named"]);
    assert_eq!(subject.topic.len(), 4, "one message, however many queues hold it");

    let nowhere = message("nowhere", Extra::default());
    let refused = subject.topic.publish(at(0), Some(9), nowhere, true, &mut subject.ledger);
    assert_eq!(refused, Err(Refusal::QueueNotFound));
}

#[test]
fn a_message_in_two_queues_is_acked_in_each_of_them() {
    let mut subject = Subject::new(TopicPolicy::default(), vec![QueuePolicy::default(); 2]);
    let ids = subject.put(0, &["a"]);
    subject.lend(0, 1);
    subject.ack(0, &by_id(QUEUE, &ids[0])).unwrap();
    assert_eq!(subject.ready(OTHER), ["a"]);
    subject.receive(0, OTHER, &up_to(1));
    subject.ack(0, &by_id(OTHER, &ids[0])).unwrap();
    assert!(subject.topic.is_empty());
}

#[test]
fn a_message_for_no_queue_is_numbered_and_counted_but_not_kept() {
    let mut subject = Subject::new(TopicPolicy::default(), Vec::new());
    assert_eq!(subject.put_with(0, "a", Extra::default()).seq, 1);
    assert_eq!(subject.put_with(0, "b", Extra::default()).seq, 2);
    assert_eq!((subject.topic.unrouted(), subject.topic.len()), (2, 0));
}

#[test]
fn a_publish_that_the_store_did_not_take_never_was() {
    let mut subject = Subject::queue(QueuePolicy::default());
    let extra = || Extra { dedup_key: Some("key".into()), ..Extra::default() };
    subject.put(0, &["a"]);
    let placed = subject.put_with(0, "b", extra());
    let lent = subject.lend(0, 2);
    subject.topic.unpublish(&[placed.seq]);
    assert_eq!(subject.ack(0, &of(&lent[1])), Err(Refusal::ReceiptGone));
    assert_eq!(subject.ack(0, &of(&lent[0])), Ok(()));
    assert_eq!(subject.topic.totals(QUEUE).unwrap().published, 1);
    assert!(!subject.put_with(0, "b", extra()).duplicate);
}
