//! What the fuzz targets do with their bytes: one function each, which fuzz/ calls with the inputs of libFuzzer and
//! tests/fuzz with those of a seeded generator.
#![allow(dead_code, reason = "each target of fuzz/ uses one of them")]

#[cfg(feature = "trace")]
pub mod capture;
pub mod option;
pub mod packet;
pub mod seeds;
pub mod two_stacks;

#[path = "../../support/congestion_model.rs"]
pub mod congestion_model;
#[path = "../../support/kit/mod.rs"]
pub mod kit;
#[path = "../../support/reassembly_model.rs"]
pub mod reassembly_model;
#[path = "../../support/recovery_model.rs"]
pub mod recovery_model;

/// A target: what it does with any bytes, and bytes that are something to it.
pub struct Target {
    /// As its file in fuzz/fuzz_targets is called.
    pub name: &'static str,
    pub play: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The longest input that is worth its time.
    pub longest: usize,
    /// Inputs in a run of the tests.
    pub inputs: u32,
}

/// Plays find their way through any bytes.
fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

pub const ALL: &[Target] = &[
    Target { name: "parser", play: packet::play, seeds: seeds::packets, longest: 1_500, inputs: 20_000 },
    Target { name: "options", play: option::play, seeds: seeds::options, longest: 60, inputs: 100_000 },
    Target {
        name: "reassembly",
        play: |data| {
            let _ = reassembly_model::play(data);
        },
        seeds: none,
        longest: 800,
        inputs: 2_000,
    },
    Target { name: "segment_in_any_state", play: kit::any_state::play, seeds: none, longest: 800, inputs: 2_000 },
    Target { name: "two_stacks", play: two_stacks::play, seeds: none, longest: 800, inputs: 1_500 },
    Target {
        name: "recovery",
        play: |data| {
            let _ = recovery_model::play(data);
        },
        seeds: none,
        longest: 800,
        inputs: 500,
    },
    Target { name: "congestion", play: congestion_model::play, seeds: none, longest: 800, inputs: 500 },
    #[cfg(feature = "trace")]
    Target { name: "capture", play: capture::play, seeds: seeds::captures, longest: 2_000, inputs: 5_000 },
];
