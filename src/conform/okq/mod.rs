//! okQ's dialogues. [`CASES`] are true of the original as well; [`ADDITIONS`] are octoq's own.

mod additions;
mod originals;

pub use additions::ADDITIONS;
pub use originals::CASES;

use super::{Mismatch, Target, Wire};
use std::time::{Duration, Instant};

/// Longest time in which the original gives an event back whose deadline has passed.
const SCAN: Duration = Duration::from_secs(25);

/// A connection on which words are sent as okQ clients send them.
struct Client(Wire);

const OK: &str = "+OK\r\n";
const NIL: &str = "$-1\r\n";
const ONE: &str = ":1\r\n";
const ZERO: &str = ":0\r\n";

/// An array of strings, as a request or as an answer.
fn array<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(&bulk(word));
    }
    out
}

fn bulk(word: impl AsRef<[u8]>) -> Vec<u8> {
    let word = word.as_ref();
    let mut out = format!("${}\r\n", word.len()).into_bytes();
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
    out
}

fn error(text: &str) -> String {
    format!("-ERR {text}\r\n")
}

/// A row of QSTATUS.
fn row(name: &str, total: u32, processing: u32, consumers: u32) -> Vec<u8> {
    let numbers = format!(":{total}\r\n:{processing}\r\n:{consumers}\r\n");
    [b"*4\r\n".to_vec(), bulk(name), numbers.into_bytes()].concat()
}

impl Client {
    async fn connect(target: &Target) -> Result<Client, Mismatch> {
        Ok(Client(target.connect().await?))
    }

    async fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<(), Mismatch> {
        self.0.send(array(words)).await
    }

    /// Says the words and expects exactly this.
    async fn say<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        expected: impl AsRef<[u8]>,
    ) -> Result<(), Mismatch> {
        self.0.exchange(array(words), expected).await
    }

    /// Events with these ids, whose contents are the same.
    async fn push(&mut self, queue: &str, ids: &[&str]) -> Result<(), Mismatch> {
        for id in ids {
            self.say(&["QLPUSH", queue, id, id], OK).await?;
        }
        Ok(())
    }

    /// Pops these ids, in this order, to be held for `seconds`.
    async fn pop(&mut self, queue: &str, seconds: &str, ids: &[&str]) -> Result<(), Mismatch> {
        for id in ids {
            self.say(&["QRPOP", queue, "EX", seconds], array(&[id, id])).await?;
        }
        Ok(())
    }

    async fn expect_status(&mut self, queue: &str, numbers: [u32; 3]) -> Result<(), Mismatch> {
        let [total, processing, consumers] = numbers;
        let expected = [b"*1\r\n".to_vec(), row(queue, total, processing, consumers)].concat();
        self.say(&["QSTATUS", queue], expected).await
    }

    /// Asks again and again until the queue is like this.
    async fn until_status(&mut self, queue: &str, numbers: [u32; 3]) -> Result<(), Mismatch> {
        let [total, processing, consumers] = numbers;
        let expected = [b"*1\r\n".to_vec(), row(queue, total, processing, consumers)].concat();
        let give_up = Instant::now() + SCAN;
        loop {
            self.send(&["QSTATUS", queue]).await?;
            let mut found = Vec::new();
            for _ in 0..expected.split(|byte| *byte == b'\n').count() - 1 {
                found.extend(self.0.line().await?);
            }
            if found == expected {
                return Ok(());
            }
            if Instant::now() > give_up {
                let (expected, found) = (expected.escape_ascii(), found.escape_ascii());
                return Err(Mismatch(format!("expected {expected} in the end, got {found}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
