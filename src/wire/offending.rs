//! A packet that was refused, as far as a report about it must know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{extension, icmp, ipv4, ipv6};

/// What a report about a refused packet asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offending<'a> {
    /// Whom the report would go to.
    pub source: IpAddr,
    /// Whom the packet was for.
    pub destination: IpAddr,
    /// It is an ICMP error, or may be one: what cannot be read so far, and any later fragment of IPv4 (RFC 1122 section 3.2.2)
    /// or of ICMPv6.
    pub is_error: bool,
    /// The packet, without what stands behind its end: what the report quotes.
    pub packet: &'a [u8],
}

impl<'a> Offending<'a> {
    /// Reads a packet whose fixed header is sound; `None` where it is not.
    pub fn of(bytes: &'a [u8]) -> Option<Offending<'a>> {
        match bytes.first()? >> 4 {
            4 => Offending::v4(bytes),
            6 => Offending::v6(bytes),
            _ => None,
        }
    }

    fn v4(bytes: &'a [u8]) -> Option<Offending<'a>> {
        let header = bytes.first_chunk::<{ ipv4::HEADER_LEN }>()?;
        let address = |at| Some(IpAddr::V4(Ipv4Addr::from(*header.get(at..)?.first_chunk::<4>()?)));
        let packet = bytes.get(..usize::from(u16::from_be_bytes([header[2], header[3]])))?;
        let first = u16::from_be_bytes([header[6], header[7]]) & 0x1FFF == 0;
        let payload = packet.get(usize::from(header[0] & 15) * 4..)?;
        Some(Offending {
            source: address(12)?,
            destination: address(16)?,
            is_error: !first || icmp::is_error(header[9], payload),
            packet,
        })
    }

    fn v6(bytes: &'a [u8]) -> Option<Offending<'a>> {
        let header = bytes.first_chunk::<{ ipv6::HEADER_LEN }>()?;
        let address = |at| Some(IpAddr::V6(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?)));
        let total_len = ipv6::HEADER_LEN + usize::from(u16::from_be_bytes([header[4], header[5]]));
        // What says that it has no length is read as far as it goes.
        let upper_layer =
            extension::upper_layer(if total_len > ipv6::HEADER_LEN { bytes.get(..total_len)? } else { bytes });
        Some(Offending {
            source: address(8)?,
            destination: address(24)?,
            is_error: upper_layer.is_none_or(|(protocol, message)| icmp::is_error(protocol, message)),
            packet: bytes.get(..total_len)?,
        })
    }
}
