//! backup and restore.

use super::tailing::Tail;
use super::*;
use std::fs;

#[test]
fn a_backup_of_a_running_broker_is_restored_elsewhere() {
    let cli = Cli::start();
    cli.good(&["topic", "new", "orders", "--capacity", "500"]);
    cli.good(&["put", "orders", "m{{n}}", "--count", "100"]);
    cli.good(&["get", "orders", "-n", "10"]);
    let file = cli.folder.path().join("store.backup");
    let path = file.to_str().unwrap();
    let out = cli.good(&["backup", path]);
    assert!(out.contains(" in ") && out.contains(path), "{out}");
    cli.bad(&["backup", path], 2, "is there already");
    assert!(!cli.folder.path().join("store.backup.part").exists());
    assert_eq!(fs::read_dir(cli.folder.path().join("store/backups")).unwrap().count(), 0);
    // What comes afterwards is not in it.
    cli.good(&["put", "orders", "later"]);
    let checked = cli.good(&["restore", path, "--check"]);
    assert!(checked.contains("topic orders: 90 waiting") && checked.contains("whole"), "{checked}");

    let checked = cli.json(&["restore", path, "--check"]);
    assert_eq!(checked["report"]["verdict"], "whole");
    let fresh = tempfile::tempdir().unwrap();
    let fresh = fresh.path().join("store");
    let put = cli.json(&["restore", path, "--path", fresh.to_str().unwrap()]);
    assert_eq!((&put["store"], &put["replaced"]), (&fresh.to_str().unwrap().into(), &Value::Null));
    let orders = put["report"]["topics"].as_array().unwrap();
    assert!(orders.iter().any(|topic| topic["name"] == "orders" && topic["waiting"] == 90));

    let other = tempfile::tempdir().unwrap();
    let store = other.path().join("store");
    let out = cli.good(&["restore", path, "--path", store.to_str().unwrap()]);
    assert!(out.contains("is now the backup"), "{out}");
    let restored = Cli { broker: Process::start(other.path(), &[]), folder: other };
    let queue = restored.json(&["queue", "info", "orders"]);
    assert_eq!(queue["ready"], 90);
    assert_eq!(restored.json(&["topic", "info", "orders"])["policy"]["capacity"], 500);
    assert_eq!(restored.good(&["get", "orders"]), "m11\n");
    restored.broker.stop();
}

#[test]
fn a_store_is_put_back_to_its_backup() {
    let cli = Cli::start();
    cli.good(&["put", "default", "kept"]);
    let kept = cli.json(&["backup", "--keep", "nightly"]);
    let path = kept["path"].as_str().unwrap().to_owned();
    cli.bad(&["backup", "--keep", "nightly"], 1, "exists");
    cli.bad(&["backup", "--keep", "../x"], 1, "out_of_bounds");
    cli.good(&["put", "default", "lost"]);
    let path = cli.folder.path().join(path);
    let path = path.to_str().unwrap();
    let restore = ["restore", path, "--set", "store.path=store"];
    cli.bad(&restore, 1, "in use by process");
    let Cli { broker, folder } = cli;
    broker.stop();
    let home = |arguments: &[&str]| {
        run(&mut command(&folder, "127.0.0.1:1".parse().unwrap(), arguments), "")
    };
    bad(&home(&restore), 2, "is replaced");
    let out = good(home(&[&restore[..], &["--yes"]].concat()));
    assert!(out.contains("what was there is in "), "{out}");
    let cli = Cli { broker: Process::start(folder.path(), &[]), folder };
    assert_eq!(cli.good(&["get", "default", "-n", "9"]), "kept\n");
}

#[test]
fn a_follower_of_before_the_restore_is_told_that_it_is_another_time() {
    let cli = Cli::start();
    cli.good(&["put", "pubsub", "one"]);
    let file = cli.folder.path().join("backup");
    cli.good(&["backup", file.to_str().unwrap()]);
    let before = cli.json(&["topic", "info", "pubsub"])["epoch"].clone();
    let Cli { broker, folder } = cli;
    broker.stop();
    let home = ["restore", file.to_str().unwrap(), "--set", "store.path=store", "--yes"];
    good(run(&mut command(&folder, "127.0.0.1:1".parse().unwrap(), &home), ""));
    let cli = Cli { broker: Process::start(folder.path(), &[]), folder };
    let now = cli.json(&["topic", "info", "pubsub"])["epoch"].clone();
    assert_ne!(now, before);
    let mut tail = Tail::start(&cli, &["tail", "pubsub", "--after", &format!("{before}-1")]);
    eventually("it is told", || tail.err().contains("a new epoch"));
    let there = format!("messages from 1 on are there: --after {now}-0 shows them");
    assert!(tail.err().contains(&there), "{}", tail.err());
    assert!(!tail.err().contains("no more"), "{}", tail.err());
    tail.child.kill().unwrap();
    let all = cli.good(&["tail", "pubsub", "-n", "1", "--after", &format!("{now}-0")]);
    assert_eq!(all, "one\n");
}

#[test]
fn what_is_no_backup_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let nobody = "127.0.0.1:1".parse().unwrap();
    fs::write(home.path().join("text"), "no backup").unwrap();
    for (file, says) in [("text", "no whole backup"), ("missing", "missing")] {
        for more in [&["--check"][..], &["--path", "store", "--yes"]] {
            let arguments = [&["restore", file], more].concat();
            let ended = run(&mut command(&home, nobody, &arguments), "");
            bad(&ended, 1, says);
        }
        assert!(!home.path().join("store/octoq.db").exists());
    }
}
