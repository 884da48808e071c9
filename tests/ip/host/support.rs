//! Addresses of both families, and packets that are read or changed.

use std::net::{IpAddr, SocketAddr};

use glasstcp::wire::icmp::{self, IcmpError, IcmpMessage};
use glasstcp::wire::{IpPacket, parse_ip};

use crate::kit::fix_ipv4;

pub const FAMILIES: [(&str, &str); 2] = [("10.0.0.2", "10.0.0.1"), ("fd00:67::2", "fd00:67::1")];

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn end(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip(address), port)
}

pub fn message<'a>(packet: &IpPacket<'a>) -> IcmpMessage<'a> {
    icmp::parse(packet.source, packet.destination, packet.payload).unwrap()
}

/// The packet with IPv4 options before its payload.
pub fn with_ip_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut changed = packet[..20].to_vec();
    changed.extend_from_slice(options);
    changed.resize(20 + options.len().next_multiple_of(4), 0);
    changed[0] = 0x40 | (changed.len() / 4) as u8;
    changed.extend_from_slice(&packet[20..]);
    let len = (changed.len() as u16).to_be_bytes();
    changed[2..4].copy_from_slice(&len);
    fix_ipv4(&mut changed);
    changed
}

/// What an ICMP error that leaves says: the error, and what it quotes.
pub fn error_of(packet: &[u8]) -> (IcmpError, Vec<u8>) {
    let packet = parse_ip(packet).unwrap();
    match message(&packet) {
        IcmpMessage::Error { error, quotation } => (error, quotation.to_vec()),
        other => panic!("{other:?}"),
    }
}
