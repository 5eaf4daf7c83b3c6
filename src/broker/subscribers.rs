//! The live subscribers of a topic: what each has been sent, who lags, what happens then.
//!
//! A push frame is encoded once per format and shared. Every subscriber has a bounded channel of
//! chunks; when it is full the subscriber lags: nothing more is offered until it has written
//! everything, then it goes on from its own position in the history.

mod look;
mod sending;
mod subscription;

pub use look::{Look, PushFormat, PushSource, SlowPolicy};
pub use sending::Round;
pub use subscription::{Ended, Subscription};

use super::messages::{Part, WeakTopic};
use crate::queue::{Gap, Missing, Timestamp};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, atomic::Ordering},
};
use subscription::Shared;
use tokio::sync::mpsc;

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
            let (from, to) = (subscriber.next.min(next), next.saturating_sub(1));
            // A topic that begins anew while it is followed has lost what it held.
            let why = Missing::OtherEpoch { kept_from: None };
            subscriber.gap = Some(Gap { from, to, why });
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
                let more = Gap::gone(subscriber.next, head);
                subscriber.gap = Some(subscriber.gap.map_or(more, |gap| gap.with(more)));
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

impl Subscriber {
    fn want(&self, id: u64, head: u64) -> Option<Want> {
        if let Some((from, to)) = self.backlog.front() {
            return (*from <= head).then_some(Want { id, from: *from, to: (*to).min(head) });
        }
        (self.next <= head || self.gap.is_some()).then_some(Want { id, from: self.next, to: head })
    }

    fn set_lagging(&mut self, lagging: bool) {
        if self.lagging != lagging
            && let Some(traffic) = &self.shared.traffic
        {
            traffic.lags(lagging);
        }
        self.lagging = lagging;
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.set_lagging(false);
    }
}
