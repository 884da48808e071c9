//! A rate in octets per second, an integer: the same on every machine.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Octets per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Nothing moves, or nothing is known.
    pub const ZERO: Rate = Rate(0);
    /// No limit.
    pub const MAX: Rate = Rate(u64::MAX);

    /// `octets` octets per second.
    pub const fn from_octets_per_sec(octets: u64) -> Rate {
        Rate(octets)
    }

    /// `octets` octets in `time`; [`Rate::MAX`] in no time at all.
    pub fn new(octets: u64, time: Duration) -> Rate {
        let nanos = nanos(time);
        if nanos == 0 {
            return Rate::MAX;
        }
        Rate(multiply_divide(octets, NANOS_PER_SEC, nanos))
    }

    /// Octets per second.
    pub const fn octets_per_sec(self) -> u64 {
        self.0
    }

    /// Whole octets in `time`.
    pub fn octets_in(self, time: Duration) -> u64 {
        multiply_divide(self.0, nanos(time), NANOS_PER_SEC)
    }

    /// How long `octets` octets take: for ever at a rate of zero.
    pub fn time_for(self, octets: u64) -> Duration {
        if self.0 == 0 {
            return Duration::MAX;
        }
        Duration::from_nanos(multiply_divide(octets, NANOS_PER_SEC, self.0))
    }

    /// This rate times `numerator / denominator`; the denominator is not 0.
    pub fn times(self, numerator: u32, denominator: u32) -> Rate {
        Rate(multiply_divide(self.0, numerator.into(), denominator.into()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B/s", self.0)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `a * b / c`, at most what 64 bits hold.
fn multiply_divide(a: u64, b: u64, c: u64) -> u64 {
    match a.checked_mul(b) {
        Some(product) => product / c,
        None => u64::try_from(u128::from(a) * u128::from(b) / u128::from(c)).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_time_belong_together() {
        for (octets, time, rate) in [
            (1_000, Duration::from_millis(1), 1_000_000),
            (0, Duration::from_secs(1), 0),
            (1, Duration::from_secs(2), 0),
            (u64::from(u32::MAX), Duration::from_secs(1), u64::from(u32::MAX)),
            (1 << 40, Duration::from_secs(10), (1 << 40) / 10),
            (u64::MAX, Duration::from_nanos(1), u64::MAX),
            (5, Duration::ZERO, u64::MAX),
        ] {
            assert_eq!(Rate::new(octets, time), Rate::from_octets_per_sec(rate), "{octets} in {time:?}");
        }
        let rate = Rate::from_octets_per_sec(12_500_000);
        assert_eq!(rate.octets_in(Duration::from_millis(1)), 12_500);
        assert_eq!(rate.time_for(12_500), Duration::from_millis(1));
        assert_eq!(Rate::MAX.octets_in(Duration::from_secs(10)), u64::MAX);
        assert_eq!((Rate::ZERO.time_for(1), Rate::MAX.time_for(u64::MAX)), (Duration::MAX, Duration::from_secs(1)));
        assert_eq!(Rate::MAX.times(1, 2).octets_per_sec(), u64::MAX / 2);
        assert_eq!(Rate::MAX.times(3, 2), Rate::MAX);
    }
}
