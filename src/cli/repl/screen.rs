//! How results and errors are printed.

use std::io::{self, IsTerminal as _, Write};

/// Bytes of output gathered before they are written.
const GATHER_BYTES: usize = 64 << 10;

/// What is put around a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// octoque's REPL: `result  > ..`, `error   > ..`.
    Labelled,
    /// For scripts: results as they are, errors behind the program's name.
    Bare,
}

/// Results go to one writer, errors to another (which for a person is the same terminal).
pub struct Screen {
    out: Box<dyn Write>,
    errors: Box<dyn Write>,
    style: Style,
    colours: bool,
    /// A terminal obeys control characters; a message must not command it.
    escape: bool,
    gathered: Vec<u8>,
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BLUE: &str = "\x1b[34m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

impl Screen {
    /// Standard output; errors go there too when labelled, else to standard error.
    pub fn standard(style: Style) -> Screen {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let errors: Box<dyn Write> = match style {
            Style::Labelled => Box::new(io::stdout()),
            Style::Bare => Box::new(io::stderr()),
        };
        let colours = terminal && !no_colour && style == Style::Labelled;
        Screen {
            out: Box::new(io::stdout()),
            errors,
            style,
            colours,
            escape: terminal,
            gathered: Vec::new(),
        }
    }

    /// Any writers; neither colours nor escapes.
    pub fn to(out: Box<dyn Write>, errors: Box<dyn Write>, style: Style) -> Screen {
        Screen { out, errors, style, colours: false, escape: false, gathered: Vec::new() }
    }

    fn label(&self, label: &str, colour: &str) -> String {
        match (self.style, self.colours) {
            (Style::Bare, _) => String::new(),
            (Style::Labelled, false) => format!("{label:<8}> "),
            (Style::Labelled, true) => format!("{colour}{label:<8}> {PLAIN}"),
        }
    }

    fn line(&mut self, label: &str, colour: &str, text: &[u8]) -> io::Result<()> {
        let label = self.label(label, colour);
        self.gathered.extend_from_slice(label.as_bytes());
        if self.escape {
            escaped(text, &mut self.gathered);
        } else {
            self.gathered.extend_from_slice(text);
        }
        self.gathered.push(b'\n');
        if self.gathered.len() >= GATHER_BYTES { self.flush() } else { Ok(()) }
    }

    /// A line of a reply, or a message.
    pub fn result(&mut self, text: &[u8]) -> io::Result<()> {
        self.line("result", GREEN, text)
    }

    /// Why something was not done.
    pub fn error(&mut self, text: &[u8]) -> io::Result<()> {
        self.flush()?;
        let mut line = match self.style {
            Style::Labelled => self.label("error", RED).into_bytes(),
            Style::Bare => b"octoq: ".to_vec(),
        };
        escaped(text, &mut line);
        line.push(b'\n');
        self.errors.write_all(&line)?;
        self.errors.flush()
    }

    /// Something a person may want to know and a script does not.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        match self.style {
            Style::Labelled => self.line("info", BLUE, text.as_bytes()),
            Style::Bare => Ok(()),
        }
    }

    /// Text of several lines, as it is.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.gathered.extend_from_slice(text.as_bytes());
        self.flush()
    }

    /// The text before the cursor, without and with colour.
    pub fn prompt(&self, label: &str) -> (String, String) {
        let plain = format!("{label:<8}> ");
        let coloured = match (self.colours, label) {
            (true, "command") => format!("{YELLOW}{plain}{PLAIN}"),
            _ => plain.clone(),
        };
        (plain, coloured)
    }

    /// Writes what was gathered.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.gathered.is_empty() {
            self.out.write_all(&self.gathered)?;
            self.gathered.clear();
        }
        self.out.flush()
    }
}

/// Control characters and what is not UTF-8 as escapes.
fn escaped(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\t' {
                out.extend(c.escape_default().map(|c| c as u8));
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let mut out = Vec::new();
        escaped("a\x1b[2Jb\té\u{9b}".as_bytes(), &mut out);
        escaped(b"\xff\0", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "a\\u{1b}[2Jb\té\\u{9b}\\xff\\u{0}");
    }

    #[test]
    fn labels_are_octoques() {
        let screen = Screen::to(Box::new(io::sink()), Box::new(io::sink()), Style::Labelled);
        assert_eq!(screen.label("result", GREEN), "result  > ");
        assert_eq!(screen.label("error", RED), "error   > ");
        assert_eq!(screen.prompt("data").0, "data    > ");
        assert_eq!(screen.prompt("command").0, "command > ");
    }
}
