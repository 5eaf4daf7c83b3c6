//! One topic as an actor: its engine, its live subscribers, its waiting receivers, its one timer.
//!
//! A turn is what happens between two moments at which the mailbox is empty. At its end the
//! subscribers are pushed to, the receivers served, the timer set: so everything that came in
//! together leaves together.
//!
//! A panic inside a verb costs neither the process nor another topic: it is caught, the batch
//! answers `unavailable`, and the engine is built anew from what is durable while the mailbox
//! waits.

use super::messages::*;
use super::registry::Registry;
use super::subscribers::{Ended, PushSource, Round, Subscribers, Want};
use super::waiters::Waiters;
use super::{BrokerError, Limits, clock};
use crate::engine::{Answer, Each, Engine, EngineError, EngineFactory, Start, Whole};
use crate::queue::*;
use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, AsyncContext, Context, Handler,
    ResponseActFuture, ResponseFuture, Running, Supervised, WeakAddr, WrapFuture,
};
use futures_util::{FutureExt, future::LocalBoxFuture};
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
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
    subscribers: Subscribers,
    waiters: Waiters,
    /// Something became ready since the waiters were served.
    ready: bool,
    /// Jobs since the last yield.
    work: usize,
    /// Bytes published since the start, to measure how far a subscriber lags.
    pushed_bytes: u64,
    failures: VecDeque<Timestamp>,
    restarts: u64,
}

/// A reply that is there, or one that will be.
enum Outcome {
    Now(Reply),
    Later(LocalBoxFuture<'static, Reply>),
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
    ) -> Self {
        let definition = Arc::new(engine.definition().clone());
        let source = PushSource { topic: definition.name.clone(), epoch: definition.epoch };
        TopicActor {
            definition,
            phase: Phase::Running(engine),
            factory,
            registry,
            limits,
            subscribers: Subscribers::new(source),
            waiters: Waiters::default(),
            ready: false,
            work: 0,
            pushed_bytes: 0,
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

    /// Does one op. `abandoned`: nobody waits for the reply, so nothing is handed out.
    fn perform(&mut self, now: Timestamp, op: Op, abandoned: bool) -> Outcome {
        match self.try_perform(now, op, abandoned) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Now(Reply::Failed(error)),
        }
    }

    fn try_perform(
        &mut self,
        now: Timestamp,
        op: Op,
        abandoned: bool,
    ) -> Result<Outcome, BrokerError> {
        // The phase is taken out so that engine and actor can be used side by side.
        self.engine()?;
        let mut phase = std::mem::replace(&mut self.phase, Phase::Rebuilding);
        let outcome = match &mut phase {
            Phase::Running(engine) => self.with_engine(engine.as_mut(), now, op, abandoned),
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
        abandoned: bool,
    ) -> Result<Outcome, BrokerError> {
        Ok(match op {
            Op::Publish { to, messages } => {
                let to = match &to {
                    Some(_) => Some(self.queue(engine, to.as_ref())?),
                    None => None,
                };
                self.ready = true;
                self.publish(engine, now, to, messages)
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
            Op::Find { queue, id } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.find(queue, id), whole(|view| Reply::Views(vec![view])))
            }
            Op::Peek { queue, end, max } => {
                let queue = self.queue(engine, queue.as_ref())?;
                let max = max.min(self.limits.batch_max);
                Outcome::of(engine.peek(queue, end, max), whole(Reply::Views))
            }
            Op::List { queue, state, after, max } => {
                let queue = self.queue(engine, queue.as_ref())?;
                let max = max.min(self.limits.batch_max);
                Outcome::of(engine.list(queue, state, after, max), whole(Reply::Listed))
            }
            Op::Purge { queue } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(engine.purge(now, queue), whole(Reply::Counted))
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
            Op::Counts { queue } => {
                let queue = self.queue(engine, queue.as_ref())?;
                Outcome::of(
                    engine.counts(queue),
                    whole(|figures| Reply::Figures(Box::new(figures))),
                )
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
        if messages.iter().all(|message| message.body.len() <= limit) {
            return Outcome::of(engine.publish(now, to, messages, listeners), |results| {
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
        Outcome::of(engine.publish(now, to, fitting, listeners), |results| {
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
        if self.waiters.len() >= self.limits.waiters_max {
            return Err(BrokerError::TooMany {
                what: "waiting receivers",
                limit: self.limits.waiters_max,
            });
        }
        let (to, reply) = oneshot::channel();
        self.waiters.push(queue, request, now.after(wait), to);
        Ok(Outcome::Later(Box::pin(async move {
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
                Named::Id { queue, id } => {
                    self.queue(engine, queue.as_ref()).map(|queue| Reference::Id { queue, id })
                }
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

    fn run(&mut self, job: &mut Job) -> Vec<(usize, LocalBoxFuture<'static, Reply>)> {
        let now = clock::now();
        let abandoned = job.is_abandoned();
        let mut later = Vec::new();
        for (at, slot) in job.slots().iter_mut().enumerate() {
            if let Slot::Op(op) = slot {
                let op = std::mem::replace(op, Op::Ack(Vec::new()));
                match self.perform(now, op, abandoned) {
                    Outcome::Now(reply) => *slot = Slot::Reply(reply),
                    Outcome::Later(reply) => later.push((at, reply)),
                }
            }
        }
        if let Phase::Running(engine) = &mut self.phase {
            engine.flush(now);
        }
        later
    }

    /// Hands ready messages to those who wait for them.
    fn serve_waiters(&mut self, now: Timestamp) {
        self.waiters.expire(now);
        if !std::mem::take(&mut self.ready) || self.waiters.is_empty() {
            return;
        }
        let Phase::Running(engine) = &mut self.phase else { return };
        for queue in self.waiters.queues() {
            while let Some(waiter) = self.waiters.pop(queue) {
                match engine.receive(now, queue, waiter.request.clone()) {
                    Answer::Now(Ok(deliveries)) if deliveries.is_empty() => {
                        self.waiters.put_back(queue, waiter);
                        break;
                    }
                    Answer::Now(result) => {
                        if let Err(Reply::Delivered(unread)) =
                            waiter.to.send(whole(Reply::Delivered)(result))
                        {
                            give_back(engine.as_mut(), now, &unread);
                            self.ready = true;
                        }
                    }
                    Answer::Later(result) => drop(actix::spawn(async move {
                        let reply = match result.await {
                            Ok(result) => whole(Reply::Delivered)(result),
                            Err(_) => Reply::Failed(BrokerError::Unavailable),
                        };
                        // The engine gives deliveries back whose receiver has gone.
                        let _ = waiter.to.send(reply);
                    })),
                }
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
        self.guarded(ctx, |topic| {
            if let Phase::Running(engine) = &mut topic.phase
                && engine.next_deadline().is_some_and(|deadline| deadline <= now)
            {
                let advanced = engine.expire(now);
                topic.ready |= advanced.ready;
            }
            topic.serve_waiters(now);
        });
        self.guarded_push(now, ctx);
        // Somebody who is joining has claimed what it has not been sent yet.
        if self.subscribers.joining == 0
            && let Phase::Running(engine) = &mut self.phase
        {
            engine.hold_from(self.subscribers.floor());
        }
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

    fn guarded_push(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let pushed = catch_unwind(AssertUnwindSafe(|| self.push(now, ctx)));
        if pushed.is_err() {
            self.fail(ctx);
        }
    }

    /// Lets the other actors of the arbiter run after a stretch of work.
    fn spend(&mut self, ctx: &mut Context<Self>) {
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
        [engine, self.waiters.next_deadline(), stuck].into_iter().flatten().min()
    }

    fn figures(&mut self) -> Result<TopicFigures, BrokerError> {
        let (definition, kind) = (self.definition.clone(), self.definition.kind);
        let engine = self.engine()?;
        let mut queues = Vec::new();
        let mut add = |name, policy, answer| {
            if let Answer::Now(Ok(figures)) = answer {
                queues.push((name, policy, figures));
            }
        };
        if kind == Kind::Pubsub {
            add(QueueName::default_queue(), QueuePolicy::default(), engine.counts(0));
        }
        for queue in engine.queues() {
            add(queue.name, queue.policy, engine.counts(queue.number));
        }
        let committed = engine.committed();
        Ok(TopicFigures {
            definition: TopicDefinition::clone(&definition),
            queues,
            subscribers: self.subscribers.count(),
            lagging: self.subscribers.lagging(),
            waiters: self.waiters.len(),
            pushed: self.subscribers.pushed,
            push_dropped: self.subscribers.dropped,
            subscribers_dropped: self.subscribers.disconnected,
            restarts: self.restarts,
            committed,
        })
    }
}

fn give_back(engine: &mut dyn Engine, now: Timestamp, deliveries: &[Delivery]) {
    let references: Vec<_> = deliveries
        .iter()
        .filter_map(|delivery| {
            Some((Reference::Receipt(delivery.receipt?), Nack::Release { delay: None }))
        })
        .collect();
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
            Some(later) if later.is_empty() => job.finish(),
            Some(later) => drop(actix::spawn(async move {
                for (at, reply) in later {
                    let reply = reply.await;
                    if let Some(slot) = job.slots().get_mut(at) {
                        *slot = Slot::Reply(reply);
                    }
                }
                job.finish();
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

impl Handler<Subscribe> for TopicActor {
    type Result = ResponseActFuture<Self, Result<super::Subscription, BrokerError>>;

    fn handle(&mut self, request: Subscribe, ctx: &mut Context<Self>) -> Self::Result {
        let position = request.position;
        let started = self.guarded(ctx, |topic| {
            if topic.definition.kind != Kind::Pubsub {
                return Err(Refusal::WrongKind.into());
            }
            let now = clock::now();
            let engine = topic.engine()?;
            let answer = engine.resume(now, position);
            engine.flush(now);
            Ok(answer)
        });
        self.subscribers.joining += 1;
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
        Box::pin(start.into_actor(self).map(
            move |start: Result<Start, BrokerError>, topic, ctx| {
                topic.subscribers.joining -= 1;
                let (weak, capacity) = (ctx.address().downgrade(), topic.limits.subscriber_chunks);
                let subscription =
                    topic.subscribers.add(weak, start?, request.format, request.slow, capacity);
                topic.end_turn(ctx);
                Ok(subscription)
            },
        ))
    }
}

impl Handler<Drained> for TopicActor {
    type Result = ();

    fn handle(&mut self, Drained(id): Drained, _: &mut Context<Self>) {
        self.subscribers.drained(id);
    }
}

impl Handler<Unsubscribe> for TopicActor {
    type Result = ();

    fn handle(&mut self, Unsubscribe(id): Unsubscribe, _: &mut Context<Self>) {
        self.subscribers.remove(id);
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
        let close = match change {
            Change::Delete => Some(true),
            Change::Stop => Some(false),
            Change::Settle
            | Change::AddQueue(..)
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
            Ok(answer)
        });
        if let Some(deleted) = close {
            self.close(deleted);
        }
        Box::pin(async move {
            match answer {
                None => Err(BrokerError::Unavailable),
                Some(Err(error)) => Err(error),
                Some(Ok(answer)) => match answer.get().await {
                    Some(result) => result.map_err(BrokerError::from),
                    None => Err(BrokerError::Unavailable),
                },
            }
        })
    }
}

fn reshape(engine: &mut dyn Engine, now: Timestamp, change: Change) -> Answer<Whole<()>> {
    match change {
        Change::Settle => engine.barrier(),
        Change::AddQueue(definition, dead_letter) => {
            let (number, policy) = (definition.number, definition.policy.clone());
            match engine.add_queue(*definition) {
                Answer::Now(Err(error)) => Answer::Now(Err(error)),
                Answer::Now(Ok(())) | Answer::Later(_) => {
                    engine.set_queue(number, policy, dead_letter)
                }
            }
        }
        Change::SetQueue(queue, policy, dead_letter) => {
            engine.set_queue(queue, *policy, dead_letter)
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
