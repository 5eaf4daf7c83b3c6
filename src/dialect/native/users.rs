//! Users.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::names::user_name;
use super::object::object;
use super::problem::Problem;
use crate::broker::BrokerError;
use crate::queue::Refusal;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use utoipa::ToSchema;

/// A user to make or change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserBody {
    #[schema(min_length = 1, format = Password)]
    password: String,
    /// Left out: as it is; of a new one `user`.
    role: Option<String>,
    /// Topics on which it may do everything; left out: as it is.
    #[serde(default)]
    topics: Option<Vec<String>>,
}

/// `PUT /v1/users/{user}` with `{"password", "role", "topics"}`: makes or changes a user. 204.
#[utoipa::path(
    put, path = "/v1/users/{user}", tag = "accounts", operation_id = "put_user",
    summary = "Make or change a user; for administrators",
    params(("user" = String, Path, description = "Its name.")),
    request_body = UserBody,
    responses((status = 204, description = "It is there")),
)]
pub async fn put(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let name = user_name(&request)?;
    let user: UserBody = object(&body)?;
    let put = native.broker.put_user(&who.0, &name, &user.password, user.role, user.topics).await;
    put.map_err(|error| match error {
        BrokerError::Refused(Refusal::OutOfBounds("password")) => {
            Problem::invalid("password: it must not be empty")
        }
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}

/// What changes of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    /// Left out: as it is.
    role: Option<String>,
    /// Topics on which it may do everything; left out: as they are.
    topics: Option<Vec<String>>,
}

/// `PATCH /v1/users/{user}` with `{"role", "topics"}`: the password stays. 204.
#[utoipa::path(
    patch, path = "/v1/users/{user}", tag = "accounts", operation_id = "change_user",
    summary = "Change a user's role or topics; for administrators",
    params(("user" = String, Path, description = "Its name.")),
    request_body(content = UserChange, example = json!({"role": "viewer"})),
    responses((status = 204, description = "It is changed; its password stays")),
)]
pub async fn change(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let name = user_name(&request)?;
    let UserChange { role, topics } = object(&body)?;
    native.broker.edit_user(&who.0, &name, role, topics).await?;
    Ok(HttpResponse::NoContent().finish())
}
