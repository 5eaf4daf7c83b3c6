//! Clients that break off, dawdle, never read, send nonsense, or come in crowds.

use super::common::{PATIENCE, TestBroker, Wire};
use super::{OK, connect, expect_connections, expect_open, line, request};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[actix_web::test]
async fn a_half_closed_client_gets_all_its_answers() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    okq.send([line("QLPUSH q 1 x"), line("QRPOP q"), b"*2\r\n$5\r\nQRP".to_vec()].concat()).await;
    okq.stream.shutdown().await.unwrap();
    okq.expect("+OK\r\n*2\r\n$1\r\n1\r\n$1\r\nx\r\n").await;
    okq.expect_close().await;
    expect_connections(&broker, 0).await;
}

#[actix_web::test]
async fn a_request_that_is_never_finished_ends_the_connection() {
    let broker = TestBroker::start_with(&["okq.request_timeout_s=1"]).await;
    let mut idle = connect(&broker).await;
    let mut begun = connect(&broker).await;
    begun.send("*2\r\n$5\r\nQRP").await;
    let mut long = connect(&broker).await;
    // So long that it is not kept: what has come is not even in the buffer.
    long.send("*3\r\n$100000000\r\nabc").await;
    let mut dripping = connect(&broker).await;
    let drip = async {
        while dripping.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, drip).await.expect("drops do not keep a request alive");
    let timed_out = "-ERR Protocol error: a request was begun and not finished in time\r\n";
    for wire in [&mut begun, &mut long] {
        wire.expect(timed_out).await;
        wire.expect_close().await;
    }
    // Who owes nothing may be silent.
    expect_open(&mut idle).await;
}

#[actix_web::test]
async fn a_client_that_never_reads_is_dropped_and_the_broker_goes_on() {
    let broker = TestBroker::start_with(&["okq.stuck_s=1"]).await;
    let mut okq = connect(&broker).await;
    let body = "x".repeat(1_000_000);
    for id in 0..30 {
        okq.exchange(request(&["QLPUSH", "q", &id.to_string(), &body]), OK).await;
    }
    drop(okq);
    let mut stuck = connect(&broker).await;
    stuck.send(line("QRPOP q").repeat(30)).await;
    let mut flood = connect(&broker).await;
    let pings = line("PING").repeat(1000);
    let flooding = async { while flood.stream.write_all(&pings).await.is_ok() {} };
    tokio::time::timeout(PATIENCE * 2, flooding).await.unwrap();
    let mut other = connect(&broker).await;
    expect_open(&mut other).await;
    drop(other);
    expect_connections(&broker, 0).await;
}

#[actix_web::test]
async fn large_events_that_are_popped_together_all_come() {
    // What one receive may hand out is less than what is asked for in one stretch.
    let broker = TestBroker::start_with(&["limits.receive_bytes_max=3000000"]).await;
    let mut okq = connect(&broker).await;
    let body = "x".repeat(500_000);
    for id in 10..50 {
        okq.exchange(request(&["QLPUSH", "q", &id.to_string(), &body]), OK).await;
    }
    for ids in [10..30, 30..50] {
        let count = ids.len();
        let (mut reading, mut writing) = okq.stream.split();
        let asked = [line("QRPOP q").repeat(count), line("PING")].concat();
        let expected: Vec<u8> = ids
            .flat_map(|id| request(&[id.to_string().as_bytes(), body.as_bytes()]))
            .chain(b"+PONG\r\n".to_vec())
            .collect();
        let mut got = vec![0; expected.len()];
        let (sent, read) = tokio::join!(writing.write_all(&asked), async {
            tokio::time::timeout(PATIENCE, reading.read_exact(&mut got)).await.expect("in time")
        });
        sent.unwrap();
        read.unwrap();
        assert!(got == expected, "the events of {count} pops, in order");
    }
}

#[actix_web::test]
async fn a_deep_pipeline_is_answered_in_order() {
    let broker = TestBroker::start().await;
    let mut okq = connect(&broker).await;
    let count = 20_000;
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    for id in 0..count {
        let queue = format!("q{}", id % 3);
        asked.extend(request(&["QLPUSH", &queue, &id.to_string(), "some contents"]));
        expected.extend_from_slice(b"+OK\r\n");
        if id % 7 == 0 {
            asked.extend(line("NONSENSE"));
            expected.extend_from_slice(b"-ERR unknown command \"NONSENSE\"\r\n");
        }
        if id % 11 == 0 {
            asked.extend(line(&format!("QACK {queue} {id}")));
            expected.extend_from_slice(b":1\r\n");
        }
    }
    let (mut reading, mut writing) = okq.stream.split();
    let mut got = vec![0; expected.len()];
    let (sent, read) = tokio::join!(writing.write_all(&asked), async {
        tokio::time::timeout(PATIENCE, reading.read_exact(&mut got)).await.expect("in time")
    });
    sent.unwrap();
    read.unwrap();
    assert!(got == expected);
    let left = (0..count).filter(|id| id % 11 != 0).count() as u64;
    let broker = &broker.server.broker;
    let (topics, _) = broker.list_topics(&broker.anonymous(), None, 99).await.unwrap();
    assert_eq!(topics.iter().map(|topic| topic.waiting()).sum::<u64>(), left);
}

#[actix_web::test]
async fn nonsense_costs_only_the_connection_that_sends_it() {
    let broker = TestBroker::start().await;
    let mut healthy = connect(&broker).await;
    expect_open(&mut healthy).await;
    let nested = "*1\r\n".repeat(100_000);
    let line_without_end = "x".repeat(200_000);
    let inputs: [&[u8]; 9] = [
        nested.as_bytes(),
        line_without_end.as_bytes(),
        b"*1048577\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$18446744073709551616\r\n",
        b"*1048576\r\n$536870912\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nQFLUSH default\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\xff\xfe\r\n",
        b"*3\r\n$6\r\nQLPUSH\r\n*1000000\r\n",
    ];
    for input in inputs {
        let mut wire = connect(&broker).await;
        // It may be closed before all of it is sent.
        let _ = wire.stream.write_all(input).await;
        expect_open(&mut healthy).await;
    }
    expect_connections(&broker, 1).await;
    expect_open(&mut healthy).await;
}

#[actix_web::test]
async fn a_crowd_comes_and_goes() {
    let broker = TestBroker::start_with(&["okq.connections_max=300"]).await;
    let mut crowd: Vec<Wire> = Vec::new();
    for _ in 0..300 {
        crowd.push(connect(&broker).await);
    }
    for (nth, wire) in crowd.iter_mut().enumerate() {
        wire.send([line(&format!("QLPUSH crowd {nth} x")), line("QRPOP crowd")].concat()).await;
    }
    for wire in &mut crowd {
        wire.expect("+OK\r\n*2\r\n").await;
    }
    let mut one_too_many = connect(&broker).await;
    one_too_many.expect_close().await;
    for wire in crowd {
        socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    expect_connections(&broker, 0).await;
}
