//! Which copies of the text of one connection were sent, and what became of each: tells retransmissions that were needed
//! from those that were not. Whoever sees both ends of the path can know.

use std::collections::BTreeMap;

use crate::wire::tcp::{Flags, TcpHeader};

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CopyCounters {
    /// Segments with text.
    pub segments: u64,
    /// Octets of text in them.
    pub octets: u64,
    /// Segments with text that had been sent before.
    pub retransmissions: u64,
    /// Retransmissions of which an earlier copy arrived.
    pub spurious: u64,
}

/// The text of one direction of a connection, on its way.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// The sequence number that is position 0.
    origin: Option<u32>,
    /// The end of what was sent so far.
    sent: u64,
    delivered: Ranges,
    /// By tag: the positions of a segment that has neither arrived nor been lost.
    in_flight: BTreeMap<u64, (u64, u64)>,
    /// Retransmissions of which an earlier copy may still arrive.
    pending: Vec<Pending>,
    counters: CopyCounters,
}

/// A retransmission that is not judged yet.
#[derive(Clone, Debug)]
struct Pending {
    /// Positions that no earlier copy has brought.
    missing: Ranges,
    /// Earlier copies that are on their way.
    earlier: Vec<u64>,
}

/// What a segment is to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Position of its first octet.
    pub start: u64,
    /// Position behind its last one.
    pub end: u64,
    /// All or a part of it had been sent before.
    pub again: bool,
}

impl Copies {
    /// The sender has sent a segment with so many octets of text; nothing for one without. Tags grow.
    pub fn sent(&mut self, tag: u64, header: &TcpHeader, octets: usize) -> Option<Place> {
        let syn = header.flags.contains(Flags::SYN);
        if syn {
            self.origin = Some(header.seq.wrapping_add(1));
        }
        if octets == 0 || syn {
            return None;
        }
        let origin = *self.origin.get_or_insert(header.seq);
        let start = self.position(origin, header.seq);
        let place = Place { start, end: start + octets as u64, again: start < self.sent };
        self.counters.segments += 1;
        self.counters.octets += octets as u64;
        if place.again {
            self.judge(place);
        }
        self.sent = self.sent.max(place.end);
        self.in_flight.insert(tag, (place.start, place.end));
        Some(place)
    }

    /// The segment of this tag has arrived; a second time makes no difference.
    pub fn arrived(&mut self, tag: u64) {
        let Some((start, end)) = self.in_flight.remove(&tag) else { return };
        self.delivered.insert(start, end);
        let mut spurious = 0;
        self.pending.retain_mut(|pending| {
            if !pending.earlier.contains(&tag) {
                return true;
            }
            pending.earlier.retain(|&other| other != tag);
            pending.missing.remove(start, end);
            spurious += u64::from(pending.missing.is_empty());
            !pending.missing.is_empty() && !pending.earlier.is_empty()
        });
        self.counters.spurious += spurious;
    }

    /// The segment of this tag is lost.
    pub fn lost(&mut self, tag: u64) {
        self.in_flight.remove(&tag);
        self.pending.retain_mut(|pending| {
            pending.earlier.retain(|&other| other != tag);
            !pending.earlier.is_empty()
        });
    }

    /// What was counted so far. A retransmission counts as needed until an earlier copy has arrived.
    pub fn counters(&self) -> CopyCounters {
        self.counters
    }

    /// The position that an acknowledgment, or an edge of a SACK block, names.
    pub fn position_of(&self, number: u32) -> Option<u64> {
        self.origin.map(|origin| self.position(origin, number))
    }

    fn judge(&mut self, place: Place) {
        self.counters.retransmissions += 1;
        // What is new in it makes it no less a retransmission of the rest.
        let mut missing = Ranges::default();
        missing.insert(place.start, place.end.min(self.sent));
        for (start, end) in self.delivered.within(place.start, place.end) {
            missing.remove(start, end);
        }
        if missing.is_empty() {
            self.counters.spurious += 1;
            return;
        }
        let overlaps = |&(start, end): &(u64, u64)| start < place.end && end > place.start;
        let earlier: Vec<u64> =
            self.in_flight.iter().filter(|(_, range)| overlaps(range)).map(|(&tag, _)| tag).collect();
        if !earlier.is_empty() {
            self.pending.push(Pending { missing, earlier });
        }
    }

    /// Sequence numbers wrap around; positions do not.
    fn position(&self, origin: u32, number: u32) -> u64 {
        let near = origin.wrapping_add(self.sent as u32);
        let distance = i64::from(number.wrapping_sub(near) as i32);
        self.sent.saturating_add_signed(distance)
    }
}

/// Disjoint ranges, of any number.
#[derive(Clone, Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn insert(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        // From the last one that begins at or before the end, backwards as long as they touch.
        while let Some((&other_start, &other_end)) = self.0.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            self.0.remove(&other_start);
            (start, end) = (start.min(other_start), end.max(other_end));
        }
        if start < end {
            self.0.insert(start, end);
        }
    }

    fn remove(&mut self, start: u64, end: u64) {
        for (other_start, other_end) in self.within(start, end) {
            self.0.remove(&other_start);
            if other_start < start {
                self.0.insert(other_start, start);
            }
            if other_end > end {
                self.0.insert(end, other_end);
            }
        }
    }

    /// The ranges that overlap `start..end`.
    fn within(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let overlapping = self.0.range(..end).rev().take_while(|&(_, &other_end)| other_end > start);
        overlapping.map(|(&start, &end)| (start, end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISS: u32 = u32::MAX - 1_000;

    /// A connection that has sent its SYN, and a way to send.
    fn opened() -> (Copies, impl Fn(&mut Copies, u64, u64)) {
        let mut copies = Copies::default();
        let syn = TcpHeader { seq: ISS, flags: Flags::SYN, ..TcpHeader::default() };
        assert_eq!(copies.sent(0, &syn, 0), None);
        let send = |copies: &mut Copies, tag: u64, position: u64| {
            let header = TcpHeader { seq: ISS.wrapping_add(1 + position as u32), ..TcpHeader::default() };
            let place = copies.sent(tag, &header, 100).unwrap();
            assert_eq!((place.start, place.end), (position, position + 100));
        };
        (copies, send)
    }

    fn counted(copies: &Copies) -> (u64, u64) {
        (copies.counters.retransmissions, copies.counters.spurious)
    }

    #[test]
    fn a_retransmission_is_spurious_if_an_earlier_copy_arrives() {
        let (mut copies, send) = opened();
        for number in 0..20 {
            send(&mut copies, number + 1, number * 100);
        }
        // Before it was sent, after it was sent, and never.
        copies.arrived(1);
        send(&mut copies, 101, 0);
        assert_eq!(counted(&copies), (1, 1));
        send(&mut copies, 102, 100);
        copies.arrived(102);
        assert_eq!(counted(&copies), (2, 1), "its own arrival says nothing");
        copies.arrived(2);
        assert_eq!(counted(&copies), (2, 2));
        send(&mut copies, 103, 200);
        copies.lost(3);
        copies.arrived(103);
        assert_eq!(counted(&copies), (3, 2));
        assert!(copies.pending.is_empty());
        // Sent three times: the second copy arrives, the third was not needed.
        send(&mut copies, 104, 300);
        copies.lost(4);
        send(&mut copies, 105, 300);
        copies.arrived(104);
        assert_eq!(counted(&copies), (5, 3));
    }

    #[test]
    fn a_retransmission_cut_otherwise_needs_all_its_parts_to_be_spurious() {
        let (mut copies, send) = opened();
        for number in 0..3 {
            send(&mut copies, number + 1, number * 100);
        }
        let header = TcpHeader { seq: ISS.wrapping_add(51), ..TcpHeader::default() };
        copies.sent(9, &header, 100).unwrap();
        copies.arrived(1);
        assert_eq!(counted(&copies), (1, 0));
        copies.arrived(2);
        assert_eq!(counted(&copies), (1, 1));
    }

    #[test]
    fn ranges_merge_and_split() {
        let mut ranges = Ranges::default();
        for (start, end) in [(10, 20), (30, 40), (20, 25), (50, 60), (38, 52)] {
            ranges.insert(start, end);
        }
        assert_eq!(ranges.within(0, 99), [(30, 60), (10, 25)]);
        ranges.remove(15, 35);
        assert_eq!(ranges.within(0, 99), [(35, 60), (10, 15)]);
        ranges.remove(0, 100);
        assert!(ranges.is_empty());
    }
}
