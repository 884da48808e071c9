//! What C programs call: the interface of packetdrill (feature `packetdrill`).
#![allow(unsafe_code)]

#[cfg(feature = "packetdrill")]
mod packetdrill;
