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
    #[command(alias = "run", alias = "server")]
    Serve(cli::serve::ServeArgs),
    /// Verify a store that no broker uses, and say what can be saved
    Check(cli::check::CheckArgs),
    /// Play the documented dialogues of a door against an address, an original server's included
    Conform(cli::conform::ConformArgs),
    /// Copy topics, queues and messages out of okq, fastqueue, blockqueue, octoque or dsmq
    Import(cli::import::ImportArgs),
    /// Make, change, list or remove users of a store that no broker uses
    User(cli::user::UserArgs),
    /// Speak otq with a broker, interactively or from a script
    Repl(cli::repl::ReplArgs),
    /// Say one otq command to a broker
    Otq(cli::repl::OneShotArgs),
    /// Nothing to do: a word of fastqueue's start scripts, whose clean-up is built in here
    #[command(hide = true)]
    Worker,
    /// Nothing to do: a word of fastqueue's start scripts, whose database is not needed here
    #[command(hide = true)]
    DbMigrate,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        None => cli::serve::run(cli::serve::ServeArgs::from_environment()),
        Some(Command::Serve(arguments)) => cli::serve::run(arguments),
        Some(Command::Check(arguments)) => cli::check::run(arguments),
        Some(Command::Conform(arguments)) => cli::conform::run(arguments),
        Some(Command::Import(arguments)) => cli::import::run(arguments),
        Some(Command::User(arguments)) => cli::user::run(arguments),
        Some(Command::Repl(arguments)) => cli::repl::run(arguments),
        Some(Command::Otq(arguments)) => cli::repl::run_once(arguments),
        Some(Command::Worker) => nothing_to_do("clean-up is built into `octoq serve`"),
        Some(Command::DbMigrate) => nothing_to_do("the store migrates itself at the start"),
    }
}

/// For start scripts of fastqueue that call what is not needed.
fn nothing_to_do(why: &str) -> ExitCode {
    println!("octoq: nothing to do: {why}");
    ExitCode::SUCCESS
}
