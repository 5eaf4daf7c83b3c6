//! otq over a WebSocket of the native door: the same dialogues as over TCP.

use super::common::{PATIENCE, TestBroker, Wire, eventually, http};
use super::frames::{Message, Socket, close_code_and_end};
use super::{dialogue, expect_connections};
use futures_util::{SinkExt as _, StreamExt as _};
use octoq::conform;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::client_async;

async fn connect(broker: &TestBroker) -> Socket {
    let address = broker.door("http");
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/v1/otq");
    timeout(PATIENCE, client_async(url, stream)).await.unwrap().unwrap().0
}

/// What the conversation says, until it is as long as what is expected.
async fn expect(socket: &mut Socket, expected: &str) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        match timeout(PATIENCE, socket.next()).await.expect("an answer in time") {
            Some(Ok(Message::Binary(piece))) => got.extend_from_slice(&piece),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => (),
            other => panic!("{other:?} after {}", got.escape_ascii()),
        }
    }
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

/// A TCP address at which every connection is passed on over a WebSocket, in small pieces that are
/// text and bytes in turn.
async fn bridge(broker: &TestBroker) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (here, there) = (listener.local_addr().unwrap(), broker.door("http"));
    actix_web::rt::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let stream = TcpStream::connect(there).await.unwrap();
            let url = format!("ws://{there}/v1/otq");
            let (mut socket, _) = client_async(url, stream).await.unwrap();
            actix_web::rt::spawn(async move {
                let (mut piece, mut text) = ([0; 7], false);
                loop {
                    tokio::select! {
                        count = tcp.read(&mut piece) => match count {
                            Ok(count) if count > 0 => {
                                text = !text;
                                let sent = &piece[..count];
                                let message = match String::from_utf8(sent.to_vec()) {
                                    Ok(sent) if text => Message::Text(sent.into()),
                                    _ => Message::Binary(sent.to_vec().into()),
                                };
                                if socket.send(message).await.is_err() {
                                    return;
                                }
                            }
                            _ => {
                                let _ = socket.close(None).await;
                                return;
                            }
                        },
                        said = socket.next() => match said {
                            Some(Ok(Message::Binary(said))) => {
                                if tcp.write_all(&said).await.is_err() {
                                    return;
                                }
                            }
                            Some(Ok(Message::Ping(_) | Message::Pong(_))) => (),
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    here
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_over_tcp() {
    let broker = TestBroker::start().await;
    let address = bridge(&broker).await;
    // The first is about a client that has not logged in, which there is none of here.
    let cases = &conform::otq::CASES[1..];
    let mut told = Vec::new();
    let failed = conform::play(address, cases, None, |outcome| {
        told.extend(outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)));
    })
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
    let mut wire = Wire::connect(address).await;
    dialogue(
        &mut wire,
        &[
            // Logged in already.
            ("OTQ PUT default 2 BATCH\r\n", "PROCEED\r\n"),
            ("hello\r\nwörld\r\n", "ENDOFRESP\r\n"),
            ("otq get default 5 batch\r\n", "PROCEED\r\nhello\r\nwörld\r\nENDOFRESP\r\n"),
            ("OTQ PUTACK default 1 BATCH\r\nx\r\n", "PROCEED\r\nSUCCESS\r\n1\r\nENDOFRESP\r\n"),
            ("OTQ CONNECT admin password\r\n", "CONNECTED\r\nENDOFRESP\r\n"),
            ("OTQ CLEAR default\r\n", "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n"),
        ],
    )
    .await;
    let large = "x".repeat(300_000);
    wire.send(format!("OTQ PUT default 1 BATCH\r\n{large}\r\n")).await;
    wire.expect("PROCEED\r\nENDOFRESP\r\n").await;
    wire.send("OTQ GET default 1 BATCH\r\n").await;
    wire.expect(format!("PROCEED\r\n{large}\r\nENDOFRESP\r\n")).await;
}

#[actix_web::test]
async fn a_conversation_and_its_socket_end_together() {
    let broker = TestBroker::start().await;
    let mut socket = connect(&broker).await;
    socket.send(Message::Text("OTQ PING default\r\nOTQ PI".into())).await.unwrap();
    expect(&mut socket, "PONG\r\nENDOFRESP\r\n").await;
    socket
        .send(Message::Binary(b"NG default\r\nOTQ DISCONNECT\r\n".to_vec().into()))
        .await
        .unwrap();
    expect(&mut socket, "PONG\r\nENDOFRESP\r\n").await;
    assert_eq!(close_code_and_end(&mut socket).await, 1000);

    // What was said before the client closed is answered.
    let mut socket = connect(&broker).await;
    socket.send(Message::Text("OTQ PUT default 1 BATCH\r\nlast\r\n".into())).await.unwrap();
    socket.close(None).await.unwrap();
    eventually("the last message is there", async || {
        let topic = broker.http("GET", "/v1/topics/default", "").await.json();
        (topic["queues"][0]["ready"] == 1).then_some(())
    })
    .await;

    // A subscriber ends with its client, and with the broker.
    let mut socket = connect(&broker).await;
    socket.send(Message::Text("OTQ SUBSCRIBE pubsub\r\n".into())).await.unwrap();
    expect(&mut socket, "PROCEED\r\n").await;
    drop(socket);
    expect_connections(&broker, 0).await;
    let mut socket = connect(&broker).await;
    socket.send(Message::Text("OTQ SUBSCRIBE pubsub\r\n".into())).await.unwrap();
    expect(&mut socket, "PROCEED\r\n").await;
    let (code, _) = tokio::join!(close_code_and_end(&mut socket), broker.stop());
    assert_eq!(code, 1001);
}

#[actix_web::test]
async fn rights_are_those_of_the_http_caller_and_messages_are_bounded() {
    let broker = TestBroker::start_with(&["ws.message_bytes_max=1000"]).await;
    let address = broker.door("http");
    let body = r#"{"password":"pw","topics":["own"]}"#;
    broker.http("PUT", "/v1/users/ada", body).await.expect(204);
    let stream = TcpStream::connect(address).await.unwrap();
    let request = tokio_tungstenite::tungstenite::http::Request::builder()
        .uri(format!("ws://{address}/v1/otq"))
        .header("Host", address.to_string())
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Authorization", "Basic YWRhOnB3")
        .body(())
        .unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    socket.send(Message::Text("OTQ CLEAR default\r\n".into())).await.unwrap();
    expect(&mut socket, "DECLINE:Unauthorized access\nENDOFRESP\r\n").await;
    socket.send(Message::Text("x".repeat(1001).into())).await.unwrap();
    assert_eq!(close_code_and_end(&mut socket).await, 1009);

    let plain = http(address, "GET", "/v1/otq", &[], b"").await;
    plain.expect_problem(400, "invalid_request");
    let stranger = [("Authorization", "Basic YWRhOndyb25n"), ("Upgrade", "websocket")];
    assert_eq!(http(address, "GET", "/v1/otq", &stranger, b"").await.status, 401);
}
