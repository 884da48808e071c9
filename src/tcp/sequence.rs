//! Sequence numbers (RFC 9293 section 3.4): 32 bits that wrap, compared modulo 2^32.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A TCP sequence number.
///
/// It has no `Ord`: which of two numbers comes first is only defined for numbers less than 2^31 apart, and `<` on the
/// plain integers is the mistake that breaks at the wrap.
// 9293-3.4-1: every comparison of sequence numbers goes through this type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// `self` comes before `other`.
    pub const fn lt(self, other: SeqNumber) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self` comes before `other` or is equal.
    pub const fn le(self, other: SeqNumber) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }

    /// `self` comes after `other`.
    pub const fn gt(self, other: SeqNumber) -> bool {
        other.lt(self)
    }

    /// `self` comes after `other` or is equal.
    pub const fn ge(self, other: SeqNumber) -> bool {
        other.le(self)
    }

    /// The later of the two.
    pub const fn max(self, other: SeqNumber) -> SeqNumber {
        if self.lt(other) { other } else { self }
    }

    /// The earlier of the two.
    pub const fn min(self, other: SeqNumber) -> SeqNumber {
        if self.lt(other) { self } else { other }
    }

    /// Octets from `earlier` to `self`, modulo 2^32: the caller knows that `earlier` is not later.
    pub const fn since(self, earlier: SeqNumber) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Octets from `earlier` to `self`, or 0 if `earlier` is later.
    pub const fn saturating_since(self, earlier: SeqNumber) -> u32 {
        if self.le(earlier) { 0 } else { self.since(earlier) }
    }
}

impl Add<u32> for SeqNumber {
    type Output = SeqNumber;

    fn add(self, octets: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SeqNumber {
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for SeqNumber {
    type Output = SeqNumber;

    fn sub(self, octets: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_sub(octets))
    }
}

impl fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 9293-3.4-1, pitfall 1
    #[test]
    fn comparisons_hold_across_every_boundary() {
        for base in [0, 1, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX].map(SeqNumber) {
            for step in [1, 2, 65_535, (1 << 31) - 1] {
                let later = base + step;
                assert!(base.lt(later) && base.le(later) && later.gt(base) && later.ge(base), "{base} + {step}");
                assert!(!later.lt(base) && !later.le(base));
                assert_eq!(later - step, base);
                assert_eq!(
                    (later.since(base), later.saturating_since(base), base.saturating_since(later)),
                    (step, step, 0)
                );
                assert_eq!((base.max(later), base.min(later)), (later, base));
            }
            assert!(base.le(base) && base.ge(base) && !base.lt(base) && !base.gt(base));
        }
    }
}
