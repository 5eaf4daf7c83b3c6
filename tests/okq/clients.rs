//! Redis clients as they are: the `redis` crate and redis-cli.

use super::common::TestBroker;
use super::process;
use redis::{RedisResult, Value};

/// A connection whose client waits longer than it does by itself: on a busy machine a first login takes
/// more than its half second.
async fn connected(url: String) -> RedisResult<redis::aio::MultiplexedConnection> {
    let patience = Some(std::time::Duration::from_secs(30));
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(patience)
        .set_response_timeout(patience);
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn client(broker: &TestBroker, path: &str) -> redis::aio::MultiplexedConnection {
    connected(format!("redis://{}/{path}", broker.door("okq"))).await.unwrap()
}

fn command(words: &str) -> redis::Cmd {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command
}

#[actix_web::test]
async fn the_redis_crate_speaks_with_octoq_in_both_protocols() {
    let broker = TestBroker::start().await;
    for path in ["0", "0?protocol=resp3"] {
        let mut redis = client(&broker, path).await;
        let pushed: String = command("QLPUSH q 1 hello").query_async(&mut redis).await.unwrap();
        assert_eq!(pushed, "OK");
        let again: RedisResult<String> = command("QLPUSH q 1 x").query_async(&mut redis).await;
        assert!(again.unwrap_err().to_string().contains("duplicate event 1"));
        let event: (String, String) =
            command("QRPOP q EX 10").query_async(&mut redis).await.unwrap();
        assert_eq!(event, ("1".to_owned(), "hello".to_owned()));
        let rows: Vec<(String, u64, u64, u64)> =
            command("QSTATUS q").query_async(&mut redis).await.unwrap();
        assert_eq!(rows, [("q".to_owned(), 1, 1, 0)]);
        let acked: bool = command("QACK q 1").query_async(&mut redis).await.unwrap();
        assert!(acked);
        let nothing: Value = command("QRPOP q").query_async(&mut redis).await.unwrap();
        assert_eq!(nothing, Value::Nil);
        let mut pipe = redis::pipe();
        for id in 0..500 {
            pipe.cmd("QLPUSH").arg("p").arg(id).arg(vec![0xffu8; 20]).ignore();
        }
        for _ in 0..500 {
            pipe.cmd("QRPOP").arg("p").arg("EX").arg(0);
        }
        let events: Vec<(String, Vec<u8>)> = pipe.query_async(&mut redis).await.unwrap();
        let expected = (0..500).map(|id| (id.to_string(), vec![0xffu8; 20]));
        assert_eq!(events, expected.collect::<Vec<_>>());
    }
}

#[actix_web::test]
async fn the_redis_crate_logs_in() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    for user in ["", "admin", "default"] {
        for protocol in ["", "?protocol=resp3"] {
            let url = format!("redis://{user}:password@{}/0{protocol}", broker.door("okq"));
            let mut redis = connected(url).await.unwrap();
            let pong: String = command("PING").query_async(&mut redis).await.unwrap();
            assert_eq!(pong, "PONG");
            let rows: Value = command("QSTATUS").query_async(&mut redis).await.unwrap();
            assert_eq!(rows, Value::Array(Vec::new()));
        }
    }
    let url = format!("redis://:wrong@{}/0", broker.door("okq"));
    assert!(connected(url).await.is_err());
}

/// What redis-cli prints for commands on its standard input, or as arguments.
async fn redis_cli(broker: &TestBroker, arguments: &[&str], input: &str) -> String {
    let port = broker.door("okq").port().to_string();
    let mut command = std::process::Command::new("redis-cli");
    command.args(["-p", &port]).args(arguments);
    let input = input.to_owned();
    // The broker runs on this thread.
    let ended = tokio::task::spawn_blocking(move || process::run(&mut command, &input));
    ended.await.expect("redis-cli: install redis-tools (tests/run does)").out
}

#[actix_web::test]
async fn redis_cli_speaks_with_octoq() {
    let broker = TestBroker::start().await;
    for protocol in ["-2", "-3"] {
        let one = |words: &'static str| {
            let words: Vec<&str> = std::iter::once(protocol).chain(words.split(' ')).collect();
            let broker = &broker;
            async move { redis_cli(broker, &words, "").await }
        };
        assert_eq!(one("PING").await, "PONG\n");
        assert_eq!(one("QLPUSH q 1 hello").await, "OK\n");
        assert_eq!(one("QLPUSH q 1 hello").await.trim(), "ERR duplicate event 1");
        assert_eq!(one("QINFO q").await, "q  total: 1  processing: 0  consumers: 0\n");
        let script = "QRPOP q EX 10\nQACK q 1\nQRPOP q\nqstatus q\n";
        let said = redis_cli(&broker, &[protocol], script).await;
        assert_eq!(said, "1\nhello\n1\n\nq\n0\n0\n0\n");
    }
    let said = redis_cli(&broker, &["-n", "0", "-a", "password", "--no-auth-warning", "PING"], "");
    assert_eq!(said.await, "PONG\n");
    // Sends whatever it is given, and counts the answers.
    let mass: String = (0..2000).map(|id| format!("QLPUSH mass {id} x\r\n")).collect();
    let said = redis_cli(&broker, &["--pipe"], &mass).await;
    assert!(said.contains("errors: 0, replies: 2000"), "{said}");
    assert_eq!(
        redis_cli(&broker, &["QINFO", "mass"], "").await,
        "mass  total: 2000  processing: 0  consumers: 0\n"
    );
}
