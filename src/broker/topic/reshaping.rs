//! Changes of the topic itself: its settings, its queues, its end; and messages that come from others.

use super::*;
use crate::broker::subscribers::Ended;
use crate::engine::Whole;
use actix::ResponseFuture;

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

impl TopicActor {
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
