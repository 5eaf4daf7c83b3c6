//! Marks: stretches of the store that are gone although their rows are still there.
//!
//! A purge writes one row and answers; the rows of the messages go in the background. Until then
//! whoever reads the store asks the marks.

use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};

/// What a mark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Places in a queue.
    Queue(u32),
    /// History and dedup keys of a topic.
    Topic(u32),
}

impl Scope {
    /// `kind` and `number` of a mark's row.
    fn columns(self, keeps_dead: bool) -> (&'static str, u32) {
        match self {
            Scope::Queue(number) if keeps_dead => ("purge", number),
            Scope::Queue(number) => ("queue", number),
            Scope::Topic(number) => ("topic", number),
        }
    }
}

/// Everything of `scope` with a number up to `through` is gone, except what is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its row; 0 while it has none.
    pub row: i64,
    pub scope: Scope,
    pub through: u64,
    /// A purge, not a drop: dead letters of the queue stay as well.
    pub keeps_dead: bool,
    pub except: FxHashSet<u64>,
}

/// What the marks say of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Stays,
    /// It is gone unless it is a dead letter.
    StaysDead,
    Gone,
}

impl Mark {
    fn reaches(&self, number: u64) -> bool {
        number <= self.through && !self.except.contains(&number)
    }
}

/// All marks that are not swept yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    by_scope: FxHashMap<Scope, Vec<Mark>>,
}

impl Marks {
    pub fn is_empty(&self) -> bool {
        self.by_scope.is_empty()
    }

    pub fn add(&mut self, mark: Mark) {
        self.by_scope.entry(mark.scope).or_default().push(mark);
    }

    pub fn all(&self) -> impl Iterator<Item = &Mark> {
        self.by_scope.values().flatten()
    }

    /// What becomes of the row with this number.
    pub fn fate(&self, scope: Scope, number: u64) -> Fate {
        let marks = self.by_scope.get(&scope).into_iter().flatten();
        let fate = |mark: &Mark| if mark.keeps_dead { Fate::StaysDead } else { Fate::Gone };
        let fates = marks.filter(|mark| mark.reaches(number)).map(fate);
        fates.max().unwrap_or(Fate::Stays)
    }

    /// The row with this number is gone.
    pub fn cover(&self, scope: Scope, number: u64, is_dead: impl FnOnce() -> bool) -> bool {
        match self.fate(scope, number) {
            Fate::Stays => false,
            Fate::StaysDead => !is_dead(),
            Fate::Gone => true,
        }
    }

    /// The queues in which a dead letter with this number lives by virtue of its letter only.
    pub fn keeping_dead(&self, number: u64) -> Vec<Scope> {
        let marks = self.all().filter(|mark| mark.keeps_dead && mark.reaches(number));
        marks.map(|mark| mark.scope).collect()
    }

    /// Forgets the marks that have these rows.
    pub fn forget(&mut self, rows: &FxHashSet<i64>) {
        self.by_scope.retain(|_, marks| {
            marks.retain(|mark| !rows.contains(&mark.row));
            !marks.is_empty()
        });
    }

    /// Marks of `scope` that would swallow `number`, which has just come to live there.
    pub fn swallowing(&mut self, scope: Scope, number: u64) -> impl Iterator<Item = &mut Mark> {
        let marks = self.by_scope.get_mut(&scope).map(Vec::as_mut_slice).unwrap_or_default();
        marks.iter_mut().filter(move |mark| mark.reaches(number))
    }

    /// Reads the marks of the store.
    pub fn load(conn: &Connection) -> Result<Marks, rusqlite::Error> {
        let mut marks = Marks::default();
        let mut statement =
            conn.prepare("SELECT n, kind, number, through, except_json FROM mark ORDER BY n")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, number): (String, u32) = (row.get(1)?, row.get(2)?);
            let scope = if kind == "topic" { Scope::Topic(number) } else { Scope::Queue(number) };
            let except: String = row.get(4)?;
            marks.add(Mark {
                row: row.get(0)?,
                scope,
                through: row.get::<_, i64>(3)?.cast_unsigned(),
                keeps_dead: kind == "purge",
                except: serde_json::from_str::<Vec<u64>>(&except)
                    .unwrap_or_default()
                    .into_iter()
                    .collect(),
            });
        }
        Ok(marks)
    }
}

impl Mark {
    /// Writes the mark, as a new row or over its own.
    pub fn save(&mut self, conn: &Connection) -> Result<(), rusqlite::Error> {
        let (kind, number) = self.scope.columns(self.keeps_dead);
        let mut except: Vec<u64> = self.except.iter().copied().collect();
        except.sort_unstable();
        let except = serde_json::to_string(&except).unwrap_or_else(|_| "[]".into());
        let row = (self.row != 0).then_some(self.row);
        let sql = "INSERT OR REPLACE INTO mark VALUES(?1, ?2, ?3, ?4, ?5)";
        let through = i64::try_from(self.through).unwrap_or(i64::MAX);
        self.row = conn.prepare_cached(sql)?.insert((row, kind, number, through, except))?;
        Ok(())
    }
}
