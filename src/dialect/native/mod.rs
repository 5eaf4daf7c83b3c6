//! octoq's own HTTP door under `/v1`, with WebSocket pushes, health and metrics.
//!
//! Each handler parses into the broker's types, asks the broker, renders the answer: no rules here.

mod body;
mod caller;
mod health;
mod messages;
mod metrics;
mod problem;
mod topics;
mod view;
mod ws;

pub use problem::Problem;

use crate::broker::{Broker, BrokerError, Caller, TopicHandle};
use crate::config::{Anonymous, HttpConfig, WsConfig};
use crate::queue::TopicName;
use actix_web::{HttpRequest, HttpResponse, http::header, web};
use rustc_hash::FxHashMap;
use std::{cell::RefCell, sync::Arc};

/// Topics one worker remembers the address of.
const HANDLES_MAX: usize = 10_000;

/// What the handlers of one worker share.
pub struct Native {
    /// The broker.
    pub broker: Broker,
    /// `[http]`
    pub http: Arc<HttpConfig>,
    /// `[ws]`
    pub ws: Arc<WsConfig>,
    /// `auth.anonymous`
    pub anonymous: Anonymous,
    handles: RefCell<FxHashMap<TopicName, TopicHandle>>,
}

impl Native {
    /// For one worker.
    pub fn new(
        broker: Broker,
        http: Arc<HttpConfig>,
        ws: Arc<WsConfig>,
        anonymous: Anonymous,
    ) -> Self {
        Native { broker, http, ws, anonymous, handles: RefCell::new(FxHashMap::default()) }
    }

    /// The topic of that name, for this caller. Asks the registry only for names not met before.
    async fn topic(&self, caller: &Caller, name: &TopicName) -> Result<TopicHandle, BrokerError> {
        let known = self.handles.borrow().get(name).filter(|handle| handle.is_current()).cloned();
        if let Some(handle) = known {
            return Ok(handle.for_caller(caller));
        }
        let handle = self.broker.topic(caller, name).await?;
        let mut handles = self.handles.borrow_mut();
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        handles.insert(name.clone(), handle.clone());
        Ok(handle)
    }
}

/// All routes of the door.
pub fn routes(config: &mut web::ServiceConfig) {
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
