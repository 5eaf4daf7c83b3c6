//! The socket of a connection with what is still to be written to it.

use crate::dialect::socket::Attention;
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Bytes of replies that are gathered before they are written.
const OUT_BYTES: usize = 64 << 10;
/// Bytes read at a time from a client that sends much.
const READ_BYTES: usize = 64 << 10;
/// Bytes read at a time from one that does not.
const IDLE_BYTES: usize = 4 << 10;
/// How long a client is listened to that has been told the end.
const DRAIN: Duration = Duration::from_secs(1);

/// A socket and its buffers. An idle one holds none.
pub struct Socket {
    stream: TcpStream,
    attention: Attention,
    /// What was read and not understood yet.
    pub input: BytesMut,
    /// What is to be written.
    pub out: Vec<u8>,
    /// The last read filled the buffer.
    busy: bool,
    /// How long the client may leave what is written unread.
    stuck: Duration,
}

impl Socket {
    /// Around a connection.
    pub fn new(stream: TcpStream, stuck: Duration, poll: Duration) -> Self {
        Socket {
            stream,
            attention: Attention::new(poll),
            input: BytesMut::new(),
            out: Vec::new(),
            busy: false,
            stuck,
        }
    }

    /// Waits until there is something to read.
    pub async fn readable(&mut self) -> io::Result<()> {
        if self.input.is_empty() {
            // Nobody knows for how long: an idle connection holds no memory.
            self.input = BytesMut::new();
        }
        self.attention.readable(&self.stream).await
    }

    /// Reads what there is: how many bytes, 0 at the end of the stream.
    ///
    /// Errors: `WouldBlock` when there was nothing to read after all.
    pub fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(if self.busy { READ_BYTES } else { IDLE_BYTES });
        let room = self.input.capacity() - self.input.len();
        let count = self.stream.try_read_buf(&mut self.input)?;
        // A client that fills the buffer sends much: the next read takes more at once.
        self.busy = count >= room || (self.busy && count > IDLE_BYTES);
        Ok(count)
    }

    /// Writes what there is once it is much.
    pub async fn write_some(&mut self) -> io::Result<()> {
        if self.out.len() < OUT_BYTES { Ok(()) } else { self.write().await }
    }

    /// Writes what there is.
    ///
    /// Errors: `TimedOut` when the client does not read.
    pub async fn write(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            let written = timeout(self.stuck, self.stream.write_all(&self.out)).await;
            written.map_err(|_| io::ErrorKind::TimedOut)??;
        }
        if self.out.capacity() > IDLE_BYTES {
            self.out = Vec::new();
        }
        self.out.clear();
        Ok(())
    }

    /// Writes what is left and closes, without the kernel throwing it away because the client has
    /// sent more meanwhile.
    pub async fn close(mut self) -> io::Result<()> {
        self.write().await?;
        self.stream.shutdown().await?;
        let mut rest = vec![0; IDLE_BYTES];
        let drain =
            async { while matches!(self.stream.read(&mut rest).await, Ok(count) if count > 0) {} };
        // A client that goes on sending is not listened to for long.
        let _ = timeout(DRAIN, drain).await;
        Ok(())
    }
}
