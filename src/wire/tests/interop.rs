//! The same packets in the eyes of etherparse and smoltcp, and any bytes at all in the eyes of our parsers.

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpHeaderSlice, UdpHeaderSlice};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as smol;

use super::option::any_options;
use super::*;
use crate::wire::accurate_ecn::EcnOption;
use crate::wire::fast_open::Cookie;
use crate::wire::option::{SackBlocks, TcpOptions, Timestamp};
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::udp::UdpHeader;
use crate::wire::{icmp, parse_ip, protocol, quoted, tcp, udp};

fn any_addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| (source.into(), destination.into())),
        any::<([u8; 16], [u8; 16])>().prop_map(|(source, destination)| (source.into(), destination.into())),
    ]
}

fn any_tcp_header() -> impl Strategy<Value = TcpHeader> {
    (any::<(u16, u16, u32, u32, u16, u16, u16)>(), any_options()).prop_map(
        |((source_port, destination_port, seq, ack, flags, window, urgent), options)| TcpHeader {
            source_port,
            destination_port,
            seq,
            ack,
            flags: Flags(flags & 0x1FF),
            window,
            urgent,
            options,
        },
    )
}

fn any_data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..100)
}

/// The TCP checksum that etherparse computes.
fn etherparse_checksum((source, destination): (IpAddr, IpAddr), slice: &TcpHeaderSlice<'_>, text: &[u8]) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            slice.calc_checksum_ipv4_raw(source.octets(), destination.octets(), text).unwrap()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            slice.calc_checksum_ipv6_raw(source.octets(), destination.octets(), text).unwrap()
        }
        _ => unreachable!(),
    }
}

/// The options as smoltcp reads them, four SACK blocks cut to its three.
fn smoltcp_options(mut octets: &[u8]) -> TcpOptions {
    let mut options = TcpOptions::default();
    while !octets.is_empty() {
        let (rest, option) = smol::TcpOption::parse(octets).unwrap();
        octets = rest;
        match option {
            smol::TcpOption::MaxSegmentSize(mss) => options.mss = Some(mss),
            smol::TcpOption::WindowScale(shift) => options.window_scale = Some(shift),
            smol::TcpOption::SackPermitted => options.sack_permitted = true,
            smol::TcpOption::TimeStamp { tsval, tsecr } => {
                options.timestamp = Some(Timestamp { value: tsval, echo: tsecr });
            }
            smol::TcpOption::SackRange(ranges) => {
                ranges.into_iter().flatten().for_each(|(left, right)| assert!(options.sack.push(left, right)));
            }
            smol::TcpOption::Unknown { kind, data } => {
                options.fast_open = Cookie::read(kind, data).or(options.fast_open);
                options.accurate_ecn = EcnOption::read(kind, data).or(options.accurate_ecn);
            }
            smol::TcpOption::NoOperation => {}
            other => panic!("{other:?} was not emitted"),
        }
    }
    options
}

proptest! {
    /// 9293-MUST-2
    #[test]
    fn our_segments_in_their_eyes(
        header in any_tcp_header(),
        addresses in any_addresses(),
        text in any_data(),
        cut: usize,
    ) {
        let mut buffer = [0; tcp::MAX_HEADER_LEN];
        let length = tcp::emit(&header, &mut buffer);
        let (first, second) = text.split_at(cut % (text.len() + 1));
        tcp::fill_checksum(addresses.0, addresses.1, &mut buffer[..length], &[first, second]);
        let octets = [&buffer[..length], &text].concat();
        let (ours, our_text) = tcp::parse(&octets).unwrap();
        prop_assert_eq!(our_text, &text[..]);
        prop_assert!(tcp::checksum_ok(addresses.0, addresses.1, &octets));

        let slice = TcpHeaderSlice::from_slice(&octets).unwrap();
        prop_assert_eq!(slice.checksum(), etherparse_checksum(addresses, &slice, &text));
        prop_assert_eq!((slice.sequence_number(), slice.acknowledgment_number()), (header.seq, header.ack));
        // It knows nothing of Fast Open and of Accurate ECN.
        let known = header.options.fast_open.is_none() && header.options.accurate_ecn.is_none();
        prop_assert!(!known || slice.options_iterator().all(|option| option.is_ok()));
        prop_assert_eq!(slice.ns(), header.flags.contains(Flags::AE));

        let packet = smol::TcpPacket::new_checked(&octets[..]).unwrap();
        prop_assert!(packet.verify_checksum(&addresses.0.into(), &addresses.1.into()));
        prop_assert_eq!((packet.src_port(), packet.dst_port()), (header.source_port, header.destination_port));
        prop_assert_eq!((packet.window_len(), packet.urgent_at()), (header.window, header.urgent));
        let flags = [Flags::SYN, Flags::FIN, Flags::CWR].map(|flag| header.flags.contains(flag));
        prop_assert_eq!([packet.syn(), packet.fin(), packet.cwr()], flags);
        prop_assert_eq!(packet.ns(), header.flags.contains(Flags::AE));
        let theirs = smoltcp_options(packet.options());
        let mut sack = SackBlocks::default();
        ours.options.sack.iter().take(3).for_each(|(left, right)| assert!(sack.push(left, right)));
        prop_assert_eq!(theirs, TcpOptions { sack, ..ours.options });
        // SACK blocks that did not fit are gone, all else is there.
        let options = TcpOptions { sack: header.options.sack, ..ours.options };
        prop_assert_eq!(TcpHeader { options, ..ours }, header);
    }

    /// 9293-MUST-4, 9293-MUST-64
    #[test]
    fn smoltcp_segments_in_our_eyes(
        numbers: (u16, u16, i32, i32, u16),
        mss: Option<u16>,
        window_scale in proptest::option::of(0u8..15),
        sack_permitted: bool,
        stamps in proptest::option::of(any::<(u32, u32)>()),
        addresses in any_addresses(),
        text in any_data(),
    ) {
        let repr = smol::TcpRepr {
            src_port: numbers.0,
            dst_port: numbers.1,
            control: smol::TcpControl::Syn,
            seq_number: smol::TcpSeqNumber(numbers.2),
            ack_number: Some(smol::TcpSeqNumber(numbers.3)),
            window_len: numbers.4,
            window_scale,
            max_seg_size: mss,
            sack_permitted,
            sack_ranges: [None; 3],
            timestamp: stamps.map(|(tsval, tsecr)| smol::TcpTimestampRepr::new(tsval, tsecr)),
            payload: &text,
        };
        let mut octets = vec![0; repr.buffer_len()];
        let (source, destination) = (addresses.0.into(), addresses.1.into());
        let mut packet = smol::TcpPacket::new_unchecked(&mut octets[..]);
        repr.emit(&mut packet, &source, &destination, &ChecksumCapabilities::default());
        prop_assert!(tcp::checksum_ok(addresses.0, addresses.1, &octets));
        let (header, our_text) = tcp::parse(&octets).unwrap();
        prop_assert_eq!(our_text, &text[..]);
        let expected = TcpHeader {
            source_port: numbers.0,
            destination_port: numbers.1,
            seq: numbers.2 as u32,
            ack: numbers.3 as u32,
            flags: Flags::SYN | Flags::ACK,
            window: numbers.4,
            urgent: 0,
            options: TcpOptions {
                mss,
                window_scale,
                sack_permitted,
                timestamp: stamps.map(|(value, echo)| Timestamp { value, echo }),
                ..TcpOptions::default()
            },
        };
        prop_assert_eq!(header, expected);
    }

    #[test]
    fn our_ip_headers_in_their_eyes(
        addresses in any_addresses(),
        fields: (u8, u8, u8, u16, bool),
        data in any_data(),
    ) {
        let (protocol, hop_limit, traffic_class, identification, dont_fragment) = fields;
        // Above the extension headers, so that the payload is taken as it is.
        let protocol = protocol | 0xC0;
        let (source, destination) = addresses;
        let sent = IpHeader { source, destination, protocol, hop_limit, traffic_class, identification, dont_fragment };
        let mut buffer = [0; 40];
        let length = emit_ip(&sent, data.len(), &mut buffer);
        let octets = [&buffer[..length], &data].concat();
        if source.is_ipv4() {
            let slice = Ipv4HeaderSlice::from_slice(&octets).unwrap();
            prop_assert_eq!((IpAddr::V4(slice.source_addr()), IpAddr::V4(slice.destination_addr())), addresses);
            prop_assert_eq!(slice.header_checksum(), slice.to_header().calc_header_checksum());
            prop_assert_eq!((slice.protocol().0, slice.ttl()), (protocol, hop_limit));
            prop_assert_eq!(slice.identification(), identification);
            prop_assert_eq!((slice.dont_fragment(), slice.ecn().value()), (dont_fragment, traffic_class & 3));
            prop_assert!(smol::Ipv4Packet::new_checked(&octets[..]).unwrap().verify_checksum());
        } else {
            let slice = Ipv6HeaderSlice::from_slice(&octets).unwrap();
            prop_assert_eq!((IpAddr::V6(slice.source_addr()), IpAddr::V6(slice.destination_addr())), addresses);
            prop_assert_eq!((slice.next_header().0, slice.hop_limit()), (protocol, hop_limit));
            let packet = smol::Ipv6Packet::new_checked(&octets[..]).unwrap();
            prop_assert_eq!((packet.traffic_class(), packet.total_len()), (traffic_class, octets.len()));
        }
        let parsed = parse_ip(&octets).unwrap();
        prop_assert_eq!((parsed.source, parsed.destination), addresses);
        prop_assert_eq!((parsed.protocol, parsed.hop_limit), (protocol, hop_limit));
        prop_assert_eq!(parsed.traffic_class, traffic_class);
        prop_assert_eq!(parsed.payload, &data[..]);
    }

    /// 768-2, 8200-8.1-2
    #[test]
    fn our_datagrams_in_their_eyes(addresses in any_addresses(), ports: (u16, u16), data in any_data()) {
        let header = UdpHeader { source_port: ports.0, destination_port: ports.1 };
        let mut buffer = [0; 8];
        udp::emit(addresses.0, addresses.1, &header, &data, &mut buffer);
        let octets = [&buffer[..], &data].concat();
        let slice = UdpHeaderSlice::from_slice(&octets).unwrap();
        prop_assert_eq!((slice.source_port(), slice.destination_port()), ports);
        prop_assert_eq!(usize::from(slice.length()), octets.len());
        prop_assert_ne!(slice.checksum(), 0);
        let packet = smol::UdpPacket::new_checked(&octets[..]).unwrap();
        prop_assert!(packet.verify_checksum(&addresses.0.into(), &addresses.1.into()));
        prop_assert_eq!(udp::parse(addresses.0, addresses.1, &octets, true), Ok((header, &data[..])));
    }

    #[test]
    fn our_echoes_in_their_eyes(addresses in any_addresses(), numbers: (u16, u16), data in any_data()) {
        let echo = icmp::Echo { identifier: numbers.0, sequence: numbers.1, data: &data };
        let mut octets = vec![0; 8 + data.len()];
        icmp::emit_echo_request(addresses.0, addresses.1, &echo, &mut octets);
        let (ident, seq_no) = numbers;
        let capabilities = ChecksumCapabilities::default();
        match addresses {
            (IpAddr::V4(_), _) => {
                let packet = smol::Icmpv4Packet::new_checked(&octets[..]).unwrap();
                let expected = smol::Icmpv4Repr::EchoRequest { ident, seq_no, data: &data };
                prop_assert_eq!(smol::Icmpv4Repr::parse(&packet, &capabilities), Ok(expected));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let packet = smol::Icmpv6Packet::new_checked(&octets[..]).unwrap();
                let expected = smol::Icmpv6Repr::EchoRequest { ident, seq_no, data: &data };
                prop_assert_eq!(smol::Icmpv6Repr::parse(&source, &destination, &packet, &capabilities), Ok(expected));
            }
            _ => unreachable!(),
        }
    }

    /// 9293-MUST-7, 9293-3.1-2, 1122-3.2.1.8
    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), version in 0u8..3) {
        for (source, destination) in [V4, V6] {
            let _ = tcp::parse(&bytes);
            let _ = tcp::checksum_ok(source, destination, &bytes);
            let _ = udp::parse(source, destination, &bytes, true);
            let _ = icmp::parse(source, destination, &bytes);
            let _ = quoted::parse(&bytes);
            let _ = parse_ip(&bytes);
        }
        // With a version and lengths that let the parsers go further.
        let addresses = if version == 0 { V4 } else { V6 };
        let number = [protocol::HOP_BY_HOP, protocol::DESTINATION_OPTIONS, protocol::ROUTING, protocol::FRAGMENT];
        let mut octets = packet(addresses, number[usize::from(bytes.first().copied().unwrap_or(0) % 4)], &bytes);
        if let Ok(parsed) = parse_ip(&octets) {
            prop_assert_eq!(parsed.packet.len(), octets.len());
            prop_assert!(parsed.payload.len() <= bytes.len());
        }
        if let Some(octet) = octets.get_mut(48) {
            // A short extension header, so that the walk finds the next one.
            *octet = 0;
        }
        let _ = parse_ip(&octets);
        let _ = quoted::parse(&octets);
    }
}
