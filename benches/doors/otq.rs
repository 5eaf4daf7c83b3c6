//! The otq door on topics in memory and on disk.

use super::setup::{Broker, folder};
use super::{RUN, percentile, reference, report};
use std::time::Instant;

const BODY: &[u8] = &[b'x'; 100];

/// A login of a user that was checked before.
pub fn login(broker: &Broker) {
    drop(broker.login());
    let mut times = Vec::new();
    for _ in 0..200 {
        let mut otq = super::setup::Otq::connect(&broker.otq);
        let start = Instant::now();
        otq.ask(b"OTQ CONNECT admin password\r\n");
        times.push(start.elapsed().as_nanos() as u64);
    }
    times.sort_unstable();
    let median = percentile(&times, 500) as f64 / 1e3;
    report(
        "login of a known user, p50",
        format!("{median:.0} us"),
        "1000 us".into(),
        median / 1e3,
        "<= 1 ms",
    );
}

/// Stretches in which things that are compared take turns, so that all see the same machine.
const TURNS: u32 = 8;

/// The times of an exchange, and of a round trip over loopback in the same stretches, ascending.
fn times_of(mut exchange: impl FnMut()) -> (Vec<u64>, Vec<u64>) {
    let mut loopback = reference::Loopback::start();
    let stretch = |times: &mut Vec<u64>, exchange: &mut dyn FnMut()| {
        let end = Instant::now() + RUN / TURNS;
        while Instant::now() < end {
            let start = Instant::now();
            exchange();
            times.push(start.elapsed().as_nanos() as u64);
        }
    };
    let (mut times, mut round_trips) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        stretch(&mut round_trips, &mut || loopback.round_trip());
        stretch(&mut times, &mut exchange);
    }
    times.sort_unstable();
    round_trips.sort_unstable();
    (times, round_trips)
}

/// PUT 1 and GET 1, one at a time, in memory.
pub fn one_at_a_time(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    let mut otq = broker.login();
    let put = [b"OTQ PUT mem 1 BATCH\r\n", BODY, b"\r\n"].concat();
    let puts = times_of(|| {
        otq.ask(&put);
    });
    let gets = times_of(|| {
        otq.ask(b"OTQ GET mem 1 BATCH\r\n");
    });
    let measured = [("PUT 1 in memory, p50", puts), ("GET 1 in memory, p50", gets)];
    for (what, (times, round_trips)) in measured {
        let (p50, p99) = (percentile(&times, 500), percentile(&times, 990));
        let round_trip = percentile(&round_trips, 500);
        report(
            what,
            format!("{:.1} us (p99 {:.0})", p50 as f64 / 1e3, p99 as f64 / 1e3),
            format!("loopback {:.1} us", round_trip as f64 / 1e3),
            p50 as f64 / round_trip as f64,
            "<= 1.3",
        );
    }
}

/// PUT 1 at `sync`, one at a time.
pub fn one_sync_publish(broker: &Broker) {
    let mut otq = broker.login();
    let sync = reference::write_and_sync(&folder("sync"));
    let put = [b"OTQ PUT default 1 BATCH\r\n", BODY, b"\r\n"].concat();
    let (times, round_trips) = times_of(|| {
        otq.ask(&put);
    });
    let (p50, p99) = (percentile(&times, 500), percentile(&times, 990));
    let reference = percentile(&round_trips, 500) + sync;
    report(
        "PUT 1 at sync, p50",
        format!("{:.0} us (p99 {:.0})", p50 as f64 / 1e3, p99 as f64 / 1e3),
        format!("loopback + fdatasync {:.0} us", reference as f64 / 1e3),
        p50 as f64 / reference as f64,
        "<= 2.5",
    );
}

const ROWS: usize = 200;

/// PUT with 200 rows, in memory; the topic is emptied between stretches.
pub fn put_rows(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    let mut otq = broker.login();
    let mut put = b"OTQ PUT mem 200 BATCH\r\n".to_vec();
    for _ in 0..ROWS {
        put.extend_from_slice(BODY);
        put.extend_from_slice(b"\r\n");
    }
    let (mut rows, mut spent) = (0, 0.0);
    while spent < RUN.as_secs_f64() {
        let start = Instant::now();
        for _ in 0..2000 {
            otq.ask(&put);
            rows += ROWS;
        }
        spent += start.elapsed().as_secs_f64();
        otq.ask(b"OTQ CLEAR mem\r\n");
    }
    let rate = rows as f64 / spent;
    report(
        "PUT with 200 rows in memory",
        format!("{rate:.0} msg/s"),
        "1200000 msg/s".into(),
        rate / 1.2e6,
        ">= 1.0",
    );
}

/// GET of 200, in memory.
pub fn get_rows(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    let mut otq = broker.login();
    let mut put = b"OTQ PUT mem 200 BATCH\r\n".to_vec();
    for _ in 0..ROWS {
        put.extend_from_slice(BODY);
        put.extend_from_slice(b"\r\n");
    }
    let (mut rows, mut spent) = (0, 0.0);
    while spent < RUN.as_secs_f64() {
        for _ in 0..2000 {
            otq.ask(&put);
        }
        let start = Instant::now();
        for _ in 0..2000 {
            let length = otq.ask(b"OTQ GET mem 200 BATCH\r\n");
            assert_eq!(length, 9 + ROWS * 102 + 11);
            rows += ROWS;
        }
        spent += start.elapsed().as_secs_f64();
    }
    let rate = rows as f64 / spent;
    report(
        "GET of 200 in memory",
        format!("{rate:.0} msg/s"),
        "2000000 msg/s".into(),
        rate / 2e6,
        ">= 1.0",
    );
}
