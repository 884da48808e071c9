//! A set of ranges of sequence numbers: sorted, disjoint, not touching each other, and with a count of what is in them.
//!
//! All numbers lie in SND.UNA..SND.NXT, so they can be compared with each other. Finding a place is a binary search;
//! what is acknowledged leaves at the front.

use std::collections::VecDeque;

use crate::tcp::sequence::SeqNumber;

/// From the first number to the one after the last.
pub type Range = (SeqNumber, SeqNumber);

/// The set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    list: VecDeque<Range>,
    octets: u32,
}

impl Ranges {
    /// There is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many separate ranges there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Octets in all ranges.
    pub fn octets(&self) -> u32 {
        self.octets
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range> + '_ {
        self.list.iter().copied()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<Range> {
        self.list.front().copied()
    }

    /// The highest range.
    pub fn last(&self) -> Option<Range> {
        self.list.back().copied()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.list.clear();
        self.octets = 0;
    }

    /// Ranges for which there is memory.
    pub fn capacity(&self) -> usize {
        self.list.capacity()
    }

    /// Gives memory back beyond room for so many ranges.
    pub fn shrink_to(&mut self, ranges: usize) {
        self.list.shrink_to(ranges);
    }

    /// Whether the whole of `left..right` is in it.
    pub fn covers(&self, left: SeqNumber, right: SeqNumber) -> bool {
        self.list.get(self.ending_after(left)).is_some_and(|range| range.0.le(left) && right.le(range.1))
    }

    /// The range in which `seq` lies.
    pub fn containing(&self, seq: SeqNumber) -> Option<Range> {
        self.list.get(self.ending_after(seq)).copied().filter(|range| range.0.le(seq))
    }

    /// The first part of `left..right` that is not in the set.
    pub fn gap(&self, left: SeqNumber, right: SeqNumber) -> Option<Range> {
        if left.ge(right) {
            return None;
        }
        let at = self.ending_after(left);
        let (from, next) = match self.list.get(at) {
            Some(range) if range.0.le(left) => (range.1, self.list.get(at + 1)),
            next => (left, next),
        };
        let to = next.map_or(right, |next| next.0.min(right));
        from.lt(to).then_some((from, to))
    }

    /// Whether adding `left..right` would make one range more.
    pub fn stands_alone(&self, left: SeqNumber, right: SeqNumber) -> bool {
        self.list.get(self.ending_at_or_after(left)).is_none_or(|range| right.lt(range.0))
    }

    /// Adds `left..right`; the octets that were not in it before.
    pub fn insert(&mut self, left: SeqNumber, right: SeqNumber) -> u32 {
        if left.ge(right) {
            return 0;
        }
        // Those that overlap or touch become one.
        let from = self.ending_at_or_after(left);
        let mut to = from;
        let (mut whole, mut before) = ((left, right), 0);
        while let Some(&range) = self.list.get(to)
            && range.0.le(right)
        {
            whole = (whole.0.min(range.0), whole.1.max(range.1));
            before += range.1.since(range.0);
            to += 1;
        }
        match to - from {
            0 => self.list.insert(from, whole),
            1 => self.list[from] = whole,
            _ => {
                self.list[from] = whole;
                self.list.drain(from + 1..to);
            }
        }
        let new = whole.1.since(whole.0) - before;
        self.octets += new;
        new
    }

    /// Takes `left..right` out; the octets that were in it.
    pub fn remove(&mut self, left: SeqNumber, right: SeqNumber) -> u32 {
        if left.ge(right) {
            return 0;
        }
        let mut at = self.ending_after(left);
        let mut removed = 0;
        while let Some(&range) = self.list.get(at)
            && range.0.lt(right)
        {
            let cut = (range.0.max(left), range.1.min(right));
            removed += cut.1.since(cut.0);
            match (range.0.lt(cut.0), cut.1.lt(range.1)) {
                (false, false) => {
                    self.list.remove(at);
                    continue;
                }
                (true, false) => self.list[at].1 = cut.0,
                (false, true) => self.list[at].0 = cut.1,
                (true, true) => {
                    self.list[at].1 = cut.0;
                    self.list.insert(at + 1, (cut.1, range.1));
                }
            }
            at += 1;
        }
        self.octets -= removed;
        removed
    }

    /// Takes everything before `una` out; the octets that were in it.
    pub fn remove_before(&mut self, una: SeqNumber) -> u32 {
        let mut removed = 0;
        while let Some(first) = self.list.front_mut()
            && first.0.lt(una)
        {
            if una.lt(first.1) {
                removed += una.since(first.0);
                first.0 = una;
                break;
            }
            removed += first.1.since(first.0);
            self.list.pop_front();
        }
        self.octets -= removed;
        removed
    }

    /// The index of the first range that ends after `seq`.
    fn ending_after(&self, seq: SeqNumber) -> usize {
        self.list.partition_point(|range| range.1.le(seq))
    }

    fn ending_at_or_after(&self, seq: SeqNumber) -> usize {
        self.list.partition_point(|range| range.1.lt(seq))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: u32 = 40;

    fn seq(base: u32, at: u32) -> SeqNumber {
        SeqNumber(base) + at
    }

    /// The set as one bit for each number.
    fn bits(ranges: &Ranges, base: u32) -> u64 {
        let mut bits = 0;
        for (left, right) in ranges.iter() {
            for at in left.since(SeqNumber(base))..right.since(SeqNumber(base)) {
                bits |= 1 << at;
            }
        }
        bits
    }

    fn mask(left: u32, right: u32) -> u64 {
        (left..right).fold(0, |bits, at| bits | 1 << at)
    }

    fn check(ranges: &Ranges) {
        let list: Vec<Range> = ranges.iter().collect();
        assert!(list.iter().all(|range| range.0.lt(range.1)), "{list:?}");
        assert!(list.windows(2).all(|pair| pair[0].1.lt(pair[1].0)), "{list:?}");
        assert_eq!(ranges.octets(), list.iter().map(|range| range.1.since(range.0)).sum::<u32>());
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            base in prop::sample::select(vec![0, u32::MAX, u32::MAX - 20, (1 << 31) - 10]),
            steps in prop::collection::vec((0..4u8, 0..SPAN, 0..SPAN), 1..60),
        ) {
            let (mut ranges, mut model, mut una) = (Ranges::default(), 0u64, 0);
            for (kind, a, b) in steps {
                let (left, right) = (a.min(b).max(una), a.max(b).max(una));
                let part = mask(left, right);
                let (l, r) = (seq(base, left), seq(base, right));
                prop_assert_eq!(ranges.covers(l, r) || left == right, model & part == part);
                let first = (left..right).find(|at| model & 1 << at == 0);
                let gap = first.map(|from| (from, (from..right).find(|at| model & 1 << at != 0).unwrap_or(right)));
                let inside = ranges.containing(l).is_some_and(|range| range.0.le(l) && l.lt(range.1));
                prop_assert_eq!(inside, model & 1 << left != 0);
                prop_assert_eq!(ranges.gap(l, r), gap.map(|(from, to)| (seq(base, from), seq(base, to))));
                match kind {
                    0 | 1 => {
                        let (alone, before) = (ranges.stands_alone(l, r), ranges.len());
                        prop_assert_eq!(ranges.insert(l, r), (part & !model).count_ones());
                        model |= part;
                        prop_assert_eq!(alone && left < right, ranges.len() > before);
                    }
                    2 => {
                        prop_assert_eq!(ranges.remove(l, r), (part & model).count_ones());
                        model &= !part;
                    }
                    _ => {
                        una = left;
                        prop_assert_eq!(ranges.remove_before(l), (model & mask(0, left)).count_ones());
                        model &= !mask(0, left);
                    }
                }
                check(&ranges);
                prop_assert_eq!(bits(&ranges, base), model);
            }
        }
    }
}
