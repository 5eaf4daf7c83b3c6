//! `octoq bench`: loads a broker through one of its doors, and tells rates and latencies.

use crate::bench::{self, BenchError, Door, Length, Report, SIZE_MIN, Settings, Work};
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

/// Arguments of `octoq bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq bench --self --durability memory --work publish --connections 32 --reference
  octoq bench --door http --work receive --batch 100 --connections 4 --count 1000000
  octoq bench --door ws --work pubsub --subscribers 100 --batch 100 --durability memory
  octoq bench --door otq --work roundtrip --rate 5000 --duration 30 --json")]
pub struct BenchArgs {
    /// Whose protocol is spoken
    #[arg(long, default_value = "http")]
    door: Door,
    /// What is measured
    #[arg(long, default_value = "publish")]
    work: Work,
    /// Where that door listens; the door's usual port of this machine when left out
    #[arg(long, value_name = "HOST:PORT", value_parser = address, conflicts_with = "itself")]
    addr: Option<SocketAddr>,
    /// Starts a broker for the run, on free ports and with a store of its own that goes afterwards
    #[arg(long = "self", id = "itself")]
    itself: bool,
    /// A setting of the broker that --self starts; may be repeated
    #[arg(long = "broker-set", value_name = "SECTION.KEY=VALUE", requires = "itself")]
    broker_set: Vec<String>,
    /// Connections that publish or receive
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Connections that listen, with --work pubsub
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
    /// Threads of this client; the connections are shared among them
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Messages per request
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Requests under way on each connection
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    duration: f64,
    /// Seconds before that
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,
    /// So many messages instead of a time, all of them measured
    #[arg(long, value_name = "MESSAGES")]
    count: Option<u64>,
    /// Messages that are there before --work receive begins, when it runs for a time
    #[arg(long, value_name = "MESSAGES", default_value_t = 1_000_000)]
    fill: u64,
    /// Messages per second that are due, at even distances; latency counts from when a message was due,
    /// whether or not a connection was free
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Messages that some listener does not have yet, at most, with --work pubsub
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000)]
    window: u64,
    /// Level of the topic: memory, async or sync; at doors that cannot say one (all but http, ws and
    /// sse), of the broker that --self starts
    #[arg(long, value_name = "LEVEL")]
    durability: Option<String>,
    /// The topic, made for the run and taken away afterwards
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// User; otq takes the stock user without one
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// Password
    #[arg(long, env = "OCTOQ_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Also measures what the machine itself can do with the same client and bytes: an empty actix-web
    /// handler where the door speaks HTTP, else a bare echo
    #[arg(long)]
    reference: bool,
    /// Threads of that handler; as many as the broker has by itself
    #[arg(long, value_name = "THREADS", default_value_t = workers())]
    reference_workers: usize,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "no such address".to_owned())
}

/// Longest time that can be asked for: a day.
const SECONDS_MAX: f64 = 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("between 0 and {SECONDS_MAX} seconds")),
    }
}

/// Threads of a broker that is told nothing.
fn workers() -> usize {
    crate::config::Config::default().workers()
}

impl BenchArgs {
    fn settings(&self, address: SocketAddr) -> Settings {
        let length = match self.count {
            Some(count) => Length::Count(count),
            None => Length::Time {
                run: Duration::from_secs_f64(self.duration),
                warm_up: Duration::from_secs_f64(self.warm_up),
            },
        };
        let unique = || format!("bench-{}", uuid::Uuid::new_v4().simple());
        Settings {
            door: self.door,
            address,
            work: self.work,
            topic: self.topic.clone().unwrap_or_else(unique),
            durability: self.durability.clone(),
            login: self.user.clone().zip(self.password.clone()),
            connections: self.connections,
            subscribers: self.subscribers,
            threads: self.threads,
            batch: self.batch,
            depth: self.depth,
            size: self.size.max(SIZE_MIN),
            window: self.window,
            length,
            fill: self.fill,
            rate: self.rate,
            reference: self.reference.then_some(self.reference_workers),
        }
    }

    fn usual_address(&self) -> SocketAddr {
        let port = match self.door {
            Door::Otq => 6789,
            Door::Http | Door::Ws | Door::Sse => 6790,
            Door::Okq => 4777,
            Door::Dsmq => 30_008,
            Door::Fastqueue => 8000,
            Door::Blockqueue => 8080,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn measure(&self) -> Result<Report, BenchError> {
        if !self.itself {
            let address = self.addr.unwrap_or_else(|| self.usual_address());
            return bench::run(&self.settings(address));
        }
        let broker = OwnBroker::start(self)?;
        bench::run(&self.settings(broker.address))
    }
}

/// A broker that was started for the run; ends with it.
struct OwnBroker {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl OwnBroker {
    fn start(arguments: &BenchArgs) -> Result<OwnBroker, BenchError> {
        let folder = std::env::temp_dir().join(format!("octoq-bench-{}", std::process::id()));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").stdout(Stdio::piped()).stdin(Stdio::null());
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        let mut set = vec![format!("store.path={}", folder.display())];
        for door in ["http", "otq", "okq", "dsmq", "fastqueue", "blockqueue"] {
            set.push(format!("{door}.listen=127.0.0.1:0"));
        }
        if let Some(level) = &arguments.durability {
            set.push(format!("store.durability={level}"));
            set.push(format!("store.pubsub_durability={level}"));
        }
        for setting in set.iter().chain(&arguments.broker_set) {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn()?;
        let out = child.stdout.take();
        let mut broker = OwnBroker { child, folder, address: arguments.usual_address() };
        let wanted = arguments.door.listener();
        let lines = out.map(|out| BufReader::new(out).lines()).into_iter().flatten();
        for line in lines.map_while(Result::ok) {
            if let Some((door, address)) = line.split_once(' ')
                && door == wanted
            {
                let address = address.trim_start_matches("http://");
                broker.address = address.parse().map_err(std::io::Error::other)?;
                return Ok(broker);
            }
        }
        Err(BenchError::Io(std::io::Error::other("the broker did not start")))
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // It has nothing that anybody will miss.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Exit codes: 0 measured, 1 it went wrong, 2 settings that make no sense, 3 messages that did not
/// arrive, 4 not allowed, 5 nobody listens.
pub fn run(arguments: BenchArgs) -> ExitCode {
    super::serve::raise_file_limit();
    let report = match arguments.measure() {
        Ok(report) => report,
        Err(error) => {
            eprintln!("octoq: bench: {error}");
            return ExitCode::from(code(&error));
        }
    };
    let text = match arguments.json {
        true => serde_json::to_string(&report).unwrap_or_default(),
        false => report.to_string(),
    };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn code(error: &BenchError) -> u8 {
    match error {
        BenchError::Usage(_) => 2,
        BenchError::Missing { .. } => 3,
        BenchError::Refused(text) if text.starts_with("401") || text.starts_with("403") => 4,
        BenchError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => 5,
        BenchError::Io(_) | BenchError::Closed | BenchError::Refused(_) => 1,
    }
}
