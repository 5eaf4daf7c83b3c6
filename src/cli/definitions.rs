//! `octoq definitions`: topics, queues and settings as one JSON document.

use super::client::Ask;
use super::failure::{Code, Failure};
use super::name::with_query;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::printable;
use super::view::counted;
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    process::ExitCode,
};

/// Longest document that is read.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// All topics and queues with their settings, without messages: as a file, and back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq definitions export > octoq.json
  octoq definitions import octoq.json --dry-run")]
pub struct DefinitionsArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print them
    #[command(after_help = "Examples:
  octoq definitions export > octoq.json
  octoq definitions export --users --file octoq.json")]
    Export {
        /// With users and the hashes of their passwords; the file is for its owner only
        #[arg(long)]
        users: bool,
        /// Into this new file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make what is missing and change what differs; nothing is removed
    #[command(after_help = "Examples:
  octoq definitions import octoq.json --dry-run
  octoq definitions export --context staging | octoq definitions import --context prod - --yes")]
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Does it.
pub fn run(arguments: DefinitionsArgs) -> ExitCode {
    let DefinitionsArgs { remote, action } = arguments;
    remote.run(async |session| match action {
        Action::Export { users, file } => export(session, users, file).await,
        Action::Import { file, dry_run, sure } => import(session, file, dry_run, sure).await,
    })
}

async fn export(session: &mut Session, users: bool, file: Option<PathBuf>) -> Result<(), Failure> {
    let query = [("users", users.then(|| "true".to_owned()))];
    let answer = session.ask(Ask::get(with_query("/v1/definitions".into(), &query))).await?;
    // For people and for `diff`: one thing per line, always in the same order.
    let document: Value = answer.json()?;
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    match file {
        None => session.out.write_all(&text)?,
        Some(path) => {
            let mode = if users { 0o600 } else { 0o666 };
            let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
            let written = opened.and_then(|mut to| {
                to.write_all(&text)?;
                to.sync_all()
            });
            written.map_err(|error| Failure::error(format!("{}: {error}", path.display())))?;
        }
    }
    Ok(())
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let most = DOCUMENT_BYTES_MAX + 1;
    let read = if file.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    if text.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(Failure::usage(format!("{}: it is too long", file.display())));
    }
    Ok(text)
}

async fn import(
    session: &mut Session,
    file: PathBuf,
    dry_run: bool,
    sure: Sure,
) -> Result<(), Failure> {
    let text = read(&file)?;
    let ask = |dry: bool| {
        let query = [("dry_run", dry.then(|| "true".to_owned()))];
        Ask::post(with_query("/v1/definitions".into(), &query))
            .body("application/json", text.clone())
    };
    if !dry_run && !sure.is_said() {
        let would: Value = session.ask(ask(true)).await?.json()?;
        let changed = would["changed"].as_array().map_or(0, Vec::len) as u64;
        if changed > 0 {
            let what = counted(changed, "topic or queue gets", "topics and queues get");
            sure.ask(&format!("{what} other settings; what they have now is lost."))?;
        }
    }
    let answer = session.ask(ask(dry_run)).await?;
    let done: Value = answer.json()?;
    let refused = done["refused"].as_array().map_or(0, Vec::len);
    if session.json {
        session.print_json(&answer)?;
    } else {
        print(session, &done, dry_run)?;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Failure::Said(Code::Error)),
    }
}

fn print(session: &mut Session, done: &Value, dry_run: bool) -> Result<(), Failure> {
    let out = &mut session.out;
    let words = if dry_run {
        [
            ("created", "would be made"),
            ("changed", "would be changed"),
            ("refused", "would be refused"),
        ]
    } else {
        [("created", "made"), ("changed", "changed"), ("refused", "refused")]
    };
    for (key, word) in words {
        for item in done[key].as_array().into_iter().flatten() {
            match item.as_str() {
                Some(name) => writeln!(out, "{word}: {}", printable(name))?,
                None => {
                    let name = item["name"].as_str().unwrap_or("?");
                    let detail = item["detail"].as_str().unwrap_or_default();
                    writeln!(out, "{word}: {} {}", printable(name), printable(detail))?;
                }
            }
        }
    }
    writeln!(out, "{} as they were", done["unchanged"].as_u64().unwrap_or_default())?;
    Ok(())
}
