//! What all who follow a pubsub topic may say: sockets and event streams.

use super::problem::Problem;
use crate::broker::SlowPolicy;
use crate::queue::{Gap, Missing, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What happens when the client cannot follow.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Slow {
    /// It misses the oldest and is told the gap.
    #[default]
    Drop,
    /// It is closed.
    Close,
}

impl From<Slow> for SlowPolicy {
    fn from(slow: Slow) -> Self {
        match slow {
            Slow::Drop => SlowPolicy::DropOldest,
            Slow::Close => SlowPolicy::Disconnect,
        }
    }
}

/// Why messages are missing, where it is not their age alone: fields of a gap.
#[derive(Debug, Default, Serialize)]
pub struct WhyView {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_from: Option<u64>,
}

impl From<&Gap> for WhyView {
    fn from(gap: &Gap) -> Self {
        match gap.why {
            Missing::Gone => WhyView::default(),
            Missing::OtherEpoch { kept_from } => WhyView { reason: Some("epoch"), kept_from },
        }
    }
}

/// Where it was; both are said, or neither.
pub fn position(epoch: Option<u32>, seq: Option<u64>) -> Result<Option<Position>, Problem> {
    match (epoch, seq) {
        (Some(epoch), Some(seq)) => Ok(Some(Position { epoch, seq })),
        (None, None) => Ok(None),
        _ => Err(Problem::invalid("`epoch` and `seq` must be given together")),
    }
}
