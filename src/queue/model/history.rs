//! Pubsub topics against a plain list.

use super::naive::ms;
use super::store::Store;
use super::topic;
use crate::queue::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Op {
    Publish { listeners: bool, size: usize, ttl: Option<u64> },
    Refused { listeners: bool },
    Commit { back: u64 },
    Read { from: u64, max: usize, bytes: usize },
    ReadAfter { number: u64, want: Want, bytes: usize },
    Claim { max: usize },
    ClaimAll,
    Step { ms: i64 },
    Advance { budget: usize },
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (any::<bool>(), 0usize..20, prop::option::weighted(0.2, 1u64..300))
            .prop_map(|(listeners, size, ttl)| Op::Publish { listeners, size, ttl }),
        1 => any::<bool>().prop_map(|listeners| Op::Refused { listeners }),
        3 => (0u64..4).prop_map(|back| Op::Commit { back }),
        6 => (0u64..40, 1usize..6, prop_oneof![Just(usize::MAX), 0usize..30])
            .prop_map(|(from, max, bytes)| Op::Read { from, max, bytes }),
        6 => (0u64..40, prop_oneof![Just(Want::Newest), (1usize..6).prop_map(Want::Oldest)],
                prop_oneof![Just(usize::MAX), 0usize..30])
            .prop_map(|(number, want, bytes)| Op::ReadAfter { number, want, bytes }),
        2 => (1usize..4).prop_map(|max| Op::Claim { max }),
        1 => Just(Op::ClaimAll),
        3 => (1i64..200).prop_map(|ms| Op::Step { ms }),
        3 => (1usize..10).prop_map(|budget| Op::Advance { budget }),
        1 => Just(Op::Clear),
    ]
}

#[derive(Debug, Clone)]
struct Item {
    seq: u64,
    bytes: u64,
    claimed: bool,
    published_at: Timestamp,
    expires_at: Timestamp,
}

struct World {
    now: Timestamp,
    definition: TopicDefinition,
    history: History,
    items: Vec<Item>,
    lost: BTreeSet<u64>,
    /// Some numbers ended without a gap: then a gap may be told as a little longer.
    holes: bool,
    last_seq: u64,
    committed: u64,
    ledger: Ledger,
    store: Store,
}

impl World {
    fn new(overflow: Overflow) -> World {
        let policy = TopicPolicy {
            capacity: 5,
            bytes_max: 60,
            overflow,
            history_messages: 6,
            history_bytes: 70,
            history_ms: 500,
            ..TopicPolicy::default()
        };
        let definition = topic(1, Kind::Pubsub, policy);
        World {
            now: Timestamp(1_700_000_000_000),
            history: History::new(&definition),
            definition,
            items: Vec::new(),
            lost: BTreeSet::new(),
            holes: false,
            last_seq: 0,
            committed: 0,
            ledger: Ledger::on(1, u64::MAX - 1),
            store: Store::default(),
        }
    }

    fn sum(&self, claimed: bool) -> (u64, u64) {
        let of = self.items.iter().filter(|item| item.claimed == claimed);
        of.fold((0, 0), |(count, bytes), item| (count + 1, bytes + item.bytes))
    }

    fn trim(&mut self) {
        let policy = self.definition.policy.clone();
        while let Some(at) = self.items.iter().position(|item| item.claimed) {
            let (count, bytes) = self.sum(true);
            let old = self.items[at].published_at.after(ms(policy.history_ms)) <= self.now;
            if count <= policy.history_messages && bytes <= policy.history_bytes && !old {
                break;
            }
            self.lost.insert(self.items.remove(at).seq);
        }
    }

    fn publish(&mut self, listeners: bool, size: usize, ttl: Option<u64>) {
        let now = self.now;
        let expires_at = ttl.map(|ttl| now.after(ms(ttl)));
        let extra = Extra { expires_at, ..Extra::default() };
        let message = NewMessage { body: vec![1; size].into(), extra: Some(Arc::new(extra)) };
        let got = self.history.publish(now, message, listeners, true, &mut self.ledger);
        let policy = self.definition.policy.clone();
        let bytes = size as u64;
        loop {
            if listeners {
                break;
            }
            let backlog = self.sum(false);
            let (over_count, over_bytes) =
                (backlog.0 >= policy.capacity, backlog.1 + bytes > policy.bytes_max);
            if !over_count && !over_bytes {
                break;
            }
            if policy.overflow == Overflow::Refuse {
                let (what, limit) = if over_count {
                    ("capacity", policy.capacity)
                } else {
                    ("bytes_max", policy.bytes_max)
                };
                assert_eq!(got, Err(Refusal::Full { what, limit }));
                return;
            }
            let at = self.items.iter().position(|item| !item.claimed).unwrap();
            self.lost.insert(self.items.remove(at).seq);
        }
        self.last_seq += 1;
        assert_eq!(got.map(|placed| placed.seq), Ok(self.last_seq));
        let expires_at = expires_at.unwrap_or(Timestamp::NEVER);
        self.items.push(Item {
            seq: self.last_seq,
            bytes,
            claimed: listeners,
            published_at: now,
            expires_at,
        });
        self.trim();
    }

    fn run(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Publish { listeners, size, ttl } => self.publish(listeners, size, ttl),
            Op::Refused { listeners } => {
                // Only where nothing else changes by it.
                let (count, bytes) = self.sum(listeners);
                let (kept, kept_bytes) = self.sum(true);
                if count >= 5
                    || bytes > 50
                    || kept >= 6
                    || kept_bytes > 60
                    || self.items.iter().any(|item| item.published_at < now)
                {
                    return;
                }
                let message = NewMessage::plain(Bytes::from_static(b"gone"));
                let mut off = Ledger::off(self.ledger.numbers(1));
                let placed = self.history.publish(now, message, listeners, true, &mut off).unwrap();
                self.history.unpublish(&[placed.seq]);
                self.last_seq = placed.seq;
                self.holes = true;
            }
            Op::Commit { back } => {
                let through = self.last_seq.saturating_sub(back);
                self.history.commit(through);
                self.committed = self.committed.max(through);
            }
            Op::Read { from, max, bytes } => {
                let from = from.max(1);
                let got = self.history.read(from, max, bytes);
                let (seqs, gap, next) = self.read(from, max, bytes);
                if !self.holes {
                    assert_eq!(got.gap.map(|gap| (gap.from, gap.to)), gap);
                    assert_eq!(got.next, next);
                    assert_eq!(got.messages.iter().map(|m| m.seq).collect::<Vec<_>>(), seqs);
                }
            }
            Op::ReadAfter { number, want, bytes } => {
                let mut cursor = Cursor::behind(number, bytes);
                let got = self.history.read_after(now, &mut cursor, want);
                let mut behind = self.items.iter().filter(|item| item.expires_at > now);
                // Numbers of this ledger are given to nothing but messages, as sequence numbers are,
                // and to dedup keys, of which there are none.
                let behind: Vec<&Item> = match want {
                    Want::Oldest(_) => behind.filter(|item| item.seq > number).collect(),
                    Want::Newest => {
                        behind.next_back().filter(|item| item.seq > number).into_iter().collect()
                    }
                };
                let max = if let Want::Oldest(max) = want { max } else { 1 };
                let (mut want, mut left) = (Vec::new(), bytes);
                for item in behind.iter().take(max) {
                    if left == 0 {
                        break;
                    }
                    left = left.saturating_sub(item.bytes as usize);
                    want.push(item.seq);
                }
                assert_eq!(got.iter().map(|message| message.seq).collect::<Vec<_>>(), want);
                assert_eq!(cursor.number, want.last().copied().unwrap_or(number));
                assert_eq!(cursor.cut, want.len() < behind.len().min(max));
            }
            Op::Claim { max } => {
                let got: Vec<u64> = self
                    .history
                    .claim(now, max, usize::MAX, &mut self.ledger)
                    .iter()
                    .map(|m| m.seq)
                    .collect();
                let mut want = Vec::new();
                let any = self.items.iter().any(|item| !item.claimed);
                while want.len() < max
                    && let Some(item) = self.items.iter_mut().find(|item| !item.claimed)
                {
                    item.claimed = true;
                    if item.expires_at > now {
                        want.push(item.seq);
                    }
                }
                assert_eq!(got, want);
                if any {
                    self.trim();
                }
            }
            Op::ClaimAll => {
                let stretches = self.history.claim_all(now, &mut self.ledger);
                // Whoever claimed has read it all.
                self.history.hold_from(u64::MAX);
                let within =
                    |seq: u64| stretches.iter().any(|(from, to)| (*from..=*to).contains(&seq));
                for item in &mut self.items {
                    assert_eq!(within(item.seq), !item.claimed, "{}", item.seq);
                    item.claimed = true;
                }
            }
            Op::Step { ms } => self.now = Timestamp(now.0 + ms),
            Op::Advance { budget } => {
                while self.history.advance(now, budget, &mut self.ledger).more {}
                assert!(self.history.next_deadline().is_none_or(|next| next > now));
                let before = self.items.len();
                self.items.retain(|item| item.expires_at > now);
                self.holes |= self.items.len() != before;
                self.trim();
            }
            Op::Clear => {
                assert_eq!(self.history.clear(&mut self.ledger), self.items.len() as u64);
                self.lost.extend(self.items.drain(..).map(|item| item.seq));
            }
        }
    }

    fn read(&self, from: u64, max: usize, bytes_max: usize) -> (Vec<u64>, Option<(u64, u64)>, u64) {
        let (mut seqs, mut gap, mut next, mut bytes) = (Vec::new(), None, from, 0);
        let missing = |from: u64, to: u64| {
            let mut lost = self.lost.iter().copied().filter(|seq| (from..=to).contains(seq));
            let first = lost.next()?;
            Some((first, lost.next_back().unwrap_or(first)))
        };
        if from > self.committed {
            return (seqs, gap, next);
        }
        for item in self.items.iter().filter(|item| item.seq >= from && item.seq <= self.committed)
        {
            if seqs.len() >= max || bytes >= bytes_max {
                return (seqs, gap, next);
            }
            if let Some(found) = missing(next, item.seq - 1) {
                if !seqs.is_empty() {
                    return (seqs, gap, next);
                }
                gap = Some(found);
            }
            bytes += item.bytes as usize;
            seqs.push(item.seq);
            next = item.seq + 1;
        }
        match missing(next, self.committed) {
            Some(_) if !seqs.is_empty() => (seqs, gap, next),
            found => (seqs, found.or(gap), self.committed + 1),
        }
    }

    fn check(&mut self) {
        for record in self.ledger.records.drain(..) {
            self.store.apply(record);
        }
        let history = &self.history;
        assert_eq!(history.backlog(), self.sum(false), "the backlog");
        let (claimed, waiting) = (self.sum(true), self.sum(false));
        assert_eq!(
            history.kept(),
            (claimed.0 + waiting.0, claimed.1 + waiting.1),
            "all that is kept"
        );
        assert_eq!(history.resident_bytes(), history.kept().1);
        let mut kept = self.items.iter().map(|item| item.seq).peekable();
        let mut stretches = 0;
        let mut joined = false;
        for gone in &self.lost {
            while kept.next_if(|kept| kept < gone).is_some() {
                joined = false;
            }
            stretches += usize::from(!joined);
            joined = true;
        }
        assert!(self.holes || history.stretches_lost() == stretches, "one between two messages");
        assert_eq!(history.last_seq(), self.last_seq);
        let ends =
            self.items.iter().map(|item| item.expires_at).min().filter(|at| *at < Timestamp::NEVER);
        assert!(ends.is_none_or(|end| history.next_deadline().is_some_and(|next| next <= end)));

        let mut again = History::new(&self.definition);
        self.store.history(1).into_iter().for_each(|message| again.restore(self.now, message));
        again.continue_after(self.last_seq, self.store.claimed.get(&1).copied().unwrap_or(0));
        assert_eq!(again.backlog(), history.backlog(), "the backlog after a restart");
        assert_eq!(again.kept(), history.kept());
        let first = self.items.first().map_or(self.last_seq + 1, |item| item.seq);
        let mut seqs = Vec::new();
        let mut from = first;
        while from <= self.last_seq {
            let batch = again.read(from, 100, usize::MAX);
            seqs.extend(batch.messages.iter().map(|message| message.seq));
            from = batch.next;
        }
        assert_eq!(
            seqs,
            self.items.iter().map(|item| item.seq).collect::<Vec<_>>(),
            "after a restart"
        );
    }
}

proptest! {
    #![proptest_config(super::config(256))]

    #[test]
    fn a_history_does_what_a_plain_list_would_do(
        drops in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut world = World::new(if drops { Overflow::DropOldest } else { Overflow::Refuse });
        for op in ops {
            world.run(op);
            world.check();
        }
    }
}
