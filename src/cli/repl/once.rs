//! `octoq otq`: one command, for scripts.

use super::{
    BrokerArgs, Conversation, Never, Outcome, Signals, StandardInput, Stop, USAGE, exit_code,
    on_this_thread,
    request::{self, Request, Typed},
    screen::{Screen, Style},
};
use crate::dialect::otq::codec::Command;
use std::{io, process::ExitCode};

/// Says one otq command to a broker. The rows of a PUT are the lines of standard input; messages
/// and other results go to standard output, one per line, errors to standard error.
/// Exit codes: 0 done, 1 declined or a row not stored, 2 no such command, 4 not allowed, 5 no broker.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples: octoq otq 'get default 1 batch'
          printf 'a\\nb\\n' | octoq otq 'put default 2 batch'
          octoq otq subscribe pubsub | while read -r line; do echo \"got $line\"; done")]
pub struct OneShotArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Who to log in as
    #[arg(long, env = "OCTOQ_USER", value_name = "USER", default_value = "admin")]
    user: String,
    /// The command, in one word or several; the leading OTQ may be left out
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// What the arguments ask for, or why they cannot be sent.
pub(super) fn asked(command: &[String]) -> Result<Request, String> {
    let command = command.join(" ");
    match request::read(&command) {
        Typed::Command(request) => Ok(request),
        Typed::Malformed(malformed) => Err(malformed.to_string()),
        Typed::Login { .. } => Err("a password is missing".into()),
        Typed::Nothing | Typed::Help | Typed::History | Typed::Quit => {
            Err(format!("`{command}` is not a command of the protocol"))
        }
    }
}

/// Does it.
pub fn run_once(arguments: OneShotArgs) -> ExitCode {
    let request = match asked(&arguments.command) {
        Ok(request) => request,
        Err(problem) => {
            eprintln!("octoq: {problem}");
            return ExitCode::from(USAGE);
        }
    };
    let login = match request.command {
        // It brings its own.
        Command::Connect { .. } => None,
        _ => match arguments.broker.login(&arguments.user) {
            Ok(login) => Some(login),
            Err(code) => return code,
        },
    };
    let address = arguments.broker.addr.clone();
    let conversation = Conversation::new(address, arguments.broker.patience(), login);
    on_this_thread(say(conversation, request))
}

async fn say(mut conversation: Conversation, request: Request) -> io::Result<ExitCode> {
    let mut screen = Screen::standard(Style::Bare);
    // Only a subscription has something to bring to an end.
    let (mut signals, mut never);
    let stop: &mut dyn Stop = match request.command {
        Command::Subscribe(_) => {
            signals = Signals::new()?;
            &mut signals
        }
        _ => {
            never = Never;
            &mut never
        }
    };
    let outcome: Outcome =
        conversation.run(&request, &mut screen, &mut StandardInput, stop).await?;
    Ok(exit_code(&outcome))
}
