//! dsmq: what is put while the import listens, in the three ways its releases speak.

use super::common::PATIENCE;
use super::{Target, became};
use futures_util::{SinkExt as _, StreamExt as _};
use octoq::import::dsmq::{Dsmq, Protocol};
use octoq::import::report::Report;
use octoq::queue::Level;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

/// What a dsmq has for each connection.
#[derive(Clone)]
struct Topics {
    /// Oldest last.
    waiting: HashMap<String, Vec<serde_json::Value>>,
    /// Becomes true when all of it was asked for.
    empty: Arc<watch::Sender<bool>>,
}

fn answer(topics: &mut Topics, request: &str) -> String {
    let request: serde_json::Value = serde_json::from_str(request).unwrap();
    assert_eq!(request["action"], "get", "nothing but get is sent");
    // Whoever asks again has what was answered before.
    topics.empty.send_if_modified(|empty| {
        let now = topics.waiting.values().all(Vec::is_empty);
        now && !std::mem::replace(empty, true)
    });
    let waiting = topics.waiting.get_mut(request["topic"].as_str().unwrap());
    let message = waiting.and_then(Vec::pop).unwrap_or_else(|| "".into());
    serde_json::json!({ "message": message }).to_string()
}

async fn speak(stream: TcpStream, protocol: Protocol, mut topics: Topics) {
    stream.set_nodelay(true).unwrap();
    match protocol {
        Protocol::Ws => {
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(Message::Ping(bytes::Bytes::from_static(b"there?"))).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Text(request) = message {
                    let answer = answer(&mut topics, &request);
                    if socket.send(Message::Text(answer.into())).await.is_err() {
                        return;
                    }
                }
            }
        }
        Protocol::Hdr => {
            let mut stream = stream;
            let mut header = [0; 23];
            while stream.read_exact(&mut header).await.is_ok() {
                let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
                let length = header["msg_length"].as_u64().unwrap() - 1_000_000;
                let mut request = vec![0; usize::try_from(length).unwrap()];
                stream.read_exact(&mut request).await.unwrap();
                let answer = answer(&mut topics, std::str::from_utf8(&request).unwrap());
                let framed = format!("{{\"msg_length\": {}}}{answer}", answer.len() + 1_000_000);
                // In two parts, to be put together again.
                let (head, tail) = framed.split_at(30);
                if stream.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
                if stream.write_all(tail.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
        Protocol::Raw => {
            let mut stream = stream;
            let mut request = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut request).await {
                let answer = answer(&mut topics, std::str::from_utf8(&request[..count]).unwrap());
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn original(protocol: Protocol, topics: Topics) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    actix::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            actix::spawn(speak(stream, protocol, topics.clone()));
        }
    });
    address
}

fn topics() -> Topics {
    let greetings = vec![serde_json::json!({"a": [1]}), "héllo".into(), "Hello!".into()];
    let numbers = (0..700).rev().map(|n| serde_json::Value::from(n.to_string())).collect();
    let waiting = [("greetings".to_owned(), greetings), ("numbers".to_owned(), numbers)].into();
    Topics { waiting, ..nothing() }
}

fn nothing() -> Topics {
    Topics { waiting: HashMap::new(), empty: Arc::new(watch::channel(false).0) }
}

/// Imports until everything is there, then ends it as Ctrl-C does.
async fn listen(target: &Target, protocol: Protocol, level: Level) -> Report {
    let topics = topics();
    let mut empty = topics.empty.subscribe();
    let address = original(protocol, topics).await;
    let (end, stop) = watch::channel(false);
    let names = vec!["greetings".into(), "numbers".into()];
    let source = Dsmq::new(address.to_string(), protocol, names, level, None, stop.clone());
    let settings = super::common::settings(target.path());
    let config = octoq::config::Config::load(None, &settings).unwrap();
    let copying = octoq::cli::import::copy(source, config, false, stop);
    let ending = async {
        let all = tokio::time::timeout(PATIENCE, empty.wait_for(|empty| *empty)).await;
        all.unwrap_or_else(|_| panic!("{protocol:?}: not all is asked for")).unwrap();
        end.send(true).unwrap();
    };
    let (report, ()) = tokio::join!(copying, ending);
    report.unwrap()
}

#[actix_web::test]
async fn dsmq_messages_arrive_in_order_in_each_way_it_speaks() {
    for protocol in [Protocol::Ws, Protocol::Hdr, Protocol::Raw] {
        let target = Target::new();
        let report = listen(&target, protocol, Level::Async).await;
        assert_eq!(became(&report, "greetings"), (3, 0, 0, 0), "{protocol:?}: {report}");
        assert_eq!(became(&report, "numbers"), (700, 0, 0, 0), "{protocol:?}: {report}");
        let served = target.serve().await;
        let greetings = served.take("greetings", "", 10).await;
        assert_eq!(greetings, ["Hello!", "héllo", r#"{"a":[1]}"#], "{protocol:?}");
        let numbers = served.take("numbers", "", 1000).await;
        let expected: Vec<String> = (0..700).map(|n| n.to_string()).collect();
        assert_eq!(numbers, expected, "{protocol:?}");
        served.stop().await;
    }
}

#[actix_web::test]
async fn listening_ends_when_its_time_is_over() {
    let address = original(Protocol::Ws, nothing()).await;
    let (_never, stop) = watch::channel(false);
    let span = Some(Duration::from_millis(50));
    let names = vec!["quiet".into()];
    let source = Dsmq::new(address.to_string(), Protocol::Ws, names, Level::Async, span, stop);
    let report = Target::new().import(source).await;
    assert_eq!(became(&report, "quiet"), (0, 0, 0, 0));
}

#[actix_web::test]
async fn who_does_not_speak_dsmq_is_told_apart() {
    let (_never, stop) = watch::channel(false);
    let source = |address: SocketAddr, protocol| {
        let names = vec!["t".into()];
        let span = Some(Duration::from_secs(60));
        Dsmq::new(address.to_string(), protocol, names, Level::Async, span, stop.clone())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = listener.local_addr().unwrap();
    actix::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n{\"detail\": 1}").await.unwrap();
        }
    });
    let target = Target::new();
    let refusal = target.refusal(source(web, Protocol::Ws)).await;
    assert!(refusal.contains("--protocol"), "{refusal}");
    let refusal = target.refusal(source(web, Protocol::Hdr)).await;
    assert!(refusal.starts_with(&web.to_string()), "{refusal}");
}
