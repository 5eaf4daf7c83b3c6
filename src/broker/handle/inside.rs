//! What whoever operates the broker sees of its inside.

use super::*;
use crate::broker::logs::{KeepLog, LogFeed, LogPage, ReadLog};

impl Caller {
    /// May look at the inside of the broker: its configuration, its log.
    ///
    /// Errors: `NotAllowed`.
    pub fn need_inside(&self) -> Result<(), BrokerError> {
        if self.is_operator() { Ok(()) } else { Err(BrokerError::NotAllowed("operate")) }
    }
}

impl Broker {
    /// Keeps the lines that come here.
    pub fn keep_log(&self, feed: LogFeed) {
        self.0.logs.do_send(KeepLog(feed));
    }

    /// The last lines of the log.
    ///
    /// Errors: `NotAllowed`, `Stopping`.
    pub async fn read_log(&self, caller: &Caller, read: ReadLog) -> Result<LogPage, BrokerError> {
        caller.need_inside()?;
        self.0.logs.send(read).await.map_err(|_| BrokerError::Stopping)
    }
}
