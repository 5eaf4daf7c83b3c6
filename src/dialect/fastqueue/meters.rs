//! What the requests came to, in the families that fastqueue's dashboards ask for.

use super::answer::Answer;
use super::route::{ALL, Route};
use crate::broker::BrokerState;
use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "none"];
/// Seconds, for each route.
const COARSE: [f64; 3] = [0.1, 0.5, 1.0];
/// Seconds, for all requests.
const FINE: [f64; 21] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
];

/// Which bytes are meant.
type Bytes = fn(&OfRoute) -> &AtomicU64;

#[derive(Debug)]
struct OfRoute {
    /// By method and hundreds of the status.
    requests: [[AtomicU64; 5]; METHODS.len()],
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    micros: AtomicU64,
    /// Not added up; the last is what is longer than all bounds.
    coarse: [AtomicU64; COARSE.len() + 1],
}

/// Counters of all workers.
#[derive(Debug)]
pub struct Meters {
    routes: [OfRoute; ALL.len()],
    fine: [AtomicU64; FINE.len() + 1],
    micros: AtomicU64,
    started_s: f64,
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl Default for Meters {
    fn default() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Meters {
            routes: std::array::from_fn(|_| OfRoute {
                requests: std::array::from_fn(|_| zeros()),
                request_bytes: AtomicU64::new(0),
                response_bytes: AtomicU64::new(0),
                micros: AtomicU64::new(0),
                coarse: zeros(),
            }),
            fine: zeros(),
            micros: AtomicU64::new(0),
            started_s: since_epoch.as_secs_f64(),
        }
    }
}

fn add(counter: Option<&AtomicU64>, value: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(value, Relaxed);
    }
}

fn bucket(bounds: &[f64], seconds: f64) -> usize {
    bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len())
}

impl Meters {
    /// Counts one request; `bytes` of its body and of its answer's.
    pub fn count(
        &self,
        route: Route,
        method: &str,
        status: u16,
        bytes: (u64, u64),
        took: Duration,
    ) {
        let Some(of) = self.routes.get(route as usize) else { return };
        let known = METHODS.iter().position(|known| *known == method);
        let method = known.unwrap_or(METHODS.len() - 1);
        let hundreds = usize::from(status / 100).saturating_sub(1);
        add(of.requests.get(method).and_then(|of| of.get(hundreds)), 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(Some(&of.request_bytes), bytes.0);
        add(Some(&of.response_bytes), bytes.1);
        add(Some(&of.micros), micros);
        add(Some(&self.micros), micros);
        add(of.coarse.get(bucket(&COARSE, took.as_secs_f64())), 1);
        add(self.fine.get(bucket(&FINE, took.as_secs_f64())), 1);
    }

    /// The answer to `GET /metrics`.
    pub fn answer(&self, state: &BrokerState) -> Answer {
        let text = self.render(state);
        Answer::of(200, Some("text/plain; version=0.0.4; charset=utf-8"), text.into())
    }

    fn render(&self, state: &BrokerState) -> String {
        let mut out = String::with_capacity(8192);
        let used = || {
            ALL.into_iter().zip(&self.routes).filter_map(|(route, of)| {
                let count: u64 = of.coarse.iter().map(|counter| counter.load(Relaxed)).sum();
                (count > 0).then_some((route.template(), of, count))
            })
        };
        head(
            &mut out,
            "http_requests_total",
            "counter",
            "Total number of requests by method, status and handler.",
        );
        for (handler, of, _) in used() {
            for (method, by_status) in METHODS.iter().zip(&of.requests) {
                for (hundreds, counter) in by_status.iter().enumerate() {
                    let count = counter.load(Relaxed);
                    if count > 0 {
                        let status = hundreds + 1;
                        let labels = format!(
                            "handler=\"{handler}\",method=\"{method}\",status=\"{status}xx\""
                        );
                        line(&mut out, "http_requests_total", &labels, count as f64);
                    }
                }
            }
        }
        let sizes: [(&str, &str, Bytes); 2] = [
            ("http_request_size_bytes", "Content length of incoming requests by handler.", |of| {
                &of.request_bytes
            }),
            (
                "http_response_size_bytes",
                "Content length of outgoing responses by handler.",
                |of| &of.response_bytes,
            ),
        ];
        for (name, help, bytes) in sizes {
            head(&mut out, name, "summary", help);
            for (handler, of, count) in used() {
                let labels = format!("handler=\"{handler}\"");
                line(&mut out, &format!("{name}_count"), &labels, count as f64);
                line(&mut out, &format!("{name}_sum"), &labels, bytes(of).load(Relaxed) as f64);
            }
        }
        let name = "http_request_duration_highr_seconds";
        head(&mut out, name, "histogram", "Latency with many buckets but no API specific labels.");
        histogram(&mut out, name, "", &FINE, &self.fine, self.micros.load(Relaxed));
        let name = "http_request_duration_seconds";
        head(&mut out, name, "histogram", "Latency with only few buckets by handler.");
        for (handler, of, _) in used() {
            let labels = format!("handler=\"{handler}\"");
            histogram(&mut out, name, &labels, &COARSE, &of.coarse, of.micros.load(Relaxed));
        }
        process(&mut out, self.started_s);
        let own = [
            ("octoq_memory_bytes", "Bytes of message bodies held in memory.", state.memory_bytes),
            ("octoq_store_disk_bytes", "Size of the store's files.", state.store.disk_bytes),
            ("octoq_store_waiting", "Batches waiting for the store.", state.store.waiting),
            (
                "octoq_store_full",
                "1 while the disk is full and publishes are refused.",
                state.disk_full.into(),
            ),
        ];
        for (name, help, value) in own {
            head(&mut out, name, "gauge", help);
            line(&mut out, name, "", value as f64);
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value:?}"),
        labels => writeln!(out, "{name}{{{labels}}} {value:?}"),
    };
}

fn histogram(
    out: &mut String,
    name: &str,
    labels: &str,
    bounds: &[f64],
    counts: &[AtomicU64],
    micros: u64,
) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut sum = 0;
    let ends = bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
    for (end, count) in ends.zip(counts) {
        sum += count.load(Relaxed);
        let labels = format!("{labels}{comma}le=\"{end}\"");
        line(out, &format!("{name}_bucket"), &labels, sum as f64);
    }
    line(out, &format!("{name}_count"), labels, sum as f64);
    line(out, &format!("{name}_sum"), labels, micros as f64 / 1e6);
}

/// The usual figures of a process, as the system tells them; nothing where it does not.
fn process(out: &mut String, started_s: f64) {
    let mut gauge = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            head(out, name, kind, help);
            line(out, name, "", value);
        }
    };
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |field: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(field))?;
        let kib: f64 =
            line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024.0)
    };
    gauge("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", kib("VmSize"));
    gauge("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", kib("VmRSS"));
    gauge(
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
        Some(started_s),
    );
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold blanks: user and system time, in hundredths of a second.
    let times = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let times: Vec<f64> = times.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    let cpu = (times.len() == 2).then(|| times.iter().sum::<f64>() / 100.0);
    gauge(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        cpu,
    );
    let open = std::fs::read_dir("/proc/self/fd").map(|found| found.count() as f64).ok();
    gauge("process_open_fds", "gauge", "Number of open file descriptors.", open);
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most = most.and_then(|line| line.split_whitespace().next()?.parse().ok());
    gauge("process_max_fds", "gauge", "Maximum number of open file descriptors.", most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::DefaultLevels;
    use crate::queue::Level;

    #[test]
    fn requests_are_counted_by_route_and_status_and_length() {
        let meters = Meters::default();
        meters.count(Route::Topic, "GET", 200, (0, 60), Duration::from_millis(20));
        meters.count(Route::Topic, "GET", 404, (0, 40), Duration::from_millis(600));
        meters.count(Route::Unknown, "BREW", 404, (5, 22), Duration::from_secs(90));
        let state = BrokerState {
            stopping: false,
            disk_full: false,
            memory_bytes: 7,
            memory_limit_bytes: 0,
            store: Default::default(),
            connections: Vec::new(),
            unreported: Vec::new(),
            uptime_ms: 0,
            levels: DefaultLevels { broker: Level::Sync, pubsub: Level::Async },
        };
        let text = meters.render(&state);
        for line in [
            "http_requests_total{handler=\"/topics/{topic_id}\",method=\"GET\",status=\"2xx\"} 1.0",
            "http_requests_total{handler=\"/topics/{topic_id}\",method=\"GET\",status=\"4xx\"} 1.0",
            "http_requests_total{handler=\"none\",method=\"none\",status=\"4xx\"} 1.0",
            "http_request_size_bytes_sum{handler=\"none\"} 5.0",
            "http_response_size_bytes_count{handler=\"/topics/{topic_id}\"} 2.0",
            "http_response_size_bytes_sum{handler=\"/topics/{topic_id}\"} 100.0",
            "http_request_duration_seconds_bucket{handler=\"/topics/{topic_id}\",le=\"0.1\"} 1.0",
            "http_request_duration_seconds_bucket{handler=\"/topics/{topic_id}\",le=\"1.0\"} 2.0",
            "http_request_duration_highr_seconds_bucket{le=\"0.025\"} 1.0",
            "http_request_duration_highr_seconds_bucket{le=\"60.0\"} 2.0",
            "http_request_duration_highr_seconds_bucket{le=\"+Inf\"} 3.0",
            "http_request_duration_highr_seconds_count 3.0",
            "octoq_memory_bytes 7.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.contains("process_start_time_seconds "));
    }
}
