//! The otq door on topics in memory and on disk.

use super::cores::Cores;
use super::reference::{Exchange, PROCEED, Synced};
use super::setup::{Broker, Otq, folder};
use super::turns::{Compared, LONG, SHORT, compare, rates};
use super::{Target, report};
use std::time::Instant;

const BODY: &[u8] = &[b'x'; 100];

/// A login of a user that was checked before, beside the hash it is spared.
pub fn login(broker: &Broker) {
    const LOGIN: &[u8] = b"OTQ CONNECT admin password\r\n";
    drop(broker.login());
    let mut bare = Exchange::start(LOGIN.len(), b"CONNECTED\r\nENDOFRESP\r\n".len());
    let time = |times: &mut Vec<u64>, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_nanos() as u64);
    };
    let (mut logins, mut hashes, mut round_trips) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..200 {
        let mut otq = Otq::connect(&broker.otq);
        time(&mut logins, &mut || {
            otq.ask(LOGIN);
        });
        time(&mut round_trips, &mut || {
            bare.ask(LOGIN);
        });
        time(&mut hashes, &mut || {
            octoq::auth::hash_password("password").expect("a hash");
        });
    }
    let [login, hash, round_trip] = [logins, hashes, round_trips].map(|mut times| {
        times.sort_unstable();
        super::percentile(&times, 500) as f64 / 1e3
    });
    report(
        "login of a known user, p50",
        format!("{login:.0} us"),
        format!("argon2 {hash:.0} us + loopback {round_trip:.0} us"),
        login / (hash + round_trip),
        Target::AtMost(1000.0, "us", login),
    );
}

/// One request as often as it can be asked, one at a time, beside what it cannot do without: once
/// on a core apart from the broker's, once as the scheduler likes it.
fn one_by_one(
    what: &str,
    broker: &Broker,
    request: &[u8],
    reply: usize,
    mut synced: Option<Synced>,
    ratio_max: f64,
) {
    for pinned in [true, false] {
        // Made anew for each: what was pinned once stays so.
        let mut bare = Exchange::start(request.len(), reply);
        let mut otq = broker.login();
        let pin = match (pinned, Cores::two()) {
            (true, None) => continue,
            (true, Some(cores)) => {
                cores.pin_server(bare.process());
                cores.pin_server(broker.process());
                Some((cores.pin_client(), cores))
            }
            (false, _) => None,
        };
        let mut exchange = || assert_eq!(otq.ask(request), reply);
        let mut round_trip = || assert_eq!(bare.ask(request), reply);
        let Compared { p50_us, p99_us, references_us, ratio } = match &mut synced {
            None => compare(SHORT, &mut exchange, &mut [&mut round_trip]),
            Some(synced) => {
                compare(LONG, &mut exchange, &mut [&mut round_trip, &mut || synced.append()])
            }
        };
        let reference = match references_us[..] {
            [round_trip] => format!("loopback {round_trip:.1} us"),
            _ => format!(
                "loopback {:.1} us + fdatasync {:.1} us",
                references_us[0], references_us[1]
            ),
        };
        report(
            &format!("{what}, p50, {}", if pinned { "a core each" } else { "unpinned" }),
            format!("{p50_us:.1} us (p99 {p99_us:.0})"),
            reference,
            ratio,
            Target::Ratio("<=", ratio_max),
        );
        if let Some((client, cores)) = pin {
            drop(client);
            cores.unpin_server(broker.process());
        }
    }
}

/// A PUT of so many rows.
pub fn put(topic: &str, rows: usize) -> Vec<u8> {
    let mut put = format!("OTQ PUT {topic} {rows} BATCH\r\n").into_bytes();
    for _ in 0..rows {
        put.extend_from_slice(BODY);
        put.extend_from_slice(b"\r\n");
    }
    put
}

/// The length of the answer to a GET.
pub fn got(rows: usize) -> usize {
    PROCEED.len() + rows * (BODY.len() + 2)
}

/// PUT 1 and GET 1, one at a time, in memory.
pub fn one_at_a_time(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    one_by_one("PUT 1 in memory", broker, &put("mem", 1), PROCEED.len(), None, 1.3);
    // More than will be asked for.
    let (mut otq, filling) = (broker.login(), put("mem", 1000));
    for _ in 0..1000 {
        otq.ask(&filling);
    }
    one_by_one("GET 1 in memory", broker, b"OTQ GET mem 1 BATCH\r\n", got(1), None, 1.3);
}

/// PUT 1 at `sync`, one at a time.
pub fn one_sync_publish(broker: &Broker) {
    let synced = Synced::create(&folder("sync"));
    one_by_one("PUT 1 at sync", broker, &put("default", 1), PROCEED.len(), Some(synced), 2.5);
}

const ROWS: usize = 200;
/// Exchanges of one turn.
const EXCHANGES: usize = 2000;

/// Rows and seconds of one turn.
fn turn(mut exchange: impl FnMut()) -> (u64, f64) {
    let start = Instant::now();
    for _ in 0..EXCHANGES {
        exchange();
    }
    ((EXCHANGES * ROWS) as u64, start.elapsed().as_secs_f64())
}

/// PUT with 200 rows, in memory; the topic is emptied between turns.
pub fn put_rows(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    let (mut otq, put) = (broker.login(), put("mem", ROWS));
    let mut bare = Exchange::start(put.len(), PROCEED.len());
    let broker_turn = || {
        let turn = turn(|| assert_eq!(otq.ask(&put), PROCEED.len()));
        otq.ask(b"OTQ CLEAR mem\r\n");
        turn
    };
    let (rate, ceiling) = rates(broker_turn, || turn(|| assert_eq!(bare.ask(&put), PROCEED.len())));
    report(
        "PUT with 200 rows in memory",
        format!("{rate:.0} msg/s"),
        format!("bare sink {ceiling:.0}"),
        rate / ceiling,
        Target::AtLeast(1.2e6, "msg/s", rate),
    );
}

/// GET of 200, in memory.
pub fn get_rows(broker: &Broker) {
    const GET: &[u8] = b"OTQ GET mem 200 BATCH\r\n";
    broker.topic("mem", "broker", "memory");
    let (mut otq, put) = (broker.login(), put("mem", ROWS));
    let mut bare = Exchange::start(GET.len(), got(ROWS));
    let broker_turn = || {
        for _ in 0..EXCHANGES {
            otq.ask(&put);
        }
        turn(|| assert_eq!(otq.ask(GET), got(ROWS)))
    };
    let (rate, ceiling) = rates(broker_turn, || turn(|| assert_eq!(bare.ask(GET), got(ROWS))));
    report(
        "GET of 200 in memory",
        format!("{rate:.0} msg/s"),
        format!("bare source {ceiling:.0}"),
        rate / ceiling,
        Target::AtLeast(2e6, "msg/s", rate),
    );
}
