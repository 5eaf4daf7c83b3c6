//! A WebSocket client that shows the wire: every frame is made and read here.

use super::{Mismatch, Wire};
use std::{net::SocketAddr, time::Duration};

/// First bytes of whole frames.
pub mod first {
    /// A text.
    pub const TEXT: u8 = 0x81;
    /// Bytes.
    pub const BINARY: u8 = 0x82;
    /// The first fragment of a text.
    pub const TEXT_BEGINS: u8 = 0x01;
    /// A fragment in the middle.
    pub const GOES_ON: u8 = 0x00;
    /// The last fragment.
    pub const ENDS: u8 = 0x80;
    /// The end.
    pub const CLOSE: u8 = 0x88;
    /// A question whether the other side is there.
    pub const PING: u8 = 0x89;
    /// The answer to it.
    pub const PONG: u8 = 0x8a;
}

/// The key of the example in RFC 6455, and what is answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's end of a WebSocket.
pub struct WebSocket {
    /// The connection below it.
    pub wire: Wire,
}

/// A client's frame: masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

impl WebSocket {
    /// Connects and opens, offering `permessage-deflate` as most clients do.
    pub async fn connect(address: SocketAddr) -> Result<WebSocket, Mismatch> {
        let mut wire = Wire::connect(address).await?;
        wire.send(format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await?;
        let mut lines = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&wire.line().await?).trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let welcome = lines.first().is_some_and(|line| line.starts_with("HTTP/1.1 101 "));
        let accept = format!("Sec-WebSocket-Accept: {ACCEPT}");
        if welcome && lines.iter().any(|line| line.eq_ignore_ascii_case(&accept)) {
            Ok(WebSocket { wire })
        } else {
            Err(Mismatch(format!("expected 101 and {accept}, got {lines:?}")))
        }
    }

    /// Sends a text.
    pub async fn send(&mut self, text: impl AsRef<str>) -> Result<(), Mismatch> {
        self.wire.send(frame(first::TEXT, text.as_ref().as_bytes())).await
    }

    /// The next frame: its first byte and its payload.
    pub async fn frame(&mut self) -> Result<(u8, Vec<u8>), Mismatch> {
        let head = self.wire.bytes(2).await?;
        let (first, second) = (head[0], head[1]);
        let length = match second {
            126 => self.wire.bytes(2).await?,
            127 => self.wire.bytes(8).await?,
            short => vec![short],
        };
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if second & 0x80 != 0 {
            return Err(Mismatch("a server's frame must not be masked".into()));
        }
        Ok((first, self.wire.bytes(length).await?))
    }

    /// The next frame is this text.
    pub async fn expect(&mut self, text: impl AsRef<str>) -> Result<(), Mismatch> {
        let (text, got) = (text.as_ref(), self.frame().await?);
        if got == (first::TEXT, text.as_bytes().to_vec()) {
            return Ok(());
        }
        let shown = got.1.escape_ascii().to_string();
        Err(Mismatch(format!("expected {text:?}, got a frame {:#04x} \"{shown}\"", got.0)))
    }

    /// Sends a text, then expects one.
    pub async fn exchange(
        &mut self,
        sent: impl AsRef<str>,
        expected: impl AsRef<str>,
    ) -> Result<(), Mismatch> {
        let sent = sent.as_ref();
        self.send(sent).await?;
        let expected = self.expect(expected).await;
        expected.map_err(|Mismatch(text)| Mismatch(format!("after {sent}: {text}")))
    }

    /// Nothing comes within this time.
    pub async fn expect_silence(&mut self, span: Duration) -> Result<(), Mismatch> {
        self.wire.expect_silence(span).await
    }

    /// The other side closes with this code, whatever it gives for a reason.
    pub async fn expect_close(&mut self, code: u16) -> Result<(), Mismatch> {
        let (first, payload) = self.frame().await?;
        let got = payload.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        if first != first::CLOSE || got != Some(code) {
            let shown = payload.escape_ascii();
            let problem = format!("expected a close with {code}, got {first:#04x} \"{shown}\"");
            return Err(Mismatch(problem));
        }
        // The answer that a client owes; the other side may have gone already.
        let _ = self.wire.send(frame(first::CLOSE, &code.to_be_bytes())).await;
        self.wire.expect_close().await
    }
}
