//! Making engines: of a new topic, of all that are in the store, and of one that failed.

use super::*;
use crate::journal::Catalog;

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

    pub(super) fn empty(&self, definition: TopicDefinition) -> LocalEngine {
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

impl LocalEngine {
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
}

/// Numbers of topics and queues are never given twice, even when the highest was deleted.
pub(super) fn number_given(what: &str, number: u32) -> Record {
    Record::Setting { table: "counter", key: what.to_owned(), value: Some(number.to_string()) }
}

/// The salts of topics that were dropped, as long as a message needs them for its id.
const SALTS: &str = "salt";

pub(super) fn salt_of_dropped(topic: u32, salt: Option<u32>) -> Record {
    let value = salt.map(|salt| salt.to_string());
    Record::Setting { table: SALTS, key: topic.to_string(), value }
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
