//! UDP (RFC 768; over IPv6 RFC 8200 section 8.1).

use std::net::IpAddr;

use etherparse::UdpHeaderSlice;

use super::checksum::{self, Checksum};
use super::protocol;
use crate::counters::DropReason;

/// Bytes of a UDP header.
pub const HEADER_LEN: usize = 8;

/// Bytes from the start of the header to its checksum field.
pub const CHECKSUM_OFFSET: u16 = 6;

/// A UDP header without length and checksum, which follow from the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct UdpHeader {
    /// Port of the sender; 0 if it expects no answer.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
}

/// Parses the payload of an IP packet into a UDP header and its data. With `verify` the checksum is computed; without,
/// the device vouches for it.
pub fn parse(
    source: IpAddr,
    destination: IpAddr,
    payload: &[u8],
    verify: bool,
) -> Result<(UdpHeader, &[u8]), DropReason> {
    let header = UdpHeaderSlice::from_slice(payload).map_err(|_| DropReason::UdpLength)?;
    // 768-1: the length field, header included, decides; what IP carries beyond it is ignored.
    let datagram = payload.get(..usize::from(header.length())).ok_or(DropReason::UdpLength)?;
    let data = datagram.get(HEADER_LEN..).ok_or(DropReason::UdpLength)?;
    let sound = match (header.checksum(), destination) {
        // 768-3: over IPv4 a checksum of zero means that the sender made none.
        (0, IpAddr::V4(_)) => true,
        // 8200-8.1-2: over IPv6 there is no such choice, whatever the device says.
        (0, IpAddr::V6(_)) => false,
        // 1122-4.1.3.4-1: any other checksum has to be right.
        _ => !verify || checksum::verifies_with_pseudo_header(source, destination, protocol::UDP, datagram),
    };
    if !sound {
        return Err(DropReason::UdpChecksum);
    }
    Ok((UdpHeader { source_port: header.source_port(), destination_port: header.destination_port() }, data))
}

/// Writes the header for `data`, which is not copied, with its checksum; returns its length (8).
pub fn emit(source: IpAddr, destination: IpAddr, header: &UdpHeader, data: &[u8], buffer: &mut [u8]) -> usize {
    let length = HEADER_LEN + data.len();
    debug_assert!(length <= usize::from(u16::MAX), "{} bytes do not fit into one datagram", data.len());
    let mut octets = [0; HEADER_LEN];
    octets[0..2].copy_from_slice(&header.source_port.to_be_bytes());
    octets[2..4].copy_from_slice(&header.destination_port.to_be_bytes());
    octets[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    // 1122-4.1.3.4-1: a checksum is always made.
    let mut sum = Checksum::new();
    sum.add_pseudo_header(source, destination, protocol::UDP, length as u32);
    sum.add(&octets);
    sum.add(data);
    // 768-2, 8200-8.1-2: zero would say "none"; all ones is the same number in one's complement.
    let value = if sum.finish() == 0 { 0xFFFF } else { sum.finish() };
    octets[6..8].copy_from_slice(&value.to_be_bytes());
    buffer[..HEADER_LEN].copy_from_slice(&octets);
    HEADER_LEN
}

/// Writes the header for `len` octets of data whose checksum the device completes: the field holds the sum of the
/// pseudo-header. Returns its length (8).
pub fn emit_partial(source: IpAddr, destination: IpAddr, header: &UdpHeader, len: usize, buffer: &mut [u8]) -> usize {
    let length = HEADER_LEN + len;
    debug_assert!(length <= usize::from(u16::MAX), "{len} bytes do not fit into one datagram");
    let mut sum = Checksum::new();
    sum.add_pseudo_header(source, destination, protocol::UDP, length as u32);
    let words = [header.source_port, header.destination_port, length as u16, sum.partial()];
    for (field, word) in buffer[..HEADER_LEN].chunks_exact_mut(2).zip(words) {
        field.copy_from_slice(&word.to_be_bytes());
    }
    HEADER_LEN
}
