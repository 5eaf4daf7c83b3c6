//! SUBSCRIBE, and the pushes that follow it.

use super::*;
use crate::broker::{Look, SlowPolicy};
use crate::dialect::otq::push;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Keep-alives that a client which did answer before may leave unanswered.
const MISSED_MAX: u32 = 3;

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) async fn subscribe(&mut self, caller: &Caller, topics: Bytes) -> io::Result<Next> {
        self.finish_round().await?;
        // ENDOFRESP is not sent: the library would hand it to the user as a message.
        let not_subscribable = |talk: &mut Self| {
            talk.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                codec::decline(out, "Topic is not subscribable");
            });
            Ok(Next::Close)
        };
        let refuse = |talk: &mut Self, error: &BrokerError| match error {
            BrokerError::NotAllowed(_) => Ok(talk.refuse(error)),
            error => {
                talk.say(|out| codec::decline(out, &reason(error)));
                Ok(Next::Close)
            }
        };
        if &topics[..] == b"*" {
            return if caller.is_admin() {
                not_subscribable(self)
            } else {
                Ok(self.decline("Unauthorized access"))
            };
        }
        let targets = match self.targets(caller, topics).await {
            Ok(targets) => targets,
            Err(error) => return refuse(self, &error),
        };
        let denied =
            targets.iter().find_map(|target| target.handle.need(crate::auth::Rights::READ).err());
        if let Some(error) = denied {
            return Ok(self.refuse(&error));
        }
        if targets.iter().any(|target| target.handle.kind() != Kind::Pubsub) {
            return not_subscribable(self);
        }
        let mut subscriptions = Vec::with_capacity(targets.len());
        for target in targets {
            let look = Look::from(push::FORMAT).counted(&self.presence.traffic);
            match target.handle.subscribe(None, look, SlowPolicy::Disconnect).await {
                Ok(subscription) => subscriptions.push(subscription),
                Err(error) => return refuse(self, &error),
            }
        }
        self.say(|out| out.extend_from_slice(codec::PROCEED));
        Ok(Next::Push(subscriptions))
    }

    /// The push phase. True: back to commands; false: the session has ended.
    pub(super) async fn push(&mut self, mut subscriptions: Vec<Subscription>) -> io::Result<bool> {
        let keep_alive = Duration::from_secs(self.config.keep_alive_s);
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + keep_alive, keep_alive);
        let (mut answers, mut missed) = (false, 0);
        let mut chunks: Vec<Bytes> = Vec::new();
        loop {
            // First what came along with SUBSCRIBE, then what was read below.
            while let Some(line) = self.lines.next(&mut self.input, self.config.command_bytes_max) {
                (answers, missed) = (true, 0);
                let Line::Whole(line) = line else { continue };
                match codec::parse(&line, self.config.rows_max) {
                    Ok(Command::Unsubscribe(_)) => {
                        // The one line that the library's subscriber loop skips.
                        self.say(|out| out.extend_from_slice(codec::PROCEED));
                        self.unsubscribed = true;
                        return Ok(true);
                    }
                    Ok(Command::Disconnect) => {
                        drop(subscriptions);
                        self.park().await?;
                        return Ok(false);
                    }
                    // Everything else answers a blank line.
                    _ => (),
                }
            }
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            tokio::select! {
                biased;
                more = std::future::poll_fn(|task| push::poll_chunks(&mut subscriptions, &mut chunks, task)) => {
                    if more.is_none() {
                        return Ok(false);
                    }
                    self.write_chunks(&mut chunks).await?;
                    // Others on this thread, the topic among them, get their turn.
                    tokio::task::yield_now().await;
                }
                () = shut_down(&mut self.shut) => return Ok(false),
                // What it reads into takes a few bytes until the client says something.
                count = self.stream.read_buf(&mut self.input) => {
                    if count? == 0 {
                        return Ok(false);
                    }
                    if self.input.len() == self.input.capacity() {
                        self.input.reserve(IDLE_BYTES);
                    }
                }
                _ = ticks.tick() => {
                    if answers && missed >= MISSED_MAX {
                        return Ok(false);
                    }
                    missed += 1;
                    self.out.extend_from_slice(codec::KEEP_ALIVE);
                    self.write_out().await?;
                }
            }
        }
    }

    async fn write_chunks(&mut self, chunks: &mut Vec<Bytes>) -> io::Result<()> {
        let stuck = Duration::from_secs(self.config.stuck_s);
        let stream = &mut self.stream;
        let writing = async {
            while !chunks.is_empty() {
                let slices: Vec<io::IoSlice<'_>> =
                    chunks.iter().map(|chunk| io::IoSlice::new(chunk)).collect();
                let mut written = stream.write_vectored(&slices).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                while let Some(first) = chunks.first_mut() {
                    if written < first.len() {
                        bytes::Buf::advance(first, written);
                        break;
                    }
                    written -= first.len();
                    chunks.remove(0);
                }
            }
            Ok(())
        };
        timeout(stuck, writing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Waits for the client to close; whatever it says is ignored.
    pub(super) async fn park(&mut self) -> io::Result<()> {
        if let Some(seat) = &self.seat {
            seat.park();
        }
        self.input.clear();
        while self.read(false).await? {
            self.input.clear();
        }
        Ok(())
    }
}
