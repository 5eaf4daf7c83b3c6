//! The HTTP doors: one server with a listener for each, so that all of them share the workers on
//! which the topics live. The address a request came in at tells whose door it is.

use crate::broker::Broker;
use crate::config::Config;
use crate::dialect::blockqueue::{self, Blockqueue};
use crate::dialect::body::BodyTimeout;
use crate::dialect::otq::Otq;
use crate::dialect::{caller::Gate, fastqueue, long_poll::Peer, native, socket};
use crate::queue::Door as Way;
use actix_rt::{Arbiter, ArbiterHandle};
use actix_web::{
    App, HttpServer, Scope,
    dev::{AppService, HttpServiceFactory, ServerHandle},
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

/// Makes a door's resources below a path (`""`: at the root). Called on each worker for each place.
pub type MakeScope = Arc<dyn Fn(&str) -> Scope + Send + Sync>;

/// A door that speaks HTTP.
pub struct HttpDoor {
    /// Its name, under which its connections are counted.
    pub name: &'static str,
    /// Where it listens; `None`: at no port of its own.
    pub listener: Option<TcpListener>,
    /// The path of the native port below which it is found as well; `""`: it is not.
    pub mount: String,
    /// Its resources. They answer everything below their path, what is not there included.
    pub scope: MakeScope,
}

/// octoq's own door.
pub fn native(listener: Option<TcpListener>, broker: &Broker, config: &Config) -> HttpDoor {
    let broker = broker.through(Way::Http);
    let gate = Gate::new(&broker, config).with_cookies();
    let otq = Otq::new(broker.through(Way::Otq), config.otq.clone());
    let otq: native::SpeakOtq = Arc::new(move |caller, stream, presence| {
        let otq = otq.clone();
        drop(actix_rt::spawn(async move {
            if let Err(error) = otq.speak(stream, caller, presence).await {
                log::debug!("otq over WebSocket: {error}");
            }
        }));
    });
    let shared = native::Shared {
        http: Arc::new(config.http.clone()),
        ws: Arc::new(config.ws.clone()),
        ui: Arc::new(config.ui.clone()),
        hub: native::watch::Hub::start(&broker, config.ui.tick_bytes_max),
        sockets: Arc::default(),
        settings: config.settings().into(),
        otq,
    };
    let scope = move |path: &str| {
        let native = native::Native::new(broker.clone(), gate.clone(), shared.clone());
        native::scope(path, native)
    };
    HttpDoor { name: "http", listener, mount: String::new(), scope: Arc::new(scope) }
}

/// The door for fastqueue's clients.
pub fn fastqueue(listener: Option<TcpListener>, broker: &Broker, config: &Config) -> HttpDoor {
    let (broker, gate) = (broker.through(Way::Fastqueue), Gate::new(broker, config));
    let settings = Arc::new(config.fastqueue.clone());
    let request_bytes_max = config.http.request_bytes_max;
    let body_timeout = BodyTimeout(Duration::from_millis(config.http.body_timeout_ms));
    let meters: Arc<fastqueue::Meters> = Arc::default();
    let scope = move |path: &str| {
        let (broker, gate) = (broker.clone(), gate.clone());
        let (settings, meters) = (settings.clone(), meters.clone());
        let door = fastqueue::Fastqueue::new(broker, gate, settings, meters);
        fastqueue::scope(path, door, request_bytes_max, body_timeout)
    };
    let mount = config.fastqueue.mount.clone();
    HttpDoor { name: "fastqueue", listener, mount, scope: Arc::new(scope) }
}

/// The door for blockqueue clients.
pub fn blockqueue(listener: Option<TcpListener>, broker: &Broker, config: &Config) -> HttpDoor {
    let (broker, gate) = (broker.through(Way::Blockqueue), Gate::new(broker, config));
    let settings = Arc::new(config.blockqueue.clone());
    let request_bytes_max = config.http.request_bytes_max;
    let body_timeout = BodyTimeout(Duration::from_millis(config.http.body_timeout_ms));
    let scope = move |path: &str| {
        let door = Blockqueue::new(broker.clone(), gate.clone(), settings.clone());
        blockqueue::scope(path, door, request_bytes_max, body_timeout)
    };
    let (name, mount) = ("blockqueue", config.blockqueue.mount.clone());
    HttpDoor { name, listener, mount, scope: Arc::new(scope) }
}

/// What is found at one listener: paths and what lies below them, the root last.
#[derive(Clone)]
struct Place {
    door: &'static str,
    address: SocketAddr,
    scopes: Vec<(String, MakeScope)>,
}

/// The place that a connection to `local` belongs to: the listener of exactly this address, else
/// the one that listens at this port on every address.
fn place_of(places: &[Place], local: SocketAddr) -> Option<&Place> {
    let exact = places.iter().find(|place| place.address == local);
    exact.or_else(|| {
        let everywhere = |place: &&Place| {
            place.address.ip().is_unspecified() && place.address.port() == local.port()
        };
        places.iter().find(everywhere)
    })
}

/// All doors as one app, which knows at which listener it stands only when it is registered.
struct Doors(Arc<[Place]>);

impl HttpServiceFactory for Doors {
    fn register(self, app: &mut AppService) {
        let Some(place) = place_of(&self.0, app.config().local_addr()) else { return };
        for (path, make) in &place.scopes {
            make(path).register(app);
        }
    }
}

fn places(doors: &mut [HttpDoor]) -> io::Result<(Arc<[Place]>, Vec<TcpListener>)> {
    let mounted: Vec<(String, MakeScope)> = doors
        .iter()
        .filter(|door| !door.mount.is_empty())
        .map(|door| (door.mount.clone(), door.scope.clone()))
        .collect();
    let (mut places, mut listeners) = (Vec::new(), Vec::new());
    for door in doors {
        let Some(listener) = door.listener.take() else { continue };
        let mut scopes = if door.name == "http" { mounted.clone() } else { Vec::new() };
        scopes.push((String::new(), door.scope.clone()));
        places.push(Place { door: door.name, address: listener.local_addr()?, scopes });
        listeners.push(listener);
    }
    Ok((places.into(), listeners))
}

/// Starts the workers of all HTTP doors; `None` when no door listens. Topics and other sessions
/// live on their arbiters as well, so that a request and its topic meet on one thread.
pub async fn serve(
    mut doors: Vec<HttpDoor>,
    broker: &Broker,
    config: &Config,
) -> io::Result<Option<(ServerHandle, Vec<ArbiterHandle>)>> {
    let (places, listeners) = places(&mut doors)?;
    if listeners.is_empty() {
        return Ok(None);
    }
    let workers = config.workers();
    // Each worker makes an app for each listener.
    let (here, mut started) = tokio::sync::mpsc::channel(workers * listeners.len());
    let user_timeout = Duration::from_millis(config.server.tcp_user_timeout_ms);
    let (counting, counted) = (broker.clone(), places.clone());
    let mut server = HttpServer::new(move || {
        // Start-up has long ended when a worker is replaced and nobody listens any more.
        let _ = here.try_send((std::thread::current().id(), Arbiter::current()));
        App::new().service(Doors(places.clone()))
    })
    .workers(workers)
    .disable_signals()
    .max_connections(config.http.connections_max)
    .client_request_timeout(Duration::from_millis(config.http.request_timeout_ms))
    .keep_alive(Duration::from_secs(config.http.keep_alive_s))
    .shutdown_timeout(config.server.stop_timeout_ms.div_ceil(1000))
    .on_connect(move |stream, connection| {
        let Some(stream) = stream.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
        let place = stream.local_addr().ok().and_then(|local| place_of(&counted, local));
        // Dropped with the connection.
        connection.insert(counting.connection(place.map_or("http", |place| place.door)));
        match Peer::of(stream) {
            Ok(peer) => drop(connection.insert(peer)),
            Err(error) => log::debug!("a client that leaves will not be noticed: {error}"),
        }
        socket::tune(stream, user_timeout);
    });
    for listener in listeners {
        server = server.listen(listener)?;
    }
    let server = server.run();
    let handle = server.handle();
    actix::spawn(async move {
        if let Err(error) = server.await {
            log::error!("http: the server ended: {error}");
        }
    });
    let mut arbiters = Vec::with_capacity(workers);
    while arbiters.len() < workers {
        match started.recv().await {
            Some((thread, _)) if arbiters.iter().any(|(known, _)| *known == thread) => (),
            Some(arbiter) => arbiters.push(arbiter),
            None => return Err(io::Error::other("the HTTP workers did not start")),
        }
    }
    Ok(Some((handle, arbiters.into_iter().map(|(_, arbiter)| arbiter).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_belongs_to_the_door_of_its_address() {
        let place = |door, address: &str| Place {
            door,
            address: address.parse().unwrap(),
            scopes: Vec::new(),
        };
        let places = [
            place("http", "0.0.0.0:6790"),
            place("fastqueue", "127.0.0.2:6790"),
            place("blockqueue", "[::]:8080"),
        ];
        let table = [
            ("127.0.0.1:6790", Some("http")),
            ("127.0.0.2:6790", Some("fastqueue")),
            ("[::1]:8080", Some("blockqueue")),
            ("127.0.0.1:8080", Some("blockqueue")),
            ("127.0.0.1:1", None),
        ];
        for (local, door) in table {
            let found = place_of(&places, local.parse().unwrap());
            assert_eq!(found.map(|place| place.door), door, "{local}");
        }
    }
}
