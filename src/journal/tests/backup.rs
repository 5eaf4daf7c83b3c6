//! Copies of a running store, and putting them in place.

use super::super::Restoring;
use super::*;
use std::fs;

/// A running store with some messages, and a copy of it.
fn copied() -> (TempDir, Journal, Vec<Restored>) {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    let first = journal.numbers(100);
    put(&journal, (first..first + 100).map(|number| published(number, 1)).collect());
    put(&journal, vec![acked(first), acked(first + 7)]);
    let held = read_all(&journal);
    let copied = journal.backup(&at.path().join("copy.octoq")).unwrap();
    assert!(copied.bytes > 0 && copied.commit > 1, "{copied:?}");
    (at, journal, held)
}

#[test]
fn a_copy_of_a_running_store_holds_what_was_committed_and_opens_elsewhere() {
    let (at, journal, held) = copied();
    let later = journal.numbers(1);
    put(&journal, vec![published(later, 1)]);
    assert!(journal.backup(&at.path().join("copy.octoq")).is_err(), "nothing is written over");

    let other = folder();
    let store = other.path().join("store");
    let restoring = Restoring::check(&at.path().join("copy.octoq"), &store).unwrap();
    assert!(!restoring.replaces);
    assert_eq!(restoring.put().unwrap(), None);
    let (restored, catalog) = open(&store);
    assert_eq!((catalog.warnings, catalog.topics.len()), (Vec::new(), 2));
    assert_eq!(read_all(&restored), held);
    assert!(!numbers_in(&restored).contains(&later));
    let before = rows(at.path(), "SELECT epoch FROM topics WHERE number = 2");
    assert_ne!(before, i64::from(catalog.topics[1].epoch), "a new epoch has begun");
    restored.close().unwrap();
    assert!(!store.join("restoring").exists());
    journal.close().unwrap();
}

#[test]
fn copies_are_made_while_others_write() {
    let (at, journal, held) = copied();
    let writing = journal.clone();
    let writer = std::thread::spawn(move || {
        for _ in 0..50 {
            let first = writing.numbers(20);
            put(&writing, (first..first + 20).map(|number| published(number, 2)).collect());
        }
    });
    for round in 0..3 {
        let copy = at.path().join(format!("copy-{round}.octoq"));
        journal.backup(&copy).unwrap();
        let store = at.path().join(format!("restored-{round}"));
        Restoring::check(&copy, &store).unwrap().put().unwrap();
        let (restored, _) = open(&store);
        let numbers = numbers_in(&restored);
        // Every commit of the writer is there as a whole or not at all.
        assert_eq!((numbers.len() - held.len()) % 20, 0, "{}", numbers.len());
        restored.close().unwrap();
    }
    writer.join().unwrap();
    journal.close().unwrap();
}

#[test]
fn a_store_in_use_is_not_replaced_and_one_that_is_replaced_is_kept() {
    let (at, journal, held) = copied();
    let copy = at.path().join("copy.octoq");
    let in_use = Restoring::check(&copy, at.path());
    assert!(matches!(in_use.err(), Some(JournalError::Locked { .. })));
    let later = journal.numbers(1);
    put(&journal, vec![published(later, 1)]);
    journal.close().unwrap();

    let restoring = Restoring::check(&copy, at.path()).unwrap();
    assert!(restoring.replaces);
    drop(restoring);
    let (journal, _) = open(at.path());
    assert!(numbers_in(&journal).contains(&later), "looking changed nothing");
    journal.close().unwrap();

    let kept = Restoring::check(&copy, at.path()).unwrap().put().unwrap().unwrap();
    let (journal, catalog) = open(at.path());
    assert_eq!((read_all(&journal), catalog.warnings), (held, Vec::new()));
    journal.close().unwrap();
    let (journal, _) = open(&kept);
    assert!(numbers_in(&journal).contains(&later), "what was replaced still opens");
    journal.close().unwrap();
}

#[test]
fn what_is_not_a_whole_backup_is_refused_and_nothing_is_changed() {
    let (at, journal, _) = copied();
    journal.close().unwrap();
    let copy = at.path().join("copy.octoq");
    let whole = fs::read(&copy).unwrap();
    let mut damaged = whole.clone();
    // Within the rows, not in the free room of a page.
    let body = body(journal.last_number() - 5);
    let place = whole.windows(body.len()).rposition(|window| window == &body[..]).unwrap();
    damaged[place] ^= 0xff;
    let cases: [(&str, &[u8]); 4] = [
        ("damaged", &damaged),
        ("cut", &whole[..whole.len() / 2]),
        ("text", b"no"),
        ("empty", b""),
    ];
    for (name, bytes) in cases {
        let file = at.path().join(name);
        fs::write(&file, bytes).unwrap();
        let store = at.path().join("nowhere");
        assert!(Restoring::check(&file, &store).is_err(), "{name}");
        assert!(!store.join("octoq.db").exists(), "{name}");
    }
    assert!(Restoring::check(&at.path().join("missing"), &at.path().join("x")).is_err());
}
