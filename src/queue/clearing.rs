//! Purge and drop: done at once for the caller, while the memory goes back with the steps of time.

use super::entries::Entry;
use super::lane::{Lane, Ready};
use super::*;
use slab::Slab;
use std::collections::BTreeSet;

/// What a purge or a drop left to be cleared away: memory only, nobody sees it any more.
#[derive(Debug)]
pub struct Grave {
    /// The purged queue; `None` when it was dropped.
    queue: Option<u32>,
    lanes: Vec<Lane>,
    delayed: BTreeSet<(Timestamp, u32)>,
    /// Of a dropped queue: its entries, and how far they are cleared away.
    entries: Slab<Entry>,
    next: usize,
}

impl Topic {
    /// Removes everything that waits, at once; the memory goes back with the next steps of time.
    /// Deliveries in flight may be acked but do not come back otherwise; dead letters stay.
    ///
    /// Returns how many are gone.
    pub fn purge(&mut self, queue: u32, ledger: &mut Ledger) -> Result<u64, Refusal> {
        let at = self.at(queue)?;
        let queue = &mut self.queues[at];
        let gone = queue.waiting().messages;
        queue.totals.purged += gone;
        let except = queue.spare();
        let (lanes, delayed) = queue.take_waiting();
        let (number, through) = (queue.definition.number, queue.purged_through);
        ledger.note(|| Record::Purged { queue: number, through, except });
        if gone > 0 {
            let entries = Slab::new();
            self.graves.push(Grave { queue: Some(number), lanes, delayed, entries, next: 0 });
        }
        Ok(gone)
    }

    /// Removes everything that waits or is in flight; dead letters stay. Receipts are gone.
    ///
    /// Returns how many are gone.
    pub fn clear(&mut self, queue: u32, ledger: &mut Ledger) -> Result<u64, Refusal> {
        let at = self.at(queue)?;
        let in_flight = |entry: &Entry| entry.state == State::InFlight;
        let entries = self.queues[at].entries.iter();
        let held: Vec<u32> = match self.queues[at].tally(State::InFlight).messages {
            0 => Vec::new(),
            count => {
                let held = entries.filter(|(_, entry)| in_flight(entry)).take(count as usize);
                held.map(|(held, _)| held as u32).collect()
            }
        };
        let gone = held.len() as u64;
        for held in held {
            self.remove_place(at, Ready::Held(held), ledger);
        }
        self.queues[at].totals.purged += gone;
        Ok(gone + self.purge(queue, ledger)?)
    }

    /// Removes a queue with its messages; the memory goes back with the next steps of time. The
    /// caller notes it.
    pub fn drop_queue(&mut self, queue: u32) -> Result<QueueDefinition, Refusal> {
        let at = self.at(queue)?;
        let gone = self.queues.remove(at);
        // What purges left is among its entries; but their lanes are in graves of their own.
        for grave in self.graves.iter_mut().filter(|grave| grave.queue == Some(queue)) {
            (grave.queue, grave.delayed) = (None, BTreeSet::new());
        }
        let (lanes, entries) = (gone.lanes, gone.entries);
        let delayed = BTreeSet::new();
        self.graves.push(Grave { queue: None, lanes, delayed, entries, next: 0 });
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
                let Some((slot, number)) = self.dig(&mut grave) else { break };
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

    /// One place out of a grave: its slot and number.
    fn dig(&mut self, grave: &mut Grave) -> Option<(u32, u64)> {
        let at = grave.queue.and_then(|queue| self.at(queue).ok());
        while let Some(ready) = grave.lanes.iter_mut().find_map(Lane::pop_any) {
            match (ready, at) {
                (Ready::Fresh(fresh), _) => return Some((fresh.slot, self.shelf.number(fresh))),
                (Ready::Held(held), Some(at)) => {
                    if let Some(entry) = self.queues[at].forget(held) {
                        return Some((entry.slot, entry.number));
                    }
                }
                // Of a dropped queue: among the entries.
                (Ready::Held(_), None) => (),
            }
        }
        while let (Some((_, held)), Some(at)) = (grave.delayed.pop_first(), at) {
            if let Some(entry) = self.queues[at].forget(held) {
                return Some((entry.slot, entry.number));
            }
        }
        while grave.next < grave.entries.capacity() {
            grave.next += 1;
            if let Some(entry) = grave.entries.try_remove(grave.next - 1) {
                return Some((entry.slot, entry.number));
            }
        }
        None
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
            let purged = queue.entries.iter().map(|(_, entry)| entry);
            purged
                .filter(|entry| entry.is_purged(queue.purged_through))
                .for_each(|entry| visit(entry.slot));
        }
        count
    }
}
