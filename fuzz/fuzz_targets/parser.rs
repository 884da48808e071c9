//! Any bytes as a packet, beside etherparse and into a whole stack. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::packet::play(data));
