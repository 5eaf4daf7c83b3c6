//! Who is connected, and ending a connection.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::query::Query;
use super::watch::connection_view;
use crate::broker::connections::ConnectionsQuery;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Connections of a page when nobody says, and at most.
const LIMITS: (usize, usize) = (100, 1000);

/// A session of any door.
#[derive(ToSchema)]
#[schema(as = ConnectionView)]
#[allow(dead_code, reason = "only its schema is used")]
struct Row {
    id: String,
    door: String,
    /// Where the client comes from.
    peer: Option<String>,
    /// Who it is; null: nobody, or not yet.
    user: Option<String>,
    since_ms: i64,
    subscriptions: u64,
    in_flight: u64,
    /// Bytes that wait to be written to it.
    buffer_bytes: u64,
    buffer_max_bytes: u64,
    received_per_s: f64,
    sent_per_s: f64,
    /// It cannot follow.
    slow: bool,
}

/// A page of connections.
#[derive(Serialize, ToSchema)]
#[schema(as = ConnectionsView)]
struct Listed {
    #[schema(value_type = Vec<Row>)]
    connections: Vec<Value>,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// `GET /v1/connections?door=&user=&limit=&after=`: sessions of all doors, the oldest first.
#[utoipa::path(
    get, path = "/v1/connections", tag = "broker", operation_id = "list_connections",
    summary = "Who is connected",
    params(
        ("door" = Option<String>, Query, nullable = false, description = "Only of this door."),
        ("user" = Option<String>, Query, nullable = false, description = "Only of this user."),
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most connections, never above 1000; 100 when left out."),
        ("after" = Option<u64>, Query, nullable = false, description = "`next` of the page before."),
    ),
    responses((status = 200, description = "A page", body = Listed)),
)]
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let limit = query.count("limit", LIMITS.0, LIMITS.1)?;
    let wanted = ConnectionsQuery {
        door: query.text("door")?,
        user: query.text("user")?,
        after: query.value("after")?.unwrap_or(0),
        limit,
        ..ConnectionsQuery::default()
    };
    query.done()?;
    let page = native.broker.connections(&who.0, wanted).await?;
    let more = page.matching > page.rows.len();
    let next = page.rows.last().filter(|_| more).map(|row| row.id.to_string());
    let connections = page.rows.iter().map(|row| {
        let mut view = connection_view(row);
        view["id"] = row.id.to_string().into();
        view
    });
    Ok(HttpResponse::Ok().json(Listed { connections: connections.collect(), next }))
}

/// `DELETE /v1/connections/{id}`: 204; the session ends as its protocol ends one.
#[utoipa::path(
    delete, path = "/v1/connections/{id}", tag = "broker", operation_id = "close_connection",
    summary = "Close a connection",
    params(("id" = String, Path, description = "As the list tells it.")),
    responses((status = 204, description = "It ends")),
)]
pub async fn close(path: web::Path<String>, who: Who, native: web::Data<Native>) -> Answer {
    let id = path.into_inner();
    let number = id.parse().map_err(|_| not_found(&id));
    // Whoever may not is told so, whatever is there.
    let closed = native.broker.close_connection(&who.0, *number.as_ref().unwrap_or(&0)).await?;
    match number {
        Ok(_) if closed => Ok(HttpResponse::NoContent().finish()),
        Ok(_) => Err(not_found(&id)),
        Err(problem) => Err(problem),
    }
}

fn not_found(id: &str) -> Problem {
    let detail = format!("there is no connection `{id}`");
    Problem::new(404, "connection_not_found", "No such connection", detail)
}
