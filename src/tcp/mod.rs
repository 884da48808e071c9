//! Being written.
pub mod sequence;
