//! A host's IP, ICMP and UDP, through the whole stack.

#[path = "../kit/mod.rs"]
mod kit;

mod datagrams;
mod headers;
mod icmp;
mod support;
