//! The smallest round-trip time of the last minutes (RFC 8985 section 6.2 step 1).

use std::time::Duration;

use crate::time::Instant;

/// A minimum counts for so many seconds at least, and for twice as long at most.
const WINDOW: u32 = 150;

/// The minimum of a window that slides by halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRtt {
    /// Nanoseconds, in this half and in the one before; `u32::MAX` for no sample, and for more than four seconds.
    current: u32,
    previous: u32,
    /// The second in which this half began.
    since: u32,
}

impl Default for MinRtt {
    fn default() -> MinRtt {
        MinRtt { current: u32::MAX, previous: u32::MAX, since: 0 }
    }
}

impl MinRtt {
    /// Takes a sample.
    // 8985-6.2-1: a longer path is believed once the window has passed.
    pub fn sample(&mut self, rtt: Duration, now: Instant) {
        let rtt = u32::try_from(rtt.as_nanos()).unwrap_or(u32::MAX);
        let second = (now.as_nanos() / 1_000_000_000) as u32;
        let passed = second.wrapping_sub(self.since);
        if passed > WINDOW {
            self.previous = if passed > 2 * WINDOW { u32::MAX } else { self.current };
            self.current = u32::MAX;
            self.since = second;
        }
        self.current = self.current.min(rtt);
    }

    /// The minimum, once there is a sample.
    pub fn get(&self) -> Option<Duration> {
        let least = self.current.min(self.previous);
        (least != u32::MAX).then(|| Duration::from_nanos(least.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8985-6.2-1
    #[test]
    fn a_longer_path_is_believed_after_a_while() {
        let mut least = MinRtt::default();
        assert_eq!(least.get(), None);
        let ms = Duration::from_millis;
        for (second, sample, expected) in
            [(1_000, 30, 30), (1_001, 20, 20), (1_150, 50, 20), (1_151, 50, 20), (1_301, 50, 20), (1_302, 50, 50)]
        {
            least.sample(ms(sample), Instant::from_secs(second));
            assert_eq!(least.get(), Some(ms(expected)), "{second}");
        }
        // A shorter one at once, and after a long silence only what is new.
        least.sample(ms(5), Instant::from_secs(1_303));
        assert_eq!(least.get(), Some(ms(5)));
        least.sample(ms(80), Instant::from_secs(9_000));
        assert_eq!(least.get(), Some(ms(80)));
    }
}
