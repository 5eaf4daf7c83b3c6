//! Thin wrappers over the kernel: clocks, epoll, wake-ups, processor time and memory.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::{SysconfVar, sysconf};
use std::{fs, io, os::fd::AsFd};

const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds of the clock that only goes forward.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| now.tv_sec() as u64 * SECOND_NS + now.tv_nsec() as u64)
}

/// Sleeps until the clock says `ns`.
pub fn sleep_until(ns: u64) {
    let until = nix::sys::time::TimeSpec::new((ns / SECOND_NS) as i64, (ns % SECOND_NS) as i64);
    let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &until);
}

/// Sleeps of this thread end when they should, and not up to 50 us later.
pub fn fine_timers() {
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// As many open files as this process may have.
pub fn raise_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// The calling thread, as the kernel counts them.
pub fn thread_id() -> i32 {
    nix::unistd::gettid().as_raw()
}

/// A descriptor that is ready, by the key it was added with.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub key: u64,
    pub readable: bool,
}

/// Waits for many descriptors at once.
pub struct Poll {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poll {
    pub fn new() -> io::Result<Poll> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Poll { epoll, events: vec![EpollEvent::empty(); 512] })
    }

    pub fn add(&self, what: impl AsFd, key: u64) -> io::Result<()> {
        Ok(self.epoll.add(what, EpollEvent::new(EpollFlags::EPOLLIN, key))?)
    }

    /// Whether it is also asked for room to write.
    pub fn write_too(&self, what: impl AsFd, key: u64, write: bool) -> io::Result<()> {
        let out = if write { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        Ok(self.epoll.modify(what, &mut EpollEvent::new(EpollFlags::EPOLLIN | out, key))?)
    }

    /// What is ready, after at most `timeout_ms`.
    pub fn wait(&mut self, timeout_ms: u8, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::from(timeout_ms)) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let readable = EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        ready.extend(self.events[..count].iter().map(|event| Ready {
            key: event.data(),
            readable: event.events().intersects(readable),
        }));
        Ok(())
    }
}

/// Wakes a thread that waits in a `Poll`.
pub struct Waker(EventFd);

impl Waker {
    pub fn new() -> io::Result<Waker> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Waker(EventFd::from_value_and_flags(0, flags)?))
    }

    pub fn wake(&self) {
        let _ = self.0.write(1);
    }

    pub fn clear(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn ticks_per_s() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100) as f64
}

/// Processor seconds that a process has used, all its threads.
pub fn process_cpu(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind_name = text.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_ascii_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / ticks_per_s()
}

/// Processor seconds that a thread of this process has used.
pub fn thread_cpu(thread: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"));
    let ns = text.ok().and_then(|text| text.split_ascii_whitespace().next()?.parse::<f64>().ok());
    ns.unwrap_or_default() / 1e9
}

/// Processor seconds that this process has used.
pub fn own_cpu() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Processor seconds that the machine was busy, and that its host took from it.
pub fn machine_cpu() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let words = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    let ticks: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { return (0.0, 0.0) };
    let per_s = ticks_per_s();
    ((user + nice + system + irq + softirq) / per_s, steal / per_s)
}

/// Resident memory of a process in bytes.
pub fn resident(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
