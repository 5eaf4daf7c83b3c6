//! What goes to the journal, and what waits for it: units that are handed over, answers that leave when
//! their unit is in the store, and what is taken back when the store refuses one.

use super::*;
use crate::engine::pending::{Fate, Release};

impl LocalEngine {
    /// An answer that leaves when everything decided so far is in the store.
    pub(super) fn after_all<T: Send + 'static>(
        &mut self,
        mut value: T,
        on_fate: impl FnOnce(&mut T, &Fate<'_>) + Send + 'static,
    ) -> Answer<T> {
        if self.ledger.records.is_empty() && self.pipeline.in_store() == 0 {
            return Answer::Now(value);
        }
        let (to, answer) = oneshot::channel();
        let release: Release = Box::new(move |fate| {
            on_fate(&mut value, fate);
            // A client that went away meanwhile is told nothing.
            let _ = to.send(value);
        });
        self.pipeline.after_all(!self.ledger.records.is_empty(), release);
        Answer::Later(answer)
    }

    /// [`Self::after_all`] for one result: the store's refusal becomes the result.
    pub(super) fn whole_after_all<T: Send + 'static>(
        &mut self,
        value: Whole<T>,
    ) -> Answer<Whole<T>> {
        if value.is_err() {
            return Answer::Now(value);
        }
        self.after_all(value, |value, fate| {
            if let Some(error) = fate.error {
                *value = Err(error.clone());
            }
        })
    }

    /// [`Self::after_all`] for a batch: the store's refusal becomes the result of each that went well.
    pub(super) fn each_after_all<T: Send + 'static>(&mut self, values: Each<T>) -> Answer<Each<T>> {
        if values.iter().all(Result::is_err) {
            return Answer::Now(values);
        }
        self.after_all(values, |values, fate| {
            if let Some(error) = fate.error {
                values
                    .iter_mut()
                    .filter(|value| value.is_ok())
                    .for_each(|value| *value = Err(error.clone()));
            }
        })
    }

    pub(super) fn submit(&mut self, submission: Submission) {
        if !self.stalled.is_empty() {
            self.stalled.push_back(submission);
            return;
        }
        match self.journal.submit(submission) {
            Ok(()) => (),
            Err((JournalError::Busy, submission)) => self.stalled.push_back(submission),
            Err((error, submission)) => {
                if let Some(done) = submission.done {
                    done(Err(error));
                }
            }
        }
    }

    pub(super) fn retry_stalled(&mut self) {
        for submission in std::mem::take(&mut self.stalled) {
            self.submit(submission);
        }
    }

    /// Messages that left for other topics are handed on when their move is in the store.
    pub(super) fn see_off(&mut self) {
        let Rules::Broker(topic) = &mut self.rules else { return };
        let leaving = topic.take_leaving();
        if leaving.is_empty() {
            return;
        }
        if !self.remembers {
            self.departed.extend(leaving);
            return;
        }
        let events = self.events.0.clone();
        let topic = self.definition.name.clone();
        let release: Release = Box::new(move |fate| match fate.error {
            None => drop(events.send(Event::Departed(leaving))),
            Some(error) => log::error!(
                "topic {topic}: {} messages could not be moved and stay where they are until a restart: {error}",
                leaving.len()
            ),
        });
        self.pipeline.after_all(!self.ledger.records.is_empty(), release);
    }

    pub(super) fn settle_unit(&mut self, ticket: u64, result: Result<(), JournalError>) {
        let error = result.err().map(EngineError::Store);
        let Some(unit) = self.pipeline.take(ticket, error.is_some()) else { return };
        match (&mut self.rules, &error) {
            (Rules::Broker(_), None) => (),
            (Rules::Broker(topic), Some(_)) => topic.unpublish(&unit.published),
            (Rules::Pubsub(history), Some(_)) => history.unpublish(&unit.published),
            (Rules::Pubsub(history), None) => {
                if let Some(last) = unit.published.last() {
                    history.commit(*last);
                }
            }
        }
        if let Some(error) = &error {
            log::warn!("topic {}: the store refused a commit: {error}", self.definition.name);
            self.account();
        }
        self.pipeline.release(unit, error.as_ref());
    }
}
