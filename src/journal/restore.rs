//! Reads the messages back: one scan in ascending order of numbers, every row against its checksum.
//!
//! It reads in short statements, so that the log can start anew while a large store is read.

use super::{
    RestoredDedup,
    apply::{attempt_crc, dedup_crc, is_history},
    marks::{Marks, Scope},
    quarantine::Found,
    row::{
        CLAIMED, LONE, MESSAGE_COLUMNS, MessageRow, SHARED, STAMPED, Said, blob, crc_holds, crc_of,
        door_of, integer, text,
    },
};
use crate::queue::{Content, DeadLetter, Failure, Restored, RestoredEntry, Timestamp};
use bytes::Bytes;
use rusqlite::{Connection, Row};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// Rows read by one statement.
const ROWS_PER_READ: i64 = 4096;

/// What was met on the way beside the messages.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Rows that disagree with their checksum.
    pub damaged: Vec<Found>,
    /// Messages that are whole and have no place any more: their queue or topic is not there.
    pub stranded: u64,
    /// Messages that purges took the last place from, or from which only places were left that were
    /// purged while they were in flight.
    pub placeless: u64,
}

/// A row of `ref`.
pub(super) struct Place {
    pub message: u64,
    pub entry: u64,
    pub queue: u32,
}

/// What a message's row does not hold itself.
struct Context {
    marks: Marks,
    topic_of: FxHashMap<u32, u32>,
    topics: FxHashSet<u32>,
    /// In ascending order of messages.
    places: Vec<Place>,
    attempts: FxHashMap<u64, Attempt>,
    letters: Letters,
    /// No place was lost to damage.
    places_whole: bool,
}

/// What is known of deaths, by place.
pub(super) struct Letters {
    whole: FxHashMap<u64, DeadLetter>,
    damaged: FxHashSet<u64>,
}

impl Letters {
    pub fn load(
        conn: &Connection,
        damaged_rows: &mut Vec<Found>,
    ) -> Result<Letters, rusqlite::Error> {
        let mut letters = Letters { whole: FxHashMap::default(), damaged: FxHashSet::default() };
        each_row(conn, "dead", "id, letter, crc", |id, row| match read_dead(row) {
            None => drop(letters.damaged.insert(id.cast_unsigned())),
            Some(letter) => drop(letters.whole.insert(id.cast_unsigned(), letter)),
        })?;
        damaged_rows.extend(letters.damaged.iter().map(|&entry| ("dead", entry)));
        Ok(letters)
    }

    /// A mark that keeps dead letters keeps it. Of a damaged letter it is not known, so it does.
    pub fn is_dead(&self, entry: u64) -> bool {
        self.whole.get(&entry).map_or(self.damaged.contains(&entry), |letter| !letter.revived)
    }
}

/// A row of `attempt`.
pub(super) struct Attempt {
    attempts: u32,
    visible_at: Timestamp,
    failures: Vec<Failure>,
}

/// Calls `row` for every row of a table that has an `id`, in ascending order, a stretch at a time.
pub(super) fn each_row(
    conn: &Connection,
    table: &str,
    columns: &str,
    mut visit: impl FnMut(i64, &Row<'_>),
) -> Result<(), rusqlite::Error> {
    let sql =
        format!("SELECT {columns} FROM {table} WHERE id > ?1 ORDER BY id LIMIT {ROWS_PER_READ}");
    let mut read = conn.prepare(&sql)?;
    let mut after = i64::MIN;
    loop {
        let mut rows = read.query([after])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            after = row.get(0)?;
            seen += 1;
            visit(after, row);
        }
        if seen < ROWS_PER_READ {
            return Ok(());
        }
    }
}

impl Context {
    fn load(conn: &Connection, met: &mut Met) -> Result<Context, rusqlite::Error> {
        let marks = Marks::load(conn)?;
        let topic_of = conn
            .prepare("SELECT number, topic FROM queues")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let topics = conn
            .prepare("SELECT number FROM topics")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;

        let letters = Letters::load(conn, &mut met.damaged)?;
        let mut places = Vec::new();
        let mut places_whole = true;
        each_row(conn, "ref", "id, queue, msg, crc", |id, row| match read_ref(row) {
            None => {
                places_whole = false;
                met.damaged.push(("ref", id.cast_unsigned()));
            }
            Some(place) => {
                let (scope, entry) = (Scope::Queue(place.queue), place.entry);
                if !marks.cover(scope, entry, || letters.is_dead(entry)) {
                    places.push(place);
                }
            }
        })?;
        // Stable: the places of one message stay in ascending order.
        places.sort_by_key(|place| place.message);

        let mut attempts = FxHashMap::default();
        each_row(conn, "attempt", "id, n, visible, failures, crc", |id, row| {
            match read_attempt(row) {
                None => met.damaged.push(("attempt", id.cast_unsigned())),
                Some(attempt) => drop(attempts.insert(id.cast_unsigned(), attempt)),
            }
        })?;
        Ok(Context { marks, topic_of, topics, places, attempts, letters, places_whole })
    }

    fn entry(&mut self, entry: u64, queue: u32, visible: i64) -> RestoredEntry {
        let attempt = self.attempts.remove(&entry);
        let (attempts, visible_at, failures) = match attempt {
            Some(attempt) => (attempt.attempts, attempt.visible_at, attempt.failures),
            None => (0, Timestamp(visible), Vec::new()),
        };
        RestoredEntry {
            entry,
            queue,
            attempts,
            visible_at,
            failures,
            dead: self.letters.whole.remove(&entry),
        }
    }
}

/// A row of `ref`.
pub(super) fn read_ref(row: &Row<'_>) -> Option<Place> {
    let entry = integer(row, 0)?.cast_unsigned();
    let queue = integer(row, 1)?.try_into().ok()?;
    let message = integer(row, 2)?.cast_unsigned();
    let place = Place { message, entry, queue };
    crc_holds(row, 3, crc_of([entry, queue.into(), message], &[])).then_some(place)
}

/// A row of `attempt`.
pub(super) fn read_attempt(row: &Row<'_>) -> Option<Attempt> {
    let entry = integer(row, 0)?.cast_unsigned();
    let attempts = integer(row, 1)?.try_into().ok()?;
    let visible = integer(row, 2)?;
    let failures_text = row.get_ref(3).ok()?.as_str_or_null().ok()?;
    if !crc_holds(row, 4, attempt_crc(entry, attempts, visible, failures_text)) {
        return None;
    }
    let failures = match failures_text {
        Some(failures) => serde_json::from_str(failures).ok()?,
        None => Vec::new(),
    };
    Some(Attempt { attempts, visible_at: Timestamp(visible), failures })
}

/// A row of `dead`.
pub(super) fn read_dead(row: &Row<'_>) -> Option<DeadLetter> {
    let (entry, letter) = (integer(row, 0)?.cast_unsigned(), text(row, 1)?);
    if !crc_holds(row, 2, crc_of([entry], &[letter.as_bytes()])) {
        return None;
    }
    serde_json::from_str(letter).ok()
}

/// The places of one message, by the topic that has them now.
type ByTopic = Vec<(u32, Vec<RestoredEntry>)>;

/// Gives every message of `topic` (or of all) to `visit`.
pub(super) fn messages(
    conn: &Connection,
    topic: Option<u32>,
    keep_body: &mut dyn FnMut(usize) -> bool,
    visit: &mut dyn FnMut(Restored),
) -> Result<Met, rusqlite::Error> {
    let mut met = Met::default();
    let mut context = Context::load(conn, &mut met)?;
    let mut next_place = 0;
    let mut by_topic: ByTopic = Vec::new();
    let wanted = |of: u32| topic.is_none_or(|topic| topic == of);

    each_row(conn, "msg", MESSAGE_COLUMNS, |id, raw| {
        let Some(row) = MessageRow::read(raw) else {
            met.damaged.push(("msg", id.cast_unsigned()));
            return;
        };
        by_topic.clear();
        let mut gone = false;
        match row.queue {
            Some(queue) => {
                let is_dead = || context.letters.is_dead(row.id);
                gone = context.marks.cover(Scope::Queue(queue), row.id, is_dead);
                match context.topic_of.get(&queue) {
                    Some(&of) if !gone => {
                        if wanted(of) {
                            by_topic.push((of, vec![context.entry(row.id, queue, row.visible)]));
                        }
                        gone = true;
                    }
                    _ => {}
                }
            }
            None if is_history(row.flags) => {
                gone = context.marks.cover(Scope::Topic(row.topic), row.id, || false);
                if !gone && context.topics.contains(&row.topic) {
                    if wanted(row.topic) {
                        by_topic.push((row.topic, Vec::new()));
                    }
                    gone = true;
                }
            }
            None => {
                let mut placeless = row.flags & SHARED != 0;
                while context.places.get(next_place).is_some_and(|place| place.message < row.id) {
                    next_place += 1;
                }
                while let Some(place) =
                    context.places.get(next_place).filter(|place| place.message == row.id)
                {
                    next_place += 1;
                    placeless = false;
                    let (entry, queue) = (place.entry, place.queue);
                    let Some(&of) = context.topic_of.get(&queue) else { continue };
                    gone = true;
                    if !wanted(of) {
                        continue;
                    }
                    let entry = context.entry(entry, queue, row.visible);
                    match by_topic.iter_mut().find(|(known, _)| *known == of) {
                        Some((_, entries)) => entries.push(entry),
                        None => by_topic.push((of, vec![entry])),
                    }
                }
                // A purge took its last place, which the sweep is about to find out or, when it was
                // in flight and another one was acked before the end of the run, did not. But of what
                // damage took it is not known whose it was.
                gone |= placeless && (context.places_whole || !context.marks.is_empty());
                // While others write, a place may have come since.
                met.placeless += u64::from(placeless && context.places_whole && topic.is_none());
            }
        }
        if by_topic.is_empty() {
            met.stranded += u64::from(!gone);
            return;
        }
        deliver(&row, &mut by_topic, keep_body, visit, &mut met);
    })?;
    Ok(met)
}

fn deliver(
    row: &MessageRow<'_>,
    by_topic: &mut ByTopic,
    keep_body: &mut dyn FnMut(usize) -> bool,
    visit: &mut dyn FnMut(Restored),
    met: &mut Met,
) {
    let keep_body = keep_body(row.body.len());
    let (extra, body) = match (row.extra, keep_body) {
        (Said::Id(id), true) => (None, Some(Content::with_id(id, row.body))),
        (said, keep_body) => {
            let Ok(extra) = said.extra() else {
                met.damaged.push(("msg", row.id));
                return;
            };
            let body = keep_body.then(|| Bytes::copy_from_slice(row.body).into());
            (extra.map(Arc::new), body)
        }
    };
    for (_, entries) in by_topic.drain(..) {
        visit(Restored {
            number: row.id,
            topic: row.topic,
            seq: row.seq,
            published_at: Timestamp(row.published),
            expires_at: Timestamp(row.expires),
            extra: extra.clone(),
            body: body.clone(),
            body_bytes: u32::try_from(row.body.len()).unwrap_or(u32::MAX),
            entries,
            claimed: row.flags & CLAIMED != 0,
            stamped: row.flags & STAMPED != 0,
            lone: row.flags & LONE != 0,
            door: door_of(row.flags),
        });
    }
}

/// Gives every remembered dedup key of `topic` (or of all) to `visit`.
pub(super) fn dedup(
    conn: &Connection,
    topic: Option<u32>,
    visit: &mut dyn FnMut(RestoredDedup),
) -> Result<Met, rusqlite::Error> {
    let mut met = Met::default();
    let marks = Marks::load(conn)?;
    let columns = "id, topic, key, seq, published, until, crc";
    each_row(conn, "dedup", columns, |id, row| match read_dedup(row) {
        None => met.damaged.push(("dedup", id.cast_unsigned())),
        Some(found) => {
            let gone = marks.cover(Scope::Topic(found.topic), found.number, || false);
            if !gone && topic.is_none_or(|topic| topic == found.topic) {
                visit(found);
            }
        }
    })?;
    Ok(met)
}

/// A row of `dedup`.
pub(super) fn read_dedup(row: &Row<'_>) -> Option<RestoredDedup> {
    let key = blob(row, 2)?;
    let found = RestoredDedup {
        number: integer(row, 0)?.cast_unsigned(),
        topic: integer(row, 1)?.try_into().ok()?,
        key: Bytes::copy_from_slice(key),
        seq: integer(row, 3)?.cast_unsigned(),
        published_at: Timestamp(integer(row, 4)?),
        until: Timestamp(integer(row, 5)?),
    };
    let (published, until) = (found.published_at.0, found.until.0);
    let crc = dedup_crc(found.number, found.topic, key, found.seq, published, until);
    crc_holds(row, 6, crc).then_some(found)
}
