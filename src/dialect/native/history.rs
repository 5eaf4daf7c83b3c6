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

/// One figure, oldest first.
type Series = Vec<Option<f64>>;

#[derive(Serialize)]
struct HistoryView {
    step_ms: u64,
    end_ms: i64,
    series: SeriesView,
}

#[derive(Serialize)]
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
