//! How a command ends when it does not end well: what is said, and with which exit code.

use serde::Deserialize;
use std::{fmt, io, process::ExitCode};

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// It did not work.
    Error = 1,
    /// It was asked for in a way that makes no sense.
    Usage = 2,
    /// There was nothing, or nothing in time.
    Empty = 3,
    /// The broker does not let this caller do it.
    NotAllowed = 4,
    /// There is no broker, or it does not serve.
    Unreachable = 5,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// A refusal as the broker says it (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable: what programs decide by.
    pub code: String,
    /// This one, in words.
    #[serde(default)]
    pub detail: String,
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Said on standard error.
    Told {
        /// The exit code.
        code: Code,
        /// What is said.
        message: String,
    },
    /// The broker refused.
    Refused(Problem),
    /// Everything is said already.
    Said(Code),
    /// Whoever read our output has gone: no error.
    ReaderGone,
}

impl Failure {
    /// With this code and these words.
    pub fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure::Told { code, message: message.into() }
    }

    /// It did not work.
    pub fn error(message: impl Into<String>) -> Failure {
        Failure::new(Code::Error, message)
    }

    /// It was asked for wrongly.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Code::Usage, message)
    }

    /// There is no broker.
    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure::new(Code::Unreachable, message)
    }

    /// The exit code; `None`: the command ends well all the same.
    pub fn code(&self) -> Option<Code> {
        match self {
            Failure::Told { code, .. } | Failure::Said(code) => Some(*code),
            Failure::Refused(problem) => Some(problem.exit_code()),
            Failure::ReaderGone => None,
        }
    }

    /// Says it on standard error, as a line or as one JSON object, and gives the exit code.
    pub fn tell(&self, json: bool) -> ExitCode {
        let Some(code) = self.code() else { return ExitCode::SUCCESS };
        match self {
            Failure::Told { message, .. } if json => {
                let problem = serde_json::json!({"code": code.name(), "detail": message});
                eprintln!("{problem}");
            }
            Failure::Refused(problem) if json => {
                eprintln!("{}", serde_json::json!(problem));
            }
            Failure::Told { message, .. } => eprintln!("octoq: {message}"),
            Failure::Refused(problem) => eprintln!("octoq: {problem}"),
            Failure::Said(_) | Failure::ReaderGone => (),
        }
        code.into()
    }
}

impl Code {
    /// The word for it in JSON.
    fn name(self) -> &'static str {
        match self {
            Code::Error => "error",
            Code::Usage => "usage",
            Code::Empty => "empty",
            Code::NotAllowed => "not_allowed",
            Code::Unreachable => "not_reachable",
        }
    }
}

impl Problem {
    /// What a script is told of it.
    pub fn exit_code(&self) -> Code {
        match (self.status, self.code.as_str()) {
            (401 | 403, _) => Code::NotAllowed,
            (503, "starting" | "stopping") => Code::Unreachable,
            _ => Code::Error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::error(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        match error.io_error_kind() {
            Some(io::ErrorKind::BrokenPipe) => Failure::ReaderGone,
            Some(_) => Failure::error(error.to_string()),
            None => Failure::error(format!("the broker's answer is not understood: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_exit_code_of_their_kind() {
        let table = [
            (401, "unauthenticated", Code::NotAllowed),
            (403, "not_allowed", Code::NotAllowed),
            (404, "topic_not_found", Code::Error),
            (503, "starting", Code::Unreachable),
            (503, "busy", Code::Error),
        ];
        for (status, code, exit) in table {
            let problem = Problem { status, code: code.into(), detail: String::new() };
            assert_eq!(problem.exit_code(), exit, "{status} {code}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let gone = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.code(), None);
    }
}
