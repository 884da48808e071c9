//! Times, counted so that percentiles come out to within 1 %, in little memory.

use std::time::Duration;

/// Each power of two is split into so many parts.
const PARTS: u64 = 128;
/// The bits that tell the parts apart.
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Parts for every time of 64 bits.
const BUCKETS: usize = ((64 - PART_BITS + 1) as usize) * PARTS as usize;

/// How often which time was seen, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Histogram {
    /// Nothing is counted yet.
    pub fn new() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], count: 0, max: 0 }
    }

    /// Counts a time.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// Counts everything that the other one has counted.
    pub fn merge(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, other)| *own += other);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest time, exactly, in nanoseconds.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The time that `percent` of all did not exceed, in nanoseconds, to within 1 %; 0 where nothing was counted.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (number, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_end(number).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket of a time: below `PARTS` one each, then `PARTS` for each power of two.
fn bucket(nanos: u64) -> usize {
    let power = (u64::BITS - nanos.leading_zeros()).saturating_sub(PART_BITS + 1);
    (u64::from(power) * PARTS + (nanos >> power)) as usize
}

/// The longest time in a bucket.
fn upper_end(number: usize) -> u64 {
    let number = number as u64;
    if number < 2 * PARTS {
        return number;
    }
    let power = number / PARTS - 1;
    let part = number - power * PARTS;
    (part << power) + ((1 << power) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_cover_everything() {
        for nanos in [0, 1, 127, 128, 255, 256, 257, 1_000, 12_345, 999_999_999, u64::MAX / 2, u64::MAX] {
            let number = bucket(nanos);
            assert!(number < BUCKETS, "{nanos}");
            let upper = upper_end(number);
            assert!(upper >= nanos && (upper - nanos) as f64 <= nanos as f64 * 0.01, "{nanos}: {upper}");
            assert!(number == 0 || upper_end(number - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn percentiles_of_known_times() {
        let (mut all, mut half) = (Histogram::new(), Histogram::new());
        assert_eq!((all.percentile(50.0), all.max()), (0, 0));
        for micros in 1..=1_000 {
            let to = if micros % 2 == 0 { &mut all } else { &mut half };
            to.add(Duration::from_micros(micros));
        }
        all.merge(&half);
        assert_eq!((all.count(), all.max()), (1_000, 1_000_000));
        for (percent, expected) in [(50.0, 500_000.0), (90.0, 900_000.0), (99.0, 990_000.0), (100.0, 1e6)] {
            let found = all.percentile(percent) as f64;
            assert!((found / expected - 1.0).abs() <= 0.01, "{percent}: {found}");
        }
    }
}
