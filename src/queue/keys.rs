//! The ordering keys of a queue: who waits for whom.
//!
//! The messages of a key stand in a line of their own: those that wait, ready or not, the higher priority
//! first, and then by their places. Only the first one can be handed out, once it is ready, and only
//! while none of the key is in flight. So a message that waits for a time (a delay, the backoff after
//! a failure) holds up those behind it, and the order is that of the publishes, whatever fails; and
//! it is the same after a restart, since the places say it all.
//!
//! A message with a key always comes back to its own place, also in a queue that puts others at an end.
//! A dead letter holds up nobody.
//!
//! Costs: a few steps in trees for each message with a key, and none of them grows with what the key
//! or the others have waiting: what may not be handed out is never met by a receive. A queue that
//! has had no message with a key has none of this.

use super::entries::{Entry, Queue};
use super::lane::Key;
use super::turns::Stand;
use super::verbs::State;
use bytes::Bytes;
use slab::Slab;
use std::collections::{BTreeMap, HashMap};

/// A place in the line of a key; the smallest is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct InLine {
    /// The key.
    key: u32,
    /// The higher the priority, the lower.
    behind: u8,
    /// The place in the lane.
    at: Key,
}

/// Of no lane.
const LOWEST: u8 = u8::MAX;

impl InLine {
    fn new(key: u32, lane: u8, at: Key) -> InLine {
        InLine { key, behind: LOWEST - lane, at }
    }

    fn lane(self) -> u8 {
        LOWEST - self.behind
    }
}

/// Those that wait, by key and place.
pub type Waiting = BTreeMap<InLine, u32>;

/// Keys that the tables may always have room for.
const ROOM_FREE: usize = 1024;

/// The keys of one queue.
#[derive(Debug, Default)]
pub struct Keys {
    known: HashMap<Bytes, u32>,
    lines: Slab<Line>,
    /// The key of each entry that has one.
    of: Vec<u32>,
    waiting: Waiting,
    /// How many deliveries ended so far.
    turns: u64,
    /// How often what waited was taken out whole, and what was in flight: what a line says of it is
    /// void when it was written before.
    emptied: u64,
    cleared: u64,
    /// A message may be handed out that could not be.
    freed: bool,
}

/// One key.
#[derive(Debug)]
struct Line {
    name: Bytes,
    /// How many entries have it, those that a purge left included.
    entries: u32,
    /// A message of it is in flight.
    lent: bool,
    /// When its last delivery ended, if more of it wait since then; else 0.
    turn: u64,
    /// Its first message may be handed out.
    open: Option<Open>,
    emptied: u64,
    cleared: u64,
}

/// Where to find the first message of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    lane: u8,
    held: u32,
    at: Stand,
}

impl Keys {
    /// An entry has this key.
    fn join(&mut self, held: u32, name: &Bytes) {
        let key = match self.known.get(name) {
            Some(key) => *key,
            None => {
                // A piece of a larger buffer would keep all of it.
                let name = Bytes::copy_from_slice(name);
                let (emptied, cleared) = (self.emptied, self.cleared);
                let line =
                    Line { name, entries: 0, lent: false, turn: 0, open: None, emptied, cleared };
                let name = line.name.clone();
                let key = self.lines.insert(line) as u32;
                self.known.insert(name, key);
                key
            }
        };
        if let Some(line) = self.lines.get_mut(key as usize) {
            line.entries += 1;
        }
        let at = held as usize;
        if at >= self.of.len() {
            self.of.resize(at + 1, 0);
        }
        if let Some(of) = self.of.get_mut(at) {
            *of = key;
        }
    }

    /// An entry that is in no line is gone, or has its key no more. The last one ends the key.
    fn leave(&mut self, held: u32) {
        let Some(key) = self.of.get(held as usize).copied() else { return };
        let Some(line) = self.lines.get_mut(key as usize) else { return };
        line.entries -= 1;
        if line.entries == 0 {
            let line = self.lines.remove(key as usize);
            self.known.remove(&line.name);
        }
        if self.lines.is_empty() && self.lines.capacity().max(self.of.capacity()) > ROOM_FREE {
            *self = Keys { freed: self.freed, turns: self.turns, ..Keys::default() };
        }
    }

    /// A key, without what purges made void.
    fn line(&mut self, key: u32) -> Option<&mut Line> {
        let line = self.lines.get_mut(key as usize)?;
        if line.emptied != self.emptied {
            (line.turn, line.open, line.emptied) = (0, None, self.emptied);
        }
        if line.cleared != self.cleared {
            (line.lent, line.cleared) = (false, self.cleared);
        }
        Some(line)
    }

    /// The first that waits of a key: its lane, its place there, and its entry.
    fn first(&self, key: u32) -> Option<(u8, Key, u32)> {
        let first = InLine { key, behind: 0, at: Key::FIRST };
        let (spot, held) = self.waiting.range(first..).next()?;
        (spot.key == key).then_some((spot.lane(), spot.at, *held))
    }

    /// A delivery ended: the key gets its turn behind those that wait for theirs.
    fn end_delivery(&mut self, key: u32) {
        self.turns += 1;
        let turn = self.turns;
        if let Some(line) = self.line(key).filter(|line| line.lent) {
            (line.lent, line.turn) = (false, turn);
        }
    }

    /// Takes something out: for clearing away.
    pub fn pop_any(&mut self) {
        self.waiting.pop_first();
        // Every key has an entry.
        let line = self.of.pop().and_then(|key| self.lines.try_remove(key as usize));
        if let Some(line) = line {
            self.known.remove(&line.name);
        }
    }
}

impl Queue {
    /// The key of an entry that has one.
    #[inline]
    pub fn key_of(&self, at: u32) -> Option<u32> {
        let entry = self.entry(at)?;
        if entry.keyed { self.keys.as_ref()?.of.get(at as usize).copied() } else { None }
    }

    /// A new entry has this key.
    pub fn join_key(&mut self, at: u32, name: &Bytes) {
        self.keys.get_or_insert_default().join(at, name);
    }

    /// An entry is gone for good, or has no key any more.
    #[cold]
    pub fn leave_key(&mut self, at: u32) {
        if let Some(keys) = &mut self.keys {
            keys.leave(at);
        }
    }

    /// An entry of a key is in a state, and in the list of the state.
    pub fn enter_line(&mut self, at: u32, state: State, lane: u8, place: Key) {
        let Some(keys) = &mut self.keys else { return };
        let Some(key) = keys.of.get(at as usize).copied() else { return };
        match state {
            State::Ready | State::Delayed => {
                keys.waiting.insert(InLine::new(key, lane, place), at);
            }
            State::InFlight => {
                if let Some(line) = keys.line(key) {
                    (line.lent, line.turn) = (true, 0);
                }
            }
            State::Dead => {
                if let Some(entry) = self.entry_mut(at) {
                    entry.keyed = false;
                }
                // Before the key may be gone.
                self.settle(key);
                self.leave_key(at);
            }
        }
    }

    /// An entry of a key is in that state no more.
    pub fn leave_line(&mut self, at: u32, state: State, lane: u8, place: Key) {
        let Some(keys) = &mut self.keys else { return };
        let Some(key) = keys.of.get(at as usize).copied() else { return };
        match state {
            State::Ready | State::Delayed => {
                keys.waiting.remove(&InLine::new(key, lane, place));
            }
            State::InFlight => keys.end_delivery(key),
            State::Dead => (),
        }
    }

    /// An entry that is handed out for good: its delivery ends as it begins.
    pub fn end_at_once(&mut self, at: u32) {
        let (Some(key), Some(keys)) = (self.key_of(at), &mut self.keys) else { return };
        if let Some(line) = keys.line(key) {
            line.lent = true;
        }
        keys.end_delivery(key);
    }

    /// A delivery is taken back as if it had not been: its key does not wait for its turn.
    pub fn end_unread(&mut self, at: u32) {
        let (Some(key), Some(keys)) = (self.key_of(at), &mut self.keys) else { return };
        if let Some(line) = keys.line(key) {
            line.lent = false;
        }
    }

    /// Something changed in the line of a key: its first one may be handed out, or may not.
    pub fn settle(&mut self, key: u32) {
        let Some(keys) = &mut self.keys else { return };
        let first = keys.first(key);
        let entries = &self.entries;
        let is_ready =
            |held: u32| entries.get(held).is_some_and(|entry| entry.state == State::Ready);
        let Some(line) = keys.line(key) else { return };
        if first.is_none() && !line.lent {
            // It is not remembered that it was here.
            line.turn = 0;
        }
        let open = match first {
            Some((lane, place, held)) if !line.lent && is_ready(held) => {
                let at = if line.turn > 0 { Stand::Turn(line.turn) } else { Stand::Place(place) };
                Some(Open { lane, held, at })
            }
            _ => None,
        };
        if line.open == open {
            return;
        }
        let before = std::mem::replace(&mut line.open, open);
        keys.freed |= open.is_some();
        if let Some(Open { lane, at, .. }) = before {
            self.lane(lane).turns().step_aside(at);
        }
        if let Some(Open { lane, held, at }) = open {
            self.lane(lane).turns().stand(at, held);
        }
    }

    /// Everything that waits is taken out whole; returns what to clear away.
    pub fn take_lines(&mut self) -> Waiting {
        let Some(keys) = &mut self.keys else { return Waiting::new() };
        keys.emptied += 1;
        std::mem::take(&mut keys.waiting)
    }

    /// Everything that is in flight is taken out whole.
    pub fn take_lent_keys(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.cleared += 1;
        }
    }

    /// The entries have other places, in the same order.
    pub fn line_up_anew(&mut self) {
        let Some(keys) = &mut self.keys else { return };
        keys.waiting.clear();
        self.lanes.iter_mut().for_each(|lane| lane.clear_turns());
        let waits = |entry: &Entry| matches!(entry.state, State::Ready | State::Delayed);
        let mut ready = Vec::new();
        for (at, entry) in self.entries.iter().filter(|(_, entry)| entry.keyed && waits(entry)) {
            let Some(key) = keys.of.get(at as usize).copied() else { continue };
            keys.waiting.insert(InLine::new(key, entry.lane, entry.key()), at);
            if entry.state == State::Ready {
                ready.push((entry.lane, entry.key(), at));
            }
        }
        let all: Vec<u32> = keys.lines.iter().map(|(key, _)| key as u32).collect();
        for key in &all {
            if let Some(line) = keys.line(*key) {
                line.open = None;
            }
        }
        for (lane, place, at) in ready {
            self.lane(lane).turns().ready.insert(place, at);
        }
        all.into_iter().for_each(|key| self.settle(key));
    }

    /// Whether a message may be handed out since the last call that could not be before.
    pub fn take_freed(&mut self) -> bool {
        self.keys.as_mut().is_some_and(|keys| std::mem::take(&mut keys.freed))
    }
}

#[cfg(test)]
impl Queue {
    /// The name of the key of an entry that has one.
    pub fn key_name(&self, at: u32) -> Option<&Bytes> {
        let line = self.keys.as_ref()?.lines.get(self.key_of(at)? as usize)?;
        Some(&line.name)
    }

    /// Panics when an invariant of the keys does not hold.
    pub fn check_keys(&self) {
        let Some(keys) = &self.keys else {
            assert!(self.entries.iter().all(|(_, entry)| !entry.keyed));
            return;
        };
        let keyed: Vec<(u32, &Entry)> =
            self.entries.iter().filter(|(_, entry)| entry.keyed).collect();
        assert_eq!(keys.known.len(), keys.lines.len());
        let alive = keyed.iter().filter(|(_, entry)| !self.purged.took(entry));
        let waits = |entry: &Entry| matches!(entry.state, State::Ready | State::Delayed);
        let (waiting, lent): (Vec<_>, Vec<_>) = alive.partition(|(_, entry)| waits(entry));
        assert_eq!(keys.waiting.len(), waiting.len());
        for (held, entry) in &waiting {
            let place = InLine::new(keys.of[*held as usize], entry.lane, entry.key());
            assert_eq!(keys.waiting.get(&place), Some(held));
            assert_eq!(place.lane(), entry.lane);
        }
        let mut open = 0;
        for (key, line) in &keys.lines {
            let key = key as u32;
            assert_eq!(keys.known.get(&line.name), Some(&key));
            let own = keyed.iter().filter(|(held, _)| keys.of[*held as usize] == key).count();
            assert_eq!(line.entries as usize, own, "entries of a key");
            let out = lent.iter().filter(|(held, _)| keys.of[*held as usize] == key).count();
            let void = line.cleared != keys.cleared;
            assert_eq!(usize::from(line.lent && !void), out, "at most one is out");
            let first = keys.first(key).filter(|(_, _, held)| {
                out == 0 && self.entry(*held).is_some_and(|entry| entry.state == State::Ready)
            });
            let void = line.emptied != keys.emptied;
            let stands = line.open.filter(|_| !void);
            assert_eq!(stands.map(|open| (open.lane, open.held)), first.map(|(l, _, h)| (l, h)));
            let Some(Open { lane, held, at }) = stands else { continue };
            open += 1;
            let turns = self.lanes[usize::from(lane)].keyed().unwrap();
            match at {
                Stand::Place(place) => {
                    assert_eq!((line.turn, turns.heads.get(&place)), (0, Some(&held)));
                }
                Stand::Turn(turn) => {
                    assert_eq!((line.turn, turns.freed.get(&turn)), (turn, Some(&held)));
                }
            }
        }
        let stand = self.lanes.iter().filter_map(|lane| lane.keyed());
        assert_eq!(stand.map(|turns| turns.heads.len() + turns.freed.len()).sum::<usize>(), open);
    }
}
