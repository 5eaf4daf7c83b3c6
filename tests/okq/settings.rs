//! What `[okq]` and okQ's own flags change.

use super::common::{TestBroker, Wire, eventually};
use super::process;
use super::{NIL, OK, connect, dialogue, expect_open, line, request};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[actix_web::test]
async fn status_may_be_lines_of_text() {
    let broker = TestBroker::start_with(&["okq.qstatus_text=true"]).await;
    let mut okq = connect(&broker).await;
    okq.exchange(line("QLPUSH a 1 x"), OK).await;
    let text = "*1\r\n$38\r\na total: 1 processing: 0 consumers: 0\r\n".replace("$38", "$37");
    okq.exchange(line("QSTATUS a"), &text).await;
    okq.exchange(line("QSTATUS"), &text).await;
}

#[actix_web::test]
async fn the_level_of_new_topics_may_be_set() {
    let broker = TestBroker::start_with(&["okq.durability=async"]).await;
    let mut okq = connect(&broker).await;
    okq.exchange(line("QLPUSH a 1 x"), OK).await;
    let shown = broker.http("GET", "/v1/topics/a", "").await.expect(200);
    assert_eq!(shown["durability"], "async");
}

#[actix_web::test]
async fn noblock_pushes_above_the_bound_are_refused_and_others_are_not() {
    let broker = TestBroker::start_with(&["okq.noblock_max=3"]).await;
    let mut okq = connect(&broker).await;
    okq.exchange(line("QLPUSH q first x"), OK).await;
    // Handed over together: none of them is stored when the last is looked at.
    let pushes: Vec<u8> = (0..5).flat_map(|id| line(&format!("QLPUSH q {id} x NOBLOCK"))).collect();
    let busy = "-ERR too busy to process NOBLOCK event\r\n";
    okq.exchange([pushes, line("QLPUSH q last x")].concat(), [OK, OK, OK, busy, busy, OK].concat())
        .await;
    for id in ["first", "0", "1", "2", "last"] {
        let event = format!("*2\r\n${}\r\n{id}\r\n$1\r\nx\r\n", id.len());
        okq.exchange(line("QRPOP q"), event).await;
    }
    okq.exchange(line("QRPOP q"), NIL).await;
    eventually("room again", async || {
        okq.send(line("QLPUSH q again x NOBLOCK")).await;
        (okq.line().await == OK).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn more_queues_than_one_request_may_name_are_refused() {
    let broker = TestBroker::start_with(&["okq.queues_max=2"]).await;
    let mut okq = connect(&broker).await;
    let refused = "-ERR too many queues in one request: the limit is 2\r\n";
    dialogue(
        &mut okq,
        &[
            ("QREGISTER a b", OK),
            ("QREGISTER a b c", refused),
            ("QSTATUS a b c", refused),
            ("QINFO a b c", refused),
            ("QBPOP a b c 0", refused),
            ("QBPOP a b 0", NIL),
        ],
    )
    .await;
}

#[actix_web::test]
async fn messages_and_requests_have_their_bounds() {
    let broker =
        TestBroker::start_with(&["limits.body_bytes_max=1000", "okq.request_bytes_max=70000"])
            .await;
    let mut okq = connect(&broker).await;
    let push = |id: &str, bytes: usize, more: &str| {
        let body = "x".repeat(bytes);
        request(
            &[&["QLPUSH", "q", id, &body], more.split_whitespace().collect::<Vec<_>>().as_slice()]
                .concat(),
        )
    };
    okq.exchange(push("1", 1000, ""), OK).await;
    let large = "-ERR message of 1001 bytes exceeds the limit of 1000\r\n";
    okq.exchange(push("2", 1001, ""), large).await;
    okq.exchange(push("2", 1001, "NOBLOCK"), large).await;
    let id = "i".repeat(65_537);
    let refused = "-ERR event id of 65537 bytes exceeds the limit of 65536\r\n";
    okq.exchange(push(&id, 1, ""), refused).await;
    okq.exchange(push("2", 200_000, ""), "-ERR request is longer than 70000 bytes\r\n").await;
    let names: Vec<String> = (0..20_000).map(|name| name.to_string()).collect();
    let many = [&["QSTATUS".to_owned()], names.as_slice()].concat();
    okq.exchange(request(&many), "-ERR request is longer than 70000 bytes\r\n").await;
    okq.exchange(line("QSTATUS q"), "*1\r\n*4\r\n$1\r\nq\r\n:1\r\n:0\r\n:0\r\n").await;
}

#[actix_web::test]
async fn okqs_flags_and_environment_move_the_door() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (flags, environment) in [
        (vec![format!("--listen-addr={free}"), "--redis-addr".into(), "redis:6379".into()], None),
        (vec![], Some(free.to_string())),
    ] {
        let mut command = process::octoq(folder.path());
        command.args(["serve", "--set", "store.path=store"]);
        for door in ["http", "otq", "dsmq", "fastqueue", "blockqueue"] {
            command.args(["--set", &format!("{door}.listen=127.0.0.1:0")]);
        }
        if let Some(address) = environment {
            command.env("OKQ_LISTEN_ADDR", address).env("OKQ_REDIS_ADDR", "redis:6379");
        }
        let mut child =
            command.args(&flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let doors: Vec<String> = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.starts_with("okq "))
            .collect();
        let mut okq = Wire::connect(free).await;
        expect_open(&mut okq).await;
        child.kill().unwrap();
        let said = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(log.matches("since octoq needs no Redis: --redis-addr").count(), 1, "{log}");
        assert_eq!(doors[0], "octoq ready");
    }
}
