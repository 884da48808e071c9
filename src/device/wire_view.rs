//! [`wire_view`]: what a wire would see of a packet that was spared the work of checksums and cutting.

use std::borrow::Cow;

use etherparse::checksum::Sum16BitWords;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Flags in byte 13 of the TCP header.
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// The packets as they are on a wire: the payload cut into pieces of `gso_size` bytes (0: not cut), each with its own
/// header, as a network card does it, and with finished transport checksums if they were partial or the packet was cut.
///
/// A packet that is neither TCP nor UDP, is a fragment or is damaged comes back as it is; so does every packet that
/// needs nothing, without a copy.
pub fn wire_view(packet: &[u8], gso_size: u16, partial_checksum: bool) -> Vec<Cow<'_, [u8]>> {
    if gso_size == 0 && !partial_checksum {
        return vec![Cow::Borrowed(packet)];
    }
    let Some(layout) = Layout::of(packet) else { return vec![Cow::Borrowed(packet)] };
    let (header, payload) = packet.split_at(layout.payload);
    if gso_size == 0 || payload.is_empty() {
        let mut whole = packet.to_vec();
        layout.finish_checksum(&mut whole);
        return vec![Cow::Owned(whole)];
    }
    let pieces = payload.chunks(usize::from(gso_size));
    let last = pieces.len() - 1;
    pieces
        .enumerate()
        .map(|(index, piece)| {
            let mut wire = [header, piece].concat();
            layout.write_lengths(&mut wire, index);
            layout.write_tcp_place(&mut wire, index, index * usize::from(gso_size), index == last);
            layout.finish_checksum(&mut wire);
            Cow::Owned(wire)
        })
        .collect()
}

/// Where the headers are.
pub(super) struct Layout {
    pub(super) ipv4: bool,
    protocol: u8,
    /// Bytes before the transport header.
    pub(super) transport: usize,
    /// Bytes before the payload.
    pub(super) payload: usize,
}

impl Layout {
    pub(super) fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    pub(super) fn is_udp(&self) -> bool {
        self.protocol == UDP
    }

    /// The layout of a packet that can be cut and summed: its transport header is whole.
    pub(super) fn of(packet: &[u8]) -> Option<Layout> {
        let ipv4 = packet.first()? >> 4 == 4;
        let (protocol, transport) = if ipv4 { ipv4_transport(packet)? } else { ipv6_transport(packet)? };
        let payload = transport
            + match protocol {
                TCP => usize::from(packet.get(transport + 12)? >> 4).max(5) * 4,
                UDP => 8,
                _ => return None,
            };
        (payload <= packet.len()).then_some(Layout { ipv4, protocol, transport, payload })
    }

    /// Adapts the lengths of a piece, and the identification and header checksum of IPv4.
    fn write_lengths(&self, wire: &mut [u8], index: usize) {
        let len = wire.len();
        if self.ipv4 {
            wire[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            let identification = u16::from_be_bytes([wire[4], wire[5]]).wrapping_add(index as u16);
            wire[4..6].copy_from_slice(&identification.to_be_bytes());
            wire[10..12].fill(0);
            let sum = Sum16BitWords::new().add_slice(&wire[..self.transport]);
            wire[10..12].copy_from_slice(&sum.ones_complement().to_ne_bytes());
        } else {
            wire[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        }
        if self.protocol == UDP {
            wire[self.transport + 4..][..2].copy_from_slice(&((len - self.transport) as u16).to_be_bytes());
        }
    }

    /// Moves a piece of a TCP segment to its place: the sequence number, and the flags that belong to one end only.
    fn write_tcp_place(&self, wire: &mut [u8], index: usize, bytes_before: usize, last: bool) {
        if self.protocol != TCP {
            return;
        }
        let tcp = &mut wire[self.transport..];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(bytes_before as u32);
        tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
        if !last {
            tcp[13] &= !(FIN | PSH);
        }
        if index > 0 {
            tcp[13] &= !CWR;
        }
    }

    fn finish_checksum(&self, wire: &mut [u8]) {
        let field = self.transport + if self.protocol == TCP { 16 } else { 6 };
        wire[field..field + 2].fill(0);
        let addresses = if self.ipv4 { &wire[12..20] } else { &wire[8..40] };
        let sum = Sum16BitWords::new()
            .add_slice(addresses)
            .add_2bytes([0, self.protocol])
            .add_4bytes(((wire.len() - self.transport) as u32).to_be_bytes())
            .add_slice(&wire[self.transport..])
            .ones_complement();
        // In UDP, 0 would say that there is no checksum.
        let sum = if sum == 0 && self.protocol == UDP { u16::MAX } else { sum };
        wire[field..field + 2].copy_from_slice(&sum.to_ne_bytes());
    }
}

/// Protocol and place of the transport header; nothing for a fragment, whose checksum is that of the whole datagram.
fn ipv4_transport(packet: &[u8]) -> Option<(u8, usize)> {
    let header_len = usize::from(packet[0] & 0x0f) * 4;
    let header = packet.get(..header_len.max(20))?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    (!fragment).then_some((header[9], header.len()))
}

/// The same for IPv6, behind those extension headers that do not change the payload.
fn ipv6_transport(packet: &[u8]) -> Option<(u8, usize)> {
    const HOP_BY_HOP: u8 = 0;
    const DESTINATION: u8 = 60;
    let mut next = *packet.get(..40)?.get(6)?;
    let mut at = 40;
    while matches!(next, HOP_BY_HOP | DESTINATION) {
        next = *packet.get(at)?;
        at += (usize::from(*packet.get(at + 1)?) + 1) * 8;
    }
    Some((next, at))
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, SlicedPacket, TcpOptionElement, TransportSlice};

    use super::*;

    const GSO_SIZE: u16 = 1000;

    /// A TCP segment with FIN, PSH, CWR and an option, whose checksum is of no use.
    fn super_segment(ipv4: bool, payload: &[u8]) -> Vec<u8> {
        let mut header = etherparse::TcpHeader::new(80, 4000, u32::MAX - 1499, 8192);
        header.acknowledgment_number = 77;
        (header.ack, header.psh, header.fin, header.cwr) = (true, true, true, true);
        header.set_options(&[TcpOptionElement::Timestamp(1, 2)]).unwrap();
        let builder = if ipv4 {
            PacketBuilder::ip(etherparse::IpHeaders::Ipv4(
                etherparse::Ipv4Header {
                    identification: u16::MAX,
                    time_to_live: 64,
                    protocol: etherparse::IpNumber::TCP,
                    source: [10, 0, 0, 1],
                    destination: [10, 0, 0, 2],
                    ..Default::default()
                },
                Default::default(),
            ))
        } else {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        };
        let mut packet = Vec::new();
        builder.tcp_header(header).write(&mut packet, payload).unwrap();
        let transport = if ipv4 { 20 } else { 40 };
        packet[transport + 16..transport + 18].copy_from_slice(&[0xde, 0xad]);
        packet
    }

    /// Checks lengths and checksums by the parser, and gives header and payload.
    fn parse(wire: &[u8]) -> (etherparse::TcpHeader, Vec<u8>, Option<u16>) {
        let sliced = SlicedPacket::from_ip(wire).expect("the lengths agree");
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
        let header = tcp.to_header();
        let mut identification = None;
        match sliced.net.as_ref().unwrap() {
            etherparse::NetSlice::Ipv4(ip) => {
                let ip = ip.header();
                assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
                assert_eq!(usize::from(ip.total_len()), wire.len());
                assert_eq!(header.checksum, tcp.calc_checksum_ipv4(ip.source(), ip.destination()).unwrap());
                identification = Some(ip.identification());
            }
            etherparse::NetSlice::Ipv6(ip) => {
                let ip = ip.header();
                assert_eq!(usize::from(ip.payload_length()) + 40, wire.len());
                assert_eq!(header.checksum, tcp.calc_checksum_ipv6(ip.source(), ip.destination()).unwrap());
            }
            other => panic!("{other:?}"),
        }
        (header, tcp.payload().to_vec(), identification)
    }

    #[test]
    fn a_super_segment_is_cut_as_a_card_cuts_it() {
        let payload: Vec<u8> = (0..2500u32).map(|byte| byte as u8).collect();
        for ipv4 in [true, false] {
            let packet = super_segment(ipv4, &payload);
            let wires: Vec<_> = wire_view(&packet, GSO_SIZE, true).iter().map(|wire| parse(wire)).collect();
            assert_eq!(wires.iter().map(|(_, payload, _)| payload.len()).collect::<Vec<_>>(), [1000, 1000, 500]);
            assert_eq!(wires.iter().flat_map(|(_, payload, _)| payload.clone()).collect::<Vec<_>>(), payload);
            let sequence: Vec<u32> = wires.iter().map(|(tcp, ..)| tcp.sequence_number).collect();
            assert_eq!(sequence, [u32::MAX - 1499, u32::MAX - 499, 500], "wraps around");
            let flags: Vec<_> = wires.iter().map(|(tcp, ..)| (tcp.cwr, tcp.psh, tcp.fin, tcp.ack)).collect();
            let expected = [(true, false, false, true), (false, false, false, true), (false, true, true, true)];
            assert_eq!(flags, expected);
            assert!(wires.iter().all(|(tcp, ..)| tcp.options.len() == 12 && tcp.acknowledgment_number == 77));
            if ipv4 {
                let identification: Vec<_> = wires.iter().map(|(_, _, id)| id.unwrap()).collect();
                assert_eq!(identification, [65_535, 0, 1]);
            }
        }
    }

    #[test]
    fn a_partial_checksum_is_finished_and_nothing_else_changes() {
        for ipv4 in [true, false] {
            let packet = super_segment(ipv4, b"odd");
            let wires = wire_view(&packet, 0, true);
            let (tcp, payload, _) = parse(&wires[0]);
            assert!(wires.len() == 1 && payload == b"odd" && tcp.cwr && tcp.fin);
            assert_eq!(wire_view(&packet, GSO_SIZE, true), wires, "it is small enough already");
            assert_eq!(packet.iter().zip(wires[0].iter()).filter(|(a, b)| a != b).count(), 2);
        }
    }

    #[test]
    fn datagrams_are_cut_too() {
        let mut packet = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(1, 2).write(&mut packet, &[9; 1500]).unwrap();
        let wires = wire_view(&packet, GSO_SIZE, true);
        assert_eq!(wires.len(), 2);
        for (wire, len) in wires.iter().zip([1000, 500]) {
            let sliced = SlicedPacket::from_ip(wire).unwrap();
            let Some(TransportSlice::Udp(udp)) = &sliced.transport else { panic!("not UDP") };
            let header = udp.to_header();
            assert_eq!((usize::from(header.length), udp.payload().len()), (len + 8, len));
            let ip = etherparse::Ipv6HeaderSlice::from_slice(wire).unwrap();
            assert_eq!(header.checksum, header.calc_checksum_ipv6(&ip.to_header(), udp.payload()).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_cut_comes_back_as_it_is() {
        let packet = super_segment(true, &[0; 2000]);
        assert!(matches!(wire_view(&packet, 0, false)[..], [Cow::Borrowed(whole)] if whole == packet));
        for len in 0..52 {
            assert_eq!(wire_view(&packet[..len], GSO_SIZE, true), [&packet[..len]], "cut at {len}");
        }
        let mut fragment = packet.clone();
        fragment[6] |= 0x20;
        assert_eq!(wire_view(&fragment, GSO_SIZE, true), [fragment.as_slice()]);
        let mut icmp = packet.clone();
        icmp[9] = 1;
        assert_eq!(wire_view(&icmp, GSO_SIZE, true), [icmp.as_slice()]);
    }
}
