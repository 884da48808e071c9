//! Datagrams cut to pieces as no honest stack would, and put together without asking for anything.

use super::fix_ipv4;

/// A way of cutting: with this identification.
pub struct Cut {
    identification: u32,
}

impl Cut {
    pub fn new(identification: u32) -> Cut {
        Cut { identification }
    }

    /// The pieces `(offset, len)` of a packet without IP options or extension headers; those at its end are the last.
    pub fn apply(&self, packet: &[u8], pieces: &[(usize, usize)]) -> Vec<Vec<u8>> {
        let len = packet.len() - header_len(packet);
        pieces.iter().map(|&(offset, size)| self.piece(packet, offset, size, offset + size < len)).collect()
    }

    /// One piece of it; beyond its end there are zeros.
    pub fn piece(&self, packet: &[u8], offset: usize, len: usize, more: bool) -> Vec<u8> {
        let header = header_len(packet);
        let mut cut = packet[..header].to_vec();
        let mut payload = packet[header..].to_vec();
        payload.resize(payload.len().max(offset + len), 0);
        cut.extend_from_slice(&payload[offset..offset + len]);
        self.at(&cut, offset, len, more)
    }

    /// The first `len` octets of the payload as if they lay at `offset`.
    pub fn at(&self, packet: &[u8], offset: usize, len: usize, more: bool) -> Vec<u8> {
        let header = header_len(packet);
        let mut bytes = packet[..header + len].to_vec();
        if header == 20 {
            let total = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&total);
            bytes[4..6].copy_from_slice(&(self.identification as u16).to_be_bytes());
            let place = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
            bytes[6..8].copy_from_slice(&place.to_be_bytes());
            fix_ipv4(&mut bytes);
            return bytes;
        }
        let mut fragment_header = vec![bytes[6], 0];
        fragment_header.extend((offset as u16 | u16::from(more)).to_be_bytes());
        fragment_header.extend(self.identification.to_be_bytes());
        bytes[6] = 44;
        bytes[4..6].copy_from_slice(&(len as u16 + 8).to_be_bytes());
        bytes.splice(40..40, fragment_header);
        bytes
    }
}

fn header_len(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 6 { 40 } else { 20 }
}

/// Pieces of equal length, the last one shorter.
pub fn even(packet: &[u8], size: usize) -> Vec<(usize, usize)> {
    let len = packet.len() - header_len(packet);
    (0..len).step_by(size).map(|offset| (offset, size.min(len - offset))).collect()
}

/// Sets the ECN codepoint of a packet.
pub fn mark(packet: &mut [u8], ecn: u8) {
    if packet[0] >> 4 == 6 {
        packet[1] = packet[1] & 0xCF | ecn << 4;
    } else {
        packet[1] = packet[1] & 0xFC | ecn;
        fix_ipv4(packet);
    }
}

/// The datagram whose fragments, in order, these packets are; a whole packet is itself.
pub fn assemble(packets: &[Vec<u8>]) -> Option<Vec<u8>> {
    let first = packets.first()?;
    let v6 = first[0] >> 4 == 6;
    if packets.len() == 1 {
        return Some(first.clone());
    }
    let mut whole = first[..header_len(first)].to_vec();
    for (number, packet) in packets.iter().enumerate() {
        let (place, same, body) = if v6 {
            let place = u16::from_be_bytes([packet[42], packet[43]]);
            (((place & 0xFFF8) as usize, place & 1 == 1), packet[44..48] == first[44..48] && packet[6] == 44, 48)
        } else {
            let place = u16::from_be_bytes([packet[6], packet[7]]);
            // Neither the reserved bit nor DF.
            assert_eq!(place & 0xC000, 0);
            ((usize::from(place & 0x1FFF) * 8, place & 0x2000 != 0), packet[4..6] == first[4..6], 20)
        };
        let more = number + 1 < packets.len();
        if !same || place != (whole.len() - header_len(first), more) || more && (packet.len() - body) % 8 != 0 {
            return None;
        }
        whole.extend_from_slice(&packet[body..]);
    }
    let len = whole.len();
    if v6 {
        whole[6] = first[40];
        whole[4..6].copy_from_slice(&u16::try_from(len - 40).ok()?.to_be_bytes());
    } else {
        whole[2..4].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        whole[6..8].fill(0);
        fix_ipv4(&mut whole);
    }
    Some(whole)
}
