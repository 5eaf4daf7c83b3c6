//! The body of a request, and how a refusal of it is said here.

use super::problem::Problem;
use crate::dialect::body::{self, BodyReading, Unread};
use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::CONTENT_ENCODING, web};
use futures_util::{
    TryFutureExt as _,
    future::{Either, MapOk},
};
use std::{
    future::{Ready, ready},
    ops::Deref,
};

/// All of a request's body, at most `http.request_bytes_max`, as the client sent it: no content
/// encoding is undone, and none but `identity` is taken.
pub struct Body(body::Body<Problem>);

impl Body {
    /// The bytes themselves.
    pub fn into_bytes(self) -> web::Bytes {
        self.0.into_bytes()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

fn check_encoding(request: &HttpRequest) -> Result<(), Problem> {
    let mut codings = request.headers().get_all(CONTENT_ENCODING);
    match codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        None => Ok(()),
        Some(coding) => Err(Problem::new(
            415,
            "unsupported_encoding",
            "This content encoding is not known",
            format!("`{}` is not known here", String::from_utf8_lossy(coding.as_bytes())),
        )),
    }
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Either<Ready<Result<Body, Problem>>, MapOk<BodyReading<Problem>, Wrap>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        match check_encoding(request) {
            Err(problem) => Either::Left(ready(Err(problem))),
            Ok(()) => {
                Either::Right(body::Body::from_request(request, payload).map_ok(Body as Wrap))
            }
        }
    }
}

type Wrap = fn(body::Body<Problem>) -> Body;

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        let detail = unread.to_string();
        match unread {
            Unread::TooLong => Problem::new(413, "too_large", "The message is too large", detail),
            Unread::TooSlow => Problem::new(408, "too_slow", "The request took too long", detail),
            Unread::Broken(_) => Problem::invalid(detail),
        }
    }
}
