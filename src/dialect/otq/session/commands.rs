//! What each command does, but for those that move messages.

use super::*;
use crate::broker::{NewTopic, Op};

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    pub(super) async fn command(&mut self, command: Command) -> io::Result<Next> {
        if command != Command::Disconnect {
            self.unsubscribed = false;
        }
        let (user, password) = match command {
            Command::Connect { user, password } => (user, password),
            Command::Disconnect => {
                self.finish_round().await?;
                // The library says it directly behind UNSUBSCRIBE, and would spin if the broker
                // closed first.
                if self.unsubscribed {
                    self.park().await?;
                }
                return Ok(Next::Close);
            }
            // Login is asked before the topic is looked up, so that names do not leak.
            command => {
                let Some(caller) = self.caller.clone() else {
                    return Ok(self.decline("Unauthorized access"));
                };
                return self.authorised(caller, command).await;
            }
        };
        self.finish_round().await?;
        self.handles.clear();
        self.caller = None;
        match self.broker.login(&user, &password).await {
            Ok(caller) => {
                self.presence.belongs_to(Some(&caller));
                self.caller = Some(Arc::new(caller));
                self.login_by = None;
                self.say(|out| {
                    out.extend_from_slice(codec::CONNECTED);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error) => {
                let session = self.seat.as_ref().map_or(0, |seat| seat.id);
                log::info!("otq: session {session}: login refused: {error}");
                Ok(self.decline_and_close(&reason(&error)))
            }
        }
    }

    async fn authorised(&mut self, caller: Arc<Caller>, command: Command) -> io::Result<Next> {
        match command {
            Command::Get { topic, count } => self.get(&caller, topic, count).await,
            Command::Put { put, topic, rows, lifespan_s } => {
                self.put(&caller, topic, put, rows, lifespan_s).await
            }
            Command::Subscribe(topic) => self.subscribe(&caller, topic).await,
            Command::New { topic, kind, capacity } => {
                self.new_topic(&caller, topic, kind, capacity).await
            }
            Command::Display(topic) => self.display(&caller, topic).await,
            Command::Clear(topic) => match self.target(&caller, topic).await {
                Ok(target) => match target.handle.need(crate::auth::Rights::CLEAR) {
                    Ok(()) => {
                        let (job, slot) =
                            self.ask(&target.handle, Op::Purge { queue: target.queue });
                        self.due.push(Due::Cleared { job, slot });
                        Ok(Next::Go)
                    }
                    Err(error) => Ok(self.refuse(&error)),
                },
                Err(error) => Ok(self.refuse(&error)),
            },
            Command::Ping(topic) => {
                let known = self.target(&caller, topic).await;
                self.say(|out| {
                    out.extend_from_slice(if known.is_ok() {
                        codec::PONG
                    } else {
                        codec::NOT_FOUND
                    });
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Command::Acknowledge(topic) => match self.target(&caller, topic).await {
                Ok(_) => {
                    self.say(|out| {
                        out.extend_from_slice(codec::ACKNOWLEDGE);
                        out.extend_from_slice(codec::END);
                    });
                    Ok(Next::Go)
                }
                Err(error) => Ok(self.refuse(&error)),
            },
            // Outside a subscription it ends nothing.
            Command::Unsubscribe(_) => {
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Command::Connect { .. } | Command::Disconnect => Ok(Next::Close),
        }
    }

    async fn new_topic(
        &mut self,
        caller: &Caller,
        topic: Bytes,
        kind: Kind,
        capacity: u64,
    ) -> io::Result<Next> {
        self.finish_round().await?;
        let Ok(name) = TopicName::parse(&topic) else {
            return Ok(self.decline_and_close("Missing topic name"));
        };
        let queues = match kind {
            Kind::Broker => vec![(QueueName::default_queue(), QueuePolicy::default())],
            Kind::Pubsub => Vec::new(),
        };
        let policy = TopicPolicy { capacity, ..self.broker.default_policy(kind) };
        let made = if &topic[..] == b"*" {
            Err(BrokerError::NotAllowed("create"))
        } else {
            self.broker
                .create_topic(caller, NewTopic { name, kind, policy, queues, owner: None })
                .await
        };
        match made {
            Ok(_) => {
                // PROCEED must be the first line: the client reads one line, then up to the end.
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    out.extend_from_slice(codec::SUCCESS);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error @ BrokerError::NotAllowed(_)) => Ok(self.refuse(&error)),
            Err(error @ BrokerError::TopicExists(_)) => {
                self.say(|out| out.extend_from_slice(codec::PROCEED));
                Ok(self.refuse(&error))
            }
            Err(error) => Ok(self.refuse(&error)),
        }
    }

    async fn display(&mut self, caller: &Caller, topic: Bytes) -> io::Result<Next> {
        self.finish_round().await?;
        let shown = if &topic[..] == b"*" {
            if !caller.is_admin() {
                return Ok(self.decline("Unauthorized access"));
            }
            self.broker.list_topics(caller, None, usize::MAX).await.map(|(figures, _)| figures)
        } else {
            match self.target(caller, topic).await {
                Ok(target) => target.handle.describe().await.map(|figures| vec![figures]),
                Err(error) => Err(error),
            }
        };
        match shown {
            Ok(topics) => {
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    for topic in &topics {
                        let definition = &topic.definition;
                        let (name, capacity) =
                            (definition.name.as_bytes(), definition.policy.capacity);
                        codec::display(out, name, definition.kind, capacity, topic.waiting());
                    }
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error) => Ok(self.refuse(&error)),
        }
    }
}
