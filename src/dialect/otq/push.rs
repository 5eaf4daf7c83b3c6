//! How pushes look to otq subscribers, and several subscriptions as one stream.

use super::codec;
use crate::broker::{PushFormat, Subscription};
use bytes::Bytes;
use std::task::{Context, Poll};

/// A message is its bytes and LF. There is no word for a gap: such a subscriber is disconnected.
pub const FORMAT: PushFormat = PushFormat {
    name: "otq",
    message: |_, message, out| codec::push(out, message.body()),
    gap: |_, _, _| (),
};

/// Chunks written with one call, at most.
const CHUNKS_MAX: usize = 16;

/// The chunks that are there, or `None` when a subscription has ended.
pub fn poll_chunks(
    subscriptions: &mut [Subscription],
    chunks: &mut Vec<Bytes>,
    task: &mut Context<'_>,
) -> Poll<Option<()>> {
    for subscription in subscriptions {
        while chunks.len() < CHUNKS_MAX {
            match subscription.poll_chunk(task) {
                Poll::Ready(Some(chunk)) => chunks.push(chunk),
                Poll::Ready(None) if chunks.is_empty() => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
    }
    if chunks.is_empty() { Poll::Pending } else { Poll::Ready(Some(())) }
}
