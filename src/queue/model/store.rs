//! A store that does what the records say and nothing else, and gives topics back from it.

use crate::queue::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
struct Row {
    queue: u32,
    message: u64,
    visible_at: Timestamp,
    attempts: u32,
    failures: Vec<Failure>,
    dead: Option<DeadLetter>,
}

/// What the records left.
#[derive(Debug, Default, Clone)]
pub struct Store {
    messages: BTreeMap<u64, Stored>,
    rows: BTreeMap<u64, Row>,
    lone: BTreeSet<u64>,
    keys: BTreeMap<u64, (u32, bytes::Bytes, u64, Timestamp, Timestamp)>,
    /// Through which number a topic's backlog is claimed.
    pub claimed: BTreeMap<u32, u64>,
}

impl Store {
    /// Writes a fact down.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Published(stored) => {
                let ids = (stored.body.own_id(), stored.extra.as_ref());
                assert!(ids.0.is_none() || ids.1.is_none(), "a row has room for one of them");
                let places: Vec<(u64, u32)> = match &stored.place {
                    Place::Queue(queue) => vec![(stored.number, *queue)],
                    Place::Queues(places) => {
                        assert!(places.is_sorted() && places.len() > 1);
                        places.to_vec()
                    }
                    Place::History { .. } => Vec::new(),
                };
                for (entry, queue) in places {
                    self.put(entry, queue, stored.number, stored.visible_at);
                }
                if matches!(stored.place, Place::Queue(_)) {
                    self.lone.insert(stored.number);
                }
                let before = self.messages.insert(stored.number, stored);
                assert!(before.is_none(), "a number was used twice");
            }
            Record::Removed { entry, message, last } => {
                self.rows.remove(&entry);
                if last {
                    self.messages.remove(&message);
                    let left = self.rows.values().any(|row| row.message == message);
                    assert!(!left, "message {message} is gone and has a place");
                }
            }
            Record::Attempted { entry, attempts, visible_at, failures } => {
                let row = self.rows.get_mut(&entry).expect("an attempt of a place that is there");
                (row.attempts, row.visible_at, row.failures) = (attempts, visible_at, failures);
            }
            Record::Died { entry, letter } => {
                self.rows.get_mut(&entry).expect("a death of a place that is there").dead =
                    Some(letter);
            }
            Record::Moved { entry, message, to_entry, to_queue, copied, letter, times, lone } => {
                self.rows.remove(&entry).expect("a move of a place that is there");
                let stored = self.messages.get(&message).cloned().expect("a move of a message");
                let holds = if copied { to_entry } else { message };
                self.put(to_entry, to_queue, holds, times.visible_at);
                self.rows.get_mut(&to_entry).unwrap().dead = letter;
                let Times { expires_at, stamped, .. } = times;
                if !copied {
                    let others =
                        self.rows.iter().any(|(row, of)| of.message == message && *row != to_entry);
                    assert!(
                        !others || (stored.expires_at, stored.stamped) == (expires_at, stamped),
                        "a move changes the life of a message that others hold"
                    );
                }
                let moved = Stored { number: holds, expires_at, stamped, ..stored };
                self.messages.insert(holds, moved);
                self.lone.remove(&holds);
                if lone {
                    self.lone.insert(holds);
                }
                if copied && entry == message {
                    self.messages.remove(&message);
                }
            }
            Record::Purged { queue, through } => {
                let is_dead = |row: &Row| row.dead.as_ref().is_some_and(|letter| !letter.revived);
                let gone =
                    |entry: u64, row: &Row| row.queue == queue && entry <= through && !is_dead(row);
                self.rows.retain(|entry, row| !gone(*entry, row));
            }
            Record::QueueDropped { queue } => self.rows.retain(|_, row| row.queue != queue),
            Record::Deduped { number, topic, key, seq, published_at, until } => {
                self.keys.insert(number, (topic, key, seq, published_at, until));
            }
            Record::DedupForgotten { number } => {
                self.keys.remove(&number).expect("a key that is known");
            }
            Record::Claimed { topic, through } => drop(self.claimed.insert(topic, through)),
            other => panic!("the rules do not note {other:?}"),
        }
    }

    fn put(&mut self, entry: u64, queue: u32, message: u64, visible_at: Timestamp) {
        let row = Row { queue, message, visible_at, attempts: 0, failures: Vec::new(), dead: None };
        assert!(self.rows.insert(entry, row).is_none(), "a place was used twice");
    }

    /// The body of a message, for a topic that left it here.
    pub fn body(&self, number: u64) -> Option<bytes::Bytes> {
        Some(self.messages.get(&number)?.body.clone().into_body())
    }

    /// The publish of a message was refused.
    pub fn refuse(&mut self, topic: u32, seq: u64) {
        self.messages.retain(|_, message| (message.topic, message.seq) != (topic, seq));
        self.rows.retain(|_, row| self.messages.contains_key(&row.message));
        self.keys.retain(|_, key| (key.0, key.2) != (topic, seq));
    }

    /// Messages that have a place but are not there: never.
    pub fn check(&self) {
        for row in self.rows.values() {
            assert!(self.messages.contains_key(&row.message), "a place without its message");
        }
    }

    /// Everything in ascending order of numbers. Ids are kept across topics as the engine does;
    /// `keep_body`: the bodies are in memory.
    pub fn restored(
        &self,
        salts: &BTreeMap<u32, u32>,
        topic_of: impl Fn(u32) -> u32,
        keep_body: bool,
    ) -> Vec<(u32, Restored)> {
        let mut all = Vec::new();
        for stored in self.messages.values() {
            let rows = self.rows.iter().filter(|(_, row)| row.message == stored.number);
            let entries: Vec<RestoredEntry> = rows
                .map(|(entry, row)| RestoredEntry {
                    entry: *entry,
                    queue: row.queue,
                    attempts: row.attempts,
                    visible_at: row.visible_at,
                    failures: row.failures.clone(),
                    dead: row.dead.clone(),
                })
                .collect();
            let history = matches!(stored.place, Place::History { .. });
            if entries.is_empty() && !history {
                continue;
            }
            let topic = entries.first().map_or(stored.topic, |entry| topic_of(entry.queue));
            let mut extra = stored.extra.as_deref().cloned();
            if !keep_body && let Some(id) = stored.body.own_id() {
                extra.get_or_insert_default().client_id = Some(bytes::Bytes::copy_from_slice(id));
            }
            if topic != stored.topic
                && let MessageId::Made(id) =
                    MessageId::made(stored.published_at, salts[&stored.topic], stored.seq)
            {
                extra.get_or_insert_default().made_id = Some(id);
            }
            let restored = Restored {
                number: stored.number,
                topic: stored.topic,
                seq: stored.seq,
                published_at: stored.published_at,
                expires_at: stored.expires_at,
                extra: extra.map(std::sync::Arc::new),
                body: keep_body.then(|| stored.body.clone()),
                body_bytes: stored.body.len() as u32,
                entries,
                claimed: stored.place == Place::History { claimed: true },
                stamped: stored.stamped,
                lone: self.lone.contains(&stored.number),
                door: stored.door,
            };
            all.push((topic, restored));
        }
        all
    }

    /// What is kept of a pubsub topic.
    pub fn history(&self, topic: u32) -> Vec<Restored> {
        let all = self.restored(&BTreeMap::new(), |_| 0, true);
        all.into_iter().filter(|(of, _)| *of == topic).map(|(_, message)| message).collect()
    }

    /// The dedup keys of a topic, in ascending order of numbers.
    pub fn keys(
        &self,
        of: u32,
    ) -> impl Iterator<Item = (u64, &bytes::Bytes, u64, Timestamp, Timestamp)> {
        let own = self.keys.iter().filter(move |(_, key)| key.0 == of);
        own.map(|(number, (_, key, seq, published_at, until))| {
            (*number, key, *seq, *published_at, *until)
        })
    }
}
