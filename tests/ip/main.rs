//! IPv4, IPv6, ICMP, UDP and groups through the whole stack, by the packet and in virtual time.

#[path = "../support/kit/mod.rs"]
mod kit;
#[path = "../support/reassembly_model.rs"]
mod reassembly_model;

mod any_address;
mod bad_input;
mod fragments;
mod fragments_out;
mod host;
mod hostile;
mod loopback;
mod multicast;
mod reassembly;
mod udp;
