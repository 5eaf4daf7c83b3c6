//! Messages and queues that change their place: redrive, move, dead letters that go elsewhere, a
//! queue that goes to another topic.

use super::entries::{Entry, History, Queue};
use super::lane::{Key, Ready};
use super::publish::span;
use super::shelf::{Body, Kept};
use super::verbs::*;
use super::*;
use rustc_hash::{FxHashMap, FxHashSet};

/// A queue that is between two topics, with its messages.
#[derive(Debug)]
pub struct Detached {
    /// What defines it.
    pub definition: QueueDefinition,
    queue: Queue,
    messages: Vec<Carried>,
    stamp: u64,
}

/// A message of a detached queue.
#[derive(Debug)]
struct Carried {
    /// Its slot in the topic it left.
    slot: u32,
    /// The number of its place.
    number: u64,
    kept: Kept,
}

/// What has a number in a queue that is detached, by the slot of the message and its entry.
#[derive(Clone, Copy)]
enum Spot {
    /// A message that was never handed out.
    Fresh(u32),
    /// One that has an entry.
    Held(u32, u32),
    /// Where an entry lies in line, when that is not its own place.
    Line(u32),
}

/// A message on its way to the back of a queue of this topic.
struct Arriving {
    slot: u32,
    number: u64,
    visible_at: Timestamp,
    letter: Option<DeadLetter>,
}

/// The times of a message that arrives at a queue now: it waits as long as the queue says, and lives
/// as long as the queue keeps it, but never longer than its publisher said.
fn times_at(target: &Target, kept: &Kept, now: Timestamp) -> Times {
    let own_end = kept.extra.as_ref().and_then(|extra| extra.expires_at);
    let own_end = own_end.unwrap_or(Timestamp::NEVER);
    let visible_at = match target.delay_ms {
        0 => kept.published_at,
        ms => now.after(span(ms)),
    };
    let (expires_at, stamped) = match target.retention_ms {
        0 if kept.stamped => (own_end, false),
        0 => (kept.expires_at, false),
        ms => (own_end.min(now.after(span(ms))), true),
    };
    Times { visible_at, expires_at, stamped }
}

impl Topic {
    /// Moves an entry to the back of another queue: of this topic, or (by way of
    /// [`Topic::take_leaving`]) of another. It has no attempts there, and the times that queue gives
    /// it. `letter`: what killed it; a letter it already has is kept.
    ///
    /// The bounds of that queue are not asked: nobody is there to be refused.
    pub(super) fn move_entry(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        target: Target,
        letter: Option<DeadLetter>,
        ledger: &mut Ledger,
    ) {
        let Some(entry) = self.queues[at].remove(held) else { return };
        let Some(kept) = self.shelf.get(entry.slot) else { return };
        let foreign = self.shelf.foreign(kept);
        let (message, shared) = (kept.number, kept.refs > 1);
        let to_queue = target.queue;
        let (to_entry, here) = (ledger.numbers(1), self.at(to_queue).ok());
        // What is known here is newer than what the other topic was told.
        let target = match here {
            Some(to) => Target::new(to_queue, &self.queues[to].definition.policy),
            None => target,
        };
        let times = times_at(&target, &foreign, now);
        // A queue holds a message once: a second place needs a copy. So do times of its own.
        let own_times = times.stamped || target.delay_ms > 0;
        let copied =
            shared && (own_times || here.is_none_or(|to| self.place_in(to, entry.slot).is_some()));
        let lone = !copied && foreign.lone != 0;
        let lone_at = if lone { to_queue } else { 0 };
        let letter = match letter {
            // It dies, and goes by itself.
            Some(letter) => Some(letter.revive(now, None)),
            None => entry.letter().map(|letter| letter.revive(now, self.door)),
        };
        let from = entry.number;
        ledger.note(|| Record::Moved {
            entry: from,
            message,
            to_entry,
            to_queue,
            copied,
            letter: letter.clone(),
            times,
            lone,
        });
        let Times { visible_at, expires_at, stamped } = times;
        let arriving = Arriving { slot: entry.slot, number: to_entry, visible_at, letter };
        match here {
            Some(to) if !copied => {
                if let Some(kept) = self.shelf.get_mut(entry.slot) {
                    (kept.expires_at, kept.stamped, kept.lone) = (expires_at, stamped, lone_at);
                }
                self.arrive(now, to, arriving);
                return;
            }
            Some(to) => {
                let copy = Kept {
                    number: to_entry,
                    places: 0,
                    expires_at,
                    stamped,
                    lone: lone_at,
                    ..foreign
                };
                if let Ok(slot) = self.shelf.insert(copy) {
                    self.arrive(now, to, Arriving { slot, ..arriving });
                }
            }
            None => {
                let mut message = self.shelf.message(&foreign);
                message.lone = lone;
                if copied {
                    message.number = to_entry;
                }
                let (body_bytes, letter, door) =
                    (foreign.body.len(), arriving.letter, foreign.door);
                let leaving =
                    Leaving { to_queue, to_entry, message, body_bytes, times, letter, door };
                self.leaving.push(leaving);
            }
        }
        // The record above told of its place.
        self.release(entry.slot, from, &mut Ledger::off(0));
    }

    /// A message of this topic is at the back of a queue.
    fn arrive(&mut self, now: Timestamp, to: usize, arriving: Arriving) {
        let Arriving { slot, number, visible_at, letter } = arriving;
        let Some(kept) = self.shelf.get(slot) else { return };
        let (lane, front, bytes) = (kept.priority(), kept.front(), kept.body.len());
        let key = kept.ordering_key().cloned();
        let failures = letter.as_ref().map(|letter| letter.failures.clone()).unwrap_or_default();
        let (state, due) =
            if visible_at > now { (State::Delayed, visible_at) } else { (State::Ready, now) };
        let queue = &mut self.queues[to];
        queue.totals.moved_in += 1;
        let entry = Entry {
            slot,
            state,
            lane,
            front,
            keyed: false,
            attempts: 0,
            bytes,
            number,
            due,
            since: due,
            stamp: 0,
            died: 0,
            history: History::of(failures, letter),
        };
        queue.add(entry, key.as_ref());
        // A dead letter may have outlived its time.
        self.set_expiry(now, slot);
    }

    /// The entry of a ready message; one that was never handed out gets one.
    pub(super) fn hold(&mut self, at: usize, ready: Ready) -> Option<u32> {
        let fresh = match ready {
            Ready::Held(held) => return Some(held),
            Ready::Fresh(fresh) => fresh,
        };
        let kept = self.shelf.get(fresh.slot)?;
        let (lane, front, bytes, since) =
            (kept.priority(), kept.front(), kept.body.len(), kept.published_at);
        let key = self.shelf.key(fresh);
        let queue = &mut self.queues[at];
        queue.lane(lane).remove(key, &self.shelf)?;
        queue.count_out(bytes);
        let entry = Entry {
            slot: fresh.slot,
            state: State::Ready,
            lane,
            front,
            keyed: false,
            attempts: 0,
            bytes,
            number: key.number(),
            due: since,
            since,
            stamp: 0,
            died: 0,
            history: None,
        };
        Some(queue.add(entry, None))
    }

    /// Dead letters back to work, at the back of their own queue or of `to`, with no attempts
    /// counted; what killed them is kept. Their number in `to` may be above its bounds.
    ///
    /// Returns how many moved. Numbers: one from the ledger for each.
    pub fn redrive(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: &Selection,
        to: Option<Target>,
        ledger: &mut Ledger,
    ) -> Result<u64, Refusal> {
        let at = self.at(queue)?;
        let chosen: Vec<u32> = match selection {
            Selection::Oldest(count) => {
                self.queues[at].dead.values().copied().take(*count).collect()
            }
            Selection::Ids(ids) => {
                let mut chosen = Vec::with_capacity(ids.len());
                let mut seen = FxHashSet::default();
                for id in ids {
                    for slot in self.shelf.by_id(id) {
                        let queue = &mut self.queues[at];
                        let held = queue.by_slot(slot);
                        let dead = |held: &u32| {
                            queue.entry(*held).is_some_and(|entry| entry.state == State::Dead)
                        };
                        chosen.extend(held.filter(dead).filter(|held| seen.insert(*held)));
                    }
                }
                chosen
            }
        };
        for held in &chosen {
            self.move_entry(now, at, *held, to.unwrap_or(queue.into()), None, ledger);
        }
        Ok(chosen.len() as u64)
    }

    /// Ready messages to the back of another queue, of this topic or another. Their failures so far
    /// are forgotten; a letter they were redriven with is kept.
    ///
    /// Returns how many moved. Numbers: one from the ledger for each.
    pub fn transfer(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: &Selection,
        to: Target,
        ledger: &mut Ledger,
    ) -> Result<u64, Refusal> {
        let at = self.at(queue)?;
        let mut moved = 0;
        match selection {
            Selection::Oldest(count) => {
                // No more than there are now: its own back is a possible target.
                let count = (*count as u64).min(self.queues[at].tally(State::Ready).messages);
                let lanes = self.queues[at].lanes.iter().rev();
                let chosen = lanes.flat_map(|lane| lane.from(Key::FIRST, &self.shelf));
                let chosen: Vec<Ready> =
                    chosen.map(|(_, ready)| ready).take(count as usize).collect();
                for ready in chosen {
                    if let Some(held) = self.hold(at, ready) {
                        self.move_entry(now, at, held, to, None, ledger);
                        moved += 1;
                    }
                }
            }
            Selection::Ids(ids) => {
                for id in ids {
                    let Some(place) = self.place_of(at, id) else { continue };
                    if self.is_ready(at, place)
                        && let Some(held) = self.hold(at, place)
                    {
                        self.move_entry(now, at, held, to, None, ledger);
                        moved += 1;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// Messages that left for queues of other topics since the last call.
    pub fn take_leaving(&mut self) -> Vec<Leaving> {
        std::mem::take(&mut self.leaving)
    }

    /// Takes in a message that left another topic; it comes back when its queue is not here.
    ///
    /// Its place's number must come from the same ascending numbers as those of this topic's ledger:
    /// they are its place in line.
    pub fn adopt(
        &mut self,
        now: Timestamp,
        arriving: Box<Leaving>,
        ledger: &mut Ledger,
    ) -> Result<(), Box<Leaving>> {
        let Ok(at) = self.at(arriving.to_queue) else { return Err(arriving) };
        let queue = &mut self.queues[at];
        if arriving.to_entry <= queue.purged.through {
            // The queue was purged while it was on its way. The store may have learnt of the purge
            // before the move, and then took it for one that came later.
            queue.totals.moved_in += 1;
            queue.totals.purged += 1;
            let (entry, message) = (arriving.to_entry, arriving.message.number);
            ledger.note(|| Record::Removed { entry, message, last: true });
            return Ok(());
        }
        let Leaving { to_queue, to_entry, message, body_bytes, times, letter, door } = *arriving;
        let Times { visible_at, expires_at, stamped } = times;
        let kept = Kept {
            body: Body::new(message.body, body_bytes),
            number: message.number,
            seq: message.seq,
            published_at: message.published_at,
            expires_at,
            extra: message.extra,
            refs: 1,
            places: 0,
            foreign: true,
            stamped,
            lone: if message.lone { to_queue } else { 0 },
            door,
        };
        if let Ok(slot) = self.shelf.insert(kept) {
            self.arrive(now, at, Arriving { slot, number: to_entry, visible_at, letter });
        }
        Ok(())
    }

    /// Takes a queue out of the topic with all its messages. Those that other queues hold too
    /// become messages of their own; so does everything behind them, so that the order stays.
    /// Deliveries in flight stay in flight: their receipts are good at the topic that takes the
    /// queue in.
    ///
    /// Numbers: up to two from the ledger for each message in the queue.
    pub fn detach(
        &mut self,
        now: Timestamp,
        queue: u32,
        ledger: &mut Ledger,
    ) -> Result<Detached, Refusal> {
        let at = self.at(queue)?;
        // What a purge left must not travel.
        while self.advance(now, usize::MAX, ledger).more {}
        let mut queue = self.queues.remove(at);
        let mut places: Vec<(u64, Spot)> = Vec::new();
        for (held, entry) in queue.entries.iter() {
            places.push((entry.number, Spot::Held(entry.slot, held)));
            let line = entry.history.as_ref().and_then(|history| history.line);
            places.extend(line.map(|line| (line.number(), Spot::Line(held))));
        }
        for lane in &queue.lanes {
            let ring = lane.ring_from(Key::FIRST, &self.shelf);
            places.extend(ring.map(|(key, fresh)| (key.number(), Spot::Fresh(fresh.slot))));
        }
        places.sort_unstable_by_key(|(number, _)| *number);
        queue.together = None;
        let mut messages = Vec::with_capacity(places.len());
        let mut apart = false;
        // The number of a moment is shared by all that came back at it.
        let mut moment = (0, 0);
        for (number, spot) in places {
            let (slot, held) = match spot {
                Spot::Fresh(slot) => (slot, None),
                Spot::Held(slot, held) => (slot, Some(held)),
                Spot::Line(held) => {
                    if apart {
                        if moment.0 != number {
                            moment = (number, ledger.numbers(1));
                        }
                        queue.renumber_line(held, moment.1);
                    }
                    continue;
                }
            };
            let Some(kept) = self.shelf.get(slot) else { continue };
            let mut own = Carried { slot, number, kept: self.shelf.foreign(kept) };
            if number <= queue.purged.through
                && let Some(held) = held
                && queue.entry(held).is_some_and(|entry| entry.state == State::InFlight)
            {
                // The store has forgotten its place, and it comes back to none.
                if kept.refs > 1 {
                    (own.kept.number, own.kept.places) = (number, 0);
                }
                messages.push(own);
                continue;
            }
            apart |= kept.refs > 1;
            if apart {
                own.number = ledger.numbers(1);
                (own.kept.number, own.kept.places) = (own.number, 0);
                let entry = held.and_then(|held| queue.entry(held));
                note_apart(now, &queue, (number, own.number), kept, entry, ledger);
            }
            messages.push(own);
        }
        for message in &messages {
            self.release(message.slot, 0, &mut Ledger::off(0));
        }
        self.look_at_policies();
        let definition = queue.definition.clone();
        Ok(Detached { definition, queue, messages, stamp: self.stamp })
    }

    /// Takes in a queue that was detached; it comes back when one of its name is here, or when
    /// there are too many.
    pub fn attach(&mut self, now: Timestamp, detached: Box<Detached>) -> Result<(), Box<Detached>> {
        let taken = self.queues().any(|queue| queue.name == detached.definition.name);
        if taken || self.queues.len() >= super::topic::QUEUES_MAX {
            return Err(detached);
        }
        let Detached { definition, mut queue, messages, stamp } = *detached;
        // No receipt of either topic is given again.
        self.stamp = self.stamp.max(stamp);
        queue.definition = definition;
        queue.dead_target = None;
        queue.clear_deadlines();
        let mut names = FxHashMap::default();
        for Carried { slot: old, number, kept } in messages {
            let Ok(slot) = self.shelf.insert(kept) else { continue };
            self.set_expiry(now, slot);
            names.insert(old, (slot, number));
        }
        queue.rename(&self.shelf, |slot| names.get(&slot).copied());
        let in_flight = queue.entries.iter().filter(|(_, entry)| entry.state == State::InFlight);
        let mut deadlines: Vec<(Timestamp, u32, u64)> =
            in_flight.map(|(held, entry)| (entry.due, held, entry.stamp)).collect();
        deadlines.sort_unstable_by_key(|(_, _, stamp)| *stamp);
        let at = self.queues.len();
        self.queues.push(queue);
        for (due, held, stamp) in deadlines {
            self.set_deadline(now, due, at, held, stamp);
        }
        self.look_at_policies();
        Ok(())
    }
}

/// Notes that the place `from` of a message is now the place `to` of a copy of its own, in the same
/// queue and the same state.
fn note_apart(
    now: Timestamp,
    queue: &Queue,
    (from, to): (u64, u64),
    kept: &Kept,
    entry: Option<&Entry>,
    ledger: &mut Ledger,
) {
    let (message, to_queue) = (kept.number, queue.definition.number);
    // Revived in every state but that of a dead letter.
    let letter = entry.and_then(Entry::letter);
    let is_dead = letter.as_ref().is_some_and(|letter| !letter.revived);
    ledger.note(|| Record::Moved {
        entry: from,
        message,
        to_entry: to,
        to_queue,
        copied: true,
        letter,
        times: Times {
            visible_at: kept.published_at,
            expires_at: kept.expires_at,
            stamped: kept.stamped,
        },
        lone: kept.lone != 0,
    });
    if kept.refs == 1 && from != message {
        ledger.note(|| Record::Removed { entry: from, message, last: true });
    }
    let Some(entry) = entry.filter(|_| !is_dead) else { return };
    // A delivery in flight does not count until it has failed.
    let attempts = entry.attempts - u32::from(entry.state == State::InFlight);
    let visible_at = if entry.state == State::Delayed { entry.due } else { now };
    if attempts > 0 || entry.state == State::Delayed || !entry.failures().is_empty() {
        let failures = entry.failures();
        ledger.note(|| Record::Attempted { entry: to, attempts, visible_at, failures });
    }
}
