//! Keys of messages that were published lately: a second message with one of them is not stored.

use super::{Ledger, Record, Timestamp};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// The first message with a key.
#[derive(Debug, Clone)]
pub struct First {
    /// Its number in the topic.
    pub seq: u64,
    /// With it and the salt, its id.
    pub published_at: Timestamp,
    /// Its id where the publisher chose one; not known of keys that were restored.
    pub client_id: Option<Bytes>,
    until: Timestamp,
    number: u64,
}

/// The keys a topic remembers.
#[derive(Debug, Default)]
pub struct Dedup {
    known: FxHashMap<Bytes, First>,
    oldest_first: VecDeque<(u64, Bytes)>,
}

impl Dedup {
    /// The message that has this key now.
    pub fn first(&self, now: Timestamp, key: &Bytes) -> Option<First> {
        self.known.get(key).filter(|first| first.until > now).cloned()
    }

    /// Remembers a key; above `max` the oldest goes.
    pub fn remember(
        &mut self,
        (topic, key, seq): (u32, Bytes, u64),
        published_at: Timestamp,
        until: Timestamp,
        max: usize,
        ledger: &mut Ledger,
    ) {
        if let Some(old) = self.known.get(&key) {
            let number = old.number;
            ledger.note(|| Record::DedupForgotten { number });
        }
        let number = ledger.numbers(1);
        ledger.note(|| Record::Deduped {
            number,
            topic,
            key: key.clone(),
            seq,
            published_at,
            until,
        });
        self.put(number, key, seq, published_at, until);
        while self.known.len() > max {
            self.forget_oldest(ledger);
        }
    }

    /// Remembers what the store gave back.
    pub fn put(
        &mut self,
        number: u64,
        key: Bytes,
        seq: u64,
        published_at: Timestamp,
        until: Timestamp,
    ) {
        self.oldest_first.push_back((number, key.clone()));
        self.known.insert(key, First { seq, published_at, client_id: None, until, number });
    }

    fn forget_oldest(&mut self, ledger: &mut Ledger) {
        let Some((number, key)) = self.oldest_first.pop_front() else { return };
        // The key may have been taken anew since.
        if self.known.get(&key).is_some_and(|first| first.number == number) {
            self.known.remove(&key);
            ledger.note(|| Record::DedupForgotten { number });
        }
    }

    /// Forgets keys whose window is over, at most `budget`; true: there may be more.
    pub fn expire(&mut self, now: Timestamp, budget: usize, ledger: &mut Ledger) -> bool {
        for _ in 0..budget {
            if self.next_deadline().is_none_or(|until| until > now) {
                return false;
            }
            self.forget_oldest(ledger);
        }
        self.next_deadline().is_some_and(|until| until <= now)
    }

    /// When the oldest key's window is over.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let (number, key) = self.oldest_first.front()?;
        // A key that was taken anew leaves a stale place, due at once.
        let first = self.known.get(key).filter(|first| first.number == *number);
        Some(first.map_or(Timestamp(0), |first| first.until))
    }

    /// The message that has this key has an id that its publisher chose.
    pub fn name(&mut self, key: &Bytes, client_id: &Bytes) {
        if let Some(first) = self.known.get_mut(key) {
            first.client_id = Some(client_id.clone());
        }
    }

    /// The message with this key was not stored after all.
    pub fn unpublish(&mut self, key: &Bytes, seq: u64) {
        if self.known.get(key).is_some_and(|first| first.seq == seq) {
            self.known.remove(key);
        }
    }

    /// The messages with these numbers, whose keys nobody knows any more, were not stored after all.
    pub fn unpublish_all(&mut self, seqs: &[u64]) {
        if !seqs.is_empty() {
            self.known.retain(|_, first| !seqs.contains(&first.seq));
        }
    }
}
