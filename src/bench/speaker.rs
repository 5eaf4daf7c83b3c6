//! What a door's client must be able to say and understand.

use super::BenchError;
use std::{net::TcpStream, time::Duration};

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To publish.
    Publish,
    /// To receive.
    Receive,
    /// To ack.
    Ack,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// An answer: so many were published.
    Published(usize),
    /// An answer: messages came.
    Received {
        /// How many.
        count: usize,
        /// The time in one of them, where it was looked at.
        due_ns: Option<u64>,
    },
    /// An answer: so many were acked.
    Acked(usize),
    /// A message that was pushed, and the time in it where it was looked at.
    Pushed(Option<u64>),
    /// So many messages will not come.
    Missed(u64),
    /// Nothing of interest.
    Nothing,
}

/// One client on one connection. What it writes goes to the end of `out`.
pub trait Speaker: Send {
    /// Says what has to be said first, and waits for the answer. What was read beyond it is given
    /// back. The stream waits, for a bounded time.
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        let _ = stream;
        Ok(Vec::new())
    }

    /// Publishes one batch; how many answers will come.
    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize;

    /// Asks for at most `max` messages; how many answers will come.
    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize;

    /// Acks all that was received; how many answers will come. None: nothing has to be acked.
    fn ack(&mut self, out: &mut Vec<u8>) -> usize {
        let _ = out;
        0
    }

    /// The first thing in `input` and its length, once it is whole. Answers come in the order of
    /// the questions; `asked` is the oldest that is open.
    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError>;
}

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Something that was not to be expected.
pub fn odd(input: &[u8]) -> BenchError {
    // Of many results, the one that tells what is wrong.
    let from = memchr::memmem::find(input, b"\"problem\"").unwrap_or(0);
    let shown = input.get(from..).unwrap_or(input);
    let shown = shown.get(..300).unwrap_or(shown);
    BenchError::Refused(String::from_utf8_lossy(shown).into_owned())
}

/// Reads until `whole` finds the end of an answer; what it returned, and what was read behind it.
pub fn wait_for<T>(
    stream: &mut TcpStream,
    mut whole: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, BenchError>,
) -> Result<(T, Vec<u8>), BenchError> {
    use std::io::Read;
    let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(BenchError::Closed);
        }
        input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if let Some((end, found)) = whole(&input)? {
            return Ok((found, input.split_off(end.min(input.len()))));
        }
    }
}
