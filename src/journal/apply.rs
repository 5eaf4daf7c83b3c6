//! One record, said in SQL.

mod definitions;
mod noted;

pub(super) use definitions::{queue_crc, topic_crc};
pub(super) use noted::Noted;

use super::{
    marks::{Mark, Marks, Scope},
    restore::read_dead,
    row::{HISTORY, LONE, MESSAGE_COLUMNS, MessageRow, SHARED, STAMPED, Said, crc_of},
};
use crate::queue::{
    DeadLetter, Failure, Place, QueueDefinition, Record, Stored, Times, Timestamp, TopicDefinition,
};
use rusqlite::{
    Connection, OptionalExtension, Statement,
    types::{ToSqlOutput, Value},
};
use rustc_hash::FxHashSet;

/// Where a message moves to.
struct Destination {
    entry: u64,
    queue: u32,
    times: Times,
    copied: bool,
    lone: bool,
}

/// The statements that messages need, prepared once.
struct Statements<'c> {
    put_message: Statement<'c>,
    delete_messages: Statement<'c>,
    put_ref: Statement<'c>,
    delete_ref: Statement<'c>,
    put_attempt: Statement<'c>,
    delete_attempt: Statement<'c>,
    put_dead: Statement<'c>,
    delete_dead: Statement<'c>,
    put_dedup: Statement<'c>,
    delete_dedup: Statement<'c>,
}

/// Writes records into the open transaction of its connection.
pub(super) struct Applier<'c> {
    conn: &'c Connection,
    statements: Statements<'c>,
    pub noted: Noted,
    /// Marks as committed, and with `fresh` as they will be.
    pub marks: Marks,
    /// Marks of the open transaction.
    fresh: Vec<Mark>,
    /// Changes to `marks` by the open transaction: (scope, number) excepted.
    spared: Vec<(Scope, u64)>,
    /// While a sweep looks for messages that nothing refers to: those something does refer to.
    pub referenced: Option<FxHashSet<u64>>,
    /// A stretch of messages to delete, numbers without a hole.
    doomed: Option<(u64, u64)>,
    json: Vec<u8>,
}

fn sql(number: u64) -> i64 {
    number.cast_signed()
}

fn json_text<T: serde::Serialize>(value: &T) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The checksum of an `attempt` row.
pub(super) fn attempt_crc(entry: u64, attempts: u32, visible: i64, failures: Option<&str>) -> u32 {
    let failures = failures.unwrap_or_default();
    crc_of([entry, attempts.into(), visible.cast_unsigned()], &[failures.as_bytes()])
}

impl<'c> Applier<'c> {
    pub fn new(conn: &'c Connection, marks: Marks, noted: Noted) -> Result<Self, rusqlite::Error> {
        let statements = Statements {
            put_message: conn
                .prepare("INSERT INTO msg VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?,
            delete_messages: conn.prepare("DELETE FROM msg WHERE id BETWEEN ?1 AND ?2")?,
            put_ref: conn.prepare("INSERT INTO ref VALUES(?1, ?2, ?3, ?4)")?,
            delete_ref: conn.prepare("DELETE FROM ref WHERE id = ?1")?,
            put_attempt: conn
                .prepare("INSERT OR REPLACE INTO attempt VALUES(?1, ?2, ?3, ?4, ?5)")?,
            delete_attempt: conn.prepare("DELETE FROM attempt WHERE id = ?1")?,
            put_dead: conn.prepare("INSERT OR REPLACE INTO dead VALUES(?1, ?2, ?3)")?,
            delete_dead: conn.prepare("DELETE FROM dead WHERE id = ?1")?,
            put_dedup: conn
                .prepare("INSERT OR REPLACE INTO dedup VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")?,
            delete_dedup: conn.prepare("DELETE FROM dedup WHERE id = ?1")?,
        };
        Ok(Applier {
            conn,
            statements,
            noted,
            marks,
            fresh: Vec::new(),
            spared: Vec::new(),
            referenced: None,
            doomed: None,
            json: Vec::new(),
        })
    }

    /// Writes one record. `number_now`: higher than every number given away so far.
    pub fn apply(&mut self, record: &Record, number_now: u64) -> Result<(), rusqlite::Error> {
        if let Record::Removed { entry, message, last } = *record {
            return self.remove(entry, message, last);
        }
        self.flush()?;
        match record {
            Record::Removed { .. } => Ok(()),
            Record::Published(message) => self.publish(message),
            Record::Attempted { entry, attempts, visible_at, failures } => {
                self.attempted(*entry, *attempts, *visible_at, failures)
            }
            Record::Died { entry, letter } => self.died(*entry, letter),
            Record::Moved { entry, message, to_entry, to_queue, copied, letter, times, lone } => {
                let to = Destination {
                    entry: *to_entry,
                    queue: *to_queue,
                    times: *times,
                    copied: *copied,
                    lone: *lone,
                };
                self.moved(*entry, *message, &to, letter.as_ref())
            }
            Record::Purged { queue, through } => self.mark(Scope::Queue(*queue), *through, true),
            Record::Claimed { topic, through } => {
                self.put_through("INSERT OR REPLACE INTO claimed VALUES(?1, ?2)", *topic, *through)
            }
            Record::SeqReserved { topic, through } => self.put_through(
                "INSERT OR REPLACE INTO seq_reserved VALUES(?1, ?2)",
                *topic,
                *through,
            ),
            Record::Deduped { number, topic, key, seq, published_at, until } => {
                let crc = dedup_crc(*number, *topic, key, *seq, published_at.0, until.0);
                let columns =
                    (sql(*number), topic, &key[..], sql(*seq), published_at.0, until.0, crc);
                self.statements.put_dedup.execute(columns).map(drop)
            }
            Record::DedupForgotten { number } => {
                self.statements.delete_dedup.execute([sql(*number)]).map(drop)
            }
            Record::TopicPut(topic) => self.put_topic(topic),
            Record::TopicDropped { topic } => self.drop_topic(*topic, number_now),
            Record::QueuePut(queue) => self.put_queue(queue),
            Record::QueueDropped { queue } => {
                self.execute("DELETE FROM queues WHERE number = ?1", *queue)?;
                self.mark(Scope::Queue(*queue), number_now, false)
            }
            Record::Setting { table, key, value } => self.setting(table, key, value.as_deref()),
        }
    }

    /// Writes what is still held back; before every commit.
    pub fn flush(&mut self) -> Result<(), rusqlite::Error> {
        match self.doomed.take() {
            Some((first, last)) => {
                self.statements.delete_messages.execute([sql(first), sql(last)]).map(drop)
            }
            None => Ok(()),
        }
    }

    /// The transaction is on the disk: what was kept aside holds.
    pub fn committed(&mut self) {
        self.noted.committed();
        for (scope, number) in self.spared.drain(..) {
            for mark in self.marks.swallowing(scope, number) {
                mark.except.insert(number);
            }
        }
        for mark in self.fresh.drain(..) {
            self.marks.add(mark);
        }
    }

    /// The transaction is undone.
    pub fn rolled_back(&mut self) {
        self.noted.rolled_back();
        self.spared.clear();
        self.fresh.clear();
        self.doomed = None;
    }

    /// Deletes the message, gathering neighbours into one statement.
    pub fn doom(&mut self, message: u64) -> Result<(), rusqlite::Error> {
        match &mut self.doomed {
            Some((_, last)) if message == last.wrapping_add(1) => {
                *last = message;
                Ok(())
            }
            _ => {
                self.flush()?;
                self.doomed = Some((message, message));
                Ok(())
            }
        }
    }

    fn remove(&mut self, entry: u64, message: u64, last: bool) -> Result<(), rusqlite::Error> {
        self.forget_notes(entry)?;
        if entry == message {
            return self.doom(message);
        }
        self.statements.delete_ref.execute([sql(entry)])?;
        if last { self.doom(message) } else { Ok(()) }
    }

    /// Deletes what was noted of an entry beside its message.
    pub fn forget_notes(&mut self, entry: u64) -> Result<(), rusqlite::Error> {
        if self.noted.may_have(entry) {
            self.statements.delete_attempt.execute([sql(entry)])?;
            self.statements.delete_dead.execute([sql(entry)])?;
            self.noted.gone.push(entry);
        }
        Ok(())
    }

    fn publish(&mut self, message: &Stored) -> Result<(), rusqlite::Error> {
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        let extra = match &message.extra {
            None => None,
            Some(extra) => {
                serde_json::to_writer(&mut json, extra.as_ref())
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                Some(std::str::from_utf8(&json)?)
            }
        };
        let done = self.insert_message(&MessageRow::of(message, extra));
        self.json = json;
        done?;
        match &message.place {
            Place::Queue(queue) => self.spare(Scope::Queue(*queue), message.number),
            Place::History { .. } => self.spare(Scope::Topic(message.topic), message.number),
            Place::Queues(places) => places
                .iter()
                .try_for_each(|&(entry, queue)| self.insert_ref(entry, queue, message.number)),
        }
    }

    fn insert_message(&mut self, row: &MessageRow<'_>) -> Result<(), rusqlite::Error> {
        let put = &mut self.statements.put_message;
        put.raw_bind_parameter(1, sql(row.id))?;
        put.raw_bind_parameter(2, row.topic)?;
        put.raw_bind_parameter(3, row.queue)?;
        put.raw_bind_parameter(4, sql(row.seq))?;
        put.raw_bind_parameter(5, row.flags)?;
        put.raw_bind_parameter(6, row.published)?;
        put.raw_bind_parameter(7, row.visible_column())?;
        put.raw_bind_parameter(8, row.expires_column())?;
        put.raw_bind_parameter(9, ToSqlOutput::Borrowed(row.extra.value()))?;
        put.raw_bind_parameter(10, row.body)?;
        put.raw_bind_parameter(11, row.crc())?;
        put.raw_execute().map(drop)
    }

    fn insert_ref(&mut self, entry: u64, queue: u32, message: u64) -> Result<(), rusqlite::Error> {
        let crc = crc_of([entry, queue.into(), message], &[]);
        self.statements.put_ref.execute((sql(entry), queue, sql(message), crc))?;
        if let Some(referenced) = &mut self.referenced {
            referenced.insert(message);
        }
        self.spare(Scope::Queue(queue), entry)
    }

    /// A number that comes to live under a mark that is not swept yet is none of those it means.
    fn spare(&mut self, scope: Scope, number: u64) -> Result<(), rusqlite::Error> {
        if self.marks.is_empty() && self.fresh.is_empty() {
            return Ok(());
        }
        for mark in self.fresh.iter_mut() {
            if mark.scope == scope && number <= mark.through && mark.except.insert(number) {
                mark.save(self.conn)?;
            }
        }
        for mark in self.marks.swallowing(scope, number) {
            let mut spared = mark.clone();
            spared.except.insert(number);
            spared.except.extend(self.spared.iter().filter(|(s, _)| *s == scope).map(|(_, n)| *n));
            spared.save(self.conn)?;
            self.spared.push((scope, number));
        }
        Ok(())
    }

    /// A dead letter whose letter can no longer be read stays all the same.
    pub fn spare_dead(&mut self, entry: u64) -> Result<(), rusqlite::Error> {
        let scopes = self.marks.keeping_dead(entry);
        scopes.into_iter().try_for_each(|scope| self.spare(scope, entry))
    }

    /// It is a dead letter, also when its letter is damaged: whoever reads that finds it so.
    pub fn is_dead(&self, entry: u64) -> Result<bool, rusqlite::Error> {
        if !self.noted.may_have(entry) {
            return Ok(false);
        }
        let mut read =
            self.conn.prepare_cached("SELECT id, letter, crc FROM dead WHERE id = ?1")?;
        let mut rows = read.query([sql(entry)])?;
        let letter = rows.next()?.map(read_dead);
        Ok(letter.is_some_and(|letter| letter.is_none_or(|letter| !letter.revived)))
    }

    fn attempted(
        &mut self,
        entry: u64,
        attempts: u32,
        visible_at: Timestamp,
        failures: &[Failure],
    ) -> Result<(), rusqlite::Error> {
        let failures = if failures.is_empty() { None } else { Some(json_text(&failures)?) };
        let failures = failures.as_deref();
        let crc = attempt_crc(entry, attempts, visible_at.0, failures);
        self.statements.put_attempt.execute((sql(entry), attempts, visible_at.0, failures, crc))?;
        self.noted.add(entry);
        Ok(())
    }

    fn died(&mut self, entry: u64, letter: &DeadLetter) -> Result<(), rusqlite::Error> {
        let letter = json_text(letter)?;
        let crc = crc_of([entry], &[letter.as_bytes()]);
        self.statements.put_dead.execute((sql(entry), letter, crc))?;
        self.noted.add(entry);
        Ok(())
    }

    fn moved(
        &mut self,
        entry: u64,
        message: u64,
        to: &Destination,
        letter: Option<&DeadLetter>,
    ) -> Result<(), rusqlite::Error> {
        self.forget_notes(entry)?;
        self.statements.delete_ref.execute([sql(entry)])?;
        let found = self.edit_message(message, |applier, row| {
            let lone = if to.lone { LONE } else { 0 };
            let stamped = if to.times.stamped { STAMPED } else { 0 };
            let flags = row.flags & !(LONE | STAMPED | SHARED) | lone | stamped;
            // What it waited for where it was does not count any more.
            let (visible, expires) = (to.times.visible_at.0, to.times.expires_at.0);
            let row = MessageRow { visible, expires, flags, ..*row };
            if to.copied {
                applier.insert_message(&MessageRow {
                    id: to.entry,
                    queue: Some(to.queue),
                    ..row
                })?;
                if entry == message {
                    applier.doom(message)?;
                }
                applier.spare(Scope::Queue(to.queue), to.entry)
            } else {
                applier.doom(message)?;
                applier.flush()?;
                applier.insert_message(&MessageRow {
                    queue: None,
                    flags: flags | SHARED,
                    ..row
                })?;
                applier.insert_ref(to.entry, to.queue, message)
            }
        })?;
        match letter {
            Some(letter) if found => self.died(to.entry, letter),
            _ => Ok(()),
        }
    }

    /// Reads a message and lets `edit` write what follows from it. False: it is not there, or
    /// damaged, and is left to the reader that will find it so.
    fn edit_message(
        &mut self,
        message: u64,
        edit: impl FnOnce(&mut Self, &MessageRow<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<bool, rusqlite::Error> {
        let conn = self.conn;
        let mut read =
            conn.prepare_cached(&format!("SELECT {MESSAGE_COLUMNS} FROM msg WHERE id = ?1"))?;
        let owned = read
            .query_row([sql(message)], |row| {
                Ok(MessageRow::read(row).and_then(|m| {
                    let extra = Value::try_from(m.extra.value()).ok()?;
                    let head = MessageRow { extra: Said::Nothing, body: &[], ..m };
                    Some((extra, m.body.to_vec(), head))
                }))
            })
            .optional()?
            .flatten();
        let Some((extra, body, head)) = owned else { return Ok(false) };
        let Some(extra) = Said::read((&extra).into()) else { return Ok(false) };
        edit(self, &MessageRow { extra, body: &body, ..head })?;
        Ok(true)
    }
}

/// The checksum of a `dedup` row.
pub(super) fn dedup_crc(
    number: u64,
    topic: u32,
    key: &[u8],
    seq: u64,
    published: i64,
    until: i64,
) -> u32 {
    let numbers = [number, topic.into(), seq, published.cast_unsigned(), until.cast_unsigned()];
    crc_of(numbers, &[key])
}

/// The store grows by this record: it is refused while the disk is full.
pub(super) fn grows(record: &Record) -> bool {
    match record {
        Record::Published(_)
        | Record::Deduped { .. }
        | Record::TopicPut(_)
        | Record::QueuePut(_)
        | Record::Moved { copied: true, .. }
        | Record::Setting { value: Some(_), .. } => true,
        Record::Removed { .. }
        | Record::Attempted { .. }
        | Record::Died { .. }
        | Record::Moved { copied: false, .. }
        | Record::Purged { .. }
        | Record::Claimed { .. }
        | Record::SeqReserved { .. }
        | Record::DedupForgotten { .. }
        | Record::TopicDropped { .. }
        | Record::QueueDropped { .. }
        | Record::Setting { value: None, .. } => false,
    }
}

/// Bytes a record brings along, for the size of a commit.
pub(super) fn weight(record: &Record) -> usize {
    match record {
        Record::Published(message) => message.body.len(),
        _ => 0,
    }
}

/// A row of the history, not of a queue.
pub(super) fn is_history(flags: u32) -> bool {
    flags & HISTORY != 0
}
