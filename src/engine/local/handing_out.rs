//! Handing out messages: those that are in the store and whose bodies are there.

use super::bodies::is_cold;
use super::*;

/// How long a taken message may be on its way from the disk.
const PAGE_IN_DEADLINE: Duration = Duration::from_secs(3600);

impl LocalEngine {
    /// [`Engine::receive`]
    pub(super) fn hand_out(
        &mut self,
        now: Timestamp,
        queue: u32,
        request: Receive,
    ) -> Answer<Whole<Vec<Delivery>>> {
        self.last_now = now;
        let take = request.take;
        // A body on disk must be read before its row may go: take it as a delivery, ack it with its body.
        let by_way_of_disk = take && self.cold;
        let mut deliveries = Vec::new();
        match &mut self.rules {
            Rules::Broker(topic) => {
                let request = if by_way_of_disk {
                    Receive { take: false, ack_deadline: Some(PAGE_IN_DEADLINE), ..request }
                } else {
                    request
                };
                if let Err(refusal) =
                    topic.receive(now, queue, &request, &mut deliveries, &mut self.ledger)
                {
                    return Answer::Now(Err(refusal.into()));
                }
                if topic.is_empty() {
                    self.cold = false;
                }
            }
            Rules::Pubsub(history) => {
                if !take {
                    return Answer::Now(Err(Refusal::WrongKind.into()));
                }
                let messages = history.claim(now, request.max, request.bytes_max, &mut self.ledger);
                deliveries.extend(messages.into_iter().map(|message| Delivery {
                    message,
                    receipt: None,
                    attempt: 1,
                    at: now,
                    deadline: Timestamp::NEVER,
                    expires_at: Timestamp::NEVER,
                }));
            }
        }
        if deliveries.is_empty() {
            return Answer::Now(Ok(deliveries));
        }
        let missing = deliveries.iter().any(|delivery| is_cold(&delivery.message));
        if missing {
            let answer = self.filled(
                deliveries,
                |deliveries, to| Fill::Deliveries { deliveries, take: by_way_of_disk, to },
                true,
            );
            self.read_ahead(queue);
            return answer;
        }
        if by_way_of_disk {
            self.take_delivered(&mut deliveries);
        }
        self.account();
        self.read_ahead(queue);
        let unsettled = take
            || deliveries
                .iter()
                .any(|delivery| self.pipeline.is_unsettled(delivery.message.number));
        if !unsettled {
            return Answer::Now(Ok(deliveries));
        }
        self.after_all(Ok(deliveries), move |answer: &mut Whole<Vec<Delivery>>, fate| {
            if let (true, Some(error)) = (take, fate.error) {
                *answer = Err(error.clone());
            } else if let Ok(deliveries) = answer {
                deliveries.retain(|delivery| !fate.gone.contains(&delivery.message.seq));
            }
        })
    }
}
