//! All that is watched, once: every screen that somebody watches is made once a second, and what has
//! changed in it is put into bytes once, for all who have the version before.

use super::request::Screen;
use super::{patch, screens};
use crate::broker::{Broker, Caller, clock};
use crate::dialect::native::problem::Problem;
use crate::dialect::websocket::{self, Opcode};
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture,
};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};

/// A screen that takes longer to be made is not shown this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// A screen at one moment.
#[derive(Debug)]
pub struct Tick {
    /// When.
    pub at_ms: i64,
    /// The document; or why there is none.
    pub data: Result<Arc<Value>, Problem>,
    /// The document before, and the frame that makes this one of it, if that is not too long.
    pub step: Option<(Arc<Value>, Bytes)>,
}

/// What watchers of a screen look at.
pub type Ticks = watch::Receiver<Option<Arc<Tick>>>;

/// A tick, as it is said.
#[derive(Serialize)]
struct TickFrame<'a> {
    r#type: &'static str,
    at_ms: i64,
    screen: &'static str,
    full: bool,
    data: &'a Value,
}

/// One tick as a frame.
pub fn frame(at_ms: i64, screen: &Screen, full: bool, data: &Value) -> Bytes {
    let tick = TickFrame { r#type: "tick", at_ms, screen: screen.name(), full, data };
    // Documents are made of texts, numbers and names: they can be said.
    let text = serde_json::to_vec(&tick).unwrap_or_default();
    let mut frame = Vec::with_capacity(text.len() + 10);
    websocket::frame(&mut frame, Opcode::Text, &text);
    frame.into()
}

/// How every session finds the hub.
#[derive(Clone)]
pub struct Hub {
    actor: Addr<HubActor>,
    sockets: Arc<AtomicUsize>,
}

/// A socket's place among those that may watch.
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Hub {
    /// Starts it. Frames of shared ticks have at most so many bytes.
    pub fn start(broker: &Broker, tick_bytes_max: usize) -> Hub {
        let caller = broker.anonymous();
        let (broker, screens) = (broker.clone(), FxHashMap::default());
        let actor = HubActor { broker, caller, tick_bytes_max, screens, busy: false };
        Hub { actor: actor.start(), sockets: Arc::default() }
    }

    /// A place for one more socket; none when there are `max`.
    pub fn enter(&self, max: usize) -> Option<Place> {
        let more = |count: usize| (count < max).then_some(count + 1);
        let entered = self.sockets.fetch_update(Relaxed, Relaxed, more);
        entered.is_ok().then(|| Place(self.sockets.clone()))
    }

    /// What is seen of a screen from now on; `None`: the broker stops.
    pub async fn watch(&self, screen: Screen) -> Option<Ticks> {
        self.actor.send(Join(screen)).await.ok()
    }
}

/// The actor behind it.
struct HubActor {
    broker: Broker,
    /// Who asks: every watcher may see everything.
    caller: Caller,
    tick_bytes_max: usize,
    screens: FxHashMap<Screen, watch::Sender<Option<Arc<Tick>>>>,
    /// A round is being made.
    busy: bool,
}

impl HubActor {
    /// Makes these screens anew.
    fn refresh(&mut self, wanted: Vec<Screen>, ctx: &mut Context<Self>, round: bool) {
        let (broker, caller) = (self.broker.clone(), self.caller.clone());
        let making = async move {
            let made = wanted.into_iter().map(async |screen| {
                let making = screens::render(&broker, &caller, &screen);
                let made = timeout(PATIENCE, making).await.ok();
                (screen, made)
            });
            futures_util::future::join_all(made).await
        };
        ctx.spawn(making.into_actor(self).map(move |made, hub, _| {
            for (screen, document) in made {
                // A topic that is being rebuilt tells nothing for a while.
                if let Some(document) = document {
                    hub.show(&screen, document);
                }
            }
            if round {
                hub.busy = false;
            }
        }));
    }

    fn show(&mut self, screen: &Screen, document: Result<Value, Problem>) {
        let Some(sender) = self.screens.get(screen) else { return };
        let at_ms = clock::now().0;
        let before = sender.borrow().as_ref().and_then(|tick| tick.data.as_ref().ok().cloned());
        let tick = match document {
            Err(problem) => Tick { at_ms, data: Err(problem), step: None },
            Ok(document) => {
                let document = Arc::new(document);
                let step = before.and_then(|before| {
                    let nothing = || Value::Object(serde_json::Map::new());
                    let patch = patch::between(&before, &document).unwrap_or_else(nothing);
                    let frame = frame(at_ms, screen, false, &patch);
                    (frame.len() <= self.tick_bytes_max).then_some((before, frame))
                });
                Tick { at_ms, data: Ok(document), step }
            }
        };
        sender.send_replace(Some(Arc::new(tick)));
    }

    /// The broker has been looked at.
    fn looked(&mut self, ctx: &mut Context<Self>) {
        self.screens.retain(|_, sender| sender.receiver_count() > 0);
        // Behind a broker that is slow to tell, rounds are left out.
        if self.screens.is_empty() || self.busy {
            return;
        }
        self.busy = true;
        let wanted = self.screens.keys().cloned().collect();
        self.refresh(wanted, ctx, true);
    }
}

/// The broker has been looked at once more.
#[derive(Message)]
#[rtype(result = "()")]
struct Looked;

impl Handler<Looked> for HubActor {
    type Result = ();

    fn handle(&mut self, _: Looked, ctx: &mut Context<Self>) {
        self.looked(ctx);
    }
}

impl Actor for HubActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Ok(mut looks) = self.broker.looks(&self.caller) else { return };
        let hub = ctx.address();
        ctx.spawn(
            async move {
                // Until the observer ends, which is with the broker.
                while looks.changed().await.is_ok() && hub.connected() {
                    hub.do_send(Looked);
                }
            }
            .into_actor(self),
        );
    }
}

/// To the hub: one more watches.
#[derive(Message)]
#[rtype(result = "Ticks")]
struct Join(Screen);

impl Handler<Join> for HubActor {
    type Result = MessageResult<Join>;

    fn handle(&mut self, Join(screen): Join, ctx: &mut Context<Self>) -> Self::Result {
        // What could not be shown a moment ago is tried again.
        let fails = |tick: &Option<Arc<Tick>>| tick.as_ref().is_some_and(|tick| tick.data.is_err());
        if let Some(known) = self.screens.get(&screen).filter(|known| !fails(&known.borrow())) {
            return MessageResult(known.subscribe());
        }
        let (sender, ticks) = watch::channel(None);
        self.screens.insert(screen.clone(), sender);
        self.refresh(vec![screen], ctx, false);
        MessageResult(ticks)
    }
}
