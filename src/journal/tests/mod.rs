//! What the store promises, tried on real files.

mod backup;
mod basics;
mod crash;
mod damage;
mod disk;
mod formats;
mod ids;
mod marks;

use super::*;
use crate::queue::{
    DeadLetter, DeadReason, Extra, Kind, Place, QueueName, QueuePolicy, Stored, TopicName,
    TopicPolicy,
};
use std::{path::Path, sync::mpsc};
use tempfile::TempDir;

pub(super) fn settings(path: &Path) -> JournalSettings {
    JournalSettings {
        path: path.to_owned(),
        queue_max: 1024,
        commit_records_max: 4096,
        commit_bytes_max: 4 << 20,
        sync_interval: Duration::from_millis(100),
        reserve_bytes: 1 << 20,
        cache_bytes: 8 << 20,
    }
}

pub(super) fn open(path: &Path) -> (Journal, Catalog) {
    Journal::open(settings(path)).unwrap()
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Submits and waits for the outcome.
pub(super) fn write(
    journal: &Journal,
    level: Level,
    records: Vec<Record>,
) -> Result<(), JournalError> {
    let (answer, outcome) = mpsc::channel();
    let done: Done = Box::new(move |outcome| answer.send(outcome).unwrap());
    journal.submit(Submission { records, level, done: Some(done) }).map_err(|(error, _)| error)?;
    outcome.recv().unwrap()
}

pub(super) fn put(journal: &Journal, records: Vec<Record>) {
    write(journal, Level::Sync, records).unwrap();
}

pub(super) fn topic(number: u32, kind: Kind) -> Record {
    Record::TopicPut(TopicDefinition {
        number,
        name: TopicName::parse(format!("topic-{number}")).unwrap(),
        kind,
        policy: TopicPolicy::default(),
        salt: 7,
        epoch: 1,
        owner: Some("admin".into()),
        created_at: Timestamp(1),
    })
}

pub(super) fn queue(number: u32, topic: u32) -> Record {
    Record::QueuePut(QueueDefinition {
        number,
        topic,
        name: QueueName::parse(format!("queue-{number}")).unwrap(),
        policy: QueuePolicy::default(),
        created_at: Timestamp(2),
    })
}

/// One broker topic (1) with two queues (1, 2), one pubsub topic (2).
pub(super) fn furnish(journal: &Journal) {
    put(journal, vec![topic(1, Kind::Broker), queue(1, 1), queue(2, 1), topic(2, Kind::Pubsub)]);
}

pub(super) fn stored(number: u64, place: Place) -> Stored {
    let topic = if matches!(place, Place::History { .. }) { 2 } else { 1 };
    Stored {
        stamped: false,
        door: None,
        number,
        topic,
        seq: number,
        published_at: Timestamp(1_700_000_000_000),
        visible_at: Timestamp(1_700_000_000_000),
        expires_at: Timestamp::NEVER,
        extra: None,
        body: body(number).into(),
        place,
    }
}

pub(super) fn body(number: u64) -> Bytes {
    Bytes::from(format!("body of message {number}"))
}

pub(super) fn published(number: u64, queue: u32) -> Record {
    Record::Published(stored(number, Place::Queue(queue)))
}

pub(super) fn acked(number: u64) -> Record {
    Record::Removed { entry: number, message: number, last: true }
}

pub(super) fn read_all(journal: &Journal) -> Vec<Restored> {
    let mut all = Vec::new();
    journal.restore(None, &mut |_| true, &mut |message| all.push(message)).unwrap();
    all
}

pub(super) fn numbers_in(journal: &Journal) -> Vec<u64> {
    read_all(journal).iter().map(|message| message.number).collect()
}

/// What a process that was killed now would leave behind.
pub(super) fn crash_image(from: &Path) -> TempDir {
    let to = folder();
    for name in ["octoq.db", "octoq.db-wal", "LAST"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.path().join(name)).unwrap();
        }
    }
    to
}

/// Waits for a condition that other threads bring about.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "still not: {what}");
        thread::yield_now();
    }
}

pub(super) fn rows(path: &Path, sql: &str) -> i64 {
    let conn = schema::connect_readonly(&super::folder::database(path), 1 << 20).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

pub(super) fn letter() -> DeadLetter {
    DeadLetter {
        at: Timestamp(5),
        reason: DeadReason::Rejected,
        attempts: 3,
        failures: Vec::new(),
        revived: false,
        revived_at: None,
        revived_by: None,
    }
}

pub(super) fn extra() -> Option<Arc<Extra>> {
    Some(Arc::new(Extra {
        attributes: Some("{\"a\":1}".into()),
        client_id: Some(Bytes::from_static(b"own\xff")),
        priority: 3,
        ..Extra::default()
    }))
}
