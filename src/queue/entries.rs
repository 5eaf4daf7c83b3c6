//! One queue of a topic: which of the topic's messages wait in it, are handed out, or are dead.
//!
//! A message that was never handed out and waits for nothing is just a [`Fresh`] in a lane. As soon
//! as more is known of it (a delay, a delivery, a failure) it becomes an [`Entry`].
//!
//! Invariants, asserted by `Topic::check_invariants`:
//! - a message of the queue is in exactly one state and in one place;
//! - a lane's entries, `delayed` and `dead` name exactly the entries in those states;
//! - the counts are the sums of what is there.

use super::by_slot::BySlot;
use super::keys::{Keys, Waiting};
use super::lane::{Fresh, Key, Lane, Ready};
use super::pages::Pages;
use super::record::Failure;
use super::shelf::Shelf;
use super::stats::Waits;
use super::verbs::{Counts, End, State, Totals};
use super::{DeadLetter, Door, QueueDefinition, Target, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is known of a message beyond its place in line.
#[derive(Debug)]
pub struct Entry {
    /// Slot of the message.
    pub slot: u32,
    /// Where it is.
    pub state: State,
    /// Its priority's lane.
    pub lane: u8,
    /// It was published with `front`.
    pub front: bool,
    /// It has an ordering key, which [`Queue::key_of`] tells; a dead one has none.
    pub keyed: bool,
    /// Deliveries so far that count.
    pub attempts: u32,
    /// Length of the body.
    pub bytes: u32,
    /// Number of the place, which gives its place in the lane.
    pub number: u64,
    /// When its delay or its ack deadline is over.
    pub due: Timestamp,
    /// When it became ready, or was handed out.
    pub since: Timestamp,
    /// Names the delivery; changes with every one.
    pub stamp: u64,
    /// Order among the dead; while it is in flight, the number of the door it is out through.
    pub died: u64,
    /// Present once a delivery failed.
    pub history: Option<Box<History>>,
}

/// What went wrong with a message.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Failed deliveries, oldest first.
    pub failures: Vec<Failure>,
    /// Its death; kept when it is redriven.
    pub letter: Option<DeadLetter>,
    /// Where it lies in its lane when that is not its own place: it came back to an end of the queue.
    pub line: Option<Key>,
}

impl History {
    /// What the failures and the death of a message are when it goes on living elsewhere.
    pub fn of(failures: Vec<Failure>, letter: Option<DeadLetter>) -> Option<Box<History>> {
        let known = letter.is_some() || !failures.is_empty();
        known.then(|| Box::new(History { failures, letter, line: None }))
    }
}

impl Entry {
    /// It is handed out, and may be acked now.
    #[inline]
    pub fn is_out(&self, now: Timestamp) -> bool {
        self.state == State::InFlight && self.due > now
    }

    /// Where it lies in its lane.
    pub fn key(&self) -> Key {
        let line = self.history.as_ref().and_then(|history| history.line);
        line.unwrap_or(Key::new(self.number, self.front))
    }

    /// It came back: to a place in line, or (`None`) to its own.
    pub fn line_up(&mut self, line: Option<Key>) {
        match (&mut self.history, line) {
            (None, None) => (),
            (history, line) => history.get_or_insert_default().line = line,
        }
    }

    /// Through which door it is out.
    pub fn lent_by(&self) -> Option<Door> {
        if self.state == State::InFlight { Door::numbered(self.died) } else { None }
    }

    /// Its failed deliveries.
    pub fn failures(&self) -> Vec<Failure> {
        self.history.as_ref().map(|history| history.failures.clone()).unwrap_or_default()
    }

    /// Its death, also when it was redriven since.
    pub fn letter(&self) -> Option<DeadLetter> {
        self.history.as_ref()?.letter.clone()
    }
}

/// How far purges went through a queue: every place had a number up to these, and every later one has a
/// higher one. So a purge has to touch no entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Purged {
    /// What waited is gone; what was in flight does not come back.
    pub through: u64,
    /// What was in flight is gone.
    pub lent_through: u64,
}

impl Purged {
    /// It is in none of the queue's counts: a purge took it, and only its memory is left.
    #[inline]
    pub fn took(self, entry: &Entry) -> bool {
        match entry.state {
            State::Ready | State::Delayed => entry.number <= self.through,
            State::InFlight => entry.number <= self.lent_through,
            State::Dead => false,
        }
    }
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    /// Name, number, settings.
    pub definition: QueueDefinition,
    /// The queue its dead letters go to.
    pub dead_target: Option<Target>,
    /// One per priority; only as many as are used.
    pub lanes: Vec<Lane>,
    /// Everything that is more than a place in line.
    pub entries: Pages<Entry>,
    /// Delayed entries by when they are ready.
    pub delayed: BTreeSet<(Timestamp, u32)>,
    /// Dead entries in the order of their death.
    pub dead: BTreeMap<u64, u32>,
    /// Who waits for whom; `None` until a message with an ordering key came.
    pub keys: Option<Box<Keys>>,
    /// Ack deadlines in the order they were set, as long as that is the order in which they pass; those
    /// that are over earlier are timers of the topic. Most are stale: an ack leaves its own behind.
    deadlines: VecDeque<Deadline>,
    /// Slot of a message to its entry, once somebody asked.
    by_slot: Option<BySlot>,
    next_death: u64,
    /// The last moment at which deliveries missed their deadlines, and the key they share.
    pub together: Option<(Timestamp, Key)>,
    /// The highest number of a place so far.
    pub highest: u64,
    /// Which places purges took.
    pub purged: Purged,
    counts: [Tally; 4],
    /// What happened so far.
    pub totals: Totals,
    /// How long things took.
    pub waits: Waits,
}

/// Until when a delivery may be acked.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// When it is over.
    pub due: Timestamp,
    /// The delivery's entry.
    pub held: u32,
    /// The delivery's stamp.
    pub stamp: u64,
    /// Which timer of the topic it is.
    pub nth: u64,
}

/// Stale deadlines that a queue may always keep.
const STALE_FREE: usize = 1024;

/// How many messages, and the bytes of their bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u32) {
        self.messages += 1;
        self.bytes += u64::from(bytes);
    }

    fn sub(&mut self, bytes: u32) {
        self.messages -= 1;
        self.bytes -= u64::from(bytes);
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(definition: QueueDefinition) -> Self {
        Queue {
            definition,
            dead_target: None,
            lanes: Vec::new(),
            entries: Pages::default(),
            delayed: BTreeSet::new(),
            dead: BTreeMap::new(),
            keys: None,
            deadlines: VecDeque::new(),
            by_slot: None,
            next_death: 0,
            together: None,
            highest: 0,
            purged: Purged::default(),
            counts: [Tally::default(); 4],
            totals: Totals::default(),
            waits: Waits::default(),
        }
    }

    /// After so many failed deliveries a message becomes a dead letter; `None`: never.
    pub fn limit(&self) -> Option<u32> {
        let policy = &self.definition.policy;
        let counts = !policy.limit_needs_target || self.dead_target.is_some();
        (counts && policy.max_deliveries > 0).then_some(policy.max_deliveries)
    }

    /// Those that wait and have had all their deliveries: number of the place, and entry.
    pub fn exhausted(&self) -> impl Iterator<Item = (u64, u32)> {
        let (limit, purged) = (self.limit(), self.purged);
        let waits = move |entry: &Entry| {
            matches!(entry.state, State::Ready | State::Delayed) && !purged.took(entry)
        };
        let entries = self.entries.iter().filter(move |(_, entry)| {
            waits(entry) && limit.is_some_and(|limit| entry.attempts >= limit)
        });
        entries.map(|(held, entry)| (entry.number, held))
    }

    /// How many are in a state.
    pub fn tally(&self, state: State) -> Tally {
        self.counts[state as usize]
    }

    /// How many wait.
    pub fn waiting(&self) -> Tally {
        let (ready, delayed) = (self.tally(State::Ready), self.tally(State::Delayed));
        Tally { messages: ready.messages + delayed.messages, bytes: ready.bytes + delayed.bytes }
    }

    /// How many are where; nothing of the age of what is ready.
    pub fn counts(&self) -> Counts {
        let first_dead = self.dead.first_key_value().and_then(|(_, at)| self.entry(*at));
        let letter = first_dead.and_then(|entry| entry.history.as_ref()?.letter.as_ref());
        Counts {
            delayed: self.tally(State::Delayed).messages,
            ready: self.tally(State::Ready).messages,
            in_flight: self.tally(State::InFlight).messages,
            dead: self.tally(State::Dead).messages,
            bytes: self.counts.iter().map(|tally| tally.bytes).sum(),
            oldest_ready: None,
            oldest_dead: letter.map(|letter| letter.at),
        }
    }

    /// The lane of a priority.
    #[inline]
    pub fn lane(&mut self, priority: u8) -> &mut Lane {
        let at = usize::from(priority);
        if at >= self.lanes.len() {
            self.lanes.resize_with(at + 1, Lane::default);
        }
        &mut self.lanes[at]
    }

    /// [`Queue::head`], where that is one that was never handed out, of a queue of one priority without
    /// anything else.
    #[inline(always)]
    pub fn fresh_head(&self, end: End) -> Option<Fresh> {
        match self.lanes.as_slice() {
            [lane] => lane.next_fresh(end),
            _ => None,
        }
    }

    /// What is handed out next, and its priority. The back of the queue is the back of its lowest
    /// priority.
    #[inline]
    pub fn head(&self, end: End, shelf: &Shelf) -> Option<(u8, Ready)> {
        let found = |(at, lane): (usize, &Lane)| Some((at as u8, lane.next(end, shelf)?));
        match end {
            End::Front => self.lanes.iter().enumerate().rev().find_map(found),
            End::Back => self.lanes.iter().enumerate().find_map(found),
        }
    }

    /// Whether anything can be handed out.
    pub fn has_next(&self, shelf: &Shelf) -> bool {
        let ready = self.tally(State::Ready).messages > 0;
        ready && (self.keys.is_none() || self.head(End::Front, shelf).is_some())
    }

    /// The oldest ready message: the smallest number among those at the fronts of their priorities.
    pub fn oldest(&self, shelf: &Shelf) -> Option<(u64, u8, Ready)> {
        let heads = self.lanes.iter().enumerate().filter_map(|(at, lane)| {
            let ready = lane.peek(End::Front, shelf)?;
            Some((self.number(ready, shelf), at as u8, ready))
        });
        heads.min_by_key(|(number, _, _)| *number)
    }

    /// The number of a ready message's place.
    pub fn number(&self, ready: Ready, shelf: &Shelf) -> u64 {
        match ready {
            Ready::Fresh(fresh) => shelf.number(fresh),
            Ready::Held(held) => self.entry(held).map_or(0, |entry| entry.number),
        }
    }

    /// The slot of a ready message.
    #[inline]
    pub fn slot(&self, ready: Ready) -> u32 {
        match ready {
            Ready::Fresh(fresh) => fresh.slot,
            Ready::Held(held) => self.entry(held).map_or(u32::MAX, |entry| entry.slot),
        }
    }

    /// An entry.
    #[inline]
    pub fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at)
    }

    /// An entry, to be changed.
    pub fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.get_mut(at)
    }

    /// Adds a ready message that was never handed out and has no ordering key. False: its number does not continue the
    /// order, and it must be an entry.
    #[inline(always)]
    pub fn push(&mut self, number: u64, lane: u8, front: bool, fresh: Fresh, bytes: u32) -> bool {
        let pushed = self.lane(lane).push(number, front, fresh);
        if pushed {
            self.highest = self.highest.max(number);
            self.counts[State::Ready as usize].add(bytes);
        }
        pushed
    }

    /// A message of the ring was taken out of its lane.
    #[inline]
    pub fn count_out(&mut self, bytes: u32) {
        self.counts[State::Ready as usize].sub(bytes);
    }

    /// Adds a ready message that was never handed out, has no ordering key, but cannot lie in the ring.
    #[cold]
    pub fn add_ready(
        &mut self,
        slot: u32,
        lane: u8,
        front: bool,
        bytes: u32,
        number: u64,
        since: Timestamp,
    ) -> u32 {
        let entry = Entry {
            slot,
            state: State::Ready,
            lane,
            front,
            keyed: false,
            attempts: 0,
            bytes,
            number,
            due: since,
            since,
            stamp: 0,
            died: 0,
            history: None,
        };
        self.add(entry, None)
    }

    /// Adds an entry in the state it names, with its ordering key if it has one; counts it.
    pub fn add(&mut self, mut entry: Entry, key: Option<&Bytes>) -> u32 {
        if entry.state == State::Dead {
            self.next_death += 1;
            entry.died = self.next_death;
        }
        let slot = entry.slot;
        self.highest = self.highest.max(entry.number);
        let key = key.filter(|_| entry.state != State::Dead);
        entry.keyed = key.is_some();
        let at = self.entries.add(entry);
        if let Some(key) = key {
            self.join_key(at, key);
        }
        self.link(at);
        if let Some(key) = self.key_of(at) {
            self.settle(key);
        }
        if let Some(by_slot) = &mut self.by_slot {
            by_slot.insert(slot, at);
        }
        at
    }

    fn link(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at) else { return };
        let (state, key, lane, bytes) = (entry.state, entry.key(), entry.lane, entry.bytes);
        let keyed = entry.keyed;
        match state {
            State::Ready if keyed => drop(self.lane(lane).turns().ready.insert(key, at)),
            State::Ready => self.lane(lane).give_back(key, at),
            State::Delayed => drop(self.delayed.insert((entry.due, at))),
            State::InFlight => (),
            State::Dead => drop(self.dead.insert(entry.died, at)),
        }
        if keyed {
            self.enter_line(at, state, lane, key);
        }
        self.counts[state as usize].add(bytes);
    }

    fn unlink(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at) else { return };
        let (state, key, lane, bytes) = (entry.state, entry.key(), entry.lane, entry.bytes);
        let keyed = entry.keyed;
        match state {
            State::Ready if keyed => drop(self.lane(lane).turns().ready.remove(&key)),
            State::Ready => self.lane(lane).take_back(key),
            State::Delayed => drop(self.delayed.remove(&(entry.due, at))),
            State::InFlight => (),
            State::Dead => drop(self.dead.remove(&entry.died)),
        }
        if keyed {
            self.leave_line(at, state, lane, key);
        }
        self.counts[state as usize].sub(bytes);
    }

    /// Takes an entry out of its state and puts it into another.
    pub fn change(&mut self, at: u32, change: impl FnOnce(&mut Entry)) {
        let key = self.key_of(at);
        self.unlink(at);
        let Some(entry) = self.entries.get_mut(at) else { return };
        change(entry);
        if entry.state == State::Dead {
            self.next_death += 1;
            entry.died = self.next_death;
        }
        self.link(at);
        if let Some(key) = key {
            self.settle(key);
        }
    }

    /// Takes an entry out for good.
    pub fn remove(&mut self, at: u32) -> Option<Entry> {
        let key = self.key_of(at);
        self.unlink(at);
        if let Some(key) = key {
            self.settle(key);
        }
        self.forget(at)
    }

    /// Remembers a deadline; false when one that was set before is over later.
    #[inline]
    pub fn push_deadline(&mut self, deadline: Deadline) -> bool {
        while let Some(first) = self.deadlines.front()
            && !is_open(&self.entries, self.purged, first)
        {
            self.deadlines.pop_front();
        }
        if self.deadlines.back().is_some_and(|last| last.due > deadline.due) {
            return false;
        }
        let open = self.counts[State::InFlight as usize].messages as usize;
        if self.deadlines.len() > 2 * open + STALE_FREE {
            let (entries, purged) = (&self.entries, self.purged);
            self.deadlines.retain(|deadline| is_open(entries, purged, deadline));
            self.deadlines.shrink_to(2 * self.deadlines.len() + STALE_FREE);
        }
        self.deadlines.push_back(deadline);
        true
    }

    /// The deadline that is over first, stale or not.
    pub fn first_deadline(&self) -> Option<&Deadline> {
        self.deadlines.front()
    }

    /// Takes that one out.
    pub fn pop_deadline(&mut self) -> Option<Deadline> {
        self.deadlines.pop_front()
    }

    /// Forgets all deadlines; the topic that takes the queue in sets them anew.
    pub fn clear_deadlines(&mut self) {
        self.deadlines = VecDeque::new();
    }

    /// Adds an entry that is handed out at once; it is in no list.
    #[inline]
    pub fn lend(&mut self, entry: Entry) -> u32 {
        debug_assert_eq!(entry.state, State::InFlight);
        self.counts[State::InFlight as usize].add(entry.bytes);
        let slot = entry.slot;
        let at = self.entries.add(entry);
        if let Some(by_slot) = &mut self.by_slot {
            by_slot.insert(slot, at);
        }
        at
    }

    /// Takes out an entry that is handed out.
    #[inline]
    pub fn finish(&mut self, at: u32) -> Option<Entry> {
        if self.entry(at)?.keyed {
            return self.remove(at);
        }
        let entry = self.forget(at)?;
        debug_assert_eq!(entry.state, State::InFlight);
        self.counts[State::InFlight as usize].sub(entry.bytes);
        Some(entry)
    }

    /// Takes out an entry that is in no list and no count any more.
    #[inline(always)]
    pub fn forget(&mut self, at: u32) -> Option<Entry> {
        let entry = self.entries.remove(at)?;
        if entry.keyed {
            self.leave_key(at);
        }
        if let Some(by_slot) = &mut self.by_slot
            && by_slot.get(entry.slot) == Some(at)
        {
            by_slot.remove(entry.slot);
        }
        if self.entries.is_empty() && self.entries.cells() > 1024 {
            self.entries = Pages::default();
        }
        Some(entry)
    }

    /// The entry of a message, if it has one that was not purged. The first search builds an index.
    pub fn by_slot(&mut self, slot: u32) -> Option<u32> {
        let (entries, purged) = (&self.entries, self.purged);
        let by_slot = self.by_slot.get_or_insert_with(|| {
            let mut by_slot = BySlot::default();
            let alive = entries.iter().filter(|(_, entry)| !purged.took(entry));
            alive.for_each(|(at, entry)| by_slot.insert(entry.slot, at));
            by_slot
        });
        let at = by_slot.get(slot)?;
        entries.get(at).filter(|entry| !purged.took(entry)).map(|_| at)
    }

    /// Where a message that was never handed out lies. Its place's number is its own or one of the
    /// few behind it.
    pub fn find_fresh(&self, slot: u32, shelf: &Shelf) -> Option<(u8, Fresh)> {
        let kept = shelf.get(slot)?;
        let (priority, front) = (kept.priority(), kept.front());
        let lane = self.lanes.get(usize::from(priority))?;
        let own = Key::new(kept.number, front);
        let furthest = Key::new(kept.number + u64::from(kept.places), front);
        let (first, last) = (own.min(furthest), own.max(furthest));
        let mut places = lane.ring_from(first, shelf).take_while(|(key, _)| *key <= last);
        places.find(|(_, fresh)| fresh.slot == slot).map(|(_, fresh)| (priority, fresh))
    }

    /// An entry that lies elsewhere than at its own place has another number there. Its lane is told
    /// by [`Queue::rename`].
    pub fn renumber_line(&mut self, at: u32, number: u64) {
        if let Some(line) =
            self.entry_mut(at).and_then(|entry| entry.history.as_mut()?.line.as_mut())
        {
            *line = line.renumbered(number);
        }
    }

    /// Everything that waits is gone from the lists and the counts; returns what to clear away. What is in
    /// flight will not come back.
    pub fn take_waiting(&mut self) -> (Vec<Lane>, BTreeSet<(Timestamp, u32)>, Waiting) {
        self.purged.through = self.highest;
        self.counts[State::Ready as usize] = Tally::default();
        self.counts[State::Delayed as usize] = Tally::default();
        (std::mem::take(&mut self.lanes), std::mem::take(&mut self.delayed), self.take_lines())
    }

    /// Everything that is in flight is gone from the counts; returns how many there are to clear away.
    pub fn take_lent(&mut self) -> u64 {
        self.purged.lent_through = self.highest;
        self.take_lent_keys();
        std::mem::take(&mut self.counts[State::InFlight as usize]).messages
    }

    /// It is out, and the queue was purged since: it does not come back.
    pub fn is_purged(&self, at: u32) -> bool {
        self.entry(at).is_some_and(|entry| entry.number <= self.purged.through)
    }

    /// Dead letters are in the order of their deaths, whatever the order they were added in.
    pub fn sort_dead(&mut self) {
        let mut dead: Vec<(Timestamp, u64, u32)> = std::mem::take(&mut self.dead)
            .into_values()
            .filter_map(|at| {
                let entry = self.entry(at)?;
                Some((entry.history.as_ref()?.letter.as_ref()?.at, entry.number, at))
            })
            .collect();
        dead.sort_unstable();
        self.next_death = 0;
        for (_, _, at) in dead {
            self.next_death += 1;
            let died = self.next_death;
            if let Some(entry) = self.entry_mut(at) {
                entry.died = died;
            }
            self.dead.insert(died, at);
        }
    }

    /// Messages have new slots and places new numbers, which keep their order. `name` gives both
    /// for an old slot; a queue holds a message once.
    pub fn rename(&mut self, shelf: &Shelf, name: impl Fn(u32) -> Option<(u32, u64)>) {
        self.by_slot = None;
        // What was purged in flight has kept its number, and still does not come back.
        self.highest = self.purged.through;
        let mut returned: Vec<BTreeMap<Key, u32>> = Vec::new();
        returned.resize_with(self.lanes.len(), BTreeMap::new);
        for (at, entry) in self.entries.iter_mut() {
            if let Some((slot, number)) = name(entry.slot) {
                (entry.slot, entry.number) = (slot, number);
            }
            self.highest = self.highest.max(entry.number);
            if entry.state == State::Ready
                && !entry.keyed
                && let Some(lane) = returned.get_mut(usize::from(entry.lane))
            {
                lane.insert(entry.key(), at);
            }
        }
        for (lane, returned) in self.lanes.iter_mut().zip(returned) {
            lane.replace_returned(returned);
            lane.rename(|slot| {
                let (slot, number) = name(slot)?;
                let kept = shelf.get(slot)?;
                let offset = u32::try_from(number.checked_sub(kept.number)?).ok()?;
                Some((Fresh { slot, offset }, number, kept.front()))
            });
            self.highest = self.highest.max(lane.last());
        }
        self.line_up_anew();
    }
}

/// The delivery is still out, and this is its deadline.
#[inline]
fn is_open(entries: &Pages<Entry>, purged: Purged, deadline: &Deadline) -> bool {
    entries.get(deadline.held).is_some_and(|entry| {
        entry.stamp == deadline.stamp
            && entry.state == State::InFlight
            && entry.due == deadline.due
            && !purged.took(entry)
    })
}
