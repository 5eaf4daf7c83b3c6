//! GET: messages leave the topic with the reply.

use super::*;
use crate::broker::{Op, Reply};

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) async fn get(
        &mut self,
        caller: &Caller,
        topic: Bytes,
        count: u64,
    ) -> io::Result<Next> {
        if &topic[..] == b"*" {
            if !caller.is_admin() {
                self.suspicious = true;
                return Ok(self.decline("Unauthorized access"));
            }
            self.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                out.extend_from_slice(codec::END);
            });
            return Ok(Next::Go);
        }
        let target = match self.target(caller, topic).await {
            Ok(target) => target,
            Err(error) => return Ok(self.refuse(&error)),
        };
        if let Err(error) = target.handle.need(crate::auth::Rights::READ) {
            self.suspicious = true;
            return Ok(self.refuse(&error));
        }
        let limits = self.broker.limits();
        let (batch, bytes_max) = (limits.batch_max, limits.receive_bytes_max);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let take =
            |max| Receive { max, bytes_max, ack_deadline: None, take: true, from_back: false };
        let receive =
            |max| Op::Receive { queue: target.queue.clone(), request: take(max), wait: None };
        if count == 0 {
            self.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                out.extend_from_slice(codec::END);
            });
            return Ok(Next::Go);
        }
        if count <= batch
            && count.saturating_mul(limits.body_bytes_max) <= bytes_max.max(ROUND_BYTES_MAX)
        {
            let (job, slot) = self.ask(&target.handle, receive(count));
            self.due.push(Due::Messages { job, slot });
            if self.jobs.len() >= JOBS_MAX {
                self.finish_round().await?;
            }
            return Ok(Next::Go);
        }
        // More than one batch may be needed: taken and written piece by piece.
        self.finish_round().await?;
        self.out.extend_from_slice(codec::PROCEED);
        let mut left = count;
        while left > 0 {
            let reply = target.handle.ask(receive(left.min(batch))).await;
            let deliveries = match reply {
                Ok(Reply::Delivered(deliveries)) if !deliveries.is_empty() => deliveries,
                Ok(Reply::Failed(error)) | Err(error) => {
                    codec::decline(&mut self.out, &reason(&error));
                    break;
                }
                Ok(_) => break,
            };
            left = left.saturating_sub(deliveries.len());
            self.presence.traffic.sent(deliveries.len());
            for delivery in &deliveries {
                codec::row(&mut self.out, delivery.message.body());
                if self.out.len() >= ROUND_BYTES_MAX {
                    self.write_out().await?;
                }
            }
        }
        self.out.extend_from_slice(codec::END);
        self.write_out().await?;
        Ok(Next::Go)
    }
}
