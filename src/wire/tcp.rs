//! The TCP header (RFC 9293 section 3.1).

use std::fmt;
use std::net::IpAddr;
use std::ops::{BitOr, BitOrAssign};

use etherparse::TcpHeaderSlice;

use super::checksum::{self, Checksum};
use super::option::{self, TcpOptions};
use super::protocol;
use crate::counters::DropReason;

/// Bytes of a TCP header without options.
pub const HEADER_LEN: usize = 20;

/// Bytes of the longest TCP header.
pub const MAX_HEADER_LEN: usize = HEADER_LEN + option::MAX_LEN;

/// Place of the checksum in the header, in bytes: what a device that completes it wants to know.
pub const CHECKSUM_AT: usize = 16;

/// The control bits of a segment, as on the wire: an octet, and the lowest bit of the one before it (RFC 9293 section 3.1, RFC
/// 3168 section 6.1, RFC 9768 section 3.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push: let the application have the data now.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN-echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);
    /// Accurate ECN (RFC 9768).
    pub const AE: Flags = Flags(0x100);

    /// All that there are.
    const ALL: u16 = 0x1FF;

    /// Names in the order of the bits.
    const NAMES: [&'static str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

    /// True if all of `flags` are set.
    pub const fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These flags with all of `flags` cleared.
    pub const fn without(self, flags: Flags) -> Flags {
        Flags(self.0 & !flags.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in Flags::NAMES.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if self.0 == 0 { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A TCP header with its options, without its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Sequence number of the first octet of the segment (of the SYN, if there is one).
    pub seq: u32,
    /// Next sequence number that the sender expects; significant with ACK.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window as on the wire, not scaled.
    pub window: u16,
    /// Urgent pointer; significant with URG.
    pub urgent: u16,
    /// Options that we understand.
    pub options: TcpOptions,
}

/// Parses a segment into its header and its text. The checksum is not looked at: see [`checksum_ok`].
pub fn parse(segment: &[u8]) -> Result<(TcpHeader, &[u8]), DropReason> {
    // 9293-3.1-2: a data offset below 5 or past the end of the segment ends here.
    let slice = TcpHeaderSlice::from_slice(segment).map_err(|_| DropReason::TcpHeader)?;
    let mut options = TcpOptions::default();
    option::parse_into(&mut options, slice.options())?;
    let header = TcpHeader {
        source_port: slice.source_port(),
        destination_port: slice.destination_port(),
        seq: slice.sequence_number(),
        ack: slice.acknowledgment_number(),
        // 9293-3.1-1: the reserved bits stand between the data offset and the flags.
        flags: Flags(u16::from_be_bytes([slice.slice()[12], slice.slice()[13]]) & Flags::ALL),
        window: slice.window_size(),
        urgent: slice.urgent_pointer(),
        options,
    };
    Ok((header, &segment[slice.slice().len()..]))
}

/// True if the checksum of a received segment is right.
pub fn checksum_ok(source: IpAddr, destination: IpAddr, segment: &[u8]) -> bool {
    // 9293-MUST-3: pseudo-header, header, options and text all count.
    checksum::verifies_with_pseudo_header(source, destination, protocol::TCP, segment)
}

/// Bytes that [`emit`] writes: 20 to 60.
pub fn emitted_len(header: &TcpHeader) -> usize {
    HEADER_LEN + option::emitted_len(&header.options)
}

/// Writes the header with its options and a checksum of zero; returns its length. [`fill_checksum`] or
/// [`fill_partial_checksum`] must follow.
pub fn emit(header: &TcpHeader, buffer: &mut [u8]) -> usize {
    let (fixed, rest) = buffer.split_at_mut(HEADER_LEN);
    let length = HEADER_LEN + option::emit(&header.options, rest);
    fixed[0..2].copy_from_slice(&header.source_port.to_be_bytes());
    fixed[2..4].copy_from_slice(&header.destination_port.to_be_bytes());
    fixed[4..8].copy_from_slice(&header.seq.to_be_bytes());
    fixed[8..12].copy_from_slice(&header.ack.to_be_bytes());
    // 9293-3.1-1: the data offset in words is in the upper four bits, the reserved bits below it are zero.
    let offset = ((length / 4) << 12) as u16;
    fixed[12..14].copy_from_slice(&(offset | header.flags.0 & Flags::ALL).to_be_bytes());
    fixed[14..16].copy_from_slice(&header.window.to_be_bytes());
    fixed[16..18].fill(0);
    fixed[18..20].copy_from_slice(&header.urgent.to_be_bytes());
    length
}

/// Completes the checksum of an emitted header whose text consists of the pieces of `payload`.
pub fn fill_checksum(source: IpAddr, destination: IpAddr, header: &mut [u8], payload: &[&[u8]]) {
    // 9293-MUST-2: one function for all segments, with or without text.
    store_checksum(header, 0);
    let mut sum = Checksum::new();
    let length = header.len() + payload.iter().map(|piece| piece.len()).sum::<usize>();
    sum.add_pseudo_header(source, destination, protocol::TCP, length as u32);
    sum.add(header);
    // Most of the pieces are empty, and a call costs as much as a short one.
    payload.iter().filter(|piece| !piece.is_empty()).for_each(|piece| sum.add(piece));
    store_checksum(header, sum.finish());
}

/// Leaves the checksum to the device: stores the sum of the pseudo-header for `payload_len` bytes of text.
pub fn fill_partial_checksum(source: IpAddr, destination: IpAddr, header: &mut [u8], payload_len: usize) {
    let mut sum = Checksum::new();
    sum.add_pseudo_header(source, destination, protocol::TCP, (header.len() + payload_len) as u32);
    store_checksum(header, sum.partial());
}

/// Writes the checksum field.
fn store_checksum(header: &mut [u8], value: u16) {
    header[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&value.to_be_bytes());
}
