//! Requests of one socket that wait for their reply.

use super::request::Req;
use crate::broker::{Inbox, Replied};
use crate::queue::Timestamp;
use rustc_hash::FxHashMap;
use std::{
    collections::BTreeSet,
    task::{Context, Poll},
};

/// A request on its way.
pub struct Call {
    /// What the client calls it.
    pub req: Req,
    /// The reply may come in a binary frame.
    pub binary: bool,
    deadline: Timestamp,
}

/// All that wait.
#[derive(Default)]
pub struct Calls {
    waiting: FxHashMap<u64, Call>,
    deadlines: BTreeSet<(Timestamp, u64)>,
    last: u64,
    /// Made when the client first asks.
    pub inbox: Option<Inbox>,
}

impl Calls {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// One more; its number, which no other request of this socket has had.
    pub fn add(&mut self, req: Req, binary: bool, deadline: Timestamp) -> u64 {
        self.last += 1;
        self.deadlines.insert((deadline, self.last));
        self.waiting.insert(self.last, Call { req, binary, deadline });
        self.last
    }

    /// One waits no more.
    pub fn remove(&mut self, number: u64) -> Option<Call> {
        let call = self.waiting.remove(&number)?;
        self.deadlines.remove(&(call.deadline, number));
        Some(call)
    }

    /// The request that a reply is for.
    pub fn answered(&mut self, reply: &Replied) -> Option<Call> {
        self.remove(reply.correlation.parse().ok()?)
    }

    /// When the next one has waited long enough.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// One that has waited long enough.
    pub fn expire(&mut self, now: Timestamp) -> Option<Call> {
        let (_, number) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.remove(number)
    }

    /// The next reply; pending for ever when nothing was asked.
    pub fn poll_reply(&mut self, task: &mut Context<'_>) -> Poll<Replied> {
        let Some(inbox) = &mut self.inbox else { return Poll::Pending };
        match inbox.poll_next(task) {
            Poll::Ready(Some(reply)) => Poll::Ready(reply),
            // The broker stops, and says so elsewhere.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
