//! octoq's own HTTP door under `/v1`, with WebSocket pushes, health and metrics.
//!
//! Each handler parses into the broker's types, asks the broker, renders the answer: no rules here.

mod body;
mod caller;
mod health;
mod messages;
mod metrics;
mod object;
mod problem;
mod topics;
mod view;
mod ws;

pub use problem::Problem;

use super::body::BodyTimeout;
use super::caller::Gate;
use super::handles::Handles;
use crate::broker::{Broker, BrokerError, Caller, TopicHandle};
use crate::config::{HttpConfig, WsConfig};
use crate::queue::TopicName;
use actix_web::{HttpRequest, HttpResponse, Scope, http::header, web};
use std::{sync::Arc, time::Duration};

/// What the handlers of one worker share.
pub struct Native {
    /// The broker.
    pub broker: Broker,
    /// Lets callers in.
    pub gate: Gate,
    /// `[http]`
    pub http: Arc<HttpConfig>,
    /// `[ws]`
    pub ws: Arc<WsConfig>,
    handles: Handles,
}

impl Native {
    /// For one worker.
    pub fn new(broker: Broker, gate: Gate, http: Arc<HttpConfig>, ws: Arc<WsConfig>) -> Self {
        Native { broker, gate, http, ws, handles: Handles::default() }
    }

    /// The topic of that name, for this caller. Asks the registry only for names not met before.
    async fn topic(&self, caller: &Caller, name: &TopicName) -> Result<TopicHandle, BrokerError> {
        self.handles.topic(&self.broker, caller, name).await
    }
}

/// All that is found below `path`.
pub fn scope(path: &str, native: Native) -> Scope {
    let request_bytes_max = native.http.request_bytes_max;
    let body_timeout = BodyTimeout(Duration::from_millis(native.http.body_timeout_ms));
    web::scope(path)
        .app_data(web::Data::new(native))
        .app_data(web::PayloadConfig::new(request_bytes_max))
        .app_data(body_timeout)
        .configure(routes)
}

/// All routes of the door.
fn routes(config: &mut web::ServiceConfig) {
    let v1 = web::scope("/v1")
        // The busiest first: resources are tried in order.
        .service(
            resource("/topics/{topic}/messages", "POST").route(web::post().to(messages::publish)),
        )
        .service(
            resource("/topics/{topic}/receive", "POST").route(web::post().to(messages::receive)),
        )
        .service(resource("/topics/{topic}/ack", "POST").route(web::post().to(messages::ack)))
        .service(resource("/topics/{topic}/nack", "POST").route(web::post().to(messages::nack)))
        .service(resource("/topics/{topic}/extend", "POST").route(web::post().to(messages::extend)))
        .service(resource("/topics/{topic}/ws", "GET").route(web::get().to(ws::subscribe)))
        .service(
            resource("/topics/{topic}/queues/{queue}/messages", "POST")
                .route(web::post().to(messages::publish)),
        )
        .service(
            resource("/topics/{topic}/queues/{queue}/receive", "POST")
                .route(web::post().to(messages::receive)),
        )
        .service(
            resource("/topics/{topic}/queues/{queue}", "PUT, DELETE")
                .route(web::put().to(topics::create_queue))
                .route(web::delete().to(topics::delete_queue)),
        )
        .service(
            resource("/topics/{topic}", "GET, DELETE")
                .route(web::get().to(topics::show))
                .route(web::delete().to(topics::delete)),
        )
        .service(
            resource("/topics", "GET, POST")
                .route(web::get().to(topics::list))
                .route(web::post().to(topics::create)),
        )
        .service(resource("/users/{user}", "PUT").route(web::put().to(topics::put_user)))
        .default_service(web::to(not_found));
    config
        .service(v1)
        .service(resource("/livez", "GET").route(web::get().to(health::live)))
        .service(resource("/readyz", "GET").route(web::get().to(health::ready)))
        .service(resource("/metrics", "GET").route(web::get().to(metrics::metrics)))
        .default_service(web::to(not_found));
}

/// A resource that tells other methods which ones it has.
fn resource(path: &str, methods: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        let detail = format!("{} takes {methods}", request.path());
        let mut response =
            Problem::new(405, "method_not_allowed", "No such method here", detail).response();
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(methods));
        response
    }))
}

async fn not_found(request: HttpRequest) -> HttpResponse {
    let detail = format!("no resource for {} {}", request.method(), request.path());
    Problem::new(404, "not_found", "No such resource", detail).response()
}
