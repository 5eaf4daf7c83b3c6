//! Who sends a request: credentials, where it comes from, and whether a browser may send it.

use super::{Native, problem::Problem};
use crate::broker::{BrokerError, Caller};
use crate::config::Anonymous;
use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web};
use base64::Engine as _;
use futures_util::future::LocalBoxFuture;
use std::net::IpAddr;

/// The caller of a request, checked. Every handler of `/v1` takes one.
pub struct Who(pub Caller);

impl FromRequest for Who {
    type Error = Problem;
    type Future = futures_util::future::Either<
        std::future::Ready<Result<Who, Problem>>,
        LocalBoxFuture<'static, Result<Who, Problem>>,
    >;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        use futures_util::future::Either;
        let Some(native) = request.app_data::<web::Data<Native>>().cloned() else {
            return Either::Left(std::future::ready(Err(BrokerError::Stopping.into())));
        };
        if !native.broker.is_started() {
            let detail = "the topics are being loaded";
            let problem = Problem::new(503, "starting", "The broker is starting", detail);
            return Either::Left(std::future::ready(Err(problem)));
        }
        if let Err(problem) = check_origin(request, &native) {
            return Either::Left(std::future::ready(Err(problem)));
        }
        match basic_credentials(request) {
            Err(problem) => Either::Left(std::future::ready(Err(problem))),
            Ok(Some((user, password))) => Either::Right(Box::pin(async move {
                Ok(Who(native.broker.login(&user, &password).await?))
            })),
            Ok(None) if anonymous_is_welcome(request, &native) => {
                Either::Left(std::future::ready(Ok(Who(native.broker.anonymous()))))
            }
            Ok(None) => Either::Left(std::future::ready(Err(BrokerError::Unauthenticated.into()))),
        }
    }
}

fn header_text(request: &HttpRequest, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

fn basic_credentials(request: &HttpRequest) -> Result<Option<(String, String)>, Problem> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let malformed =
        || Problem::invalid("the Authorization header is not of the form `Basic <base64>`");
    let text = value.to_str().map_err(|_| malformed())?;
    let (scheme, coded) = text.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(coded.trim()).map_err(|_| malformed())?;
    let pair = String::from_utf8(bytes).map_err(|_| malformed())?;
    let (user, password) = pair.split_once(':').ok_or_else(malformed)?;
    Ok(Some((user.to_owned(), password.to_owned())))
}

/// A web page of another site must not act through somebody's browser: an `Origin` must be the
/// door's own or a configured one.
fn check_origin(request: &HttpRequest, native: &Native) -> Result<(), Problem> {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let own = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .is_some_and(|host| header_text(request, header::HOST) == Some(host));
    if own || native.http.origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    Err(Problem::new(
        403,
        "foreign_origin",
        "Pages of this origin may not come here",
        "the Origin is not this broker's and not in `http.origins`",
    ))
}

/// Without credentials: from this machine, by an address (a name could have been made to point
/// here by the page that uses it), and not passed on by a proxy.
fn anonymous_is_welcome(request: &HttpRequest, native: &Native) -> bool {
    match native.anonymous {
        Anonymous::Never => false,
        Anonymous::Anywhere => true,
        Anonymous::Local => {
            let local =
                request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
            let forwarded = request.headers().contains_key("forwarded")
                || request.headers().contains_key("x-forwarded-for");
            local && !forwarded && host_is_an_address(header_text(request, header::HOST))
        }
    }
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
