//! Taking messages: what the store and the memory have room for, in the order they came.

use super::*;

/// Sequence numbers reserved in the store at a time.
const SEQ_BLOCK: u64 = 1 << 16;
/// Units waiting for a busy journal above which publishes are refused.
const STALLED_MAX: usize = 64;
/// Bytes of history given back at a time when memory is short.
const RELIEF: u64 = 1 << 20;

impl LocalEngine {
    /// The store takes no publishes now.
    fn publishes_refused(&self) -> Option<EngineError> {
        match () {
            () if !self.remembers => None,
            () if self.journal.is_full() => Some(JournalError::DiskFull.into()),
            () if self.stalled.len() >= STALLED_MAX => Some(JournalError::Busy.into()),
            () => None,
        }
    }

    /// Sequence numbers are given only below what the store knows to be reserved.
    fn reserve_seqs(&mut self, count: usize) {
        let last_seq = self.last_seq() + count as u64;
        if self.remembers && last_seq > self.seq_reserved {
            self.seq_reserved = last_seq + SEQ_BLOCK;
            let (topic, through) = (self.definition.number, self.seq_reserved);
            self.ledger.note(|| Record::SeqReserved { topic, through });
        }
    }

    /// [`Engine::publish`]
    pub(super) fn take_in(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        messages: Vec<NewMessage>,
        listeners: bool,
    ) -> Answer<Each<Placed>> {
        if let Some(error) = self.publishes_refused() {
            return Answer::Now(messages.iter().map(|_| Err(error.clone())).collect());
        }
        let places = match &self.rules {
            Rules::Broker(topic) if to.is_none() => topic.queues().count(),
            Rules::Broker(_) | Rules::Pubsub(_) => 1,
        };
        // A message, its places, a dedup key, and a message dropped for it.
        self.refill(messages.len() * (places + 3));
        self.reserve_seqs(messages.len());
        let mut results: Each<Placed> = Vec::with_capacity(messages.len());
        let mut room = self.memory.limit().saturating_sub(self.memory.resident());
        for message in messages {
            let size = message.body.len() as u64;
            if room < size
                && let Rules::Pubsub(history) = &mut self.rules
            {
                // A history is what can be spared first.
                room += history.relieve(size.max(RELIEF), self.remembers, &mut self.ledger);
                self.cold |= self.remembers;
            }
            let keep_body = room >= size;
            if !keep_body && !self.remembers {
                let (resident, limit) = (self.memory.resident(), self.memory.limit());
                results.push(Err(EngineError::Memory { resident, limit }));
                continue;
            }
            let placed = match &mut self.rules {
                Rules::Broker(topic) => {
                    topic.publish(now, to, message, keep_body, &mut self.ledger)
                }
                Rules::Pubsub(history) => {
                    history.publish(now, message, listeners, keep_body, &mut self.ledger)
                }
            };
            if let Ok(placed) = &placed
                && !placed.duplicate
            {
                self.cold |= !keep_body;
                room = room.saturating_sub(size);
                if self.remembers {
                    self.pipeline.open().published.push(placed.seq);
                }
            }
            results.push(placed.map_err(EngineError::from));
        }
        if !self.remembers
            && let Rules::Pubsub(history) = &mut self.rules
        {
            history.commit(history.last_seq());
        }
        self.account();
        if results.iter().all(Result::is_err) {
            return Answer::Now(results);
        }
        self.after_all(results, |results, fate| {
            for result in results.iter_mut() {
                let gone = result.as_ref().is_ok_and(|placed| fate.gone.contains(&placed.seq));
                if let (true, Some(error)) = (result.is_ok(), fate.error) {
                    *result = Err(error.clone());
                } else if gone {
                    // A duplicate of a message that the store did not take.
                    *result = Err(EngineError::Store(JournalError::Busy));
                }
            }
        })
    }

    /// [`Engine::publish_copies`]
    pub(super) fn take_in_copies(
        &mut self,
        now: Timestamp,
        message: NewMessage,
    ) -> Answer<Whole<Vec<PlacedCopy>>> {
        if let Some(error) = self.publishes_refused() {
            return Answer::Now(Err(error));
        }
        let queues = match self.broker() {
            Ok(topic) => topic.queues().count(),
            Err(error) => return Answer::Now(Err(error)),
        };
        // A message for each, and one that is dropped for it.
        self.refill(queues * 2);
        self.reserve_seqs(queues);
        let (resident, limit) = (self.memory.resident(), self.memory.limit());
        let keep_body = limit.saturating_sub(resident) >= message.body.len() as u64;
        if !keep_body && !self.remembers {
            return Answer::Now(Err(EngineError::Memory { resident, limit }));
        }
        let Rules::Broker(topic) = &mut self.rules else {
            return Answer::Now(Err(Refusal::WrongKind.into()));
        };
        let copies = match topic.publish_copies(now, &message, keep_body, &mut self.ledger) {
            Ok(copies) => copies,
            Err(refusal) => return Answer::Now(Err(refusal.into())),
        };
        self.cold |= !keep_body;
        if self.remembers {
            self.pipeline.open().published.extend(copies.iter().map(|copy| copy.origin.seq));
        }
        self.account();
        if copies.is_empty() {
            return Answer::Now(Ok(copies));
        }
        self.whole_after_all(Ok(copies))
    }
}
