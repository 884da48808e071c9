//! Packets quoted by ICMP errors.

use super::*;
use crate::wire::protocol::*;
use crate::wire::quoted::{Quoted, parse};
use crate::wire::{Fragment, emit_ip_fragment};

/// Ports 0x0102 and 0x0304, sequence number 0x05060708.
const TRANSPORT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// 1122-3.2.2-4
#[test]
fn the_quoted_protocol_decides() {
    for (source, destination) in [V4, V6] {
        for protocol in [TCP, UDP, ICMPV4, 132] {
            let ports = if [TCP, UDP].contains(&protocol) { (0x0102, 0x0304) } else { (0, 0) };
            let expected = Quoted {
                source,
                destination,
                protocol,
                source_port: ports.0,
                destination_port: ports.1,
                seq: (protocol == TCP).then_some(0x0506_0708),
                transport: TRANSPORT,
            };
            let whole = packet((source, destination), protocol, &[&TRANSPORT[..], &[9; 1000]].concat());
            let enough = whole.len() - 1000;
            assert_eq!(parse(&whole), Some(expected));
            // The length of the packet is far beyond that of the quotation.
            assert_eq!(parse(&whole[..enough]), Some(expected));
            for length in 0..enough {
                assert_eq!(parse(&whole[..length]), None);
            }
        }
    }
}

#[test]
fn routers_change_what_they_quote() {
    let mut octets = packet(V4, TCP, &TRANSPORT);
    octets[8] = 0; // TTL, without a new checksum
    octets[2..4].reverse(); // total length in host byte order
    assert_eq!(parse(&octets).unwrap().seq, Some(0x0506_0708));
    octets[0] = 0x46; // options: the transport header starts later, and then it is too short
    assert_eq!(parse(&octets), None);
    octets.splice(20..20, [1; 4]);
    assert_eq!(parse(&octets).unwrap().source_port, 0x0102);
    octets[0] = 0x55;
    assert_eq!(parse(&octets), None);
}

#[test]
fn only_first_fragments_have_ports() {
    for pair in [V4, V6] {
        for (offset, found) in [(0, true), (8, false)] {
            let mut buffer = [0; 48];
            let fragment = Fragment { identification: 7, offset, more: true };
            let length = emit_ip_fragment(&header(pair, UDP), fragment, 8, &mut buffer);
            let quoted = parse(&[&buffer[..length], &TRANSPORT].concat());
            assert_eq!(quoted.map(|quoted| quoted.source_port), found.then_some(0x0102));
        }
    }
}

#[test]
fn ipv6_extension_headers_are_stepped_over() {
    let octets = packet(V6, HOP_BY_HOP, &[&[TCP, 0, 1, 4, 0, 0, 0, 0][..], &TRANSPORT].concat());
    assert_eq!(parse(&octets).unwrap().seq, Some(0x0506_0708));
    assert_eq!(parse(&octets[..octets.len() - 1]), None);
}
