//! The body of an HTTP request: whole, within its bound, and in time.

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::PayloadError, web};
use futures_util::future::LocalBoxFuture;
use std::{marker::PhantomData, ops::Deref, time::Duration};

/// Why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// More than the bound.
    #[error("the request's body is longer than `http.request_bytes_max`")]
    TooLong,
    /// Not all of it within the time.
    #[error("the request's body did not come within `http.body_timeout_ms`")]
    TooSlow,
    /// The connection ended, or the body is not coded as the request says.
    #[error("body: {0}")]
    Broken(String),
}

/// How long a client may take for a body; to be set beside actix's own bound for the length.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// Reads all of it.
pub fn read(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<web::Bytes, Unread>> + use<> {
    let within = request.app_data::<BodyTimeout>().map_or(Duration::MAX, |timeout| timeout.0);
    let reading = web::Bytes::from_request(request, payload);
    async move {
        match tokio::time::timeout(within, reading).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => Err(Unread::TooLong),
                _ => Err(Unread::Broken(error.to_string())),
            },
            Err(_) => Err(Unread::TooSlow),
        }
    }
}

/// All of a request's body, for handlers that take it; `E` says how a door refuses one.
pub struct Body<E>(web::Bytes, PhantomData<fn() -> E>);

impl<E> Body<E> {
    /// The bytes themselves.
    pub fn into_bytes(self) -> web::Bytes {
        self.0
    }
}

impl<E> Deref for Body<E> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<E: From<Unread> + Into<actix_web::Error> + 'static> FromRequest for Body<E> {
    type Error = E;
    type Future = LocalBoxFuture<'static, Result<Self, E>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let reading = read(request, payload);
        Box::pin(async move { Ok(Body(reading.await?, PhantomData)) })
    }
}
