//! What stands in queries and headers of octoq's own door: any text is understood or refused with a
//! stable code, and what is understood is within its bounds and read back as it was written.

use octoq::dialect::native::{Problem, cursor, events, query::Query, sieves};
use octoq::dialect::trace::Trace;
use octoq::queue::{State, Timestamp, policy::POLICY_LIST_MAX};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const STATES: [State; 4] = [State::Ready, State::Delayed, State::InFlight, State::Dead];

/// The whole check.
pub fn check(input: &[u8]) {
    if let Some(first) = input.first_chunk::<16>() {
        let known = u128::from_be_bytes(*first);
        for state in STATES {
            assert_eq!(cursor::read(&cursor::write(known, 7, state), 7, state).ok(), Some(known));
        }
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    sieve(text);
    for state in STATES {
        match cursor::read(text, 7, state) {
            Ok(known) => {
                let other = cursor::read(text, 8, state);
                assert!(other.is_err(), "good for another queue");
                assert_eq!(
                    cursor::read(&cursor::write(known, 7, state), 7, state).ok(),
                    Some(known)
                );
            }
            Err(problem) => assert_eq!(problem.code, "invalid_cursor"),
        }
    }
    match events::position(text) {
        Ok(at) => assert_eq!(events::position(&format!("{}-{}", at.epoch, at.seq)).ok(), Some(at)),
        Err(problem) => refused(&problem),
    }
    if let Some(trace) = Trace::parse(text) {
        assert_eq!(trace.text(), text);
        let attributes = trace.added_to(None);
        let read: serde_json::Value = serde_json::from_str(&attributes).unwrap();
        assert_eq!(read["traceparent"], text);
    }
}

fn refused(problem: &Problem) {
    assert!(problem.status == 400 && !problem.code.is_empty(), "{problem}");
}

fn sieve(text: &str) {
    let read = Query::parse(text).and_then(|mut query| {
        let sieve = sieves::in_query(&mut query, NOW)?;
        query.done()?;
        Ok(sieve)
    });
    match read {
        Ok(sieve) => {
            assert!(sieve.json.len() <= POLICY_LIST_MAX);
            let values = sieve.attributes.0.values().map(Vec::len).sum::<usize>();
            assert!(values <= POLICY_LIST_MAX);
        }
        Err(problem) => refused(&problem),
    }
}
