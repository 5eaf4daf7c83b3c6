//! The one thread that writes: takes everything that waits as one commit, answers, tidies up while
//! nobody asks for anything.

mod tidy;

use super::{
    Done, JournalError, JournalSettings, Shared, Submission,
    apply::{Applier, grows, weight},
    early::{EarlyRemovals, records_of},
    folder::{self, Last, LastFile, Lock, Reserve},
    quarantine,
    schema::{PAGE_BYTES, WAL_FRAMES, put_meta},
    sweep::Sweep,
};
use crate::queue::Level;
use rusqlite::{Connection, ErrorCode};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Relaxed, Release},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::{Duration, Instant},
};

/// Numbers set aside with one write: a start after a crash goes on above them.
pub(super) const NUMBERS_AHEAD: u64 = 1 << 20;
/// While commits never pause, one step of the sweep is done every so many.
const COMMITS_PER_SWEEP_STEP: u32 = 16;
/// Silence after which the log is copied into the main file and free pages go back to the disk.
const QUIET: Duration = Duration::from_millis(50);
/// How often a full disk is looked at again.
const FULL_PROBE_EVERY: Duration = Duration::from_secs(1);
/// Free pages kept in the file for the next messages.
const FREE_PAGES_KEPT: i64 = 128;
/// Free pages given back per step.
const VACUUM_PAGES: i64 = 256;
/// How long a task that failed waits before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the writer is told.
pub(super) enum Command {
    /// Write this.
    Submit(Submission),
    /// Take the messages away that have no place.
    Sweep,
    /// Move damaged rows aside.
    Quarantine(Vec<quarantine::Found>),
    /// Finish; answer when all is on the disk.
    Close(SyncSender<Result<(), JournalError>>),
    /// Runs a statement on the writer's connection.
    #[cfg(test)]
    Sql(&'static str, SyncSender<()>),
}

/// Everything the thread starts with.
pub(super) struct Start {
    pub conn: Connection,
    pub lock: Lock,
    pub last: Last,
    pub last_file: LastFile,
    pub reserve: Reserve,
    pub reserved: u64,
    pub marks: super::marks::Marks,
    pub noted: super::apply::Noted,
}

/// Runs until closed or until every handle is gone.
pub(super) fn run(start: Start, shared: &Arc<Shared>, commands: Receiver<Command>) {
    let Start { conn, lock, last, last_file, reserve, reserved, marks, noted } = start;
    let applier = match Applier::new(&conn, marks, noted) {
        Ok(applier) => applier,
        Err(error) => {
            // Only the memory can be short here: the same statements were tried at the start.
            log::error!("the store's writer cannot start: {error}");
            return;
        }
    };
    let now = Instant::now();
    let growth_max = reserve.bytes() / 2;
    let mut writer = Writer {
        settings: &shared.settings,
        conn: &conn,
        applier,
        shared,
        last,
        last_file,
        reserve,
        reserved,
        level: Level::Sync,
        sweep: None,
        sweep_all: false,
        commits_since_step: 0,
        unsynced_since: None,
        unmoved: true,
        log_frames_max: WAL_FRAMES,
        growth_max,
        database: folder::database(&shared.settings.path),
        vacuum: true,
        retry_at: now,
        probe_at: now + FULL_PROBE_EVERY,
    };
    let answer = writer.serve(&commands);
    drop(writer);
    if let Err((_, error)) = conn.close() {
        log::warn!("closing the store: {error}");
    }
    drop(lock);
    // Whoever is told that the store is closed finds it closed.
    drop(commands);
    if let Some((answer, outcome)) = answer {
        let _ = answer.send(outcome);
    }
}

type Closing = Option<(SyncSender<Result<(), JournalError>>, Result<(), JournalError>)>;

struct Writer<'a> {
    settings: &'a JournalSettings,
    conn: &'a Connection,
    applier: Applier<'a>,
    shared: &'a Shared,
    last: Last,
    last_file: LastFile,
    reserve: Reserve,
    /// Numbers up to this may have been given away, as the store knows it.
    reserved: u64,
    /// What SQLite's `synchronous` is set to.
    level: Level,
    sweep: Option<Sweep>,
    /// The next sweep looks at every message.
    sweep_all: bool,
    commits_since_step: u32,
    /// The oldest commit that is not synced yet was made then.
    unsynced_since: Option<Instant>,
    /// The log holds commits that the main file does not.
    unmoved: bool,
    /// The log is copied into the main file when it has this many frames.
    log_frames_max: i64,
    /// ... or when the main file would grow by so many bytes.
    growth_max: u64,
    database: PathBuf,
    /// Free pages may be there to give back.
    vacuum: bool,
    /// No idle work before this, after some failed.
    retry_at: Instant,
    probe_at: Instant,
}

/// Why a commit did not come about.
enum Failed {
    /// No room.
    Full,
    /// One submission cannot be written; the others can.
    Submission(JournalError),
    /// The disk or SQLite.
    Store(JournalError),
}

impl From<Failed> for JournalError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Full => JournalError::DiskFull,
            Failed::Submission(error) | Failed::Store(error) => error,
        }
    }
}

/// Is it the lack of room? The index of the log cannot grow: SQLite calls that an I/O error.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull
            || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

pub(super) fn store_error(error: &rusqlite::Error) -> JournalError {
    if is_full(error) { JournalError::DiskFull } else { JournalError::Io(error.to_string()) }
}

impl Writer<'_> {
    fn serve(&mut self, commands: &Receiver<Command>) -> Closing {
        let mut batch = Vec::new();
        let mut held = None;
        loop {
            let command = match held.take() {
                Some(command) => command,
                None => match self.next(commands) {
                    Ok(command) => command,
                    Err(RecvTimeoutError::Timeout) => {
                        self.idle();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        self.sync_pending();
                        return None;
                    }
                },
            };
            match command {
                Command::Submit(first) => {
                    held = self.gather(first, commands, &mut batch);
                    self.commit(&mut batch);
                    self.between_commits();
                }
                Command::Sweep => self.sweep_all = true,
                Command::Quarantine(found) => self.quarantine(&found),
                Command::Close(answer) => {
                    let outcome = self.finish();
                    self.refuse_rest(commands);
                    return Some((answer, outcome));
                }
                #[cfg(test)]
                Command::Sql(statement, done) => {
                    let _ = self.conn.query_row(statement, [], |_| Ok(()));
                    let _ = done.send(());
                }
            }
        }
    }

    fn next(&self, commands: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        match self.due() {
            None => commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => commands.recv_timeout(due.saturating_duration_since(Instant::now())),
        }
    }

    /// Takes all that waits, up to the bounds of a commit. Returns a command that must wait for it.
    fn gather(
        &self,
        first: Submission,
        commands: &Receiver<Command>,
        batch: &mut Vec<Submission>,
    ) -> Option<Command> {
        let (mut records, mut bytes) = (0, 0);
        let mut next = first;
        loop {
            self.shared.waiting.fetch_sub(1, Relaxed);
            records += next.records.len();
            bytes += next.records.iter().map(weight).sum::<usize>();
            batch.push(next);
            if records >= self.settings.commit_records_max
                || bytes >= self.settings.commit_bytes_max
            {
                return None;
            }
            match commands.try_recv() {
                Ok(Command::Submit(submission)) => next = submission,
                Ok(other) => return Some(other),
                Err(_) => return None,
            }
        }
    }

    /// Writes the batch and answers each member; see [`Writer::try_commit`].
    fn commit(&mut self, batch: &mut Vec<Submission>) {
        if self.shared.full.load(Acquire) && !self.probe() {
            self.refuse_growing(batch);
        }
        if batch.is_empty() {
            return;
        }
        let outcome = match self.try_commit(batch) {
            Err(Failed::Submission(error)) if batch.len() == 1 => Err(Failed::Submission(error)),
            Err(Failed::Submission(_)) => return self.commit_one_by_one(batch),
            Err(Failed::Full) => {
                self.enter_full();
                self.refuse_growing(batch);
                if batch.is_empty() {
                    return;
                }
                let _ = self.checkpoint();
                match self.try_commit(batch) {
                    Err(Failed::Submission(_)) => return self.commit_one_by_one(batch),
                    outcome => outcome,
                }
            }
            outcome => outcome,
        };
        answer_all(batch, outcome.map_err(JournalError::from));
    }

    /// One bad submission must not fail its neighbours.
    fn commit_one_by_one(&mut self, batch: &mut Vec<Submission>) {
        for submission in batch.drain(..) {
            let mut alone = vec![submission];
            let mut outcome = self.try_commit(&alone);
            if matches!(outcome, Err(Failed::Full)) {
                self.enter_full();
                if !alone.iter().any(submission_grows) {
                    outcome = self.try_commit(&alone);
                }
            }
            answer_all(&mut alone, outcome.map_err(JournalError::from));
        }
    }

    /// One transaction, all or nothing.
    fn try_commit(&mut self, batch: &[Submission]) -> Result<(), Failed> {
        let began = Instant::now();
        let sync =
            batch.is_empty() || batch.iter().any(|submission| submission.level == Level::Sync);
        let store = |error: rusqlite::Error| match store_error(&error) {
            JournalError::DiskFull => Failed::Full,
            other => Failed::Store(other),
        };
        self.set_level(if sync { Level::Sync } else { Level::Async }).map_err(store)?;
        self.conn
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .map_err(store)?;
        let commit = self.last.commit + 1;
        let next = Last {
            commit,
            sync_commit: if sync { commit } else { self.last.sync_commit },
            ..self.last
        };
        let mut reserved = self.reserved;
        let written = self
            .write(batch)
            .and_then(|()| self.write_progress(next, &mut reserved).map_err(store));
        if let Err(failed) = written {
            let _ = self.conn.execute_batch("ROLLBACK");
            self.applier.rolled_back();
            return Err(failed);
        }
        self.applier.committed();
        self.reserved = reserved;
        self.last = next;
        if let Err(error) = self.last_file.write(next) {
            log::warn!("the number of the last commit could not be noted: {error}");
        }
        self.unmoved = true;
        self.vacuum = true;
        self.unsynced_since =
            if sync { None } else { self.unsynced_since.or_else(|| Some(Instant::now())) };
        self.shared.commits.fetch_add(1, Relaxed);
        self.shared.syncs.fetch_add(u64::from(sync), Relaxed);
        let records: usize = batch.iter().map(|submission| submission.records.len()).sum();
        self.shared.records.fetch_add(records as u64, Relaxed);
        let bytes: usize = records_of(batch).map(weight).sum();
        self.shared.body_bytes.fetch_add(bytes as u64, Relaxed);
        self.shared.timing.add(began.elapsed());
        Ok(())
    }

    fn write(&mut self, batch: &[Submission]) -> Result<(), Failed> {
        let number_now = self.shared.next.load(Acquire).saturating_sub(1);
        let early = EarlyRemovals::of(batch);
        let (mut removals, mut others) = (0, 0);
        for record in records_of(batch).filter(|record| early.has(record)) {
            self.applier.apply(record, number_now).map_err(|error| failure(&error))?;
            removals += 1;
        }
        self.applier.flush().map_err(|error| failure(&error))?;
        for record in records_of(batch).filter(|record| removals == 0 || !early.has(record)) {
            self.applier.apply(record, number_now).map_err(|error| failure(&error))?;
            others += 1;
        }
        debug_assert_eq!(removals + others, records_of(batch).count());
        self.applier.flush().map_err(|error| failure(&error))
    }

    /// The last statements of a transaction: its number, and the numbers set aside.
    fn write_progress(&mut self, next: Last, reserved: &mut u64) -> Result<(), rusqlite::Error> {
        let number_now = self.shared.next.load(Acquire);
        if number_now + NUMBERS_AHEAD / 2 > *reserved {
            *reserved = number_now + NUMBERS_AHEAD;
            put_meta(self.conn, "reserved", reserved.cast_signed())?;
        }
        self.conn
            .prepare_cached("UPDATE progress SET last_commit = ?1, last_sync_commit = ?2")?
            .execute((next.commit.cast_signed(), next.sync_commit.cast_signed()))?;
        self.conn.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    fn set_level(&mut self, level: Level) -> Result<(), rusqlite::Error> {
        if self.level != level {
            let full = level == Level::Sync;
            self.conn.execute_batch(if full {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.level = level;
        }
        Ok(())
    }

    // ---- a full disk

    fn enter_full(&mut self) {
        self.probe_at = Instant::now() + FULL_PROBE_EVERY;
        let given_up = self.reserve.give_up();
        if !self.shared.full.swap(true, Release) {
            log::error!(
                "the disk is full: {} refuses publishes and still takes acks{}",
                self.settings.path.display(),
                if given_up { "" } else { " as long as there is room at all" },
            );
        }
    }

    /// Is there room again? Only when the reserve could be set aside once more: without it,
    /// publishes would take what the acks need. Free pages of the file go back to the disk first.
    fn probe(&mut self) -> bool {
        let now = Instant::now();
        if now < self.probe_at {
            return false;
        }
        self.probe_at = now + FULL_PROBE_EVERY;
        if self.reserve.take().is_err() {
            return false;
        }
        self.shared.full.store(false, Release);
        log::warn!(
            "there is room on the disk again: {} takes publishes",
            self.settings.path.display()
        );
        true
    }

    fn refuse_growing(&self, batch: &mut Vec<Submission>) {
        let (mut growing, rest) = batch.drain(..).partition::<Vec<_>, _>(submission_grows);
        *batch = rest;
        answer_all(&mut growing, Err(JournalError::DiskFull));
    }

    /// The end of a run: everything on the disk and in the main file, marked clean.
    fn finish(&mut self) -> Result<(), JournalError> {
        let number_now = self.shared.next.load(Acquire);
        put_meta(self.conn, "reserved", number_now.cast_signed())
            .and_then(|()| put_meta(self.conn, "clean", 1))
            .map_err(|error| store_error(&error))?;
        self.try_commit(&[]).map_err(JournalError::from)?;
        self.conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| store_error(&error))
    }

    fn refuse_rest(&self, commands: &Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            if let Command::Submit(submission) = command {
                self.shared.waiting.fetch_sub(1, Relaxed);
                answer_all(&mut vec![submission], Err(JournalError::Closed));
            }
        }
    }
}

/// A record that broke a rule of the tables is its submission's fault; all else is the store's.
fn failure(error: &rusqlite::Error) -> Failed {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) | None => Failed::Submission(store_error(error)),
        Some(_) if is_full(error) => Failed::Full,
        Some(_) => Failed::Store(store_error(error)),
    }
}

fn submission_grows(submission: &Submission) -> bool {
    submission.records.iter().any(grows)
}

fn answer_all(batch: &mut Vec<Submission>, outcome: Result<(), JournalError>) {
    for done in batch.drain(..).filter_map(|submission| submission.done) {
        answer(done, outcome.clone());
    }
}

/// A panic in what is called must not stop the writer.
fn answer(done: Done, outcome: Result<(), JournalError>) {
    if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
        log::error!("what was to be told the outcome of a commit has panicked");
    }
}
