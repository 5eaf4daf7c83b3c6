//! Receivers that wait for a message: oldest first per queue, each with a deadline.

use super::messages::Reply;
use crate::queue::{Receive, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::sync::oneshot;

/// One receiver that waits.
#[derive(Debug)]
pub struct Waiter {
    id: u64,
    /// What it asked for.
    pub request: Receive,
    /// When it gets an empty answer.
    pub deadline: Timestamp,
    /// Its job.
    pub to: oneshot::Sender<Reply>,
}

/// All receivers that wait at one topic, by queue.
#[derive(Debug, Default)]
pub struct Waiters {
    queues: BTreeMap<u32, VecDeque<Waiter>>,
    deadlines: BTreeSet<(Timestamp, u64, u32)>,
    next_id: u64,
}

impl Waiters {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }

    /// Adds one behind the others.
    pub fn push(
        &mut self,
        queue: u32,
        request: Receive,
        deadline: Timestamp,
        to: oneshot::Sender<Reply>,
    ) {
        let id = self.next_id;
        self.next_id += 1;
        self.deadlines.insert((deadline, id, queue));
        self.queues.entry(queue).or_default().push_back(Waiter { id, request, deadline, to });
    }

    /// Puts one back in front: there was nothing for it.
    pub fn put_back(&mut self, queue: u32, waiter: Waiter) {
        self.deadlines.insert((waiter.deadline, waiter.id, queue));
        self.queues.entry(queue).or_default().push_front(waiter);
    }

    /// The one that has waited longest and still does.
    pub fn pop(&mut self, queue: u32) -> Option<Waiter> {
        let waiting = self.queues.get_mut(&queue)?;
        let mut found = None;
        while let Some(waiter) = waiting.pop_front() {
            self.deadlines.remove(&(waiter.deadline, waiter.id, queue));
            if !waiter.to.is_closed() {
                found = Some(waiter);
                break;
            }
        }
        if waiting.is_empty() {
            self.queues.remove(&queue);
        }
        found
    }

    /// The queues somebody waits at.
    pub fn queues(&self) -> Vec<u32> {
        self.queues.keys().copied().collect()
    }

    /// When the next one has waited long enough.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _, _)| *deadline)
    }

    /// Answers those whose time is up, with nothing.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(&(deadline, id, queue)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            let Some(waiting) = self.queues.get_mut(&queue) else { continue };
            if let Some(at) = waiting.iter().position(|waiter| waiter.id == id)
                && let Some(waiter) = waiting.remove(at)
            {
                // A client that left meanwhile needs no answer.
                let _ = waiter.to.send(Reply::Delivered(Vec::new()));
            }
            if waiting.is_empty() {
                self.queues.remove(&queue);
            }
        }
    }

    /// Answers everybody with one reply.
    pub fn end_all(&mut self, reply: &Reply) {
        self.deadlines.clear();
        for waiter in std::mem::take(&mut self.queues).into_values().flatten() {
            let _ = waiter.to.send(reply.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Receive {
        Receive { max: 1, bytes_max: 1, ack_deadline: None, take: false, from_back: false }
    }

    #[test]
    fn the_oldest_waiter_that_is_still_there_is_served_first() {
        let mut waiters = Waiters::default();
        let mut answers = Vec::new();
        for deadline in [30, 10, 20] {
            let (to, answer) = oneshot::channel();
            waiters.push(7, request(), Timestamp(deadline), to);
            answers.push(answer);
        }
        drop(answers.remove(0));
        assert_eq!(waiters.next_deadline(), Some(Timestamp(10)));
        assert_eq!(waiters.pop(7).map(|waiter| waiter.deadline), Some(Timestamp(10)));
        assert_eq!(waiters.len(), 1);
        assert_eq!(waiters.queues(), [7]);
    }

    #[test]
    fn a_waiter_whose_time_is_up_gets_an_empty_answer() {
        let mut waiters = Waiters::default();
        let (to, mut answer) = oneshot::channel();
        waiters.push(1, request(), Timestamp(10), to);
        waiters.expire(Timestamp(9));
        assert!(answer.try_recv().is_err());
        waiters.expire(Timestamp(10));
        assert_eq!(answer.try_recv(), Ok(Reply::Delivered(Vec::new())));
        assert!(waiters.is_empty() && waiters.queues().is_empty());
    }
}
