//! What every TCP door does with its sockets: options, and waiting for input.

use bytes::BytesMut;
use futures_util::FutureExt;
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a client is listened to that has been told the end.
const DRAIN: Duration = Duration::from_secs(1);

/// Sockets answer at once, and a peer that acknowledges nothing is dropped by the kernel: an actor
/// whose socket is stuck cannot do it itself.
pub fn tune(stream: &impl std::os::fd::AsFd, user_timeout: Duration) {
    let socket = socket2::SockRef::from(stream);
    let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keep_alive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(user_timeout)));
    if let Err(error) = tuned {
        log::debug!("socket options: {error}");
    }
}

/// Writes what there is, and keeps its buffer if it is not larger than `keep_bytes`.
///
/// Errors: `TimedOut` when the client leaves it unread for `stuck`.
pub async fn write_out(
    stream: &mut (impl AsyncWrite + Unpin),
    out: &mut Vec<u8>,
    stuck: Duration,
    keep_bytes: usize,
) -> io::Result<()> {
    if !out.is_empty() {
        timeout(stuck, stream.write_all(out)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    if out.capacity() > keep_bytes {
        *out = Vec::new();
    }
    out.clear();
    Ok(())
}

/// Bytes read at a time from a client that sends much.
const READ_BYTES: usize = 64 << 10;
/// A client that sent much has to send little this often before it counts as one that does not: what it sends
/// at once may have come in pieces.
const LITTLE_MAX: u8 = 16;

/// How much is read at a time from a client.
#[derive(Debug)]
pub struct Appetite {
    /// Bytes read at a time from a client that does not send much.
    idle_bytes: usize,
    /// So many times it may send little and still counts as one that sends much.
    much: u8,
}

impl Appetite {
    /// Of a client that has sent nothing yet.
    pub fn new(idle_bytes: usize) -> Self {
        Appetite { idle_bytes, much: 0 }
    }

    /// Reads what is there: at least a byte, or none at the end of the stream.
    ///
    /// Errors: `WouldBlock` when there is nothing. A read that leaves room in `into` has emptied the socket,
    /// and the runtime remembers that: nobody asks the kernel once more to hear that there is nothing.
    pub fn read(&mut self, stream: &mut TcpStream, into: &mut BytesMut) -> io::Result<usize> {
        into.reserve(if self.much > 0 { READ_BYTES } else { self.idle_bytes });
        let room = into.capacity() - into.len();
        // Constrained it would say that there is nothing once the task has done much, and whoever then
        // asks whether there is something would hear that there is, and so on.
        let read = tokio::task::unconstrained(stream.read_buf(into)).now_or_never();
        let count = read.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        let filled = count >= room.min(READ_BYTES);
        let large = self.much > 0 && count > self.idle_bytes;
        self.much = if filled || large { LITTLE_MAX } else { self.much.saturating_sub(1) };
        Ok(count)
    }
}

/// Closes without the kernel throwing away what was written, as it does when the client has sent more
/// meanwhile.
pub async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    // Not part of what an idle connection holds.
    let mut rest = vec![0; 4 << 10];
    let drain = async { while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {} };
    // A client that goes on sending is not listened to for long.
    let _ = timeout(DRAIN, drain).await;
    Ok(())
}

/// Waits for a client's input. A client that answers at once is polled for a moment before the
/// thread sleeps: being woken costs more than all that is done for a small request.
#[derive(Debug)]
pub struct Attention {
    /// How long to poll; zero never polls.
    span: Duration,
    /// The last input came within that span.
    prompt: bool,
}

impl Attention {
    /// With `server.poll_us`.
    pub fn new(span: Duration) -> Self {
        Attention { span, prompt: false }
    }

    /// Waits until there is something to read. May be dropped at any await.
    pub async fn readable(&mut self, stream: &TcpStream) -> io::Result<()> {
        self.first(async || stream.readable().await).await
    }

    /// Reads what there is, at least a byte; zero at the end of the stream. May be dropped at any await.
    pub async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        into: &mut BytesMut,
    ) -> io::Result<usize> {
        self.first(async || stream.read_buf(into).await).await
    }

    /// What `attempt` gives once it is ready.
    async fn first<T>(&mut self, mut attempt: impl AsyncFnMut() -> T) -> T {
        let began = Instant::now();
        let prompt = std::mem::take(&mut self.prompt);
        loop {
            if let Some(done) = attempt().now_or_never() {
                self.prompt = began.elapsed() < self.span;
                return done;
            }
            if !prompt || began.elapsed() >= self.span {
                break;
            }
            // Lets everything else run, and looks at the sockets without sleeping.
            tokio::task::yield_now().await;
        }
        let done = attempt().await;
        self.prompt = began.elapsed() < self.span;
        done
    }
}
