//! Any events in any order for each congestion controller: the same play as in the tests.
#![no_main]
#![allow(missing_docs)]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/congestion_model/mod.rs"]
mod congestion_model;

fuzz_target!(|data: &[u8]| congestion_model::play(data));
