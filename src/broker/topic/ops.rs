//! What each op asks the engine, and the reply that its answer becomes.

use super::*;
use crate::broker::waiters::What;
use crate::engine::{Each, EngineError, QueueFigures};
use tokio::sync::oneshot;

/// Who asks for an op.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    /// Nobody waits for the reply any more, so nothing is handed out.
    pub(super) abandoned: bool,
    /// It is shown payloads that the topic masks.
    pub(super) sees: bool,
}

/// A reply that is there, or one that will be.
pub(super) enum Outcome {
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

pub(super) fn whole<T>(
    into_reply: impl FnOnce(T) -> Reply,
) -> impl FnOnce(Result<T, EngineError>) -> Reply {
    move |result| match result {
        Ok(value) => into_reply(value),
        Err(error) => Reply::Failed(error.into()),
    }
}

impl TopicActor {
    pub(super) fn queue(
        &self,
        engine: &dyn Engine,
        name: Option<&QueueName>,
    ) -> Result<u32, BrokerError> {
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
    pub(super) fn perform(
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
}
