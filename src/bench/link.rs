//! One connection: what was asked on it, what is to be written, what is not whole yet.

use super::doors::Role;
use super::http::connect;
use super::speaker::{Asked, Speaker};
use super::{BenchError, Settings};
use mio::net::TcpStream;
use std::{
    collections::VecDeque,
    io::{ErrorKind, Write},
};

/// What was asked and is not answered.
pub struct Open {
    /// What.
    pub asked: Asked,
    /// Answers that are still to come.
    pub answers: usize,
    /// Messages they told of so far.
    pub count: usize,
    /// When it was due.
    pub due_ns: u64,
}

/// One connection.
pub struct Link {
    /// The socket.
    pub stream: TcpStream,
    /// The client.
    pub speaker: Box<dyn Speaker>,
    /// What it is for.
    pub role: Role,
    /// What is to be written.
    pub out: Vec<u8>,
    /// How much of it was.
    pub written: usize,
    /// The socket took no more.
    pub waits_to_write: bool,
    /// Input that is not whole.
    pub rest: Vec<u8>,
    /// What is not answered, the oldest first.
    pub open: VecDeque<Open>,
    /// `roundtrip`: messages that are under way and not back.
    pub away: usize,
    /// A listener: messages that came, or will not.
    pub delivered: u64,
}

impl Link {
    /// Connects, and says what has to be said first. Waits.
    pub fn open(
        settings: &Settings,
        role: Role,
        mut speaker: Box<dyn Speaker>,
    ) -> Result<Link, BenchError> {
        let mut stream = connect(settings.address)?;
        let rest = speaker.open(&mut stream)?;
        stream.set_nonblocking(true)?;
        Ok(Link {
            stream: TcpStream::from_std(stream),
            speaker,
            role,
            out: Vec::new(),
            written: 0,
            waits_to_write: false,
            rest,
            open: VecDeque::new(),
            away: 0,
            delivered: 0,
        })
    }

    /// Asks to publish a batch that was due then.
    pub fn publish(&mut self, due_ns: u64) {
        let answers = self.speaker.publish(&mut self.out, due_ns);
        self.open.push_back(Open { asked: Asked::Publish, answers, count: 0, due_ns });
    }

    /// Asks for messages.
    pub fn receive(&mut self, max: usize, due_ns: u64) {
        let answers = self.speaker.receive(&mut self.out, max);
        self.open.push_back(Open { asked: Asked::Receive, answers, count: 0, due_ns });
    }

    /// Acks what was received. False: nothing has to be acked.
    pub fn ack(&mut self, due_ns: u64) -> bool {
        let answers = self.speaker.ack(&mut self.out);
        if answers > 0 {
            self.open.push_back(Open { asked: Asked::Ack, answers, count: 0, due_ns });
        }
        answers > 0
    }

    /// Writes what it can.
    pub fn flush(&mut self) -> Result<(), BenchError> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(BenchError::Closed),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}
