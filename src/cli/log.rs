//! `octoq log`: the last lines of a broker's log, and those to come.

use super::client::{Answer, Ask};
use super::failure::{Code, Failure};
use super::name::with_query;
use super::remote::{RemoteArgs, Session};
use super::show::printable;
use super::span::moment;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{io::Write as _, process::ExitCode, time::Duration};

/// How often new lines are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most lines of one answer.
const PAGE_MAX: u64 = 1000;

/// Show the last lines of the broker's log; with -f also those to come, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq log -n 20 --level warn
  octoq log --follow --json")]
pub struct LogArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Only lines as grave as this, or graver
    #[arg(long, value_enum, default_value = "debug")]
    level: Level,
    /// Most lines to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=PAGE_MAX))]
    count: u64,
    /// Go on with the lines that come
    #[arg(long, short)]
    follow: bool,
}

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Level {
    /// Something failed
    Error,
    /// Something is wrong, and the broker goes on
    Warn,
    /// What happens
    Info,
    /// Everything that is logged
    Debug,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    lines: Vec<&'a RawValue>,
    next: u64,
    oldest: u64,
}

#[derive(Debug, Deserialize)]
struct Line {
    at_ms: i64,
    level: String,
    target: String,
    message: String,
}

/// Shows.
pub fn run(arguments: LogArgs) -> ExitCode {
    let LogArgs { remote, level, count, follow } = arguments;
    remote.run(async |session| {
        let page = async |session: &mut Session, after: Option<u64>, limit: u64| {
            let query = [
                ("level", Some(level.word().to_owned())),
                ("after", after.map(|after| after.to_string())),
                ("limit", Some(limit.to_string())),
            ];
            let ask = Ask::get(with_query("/v1/log".into(), &query));
            session.until_stopped(async |client| client.ask(ask).await).await?.transpose()
        };
        let Some(first) = page(session, None, count).await? else { return Ok(()) };
        let (mut after, shown) = print(session, &first, None)?;
        if !follow {
            return if shown > 0 {
                Ok(())
            } else {
                Err(Failure::new(Code::Empty, "there is no such line"))
            };
        }
        loop {
            session.out.flush()?;
            let sleep = tokio::time::sleep(LOOK_EVERY);
            if session.until_stopped(async |_| sleep.await).await?.is_none() {
                return Ok(());
            }
            let Some(more) = page(session, Some(after), PAGE_MAX).await? else { return Ok(()) };
            after = print(session, &more, Some(after))?.0;
        }
    })
}

/// Prints a page that was to begin behind `after`; where to go on, and how many lines it had.
fn print(
    session: &mut Session,
    answer: &Answer,
    after: Option<u64>,
) -> Result<(u64, usize), Failure> {
    let page: Page<'_> = serde_json::from_slice(&answer.body)?;
    let missed = after.map_or(0, |after| page.oldest.saturating_sub(after + 1));
    if missed > 0 {
        eprintln!("octoq: {missed} lines came and went meanwhile");
    }
    // A broker that was started anew counts anew.
    let next = match after {
        Some(after) if page.next < after => 0,
        _ => page.next,
    };
    for raw in &page.lines {
        if session.json {
            writeln!(session.out, "{}", raw.get())?;
            continue;
        }
        let line: Line = serde_json::from_str(raw.get())?;
        let (level, target) = (line.level.to_uppercase(), printable(&line.target));
        writeln!(
            session.out,
            "{} {level:<5} {target}  {}",
            moment(line.at_ms),
            printable(&line.message)
        )?;
    }
    Ok((next, page.lines.len()))
}
