//! A socket on which exact bytes are sent and expected, and HTTP requests over it.

use super::{Mismatch, PATIENCE};
use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A connection to a door.
pub struct Wire {
    stream: TcpStream,
    address: SocketAddr,
    /// Read, but not yet asked for.
    read: Vec<u8>,
}

async fn in_time<T>(
    what: &str,
    doing: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Mismatch> {
    match timeout(PATIENCE, doing).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Mismatch(format!("{what}: nothing within {PATIENCE:?}"))),
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Wire, Mismatch> {
        let stream = in_time("connect", TcpStream::connect(address)).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, address, read: Vec::new() })
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Mismatch> {
        in_time("send", self.stream.write_all(bytes.as_ref())).await
    }

    /// Reads more; false at the end of the stream.
    async fn more(&mut self, what: &str) -> Result<bool, Mismatch> {
        let count = in_time(what, self.stream.read_buf(&mut self.read)).await?;
        Ok(count > 0)
    }

    /// The next bytes are these.
    pub async fn expect(&mut self, expected: impl AsRef<[u8]>) -> Result<(), Mismatch> {
        let expected = expected.as_ref();
        while self.read.len() < expected.len() && expected.starts_with(&self.read) {
            match self.more("an answer").await {
                Ok(true) => (),
                Ok(false) => break,
                Err(error) => {
                    let (wanted, got) = (shown(expected), shown(&self.read));
                    return Err(Mismatch(format!("{error}; expected {wanted}, got {got}")));
                }
            }
        }
        if self.read.starts_with(expected) {
            self.read.drain(..expected.len());
            return Ok(());
        }
        let (wanted, got) = (shown(expected), shown(&self.read));
        Err(Mismatch(format!("expected {wanted}, got {got}")))
    }

    /// Sends, then expects.
    pub async fn exchange(
        &mut self,
        sent: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
    ) -> Result<(), Mismatch> {
        let sent = sent.as_ref();
        self.send(sent).await?;
        let expected = self.expect(expected).await;
        expected.map_err(|Mismatch(text)| Mismatch(format!("after {}: {text}", shown(sent))))
    }

    /// The next line, with its end; empty at the end of the stream.
    pub async fn line(&mut self) -> Result<Vec<u8>, Mismatch> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.read) {
                return Ok(self.read.drain(..=end).collect());
            }
            if !self.more("a line").await? {
                return Ok(std::mem::take(&mut self.read));
            }
        }
    }

    /// The next `count` bytes.
    pub async fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Mismatch> {
        while self.read.len() < count {
            if !self.more("bytes").await? {
                return Err(Mismatch(format!("closed after {}", shown(&self.read))));
            }
        }
        Ok(self.read.drain(..count).collect())
    }

    /// Nothing comes within this time.
    pub async fn expect_silence(&mut self, span: Duration) -> Result<(), Mismatch> {
        if self.read.is_empty() {
            match timeout(span, self.stream.read_buf(&mut self.read)).await {
                Err(_) => return Ok(()),
                Ok(Ok(0)) => return Err(Mismatch("closed, silence was expected".into())),
                Ok(read) => drop(read?),
            }
        }
        Err(Mismatch(format!("silence was expected, got {}", shown(&self.read))))
    }

    /// The other side closes and has nothing more to say.
    pub async fn expect_close(&mut self) -> Result<(), Mismatch> {
        // A reset is a close, too: a server may leave input unread.
        while matches!(self.more("a close").await, Ok(true)) {}
        match self.read.as_slice() {
            [] => Ok(()),
            rest => Err(Mismatch(format!("a close was expected, got {}", shown(rest)))),
        }
    }

    /// One HTTP request on this connection, and its answer.
    pub async fn http(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Mismatch> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.send(request).await?;
        self.answer(method == "HEAD").await
    }

    async fn answer(&mut self, no_body: bool) -> Result<Answer, Mismatch> {
        let status_line = String::from_utf8_lossy(&self.line().await?).into_owned();
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let Some(status) = status else {
            return Err(Mismatch(format!("not an HTTP answer: {status_line:?}")));
        };
        let mut headers = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.line().await?).into_owned();
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if no_body || status == 204 || status == 304 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = String::from_utf8_lossy(&self.line().await?).into_owned();
                let length = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| Mismatch(format!("not the length of a chunk: {line:?}")))?;
                let mut chunk = self.bytes(length + 2).await?;
                chunk.truncate(length);
                answer.body.append(&mut chunk);
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| Mismatch(format!("length {length:?}")))?;
            answer.body = self.bytes(length).await?;
        }
        Ok(answer)
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Lower-case names with their values.
    pub headers: Vec<(String, String)>,
    /// What it carries.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; names are lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The status and the exact body.
    pub fn expect(&self, status: u16, body: &str) -> Result<(), Mismatch> {
        if (self.status, self.body.as_slice()) == (status, body.as_bytes()) {
            return Ok(());
        }
        let got = shown(&self.body);
        Err(Mismatch(format!("expected {status} {body:?}, got {} {got}", self.status)))
    }

    /// The status; the body as JSON (null when there is none).
    pub fn json(&self, status: u16) -> Result<serde_json::Value, Mismatch> {
        let got = || format!("{} {}", self.status, shown(&self.body));
        if self.status != status {
            return Err(Mismatch(format!("expected status {status}, got {}", got())));
        }
        if self.body.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Mismatch(format!("{error}: {}", got())))
    }
}
