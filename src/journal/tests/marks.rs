//! Purges and drops: gone at once, the rows later, a crash in between changes nothing.

use super::*;

fn purged(queue: u32, through: u64, except: &[u64]) -> Record {
    Record::Purged { queue, through, except: except.to_vec() }
}

fn swept(path: &Path) -> bool {
    rows(path, "SELECT count(*) FROM mark") == 0
}

#[test]
fn a_purge_spares_what_is_listed_and_what_is_above() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (1..=6).map(|number| published(number, 1)).chain([published(7, 2)]).collect());
    put(&journal, vec![purged(1, 5, &[2])]);
    assert_eq!(numbers_in(&journal), [2, 6, 7]);
    eventually("swept", || swept(at.path()));
    assert_eq!(rows(at.path(), "SELECT count(*) FROM msg"), 3);
    assert_eq!(numbers_in(&journal), [2, 6, 7]);
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
    put(&journal, vec![Record::Removed { entry: 3, message: 1, last: false }, purged(1, 6, &[])]);
    assert_eq!(numbers_in(&journal), [4]);
    eventually("swept", || swept(at.path()));
    assert_eq!(rows(at.path(), "SELECT group_concat(id) = '4' FROM msg"), 1);
    assert_eq!(rows(at.path(), "SELECT group_concat(id) = '6' FROM ref"), 1);
    assert_eq!(rows(at.path(), "SELECT count(*) FROM attempt"), 0);
}

/// The image is taken while the writer is held in an answer, so nothing is swept yet.
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
    let (answer, image) = mpsc::channel();
    let path = at.path().to_owned();
    let done: Done = Box::new(move |outcome| {
        outcome.unwrap();
        answer.send(crash_image(&path)).unwrap();
    });
    let records = vec![
        purged(1, 61, &[7]),
        Record::QueueDropped { queue: 2 },
        Record::TopicDropped { topic: 2 },
    ];
    journal.submit(Submission { records, level: Level::Sync, done: Some(done) }).ok().unwrap();
    let image = image.recv().unwrap();
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
    put(&journal, vec![purged(1, 110, &[]), published(20, 1)]);
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
    put(&journal, vec![purged(1, 3500, &[])]);
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
