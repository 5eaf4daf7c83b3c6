//! How much a session does before the others on its thread get their turn.
//!
//! Whoever sends little waits once per step of its way (session, topic, session) for everybody who is
//! at work on the thread. So those who have much to do share one portion between them, however many they
//! are, and the sockets are looked at after each.

use std::cell::Cell;

/// Units of work between two looks at the sockets, of all sessions of a thread that have much to do. A
/// unit is a line, about a quarter of a microsecond; a look costs one or two.
const PORTION: usize = 64;
/// No session's share is smaller.
const SHARE_MIN: usize = 8;

thread_local! {
    /// Sessions of this thread that had more to do when their turn was over.
    static BUSY: Cell<usize> = const { Cell::new(0) };
}

/// What a session did since the others got their turn. Stays on its thread.
#[derive(Debug)]
pub struct Turn {
    done: usize,
    share: usize,
    busy: bool,
}

impl Default for Turn {
    fn default() -> Self {
        Turn { done: 0, share: PORTION, busy: false }
    }
}

impl Turn {
    /// A unit of work is done.
    #[inline]
    pub fn spend(&mut self) {
        self.done += 1;
    }

    /// The others are to get their turn.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.done >= self.share
    }

    /// Lets the others run, and the thread look at its sockets.
    pub async fn pass(&mut self) {
        if !self.busy {
            self.busy = true;
            BUSY.set(BUSY.get() + 1);
        }
        tokio::task::yield_now().await;
        self.done = 0;
        self.share = (PORTION / BUSY.get().max(1)).max(SHARE_MIN);
    }

    /// There is no more to do for now.
    pub fn rest(&mut self) {
        self.done = 0;
        if std::mem::take(&mut self.busy) {
            BUSY.set(BUSY.get().saturating_sub(1));
            self.share = PORTION;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(turn: &mut Turn) -> usize {
        let mut units = 0;
        while !turn.is_over() {
            turn.spend();
            units += 1;
        }
        units
    }

    #[actix::test]
    async fn sessions_that_have_much_to_do_share_a_portion() {
        let (mut one, mut other) = (Turn::default(), Turn::default());
        assert_eq!(units(&mut one), PORTION);
        one.pass().await;
        assert_eq!(units(&mut one), PORTION, "it is alone");
        other.pass().await;
        one.pass().await;
        assert_eq!((units(&mut one), units(&mut other)), (PORTION / 2, PORTION / 2));
        drop(other);
        one.pass().await;
        assert_eq!(units(&mut one), PORTION);
        let mut many: Vec<Turn> = (0..100).map(|_| Turn::default()).collect();
        for turn in &mut many {
            turn.pass().await;
        }
        one.pass().await;
        assert_eq!(units(&mut one), SHARE_MIN);
        many.iter_mut().for_each(Turn::rest);
        one.rest();
        assert_eq!((units(&mut one), BUSY.get()), (PORTION, 0));
    }
}
