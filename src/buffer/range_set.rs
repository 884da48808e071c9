//! A set of stream positions, kept as few ranges: what has arrived out of order.

use std::collections::VecDeque;

use super::Full;

/// Ranges a set holds whatever their length (4 KiB of memory). A peer that sends every second byte meets this limit, not our
/// memory.
pub const FREE_RANGES: usize = 256;

/// Bytes in the set for which it may hold one range more. Where every other segment of a long fat path is lost, ranges are
/// many; a segment on the Internet carries no less than this.
const BYTES_PER_RANGE: u64 = 512;

/// Ranges a set holds at most (256 KiB of memory): with segments of 1,460 bytes, half of 48 MB.
pub const MAX_RANGES: usize = 16_384;

/// Ordered, disjoint ranges `(start, end)` of positions, `end` excluded. Two ranges never touch: they would be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl RangeSet {
    /// The empty set. It holds no memory.
    pub const fn new() -> RangeSet {
        RangeSet { ranges: VecDeque::new(), bytes: 0 }
    }

    /// Adds the positions from `start` up to, not including, `end`; merges ranges that overlap or touch.
    ///
    /// # Errors
    /// [`Full::Ranges`] where it would need one range more than there may be; the set is unchanged then.
    pub fn insert(&mut self, start: u64, end: u64) -> Result<(), Full> {
        if start >= end {
            return Ok(());
        }
        let (first, after) = self.touching(start, end);
        if first == after {
            if self.ranges.len() >= self.limit() {
                return Err(Full::Ranges);
            }
            self.ranges.insert(first, (start, end));
            self.bytes += end - start;
            return Ok(());
        }
        let merged = (start.min(self.ranges[first].0), end.max(self.ranges[after - 1].1));
        let before: u64 = self.ranges.range(first..after).map(|&(start, end)| end - start).sum();
        self.bytes += merged.1 - merged.0 - before;
        self.ranges[first] = merged;
        self.ranges.drain(first + 1..after);
        Ok(())
    }

    /// How many ranges there may be: [`FREE_RANGES`], and more as they carry more, up to [`MAX_RANGES`].
    fn limit(&self) -> usize {
        let earned = usize::try_from(self.bytes / BYTES_PER_RANGE).unwrap_or(MAX_RANGES);
        (FREE_RANGES + earned).min(MAX_RANGES)
    }

    /// Whether [`RangeSet::insert`] of the same range would succeed.
    pub fn admits(&self, start: u64, end: u64) -> bool {
        if start >= end || self.ranges.len() < self.limit() {
            return true;
        }
        let (first, after) = self.touching(start, end);
        first < after
    }

    /// Removes all positions below `position`.
    pub fn remove_below(&mut self, position: u64) {
        while let Some(front) = self.ranges.front_mut() {
            let (start, end) = *front;
            if end > position {
                front.0 = start.max(position);
                self.bytes -= front.0 - start;
                return;
            }
            self.bytes -= end - start;
            self.ranges.pop_front();
        }
        self.clear();
    }

    /// Removes everything and frees the memory.
    pub fn clear(&mut self) {
        *self = RangeSet::default();
    }

    /// Whether every position from `start` up to, not including, `end` is in the set. True for an empty range.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        start >= end || self.containing(start).is_some_and(|range| range.1 >= end)
    }

    /// The range that `position` lies in: the first SACK block, for the segment that has just arrived.
    pub fn containing(&self, position: u64) -> Option<(u64, u64)> {
        let index = self.ranges.partition_point(|range| range.1 <= position);
        self.ranges.get(index).copied().filter(|range| range.0 <= position)
    }

    /// The first part of `start..end` that is in the set.
    pub fn first_within(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let index = self.ranges.partition_point(|range| range.1 <= start);
        let held = self.ranges.get(index)?;
        Some((held.0.max(start), held.1.min(end))).filter(|part| part.0 < part.1)
    }

    /// The parts of `start..end` that are not in the set, in order.
    pub fn gaps(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let index = self.ranges.partition_point(|range| range.1 <= start);
        let mut held = self.ranges.range(index..);
        let mut cursor = start;
        std::iter::from_fn(move || {
            while cursor < end {
                let (held_start, held_end) = held.next().copied().unwrap_or((end, end));
                let gap = (cursor, held_start.min(end));
                cursor = held_end;
                if gap.0 < gap.1 {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The ranges in order, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + ExactSizeIterator + '_ {
        self.ranges.iter().copied()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<(u64, u64)> {
        self.ranges.front().copied()
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// No position is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The number of positions in the set, in octets.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The indices, from and up to but not including, of the ranges that overlap or touch `start..end`.
    fn touching(&self, start: u64, end: u64) -> (usize, usize) {
        let first = self.ranges.partition_point(|range| range.1 < start);
        let after = self.ranges.partition_point(|range| range.0 <= end);
        (first, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ranges = &'static [(u64, u64)];

    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        let mut set = RangeSet::new();
        ranges.iter().for_each(|&(start, end)| set.insert(start, end).unwrap());
        set
    }

    #[test]
    fn insert_merges_what_overlaps_or_touches() {
        let base = [(10, 20), (30, 40), (50, 60)];
        let cases: [(u64, u64, Ranges); 13] = [
            (0, 0, &[(10, 20), (30, 40), (50, 60)]),
            (9, 3, &[(10, 20), (30, 40), (50, 60)]),
            (0, 9, &[(0, 9), (10, 20), (30, 40), (50, 60)]),
            (0, 10, &[(0, 20), (30, 40), (50, 60)]),
            (12, 18, &[(10, 20), (30, 40), (50, 60)]),
            (20, 30, &[(10, 40), (50, 60)]),
            (21, 29, &[(10, 20), (21, 29), (30, 40), (50, 60)]),
            (20, 29, &[(10, 29), (30, 40), (50, 60)]),
            (21, 30, &[(10, 20), (21, 40), (50, 60)]),
            (15, 55, &[(10, 60)]),
            (0, 100, &[(0, 100)]),
            (60, 61, &[(10, 20), (30, 40), (50, 61)]),
            (61, u64::MAX, &[(10, 20), (30, 40), (50, 60), (61, u64::MAX)]),
        ];
        for (start, end, expected) in cases {
            let mut ranges = set(&base);
            ranges.insert(start, end).unwrap();
            assert_eq!(ranges.iter().collect::<Vec<_>>(), expected, "{start}..{end}");
            assert_eq!(ranges.bytes(), expected.iter().map(|range| range.1 - range.0).sum::<u64>());
        }
    }

    #[test]
    fn queries_at_the_edges() {
        let ranges = set(&[(10, 20), (30, 40)]);
        for (position, expected) in
            [(9, None), (10, Some((10, 20))), (19, Some((10, 20))), (20, None), (39, Some((30, 40))), (40, None)]
        {
            assert_eq!(ranges.containing(position), expected, "{position}");
        }
        for (start, end, expected) in
            [(10, 20, true), (9, 20, false), (10, 21, false), (15, 15, true), (25, 25, true), (10, 40, false)]
        {
            assert_eq!(ranges.covers(start, end), expected, "{start}..{end}");
        }
        let gaps: [(u64, u64, Ranges); 7] = [
            (0, 50, &[(0, 10), (20, 30), (40, 50)]),
            (10, 20, &[]),
            (12, 25, &[(20, 25)]),
            (20, 30, &[(20, 30)]),
            (5, 10, &[(5, 10)]),
            (15, 35, &[(20, 30)]),
            (7, 7, &[]),
        ];
        for (start, end, expected) in gaps {
            assert_eq!(ranges.gaps(start, end).collect::<Vec<_>>(), expected, "{start}..{end}");
        }
    }

    #[test]
    fn remove_below_trims_and_frees() {
        let cases: [(u64, Ranges); 6] = [
            (10, &[(10, 20), (30, 40)]),
            (11, &[(11, 20), (30, 40)]),
            (20, &[(30, 40)]),
            (30, &[(30, 40)]),
            (39, &[(39, 40)]),
            (40, &[]),
        ];
        for (position, expected) in cases {
            let mut ranges = set(&[(10, 20), (30, 40)]);
            ranges.remove_below(position);
            assert_eq!(ranges.iter().collect::<Vec<_>>(), expected, "{position}");
            assert_eq!(ranges.bytes(), expected.iter().map(|range| range.1 - range.0).sum::<u64>());
            assert_eq!(ranges.ranges.capacity() == 0, expected.is_empty());
        }
    }

    #[test]
    fn ranges_of_whole_segments_are_many() {
        let mut ranges = RangeSet::new();
        let segments = (0..).map(|i| (3_000 * i, 3_000 * i + 1_460));
        let held = segments.take_while(|&(start, end)| ranges.insert(start, end).is_ok()).count();
        assert_eq!(held, MAX_RANGES);
        // Each second byte earns nothing, however many there are.
        let mut ranges = RangeSet::new();
        let bytes = (0..).map(|i| (2 * i, 2 * i + 1));
        assert_eq!(bytes.take_while(|&(start, end)| ranges.insert(start, end).is_ok()).count(), FREE_RANGES);
    }

    #[test]
    fn the_number_of_ranges_is_limited() {
        let mut ranges = RangeSet::new();
        (0..FREE_RANGES as u64).for_each(|i| ranges.insert(10 * i, 10 * i + 1).unwrap());
        let full = ranges.clone();
        assert!(!ranges.admits(7, 8));
        assert_eq!(ranges.insert(7, 8), Err(Full::Ranges));
        assert_eq!(ranges, full);
        // What touches a range still fits, and makes room where it joins two.
        assert!(ranges.admits(1, 10));
        ranges.insert(1, 10).unwrap();
        ranges.insert(17, 18).unwrap();
        assert_eq!(ranges.len(), FREE_RANGES);
    }
}
