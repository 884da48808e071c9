//! Any segments into any state, with time and calls of the application between them: the same play as in the tests.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/kit/mod.rs"]
mod kit;

fuzz_target!(|data: &[u8]| kit::any_state::play(data));
