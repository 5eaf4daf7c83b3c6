//! Secrets: asking a person for one without showing it, and carrying it without printing it.

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use std::{
    convert::Infallible,
    fmt,
    io::{self, Read as _, Write as _},
    str::FromStr,
};

/// Longest password that can be typed, bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A password on its way from the arguments to the broker; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The terminal as it was, restored when dropped.
struct Silence(Termios);

impl Silence {
    /// No echo, byte by byte, and Ctrl-C as a byte: a process killed while the echo is off would
    /// leave the terminal mute.
    fn of_stdin() -> io::Result<Silence> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        for (at, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)]
        {
            if let Some(place) = silent.control_chars.get_mut(at as usize) {
                *place = value;
            }
        }
        termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = termios::tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// What a key did.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    More,
    Done,
    GivenUp,
}

/// Adds one typed byte.
fn key(typed: &mut Vec<u8>, byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => return Key::Done,
        // Ctrl-C, Ctrl-D
        3 | 4 => return Key::GivenUp,
        // Ctrl-U
        0x15 => typed.clear(),
        0x08 | 0x7f => {
            // A whole character goes, not its last byte.
            while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
        }
        _ if typed.len() < PASSWORD_BYTES_MAX => typed.push(byte),
        _ => (),
    }
    Key::More
}

/// Asks on the terminal without showing what is typed. The question goes to standard error.
/// `Interrupted`: Ctrl-C or Ctrl-D.
pub fn password(question: &str) -> io::Result<String> {
    let silence = Silence::of_stdin()?;
    let mut errors = io::stderr();
    write!(errors, "{question}")?;
    errors.flush()?;
    let mut typed = Vec::new();
    let done = loop {
        let mut byte = [0];
        if io::stdin().read(&mut byte)? == 0 {
            break Key::GivenUp;
        }
        match key(&mut typed, byte[0]) {
            Key::More => (),
            end => break end,
        }
    };
    drop(silence);
    writeln!(errors)?;
    match done {
        Key::GivenUp => Err(io::ErrorKind::Interrupted.into()),
        _ => String::from_utf8(typed)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(bytes: &[u8]) -> (Key, String) {
        let mut typed = Vec::new();
        let mut last = Key::More;
        for byte in bytes {
            last = key(&mut typed, *byte);
        }
        (last, String::from_utf8(typed).unwrap())
    }

    #[test]
    fn keys_edit_a_password() {
        assert_eq!(type_in(b"abc\r"), (Key::Done, "abc".into()));
        assert_eq!(type_in("aé\x7f\x7f\x7fb\n".as_bytes()), (Key::Done, "b".into()));
        assert_eq!(type_in(b"abc\x15d\n"), (Key::Done, "d".into()));
        assert_eq!(type_in(b"abc\x03").0, Key::GivenUp);
        assert_eq!(type_in(&[b'a'; 2000]).1.len(), PASSWORD_BYTES_MAX);
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::from("hidden".to_owned())), "Secret(..)");
    }
}
