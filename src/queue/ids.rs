//! Messages by the ids their publishers gave them; and ids as clients say them.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The slots of all messages with an id of their publisher's; the ids themselves lie with the
/// messages. Publishers choose the ids, so they are hashed with a key of our own.
#[derive(Debug, Default)]
pub struct OwnIds {
    slots: HashTable<Tagged>,
    hasher: RandomState,
}

/// A slot, and half the hash of its id: so that a growing table need not look at the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tagged {
    tag: u32,
    slot: u32,
}

/// The hash the table works with: it looks at the highest and at the lowest bits.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

impl OwnIds {
    fn tag(&self, id: &[u8]) -> u32 {
        self.hasher.hash_one(id) as u32
    }

    /// Remembers where a message is. Nothing is asked: several may have one id, which happens when
    /// copies of one message, which died in several queues, come together in one topic.
    pub fn insert(&mut self, id: &[u8], slot: u32) {
        let tag = self.tag(id);
        self.slots.insert_unique(spread(tag), Tagged { tag, slot }, |tagged| spread(tagged.tag));
    }

    /// Forgets it.
    pub fn remove(&mut self, id: &[u8], slot: u32) {
        let tag = self.tag(id);
        let found = self.slots.find_entry(spread(tag), |tagged| *tagged == Tagged { tag, slot });
        if let Ok(entry) = found {
            entry.remove();
        }
        if self.slots.is_empty() && self.slots.capacity() > 1024 {
            self.slots = HashTable::new();
        }
    }

    /// Slots among which the messages with this id are; hardly ever another one.
    pub fn candidates(&self, id: &[u8]) -> impl Iterator<Item = u32> {
        let tag = self.tag(id);
        let slots = self.slots.iter_hash(spread(tag));
        slots.filter(move |tagged| tagged.tag == tag).map(|tagged| tagged.slot)
    }
}

/// Ids of messages as a client said them, in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdList {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl IdList {
    /// Adds one.
    #[inline]
    pub fn push(&mut self, id: &[u8]) {
        self.bytes.extend_from_slice(id);
        self.ends.push(self.bytes.len());
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// In the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_what_was_added() {
        let mut list = IdList::default();
        let ids = [&b"a"[..], b"", b"long one", b"\xff"];
        ids.iter().for_each(|id| list.push(id));
        assert!(list.iter().eq(ids));
    }

    #[test]
    fn a_slot_is_found_by_its_id_until_it_is_removed() {
        let mut ids = OwnIds::default();
        let name = |nth: u32| format!("id {nth}");
        (0..5000).for_each(|nth| ids.insert(name(nth).as_bytes(), nth));
        ids.insert(b"id 7", 9999);
        for nth in 0..5000 {
            assert!(ids.candidates(name(nth).as_bytes()).any(|slot| slot == nth));
        }
        ids.remove(b"id 7", 7);
        assert!(ids.candidates(b"id 7").eq([9999]));
        ids.remove(b"id 7", 7);
        ids.remove(b"id 7", 9999);
        (0..5000).for_each(|nth| ids.remove(name(nth).as_bytes(), nth));
        assert!(ids.slots.is_empty());
    }
}
