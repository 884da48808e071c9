//! Two stacks, and frames between them that are lost, doubled, overtaken, damaged or forged. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::two_stacks::play(data));
