//! Stores of older formats: what they say still counts, and opening makes them new ones.

use super::marks::{died, purged, swept};
use super::*;
use crate::journal::check::{Verdict, check, repair};

/// The tables of format 1, as the first octoq made them.
const FORMAT_1: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE progress(id INTEGER PRIMARY KEY CHECK(id = 1), last_commit INTEGER NOT NULL, last_sync_commit INTEGER NOT NULL);
CREATE TABLE topics(number INTEGER PRIMARY KEY, name BLOB NOT NULL, kind TEXT NOT NULL, policy TEXT NOT NULL,
    salt INTEGER NOT NULL, epoch INTEGER NOT NULL, owner TEXT, created INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE queues(number INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name BLOB NOT NULL, policy TEXT NOT NULL,
    created INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE seq_reserved(topic INTEGER PRIMARY KEY, through INTEGER NOT NULL);
CREATE TABLE claimed(topic INTEGER PRIMARY KEY, through INTEGER NOT NULL);
CREATE TABLE settings(kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE TABLE msg(id INTEGER PRIMARY KEY, topic INTEGER, queue INTEGER, seq INTEGER, flags INTEGER,
    published INTEGER, visible INTEGER, expires INTEGER, extra TEXT, body BLOB, crc INTEGER);
CREATE TABLE ref(id INTEGER PRIMARY KEY, queue INTEGER, msg INTEGER, crc INTEGER);
CREATE TABLE attempt(id INTEGER PRIMARY KEY, n INTEGER, visible INTEGER, failures TEXT, crc INTEGER);
CREATE TABLE dead(id INTEGER PRIMARY KEY, letter TEXT, crc INTEGER);
CREATE TABLE dedup(id INTEGER PRIMARY KEY, topic INTEGER, key BLOB, seq INTEGER, published INTEGER, until INTEGER, crc INTEGER);
CREATE TABLE mark(n INTEGER PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL, through INTEGER NOT NULL, except_json TEXT NOT NULL);
CREATE TABLE quarantine(n INTEGER PRIMARY KEY, source TEXT NOT NULL, id INTEGER NOT NULL, columns_json TEXT NOT NULL, body BLOB);
INSERT INTO progress VALUES(1, 7, 7);
INSERT INTO meta VALUES('format', 1), ('store', 4711), ('reserved', 100), ('clean', 1);
PRAGMA application_id = 0x6f637471;
";

/// A store of format 1 with the rows of a new one, and two marks: a purge that met 2 in flight and 4
/// dead (5 died later, which a mark of that format does not ask), and the drop of queue 2.
fn store_of_format_1() -> TempDir {
    let (from, to) = (folder(), folder());
    let (journal, _) = open(from.path());
    furnish(&journal);
    put(&journal, (1..=7).map(|number| published(number, 1 + (number / 7) as u32)).collect());
    put(&journal, vec![died(4, false), died(5, false)]);
    journal.close().unwrap();
    let conn = rusqlite::Connection::open(super::super::folder::database(to.path())).unwrap();
    conn.execute_batch(FORMAT_1).unwrap();
    let from = super::super::folder::database(from.path());
    conn.execute("ATTACH ?1 AS new", [from.to_str().unwrap()]).unwrap();
    for table in ["topics", "queues", "msg", "dead"] {
        conn.execute(&format!("INSERT INTO {table} SELECT * FROM new.{table}"), []).unwrap();
    }
    conn.execute_batch(
        "DELETE FROM queues WHERE number = 2;
        INSERT INTO mark VALUES(1, 'queue', 1, 5, '[2,4]'), (2, 'queue', 2, 100, '[]');",
    )
    .unwrap();
    to
}

#[test]
fn a_store_of_format_1_is_read_as_it_was_meant_and_becomes_one_of_this_format() {
    let at = store_of_format_1();
    let report = check(at.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Whole, "{report}");
    assert!(report.to_string().contains("format 1, 7 commits"), "{report}");
    let saved = folder();
    repair(at.path(), saved.path()).unwrap();
    for path in [saved.path(), at.path()] {
        let (journal, catalog) = open(path);
        assert_eq!((catalog.topics.len(), catalog.queues.len()), (2, 1));
        let format = "SELECT value FROM meta WHERE key = 'format'";
        assert_eq!(rows(path, format), schema::FORMAT);
        assert_eq!(numbers_in(&journal), [2, 4, 6]);
        eventually("swept", || swept(path));
        assert_eq!(rows(path, "SELECT count(*) FROM msg"), 3);
        let dead: Vec<bool> =
            read_all(&journal).iter().map(|m| m.entries[0].dead.is_some()).collect();
        assert_eq!(dead, [false, true, false]);
        put(&journal, vec![purged(1, 6)]);
        assert_eq!(numbers_in(&journal), [4]);
        journal.close().unwrap();
        assert_eq!(check(path).unwrap().verdict, Verdict::Whole);
    }
}
