//! The live subscribers of a topic: what each has been sent, who lags, what happens then.
//!
//! A push frame is encoded once per format and shared. Every subscriber has a bounded channel of
//! chunks; when it is full the subscriber lags: nothing more is offered until it has written
//! everything, then it goes on from its own position in the history.

use super::connections::Traffic;
use super::messages::{Drained, Part, Unsubscribe, WeakTopic};
use crate::queue::{Gap, Message, Position, ReadBatch, Timestamp, TopicName};
use bytes::{Bytes, BytesMut};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Where pushes come from, for formats that say so.
#[derive(Debug, Clone)]
pub struct PushSource {
    /// The topic.
    pub topic: TopicName,
    /// Its epoch.
    pub epoch: u32,
    /// What the subscriber wants its pushes to be marked with.
    pub label: Option<Arc<str>>,
    /// The message is masked: how long its body is, bytes.
    pub masked: Option<u64>,
}

/// How pushes look to one family of clients.
#[derive(Clone, Copy)]
pub struct PushFormat {
    /// Tells formats apart.
    pub name: &'static str,
    /// Appends one message.
    pub message: fn(&PushSource, &Message, &mut BytesMut),
    /// Appends the notice that messages are missing; nothing where the format has no word for it.
    pub gap: fn(&PushSource, &Gap, &mut BytesMut),
}

impl fmt::Debug for PushFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How pushes look to one subscriber.
#[derive(Debug, Clone)]
pub struct Look {
    /// The same for its family of clients.
    pub format: PushFormat,
    /// What its own are marked with, where the format has a place for it.
    pub label: Option<Arc<str>>,
    /// Where it is counted.
    pub traffic: Option<Arc<Traffic>>,
}

impl From<PushFormat> for Look {
    fn from(format: PushFormat) -> Self {
        Look { format, label: None, traffic: None }
    }
}

impl Look {
    /// Counted by this session.
    pub fn counted(mut self, traffic: &Arc<Traffic>) -> Look {
        self.traffic = Some(traffic.clone());
        self
    }
}

/// What happens to a subscriber that cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It misses the oldest, and is told the gap.
    DropOldest,
    /// It is disconnected.
    Disconnect,
}

/// Why a subscription ended, from the broker's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    /// It did not end, or the subscriber ended it.
    No = 0,
    /// It could not follow.
    TooSlow = 1,
    /// The topic was deleted.
    TopicDeleted = 2,
    /// The broker stops, or the topic failed for good.
    Stopped = 3,
}

/// Seen from both sides of a subscription.
#[derive(Debug, Default)]
struct Shared {
    /// The topic offers nothing more until it hears [`Drained`].
    lagging: AtomicBool,
    ended: AtomicU8,
    traffic: Option<Arc<Traffic>>,
}

impl Shared {
    /// A chunk was written, or never will be.
    fn unbuffer(&self, chunk: &Bytes) {
        if let Some(traffic) = &self.traffic {
            traffic.unbuffer(chunk.len());
        }
    }
}

/// A session's end of a subscription. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    topic: WeakTopic,
    chunks: mpsc::Receiver<Bytes>,
    shared: Arc<Shared>,
    /// The topic's epoch when it was made.
    pub epoch: u32,
    /// The first sequence number it gets, backlog apart.
    pub next: u64,
    /// The first sequence number it gets, backlog included.
    pub first: u64,
}

impl Subscription {
    /// The next chunk of encoded pushes; `None` when the subscription has ended.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.chunks.poll_recv(cx);
        if let Poll::Ready(Some(chunk)) = &polled {
            self.shared.unbuffer(chunk);
        }
        if polled.is_pending() && self.shared.lagging.swap(false, Ordering::AcqRel) {
            self.tell(Drained(self.id));
        }
        polled
    }

    /// [`Self::poll_chunk`] as a future.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// A chunk that is there already.
    pub fn try_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.try_recv().ok()?;
        self.shared.unbuffer(&chunk);
        Some(chunk)
    }

    /// Where a subscriber is that said where it was, and has heard nothing yet: what it would say when
    /// it came back now. In front of a gap that it is still to be told.
    pub fn position(&self, said: Option<Position>) -> Position {
        let seq = match said {
            None => self.first.saturating_sub(1),
            Some(Position { epoch, seq }) if epoch == self.epoch => {
                seq.min(self.next.saturating_sub(1))
            }
            Some(_) => 0,
        };
        Position { epoch: self.epoch, seq }
    }

    /// Why it ended.
    pub fn ended(&self) -> Ended {
        match self.shared.ended.load(Ordering::Acquire) {
            1 => Ended::TooSlow,
            2 => Ended::TopicDeleted,
            3 => Ended::Stopped,
            _ => Ended::No,
        }
    }

    fn tell<M>(&self, message: M)
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        super::topic::TopicActor: actix::Handler<M>,
    {
        if let Some(topic) = self.topic.upgrade() {
            topic.do_send(message);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tell(Unsubscribe(self.id));
        self.chunks.close();
        while self.try_chunk().is_some() {}
        if let Some(traffic) = &self.shared.traffic {
            traffic.unsubscribed();
        }
    }
}

/// How a subscriber joins.
#[derive(Debug)]
pub struct Joins {
    /// How its pushes look.
    pub look: Look,
    /// What happens when it cannot follow.
    pub slow: SlowPolicy,
    /// What it is to the topic.
    pub part: Part,
}

#[derive(Debug)]
struct Subscriber {
    chunks: mpsc::Sender<Bytes>,
    shared: Arc<Shared>,
    format: PushFormat,
    /// Chunks are shared by those with the same format and label.
    label: Option<Arc<str>>,
    slow: SlowPolicy,
    part: Part,
    /// Stretches of the backlog it still gets, before `next`.
    backlog: VecDeque<(u64, u64)>,
    /// The next sequence number it gets.
    next: u64,
    gap: Option<Gap>,
    lagging: bool,
    /// A read from disk is under way for it.
    loading: bool,
    /// The topic's pushed bytes when it began to lag.
    lag_from_bytes: u64,
    lag_since: Timestamp,
}

/// What a subscriber wants to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The subscriber.
    pub id: u64,
    /// From this sequence number.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
}

/// All subscribers of one topic.
#[derive(Debug)]
pub struct Subscribers {
    source: PushSource,
    all: BTreeMap<u64, Subscriber>,
    next_id: u64,
    /// Subscriptions that are being made.
    pub joining: usize,
    /// Messages handed to channels.
    pub pushed: u64,
    /// Messages that slow subscribers missed.
    pub dropped: u64,
    /// Subscribers dropped for being slow.
    pub disconnected: u64,
    /// The topic masks payloads, now.
    pub masks: bool,
}

/// One encoded stretch of history, shared by all who are at its start.
struct Encoded {
    format: &'static str,
    label: Option<Arc<str>>,
    masked: bool,
    from: u64,
    next: u64,
    messages: u64,
    chunk: Bytes,
}

/// Chunks made during one round of pushing.
#[derive(Default)]
pub struct Round {
    encoded: VecDeque<Encoded>,
}

/// Chunks of one round that are looked through for one to share: enough for what a subscriber's
/// channel holds in several formats, and little beside encoding one more.
const SHARED_MAX: usize = 256;

impl Round {
    fn keep(&mut self, encoded: Encoded) {
        if self.encoded.len() >= SHARED_MAX {
            self.encoded.pop_front();
        }
        self.encoded.push_back(encoded);
    }
}

impl Subscribers {
    /// None yet.
    pub fn new(source: PushSource) -> Self {
        Subscribers {
            source,
            all: BTreeMap::new(),
            next_id: 1,
            joining: 0,
            pushed: 0,
            dropped: 0,
            disconnected: 0,
            masks: false,
        }
    }

    /// How many are attached, those included who only watch.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many are attached and take what they are pushed.
    pub fn takers(&self) -> usize {
        self.all.values().filter(|subscriber| subscriber.part == Part::Takes).count()
    }

    /// Nobody takes what is published, and nobody is about to.
    pub fn is_empty(&self) -> bool {
        self.joining == 0 && !self.all.values().any(|one| one.part == Part::Takes)
    }

    /// How many lag.
    pub fn lagging(&self) -> usize {
        self.all.values().filter(|subscriber| subscriber.lagging).count()
    }

    /// Attaches one.
    pub fn add(
        &mut self,
        topic: WeakTopic,
        start: crate::engine::Start,
        joins: Joins,
        capacity: usize,
    ) -> Subscription {
        let Joins { look: Look { format, label, traffic }, slow, part } = joins;
        if let Some(traffic) = &traffic {
            traffic.subscribed();
        }
        let first = start.backlog.first().map_or(start.next, |(from, _)| *from);
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let shared = Arc::new(Shared { traffic, ..Shared::default() });
        let id = self.next_id;
        self.next_id += 1;
        self.all.insert(
            id,
            Subscriber {
                chunks: sender,
                shared: shared.clone(),
                format,
                label,
                slow,
                part,
                backlog: start.backlog.into(),
                next: start.next,
                gap: start.gap,
                lagging: false,
                loading: false,
                lag_from_bytes: 0,
                lag_since: Timestamp(0),
            },
        );
        let (epoch, next) = (start.epoch, start.next);
        Subscription { id, topic, chunks: receiver, shared, epoch, next, first }
    }

    /// Forgets one.
    pub fn remove(&mut self, id: u64) {
        self.all.remove(&id);
    }

    /// It has written all it was given.
    pub fn drained(&mut self, id: u64) {
        if let Some(subscriber) = self.all.get_mut(&id) {
            subscriber.set_lagging(false);
        }
    }

    /// The first sequence number that somebody who takes is still to be sent.
    pub fn floor(&self) -> u64 {
        let from = |subscriber: &Subscriber| {
            subscriber.backlog.front().map_or(subscriber.next, |(from, _)| *from)
        };
        let takers = self.all.values().filter(|subscriber| subscriber.part == Part::Takes);
        takers.map(from).min().unwrap_or(u64::MAX)
    }

    /// Ends all subscriptions.
    pub fn end_all(&mut self, why: Ended) {
        for subscriber in std::mem::take(&mut self.all).into_values() {
            subscriber.shared.ended.store(why as u8, Ordering::Release);
        }
    }

    /// Positions mean nothing any more: everybody goes on at `next` and is told so.
    pub fn new_epoch(&mut self, epoch: u32, next: u64) {
        self.source.epoch = epoch;
        for subscriber in self.all.values_mut() {
            subscriber.backlog.clear();
            subscriber.gap =
                Some(Gap { from: subscriber.next.min(next), to: next.saturating_sub(1) });
            subscriber.next = next;
            subscriber.loading = false;
        }
    }

    /// Who can be sent something, with the history committed through `head`.
    pub fn wants(&self, head: u64) -> Vec<Want> {
        let ready = |subscriber: &&Subscriber| !subscriber.lagging && !subscriber.loading;
        self.all
            .iter()
            .filter(|(_, subscriber)| ready(subscriber))
            .filter_map(|(id, subscriber)| subscriber.want(*id, head))
            .collect()
    }

    /// What one subscriber can be sent.
    pub fn want(&self, id: u64, head: u64) -> Option<Want> {
        let subscriber = self.all.get(&id)?;
        if subscriber.lagging || subscriber.loading { None } else { subscriber.want(id, head) }
    }

    /// Sends a chunk made earlier in this round; false when there is none for this want.
    pub fn send_shared(
        &mut self,
        want: Want,
        round: &Round,
        pushed_bytes: u64,
        now: Timestamp,
    ) -> bool {
        let Some(subscriber) = self.all.get_mut(&want.id) else { return true };
        if subscriber.gap.is_some() {
            return false;
        }
        let Some(encoded) = round.encoded.iter().find(|encoded| {
            encoded.from == want.from
                && encoded.next <= want.to + 1
                && encoded.format == subscriber.format.name
                && encoded.label == subscriber.label
                && encoded.masked == subscriber.is_masked(self.masks)
        }) else {
            return false;
        };
        match subscriber.offer(encoded.chunk.clone(), pushed_bytes, now) {
            Offer::Taken => {
                subscriber.advance(encoded.next);
                subscriber.count(encoded.messages);
                self.pushed += encoded.messages;
            }
            Offer::Full => (),
            Offer::Closed => drop(self.all.remove(&want.id)),
        }
        true
    }

    /// Encodes what was read for one subscriber, sends it, and keeps the chunk for the others.
    pub fn send_read(
        &mut self,
        want: Want,
        batch: &ReadBatch,
        round: &mut Round,
        pushed_bytes: u64,
        now: Timestamp,
    ) {
        let Some(subscriber) = self.all.get_mut(&want.id) else { return };
        subscriber.loading = false;
        self.source.label.clone_from(&subscriber.label);
        let mut out = BytesMut::new();
        let gap = [subscriber.gap.take(), batch.gap]
            .into_iter()
            .flatten()
            .reduce(|one, other| Gap { from: one.from.min(other.from), to: one.to.max(other.to) });
        if let Some(gap) = gap {
            if subscriber.slow == SlowPolicy::Disconnect && batch.gap.is_some() {
                subscriber.shared.ended.store(Ended::TooSlow as u8, Ordering::Release);
                self.disconnected += 1;
                self.all.remove(&want.id);
                return;
            }
            (subscriber.format.gap)(&self.source, &gap, &mut out);
        }
        let within = |message: &&Message| message.seq <= want.to;
        let messages = batch.messages.iter().filter(within).count() as u64;
        let masked = subscriber.is_masked(self.masks);
        for message in batch.messages.iter().filter(within) {
            if masked {
                let (message, length) = message.masked();
                self.source.masked = Some(length);
                (subscriber.format.message)(&self.source, &message, &mut out);
            } else {
                (subscriber.format.message)(&self.source, message, &mut out);
            }
        }
        self.source.masked = None;
        let next = batch.next.min(want.to + 1);
        if out.is_empty() {
            subscriber.advance(next);
            return;
        }
        let chunk = out.freeze();
        match subscriber.offer(chunk.clone(), pushed_bytes, now) {
            Offer::Taken => {
                subscriber.advance(next);
                subscriber.count(messages);
                self.pushed += messages;
                self.dropped += gap.map_or(0, |gap| gap.to.saturating_sub(gap.from) + 1);
            }
            Offer::Full => subscriber.gap = gap,
            Offer::Closed => drop(self.all.remove(&want.id)),
        }
        if gap.is_none()
            && let Some(subscriber) = self.all.get(&want.id)
        {
            let (format, label) = (subscriber.format.name, subscriber.label.clone());
            let from = want.from;
            round.keep(Encoded { format, label, masked, from, next, messages, chunk });
        }
    }

    /// Marks a subscriber whose messages are being read from disk.
    pub fn set_loading(&mut self, id: u64, loading: bool) {
        if let Some(subscriber) = self.all.get_mut(&id) {
            subscriber.loading = loading;
        }
    }

    /// Applies the slow policy to those who lag too far (`backlog_bytes`) or too long (`stuck_ms`).
    pub fn police(
        &mut self,
        head: u64,
        pushed_bytes: u64,
        now: Timestamp,
        backlog_bytes: u64,
        stuck_ms: u64,
    ) {
        let mut gone = Vec::new();
        for (id, subscriber) in self.all.iter_mut().filter(|(_, subscriber)| subscriber.lagging) {
            let too_far = pushed_bytes.saturating_sub(subscriber.lag_from_bytes) > backlog_bytes;
            let too_long = now.since_ms(subscriber.lag_since) > stuck_ms;
            if too_long || (too_far && subscriber.slow == SlowPolicy::Disconnect) {
                gone.push(*id);
            } else if too_far {
                let from = subscriber.gap.map_or(subscriber.next, |gap| gap.from);
                subscriber.gap = Some(Gap { from, to: head });
                subscriber.backlog.clear();
                subscriber.next = head + 1;
                subscriber.lag_from_bytes = pushed_bytes;
            }
        }
        for id in gone {
            if let Some(subscriber) = self.all.remove(&id) {
                subscriber.shared.ended.store(Ended::TooSlow as u8, Ordering::Release);
                self.disconnected += 1;
            }
        }
    }
}

enum Offer {
    Taken,
    Full,
    Closed,
}

impl Subscriber {
    /// What it is pushed is masked, if the topic masks at all.
    fn is_masked(&self, masks: bool) -> bool {
        masks && self.part == Part::WatchesMasked
    }

    fn want(&self, id: u64, head: u64) -> Option<Want> {
        if let Some((from, to)) = self.backlog.front() {
            return (*from <= head).then_some(Want { id, from: *from, to: (*to).min(head) });
        }
        (self.next <= head || self.gap.is_some()).then_some(Want { id, from: self.next, to: head })
    }

    fn advance(&mut self, next: u64) {
        match self.backlog.front_mut() {
            Some((_, to)) if next > *to => drop(self.backlog.pop_front()),
            Some((from, _)) => *from = next,
            None => self.next = next.max(self.next),
        }
    }

    fn set_lagging(&mut self, lagging: bool) {
        if self.lagging != lagging
            && let Some(traffic) = &self.shared.traffic
        {
            traffic.lags(lagging);
        }
        self.lagging = lagging;
    }

    fn count(&self, messages: u64) {
        if let Some(traffic) = &self.shared.traffic {
            traffic.sent(messages as usize);
        }
    }

    fn offer(&mut self, chunk: Bytes, pushed_bytes: u64, now: Timestamp) -> Offer {
        // Before the session can take it.
        let bytes = chunk.len();
        if let Some(traffic) = &self.shared.traffic {
            traffic.buffer(bytes);
        }
        let offer = self.try_offer(chunk, pushed_bytes, now);
        if let Some(traffic) = &self.shared.traffic
            && !matches!(offer, Offer::Taken)
        {
            traffic.unbuffer(bytes);
        }
        offer
    }

    fn try_offer(&mut self, chunk: Bytes, pushed_bytes: u64, now: Timestamp) -> Offer {
        use mpsc::error::TrySendError;
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Offer::Taken,
            Err(TrySendError::Closed(_)) => return Offer::Closed,
            Err(TrySendError::Full(chunk)) => chunk,
        };
        // The session looks at the flag each time it finds the channel empty. It may have emptied
        // it before the flag was up: so try once more behind the flag.
        self.shared.lagging.store(true, Ordering::Release);
        match self.chunks.try_send(chunk) {
            Ok(()) => {
                self.shared.lagging.store(false, Ordering::Release);
                Offer::Taken
            }
            Err(TrySendError::Closed(_)) => Offer::Closed,
            Err(TrySendError::Full(_)) => {
                self.set_lagging(true);
                self.lag_from_bytes = pushed_bytes;
                self.lag_since = now;
                Offer::Full
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.set_lagging(false);
    }
}
