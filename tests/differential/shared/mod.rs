//! What the comparisons with smoltcp and with Linux share: scenarios, applications, our own end, the run of a
//! conversation, and the list of differences that are explained.
//!
//! tests/end_to_end/differential.rs uses it too.
#![allow(dead_code)]

pub mod compare;
pub mod endpoint;
pub mod findings;
pub mod list;
pub mod normal;
pub mod ours;
pub mod run;
pub mod scenario;
