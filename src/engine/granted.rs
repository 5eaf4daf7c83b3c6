//! Deliveries that were granted and still wait for bodies from the disk, and the purges behind them.
//!
//! Once a purge is in the store, the rows of what it took may go at any time, also of what is in flight.
//! So the facts of a purge are held back until the bodies that were granted before it are read. A queue
//! that is dropped is one that is purged here.

use super::pending::Release;
use super::{Answer, EngineError, Record, Whole, oneshot};
use std::collections::{BTreeSet, VecDeque};

/// A purge that waits.
pub struct HeldBack {
    /// The last grant that was made before it.
    behind: u64,
    /// What the store is to be told.
    pub records: Vec<Record>,
    release: Release,
}

impl HeldBack {
    /// Its records, and what answers its caller when they are in the store.
    pub fn into_parts(self) -> (Vec<Record>, Release) {
        (self.records, self.release)
    }
}

/// See the file's doc.
#[derive(Default)]
pub struct Granted {
    next: u64,
    open: BTreeSet<u64>,
    /// Oldest first: one for each caller who waits.
    waiting: VecDeque<HeldBack>,
}

impl Granted {
    /// A number for an answer that is completed from the disk. `lent`: with deliveries in it.
    pub fn begin(&mut self, lent: bool) -> u64 {
        self.next += 1;
        if lent {
            self.open.insert(self.next);
        }
        self.next
    }

    /// That answer has its bodies, or never gets them.
    pub fn end(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Nothing is read any more.
    pub fn end_all(&mut self) {
        self.open.clear();
    }

    /// No purge has to wait now.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Holds a purge back until all that is granted so far has ended.
    pub fn hold<T: Send + 'static>(&mut self, records: Vec<Record>, value: T) -> Answer<Whole<T>> {
        let (to, answer) = oneshot::channel();
        let release: Release = Box::new(move |fate| {
            let _ = to.send(fate.error.map_or(Ok(value), |error: &EngineError| Err(error.clone())));
        });
        self.waiting.push_back(HeldBack { behind: self.next, records, release });
        Answer::Later(answer)
    }

    /// The next purge that waits for nothing any more.
    pub fn next_free(&mut self) -> Option<HeldBack> {
        let first = self.open.first().copied().unwrap_or(u64::MAX);
        self.waiting.pop_front_if(|held| held.behind < first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_waits_for_what_was_granted_before_it_only() {
        let mut granted = Granted::default();
        let purge = |through| vec![Record::Purged { queue: 1, through }];
        let first = granted.begin(true);
        let look = granted.begin(false);
        drop(granted.hold(purge(1), ()));
        let second = granted.begin(true);
        drop(granted.hold(purge(2), ()));
        assert!(granted.next_free().is_none() && !granted.is_empty());
        granted.end(look);
        granted.end(second);
        assert!(granted.next_free().is_none(), "the first is not read yet");
        granted.end(first);
        let freed = [granted.next_free(), granted.next_free(), granted.next_free()];
        let told: Vec<Record> = freed.into_iter().flatten().flat_map(|held| held.records).collect();
        assert_eq!((told, granted.is_empty()), ([purge(1), purge(2)].concat(), true));
    }
}
