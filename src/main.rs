//! The binary: arguments, then the command they name.

use clap::{Parser, Subcommand};
use octoq::cli;
use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One message broker for the clients of five; every topic is an actor.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the broker (the default when no command is given)
    #[command(alias = "run")]
    Serve(cli::serve::ServeArgs),
    /// Verify a store that no broker uses, and say what can be saved
    Check(cli::check::CheckArgs),
    /// Make, change, list or remove users of a store that no broker uses
    User(cli::user::UserArgs),
    /// Speak otq with a broker, interactively or from a script
    Repl(cli::repl::ReplArgs),
    /// Say one otq command to a broker
    Otq(cli::repl::OneShotArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        None => cli::serve::run(cli::serve::ServeArgs::default()),
        Some(Command::Serve(arguments)) => cli::serve::run(arguments),
        Some(Command::Check(arguments)) => cli::check::run(arguments),
        Some(Command::User(arguments)) => cli::user::run(arguments),
        Some(Command::Repl(arguments)) => cli::repl::run(arguments),
        Some(Command::Otq(arguments)) => cli::repl::run_once(arguments),
    }
}
