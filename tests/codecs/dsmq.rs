//! dsmq's requests in its three framings, whatever way the network cuts them.

use super::checks::dsmq_codec::same;
use super::*;
use octoq::dialect::dsmq::request::{Content, Request, parse};

/// What a client says, so that random bytes are not always wrong at once.
const PIECES: [&str; 22] = [
    "{\"action\": \"put\", \"topic\": \"t\", \"message\": ",
    "{\"action\": \"get\", \"topic\": \"t\"}",
    "{\"msg_length\": 1000031}",
    "{\"msg_length\": 1000005}",
    "{\"msg_length\": ",
    "\"Hello!\"}",
    "1.5e10}",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u00e9",
    ":",
    ",",
    "null",
    " ",
    "\n",
    "\u{81}\u{85}",
    "\u{1}",
    "\u{89}\u{80}abcd",
];

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in vec(piece(&PIECES), 0..40),
        cuts in cuts(),
    ) {
        let input = pieces.concat();
        same(&input, cut(&input, &cuts));
    }

    #[test]
    fn any_text_is_a_message_and_comes_back(text in any::<String>(), name in any::<String>()) {
        let request = serde_json::json!({"action": "put", "topic": name, "message": text}).to_string();
        let expected = Request::Put(Some(name.as_str().into()), Content::Text(text.as_str().into()));
        prop_assert_eq!(parse(request.as_bytes()), Ok(expected));
    }
}
