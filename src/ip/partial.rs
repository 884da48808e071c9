//! One datagram of which some fragments have arrived.

use std::collections::BTreeMap;

use crate::counters::DropReason;
use crate::ip::fragment::MAX_LEN;
use crate::time::Instant;
use crate::wire::checksum::Checksum;
use crate::wire::extension::FRAGMENT_HEADER_LEN;
use crate::wire::{Fragment, IpPacket, ipv6, protocol};

/// Octets of memory that a datagram takes beside its fragments, and a fragment beside its octets: measured generously, in
/// half-empty nodes of the trees in which they are.
pub(super) const DATAGRAM_OVERHEAD: usize = 768;
/// See [`DATAGRAM_OVERHEAD`].
pub(super) const FRAGMENT_OVERHEAD: usize = 96;

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// It is kept.
    New,
    /// It was there already, octet for octet.
    Duplicate,
    /// It contradicts what is there: a part of both has the same place, or the end is not where it was.
    Overlap,
}

/// The fragments of one datagram so far: apart, as they came, so that they take the memory that they are long, whatever
/// their places.
// 815-3: an ordered set of them stands for the list of holes.
#[derive(Clone, Debug)]
pub(super) struct Partial {
    /// When the first one arrived, whichever that was.
    pub(super) born: Instant,
    /// Octets of memory that are charged.
    pub(super) memory: usize,
    /// It is to one host: somebody may be told what becomes of it.
    pub(super) unicast: bool,
    /// Fragments contradicted each other; whatever else comes is dropped.
    pub(super) spoiled: bool,
    fragments: BTreeMap<u32, Box<[u8]>>,
    /// Octets in them.
    octets: u32,
    /// Where the datagram ends, once that is known.
    end: Option<u32>,
    /// The ECN codepoints that have come, a bit for each.
    marks: u8,
    /// All headers of the fragment at offset 0.
    headers: Box<[u8]>,
}

impl Partial {
    /// Nothing yet.
    pub(super) fn new(born: Instant, unicast: bool) -> Partial {
        Partial {
            born,
            memory: DATAGRAM_OVERHEAD,
            unicast,
            spoiled: false,
            fragments: BTreeMap::new(),
            octets: 0,
            end: None,
            marks: 0,
            headers: Box::default(),
        }
    }

    /// Octets of memory for keeping this fragment.
    pub(super) fn cost(packet: &IpPacket<'_>, place: Fragment) -> usize {
        let headers = if place.offset == 0 { packet.packet.len() - packet.payload.len() } else { 0 };
        FRAGMENT_OVERHEAD + packet.payload.len() + headers
    }

    /// Whether a fragment fits to what is there. It is not empty, and ends within the longest datagram.
    // 1858-4, 5722-4-1: nothing is ever overwritten.
    pub(super) fn judge(&self, place: Fragment, payload: &[u8]) -> Placed {
        let end = place.offset + payload.len() as u32;
        let before = self.fragments.range(..=place.offset).next_back();
        if let Some((&start, bytes)) = before {
            let last = self.end == Some(start + bytes.len() as u32);
            if start == place.offset && **bytes == *payload && last != place.more {
                return Placed::Duplicate;
            }
            if start + bytes.len() as u32 > place.offset {
                return Placed::Overlap;
            }
        }
        let after = self.fragments.range(place.offset..).next();
        let meets_next = after.is_some_and(|(&start, _)| start < end);
        // A last fragment has no other after it, and there is but one.
        let beyond = self.end.is_some_and(|known| end > known || !place.more);
        let cut = !place.more && after.is_some();
        if meets_next || beyond || cut { Placed::Overlap } else { Placed::New }
    }

    /// Keeps a fragment that is [`Placed::New`]; its cost is to be charged.
    pub(super) fn keep(&mut self, packet: &IpPacket<'_>, place: Fragment) {
        self.memory += Partial::cost(packet, place);
        if place.offset == 0 {
            self.headers = packet.packet[..packet.packet.len() - packet.payload.len()].into();
        }
        if !place.more {
            self.end = Some(place.offset + packet.payload.len() as u32);
        }
        self.octets += packet.payload.len() as u32;
        self.marks |= 1 << (packet.traffic_class & 3);
        self.fragments.insert(place.offset, packet.payload.into());
    }

    /// Forgets everything but that it was contradictory.
    pub(super) fn spoil(&mut self) {
        *self = Partial { spoiled: true, ..Partial::new(self.born, self.unicast) };
    }

    /// No fragment overlaps another, so as many octets as the datagram is long are all of it.
    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(self.octets)
    }

    /// The first fragment as it came, if it has come.
    pub(super) fn first(&self) -> Option<Vec<u8>> {
        let payload = self.fragments.get(&0)?;
        Some([&*self.headers, payload].concat())
    }

    /// The whole datagram, as if it had never been cut.
    ///
    /// # Errors
    /// `FragmentMarks` where ECN codepoints contradict each other, `Fragment` where it is longer than a datagram can be.
    pub(super) fn assemble(&self) -> Result<Vec<u8>, DropReason> {
        let ipv6 = self.headers.first().is_some_and(|octet| octet >> 4 == 6);
        let headers_len = if ipv6 { self.headers.len() - FRAGMENT_HEADER_LEN } else { self.headers.len() };
        let mut datagram = Vec::with_capacity(headers_len + self.octets as usize);
        datagram.extend_from_slice(&self.headers[..headers_len]);
        self.fragments.values().for_each(|bytes| datagram.extend_from_slice(bytes));
        let ecn = merged_mark(self.marks, &self.headers).ok_or(DropReason::FragmentMarks)?;
        let whole = if ipv6 { self.finish_v6(&mut datagram, ecn) } else { finish_v4(&mut datagram, headers_len, ecn) };
        whole.map(|()| datagram).ok_or(DropReason::Fragment)
    }

    /// Makes the IPv6 header that of the whole.
    // 8200-4.5-1: the unfragmentable part, and the number of what follows it, are those of the first fragment.
    fn finish_v6(&self, datagram: &mut [u8], ecn: u8) -> Option<()> {
        let len = datagram.len() - ipv6::HEADER_LEN;
        datagram[1] = datagram[1] & 0xCF | ecn << 4;
        datagram[4..6].copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
        let fragment_header = self.headers.len() - FRAGMENT_HEADER_LEN;
        datagram[link_to(fragment_header, &self.headers)?] = self.headers[fragment_header];
        Some(())
    }
}

/// Makes the IPv4 header that of the whole. The options of the first fragment stay.
fn finish_v4(datagram: &mut [u8], header_len: usize, ecn: u8) -> Option<()> {
    let len = u16::try_from(datagram.len()).ok()?;
    debug_assert!(datagram.len() <= MAX_LEN);
    let header = &mut datagram[..header_len];
    header[1] = header[1] & 0xFC | ecn;
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[6..8].fill(0);
    header[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add(header);
    header[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    Some(())
}

/// Where in IPv6 headers the octet lies that says that the header at `at` is a fragment header.
fn link_to(at: usize, headers: &[u8]) -> Option<usize> {
    let (mut link, mut next) = (6, ipv6::HEADER_LEN);
    while next < at {
        let len = match *headers.get(link)? {
            // An atomic one before it.
            protocol::FRAGMENT => FRAGMENT_HEADER_LEN,
            _ => (usize::from(*headers.get(next + 1)?) + 1) * 8,
        };
        (link, next) = (next, next + len);
    }
    (next == at).then_some(link)
}

/// The ECN codepoint of the whole, from the set of those of its fragments; `None` where it is to be dropped.
// 3168-5.3: a mark is never lost, and never given to who does not know what it means; what is the same in all stays.
fn merged_mark(marks: u8, headers: &[u8]) -> Option<u8> {
    const NOT_ECT: u8 = 1;
    const CE: u8 = 1 << 3;
    if marks & NOT_ECT != 0 && marks != NOT_ECT {
        return None;
    }
    let first = match headers.first()? >> 4 {
        6 => headers[1] >> 4 & 3,
        _ => headers[1] & 3,
    };
    Some(if marks & CE != 0 { 3 } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3168-5.3: every set of codepoints, with each of them on the first fragment.
    #[test]
    fn marks() {
        for set in 1..16_u8 {
            for first in (0..4).filter(|first| set & 1 << first != 0) {
                let expected = match set {
                    0b0001 => Some(0),
                    _ if set & 1 != 0 => None,
                    _ if set & 0b1000 != 0 => Some(3),
                    _ => Some(first),
                };
                assert_eq!(merged_mark(set, &[0x45, 0xB8 | first]), expected, "v4 {set:04b} {first}");
                assert_eq!(merged_mark(set, &[0x6B, first << 4 | 0x8F]), expected, "v6 {set:04b} {first}");
            }
        }
    }

    #[test]
    fn the_octet_that_names_the_fragment_header() {
        let mut headers = vec![0; 40];
        headers[6] = 44;
        assert_eq!(link_to(40, &headers), Some(6));
        headers[6] = 0;
        headers.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        headers.extend([44, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        headers.extend([44, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(link_to(72, &headers), Some(64), "behind an atomic one");
        assert_eq!(link_to(64, &headers), Some(48));
        assert_eq!(link_to(60, &headers), None);
    }
}
