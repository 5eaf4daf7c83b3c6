//! Live subscribers: joining, leaving, and being pushed to at the end of a turn.

use super::*;
use crate::broker::Subscription;
use crate::broker::subscribers::{Joins, Round, Want};
use crate::engine::Start;
use actix::{ActorFutureExt, ResponseActFuture, WrapFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Messages read at a time to push to a subscriber.
const PUSH_BATCH: usize = 4096;

impl TopicActor {
    pub(super) fn guarded_push(&mut self, now: Timestamp, ctx: &mut Context<Self>) {
        let pushed = catch_unwind(AssertUnwindSafe(|| self.push(now, ctx)));
        if pushed.is_err() {
            self.fail(ctx);
        }
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
}

impl Handler<Subscribe> for TopicActor {
    type Result = ResponseActFuture<Self, Result<Subscription, BrokerError>>;

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
