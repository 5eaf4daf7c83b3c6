//! Bearer tokens, and users that go.

use super::*;
use crate::auth::{NewToken, Token, fresh_token, token_hash};
use crate::broker::doorkeeper::Change;

/// A user as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// The name of its role.
    pub role: String,
    /// Topics on which it may do everything.
    pub topics: Vec<String>,
}

impl Broker {
    /// Lets in whoever has this token. Costs a hash; nothing is waited for.
    ///
    /// Errors: `Unauthenticated`.
    pub fn login_with_token(&self, token: &str) -> Result<Caller, BrokerError> {
        let accounts = self.0.accounts.borrow();
        let token = accounts.token(&token_hash(token), clock::now().0);
        let token = token.ok_or(BrokerError::Unauthenticated)?.clone();
        Ok(Caller::of_token(token, self.0.accounts.clone()))
    }

    /// All users.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin.
    pub fn users(&self, caller: &Caller) -> Result<Vec<UserView>, BrokerError> {
        if !caller.is_admin() {
            return Err(BrokerError::NotAllowed("users"));
        }
        let accounts = self.0.accounts.borrow();
        let view = |(name, role): (&str, &str)| UserView {
            name: name.to_owned(),
            role: role.to_owned(),
            topics: accounts.user(name).map(|(_, topics)| topics.to_vec()).unwrap_or_default(),
        };
        Ok(accounts.users().map(view).collect())
    }

    /// Removes a user and its tokens. Connections that it has stay until they end.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin; `Account` when there is no such user, or
    /// nobody would be left who may do everything; store errors.
    pub async fn remove_user(&self, caller: &Caller, name: &str) -> Result<(), BrokerError> {
        if !caller.is_admin() {
            return Err(BrokerError::NotAllowed("users"));
        }
        self.change_accounts(Change::RemoveUser(name.to_owned())).await
    }

    /// The tokens that the caller may see: an admin all of them, others their own.
    ///
    /// Errors: `NotAllowed` for a caller that came with a token of less than all rights.
    pub fn tokens(&self, caller: &Caller) -> Result<Vec<(String, Token)>, BrokerError> {
        if !caller.is_whole() {
            return Err(BrokerError::NotAllowed("tokens"));
        }
        let accounts = self.0.accounts.borrow();
        let own = |token: &Token| caller.is_admin() || caller.user() == Some(&token.user);
        let tokens = accounts.tokens().filter(|(_, token)| own(token));
        Ok(tokens.map(|(name, token)| (name.to_owned(), token.clone())).collect())
    }

    /// Makes a token and tells it, this once.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin or makes a token for itself; `Account`; store
    /// errors.
    pub async fn put_token(&self, caller: &Caller, new: NewToken) -> Result<String, BrokerError> {
        let own = caller.is_whole() && caller.may_act() && caller.user() == Some(&new.user);
        if !caller.is_admin() && !own {
            return Err(BrokerError::NotAllowed("tokens"));
        }
        let token = fresh_token();
        let (hash, now_ms) = (token_hash(&token), clock::now().0);
        self.change_accounts(Change::PutToken { token: new, hash, now_ms }).await?;
        Ok(token)
    }

    /// Removes a token: it lets nobody in any more.
    ///
    /// Errors: as [`Broker::put_token`].
    pub async fn remove_token(&self, caller: &Caller, name: &str) -> Result<(), BrokerError> {
        // Who may not see it is not told whether it is there.
        let own = || {
            let own = self.tokens(caller);
            caller.may_act() && own.is_ok_and(|own| own.iter().any(|(known, _)| known == name))
        };
        if !caller.is_admin() && !own() {
            return Err(BrokerError::NotAllowed("tokens"));
        }
        self.change_accounts(Change::RemoveToken(name.to_owned())).await
    }

    async fn change_accounts(&self, change: Change) -> Result<(), BrokerError> {
        self.0.doorkeeper.send(change).await.unwrap_or(Err(BrokerError::Stopping))
    }
}
