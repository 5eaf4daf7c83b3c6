//! What a typed line means: a word of the REPL itself, or a command for the broker.

use crate::dialect::otq::codec::{self, Command, Malformed};

/// A line somebody typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Nothing but spaces.
    Nothing,
    /// `help`
    Help,
    /// `history`
    History,
    /// `quit`, or `exit`
    Quit,
    /// `connect USER`: the password is to be asked for.
    Login {
        /// The user's name.
        user: String,
    },
    /// A command of the protocol.
    Command(Request),
    /// None of these; the broker would close the connection on it, so it is not sent.
    Malformed(Malformed),
}

/// A command and the line it is sent as.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// With `OTQ` in front, without a line end.
    pub line: String,
    /// What it asks for.
    pub command: Command,
}

impl std::fmt::Debug for Request {
    /// Without the line: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command.fmt(f)
    }
}

impl Request {
    /// A login.
    pub fn connect(user: &str, password: &str) -> Result<Request, Malformed> {
        let sendable = |word: &str| !word.is_empty() && !word.contains([' ', '\r', '\n']);
        if !sendable(user) || !sendable(password) {
            return Err(Malformed::NoCredentials);
        }
        Request::parse(format!("OTQ CONNECT {user} {password}"))
    }

    /// It logs in.
    pub fn is_login(&self) -> bool {
        matches!(self.command, Command::Connect { .. })
    }

    fn parse(line: String) -> Result<Request, Malformed> {
        // How many rows are too many is for the broker to say.
        let command = codec::parse(line.as_bytes(), u64::MAX)?;
        Ok(Request { line, command })
    }
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// Reads what was typed; the leading `OTQ` may be left out.
pub fn read(typed: &str) -> Typed {
    let typed = typed.trim();
    let is = |word: &str| typed.eq_ignore_ascii_case(word);
    match typed {
        "" => return Typed::Nothing,
        _ if is("help") || is("?") => return Typed::Help,
        _ if is("history") => return Typed::History,
        _ if is("quit") || is("exit") => return Typed::Quit,
        _ => (),
    }
    if typed.contains(['\r', '\n']) {
        return Typed::Malformed(Malformed::Command);
    }
    let protocol = first_word(typed);
    let named = protocol.eq_ignore_ascii_case("OTQ") || protocol.eq_ignore_ascii_case("CUSTOM");
    let line = if named { typed.to_owned() } else { format!("OTQ {typed}") };
    match Request::parse(line.clone()) {
        Ok(request) => Typed::Command(request),
        Err(Malformed::NoCredentials) => match line.split(' ').nth(2) {
            Some(user) if !user.is_empty() => Typed::Login { user: user.to_owned() },
            _ => Typed::Malformed(Malformed::NoCredentials),
        },
        Err(malformed) => Typed::Malformed(malformed),
    }
}

/// Whether the line may be kept in the history. A login never is, nor is a line whose verb is not
/// known: it may be a mistyped login with its password.
pub fn may_be_kept(typed: &str) -> bool {
    match read(typed) {
        Typed::Nothing | Typed::Login { .. } => false,
        Typed::Help | Typed::History | Typed::Quit => true,
        Typed::Command(request) => !matches!(request.command, Command::Connect { .. }),
        Typed::Malformed(malformed) => !matches!(
            malformed,
            Malformed::NoCredentials
                | Malformed::Command
                | Malformed::NoCommand
                | Malformed::Protocol
                | Malformed::NotImplemented
        ),
    }
}

/// What `help` prints.
pub const HELP: &str = "\
Commands, with or without OTQ in front, in any case:
  connect USER [PASSWORD]              log in; without a password it is asked for
  new TOPIC broker|pubsub [CAPACITY]   make a topic; capacity 0 is unlimited
  put TOPIC ROWS batch [SECONDS]       store ROWS messages, asked for one by one
  putack TOPIC ROWS batch [SECONDS]    the same, with SUCCESS and the topic's size per row
  publish TOPIC ROWS batch [SECONDS]   the same as put
  get TOPIC COUNT batch                take up to COUNT messages
  subscribe TOPIC                      show what is published until Ctrl-C
  display TOPIC | display *            show one topic, or all
  clear TOPIC                          remove all messages of a topic
  ping TOPIC                           is the topic there?
  disconnect                           log out; the next command logs in again
put, publish and subscribe take several topics separated by commas: put a,b 1 batch
Words of this program:
  help, history, quit
Keys: Tab completes, Ctrl-R searches the history, Ctrl-D at `data    >` gives up the rows that
are missing (those given stay), Ctrl-C gives up what is being waited for.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(typed: &str) -> String {
        match read(typed) {
            Typed::Command(request) => request.line,
            other => panic!("{typed}: {other:?}"),
        }
    }

    #[test]
    fn the_leading_otq_may_be_left_out() {
        let table = [
            ("get default 1 batch", "OTQ get default 1 batch"),
            ("otq get default 1 batch", "otq get default 1 batch"),
            ("  OTQ PING t \n", "OTQ PING t"),
            ("disconnect", "OTQ disconnect"),
            ("connect admin password", "OTQ connect admin password"),
        ];
        for (typed, line) in table {
            assert_eq!(line_of(typed), line, "{typed}");
        }
    }

    #[test]
    fn the_words_of_the_repl_are_known_in_any_case() {
        let table = [
            ("", Typed::Nothing),
            ("   ", Typed::Nothing),
            ("help", Typed::Help),
            ("HISTORY", Typed::History),
            ("Quit", Typed::Quit),
            ("exit", Typed::Quit),
            ("connect ann", Typed::Login { user: "ann".into() }),
            ("otq connect ann ", Typed::Login { user: "ann".into() }),
            ("connect", Typed::Malformed(Malformed::NoCredentials)),
            ("dance", Typed::Malformed(Malformed::Command)),
            ("custom ping t", Typed::Malformed(Malformed::NotImplemented)),
            ("ping t\rclear t", Typed::Malformed(Malformed::Command)),
            ("get default x batch", Typed::Malformed(Malformed::Integer("x".into()))),
        ];
        for (typed, meaning) in table {
            assert_eq!(read(typed), meaning, "{typed:?}");
        }
    }

    #[test]
    fn a_line_that_may_hold_a_password_is_not_kept() {
        for typed in [
            "connect admin secret",
            "OTQ CONNECT admin secret",
            "connect admin",
            "conect admin secret",
            "otq  connect admin secret",
            "custom connect admin secret",
            "secret",
        ] {
            assert!(!may_be_kept(typed), "{typed}");
        }
        for typed in ["get default 1 batch", "get default", "help", "new t queue"] {
            assert!(may_be_kept(typed), "{typed}");
        }
    }

    #[test]
    fn a_request_is_shown_without_its_password() {
        let request = Request::connect("ann", "secret").unwrap();
        assert_eq!(request.line, "OTQ CONNECT ann secret");
        assert!(!format!("{request:?}").contains("secret"));
        for (user, password) in
            [("", "p"), ("u", ""), ("a b", "p"), ("u", "p q"), ("u", "p\nOTQ PING t")]
        {
            assert_eq!(Request::connect(user, password), Err(Malformed::NoCredentials));
        }
    }
}
