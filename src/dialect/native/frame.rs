//! WebSocket frames from server to client, written into one buffer behind each other.

use crate::dialect::websocket::Opcode;
use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Appends one text frame of JSON.
pub fn text<T: Serialize>(out: &mut BytesMut, value: &T) {
    framed(out, Opcode::Text, |out| serde_json::to_writer(out.writer(), value).is_ok());
}

/// Appends one binary frame: the length of the JSON head (u32, big-endian), the head, the body.
pub fn binary<T: Serialize>(out: &mut BytesMut, head: &T, body: &[u8]) {
    framed(out, Opcode::Binary, |out| {
        let start = out.len();
        out.put_u32(0);
        if serde_json::to_writer((&mut *out).writer(), head).is_err() {
            return false;
        }
        let length = u32::try_from(out.len() - start - 4);
        if let (Ok(length), Some(place)) = (length, out.get_mut(start..start + 4)) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        out.put_slice(body);
        length.is_ok()
    });
}

/// Appends one unmasked frame: its length is written when the payload is there. What cannot be
/// written leaves nothing.
fn framed(out: &mut BytesMut, opcode: Opcode, write: impl FnOnce(&mut BytesMut) -> bool) {
    // Room for the head that most frames need, filled in or replaced afterwards.
    let start = out.len();
    out.put_bytes(0, 4);
    if !write(out) {
        out.truncate(start);
        return;
    }
    let length = out.len() - start - 4;
    let first = 0x80 | opcode as u8;
    match u16::try_from(length) {
        Ok(short) if short >= 126 => {
            if let Some(head) = out.get_mut(start..start + 4) {
                head.copy_from_slice(&[first, 126, (short >> 8) as u8, short as u8]);
            }
        }
        small => {
            let payload = out.split_off(start + 4);
            out.truncate(start);
            match small {
                Ok(short) => out.put_slice(&[first, short as u8]),
                Err(_) => {
                    out.put_slice(&[first, 127]);
                    out.put_u64(length as u64);
                }
            }
            out.put_slice(&payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::ws::{Codec, Frame};
    use tokio_util::codec::Decoder;

    fn decoded(frame: &mut BytesMut) -> Frame {
        let decoded = Codec::new().client_mode().max_size(1 << 20).decode(frame).unwrap();
        assert!(frame.is_empty());
        decoded.unwrap()
    }

    #[test]
    fn frames_of_every_length_class_decode_to_what_they_hold() {
        for length in [0, 1, 110, 120, 123, 124, 125, 126, 65_520, 65_533, 65_534, 70_000] {
            let word = "x".repeat(length);
            let mut out = BytesMut::from(&b"before"[..]);
            text(&mut out, &word);
            let Frame::Text(bytes) = decoded(&mut out.split_off(6)) else { panic!("not text") };
            assert_eq!(bytes, format!("\"{word}\""));

            binary(&mut out, &word, b"\xff\x00");
            let Frame::Binary(bytes) = decoded(&mut out.split_off(6)) else { panic!("not binary") };
            let head = format!("\"{word}\"");
            let expected = [&(head.len() as u32).to_be_bytes(), head.as_bytes(), b"\xff\x00"];
            assert_eq!(bytes, expected.concat());
            assert_eq!(&out[..], b"before");
        }
    }
}
