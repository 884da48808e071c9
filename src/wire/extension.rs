//! IPv6 extension headers (RFC 8200 section 4): a walk from the IPv6 header to the upper layer.

use super::ipv6::HEADER_LEN;
use super::protocol::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, NO_NEXT_HEADER, ROUTING};
use super::{Fragment, ParameterProblem, Refused};
use crate::counters::DropReason;

/// Extension headers that one packet may have. RFC 8200 section 4.1 foresees at most seven; RFC 8504 section 5.3 lets a
/// host set a limit.
pub const MAX_HEADERS: usize = 8;

/// Options other than padding that one header may have (RFC 8504 section 5.3).
pub const MAX_OPTIONS: usize = 8;

/// Bytes of padding in a row: more align nothing (RFC 8504 section 5.3).
pub const MAX_PADDING: usize = 7;

/// Bytes of a fragment header (RFC 8200 section 4.5).
pub const FRAGMENT_HEADER_LEN: usize = 8;

/// Place of the next header field in the IPv6 header, in bytes.
const NEXT_HEADER_AT: usize = 6;

/// Option kinds that only fill space (RFC 8200 section 4.2).
mod kind {
    pub const PAD1: u8 = 0;
    pub const PADN: u8 = 1;
}

/// Where a chain of extension headers ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The first next header value that is no extension header known here.
    pub protocol: u8,
    /// Offset of the octet that holds it, in bytes from the start of the packet.
    pub protocol_at: usize,
    /// Offset of what follows the chain, in bytes from the start of the packet; never beyond its end.
    pub payload_at: usize,
    /// Present if the chain ends in the header of a real fragment; then `protocol` is that of the whole datagram.
    pub fragment: Option<Fragment>,
}

impl Chain {
    /// Steps over an extension header of `len` bytes; the caller made sure that they are there.
    fn step(&mut self, next_header: u8, len: usize) {
        self.protocol = next_header;
        self.protocol_at = self.payload_at;
        self.payload_at += len;
    }
}

/// Walks the chain that starts with `next_header` after the IPv6 header. `packet` starts at the IPv6 header and ends
/// where its payload length says.
pub fn walk(next_header: u8, packet: &[u8]) -> Result<Chain, Refused> {
    let mut chain =
        Chain { protocol: next_header, protocol_at: NEXT_HEADER_AT, payload_at: HEADER_LEN, fragment: None };
    // 8200-4-1: strictly in order, each header processed before the next is looked at.
    for position in 0..=MAX_HEADERS {
        let at = chain.payload_at;
        match chain.protocol {
            HOP_BY_HOP if position > 0 => return refuse(unrecognized_next_header(chain.protocol_at)),
            HOP_BY_HOP | DESTINATION_OPTIONS => {
                let header = header_at(packet, at)?;
                walk_options(header, at)?;
                chain.step(header[0], header.len());
            }
            ROUTING => {
                let header = header_at(packet, at)?;
                check_routing(header, at)?;
                chain.step(header[0], header.len());
            }
            FRAGMENT => {
                let (next_header, fragment) = parse_fragment(packet, at)?;
                chain.step(next_header, FRAGMENT_HEADER_LEN);
                // RFC 6946: an "atomic" fragment is a whole datagram, handled as if the header were absent.
                if fragment.offset > 0 || fragment.more {
                    if fragment.offset == 0 && next_header == HOP_BY_HOP {
                        return refuse(unrecognized_next_header(at));
                    }
                    chain.fragment = Some(fragment);
                    return Ok(chain);
                }
            }
            // RFC 8200 section 4.7: octets after it are ignored, so there is nothing to deliver and nothing to report.
            NO_NEXT_HEADER => return Err(DropReason::UnknownProtocol.into()),
            _ => return Ok(chain),
        }
    }
    Err(DropReason::ExtensionHeader.into())
}

/// Protocol and bytes of the upper layer of a packet that may have been refused: whatever its extension headers say, only
/// their lengths count. `None` where they do not fit; a fragment that is not the first has no bytes to look at.
pub fn upper_layer(packet: &[u8]) -> Option<(u8, &[u8])> {
    let (mut protocol, mut rest) = (*packet.get(NEXT_HEADER_AT)?, packet.get(HEADER_LEN..)?);
    for _ in 0..=MAX_HEADERS {
        let len = match protocol {
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING => (usize::from(*rest.get(1)?) + 1) * 8,
            FRAGMENT if u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]) & 0xFFF8 == 0 => FRAGMENT_HEADER_LEN,
            FRAGMENT => return Some((*rest.first()?, &[])),
            _ => return Some((protocol, rest)),
        };
        protocol = *rest.first()?;
        rest = rest.get(len..)?;
    }
    None
}

/// The report of a next header value that has no business where it stands (RFC 4443 section 3.4, code 1).
pub(super) fn unrecognized_next_header(at: usize) -> ParameterProblem {
    ParameterProblem { code: 1, pointer: at as u32, even_if_multicast: false }
}

/// Refuses a packet with a report to its sender.
fn refuse<T>(problem: ParameterProblem) -> Result<T, Refused> {
    Err(Refused { reason: DropReason::ExtensionRefused, parameter_problem: Some(problem) })
}

/// The extension header at `at`: at least 8 bytes, its length counted in units of 8 after the first.
fn header_at(packet: &[u8], at: usize) -> Result<&[u8], DropReason> {
    let bytes = packet.get(at..).unwrap_or_default();
    let units = *bytes.get(1).ok_or(DropReason::ExtensionHeader)?;
    bytes.get(..(usize::from(units) + 1) * 8).ok_or(DropReason::ExtensionHeader)
}

/// Walks the options of a hop-by-hop or destination options header that starts at `header_at` in the packet.
///
/// More padding than aligns anything, padding that is not zero and options without end are dropped without an answer, as
/// Linux does: nobody needs them, and they would carry what no one looks at (RFC 4942 section 2.1.9.5).
fn walk_options(header: &[u8], header_at: usize) -> Result<(), Refused> {
    let malformed = || Err(DropReason::ExtensionHeader.into());
    let (mut at, mut padding, mut options) = (2, 0, 0);
    while let Some(&kind) = header.get(at) {
        let end = match header.get(at + 1) {
            _ if kind == kind::PAD1 => at + 1,
            Some(&length) => at + 2 + usize::from(length),
            None => return malformed(),
        };
        let Some(option) = header.get(at..end) else { return malformed() };
        if matches!(kind, kind::PAD1 | kind::PADN) {
            padding += option.len();
            if padding > MAX_PADDING || option.iter().skip(2).any(|&octet| octet != 0) {
                return malformed();
            }
        } else {
            padding = 0;
            options += 1;
            if options > MAX_OPTIONS {
                return malformed();
            }
            act_on_unknown_option(kind, header_at + at)?;
        }
        at = end;
    }
    Ok(())
}

/// Does what the two top bits of an unknown option say (RFC 8200 section 4.2). All but padding are unknown here.
fn act_on_unknown_option(kind: u8, at: usize) -> Result<(), Refused> {
    // 2675-1: a jumbo payload option is as unknown as any other; its bits (11) refuse the packet.
    let report = |even_if_multicast| ParameterProblem { code: 2, pointer: at as u32, even_if_multicast };
    // 8200-4.2: skip; drop; drop and report; drop and report unless sent to a multicast address.
    match kind >> 6 {
        0b00 => Ok(()),
        0b01 => Err(DropReason::ExtensionRefused.into()),
        0b10 => refuse(report(true)),
        _ => refuse(report(false)),
    }
}

/// Lets a routing header pass if it is used up.
fn check_routing(header: &[u8], at: usize) -> Result<(), Refused> {
    // 8200-4.4: no routing type is known here, type 0 (RFC 5095) least of all; with segments left none is processed.
    match header.get(3) {
        Some(0) => Ok(()),
        _ => refuse(ParameterProblem { code: 0, pointer: at as u32 + 2, even_if_multicast: false }),
    }
}

/// Next header value and place of the fragment whose header stands at `at`.
fn parse_fragment(packet: &[u8], at: usize) -> Result<(u8, Fragment), DropReason> {
    let header = packet.get(at..).and_then(|bytes| bytes.first_chunk::<FRAGMENT_HEADER_LEN>());
    let &[next_header, _, high, low, id0, id1, id2, id3] = header.ok_or(DropReason::ExtensionHeader)?;
    let offset_and_flags = u16::from_be_bytes([high, low]);
    let fragment = Fragment {
        identification: u32::from_be_bytes([id0, id1, id2, id3]),
        // The offset counts units of 8 bytes in the upper 13 bits, which is the number of bytes once the flags are cut.
        offset: u32::from(offset_and_flags & 0xFFF8),
        more: offset_and_flags & 1 == 1,
    };
    Ok((next_header, fragment))
}

/// Writes a fragment header; returns its length (8).
pub(super) fn emit_fragment(next_header: u8, fragment: Fragment, buffer: &mut [u8]) -> usize {
    let octets = &mut buffer[..FRAGMENT_HEADER_LEN];
    octets[0] = next_header;
    octets[1] = 0;
    let offset_and_flags = (fragment.offset & 0xFFF8) as u16 | u16::from(fragment.more);
    octets[2..4].copy_from_slice(&offset_and_flags.to_be_bytes());
    octets[4..8].copy_from_slice(&fragment.identification.to_be_bytes());
    FRAGMENT_HEADER_LEN
}
