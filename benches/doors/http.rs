//! One JSON message per request on keep-alive connections.

use super::setup::Broker;
use super::{RUN, Target, reference, report};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

/// Requests per second of `request` on so many connections, all driven by this thread: one request is
/// out on each.
fn rate(address: &str, connections: usize, request: &[u8]) -> f64 {
    let mut streams: Vec<TcpStream> = (0..connections)
        .map(|_| {
            let stream = TcpStream::connect(address).expect("connect");
            stream.set_nodelay(true).expect("nodelay");
            stream
        })
        .collect();
    let mut buffer = vec![0; 16 << 10];
    let mut run = |seconds: f64| {
        for stream in &mut streams {
            stream.write_all(request).expect("request");
        }
        let (start, mut done) = (Instant::now(), 0u64);
        while start.elapsed().as_secs_f64() < seconds {
            for stream in &mut streams {
                let count = stream.read(&mut buffer).expect("answer");
                assert!(buffer[..count].starts_with(b"HTTP/1.1 201"), "{:?}", &buffer[..count]);
                stream.write_all(request).expect("request");
                done += 1;
            }
        }
        let rate = done as f64 / start.elapsed().as_secs_f64();
        for stream in &mut streams {
            assert!(stream.read(&mut buffer).expect("answer") > 0);
        }
        rate
    };
    run(0.5);
    run(RUN.as_secs_f64())
}

fn request(address: &str, path: &str) -> Vec<u8> {
    let body = format!("{{\"body\":\"{}\"}}", "x".repeat(100));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Publish in memory against an empty handler.
pub fn publish(broker: &Broker) {
    broker.topic("mem", "broker", "memory");
    for connections in [256, 32] {
        let empty = reference::EmptyHttp::start();
        let ceiling = rate(&empty.address, connections, &request(&empty.address, "/"));
        drop(empty);
        let own = request(&broker.http, "/v1/topics/mem/messages");
        let published = rate(&broker.http, connections, &own);
        report(
            &format!("HTTP publish, {connections} connections, in memory"),
            format!("{published:.0} req/s"),
            format!("empty handler {ceiling:.0}"),
            published / ceiling,
            Target::Ratio(">=", 0.6),
        );
    }
}
