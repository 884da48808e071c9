//! The IP layer of a host: whose packet it is, datagrams in fragments, and what ICMP says about the ones that nobody takes.

pub mod address;
pub mod bind;
pub mod error_limit;
pub mod fragment;
pub mod identification;
pub mod input;
pub mod multicast;
mod partial;
pub mod path_mtu;
pub mod rate_limit;
pub mod reassembly;
pub mod sent_datagrams;

pub use address::IpCidr;
