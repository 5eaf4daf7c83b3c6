//! Looking at messages without taking them.

use super::entries::{Entry, Queue};
use super::lane::{CURSOR_BITS, Key, Ready};
use super::verbs::*;
use super::*;

/// Entries that one page looks through for those in its state.
const SLOTS_MAX: u32 = 1 << 16;

/// Room for bodies in one answer.
struct Room {
    left: Option<usize>,
    bytes_max: usize,
}

impl Room {
    fn new(bytes_max: usize) -> Self {
        Room { left: None, bytes_max }
    }

    /// Takes the room for one body more, if there is enough; the first one always fits.
    fn fits(&mut self, bytes: usize) -> bool {
        let left = match self.left {
            None => Some(self.bytes_max.saturating_sub(bytes)),
            Some(left) => left.checked_sub(bytes),
        };
        if left.is_some() {
            self.left = left;
        }
        left.is_some()
    }
}

impl Topic {
    fn view(&self, queue: &Queue, place: Ready) -> Option<View> {
        let kept = self.shelf.get(queue.slot(place))?;
        let (message, published_by) = (self.shelf.message(kept), kept.door);
        let held = match place {
            Ready::Held(held) => held,
            Ready::Fresh(_) => {
                return Some(View {
                    message,
                    masked: None,
                    state: State::Ready,
                    attempts: 0,
                    due: None,
                    receipt: None,
                    since: None,
                    lent_by: None,
                    published_by,
                    failures: Vec::new(),
                    dead: None,
                    cursor: None,
                });
            }
        };
        let entry = queue.entry(held)?;
        let waits = matches!(entry.state, State::Delayed | State::InFlight);
        let receipt = Receipt { queue: queue.definition.number, slot: held, stamp: entry.stamp };
        let flies = entry.state == State::InFlight;
        Some(View {
            message,
            masked: None,
            state: entry.state,
            attempts: entry.attempts,
            due: waits.then_some(entry.due),
            receipt: flies.then_some(receipt),
            since: flies.then_some(entry.since),
            lent_by: entry.lent_by(),
            published_by,
            failures: entry.failures(),
            dead: entry.letter(),
            cursor: None,
        })
    }

    /// Looks at one message by id. The first search by id builds an index.
    pub fn find(&mut self, queue: u32, id: &MessageId) -> Result<View, Refusal> {
        let at = self.at(queue)?;
        let place = self.place_of(at, id).ok_or(Refusal::MessageNotFound)?;
        self.view(&self.queues[at], place).ok_or(Refusal::MessageNotFound)
    }

    /// [`Topic::peek_within`] without a bound in bytes.
    pub fn peek(&self, queue: u32, end: End, max: usize) -> Result<Vec<View>, Refusal> {
        self.peek_within(queue, end, max, usize::MAX)
    }

    /// Looks at the messages that would be handed out next, or last, without taking them. Ends before
    /// the bodies are longer than `bytes_max`; the first one always fits.
    pub fn peek_within(
        &self,
        queue: u32,
        end: End,
        max: usize,
        bytes_max: usize,
    ) -> Result<Vec<View>, Refusal> {
        let queue = &self.queues[self.at(queue)?];
        let mut room = Room::new(bytes_max);
        let fits = |(_, ready): &(Key, Ready)| room.fits(self.bytes_of(queue, *ready));
        let view = |(_, ready)| self.view(queue, ready);
        let (lanes, shelf) = (queue.lanes.iter(), &self.shelf);
        Ok(match end {
            End::Front => {
                let ready = lanes.rev().flat_map(|lane| lane.from(Key::FIRST, shelf));
                ready.take_while(fits).filter_map(view).take(max).collect()
            }
            End::Back => {
                let ready = lanes.flat_map(|lane| lane.backwards(shelf));
                ready.take_while(fits).filter_map(view).take(max).collect()
            }
        })
    }

    /// Length of the body of what lies at a place.
    fn bytes_of(&self, queue: &Queue, place: Ready) -> usize {
        self.shelf.get(queue.slot(place)).map_or(0, |kept| kept.body.len() as usize)
    }

    /// [`Topic::list_within`] without a bound in bytes.
    pub fn list(
        &self,
        queue: u32,
        state: State,
        after: Option<u128>,
        max: usize,
    ) -> Result<Page, Refusal> {
        self.list_within(queue, state, after, max, usize::MAX)
    }

    /// Looks at the messages in one state: ready and dead ones in their order, the others in none.
    /// A message that stays in the state while the pages are read is in exactly one of them. A page
    /// ends before its bodies are longer than `bytes_max`; the first one always fits.
    pub fn list_within(
        &self,
        queue: u32,
        state: State,
        after: Option<u128>,
        max: usize,
        bytes_max: usize,
    ) -> Result<Page, Refusal> {
        let queue = &self.queues[self.at(queue)?];
        let mut page = Page::default();
        let mut room = Room::new(bytes_max);
        let mut add = |cursor: u128, place: Ready| {
            if page.views.len() >= max || !room.fits(self.bytes_of(queue, place)) {
                return false;
            }
            if let Some(view) = self.view(queue, place) {
                page.views.push(View { cursor: Some(cursor), ..view });
                page.next = Some(cursor);
            }
            true
        };
        let behind = after.map_or(0, |after| after.saturating_add(1));
        let whole = match state {
            State::Ready => self.list_ready(queue, after, add),
            State::Dead => {
                let behind = u64::try_from(behind).unwrap_or(u64::MAX);
                let mut dead = queue.dead.range(behind..);
                dead.all(|(died, held)| add(u128::from(*died), Ready::Held(*held)))
            }
            State::Delayed | State::InFlight => {
                let purged = queue.purged;
                let listed = |entry: &Entry| entry.state == state && !purged.took(entry);
                let first = u32::try_from(behind).unwrap_or(u32::MAX);
                let end = queue.entries.cells();
                let last = end.min(first.saturating_add(SLOTS_MAX));
                let seen = (first..last).all(|held| match queue.entries.get(held) {
                    Some(entry) if listed(entry) => add(u128::from(held), Ready::Held(held)),
                    _ => true,
                });
                if seen && last < end {
                    page.next = Some(u128::from(last) - 1);
                }
                seen && last == end
            }
        };
        if whole {
            page.next = None;
        }
        Ok(page)
    }

    /// Ready messages whose places are behind a cursor, in the order of their numbers and whatever
    /// their priority: for a bystander, who takes nothing. What is in flight or waits for a time is
    /// not shown; what was given back to an end of the queue has a new place there.
    pub fn read_after(
        &self,
        now: Timestamp,
        queue: u32,
        cursor: &mut Cursor,
        want: Want,
    ) -> Result<Vec<Message>, Refusal> {
        let queue = &self.queues[self.at(queue)?];
        cursor.cut = false;
        let alive = |ready| {
            let kept = self.shelf.get(queue.slot(ready))?;
            (kept.expires_at > now).then_some(kept)
        };
        let mut read = Vec::new();
        let max = match want {
            Want::Oldest(max) => max,
            Want::Newest => {
                let last = queue.lanes.iter().filter_map(|lane| lane.placed_last(&self.shelf));
                let last = last.max_by_key(|(number, _)| *number);
                let last = last.filter(|(number, _)| *number > cursor.number);
                if let Some((number, kept)) =
                    last.and_then(|(number, ready)| Some((number, alive(ready)?)))
                    && cursor.pass(number, kept.body.len() as usize)
                {
                    read.push(self.shelf.message(kept));
                }
                return Ok(read);
            }
        };
        // Higher than any number that is given.
        let behind = cursor.number.min(1 << 58);
        let mut lanes: Vec<_> = queue
            .lanes
            .iter()
            .map(|lane| lane.placed_after(behind, &self.shelf).peekable())
            .collect();
        while read.len() < max {
            let heads = lanes.iter_mut().enumerate();
            let heads = heads.filter_map(|(at, lane)| Some((lane.peek()?.0, at)));
            let Some((number, at)) = heads.min() else { break };
            let Some((_, ready)) = lanes[at].next() else { break };
            if let Some(kept) = alive(ready) {
                if !cursor.pass(number, kept.body.len() as usize) {
                    break;
                }
                read.push(self.shelf.message(kept));
            }
        }
        Ok(read)
    }

    /// Goes through the ready messages from behind a cursor until `add` has enough; true: to the end.
    fn list_ready(
        &self,
        queue: &Queue,
        after: Option<u128>,
        mut add: impl FnMut(u128, Ready) -> bool,
    ) -> bool {
        let start = after.map(|after| ((after >> CURSOR_BITS) as usize, Key::behind_cursor(after)));
        for (at, lane) in queue.lanes.iter().enumerate().rev() {
            let from = match start {
                Some((first, _)) if at > first => continue,
                Some((first, key)) if at == first => key,
                _ => Key::FIRST,
            };
            for (key, ready) in lane.from(from, &self.shelf) {
                if !add(((at as u128) << CURSOR_BITS) | key.to_cursor(), ready) {
                    return false;
                }
            }
        }
        true
    }
}
