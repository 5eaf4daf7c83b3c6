//! What works: every command, framing, and what the door makes of bodies and names.

use super::common::{TestBroker, eventually};
use super::{dialogue, expect_open};

#[actix_web::test]
async fn worked_transcript_of_a_broker_topic() {
    let broker = TestBroker::start().await;
    let mut otq = broker.connect_otq().await;
    dialogue(
        &mut otq,
        &[
            ("OTQ CONNECT admin password\r\n", "CONNECTED\r\nENDOFRESP\r\n"),
            ("OTQ PUT default 2 BATCH\r\n", "PROCEED\r\n"),
            ("hello\r\nworld\r\n", "ENDOFRESP\r\n"),
            ("otq get default 5 batch\r\n", "PROCEED\r\nhello\r\nworld\r\nENDOFRESP\r\n"),
            ("OTQ GET default 1 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUTACK default 1 BATCH\r\nx\r\n", "PROCEED\r\nSUCCESS\r\n1\r\nENDOFRESP\r\n"),
            ("OTQ CLEAR default\r\n", "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n"),
            ("OTQ NEW t1 BROKER 500 T2\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n"),
            ("OTQ PING t1\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ NEW t1 PUBSUB\r\n", "PROCEED\r\nDECLINE:Topic is already existed\nENDOFRESP\r\n"),
        ],
    )
    .await;
    otq.expect_close().await;
}

#[actix_web::test]
async fn every_command_in_any_case_with_either_line_end_and_surplus_words() {
    let broker = TestBroker::start().await;
    let mut otq = broker.connect_otq().await;
    dialogue(
        &mut otq,
        &[
            ("oTq cOnNeCt admin password and more\n", "CONNECTED\r\nENDOFRESP\r\n"),
            ("otq publish default 1 batch\na\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUT default 1 STREAM\r\nb\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUT default 1 BATCH 0 surplus\r\nc\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ GET default 9 stream surplus\r\n", "PROCEED\r\na\r\nb\r\nc\r\nENDOFRESP\r\n"),
            ("OTQ PING default surplus\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ PING Default\r\n", "NOT FOUND\r\nENDOFRESP\r\n"),
            ("OTQ PING *\r\n", "NOT FOUND\r\nENDOFRESP\r\n"),
            ("OTQ ACKNOWLEDGE default\r\n", "ACKNOWLEDGE\r\nENDOFRESP\r\n"),
            ("OTQ UNSUBSCRIBE default\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ UNSUBSCRIBE nope\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ GET * 5 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ GET default 0 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUT default 0 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUTACK default 0 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ CLEAR pubsub surplus\r\n", "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n"),
        ],
    )
    .await;
}

#[actix_web::test]
async fn disconnect_closes_without_a_byte() {
    let broker = TestBroker::start().await;
    let mut fresh = broker.connect_otq().await;
    fresh.send("OTQ DISCONNECT\r\n").await;
    fresh.expect_close().await;
    let mut known = broker.login_otq().await;
    known.send("otq disconnect now\n").await;
    known.expect_close().await;
}

#[actix_web::test]
async fn new_takes_capacity_and_threads_in_either_place() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    let made = "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n";
    for (command, capacity) in [
        ("OTQ NEW n1 BROKER\r\n", 0),
        ("OTQ NEW n2 broker 7\r\n", 7),
        ("OTQ NEW n3 PUBSUB t4\r\n", 0),
        ("OTQ NEW n4 pubsub 9 T1 surplus\r\n", 9),
    ] {
        otq.exchange(command, made).await;
        let name = command.split(' ').nth(2).unwrap();
        let shown = broker.http("GET", &format!("/v1/topics/{name}"), "").await.expect(200);
        assert_eq!(shown["policy"]["capacity"], capacity, "{command}");
    }
}

/// A box as octoque draws it.
fn shown(name: &str, kind: &str, capacity: u64, size: u64) -> String {
    let rule = format!("+{}\n", "-".repeat(52));
    format!(
        "{rule}| Name              : {name}\n| Connection Type   : {kind}\n\
         | Capacity          : {capacity}\n| Store Size        : {size}\n{rule}\n"
    )
}

#[actix_web::test]
async fn display_draws_one_box_per_topic_in_creation_order() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW zz PUBSUB 4\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ NEW aa BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT default 2 BATCH\r\n1\r\n2\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT zz 1 BATCH\r\n1\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let default = shown("default", "BROKER", 0, 2);
    otq.exchange("OTQ DISPLAY default\r\n", format!("PROCEED\r\n{default}ENDOFRESP\r\n")).await;
    let pubsub = shown("pubsub", "PUBSUB", 0, 0);
    let (zz, aa) = (shown("zz", "PUBSUB", 4, 1), shown("aa", "BROKER", 0, 0));
    let all = format!("PROCEED\r\n{default}{pubsub}{zz}{aa}ENDOFRESP\r\n");
    otq.exchange("OTQ DISPLAY *\r\n", all).await;
}

#[actix_web::test]
async fn putack_says_the_size_after_each_row() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    dialogue(
        &mut otq,
        &[
            (
                "OTQ PUTACK default 2 BATCH\r\na\r\nb\r\n",
                "PROCEED\r\nSUCCESS\r\n1\r\nSUCCESS\r\n2\r\nENDOFRESP\r\n",
            ),
            ("OTQ PUTACK default 1 BATCH\r\nc\r\n", "PROCEED\r\nSUCCESS\r\n3\r\nENDOFRESP\r\n"),
            ("OTQ GET default 2 BATCH\r\n", "PROCEED\r\na\r\nb\r\nENDOFRESP\r\n"),
            ("OTQ PUTACK default 1 BATCH\r\nd\r\n", "PROCEED\r\nSUCCESS\r\n2\r\nENDOFRESP\r\n"),
            // A pubsub topic that nobody listens to keeps what it gets.
            (
                "OTQ PUTACK pubsub 2 BATCH\r\na\r\nb\r\n",
                "PROCEED\r\nSUCCESS\r\n1\r\nSUCCESS\r\n2\r\nENDOFRESP\r\n",
            ),
        ],
    )
    .await;
}

#[actix_web::test]
async fn putack_to_subscribers_leaves_nothing_in_the_store() {
    let broker = TestBroker::start().await;
    let mut subscriber = broker.login_otq().await;
    subscriber.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\n").await;
    let mut otq = broker.login_otq().await;
    otq.exchange(
        "OTQ PUTACK pubsub 2 BATCH\r\na\r\nb\r\n",
        "PROCEED\r\nSUCCESS\r\n0\r\nSUCCESS\r\n0\r\nENDOFRESP\r\n",
    )
    .await;
    subscriber.expect("a\nb\n").await;
}

#[actix_web::test]
async fn pipelined_puts_count_on_from_each_other() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange(
        "OTQ PUTACK default 1 BATCH\na\nOTQ PUTACK default 2 BATCH\nb\nc\nOTQ GET default 1 BATCH\n\
         OTQ PUTACK default 1 BATCH\nd\nOTQ PING default\nOTQ GET default 9 BATCH\n",
        "PROCEED\r\nSUCCESS\r\n1\r\nENDOFRESP\r\n\
         PROCEED\r\nSUCCESS\r\n2\r\nSUCCESS\r\n3\r\nENDOFRESP\r\n\
         PROCEED\r\na\r\nENDOFRESP\r\n\
         PROCEED\r\nSUCCESS\r\n3\r\nENDOFRESP\r\n\
         PONG\r\nENDOFRESP\r\n\
         PROCEED\r\nb\r\nc\r\nd\r\nENDOFRESP\r\n",
    )
    .await;
}

const WHOLE: &str = "OTQ CONNECT admin password\r\nOTQ PUT default 3 BATCH\r\none\rtwo\n\r\n\
                     OTQ GET default 5 BATCH\rOTQ PING default\nOTQ CLEAR default\r\n";
const ANSWERS: &str = "CONNECTED\r\nENDOFRESP\r\nPROCEED\r\nENDOFRESP\r\n\
                       PROCEED\r\none\r\ntwo\r\n\r\nENDOFRESP\r\nPONG\r\nENDOFRESP\r\n\
                       PROCEED\r\nCLEARED\r\nENDOFRESP\r\n";

#[actix_web::test]
async fn a_dialogue_split_anywhere_gets_the_same_answers() {
    let broker = TestBroker::start().await;
    for at in 0..=WHOLE.len() {
        let mut otq = broker.connect_otq().await;
        otq.send(&WHOLE[..at]).await;
        tokio::task::yield_now().await;
        otq.send(&WHOLE[at..]).await;
        otq.expect(ANSWERS).await;
    }
}

#[actix_web::test]
async fn a_dialogue_byte_by_byte_gets_the_same_answers() {
    let broker = TestBroker::start().await;
    let mut otq = broker.connect_otq().await;
    for byte in WHOLE.bytes() {
        otq.send([byte]).await;
        tokio::task::yield_now().await;
    }
    otq.expect(ANSWERS).await;
}

#[actix_web::test]
async fn a_lone_cr_ends_a_line_at_once_and_swallows_the_lf_behind_it() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    // The answer comes before the LF is sent; the LF is no empty command.
    otq.exchange("OTQ PING default\r", "PONG\r\nENDOFRESP\r\n").await;
    otq.exchange("\nOTQ PUTACK default 2 BATCH\r", "PROCEED\r\n").await;
    otq.exchange("\na\r", "SUCCESS\r\n1\r\n").await;
    otq.exchange("\n\r", "SUCCESS\r\n2\r\nENDOFRESP\r\n").await;
    otq.exchange("\nOTQ GET default 3 BATCH\r", "PROCEED\r\na\r\n\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn bodies_are_bytes() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    let body: Vec<u8> = (0..=255).filter(|byte| *byte != b'\r' && *byte != b'\n').collect();
    let mut put = b"OTQ PUT default 1 BATCH\r\n".to_vec();
    put.extend_from_slice(&body);
    put.extend_from_slice(b"\r\n");
    otq.exchange(put, "PROCEED\r\nENDOFRESP\r\n").await;
    otq.send("OTQ GET default 1 BATCH\r\n").await;
    otq.expect("PROCEED\r\n").await;
    let mut got = vec![0; body.len()];
    tokio::io::AsyncReadExt::read_exact(&mut otq.stream, &mut got).await.unwrap();
    assert_eq!(got, body);
    otq.expect("\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn names_are_bytes_too() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    let with = |before: &str, after: &str| {
        let name: &[u8] = b"\xff\x01\t%/\"";
        [before.as_bytes(), name, after.as_bytes(), b"\r\n"].concat()
    };
    otq.exchange(with("OTQ NEW ", " BROKER"), "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange(with("OTQ PING ", ""), "PONG\r\nENDOFRESP\r\n").await;
    otq.exchange(with("OTQ PUT ", " 1 BATCH\r\nx"), "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange(with("OTQ GET ", " 1 BATCH"), "PROCEED\r\nx\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn bodies_that_clash_with_the_framing_are_made_harmless() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange(
        "OTQ PUT default 2 BATCH\r\nENDOFRESP\r\nendofresp\r\n",
        "PROCEED\r\nENDOFRESP\r\n",
    )
    .await;
    let expected = "PROCEED\r\nENDOFRESP \r\nendofresp\r\nENDOFRESP\r\n";
    otq.exchange("OTQ GET default 2 BATCH\r\n", expected).await;

    for topic in ["default", "pubsub"] {
        let path = format!("/v1/topics/{topic}/messages");
        broker.http("POST", &path, r#"{"body":"a\r\nb\nc\rd\n\r\r\n"}"#).await.expect(201);
        broker.http("POST", &path, r#"{"body":"ENDOFRESP"}"#).await.expect(201);
    }
    let expected = "PROCEED\r\na b c d   \r\nENDOFRESP \r\nENDOFRESP\r\n";
    otq.exchange("OTQ GET default 2 BATCH\r\n", expected).await;
    otq.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\na b c d   \nENDOFRESP \n").await;

    // The stored bytes are as they were.
    let mut otq = broker.login_otq().await;
    let path = "/v1/topics/default/messages";
    broker.http("POST", path, r#"{"body":"a\r\nb"}"#).await.expect(201);
    let received =
        broker.http("POST", "/v1/topics/default/receive?take=true", "").await.expect(200);
    assert_eq!(received["messages"][0]["body"], "a\r\nb");
    expect_open(&mut otq).await;
}

#[actix_web::test]
async fn a_lifespan_ends_a_message() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 1 BATCH 1\r\nshort\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT default 1 BATCH 3600\r\nlong\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let far = format!("OTQ PUT default 1 BATCH {}\r\nfar\r\n", u64::MAX);
    otq.exchange(far, "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT default 1 BATCH 0\r\never\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    eventually("the short one expires", async || {
        let shown = broker.http("GET", "/v1/topics/default", "").await.expect(200);
        (shown["queues"][0]["ready"] == 3).then_some(())
    })
    .await;
    let expected = "PROCEED\r\nlong\r\nfar\r\never\r\nENDOFRESP\r\n";
    otq.exchange("OTQ GET default 4 BATCH\r\n", expected).await;
}

#[actix_web::test]
async fn a_full_topic_fails_the_rows_that_do_not_fit() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    dialogue(
        &mut otq,
        &[
            ("OTQ NEW cap BROKER 2\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n"),
            ("OTQ PUT cap 3 BATCH\r\na\r\nb\r\nc\r\n", "PROCEED\r\nFAIL\r\nENDOFRESP\r\n"),
            ("OTQ PUTACK cap 1 BATCH\r\nd\r\n", "PROCEED\r\nFAIL\r\nENDOFRESP\r\n"),
            ("OTQ GET cap 1 BATCH\r\n", "PROCEED\r\na\r\nENDOFRESP\r\n"),
            (
                "OTQ PUTACK cap 2 BATCH\r\ne\r\nf\r\n",
                "PROCEED\r\nSUCCESS\r\n2\r\nFAIL\r\nENDOFRESP\r\n",
            ),
            ("OTQ PUBLISH cap 1 BATCH\r\ng\r\n", "PROCEED\r\nFAIL\r\nENDOFRESP\r\n"),
            ("OTQ GET cap 9 BATCH\r\n", "PROCEED\r\nb\r\ne\r\nENDOFRESP\r\n"),
            ("OTQ NEW pcap PUBSUB 1\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n"),
            (
                "OTQ PUTACK pcap 2 BATCH\r\na\r\nb\r\n",
                "PROCEED\r\nSUCCESS\r\n1\r\nFAIL\r\nENDOFRESP\r\n",
            ),
        ],
    )
    .await;
}

#[actix_web::test]
async fn a_row_above_the_limit_fails_alone() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=1000"]).await;
    let mut otq = broker.login_otq().await;
    let (fits, long, huge) = ("f".repeat(1000), "x".repeat(1001), "y".repeat(300_000));
    let put = format!("OTQ PUTACK default 4 BATCH\r\na\r\n{long}\r\n{fits}\r\n{huge}\r\n");
    let answer = "PROCEED\r\nSUCCESS\r\n1\r\nFAIL\r\nSUCCESS\r\n2\r\nFAIL\r\nENDOFRESP\r\n";
    // In one read or in several, a row's answer comes in its place.
    otq.exchange(put, answer).await;
    let put = format!("OTQ PUT default 2 BATCH\r\n{huge}\r\nb\r\n");
    otq.exchange(put, "PROCEED\r\nFAIL\r\nENDOFRESP\r\n").await;
    let got = format!("PROCEED\r\na\r\n{fits}\r\nb\r\nENDOFRESP\r\n");
    otq.exchange("OTQ GET default 9 BATCH\r\n", got).await;
}

#[actix_web::test]
async fn rows_of_four_megabytes_are_taken_and_one_byte_more_is_not() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    let (fits, long) = ("f".repeat(4_000_000), "x".repeat(4_000_001));
    otq.exchange("OTQ PUT default 2 BATCH\r\n", "PROCEED\r\n").await;
    otq.send(format!("{long}\r\n{fits}\r\n")).await;
    otq.expect("FAIL\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ GET default 2 BATCH\r\n", format!("PROCEED\r\n{fits}\r\nENDOFRESP\r\n"))
        .await;
}

#[actix_web::test]
async fn many_rows_and_many_messages_go_piece_by_piece() {
    let broker =
        TestBroker::start_with(&["limits.batch_max=100", "limits.receive_bytes_max=4096"]).await;
    let mut otq = broker.login_otq().await;
    let rows: String = (0..2500).map(|row| format!("row-{row:06}\r\n")).collect();
    otq.exchange(format!("OTQ PUT default 2500 BATCH\r\n{rows}"), "PROCEED\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ GET default 1000000 BATCH\r\n", format!("PROCEED\r\n{rows}ENDOFRESP\r\n"))
        .await;
    otq.exchange("OTQ GET default 1000000 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn commas_name_several_topics() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    let made = "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n";
    dialogue(
        &mut otq,
        &[
            ("OTQ NEW a BROKER 1\r\n", made),
            ("OTQ NEW b BROKER\r\n", made),
            ("OTQ PUBLISH a,b 1 BATCH\r\nboth\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            // Stored in one of them is not stored: the row says so.
            ("OTQ PUTACK a,b 1 BATCH\r\nsecond\r\n", "PROCEED\r\nFAIL\r\nENDOFRESP\r\n"),
            ("OTQ GET a 9 BATCH\r\n", "PROCEED\r\nboth\r\nENDOFRESP\r\n"),
            ("OTQ GET b 9 BATCH\r\n", "PROCEED\r\nboth\r\nsecond\r\nENDOFRESP\r\n"),
            // A topic whose name has a comma goes first.
            ("OTQ NEW a,b BROKER\r\n", made),
            ("OTQ PUT a,b 1 BATCH\r\nwhole\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ GET a,b 1 BATCH\r\n", "PROCEED\r\nwhole\r\nENDOFRESP\r\n"),
            ("OTQ GET a 1 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUT a,nope 1 BATCH\r\n", "DECLINE:Requested topic not found\nENDOFRESP\r\n"),
        ],
    )
    .await;
    otq.expect_close().await;
}

#[actix_web::test]
async fn rows_refused_by_one_topic_do_not_shift_those_of_the_next() {
    let broker = TestBroker::start().await;
    for topic in [
        r#"{"name":"short","policy":{"bytes_max":5}}"#,
        r#"{"name":"single","policy":{"capacity":1}}"#,
    ] {
        broker.http("POST", "/v1/topics", topic).await.expect(201);
    }
    let mut otq = broker.login_otq().await;
    // `short` refuses the first row, `single` the second: no row is in both.
    otq.exchange(
        "OTQ PUTACK short,single 2 BATCH\r\nfar too long\r\nb\r\n",
        "PROCEED\r\nFAIL\r\nFAIL\r\nENDOFRESP\r\n",
    )
    .await;
    otq.exchange("OTQ GET short 9 BATCH\r\n", "PROCEED\r\nb\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ GET single 9 BATCH\r\n", "PROCEED\r\nfar too long\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn a_slash_names_one_queue_of_a_topic() {
    let broker = TestBroker::start().await;
    let topic = r#"{"name":"work","queues":[{"name":"a"},{"name":"b"}]}"#;
    broker.http("POST", "/v1/topics", topic).await.expect(201);
    let mut otq = broker.login_otq().await;
    dialogue(
        &mut otq,
        &[
            ("OTQ PUT work 1 BATCH\r\nall\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PUT work/a 1 BATCH\r\nonly-a\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ GET work/a 9 BATCH\r\n", "PROCEED\r\nall\r\nonly-a\r\nENDOFRESP\r\n"),
            ("OTQ GET work/b 9 BATCH\r\n", "PROCEED\r\nall\r\nENDOFRESP\r\n"),
            (
                "OTQ PUTACK work/b 2 BATCH\r\n1\r\n2\r\n",
                "PROCEED\r\nSUCCESS\r\n1\r\nSUCCESS\r\n2\r\nENDOFRESP\r\n",
            ),
            ("OTQ CLEAR work/b\r\n", "PROCEED\r\nCLEARED\r\nENDOFRESP\r\n"),
            ("OTQ GET work/b 9 BATCH\r\n", "PROCEED\r\nENDOFRESP\r\n"),
            ("OTQ PING work/a\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ PING work/c\r\n", "NOT FOUND\r\nENDOFRESP\r\n"),
            // A topic of that very name exists: it is meant where no queue is.
            ("OTQ NEW work/c BROKER\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n"),
            ("OTQ PING work/c\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ GET work/nope 1 BATCH\r\n", "DECLINE:Requested topic not found\nENDOFRESP\r\n"),
        ],
    )
    .await;
    otq.expect_close().await;
}

#[actix_web::test]
async fn messages_of_one_door_are_seen_by_the_other() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 1 BATCH\r\nfrom otq\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let received =
        broker.http("POST", "/v1/topics/default/receive?take=true", "").await.expect(200);
    assert_eq!(received["messages"][0]["body"], "from otq");
    broker.http("POST", "/v1/topics/default/messages", r#"{"body":"from http"}"#).await.expect(201);
    otq.exchange("OTQ GET default 1 BATCH\r\n", "PROCEED\r\nfrom http\r\nENDOFRESP\r\n").await;
}
