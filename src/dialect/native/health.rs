//! Is the process alive, and may it be sent work?

use super::Native;
use super::problem::Problem;
use actix_web::{HttpResponse, web};

/// `GET /livez`: the process answers.
#[utoipa::path(
    get, path = "/livez", tag = "broker", operation_id = "live",
    summary = "The process answers",
    responses((status = 200, description = "It lives", body = String, content_type = "text/plain")),
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// `GET /readyz`: it takes work. 503 while it stops; 507 while the disk is full, since publishes
/// are refused then (receives and acks go on).
#[utoipa::path(
    get, path = "/readyz", tag = "broker", operation_id = "ready",
    summary = "The broker takes work",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")),
)]
pub async fn ready(native: web::Data<Native>) -> HttpResponse {
    let state = native.broker.state();
    if !native.broker.is_started() {
        return Problem::new(
            503,
            "starting",
            "The broker is starting",
            "the topics are being loaded",
        )
        .response();
    }
    if state.stopping {
        return Problem::new(503, "stopping", "The broker is stopping", "no new work is taken")
            .response();
    }
    if state.disk_full {
        let detail = "publishes are refused, receives and acks go on";
        return Problem::new(507, "disk_full", "The disk is full", detail).response();
    }
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}
