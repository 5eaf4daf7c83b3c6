//! Starts the parts in order, and stops them in order.
//!
//! Start: bind every door, open the store, rebuild the topics, serve. Stop: doors take no more,
//! topics end who waits and flush, sessions finish, the store closes.

mod http;

use crate::auth::Accounts;
use crate::broker::{
    Broker, DefaultLevels, NewTopic, doorkeeper::Doorkeeper, handle::Parts, registry::Registry,
};
use crate::broker::{BrokerError, LogFeed, clock};
use crate::config::{self, Config, ConfigError};
use crate::dialect::door::{BACKLOG, CloseDoor, Door};
use crate::dialect::dsmq::Dsmq;
use crate::dialect::okq::Okq;
use crate::dialect::otq::Otq;
use crate::engine::EngineError;
use crate::engine::local::{LocalFactory, MemoryBudget};
use crate::journal::{Catalog, Journal, JournalError, Submission};
use crate::queue::{Door as Way, Kind, Level, QueueName, QueuePolicy, Record, TopicName};
use actix::{Actor, Addr};
use actix_rt::Arbiter;
use actix_web::dev::ServerHandle;
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
    otq: Option<Addr<Door<Otq>>>,
    okq: Option<Addr<Door<Okq>>>,
    dsmq: Option<Addr<Door<Dsmq>>>,
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
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(TcpListener::from(socket))
    };
    listener().map(Some).map_err(|error| StartError::Listen { door, address, error })
}

/// Like [`bind`], but the busy port of a door that nobody asked for only costs that door.
fn bind_compatibility(
    door: &'static str,
    key: &'static str,
    listen: &str,
    config: &Config,
) -> Result<Option<TcpListener>, StartError> {
    match bind(door, key, listen) {
        Err(StartError::Listen { door, address, error }) if !config.chosen_doors.contains(&key) => {
            log::warn!(
                "{door}: skipped, cannot listen on {address}: {error} (set {key} to move it)"
            );
            Ok(None)
        }
        bound => bound,
    }
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
        Server::start_with(config, None).await
    }

    /// The same; the broker keeps the lines of the log that come from `log`.
    pub async fn start_with(config: Config, log: Option<LogFeed>) -> Result<Server, StartError> {
        let http_listener = bind("http", "http.listen", &config.http.listen)?;
        let otq_listener = bind("otq", "otq.listen", &config.otq.listen)?;
        let okq_listener = bind_compatibility("okq", "okq.listen", &config.okq.listen, &config)?;
        let dsmq_listener =
            bind_compatibility("dsmq", "dsmq.listen", &config.dsmq.listen, &config)?;
        let fastqueue_listener =
            bind_compatibility("fastqueue", "fastqueue.listen", &config.fastqueue.listen, &config)?;
        let blockqueue_listener = bind_compatibility(
            "blockqueue",
            "blockqueue.listen",
            &config.blockqueue.listen,
            &config,
        )?;
        let mut doors = Vec::new();
        let listeners = [
            ("http", &http_listener),
            ("otq", &otq_listener),
            ("okq", &okq_listener),
            ("dsmq", &dsmq_listener),
            ("fastqueue", &fastqueue_listener),
            ("blockqueue", &blockqueue_listener),
        ];
        for (door, listener) in listeners {
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
        let registry = Registry::new(factory, numbers(&catalog), limits.clone());
        let directory = registry.version();
        let registry = registry.start();
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
            sessions: config.ui.sessions(),
            levels,
            journal: journal.clone(),
            memory,
            directory,
            observing: config.observing(),
        };
        let broker = Broker::new(parts);
        if let Some(log) = log {
            broker.keep_log(log);
        }

        let mut server = Server {
            broker: broker.clone(),
            doors,
            http: None,
            otq: None,
            okq: None,
            dsmq: None,
            arbiters: Vec::new(),
            journal,
            stop_timeout: Duration::from_millis(config.server.stop_timeout_ms),
        };
        let http_doors = vec![
            http::native(http_listener, &broker, &config),
            http::fastqueue(fastqueue_listener, &broker, &config),
            http::blockqueue(blockqueue_listener, &broker, &config),
        ];
        let workers = match http::serve(http_doors, &broker, &config).await? {
            Some((handle, workers)) => {
                server.http = Some(handle);
                workers
            }
            None => {
                server.arbiters = (0..config.workers()).map(|_| Arbiter::new()).collect();
                server.arbiters.iter().map(Arbiter::handle).collect()
            }
        };
        broker.begin(loaded, workers.clone()).await?;
        if first_start {
            server.first_topics().await?;
        }
        let user_timeout = Duration::from_millis(config.server.tcp_user_timeout_ms);
        if let Some(listener) = otq_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let protocol = Otq::new(broker.through(Way::Otq), config.otq.clone());
            let door = Door::new(listener, protocol, workers.clone(), user_timeout);
            server.otq = Some(door.start());
        }
        if let Some(listener) = okq_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let protocol =
                Okq::new(broker.through(Way::Okq), config.okq.clone(), config.auth.anonymous);
            let door = Door::new(listener, protocol, workers.clone(), user_timeout);
            server.okq = Some(door.start());
        }
        if let Some(listener) = dsmq_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let protocol =
                Dsmq::new(broker.through(Way::Dsmq), config.dsmq.clone(), config.auth.anonymous);
            let door = Door::new(listener, protocol, workers, user_timeout);
            server.dsmq = Some(door.start());
        }
        Ok(server)
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
        // A door that is gone has no more sessions to end.
        let otq = async {
            if let Some(door) = &self.otq {
                let _ = tokio::time::timeout(timeout, door.send(CloseDoor)).await;
            }
        };
        let okq = async {
            if let Some(door) = &self.okq {
                let _ = tokio::time::timeout(timeout, door.send(CloseDoor)).await;
            }
        };
        let dsmq = async {
            if let Some(door) = &self.dsmq {
                let _ = tokio::time::timeout(timeout, door.send(CloseDoor)).await;
            }
        };
        futures_util::future::join3(otq, okq, dsmq).await;
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
    let [users, roles, tokens] = ["user", "role", "token"].map(|table| settings(catalog, table));
    let stored = Accounts::from_stored(users, roles, tokens);
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
