//! `octoq backup` and `octoq restore`: a consistent copy of a running broker's store, and back.

use super::ConfigArgs;
use super::client::Ask;
use super::failure::{Code, Failure};
use super::name::with_query;
use super::remote::{RemoteArgs, Session, Sure};
use super::show;
use crate::journal::check::{Report, TopicCount, Verdict};
use crate::journal::{JournalError, Restoring};
use serde_json::{Value, json};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// How long the broker may take to make its copy.
const COPY_WAIT: Duration = Duration::from_secs(3600);

/// Copy the store of a running broker, consistently, while it goes on: everything committed at one
/// moment, as one file. What is kept in memory only (level `memory`) is not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq backup octoq-$(date +%F).backup
  octoq backup --keep nightly
  octoq backup --context prod - | zstd > prod.backup.zst")]
pub struct BackupArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// The new file; `-` is standard output
    #[arg(required_unless_present = "keep", conflicts_with = "keep")]
    file: Option<PathBuf>,
    /// Leave it with the broker, under this name in the folder `backups` of its store
    #[arg(long, value_name = "NAME")]
    keep: Option<String>,
}

/// Copies.
pub fn run(arguments: BackupArgs) -> ExitCode {
    let BackupArgs { remote, file, keep } = arguments;
    remote.run(async |session| match (keep, file) {
        (Some(name), _) => keep_there(session, name).await,
        (None, Some(file)) if file.as_os_str() == "-" => {
            let Session { client, out, .. } = session;
            client
                .stream(
                    Ask::post("/v1/backup").waits(COPY_WAIT),
                    |piece| Ok(out.write_all(&piece)?),
                )
                .await?;
            Ok(())
        }
        (None, Some(file)) => fetch(session, &file).await,
        (None, None) => Err(Failure::usage("a file, or --keep")),
    })
}

async fn keep_there(session: &mut Session, name: String) -> Result<(), Failure> {
    let path = with_query("/v1/backup".into(), &[("keep", Some(name))]);
    let answer = session.ask(Ask::post(path).waits(COPY_WAIT)).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let kept: Value = answer.json()?;
    let bytes = show::bytes(kept["bytes"].as_u64().unwrap_or_default());
    writeln!(session.out, "{bytes} in {}", kept["path"].as_str().unwrap_or_default())?;
    Ok(())
}

async fn fetch(session: &mut Session, file: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::error(format!("{}: {error}", file.display()));
    if file.exists() {
        return Err(Failure::usage(format!("{} is there already", file.display())));
    }
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let mut to = opened.map_err(failed)?;
    let mut bytes: u64 = 0;
    let fetched = session
        .client
        .stream(Ask::post("/v1/backup").waits(COPY_WAIT), |piece| {
            bytes += piece.len() as u64;
            to.write_all(&piece).map_err(failed)
        })
        .await;
    let done = fetched.and_then(|headers| {
        // An answer that breaks off says so; this one must also be as long as it was to be.
        let length =
            headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length != bytes) {
            return Err(Failure::unreachable("the backup breaks off"));
        }
        to.sync_all().map_err(failed)?;
        // Not written over: one that came meanwhile stays.
        fs::hard_link(&part, file).map_err(failed)
    });
    // Its other name stays, if all went well.
    let _ = fs::remove_file(&part);
    done?;
    session.done(
        format_args!("{} in {}", show::bytes(bytes), file.display()),
        &json!({ "path": file.display().to_string(), "bytes": bytes }),
    )
}

/// Put a backup in the place of a store that no broker uses. It is checked first, whole; what was in
/// that place is kept beside it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq restore octoq-2026-11-21.backup --path octoq-data --yes
  octoq restore octoq-2026-11-21.backup --check")]
pub struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The backup
    file: PathBuf,
    /// Folder of the store; that of the configuration when left out
    #[arg(long, env = "OCTOQ_PATH", value_name = "FOLDER")]
    path: Option<PathBuf>,
    /// Only check it, in a folder beside it, and say what it holds
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long, env = "OCTOQ_JSON")]
    json: bool,
    #[command(flatten)]
    sure: Sure,
}

/// Restores.
pub fn restore(arguments: RestoreArgs) -> ExitCode {
    let json = arguments.json;
    match try_restore(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}

fn try_restore(arguments: RestoreArgs) -> Result<(), Failure> {
    let RestoreArgs { config, file, path, check, json, sure } = arguments;
    let failed = |error: JournalError| match error {
        JournalError::Damaged { file, what } => {
            Failure::error(format!("{} is no whole backup: {what}", file.display()))
        }
        error => Failure::error(error.to_string()),
    };
    let mut out = std::io::stdout().lock();
    if check {
        let mut beside = file.as_os_str().to_owned();
        beside.push(".checking");
        let beside = PathBuf::from(beside);
        let checked = Restoring::check(&file, &beside);
        let report = checked.map(|restoring| match json {
            true => format!("{}\n", json!({ "report": of_report(&restoring.report) })),
            false => restoring.report.to_string(),
        });
        // It was made for this.
        let _ = fs::remove_dir_all(&beside);
        write!(out, "{}", report.map_err(failed)?)?;
        return Ok(());
    }
    let store = match path {
        Some(path) => path,
        None => config.load().map_err(|_| Failure::Said(Code::Usage))?.store.path,
    };
    let restoring = Restoring::check(&file, &store).map_err(failed)?;
    let report = json.then(|| of_report(&restoring.report));
    if !json {
        write!(out, "{}", restoring.report)?;
    }
    if restoring.replaces {
        sure.ask(&format!(
            "The store {} is replaced; what came to it after the backup is not in it any more.",
            store.display()
        ))?;
    }
    let kept = restoring.put().map_err(failed)?;
    if let Some(report) = report {
        let kept = kept.map(|kept| kept.display().to_string());
        let store = store.display().to_string();
        writeln!(out, "{}", json!({ "store": store, "replaced": kept, "report": report }))?;
        return Ok(());
    }
    writeln!(out, "{} is now the backup", store.display())?;
    if let Some(kept) = kept {
        writeln!(out, "what was there is in {}", kept.display())?;
    }
    Ok(())
}

/// What a check found, for a program.
fn of_report(report: &Report) -> Value {
    let verdict = match report.verdict {
        Verdict::Whole => "whole",
        Verdict::Blemished => "blemished",
        Verdict::Damaged => "damaged",
    };
    let topic = |topic: &TopicCount| {
        json!({
            "name": topic.name, "waiting": topic.waiting, "tried": topic.tried, "dead": topic.dead,
            "history": topic.history, "bytes": topic.bytes,
        })
    };
    let topics: Vec<Value> = report.topics.iter().map(topic).collect();
    json!({ "verdict": verdict, "lines": report.lines, "topics": topics })
}
