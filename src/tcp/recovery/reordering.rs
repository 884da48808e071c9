//! How much later than others a segment may arrive and still not be lost: the reordering window (RFC 8985 section 6.2
//! step 4).

use std::time::Duration;

use crate::tcp::sequence::SeqNumber;

/// Recoveries after which a widened window is forgotten.
const PERSISTENCE: u8 = 16;

/// Segments that show a loss while no reordering has been seen (DupThresh of RFC 5681).
pub const DUPLICATE_THRESHOLD: u32 = 3;

/// What the connection has learned of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reordering {
    /// Something has arrived out of order.
    pub seen: bool,
    /// RACK.reo_wnd_mult: quarters of the least round-trip time.
    multiplier: u8,
    /// RACK.reo_wnd_persist: recoveries for which it stays so.
    persist: u8,
    /// The most segments by which something was overtaken.
    degree: u8,
    /// RACK.dsack_round: no second step before this is acknowledged, if there was one.
    round: SeqNumber,
}

/// Segments by which something is believed to be overtaken at most.
const MAX_DEGREE: u32 = 255;

impl Default for Reordering {
    fn default() -> Reordering {
        let degree = DUPLICATE_THRESHOLD as u8;
        Reordering { seen: false, multiplier: 1, persist: PERSISTENCE, degree, round: SeqNumber(0) }
    }
}

impl Reordering {
    /// What was sent once has arrived so many octets behind the last that had arrived before it, in segments of `mss` octets.
    // 8985-6.2-3
    pub fn overtaken(&mut self, octets: u32, mss: u32) {
        self.seen = true;
        self.degree = self.degree.max(octets.div_ceil(mss.max(1)).min(MAX_DEGREE) as u8);
    }

    /// The most segments by which something was overtaken: 3 at least, as so many show a loss otherwise.
    pub fn degree(&self) -> u8 {
        self.degree
    }

    /// More is overtaken than what shows a loss otherwise.
    pub fn reorders(&self) -> bool {
        u32::from(self.degree) > DUPLICATE_THRESHOLD
    }

    /// A D-SACK: something was sent again for nothing, so the window was too small. Once in a round trip.
    // 8985-6.2-4
    pub fn duplicate(&mut self, una: SeqNumber, nxt: SeqNumber) {
        // A mark that lies in front of SND.NXT no more is of long ago, however its number compares.
        let same_round = una.lt(self.round) && self.round.le(nxt);
        if self.multiplier == 1 || !same_round {
            self.round = nxt;
            self.multiplier = self.multiplier.saturating_add(1);
            self.persist = PERSISTENCE;
        }
    }

    /// A recovery is over, with an ACK that has no D-SACK.
    pub fn recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            *self = Reordering { multiplier: 1, persist: PERSISTENCE, ..*self };
        }
    }

    /// RACK.reo_wnd_mult.
    pub fn multiplier(&self) -> u8 {
        self.multiplier
    }

    /// RACK.reo_wnd. `certain`: a recovery is under way, or DupThresh segments are SACKed.
    pub fn window(&self, min_rtt: Option<Duration>, srtt: Option<Duration>, certain: bool) -> Duration {
        if !self.seen && certain {
            return Duration::ZERO;
        }
        let quarters = min_rtt.unwrap_or_default().saturating_mul(u32::from(self.multiplier)) / 4;
        // 8985-3.3.2: no longer than a round trip.
        quarters.min(srtt.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    /// 8985-6.2-4: the trace of the multiplier.
    #[test]
    fn duplicates_widen_the_window_and_recoveries_wear_it_off() {
        let mut reordering = Reordering { seen: true, ..Reordering::default() };
        let window = |reordering: &Reordering| reordering.window(ms(40), ms(100), true).as_millis();
        assert_eq!(window(&reordering), 10);
        for (una, nxt, expected) in [(0, 100, 20), (50, 150, 20), (99, 200, 20), (100, 200, 30), (150, 300, 30)] {
            reordering.duplicate(SeqNumber(una), SeqNumber(nxt));
            assert_eq!(window(&reordering), expected, "{una}");
        }
        for _ in 0..15 {
            reordering.recovered();
            assert_eq!(window(&reordering), 30);
        }
        reordering.recovered();
        assert_eq!(window(&reordering), 10);
        assert!(reordering.seen, "the path is what it is");
    }

    /// 8985-6.2-4: the mark of a round does not come back when the sequence numbers have gone half around.
    #[test]
    fn a_round_of_long_ago_is_over() {
        let mut reordering = Reordering { seen: true, ..Reordering::default() };
        for (turn, una) in [0_u32, 1 << 30, 3 << 30, 0x7000_0000, 0x6fff_0000].into_iter().enumerate() {
            reordering.duplicate(SeqNumber(una), SeqNumber(una) + 100);
            assert_eq!(usize::from(reordering.multiplier()), turn + 2, "{una}");
            reordering.duplicate(SeqNumber(una) + 50, SeqNumber(una) + 150);
            assert_eq!(usize::from(reordering.multiplier()), turn + 2, "{una}");
        }
    }

    #[test]
    fn the_degree_is_the_largest() {
        let mut reordering = Reordering::default();
        assert_eq!((reordering.degree(), reordering.seen), (3, false));
        for (octets, degree) in [(1_000, 3), (5_001, 6), (4_000, 6), (u32::MAX, 255)] {
            reordering.overtaken(octets, 1_000);
            assert_eq!(reordering.degree(), degree, "{octets}");
        }
        assert!(reordering.seen);
    }

    /// 8985-6.2-4, 8985-3.3.2
    #[test]
    fn the_window() {
        for (seen, min_rtt, srtt, certain, expected) in [
            (false, ms(40), ms(50), false, 10),
            (false, ms(40), ms(50), true, 0),
            (true, ms(40), ms(50), true, 10),
            (true, ms(40), ms(50), false, 10),
            (true, ms(40), ms(5), false, 5),
            (true, None, None, false, 0),
        ] {
            let reordering = Reordering { seen, ..Reordering::default() };
            assert_eq!(reordering.window(min_rtt, srtt, certain).as_millis(), expected);
        }
        // 8985-3.3.2: whatever is learned.
        let mut reordering = Reordering { seen: true, ..Reordering::default() };
        for round in 0..400 {
            reordering.duplicate(SeqNumber(round * 10), SeqNumber(round * 10 + 10));
            assert!(reordering.window(ms(40), ms(50), true) <= Duration::from_millis(50));
        }
        assert_eq!(reordering.multiplier(), u8::MAX);
    }
}
