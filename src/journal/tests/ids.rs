//! A message with its publisher's own id and nothing else said: the row holds the id as bytes.

use super::*;
use crate::journal::check::{Verdict, check};
use crate::queue::{Content, MessageId, Times};
use std::fs;

const ID: &[u8] = b"the publisher's own id \xff";

fn named(number: u64, place: Place) -> Record {
    let body = Content::with_id(ID, &body(number));
    Record::Published(Stored { body, ..stored(number, place) })
}

/// What comes back: number, own id, whether it lies before the body, and the body.
fn seen(message: &Restored) -> (u64, MessageId, bool, Option<Bytes>) {
    let before = message.body.as_ref().and_then(Content::own_id);
    let beside = message.extra.as_ref().and_then(|extra| extra.client_id.as_deref());
    let id = before.or(beside).unwrap_or_default();
    let body = message.body.clone().map(Content::into_body);
    (message.number, MessageId::Client(Bytes::copy_from_slice(id)), before.is_some(), body)
}

fn own() -> MessageId {
    MessageId::Client(Bytes::from_static(ID))
}

#[test]
fn it_comes_back_before_the_body_or_where_the_body_is_left_to_the_store_beside_it() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(
        &journal,
        vec![named(1, Place::Queue(1)), named(2, Place::Queues([(3, 1), (4, 2)].into()))],
    );
    assert_eq!(rows(at.path(), "SELECT count(*) FROM msg WHERE typeof(extra) = 'blob'"), 2);
    journal.close().unwrap();
    let report = check(at.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Whole, "{report}");

    let (journal, _) = open(at.path());
    let all: Vec<_> = read_all(&journal).iter().map(seen).collect();
    assert_eq!(all, [(1, own(), true, Some(body(1))), (2, own(), true, Some(body(2)))]);
    let mut cold = Vec::new();
    journal.restore(None, &mut |_| false, &mut |message| cold.push(message)).unwrap();
    assert!(cold.iter().all(|message| message.body_bytes as usize == body(1).len()));
    let cold: Vec<_> = cold.iter().map(seen).collect();
    assert_eq!(cold, [(1, own(), false, None), (2, own(), false, None)]);
    let (answer, got) = mpsc::channel();
    journal.fetch(vec![1], Box::new(move |bodies| answer.send(bodies).unwrap())).unwrap();
    assert_eq!(got.recv().unwrap(), [(1, Some(body(1)))], "a body that is paged in is the body");
}

#[test]
fn it_goes_with_a_message_that_is_moved_and_with_a_copy() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![topic(3, Kind::Broker), queue(3, 3)]);
    put(
        &journal,
        vec![named(1, Place::Queue(1)), named(2, Place::Queues([(3, 1), (4, 2)].into()))],
    );
    let times =
        Times { visible_at: Timestamp(7), expires_at: Timestamp(i64::MAX - 9), stamped: true };
    let moved = |entry, message, to_entry, copied| Record::Moved {
        entry,
        message,
        to_entry,
        to_queue: 3,
        copied,
        letter: None,
        times,
        lone: false,
    };
    put(&journal, vec![moved(1, 1, 10, false), moved(3, 2, 11, true)]);
    let all: Vec<_> = read_all(&journal).iter().map(seen).collect();
    let expected = [(1, 1), (2, 2), (11, 2)];
    assert_eq!(all, expected.map(|(number, of)| (number, own(), true, Some(body(of)))));
}

#[test]
fn its_bytes_and_its_kind_are_under_the_checksum() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![named(1, Place::Queue(1)), published(2, 1), named(3, Place::Queue(1))]);
    journal.close().unwrap();
    let file = super::super::folder::database(at.path());
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.windows(ID.len()).position(|window| window == ID).unwrap();
    bytes[place + 3] ^= 0x10;
    fs::write(&file, bytes).unwrap();
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute("UPDATE msg SET extra = CAST('text' AS BLOB) WHERE id = 2", []).unwrap();
    drop(conn);
    let report = check(at.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Blemished, "{report}");
    assert!(report.to_string().contains("msg: 2 damaged rows"), "{report}");
    let (journal, _) = open(at.path());
    let left = numbers_in(&journal);
    assert!(left.len() == 1 && left[0] != 2, "{left:?}");
}

#[test]
fn the_checksum_tells_bytes_from_json_and_from_nothing() {
    use crate::journal::row::{MessageRow, Said};
    let stored = stored(1, Place::Queue(1));
    let crc = |extra| MessageRow { extra, ..MessageRow::of(&stored, None) }.crc();
    let all = [Said::Nothing, Said::Id(b""), Said::Json(""), Said::Id(b"{}"), Said::Json("{}")];
    for (nth, said) in all.iter().enumerate() {
        assert!(all[..nth].iter().all(|other| crc(*other) != crc(*said)), "{said:?}");
        assert_eq!(Said::read(said.value()), Some(*said));
    }
    assert_eq!(Said::read(rusqlite::types::ValueRef::Integer(1)), None);
}
