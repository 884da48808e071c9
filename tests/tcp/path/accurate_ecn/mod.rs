//! Accurate ECN (RFC 9768), both roles, by the packet: the handshake, the counters, and what becomes of marks.

mod again;
mod counters;
mod handshake;
mod odd;
mod option;
mod support;
