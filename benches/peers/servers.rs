//! The servers, each a process of its own that ends with its value.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A process with a folder of its own.
pub struct Server {
    child: Child,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    fn start(command: &mut Command, folder: PathBuf) -> Server {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Server { child, folder }
    }

    /// Resident bytes.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("a size") * 1024
    }

    /// Processor time so far, in seconds.
    pub fn cpu(&self) -> f64 {
        cpu_of(&self.child.id().to_string())
    }
}

/// Processor time of a process so far, in seconds.
pub fn cpu_of(process: &str) -> f64 {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(path).expect("it runs");
    let fields: Vec<&str> =
        stat.rsplit(") ").next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    // User and system time, in hundredths as Linux tells them.
    (ticks(11) + ticks(12)) / 100.0
}

/// A folder of this run, on the disk that is measured.
fn folder(name: &str) -> PathBuf {
    let base = std::env::var_os("OCTOQ_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = base.join(format!("octoq-peers-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("port")
        .port()
}

/// Waits until somebody listens.
fn wait_for(address: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "nobody listens on {address}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The release binary with a fresh store.
pub struct Octoq {
    pub server: Server,
    doors: HashMap<String, String>,
}

impl Octoq {
    /// With settings beside the free ports.
    pub fn start(settings: &[&str]) -> Octoq {
        let folder = folder("octoq");
        let mut command = Command::new(env!("CARGO_BIN_EXE_octoq"));
        command.arg("serve").env("RUST_LOG", "error").current_dir(&folder).stdout(Stdio::piped());
        for door in ["http", "otq", "okq", "dsmq", "fastqueue", "blockqueue"] {
            command.args(["--set", &format!("{door}.listen=127.0.0.1:0")]);
        }
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut server = Server::start(&mut command, folder);
        let out = server.child.stdout.take().expect("its output");
        let mut doors = HashMap::new();
        for line in BufReader::new(out).lines().map_while(Result::ok).skip(1).take(6) {
            let (door, address) = line.split_once(' ').expect("a door and its address");
            doors.insert(door.to_owned(), address.trim_start_matches("http://").to_owned());
        }
        Octoq { server, doors }
    }

    /// Where a door listens.
    pub fn door(&self, name: &str) -> &str {
        self.doors.get(name).unwrap_or_else(|| panic!("{name} is not open"))
    }
}

/// Debian's redis-server.
pub struct Redis {
    pub server: Server,
    pub address: String,
}

impl Redis {
    /// `fsync`: every command is on disk before its answer; otherwise nothing ever is.
    pub fn start(fsync: bool) -> Redis {
        let folder = folder("redis");
        let port = free_port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(&folder);
        let append = if fsync { "yes" } else { "no" };
        command.args(["--appendonly", append, "--appendfsync", "always"]);
        // It would rewrite its file several times while it is measured.
        command.args(["--auto-aof-rewrite-percentage", "0"]).stdout(Stdio::null());
        let server = Server::start(&mut command, folder);
        let address = format!("127.0.0.1:{port}");
        wait_for(&address);
        Redis { server, address }
    }
}

/// PostgreSQL as Debian sets it up, fsync on.
pub struct Postgres {
    server: Server,
}

impl Postgres {
    pub fn start() -> Postgres {
        let folder = folder("postgres");
        // PostgreSQL refuses to run as root.
        let uid = Command::new("id").arg("-u").output().expect("id").stdout;
        let as_root = uid == b"0\n";
        if as_root {
            let chown = Command::new("chown").arg("nobody").arg(&folder).status();
            assert!(chown.is_ok_and(|status| status.success()), "chown");
        }
        let data = folder.join("data");
        let mut initdb = postgres_program("initdb", as_root, &folder);
        initdb.args(["--auth=trust", "--username=bench", "--encoding=UTF8", "-D"]).arg(&data);
        let made = initdb.output().expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = postgres_program("postgres", as_root, &folder);
        command.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-c", "listen_addresses="]);
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        let postgres = Postgres { server: Server::start(&mut command, folder) };
        let end = Instant::now() + Duration::from_secs(20);
        while !postgres.try_run("SELECT 1").status.success() {
            assert!(Instant::now() < end, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        postgres
    }

    fn client(&self, name: &str) -> Command {
        let folder = &self.server.folder;
        let mut command = postgres_program(name, false, folder);
        command.arg("-h").arg(folder).args(["-U", "bench"]);
        command
    }

    fn try_run(&self, sql: &str) -> std::process::Output {
        let mut command = self.client("psql");
        command.args(["-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"]).output().expect("psql")
    }

    pub fn run(&self, sql: &str) {
        let ran = self.try_run(sql);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }

    /// How often per second pgbench gets through a script.
    pub fn bench(&self, script: &str, clients: usize, span: Duration) -> f64 {
        let path = self.server.folder.join("script");
        std::fs::write(&path, script).expect("a script");
        let mut command = self.client("pgbench");
        command.args(["-n", "-M", "prepared", "-j", "2", "-c", &clients.to_string(), "-T"]);
        command.arg(span.as_secs().to_string()).arg("-f").arg(&path).arg("postgres");
        let ran = command.output().expect("pgbench");
        let told = String::from_utf8_lossy(&ran.stdout);
        let rate = told.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("pgbench: {told}{}", String::from_utf8_lossy(&ran.stderr)))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT takes its own children along.
        let pid = self.server.child.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.server.child.wait();
    }
}

/// A program of PostgreSQL, run as somebody who may.
fn postgres_program(name: &str, as_root: bool, folder: &Path) -> Command {
    let mut places = Vec::new();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))));
    }
    places.sort();
    places.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.is_file());
    let program = found.unwrap_or_else(|| panic!("{name} is missing: apt-get install postgresql"));
    let mut command = if as_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

/// The server of the dsmq package, from where tests/run puts it.
pub struct Dsmq {
    pub server: Server,
    pub address: String,
}

impl Dsmq {
    pub fn start() -> Dsmq {
        let folder = folder("dsmq");
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dsmq-venv/bin/python");
        assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
        let port = free_port().to_string();
        let mut command = Command::new(python);
        command.args(["-m", "dsmq.server", "127.0.0.1", &port]).current_dir(&folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Server::start(&mut command, folder);
        let address = format!("127.0.0.1:{port}");
        wait_for(&address);
        Dsmq { server, address }
    }
}
