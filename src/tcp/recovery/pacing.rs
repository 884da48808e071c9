//! Pacing: when the next piece may leave, so that a window does not leave as one burst.
//!
//! A piece leaves whole, and the next one waits as long as it takes at the pacing rate. How large a piece may be is the
//! send quantum of the controller ([`quantum`]).

use std::time::Duration;

use crate::tcp::congestion::Rate;
use crate::time::Instant;

/// A timer that runs late is made good by sending earlier afterwards, up to this: as much time as a quantum is worth.
const MAX_CREDIT: Duration = Duration::from_millis(1);

/// Time whose octets may leave in one piece.
const QUANTUM: Duration = Duration::from_millis(1);

/// The largest quantum, in octets: a super-segment.
const MAX_QUANTUM: u32 = 64 << 10;

/// Octets that may leave in one piece at this rate: those of one millisecond, at least two segments, at most a
/// super-segment.
pub fn quantum(rate: Rate, mss: u32) -> u32 {
    let octets = u32::try_from(rate.octets_in(QUANTUM)).unwrap_or(u32::MAX);
    octets.min(MAX_QUANTUM).max(2 * mss)
}

/// When the next piece may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pacer {
    next: Instant,
}

impl Pacer {
    /// May a piece leave now?
    ///
    /// # Errors
    /// When it may: a timer is due then.
    pub fn may_send(&self, now: Instant) -> Result<(), Instant> {
        if self.next <= now { Ok(()) } else { Err(self.next) }
    }

    /// When the next piece may leave; the past where one may leave now.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// `octets` octets have left, at this pacing rate.
    ///
    /// Where the timer for them ran late, the time counts from when it was due: what the clock of the machine costs is not
    /// taken from the rate. After a pause that is longer, it counts from now.
    pub fn sent(&mut self, now: Instant, octets: u32, rate: Rate) {
        let late = now - self.next;
        let start = if late <= MAX_CREDIT { self.next } else { now };
        self.next = start + rate.time_for(octets.into());
    }

    /// The same for a sender whose rate is only that of its window: what could have left sooner shortens the wait, to half of
    /// it at most.
    pub fn spread(&mut self, now: Instant, octets: u32, rate: Rate) {
        let whole = rate.time_for(octets.into());
        let late = now.saturating_since(self.next);
        self.next = self.next.max(now) + (whole - late.min(whole / 2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 MB/s: a segment of 1,000 octets each millisecond.
    const RATE: Rate = Rate::from_octets_per_sec(1_000_000);

    fn us(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn pieces_leave_as_far_apart_as_the_rate_says() {
        let mut pacer = Pacer::default();
        let mut now = us(5_000);
        for _ in 0..100 {
            assert_eq!(pacer.may_send(now), Ok(()));
            pacer.sent(now, 3_000, RATE);
            let Err(next) = pacer.may_send(now) else { panic!("too early") };
            assert_eq!(next, now + Duration::from_millis(3));
            assert_eq!(pacer.may_send(Instant::from_nanos(next.as_nanos() - 1)), Err(next));
            now = next;
        }
    }

    /// A late timer credits the time at which it was due, so the rate is kept; a pause is no credit.
    #[test]
    fn lateness_is_made_good_and_a_pause_is_not() {
        let mut pacer = Pacer::default();
        let mut now = us(10_000);
        pacer.sent(now, 1_000, RATE);
        for n in 1..=1_000_u64 {
            // Each timer is 60 us late.
            now = us(10_000 + n * 1_000 + 60);
            assert_eq!(pacer.may_send(now), Ok(()));
            pacer.sent(now, 1_000, RATE);
        }
        assert_eq!(pacer.may_send(now), Err(us(10_000 + 1_001 * 1_000)));
        let after = us(5_000_000);
        pacer.sent(after, 1_000, RATE);
        assert_eq!(pacer.may_send(after), Err(us(5_001_000)));
    }

    #[test]
    fn a_piece_that_comes_late_is_followed_sooner() {
        let mut pacer = Pacer::default();
        for (late, wait) in [(9_000_000, 1_500), (0, 3_000), (500, 2_500), (2_000, 1_500)] {
            let now = pacer.next() + Duration::from_micros(late);
            pacer.spread(now, 3_000, RATE);
            assert_eq!(pacer.next(), now + Duration::from_micros(wait), "{late}");
        }
        let now = pacer.next() + Duration::from_millis(7);
        pacer.spread(now, 3_000, Rate::MAX);
        assert_eq!(pacer.next(), now);
    }

    #[test]
    fn nothing_is_paced_without_a_limit_and_nothing_passes_at_zero() {
        let mut pacer = Pacer::default();
        pacer.sent(us(1), u32::MAX, Rate::MAX);
        assert_eq!(pacer.may_send(us(2)), Ok(()));
        pacer.sent(us(2), 1, Rate::ZERO);
        assert_eq!(pacer.may_send(us(3)), Err(Instant::from_nanos(u64::MAX)));
    }

    #[test]
    fn the_quantum_is_a_millisecond_within_bounds() {
        for (rate, quantum_octets) in [
            (0, 2_920),
            (125_000, 2_920),
            (12_500_000, 12_500),
            (65_536_000, 65_536),
            (1_250_000_000, 65_536),
            (u64::MAX, 65_536),
        ] {
            assert_eq!(quantum(Rate::from_octets_per_sec(rate), 1_460), quantum_octets, "{rate}");
        }
        assert_eq!(quantum(Rate::MAX, 65_000), 130_000);
    }
}
