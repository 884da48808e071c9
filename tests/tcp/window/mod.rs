//! When text may leave: windows, probes of closed ones, and pacing.

mod offered;
mod pacing;
mod probe;
mod waiting;
