//! Users, roles, passwords: what may this caller do. Pure but for the hashing.
//!
//! The model is octoque's (its `auth.yaml`): a request on a topic passes when the topic is in the
//! user's own list, or the user's role lists the topic with the letter that the verb needs. Beyond
//! octoque: role `admin` may do everything everywhere, and whoever made a topic may do everything
//! on it (in octoque an administrator could not use the topic it had just made). Role `operator` may do
//! everything with topics and nothing with users; role `viewer` looks at every topic and changes
//! none, not even one of its own. A stored role of one of these two names counts instead of ours.
//!
//! Never knows another room: not where users are stored, nor who asks.

mod password;
mod rights;
mod session;
#[cfg(test)]
mod tests;
mod token;

pub use password::{HashError, Verified, hash_password, is_hash, verify_password};
pub use rights::Rights;
pub use session::SessionId;
pub use token::{NewToken, Token, fresh_token, token_hash};

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// The role that may do everything.
pub const ADMIN: &str = "admin";
/// The role of a user for whom none was named: only what its own list and its own topics give.
pub const USER: &str = "user";
/// The role that looks at every topic and changes nothing.
pub const VIEWER: &str = "viewer";
/// The role that may do everything with every topic, and nothing with users.
pub const OPERATOR: &str = "operator";
/// The roles that need not be stored.
const BUILT_IN: [&str; 4] = [ADMIN, OPERATOR, VIEWER, USER];
/// octoque's first password.
const STOCK_PASSWORD: &str = "password";
/// Longest name of a user or role, bytes.
const NAME_BYTES_MAX: usize = 255;
/// Longest list of a user's own topics.
const TOPICS_MAX: usize = 10_000;

/// One user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// PHC string; never shown.
    password_hash: String,
    /// The name of its role.
    role: String,
    /// Topics on which it may do everything.
    #[serde(default)]
    topics: Vec<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("role", &self.role)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

/// One role: the topics it may use, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Role {
    /// Topic name (or `*`) and letters of r, w, n, c.
    #[serde(default)]
    topics: Vec<Access>,
}

/// One entry of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// A topic's name; `*` is every topic.
    name: String,
    /// Letters of r (GET, SUBSCRIBE, DISPLAY), w (PUT), c (CLEAR), n (NEW), and l (look only).
    access: String,
}

/// A user as it goes from one broker to another.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The name of its role.
    pub role: String,
    /// Topics on which it may do everything.
    #[serde(default)]
    pub topics: Vec<String>,
    /// PHC string.
    pub password_hash: String,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why an account cannot be changed or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// A name that cannot be sent over otq, or is too long.
    #[error("a user's name must have 1 to 255 bytes without white space or `:`")]
    Name,
    /// No such role.
    #[error("there is no role `{0}`")]
    NoSuchRole(String),
    /// Too many topics.
    #[error("a user may have at most 10000 topics of its own")]
    TooManyTopics,
    /// A name that no token may have.
    #[error(
        "a token's name must have 1 to 100 letters, digits, `.`, `_` or `-`, and not begin with `.`"
    )]
    TokenName,
    /// There is one of this name.
    #[error("token `{0}` exists")]
    TokenExists(String),
    /// As many as there may be.
    #[error("there are 10000 tokens, which is the limit")]
    TooManyTokens,
    /// No such user.
    #[error("there is no user `{0}`")]
    NoSuchUser(String),
    /// No such token.
    #[error("there is no token `{0}`")]
    NoSuchToken(String),
    /// Without it nobody may do everything.
    #[error("this is the last user with role `admin`")]
    LastAdmin,
    /// Letters that mean nothing.
    #[error("the rights of a token are letters of r, w, c, n, m, l; or a")]
    Rights,
    /// A token that would never be good.
    #[error("the token would have expired already")]
    Expired,
    /// A stored account that is not of the known form.
    #[error("account `{0}` is not of the known form")]
    Malformed(String),
}

/// All users and roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    tokens: BTreeMap<String, Token>,
    /// The names of tokens, by their hashes.
    tokens_by_hash: BTreeMap<String, String>,
}

impl Accounts {
    /// octoque's first start: `admin` with password `password` and role `admin`.
    pub fn stock() -> Accounts {
        // Hashing fails only on parameters out of bounds, and these are constants; then nobody can log in.
        let password_hash = hash_password(STOCK_PASSWORD).unwrap_or_default();
        let topics = vec!["default".to_owned(), "pubsub".to_owned()];
        let admin = User { password_hash, role: ADMIN.to_owned(), topics };
        Accounts {
            users: BTreeMap::from([("admin".to_owned(), admin)]),
            roles: BTreeMap::from([
                (ADMIN.to_owned(), Role::default()),
                (USER.to_owned(), Role::default()),
            ]),
            ..Accounts::default()
        }
    }

    /// Nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// From the store: (name, JSON) of users, of roles and of tokens.
    pub fn from_stored<'a>(
        users: impl Iterator<Item = (&'a str, &'a str)>,
        roles: impl Iterator<Item = (&'a str, &'a str)>,
        tokens: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Accounts, AccountError> {
        fn read<'a, T: for<'de> Deserialize<'de>>(
            stored: impl Iterator<Item = (&'a str, &'a str)>,
        ) -> Result<BTreeMap<String, T>, AccountError> {
            stored
                .map(|(name, json)| match serde_json::from_str(json) {
                    Ok(value) => Ok((name.to_owned(), value)),
                    Err(_) => Err(AccountError::Malformed(name.to_owned())),
                })
                .collect()
        }
        let tokens: BTreeMap<String, Token> = read(tokens)?;
        let by_hash = tokens.iter().map(|(name, token)| (token.hash.clone(), name.clone()));
        let tokens_by_hash = by_hash.collect();
        Ok(Accounts { users: read(users)?, roles: read(roles)?, tokens, tokens_by_hash })
    }

    /// For the store: (table, name, JSON).
    pub fn stored(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        let users = self.users.iter().map(|(name, user)| ("user", name.clone(), json(user)));
        let roles = self.roles.iter().map(|(name, role)| ("role", name.clone(), json(role)));
        let tokens = self.tokens.iter().map(|(name, token)| ("token", name.clone(), json(token)));
        users.chain(roles).chain(tokens)
    }

    /// The hash a password is checked against.
    pub fn password_hash(&self, user: &str) -> Option<&str> {
        self.users.get(user).map(|user| user.password_hash.as_str())
    }

    /// All users, as they go from one broker to another.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.users.iter().map(|(name, user)| Account {
            name: name.clone(),
            role: user.role.clone(),
            topics: user.topics.clone(),
            password_hash: user.password_hash.clone(),
        })
    }

    /// Names and roles of all users.
    pub fn users(&self) -> impl Iterator<Item = (&str, &str)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user.role.as_str()))
    }

    /// Somebody could come in as `admin` with the password everybody knows. Dear: checks a hash.
    pub fn stock_password_in_use(&self) -> bool {
        self.password_hash("admin").is_some_and(|hash| verify_password(STOCK_PASSWORD, Some(hash)))
    }

    /// Makes or changes a user; answers its JSON for the store.
    ///
    /// `role` and `topics` of `None` stay as they are; a new user has role `user` and no topics.
    pub fn put_user(
        &mut self,
        name: &str,
        password_hash: &str,
        role: Option<&str>,
        topics: Option<Vec<String>>,
    ) -> Result<String, AccountError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == ':';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(bad) {
            return Err(AccountError::Name);
        }
        if topics.as_ref().is_some_and(|topics| topics.len() > TOPICS_MAX) {
            return Err(AccountError::TooManyTopics);
        }
        let known = self.users.get(name);
        let role = role.or(known.map(|user| user.role.as_str())).unwrap_or(USER).to_owned();
        if !self.roles.contains_key(&role) && !BUILT_IN.contains(&role.as_str()) {
            return Err(AccountError::NoSuchRole(role));
        }
        if role != ADMIN && self.is_last_admin(name) {
            return Err(AccountError::LastAdmin);
        }
        let topics = topics.or_else(|| known.map(|user| user.topics.clone())).unwrap_or_default();
        let user = User { password_hash: password_hash.to_owned(), role, topics };
        let stored = json(&user);
        self.users.insert(name.to_owned(), user);
        Ok(stored)
    }

    /// Changes the role or the topics of a user, whose password stays; answers its JSON for the store.
    pub fn edit_user(
        &mut self,
        name: &str,
        role: Option<&str>,
        topics: Option<Vec<String>>,
    ) -> Result<String, AccountError> {
        let hash = self.password_hash(name).map(str::to_owned);
        let hash = hash.ok_or_else(|| AccountError::NoSuchUser(name.to_owned()))?;
        self.put_user(name, &hash, role, topics)
    }

    /// Removes a user and its tokens; false when there was none.
    pub fn remove_user(&mut self, name: &str) -> bool {
        for token in self.tokens_of(name) {
            self.remove_token(&token);
        }
        self.users.remove(name).is_some()
    }

    /// Role and own topics of a user.
    pub fn user(&self, name: &str) -> Option<(&str, &[String])> {
        self.users.get(name).map(|user| (user.role.as_str(), user.topics.as_slice()))
    }

    /// The names of a user's tokens.
    pub fn tokens_of(&self, user: &str) -> Vec<String> {
        let own = self.tokens.iter().filter(|(_, token)| token.user == user);
        own.map(|(name, _)| name.clone()).collect()
    }

    /// All tokens by name.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.iter().map(|(name, token)| (name.as_str(), token))
    }

    /// The token that has this hash, as long as it is good.
    pub fn token(&self, hash: &str, now_ms: i64) -> Option<&Token> {
        let token = self.tokens.get(self.tokens_by_hash.get(hash)?)?;
        (!token.is_expired(now_ms) && self.users.contains_key(&token.user)).then_some(token)
    }

    /// Makes a token; answers its JSON for the store.
    pub fn put_token(
        &mut self,
        new: &NewToken,
        hash: String,
        now_ms: i64,
    ) -> Result<String, AccountError> {
        token::check_name(&new.name)?;
        if self.tokens.contains_key(&new.name) {
            return Err(AccountError::TokenExists(new.name.clone()));
        }
        if !self.users.contains_key(&new.user) {
            return Err(AccountError::NoSuchUser(new.user.clone()));
        }
        if self.tokens.len() >= token::TOKENS_MAX {
            return Err(AccountError::TooManyTokens);
        }
        let token = Token::new(new, hash.clone(), now_ms)?;
        let stored = json(&token);
        self.tokens.insert(new.name.clone(), token);
        self.tokens_by_hash.insert(hash, new.name.clone());
        Ok(stored)
    }

    /// Removes a token; false when there was none.
    pub fn remove_token(&mut self, name: &str) -> bool {
        let Some(token) = self.tokens.remove(name) else { return false };
        self.tokens_by_hash.remove(&token.hash);
        true
    }

    /// May do everything.
    pub fn is_admin(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.role == ADMIN)
    }

    /// There is no other user that may do everything.
    pub fn is_last_admin(&self, user: &str) -> bool {
        let others = |name: &str| name != user && self.is_admin(name);
        self.is_admin(user) && !self.users.keys().any(|name| others(name))
    }

    /// May make a topic of this name.
    pub fn may_create(&self, user: &str, topic: &[u8]) -> bool {
        self.rights(user, topic, None).contains(Rights::CREATE)
    }

    /// Has a role that comes with octoq; a stored one of its name counts instead.
    fn has_built_in(&self, user: &str, role: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.role == role) && !self.roles.contains_key(role)
    }

    /// May do everything with topics and connections, and read what the process says of itself.
    pub fn is_operator(&self, user: &str) -> bool {
        self.is_admin(user) || self.has_built_in(user, OPERATOR)
    }

    /// May look at everything and change nothing.
    pub fn is_viewer(&self, user: &str) -> bool {
        self.has_built_in(user, VIEWER)
    }

    /// The topic is the user's: it made it, or was given it.
    pub fn owns(&self, user: &str, topic: &[u8], owner: Option<&str>) -> bool {
        self.users.get(user).is_some_and(|known| {
            owner == Some(user) || known.topics.iter().any(|name| name.as_bytes() == topic)
        })
    }

    /// What a user may do on a topic that `owner` made.
    pub fn rights(&self, user: &str, topic: &[u8], owner: Option<&str>) -> Rights {
        let Some(known) = self.users.get(user) else { return Rights::NONE };
        if self.is_viewer(user) {
            return Rights::LOOK;
        }
        if self.is_operator(user) || self.owns(user, topic, owner) {
            return Rights::ALL;
        }
        let Some(role) = self.roles.get(&known.role) else { return Rights::NONE };
        role.topics
            .iter()
            .filter(|access| access.name == "*" || access.name.as_bytes() == topic)
            .fold(Rights::NONE, |rights, access| rights | Rights::from_letters(&access.access))
    }
}

fn json<T: Serialize>(value: &T) -> String {
    // Maps with text keys and plain fields always serialise.
    serde_json::to_string(value).unwrap_or_default()
}
