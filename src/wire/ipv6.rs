//! The IPv6 header (RFC 8200 section 3).

use std::net::{IpAddr, Ipv6Addr};

use etherparse::Ipv6HeaderSlice;
use etherparse::err::ipv6::HeaderSliceError;

use super::{IpHeader, IpPacket, ParameterProblem, Refused, extension, protocol};
use crate::counters::DropReason;

/// Bytes of an IPv6 header without extension headers.
pub const HEADER_LEN: usize = 40;

/// Place of the payload length in the header, in bytes.
const PAYLOAD_LENGTH_AT: u32 = 4;

/// Parses an IPv6 packet and its extension headers. `packet` may be longer than its payload length says; the surplus is
/// ignored.
pub fn parse(packet: &[u8]) -> Result<IpPacket<'_>, Refused> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|error| match error {
        HeaderSliceError::Len(_) => DropReason::IpTruncated,
        HeaderSliceError::Content(_) => DropReason::IpVersion,
    })?;
    // 8200-3: the payload length must be there; what follows it is no part of the packet.
    let total_len = HEADER_LEN + usize::from(header.payload_length());
    let whole = packet.get(..total_len).ok_or(DropReason::IpLength)?;
    // 2675-1: a jumbogram, by its length of zero.
    if header.payload_length() == 0 && header.next_header().0 == protocol::HOP_BY_HOP {
        let problem = ParameterProblem { code: 0, pointer: PAYLOAD_LENGTH_AT, even_if_multicast: false };
        return Err(Refused { reason: DropReason::IpLength, parameter_problem: Some(problem) });
    }
    let chain = extension::walk(header.next_header().0, whole)?;
    Ok(IpPacket {
        source: IpAddr::V6(header.source_addr()),
        destination: IpAddr::V6(header.destination_addr()),
        protocol: chain.protocol,
        hop_limit: header.hop_limit(),
        traffic_class: header.traffic_class(),
        fragment: chain.fragment,
        // The walk stays within the packet, so this never falls back.
        payload: whole.get(chain.payload_at..).unwrap_or_default(),
        packet: whole,
    })
}

/// The parameter problem for a packet whose `protocol` nobody here knows; `None` unless `packet` is valid IPv6.
///
/// The pointer is found by a second walk over the extension headers, so that good packets need not carry it.
pub fn unknown_next_header(packet: &[u8]) -> Option<ParameterProblem> {
    // 8200-4-2: the pointer names the octet that holds the unknown number, however deep in the chain.
    let header = Ipv6HeaderSlice::from_slice(packet).ok()?;
    let chain = extension::walk(header.next_header().0, packet).ok()?;
    Some(extension::unrecognized_next_header(chain.protocol_at))
}

/// Writes a header with flow label 0 for `payload_len` bytes, extension headers included; returns its length (40).
pub(super) fn emit(
    header: &IpHeader,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    payload_len: usize,
    buffer: &mut [u8],
) -> usize {
    debug_assert!(payload_len <= usize::from(u16::MAX), "{payload_len} bytes do not fit into one packet");
    let octets = &mut buffer[..HEADER_LEN];
    octets[..4].copy_from_slice(&(6 << 28 | u32::from(header.traffic_class) << 20).to_be_bytes());
    octets[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
    octets[6] = header.protocol;
    octets[7] = header.hop_limit;
    octets[8..24].copy_from_slice(&source.octets());
    octets[24..40].copy_from_slice(&destination.octets());
    HEADER_LEN
}

/// Sets the 20-bit flow label of an emitted IPv6 header (RFC 6437 section 3), which [`emit_ip`](super::emit_ip) leaves
/// at zero. No checksum covers it.
pub fn set_flow_label(packet: &mut [u8], flow_label: u32) {
    if let Some(octets) = packet.first_chunk_mut::<4>() {
        *octets = (u32::from_be_bytes(*octets) & 0xFFF0_0000 | flow_label & 0x000F_FFFF).to_be_bytes();
    }
}
