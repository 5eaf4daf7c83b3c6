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
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// A user.
#[derive(Serialize, ToSchema)]
struct UserView {
    name: String,
    role: String,
    topics: Vec<String>,
}

/// All users.
#[derive(Serialize, ToSchema)]
struct Users {
    users: Vec<UserView>,
}

/// `GET /v1/users`: for administrators. 200 and all of them.
#[utoipa::path(
    get, path = "/v1/users", tag = "accounts", operation_id = "list_users",
    summary = "List users; for administrators",
    responses((status = 200, description = "All of them", body = Users)),
)]
pub async fn users(who: Who, native: web::Data<Native>) -> Answer {
    let users = native.broker.users(&who.0)?.into_iter();
    let users =
        users.map(|user| UserView { name: user.name, role: user.role, topics: user.topics });
    Ok(HttpResponse::Ok().json(Users { users: users.collect() }))
}

/// `DELETE /v1/users/{user}`: for administrators. 204; its tokens are good no more.
#[utoipa::path(
    delete, path = "/v1/users/{user}", tag = "accounts", operation_id = "delete_user",
    summary = "Delete a user; for administrators",
    params(("user" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is gone, and its tokens are good no more")),
)]
pub async fn remove_user(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.remove_user(&who.0, &user_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
struct TokenView {
    name: String,
    user: String,
    rights: String,
    topics: Vec<String>,
    created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at_ms: Option<i64>,
}

/// All tokens.
#[derive(Serialize, ToSchema)]
struct Tokens {
    tokens: Vec<TokenView>,
}

/// `GET /v1/tokens`: 200 and those that the caller may see, never the tokens themselves.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "accounts", operation_id = "list_tokens",
    summary = "List tokens, never the tokens themselves",
    responses((status = 200, description = "Those that the caller may see", body = Tokens)),
)]
pub async fn list(who: Who, native: web::Data<Native>) -> Answer {
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

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// Its name.
    name: String,
    /// The caller when left out.
    user: Option<String>,
    /// Letters of `r`, `w`, `c`, `n`, `m`; or `a`. `rw` when left out.
    #[serde(default = "read_and_write")]
    #[schema(pattern = "^([rwcnm]+|a)$")]
    rights: String,
    /// Only on these; none: on all of its user's.
    #[serde(default)]
    topics: Vec<String>,
    /// Good for this long; left out: for ever.
    #[schema(minimum = 1, maximum = 315360000000u64)]
    ttl_ms: Option<u64>,
}

fn read_and_write() -> String {
    "rw".to_owned()
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
struct Made {
    name: String,
    user: String,
    /// What a program says as `Authorization: Bearer`; it is never shown again.
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at_ms: Option<i64>,
}

/// `POST /v1/tokens` with `{"name", "user", "rights", "topics", "ttl_ms"}`: 201 and the token, this once.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "accounts", operation_id = "create_token",
    summary = "Create a token",
    request_body(content = TokenBody, example = json!({"name": "ci", "user": "admin", "rights": "rw", "ttl_ms": 86400000})),
    responses((status = 201, description = "The token, this once", body = Made)),
)]
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
    Ok(HttpResponse::Created().json(Made { name, user, token, expires_at_ms }))
}

/// `DELETE /v1/tokens/{token}` by its name: 204.
#[utoipa::path(
    delete, path = "/v1/tokens/{token}", tag = "accounts", operation_id = "delete_token",
    summary = "Delete a token by its name",
    params(("token" = String, Path, description = "Its name.")),
    responses((status = 204, description = "It is good no more")),
)]
pub async fn remove(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.remove_token(&who.0, &user_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
