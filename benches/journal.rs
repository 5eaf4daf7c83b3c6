//! What the journal costs, next to a plain file in the same run.
//!
//! `cargo bench --bench journal -- [pairs | disk | open | all] [messages]`
//!
//! - `pairs`: publish + ack pairs of 1 KiB at level sync, by batch size, beside a file that is appended
//!   to and fdatasync'ed once per batch. Wanted at 256: 0.3 of the file's messages/s.
//! - `disk`: size of the store while `messages` pass through it with 20,000 alive at any time.
//! - `open`: time from nothing to every one of `messages` (default 1 M) delivered.
//!
//! The files go to `OCTOQ_BENCH_DIR` or into the target folder; it must be on a real disk.
//! `OCTOQ_BENCH_DEPTH` submissions wait at once (default 1: each is answered before the next).

#![allow(clippy::unwrap_used, reason = "a bench that fails has nothing to hand on")]

use bytes::Bytes;
use octoq::{
    journal::{Journal, JournalSettings, Submission},
    queue::{
        Kind, Level, Place, QueueDefinition, QueueName, QueuePolicy, Record, Stored, Timestamp,
        TopicDefinition, TopicName, TopicPolicy,
    },
};
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

const BODY_BYTES: usize = 1024;
const IN_FLIGHT: u64 = 20_000;

/// See the file's doc.
fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let what = arguments.first().map_or("all", String::as_str);
    let messages = arguments.get(1).and_then(|n| n.parse().ok());
    let base = env::var_os("OCTOQ_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
        .join("octoq-bench-journal");
    let _ = fs::remove_dir_all(&base);
    fs::create_dir_all(&base).unwrap();
    if matches!(what, "pairs" | "all") {
        pairs(&base);
    }
    if matches!(what, "disk" | "all") {
        disk(&base, messages.unwrap_or(1_000_000));
    }
    if matches!(what, "open" | "all") {
        open(&base, messages.unwrap_or(1_000_000));
    }
    let _ = fs::remove_dir_all(&base);
}

fn settings(path: PathBuf) -> JournalSettings {
    JournalSettings {
        path,
        queue_max: 1024,
        commit_records_max: 4096,
        commit_bytes_max: 4 << 20,
        sync_interval: Duration::from_millis(100),
        reserve_bytes: 16 << 20,
        cache_bytes: 64 << 20,
    }
}

/// Bytes that do not compress to nothing.
fn body() -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(BODY_BYTES);
    while bytes.len() < BODY_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push(b'@' + (state % 32) as u8);
    }
    bytes.into()
}

/// A publisher and a consumer 20,000 messages behind it.
struct Stream {
    journal: Journal,
    body: Bytes,
    next_ack: u64,
    published: u64,
    told: Sender<()>,
    heard: Receiver<()>,
    waiting: usize,
}

impl Stream {
    fn new(path: PathBuf) -> Self {
        let (journal, _) = Journal::open(settings(path)).unwrap();
        let (told, heard) = channel();
        let mut stream = Stream {
            next_ack: journal.numbers(1) + 1,
            published: 0,
            body: body(),
            journal,
            told,
            heard,
            waiting: 0,
        };
        let topic = TopicDefinition {
            number: 1,
            name: TopicName::parse("bench").unwrap(),
            kind: Kind::Broker,
            policy: TopicPolicy::default(),
            salt: 1,
            epoch: 1,
            owner: None,
            created_at: Timestamp(1),
        };
        let queues = (1..=100).map(|number| {
            let name = QueueName::parse(format!("q{number}")).unwrap();
            let policy = QueuePolicy::default();
            Record::QueuePut(QueueDefinition {
                number,
                topic: 1,
                name,
                policy,
                created_at: Timestamp(1),
            })
        });
        let records = std::iter::once(Record::TopicPut(topic)).chain(queues).collect();
        stream.submit(records, 1);
        stream.settle();
        stream
    }

    fn publish(&mut self, count: u64, records: &mut Vec<Record>) {
        let first = self.journal.numbers(count);
        self.published += count;
        records.extend((first..first + count).map(|number| {
            Record::Published(Stored {
                stamped: false,
                door: None,
                number,
                topic: 1,
                seq: number,
                published_at: Timestamp(1_700_000_000_000 + number as i64),
                visible_at: Timestamp(1_700_000_000_000 + number as i64),
                expires_at: Timestamp::NEVER,
                extra: None,
                body: self.body.clone().into(),
                place: Place::Queue(1 + (number % 100) as u32),
            })
        }));
    }

    fn ack(&mut self, count: u64, records: &mut Vec<Record>) {
        let first = self.next_ack;
        self.next_ack += count;
        records.extend(
            (first..first + count).filter(|n| n % 10_000 != 0).map(|number| Record::Removed {
                entry: number,
                message: number,
                last: true,
            }),
        );
    }

    /// Hands the records over; waits while `depth` submissions are under way.
    fn submit(&mut self, records: Vec<Record>, depth: usize) {
        let told = self.told.clone();
        let done = Box::new(move |outcome: Result<(), _>| {
            outcome.unwrap();
            told.send(()).unwrap();
        });
        let submission = Submission { records, level: Level::Sync, done: Some(done) };
        assert!(self.journal.submit(submission).is_ok());
        self.waiting += 1;
        while self.waiting >= depth {
            self.heard.recv().unwrap();
            self.waiting -= 1;
        }
    }

    fn settle(&mut self) {
        while self.waiting > 0 {
            self.heard.recv().unwrap();
            self.waiting -= 1;
        }
    }

    fn fill(&mut self, count: u64) {
        for _ in 0..count / 1000 {
            let mut records = Vec::new();
            self.publish(1000, &mut records);
            self.submit(records, 4);
        }
        self.settle();
    }

    /// Publish and ack in batches for as long as `go_on` says; returns pairs per second and the
    /// times of the batches.
    fn run(&mut self, batch: u64, mut go_on: impl FnMut(u64) -> bool) -> (f64, Vec<Duration>) {
        let depth = env::var("OCTOQ_BENCH_DEPTH").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
        let (began, before, mut times) = (Instant::now(), self.published, Vec::new());
        while go_on(self.published - before) {
            let at = Instant::now();
            let mut records = Vec::with_capacity(2 * batch as usize);
            self.publish(batch, &mut records);
            self.ack(batch, &mut records);
            self.submit(records, depth);
            times.push(at.elapsed());
        }
        self.settle();
        ((self.published - before) as f64 / began.elapsed().as_secs_f64(), times)
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * percent / 100).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

/// Length, checksum, body; one write and one fdatasync per batch.
fn raw_append(path: &Path, batch: u64, span: Duration) -> f64 {
    let mut file = fs::File::create(path).unwrap();
    let body = body();
    let (began, mut written, mut buffer) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < span {
        buffer.clear();
        for _ in 0..batch {
            buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
            buffer.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
            buffer.extend_from_slice(&body);
        }
        file.write_all(&buffer).unwrap();
        file.sync_data().unwrap();
        written += batch;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    fs::remove_file(path).unwrap();
    rate
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn pairs(base: &Path) {
    println!("pairs: publish + ack of {BODY_BYTES} B, sync, {IN_FLIGHT} alive");
    let mut stream = Stream::new(base.join("pairs"));
    stream.fill(IN_FLIGHT);
    for batch in [256, 16, 1] {
        let (mut journal, mut raw, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            raw.push(raw_append(&base.join("raw"), batch, Duration::from_secs(1)));
            let until = Instant::now() + Duration::from_secs(3);
            let (rate, of_run) = stream.run(batch, |_| Instant::now() < until);
            journal.push(rate);
            times.extend(of_run);
        }
        let (journal, raw) = (median(journal), median(raw));
        println!(
            "  batch {batch:>4}: {journal:>8.0} pairs/s, raw append {raw:>8.0} messages/s, ratio {:.2}; \
             p50 {:.2} ms, p99 {:.2} ms",
            journal / raw,
            percentile(&mut times, 50),
            percentile(&mut times, 99),
        );
    }
    println!("  disk after: {} MiB", stream.journal.figures().disk_bytes >> 20);
    stream.journal.close().unwrap();
}

fn disk(base: &Path, messages: u64) {
    println!("disk: {messages} messages of {BODY_BYTES} B pass, {IN_FLIGHT} alive");
    let mut stream = Stream::new(base.join("disk"));
    stream.fill(IN_FLIGHT);
    let began = Instant::now();
    for part in 1..=10 {
        stream.run(256, |done| done < messages / 10);
        let mib = stream.journal.figures().disk_bytes as f64 / (1 << 20) as f64;
        println!("  after {:>9}: {mib:.1} MiB", messages / 10 * part);
    }
    println!("  {:.0} pairs/s", messages as f64 / began.elapsed().as_secs_f64());
    stream.journal.close().unwrap();
}

fn open(base: &Path, messages: u64) {
    let path = base.join("open");
    let mut stream = Stream::new(path.clone());
    let began = Instant::now();
    stream.fill(messages);
    println!(
        "open: {messages} messages of {BODY_BYTES} B written in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // No close: the log is left as a process that was killed leaves it.
    let crashed = base.join("crashed");
    fs::create_dir_all(&crashed).unwrap();
    for name in ["octoq.db", "octoq.db-wal", "LAST"] {
        fs::copy(path.join(name), crashed.join(name)).unwrap();
    }
    drop(stream);
    for (keep, way) in [(true, "with bodies"), (false, "without bodies")] {
        let cold = drop_caches();
        let began = Instant::now();
        let (journal, _) = Journal::open(settings(crashed.clone())).unwrap();
        let opened = began.elapsed();
        let mut bodies = Vec::new();
        let mut count = 0;
        journal
            .restore(None, &mut |_| keep, &mut |message| {
                count += 1;
                bodies.extend(message.body);
            })
            .unwrap();
        assert_eq!(count, messages);
        println!(
            "  {} {way}: {:.2} s (open {:.2} s)",
            if cold { "cold" } else { "warm" },
            began.elapsed().as_secs_f64(),
            opened.as_secs_f64(),
        );
        journal.close().unwrap();
    }
}

/// Empties the page cache, if this user may.
fn drop_caches() -> bool {
    let synced = std::process::Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}
