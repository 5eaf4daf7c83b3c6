//! The body of a request, and how a refusal of it is said here.

use super::problem::Problem;
use crate::dialect::body::{self, Unread};
use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use futures_util::future::LocalBoxFuture;
use std::ops::Deref;

/// All of a request's body, at most `http.request_bytes_max`.
pub struct Body(web::Bytes);

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Body, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let reading = body::read(request, payload);
        Box::pin(async move { Ok(Body(reading.await?)) })
    }
}

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
