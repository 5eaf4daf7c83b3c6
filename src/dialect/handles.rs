//! The topics a worker of an HTTP door has met: the registry is asked once for each, not for every
//! request.

use crate::broker::{Broker, BrokerError, Caller, TopicHandle};
use crate::queue::TopicName;
use rustc_hash::FxHashMap;
use std::cell::RefCell;

/// Topics one worker remembers the address of.
const HANDLES_MAX: usize = 10_000;

/// Remembered topics of one worker.
#[derive(Default)]
pub struct Handles(RefCell<FxHashMap<TopicName, TopicHandle>>);

impl Handles {
    /// The topic of that name, for this caller.
    ///
    /// Errors: `TopicNotFound`.
    pub async fn topic(
        &self,
        broker: &Broker,
        caller: &Caller,
        name: &TopicName,
    ) -> Result<TopicHandle, BrokerError> {
        let known = self.0.borrow().get(name).filter(|handle| handle.is_current()).cloned();
        if let Some(handle) = known {
            return Ok(handle.for_caller(caller));
        }
        let handle = broker.topic(caller, name).await?;
        let mut handles = self.0.borrow_mut();
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        handles.insert(name.clone(), handle.clone());
        Ok(handle)
    }
}
