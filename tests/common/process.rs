//! The binary as a process of its own, and blocking clients for it.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// Nothing takes longer in a healthy test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The binary that is tested: the one built with the test, or what `OCTOQ_TEST_BINARY` names, an
/// absolute path.
pub fn binary() -> OsString {
    std::env::var_os("OCTOQ_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_octoq").into())
}

/// The binary, ready for arguments, in a folder where nothing else is configured.
pub fn octoq(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).env("RUST_LOG", "info").stdin(Stdio::null());
    command
}

/// `octoq serve` on the store of this folder, every door on a free port of this machine.
pub fn serve(folder: &Path, more: &[&str]) -> Command {
    let mut command = octoq(folder);
    command.args(["serve", "--set", "store.path=store", "--set", "http.listen=127.0.0.1:0"]);
    for door in ["otq", "okq", "dsmq", "fastqueue", "blockqueue"] {
        command.args(["--set", &format!("{door}.listen=127.0.0.1:0")]);
    }
    for setting in more {
        command.args(["--set", setting]);
    }
    command
}

/// What a command that ended left behind.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end, with something on its standard input.
pub fn run(command: &mut Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let status = wait(&mut child);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    Ended { status, out, err }
}

/// Waits for the end of a child, which must come.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A broker in a process of its own. Dropping it kills it.
pub struct Process {
    pub child: Child,
    pub http: SocketAddr,
    pub otq: SocketAddr,
}

impl Process {
    /// Starts it and waits until its doors are open. What it logs goes to `log` in the folder.
    pub fn start(folder: &Path, more: &[&str]) -> Process {
        let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let mut command = serve(folder, more);
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        if line() != "octoq ready" {
            let status = wait(&mut child);
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            panic!("the broker does not start: {status}\n{log}");
        }
        let http = line().strip_prefix("http http://").expect("the HTTP door").parse().unwrap();
        let otq = line().strip_prefix("otq ").expect("the otq door").parse().unwrap();
        Process { child, http, otq }
    }

    /// SIGKILL: nothing is flushed, nothing said.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: there is one on every system.
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = wait(&mut self.child);
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// One line; the end of the stream is an error, silence a failed test.
fn read_line(from: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    match from.read_until(b'\n', &mut line) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            panic!("no answer for {PATIENCE:?}")
        }
        Err(error) => return Err(error),
        Ok(_) if !line.ends_with(b"\n") => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(_) => (),
    }
    String::from_utf8(line).map(|line| line.trim_end().to_owned()).map_err(io::Error::other)
}

/// An HTTP connection that is kept.
pub struct Http {
    wire: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Http {
    pub fn connect(address: SocketAddr) -> io::Result<Http> {
        Ok(Http { wire: connect(address)?, host: address })
    }

    /// Status and JSON of the answer.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
    ) -> io::Result<(u16, serde_json::Value)> {
        let (host, length) = (self.host, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.wire.get_mut().write_all(request.as_bytes())?;
        let status = read_line(&mut self.wire)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let mut length = 0;
        loop {
            let line = read_line(&mut self.wire)?.to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.wire.read_exact(&mut body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// An otq connection.
pub struct Otq(BufReader<TcpStream>);

impl Otq {
    pub fn connect(address: SocketAddr) -> io::Result<Otq> {
        connect(address).map(Otq)
    }

    /// Connects and logs in.
    pub fn login(address: SocketAddr) -> io::Result<Otq> {
        let mut otq = Otq::connect(address)?;
        otq.send("OTQ CONNECT admin password\r\n")?;
        assert_eq!(otq.line()?, "CONNECTED");
        assert_eq!(otq.line()?, "ENDOFRESP");
        Ok(otq)
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// One line without its end.
    pub fn line(&mut self) -> io::Result<String> {
        read_line(&mut self.0)
    }

    /// What a GET answers.
    pub fn get(&mut self, topic: &str, count: usize) -> io::Result<Vec<String>> {
        self.send(&format!("OTQ GET {topic} {count} BATCH\r\n"))?;
        assert_eq!(self.line()?, "PROCEED");
        let mut rows = Vec::new();
        loop {
            match self.line()? {
                end if end == "ENDOFRESP" => return Ok(rows),
                row => rows.push(row),
            }
        }
    }
}
