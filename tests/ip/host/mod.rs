//! A host's IP, ICMP and UDP, through the whole stack.

mod datagrams;
mod headers;
mod icmp;
mod support;
