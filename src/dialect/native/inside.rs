//! The inside of the broker, for who operates it: its configuration, its log.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::query::Query;
use crate::broker::{LogLine, ReadLog};
use crate::config::origin::Setting;
use actix_web::{HttpRequest, HttpResponse, web};
use log::Level;
use serde::Serialize;

type Answer = Result<HttpResponse, Problem>;

/// Most lines of one answer.
const LINES_MAX: usize = 1000;
/// Lines of one answer when nothing is said.
const LINES: usize = 100;

/// `GET /v1/config`: every setting in force and where it comes from; secrets are masked.
pub async fn config(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    Query::of(&request)?.done()?;
    who.0.need_inside()?;
    #[derive(Serialize)]
    struct Keys<'a> {
        keys: &'a [Setting],
    }
    Ok(HttpResponse::Ok().json(Keys { keys: &native.settings }))
}

fn level_of(name: &str) -> Option<Level> {
    Some(match name {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "info" => Level::Info,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => return None,
    })
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

#[derive(Serialize)]
struct LineView<'a> {
    seq: u64,
    at_ms: i64,
    level: &'static str,
    target: &'a str,
    message: &'a str,
}

impl<'a> From<&'a LogLine> for LineView<'a> {
    fn from(line: &'a LogLine) -> Self {
        LineView {
            seq: line.seq,
            at_ms: line.at.0,
            level: name_of(line.level),
            target: &line.target,
            message: &line.message,
        }
    }
}

/// `GET /v1/log?level=&after=&limit=`: the newest lines that are kept, or with `after` the oldest
/// behind that number.
pub async fn log(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let level = match query.text("level")? {
        None => Level::Trace,
        Some(name) => level_of(&name).ok_or_else(|| {
            Problem::invalid("query: `level` must be error, warn, info, debug or trace")
        })?,
    };
    let after = query.value("after")?;
    let limit = query.value("limit")?.unwrap_or(LINES).clamp(1, LINES_MAX);
    query.done()?;
    let page = native.broker.read_log(&who.0, ReadLog { level, after, limit }).await?;
    #[derive(Serialize)]
    struct Lines<'a> {
        lines: Vec<LineView<'a>>,
        next: u64,
        oldest: u64,
        dropped: u64,
    }
    Ok(HttpResponse::Ok().json(Lines {
        lines: page.lines.iter().map(LineView::from).collect(),
        next: page.next,
        oldest: page.oldest,
        dropped: page.dropped,
    }))
}
