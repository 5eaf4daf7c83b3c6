//! The verbs of the trait: each asks the rules, and says when its answer may leave.

use super::bodies::is_cold;
use super::factory::{number_given, salt_of_dropped};
use super::*;

/// Events handled in one call of [`Engine::expire`].
const EXPIRE_BUDGET: usize = 256;
/// How soon a busy journal is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(2);

impl Engine for LocalEngine {
    fn connect(&mut self, wake: Wake) {
        self.wake = wake;
    }

    fn through(&mut self, door: Option<Door>) {
        if let Rules::Broker(topic) = &mut self.rules {
            topic.through(door);
        }
    }

    fn flush(&mut self, now: Timestamp) {
        self.last_now = now;
        self.see_off();
        if self.ledger.records.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.ledger.records);
        // Every number taken so far is below the next one taken.
        let through = self.journal.numbers(1);
        let ticket = self.pipeline.hand_over(through);
        let (events, wake) = (self.events.0.clone(), self.wake.clone());
        let done = Box::new(move |result| {
            let _ = events.send(Event::Settled { ticket, result });
            wake();
        });
        let level = self.definition.policy.durability.max(Level::Async);
        self.submit(Submission { records, level, done: Some(done) });
    }

    fn settle(&mut self, now: Timestamp) {
        self.last_now = now;
        while let Ok(event) = self.events.1.try_recv() {
            match event {
                Event::Settled { ticket, result } => self.settle_unit(ticket, result),
                Event::Fill { id, fill } => self.start_fill(id, fill),
                Event::Fetched { fill, bodies } => self.finish_fill(fill, bodies),
                Event::Warmed { bodies } => self.warm(bodies),
                Event::Departed(leaving) => self.departed.extend(leaving),
            }
        }
        self.retry_stalled();
        self.flush(now);
    }

    fn publish(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        messages: Vec<NewMessage>,
        listeners: bool,
    ) -> Answer<Each<Placed>> {
        self.take_in(now, to, messages, listeners)
    }

    fn publish_copies(
        &mut self,
        now: Timestamp,
        message: NewMessage,
    ) -> Answer<Whole<Vec<PlacedCopy>>> {
        self.take_in_copies(now, message)
    }

    fn receive(
        &mut self,
        now: Timestamp,
        queue: u32,
        request: Receive,
    ) -> Answer<Whole<Vec<Delivery>>> {
        self.hand_out(now, queue, request)
    }

    fn ack(&mut self, now: Timestamp, references: Vec<Reference>) -> Answer<Each<()>> {
        let results = match &mut self.rules {
            Rules::Broker(topic) => references
                .iter()
                .map(|reference| {
                    topic.ack(now, reference, &mut self.ledger).map_err(EngineError::from)
                })
                .collect(),
            Rules::Pubsub(_) => references.iter().map(|_| Err(Refusal::WrongKind.into())).collect(),
        };
        self.account();
        self.each_after_all(results)
    }

    fn ack_ids(&mut self, now: Timestamp, queue: u32, ids: &IdList) -> Answer<Each<()>> {
        let results = match &mut self.rules {
            Rules::Broker(topic) => ids
                .iter()
                .map(|id| topic.ack_id(now, queue, id, &mut self.ledger).map_err(EngineError::from))
                .collect(),
            Rules::Pubsub(_) => ids.iter().map(|_| Err(Refusal::WrongKind.into())).collect(),
        };
        self.account();
        self.each_after_all(results)
    }

    fn nack(&mut self, now: Timestamp, references: Vec<(Reference, Nack)>) -> Answer<Each<()>> {
        self.refill(references.len() * 2);
        let ledger = &mut self.ledger;
        let results = match &mut self.rules {
            Rules::Broker(topic) => {
                let order = topic.order_of_nacks(&references);
                let mut nack = |(of, nack): &(Reference, Nack)| {
                    topic.nack(now, of, nack, ledger).map_err(EngineError::from)
                };
                match order {
                    None => references.iter().map(nack).collect(),
                    Some(order) => {
                        let mut results: Each<()> = references.iter().map(|_| Ok(())).collect();
                        for at in order {
                            if let (Some(item), Some(result)) =
                                (references.get(at), results.get_mut(at))
                            {
                                *result = nack(item);
                            }
                        }
                        results
                    }
                }
            }
            Rules::Pubsub(_) => references.iter().map(|_| Err(Refusal::WrongKind.into())).collect(),
        };
        self.see_off();
        self.each_after_all(results)
    }

    fn extend(
        &mut self,
        now: Timestamp,
        references: Vec<(Reference, Duration)>,
    ) -> Answer<Each<Timestamp>> {
        Answer::Now(match self.broker() {
            Err(error) => references.iter().map(|_| Err(error.clone())).collect(),
            Ok(topic) => references
                .iter()
                .map(|(reference, span)| {
                    topic.extend(now, reference, *span).map_err(EngineError::from)
                })
                .collect(),
        })
    }

    fn delete(&mut self, now: Timestamp, queue: u32, ids: Vec<MessageId>) -> Answer<Each<()>> {
        self.last_now = now;
        let results = match &mut self.rules {
            Rules::Broker(topic) => ids
                .iter()
                .map(|id| topic.delete(queue, id, &mut self.ledger).map_err(EngineError::from))
                .collect(),
            Rules::Pubsub(_) => ids.iter().map(|_| Err(Refusal::WrongKind.into())).collect(),
        };
        self.account();
        self.each_after_all(results)
    }

    fn delay(
        &mut self,
        now: Timestamp,
        queue: u32,
        ids: Vec<MessageId>,
        delay: Duration,
    ) -> Answer<Each<()>> {
        self.last_now = now;
        let (rules, ledger) = (&mut self.rules, &mut self.ledger);
        let mut one = |id: &MessageId| match rules {
            Rules::Broker(topic) => Ok(topic.delay(now, queue, id, delay, ledger)?),
            Rules::Pubsub(_) => Err(Refusal::WrongKind.into()),
        };
        let results = ids.iter().map(&mut one).collect();
        self.each_after_all(results)
    }

    fn find(&mut self, queue: u32, id: MessageId) -> Answer<Whole<View>> {
        match self.broker().and_then(|topic| Ok(topic.find(queue, &id)?)) {
            Ok(view) => {
                let missing = is_cold(&view.message);
                self.filled(view, |view, to| Fill::View { view: Box::new(view), to }, missing)
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn peek(
        &mut self,
        queue: u32,
        end: End,
        max: usize,
        bytes_max: usize,
    ) -> Answer<Whole<Vec<View>>> {
        let topic = self.broker();
        match topic.and_then(|topic| Ok(topic.peek_within(queue, end, max, bytes_max)?)) {
            Ok(views) => {
                let missing = views.iter().any(|view| is_cold(&view.message));
                self.filled(views, |views, to| Fill::Views { views, to }, missing)
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn list(
        &mut self,
        queue: u32,
        state: State,
        after: Option<u128>,
        max: usize,
        bytes_max: usize,
    ) -> Answer<Whole<Page>> {
        let topic = self.broker();
        match topic.and_then(|topic| Ok(topic.list_within(queue, state, after, max, bytes_max)?)) {
            Ok(page) => {
                let missing = page.views.iter().any(|view| is_cold(&view.message));
                self.filled(page, |page, to| Fill::Page { page, to }, missing)
            }
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn purge(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>> {
        self.last_now = now;
        let from = self.ledger.records.len();
        let removed = match &mut self.rules {
            Rules::Broker(topic) => topic.purge(queue, &mut self.ledger).map_err(EngineError::from),
            Rules::Pubsub(history) => Ok(history.clear(&mut self.ledger)),
        };
        self.account();
        self.purged(from, removed)
    }

    fn clear(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<u64>> {
        self.last_now = now;
        let from = self.ledger.records.len();
        let removed = match &mut self.rules {
            Rules::Broker(topic) => topic.clear(queue, &mut self.ledger).map_err(EngineError::from),
            Rules::Pubsub(history) => Ok(history.clear(&mut self.ledger)),
        };
        self.account();
        self.purged(from, removed)
    }

    fn is_ready(&self, queue: u32) -> bool {
        match &self.rules {
            Rules::Broker(topic) => topic.is_ready_in(queue),
            Rules::Pubsub(history) => history.backlog().0 > 0,
        }
    }

    fn take_freed(&mut self) -> bool {
        match &mut self.rules {
            Rules::Broker(topic) => topic.take_freed(),
            Rules::Pubsub(_) => false,
        }
    }

    fn redrive(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: Selection,
        to: Option<u32>,
    ) -> Answer<Whole<u64>> {
        let most = match &selection {
            Selection::Oldest(count) => *count,
            Selection::Ids(ids) => ids.len(),
        };
        let dead = match self.broker().and_then(|topic| Ok(topic.counts(queue)?)) {
            Ok(counts) => usize::try_from(counts.dead).unwrap_or(usize::MAX),
            Err(error) => return Answer::Now(Err(error)),
        };
        self.refill(most.min(dead) * 2);
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        // It is of this topic, which knows its settings.
        let to = to.map(Target::from);
        let moved = topic.redrive(now, queue, &selection, to, &mut self.ledger);
        self.see_off();
        self.whole_after_all(moved.map_err(EngineError::from))
    }

    fn transfer(
        &mut self,
        now: Timestamp,
        queue: u32,
        selection: Selection,
        to: Target,
    ) -> Answer<Whole<u64>> {
        let most = match &selection {
            Selection::Oldest(count) => *count,
            Selection::Ids(ids) => ids.len(),
        };
        let ready = match self.broker().and_then(|topic| Ok(topic.counts(queue)?)) {
            Ok(counts) => usize::try_from(counts.ready).unwrap_or(usize::MAX),
            Err(error) => return Answer::Now(Err(error)),
        };
        self.refill(most.min(ready) * 2);
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let moved = topic.transfer(now, queue, &selection, to, &mut self.ledger);
        self.see_off();
        self.whole_after_all(moved.map_err(EngineError::from))
    }

    fn counts(&mut self, queue: u32) -> Answer<Whole<QueueFigures>> {
        let figures = match &self.rules {
            Rules::Broker(topic) => topic.counts(queue).and_then(|counts| {
                let (totals, waits) = (topic.totals(queue)?, topic.waits(queue)?.clone());
                Ok(QueueFigures { counts, totals, waits, consumers: 0, waiting: 0 })
            }),
            Rules::Pubsub(history) => {
                let (ready, _) = history.backlog();
                let (_, bytes) = history.kept();
                let counts = Counts { ready, bytes, ..Counts::default() };
                let totals = history.totals();
                Ok(QueueFigures { counts, totals, ..QueueFigures::default() })
            }
        };
        Answer::Now(figures.map_err(EngineError::from))
    }

    fn totals(&self) -> Totals {
        match &self.rules {
            Rules::Broker(topic) => topic.all_totals(),
            Rules::Pubsub(history) => history.totals(),
        }
    }

    fn sum(&self) -> TopicSum {
        match &self.rules {
            Rules::Broker(topic) => topic.sum(),
            Rules::Pubsub(history) => history.sum(),
        }
    }

    fn expire(&mut self, now: Timestamp) -> Advanced {
        self.last_now = now;
        self.retry_stalled();
        self.refill(EXPIRE_BUDGET * 2);
        let advanced = match &mut self.rules {
            Rules::Broker(topic) => topic.advance(now, EXPIRE_BUDGET, &mut self.ledger),
            Rules::Pubsub(history) => history.advance(now, EXPIRE_BUDGET, &mut self.ledger),
        };
        self.account();
        self.flush(now);
        advanced
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let rules = match &self.rules {
            Rules::Broker(topic) => topic.next_deadline(),
            Rules::Pubsub(history) => history.next_deadline(),
        };
        let retry = (!self.stalled.is_empty()).then(|| self.last_now.after(BUSY_RETRY));
        [rules, retry].into_iter().flatten().min()
    }

    fn read(&mut self, from: u64, max: usize, bytes_max: usize) -> Answer<Whole<ReadBatch>> {
        let Rules::Pubsub(history) = &self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let batch = history.read(from, max, bytes_max);
        let missing = batch.messages.iter().any(is_cold);
        self.filled(batch, |batch, to| Fill::Read { batch, to }, missing)
    }

    fn read_after(
        &mut self,
        now: Timestamp,
        queue: u32,
        cursor: &mut Cursor,
        want: Want,
    ) -> Answer<Whole<Vec<Message>>> {
        let messages = match &self.rules {
            Rules::Broker(topic) => topic.read_after(now, queue, cursor, want),
            Rules::Pubsub(history) => Ok(history.read_after(now, cursor, want)),
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(refusal) => return Answer::Now(Err(refusal.into())),
        };
        if messages.iter().any(is_cold) {
            return self.filled(messages, |messages, to| Fill::Messages { messages, to }, true);
        }
        let unsettled =
            self.remembers && messages.iter().any(|m| self.pipeline.is_unsettled(m.number));
        if !unsettled {
            return Answer::Now(Ok(messages));
        }
        self.after_all(Ok(messages), |answer: &mut Whole<Vec<Message>>, fate| {
            if let Ok(messages) = answer {
                messages.retain(|message| !fate.gone.contains(&message.seq));
            }
        })
    }

    fn hold_from(&mut self, from: u64) {
        if let Rules::Pubsub(history) = &mut self.rules {
            history.hold_from(from);
        }
    }

    fn committed(&self) -> u64 {
        match &self.rules {
            Rules::Broker(_) => 0,
            Rules::Pubsub(history) => history.committed(),
        }
    }

    fn resume(&mut self, now: Timestamp, position: Option<Position>) -> Answer<Whole<Start>> {
        let Rules::Pubsub(history) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let epoch = history.epoch();
        let start = match position {
            Some(position) => {
                let (next, gap) = history.resume(position);
                Start { backlog: Vec::new(), next, gap, epoch }
            }
            None => {
                let backlog = history.claim_all(now, &mut self.ledger);
                Start { backlog, next: history.last_seq() + 1, gap: None, epoch }
            }
        };
        self.whole_after_all(Ok(start))
    }

    fn add_queue(&mut self, definition: QueueDefinition) -> Answer<Whole<()>> {
        let added = self.broker().and_then(|topic| Ok(topic.add_queue(definition.clone())?));
        if added.is_ok() {
            self.ledger.records.push(number_given("queue", definition.number));
            self.ledger.records.push(Record::QueuePut(definition));
        }
        self.whole_after_all(added)
    }

    fn set_queue(
        &mut self,
        now: Timestamp,
        queue: u32,
        policy: QueuePolicy,
        dead_letter: Option<Target>,
    ) -> Answer<Whole<()>> {
        self.last_now = now;
        let set = self.broker().and_then(|topic| {
            topic.set_queue_policy(queue, policy)?;
            topic.set_dead_letter_target(queue, dead_letter)?;
            let definition = topic.queues().find(|definition| definition.number == queue);
            Ok((definition.cloned(), topic.exhausted(queue)?))
        });
        let (definition, exhausted) = match set {
            Ok(set) => set,
            Err(error) => return Answer::Now(Err(error)),
        };
        self.ledger.records.extend(definition.map(Record::QueuePut));
        self.refill(exhausted);
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let expelled = topic.expel(now, queue, &mut self.ledger).map_err(EngineError::from);
        self.see_off();
        self.account();
        self.whole_after_all(expelled)
    }

    fn drop_queue(&mut self, queue: u32) -> Answer<Whole<()>> {
        let dropped = self.broker().and_then(|topic| {
            let lent = topic.counts(queue)?.in_flight > 0;
            topic.drop_queue(queue)?;
            Ok(lent)
        });
        self.account();
        match dropped {
            Ok(true) if !self.granted.is_empty() => {
                self.dropped.insert(queue);
                self.granted.hold(vec![Record::QueueDropped { queue }], ())
            }
            dropped => {
                if dropped.is_ok() {
                    self.ledger.records.push(Record::QueueDropped { queue });
                }
                self.whole_after_all(dropped.map(drop))
            }
        }
    }

    fn detach(&mut self, now: Timestamp, queue: u32) -> Answer<Whole<Box<Detached>>> {
        self.last_now = now;
        let held = match self.broker() {
            Ok(topic) => topic.len(),
            Err(error) => return Answer::Now(Err(error)),
        };
        self.refill(held * 2 + 1);
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let detached =
            topic.detach(now, queue, &mut self.ledger).map(Box::new).map_err(EngineError::from);
        self.account();
        self.whole_after_all(detached)
    }

    fn attach(
        &mut self,
        now: Timestamp,
        mut detached: Box<Detached>,
    ) -> Result<Answer<Whole<()>>, Box<Detached>> {
        let Rules::Broker(topic) = &mut self.rules else { return Err(detached) };
        detached.definition.topic = self.definition.number;
        let definition = detached.definition.clone();
        topic.attach(now, detached)?;
        // Its bodies may be on disk: behave as if.
        self.cold |= self.remembers;
        self.ledger.records.push(Record::QueuePut(definition));
        self.account();
        Ok(self.whole_after_all(Ok(())))
    }

    fn set_topic(&mut self, policy: TopicPolicy) -> Answer<Whole<()>> {
        if policy.durability != self.definition.policy.durability {
            return Answer::Now(Err(Refusal::OutOfBounds("durability").into()));
        }
        self.definition.policy = policy.clone();
        match &mut self.rules {
            Rules::Broker(topic) => topic.set_policy(policy),
            Rules::Pubsub(history) => history.set_policy(policy),
        }
        self.ledger.records.push(Record::TopicPut(self.definition.clone()));
        self.whole_after_all(Ok(()))
    }

    fn drop_topic(&mut self) -> Answer<Whole<()>> {
        self.granted.end_all();
        self.let_go();
        let TopicDefinition { number: topic, salt, .. } = self.definition;
        self.ledger.records.push(Record::TopicDropped { topic });
        if self.remembers {
            // Messages that went to other topics keep the ids they got here.
            self.ledger.records.push(salt_of_dropped(topic, Some(salt)));
        }
        self.memory.adjust(self.accounted, 0);
        self.accounted = 0;
        self.whole_after_all(Ok(()))
    }

    fn definition(&self) -> &TopicDefinition {
        &self.definition
    }

    fn queues(&self) -> Vec<QueueDefinition> {
        match &self.rules {
            Rules::Broker(topic) => topic.queues().cloned().collect(),
            Rules::Pubsub(_) => Vec::new(),
        }
    }

    fn queue_number(&self, name: &QueueName) -> Option<u32> {
        match &self.rules {
            Rules::Broker(topic) => topic.queue_number(name),
            Rules::Pubsub(_) => None,
        }
    }

    fn strangers(&self) -> u64 {
        match &self.rules {
            Rules::Broker(topic) => topic.strangers(),
            Rules::Pubsub(_) => 0,
        }
    }

    fn departures(&mut self) -> Vec<Leaving> {
        std::mem::take(&mut self.departed)
    }

    fn adopt(&mut self, now: Timestamp, arriving: Vec<Leaving>) {
        let Rules::Broker(topic) = &mut self.rules else { return };
        for leaving in arriving {
            if let Err(lost) = topic.adopt(now, Box::new(leaving), &mut self.ledger) {
                log::warn!(
                    "topic {}: message {} arrived for a queue that is gone",
                    self.definition.name,
                    lost.message.id()
                );
            }
        }
        self.cold |= self.remembers;
        self.account();
        self.flush(now);
    }

    fn barrier(&mut self) -> Answer<Whole<()>> {
        self.whole_after_all(Ok(()))
    }

    fn close(&mut self, now: Timestamp) {
        self.granted.end_all();
        self.let_go();
        if self.remembers {
            let (topic, through) = (self.definition.number, self.last_seq());
            self.ledger.records.push(Record::SeqReserved { topic, through });
        }
        self.flush(now);
    }
}
