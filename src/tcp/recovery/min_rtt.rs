//! The smallest round-trip time of the last minutes (RFC 8985 section 6.2 step 1).

use std::time::Duration;

use crate::time::Instant;

/// A minimum counts for this long at least, and for twice as long at most.
const WINDOW: Duration = Duration::from_secs(150);

/// The minimum of a window that slides by halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRtt {
    /// Nanoseconds, in this half and in the one before; `u64::MAX` for no sample.
    current: u64,
    previous: u64,
    since: Instant,
}

impl Default for MinRtt {
    fn default() -> MinRtt {
        MinRtt { current: u64::MAX, previous: u64::MAX, since: Instant::ZERO }
    }
}

impl MinRtt {
    /// Takes a sample.
    // 8985-6.2-1: a longer path is believed once the window has passed.
    pub fn sample(&mut self, rtt: Duration, now: Instant) {
        let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        if now.saturating_since(self.since) > WINDOW {
            let stale = now.saturating_since(self.since) > 2 * WINDOW;
            self.previous = if stale { u64::MAX } else { self.current };
            self.current = u64::MAX;
            self.since = now;
        }
        self.current = self.current.min(rtt);
    }

    /// The minimum, once there is a sample.
    pub fn get(&self) -> Option<Duration> {
        let least = self.current.min(self.previous);
        (least != u64::MAX).then(|| Duration::from_nanos(least))
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
            [(1_000, 30, 30), (1_001, 20, 20), (1_002, 50, 20), (1_140, 50, 20), (1_160, 50, 20), (1_311, 50, 50)]
        {
            least.sample(ms(sample), Instant::from_secs(second));
            assert_eq!(least.get(), Some(ms(expected)), "{second}");
        }
        // A shorter one at once, and after a long silence only what is new.
        least.sample(ms(5), Instant::from_secs(1_312));
        assert_eq!(least.get(), Some(ms(5)));
        least.sample(ms(80), Instant::from_secs(9_000));
        assert_eq!(least.get(), Some(ms(80)));
    }
}
