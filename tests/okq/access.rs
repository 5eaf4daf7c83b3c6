//! Who may do what: AUTH, HELLO with AUTH, and users with rights on some topics.

use super::common::{TestBroker, Wire, http};
use super::{NIL, OK, connect, dialogue, line};

const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";

async fn put_user(broker: &TestBroker, name: &str, topics: &str) {
    let body = format!(r#"{{"password":"pw-{name}","topics":{topics}}}"#);
    // `admin:password`
    let headers = [("Authorization", "Basic YWRtaW46cGFzc3dvcmQ=")];
    let path = format!("/v1/users/{name}");
    http(broker.door("http"), "PUT", &path, &headers, body.as_bytes()).await.expect(204);
}

async fn login(broker: &TestBroker, name: &str) -> Wire {
    let mut wire = connect(broker).await;
    wire.exchange(line(&format!("AUTH {name} pw-{name}")), OK).await;
    wire
}

#[actix_web::test]
async fn somebody_from_this_machine_needs_no_credentials() {
    let broker = TestBroker::start().await;
    let mut wire = connect(&broker).await;
    dialogue(
        &mut wire,
        &[
            ("QLPUSH q 1 a", OK),
            ("AUTH admin wrong", WRONG),
            ("QLPUSH q 2 a", OK),
            ("AUTH admin password", OK),
            ("AUTH password", OK),
            ("AUTH default password", OK),
            ("AUTH wrong", WRONG),
            ("AUTH nobody password", WRONG),
            ("QLPUSH q 3 a", OK),
            ("AUTH", "-ERR missing args\r\n"),
        ],
    )
    .await;
}

#[actix_web::test]
async fn where_credentials_are_needed_nothing_else_goes_before() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let mut wire = connect(&broker).await;
    dialogue(
        &mut wire,
        &[
            ("PING", "+PONG\r\n"),
            ("PING hi", NOAUTH),
            ("QLPUSH q 1 a", NOAUTH),
            ("QLPUSH", NOAUTH),
            ("NOSUCH", NOAUTH),
            ("INFO", NOAUTH),
            ("HELLO 3 AUTH admin wrong", WRONG),
            ("QSTATUS", NOAUTH),
        ],
    )
    .await;
    wire.send(line("HELLO 3 AUTH default password")).await;
    wire.expect("%7\r\n$6\r\nserver\r\n$5\r\noctoq\r\n").await;
    while wire.line().await != "*0\r\n" {}
    dialogue(&mut wire, &[("QLPUSH q 1 a", OK), ("RESET", "+RESET\r\n"), ("QSTATUS", NOAUTH)])
        .await;
    wire.exchange(line("QUIT"), OK).await;
    wire.expect_close().await;
}

#[actix_web::test]
async fn a_user_may_do_everything_on_its_own_queues_and_nothing_on_others() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    put_user(&broker, "ann", r#"["own"]"#).await;
    let mut admin = connect(&broker).await;
    dialogue(&mut admin, &[("AUTH password", OK), ("QLPUSH shared 1 a", OK)]).await;
    let mut ann = login(&broker, "ann").await;
    let denied = |what: &str| format!("-NOPERM not allowed: `{what}` on this topic\r\n");
    let (read, write, clear, create) =
        (denied("read"), denied("write"), denied("clear"), denied("create"));
    dialogue(
        &mut ann,
        &[
            ("QLPUSH shared 2 b", &write),
            ("QLPUSH shared 2 b NOBLOCK", &write),
            ("QRPOP shared", &read),
            ("QRPEEK shared", &read),
            ("QACK shared 1", &read),
            ("QACK shared 1 REDO", &read),
            ("QNACK shared 1", &read),
            ("QSTATUS shared", &read),
            ("QFLUSH shared", &clear),
            ("QREGISTER shared", &read),
            ("QBPOP shared 0", &read),
            ("QBPOP shared own 0", &read),
            ("QLPUSH other 1 a", &create),
            ("QREGISTER other", &create),
            ("QRPOP other", NIL),
            ("QLPUSH own 1 a", OK),
            ("QRPOP own", "*2\r\n$1\r\n1\r\n$1\r\na\r\n"),
            ("QSTATUS", "*1\r\n*4\r\n$3\r\nown\r\n:1\r\n:1\r\n:0\r\n"),
            ("QFLUSH own", OK),
        ],
    )
    .await;
    // What is changed holds for connections that are open.
    put_user(&broker, "ann", "[]").await;
    ann.exchange(line("QLPUSH own 2 a"), OK).await;
    put_user(&broker, "ann", r#"["shared"]"#).await;
    ann.exchange(line("QRPOP shared"), "*2\r\n$1\r\n1\r\n$1\r\na\r\n").await;
}
