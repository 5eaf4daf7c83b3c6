//! Who sends a request, and how a refusal is said here.

use super::{Native, problem::Problem, unasked};
use crate::broker::{BrokerError, Caller};
use crate::dialect::caller::{Claim, Turned};
use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::future::{Either, LocalBoxFuture};

/// The caller of a request, checked, and the request says nothing that nobody reads. Every handler of
/// `/v1` takes one.
pub struct Who(pub Caller);

impl From<Turned> for Problem {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Starting => Problem::new(
                503,
                "starting",
                "The broker is starting",
                "the topics are being loaded",
            ),
            Turned::ForeignOrigin => Problem::new(
                403,
                "foreign_origin",
                "Pages of this origin may not come here",
                turned.to_string(),
            ),
            Turned::Csrf => {
                Problem::new(403, "csrf", "The page must say its second word", turned.to_string())
            }
            Turned::SessionEnded => Problem::session_ended(turned.to_string()),
            Turned::Stranger(_) => Problem::unauthenticated(turned.to_string()),
            Turned::Malformed => Problem::invalid(turned.to_string()),
            Turned::Broker(error) => error.into(),
        }
    }
}

impl FromRequest for Who {
    type Error = Problem;
    type Future = Either<
        std::future::Ready<Result<Who, Problem>>,
        LocalBoxFuture<'static, Result<Who, Problem>>,
    >;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let now = |answer| Either::Left(std::future::ready(answer));
        let Some(native) = request.app_data::<web::Data<Native>>().cloned() else {
            return now(Err(BrokerError::Stopping.into()));
        };
        // What a script asks for is answered to the script.
        let mode = request.headers().get("sec-fetch-mode");
        let script = mode.is_some_and(|mode| mode.as_bytes() != b"navigate");
        let refuse = move |turned: Turned| match script {
            true => Problem::from(turned).quiet(),
            false => turned.into(),
        };
        let claim = match native.gate.claim(request) {
            Err(turned) => return now(Err(refuse(turned))),
            Ok(claim) => claim,
        };
        let (query, body) = (unasked::query(request), unasked::body(request, payload));
        match (claim, body) {
            (Claim::Nobody(caller), None) => now(query.map(|()| Who(caller))),
            (claim, body) => Either::Right(Box::pin(async move {
                let caller = match claim {
                    Claim::Nobody(caller) => caller,
                    claim => native.gate.caller(claim).await.map_err(refuse)?,
                };
                query?;
                if let Some(body) = body {
                    body.await?;
                }
                Ok(Who(caller))
            })),
        }
    }
}
