//! Browsers log in with a password and say a cookie from then on.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::object::object;
use super::problem::Problem;
use crate::broker::{BrokerError, NewSession};
use crate::dialect::caller::{COOKIE, Cookie};
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use serde::{Deserialize, Serialize};
use std::future::{Ready, ready};
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Longest request for a login.
pub const LOGIN_BYTES_MAX: usize = 64 << 10;

/// Somebody who may come, and has not said yet who it is. A handler that takes it first reads nothing of
/// those who may not.
pub struct Anybody;

impl FromRequest for Anybody {
    type Error = Problem;
    type Future = Ready<Result<Anybody, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let admitted = match request.app_data::<web::Data<Native>>() {
            Some(native) => native.gate.admit(request).map_err(Problem::from),
            None => Err(BrokerError::Stopping.into()),
        };
        ready(admitted.map(|()| Anybody))
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    /// Its name.
    user: String,
    /// As it was set.
    password: String,
    /// Only look, whatever the user may.
    #[serde(default)]
    read_only: bool,
}

#[derive(Serialize, ToSchema)]
struct BegunView<'a> {
    user: Option<&'a str>,
    role: String,
    csrf: String,
    expires_at_ms: i64,
    read_only: bool,
}

/// `POST /v1/session` with `{"user", "password", "read_only"}`: 200, the cookie, and the word that
/// requests which change something must say in `octoq-csrf`.
#[utoipa::path(
    post, path = "/v1/session", tag = "accounts", operation_id = "log_in",
    summary = "Log in with a cookie",
    request_body(content = LoginBody, example = json!({"user": "admin", "password": "password"})),
    responses((status = 200, description = "Logged in; the cookie is set", body = BegunView)),
)]
pub async fn begin(
    request: HttpRequest,
    _anybody: Anybody,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let login: LoginBody = object(&body)?;
    let opened = native.broker.open_session(&login.user, &login.password, login.read_only).await;
    // A browser would ask for a password by itself, and the page has just done so.
    let NewSession { caller, id, expires_at } =
        opened.map_err(|error| Problem::from(error).quiet())?;
    if let Some(before) = Cookie::of(&request).and_then(|cookie| cookie.id) {
        native.broker.close_session(&before).await?;
    }
    let mut cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/", id.text());
    if is_https(&request, &native) {
        cookie.push_str("; Secure");
    }
    let view = BegunView {
        user: caller.user(),
        role: caller.role(),
        csrf: id.csrf(),
        expires_at_ms: expires_at.0,
        read_only: caller.is_read_only(),
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::SET_COOKIE, cookie))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(view))
}

/// The browser speaks https, with octoq's proxy.
fn is_https(request: &HttpRequest, native: &Native) -> bool {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let trusted = |proxy: &std::net::IpAddr| Some(proxy.to_canonical()) == peer;
    let said = request.headers().get(header::X_FORWARDED_PROTO);
    let https = said.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
    native.ui.cookie_secure || (https && native.ui.trusted_proxies.iter().any(trusted))
}

#[derive(Serialize, ToSchema)]
struct May {
    /// Everything with topics and connections.
    operate: bool,
    /// Users, tokens, definitions and backups as well.
    administer: bool,
}

#[derive(Serialize, ToSchema)]
struct SessionView<'a> {
    user: Option<&'a str>,
    role: String,
    csrf: Option<String>,
    read_only: bool,
    anonymous: bool,
    may: May,
}

/// `GET /v1/session`: who asks, however it came, and what it may do.
#[utoipa::path(
    get, path = "/v1/session", tag = "accounts", operation_id = "session",
    summary = "Who asks, and what it may do",
    responses((status = 200, description = "The caller", body = SessionView)),
)]
pub async fn show(request: HttpRequest, Who(caller): Who) -> Answer {
    let id = Cookie::of(&request).and_then(|cookie| cookie.id).filter(|_| caller.has_session());
    let view = SessionView {
        user: caller.user(),
        role: caller.role(),
        csrf: id.map(|id| id.csrf()),
        read_only: caller.is_read_only(),
        anonymous: caller.user().is_none(),
        may: May { operate: caller.is_operator(), administer: caller.is_admin() },
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(view))
}

/// `DELETE /v1/session`: 204, also when there is none any more.
#[utoipa::path(
    delete, path = "/v1/session", tag = "accounts", operation_id = "log_out",
    summary = "Log out",
    responses((status = 204, description = "There is no session any more")),
)]
pub async fn end(request: HttpRequest, _anybody: Anybody, native: web::Data<Native>) -> Answer {
    if let Some(cookie) = Cookie::of(&request)
        && let Some(id) = &cookie.id
    {
        match native.broker.login_with_session(id).await {
            Ok(_) => {
                cookie.check()?;
                native.broker.close_session(id).await?;
            }
            Err(BrokerError::Unauthenticated) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(HttpResponse::NoContent().insert_header((header::SET_COOKIE, no_cookie())).finish())
}

/// Makes a browser forget the cookie.
pub fn no_cookie() -> String {
    format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")
}
