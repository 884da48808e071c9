//! The packet that an ICMP error quotes: one of ours, cut short and perhaps changed on its way.

use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};

use super::icmp::{self, Echo};
use super::{extension, protocol};

/// Octets after the IP header that every quotation has (RFC 792, RFC 4443 section 2.4 (c)).
pub const MIN_TRANSPORT_LEN: usize = 8;

/// What a quotation tells about the packet that an ICMP error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source of the quoted packet: an address of ours, unless the error is forged.
    pub source: IpAddr,
    /// Destination of the quoted packet.
    pub destination: IpAddr,
    /// Protocol after all extension headers.
    pub protocol: u8,
    /// Source port of TCP and UDP; 0 for other protocols.
    pub source_port: u16,
    /// Destination port of TCP and UDP; 0 for other protocols.
    pub destination_port: u16,
    /// Sequence number of TCP.
    pub seq: Option<u32>,
    /// The first octets of the transport header, for protocols without ports.
    pub transport: [u8; MIN_TRANSPORT_LEN],
}

impl Quoted {
    /// The echo request that was quoted, if it was one; its data is not there.
    pub fn echo_request(&self) -> Option<Echo<'static>> {
        let [kind, code, _, _, a, b, c, d] = self.transport;
        let identifier = u16::from_be_bytes([a, b]);
        let request =
            self.protocol == icmp::protocol_for(self.source) && icmp::is_echo_request(self.source, kind, code);
        request.then_some(Echo { identifier, sequence: u16::from_be_bytes([c, d]), data: &[] })
    }
}

/// Parses a quotation; `None` unless it is IPv4 or IPv6 and holds the first octets of a transport header.
///
/// Lengths and checksums are not judged: routers change the TTL, some hosts the byte order of the total length, and all
/// of them cut. A quoted IPv6 packet with extension headers that a host would refuse is not one that we sent.
pub fn parse(quotation: &[u8]) -> Option<Quoted> {
    let (source, destination, protocol, transport_at) = match quotation.first()? >> 4 {
        4 => ipv4(quotation)?,
        6 => ipv6(quotation)?,
        _ => return None,
    };
    let transport = *quotation.get(transport_at..)?.first_chunk::<MIN_TRANSPORT_LEN>()?;
    let [a, b, c, d, e, f, g, h] = transport;
    // 1122-3.2.2-4: the quoted protocol number decides what the octets mean.
    let (source_port, destination_port) = match protocol {
        protocol::TCP | protocol::UDP => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        _ => (0, 0),
    };
    let seq = (protocol == protocol::TCP).then_some(u32::from_be_bytes([e, f, g, h]));
    Some(Quoted { source, destination, protocol, source_port, destination_port, seq, transport })
}

/// Addresses, protocol and place of the transport header of a quoted IPv4 packet that is no later fragment.
fn ipv4(quotation: &[u8]) -> Option<(IpAddr, IpAddr, u8, usize)> {
    let header = Ipv4HeaderSlice::from_slice(quotation).ok()?;
    let first = header.fragments_offset().value() == 0;
    let addresses = (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
    first.then_some((addresses.0, addresses.1, header.protocol().0, header.slice().len()))
}

/// The same of a quoted IPv6 packet.
fn ipv6(quotation: &[u8]) -> Option<(IpAddr, IpAddr, u8, usize)> {
    let header = Ipv6HeaderSlice::from_slice(quotation).ok()?;
    let chain = extension::walk(header.next_header().0, quotation).ok()?;
    let first = chain.fragment.is_none_or(|fragment| fragment.offset == 0);
    let addresses = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
    first.then_some((addresses.0, addresses.1, chain.protocol, chain.payload_at))
}
