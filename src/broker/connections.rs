//! Who is connected: the sessions of all doors, with a few figures each. A session counts into atomics
//! of its own, a batch at a time; nobody asks it, and the list costs nothing until somebody looks.

use super::clock;
use crate::queue::Timestamp;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::oneshot;

/// Rates are taken over one to two of these.
const SAMPLE: Duration = Duration::from_secs(5);

/// What a session counts, for all to see.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
    buffered: AtomicU64,
    subscriptions: AtomicU32,
    in_flight: AtomicU32,
    lagging: AtomicU32,
}

impl Traffic {
    /// So many messages came from the client.
    pub fn received(&self, messages: usize) {
        self.received.fetch_add(messages as u64, Relaxed);
    }

    /// So many went to it.
    pub fn sent(&self, messages: usize) {
        self.sent.fetch_add(messages as u64, Relaxed);
    }

    /// So many bytes wait to be written to it.
    pub fn buffer(&self, bytes: usize) {
        self.buffered.fetch_add(bytes as u64, Relaxed);
    }

    /// So many of them do not any more.
    pub fn unbuffer(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes as u64, Relaxed);
    }

    /// It subscribed to a topic or consumes a queue.
    pub fn subscribed(&self) {
        self.subscriptions.fetch_add(1, Relaxed);
    }

    /// And does not any more.
    pub fn unsubscribed(&self) {
        self.subscriptions.fetch_sub(1, Relaxed);
    }

    /// It holds so many deliveries.
    pub fn holds(&self, deliveries: usize) {
        self.in_flight.store(u32::try_from(deliveries).unwrap_or(u32::MAX), Relaxed);
    }

    /// A subscription of it began to lag, or ended that.
    pub(super) fn lags(&self, begins: bool) {
        match begins {
            true => self.lagging.fetch_add(1, Relaxed),
            false => self.lagging.fetch_sub(1, Relaxed),
        };
    }
}

/// Ends a session in its dialect's manner.
pub type Closer = Box<dyn FnOnce() + Send>;

/// A [`Closer`], and what the session waits for beside everything else.
pub fn closing() -> (Closer, Closing) {
    let (close, told) = oneshot::channel();
    // A session that has ended meanwhile need not be.
    let close = Box::new(move || {
        let _ = close.send(());
    });
    (close, Closing(Some(told)))
}

/// Ready when somebody wants the session to end.
#[derive(Debug)]
pub struct Closing(Option<oneshot::Receiver<()>>);

impl Future for Closing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(told) = &mut self.0 else { return Poll::Pending };
        match Pin::new(told).poll(task) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // It is not on the list: nobody ever will.
            Poll::Ready(Err(_)) => {
                self.0 = None;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// A session that begins.
pub struct Arrival {
    /// Its door, one of those that are counted.
    pub door: &'static str,
    /// Where the client comes from.
    pub peer: Option<SocketAddr>,
    /// Who it is; `None`: nobody, or not yet.
    pub user: Option<Arc<str>>,
    /// Bytes that may wait to be written to it.
    pub buffer_bytes_max: u64,
    /// Ends it.
    pub close: Closer,
}

/// A session as others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionView {
    /// Its number; none is given twice.
    pub id: u64,
    /// Its door.
    pub door: &'static str,
    /// Where the client comes from.
    pub peer: Option<SocketAddr>,
    /// Who it is.
    pub user: Option<Arc<str>>,
    /// Since when.
    pub since: Timestamp,
    /// Topics it is subscribed to, queues it consumes.
    pub subscriptions: u32,
    /// Deliveries it holds, and which come back when it goes.
    pub in_flight: u32,
    /// Bytes that wait to be written to it.
    pub buffer_bytes: u64,
    /// Bytes that may.
    pub buffer_bytes_max: u64,
    /// Messages it sends per second.
    pub received_per_s: f64,
    /// Messages it is sent per second.
    pub sent_per_s: f64,
    /// A subscription of it cannot follow.
    pub slow: bool,
}

/// What was counted at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    received: u64,
    sent: u64,
}

struct Known {
    door: &'static str,
    peer: Option<SocketAddr>,
    user: Option<Arc<str>>,
    since: Timestamp,
    buffer_bytes_max: u64,
    close: Option<Closer>,
    traffic: Arc<Traffic>,
    older: Sample,
    newer: Sample,
}

impl Known {
    fn sample(&self, at: Timestamp) -> Sample {
        let (received, sent) = (&self.traffic.received, &self.traffic.sent);
        Sample { at, received: received.load(Relaxed), sent: sent.load(Relaxed) }
    }

    fn view(&self, id: u64, now: Timestamp) -> ConnectionView {
        let (counted, traffic) = (self.sample(now), &self.traffic);
        // Within its first second, nobody can tell a rate.
        let span_ms = now.since_ms(self.older.at).max(1000);
        let rate =
            |now: u64, before: u64| now.saturating_sub(before) as f64 * 1000.0 / span_ms as f64;
        ConnectionView {
            id,
            door: self.door,
            peer: self.peer,
            user: self.user.clone(),
            since: self.since,
            subscriptions: traffic.subscriptions.load(Relaxed),
            in_flight: traffic.in_flight.load(Relaxed),
            buffer_bytes: traffic.buffered.load(Relaxed),
            buffer_bytes_max: self.buffer_bytes_max,
            received_per_s: rate(counted.received, self.older.received),
            sent_per_s: rate(counted.sent, self.older.sent),
            slow: traffic.lagging.load(Relaxed) > 0,
        }
    }
}

/// The actor that knows them all, by number.
pub struct Connections {
    max: usize,
    all: BTreeMap<u64, Known>,
}

impl Connections {
    /// Starts it; at most `max` are listed, the others only counted.
    pub fn start_with(max: usize) -> Addr<Connections> {
        Connections { max, all: BTreeMap::new() }.start()
    }
}

impl Actor for Connections {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // As many arrive at once as there may be.
        ctx.set_mailbox_capacity(1024);
        ctx.run_interval(SAMPLE, |connections, _| {
            let now = clock::now();
            for known in connections.all.values_mut() {
                known.older = known.newer;
                known.newer = known.sample(now);
            }
        });
    }
}

/// To the connections: one has come.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Enter(pub u64, pub Arrival, pub Arc<Traffic>);

impl Handler<Enter> for Connections {
    type Result = ();

    fn handle(&mut self, Enter(id, arrival, traffic): Enter, _: &mut Context<Self>) {
        if self.all.len() >= self.max {
            return;
        }
        let Arrival { door, peer, user, buffer_bytes_max, close } = arrival;
        let since = clock::now();
        let none = Sample { at: since, received: 0, sent: 0 };
        let (close, older, newer) = (Some(close), none, none);
        let known =
            Known { door, peer, user, since, buffer_bytes_max, close, traffic, older, newer };
        self.all.insert(id, known);
    }
}

/// To the connections: it is this user's now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Called(pub u64, pub Option<Arc<str>>);

impl Handler<Called> for Connections {
    type Result = ();

    fn handle(&mut self, Called(id, user): Called, _: &mut Context<Self>) {
        if let Some(known) = self.all.get_mut(&id) {
            known.user = user;
        }
    }
}

/// To the connections: it has gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Leave(pub u64);

impl Handler<Leave> for Connections {
    type Result = ();

    fn handle(&mut self, Leave(id): Leave, _: &mut Context<Self>) {
        self.all.remove(&id);
    }
}

/// To the connections: end this one. False: there is none of that number.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) struct CloseConnection(pub u64);

impl Handler<CloseConnection> for Connections {
    type Result = bool;

    fn handle(&mut self, CloseConnection(id): CloseConnection, _: &mut Context<Self>) -> bool {
        let Some(known) = self.all.get_mut(&id) else { return false };
        // Whoever asks a second time while it ends is told the same.
        if let Some(close) = known.close.take() {
            close();
        }
        true
    }
}

/// By what connections are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionSort {
    /// By number: the oldest first.
    #[default]
    Since,
    /// By door.
    Door,
    /// By where the client comes from.
    Peer,
    /// By user.
    User,
    /// By subscriptions.
    Subscriptions,
    /// By deliveries held.
    InFlight,
    /// By bytes that wait.
    BufferBytes,
    /// By what it sends.
    ReceivedPerS,
    /// By what it is sent.
    SentPerS,
    /// The slow ones last.
    Slow,
}

/// Which connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ConnectionsQuery {
    /// Of this door.
    pub door: Option<String>,
    /// Of this user.
    pub user: Option<String>,
    /// With this in their door, peer or user.
    pub filter: String,
    /// Behind this number.
    pub after: u64,
    /// In which order.
    pub sort: ConnectionSort,
    /// The other way round.
    pub desc: bool,
    /// Without the first so many.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

impl ConnectionsQuery {
    fn takes(&self, view: &ConnectionView) -> bool {
        let user = view.user.as_deref().unwrap_or_default();
        let door = self.door.as_deref().is_none_or(|door| door == view.door);
        let of = self.user.as_deref().is_none_or(|wanted| wanted == user);
        door && of
            && (self.filter.is_empty() || {
                let peer = view.peer.map(|peer| peer.to_string()).unwrap_or_default();
                [view.door, &peer, user].iter().any(|text| text.contains(&self.filter))
            })
    }

    fn compare(&self, one: &ConnectionView, other: &ConnectionView) -> std::cmp::Ordering {
        let order = match self.sort {
            ConnectionSort::Since => one.id.cmp(&other.id),
            ConnectionSort::Door => one.door.cmp(other.door),
            ConnectionSort::Peer => one.peer.cmp(&other.peer),
            ConnectionSort::User => one.user.cmp(&other.user),
            ConnectionSort::Subscriptions => one.subscriptions.cmp(&other.subscriptions),
            ConnectionSort::InFlight => one.in_flight.cmp(&other.in_flight),
            ConnectionSort::BufferBytes => one.buffer_bytes.cmp(&other.buffer_bytes),
            ConnectionSort::ReceivedPerS => one.received_per_s.total_cmp(&other.received_per_s),
            ConnectionSort::SentPerS => one.sent_per_s.total_cmp(&other.sent_per_s),
            ConnectionSort::Slow => one.slow.cmp(&other.slow),
        };
        let order = if self.desc { order.reverse() } else { order };
        order.then(one.id.cmp(&other.id))
    }
}

/// Some connections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionsPage {
    /// All that are listed.
    pub total: usize,
    /// Those that the query takes.
    pub matching: usize,
    /// The page.
    pub rows: Vec<ConnectionView>,
}

/// To the connections: show some.
#[derive(Message)]
#[rtype(result = "ConnectionsPage")]
pub(super) struct ListConnections(pub ConnectionsQuery);

impl Handler<ListConnections> for Connections {
    type Result = actix::MessageResult<ListConnections>;

    fn handle(
        &mut self,
        ListConnections(query): ListConnections,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let now = clock::now();
        let after = self.all.range(query.after.saturating_add(1)..);
        let mut rows: Vec<ConnectionView> = after
            .map(|(id, known)| known.view(*id, now))
            .filter(|view| query.takes(view))
            .collect();
        let matching = rows.len();
        rows.sort_by(|one, other| query.compare(one, other));
        let rows = rows.into_iter().skip(query.offset).take(query.limit).collect();
        actix::MessageResult(ConnectionsPage { total: self.all.len(), matching, rows })
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("door", &self.door).field("peer", &self.peer).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(id: u64, door: &'static str, peer: &str, user: Option<&str>) -> ConnectionView {
        ConnectionView {
            id,
            door,
            peer: peer.parse().ok(),
            user: user.map(Arc::from),
            since: Timestamp(0),
            subscriptions: 0,
            in_flight: 0,
            buffer_bytes: id % 2,
            buffer_bytes_max: 0,
            received_per_s: 0.0,
            sent_per_s: 10.0 - id as f64,
            slow: false,
        }
    }

    #[test]
    fn a_query_takes_what_it_names() {
        let ada = view(1, "otq", "127.0.0.1:5000", Some("ada"));
        let nobody = view(2, "okq", "10.0.0.9:6000", None);
        let table: [(ConnectionsQuery, bool, bool); 5] = [
            (ConnectionsQuery::default(), true, true),
            (ConnectionsQuery { door: Some("okq".into()), ..Default::default() }, false, true),
            (ConnectionsQuery { user: Some("ada".into()), ..Default::default() }, true, false),
            (ConnectionsQuery { filter: "0.0.9:6".into(), ..Default::default() }, false, true),
            (ConnectionsQuery { filter: "otq".into(), ..Default::default() }, true, false),
        ];
        for (query, first, second) in table {
            assert_eq!((query.takes(&ada), query.takes(&nobody)), (first, second), "{query:?}");
        }
    }

    #[test]
    fn the_order_is_total_whatever_is_equal() {
        let mut rows: Vec<_> = (1..=4).map(|id| view(id, "otq", "", None)).collect();
        let mut sorted = |sort, desc| {
            let query = ConnectionsQuery { sort, desc, ..Default::default() };
            rows.sort_by(|one, other| query.compare(one, other));
            rows.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(sorted(ConnectionSort::BufferBytes, false), [2, 4, 1, 3]);
        assert_eq!(sorted(ConnectionSort::BufferBytes, true), [1, 3, 2, 4]);
        assert_eq!(sorted(ConnectionSort::SentPerS, false), [4, 3, 2, 1]);
        assert_eq!(sorted(ConnectionSort::Since, true), [4, 3, 2, 1]);
    }
}
