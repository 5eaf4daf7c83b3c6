//! `octoq repl` and `octoq otq`: the otq dialect spoken by a person or a script.
//!
//! `request` and `answer` are pure: what a typed line means, what a reply's lines mean.
//! `conversation` sends the one and reads the other over a `connection`; `screen` prints, `editor`
//! reads from a terminal. The commands themselves are `interactive` and `once`.

mod answer;
mod connection;
mod conversation;
mod editor;
mod interactive;
mod once;
mod request;
mod screen;

pub use interactive::{ReplArgs, run};
pub use once::{OneShotArgs, run_once};

use super::prompt::{self, Secret};
use conversation::{Conversation, Outcome, Rows, Stop};
use request::Request;
use screen::Screen;
use std::{
    future::Future,
    io::{self, BufRead as _, IsTerminal as _},
    pin::Pin,
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code when the login is refused, or the user may not.
const NOT_ALLOWED: u8 = 4;
/// Exit code when there is no broker.
const NOT_REACHABLE: u8 = 5;
/// Exit code of a command that cannot be understood.
const USAGE: u8 = 2;

/// Which broker, and as whom.
#[derive(Debug, Clone, clap::Args)]
struct BrokerArgs {
    /// Where the broker's otq door listens
    #[arg(long, env = "OCTOQ_ADDR", value_name = "HOST:PORT", default_value = "127.0.0.1:6789")]
    addr: String,
    /// The password; other users of this machine can see it in the list of processes, better use
    /// the variable, or type it when asked
    #[arg(long, env = "OCTOQ_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    password: Option<Secret>,
    /// Seconds to wait for a line of a reply; 0 waits for ever
    #[arg(long, env = "OCTOQ_WAIT", value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl BrokerArgs {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }

    /// The login of this user; the password is asked for when none is given. `Err`: said already.
    fn login(&self, user: &str) -> Result<Request, ExitCode> {
        let refuse = |problem: &str| {
            eprintln!("octoq: {problem}");
            ExitCode::from(USAGE)
        };
        let password = match &self.password {
            Some(password) => password.clone(),
            None if io::stdin().is_terminal() => {
                let asked = prompt::password(&format!("Password of {user}: "));
                Secret::from(asked.map_err(|error| refuse(&format!("no password: {error}")))?)
            }
            None => return Err(refuse("no password: set OCTOQ_PASSWORD")),
        };
        Request::connect(user, password.reveal()).map_err(|_| {
            refuse("otq can carry neither an empty user or password nor a space in them")
        })
    }
}

/// Rows, or commands, from the lines of standard input.
struct StandardInput;

impl StandardInput {
    /// The next line without its end.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            line.pop_if(|byte| *byte == b'\r');
        }
        Ok(Some(line))
    }
}

impl Rows for StandardInput {
    fn next(&mut self, _: &mut Screen) -> io::Result<Option<Vec<u8>>> {
        self.line()
    }

    fn one_by_one(&self) -> bool {
        false
    }
}

/// Ctrl-C, and SIGTERM, end what is going on instead of the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

impl Stop for Signals {
    fn stop(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async {
            tokio::select! {
                _ = self.interrupt.recv() => (),
                _ = self.terminate.recv() => (),
            }
        })
    }
}

/// Signals do what they do to any program.
struct Never;

impl Stop for Never {
    fn stop(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::pending())
    }
}

fn exit_code(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Good => ExitCode::SUCCESS,
        Outcome::Refused | Outcome::GivenUp => ExitCode::FAILURE,
        Outcome::NotAllowed => ExitCode::from(NOT_ALLOWED),
        Outcome::Unreachable => ExitCode::from(NOT_REACHABLE),
    }
}

/// Runs on a runtime of this thread. A reader of our output that has gone away is no error.
fn on_this_thread(work: impl Future<Output = io::Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(work)) {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("octoq: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
