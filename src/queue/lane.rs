//! The ready messages of one priority, in order.
//!
//! The order is that of the places' numbers ([`Key`]), so that it is the same after a restart, and
//! so that what comes back is handed out in its own place, unless its queue puts it at an end. Messages that were never handed out lie
//! in a dense ring of eight bytes each; what came back, and what has an ordering key, lies beside it. A message taken out of the
//! middle of the ring leaves a hole, which goes when it reaches an end or when holes outweigh messages.

use super::shelf::Shelf;
use super::turns::Turns;
use super::verbs::End;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// Where a place lies in its priority: the smallest is handed out first. What was published with
/// `front` comes first, youngest before oldest; then the others, oldest before youngest.
///
/// What was put at an end when it came back has a new number; at the front, all that came back at
/// one moment share it, and are told apart by their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    at: i64,
    turn: u64,
}

impl Key {
    /// Before all.
    pub const FIRST: Key = Key { at: i64::MIN, turn: 0 };

    /// Of a place with this number.
    #[inline]
    pub fn new(number: u64, front: bool) -> Key {
        let number = number as i64;
        Key { at: if front { -number } else { number }, turn: 0 }
    }

    /// The `turn`th of those that share the number of this key.
    pub fn turn(self, turn: u64) -> Key {
        Key { turn, ..self }
    }

    /// The number of the place.
    pub fn number(self) -> u64 {
        self.at.unsigned_abs()
    }

    /// The same, with another number.
    pub fn renumbered(self, number: u64) -> Key {
        Key { turn: self.turn, ..Key::new(number, self.at < 0) }
    }

    /// As a number that ascends with the keys, of 123 bits.
    pub fn to_cursor(self) -> u128 {
        let at = (self.at + (1 << (NUMBER_BITS - 1))) as u128;
        (at << u64::BITS) | u128::from(self.turn)
    }

    /// The key behind the one that [`Self::to_cursor`] gave.
    pub fn behind_cursor(cursor: u128) -> Key {
        let behind = (cursor & ((1 << CURSOR_BITS) - 1)) + 1;
        let at = (behind >> u64::BITS) as i64 - (1 << (NUMBER_BITS - 1));
        Key { at, turn: behind as u64 }
    }
}

/// Bits of a number with its sign; they are enough for one a nanosecond, for nine years.
const NUMBER_BITS: u32 = 59;
/// Bits of a cursor.
pub const CURSOR_BITS: u32 = NUMBER_BITS + u64::BITS;

/// A message in the ring: its slot in the topic, and how far its place's number is above its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// Slot of the message.
    pub slot: u32,
    /// Number of the place minus number of the message.
    pub offset: u32,
}

/// The slot of a hole. Its offset says where it was: the highest bit is set for what was published
/// with `front`, the others are the distance from the anchor.
const HOLE: u32 = u32::MAX;
const FRONT_BIT: u32 = 1 << 31;
/// A distance that is not known.
const FAR: u32 = FRONT_BIT - 1;
/// Holes that a lane may always have.
const HOLES_FREE: usize = 1024;

/// One ready message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Never handed out.
    Fresh(Fresh),
    /// Came back, or was put here from elsewhere: the index of its entry.
    Held(u32),
}

/// The ready messages of one priority.
#[derive(Debug, Default)]
pub struct Lane {
    ring: VecDeque<Fresh>,
    /// Messages in the ring, holes not counted.
    fresh: usize,
    returned: BTreeMap<Key, u32>,
    /// Those with an ordering key; they are neither in the ring nor among the returned.
    turns: Option<Box<Turns>>,
    back: Side,
    front: Side,
}

/// What the ring remembers of the places pushed at one end.
#[derive(Debug, Default, Clone, Copy)]
struct Side {
    /// Holes name their distance from this number.
    anchor: u64,
    /// The highest number so far.
    last: u64,
}

impl Lane {
    /// Puts a message into the ring; false when its number does not continue the order there.
    #[inline]
    pub fn push(&mut self, number: u64, front: bool, fresh: Fresh) -> bool {
        if self.ring.is_empty() {
            (self.back, self.front) = (Side::default(), Side::default());
        }
        let side = if front { &mut self.front } else { &mut self.back };
        if number <= side.last {
            return false;
        }
        if side.last == 0 {
            side.anchor = number;
        }
        side.last = number;
        self.fresh += 1;
        if front {
            self.ring.push_front(fresh)
        } else {
            self.ring.push_back(fresh)
        }
        true
    }

    /// An entry is ready, in its own place.
    pub fn give_back(&mut self, key: Key, held: u32) {
        let before = self.returned.insert(key, held);
        debug_assert!(before.is_none(), "two entries in one place");
    }

    /// An entry is not ready any more.
    pub fn take_back(&mut self, key: Key) {
        self.returned.remove(&key);
    }

    /// Holes at the ends have served.
    #[inline]
    fn trim(&mut self) {
        if self.fresh == self.ring.len() && self.fresh > 0 {
            return;
        }
        while self.ring.front().is_some_and(|fresh| fresh.slot == HOLE) {
            self.ring.pop_front();
        }
        while self.ring.back().is_some_and(|fresh| fresh.slot == HOLE) {
            self.ring.pop_back();
        }
        if self.ring.is_empty() && self.ring.capacity() > HOLES_FREE {
            self.ring = VecDeque::new();
        }
    }

    /// The ready message at an end.
    #[inline]
    pub fn peek(&self, end: End, shelf: &Shelf) -> Option<Ready> {
        if self.turns.is_some() {
            return match end {
                End::Front => self.from(Key::FIRST, shelf).next().map(|(_, ready)| ready),
                End::Back => self.backwards(shelf).next().map(|(_, ready)| ready),
            };
        }
        self.peek_unkeyed(end, shelf).map(|(_, ready)| ready)
    }

    /// What is handed out next from an end, where nothing ever came back and nothing has an ordering key.
    #[inline(always)]
    pub fn next_fresh(&self, end: End) -> Option<Fresh> {
        if !self.returned.is_empty() || self.turns.is_some() {
            return None;
        }
        match end {
            End::Front => self.ring.front().copied(),
            End::Back => self.ring.back().copied(),
        }
    }

    /// What is handed out next from an end.
    #[inline]
    pub fn next(&self, end: End, shelf: &Shelf) -> Option<Ready> {
        match &self.turns {
            None => self.peek_unkeyed(end, shelf).map(|(_, ready)| ready),
            Some(turns) => self.next_in_turn(turns, end, shelf),
        }
    }

    /// The ready message at an end among those without an ordering key; with its place if that was
    /// asked for on the way.
    #[inline]
    fn peek_unkeyed(&self, end: End, shelf: &Shelf) -> Option<(Option<Key>, Ready)> {
        let (fresh, held) = match end {
            End::Front => (self.ring.front(), self.returned.first_key_value()),
            End::Back => (self.ring.back(), self.returned.last_key_value()),
        };
        match (fresh, held) {
            (Some(fresh), None) => Some((None, Ready::Fresh(*fresh))),
            (None, held) => held.map(|(key, held)| (Some(*key), Ready::Held(*held))),
            (Some(fresh), Some((key, held))) => {
                let first = shelf.key(*fresh);
                let held_first = match end {
                    End::Front => *key < first,
                    End::Back => *key > first,
                };
                Some(match held_first {
                    true => (Some(*key), Ready::Held(*held)),
                    false => (Some(first), Ready::Fresh(*fresh)),
                })
            }
        }
    }

    #[cold]
    fn next_in_turn(&self, turns: &Turns, end: End, shelf: &Shelf) -> Option<Ready> {
        let head = match end {
            End::Front => turns.heads.first_key_value(),
            End::Back => turns.heads.last_key_value(),
        };
        let head = head.map(|(key, held)| (*key, Ready::Held(*held)));
        let place = |(key, ready)| match (key, ready) {
            (None, Ready::Fresh(fresh)) => (shelf.key(fresh), ready),
            (key, ready) => (key.unwrap_or(Key::FIRST), ready),
        };
        let in_place = match (self.peek_unkeyed(end, shelf).map(place), head) {
            (Some(one), Some(head)) if (end == End::Front) == (head.0 < one.0) => Some(head),
            (one, head) => one.or(head),
        };
        // The longest wait ends first, from both ends.
        let freed = turns.freed.first_key_value().map(|(_, held)| Ready::Held(*held));
        match in_place {
            Some((_, ready)) if freed.is_none() || !turns.freed_first => Some(ready),
            _ => freed,
        }
    }

    /// What [`Lane::next`] named is handed out: where both sorts wait, the other one is next.
    #[inline]
    pub fn alternate(&mut self) {
        if let Some(turns) = &mut self.turns
            && !turns.freed.is_empty()
            && (self.fresh > 0 || !self.returned.is_empty() || !turns.heads.is_empty())
        {
            turns.alternate();
        }
    }

    /// The ready messages with an ordering key.
    pub fn turns(&mut self) -> &mut Turns {
        self.turns.get_or_insert_default()
    }

    /// Forgets where messages with an ordering key stand.
    pub fn clear_turns(&mut self) {
        if let Some(turns) = &mut self.turns {
            turns.clear();
        }
    }

    /// The ready entries of a stretch, in order.
    fn held(&self, range: (Bound<Key>, Bound<Key>)) -> impl Iterator<Item = (Key, Ready)> {
        let keyed = self.turns.iter().flat_map(move |turns| turns.ready.range(range));
        merge(self.returned.range(range).map(held), keyed.map(held), |one, other| other < one)
    }

    /// The same, last first.
    fn held_backwards(
        &self,
        range: (Bound<Key>, Bound<Key>),
    ) -> impl Iterator<Item = (Key, Ready)> {
        let keyed = self.turns.iter().flat_map(move |turns| turns.ready.range(range).rev());
        let returned = self.returned.range(range).rev();
        merge(returned.map(held), keyed.map(held), |one, other| other > one)
    }

    /// Takes the message at an end out of the ring.
    #[inline(always)]
    pub fn pop_fresh(&mut self, end: End) -> Option<Fresh> {
        let fresh = match end {
            End::Front => self.ring.pop_front(),
            End::Back => self.ring.pop_back(),
        };
        self.fresh -= usize::from(fresh.is_some());
        self.trim();
        fresh
    }

    /// Takes any message: for clearing away.
    pub fn pop_any(&mut self) -> Option<Ready> {
        if let Some(fresh) = self.pop_fresh(End::Front) {
            return Some(Ready::Fresh(fresh));
        }
        let held = self.returned.pop_first().map(|(_, held)| held);
        held.or_else(|| self.turns.as_mut()?.pop_any()).map(Ready::Held)
    }

    /// Takes a message out of the ring, wherever it is.
    pub fn remove(&mut self, key: Key, shelf: &Shelf) -> Option<Fresh> {
        let at = self.lower_bound(key, shelf);
        let fresh = *self.ring.get(at)?;
        if fresh.slot == HOLE || shelf.key(fresh) != key {
            return None;
        }
        let (side, bit) = if key.at < 0 { (self.front, FRONT_BIT) } else { (self.back, 0) };
        let distance =
            key.number().checked_sub(side.anchor).and_then(|far| u32::try_from(far).ok());
        let offset = bit | distance.filter(|far| *far < FAR).unwrap_or(FAR);
        *self.ring.get_mut(at)? = Fresh { slot: HOLE, offset };
        self.fresh -= 1;
        self.trim();
        if self.ring.len() > 2 * self.fresh + HOLES_FREE {
            self.ring.retain(|fresh| fresh.slot != HOLE);
            if self.ring.capacity() > 4 * self.ring.len() {
                self.ring.shrink_to_fit();
            }
        }
        Some(fresh)
    }

    /// The key of a place of the ring; of a hole only if it is known.
    fn key(&self, fresh: Fresh, shelf: &Shelf) -> Option<Key> {
        if fresh.slot != HOLE {
            return Some(shelf.key(fresh));
        }
        let (distance, front) = (fresh.offset & FAR, fresh.offset & FRONT_BIT != 0);
        let side = if front { self.front } else { self.back };
        (distance != FAR).then(|| Key::new(side.anchor + u64::from(distance), front))
    }

    /// The first place of the ring that is not before `key`.
    fn lower_bound(&self, key: Key, shelf: &Shelf) -> usize {
        let (mut low, mut high) = (0, self.ring.len());
        while low < high {
            let middle = low + (high - low) / 2;
            // Over holes that do not know where they were.
            let known = (middle..high)
                .find_map(|at| Some((at, self.ring.get(at).and_then(|at| self.key(*at, shelf))?)));
            match known {
                Some((at, found)) if found < key => low = at + 1,
                _ => high = middle,
            }
        }
        // Places that do not know where they were may lie before the one.
        (low..self.ring.len())
            .find(|at| self.ring.get(*at).is_none_or(|at| self.key(*at, shelf).is_some()))
            .unwrap_or(low)
    }

    /// All ready messages in order, from a place on.
    pub fn from<'a>(&'a self, key: Key, shelf: &'a Shelf) -> impl Iterator<Item = (Key, Ready)> {
        let skip = if key == Key::FIRST { 0 } else { self.lower_bound(key, shelf) };
        let ring = self.ring.range(skip..).filter(|fresh| fresh.slot != HOLE);
        let ring = ring.map(|fresh| (shelf.key(*fresh), Ready::Fresh(*fresh)));
        let held = self.held((Bound::Included(key), Bound::Unbounded));
        merge(ring, held, |ring, held| held < ring)
    }

    /// The ready messages whose places have a higher number than this, the lowest first.
    pub fn placed_after<'a>(
        &'a self,
        number: u64,
        shelf: &'a Shelf,
    ) -> impl Iterator<Item = (u64, Ready)> {
        let back = self.from(Key::new(number.saturating_add(1), false), shelf);
        let mut back = back.map(|(key, ready)| (key.number(), ready)).peekable();
        // At the front the highest numbers come first.
        let end = Key::new(number, true);
        let ring = self.ring.range(..self.lower_bound(end, shelf)).rev();
        let ring = ring.filter(|fresh| fresh.slot != HOLE);
        let ring = ring.map(|fresh| (shelf.key(*fresh), Ready::Fresh(*fresh)));
        let held = self.held_backwards((Bound::Unbounded, Bound::Excluded(end)));
        let front = merge(ring, held, |ring, held| held > ring);
        let mut front = front.map(|(key, ready)| (key.number(), ready)).peekable();
        std::iter::from_fn(move || match (back.peek(), front.peek()) {
            (Some(back), Some(other)) if other.0 < back.0 => front.next(),
            (Some(_), _) => back.next(),
            (None, _) => front.next(),
        })
    }

    /// The ready message whose place has the highest number.
    pub fn placed_last(&self, shelf: &Shelf) -> Option<(u64, Ready)> {
        // What was put at the front has the highest number at the front, the others at the back.
        let ends = [self.from(Key::FIRST, shelf).next(), self.backwards(shelf).next()];
        let numbered = ends.into_iter().flatten().map(|(key, ready)| (key.number(), ready));
        numbered.max_by_key(|(number, _)| *number)
    }

    /// All ready messages, last first.
    pub fn backwards<'a>(&'a self, shelf: &'a Shelf) -> impl Iterator<Item = (Key, Ready)> {
        let ring = self.ring.iter().rev().filter(|fresh| fresh.slot != HOLE);
        let ring = ring.map(|fresh| (shelf.key(*fresh), Ready::Fresh(*fresh)));
        let held = self.held_backwards((Bound::Unbounded, Bound::Unbounded));
        merge(ring, held, |ring, held| held > ring)
    }

    /// The messages of the ring in order, from a place on.
    pub fn ring_from<'a>(
        &'a self,
        key: Key,
        shelf: &'a Shelf,
    ) -> impl Iterator<Item = (Key, Fresh)> {
        let skip = self.lower_bound(key, shelf);
        let ring = self.ring.range(skip..).filter(|fresh| fresh.slot != HOLE);
        ring.map(|fresh| (shelf.key(*fresh), *fresh))
    }

    /// The slots of the messages of the ring, in order.
    pub fn slots(&self) -> impl Iterator<Item = u32> {
        self.ring.iter().map(|fresh| fresh.slot).filter(|slot| *slot != HOLE)
    }

    /// Puts the messages of the ring under new slots and numbers, which keep their order.
    pub fn rename(&mut self, name: impl Fn(u32) -> Option<(Fresh, u64, bool)>) {
        let named: Vec<_> = self.slots().filter_map(name).collect();
        self.ring.clear();
        (self.fresh, self.back, self.front) = (0, Side::default(), Side::default());
        let (front, back): (Vec<_>, Vec<_>) = named.into_iter().partition(|(_, _, front)| *front);
        for (fresh, number, front) in front.into_iter().rev().chain(back) {
            let in_order = self.push(number, front, fresh);
            debug_assert!(in_order, "the order of a ring changed");
        }
    }

    /// The highest number in the ring since it was last empty.
    pub fn last(&self) -> u64 {
        self.back.last.max(self.front.last)
    }

    /// Entries of this lane have other numbers and indices.
    pub fn replace_returned(&mut self, returned: BTreeMap<Key, u32>) {
        self.returned = returned;
    }

    /// How many are ready.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        debug_assert_eq!(self.fresh, self.ring.iter().filter(|fresh| fresh.slot != HOLE).count());
        self.fresh + self.returned.len() + self.keyed().map_or(0, |turns| turns.ready.len())
    }

    /// The ready messages with an ordering key, if there ever were any.
    #[cfg(test)]
    pub fn keyed(&self) -> Option<&Turns> {
        self.turns.as_deref()
    }
}

fn held((key, held): (&Key, &u32)) -> (Key, Ready) {
    (*key, Ready::Held(*held))
}

/// Two orders as one; `first`: the second one comes before the first one.
fn merge(
    one: impl Iterator<Item = (Key, Ready)>,
    other: impl Iterator<Item = (Key, Ready)>,
    first: impl Fn(Key, Key) -> bool,
) -> impl Iterator<Item = (Key, Ready)> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(head), Some((key, _))) if first(head.0, *key) => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}
