//! TCP Fast Open (RFC 7413) by the packet: a stack that listens, and one that connects, in virtual time.

mod client;
mod server;
mod support;
