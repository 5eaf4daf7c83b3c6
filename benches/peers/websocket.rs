//! A raw WebSocket client. Its frames are masked with zeros, so that they can be prepared.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

/// One connection.
pub struct WebSocket {
    pub stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
}

impl WebSocket {
    /// With little memory at this side: many of them are held by some benches.
    pub fn open(address: &str, path: &str) -> WebSocket {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).expect("upgrade");
        let mut input = vec![0; 2048];
        let mut filled = 0;
        let end = loop {
            let count = stream.read(&mut input[filled..]).expect("read");
            assert!(count > 0, "the server closed the connection");
            filled += count;
            if let Some(end) = memchr::memmem::find(&input[..filled], b"\r\n\r\n") {
                break end + 4;
            }
        };
        assert!(input.starts_with(b"HTTP/1.1 101"), "{}", input[..filled].escape_ascii());
        input.copy_within(end..filled, 0);
        WebSocket { stream, input, filled: filled - end }
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.stream.write_all(frame).expect("write");
    }

    /// The next text, waited for unless the stream was made not to wait.
    pub fn receive(&mut self, mut seen: impl FnMut(&[u8])) -> bool {
        loop {
            let input = &self.input[..self.filled];
            if let Some((start, end)) = whole(input) {
                seen(&input[start..end]);
                self.input.copy_within(end..self.filled, 0);
                self.filled -= end;
                return true;
            }
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Where the payload of the first frame is.
fn whole(input: &[u8]) -> Option<(usize, usize)> {
    let (start, length) = match *input.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?]))),
        length => (2, usize::from(length)),
    };
    assert!(length < 1024, "only short answers are expected");
    (input.len() >= start + length).then_some((start, start + length))
}

/// A text as a client's frame.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}
