//! A consistent copy of a running store, and putting one in place of a store that is not running.
//!
//! The copy is one SQLite file, made by `VACUUM INTO` over a read-only connection: it holds what was
//! committed at one moment, while the writer goes on. It is whole without a log and without `LAST`.

use super::{
    Journal, JournalError,
    apply::topic_crc,
    check::{self, Report, Verdict},
    folder::{self, Lock, io_error},
    open::{self, read_topic},
    row::text,
    schema::{self, put_meta, put_meta_text},
    writer::store_error,
};
use rusqlite::Connection;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Where a backup is unpacked and looked at before it takes the store's place.
const RESTORING: &str = "restoring";
/// Where what it replaces is kept.
const REPLACED: &str = "replaced";
/// Pages that the copying connection keeps.
const CACHE_BYTES: usize = 8 << 20;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// The newest commit in it.
    pub commit: u64,
}

impl Journal {
    /// Writes a copy of everything committed so far into a new file. Blocks for as long as that takes;
    /// commits go on meanwhile. Nothing is left of a copy that fails.
    ///
    /// Errors: `Io` when the file exists, `DiskFull`.
    pub fn backup(&self, to: &Path) -> Result<Copied, JournalError> {
        let from = folder::database(&self.inner.shared.settings.path);
        // Made here, so that nobody else can read it, and nothing is written over.
        let made = {
            use std::os::unix::fs::OpenOptionsExt as _;
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)
        };
        made.map_err(|error| io_error(to, &error))?;
        let copied = copy(&from, to);
        if copied.is_err() {
            // What is there is of no use to anybody.
            let _ = fs::remove_file(to);
        }
        copied
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.inner.shared.settings.path
    }
}

fn copy(from: &Path, to: &Path) -> Result<Copied, JournalError> {
    let sqlite = |error: rusqlite::Error| store_error(&error);
    let conn = schema::connect_readonly(from, CACHE_BYTES).map_err(sqlite)?;
    let name = to
        .to_str()
        .ok_or_else(|| JournalError::Io(format!("{}: the path must be UTF-8", to.display())))?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(sqlite)?;
    drop(conn);
    let copy = Connection::open(to).map_err(sqlite)?;
    // One file: no log is left beside it.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(sqlite)?;
    copy.execute_batch("BEGIN IMMEDIATE").map_err(sqlite)?;
    // Nothing is missing behind what it holds, wherever it is opened.
    put_meta(&copy, "clean", 1).map_err(sqlite)?;
    put_meta_text(&copy, "boot", "").map_err(sqlite)?;
    copy.execute_batch("COMMIT").map_err(sqlite)?;
    drop(copy);
    File::open(to).and_then(|file| file.sync_all()).map_err(|error| io_error(to, &error))?;
    let identity = schema::connect_readonly(to, CACHE_BYTES)
        .map_err(sqlite)
        .and_then(|copy| schema::identify(&copy, to))?;
    let bytes = fs::metadata(to).map_err(|error| io_error(to, &error))?.len();
    Ok(Copied { bytes, commit: identity.unwrap_or_default().last_commit })
}

/// A backup that was found whole, unpacked in the folder of the store that it is for. The store's lock
/// is held until this is dropped; unless [`Restoring::put`] was called nothing has changed by then.
pub struct Restoring {
    store: PathBuf,
    /// What the backup holds.
    pub report: Report,
    /// A store is there that would be replaced.
    pub replaces: bool,
    _lock: Lock,
}

impl Restoring {
    /// Unpacks and checks a backup.
    ///
    /// Errors: `Locked` when a broker runs on the store, `TooNew`, `Damaged` when the backup is not
    /// whole, `DiskFull`, `Io`.
    pub fn check(backup: &Path, store: &Path) -> Result<Restoring, JournalError> {
        fs::metadata(backup).map_err(|error| io_error(backup, &error))?;
        fs::create_dir_all(store).map_err(|error| io_error(store, &error))?;
        let lock = Lock::take(store)?;
        let aside = store.join(RESTORING);
        // What an earlier call left that was interrupted.
        clear(&aside)?;
        fs::create_dir(&aside).map_err(|error| io_error(&aside, &error))?;
        let file = folder::database(&aside);
        fs::copy(backup, &file).map_err(|error| io_error(&file, &error))?;
        let empty =
            |_| JournalError::Damaged { file: backup.to_owned(), what: "it is empty".into() };
        let opened = schema::connect_readonly(&file, CACHE_BYTES);
        let opened = opened.map_err(|error| schema::read_error(backup, &error))?;
        schema::identify(&opened, backup)?.ok_or(()).map_err(empty)?;
        drop(opened);
        let report = check::check(&aside)?;
        let mut restoring = Restoring {
            replaces: folder::database(store).exists() || folder::last(store).exists(),
            store: store.to_owned(),
            report,
            _lock: lock,
        };
        if restoring.report.verdict != Verdict::Whole {
            let what = std::mem::take(&mut restoring.report.lines).join("; ");
            return Err(JournalError::Damaged { file: backup.to_owned(), what });
        }
        Ok(restoring)
    }

    /// Puts the backup in the store's place. What was there is kept in a folder beside it, which is
    /// told. The histories of pubsub topics begin a new epoch: a subscriber that saw more than the
    /// backup holds is told that there is a gap.
    ///
    /// Errors: `Io`, `DiskFull`. After an error the store does not open, or is as it was or as it is to
    /// be; never half of each.
    pub fn put(self) -> Result<Option<PathBuf>, JournalError> {
        let Restoring { store, .. } = &self;
        let fresh = folder::database(&store.join(RESTORING));
        begin_epochs(&fresh)?;
        File::open(&fresh)
            .and_then(|file| file.sync_all())
            .map_err(|error| io_error(&fresh, &error))?;
        let kept = match self.replaces {
            true => Some(free_folder(store)?),
            false => None,
        };
        // `LAST` goes last: a store with it and without the rest does not open by mistake.
        let database = folder::database(store);
        let shared_memory = database.with_extension("db-shm");
        let imported = store.join("imported.db");
        let log = folder::log(store);
        if let Some(kept) = &kept {
            for file in [&log, &shared_memory, &imported, &database] {
                keep(file, kept)?;
            }
        }
        fs::rename(&fresh, &database).map_err(|error| io_error(&database, &error))?;
        if let Some(kept) = &kept {
            keep(&folder::last(store), kept)?;
        }
        open::sync_folder(store);
        Ok(kept)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.store.join(RESTORING)) {
            log::warn!("{error}");
        }
    }
}

fn clear(folder: &Path) -> Result<(), JournalError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(folder, &error)),
        _ => Ok(()),
    }
}

fn keep(file: &Path, folder: &Path) -> Result<(), JournalError> {
    let Some(name) = file.file_name().filter(|_| file.exists()) else { return Ok(()) };
    fs::rename(file, folder.join(name)).map_err(|error| io_error(file, &error))
}

/// A new folder for what is replaced.
fn free_folder(store: &Path) -> Result<PathBuf, JournalError> {
    let mut number = 1_u32;
    loop {
        let folder = store.join(format!("{REPLACED}-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io_error(&folder, &error)),
        }
    }
}

/// Gives every topic another epoch.
fn begin_epochs(file: &Path) -> Result<(), JournalError> {
    let sqlite = |error: rusqlite::Error| store_error(&error);
    let conn = Connection::open(file).map_err(sqlite)?;
    let change = || {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let mut changes = Vec::new();
        {
            let mut statement = conn.prepare("SELECT * FROM topics")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // Damaged rows were refused before.
                let (Some(mut topic), Some(kind), Some(policy)) =
                    (read_topic(row), text(row, 2), text(row, 3))
                else {
                    continue;
                };
                let [high, low, ..] = uuid::Uuid::new_v4().as_u128().to_be_bytes().map(u32::from);
                // Never the same one again.
                topic.epoch = topic.epoch.wrapping_add(1 + high * 256 + low);
                changes.push((topic.number, topic.epoch, topic_crc(&topic, kind, policy)));
            }
        }
        let mut update =
            conn.prepare("UPDATE topics SET epoch = ?2, crc = ?3 WHERE number = ?1")?;
        for change in changes {
            update.execute(change)?;
        }
        conn.execute_batch("COMMIT")
    };
    change().map_err(sqlite)
}
