//! The README's tour, run as it is printed: the shell blocks of the section go through one bash
//! against the built binary, and what each prints must look as the block behind it says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Stops the broker, however the test ends.
struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The fenced blocks of a section: (language, text).
fn blocks(readme: &str, section: &str) -> Vec<(String, String)> {
    let start = readme.find(&format!("\n## {section}\n")).unwrap() + 1;
    let body = &readme[start..];
    let body = body[3..].find("\n## ").map_or(body, |end| &body[..end + 3]);
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in body.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block of the README has no end");
    found
}

/// Numbers of five digits and more, and words that are long hexadecimal numbers, differ from run to
/// run; all else must be the same.
fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() || (c == '-' && !word.is_empty()) {
            word.push(c);
            continue;
        }
        let digits = word.chars().all(|c| c.is_ascii_digit());
        match word.len() {
            36 if word.matches('-').count() == 4 => out.push_str("<id>"),
            32 => out.push_str("<receipt>"),
            5.. if digits => out.push_str("<number>"),
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    out.trim_end().to_owned()
}

/// Starts the binary on free ports; returns it with the addresses of its doors: otq, HTTP, okq,
/// fastqueue and blockqueue.
fn start(folder: &Path) -> (Broker, [String; 5]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_octoq"));
    command.arg("serve").current_dir(folder).stdout(Stdio::piped());
    for door in ["http", "otq", "okq", "fastqueue", "blockqueue"] {
        command.args(["--set", &format!("{door}.listen=127.0.0.1:0")]);
    }
    command.args(["--set", "dsmq.listen="]);
    let mut broker = Broker(command.spawn().unwrap());
    // Ends when the doors are told, or with the process.
    let mut lines = BufReader::new(broker.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "octoq ready");
    // They come in this order, perhaps with others between them.
    let mut door = |name: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if let Some((found, address)) = line.split_once(' ')
            && found == name
        {
            break address.to_owned();
        }
    };
    let http = door("http").trim_start_matches("http://").to_owned();
    let (otq, okq) = (door("otq"), door("okq"));
    let fastqueue = door("fastqueue").trim_start_matches("http://").to_owned();
    let blockqueue = door("blockqueue").trim_start_matches("http://").to_owned();
    (broker, [otq, http, okq, fastqueue, blockqueue])
}

#[test]
fn the_tour_works_as_printed() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks = blocks(&readme, "Tour");
    let mut steps: Vec<(String, Option<String>)> = Vec::new();
    for (language, text) in blocks {
        match (language.as_str(), steps.last_mut()) {
            ("sh", _) => steps.push((text, None)),
            ("text", Some((_, printed @ None))) => *printed = Some(text),
            ("text", _) => panic!("what printed this?\n{text}"),
            _ => {}
        }
    }
    assert!(steps.len() > 5, "the tour is gone");

    let folder = tempfile::tempdir().unwrap();
    let (_broker, [otq, http, okq, fastqueue, blockqueue]) = start(folder.path());
    let (_, okq_port) = okq.split_once(':').unwrap();
    let (otq_host, otq_port) = otq.split_once(':').unwrap();
    let mark = "==== the next step of the tour";
    let script: String = steps
        .iter()
        .map(|(commands, _)| format!("{commands}\nprintf '\\n%s\\n' '{mark}'\n"))
        .collect::<String>()
        .replace("127.0.0.1:6790", &http)
        .replace("127.0.0.1:8000", &fastqueue)
        .replace("127.0.0.1:8080", &blockqueue)
        .replace("redis-cli -p 4777", &format!("redis-cli -p {okq_port}"))
        .replace("/dev/tcp/127.0.0.1/6789", &format!("/dev/tcp/{otq_host}/{otq_port}"));
    let fixed = ["6789", "6790", "4777", "8000", "8080"].iter().any(|port| script.contains(port));
    assert!(!fixed, "a port of the tour is fixed");
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .output()
        .expect("the tour needs bash, curl and redis-cli: `tests/run` installs what is missing");
    let printed = String::from_utf8(ran.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}\n{printed}\n{complaints}", ran.status);

    let parts: Vec<&str> = printed.split(mark).collect();
    assert_eq!(parts.len(), steps.len() + 1, "{printed}\n{complaints}");
    for ((commands, expected), part) in steps.iter().zip(parts) {
        let (expected, part) =
            (expected.as_deref().unwrap_or_default(), part.trim_start_matches('\n'));
        assert_eq!(
            shape(part),
            shape(expected),
            "the tour prints something else:\n{commands}\n{part}"
        );
    }
}

#[test]
fn a_shape_forgets_only_what_differs_from_run_to_run() {
    let (one, other) = (
        r#"{"id":"01a1fdbd-30b5-700e-8870-000000000001","seq":2,"at":1795258396853}"#,
        r#"{"id":"01a1fdbf-58df-76f3-b95a-00000000000b","seq":2,"at":1795258538207}"#,
    );
    assert_eq!(shape(one), shape(other));
    assert_ne!(shape(r#"{"seq":1}"#), shape(r#"{"seq":2}"#));
    assert_eq!(shape("PROCEED\nfeed-back 17"), "PROCEED\nfeed-back 17");
}
