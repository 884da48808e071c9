//! Any bytes as TCP options, beside etherparse; what was understood survives writing and reading. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::option::play(data));
