//! A broker topic: its messages, its queues and their figures.
//!
//! Nothing here reads a clock, a socket or a file. What must survive is noted in the [`Ledger`].
//! What the verbs do is in the files beside this one: `publish`, `deliver`, `passing` (of time),
//! `clearing` (purge and drop), `moving`, `looking`, `restoring`.

use super::clearing::Grave;
use super::dedup::Dedup;
use super::entries::Queue;
use super::lane::{Key, Ready};
use super::passing::Timer;
use super::shelf::{Body, Kept, Shelf};
use super::stats::Waits;
use super::verbs::*;
use super::wheel::Wheel;
use super::*;
use bytes::Bytes;

/// Most queues of a topic.
pub const QUEUES_MAX: usize = u16::MAX as usize;

/// The rules of one broker topic. See the module's doc.
#[derive(Debug)]
pub struct Topic {
    pub(super) number: u32,
    pub(super) policy: TopicPolicy,
    pub(super) shelf: Shelf,
    pub(super) queues: Vec<Queue>,
    pub(super) wheel: Wheel<Timer>,
    /// More timers than this are looked through for stale ones.
    pub(super) timers_max: usize,
    /// Timers set so far.
    pub(super) timers_set: u64,
    pub(super) stamp: u64,
    pub(super) last_seq: u64,
    pub(super) dedup: Dedup,
    pub(super) graves: Vec<Grave>,
    pub(super) leaving: Vec<Leaving>,
    /// Some queue has a filter.
    pub(super) filters: bool,
    /// A message without options can take the short way.
    pub(super) plain: bool,
    /// Messages no queue took.
    pub(super) unrouted: u64,
    /// Through which door the verbs come now.
    pub(super) door: Option<Door>,
    /// Kept between calls so that a publish allocates nothing.
    pub(super) accepting: Vec<usize>,
}

impl Topic {
    /// A topic without queues and messages. `nonce` starts the receipts and differs between any two
    /// runs, so that a receipt of an earlier run is not good by chance.
    pub fn new(definition: &TopicDefinition, nonce: u64) -> Topic {
        Topic {
            number: definition.number,
            policy: definition.policy.clone(),
            shelf: Shelf::new(definition.salt),
            queues: Vec::new(),
            wheel: Wheel::default(),
            timers_max: 0,
            timers_set: 0,
            stamp: nonce,
            last_seq: 0,
            dedup: Dedup::default(),
            graves: Vec::new(),
            leaving: Vec::new(),
            filters: false,
            plain: false,
            unrouted: 0,
            door: None,
            accepting: Vec::new(),
        }
    }

    /// The verbs that follow come through this door.
    #[inline]
    pub fn through(&mut self, door: Option<Door>) {
        self.door = door;
    }

    // Queues

    /// Adds a queue, empty.
    ///
    /// Errors: `QueueExists`; `Full` at [`QUEUES_MAX`].
    pub fn add_queue(&mut self, definition: QueueDefinition) -> Result<(), Refusal> {
        if self.queues.iter().any(|queue| queue.definition.name == definition.name) {
            return Err(Refusal::QueueExists);
        }
        if self.queues.len() >= QUEUES_MAX {
            return Err(Refusal::Full { what: "queues", limit: QUEUES_MAX as u64 });
        }
        self.queues.push(Queue::new(definition));
        self.look_at_policies();
        Ok(())
    }

    /// Changes the topic's settings.
    pub fn set_policy(&mut self, policy: TopicPolicy) {
        self.policy = policy;
        self.look_at_policies();
    }

    /// Changes a queue's settings. What is over a lowered bound goes as messages come and time passes.
    pub fn set_queue_policy(&mut self, queue: u32, policy: QueuePolicy) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        self.queues[at].definition.policy = policy;
        self.look_at_policies();
        Ok(())
    }

    /// The queue that dead letters of `queue` go to; `None`, or itself: they stay in it. With
    /// [`QueuePolicy::limit_needs_target`] a queue that names itself puts them back to work.
    pub fn set_dead_letter_target(
        &mut self,
        queue: u32,
        target: Option<Target>,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let queue = &mut self.queues[at];
        let (own, back_to_work) =
            (queue.definition.number, queue.definition.policy.limit_needs_target);
        queue.dead_target = target.filter(|target| target.queue != own || back_to_work);
        Ok(())
    }

    /// The number of the queue with that name.
    pub fn queue_number(&self, name: &QueueName) -> Option<u32> {
        let found = self.queues.iter().find(|queue| queue.definition.name == *name);
        found.map(|queue| queue.definition.number)
    }

    /// All queues, in the order they were added.
    pub fn queues(&self) -> impl Iterator<Item = &QueueDefinition> {
        self.queues.iter().map(|queue| &queue.definition)
    }

    #[inline]
    pub(super) fn at(&self, queue: u32) -> Result<usize, Refusal> {
        let found = self.queues.iter().position(|known| known.definition.number == queue);
        found.ok_or(Refusal::QueueNotFound)
    }

    // Places of messages

    /// The place of a message in a queue, by id.
    pub(super) fn place_of(&mut self, at: usize, id: &MessageId) -> Option<Ready> {
        let slots = self.shelf.by_id(id);
        slots.into_iter().find_map(|slot| self.place_in(at, slot))
    }

    /// The place of a message in a queue, whatever its state there.
    pub(super) fn place_in(&mut self, at: usize, slot: u32) -> Option<Ready> {
        if let Some(held) = self.queues[at].by_slot(slot) {
            return Some(Ready::Held(held));
        }
        let (_, fresh) = self.queues[at].find_fresh(slot, &self.shelf)?;
        Some(Ready::Fresh(fresh))
    }

    /// Takes the place of a message in a queue away, whatever its state there.
    pub(super) fn remove_place(&mut self, at: usize, place: Ready, ledger: &mut Ledger) {
        let queue = &mut self.queues[at];
        let (slot, number) = match place {
            Ready::Held(held) => match queue.remove(held) {
                Some(entry) => (entry.slot, entry.number),
                None => return,
            },
            Ready::Fresh(fresh) => {
                let Some(kept) = self.shelf.get(fresh.slot) else { return };
                let key = self.shelf.key(fresh);
                if queue.lane(kept.priority()).remove(key, &self.shelf).is_none() {
                    return;
                }
                queue.count_out(kept.body.len());
                (fresh.slot, key.number())
            }
        };
        self.release(slot, number, ledger);
    }

    /// One place less holds the message; the last one lets it go.
    #[inline(always)]
    pub(super) fn release(&mut self, slot: u32, entry: u64, ledger: &mut Ledger) {
        self.shelf.release(slot, |message, last| {
            ledger.note(|| Record::Removed { entry, message, last });
        });
    }

    /// The same; the last one gets what was kept.
    #[inline(always)]
    pub(super) fn take_release(
        &mut self,
        slot: u32,
        entry: u64,
        ledger: &mut Ledger,
    ) -> Option<Kept> {
        let kept = self.shelf.get_mut(slot)?;
        kept.refs = kept.refs.saturating_sub(1);
        let (message, last) = (kept.number, kept.refs == 0);
        ledger.note(|| Record::Removed { entry, message, last });
        if last { self.shelf.remove(slot) } else { None }
    }

    // Figures

    /// How many messages of a queue are where.
    pub fn counts(&self, queue: u32) -> Result<Counts, Refusal> {
        Ok(self.counts_of(&self.queues[self.at(queue)?]))
    }

    fn counts_of(&self, queue: &Queue) -> Counts {
        let heads = queue.lanes.iter().filter_map(|lane| lane.peek(End::Front, &self.shelf));
        let published = heads.filter_map(|ready| self.shelf.get(queue.slot(ready)));
        let oldest_ready = published.map(|kept| kept.published_at).min();
        Counts { oldest_ready, ..queue.counts() }
    }

    /// All queues together.
    pub fn sum(&self) -> TopicSum {
        let policy = &self.policy;
        let mut sum = TopicSum {
            full_per_mille: full_per_mille(self.shelf.len() as u64, policy.capacity)
                .max(full_per_mille(self.shelf.bytes(), policy.bytes_max)),
            ..TopicSum::default()
        };
        for queue in &self.queues {
            let (policy, waiting) = (&queue.definition.policy, queue.waiting());
            let full = full_per_mille(waiting.messages, policy.messages_max)
                .max(full_per_mille(waiting.bytes, policy.bytes_max));
            sum.counts = sum.counts.plus(&self.counts_of(queue));
            sum.totals = sum.totals.plus(&queue.totals);
            sum.queues += 1;
            sum.paused_in += u64::from(policy.paused_in);
            sum.paused_out += u64::from(policy.paused_out);
            sum.full_per_mille = sum.full_per_mille.max(full);
        }
        sum
    }

    /// Whether a receive from this queue would hand something out.
    pub fn is_ready_in(&self, queue: u32) -> bool {
        self.at(queue).is_ok_and(|at| {
            let queue = &self.queues[at];
            !queue.definition.policy.paused_out && queue.has_next(&self.shelf)
        })
    }

    /// Whether a message can be handed out, since the last call, that could not be before since
    /// another one of its ordering key was out or had to come first.
    pub fn take_freed(&mut self) -> bool {
        let queues = self.queues.iter_mut();
        queues.fold(false, |freed, queue| queue.take_freed() | freed)
    }

    /// What happened to a queue so far.
    pub fn totals(&self, queue: u32) -> Result<Totals, Refusal> {
        Ok(self.queues[self.at(queue)?].totals)
    }

    /// What happened to all queues together.
    pub fn all_totals(&self) -> Totals {
        let totals = self.queues.iter().map(|queue| &queue.totals);
        totals.fold(Totals::default(), Totals::plus)
    }

    /// Time in queue and time to ack.
    pub fn waits(&self, queue: u32) -> Result<&Waits, Refusal> {
        Ok(&self.queues[self.at(queue)?].waits)
    }

    /// Bytes of bodies held in memory.
    pub fn resident_bytes(&self) -> u64 {
        self.shelf.resident()
    }

    /// Messages alive, each once; purged ones until they are cleared away.
    pub fn len(&self) -> usize {
        self.shelf.len()
    }

    /// No message is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that came into the world in other topics.
    pub fn strangers(&self) -> u64 {
        self.shelf.strangers() as u64
    }

    /// Messages published to no queue, since none took them.
    pub fn unrouted(&self) -> u64 {
        self.unrouted
    }

    // Bodies on disk

    /// Of the next messages of a queue, those whose bodies are on disk: their numbers.
    pub fn cold_ahead(&self, queue: u32, max: usize) -> Vec<u64> {
        let Ok(at) = self.at(queue) else { return Vec::new() };
        let ahead = self.ahead(at, max.saturating_mul(2)).filter_map(|slot| self.shelf.get(slot));
        let cold = ahead.filter(|kept| matches!(kept.body, Body::OnDisk(_)));
        cold.map(|kept| kept.number).take(max).collect()
    }

    /// The slots of the messages that are handed out next.
    fn ahead(&self, at: usize, max: usize) -> impl Iterator<Item = u32> {
        let queue = &self.queues[at];
        let lanes = queue.lanes.iter().rev();
        let ready = lanes.flat_map(|lane| lane.from(Key::FIRST, &self.shelf));
        ready.map(|(_, ready)| queue.slot(ready)).take(max)
    }

    /// Gives bodies back to messages at the heads of the queues that are still there.
    pub fn warm(&mut self, mut bodies: Vec<(u64, Bytes)>) {
        bodies.sort_unstable_by_key(|(number, _)| *number);
        let max = bodies.len().saturating_mul(4);
        let mut found: Vec<(u32, Bytes)> = Vec::new();
        for at in 0..self.queues.len() {
            for slot in self.ahead(at, max) {
                let number = self.shelf.get(slot).map_or(0, |kept| kept.number);
                if let Ok(at) = bodies.binary_search_by_key(&number, |(number, _)| *number) {
                    found.push((slot, bodies[at].1.clone()));
                }
            }
        }
        for (slot, body) in found {
            self.shelf.warm(slot, body);
        }
    }

    /// The store found these messages damaged, or not at all: they leave every queue. But the store
    /// may have let go of what is gone here, or was purged while it is in flight: a delivery of that
    /// may still be acked.
    ///
    /// Returns how many should have been there.
    pub fn quarantine(&mut self, mut numbers: Vec<u64>) -> usize {
        numbers.sort_unstable();
        let mut off = Ledger::off(0);
        let missed = |kept: &Kept| numbers.binary_search(&kept.number).is_ok();
        let damaged = self.shelf.iter().filter(|(_, kept)| missed(kept));
        let slots: Vec<u32> = damaged.map(|(slot, _)| slot).collect();
        let mut lost = 0;
        for slot in slots {
            let places =
                (0..self.queues.len()).filter_map(|at| Some((at, self.place_in(at, slot)?)));
            let places: Vec<(usize, Ready)> = places.collect();
            if places.iter().all(|(at, place)| self.is_forgotten(*at, *place)) {
                continue;
            }
            lost += 1;
            for (at, place) in places {
                self.remove_place(at, place, &mut off);
                self.queues[at].totals.dropped += 1;
            }
        }
        lost
    }

    /// A place that the store need not have: it was purged while it was in flight.
    fn is_forgotten(&self, at: usize, place: Ready) -> bool {
        let Ready::Held(held) = place else { return false };
        let queue = &self.queues[at];
        let lent = queue.entry(held).is_some_and(|entry| entry.state == State::InFlight);
        lent && queue.is_purged(held)
    }
}
