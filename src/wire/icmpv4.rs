//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2): its types and codes.

use super::icmp::{self, IcmpError, IcmpMessage};
use super::{checksum, ipv4};
use crate::counters::DropReason;

/// Message types. Those without a name here mean nothing to this host.
pub(super) mod kind {
    pub const ECHO_REPLY: u8 = 0;
    pub const DESTINATION_UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Codes of destination unreachable (RFC 792, RFC 1122 section 3.2.2.1).
pub mod unreachable {
    /// Network unreachable: soft (RFC 9293 section 3.9.2.2).
    pub const NETWORK: u8 = 0;
    /// Host unreachable: soft.
    pub const HOST: u8 = 1;
    /// Protocol unreachable: hard.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable: hard.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set; parsed as [`IcmpError::PacketTooBig`](super::IcmpError::PacketTooBig).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Source route failed: soft.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// The network is administratively prohibited (RFC 1122 section 3.2.2.1).
    pub const NETWORK_PROHIBITED: u8 = 9;
    /// The host is administratively prohibited (RFC 1122 section 3.2.2.1).
    pub const HOST_PROHIBITED: u8 = 10;
    /// Communication administratively prohibited (RFC 1812 section 5.2.7.1).
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
}

// 1812-4.3.2.3: an error is at most 576 bytes long with its own IP header.
/// Bytes of a packet that an error quotes.
pub const QUOTE_LIMIT: usize = 576 - ipv4::HEADER_LEN - icmp::HEADER_LEN;

/// Parses an ICMPv4 message and verifies its checksum.
pub fn parse(message: &[u8]) -> Result<IcmpMessage<'_>, DropReason> {
    let (kind, code, word, body) = icmp::split(message)?;
    if !checksum::verifies(message) {
        return Err(DropReason::IcmpChecksum);
    }
    let error = match kind {
        kind::ECHO_REQUEST => return Ok(IcmpMessage::EchoRequest(icmp::echo(word, body))),
        kind::ECHO_REPLY => return Ok(IcmpMessage::EchoReply(icmp::echo(word, body))),
        kind::DESTINATION_UNREACHABLE if code == unreachable::FRAGMENTATION_NEEDED => {
            // RFC 1191 section 4: the next-hop MTU is in the lower half of the word.
            IcmpError::PacketTooBig { mtu: word & 0xFFFF }
        }
        kind::DESTINATION_UNREACHABLE => IcmpError::DestinationUnreachable { code },
        // 792-te: both codes go to the transport.
        kind::TIME_EXCEEDED => IcmpError::TimeExceeded { code },
        kind::PARAMETER_PROBLEM => IcmpError::ParameterProblem { code, pointer: word >> 24 },
        // 9293-MUST-55, 6633-3: source quench ends here, for every transport.
        // 1122-3.2.2.2: so does a redirect, since a TUN has no first hop to choose.
        // 1122-3.2.2.8: so does a timestamp request, which a host need not answer.
        // 1122-3.2.2-1: so does all that is unknown.
        _ => return Err(DropReason::IcmpIgnored),
    };
    Ok(IcmpMessage::Error { error, quotation: body })
}

/// True for types that report an error about a packet, and for redirects.
pub(super) fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        kind::DESTINATION_UNREACHABLE
            | kind::SOURCE_QUENCH
            | kind::REDIRECT
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM
    )
}

/// Type, code and word of an error.
pub(super) fn encode(error: IcmpError) -> (u8, u8, u32) {
    match error {
        IcmpError::DestinationUnreachable { code } => (kind::DESTINATION_UNREACHABLE, code, 0),
        IcmpError::PacketTooBig { mtu } => {
            (kind::DESTINATION_UNREACHABLE, unreachable::FRAGMENTATION_NEEDED, mtu.min(0xFFFF))
        }
        IcmpError::TimeExceeded { code } => (kind::TIME_EXCEEDED, code, 0),
        // 792-pp: the pointer is the first octet of the word.
        IcmpError::ParameterProblem { code, pointer } => (kind::PARAMETER_PROBLEM, code, pointer << 24),
        IcmpError::Unknown { kind, code } => (kind, code, 0),
    }
}
