//! IPv4 and IPv6 headers.

use super::*;
use crate::counters::DropReason;
use crate::wire::checksum::Checksum;
use crate::wire::{Fragment, Refused, emit_ip_fragment, ipv4, ipv6, parse_ip, protocol};

/// An IPv4 packet with options (padded to words with end-of-list), its lengths and checksum right.
fn ipv4_with_options(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let mut octets = packet(V4, protocol::UDP, payload);
    octets[0] = 0x45 + (options.len() / 4) as u8;
    let total_len = (octets.len() + options.len()) as u16;
    octets[2..4].copy_from_slice(&total_len.to_be_bytes());
    octets.splice(20..20, options);
    fix_ipv4_checksum(&mut octets);
    octets
}

fn fix_ipv4_checksum(packet: &mut [u8]) {
    let header_len = (usize::from(packet[0] & 15) * 4).min(packet.len());
    packet[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add(&packet[..header_len]);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
}

fn refusal(packet: &[u8]) -> Option<DropReason> {
    parse_ip(packet).err().map(|refused: Refused| refused.reason)
}

#[test]
fn what_is_emitted_is_parsed() {
    for addresses in [V4, V6] {
        let mut buffer = [0; 40];
        let sent = IpHeader { traffic_class: 0xB9, hop_limit: 1, ..header(addresses, protocol::TCP) };
        let length = emit_ip(&sent, 5, &mut buffer);
        let octets = [&buffer[..length], b"hello", b"trailing"].concat();
        let parsed = parse_ip(&octets).unwrap();
        assert_eq!((parsed.source, parsed.destination), addresses);
        assert_eq!((parsed.protocol, parsed.hop_limit, parsed.traffic_class), (protocol::TCP, 1, 0xB9));
        assert_eq!(parsed.payload, b"hello");
        assert_eq!(parsed.packet.len(), length + 5);
        assert_eq!(parsed.fragment, None);
    }
}

/// 1122-3.2.1.1
#[test]
fn only_versions_4_and_6_reach_a_parser() {
    for version in 0..16u8 {
        let mut octets = packet(V4, protocol::TCP, &[0; 40]);
        octets[0] = version << 4 | 5;
        let reason = refusal(&octets);
        match version {
            4 => assert_eq!(reason, None),
            6 => assert_ne!(reason, Some(DropReason::IpVersion)),
            _ => assert_eq!(reason, Some(DropReason::IpVersion)),
        }
    }
    assert_eq!(refusal(&[]), Some(DropReason::IpTruncated));
}

/// 791-3.1-2
#[test]
fn ihl_below_five_or_beyond_the_packet() {
    for ihl in 0..16u8 {
        let mut octets = packet(V4, protocol::UDP, &[1; 12]);
        octets[0] = 0x40 | ihl;
        fix_ipv4_checksum(&mut octets);
        let expected = if (5..=8).contains(&ihl) { None } else { Some(DropReason::IpHeaderLength) };
        assert_eq!(refusal(&octets), expected, "IHL {ihl}");
    }
}

/// 791-3.1-1
#[test]
fn total_length_decides() {
    let whole = ipv4_with_options(&[1; 4], b"payload");
    for total_len in 0..40u16 {
        let mut octets = whole.clone();
        octets[2..4].copy_from_slice(&total_len.to_be_bytes());
        fix_ipv4_checksum(&mut octets);
        match total_len {
            24..=31 => {
                let parsed = parse_ip(&octets).unwrap();
                assert_eq!(parsed.payload, &b"payload"[..usize::from(total_len) - 24]);
                assert_eq!(parsed.packet, &octets[..usize::from(total_len)]);
            }
            _ => assert_eq!(refusal(&octets), Some(DropReason::IpLength), "total length {total_len}"),
        }
    }
    for length in 1..20 {
        assert_eq!(refusal(&whole[..length]), Some(DropReason::IpTruncated));
    }
}

/// 1122-3.2.1.2
#[test]
fn no_flipped_header_bit_gets_through() {
    let octets = ipv4_with_options(&[99, 4, 4, 0], b"payload");
    assert_eq!(refusal(&octets), None);
    for bit in 0..24 * 8 {
        let mut octets = octets.clone();
        octets[bit / 8] ^= 0x80 >> (bit % 8);
        assert!(refusal(&octets).is_some(), "bit {bit}");
    }
}

/// 1122-3.2.1.7-2
#[test]
fn ttl_is_no_reason_to_drop() {
    for hop_limit in [0, 1, 255] {
        let mut buffer = [0; 20];
        emit_ip(&IpHeader { hop_limit, ..header(V4, protocol::TCP) }, 0, &mut buffer);
        assert_eq!(parse_ip(&buffer).unwrap().hop_limit, hop_limit);
    }
}

/// 9293-MUST-50, 1122-3.2.1.8, 792-pp
#[test]
fn options_are_ignored_or_refused() {
    let long_unknown = [&[200, 38][..], &[9; 36]].concat();
    let cases: [&[u8]; 5] = [&[1, 1, 1, 1], &[7, 7, 4, 0, 0, 0, 0], &[148, 4, 0, 0], &long_unknown, &[0, 131, 3, 4]];
    for options in cases {
        let packet = ipv4_with_options(options, b"data");
        let parsed = parse_ip(&packet).unwrap();
        assert_eq!(parsed.payload, b"data", "{options:?}");
        assert_eq!(ipv4::options(parsed.packet)[..options.len()], *options);
        let mut inserted = super::packet(V4, protocol::UDP, b"data");
        ipv4::insert_options(&mut inserted, ipv4::options(parsed.packet));
        assert_eq!(inserted, packet);
    }
    let problem = parse_ip(&ipv4_with_options(&[1, 99, 0, 0], b"data")).unwrap_err();
    assert_eq!((problem.reason, problem.parameter_problem.unwrap().pointer), (DropReason::IpOption, 21));
    assert_eq!(refusal(&ipv4_with_options(&[131, 7, 4, 1, 2, 3, 4], b"data")), Some(DropReason::SourceRoute));
}

#[test]
fn fragments_are_reported_in_bytes() {
    for (addresses, identification) in [(V4, 0xBEEF), (V6, 0xDEAD_BEEF)] {
        for (offset, more) in [(0, true), (8, true), (65_528, false)] {
            let fragment = Fragment { identification, offset, more };
            let mut buffer = [0; 48];
            let length = emit_ip_fragment(&header(addresses, protocol::UDP), fragment, 8, &mut buffer);
            let octets = [&buffer[..length], &[7; 8]].concat();
            let parsed = parse_ip(&octets).unwrap();
            assert_eq!(parsed.fragment, Some(fragment));
            assert_eq!((parsed.protocol, parsed.payload), (protocol::UDP, &[7; 8][..]));
        }
    }
}

#[test]
fn dont_fragment_and_identification_of_ipv4() {
    let mut buffer = [0; 20];
    emit_ip(&header(V4, protocol::TCP), 0, &mut buffer);
    assert_eq!(buffer[4..8], [0x12, 0x34, 0x40, 0]);
    emit_ip(&IpHeader { dont_fragment: false, ..header(V4, protocol::TCP) }, 0, &mut buffer);
    assert_eq!(buffer[4..8], [0x12, 0x34, 0, 0]);
}

/// 8200-3
#[test]
fn payload_length_decides() {
    let whole = packet(V6, protocol::UDP, b"payload");
    for payload_len in 0..20u16 {
        let mut octets = whole.clone();
        octets[4..6].copy_from_slice(&payload_len.to_be_bytes());
        match payload_len {
            0..=7 => {
                let parsed = parse_ip(&octets).unwrap();
                assert_eq!(parsed.payload, &b"payload"[..usize::from(payload_len)]);
                assert_eq!(parsed.packet.len(), 40 + usize::from(payload_len));
            }
            _ => assert_eq!(refusal(&octets), Some(DropReason::IpLength)),
        }
    }
    for length in 1..40 {
        assert_eq!(refusal(&whole[..length]), Some(DropReason::IpTruncated));
    }
}

#[test]
fn flow_label_changes_nothing_else() {
    let sent = IpHeader { traffic_class: 0xFF, ..header(V6, protocol::TCP) };
    let mut buffer = [0; 40];
    emit_ip(&sent, 0, &mut buffer);
    assert_eq!(buffer[..4], [0x6F, 0xF0, 0, 0]);
    ipv6::set_flow_label(&mut buffer, 0xFFFA_BCDE);
    assert_eq!(buffer[..4], [0x6F, 0xFA, 0xBC, 0xDE]);
    assert_eq!(parse_ip(&buffer).unwrap().traffic_class, 0xFF);
    ipv6::set_flow_label(&mut [], 1);
}
