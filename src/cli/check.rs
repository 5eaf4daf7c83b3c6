//! `octoq check`: is a store whole, and what can be saved if it is not?

use super::ConfigArgs;
use crate::journal::check;
use std::path::PathBuf;
use std::process::ExitCode;

/// Verify a store that no broker uses. It is not changed, whatever is found. Exit code 0: whole;
/// 1: blemished or damaged, or it cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: octoq check --path /var/lib/octoq --repair /var/lib/octoq-saved")]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder of the store; that of the configuration when left out
    #[arg(long, env = "OCTOQ_PATH", value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// Copy everything that can be read into a new store in this folder
    #[arg(long, env = "OCTOQ_REPAIR", value_name = "FOLDER", conflicts_with = "accept_loss")]
    repair: Option<PathBuf>,
    /// Let the store open without what is missing; the damaged files are kept beside it
    #[arg(long, env = "OCTOQ_ACCEPT_LOSS")]
    accept_loss: bool,
}

/// Prints what was found.
pub fn run(arguments: CheckArgs) -> ExitCode {
    let path = match arguments.path {
        Some(path) => path,
        None => match arguments.config.load() {
            Ok(config) => config.store.path,
            Err(code) => return code,
        },
    };
    if arguments.accept_loss {
        return match check::accept_loss(&path) {
            Ok(done) => {
                done.iter().for_each(|line| println!("{line}"));
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error.to_string()),
        };
    }
    let report = match &arguments.repair {
        Some(to) => check::repair(&path, to),
        None => check::check(&path),
    };
    match report {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(report.exit_status() != 0))
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(problem: &str) -> ExitCode {
    eprintln!("octoq: {problem}");
    ExitCode::FAILURE
}
