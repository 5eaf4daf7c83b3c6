//! Purge and drop: done at once for the caller, while the memory goes back with the steps of time.

use super::entries::Entry;
use super::keys::{Keys, Waiting};
use super::lane::{Lane, Ready};
use super::pages::Pages;
use super::*;
use std::collections::BTreeSet;

/// What a purge or a drop left to be cleared away: memory only, nobody sees it any more.
#[derive(Debug)]
pub struct Grave {
    /// The purged queue; `None` when it was dropped.
    queue: Option<u32>,
    lanes: Vec<Lane>,
    delayed: BTreeSet<(Timestamp, u32)>,
    /// Those of them with an ordering key once more, by key.
    waiting: Waiting,
    /// Of a dropped queue: its ordering keys.
    keys: Option<Box<Keys>>,
    /// How many that were in flight are still among the queue's entries.
    lent: u64,
    /// Of a dropped queue: its entries.
    entries: Pages<Entry>,
    /// How far the entries, these or those of the queue, have been looked at.
    next: u32,
}

/// What one look into a grave met.
enum Dug {
    /// A place: its slot and number.
    Place(u32, u64),
    /// An entry that is none of its own.
    Other,
}

impl Topic {
    /// Removes everything that waits. Deliveries in flight may be acked but do not come back otherwise;
    /// dead letters stay.
    ///
    /// Its cost does not depend on what is in the queue: the lists are taken out whole, what is in flight
    /// is told by its number. The memory goes back with the next steps of time.
    ///
    /// Returns how many are gone.
    pub fn purge(&mut self, queue: u32, ledger: &mut Ledger) -> Result<u64, Refusal> {
        self.empty(queue, false, ledger)
    }

    /// Removes everything that waits or is in flight; dead letters stay. Receipts are gone.
    ///
    /// It costs what [`Topic::purge`] does. The steps of time that give the memory back look at every
    /// entry of the queue, until they have met all that was in flight.
    ///
    /// Returns how many are gone.
    pub fn clear(&mut self, queue: u32, ledger: &mut Ledger) -> Result<u64, Refusal> {
        self.empty(queue, true, ledger)
    }

    fn empty(&mut self, queue: u32, with_lent: bool, ledger: &mut Ledger) -> Result<u64, Refusal> {
        let at = self.at(queue)?;
        let queue = &mut self.queues[at];
        let waiting = queue.waiting().messages;
        let (lanes, delayed, waiting_by_key) = queue.take_waiting();
        let lent = if with_lent { queue.take_lent() } else { 0 };
        let gone = waiting + lent;
        queue.totals.purged += gone;
        let (number, through) = (queue.definition.number, queue.purged.through);
        ledger.note(|| Record::Purged { queue: number, through });
        if gone > 0 {
            self.graves.push(Grave {
                queue: Some(number),
                lanes,
                delayed,
                waiting: waiting_by_key,
                keys: None,
                lent,
                entries: Pages::default(),
                next: 0,
            });
        }
        Ok(gone)
    }

    /// Removes a queue with its messages; the memory goes back with the next steps of time. The
    /// caller notes it.
    pub fn drop_queue(&mut self, queue: u32) -> Result<QueueDefinition, Refusal> {
        let at = self.at(queue)?;
        let gone = self.queues.remove(at);
        // What purges left is among its entries; but their lanes are in graves of their own.
        for grave in self.graves.iter_mut().filter(|grave| grave.queue == Some(queue)) {
            (grave.queue, grave.delayed, grave.lent) = (None, BTreeSet::new(), 0);
        }
        self.graves.push(Grave {
            queue: None,
            lanes: gone.lanes,
            delayed: BTreeSet::new(),
            waiting: Waiting::new(),
            keys: gone.keys,
            lent: 0,
            entries: gone.entries,
            next: 0,
        });
        self.look_at_policies();
        Ok(gone.definition)
    }

    /// Clears away what purges and drops left. Returns what is left of the budget: none if there
    /// may be more.
    pub(super) fn bury(&mut self, mut left: usize, ledger: &mut Ledger) -> usize {
        while let Some(mut grave) = self.graves.pop() {
            loop {
                if left == 0 {
                    self.graves.push(grave);
                    return 0;
                }
                left -= 1;
                let (slot, number) = match self.dig(&mut grave) {
                    None => break,
                    Some(Dug::Other) => continue,
                    Some(Dug::Place(slot, number)) => (slot, number),
                };
                // The store forgets the place by the record of the purge. It must be told of a
                // message only if it is kept apart from its places, and nobody holds it any more.
                let alone = |kept: &super::shelf::Kept| kept.refs == 1 && kept.number != number;
                if self.shelf.get(slot).is_some_and(alone) {
                    self.release(slot, number, ledger);
                } else {
                    self.release(slot, number, &mut Ledger::off(0));
                }
            }
        }
        left
    }

    /// One look into a grave; `None` when it is empty.
    fn dig(&mut self, grave: &mut Grave) -> Option<Dug> {
        let at = grave.queue.and_then(|queue| self.at(queue).ok());
        grave.waiting.pop_first();
        if let Some(keys) = &mut grave.keys {
            keys.pop_any();
        }
        while let Some(ready) = grave.lanes.iter_mut().find_map(Lane::pop_any) {
            match (ready, at) {
                (Ready::Fresh(fresh), _) => {
                    return Some(Dug::Place(fresh.slot, self.shelf.number(fresh)));
                }
                (Ready::Held(held), Some(at)) => {
                    if let Some(entry) = self.queues[at].forget(held) {
                        return Some(Dug::Place(entry.slot, entry.number));
                    }
                }
                // Of a dropped queue: among the entries.
                (Ready::Held(_), None) => (),
            }
        }
        while let (Some((_, held)), Some(at)) = (grave.delayed.pop_first(), at) {
            if let Some(entry) = self.queues[at].forget(held) {
                return Some(Dug::Place(entry.slot, entry.number));
            }
        }
        let looked_at = grave.next;
        grave.next = looked_at.saturating_add(1);
        if let (1.., Some(at)) = (grave.lent, at) {
            let queue = &mut self.queues[at];
            if looked_at >= queue.entries.cells() {
                return None;
            }
            // What waited was in the lists, and is met there.
            let purged = queue.purged;
            let own = |entry: &Entry| entry.state == State::InFlight && purged.took(entry);
            if !queue.entry(looked_at).is_some_and(own) {
                return Some(Dug::Other);
            }
            grave.lent -= 1;
            let entry = queue.forget(looked_at)?;
            return Some(Dug::Place(entry.slot, entry.number));
        }
        if looked_at >= grave.entries.cells() {
            return None;
        }
        Some(match grave.entries.remove(looked_at) {
            Some(entry) => Dug::Place(entry.slot, entry.number),
            None => Dug::Other,
        })
    }
}

#[cfg(test)]
impl Topic {
    /// Calls `visit` with the slot of every place that lies in a grave; returns how many.
    pub(super) fn buried(&self, mut visit: impl FnMut(u32)) -> usize {
        let mut count = 0;
        let mut visit = |slot| {
            count += 1;
            visit(slot);
        };
        for grave in &self.graves {
            grave.lanes.iter().flat_map(Lane::slots).for_each(&mut visit);
            grave.entries.iter().for_each(|(_, entry)| visit(entry.slot));
        }
        for queue in &self.queues {
            let entries = queue.entries.iter().map(|(_, entry)| entry);
            entries.filter(|entry| queue.purged.took(entry)).for_each(|entry| visit(entry.slot));
        }
        count
    }
}
