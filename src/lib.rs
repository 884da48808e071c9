//! glasstcp: a user-space TCP/IP stack on a Linux TUN device that a person can see through.
#![deny(unsafe_code)]

pub mod buffer;
pub mod config;
pub mod counters;
pub mod device;
pub mod rng;
pub mod stack;
pub mod tcp;
pub mod time;
pub mod wire;
