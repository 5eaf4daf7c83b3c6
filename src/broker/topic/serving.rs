//! Receivers that wait, consumers that are counted, and deliveries that nobody got.

use super::ops::whole;
use super::*;
use actix::Addr;

impl TopicActor {
    /// Takes back what was handed out to sessions that are gone.
    pub(super) fn take_back(&mut self, receipts: Vec<Receipt>, ctx: &mut Context<Self>) {
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
    pub(super) fn serve_waiters(&mut self, now: Timestamp, own: &Addr<Self>) {
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

impl Handler<Unread> for TopicActor {
    type Result = ();

    fn handle(&mut self, Unread(receipts): Unread, ctx: &mut Context<Self>) {
        self.take_back(receipts, ctx);
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
