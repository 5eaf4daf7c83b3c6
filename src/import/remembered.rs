//! What was copied before: `imported.db` in the folder of the store, one row per message.
//!
//! A row is written after the broker's confirmation. What was confirmed and not remembered (the
//! process died in between) is found again by its id while it lives.

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::path::Path;

/// The file's name.
pub const FILE: &str = "imported.db";

/// The messages of one source that were copied.
pub struct Remembered {
    db: Option<Connection>,
    source: i64,
}

impl Remembered {
    /// Opens or makes the file.
    pub fn open(store: &Path, source: &str) -> rusqlite::Result<Self> {
        let db = Connection::open(store.join(FILE))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS source (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
             CREATE TABLE IF NOT EXISTS imported (
                 source INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY (source, id)
             ) WITHOUT ROWID;",
        )?;
        db.execute("INSERT OR IGNORE INTO source (name) VALUES (?1)", [source])?;
        let number =
            db.query_row("SELECT number FROM source WHERE name = ?1", [source], |row| row.get(0))?;
        Ok(Remembered { db: Some(db), source: number })
    }

    /// Looks only, for a dry run: a file that is not there remembers nothing and is not made.
    pub fn look(store: &Path, source: &str) -> rusqlite::Result<Self> {
        let path = store.join(FILE);
        if !path.exists() {
            return Ok(Remembered { db: None, source: 0 });
        }
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let found = db
            .query_row("SELECT number FROM source WHERE name = ?1", [source], |row| row.get(0))
            .optional()?;
        Ok(Remembered { db: found.is_some().then_some(db), source: found.unwrap_or(0) })
    }

    /// It was copied before.
    pub fn knows(&self, key: &[u8]) -> rusqlite::Result<bool> {
        let Some(db) = &self.db else { return Ok(false) };
        let mut found =
            db.prepare_cached("SELECT 1 FROM imported WHERE source = ?1 AND id = ?2")?;
        found.exists(params![self.source, key])
    }

    /// Remembers messages, all or none.
    pub fn add<'a>(&mut self, keys: impl IntoIterator<Item = &'a [u8]>) -> rusqlite::Result<()> {
        let Some(db) = &mut self.db else { return Ok(()) };
        let all = db.transaction()?;
        {
            let mut put =
                all.prepare_cached("INSERT OR IGNORE INTO imported (source, id) VALUES (?1, ?2)")?;
            for key in keys {
                put.execute(params![self.source, key])?;
            }
        }
        all.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_known_again_by_its_source_only() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!Remembered::look(folder.path(), "a").unwrap().knows(b"1").unwrap());
        assert!(!folder.path().join(FILE).exists(), "looking makes nothing");
        let mut a = Remembered::open(folder.path(), "a").unwrap();
        a.add([&b"1"[..], b"\x00\xff", b"1"]).unwrap();
        drop(a);
        let a = Remembered::look(folder.path(), "a").unwrap();
        assert!(a.knows(b"1").unwrap() && a.knows(b"\x00\xff").unwrap() && !a.knows(b"2").unwrap());
        assert!(!Remembered::open(folder.path(), "b").unwrap().knows(b"1").unwrap());
    }
}
