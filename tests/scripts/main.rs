//! The scripts do what they say: they explain themselves, print before they act, refuse what would collide, and remove what
//! they made, however they end.
//!
//! Where a network is needed, the test makes a namespace of its own, and a stand-in plays the program.
//! That needs root; elsewhere the tests say `skipped`, which is a failure where `CI` is true.

mod network;
mod place;
mod words;
