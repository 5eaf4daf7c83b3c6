//! A round: what one read held, as one job for each topic, and what is due when they are home.

use super::*;
use crate::broker::{Home, Job, Op, Reply};
use crate::dialect::otq::codec::Put;

/// A job that has come home: its tag and its replies.
pub(super) type Answered = (u64, Vec<Slot>);

/// What will be written when the round's jobs are home, in command order.
pub(super) enum Due {
    /// Bytes that depend on nothing.
    Bytes(Vec<u8>),
    /// The messages of a GET.
    Messages { job: usize, slot: usize },
    /// The rows of a PUT: `results` per row across the targets, `size` for PUTACK.
    Stored { put: Put, rows: Vec<bool>, jobs: Vec<(usize, usize)>, size: Option<(usize, usize)> },
    /// A CLEAR.
    Cleared { job: usize, slot: usize },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Adds an op to the round's job of its topic; answers where its reply will be.
    pub(super) fn ask(&mut self, handle: &TopicHandle, op: Op) -> (usize, usize) {
        let same = |(known, _): &(TopicHandle, Vec<Slot>)| known.name() == handle.name();
        let job = match self.jobs.iter().position(same) {
            Some(job) => job,
            None => {
                self.jobs.push((handle.clone(), Vec::new()));
                self.jobs.len() - 1
            }
        };
        let slots = self.jobs.get_mut(job).map(|(_, slots)| {
            slots.push(Slot::Op(op));
            slots.len() - 1
        });
        (job, slots.unwrap_or(0))
    }

    /// Sends the round's jobs, waits for all, writes all that is due.
    pub(super) async fn finish_round(&mut self) -> io::Result<()> {
        let mut answers: Vec<Vec<Slot>> = Vec::with_capacity(self.jobs.len());
        answers.resize_with(self.jobs.len(), Vec::new);
        let out = self.jobs.len();
        if out > 0 {
            let (home, answered) = self.home.get_or_insert_with(|| mpsc::channel(JOBS_MAX));
            for (tag, (handle, slots)) in self.jobs.drain(..).enumerate() {
                handle.submit(Job::new(slots, Home::Channel(home.clone()), tag as u64));
            }
            for _ in 0..out {
                let Some((tag, slots)) = answered.recv().await else { break };
                let place = usize::try_from(tag).ok().and_then(|tag| answers.get_mut(tag));
                if let Some(place) = place {
                    *place = slots;
                }
            }
        }
        for due in std::mem::take(&mut self.due) {
            self.render(due, &mut answers);
        }
        self.write_out().await
    }

    fn render(&mut self, due: Due, answers: &mut [Vec<Slot>]) {
        let mut reply = |(job, slot): (usize, usize)| {
            let slot = answers.get_mut(job).and_then(|slots| slots.get_mut(slot));
            match slot {
                Some(Slot::Reply(reply)) => std::mem::replace(reply, Reply::Counted(0)),
                Some(Slot::Op(_)) | None => Reply::Failed(BrokerError::Unavailable),
            }
        };
        let out = &mut self.out;
        match due {
            Due::Bytes(bytes) => out.extend_from_slice(&bytes),
            Due::Messages { job, slot } => {
                out.extend_from_slice(codec::PROCEED);
                match reply((job, slot)) {
                    Reply::Delivered(deliveries) => {
                        self.presence.traffic.sent(deliveries.len());
                        for delivery in &deliveries {
                            codec::row(out, delivery.message.body());
                        }
                    }
                    Reply::Failed(error) => codec::decline(out, &reason(&error)),
                    _ => (),
                }
                out.extend_from_slice(codec::END);
            }
            Due::Cleared { job, slot } => {
                out.extend_from_slice(codec::PROCEED);
                match reply((job, slot)) {
                    Reply::Failed(error) => codec::decline(out, &reason(&error)),
                    _ => out.extend_from_slice(codec::CLEARED),
                }
                out.extend_from_slice(codec::END);
            }
            Due::Stored { put, mut rows, jobs, size } => {
                // Every topic was sent these rows, whatever another made of them.
                let sent = rows.clone();
                for place in jobs {
                    let fitting =
                        rows.iter_mut().zip(&sent).filter(|(_, sent)| **sent).map(|(row, _)| row);
                    match reply(place) {
                        Reply::Published(results) => {
                            fitting.zip(&results).for_each(|(row, result)| *row &= result.is_ok());
                        }
                        _ => fitting.for_each(|row| *row = false),
                    }
                }
                let mut behind = rows.iter().filter(|row| **row).count() as u64;
                let size = match size.map(&mut reply) {
                    Some(Reply::Figures(figures)) => figures.counts.ready + figures.counts.delayed,
                    _ => 0,
                };
                for row in rows {
                    if row && put == Put::Acknowledged {
                        behind -= 1;
                        // Rows that went straight to subscribers leave the topic as it was.
                        codec::stored(out, size.saturating_sub(behind));
                    } else if !row {
                        out.extend_from_slice(codec::FAIL);
                    }
                }
            }
        }
    }
}
