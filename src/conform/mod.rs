//! The documented dialogues of the compatibility doors, played against any address: octoq's own
//! door or the original server. The same cases are the tests of the doors.
//!
//! A case uses names nobody else has ([`Target::name`]), so that it may run again and beside others,
//! and compares what comes back with what a client of the original relies on.

pub mod blockqueue;
pub mod dsmq;
pub mod fastqueue;
pub mod okq;
pub mod otq;
pub mod websocket;
mod wire;

pub use wire::{Answer, Wire};

use futures_util::future::LocalBoxFuture;
use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How long a case waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What came back is not what was expected; the text says both.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

impl From<std::io::Error> for Mismatch {
    fn from(error: std::io::Error) -> Self {
        Mismatch(format!("connection: {error}"))
    }
}

/// One dialogue.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// Plays it.
    pub run: fn(Target) -> LocalBoxFuture<'static, Result<(), Mismatch>>,
}

/// Makes a [`Case`] of an `async fn(Target) -> Result<(), Mismatch>`.
macro_rules! case {
    ($name:literal, $play:path) => {
        $crate::conform::Case { name: $name, run: |target| Box::pin($play(target)) }
    };
}
pub(crate) use case;

/// Against whom a case is played.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where the door listens.
    pub address: SocketAddr,
    unique: String,
    /// The names it has given.
    names: Rc<RefCell<Vec<String>>>,
}

/// Deletes what a case has made, at a door that can; what is not there is no matter.
pub type Sweep = fn(Target) -> LocalBoxFuture<'static, Result<(), Mismatch>>;

static PLAYED: AtomicU32 = AtomicU32::new(0);

impl Target {
    /// A target for one case.
    pub fn new(address: SocketAddr) -> Target {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nth = PLAYED.fetch_add(1, Relaxed);
        let unique = format!("{:x}-{nth}", now.as_micros() & 0xfff_ffff_ffff);
        Target { address, unique, names: Rc::default() }
    }

    /// A name for a topic or a queue that only this case uses: letters, digits and hyphens.
    pub fn name(&self, what: &str) -> String {
        let name = format!("{what}-{}", self.unique);
        self.uses(&name);
        name
    }

    /// The case has a name of its own making.
    pub fn uses(&self, name: &str) {
        self.names.borrow_mut().push(name.to_owned());
    }

    /// All names that the case has used.
    pub fn names(&self) -> Vec<String> {
        self.names.borrow().clone()
    }

    /// A connection to the door.
    pub async fn connect(&self) -> Result<Wire, Mismatch> {
        Wire::connect(self.address).await
    }
}

/// What a case came to.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub case: &'static str,
    /// The first thing that was different, if anything was.
    pub mismatch: Option<Mismatch>,
}

/// Plays the cases one after the other and tells each outcome as it is known. `sweep`: what a case has
/// made goes when it is over.
pub async fn play(
    address: SocketAddr,
    cases: &[Case],
    sweep: Option<Sweep>,
    mut told: impl FnMut(&Outcome),
) -> usize {
    let mut failed = 0;
    for case in cases {
        let target = Target::new(address);
        let mut mismatch = (case.run)(target.clone()).await.err();
        if let Some(sweep) = sweep {
            let swept = sweep(target).await;
            mismatch = mismatch.or(swept.err());
        }
        failed += usize::from(mismatch.is_some());
        told(&Outcome { case: case.name, mismatch });
    }
    failed
}
