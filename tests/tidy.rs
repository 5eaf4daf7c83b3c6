//! The habits that no compiler checks: arrows between rooms, what the rules may know, words that
//! must not be in the code, and documents that speak of files which are there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by it")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which rooms of the crate each room may name, itself apart. A room that is not listed fails the
/// test: whoever adds one says here where it stands.
const ARROWS: [(&str, &[&str]); 13] = [
    ("main", &["cli"]),
    ("lib", &[]),
    (
        "cli",
        &[
            "auth", "bench", "broker", "config", "conform", "dialect", "engine", "import",
            "journal", "queue", "server",
        ],
    ),
    ("server", &["auth", "broker", "config", "dialect", "engine", "journal", "queue"]),
    ("config", &["broker", "journal", "queue"]),
    ("conform", &[]),
    ("bench", &[]),
    ("import", &["broker", "queue"]),
    ("dialect", &["auth", "broker", "config", "queue"]),
    ("broker", &["auth", "config", "engine", "journal", "queue"]),
    ("engine", &["journal", "queue"]),
    ("journal", &["queue"]),
    ("queue", &[]),
];

/// Rooms that are listed by themselves: they know nothing of the crate.
const ALONE: [&str; 1] = ["auth"];

/// What the rules may use beside the standard library, tests apart.
const CRATES_OF_QUEUE: [&str; 12] = [
    "base64",
    "bytes",
    "foldhash",
    "hashbrown",
    "memchr",
    "rustc_hash",
    "serde",
    "serde_json",
    "slab",
    "smallvec",
    "thiserror",
    "uuid",
];

struct Source {
    path: PathBuf,
    /// Comments and the contents of texts blanked, line ends kept.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    files(&root().join("src"), "rs", &mut paths);
    paths.sort();
    assert!(paths.len() > 20, "src is not where it was");
    let read = |path: PathBuf| Source { code: blank(&fs::read_to_string(&path).unwrap()), path };
    paths.into_iter().map(read).collect()
}

impl Source {
    fn shown(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    /// The room: the folder below src, or the name of a file that lies there itself.
    fn room(&self) -> String {
        let below = self.path.strip_prefix(root().join("src")).unwrap();
        let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    }

    /// A file of tests, whole.
    fn is_test(&self) -> bool {
        let below = self.path.strip_prefix(root().join("src")).unwrap();
        below.components().any(|part| {
            let part = part.as_os_str().to_str().unwrap().trim_end_matches(".rs");
            part == "tests" || part.ends_with("_test") || part.ends_with("_tests")
        })
    }

    /// Without the tests, which by habit are the end of a file.
    fn without_tests(&self) -> &str {
        let end = self.code.find("#[cfg(test)]\nmod ").filter(|at| {
            // `mod tests;` names another file and ends nothing.
            let rest = &self.code[*at..];
            let (brace, semicolon) = (rest.find('{'), rest.find(';'));
            brace.is_some_and(|brace| semicolon.is_none_or(|semicolon| brace < semicolon))
        });
        &self.code[..end.unwrap_or(self.code.len())]
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// Blanks comments and the contents of texts, so that only code is looked at.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let rest = &chars[at..];
        let end = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => {
                let close = rest.windows(2).skip(2).position(|two| two == ['*', '/']);
                close.map_or(rest.len(), |close| close + 4)
            }
            ['r', '#', '"', ..] => {
                let close = rest.windows(2).skip(3).position(|two| two == ['"', '#']);
                close.map_or(rest.len(), |close| close + 5)
            }
            ['r', '"', ..] => {
                rest.iter().skip(2).position(|c| *c == '"').map_or(rest.len(), |close| close + 3)
            }
            ['"', ..] => {
                let mut end = 1;
                while end < rest.len() && rest[end] != '"' {
                    end += if rest[end] == '\\' { 2 } else { 1 };
                }
                (end + 1).min(rest.len())
            }
            // A character, not a lifetime.
            ['\'', '\\', ..] => {
                rest.iter().skip(3).position(|c| *c == '\'').map_or(rest.len(), |close| close + 4)
            }
            ['\'', _, '\'', ..] => 3,
            [c, ..] => {
                out.push(*c);
                at += 1;
                continue;
            }
            [] => break,
        };
        out.extend(rest[..end].iter().map(|c| keep(*c)));
        at += end;
    }
    out
}

/// Where `word` stands as a whole word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].ends_with(part) && !code[at + word.len()..].starts_with(part)
    })
}

fn ident(code: &str) -> &str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    &code[..end]
}

/// First words of the paths that follow `prefix`: `crate::a::b`, `crate::{a::b, c}`.
fn heads(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, prefix.trim_end_matches(':')) {
        let Some(rest) = code[at..].strip_prefix(prefix) else { continue };
        let Some(list) = rest.trim_start().strip_prefix('{') else {
            found.push((at, ident(rest).to_owned()));
            continue;
        };
        let (mut depth, mut fresh) = (0, true);
        for (offset, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                c if fresh && (c.is_alphabetic() || c == '_') => {
                    found.push((at, ident(&list[offset..]).to_owned()));
                    fresh = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn report(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_arrow_between_rooms_turns_round() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room();
        let allowed: &[&str] = match ARROWS.iter().find(|(name, _)| *name == room) {
            Some((_, allowed)) => allowed,
            None if ALONE.contains(&room.as_str()) => &[],
            None => {
                wrong.push(format!("{}: the room `{room}` is not in ARROWS", source.shown()));
                continue;
            }
        };
        let prefix = if room == "main" { "octoq::" } else { "crate::" };
        for (at, to) in heads(&source.code, prefix) {
            if to != room && !allowed.contains(&to.as_str()) {
                let line = source.line_of(at);
                wrong.push(format!("{}:{line}: `{room}` must not know `{to}`", source.shown()));
            }
        }
    }
    report(wrong);
}

#[test]
fn dialects_do_not_know_each_other() {
    let dialects: Vec<String> = fs::read_dir(root().join("src/dialect"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(dialects.len() > 1);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "dialect") {
        let own = source.path.strip_prefix(root().join("src/dialect")).unwrap();
        let own = own.components().next().unwrap().as_os_str().to_str().unwrap();
        for prefix in ["crate::dialect::", "super::super::", "super::"] {
            for (at, to) in heads(&source.code, prefix) {
                if dialects.contains(&to) && to != own && own != "mod.rs" {
                    let line = source.line_of(at);
                    wrong.push(format!("{}:{line}: `{own}` must not know `{to}`", source.shown()));
                }
            }
        }
    }
    report(wrong);
}

#[test]
fn the_rules_know_no_crate_but_the_few_they_need() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let crates: BTreeSet<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim().replace('-', "_")))
        .collect();
    assert!(crates.len() > 10, "Cargo.toml is not read as it should");
    let banned_of_std = ["fs", "net", "process", "thread", "env", "io"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room() == "queue" && !source.is_test()) {
        let code = source.without_tests();
        for name in crates.iter().filter(|name| !CRATES_OF_QUEUE.contains(&name.as_str())) {
            let used = words(code, name).find(|at| code[at + name.len()..].starts_with("::"));
            if let Some(at) = used {
                wrong.push(format!("{}:{}: uses {name}", source.shown(), source.line_of(at)));
            }
        }
        for (at, name) in heads(code, "std::") {
            if banned_of_std.contains(&name.as_str()) {
                wrong.push(format!("{}:{}: uses std::{name}", source.shown(), source.line_of(at)));
            }
        }
        for clock in ["Instant", "SystemTime"] {
            if let Some(at) = words(code, clock).next() {
                wrong.push(format!("{}:{}: reads a clock", source.shown(), source.line_of(at)));
            }
        }
    }
    report(wrong);
}

#[test]
fn no_locks_no_leftovers_no_drawers() {
    let mut wrong = Vec::new();
    for source in sources() {
        let name = source.path.file_name().unwrap().to_str().unwrap();
        if ["utils.rs", "helpers.rs", "common.rs"].contains(&name) {
            wrong.push(format!("{}: a file is named after its subject", source.shown()));
        }
        for lock in ["Mutex", "RwLock"] {
            if let Some(at) = words(&source.code, lock).next() {
                let line = source.line_of(at);
                wrong.push(format!(
                    "{}:{line}: {lock}: state belongs to an actor or a thread",
                    source.shown()
                ));
            }
        }
        for macro_name in ["todo", "unimplemented", "dbg"] {
            let used = words(&source.code, macro_name)
                .find(|at| source.code[at + macro_name.len()..].starts_with('!'));
            if let Some(at) = used {
                wrong.push(format!("{}:{}: {macro_name}!", source.shown(), source.line_of(at)));
            }
        }
    }
    report(wrong);
}

#[test]
fn documents_speak_of_files_that_are_there() {
    let mut wrong = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        // Links: [text](target); and paths in backquotes that begin in a folder of the repository.
        let links =
            text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| {
            let folders = ["src/", "tests/", "config/", "benches/", "examples/", ".ci/"];
            folders.iter().any(|folder| quoted.starts_with(folder))
        });
        let path =
            |mention: &str| mention.split([' ', '#', ':']).next().unwrap_or_default().to_owned();
        for mention in links.chain(quoted).map(path) {
            if !mention.contains(['*', '{']) && !root().join(&mention).exists() {
                wrong.push(format!("{document}: {mention} is not there"));
            }
        }
    }
    report(wrong);
}

#[test]
fn what_is_vendored_is_what_was_taken() {
    use sha2::{Digest as _, Sha256};
    for folder in ["static/vendor", "tests/browser/vendor"] {
        let folder = root().join(folder);
        let sums = fs::read_to_string(folder.join("CHECKSUMS")).unwrap();
        let listed: BTreeSet<(String, String)> = sums
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect();
        let there: BTreeSet<(String, String)> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "CHECKSUMS")
            .map(|name| {
                let digest = Sha256::digest(fs::read(folder.join(&name)).unwrap());
                (name, digest.iter().map(|byte| format!("{byte:02x}")).collect())
            })
            .collect();
        assert_eq!(there, listed);
        // Each comes with its licence, under the name that the file begins with.
        for (name, _) in there.iter().filter(|(name, _)| !name.ends_with(".LICENSE")) {
            for part in name.split(['.', '-']).filter(|part| !["js", "css"].contains(part)) {
                assert!(folder.join(format!("{part}.LICENSE")).exists(), "{name}: of {part}");
            }
        }
    }
}

#[test]
fn pages_insert_text_as_text_and_know_no_other_host() {
    let mut paths = Vec::new();
    for extension in ["js", "css", "html"] {
        files(&root().join("static"), extension, &mut paths);
    }
    let own =
        paths.iter().filter(|path| !path.components().any(|part| part.as_os_str() == "vendor"));
    let mut wrong = Vec::new();
    for path in own {
        let text = fs::read_to_string(path).unwrap();
        for banned in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=\"",
            "new Function",
            "https://",
            "javascript:",
        ] {
            if text.contains(banned) {
                wrong.push(format!("{}: {banned}", path.display()));
            }
        }
    }
    assert!(paths.len() > 20);
    report(wrong);
}

#[test]
fn code_is_told_from_comments_and_texts() {
    let code = blank("a // Mutex\nlet b = \"x \\\" Mutex\"; /* Mutex */ c('\"', '\\'', d::<'e>);");
    assert!(
        !code.contains("Mutex") && code.contains("let b =") && code.contains("d::<'e>"),
        "{code}"
    );
    let heads: Vec<_> = heads("use crate::{a::{b, c}, d as e};\nf(crate::g::h)", "crate::")
        .into_iter()
        .map(|(_, head)| head)
        .collect();
    assert_eq!(heads, ["a", "d", "g"]);
}
