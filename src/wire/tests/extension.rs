//! IPv6 extension headers.

use super::*;
use crate::counters::DropReason;
use crate::wire::protocol::*;
use crate::wire::{Fragment, IpPacket, ParameterProblem, Refused, extension, ipv6, parse_ip};

/// An IPv6 packet whose extension headers are given with their own numbers; each gets the next one's number as its
/// first octet, the last one `upper`.
fn chain(headers: &[(u8, &[u8])], upper: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut numbers: Vec<u8> = headers.iter().map(|&(number, _)| number).collect();
    numbers.push(upper);
    for (position, (_, body)) in headers.iter().enumerate() {
        octets.push(numbers[position + 1]);
        octets.extend_from_slice(body);
    }
    octets.extend_from_slice(payload);
    packet(V6, numbers[0], &octets)
}

fn refused(reason: DropReason) -> Result<IpPacket<'static>, Refused> {
    Err(Refused { reason, parameter_problem: None })
}

fn problem(code: u8, pointer: u32, even_if_multicast: bool) -> Result<IpPacket<'static>, Refused> {
    let parameter_problem = Some(ParameterProblem { code, pointer, even_if_multicast });
    Err(Refused { reason: DropReason::ExtensionRefused, parameter_problem })
}

/// Bodies without their first octet.
const PADDING: &[u8] = &[0, 1, 4, 0, 0, 0, 0];
const ROUTED: &[u8] = &[0, 0, 0, 0, 0, 0, 0];
const ATOMIC: &[u8] = &[0, 0, 0, 1, 2, 3, 4];

#[test]
fn harmless_headers_are_stepped_over() {
    let octets = chain(
        &[
            (HOP_BY_HOP, PADDING),
            (DESTINATION_OPTIONS, &[0, 0, 0, 0, 0, 1, 0]),
            (ROUTING, ROUTED),
            (FRAGMENT, ATOMIC),
            (DESTINATION_OPTIONS, &[1, 5, 2, 9, 9, 1, 5, 0, 0, 0, 0, 0, 5, 0, 0]),
        ],
        TCP,
        b"segment",
    );
    let parsed = parse_ip(&octets).unwrap();
    assert_eq!((parsed.protocol, parsed.payload, parsed.fragment), (TCP, &b"segment"[..], None));
    assert_eq!(parsed.packet, octets);
}

/// 8200-4-1
#[test]
fn hop_by_hop_stands_first_or_nowhere() {
    let octets = chain(&[(DESTINATION_OPTIONS, PADDING), (HOP_BY_HOP, PADDING)], TCP, b"");
    assert_eq!(parse_ip(&octets), problem(1, 40, false));
    let octets = chain(&[(HOP_BY_HOP, PADDING), (HOP_BY_HOP, PADDING)], TCP, b"");
    assert_eq!(parse_ip(&octets), problem(1, 40, false));
    let octets = chain(&[(FRAGMENT, &[0, 0, 1, 0, 0, 0, 1]), (HOP_BY_HOP, PADDING)], TCP, b"");
    assert_eq!(parse_ip(&octets), problem(1, 40, false));
    // Strictly in order: the refused option comes before the misplaced header.
    let octets = chain(&[(DESTINATION_OPTIONS, &[0, 0xC7, 0, 0, 0, 0, 0]), (HOP_BY_HOP, PADDING)], TCP, b"");
    assert_eq!(parse_ip(&octets), problem(2, 42, false));
}

/// 8200-4-2
#[test]
fn the_pointer_to_an_unknown_next_header() {
    let headers = [(HOP_BY_HOP, PADDING), (DESTINATION_OPTIONS, PADDING)];
    for (depth, pointer) in [(0, 6), (1, 40), (2, 48)] {
        let octets = chain(&headers[..depth], 200, b"what is this");
        let parsed = parse_ip(&octets).unwrap();
        assert_eq!(parsed.protocol, 200);
        let expected = ParameterProblem { code: 1, pointer, even_if_multicast: false };
        assert_eq!(ipv6::unknown_next_header(parsed.packet), Some(expected));
        assert_eq!(octets[pointer as usize], 200);
    }
    assert_eq!(ipv6::unknown_next_header(&packet(V4, 200, b"")), None);
}

/// 8200-4.2, 2675-1
#[test]
fn unknown_options_act_by_their_two_top_bits() {
    for number in [HOP_BY_HOP, DESTINATION_OPTIONS] {
        let with = |kind: u8| chain(&[(number, &[0, 0, kind, 2, 0, 0, 0])], UDP, b"data");
        assert_eq!(parse_ip(&with(0x05)).unwrap().payload, b"data");
        assert_eq!(parse_ip(&with(0x3E)).unwrap().payload, b"data");
        assert_eq!(parse_ip(&with(0x7E)), refused(DropReason::ExtensionRefused));
        assert_eq!(parse_ip(&with(0xBE)), problem(2, 43, true));
        assert_eq!(parse_ip(&with(0xC2)), problem(2, 43, false), "jumbo payload");
        assert_eq!(parse_ip(&with(0xFE)), problem(2, 43, false));
    }
}

#[test]
fn options_that_leave_their_header() {
    for body in [&[0, 1, 5, 0, 0, 0, 0][..], &[0, 1, 255, 0, 0, 0, 0], &[0, 0, 0, 0, 0, 0, 1]] {
        let octets = chain(&[(DESTINATION_OPTIONS, body)], UDP, b"data");
        assert_eq!(parse_ip(&octets), refused(DropReason::ExtensionHeader));
    }
}

/// 8200-4.4
#[test]
fn routing_headers_pass_only_when_used_up() {
    for kind in [0, 2, 3, 4, 253] {
        let octets = chain(&[(DESTINATION_OPTIONS, PADDING), (ROUTING, &[0, kind, 0, 0, 0, 0, 0])], TCP, b"data");
        assert_eq!(parse_ip(&octets).unwrap().payload, b"data");
        let octets = chain(&[(DESTINATION_OPTIONS, PADDING), (ROUTING, &[0, kind, 1, 0, 0, 0, 0])], TCP, b"data");
        assert_eq!(parse_ip(&octets), problem(0, 50, false));
        assert_eq!(octets[50], kind);
    }
}

#[test]
fn a_fragment_ends_the_walk() {
    // The payload of a later fragment is in the middle of something; it is not looked at.
    let octets = chain(&[(FRAGMENT, &[0, 0x05, 0xA8, 1, 2, 3, 4])], DESTINATION_OPTIONS, b"\xFF\xFFnonsense");
    let parsed = parse_ip(&octets).unwrap();
    assert_eq!(parsed.fragment, Some(Fragment { identification: 0x0102_0304, offset: 0x5A8, more: false }));
    assert_eq!((parsed.protocol, parsed.payload), (DESTINATION_OPTIONS, &b"\xFF\xFFnonsense"[..]));
}

#[test]
fn nothing_follows_no_next_header() {
    assert_eq!(parse_ip(&chain(&[], NO_NEXT_HEADER, b"ignored")), refused(DropReason::UnknownProtocol));
    let octets = chain(&[(HOP_BY_HOP, PADDING)], NO_NEXT_HEADER, b"");
    assert_eq!(parse_ip(&octets), refused(DropReason::UnknownProtocol));
}

#[test]
fn truncated_and_endless_chains() {
    for number in [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, FRAGMENT] {
        // Without any length a hop-by-hop header would be that of a jumbogram.
        for length in usize::from(number == HOP_BY_HOP)..8 {
            let octets = packet(V6, number, &[TCP, 0, 0, 0, 0, 0, 0, 0][..length]);
            assert_eq!(parse_ip(&octets), refused(DropReason::ExtensionHeader));
        }
    }
    let octets = packet(V6, ROUTING, &[TCP, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(parse_ip(&octets), refused(DropReason::ExtensionHeader));
    let most = [(DESTINATION_OPTIONS, PADDING); extension::MAX_HEADERS];
    assert!(parse_ip(&chain(&most, TCP, b"")).is_ok());
    let too_many = [(DESTINATION_OPTIONS, PADDING); extension::MAX_HEADERS + 1];
    assert_eq!(parse_ip(&chain(&too_many, TCP, b"")), refused(DropReason::ExtensionHeader));
}
