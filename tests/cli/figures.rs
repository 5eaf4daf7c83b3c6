//! stat and top.

use super::*;

#[test]
fn figures_of_the_broker_are_one_line_each_time() {
    let cli = Cli::start();
    cli.good(&["put", "default", "x{{n}}", "--count", "7"]);
    let out = cli.good(&["stat"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains("ready") && lines[0].contains("store"), "{out}");
    assert_eq!(lines[1].split_whitespace().next(), Some("7"), "{out}");
    assert!(!lines[1].contains(" - "), "every figure is known: {out}");
    let out = cli.good(&["stat", "-i", "50ms", "-n", "3"]);
    assert_eq!(out.lines().count(), 4, "{out}");
    assert_eq!(cli.json(&["stat"])["messages"]["ready"], 7);
    let of_topic = cli.good(&["stat", "default"]);
    assert_eq!(of_topic.lines().nth(1).unwrap().split_whitespace().next(), Some("7"));
    cli.bad(&["stat", "nosuch"], 1, "topic_not_found");
}

#[test]
fn the_busiest_queues_stand_on_top() {
    let cli = Cli::start();
    cli.good(&["topic", "new", "busy"]);
    cli.good(&["put", "busy", "x", "--count", "5"]);
    cli.good(&["put", "default", "x"]);
    let out = cli.good(&["top", "--once", "-i", "50ms"]);
    let rows: Vec<&str> = out.lines().collect();
    assert!(rows[0].starts_with("queue") && rows[1].starts_with("busy/default"), "{out}");
    assert!(rows[2].starts_with("default/default"), "{out}");
    let rows = cli.json(&["top", "--once", "-i", "50ms", "--sort", "name"]);
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["busy/default", "default/default", "pubsub"]);
    assert_eq!(rows[0]["in_per_s"], 0.0, "rates are known after two looks");
    // Without a terminal there is no screen.
    cli.bad(&["top"], 2, "--once");
}
