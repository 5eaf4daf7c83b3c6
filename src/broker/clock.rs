//! The one place that reads the time.

use crate::queue::Timestamp;
use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

static START: OnceLock<(Instant, i64)> = OnceLock::new();

fn start() -> (Instant, i64) {
    *START.get_or_init(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (Instant::now(), i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Milliseconds since the Unix epoch that never run backwards: the wall clock at the first call,
/// carried on by the monotonic clock.
pub fn now() -> Timestamp {
    let (instant, epoch_ms) = start();
    Timestamp(epoch_ms).after(instant.elapsed())
}

/// When `at` comes, on the clock that timers use.
pub fn instant_of(at: Timestamp) -> Instant {
    let (instant, epoch_ms) = start();
    let span = Duration::from_millis(at.since_ms(Timestamp(epoch_ms)));
    // A deadline beyond what the clock can hold is as good as a year from now.
    instant.checked_add(span).unwrap_or_else(|| Instant::now() + Duration::from_secs(365 * 86_400))
}
