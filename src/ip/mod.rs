//! The IP layer of a host: whose packet it is, and what ICMP says about the ones that nobody takes.

pub mod address;
pub mod bind;
pub mod error_limit;
pub mod input;
pub mod multicast;
pub mod path_mtu;
pub mod rate_limit;
pub mod sent_datagrams;

pub use address::IpCidr;
