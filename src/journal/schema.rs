//! The tables of the store, its settings inside SQLite, and its format version.

use super::{JournalError, writer::store_error};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};
use std::{path::Path, time::Duration};

/// The newest format this octoq reads and the one it writes: ARCHITECTURE.md tells what each brought.
pub(super) const FORMAT: i64 = 2;
/// Marks the file as octoq's ("octq"), for `file` and for ourselves.
pub(super) const APPLICATION_ID: i64 = 0x6f63_7471;
/// How long a statement waits for an operator's tool that holds the file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// A log that grew past this is cut back once it starts anew.
const WAL_BYTES_KEPT: u64 = 96 << 20;
/// Frames in the log after which the writer copies them into the main file. A page that is written
/// several times in between is copied once; the stalls become rarer and each of them longer.
pub(super) const WAL_FRAMES: i64 = 4000;
/// The size of a page; rows of 1 KiB fill it well.
pub(super) const PAGE_BYTES: u64 = 16384;

/// Message tables have no secondary index: every lookup is by ascending number, so the file is a
/// log at its right edge. The `crc` columns are described in `row.rs`.
const TABLES: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE progress(id INTEGER PRIMARY KEY CHECK(id = 1), last_commit INTEGER NOT NULL, last_sync_commit INTEGER NOT NULL);
CREATE TABLE topics(number INTEGER PRIMARY KEY, name BLOB NOT NULL, kind TEXT NOT NULL, policy TEXT NOT NULL,
    salt INTEGER NOT NULL, epoch INTEGER NOT NULL, owner TEXT, created INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE queues(number INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name BLOB NOT NULL, policy TEXT NOT NULL,
    created INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE seq_reserved(topic INTEGER PRIMARY KEY, through INTEGER NOT NULL);
CREATE TABLE claimed(topic INTEGER PRIMARY KEY, through INTEGER NOT NULL);
CREATE TABLE settings(kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE TABLE msg(id INTEGER PRIMARY KEY, topic INTEGER, queue INTEGER, seq INTEGER, flags INTEGER,
    published INTEGER, visible INTEGER, expires INTEGER, extra TEXT, body BLOB, crc INTEGER);
CREATE TABLE ref(id INTEGER PRIMARY KEY, queue INTEGER, msg INTEGER, crc INTEGER);
CREATE TABLE attempt(id INTEGER PRIMARY KEY, n INTEGER, visible INTEGER, failures TEXT, crc INTEGER);
CREATE TABLE dead(id INTEGER PRIMARY KEY, letter TEXT, crc INTEGER);
CREATE TABLE dedup(id INTEGER PRIMARY KEY, topic INTEGER, key BLOB, seq INTEGER, published INTEGER, until INTEGER, crc INTEGER);
CREATE TABLE mark(n INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL, through INTEGER NOT NULL, except_json TEXT NOT NULL);
CREATE TABLE quarantine(n INTEGER PRIMARY KEY, source TEXT NOT NULL, id INTEGER NOT NULL, columns_json TEXT NOT NULL, body BLOB);
INSERT INTO progress VALUES(1, 0, 0);
";

/// Opens the main file for writing, with the store's settings.
pub(super) fn connect(file: &Path, cache_bytes: usize) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update(None, "cache_size", cache_kibibytes(cache_bytes))?;
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.query_row(&format!("PRAGMA journal_size_limit = {WAL_BYTES_KEPT}"), [], |_| Ok(()))?;
    // The writer does it: SQLite would hide that the main file could not grow.
    conn.query_row("PRAGMA wal_autocheckpoint = 0", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    Ok(conn)
}

/// Opens the main file for reading; leaves main file and log as they are.
pub(super) fn connect_readonly(
    file: &Path,
    cache_bytes: usize,
) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.pragma_update(None, "cache_size", cache_kibibytes(cache_bytes))?;
    Ok(conn)
}

fn cache_kibibytes(cache_bytes: usize) -> i64 {
    -i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX).max(1)
}

/// Makes the tables of a new store, all or nothing.
pub(super) fn create(conn: &Connection, store: u64) -> Result<(), rusqlite::Error> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.execute_batch(TABLES)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    put_meta(conn, "format", FORMAT)?;
    put_meta(conn, "store", store.cast_signed())?;
    put_meta(conn, "reserved", 0)?;
    conn.execute_batch("COMMIT")?;
    // From the start on, the main file alone says whose it is.
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Sets a number of `meta`.
pub(super) fn put_meta(conn: &Connection, key: &str, value: i64) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES(?1, ?2)")?.execute((key, value))?;
    Ok(())
}

/// Sets a text of `meta`.
pub(super) fn put_meta_text(
    conn: &Connection,
    key: &str,
    value: &str,
) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta VALUES(?1, ?2)")?.execute((key, value))?;
    Ok(())
}

/// What the store says about itself, before anything is believed of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub format: i64,
    pub store: u64,
    pub last_commit: u64,
    pub boot: String,
    pub clean: bool,
    pub reserved: u64,
}

/// Reads [`Identity`]; `None` when the file holds no table yet.
pub(super) fn identify(conn: &Connection, file: &Path) -> Result<Option<Identity>, JournalError> {
    let damaged = |what: String| JournalError::Damaged { file: file.to_owned(), what };
    let on_error = |error: rusqlite::Error| read_error(file, &error);
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(on_error)?;
    if tables == 0 {
        return Ok(None);
    }
    let application: i64 =
        conn.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(on_error)?;
    if application != APPLICATION_ID {
        return Err(damaged("it is an SQLite file, but not a store of octoq".into()));
    }
    let found = meta(conn, "format").map_err(on_error)?.unwrap_or_default();
    if found > FORMAT {
        return Err(JournalError::TooNew { file: file.to_owned(), found, known: FORMAT });
    }
    if found < 1 {
        return Err(damaged(format!("format {found} was never one of octoq")));
    }
    let last_commit: i64 = conn
        .query_row("SELECT last_commit FROM progress", [], |row| row.get(0))
        .map_err(on_error)?;
    let boot = conn.query_row("SELECT value FROM meta WHERE key = 'boot'", [], |row| row.get(0));
    Ok(Some(Identity {
        format: found,
        store: meta(conn, "store").map_err(on_error)?.unwrap_or_default().cast_unsigned(),
        last_commit: last_commit.cast_unsigned(),
        boot: boot.unwrap_or_default(),
        clean: meta(conn, "clean").map_err(on_error)? == Some(1),
        reserved: meta(conn, "reserved").map_err(on_error)?.unwrap_or_default().cast_unsigned(),
    }))
}

/// What an error says that was met while the file was read.
pub(super) fn read_error(file: &Path, error: &rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            JournalError::Damaged { file: file.to_owned(), what: error.to_string() }
        }
        Some(_) => store_error(error),
    }
}

fn meta(conn: &Connection, key: &str) -> Result<Option<i64>, rusqlite::Error> {
    use rusqlite::OptionalExtension;
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}
