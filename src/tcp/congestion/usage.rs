//! Whether the congestion window is what limits sending: a window that is not used gives no reason for a larger one.
//!
//! ACKs are handled in batches, and between those of one batch nothing is sent; so FlightSize at the moment of an ACK says
//! little. What counts is the largest that was seen in this round trip or in the one before.

use super::Acked;
use crate::tcp::sequence::SeqNumber;

/// The part of the window that sending may hold back where the device cuts super-segments (`plan::next`).
const DEFERRED_SHARE: u32 = 8;

/// The largest FlightSizes of two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Of this round, in octets.
    peak: u32,
    /// Of the one before.
    previous: u32,
    /// The round ends when this is acknowledged.
    round_end: SeqNumber,
}

impl Usage {
    /// Nothing was sent.
    pub const fn new() -> Usage {
        Usage { peak: 0, previous: 0, round_end: SeqNumber(0) }
    }

    /// Takes note of an ACK.
    pub fn acked(&mut self, acked: &Acked) {
        if self.peak == 0 || acked.una.ge(self.round_end) {
            *self = Usage { peak: acked.flight, previous: self.peak, round_end: acked.nxt };
        } else {
            self.peak = self.peak.max(acked.flight);
        }
    }

    fn largest(&self) -> u32 {
        self.peak.max(self.previous)
    }

    /// All of `cwnd` was in use, but for what is too little to be sent.
    // 9438-4.6-2: a window that is not used does not grow (also RFC 7661 section 4.4).
    pub fn fills(&self, cwnd: u32, acked: &Acked) -> bool {
        let deferred = if acked.piece > acked.mss { acked.piece.min(cwnd / DEFERRED_SHARE) } else { 0 };
        self.largest().saturating_add(acked.mss).saturating_add(deferred) >= cwnd
    }

    /// More than half of `cwnd` was in use: enough for slow start, which makes it twice what was used and no more (RFC 7661).
    pub fn fills_half(&self, cwnd: u32) -> bool {
        self.largest().saturating_mul(2) > cwnd
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::tests::{MSS, ack};

    /// 9438-4.6-2: of a batch of ACKs the last is as good a reason to grow as the first.
    #[test]
    fn a_batch_of_acks_hides_nothing() {
        let mut usage = Usage::new();
        let cwnd = 20 * MSS;
        for number in 1..=20 {
            let una = SeqNumber(u32::MAX - 7_000) + number * MSS;
            let nxt = SeqNumber(u32::MAX - 7_000) + 20 * MSS;
            let acked = Acked { una, nxt, ..ack(MSS, (21 - number) * MSS) };
            usage.acked(&acked);
            assert!(usage.fills(cwnd, &acked) && usage.fills_half(cwnd), "{number}");
        }
        // In the round after the one that this has ended it is known that less is used.
        for round in 1..=2 {
            assert!(usage.fills_half(cwnd) == (round == 1));
            let una = SeqNumber(u32::MAX - 7_000) + (20 + round * 4) * MSS;
            usage.acked(&Acked { una, nxt: una + 4 * MSS, ..ack(MSS, 4 * MSS) });
        }
        assert!(!usage.fills_half(cwnd));
    }

    /// 9438-4.6-2: a window is in use while no whole segment more would fit into it.
    #[test]
    fn a_window_is_full_when_no_segment_fits() {
        let mut usage = Usage::new();
        let acked = ack(MSS, 9 * MSS);
        usage.acked(&acked);
        assert!(usage.fills(10 * MSS, &acked) && !usage.fills(10 * MSS + 1, &acked));
        assert!(usage.fills_half(18 * MSS - 1) && !usage.fills_half(18 * MSS));
    }

    #[test]
    fn what_is_held_back_for_a_super_segment_counts_as_used() {
        let mut usage = Usage::new();
        let acked = Acked { piece: 44 * MSS, ..ack(MSS, 90 * MSS) };
        usage.acked(&acked);
        assert!(usage.fills(100 * MSS, &acked) && !usage.fills(110 * MSS, &acked));
        assert!(!usage.fills(100 * MSS, &Acked { piece: MSS, ..acked }));
    }
}
