//! What survives a restart on one machine: one SQLite file, one writer thread with group commit.
//!
//! - Whatever waits when the writer is free becomes one transaction; while it runs the next gathers.
//! - An answer is given after the commit, and for level sync after the commit is on the disk.
//! - Numbers ascend over the whole store and none is given twice, whatever was deleted or lost.
//! - Every row has a checksum; a damaged one is moved aside and the rest lives on.
//! - The store opens only when everything confirmed is there; else it names the file and the place.
//!
//! Nothing here knows actors, topics' rules or clients.

mod apply;
mod backup;
mod catalog;
pub mod check;
mod early;
mod folder;
mod marks;
mod open;
mod quarantine;
mod reader;
mod restore;
mod row;
mod salvage;
mod schema;
mod sweep;
mod timing;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

use crate::queue::{Level, QueueDefinition, Record, Restored, Timestamp, TopicDefinition};
pub use backup::{Copied, Restoring};
use bytes::Bytes;
use nix::sys::statvfs::statvfs;
pub use reader::Fetched;
use reader::{Fetch, Question};
pub use salvage::Survey;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
pub use timing::CommitTimes;
use timing::Timing;
use writer::{Command, store_error};

/// Most questions for bodies that wait for the reader.
const FETCHES_MAX: usize = 1024;

/// How the journal is set up; see `[store]` in config/octoq.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSettings {
    /// Folder of the store; made when missing.
    pub path: PathBuf,
    /// Most submissions waiting for the writer; above it `submit` answers busy.
    pub queue_max: usize,
    /// Most records of one commit.
    pub commit_records_max: usize,
    /// Most bytes of bodies of one commit.
    pub commit_bytes_max: usize,
    /// How long async commits may stay unsynced.
    pub sync_interval: Duration,
    /// File that is given up for acks when the disk is full.
    pub reserve_bytes: u64,
    /// SQLite page cache, bytes.
    pub cache_bytes: usize,
}

/// Why the store refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// No room on the disk. Acks are still taken.
    #[error("the disk is full")]
    DiskFull,
    /// Not even room to begin, and no reserve that could be given up.
    #[error(
        "the disk is full and the store {path} cannot be opened: free at least 1 MiB there; with \
         that much messages are given out and acked, and publishes wait for more"
    )]
    NoRoom {
        /// The store's folder.
        path: PathBuf,
    },
    /// The writer has as much to do as it may.
    #[error("the store is busy")]
    Busy,
    /// The journal has stopped.
    #[error("the store is closed")]
    Closed,
    /// Another broker holds the store.
    #[error("store {path} is in use by process {pid}")]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// Who, as far as it is known.
        pid: String,
    },
    /// Written by a newer octoq.
    #[error("{file}: store format {found} is newer than {known}, the newest this octoq knows")]
    TooNew {
        /// Which file.
        file: PathBuf,
        /// In the file.
        found: i64,
        /// Here.
        known: i64,
    },
    /// Damage that must not be passed over in silence.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What was found, with an offset or number where there is one.
        what: String,
    },
    /// Anything else, in the words of SQLite or the system.
    #[error("store: {0}")]
    Io(String),
}

/// Called once, on the writer thread, when the records are as durable as their level says, or are not.
pub type Done = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// What one topic wants remembered, all or nothing.
pub struct Submission {
    /// In the order they happened.
    pub records: Vec<Record>,
    /// `Async` or `Sync`; one sync submission makes its whole commit sync.
    pub level: Level,
    /// Told the outcome; `None`: nobody waits.
    pub done: Option<Done>,
}

/// Everything but the messages, as it was at the last commit.
#[derive(Debug, Default)]
pub struct Catalog {
    /// All topics.
    pub topics: Vec<TopicDefinition>,
    /// All queues.
    pub queues: Vec<QueueDefinition>,
    /// (topic, through): `Record::SeqReserved`.
    pub reserved: Vec<(u32, u64)>,
    /// (topic, through): `Record::Claimed`.
    pub claimed: Vec<(u32, u64)>,
    /// (table, key, JSON): `Record::Setting`.
    pub settings: Vec<(String, String, String)>,
    /// The last run ended by `close`.
    pub clean: bool,
    /// The machine has not been restarted since the last run: what was committed is all there.
    pub same_boot: bool,
    /// What was found damaged or missing; each must be logged as a warning.
    pub warnings: Vec<String>,
}

/// A remembered dedup key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredDedup {
    /// Number of its record.
    pub number: u64,
    /// The topic.
    pub topic: u32,
    /// The key.
    pub key: Bytes,
    /// The message that has it.
    pub seq: u64,
    /// Its publish time.
    pub published_at: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Counters for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Commits since the start.
    pub commits: u64,
    /// Of these, synced to the disk.
    pub syncs: u64,
    /// Records written since the start.
    pub records: u64,
    /// Submissions that wait for the writer.
    pub waiting: u64,
    /// Bytes of the database and its log on disk.
    pub disk_bytes: u64,
    /// Bytes of message bodies written since the start.
    pub body_bytes: u64,
    /// How long commits took.
    pub commit_times: CommitTimes,
    /// Bytes that the disk of the store still has.
    pub disk_free_bytes: u64,
    /// Damaged rows that were moved aside, ever.
    pub quarantined: u64,
    /// The disk is full: publishes are refused.
    pub full: bool,
}

/// What the handles and the threads share.
pub(crate) struct Shared {
    settings: JournalSettings,
    next: AtomicU64,
    full: AtomicBool,
    commits: AtomicU64,
    syncs: AtomicU64,
    records: AtomicU64,
    body_bytes: AtomicU64,
    timing: Timing,
    waiting: AtomicU64,
    quarantined: AtomicU64,
}

struct Inner {
    shared: Arc<Shared>,
    /// `None` only while the last handle goes.
    commands: Option<SyncSender<Command>>,
    /// `None` only while the last handle goes.
    questions: Option<SyncSender<Question>>,
    /// Taken when the last handle goes, as is `writer`; `close` is answered by the threads instead.
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

/// Handle of the running journal; cheap to clone.
///
/// When the last one is dropped without [`Journal::close`], everything submitted is still written, but
/// the store is not marked clean.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.inner.shared.settings.path).finish()
    }
}

impl Journal {
    /// Locks, opens (or makes) the store and starts its writer and reader threads.
    ///
    /// Errors: `Locked`, `TooNew`, `Damaged` when something confirmed is missing, `NoRoom`, `Io`.
    pub fn open(settings: JournalSettings) -> Result<(Journal, Catalog), JournalError> {
        Journal::open_in(settings, &open::boot_id())
    }

    fn open_in(settings: JournalSettings, boot: &str) -> Result<(Journal, Catalog), JournalError> {
        let no_room = |error| match error {
            JournalError::DiskFull => JournalError::NoRoom { path: settings.path.clone() },
            error => error,
        };
        let opened = open::open(&settings, boot).map_err(no_room)?;
        let database = folder::database(&settings.path);
        let reading = schema::connect_readonly(&database, settings.cache_bytes / 8)
            .map_err(|error| no_room(store_error(&error)))?;
        let (commands, receiver) = sync_channel(settings.queue_max.max(1));
        let (questions, asked) = sync_channel(FETCHES_MAX);
        let shared = Arc::new(Shared {
            settings,
            next: AtomicU64::new(opened.next),
            full: AtomicBool::new(opened.full),
            commits: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            records: AtomicU64::new(0),
            body_bytes: AtomicU64::new(0),
            timing: Timing::default(),
            waiting: AtomicU64::new(0),
            quarantined: AtomicU64::new(opened.quarantined),
        });

        let (start, of_writer) = (opened.start, shared.clone());
        let writer = thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || writer::run(start, &of_writer, receiver))
            .map_err(|error| JournalError::Io(error.to_string()))?;
        let to_writer = commands.clone();
        let reader = thread::Builder::new()
            .name("journal-reader".into())
            .spawn(move || {
                reader::run(reading, asked, &|damaged| {
                    // A busy writer hears of them when they are next read.
                    let _ = to_writer.try_send(Command::Quarantine(damaged));
                });
            })
            .map_err(|error| JournalError::Io(error.to_string()))?;
        let inner = Inner {
            shared,
            commands: Some(commands),
            questions: Some(questions),
            reader: Some(reader),
            writer: Some(writer),
        };
        Ok((Journal { inner: Arc::new(inner) }, opened.catalog))
    }

    /// Reads every message back in ascending order of number, for all topics or one. Bodies come
    /// along as long as `keep_body`, told their length, says so.
    ///
    /// Sees everything submitted and answered before. What is purged does not come back; a message
    /// whose places are in queues of several topics comes once for each. Damaged rows are moved to the quarantine, counted and logged.
    pub fn restore(
        &self,
        topic: Option<u32>,
        keep_body: &mut dyn FnMut(usize) -> bool,
        visit: &mut dyn FnMut(Restored),
    ) -> Result<(), JournalError> {
        self.read_back(|conn| restore::messages(conn, topic, keep_body, visit))
    }

    /// Reads the remembered dedup keys back, for all topics or one.
    pub fn restore_dedup(
        &self,
        topic: Option<u32>,
        visit: &mut dyn FnMut(RestoredDedup),
    ) -> Result<(), JournalError> {
        self.read_back(|conn| restore::dedup(conn, topic, visit))
    }

    fn read_back(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> Result<restore::Met, rusqlite::Error>,
    ) -> Result<(), JournalError> {
        let settings = &self.inner.shared.settings;
        let file = folder::database(&settings.path);
        let conn = schema::connect_readonly(&file, settings.cache_bytes / 8)
            .map_err(|error| store_error(&error))?;
        let met = read(&conn).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                JournalError::Damaged { file, what: error.to_string() }
            }
            _ => store_error(&error),
        })?;
        drop(conn);
        let path = settings.path.display();
        if met.stranded > 0 {
            log::warn!("{path}: {} messages lie in no queue or topic that exists", met.stranded);
        }
        // A place may have gone to quarantine, by now or before.
        if met.placeless > 0 && self.inner.shared.quarantined.load(Relaxed) == 0 {
            self.commands()?.send(Command::Sweep).map_err(|_| JournalError::Closed)?;
        }
        if !met.damaged.is_empty() {
            log::warn!("{path}: {} damaged rows go to quarantine", met.damaged.len());
            let command = Command::Quarantine(met.damaged);
            self.commands()?.send(command).map_err(|_| JournalError::Closed)?;
        }
        Ok(())
    }

    fn commands(&self) -> Result<&SyncSender<Command>, JournalError> {
        self.inner.commands.as_ref().ok_or(JournalError::Closed)
    }

    /// Hands records to the writer. Never blocks. An error gives the submission back untouched.
    ///
    /// Errors: `Busy` when as much waits as may, `Closed`.
    pub fn submit(&self, submission: Submission) -> Result<(), (JournalError, Submission)> {
        let Some(commands) = &self.inner.commands else {
            return Err((JournalError::Closed, submission));
        };
        let waiting = &self.inner.shared.waiting;
        waiting.fetch_add(1, Relaxed);
        let (error, command) = match commands.try_send(Command::Submit(submission)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(command)) => (JournalError::Busy, command),
            Err(TrySendError::Disconnected(command)) => (JournalError::Closed, command),
        };
        waiting.fetch_sub(1, Relaxed);
        match command {
            Command::Submit(submission) => Err((error, submission)),
            // What was sent comes back as it was.
            _ => Err((error, Submission { records: Vec::new(), level: Level::Async, done: None })),
        }
    }

    /// `count` ascending numbers nobody else gets; returns the first.
    pub fn numbers(&self, count: u64) -> u64 {
        self.inner.shared.next.fetch_add(count, AcqRel)
    }

    /// The highest number given so far.
    pub fn last_number(&self) -> u64 {
        self.inner.shared.next.load(Acquire).saturating_sub(1)
    }

    /// Publishes would be refused: the disk is full.
    pub fn is_full(&self) -> bool {
        self.inner.shared.full.load(Acquire)
    }

    /// Reads bodies by number on the reader thread; damaged or missing ones are `None`.
    ///
    /// Sees everything whose `done` was called before this call. Errors: `Busy`, `Closed`; then `done` is not called.
    pub fn fetch(&self, numbers: Vec<u64>, done: Fetched) -> Result<(), JournalError> {
        let questions = self.inner.questions.as_ref().ok_or(JournalError::Closed)?;
        let question = Question::Fetch(Fetch { numbers, done });
        questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => JournalError::Busy,
            TrySendError::Disconnected(_) => JournalError::Closed,
        })
    }

    /// Flushes, syncs, marks the store clean, stops the threads. Blocks. A second call changes nothing.
    ///
    /// Not to be called from within a `done`, which runs on one of these threads.
    pub fn close(&self) -> Result<(), JournalError> {
        let (answer, ended) = sync_channel(1);
        let questions = self.inner.questions.as_ref().ok_or(JournalError::Closed)?;
        if questions.send(Question::End(answer)).is_ok() {
            // An error says that the thread has ended all the same.
            let _ = ended.recv();
        }
        let (answer, outcome) = sync_channel(1);
        if self.commands()?.send(Command::Close(answer)).is_err() {
            return Ok(());
        }
        outcome.recv().unwrap_or(Err(JournalError::Closed))
    }

    /// Counters as they are now.
    pub fn figures(&self) -> Figures {
        let shared = &self.inner.shared;
        let at = &shared.settings.path;
        let bytes = |file: PathBuf| std::fs::metadata(file).map_or(0, |found| found.len());
        Figures {
            commits: shared.commits.load(Relaxed),
            syncs: shared.syncs.load(Relaxed),
            records: shared.records.load(Relaxed),
            waiting: shared.waiting.load(Relaxed),
            disk_bytes: bytes(folder::database(at)) + bytes(folder::log(at)),
            body_bytes: shared.body_bytes.load(Relaxed),
            commit_times: shared.timing.times(),
            disk_free_bytes: statvfs(at.as_path())
                .map_or(0, |disk| disk.blocks_available().saturating_mul(disk.fragment_size())),
            quarantined: shared.quarantined.load(Relaxed),
            full: shared.full.load(Acquire),
        }
    }
}

impl Drop for Inner {
    /// Waits for the threads, unless it runs on one of them: the last handle may go within a `done`.
    fn drop(&mut self) {
        self.questions = None;
        self.commands = None;
        let threads = [self.reader.take(), self.writer.take()];
        let here = thread::current().id();
        if threads.iter().flatten().any(|handle| handle.thread().id() == here) {
            return;
        }
        for handle in threads.into_iter().flatten() {
            if handle.join().is_err() {
                log::error!("a thread of the store has panicked");
            }
        }
    }
}
