//! Who sends a request, and what it carries.

use super::Blockqueue;
use super::answer::Refused;
use crate::broker::{BrokerError, Caller};
use crate::dialect::{body, caller::Claim};
use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::future::{Either, LocalBoxFuture};

/// The caller of a request, checked. The original has no credentials; here they are needed where
/// `[auth]` says so.
pub struct Who(pub Caller);

impl FromRequest for Who {
    type Error = Refused;
    type Future = Either<
        std::future::Ready<Result<Who, Refused>>,
        LocalBoxFuture<'static, Result<Who, Refused>>,
    >;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let now = |answer| Either::Left(std::future::ready(answer));
        let Some(door) = request.app_data::<web::Data<Blockqueue>>().cloned() else {
            return now(Err(BrokerError::Stopping.into()));
        };
        match door.gate.claim(request) {
            Err(turned) => now(Err(turned.into())),
            Ok(Claim::Nobody(caller)) => now(Ok(Who(caller))),
            Ok(claim) => {
                Either::Right(Box::pin(async move { Ok(Who(door.gate.caller(claim).await?)) }))
            }
        }
    }
}

/// All of a request's body.
pub type Body = body::Body<Refused>;
