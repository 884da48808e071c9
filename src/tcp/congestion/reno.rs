//! Slow start and congestion avoidance (RFC 5681 section 3.1, RFC 6928's initial window, RFC 3465's byte counting).

use super::usage::Usage;
use super::{Acked, Controller, Loss, resized};

/// The state of Reno, in octets.
// 9293-MUST-19: slow start and avoidance; the backoff of the timer is in `rto`.
#[derive(Clone, Copy, Debug)]
pub struct Reno {
    cwnd: u32,
    ssthresh: u32,
    /// Octets acknowledged since cwnd last grew in congestion avoidance.
    counted: u32,
    /// How much of cwnd is in use.
    usage: Usage,
    /// cwnd and ssthresh before the last loss.
    before: Option<(u32, u32)>,
}

/// The initial window of RFC 6928, in octets.
// 6928-2-1
pub fn initial_window(mss: u32) -> u32 {
    (10 * mss).min((2 * mss).max(14_600))
}

impl Reno {
    /// Before the handshake.
    pub fn new() -> Reno {
        // 5681-3.1-5: ssthresh begins arbitrarily high.
        Reno { cwnd: initial_window(536), ssthresh: u32::MAX, counted: 0, usage: Usage::new(), before: None }
    }

    fn halve(&mut self, loss: &Loss) {
        self.before = Some((self.cwnd, self.ssthresh));
        // 5681-3.1-8: half of what was really in flight, not of a cwnd that was not used. 5681-3.2-4: what was sent beyond
        // cwnd, for what the peer has reported to hold, is no reason for a larger window.
        self.ssthresh = (loss.flight.min(self.cwnd) / 2).max(2 * loss.mss);
        self.counted = 0;
    }
}

impl Default for Reno {
    fn default() -> Reno {
        Reno::new()
    }
}

impl Controller for Reno {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn slow_start_threshold(&self) -> u32 {
        self.ssthresh
    }

    fn start(&mut self, mss: u32, syn_losses: u8) {
        // 5681-3.1-3, 6928-2-2: a lost SYN starts with one segment; RFC 6928 relaxes that to more than one loss.
        self.cwnd = if syn_losses > 1 { mss } else { initial_window(mss) };
    }

    fn adopt(&mut self, window: u32, slow_start_threshold: u32, _mss: u32) {
        (self.cwnd, self.ssthresh) = (window, slow_start_threshold);
    }

    fn acked(&mut self, acked: &Acked) {
        self.usage.acked(acked);
        if acked.recovering {
            return;
        }
        // 5681-3.1-1: ssthresh chooses between the two.
        if self.cwnd < self.ssthresh {
            // A window that was not used gives no reason for a larger one (RFC 7661).
            if self.usage.fills_half(self.cwnd) {
                self.cwnd = self.cwnd.saturating_add(acked.slow_start_growth()).min(self.ssthresh);
            }
        } else if self.usage.fills(self.cwnd, acked) {
            // 5681-3.1-7: one segment for each whole window acknowledged.
            self.counted = self.counted.saturating_add(acked.octets);
            // A part of a segment at the end of cwnd is not sent, so that the window is acknowledged without it.
            let whole = self.cwnd - self.cwnd % acked.mss.max(1);
            if self.counted >= whole {
                self.counted -= whole;
                self.cwnd = self.cwnd.saturating_add(acked.mss);
            }
        }
    }

    fn loss(&mut self, loss: &Loss) {
        self.halve(loss);
        self.cwnd = self.ssthresh;
    }

    fn congestion_experienced(&mut self, loss: &Loss) {
        // RFC 3168 section 6.1.2: as for a loss.
        self.loss(loss);
    }

    fn timeout(&mut self, loss: &Loss, first: bool) {
        // A second expiry for the same data leaves ssthresh alone (RFC 5681 section 3.1).
        if first {
            self.halve(loss);
        }
        // 5681-3.1-9, 8961-4.3: one segment.
        self.cwnd = loss.mss;
    }

    fn undo(&mut self) {
        if let Some((cwnd, ssthresh)) = self.before.take() {
            self.cwnd = self.cwnd.max(cwnd);
            self.ssthresh = self.ssthresh.max(ssthresh);
        }
    }

    fn recovered(&mut self, flight: u32, mss: u32) {
        // RFC 6582 section 3.2 (3), first option: no burst after recovery.
        self.cwnd = self.ssthresh.min(flight.max(mss).saturating_add(mss));
    }

    fn segment_size_changed(&mut self, before: u32, mss: u32) {
        self.cwnd = resized(self.cwnd, before, mss);
        self.ssthresh = self.ssthresh.max(2 * mss);
    }

    fn restart(&mut self, mss: u32) {
        // 5681-4.1: the restart window.
        self.cwnd = self.cwnd.min(initial_window(mss));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::congestion::tests::{MSS, ack, loss};

    fn started() -> Reno {
        let mut reno = Reno::new();
        reno.start(MSS, 0);
        reno
    }

    /// 5681-3.1-1, 9293-MUST-19, 5681-3.1-5
    #[test]
    fn slow_start_doubles_and_avoidance_adds_one_segment_per_round() {
        let mut reno = started();
        assert_eq!((reno.window(), reno.slow_start_threshold()), (10 * MSS, u32::MAX));
        for _ in 0..10 {
            reno.acked(&ack(MSS, 10 * MSS));
        }
        assert_eq!(reno.window(), 20 * MSS);
        reno.loss(&loss(20 * MSS));
        assert_eq!((reno.window(), reno.slow_start_threshold()), (10 * MSS, 10 * MSS));
        // 5681-3.1-7
        for round in 0..50 {
            let flight = reno.window();
            for _ in 0..flight / MSS {
                reno.acked(&ack(MSS, flight));
            }
            assert_eq!(reno.window(), (11 + round) * MSS);
        }
    }

    /// 5681-3.1-6
    #[test]
    fn dividing_acks_gains_nothing() {
        let (mut whole, mut divided) = (started(), started());
        whole.acked(&ack(MSS, 10 * MSS));
        for _ in 0..MSS {
            divided.acked(&ack(1, 10 * MSS));
        }
        assert_eq!(whole.window(), divided.window());
    }

    /// 5681-3.1-6: an ACK of many segments brings no burst, but one of a super-segment counts in full.
    #[test]
    fn the_limit_of_slow_start_counts_pieces() {
        for (piece, grows) in [(MSS, 8 * MSS), (2 * MSS, 16 * MSS), (44 * MSS, 44 * MSS), (u32::MAX, 44 * MSS)] {
            let mut reno = started();
            reno.acked(&Acked { piece, ..ack(44 * MSS, 44 * MSS) });
            assert_eq!(reno.window(), 10 * MSS + grows, "{piece}");
        }
    }

    /// 5681-3.1-8, 5681-3.1-9, 8961-4.3, 9293-MUST-19
    #[test]
    fn a_timeout_goes_by_flight_size_and_starts_from_one_segment() {
        let mut reno = started();
        for _ in 0..90 {
            reno.acked(&ack(MSS, reno.window()));
        }
        assert_eq!(reno.window(), 100 * MSS);
        reno.timeout(&loss(8 * MSS), true);
        assert_eq!((reno.window(), reno.slow_start_threshold()), (MSS, 4 * MSS));
        reno.timeout(&loss(MSS), false);
        assert_eq!((reno.window(), reno.slow_start_threshold()), (MSS, 4 * MSS));
        reno.timeout(&loss(MSS), true);
        assert_eq!(reno.slow_start_threshold(), 2 * MSS);
    }

    /// RFC 3522 and RFC 5682 leave it to the sender what it takes back: all of it.
    #[test]
    fn a_mistake_is_taken_back() {
        for timeout in [false, true] {
            let mut reno = started();
            for _ in 0..90 {
                reno.acked(&ack(MSS, reno.window()));
            }
            let before = (reno.window(), reno.slow_start_threshold());
            if timeout {
                reno.timeout(&loss(60 * MSS), true);
                reno.timeout(&loss(60 * MSS), false);
            } else {
                reno.loss(&loss(60 * MSS));
            }
            assert_eq!(reno.slow_start_threshold(), 30 * MSS);
            reno.undo();
            assert_eq!((reno.window(), reno.slow_start_threshold()), before);
        }
    }

    /// 6928-2-1: ten segments, 14,600 octets where they are larger, and two where even those are more.
    #[test]
    fn the_initial_window_by_segment_size() {
        for (mss, window) in [(536, 5_360), (1_460, 14_600), (4_000, 14_600), (7_300, 14_600), (8_960, 17_920)] {
            assert_eq!(initial_window(mss), window, "{mss}");
        }
    }

    /// 5681-3.1-3
    #[test]
    fn lost_syns_shrink_the_initial_window() {
        for (losses, window) in [(0, 10 * MSS), (1, 10 * MSS), (2, MSS), (5, MSS)] {
            let mut reno = Reno::new();
            reno.start(MSS, losses);
            assert_eq!(reno.window(), window, "{losses}");
        }
    }

    /// 5681-4.1
    #[test]
    fn idleness_brings_the_restart_window() {
        let mut reno = started();
        for _ in 0..90 {
            reno.acked(&ack(MSS, reno.window()));
        }
        reno.restart(MSS);
        assert_eq!(reno.window(), 10 * MSS);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut reno = started();
        for _ in 0..100 {
            reno.acked(&ack(10, 10));
        }
        assert_eq!(reno.window(), 10 * MSS);
    }

    /// Whatever the loss was, what was before it comes back once, and what has grown since stays.
    #[test]
    fn a_spurious_loss_is_undone() {
        for timeout in [false, true] {
            let mut reno = started();
            reno.adopt(20 * MSS, 20 * MSS, MSS);
            if timeout {
                reno.timeout(&loss(20 * MSS), true);
                reno.timeout(&loss(MSS), false);
                assert_eq!((reno.window(), reno.slow_start_threshold()), (MSS, 10 * MSS));
            } else {
                reno.loss(&loss(20 * MSS));
                assert_eq!((reno.window(), reno.slow_start_threshold()), (10 * MSS, 10 * MSS));
            }
            reno.undo();
            assert_eq!((reno.window(), reno.slow_start_threshold()), (20 * MSS, 20 * MSS));
            reno.undo();
            assert_eq!(reno.window(), 20 * MSS);
        }
        let mut reno = started();
        reno.loss(&loss(10 * MSS));
        reno.recovered(10 * MSS, MSS);
        for _ in 0..200 {
            reno.acked(&ack(MSS, reno.window()));
        }
        let grown = reno.window();
        assert!(grown > 10 * MSS);
        reno.undo();
        assert_eq!((reno.window(), reno.slow_start_threshold()), (grown, u32::MAX));
    }

    /// 5681-3.1-7: half a segment at the end of cwnd is never sent, and must not make a round longer than one.
    #[test]
    fn a_part_of_a_segment_does_not_slow_growth() {
        let mut reno = started();
        reno.loss(&loss(9 * MSS));
        for round in 0..20 {
            assert_eq!(reno.window(), (4 + round) * MSS + MSS / 2);
            let flight = (4 + round) * MSS;
            for _ in 0..4 + round {
                reno.acked(&ack(MSS, flight));
            }
        }
    }

    /// 5681-3.1-1: the last ACK of slow start does not carry cwnd beyond ssthresh, however large the piece that it acknowledges.
    #[test]
    fn slow_start_ends_at_ssthresh() {
        let mut reno = started();
        reno.adopt(10 * MSS, 12 * MSS, MSS);
        reno.acked(&Acked { piece: 44 * MSS, ..ack(10 * MSS, 10 * MSS) });
        assert_eq!(reno.window(), 12 * MSS);
    }

    /// 5681-3.2-4: what limited transmit has added beyond cwnd does not count.
    #[test]
    fn a_loss_halves_at_most_cwnd() {
        for (flight, ssthresh) in [(8, 4), (10, 5), (13, 5), (40, 5)] {
            let mut reno = started();
            reno.loss(&loss(flight * MSS));
            assert_eq!((reno.window(), reno.slow_start_threshold()), (ssthresh * MSS, ssthresh * MSS), "{flight}");
        }
    }

    /// In fast recovery the window is not this controller's to grow.
    #[test]
    fn it_does_not_grow_in_recovery() {
        let mut reno = started();
        reno.loss(&loss(10 * MSS));
        for _ in 0..100 {
            reno.acked(&Acked { recovering: true, ..ack(MSS, 10 * MSS) });
        }
        assert_eq!(reno.window(), 5 * MSS);
    }
}
