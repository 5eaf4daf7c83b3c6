//! octoq's own HTTP door under `/v1`, with WebSocket pushes, health and metrics.
//!
//! Each handler parses into the broker's types, asks the broker, renders the answer: no rules here.

mod acks;
mod asking;
mod backup;
mod body;
mod caller;
mod connections;
pub mod cursor;
mod dead;
mod definitions;
mod delay;
pub mod events;
mod following;
mod frame;
mod headers;
mod health;
mod history;
mod importing;
mod inside;
mod lane;
mod looking;
mod message_view;
mod metrics;
mod moving;
mod names;
mod object;
mod openapi;
mod otq_socket;
mod problem;
mod publish;
pub mod query;
mod queues;
mod receive;
mod redrive;
mod replies;
mod session;
mod settings;
pub mod sieves;
pub mod socket;
mod stats;
mod tokens;
mod topics;
mod unasked;
mod users;
mod view;
pub mod watch;
mod ws;

pub use object::{Object, json, object};
pub use problem::Problem;
pub use publish::PublishBody;

use super::body::BodyTimeout;
use super::caller::Gate;
use super::handles::Handles;
use super::ui;
use crate::broker::{Broker, BrokerError, Caller, Presence, TopicHandle};
use crate::config::{HttpConfig, UiConfig, WsConfig, origin::Setting};
use crate::queue::TopicName;
use actix_web::{HttpRequest, HttpResponse, Scope, http::header, web};
use lane::Lane;
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::io::DuplexStream;

/// What all workers share beside the broker.
#[derive(Clone)]
pub struct Shared {
    /// `[http]`
    pub http: Arc<HttpConfig>,
    /// `[ws]`
    pub ws: Arc<WsConfig>,
    /// `[ui]`
    pub ui: Arc<UiConfig>,
    /// What is watched.
    pub hub: watch::Hub,
    /// What happened on sockets.
    pub sockets: Arc<socket::Figures>,
    /// Every setting, and where it comes from.
    pub settings: Arc<[Setting]>,
    /// Begins a conversation in otq.
    pub otq: SpeakOtq,
}

/// What the handlers of one worker share.
pub struct Native {
    /// The broker.
    pub broker: Broker,
    /// Lets callers in.
    pub gate: Gate,
    shared: Shared,
    handles: Handles,
    document: openapi::Document,
}

impl Deref for Native {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Native {
    /// For one worker.
    pub fn new(broker: Broker, gate: Gate, shared: Shared) -> Self {
        let (handles, document) = Default::default();
        Native { broker, gate, shared, handles, document }
    }

    /// The topic of that name, for this caller. Asks the registry only for names not met before.
    async fn topic(&self, caller: &Caller, name: &TopicName) -> Result<TopicHandle, BrokerError> {
        self.handles.topic(&self.broker, caller, name).await
    }
}

/// Begins a conversation in otq with a caller on a stream of bytes.
pub type SpeakOtq = Arc<dyn Fn(Caller, DuplexStream, Presence) + Send + Sync>;

/// All that is found below `path`.
pub fn scope(path: &str, native: Native) -> Scope {
    let request_bytes_max = native.http.request_bytes_max;
    let body_timeout = BodyTimeout(Duration::from_millis(native.http.body_timeout_ms));
    let pages = native.ui.enabled;
    web::scope(path)
        .app_data(web::Data::new(native))
        .app_data(web::PayloadConfig::new(request_bytes_max))
        .app_data(body_timeout)
        .configure(|config| routes(config, pages))
}

/// All routes of the door. The busiest first: resources are tried in order. `pages`: those of the
/// dashboard, too.
fn routes(config: &mut web::ServiceConfig, pages: bool) {
    let v1 = web::scope("/v1")
        .configure(queue_routes)
        .service(
            resource("/topics/{topic}", "GET, PATCH, DELETE")
                .route(web::get().to(topics::show))
                .route(web::patch().to(topics::change))
                .route(web::delete().to(topics::delete)),
        )
        .service(resource("/ws", "GET").route(web::get().to(socket::open)))
        .service(resource("/otq", "GET").route(web::get().to(otq_socket::open)))
        .service(resource("/topics/{topic}/events", "GET").route(web::get().to(events::subscribe)))
        .service(
            resource("/replies/{address}/{correlation}", "POST")
                .route(web::post().to(replies::reply)),
        )
        .service(post("/topics/{topic}/pause").route(web::post().to(topics::pause)))
        .service(post("/topics/{topic}/resume").route(web::post().to(topics::resume)))
        .service(resource("/topics/{topic}/stats", "GET").route(web::get().to(stats::topic)))
        .service(
            resource("/topics", "GET, POST")
                .route(web::get().to(topics::list))
                .route(web::post().to(topics::create)),
        )
        .service(
            resource("/users/{user}", "PUT, PATCH, DELETE")
                .route(web::put().to(users::put))
                .route(web::patch().to(users::change))
                .route(web::delete().to(tokens::remove_user)),
        )
        .service(resource("/users", "GET").route(web::get().to(tokens::users)))
        .service(resource("/tokens/{token}", "DELETE").route(web::delete().to(tokens::remove)))
        .service(
            resource("/tokens", "GET, POST")
                .route(web::get().to(tokens::list))
                .route(web::post().to(tokens::make)),
        )
        .service(
            resource("/session", "GET, POST, DELETE")
                .app_data(web::PayloadConfig::new(session::LOGIN_BYTES_MAX))
                .route(web::get().to(session::show))
                .route(web::post().to(session::begin))
                .route(web::delete().to(session::end)),
        )
        .service(post("/backup").route(web::post().to(backup::backup)))
        .service(resource("/config", "GET").route(web::get().to(inside::config)))
        .service(resource("/log", "GET").route(web::get().to(inside::log)))
        .service(resource("/dead", "GET").route(web::get().to(dead::list)))
        .service(resource("/stats", "GET").route(web::get().to(stats::broker)))
        .service(resource("/watch", "GET").route(web::get().to(watch::open)))
        .service(resource("/history", "GET").route(web::get().to(history::history)))
        .service(
            resource("/connections/{id}", "DELETE").route(web::delete().to(connections::close)),
        )
        .service(resource("/connections", "GET").route(web::get().to(connections::list)))
        .service(
            resource("/definitions", "GET, POST")
                .route(web::get().to(definitions::export))
                .route(web::post().to(importing::import)),
        )
        .default_service(web::to(not_found));
    config.configure(busy).service(v1);
    if pages {
        config.configure(ui::routes);
    }
    config
        .service(resource("/livez", "GET").route(web::get().to(health::live)))
        .service(resource("/readyz", "GET").route(web::get().to(health::ready)))
        .service(resource("/metrics", "GET").route(web::get().to(metrics::metrics)))
        .service(resource("/openapi.json", "GET").route(web::get().to(openapi::show)))
        .default_service(web::to(not_found));
}

/// Messages in and out. They stand outside the scope of the others: a scope costs each of its requests
/// a look at a router and a future more.
fn busy(config: &mut web::ServiceConfig) {
    config
        .service(Lane { last: "messages", route: web::post().to(publish::publish) })
        .service(Lane { last: "receive", route: web::post().to(receive::receive) })
        .service(Lane { last: "ack", route: web::post().to(acks::ack) })
        .service(post("/v1/topics/{topic}/messages").route(web::post().to(publish::publish)))
        .service(post("/v1/topics/{topic}/receive").route(web::post().to(receive::receive)))
        .service(post("/v1/topics/{topic}/ack").route(web::post().to(acks::ack)))
        .service(post("/v1/topics/{topic}/nack").route(web::post().to(acks::nack)))
        .service(post("/v1/topics/{topic}/extend").route(web::post().to(acks::extend)))
        .service(resource("/v1/topics/{topic}/ws", "GET").route(web::get().to(ws::subscribe)))
        .service(
            resource("/v1/topics/{topic}/queues/{queue}/messages", "GET, POST")
                .route(web::post().to(publish::publish_into))
                .route(web::get().to(looking::list)),
        )
        .service(
            post("/v1/topics/{topic}/queues/{queue}/receive")
                .route(web::post().to(receive::receive_from)),
        );
}

/// One queue: its settings, and the messages in it.
fn queue_routes(config: &mut web::ServiceConfig) {
    let below = |path: &str| format!("/topics/{{topic}}/queues/{{queue}}{path}");
    config
        .service(resource("/topics/{topic}/queues", "GET").route(web::get().to(queues::list)))
        .service(
            resource(&below(""), "GET, PUT, PATCH, DELETE")
                .route(web::get().to(queues::show))
                .route(web::put().to(queues::put))
                .route(web::patch().to(queues::change))
                .route(web::delete().to(queues::delete)),
        )
        .service(post(&below("/pause")).route(web::post().to(queues::pause)))
        .service(post(&below("/resume")).route(web::post().to(queues::resume)))
        .service(post(&below("/detach")).route(web::post().to(queues::detach)))
        .service(post(&below("/attach")).route(web::post().to(queues::attach)))
        .service(resource(&below("/peek"), "GET").route(web::get().to(looking::peek)))
        .service(
            resource(&below("/messages/{id}"), "GET, DELETE")
                .route(web::get().to(looking::show))
                .route(web::delete().to(moving::delete)),
        )
        .service(post(&below("/messages/{id}/edit")).route(web::post().to(moving::edit)))
        .service(post(&below("/delay")).route(web::post().to(delay::delay)))
        .service(post(&below("/delete")).route(web::post().to(moving::delete_many)))
        .service(post(&below("/purge")).route(web::post().to(moving::purge)))
        .service(post(&below("/move")).route(web::post().to(moving::move_messages)))
        .service(
            resource(&below("/redrive"), "GET, POST, DELETE")
                .route(web::post().to(redrive::redrive))
                .route(web::get().to(redrive::progress))
                .route(web::delete().to(redrive::stop)),
        );
}

/// A resource that takes POST.
fn post(path: &str) -> actix_web::Resource {
    resource(path, "POST")
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
