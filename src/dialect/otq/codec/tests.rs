//! Literal lines, cut anywhere.

use super::*;

const ROWS_MAX: u64 = 1_000_000;

fn lines_of(chunks: &[&[u8]], bytes_max: usize) -> Vec<Option<Vec<u8>>> {
    let (mut lines, mut buffer, mut out) = (Lines::default(), BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(line) = lines.next(&mut buffer, bytes_max) {
            out.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert!(buffer.len() <= bytes_max.max(chunk.len()), "the buffer stays bounded");
    }
    out
}

#[test]
fn lf_cr_lf_and_a_lone_cr_end_a_line_at_any_split() {
    let input = b"one\r\ntwo\nthree\rfour\r\r\n\n\r\nlast\n";
    let expected: Vec<Option<Vec<u8>>> =
        ["one", "two", "three", "four", "", "", "", "last"].map(|line| Some(line.into())).into();
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let chunks = [&input[..first], &input[first..second], &input[second..]];
            assert_eq!(lines_of(&chunks, 100), expected, "cut at {first} and {second}");
        }
    }
}

#[test]
fn an_overlong_line_is_skipped_to_its_end_at_any_split() {
    let input = b"ok\n0123456789\nfine\r\n";
    for cut in 0..=input.len() {
        let chunks = [&input[..cut], &input[cut..]];
        assert_eq!(
            lines_of(&chunks, 5),
            [Some(b"ok".to_vec()), None, Some(b"fine".to_vec())],
            "cut at {cut}"
        );
    }
}

#[test]
fn every_command_of_the_protocol_is_read() {
    let topic = || Bytes::from_static(b"t");
    let put = |put, rows, lifespan_s| Command::Put { put, topic: topic(), rows, lifespan_s };
    let new = |kind, capacity| Command::New { topic: topic(), kind, capacity };
    let table = [
        ("OTQ CONNECT u p", Command::Connect { user: "u".into(), password: "p".into() }),
        ("otq connect u p more words", Command::Connect { user: "u".into(), password: "p".into() }),
        ("OTQ DISCONNECT", Command::Disconnect),
        ("OTQ DISCONNECT now", Command::Disconnect),
        ("OTQ PUT t 2 BATCH", put(Put::Quiet, 2, 0)),
        ("OTQ PUBLISH t 0 stream 7", put(Put::Quiet, 0, 7)),
        ("OTQ PUTACK t 1000000 Batch", put(Put::Acknowledged, 1_000_000, 0)),
        ("otq get t 5 batch", Command::Get { topic: topic(), count: 5 }),
        ("OTQ GET * 1 BATCH", Command::Get { topic: Bytes::from_static(b"*"), count: 1 }),
        ("OTQ SUBSCRIBE t", Command::Subscribe(topic())),
        ("OTQ UNSUBSCRIBE t", Command::Unsubscribe(topic())),
        ("OTQ PING t", Command::Ping(topic())),
        ("OTQ CLEAR t", Command::Clear(topic())),
        ("OTQ NEW t BROKER", new(Kind::Broker, 0)),
        ("OTQ NEW t pubsub 500", new(Kind::Pubsub, 500)),
        ("OTQ NEW t BROKER T2", new(Kind::Broker, 0)),
        ("OTQ NEW t BROKER 500 t2 more", new(Kind::Broker, 500)),
        ("OTQ NEW t BROKER ", new(Kind::Broker, 0)),
        ("OTQ PUT t 1 BATCH ", put(Put::Quiet, 1, 0)),
        ("OTQ DISPLAY t", Command::Display(topic())),
        ("OTQ ACKNOWLEDGE t", Command::Acknowledge(topic())),
    ];
    for (line, command) in table {
        assert_eq!(parse(line.as_bytes(), ROWS_MAX), Ok(command), "{line}");
    }
}

#[test]
fn every_malformed_line_has_its_own_reason() {
    let table = [
        ("", "Invalid Protocol"),
        (" OTQ PING t", "Invalid Protocol"),
        ("HELLO", "Invalid Protocol"),
        ("OTQ\tPING t", "Invalid Protocol"),
        ("CUSTOM PING t", "Feature not implemented"),
        ("OTQ", "Missing command"),
        ("OTQ ", "Missing command"),
        ("OTQ  PING", "Missing command"),
        ("OTQ DANCE t", "Invalid command"),
        ("OTQ PING", "Missing topic name"),
        ("OTQ GET", "Missing topic name"),
        ("OTQ GET t", "Missing number of message to retrieve"),
        ("OTQ PUT t", "Missing number of payload message"),
        ("OTQ GET t 1", "Missing  transfer method"),
        ("OTQ PUT t 1", "Missing transfer method"),
        ("OTQ GET t 1 one", "Invalid transfer method"),
        ("OTQ PUT t 1 one", "Invalid transfer method"),
        ("OTQ GET t x BATCH", "invalid integer: x"),
        ("OTQ GET t -1 BATCH", "invalid integer: -1"),
        ("OTQ PUT t 1000001 BATCH", "invalid integer: 1000001"),
        ("OTQ PUT t 99999999999999999999 BATCH", "invalid integer: 99999999999999999999"),
        ("OTQ PUT t 1 BATCH x", "invalid integer: x"),
        ("OTQ NEW t QUEUE", "Invalid connection type, accept only BROKER, PUBSUB"),
        ("OTQ NEW t", "Missing connection type for new topic"),
        ("OTQ NEW t BROKER 5 6", "Invalid number of thread format, number always starts with T"),
        ("OTQ NEW t BROKER  500", "Invalid number of thread format, number always starts with T"),
        ("OTQ NEW t BROKER  T2", "invalid integer: "),
        (
            "OTQ NEW t BROKER 500  T2",
            "Invalid number of thread format, number always starts with T",
        ),
        ("OTQ PUT t 1 BATCH  5", "invalid integer: "),
        ("OTQ NEW t BROKER x", "invalid integer: x"),
        ("OTQ NEW t BROKER Tx", "invalid integer: x"),
        ("OTQ NEW t BROKER 1 T", "invalid integer: "),
        ("OTQ CONNECT", "Missing paramters, username or password"),
        ("OTQ CONNECT u", "Missing paramters, username or password"),
    ];
    for (line, reason) in table {
        let refused = parse(line.as_bytes(), ROWS_MAX).expect_err(line);
        assert_eq!(refused.to_string(), reason, "{line}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let command = parse(b"OTQ CONNECT admin secret", ROWS_MAX).unwrap();
    assert!(!format!("{command:?}").contains("secret"));
}

#[test]
fn messages_that_clash_with_the_framing_are_changed_as_little_as_possible() {
    let table: [(&[u8], &[u8]); 7] = [
        (b"plain", b"plain\r\n"),
        (b"", b"\r\n"),
        (b"ENDOFRESP", b"ENDOFRESP \r\n"),
        (b"ENDOFRESPX", b"ENDOFRESPX\r\n"),
        (b"a\r\nb\rc\nd", b"a b c d\r\n"),
        (b"\n\n", b"  \r\n"),
        (b"\xff\0", b"\xff\0\r\n"),
    ];
    for (message, line) in table {
        let mut out = Vec::new();
        row(&mut out, message);
        assert_eq!(out, line);
    }
}

#[test]
fn answers_have_octoques_exact_bytes() {
    let mut out = Vec::new();
    decline(&mut out, "Unauthorized access");
    stored(&mut out, 12);
    display(&mut out, b"default", Kind::Broker, 0, 2);
    let rule = "-".repeat(52);
    let expected = format!(
        "DECLINE:Unauthorized access\nSUCCESS\r\n12\r\n+{rule}\n| Name              : default\n\
         | Connection Type   : BROKER\n| Capacity          : 0\n| Store Size        : 2\n+{rule}\n\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn only_whole_commands_look_like_commands() {
    assert!(looks_like_command(b"OTQ PING t", ROWS_MAX));
    for row in ["OTQ", "OTQ ", "OTQ PING", "hello", "CUSTOM PING t"] {
        assert!(!looks_like_command(row.as_bytes(), ROWS_MAX), "{row}");
    }
}

proptest::proptest! {
    #[test]
    fn no_input_breaks_the_reader(input: Vec<u8>, cuts in proptest::collection::vec(0usize..64, 0..8)) {
        let (mut lines, mut buffer, mut at) = (Lines::default(), BytesMut::new(), 0);
        for cut in cuts.into_iter().chain([input.len()]) {
            let end = (at + cut).min(input.len());
            buffer.extend_from_slice(&input[at..end]);
            at = end;
            while let Some(line) = lines.next(&mut buffer, 16) {
                if let Line::Whole(line) = line {
                    let _ = parse(&line, ROWS_MAX);
                }
            }
            proptest::prop_assert!(buffer.len() <= 16);
        }
    }
}
