//! `octoq top`: all queues on the whole screen, sorted.
//!
//! `rows` is what is shown and in which order, pure; `screen` draws it; here the broker is asked and
//! keys are read.

mod rows;
mod screen;

use super::failure::Failure;
use super::remote::{RemoteArgs, Session};
use super::span::Span;
use super::stat::interval;
use super::view::{self, Topic};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use rows::{Rows, Sort};
use serde_json::Value;
use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Keys read ahead.
const KEYS_AHEAD: usize = 64;
/// How often the thread that reads keys looks whether it is still wanted.
const KEY_POLL: Duration = Duration::from_millis(100);

/// All queues with their counts and rates on the whole screen. Keys: arrows move and choose the column
/// to sort by, r reverses, / searches, space pauses, q ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq top
  octoq top -i 5 --sort dead
  octoq top --once --sort bytes")]
pub struct TopArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// How often it is looked
    #[arg(long, short, value_name = "SPAN", default_value = "1s", value_parser = interval)]
    interval: Span,
    /// The column to sort by at first
    #[arg(long, value_enum, default_value_t = Sort::Ready)]
    sort: Sort,
    /// Print the table once and end; rates need two looks, an interval apart
    #[arg(long)]
    once: bool,
}

/// Shows.
pub fn run(arguments: TopArgs) -> ExitCode {
    arguments.remote.run(async |session| {
        if arguments.once {
            once(session, &arguments).await
        } else {
            whole_screen(session, &arguments).await
        }
    })
}

async fn look(session: &mut Session) -> Result<(Vec<Topic>, Instant), Failure> {
    let topics = view::topics(session, None).await?;
    let topics = topics.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
    Ok((topics, Instant::now()))
}

async fn once(session: &mut Session, arguments: &TopArgs) -> Result<(), Failure> {
    let mut rows = Rows::new(arguments.sort);
    let (topics, at) = look(session).await?;
    rows.update(topics, at);
    let sleep = tokio::time::sleep(arguments.interval.duration());
    session.until_stopped(async |_| sleep.await).await?;
    let (topics, at) = look(session).await?;
    rows.update(topics, at);
    if session.json {
        let rows: Vec<Value> = rows.shown().map(rows::Row::as_json).collect();
        writeln!(session.out, "{}", Value::from(rows))?;
    } else {
        rows.table().print(&mut session.out)?;
    }
    Ok(())
}

/// The terminal as a whole screen, given back when dropped.
struct Screen(ratatui::DefaultTerminal);

impl Screen {
    fn take() -> Result<Screen, Failure> {
        ratatui::try_init().map(Screen).map_err(|error| {
            ratatui::restore();
            Failure::error(format!("the terminal cannot be used: {error}"))
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // After a hangup there is nobody to give it back to.
        let _ = ratatui::try_restore();
    }
}

/// What ends a program from outside: it gives the terminal back first. Ctrl-C is a key here.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> std::io::Result<Ends> {
        Ok(Ends([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn come(&mut self) {
        let Ends([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    }
}

/// Events of the terminal, until nobody wants them.
fn events() -> mpsc::Receiver<Event> {
    let (to, events) = mpsc::channel(KEYS_AHEAD);
    std::thread::spawn(move || {
        while !to.is_closed() {
            match event::poll(KEY_POLL) {
                Ok(false) => (),
                Ok(true) => {
                    let Ok(event) = event::read() else { return };
                    if to.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    events
}

async fn whole_screen(session: &mut Session, arguments: &TopArgs) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Failure::usage("top needs a terminal; --once prints the table"));
    }
    let mut rows = Rows::new(arguments.sort);
    // Before the screen is taken: a broker that is not there is told in words.
    let (topics, at) = look(session).await?;
    rows.update(topics, at);
    let url = session.client.place().url();
    let mut ends = Ends::new()?;
    let mut screen = Screen::take()?;
    let mut events = events();
    let mut due = tokio::time::interval(arguments.interval.duration());
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut problem = None;
    loop {
        screen.0.draw(|frame| screen::draw(frame, &mut rows, &url, problem.as_deref()))?;
        let event = tokio::select! {
            biased;
            () = ends.come() => return Ok(()),
            event = events.recv() => event,
            _ = due.tick() => {
                if !rows.paused {
                    // A broker that is away for a while is waited for.
                    let looked = tokio::select! {
                        biased;
                        () = ends.come() => return Ok(()),
                        looked = look(session) => looked,
                    };
                    problem = match looked {
                        Ok((topics, at)) => {
                            rows.update(topics, at);
                            None
                        }
                        Err(Failure::Told { message, .. }) => Some(message),
                        Err(Failure::Refused(refused)) => Some(refused.to_string()),
                        Err(other) => return Err(other),
                    };
                }
                continue;
            }
        };
        match event {
            Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                if press(&mut rows, key.code, control) {
                    return Ok(());
                }
            }
            Some(_) => (),
            None => return Ok(()),
        }
    }
}

/// What a key does; true: it ends.
fn press(rows: &mut Rows, key: KeyCode, control: bool) -> bool {
    if control {
        return matches!(key, KeyCode::Char('c' | 'd'));
    }
    if let Some(search) = &mut rows.typing {
        match key {
            KeyCode::Char(c) => search.push(c),
            KeyCode::Backspace => drop(search.pop()),
            KeyCode::Enter => rows.search = rows.typing.take().unwrap_or_default(),
            KeyCode::Esc => rows.typing = None,
            _ => (),
        }
        return false;
    }
    match key {
        KeyCode::Char('q') => return true,
        KeyCode::Esc if rows.search.is_empty() => return true,
        KeyCode::Esc => rows.search.clear(),
        KeyCode::Char('/') => rows.typing = Some(rows.search.clone()),
        KeyCode::Char('r') => rows.reversed = !rows.reversed,
        KeyCode::Char(' ') => rows.paused = !rows.paused,
        KeyCode::Right | KeyCode::Char('l' | '>') => rows.sort = rows.sort.next(1),
        KeyCode::Left | KeyCode::Char('h' | '<') => rows.sort = rows.sort.next(-1),
        KeyCode::Down | KeyCode::Char('j') => rows.move_by(1),
        KeyCode::Up | KeyCode::Char('k') => rows.move_by(-1),
        KeyCode::PageDown => rows.move_by(20),
        KeyCode::PageUp => rows.move_by(-20),
        KeyCode::Home | KeyCode::Char('g') => rows.move_by(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => rows.move_by(isize::MAX),
        _ => (),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_search_and_end() {
        let mut rows = Rows::new(Sort::Ready);
        assert!(!press(&mut rows, KeyCode::Right, false));
        assert_eq!(rows.sort, Sort::Delayed);
        press(&mut rows, KeyCode::Left, false);
        assert_eq!(rows.sort, Sort::Ready);
        for key in [KeyCode::Char('/'), KeyCode::Char('q'), KeyCode::Char('x'), KeyCode::Backspace]
        {
            assert!(!press(&mut rows, key, false));
        }
        press(&mut rows, KeyCode::Enter, false);
        assert_eq!((rows.search.as_str(), rows.typing.is_none()), ("q", true));
        assert!(!press(&mut rows, KeyCode::Esc, false), "the search goes first");
        assert!(press(&mut rows, KeyCode::Esc, false));
        assert!(press(&mut rows, KeyCode::Char('q'), false));
        assert!(press(&mut rows, KeyCode::Char('c'), true));
    }
}
