//! Handing out, and what consumers say of it: receive, ack, nack, extend.

use super::entries::Entry;
use super::lane::{Key, Ready};
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
    door: Option<Door>,
}

/// Why a message goes back into its queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    /// A consumer gave it back, and the attempt does not count.
    Released,
    /// No consumer got it.
    Unread,
    /// A consumer gave it back.
    Nacked,
    /// Its deadline passed.
    Missed,
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
    expires_at: Timestamp,
}

impl Topic {
    /// Hands out ready messages: highest priority first, then oldest first, each in its own place. Of
    /// those with one ordering key only the first, while none of them is in flight; the keys take
    /// turns with each other and the rest (see `turns`). None is an answer, not an error. Nothing that has expired is handed out.
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
        if !self.queues[at].delayed.is_empty() {
            self.ripen(at, now, usize::MAX);
        }
        let ready = self.queues[at].tally(State::Ready).messages;
        out.reserve(request.max.min(usize::try_from(ready).unwrap_or(usize::MAX)));
        let (mut handed_out, mut bytes) = (0, 0);
        while handed_out < request.max {
            let queue = &self.queues[at];
            // The usual case stays in registers: what `head` returns goes through memory, and is read
            // in other pieces than it was written in, for which the processor waits.
            let (priority, ready, slot) = match queue.fresh_head(end) {
                Some(fresh) => (0, Ready::Fresh(fresh), fresh.slot),
                None => match queue.head(end, &self.shelf) {
                    Some((priority, ready)) => (priority, ready, queue.slot(ready)),
                    None => break,
                },
            };
            let Some(kept) = self.shelf.get(slot) else { break };
            let expires_at = match retention_ms {
                ms if ms > 0 && !kept.stamped => {
                    kept.expires_at.min(kept.published_at.after_ms(ms))
                }
                _ => kept.expires_at,
            };
            if expires_at <= now {
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
                expires_at,
            };
            if queue.keys.is_some() {
                self.queues[at].lane(priority).alternate();
            }
            if request.take {
                self.take(now, at, end, found, out, ledger);
            } else {
                let (receipt, attempt) = self.lend(now, at, end, found, deadline);
                let Some(kept) = self.shelf.get(slot) else { break };
                let message = self.shelf.message(kept);
                let receipt = Some(receipt);
                out.push(Delivery { message, receipt, attempt, at: now, deadline, expires_at });
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
        let Found { priority, ready, slot, bytes, number, published_at, expires_at, .. } = found;
        let queue = &mut self.queues[at];
        let (number, attempt, since) = match ready {
            Ready::Fresh(fresh) => {
                queue.lane(priority).pop_fresh(end);
                queue.count_out(bytes);
                (number + u64::from(fresh.offset), 1, published_at)
            }
            Ready::Held(held) => {
                queue.end_at_once(held);
                match queue.remove(held) {
                    Some(entry) => (entry.number, entry.attempts + 1, entry.since),
                    None => (number, 1, published_at),
                }
            }
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
        let deadline = Timestamp::NEVER;
        out.push(Delivery { message, receipt: None, attempt, at: now, deadline, expires_at });
    }

    /// Hands a message out until `deadline`; returns what names the delivery, and which one it is.
    #[inline(always)]
    fn lend(
        &mut self,
        now: Timestamp,
        at: usize,
        end: End,
        found: Found,
        deadline: Timestamp,
    ) -> (Receipt, u32) {
        let Found { priority, ready, slot, bytes, number, front, published_at, .. } = found;
        self.stamp = self.stamp.wrapping_add(1);
        let (stamp, door) = (self.stamp, Door::number(self.door).into());
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
                    keyed: false,
                    attempts: 1,
                    bytes,
                    number: number + u64::from(fresh.offset),
                    due: deadline,
                    since: now,
                    stamp,
                    died: door,
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
                    (entry.stamp, entry.died) = (stamp, door);
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
        self.set_deadline(now, deadline, at, entry, stamp);
        (Receipt { queue: number, slot: entry, stamp }, attempt)
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
                let queue = &self.queues[at];
                let entry = queue.entry(receipt.slot).ok_or(Refusal::ReceiptGone)?;
                let good =
                    entry.stamp == receipt.stamp && entry.is_out(now) && !queue.purged.took(entry);
                if good { Ok((at, receipt.slot)) } else { Err(Refusal::ReceiptGone) }
            }
            Reference::Id { queue, id } | Reference::Anywhere { queue, id } => {
                let at = self.at(*queue)?;
                let slots = self.shelf.by_id(id);
                let queue = &mut self.queues[at];
                let held = slots.into_iter().find_map(|slot| {
                    let held = queue.by_slot(slot)?;
                    let entry = queue.entry(held)?;
                    entry.is_out(now).then_some(held)
                });
                held.map(|held| (at, held)).ok_or(Refusal::MessageNotFound)
            }
            Reference::Origin { queue, origin } => {
                let (at, place) = self.by_origin(*queue, *origin)?;
                match place {
                    Ready::Held(held) if self.is_in_flight(now, at, held) => Ok((at, held)),
                    Ready::Held(_) | Ready::Fresh(_) => Err(Refusal::MessageNotFound),
                }
            }
        }
    }

    fn is_in_flight(&self, now: Timestamp, at: usize, held: u32) -> bool {
        self.queues[at].entry(held).is_some_and(|entry| entry.is_out(now))
    }

    /// The place of a message by where it came into the world, whatever its state: in that queue, or
    /// (a lone one) wherever it is. Copies of one message in one queue are told apart by nobody: the
    /// first counts.
    fn by_origin(&mut self, queue: Option<u32>, origin: Origin) -> Result<(usize, Ready), Refusal> {
        let slots = self.shelf.by_origin(origin);
        slots
            .into_iter()
            .find_map(|slot| {
                let lone = self.shelf.get(slot)?.lone;
                let queue = queue.or((lone != 0).then_some(lone))?;
                let at = self.at(queue).ok()?;
                Some((at, self.place_in(at, slot)?))
            })
            .ok_or(Refusal::MessageNotFound)
    }

    /// The place of a message that is named whatever its state; `None` for what must be in flight.
    fn place_named(&mut self, reference: &Reference) -> Option<Result<(usize, Ready), Refusal>> {
        match reference {
            Reference::Receipt(_) | Reference::Id { .. } => None,
            Reference::Anywhere { queue, id } => Some(self.at(*queue).and_then(|at| {
                let place = self.place_of(at, id).ok_or(Refusal::MessageNotFound)?;
                Ok((at, place))
            })),
            Reference::Origin { queue, origin } => Some(self.by_origin(*queue, *origin)),
        }
    }

    /// Ends a delivery for good; [`Reference::Anywhere`] and [`Reference::Origin`] end a message in
    /// any state.
    ///
    /// Errors: `ReceiptGone` for a receipt that was used, is past its deadline or never was;
    /// `MessageNotFound` for an id that is not in flight, or not there.
    pub fn ack(
        &mut self,
        now: Timestamp,
        reference: &Reference,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let found = self.in_flight(now, reference);
        if found.is_err()
            && let Some(named) = self.place_named(reference)
        {
            let (at, place) = named?;
            self.remove_place(at, place, ledger);
            self.queues[at].totals.acked += 1;
            return Ok(());
        }
        let (at, held) = found?;
        self.finish(now, at, held, ledger)
    }

    /// A delivery that is out ends well.
    #[inline]
    fn finish(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let queue = &mut self.queues[at];
        let Some(entry) = queue.finish(held) else { return Err(Refusal::ReceiptGone) };
        queue.totals.acked += 1;
        queue.waits.to_ack.add(now.since_ms(entry.since));
        self.release(entry.slot, entry.number, ledger);
        Ok(())
    }

    /// Ends a message for good, whatever its state, by its id as a client says it: its publisher's
    /// own, or the text of one that octoq made. Errors: `MessageNotFound`.
    #[inline]
    pub fn ack_id(
        &mut self,
        now: Timestamp,
        queue: u32,
        id: &[u8],
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let slots = self.shelf.by_own_id(id);
        let place = slots.into_iter().find_map(|slot| self.place_in(at, slot));
        match place {
            Some(Ready::Held(held)) if self.is_in_flight(now, at, held) => {
                self.finish(now, at, held, ledger)
            }
            Some(place) => {
                self.remove_place(at, place, ledger);
                self.queues[at].totals.acked += 1;
                Ok(())
            }
            None => match MessageId::parse(id) {
                MessageId::Made(uuid) if is_canonical(uuid, id) => {
                    let id = MessageId::Made(uuid);
                    self.ack(now, &Reference::Anywhere { queue, id }, ledger)
                }
                _ => Err(Refusal::MessageNotFound),
            },
        }
    }

    /// Gives a delivery back, or sends it to the dead letters; by [`Reference::Anywhere`] and
    /// [`Reference::Origin`], also makes a delayed message ready, or gives it another delay. By
    /// origin, one that is ready or dead stays as it is. Errors: as [`Topic::ack`].
    ///
    /// Numbers: at most one from the ledger.
    pub fn nack(
        &mut self,
        now: Timestamp,
        reference: &Reference,
        nack: &Nack,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let found = self.in_flight(now, reference);
        if found.is_err()
            && let Some(named) = self.place_named(reference)
        {
            let renewed = self.renew(now, named?, nack, ledger);
            return if matches!(reference, Reference::Origin { .. }) { Ok(()) } else { renewed };
        }
        let (at, held) = found?;
        self.queues[at].totals.nacked += u64::from(*nack != Nack::Unread);
        if self.end_purged(at, held, ledger) {
            return Ok(());
        }
        match nack {
            Nack::Release { delay } => {
                let until = now.after(delay.unwrap_or_default());
                self.return_entry(now, at, held, until, Back::Released, ledger);
            }
            Nack::Unread => self.return_entry(now, at, held, now, Back::Unread, ledger),
            Nack::Fail { delay, error } => {
                let (reason, error) = (DeadReason::Nacked, error.as_deref());
                let failed = Failed { now, reason, error, door: self.door };
                self.fail(at, held, &failed, *delay, ledger);
            }
            Nack::Dead { error } => {
                let (reason, error) = (DeadReason::Rejected, error.as_deref());
                self.note_failure(at, held, &Failed { now, reason, error, door: self.door });
                self.die(now, at, held, reason, ledger);
            }
        }
        Ok(())
    }

    /// A delayed message is ready, or has another delay.
    fn renew(
        &mut self,
        now: Timestamp,
        (at, place): (usize, Ready),
        nack: &Nack,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let queue = &mut self.queues[at];
        let until = match nack {
            Nack::Release { delay } | Nack::Fail { delay, .. } => {
                now.after(delay.unwrap_or_default())
            }
            Nack::Dead { .. } | Nack::Unread => return Err(Refusal::MessageNotFound),
        };
        let delayed = |held| queue.entry(held).is_some_and(|entry| entry.state == State::Delayed);
        let held = match place {
            Ready::Held(held) if delayed(held) => held,
            Ready::Held(_) | Ready::Fresh(_) => return Err(Refusal::MessageNotFound),
        };
        queue.totals.nacked += 1;
        self.set_visible(now, at, held, until, ledger);
        Ok(())
    }

    /// In which order to nack a batch: what goes to the front of its queue in the reverse of the order
    /// in which it was handed out, so that it keeps that order. `None`: as it stands.
    pub fn order_of_nacks(&self, batch: &[(Reference, Nack)]) -> Option<Vec<usize>> {
        let to_front =
            |queue: &super::entries::Queue| queue.definition.policy.returns == Returns::Front;
        if batch.len() < 2 || !self.queues.iter().any(to_front) {
            return None;
        }
        let handed_out = |at: &usize| match batch.get(*at) {
            Some((Reference::Receipt(receipt), _)) => {
                let queue = self.at(receipt.queue).ok().map(|at| &self.queues[at]);
                queue.is_some_and(to_front).then_some(std::cmp::Reverse(receipt.stamp))
            }
            _ => None,
        };
        let mut order: Vec<usize> = (0..batch.len()).collect();
        // Those that stay in their order come before all others.
        order.sort_by_key(handed_out);
        Some(order)
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
        let Some(entry) = queue.entry_mut(held) else { return Err(Refusal::ReceiptGone) };
        entry.due = due;
        let stamp = entry.stamp;
        self.set_deadline(now, due, at, held, stamp);
        Ok(due)
    }

    /// The deadline of a delivery passed.
    pub(super) fn miss(&mut self, now: Timestamp, at: usize, held: u32, ledger: &mut Ledger) {
        self.queues[at].totals.missed += 1;
        if self.end_purged(at, held, ledger) {
            return;
        }
        let failed = Failed { now, reason: DeadReason::DeadlineMissed, error: None, door: None };
        self.fail(at, held, &failed, None, ledger);
    }

    /// A delivery that ended without an ack is gone if its queue was purged meanwhile: it neither comes
    /// back nor dies.
    fn end_purged(&mut self, at: usize, held: u32, ledger: &mut Ledger) -> bool {
        let queue = &mut self.queues[at];
        if !queue.is_purged(held) {
            return false;
        }
        queue.totals.purged += 1;
        self.remove_place(at, Ready::Held(held), ledger);
        true
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
        let attempts = self.queues[at].entry(held).map_or(0, |entry| entry.attempts);
        if self.queues[at].limit().is_some_and(|limit| attempts >= limit) {
            return self.die(failed.now, at, held, failed.reason, ledger);
        }
        let policy = &self.queues[at].definition.policy;
        let last = policy.backoff_ms.len().saturating_sub(1);
        let nth = (attempts.max(1) as usize - 1).min(last);
        let backoff = policy.backoff_ms.get(nth).copied().unwrap_or(0);
        let until = failed.now.after(delay.unwrap_or(span(backoff)));
        let back = match failed.reason {
            DeadReason::DeadlineMissed => Back::Missed,
            DeadReason::Nacked | DeadReason::Rejected => Back::Nacked,
        };
        self.return_entry(failed.now, at, held, until, back, ledger);
    }

    fn note_failure(&mut self, at: usize, held: u32, failed: &Failed<'_>) {
        let Some(entry) = self.queues[at].entry_mut(held) else { return };
        let (attempt, lent_at, lent_by) = (entry.attempts, Some(entry.since), entry.lent_by());
        let failures = &mut entry.history.get_or_insert_default().failures;
        if failures.len() >= FAILURES_MAX {
            failures.remove(0);
        }
        let error = failed.error.map(|text| cut(text).into());
        let &Failed { now: at, reason, door, .. } = failed;
        failures.push(Failure { at, attempt, reason, error, lent_at, lent_by, door });
    }

    /// Where a message that comes back lies in its lane; `None`: at its own place. At the front, one
    /// that comes later lies before those that came before it; but what misses its deadline at one
    /// moment has one number, and the order in which it was handed out. What nobody got lies where it
    /// lay. What has an ordering key always lies at its own place.
    ///
    /// Numbers: at most one from the ledger.
    fn line_up(&mut self, at: usize, held: u32, back: Back, ledger: &mut Ledger) -> Option<Key> {
        let queue = &mut self.queues[at];
        if queue.key_of(held).is_some() {
            return None;
        }
        match (queue.definition.policy.returns, back) {
            (_, Back::Unread) => queue.entry(held)?.history.as_ref()?.line,
            (Returns::Place, _) => None,
            (Returns::Back, _) => Some(Key::new(ledger.numbers(1), false)),
            (Returns::Front, Back::Released | Back::Nacked) => {
                Some(Key::new(ledger.numbers(1), true))
            }
            (Returns::Front, Back::Missed) => {
                let (due, turn) = queue.entry(held).map(|entry| (entry.due, entry.stamp))?;
                let same =
                    |first: Timestamp| due >= first && due.since_ms(first) < policy::TOGETHER_MS;
                let key = match queue.together {
                    Some((first, key)) if same(first) => key,
                    _ => {
                        let key = Key::new(ledger.numbers(1), true);
                        queue.together = Some((due, key));
                        key
                    }
                };
                Some(key.turn(turn))
            }
        }
    }

    /// Back to its place in line, now or later; gone when it has expired meanwhile.
    fn return_entry(
        &mut self,
        now: Timestamp,
        at: usize,
        held: u32,
        until: Timestamp,
        back: Back,
        ledger: &mut Ledger,
    ) {
        let counts = !matches!(back, Back::Released | Back::Unread);
        let queue = &mut self.queues[at];
        let Some(entry) = queue.entry(held) else { return };
        let expired = self.shelf.get(entry.slot).is_none_or(|kept| kept.expires_at <= now);
        if expired {
            queue.totals.expired += 1;
            return self.remove_place(at, Ready::Held(held), ledger);
        }
        let waits = until > now;
        let line = self.line_up(at, held, back, ledger);
        let queue = &mut self.queues[at];
        if back == Back::Unread {
            queue.end_unread(held);
        }
        queue.change(held, |entry| {
            entry.line_up(line);
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

    /// How many messages wait in a queue that have had all the deliveries they may have.
    pub fn exhausted(&self, queue: u32) -> Result<usize, Refusal> {
        let at = self.at(queue)?;
        Ok(self.queues[at].exhausted().count())
    }

    /// Messages that wait and have had all the deliveries they may have become dead letters, in the
    /// order of their places: to be called when the limit was lowered.
    ///
    /// Numbers: one from the ledger for each; see [`Topic::exhausted`].
    pub fn expel(
        &mut self,
        now: Timestamp,
        queue: u32,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let mut found: Vec<(u64, u32)> = self.queues[at].exhausted().collect();
        found.sort_unstable();
        for (_, held) in found {
            let failures = self.queues[at].entry(held).map(Entry::failures).unwrap_or_default();
            let reason = failures.last().map_or(DeadReason::Nacked, |failure| failure.reason);
            self.die(now, at, held, reason, ledger);
        }
        Ok(())
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
        let letter = DeadLetter {
            at: now,
            reason,
            attempts,
            failures,
            revived: false,
            revived_at: None,
            revived_by: None,
        };
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
        self.keep_dead_max(at, ledger);
    }

    /// The oldest dead letters go when there are more than the queue keeps.
    pub(super) fn keep_dead_max(&mut self, at: usize, ledger: &mut Ledger) {
        let dead_max = self.queues[at].definition.policy.dead_max;
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

/// The text is the way octoq writes the id.
fn is_canonical(uuid: uuid::Uuid, text: &[u8]) -> bool {
    uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes() == text
}
