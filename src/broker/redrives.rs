//! Redrives that go on by themselves, so many per second: dead letters come back no faster than their
//! consumers can bear. They are not stored: a restart ends them, and what is dead stays dead.

use super::{BrokerError, Search, TopicHandle};
use crate::queue::*;
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture,
};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Dead letters come back in steps this far apart, unless the rate is lower than one per step.
const STEP: Duration = Duration::from_millis(100);
/// Most of them in one step.
const STEP_MAX: u64 = 1000;
/// The highest rate.
pub const RATE_MAX: u64 = STEP_MAX * 10;
/// Redrives that have ended and are remembered.
const ENDED_MAX: usize = 1000;

/// What to do, and how fast.
#[derive(Debug, Clone)]
pub struct Running {
    /// Whose dead letters.
    pub queue: QueueName,
    /// Into which queue of the topic; `None`: the same.
    pub to: Option<QueueName>,
    /// Which.
    pub which: Which,
    /// How many per second, 1 to [`RATE_MAX`].
    pub rate_per_s: u64,
}

/// Which dead letters.
#[derive(Debug, Clone)]
pub enum Which {
    /// The oldest, at most so many.
    Oldest(u64),
    /// These.
    Ids(Vec<MessageId>),
    /// Those that pass, at most so many.
    Passing(Box<Sieve>, u64),
}

/// How far a redrive has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// It goes on.
    pub running: bool,
    /// Dead letters put back to work.
    pub done: u64,
    /// How many there were to be; `None`: not known, since each must be looked at.
    pub total: Option<u64>,
    /// Why it ended early.
    pub error: Option<BrokerError>,
}

struct Known {
    topic: TopicName,
    queue: QueueName,
    /// `None`: it has ended.
    task: Option<SpawnHandle>,
    done: Arc<AtomicU64>,
    total: Option<u64>,
    error: Option<BrokerError>,
}

impl Known {
    fn progress(&self) -> Progress {
        Progress {
            running: self.task.is_some(),
            done: self.done.load(Relaxed),
            total: self.total,
            error: self.error.clone(),
        }
    }
}

/// The actor that does them, by the number of the queue.
pub struct Redrives {
    max: usize,
    known: FxHashMap<u32, Known>,
    ended: VecDeque<u32>,
}

impl Redrives {
    /// Starts it; at most `max` redrives run at once.
    pub fn start_with(max: usize) -> Addr<Redrives> {
        Redrives { max, known: FxHashMap::default(), ended: VecDeque::new() }.start()
    }

    fn end(&mut self, number: u32, error: Option<BrokerError>) -> Option<SpawnHandle> {
        let known = self.known.get_mut(&number)?;
        known.error = error;
        let task = known.task.take()?;
        self.ended.push_back(number);
        if self.ended.len() > ENDED_MAX
            && let Some(oldest) = self.ended.pop_front()
            && self.known.get(&oldest).is_some_and(|known| known.task.is_none())
            && !self.ended.contains(&oldest)
        {
            self.known.remove(&oldest);
        }
        Some(task)
    }
}

impl Actor for Redrives {
    type Context = Context<Self>;
}

/// To the redrives: begin one. There is one at a time for each queue.
#[derive(Message)]
#[rtype(result = "Result<Progress, BrokerError>")]
pub struct StartRedrive {
    /// The queue's number.
    pub number: u32,
    /// Its topic.
    pub handle: TopicHandle,
    /// Dead letters that are there now.
    pub dead: u64,
    /// What to do.
    pub running: Running,
}

impl Handler<StartRedrive> for Redrives {
    type Result = Result<Progress, BrokerError>;

    fn handle(&mut self, start: StartRedrive, ctx: &mut Context<Self>) -> Self::Result {
        let StartRedrive { number, handle, dead, running } = start;
        if self.known.get(&number).is_some_and(|known| known.task.is_some()) {
            return Err(BrokerError::TooMany { what: "redrives of one queue at a time", limit: 1 });
        }
        let running_now = self.known.values().filter(|known| known.task.is_some()).count();
        if running_now >= self.max {
            return Err(BrokerError::TooMany { what: "redrives at a rate", limit: self.max });
        }
        let total = match &running.which {
            Which::Oldest(max) => Some(dead.min(*max)),
            Which::Ids(ids) => Some(ids.len() as u64),
            Which::Passing(_, _) => None,
        };
        let done = Arc::new(AtomicU64::new(0));
        let (topic, queue) = (handle.name().clone(), running.queue.clone());
        let task = run(handle, running, dead, done.clone()).into_actor(self);
        let task = ctx.spawn(task.map(move |ended, redrives, _| {
            redrives.end(number, ended.err());
        }));
        let known = Known { topic, queue, task: Some(task), done, total, error: None };
        let progress = known.progress();
        self.known.insert(number, known);
        Ok(progress)
    }
}

/// Puts dead letters back to work, step by step.
async fn run(
    handle: TopicHandle,
    running: Running,
    dead: u64,
    done: Arc<AtomicU64>,
) -> Result<(), BrokerError> {
    let Running { queue, to, which, rate_per_s } = running;
    let rate = rate_per_s.clamp(1, RATE_MAX);
    let step = (rate / 10).max(1);
    // A lower rate has longer steps.
    let pause = STEP.max(Duration::from_secs(step) / u32::try_from(rate).unwrap_or(1));
    let mut beat = tokio::time::interval(pause);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let most = match &which {
        Which::Oldest(max) | Which::Passing(_, max) => dead.min(*max),
        Which::Ids(ids) => ids.len() as u64,
    };
    let mut ids = match &which {
        Which::Ids(ids) => ids.clone().into(),
        Which::Oldest(_) | Which::Passing(_, _) => VecDeque::new(),
    };
    let (mut after, mut looked) = (None, 0);
    loop {
        let left = most - done.load(Relaxed).min(most);
        let now = step.min(left) as usize;
        if now == 0 {
            return Ok(());
        }
        beat.tick().await;
        let (moved, more) = match &which {
            Which::Oldest(_) => {
                let selection = Selection::Oldest(now);
                let moved = handle.redrive(&queue, selection, to.as_ref()).await?;
                (moved, moved > 0)
            }
            Which::Ids(_) => {
                let some = ids.drain(..now.min(ids.len())).collect();
                let moved = handle.redrive(&queue, Selection::Ids(some), to.as_ref()).await?;
                (moved, !ids.is_empty())
            }
            Which::Passing(sieve, _) => {
                let search = Search {
                    queue: Some(queue.clone()),
                    state: State::Dead,
                    after,
                    sieve: (**sieve).clone(),
                    limit: now,
                };
                let (moved, found) = handle.redrive_found(&queue, search, to.as_ref()).await?;
                after = found.next;
                looked += found.scanned as u64;
                // Those that died since are not meant.
                (moved, after.is_some() && looked < dead)
            }
        };
        done.fetch_add(moved, Relaxed);
        if !more {
            return Ok(());
        }
    }
}

/// To the redrives: how far is the last one of this queue?
#[derive(Message)]
#[rtype(result = "Option<Progress>")]
pub struct RedriveOf(pub u32);

impl Handler<RedriveOf> for Redrives {
    type Result = Option<Progress>;

    fn handle(&mut self, RedriveOf(number): RedriveOf, _: &mut Context<Self>) -> Self::Result {
        self.known.get(&number).map(Known::progress)
    }
}

/// To the redrives: all that run, and of which queue of which topic.
#[derive(Message)]
#[rtype(result = "Vec<(TopicName, QueueName, Progress)>")]
pub struct RunningRedrives;

impl Handler<RunningRedrives> for Redrives {
    type Result = Vec<(TopicName, QueueName, Progress)>;

    fn handle(&mut self, _: RunningRedrives, _: &mut Context<Self>) -> Self::Result {
        let running = self.known.values().filter(|known| known.task.is_some());
        let shown = |known: &Known| (known.topic.clone(), known.queue.clone(), known.progress());
        running.map(shown).collect()
    }
}

/// To the redrives: end the one of this queue. False when none runs.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct StopRedrive(pub u32);

impl Handler<StopRedrive> for Redrives {
    type Result = bool;

    fn handle(&mut self, StopRedrive(number): StopRedrive, ctx: &mut Context<Self>) -> bool {
        match self.end(number, None) {
            Some(task) => ctx.cancel_future(task),
            None => false,
        }
    }
}
