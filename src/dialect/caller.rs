//! Who sends an HTTP request: credentials, where it comes from, and whether a browser may send it.
//! The same for every HTTP door; each says a refusal in its own words.

use crate::auth::SessionId;
use crate::broker::{Broker, BrokerError, Caller};
use crate::config::{Anonymous, Config};
use actix_web::{
    HttpRequest,
    http::{Method, header},
};
use base64::Engine as _;
use std::{net::IpAddr, sync::Arc};

/// What a 401 asks for, in `WWW-Authenticate`.
pub const CHALLENGE: &str = "Basic realm=\"octoq\", charset=\"UTF-8\"";

/// The cookie that says which session a browser has.
pub const COOKIE: &str = "octoq_session";
/// The header that says its second word.
pub const CSRF: &str = "octoq-csrf";

/// Lets callers in.
#[derive(Clone)]
pub struct Gate {
    broker: Broker,
    anonymous: Anonymous,
    origins: Arc<[String]>,
    cookies: bool,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// The topics are being loaded.
    #[error("the broker is starting")]
    Starting,
    /// A page of a web site that may not come here.
    #[error("the Origin is not this broker's and not in `http.origins`")]
    ForeignOrigin,
    /// Credentials of another form.
    #[error("the Authorization header is neither `Basic <base64>` nor `Bearer <token>`")]
    Malformed,
    /// A cookie that is good no more.
    #[error("the session has ended: log in again")]
    SessionEnded,
    /// A browser that does something, and does not say that its page wanted it.
    #[error("a request that changes something and has the cookie needs the header `octoq-csrf`")]
    Csrf,
    /// No credentials, from somebody who needs them.
    #[error("not authenticated: {0}")]
    Stranger(Stranger),
    /// Credentials that are wrong, or a broker that cannot say.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Why somebody needs credentials, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stranger {
    /// Everybody does.
    #[error("`auth.anonymous` is \"never\", so log in with Basic authentication")]
    Anybody,
    /// Only callers of this machine do not.
    #[error(
        "callers from other machines log in with Basic authentication \
         (`auth.anonymous = \"anywhere\"` lets them in without)"
    )]
    FromElsewhere,
    /// A proxy speaks for somebody who may be anywhere.
    #[error(
        "what a proxy passes on needs Basic authentication \
         (`auth.anonymous = \"anywhere\"` lets it in without)"
    )]
    Forwarded,
    /// A web page could have made the name point to this machine (DNS rebinding).
    #[error(
        "a caller without credentials names this machine as `127.0.0.1`, `[::1]` or `localhost`, \
         not by another name: use such an address, or log in with Basic authentication"
    )]
    HostName,
}

/// What a request says about its sender.
pub enum Claim {
    /// Nothing, and nothing is needed.
    Nobody(Caller),
    /// A user with a password, to be checked.
    User(String, String),
    /// A bearer token, likewise.
    Token(String),
    /// A cookie, likewise.
    Session(Cookie),
}

/// A cookie, and what belongs to it.
pub struct Cookie {
    /// `None`: it is the name of no session.
    pub id: Option<SessionId>,
    /// The second word, where it was said.
    csrf: Option<String>,
    /// The request changes nothing.
    safe: bool,
}

impl Cookie {
    /// The one of a request, if it has one. Of several the first counts.
    pub fn of(request: &HttpRequest) -> Option<Cookie> {
        let lines = request.headers().get_all(header::COOKIE);
        let mut pairs =
            lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
        let value = pairs.find_map(|pair| match pair.trim().split_once('=') {
            Some((COOKIE, value)) => Some(value),
            _ => None,
        })?;
        let csrf = request.headers().get(CSRF).and_then(|word| word.to_str().ok());
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        Some(Cookie { id: SessionId::parse(value), csrf: csrf.map(str::to_owned), safe })
    }

    /// Whether the page wanted the request.
    ///
    /// Errors: `Csrf`.
    pub fn check(&self) -> Result<(), Turned> {
        let said = |id: &SessionId| self.csrf.as_ref().is_some_and(|csrf| id.is_csrf(csrf));
        match self.safe || self.id.as_ref().is_some_and(said) {
            true => Ok(()),
            false => Err(Turned::Csrf),
        }
    }
}

impl Gate {
    /// As `[auth]` and `http.origins` say.
    pub fn new(broker: &Broker, config: &Config) -> Gate {
        let (anonymous, origins) = (config.auth.anonymous, config.http.origins.clone().into());
        Gate { broker: broker.clone(), anonymous, origins, cookies: false }
    }

    /// The same, which also lets in browsers that have logged in.
    pub fn with_cookies(self) -> Gate {
        Gate { cookies: true, ..self }
    }

    /// Whether a request may come at all, whoever sends it.
    ///
    /// Errors: `Starting`, `ForeignOrigin`.
    pub fn admit(&self, request: &HttpRequest) -> Result<(), Turned> {
        if !self.broker.is_started() {
            return Err(Turned::Starting);
        }
        self.check_origin(request)
    }

    /// Looks at a request; nothing is waited for.
    pub fn claim(&self, request: &HttpRequest) -> Result<Claim, Turned> {
        self.admit(request)?;
        // A page of another site cannot say the header, so it needs no second word.
        match credentials(request)?.or_else(|| self.cookie(request)) {
            Some(claim) => Ok(claim),
            None => match self.is_stranger(request) {
                None => Ok(Claim::Nobody(self.broker.anonymous())),
                Some(stranger) => Err(Turned::Stranger(stranger)),
            },
        }
    }

    /// The caller of a request, checked.
    pub async fn caller(&self, claim: Claim) -> Result<Caller, Turned> {
        match claim {
            Claim::Nobody(caller) => Ok(caller),
            Claim::Token(token) => Ok(self.broker.login_with_token(&token)?),
            Claim::User(user, password) => Ok(self.broker.login(&user, &password).await?),
            Claim::Session(cookie) => {
                let id = cookie.id.as_ref().ok_or(Turned::SessionEnded)?;
                let caller = match self.broker.login_with_session(id).await {
                    Err(BrokerError::Unauthenticated) => return Err(Turned::SessionEnded),
                    caller => caller?,
                };
                cookie.check()?;
                Ok(caller)
            }
        }
    }

    fn cookie(&self, request: &HttpRequest) -> Option<Claim> {
        self.cookies.then(|| Cookie::of(request)).flatten().map(Claim::Session)
    }

    /// A web page of another site must not act through somebody's browser: an `Origin` must be the
    /// door's own or a configured one.
    fn check_origin(&self, request: &HttpRequest) -> Result<(), Turned> {
        let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
        let origin = origin.to_str().unwrap_or_default();
        let own = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|host| header_text(request, header::HOST) == Some(host));
        if own || self.origins.iter().any(|allowed| allowed == origin) {
            return Ok(());
        }
        Err(Turned::ForeignOrigin)
    }

    /// Who comes without credentials must come from this machine, by an address (a name could have been
    /// made to point here by the page that uses it), and not passed on by a proxy.
    fn is_stranger(&self, request: &HttpRequest) -> Option<Stranger> {
        match self.anonymous {
            Anonymous::Never => return Some(Stranger::Anybody),
            Anonymous::Anywhere => return None,
            Anonymous::Local => (),
        }
        let local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        let forwarded = request.headers().contains_key(header::FORWARDED)
            || request.headers().contains_key(header::X_FORWARDED_FOR);
        if !local {
            Some(Stranger::FromElsewhere)
        } else if forwarded {
            Some(Stranger::Forwarded)
        } else if !host_is_an_address(header_text(request, header::HOST)) {
            Some(Stranger::HostName)
        } else {
            None
        }
    }
}

fn header_text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

fn credentials(request: &HttpRequest) -> Result<Option<Claim>, Turned> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Turned::Malformed)?;
    let (scheme, coded) = text.split_once(' ').ok_or(Turned::Malformed)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Claim::Token(coded.trim().to_owned())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Turned::Malformed);
    }
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(coded.trim())
        .map_err(|_| Turned::Malformed)?;
    let pair = String::from_utf8(bytes).map_err(|_| Turned::Malformed)?;
    let (user, password) = pair.split_once(':').ok_or(Turned::Malformed)?;
    Ok(Some(Claim::User(user.to_owned(), password.to_owned())))
}

fn host_is_an_address(host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_cookie_is_found_among_others() {
        let id = "0123456789abcdef".repeat(4);
        let table = [
            (vec![format!("{COOKIE}={id}")], Some(true)),
            (vec![format!("a=b; {COOKIE}={id};c=d")], Some(true)),
            (vec!["a=b".to_owned(), format!("{COOKIE}={id}")], Some(true)),
            (vec![format!("{COOKIE}=;{COOKIE}={id}")], Some(false)),
            (vec![format!("{COOKIE}=x")], Some(false)),
            (vec![format!("x{COOKIE}={id}")], None),
            (vec![COOKIE.to_owned()], None),
            (Vec::new(), None),
        ];
        for (lines, known) in table {
            let request = lines.iter().fold(TestRequest::get(), |request, line| {
                request.append_header((header::COOKIE, line.as_str()))
            });
            let found = Cookie::of(&request.to_http_request());
            assert_eq!(found.map(|cookie| cookie.id.is_some()), known, "{lines:?}");
        }
    }

    #[test]
    fn what_changes_something_needs_the_second_word() {
        let id = SessionId::fresh().unwrap();
        let cookie = (header::COOKIE, format!("{COOKIE}={}", id.text()));
        let check = |request: TestRequest| {
            let request = request.append_header(cookie.clone()).to_http_request();
            Cookie::of(&request).unwrap().check()
        };
        for safe in [Method::GET, Method::HEAD] {
            assert_eq!(check(TestRequest::default().method(safe)), Ok(()));
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let request = || TestRequest::default().method(method.clone());
            assert_eq!(check(request()), Err(Turned::Csrf));
            assert_eq!(check(request().append_header((CSRF, "wrong"))), Err(Turned::Csrf));
            assert_eq!(check(request().append_header((CSRF, id.csrf()))), Ok(()));
        }
    }

    #[test]
    fn only_addresses_and_localhost_count_as_local_hosts() {
        let table = [
            (None, true),
            (Some("localhost:6790"), true),
            (Some("LOCALHOST"), true),
            (Some("127.0.0.1:6790"), true),
            (Some("[::1]:6790"), true),
            (Some("[::1]"), true),
            (Some("evil.example:6790"), false),
            (Some(""), false),
        ];
        for (host, local) in table {
            assert_eq!(host_is_an_address(host), local, "{host:?}");
        }
    }
}
