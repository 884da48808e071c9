//! ICMP for IPv6 (RFC 4443): its types and codes.

use std::net::IpAddr;

use super::icmp::{self, IcmpError, IcmpMessage};
use super::{checksum, ipv6, protocol};
use crate::counters::DropReason;

/// Message types. Types below 128 are errors (RFC 4443 section 2.1).
pub(super) mod kind {
    pub const DESTINATION_UNREACHABLE: u8 = 1;
    pub const PACKET_TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    pub const FIRST_INFORMATIONAL: u8 = 128;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const REDIRECT: u8 = 137;
}

/// Codes of destination unreachable (RFC 4443 section 3.1).
pub mod unreachable {
    /// No route to destination: soft (RFC 9293 section 3.9.2.2).
    pub const NO_ROUTE: u8 = 0;
    /// Communication administratively prohibited.
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: u8 = 2;
    /// Address unreachable: soft.
    pub const ADDRESS: u8 = 3;
    /// Port unreachable.
    pub const PORT: u8 = 4;
}

// 4443-2.4-c: an error is at most 1280 bytes long with its own IP header, the minimum MTU of IPv6.
/// Bytes of a packet that an error quotes.
pub const QUOTE_LIMIT: usize = 1280 - ipv6::HEADER_LEN - icmp::HEADER_LEN;

/// Parses an ICMPv6 message and verifies its checksum.
pub fn parse(source: IpAddr, destination: IpAddr, message: &[u8]) -> Result<IcmpMessage<'_>, DropReason> {
    let (kind, code, word, body) = icmp::split(message)?;
    // 4443-2.3: the checksum covers the pseudo-header.
    if !checksum::verifies_with_pseudo_header(source, destination, protocol::ICMPV6, message) {
        return Err(DropReason::IcmpChecksum);
    }
    let error = match kind {
        kind::DESTINATION_UNREACHABLE => IcmpError::DestinationUnreachable { code },
        kind::PACKET_TOO_BIG => IcmpError::PacketTooBig { mtu: word },
        kind::TIME_EXCEEDED => IcmpError::TimeExceeded { code },
        kind::PARAMETER_PROBLEM => IcmpError::ParameterProblem { code, pointer: word },
        // 4443-2.4-a: an unknown error still goes to the transport that it is about.
        ..kind::FIRST_INFORMATIONAL => IcmpError::Unknown { kind, code },
        kind::ECHO_REQUEST => return Ok(IcmpMessage::EchoRequest(icmp::echo(word, body))),
        kind::ECHO_REPLY => return Ok(IcmpMessage::EchoReply(icmp::echo(word, body))),
        // 4443-2.4-b: an unknown informational message is dropped; those of neighbour discovery are unknown on a TUN.
        _ => return Err(DropReason::IcmpIgnored),
    };
    Ok(IcmpMessage::Error { error, quotation: body })
}

/// True for types that report an error about a packet, and for redirects.
pub(super) fn is_error(kind: u8) -> bool {
    kind < kind::FIRST_INFORMATIONAL || kind == kind::REDIRECT
}

/// Type, code and word of an error.
pub(super) fn encode(error: IcmpError) -> (u8, u8, u32) {
    match error {
        IcmpError::DestinationUnreachable { code } => (kind::DESTINATION_UNREACHABLE, code, 0),
        IcmpError::PacketTooBig { mtu } => (kind::PACKET_TOO_BIG, 0, mtu),
        IcmpError::TimeExceeded { code } => (kind::TIME_EXCEEDED, code, 0),
        IcmpError::ParameterProblem { code, pointer } => (kind::PARAMETER_PROBLEM, code, pointer),
        IcmpError::Unknown { kind, code } => (kind, code, 0),
    }
}
