//! Controlled delay, RFC 8289: a queue in which packets wait longer than `target` for a whole `interval` loses its head,
//! at first once per interval and then more and more often until the wait is short again.

use std::time::Duration;

use crate::time::Instant;

/// Settings of CoDel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoDel {
    /// A wait that is acceptable for ever (section 4.4).
    pub target: Duration,
    /// How long a longer wait is accepted; about the longest round trip (section 4.3).
    pub interval: Duration,
    /// Packets of senders that know ECN are marked instead of dropped.
    pub ecn: bool,
}

impl Default for CoDel {
    /// 5 ms and 100 ms, as the RFC recommends, and no ECN.
    fn default() -> CoDel {
        CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100), ecn: false }
    }
}

/// What a queue of no more than this is never punished for: one packet of the largest size (section 4.2).
pub(super) const MAX_PACKET: usize = 1_500;

/// Where CoDel stands with one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CoDelState {
    /// When the wait will have been too long for a whole interval.
    first_above: Option<Instant>,
    dropping: bool,
    drop_next: Instant,
    /// Drops since dropping began.
    count: u32,
    /// The count when dropping began last.
    last_count: u32,
}

impl CoDelState {
    /// Whether the packet that leaves the queue at `now`, after `wait`, with so many bytes behind it, is to be dropped.
    /// The next packet is then asked about with the same `now`.
    pub(super) fn drops(&mut self, codel: &CoDel, now: Instant, wait: Duration, bytes_behind: usize) -> bool {
        let may_drop = self.is_late(codel, now, wait, bytes_behind);
        if self.dropping {
            if !may_drop {
                self.dropping = false;
            } else if now >= self.drop_next {
                self.count = self.count.saturating_add(1);
                self.drop_next = control_law(self.drop_next, codel.interval, self.count);
                return true;
            }
            return false;
        }
        if !may_drop {
            return false;
        }
        self.dropping = true;
        // Where dropping ended only lately, it goes on at the rate that was right then (section 5.4).
        let delta = self.count - self.last_count;
        let lately = now - self.drop_next < codel.interval * 16;
        self.count = if delta > 1 && lately { delta } else { 1 };
        self.drop_next = control_law(now, codel.interval, self.count);
        self.last_count = self.count;
        true
    }

    /// The wait has been above the target for an interval.
    fn is_late(&mut self, codel: &CoDel, now: Instant, wait: Duration, bytes_behind: usize) -> bool {
        if wait < codel.target || bytes_behind <= MAX_PACKET {
            self.first_above = None;
            return false;
        }
        match self.first_above {
            None => {
                self.first_above = Some(now + codel.interval);
                false
            }
            Some(at) => now >= at,
        }
    }
}

/// `at` and the interval divided by the square root of the count, in whole numbers.
fn control_law(at: Instant, interval: Duration, count: u32) -> Instant {
    let root = (u64::from(count.max(1)) << 32).isqrt();
    let nanos = (interval.as_nanos() << 16) / u128::from(root);
    at + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_law_is_the_square_root() {
        let after = |count| control_law(Instant::ZERO, Duration::from_millis(100), count).as_micros();
        assert_eq!([1, 2, 4, 16, 100].map(after), [100_000, 70_711, 50_000, 25_000, 10_000]);
    }

    #[test]
    fn a_long_wait_costs_packets_after_an_interval_and_then_ever_more() {
        let mut state = CoDelState::default();
        let codel = CoDel::default();
        let mut drops = Vec::new();
        for ms in 0..600 {
            if state.drops(&codel, Instant::from_millis(ms), Duration::from_millis(20), 30_000) {
                drops.push(ms);
            }
        }
        // Then after 100, 100 / sqrt(2), 100 / sqrt(3), ... ms.
        assert_eq!(drops, [100, 200, 271, 329, 379, 424, 464, 502, 538, 571]);
        assert!(!state.drops(&codel, Instant::from_millis(700), Duration::from_millis(4), 30_000));
        // Lately it took 10 in a row to help: it begins where it was.
        for ms in 701..802 {
            let dropped = state.drops(&codel, Instant::from_millis(ms), Duration::from_millis(20), 30_000);
            assert_eq!(dropped, ms == 801);
        }
        assert_eq!(state.count, 9);
    }

    #[test]
    fn a_queue_of_one_packet_is_never_punished() {
        let mut state = CoDelState::default();
        for ms in 0..1_000 {
            assert!(!state.drops(&CoDel::default(), Instant::from_millis(ms), Duration::from_secs(1), MAX_PACKET));
        }
    }
}
