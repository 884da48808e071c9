//! UDP.

use super::*;
use crate::counters::DropReason;
use crate::wire::udp::{UdpHeader, emit, parse};

const HEADER: UdpHeader = UdpHeader { source_port: 53, destination_port: 40_000 };

fn datagram((source, destination): (IpAddr, IpAddr), data: &[u8]) -> Vec<u8> {
    let mut buffer = [0xEE; 8];
    assert_eq!(emit(source, destination, &HEADER, data, &mut buffer), 8);
    [&buffer[..], data].concat()
}

/// 768-1
#[test]
fn the_length_field_decides() {
    let whole = datagram(V4, b"payload");
    for length in 0..20u16 {
        let mut octets = whole.clone();
        octets[4..6].copy_from_slice(&length.to_be_bytes());
        let parsed = parse(V4.0, V4.1, &octets, false);
        match length {
            8..=15 => assert_eq!(parsed, Ok((HEADER, &b"payload"[..usize::from(length) - 8]))),
            _ => assert_eq!(parsed, Err(DropReason::UdpLength), "length {length}"),
        }
    }
    for length in 0..8 {
        assert_eq!(parse(V4.0, V4.1, &whole[..length], false), Err(DropReason::UdpLength));
    }
    let surplus = [&whole[..], b"surplus"].concat();
    assert_eq!(parse(V4.0, V4.1, &surplus, true), Ok((HEADER, &b"payload"[..])));
}

/// 1122-4.1.3.4-1, 8200-8.1-1
#[test]
fn bit_flips_are_seen() {
    for (source, destination) in [V4, V6] {
        let octets = datagram((source, destination), b"payload");
        assert_eq!(parse(source, destination, &octets, true), Ok((HEADER, &b"payload"[..])));
        for at in (0..octets.len()).filter(|at| ![4, 5].contains(at)) {
            let mut octets = octets.clone();
            octets[at] ^= 4;
            assert_eq!(parse(source, destination, &octets, true), Err(DropReason::UdpChecksum), "octet {at}");
            assert!(parse(source, destination, &octets, false).is_ok(), "vouched for by the device");
        }
    }
}

/// 768-2, 8200-8.1-2
#[test]
fn a_computed_zero_is_sent_as_all_ones() {
    for (source, destination) in [V4, V6] {
        // Two octets of data equal to the checksum with zeros there make the sum all ones, its complement zero.
        let zeros = datagram((source, destination), &[0, 0]);
        let octets = datagram((source, destination), &[zeros[6], zeros[7]]);
        assert_eq!(octets[6..8], [0xFF, 0xFF]);
        assert!(parse(source, destination, &octets, true).is_ok());
    }
}

/// 768-3, 8200-8.1-2
#[test]
fn no_checksum_is_legal_over_ipv4_only() {
    for verify in [false, true] {
        let mut octets = datagram(V4, b"payload");
        octets[6..8].fill(0);
        assert_eq!(parse(V4.0, V4.1, &octets, verify), Ok((HEADER, &b"payload"[..])));
        assert_eq!(parse(V6.0, V6.1, &octets, verify), Err(DropReason::UdpChecksum));
    }
}
