//! What happened of late, as series of numbers.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::query::Query;
use super::stats::rounded;
use crate::broker::Point;
use crate::broker::observer::{History, Span};
use crate::queue::TopicName;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

/// How far back.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
enum SpanName {
    #[serde(rename = "10m")]
    TenMinutes,
    #[serde(rename = "24h")]
    Day,
}

/// One figure, oldest first.
type Series = Vec<Option<f64>>;

/// What happened of late.
#[derive(Serialize, ToSchema)]
struct HistoryView {
    step_ms: u64,
    end_ms: i64,
    series: SeriesView,
}

/// Oldest first; null: the broker did not look.
#[derive(Serialize, ToSchema)]
struct SeriesView {
    ready: Series,
    in_flight: Series,
    delayed: Series,
    dead: Series,
    published: Series,
    delivered: Series,
    acked: Series,
    redelivered: Series,
    dropped: Series,
}

impl From<History> for HistoryView {
    fn from(history: History) -> Self {
        let of = |of: fn(&Point) -> f32| -> Series {
            let points = history.points.iter();
            points.map(|point| point.as_ref().map(|point| rounded(f64::from(of(point))))).collect()
        };
        HistoryView {
            step_ms: history.step_ms,
            end_ms: history.end.0,
            series: SeriesView {
                ready: of(|point| point.ready),
                in_flight: of(|point| point.in_flight),
                delayed: of(|point| point.delayed),
                dead: of(|point| point.dead),
                published: of(|point| point.published),
                delivered: of(|point| point.delivered),
                acked: of(|point| point.acked),
                redelivered: of(|point| point.redelivered),
                dropped: of(|point| point.dropped),
            },
        }
    }
}

/// `GET /v1/history?span=10m|24h&topic=`: of the broker or of one topic. Counts are those at the end of
/// each step, the others per second in it; null: the broker did not look.
#[utoipa::path(
    get, path = "/v1/history", tag = "broker", operation_id = "history",
    summary = "What happened, step by step",
    params(
        ("span" = inline(Option<SpanName>), Query, nullable = false, description = "`10m` when left out."),
        ("topic" = Option<String>, Query, nullable = false, min_length = 1, max_length = 255, description = "Of this topic; of the broker when left out."),
    ),
    responses((status = 200, description = "Counts at the end of each step, and rates in it", body = HistoryView)),
)]
pub async fn history(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let span = match query.text("span")?.as_deref() {
        None | Some("10m") => Span::TenMinutes,
        Some("24h") => Span::Day,
        Some(other) => {
            let detail = format!("query: `span` is `10m` or `24h`, not `{other}`");
            return Err(Problem::invalid(detail));
        }
    };
    let topic = query.text("topic")?;
    query.done()?;
    let named = |name: String| TopicName::parse(name.as_bytes());
    let topic = topic
        .map(named)
        .transpose()
        .map_err(|error| Problem::invalid(format!("topic: {error}")))?;
    let history = native.broker.history(&who.0, topic.as_ref(), span).await?;
    Ok(HttpResponse::Ok().json(HistoryView::from(history)))
}
