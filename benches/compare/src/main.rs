//! `load`: one load for many brokers, through the protocol of each. See the README beside it.

mod adapters;
mod consumer;
mod histogram;
mod idle;
mod kernel;
mod pipe;
mod plan;
mod probes;
mod producer;
mod protocol;
mod report;
mod shared;
mod single;

use plan::Plan;
use report::Report;
use std::collections::HashMap;
use std::str::FromStr;

const USAGE: &str = "load pipe|single|idle --adapter NAME --address HOST:PORT [setting ...] [-o key=value ...]
  pipe    producers and consumers, at full speed, at a --rate, or until --count messages
  single  one connection, one message at a time, each confirmed
  idle    --consumers subscribers that nothing is sent to, and the server's memory
load probes [--dir DIR] [--only net|mem|disk]    what this machine can do
load adapters                                    what is spoken
settings: --size N --producers N --consumers N --producer-threads N --consumer-threads N --fanout
  --window N --backlog N --prefetch N --warm S --secs S --rate N --count N --topic NAME --pid PID ...";

fn usage() -> ! {
    eprintln!("{USAGE}");
    std::process::exit(2)
}

/// What stands behind the first word.
#[derive(Default)]
struct Arguments {
    settings: HashMap<String, String>,
    options: HashMap<String, String>,
    pids: Vec<i32>,
    fanout: bool,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--fanout" => arguments.fanout = true,
                "--pid" => arguments.pids.push(words.next()?.parse().ok()?),
                "-o" => {
                    let word = words.next()?;
                    let (name, value) = word.split_once('=').unwrap_or((&word, "1"));
                    arguments.options.insert(name.to_owned(), value.to_owned());
                }
                setting => {
                    let name = setting.strip_prefix("--")?.to_owned();
                    arguments.settings.insert(name, words.next()?);
                }
            }
        }
        Some(arguments)
    }

    fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        match self.settings.get(name) {
            Some(text) => text.parse().unwrap_or_else(|_| usage()),
            None => default,
        }
    }

    fn plan(self) -> Plan {
        Plan {
            adapter: self.get("adapter", String::new()),
            address: self.get("address", String::new()),
            size: self.get("size", 100),
            producers: self.get("producers", 1),
            consumers: self.get("consumers", 1),
            producer_threads: self.get("producer-threads", 1),
            consumer_threads: self.get("consumer-threads", 1),
            fanout: self.fanout,
            window: self.get("window", 1000),
            backlog: self.get("backlog", 20000),
            prefetch: self.get("prefetch", 200),
            warm_s: self.get("warm", 1.0),
            run_s: self.get("secs", 5.0),
            rate: self.get("rate", 0.0),
            count: self.get("count", 0),
            topic: self.get("topic", "bench".to_owned()),
            pids: self.pids,
            options: self.options,
        }
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_else(|| usage());
    let arguments = Arguments::read(words).unwrap_or_else(|| usage());
    let result = match command.as_str() {
        "adapters" => {
            for (name, what) in adapters::LIST {
                println!("{name:18} {what}");
            }
            return;
        }
        "probes" => {
            let (dir, only) =
                (arguments.get("dir", ".".to_owned()), arguments.get("only", String::new()));
            return probes::run(&dir, &only);
        }
        "pipe" => pipe::run(arguments.plan()),
        "single" => single::run(arguments.plan()),
        "idle" => idle::run(arguments.plan()),
        _ => usage(),
    };
    match result {
        Ok(line) => println!("{line}"),
        Err(error) => {
            println!("{}", Report::default().text("error", &error.to_string()).line());
            std::process::exit(1);
        }
    }
}
