//! What every command has that speaks with a running broker: which broker, as whom, how it answers.

use super::client::{Answer, Ask, Client, Credentials, Place};
use super::context::Contexts;
use super::failure::{Code, Failure};
use super::prompt::{self, Secret};
use super::span::Span;
use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where the broker is when nobody says.
const DEFAULT_URL: &str = "http://127.0.0.1:6790";

/// Which broker, and as whom.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Broker")]
pub struct RemoteArgs {
    /// Its native door; that of the context when left out, else http://127.0.0.1:6790
    #[arg(long, env = "OCTOQ_URL", value_name = "URL", global = true, hide_env_values = true)]
    url: Option<String>,
    /// A named broker, see `octoq context`
    #[arg(long, env = "OCTOQ_CONTEXT", value_name = "NAME", global = true)]
    context: Option<String>,
    /// Who to log in as
    #[arg(long, env = "OCTOQ_USER", value_name = "USER", global = true)]
    user: Option<String>,
    /// The password; other users of this machine can see it in the list of processes, better use
    /// the variable, or type it when asked
    #[arg(
        long,
        env = "OCTOQ_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        global = true
    )]
    password: Option<Secret>,
    /// A bearer token instead of user and password, see `octoq token`
    #[arg(long, env = "OCTOQ_TOKEN", value_name = "TOKEN", hide_env_values = true, global = true)]
    token: Option<Secret>,
    /// How long an answer may take
    #[arg(long, env = "OCTOQ_TIMEOUT", value_name = "SPAN", default_value = "30s", global = true)]
    timeout: Span,
    /// Print JSON
    #[arg(long, env = "OCTOQ_JSON", global = true)]
    pub json: bool,
}

/// The value came from the command line and not from the variable.
pub fn typed(value: Option<&str>, variable: &str) -> bool {
    value.is_some_and(|value| std::env::var(variable).as_deref() != Ok(value))
}

impl RemoteArgs {
    /// A broker was named, be it by a flag, a variable or a context.
    pub fn is_named(&self) -> bool {
        self.url.is_some()
            || self.context.is_some()
            || Contexts::load().is_ok_and(|contexts| contexts.current().is_some())
    }

    /// What was said about it, put together: a flag counts more than a variable, and a URL of the same
    /// rank more than a context.
    fn client(&self) -> Result<Client, Failure> {
        let context_first = typed(self.context.as_deref(), "OCTOQ_CONTEXT")
            && !typed(self.url.as_deref(), "OCTOQ_URL");
        let context = match (&self.url, &self.context) {
            (Some(_), _) if !context_first => None,
            (_, Some(name)) => Some(Contexts::load()?.named(name)?),
            (_, None) => Contexts::load()?.current(),
        };
        let context = context.unwrap_or_default();
        let url = match &self.url {
            Some(url) if !context_first => url.as_str(),
            _ => context.url.as_deref().unwrap_or(DEFAULT_URL),
        };
        let place = Place::parse(url).map_err(Failure::usage)?;
        let token = self.token.clone().or_else(|| match self.user {
            // Who names a user does not mean the context's token.
            None => context.token.clone(),
            Some(_) => None,
        });
        let user = self.user.clone().or_else(|| place.user.clone()).or(context.user);
        let password =
            self.password.clone().or_else(|| place.password.clone()).or(context.password);
        let credentials = match (token, user, password) {
            (Some(token), _, _) => Credentials::Token(token),
            (None, Some(user), Some(password)) => Credentials::User(user, password),
            (None, Some(user), None) if io::stdin().is_terminal() => {
                let asked = prompt::password(&format!("Password of {user}: "));
                let password =
                    asked.map_err(|error| Failure::usage(format!("no password: {error}")))?;
                Credentials::User(user, password.into())
            }
            (None, Some(_), None) => {
                return Err(Failure::usage("no password: set OCTOQ_PASSWORD"));
            }
            // A password alone is that of nobody: octoq repl's variable, most likely.
            (None, None, _) => Credentials::None,
        };
        Client::new(place, &credentials, self.timeout.duration())
    }

    /// Does some work with the broker, and gives the exit code. Ctrl-C and SIGTERM end it.
    pub fn run<W>(&self, work: W) -> ExitCode
    where
        W: AsyncFnOnce(&mut Session) -> Result<(), Failure>,
    {
        let json = self.json;
        match self.try_run(work) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.tell(json),
        }
    }

    /// The same; what goes wrong is the caller's to tell.
    pub fn try_run<W, T>(&self, work: W) -> Result<T, Failure>
    where
        W: AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    {
        let mut session = Session {
            client: self.client()?,
            out: Out::new(),
            json: self.json,
            stopped: false,
            signals: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let done = work(&mut session).await;
            // What was printed before a failure is wanted, too.
            let flushed = session.out.flush();
            let done = done?;
            flushed?;
            Ok(done)
        })
    }
}

/// A conversation with one broker.
pub struct Session {
    /// Asks it.
    pub client: Client,
    /// Standard output.
    pub out: Out,
    /// JSON is wanted.
    pub json: bool,
    /// Ctrl-C or SIGTERM came while [`Session::until_stopped`] waited.
    pub stopped: bool,
    /// Kept from the first wait on: a signal that comes between two waits counts.
    signals: Option<(Signal, Signal)>,
}

impl Session {
    /// Asks the broker.
    pub async fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        self.client.ask(ask).await
    }

    /// Waits for something, or for Ctrl-C or SIGTERM: then `None`, now and from now on.
    pub async fn until_stopped<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Client) -> T,
    ) -> Result<Option<T>, Failure> {
        if self.stopped {
            return Ok(None);
        }
        if self.signals.is_none() {
            let interrupt = signal(SignalKind::interrupt())?;
            self.signals = Some((interrupt, signal(SignalKind::terminate())?));
        }
        let Some((interrupt, terminate)) = &mut self.signals else { return Ok(None) };
        let done = tokio::select! {
            biased;
            _ = interrupt.recv() => None,
            _ = terminate.recv() => None,
            done = work(&mut self.client) => Some(done),
        };
        self.stopped = done.is_none();
        Ok(done)
    }

    /// Prints the broker's own JSON as it came, on one line.
    pub fn print_json(&mut self, answer: &Answer) -> Result<(), Failure> {
        self.out.write_all(&answer.body)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Says that something is done: words for a person, JSON for a program.
    pub fn done(
        &mut self,
        words: impl std::fmt::Display,
        json: &serde_json::Value,
    ) -> Result<(), Failure> {
        if self.json {
            writeln!(self.out, "{json}")?;
        } else {
            writeln!(self.out, "{words}")?;
        }
        Ok(())
    }
}

/// Standard output, gathered: it is written when it is flushed.
pub struct Out(BufWriter<io::Stdout>);

impl Out {
    fn new() -> Out {
        Out(BufWriter::with_capacity(64 << 10, io::stdout()))
    }

    /// A person is looking.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Asks before something is lost.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Sure {
    /// Do not ask
    #[arg(long, short = 'y', env = "OCTOQ_YES")]
    yes: bool,
}

impl Sure {
    /// Says what will be lost and asks; goes on only when the answer is yes. Without a terminal nobody
    /// can be asked: then `--yes` must have been said.
    pub fn ask(&self, lost: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "{lost} Nothing was done: say --yes if you want it"
            )));
        }
        let mut errors = io::stderr();
        write!(errors, "{lost} Go on? [y/N] ")?;
        errors.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Code::Error, "nothing was done")),
        }
    }

    /// It was said beforehand.
    pub fn is_said(&self) -> bool {
        self.yes
    }
}
