//! The body of a request, whole and within its bound.

use super::problem::Problem;
use actix_web::{FromRequest, HttpRequest, dev::Payload, error::PayloadError, web};
use futures_util::future::{FutureExt as _, Map};
use std::ops::Deref;

/// All of a request's body, at most `http.request_bytes_max`. Unlike actix's own extractor it
/// refuses with a [`Problem`].
pub struct Body(web::Bytes);

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

type Read = Result<web::Bytes, actix_web::Error>;

impl FromRequest for Body {
    type Error = Problem;
    type Future = Map<<web::Bytes as FromRequest>::Future, fn(Read) -> Result<Body, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        web::Bytes::from_request(request, payload).map(|read| read.map(Body).map_err(problem))
    }
}

fn problem(error: actix_web::Error) -> Problem {
    match error.as_error::<PayloadError>() {
        Some(PayloadError::Overflow) => {
            let detail = "the request's body is longer than `http.request_bytes_max`";
            Problem::new(413, "too_large", "The message is too large", detail)
        }
        _ => Problem::invalid(format!("body: {error}")),
    }
}
