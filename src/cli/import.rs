//! `octoq import`: copies what lies in a store of one of the originals into a store of octoq that no
//! broker uses.

use super::ConfigArgs;
use crate::config::Config;
use crate::import::{
    self, ImportError, Source, blockqueue, dsmq, fastqueue, octoque, okq, report::Report,
};
use crate::queue::Level;
use crate::server::Server;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Copy topics, queues and messages out of one of the originals. Nothing is changed there. May be
/// repeated: what was copied is not copied again. Exit code 0: all of it is there; 1: not all.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: octoq import okq --url redis://127.0.0.1:6379/0 --dry-run")]
pub struct ImportArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder of octoq's store; that of the configuration when left out
    #[arg(long, env = "OCTOQ_PATH", value_name = "FOLDER", global = true)]
    path: Option<PathBuf>,
    /// Say what would be copied, change nothing
    #[arg(long, env = "OCTOQ_DRY_RUN", global = true)]
    dry_run: bool,
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// okq: the lists and hashes in its Redis
    #[command(after_help = "Example: octoq import okq --url redis://127.0.0.1:6379/0 --dry-run")]
    Okq {
        /// redis://[user:password@]host:port/db or redis+unix:///path?db=0
        #[arg(long, env = "OCTOQ_IMPORT_URL")]
        url: String,
        /// Remember what is copied under this name instead of the address, for a Redis that moves
        #[arg(long, env = "OCTOQ_IMPORT_NAME")]
        name: Option<String>,
    },
    /// fastqueue: its tables in PostgreSQL
    #[command(
        after_help = "Example: octoq import fastqueue --database-url postgresql://fastqueue:secret@127.0.0.1/fastqueue"
    )]
    Fastqueue {
        /// postgresql://user:password@host:port/database, as in FASTQUEUE_DATABASE_URL
        #[arg(long, env = "FASTQUEUE_DATABASE_URL", hide_env_values = true)]
        database_url: String,
    },
    /// blockqueue from v0.0.4 on: its tables in SQLite or PostgreSQL
    #[command(after_help = "Example: octoq import blockqueue --file blockqueue.db")]
    Blockqueue {
        /// The SQLite file, `sqlite.db_name` of its configuration
        #[arg(long, env = "OCTOQ_IMPORT_FILE", required_unless_present = "database_url")]
        file: Option<PathBuf>,
        /// postgresql://user:password@host:port/database
        #[arg(long, env = "OCTOQ_IMPORT_URL", conflicts_with = "file")]
        database_url: Option<String>,
        /// Only topics and subscribers, no messages; all that can be read of v0.0.3 and older
        #[arg(long, env = "OCTOQ_IMPORT_TOPICS_ONLY")]
        topics_only: bool,
    },
    /// octoque: the files of `--mode disk`, or the topics of a running server
    #[command(after_help = "Example: octoq import octoque --folder /srv/octoque --pubsub news")]
    Octoque {
        /// Working directory of a server in `--mode disk`
        #[arg(long, env = "OCTOQ_IMPORT_FOLDER", required_unless_present = "addr")]
        folder: Option<PathBuf>,
        /// A topic of the folder that is of type PUBSUB; may be repeated
        #[arg(long, env = "OCTOQ_IMPORT_PUBSUB", value_delimiter = ',')]
        pubsub: Vec<String>,
        /// A running server, for the names, types and capacities of its topics
        #[arg(long, env = "OCTOQ_IMPORT_ADDR", value_name = "HOST:PORT")]
        addr: Option<String>,
        /// Its user
        #[arg(long, env = "OCTOQ_IMPORT_USER", default_value = "admin")]
        user: String,
        /// The user's password
        #[arg(
            long,
            env = "OCTOQ_IMPORT_PASSWORD",
            hide_env_values = true,
            default_value = "password"
        )]
        password: String,
    },
    /// dsmq: what is put while this command runs
    #[command(
        after_help = "Example: octoq import dsmq --addr 127.0.0.1:30008 --topic greetings --for 10s"
    )]
    Dsmq {
        /// A running server
        #[arg(
            long,
            env = "OCTOQ_IMPORT_ADDR",
            value_name = "HOST:PORT",
            default_value = "127.0.0.1:30008"
        )]
        addr: String,
        /// A topic to listen to; may be repeated
        #[arg(long = "topic", env = "OCTOQ_IMPORT_TOPICS", required = true, value_delimiter = ',')]
        topics: Vec<String>,
        /// How long, e.g. 10s or 5m; until Ctrl-C when left out
        #[arg(long = "for", env = "OCTOQ_IMPORT_FOR", value_name = "SPAN", value_parser = span)]
        span: Option<Duration>,
        /// How the release speaks
        #[arg(long, env = "OCTOQ_IMPORT_PROTOCOL", value_enum, default_value = "ws")]
        protocol: dsmq::Protocol,
        /// Keep the messages at this level; at `memory` they would go when this command ends
        #[arg(long, env = "OCTOQ_IMPORT_LEVEL", default_value = "async", value_parser = level)]
        level: Level,
    },
}

fn span(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(end);
    let count: u64 = count.parse().map_err(|_| "a number and ms, s, m or h".to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number and ms, s, m or h".into()),
    };
    Ok(Duration::from_millis(count.saturating_mul(unit_ms)))
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "sync" => Ok(Level::Sync),
        "async" => Ok(Level::Async),
        "memory" => Ok(Level::Memory),
        _ => Err("sync, async or memory".into()),
    }
}

/// Copies; 0 when all of it is there.
pub fn run(arguments: ImportArgs) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error")).init();
    let mut config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Some(path) = arguments.path {
        config.store.path = path;
    }
    let (dry_run, from) = (arguments.dry_run, arguments.from);
    let done = actix::System::new().block_on(async {
        let stop = stop_signal().map_err(|error| ImportError::source("signals", error))?;
        dispatch(from, config, dry_run, stop).await
    });
    match done {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(report.total().refused > 0))
        }
        Err(error) => {
            eprintln!("octoq: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes true with SIGINT and SIGTERM.
fn stop_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    actix::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        // The import may have ended just now.
        let _ = stop.send(true);
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}

async fn dispatch(
    from: From,
    config: Config,
    dry_run: bool,
    stop: watch::Receiver<bool>,
) -> Result<Report, ImportError> {
    match from {
        From::Okq { url, name } => copy(okq::Okq::new(url, name), config, dry_run, stop).await,
        From::Fastqueue { database_url } => {
            copy(fastqueue::Fastqueue::new(database_url), config, dry_run, stop).await
        }
        From::Blockqueue { file, database_url, topics_only } => {
            let place = match (file, database_url) {
                (Some(file), _) => blockqueue::Place::File(file),
                (None, url) => blockqueue::Place::Database(url.unwrap_or_default()),
            };
            copy(blockqueue::Blockqueue::new(place, topics_only), config, dry_run, stop).await
        }
        From::Octoque { folder, pubsub, addr, user, password } => {
            let server = addr.map(|addr| (addr, user, password));
            copy(octoque::Octoque::new(folder, server, pubsub), config, dry_run, stop).await
        }
        From::Dsmq { addr, topics, span, protocol, level } => {
            let source = dsmq::Dsmq::new(addr, protocol, topics, level, span, stop.clone());
            copy(source, config, dry_run, stop).await
        }
    }
}

/// Copies into the store of the configuration, by way of a broker without doors.
pub async fn copy(
    mut source: impl Source,
    mut config: Config,
    dry_run: bool,
    stop: watch::Receiver<bool>,
) -> Result<Report, ImportError> {
    let store = config.store.path.clone();
    if dry_run {
        return import::run::look(&mut source, &store, &stop).await;
    }
    for listen in [
        &mut config.http.listen,
        &mut config.otq.listen,
        &mut config.okq.listen,
        &mut config.dsmq.listen,
        &mut config.fastqueue.listen,
        &mut config.blockqueue.listen,
    ] {
        listen.clear();
    }
    let server = Server::start(config).await.map_err(|error| {
        ImportError::source("octoq's store (an import needs one that no broker uses)", error)
    })?;
    let copied = import::run::run(&mut source, &server.broker, &store, &stop).await;
    let closed = server.stop().await;
    let report = copied?;
    closed.map_err(|error| ImportError::source("octoq's store did not close in order", error))?;
    Ok(report)
}
