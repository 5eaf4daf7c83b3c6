//! Why the rules refuse a request.

/// Every refusal the rules know. Doors translate it; none adds its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The topic or queue keeps no more.
    #[error("full: {what} is at its limit of {limit}")]
    Full {
        /// Which bound: `capacity`, `bytes_max`, `messages_max`, ...
        what: &'static str,
        /// Its value.
        limit: u64,
    },
    /// Publishing is paused.
    #[error("publishing is paused")]
    Paused,
    /// No such queue in the topic.
    #[error("no such queue")]
    QueueNotFound,
    /// A queue of that name is there.
    #[error("queue already exists")]
    QueueExists,
    /// The receipt was used, is past its deadline, or never was.
    #[error("the receipt is gone: already used, past its deadline, or never given")]
    ReceiptGone,
    /// No such message in that queue, in the state the request needs.
    #[error("no such message in that state")]
    MessageNotFound,
    /// A living message of the topic has this id of its publisher's.
    #[error("a message with this id exists")]
    DuplicateId,
    /// The verb makes no sense for this kind of topic.
    #[error("not possible on a topic of this kind")]
    WrongKind,
    /// A value outside its bounds.
    #[error("`{0}` is out of bounds")]
    OutOfBounds(&'static str),
}
