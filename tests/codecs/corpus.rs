//! What fuzzing starts from. Inputs that broke something stay in it.

use super::checks::*;
use std::{collections::BTreeSet, fs, path::Path};

type Check = fn(&[u8]);

/// The targets; what they check; whether the first byte of an input says how the rest is cut.
const TARGETS: [(&str, Check, bool); 8] = [
    ("addresses", addresses::check, false),
    ("blockqueue_json", blockqueue_json::check, false),
    ("dsmq_codec", dsmq_codec::check, true),
    ("fastqueue_json", fastqueue_json::check, false),
    ("native_query", native_query::check, false),
    ("native_socket", native_socket::check, true),
    ("okq_codec", okq_codec::check, true),
    ("otq_codec", otq_codec::check, true),
];

/// Fewer are not worth to start from.
const INPUTS_MIN: usize = 10;

fn fuzz(folder: &str) -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_input_passes_its_check_in_pieces_of_any_size() {
    for (name, check, is_cut) in TARGETS {
        let inputs = fuzz(&format!("corpus/{name}"));
        assert!(inputs.len() >= INPUTS_MIN, "{name}: the corpus is not where it was");
        for path in inputs {
            let mut input = fs::read(&path).unwrap();
            println!("{}", path.display());
            check(&input);
            if !is_cut || input.is_empty() {
                continue;
            }
            for size in 1..=u8::try_from(input.len()).unwrap_or(u8::MAX) {
                input[0] = size;
                check(&input);
            }
        }
    }
}

#[test]
fn every_target_has_a_check_and_a_corpus() {
    let named = |folder| -> BTreeSet<String> {
        let stem = |path: &std::path::PathBuf| path.file_stem()?.to_str().map(str::to_owned);
        fuzz(folder).iter().filter_map(stem).filter(|name| name != "mod").collect()
    };
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    for folder in ["fuzz_targets", "checks", "corpus"] {
        assert_eq!(named(folder), listed, "fuzz/{folder}");
    }
}
