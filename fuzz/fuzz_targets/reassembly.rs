//! Any fragments at any time, beside a model of what must become of them. The same as in tests/fuzz.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/fuzz/targets/mod.rs"]
mod targets;

fuzz_target!(|data: &[u8]| {
    targets::reassembly_model::play(data);
});
