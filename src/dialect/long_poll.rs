//! Long polls over HTTP: a client that leaves while it waits gets nothing, and delays nothing.
//!
//! actix does not tell a handler that its client has left: it ends the handler only when an answer
//! cannot be written, and by then the answer holds messages. So the connection itself is watched: a
//! second handle on the socket, taken when the connection is accepted ([`Peer`]), sees the end of
//! what the client sends. A client that only half closes, with a long poll still open, counts as gone;
//! Go's server, which blockqueue's clients know, counts it so, too.

use crate::broker::{BrokerError, Op, Reply, TopicHandle};
use crate::queue::Receipt;
use actix_web::HttpRequest;
use std::net::{Shutdown, TcpStream as StdStream};
use std::{
    future::pending,
    io,
    os::fd::AsFd,
    rc::{Rc, Weak},
    time::Duration,
};
use tokio::{io::Interest, net::TcpStream, time::timeout};

/// Answers that are there within this time are not worth watching the connection for.
const GRACE: Duration = Duration::from_millis(5);

/// The client's end of a connection.
#[derive(Clone)]
pub struct Peer(Rc<StdStream>);

impl Peer {
    /// Of a connection that was just accepted.
    pub fn of(stream: &impl AsFd) -> io::Result<Peer> {
        Ok(Peer(Rc::new(StdStream::from(stream.as_fd().try_clone_to_owned()?))))
    }

    /// The same, without keeping the connection open.
    pub fn leash(&self) -> Leash {
        Leash(Rc::downgrade(&self.0))
    }

    /// Whether it will send nothing more. What it has sent and nobody has read yet hides its leaving.
    pub fn has_left(&self) -> bool {
        match self.0.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => {
                !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }

    /// Returns when it has left.
    pub async fn left(&self) {
        if let Err(error) = self.watch().await {
            log::debug!("a connection cannot be watched: {error}");
            pending().await
        }
    }

    async fn watch(&self) -> io::Result<()> {
        let watched = TcpStream::from_std(self.0.try_clone()?)?;
        loop {
            if watched.ready(Interest::READABLE).await?.is_read_closed() {
                return Ok(());
            }
            let look = || match self.has_left() {
                true => Ok(()),
                // Waits for the next event.
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
            if watched.try_io(Interest::READABLE, look).is_ok() {
                return Ok(());
            }
        }
    }
}

/// Ends a connection whose client takes nothing more, and so cannot be told the end.
#[derive(Clone)]
pub struct Leash(Weak<StdStream>);

impl Leash {
    /// Ends it, if it is still there.
    pub fn cut(&self) {
        if let Some(stream) = self.0.upgrade() {
            // One that has ended meanwhile needs no end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// What a long poll came to.
#[derive(Debug, PartialEq)]
pub enum Polled {
    /// One reply for each op.
    Replies(Vec<Reply>),
    /// The client has left; what was meant for it waits for others.
    Left,
}

/// Asks a topic ops of which one waits. When the client leaves meanwhile the wait is over.
///
/// Errors: `Unavailable` when the topic died with the ops.
pub async fn ask(
    request: &HttpRequest,
    topic: &TopicHandle,
    ops: Vec<Op>,
) -> Result<Polled, BrokerError> {
    let mut asked = topic.ask_all(ops);
    let peer = request.conn_data::<Peer>();
    let replies = match (timeout(GRACE, &mut asked).await, peer) {
        (Ok(replies), _) => replies?,
        (Err(_), None) => asked.await?,
        (Err(_), Some(peer)) => tokio::select! {
            biased;
            replies = &mut asked => replies?,
            () = peer.left() => return Ok(Polled::Left),
        },
    };
    let receipts: Vec<Receipt> = replies.iter().flat_map(receipts).collect();
    if !receipts.is_empty() && peer.is_some_and(Peer::has_left) {
        topic.take_back(receipts);
        return Ok(Polled::Left);
    }
    Ok(Polled::Replies(replies))
}

/// Work that is done within this time is done for a client that half closes, too.
const WORK_GRACE: Duration = Duration::from_millis(50);

/// Does a longer piece of work for a client; `None` when it left meanwhile, and the work was given up.
pub async fn while_there<T>(peer: Option<&Peer>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    match (timeout(WORK_GRACE, &mut work).await, peer) {
        (Ok(done), _) => Some(done),
        (Err(_), None) => Some(work.await),
        (Err(_), Some(peer)) => tokio::select! {
            biased;
            done = work => Some(done),
            () = peer.left() => None,
        },
    }
}

fn receipts(reply: &Reply) -> impl Iterator<Item = Receipt> {
    let deliveries = match reply {
        Reply::Delivered(deliveries) => deliveries.as_slice(),
        _ => &[],
    };
    deliveries.iter().filter_map(|delivery| delivery.receipt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn connection() -> (TcpStream, TcpStream, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        let peer = Peer::of(&server).unwrap();
        (client, server, peer)
    }

    /// Long enough for an event that has happened to be seen.
    const SOON: Duration = Duration::from_secs(10);
    /// Long enough to show that nothing is seen.
    const MOMENT: Duration = Duration::from_millis(50);

    #[actix_web::test]
    async fn a_client_that_closes_has_left() {
        let (client, _server, peer) = connection().await;
        assert!(!peer.has_left());
        assert!(timeout(MOMENT, peer.left()).await.is_err());
        let watching = peer.clone();
        let left = actix_web::rt::spawn(async move { watching.left().await });
        drop(client);
        timeout(SOON, left).await.unwrap().unwrap();
        assert!(peer.has_left());
        // And who looks later sees it at once.
        timeout(SOON, peer.left()).await.unwrap();
    }

    #[actix_web::test]
    async fn a_client_that_resets_has_left() {
        let (client, mut server, peer) = connection().await;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        timeout(SOON, peer.left()).await.unwrap();
        // Also when somebody else has read the error.
        assert!(server.read_u8().await.is_err());
        assert!(peer.has_left());
    }

    #[actix_web::test]
    async fn a_client_that_sends_on_is_there_and_is_read_by_others() {
        let (mut client, mut server, peer) = connection().await;
        client.write_all(b"next").await.unwrap();
        assert!(timeout(MOMENT, peer.left()).await.is_err());
        assert!(!peer.has_left());
        let mut read = [0; 4];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"next");
        assert!(!peer.has_left());
    }

    #[actix_web::test]
    async fn a_client_that_leaves_with_bytes_unread_is_seen_to_leave() {
        let (mut client, _server, peer) = connection().await;
        client.write_all(b"never read").await.unwrap();
        let watching = peer.clone();
        let left = actix_web::rt::spawn(async move { watching.left().await });
        drop(client);
        timeout(SOON, left).await.unwrap().unwrap();
    }

    #[actix_web::test]
    async fn work_ends_when_its_client_leaves_and_not_before() {
        let (client, _server, peer) = connection().await;
        assert_eq!(while_there(Some(&peer), async { 5 }).await, Some(5));
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let working = actix_web::rt::spawn(async move {
            while_there(Some(&peer), async { drop(gone.await) }).await
        });
        assert!(!working.is_finished());
        drop(client);
        assert_eq!(timeout(SOON, working).await.unwrap().unwrap(), None);
        assert!(go.is_closed(), "the work itself is gone");
        // Who cannot be watched is waited for.
        assert_eq!(while_there(None, async { 5 }).await, Some(5));
    }

    #[actix_web::test]
    async fn watching_keeps_no_connection_open() {
        let (mut client, server, peer) = connection().await;
        drop(server);
        drop(peer);
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
