//! A reader that takes nothing: it stands behind a number of the whole broker's ascending ones, and
//! is shown what came after it.
//!
//! Such a reader is nobody's consumer or subscriber. Its position is one number, good for every
//! topic, also for those it has not looked at yet and those that are not there yet.

/// Where a reader is. A reading moves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// What has this number or a lower one is not shown (again).
    pub number: u64,
    /// Bytes of bodies that may still be read; a reading ends once they are used up, so the last
    /// message may be longer.
    pub bytes_left: usize,
    /// The last reading ended for want of `bytes_left`: there is more behind `number`.
    pub cut: bool,
}

impl Cursor {
    /// Behind a number.
    pub fn behind(number: u64, bytes_left: usize) -> Cursor {
        Cursor { number, bytes_left, cut: false }
    }

    /// Whether one more message of this size may be read now; if so, it is read.
    pub(super) fn pass(&mut self, number: u64, bytes: usize) -> bool {
        self.cut = self.bytes_left == 0;
        if !self.cut {
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            self.number = number;
        }
        !self.cut
    }
}

/// Which of the messages behind a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The oldest ones, at most this many.
    Oldest(usize),
    /// The newest one; those before it are passed over for good.
    Newest,
}
