//! Messages that wait are made to wait until another time.

use super::lane::Ready;
use super::verbs::*;
use super::*;
use std::time::Duration;

impl Topic {
    /// A message that waits, ready or delayed, is ready not before `delay` has passed; without a delay
    /// it is ready now. It keeps its place and its attempts.
    ///
    /// Errors: `MessageNotFound`, also for what is in flight or dead.
    pub fn delay(
        &mut self,
        now: Timestamp,
        queue: u32,
        id: &MessageId,
        delay: Duration,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let place = self.place_of(at, id).ok_or(Refusal::MessageNotFound)?;
        let until = now.after(delay);
        let waits = until > now;
        let state = match place {
            Ready::Fresh(_) => State::Ready,
            Ready::Held(held) => self.queues[at].entry(held).map_or(State::Dead, |e| e.state),
        };
        match state {
            State::InFlight | State::Dead => return Err(Refusal::MessageNotFound),
            State::Ready if !waits => return Ok(()),
            State::Ready | State::Delayed => (),
        }
        let held = self.hold(at, place).ok_or(Refusal::MessageNotFound)?;
        self.set_visible(now, at, held, until, ledger);
        Ok(())
    }

    /// An entry that waits is ready at another time.
    pub(super) fn set_visible(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        until: Timestamp,
        ledger: &mut Ledger,
    ) {
        let queue = &mut self.queues[at];
        queue.change(held, |entry| {
            entry.state = if until > now { State::Delayed } else { State::Ready };
            (entry.due, entry.since) = (until, until);
        });
        if let Some(entry) = queue.entry(held) {
            ledger.note(|| Record::Attempted {
                entry: entry.number,
                attempts: entry.attempts,
                visible_at: until,
                failures: entry.failures(),
            });
        }
    }
}
