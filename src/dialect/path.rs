//! The bytes that a part of a URL stands for.

/// Undoes percent-encoding; what is not encoded right stays as it is.
pub fn percent_decode(raw: &[u8]) -> Vec<u8> {
    if memchr::memchr(b'%', raw).is_none() {
        return raw.to_vec();
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        match (byte, digit(raw.get(at + 1)), digit(raw.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// The value of a query parameter, decoded; of several the last one. `None`: it is not there.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    let decode = |part: &str| {
        let plain = part.replace('+', " ");
        String::from_utf8_lossy(&percent_decode(plain.as_bytes())).into_owned()
    };
    let pairs = query.rsplit('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(known, _)| decode(known) == name).map(|(_, value)| decode(value)).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_the_rest_stays() {
        let table: [(&str, &[u8]); 7] = [
            ("a%2Fb", b"a/b"),
            ("%ff", b"\xff"),
            ("%", b"%"),
            ("100%", b"100%"),
            ("%zz%4", b"%zz%4"),
            // Once, not again.
            ("%2525", b"%25"),
            ("", b""),
        ];
        for (raw, bytes) in table {
            assert_eq!(percent_decode(raw.as_bytes()), bytes, "{raw}");
        }
    }

    #[test]
    fn the_last_of_repeated_parameters_counts() {
        let table = [
            ("limit=1&limit=2", Some("2")),
            ("offset=3", None),
            ("", None),
            ("limit", Some("")),
            ("li%6Dit=%20+5", Some("  5")),
        ];
        for (query, value) in table {
            assert_eq!(query_value(query, "limit").as_deref(), value, "{query}");
        }
    }
}
