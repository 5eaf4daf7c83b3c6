//! The body of an HTTP request: whole, within its bound, and in time.

use actix_web::{FromRequest, HttpRequest, dev::Payload, error::PayloadError, web};
use std::{
    marker::PhantomData,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

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

/// Reads all of it. Mostly it has come with the head, and is there at once: then no time is set.
pub fn read(request: &HttpRequest, payload: &mut Payload) -> Reading {
    let within = request.app_data::<BodyTimeout>().map_or(Duration::MAX, |timeout| timeout.0);
    Reading { body: web::Bytes::from_request(request, payload), within, late: None }
}

/// A body on its way.
pub struct Reading {
    body: <web::Bytes as FromRequest>::Future,
    within: Duration,
    /// Set once it was waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl Future for Reading {
    type Output = Result<web::Bytes, Unread>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(read) = Pin::new(&mut self.body).poll(task) {
            return Poll::Ready(read.map_err(|error| match error.as_error::<PayloadError>() {
                Some(PayloadError::Overflow) => Unread::TooLong,
                _ => Unread::Broken(error.to_string()),
            }));
        }
        let within = self.within;
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        late.as_mut().poll(task).map(|()| Err(Unread::TooSlow))
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
    type Future = BodyReading<E>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        BodyReading(read(request, payload), PhantomData)
    }
}

/// A [`Body`] on its way.
pub struct BodyReading<E>(Reading, PhantomData<fn() -> E>);

impl<E: From<Unread>> Future for BodyReading<E> {
    type Output = Result<Body<E>, E>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let read = ready!(Pin::new(&mut self.0).poll(task));
        Poll::Ready(read.map(|bytes| Body(bytes, PhantomData)).map_err(E::from))
    }
}
