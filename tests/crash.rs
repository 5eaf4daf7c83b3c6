//! Kills the broker again and again while clients publish, take and ack, and counts what is left.
//!
//! What was confirmed on a sync topic must be there or acknowledged, once, and what was
//! acknowledged must not come back. A request that was in flight at a kill may go either way.
//! `OCTOQ_CRASH_SEED` repeats the random choices of a run; the timing of the machine differs.
//! `OCTOQ_TEST_BINARY` names the binary to kill: `tests/run` plays this on the release build, too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/process.rs"]
mod process;

use process::{Http, Otq, PATIENCE, Process, serve};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Kills under load.
const KILLS: usize = 24;
/// After this many of them comes one while the broker starts.
const KILLS_PER_START_KILL: usize = 4;
/// Longest time under load, milliseconds.
const LOAD_MS_MAX: u64 = 400;
/// Longest time a start is given before it is killed, milliseconds.
const START_MS_MAX: u64 = 120;

/// `acked` is received and acked over HTTP, `taken` is emptied over otq, nobody reads `kept`.
const TOPICS: [&str; 3] = ["acked", "taken", "kept"];

/// SplitMix64: small, and the same everywhere.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn split(&mut self) -> Random {
        Random(self.next())
    }
}

/// What one publisher knows: (topic, body) of its rows.
#[derive(Default)]
struct Published {
    confirmed: Vec<(usize, String)>,
    /// Sent, and no answer came.
    unsure: Vec<(usize, String)>,
}

/// What a consumer knows of its topic, over all rounds.
#[derive(Default)]
struct Consumed {
    /// Acknowledged or taken, and confirmed so.
    gone: HashSet<String>,
    /// The ack was sent and no answer came.
    unsure: HashSet<String>,
    /// Messages that may have been taken by answers that never came.
    lost_takes: usize,
    /// What must not happen.
    violations: Vec<String>,
}

impl Consumed {
    fn seen(&mut self, body: &str) {
        if self.gone.contains(body) {
            self.violations.push(format!("{body} came again after it was acknowledged"));
        }
    }
}

/// Names rows so that none is like another, and makes their sizes differ.
struct Rows {
    prefix: String,
    next: u64,
    random: Random,
}

impl Rows {
    fn batch(&mut self) -> (usize, Vec<String>) {
        let topic = self.random.below(TOPICS.len() as u64) as usize;
        let count = 1 + self.random.below(6);
        let row = |_| {
            self.next += 1;
            let padding = ".".repeat(self.random.below(300) as usize);
            format!("{}-{}-{padding}", self.prefix, self.next)
        };
        (topic, (0..count).map(row).collect())
    }
}

/// PUTACK: each `SUCCESS` confirms a row, also when the rest of the answer never comes.
fn publish_otq(address: SocketAddr, mut rows: Rows, published: &mut Published) -> io::Result<()> {
    let mut otq = Otq::login(address)?;
    loop {
        let (topic, mut batch) = rows.batch();
        let lines: String = batch.iter().map(|row| format!("{row}\r\n")).collect();
        let put = format!("OTQ PUTACK {} {} BATCH\r\n{lines}", TOPICS[topic], batch.len());
        let answered: io::Result<()> = (|| {
            otq.send(&put)?;
            assert_eq!(otq.line()?, "PROCEED");
            while !batch.is_empty() {
                assert_eq!(otq.line()?, "SUCCESS");
                published.confirmed.push((topic, batch.remove(0)));
                otq.line()?;
            }
            assert_eq!(otq.line()?, "ENDOFRESP");
            Ok(())
        })();
        published.unsure.extend(batch.into_iter().map(|row| (topic, row)));
        answered?;
    }
}

/// An array of messages: the answer confirms all of them.
fn publish_http(address: SocketAddr, mut rows: Rows, published: &mut Published) -> io::Result<()> {
    let mut http = Http::connect(address)?;
    loop {
        let (topic, batch) = rows.batch();
        let messages: Vec<Value> = batch.iter().map(|row| json!({ "body": row })).collect();
        let path = format!("/v1/topics/{}/messages", TOPICS[topic]);
        let answer = http.ask("POST", &path, &Value::Array(messages).to_string());
        let rows = batch.into_iter().map(|row| (topic, row));
        match answer {
            Ok((status, answer)) => {
                assert_eq!(status, 200, "{answer}");
                let results = answer["results"].as_array().unwrap();
                assert!(results.iter().all(|result| result["id"].is_string()), "{answer}");
                published.confirmed.extend(rows);
            }
            Err(error) => {
                published.unsure.extend(rows);
                return Err(error);
            }
        }
    }
}

/// Receives and acks most; some it leaves to their deadline, some it gives back.
fn consume_acked(
    address: SocketAddr,
    mut random: Random,
    consumed: &mut Consumed,
) -> io::Result<()> {
    let mut http = Http::connect(address)?;
    loop {
        let receive = "/v1/topics/acked/receive?max=20&wait_ms=20&ack_deadline_ms=1000";
        let (status, received) = http.ask("POST", receive, "")?;
        assert_eq!(status, 200, "{received}");
        let (mut bodies, mut receipts) = (Vec::new(), Vec::new());
        for message in received["messages"].as_array().unwrap() {
            let body = message["body"].as_str().unwrap();
            consumed.seen(body);
            match random.below(4) {
                0 => (),
                1 => {
                    let nack =
                        json!({ "receipt": message["receipt"], "mode": "release" }).to_string();
                    http.ask("POST", "/v1/topics/acked/nack", &nack)?;
                }
                _ => {
                    bodies.push(body.to_owned());
                    receipts.push(message["receipt"].clone());
                }
            }
        }
        if receipts.is_empty() {
            continue;
        }
        match http.ask("POST", "/v1/topics/acked/ack", &json!({ "receipts": receipts }).to_string())
        {
            Ok((status, acked)) => {
                assert_eq!(status, 200, "{acked}");
                for (body, result) in bodies.into_iter().zip(acked["results"].as_array().unwrap()) {
                    if result["ok"] == true {
                        consumed.gone.insert(body);
                    } else {
                        // On a slow machine its deadline has passed.
                        assert_eq!(result["problem"]["code"], "receipt_gone", "{result}");
                    }
                }
            }
            Err(error) => {
                consumed.unsure.extend(bodies);
                return Err(error);
            }
        }
    }
}

/// GET removes for good: what was sent must not come back.
fn consume_taken(
    address: SocketAddr,
    mut random: Random,
    consumed: &mut Consumed,
) -> io::Result<()> {
    let mut otq = Otq::login(address)?;
    loop {
        let count = 1 + random.below(5) as usize;
        match otq.get("taken", count) {
            Ok(rows) => {
                for row in rows {
                    consumed.seen(&row);
                    consumed.gone.insert(row);
                }
            }
            Err(error) => {
                consumed.lost_takes += count;
                return Err(error);
            }
        }
    }
}

/// Runs all clients until the broker is killed under them.
fn load(
    broker: Process,
    round: usize,
    random: &mut Random,
    consumed: &mut [Consumed; 2],
) -> Published {
    let (http, otq) = (broker.http, broker.otq);
    let span = Duration::from_millis(random.below(LOAD_MS_MAX));
    let mut randoms: Vec<Random> = (0..6).map(|_| random.split()).collect();
    let mut all = Published::default();
    let [acked, taken] = consumed;
    thread::scope(|scope| {
        let mut publishers = Vec::new();
        for publisher in 0..4 {
            let prefix = format!("{round}-{publisher}");
            let rows = Rows { prefix, next: 0, random: randoms.pop().unwrap() };
            publishers.push(scope.spawn(move || {
                let mut published = Published::default();
                // Each ends with the error that the kill is.
                let _ = if publisher % 2 == 0 {
                    publish_otq(otq, rows, &mut published)
                } else {
                    publish_http(http, rows, &mut published)
                };
                published
            }));
        }
        let (for_acked, for_taken) = (randoms.pop().unwrap(), randoms.pop().unwrap());
        scope.spawn(move || consume_acked(http, for_acked, acked));
        scope.spawn(move || consume_taken(otq, for_taken, taken));
        // Not a wait for anything: the moment of the kill is what is random here.
        thread::sleep(span);
        broker.kill();
        for publisher in publishers {
            let published = publisher.join().unwrap();
            all.confirmed.extend(published.confirmed);
            all.unsure.extend(published.unsure);
        }
    });
    all
}

/// Takes everything out of a topic, in-flight messages as their deadlines pass.
fn drain(broker: &Process, topic: &str) -> Vec<String> {
    let mut http = Http::connect(broker.http).unwrap();
    let mut otq = Otq::login(broker.otq).unwrap();
    let mut left = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    loop {
        left.extend(otq.get(topic, 10_000).unwrap());
        let (_, shown) = http.ask("GET", &format!("/v1/topics/{topic}"), "").unwrap();
        let queue = &shown["queues"][0];
        assert_eq!((&queue["dead"], &queue["delayed"]), (&json!(0), &json!(0)), "{shown}");
        if queue["ready"] == 0 && queue["in_flight"] == 0 {
            return left;
        }
        assert!(Instant::now() < deadline, "{topic} is never empty: {shown}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_was_confirmed_survives_every_kill() {
    let seed = std::env::var("OCTOQ_CRASH_SEED").ok().map_or_else(
        || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        |seed| seed.parse().expect("OCTOQ_CRASH_SEED is a number"),
    );
    println!("killing {}, seed {seed}", Path::new(&process::binary()).display());
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();

    let broker = Process::start(folder.path(), &[]);
    let mut http = Http::connect(broker.http).unwrap();
    for topic in TOPICS {
        let new = json!({
            "name": topic,
            "policy": { "durability": "sync" },
            "queues": [{ "name": "default", "policy": { "max_deliveries": 0 } }],
        });
        let (status, made) = http.ask("POST", "/v1/topics", &new.to_string()).unwrap();
        assert_eq!(status, 201, "{made}");
    }
    drop(http);
    broker.kill();

    let mut published = Published::default();
    let mut consumed = [Consumed::default(), Consumed::default()];
    let mut start_kills = 0;
    for round in 0..KILLS {
        if round % KILLS_PER_START_KILL == 0 {
            let mut child = serve(folder.path(), &[])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(random.below(START_MS_MAX)));
            child.kill().unwrap();
            child.wait().unwrap();
            start_kills += 1;
        }
        let broker = Process::start(folder.path(), &[]);
        let more = load(broker, round, &mut random, &mut consumed);
        published.confirmed.extend(more.confirmed);
        published.unsure.extend(more.unsure);
    }

    let broker = Process::start(folder.path(), &[]);
    let left: Vec<Vec<String>> = TOPICS.iter().map(|topic| drain(&broker, topic)).collect();
    broker.stop();

    println!(
        "{KILLS} kills under load, {start_kills} during a start\n\
         published: {} confirmed, {} without an answer",
        published.confirmed.len(),
        published.unsure.len(),
    );
    let nobody = Consumed::default();
    let mut violations = Vec::new();
    for (at, topic) in TOPICS.into_iter().enumerate() {
        let consumed = consumed.get(at).unwrap_or(&nobody);
        let of_topic = |rows: &[(usize, String)]| -> HashSet<String> {
            rows.iter().filter(|(of, _)| *of == at).map(|(_, row)| row.clone()).collect()
        };
        let (confirmed, unsure) = (of_topic(&published.confirmed), of_topic(&published.unsure));
        let there: HashSet<String> = left[at].iter().cloned().collect();
        let missing: Vec<_> = confirmed
            .iter()
            .filter(|row| {
                !there.contains(*row)
                    && !consumed.gone.contains(*row)
                    && !consumed.unsure.contains(*row)
            })
            .collect();
        println!(
            "{topic}: {} confirmed, {} acknowledged, {} left, {} missing ({} takes without an answer), \
             {} survived without an answer",
            confirmed.len(),
            consumed.gone.len(),
            left[at].len(),
            missing.len(),
            consumed.lost_takes,
            there.intersection(&unsure).count(),
        );
        let lost = || missing.iter().map(|row| format!("{topic}: {row} is lost"));
        if missing.len() > consumed.lost_takes {
            violations.extend(lost());
        }
        if there.len() != left[at].len() {
            violations.push(format!(
                "{topic}: {} messages are there twice",
                left[at].len() - there.len()
            ));
        }
        let back = there.intersection(&consumed.gone);
        violations.extend(back.map(|row| format!("{topic}: {row} was acknowledged and is back")));
        let known = |row: &&String| confirmed.contains(*row) || unsure.contains(*row);
        let foreign = there.iter().chain(&consumed.gone).filter(|row| !known(row));
        violations.extend(foreign.map(|row| format!("{topic}: {row} was never published")));
        violations.extend(consumed.violations.iter().cloned());
        assert!(!confirmed.is_empty(), "{topic}: nothing was published");
    }
    assert!(violations.is_empty(), "seed {seed}: {} violations: {violations:#?}", violations.len());
    assert!(consumed.iter().all(|consumed| !consumed.gone.is_empty()), "nothing was consumed");
}
