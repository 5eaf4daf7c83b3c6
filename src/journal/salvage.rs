//! Gets out of a damaged store what is whole, into a new store beside it.

use super::{
    JournalError,
    apply::{Applier, Noted},
    folder::{self, Last, LastFile, Lock, io_error},
    marks::Marks,
    open::{self, read_queue, read_topic},
    restore::{read_attempt, read_dead, read_dedup, read_ref},
    row::MessageRow,
    schema::{self, put_meta},
    wal,
    writer::{NUMBERS_AHEAD, store_error},
};
use rusqlite::{Connection, Row, params_from_iter, types::Value};
use std::{
    fs::{self, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

/// The tables that have numbered rows, in the order in which they are saved.
pub(super) const TABLES: [&str; 10] = [
    "topics",
    "queues",
    "seq_reserved",
    "claimed",
    "mark",
    "dedup",
    "dead",
    "attempt",
    "ref",
    "msg",
];

/// Rows of a stretch.
const ROWS_PER_READ: i64 = 512;

/// What a scan of one table met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The table.
    pub table: &'static str,
    /// Rows that agree with their checksum.
    pub whole: u64,
    /// Rows that do not.
    pub damaged: u64,
    /// Stretches of numbers that cannot be read at all: (after, before).
    pub unreadable: Vec<(i64, i64)>,
}

/// The row agrees with its checksum; tables without one are taken as they are.
fn is_whole(table: &str, row: &Row<'_>) -> bool {
    match table {
        "topics" => read_topic(row).is_some(),
        "queues" => read_queue(row).is_some(),
        "dedup" => read_dedup(row).is_some(),
        "dead" => read_dead(row).is_some(),
        "attempt" => read_attempt(row).is_some(),
        "ref" => read_ref(row).is_some(),
        "msg" => MessageRow::read(row).is_some(),
        _ => true,
    }
}

/// Goes through a table in ascending order and steps over what cannot be read.
pub(super) fn survey(
    conn: &Connection,
    table: &'static str,
    mut visit: impl FnMut(&Row<'_>, bool) -> Result<(), rusqlite::Error>,
) -> Result<Survey, rusqlite::Error> {
    let mut found = Survey { table, ..Survey::default() };
    let sql =
        format!("SELECT * FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT {ROWS_PER_READ}");
    let mut read = conn.prepare(&sql)?;
    let mut after = i64::MIN;
    loop {
        let mut rows = read.query([after])?;
        let mut seen = 0;
        let ended = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let id: i64 = row.get(0)?;
                    if id <= after {
                        // Out of order: the tree itself is damaged here.
                        break Err(());
                    }
                    (after, seen) = (id, seen + 1);
                    let whole = is_whole(table, row);
                    found.whole += u64::from(whole);
                    found.damaged += u64::from(!whole);
                    visit(row, whole)?;
                }
                Ok(None) => break Ok(()),
                Err(_) => break Err(()),
            }
        };
        drop(rows);
        match ended {
            Ok(()) if seen < ROWS_PER_READ => return Ok(found),
            Ok(()) => {}
            Err(()) => {
                let next = next_readable(conn, table, after);
                found.unreadable.push((after, next.unwrap_or(i64::MAX)));
                match next {
                    Some(next) => after = next - 1,
                    None => return Ok(found),
                }
            }
        }
    }
}

/// The first number that can be read again above `after`, found in growing steps, then narrowed.
fn next_readable(conn: &Connection, table: &str, after: i64) -> Option<i64> {
    let sql = format!("SELECT rowid FROM {table} WHERE rowid > ?1 ORDER BY rowid LIMIT 1");
    let mut read = conn.prepare(&sql).ok()?;
    let mut first_above =
        |at: i64| read.query_row([at], |row| row.get::<_, i64>(0)).ok().filter(|&id| id > at);
    let base = after.max(0);
    let (mut step, mut hit) = (1_i64, None);
    while hit.is_none() {
        hit = first_above(base.checked_add(step)?);
        if hit.is_none() {
            step = step.checked_mul(2)?;
        }
    }
    let (mut low, mut high) = (step / 2, step);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match first_above(base + middle) {
            Some(id) => (high, hit) = (middle, Some(id)),
            None => low = middle,
        }
    }
    hit
}

/// Writes what is whole in the store at `from` into a new store at `to`, which must not exist or be
/// empty. Changes nothing at `from`. Returns what each table gave.
pub(super) fn repair(from: &Path, to: &Path) -> Result<Vec<Survey>, JournalError> {
    let _watch = Lock::watch(from)?;
    open::refuse_newer(from)?;
    fs::create_dir_all(to).map_err(|error| io_error(to, &error))?;
    let mut there = fs::read_dir(to).map_err(|error| io_error(to, &error))?;
    if there.next().is_some() {
        return Err(JournalError::Io(format!("{} is not empty", to.display())));
    }
    let _lock = Lock::take(to)?;
    let work = to.join("salvage.db");
    let saved = assemble(from, &work)
        .map_err(|error| io_error(&work, &error))
        .and_then(|()| copy_rows(from, &work, to));
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(to.join(format!("salvage.db{end}")));
    }
    saved
}

/// The main file with every whole frame of the log laid over it, also those behind a damaged one:
/// the checksums of the rows tell later what of that is good.
fn assemble(from: &Path, work: &Path) -> io::Result<()> {
    fs::copy(folder::database(from), work)?;
    let mut file = OpenOptions::new().write(true).open(work)?;
    wal::walk_with(&folder::log(from), &mut |page, bytes| {
        file.seek(SeekFrom::Start(u64::from(page - 1) * bytes.len() as u64))?;
        file.write_all(bytes)
    })?;
    file.sync_all()
}

fn copy_rows(from: &Path, work: &Path, to: &Path) -> Result<Vec<Survey>, JournalError> {
    let sqlite = |error: rusqlite::Error| store_error(&error);
    let old = schema::connect_readonly(work, 16 << 20).map_err(sqlite)?;
    // Nothing here is sound enough to be believed of the whole; each row speaks for itself.
    old.execute_batch("PRAGMA query_only = ON").map_err(sqlite)?;
    // The frames behind the damage may say what the main file does not.
    let known = match schema::identify(&old, work) {
        Err(error @ JournalError::TooNew { .. }) => return Err(error),
        known => known.ok().flatten().unwrap_or_default(),
    };
    let new = schema::connect(&folder::database(to), 64 << 20).map_err(sqlite)?;
    let store = uuid::Uuid::new_v4().as_u64_pair().0;
    schema::create(&new, store).map_err(sqlite)?;
    new.execute_batch("BEGIN IMMEDIATE").map_err(sqlite)?;

    let mut surveys = Vec::new();
    let mut highest = 0;
    for table in TABLES {
        surveys.push(copy_table(&old, &new, table, &mut highest).unwrap_or_else(|error| {
            log::error!("{table} cannot be read: {error}");
            Survey { table, unreadable: vec![(i64::MIN, i64::MAX)], ..Survey::default() }
        }));
    }
    surveys.push(copy_settings(&old, &new).unwrap_or_else(|_| Survey {
        table: "settings",
        unreadable: vec![(i64::MIN, i64::MAX)],
        ..Survey::default()
    }));

    let last = Last::read(from).ok().flatten().unwrap_or_default();
    let commit = known.last_commit.max(last.commit) + 1;
    // What was lost may have had numbers above all that is left.
    let reserved = known.reserved.max(highest) + NUMBERS_AHEAD;
    put_meta(&new, "reserved", reserved.cast_signed())
        .and_then(|()| {
            new.execute(
                "UPDATE progress SET last_commit = ?1, last_sync_commit = ?1",
                [commit.cast_signed()],
            )
        })
        .and_then(|_| new.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)"))
        .map_err(sqlite)?;
    new.close().map_err(|(_, error)| store_error(&error))?;
    LastFile::open(to)
        .and_then(|mut file| file.write(Last { store, commit, sync_commit: commit }))
        .map_err(|error| io_error(&folder::last(to), &error))?;
    Ok(surveys)
}

fn copy_table(
    old: &Connection,
    new: &Connection,
    table: &'static str,
    highest: &mut u64,
) -> Result<Survey, rusqlite::Error> {
    let columns = old.prepare(&format!("SELECT * FROM {table}"))?.column_count();
    let marks = vec!["?"; columns].join(", ");
    let mut put = new.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES({marks})"))?;
    let mut letters_lost = Vec::new();
    let numbered = matches!(table, "msg" | "ref" | "attempt" | "dead" | "dedup");
    let found = survey(old, table, |row, whole| {
        if !whole {
            if table == "dead" {
                letters_lost.push(row.get::<_, i64>(0)?.cast_unsigned());
            }
            return Ok(());
        }
        if numbered {
            *highest = (*highest).max(row.get::<_, i64>(0)?.cast_unsigned());
        }
        let values =
            (0..columns).map(|at| row.get::<_, Value>(at)).collect::<Result<Vec<_>, _>>()?;
        put.execute(params_from_iter(values)).map(drop)
    })?;
    if !letters_lost.is_empty() {
        Applier::new(new, Marks::load(new)?, Noted::default())
            .and_then(|mut spare| letters_lost.into_iter().try_for_each(|n| spare.spare_dead(n)))?;
    }
    Ok(found)
}

fn copy_settings(old: &Connection, new: &Connection) -> Result<Survey, rusqlite::Error> {
    let mut found = Survey { table: "settings", ..Survey::default() };
    let mut put = new.prepare("INSERT OR IGNORE INTO settings VALUES(?1, ?2, ?3)")?;
    let mut read = old.prepare("SELECT kind, key, value FROM settings")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, key, value): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        put.execute((kind, key, value))?;
        found.whole += 1;
    }
    Ok(found)
}
