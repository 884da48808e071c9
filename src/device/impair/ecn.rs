//! Congestion experienced: a queue marks a packet instead of dropping it (RFC 3168 section 5).

/// The two bits of ECN in the TOS octet or traffic class.
const ECN: u8 = 0b11;

/// Sets CE on a packet whose sender knows ECN; false where it does not, or where this is no IP packet.
pub(super) fn mark(packet: &mut [u8]) -> bool {
    match packet.first().map(|octet| octet >> 4) {
        Some(4) if packet.len() >= 20 && packet[1] & ECN != 0 => {
            let before = u16::from_be_bytes([packet[0], packet[1]]);
            packet[1] |= ECN;
            let after = u16::from_be_bytes([packet[0], packet[1]]);
            // The header's checksum follows by the difference (RFC 1624).
            let old = u16::from_be_bytes([packet[10], packet[11]]);
            let sum = u32::from(!old) + u32::from(!before) + u32::from(after);
            let folded = (sum & 0xffff) + (sum >> 16);
            let folded = (folded & 0xffff) + (folded >> 16);
            packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
            true
        }
        // The traffic class lies across the first two octets.
        Some(6) if packet.len() >= 40 && packet[1] >> 4 & ECN != 0 => {
            packet[1] |= ECN << 4;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, IpHeader};

    #[test]
    fn a_marked_packet_is_sound_and_only_ecn_senders_are_marked() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            for ecn in [0, 1, 2, 3] {
                let header = IpHeader {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                    protocol: 6,
                    hop_limit: 64,
                    traffic_class: 0x28 | ecn,
                    identification: 7,
                    dont_fragment: true,
                };
                let mut packet = vec![0; 60];
                wire::emit_ip(&header, 20, &mut packet);
                assert_eq!(mark(&mut packet), ecn != 0, "{source} {ecn}");
                let parsed = wire::parse_ip(&packet).unwrap();
                assert_eq!(parsed.traffic_class, if ecn == 0 { 0x28 } else { 0x2b });
            }
        }
        assert!(!mark(&mut []) && !mark(&mut [0x45, 3]) && !mark(&mut [0x60; 39]));
    }
}
