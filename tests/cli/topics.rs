//! topic, queue, definitions.

use super::*;

#[test]
fn topics_are_made_listed_shown_changed_and_removed() {
    let cli = Cli::start();
    assert_eq!(cli.good(&["topic", "new", "orders", "--capacity", "5"]), "topic orders made\n");
    cli.bad(&["topic", "new", "orders"], 1, "topic_exists");
    let made = cli.json(&["topic", "new", "news", "--kind", "pubsub", "--history-time", "1d"]);
    assert_eq!(
        (&made["kind"], &made["policy"]["history_ms"]),
        (&"pubsub".into(), &86_400_000.into())
    );
    cli.good(&["topic", "new", "events", "--queue", "audit", "--queue", "billing"]);

    let listed = cli.good(&["topic", "ls", "--prefix", "e"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.lines().nth(1).unwrap().starts_with("events  broker  sync"), "{listed}");
    cli.bad(&["topic", "ls", "--prefix", "nosuch"], 3, "there is no such topic");
    let all = cli.json(&["topic", "ls"]);
    assert_eq!(all["topics"].as_array().unwrap().len(), 5);

    let info = cli.good(&["topic", "info", "events"]);
    assert!(
        info.contains("audit") && info.contains("dedup_window") && info.contains("5m"),
        "{info}"
    );
    cli.good(&["topic", "edit", "orders", "--capacity", "7", "--overflow", "drop-oldest"]);
    let policy = cli.json(&["topic", "info", "orders"])["policy"].clone();
    assert_eq!((&policy["capacity"], &policy["overflow"]), (&7.into(), &"drop_oldest".into()));
    cli.good(&["topic", "pause", "orders"]);
    cli.bad(&["put", "orders", "x"], 1, "paused");
    cli.good(&["topic", "resume", "orders"]);
    cli.good(&["put", "orders", "x"]);
    assert_eq!(cli.good(&["topic", "purge", "orders", "--yes"]), "1 message removed\n");
    assert_eq!(cli.good(&["topic", "rm", "orders", "--yes"]), "topic orders removed\n");
    cli.bad(&["topic", "info", "orders"], 1, "topic_not_found");
}

#[test]
fn queues_are_made_shown_changed_paused_purged_and_removed() {
    let cli = Cli::start();
    let new = ["queue", "new", "default", "billing", "--max-deliveries", "3", "--backoff", "1s,5s"];
    cli.good(&new);
    cli.bad(&new, 1, "exists");
    cli.bad(&["queue", "new", "nosuch", "q"], 1, "topic_not_found");
    let info = cli.json(&["queue", "info", "default", "billing"]);
    assert_eq!(info["policy"]["backoff_ms"], serde_json::json!([1000, 5000]));
    cli.good(&["queue", "edit", "default", "billing", "--ack-deadline", "1m"]);
    let policy = cli.json(&["queue", "info", "default", "billing"])["policy"].clone();
    assert_eq!(
        (&policy["ack_deadline_ms"], &policy["max_deliveries"]),
        (&60_000.into(), &3.into())
    );

    cli.good(&["put", "default", "x"]);
    let listed = cli.good(&["queue", "ls", "default"]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(cli.good(&["queue", "ls"]).lines().count() >= 3);
    assert_eq!(cli.json(&["queue", "ls", "default"])["queues"][1]["topic"], "default");
    cli.good(&["queue", "pause", "default", "billing", "--out"]);
    cli.bad(&["get", "default", "-q", "billing"], 3, "no message");
    assert!(cli.good(&["queue", "ls", "default"]).contains("paused out"));
    cli.good(&["queue", "pause", "default", "billing"]);
    cli.bad(&["put", "default", "-q", "billing", "x"], 1, "paused");
    cli.good(&["queue", "resume", "default", "billing"]);
    let out = cli.good(&["queue", "purge", "default", "billing", "--yes"]);
    assert_eq!(out, "queue default/billing is empty: 1 message removed\n");
    assert_eq!(cli.good(&["get", "default"]), "x\n", "the other queue has its own");

    cli.good(&["topic", "new", "other", "--queue", "q"]);
    cli.good(&["put", "default", "-q", "billing", "goes along"]);
    cli.good(&["queue", "attach", "other", "billing", "--from", "default"]);
    assert_eq!(cli.good(&["get", "other", "-q", "billing"]), "goes along\n");
    cli.good(&["queue", "rm", "other", "billing", "--yes"]);
    cli.bad(&["queue", "info", "other", "billing"], 1, "queue_not_found");
}

#[test]
fn a_queue_without_a_topic_is_shown_as_one() {
    let cli = Cli::start();
    cli.good(&["queue", "new", "default", "lone"]);
    cli.good(&["put", "default", "x"]);
    cli.good(&["queue", "detach", "default", "lone"]);
    let listed = cli.good(&["queue", "ls"]);
    assert!(listed.lines().any(|line| line.starts_with("(no topic)  lone ")), "{listed}");
    let queues = cli.json(&["queue", "ls"])["queues"].as_array().unwrap().clone();
    let lone = queues.iter().find(|queue| queue["name"] == "lone").unwrap();
    assert_eq!((&lone["topic"], &lone["ready"]), (&Value::Null, &1.into()));
    assert!(cli.good(&["top", "--once", "-i", "50ms"]).contains("(no topic)/lone"));
    assert!(!cli.good(&["topic", "ls"]).contains("u{0}"));
    let text = cli.json(&["definitions", "export"]);
    assert_eq!(text["queues"][0]["name"], "lone", "{text}");
    assert!(!text.to_string().contains("u0000"), "{text}");
}

#[test]
fn lists_are_watched_until_they_are_stopped() {
    let cli = Cli::start();
    let file = cli.folder.path().join("watched");
    let out = std::fs::File::create(&file).unwrap();
    let mut watching =
        cli.command(&["topic", "ls", "-w=50ms", "--json"]).stdout(out).spawn().unwrap();
    let looks = || std::fs::read_to_string(&file).unwrap();
    eventually("two looks", || looks().lines().count() >= 2);
    cli.good(&["topic", "new", "fresh"]);
    eventually("the new one is seen", || looks().contains("\"fresh\""));
    let kill = format!("kill -TERM {}", watching.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(process::wait(&mut watching).code(), Some(0));
    let last: Value = serde_json::from_str(looks().lines().last().unwrap()).unwrap();
    assert!(last["topics"].is_array());
}

#[test]
fn definitions_go_from_one_broker_to_another() {
    let (from, to) = (Cli::start(), Cli::start());
    from.good(&["topic", "new", "orders", "--capacity", "9"]);
    from.good(&["queue", "new", "orders", "billing", "--max-deliveries", "4"]);
    from.good(&["put", "orders", "stays here"]);
    let file = to.folder.path().join("definitions.json");
    let path = file.to_str().unwrap();
    from.good(&["definitions", "export", "--file", path]);
    from.bad(&["definitions", "export", "--file", path], 1, "exists");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), from.good(&["definitions", "export"]));

    let told = to.good(&["definitions", "import", path, "--dry-run"]);
    assert!(told.contains("would be made: ") && told.contains("orders"), "{told}");
    to.bad(&["topic", "info", "orders"], 1, "topic_not_found");
    to.good(&["definitions", "import", path]);
    let queue = to.json(&["queue", "info", "orders", "billing"]);
    assert_eq!((&queue["policy"]["max_deliveries"], &queue["ready"]), (&4.into(), &0.into()));
    // What would be lost is told.
    to.good(&["queue", "edit", "orders", "billing", "--max-deliveries", "5"]);
    to.bad(&["definitions", "import", path], 2, "other settings");
    let text = std::fs::read_to_string(&file).unwrap();
    to.good_with(&["definitions", "import", "-", "--yes"], &text);
    assert_eq!(to.json(&["queue", "info", "orders", "billing"])["policy"]["max_deliveries"], 4);
    to.bad(&["definitions", "import", "nosuch.json"], 2, "nosuch.json");
    assert!(from.good(&["definitions", "export", "--users"]).contains("$argon2"));
    assert!(!text.contains("$argon2"));
}
