//! Open, submit, restore, fetch, close.

use super::*;
use crate::queue::Door;
use crate::queue::{Restored, Times};

#[test]
fn what_was_submitted_is_there_after_a_restart() {
    let at = folder();
    let (journal, catalog) = open(at.path());
    assert!(catalog.topics.is_empty() && catalog.warnings.is_empty());
    furnish(&journal);
    let first = journal.numbers(10);
    let full = Stored {
        stamped: false,
        door: Some(Door::Okq),
        extra: extra(),
        visible_at: Timestamp(1_800_000_000_000),
        expires_at: Timestamp(1_900_000_000_000),
        ..stored(first, Place::Queue(1))
    };
    put(
        &journal,
        vec![
            Record::Published(full.clone()),
            Record::Published(stored(
                first + 1,
                Place::Queues([(first + 2, 1), (first + 3, 2)].into()),
            )),
            Record::Published(stored(first + 4, Place::History { claimed: true })),
            Record::SeqReserved { topic: 1, through: 500 },
            Record::Claimed { topic: 2, through: 9 },
            Record::Setting { table: "user", key: "admin".into(), value: Some("{}".into()) },
            Record::Deduped {
                number: first + 5,
                topic: 1,
                key: Bytes::from_static(b"k"),
                seq: 1,
                published_at: Timestamp(3),
                until: Timestamp(4),
            },
            Record::Attempted {
                entry: first + 2,
                attempts: 2,
                visible_at: Timestamp(77),
                failures: Vec::new(),
            },
            Record::Died { entry: first + 3, letter: letter() },
        ],
    );
    let before = read_all(&journal);
    journal.close().unwrap();
    assert!(matches!(
        journal.submit(Submission { records: vec![], level: Level::Sync, done: None }),
        Err((JournalError::Closed, _))
    ));

    let (journal, catalog) = open(at.path());
    assert!(catalog.clean && catalog.same_boot, "{catalog:?}");
    assert_eq!(catalog.warnings, Vec::<String>::new());
    assert_eq!((catalog.topics.len(), catalog.queues.len()), (2, 2));
    assert_eq!(Record::TopicPut(catalog.topics[0].clone()), topic(1, Kind::Broker));
    assert_eq!(Record::QueuePut(catalog.queues[1].clone()), queue(2, 1));
    assert_eq!((catalog.reserved, catalog.claimed), (vec![(1, 500)], vec![(2, 9)]));
    assert_eq!(catalog.settings, [("user".to_owned(), "admin".to_owned(), "{}".to_owned())]);

    let all = read_all(&journal);
    assert_eq!(all, before);
    assert_eq!((&all[0].extra, all[0].door), (&full.extra, full.door));
    assert_eq!(all[1].door, None);
    assert_eq!(all[0].entries[0].visible_at, full.visible_at);
    assert_eq!(all[0].expires_at, full.expires_at);
    assert_eq!(all[0].body, Some(body(first).into()));
    let [one, two] = &all[1].entries[..] else { panic!("{:?}", all[1]) };
    assert_eq!(
        (one.entry, one.queue, one.attempts, one.visible_at),
        (first + 2, 1, 2, Timestamp(77))
    );
    assert_eq!((two.entry, two.queue, two.dead.clone()), (first + 3, 2, Some(letter())));
    assert!(all[2].claimed && all[2].entries.is_empty());
    let mut keys = Vec::new();
    journal.restore_dedup(Some(1), &mut |key| keys.push(key)).unwrap();
    assert_eq!((keys.len(), &keys[0].key[..], keys[0].number), (1, &b"k"[..], first + 5));
    assert!(journal.numbers(1) > first + 9);
}

#[test]
fn removed_messages_do_not_come_back_and_a_shared_body_lives_as_long_as_a_place() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(
        &journal,
        vec![
            published(1, 1),
            published(2, 1),
            published(3, 1),
            Record::Published(stored(4, Place::Queues([(5, 1), (6, 2)].into()))),
        ],
    );
    put(&journal, vec![acked(1), acked(3), Record::Removed { entry: 5, message: 4, last: false }]);
    assert_eq!(numbers_in(&journal), [2, 4]);
    put(&journal, vec![Record::Removed { entry: 6, message: 4, last: true }]);
    assert_eq!(numbers_in(&journal), [2]);
    assert_eq!(
        (rows(at.path(), "SELECT count(*) FROM msg"), rows(at.path(), "SELECT count(*) FROM ref")),
        (1, 0)
    );
}

#[test]
fn what_was_noted_of_an_entry_goes_with_it() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    let noted = |entry| Record::Attempted {
        entry,
        attempts: 1,
        visible_at: Timestamp(1),
        failures: Vec::new(),
    };
    put(&journal, vec![published(1, 1), published(2, 1), noted(1), noted(2)]);
    put(&journal, vec![acked(1)]);
    drop(journal);
    let (journal, catalog) = open(at.path());
    assert!(!catalog.clean);
    put(&journal, vec![acked(2)]);
    assert_eq!(rows(at.path(), "SELECT count(*) FROM attempt"), 0);
}

#[test]
fn fetch_gives_bodies_and_none_for_what_is_missing() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![published(1, 1), published(2, 1)]);
    let (answer, got) = mpsc::channel();
    journal.fetch(vec![2, 9, 1], Box::new(move |bodies| answer.send(bodies).unwrap())).unwrap();
    assert_eq!(got.recv().unwrap(), [(2, Some(body(2))), (9, None), (1, Some(body(1)))]);
    journal.close().unwrap();
    assert_eq!(journal.fetch(vec![1], Box::new(|_| ())), Err(JournalError::Closed));
}

#[test]
fn a_moved_message_is_ready_in_its_new_place_under_its_number() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![topic(3, Kind::Broker), queue(3, 3)]);
    let delayed = Stored { visible_at: Timestamp(i64::MAX - 1), ..stored(1, Place::Queue(1)) };
    put(
        &journal,
        vec![
            Record::Published(delayed),
            Record::Published(stored(2, Place::Queues([(3, 1), (4, 2)].into()))),
            Record::Attempted {
                entry: 1,
                attempts: 4,
                visible_at: Timestamp(9),
                failures: Vec::new(),
            },
        ],
    );
    put(
        &journal,
        vec![
            Record::Moved {
                entry: 1,
                message: 1,
                to_entry: 10,
                to_queue: 3,
                copied: false,
                letter: Some(letter()),
                times: Times {
                    visible_at: Timestamp(7),
                    expires_at: Timestamp(i64::MAX - 9),
                    stamped: true,
                },
                lone: true,
            },
            Record::Moved {
                entry: 3,
                message: 2,
                to_entry: 11,
                to_queue: 3,
                copied: true,
                letter: None,
                times: Times {
                    visible_at: Timestamp(8),
                    expires_at: Timestamp::NEVER,
                    stamped: false,
                },
                lone: false,
            },
        ],
    );
    let all = read_all(&journal);
    assert_eq!(all.iter().map(|m| m.number).collect::<Vec<_>>(), [1, 2, 11]);
    let moved = &all[0].entries[0];
    assert_eq!((moved.entry, moved.queue, moved.attempts), (10, 3, 0));
    assert_eq!((moved.visible_at, moved.dead.clone()), (Timestamp(7), Some(letter())));
    let life = |m: &Restored| (m.expires_at, m.stamped, m.lone);
    assert_eq!(life(&all[0]), (Timestamp(i64::MAX - 9), true, true));
    assert_eq!(life(&all[1]), (Timestamp::NEVER, false, false));
    assert_eq!(life(&all[2]), (Timestamp::NEVER, false, false));
    assert_eq!(all[2].entries[0].visible_at, Timestamp(8));
    assert_eq!((all[1].entries.len(), all[1].entries[0].entry), (1, 4));
    assert_eq!((all[2].entries[0].entry, all[2].entries[0].queue), (11, 3));
    assert_eq!(all[2].body, Some(body(2).into()));
    let mut only = Vec::new();
    journal.restore(Some(3), &mut |_| false, &mut |m| only.push((m.number, m.body))).unwrap();
    assert_eq!(only, [(1, None), (11, None)]);
    put(&journal, vec![Record::Removed { entry: 10, message: 1, last: true }, acked(11)]);
    assert_eq!(numbers_in(&journal), [2]);
}

#[test]
fn one_bad_submission_does_not_fail_its_neighbours() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![published(1, 1)]);
    // All three wait while the writer is kept busy, so they come into one commit.
    let (hold, held) = mpsc::channel::<()>();
    let (answer, outcomes) = mpsc::channel();
    let first: Done = Box::new(move |_| {
        let _ = held.recv();
    });
    journal
        .submit(Submission { records: vec![], level: Level::Async, done: Some(first) })
        .ok()
        .unwrap();
    for (name, records) in [
        ("good", vec![published(2, 1)]),
        ("bad", vec![published(3, 1), published(1, 1)]),
        ("fine", vec![published(4, 1)]),
    ] {
        let answer = answer.clone();
        let done: Done = Box::new(move |outcome| answer.send((name, outcome.is_ok())).unwrap());
        journal.submit(Submission { records, level: Level::Sync, done: Some(done) }).ok().unwrap();
    }
    hold.send(()).unwrap();
    let outcomes: Vec<_> = outcomes.iter().take(3).collect();
    assert_eq!(outcomes, [("good", true), ("bad", false), ("fine", true)]);
    assert_eq!(numbers_in(&journal), [1, 2, 4]);
}

#[test]
fn a_writer_with_too_much_to_do_gives_the_submission_back() {
    let at = folder();
    let (journal, _) =
        Journal::open(JournalSettings { queue_max: 2, ..settings(at.path()) }).unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let first: Done = Box::new(move |_| {
        started.send(()).unwrap();
        let _ = held.recv();
    });
    journal
        .submit(Submission { records: vec![], level: Level::Async, done: Some(first) })
        .ok()
        .unwrap();
    running.recv().unwrap();
    let one = || Submission { records: vec![published(1, 1)], level: Level::Async, done: None };
    assert!(journal.submit(one()).is_ok() && journal.submit(one()).is_ok());
    let (error, back) = journal.submit(one()).err().unwrap();
    assert_eq!((error, back.records.len()), (JournalError::Busy, 1));
    assert_eq!(journal.figures().waiting, 2);
    hold.send(()).unwrap();
    journal.close().unwrap();
}

#[test]
fn the_last_handle_may_go_on_the_reader_thread() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![published(1, 1)]);
    let (hold, held) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    let last = journal.clone();
    journal
        .fetch(
            vec![1],
            Box::new(move |_| {
                let _ = held.recv();
                drop(last);
                answer.send(()).unwrap();
            }),
        )
        .unwrap();
    drop(journal);
    hold.send(()).unwrap();
    assert_eq!(answered.recv_timeout(Duration::from_secs(20)), Ok(()));
    // The threads end by themselves and let go of the store.
    eventually("the store is free", || Journal::open(settings(at.path())).is_ok());
}
