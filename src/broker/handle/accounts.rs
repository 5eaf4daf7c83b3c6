//! Users: making and changing them, and taking them from one broker to another.

use super::*;
use crate::auth::Account;
use crate::broker::doorkeeper::{Change, PutAccount, PutUser};

impl Broker {
    /// Makes or changes a user.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin or changes its own password;
    /// `Refused(OutOfBounds)` of `user`, `password` (empty), `role`, `topics`; store errors.
    pub async fn put_user(
        &self,
        caller: &Caller,
        user: &str,
        password: &str,
        role: Option<String>,
        topics: Option<Vec<String>>,
    ) -> Result<(), BrokerError> {
        let own = caller.is_whole() && caller.user() == Some(user);
        let own_password = own && role.is_none() && topics.is_none();
        if !caller.is_admin() && !own_password {
            return Err(BrokerError::NotAllowed("users"));
        }
        let put = PutUser { user: user.to_owned(), password: password.to_owned(), role, topics };
        self.0.doorkeeper.send(put).await.unwrap_or(Err(BrokerError::Stopping))
    }

    /// Changes the role or the topics of a user; what is `None` stays, and the password does.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin; `Account`; store errors.
    pub async fn edit_user(
        &self,
        caller: &Caller,
        user: &str,
        role: Option<String>,
        topics: Option<Vec<String>>,
    ) -> Result<(), BrokerError> {
        if !caller.is_admin() {
            return Err(BrokerError::NotAllowed("users"));
        }
        let change = Change::EditUser { name: user.to_owned(), role, topics };
        self.0.doorkeeper.send(change).await.unwrap_or(Err(BrokerError::Stopping))
    }

    /// All users with the hashes of their passwords, to be given to [`Broker::put_account`].
    ///
    /// Errors: `NotAllowed` unless the caller is an admin.
    pub fn accounts(&self, caller: &Caller) -> Result<Vec<Account>, BrokerError> {
        match caller.is_admin() {
            true => Ok(self.0.accounts.borrow().accounts().collect()),
            false => Err(BrokerError::NotAllowed("users")),
        }
    }

    /// Makes or changes a user as another broker knew it.
    ///
    /// Errors: as [`Broker::put_user`]; `Refused(OutOfBounds)` of `password_hash`.
    pub async fn put_account(&self, caller: &Caller, account: Account) -> Result<(), BrokerError> {
        if !caller.is_admin() {
            return Err(BrokerError::NotAllowed("users"));
        }
        let put = PutAccount(account);
        self.0.doorkeeper.send(put).await.unwrap_or(Err(BrokerError::Stopping))
    }
}
