//! What the topic shows of itself: a few words that anybody may read, and all of it when asked.

use super::*;
use crate::broker::gauge::Reading;
use crate::engine::QueueFigures;

impl TopicActor {
    /// Lets everybody see the figures, when they have changed and it is time again.
    pub(super) fn note(&mut self, now: Timestamp) {
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

impl Handler<Describe> for TopicActor {
    type Result = Result<TopicFigures, BrokerError>;

    fn handle(&mut self, _: Describe, ctx: &mut Context<Self>) -> Self::Result {
        self.guarded(ctx, TopicActor::figures).unwrap_or(Err(BrokerError::Unavailable))
    }
}
