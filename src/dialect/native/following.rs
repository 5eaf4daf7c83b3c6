//! What all who follow a pubsub topic may say: sockets and event streams.

use super::problem::Problem;
use crate::broker::SlowPolicy;
use crate::queue::Position;
use serde::Deserialize;
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

/// Where it was; both are said, or neither.
pub fn position(epoch: Option<u32>, seq: Option<u64>) -> Result<Option<Position>, Problem> {
    match (epoch, seq) {
        (Some(epoch), Some(seq)) => Ok(Some(Position { epoch, seq })),
        (None, None) => Ok(None),
        _ => Err(Problem::invalid("`epoch` and `seq` must be given together")),
    }
}
