//! okq commands at octoq, list commands at Redis, from the same client.

use super::resp::{Connection, Until, Work, drive, request};
use super::servers::{Octoq, Redis, Server};
use super::{median, report};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Instant,
};

/// Bytes of an event.
const BODY: [u8; 100] = [b'x'; 100];
/// Digits of an id.
const ID: usize = 12;

/// Writes a number into the digits of an id.
fn set_id(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The same request some times, as often as wanted in all.
struct Same {
    batch: Vec<u8>,
    depth: usize,
    left: usize,
    until: Until,
    /// How every answer begins.
    first: u8,
}

impl Same {
    fn new(words: &[&[u8]], depth: usize, left: usize, until: Until, first: u8) -> Same {
        let mut batch = Vec::new();
        for _ in 0..depth {
            request(&mut batch, words);
        }
        Same { batch, depth, left, until, first }
    }
}

impl Work for Same {
    fn ask(&mut self, out: &mut Vec<u8>) -> Option<Until> {
        self.left = self.left.checked_sub(self.depth)?;
        out.extend_from_slice(&self.batch);
        Some(self.until)
    }

    fn answered(&mut self, answers: &[u8]) {
        assert!(answers.starts_with(&[self.first]), "{}", answers.escape_ascii());
    }
}

/// `QLPUSH`, every event with an id of its own.
struct Push {
    same: Same,
    ids: Vec<usize>,
    next: u64,
}

impl Push {
    fn new(queue: &[u8], body: &[u8], depth: usize, left: usize, next: u64) -> Push {
        let words = [b"QLPUSH".as_slice(), queue, &[b'#'; ID], body];
        let same = Same::new(&words, depth, left, Until::Bytes(5 * depth), b'+');
        let ids = memchr::memmem::find_iter(&same.batch, &[b'#'; ID]).collect();
        Push { same, ids, next }
    }
}

impl Work for Push {
    fn ask(&mut self, out: &mut Vec<u8>) -> Option<Until> {
        for at in &self.ids {
            set_id(&mut self.same.batch[*at..at + ID], self.next);
            self.next += 1;
        }
        self.same.ask(out)
    }

    fn answered(&mut self, answers: &[u8]) {
        self.same.answered(answers);
    }
}

/// `QRPOP`s, and a `QACK` for each event of the batch before.
struct PopAck {
    pops: Vec<u8>,
    acks: Vec<u8>,
    ids: Vec<usize>,
    depth: usize,
    left: usize,
    /// Events of the last batch, which are acknowledged with the next.
    held: usize,
    popped: usize,
    /// Bytes of the answer to one pop, and where its id is.
    answer: usize,
    id_at: usize,
}

impl PopAck {
    /// `depth` counts both commands.
    fn new(queue: &[u8], body: &[u8], depth: usize, left: usize) -> PopAck {
        let depth = (depth / 2).max(1);
        let (mut pops, mut acks, mut answer) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..depth {
            request(&mut pops, &[b"QRPOP", queue]);
            request(&mut acks, &[b"QACK", queue, &[b'#'; ID]]);
        }
        request(&mut answer, &[&[b'#'; ID], body]);
        let ids = memchr::memmem::find_iter(&acks, &[b'#'; ID]).collect();
        let id_at = memchr::memmem::find(&answer, &[b'#'; ID]).expect("an id");
        let answer = answer.len();
        PopAck { pops, acks, ids, depth, left, held: 0, popped: 0, answer, id_at }
    }
}

impl Work for PopAck {
    fn ask(&mut self, out: &mut Vec<u8>) -> Option<Until> {
        let acked = std::mem::take(&mut self.held);
        // One command at a time: it is acknowledged before the next is taken.
        let alone = self.depth == 1 && acked > 0;
        self.popped = if alone { 0 } else { self.left.min(self.depth) };
        self.left -= self.popped;
        if acked > 0 {
            out.extend_from_slice(&self.acks);
        }
        if self.popped > 0 {
            out.extend_from_slice(&self.pops);
        }
        (acked + self.popped > 0).then_some(Until::Bytes(acked * 4 + self.popped * self.answer))
    }

    fn answered(&mut self, answers: &[u8]) {
        let acks = answers.len().saturating_sub(self.popped * self.answer);
        let (acks, events) = answers.split_at(acks);
        assert!(acks.chunks(4).all(|ack| ack == b":1\r\n"), "{}", acks.escape_ascii());
        if self.popped == 0 {
            return;
        }
        for (event, at) in events.chunks(self.answer).zip(&self.ids) {
            self.acks[*at..at + ID].copy_from_slice(&event[self.id_at..self.id_at + ID]);
        }
        self.held = self.popped;
    }
}

/// Commands per second of a phase, and the processor time of the server per command.
struct Phase {
    rates: Vec<f64>,
    cpu: f64,
    commands: usize,
}

impl Phase {
    fn new() -> Phase {
        Phase { rates: Vec::new(), cpu: 0.0, commands: 0 }
    }

    fn run(
        &mut self,
        server: &Server,
        connections: &mut [Connection],
        commands: usize,
        works: &mut [impl Work],
    ) {
        let (cpu, start) = (server.cpu(), Instant::now());
        drive(connections, works);
        self.rates.push(commands as f64 / start.elapsed().as_secs_f64());
        self.cpu += server.cpu() - cpu;
        self.commands += commands;
    }

    fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    fn cpu_ns(&self) -> f64 {
        self.cpu * 1e9 / self.commands as f64
    }
}

/// How often the four phases follow each other.
const ROUNDS: usize = 5;

/// Both servers, empty, and one phase for each kind of work at them.
struct Lists {
    octoq: Octoq,
    redis: Redis,
    next_id: u64,
}

struct Rates {
    push: Phase,
    pop_ack: Phase,
    lpush: Phase,
    rpop: Phase,
}

impl Lists {
    fn start() -> Lists {
        let octoq = Octoq::start(&["okq.durability=memory"]);
        Lists { octoq, redis: Redis::start(false), next_id: 0 }
    }

    /// Fills and empties the list on either side, in turn, with as many events per connection.
    fn measure(&mut self, clients: usize, depth: usize, each: usize) -> Rates {
        let open = |address: &str| -> Vec<Connection> {
            (0..clients).map(|_| Connection::open(address)).collect()
        };
        let (mut octoq, mut redis) = (open(self.octoq.door("okq")), open(&self.redis.address));
        let (mut push, mut pop_ack) = (Phase::new(), Phase::new());
        let (mut lpush, mut rpop) = (Phase::new(), Phase::new());
        let total = clients * each;
        let same = |words: &[&[u8]], until, first| -> Vec<Same> {
            (0..clients).map(|_| Same::new(words, depth, each, until, first)).collect()
        };
        for _ in 0..ROUNDS {
            let mut works: Vec<Push> = (0..clients)
                .map(|nth| {
                    Push::new(b"list", &BODY, depth, each, self.next_id + (nth * each) as u64)
                })
                .collect();
            self.next_id += total as u64;
            push.run(&self.octoq.server, &mut octoq, total, &mut works);
            let mut works: Vec<PopAck> =
                (0..clients).map(|_| PopAck::new(b"list", &BODY, depth, each)).collect();
            pop_ack.run(&self.octoq.server, &mut octoq, 2 * total, &mut works);
            let mut works = same(&[b"LPUSH", b"list", &BODY], Until::Lines(depth), b':');
            lpush.run(&self.redis.server, &mut redis, total, &mut works);
            let mut works = same(&[b"RPOP", b"list"], Until::Bytes(108 * depth), b'$');
            rpop.run(&self.redis.server, &mut redis, total, &mut works);
        }
        Rates { push, pop_ack, lpush, rpop }
    }
}

/// The least a server can do: it takes requests of one length off its connections, looks at none, and
/// says `+OK` to each. No server with this client is faster.
struct Nothing {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nothing {
    fn start(request_bytes: usize) -> Nothing {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("an address").to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut streams: Vec<(TcpStream, usize)> = Vec::new();
            let mut chunk = vec![0; 64 << 10];
            let answers = b"+OK\r\n".repeat(1024);
            while !stopped.load(Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("nonblocking");
                    stream.set_nodelay(true).expect("nodelay");
                    streams.push((stream, 0));
                }
                // It never sleeps: being woken would cost it more than anything else it does.
                for (stream, rest) in &mut streams {
                    let Ok(count) = stream.read(&mut chunk) else { continue };
                    *rest += count;
                    let whole = *rest / request_bytes;
                    *rest %= request_bytes;
                    stream.write_all(&answers[..5 * whole]).expect("answers");
                }
            }
        });
        Nothing { address, stop, thread: Some(thread) }
    }

    /// Commands per second at so many connections.
    fn rate(clients: usize, depth: usize, each: usize) -> f64 {
        let works = || -> Vec<Push> {
            (0..clients).map(|_| Push::new(b"list", &BODY, depth, each, 0)).collect()
        };
        let nothing = Nothing::start(works()[0].same.batch.len() / depth);
        let mut connections: Vec<Connection> =
            (0..clients).map(|_| Connection::open(&nothing.address)).collect();
        let rates = (0..ROUNDS).map(|_| {
            let start = Instant::now();
            drive(&mut connections, &mut works());
            (clients * each) as f64 / start.elapsed().as_secs_f64()
        });
        median(rates.collect())
    }
}

impl Drop for Nothing {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Pipelined in memory.
pub fn pipelined() {
    let mut lists = Lists::start();
    for clients in [1, 8] {
        for depth in [16, 128] {
            let all = lists.measure(clients, depth, (400_000 / clients).next_multiple_of(depth));
            let what = format!("{clients} connections, {depth} deep");
            let (lpush, rpop) = (all.lpush.rate(), all.rpop.rate());
            report(
                &format!("okq QLPUSH, {what}"),
                all.push.rate(),
                "LPUSH",
                lpush,
                "commands/s",
                ">= 2.0",
            );
            let ceiling =
                Nothing::rate(clients, depth, (400_000 / clients).next_multiple_of(depth));
            println!(
                "    a server that does nothing: {ceiling:.0} commands/s, {:.2} times LPUSH",
                ceiling / lpush
            );
            report(
                &format!("okq QRPOP+QACK, {what}"),
                all.pop_ack.rate(),
                "LPUSH+RPOP",
                2.0 / (1.0 / lpush + 1.0 / rpop),
                "commands/s",
                ">= 1.5",
            );
            println!(
                "    server ns/command: QLPUSH {:.0}, QRPOP+QACK {:.0}, LPUSH {:.0}, RPOP {:.0}; RPOP {rpop:.0}/s",
                all.push.cpu_ns(),
                all.pop_ack.cpu_ns(),
                all.lpush.cpu_ns(),
                all.rpop.cpu_ns(),
            );
        }
    }
}

/// One command at a time on each of 8 connections.
pub fn plain() {
    let all = Lists::start().measure(8, 1, 10_000);
    let (lpush, rpop) = (all.lpush.rate(), all.rpop.rate());
    report(
        "okq-plain QLPUSH, 8 connections",
        all.push.rate(),
        "LPUSH",
        lpush,
        "commands/s",
        "none",
    );
    let ratio = all.push.rate() / 26_800.0;
    println!("    beside okQ over Redis, fixed at 26800/s: ratio {ratio:.2}, target >= 3.0");
    // A Redis that knew acknowledgements would need two commands as well.
    let (ours, theirs) = (all.pop_ack.rate() / 2.0, rpop / 2.0);
    report("okq-plain QRPOP+QACK, 8 connections", ours, "2 x RPOP", theirs, "events/s", "none");
    let ratio = ours / 10_480.0;
    println!("    beside okQ over Redis, fixed at 10480/s: ratio {ratio:.2}, target >= 5.0");
}
