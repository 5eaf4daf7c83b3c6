//! A real broker in this process, every listener on port 0, and clients that show the wire.

#![allow(dead_code, reason = "each test file uses what it needs")]

use octoq::{config::Config, server::Server};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No answer takes longer in a healthy test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A broker with a store of its own, which goes when it is dropped.
pub struct TestBroker {
    pub server: Server,
    pub folder: tempfile::TempDir,
}

/// Settings that every test starts from.
pub fn settings(folder: &std::path::Path) -> Vec<String> {
    vec![
        format!("store.path={}", folder.join("store").display()),
        "http.listen=127.0.0.1:0".into(),
        "otq.listen=127.0.0.1:0".into(),
        "okq.listen=127.0.0.1:0".into(),
        "dsmq.listen=127.0.0.1:0".into(),
        "fastqueue.listen=127.0.0.1:0".into(),
        "blockqueue.listen=127.0.0.1:0".into(),
    ]
}

impl TestBroker {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more settings, `section.key=value`.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, more).await
    }

    /// On a store that is there already.
    pub async fn start_in(folder: tempfile::TempDir, more: &[&str]) -> Self {
        let _ = env_logger::builder().is_test(true).try_init();
        let mut set = settings(folder.path());
        set.extend(more.iter().map(|setting| (*setting).to_owned()));
        let config = Config::load(None, &set).unwrap();
        let server = Server::start(config).await.unwrap();
        TestBroker { server, folder }
    }

    /// Stops it in order and gives the store back.
    pub async fn stop(self) -> tempfile::TempDir {
        self.server.stop().await.unwrap();
        self.folder
    }

    pub fn door(&self, name: &str) -> SocketAddr {
        self.server.doors().iter().find(|(door, _)| *door == name).unwrap().1
    }

    pub async fn connect_otq(&self) -> Wire {
        Wire::connect(self.door("otq")).await
    }

    /// A connection of a logged-in administrator.
    pub async fn login_otq(&self) -> Wire {
        let mut wire = self.connect_otq().await;
        wire.exchange("OTQ CONNECT admin password\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
        wire
    }

    pub async fn http(&self, method: &str, path: &str, body: &str) -> Answer {
        http(self.door("http"), method, path, &[], body.as_bytes()).await
    }
}

/// A socket on which bytes are sent and exact bytes expected.
pub struct Wire {
    pub stream: TcpStream,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .expect("send in time")
            .unwrap();
    }

    /// Reads exactly as many bytes as are expected, and compares.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let expected = expected.as_ref();
            let mut got = Vec::new();
            while got.len() < expected.len() {
                let mut chunk = vec![0; expected.len() - got.len()];
                match timeout(PATIENCE, self.stream.read(&mut chunk)).await {
                    Ok(Ok(0)) | Err(_) => break,
                    Ok(Ok(count)) => got.extend_from_slice(&chunk[..count]),
                    Ok(Err(error)) => panic!("{caller}: {error}"),
                }
            }
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(expected),
                "the answer, expected at {caller}"
            );
        }
    }

    pub async fn exchange(&mut self, sent: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(sent).await;
        self.expect(expected).await;
    }

    /// The other side has nothing more to say and closes.
    pub async fn expect_close(&mut self) {
        let mut rest = Vec::new();
        let read =
            timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("a close in time");
        // A reset is a close, too: the broker may leave input unread.
        if read.is_ok() {
            assert_eq!(String::from_utf8_lossy(&rest), "", "nothing comes before the close");
        }
    }

    /// Reads one line, with its end.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let byte = timeout(PATIENCE, self.stream.read_u8()).await.expect("a line in time");
            match byte {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
            if line.ends_with(b"\n") {
                break;
            }
        }
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Checks the status and answers the JSON.
    #[track_caller]
    pub fn expect(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { serde_json::Value::Null } else { self.json() }
    }

    /// A problem with this status and code.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.json()["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text()
        );
        assert!(self.head.to_lowercase().contains("application/problem+json"), "{}", self.head);
    }
}

/// One request on a connection of its own.
pub async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut wire = Wire::connect(address).await;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    wire.send(head).await;
    wire.send(body).await;
    wire.answer().await
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if length == 0 {
            break;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    out
}

/// Waits until `condition` gives something.
pub async fn eventually<T, F: AsyncFnMut() -> Option<T>>(what: &str, mut condition: F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Wire {
    /// Reads the answer to a request that asked for the connection to be closed after it.
    pub async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        // A long poll may take its time.
        timeout(PATIENCE * 3, self.stream.read_to_end(&mut bytes))
            .await
            .expect("an answer in time")
            .unwrap();
        let split =
            bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
        let status =
            head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut body = bytes[split + 4..].to_vec();
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            body = unchunk(&body);
        }
        Answer { status, head, body }
    }
}
