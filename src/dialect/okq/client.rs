//! What generic Redis clients say: who they are, and what they want to know of the server.

use super::command::{COMMANDS, Client, Command};
use super::refusal;
use super::resp;
use super::session::{Taken, Talk};
use crate::broker::{BrokerError, Caller};
use bytes::Bytes;
use std::{fmt::Write as _, io, net::SocketAddr};

/// Longest name a client may give itself.
const NAME_BYTES_MAX: usize = 255;
/// The user that Redis clients name when they only have a password: the administrator.
const DEFAULT_USER: &str = "default";
const ADMINISTRATOR: &str = "admin";

impl Talk {
    /// Everything that is not about queues.
    pub async fn greet(&mut self, command: Command<'_>) -> io::Result<Option<Taken>> {
        match command {
            Command::Echo { text: None } => self.round.say(resp::PONG),
            Command::Echo { text: Some(text) } => self.round.write(|out| resp::bulk(out, text)),
            Command::Nothing => self.round.say(resp::OK),
            Command::EmptyList => self.round.say(b"*0\r\n"),
            Command::EmptyMap => self.round.say(if self.resp3 { b"%0\r\n" } else { b"*0\r\n" }),
            Command::Count => self.round.write(|out| resp::integer(out, COMMANDS)),
            Command::Quit => {
                self.round.say(resp::OK);
                return Ok(Some(Taken::Close));
            }
            Command::Auth { user, password } => {
                self.settle().await?;
                match self.log_in(user, password).await {
                    Ok(()) => self.round.say(resp::OK),
                    Err(error) => self.refuse_login(&error),
                }
            }
            Command::Hello { resp3, login, name } => {
                self.settle().await?;
                let done = match login {
                    Some((user, password)) => self.log_in(Some(user), password).await,
                    None => Ok(()),
                };
                match done {
                    Ok(()) => self.hello(resp3, name),
                    Err(error) => self.refuse_login(&error),
                }
            }
            Command::Reset => {
                self.settle().await?;
                (self.resp3, self.name) = (false, Bytes::new());
                self.registered = Vec::new();
                let anonymous = self.okq.0.anonymous.welcomes(self.seat.peer.ip());
                self.caller = anonymous.then(|| self.broker().anonymous());
                self.presence.belongs_to(self.caller.as_ref());
                self.round.say(b"+RESET\r\n");
            }
            Command::Info => {
                self.settle().await?;
                let text = self.info().await;
                self.round.write(|out| resp::bulk(out, text.as_bytes()));
            }
            Command::Client(client) => self.client(client).await,
            // The others are about queues.
            _ => self.round.refuse(refusal(&BrokerError::Unavailable).as_bytes()),
        }
        Ok(None)
    }

    /// A bare password is the administrator's, as is that of the user whom Redis calls `default`
    /// unless there is one of that name.
    async fn log_in(&mut self, user: Option<&[u8]>, password: &[u8]) -> Result<(), BrokerError> {
        let wrong = |_| BrokerError::Unauthenticated;
        let password = std::str::from_utf8(password).map_err(wrong)?;
        let user = user.map(std::str::from_utf8).transpose().map_err(wrong)?;
        let named = self.broker().login(user.unwrap_or(ADMINISTRATOR), password).await;
        let caller: Caller = match named {
            Err(BrokerError::Unauthenticated) if user == Some(DEFAULT_USER) => {
                self.broker().login(ADMINISTRATOR, password).await?
            }
            named => named?,
        };
        // Everything it may do is looked up anew.
        self.targets.clear();
        self.registered = Vec::new();
        self.presence.belongs_to(Some(&caller));
        self.caller = Some(caller);
        Ok(())
    }

    fn refuse_login(&mut self, error: &BrokerError) {
        log::info!("okq: session {}, {}: login refused: {error}", self.seat.id, self.seat.peer);
        self.round.refuse(refusal(error).as_bytes());
    }

    fn hello(&mut self, resp3: Option<bool>, name: Option<&[u8]>) {
        if let Some(name) = name
            && !self.set_name(name)
        {
            return;
        }
        self.resp3 = resp3.unwrap_or(self.resp3);
        let (resp3, id) = (self.resp3, self.seat.id + 1);
        self.round.write(|out| {
            resp::map(out, 7, resp3);
            for (key, value) in [("server", "octoq"), ("version", env!("CARGO_PKG_VERSION"))] {
                resp::bulk(out, key.as_bytes());
                resp::bulk(out, value.as_bytes());
            }
            resp::bulk(out, b"proto");
            resp::integer(out, if resp3 { 3 } else { 2 });
            resp::bulk(out, b"id");
            resp::integer(out, id);
            for (key, value) in [("mode", "standalone"), ("role", "master")] {
                resp::bulk(out, key.as_bytes());
                resp::bulk(out, value.as_bytes());
            }
            resp::bulk(out, b"modules");
            resp::array(out, 0);
        });
    }

    /// False, and answered, when it is no name.
    fn set_name(&mut self, name: &[u8]) -> bool {
        let fits = name.len() <= NAME_BYTES_MAX && name.iter().all(u8::is_ascii_graphic);
        if fits {
            self.name = Bytes::copy_from_slice(name);
        } else {
            self.round
                .refuse("ERR Client names cannot contain spaces, newlines or special characters.");
        }
        fits
    }

    async fn client(&mut self, client: Client<'_>) {
        match client {
            Client::Id => {
                let id = self.seat.id + 1;
                self.round.write(|out| resp::integer(out, id));
            }
            Client::GetName if self.name.is_empty() => self.round.say(resp::nil(self.resp3)),
            Client::GetName => {
                let name = self.name.clone();
                self.round.write(|out| resp::bulk(out, &name));
            }
            Client::SetName(name) => {
                if self.set_name(name) {
                    self.round.say(resp::OK);
                }
            }
            Client::Info => {
                let line = self.own_line();
                self.round.write(|out| resp::bulk(out, line.as_bytes()));
            }
            Client::List => {
                let own = self.seat.id;
                let lines: String = self
                    .seat
                    .neighbours()
                    .await
                    .into_iter()
                    .map(|(id, peer)| if id == own { self.own_line() } else { line(id, peer) })
                    .collect();
                self.round.write(|out| resp::bulk(out, lines.as_bytes()));
            }
        }
    }

    fn own_line(&self) -> String {
        let mut text = line(self.seat.id, self.seat.peer);
        text.pop();
        let (name, proto) = (self.name.escape_ascii(), if self.resp3 { 3 } else { 2 });
        let user = self.caller.as_ref().and_then(Caller::user).unwrap_or(DEFAULT_USER);
        // Writing into a String cannot fail.
        let _ = writeln!(text, " name={name} user={user} resp={proto}");
        text
    }

    async fn info(&self) -> String {
        let state = self.broker().state();
        let clients = state.connections.iter().find(|(door, _)| *door == "okq");
        let queues = match &self.caller {
            Some(caller) => self.broker().list_topics(caller, None, usize::MAX).await.ok(),
            None => None,
        };
        let queues = queues
            .map_or(0, |(topics, _)| topics.iter().map(|topic| topic.queues.len()).sum::<usize>());
        let uptime = self.okq.0.started.elapsed().as_secs();
        let lines = [
            "# Server".to_owned(),
            // Tools read it to know which commands there are.
            "redis_version:7.0.0".to_owned(),
            format!("octoq_version:{}", env!("CARGO_PKG_VERSION")),
            "redis_mode:standalone".to_owned(),
            format!("process_id:{}", std::process::id()),
            format!("uptime_in_seconds:{uptime}"),
            format!("uptime_in_days:{}", uptime / 86_400),
            String::new(),
            "# Clients".to_owned(),
            format!("connected_clients:{}", clients.map_or(0, |(_, count)| *count)),
            String::new(),
            "# Memory".to_owned(),
            format!("used_memory:{}", state.memory_bytes),
            format!("maxmemory:{}", state.memory_limit_bytes),
            String::new(),
            "# Persistence".to_owned(),
            "loading:0".to_owned(),
            String::new(),
            "# Replication".to_owned(),
            "role:master".to_owned(),
            "connected_slaves:0".to_owned(),
            String::new(),
            "# Octoq".to_owned(),
            format!("octoq_queues:{queues}"),
            format!("octoq_disk_full:{}", u8::from(state.disk_full)),
            String::new(),
        ];
        lines.join("\r\n")
    }
}

/// A connection in CLIENT LIST.
fn line(id: u64, peer: SocketAddr) -> String {
    format!("id={} addr={peer}\n", id + 1)
}
