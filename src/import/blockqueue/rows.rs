//! What single rows of blockqueue's tables say, in octoq's words.

use super::Subscriber;
use crate::import::postgres::Row;
use crate::import::{FoundState, ImportError, ItemPlace, number, text, time};
use crate::queue::{DeadLetter, DeadReason, Failure, QueuePolicy, Returns, Timestamp};

/// A time: milliseconds, or the text that stands in SQLite.
pub fn when(row: &Row, at: usize) -> Option<Timestamp> {
    match number(row, at) {
        Some(ms) => Some(Timestamp(ms)),
        None => time::timestamp(&text(row, at)),
    }
}

/// A boolean of either database.
pub fn is_true(row: &Row, at: usize) -> bool {
    ["1", "t", "true"].contains(&text(row, at).as_str())
}

/// `{"max_attempts": N, "visibility_duration": "5m0s"}`: N redeliveries, so N + 1 deliveries.
pub fn option_policy(option: &str) -> Option<QueuePolicy> {
    let option: serde_json::Value = serde_json::from_str(option).ok()?;
    let attempts = option.get("max_attempts").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let deadline = match option.get("visibility_duration").and_then(serde_json::Value::as_str) {
        Some(text) => time::go_duration_ms(text)?,
        None => 300_000,
    };
    Some(QueuePolicy {
        ack_deadline_ms: deadline.max(1),
        max_deliveries: u32::try_from(attempts.max(1)).ok()?.saturating_add(1),
        returns: Returns::Back,
        ..QueuePolicy::default()
    })
}

/// The columns of [`SUBSCRIBER_SETTINGS`], from the fourth of the row on. There `max_attempts` counts
/// failures.
pub fn settings_policy(row: &Row, topic_paused: bool) -> Option<QueuePolicy> {
    let (first, most): (f64, f64) = (number(row, 7)?, number(row, 8)?);
    let multiplier: f64 = number(row, 9)?;
    let max_deliveries: u32 = number(row, 4)?;
    let mut backoff_ms = Vec::new();
    let mut wait = first;
    for _ in 0..max_deliveries.clamp(1, 64) {
        backoff_ms.push(wait.min(most) as u64);
        if wait >= most {
            break;
        }
        wait *= multiplier;
    }
    Some(QueuePolicy {
        ack_deadline_ms: number::<u64>(row, 5)?.max(1),
        max_deliveries,
        backoff_ms,
        returns: Returns::Back,
        paused_out: topic_paused || is_true(row, 3),
        ..QueuePolicy::default()
    })
}

/// The state of a message at a subscriber.
///
/// Errors: `Odd` for a status that blockqueue does not have.
pub fn place(row: &Row, subscriber: Subscriber, now: Timestamp) -> Result<ItemPlace, ImportError> {
    let failures: u32 = number(row, 4).unwrap_or(0);
    let visible_at = when(row, 5).filter(|at| *at > now);
    let (state, dead) = match text(row, 3).as_str() {
        "pending" if visible_at.is_some() => (FoundState::Delayed, None),
        "pending" => (FoundState::Waiting, None),
        "delivered" => (FoundState::Held, None),
        "dead_letter" => (FoundState::Dead, Some(letter(row, failures, now))),
        other => return Err(ImportError::Odd(format!("a message has the status `{other}`"))),
    };
    // A delivery is left, whatever the numbers say: the original would make it.
    let most = subscriber.max_deliveries.saturating_sub(1);
    let attempts = if dead.is_some() { failures } else { failures.min(most) };
    Ok(ItemPlace { queue: subscriber.queue, state, attempts, visible_at, dead })
}

fn letter(row: &Row, attempts: u32, now: Timestamp) -> DeadLetter {
    let at = when(row, 14).or_else(|| when(row, 5)).unwrap_or(now);
    let error = row.get(13).cloned().flatten();
    let reason = match error {
        Some(_) => DeadReason::Nacked,
        None => DeadReason::DeadlineMissed,
    };
    let failures = error.map(|error| Failure {
        at,
        attempt: attempts,
        reason,
        error: Some(String::from_utf8_lossy(&error).chars().take(256).collect::<String>().into()),
        lent_at: None,
        lent_by: None,
        door: None,
    });
    let failures = failures.into_iter().collect();
    let (revived, revived_at, revived_by) = (false, None, None);
    DeadLetter { at, reason, attempts, failures, revived, revived_at, revived_by }
}

/// The headers, with the correlation id among them.
pub fn attributes(row: &Row) -> Option<String> {
    let headers = row.get(9).cloned().flatten()?;
    let parsed = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&headers);
    let mut attributes = parsed.unwrap_or_default();
    if let Some(correlation) = row.get(10).cloned().flatten() {
        let text = String::from_utf8_lossy(&correlation).into_owned();
        attributes.entry("correlation_id").or_insert(text.into());
    }
    (!attributes.is_empty()).then(|| serde_json::Value::Object(attributes).to_string())
}

/// -1000 to 1000 into 0 to 9: what was not raised is 0, the rest keeps its order as far as 9 steps do.
pub fn priority(original: i64) -> u8 {
    match original {
        ..=0 => 0,
        raised => u8::try_from(1 + (raised - 1) * 9 / 1000).map_or(9, |step| step.min(9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscribers_option_allows_one_delivery_more_than_attempts() {
        let policy = option_policy(r#"{"max_attempts":3,"visibility_duration":"1m30s"}"#).unwrap();
        assert_eq!((policy.max_deliveries, policy.ack_deadline_ms), (4, 90_000));
        let policy = option_policy("{}").unwrap();
        assert_eq!((policy.max_deliveries, policy.ack_deadline_ms), (2, 300_000));
        assert!(option_policy("").is_none());
        assert!(option_policy(r#"{"visibility_duration":"soon"}"#).is_none());
    }

    #[test]
    fn priorities_keep_their_order() {
        let steps: Vec<u8> = [-1000, 0, 1, 500, 1000].map(priority).to_vec();
        assert_eq!(steps, [0, 0, 1, 5, 9]);
    }
}
