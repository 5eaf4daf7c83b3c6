//! The rules of a pubsub topic: a bounded history in the order of sequence numbers, and the
//! backlog, which is what nobody has claimed yet.
//!
//! A message published while subscribers are attached is claimed at once; the others wait in the
//! backlog for the next subscriber without a position, or for a reader that takes. Claimed messages
//! stay readable within the bounds of the history; the backlog is bounded by the topic's capacity
//! and is never dropped to make the history shorter.
//!
//! What is gone is remembered as stretches of sequence numbers, so that a reader is told a gap where
//! there is one, and none where numbers were never used (after a restart they go on further up).

use super::dedup::Dedup;
use super::shelf::Body;
use super::*;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// How long after a publish the history is brought back to its bounds, when subscribers were still to
/// be sent what goes: while more comes, the next publish does it.
const SETTLED: Duration = Duration::from_millis(100);

/// A stretch of sequence numbers that a reader asked for and is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First missing.
    pub from: u64,
    /// Last missing.
    pub to: u64,
    /// Why.
    pub why: Missing,
}

/// Why a reader is not given what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is kept no more.
    Gone,
    /// The reader's position is of another epoch, so nobody knows which of these messages it has seen.
    OtherEpoch {
        /// They are there from this one on, if any are.
        kept_from: Option<u64>,
    },
}

impl Gap {
    /// Messages that are kept no more.
    pub fn gone(from: u64, to: u64) -> Gap {
        Gap { from, to, why: Missing::Gone }
    }

    /// Both as one, for the reason of the first.
    pub fn with(self, other: Gap) -> Gap {
        Gap { from: self.from.min(other.from), to: self.to.max(other.to), why: self.why }
    }
}

/// What a reader got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadBatch {
    /// The messages, ascending.
    pub messages: Vec<Message>,
    /// What was asked for and is gone, before `messages`.
    pub gap: Option<Gap>,
    /// Read on from here.
    pub next: u64,
}

/// Where a subscriber was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The topic's epoch when it was given.
    pub epoch: u32,
    /// The last sequence number it saw.
    pub seq: u64,
}

#[derive(Debug)]
struct Item {
    body: Body,
    number: u64,
    seq: u64,
    published_at: Timestamp,
    expires_at: Timestamp,
    extra: Option<Arc<Extra>>,
    claimed: bool,
}

/// The rules of one pubsub topic. See the module's doc.
#[derive(Debug)]
pub struct History {
    number: u32,
    policy: TopicPolicy,
    salt: u32,
    epoch: u32,
    items: VecDeque<Item>,
    /// Stretches of the backlog, ascending.
    unclaimed: VecDeque<(u64, u64)>,
    /// Stretches that are gone: first to last.
    lost: BTreeMap<u64, u64>,
    /// Bodies of this many items from the front on are on disk only.
    cool: usize,
    last_seq: u64,
    committed: u64,
    /// Live subscribers still have to be sent what is from here on: it is not trimmed.
    floor: u64,
    backlog: (u64, u64),
    kept_bytes: u64,
    resident: u64,
    /// Times of ends, to be looked for: (when, sequence number).
    ends: std::collections::BTreeSet<(Timestamp, u64)>,
    dedup: Dedup,
    totals: Totals,
}

impl History {
    /// An empty history.
    pub fn new(definition: &TopicDefinition) -> History {
        History {
            number: definition.number,
            policy: definition.policy.clone(),
            salt: definition.salt,
            epoch: definition.epoch,
            items: VecDeque::new(),
            unclaimed: VecDeque::new(),
            lost: BTreeMap::new(),
            cool: 0,
            last_seq: 0,
            committed: 0,
            floor: u64::MAX,
            backlog: (0, 0),
            kept_bytes: 0,
            resident: 0,
            ends: std::collections::BTreeSet::new(),
            dedup: Dedup::default(),
            totals: Totals::default(),
        }
    }

    /// Changes the topic's settings.
    pub fn set_policy(&mut self, policy: TopicPolicy) {
        self.policy = policy;
    }

    /// Adds what the store gave back, in ascending order of numbers.
    pub fn restore(&mut self, _now: Timestamp, message: Restored) {
        let Restored {
            number,
            seq,
            published_at,
            expires_at,
            extra,
            body,
            body_bytes,
            claimed,
            ..
        } = message;
        if seq <= self.last_seq {
            return;
        }
        let body = Body::new(body, body_bytes);
        self.last_seq = seq;
        self.push(Item { body, number, seq, published_at, expires_at, extra, claimed });
    }

    /// Remembers a dedup key that the store gave back.
    pub fn restore_dedup(
        &mut self,
        number: u64,
        key: Bytes,
        seq: u64,
        published_at: Timestamp,
        until: Timestamp,
    ) {
        self.dedup.put(number, key, seq, published_at, until);
    }

    /// Ends the restoring. Numbers go on above `seq`; the backlog up to `claimed_through` is
    /// claimed; what was before the first message is gone, and all of it when there is none.
    pub fn continue_after(&mut self, seq: u64, claimed_through: u64) {
        for at in 0..self.items.len() {
            if self.items[at].seq > claimed_through {
                break;
            }
            self.claim_item(at);
        }
        self.forget_claimed(claimed_through);
        let first = self.items.front().map(|item| item.seq);
        self.last_seq = self.last_seq.max(seq);
        let gone_to = first.map_or(self.last_seq, |first| first - 1);
        if gone_to > 0 {
            self.lost.insert(1, gone_to);
        }
        self.committed = self.last_seq;
    }

    fn push(&mut self, item: Item) {
        let bytes = u64::from(item.body.len());
        self.kept_bytes += bytes;
        self.resident += item.body.resident();
        if !item.claimed {
            self.backlog = (self.backlog.0 + 1, self.backlog.1 + bytes);
            match self.unclaimed.back_mut() {
                // Numbers between them that hold no message do no harm.
                Some((_, to))
                    if self.items.back().is_some_and(|last| !last.claimed && last.seq == *to) =>
                {
                    *to = item.seq;
                }
                _ => self.unclaimed.push_back((item.seq, item.seq)),
            }
        }
        if item.expires_at < Timestamp::NEVER {
            self.ends.insert((item.expires_at, item.seq));
        }
        self.items.push_back(item);
    }

    fn claim_item(&mut self, at: usize) {
        let Some(item) = self.items.get_mut(at) else { return };
        if !std::mem::replace(&mut item.claimed, true) {
            self.backlog = (self.backlog.0 - 1, self.backlog.1 - u64::from(item.body.len()));
        }
    }

    fn forget_claimed(&mut self, through: u64) {
        while let Some((from, to)) = self.unclaimed.front_mut() {
            if *to <= through {
                self.unclaimed.pop_front();
            } else {
                *from = (*from).max(through + 1);
                break;
            }
        }
    }

    /// The highest sequence number given.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The topic's epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Publishes one message. `listeners`: subscribers are attached and get it, so it is claimed.
    ///
    /// Errors: `Paused`, `Full` when the backlog is at its bounds, `WrongKind` for a delay and for a
    /// past in queues,
    /// `DuplicateId` never (ids need not be unique where nobody looks up by id).
    pub fn publish(
        &mut self,
        now: Timestamp,
        message: NewMessage,
        listeners: bool,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Placed, Refusal> {
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        // A body may be left to the store, its id may not.
        let mut message = message.id_apart();
        let (extra, past) = Extra::without_past(message.extra.take());
        message.extra = extra;
        let extra = message.extra.as_ref();
        let in_queues = past.as_ref().is_some_and(Past::is_of_queues);
        if in_queues || extra.and_then(|extra| extra.deliver_at).is_some_and(|at| at > now) {
            return Err(Refusal::WrongKind);
        }
        let published_at = past.and_then(|past| past.published_at).unwrap_or(now).min(now);
        let key = extra.and_then(|extra| extra.dedup_key.as_ref());
        if let Some(first) = key.and_then(|key| self.dedup.first(now, key)) {
            let made = || MessageId::made(first.published_at, self.salt, first.seq);
            let id = first.client_id.map_or_else(made, MessageId::Client);
            return Ok(Placed { id: Some(id), seq: first.seq, duplicate: true });
        }
        let bytes = message.body.len() as u64;
        if !listeners {
            self.make_room(bytes, ledger)?;
        }
        let seq = self.last_seq + 1;
        self.last_seq = seq;
        let number = ledger.numbers(1);
        let expires_at = match extra.and_then(|extra| extra.expires_at) {
            Some(at) => at,
            None if self.policy.ttl_ms > 0 => now.after(Duration::from_millis(self.policy.ttl_ms)),
            None => Timestamp::NEVER,
        };
        let body = match keep_body {
            true if ledger.is_on() => Body::Held(message.body.clone()),
            true => Body::Held(std::mem::take(&mut message.body)),
            false => Body::OnDisk(u32::try_from(bytes).unwrap_or(u32::MAX)),
        };
        let item = Item {
            body,
            number,
            seq,
            published_at,
            expires_at,
            extra: extra.cloned(),
            claimed: listeners,
        };
        let id = match extra.and_then(|extra| extra.client_id.as_ref()) {
            Some(_) => None,
            None => Some(MessageId::made(published_at, self.salt, seq)),
        };
        self.push(item);
        self.totals.published += 1;
        ledger.note(|| {
            Record::Published(Stored {
                stamped: false,
                number,
                topic: self.number,
                seq,
                published_at,
                visible_at: published_at,
                expires_at,
                extra: extra.cloned(),
                body: message.body.clone(),
                place: Place::History { claimed: listeners },
                // Nobody looks at the life of what lies in a history.
                door: None,
            })
        });
        if let Some(key) = key
            && self.policy.dedup_window_ms > 0
        {
            let until = now.after(Duration::from_millis(self.policy.dedup_window_ms));
            let max = self.policy.dedup_keys_max;
            self.dedup.remember((self.number, key.clone(), seq), published_at, until, max, ledger);
            if let Some(id) = extra.and_then(|extra| extra.client_id.as_ref()) {
                self.dedup.name(key, id);
            }
        }
        self.trim(now, usize::MAX, ledger);
        Ok(Placed { id, seq, duplicate: false })
    }

    fn make_room(&mut self, bytes: u64, ledger: &mut Ledger) -> Result<(), Refusal> {
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        loop {
            let over_count = capacity > 0 && self.backlog.0 >= capacity;
            let over_bytes = bytes_max > 0 && self.backlog.1 + bytes > bytes_max;
            if !over_count && !over_bytes {
                return Ok(());
            }
            let (what, limit) =
                if over_count { ("capacity", capacity) } else { ("bytes_max", bytes_max) };
            let oldest = match self.policy.overflow {
                Overflow::DropOldest => self.first_unclaimed(),
                Overflow::Refuse => None,
            };
            match oldest {
                Some(at) => {
                    self.remove(at, true, ledger);
                    self.totals.dropped += 1;
                }
                None => return Err(Refusal::Full { what, limit }),
            }
        }
    }

    /// Where the oldest message of the backlog is.
    fn first_unclaimed(&mut self) -> Option<usize> {
        while let Some((from, to)) = self.unclaimed.front().copied() {
            let first = self.at_or_behind(from).filter(|at| self.items[*at].seq <= to);
            if first.is_some() {
                return first;
            }
            // What it held was never published.
            self.unclaimed.pop_front();
        }
        None
    }

    /// Where the first item with this number or a higher one is.
    fn at_or_behind(&self, seq: u64) -> Option<usize> {
        let at = self.items.partition_point(|item| item.seq < seq);
        (at < self.items.len()).then_some(at)
    }

    /// Takes an item out for good. `gone`: readers who ask for it are told a gap.
    fn remove(&mut self, at: usize, gone: bool, ledger: &mut Ledger) {
        let before =
            at.checked_sub(1).and_then(|before| self.items.get(before)).map_or(0, |item| item.seq);
        let removed = if at == 0 { self.items.pop_front() } else { self.items.remove(at) };
        let Some(item) = removed else { return };
        let bytes = u64::from(item.body.len());
        self.kept_bytes -= bytes;
        self.resident -= item.body.resident();
        if item.expires_at < Timestamp::NEVER {
            self.ends.remove(&(item.expires_at, item.seq));
        }
        self.cool = if at < self.cool { self.cool - 1 } else { self.cool };
        if !item.claimed {
            self.backlog = (self.backlog.0 - 1, self.backlog.1 - bytes);
            self.shrink_unclaimed(item.seq);
        }
        if gone {
            self.lose(item.seq, at, before);
        }
        let number = item.number;
        ledger.note(|| Record::Removed { entry: number, message: number, last: true });
    }

    /// A number is gone that lay before the item at `at`, behind the kept number `before`.
    fn lose(&mut self, seq: u64, at: usize, before: u64) {
        // Mostly it is the oldest one, behind the one that went before it.
        if at == 0
            && self.lost.len() == 1
            && let Some(mut stretch) = self.lost.first_entry()
            && *stretch.get() < seq
        {
            *stretch.get_mut() = seq;
            return;
        }
        // One stretch with what was gone on either side of it, up to the messages that are kept.
        let behind = self.items.get(at).map_or(u64::MAX, |next| next.seq);
        let (mut first, mut last) = (seq, seq);
        let next = |lost: &BTreeMap<u64, u64>| {
            lost.range(before + 1..behind).next().map(|(from, to)| (*from, *to))
        };
        while let Some((from, to)) = next(&self.lost) {
            self.lost.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.lost.insert(first, last);
    }

    fn shrink_unclaimed(&mut self, seq: u64) {
        let Some(at) = self.unclaimed.iter().position(|(from, to)| (*from..=*to).contains(&seq))
        else {
            return;
        };
        let (from, to) = self.unclaimed[at];
        let holds = |from: u64, to: u64| {
            self.items
                .get(self.items.partition_point(|item| item.seq < from))
                .is_some_and(|item| item.seq <= to)
        };
        // Only stretches that still hold a message stay.
        let (left, right) = ((from, seq.saturating_sub(1)), (seq + 1, to));
        let mut parts = VecDeque::new();
        for (from, to) in [left, right] {
            if from <= to && holds(from, to) {
                parts.push_back((from, to));
            }
        }
        // Both parts touch but for a number that is gone: one stretch again.
        let merged = match (parts.front(), parts.back(), parts.len()) {
            (Some((from, _)), Some((_, to)), 1 | 2) => Some((*from, *to)),
            _ => None,
        };
        match merged {
            Some(merged) => self.unclaimed[at] = merged,
            None => drop(self.unclaimed.remove(at)),
        }
    }

    /// The store did not take these messages: they were never published.
    pub fn unpublish(&mut self, seqs: &[u64]) {
        let mut off = Ledger::off(0);
        for seq in seqs {
            let Some(at) = self.at_or_behind(*seq).filter(|at| self.items[*at].seq == *seq) else {
                continue;
            };
            let extra = self.items[at].extra.clone();
            if let Some(key) = extra.as_ref().and_then(|extra| extra.dedup_key.as_ref()) {
                self.dedup.unpublish(key, *seq);
            }
            self.remove(at, false, &mut off);
            self.totals.published -= 1;
        }
    }

    /// Nothing from `from` on is trimmed: live subscribers are still to be sent it. How far they may
    /// be behind is bounded by who calls this.
    pub fn hold_from(&mut self, from: u64) {
        self.floor = from;
    }

    /// Messages up to this number may be read.
    pub fn commit(&mut self, through: u64) {
        self.committed = self.committed.max(through);
    }

    /// Messages up to this number may be read.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    fn message(&self, item: &Item) -> Message {
        Message {
            salt: self.salt,
            lone: false,
            seq: item.seq,
            number: item.number,
            body: item.body.held().cloned(),
            published_at: item.published_at,
            extra: item.extra.clone(),
        }
    }

    /// Committed messages from `from` on: at most `max`, and no more once their bodies reach
    /// `bytes_max`. A gap is told before the messages behind it.
    pub fn read(&self, from: u64, max: usize, bytes_max: usize) -> ReadBatch {
        let mut batch = ReadBatch { next: from, ..ReadBatch::default() };
        if from > self.committed {
            return batch;
        }
        let mut bytes = 0;
        let first = self.items.partition_point(|item| item.seq < from);
        for item in self.items.range(first..) {
            if item.seq > self.committed {
                break;
            }
            if batch.messages.len() >= max || bytes >= bytes_max {
                return batch;
            }
            if let Some(gap) = self.gap(batch.next, item.seq - 1) {
                if !batch.messages.is_empty() {
                    return batch;
                }
                batch.gap = Some(gap);
            }
            bytes += item.body.len() as usize;
            batch.messages.push(self.message(item));
            batch.next = item.seq + 1;
        }
        if let Some(gap) = self.gap(batch.next, self.committed) {
            if !batch.messages.is_empty() {
                return batch;
            }
            batch.gap = Some(gap);
        }
        batch.next = self.committed + 1;
        batch
    }

    /// Messages behind a cursor, by their numbers in the whole broker, and no gaps: for a reader
    /// that is shown what there is and told nothing else.
    ///
    /// Those that are not committed yet are among them: who asks waits for the store.
    pub fn read_after(&self, now: Timestamp, cursor: &mut Cursor, want: Want) -> Vec<Message> {
        cursor.cut = false;
        let first = self.items.partition_point(|item| item.number <= cursor.number);
        let mut alive = self.items.range(first..).filter(|item| item.expires_at > now);
        let (mut read, max) = match want {
            Want::Oldest(max) => (Vec::new(), max),
            Want::Newest => {
                let newest = alive.next_back();
                let newest =
                    newest.filter(|item| cursor.pass(item.number, item.body.len() as usize));
                return newest.map(|item| self.message(item)).into_iter().collect();
            }
        };
        while read.len() < max
            && let Some(item) = alive.next()
            && cursor.pass(item.number, item.body.len() as usize)
        {
            read.push(self.message(item));
        }
        read
    }

    /// What is gone of a stretch.
    fn gap(&self, from: u64, to: u64) -> Option<Gap> {
        if from > to {
            return None;
        }
        let overlapping = self
            .lost
            .range(..=to)
            .rev()
            .map(|(first, last)| (*first, *last))
            .take_while(|(_, last)| *last >= from);
        let (first, last) = overlapping.fold((u64::MAX, 0), |(low, high), (first, last)| {
            (low.min(first.max(from)), high.max(last.min(to)))
        });
        (first <= last).then_some(Gap::gone(first, last))
    }

    /// Takes messages of the backlog for good, oldest first.
    pub fn claim(
        &mut self,
        now: Timestamp,
        max: usize,
        bytes_max: usize,
        ledger: &mut Ledger,
    ) -> Vec<Message> {
        let (mut taken, mut bytes, mut through) = (Vec::new(), 0, None);
        while taken.len() < max
            && let Some(at) = self.first_unclaimed()
        {
            let item = &self.items[at];
            let (seq, size) = (item.seq, item.body.len() as usize);
            if !taken.is_empty() && bytes + size > bytes_max {
                break;
            }
            if item.expires_at > now {
                taken.push(self.message(item));
                bytes += size;
            } else {
                self.totals.expired += 1;
            }
            self.claim_item(at);
            self.forget_claimed(seq);
            through = Some(seq);
        }
        self.totals.delivered += taken.len() as u64;
        self.totals.acked += taken.len() as u64;
        if let Some(through) = through {
            let topic = self.number;
            ledger.note(|| Record::Claimed { topic, through });
            self.trim(now, usize::MAX, ledger);
        }
        taken
    }

    /// The stretches of the backlog, which is claimed by this: a subscriber without a position
    /// reads them first, then everything behind [`History::last_seq`].
    pub fn claim_all(&mut self, _now: Timestamp, ledger: &mut Ledger) -> Vec<(u64, u64)> {
        let stretches: Vec<(u64, u64)> = std::mem::take(&mut self.unclaimed).into();
        let Some((_, through)) = stretches.last().copied() else { return stretches };
        // The one who claims has not read them yet.
        self.floor = self.floor.min(stretches.first().map_or(u64::MAX, |(from, _)| *from));
        for (from, to) in &stretches {
            let first = self.items.partition_point(|item| item.seq < *from);
            let behind = self.items.partition_point(|item| item.seq <= *to);
            for at in first..behind {
                self.claim_item(at);
            }
        }
        let topic = self.number;
        ledger.note(|| Record::Claimed { topic, through });
        // Not trimmed here: the subscriber has not read them yet.
        stretches
    }

    /// Where a subscriber that was at `position` goes on, and a gap when the epoch is another one:
    /// then it cannot be told what it missed. A gap within the epoch is told by [`History::read`].
    pub fn resume(&self, position: Position) -> (u64, Option<Gap>) {
        let next = self.last_seq + 1;
        if position.epoch != self.epoch {
            let kept_from = self.items.front().map(|item| item.seq);
            let why = Missing::OtherEpoch { kept_from };
            return (next, Some(Gap { from: 1, to: self.last_seq, why }));
        }
        (position.seq.saturating_add(1).min(next), None)
    }

    /// Removes everything. Returns how many.
    pub fn clear(&mut self, ledger: &mut Ledger) -> u64 {
        let count = self.items.len() as u64;
        while !self.items.is_empty() {
            self.remove(0, true, ledger);
        }
        self.totals.purged += count;
        count
    }

    /// Keeps the history within its bounds: the oldest claimed messages go. Returns what is left
    /// of the budget.
    fn trim(&mut self, now: Timestamp, mut budget: usize, ledger: &mut Ledger) -> usize {
        while budget > 0
            && let Some(at) = self.oldest_claimed()
            && self.items.get(at).is_some_and(|item| item.seq < self.floor)
            && self.over(now, at)
        {
            budget -= 1;
            self.remove(at, true, ledger);
        }
        budget
    }

    /// Mostly the front; behind the backlog where that is older.
    fn oldest_claimed(&self) -> Option<usize> {
        if self.items.front()?.claimed {
            return Some(0);
        }
        // What lay between two stretches may be gone, so that they touch.
        for (_, to) in &self.unclaimed {
            let at = self.items.partition_point(|item| item.seq <= *to);
            if self.items.get(at)?.claimed {
                return Some(at);
            }
        }
        None
    }

    fn over(&self, now: Timestamp, at: usize) -> bool {
        let policy = &self.policy;
        let too_old = policy.history_ms > 0
            && self.items.get(at).is_some_and(|item| {
                item.published_at.after(Duration::from_millis(policy.history_ms)) <= now
            });
        self.over_bounds() || too_old
    }

    /// What is claimed is more than is to be kept of it.
    fn over_bounds(&self) -> bool {
        let policy = &self.policy;
        let claimed = (self.items.len() as u64 - self.backlog.0, self.kept_bytes - self.backlog.1);
        claimed.0 > policy.history_messages || claimed.1 > policy.history_bytes
    }

    /// Gives back memory, oldest first, until `bytes` are free: by leaving bodies to the store
    /// (`stored`), or by dropping messages: claimed ones first, then, where the topic rather drops
    /// than refuses, its backlog. Returns how many bytes.
    pub fn relieve(&mut self, bytes: u64, stored: bool, ledger: &mut Ledger) -> u64 {
        let before = self.resident;
        while before - self.resident < bytes {
            if !stored {
                let drops = self.policy.overflow == Overflow::DropOldest;
                let backlog = || (drops && !self.items.is_empty()).then_some(0);
                let Some(at) = self.oldest_claimed().or_else(backlog) else { break };
                self.totals.dropped += u64::from(self.items.get(at).is_some_and(|it| !it.claimed));
                self.remove(at, true, ledger);
                continue;
            }
            let committed = self.committed;
            let Some(item) = self.items.get_mut(self.cool).filter(|item| item.seq <= committed)
            else {
                break;
            };
            self.cool += 1;
            self.resident -= item.body.resident();
            item.body = Body::OnDisk(item.body.len());
        }
        before - self.resident
    }

    /// Lets time pass: at most `budget` messages end.
    pub fn advance(&mut self, now: Timestamp, budget: usize, ledger: &mut Ledger) -> Advanced {
        let mut left = budget;
        while left > 0
            && let Some((until, seq)) = self.ends.first().copied()
            && until <= now
        {
            left -= 1;
            self.ends.pop_first();
            if let Some(at) = self.at_or_behind(seq).filter(|at| self.items[*at].seq == seq) {
                self.remove(at, false, ledger);
                self.totals.expired += 1;
            }
        }
        left = self.trim(now, left, ledger);
        let more = self.dedup.expire(now, left, ledger);
        Advanced { ready: false, more: more || left == 0 }
    }

    /// When [`History::advance`] has something to do next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let end = self.ends.first().map(|(until, _)| *until);
        let oldest = self.oldest_claimed().and_then(|at| self.items.get(at));
        let oldest = oldest.filter(|item| item.seq < self.floor);
        let age = oldest
            .filter(|_| self.policy.history_ms > 0)
            .map(|item| item.published_at.after(Duration::from_millis(self.policy.history_ms)));
        // What subscribers have been sent meanwhile need not be kept for them.
        let newest = oldest.and(self.items.back()).filter(|_| self.over_bounds());
        let bounds = newest.map(|item| item.published_at.after(SETTLED));
        [end, age, bounds, self.dedup.next_deadline()].into_iter().flatten().min()
    }

    /// Bytes of bodies held in memory.
    pub fn resident_bytes(&self) -> u64 {
        self.resident
    }

    /// Not claimed yet: messages and bytes.
    pub fn backlog(&self) -> (u64, u64) {
        self.backlog
    }

    /// Kept in all: messages and bytes.
    pub fn kept(&self) -> (u64, u64) {
        (self.items.len() as u64, self.kept_bytes)
    }

    /// What happened so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The backlog and what happened, as a topic of queues would tell it.
    pub fn sum(&self) -> TopicSum {
        let (ready, waiting_bytes) = self.backlog;
        let counts = Counts { ready, bytes: self.kept_bytes, ..Counts::default() };
        let full_per_mille = full_per_mille(ready, self.policy.capacity)
            .max(full_per_mille(waiting_bytes, self.policy.bytes_max));
        TopicSum { counts, totals: self.totals, full_per_mille, ..TopicSum::default() }
    }

    /// The store found these messages damaged: they are gone.
    pub fn quarantine(&mut self, numbers: &[u64]) {
        let mut off = Ledger::off(0);
        for number in numbers {
            if let Some(at) = self.items.iter().position(|item| item.number == *number) {
                self.remove(at, true, &mut off);
                self.totals.dropped += 1;
            }
        }
    }
}

#[cfg(test)]
impl History {
    /// How many stretches are remembered as gone.
    pub(super) fn stretches_lost(&self) -> usize {
        self.lost.len()
    }
}
