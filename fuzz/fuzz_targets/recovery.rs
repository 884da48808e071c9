//! Any ACKs, SACK blocks, marks, windows and times for a sender: the same play as in the tests.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/recovery_model/mod.rs"]
mod recovery_model;

fuzz_target!(|data: &[u8]| {
    recovery_model::play(data);
});
