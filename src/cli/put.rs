//! `octoq put`: publishes one message or many.

use super::client::Ask;
use super::failure::{Code, Failure, Problem};
use super::name::{Name, queue_path, topic_path};
use super::remote::{RemoteArgs, Session};
use super::span::{Moment, Span};
use super::template::Template;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Lines read ahead of the broker.
const LINES_AHEAD: usize = 4096;
/// Longest message or line that is read from standard input.
const INPUT_BYTES_MAX: usize = 64 << 20;
/// A request is closed when it has this many bytes.
const REQUEST_BYTES: usize = 4 << 20;
/// Refusals that are told one by one.
const TOLD_MAX: u64 = 10;

/// Publish a message: the argument, or all of standard input; or many.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq put orders 'two pizzas'
  octoq put orders --delay 10m --attr shop=north < order.json
  octoq put orders --count 10000 --rate 500 'order {{number}} of {{uuid}} at {{now}}'
  octoq get orders -n 100 --output json | octoq put archive --jsonl")]
pub struct PutArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// The topic
    topic: Name,
    /// The body; standard input when left out
    body: Option<String>,
    /// Only into this queue; into all that take it when left out
    #[arg(long, short)]
    queue: Option<Name>,
    /// Each line of standard input is a message
    #[arg(long, conflicts_with_all = ["body", "jsonl"])]
    lines: bool,
    /// Each line of standard input is a message as JSON: body, json or base64, attributes, id, ...,
    /// as the API takes it, or as `get --output json` and `dead export` print it
    #[arg(long, conflicts_with = "body")]
    jsonl: bool,
    /// So many messages, numbered from 1; fills in {{number}}, {{uuid}}, {{now}} and {{now_ms}}
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// At most so many messages a second
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Messages per request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Fill in {{number}}, {{uuid}}, {{now}}, {{now_ms}} in a single message, too
    #[arg(long)]
    template: bool,
    #[command(flatten)]
    options: OptionArgs,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// What goes with each message.
#[derive(Debug, clap::Args)]
struct OptionArgs {
    /// An attribute; may be repeated
    #[arg(long = "attr", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// An id of your own
    #[arg(long)]
    id: Option<String>,
    /// Visible after this long
    #[arg(long, value_name = "SPAN", conflicts_with = "at")]
    delay: Option<Span>,
    /// Visible at this time
    #[arg(long, value_name = "TIME")]
    at: Option<Moment>,
    /// Gone after this long
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Span>,
    /// Publishing it again with the same key stores nothing
    #[arg(long, value_name = "KEY")]
    dedup_key: Option<String>,
    /// 0 to 9, the highest is handed out first
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=9))]
    priority: Option<u8>,
    /// Messages of one key are handed out one after the other
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Before everything that waits
    #[arg(long)]
    front: bool,
}

/// One message as the API takes it.
#[derive(Debug, Default, Serialize)]
struct New {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    attributes: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    front: bool,
}

/// What of a printed message can be published again.
#[derive(Debug, Deserialize, Serialize)]
struct Again<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    body: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    json: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    base64: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    priority: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a RawValue>,
}

/// What makes the messages.
struct Maker {
    body: Option<Template>,
    attributes: Vec<(String, Template)>,
    id: Option<Template>,
    dedup_key: Option<Template>,
    ordering_key: Option<Template>,
    options: OptionArgs,
}

impl Maker {
    fn new(body: Option<&str>, filled: bool, options: OptionArgs) -> Result<Maker, Failure> {
        let template = |text: &str| {
            if filled {
                Template::parse(text).map_err(Failure::usage)
            } else {
                Ok(Template::literal(text))
            }
        };
        let key = |text: &Option<String>| text.as_deref().map(template).transpose();
        let attribute = |pair: &String| match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), template(value)?)),
            _ => Err(Failure::usage(format!("--attr {pair}: it must be NAME=VALUE"))),
        };
        Ok(Maker {
            body: body.map(template).transpose()?,
            attributes: options.attributes.iter().map(attribute).collect::<Result<_, _>>()?,
            id: key(&options.id)?,
            dedup_key: key(&options.dedup_key)?,
            ordering_key: key(&options.ordering_key)?,
            options,
        })
    }

    /// Message number `n`, of these bytes or of the body that was given.
    fn make(&self, n: u64, bytes: Option<Vec<u8>>) -> Result<Box<RawValue>, Failure> {
        let (body, base64) = match bytes.map(String::from_utf8) {
            Some(Ok(text)) => (Some(text), None),
            Some(Err(other)) => (None, Some(STANDARD.encode(other.as_bytes()))),
            None => (Some(self.body.as_ref().map(|body| body.fill(n)).unwrap_or_default()), None),
        };
        let attribute = |(name, value): &(String, Template)| (name.clone(), value.fill(n).into());
        let new = New {
            body,
            base64,
            attributes: self.attributes.iter().map(attribute).collect(),
            id: self.id.as_ref().map(|id| id.fill(n)),
            delay_ms: self.options.delay.map(Span::millis),
            deliver_at_ms: self.options.at.map(|at| at.0),
            ttl_ms: self.options.ttl.map(Span::millis),
            dedup_key: self.dedup_key.as_ref().map(|key| key.fill(n)),
            priority: self.options.priority,
            ordering_key: self.ordering_key.as_ref().map(|key| key.fill(n)),
            front: self.options.front,
        };
        Ok(serde_json::value::to_raw_value(&new)?)
    }
}

/// Publishes.
pub fn run(arguments: PutArgs) -> ExitCode {
    let remote = arguments.remote.clone();
    remote.run(async |session| put(session, arguments).await)
}

async fn put(session: &mut Session, arguments: PutArgs) -> Result<(), Failure> {
    let PutArgs { topic, body, queue, lines, jsonl, count, rate, batch, template, options, .. } =
        arguments;
    if rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
        return Err(Failure::usage("--rate must be above 0"));
    }
    let path = match &queue {
        None => format!("{}/messages", topic_path(&topic)),
        Some(queue) => format!("{}/messages", queue_path(&topic, queue)),
    };
    let maker = Maker::new(body.as_deref(), template || count.is_some(), options)?;
    let pace = Pace::new(rate);
    let many = lines || jsonl || count.is_some();
    let bar = bar(count, many && !arguments.quiet && !session.json);
    let mut putting = Putting { path, pace, bar, tally: Tally::default(), many };

    let sent = if lines || jsonl {
        put_lines(session, &mut putting, &maker, jsonl, batch).await
    } else {
        put_one_or_count(session, &mut putting, &maker, body.is_some(), count, batch).await
    };
    // What went before a failure is told too: it is stored.
    match (sent, putting.tally.stored + putting.tally.duplicates) {
        (Err(failure), 0) => Err(failure),
        (sent, _) => {
            let finished = putting.finish(session);
            sent.and(finished)
        }
    }
}

/// Publishes the lines of standard input; those that are there go together.
async fn put_lines(
    session: &mut Session,
    putting: &mut Putting,
    maker: &Maker,
    jsonl: bool,
    batch: u32,
) -> Result<(), Failure> {
    let mut read = read_lines();
    let mut number = 0;
    loop {
        let mut messages = Vec::new();
        let mut bytes = 0;
        let Some(first) = session.until_stopped(async |_| read.recv().await).await? else {
            return Ok(());
        };
        let mut next = first;
        while let Some(line) = next {
            number += 1;
            let line = line.map_err(Failure::error)?;
            if !jsonl || !line.trim_ascii().is_empty() {
                let message =
                    if jsonl { again(&line, number)? } else { maker.make(number, Some(line))? };
                bytes += message.get().len();
                messages.push(message);
            }
            if messages.len() >= putting.pace.most(batch) || bytes >= REQUEST_BYTES {
                break;
            }
            next = read.try_recv().ok();
        }
        if messages.is_empty() {
            if read.is_closed() && read.is_empty() {
                return Ok(());
            }
            continue;
        }
        putting.send(session, messages).await?;
    }
}

/// Publishes the given body, or all of standard input, once or `count` times.
async fn put_one_or_count(
    session: &mut Session,
    putting: &mut Putting,
    maker: &Maker,
    given: bool,
    count: Option<u64>,
    batch: u32,
) -> Result<(), Failure> {
    let bytes = if given { None } else { Some(whole_input()?) };
    let count = count.unwrap_or(1);
    let mut n = 1;
    while n <= count && !session.stopped {
        let mut messages = Vec::new();
        let mut size = 0;
        while n <= count && messages.len() < putting.pace.most(batch) && size < REQUEST_BYTES {
            let message = maker.make(n, bytes.clone())?;
            size += message.get().len();
            messages.push(message);
            n += 1;
        }
        putting.send(session, messages).await?;
    }
    Ok(())
}

/// What a line of `--jsonl` says. What only tells where the message has been is left out.
fn again(line: &[u8], number: u64) -> Result<Box<RawValue>, Failure> {
    let wrong = |error: serde_json::Error| Failure::usage(format!("line {number}: {error}"));
    let text: &RawValue = serde_json::from_slice(line).map_err(wrong)?;
    #[derive(Deserialize)]
    struct Printed {
        seq: Option<serde::de::IgnoredAny>,
        published_at_ms: Option<serde::de::IgnoredAny>,
    }
    let printed: Printed = serde_json::from_str(text.get()).map_err(wrong)?;
    if printed.seq.is_none() && printed.published_at_ms.is_none() {
        return Ok(text.to_owned());
    }
    let again: Again<'_> = serde_json::from_str(text.get()).map_err(wrong)?;
    Ok(serde_json::value::to_raw_value(&again)?)
}

/// All of standard input, as one message.
fn whole_input() -> Result<Vec<u8>, Failure> {
    if io::stdin().is_terminal() {
        eprintln!("octoq: the message is read from here; Ctrl-D ends it");
    }
    let mut bytes = Vec::new();
    let most = INPUT_BYTES_MAX as u64 + 1;
    io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    if bytes.len() > INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("more than {INPUT_BYTES_MAX} bytes; see --lines")));
    }
    Ok(bytes)
}

/// The lines of standard input without their ends, read on a thread of their own.
fn read_lines() -> mpsc::Receiver<Result<Vec<u8>, String>> {
    let (to, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let most = INPUT_BYTES_MAX as u64 + 2;
            let read = (&mut input).take(most).read_until(b'\n', &mut line);
            let sent = match read {
                Err(error) => Err(error.to_string()),
                Ok(0) => return,
                Ok(_) => {
                    if line.pop_if(|byte| *byte == b'\n').is_some() {
                        line.pop_if(|byte| *byte == b'\r');
                    }
                    match line.len() {
                        0..=INPUT_BYTES_MAX => Ok(line),
                        _ => Err(format!("a line has more than {INPUT_BYTES_MAX} bytes")),
                    }
                }
            };
            let last = sent.is_err();
            if to.blocking_send(sent).is_err() || last {
                return;
            }
        }
    });
    lines
}

/// When the next message may go.
struct Pace {
    rate: Option<f64>,
    start: Instant,
    sent: f64,
}

impl Pace {
    fn new(rate: Option<f64>) -> Pace {
        Pace { rate, start: Instant::now(), sent: 0.0 }
    }

    /// Messages of one request: at a given rate some ten requests a second.
    fn most(&self, batch: u32) -> usize {
        let paced = self.rate.map_or(f64::MAX, |rate| (rate / 10.0).ceil());
        (paced.min(f64::from(batch)) as usize).max(1)
    }

    /// How long until the next may go; `count` more go then.
    fn wait(&mut self, count: usize) -> Duration {
        let due = self.rate.map_or(0.0, |rate| self.sent / rate);
        self.sent += count as f64;
        Duration::try_from_secs_f64(due).unwrap_or_default().saturating_sub(self.start.elapsed())
    }
}

/// What became of the messages.
#[derive(Debug, Default)]
struct Tally {
    stored: u64,
    duplicates: u64,
    refused: u64,
    /// The exit code of what was refused first.
    code: Option<Code>,
    durability: String,
}

#[derive(Debug, Deserialize)]
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Placed {
    #[serde(default)]
    id: String,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    durability: String,
    problem: Option<Problem>,
}

struct Putting {
    path: String,
    pace: Pace,
    bar: ProgressBar,
    tally: Tally,
    many: bool,
}

impl Putting {
    async fn send(
        &mut self,
        session: &mut Session,
        messages: Vec<Box<RawValue>>,
    ) -> Result<(), Failure> {
        let wait = self.pace.wait(messages.len());
        if !wait.is_zero()
            && session.until_stopped(async |_| tokio::time::sleep(wait).await).await?.is_none()
        {
            return Ok(());
        }
        let count = messages.len();
        let ask = match &*messages {
            // A refusal is then the answer itself.
            [one] if !self.many => {
                Ask::post(&self.path).body("application/json", one.get().to_owned())
            }
            many => Ask::post(&self.path).json(&many)?,
        };
        let answer = session.ask(ask).await?;
        let results: Vec<&RawValue> = match self.many {
            true => serde_json::from_slice::<Results<'_>>(&answer.body)?.results,
            false => vec![serde_json::from_slice(&answer.body)?],
        };
        for raw in results {
            let placed: Placed = serde_json::from_str(raw.get())?;
            if session.json {
                writeln!(session.out, "{}", raw.get())?;
            }
            self.note(session, placed)?;
        }
        self.bar.inc(count as u64);
        Ok(())
    }

    fn note(&mut self, session: &mut Session, placed: Placed) -> Result<(), Failure> {
        if let Some(problem) = placed.problem {
            self.tally.refused += 1;
            self.tally.code.get_or_insert(problem.exit_code());
            if self.tally.refused <= TOLD_MAX {
                self.bar.suspend(|| eprintln!("octoq: {problem}"));
            }
            return Ok(());
        }
        self.tally.stored += u64::from(!placed.duplicate);
        self.tally.duplicates += u64::from(placed.duplicate);
        if !self.many && !session.json {
            let note = if placed.duplicate { "\tduplicate" } else { "" };
            writeln!(session.out, "{}\t{}{note}", placed.id, placed.durability)?;
        }
        self.tally.durability = placed.durability;
        Ok(())
    }

    fn finish(self, session: &mut Session) -> Result<(), Failure> {
        let Putting { pace, bar, tally, many, .. } = self;
        bar.finish_and_clear();
        if many && !session.json {
            let seconds = pace.start.elapsed().as_secs_f64();
            let all = tally.stored + tally.duplicates + tally.refused;
            let mut line = format!("{} stored", tally.stored);
            if !tally.durability.is_empty() {
                line.push_str(&format!(" ({})", tally.durability));
            }
            for (count, what) in [(tally.duplicates, "duplicates"), (tally.refused, "refused")] {
                if count > 0 {
                    line.push_str(&format!(", {count} {what}"));
                }
            }
            let rate = all as f64 / seconds.max(0.001);
            writeln!(session.out, "{line} in {seconds:.2} s, {rate:.0}/s")?;
        }
        match tally.code {
            Some(code) => Err(Failure::Said(code)),
            None => Ok(()),
        }
    }
}

/// A bar on standard error, when a person looks.
fn bar(count: Option<u64>, wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match count {
        Some(count) => (ProgressBar::new(count), "{bar:40} {pos}/{len} {per_sec} {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {pos} {per_sec}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        // The pattern is a constant; without it the bar is only plainer.
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_message_is_published_without_where_it_has_been() {
        let printed = br#"{"id":"x","seq":4,"body":"b","attributes":{"a":1},"published_at_ms":5,"attempt":1,"receipt":"r"}"#;
        assert_eq!(again(printed, 1).unwrap().get(), r#"{"body":"b","attributes":{"a":1}}"#);
        let new = br#" {"body":"b","id":"mine","delay_ms":5} "#;
        assert_eq!(again(new, 1).unwrap().get(), r#"{"body":"b","id":"mine","delay_ms":5}"#);
        let Err(Failure::Told { code: Code::Usage, message }) = again(b"{", 7) else { panic!() };
        assert!(message.starts_with("line 7: "), "{message}");
    }

    #[test]
    fn a_rate_is_kept_over_requests() {
        let mut pace = Pace::new(Some(100.0));
        assert_eq!(pace.most(1000), 10);
        assert_eq!(pace.wait(10), Duration::ZERO);
        let wait = pace.wait(10);
        assert!(wait > Duration::from_millis(50) && wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(Pace::new(None).most(50), 50);
        assert_eq!(Pace::new(Some(0.5)).most(50), 1);
    }
}
