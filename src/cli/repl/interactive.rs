//! `octoq repl`: command after command, from a person or a script.

use super::{
    BrokerArgs, Conversation, NOT_REACHABLE, Never, Outcome, Rows, Signals, StandardInput, Stop,
    editor::{Entry, Prompter, history_file},
    exit_code, on_this_thread,
    request::{self, Request, Typed},
    screen::{Screen, Style},
};
use crate::cli::prompt;
use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

/// Commands of a script that `history` shows; the first ones.
const SCRIPT_HISTORY_MAX: usize = 1000;

/// Speaks otq with a broker, interactively or, when standard input is not a terminal, line by line
/// as a script; the rows of a PUT are then the lines that follow it.
/// Exit codes: 0 done, 1 a command of a script was declined, 2 no password, 5 no broker.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example: octoq repl --addr 127.0.0.1:6789 --user admin")]
pub struct ReplArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Who to log in as; without it, `connect USER` logs in
    #[arg(long, env = "OCTOQ_USER", value_name = "USER")]
    user: Option<String>,
}

/// Until `quit` or the end of the input.
pub fn run(arguments: ReplArgs) -> ExitCode {
    let login = match arguments.user.as_deref().map(|user| arguments.broker.login(user)).transpose()
    {
        Ok(login) => login,
        Err(code) => return code,
    };
    let address = arguments.broker.addr.clone();
    let conversation = Conversation::new(address.clone(), arguments.broker.patience(), None);
    let screen = Screen::standard(Style::Labelled);
    if io::stdin().is_terminal() {
        on_this_thread(talk(conversation, screen, login, address))
    } else {
        on_this_thread(async move {
            let mut input = StandardInput;
            read_script(conversation, screen, login, &mut || input.line(), &mut Never).await
        })
    }
}

/// The rows of a PUT, asked for one by one.
struct Asked<'a>(&'a mut Prompter);

impl Rows for Asked<'_> {
    fn next(&mut self, screen: &mut Screen) -> io::Result<Option<Vec<u8>>> {
        screen.flush()?;
        match self.0.ask(&screen.prompt("data"))? {
            Entry::Line(line) => Ok(Some(line.into_bytes())),
            Entry::Interrupted | Entry::Ended => Ok(None),
        }
    }

    fn one_by_one(&self) -> bool {
        true
    }
}

async fn talk(
    mut conversation: Conversation,
    mut screen: Screen,
    login: Option<Request>,
    address: String,
) -> io::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let mut prompter = Prompter::new(history_file())?;
    screen.note(&format!(
        "octoq {} at {address}; `help` lists the commands",
        env!("CARGO_PKG_VERSION")
    ))?;
    match login {
        Some(login) => {
            let outcome =
                converse(&mut conversation, &login, &mut screen, &mut prompter, &mut signals)
                    .await?;
            if outcome == Outcome::Unreachable {
                return Ok(ExitCode::from(NOT_REACHABLE));
            }
        }
        None => screen.note("`connect USER` logs in")?,
    }
    loop {
        screen.flush()?;
        let line = match prompter.ask(&screen.prompt("command"))? {
            Entry::Line(line) => line,
            Entry::Interrupted => continue,
            Entry::Ended => return Ok(ExitCode::SUCCESS),
        };
        prompter.remember(&line);
        let request = match request::read(&line) {
            Typed::Nothing => continue,
            Typed::Quit => return Ok(ExitCode::SUCCESS),
            Typed::Help => {
                screen.text(request::HELP)?;
                continue;
            }
            Typed::History => {
                for line in prompter.history() {
                    screen.result(line.as_bytes())?;
                }
                continue;
            }
            Typed::Malformed(malformed) => {
                screen.error(malformed.to_string().as_bytes())?;
                continue;
            }
            Typed::Login { user } => match ask_password(&user, &mut screen)? {
                Some(request) => request,
                None => continue,
            },
            Typed::Command(request) => request,
        };
        converse(&mut conversation, &request, &mut screen, &mut prompter, &mut signals).await?;
    }
}

/// Does one command; after a login, learns what can be completed.
async fn converse(
    conversation: &mut Conversation,
    request: &Request,
    screen: &mut Screen,
    prompter: &mut Prompter,
    stop: &mut dyn Stop,
) -> io::Result<Outcome> {
    let outcome = conversation.run(request, screen, &mut Asked(prompter), stop).await?;
    if outcome == Outcome::Good && request.is_login() {
        conversation.learn_topics(stop).await;
    }
    prompter.know_topics(conversation.topics());
    Ok(outcome)
}

fn ask_password(user: &str, screen: &mut Screen) -> io::Result<Option<Request>> {
    screen.flush()?;
    let password = match prompt::password(&format!("Password of {user}: ")) {
        Ok(password) => password,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
        Err(error) => return Err(error),
    };
    match Request::connect(user, &password) {
        Ok(request) => Ok(Some(request)),
        Err(malformed) => {
            screen.error(malformed.to_string().as_bytes())?;
            Ok(None)
        }
    }
}

/// Rows and commands of a script come from the same lines.
struct Lines<'a>(&'a mut dyn FnMut() -> io::Result<Option<Vec<u8>>>);

impl Rows for Lines<'_> {
    fn next(&mut self, _: &mut Screen) -> io::Result<Option<Vec<u8>>> {
        (self.0)()
    }

    fn one_by_one(&self) -> bool {
        false
    }
}

/// Command after command without asking. Goes on after one that was declined, and remembers it in
/// the exit code; ends at a line that is no command.
pub(super) async fn read_script(
    mut conversation: Conversation,
    mut screen: Screen,
    login: Option<Request>,
    next: &mut dyn FnMut() -> io::Result<Option<Vec<u8>>>,
    stop: &mut dyn Stop,
) -> io::Result<ExitCode> {
    let mut all_good = true;
    if let Some(login) = login {
        match conversation.run(&login, &mut screen, &mut Lines(next), stop).await? {
            Outcome::Good => (),
            outcome => return Ok(exit_code(&outcome)),
        }
    }
    let mut history: Vec<String> = Vec::new();
    while let Some(line) = next()? {
        let line = String::from_utf8_lossy(&line).into_owned();
        let request = match request::read(&line) {
            Typed::Nothing => continue,
            Typed::Quit => break,
            Typed::Help => {
                screen.text(request::HELP)?;
                continue;
            }
            Typed::History => {
                for line in &history {
                    screen.result(line.as_bytes())?;
                }
                continue;
            }
            // Were it a PUT, its rows would be taken for commands.
            Typed::Malformed(malformed) => {
                screen.error(format!("{malformed}; the script ends here").as_bytes())?;
                return Ok(ExitCode::FAILURE);
            }
            Typed::Login { .. } => {
                screen.error(b"a password is missing; the script ends here")?;
                return Ok(ExitCode::FAILURE);
            }
            Typed::Command(request) => request,
        };
        if history.len() < SCRIPT_HISTORY_MAX && request::may_be_kept(&line) {
            history.push(line);
        }
        match conversation.run(&request, &mut screen, &mut Lines(next), stop).await? {
            Outcome::Good => (),
            Outcome::Refused | Outcome::NotAllowed | Outcome::GivenUp => all_good = false,
            Outcome::Unreachable => return Ok(ExitCode::from(NOT_REACHABLE)),
        }
    }
    screen.flush()?;
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
