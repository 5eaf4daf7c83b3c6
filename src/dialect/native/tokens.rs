//! Bearer tokens, and users that are listed or go.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::names::user_name;
use super::object::object;
use super::problem::Problem;
use crate::auth::NewToken;
use crate::broker::clock;
use crate::queue::policy::DURATION_MS_MAX;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Duration;

type Answer = Result<HttpResponse, Problem>;

#[derive(Serialize)]
struct UserView {
    name: String,
    role: String,
    topics: Vec<String>,
}

/// `GET /v1/users`: for administrators. 200 and all of them.
pub async fn users(who: Who, native: web::Data<Native>) -> Answer {
    #[derive(Serialize)]
    struct Users {
        users: Vec<UserView>,
    }
    let users = native.broker.users(&who.0)?.into_iter();
    let users =
        users.map(|user| UserView { name: user.name, role: user.role, topics: user.topics });
    Ok(HttpResponse::Ok().json(Users { users: users.collect() }))
}

/// `DELETE /v1/users/{user}`: for administrators. 204; its tokens are good no more.
pub async fn remove_user(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.remove_user(&who.0, &user_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize)]
struct TokenView {
    name: String,
    user: String,
    rights: String,
    topics: Vec<String>,
    created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
}

/// `GET /v1/tokens`: 200 and those that the caller may see, never the tokens themselves.
pub async fn list(who: Who, native: web::Data<Native>) -> Answer {
    #[derive(Serialize)]
    struct Tokens {
        tokens: Vec<TokenView>,
    }
    let tokens = native.broker.tokens(&who.0)?.into_iter().map(|(name, token)| TokenView {
        name,
        user: token.user,
        rights: token.rights,
        topics: token.topics,
        created_at_ms: token.created_at_ms,
        expires_at_ms: token.expires_at_ms,
    });
    Ok(HttpResponse::Ok().json(Tokens { tokens: tokens.collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    name: String,
    /// The caller when left out.
    user: Option<String>,
    #[serde(default = "read_and_write")]
    rights: String,
    #[serde(default)]
    topics: Vec<String>,
    ttl_ms: Option<u64>,
}

fn read_and_write() -> String {
    "rw".to_owned()
}

/// `POST /v1/tokens` with `{"name", "user", "rights", "topics", "ttl_ms"}`: 201 and the token, this once.
pub async fn make(who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let TokenBody { name, user, rights, topics, ttl_ms } = object(&body)?;
    if ttl_ms.is_some_and(|ms| ms == 0 || ms > DURATION_MS_MAX) {
        return Err(Problem::invalid("`ttl_ms` must be between 1 and ten years"));
    }
    let user = user.or_else(|| who.0.user().map(str::to_owned));
    let user = user.ok_or_else(|| Problem::invalid("`user` must be given: nobody is logged in"))?;
    let expires_at_ms = ttl_ms.map(|ms| clock::now().after(Duration::from_millis(ms)).0);
    let new = NewToken { name: name.clone(), user: user.clone(), rights, topics, expires_at_ms };
    let token = native.broker.put_token(&who.0, new).await?;
    #[derive(Serialize)]
    struct Made {
        name: String,
        user: String,
        token: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at_ms: Option<i64>,
    }
    Ok(HttpResponse::Created().json(Made { name, user, token, expires_at_ms }))
}

/// `DELETE /v1/tokens/{token}` by its name: 204.
pub async fn remove(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.remove_token(&who.0, &user_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
