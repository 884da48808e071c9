//! Any segments into any state, with time and calls of the application between them. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| targets::kit::any_state::play(data));
