//! okq's requests: what is kept of them is bounded, whatever way the network cuts them.

use super::checks::okq_codec::{BOUNDS, same};
use super::*;
use octoq::dialect::okq::resp::{Decoder, Step};

#[test]
fn a_request_that_is_not_kept_takes_no_memory() {
    let (mut decoder, mut buffer, mut most) = (Decoder::default(), Vec::new(), 0);
    let head = b"*3\r\n$6\r\nQLPUSH\r\n$1\r\nq\r\n$60000\r\n".to_vec();
    let body = vec![b'x'; 60_000];
    let tail = b"\r\nPING\r\n".to_vec();
    let mut said = Vec::new();
    for chunk in [head, body, tail].concat().chunks(100) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.next(&buffer, &BOUNDS) {
                Ok(Step::More) => break,
                Ok(step @ (Step::Past(used) | Step::TooLong(used) | Step::Request(used))) => {
                    if !matches!(step, Step::Past(_)) {
                        said.push(step);
                    }
                    buffer.drain(..used);
                }
                other => panic!("{other:?}"),
            }
        }
        most = most.max(buffer.len());
    }
    assert_eq!(said, [Step::TooLong(0), Step::Request(6)]);
    assert!(most <= 200, "{most} bytes were kept");
}

/// What requests are made of.
const PIECES: [&str; 34] = [
    "*1\r\n",
    "*2\r\n",
    "*3\r\n",
    "*4\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*300\r\n",
    "$",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$1\r\nq\r\n",
    "$2\r\nEX\r\n",
    "$5\r\nQRPOP\r\n",
    "$6\r\nQLPUSH\r\n",
    "$4\r\nQACK\r\n",
    "$4\r\nREDO\r\n",
    "$300\r\n",
    "$70000\r\n",
    "+PING\r\n",
    ":1\r\n",
    "-ERR\r\n",
    "PING\r\n",
    "QRPOP q EX 5\n",
    "\"a b\" ",
    "\"",
    "\\x00",
    "\r\n",
    "\n",
    "\r",
    " ",
    "HTTP/1.1\r\n",
    "*",
    "9",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in vec(piece(&PIECES), 0..60),
        size in 1usize..40,
    ) {
        let input = pieces.concat();
        same(&input, input.chunks(size));
    }
}
