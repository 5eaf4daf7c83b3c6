//! Who asks, and what it may do.

use crate::auth::{Accounts, Rights, Token};
use crate::broker::sessions::Opened;
use crate::queue::{TopicDefinition, TopicName};
use std::sync::Arc;
use tokio::sync::watch;

/// Who asks. Rights are looked up per topic.
#[derive(Clone)]
pub struct Caller {
    /// `None`: no credentials were needed; everything is allowed.
    user: Option<Arc<str>>,
    /// It came with this token, which leaves only some of its rights.
    token: Option<Arc<Token>>,
    /// It came with the cookie of this session.
    session: Option<Session>,
    accounts: watch::Receiver<Arc<Accounts>>,
}

#[derive(Clone)]
struct Session {
    read_only: bool,
    /// Closed when the session ends.
    alive: watch::Receiver<()>,
}

impl Caller {
    /// Nobody in particular, who may do everything.
    pub(super) fn anonymous(accounts: watch::Receiver<Arc<Accounts>>) -> Caller {
        Caller { user: None, token: None, session: None, accounts }
    }

    /// A user that has said its password.
    pub(super) fn user_of(user: Arc<str>, accounts: watch::Receiver<Arc<Accounts>>) -> Caller {
        Caller { user: Some(user), ..Caller::anonymous(accounts) }
    }

    /// Whom a token acts for.
    pub(super) fn of_token(token: Token, accounts: watch::Receiver<Arc<Accounts>>) -> Caller {
        let user = token.user.as_str().into();
        Caller { token: Some(Arc::new(token)), ..Caller::user_of(user, accounts) }
    }

    /// Whose session it is.
    pub(super) fn of_session(opened: Opened, accounts: watch::Receiver<Arc<Accounts>>) -> Caller {
        let session = Session { read_only: opened.read_only, alive: opened.alive };
        Caller { session: Some(session), ..Caller::user_of(opened.user, accounts) }
    }

    /// The same, shared.
    pub(super) fn user_name(&self) -> Option<Arc<str>> {
        self.user.clone()
    }

    /// The user's name; `None` when no credentials were needed.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The name of the user's role; who needs no credentials is as good as an administrator.
    pub fn role(&self) -> String {
        match &self.user {
            None => crate::auth::ADMIN.to_owned(),
            Some(user) => self
                .accounts
                .borrow()
                .user(user)
                .map_or_else(String::new, |(role, _)| role.to_owned()),
        }
    }

    /// Came with the cookie of a session.
    pub fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Came with a session that only looks, whatever its user may do.
    pub fn is_read_only(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.read_only)
    }

    /// Its session has ended: it may do nothing any more.
    pub fn has_ended(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.alive.has_changed().is_err())
    }

    /// Returns when its session ends; never for a caller without one. What is open for the caller is
    /// closed then.
    pub async fn ended(&self) {
        match &self.session {
            None => std::future::pending().await,
            Some(session) => {
                let mut alive = session.alive.clone();
                // Nothing is ever said there but the end.
                while alive.changed().await.is_ok() {}
            }
        }
    }

    pub(super) fn rights(&self, topic: &TopicDefinition) -> Rights {
        if self.has_ended() {
            return Rights::NONE;
        }
        let name = topic.name.as_bytes();
        let mut rights = match &self.user {
            None => Rights::ALL,
            Some(user) => self.accounts.borrow().rights(user, name, topic.owner.as_deref()),
        };
        if self.is_read_only() {
            rights = rights & Rights::LOOK;
        }
        match &self.token {
            None => rights,
            Some(token) => token.limit(name, rights),
        }
    }

    /// Whether it is shown the payloads of a topic that masks them: an administrator, and whose topic it
    /// is, unless it said itself that it only looks.
    pub(super) fn sees(&self, topic: &TopicDefinition) -> bool {
        if self.is_admin() {
            return true;
        }
        let (name, owner) = (topic.name.as_bytes(), topic.owner.as_deref());
        let owns = |user: &Arc<str>| self.accounts.borrow().owns(user, name, owner);
        let whole_here = |token: &Arc<Token>| token.limit(name, Rights::READ) == Rights::READ;
        self.user.as_ref().is_some_and(owns)
            && !self.is_read_only()
            && !self.has_ended()
            && self.token.as_ref().is_none_or(whole_here)
    }

    pub(super) fn may_create(&self, name: &TopicName) -> bool {
        let may = self
            .user
            .as_ref()
            .is_none_or(|user| self.accounts.borrow().may_create(user, name.as_bytes()));
        let create = Rights::CREATE;
        may && !self.is_read_only()
            && !self.has_ended()
            && self
                .token
                .as_ref()
                .is_none_or(|token| token.limit(name.as_bytes(), create) == create)
    }

    /// Came with nothing that leaves only some of its user's rights.
    pub(super) fn is_whole(&self) -> bool {
        let whole = self.token.as_ref().is_none_or(|token| token.is_whole());
        whole && !self.is_read_only() && !self.has_ended()
    }

    /// Whether there is anything at all that it may do beside looking.
    pub(super) fn may_act(&self) -> bool {
        let viewer = |user: &Arc<str>| self.accounts.borrow().is_viewer(user);
        !self.is_read_only()
            && !self.has_ended()
            && !self.user.as_ref().is_some_and(viewer)
            && !self.token.as_ref().is_some_and(|token| token.only_looks())
    }

    /// May look at every topic, at what happened and at who is connected.
    pub fn may_look_at_everything(&self) -> bool {
        let looks = |user: &Arc<str>| {
            let accounts = self.accounts.borrow();
            accounts.is_operator(user) || accounts.is_viewer(user)
        };
        !self.has_ended()
            && self.user.as_ref().is_none_or(looks)
            && self.token.as_ref().is_none_or(|token| token.looks_everywhere())
    }

    /// May do everything with topics and connections, and read what the process says of itself.
    pub fn is_operator(&self) -> bool {
        self.is_whole()
            && self.user.as_ref().is_none_or(|user| self.accounts.borrow().is_operator(user))
    }

    /// May see every topic and manage users.
    pub fn is_admin(&self) -> bool {
        self.is_whole()
            && self.user.as_ref().is_none_or(|user| self.accounts.borrow().is_admin(user))
    }
}
