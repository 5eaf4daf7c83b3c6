//! Messages as clients of `/v1` see them.

use crate::queue::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A body as JSON: text where it is text, base64 where not, and only its length where it is masked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BodyView<'a> {
    /// UTF-8.
    Text {
        /// The body.
        body: &'a str,
    },
    /// Anything else.
    Bytes {
        /// The body.
        base64: String,
    },
    /// Not for this caller.
    Masked {
        /// True.
        masked: bool,
        /// Its length.
        body_bytes: u64,
    },
}

impl<'a> BodyView<'a> {
    /// Of a message that may be masked.
    pub fn unless_masked(masked: Option<u64>, body: &'a [u8]) -> Self {
        match masked {
            None => BodyView::of(body),
            Some(body_bytes) => BodyView::Masked { masked: true, body_bytes },
        }
    }

    /// Of these bytes.
    pub fn of(body: &'a [u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(body) => BodyView::Text { body },
            Err(_) => BodyView::Bytes { base64: STANDARD.encode(body) },
        }
    }
}

/// A key as text; bytes that are not UTF-8 are shown replaced.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A delivered message.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView<'a> {
    id: String,
    seq: u64,
    #[serde(flatten)]
    body: BodyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    attributes: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ordering_key: Option<String>,
    published_at_ms: i64,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deadline_ms: Option<i64>,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        let message = &delivery.message;
        DeliveryView {
            id: message.id().to_string(),
            seq: message.seq,
            body: BodyView::of(message.body()),
            attributes: message.attributes().and_then(|text| serde_json::from_str(text).ok()),
            ordering_key: message.ordering_key().map(shown),
            published_at_ms: message.published_at.0,
            attempt: delivery.attempt,
            receipt: delivery.receipt.map(|receipt| receipt.to_string()),
            deadline_ms: delivery.receipt.map(|_| delivery.deadline.0),
        }
    }
}

/// The name of a state, in requests and answers.
#[derive(Debug, Clone, Copy, Serialize, serde::Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// Can be handed out.
    Ready,
    /// Not visible yet.
    Delayed,
    /// Handed out.
    InFlight,
    /// A dead letter.
    Dead,
}

impl From<State> for StateName {
    fn from(state: State) -> Self {
        match state {
            State::Ready => StateName::Ready,
            State::Delayed => StateName::Delayed,
            State::InFlight => StateName::InFlight,
            State::Dead => StateName::Dead,
        }
    }
}

/// A failed delivery.
#[derive(Debug, Serialize, ToSchema)]
struct FailureView<'a> {
    at_ms: i64,
    attempt: u32,
    reason: DeadReason,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'a str>,
    /// Through which door it was given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<Door>,
}

impl<'a> From<&'a Failure> for FailureView<'a> {
    fn from(failure: &'a Failure) -> Self {
        FailureView {
            at_ms: failure.at.0,
            attempt: failure.attempt,
            reason: failure.reason,
            error: failure.error.as_deref(),
            door: failure.door,
        }
    }
}

/// How a message died.
#[derive(Debug, Serialize, ToSchema)]
struct DeathView {
    at_ms: i64,
    reason: DeadReason,
    attempts: u32,
}

fn is_zero(priority: &u8) -> bool {
    *priority == 0
}

/// A message that is looked at.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageView<'a> {
    id: String,
    seq: u64,
    state: StateName,
    #[serde(flatten)]
    body: BodyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, nullable = false)]
    attributes: Option<&'a RawValue>,
    published_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deliver_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    expires_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dedup_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ordering_key: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    priority: u8,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    front: bool,
    /// Deliveries so far.
    attempts: u32,
    /// delayed: when it can be handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    visible_at_ms: Option<i64>,
    /// in_flight: until when it may be acked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deadline_ms: Option<i64>,
    /// dead: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    dead: Option<DeathView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailureView<'a>>,
}

/// The deliveries that failed, oldest first; a message that was moved has them in its letter.
fn failures(view: &View) -> &[Failure] {
    match (view.failures.as_slice(), &view.dead) {
        ([], Some(letter)) => &letter.failures,
        (failures, _) => failures,
    }
}

impl<'a> From<&'a View> for MessageView<'a> {
    fn from(view: &'a View) -> Self {
        let message = &view.message;
        let extra = message.extra.as_deref();
        let due = |state| view.due.filter(|_| view.state == state).map(|due| due.0);
        let letter = view.dead.as_ref().filter(|_| view.state == State::Dead);
        MessageView {
            id: message.id().to_string(),
            seq: message.seq,
            state: view.state.into(),
            body: BodyView::unless_masked(view.masked, message.body()),
            attributes: message.attributes().and_then(|text| serde_json::from_str(text).ok()),
            published_at_ms: message.published_at.0,
            deliver_at_ms: extra.and_then(|extra| extra.deliver_at).map(|at| at.0),
            expires_at_ms: extra.and_then(|extra| extra.expires_at).map(|at| at.0),
            dedup_key: extra.and_then(|extra| extra.dedup_key.as_deref()).map(shown),
            ordering_key: message.ordering_key().map(shown),
            priority: extra.map_or(0, |extra| extra.priority),
            front: extra.is_some_and(|extra| extra.front),
            attempts: view.attempts,
            visible_at_ms: due(State::Delayed),
            deadline_ms: due(State::InFlight),
            dead: letter.map(|letter| DeathView {
                at_ms: letter.at.0,
                reason: letter.reason,
                attempts: letter.attempts,
            }),
            failures: failures(view).iter().map(FailureView::from).collect(),
        }
    }
}

/// What happens to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Event {
    Published,
    Delivered,
    Nacked,
    DeadlineMissed,
    Dead,
    Redriven,
}

/// One moment in the life of a message.
#[derive(Debug, Serialize, ToSchema)]
pub struct Moment<'a> {
    /// Not known of a redrive by an older octoq.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    at_ms: Option<i64>,
    event: Event,
    /// Through which door.
    #[serde(skip_serializing_if = "Option::is_none")]
    door: Option<Door>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<DeadReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'a str>,
}

/// The life of a message in its queue, as far as it is known: of the failed deliveries the newest
/// ones, of a death the last one.
pub fn life(view: &View) -> Vec<Moment<'_>> {
    let moment = |at: Timestamp, event, door: Option<Door>| Moment {
        at_ms: Some(at.0),
        event,
        door,
        attempt: None,
        reason: None,
        error: None,
    };
    let published = moment(view.message.published_at, Event::Published, view.published_by);
    let mut life = vec![published];
    let (failures, letter) = (failures(view), view.dead.as_ref());
    let killer = letter.and_then(|letter| letter.failures.last());
    // Behind the failure that killed it, or behind what was before it when that is not kept.
    let death_at = match (letter, killer) {
        (Some(letter), None) => failures.iter().take_while(|known| known.at <= letter.at).count(),
        _ => failures.iter().rposition(|known| Some(known) == killer).map_or(0, |at| at + 1),
    };
    let tell_death = |life: &mut Vec<_>| {
        let Some(letter) = letter else { return };
        let (attempt, reason) = (Some(letter.attempts), Some(letter.reason));
        let door = killer.and_then(|killer| killer.door);
        life.push(Moment { attempt, reason, ..moment(letter.at, Event::Dead, door) });
        if letter.revived {
            let at_ms = letter.revived_at.map(|at| at.0);
            let revived = moment(letter.at, Event::Redriven, letter.revived_by);
            life.push(Moment { at_ms, ..revived });
        }
    };
    for (nth, failure) in failures.iter().enumerate() {
        if nth == death_at {
            tell_death(&mut life);
        }
        let event = match failure.reason {
            DeadReason::DeadlineMissed => Event::DeadlineMissed,
            DeadReason::Nacked | DeadReason::Rejected => Event::Nacked,
        };
        let (attempt, error) = (Some(failure.attempt), failure.error.as_deref());
        life.extend(failure.lent_at.map(|at| {
            let delivered = moment(at, Event::Delivered, failure.lent_by);
            Moment { attempt, ..delivered }
        }));
        life.push(Moment { attempt, error, ..moment(failure.at, event, failure.door) });
    }
    if death_at == failures.len() {
        tell_death(&mut life);
    }
    if let Some(since) = view.since {
        let attempt = Some(view.attempts);
        life.push(Moment { attempt, ..moment(since, Event::Delivered, view.lent_by) });
    }
    life
}
