//! Handing out, and what consumers say of it: receive, ack, nack, extend.

use super::entries::Entry;
use super::lane::Ready;
use super::publish::span;
use super::record::{ERROR_BYTES_MAX, FAILURES_MAX, Failure};
use super::verbs::*;
use super::*;
use std::time::Duration;

/// Why and when a delivery failed.
struct Failed<'a> {
    now: Timestamp,
    reason: DeadReason,
    error: Option<&'a str>,
}

/// A ready message that is about to be handed out.
struct Found {
    priority: u8,
    ready: Ready,
    slot: u32,
    bytes: u32,
    number: u64,
    front: bool,
    published_at: Timestamp,
}

impl Topic {
    /// Hands out ready messages: highest priority first, then oldest first, each in its own place.
    /// None is an answer, not an error. Nothing that has expired is handed out.
    pub fn receive(
        &mut self,
        now: Timestamp,
        queue: u32,
        request: &Receive,
        out: &mut Vec<Delivery>,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let policy = &self.queues[at].definition.policy;
        if policy.paused_out {
            return Ok(());
        }
        let retention_ms = policy.retention_ms;
        let deadline = match request.ack_deadline {
            Some(span) => now.after(span),
            None => now.after_ms(policy.ack_deadline_ms),
        };
        let end = if request.from_back { End::Back } else { End::Front };
        self.ripen(at, now, usize::MAX);
        let ready = self.queues[at].tally(State::Ready).messages;
        out.reserve(request.max.min(usize::try_from(ready).unwrap_or(usize::MAX)));
        let (mut handed_out, mut bytes) = (0, 0);
        while handed_out < request.max {
            let queue = &self.queues[at];
            let Some((priority, ready)) = queue.head(end, &self.shelf) else { break };
            let slot = queue.slot(ready);
            let Some(kept) = self.shelf.get(slot) else { break };
            let too_old = retention_ms > 0 && kept.published_at.after_ms(retention_ms) <= now;
            if too_old || kept.expires_at <= now {
                self.remove_place(at, ready, ledger);
                self.queues[at].totals.expired += 1;
                continue;
            }
            let size = kept.body.len();
            if handed_out > 0 && bytes + size as usize > request.bytes_max {
                break;
            }
            handed_out += 1;
            bytes += size as usize;
            let found = Found {
                priority,
                ready,
                slot,
                bytes: size,
                number: kept.number,
                front: kept.front(),
                published_at: kept.published_at,
            };
            if request.take {
                self.take(now, at, end, found, out, ledger);
            } else {
                self.lend(now, at, end, found, deadline, out);
            }
        }
        Ok(())
    }

    /// Hands a message out for good.
    #[inline]
    fn take(
        &mut self,
        now: Timestamp,
        at: usize,
        end: End,
        found: Found,
        out: &mut Vec<Delivery>,
        ledger: &mut Ledger,
    ) {
        let Found { priority, ready, slot, bytes, number, published_at, .. } = found;
        let queue = &mut self.queues[at];
        let (number, attempt, since) = match ready {
            Ready::Fresh(fresh) => {
                queue.lane(priority).pop_fresh(end);
                queue.count_out(bytes);
                (number + u64::from(fresh.offset), 1, published_at)
            }
            Ready::Held(held) => match queue.remove(held) {
                Some(entry) => (entry.number, entry.attempts + 1, entry.since),
                None => (number, 1, published_at),
            },
        };
        queue.totals.delivered += 1;
        queue.totals.redelivered += u64::from(attempt > 1);
        queue.totals.acked += 1;
        queue.waits.in_queue.add(now.since_ms(since));
        let message = match self.take_release(slot, number, ledger) {
            // The last one to hold it hands over its body.
            Some(kept) => self.shelf.last_message(kept),
            None => match self.shelf.get(slot) {
                Some(kept) => self.shelf.message(kept),
                None => return,
            },
        };
        out.push(Delivery { message, receipt: None, attempt, deadline: Timestamp::NEVER });
    }

    /// Hands a message out until `deadline`.
    #[inline]
    fn lend(
        &mut self,
        now: Timestamp,
        at: usize,
        end: End,
        found: Found,
        deadline: Timestamp,
        out: &mut Vec<Delivery>,
    ) {
        let Found { priority, ready, slot, bytes, number, front, published_at } = found;
        self.stamp = self.stamp.wrapping_add(1);
        let stamp = self.stamp;
        let queue = &mut self.queues[at];
        let (entry, attempt, since) = match ready {
            Ready::Fresh(fresh) => {
                queue.lane(priority).pop_fresh(end);
                queue.count_out(bytes);
                let entry = queue.lend(Entry {
                    slot,
                    state: State::InFlight,
                    lane: priority,
                    front,
                    purged: false,
                    attempts: 1,
                    bytes,
                    number: number + u64::from(fresh.offset),
                    due: deadline,
                    since: now,
                    stamp,
                    died: 0,
                    history: None,
                });
                (entry, 1, published_at)
            }
            Ready::Held(held) => {
                let (mut attempt, mut since) = (1, published_at);
                queue.change(held, |entry| {
                    entry.state = State::InFlight;
                    entry.attempts += 1;
                    entry.due = deadline;
                    entry.stamp = stamp;
                    attempt = entry.attempts;
                    since = std::mem::replace(&mut entry.since, now);
                });
                (held, attempt, since)
            }
        };
        queue.totals.delivered += 1;
        queue.totals.redelivered += u64::from(attempt > 1);
        queue.waits.in_queue.add(now.since_ms(since));
        let number = queue.definition.number;
        self.set_deadline(now, deadline, number, entry, stamp);
        let receipt = Some(Receipt { queue: number, slot: entry, stamp });
        if let Some(kept) = self.shelf.get(slot) {
            out.push(Delivery { message: self.shelf.message(kept), receipt, attempt, deadline });
        }
    }

    /// The queue and the entry of a delivery that is good now.
    fn in_flight(
        &mut self,
        now: Timestamp,
        reference: &Reference,
    ) -> Result<(usize, u32), Refusal> {
        match reference {
            Reference::Receipt(receipt) => {
                let at = self.at(receipt.queue).map_err(|_| Refusal::ReceiptGone)?;
                let entry = self.queues[at].entry(receipt.slot).ok_or(Refusal::ReceiptGone)?;
                let good = entry.stamp == receipt.stamp
                    && entry.state == State::InFlight
                    && entry.due > now;
                if good { Ok((at, receipt.slot)) } else { Err(Refusal::ReceiptGone) }
            }
            Reference::Id { queue, id } => {
                let at = self.at(*queue)?;
                let slots = self.shelf.by_id(id);
                let queue = &mut self.queues[at];
                let held = slots.into_iter().find_map(|slot| {
                    let held = queue.by_slot(slot)?;
                    let entry = queue.entry(held)?;
                    (entry.state == State::InFlight && entry.due > now).then_some(held)
                });
                held.map(|held| (at, held)).ok_or(Refusal::MessageNotFound)
            }
        }
    }

    /// Ends a delivery for good.
    ///
    /// Errors: `ReceiptGone` for a receipt that was used, is past its deadline or never was;
    /// `MessageNotFound` for an id that is not in flight.
    pub fn ack(
        &mut self,
        now: Timestamp,
        reference: &Reference,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let (at, held) = self.in_flight(now, reference)?;
        let queue = &mut self.queues[at];
        let Some(entry) = queue.finish(held) else { return Err(Refusal::ReceiptGone) };
        queue.totals.acked += 1;
        queue.waits.to_ack.add(now.since_ms(entry.since));
        self.release(entry.slot, entry.number, ledger);
        Ok(())
    }

    /// Gives a delivery back, or sends it to the dead letters. Errors: as [`Topic::ack`].
    pub fn nack(
        &mut self,
        now: Timestamp,
        reference: &Reference,
        nack: &Nack,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let (at, held) = self.in_flight(now, reference)?;
        self.queues[at].totals.nacked += 1;
        match nack {
            Nack::Release { delay } => {
                let until = now.after(delay.unwrap_or_default());
                self.return_entry(now, at, held, until, false, ledger);
            }
            Nack::Fail { delay, error } => {
                let failed = Failed { now, reason: DeadReason::Nacked, error: error.as_deref() };
                self.fail(at, held, &failed, *delay, ledger);
            }
            Nack::Dead { error } => {
                let failed = Failed { now, reason: DeadReason::Rejected, error: error.as_deref() };
                self.note_failure(at, held, &failed);
                self.die(now, at, held, DeadReason::Rejected, ledger);
            }
        }
        Ok(())
    }

    /// Moves the deadline of a delivery to `now` plus `span`. Errors: as [`Topic::ack`].
    pub fn extend(
        &mut self,
        now: Timestamp,
        reference: &Reference,
        span: Duration,
    ) -> Result<Timestamp, Refusal> {
        let (at, held) = self.in_flight(now, reference)?;
        let due = now.after(span);
        let queue = &mut self.queues[at];
        let number = queue.definition.number;
        let Some(entry) = queue.entry_mut(held) else { return Err(Refusal::ReceiptGone) };
        entry.due = due;
        let stamp = entry.stamp;
        self.set_deadline(now, due, number, held, stamp);
        Ok(due)
    }

    /// The deadline of a delivery passed.
    pub(super) fn miss(&mut self, now: Timestamp, at: usize, held: u32, ledger: &mut Ledger) {
        self.queues[at].totals.missed += 1;
        let failed = Failed { now, reason: DeadReason::DeadlineMissed, error: None };
        self.fail(at, held, &failed, None, ledger);
    }

    /// A delivery failed: back to its place after the backoff, or dead.
    fn fail(
        &mut self,
        at: usize,
        held: u32,
        failed: &Failed<'_>,
        delay: Option<Duration>,
        ledger: &mut Ledger,
    ) {
        self.note_failure(at, held, failed);
        let policy = &self.queues[at].definition.policy;
        let attempts = self.queues[at].entry(held).map_or(0, |entry| entry.attempts);
        if policy.max_deliveries > 0 && attempts >= policy.max_deliveries {
            return self.die(failed.now, at, held, failed.reason, ledger);
        }
        let last = policy.backoff_ms.len().saturating_sub(1);
        let nth = (attempts.max(1) as usize - 1).min(last);
        let backoff = policy.backoff_ms.get(nth).copied().unwrap_or(0);
        let until = failed.now.after(delay.unwrap_or(span(backoff)));
        self.return_entry(failed.now, at, held, until, true, ledger);
    }

    fn note_failure(&mut self, at: usize, held: u32, failed: &Failed<'_>) {
        let Some(entry) = self.queues[at].entry_mut(held) else { return };
        let attempt = entry.attempts;
        let failures = &mut entry.history.get_or_insert_default().failures;
        if failures.len() >= FAILURES_MAX {
            failures.remove(0);
        }
        let error = failed.error.map(|text| cut(text).into());
        failures.push(Failure { at: failed.now, attempt, reason: failed.reason, error });
    }

    /// Back to its own place, now or later; gone when it was purged or has expired meanwhile.
    fn return_entry(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        until: Timestamp,
        counts: bool,
        ledger: &mut Ledger,
    ) {
        let queue = &mut self.queues[at];
        let Some(entry) = queue.entry(held) else { return };
        let expired = self.shelf.get(entry.slot).is_none_or(|kept| kept.expires_at <= now);
        if entry.purged || expired {
            let total =
                if entry.purged { &mut queue.totals.purged } else { &mut queue.totals.expired };
            *total += 1;
            return self.remove_place(at, Ready::Held(held), ledger);
        }
        let waits = until > now;
        queue.change(held, |entry| {
            if !counts {
                entry.attempts = entry.attempts.saturating_sub(1);
            }
            entry.state = if waits { State::Delayed } else { State::Ready };
            entry.due = until;
            entry.since = until;
        });
        if !counts && !waits {
            // The store knows no delivery, so there is nothing to take back.
            return;
        }
        if let Some(entry) = queue.entry(held) {
            ledger.note(|| Record::Attempted {
                entry: entry.number,
                attempts: entry.attempts,
                visible_at: until,
                failures: entry.failures(),
            });
        }
    }

    /// Becomes a dead letter of its queue, or moves to the queue its dead letters go to.
    fn die(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        reason: DeadReason,
        ledger: &mut Ledger,
    ) {
        let queue = &mut self.queues[at];
        queue.totals.died += 1;
        let Some(entry) = queue.entry(held) else { return };
        let failures = entry.failures();
        let attempts = entry.attempts;
        let letter = DeadLetter { at: now, reason, attempts, failures, revived: false };
        let number = entry.number;
        if let Some(target) = queue.dead_target {
            self.move_entry(now, at, held, target, Some(letter), ledger);
            return;
        }
        queue.change(held, |entry| {
            entry.state = State::Dead;
            entry.history.get_or_insert_default().letter = Some(letter.clone());
        });
        ledger.note(|| Record::Died { entry: number, letter });
        let dead_max = queue.definition.policy.dead_max;
        while dead_max > 0
            && self.queues[at].tally(State::Dead).messages > dead_max
            && let Some((_, oldest)) = self.queues[at].dead.first_key_value()
        {
            let oldest = *oldest;
            self.remove_place(at, Ready::Held(oldest), ledger);
            self.queues[at].totals.dropped += 1;
        }
    }
}

/// At most [`ERROR_BYTES_MAX`] bytes of a text, whole characters.
fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(ERROR_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}
