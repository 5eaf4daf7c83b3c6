//! Users that change or go, tokens that come and go.

use super::{Doorkeeper, remember_all};
use crate::auth::{AccountError, Accounts, NewToken};
use crate::broker::BrokerError;
use crate::queue::Record;
use actix::{ActorFutureExt, Context, Handler, Message, ResponseActFuture, WrapFuture};
use std::sync::Arc;

/// To the doorkeeper: change the accounts. Answers when it is durable.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), BrokerError>")]
pub enum Change {
    /// Remove a user and its tokens.
    RemoveUser(String),
    /// Change a user, whose password stays.
    EditUser {
        /// Who.
        name: String,
        /// `None`: as it is.
        role: Option<String>,
        /// `None`: as they are.
        topics: Option<Vec<String>>,
    },
    /// Make a token that has this hash, at this time.
    PutToken {
        /// What is asked for.
        token: NewToken,
        /// Of the token.
        hash: String,
        /// Milliseconds since the Unix epoch.
        now_ms: i64,
    },
    /// Remove a token.
    RemoveToken(String),
}

impl Change {
    /// Makes it, and tells what the store is to remember.
    fn make(&self, accounts: &mut Accounts) -> Result<Vec<Record>, AccountError> {
        let setting = |table, key: &str, value| Record::Setting { table, key: key.into(), value };
        match self {
            Change::RemoveUser(name) => {
                let tokens = accounts.tokens_of(name);
                if accounts.is_last_admin(name) {
                    return Err(AccountError::LastAdmin);
                }
                if !accounts.remove_user(name) {
                    return Err(AccountError::NoSuchUser(name.clone()));
                }
                let tokens = tokens.iter().map(|token| setting("token", token, None));
                Ok(std::iter::once(setting("user", name, None)).chain(tokens).collect())
            }
            Change::EditUser { name, role, topics } => {
                let stored = accounts.edit_user(name, role.as_deref(), topics.clone())?;
                Ok(vec![setting("user", name, Some(stored))])
            }
            Change::PutToken { token, hash, now_ms } => {
                let stored = accounts.put_token(token, hash.clone(), *now_ms)?;
                Ok(vec![setting("token", &token.name, Some(stored))])
            }
            Change::RemoveToken(name) => {
                if !accounts.remove_token(name) {
                    return Err(AccountError::NoSuchToken(name.clone()));
                }
                Ok(vec![setting("token", name, None)])
            }
        }
    }
}

impl Handler<Change> for Doorkeeper {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, change: Change, _: &mut Context<Self>) -> Self::Result {
        let mut accounts = Accounts::clone(&self.accounts.borrow());
        let records = change.make(&mut accounts);
        let goes = matches!(change, Change::RemoveUser(_) | Change::RemoveToken(_));
        if goes && records.is_ok() {
            // What goes is good no more from now on, and not only when the disk has turned.
            self.accounts.send_replace(Arc::new(accounts));
        }
        let journal = self.journal.clone();
        let storing = async move { remember_all(&journal, records?).await };
        Box::pin(storing.into_actor(self).map(move |stored, keeper, _| {
            stored?;
            if !goes {
                // Others may have been entered meanwhile.
                let mut accounts = Accounts::clone(&keeper.accounts.borrow());
                change.make(&mut accounts)?;
                keeper.accounts.send_replace(Arc::new(accounts));
            }
            Ok(())
        }))
    }
}
