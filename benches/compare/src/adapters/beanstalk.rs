//! beanstalkd: put, reserve and delete, pipelined as deep as `--prefetch`.

use crate::protocol::*;
use std::io;

pub struct Beanstalk {
    context: Context,
    head: Vec<u8>,
}

impl Beanstalk {
    pub fn new(context: Context) -> Self {
        Beanstalk { head: format!("put 1024 0 120 {}\r\n", context.size).into_bytes(), context }
    }
}

impl Protocol for Beanstalk {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        let t = self.context.topic.clone();
        match self.context.role {
            Role::Producer => {
                talk.send(format!("use {t}\r\n").as_bytes())?;
                talk.expect_line("USING")?;
            }
            Role::Consumer => {
                talk.send(format!("watch {t}\r\nignore default\r\n").as_bytes())?;
                talk.expect_line("WATCHING")?;
                talk.expect_line("WATCHING")?;
            }
            Role::Admin => {}
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        line(out, &self.head, body);
    }

    fn confirms(&mut self, buf: &[u8], _out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut n) = (0, 0);
        while let Some(e) = line_end(buf, at) {
            if !buf[at..].starts_with(b"INSERTED") {
                return bad(show(&buf[at..e]));
            }
            n += 1;
            at = e + 2;
        }
        Ok((at, n))
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        for _ in 0..self.context.prefetch {
            out.extend_from_slice(b"reserve\r\n");
        }
    }

    fn deliveries(&mut self, buf: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some(e) = line_end(buf, at) {
            let line = &buf[at..e];
            if line.starts_with(b"RESERVED ") {
                let mut f = line[9..].split(|c| *c == b' ');
                let id = f.next().unwrap_or(b"");
                let n = parse_number(f.next().unwrap_or(b"")).unwrap_or(0) as usize;
                let end = e + 2 + n + 2;
                if end > buf.len() {
                    break;
                }
                sink(&buf[e + 2..e + 2 + n]);
                out.extend_from_slice(b"delete ");
                out.extend_from_slice(id);
                out.extend_from_slice(b"\r\nreserve\r\n");
                at = end;
            } else if line.starts_with(b"DELETED") {
                acked += 1;
                at = e + 2;
            } else if line.starts_with(b"DEADLINE_SOON") || line.starts_with(b"TIMED_OUT") {
                out.extend_from_slice(b"reserve\r\n");
                at = e + 2;
            } else {
                return bad(show(line));
            }
        }
        Ok((at, acked))
    }
}
