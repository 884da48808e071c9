//! HyStart++ (RFC 9406): leaves slow start when the round-trip time rises, before the queue overflows.
//!
//! ```text
//!   slow start  --- the RTT of a round rises --->  conservative slow start  --- 5 rounds --->  congestion avoidance
//!               <--- it has fallen again ---
//! ```
//!
//! Only the first slow start of a connection uses it: later ones know a threshold.

use std::time::Duration;

use crate::tcp::sequence::SeqNumber;

/// RTT samples that a round needs before it tells anything (N_RTT_SAMPLE). A peer that acknowledges whole super-segments
/// may give fewer; such a round decides nothing (docs/decisions.md).
const MIN_SAMPLES: u8 = 8;
/// Bounds of the rise that counts, in microseconds (MIN_RTT_THRESH, MAX_RTT_THRESH).
const MIN_THRESHOLD: u32 = 4_000;
const MAX_THRESHOLD: u32 = 16_000;
/// The rise that counts is this part of the RTT (MIN_RTT_DIVISOR).
const THRESHOLD_DIVISOR: u32 = 8;
/// By how much conservative slow start is slower (CSS_GROWTH_DIVISOR).
// 9406-4.3: at least 2.
pub const GROWTH_DIVISOR: u32 = 4;
/// Rounds of conservative slow start (CSS_ROUNDS).
const CONSERVATIVE_ROUNDS: u8 = 5;
/// No RTT is known yet.
const UNKNOWN: u32 = u32::MAX;

/// How the window grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// As in slow start.
    SlowStart,
    /// By a part of that ([`GROWTH_DIVISOR`]).
    Conservative,
    /// Slow start is over: ssthresh becomes cwnd.
    Over,
}

/// The variables of RFC 9406, round-trip times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HyStart {
    /// The round ends when this is acknowledged (windowEnd).
    window_end: SeqNumber,
    /// The least of the last round (lastRoundMinRTT).
    last_min: u32,
    /// The least of this round (currentRoundMinRTT).
    current_min: u32,
    /// The one at which conservative slow start began (cssBaselineMinRtt).
    baseline: u32,
    /// Samples in this round (rttSampleCount).
    samples: u8,
    /// Rounds of conservative slow start that have ended.
    rounds: u8,
    /// `window_end` is set.
    begun: bool,
    /// In conservative slow start.
    conservative: bool,
}

impl HyStart {
    /// Before the first round.
    pub const fn new() -> HyStart {
        HyStart {
            window_end: SeqNumber(0),
            last_min: UNKNOWN,
            current_min: UNKNOWN,
            baseline: UNKNOWN,
            samples: 0,
            rounds: 0,
            begun: false,
            conservative: false,
        }
    }

    /// In conservative slow start.
    pub fn is_conservative(&self) -> bool {
        self.conservative
    }

    /// An ACK up to `una` arrived, with this RTT sample, while SND.NXT is `nxt`.
    pub fn acked(&mut self, una: SeqNumber, nxt: SeqNumber, rtt: Option<Duration>) -> Phase {
        if !self.begun {
            self.begun = true;
            self.window_end = nxt;
        } else if una.ge(self.window_end) && self.end_round(nxt) {
            return Phase::Over;
        }
        if let Some(rtt) = rtt {
            self.sampled(rtt);
        }
        if self.conservative { Phase::Conservative } else { Phase::SlowStart }
    }

    /// The same by the rule that was there before HyStart++, and that Linux has kept: no conservative slow start comes between.
    /// With samples enough, the first one of a round whose least round-trip time is too far above the least of all rounds ends
    /// slow start. A window that is still `small` is not looked at.
    pub fn acked_by_least_of_all(
        &mut self,
        una: SeqNumber,
        nxt: SeqNumber,
        rtt: Option<Duration>,
        small: bool,
    ) -> Phase {
        let Some(rtt) = rtt else { return Phase::SlowStart };
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(UNKNOWN - 1);
        self.baseline = self.baseline.min(micros);
        if small {
            return Phase::SlowStart;
        }
        if !self.begun || una.gt(self.window_end) {
            (self.begun, self.window_end, self.current_min, self.samples) = (true, nxt, UNKNOWN, 0);
        }
        self.current_min = self.current_min.min(micros);
        if self.samples < MIN_SAMPLES {
            self.samples += 1;
            return Phase::SlowStart;
        }
        let threshold = (self.baseline / THRESHOLD_DIVISOR).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
        if self.current_min > self.baseline.saturating_add(threshold) { Phase::Over } else { Phase::SlowStart }
    }

    /// An ACK gave this sample, perhaps by SACK alone. Where the path reorders, most samples come so, and those of the others
    /// are of what was overtaken: a peer that waits for it acknowledges by number only then.
    // 9406-4.2-1
    pub fn sampled(&mut self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(UNKNOWN - 1);
        self.current_min = self.current_min.min(micros);
        self.samples = self.samples.saturating_add(1);
        if self.samples >= MIN_SAMPLES {
            self.judge();
        }
    }

    /// A round ends; true if it was the last of conservative slow start.
    // 9406-4.2-1: rounds are known by sequence number. The round in which conservative slow start began counts as one.
    fn end_round(&mut self, nxt: SeqNumber) -> bool {
        self.last_min = self.current_min;
        self.current_min = UNKNOWN;
        self.samples = 0;
        self.window_end = nxt;
        self.rounds += u8::from(self.conservative);
        self.rounds >= CONSERVATIVE_ROUNDS
    }

    /// This round has samples enough to be judged.
    fn judge(&mut self) {
        if self.conservative {
            // 9406-4.2-3: the rise was no queue, and slow start goes on.
            if self.current_min < self.baseline {
                self.conservative = false;
                self.rounds = 0;
            }
        } else if self.last_min != UNKNOWN {
            // 9406-4.2-2
            let threshold = (self.last_min / THRESHOLD_DIVISOR).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
            if self.current_min >= self.last_min.saturating_add(threshold) {
                self.conservative = true;
                self.baseline = self.current_min;
            }
        }
    }
}

impl Default for HyStart {
    fn default() -> HyStart {
        HyStart::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten ACKs that end a round and give one sample each.
    fn round(hystart: &mut HyStart, number: u32, millis: u64, samples: u32) -> Phase {
        let start = SeqNumber(u32::MAX - 25_000) + number * 10_000;
        let mut phase = Phase::SlowStart;
        for ack in 0..10 {
            let rtt = (ack < samples).then(|| Duration::from_millis(millis));
            phase = hystart.acked(start + ack * 1_000, start + 10_000 + ack * 1_000, rtt);
            if phase == Phase::Over {
                break;
            }
        }
        phase
    }

    /// 9406-4.2-1, 9406-4.2-2: the rise that counts is an eighth of the RTT, between 4 and 16 ms.
    #[test]
    fn a_rise_of_the_round_trip_time_ends_slow_start() {
        for (before, after, ends) in [
            (10, 13, false),
            (10, 14, true),
            (80, 89, false),
            (80, 90, true),
            (300, 315, false),
            (300, 316, true),
            (100, 60, false),
        ] {
            let mut hystart = HyStart::new();
            assert_eq!(round(&mut hystart, 0, before, 10), Phase::SlowStart);
            let phase = round(&mut hystart, 1, after, 10);
            assert_eq!(phase == Phase::Conservative, ends, "{before} -> {after}");
        }
    }

    /// 9406-4.2-2: seven samples say nothing, eight do; and one low sample is the minimum of its round, so jitter says nothing either.
    #[test]
    fn few_samples_and_jitter_do_not() {
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 20, 10);
        assert_eq!(round(&mut hystart, 1, 90, 7), Phase::SlowStart);
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 20, 10);
        assert_eq!(round(&mut hystart, 1, 90, 8), Phase::Conservative);
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 20, 10);
        let start = SeqNumber(u32::MAX - 25_000) + 10_000;
        for ack in 0..10 {
            let rtt = Duration::from_millis(if ack == 3 { 21 } else { 60 });
            assert_eq!(hystart.acked(start + ack * 1_000, start + 20_000, Some(rtt)), Phase::SlowStart);
        }
    }

    /// By the older rule the ninth sample of a round is the first that counts, and slow start ends with it.
    #[test]
    fn by_the_least_of_all_rounds() {
        for (millis, small, ends) in [(112, false, false), (113, false, true), (113, true, false)] {
            let mut hystart = HyStart::new();
            let start = SeqNumber(u32::MAX - 25_000);
            let mut acked = |number: u32, millis: u64, small| {
                let una = start + number * 1_000;
                hystart.acked_by_least_of_all(una, una + 10_000, Some(Duration::from_millis(millis)), small)
            };
            // The first window is small, and tells of the path all the same.
            (1..=10).for_each(|number| assert_eq!(acked(number, 100, true), Phase::SlowStart));
            (11..=18).for_each(|number| assert_eq!(acked(number, millis, small), Phase::SlowStart, "{millis}"));
            assert_eq!(acked(19, millis, small) == Phase::Over, ends, "{millis} {small}");
        }
    }

    /// 9406-4.2-1: where the path reorders, nearly each ACK by number is that of something overtaken, and late; the samples
    /// that tell of the queue came before, by SACK.
    #[test]
    fn samples_by_sack_count() {
        for (millis, ends) in [(20, false), (30, true)] {
            let mut hystart = HyStart::new();
            round(&mut hystart, 0, 20, 10);
            let start = SeqNumber(u32::MAX - 25_000) + 10_000;
            let mut phase = Phase::SlowStart;
            for ack in 0..10 {
                hystart.sampled(Duration::from_millis(millis));
                phase = hystart.acked(start + ack * 1_000, start + 20_000, Some(Duration::from_millis(millis + 25)));
            }
            assert_eq!(phase == Phase::Conservative, ends, "{millis}");
        }
    }

    /// 9406-4.2-3: five rounds, the one in which it began among them.
    #[test]
    fn conservative_slow_start_takes_five_rounds() {
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 20, 10);
        for number in 1..=5 {
            assert_eq!(round(&mut hystart, number, 30, 10), Phase::Conservative, "{number}");
        }
        assert_eq!(round(&mut hystart, 6, 30, 10), Phase::Over);
    }

    /// 9406-4.2-3: below the baseline slow start resumes, and a new rise begins anew with five rounds.
    #[test]
    fn slow_start_resumes_when_the_round_trip_time_falls() {
        let mut hystart = HyStart::new();
        round(&mut hystart, 0, 20, 10);
        assert_eq!(round(&mut hystart, 1, 30, 10), Phase::Conservative);
        assert_eq!(round(&mut hystart, 2, 30, 10), Phase::Conservative);
        assert_eq!(round(&mut hystart, 3, 29, 10), Phase::SlowStart);
        assert_eq!(round(&mut hystart, 4, 40, 10), Phase::Conservative);
        for number in 5..=8 {
            assert_eq!(round(&mut hystart, number, 41, 10), Phase::Conservative, "{number}");
        }
        assert_eq!(round(&mut hystart, 9, 41, 10), Phase::Over);
    }

    /// It is part of every connection that slow starts.
    #[test]
    fn it_is_small() {
        assert!(size_of::<HyStart>() <= 20, "{}", size_of::<HyStart>());
    }
}
