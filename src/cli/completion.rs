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
    /// Print it as a JSON text
    #[arg(long, env = "OCTOQ_JSON")]
    json: bool,
}

/// Prints it.
pub fn run(arguments: CompletionArgs) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::command::command(), "octoq", &mut text);
    if arguments.json {
        let script = String::from_utf8_lossy(&text).into_owned();
        text = format!("{}\n", serde_json::Value::from(script)).into_bytes();
    }
    match std::io::stdout().write_all(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("octoq: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
