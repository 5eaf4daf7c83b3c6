//! `octoq serve`: the broker in the foreground.

use super::ConfigArgs;
use crate::server::Server;
use std::io::Write as _;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Start the broker in the foreground. It logs to stderr; when every door is open it prints
/// `octoq ready` and then each door with its address.
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Example: octoq serve --set store.path=/var/lib/octoq --set otq.listen=127.0.0.1:0"
)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(arguments: ServeArgs) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    actix::System::new().block_on(async {
        let (terminate, interrupt) =
            match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
                (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
                (Err(error), _) | (_, Err(error)) => {
                    log::error!("signals cannot be caught: {error}");
                    return ExitCode::FAILURE;
                }
            };
        let server = match Server::start(config).await {
            Ok(server) => server,
            Err(error) => {
                log::error!("{error}");
                return ExitCode::FAILURE;
            }
        };
        if let Err(error) = announce(&server) {
            log::warn!("the doors cannot be printed: {error}");
        }
        wait(terminate, interrupt).await;
        match server.stop().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error!("the store did not close in order: {error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn announce(server: &Server) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "octoq ready")?;
    for (door, address) in server.doors() {
        match *door {
            "http" => writeln!(out, "http http://{address}")?,
            door => writeln!(out, "{door} {address}")?,
        }
    }
    out.flush()
}

async fn wait(
    mut terminate: tokio::signal::unix::Signal,
    mut interrupt: tokio::signal::unix::Signal,
) {
    tokio::select! {
        _ = terminate.recv() => log::info!("SIGTERM"),
        _ = interrupt.recv() => log::info!("SIGINT"),
    }
}
