//! What the threads of a run share.

use crate::kernel::Waker;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

pub const WARM: u8 = 0;
pub const MEASURE: u8 = 1;
/// Nothing more is published; what is under way arrives.
pub const DRAIN: u8 = 2;
pub const QUIT: u8 = 3;

/// Which side a thread is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Producers,
    Consumers,
}

#[derive(Default)]
pub struct Shared {
    pub phase: AtomicU8,
    pub published: AtomicU64,
    pub confirmed: AtomicU64,
    pub delivered: AtomicU64,
    pub acked: AtomicU64,
    /// A producer waits until the backlog is smaller.
    pub starved: AtomicBool,
    pub wakers: Vec<Waker>,
    pub failed: AtomicBool,
    pub error: Mutex<String>,
    pub threads: Mutex<Vec<(Side, i32)>>,
    /// Threads that are ready to begin.
    pub ready: AtomicU64,
    pub begin: AtomicBool,
}

impl Shared {
    /// The first failure ends the run.
    pub fn fail(&self, what: String) {
        let mut error = self.error.lock().unwrap();
        if error.is_empty() {
            *error = what;
        }
        self.failed.store(true, SeqCst);
        self.phase.store(QUIT, SeqCst);
    }

    /// Says that this thread is ready, and waits for the others.
    pub fn wait_for_begin(&self) {
        self.ready.fetch_add(1, SeqCst);
        while !self.begin.load(SeqCst) && self.phase.load(SeqCst) != QUIT {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    pub fn wake_producers(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }
}
