//! The TCP header.

use super::*;
use crate::counters::DropReason;
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::*;

/// A segment with text, options and a right checksum.
fn segment((source, destination): (IpAddr, IpAddr), header: &TcpHeader, text: &[u8]) -> Vec<u8> {
    let mut buffer = [0xEE; MAX_HEADER_LEN];
    let length = emit(header, &mut buffer);
    assert_eq!(length, emitted_len(header));
    let (first, second) = text.split_at(text.len() / 2);
    fill_checksum(source, destination, &mut buffer[..length], &[first, second]);
    [&buffer[..length], text].concat()
}

fn example(flags: Flags) -> TcpHeader {
    TcpHeader {
        source_port: 80,
        destination_port: 54_321,
        seq: 0xFFFF_FFF0,
        ack: 17,
        flags,
        window: 0xFFFF,
        urgent: 3,
        options: TcpOptions { timestamp: Some(Timestamp { value: 1, echo: 2 }), ..Default::default() },
    }
}

/// 9293-MUST-5
#[test]
fn options_on_any_segment() {
    for flags in (0..=0x1FF).map(Flags) {
        let header = example(flags);
        let octets = segment(V4, &header, b"text");
        assert_eq!(parse(&octets), Ok((header, &b"text"[..])));
    }
}

/// 9293-MUST-2, 9293-MUST-3, 8200-8.1-1
#[test]
fn checksums_cover_everything() {
    let kinds = [Flags::SYN, Flags::SYN | Flags::ACK, Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST];
    for (addresses, flags) in [V4, V6].into_iter().flat_map(|pair| kinds.map(|flags| (pair, flags))) {
        for text in [&b""[..], b"t", b"text", b"odd text!"] {
            let octets = segment(addresses, &example(flags), text);
            assert!(checksum_ok(addresses.0, addresses.1, &octets));
            for at in 0..octets.len() {
                let mut octets = octets.clone();
                octets[at] ^= 0x10;
                assert!(!checksum_ok(addresses.0, addresses.1, &octets), "octet {at}");
            }
        }
    }
    let octets = segment(V4, &example(Flags::ACK), b"text");
    let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
    assert!(!checksum_ok(elsewhere, V4.1, &octets));
    assert!(!checksum_ok(V4.0, elsewhere, &octets));
    assert!(!checksum_ok(V4.0, V4.1, &[&octets[..], &[0]].concat()), "the length counts too");
}

#[test]
fn a_device_completes_the_partial_checksum() {
    for (source, destination) in [V4, V6] {
        let expected = segment((source, destination), &example(Flags::ACK), b"some text");
        let mut octets = expected.clone();
        let header_len = emitted_len(&example(Flags::ACK));
        fill_partial_checksum(source, destination, &mut octets[..header_len], b"some text".len());
        // What the device does: sum the segment, field included, and store the complement there.
        let mut sum = crate::wire::checksum::Checksum::new();
        sum.add(&octets);
        octets[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.finish().to_be_bytes());
        assert_eq!(octets, expected);
    }
}

/// 9293-3.1-1
#[test]
fn reserved_bits_are_ignored_and_sent_as_zero() {
    let header = example(Flags::ACK);
    let mut octets = segment(V4, &header, b"text");
    assert_eq!(octets[12] & 0x0F, 0);
    for reserved in 0..8 {
        for accurate in 0..2 {
            // The lowest of the four bits is a flag by now (RFC 9768).
            octets[12] = octets[12] & 0xF0 | reserved << 1 | accurate;
            let flags = if accurate == 1 { Flags::ACK | Flags::AE } else { Flags::ACK };
            assert_eq!(parse(&octets), Ok((TcpHeader { flags, ..header }, &b"text"[..])));
        }
    }
    let header = example(Flags(0xFFFF));
    assert_eq!(segment(V4, &header, b"text")[12] & 0x0F, 1, "what is no flag is not written");
}

/// 9293-3.1-2
#[test]
fn data_offset_within_the_segment() {
    // 28 bytes: NOPs where options may be, so that only the offset decides.
    let mut octets = [1; 28];
    for words in 0..16u8 {
        octets[12] = words << 4;
        match words {
            5..=7 => assert_eq!(parse(&octets).unwrap().1.len(), 28 - usize::from(words) * 4),
            _ => assert_eq!(parse(&octets), Err(DropReason::TcpHeader), "data offset {words}"),
        }
    }
    for length in 0..20 {
        assert_eq!(parse(&octets[..length]), Err(DropReason::TcpHeader));
    }
}

/// 9293-MUST-7
#[test]
fn a_bad_option_refuses_the_segment() {
    let mut octets = segment(V4, &example(Flags::ACK), b"");
    octets[23] = 0;
    assert_eq!(parse(&octets), Err(DropReason::TcpOption));
}

#[test]
fn flags_as_words() {
    assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN|ACK");
    assert_eq!(format!("{:?}", Flags(0x1FF)), "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR|AE");
    assert_eq!(Flags::default().to_string(), "none");
    let mut flags = Flags::FIN;
    flags |= Flags::ACK;
    assert!(flags.contains(Flags::FIN | Flags::ACK) && !flags.contains(Flags::FIN | Flags::SYN));
    assert_eq!(flags.without(Flags::FIN | Flags::SYN), Flags::ACK);
}
