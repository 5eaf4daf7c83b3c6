//! stat, top, history, connections.

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
    assert_eq!(cli.good(&["stat", "-n", "1"]).lines().count(), 2);
    assert_eq!(cli.good(&["stat", "-n", "2", "--json"]).lines().count(), 2);
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

/// `script` gives it a terminal.
#[test]
fn the_terminal_is_given_back_when_it_is_told_to_end() {
    let cli = Cli::start();
    for signal in ["TERM", "HUP"] {
        let (out, pid) = (cli.folder.path().join("out"), cli.folder.path().join("pid"));
        let _ = std::fs::remove_file(&out);
        let octoq = cli.command(&[]).get_program().to_owned();
        let line = format!("echo $$ > '{}'; exec '{}' top", pid.display(), octoq.display());
        let mut terminal = Command::new("script");
        for (name, value) in cli.command(&[]).get_envs() {
            value.map(|value| terminal.env(name, value));
        }
        terminal.args(["--quiet", "--flush", "--return", "--command", &line]).arg(&out);
        terminal.env("TERM", "xterm").env("SHELL", "/bin/sh");
        let terminal =
            terminal.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut terminal = terminal.spawn().unwrap();
        let shown =
            || String::from_utf8_lossy(&std::fs::read(&out).unwrap_or_default()).into_owned();
        eventually("it has the screen", || shown().contains("\x1b[?1049h"));
        assert!(!shown().contains("\x1b[?1049l"));
        let kill = format!("kill -{signal} $(cat '{}')", pid.display());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert_eq!(process::wait(&mut terminal).code(), Some(0), "{signal}");
        assert!(shown().contains("\x1b[?1049l"), "{signal}: {}", shown());
    }
}

#[test]
fn what_happened_is_a_line_for_each_step() {
    let cli = Cli::start();
    cli.good(&["put", "default", "x{{n}}", "--count", "7"]);
    eventually("seven are ready at the end of a step", || {
        let history = cli.json(&["history"]);
        history["series"]["ready"].as_array().unwrap().last() == Some(&7.0.into())
    });
    let out = cli.good(&["history", "-n", "1"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("ready") && lines[1].contains('7'), "{out}");
    assert_eq!(cli.json(&["history", "default", "--over", "24h"])["step_ms"], 900_000);
    cli.bad(&["history", "nosuch"], 1, "topic_not_found");
    cli.bad(&["history", "--over", "1h"], 2, "24h");
}

#[test]
fn who_is_connected_is_listed_and_closed() {
    let cli = Cli::start();
    let mut stream = std::net::TcpStream::connect(cli.broker.otq).unwrap();
    eventually("it is listed", || {
        cli.good(&["connection", "ls", "--door", "otq"]).lines().count() == 2
    });
    let listed = cli.json(&["connection", "ls", "--door", "otq"]);
    let id = listed["connections"][0]["id"].as_str().unwrap();
    assert_eq!(
        cli.json(&["connection", "ls", "--of", "ada"])["connections"],
        serde_json::json!([])
    );
    cli.bad(&["connection", "close", id], 2, "--yes");
    cli.good(&["connection", "close", id, "--yes"]);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
    assert_eq!(rest, b"");
    cli.bad(&["connection", "close", "999999", "--yes"], 1, "connection_not_found");
}

#[test]
fn the_last_lines_of_the_log_are_shown() {
    let cli = Cli::start();
    let all = cli.good(&["log"]);
    assert!(all.contains("WARN") && all.contains("the stock password"), "{all}");
    let warnings = cli.good(&["log", "--level", "warn", "--json"]);
    let line: Value = serde_json::from_str(warnings.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "warn");
    assert!(line["seq"].is_u64() && line["at_ms"].is_i64() && line["target"].is_string());
    assert_eq!(cli.good(&["log", "-n", "1"]).lines().count(), 1);
    cli.bad(&["log", "--level", "error"], 3, "no such line");
    cli.bad(&["log", "-n", "0"], 2, "");
}

#[test]
fn a_follower_of_the_log_is_shown_what_comes() {
    use std::io::{BufRead as _, BufReader};
    let cli = Cli::start();
    let mut follower = cli.command(&["log", "--follow", "-n", "1"]);
    let mut follower = follower.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    // A login that is refused is logged.
    let mut otq = process::Otq::connect(cli.broker.otq).unwrap();
    otq.send("OTQ CONNECT nobody wr0ng\r\n").unwrap();
    let shown = lines.map(Result::unwrap).find(|line| line.contains("login refused")).unwrap();
    assert!(!shown.contains("wr0ng"), "{shown}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
