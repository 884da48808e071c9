//! ICMP in the form that both families share; [`icmpv4`] and [`icmpv6`] hold the numbers of each.
//!
//! Every message has the same eight octets first: type, code, checksum and one word whose meaning depends on the type.

use std::net::IpAddr;

use super::checksum::Checksum;
use super::{icmpv4, icmpv6, protocol};
use crate::counters::DropReason;

/// Bytes of an ICMP header, before echo data or quotation.
pub const HEADER_LEN: usize = 8;

/// Echo request or reply (RFC 792, RFC 4443 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Chosen by the sender of the request; a reply repeats it.
    pub identifier: u16,
    /// Chosen by the sender of the request; a reply repeats it.
    pub sequence: u16,
    /// Arbitrary data; a reply repeats it.
    pub data: &'a [u8],
}

/// An error report about a packet. Codes are those of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Destination unreachable, but not [`IcmpError::PacketTooBig`].
    DestinationUnreachable {
        /// See [`icmpv4::unreachable`] and [`icmpv6::unreachable`].
        code: u8,
    },
    /// ICMPv6 packet too big, or ICMPv4 destination unreachable with code 4.
    PacketTooBig {
        /// MTU of the next hop in bytes; 0 from an IPv4 router that does not tell (RFC 1191 section 3).
        mtu: u32,
    },
    /// Time exceeded.
    TimeExceeded {
        /// 0: hop limit exceeded in transit; 1: reassembly timeout.
        code: u8,
    },
    /// Parameter problem.
    ParameterProblem {
        /// IPv4: 0, the pointer says where; IPv6: see [`super::ParameterProblem::code`].
        code: u8,
        /// Offset of the octet at fault in the quoted packet, in bytes.
        pointer: u32,
    },
    /// An ICMPv6 error of a type that is not known here (RFC 4443 section 2.4 (a)).
    Unknown {
        /// Type, below 128.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl IcmpError {
    /// "No listener at that port", in the numbers of the family of `address`.
    pub const fn port_unreachable(address: IpAddr) -> IcmpError {
        match address {
            IpAddr::V4(_) => IcmpError::DestinationUnreachable { code: icmpv4::unreachable::PORT },
            IpAddr::V6(_) => IcmpError::DestinationUnreachable { code: icmpv6::unreachable::PORT },
        }
    }
}

impl From<super::ParameterProblem> for IcmpError {
    fn from(problem: super::ParameterProblem) -> IcmpError {
        IcmpError::ParameterProblem { code: problem.code, pointer: problem.pointer }
    }
}

/// A received ICMP message that means something to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpMessage<'a> {
    /// Somebody wants an echo reply.
    EchoRequest(Echo<'a>),
    /// The answer to an echo request of ours.
    EchoReply(Echo<'a>),
    /// A report about a packet of ours.
    Error {
        /// What happened to it.
        error: IcmpError,
        /// Its beginning, from its IP header on, for [`super::quoted::parse`].
        quotation: &'a [u8],
    },
}

/// Parses the payload of an ICMPv4 or ICMPv6 packet; the family of the addresses decides. The checksum is verified:
/// no device does that for ICMP. Types without meaning to a host are [`DropReason::IcmpIgnored`].
pub fn parse(source: IpAddr, destination: IpAddr, message: &[u8]) -> Result<IcmpMessage<'_>, DropReason> {
    match destination {
        IpAddr::V4(_) => icmpv4::parse(message),
        IpAddr::V6(_) => icmpv6::parse(source, destination, message),
    }
}

/// The ICMP protocol number of the family of `address`.
pub const fn protocol_for(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => protocol::ICMPV4,
        IpAddr::V6(_) => protocol::ICMPV6,
    }
}

/// True if a packet with this protocol and payload is an ICMP error or redirect, about which no error may be sent
/// (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.1), (e.2)). An empty message counts as one.
pub fn is_error(protocol: u8, message: &[u8]) -> bool {
    match (protocol, message.first()) {
        (protocol::ICMPV4 | protocol::ICMPV6, None) => true,
        (protocol::ICMPV4, Some(&kind)) => icmpv4::is_error(kind),
        (protocol::ICMPV6, Some(&kind)) => icmpv6::is_error(kind),
        _ => false,
    }
}

/// True for the type and code of an echo request in the family of `address`.
pub const fn is_echo_request(address: IpAddr, kind: u8, code: u8) -> bool {
    let request = match address {
        IpAddr::V4(_) => icmpv4::kind::ECHO_REQUEST,
        IpAddr::V6(_) => icmpv6::kind::ECHO_REQUEST,
    };
    kind == request && code == 0
}

/// Writes an echo request; returns its length in bytes, data included.
pub fn emit_echo_request(source: IpAddr, destination: IpAddr, echo: &Echo<'_>, buffer: &mut [u8]) -> usize {
    let kind = match destination {
        IpAddr::V4(_) => icmpv4::kind::ECHO_REQUEST,
        IpAddr::V6(_) => icmpv6::kind::ECHO_REQUEST,
    };
    emit(source, destination, (kind, 0, echo_word(echo)), echo.data, buffer)
}

/// Writes an echo reply; returns its length in bytes, data included.
pub fn emit_echo_reply(source: IpAddr, destination: IpAddr, echo: &Echo<'_>, buffer: &mut [u8]) -> usize {
    let kind = match destination {
        IpAddr::V4(_) => icmpv4::kind::ECHO_REPLY,
        IpAddr::V6(_) => icmpv6::kind::ECHO_REPLY,
    };
    // 792-echo, 1122-3.2.2.6-1, 4443-4.2: identifier, sequence number and data go back as they came.
    emit(source, destination, (kind, 0, echo_word(echo)), echo.data, buffer)
}

/// Writes an error about `packet`, which starts at its IP header, and quotes as much of it as the family allows;
/// returns its length in bytes, at most [`MAX_ERROR_LEN`]. Whether an error may be sent is the caller's to decide.
pub fn emit_error(source: IpAddr, destination: IpAddr, error: IcmpError, packet: &[u8], buffer: &mut [u8]) -> usize {
    let (first_octets, quote_limit) = match destination {
        IpAddr::V4(_) => (icmpv4::encode(error), icmpv4::QUOTE_LIMIT),
        IpAddr::V6(_) => (icmpv6::encode(error), icmpv6::QUOTE_LIMIT),
    };
    // 1122-3.2.2-2: the quotation is the packet as it came, header and at least 8 octets more if it has them.
    let quotation = &packet[..packet.len().min(quote_limit)];
    emit(source, destination, first_octets, quotation, buffer)
}

/// Bytes of the longest error that [`emit_error`] writes, without its IP header.
pub const MAX_ERROR_LEN: usize = HEADER_LEN + icmpv6::QUOTE_LIMIT;

/// Identifier and sequence number in the word after the checksum.
fn echo_word(echo: &Echo<'_>) -> u32 {
    u32::from(echo.identifier) << 16 | u32::from(echo.sequence)
}

/// Writes a message of type, code, word and body with its checksum; returns its length.
fn emit(
    source: IpAddr,
    destination: IpAddr,
    (kind, code, word): (u8, u8, u32),
    body: &[u8],
    buffer: &mut [u8],
) -> usize {
    let length = HEADER_LEN + body.len();
    let mut octets = [0; HEADER_LEN];
    octets[0] = kind;
    octets[1] = code;
    octets[4..8].copy_from_slice(&word.to_be_bytes());
    let mut sum = Checksum::new();
    // 4443-2.3: only ICMPv6 covers the addresses.
    if destination.is_ipv6() {
        sum.add_pseudo_header(source, destination, protocol::ICMPV6, length as u32);
    }
    sum.add(&octets);
    sum.add(body);
    octets[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    buffer[..HEADER_LEN].copy_from_slice(&octets);
    buffer[HEADER_LEN..length].copy_from_slice(body);
    length
}

/// Splits a message into type, code, the word after the checksum, and the body.
pub(super) fn split(message: &[u8]) -> Result<(u8, u8, u32, &[u8]), DropReason> {
    let (&[kind, code, _, _, a, b, c, d], body) =
        message.split_first_chunk::<HEADER_LEN>().ok_or(DropReason::IcmpMalformed)?;
    Ok((kind, code, u32::from_be_bytes([a, b, c, d]), body))
}

/// Reads the word and body of an echo message.
pub(super) fn echo(word: u32, data: &[u8]) -> Echo<'_> {
    Echo { identifier: (word >> 16) as u16, sequence: word as u16, data }
}
