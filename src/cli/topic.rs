//! `octoq topic`: makes, shows, changes and removes topics.

use super::client::Ask;
use super::failure::{Code, Failure};
use super::name::{Name, queue_path, topic_path};
use super::policy::TopicPolicyArgs;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::{self, Table};
use super::view::{self, Topic, counted};
use super::watch::WatchArgs;
use serde_json::{Map, Value, json};
use std::{io::Write as _, process::ExitCode};

/// Topics.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq topic new orders
  octoq topic new news --kind pubsub --history 1000
  octoq topic ls -w")]
pub struct TopicArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Queues: each message is done by one consumer of each
    Broker,
    /// Pushed to every subscriber
    Pubsub,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List topics with their counts
    #[command(after_help = "Examples:
  octoq topic ls
  octoq topic ls --prefix orders- -w=5s")]
    Ls {
        /// Only those whose names begin so
        #[arg(long)]
        prefix: Option<String>,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Make a topic
    #[command(after_help = "Examples:
  octoq topic new orders --durability sync --capacity 1000000
  octoq topic new events --queue audit --queue billing
  octoq topic new news --kind pubsub --history 1000 --history-time 1d")]
    New {
        /// Its name
        topic: Name,
        /// What it does with messages
        #[arg(long, value_enum, default_value_t = Kind::Broker)]
        kind: Kind,
        /// A queue; may be repeated. One named `default` when left out
        #[arg(long = "queue", value_name = "QUEUE")]
        queues: Vec<Name>,
        #[command(flatten)]
        policy: Box<TopicPolicyArgs>,
    },
    /// Show a topic, its queues and settings
    #[command(after_help = "Example: octoq topic info orders")]
    Info {
        /// The topic
        topic: Name,
        #[command(flatten)]
        watch: WatchArgs,
    },
    /// Change settings; those not said stay
    #[command(
        after_help = "Example: octoq topic edit orders --capacity 5000 --overflow drop-oldest"
    )]
    Edit {
        /// The topic
        topic: Name,
        #[command(flatten)]
        policy: Box<TopicPolicyArgs>,
    },
    /// Remove a topic with its queues and messages
    #[command(after_help = "Example: octoq topic rm orders --yes")]
    Rm {
        /// The topic
        topic: Name,
        #[command(flatten)]
        sure: Sure,
    },
    /// Refuse publishes until `resume`
    #[command(after_help = "Example: octoq topic pause orders")]
    Pause {
        /// The topic
        topic: Name,
    },
    /// Take publishes again
    #[command(after_help = "Example: octoq topic resume orders")]
    Resume {
        /// The topic
        topic: Name,
    },
    /// Remove all messages of all queues of a topic
    #[command(after_help = "Example: octoq topic purge orders --yes")]
    Purge {
        /// The topic
        topic: Name,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Does it.
pub fn run(arguments: TopicArgs) -> ExitCode {
    let TopicArgs { remote, action } = arguments;
    remote.run(async |session| act(session, action).await)
}

async fn act(session: &mut Session, action: Action) -> Result<(), Failure> {
    match action {
        Action::Ls { prefix, watch } => {
            watch.show(session, async |session| list(session, prefix.as_deref()).await).await
        }
        Action::New { topic, kind, queues, policy } => {
            make(session, &topic, kind, &queues, policy.fields()?).await
        }
        Action::Info { topic, watch } => {
            watch.show(session, async |session| info(session, &topic).await).await
        }
        Action::Edit { topic, policy } => edit(session, &topic, policy.fields()?).await,
        Action::Rm { topic, sure } => {
            if !sure.is_said() {
                let known = view::topic(session, &topic).await?;
                let messages = counted(known.sum(view::Queue::all), "message", "messages");
                let queues = counted(known.queues.len() as u64, "queue", "queues");
                sure.ask(&format!("Topic `{topic}` is removed with {queues} and {messages}."))?;
            }
            session.ask(Ask::delete(topic_path(&topic))).await?;
            session
                .done(format_args!("topic {topic} removed"), &json!({"removed": topic.to_string()}))
        }
        Action::Pause { topic } => pause(session, &topic, true).await,
        Action::Resume { topic } => pause(session, &topic, false).await,
        Action::Purge { topic, sure } => purge(session, &topic, &sure).await,
    }
}

async fn list(session: &mut Session, prefix: Option<&str>) -> Result<(), Failure> {
    let topics = view::topics(session, prefix).await?;
    if session.json {
        writeln!(session.out, "{}", json!({ "topics": topics }))?;
        return Ok(());
    }
    let mut table = Table::new(&[
        "topic",
        "kind",
        "level",
        "queues>",
        "ready>",
        "delayed>",
        "in flight>",
        "dead>",
        "bytes>",
        "clients>",
    ]);
    for topic in topics {
        let topic: Topic = serde_json::from_value(topic)?;
        if view::is_nowhere(&topic.name) {
            // `octoq queue ls` has its queues.
            continue;
        }
        let consumers = topic.sum(|queue| queue.consumers) + topic.subscribers;
        table.row([
            topic.name.clone(),
            topic.kind.clone(),
            topic.durability.clone(),
            topic.queues.len().to_string(),
            topic.sum(|queue| queue.ready).to_string(),
            topic.sum(|queue| queue.delayed).to_string(),
            topic.sum(|queue| queue.in_flight).to_string(),
            topic.sum(|queue| queue.dead).to_string(),
            show::bytes(topic.sum(|queue| queue.bytes)),
            consumers.to_string(),
        ]);
    }
    if table.is_empty() {
        return Err(Failure::new(Code::Empty, "there is no such topic"));
    }
    table.print(&mut session.out)?;
    Ok(())
}

async fn make(
    session: &mut Session,
    topic: &Name,
    kind: Kind,
    queues: &[Name],
    policy: Map<String, Value>,
) -> Result<(), Failure> {
    let kind = match kind {
        Kind::Broker => "broker",
        Kind::Pubsub => "pubsub",
    };
    let mut body = json!({ "name": topic.to_string(), "kind": kind });
    if !policy.is_empty() {
        body["policy"] = policy.into();
    }
    if !queues.is_empty() {
        body["queues"] = queues.iter().map(|name| json!({ "name": name.to_string() })).collect();
    }
    let answer = session.ask(Ask::post("/v1/topics").json(&body)?).await?;
    if session.json {
        return session.print_json(&answer);
    }
    writeln!(session.out, "topic {topic} made")?;
    Ok(())
}

async fn info(session: &mut Session, topic: &Name) -> Result<(), Failure> {
    let answer = session.ask(Ask::get(topic_path(topic))).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let whole: Value = answer.json()?;
    let topic: Topic = answer.json()?;
    let out = &mut session.out;
    writeln!(out, "{}  {}, {}", show::printable(&topic.name), topic.kind, topic.durability)?;
    if let Some(at) = whole["created_at_ms"].as_i64() {
        writeln!(out, "  made {}", super::span::moment(at))?;
    }
    for (name, key) in
        [("epoch", "epoch"), ("last seq", "last_seq"), ("subscribers", "subscribers")]
    {
        if let Some(number) = whole[key].as_u64().filter(|_| topic.kind == "pubsub") {
            writeln!(out, "  {name} {number}")?;
        }
    }
    if !topic.queues.is_empty() {
        writeln!(out)?;
        super::queue::table(&topic, false).print(out)?;
    }
    writeln!(out, "\nsettings")?;
    view::settings(out, &topic.policy)?;
    Ok(())
}

async fn edit(
    session: &mut Session,
    topic: &Name,
    fields: Map<String, Value>,
) -> Result<(), Failure> {
    if fields.is_empty() {
        return Err(Failure::usage("nothing was said that should change"));
    }
    let ask = Ask::patch(topic_path(topic)).json(&json!({ "policy": fields }))?;
    let answer = session.ask(ask).await?;
    if session.json {
        return session.print_json(&answer);
    }
    writeln!(session.out, "topic {topic} changed")?;
    Ok(())
}

async fn pause(session: &mut Session, topic: &Name, paused: bool) -> Result<(), Failure> {
    let verb = if paused { "pause" } else { "resume" };
    let answer = session.ask(Ask::post(format!("{}/{verb}", topic_path(topic)))).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let word = if paused { "refuses publishes" } else { "takes publishes" };
    writeln!(session.out, "topic {topic} {word}")?;
    Ok(())
}

async fn purge(session: &mut Session, topic: &Name, sure: &Sure) -> Result<(), Failure> {
    let known = view::topic(session, topic).await?;
    let messages = counted(known.sum(view::Queue::all), "message", "messages");
    let queues = counted(known.queues.len() as u64, "queue", "queues");
    sure.ask(&format!("{messages} in {queues} of topic `{topic}` are removed."))?;
    let mut purged = 0;
    for queue in &known.queues {
        let queue = Name::parse(queue.name.as_str()).map_err(|error| {
            Failure::error(format!("the name of a queue is not understood: {error}"))
        })?;
        let answer = session.ask(Ask::post(format!("{}/purge", queue_path(topic, &queue)))).await?;
        purged += answer.json::<Value>()?["purged"].as_u64().unwrap_or_default();
    }
    session.done(
        format_args!("{} removed", counted(purged, "message", "messages")),
        &json!({ "purged": purged }),
    )
}
