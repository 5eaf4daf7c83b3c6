//! A WebSocket client that writes its own frames.

#![allow(dead_code, reason = "each test file uses what it needs")]

use crate::common::{PATIENCE, TestBroker, Wire};
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, time::timeout};

/// A client that speaks WebSocket byte by byte, so that it can speak it badly.
pub struct Raw {
    /// For bytes that are no frame.
    pub wire: Wire,
}

/// The headers that ask for a WebSocket.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl Raw {
    /// Opens a WebSocket at this path.
    pub async fn open(broker: &TestBroker, path: &str) -> Raw {
        let address = broker.door("http");
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // So that a client that does not read is noticed early.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut wire = Wire { stream: socket.connect(address).await.unwrap() };
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}\r\n")).await;
        assert!(wire.line().await.contains(" 101 "));
        while wire.line().await.trim_end() != "" {}
        Raw { wire }
    }

    /// Opcode and payload of the next frame; `None` when the socket has closed.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let stream = &mut self.wire.stream;
            let first = stream.read_u8().await?;
            assert_eq!(first & 0xf0, 0x80, "whole frames without extensions");
            let length = match stream.read_u8().await? {
                126 => u64::from(stream.read_u16().await?),
                127 => stream.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).await?;
            Ok::<_, std::io::Error>((first & 0x0f, payload))
        };
        timeout(PATIENCE, read).await.expect("a frame in time").ok()
    }

    /// The next text frame; pings are passed over.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some((1, text)) => return serde_json::from_slice(&text).unwrap(),
                Some((9, _)) => (),
                other => panic!("{other:?} is not a text frame"),
            }
        }
    }

    /// Reads up to the close frame; its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            let (opcode, payload) = self.frame().await.expect("a close frame before the end");
            if opcode == 8 {
                return u16::from_be_bytes([payload[0], payload[1]]);
            }
        }
    }

    /// After its close frame the broker says nothing more and ends the socket.
    pub async fn expect_end(&mut self) {
        assert_eq!(self.frame().await, None);
    }

    /// A frame as a client must send it: masked, here with zeros.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match u16::try_from(payload.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short as u8),
            Ok(middle) => {
                frame.push(0x80 | 126);
                frame.extend(middle.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((payload.len() as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.wire.send(frame).await;
    }
}
