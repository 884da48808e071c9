//! Link types: where the IP packet begins in what was captured.
//!
//! | type | what stands before the packet |
//! |---|---|
//! | 101, 12, 14 (RAW), 228 (IPv4), 229 (IPv6) | nothing |
//! | 1 (Ethernet) | addresses and EtherType, with any VLAN tags |
//! | 113, 276 (Linux cooked, versions 1 and 2: `tcpdump -i any`) | 16 or 20 octets |
//! | 0 (BSD loopback), 108 (OpenBSD loopback) | the address family, in some byte order |

use std::fmt;

use crate::device::pcapng::Direction;

/// A link type by its number in the registry of tcpdump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkType(pub u32);

/// VLAN tags of one frame at most.
const MAX_TAGS: usize = 4;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what was used before that.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// An IP packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside<'a> {
    /// From its IP header on, as far as it was captured; perhaps with padding behind it.
    pub packet: &'a [u8],
    /// Octets before it.
    pub before: usize,
    /// Which way it went, where the link layer says so.
    pub direction: Option<Direction>,
}

/// Why there is no IP packet to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPacket {
    /// The link type is not one of those above.
    LinkType,
    /// Less was captured than stands before it.
    CutShort,
    /// It is of another protocol.
    Other,
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("BSD loopback"),
            1 => f.write_str("Ethernet"),
            12 | 14 | 101 => f.write_str("raw IP"),
            105 => f.write_str("802.11"),
            127 => f.write_str("802.11 with radiotap"),
            108 => f.write_str("OpenBSD loopback"),
            113 => f.write_str("Linux cooked"),
            228 => f.write_str("raw IPv4"),
            229 => f.write_str("raw IPv6"),
            276 => f.write_str("Linux cooked 2"),
            number => write!(f, "link type {number}"),
        }
    }
}

/// The IP packet in a frame of this link type.
///
/// # Errors
/// Why there is none.
pub fn inside(link: LinkType, data: &[u8]) -> Result<Inside<'_>, NoPacket> {
    match link.0 {
        12 | 14 | 101 | 228 | 229 => at(data, 0, None),
        1 => behind_ethertype(data, 12, None),
        113 => {
            let direction = word(data, 0).and_then(cooked_direction);
            behind_ethertype(data, 14, direction)
        }
        276 => {
            let ethertype = word(data, 0).ok_or(NoPacket::CutShort)?;
            let direction = data.get(10).and_then(|&kind| cooked_direction(u16::from(kind)));
            if ETHERTYPES_VLAN.contains(&ethertype) {
                return behind_ethertype(data, 22, direction);
            }
            of_ethertype(data, 20, ethertype, direction)
        }
        0 => {
            let family = data.first_chunk::<4>().ok_or(NoPacket::CutShort)?;
            // In the byte order of the machine that captured it, which nobody tells.
            behind_family(data, [u32::from_le_bytes(*family), u32::from_be_bytes(*family)])
        }
        108 => {
            let family = data.first_chunk::<4>().ok_or(NoPacket::CutShort)?;
            behind_family(data, [u32::from_be_bytes(*family); 2])
        }
        _ => Err(NoPacket::LinkType),
    }
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..).and_then(|rest| rest.first_chunk()).map(|&two| u16::from_be_bytes(two))
}

/// What Linux calls the type of a packet.
fn cooked_direction(kind: u16) -> Option<Direction> {
    match kind {
        0 => Some(Direction::In),
        4 => Some(Direction::Out),
        _ => None,
    }
}

fn at(data: &[u8], before: usize, direction: Option<Direction>) -> Result<Inside<'_>, NoPacket> {
    match data.get(before..) {
        Some(packet @ [first, ..]) => match first >> 4 {
            4 | 6 => Ok(Inside { packet, before, direction }),
            _ => Err(NoPacket::Other),
        },
        _ => Err(NoPacket::CutShort),
    }
}

/// Behind the EtherType that stands at this place, and the VLAN tags that it may announce.
fn behind_ethertype(data: &[u8], mut place: usize, direction: Option<Direction>) -> Result<Inside<'_>, NoPacket> {
    for _ in 0..=MAX_TAGS {
        let ethertype = word(data, place).ok_or(NoPacket::CutShort)?;
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            return of_ethertype(data, place + 2, ethertype, direction);
        }
        place += 4;
    }
    Err(NoPacket::Other)
}

fn of_ethertype(
    data: &[u8],
    before: usize,
    ethertype: u16,
    direction: Option<Direction>,
) -> Result<Inside<'_>, NoPacket> {
    match ethertype {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => at(data, before, direction),
        _ => Err(NoPacket::Other),
    }
}

/// Behind an address family of 4 octets: 2 everywhere for IPv4, and for IPv6 by system.
fn behind_family(data: &[u8], families: [u32; 2]) -> Result<Inside<'_>, NoPacket> {
    if families.iter().any(|family| matches!(family, 2 | 10 | 24 | 28 | 30)) {
        return at(data, 4, None);
    }
    Err(NoPacket::Other)
}
