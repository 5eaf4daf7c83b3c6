//! `octoq queue`: makes, shows, changes, moves and removes the queues of topics.

use super::client::{Answer, Ask};
use super::failure::{Code, Failure};
use super::name::{Name, queue_path, topic_path};
use super::policy::QueuePolicyArgs;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::{self, Table};
use super::view::{self, Topic, counted};
use super::watch::WatchArgs;
use serde_json::{Map, Value, json};
use std::{io::Write as _, process::ExitCode};

/// Queues.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq queue new orders billing --max-deliveries 5 --backoff 1s,10s,1m
  octoq queue ls orders -w
  octoq queue pause orders billing")]
pub struct QueueCommand {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

/// A queue of a topic.
#[derive(Debug, Clone, clap::Args)]
struct Of {
    /// The topic
    topic: Name,
    /// Its queue
    #[arg(default_value = "default")]
    queue: Name,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the queues of a topic, or of all topics
    #[command(after_help = "Examples:
  octoq queue ls
  octoq queue ls orders -w=2s")]
    Ls {
        /// The topic
        topic: Option<Name>,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Make a queue
    #[command(
        after_help = "Example: octoq queue new orders billing --ack-deadline 1m --dead-letter failed/billing"
    )]
    New {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        policy: Box<QueuePolicyArgs>,
    },
    /// Show a queue, its counts and settings
    #[command(after_help = "Example: octoq queue info orders billing")]
    Info {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Change settings; those not said stay
    #[command(after_help = "Example: octoq queue edit orders billing --max-deliveries 10")]
    Edit {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        policy: Box<QueuePolicyArgs>,
    },
    /// Remove a queue with its messages
    #[command(after_help = "Example: octoq queue rm orders billing --yes")]
    Rm {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        sure: Sure,
    },
    /// Hold a queue: take nothing, hand out nothing, or one of both
    #[command(after_help = "Examples:
  octoq queue pause orders billing
  octoq queue pause orders billing --out")]
    Pause {
        #[command(flatten)]
        of: Of,
        /// Only refuse publishes
        #[arg(long = "in", conflicts_with = "out")]
        only_in: bool,
        /// Only hand out nothing
        #[arg(long)]
        out: bool,
    },
    /// Let a queue go on
    #[command(after_help = "Example: octoq queue resume orders billing")]
    Resume {
        #[command(flatten)]
        of: Of,
    },
    /// Remove all messages of a queue
    #[command(after_help = "Example: octoq queue purge orders billing --yes")]
    Purge {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        sure: Sure,
    },
    /// Take a queue away from its topic; it keeps its messages, and belongs to none
    #[command(after_help = "Example: octoq queue detach orders billing")]
    Detach {
        #[command(flatten)]
        of: Of,
    },
    /// Give a queue to this topic, with its messages
    #[command(after_help = "Example: octoq queue attach archive billing --from orders")]
    Attach {
        #[command(flatten)]
        of: Of,
        /// The topic that has it; none when it was detached
        #[arg(long, value_name = "TOPIC")]
        from: Option<Name>,
    },
}

/// Does it.
pub fn run(arguments: QueueCommand) -> ExitCode {
    let QueueCommand { remote, action } = arguments;
    remote.run(async |session| act(session, action).await)
}

/// The JSON as it came, or a line about what was done.
fn tell(session: &mut Session, of: &Of, what: &str, answer: &Answer) -> Result<(), Failure> {
    if session.json && !answer.body.is_empty() {
        return session.print_json(answer);
    }
    let (topic, queue) = (of.topic.to_string(), of.queue.to_string());
    session.done(
        format_args!("queue {topic}/{queue} {what}"),
        &json!({ "topic": topic, "queue": queue }),
    )
}

async fn act(session: &mut Session, action: Action) -> Result<(), Failure> {
    let path = |of: &Of| queue_path(&of.topic, &of.queue);
    match action {
        Action::Ls { topic, watch } => {
            watch.show(session, async |session| list(session, topic.as_ref()).await).await
        }
        Action::New { of, policy } => make(session, &of, policy.fields()?).await,
        Action::Info { of, watch } => {
            watch.show(session, async |session| info(session, &of).await).await
        }
        Action::Edit { of, policy } => {
            let fields = policy.fields()?;
            if fields.is_empty() {
                return Err(Failure::usage("nothing was said that should change"));
            }
            let answer = session.ask(Ask::patch(path(&of)).json(&fields)?).await?;
            tell(session, &of, "changed", &answer)
        }
        Action::Rm { of, sure } => {
            if !sure.is_said() {
                let messages = held(session, &of).await?;
                sure.ask(&format!(
                    "Queue `{}` of topic `{}` is removed with {messages}.",
                    of.queue, of.topic
                ))?;
            }
            let answer = session.ask(Ask::delete(path(&of))).await?;
            tell(session, &of, "removed", &answer)
        }
        Action::Pause { of, only_in, out } => {
            let body = json!({ "in": !out, "out": !only_in });
            let answer =
                session.ask(Ask::post(format!("{}/pause", path(&of))).json(&body)?).await?;
            let what = match (only_in, out) {
                (true, _) => "refuses publishes",
                (_, true) => "hands out nothing",
                _ => "is paused",
            };
            tell(session, &of, what, &answer)
        }
        Action::Resume { of } => {
            let answer = session.ask(Ask::post(format!("{}/resume", path(&of)))).await?;
            tell(session, &of, "goes on", &answer)
        }
        Action::Purge { of, sure } => {
            if !sure.is_said() {
                let messages = held(session, &of).await?;
                sure.ask(&format!(
                    "{messages} in queue `{}` of topic `{}` are removed.",
                    of.queue, of.topic
                ))?;
            }
            let answer = session.ask(Ask::post(format!("{}/purge", path(&of)))).await?;
            let purged = answer.json::<Value>()?["purged"].as_u64().unwrap_or_default();
            let what = format!("is empty: {} removed", counted(purged, "message", "messages"));
            tell(session, &of, &what, &answer)
        }
        Action::Detach { of } => {
            let answer = session.ask(Ask::post(format!("{}/detach", path(&of)))).await?;
            tell(session, &of, "belongs to no topic now", &answer)
        }
        Action::Attach { of, from } => {
            let body = match &from {
                Some(from) => json!({ "from": from.to_string() }),
                None => json!({}),
            };
            let answer =
                session.ask(Ask::post(format!("{}/attach", path(&of))).json(&body)?).await?;
            tell(session, &of, "is here", &answer)
        }
    }
}

/// What a queue holds, in words.
async fn held(session: &mut Session, of: &Of) -> Result<String, Failure> {
    let queue: view::Queue =
        session.ask(Ask::get(queue_path(&of.topic, &of.queue))).await?.json()?;
    Ok(counted(queue.all(), "message", "messages"))
}

/// The queues of a topic in a table, with the topic's name before each when several are shown.
pub fn table(topic: &Topic, named: bool) -> Table {
    let mut table = heading(named);
    fill(&mut table, topic, named);
    table
}

fn heading(named: bool) -> Table {
    let all = [
        "topic",
        "queue",
        "ready>",
        "delayed>",
        "in flight>",
        "dead>",
        "bytes>",
        "consumers>",
        "state",
    ];
    let skipped = usize::from(!named);
    Table::new(all.get(skipped..).unwrap_or(&all))
}

fn fill(table: &mut Table, topic: &Topic, named: bool) {
    for queue in &topic.queues {
        let cells = [
            queue.name.clone(),
            queue.ready.to_string(),
            queue.delayed.to_string(),
            queue.in_flight.to_string(),
            queue.dead.to_string(),
            show::bytes(queue.bytes),
            queue.consumers.to_string(),
            queue.paused().to_owned(),
        ];
        let place = named.then(|| view::topic_shown(&topic.name).to_owned());
        table.row(place.into_iter().chain(cells));
    }
}

async fn list(session: &mut Session, topic: Option<&Name>) -> Result<(), Failure> {
    let topics = match topic {
        Some(name) => vec![session.ask(Ask::get(topic_path(name))).await?.json::<Value>()?],
        None => view::topics(session, None).await?,
    };
    if session.json {
        let queues = |topic: Value| {
            let name = topic["name"].clone();
            let name = if name.as_str().is_some_and(view::is_nowhere) { Value::Null } else { name };
            let queues = topic["queues"].as_array().cloned().unwrap_or_default();
            queues.into_iter().map(move |mut queue| {
                queue["topic"] = name.clone();
                queue
            })
        };
        let queues: Vec<Value> = topics.into_iter().flat_map(queues).collect();
        writeln!(session.out, "{}", json!({ "queues": queues }))?;
        return Ok(());
    }
    let mut table = heading(true);
    for topic in topics {
        fill(&mut table, &serde_json::from_value(topic)?, true);
    }
    if table.is_empty() {
        return Err(Failure::new(Code::Empty, "there is no queue"));
    }
    table.print(&mut session.out)?;
    Ok(())
}

async fn make(session: &mut Session, of: &Of, fields: Map<String, Value>) -> Result<(), Failure> {
    // A PUT changes a queue that is there; this verb makes one.
    let there = session.ask(Ask::get(queue_path(&of.topic, &of.queue))).await;
    match there {
        Ok(_) => {
            return Err(Failure::error(format!(
                "queue {}/{} exists; `octoq queue edit` changes it",
                of.topic, of.queue
            )));
        }
        Err(Failure::Refused(problem)) if problem.code == "queue_not_found" => (),
        Err(failure) => return Err(failure),
    }
    let ask = Ask::put(queue_path(&of.topic, &of.queue)).json(&fields)?;
    let answer = session.ask(ask).await?;
    tell(session, of, "made", &answer)
}

async fn info(session: &mut Session, of: &Of) -> Result<(), Failure> {
    let answer = session.ask(Ask::get(queue_path(&of.topic, &of.queue))).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let whole: Value = answer.json()?;
    let queue: view::Queue = answer.json()?;
    let out = &mut session.out;
    writeln!(out, "{}/{}  {}", of.topic, of.queue, queue.paused())?;
    let counts = [
        ("ready", queue.ready.to_string()),
        ("delayed", queue.delayed.to_string()),
        ("in flight", queue.in_flight.to_string()),
        ("dead", queue.dead.to_string()),
        ("bytes", show::bytes(queue.bytes)),
        ("consumers", queue.consumers.to_string()),
    ];
    for (name, value) in counts {
        writeln!(out, "  {name:<18} {value}")?;
    }
    for part in ["totals", "waits"] {
        if whole[part].is_object() {
            writeln!(out, "\n{part}")?;
            view::settings(out, &whole[part])?;
        }
    }
    writeln!(out, "\nsettings")?;
    view::settings(out, &queue.policy)?;
    Ok(())
}
