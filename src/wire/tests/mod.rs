//! Tests of the parsers and emitters, by protocol; `interop` compares them with etherparse and smoltcp.

mod extension;
mod icmp;
mod interop;
mod ip;
mod option;
mod quoted;
mod tcp;
mod udp;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{IpHeader, emit_ip};

/// An IPv4 source and destination.
const V4: (IpAddr, IpAddr) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));

/// An IPv6 source and destination.
const V6: (IpAddr, IpAddr) = (
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0xBEEF, 2)),
);

/// An ordinary header between two addresses.
fn header((source, destination): (IpAddr, IpAddr), protocol: u8) -> IpHeader {
    IpHeader {
        source,
        destination,
        protocol,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0x1234,
        dont_fragment: true,
    }
}

/// A packet with an ordinary header.
fn packet(addresses: (IpAddr, IpAddr), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 40];
    let length = emit_ip(&header(addresses, protocol), payload.len(), &mut buffer);
    [&buffer[..length], payload].concat()
}
