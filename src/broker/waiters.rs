//! Receivers that wait for a message: oldest first per queue, each with a deadline. And watchers, who
//! only want to know that there is one.

use super::messages::Reply;
use crate::queue::{Door, Receive, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tokio::sync::oneshot;

/// Waiters below this number are never looked through for those that left.
const WAITERS_FREE: usize = 64;

/// What somebody waits for.
#[derive(Debug)]
pub enum What {
    /// Messages, to be handed out.
    Messages(Receive),
    /// To be told that there is something to receive.
    Notice,
}

/// One that waits.
#[derive(Debug)]
pub struct Waiter {
    id: u64,
    what: What,
    /// When it gets an empty answer.
    pub deadline: Timestamp,
    /// Its job.
    pub to: oneshot::Sender<Reply>,
    /// Through which door it came.
    pub door: Option<Door>,
}

#[derive(Debug, Default)]
struct AtQueue {
    receivers: VecDeque<Waiter>,
    watchers: VecDeque<Waiter>,
}

impl AtQueue {
    fn is_empty(&self) -> bool {
        self.receivers.is_empty() && self.watchers.is_empty()
    }
}

/// All that wait at one topic, by queue.
#[derive(Debug, Default)]
pub struct Waiters {
    queues: BTreeMap<u32, AtQueue>,
    deadlines: BTreeSet<(Timestamp, u64, u32)>,
    next_id: u64,
    /// More than this are looked through for those that left.
    looked_through: usize,
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

    /// Adds one behind the others; false when as many as may wait do.
    pub fn push(
        &mut self,
        queue: u32,
        what: What,
        deadline: Timestamp,
        (to, door): (oneshot::Sender<Reply>, Option<Door>),
        limit: usize,
    ) -> bool {
        if self.len() >= limit || self.len() > self.looked_through.max(WAITERS_FREE) {
            self.forget_gone();
            self.looked_through = 2 * self.len();
        }
        if self.len() >= limit {
            return false;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.deadlines.insert((deadline, id, queue));
        let waiting = self.queues.entry(queue).or_default();
        let list = match what {
            What::Messages(_) => &mut waiting.receivers,
            What::Notice => &mut waiting.watchers,
        };
        list.push_back(Waiter { id, what, deadline, to, door });
        true
    }

    /// Those whose job was given up wait no more.
    fn forget_gone(&mut self) {
        let deadlines = &mut self.deadlines;
        self.queues.retain(|queue, waiting| {
            let mut stays = |waiter: &Waiter| {
                let gone = waiter.to.is_closed();
                if gone {
                    deadlines.remove(&(waiter.deadline, waiter.id, *queue));
                }
                !gone
            };
            waiting.receivers.retain(&mut stays);
            waiting.watchers.retain(&mut stays);
            !waiting.is_empty()
        });
    }

    /// Puts a receiver back in front: there was nothing for it.
    pub fn put_back(&mut self, queue: u32, waiter: Waiter) {
        self.deadlines.insert((waiter.deadline, waiter.id, queue));
        self.queues.entry(queue).or_default().receivers.push_front(waiter);
    }

    /// The receiver that has waited longest and still does, and what it asked for.
    pub fn pop(&mut self, queue: u32) -> Option<(Waiter, Receive)> {
        let waiting = self.queues.get_mut(&queue)?;
        let mut found = None;
        while let Some(waiter) = waiting.receivers.pop_front() {
            self.deadlines.remove(&(waiter.deadline, waiter.id, queue));
            if let (false, What::Messages(request)) = (waiter.to.is_closed(), &waiter.what) {
                let request = request.clone();
                found = Some((waiter, request));
                break;
            }
        }
        if waiting.is_empty() {
            self.queues.remove(&queue);
        }
        found
    }

    /// Tells everybody who watches a queue that it has something to receive.
    pub fn tell(&mut self, queue: u32) {
        let Some(waiting) = self.queues.get_mut(&queue) else { return };
        for watcher in waiting.watchers.drain(..) {
            self.deadlines.remove(&(watcher.deadline, watcher.id, queue));
            // One that left meanwhile needs no answer.
            let _ = watcher.to.send(Reply::Ready(true));
        }
        if waiting.is_empty() {
            self.queues.remove(&queue);
        }
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
            for list in [&mut waiting.receivers, &mut waiting.watchers] {
                if let Some(at) = list.iter().position(|waiter| waiter.id == id)
                    && let Some(waiter) = list.remove(at)
                {
                    // A client that left meanwhile needs no answer.
                    let _ = waiter.to.send(match waiter.what {
                        What::Messages(_) => Reply::Delivered(Vec::new()),
                        What::Notice => Reply::Ready(false),
                    });
                }
            }
            if waiting.is_empty() {
                self.queues.remove(&queue);
            }
        }
    }

    /// How many receivers wait at a queue and are still there.
    pub fn receivers_at(&self, queue: u32) -> usize {
        let there = |waiter: &&Waiter| !waiter.to.is_closed();
        self.queues.get(&queue).map_or(0, |at| at.receivers.iter().filter(there).count())
    }

    /// Answers everybody who waits at a queue with one reply.
    pub fn end_queue(&mut self, queue: u32, reply: &Reply) {
        let Some(waiting) = self.queues.remove(&queue) else { return };
        for waiter in waiting.receivers.into_iter().chain(waiting.watchers) {
            self.deadlines.remove(&(waiter.deadline, waiter.id, queue));
            let _ = waiter.to.send(reply.clone());
        }
    }

    /// Answers everybody with one reply.
    pub fn end_all(&mut self, reply: &Reply) {
        self.deadlines.clear();
        for waiting in std::mem::take(&mut self.queues).into_values() {
            for waiter in waiting.receivers.into_iter().chain(waiting.watchers) {
                let _ = waiter.to.send(reply.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> What {
        What::Messages(Receive {
            max: 1,
            bytes_max: 1,
            ack_deadline: None,
            take: false,
            from_back: false,
        })
    }

    fn add(
        waiters: &mut Waiters,
        what: What,
        deadline: i64,
        limit: usize,
    ) -> Option<oneshot::Receiver<Reply>> {
        let (to, answer) = oneshot::channel();
        waiters.push(7, what, Timestamp(deadline), (to, None), limit).then_some(answer)
    }

    #[test]
    fn the_oldest_waiter_that_is_still_there_is_served_first() {
        let mut waiters = Waiters::default();
        let mut answers = Vec::new();
        for deadline in [30, 10, 20] {
            answers.push(add(&mut waiters, request(), deadline, 3).unwrap());
        }
        drop(answers.remove(0));
        assert_eq!(waiters.next_deadline(), Some(Timestamp(10)));
        assert_eq!(waiters.pop(7).map(|(waiter, _)| waiter.deadline), Some(Timestamp(10)));
        assert_eq!(waiters.len(), 1);
        assert_eq!(waiters.queues(), [7]);
    }

    #[test]
    fn a_waiter_whose_time_is_up_gets_an_empty_answer() {
        let mut waiters = Waiters::default();
        let mut answer = add(&mut waiters, request(), 10, 2).unwrap();
        let mut notice = add(&mut waiters, What::Notice, 10, 2).unwrap();
        waiters.expire(Timestamp(9));
        assert!(answer.try_recv().is_err() && notice.try_recv().is_err());
        waiters.expire(Timestamp(10));
        assert_eq!(answer.try_recv(), Ok(Reply::Delivered(Vec::new())));
        assert_eq!(notice.try_recv(), Ok(Reply::Ready(false)));
        assert!(waiters.is_empty() && waiters.queues().is_empty());
    }

    #[test]
    fn all_watchers_are_told_at_once_and_receivers_are_left_alone() {
        let mut waiters = Waiters::default();
        let mut receiver = add(&mut waiters, request(), 10, 9).unwrap();
        let mut watchers: Vec<_> =
            (0..3).map(|_| add(&mut waiters, What::Notice, 10, 9).unwrap()).collect();
        waiters.tell(7);
        for watcher in &mut watchers {
            assert_eq!(watcher.try_recv(), Ok(Reply::Ready(true)));
        }
        assert!(receiver.try_recv().is_err());
        assert_eq!((waiters.len(), waiters.next_deadline()), (1, Some(Timestamp(10))));
    }

    #[test]
    fn a_queue_that_ends_ends_those_who_wait_at_it() {
        let mut waiters = Waiters::default();
        let mut receiver = add(&mut waiters, request(), 10, 9).unwrap();
        let mut watcher = add(&mut waiters, What::Notice, 20, 9).unwrap();
        drop(add(&mut waiters, request(), 30, 9));
        let (to, mut elsewhere) = oneshot::channel();
        assert!(waiters.push(8, request(), Timestamp(15), (to, None), 9));
        assert_eq!((waiters.receivers_at(7), waiters.receivers_at(9)), (1, 0));
        let gone = Reply::Ready(false);
        waiters.end_queue(7, &gone);
        assert_eq!((receiver.try_recv(), watcher.try_recv()), (Ok(gone.clone()), Ok(gone.clone())));
        waiters.end_queue(7, &gone);
        assert!(elsewhere.try_recv().is_err());
        assert_eq!((waiters.len(), waiters.next_deadline()), (1, Some(Timestamp(15))));
    }

    #[test]
    fn who_was_given_up_leaves_its_place_to_others() {
        let mut waiters = Waiters::default();
        let mut gone = vec![add(&mut waiters, request(), 10, 2).unwrap()];
        gone.push(add(&mut waiters, What::Notice, 20, 2).unwrap());
        assert!(add(&mut waiters, What::Notice, 30, 2).is_none(), "two may wait");
        gone.remove(0);
        let third = add(&mut waiters, What::Notice, 30, 2);
        assert!(third.is_some());
        drop(gone);
        for _ in 0..10 * WAITERS_FREE {
            drop(add(&mut waiters, What::Notice, 40, usize::MAX));
        }
        assert!(waiters.len() <= 2 * WAITERS_FREE, "{} are kept", waiters.len());
        drop(third);
        waiters.expire(Timestamp(40));
        assert!(waiters.is_empty() && waiters.queues().is_empty());
    }
}
