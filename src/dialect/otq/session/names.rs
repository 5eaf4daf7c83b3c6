//! What a name means: a topic, a queue of one, several topics; and those met before.

use super::*;

/// Topics whose address a session remembers.
const HANDLES_MAX: usize = 256;

/// A topic, or one queue of it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) handle: TopicHandle,
    pub(super) queue: Option<QueueName>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// The topic a name means, or the queue of one: `topic/queue` where both exist.
    pub(super) async fn target(
        &mut self,
        caller: &Caller,
        name: Bytes,
    ) -> Result<Target, BrokerError> {
        let known = self
            .handles
            .iter()
            .find(|(known, target)| *known == name && target.handle.is_current());
        if let Some((_, target)) = known {
            // The rights of now: an administrator may have changed the user meanwhile.
            let handle = target.handle.clone().for_caller(caller);
            return Ok(Target { handle, queue: target.queue.clone() });
        }
        let target = self.look_up(caller, &name).await?;
        self.handles.retain(|(known, _)| *known != name);
        if self.handles.len() >= HANDLES_MAX {
            self.handles.remove(0);
        }
        self.handles.push((name, target.clone()));
        Ok(target)
    }

    async fn look_up(&self, caller: &Caller, name: &[u8]) -> Result<Target, BrokerError> {
        if let Some((topic, queue)) = name::split_address(name)
            && let Ok(handle) = self.broker.topic(caller, &topic).await
            && handle.has_queue(&queue).await
        {
            return Ok(Target { handle, queue: Some(queue) });
        }
        let name = match TopicName::parse(name) {
            Ok(name) => name,
            // A name longer than any topic's is one that is not there.
            Err(_) => {
                let shown = TopicName::parse(name.get(..name::NAME_BYTES_MAX).unwrap_or_default());
                return Err(shown.map_or(BrokerError::Unavailable, BrokerError::TopicNotFound));
            }
        };
        let handle = self.broker.topic(caller, &name).await?;
        Ok(Target { handle, queue: None })
    }

    /// One topic, or several separated by commas where no topic has the whole name.
    pub(super) async fn targets(
        &mut self,
        caller: &Caller,
        names: Bytes,
    ) -> Result<Vec<Target>, BrokerError> {
        match self.target(caller, names.clone()).await {
            Ok(target) => return Ok(vec![target]),
            Err(error) if !names.contains(&b',') => return Err(error),
            Err(_) => (),
        }
        let mut targets = Vec::new();
        for name in names.split(|byte| *byte == b',') {
            if targets.len() >= JOBS_MAX / 2 {
                return Err(BrokerError::TooMany {
                    what: "topics in one command",
                    limit: JOBS_MAX / 2,
                });
            }
            targets.push(self.target(caller, names.slice_ref(name)).await?);
        }
        Ok(targets)
    }
}
