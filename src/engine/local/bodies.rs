//! Bodies that are only on disk: answers that lack some are completed before they leave, and what a
//! consumer will ask for next is read ahead.

use super::*;
use crate::engine::pending::Release;

/// Bodies read ahead of the consumers of a queue that is partly on disk.
const READ_AHEAD: usize = 128;

/// An answer that lacks bodies which are on disk.
pub(super) enum Fill {
    Deliveries { deliveries: Vec<Delivery>, take: bool, to: oneshot::Sender<Whole<Vec<Delivery>>> },
    View { view: Box<View>, to: oneshot::Sender<Whole<View>> },
    Views { views: Vec<View>, to: oneshot::Sender<Whole<Vec<View>>> },
    Page { page: Page, to: oneshot::Sender<Whole<Page>> },
    Read { batch: ReadBatch, to: oneshot::Sender<Whole<ReadBatch>> },
    Messages { messages: Vec<Message>, to: oneshot::Sender<Whole<Vec<Message>>> },
}

impl Fill {
    fn missing(&self) -> Vec<u64> {
        let cold = |message: &Message| is_cold(message).then_some(message.number);
        match self {
            Fill::Deliveries { deliveries, .. } => {
                deliveries.iter().filter_map(|delivery| cold(&delivery.message)).collect()
            }
            Fill::View { view, .. } => cold(&view.message).into_iter().collect(),
            Fill::Views { views, .. } => {
                views.iter().filter_map(|view| cold(&view.message)).collect()
            }
            Fill::Page { page, .. } => {
                page.views.iter().filter_map(|view| cold(&view.message)).collect()
            }
            Fill::Read { batch, .. } => batch.messages.iter().filter_map(cold).collect(),
            Fill::Messages { messages, .. } => messages.iter().filter_map(cold).collect(),
        }
    }
}

pub(super) fn is_cold(message: &Message) -> bool {
    message.body.is_none()
}

impl LocalEngine {
    /// A view, page or batch with bodies on disk is completed first.
    pub(super) fn filled<T>(
        &mut self,
        value: T,
        fill: impl FnOnce(T, oneshot::Sender<Whole<T>>) -> Fill,
        missing: bool,
    ) -> Answer<Whole<T>> {
        if !missing {
            return Answer::Now(Ok(value));
        }
        let (to, answer) = oneshot::channel();
        let mut fill = Some(fill(value, to));
        let id = self.granted.begin(matches!(fill, Some(Fill::Deliveries { .. })));
        // What is not in the store yet cannot be read from it.
        if self.ledger.records.is_empty() && self.pipeline.in_store() == 0 {
            if let Some(fill) = fill.take() {
                self.start_fill(id, fill);
            }
        } else {
            let events = self.events.0.clone();
            self.pipeline.after_all(
                !self.ledger.records.is_empty(),
                Box::new(move |_| {
                    if let Some(fill) = fill.take() {
                        let _ = events.send(Event::Fill { id, fill });
                    }
                }),
            );
        }
        Answer::Later(answer)
    }

    /// Reads what an answer lacks from the disk, then completes it.
    pub(super) fn start_fill(&mut self, id: u64, fill: Fill) {
        let numbers = fill.missing();
        self.fills.insert(id, fill);
        let (events, wake) = (self.events.0.clone(), self.wake.clone());
        let done = Box::new(move |bodies| {
            let _ = events.send(Event::Fetched { fill: id, bodies });
            wake();
        });
        if let Err(error) = self.journal.fetch(numbers, done) {
            self.fail_fill(id, error.into());
        }
    }

    fn fail_fill(&mut self, id: u64, error: EngineError) {
        match self.fills.remove(&id) {
            Some(Fill::Deliveries { deliveries, to, .. }) => {
                self.give_back(&deliveries);
                let _ = to.send(Err(error));
            }
            Some(Fill::View { to, .. }) => drop(to.send(Err(error))),
            Some(Fill::Views { to, .. }) => drop(to.send(Err(error))),
            Some(Fill::Page { to, .. }) => drop(to.send(Err(error))),
            Some(Fill::Read { to, .. }) => drop(to.send(Err(error))),
            Some(Fill::Messages { to, .. }) => drop(to.send(Err(error))),
            None => (),
        }
        self.fill_is_done(id);
    }

    pub(super) fn finish_fill(&mut self, id: u64, bodies: Vec<(u64, Option<Bytes>)>) {
        let Some(fill) = self.fills.remove(&id) else { return };
        self.complete(fill, bodies);
        self.fill_is_done(id);
    }

    fn complete(&mut self, fill: Fill, bodies: Vec<(u64, Option<Bytes>)>) {
        let mut damaged = Vec::new();
        let mut found = FxHashMap::default();
        for (number, body) in bodies {
            match body {
                Some(body) => drop(found.insert(number, body)),
                None => damaged.push(number),
            }
        }
        if !damaged.is_empty() {
            let lost = match &mut self.rules {
                Rules::Broker(topic) => topic.quarantine(damaged),
                Rules::Pubsub(history) => {
                    history.quarantine(&damaged);
                    damaged.len()
                }
            };
            if lost > 0 {
                let topic = &self.definition.name;
                log::error!("topic {topic}: {lost} messages on disk are damaged or missing");
            }
            self.account();
        }
        let complete = |message: &mut Message| {
            if message.body.is_none() {
                message.body = found.get(&message.number).cloned().map(Content::from);
            }
            message.body.is_some()
        };
        match fill {
            Fill::Deliveries { mut deliveries, take, to } => {
                deliveries.retain_mut(|delivery| complete(&mut delivery.message));
                self.finish_deliveries(deliveries, take, to);
            }
            Fill::View { mut view, to } => {
                let whole = complete(&mut view.message);
                let _ =
                    to.send(if whole { Ok(*view) } else { Err(Refusal::MessageNotFound.into()) });
            }
            Fill::Views { mut views, to } => {
                views.retain_mut(|view| complete(&mut view.message));
                let _ = to.send(Ok(views));
            }
            Fill::Page { mut page, to } => {
                page.views.retain_mut(|view| complete(&mut view.message));
                let _ = to.send(Ok(page));
            }
            Fill::Read { mut batch, to } => {
                batch.messages.retain_mut(|message| complete(message));
                let _ = to.send(Ok(batch));
            }
            Fill::Messages { mut messages, to } => {
                messages.retain_mut(|message| complete(message));
                let _ = to.send(Ok(messages));
            }
        }
    }

    fn finish_deliveries(
        &mut self,
        mut deliveries: Vec<Delivery>,
        take: bool,
        to: oneshot::Sender<Whole<Vec<Delivery>>>,
    ) {
        if to.is_closed() {
            return self.give_back(&deliveries);
        }
        if !take {
            let _ = to.send(Ok(deliveries));
            return;
        }
        self.take_delivered(&mut deliveries);
        self.account();
        let release: Release = Box::new(move |fate| {
            let _ = to.send(match fate.error {
                Some(error) => Err(error.clone()),
                None => Ok(deliveries),
            });
        });
        self.pipeline.after_all(!self.ledger.records.is_empty(), release);
    }

    /// Ends deliveries that were in flight only until their bodies were there.
    pub(super) fn take_delivered(&mut self, deliveries: &mut Vec<Delivery>) {
        let now = self.last_now;
        let Rules::Broker(topic) = &mut self.rules else { return };
        let (ledger, dropped) = (&mut self.ledger, &self.dropped);
        deliveries.retain_mut(|delivery| {
            delivery.deadline = Timestamp::NEVER;
            // It was granted before its queue was dropped.
            delivery.receipt.take().is_none_or(|receipt| {
                dropped.contains(&receipt.queue)
                    || topic.ack(now, &Reference::Receipt(receipt), ledger).is_ok()
            })
        });
    }

    fn give_back(&mut self, deliveries: &[Delivery]) {
        self.refill(deliveries.len() * 2);
        let now = self.last_now;
        if let Rules::Broker(topic) = &mut self.rules {
            for receipt in deliveries.iter().filter_map(|delivery| delivery.receipt) {
                let reference = Reference::Receipt(receipt);
                // Its deadline may have passed on the way: then it is back already.
                let _ = topic.nack(now, &reference, &Nack::Unread, &mut self.ledger);
            }
        }
    }

    /// Purges that waited only for this fill go to the store.
    fn fill_is_done(&mut self, id: u64) {
        self.granted.end(id);
        self.let_go();
        if self.granted.is_empty() {
            self.dropped.clear();
        }
    }

    /// Purges that wait for no fill any more go to the store.
    pub(super) fn let_go(&mut self) {
        while let Some(held) = self.granted.next_free() {
            let (records, release) = held.into_parts();
            self.ledger.records.extend(records);
            self.pipeline.after_all(!self.ledger.records.is_empty(), release);
        }
    }

    /// The answer to a purge whose facts are in the ledger from `from` on.
    pub(super) fn purged(&mut self, from: usize, removed: Whole<u64>) -> Answer<Whole<u64>> {
        match removed {
            Ok(removed) if !self.granted.is_empty() => {
                self.granted.hold(self.ledger.records.split_off(from), removed)
            }
            removed => self.whole_after_all(removed),
        }
    }

    /// Keeps the bodies of the next messages of a queue in memory while it is being read.
    pub(super) fn read_ahead(&mut self, queue: u32) {
        if !self.cold || self.warming || self.memory.resident() > self.memory.limit() / 4 * 5 {
            return;
        }
        let Rules::Broker(topic) = &self.rules else { return };
        let pipeline = &self.pipeline;
        let mut numbers = topic.cold_ahead(queue, READ_AHEAD);
        numbers.retain(|number| !pipeline.is_unsettled(*number));
        if numbers.is_empty() {
            return;
        }
        let (events, wake) = (self.events.0.clone(), self.wake.clone());
        let done = Box::new(move |bodies| {
            let _ = events.send(Event::Warmed { bodies });
            wake();
        });
        // A busy reader only means that the consumer's own read waits a little longer.
        self.warming = self.journal.fetch(numbers, done).is_ok();
    }

    pub(super) fn warm(&mut self, bodies: Vec<(u64, Option<Bytes>)>) {
        self.warming = false;
        let bodies =
            bodies.into_iter().filter_map(|(number, body)| Some((number, body?))).collect();
        match &mut self.rules {
            Rules::Broker(topic) => topic.warm(bodies),
            // Its readers page in what they need.
            Rules::Pubsub(_) => (),
        }
        self.account();
    }
}
