//! Random early detection (RFC 2309 section 4, after Floyd and Jacobson, 1993): the longer the average queue, the likelier an
//! arriving packet is dropped, or marked where its sender knows ECN.

use std::time::Duration;

/// Settings of RED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red {
    /// Average bytes in the queue up to which nothing is dropped.
    pub min_bytes: usize,
    /// Average bytes from which everything is dropped.
    pub max_bytes: usize,
    /// Packets in a million that are dropped as the average comes close to `max_bytes`.
    pub max_per_million: u32,
    /// Packets of senders that know ECN are marked instead of dropped, as long as the average is below `max_bytes`.
    pub ecn: bool,
}

impl Red {
    /// For a queue of so many bytes: from a quarter of it on, up to 10 % at three quarters.
    pub fn for_queue(bytes: usize) -> Red {
        Red { min_bytes: bytes / 4, max_bytes: bytes / 4 * 3, max_per_million: 100_000, ecn: false }
    }
}

/// The weight of a new queue length in the average is 1 / 2^WEIGHT.
const WEIGHT: u32 = 9;
/// Fractions of a byte in the average.
const FRACTION: u32 = 16;
/// After so many packet times of idleness half of the average is left: ln 2 * 2^WEIGHT.
const HALF_LIFE: u64 = 355;

/// What is done with an arriving packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// Mark it, or drop it where it cannot be marked.
    Notify,
    Drop,
}

/// Where RED stands with one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RedState {
    /// The average in bytes, with `FRACTION` bits behind the point.
    average: u64,
    /// Packets since the last notification.
    count: u64,
}

impl RedState {
    /// A packet finds `queued` bytes, or a line that has been idle for `idle`, in which it could have sent a packet each
    /// `packet_time`. `draw` is a random number below a million.
    pub(super) fn arrives(&mut self, red: &Red, queued: usize, idle: (Duration, Duration), draw: u32) -> Verdict {
        if queued == 0 {
            self.decay(idle.0, idle.1);
        }
        let queued = (queued as u64) << FRACTION;
        self.average = self.average - (self.average >> WEIGHT) + (queued >> WEIGHT);
        let (average, min, max) = (self.average >> FRACTION, red.min_bytes as u64, red.max_bytes as u64);
        if average < min {
            self.count = 0;
            return Verdict::Pass;
        }
        if average >= max {
            self.count = 0;
            return Verdict::Drop;
        }
        self.count += 1;
        let base = u64::from(red.max_per_million) * (average - min) / (max - min);
        // Spread evenly: the chance grows with the packets that were spared.
        let spared = self.count.saturating_mul(base);
        let chance = if spared >= 1_000_000 { 1_000_000 } else { base * 1_000_000 / (1_000_000 - spared) };
        if u64::from(draw) < chance {
            self.count = 0;
            return Verdict::Notify;
        }
        Verdict::Pass
    }

    fn decay(&mut self, idle: Duration, packet_time: Duration) {
        let packets = u64::try_from(idle.as_nanos() / packet_time.as_nanos().max(1)).unwrap_or(u64::MAX);
        let halvings = packets / HALF_LIFE;
        self.average = if halvings >= 64 { 0 } else { self.average >> halvings };
        self.average -= self.average * (packets % HALF_LIFE) / (2 * HALF_LIFE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::KeyedRng;

    const NO_IDLE: (Duration, Duration) = (Duration::ZERO, Duration::from_micros(100));

    #[test]
    fn the_average_decides_and_a_burst_passes() {
        let red = Red::for_queue(100_000);
        let mut state = RedState::default();
        let mut rng = KeyedRng::from_seed(1);
        let mut run = |state: &mut RedState, queued, packets| {
            let draws = (0..packets).map(|_| state.arrives(&red, queued, NO_IDLE, rng.below(1_000_000) as u32));
            draws.fold([0; 3], |mut sum, verdict| {
                sum[verdict as usize] += 1;
                sum
            })
        };
        assert_eq!(run(&mut state, 90_000, 100), [100, 0, 0], "the queue is full, but not on average");
        run(&mut state, 50_000, 3_000);
        let [_, notified, dropped] = run(&mut state, 50_000, 2_000);
        // 5 % by the line, and about twice that as they are spread evenly.
        assert!((150..250).contains(&notified) && dropped == 0, "{notified}");
        run(&mut state, 90_000, 3_000);
        assert_eq!(run(&mut state, 90_000, 10), [0, 0, 10]);
        // A line that was idle for long has forgotten.
        assert_eq!(state.arrives(&red, 0, (Duration::from_secs(9), Duration::from_micros(100)), 0), Verdict::Pass);
        assert!(state.average >> FRACTION < 1_000);
    }
}
