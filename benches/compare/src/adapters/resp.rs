//! Redis's protocol: requests, and answers of RESP2 and RESP3.

use crate::protocol::*;
use std::io;

pub fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    array(out, words.len());
    for word in words {
        bulk(out, word);
    }
}

pub fn array(out: &mut Vec<u8>, length: usize) {
    out.push(b'*');
    push_number(out, length as u64);
    out.extend_from_slice(b"\r\n");
}

pub fn bulk(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'$');
    push_number(out, text.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// A command up to the bytes of its last word, whose length is known.
pub fn template(words: &[&[u8]], last_length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    array(&mut out, words.len() + 1);
    for word in words {
        bulk(&mut out, word);
    }
    out.push(b'$');
    push_number(&mut out, last_length as u64);
    out.extend_from_slice(b"\r\n");
    out
}

/// How an answer begins.
#[derive(Debug)]
pub enum Head {
    Number(i64),
    /// Where its bytes begin and end.
    Bulk(Option<(usize, usize)>),
    /// So many answers follow.
    Array(Option<usize>),
    Fine,
}

fn number(line: &[u8]) -> io::Result<i64> {
    let digits = line.strip_prefix(b"-").unwrap_or(line);
    match parse_number(digits) {
        Some(value) if digits.len() < line.len() => Ok(-(value as i64)),
        Some(value) => Ok(value as i64),
        None => bad(format!("an odd answer: {}", show(line))),
    }
}

/// The head at `at`, with the bytes if it is a text, and where it ends; `None`: it is not whole.
pub fn head(input: &[u8], at: usize) -> io::Result<Option<(Head, usize)>> {
    let Some(kind) = input.get(at) else { return Ok(None) };
    let Some(end) = line_end(input, at) else { return Ok(None) };
    let (line, next) = (&input[at + 1..end], end + 2);
    Ok(Some(match kind {
        b':' => (Head::Number(number(line)?), next),
        b'+' => (Head::Fine, next),
        b'*' | b'>' => (Head::Array(usize::try_from(number(line)?).ok()), next),
        b'_' => (Head::Bulk(None), next),
        b'$' => match usize::try_from(number(line)?) {
            Err(_) => (Head::Bulk(None), next),
            Ok(length) if next + length + 2 > input.len() => return Ok(None),
            Ok(length) => (Head::Bulk(Some((next, next + length))), next + length + 2),
        },
        _ => return bad(format!("the server says {}", show(&input[at..end]))),
    }))
}

/// The same where the answer is known to be whole.
pub fn whole_head(input: &[u8], at: usize) -> io::Result<(Head, usize)> {
    match head(input, at)? {
        Some(found) => Ok(found),
        None => bad("an answer ends too soon"),
    }
}

/// Where the answer at `at` ends; `None`: it is not whole.
pub fn skip(input: &[u8], at: usize) -> io::Result<Option<usize>> {
    let Some((found, mut next)) = head(input, at)? else { return Ok(None) };
    if let Head::Array(Some(length)) = found {
        for _ in 0..length {
            match skip(input, next)? {
                Some(end) => next = end,
                None => return Ok(None),
            }
        }
    }
    Ok(Some(next))
}

/// Each answer confirms a message.
pub fn count_answers(input: &[u8]) -> io::Result<Used> {
    let (mut at, mut count) = (0, 0);
    while let Some(end) = skip(input, at)? {
        at = end;
        count += 1;
    }
    Ok((at, count))
}

/// A command while a connection is opened; its answer, also when it is an error.
pub fn ask(talk: &mut Talk, words: &[&[u8]]) -> io::Result<String> {
    let mut out = Vec::new();
    command(&mut out, words);
    talk.send(&out)?;
    loop {
        match skip(&talk.input, 0) {
            Ok(Some(end)) => return Ok(show(&talk.input.drain(..end).collect::<Vec<u8>>())),
            Ok(None) => talk.fill()?,
            Err(error) => {
                talk.input.clear();
                return Ok(error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let answers = b"+OK\r\n:12\r\n$-1\r\n*2\r\n$2\r\nid\r\n$3\r\na\r\n\r\n*-1\r\n:-1\r\n";
        for cut in 0..answers.len() {
            let (used, before) = count_answers(&answers[..cut]).unwrap();
            let (rest, behind) = count_answers(&answers[used..]).unwrap();
            assert_eq!((used + rest, before + behind), (answers.len(), 6), "{cut}");
        }
        assert!(count_answers(b"-ERR no\r\n").is_err());
    }
}
