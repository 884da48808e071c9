//! IGMP (RFC 3376; of the older versions RFC 2236 and RFC 1112): queries of multicast routers, reports of hosts.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::checksum::{self, Checksum};
use super::{IpHeader, IpPacket, emit_ip, protocol};
use crate::counters::DropReason;

/// Where reports of version 3 go (RFC 3376 section 4.2.14).
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// Where leaving is told in version 2 (RFC 2236 section 3).
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);

/// Octets of an IP header with the router alert option (RFC 2113).
const IP_LEN: usize = 24;
/// The option: copied, length 4, "every router shall examine this packet".
const ROUTER_ALERT: [u8; 4] = [148, 4, 0, 0];
/// Internetwork control (RFC 3376 section 4).
const TOS: u8 = 0xC0;

/// Octets before the records of a report.
const REPORT_LEN: usize = 8;
/// Octets of a query of version 3 before its sources.
const QUERY_V3_LEN: usize = 12;
/// Octets of every message of the older versions.
const MESSAGE_LEN: usize = 8;
/// What a query of version 1 leaves to the host, in tenths of a second (RFC 3376 section 7.2.1).
const V1_MAX_RESPONSE: u32 = 100;

mod kind {
    pub const QUERY: u8 = 0x11;
    pub const REPORT_V1: u8 = 0x12;
    pub const REPORT_V2: u8 = 0x16;
    pub const LEAVE: u8 = 0x17;
    pub const REPORT_V3: u8 = 0x22;
}

/// A query as it stands in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// 1, 2 or 3; of MLD 2 or 3 for its versions 1 and 2.
    pub version: u8,
    /// The group; `None`: all of them.
    pub group: Option<IpAddr>,
    /// Within which time it is to be answered.
    pub max_response: Duration,
    /// Addresses of sources, one behind the other.
    pub sources: &'a [u8],
}

/// A message that means something to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A router asks.
    Query(Query<'a>),
    /// Another host has reported its membership in an older version.
    Report(IpAddr),
}

/// Parses the payload of an IGMP packet, whose checksum is verified.
///
/// # Errors
/// Why it is dropped; what only routers need is [`DropReason::IgmpIgnored`].
pub fn parse<'a>(packet: &IpPacket<'a>) -> Result<Message<'a>, DropReason> {
    let message = packet.payload;
    let &[kind, code, _, _, a, b, c, d] = message.first_chunk::<MESSAGE_LEN>().ok_or(DropReason::IgmpMalformed)?;
    // 3376-4.1.2
    if !checksum::verifies(message) {
        return Err(DropReason::IgmpChecksum);
    }
    let group = Ipv4Addr::new(a, b, c, d);
    match kind {
        kind::QUERY => query(packet, code, group).map(Message::Query),
        kind::REPORT_V1 | kind::REPORT_V2 => Ok(Message::Report(group.into())),
        _ => Err(DropReason::IgmpIgnored),
    }
}

fn query<'a>(packet: &IpPacket<'a>, code: u8, group: Ipv4Addr) -> Result<Query<'a>, DropReason> {
    let message = packet.payload;
    // 3376-7.1: length and code tell the versions apart; other lengths are silently ignored.
    let (version, sources) = match (message.len(), code) {
        (MESSAGE_LEN, 0) => (1, &[][..]),
        (MESSAGE_LEN, _) => (2, &[][..]),
        (QUERY_V3_LEN.., _) => (3, sources(message)?),
        _ => return Err(DropReason::IgmpIgnored),
    };
    // 3376-9.1: a query that comes from further away, to make many hosts answer, lacks the option.
    if version > 1 && !has_router_alert(packet.packet) {
        return Err(DropReason::IgmpIgnored);
    }
    if !group.is_unspecified() && !group.is_multicast() {
        return Err(DropReason::IgmpMalformed);
    }
    let tenths = match version {
        1 => V1_MAX_RESPONSE,
        2 => u32::from(code),
        _ => floating(code),
    };
    Ok(Query {
        version,
        group: (!group.is_unspecified()).then_some(group.into()),
        max_response: Duration::from_millis(100) * tenths,
        sources,
    })
}

fn sources(message: &[u8]) -> Result<&[u8], DropReason> {
    let count = usize::from(u16::from_be_bytes([message[10], message[11]]));
    message.get(QUERY_V3_LEN..QUERY_V3_LEN + 4 * count).ok_or(DropReason::IgmpMalformed)
}

/// A code with an exponent (RFC 3376 section 4.1.1).
fn floating(code: u8) -> u32 {
    let (mantissa, exponent) = (u32::from(code & 0x0F), code >> 4 & 0x07);
    if code < 128 { code.into() } else { (mantissa | 0x10) << (exponent + 3) }
}

/// Whether the option is among those of the IPv4 header.
fn has_router_alert(packet: &[u8]) -> bool {
    let end = packet.first().map_or(0, |first| usize::from(first & 0x0F) * 4);
    let mut options = packet.get(20..end).unwrap_or_default();
    while let [kind, rest @ ..] = options {
        options = match *kind {
            0 => return false,
            1 => rest,
            148 => return true,
            _ => match rest.first() {
                Some(&length @ 2..) => options.get(usize::from(length)..).unwrap_or_default(),
                _ => return false,
            },
        };
    }
    false
}

/// A record of a report of version 3: its type, its group, and its sources.
pub type Record<'a> = (u8, Ipv4Addr, &'a [Ipv4Addr]);

/// Octets of a record.
pub fn record_len(sources: usize) -> usize {
    8 + 4 * sources
}

/// Octets of records that one packet holds.
pub fn record_room(mtu: usize) -> usize {
    mtu - IP_LEN - REPORT_LEN
}

/// The packet of a report of version 3.
pub fn report_v3(source: Ipv4Addr, identification: u16, records: &[Record<'_>]) -> Vec<u8> {
    let mut message = vec![kind::REPORT_V3, 0, 0, 0, 0, 0];
    message.extend_from_slice(&(records.len() as u16).to_be_bytes());
    for (kind, group, sources) in records {
        message.extend_from_slice(&[*kind, 0]);
        message.extend_from_slice(&(sources.len() as u16).to_be_bytes());
        message.extend_from_slice(&group.octets());
        message.extend(sources.iter().flat_map(Ipv4Addr::octets));
    }
    packet(source, ALL_V3_ROUTERS, identification, message)
}

/// The packet of a report of version 1 or 2: we are in this group.
pub fn report_old(source: Ipv4Addr, identification: u16, version: u8, group: Ipv4Addr) -> Vec<u8> {
    let kind = if version == 1 { kind::REPORT_V1 } else { kind::REPORT_V2 };
    packet(source, group, identification, old_message(kind, group))
}

/// The packet by which version 2 tells that we have left this group.
pub fn leave(source: Ipv4Addr, identification: u16, group: Ipv4Addr) -> Vec<u8> {
    packet(source, ALL_ROUTERS, identification, old_message(kind::LEAVE, group))
}

fn old_message(kind: u8, group: Ipv4Addr) -> Vec<u8> {
    [&[kind, 0, 0, 0][..], &group.octets()].concat()
}

// 3376-4: TTL 1, internetwork control, router alert.
fn packet(source: Ipv4Addr, destination: Ipv4Addr, identification: u16, mut message: Vec<u8>) -> Vec<u8> {
    let mut sum = Checksum::new();
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let header = IpHeader {
        source: source.into(),
        destination: destination.into(),
        protocol: protocol::IGMP,
        hop_limit: 1,
        traffic_class: TOS,
        identification,
        dont_fragment: false,
    };
    let mut packet = vec![0; IP_LEN];
    emit_ip(&header, ROUTER_ALERT.len() + message.len(), &mut packet);
    packet[0] = 4 << 4 | (IP_LEN / 4) as u8;
    packet[20..].copy_from_slice(&ROUTER_ALERT);
    packet[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add(&packet);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    packet.append(&mut message);
    packet
}
