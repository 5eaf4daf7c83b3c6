//! Purges and drops: gone at once, the rows later, a crash in between changes nothing.

use super::*;
use crate::journal::check::{Verdict, check, repair};

pub(super) fn purged(queue: u32, through: u64) -> Record {
    Record::Purged { queue, through }
}

pub(super) fn died(entry: u64, revived: bool) -> Record {
    Record::Died { entry, letter: DeadLetter { revived, ..letter() } }
}

/// What a process that was killed with these records in the store would leave behind: the writer is
/// held in an answer meanwhile, so nothing is swept yet.
fn unswept(journal: &Journal, path: &Path, records: Vec<Record>) -> TempDir {
    let (answer, image) = mpsc::channel();
    let path = path.to_owned();
    let done: Done = Box::new(move |outcome| {
        outcome.unwrap();
        answer.send(crash_image(&path)).unwrap();
    });
    journal.submit(Submission { records, level: Level::Sync, done: Some(done) }).ok().unwrap();
    image.recv().unwrap()
}

pub(super) fn swept(path: &Path) -> bool {
    rows(path, "SELECT count(*) FROM mark") == 0
}

#[test]
fn a_purge_spares_dead_letters_and_what_is_above() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (1..=6).map(|number| published(number, 1)).chain([published(7, 2)]).collect());
    put(&journal, vec![Record::Published(stored(8, Place::Queues([(9, 1), (10, 2)].into())))]);
    // One waits again since its death.
    put(&journal, vec![died(2, false), died(3, true), died(9, false)]);
    put(&journal, vec![purged(1, 5), purged(1, 9), published(11, 1)]);
    let left = [2, 7, 8, 11];
    assert_eq!(numbers_in(&journal), left);
    eventually("swept", || swept(at.path()));
    assert_eq!(rows(at.path(), "SELECT count(*) FROM msg"), 4);
    assert_eq!(rows(at.path(), "SELECT count(*) FROM dead"), 2);
    let dead = |message: &Restored| message.entries[0].dead.is_some();
    let all = read_all(&journal);
    assert_eq!(all.iter().map(|message| message.number).collect::<Vec<_>>(), left);
    assert_eq!(all.iter().map(dead).collect::<Vec<_>>(), [true, false, true, false]);
    // The letter alone keeps it.
    put(&journal, vec![died(11, false), purged(1, 11)]);
    eventually("swept", || swept(at.path()));
    assert_eq!(numbers_in(&journal), left);
}

#[test]
fn what_a_purge_took_may_be_removed_before_and_after_it_is_swept() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    let both = |number| {
        Record::Published(stored(number, Place::Queues([(number + 1, 1), (number + 2, 2)].into())))
    };
    let removed = |entry, message, last| Record::Removed { entry, message, last };
    put(&journal, vec![published(1, 1), published(2, 1), both(3), both(6), both(9)]);
    put(&journal, vec![purged(1, 10), removed(1, 1, true), removed(4, 3, false)]);
    assert_eq!(numbers_in(&journal), [3, 6, 9]);
    eventually("swept", || swept(at.path()));
    put(&journal, vec![removed(2, 2, true), removed(7, 6, false)]);
    put(&journal, vec![removed(5, 3, true), removed(11, 9, false), removed(10, 9, true)]);
    assert_eq!(numbers_in(&journal), [6]);
    assert_eq!(rows(at.path(), "SELECT count(*) FROM msg"), 1);
    journal.close().unwrap();
    assert_eq!(check(at.path()).unwrap().verdict, Verdict::Whole);
}

/// Its other place was purged while it was in flight, and its receipt was gone with the process.
#[test]
fn a_message_without_a_place_goes_at_the_next_start() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(
        &journal,
        vec![
            Record::Published(stored(1, Place::Queues([(2, 1), (3, 2)].into()))),
            Record::Published(stored(4, Place::Queues([(5, 1), (6, 2)].into()))),
            published(7, 1),
            purged(1, 5),
        ],
    );
    eventually("swept", || swept(at.path()));
    put(&journal, vec![Record::Removed { entry: 3, message: 1, last: false }]);
    let image = crash_image(at.path());
    let report = check(image.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Whole, "{report}");
    assert!(report.to_string().contains("1 messages have no place left"), "{report}");
    let (journal, _) = open(image.path());
    assert_eq!(numbers_in(&journal), [4, 7]);
    eventually("gone", || rows(image.path(), "SELECT count(*) FROM msg") == 2);
    assert_eq!(numbers_in(&journal), [4, 7]);
}

fn damage_letters(path: &Path) {
    let conn = rusqlite::Connection::open(super::super::folder::database(path)).unwrap();
    conn.execute("UPDATE dead SET letter = letter || ' '", []).unwrap();
}

#[test]
fn a_dead_letter_under_a_mark_outlives_damage_to_its_letter() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![published(1, 1), published(2, 1), died(2, false)]);
    // The writer is held in the answer until the damage is found, so the sweep comes after that.
    let (answer, answered) = mpsc::channel();
    let (go_on, held) = mpsc::channel();
    let done: Done = Box::new(move |outcome| {
        answer.send(outcome).unwrap();
        held.recv().unwrap();
    });
    let records = vec![purged(1, 2)];
    journal.submit(Submission { records, level: Level::Sync, done: Some(done) }).ok().unwrap();
    answered.recv().unwrap().unwrap();
    damage_letters(at.path());
    let image = crash_image(at.path());
    assert_eq!(numbers_in(&journal), [2]);
    go_on.send(()).unwrap();
    eventually("swept", || swept(at.path()));
    assert_eq!(rows(at.path(), "SELECT count(*) FROM dead"), 0);
    assert_eq!(numbers_in(&journal), [2]);

    let to = folder();
    repair(image.path(), to.path()).unwrap();
    let (journal, _) = open(to.path());
    eventually("swept", || swept(to.path()));
    assert_eq!(numbers_in(&journal), [2]);
}

#[test]
fn a_message_whose_last_place_was_purged_goes_and_one_with_another_place_stays() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(
        &journal,
        vec![
            Record::Published(stored(1, Place::Queues([(2, 1), (3, 2)].into()))),
            Record::Published(stored(4, Place::Queues([(5, 1), (6, 2)].into()))),
            Record::Attempted {
                entry: 2,
                attempts: 1,
                visible_at: Timestamp(1),
                failures: Vec::new(),
            },
        ],
    );
    put(&journal, vec![Record::Removed { entry: 3, message: 1, last: false }, purged(1, 6)]);
    assert_eq!(numbers_in(&journal), [4]);
    eventually("swept", || swept(at.path()));
    assert_eq!(rows(at.path(), "SELECT group_concat(id) = '4' FROM msg"), 1);
    assert_eq!(rows(at.path(), "SELECT group_concat(id) = '6' FROM ref"), 1);
    assert_eq!(rows(at.path(), "SELECT count(*) FROM attempt"), 0);
}

#[test]
fn marks_survive_a_crash_before_the_sweep() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (1..=50).map(|number| published(number, 1)).collect());
    put(
        &journal,
        vec![
            Record::Published(stored(60, Place::Queues([(61, 1), (62, 2)].into()))),
            Record::Published(stored(63, Place::Queue(2))),
            Record::Published(stored(64, Place::History { claimed: false })),
            Record::Deduped {
                number: 65,
                topic: 2,
                key: Bytes::from_static(b"k"),
                seq: 1,
                published_at: Timestamp(1),
                until: Timestamp(9),
            },
        ],
    );
    journal.numbers(100);
    put(&journal, vec![died(7, false)]);
    let records =
        vec![purged(1, 61), Record::QueueDropped { queue: 2 }, Record::TopicDropped { topic: 2 }];
    let image = unswept(&journal, at.path(), records);
    drop(journal);

    let (journal, catalog) = open(image.path());
    assert!(!catalog.clean);
    assert_eq!(catalog.warnings, Vec::<String>::new());
    assert_eq!((catalog.topics.len(), catalog.queues.len()), (1, 1));
    assert_eq!(numbers_in(&journal), [7]);
    journal.restore_dedup(None, &mut |key| panic!("{key:?}")).unwrap();
    eventually("swept", || swept(image.path()));
    for (table, count) in [("msg", 1), ("ref", 0), ("dedup", 0)] {
        assert_eq!(rows(image.path(), &format!("SELECT count(*) FROM {table}")), count, "{table}");
    }
}

#[test]
fn what_comes_with_a_low_number_after_a_purge_stays() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (100..=110).map(|number| published(number, 1)).collect());
    // In one commit and in one of its own: numbers are given to topics in blocks.
    put(&journal, vec![purged(1, 110), published(20, 1)]);
    put(&journal, vec![published(21, 1)]);
    put(&journal, vec![Record::Published(stored(22, Place::Queues([(23, 1), (24, 2)].into())))]);
    assert_eq!(numbers_in(&journal), [20, 21, 22]);
    eventually("swept", || swept(at.path()));
    assert_eq!(numbers_in(&journal), [20, 21, 22]);
}

#[test]
fn a_large_purge_is_swept_in_steps_while_commits_go_on() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (1..=3500).map(|number| published(number, 1 + (number % 2) as u32)).collect());
    put(&journal, vec![purged(1, 3500)]);
    let mut number = 10_000;
    eventually("swept", || {
        put(&journal, vec![published(number, 1)]);
        number += 1;
        swept(at.path())
    });
    let left = numbers_in(&journal).len() as u64;
    assert_eq!(left, 1750 + number - 10_000);
}

#[test]
fn numbers_are_never_given_twice() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    let highest = journal.numbers(5000) + 4999;
    put(&journal, vec![published(highest, 1)]);
    put(&journal, vec![acked(highest)]);
    let image = crash_image(at.path());
    let (after_crash, _) = open(image.path());
    assert!(after_crash.numbers(1) > highest);
    journal.close().unwrap();
    let (after_close, _) = open(at.path());
    assert!(after_close.numbers(1) > highest);
}
