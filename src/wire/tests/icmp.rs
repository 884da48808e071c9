//! ICMP of both families.

use super::*;
use crate::counters::DropReason;
use crate::wire::icmp::*;
use crate::wire::{checksum::Checksum, icmpv4, icmpv6, protocol};

/// A message with a right checksum.
fn message((source, destination): (IpAddr, IpAddr), kind: u8, code: u8, word: u32, body: &[u8]) -> Vec<u8> {
    let mut octets = [&[kind, code, 0, 0][..], &word.to_be_bytes(), body].concat();
    let mut sum = Checksum::new();
    if source.is_ipv6() {
        sum.add_pseudo_header(source, destination, protocol::ICMPV6, octets.len() as u32);
    }
    sum.add(&octets);
    octets[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    octets
}

fn error_of((source, destination): (IpAddr, IpAddr), octets: &[u8]) -> Result<IcmpError, DropReason> {
    match parse(source, destination, octets)? {
        IcmpMessage::Error { error, .. } => Ok(error),
        other => panic!("{other:?} is no error"),
    }
}

/// 792-echo, 1122-3.2.2.6-1, 4443-4.2
#[test]
fn echo_goes_back_as_it_came() {
    for (source, destination) in [V4, V6] {
        for length in [0, 1, 56, 57, 2000] {
            let data: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let sent = Echo { identifier: 0xABCD, sequence: 0x0102, data: &data };
            let mut buffer = vec![0xEE; 8 + data.len()];
            assert_eq!(emit_echo_request(source, destination, &sent, &mut buffer), buffer.len());
            let request = buffer.clone();
            let Ok(IcmpMessage::EchoRequest(echo)) = parse(source, destination, &request) else { panic!() };
            assert_eq!(echo, sent);
            emit_echo_reply(destination, source, &echo, &mut buffer);
            assert_eq!(parse(destination, source, &buffer), Ok(IcmpMessage::EchoReply(sent)));
            assert_eq!(request[4..], buffer[4..]);
        }
    }
}

/// 4443-2.3
#[test]
fn bit_flips_are_seen() {
    for (source, destination) in [V4, V6] {
        let octets = message((source, destination), 3, 0, 7, b"quotation");
        assert!(parse(source, destination, &octets).is_ok());
        for at in 0..octets.len() {
            let mut octets = octets.clone();
            octets[at] ^= 0x40;
            assert_eq!(parse(source, destination, &octets), Err(DropReason::IcmpChecksum));
        }
        for length in 0..8 {
            assert_eq!(parse(source, destination, &octets[..length]), Err(DropReason::IcmpMalformed));
        }
    }
    // The addresses count in ICMPv6 only.
    assert!(icmpv6::parse(V6.1, V6.1, &message(V6, 3, 0, 7, b"")).is_err());
}

/// 1122-3.2.2-1, 9293-MUST-55, 6633-3, 1122-3.2.2.2, 1122-3.2.2.8
#[test]
fn ipv4_types_without_meaning_are_ignored() {
    for kind in 0..=255 {
        let octets = message(V4, kind, 0, 0, b"some body");
        let parsed = parse(V4.0, V4.1, &octets);
        match kind {
            0 | 3 | 8 | 11 | 12 => assert!(parsed.is_ok(), "type {kind}"),
            _ => assert_eq!(parsed, Err(DropReason::IcmpIgnored), "type {kind}"),
        }
    }
}

/// 4443-2.4-a, 4443-2.4-b
#[test]
fn ipv6_unknown_errors_are_passed_on_and_unknown_information_is_not() {
    for kind in 0..=255 {
        let octets = message(V6, kind, 5, 0, b"some body");
        let parsed = parse(V6.0, V6.1, &octets);
        match kind {
            1..=4 | 128 | 129 => assert!(parsed.is_ok(), "type {kind}"),
            0..=127 => {
                let error = IcmpError::Unknown { kind, code: 5 };
                assert_eq!(parsed, Ok(IcmpMessage::Error { error, quotation: b"some body" }));
            }
            _ => assert_eq!(parsed, Err(DropReason::IcmpIgnored), "type {kind}"),
        }
    }
}

/// 792-te
#[test]
fn errors_are_read() {
    let v4 = |kind, code, word| error_of(V4, &message(V4, kind, code, word, b""));
    assert_eq!(v4(3, 1, 0), Ok(IcmpError::DestinationUnreachable { code: icmpv4::unreachable::HOST }));
    assert_eq!(v4(3, 4, 0xABCD_0578), Ok(IcmpError::PacketTooBig { mtu: 1400 }));
    assert_eq!(v4(11, 0, 0), Ok(IcmpError::TimeExceeded { code: 0 }));
    assert_eq!(v4(11, 1, 0), Ok(IcmpError::TimeExceeded { code: 1 }));
    assert_eq!(v4(12, 0, 20 << 24), Ok(IcmpError::ParameterProblem { code: 0, pointer: 20 }));
    let v6 = |kind, code, word| error_of(V6, &message(V6, kind, code, word, b""));
    assert_eq!(v6(1, 4, 0), Ok(IcmpError::port_unreachable(V6.0)));
    assert_eq!(v6(2, 0, 1280), Ok(IcmpError::PacketTooBig { mtu: 1280 }));
    assert_eq!(v6(3, 1, 0), Ok(IcmpError::TimeExceeded { code: 1 }));
    assert_eq!(v6(4, 1, 40), Ok(IcmpError::ParameterProblem { code: 1, pointer: 40 }));
}

/// 792-pp
#[test]
fn errors_are_written_as_they_are_read() {
    let errors = [
        IcmpError::DestinationUnreachable { code: 2 },
        IcmpError::PacketTooBig { mtu: 1300 },
        IcmpError::TimeExceeded { code: 1 },
        IcmpError::ParameterProblem { code: 0, pointer: 41 },
    ];
    for ((source, destination), error) in [V4, V6].into_iter().flat_map(|pair| errors.map(|error| (pair, error))) {
        let offending = packet((destination, source), protocol::UDP, b"12345678");
        let mut buffer = [0; MAX_ERROR_LEN];
        let length = emit_error(source, destination, error, &offending, &mut buffer);
        let expected = IcmpMessage::Error { error, quotation: &offending };
        assert_eq!(parse(source, destination, &buffer[..length]), Ok(expected));
    }
}

/// 1122-3.2.2-2, 1812-4.3.2.3, 4443-2.4-c
#[test]
fn quotations_are_as_long_as_allowed() {
    for (pair, header_len, limit) in [(V4, 20, 576), (V6, 40, 1280)] {
        for payload_len in [0, 8, 60, 508, 528, 529, 1192, 1193, 5000] {
            let offending = packet((pair.1, pair.0), protocol::UDP, &vec![7; payload_len]);
            let mut buffer = [0; MAX_ERROR_LEN];
            let length = emit_error(pair.0, pair.1, IcmpError::port_unreachable(pair.0), &offending, &mut buffer);
            assert_eq!(header_len + length, limit.min(header_len + 8 + offending.len()));
            assert_eq!(buffer[8..length], offending[..length - 8]);
        }
    }
}

#[test]
fn port_unreachable_has_a_code_per_family() {
    let mut buffer = [0; MAX_ERROR_LEN];
    for (pair, kind, code) in [(V4, 3, 3), (V6, 1, 4)] {
        emit_error(pair.0, pair.1, IcmpError::port_unreachable(pair.1), b"", &mut buffer);
        assert_eq!(buffer[..2], [kind, code]);
        assert!(is_error(protocol_for(pair.1), &buffer));
    }
}

#[test]
fn errors_are_told_from_other_messages() {
    for kind in 0..=255 {
        assert_eq!(is_error(protocol::ICMPV4, &[kind]), [3, 4, 5, 11, 12].contains(&kind));
        assert_eq!(is_error(protocol::ICMPV6, &[kind]), kind < 128 || kind == 137);
        assert!(!is_error(protocol::UDP, &[kind]));
    }
    assert!(is_error(protocol::ICMPV4, &[]) && is_error(protocol::ICMPV6, &[]));
    assert!(!is_error(protocol::TCP, &[]));
}
