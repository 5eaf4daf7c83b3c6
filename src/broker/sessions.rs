//! Browsers that have logged in. One actor owns what is known of them, in memory: a restart ends all
//! sessions.
//!
//! A session is good as long as its user has the password and the role it had at the login, until its
//! time is up, or nobody has used it for a while. What was opened with it ends with it: each [`Caller`]
//! of a session holds the other end of a channel that is closed then.
//!
//! [`Caller`]: super::Caller

use super::{BrokerError, clock};
use crate::auth::{Accounts, SessionId};
use crate::queue::Timestamp;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use rustc_hash::FxHashMap;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often ended sessions are looked for, beside at each use and each change of the accounts.
const SWEEP: Duration = Duration::from_secs(1);

/// How long sessions live, and how many there are; see `[ui]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBounds {
    /// After its login a session is good for this long.
    pub ttl: Duration,
    /// One that nobody has used for this long ends.
    pub idle: Duration,
    /// Most of them; the one unused for longest makes room.
    pub max: usize,
    /// All of them only look.
    pub read_only: bool,
}

/// Who logged in, as the accounts knew it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub user: Arc<str>,
    role: String,
    password_hash: String,
}

impl Standing {
    /// Of a user who is there.
    pub fn of(accounts: &Accounts, user: &str) -> Option<Standing> {
        let (role, _) = accounts.user(user)?;
        let password_hash = accounts.password_hash(user)?.to_owned();
        Some(Standing { user: user.into(), role: role.to_owned(), password_hash })
    }

    fn is_as_ever(&self, accounts: &Accounts) -> bool {
        accounts.user(&self.user).is_some_and(|(role, _)| role == self.role)
            && accounts.password_hash(&self.user) == Some(&self.password_hash)
    }
}

/// A session, as whoever uses it sees it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its user.
    pub user: Arc<str>,
    /// It only looks.
    pub read_only: bool,
    /// Until when it is good at most.
    pub expires_at: Timestamp,
    /// Closed when it ends.
    pub alive: watch::Receiver<()>,
}

struct Session {
    standing: Standing,
    read_only: bool,
    expires_at: Timestamp,
    used_at: Timestamp,
    /// Dropped with the session.
    alive: watch::Sender<()>,
}

impl Session {
    fn opened(&self) -> Opened {
        Opened {
            user: self.standing.user.clone(),
            read_only: self.read_only,
            expires_at: self.expires_at,
            alive: self.alive.subscribe(),
        }
    }
}

/// The actor that keeps the sessions, by the keys of their ids.
pub struct Sessions {
    all: FxHashMap<[u8; 32], Session>,
    bounds: SessionBounds,
    accounts: watch::Receiver<Arc<Accounts>>,
}

impl Sessions {
    /// Starts it.
    pub fn start_with(
        bounds: SessionBounds,
        accounts: watch::Receiver<Arc<Accounts>>,
    ) -> Addr<Sessions> {
        Sessions { all: FxHashMap::default(), bounds, accounts }.start()
    }

    /// Forgets what is good no more.
    fn sweep(&mut self, now: Timestamp) {
        let (accounts, idle) = (self.accounts.borrow().clone(), self.bounds.idle);
        self.all.retain(|_, session| {
            // A socket or a stream is a use that lasts.
            if session.alive.receiver_count() > 0 {
                session.used_at = now;
            }
            session.expires_at > now
                && session.used_at.after(idle) > now
                && session.standing.is_as_ever(&accounts)
        });
    }

    fn make_room(&mut self) {
        while self.all.len() >= self.bounds.max {
            let oldest = self.all.iter().min_by_key(|(_, session)| session.used_at);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            self.all.remove(&key);
        }
    }
}

impl Actor for Sessions {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(SWEEP, |sessions, _| sessions.sweep(clock::now()));
        let (mut accounts, own) = (self.accounts.clone(), ctx.address().downgrade());
        let watching = async move {
            while accounts.changed().await.is_ok() {
                let Some(sessions) = own.upgrade() else { return };
                sessions.do_send(Sweep);
            }
        };
        ctx.spawn(watching.into_actor(self));
    }
}

/// To the sessions: the accounts have changed.
#[derive(Message)]
#[rtype(result = "()")]
struct Sweep;

impl Handler<Sweep> for Sessions {
    type Result = ();

    fn handle(&mut self, _: Sweep, _: &mut Context<Self>) {
        self.sweep(clock::now());
    }
}

/// To the sessions: somebody has logged in. Errors: `Unavailable` when there is no randomness.
#[derive(Message)]
#[rtype(result = "Result<(SessionId, Opened), BrokerError>")]
pub struct OpenSession {
    /// Who, as the accounts were before the password was checked.
    pub standing: Standing,
    /// It only wants to look.
    pub read_only: bool,
}

impl Handler<OpenSession> for Sessions {
    type Result = Result<(SessionId, Opened), BrokerError>;

    fn handle(&mut self, open: OpenSession, _: &mut Context<Self>) -> Self::Result {
        let now = clock::now();
        let id = SessionId::fresh().ok_or(BrokerError::Unavailable)?;
        self.sweep(now);
        self.make_room();
        let session = Session {
            standing: open.standing,
            read_only: open.read_only || self.bounds.read_only,
            expires_at: now.after(self.bounds.ttl),
            used_at: now,
            alive: watch::Sender::new(()),
        };
        let opened = session.opened();
        self.all.insert(id.key(), session);
        Ok((id, opened))
    }
}

/// To the sessions: somebody uses the one of this key. Errors: `Unauthenticated`.
#[derive(Message)]
#[rtype(result = "Result<Opened, BrokerError>")]
pub struct UseSession(pub [u8; 32]);

impl Handler<UseSession> for Sessions {
    type Result = Result<Opened, BrokerError>;

    fn handle(&mut self, UseSession(key): UseSession, _: &mut Context<Self>) -> Self::Result {
        let now = clock::now();
        let (accounts, idle) = (self.accounts.borrow().clone(), self.bounds.idle);
        let session = self.all.get_mut(&key).ok_or(BrokerError::Unauthenticated)?;
        let unused = session.used_at.after(idle) <= now && session.alive.receiver_count() == 0;
        if session.expires_at <= now || unused || !session.standing.is_as_ever(&accounts) {
            self.all.remove(&key);
            return Err(BrokerError::Unauthenticated);
        }
        session.used_at = now;
        Ok(session.opened())
    }
}

/// To the sessions: end the one of this key, if it is there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseSession(pub [u8; 32]);

impl Handler<CloseSession> for Sessions {
    type Result = ();

    fn handle(&mut self, CloseSession(key): CloseSession, _: &mut Context<Self>) {
        self.all.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(password_hash: &str, role: &str) -> Arc<Accounts> {
        let mut accounts = Accounts::stock();
        accounts.put_user("ann", password_hash, Some(role), None).unwrap();
        Arc::new(accounts)
    }

    struct Kept {
        sessions: Addr<Sessions>,
        accounts: watch::Sender<Arc<Accounts>>,
    }

    impl Kept {
        fn new(max: usize) -> Kept {
            let bounds = SessionBounds {
                ttl: Duration::from_secs(60),
                idle: Duration::from_secs(60),
                max,
                read_only: false,
            };
            let (sender, receiver) = watch::channel(accounts("h", "viewer"));
            Kept { sessions: Sessions::start_with(bounds, receiver), accounts: sender }
        }

        async fn open(&self) -> (SessionId, Opened) {
            let standing = Standing::of(&self.accounts.borrow(), "ann").unwrap();
            let open = OpenSession { standing, read_only: false };
            self.sessions.send(open).await.unwrap().unwrap()
        }

        async fn is_good(&self, id: &SessionId) -> bool {
            self.sessions.send(UseSession(id.key())).await.unwrap().is_ok()
        }
    }

    #[actix::test]
    async fn what_was_opened_with_a_session_hears_of_its_end() {
        let kept = Kept::new(10);
        let (id, mut opened) = kept.open().await;
        assert!(kept.is_good(&id).await && !kept.is_good(&SessionId::fresh().unwrap()).await);
        kept.sessions.send(CloseSession(id.key())).await.unwrap();
        assert!(opened.alive.changed().await.is_err() && !kept.is_good(&id).await);
    }

    #[actix::test]
    async fn another_password_or_role_ends_a_session() {
        for (password_hash, role) in [("other", "viewer"), ("h", "admin")] {
            let kept = Kept::new(10);
            let (id, mut opened) = kept.open().await;
            kept.accounts.send_replace(accounts("h", "viewer"));
            assert!(kept.is_good(&id).await, "nothing has changed for it");
            kept.accounts.send_replace(accounts(password_hash, role));
            // Without being used.
            assert!(opened.alive.changed().await.is_err(), "{role}");
            assert!(!kept.is_good(&id).await, "{role}");
        }
        let kept = Kept::new(10);
        let (id, _) = kept.open().await;
        kept.accounts.send_replace(Arc::new(Accounts::stock()));
        assert!(!kept.is_good(&id).await, "the user is gone");
    }

    #[actix::test]
    async fn the_session_unused_for_longest_makes_room() {
        let kept = Kept::new(2);
        let (first, _) = kept.open().await;
        let (second, _) = kept.open().await;
        let used = kept.sessions.send(UseSession(first.key())).await.unwrap().unwrap();
        let (third, _) = kept.open().await;
        let good = [kept.is_good(&first).await, kept.is_good(&second).await];
        assert!(good.iter().filter(|good| **good).count() == 1 && kept.is_good(&third).await);
        drop(used);
    }
}
