//! Hostile and odd packets, one by one: the exact answer or silence, the counter, and a new client that is served after each.

mod icmp;
mod ipv4;
mod ipv6;
mod limits;
mod random;
mod support;
