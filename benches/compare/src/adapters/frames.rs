//! WebSocket frames of a client, and the upgrade.

use crate::protocol::{Talk, bad};
use std::io;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Asks for a WebSocket.
pub fn upgrade(talk: &mut Talk, host: &str, path: &str, subprotocol: &str) -> io::Result<()> {
    let protocol = match subprotocol {
        "" => String::new(),
        name => format!("Sec-WebSocket-Protocol: {name}\r\n"),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}Sec-WebSocket-Version: 13\r\n\r\n"
    );
    talk.send(request.as_bytes())?;
    let line = talk.line()?;
    if !line.contains(" 101") {
        return bad(format!("no upgrade: {line}"));
    }
    while !talk.line()?.is_empty() {}
    Ok(())
}

/// Appends a frame. Its mask is zero, which leaves the payload as it is.
pub fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.push(0x80 | kind);
    match payload.len() {
        length if length < 126 => out.push(0x80 | length as u8),
        length if length < 1 << 16 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A whole frame of a server: its kind, and where its payload begins and ends.
#[inline]
pub fn get(input: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let kind = input.get(at)? & 15;
    let (start, length) = match input.get(at + 1)? & 127 {
        126 => (at + 4, u64::from(u16::from_be_bytes(*input.get(at + 2..)?.first_chunk()?))),
        127 => (at + 10, u64::from_be_bytes(*input.get(at + 2..)?.first_chunk()?)),
        length => (at + 2, u64::from(length)),
    };
    let end = start + length as usize;
    (end <= input.len()).then_some((kind, start, end))
}
