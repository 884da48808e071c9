//! Any ACKs, SACK blocks, marks, windows and times for a sender. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| {
    targets::recovery_model::play(data);
});
