//! `octoq dead`: messages that were given up.

use super::client::Ask;
use super::failure::{Code, Failure};
use super::filter::{self, FilterArgs};
use super::message::{self, Format};
use super::name::{Address, Name, QueueArgs, encode};
use super::peek;
use super::policy;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::printable;
use super::view::{self, counted};
use serde_json::{Map, Value, json, value::RawValue};
use std::{io::Write as _, process::ExitCode, time::Duration};

/// Most ids of one request.
const BATCH_MAX: usize = 1000;
/// How often the progress of a redrive is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Dead letters: messages that failed too often, or were given up.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq dead ls orders
  octoq dead redrive orders --all --dry-run
  octoq dead export orders > dead.jsonl")]
pub struct DeadArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List dead letters, of one queue or of all topics: why, when, how often tried
    #[command(after_help = "Examples:
  octoq dead ls
  octoq dead ls orders -n 20
  octoq dead ls orders --reason max_deliveries --attr shop=north --text pizza")]
    Ls {
        /// The topic; all topics when left out
        topic: Option<Name>,
        /// Its queue; without a topic, queues of this name
        #[arg(long, short, env = "OCTOQ_QUEUE", value_name = "QUEUE")]
        queue: Option<Name>,
        /// Most of them
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
        count: u64,
        #[command(flatten)]
        filter: FilterArgs,
        /// How they are printed; with a line about each when left out
        #[arg(long, short, value_enum)]
        output: Option<Format>,
    },
    /// Show one, with what became of it
    #[command(after_help = "Example: octoq dead show orders 01a1fdbd-30b5-700e-8870-000000000001")]
    Show {
        #[command(flatten)]
        of: QueueArgs,
        /// The message's id
        id: String,
    },
    /// Let dead letters be tried again
    #[command(after_help = "Examples:
  octoq dead redrive orders 01a1fdbd-30b5-700e-8870-000000000001
  octoq dead redrive orders --all --rate 100
  octoq dead redrive orders --text pizza --to retry --dry-run")]
    Redrive {
        #[command(flatten)]
        of: QueueArgs,
        /// Ids; with --all or a filter none
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// At most so many
        #[arg(long, value_name = "N", conflicts_with = "ids")]
        max: Option<u64>,
        #[command(flatten)]
        filter: FilterArgs,
        /// Into another queue of the topic
        #[arg(long, value_name = "QUEUE")]
        to: Option<Name>,
        /// So many a second; it goes on by itself, and is waited for here
        #[arg(long, value_name = "PER_SECOND")]
        rate: Option<u64>,
        /// Do not wait for the end of a redrive at a rate
        #[arg(long, requires = "rate")]
        no_wait: bool,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
    /// How far a redrive at a rate is, or stop it
    #[command(after_help = "Examples:
  octoq dead status orders
  octoq dead status orders --stop")]
    Status {
        #[command(flatten)]
        of: QueueArgs,
        /// Stop it; what was redriven stays so
        #[arg(long)]
        stop: bool,
    },
    /// Change a dead letter and let it be tried again, as a new message
    #[command(
        after_help = "Example: octoq dead edit orders 01a1fdbd-30b5-700e-8870-000000000001 --body '{\"shop\":\"north\"}'"
    )]
    Edit {
        #[command(flatten)]
        of: QueueArgs,
        /// The message's id
        id: String,
        /// Its new body
        #[arg(long)]
        body: String,
        /// Its new attributes, a JSON object
        #[arg(long, value_name = "JSON")]
        attributes: Option<String>,
        /// Into another queue of the topic
        #[arg(long, value_name = "QUEUE")]
        to: Option<Name>,
    },
    /// Remove dead letters for good
    #[command(after_help = "Examples:
  octoq dead rm orders 01a1fdbd-30b5-700e-8870-000000000001
  octoq dead rm orders --older 30d --yes
  octoq dead rm orders --all --yes")]
    Rm {
        #[command(flatten)]
        of: QueueArgs,
        /// Ids; with --all or a filter none
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        sure: Sure,
    },
    /// Print dead letters as lines of JSON, which `octoq put --jsonl` publishes again
    #[command(after_help = "Example: octoq dead export orders > dead.jsonl")]
    Export {
        #[command(flatten)]
        of: QueueArgs,
        #[command(flatten)]
        filter: FilterArgs,
    },
}

/// Does it.
pub fn run(arguments: DeadArgs) -> ExitCode {
    let DeadArgs { remote, action } = arguments;
    remote.run(async |session| act(session, action).await)
}

async fn act(session: &mut Session, action: Action) -> Result<(), Failure> {
    match action {
        Action::Ls { topic, queue, count, filter, output } => {
            list(session, topic, queue, count, &filter, output).await
        }
        Action::Show { of, id } => super::explain::show(session, &of, &id).await,
        Action::Redrive { of, ids, all, max, filter, to, rate, no_wait, dry_run } => {
            let mut body = Map::new();
            if !ids.is_empty() {
                if !filter.is_empty() {
                    return Err(Failure::usage("ids and a filter do not go together"));
                }
                body.insert("ids".into(), ids.into());
            } else {
                let object = filter.object()?;
                if object.is_none() && max.is_none() && !all {
                    return Err(Failure::usage("say which: ids, a filter, --max or --all"));
                }
                body.extend(object.map(|filter| ("filter".to_owned(), filter)));
                body.extend(max.map(|max| ("max".to_owned(), max.into())));
            }
            body.extend(to.map(|to| ("to".to_owned(), to.to_string().into())));
            body.extend(rate.map(|rate| ("rate_per_s".to_owned(), rate.into())));
            if dry_run {
                body.insert("dry_run".into(), true.into());
            }
            redrive(session, &of, body, rate.is_some() && !no_wait && !dry_run).await
        }
        Action::Status { of, stop } => {
            let path = format!("{}/redrive", of.path());
            let ask = if stop { Ask::delete(path) } else { Ask::get(path) };
            let answer = session.ask(ask).await?;
            if session.json {
                return session.print_json(&answer);
            }
            let progress: Value = answer.json()?;
            writeln!(session.out, "{}", progress_line(&progress))?;
            Ok(())
        }
        Action::Edit { of, id, body, attributes, to } => {
            let mut fields = json!({ "body": body });
            if let Some(text) = attributes {
                fields["attributes"] = serde_json::from_str(&text).map_err(|error| {
                    Failure::usage(format!("--attributes must be a JSON object: {error}"))
                })?;
            }
            if let Some(to) = to {
                fields["to"] = to.to_string().into();
            }
            let path = format!("{}/messages/{}/edit", of.path(), encode(id.as_bytes()));
            let answer = session.ask(Ask::post(path).json(&fields)?).await?;
            if session.json {
                return session.print_json(&answer);
            }
            let placed: Value = answer.json()?;
            writeln!(session.out, "{}", placed["id"].as_str().unwrap_or_default())?;
            Ok(())
        }
        Action::Rm { of, ids, all, filter, sure } => {
            remove(session, &of, ids, all, &filter, &sure).await
        }
        Action::Export { of, filter } => {
            let print = |session: &mut Session, raw: &RawValue| {
                message::print(&mut session.out, raw, Format::Json)
            };
            match filter::each(session, &of, Some("dead"), &filter, u64::MAX, print).await? {
                0 => Err(Failure::new(Code::Empty, "there is no such dead letter")),
                _ => Ok(()),
            }
        }
    }
}

async fn list(
    session: &mut Session,
    topic: Option<Name>,
    queue: Option<Name>,
    count: u64,
    filter: &FilterArgs,
    output: Option<Format>,
) -> Result<(), Failure> {
    let print = |session: &mut Session, raw: &RawValue| peek::print(session, raw, output);
    let everywhere = |session: &mut Session, raw: &RawValue| {
        #[derive(serde::Deserialize)]
        struct Place {
            topic: String,
            queue: String,
        }
        if output.is_none() && !session.json {
            let Place { topic, queue } = serde_json::from_str(raw.get())?;
            let topic = view::topic_shown(&topic);
            writeln!(session.out, "{}/{}", printable(topic), printable(&queue))?;
        }
        peek::print(session, raw, output)
    };
    let listed = match topic {
        Some(topic) => {
            let queue = queue.unwrap_or_else(Name::default_queue);
            let of = QueueArgs { topic, queue };
            filter::each(session, &of, Some("dead"), filter, count, print).await?
        }
        None => {
            let queue = queue.map(|queue| queue.to_string());
            let pairs = [("queue", queue)];
            filter::each_at(session, "/v1/dead", &pairs, filter, count, everywhere).await?
        }
    };
    match listed {
        0 => Err(Failure::new(Code::Empty, "there is no such dead letter")),
        _ => Ok(()),
    }
}

async fn redrive(
    session: &mut Session,
    of: &QueueArgs,
    body: Map<String, Value>,
    wait: bool,
) -> Result<(), Failure> {
    let path = format!("{}/redrive", of.path());
    let (dry, rated) = (body.contains_key("dry_run"), body.contains_key("rate_per_s"));
    let named = body.contains_key("ids");
    let mut body = body;
    if !rated {
        // By filter the broker looks at a bounded number at a time, and says where to go on.
        let most = body.get("max").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let mut count = 0;
        let missing = loop {
            let answer = session.ask(Ask::post(&path).json(&body)?).await?;
            let mut part: Value = answer.json()?;
            let missing = part["missing"].take();
            let (redriven, matching) = (part["redriven"].as_u64(), part["matching"].as_u64());
            count += redriven.or(matching).unwrap_or_default();
            let next = part["next"].as_str();
            let (Some(next), true) = (next, count < most) else { break missing };
            body.insert("after".into(), next.into());
            if most != u64::MAX {
                body.insert("max".into(), (most - count).into());
            }
        };
        let messages = counted(count, "message", "messages");
        let (words, key) = match dry {
            true => ("would be tried again", "matching"),
            false => ("to be tried again", "redriven"),
        };
        let mut told = json!({ key: count });
        if missing.is_array() {
            told["missing"] = missing.clone();
        }
        session.done(format_args!("{messages} {words}"), &told)?;
        let missing = missing.as_array().filter(|missing| !missing.is_empty());
        let Some(missing) = missing else { return Ok(()) };
        for id in missing.iter().filter_map(Value::as_str) {
            eprintln!("octoq: {}: there is no such dead letter", printable(id));
        }
        return Err(Failure::Said(Code::Empty));
    }
    let answer = session.ask(Ask::post(&path).json(&body)?).await?;
    if !wait {
        if session.json {
            return session.print_json(&answer);
        }
        writeln!(session.out, "{}", progress_line(&answer.json()?))?;
        return Ok(());
    }
    loop {
        let answer = session.ask(Ask::get(&path)).await?;
        let progress: Value = answer.json()?;
        if progress["running"] != Value::Bool(true) {
            if session.json {
                return session.print_json(&answer);
            }
            writeln!(session.out, "{}", progress_line(&progress))?;
            // Of those that were named some were not there.
            let short = named && progress["done"].as_u64() < progress["total"].as_u64();
            return if short { Err(Failure::Said(Code::Empty)) } else { Ok(()) };
        }
        let slept = session.until_stopped(async |_| tokio::time::sleep(LOOK_EVERY).await).await?;
        if slept.is_none() {
            eprintln!("octoq: it goes on without us; `octoq dead status` tells, --stop stops it");
            return Ok(());
        }
    }
}

fn progress_line(progress: &Value) -> String {
    let state = match progress["running"] == Value::Bool(true) {
        true => "running",
        false => "ended",
    };
    let of = match progress["total"].as_u64() {
        Some(total) => format!(" of {total}"),
        None => String::new(),
    };
    let problem = match progress["problem"]["detail"].as_str() {
        Some(detail) => format!("; {detail}"),
        None => String::new(),
    };
    format!("{state}: {}{of} tried again{problem}", progress["done"].as_u64().unwrap_or_default())
}

async fn remove(
    session: &mut Session,
    of: &QueueArgs,
    ids: Vec<String>,
    all: bool,
    filter: &FilterArgs,
    sure: &Sure,
) -> Result<(), Failure> {
    let mut ids = ids;
    if ids.is_empty() {
        if !all && filter.is_empty() {
            return Err(Failure::usage("say which: ids, a filter or --all"));
        }
        let take = |_: &mut Session, raw: &RawValue| {
            ids.push(message::Message::of(raw)?.id.into_owned());
            Ok(())
        };
        filter::each(session, of, Some("dead"), filter, u64::MAX, take).await?;
    } else if !filter.is_empty() {
        return Err(Failure::usage("ids and a filter do not go together"));
    }
    if ids.is_empty() {
        return Err(Failure::new(Code::Empty, "there is no such dead letter"));
    }
    let letters = counted(ids.len() as u64, "dead letter", "dead letters");
    sure.ask(&format!("{letters} of {}/{} are removed for good.", of.topic, of.queue))?;
    let mut removed = 0;
    let mut refused = None;
    for part in ids.chunks(BATCH_MAX) {
        let ask = Ask::post(format!("{}/delete", of.path())).json(&json!({ "ids": part }))?;
        let answer = session.ask(ask).await?;
        let told = super::answer::refused(&answer, part)?;
        removed += part.len() as u64 - told.count;
        refused = refused.or(told.code);
    }
    session.done(
        format_args!("{} removed", counted(removed, "dead letter", "dead letters")),
        &json!({ "removed": removed }),
    )?;
    match refused {
        Some(code) => Err(Failure::Said(code)),
        None => Ok(()),
    }
}

/// Move messages that are ready from one queue to another, of this topic or another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq move orders --to archive --all
  octoq move orders -q billing --to orders/retry 01a1fdbd-30b5-700e-8870-000000000001")]
pub struct MoveArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    of: QueueArgs,
    /// Ids; with --all or --max none
    ids: Vec<String>,
    /// Where to; without a queue that topic's `default`
    #[arg(long, value_name = "TOPIC[/QUEUE]")]
    to: Address,
    /// All of them
    #[arg(long, conflicts_with_all = ["ids", "max"])]
    all: bool,
    /// At most so many
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    max: Option<u64>,
}

/// Moves.
pub fn run_move(arguments: MoveArgs) -> ExitCode {
    let MoveArgs { remote, of, ids, to, all, max } = arguments;
    remote.run(async |session| {
        let mut body = json!({ "to": policy::place(&to) });
        if !ids.is_empty() {
            body["ids"] = ids.into();
        } else if let Some(max) = max {
            body["max"] = max.into();
        } else if !all {
            return Err(Failure::usage("say which: ids, --max or --all"));
        }
        let answer = session.ask(Ask::post(format!("{}/move", of.path())).json(&body)?).await?;
        if session.json {
            return session.print_json(&answer);
        }
        let moved = answer.json::<Value>()?["moved"].as_u64().unwrap_or_default();
        writeln!(session.out, "{} moved to {to}", counted(moved, "message", "messages"))?;
        match moved {
            0 => Err(Failure::Said(Code::Empty)),
            _ => Ok(()),
        }
    })
}
