//! MLD (RFC 3810; version 1: RFC 2710): the messages of ICMPv6 by which multicast routers query and hosts report.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::checksum::{self, Checksum};
use super::igmp::{Message, Query};
use super::ipv6::HEADER_LEN;
use super::{IpHeader, IpPacket, emit_ip, protocol};
use crate::counters::DropReason;

/// Where reports of version 2 go (RFC 3810 section 5.2.14).
pub const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Where leaving is told in version 1 (RFC 2710 section 4).
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A hop-by-hop header with the router alert option (RFC 2711) and padding.
const ROUTER_ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// Octets before the records of a report.
const REPORT_LEN: usize = 8;
/// Octets of a query of version 2 before its sources.
const QUERY_V2_LEN: usize = 28;
/// Octets of every message of version 1.
const MESSAGE_LEN: usize = 24;

mod kind {
    pub const QUERY: u8 = 130;
    pub const REPORT_V1: u8 = 131;
    pub const DONE: u8 = 132;
    pub const REPORT_V2: u8 = 143;
}

/// An ICMPv6 message that belongs to MLD.
pub fn is_mld(message: &[u8]) -> bool {
    matches!(message.first(), Some(&(kind::QUERY | kind::REPORT_V1 | kind::DONE | kind::REPORT_V2)))
}

/// Parses an MLD message, whose checksum is verified.
///
/// # Errors
/// Why it is dropped; what only routers need is [`DropReason::IcmpIgnored`].
pub fn parse<'a>(packet: &IpPacket<'a>) -> Result<Message<'a>, DropReason> {
    let message = packet.payload;
    let fixed = message.first_chunk::<MESSAGE_LEN>().ok_or(DropReason::IcmpMalformed)?;
    // 4443-2.3
    if !checksum::verifies_with_pseudo_header(packet.source, packet.destination, protocol::ICMPV6, message) {
        return Err(DropReason::IcmpChecksum);
    }
    // 3810-6.2: from a neighbour, and not by way of a router.
    let near = matches!(packet.source, IpAddr::V6(source) if source.is_unicast_link_local()) && packet.hop_limit == 1;
    if !near || !has_router_alert(packet.packet) {
        return Err(DropReason::IcmpIgnored);
    }
    let [.., a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *fixed;
    let group = Ipv6Addr::from([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
    match fixed[0] {
        kind::QUERY => query(message, u16::from_be_bytes([fixed[4], fixed[5]]), group).map(Message::Query),
        kind::REPORT_V1 => Ok(Message::Report(group.into())),
        _ => Err(DropReason::IcmpIgnored),
    }
}

fn query(message: &[u8], code: u16, group: Ipv6Addr) -> Result<Query<'_>, DropReason> {
    // RFC 3810 section 8.1: the length tells the versions apart; other lengths are silently ignored.
    let (version, sources) = match message.len() {
        MESSAGE_LEN => (2, &[][..]),
        QUERY_V2_LEN.. => (3, sources(message)?),
        _ => return Err(DropReason::IcmpIgnored),
    };
    if !group.is_unspecified() && !group.is_multicast() {
        return Err(DropReason::IcmpMalformed);
    }
    let millis = if version == 2 { code.into() } else { floating(code) };
    Ok(Query {
        version,
        group: (!group.is_unspecified()).then_some(group.into()),
        max_response: Duration::from_millis(millis),
        sources,
    })
}

fn sources(message: &[u8]) -> Result<&[u8], DropReason> {
    let count = usize::from(u16::from_be_bytes([message[26], message[27]]));
    message.get(QUERY_V2_LEN..QUERY_V2_LEN + 16 * count).ok_or(DropReason::IcmpMalformed)
}

/// A code with an exponent (RFC 3810 section 5.1.3).
fn floating(code: u16) -> u64 {
    let (mantissa, exponent) = (u64::from(code & 0x0FFF), code >> 12 & 0x07);
    if code < 32_768 { code.into() } else { (mantissa | 0x1000) << (exponent + 3) }
}

/// Whether the option is in a hop-by-hop header, which comes first if there is one.
fn has_router_alert(packet: &[u8]) -> bool {
    let Some((header, rest)) = packet.split_at_checked(HEADER_LEN) else { return false };
    let len = rest.get(1).map_or(0, |&units| (usize::from(units) + 1) * 8);
    if header[6] != protocol::HOP_BY_HOP {
        return false;
    }
    let mut options = rest.get(2..len).unwrap_or_default();
    while let [kind, after @ ..] = options {
        options = match *kind {
            0 => after,
            5 => return true,
            _ => match after.first() {
                Some(&length) => after.get(1 + usize::from(length)..).unwrap_or_default(),
                None => return false,
            },
        };
    }
    false
}

/// A record of a report of version 2: its type, its group, and its sources.
pub type Record<'a> = (u8, Ipv6Addr, &'a [Ipv6Addr]);

/// Octets of a record.
pub fn record_len(sources: usize) -> usize {
    20 + 16 * sources
}

/// Octets of records that one packet holds.
pub fn record_room(mtu: usize) -> usize {
    mtu - HEADER_LEN - ROUTER_ALERT.len() - REPORT_LEN
}

/// The packet of a report of version 2.
pub fn report_v2(source: Ipv6Addr, records: &[Record<'_>]) -> Vec<u8> {
    let mut message = vec![kind::REPORT_V2, 0, 0, 0, 0, 0];
    message.extend_from_slice(&(records.len() as u16).to_be_bytes());
    for (kind, group, sources) in records {
        message.extend_from_slice(&[*kind, 0]);
        message.extend_from_slice(&(sources.len() as u16).to_be_bytes());
        message.extend_from_slice(&group.octets());
        message.extend(sources.iter().flat_map(Ipv6Addr::octets));
    }
    packet(source, ALL_V2_ROUTERS, message)
}

/// The packet of a report of version 1: we are in this group.
pub fn report_v1(source: Ipv6Addr, group: Ipv6Addr) -> Vec<u8> {
    packet(source, group, message_v1(kind::REPORT_V1, group))
}

/// The packet by which version 1 tells that we have left this group.
pub fn done(source: Ipv6Addr, group: Ipv6Addr) -> Vec<u8> {
    packet(source, ALL_ROUTERS, message_v1(kind::DONE, group))
}

fn message_v1(kind: u8, group: Ipv6Addr) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat()
}

// 3810-5: hop limit 1, router alert.
fn packet(source: Ipv6Addr, destination: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let mut sum = Checksum::new();
    sum.add_pseudo_header(source.into(), destination.into(), protocol::ICMPV6, message.len() as u32);
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let header = IpHeader {
        source: source.into(),
        destination: destination.into(),
        protocol: protocol::HOP_BY_HOP,
        hop_limit: 1,
        traffic_class: 0,
        identification: 0,
        dont_fragment: false,
    };
    let mut packet = vec![0; HEADER_LEN];
    emit_ip(&header, ROUTER_ALERT.len() + message.len(), &mut packet);
    packet.extend_from_slice(&ROUTER_ALERT);
    packet.append(&mut message);
    packet
}
