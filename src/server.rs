//! Starts the parts in order, and stops them in order.
//!
//! Start: bind every door, open the store, rebuild the topics, serve. Stop: doors take no more,
//! topics end who waits and flush, sessions finish, the store closes.

use crate::auth::Accounts;
use crate::broker::{
    Broker, DefaultLevels, NewTopic, doorkeeper::Doorkeeper, handle::Parts, registry::Registry,
};
use crate::broker::{BrokerError, clock};
use crate::config::{self, Config, ConfigError};
use crate::dialect::{native, otq, socket};
use crate::engine::EngineError;
use crate::engine::local::{LocalFactory, MemoryBudget};
use crate::journal::{Catalog, Journal, JournalError, Submission};
use crate::queue::{Kind, Level, QueueName, QueuePolicy, Record, TopicName};
use actix::{Actor, Addr};
use actix_rt::{Arbiter, ArbiterHandle};
use actix_web::{App, HttpServer, dev::ServerHandle, web};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    time::Duration,
};

/// Why the broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A port is taken or an address is not this machine's.
    #[error("{door}: cannot listen on {address}: {error}")]
    Listen {
        /// Which door.
        door: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] JournalError),
    /// The topics cannot be rebuilt.
    #[error("topics: {0}")]
    Topics(#[from] EngineError),
    /// The topics every start has cannot be made.
    #[error("first topics: {0}")]
    FirstTopics(#[from] BrokerError),
    /// octoque's well-known password must not be reachable from other machines.
    #[error(
        "{door} would listen on {address} while user `admin` still has the stock password. Change it \
         (`octoq user passwd admin`), or set auth.allow_stock_password = true if that is wanted"
    )]
    StockPassword {
        /// Which door.
        door: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// A thread cannot be started.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// A running broker.
pub struct Server {
    /// What its doors speak to.
    pub broker: Broker,
    doors: Vec<(&'static str, SocketAddr)>,
    http: Option<ServerHandle>,
    otq: Option<Addr<otq::Door>>,
    /// Workers started here; those of the HTTP server stop with it.
    arbiters: Vec<Arbiter>,
    journal: Journal,
    stop_timeout: Duration,
}

fn bind(
    door: &'static str,
    key: &'static str,
    listen: &str,
) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config::address(key, listen)? else { return Ok(None) };
    let listener = || {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    listener().map(Some).map_err(|error| StartError::Listen { door, address, error })
}

fn settings<'a>(catalog: &'a Catalog, table: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    catalog
        .settings
        .iter()
        .filter(move |(of, _, _)| of == table)
        .map(|(_, key, value)| (key.as_str(), value.as_str()))
}

/// Numbers given to topics and queues so far.
fn numbers(catalog: &Catalog) -> (u32, u32) {
    let counter = |name: &str| {
        let found = settings(catalog, "counter").find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0u32)
    };
    let topic = catalog.topics.iter().map(|topic| topic.number).max().unwrap_or(0);
    let queue = catalog.queues.iter().map(|queue| queue.number).max().unwrap_or(0);
    (topic.max(counter("topic")), queue.max(counter("queue")))
}

impl Server {
    /// Starts everything. Must be called inside an actix system.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        let http_listener = bind("http", "http.listen", &config.http.listen)?;
        let otq_listener = bind("otq", "otq.listen", &config.otq.listen)?;
        let mut doors = Vec::new();
        for (door, listener) in [("http", &http_listener), ("otq", &otq_listener)] {
            if let Some(listener) = listener {
                doors.push((door, listener.local_addr()?));
            }
        }

        let (journal, catalog) = Journal::open(config.journal())?;
        for warning in &catalog.warnings {
            log::warn!("store: {warning}");
        }
        let accounts = load_accounts(&journal, &catalog)?;
        if let Err(refusal) = check_stock_password(&accounts, &doors, &config) {
            journal.close()?;
            return Err(refusal);
        }
        let memory = Arc::new(MemoryBudget::new(config.memory_bytes()));
        let factory = Arc::new(LocalFactory::new(journal.clone(), memory.clone(), clock::now));
        let loaded = factory.open_all(&catalog)?;
        let first_start = loaded.is_empty() && numbers(&catalog).0 == 0;

        let limits = Arc::new(config.limits());
        let registry = Registry::new(factory, numbers(&catalog), limits.clone()).start();
        let (doorkeeper, accounts) =
            Doorkeeper::start_with(accounts, journal.clone(), &config.auth);
        let levels = DefaultLevels {
            broker: config.store.durability,
            pubsub: config.store.pubsub_durability,
        };
        let parts = Parts {
            registry,
            doorkeeper,
            accounts,
            limits,
            levels,
            journal: journal.clone(),
            memory,
        };
        let broker = Broker::new(parts);

        let mut server = Server {
            broker: broker.clone(),
            doors,
            http: None,
            otq: None,
            arbiters: Vec::new(),
            journal,
            stop_timeout: Duration::from_millis(config.server.stop_timeout_ms),
        };
        let workers = match http_listener {
            Some(listener) => server.serve_http(listener, &config).await?,
            None => {
                server.arbiters = (0..config.workers()).map(|_| Arbiter::new()).collect();
                server.arbiters.iter().map(Arbiter::handle).collect()
            }
        };
        broker.begin(loaded, workers.clone()).await?;
        if first_start {
            server.first_topics().await?;
        }
        if let Some(listener) = otq_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let user_timeout = Duration::from_millis(config.server.tcp_user_timeout_ms);
            let door =
                otq::Door::new(listener, broker.clone(), config.otq.clone(), workers, user_timeout);
            server.otq = Some(door.start());
        }
        Ok(server)
    }

    /// Starts the HTTP workers; topics and other sessions live on their arbiters as well, so that
    /// a request and its topic meet on one thread.
    async fn serve_http(
        &mut self,
        listener: TcpListener,
        config: &Config,
    ) -> Result<Vec<ArbiterHandle>, StartError> {
        let workers = config.workers();
        let (here, mut started) = tokio::sync::mpsc::channel(workers);
        let (broker, anonymous) = (self.broker.clone(), config.auth.anonymous);
        let (http, ws) = (Arc::new(config.http.clone()), Arc::new(config.ws.clone()));
        let user_timeout = Duration::from_millis(config.server.tcp_user_timeout_ms);
        let request_bytes_max = config.http.request_bytes_max;
        let counting = broker.clone();
        let server = HttpServer::new(move || {
            // Start-up has long ended when a worker is replaced and nobody listens any more.
            let _ = here.try_send(Arbiter::current());
            let native = native::Native::new(broker.clone(), http.clone(), ws.clone(), anonymous);
            App::new()
                .app_data(web::Data::new(native))
                .app_data(web::PayloadConfig::new(request_bytes_max))
                .configure(native::routes)
        })
        .workers(workers)
        .disable_signals()
        .max_connections(config.http.connections_max)
        .client_request_timeout(Duration::from_millis(config.http.request_timeout_ms))
        .keep_alive(Duration::from_secs(config.http.keep_alive_s))
        .shutdown_timeout(config.server.stop_timeout_ms.div_ceil(1000))
        .on_connect(move |stream, connection| {
            // Dropped with the connection.
            connection.insert(counting.connection("http"));
            if let Some(stream) = stream.downcast_ref::<actix_web::rt::net::TcpStream>() {
                socket::tune(stream, user_timeout);
            }
        })
        .listen(listener)?
        .run();
        self.http = Some(server.handle());
        actix::spawn(async move {
            if let Err(error) = server.await {
                log::error!("http: the server ended: {error}");
            }
        });
        let mut arbiters = Vec::with_capacity(workers);
        while arbiters.len() < workers {
            match started.recv().await {
                Some(arbiter) => arbiters.push(arbiter),
                None => return Err(io::Error::other("the HTTP workers did not start").into()),
            }
        }
        Ok(arbiters)
    }

    /// The two topics octoque has from the start.
    async fn first_topics(&self) -> Result<(), StartError> {
        let caller = self.broker.anonymous();
        let topics = [
            ("default", Kind::Broker, vec![(QueueName::default_queue(), QueuePolicy::default())]),
            ("pubsub", Kind::Pubsub, Vec::new()),
        ];
        for (name, kind, queues) in topics {
            let Ok(name) = TopicName::parse(name) else { continue };
            let policy = self.broker.default_policy(kind);
            let new = NewTopic { name, kind, policy, queues, owner: None };
            self.broker.create_topic(&caller, new).await?;
        }
        Ok(())
    }

    /// Each open door with its address.
    pub fn doors(&self) -> &[(&'static str, SocketAddr)] {
        &self.doors
    }

    /// Stops in order. What is in flight has `server.stop_timeout_ms` to finish.
    pub async fn stop(self) -> Result<(), JournalError> {
        log::info!("stopping");
        let timeout = self.stop_timeout;
        if let Some(door) = &self.otq {
            // A door that is gone has no more sessions to end.
            let _ = tokio::time::timeout(timeout, door.send(otq::CloseDoor)).await;
        }
        if tokio::time::timeout(timeout, self.broker.stop()).await.is_err() {
            log::warn!("not every topic stopped within {timeout:?}");
        }
        if let Some(http) = &self.http {
            http.stop(true).await;
        }
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        let journal = self.journal.clone();
        let closed = tokio::task::spawn_blocking(move || journal.close()).await;
        closed.unwrap_or(Err(JournalError::Closed))
    }
}

pub(crate) fn load_accounts(journal: &Journal, catalog: &Catalog) -> Result<Accounts, StartError> {
    let stored = Accounts::from_stored(settings(catalog, "user"), settings(catalog, "role"));
    let accounts = stored
        .map_err(|error| JournalError::Damaged { file: "users".into(), what: error.to_string() })?;
    if !accounts.is_empty() {
        return Ok(accounts);
    }
    let accounts = Accounts::stock();
    let records = accounts.stored().map(|(table, key, value)| Record::Setting {
        table,
        key,
        value: Some(value),
    });
    let (done, told) = mpsc::channel();
    let submission = Submission {
        records: records.collect(),
        level: Level::Sync,
        done: Some(Box::new(move |result| drop(done.send(result)))),
    };
    journal.submit(submission).map_err(|(error, _)| error)?;
    told.recv().unwrap_or(Err(JournalError::Closed))?;
    Ok(accounts)
}

fn check_stock_password(
    accounts: &Accounts,
    doors: &[(&'static str, SocketAddr)],
    config: &Config,
) -> Result<(), StartError> {
    if !accounts.stock_password_in_use() {
        return Ok(());
    }
    log::warn!(
        "user `admin` has the stock password `password`, which everybody knows: change it with \
         `octoq user passwd admin`"
    );
    let exposed = doors.iter().find(|(_, address)| !address.ip().is_loopback());
    match exposed {
        Some(&(door, address)) if !config.auth.allow_stock_password => {
            Err(StartError::StockPassword { door, address })
        }
        Some(_) => {
            log::warn!("... and auth.allow_stock_password lets it be used from other machines");
            Ok(())
        }
        None => Ok(()),
    }
}
