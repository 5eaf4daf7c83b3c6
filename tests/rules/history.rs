//! The history of a pubsub topic: claims, positions, gaps, bounds.

use crate::*;
use octoq::queue::{Gap, History, Message, Missing, Overflow, Position};

/// What a reader got: the gap, the messages, and where it goes on.
type Seen = (Option<(u64, u64)>, Vec<String>, u64);

/// A history with its ledger.
struct Past {
    history: History,
    ledger: Ledger,
}

impl Past {
    fn new(policy: TopicPolicy) -> Past {
        let history = History::new(&topic_definition(1, Kind::Pubsub, policy));
        Past { history, ledger: Ledger::on(1, 1 << 40) }
    }

    /// Publishes and commits. `listeners`: subscribers are attached.
    fn try_put(&mut self, now: i64, body: &str, listeners: bool) -> Result<u64, Refusal> {
        let message = message(body, Extra::default());
        let placed = self.history.publish(at(now), message, listeners, true, &mut self.ledger)?;
        self.history.commit(placed.seq);
        Ok(placed.seq)
    }

    #[track_caller]
    fn put(&mut self, now: i64, bodies: &[&str], listeners: bool) {
        for body in bodies {
            self.try_put(now, body, listeners).unwrap();
        }
    }

    /// What a reader gets from there on.
    fn read(&self, from: u64) -> Seen {
        let batch = self.history.read(from, usize::MAX, usize::MAX);
        (batch.gap.map(|gap| (gap.from, gap.to)), told(&batch.messages), batch.next)
    }

    fn claim(&mut self, now: i64, max: usize, bytes_max: usize) -> Vec<String> {
        told(&self.history.claim(at(now), max, bytes_max, &mut self.ledger))
    }

    fn advance(&mut self, now: i64) {
        while self.history.advance(at(now), 3, &mut self.ledger).more {}
    }
}

fn told(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| text(message.body())).collect()
}

fn keep(history_messages: u64) -> TopicPolicy {
    TopicPolicy { history_messages, ..TopicPolicy::default() }
}

#[test]
fn what_is_published_without_subscribers_waits_to_be_claimed() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["a", "b"], false);
    past.put(0, &["heard"], true);
    past.put(0, &["c"], false);
    assert_eq!((past.history.backlog(), past.history.kept()), ((3, 3), (4, 8)));
    assert_eq!(past.claim(0, 2, usize::MAX), ["a", "b"]);
    assert_eq!(past.claim(0, 9, usize::MAX), ["c"], "what was heard is not claimed again");
    assert!(past.claim(0, 9, usize::MAX).is_empty());
    assert_eq!((past.history.backlog(), past.history.kept()), ((0, 0), (4, 8)));
    assert_eq!(past.read(1).1, ["a", "b", "heard", "c"], "it stays readable");
}

#[test]
fn a_claim_stops_at_its_bytes_but_the_first_message_always_fits() {
    for (bytes_max, expected) in [(0, 1), (4, 1), (7, 1), (8, 2), (12, 3)] {
        let mut past = Past::new(TopicPolicy::default());
        past.put(0, &["aaaa", "bbbb", "cccc"], false);
        assert_eq!(past.claim(0, 9, bytes_max).len(), expected, "{bytes_max}");
    }
}

#[test]
fn a_subscriber_without_a_position_claims_the_whole_backlog_in_stretches() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["a", "b"], false);
    past.put(0, &["heard"], true);
    past.put(0, &["c"], false);
    assert_eq!(past.history.claim_all(at(0), &mut past.ledger), [(1, 2), (4, 4)]);
    assert!(past.history.claim_all(at(0), &mut past.ledger).is_empty());
    assert_eq!(past.history.backlog(), (0, 0));
}

#[test]
fn only_what_is_committed_is_read() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["a"], true);
    let pending = message("b", Extra::default());
    let placed = past.history.publish(at(0), pending, true, true, &mut past.ledger).unwrap();
    assert_eq!(past.read(1), (None, vec!["a".to_owned()], 2));
    past.history.commit(placed.seq);
    assert_eq!(past.read(2), (None, vec!["b".to_owned()], 3));
    assert_eq!(past.read(3), (None, Vec::new(), 3));
}

#[test]
fn a_read_is_bounded_by_messages_and_by_bytes_and_goes_on_where_it_stopped() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["aaaa", "bbbb", "cccc"], true);
    for (max, bytes_max, expected) in [(2, usize::MAX, 2), (9, 1, 1), (9, 4, 1), (9, 5, 2)] {
        let batch = past.history.read(1, max, bytes_max);
        assert_eq!((batch.messages.len(), batch.next), (expected, expected as u64 + 1));
        let rest = past.history.read(batch.next, 9, usize::MAX);
        assert_eq!(batch.messages.len() + rest.messages.len(), 3);
    }
}

#[test]
fn what_is_beyond_the_bounds_goes_and_a_reader_is_told_the_gap() {
    let (none, of) = (u64::MAX, |bodies: &[&str]| bodies.iter().map(|b| b.to_string()).collect());
    // (messages, bytes, milliseconds, what is read from 1 on at 100)
    let table: [(u64, u64, u64, Seen); 5] = [
        (none, none, 0, (None, of(&["aa", "bb", "cc"]), 4)),
        (2, none, 0, (Some((1, 1)), of(&["bb", "cc"]), 4)),
        (none, 3, 0, (Some((1, 2)), of(&["cc"]), 4)),
        (none, none, 95, (Some((1, 1)), of(&["bb", "cc"]), 4)),
        (0, none, 0, (Some((1, 3)), of(&[]), 4)),
    ];
    for (history_messages, history_bytes, history_ms, expected) in table {
        let case = format!("{history_messages} {history_bytes} {history_ms}");
        let bounds =
            TopicPolicy { history_messages, history_bytes, history_ms, ..TopicPolicy::default() };
        let mut past = Past::new(bounds);
        for (now, body) in [(0, "aa"), (10, "bb"), (20, "cc")] {
            past.put(now, &[body], true);
        }
        if history_ms > 0 {
            assert!(past.history.next_deadline().is_some_and(|next| next <= at(95)), "{case}");
        }
        past.advance(100);
        assert_eq!(past.read(1), expected, "{case}");
    }
}

#[test]
fn the_backlog_is_not_shortened_for_the_history_but_bounded_by_the_topic() {
    // (most messages, most bytes, the refusal, what dropping leaves)
    let table = [
        (2, 0, Refusal::Full { what: "capacity", limit: 2 }, vec!["bb", "cc"]),
        (0, 5, Refusal::Full { what: "bytes_max", limit: 5 }, vec!["bb", "cc"]),
    ];
    for (capacity, bytes_max, refusal, left) in table {
        let bounds = TopicPolicy { capacity, bytes_max, ..keep(0) };
        let mut refusing = Past::new(bounds.clone());
        refusing.put(0, &["aa", "bb"], false);
        assert_eq!(refusing.try_put(0, "cc", false), Err(refusal));
        assert_eq!(refusing.read(1).1, ["aa", "bb"], "kept until claimed");
        assert_eq!(refusing.claim(0, 9, usize::MAX), ["aa", "bb"]);
        assert_eq!(refusing.history.kept(), (0, 0), "and no longer");
        assert!(refusing.try_put(0, "cc", false).is_ok());

        let dropping = TopicPolicy { overflow: Overflow::DropOldest, ..bounds };
        let mut dropping = Past::new(dropping);
        dropping.put(0, &["aa", "bb", "cc"], false);
        assert_eq!(dropping.history.totals().dropped, 1);
        assert_eq!(dropping.claim(0, 9, usize::MAX), left);
    }
}

#[test]
fn a_subscriber_resumes_behind_its_position_or_is_told_that_the_epoch_is_another() {
    let mut past = Past::new(keep(2));
    past.put(0, &["a", "b", "c", "d"], true);
    assert_eq!((past.history.epoch(), past.history.last_seq()), (5, 4));
    let resume = |epoch, seq| past.history.resume(Position { epoch, seq });
    assert_eq!(resume(5, 3), (4, None));
    assert_eq!(resume(5, 4), (5, None));
    assert_eq!(resume(5, 99), (5, None), "no further than the next one");
    let why = Missing::OtherEpoch { kept_from: Some(3) };
    assert_eq!(resume(4, 3), (5, Some(Gap { from: 1, to: 4, why })), "and what is there");
    let (from, _) = resume(5, 0);
    assert_eq!(past.read(from), (Some((1, 2)), vec!["c".to_owned(), "d".to_owned()], 5));
}

#[test]
fn an_expired_message_is_neither_read_nor_claimed_and_is_no_gap() {
    let mut past = Past::new(TopicPolicy { ttl_ms: 100, ..TopicPolicy::default() });
    past.put(0, &["a"], false);
    past.put(50, &["b"], false);
    past.advance(99);
    assert_eq!(past.read(1).1, ["a", "b"]);
    past.advance(100);
    assert_eq!(past.read(1), (None, vec!["b".to_owned()], 3));
    assert!(past.claim(150, 9, usize::MAX).is_empty(), "even before time was told to pass");
    assert_eq!(past.history.totals().expired, 2);
}

#[test]
fn memory_is_given_back_by_leaving_bodies_to_the_store_or_dropping_what_was_claimed() {
    let mut stored = Past::new(TopicPolicy::default());
    stored.put(0, &["aaaa", "bbbb", "cccc"], true);
    assert_eq!(stored.history.relieve(5, true, &mut stored.ledger), 8);
    assert_eq!((stored.history.resident_bytes(), stored.history.kept()), (4, (3, 12)));
    let batch = stored.history.read(1, 9, usize::MAX);
    let in_memory: Vec<bool> = batch.messages.iter().map(|found| found.body.is_some()).collect();
    assert_eq!((in_memory, batch.gap), (vec![false, false, true], None));

    let mut dropped = Past::new(TopicPolicy::default());
    dropped.put(0, &["back"], false);
    dropped.put(0, &["aaaa", "bbbb"], true);
    assert_eq!(dropped.history.relieve(4, false, &mut dropped.ledger), 4);
    assert_eq!(dropped.history.relieve(99, false, &mut dropped.ledger), 4);
    assert_eq!(told(&dropped.history.read(1, 9, 99).messages), ["back"], "the backlog stays");
}

#[test]
fn a_cleared_history_tells_a_gap_and_goes_on_counting() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["a", "b"], false);
    assert_eq!(past.history.clear(&mut past.ledger), 2);
    assert_eq!(past.history.backlog(), (0, 0));
    assert_eq!(past.read(1), (Some((1, 2)), Vec::new(), 3));
    past.put(0, &["c"], true);
    assert_eq!(past.read(1), (Some((1, 2)), vec!["c".to_owned()], 4));
}

#[test]
fn a_publish_is_refused_for_a_pause_or_a_delay_and_once_per_dedup_key() {
    let mut past = Past::new(TopicPolicy::default());
    let mut publish = |now: i64, extra: Extra| {
        past.history.publish(at(now), message("a", extra), true, true, &mut past.ledger)
    };
    let delayed = Extra { deliver_at: Some(at(5)), ..Extra::default() };
    assert_eq!(publish(0, delayed.clone()), Err(Refusal::WrongKind));
    assert_eq!(publish(5, delayed).map(|placed| placed.seq), Ok(1), "its time has come");
    let key = || Extra { dedup_key: Some("key".into()), ..Extra::default() };
    let first = publish(10, key()).unwrap();
    let again = publish(10, key()).unwrap();
    assert_eq!((again.id, again.seq, again.duplicate), (first.id, 2, true));
    let window = i64::try_from(TopicPolicy::default().dedup_window_ms).unwrap();
    assert!(!publish(10 + window, key()).unwrap().duplicate);
    past.history.set_policy(TopicPolicy { paused_in: true, ..TopicPolicy::default() });
    assert_eq!(past.try_put(0, "a", true), Err(Refusal::Paused));
}

#[test]
fn a_publish_that_the_store_did_not_take_never_was_and_is_no_gap() {
    let mut past = Past::new(TopicPolicy::default());
    past.put(0, &["a", "b", "c"], false);
    past.history.unpublish(&[2]);
    assert_eq!(past.read(1), (None, vec!["a".to_owned(), "c".to_owned()], 4));
    assert_eq!((past.history.backlog().0, past.history.totals().published), (2, 2));
}

#[test]
fn a_full_backlog_drops_its_oldest_and_not_what_was_claimed_before_it() {
    let policy =
        TopicPolicy { capacity: 2, overflow: Overflow::DropOldest, ..TopicPolicy::default() };
    let mut past = Past::new(policy);
    past.put(0, &["a"], false);
    // Two that the store did not take: their numbers are in the backlog's stretch.
    for _ in 0..2 {
        let lost = message("never", Extra::default());
        let placed = past.history.publish(at(0), lost, false, true, &mut past.ledger).unwrap();
        past.history.unpublish(&[placed.seq]);
    }
    assert_eq!(past.claim(0, 1, usize::MAX), ["a"]);
    past.put(0, &["heard"], true);
    past.put(0, &["c", "d", "e"], false);
    assert_eq!(past.claim(0, 9, usize::MAX), ["d", "e"], "the oldest of the backlog went");
    assert_eq!(past.history.kept().0, 4, "what was claimed stays readable");
}

/// What subscribers were still to be sent is kept for them, and no longer.
#[test]
fn a_history_comes_back_to_its_bounds_when_subscribers_have_followed() {
    let mut past = Past::new(keep(2));
    past.history.hold_from(1);
    past.put(0, &["a", "b", "c", "d"], true);
    past.advance(1000);
    assert_eq!((past.history.kept().0, past.history.next_deadline()), (4, None));
    past.history.hold_from(2);
    assert_eq!(past.history.next_deadline(), Some(at(100)), "nothing is published meanwhile");
    past.advance(100);
    assert_eq!((past.history.kept().0, past.history.next_deadline()), (3, None));
    past.history.hold_from(5);
    past.advance(past.history.next_deadline().unwrap().0);
    assert_eq!(past.read(3), (None, vec!["c".to_owned(), "d".to_owned()], 5));
    assert_eq!(past.history.next_deadline(), None);
}
