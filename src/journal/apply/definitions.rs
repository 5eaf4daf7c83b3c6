//! Records of topics, queues and settings, and of what is gone with them.

use super::*;

impl<'c> Applier<'c> {
    pub(super) fn put_topic(&mut self, topic: &TopicDefinition) -> Result<(), rusqlite::Error> {
        let (kind, policy) = (json_text(&topic.kind)?, json_text(&topic.policy)?);
        let kind = kind.trim_matches('"');
        let crc = topic_crc(topic, kind, &policy);
        let put = "INSERT OR REPLACE INTO topics VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.conn
            .prepare_cached(put)?
            .execute((
                topic.number,
                topic.name.as_bytes(),
                kind,
                &policy,
                topic.salt,
                topic.epoch,
                &topic.owner,
                topic.created_at.0,
                crc,
            ))
            .map(drop)
    }

    pub(super) fn put_queue(&mut self, queue: &QueueDefinition) -> Result<(), rusqlite::Error> {
        let policy = json_text(&queue.policy)?;
        let crc = queue_crc(queue, &policy);
        let put = "INSERT OR REPLACE INTO queues VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let (name, created) = (queue.name.as_bytes(), queue.created_at.0);
        self.conn
            .prepare_cached(put)?
            .execute((queue.number, queue.topic, name, &policy, created, crc))
            .map(drop)
    }

    pub(super) fn drop_topic(
        &mut self,
        topic: u32,
        number_now: u64,
    ) -> Result<(), rusqlite::Error> {
        let queues: Vec<u32> = self
            .conn
            .prepare_cached("SELECT number FROM queues WHERE topic = ?1")?
            .query_map([topic], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for queue in queues {
            self.mark(Scope::Queue(queue), number_now, false)?;
        }
        self.mark(Scope::Topic(topic), number_now, false)?;
        for table in ["queues", "seq_reserved", "claimed"] {
            self.execute(&format!("DELETE FROM {table} WHERE topic = ?1"), topic)?;
        }
        self.execute("DELETE FROM topics WHERE number = ?1", topic)
    }

    pub(super) fn setting(
        &mut self,
        table: &str,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), rusqlite::Error> {
        match value {
            Some(value) => self
                .conn
                .prepare_cached("INSERT OR REPLACE INTO settings VALUES(?1, ?2, ?3)")?
                .execute((table, key, value)),
            None => self
                .conn
                .prepare_cached("DELETE FROM settings WHERE kind = ?1 AND key = ?2")?
                .execute((table, key)),
        }
        .map(drop)
    }

    pub(super) fn mark(
        &mut self,
        scope: Scope,
        through: u64,
        keeps_dead: bool,
    ) -> Result<(), rusqlite::Error> {
        let except = FxHashSet::default();
        let mut mark = Mark { row: 0, scope, through, keeps_dead, except };
        mark.save(self.conn)?;
        self.fresh.push(mark);
        Ok(())
    }

    pub(super) fn execute(&self, statement: &str, number: u32) -> Result<(), rusqlite::Error> {
        self.conn.prepare_cached(statement)?.execute([number]).map(drop)
    }

    pub(super) fn put_through(
        &self,
        statement: &str,
        topic: u32,
        through: u64,
    ) -> Result<(), rusqlite::Error> {
        self.conn.prepare_cached(statement)?.execute((topic, sql(through))).map(drop)
    }
}

/// The checksum of a `topics` row.
pub fn topic_crc(topic: &TopicDefinition, kind: &str, policy: &str) -> u32 {
    let numbers = [
        topic.number.into(),
        topic.salt.into(),
        topic.epoch.into(),
        topic.created_at.0.cast_unsigned(),
        topic.owner.is_some().into(),
    ];
    let owner = topic.owner.as_deref().unwrap_or_default();
    crc_of(numbers, &[topic.name.as_bytes(), kind.as_bytes(), policy.as_bytes(), owner.as_bytes()])
}

/// The checksum of a `queues` row.
pub fn queue_crc(queue: &QueueDefinition, policy: &str) -> u32 {
    let numbers = [queue.number.into(), queue.topic.into(), queue.created_at.0.cast_unsigned()];
    crc_of(numbers, &[queue.name.as_bytes(), policy.as_bytes()])
}
