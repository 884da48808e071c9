//! Losses by chance, told from those of a path that is asked for too much.
//!
//! At a loss of 1 % there are round trips in which more than 2 % (BBR.LossThresh) are lost, more often the less is in flight.
//! The draft takes each of them for a queue that overflows, and each loss outside of a probe for a reason to slow down by what
//! was lost. This counts what is lost beyond 2 % of all that was sent, and forgets it as other segments arrive.

use super::Bbr;
use super::loss::LOSS_THRESHOLD;

/// Segments lost beyond the threshold that chance does not explain: as many as end Startup (BBRStartupFullLossCnt). With 1 %
/// lost by chance they come together once in some 100,000 segments; a queue that overflows loses them in one round trip.
const BY_CHANCE: u32 = 6;

/// Where the path holds little they would be much of it: then one in so many segments that it holds is enough, but never one
/// alone.
const SHARE: u32 = 25;
const LEAST_BY_CHANCE: u32 = 2;

/// What was lost beyond the threshold; never below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Excess {
    /// In octets, times [`LOSS_THRESHOLD`].
    scaled: u64,
}

impl Excess {
    /// So much was lost. No more than a segment beyond what chance explains is counted, so that the end of congestion is
    /// soon noticed.
    pub(super) fn lost(&mut self, octets: u32, by_chance: u32, mss: u32) {
        let limit = u64::from(by_chance.saturating_add(mss)) * LOSS_THRESHOLD;
        self.scaled = (self.scaled + u64::from(octets) * (LOSS_THRESHOLD - 1)).min(limit);
    }

    /// So much was delivered.
    pub(super) fn delivered(&mut self, octets: u32) {
        self.scaled = self.scaled.saturating_sub(octets.into());
    }

    /// As much was lost at once, or more by and by.
    pub(super) fn is_high(self, by_chance: u32) -> bool {
        self.scaled >= u64::from(by_chance) * (LOSS_THRESHOLD - 1)
    }
}

impl Bbr {
    /// Octets that may be lost by chance beyond the threshold.
    pub(super) fn by_chance(&self) -> u32 {
        (self.target_inflight() / SHARE).clamp(LEAST_BY_CHANCE * self.mss, BY_CHANCE * self.mss)
    }

    /// More was lost than chance explains.
    pub(super) fn is_excess_high(&self) -> bool {
        self.excess.is_high(self.by_chance())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;
    const SIX: u32 = BY_CHANCE * MSS;

    /// One lost of so many, for so many segments: after how many it is too much.
    fn high_after(one_in: u32, segments: u32) -> Option<u32> {
        let mut excess = Excess::default();
        (1..=segments).find(|number| {
            if number.is_multiple_of(one_in) {
                excess.lost(MSS, SIX, MSS)
            } else {
                excess.delivered(MSS)
            }
            excess.is_high(SIX)
        })
    }

    #[test]
    fn what_is_below_the_threshold_never_counts() {
        for one_in in [1_000, 100, 50] {
            assert_eq!(high_after(one_in, 100_000), None, "{one_in}");
        }
        // The sooner the more it is.
        assert_eq!((high_after(25, 1_000), high_after(5, 1_000), high_after(1, 10)), (Some(275), Some(35), Some(6)));
    }

    /// When the congestion is over, some fifty segments are enough.
    #[test]
    fn what_is_counted_is_bounded() {
        let mut excess = Excess::default();
        (0..1_000).for_each(|_| excess.lost(MSS, SIX, MSS));
        let after = (1..).find(|_| {
            excess.delivered(MSS);
            !excess.is_high(SIX)
        });
        assert_eq!(after, Some(57));
    }

    #[test]
    fn a_short_path_allows_less() {
        let mut bbr = Bbr::new(1);
        bbr.mss = MSS;
        bbr.min_rtt = std::time::Duration::from_millis(10);
        for (segments, by_chance) in [(10, 2), (75, 3), (150, 6), (1_000, 6)] {
            bbr.bw = super::super::Rate::from_octets_per_sec(u64::from(segments * MSS) * 100);
            bbr.cwnd = 2 * segments * MSS;
            assert_eq!(bbr.by_chance(), by_chance * MSS, "{segments}");
        }
    }
}
