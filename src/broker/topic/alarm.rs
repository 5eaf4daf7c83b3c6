//! The one timer of a topic, which ends its turns.

use super::*;
use actix::{ActorFuture, WrapFuture};
use futures_util::FutureExt;
use std::{pin::Pin, task::Poll};

/// Jobs after which the actor lets others on its arbiter run: a busy mailbox never yields by itself.
const YIELD_AFTER: usize = 64;
/// Messages after which they run as well, in the middle of a turn: jobs may be large, and whoever uses
/// another topic of the arbiter waits for them.
const YIELD_AFTER_MESSAGES: usize = 128;

/// The one timer of a topic. Polled after the mailbox has been emptied, it ends the turn first.
pub(super) struct Alarm {
    pub(super) sleep: Option<(Timestamp, Pin<Box<tokio::time::Sleep>>)>,
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

impl TopicActor {
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

    /// Lets the other actors of the arbiter run after a stretch of work.
    pub(super) fn spend(&mut self, ctx: &mut Context<Self>) {
        self.gauge.changed();
        self.work += 1;
        let turn_ends = self.work >= YIELD_AFTER;
        if turn_ends {
            self.work = 0;
            self.end_turn(ctx);
        }
        if turn_ends || self.messages >= YIELD_AFTER_MESSAGES {
            self.messages = 0;
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}
