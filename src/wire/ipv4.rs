//! The IPv4 header (RFC 791 section 3.1).

use std::net::{IpAddr, Ipv4Addr};

use etherparse::Ipv4HeaderSlice;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};

use super::{Fragment, IpHeader, IpPacket, Refused, checksum, ipv4_option};
use crate::counters::DropReason;

/// Bytes of an IPv4 header without options.
pub const HEADER_LEN: usize = 20;

/// Don't fragment, in the 16-bit word of flags and fragment offset.
const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments, in the same word.
const MORE_FRAGMENTS: u16 = 0x2000;

/// Parses an IPv4 packet. `packet` may be longer than its total length; the surplus is ignored.
///
/// # Errors
/// Why it is refused; about an option with the report that is due for it.
pub fn parse(packet: &[u8]) -> Result<IpPacket<'_>, Refused> {
    // 791-3.1-2: an IHL below 5 or beyond the packet ends here.
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|error| header_fault(&error))?;
    let header_len = header.slice().len();
    // 791-3.1-1: the total length counts, not the frame's; it lies between the header and the end of the buffer.
    let whole = packet.get(..usize::from(header.total_len())).ok_or(DropReason::IpLength)?;
    let payload = whole.get(header_len..).ok_or(DropReason::IpLength)?;
    // 1122-3.2.1.2: a header with a wrong checksum is not to be believed in any field.
    if !checksum::verifies(header.slice()) {
        return Err(DropReason::IpChecksum.into());
    }
    ipv4_option::check(header.options())?;
    let offset = u32::from(header.fragments_offset().value()) * 8;
    let more = header.more_fragments();
    // 9293-MAY-4: only fragments are told apart by their identification; whole datagrams may all have the same.
    let fragment = Fragment { identification: u32::from(header.identification()), offset, more };
    Ok(IpPacket {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        protocol: header.protocol().0,
        // 1122-3.2.1.7-2: the TTL is reported, never a reason to drop.
        hop_limit: header.ttl(),
        traffic_class: header.slice()[1],
        fragment: (more || offset > 0).then_some(fragment),
        payload,
        packet: whole,
    })
}

/// The reason to count for a header that etherparse refuses.
fn header_fault(error: &HeaderSliceError) -> DropReason {
    match error {
        // Only the fixed part asks for exactly 20 bytes; more means that the IHL reaches beyond the packet.
        HeaderSliceError::Len(error) if error.required_len == HEADER_LEN => DropReason::IpTruncated,
        HeaderSliceError::Len(_) => DropReason::IpHeaderLength,
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => DropReason::IpVersion,
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => DropReason::IpHeaderLength,
    }
}

/// Puts options, whole words of them, into the header of a packet that has none.
pub fn insert_options(packet: &mut Vec<u8>, options: &[u8]) {
    debug_assert!(options.len().is_multiple_of(4) && packet.len() >= HEADER_LEN, "whole words, behind a header");
    packet.splice(HEADER_LEN..HEADER_LEN, options.iter().copied());
    let header_len = HEADER_LEN + options.len();
    packet[0] = 4 << 4 | (header_len / 4) as u8;
    let total_len = packet.len() as u16;
    packet[2..4].copy_from_slice(&total_len.to_be_bytes());
    packet[10..12].fill(0);
    let mut sum = checksum::Checksum::new();
    sum.add(&packet[..header_len]);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
}

/// The options of a packet that has been parsed.
pub fn options(packet: &[u8]) -> &[u8] {
    let header_len = usize::from(packet.first().map_or(0, |octet| octet & 15)) * 4;
    packet.get(HEADER_LEN..header_len).unwrap_or_default()
}

/// Writes a header without options for `payload_len` bytes; returns its length (20). With a `fragment`, that decides
/// identification, offset and flags.
pub(super) fn emit(
    header: &IpHeader,
    (source, destination): (Ipv4Addr, Ipv4Addr),
    fragment: Option<Fragment>,
    payload_len: usize,
    buffer: &mut [u8],
) -> usize {
    let total_len = HEADER_LEN + payload_len;
    let (identification, flags_and_offset) = match fragment {
        Some(fragment) => {
            let more = if fragment.more { MORE_FRAGMENTS } else { 0 };
            (fragment.identification as u16, more | (fragment.offset / 8) as u16)
        }
        None => (header.identification, if header.dont_fragment { DONT_FRAGMENT } else { 0 }),
    };
    let mut octets = [0; HEADER_LEN];
    octets[0] = 4 << 4 | (HEADER_LEN / 4) as u8;
    octets[1] = header.traffic_class;
    // What 16 bits cannot say is told as 0, for a device that takes such packets (BIG TCP).
    octets[2..4].copy_from_slice(&u16::try_from(total_len).unwrap_or(0).to_be_bytes());
    octets[4..6].copy_from_slice(&identification.to_be_bytes());
    octets[6..8].copy_from_slice(&flags_and_offset.to_be_bytes());
    octets[8] = header.hop_limit;
    octets[9] = header.protocol;
    octets[12..16].copy_from_slice(&source.octets());
    octets[16..20].copy_from_slice(&destination.octets());
    let mut sum = checksum::Checksum::new();
    sum.add(&octets);
    octets[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    buffer[..HEADER_LEN].copy_from_slice(&octets);
    HEADER_LEN
}
