//! Runs this program under valgrind, and reads what callgrind wrote.
//!
//! Callgrind writes a part of its file whenever [`Meter::section`](crate::meter::Meter::section)
//! begins or ends, so that what lies between is one part; of each thread on its own, so that only the
//! thread that does the work is counted. Allocations are the calls of the allocator's functions.

use crate::WORK;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What one message of a section costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The section.
    pub name: String,
    /// Instructions.
    pub instructions: f64,
    /// Pieces of memory asked for; one that is made larger counts again.
    pub allocations: f64,
}

/// What asks for memory: mimalloc, which Rust is given here, and the system's for C.
const ALLOCATORS: [&str; 9] = [
    "mi_malloc_aligned",
    "mi_zalloc_aligned",
    "mi_realloc_aligned",
    "malloc",
    "calloc",
    "realloc",
    "memalign",
    "posix_memalign",
    "aligned_alloc",
];

/// A folder that is gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("octoq-counts-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Counts the sections whose names have one of the words; all of them without words.
pub fn count(words: &[String]) -> Result<Vec<Count>, String> {
    let folder = Folder::make().map_err(|error| format!("a folder for callgrind: {error}"))?;
    let own = std::env::current_exe().map_err(|error| format!("this program's name: {error}"))?;
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        // Two patterns: of one that is named twice callgrind takes the first option only.
        .args(["--dump-before=*meter::counted*", "--dump-after=*::meter::counted*"])
        .arg(format!("--callgrind-out-file={}", folder.0.join("out").display()))
        .arg(own)
        .arg(WORK)
        .args(words)
        // Memory that is free is not given back to the system, which depends on the time.
        .env("MIMALLOC_PURGE_DELAY", "-1")
        // A store of its own lies there.
        .env("TMPDIR", &folder.0)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "valgrind is missing: apt-get install valgrind".to_owned(),
            _ => format!("valgrind: {error}"),
        })?;
    if !out.status.success() {
        return Err(format!("valgrind: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let parts = parts(&folder.0)?;
    let sections: Vec<_> = said.lines().filter_map(|line| line.split_once('\t')).collect();
    if parts.len() != sections.len() {
        return Err(format!("{} sections, but {} parts", sections.len(), parts.len()));
    }
    let of_each = |((name, messages), part): (&(&str, &str), Part)| {
        let messages: f64 = messages.parse().map_err(|_| format!("{name}: {messages} messages"))?;
        Ok(Count {
            name: (*name).to_owned(),
            instructions: part.instructions as f64 / messages,
            allocations: part.allocations as f64 / messages,
        })
    };
    sections.iter().zip(parts).map(of_each).collect()
}

/// Of each the least of both.
pub fn keep_least(counts: &mut [Count], others: Vec<Count>) {
    for (count, other) in counts.iter_mut().zip(others) {
        count.instructions = count.instructions.min(other.instructions);
        count.allocations = count.allocations.min(other.allocations);
    }
}

/// What callgrind wrote when a section ended.
#[derive(Debug, PartialEq)]
struct Part {
    instructions: u64,
    allocations: u64,
}

/// The sections' parts, of the thread that does the work, in their order.
fn parts(folder: &Path) -> Result<Vec<Part>, String> {
    let failed = |error: io::Error| format!("{}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix("out.").and_then(|rest| rest.strip_suffix("-01"));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            files.push((number, path));
        }
    }
    files.sort_unstable();
    let mut parts = Vec::new();
    for (_, path) in files {
        let text = fs::read_to_string(&path).map_err(failed)?;
        parts.extend(part(&text).map_err(|error| format!("{}: {error}", path.display()))?);
    }
    Ok(parts)
}

/// Reads one part; `None`: it ends where a section begins.
fn part(text: &str) -> Result<Option<Part>, String> {
    if !text.lines().any(|line| line.starts_with("desc: Trigger: --dump-after")) {
        return Ok(None);
    }
    let (mut instructions, mut allocations) = (None, 0);
    // A function that calls itself is written with a `'` and how deep it is.
    let named = |name: &str| name.split('\'').next().unwrap_or_default().to_owned();
    let allocates = |name: &str| ALLOCATORS.contains(&name);
    let (mut caller, mut called) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            caller = named(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = named(name);
        } else if let Some(calls) = line.strip_prefix("calls=") {
            // An allocator that asks another of its functions asks once.
            if allocates(&called) && !allocates(&caller) {
                let count = calls.split(' ').next().and_then(|count| count.parse::<u64>().ok());
                allocations += count.ok_or_else(|| format!("{line}: no count"))?;
            }
        } else if let Some(total) = line.strip_prefix("totals: ") {
            instructions = total.trim().parse::<u64>().ok();
        }
    }
    let instructions = instructions.ok_or("no totals")?;
    Ok(Some(Part { instructions, allocations }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: &str = "\
desc: Trigger: --dump-after=octoq_counts::meter::counted
fn=octoq::queue::publish
100 20
cfn=mi_malloc_aligned
calls=7 300
0 70
cfn=mi_free
calls=5 300
0 9
fn=mi_realloc_aligned
cfn=mi_malloc_aligned
calls=3 300
0 8
fn=octoq::queue::ack
cfn=mi_realloc_aligned'2
calls=4 300
0 8
totals: 1234
";

    #[test]
    fn allocations_are_the_calls_from_elsewhere() {
        let found = part(PART).unwrap();
        assert_eq!(found, Some(Part { instructions: 1234, allocations: 11 }));
    }

    #[test]
    fn what_lies_before_a_section_is_no_part() {
        let before = PART.replace("--dump-after", "--dump-before");
        assert_eq!(part(&before), Ok(None));
    }

    #[test]
    fn a_part_without_its_sum_is_an_error() {
        assert!(part(&PART.replace("totals", "total")).is_err());
        assert!(part(&PART.replace("calls=7", "calls=x")).is_err());
    }
}
