//! The guard itself: it counts what it should, and a wrong number makes it red.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

/// One that is counted quickly.
const SECTION: &str = "otq/write-get";

/// Counts with a file of its own; the exit code and all that was said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_octoq-counts")).args(arguments).output().unwrap();
    let Output { status, stdout, stderr } = out;
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn a_wrong_number_makes_it_red() {
    let numbers = file("numbers.txt");
    let path = numbers.to_str().unwrap();
    let (code, said) = run(&["--numbers", path, "--write", SECTION]);
    assert_eq!(code, Some(0), "{said}");
    let written = fs::read_to_string(&numbers).unwrap();

    // What was just counted is counted again.
    let (code, said) = run(&["--numbers", path, SECTION]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all 4 within 5 %"), "{said}");

    for (column, what) in [(0, "instructions"), (1, "allocations")] {
        let wrong: Vec<String> = written
            .lines()
            .map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
                [instructions, allocations, SECTION] => {
                    let mut numbers = [instructions, allocations].map(str::to_owned);
                    let number: f64 = numbers[column].parse().unwrap();
                    numbers[column] = (number * 2.0 + 1.0).to_string();
                    format!("{} {} {SECTION}", numbers[0], numbers[1])
                }
                _ => line.to_owned(),
            })
            .collect();
        fs::write(&numbers, wrong.join("\n")).unwrap();
        let (code, said) = run(&["--numbers", path, SECTION]);
        assert_eq!(code, Some(1), "{said}");
        let summary =
            said.split("1 of 4 are not within 5 %").nth(1).unwrap_or_else(|| panic!("{said}"));
        assert!(summary.contains(&format!("{SECTION}, {what}")), "{said}");
    }
}

#[test]
fn what_cannot_be_compared_is_no_success() {
    let empty = file("empty.txt");
    fs::write(&empty, "not numbers").unwrap();
    for arguments in [
        &["--numbers", "/nowhere/numbers.txt", SECTION][..],
        &["--numbers", empty.to_str().unwrap(), SECTION],
        &["no-section-has-this-name"],
        &["--write", SECTION],
        &["--unknown"],
    ] {
        let (code, said) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
}
