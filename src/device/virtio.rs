//! [`VirtioHeader`]: what stands before each packet of an offload TUN (`struct virtio_net_hdr`, virtio 1.2 section 5.1.6),
//! between its bytes, [`RxMeta`] and [`TxMeta`].
//!
//! ```text
//!  byte  0      1         2        4         6           8
//!        flags  gso_type  hdr_len  gso_size  csum_start  csum_offset     10 bytes, numbers in little endian
//! ```
//!
//! A TUN has the byte order of the machine unless it is told otherwise. It is told: `TUNSETVNETLE` sets little endian, as in
//! all of virtio since version 1.

use super::wire_view::Layout;
use super::{RxChecksum, RxMeta, TxChecksum, TxMeta};

/// Bytes of the header: the first version, without the field for merged buffers.
pub const HEADER_LEN: usize = 10;

/// In [`VirtioHeader::flags`]: the checksum is not finished; `csum_start` and `csum_offset` say where it goes.
pub const NEEDS_CSUM: u8 = 1;
/// In [`VirtioHeader::flags`]: the checksum was verified by a network card.
pub const DATA_VALID: u8 = 2;

/// In [`VirtioHeader::gso_type`]: a packet as on a wire.
pub const GSO_NONE: u8 = 0;
/// In [`VirtioHeader::gso_type`]: TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// In [`VirtioHeader::gso_type`]: TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// In [`VirtioHeader::gso_type`]: UDP over either, cut into datagrams of their own.
pub const GSO_UDP_L4: u8 = 5;
/// Beside a type of TCP in [`VirtioHeader::gso_type`]: CWR belongs to the first segment alone.
pub const GSO_ECN: u8 = 0x80;

/// Bytes from the transport header to its checksum field.
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

/// The header, by its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioHeader {
    /// [`NEEDS_CSUM`], [`DATA_VALID`] or neither.
    pub flags: u8,
    /// [`GSO_NONE`] or one of the others.
    pub gso_type: u8,
    /// Bytes of all headers; a hint for whoever copies.
    pub hdr_len: u16,
    /// Bytes of payload in each wire segment.
    pub gso_size: u16,
    /// Bytes before the transport header.
    pub csum_start: u16,
    /// Bytes from there to the checksum field.
    pub csum_offset: u16,
}

impl VirtioHeader {
    /// The header as it goes before a packet.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [hdr_len, gso_size] = [self.hdr_len.to_le_bytes(), self.gso_size.to_le_bytes()];
        let [start, offset] = [self.csum_start.to_le_bytes(), self.csum_offset.to_le_bytes()];
        let [a, b] = [self.flags, self.gso_type];
        [a, b, hdr_len[0], hdr_len[1], gso_size[0], gso_size[1], start[0], start[1], offset[0], offset[1]]
    }

    /// The fields of a header that came with a packet.
    pub const fn from_bytes(bytes: [u8; HEADER_LEN]) -> VirtioHeader {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = bytes;
        VirtioHeader {
            flags,
            gso_type,
            hdr_len: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            csum_start: u16::from_le_bytes([e, f]),
            csum_offset: u16::from_le_bytes([g, h]),
        }
    }

    /// What a received header says of its packet, where it agrees with the packet. Where it does not, nothing is vouched
    /// for, so the stack verifies the checksum itself and drops a packet that would have needed the header.
    pub fn receive_meta(&self, packet: &[u8]) -> RxMeta {
        let plain = RxMeta::plain(packet.len());
        if self.flags & (NEEDS_CSUM | DATA_VALID) == 0 && self.gso_type == GSO_NONE {
            return plain;
        }
        let Some(layout) = Layout::of(packet) else { return plain };
        let Some(gso_size) = self.received_gso_size(&layout) else { return plain };
        let checksum = if self.flags & NEEDS_CSUM == 0 {
            if self.flags & DATA_VALID == 0 { RxChecksum::Unverified } else { RxChecksum::Verified }
        } else if usize::from(self.csum_start) == layout.transport && self.csum_offset == checksum_offset(&layout) {
            // `Layout::of` has found the whole transport header inside the packet, and so the checksum field.
            RxChecksum::Partial
        } else {
            return plain;
        };
        RxMeta { checksum, gso_size, ..plain }
    }

    /// Bytes of payload in each wire segment, 0 for a packet as on a wire; nothing where type, size and packet do not agree.
    fn received_gso_size(&self, layout: &Layout) -> Option<u16> {
        let tcp = if layout.ipv4 { GSO_TCPV4 } else { GSO_TCPV6 };
        match (self.gso_type, self.gso_size) {
            (GSO_NONE, _) => Some(0),
            (_, 0) => None,
            (GSO_UDP_L4, size) => layout.is_udp().then_some(size),
            (gso_type, size) => (layout.is_tcp() && gso_type & !GSO_ECN == tcp).then_some(size),
        }
    }

    /// The header for a packet of `len` bytes to send over IPv6 or IPv4. Nothing where the kernel could not do what is asked:
    /// it cuts only packets of TCP and UDP whose checksum is left to it as well.
    pub fn for_transmit(ipv6: bool, len: usize, meta: &TxMeta) -> Option<VirtioHeader> {
        let mut header = VirtioHeader { hdr_len: meta.header_len, ..VirtioHeader::default() };
        let TxChecksum::Partial { start, offset } = meta.checksum else {
            return (meta.gso_size == 0).then_some(header);
        };
        (header.flags, header.csum_start, header.csum_offset) = (NEEDS_CSUM, start, offset);
        // The kernel counts TCP options as text where it judges whether there is anything to cut, and then drops what it
        // cannot cut.
        let text = len.saturating_sub(usize::from(meta.header_len));
        if meta.gso_size > 0 && text > usize::from(meta.gso_size) {
            header.gso_size = meta.gso_size;
            header.gso_type = match (offset, ipv6) {
                (TCP_CHECKSUM, false) => GSO_TCPV4,
                (TCP_CHECKSUM, true) => GSO_TCPV6,
                (UDP_CHECKSUM, _) => GSO_UDP_L4,
                _ => return None,
            };
            if meta.ecn && offset == TCP_CHECKSUM {
                header.gso_type |= GSO_ECN;
            }
        }
        Some(header)
    }
}

fn checksum_offset(layout: &Layout) -> u16 {
    if layout.is_tcp() { TCP_CHECKSUM } else { UDP_CHECKSUM }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::super::wire_view::wire_view;
    use super::*;

    fn tcp(ipv6: bool, payload: usize) -> Vec<u8> {
        let mut packet = Vec::new();
        let payload = vec![1; payload];
        if ipv6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(80, 4000, 1, 1000).write(&mut packet, &payload).unwrap();
        } else {
            PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(80, 4000, 1, 1000).write(&mut packet, &payload).unwrap();
        }
        packet
    }

    fn udp(ipv6: bool) -> Vec<u8> {
        let mut packet = Vec::new();
        if ipv6 {
            PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(80, 4000).write(&mut packet, &[1; 3000]).unwrap();
        } else {
            PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(80, 4000).write(&mut packet, &[1; 3000]).unwrap();
        }
        packet
    }

    fn header(flags: u8, gso_type: u8, gso_size: u16, csum_start: u16, csum_offset: u16) -> VirtioHeader {
        VirtioHeader { flags, gso_type, hdr_len: 0, gso_size, csum_start, csum_offset }
    }

    #[test]
    fn the_bytes_are_those_of_the_kernel() {
        // As a TUN gave them for a packet of 200,000 octets of text by TCP over IPv4.
        let bytes = [1, 1, 40, 0, 0xb4, 0x05, 20, 0, 16, 0];
        let fields = VirtioHeader { hdr_len: 40, ..header(NEEDS_CSUM, GSO_TCPV4, 1460, 20, 16) };
        assert_eq!(VirtioHeader::from_bytes(bytes), fields);
        assert_eq!(fields.to_bytes(), bytes);
        let numbers: [u8; HEADER_LEN] = std::array::from_fn(|n| n as u8 + 200);
        assert_eq!(VirtioHeader::from_bytes(numbers).to_bytes(), numbers, "no byte is lost");
    }

    #[test]
    fn what_a_sound_header_vouches_for() {
        let partial = |gso_size| (RxChecksum::Partial, gso_size);
        for (header, packet, expected) in [
            (header(0, GSO_NONE, 0, 0, 0), tcp(false, 100), (RxChecksum::Unverified, 0)),
            (header(DATA_VALID, GSO_NONE, 0, 0, 0), tcp(false, 100), (RxChecksum::Verified, 0)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 20, 16), tcp(false, 0), partial(0)),
            (header(NEEDS_CSUM | DATA_VALID, GSO_NONE, 0, 20, 16), tcp(false, 9), partial(0)),
            (header(NEEDS_CSUM, GSO_NONE, 7, 40, 16), tcp(true, 9), partial(0)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 20, 6), udp(false), partial(0)),
            (header(NEEDS_CSUM, GSO_TCPV4, 1460, 20, 16), tcp(false, 65_495), partial(1460)),
            (header(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 1460, 20, 16), tcp(false, 3000), partial(1460)),
            (header(NEEDS_CSUM, GSO_TCPV6, 1440, 40, 16), tcp(true, 3000), partial(1440)),
            (header(NEEDS_CSUM, GSO_TCPV6 | GSO_ECN, 1440, 40, 16), tcp(true, 3000), partial(1440)),
            (header(NEEDS_CSUM, GSO_UDP_L4, 1200, 20, 6), udp(false), partial(1200)),
            (header(NEEDS_CSUM, GSO_UDP_L4, 1200, 40, 6), udp(true), partial(1200)),
            // As a card merges them.
            (header(DATA_VALID, GSO_TCPV4, 1460, 0, 0), tcp(false, 3000), (RxChecksum::Verified, 1460)),
        ] {
            let meta = header.receive_meta(&packet);
            assert_eq!((meta.checksum, meta.gso_size), expected, "{header:?}");
            assert_eq!(meta.len, packet.len());
        }
    }

    #[test]
    fn a_header_that_does_not_fit_its_packet_vouches_for_nothing() {
        for (header, packet) in [
            // A checksum somewhere else, or outside.
            (header(NEEDS_CSUM, GSO_NONE, 0, 24, 16), tcp(false, 100)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 20, 6), tcp(false, 100)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 20, 16), udp(false)),
            (header(NEEDS_CSUM, GSO_NONE, 0, 65_535, 65_535), tcp(false, 100)),
            (header(NEEDS_CSUM, GSO_TCPV4, 1460, 0, 0), tcp(false, 3000)),
            // No size, or a type that is unknown, not ours or of something else.
            (header(NEEDS_CSUM, GSO_TCPV4, 0, 20, 16), tcp(false, 3000)),
            (header(NEEDS_CSUM, GSO_TCPV6, 1460, 20, 16), tcp(false, 3000)),
            (header(NEEDS_CSUM, GSO_TCPV4, 1460, 40, 16), tcp(true, 3000)),
            (header(NEEDS_CSUM, GSO_UDP_L4, 1460, 20, 16), tcp(false, 3000)),
            (header(NEEDS_CSUM, GSO_TCPV4, 1460, 20, 6), udp(false)),
            (header(NEEDS_CSUM, GSO_UDP_L4 | GSO_ECN, 1460, 20, 6), udp(false)),
            (header(NEEDS_CSUM, 3, 1460, 20, 6), udp(false)),
            (header(DATA_VALID, 0x7f, 1460, 0, 0), tcp(false, 3000)),
            (header(DATA_VALID, GSO_ECN, 1460, 0, 0), tcp(false, 3000)),
        ] {
            assert_eq!(header.receive_meta(&packet), RxMeta::plain(packet.len()), "{header:?}");
        }
        // Packets that end too soon, and fragments.
        let vouching = header(NEEDS_CSUM, GSO_TCPV4, 1460, 20, 16);
        let packet = tcp(false, 3000);
        for len in 0..40 {
            assert_eq!(vouching.receive_meta(&packet[..len]), RxMeta::plain(len));
        }
        let mut fragment = packet;
        fragment[6] |= 0x20;
        assert_eq!(vouching.receive_meta(&fragment), RxMeta::plain(fragment.len()));
    }

    #[test]
    fn what_is_asked_of_the_kernel() {
        let tcp = |start| TxChecksum::Partial { start, offset: 16 };
        let udp = TxChecksum::Partial { start: 20, offset: 6 };
        let meta = |checksum, gso_size, ecn| TxMeta { checksum, gso_size, header_len: 52, ecn };
        let with_len = |header| VirtioHeader { hdr_len: 52, ..header };
        assert_eq!(VirtioHeader::for_transmit(false, 40, &TxMeta::default()), Some(VirtioHeader::default()));
        for (ipv6, meta, expected) in [
            (false, meta(tcp(20), 0, false), header(NEEDS_CSUM, GSO_NONE, 0, 20, 16)),
            (false, meta(tcp(20), 0, true), header(NEEDS_CSUM, GSO_NONE, 0, 20, 16)),
            (false, meta(tcp(20), 1448, false), header(NEEDS_CSUM, GSO_TCPV4, 1448, 20, 16)),
            (false, meta(tcp(20), 1448, true), header(NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 1448, 20, 16)),
            (true, meta(tcp(40), 1428, false), header(NEEDS_CSUM, GSO_TCPV6, 1428, 40, 16)),
            (true, meta(tcp(40), 1428, true), header(NEEDS_CSUM, GSO_TCPV6 | GSO_ECN, 1428, 40, 16)),
            (false, meta(udp, 1200, true), header(NEEDS_CSUM, GSO_UDP_L4, 1200, 20, 6)),
            (true, meta(udp, 1200, false), header(NEEDS_CSUM, GSO_UDP_L4, 1200, 20, 6)),
        ] {
            assert_eq!(VirtioHeader::for_transmit(ipv6, 52 + 1449, &meta), Some(with_len(expected)), "{meta:?}");
            let whole = with_len(VirtioHeader { gso_type: GSO_NONE, gso_size: 0, ..expected });
            let short = 52 + usize::from(meta.gso_size);
            assert_eq!(VirtioHeader::for_transmit(ipv6, short, &meta), Some(whole), "nothing to cut: {meta:?}");
        }
        let elsewhere = TxChecksum::Partial { start: 20, offset: 2 };
        for impossible in [meta(TxChecksum::Complete, 1448, false), meta(elsewhere, 1448, false)] {
            assert_eq!(VirtioHeader::for_transmit(false, 3_000, &impossible), None, "{impossible:?}");
        }
    }

    proptest::proptest! {
        /// Any header before any packet: what is vouched for lies inside the packet, and cutting by it loses nothing.
        #[test]
        fn no_header_is_trusted_further_than_its_packet(
            bytes: [u8; HEADER_LEN],
            (flags, gso_type, at_transport) in (0..4_u8, 0..6_u8, proptest::bool::ANY),
            (ipv6, is_udp) in (proptest::bool::ANY, proptest::bool::ANY),
            (len, changed, value) in (0..1_000_usize, 0..80_usize, proptest::num::u8::ANY),
        ) {
            let mut packet = if is_udp { udp(ipv6) } else { tcp(ipv6, 900) };
            packet.truncate(len);
            if let Some(byte) = packet.get_mut(changed) {
                *byte = value;
            }
            let mut header = VirtioHeader { flags, gso_type, ..VirtioHeader::from_bytes(bytes) };
            if at_transport {
                (header.csum_start, header.csum_offset) = (if ipv6 { 40 } else { 20 }, if is_udp { 6 } else { 16 });
            }
            let meta = header.receive_meta(&packet);
            proptest::prop_assert_eq!(meta.len, packet.len());
            if meta.checksum == RxChecksum::Partial {
                let field = usize::from(header.csum_start) + usize::from(header.csum_offset);
                proptest::prop_assert!(flags & NEEDS_CSUM != 0 && field + 2 <= packet.len());
            }
            proptest::prop_assert!(meta.gso_size == 0 || gso_type != GSO_NONE && meta.gso_size == header.gso_size);
            let wires = wire_view(&packet, meta.gso_size, meta.checksum == RxChecksum::Partial);
            let headers = Layout::of(&packet).map_or(packet.len(), |layout| layout.payload);
            let text: usize = wires.iter().map(|wire| wire.len() - headers).sum();
            proptest::prop_assert_eq!(text, packet.len() - headers);
        }
    }
}
