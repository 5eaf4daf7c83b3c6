//! What the lines of a reply mean, and when it is over.

use crate::dialect::otq::codec::Command;

/// One line of the broker, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// Any bytes but LF.
    pub text: &'a [u8],
    /// It ended with CR LF. A DECLINE and a pushed message end with LF alone, which tells them
    /// from a message of a GET and from the PROCEED that ends a subscription.
    pub crlf: bool,
}

/// What to do with one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// It only frames the reply.
    Nothing,
    /// Something to show.
    Result(&'a [u8]),
    /// The reason of a DECLINE.
    Error(&'a [u8]),
}

/// The last line of a reply.
const END: &[u8] = b"ENDOFRESP";
/// The first line of most replies.
const PROCEED: &[u8] = b"PROCEED";
/// The one reason that leaves the connection open.
pub const UNAUTHORIZED: &[u8] = b"Unauthorized access";
/// The line of a row that was not stored.
const FAIL: &[u8] = b"FAIL";

/// A reply being read.
#[derive(Debug)]
pub struct Answer {
    /// Its lines are messages, which may look like anything.
    messages: bool,
    /// A line `FAIL` is a row that was refused.
    rows: bool,
    untouched: bool,
    proceeded: bool,
    over: bool,
    declined: bool,
    closes: bool,
    refused_rows: u64,
}

impl Answer {
    /// The reply to this command; not for SUBSCRIBE, whose reply has no end.
    pub fn to(command: &Command) -> Answer {
        Answer {
            messages: matches!(command, Command::Get { .. }),
            rows: matches!(command, Command::Put { .. }),
            untouched: true,
            proceeded: false,
            over: false,
            declined: false,
            closes: false,
            refused_rows: 0,
        }
    }

    /// Takes the next line.
    pub fn take<'a>(&mut self, line: ReplyLine<'a>) -> Shown<'a> {
        self.untouched = false;
        if line.text == END {
            self.over = true;
            return Shown::Nothing;
        }
        if !line.crlf
            && let Some(reason) = reason(line.text)
        {
            self.declined = true;
            self.closes |= reason != UNAUTHORIZED;
            return Shown::Error(reason);
        }
        if !self.proceeded && line.text == PROCEED {
            self.proceeded = true;
            return Shown::Nothing;
        }
        if self.messages && self.proceeded {
            return Shown::Result(line.text);
        }
        // octoque writes the last size of a PUTACK and the end in one line.
        if let Some(text) = line.text.strip_suffix(END) {
            self.over = true;
            return Shown::Result(text);
        }
        if self.rows && line.text == FAIL {
            self.refused_rows += 1;
        }
        if line.text.is_empty() { Shown::Nothing } else { Shown::Result(line.text) }
    }

    /// Its last line was taken.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Not one line was taken.
    pub fn is_untouched(&self) -> bool {
        self.untouched
    }

    /// PROCEED was taken: rows may follow.
    pub fn has_proceeded(&self) -> bool {
        self.proceeded
    }

    /// There was a DECLINE.
    pub fn is_declined(&self) -> bool {
        self.declined
    }

    /// The DECLINE said that this user may not.
    pub fn is_not_allowed(&self) -> bool {
        self.declined && !self.closes
    }

    /// The broker closes the connection behind it: it does so after every DECLINE but one.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Everything that was asked for was done.
    pub fn is_good(&self) -> bool {
        !self.declined && self.refused_rows == 0
    }
}

/// The reason in a DECLINE line.
pub fn reason(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"DECLINE:")
}

/// What a line means while messages are pushed.
#[derive(Debug, PartialEq, Eq)]
pub enum Pushed<'a> {
    /// A blank line that wants an answer.
    KeepAlive,
    /// The PROCEED that begins the pushes, or ends them after UNSUBSCRIBE.
    Proceed,
    /// A message.
    Message(&'a [u8]),
    /// The subscription was refused.
    Declined(&'a [u8]),
}

/// Reads a line of a subscription. `first`: no message has come yet, so that a DECLINE is a
/// refusal and no message that happens to begin so.
pub fn pushed<'a>(line: ReplyLine<'a>, first: bool) -> Pushed<'a> {
    match line.text {
        b"" => Pushed::KeepAlive,
        text if line.crlf && text == PROCEED => Pushed::Proceed,
        text => match reason(text) {
            Some(reason) if first => Pushed::Declined(reason),
            _ => Pushed::Message(text),
        },
    }
}

/// The topic's name in a line of a DISPLAY box.
pub fn topic_in_box(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"| Name              : ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::otq::codec::parse;

    /// Lines end as in the text; `\r` at the end marks CR LF.
    fn read(command: &str, reply: &str) -> (Vec<String>, Answer) {
        let mut answer = Answer::to(&parse(command.as_bytes(), 1000).unwrap());
        let mut shown = Vec::new();
        for line in reply.split_terminator('\n') {
            assert!(!answer.is_over(), "{command}: lines behind the end");
            let text = line.strip_suffix('\r').unwrap_or(line);
            let line = ReplyLine { text: text.as_bytes(), crlf: line.ends_with('\r') };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match answer.take(line) {
                Shown::Nothing => (),
                Shown::Result(bytes) => shown.push(text(bytes)),
                Shown::Error(bytes) => shown.push(format!("! {}", text(bytes))),
            }
        }
        (shown, answer)
    }

    #[test]
    fn replies_show_what_is_not_framing() {
        let table: [(&str, &str, &[&str]); 12] = [
            ("OTQ CONNECT u p", "CONNECTED\r\nENDOFRESP\r\n", &["CONNECTED"]),
            ("OTQ PUT t 1 BATCH", "PROCEED\r\nENDOFRESP\r\n", &[]),
            ("OTQ PUT t 2 BATCH", "PROCEED\r\nFAIL\r\nENDOFRESP\r\n", &["FAIL"]),
            ("OTQ GET t 9 BATCH", "PROCEED\r\na\r\n\r\nb\r\nENDOFRESP\r\n", &["a", "", "b"]),
            (
                "OTQ GET t 9 BATCH",
                "PROCEED\r\nPROCEED\r\nENDOFRESP \r\nENDOFRESP\r\n",
                &["PROCEED", "ENDOFRESP "],
            ),
            (
                "OTQ GET t 9 BATCH",
                "PROCEED\r\nDECLINE:no\r\nxENDOFRESP\r\nENDOFRESP\r\n",
                &["DECLINE:no", "xENDOFRESP"],
            ),
            (
                "OTQ GET t 9 BATCH",
                "DECLINE:Requested topic not found\nENDOFRESP\r\n",
                &["! Requested topic not found"],
            ),
            ("OTQ PUTACK t 1 BATCH", "PROCEED\r\nSUCCESS\r\n1\r\nENDOFRESP\r\n", &["SUCCESS", "1"]),
            ("OTQ PUTACK t 1 BATCH", "PROCEED\r\nSUCCESS\r\n1ENDOFRESP\r\n", &["SUCCESS", "1"]),
            ("OTQ PING t", "PONG\r\nENDOFRESP\r\n", &["PONG"]),
            (
                "OTQ NEW t PUBSUB",
                "PROCEED\r\nDECLINE:Topic is already existed\nENDOFRESP\r\n",
                &["! Topic is already existed"],
            ),
            (
                "OTQ DISPLAY t",
                "PROCEED\r\n+--\n| Name              : t\n+--\n\nENDOFRESP\r\n",
                &["+--", "| Name              : t", "+--"],
            ),
        ];
        for (command, reply, expected) in table {
            let (shown, answer) = read(command, reply);
            assert_eq!(shown, expected, "{command} {reply:?}");
            assert!(answer.is_over(), "{command} {reply:?}");
            let good = !shown.iter().any(|line| line.starts_with('!') || line == "FAIL");
            assert_eq!(answer.is_good(), good, "{command} {reply:?}");
        }
    }

    #[test]
    fn pushed_lines_are_told_from_framing_by_their_end() {
        let line = |text: &'static str, crlf| ReplyLine { text: text.as_bytes(), crlf };
        assert_eq!(pushed(line("PROCEED", true), true), Pushed::Proceed);
        assert_eq!(pushed(line("PROCEED", false), false), Pushed::Message(b"PROCEED"));
        assert_eq!(pushed(line("", false), false), Pushed::KeepAlive);
        assert_eq!(pushed(line("DECLINE:no", false), true), Pushed::Declined(b"no"));
        assert_eq!(pushed(line("DECLINE:no", false), false), Pushed::Message(b"DECLINE:no"));
    }

    #[test]
    fn a_box_names_its_topic() {
        assert_eq!(topic_in_box(b"| Name              : a b"), Some(&b"a b"[..]));
        assert_eq!(topic_in_box(b"| Capacity          : 0"), None);
    }
}
