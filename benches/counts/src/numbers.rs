//! The committed numbers, and how far what was counted may be from them.

use crate::callgrind::Count;
use std::{fmt, process::Command};

/// Where compiler, libraries and processor are those of the numbers, nothing but the code differs:
/// what is left is the hash seeds of a process and the timers of the actors.
const TOLERANCE: f64 = 0.05;
/// Elsewhere another compiler or another `memcpy` takes part.
const TOLERANCE_ELSEWHERE: f64 = 0.25;
/// What is this near is the same, however small both are.
const INSTRUCTIONS_NEAR: f64 = 2.0;
const ALLOCATIONS_NEAR: f64 = 0.02;

/// With what the numbers were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct With {
    /// The architecture: numbers of another are not compared at all.
    pub machine: String,
    /// Compiler, valgrind, libc, and what the processor can do that libraries look for.
    pub tools: String,
}

/// The first line that a program says.
fn said(program: &str, argument: &str) -> Result<String, String> {
    let out = Command::new(program).arg(argument).output();
    let out = out.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn processor() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") { "avx2" } else { "no avx2" }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> &'static str {
    "any"
}

impl With {
    /// What is here.
    pub fn here() -> Result<With, String> {
        let valgrind = said("valgrind", "--version")?;
        let libc = said("getconf", "GNU_LIBC_VERSION")?;
        let rustc = env!("COUNTS_RUSTC");
        Ok(With {
            machine: std::env::consts::ARCH.to_owned(),
            tools: format!("{rustc}; {valgrind}; {libc}; {}", processor()),
        })
    }
}

/// Numbers, and with what they were made.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// With what.
    pub with: With,
    /// In the order in which they were counted.
    pub counts: Vec<Count>,
}

const HEAD: &str = "\
# What a message costs, counted by callgrind in the release profile. Compared by tests/run; see
# benches/README.md. Renewed, when a change is meant to cost or save this much, by:
#   cargo run --release -p octoq-counts -- --write
";

impl Numbers {
    /// As a file has them.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        text += &format!("machine: {}\ntools: {}\n", self.with.machine, self.with.tools);
        text += "\n# instructions  allocations  of one message\n";
        for count in &self.counts {
            let Count { name, instructions, allocations } = count;
            text += &format!("{instructions:14.1} {allocations:12.2}  {name}\n");
        }
        text
    }

    /// Errors: a line that says nothing of this.
    pub fn read(text: &str) -> Result<Numbers, String> {
        let mut with = With { machine: String::new(), tools: String::new() };
        let mut counts = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(machine) = line.strip_prefix("machine: ") {
                with.machine = machine.to_owned();
            } else if let Some(tools) = line.strip_prefix("tools: ") {
                with.tools = tools.to_owned();
            } else {
                let count = match line.split_whitespace().collect::<Vec<_>>()[..] {
                    [instructions, allocations, name] => {
                        instructions.parse().ok().zip(allocations.parse().ok()).map(
                            |(instructions, allocations)| Count {
                                name: name.to_owned(),
                                instructions,
                                allocations,
                            },
                        )
                    }
                    _ => None,
                };
                counts.push(count.ok_or_else(|| format!("not understood: {line}"))?);
            }
        }
        Ok(Numbers { with, counts })
    }
}

/// One number beside the committed one.
#[derive(Debug)]
struct Line {
    what: String,
    committed: Option<f64>,
    counted: Option<f64>,
    good: bool,
}

/// What came out.
#[derive(Debug)]
pub struct Verdict {
    lines: Vec<Line>,
    tolerance: f64,
    /// Said before all else.
    note: Option<String>,
}

impl Verdict {
    /// `all`: what is committed and was not counted is missing.
    pub fn of(committed: &Numbers, with: &With, counted: &[Count], all: bool) -> Verdict {
        let here = committed.with == *with;
        let tolerance = if here { TOLERANCE } else { TOLERANCE_ELSEWHERE };
        let note = (!here).then(|| {
            let percent = TOLERANCE_ELSEWHERE * 100.0;
            let (those, these) = (&committed.with.tools, &with.tools);
            format!("tolerance {percent:.0} %: the numbers are of\n  {those}, here is\n  {these}")
        });
        let mut lines = Vec::new();
        let mut line = |what: String, committed: Option<f64>, counted: Option<f64>, near: f64| {
            let good = match (committed, counted) {
                (Some(committed), Some(counted)) => {
                    (counted - committed).abs() <= (committed * tolerance).max(near)
                }
                _ => false,
            };
            lines.push(Line { what, committed, counted, good });
        };
        let mut compare = |name: &str, before: Option<&Count>, now: Option<&Count>| {
            let of = |count: Option<&Count>, part: fn(&Count) -> f64| count.map(part);
            let instructions = |count: &Count| count.instructions;
            let allocations = |count: &Count| count.allocations;
            let (one, other) = (of(before, instructions), of(now, instructions));
            line(format!("{name}, instructions"), one, other, INSTRUCTIONS_NEAR);
            let (one, other) = (of(before, allocations), of(now, allocations));
            line(format!("{name}, allocations"), one, other, ALLOCATIONS_NEAR);
        };
        for now in counted {
            let before = committed.counts.iter().find(|before| before.name == now.name);
            compare(&now.name, before, Some(now));
        }
        let was_counted = |name: &str| counted.iter().any(|now| now.name == name);
        for gone in committed.counts.iter().filter(|before| all && !was_counted(&before.name)) {
            compare(&gone.name, Some(gone), None);
        }
        Verdict { lines, tolerance, note }
    }

    /// Everything is within its tolerance.
    pub fn is_good(&self) -> bool {
        self.lines.iter().all(|line| line.good)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |number: Option<f64>| match number {
            Some(number) => format!("{number:.2}"),
            None => "none".to_owned(),
        };
        let (committed, counted) = (shown(self.committed), shown(self.counted));
        let ratio = match (self.committed, self.counted) {
            (Some(committed), Some(counted)) if committed > 0.0 => {
                format!("{:.3}", counted / committed)
            }
            _ => "-".to_owned(),
        };
        write!(f, "{:<52} {committed:>12} {counted:>12} {ratio:>8}", self.what)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(note) = &self.note {
            writeln!(f, "{note}")?;
        }
        writeln!(
            f,
            "{:<52} {:>12} {:>12} {:>8}",
            "of one message", "committed", "counted", "ratio"
        )?;
        for line in &self.lines {
            writeln!(f, "{line}{}", if line.good { "" } else { "  <-" })?;
        }
        let bad: Vec<&Line> = self.lines.iter().filter(|line| !line.good).collect();
        let percent = self.tolerance * 100.0;
        if bad.is_empty() {
            return writeln!(f, "all {} within {percent:.0} %", self.lines.len());
        }
        writeln!(f, "\n{} of {} are not within {percent:.0} %:", bad.len(), self.lines.len())?;
        for line in bad {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "if that is meant: cargo run --release -p octoq-counts -- --write")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(name: &str, instructions: f64, allocations: f64) -> Count {
        Count { name: name.to_owned(), instructions, allocations }
    }

    fn with(tools: &str) -> With {
        With { machine: "x86_64".to_owned(), tools: tools.to_owned() }
    }

    fn committed() -> Numbers {
        let counts = vec![count("rules/plain/ack", 100.0, 1.0), count("otq/read", 40.0, 0.0)];
        Numbers { with: with("one"), counts }
    }

    fn verdict(counted: &[Count], all: bool) -> Verdict {
        Verdict::of(&committed(), &with("one"), counted, all)
    }

    #[test]
    fn numbers_are_read_back_as_they_were_written() {
        assert_eq!(Numbers::read(&committed().text()), Ok(committed()));
        for wrong in ["rules 1 2", "1 2", "1 x rules"] {
            assert!(Numbers::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_within_the_tolerance_is_good() {
        for (instructions, allocations) in [(100.0, 1.0), (104.9, 1.0), (95.1, 1.04)] {
            let counted =
                [count("rules/plain/ack", instructions, allocations), count("otq/read", 41.9, 0.0)];
            assert!(verdict(&counted, true).is_good(), "{instructions} {allocations}");
        }
    }

    #[test]
    fn more_less_new_and_missing_are_told_with_their_numbers() {
        let ack = |instructions, allocations| count("rules/plain/ack", instructions, allocations);
        let read = count("otq/read", 40.0, 0.0);
        for (counted, told) in [
            (vec![ack(106.0, 1.0), read.clone()], ["instructions", "100.00", "106.00", "1.060"]),
            (vec![ack(94.0, 1.0), read.clone()], ["instructions", "100.00", "94.00", "0.940"]),
            (vec![ack(100.0, 2.0), read.clone()], ["allocations", "1.00", "2.00", "2.000"]),
            (
                vec![ack(100.0, 1.0), count("otq/read", 40.0, 1.0)],
                ["otq/read", "0.00", "1.00", "-"],
            ),
            (vec![ack(100.0, 1.0)], ["otq/read", "40.00", "none", "-"]),
            (
                vec![ack(100.0, 1.0), read.clone(), count("new", 1.0, 0.0)],
                ["new", "none", "1.00", "-"],
            ),
        ] {
            let verdict = verdict(&counted, true);
            assert!(!verdict.is_good(), "{counted:?}");
            let shown = verdict.to_string();
            let summary = shown.split("are not within").nth(1).unwrap();
            assert!(told.iter().all(|word| summary.contains(word)), "{told:?}: {shown}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_missing() {
        assert!(verdict(&[count("otq/read", 40.0, 0.0)], false).is_good());
    }

    #[test]
    fn with_other_tools_more_is_allowed_and_said() {
        let counted = [count("rules/plain/ack", 120.0, 1.0), count("otq/read", 40.0, 0.0)];
        let elsewhere = Verdict::of(&committed(), &with("two"), &counted, true);
        assert!(elsewhere.is_good() && elsewhere.to_string().contains("25 %"), "{elsewhere}");
        let far = [count("rules/plain/ack", 130.0, 1.0), count("otq/read", 40.0, 0.0)];
        assert!(!Verdict::of(&committed(), &with("two"), &far, true).is_good());
    }
}
