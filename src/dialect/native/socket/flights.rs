//! The deliveries that a socket holds: whose prefetch each takes, and until when.

use crate::broker::TopicHandle;
use crate::queue::{Receipt, Timestamp};
use rustc_hash::FxHashMap;
use std::{collections::BTreeSet, rc::Rc};

struct Flight {
    consumer: u64,
    topic: Rc<TopicHandle>,
    deadline: Timestamp,
}

/// All deliveries of one socket that are neither settled nor past their deadline.
#[derive(Default)]
pub struct Flights {
    all: FxHashMap<Receipt, Flight>,
    deadlines: BTreeSet<(Timestamp, Receipt)>,
}

impl Flights {
    /// One was handed out.
    pub fn add(
        &mut self,
        receipt: Receipt,
        consumer: u64,
        topic: &Rc<TopicHandle>,
        deadline: Timestamp,
    ) {
        self.deadlines.insert((deadline, receipt));
        self.all.insert(receipt, Flight { consumer, topic: topic.clone(), deadline });
    }

    /// One is settled; the consumer that had it.
    pub fn remove(&mut self, receipt: Receipt) -> Option<u64> {
        let flight = self.all.remove(&receipt)?;
        self.deadlines.remove(&(flight.deadline, receipt));
        Some(flight.consumer)
    }

    /// One takes longer.
    pub fn extend(&mut self, receipt: Receipt, deadline: Timestamp) {
        if let Some(flight) = self.all.get_mut(&receipt) {
            self.deadlines.remove(&(flight.deadline, receipt));
            flight.deadline = deadline;
            self.deadlines.insert((deadline, receipt));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// When the next deadline passes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// One whose deadline has passed: the broker has taken it back. The consumer that had it.
    pub fn expire(&mut self, now: Timestamp) -> Option<u64> {
        let (_, receipt) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        self.remove(receipt)
    }

    /// Gives all of them back, to where each was; how many.
    pub fn release(&mut self) -> u64 {
        self.deadlines.clear();
        let mut by_topic: Vec<(Rc<TopicHandle>, Vec<Receipt>)> = Vec::new();
        let mut count = 0;
        for (receipt, flight) in self.all.drain() {
            count += 1;
            let same = |(topic, _): &&mut (Rc<TopicHandle>, _)| Rc::ptr_eq(topic, &flight.topic);
            match by_topic.iter_mut().find(same) {
                Some((_, receipts)) => receipts.push(receipt),
                None => by_topic.push((flight.topic, vec![receipt])),
            }
        }
        for (topic, mut receipts) in by_topic {
            // In the order in which they were handed out, for who looks at what happens.
            receipts.sort_unstable_by_key(|receipt| receipt.stamp);
            topic.take_back(receipts);
        }
        count
    }
}
