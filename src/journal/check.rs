//! `octoq check`: is a store that is not running whole, and if not, what can be saved.

use super::{
    JournalError,
    folder::{self, Lock, io_error},
    open::{self, Inspected, read_queue, read_topic},
    quarantine::Found,
    restore,
    salvage::{self, Survey, TABLES},
    schema,
};
use crate::queue::{RestoredEntry, TopicName};
use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{fmt, fs, path::Path};

/// Most complaints of SQLite that are printed.
const COMPLAINTS_MAX: usize = 20;

/// How a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is wrong.
    Whole,
    /// It opens; single rows are damaged or lost.
    Blemished,
    /// It does not open: something confirmed is missing or the file itself is damaged.
    Damaged,
}

/// Messages of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicCount {
    /// The topic's name, as a person reads it.
    pub name: String,
    /// In a queue and never handed out.
    pub waiting: u64,
    /// In a queue and handed out before, or delayed again.
    pub tried: u64,
    /// Dead letters.
    pub dead: u64,
    /// In the history of a pubsub topic.
    pub history: u64,
    /// Bytes of bodies.
    pub bytes: u64,
}

/// What [`check`] found. `Display` is the text for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All of it in one word.
    pub verdict: Verdict,
    /// What is wrong, and what is worth knowing, in sentences.
    pub lines: Vec<String>,
    /// Per topic, by name.
    pub topics: Vec<TopicCount>,
    /// Per table: what is whole and what is not.
    pub tables: Vec<Survey>,
}

impl Report {
    /// For the shell: 0 whole, 1 opens but rows are damaged, 2 does not open.
    pub fn exit_status(&self) -> u8 {
        match self.verdict {
            Verdict::Whole => 0,
            Verdict::Blemished => 1,
            Verdict::Damaged => 2,
        }
    }

    fn say(&mut self, verdict: Verdict, line: impl Into<String>) {
        self.verdict = self.verdict.max(verdict);
        self.lines.push(line.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        for topic in &self.topics {
            let what = match topic.name == TopicName::unattached().to_string() {
                true => "queues without a topic".to_owned(),
                false => format!("topic {}", topic.name),
            };
            writeln!(
                f,
                "{what}: {} waiting, {} tried, {} dead, {} history, {} bytes",
                topic.waiting, topic.tried, topic.dead, topic.history, topic.bytes
            )?;
        }
        for table in
            self.tables.iter().filter(|t| t.whole + t.damaged > 0 || !t.unreadable.is_empty())
        {
            write!(f, "table {}: {} rows can be saved", table.table, table.whole)?;
            if table.damaged > 0 {
                write!(f, ", {} are damaged", table.damaged)?;
            }
            for &(after, before) in &table.unreadable {
                let before = if before == i64::MAX { "the end".into() } else { before.to_string() };
                write!(f, ", unreadable after {} up to {before}", after.max(0))?;
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "{}",
            match self.verdict {
                Verdict::Whole => "the store is whole",
                Verdict::Blemished => "the store opens; what is damaged goes to quarantine",
                Verdict::Damaged => {
                    "the store does not open: `octoq check --repair DIR` saves what is whole into a new \
                 store, `octoq check --accept-loss` goes on here without what is lost"
                }
            }
        )
    }
}

/// Verifies the store in the folder `path` and changes nothing in it.
///
/// Errors: `Locked` when a broker runs on it, `TooNew`, `Io` when there is no store.
pub fn check(path: &Path) -> Result<Report, JournalError> {
    let file = folder::database(path);
    fs::metadata(&file).map_err(|error| io_error(&file, &error))?;
    let _watch = Lock::watch(path)?;
    let mut report = Report {
        verdict: Verdict::Whole,
        lines: Vec::new(),
        topics: Vec::new(),
        tables: Vec::new(),
    };
    match open::inspect(path, &open::boot_id()) {
        Err(JournalError::Damaged { file, what }) => {
            report.say(Verdict::Damaged, format!("{}: {what}", file.display()));
        }
        Err(other) => return Err(other),
        Ok(seen) => look_at(&seen, &mut report),
    }
    let conn = match schema::connect_readonly(&file, 64 << 20) {
        Ok(conn) => conn,
        Err(error) => {
            report.say(Verdict::Damaged, format!("{}: {error}", file.display()));
            return Ok(report);
        }
    };
    integrity(&conn, &mut report);
    survey_all(&conn, &mut report);
    if let Err(error) = count(&conn, &mut report) {
        report.say(Verdict::Damaged, format!("{}: {error}", file.display()));
    }
    Ok(report)
}

fn look_at(seen: &Inspected, report: &mut Report) {
    let Some(identity) = &seen.identity else {
        report.say(Verdict::Whole, "the store is empty: its first start did not finish");
        return;
    };
    report.say(
        Verdict::Whole,
        format!(
            "format {}, {} commits, {}",
            identity.format,
            identity.last_commit,
            if identity.clean { "closed in order" } else { "not closed in order" },
        ),
    );
    let walk = &seen.walk;
    if walk.frames > 0 || walk.bad_at.is_some() {
        report.say(
            Verdict::Whole,
            format!(
                "log: {} whole frames with {} commits, to byte {}",
                walk.frames, walk.commits, walk.end
            ),
        );
    }
    if let Some(bad_at) = walk.bad_at {
        report.say(Verdict::Whole, format!(
            "log: the frame at byte {bad_at} is damaged; {} whole frames with {} commits follow it",
            walk.frames_after, walk.commits_after
        ));
    }
    for warning in &seen.warnings {
        report.say(Verdict::Blemished, warning.clone());
    }
    if let Some(refusal) = &seen.refusal {
        report.say(Verdict::Damaged, refusal.clone());
    }
}

/// SQLite's own view of its trees and pages.
fn integrity(conn: &Connection, report: &mut Report) {
    let complaints =
        conn.prepare(&format!("PRAGMA integrity_check({COMPLAINTS_MAX})")).and_then(|mut check| {
            check.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        });
    match complaints {
        Ok(lines) if lines == ["ok"] => {}
        Ok(lines) => lines
            .into_iter()
            .for_each(|line| report.say(Verdict::Damaged, format!("SQLite: {line}"))),
        Err(error) => report.say(Verdict::Damaged, format!("SQLite: {error}")),
    }
}

fn survey_all(conn: &Connection, report: &mut Report) {
    for table in TABLES {
        match salvage::survey(conn, table, |_, _| Ok(())) {
            Ok(survey) => {
                if survey.damaged > 0 {
                    report.say(
                        Verdict::Blemished,
                        format!("{table}: {} damaged rows", survey.damaged),
                    );
                }
                if !survey.unreadable.is_empty() {
                    report.say(Verdict::Damaged, format!("{table}: rows that cannot be read"));
                }
                report.tables.push(survey);
            }
            Err(error) => report.say(Verdict::Damaged, format!("{table}: {error}")),
        }
    }
    let quarantined: Result<i64, _> =
        conn.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0));
    if let Ok(quarantined @ 1..) = quarantined {
        report.say(Verdict::Blemished, format!("{quarantined} rows are in quarantine"));
    }
}

fn count(conn: &Connection, report: &mut Report) -> Result<(), rusqlite::Error> {
    let mut bad: Vec<Found> = Vec::new();
    let topics = open::definitions(conn, "topics", read_topic, &mut bad)?;
    let queues = open::definitions(conn, "queues", read_queue, &mut bad)?;
    let topic_of: FxHashMap<u32, u32> =
        queues.iter().map(|queue| (queue.number, queue.topic)).collect();
    let mut counts: FxHashMap<u32, TopicCount> = topics
        .iter()
        .map(|topic| {
            (topic.number, TopicCount { name: topic.name.to_string(), ..Default::default() })
        })
        .collect();
    let mut shared = FxHashSet::default();
    let met = restore::messages(conn, None, &mut |_| false, &mut |message| {
        let home = message
            .entries
            .first()
            .map_or(Some(&message.topic), |entry| topic_of.get(&entry.queue));
        let Some(count) = home.and_then(|home| counts.get_mut(home)) else { return };
        count.bytes += u64::from(message.body_bytes);
        count.history += u64::from(message.entries.is_empty());
        for entry in &message.entries {
            *state(count, entry) += 1;
            if entry.entry != message.number {
                shared.insert(entry.entry);
            }
        }
    })?;
    if met.placeless > 0 {
        let line =
            format!("{} messages have no place left; they go at the next start", met.placeless);
        report.say(Verdict::Whole, line);
    }
    if met.stranded > 0 {
        report.say(
            Verdict::Blemished,
            format!("{} messages lie in no queue or topic that exists", met.stranded),
        );
    }
    dangling(conn, &shared, report)?;
    report.topics = counts.into_values().collect();
    report.topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

fn state<'a>(count: &'a mut TopicCount, entry: &RestoredEntry) -> &'a mut u64 {
    match entry {
        RestoredEntry { dead: Some(_), .. } => &mut count.dead,
        RestoredEntry { attempts: 1.., .. } => &mut count.tried,
        _ => &mut count.waiting,
    }
}

/// Places whose message is not there.
fn dangling(
    conn: &Connection,
    met: &FxHashSet<u64>,
    report: &mut Report,
) -> Result<(), rusqlite::Error> {
    let marks = super::marks::Marks::load(conn)?;
    let letters = restore::Letters::load(conn, &mut Vec::new())?;
    let mut without = 0_u64;
    let mut exists = conn.prepare("SELECT 1 FROM msg WHERE id = ?1")?;
    restore::each_row(conn, "ref", "id, queue, msg, crc", |id, row| {
        if met.contains(&id.cast_unsigned()) {
            return;
        }
        if let Some(place) = restore::read_ref(row) {
            let scope = super::marks::Scope::Queue(place.queue);
            let gone = marks.cover(scope, place.entry, || letters.is_dead(place.entry));
            if !gone && !exists.exists([place.message.cast_signed()]).unwrap_or(false) {
                without += 1;
            }
        }
    })?;
    if without > 0 {
        report.say(Verdict::Blemished, format!("{without} places have lost their message"));
    }
    Ok(())
}

/// Saves what is whole in the store at `path` into a new store at `to`; `path` stays as it is.
///
/// Errors: `Locked`, `TooNew`, `Io` when `to` is not empty or cannot be written.
pub fn repair(path: &Path, to: &Path) -> Result<Report, JournalError> {
    let tables = salvage::repair(path, to)?;
    let mut report = check(to)?;
    report.lines.insert(0, format!("saved from {} into {}:", path.display(), to.display()));
    for table in &tables {
        if table.damaged > 0 || !table.unreadable.is_empty() {
            report.say(
                Verdict::Blemished,
                format!(
                    "not saved from {}: {} damaged rows, {} unreadable stretches",
                    table.table,
                    table.damaged,
                    table.unreadable.len()
                ),
            );
        }
    }
    Ok(report)
}

/// Lets the store at `path` open without what is lost: the damaged log is copied to
/// `octoq.db-wal.damaged` and cut before its first bad frame, `LAST` becomes `LAST.damaged`.
///
/// Errors: `Locked`, `TooNew`, `Io` when a copy cannot be made or one of an earlier call is still there.
pub fn accept_loss(path: &Path) -> Result<Vec<String>, JournalError> {
    // Before the lock is taken, which writes into its file.
    let watch = Lock::watch(path)?;
    open::refuse_newer(path)?;
    drop(watch);
    let _lock = Lock::take(path)?;
    let (log, last) = (folder::log(path), folder::last(path));
    let walk = super::wal::walk(&log).map_err(|error| io_error(&log, &error))?;
    let mut lines = Vec::new();
    if let Some(bad_at) = walk.bad_at {
        let aside = log.with_extension("db-wal.damaged");
        if aside.exists() {
            return Err(JournalError::Io(format!("{} is still there", aside.display())));
        }
        fs::copy(&log, &aside).map_err(|error| io_error(&aside, &error))?;
        let cut = fs::OpenOptions::new().write(true).open(&log).and_then(|file| {
            file.set_len(walk.end.min(bad_at))?;
            file.sync_all()
        });
        cut.map_err(|error| io_error(&log, &error))?;
        lines.push(format!(
            "the log was cut at byte {}; it is whole in {}",
            walk.end.min(bad_at),
            aside.display()
        ));
    }
    if last.exists() {
        let aside = last.with_extension("damaged");
        fs::rename(&last, &aside).map_err(|error| io_error(&last, &error))?;
        lines.push(format!("LAST is now {}", aside.display()));
    }
    Ok(lines)
}
