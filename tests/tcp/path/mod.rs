//! What the path says: its MTU, its errors, its marks.

mod accurate_ecn;
mod ecn;
mod icmp;
mod mtu_probe;
mod pmtu;
mod pmtu_claims;
