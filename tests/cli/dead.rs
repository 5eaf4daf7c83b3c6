//! Dead letters.

use super::*;

/// A topic whose queue has dead letters of these bodies.
fn with_dead(bodies: &[&str]) -> Cli {
    let cli = Cli::start();
    for (number, body) in bodies.iter().enumerate() {
        let id = format!("id-{number}");
        cli.good(&["put", "default", body, "--id", &id, "--attr", "kind=order"]);
        cli.good(&["get", "default", "--no-ack"]);
        cli.good(&["nack", "default", "--id", &id, "--dead", "--error", "no stock"]);
    }
    cli
}

fn dead(cli: &Cli) -> u64 {
    cli.json(&["queue", "info", "default"])["dead"].as_u64().unwrap()
}

#[test]
fn dead_letters_are_listed_shown_and_exported() {
    let cli = with_dead(&["pizza", "pasta"]);
    let listed = cli.good(&["dead", "ls", "default"]);
    assert!(listed.contains("pizza") && listed.contains("no stock"), "{listed}");
    assert_eq!(cli.good(&["dead", "ls", "default", "-n", "1", "--output", "text"]), "pizza\n");
    assert_eq!(
        cli.good(&["dead", "ls", "default", "--text", "sta", "--output", "text"]),
        "pasta\n"
    );
    cli.bad(&["dead", "ls", "default", "--text", "soup"], 3, "no such dead letter");
    let shown = cli.good(&["dead", "show", "default", "id-1"]);
    assert!(shown.contains("It is a dead letter") && shown.contains("published"), "{shown}");
    let exported = cli.good(&["dead", "export", "default"]);
    assert_eq!(exported.lines().count(), 2);
    cli.good(&["topic", "new", "again"]);
    cli.good_with(&["put", "again", "--jsonl"], &exported);
    assert_eq!(cli.good(&["get", "again", "-n", "5"]), "pizza\npasta\n");
    assert_eq!(dead(&cli), 2);
}

#[test]
fn dead_letters_are_tried_again() {
    let cli = with_dead(&["a", "b", "c", "d", "e"]);
    let dry = cli.good(&["dead", "redrive", "default", "--all", "--dry-run"]);
    assert_eq!(dry, "5 messages would be tried again\n");
    assert_eq!(cli.good(&["dead", "redrive", "default", "id-2"]), "1 message to be tried again\n");
    cli.bad(&["dead", "redrive", "default", "nosuch"], 3, "nosuch: there is no such dead letter");
    cli.bad(&["dead", "redrive", "default", "id-2", "--dry-run"], 3, "id-2");
    cli.bad(&["dead", "redrive", "default", "nosuch", "--rate", "100"], 3, "");
    assert_eq!(cli.good(&["get", "default"]), "c\n");
    assert_eq!(cli.json(&["dead", "redrive", "default", "--text", "d"])["redriven"], 1);
    assert_eq!(cli.json(&["dead", "redrive", "default", "--max", "1"])["redriven"], 1);
    assert_eq!(dead(&cli), 2);
    let out = cli.good(&["dead", "redrive", "default", "--all", "--rate", "100"]);
    assert!(out.starts_with("ended: 2"), "{out}");
    assert_eq!(dead(&cli), 0);
    assert!(cli.good(&["dead", "status", "default"]).starts_with("ended"));
}

#[test]
fn a_redrive_that_is_slow_is_stopped() {
    let cli = with_dead(&["a", "b", "c"]);
    let all = ["dead", "redrive", "default", "--all", "--rate", "1", "--no-wait"];
    assert!(cli.good(&all).starts_with("running"));
    cli.good(&["dead", "status", "default", "--stop"]);
    eventually("it has stopped", || cli.json(&["dead", "status", "default"])["running"] == false);
    assert!(dead(&cli) > 0);
}

#[test]
fn a_dead_letter_is_mended() {
    let cli = with_dead(&["pitza"]);
    let edit =
        ["dead", "edit", "default", "id-0", "--body", "pizza", "--attributes", "{\"ok\":true}"];
    cli.good(&edit);
    assert_eq!(dead(&cli), 0);
    let message = cli.json(&["get", "default"]);
    assert_eq!((&message["body"], &message["attributes"]["ok"]), (&"pizza".into(), &true.into()));
    cli.bad(&edit, 1, "message_not_found");
}

#[test]
fn dead_letters_are_removed_for_good() {
    let cli = with_dead(&["a", "b", "c"]);
    cli.bad(&["dead", "rm", "default", "--yes"], 2, "say which");
    cli.bad(
        &["dead", "rm", "default", "--all"],
        2,
        "3 dead letters of default/default are removed",
    );
    assert_eq!(cli.good(&["dead", "rm", "default", "id-0", "--yes"]), "1 dead letter removed\n");
    assert_eq!(cli.json(&["dead", "rm", "default", "--text", "b", "--yes"])["removed"], 1);
    cli.bad(&["dead", "rm", "default", "id-0", "--yes"], 1, "message_not_found");
    cli.good(&["dead", "rm", "default", "--all", "--yes"]);
    cli.bad(&["dead", "rm", "default", "--all", "--yes"], 3, "no such dead letter");
}

#[test]
fn dead_letters_of_all_topics_are_one_list() {
    let cli = with_dead(&["pizza"]);
    cli.good(&["topic", "new", "orders"]);
    cli.good(&["queue", "new", "orders", "eu"]);
    cli.good(&["put", "orders", "pasta", "--id", "p"]);
    for queue in ["default", "eu"] {
        cli.good(&["get", "orders", "-q", queue, "--no-ack"]);
        cli.good(&["nack", "orders", "-q", queue, "--id", "p", "--dead", "--error", "burnt"]);
    }
    let listed = cli.good(&["dead", "ls"]);
    let lines: Vec<&str> = listed.lines().collect();
    let at = |name: &str| lines.iter().position(|line| *line == name).expect(name);
    assert!(at("default/default") < at("orders/default") && at("orders/default") < at("orders/eu"));
    assert_eq!(listed.matches("burnt").count(), 2, "{listed}");
    let text = ["dead", "ls", "--queue", "eu", "--output", "text"];
    assert_eq!(cli.good(&text), "pasta\n");
    let json = cli.good(&["dead", "ls", "--text", "pizza", "--json"]);
    let letter: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&letter["topic"], &letter["body"]), (&"default".into(), &"pizza".into()));
    cli.bad(&["dead", "ls", "--text", "soup"], 3, "no such dead letter");
}

#[test]
fn the_life_of_a_message_names_doors() {
    let cli = with_dead(&["pizza"]);
    let told = cli.good(&["explain", "default", "id-0"]);
    for line in ["published  by http", "delivered  attempt 1  by http", "error no stock"] {
        assert!(told.contains(line), "`{line}` is not in {told}");
    }
}
