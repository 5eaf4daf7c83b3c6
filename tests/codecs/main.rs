//! Every codec on any bytes: the committed corpus of the fuzz targets is replayed, and inputs are made up
//! of what clients say. What must hold of them stands in `fuzz/checks`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

mod blockqueue;
mod corpus;
mod dsmq;
mod okq;
mod otq;

use proptest::{collection::vec, prelude::*};

/// One of these, or, more seldom, bytes that are none of them.
fn piece<const N: usize>(words: &'static [&'static str; N]) -> impl Strategy<Value = Vec<u8>> {
    // Characters up to U+00FF stand for their bytes.
    let bytes = |word: &str| word.chars().map(|c| c as u32 as u8).collect();
    prop_oneof![
        6 => prop::sample::select(&words[..]).prop_map(bytes),
        1 => vec(any::<u8>(), 0..20),
    ]
}

/// Where an input is cut.
fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    vec(any::<prop::sample::Index>(), 0..6)
}

/// The input in pieces, some of them empty.
fn cut<'a>(input: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    at.sort_unstable();
    at.push(input.len());
    let mut start = 0;
    at.into_iter().map(|end| &input[std::mem::replace(&mut start, end)..end]).collect()
}
