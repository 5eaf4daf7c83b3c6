//! Browsers that log in, and say a cookie from then on.

use super::*;
use crate::auth::SessionId;
use crate::broker::sessions::{CloseSession, OpenSession, Standing, UseSession};

/// A session that was just begun.
pub struct NewSession {
    /// Its user.
    pub caller: Caller,
    /// What the browser is to say.
    pub id: SessionId,
    /// Until when it is good at most.
    pub expires_at: Timestamp,
}

impl Broker {
    /// Checks a password and begins a session; `read_only`: one that only looks.
    ///
    /// Errors: as [`Broker::login`]; `Unavailable` when there is no randomness.
    pub async fn open_session(
        &self,
        user: &str,
        password: &str,
        read_only: bool,
    ) -> Result<NewSession, BrokerError> {
        // Before the password is checked: one that is changed meanwhile begins no session.
        let standing = Standing::of(&self.0.accounts.borrow(), user);
        self.login(user, password).await?;
        let standing = standing.ok_or(BrokerError::Unauthenticated)?;
        let opened = self.0.sessions.send(OpenSession { standing, read_only }).await;
        let (id, opened) = opened.unwrap_or(Err(BrokerError::Stopping))?;
        let expires_at = opened.expires_at;
        Ok(NewSession {
            caller: Caller::of_session(opened, self.0.accounts.clone()),
            id,
            expires_at,
        })
    }

    /// Lets in whoever says the id of a session.
    ///
    /// Errors: `Unauthenticated`.
    pub async fn login_with_session(&self, id: &SessionId) -> Result<Caller, BrokerError> {
        let used = self.0.sessions.send(UseSession(id.key())).await;
        let opened = used.unwrap_or(Err(BrokerError::Stopping))?;
        Ok(Caller::of_session(opened, self.0.accounts.clone()))
    }

    /// Ends a session, and what was opened with it.
    pub async fn close_session(&self, id: &SessionId) -> Result<(), BrokerError> {
        let closed = self.0.sessions.send(CloseSession(id.key())).await;
        closed.map_err(|_| BrokerError::Stopping)
    }
}
