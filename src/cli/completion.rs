//! `octoq completion`: what a shell needs to complete octoq's words.

use clap_complete::Shell;
use std::{io::Write as _, process::ExitCode};

/// Print the completion of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq completion bash > ~/.local/share/bash-completion/completions/octoq
  octoq completion zsh > ~/.zfunc/_octoq
  octoq completion fish > ~/.config/fish/completions/octoq.fish")]
pub struct CompletionArgs {
    /// Whose
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints it.
pub fn run(arguments: CompletionArgs) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command::command(), "octoq", &mut text);
    match std::io::stdout().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("octoq: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
