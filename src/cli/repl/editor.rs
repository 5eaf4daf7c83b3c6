//! The line editor: history in a file, completion of commands and topics.

use super::request;
use rustyline::{
    Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::{FileHistory, History as _, SearchDirection},
    validate::Validator,
};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    env,
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Lines kept in the history.
const HISTORY_LINES_MAX: usize = 1000;
/// Completions shown at a time.
const CANDIDATES_MAX: usize = 200;

const VERBS: [&str; 13] = [
    "acknowledge",
    "clear",
    "connect",
    "disconnect",
    "display",
    "get",
    "new",
    "ping",
    "publish",
    "put",
    "putack",
    "subscribe",
    "unsubscribe",
];
const WORDS: [&str; 4] = ["help", "history", "otq", "quit"];

/// What can stand where the cursor is, and where it begins.
fn candidates(line: &str, topics: &BTreeSet<String>) -> (usize, Vec<String>) {
    let start = line.rfind(' ').map_or(0, |space| space + 1);
    let (before, word) = line.split_at(start);
    let mut words: Vec<&str> = before.split_ascii_whitespace().collect();
    let otq = words.first().is_some_and(|first| first.eq_ignore_ascii_case("otq"));
    if otq {
        words.remove(0);
    }
    let verb = words.first().map(|verb| verb.to_ascii_lowercase());
    let starting = |word: &str, known: &[&str]| -> Vec<String> {
        let fits = |known: &&&str| {
            known.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        known.iter().filter(fits).map(|known| (*known).to_owned()).collect()
    };
    let Some(verb) = verb else {
        let mut found = starting(word, &VERBS);
        if !otq {
            found.extend(starting(word, &WORDS));
        }
        return (start, found);
    };
    match (verb.as_str(), words.len()) {
        ("connect" | "disconnect" | "new", 1) => (start, Vec::new()),
        (_, 1) => {
            // Several topics are separated by commas: the last one is completed.
            let start = word.rfind(',').map_or(start, |comma| start + comma + 1);
            let word = line.get(start..).unwrap_or_default();
            let from = topics.range(word.to_owned()..).take_while(|topic| topic.starts_with(word));
            let mut found: Vec<String> = from.take(CANDIDATES_MAX).cloned().collect();
            if verb == "display" && word.is_empty() {
                found.push("*".to_owned());
            }
            (start, found)
        }
        ("new", 2) => (start, starting(word, &["broker", "pubsub"])),
        ("put" | "putack" | "publish" | "get", 3) => (start, starting(word, &["batch"])),
        _ => (start, Vec::new()),
    }
}

#[derive(Default)]
struct Known {
    topics: BTreeSet<String>,
    coloured_prompt: String,
}

impl Completer for Known {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = candidates(line.get(..cursor).unwrap_or(line), &self.topics);
        let pair = |found: String| {
            // A complete word is followed by a space, so that the next Tab completes the next one.
            let replacement = format!("{found} ");
            Pair { display: found, replacement }
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Known {
    type Hint = String;
}

impl Highlighter for Known {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        is_default: bool,
    ) -> Cow<'b, str> {
        if is_default && !self.coloured_prompt.is_empty() {
            Cow::Borrowed(&self.coloured_prompt)
        } else {
            Cow::Borrowed(prompt)
        }
    }
}

impl Validator for Known {}
impl Helper for Known {}

/// What a person typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// A line.
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D.
    Ended,
}

/// Reads lines from a terminal.
pub struct Prompter {
    editor: Editor<Known, FileHistory>,
    file: Option<PathBuf>,
}

impl Prompter {
    /// With the history of `file`; without one it lasts as long as the program.
    pub fn new(file: Option<PathBuf>) -> io::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(io::Error::other)?
            .auto_add_history(false)
            .build();
        let mut editor: Editor<Known, FileHistory> =
            Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Known::default()));
        let file = file.filter(|file| match prepare(file) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("octoq: no history: {}: {error}", file.display());
                false
            }
        });
        if let Some(file) = &file
            && let Err(error) = editor.load_history(file)
        {
            eprintln!("octoq: no history: {}: {error}", file.display());
        }
        Ok(Prompter { editor, file })
    }

    /// Asks for one line. `prompt`: without and with colour.
    pub fn ask(&mut self, prompt: &(String, String)) -> io::Result<Entry> {
        if let Some(known) = self.editor.helper_mut() {
            known.coloured_prompt.clone_from(&prompt.1);
        }
        match self.editor.readline(prompt.0.as_str()) {
            Ok(line) => Ok(Entry::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(Entry::Interrupted),
            Err(ReadlineError::Eof) => Ok(Entry::Ended),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Puts a command into the history, unless it may hold a password.
    pub fn remember(&mut self, line: &str) {
        if !request::may_be_kept(line) {
            return;
        }
        // A history that cannot be written costs no command.
        let _ = self.editor.add_history_entry(line.trim());
        if let Some(file) = &self.file {
            let _ = self.editor.append_history(file);
        }
    }

    /// The lines remembered, oldest first.
    pub fn history(&self) -> Vec<String> {
        let history = self.editor.history();
        let entry = |at| history.get(at, SearchDirection::Forward).ok().flatten();
        (0..history.len()).filter_map(entry).map(|found| found.entry.into_owned()).collect()
    }

    /// Names of topics to complete.
    pub fn know_topics(&mut self, topics: &BTreeSet<String>) {
        if let Some(known) = self.editor.helper_mut()
            && known.topics != *topics
        {
            known.topics.clone_from(topics);
        }
    }
}

/// Where the history is: `octoq/repl_history` in the user's state folder.
pub fn history_file() -> Option<PathBuf> {
    state_folder(env::var_os("XDG_STATE_HOME").map(PathBuf::from), env::home_dir())
        .map(|folder| folder.join("octoq").join("repl_history"))
}

fn state_folder(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    // A relative path is to be ignored, says the XDG base directory specification.
    let home = home.filter(|home| home.is_absolute()).map(|home| home.join(".local/state"));
    state.filter(|state| state.is_absolute()).or(home)
}

/// Makes the folder and the file, for the user alone.
fn prepare(file: &Path) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    let mut permissions = opened.metadata()?.permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    opened.set_permissions(permissions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn commands_topics_and_keywords_are_completed_where_they_belong() {
        let topics: BTreeSet<String> = ["default", "defects", "pubsub"].map(String::from).into();
        let table: [(&str, usize, &[&str]); 15] = [
            ("put", 0, &["put", "putack"]),
            ("GE", 0, &["get"]),
            ("h", 0, &["help", "history"]),
            ("otq h", 4, &[]),
            ("otq pi", 4, &["ping"]),
            ("get def", 4, &["default", "defects"]),
            ("otq get p", 8, &["pubsub"]),
            ("put default,p", 12, &["pubsub"]),
            ("display ", 8, &["default", "defects", "pubsub", "*"]),
            ("connect def", 8, &[]),
            ("new def", 4, &[]),
            ("new t b", 6, &["broker"]),
            ("get default 1 ", 14, &["batch"]),
            ("get default ", 12, &[]),
            ("é", 0, &[]),
        ];
        for (line, start, words) in table {
            let (at, found) = candidates(line, &topics);
            assert_eq!(
                (at, found),
                (start, words.iter().map(|word| (*word).to_owned()).collect()),
                "{line}"
            );
        }
    }

    #[test]
    fn the_history_is_for_the_user_alone_and_holds_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state").join("octoq").join("repl_history");
        let mut prompter = Prompter::new(Some(file.clone())).unwrap();
        prompter.remember("get default 1 batch");
        prompter.remember("connect admin secret");
        prompter.remember("conect admin secret");
        assert_eq!(prompter.history(), ["get default 1 batch"]);
        drop(prompter);

        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("get default 1 batch") && !text.contains("secret"), "{text}");
        assert_eq!(Prompter::new(Some(file)).unwrap().history(), ["get default 1 batch"]);
    }

    #[test]
    fn the_state_folder_is_the_one_of_the_specification() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(state_folder(path("/s"), path("/h")), path("/s"));
        assert_eq!(state_folder(path("s"), path("/h")), path("/h/.local/state"));
        assert_eq!(state_folder(None, path("/h")), path("/h/.local/state"));
        assert_eq!(state_folder(None, None), None);
    }
}
