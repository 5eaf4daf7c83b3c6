//! A connection to the broker: lines out, lines in. Every read may be dropped and taken up again.

use super::answer::ReplyLine;
use bytes::{Buf as _, BytesMut};
use socket2::SockRef;
use std::{io, mem::MaybeUninit, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// The longest line that is taken; above the longest message a broker can be set to.
const LINE_BYTES_MAX: usize = (1 << 30) + 4096;
/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// One TCP connection.
pub struct Connection {
    stream: TcpStream,
    input: BytesMut,
    /// Bytes of the input that hold no line end.
    scanned: usize,
    /// Bytes of the line handed out last, its end included; removed with the next call.
    taken: usize,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(address: &str) -> io::Result<Connection> {
        let connecting = TcpStream::connect(address);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nobody answers");
        let stream = timeout(CONNECT_WAIT, connecting).await.map_err(late)??;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, input: BytesMut::new(), scanned: 0, taken: 0 })
    }

    /// The broker has closed it, as far as this machine knows.
    pub fn is_closed(&self) -> bool {
        match SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Sends one line.
    pub async fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
        self.stream.write_all(&bytes).await
    }

    /// Looks for the end of the next line; the one before it goes.
    fn find_line(&mut self) -> bool {
        self.input.advance(std::mem::take(&mut self.taken));
        let rest = self.input.get(self.scanned..).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(at) => {
                self.taken = self.scanned + at + 1;
                self.scanned = 0;
                true
            }
            None => {
                self.scanned = self.input.len();
                false
            }
        }
    }

    /// The line that was found.
    fn found_line(&self) -> ReplyLine<'_> {
        let line = self.input.get(..self.taken.saturating_sub(1)).unwrap_or_default();
        match line.strip_suffix(b"\r") {
            Some(text) => ReplyLine { text, crlf: true },
            None => ReplyLine { text: line, crlf: false },
        }
    }

    /// A line is there without waiting.
    pub fn has_line(&self) -> bool {
        let rest = self.input.get(self.taken.max(self.scanned)..).unwrap_or_default();
        memchr::memchr(b'\n', rest).is_some()
    }

    /// The next line; `None` at the end of the stream.
    pub async fn line(&mut self) -> io::Result<Option<ReplyLine<'_>>> {
        while !self.find_line() {
            if self.input.len() > LINE_BYTES_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the broker sends a line without end",
                ));
            }
            self.input.reserve(READ_BYTES);
            match self.stream.read_buf(&mut self.input).await {
                Ok(0) => return Ok(None),
                Ok(_) => (),
                // It closed while it was being written to.
                Err(error) if has_hung_up(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(self.found_line()))
    }

    /// Sends bytes, and meanwhile takes the lines that come: a broker whose replies nobody reads
    /// stops reading. False: it no longer listens; what it said last can still be read.
    pub async fn send_and_take(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(ReplyLine<'_>),
    ) -> io::Result<bool> {
        let mut left = bytes;
        while !left.is_empty() {
            while self.find_line() {
                take(self.found_line());
            }
            self.input.reserve(READ_BYTES);
            let (mut reader, mut writer) = self.stream.split();
            tokio::select! {
                written = writer.write(left) => match written {
                    Ok(0) => return Ok(false),
                    Ok(count) => left = left.get(count..).unwrap_or_default(),
                    Err(error) if has_hung_up(&error) => return Ok(false),
                    Err(error) => return Err(error),
                },
                read = reader.read_buf(&mut self.input) => match read {
                    Ok(0) => return Ok(false),
                    Ok(_) => (),
                    Err(error) if has_hung_up(&error) => return Ok(false),
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// Says that nothing more will be sent.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// The other side is gone.
fn has_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
