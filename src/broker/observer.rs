//! Looks at all topics once a second, and remembers what it saw: totals, rates, history, and what
//! somebody should look at. It asks nobody: it reads what each topic lets everybody see, and of topics
//! that have not changed no more than that they have not.

mod pages;

pub use pages::{TopicRow, TopicSort, TopicsPage, TopicsQuery};

use super::attention::{self, Attention, Condition};
use super::gauge::Reading;
use super::messages::{ListTopics, TopicEntry};
use super::rates::{Counted, Meter};
use super::registry::Registry;
use super::trail::{Point, Trail};
use super::{Rates, clock};
use crate::queue::{Counts, Kind, Timestamp, TopicName};
use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    MessageResult, WeakAddr, WrapFuture,
};
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How often it asks at first whether the topics that the store knew have told their figures, and how
/// many times before it goes on without those that have not.
const FIRST: (Duration, u32) = (Duration::from_millis(50), 200);
/// The broker's history of ten minutes: seconds of a step, steps.
const SHORT: (u64, usize) = (1, 600);
/// Of a day.
const LONG: (u64, usize) = (60, 1440);
/// A topic's history of ten minutes.
const TOPIC_SHORT: (u64, usize) = (10, 60);
/// Of a day.
const TOPIC_LONG: (u64, usize) = (900, 96);
/// Steps of ten seconds that a row shows.
const SPARK: usize = 30;
/// Entries of what somebody should look at.
const ATTENTION_MAX: usize = 50;

/// The bounds of the observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observing {
    /// Topics with a history of their own.
    pub history_topics: usize,
    /// A message that has been ready for longer is told of.
    pub oldest_max_ms: u64,
    /// Sessions on the list of connections.
    pub connections_max: usize,
}

impl Default for Observing {
    fn default() -> Self {
        Observing { history_topics: 5000, oldest_max_ms: 3_600_000, connections_max: 100_000 }
    }
}

/// A topic, as it was seen last.
struct Seen {
    entry: TopicEntry,
    version: u64,
    reading: Reading,
    meter: Meter,
    rates: Rates,
    /// It is among those in which something happened of late.
    hot: bool,
    /// Ten minutes and a day; none until something happens.
    trails: Option<Box<(Trail, Trail)>>,
}

impl Seen {
    fn new(entry: TopicEntry) -> Seen {
        Seen {
            entry,
            version: 0,
            reading: Reading::default(),
            meter: Meter::default(),
            rates: Rates::default(),
            hot: false,
            trails: None,
        }
    }

    /// How many were ready a minute ago, if there is a backlog at all.
    fn ready_before(&self, second: u64) -> Option<u64> {
        if self.reading.counts.ready < attention::BACKLOG_MIN {
            return None;
        }
        let (short, _) = self.trails.as_deref()?;
        short.last(second, 6).first().copied().flatten().map(|point| point.ready as u64)
    }

    fn spark(&self, second: u64) -> Vec<f32> {
        let Some((short, _)) = self.trails.as_deref() else { return Vec::new() };
        let points = short.last(second, SPARK).into_iter();
        points.skip_while(Option::is_none).flatten().map(|point| point.published).collect()
    }
}

/// All topics together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// How many there are.
    pub topics: usize,
    /// Their queues; a pubsub topic counts as one.
    pub queues: u64,
    /// Live subscribers.
    pub subscribers: u64,
    /// Connections that consume a queue.
    pub consumers: u64,
    /// Receivers that wait.
    pub waiting: u64,
    /// How many messages are where.
    pub counts: Counts,
    /// What happens per second.
    pub rates: Rates,
}

/// The broker as it was seen last.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// All topics together.
    pub totals: Totals,
    /// What somebody should look at, the worst first: in which topic, and what.
    pub attention: Vec<(TopicName, Attention)>,
    /// How much more there is of it.
    pub attention_more: usize,
}

/// The actor that looks.
pub struct Observer {
    registry: WeakAddr<Registry>,
    directory: Arc<AtomicU64>,
    observing: Observing,
    /// The directory's version when the topics were asked for.
    known: u64,
    topics: BTreeMap<u32, Seen>,
    by_name: FxHashMap<TopicName, u32>,
    /// Topics in which something happened of late.
    hot: Vec<u32>,
    /// Topics with a history.
    trailed: usize,
    /// The first look.
    begun: Timestamp,
    /// How many times it was too early for it; none is left when it is done.
    too_early: Option<u32>,
    /// Seconds since then.
    second: u64,
    totals: Totals,
    counted: Counted,
    short: Trail,
    long: Trail,
    ticks: watch::Sender<u64>,
}

impl Observer {
    /// Starts it, to be followed by [`BeginToLook`]; what it tells from then on: the number of looks so
    /// far.
    pub fn start_with(
        registry: &Addr<Registry>,
        directory: Arc<AtomicU64>,
        observing: Observing,
    ) -> (Addr<Observer>, watch::Receiver<u64>) {
        let (ticks, told) = watch::channel(0);
        let observer = Observer {
            registry: registry.downgrade(),
            directory,
            observing,
            known: u64::MAX,
            topics: BTreeMap::new(),
            by_name: FxHashMap::default(),
            hot: Vec::new(),
            trailed: 0,
            begun: clock::now(),
            too_early: Some(0),
            second: 0,
            totals: Totals::default(),
            counted: Counted::default(),
            short: Trail::dense(SHORT.0, SHORT.1, 0),
            long: Trail::dense(LONG.0, LONG.1, 0),
            ticks,
        };
        (observer.start(), told)
    }

    /// One look. What the registry has is asked for only when it has changed.
    fn look(&mut self, ctx: &mut Context<Self>) {
        let version = self.directory.load(Relaxed);
        if version == self.known {
            return self.sample(ctx);
        }
        let Some(registry) = self.registry.upgrade() else { return ctx.stop() };
        let listing = registry.send(ListTopics).into_actor(self);
        ctx.wait(listing.map(move |entries, observer, ctx| match entries {
            Ok(entries) => {
                observer.known = version;
                observer.learn(entries);
                observer.sample(ctx);
            }
            Err(_) => ctx.stop(),
        }));
    }

    fn learn(&mut self, entries: Vec<TopicEntry>) {
        let mut before = std::mem::take(&mut self.topics);
        self.by_name.clear();
        for entry in entries {
            let number = entry.definition.number;
            self.by_name.insert(entry.definition.name.clone(), number);
            let seen = match before.remove(&number) {
                Some(seen) => Seen { entry, ..seen },
                None => Seen::new(entry),
            };
            self.topics.insert(number, seen);
        }
        self.trailed = self.topics.values().filter(|seen| seen.trails.is_some()).count();
    }

    /// Until the topics that the store knew have told their figures there is nothing to see: the
    /// history would begin with none.
    fn is_too_early(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some(times) = self.too_early else { return false };
        let silent = self.topics.values().any(|seen| seen.entry.gauge.version() == 0);
        if silent && times < FIRST.1 {
            self.too_early = Some(times + 1);
            ctx.run_later(FIRST.0, Observer::look);
            return true;
        }
        (self.too_early, self.begun) = (None, clock::now());
        ctx.run_interval(EVERY, Observer::look);
        false
    }

    fn sample(&mut self, ctx: &mut Context<Self>) {
        if self.is_too_early(ctx) {
            return;
        }
        let now = clock::now();
        // To the nearest: a tick comes a little early or late.
        let second = (now.since_ms(self.begun) + 500) / 1000;
        let before = Timestamp(now.0 - 1000);
        let mut happened = Counted::default();
        let mut totals = Totals { topics: self.topics.len(), ..Totals::default() };
        for (number, seen) in &mut self.topics {
            let version = seen.entry.gauge.version();
            if version != seen.version {
                let reading = seen.entry.gauge.read();
                let more = reading.counted.since(&seen.reading.counted);
                happened = happened.plus(&more);
                if more != Counted::default() {
                    let counted = seen.reading.counted;
                    seen.meter.tick(before, || counted);
                    if !std::mem::replace(&mut seen.hot, true) {
                        self.hot.push(*number);
                    }
                }
                let idle = seen.trails.is_none() && more == Counted::default();
                let empty = idle && reading.counts == Counts::default();
                if seen.trails.is_none() && !empty && self.trailed < self.observing.history_topics {
                    self.trailed += 1;
                    let trail = |(step_s, steps)| Trail::sparse(step_s, steps, second);
                    seen.trails = Some(Box::new((trail(TOPIC_SHORT), trail(TOPIC_LONG))));
                }
                if let Some((short, long)) = seen.trails.as_deref_mut() {
                    short.note(second, &reading.counts, &more);
                    long.note(second, &reading.counts, &more);
                }
                (seen.reading, seen.version) = (reading, version);
            }
            let reading = &seen.reading;
            totals.counts = totals.counts.plus(&reading.counts);
            let pubsub = seen.entry.definition.kind == Kind::Pubsub;
            totals.queues += if pubsub { 1 } else { reading.queues };
            totals.subscribers += reading.subscribers;
            totals.consumers += reading.consumers;
            totals.waiting += reading.waiting;
        }
        let topics = &mut self.topics;
        self.hot.retain(|number| {
            let Some(seen) = topics.get_mut(number) else { return false };
            seen.rates = seen.meter.rates(now, seen.reading.counted);
            totals.rates = totals.rates.plus(&seen.rates);
            seen.hot = !seen.meter.is_quiet(now);
            seen.hot
        });
        self.counted = self.counted.plus(&happened);
        (self.totals, self.second) = (totals, second);
        self.short.note(second, &totals.counts, &happened);
        self.long.note(second, &totals.counts, &happened);
        self.ticks.send_modify(|ticks| *ticks += 1);
    }

    /// The broker as a whole, and the topics with queues among those to look at.
    fn overview(&self) -> (Overview, Vec<TopicEntry>) {
        let now = clock::now();
        let mut attention: Vec<(&TopicEntry, Attention)> = Vec::new();
        for seen in self.topics.values() {
            let definition = &seen.entry.definition;
            let condition = Condition {
                reading: &seen.reading,
                ready_before: seen.ready_before(self.second),
                paused_in: definition.policy.paused_in,
                oldest_max_ms: self.observing.oldest_max_ms,
            };
            attention::of_topic(now, condition, |one| attention.push((&seen.entry, one)));
        }
        attention.sort_by(|(_, one), (_, other)| {
            let worst = other.severity.cmp(&one.severity);
            worst.then_with(|| other.value.cmp(&one.value))
        });
        let attention_more = attention.len().saturating_sub(ATTENTION_MAX);
        attention.truncate(ATTENTION_MAX);
        let with_queues: BTreeMap<u32, &TopicEntry> = attention
            .iter()
            .filter(|(entry, _)| entry.definition.kind == Kind::Broker)
            .map(|(entry, _)| (entry.definition.number, *entry))
            .collect();
        let topics = with_queues.into_values().cloned().collect();
        let name = |entry: &TopicEntry| entry.definition.name.clone();
        let attention = attention.into_iter().map(|(entry, one)| (name(entry), one)).collect();
        (Overview { totals: self.totals, attention, attention_more }, topics)
    }
}

impl Actor for Observer {
    type Context = Context<Self>;
}

/// To the observer: the topics that the store knew are there.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BeginToLook;

impl Handler<BeginToLook> for Observer {
    type Result = ();

    fn handle(&mut self, _: BeginToLook, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

/// To the observer: the broker as a whole.
#[derive(Message)]
#[rtype(result = "(Overview, Vec<TopicEntry>)")]
pub(super) struct LookAtAll;

impl Handler<LookAtAll> for Observer {
    type Result = MessageResult<LookAtAll>;

    fn handle(&mut self, _: LookAtAll, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.overview())
    }
}

/// To the observer: some topics.
#[derive(Message)]
#[rtype(result = "TopicsPage")]
pub(super) struct LookAtTopics(pub TopicsQuery);

impl Handler<LookAtTopics> for Observer {
    type Result = MessageResult<LookAtTopics>;

    fn handle(&mut self, LookAtTopics(query): LookAtTopics, _: &mut Context<Self>) -> Self::Result {
        let second = self.second;
        MessageResult(pages::page(&query, self.topics.values(), second))
    }
}

/// To the observer: the topics with dead letters, those with most first, at most so many; and how many
/// there are.
#[derive(Message)]
#[rtype(result = "(Vec<TopicEntry>, usize)")]
pub(super) struct LookAtDead(pub usize);

impl Handler<LookAtDead> for Observer {
    type Result = MessageResult<LookAtDead>;

    fn handle(&mut self, LookAtDead(max): LookAtDead, _: &mut Context<Self>) -> Self::Result {
        let dead = |seen: &&Seen| seen.reading.counts.dead > 0;
        let mut found: Vec<&Seen> = self.topics.values().filter(dead).collect();
        found.sort_by_key(|seen| std::cmp::Reverse(seen.reading.counts.dead));
        let count = found.len();
        let entries = found.into_iter().take(max).map(|seen| seen.entry.clone()).collect();
        MessageResult((entries, count))
    }
}

/// How far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
pub enum Span {
    /// Ten minutes.
    #[serde(rename = "10m")]
    TenMinutes,
    /// A day.
    #[serde(rename = "24h")]
    Day,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// How long a step is.
    pub step_ms: u64,
    /// When the last of them ended.
    pub end: Timestamp,
    /// Oldest first; `None`: the broker did not look.
    pub points: Vec<Option<Point>>,
}

/// To the observer: what happened in the broker, or in one topic.
#[derive(Message)]
#[rtype(result = "History")]
pub(super) struct LookBack(pub Option<TopicName>, pub Span);

impl Handler<LookBack> for Observer {
    type Result = MessageResult<LookBack>;

    fn handle(&mut self, LookBack(topic, span): LookBack, _: &mut Context<Self>) -> Self::Result {
        let second = self.second;
        let of = |trail: &Trail| History {
            step_ms: trail.step_s() * 1000,
            end: self.begun.after(Duration::from_secs(trail.end(second))),
            points: trail.last(second, trail.steps()),
        };
        let Some(topic) = topic else {
            return MessageResult(match span {
                Span::TenMinutes => of(&self.short),
                Span::Day => of(&self.long),
            });
        };
        let seen = self.by_name.get(&topic).and_then(|number| self.topics.get(number));
        let trails = seen.and_then(|seen| seen.trails.as_deref());
        let (step_s, steps) = match span {
            Span::TenMinutes => TOPIC_SHORT,
            Span::Day => TOPIC_LONG,
        };
        // Nothing has happened there.
        let never = Trail::dense(step_s, steps, second);
        MessageResult(match (trails, span) {
            (Some((short, _)), Span::TenMinutes) => of(short),
            (Some((_, long)), Span::Day) => of(long),
            (None, _) => of(&never),
        })
    }
}
