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
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Most lines of one answer.
const LINES_MAX: usize = 1000;
/// Lines of one answer when nothing is said.
const LINES: usize = 100;

/// Every setting.
#[derive(Serialize, ToSchema)]
#[schema(as = ConfigView)]
struct Keys<'a> {
    #[schema(value_type = Vec<SettingView>)]
    keys: &'a [Setting],
}

/// One setting.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct SettingView {
    /// `section.key`
    key: String,
    /// `***` for a secret.
    value: serde_json::Value,
    default: serde_json::Value,
    /// `default`, `file`, `environment` or `flag`.
    origin: String,
    /// The file, the variable or the flag.
    #[schema(nullable = false)]
    from: Option<String>,
}

/// `GET /v1/config`: every setting in force and where it comes from; secrets are masked.
#[utoipa::path(
    get, path = "/v1/config", tag = "broker", operation_id = "config",
    summary = "Every setting, and where it comes from",
    responses((status = 200, description = "The settings in force", body = Keys)),
)]
pub async fn config(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    Query::of(&request)?.done()?;
    who.0.need_inside()?;
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

/// A line of the log.
#[derive(Serialize, ToSchema)]
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

/// A stretch of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogView)]
struct Lines<'a> {
    lines: Vec<LineView<'a>>,
    /// What `after` is to be for what comes next.
    next: u64,
    /// The oldest line that is kept.
    oldest: u64,
    /// Lines that were lost since the start.
    dropped: u64,
}

/// The least level of a line.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum LevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// `GET /v1/log?level=&after=&limit=`: the newest lines that are kept, or with `after` the oldest
/// behind that number.
#[utoipa::path(
    get, path = "/v1/log", tag = "broker", operation_id = "log",
    summary = "The last lines of the log",
    params(
        ("level" = inline(Option<LevelName>), Query, nullable = false, description = "Lines of this level and above; all when left out."),
        ("after" = Option<u64>, Query, nullable = false, description = "The oldest lines behind this number; the newest when left out."),
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most lines, never above 1000; 100 when left out."),
    ),
    responses((status = 200, description = "The lines, oldest first", body = Lines)),
)]
pub async fn log(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let level = match query.text("level")? {
        None => Level::Trace,
        Some(name) => level_of(&name).ok_or_else(|| {
            Problem::invalid("query: `level` must be error, warn, info, debug or trace")
        })?,
    };
    let after = query.value("after")?;
    let limit = query.count("limit", LINES, LINES_MAX)?;
    query.done()?;
    let page = native.broker.read_log(&who.0, ReadLog { level, after, limit }).await?;
    Ok(HttpResponse::Ok().json(Lines {
        lines: page.lines.iter().map(LineView::from).collect(),
        next: page.next,
        oldest: page.oldest,
        dropped: page.dropped,
    }))
}
