//! Bytes to values and back, with no state: what stands in a packet, not what it means to a connection.
//!
//! A received packet passes [`parse_ip`], then the parser of its protocol: [`tcp::parse`], [`udp::parse`] or
//! [`icmp::parse`]. Parsers borrow from the packet, allocate nothing and never panic; what they refuse they name by a
//! [`DropReason`]. Emitters write headers into a buffer that the caller provides and return how many bytes they wrote.
//! Numbers are in host byte order on our side of these functions.

use std::net::IpAddr;

use crate::counters::DropReason;

pub mod accurate_ecn;
pub mod checksum;
pub mod ecn;
pub mod extension;
pub mod fast_open;
pub mod icmp;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv4_option;
pub mod ipv6;
pub mod mld;
pub mod offending;
pub mod option;
pub mod quoted;
pub mod tcp;
#[cfg(test)]
mod tests;
pub mod udp;

/// Numbers of upper-layer protocols and IPv6 extension headers (IANA "Protocol Numbers").
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 section 4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4 (RFC 792).
    pub const ICMPV4: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// IPv6 routing header (RFC 8200 section 4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 section 4.5).
    pub const FRAGMENT: u8 = 44;
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// Nothing follows (RFC 8200 section 4.7).
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options (RFC 8200 section 4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
}

/// Where a fragment belongs in its datagram (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Common to all fragments of one datagram; 16 bits in IPv4, 32 bits in IPv6.
    pub identification: u32,
    /// Place of the payload in the payload of the whole datagram, in bytes; a multiple of 8.
    pub offset: u32,
    /// More fragments follow this one.
    pub more: bool,
}

/// A received IP packet whose headers passed all checks that need no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// Source address, not yet judged.
    pub source: IpAddr,
    /// Destination address, not yet judged; of the family of `source`.
    pub destination: IpAddr,
    /// Protocol of the payload, after any extension headers (see [`protocol`]).
    pub protocol: u8,
    /// TTL of IPv4, hop limit of IPv6. Zero and one are as good as any other value to the host that is addressed.
    pub hop_limit: u8,
    /// TOS octet of IPv4, traffic class of IPv6: DSCP in the upper six bits, ECN in the lower two (RFC 3168).
    pub traffic_class: u8,
    /// Present if the payload is only a part of a datagram.
    pub fragment: Option<Fragment>,
    /// What follows the IP header and its options or extension headers, cut at the total length.
    pub payload: &'a [u8],
    /// The packet from its IP header on, cut at the total length: what an ICMP error quotes.
    pub packet: &'a [u8],
}

/// The parameter problem that a refused packet calls for (RFC 792, RFC 4443 section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterProblem {
    /// 0: erroneous header field; of ICMPv6 also 1: unrecognized next header; 2: unrecognized option.
    pub code: u8,
    /// Offset of the octet at fault, in bytes from the start of the packet.
    pub pointer: u32,
    /// Report it even if the packet was sent to a multicast address (RFC 4443 section 2.4 (e.3)).
    pub even_if_multicast: bool,
}

/// Why a packet was refused, and what its sender must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason to count.
    pub reason: DropReason,
    /// The report owed to the sender, if any.
    pub parameter_problem: Option<ParameterProblem>,
}

impl From<DropReason> for Refused {
    fn from(reason: DropReason) -> Refused {
        Refused { reason, parameter_problem: None }
    }
}

/// Parses an IPv4 or IPv6 packet. `packet` may be longer than the IP packet it holds.
pub fn parse_ip(packet: &[u8]) -> Result<IpPacket<'_>, Refused> {
    // 1122-3.2.1.1: the version decides which parser sees the packet; there is none for other versions.
    match packet.first().map(|octet| octet >> 4) {
        Some(4) => ipv4::parse(packet),
        Some(6) => ipv6::parse(packet),
        Some(_) => Err(DropReason::IpVersion.into()),
        None => Err(DropReason::IpTruncated.into()),
    }
}

/// What an emitted IP header says.
#[derive(Clone, Copy, Debug)]
pub struct IpHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the family of `source`.
    pub destination: IpAddr,
    /// Protocol of the payload (see [`protocol`]).
    pub protocol: u8,
    /// TTL of IPv4, hop limit of IPv6; not zero.
    pub hop_limit: u8,
    /// DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
    /// IPv4 identification; IPv6 has none outside its fragment header.
    pub identification: u16,
    /// IPv4 "don't fragment"; IPv6 routers never fragment.
    pub dont_fragment: bool,
}

/// Writes the header for `payload_len` bytes; returns its length (20 or 40). Source and destination are of one family.
pub fn emit_ip(header: &IpHeader, payload_len: usize, buffer: &mut [u8]) -> usize {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4::emit(header, (source, destination), None, payload_len, buffer)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => ipv6::emit(header, (source, destination), payload_len, buffer),
        _ => unreachable!("source and destination are of one family"),
    }
}

/// Writes the headers of one fragment that carries `payload_len` bytes; returns their length (20, or 48 with the IPv6
/// fragment header). `header.identification` and `header.dont_fragment` give way to `fragment`.
pub fn emit_ip_fragment(header: &IpHeader, fragment: Fragment, payload_len: usize, buffer: &mut [u8]) -> usize {
    match (header.source, header.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4::emit(header, (source, destination), Some(fragment), payload_len, buffer)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let outer = IpHeader { protocol: protocol::FRAGMENT, ..*header };
            let payload_len = payload_len + extension::FRAGMENT_HEADER_LEN;
            let written = ipv6::emit(&outer, (source, destination), payload_len, buffer);
            written + extension::emit_fragment(header.protocol, fragment, &mut buffer[written..])
        }
        _ => unreachable!("source and destination are of one family"),
    }
}
