//! The local engine: the rules of `queue` in memory, the journal behind them.
//!
//! Rules are applied at once, in the order of the calls; what they note goes to the journal at the
//! end of the turn, and every answer that tells of something not yet in the store waits for it.
//! When the store refuses a unit, its publishes are taken back before anybody has seen them.

use super::granted::Granted;
use super::pending::{Fate, Pipeline, Release};
use super::*;
use crate::journal::{Catalog, Journal, Submission};
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
};

/// Events handled in one call of [`Engine::expire`].
const EXPIRE_BUDGET: usize = 256;
/// Sequence numbers reserved in the store at a time.
const SEQ_BLOCK: u64 = 1 << 16;
/// Bodies read ahead of the consumers of a queue that is partly on disk.
const READ_AHEAD: usize = 128;
/// Units waiting for a busy journal above which publishes are refused.
const STALLED_MAX: usize = 64;
/// Bytes of history given back at a time when memory is short.
const RELIEF: u64 = 1 << 20;
/// How long a taken message may be on its way from the disk.
const PAGE_IN_DEADLINE: Duration = Duration::from_secs(3600);
/// How soon a busy journal is tried again.
const BUSY_RETRY: Duration = Duration::from_millis(2);

/// What all topics may hold in memory together.
#[derive(Debug)]
pub struct MemoryBudget {
    resident: AtomicU64,
    limit: u64,
}

impl MemoryBudget {
    /// A budget of `limit` bytes of message bodies.
    pub fn new(limit: u64) -> Self {
        MemoryBudget { resident: AtomicU64::new(0), limit }
    }

    /// Bytes of bodies held now.
    pub fn resident(&self) -> u64 {
        self.resident.load(Relaxed)
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    fn adjust(&self, before: u64, now: u64) {
        if now >= before {
            self.resident.fetch_add(now - before, Relaxed);
        } else {
            self.resident.fetch_sub(before - now, Relaxed);
        }
    }
}

enum Rules {
    Broker(Box<Topic>),
    Pubsub(Box<History>),
}

/// What other threads report.
enum Event {
    Settled { ticket: u64, result: Result<(), JournalError> },
    Fill { id: u64, fill: Fill },
    Fetched { fill: u64, bodies: Vec<(u64, Option<Bytes>)> },
    Warmed { bodies: Vec<(u64, Option<Bytes>)> },
    Departed(Vec<Leaving>),
}

/// An answer that lacks bodies which are on disk.
enum Fill {
    Deliveries { deliveries: Vec<Delivery>, take: bool, to: oneshot::Sender<Whole<Vec<Delivery>>> },
    View { view: Box<View>, to: oneshot::Sender<Whole<View>> },
    Views { views: Vec<View>, to: oneshot::Sender<Whole<Vec<View>>> },
    Page { page: Page, to: oneshot::Sender<Whole<Page>> },
    Read { batch: ReadBatch, to: oneshot::Sender<Whole<ReadBatch>> },
    Messages { messages: Vec<Message>, to: oneshot::Sender<Whole<Vec<Message>>> },
}

/// The engine of one topic on this machine.
pub struct LocalEngine {
    definition: TopicDefinition,
    rules: Rules,
    /// False at level memory: messages never reach the store, definitions do.
    remembers: bool,
    journal: Journal,
    memory: Arc<MemoryBudget>,
    accounted: u64,
    ledger: Ledger,
    pipeline: Pipeline,
    stalled: VecDeque<Submission>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    wake: Wake,
    fills: FxHashMap<u64, Fill>,
    granted: Granted,
    /// Queues that were dropped while bodies of theirs were being read.
    dropped: FxHashSet<u32>,
    /// Some bodies are on disk only.
    cold: bool,
    warming: bool,
    departed: Vec<Leaving>,
    seq_reserved: u64,
    last_now: Timestamp,
}

impl LocalEngine {
    /// An engine without messages. `nonce` starts the receipts: differs between any two runs.
    fn new(
        definition: TopicDefinition,
        journal: Journal,
        memory: Arc<MemoryBudget>,
        nonce: u64,
    ) -> Self {
        let rules = match definition.kind {
            Kind::Broker => Rules::Broker(Box::new(Topic::new(&definition, nonce))),
            Kind::Pubsub => Rules::Pubsub(Box::new(History::new(&definition))),
        };
        let remembers = definition.policy.durability != Level::Memory;
        LocalEngine {
            definition,
            rules,
            remembers,
            journal,
            memory,
            accounted: 0,
            ledger: if remembers { Ledger::on(1, 0) } else { Ledger::off(1) },
            pipeline: Pipeline::default(),
            stalled: VecDeque::new(),
            events: mpsc::channel(),
            wake: Arc::new(|| ()),
            fills: FxHashMap::default(),
            granted: Granted::default(),
            dropped: FxHashSet::default(),
            cold: false,
            warming: false,
            departed: Vec::new(),
            seq_reserved: 0,
            last_now: Timestamp(0),
        }
    }

    fn restore(&mut self, now: Timestamp, message: Restored) {
        self.cold |= message.body.is_none();
        match &mut self.rules {
            Rules::Broker(topic) => topic.restore(now, message),
            Rules::Pubsub(history) => history.restore(now, message),
        }
    }

    fn restore_dedup(&mut self, dedup: crate::journal::RestoredDedup) {
        let crate::journal::RestoredDedup { number, key, seq, published_at, until, .. } = dedup;
        match &mut self.rules {
            Rules::Broker(topic) => topic.restore_dedup(number, key, seq, published_at, until),
            Rules::Pubsub(history) => history.restore_dedup(number, key, seq, published_at, until),
        }
    }

    /// Ends the restoring: numbers go on above what may have been used.
    fn restored(&mut self, reserved: u64, claimed: u64) {
        match &mut self.rules {
            Rules::Broker(topic) => topic.continue_after(reserved),
            Rules::Pubsub(history) => history.continue_after(reserved, claimed),
        }
        self.seq_reserved = reserved;
        self.account();
    }

    fn last_seq(&self) -> u64 {
        match &self.rules {
            Rules::Broker(topic) => topic.last_seq(),
            Rules::Pubsub(history) => history.last_seq(),
        }
    }

    /// Numbers for the records of one verb.
    fn refill(&mut self, count: usize) {
        let count = count as u64;
        // Topics at level memory take the same numbers: messages move between all topics, and their
        // numbers are their places in line.
        let first = self.journal.numbers(count);
        let records = std::mem::take(&mut self.ledger.records);
        self.ledger = if self.remembers {
            Ledger::on(first, first.saturating_add(count).saturating_sub(1))
        } else {
            Ledger::off(first)
        };
        self.ledger.records = records;
    }

    /// Sequence numbers are given only below what the store knows to be reserved.
    fn reserve_seqs(&mut self, count: usize) {
        let last_seq = self.last_seq() + count as u64;
        if self.remembers && last_seq > self.seq_reserved {
            self.seq_reserved = last_seq + SEQ_BLOCK;
            let (topic, through) = (self.definition.number, self.seq_reserved);
            self.ledger.note(|| Record::SeqReserved { topic, through });
        }
    }

    /// The store takes no publishes now.
    fn publishes_refused(&self) -> Option<EngineError> {
        match () {
            () if !self.remembers => None,
            () if self.journal.is_full() => Some(JournalError::DiskFull.into()),
            () if self.stalled.len() >= STALLED_MAX => Some(JournalError::Busy.into()),
            () => None,
        }
    }

    /// Tells the common budget what this topic holds now.
    fn account(&mut self) {
        let now = match &self.rules {
            Rules::Broker(topic) => topic.resident_bytes(),
            Rules::Pubsub(history) => history.resident_bytes(),
        };
        self.memory.adjust(self.accounted, now);
        self.accounted = now;
    }

    fn broker(&mut self) -> Result<&mut Topic, EngineError> {
        match &mut self.rules {
            Rules::Broker(topic) => Ok(topic),
            Rules::Pubsub(_) => Err(Refusal::WrongKind.into()),
        }
    }

    /// An answer that leaves when everything decided so far is in the store.
    fn after_all<T: Send + 'static>(
        &mut self,
        mut value: T,
        on_fate: impl FnOnce(&mut T, &Fate<'_>) + Send + 'static,
    ) -> Answer<T> {
        if self.ledger.records.is_empty() && self.pipeline.in_store() == 0 {
            return Answer::Now(value);
        }
        let (to, answer) = oneshot::channel();
        let release: Release = Box::new(move |fate| {
            on_fate(&mut value, fate);
            // A client that went away meanwhile is told nothing.
            let _ = to.send(value);
        });
        self.pipeline.after_all(!self.ledger.records.is_empty(), release);
        Answer::Later(answer)
    }

    /// [`Self::after_all`] for one result: the store's refusal becomes the result.
    fn whole_after_all<T: Send + 'static>(&mut self, value: Whole<T>) -> Answer<Whole<T>> {
        if value.is_err() {
            return Answer::Now(value);
        }
        self.after_all(value, |value, fate| {
            if let Some(error) = fate.error {
                *value = Err(error.clone());
            }
        })
    }

    /// [`Self::after_all`] for a batch: the store's refusal becomes the result of each that went well.
    fn each_after_all<T: Send + 'static>(&mut self, values: Each<T>) -> Answer<Each<T>> {
        if values.iter().all(Result::is_err) {
            return Answer::Now(values);
        }
        self.after_all(values, |values, fate| {
            if let Some(error) = fate.error {
                values
                    .iter_mut()
                    .filter(|value| value.is_ok())
                    .for_each(|value| *value = Err(error.clone()));
            }
        })
    }

    fn submit(&mut self, submission: Submission) {
        if !self.stalled.is_empty() {
            self.stalled.push_back(submission);
            return;
        }
        match self.journal.submit(submission) {
            Ok(()) => (),
            Err((JournalError::Busy, submission)) => self.stalled.push_back(submission),
            Err((error, submission)) => {
                if let Some(done) = submission.done {
                    done(Err(error));
                }
            }
        }
    }

    fn retry_stalled(&mut self) {
        for submission in std::mem::take(&mut self.stalled) {
            self.submit(submission);
        }
    }

    /// Messages that left for other topics are handed on when their move is in the store.
    fn see_off(&mut self) {
        let Rules::Broker(topic) = &mut self.rules else { return };
        let leaving = topic.take_leaving();
        if leaving.is_empty() {
            return;
        }
        if !self.remembers {
            self.departed.extend(leaving);
            return;
        }
        let events = self.events.0.clone();
        let topic = self.definition.name.clone();
        let release: Release = Box::new(move |fate| match fate.error {
            None => drop(events.send(Event::Departed(leaving))),
            Some(error) => log::error!(
                "topic {topic}: {} messages could not be moved and stay where they are until a restart: {error}",
                leaving.len()
            ),
        });
        self.pipeline.after_all(!self.ledger.records.is_empty(), release);
    }

    /// Reads what an answer lacks from the disk, then completes it.
    fn start_fill(&mut self, id: u64, fill: Fill) {
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

    /// Purges that waited only for this fill go to the store.
    fn fill_is_done(&mut self, id: u64) {
        self.granted.end(id);
        self.let_go();
        if self.granted.is_empty() {
            self.dropped.clear();
        }
    }

    /// Purges that wait for no fill any more go to the store.
    fn let_go(&mut self) {
        while let Some(held) = self.granted.next_free() {
            let (records, release) = held.into_parts();
            self.ledger.records.extend(records);
            self.pipeline.after_all(!self.ledger.records.is_empty(), release);
        }
    }

    /// The answer to a purge whose facts are in the ledger from `from` on.
    fn purged(&mut self, from: usize, removed: Whole<u64>) -> Answer<Whole<u64>> {
        match removed {
            Ok(removed) if !self.granted.is_empty() => {
                self.granted.hold(self.ledger.records.split_off(from), removed)
            }
            removed => self.whole_after_all(removed),
        }
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

    fn finish_fill(&mut self, id: u64, bodies: Vec<(u64, Option<Bytes>)>) {
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
    fn take_delivered(&mut self, deliveries: &mut Vec<Delivery>) {
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

    /// Keeps the bodies of the next messages of a queue in memory while it is being read.
    fn read_ahead(&mut self, queue: u32) {
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

    fn warm(&mut self, bodies: Vec<(u64, Option<Bytes>)>) {
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

    fn settle_unit(&mut self, ticket: u64, result: Result<(), JournalError>) {
        let error = result.err().map(EngineError::Store);
        let Some(unit) = self.pipeline.take(ticket, error.is_some()) else { return };
        match (&mut self.rules, &error) {
            (Rules::Broker(_), None) => (),
            (Rules::Broker(topic), Some(_)) => topic.unpublish(&unit.published),
            (Rules::Pubsub(history), Some(_)) => history.unpublish(&unit.published),
            (Rules::Pubsub(history), None) => {
                if let Some(last) = unit.published.last() {
                    history.commit(*last);
                }
            }
        }
        if let Some(error) = &error {
            log::warn!("topic {}: the store refused a commit: {error}", self.definition.name);
            self.account();
        }
        self.pipeline.release(unit, error.as_ref());
    }

    /// A view, page or batch with bodies on disk is completed first.
    fn filled<T>(
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
}

/// Numbers of topics and queues are never given twice, even when the highest was deleted.
fn number_given(what: &str, number: u32) -> Record {
    Record::Setting { table: "counter", key: what.to_owned(), value: Some(number.to_string()) }
}

/// The salts of topics that were dropped, as long as a message needs them for its id.
const SALTS: &str = "salt";

fn salt_of_dropped(topic: u32, salt: Option<u32>) -> Record {
    let value = salt.map(|salt| salt.to_string());
    Record::Setting { table: SALTS, key: topic.to_string(), value }
}

fn is_cold(message: &Message) -> bool {
    message.body.is_none()
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
        if let Some(error) = self.publishes_refused() {
            return Answer::Now(messages.iter().map(|_| Err(error.clone())).collect());
        }
        let places = match &self.rules {
            Rules::Broker(topic) if to.is_none() => topic.queues().count(),
            Rules::Broker(_) | Rules::Pubsub(_) => 1,
        };
        // A message, its places, a dedup key, and a message dropped for it.
        self.refill(messages.len() * (places + 3));
        self.reserve_seqs(messages.len());
        let mut results: Each<Placed> = Vec::with_capacity(messages.len());
        let mut room = self.memory.limit().saturating_sub(self.memory.resident());
        for message in messages {
            let size = message.body.len() as u64;
            if room < size
                && let Rules::Pubsub(history) = &mut self.rules
            {
                // A history is what can be spared first.
                room += history.relieve(size.max(RELIEF), self.remembers, &mut self.ledger);
                self.cold |= self.remembers;
            }
            let keep_body = room >= size;
            if !keep_body && !self.remembers {
                let (resident, limit) = (self.memory.resident(), self.memory.limit());
                results.push(Err(EngineError::Memory { resident, limit }));
                continue;
            }
            let placed = match &mut self.rules {
                Rules::Broker(topic) => {
                    topic.publish(now, to, message, keep_body, &mut self.ledger)
                }
                Rules::Pubsub(history) => {
                    history.publish(now, message, listeners, keep_body, &mut self.ledger)
                }
            };
            if let Ok(placed) = &placed
                && !placed.duplicate
            {
                self.cold |= !keep_body;
                room = room.saturating_sub(size);
                if self.remembers {
                    self.pipeline.open().published.push(placed.seq);
                }
            }
            results.push(placed.map_err(EngineError::from));
        }
        if !self.remembers
            && let Rules::Pubsub(history) = &mut self.rules
        {
            history.commit(history.last_seq());
        }
        self.account();
        if results.iter().all(Result::is_err) {
            return Answer::Now(results);
        }
        self.after_all(results, |results, fate| {
            for result in results.iter_mut() {
                let gone = result.as_ref().is_ok_and(|placed| fate.gone.contains(&placed.seq));
                if let (true, Some(error)) = (result.is_ok(), fate.error) {
                    *result = Err(error.clone());
                } else if gone {
                    // A duplicate of a message that the store did not take.
                    *result = Err(EngineError::Store(JournalError::Busy));
                }
            }
        })
    }

    fn publish_copies(
        &mut self,
        now: Timestamp,
        message: NewMessage,
    ) -> Answer<Whole<Vec<PlacedCopy>>> {
        if let Some(error) = self.publishes_refused() {
            return Answer::Now(Err(error));
        }
        let queues = match self.broker() {
            Ok(topic) => topic.queues().count(),
            Err(error) => return Answer::Now(Err(error)),
        };
        // A message for each, and one that is dropped for it.
        self.refill(queues * 2);
        self.reserve_seqs(queues);
        let (resident, limit) = (self.memory.resident(), self.memory.limit());
        let keep_body = limit.saturating_sub(resident) >= message.body.len() as u64;
        if !keep_body && !self.remembers {
            return Answer::Now(Err(EngineError::Memory { resident, limit }));
        }
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let copies = match topic.publish_copies(now, &message, keep_body, &mut self.ledger) {
            Ok(copies) => copies,
            Err(refusal) => return Answer::Now(Err(refusal.into())),
        };
        self.cold |= !keep_body;
        if self.remembers {
            self.pipeline.open().published.extend(copies.iter().map(|copy| copy.origin.seq));
        }
        self.account();
        if copies.is_empty() {
            return Answer::Now(Ok(copies));
        }
        self.whole_after_all(Ok(copies))
    }

    fn receive(
        &mut self,
        now: Timestamp,
        queue: u32,
        request: Receive,
    ) -> Answer<Whole<Vec<Delivery>>> {
        self.last_now = now;
        let take = request.take;
        // A body on disk must be read before its row may go: take it as a delivery, ack it with its body.
        let by_way_of_disk = take && self.cold;
        let mut deliveries = Vec::new();
        match &mut self.rules {
            Rules::Broker(topic) => {
                let request = if by_way_of_disk {
                    Receive { take: false, ack_deadline: Some(PAGE_IN_DEADLINE), ..request }
                } else {
                    request
                };
                if let Err(refusal) =
                    topic.receive(now, queue, &request, &mut deliveries, &mut self.ledger)
                {
                    return Answer::Now(Err(refusal.into()));
                }
                if topic.is_empty() {
                    self.cold = false;
                }
            }
            Rules::Pubsub(history) => {
                if !take {
                    return Answer::Now(Err(Refusal::WrongKind.into()));
                }
                let messages = history.claim(now, request.max, request.bytes_max, &mut self.ledger);
                deliveries.extend(messages.into_iter().map(|message| Delivery {
                    message,
                    receipt: None,
                    attempt: 1,
                    at: now,
                    deadline: Timestamp::NEVER,
                    expires_at: Timestamp::NEVER,
                }));
            }
        }
        if deliveries.is_empty() {
            return Answer::Now(Ok(deliveries));
        }
        let missing = deliveries.iter().any(|delivery| is_cold(&delivery.message));
        if missing {
            let answer = self.filled(
                deliveries,
                |deliveries, to| Fill::Deliveries { deliveries, take: by_way_of_disk, to },
                true,
            );
            self.read_ahead(queue);
            return answer;
        }
        if by_way_of_disk {
            self.take_delivered(&mut deliveries);
        }
        self.account();
        self.read_ahead(queue);
        let unsettled = take
            || deliveries
                .iter()
                .any(|delivery| self.pipeline.is_unsettled(delivery.message.number));
        if !unsettled {
            return Answer::Now(Ok(deliveries));
        }
        self.after_all(Ok(deliveries), move |answer: &mut Whole<Vec<Delivery>>, fate| {
            if let (true, Some(error)) = (take, fate.error) {
                *answer = Err(error.clone());
            } else if let Ok(deliveries) = answer {
                deliveries.retain(|delivery| !fate.gone.contains(&delivery.message.seq));
            }
        })
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

impl Drop for LocalEngine {
    fn drop(&mut self) {
        self.memory.adjust(self.accounted, 0);
    }
}

/// Makes local engines on one journal.
pub struct LocalFactory {
    journal: Journal,
    memory: Arc<MemoryBudget>,
    clock: fn() -> Timestamp,
}

impl LocalFactory {
    /// Engines that share a journal and a memory budget.
    pub fn new(journal: Journal, memory: Arc<MemoryBudget>, clock: fn() -> Timestamp) -> Self {
        LocalFactory { journal, memory, clock }
    }

    fn empty(&self, definition: TopicDefinition) -> LocalEngine {
        let nonce = uuid::Uuid::new_v4().as_u64_pair().0;
        LocalEngine::new(definition, self.journal.clone(), self.memory.clone(), nonce)
    }

    /// Builds the engines of all topics with one pass over the store. Blocks.
    pub fn open_all(&self, catalog: &Catalog) -> Result<Vec<Box<dyn Engine>>, EngineError> {
        let mut engines = FxHashMap::default();
        for definition in &catalog.topics {
            let mut definition = definition.clone();
            if !self.sequence_is_whole(&definition, catalog) {
                definition.epoch = definition.epoch.wrapping_add(1);
            }
            let changed = definition.epoch != self.epoch_in(catalog, definition.number);
            let mut engine = self.empty(definition);
            if changed {
                engine.ledger.records.push(Record::TopicPut(engine.definition.clone()));
            }
            engines.insert(engine.definition.number, engine);
        }
        let met = self.load(&mut engines, catalog, None)?;
        self.forget_salts(catalog, &met);
        let mut engines: Vec<_> = engines.into_values().collect();
        engines.sort_by_key(|engine| engine.definition.number);
        Ok(engines.into_iter().map(|engine| Box::new(engine) as Box<dyn Engine>).collect())
    }

    /// Salts of dropped topics from which no message is left are needed no longer.
    fn forget_salts(&self, catalog: &Catalog, met: &FxHashSet<u32>) {
        let unmet = salts_of_dropped(catalog).filter(|(topic, _)| !met.contains(topic));
        let records: Vec<Record> = unmet.map(|(topic, _)| salt_of_dropped(topic, None)).collect();
        if !records.is_empty() {
            let submission = Submission { records, level: Level::Async, done: None };
            // What is not forgotten now is forgotten at another start.
            drop(self.journal.submit(submission));
        }
    }

    fn epoch_in(&self, catalog: &Catalog, topic: u32) -> u32 {
        catalog.topics.iter().find(|known| known.number == topic).map_or(0, |known| known.epoch)
    }

    /// False: sequence numbers that were given out may be given out again, so positions of the
    /// last run must not be trusted (a new epoch says so).
    fn sequence_is_whole(&self, definition: &TopicDefinition, catalog: &Catalog) -> bool {
        match definition.policy.durability {
            Level::Memory => false,
            Level::Async => catalog.clean || catalog.same_boot,
            Level::Sync => true,
        }
    }

    fn load(
        &self,
        engines: &mut FxHashMap<u32, LocalEngine>,
        catalog: &Catalog,
        only: Option<u32>,
    ) -> Result<FxHashSet<u32>, EngineError> {
        let now = (self.clock)();
        let mut topic_of: FxHashMap<u32, u32> = FxHashMap::default();
        let mut number_of: FxHashMap<(&[u8], &[u8]), &QueueDefinition> = FxHashMap::default();
        let name_of: FxHashMap<u32, &TopicName> =
            catalog.topics.iter().map(|topic| (topic.number, &topic.name)).collect();
        let directory = TopicName::unattached();
        for queue in &catalog.queues {
            topic_of.insert(queue.number, queue.topic);
            if let Some(topic) = name_of.get(&queue.topic) {
                number_of.insert((topic.as_bytes(), queue.name.as_bytes()), queue);
            }
            if queue.policy.global {
                number_of.insert((directory.as_bytes(), queue.name.as_bytes()), queue);
            }
            if let Some(engine) = engines.get_mut(&queue.topic) {
                engine.broker()?.add_queue(queue.clone()).map_err(EngineError::from)?;
            }
        }
        for queue in &catalog.queues {
            let (Some(engine), Some(target)) =
                (engines.get_mut(&queue.topic), &queue.policy.dead_letter)
            else {
                continue;
            };
            let found = number_of.get(&(target.topic.as_bytes(), target.queue.as_bytes()));
            let target = found.map(|target| Target::new(target.number, &target.policy));
            engine.broker()?.set_dead_letter_target(queue.number, target)?;
        }
        let mut room = self.memory.limit().saturating_sub(self.memory.resident());
        let mut keep_body = |bytes: usize| {
            let keep = room >= bytes as u64;
            room = room.saturating_sub(bytes as u64);
            keep
        };
        let known = catalog.topics.iter().map(|topic| (topic.number, topic.salt));
        let salt_of: FxHashMap<u32, u32> = known.chain(salts_of_dropped(catalog)).collect();
        let mut met = FxHashSet::default();
        self.journal.restore(only, &mut keep_body, &mut |mut message| {
            let topic = match message.entries.first() {
                Some(entry) => topic_of.get(&entry.queue).copied(),
                None => Some(message.topic),
            };
            if topic != Some(message.topic)
                && let Some(salt) = salt_of.get(&message.topic)
            {
                met.insert(message.topic);
                keep_made_id(&mut message, *salt);
            }
            if let Some(engine) = topic.and_then(|topic| engines.get_mut(&topic)) {
                engine.restore(now, message);
            }
        })?;
        self.journal.restore_dedup(only, &mut |dedup| {
            if let Some(engine) = engines.get_mut(&dedup.topic) {
                engine.restore_dedup(dedup);
            }
        })?;
        let marks = |marks: &[(u32, u64)], topic: u32| {
            marks.iter().find(|(number, _)| *number == topic).map_or(0, |(_, through)| *through)
        };
        for (number, engine) in engines.iter_mut() {
            engine.restored(marks(&catalog.reserved, *number), marks(&catalog.claimed, *number));
        }
        Ok(met)
    }
}

fn salts_of_dropped(catalog: &Catalog) -> impl Iterator<Item = (u32, u32)> + '_ {
    let salts = catalog.settings.iter().filter(|(table, _, _)| table == SALTS);
    salts.filter_map(|(_, topic, salt)| Some((topic.parse().ok()?, salt.parse().ok()?)))
}

/// A message that was moved from the topic that made its id keeps that id.
fn keep_made_id(message: &mut Restored, salt: u32) {
    let mut extra = message.extra.as_deref().cloned().unwrap_or_default();
    if extra.made_id.is_none()
        && let MessageId::Made(id) = MessageId::made(message.published_at, salt, message.seq)
    {
        extra.made_id = Some(id);
        message.extra = Some(Arc::new(extra));
    }
}

impl EngineFactory for LocalFactory {
    fn create(&self, definition: TopicDefinition) -> Box<dyn Engine> {
        let mut engine = self.empty(definition);
        let counter = engine.definition.number;
        engine.ledger.records.push(Record::TopicPut(engine.definition.clone()));
        engine.ledger.records.push(number_given("topic", counter));
        Box::new(engine)
    }

    fn rebuild(&self, definition: &TopicDefinition) -> Result<Box<dyn Engine>, EngineError> {
        let catalog = self.journal.catalog()?;
        let current = catalog.topics.iter().find(|known| known.number == definition.number);
        let mut definition = current.cloned().unwrap_or_else(|| definition.clone());
        if definition.policy.durability == Level::Memory {
            definition.epoch = definition.epoch.wrapping_add(1);
        }
        let number = definition.number;
        let mut engines = FxHashMap::default();
        engines.insert(number, self.empty(definition));
        self.load(&mut engines, &catalog, Some(number))?;
        let engine = engines.remove(&number).ok_or(JournalError::Closed)?;
        Ok(Box::new(engine))
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::{self, Bench};
    use super::*;
    use crate::journal::JournalSettings;

    struct OnDisk {
        folder: tempfile::TempDir,
        journal: Option<Journal>,
        memory_bytes: u64,
    }

    impl OnDisk {
        fn new(memory_bytes: u64) -> Self {
            OnDisk { folder: tempfile::tempdir().unwrap(), journal: None, memory_bytes }
        }

        fn open(&mut self) -> (LocalFactory, Catalog) {
            let settings = JournalSettings {
                path: self.folder.path().join("store"),
                queue_max: 64,
                commit_records_max: 4096,
                commit_bytes_max: 4 << 20,
                sync_interval: Duration::from_millis(20),
                reserve_bytes: 1 << 16,
                cache_bytes: 1 << 20,
            };
            let (journal, catalog) = Journal::open(settings).unwrap();
            self.journal = Some(journal.clone());
            let memory = Arc::new(MemoryBudget::new(self.memory_bytes));
            (LocalFactory::new(journal, memory, || Timestamp(4_000_000_000_000)), catalog)
        }
    }

    impl Bench for OnDisk {
        fn create(&mut self, definition: TopicDefinition) -> Box<dyn Engine> {
            self.open().0.create(definition)
        }

        fn restart(&mut self, engine: Box<dyn Engine>, killed: bool) -> Box<dyn Engine> {
            let journal = self.journal.take().unwrap();
            if !killed {
                journal.close().unwrap();
            }
            // The last handle ends the threads and gives the lock back.
            drop((engine, journal));
            let (factory, catalog) = self.open();
            let mut engines = factory.open_all(&catalog).unwrap();
            assert_eq!(engines.len(), 1);
            engines.remove(0)
        }
    }

    #[test]
    fn the_local_engine_keeps_the_contract() {
        contract::all(|| Box::new(OnDisk::new(1 << 20)));
    }

    /// An engine whose every body is on disk, with one message in its one queue.
    struct Cold {
        now: Timestamp,
        engine: LocalEngine,
        bell: mpsc::Receiver<()>,
        _bench: OnDisk,
    }

    impl Cold {
        fn new(settled: bool) -> Cold {
            let now = Timestamp(4_000_000_000_000);
            let mut bench = OnDisk::new(0);
            let (factory, _) = bench.open();
            let definition = TopicDefinition {
                number: 1,
                name: TopicName::parse("t").unwrap(),
                kind: Kind::Broker,
                policy: TopicPolicy::default(),
                salt: 1,
                epoch: 1,
                owner: None,
                created_at: now,
            };
            let mut engine = factory.empty(definition);
            let (rings, bell) = mpsc::channel();
            engine.connect(Arc::new(move || {
                let _ = rings.send(());
            }));
            let queue = QueueDefinition {
                number: 1,
                topic: 1,
                name: QueueName::parse("q").unwrap(),
                policy: QueuePolicy::default(),
                created_at: now,
            };
            drop(engine.add_queue(queue));
            let mut cold = Cold { now, engine, bell, _bench: bench };
            let body = NewMessage::plain(Bytes::from("body"));
            drop(cold.engine.publish(now, None, vec![body], false));
            if settled {
                cold.engine.flush(now);
                while cold.engine.pipeline.in_store() > 0 {
                    cold.turn();
                }
            }
            cold
        }

        fn turn(&mut self) {
            self.bell.recv_timeout(Duration::from_secs(20)).expect("the engine has news");
            self.engine.settle(self.now);
        }

        /// Asks for the message.
        fn receive(&mut self, take: bool) -> oneshot::Receiver<Whole<Vec<Delivery>>> {
            let request = Receive {
                max: 1,
                bytes_max: usize::MAX,
                ack_deadline: None,
                take,
                from_back: false,
            };
            match self.engine.receive(self.now, 1, request) {
                Answer::Later(got) => got,
                Answer::Now(_) => panic!("the body is on disk"),
            }
        }

        /// What comes of `last`, before which the deliveries come.
        fn end<T>(
            &mut self,
            mut got: oneshot::Receiver<Whole<Vec<Delivery>>>,
            last: Answer<Whole<T>>,
        ) -> (Vec<Delivery>, T) {
            let Answer::Later(mut last) = last else { panic!("the body is not read yet") };
            let told = |record: &Record| {
                matches!(record, Record::Purged { .. } | Record::QueueDropped { .. })
            };
            assert!(!self.engine.ledger.records.iter().any(told), "the store hears of it later");
            self.engine.flush(self.now);
            let mut deliveries = None;
            let value = loop {
                self.turn();
                if let Ok(answer) = got.try_recv() {
                    deliveries = Some(answer.unwrap());
                }
                if let Ok(answer) = last.try_recv() {
                    break answer.unwrap();
                }
            };
            let deliveries = deliveries.expect("the delivery comes before the last is confirmed");
            assert_eq!(deliveries[0].message.body(), b"body");
            (deliveries, value)
        }
    }

    /// What was asked first is answered first, though the purge took the row away.
    #[test]
    fn a_purge_goes_to_the_store_behind_the_bodies_that_were_granted_before() {
        for settled in [true, false] {
            let mut cold = Cold::new(settled);
            let got = cold.receive(false);
            let purged = cold.engine.purge(cold.now, 1);
            let (deliveries, removed) = cold.end(got, purged);
            assert_eq!(removed, 0);
            let receipt = Reference::Receipt(deliveries[0].receipt.unwrap());
            let Answer::Later(mut acked) = cold.engine.ack(cold.now, vec![receipt]) else {
                panic!("an ack is stored")
            };
            cold.engine.flush(cold.now);
            let acked = loop {
                cold.turn();
                if let Ok(answer) = acked.try_recv() {
                    break answer;
                }
            };
            assert_eq!(acked, [Ok(())]);
        }
    }

    /// The same of a queue that is dropped; its receipts are gone.
    #[test]
    fn a_queue_is_dropped_behind_the_bodies_that_were_granted_before() {
        for (settled, take) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut cold = Cold::new(settled);
            let got = cold.receive(take);
            let dropped = cold.engine.drop_queue(1);
            let (deliveries, ()) = cold.end(got, dropped);
            assert_eq!(deliveries[0].receipt.is_none(), take);
            assert_eq!(cold.engine.queues(), []);
            if let Some(receipt) = deliveries[0].receipt {
                let Answer::Now(acked) =
                    cold.engine.ack(cold.now, vec![Reference::Receipt(receipt)])
                else {
                    panic!("nothing is stored")
                };
                assert_eq!(acked, [Err(Refusal::ReceiptGone.into())]);
            }
        }
    }

    /// The store need not have what was purged in flight: that is no damage.
    #[test]
    fn a_body_that_the_store_let_go_of_is_not_shown_and_no_damage() {
        contract::a_swept_delivery_may_be_acked(&mut OnDisk::new(0));
    }

    #[test]
    fn a_purge_outlives_the_process() {
        for memory_bytes in [0, 1 << 20] {
            contract::a_purge_outlives_the_process(&mut || Box::new(OnDisk::new(memory_bytes)));
        }
    }

    #[test]
    fn it_keeps_the_contract_with_every_body_on_disk() {
        contract::all(|| Box::new(NoMemory(OnDisk::new(0))));
    }

    /// Stored topics keep no body in memory at all; those in memory still do.
    struct NoMemory(OnDisk);

    impl Bench for NoMemory {
        fn create(&mut self, definition: TopicDefinition) -> Box<dyn Engine> {
            self.0.memory_bytes =
                if definition.policy.durability == Level::Memory { 1 << 20 } else { 0 };
            self.0.create(definition)
        }

        fn restart(&mut self, engine: Box<dyn Engine>, killed: bool) -> Box<dyn Engine> {
            self.0.restart(engine, killed)
        }
    }
}
