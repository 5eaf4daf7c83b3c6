//! The thread that pages bodies in, on a connection of its own that cannot write.
//!
//! Each body is a statement of its own, so that the log is never kept from starting anew.

use super::{
    quarantine::Found,
    row::{MESSAGE_COLUMNS, MessageRow},
};
use bytes::Bytes;
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{Receiver, SyncSender},
};

/// Told the bodies: (number, body), `None` where it is missing or damaged.
pub type Fetched = Box<dyn FnOnce(Vec<(u64, Option<Bytes>)>) + Send>;

/// Bodies that somebody wants.
pub(super) struct Fetch {
    pub numbers: Vec<u64>,
    pub done: Fetched,
}

/// What the reader is told.
pub(super) enum Question {
    /// Read these.
    Fetch(Fetch),
    /// Finish; answer when the file is let go of.
    End(SyncSender<()>),
}

/// Answers until told to end or until every handle is gone. `damaged` is told what disagreed with
/// its checksum.
pub(super) fn run(conn: Connection, questions: Receiver<Question>, damaged: &dyn Fn(Vec<Found>)) {
    let mut ending = None;
    while let Ok(question) = match ending {
        None => questions.recv().map_err(drop),
        // What was taken before the end is still answered.
        Some(_) => questions.try_recv().map_err(drop),
    } {
        match question {
            Question::Fetch(fetch) => answer(&conn, fetch, damaged),
            Question::End(answer) => ending = ending.or(Some(answer)),
        }
    }
    if let Err((_, error)) = conn.close() {
        log::warn!("closing the store for reading: {error}");
    }
    drop(questions);
    if let Some(answer) = ending {
        let _ = answer.send(());
    }
}

fn answer(conn: &Connection, Fetch { numbers, done }: Fetch, damaged: &dyn Fn(Vec<Found>)) {
    let mut bad = Vec::new();
    let bodies = numbers.into_iter().map(|number| (number, body(conn, number, &mut bad))).collect();
    if catch_unwind(AssertUnwindSafe(|| done(bodies))).is_err() {
        log::error!("what was to be told the bodies it asked for has panicked");
    }
    if !bad.is_empty() {
        damaged(bad);
    }
}

fn body(conn: &Connection, number: u64, bad: &mut Vec<Found>) -> Option<Bytes> {
    let sql = &format!("SELECT {MESSAGE_COLUMNS} FROM msg WHERE id = ?1");
    let found = conn.prepare_cached(sql).and_then(|mut read| {
        let mut rows = read.query([number.cast_signed()])?;
        Ok(rows
            .next()?
            .map(|row| MessageRow::read(row).map(|row| Bytes::copy_from_slice(row.body))))
    });
    match found {
        Ok(None) => None,
        Ok(Some(None)) => {
            bad.push(("msg", number));
            None
        }
        Ok(Some(body)) => body,
        Err(error) => {
            log::error!("message {number} cannot be read: {error}");
            None
        }
    }
}
