//! A lean blocking HTTP/1.1 client on one kept connection.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// One connection.
pub struct Http {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Http {
    pub fn open(address: &str) -> Http {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Http { stream, input: vec![0; 64 << 10] }
    }

    /// Sends prepared bytes and returns the body of the answer, which must be a 2xx.
    pub fn send(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).expect("write");
        let (mut filled, mut head) = (0, None);
        loop {
            let count = self.stream.read(&mut self.input[filled..]).expect("read");
            assert!(count > 0, "the server closed the connection");
            filled += count;
            if head.is_none() {
                let end = memchr::memmem::find(&self.input[..filled], b"\r\n\r\n");
                head = end.map(|end| (end + 4, body_length(&self.input[..end + 2])));
            }
            if let Some((start, length)) = head
                && filled >= start + length
            {
                let good = self.input.starts_with(b"HTTP/1.1 2");
                assert!(good, "{}", self.input[..filled].escape_ascii());
                return &self.input[start..start + length];
            }
        }
    }
}

/// What the head says; an answer without a length has no body.
fn body_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).expect("a head").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.map_or(0, |length| length.trim().parse().expect("a length"))
}

/// A request as bytes.
pub fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
