//! One topic as an actor: its engine, its live subscribers, its waiting receivers, its one timer.
//!
//! A turn is what happens between two moments at which the mailbox is empty. At its end the
//! subscribers are pushed to, the receivers served, the timer set: so everything that came in
//! together leaves together.
//!
//! A panic inside a verb costs neither the process nor another topic: it is caught, the batch
//! answers `unavailable`, and the engine is built anew from what is durable while the mailbox
//! waits.

use super::gauge::{Gauge, Notes, Reading};
use super::messages::*;
use super::rates::{Counted, Meter};
use super::registry::Registry;
use super::subscribers::{Ended, Joins, PushSource, Round, Subscribers, Want};
use super::waiters::{Waiters, What};
use super::{BrokerError, Limits, clock};
use crate::engine::{Answer, Each, Engine, EngineError, EngineFactory, QueueFigures};
use crate::engine::{Start, Whole};
use crate::queue::*;
use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler,
    ResponseActFuture, ResponseFuture, Running, Supervised, WeakAddr, WrapFuture,
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use rustc_hash::FxHashMap;
use std::{
    cell::Cell,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
};
use tokio::sync::oneshot;

/// Jobs after which the actor lets others on its arbiter run: a busy mailbox never yields by itself.
const YIELD_AFTER: usize = 64;
/// A topic that fails this often...
const FAILURES_MAX: usize = 3;
/// ... within this time is given up.
const FAILURES_WITHIN_MS: u64 = 60_000;
/// Messages read at a time to push to a subscriber.
const PUSH_BATCH: usize = 4096;

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

/// Who asks for an op.
#[derive(Clone, Copy)]
struct Asker {
    /// Nobody waits for the reply any more, so nothing is handed out.
    abandoned: bool,
    /// It is shown payloads that the topic masks.
    sees: bool,
}

/// A reply that is there, or one that will be.
enum Outcome {
    Now(Reply),
    Later(LocalBoxFuture<'static, Reply>),
    /// One that will be when there is something; given up when nobody waits for it any more.
    Awaited(LocalBoxFuture<'static, Reply>),
}

impl Outcome {
    fn of<T: 'static>(answer: Answer<T>, into_reply: impl FnOnce(T) -> Reply + 'static) -> Outcome {
        match answer {
            Answer::Now(value) => Outcome::Now(into_reply(value)),
            Answer::Later(value) => Outcome::Later(Box::pin(async move {
                value.await.map_or(Reply::Failed(BrokerError::Unavailable), into_reply)
            })),
        }
    }

    fn each(answer: Answer<Each<()>>, places: Vec<Option<BrokerError>>) -> Outcome {
        Outcome::of(answer, move |results| Reply::Done(merge(results, places)))
    }
}

/// Puts the engine's results between the items that never reached it.
fn merge<T>(results: Each<T>, places: Vec<Option<BrokerError>>) -> Vec<Result<T, BrokerError>> {
    let mut results = results.into_iter();
    places
        .into_iter()
        .map(|refused| match refused {
            Some(error) => Err(error),
            None => results
                .next()
                .map_or(Err(BrokerError::Unavailable), |result| result.map_err(BrokerError::from)),
        })
        .collect()
}

fn whole<T>(into_reply: impl FnOnce(T) -> Reply) -> impl FnOnce(Result<T, EngineError>) -> Reply {
    move |result| match result {
        Ok(value) => into_reply(value),
        Err(error) => Reply::Failed(error.into()),
    }
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

    /// Runs `work` with the engine; a panic in it puts the topic out of service until it is rebuilt.
    fn guarded<T>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(value) => Some(value),
            Err(_) => {
                self.fail(ctx);
                None
            }
        }
    }

    fn fail(&mut self, ctx: &mut Context<Self>) {
        let now = clock::now();
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now.since_ms(*first) > FAILURES_WITHIN_MS) {
            self.failures.pop_front();
        }
        self.waiters.end_all(&Reply::Failed(BrokerError::Unavailable));
        // Half-applied memory is never trusted, not even to be dropped in order.
        let broken = std::mem::replace(&mut self.phase, Phase::Rebuilding);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        if self.failures.len() >= FAILURES_MAX {
            log::error!(
                "topic {}: failed {FAILURES_MAX} times in a minute, given up",
                self.definition.name
            );
            self.phase = Phase::Failed;
            self.subscribers.end_all(Ended::Stopped);
        } else {
            log::error!(
                "topic {}: failed, is being rebuilt from what is durable",
                self.definition.name
            );
        }
        // The supervisor calls `restarting` on the same struct and mailbox.
        ctx.stop();
    }

    fn rebuild(&mut self, ctx: &mut Context<Self>) {
        let (factory, definition) = (self.factory.clone(), self.definition.clone());
        let building = tokio::task::spawn_blocking(move || factory.rebuild(&definition));
        // The mailbox waits until the engine is there.
        ctx.wait(building.into_actor(self).map(|built, topic, ctx| {
            topic.restarts += 1;
            match built {
                Ok(Ok(engine)) => topic.install(engine, ctx),
                Ok(Err(error)) => {
                    log::error!("topic {}: cannot be rebuilt: {error}", topic.definition.name);
                    topic.phase = Phase::Failed;
                }
                Err(_) => topic.phase = Phase::Failed,
            }
        }));
    }

    fn install(&mut self, engine: Box<dyn Engine>, ctx: &mut Context<Self>) {
        let (epoch, committed) = (engine.definition().epoch, engine.committed());
        if epoch != self.definition.epoch {
            self.subscribers.new_epoch(epoch, committed + 1);
        }
        self.definition = Arc::new(engine.definition().clone());
        self.phase = Phase::Running(engine);
        self.connect(ctx);
        self.gauge.changed();
        self.ready = true;
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

    fn queue(&self, engine: &dyn Engine, name: Option<&QueueName>) -> Result<u32, BrokerError> {
        if self.definition.kind == Kind::Pubsub {
            return match name {
                None => Ok(0),
                Some(_) => Err(Refusal::QueueNotFound.into()),
            };
        }
        let number = match name {
            Some(name) => engine.queue_number(name),
            None => engine.queue_number(&QueueName::default_queue()),
        };
        number.ok_or(Refusal::QueueNotFound.into())
    }

    /// Does one op.
    fn perform(
        &mut self,
        now: Timestamp,
        op: Op,
        asker: Asker,
        reader: &mut Option<Cursor>,
    ) -> Outcome {
        match self.try_perform(now, op, asker, reader) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Now(Reply::Failed(error)),
        }
    }

    fn try_perform(
        &mut self,
        now: Timestamp,
        op: Op,
        asker: Asker,
        reader: &mut Option<Cursor>,
    ) -> Result<Outcome, BrokerError> {
        // The phase is taken out so that engine and actor can be used side by side.
        self.engine()?;
        let mut phase = std::mem::replace(&mut self.phase, Phase::Rebuilding);
        let outcome = match &mut phase {
            Phase::Running(engine) => self.with_engine(engine.as_mut(), now, op, asker, reader),
            Phase::Rebuilding | Phase::Failed | Phase::Closing { .. } => {
                Err(BrokerError::Unavailable)
            }
        };
        self.phase = phase;
        outcome
    }

    fn with_engine(
        &mut self,
        engine: &mut dyn Engine,
        now: Timestamp,
        op: Op,
        Asker { abandoned, sees }: Asker,
        reader: &mut Option<Cursor>,
    ) -> Result<Outcome, BrokerError> {
        let masks = self.definition.policy.mask_payloads && !sees;
        let shown = move |view: View| if masks { view.veiled() } else { view };
        let all_shown = move |views: Vec<View>| match masks {
            true => views.into_iter().map(shown).collect(),
            false => views,
        };
        Ok(match op {
            Op::Publish { to, messages } => {
                let to = match &to {
                    Some(_) => Some(self.queue(engine, to.as_ref())?),
                    None => None,
                };
                self.ready = true;
                self.publish(engine, now, to, messages)
            }
            Op::PublishCopies(message) => {
                let (size, limit) = (message.body.len(), self.limits.body_bytes_max);
                if size > limit {
                    return Err(BrokerError::TooLarge { size, limit });
                }
                self.ready = true;
                Outcome::of(engine.publish_copies(now, message), whole(Reply::Copies))
            }
            Op::Receive { queue, request, wait } => {
                if abandoned {
                    return Ok(Outcome::Now(Reply::Delivered(Vec::new())));
                }
                let queue = self.queue(engine, queue.as_ref())?;
                return self.receive(engine, now, queue, request, wait);
            }
            Op::Ack(named) => {
                let (references, places) = self.references(engine, named, |named| (named, ()));
                let references = references.into_iter().map(|(reference, ())| reference).collect();
                Outcome::each(engine.ack(now, references), places)
            }
            Op::AckIds { queue, ids } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.ack_ids(now, queue, &ids), |results| {
                    let results = results.into_iter();
                    Reply::Done(results.map(|result| result.map_err(BrokerError::from)).collect())
                })
            }
            Op::Nack(named) => {
                self.ready = true;
                let (references, places) = self.references(engine, named, |item| item);
                Outcome::each(engine.nack(now, references), places)
            }
            Op::Extend(named) => {
                let (references, places) = self.references(engine, named, |item| item);
                Outcome::of(engine.extend(now, references), move |results| {
                    Reply::Extended(merge(results, places))
                })
            }
            Op::Delete { queue, ids } => {
                let places = ids.iter().map(|_| None).collect();
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::each(engine.delete(now, queue, ids), places)
            }
            Op::Delay { queue, ids, delay } => {
                self.ready = true;
                let places = ids.iter().map(|_| None).collect();
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::each(engine.delay(now, queue, ids, delay), places)
            }
            Op::Find { queue, id } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(
                    engine.find(queue, id),
                    whole(move |view| Reply::Views(vec![shown(view)])),
                )
            }
            Op::Peek { queue, end, max } => {
                let queue = self.queue(engine, queue.as_ref())?;
                let max = max.min(self.limits.batch_max);
                let bytes_max = self.limits.receive_bytes_max;
                Outcome::of(
                    engine.peek(queue, end, max, bytes_max),
                    whole(move |views| Reply::Views(all_shown(views))),
                )
            }
            Op::List { queue, state, after, max } => {
                let queue = self.queue(engine, queue.as_ref())?;
                let max = max.min(self.limits.batch_max);
                let bytes_max = self.limits.list_step_bytes;
                let listed = engine.list(queue, state, after, max, bytes_max);
                Outcome::of(
                    listed,
                    whole(move |page: Page| {
                        Reply::Listed(Page { views: all_shown(page.views), next: page.next })
                    }),
                )
            }
            Op::Purge { queue } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.purge(now, queue), whole(Reply::Counted))
            }
            Op::Clear { queue } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.clear(now, queue), whole(Reply::Counted))
            }
            Op::Watch { queue, wait } => {
                let queue = self.queue(engine, queue.as_ref())?;
                if engine.is_ready(queue) || abandoned || wait.is_zero() {
                    return Ok(Outcome::Now(Reply::Ready(engine.is_ready(queue))));
                }
                return self.wait(queue, What::Notice, now.after(wait));
            }
            Op::Redrive { queue, selection, to } => {
                self.ready = true;
                let queue = self.queue(engine, queue.as_ref())?;
                let to = match &to {
                    Some(_) => Some(self.queue(engine, to.as_ref())?),
                    None => None,
                };
                Outcome::of(engine.redrive(now, queue, selection, to), whole(Reply::Counted))
            }
            Op::Transfer { queue, selection, to } => {
                self.ready = true;
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.transfer(now, queue, selection, to), whole(Reply::Counted))
            }
            Op::Counts { queue } => {
                let queue = self.queue(engine, queue.as_ref())?;
                let consumers = self.consumers.get(&queue).copied().unwrap_or(0);
                let waiting = self.waiters.receivers_at(queue) as u64;
                Outcome::of(
                    engine.counts(queue),
                    whole(move |figures| {
                        Reply::Figures(Box::new(QueueFigures { consumers, waiting, ..figures }))
                    }),
                )
            }
            Op::ReadAfter { queue, after, want, bytes_max } => {
                let queue = self.queue(engine, queue.as_ref())?;
                if let Some(number) = after {
                    let bytes_max = bytes_max.min(self.limits.receive_bytes_max);
                    *reader = Some(Cursor::behind(number, bytes_max));
                }
                let cursor = reader.as_mut().ok_or(Refusal::OutOfBounds("after"))?;
                let read = engine.read_after(now, queue, cursor, want);
                let Cursor { number: position, cut, .. } = *cursor;
                Outcome::of(read, whole(move |messages| Reply::Passed { messages, position, cut }))
            }
            Op::Read { from, max } => {
                let (max, bytes_max) =
                    (max.min(self.limits.batch_max), self.limits.receive_bytes_max);
                Outcome::of(engine.read(from, max, bytes_max), whole(Reply::Read))
            }
        })
    }

    fn publish(
        &mut self,
        engine: &mut dyn Engine,
        now: Timestamp,
        to: Option<u32>,
        messages: Vec<NewMessage>,
    ) -> Outcome {
        let limit = self.limits.body_bytes_max;
        self.pushed_bytes += messages.iter().map(|message| message.body.len() as u64).sum::<u64>();
        let listeners = !self.subscribers.is_empty();
        let published = self.published.clone();
        let count = move |results: &Each<Placed>| {
            let taken = |placed: &&Placed| !placed.duplicate;
            let count = results.iter().flatten().filter(taken).count();
            published.set(published.get() + count as u64);
        };
        if messages.iter().all(|message| message.body.len() <= limit) {
            return Outcome::of(engine.publish(now, to, messages, listeners), move |results| {
                count(&results);
                Reply::Published(
                    results.into_iter().map(|result| result.map_err(BrokerError::from)).collect(),
                )
            });
        }
        let refuse = |message: &NewMessage| {
            let size = message.body.len();
            (size > limit).then_some(BrokerError::TooLarge { size, limit })
        };
        let places: Vec<_> = messages.iter().map(refuse).collect();
        let fitting = messages.into_iter().filter(|message| message.body.len() <= limit).collect();
        Outcome::of(engine.publish(now, to, fitting, listeners), move |results| {
            count(&results);
            Reply::Published(merge(results, places))
        })
    }

    fn receive(
        &mut self,
        engine: &mut dyn Engine,
        now: Timestamp,
        queue: u32,
        mut request: Receive,
        wait: Option<std::time::Duration>,
    ) -> Result<Outcome, BrokerError> {
        request.max = request.max.min(self.limits.batch_max);
        request.bytes_max = request.bytes_max.min(self.limits.receive_bytes_max);
        let answer = engine.receive(now, queue, request.clone());
        let empty = matches!(&answer, Answer::Now(Ok(deliveries)) if deliveries.is_empty());
        let Some(wait) = wait.filter(|_| empty) else {
            return Ok(Outcome::of(answer, whole(Reply::Delivered)));
        };
        self.wait(queue, What::Messages(request), now.after(wait))
    }

    /// Lets a receiver or a watcher wait.
    fn wait(
        &mut self,
        queue: u32,
        what: What,
        deadline: Timestamp,
    ) -> Result<Outcome, BrokerError> {
        let limit = self.limits.waiters_max;
        let (to, reply) = oneshot::channel();
        if !self.waiters.push(queue, what, deadline, (to, self.door), limit) {
            return Err(BrokerError::TooMany { what: "waiting receivers", limit });
        }
        Ok(Outcome::Awaited(Box::pin(async move {
            reply.await.unwrap_or(Reply::Failed(BrokerError::Unavailable))
        })))
    }

    /// Queue names to numbers; what names no queue keeps its place as an error.
    fn references<I, X>(
        &self,
        engine: &dyn Engine,
        items: Vec<I>,
        split: impl Fn(I) -> (Named, X),
    ) -> (Vec<(Reference, X)>, Vec<Option<BrokerError>>) {
        let mut references = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            let (named, rest) = split(item);
            let reference = match named {
                Named::Receipt(receipt) => Ok(Reference::Receipt(receipt)),
                Named::Origin { queue, origin } => Ok(Reference::Origin { queue, origin }),
                Named::Id { queue, id } => {
                    self.queue(engine, queue.as_ref()).map(|queue| Reference::Id { queue, id })
                }
                Named::Anywhere { queue, id } => self
                    .queue(engine, queue.as_ref())
                    .map(|queue| Reference::Anywhere { queue, id }),
            };
            match reference {
                Ok(reference) => {
                    references.push((reference, rest));
                    places.push(None);
                }
                Err(error) => places.push(Some(error)),
            }
        }
        (references, places)
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

    /// Takes back what was handed out to sessions that are gone.
    fn take_back(&mut self, receipts: Vec<Receipt>, ctx: &mut Context<Self>) {
        if receipts.is_empty() {
            return;
        }
        self.gauge.changed();
        self.guarded(ctx, |topic| {
            if let Phase::Running(engine) = &mut topic.phase {
                let now = clock::now();
                give_back(engine.as_mut(), now, receipts);
                engine.flush(now);
                topic.ready = true;
            }
        });
    }

    /// Hands ready messages to those who wait for them, then tells of what is left.
    fn serve_waiters(&mut self, now: Timestamp, own: &Addr<Self>) {
        self.waiters.expire(now);
        if !std::mem::take(&mut self.ready) || self.waiters.is_empty() {
            return;
        }
        let Phase::Running(engine) = &mut self.phase else { return };
        for queue in self.waiters.queues() {
            while let Some((waiter, request)) = self.waiters.pop(queue) {
                engine.through(waiter.door);
                match engine.receive(now, queue, request) {
                    Answer::Now(Ok(deliveries)) if deliveries.is_empty() => {
                        self.waiters.put_back(queue, waiter);
                        break;
                    }
                    Answer::Now(result) => {
                        if let Err(Reply::Delivered(unread)) =
                            waiter.to.send(whole(Reply::Delivered)(result))
                        {
                            give_back(engine.as_mut(), now, receipts(unread));
                            self.ready = true;
                        }
                    }
                    Answer::Later(result) => {
                        let own = own.clone();
                        drop(actix::spawn(async move {
                            let reply = match result.await {
                                Ok(result) => whole(Reply::Delivered)(result),
                                Err(_) => Reply::Failed(BrokerError::Unavailable),
                            };
                            if let Err(Reply::Delivered(unread)) = waiter.to.send(reply) {
                                own.do_send(Unread(receipts(unread)));
                            }
                        }));
                    }
                }
            }
            if engine.is_ready(queue) {
                self.waiters.tell(queue);
            }
        }
        engine.flush(now);
    }

    /// Pushes what is committed to everybody who can take it.
    fn push(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        if self.subscribers.count() == 0 {
            return;
        }
        let Phase::Running(engine) = &mut self.phase else { return };
        let head = engine.committed();
        self.subscribers.masks = self.definition.policy.mask_payloads;
        let mut round = Round::default();
        for mut want in self.subscribers.wants(head) {
            loop {
                if !self.subscribers.send_shared(want, &round, self.pushed_bytes, now) {
                    match engine.read(want.from, PUSH_BATCH, self.limits.chunk_bytes) {
                        Answer::Now(Ok(batch)) => {
                            self.subscribers.send_read(
                                want,
                                &batch,
                                &mut round,
                                self.pushed_bytes,
                                now,
                            );
                        }
                        Answer::Now(Err(_)) => break,
                        Answer::Later(batch) => {
                            self.subscribers.set_loading(want.id, true);
                            ctx.spawn(actix::fut::wrap_future::<_, Self>(batch).map(
                                move |batch, topic, ctx| {
                                    topic.loaded(want, batch.ok().and_then(Result::ok), ctx);
                                },
                            ));
                            break;
                        }
                    }
                }
                match self.subscribers.want(want.id, head) {
                    Some(next) if next != want => want = next,
                    _ => break,
                }
            }
        }
        let stuck_ms = u64::try_from(self.limits.subscriber_stuck.as_millis()).unwrap_or(u64::MAX);
        self.subscribers.police(
            head,
            self.pushed_bytes,
            now,
            self.limits.subscriber_backlog_bytes,
            stuck_ms,
        );
    }

    fn loaded(&mut self, want: Want, batch: Option<ReadBatch>, ctx: &mut Context<Self>) {
        let now = clock::now();
        self.gauge.changed();
        match batch {
            Some(batch) => {
                self.subscribers.send_read(
                    want,
                    &batch,
                    &mut Round::default(),
                    self.pushed_bytes,
                    now,
                );
            }
            None => self.subscribers.set_loading(want.id, false),
        }
        self.end_turn(ctx);
    }

    /// Takes nothing more; everybody who waits is told why.
    fn close(&mut self, deleted: bool) {
        let (error, ended) = if deleted {
            (BrokerError::TopicNotFound(self.definition.name.clone()), Ended::TopicDeleted)
        } else {
            (BrokerError::Stopping, Ended::Stopped)
        };
        self.waiters.end_all(&Reply::Failed(error));
        self.subscribers.end_all(ended);
        self.phase = match std::mem::replace(&mut self.phase, Phase::Failed) {
            Phase::Running(engine) => Phase::Closing { engine, deleted },
            other => other,
        };
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

    /// Lets everybody see the figures, when they have changed and it is time again.
    fn note(&mut self, now: Timestamp) {
        let Phase::Running(engine) = &self.phase else { return };
        if !self.gauge.is_due(now) {
            return;
        }
        let sum = engine.sum();
        let (pushed, missed) = (self.subscribers.pushed, self.subscribers.dropped);
        self.gauge.write(
            now,
            &Reading {
                counted: Counted::new(self.published.get(), pushed, missed, &sum.totals),
                counts: sum.counts,
                queues: sum.queues,
                paused_in: sum.paused_in,
                paused_out: sum.paused_out,
                full_per_mille: sum.full_per_mille,
                subscribers: self.subscribers.count() as u64,
                lagging: self.subscribers.lagging() as u64,
                consumers: self.consumers.values().sum(),
                waiting: self.waiters.len() as u64,
            },
        );
    }

    fn guarded_push(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let pushed = catch_unwind(AssertUnwindSafe(|| self.push(now, ctx)));
        if pushed.is_err() {
            self.fail(ctx);
        }
    }

    /// Lets the other actors of the arbiter run after a stretch of work.
    fn spend(&mut self, ctx: &mut Context<Self>) {
        self.gauge.changed();
        self.work += 1;
        if self.work >= YIELD_AFTER {
            self.work = 0;
            self.end_turn(ctx);
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let engine = match &self.phase {
            Phase::Running(engine) => engine.next_deadline(),
            Phase::Rebuilding | Phase::Failed | Phase::Closing { .. } => None,
        };
        let stuck = (self.subscribers.lagging() > 0)
            .then(|| clock::now().after(self.limits.subscriber_stuck / 4));
        let running = matches!(self.phase, Phase::Running(_));
        let note = self.gauge.due().filter(|_| running);
        [engine, self.waiters.next_deadline(), stuck, note].into_iter().flatten().min()
    }

    fn figures(&mut self) -> Result<TopicFigures, BrokerError> {
        let (definition, kind) = (self.definition.clone(), self.definition.kind);
        let engine = self.engine()?;
        let mut counted = Vec::new();
        let mut add = |number, name, policy, answer| {
            if let Answer::Now(Ok(figures)) = answer {
                counted.push((number, name, policy, figures));
            }
        };
        if kind == Kind::Pubsub {
            let name = QueueName::default_queue();
            add(0, name, QueuePolicy::default(), engine.counts(0));
        }
        for queue in engine.queues() {
            add(queue.number, queue.name, queue.policy, engine.counts(queue.number));
        }
        let (committed, totals) = (engine.committed(), engine.totals());
        let (pushed, missed) = (self.subscribers.pushed, self.subscribers.dropped);
        let so_far = Counted::new(self.published.get(), pushed, missed, &totals);
        let whole = |(number, name, policy, figures)| {
            let consumers = self.consumers.get(&number).copied().unwrap_or(0);
            let waiting = self.waiters.receivers_at(number) as u64;
            (name, policy, QueueFigures { consumers, waiting, ..figures })
        };
        let queues = counted.into_iter().map(whole).collect();
        Ok(TopicFigures {
            definition: TopicDefinition::clone(&definition),
            queues,
            subscribers: self.subscribers.takers(),
            lagging: self.subscribers.lagging(),
            waiters: self.waiters.len(),
            published: self.published.get(),
            pushed: self.subscribers.pushed,
            push_dropped: self.subscribers.dropped,
            subscribers_dropped: self.subscribers.disconnected,
            restarts: self.restarts,
            committed,
            rates: self.meter.rates(clock::now(), so_far),
        })
    }
}

fn receipts(deliveries: Vec<Delivery>) -> Vec<Receipt> {
    deliveries.into_iter().filter_map(|delivery| delivery.receipt).collect()
}

/// To where they were, for others: what nobody got.
fn give_back(engine: &mut dyn Engine, now: Timestamp, receipts: Vec<Receipt>) {
    let unread = |receipt| (Reference::Receipt(receipt), Nack::Unread);
    let references: Vec<_> = receipts.into_iter().map(unread).collect();
    if !references.is_empty() {
        drop(engine.nack(now, references));
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

impl Supervised for TopicActor {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.phase, Phase::Rebuilding) {
            self.rebuild(ctx);
        }
    }
}

/// The one timer of a topic. Polled after the mailbox has been emptied, it ends the turn first.
struct Alarm {
    sleep: Option<(Timestamp, Pin<Box<tokio::time::Sleep>>)>,
}

impl ActorFuture<TopicActor> for Alarm {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        topic: &mut TopicActor,
        ctx: &mut Context<TopicActor>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        let answered = std::mem::take(&mut topic.work) > 0;
        if answered && topic.subscribers.count() == 0 && topic.waiters.is_empty() {
            // Nobody else waits for this turn: who got an answer is let run first.
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        topic.end_turn(ctx);
        let Some(due) = topic.next_wake() else {
            self.sleep = None;
            return Poll::Pending;
        };
        let instant = tokio::time::Instant::from_std(clock::instant_of(due));
        match &mut self.sleep {
            Some((set, _)) if *set == due => (),
            Some((set, sleep)) => {
                *set = due;
                sleep.as_mut().reset(instant);
            }
            None => self.sleep = Some((due, Box::pin(tokio::time::sleep_until(instant)))),
        }
        if let Some((_, sleep)) = &mut self.sleep
            && sleep.as_mut().poll_unpin(task).is_ready()
        {
            // Due now: come back for it after the others on this arbiter.
            self.sleep = None;
            task.waker().wake_by_ref();
        }
        Poll::Pending
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

impl Handler<Unread> for TopicActor {
    type Result = ();

    fn handle(&mut self, Unread(receipts): Unread, ctx: &mut Context<Self>) {
        self.take_back(receipts, ctx);
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

impl Handler<Subscribe> for TopicActor {
    type Result = ResponseActFuture<Self, Result<super::Subscription, BrokerError>>;

    fn handle(&mut self, request: Subscribe, ctx: &mut Context<Self>) -> Self::Result {
        let (position, takes) = (request.position, request.how == Part::Takes);
        let started = self.guarded(ctx, |topic| {
            if topic.definition.kind != Kind::Pubsub {
                return Err(Refusal::WrongKind.into());
            }
            let now = clock::now();
            let epoch = topic.definition.epoch;
            let engine = topic.engine()?;
            if position.is_none() && !takes {
                // The backlog stays for those who take.
                let next = engine.committed() + 1;
                return Ok(Answer::Now(Ok(Start { backlog: Vec::new(), next, gap: None, epoch })));
            }
            let answer = engine.resume(now, position);
            engine.flush(now);
            Ok(answer)
        });
        self.subscribers.joining += usize::from(takes);
        let start = async move {
            match started {
                None => Err(BrokerError::Unavailable),
                Some(Err(error)) => Err(error),
                Some(Ok(answer)) => match answer.get().await {
                    Some(start) => start.map_err(BrokerError::from),
                    None => Err(BrokerError::Unavailable),
                },
            }
        };
        let joins = Joins { look: request.look, slow: request.slow, part: request.how };
        Box::pin(start.into_actor(self).map(
            move |start: Result<Start, BrokerError>, topic, ctx| {
                topic.subscribers.joining -= usize::from(takes);
                topic.gauge.changed();
                let (weak, capacity) = (ctx.address().downgrade(), topic.limits.subscriber_chunks);
                let subscription = topic.subscribers.add(weak, start?, joins, capacity);
                topic.end_turn(ctx);
                Ok(subscription)
            },
        ))
    }
}

impl Handler<Drained> for TopicActor {
    type Result = ();

    fn handle(&mut self, Drained(id): Drained, _: &mut Context<Self>) {
        self.gauge.changed();
        self.subscribers.drained(id);
    }
}

impl Handler<Unsubscribe> for TopicActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Context<Self>) {
        self.gauge.changed();
        self.subscribers.remove(id);
    }
}

impl Handler<Consume> for TopicActor {
    type Result = Result<u32, BrokerError>;

    fn handle(&mut self, Consume(name): Consume, ctx: &mut Context<Self>) -> Self::Result {
        let number = self.guarded(ctx, |topic| {
            topic.engine()?;
            match &topic.phase {
                Phase::Running(engine) => topic.queue(engine.as_ref(), name.as_ref()),
                Phase::Rebuilding | Phase::Failed | Phase::Closing { .. } => {
                    Err(BrokerError::Unavailable)
                }
            }
        });
        let number = number.unwrap_or(Err(BrokerError::Unavailable))?;
        self.gauge.changed();
        *self.consumers.entry(number).or_default() += 1;
        Ok(number)
    }
}

impl Handler<Unconsume> for TopicActor {
    type Result = ();

    fn handle(&mut self, Unconsume(queue): Unconsume, _: &mut Context<Self>) {
        self.gauge.changed();
        if let Some(count) = self.consumers.get_mut(&queue) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.consumers.remove(&queue);
            }
        }
    }
}

impl Handler<Describe> for TopicActor {
    type Result = Result<TopicFigures, BrokerError>;

    fn handle(&mut self, _: Describe, ctx: &mut Context<Self>) -> Self::Result {
        self.guarded(ctx, TopicActor::figures).unwrap_or(Err(BrokerError::Unavailable))
    }
}

impl Handler<Adopt> for TopicActor {
    type Result = ();

    fn handle(&mut self, Adopt(leaving): Adopt, ctx: &mut Context<Self>) {
        self.gauge.changed();
        self.guarded(ctx, |topic| {
            if let Phase::Running(engine) = &mut topic.phase {
                engine.adopt(clock::now(), leaving);
            }
        });
        self.ready = true;
    }
}

impl Handler<Reshape> for TopicActor {
    type Result = ResponseFuture<Result<(), BrokerError>>;

    fn handle(&mut self, Reshape(change): Reshape, ctx: &mut Context<Self>) -> Self::Result {
        self.gauge.changed();
        let dropped = match &change {
            Change::DropQueue(queue) => Some(*queue),
            _ => None,
        };
        let close = match change {
            Change::Delete => Some(true),
            Change::Stop => Some(false),
            Change::Settle
            | Change::AddQueues(_)
            | Change::SetQueue(..)
            | Change::DropQueue(_)
            | Change::SetTopic(_) => None,
        };
        let answer = self.guarded(ctx, |topic| {
            let now = clock::now();
            let engine = topic.engine()?;
            let answer = reshape(engine.as_mut(), now, change);
            engine.flush(now);
            topic.definition = Arc::new(topic.engine()?.definition().clone());
            // A queue may hand out again.
            topic.ready = true;
            Ok(answer)
        });
        if let Some(deleted) = close {
            self.close(deleted);
        }
        if let Some(queue) = dropped {
            let gone = Reply::Failed(Refusal::QueueNotFound.into());
            self.waiters.end_queue(queue, &gone);
        }
        Box::pin(settled(answer))
    }
}

/// Waits for an answer that a verb gave, unless the verb panicked or refused.
async fn settled<T>(
    answer: Option<Result<Answer<Whole<T>>, BrokerError>>,
) -> Result<T, BrokerError> {
    match answer {
        None => Err(BrokerError::Unavailable),
        Some(Err(error)) => Err(error),
        Some(Ok(answer)) => match answer.get().await {
            Some(result) => result.map_err(BrokerError::from),
            None => Err(BrokerError::Unavailable),
        },
    }
}

impl Handler<Detach> for TopicActor {
    type Result = ResponseFuture<Result<Box<Detached>, BrokerError>>;

    fn handle(&mut self, Detach(queue): Detach, ctx: &mut Context<Self>) -> Self::Result {
        self.gauge.changed();
        let answer = self.guarded(ctx, |topic| {
            let now = clock::now();
            let engine = topic.engine()?;
            let answer = engine.detach(now, queue);
            engine.flush(now);
            Ok(answer)
        });
        // Who waits there is served by nobody any more.
        self.waiters.end_queue(queue, &Reply::Failed(Refusal::QueueNotFound.into()));
        Box::pin(settled(answer))
    }
}

impl Handler<Attach> for TopicActor {
    type Result = ResponseFuture<Result<(), (BrokerError, Option<Box<Detached>>)>>;

    fn handle(&mut self, Attach(detached): Attach, ctx: &mut Context<Self>) -> Self::Result {
        self.gauge.changed();
        let mut parcel = Some(detached);
        let answer = self.guarded(ctx, |topic| {
            let now = clock::now();
            let engine = topic.engine()?;
            let attached = parcel.take().map(|detached| engine.attach(now, detached));
            let answer = match attached {
                Some(Ok(answer)) => answer,
                Some(Err(back)) => {
                    parcel = Some(back);
                    return Err(Refusal::QueueExists.into());
                }
                None => return Err(BrokerError::Unavailable),
            };
            engine.flush(now);
            Ok(answer)
        });
        self.ready = true;
        Box::pin(async move { settled(answer).await.map_err(|error| (error, parcel)) })
    }
}

fn reshape(engine: &mut dyn Engine, now: Timestamp, change: Change) -> Answer<Whole<()>> {
    match change {
        Change::Settle => engine.barrier(),
        Change::AddQueues(queues) => {
            let mut added = Vec::with_capacity(queues.len());
            let mut last = Answer::Now(Ok(()));
            for (definition, target) in queues {
                added.push(definition.number);
                last = add_queue(engine, now, definition, target);
                if matches!(last, Answer::Now(Err(_))) {
                    // In the same unit of the store: none of them was ever there.
                    added.into_iter().for_each(|queue| drop(engine.drop_queue(queue)));
                    break;
                }
            }
            last
        }
        Change::SetQueue(queue, policy, dead_letter) => {
            engine.set_queue(now, queue, *policy, dead_letter)
        }
        Change::DropQueue(queue) => engine.drop_queue(queue),
        Change::SetTopic(policy) => engine.set_topic(*policy),
        Change::Delete => engine.drop_topic(),
        Change::Stop => {
            engine.close(now);
            engine.barrier()
        }
    }
}

fn add_queue(
    engine: &mut dyn Engine,
    now: Timestamp,
    definition: QueueDefinition,
    target: Option<Target>,
) -> Answer<Whole<()>> {
    let (number, policy) = (definition.number, definition.policy.clone());
    match engine.add_queue(definition) {
        Answer::Now(Err(error)) => Answer::Now(Err(error)),
        Answer::Now(Ok(())) | Answer::Later(_) => engine.set_queue(now, number, policy, target),
    }
}
