//! A broker process, and the conversations every bench needs.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// The release binary with a fresh store.
pub struct Broker {
    child: Child,
    folder: PathBuf,
    pub otq: String,
    pub http: String,
}

/// Starts the broker on a store and waits for its doors: the process, otq, http.
fn serve(folder: &std::path::Path) -> (Child, String, String) {
    let binary = std::env::var_os("OCTOQ_BENCH_BINARY");
    let mut child = Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_octoq").into()))
        .args([
            "serve",
            "--set",
            "otq.listen=127.0.0.1:0",
            "--set",
            "okq.listen=127.0.0.1:0",
            "--set",
            "dsmq.listen=127.0.0.1:0",
            "--set",
            "fastqueue.listen=127.0.0.1:0",
            "--set",
            "blockqueue.listen=127.0.0.1:0",
            "--set",
            "http.listen=127.0.0.1:0",
            "--set",
        ])
        .arg(format!("store.path={}", folder.display()))
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the broker starts");
    let out = child.stdout.take().expect("its output");
    let (mut otq, mut http) = (String::new(), String::new());
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("otq ") {
            otq = address.to_owned();
        }
        if let Some(address) = line.strip_prefix("http http://") {
            http = address.to_owned();
        }
        if !otq.is_empty() && !http.is_empty() {
            break;
        }
    }
    (child, otq, http)
}

/// Where stores of benches live: on the disk that is measured.
pub fn folder(name: &str) -> PathBuf {
    let base = std::env::var_os("OCTOQ_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    base.join(format!("octoq-bench-{}-{name}", std::process::id()))
}

impl Broker {
    pub fn start() -> Broker {
        let folder = folder("doors");
        let _ = std::fs::remove_dir_all(&folder);
        let (child, otq, http) = serve(&folder);
        Broker { child, folder, otq, http }
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process, without a chance to say anything.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Starts it again on the same store.
    pub fn run(&mut self) {
        (self.child, self.otq, self.http) = serve(&self.folder);
    }

    /// Empties the page cache of the machine; false where that is not allowed.
    pub fn forget_pages(&self) -> bool {
        let synced = Command::new("sync").status().is_ok_and(|status| status.success());
        synced && std::fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
    }

    /// Reads every file of the store once; how many bytes.
    pub fn read_store(&self) -> u64 {
        let mut buffer = vec![0; 1 << 20];
        let mut bytes = 0;
        for entry in std::fs::read_dir(&self.folder).expect("the store") {
            let mut file = std::fs::File::open(entry.expect("a file").path()).expect("open");
            while let Ok(count) = file.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                bytes += count as u64;
            }
        }
        bytes
    }

    /// A logged-in otq connection.
    pub fn login(&self) -> Otq {
        let mut otq = Otq::connect(&self.otq);
        otq.ask(b"OTQ CONNECT admin password\r\n");
        otq
    }

    /// Makes a topic at a level.
    pub fn topic(&self, name: &str, kind: &str, level: &str) {
        let body = format!(
            r#"{{"name":"{name}","kind":"{kind}","policy":{{"durability":"{level}","history_messages":20000}}}}"#
        );
        let request = format!(
            "POST /v1/topics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.http).expect("http");
        stream.write_all(request.as_bytes()).expect("request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One otq connection.
pub struct Otq {
    pub stream: TcpStream,
    pub buffer: Vec<u8>,
    chunk: Vec<u8>,
}

impl Otq {
    /// What every answer ends with.
    pub const END: &[u8] = b"ENDOFRESP\r\n";

    pub fn connect(address: &str) -> Otq {
        let stream = TcpStream::connect(address).expect("otq");
        stream.set_nodelay(true).expect("nodelay");
        Otq::over(stream)
    }

    /// Over a connection that is there.
    pub fn over(stream: TcpStream) -> Otq {
        Otq { stream, buffer: Vec::new(), chunk: vec![0; 256 << 10] }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
    }

    /// Reads once more.
    pub fn fill(&mut self) -> usize {
        let count = self.stream.read(&mut self.chunk).expect("read");
        assert!(count > 0, "the broker closed");
        self.buffer.extend_from_slice(&self.chunk[..count]);
        count
    }

    /// Sends, and reads to the end of the answer; its length.
    pub fn ask(&mut self, bytes: &[u8]) -> usize {
        self.send(bytes);
        self.answers(1)
    }

    /// Reads `count` answers; their length.
    pub fn answers(&mut self, count: usize) -> usize {
        let (mut found, mut from) = (0, 0);
        loop {
            while let Some(at) = memchr::memmem::find(&self.buffer[from..], Self::END) {
                found += 1;
                from += at + Self::END.len();
            }
            if found >= count {
                let length = self.buffer.len();
                self.buffer.clear();
                return length;
            }
            // The end of an answer may be split.
            from = from.max(self.buffer.len().saturating_sub(Self::END.len() - 1));
            self.fill();
        }
    }
}
