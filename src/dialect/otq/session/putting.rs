//! PUT: rows that come behind the command, as many as it said.

use super::*;
use crate::broker::{Op, clock};
use crate::dialect::otq::codec::Put;

/// A PUT whose rows are still coming.
pub(super) struct Rows {
    put: Put,
    targets: Vec<Target>,
    extra: Option<Arc<Extra>>,
    left: u64,
    /// Rows taken off the wire and not handed to the topics yet; `None`: too long.
    gathered: Vec<Option<Content>>,
    gathered_bytes: usize,
}

/// How far the rows of a PUT have come.
pub(super) enum Taken {
    /// All of them are there.
    All,
    /// As many as one round takes; more may be there.
    Enough,
    /// All that was read.
    Some,
    /// As many as may be taken at once.
    Turn,
    /// A command came where a row was expected: the client is one reply behind.
    Command,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) async fn put(
        &mut self,
        caller: &Caller,
        topic: Bytes,
        put: Put,
        rows: u64,
        lifespan_s: u64,
    ) -> io::Result<Next> {
        let targets = match self.targets(caller, topic).await {
            Ok(targets) => targets,
            Err(error) => return Ok(self.refuse(&error)),
        };
        let denied =
            targets.iter().find_map(|target| target.handle.need(crate::auth::Rights::WRITE).err());
        if let Some(error) = denied {
            self.suspicious = true;
            return Ok(self.refuse(&error));
        }
        self.say(|out| out.extend_from_slice(codec::PROCEED));
        if rows == 0 {
            self.say(|out| out.extend_from_slice(codec::END));
            return Ok(Next::Go);
        }
        let extra = (lifespan_s > 0).then(|| {
            let expires_at = Some(clock::now().after(Duration::from_secs(lifespan_s)));
            Arc::new(Extra { expires_at, ..Extra::default() })
        });
        Ok(Next::Rows(Rows {
            put,
            targets,
            extra,
            left: rows,
            gathered: Vec::new(),
            gathered_bytes: 0,
        }))
    }

    /// Takes the rows that are there. They are handed to the topics with this round, whether
    /// others follow or not.
    pub(super) fn take_rows(&mut self, open: &mut Rows) -> Taken {
        let limits = self.broker.limits();
        let (body_bytes_max, batch_max) = (limits.body_bytes_max, limits.batch_max);
        let mut enough = false;
        while open.left > 0 && !enough {
            if self.turn.is_over() {
                return Taken::Turn;
            }
            let row = match self.lines.next(&mut self.input, body_bytes_max) {
                // A copy of its own: a slice would keep the whole read buffer alive.
                Some(Line::Whole(row)) => Some(Content::from(&*row)),
                Some(Line::TooLong) => None,
                None => break,
            };
            let is_command =
                |row: &Content| codec::looks_like_command(row.body(), self.config.rows_max);
            if self.suspicious && row.as_ref().is_some_and(is_command) {
                return Taken::Command;
            }
            self.turn.spend();
            open.left -= 1;
            open.gathered_bytes += row.as_ref().map_or(0, Content::len);
            open.gathered.push(row);
            enough = open.gathered.len() >= batch_max || open.gathered_bytes >= ROUND_BYTES_MAX;
        }
        self.hand_over(open);
        match (open.left, enough) {
            (0, _) => {
                self.say(|out| out.extend_from_slice(codec::END));
                Taken::All
            }
            (_, true) => Taken::Enough,
            (_, false) => Taken::Some,
        }
    }

    fn hand_over(&mut self, open: &mut Rows) {
        let gathered = std::mem::take(&mut open.gathered);
        open.gathered_bytes = 0;
        if gathered.is_empty() {
            return;
        }
        self.presence.traffic.received(gathered.len());
        let rows: Vec<bool> = gathered.iter().map(Option::is_some).collect();
        let message = |body| NewMessage { body, extra: open.extra.clone() };
        let mut messages: Vec<NewMessage> = gathered.into_iter().flatten().map(message).collect();
        let mut jobs = Vec::with_capacity(open.targets.len());
        for (at, target) in open.targets.iter().enumerate() {
            let last = at + 1 == open.targets.len();
            let messages = if last { std::mem::take(&mut messages) } else { messages.clone() };
            jobs.push(self.ask(&target.handle, Op::Publish { to: target.queue.clone(), messages }));
        }
        let size = match (open.put, open.targets.first().cloned()) {
            (Put::Acknowledged, Some(target)) => {
                Some(self.ask(&target.handle, Op::Counts { queue: target.queue }))
            }
            _ => None,
        };
        self.due.push(Due::Stored { put: open.put, rows, jobs, size });
    }
}
