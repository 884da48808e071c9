//! glasstcp: a user-space TCP/IP stack on a Linux TUN device that a person can see through.
#![deny(unsafe_code)]

pub mod buffer;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod counters;
pub mod device;
mod driver;
pub mod error;
pub mod ip;
pub mod net;
pub mod rng;
pub mod sim;
pub mod stack;
pub mod tcp;
pub mod time;
pub mod udp;
pub mod wire;

pub use config::Config;
pub use error::SocketError;
pub use net::Net;
pub use stack::Stack;
