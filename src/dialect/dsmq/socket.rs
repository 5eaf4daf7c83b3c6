//! The socket of a connection with what is still to be written to it.

use crate::dialect::socket::{self, Appetite, Attention};
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::net::TcpStream;

/// Bytes of replies that are gathered before they are written.
pub const OUT_BYTES: usize = 64 << 10;
/// Bytes read at a time from one that does not.
const IDLE_BYTES: usize = 4 << 10;

/// A socket and its buffers. An idle one holds none.
pub struct Socket {
    stream: TcpStream,
    attention: Attention,
    /// What was read and not understood yet.
    pub input: BytesMut,
    /// What is to be written.
    pub out: Vec<u8>,
    appetite: Appetite,
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
            appetite: Appetite::new(IDLE_BYTES),
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
        self.appetite.read(&mut self.stream, &mut self.input)
    }

    /// Writes what there is once it is much.
    pub async fn write_some(&mut self) -> io::Result<()> {
        if self.out.len() < OUT_BYTES { Ok(()) } else { self.write().await }
    }

    /// Writes what there is.
    ///
    /// Errors: `TimedOut` when the client does not read.
    pub async fn write(&mut self) -> io::Result<()> {
        socket::write_out(&mut self.stream, &mut self.out, self.stuck, IDLE_BYTES).await
    }

    /// Writes what is left and closes.
    pub async fn close(&mut self) -> io::Result<()> {
        self.write().await?;
        socket::close(&mut self.stream).await
    }
}
