//! The door for blockqueue clients: its topics and subscribers over REST.
//!
//! A subscriber is a queue of a broker topic; what it calls dead letters stay in that queue. Bodies
//! are texts: what is not UTF-8 (another door published it) is shown as base64, with a third key
//! `encoding` that says so. Ids are octoq's, percent-encoded where a path cannot hold them.
//!
//! Each handler parses into the broker's types, asks the broker, renders the answer: no rules here.

mod answer;
mod caller;
pub mod duration;
pub mod gojson;
mod messages;
mod metrics;
pub mod path;
pub mod request;
mod subscribers;
mod time;
mod topics;

use super::body::BodyTimeout;
use super::caller::Gate;
use super::handles::Handles;
use crate::broker::{Broker, BrokerError, Caller, TopicHandle};
use crate::config::BlockqueueConfig;
use crate::queue::TopicName;
use actix_web::{HttpResponse, Scope, http::header, web};
use std::sync::Arc;

/// What the handlers of one worker share.
pub struct Blockqueue {
    broker: Broker,
    gate: Gate,
    config: Arc<BlockqueueConfig>,
    handles: Handles,
}

impl Blockqueue {
    /// For one worker.
    pub fn new(broker: Broker, gate: Gate, config: Arc<BlockqueueConfig>) -> Self {
        Blockqueue { broker, gate, config, handles: Handles::default() }
    }

    /// The topic of that name, for this caller.
    async fn topic(&self, caller: &Caller, name: &TopicName) -> Result<TopicHandle, BrokerError> {
        self.handles.topic(&self.broker, caller, name).await
    }
}

/// All that is found below `path`. Bodies are bounded in length and time by the last two.
pub fn scope(
    path: &str,
    blockqueue: Blockqueue,
    request_bytes_max: usize,
    body_timeout: BodyTimeout,
) -> Scope {
    let metrics = blockqueue.config.metrics;
    let scope = web::scope(path)
        .app_data(web::Data::new(blockqueue))
        .app_data(web::PayloadConfig::new(request_bytes_max))
        .app_data(body_timeout)
        .app_data(path::Depth::of(path))
        .configure(routes)
        .default_service(web::to(not_found));
    if metrics {
        scope.service(resource("/prometheus/metrics", "GET").route(web::get().to(metrics::metrics)))
    } else {
        scope
    }
}

fn routes(config: &mut web::ServiceConfig) {
    // The busiest first: resources are tried in order.
    config
        .service(
            resource("/topics/{topic}/subscribers/{sub}", "DELETE, GET")
                .route(web::get().to(messages::read))
                .route(web::delete().to(subscribers::delete)),
        )
        .service(
            resource("/topics/{topic}/messages", "POST").route(web::post().to(messages::publish)),
        )
        .service(
            resource("/topics/{topic}/subscribers/{sub}/messages/batch", "DELETE")
                .route(web::delete().to(messages::ack_many)),
        )
        .service(
            resource("/topics/{topic}/subscribers/{sub}/messages/{id}", "DELETE")
                .route(web::delete().to(messages::ack)),
        )
        .service(
            resource("/topics/{topic}/messages/batch", "POST")
                .route(web::post().to(messages::publish_many)),
        )
        .service(
            resource("/topics/{topic}/subscribers", "GET, POST")
                .route(web::get().to(subscribers::list))
                .route(web::post().to(subscribers::add)),
        )
        .service(
            resource("/topics/{topic}/subscribers/{sub}/messages", "GET")
                .route(web::get().to(messages::peek)),
        )
        .service(
            resource("/topics/{topic}/subscribers/{sub}/dlq", "GET")
                .route(web::get().to(messages::dead)),
        )
        .service(
            resource("/topics/{topic}/subscribers/{sub}/dlq/{id}/replay", "POST")
                .route(web::post().to(messages::replay)),
        )
        .service(resource("/topics/{topic}", "DELETE").route(web::delete().to(topics::delete)));
    for path in ["/topics", "/topics/"] {
        config.service(
            resource(path, "GET, POST")
                .route(web::get().to(topics::list))
                .route(web::post().to(topics::create)),
        );
    }
}

/// A resource that refuses other methods the way the original's router does.
fn resource(path: &str, methods: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || async move {
        HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, methods)).finish()
    }))
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body("404 page not found\n")
}
