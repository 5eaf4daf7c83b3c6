//! Looking without taking: peek, lists in pages, one message by id, counts.

use crate::*;
use octoq::queue::State;

#[test]
fn a_peek_shows_either_end_and_takes_nothing() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a", "b", "c"]);
    subject.put_with(0, "high", Extra { priority: 9, ..Extra::default() });
    for (end, max, expected) in [
        (End::Front, 2, vec!["high", "a"]),
        (End::Back, 2, vec!["c", "b"]),
        (End::Front, 0, vec![]),
        (End::Back, 99, vec!["c", "b", "a", "high"]),
    ] {
        let views = subject.topic.peek(QUEUE, end, max).unwrap();
        assert_eq!(seen(&views), expected, "{end:?} {max}");
        let untouched = |view: &View| view.state == State::Ready && view.attempts == 0;
        assert!(views.iter().all(untouched));
    }
    assert_eq!(subject.counts(QUEUE), [0, 4, 0, 0]);
    assert_eq!(subject.topic.totals(QUEUE).unwrap().delivered, 0);
}

/// Three messages in each state.
fn three_of_each() -> Subject {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["dead 1", "dead 2", "dead 3"]);
    for delivery in subject.lend(0, 3) {
        subject.nack(0, &of(&delivery), &Nack::Dead { error: None }).unwrap();
    }
    subject.put(0, &["lent 1", "lent 2", "lent 3"]);
    subject.lend(0, 3);
    for body in ["late 1", "late 2", "late 3"] {
        subject.put_with(0, body, Extra { deliver_at: Some(at(900)), ..Extra::default() });
    }
    subject.put(0, &["ready 1", "ready 2", "ready 3"]);
    subject
}

const STATES: [(State, &str); 4] = [
    (State::Dead, "dead"),
    (State::InFlight, "lent"),
    (State::Delayed, "late"),
    (State::Ready, "ready"),
];

#[test]
fn each_state_is_listed_in_pages_and_each_message_once() {
    let subject = three_of_each();
    assert_eq!(subject.counts(QUEUE), [3; 4]);
    for (state, name) in STATES {
        for size in 1..=4 {
            let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = subject.topic.list(QUEUE, state, after, size).unwrap();
                assert!(page.views.len() <= size && page.views.iter().all(|v| v.state == state));
                found.extend(seen(&page.views));
                pages += 1;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, 3_usize.div_ceil(size), "{name} by {size}");
            found.sort();
            let expected = [1, 2, 3].map(|number| format!("{name} {number}"));
            assert_eq!(found, expected, "{name} by {size}");
        }
    }
}

/// A page may end with any of its messages: each knows where the list goes on behind it.
#[test]
fn a_list_goes_on_behind_any_of_its_messages() {
    let subject = three_of_each();
    for (state, name) in STATES {
        let whole = subject.topic.list(QUEUE, state, None, 9).unwrap();
        let all = seen(&whole.views);
        for (at, view) in whole.views.iter().enumerate() {
            let rest = subject.topic.list(QUEUE, state, view.cursor, 9).unwrap();
            assert_eq!(seen(&rest.views), all[at + 1..], "{name}");
        }
    }
}

#[test]
fn a_look_is_bounded_in_bytes_and_shows_at_least_one() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["long body", "ab", "cd", "ef"]);
    for (bytes_max, expected) in
        [(0, &["long body"][..]), (11, &["long body", "ab"]), (12, &["long body", "ab"])]
    {
        let page = subject.topic.list_within(QUEUE, State::Ready, None, 9, bytes_max).unwrap();
        assert_eq!(seen(&page.views), expected, "{bytes_max}");
        assert_eq!(page.next, page.views.last().unwrap().cursor);
        let views = subject.topic.peek_within(QUEUE, End::Front, 9, bytes_max).unwrap();
        assert_eq!(seen(&views), expected, "{bytes_max}");
    }
    let views = subject.topic.peek_within(QUEUE, End::Back, 9, 5).unwrap();
    assert_eq!(seen(&views), ["ef", "cd"]);
}

/// Many in one state do not make a look for another one long: it comes in pages without a message.
#[test]
fn a_page_looks_through_a_bounded_number_of_places() {
    let mut subject = Subject::queue(QueuePolicy::default());
    let many: Vec<String> = (0..70_000).map(|number| number.to_string()).collect();
    subject.put(0, &many.iter().map(String::as_str).collect::<Vec<_>>());
    subject.lend(0, many.len());
    subject.put_with(0, "late", Extra { deliver_at: Some(at(900)), ..Extra::default() });
    let first = subject.topic.list(QUEUE, State::Delayed, None, 9).unwrap();
    assert!(first.views.is_empty() && first.next.is_some());
    let second = subject.topic.list(QUEUE, State::Delayed, first.next, 9).unwrap();
    assert_eq!((seen(&second.views), second.next), (vec!["late".into()], None));
}

#[test]
fn a_view_tells_the_failures_of_a_message_that_lives() {
    let mut subject = Subject::queue(QueuePolicy::default());
    subject.put(0, &["a"]);
    for now in [5, 7] {
        let lent = subject.lend_one(now);
        subject.nack(now, &of(&lent), &fail("no")).unwrap();
    }
    let view = subject.topic.peek(QUEUE, End::Front, 1).unwrap().remove(0);
    let told: Vec<_> = view.failures.iter().map(|failure| (failure.at, failure.attempt)).collect();
    assert_eq!((told, view.dead), (vec![(at(5), 1), (at(7), 2)], None));
}

#[test]
fn what_leaves_between_two_pages_hides_nothing_that_stays() {
    let mut subject = three_of_each();
    let first = subject.topic.list(QUEUE, State::Ready, None, 1).unwrap();
    assert_eq!(seen(&first.views), ["ready 1"]);
    subject.lend(0, 1);
    let rest = subject.topic.list(QUEUE, State::Ready, first.next, 9).unwrap();
    assert_eq!((seen(&rest.views), rest.next), (vec!["ready 2".into(), "ready 3".into()], None));
}

#[test]
fn a_view_tells_when_a_message_is_due_and_its_receipt_only_in_flight() {
    let mut subject = three_of_each();
    for (state, due) in [
        (State::Dead, None),
        (State::InFlight, Some(at(30_000))),
        (State::Delayed, Some(at(900))),
        (State::Ready, None),
    ] {
        let view = subject.topic.list(QUEUE, state, None, 1).unwrap().views.remove(0);
        assert_eq!(view.due, due, "{state:?}");
        assert_eq!(view.receipt.is_some(), state == State::InFlight, "{state:?}");
        assert_eq!(view.dead.is_some(), state == State::Dead, "{state:?}");
        assert_eq!(view.since.is_some(), state == State::InFlight, "{state:?}");
        let found = subject.topic.find(QUEUE, &view.message.id());
        assert_eq!(found, Ok(View { cursor: None, ..view }));
    }
    let nobody = MessageId::Client("nobody".into());
    assert_eq!(subject.topic.find(QUEUE, &nobody), Err(Refusal::MessageNotFound));
}

#[test]
fn a_message_is_deleted_by_id_whatever_its_state() {
    let mut subject = three_of_each();
    for (state, name) in STATES {
        let view = subject.topic.list(QUEUE, state, None, 1).unwrap().views.remove(0);
        let id = view.message.id();
        assert_eq!(subject.topic.delete(QUEUE, &id, &mut subject.ledger), Ok(()), "{name}");
        let again = subject.topic.delete(QUEUE, &id, &mut subject.ledger);
        assert_eq!(again, Err(Refusal::MessageNotFound), "{name}");
        if let Some(receipt) = view.receipt {
            let acked = subject.ack(0, &Reference::Receipt(receipt));
            assert_eq!(acked, Err(Refusal::ReceiptGone));
        }
    }
    assert_eq!((subject.counts(QUEUE), subject.topic.len()), ([2; 4], 8));
}

#[test]
fn counts_and_totals_follow_a_message_through_its_life() {
    let mut subject = Subject::queue(QueuePolicy { max_deliveries: 2, ..QueuePolicy::default() });
    assert_eq!(subject.topic.counts(QUEUE), Ok(octoq::queue::Counts::default()));
    subject.put(7, &["abc"]);
    subject.put(9, &["de"]);
    let counts = subject.topic.counts(QUEUE).unwrap();
    assert_eq!((counts.ready, counts.bytes, counts.oldest_ready), (2, 5, Some(at(7))));
    let lent = subject.lend_one(10);
    assert_eq!(subject.topic.counts(QUEUE).unwrap().oldest_ready, Some(at(9)));
    subject.nack(10, &of(&lent), &Nack::Fail { delay: Some(ms(5)), error: None }).unwrap();
    assert_eq!(subject.counts(QUEUE), [1, 1, 0, 0]);
    subject.advance(15);
    let lent = subject.lend_one(15);
    subject.nack(15, &of(&lent), &fail("no")).unwrap();
    assert_eq!(subject.counts(QUEUE), [0, 1, 0, 1]);
    let lent = subject.lend_one(15);
    subject.ack(15, &of(&lent)).unwrap();
    let counts = subject.topic.counts(QUEUE).unwrap();
    assert_eq!((counts.bytes, counts.oldest_ready), (3, None));
    let totals = subject.topic.totals(QUEUE).unwrap();
    let told = [totals.published, totals.delivered, totals.redelivered, totals.acked];
    assert_eq!(told, [2, 3, 1, 1]);
    assert_eq!((totals.nacked, totals.died), (2, 1));
}
