//! A verb that panics: the engine is dropped as it is and built anew from what is durable.

use super::*;
use crate::broker::subscribers::Ended;
use actix::{ActorContext, ActorFutureExt, Supervised, WrapFuture};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A topic that fails this often...
const FAILURES_MAX: usize = 3;
/// ... within this time is given up.
const FAILURES_WITHIN_MS: u64 = 60_000;

impl TopicActor {
    /// Runs `work` with the engine; a panic in it puts the topic out of service until it is rebuilt.
    pub(super) fn guarded<T>(
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

    pub(super) fn fail(&mut self, ctx: &mut Context<Self>) {
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
}

impl Supervised for TopicActor {
    fn restarting(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.phase, Phase::Rebuilding) {
            self.rebuild(ctx);
        }
    }
}
