//! Any bytes as a packet: what etherparse reads in it, we read too, and what we refuse for a checksum is wrong in its eyes as
//! well. Then the packet goes to a whole stack.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, IpSlice, Ipv4HeaderSlice, Ipv4Slice, Ipv6Slice, TcpSlice,
    UdpHeader, UdpSlice,
};
use glasstcp::counters::DropReason;
use glasstcp::device::RxMeta;
use glasstcp::sim::Script;
use glasstcp::wire::icmp::{self, IcmpMessage};
use glasstcp::wire::tcp::Flags;
use glasstcp::wire::{IpPacket, Refused, igmp, mld, parse_ip, protocol, quoted, tcp, udp};

use super::kit::fix_ipv4;
use super::option::as_etherparse;

/// The authentication header, which etherparse walks through and we do not.
const AUTHENTICATION: u8 = 51;
/// What may stand between an IPv6 header and its payload in the eyes of either.
const EXTENSIONS: [u8; 5] =
    [protocol::HOP_BY_HOP, protocol::ROUTING, protocol::FRAGMENT, AUTHENTICATION, protocol::DESTINATION_OPTIONS];

/// The first octet says which checksums are made right.
pub fn play(data: &[u8]) {
    let Some((&mode, packet)) = data.split_first() else { return };
    let mut packet = packet.to_vec();
    if mode & 1 != 0 && packet.len() >= 20 && packet[0] >> 4 == 4 && usize::from(packet[0] & 15) * 4 <= packet.len() {
        fix_ipv4(&mut packet);
    }
    if mode & 2 != 0 {
        fix_transport(&mut packet);
    }
    let _ = quoted::parse(&packet);
    let ours = parse_ip(&packet);
    compare_ip(&packet, &ours);
    if let Ok(ip) = &ours
        && ip.fragment.is_none()
    {
        compare_transport(ip);
    }
    give(&packet);
}

/// A whole stack answers once at most, and with a packet that can be read.
fn give(packet: &[u8]) {
    let mut script = Script::new();
    script.listen();
    script.stack.udp_bind("[::]:53".parse().unwrap()).unwrap();
    script.stack.handle_packet(script.now, packet, &RxMeta::plain(packet.len()));
    let answers = script.packets();
    assert!(answers.len() <= 1 && answers.iter().all(|answer| parse_ip(answer).is_ok()), "{answers:?}");
}

fn compare_ip(packet: &[u8], ours: &Result<IpPacket<'_>, Refused>) {
    match (ours, IpSlice::from_slice(packet)) {
        (Ok(ours), Ok(IpSlice::Ipv4(theirs))) => same_v4(ours, &theirs),
        (Ok(ours), Ok(IpSlice::Ipv6(theirs))) => same_v6(ours, &theirs),
        (Err(refused), Ok(theirs)) => {
            let empty = is_jumbo(packet) && refused.reason == DropReason::IpLength;
            assert!(
                empty || may_refuse(refused.reason, &theirs),
                "{:?}, but etherparse takes it: {packet:x?}",
                refused.reason
            );
        }
        (Ok(ours), Err(theirs)) => {
            // Etherparse walks on where for us the payload begins.
            let beyond = ours.protocol == AUTHENTICATION
                || ours.fragment.is_some() && EXTENSIONS.contains(&ours.protocol)
                || is_jumbo(packet);
            assert!(beyond, "{theirs:?}, but we take it: {packet:x?}");
        }
        (Err(_), Err(_)) => {}
    }
}

/// A payload length of 0 is for etherparse that of a jumbogram, for us nothing at all.
fn is_jumbo(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6 && packet[4..6] == [0, 0]
}

fn same_v4(ours: &IpPacket<'_>, theirs: &Ipv4Slice<'_>) {
    let header = theirs.header();
    assert_eq!((ours.source, ours.destination), (header.source_addr().into(), header.destination_addr().into()));
    assert_eq!((ours.protocol, ours.hop_limit), (header.protocol().0, header.ttl()));
    assert_eq!(ours.traffic_class, header.dcp().value() << 2 | header.ecn().value());
    let fragment = ours.fragment.map(|fragment| (fragment.identification, fragment.offset, fragment.more));
    let offset = u32::from(header.fragments_offset().value()) * 8;
    let told = (u32::from(header.identification()), offset, header.more_fragments());
    assert_eq!(fragment, header.is_fragmenting_payload().then_some(told));
    if ours.protocol != AUTHENTICATION {
        assert_eq!(ours.payload, theirs.payload().payload);
    }
    assert_eq!(ours.packet.len(), usize::from(header.total_len()));
    assert!(sum_is_unknown(&header) || same_sum(header.header_checksum(), header.to_header().calc_header_checksum()));
}

/// Zero has two forms in one's complement, and a receiver that adds up takes both (RFC 1071 section 2).
fn same_sum(told: u16, computed: u16) -> bool {
    told % 0xFFFF == computed % 0xFFFF
}

/// Etherparse keeps the reserved flag of no header, and so cannot sum one that has it.
fn sum_is_unknown(header: &Ipv4HeaderSlice<'_>) -> bool {
    header.slice()[6] & 0x80 != 0
}

fn same_v6(ours: &IpPacket<'_>, theirs: &Ipv6Slice<'_>) {
    let header = theirs.header();
    assert_eq!((ours.source, ours.destination), (header.source_addr().into(), header.destination_addr().into()));
    assert_eq!((ours.hop_limit, ours.traffic_class), (header.hop_limit(), header.traffic_class()));
    if ours.protocol == AUTHENTICATION || is_jumbo(ours.packet) {
        return;
    }
    if ours.fragment.is_some() {
        assert!(theirs.is_payload_fragmented());
        if EXTENSIONS.contains(&ours.protocol) {
            return;
        }
    }
    assert_eq!((ours.protocol, ours.payload), (theirs.payload().ip_number.0, theirs.payload().payload));
    assert_eq!(ours.fragment.is_some(), theirs.is_payload_fragmented());
}

/// We may refuse for this reason what etherparse takes.
fn may_refuse(reason: DropReason, theirs: &IpSlice<'_>) -> bool {
    match theirs {
        IpSlice::Ipv4(theirs) => {
            let header = theirs.header();
            match reason {
                DropReason::IpChecksum => {
                    sum_is_unknown(&header) || header.header_checksum() != header.to_header().calc_header_checksum()
                }
                DropReason::IpOption | DropReason::SourceRoute => !header.options().is_empty(),
                _ => false,
            }
        }
        IpSlice::Ipv6(theirs) => {
            let first = theirs.header().next_header().0;
            let chain = EXTENSIONS.contains(&first) || first == protocol::NO_NEXT_HEADER;
            let refused = [
                DropReason::ExtensionHeader,
                DropReason::ExtensionRefused,
                DropReason::Fragment,
                DropReason::FragmentTiny,
                DropReason::UnknownProtocol,
            ];
            chain && refused.contains(&reason)
        }
    }
}

fn compare_transport(ip: &IpPacket<'_>) {
    match ip.protocol {
        protocol::TCP => compare_tcp(ip),
        protocol::UDP => compare_udp(ip),
        protocol::IGMP => drop(igmp::parse(ip)),
        protocol::ICMPV6 if mld::is_mld(ip.payload) => drop(mld::parse(ip)),
        protocol::ICMPV4 if ip.destination.is_ipv4() => compare_icmp4(ip),
        protocol::ICMPV6 if ip.destination.is_ipv6() => compare_icmp6(ip),
        _ => drop(icmp::parse(ip.source, ip.destination, ip.payload)),
    }
}

fn compare_tcp(ip: &IpPacket<'_>) {
    let ours = tcp::parse(ip.payload);
    let Ok(theirs) = TcpSlice::from_slice(ip.payload) else {
        return assert_eq!(ours.map(|_| ()), Err(DropReason::TcpHeader));
    };
    let sound = match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            theirs.calc_checksum_ipv4(source.octets(), destination.octets()).ok()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            theirs.calc_checksum_ipv6(source.octets(), destination.octets()).ok()
        }
        _ => unreachable!("one family"),
    };
    if tcp::checksum_ok(ip.source, ip.destination, ip.payload) {
        assert!(sound.is_some_and(|sound| same_sum(theirs.checksum(), sound)), "a bad checksum");
    } else {
        assert_ne!(sound, Some(theirs.checksum()), "a good checksum");
    }
    let options = as_etherparse(theirs.options());
    let Ok((header, text)) = ours else {
        return assert_eq!((ours.map(|_| ()), options), (Err(DropReason::TcpOption), None));
    };
    assert_eq!(Some(header.options), options);
    assert_eq!((header.source_port, header.destination_port), (theirs.source_port(), theirs.destination_port()));
    assert_eq!((header.seq, header.ack), (theirs.sequence_number(), theirs.acknowledgment_number()));
    assert_eq!((header.window, header.urgent), (theirs.window_size(), theirs.urgent_pointer()));
    assert_eq!(text, theirs.payload());
    let flags = [
        (Flags::FIN, theirs.fin()),
        (Flags::SYN, theirs.syn()),
        (Flags::RST, theirs.rst()),
        (Flags::PSH, theirs.psh()),
        (Flags::ACK, theirs.ack()),
        (Flags::URG, theirs.urg()),
        (Flags::ECE, theirs.ece()),
        (Flags::CWR, theirs.cwr()),
        (Flags::AE, theirs.ns()),
    ];
    assert!(flags.iter().all(|&(flag, set)| header.flags.contains(flag) == set), "{:?}", header.flags);
}

fn compare_udp(ip: &IpPacket<'_>) {
    let ours = udp::parse(ip.source, ip.destination, ip.payload, true);
    let theirs = UdpSlice::from_slice(ip.payload);
    // A length of 0 is for etherparse that of a jumbogram.
    let Ok(theirs) = theirs.map_err(|_| ()).and_then(|theirs| (theirs.length() > 0).then_some(theirs).ok_or(())) else {
        return assert_eq!(ours.map(|_| ()), Err(DropReason::UdpLength));
    };
    let header = UdpHeader { checksum: 0, ..theirs.to_header() };
    let sum = match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), theirs.payload())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), theirs.payload())
        }
        _ => unreachable!("one family"),
    };
    let absent = theirs.checksum() == 0 && ip.destination.is_ipv4();
    let Ok(sum) = sum else { panic!("a datagram that is too long for a checksum") };
    if absent || sum == theirs.checksum() {
        let (ports, data) = ours.expect("a sound datagram");
        assert_eq!((ports.source_port, ports.destination_port), (theirs.source_port(), theirs.destination_port()));
        assert_eq!(data, theirs.payload());
    } else {
        assert_eq!(ours.map(|_| ()), Err(DropReason::UdpChecksum));
    }
}

fn compare_icmp4(ip: &IpPacket<'_>) {
    let ours = icmp::parse(ip.source, ip.destination, ip.payload);
    let Ok(theirs) = Icmpv4Slice::from_slice(ip.payload) else {
        return assert!(ours.is_err(), "too short for etherparse");
    };
    let (told, sum) = (theirs.checksum(), theirs.icmp_type().calc_checksum(theirs.payload()));
    // Of other messages etherparse sums zeros for what it does not know.
    let echo = matches!(theirs.icmp_type(), Icmpv4Type::EchoRequest(_) | Icmpv4Type::EchoReply(_));
    match ours {
        Err(DropReason::IcmpChecksum) => assert!(told != sum || !echo, "a good checksum"),
        Err(_) => {}
        Ok(message) => {
            assert!(same_sum(told, sum) || !echo, "a bad checksum");
            match (message, theirs.icmp_type()) {
                (IcmpMessage::EchoRequest(echo), Icmpv4Type::EchoRequest(header))
                | (IcmpMessage::EchoReply(echo), Icmpv4Type::EchoReply(header)) => {
                    assert_eq!((echo.identifier, echo.sequence), (header.id, header.seq));
                    assert_eq!(echo.data, theirs.payload());
                }
                // We do not look at the code of an echo, nor does Linux.
                (
                    IcmpMessage::EchoRequest(echo) | IcmpMessage::EchoReply(echo),
                    Icmpv4Type::Unknown { code_u8, .. },
                ) => {
                    assert!(matches!(theirs.type_u8(), 0 | 8) && code_u8 != 0);
                    assert_eq!(echo.data, theirs.payload());
                }
                (IcmpMessage::Error { quotation, .. }, _) => {
                    assert!(matches!(theirs.type_u8(), 3 | 11 | 12), "{}", theirs.type_u8());
                    assert_eq!(quotation, &ip.payload[8..]);
                }
                (ours, theirs) => panic!("{ours:?}, {theirs:?}"),
            }
        }
    }
}

fn compare_icmp6(ip: &IpPacket<'_>) {
    let ours = icmp::parse(ip.source, ip.destination, ip.payload);
    let Ok(theirs) = Icmpv6Slice::from_slice(ip.payload) else {
        return assert!(ours.is_err(), "too short for etherparse");
    };
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else { return };
    let sound = theirs.is_checksum_valid(source.octets(), destination.octets());
    match ours {
        Err(DropReason::IcmpChecksum) => assert!(!sound, "a good checksum"),
        Err(_) => {}
        Ok(message) => {
            assert!(sound, "a bad checksum");
            match (message, theirs.icmp_type()) {
                (IcmpMessage::EchoRequest(echo), Icmpv6Type::EchoRequest(header))
                | (IcmpMessage::EchoReply(echo), Icmpv6Type::EchoReply(header)) => {
                    assert_eq!((echo.identifier, echo.sequence), (header.id, header.seq));
                    assert_eq!(echo.data, theirs.payload());
                }
                (
                    IcmpMessage::EchoRequest(echo) | IcmpMessage::EchoReply(echo),
                    Icmpv6Type::Unknown { code_u8, .. },
                ) => {
                    assert!(matches!(theirs.type_u8(), 128 | 129) && code_u8 != 0);
                    assert_eq!(echo.data, theirs.payload());
                }
                (IcmpMessage::Error { quotation, .. }, _) => {
                    assert!(theirs.type_u8() < 128);
                    assert_eq!(quotation, &ip.payload[8..]);
                }
                (ours, theirs) => panic!("{ours:?}, {theirs:?}"),
            }
        }
    }
}

/// Makes the checksum of the transport header right, where there is one at the usual place.
fn fix_transport(packet: &mut [u8]) {
    let Ok(ip) = parse_ip(packet) else { return };
    let (source, destination, number, len) = (ip.source, ip.destination, ip.protocol, ip.payload.len());
    let at = ip.packet.len() - len;
    let place = match number {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMPV4 | protocol::ICMPV6 | protocol::IGMP => 2,
        _ => return,
    };
    if ip.fragment.is_some() || len < place + 2 {
        return;
    }
    // The length that UDP itself tells is the one that counts.
    let told = match number {
        protocol::UDP => usize::from(u16::from_be_bytes([packet[at + 4], packet[at + 5]])),
        _ => len,
    };
    let len = if (8..=len).contains(&told) { told } else { len };
    packet[at + place..at + place + 2].fill(0);
    let mut sum = glasstcp::wire::checksum::Checksum::new();
    if matches!(number, protocol::TCP | protocol::UDP | protocol::ICMPV6) {
        sum.add_pseudo_header(source, destination, number, len as u32);
    }
    sum.add(&packet[at..at + len]);
    let sum = sum.finish();
    let sum = if sum == 0 && number == protocol::UDP { 0xFFFF } else { sum };
    packet[at + place..at + place + 2].copy_from_slice(&sum.to_be_bytes());
}
