//! Which core runs what, so that a round trip means the same for all that are compared.
//!
//! Left alone, the scheduler puts a client and its server on one core or on two as it likes, and the
//! time of a round trip doubles with it, for each pair on its own.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Two cores: one for the clients of this process, one for the process they talk to.
pub struct Cores {
    client: usize,
    server: usize,
    all: CpuSet,
}

/// Lets the calling thread run everywhere again when it is dropped.
pub struct Pinned(CpuSet);

impl Cores {
    /// The first two that this process may use; `None` where there are fewer.
    pub fn two() -> Option<Cores> {
        let all = sched_getaffinity(Pid::from_raw(0)).expect("the cores of this process");
        let mut usable =
            (0..CpuSet::count()).filter(|core| all.is_set(*core).expect("a core of the set"));
        Some(Cores { client: usable.next()?, server: usable.next()?, all })
    }

    /// Keeps the calling thread on the clients' core.
    pub fn pin_client(&self) -> Pinned {
        place(0, &one(self.client));
        Pinned(self.all)
    }

    /// Keeps every thread of a running process on the servers' core. It was started on all of them
    /// and goes on as it does on a machine with several.
    pub fn pin_server(&self, process: u32) {
        place_process(process, &one(self.server));
    }

    /// Lets it run everywhere again.
    pub fn unpin_server(&self, process: u32) {
        place_process(process, &self.all);
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        place(0, &self.0);
    }
}

fn one(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core).expect("a core");
    set
}

fn place_process(process: u32, set: &CpuSet) {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    for thread in threads {
        let name = thread.expect("a thread").file_name();
        place(name.to_string_lossy().parse().expect("its number"), set);
    }
}

fn place(thread: i32, set: &CpuSet) {
    sched_setaffinity(Pid::from_raw(thread), set).expect("a thread is placed");
}
