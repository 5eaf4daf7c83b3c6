//! The messages of a topic, each stored once whatever the number of its queues, and how they are
//! found by id.

use super::ids::OwnIds;
use super::lane::{Fresh, Key};
use super::message::own_id;
use super::pages::Pages;
use super::{Content, Door, Extra, Message, MessageId, Origin, Refusal, Timestamp};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::{collections::hash_map::Entry, hash::Hash, sync::Arc};

/// A body, where it is.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Held(Content),
    /// Only in the store; its length.
    OnDisk(u32),
}

impl Body {
    /// Of a body that is in memory or not.
    pub fn new(body: Option<Content>, bytes: u32) -> Body {
        body.map_or(Body::OnDisk(bytes), Body::Held)
    }

    /// Of a body that is left to the store.
    pub fn on_disk(body: &Content) -> Body {
        Body::OnDisk(length(body.len()))
    }

    /// Its length.
    pub fn len(&self) -> u32 {
        match self {
            Body::Held(content) => length(content.len()),
            Body::OnDisk(bytes) => *bytes,
        }
    }

    /// Bytes it takes in memory, with the id that lies before it.
    pub fn resident(&self) -> u64 {
        match self {
            Body::Held(content) => content.resident(),
            Body::OnDisk(_) => 0,
        }
    }

    /// The bytes, if they are in memory.
    pub fn held(&self) -> Option<&Content> {
        match self {
            Body::Held(content) => Some(content),
            Body::OnDisk(_) => None,
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A message as a topic keeps it.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Where its body is.
    pub body: Body,
    /// Its number in the store.
    pub number: u64,
    /// Its number in the topic that published it.
    pub seq: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// When it ends; [`Timestamp::NEVER`] for none.
    pub expires_at: Timestamp,
    /// What else the publisher said.
    pub extra: Option<Arc<Extra>>,
    /// Places that hold it.
    pub refs: u32,
    /// A place of it that was never handed out has a number at most this far behind its own.
    pub places: u16,
    /// Another topic published it: its `seq` says nothing here.
    pub foreign: bool,
    /// `expires_at` is also the end of what its queue's retention gives it.
    pub stamped: bool,
    /// The queue that has it, for a message that was published into one only and never split; else 0.
    pub lone: u32,
    /// Through which door it came.
    pub door: Option<Door>,
}

impl Kept {
    /// 0 to 9.
    pub fn priority(&self) -> u8 {
        self.extra.as_ref().map_or(0, |extra| extra.priority.min(9))
    }

    /// Messages with the same one wait for each other.
    pub fn ordering_key(&self) -> Option<&Bytes> {
        self.extra.as_ref()?.ordering_key.as_ref()
    }

    /// The publisher's own id.
    #[inline]
    pub fn own_id(&self) -> Option<&[u8]> {
        own_id(self.body.held(), self.extra.as_deref())
    }

    /// It goes before everything that waits.
    pub fn front(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.front)
    }
}

/// Slots by something that is nearly always unique. It is not when copies of one message, which
/// died in several queues, come together in one topic.
#[derive(Debug)]
struct Index<K> {
    first: FxHashMap<K, u32>,
    others: FxHashMap<K, Vec<u32>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Index { first: FxHashMap::default(), others: FxHashMap::default() }
    }
}

impl<K: Clone + Eq + Hash> Index<K> {
    fn insert(&mut self, key: K, slot: u32) {
        match self.first.entry(key) {
            Entry::Vacant(vacant) => drop(vacant.insert(slot)),
            Entry::Occupied(taken) => {
                self.others.entry(taken.key().clone()).or_default().push(slot);
            }
        }
    }

    fn remove(&mut self, key: &K, slot: u32) {
        let Some(others) = self.others.get_mut(key) else {
            self.first.remove(key);
            return;
        };
        match self.first.get_mut(key) {
            Some(first) if *first == slot => *first = others.remove(0),
            _ => others.retain(|other| *other != slot),
        }
        if others.is_empty() {
            self.others.remove(key);
        }
    }

    fn len(&self) -> usize {
        self.first.len()
    }

    fn get(&self, key: &K) -> impl Iterator<Item = u32> {
        let others = self.others.get(key).into_iter().flatten();
        self.first.get(key).into_iter().chain(others).copied()
    }
}

/// A few slots; hardly ever more than one.
pub type Slots = SmallVec<[u32; 2]>;

/// All messages of a topic.
#[derive(Debug)]
pub struct Shelf {
    kept: Pages<Kept>,
    salt: u32,
    known: Known,
}

/// What is known of all messages together, and where to find one.
#[derive(Debug, Default)]
struct Known {
    /// Bytes of bodies in memory.
    resident: u64,
    /// Bytes of all bodies.
    bytes: u64,
    /// Messages published here, by sequence number.
    by_seq: Option<FxHashMap<u64, u32>>,
    /// Ids that do not hold the sequence number: publishers' own and those made by other topics.
    by_own: OwnIds,
    by_made: Index<Origin>,
}

impl Known {
    #[inline(always)]
    fn add(&mut self, slot: u32, kept: &Kept) {
        self.resident += kept.body.resident();
        self.bytes += u64::from(kept.body.len());
        if let Some(id) = kept.own_id() {
            self.by_own.insert(id, slot);
        }
        if let Some(id) = kept.extra.as_deref().and_then(|extra| extra.made_id) {
            self.by_made.insert(MessageId::origin(id), slot);
        }
        if let Some(by_seq) = self.by_seq.as_mut().filter(|_| !kept.foreign) {
            by_seq.insert(kept.seq, slot);
        }
    }

    #[inline(always)]
    fn strike(&mut self, slot: u32, kept: &Kept) {
        self.resident -= kept.body.resident();
        self.bytes -= u64::from(kept.body.len());
        if let Some(id) = kept.own_id() {
            self.by_own.remove(id, slot);
        }
        if let Some(id) = kept.extra.as_deref().and_then(|extra| extra.made_id) {
            self.by_made.remove(&MessageId::origin(id), slot);
        }
        if let Some(by_seq) = self.by_seq.as_mut().filter(|_| !kept.foreign) {
            by_seq.remove(&kept.seq);
        }
    }
}

impl Shelf {
    /// None yet; `salt` is in every id made here.
    pub fn new(salt: u32) -> Self {
        Shelf { kept: Pages::default(), salt, known: Known::default() }
    }

    /// What every id made here holds.
    pub fn salt(&self) -> u32 {
        self.salt
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// The message in a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Kept> {
        self.kept.get(slot)
    }

    /// The message in a slot, to be changed.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Kept> {
        self.kept.get_mut(slot)
    }

    /// Number of the place of a message that is in a ring.
    #[inline]
    pub fn number(&self, fresh: Fresh) -> u64 {
        self.get(fresh.slot).map_or(0, |kept| kept.number) + u64::from(fresh.offset)
    }

    /// Where a message that is in a ring lies.
    #[inline]
    pub fn key(&self, fresh: Fresh) -> Key {
        let front = self.get(fresh.slot).is_some_and(Kept::front);
        Key::new(self.number(fresh), front)
    }

    /// Keeps a message.
    ///
    /// Errors: `Full` at four thousand million messages.
    #[inline(always)]
    pub fn insert(&mut self, kept: Kept) -> Result<u32, Refusal> {
        let slot =
            self.kept.next().ok_or(Refusal::Full { what: "slots", limit: u64::from(u32::MAX) })?;
        self.known.add(slot, &kept);
        self.kept.insert(kept);
        Ok(slot)
    }

    /// One place less holds a message, and the last one lets it go; `note` hears the message's number,
    /// and whether it was the last.
    #[inline(always)]
    pub fn release(&mut self, slot: u32, note: impl FnOnce(u64, bool)) {
        let Shelf { kept: all, known, .. } = self;
        all.free_if(slot, |kept| {
            kept.refs = kept.refs.saturating_sub(1);
            let last = kept.refs == 0;
            note(kept.number, last);
            if last {
                known.strike(slot, kept);
            }
            last
        });
    }

    /// Takes a message out.
    #[inline(always)]
    pub fn remove(&mut self, slot: u32) -> Option<Kept> {
        self.known.strike(slot, self.kept.get(slot)?);
        self.kept.remove(slot)
    }

    /// Bytes of bodies in memory.
    pub fn resident(&self) -> u64 {
        self.known.resident
    }

    /// Bytes of all bodies.
    pub fn bytes(&self) -> u64 {
        self.known.bytes
    }

    /// Whether there may be a message with this id of its publisher's.
    #[inline]
    pub fn may_have_own_id(&self, id: &[u8]) -> bool {
        self.known.by_own.candidates(id).next().is_some()
    }

    /// The messages with this id of their publisher's: one, but for copies that came from elsewhere
    /// and for what a purge has not cleared away yet.
    #[inline]
    pub fn by_own_id(&self, id: &[u8]) -> Slots {
        let candidates = self.known.by_own.candidates(id);
        candidates
            .filter(|slot| self.get(*slot).is_some_and(|kept| kept.own_id() == Some(id)))
            .collect()
    }

    /// The slot of a message by the sequence number it got here. The first search builds an index;
    /// topics that never search pay nothing for it.
    pub fn by_seq(&mut self, seq: u64) -> Option<u32> {
        let kept = &self.kept;
        let by_seq = self.known.by_seq.get_or_insert_with(|| {
            let own = kept.iter().filter(|(_, kept)| !kept.foreign);
            own.map(|(slot, kept)| (kept.seq, slot)).collect()
        });
        by_seq.get(&seq).copied()
    }

    /// The slots of the messages with a public id. More than one only when copies of a message
    /// came together here.
    pub fn by_id(&mut self, id: &MessageId) -> Slots {
        match id {
            MessageId::Client(id) => self.by_own_id(id),
            MessageId::Made(uuid) => {
                let mut found = self.by_origin(MessageId::origin(*uuid));
                found.retain(|slot| self.get(*slot).is_some_and(|kept| self.id(kept) == *id));
                // A client may have chosen a UUID as its own id.
                let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
                found.extend(self.by_own_id(uuid.hyphenated().encode_lower(&mut text).as_bytes()));
                found
            }
        }
    }

    /// The slots of the messages that came into the world there. More than one only when copies of
    /// a message came together here.
    pub fn by_origin(&mut self, origin: Origin) -> Slots {
        let own = if origin.salt == self.salt { self.by_seq(origin.seq) } else { None };
        own.into_iter().chain(self.known.by_made.get(&origin)).collect()
    }

    /// How many came from other topics, copies of one message counted once.
    pub fn strangers(&self) -> usize {
        self.known.by_made.len()
    }

    /// Where a message came into the world.
    pub fn origin(&self, kept: &Kept) -> Origin {
        match kept.extra.as_deref().and_then(|extra| extra.made_id) {
            Some(id) => MessageId::origin(id),
            None => Origin { salt: self.salt, seq: kept.seq },
        }
    }

    /// The public id of a message.
    #[inline(always)]
    pub fn id(&self, kept: &Kept) -> MessageId {
        match (kept.own_id(), kept.extra.as_deref()) {
            (Some(id), _) => MessageId::Client(Bytes::copy_from_slice(id)),
            (None, Some(Extra { made_id: Some(id), .. })) => MessageId::Made(*id),
            (None, _) => MessageId::made(kept.published_at, self.salt, kept.seq),
        }
    }

    /// The message as consumers see it.
    #[inline(always)]
    pub fn message(&self, kept: &Kept) -> Message {
        Message {
            salt: self.origin(kept).salt,
            lone: kept.lone != 0,
            seq: kept.seq,
            number: kept.number,
            body: kept.body.held().cloned(),
            published_at: kept.published_at,
            extra: kept.extra.clone(),
        }
    }

    /// The message as its last consumer gets it.
    pub fn last_message(&self, kept: Kept) -> Message {
        Message {
            salt: self.origin(&kept).salt,
            lone: kept.lone != 0,
            seq: kept.seq,
            number: kept.number,
            body: match kept.body {
                Body::Held(content) => Some(content),
                Body::OnDisk(_) => None,
            },
            published_at: kept.published_at,
            extra: kept.extra,
        }
    }

    /// The message as another topic or a detached queue keeps it: with its id written down.
    pub fn foreign(&self, kept: &Kept) -> Kept {
        let has_it = kept.extra.as_ref().is_some_and(|extra| extra.made_id.is_some());
        let extra = if kept.foreign || has_it {
            kept.extra.clone()
        } else {
            let id = MessageId::made(kept.published_at, self.salt, kept.seq);
            with_id(kept.extra.as_deref(), &id)
        };
        Kept { refs: 1, foreign: true, extra, ..kept.clone() }
    }

    /// Gives a body back to a message whose body is on disk.
    pub fn warm(&mut self, slot: u32, body: Bytes) {
        if let Some(kept) = self.kept.get_mut(slot)
            && matches!(kept.body, Body::OnDisk(_))
        {
            self.known.resident += body.len() as u64;
            kept.body = Body::Held(body.into());
        }
    }

    /// All messages with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Kept)> {
        self.kept.iter()
    }
}

/// What a publisher said, and the id that was made for the message.
pub fn with_id(extra: Option<&Extra>, id: &MessageId) -> Option<Arc<Extra>> {
    let mut extra = extra.cloned().unwrap_or_default();
    if let MessageId::Made(id) = id {
        extra.made_id = Some(*id);
    }
    Some(Arc::new(extra))
}
