//! What is to be run, and how its connections are opened.

use crate::adapters;
use crate::kernel::{self, Poll};
use crate::protocol::{Context, Protocol, Role, STAMP_END, Talk, bad};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an opening waits for an answer.
const OPEN_WAIT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Plan {
    pub adapter: String,
    pub address: String,
    pub size: usize,
    pub producers: usize,
    pub consumers: usize,
    pub producer_threads: usize,
    pub consumer_threads: usize,
    /// Every consumer gets every message instead of sharing them.
    pub fanout: bool,
    /// Most unconfirmed messages of a producer.
    pub window: usize,
    /// Most messages that are published and not delivered.
    pub backlog: u64,
    pub prefetch: usize,
    pub warm_s: f64,
    pub run_s: f64,
    /// Messages per second of all producers; 0: as fast as the windows let them.
    pub rate: f64,
    /// Ends after so many messages instead of after `run_s`.
    pub count: u64,
    pub topic: String,
    /// The server's processes.
    pub pids: Vec<i32>,
    pub options: HashMap<String, String>,
}

impl Plan {
    /// Producers may speak another protocol than consumers.
    pub fn producers_adapter(&self) -> &str {
        self.options.get("pub_adapter").unwrap_or(&self.adapter)
    }

    pub fn context(&self, role: Role, nth: usize) -> Context {
        Context {
            role,
            nth,
            topic: self.topic.clone(),
            size: self.size.max(STAMP_END),
            prefetch: self.prefetch,
            host: self.address.clone(),
            options: self.options.clone(),
        }
    }

    /// How many deliveries a published message leads to.
    pub fn copies(&self) -> u64 {
        match (self.consumers, self.fanout) {
            (0, _) => 0,
            (consumers, true) => consumers as u64,
            (_, false) => 1,
        }
    }

    /// Makes what the others need.
    pub fn prepare(&self) -> io::Result<()> {
        self.open(Role::Admin, 0).map(|_| ())
    }

    /// Connects and holds the opening talk. The bytes are those that came early.
    pub fn open(
        &self,
        role: Role,
        nth: usize,
    ) -> io::Result<(TcpStream, Box<dyn Protocol>, Vec<u8>)> {
        let mut context = self.context(role, nth);
        let mut adapter = self.adapter.as_str();
        if role == Role::Producer {
            adapter = self.producers_adapter();
            context.host = self.options.get("pub_address").unwrap_or(&self.address).clone();
        }
        let stream = TcpStream::connect(&context.host)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPEN_WAIT))?;
        let mut protocol = adapters::make(adapter, context)?;
        let mut talk = Talk::new(stream);
        protocol.open(&mut talk)?;
        Ok((talk.stream, protocol, talk.input))
    }

    pub fn server_cpu(&self) -> f64 {
        self.pids.iter().map(|pid| kernel::process_cpu(*pid)).sum()
    }

    pub fn server_memory(&self) -> u64 {
        self.pids.iter().map(|pid| kernel::resident(*pid)).sum()
    }
}

/// An open connection that is never waited for.
pub struct Connection {
    pub stream: TcpStream,
    pub protocol: Box<dyn Protocol>,
    pub out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    /// What was read and is not whole.
    pub rest: Vec<u8>,
    /// Messages of a producer that are not confirmed.
    pub unconfirmed: usize,
    /// The poll is asked for room to write.
    asks_room: bool,
}

/// Where `out` is moved to its front.
const MOVE_BYTES: usize = 1 << 20;
/// Most bytes of one read.
const READ_BYTES: usize = 256 << 10;
/// Least room for a read.
const ROOM_BYTES: usize = 64 << 10;

impl Connection {
    pub fn open(plan: &Plan, role: Role, nth: usize) -> io::Result<Connection> {
        let (stream, protocol, rest) = plan.open(role, nth)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            protocol,
            out: Vec::with_capacity(READ_BYTES),
            written: 0,
            rest,
            unconfirmed: 0,
            asks_room: false,
        })
    }

    pub fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what the kernel takes, and asks for room for the rest.
    pub fn flush(&mut self, poll: &Poll, key: u64) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let pending = self.unwritten() > 0;
        if !pending {
            self.out.clear();
            self.written = 0;
        } else if self.written > MOVE_BYTES {
            self.out.drain(..self.written);
            self.written = 0;
        }
        if pending != self.asks_room {
            poll.write_too(&self.stream, key, pending)?;
            self.asks_room = pending;
        }
        Ok(())
    }

    /// Reads once, behind the rest of last time; how many bytes of `input` are filled.
    pub fn read(&mut self, input: &mut Vec<u8>) -> io::Result<usize> {
        let kept = self.rest.len();
        if input.len() < kept + ROOM_BYTES {
            input.resize(kept + READ_BYTES, 0);
        }
        input[..kept].copy_from_slice(&self.rest);
        self.rest.clear();
        match self.stream.read(&mut input[kept..]) {
            Ok(0) => bad("the server closed the connection"),
            Ok(count) => Ok(kept + count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(kept),
            Err(error) => Err(error),
        }
    }
}
