//! What a request says: a command with its arguments, or the error it is answered with. Pure.
//!
//! Source: okQ's commands and texts; `QBPOP`, `QNACK`, `COUNT`, `NOACK` after the queue, and the
//! commands of generic Redis clients are octoq's own.

use super::resp::{Args, quote};
use crate::queue::{End, policy::DURATION_MS_MAX};
use std::{borrow::Cow, time::Duration};

/// Why a command is not done; the text behind the `-`.
pub type Wrong = Cow<'static, str>;

/// The longest time a client may name; a longer one is shortened.
const SPAN_MAX: Duration = Duration::from_millis(DURATION_MS_MAX);
/// How long a consumer has that names no time.
const EXPIRES: Duration = Duration::from_secs(30);

/// How messages are popped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pop {
    /// How long the consumer has; `None`: the message is gone at once.
    pub expires: Option<Duration>,
    /// Most messages; `None`: one, without having said so.
    pub count: Option<usize>,
}

/// The text that QINFO and QSTATUS without names, and so on, look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figures {
    /// QSTATUS.
    Status,
    /// QINFO.
    Info,
}

/// A command. Its texts are those of the request.
#[derive(Debug, Clone, Copy)]
pub enum Command<'a> {
    /// `QLPUSH`, `QRPUSH`.
    Push {
        /// `QRPUSH`: it is the next to be handed out.
        front: bool,
        /// The queue.
        queue: &'a [u8],
        /// The event's id.
        id: &'a [u8],
        /// The event.
        contents: &'a [u8],
        /// Answered before it is stored.
        noblock: bool,
    },
    /// `QRPOP`.
    Pop {
        /// The queue.
        queue: &'a [u8],
        /// How.
        pop: Pop,
    },
    /// `QBPOP`: waits for one of several queues.
    BlockingPop {
        /// The queues are these words of the request: from 1 on, so many.
        queues: usize,
        /// How long to wait.
        timeout: Duration,
        /// How.
        pop: Pop,
    },
    /// `QLPEEK`, `QRPEEK`.
    Peek {
        /// Which end.
        end: End,
        /// The queue.
        queue: &'a [u8],
    },
    /// `QACK`.
    Ack {
        /// The queue.
        queue: &'a [u8],
        /// The event's id.
        id: &'a [u8],
    },
    /// `QACK .. REDO`: a held event is the next to be handed out.
    Redo {
        /// The queue.
        queue: &'a [u8],
        /// The event's id.
        id: &'a [u8],
    },
    /// `QNACK`: the same after a delay, and of an event that is delayed already.
    Nack {
        /// The queue.
        queue: &'a [u8],
        /// The event's id.
        id: &'a [u8],
        /// How long it waits.
        delay: Duration,
    },
    /// `QREGISTER` with the words from 1 on.
    Register,
    /// `QNOTIFY`.
    Notify {
        /// How long to wait.
        timeout: Duration,
    },
    /// `QFLUSH`.
    Flush {
        /// The queue.
        queue: &'a [u8],
    },
    /// `QSTATUS` and `QINFO` with the words from 1 on.
    Figures(Figures),
    /// `PING`, `ECHO`.
    Echo {
        /// What to say; `None`: PONG.
        text: Option<&'a [u8]>,
    },
    /// `HELLO`.
    Hello {
        /// The protocol to go on with.
        resp3: Option<bool>,
        /// Who is there.
        login: Option<(&'a [u8], &'a [u8])>,
        /// What the client calls itself.
        name: Option<&'a [u8]>,
    },
    /// `AUTH`.
    Auth {
        /// The user; `None`: the administrator.
        user: Option<&'a [u8]>,
        /// The password.
        password: &'a [u8],
    },
    /// `CLIENT` in all its forms.
    Client(Client<'a>),
    /// `INFO`.
    Info,
    /// `SELECT 0` and other words that change nothing.
    Nothing,
    /// `COMMAND`, `CONFIG GET`: an empty list.
    EmptyList,
    /// `COMMAND DOCS`, `CONFIG GET` for RESP3: an empty map.
    EmptyMap,
    /// `COMMAND COUNT`.
    Count,
    /// `QUIT`.
    Quit,
    /// `RESET`.
    Reset,
}

/// A form of `CLIENT`.
#[derive(Debug, Clone, Copy)]
pub enum Client<'a> {
    /// `ID`
    Id,
    /// `GETNAME`
    GetName,
    /// `SETNAME`
    SetName(&'a [u8]),
    /// `LIST`
    List,
    /// `INFO`
    Info,
}

/// How many commands `COMMAND COUNT` tells of.
pub const COMMANDS: u64 = 24;

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

fn missing() -> Wrong {
    "ERR missing args".into()
}

/// A whole number as Go's `strconv.Atoi` reads it.
fn atoi(word: &[u8]) -> Result<i64, String> {
    let (minus, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let wrong = |why: &str| Err(format!("strconv.Atoi: parsing {}: {why}", quote(word)));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return wrong("invalid syntax");
    }
    let value = digits.iter().try_fold(0i64, |value, digit| {
        let (value, digit) = (value.checked_mul(10)?, i64::from(digit - b'0'));
        if minus { value.checked_sub(digit) } else { value.checked_add(digit) }
    });
    value.map_or_else(|| wrong("value out of range"), Ok)
}

/// A count of seconds; `what` it is for is in the error.
fn seconds(what: &str, word: &[u8]) -> Result<Duration, Wrong> {
    match atoi(word) {
        Err(why) => Err(format!("ERR bad {what} value: {why}").into()),
        Ok(value) => match u64::try_from(value) {
            Ok(value) => Ok(Duration::from_secs(value).min(SPAN_MAX)),
            Err(_) => Err(format!("ERR bad {what} value: {value} < 0").into()),
        },
    }
}

fn count(word: &[u8]) -> Result<usize, Wrong> {
    match atoi(word) {
        Err(why) => Err(format!("ERR bad count value: {why}").into()),
        Ok(value) => match usize::try_from(value).ok().filter(|value| *value > 0) {
            Some(value) => Ok(value),
            None => Err(format!("ERR bad count value: {value} < 1").into()),
        },
    }
}

/// The options of QRPOP: `[EX seconds] [NOACK] [COUNT n]`, in this order. Where they end, the rest is
/// ignored, as everywhere in okQ.
fn pop(args: &Args<'_>) -> Result<Pop, Wrong> {
    let mut at = 2;
    let mut pop = Pop { expires: Some(EXPIRES), count: None };
    let option = |at: usize, name: &str| args.get(at).is_some_and(|word| is(word, name));
    if option(at, "EX")
        && let Some(word) = args.get(at + 1)
    {
        pop.expires = Some(seconds("expires", word)?).filter(|expires| !expires.is_zero());
        at += 2;
    }
    if option(at, "NOACK") {
        pop.expires = None;
        at += 1;
    }
    if option(at, "COUNT")
        && let Some(word) = args.get(at + 1)
    {
        pop.count = Some(count(word)?);
    }
    Ok(pop)
}

/// `QBPOP queue [queue ...] timeout [EX seconds] [NOACK] [COUNT n]`: the options are read from the
/// end, as long as a queue and a timeout stay.
fn blocking_pop<'a>(args: &Args<'a>) -> Result<Command<'a>, Wrong> {
    let mut end = args.len();
    let mut pop = Pop { expires: Some(EXPIRES), count: None };
    let word = |at: usize| args.get(at).unwrap_or_default();
    loop {
        if end > 4 && is(word(end - 2), "EX") {
            let expires = Some(seconds("expires", word(end - 1))?);
            // NOACK behind it has the last word.
            pop.expires = pop.expires.and(expires.filter(|expires| !expires.is_zero()));
            end -= 2;
        } else if end > 4 && is(word(end - 2), "COUNT") {
            pop.count = Some(count(word(end - 1))?);
            end -= 2;
        } else if end > 3 && is(word(end - 1), "NOACK") {
            pop.expires = None;
            end -= 1;
        } else {
            break;
        }
    }
    if end < 3 {
        return Err(missing());
    }
    let timeout = seconds("timeout", word(end - 1))?;
    Ok(Command::BlockingPop { queues: end - 2, timeout, pop })
}

fn hello<'a>(args: &Args<'a>) -> Result<Command<'a>, Wrong> {
    let resp3 = match args.get(1) {
        None => None,
        Some(b"2") => Some(false),
        Some(b"3") => Some(true),
        Some(_) => return Err("NOPROTO unsupported protocol version".into()),
    };
    let (mut login, mut name, mut at) = (None, None, 2);
    while let Some(option) = args.get(at) {
        match (args.get(at + 1), args.get(at + 2)) {
            (Some(user), Some(password)) if is(option, "AUTH") => {
                login = Some((user, password));
                at += 3;
            }
            (Some(text), _) if is(option, "SETNAME") => {
                name = Some(text);
                at += 2;
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        }
    }
    Ok(Command::Hello { resp3, login, name })
}

fn client<'a>(args: &Args<'a>) -> Result<Command<'a>, Wrong> {
    let form = args.get(1).ok_or_else(missing)?;
    let is = |name: &str| is(form, name);
    Ok(match args.get(2) {
        _ if is("ID") => Command::Client(Client::Id),
        _ if is("GETNAME") => Command::Client(Client::GetName),
        _ if is("LIST") => Command::Client(Client::List),
        _ if is("INFO") => Command::Client(Client::Info),
        Some(name) if is("SETNAME") => Command::Client(Client::SetName(name)),
        Some(_) if is("SETINFO") || is("NO-EVICT") || is("NO-TOUCH") => Command::Nothing,
        _ => {
            let form = String::from_utf8_lossy(form);
            return Err(format!("ERR unknown subcommand '{form}'. Try CLIENT HELP.").into());
        }
    })
}

/// Reads a request.
///
/// Errors: what it is answered with.
#[inline]
pub fn parse<'a>(args: &Args<'a>) -> Result<Command<'a>, Wrong> {
    let name = args.get(0).unwrap_or_default();
    let word = |at: usize| args.get(at).ok_or_else(missing);
    if let [b'q' | b'Q', rest @ ..] = name
        && let Some(command) = queue_command(rest, args)
    {
        return command;
    }
    let second = args.get(1);
    let second_is = |name: &str| second.is_some_and(|second| is(second, name));
    let command = match name.len() {
        4 if is(name, "PING") => Command::Echo { text: second },
        4 if is(name, "ECHO") => Command::Echo { text: Some(word(1)?) },
        5 if is(name, "HELLO") => hello(args)?,
        4 if is(name, "AUTH") => match (second, args.get(2)) {
            (Some(user), Some(password)) => Command::Auth { user: Some(user), password },
            _ => Command::Auth { user: None, password: word(1)? },
        },
        6 if is(name, "SELECT") => match word(1)? {
            b"0" => Command::Nothing,
            _ => return Err("ERR DB index is out of range".into()),
        },
        6 if is(name, "CLIENT") => client(args)?,
        4 if is(name, "INFO") => Command::Info,
        7 if is(name, "COMMAND") => match () {
            () if second_is("DOCS") => Command::EmptyMap,
            () if second_is("COUNT") => Command::Count,
            () => Command::EmptyList,
        },
        6 if is(name, "CONFIG") && second_is("GET") => Command::EmptyMap,
        4 if is(name, "QUIT") => Command::Quit,
        5 if is(name, "RESET") => Command::Reset,
        _ => return Err(format!("ERR unknown command {}", quote(name)).into()),
    };
    Ok(command)
}

/// The commands that begin with Q; `name` is what follows it. `None`: there is none of that name.
#[inline]
fn queue_command<'a>(name: &[u8], args: &Args<'a>) -> Option<Result<Command<'a>, Wrong>> {
    let missing = || Some(Err(missing()));
    let (queue, second, third) = (args.get(1), args.get(2), args.get(3));
    let upper = |at: usize| name.get(at).map(u8::to_ascii_uppercase);
    Some(Ok(match (upper(0)?, name.len()) {
        (b'L' | b'R', 5) if is(&name[1..], "PUSH") => match (queue, second, third) {
            (Some(queue), Some(id), Some(contents)) => {
                let noblock = args.get(4).is_some_and(|word| is(word, "NOBLOCK"));
                let front = upper(0) == Some(b'R');
                Command::Push { front, queue, id, contents, noblock }
            }
            _ => return missing(),
        },
        (b'L' | b'R', 5) if is(&name[1..], "PEEK") => match queue {
            Some(queue) => {
                let front = upper(0) == Some(b'R');
                Command::Peek { end: if front { End::Front } else { End::Back }, queue }
            }
            None => return missing(),
        },
        (b'R', 4) if is(name, "RPOP") => match queue {
            Some(queue) => match pop(args) {
                Ok(pop) => Command::Pop { queue, pop },
                Err(wrong) => return Some(Err(wrong)),
            },
            None => return missing(),
        },
        (b'B', 4) if is(name, "BPOP") => return Some(blocking_pop(args)),
        (b'A', 3) if is(name, "ACK") => match (queue, second) {
            (Some(queue), Some(id)) => match third {
                Some(word) if is(word, "REDO") => Command::Redo { queue, id },
                _ => Command::Ack { queue, id },
            },
            _ => return missing(),
        },
        (b'N', 4) if is(name, "NACK") => match (queue, second) {
            (Some(queue), Some(id)) => match (third, args.get(4)) {
                (Some(option), Some(word)) if is(option, "DELAY") => match seconds("delay", word) {
                    Ok(delay) => Command::Nack { queue, id, delay },
                    Err(wrong) => return Some(Err(wrong)),
                },
                _ => Command::Nack { queue, id, delay: Duration::ZERO },
            },
            _ => return missing(),
        },
        (b'R', 8) if is(name, "REGISTER") => Command::Register,
        (b'N', 6) if is(name, "NOTIFY") => match queue.map(|word| seconds("timeout", word)) {
            Some(Ok(timeout)) => Command::Notify { timeout },
            Some(Err(wrong)) => return Some(Err(wrong)),
            None => return missing(),
        },
        (b'F', 5) if is(name, "FLUSH") => match queue {
            Some(queue) => Command::Flush { queue },
            None => return missing(),
        },
        (b'S', 6) if is(name, "STATUS") => Command::Figures(Figures::Status),
        (b'I', 4) if is(name, "INFO") => Command::Figures(Figures::Info),
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::resp::{Bounds, Decoder, Step};
    use super::*;

    fn said(line: &str) -> String {
        let bounds = Bounds { bulk_bytes_max: 1 << 20, request_bytes_max: 1 << 20 };
        let (mut decoder, input) = (Decoder::default(), format!("{line}\r\n").into_bytes());
        let step = decoder.next(&input, &bounds);
        assert_eq!(step, Ok(Step::Request(input.len())), "{line}");
        match parse(&decoder.args(&input)) {
            Ok(Command::Pop { pop, .. }) => format!("{:?} {:?}", pop.expires, pop.count),
            Ok(Command::BlockingPop { queues, timeout, pop }) => {
                format!("{queues} {timeout:?} {:?} {:?}", pop.expires, pop.count)
            }
            Ok(Command::Push { front, noblock, .. }) => format!("push {front} {noblock}"),
            Ok(Command::Nack { delay, .. }) => format!("nack {delay:?}"),
            Ok(Command::Hello { resp3, login, name }) => {
                format!("{resp3:?} {} {}", login.is_some(), name.is_some())
            }
            Ok(command) => {
                let shown = format!("{command:?}");
                shown.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
            }
            Err(wrong) => wrong.into_owned(),
        }
    }

    #[test]
    fn commands_are_read_as_documented() {
        let syntax = |what: &str, word: &str| {
            format!("ERR bad {what} value: strconv.Atoi: parsing {word}: invalid syntax")
        };
        let table: [(&str, &str); 66] = [
            ("qlpush q i c", "push false false"),
            ("QRPUSH q i c noblock", "push true true"),
            ("QLPUSH q i c other NOBLOCK", "push false false"),
            ("QLPUSH q i", "ERR missing args"),
            ("QLPUSH", "ERR missing args"),
            ("QRPOP q", "Some(30s) None"),
            ("QRPOP q EX 10", "Some(10s) None"),
            ("QRPOP q ex +7 surplus", "Some(7s) None"),
            ("QRPOP q EX 0", "None None"),
            ("QRPOP q EX 0 NOACK", "None None"),
            ("QRPOP q EX 5 NOACK", "None None"),
            ("QRPOP q NOACK", "None None"),
            ("QRPOP q EX", "Some(30s) None"),
            ("QRPOP q other EX 5", "Some(30s) None"),
            ("QRPOP q COUNT 5", "Some(30s) Some(5)"),
            ("QRPOP q EX 9 COUNT 5", "Some(9s) Some(5)"),
            ("QRPOP q EX 9 NOACK COUNT 5", "None Some(5)"),
            ("QRPOP q COUNT", "Some(30s) None"),
            ("QRPOP q COUNT 0", "ERR bad count value: 0 < 1"),
            ("QRPOP q EX -1", "ERR bad expires value: -1 < 0"),
            ("QRPOP q EX -0", "None None"),
            ("QRPOP q EX 9223372036854775807", "Some(315360000s) None"),
            ("QRPOP", "ERR missing args"),
            ("QBPOP q 5", "1 5s Some(30s) None"),
            ("QBPOP a b c 0 EX 10 COUNT 3", "3 0ns Some(10s) Some(3)"),
            ("QBPOP a 1 COUNT 3 EX 10", "1 1s Some(10s) Some(3)"),
            ("QBPOP a 1 EX 10 NOACK", "1 1s None None"),
            ("QBPOP a 1 NOACK EX 10", "1 1s None None"),
            ("QBPOP EX 5", "1 5s Some(30s) None"),
            ("QBPOP a EX 5", "2 5s Some(30s) None"),
            ("QBPOP NOACK 5", "1 5s Some(30s) None"),
            ("QBPOP 5", "ERR missing args"),
            ("QBPOP a -1", "ERR bad timeout value: -1 < 0"),
            ("QLPEEK q", "Peek"),
            ("QRPEEK", "ERR missing args"),
            ("QACK q i", "Ack"),
            ("QACK q i redo", "Redo"),
            ("QACK q i other", "Ack"),
            ("QACK q", "ERR missing args"),
            ("QNACK q i", "nack 0ns"),
            ("QNACK q i DELAY 5", "nack 5s"),
            ("QNACK q i DELAY", "nack 0ns"),
            ("QNACK q i DELAY -2", "ERR bad delay value: -2 < 0"),
            ("QREGISTER", "Register"),
            ("QNOTIFY 5", "Notify"),
            ("QNOTIFY", "ERR missing args"),
            ("QNOTIFY -1", "ERR bad timeout value: -1 < 0"),
            ("QFLUSH", "ERR missing args"),
            ("QFLUSH q", "Flush"),
            ("QSTATUS", "Figures"),
            ("qinfo a b", "Figures"),
            ("Q", "ERR unknown command \"Q\""),
            ("QLPOP q", "ERR unknown command \"QLPOP\""),
            ("FOO", "ERR unknown command \"FOO\""),
            ("MULTI", "ERR unknown command \"MULTI\""),
            ("\"\"", "ERR unknown command \"\""),
            ("PING", "Echo"),
            ("ECHO", "ERR missing args"),
            ("HELLO", "None false false"),
            ("HELLO 3 SETNAME n AUTH u p", "Some(true) true true"),
            ("HELLO 4", "NOPROTO unsupported protocol version"),
            ("HELLO 2 AUTH u", "ERR Syntax error in HELLO option 'AUTH'"),
            ("SELECT 1", "ERR DB index is out of range"),
            ("CLIENT KILL x", "ERR unknown subcommand 'KILL'. Try CLIENT HELP."),
            ("CONFIG SET a b", "ERR unknown command \"CONFIG\""),
            ("command docs", "EmptyMap"),
        ];
        for (line, expected) in table {
            assert_eq!(said(line), expected, "{line}");
        }
        for (line, what, word) in [
            ("QRPOP q EX abc", "expires", "\"abc\""),
            ("QRPOP q EX \"\"", "expires", "\"\""),
            ("QRPOP q EX 1_0", "expires", "\"1_0\""),
            ("QNOTIFY x", "timeout", "\"x\""),
            ("QNOTIFY 1.5", "timeout", "\"1.5\""),
        ] {
            assert_eq!(said(line), syntax(what, word), "{line}");
        }
        let far = "99999999999999999999";
        assert_eq!(
            said(&format!("QRPOP q EX {far}")),
            format!("ERR bad expires value: strconv.Atoi: parsing \"{far}\": value out of range")
        );
    }
}
