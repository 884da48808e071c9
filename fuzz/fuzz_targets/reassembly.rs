//! Any fragments at any time, beside a model of what must become of them: the same play as in the tests.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/reassembly_model/mod.rs"]
mod reassembly_model;

fuzz_target!(|data: &[u8]| {
    reassembly_model::play(data);
});
