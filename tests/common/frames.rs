//! The frames that a well-behaved WebSocket client hears.

#![allow(dead_code, reason = "each test file uses what it needs")]

use crate::common::PATIENCE;
use futures_util::StreamExt as _;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::Message;

/// The client's end.
pub type Socket = WebSocketStream<TcpStream>;

/// The next frame that is not about the connection itself; `None` when it has ended.
pub async fn next_frame(socket: &mut Socket) -> Option<Message> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => (),
            Some(Ok(frame)) => return Some(frame),
            Some(Err(_)) | None => return None,
        }
    }
}

/// Reads up to the close frame; its code.
pub async fn close_code(socket: &mut Socket) -> u16 {
    loop {
        match next_frame(socket).await {
            Some(Message::Close(Some(frame))) => return frame.code.into(),
            Some(Message::Close(None)) | None => panic!("no reason for the close"),
            Some(_) => (),
        }
    }
}

/// Reads up to the close frame; its code. Then the socket closes, too.
pub async fn close_code_and_end(socket: &mut Socket) -> u16 {
    let code = close_code(socket).await;
    let rest = timeout(PATIENCE, socket.next()).await.expect("a close in time");
    assert!(matches!(rest, None | Some(Err(_))), "{rest:?} behind the close");
    code
}
