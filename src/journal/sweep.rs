//! Takes the rows away that a mark has declared gone, a thousand per step, between commits.
//!
//! A sweep is made once for all marks there are when it begins. It goes through `ref`, then `msg`, then
//! `dedup`, each in ascending order of numbers, and forgets its marks at the end. After a crash it begins anew: every step is
//! harmless when it is done twice.

use super::{
    apply::{Applier, is_history},
    marks::{Fate, Marks, Scope},
    row::SHARED,
};
use rusqlite::Connection;
use rustc_hash::FxHashSet;

/// Most rows looked at in one step, so that no commit waits long.
const ROWS_PER_STEP: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Refs,
    Messages,
    Dedup,
    Forget,
}

/// One pass over the store; see the file's doc.
#[derive(Debug)]
pub(super) struct Sweep {
    marks: Marks,
    rows: FxHashSet<i64>,
    through: u64,
    stage: Stage,
    after: i64,
}

impl Sweep {
    /// Begins a sweep for all marks of `applier`, which from now on notes what is referred to. `all`:
    /// every message without a place goes, not only those that a mark may have taken the last one from.
    pub fn begin(applier: &mut Applier<'_>, all: bool) -> Sweep {
        applier.referenced = Some(FxHashSet::default());
        let marks = applier.marks.clone();
        let through = marks.all().map(|mark| mark.through).max().unwrap_or_default();
        Sweep {
            rows: marks.all().map(|mark| mark.row).collect(),
            through: if all { u64::MAX } else { through },
            marks,
            stage: Stage::Refs,
            after: i64::MIN,
        }
    }

    /// Does one step in a transaction of its own. True: the sweep is done.
    pub fn step(
        &mut self,
        conn: &Connection,
        applier: &mut Applier<'_>,
    ) -> Result<bool, rusqlite::Error> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let (stage, after) = (self.stage, self.after);
        let stepped = self.step_inside(conn, applier).and_then(|()| {
            applier.flush()?;
            conn.execute_batch("COMMIT")
        });
        match stepped {
            Ok(()) => {
                applier.committed();
                if stage != Stage::Forget {
                    return Ok(false);
                }
                applier.marks.forget(&self.rows);
                applier.referenced = None;
                Ok(true)
            }
            Err(error) => {
                let _ = conn.execute_batch("ROLLBACK");
                applier.rolled_back();
                (self.stage, self.after) = (stage, after);
                Err(error)
            }
        }
    }

    fn step_inside(
        &mut self,
        conn: &Connection,
        applier: &mut Applier<'_>,
    ) -> Result<(), rusqlite::Error> {
        match self.stage {
            Stage::Refs => self.refs(conn, applier),
            Stage::Messages => self.messages(conn, applier),
            Stage::Dedup => self.dedup(conn),
            Stage::Forget => {
                let mut forget = conn.prepare_cached("DELETE FROM mark WHERE n = ?1")?;
                self.rows.iter().try_for_each(|row| forget.execute([row]).map(drop))
            }
        }
    }

    /// The step ended at `last`; after a short one the next stage begins.
    fn advance(&mut self, looked_at: usize, last: Option<i64>, next: Stage) {
        match last {
            Some(last) if looked_at as i64 == ROWS_PER_STEP => self.after = last,
            _ => (self.stage, self.after) = (next, i64::MIN),
        }
    }

    /// The marks may have learnt exceptions since the sweep began, so both are asked.
    fn gone(
        &self,
        applier: &Applier<'_>,
        scope: Scope,
        number: u64,
    ) -> Result<bool, rusqlite::Error> {
        Ok(match self.marks.fate(scope, number).min(applier.marks.fate(scope, number)) {
            Fate::Stays => false,
            Fate::StaysDead => !applier.is_dead(number)?,
            Fate::Gone => true,
        })
    }

    fn refs(
        &mut self,
        conn: &Connection,
        applier: &mut Applier<'_>,
    ) -> Result<(), rusqlite::Error> {
        let sql = "SELECT id, queue, msg FROM ref WHERE id > ?1 ORDER BY id LIMIT ?2";
        let rows: Vec<(i64, u32, i64)> = conn
            .prepare_cached(sql)?
            .query_map((self.after, ROWS_PER_STEP), |row| {
                Ok((row.get(0)?, row.get(1).unwrap_or(u32::MAX), row.get(2).unwrap_or(-1)))
            })?
            .collect::<Result<_, _>>()?;
        let mut delete = conn.prepare_cached("DELETE FROM ref WHERE id = ?1")?;
        for &(entry, queue, message) in &rows {
            if self.gone(applier, Scope::Queue(queue), entry.cast_unsigned())? {
                delete.execute([entry])?;
                applier.forget_notes(entry.cast_unsigned())?;
            } else if let Some(referenced) = &mut applier.referenced {
                referenced.insert(message.cast_unsigned());
            }
        }
        self.advance(rows.len(), rows.last().map(|row| row.0), Stage::Messages);
        Ok(())
    }

    fn messages(
        &mut self,
        conn: &Connection,
        applier: &mut Applier<'_>,
    ) -> Result<(), rusqlite::Error> {
        let sql = "SELECT id, topic, queue, flags FROM msg WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        let through = i64::try_from(self.through).unwrap_or(i64::MAX);
        let rows: Vec<(i64, u32, Option<u32>, u32)> = conn
            .prepare_cached(sql)?
            .query_map((self.after, through, ROWS_PER_STEP), |row| {
                // A damaged row matches no mark; whoever reads it finds the damage.
                Ok((
                    row.get(0)?,
                    row.get(1).unwrap_or(u32::MAX),
                    row.get(2).unwrap_or(Some(u32::MAX)),
                    row.get(3).unwrap_or_default(),
                ))
            })?
            .collect::<Result<_, _>>()?;
        for &(id, topic, queue, flags) in &rows {
            let message = id.cast_unsigned();
            let gone = match queue {
                Some(queue) => self.gone(applier, Scope::Queue(queue), message)?,
                None if is_history(flags) => self.gone(applier, Scope::Topic(topic), message)?,
                None => {
                    flags & SHARED != 0
                        && applier.referenced.as_ref().is_some_and(|seen| !seen.contains(&message))
                }
            };
            if gone {
                applier.forget_notes(message)?;
                applier.doom(message)?;
            }
        }
        self.advance(rows.len(), rows.last().map(|row| row.0), Stage::Dedup);
        Ok(())
    }

    fn dedup(&mut self, conn: &Connection) -> Result<(), rusqlite::Error> {
        if !self.marks.all().any(|mark| matches!(mark.scope, Scope::Topic(_))) {
            self.stage = Stage::Forget;
            return Ok(());
        }
        let sql = "SELECT id, topic FROM dedup WHERE id > ?1 ORDER BY id LIMIT ?2";
        let rows: Vec<(i64, u32)> = conn
            .prepare_cached(sql)?
            .query_map((self.after, ROWS_PER_STEP), |row| {
                Ok((row.get(0)?, row.get(1).unwrap_or(u32::MAX)))
            })?
            .collect::<Result<_, _>>()?;
        let mut delete = conn.prepare_cached("DELETE FROM dedup WHERE id = ?1")?;
        for &(id, topic) in &rows {
            if self.marks.cover(Scope::Topic(topic), id.cast_unsigned(), || false) {
                delete.execute([id])?;
            }
        }
        self.advance(rows.len(), rows.last().map(|row| row.0), Stage::Forget);
        Ok(())
    }
}
