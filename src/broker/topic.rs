//! One topic as an actor: its engine, its live subscribers, its waiting receivers, its one timer.
//!
//! A turn is what happens between two moments at which the mailbox is empty. At its end the
//! subscribers are pushed to, the receivers served, the timer set: so everything that came in
//! together leaves together.
//!
//! A panic inside a verb costs neither the process nor another topic: it is caught, the batch
//! answers `unavailable`, and the engine is built anew from what is durable while the mailbox
//! waits.
//!
//! Here are a topic's state and its turns; `ops.rs` is what each op of a job asks the engine, `pushing.rs`
//! the subscribers, `serving.rs` who waits, `reshaping.rs` changes of the topic itself, `failing.rs` its
//! panics, `alarm.rs` its timer, `figures.rs` what it shows of itself.

mod alarm;
mod failing;
mod figures;
mod ops;
mod pushing;
mod reshaping;
mod serving;

use super::gauge::{Gauge, Notes};
use super::messages::*;
use super::rates::{Counted, Meter};
use super::registry::Registry;
use super::subscribers::{PushSource, Subscribers};
use super::waiters::Waiters;
use super::{BrokerError, Limits, clock};
use crate::engine::{Answer, Engine, EngineFactory};
use crate::queue::*;
use actix::{Actor, AsyncContext, Context, Handler, Running, WeakAddr};
use alarm::Alarm;
use futures_util::future::LocalBoxFuture;
use ops::{Asker, Outcome};
use rustc_hash::FxHashMap;
use std::{
    cell::Cell,
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

enum Phase {
    Running(Box<dyn Engine>),
    /// Failed; the engine is being built anew.
    Rebuilding,
    /// Failed too often.
    Failed,
    /// Deleted or stopped: takes nothing more, but answers may still hang on a commit.
    Closing {
        engine: Box<dyn Engine>,
        deleted: bool,
    },
}

/// The actor of one topic.
pub struct TopicActor {
    definition: Arc<TopicDefinition>,
    phase: Phase,
    factory: Arc<dyn EngineFactory>,
    registry: WeakAddr<Registry>,
    limits: Arc<Limits>,
    /// How many messages of other topics are here, for all to see.
    strangers: Arc<AtomicU64>,
    /// Its figures, for all to see.
    gauge: Notes,
    subscribers: Subscribers,
    waiters: Waiters,
    /// How many connections consume a queue, by its number.
    consumers: FxHashMap<u32, u64>,
    /// Something became ready since the waiters were served.
    ready: bool,
    /// Jobs since the last yield.
    work: usize,
    /// Messages of those since the last yield.
    messages: usize,
    /// Messages published since the start; also in the hands of answers that are still to come.
    published: Rc<Cell<u64>>,
    /// What happened per second of late.
    meter: Meter,
    /// Bytes published since the start, to measure how far a subscriber lags.
    pushed_bytes: u64,
    /// Through which door the job under way came.
    door: Option<Door>,
    failures: VecDeque<Timestamp>,
    restarts: u64,
}

impl TopicActor {
    /// A topic around an engine.
    pub fn new(
        engine: Box<dyn Engine>,
        factory: Arc<dyn EngineFactory>,
        registry: WeakAddr<Registry>,
        limits: Arc<Limits>,
        strangers: Arc<AtomicU64>,
        gauge: Arc<Gauge>,
    ) -> Self {
        let definition = Arc::new(engine.definition().clone());
        let source = PushSource {
            topic: definition.name.clone(),
            epoch: definition.epoch,
            label: None,
            masked: None,
        };
        TopicActor {
            definition,
            phase: Phase::Running(engine),
            factory,
            registry,
            limits,
            strangers,
            gauge: Notes::new(gauge),
            subscribers: Subscribers::new(source),
            waiters: Waiters::default(),
            consumers: FxHashMap::default(),
            ready: false,
            work: 0,
            messages: 0,
            published: Rc::default(),
            meter: Meter::default(),
            pushed_bytes: 0,
            door: None,
            failures: VecDeque::new(),
            restarts: 0,
        }
    }

    fn engine(&mut self) -> Result<&mut Box<dyn Engine>, BrokerError> {
        match &mut self.phase {
            Phase::Running(engine) => Ok(engine),
            Phase::Rebuilding => Err(BrokerError::Unavailable),
            Phase::Failed => Err(BrokerError::TopicFailed),
            Phase::Closing { deleted: true, .. } => {
                Err(BrokerError::TopicNotFound(self.definition.name.clone()))
            }
            Phase::Closing { deleted: false, .. } => Err(BrokerError::Stopping),
        }
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        let bell = ctx.address().downgrade();
        if let Phase::Running(engine) = &mut self.phase {
            engine.connect(Arc::new(move || {
                if let Some(topic) = bell.upgrade() {
                    topic.do_send(Settle);
                }
            }));
            engine.flush(clock::now());
        }
    }

    /// Does a job; answers the replies that are still to come, by slot, and whether each may be given up.
    fn run(&mut self, job: &mut Job) -> Vec<(usize, LocalBoxFuture<'static, Reply>, bool)> {
        let now = clock::now();
        self.door = job.door();
        if let Phase::Running(engine) = &mut self.phase {
            engine.through(job.door());
            let (published, pushed) = (self.published.get(), self.subscribers.pushed);
            let missed = self.subscribers.dropped;
            self.meter.tick(now, || Counted::new(published, pushed, missed, &engine.totals()));
        }
        let asker = Asker { abandoned: job.is_abandoned(), sees: job.sees };
        let mut later = Vec::new();
        let mut reader: Option<Cursor> = None;
        for (at, slot) in job.slots().iter_mut().enumerate() {
            if let Slot::Op(op) = slot {
                let op = std::mem::replace(op, Op::Ack(Vec::new()));
                self.messages = self.messages.saturating_add(op.messages());
                match self.perform(now, op, asker, &mut reader) {
                    Outcome::Now(reply) => *slot = Slot::Reply(reply),
                    Outcome::Later(reply) => later.push((at, reply, false)),
                    Outcome::Awaited(reply) => later.push((at, reply, true)),
                }
                // What is behind it goes back as it came.
                if reader.is_some_and(|cursor| cursor.cut) {
                    break;
                }
            }
        }
        if let Phase::Running(engine) = &mut self.phase {
            engine.flush(now);
        }
        later
    }

    /// What follows everything: pushes, waiters, departures.
    fn end_turn(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        // An address costs something, and a turn is short.
        let own = (!self.waiters.is_empty()).then(|| ctx.address());
        self.guarded(ctx, |topic| {
            if let Phase::Running(engine) = &mut topic.phase
                && engine.next_deadline().is_some_and(|deadline| deadline <= now)
            {
                topic.gauge.changed();
                let advanced = engine.expire(now);
                topic.ready |= advanced.ready;
            }
            match own {
                Some(own) => {
                    if let Phase::Running(engine) = &mut topic.phase {
                        topic.ready |= engine.take_freed();
                    }
                    let waiting = topic.waiters.len();
                    topic.serve_waiters(now, &own);
                    if topic.waiters.len() != waiting {
                        topic.gauge.changed();
                    }
                }
                None => topic.ready = false,
            }
        });
        self.guarded_push(now, ctx);
        // Somebody who is joining has claimed what it has not been sent yet.
        if self.subscribers.joining == 0
            && let Phase::Running(engine) = &mut self.phase
        {
            engine.hold_from(self.subscribers.floor());
        }
        if let Phase::Running(engine) = &self.phase {
            self.strangers.store(engine.strangers(), Relaxed);
        }
        self.note(now);
        let leaving = match &mut self.phase {
            Phase::Running(engine) => engine.departures(),
            Phase::Rebuilding | Phase::Failed | Phase::Closing { .. } => Vec::new(),
        };
        if !leaving.is_empty()
            && let Some(registry) = self.registry.upgrade()
        {
            registry.do_send(Departed(leaving));
        }
    }
}

impl Actor for TopicActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Batches travel under credits of the sessions; the mailbox is no bound (see the room's doc).
        ctx.set_mailbox_capacity(1024);
        self.connect(ctx);
        ctx.spawn(Alarm { sleep: None });
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}

impl Handler<Job> for TopicActor {
    type Result = ();

    fn handle(&mut self, mut job: Job, ctx: &mut Context<Self>) {
        match self.guarded(ctx, |topic| topic.run(&mut job)) {
            None => job.fail(&BrokerError::Unavailable),
            Some(later) if later.is_empty() => self.take_back(job.finish(), ctx),
            Some(later) => drop(actix::spawn({
                let topic = ctx.address();
                async move {
                    for (at, reply, may_be_given_up) in later {
                        let reply = tokio::select! {
                            biased;
                            reply = reply => reply,
                            // It leaves its place to others.
                            () = job.abandoned(), if may_be_given_up => continue,
                        };
                        if let Some(slot) = job.slots().get_mut(at) {
                            *slot = Slot::Reply(reply);
                        }
                    }
                    let unread = job.finish();
                    if !unread.is_empty() {
                        topic.do_send(Unread(unread));
                    }
                }
            })),
        }
        self.spend(ctx);
    }
}

impl Handler<Settle> for TopicActor {
    type Result = ();

    fn handle(&mut self, _: Settle, ctx: &mut Context<Self>) {
        self.guarded(ctx, |topic| {
            if let Phase::Running(engine) | Phase::Closing { engine, .. } = &mut topic.phase {
                engine.settle(clock::now());
            }
        });
        self.ready = true;
        self.spend(ctx);
    }
}
