//! Who may come in: checks passwords off the arbiters, a bounded number at a time, and keeps the
//! accounts in the store.

mod changes;

pub use changes::Change;

use super::BrokerError;
use crate::auth::{Account, AccountError, Accounts, HashError, Verified};
use crate::auth::{hash_password, is_hash, verify_password};
use crate::config::AuthConfig;
use crate::journal::{Journal, JournalError, Submission};
use crate::queue::{Level, Record, Refusal};
use actix::{
    Actor, ActorFutureExt, Addr, Context, Handler, Message, ResponseActFuture, WrapFuture,
    fut::ready,
};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot, watch};

/// Logins waiting for a check above which a new one is told to come again.
const WAITING_MAX: usize = 1024;

/// The actor that keeps the accounts.
pub struct Doorkeeper {
    accounts: watch::Sender<Arc<Accounts>>,
    journal: Journal,
    verified: Verified,
    /// Each check costs tens of MiB and tens of milliseconds of a core.
    checks: Arc<Semaphore>,
    waiting: usize,
}

impl Doorkeeper {
    /// Starts it; the receiver always has the accounts in force.
    pub fn start_with(
        accounts: Accounts,
        journal: Journal,
        config: &AuthConfig,
    ) -> (Addr<Doorkeeper>, watch::Receiver<Arc<Accounts>>) {
        let (sender, receiver) = watch::channel(Arc::new(accounts));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let checks = if config.verifications_max == 0 { cores } else { config.verifications_max };
        let doorkeeper = Doorkeeper {
            accounts: sender,
            journal,
            verified: Verified::new(config.logins_remembered_max),
            checks: Arc::new(Semaphore::new(checks)),
            waiting: 0,
        };
        (doorkeeper.start(), receiver)
    }

    /// Runs something dear on a thread of its own when a permit is free.
    async fn dear<T: Send + 'static>(
        checks: Arc<Semaphore>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BrokerError> {
        let permit = checks.acquire_owned().await.map_err(|_| BrokerError::Stopping)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| BrokerError::Unavailable)
    }
}

impl Actor for Doorkeeper {
    type Context = Context<Self>;
}

/// To the doorkeeper: is this the user's password?
#[derive(Message)]
#[rtype(result = "Result<Arc<str>, BrokerError>")]
pub struct Login {
    /// Who.
    pub user: String,
    /// What it says.
    pub password: String,
}

impl Handler<Login> for Doorkeeper {
    type Result = ResponseActFuture<Self, Result<Arc<str>, BrokerError>>;

    fn handle(&mut self, login: Login, _: &mut Context<Self>) -> Self::Result {
        let accounts = self.accounts.borrow().clone();
        let hash = accounts.password_hash(&login.user).map(str::to_owned);
        if let Some(hash) = &hash
            && self.verified.contains(&login.user, &login.password, hash)
        {
            return Box::pin(ready(Ok(login.user.into())));
        }
        if self.waiting >= WAITING_MAX {
            return Box::pin(ready(Err(BrokerError::Busy)));
        }
        self.waiting += 1;
        let checks = self.checks.clone();
        let Login { user, password } = login;
        let checking = async move {
            // An unknown user costs what a wrong password costs.
            let known = hash.clone();
            let good = Self::dear(checks, {
                let password = password.clone();
                move || verify_password(&password, known.as_deref())
            })
            .await?;
            Ok::<_, BrokerError>((good, user, password, hash))
        };
        Box::pin(checking.into_actor(self).map(|checked, keeper, _| {
            keeper.waiting -= 1;
            let (good, user, password, hash) = checked?;
            match hash.filter(|_| good) {
                Some(hash) => {
                    keeper.verified.insert(&user, &password, &hash);
                    Ok(user.into())
                }
                None => Err(BrokerError::Unauthenticated),
            }
        }))
    }
}

/// To the doorkeeper: make or change a user. Answers when it is durable.
#[derive(Message)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct PutUser {
    /// Who.
    pub user: String,
    /// The new password.
    pub password: String,
    /// `None`: as it is; `user` for a new one.
    pub role: Option<String>,
    /// Topics on which it may do everything; `None`: as they are.
    pub topics: Option<Vec<String>>,
}

fn refusal(error: AccountError) -> BrokerError {
    match error {
        AccountError::Name => Refusal::OutOfBounds("user").into(),
        AccountError::NoSuchRole(_) => Refusal::OutOfBounds("role").into(),
        AccountError::TooManyTopics => Refusal::OutOfBounds("topics").into(),
        AccountError::Malformed(_) => BrokerError::Store(error.to_string()),
        other => BrokerError::Account(other),
    }
}

impl Handler<PutUser> for Doorkeeper {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, put: PutUser, _: &mut Context<Self>) -> Self::Result {
        let checks = self.checks.clone();
        let PutUser { user, password, role, topics } = put;
        let hashing = Self::dear(checks, move || hash_password(&password));
        Box::pin(hashing.into_actor(self).then(move |hash, keeper, _| {
            let hash = hash.and_then(|hash| {
                hash.map_err(|error| match error {
                    HashError::Empty => Refusal::OutOfBounds("password").into(),
                    HashError::Failed(_) => BrokerError::Store(error.to_string()),
                })
            });
            keeper.put(user, hash, role, topics)
        }))
    }
}

/// To the doorkeeper: make or change a user as another broker knew it. Answers when it is durable.
#[derive(Message)]
#[rtype(result = "Result<(), BrokerError>")]
pub struct PutAccount(pub Account);

impl Handler<PutAccount> for Doorkeeper {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, PutAccount(account): PutAccount, _: &mut Context<Self>) -> Self::Result {
        let Account { name, role, topics, password_hash } = account;
        let hash = match is_hash(&password_hash) {
            true => Ok(password_hash),
            false => Err(Refusal::OutOfBounds("password_hash").into()),
        };
        self.put(name, hash, Some(role), Some(topics))
    }
}

impl Doorkeeper {
    /// Enters a user when the store has it.
    fn put(
        &mut self,
        user: String,
        hash: Result<String, BrokerError>,
        role: Option<String>,
        topics: Option<Vec<String>>,
    ) -> ResponseActFuture<Self, Result<(), BrokerError>> {
        let mut accounts = Accounts::clone(&self.accounts.borrow());
        let put = hash.and_then(|hash| {
            let value = accounts.put_user(&user, &hash, role.as_deref(), topics.clone());
            Ok((value.map_err(refusal)?, hash))
        });
        let journal = self.journal.clone();
        let storing = async move {
            let (value, hash) = put?;
            let record = Record::Setting { table: "user", key: user.clone(), value: Some(value) };
            remember(&journal, record).await?;
            Ok((user, hash, role, topics))
        };
        type Stored = (String, String, Option<String>, Option<Vec<String>>);
        Box::pin(storing.into_actor(self).map(|stored: Result<Stored, BrokerError>, keeper, _| {
            let (user, hash, role, topics) = stored?;
            // Others may have been entered meanwhile.
            let mut accounts = Accounts::clone(&keeper.accounts.borrow());
            accounts.put_user(&user, &hash, role.as_deref(), topics).map_err(refusal)?;
            keeper.accounts.send_replace(Arc::new(accounts));
            Ok(())
        }))
    }
}

async fn remember(journal: &Journal, record: Record) -> Result<(), BrokerError> {
    remember_all(journal, vec![record]).await
}

async fn remember_all(journal: &Journal, records: Vec<Record>) -> Result<(), BrokerError> {
    let (done, told) = oneshot::channel();
    let done = Box::new(move |result: Result<(), JournalError>| drop(done.send(result)));
    let submission = Submission { records, level: Level::Sync, done: Some(done) };
    journal.submit(submission).map_err(|(error, _)| BrokerError::from(error))?;
    told.await.unwrap_or(Err(JournalError::Closed)).map_err(BrokerError::from)
}
