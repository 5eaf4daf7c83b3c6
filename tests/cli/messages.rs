//! put, get, peek, ack, nack, touch, move, explain.

use super::*;

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// Each line of the output as JSON.
fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_put_is_got_once_it_is_acked() {
    let cli = Cli::start();
    let out = cli.good(&["put", "default", "two pizzas"]);
    assert!(out.ends_with("\tsync\n"), "{out}");
    assert_eq!(cli.good(&["get", "default"]), "two pizzas\n");
    cli.bad(&["get", "default"], 3, "there is no message");
    cli.bad(&["get", "default", "--wait", "100ms"], 3, "there is no message");
    cli.bad(&["get", "nosuch"], 1, "topic_not_found");
    // Not acked: it is in flight, and stays there.
    cli.good_with(&["put", "default"], "from standard input\n");
    let held = cli.good(&["get", "default", "--no-ack", "--output", "json"]);
    let held: Value = serde_json::from_str(&held).unwrap();
    assert_eq!(held["body"], "from standard input\n");
    assert_eq!(cli.json(&["queue", "info", "default"])["in_flight"], 1);
    let receipt = held["receipt"].as_str().unwrap();
    assert_eq!(cli.good(&["ack", "default", receipt]), format!("{receipt}\n"));
    cli.bad(&["ack", "default", receipt], 1, "receipt_gone");
}

#[test]
fn a_message_goes_with_everything_that_belongs_to_it() {
    let cli = Cli::start();
    let put = [
        "put",
        "default",
        "{{n}}",
        "--attr",
        "shop=north",
        "--attr",
        "a=b=c",
        "--id",
        "mine",
        "--priority",
        "3",
        "--ttl",
        "1h",
        "--json",
    ];
    let placed: Value = serde_json::from_str(&cli.good(&put)).unwrap();
    assert_eq!((&placed["id"], &placed["duplicate"]), (&"mine".into(), &false.into()));
    let message = cli.json(&["get", "default"]);
    assert_eq!(message["body"], "{{n}}", "nobody asked for a template");
    assert_eq!(message["attributes"], serde_json::json!({"shop": "north", "a": "b=c"}));

    for (note, duplicate) in [("", false), ("\tduplicate", true)] {
        let out = cli.good(&["put", "default", "once", "--dedup-key", "k"]);
        assert!(out.trim_end().ends_with(&format!("sync{note}")), "{duplicate}: {out}");
    }
    cli.good(&["put", "default", "later", "--delay", "1h"]);
    cli.good(&["put", "default", "first", "--front"]);
    assert_eq!(cli.good(&["get", "default", "-n", "5"]), "first\nonce\n");
    assert_eq!(cli.json(&["queue", "info", "default"])["delayed"], 1);
    cli.bad(&["put", "default", "x", "--delay", "1h", "--at", "2030-01-01T00:00:00Z"], 2, "--at");
    cli.good(&["put", "default", "x", "--at", "2040-01-01T00:00:00Z"]);
    assert_eq!(cli.json(&["queue", "info", "default"])["delayed"], 2);
}

#[test]
fn bytes_stay_bytes() {
    let cli = Cli::start();
    let mut put = cli.command(&["put", "default"]);
    let body = [0_u8, 255, 10, 13, 10];
    put.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = put.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &body).unwrap();
    assert!(process::wait(&mut child).success());
    let out = cli.command(&["get", "default", "--output", "raw"]).output().unwrap();
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), &body[..]));
}

#[test]
fn many_are_put_from_lines_from_json_and_from_a_pattern() {
    let cli = Cli::start();
    let out = cli.good_with(&["put", "default", "--lines", "--batch", "2"], "a\r\nb\n\nc");
    assert!(out.starts_with("4 stored (sync) in "), "{out}");
    assert_eq!(cli.good(&["get", "default", "-n", "9"]), "a\nb\n\nc\n");

    let jsonl =
        "{\"body\":\"x\",\"priority\":1}\n\n{\"json\":{\"n\":1},\"attributes\":{\"k\":\"v\"}}\n";
    let out = cli.good_with(&["put", "default", "--jsonl"], jsonl);
    assert!(out.starts_with("2 stored"), "{out}");
    // What get prints can be put again.
    let printed = cli.good(&["get", "default", "-n", "9", "--output", "json"]);
    assert_eq!(printed.lines().count(), 2, "{printed}");
    cli.good_with(&["put", "default", "--jsonl"], &printed);
    let again = values(&cli.good(&["get", "default", "-n", "9", "--output", "json"]));
    assert_eq!((&again[0]["body"], &again[1]["body"]), (&"x".into(), &"{\"n\":1}".into()));
    assert_eq!(again[1]["attributes"]["k"], "v");
    // Line 1 may have gone before line 2 was read, or not: lines go as they come.
    let ended = cli.run_with(&["put", "default", "--jsonl"], "{\"body\":\"1\"}\n{nonsense\n");
    bad(&ended, 2, "line 2");
    let stored = !cli.run(&["get", "default", "-n", "9"]).out.is_empty();
    assert_eq!(ended.out.starts_with("1 stored"), stored, "{ended:?}");

    let put = ["put", "default", "--count", "250", "--batch", "100", "n={{n}} {{uuid}} {{now}}"];
    assert!(cli.good(&put).starts_with("250 stored"));
    let all = cli.good(&["get", "default", "-n", "1000"]);
    let all = lines(&all);
    assert!(all[0].starts_with("n=1 ") && all[249].starts_with("n=250 "), "{all:?}");
    assert_eq!((all.len(), all[0].split(' ').nth(1).unwrap().len()), (250, 36));
    // Each result by itself for programs; what is refused is told and counts.
    let results = values(&cli.good(&["put", "default", "x", "--count", "2", "--json"]));
    assert_eq!((results.len(), &results[1]["durability"]), (2, &"sync".into()));
    let input = "{\"body\":\"good\"}\n{\"body\":\"long\",\"id\":\"same\"}\n{\"body\":\"b\",\"id\":\"same\"}\n";
    let ended = cli.run_with(&["put", "default", "--jsonl"], input);
    bad(&ended, 1, "duplicate_id");
    assert!(ended.out.starts_with("2 stored (sync), 1 refused in "), "{ended:?}");
}

#[test]
fn a_rate_is_kept() {
    let cli = Cli::start();
    let start = Instant::now();
    cli.good(&["put", "default", "x", "--count", "20", "--rate", "40"]);
    // The last of twenty may go after 16 of them (4 per request): 0.4 s.
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
}

#[test]
fn a_receiver_waits_for_what_comes() {
    let cli = Cli::start();
    let waiting = cli
        .command(&["get", "default", "--wait", "20s"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("somebody waits", || cli.json(&["queue", "info", "default"])["waiting"] == 1);
    cli.good(&["put", "default", "at last"]);
    let out = waiting.wait_with_output().unwrap();
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(0), &b"at last\n"[..]));
}

#[test]
fn following_goes_on_until_it_is_stopped() {
    let cli = Cli::start();
    let file = cli.folder.path().join("followed");
    let out = std::fs::File::create(&file).unwrap();
    let mut following = cli.command(&["get", "default", "--follow"]).stdout(out).spawn().unwrap();
    for body in ["one", "two"] {
        cli.good(&["put", "default", body]);
    }
    eventually("both are printed", || std::fs::read_to_string(&file).unwrap() == "one\ntwo\n");
    let kill = format!("kill -INT {}", following.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert_eq!(process::wait(&mut following).code(), Some(0));
    eventually("all are acked", || cli.json(&["queue", "info", "default"])["in_flight"] == 0);
}

#[test]
fn deliveries_are_given_back_kept_and_given_up() {
    let cli = Cli::start();
    let receipt = |cli: &Cli| {
        let held = cli.good(&["get", "default", "--no-ack", "--output", "json"]);
        serde_json::from_str::<Value>(&held).unwrap()["receipt"].as_str().unwrap().to_owned()
    };
    cli.good(&["put", "default", "work"]);
    let held = receipt(&cli);
    let out = cli.good(&["touch", "default", &held, "--for", "1h"]);
    assert!(
        out.starts_with(&format!("{held}\tuntil in 59m")) || out.contains("until in 1h"),
        "{out}"
    );
    cli.good(&["nack", "default", &held, "--error", "no stock"]);
    let again = cli.good(&["get", "default", "--no-ack", "--output", "json"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["attempt"], 2);
    cli.good(&["nack", "default", again["receipt"].as_str().unwrap(), "--delay", "1h"]);
    assert_eq!(cli.json(&["queue", "info", "default"])["delayed"], 1);
    cli.good(&["put", "default", "other", "--id", "mine"]);
    let held = receipt(&cli);
    cli.good(&["nack", "default", &held, "--release"]);
    receipt(&cli);
    cli.good(&["nack", "default", "--id", "mine", "--dead", "--error", "of no use"]);
    assert_eq!(cli.json(&["queue", "info", "default"])["dead"], 1);
    // Receipts and printed messages are taken from standard input, too.
    cli.good(&["put", "default", "x{{n}}", "--count", "3"]);
    let held = cli.good(&["get", "default", "-n", "3", "--no-ack", "--output", "json"]);
    let acked = cli.good_with(&["ack", "default", "-"], &held);
    assert_eq!(acked.lines().count(), 3);
    bad(&cli.run_with(&["ack", "default", "-"], ""), 3, "no receipts");
    bad(&cli.run_with(&["ack", "default", "-", "--json"], &held), 1, "receipt_gone");
}

#[test]
fn looking_takes_nothing() {
    let cli = Cli::start();
    cli.bad(&["peek", "default"], 3, "no such message");
    for (body, shop) in [("first", "north"), ("second", "south"), ("third", "north")] {
        cli.good(&["put", "default", body, "--attr", &format!("shop={shop}")]);
    }
    let out = cli.good(&["peek", "default"]);
    assert!(out.contains("first") && out.contains("seq 1") && out.contains("north"), "{out}");
    assert_eq!(cli.good(&["peek", "default", "-n", "2", "--output", "text"]), "first\nsecond\n");
    assert_eq!(cli.good(&["peek", "default", "--back", "--output", "text"]), "third\n");
    let north = ["peek", "default", "-n", "9", "--attr", "shop=north", "--output", "text"];
    assert_eq!(cli.good(&north), "first\nthird\n");
    assert_eq!(cli.good(&["peek", "default", "--text", "eco", "--output", "text"]), "second\n");
    cli.bad(&["peek", "default", "--state", "dead"], 3, "no such message");
    assert_eq!(cli.json(&["queue", "info", "default"])["ready"], 3);
}

#[test]
fn messages_move_and_are_explained() {
    let cli = Cli::start();
    cli.good(&["topic", "new", "archive"]);
    cli.good(&["put", "default", "m{{n}}", "--id", "id-{{n}}", "--count", "3"]);
    assert_eq!(
        cli.good(&["move", "default", "--to", "archive", "id-2"]),
        "1 message moved to archive/default\n"
    );
    assert_eq!(cli.good(&["peek", "archive", "--output", "text"]), "m2\n");
    cli.bad(&["move", "default", "--to", "archive"], 2, "say which");
    assert_eq!(cli.json(&["move", "default", "--to", "archive", "--all"])["moved"], 2);
    assert_eq!(cli.run(&["move", "default", "--to", "archive", "--all"]).status.code(), Some(3));

    let told = cli.good(&["explain", "archive", "id-1"]);
    assert!(
        told.contains("It is ready, one of 3 messages") && told.contains("published"),
        "{told}"
    );
    cli.good(&["get", "archive", "--no-ack", "--ack-deadline", "1h"]);
    let told = cli.good(&["explain", "archive", "id-2"]);
    assert!(told.contains("A consumer has it; without an ack it comes back in"), "{told}");
    cli.good(&["queue", "pause", "archive"]);
    let told = cli.good(&["explain", "archive", "id-1"]);
    assert!(told.contains("its queue is paused"), "{told}");
    assert_eq!(cli.json(&["explain", "archive", "id-1"])["state"], "ready");
    cli.bad(&["explain", "archive", "nosuch"], 1, "message_not_found");
}

#[test]
fn names_of_any_kind_are_understood() {
    let cli = Cli::start();
    for name in ["a/b", "with space", "100%", "é", "..", "?x=1#y"] {
        cli.good(&["topic", "new", name]);
        cli.good(&["put", name, name]);
        assert_eq!(cli.good(&["get", name]), format!("{name}\n"));
        cli.good(&["topic", "rm", name, "--yes"]);
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let cli = Cli::start();
    cli.good(&["put", "default", "a line that is not short {{n}}", "--count", "5000"]);
    let script = format!(
        "{} peek default -n 5000 --state ready --output text | head -n 1; echo ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_octoq")
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).env("OCTOQ_URL", format!("http://{}", cli.broker.http));
    let out = bash.output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(text, "a line that is not short 1\n0\n", "{:?}", String::from_utf8(out.stderr));
}

#[test]
fn messages_that_wait_are_made_ready_at_another_time() {
    let cli = Cli::start();
    cli.good(&["put", "default", "x", "--id", "a"]);
    assert_eq!(cli.good(&["delay", "default", "a", "--for", "1h"]), "1 message delayed\n");
    cli.bad(&["get", "default"], 3, "");
    assert_eq!(cli.json(&["queue", "info", "default"])["delayed"], 1);
    assert_eq!(cli.json(&["delay", "default", "a", "--now"])["results"][0]["ok"], true);
    assert_eq!(cli.good(&["get", "default"]), "x\n");
    cli.bad(&["delay", "default", "a", "--now"], 1, "message_not_found");
    cli.bad(&["delay", "default", "a"], 2, "--for");
}
