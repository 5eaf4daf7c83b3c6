//! `octoq serve`: the broker in the foreground.

use super::ConfigArgs;
use super::okq::OkqArgs;
use crate::broker::{LogBounds, LogFeed, LogSink};
use crate::config::environment;
use crate::server::Server;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
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
    #[command(flatten)]
    okq: OkqArgs,
}

impl ServeArgs {
    /// When there are no arguments: what the environment says.
    pub fn from_environment() -> Self {
        ServeArgs { config: ConfigArgs::default(), okq: OkqArgs::from_environment() }
    }
}

/// Serves until SIGTERM or SIGINT.
pub fn run(arguments: ServeArgs) -> ExitCode {
    let asked = environment::log_level().unwrap_or("info");
    let level = if arguments.okq.debug() { "debug" } else { asked };
    // What strangers send that is not HTTP is no error of the broker, and must not fill its log.
    let level = if level == "debug" { level.into() } else { format!("{level},actix_http=off") };
    let config = match arguments.config.load_with(&arguments.okq.settings()) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let log = start_log(&level, config.log());
    for note in environment::fastqueue().1 {
        log::info!("{note}");
    }
    let ignored = arguments.okq.ignored();
    if !ignored.is_empty() {
        log::info!("okq: ignored, since octoq needs no Redis: {}", ignored.join(", "));
    }
    raise_file_limit();
    actix::System::new().block_on(async {
        let (terminate, interrupt) =
            match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
                (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
                (Err(error), _) | (_, Err(error)) => {
                    log::error!("signals cannot be caught: {error}");
                    return ExitCode::FAILURE;
                }
            };
        let server = match Server::start_with(config, log).await {
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

/// Logs to stderr, what is as grave as `level` or what RUST_LOG says; and to the broker.
fn start_log(level: &str, bounds: LogBounds) -> Option<LogFeed> {
    let environment = env_logger::Env::default().default_filter_or(level);
    let printer = env_logger::Builder::from_env(environment).build();
    let most = printer.filter();
    let (sink, feed) = LogSink::new(printer, env_logger::Logger::matches, bounds);
    log::set_max_level(most);
    // Only a second logger of one process is refused.
    log::set_boxed_logger(Box::new(sink)).is_ok().then_some(feed)
}

/// Lets the process have as many open files as it may: every connection is one, and one over HTTP
/// is two (see `dialect::long_poll`), while the usual limit is only a thousand.
pub(super) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}

fn announce(server: &Server) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "octoq ready")?;
    for (door, address) in server.doors() {
        match *door {
            "http" | "fastqueue" | "blockqueue" => writeln!(out, "{door} http://{address}")?,
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
