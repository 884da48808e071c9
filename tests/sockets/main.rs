//! Sockets that block, like those of `std::net`, and what drives them: over networks in one process, on real time.

#[path = "../support/kit/mod.rs"]
mod kit;

mod common;

mod any_address;
mod close;
mod driver;
mod loopback;
mod poller;
mod queues;
mod stream;
mod udp;
