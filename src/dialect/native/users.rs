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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    password: String,
    role: Option<String>,
    #[serde(default)]
    topics: Option<Vec<String>>,
}

/// `PUT /v1/users/{user}` with `{"password", "role", "topics"}`: makes or changes a user. 204.
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
