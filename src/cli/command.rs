//! The words of the command line, and which command each of them is.

use super::*;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use std::ffi::OsString;

/// One message broker for the clients of five; every topic is an actor.
#[derive(Debug, Parser)]
#[command(
    name = "octoq",
    version,
    about,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 error, 2 usage, 3 nothing there or not in time, 4 not allowed, \
                  5 no broker.\nEvery flag can be given as a variable, which its --help names.\n\n\
                  Example: octoq put orders 'two pizzas' && octoq get orders"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the broker (the default when no command is given)
    #[command(alias = "run", alias = "server")]
    Serve(serve::ServeArgs),

    /// Publish a message, or many
    Put(put::PutArgs),
    /// Receive messages
    Get(get::GetArgs),
    /// Follow a pubsub topic
    Tail(tail::TailArgs),
    /// Look at messages without taking them
    Peek(peek::PeekArgs),
    /// Say that messages are done
    Ack(answer::AckArgs),
    /// Give messages back, or up
    Nack(answer::NackArgs),
    /// Keep messages for longer
    #[command(alias = "extend")]
    Touch(answer::TouchArgs),
    /// Let messages that wait be ready at another time
    Delay(delay::DelayArgs),
    /// Dead letters: list, show, redrive, edit, remove, export
    Dead(dead::DeadArgs),
    /// Move messages to another queue
    Move(dead::MoveArgs),
    /// Tell where a message is and why
    Explain(explain::ExplainArgs),

    /// Topics: list, make, show, change, remove, pause, purge
    Topic(topic::TopicArgs),
    /// Queues: list, make, show, change, remove, pause, purge, attach
    Queue(queue::QueueCommand),
    /// All topics and queues as a file, and back
    Definitions(definitions::DefinitionsArgs),

    /// Figures of the broker, again and again
    Stat(stat::StatArgs),
    /// What happened in the last ten minutes or day
    History(history::HistoryArgs),
    /// Who is connected; end a connection
    Connection(connection::ConnectionArgs),
    /// All queues on the whole screen, busiest first
    Top(top::TopArgs),
    /// The last lines of the broker's log
    Log(log::LogArgs),
    /// Is there a broker that takes work
    Health(health::HealthArgs),

    /// Make, change, list or remove users
    User(user::UserArgs),
    /// Bearer tokens for programs
    Token(token::TokenArgs),
    /// Name brokers, so that URL and login need not be repeated
    Context(context::ContextArgs),
    /// The configuration in force, and whether it is right
    Config(settings::SettingsArgs),

    /// Copy the store of a running broker
    Backup(backup::BackupArgs),
    /// Put a backup in the place of a store that no broker uses
    Restore(backup::RestoreArgs),
    /// Verify a store that no broker uses, and say what can be saved
    Check(check::CheckArgs),
    /// Load a broker through one of its doors, and tell rates and latencies
    Bench(bench::BenchArgs),
    /// Copy topics, queues and messages out of okq, fastqueue, blockqueue, octoque or dsmq
    Import(import::ImportArgs),

    /// Speak otq with a broker, interactively or from a script
    Repl(repl::ReplArgs),
    /// Say one otq command to a broker
    Otq(repl::OneShotArgs),
    /// Play the documented dialogues of a door against an address, an original server's included
    Conform(conform::ConformArgs),
    /// Print what a shell needs to complete these words
    Completion(completion::CompletionArgs),

    /// Nothing to do: a word of fastqueue's start scripts, whose clean-up is built in here
    #[command(hide = true, after_help = "Example: octoq worker")]
    Worker,
    /// Nothing to do: a word of fastqueue's start scripts, whose database is not needed here
    #[command(hide = true, after_help = "Example: octoq db-migrate")]
    DbMigrate,
}

/// All commands, every flag with its variable.
pub(super) fn command() -> clap::Command {
    with_variables(Arguments::command(), "OCTOQ")
}

/// Gives each flag that names no variable one of its own: `octoq queue new --delay` is
/// `OCTOQ_QUEUE_NEW_DELAY`. A switch is on when its variable says so, as `1`, `true`, `yes` or `on`.
fn with_variables(command: clap::Command, prefix: &str) -> clap::Command {
    let own = prefix.to_owned();
    let command = command.mut_args(move |arg| {
        let Some(long) = arg.get_long() else { return arg };
        if matches!(long, "help" | "version") {
            return arg;
        }
        let arg = match arg.get_action() {
            ArgAction::SetTrue => arg.value_parser(clap::builder::BoolishValueParser::new()),
            _ => arg,
        };
        if arg.get_env().is_some() {
            return arg;
        }
        let name = arg.get_long().unwrap_or_default().replace('-', "_");
        arg.env(format!("{own}_{name}").to_ascii_uppercase())
    });
    let prefix = prefix.to_owned();
    command.mut_subcommands(move |sub| {
        let prefix = format!("{prefix}_{}", sub.get_name().replace('-', "_"));
        with_variables(sub, &prefix)
    })
}

/// The usage that is told with an error. By itself clap puts every flag in it that has a value, those of
/// variables too, as if they were needed.
fn with_usage(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let mut whole = command();
    whole.build();
    for word in words.iter().skip(1) {
        if let Some(named) = whole.find_subcommand(word).cloned() {
            whole = named;
        }
    }
    if error.get(ContextKind::Usage).is_some() {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(whole.render_usage()));
    }
    error
}

/// Reads the arguments and does what they ask for.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut matches = match command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => with_usage(error, &words).exit(),
    };
    let arguments = match Arguments::from_arg_matches_mut(&mut matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match arguments.command {
        None => serve::run(serve::ServeArgs::from_environment()),
        Some(Command::Serve(arguments)) => serve::run(arguments),
        Some(Command::Put(arguments)) => put::run(arguments),
        Some(Command::Get(arguments)) => get::run(arguments),
        Some(Command::Tail(arguments)) => tail::run(arguments),
        Some(Command::Peek(arguments)) => peek::run(arguments),
        Some(Command::Ack(arguments)) => answer::ack(arguments),
        Some(Command::Nack(arguments)) => answer::nack(arguments),
        Some(Command::Touch(arguments)) => answer::touch(arguments),
        Some(Command::Delay(arguments)) => delay::run(arguments),
        Some(Command::Dead(arguments)) => dead::run(arguments),
        Some(Command::Move(arguments)) => dead::run_move(arguments),
        Some(Command::Explain(arguments)) => explain::run(arguments),
        Some(Command::Topic(arguments)) => topic::run(arguments),
        Some(Command::Queue(arguments)) => queue::run(arguments),
        Some(Command::Definitions(arguments)) => definitions::run(arguments),
        Some(Command::Stat(arguments)) => stat::run(arguments),
        Some(Command::History(arguments)) => history::run(arguments),
        Some(Command::Connection(arguments)) => connection::run(arguments),
        Some(Command::Top(arguments)) => top::run(arguments),
        Some(Command::Log(arguments)) => log::run(arguments),
        Some(Command::Health(arguments)) => health::run(arguments),
        Some(Command::User(arguments)) => user::run(arguments),
        Some(Command::Token(arguments)) => token::run(arguments),
        Some(Command::Backup(arguments)) => backup::run(arguments),
        Some(Command::Restore(arguments)) => backup::restore(arguments),
        Some(Command::Context(arguments)) => context::run(arguments),
        Some(Command::Config(arguments)) => settings::run(arguments),
        Some(Command::Check(arguments)) => check::run(arguments),
        Some(Command::Bench(arguments)) => bench::run(arguments),
        Some(Command::Import(arguments)) => import::run(arguments),
        Some(Command::Repl(arguments)) => repl::run(arguments),
        Some(Command::Otq(arguments)) => repl::run_once(arguments),
        Some(Command::Conform(arguments)) => conform::run(arguments),
        Some(Command::Completion(arguments)) => completion::run(arguments),
        Some(Command::Worker) => nothing_to_do("clean-up is built into `octoq serve`"),
        Some(Command::DbMigrate) => nothing_to_do("the store migrates itself at the start"),
    }
}

/// For start scripts of fastqueue that call what is not needed.
fn nothing_to_do(why: &str) -> ExitCode {
    println!("octoq: nothing to do: {why}");
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(command: &clap::Command, path: &str, look: &mut dyn FnMut(&clap::Command, &str)) {
        look(command, path);
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            each(sub, &format!("{path} {}", sub.get_name()), look);
        }
    }

    #[test]
    fn the_words_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_of_itself() {
        each(&command(), "octoq", &mut |command, path| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = help.split("Example").nth(1);
            let example = example.unwrap_or_else(|| panic!("`{path} --help` has no example"));
            assert!(example.contains("octoq"), "{path}: {example}");
        });
    }

    /// What a variable says is not what must be said.
    #[test]
    fn the_usage_with_an_error_names_what_is_needed_and_no_more() {
        let words = ["octoq", "queue", "info", "--url", "http://127.0.0.1:1"].map(OsString::from);
        let error = command().try_get_matches_from(&words).unwrap_err();
        let told = with_usage(error, &words).render().to_string();
        assert!(told.contains("Usage: octoq queue info [OPTIONS] <TOPIC> [QUEUE]"), "{told}");
    }

    /// A flag of a subcommand that has the name of one above it would take its value without a word.
    #[test]
    fn no_argument_hides_one_that_is_good_for_all() {
        fn look(command: &clap::Command, globals: &[String], path: &str) {
            let own = || command.get_arguments().filter(|arg| arg.get_long() != Some("help"));
            for arg in own() {
                let id = arg.get_id().to_string();
                assert!(!globals.contains(&id), "{path}: `{id}` is two things");
            }
            let more = own().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string());
            let globals: Vec<String> = globals.iter().cloned().chain(more).collect();
            for sub in command.get_subcommands() {
                look(sub, &globals, &format!("{path} {}", sub.get_name()));
            }
        }
        look(&command(), &[], "octoq");
    }

    #[test]
    fn every_flag_has_a_variable_and_no_variable_means_two_things() {
        let mut meanings: std::collections::BTreeMap<String, String> = Default::default();
        each(&command(), "octoq", &mut |command, path| {
            for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
                let long = arg.get_long().unwrap_or_default();
                if matches!(long, "help" | "version") {
                    continue;
                }
                let variable = arg.get_env().unwrap_or_else(|| panic!("{path} --{long}"));
                let variable = variable.to_string_lossy().into_owned();
                let known = meanings.entry(variable.clone()).or_insert_with(|| long.to_owned());
                // What an import reads from has several names; see `octoq import`.
                let alike = ["url", "database-url"];
                assert!(
                    known == long || (alike.contains(&known.as_str()) && alike.contains(&long)),
                    "{variable} is --{known} and {path} --{long}"
                );
            }
        });
        for known in ["OCTOQ_URL", "OCTOQ_JSON", "OCTOQ_QUEUE_NEW_DELAY", "OCTOQ_GET_WAIT"] {
            assert!(meanings.contains_key(known), "{known}");
        }
    }
}
