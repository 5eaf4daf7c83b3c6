//! What a message costs in instructions and allocations, compared with committed numbers: what no
//! noise of a machine can hide.
//!
//! `cargo run --release -p octoq-counts` counts everything and fails when something left its
//! tolerance; `-- --write` writes what was counted into `numbers.txt` instead; `-- rules/plain otq`
//! counts only what has a name that begins so; `-- --numbers FILE` compares with, or writes, another
//! file. Needs valgrind. The profile is that of the binary which people run, its allocator included.

#![allow(clippy::expect_used, reason = "a guard that cannot go on says why and ends")]

mod actors;
mod callgrind;
mod codecs;
mod meter;
mod numbers;
mod rules;

use callgrind::Count;
use meter::Meter;
use numbers::{Numbers, Verdict, With};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the committed numbers are.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/numbers.txt");

/// How often is counted what is written, or seems wrong.
const TIMES: usize = 3;

/// How this program starts itself under valgrind: it does the work, and compares nothing.
pub const WORK: &str = "--work";

struct Arguments {
    write: bool,
    work: bool,
    file: PathBuf,
    words: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut read =
        Arguments { write: false, work: false, file: COMMITTED.into(), words: Vec::new() };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--write" => read.write = true,
            WORK => read.work = true,
            "--numbers" => {
                read.file = given.next().ok_or("--numbers needs the name of a file")?.into();
            }
            option if option.starts_with('-') => return Err(format!("no such option: {option}")),
            word => read.words.push(word.to_owned()),
        }
    }
    if read.write && !read.words.is_empty() && read.file == Path::new(COMMITTED) {
        return Err("the committed numbers are written all at once".to_owned());
    }
    Ok(read)
}

fn main() -> ExitCode {
    match guard() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

/// False: something left its tolerance.
fn guard() -> Result<bool, String> {
    let Arguments { write, work, file, words } = arguments()?;
    if work {
        let mut meter = Meter::new(words);
        rules::count(&mut meter);
        codecs::count(&mut meter);
        actors::count(&mut meter);
        return Ok(true);
    }
    let failed = |error| format!("{}: {error}", file.display());
    let committed = match write {
        true => None,
        false => Some(Numbers::read(&std::fs::read_to_string(&file).map_err(failed)?)?),
    };
    let with = With::here()?;
    if let Some(Numbers { with: of, .. }) = &committed
        && of.machine != with.machine
    {
        println!("not compared: the numbers are of {}", of.machine);
        return Ok(true);
    }
    let mut counts = callgrind::count(&words)?;
    if counts.is_empty() {
        return Err("nothing has such a name".to_owned());
    }
    let verdict = |counts: &[Count]| {
        let committed = committed.as_ref()?;
        Some(Verdict::of(committed, &with, counts, words.is_empty()))
    };
    // What comes in between by chance only adds: what is wrong is counted again, and the least counts.
    for _ in 1..TIMES {
        if verdict(&counts).is_some_and(|verdict| verdict.is_good()) {
            break;
        }
        callgrind::keep_least(&mut counts, callgrind::count(&words)?);
    }
    let Some(verdict) = verdict(&counts) else {
        std::fs::write(&file, Numbers { with, counts }.text()).map_err(failed)?;
        println!("written: {}", file.display());
        return Ok(true);
    };
    print!("{verdict}");
    Ok(verdict.is_good())
}
