//! Which queue is where, what it is called, and where its dead letters go. Pure; the registry asks it.

use crate::queue::{QueueAddress, QueueDefinition, QueueName, Refusal, Target, TopicName};
use rustc_hash::FxHashMap;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A queue, as the registry knows it.
#[derive(Debug, Clone)]
pub struct Known {
    /// What defines it; `topic` is where it is.
    pub definition: Arc<QueueDefinition>,
    /// The queue its dead letters go to, as its topic was told.
    pub target: Option<Target>,
}

/// All queues. Names are unique in their topic, those of global queues everywhere.
#[derive(Debug, Default)]
pub struct Directory {
    queues: FxHashMap<u32, Known>,
    names: FxHashMap<(u32, QueueName), u32>,
    global: FxHashMap<QueueName, u32>,
    version: Arc<AtomicU64>,
}

impl Directory {
    /// Grows with every change: what was learnt from the directory before is not to be trusted any
    /// more.
    pub fn version(&self) -> Arc<AtomicU64> {
        self.version.clone()
    }

    /// Something changed that readers of the directory may have kept.
    pub fn touch(&self) {
        self.version.fetch_add(1, Relaxed);
    }

    /// Whether a queue may have this name there; one that is `except` does not stand in the way.
    pub fn check_free(
        &self,
        definition: &QueueDefinition,
        except: Option<u32>,
    ) -> Result<(), Refusal> {
        let in_topic = self.names.get(&(definition.topic, definition.name.clone()));
        let everywhere = self.global.get(&definition.name).filter(|_| definition.policy.global);
        let taken = in_topic.into_iter().chain(everywhere).any(|number| Some(*number) != except);
        if taken { Err(Refusal::QueueExists) } else { Ok(()) }
    }

    /// Adds a queue, or puts it in the place of what was known of it.
    ///
    /// Errors: `QueueExists`, another one has the name.
    pub fn put(
        &mut self,
        definition: Arc<QueueDefinition>,
        target: Option<Target>,
    ) -> Result<(), Refusal> {
        let number = definition.number;
        self.check_free(&definition, Some(number))?;
        self.remove(number);
        self.names.insert((definition.topic, definition.name.clone()), number);
        if definition.policy.global {
            self.global.insert(definition.name.clone(), number);
        }
        self.queues.insert(number, Known { definition, target });
        Ok(())
    }

    /// Removes a queue; whoever points at it is not changed.
    pub fn remove(&mut self, number: u32) -> Option<Known> {
        let known = self.queues.remove(&number)?;
        let (topic, name) = (known.definition.topic, known.definition.name.clone());
        if known.definition.policy.global {
            self.global.remove(&name);
        }
        self.names.remove(&(topic, name));
        self.touch();
        Some(known)
    }

    /// A queue.
    pub fn get(&self, number: u32) -> Option<&Known> {
        self.queues.get(&number)
    }

    /// The number of a queue of a topic.
    pub fn in_topic(&self, topic: u32, name: &QueueName) -> Option<u32> {
        self.names.get(&(topic, name.clone())).copied()
    }

    /// The number of a queue that can be named without its topic.
    pub fn global(&self, name: &QueueName) -> Option<u32> {
        self.global.get(name).copied()
    }

    /// All queues.
    pub fn all(&self) -> impl Iterator<Item = &Known> {
        self.queues.values()
    }

    /// The queues whose dead letters go to this one.
    pub fn pointing_at(&self, number: u32) -> Vec<u32> {
        let points = |known: &&Known| known.target.is_some_and(|target| target.queue == number);
        self.all().filter(points).map(|known| known.definition.number).collect()
    }

    /// How another queue names this one as its target, and what it must know of it. A global queue is
    /// named without its topic, so that the name stays good wherever it goes.
    pub fn pointer(
        &self,
        number: u32,
        topic: impl FnOnce(u32) -> Option<TopicName>,
    ) -> Option<(QueueAddress, Target)> {
        let definition = &self.get(number)?.definition;
        let topic = match definition.policy.global {
            true => TopicName::unattached(),
            false => topic(definition.topic)?,
        };
        let address = QueueAddress { topic, queue: definition.name.clone() };
        Some((address, Target::new(number, &definition.policy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{QueuePolicy, Timestamp};

    fn queue(number: u32, topic: u32, name: &str, global: bool) -> Arc<QueueDefinition> {
        let policy = QueuePolicy { global, ..QueuePolicy::default() };
        let name = QueueName::parse(name).unwrap();
        Arc::new(QueueDefinition { number, topic, name, policy, created_at: Timestamp(0) })
    }

    #[test]
    fn a_global_name_is_taken_once_and_any_other_once_per_topic() {
        let mut directory = Directory::default();
        let put = |directory: &mut Directory, number, topic, name, global| {
            directory.put(queue(number, topic, name, global), None)
        };
        assert_eq!(put(&mut directory, 1, 1, "a", true), Ok(()));
        assert_eq!(put(&mut directory, 2, 1, "a", false), Err(Refusal::QueueExists));
        assert_eq!(put(&mut directory, 2, 2, "a", true), Err(Refusal::QueueExists));
        assert_eq!(put(&mut directory, 2, 2, "a", false), Ok(()));
        let a = QueueName::parse("a").unwrap();
        assert_eq!((directory.global(&a), directory.in_topic(2, &a)), (Some(1), Some(2)));
        directory.remove(1);
        assert_eq!((directory.global(&a), directory.in_topic(1, &a)), (None, None));
        assert_eq!(put(&mut directory, 2, 2, "a", true), Ok(()), "it becomes global");
        assert_eq!(directory.global(&a), Some(2));
        assert_eq!(put(&mut directory, 2, 3, "a", true), Ok(()), "it goes to another topic");
        assert_eq!((directory.in_topic(2, &a), directory.in_topic(3, &a)), (None, Some(2)));
    }

    #[test]
    fn a_global_target_is_named_without_its_topic() {
        let mut directory = Directory::default();
        directory.put(queue(1, 7, "dead", true), None).unwrap();
        directory.put(queue(2, 7, "q", false), Some(Target::from(1))).unwrap();
        let name = |_| Some(TopicName::parse("t").unwrap());
        let shown = |number| directory.pointer(number, name).map(|(address, _)| address.topic);
        assert_eq!(shown(1), Some(TopicName::unattached()));
        assert_eq!(shown(2), name(7));
        assert_eq!(shown(3), None);
        assert_eq!((directory.pointing_at(1), directory.pointing_at(2)), (vec![2], vec![]));
    }

    #[test]
    fn whoever_kept_something_of_the_directory_sees_that_it_changed() {
        let mut directory = Directory::default();
        let version = directory.version();
        directory.put(queue(1, 1, "a", true), None).unwrap();
        directory.touch();
        let before = version.load(Relaxed);
        directory.remove(1);
        assert!(version.load(Relaxed) > before);
    }
}
