//! Startup and Drain (sections 5.3.1 and 5.3.2): the rate doubles until the path is full, then the queue goes.

use super::{Bbr, FullBandwidth, Repair, State, UNIT};
use crate::tcp::congestion::Acked;
use crate::tcp::recovery::delivery_rate::RateSample;

/// Rounds without growth after which the path is full.
const FULL_ROUNDS: u8 = 3;
/// Ranges lost in one round that end Startup (BBRStartupFullLossCnt).
const FULL_LOSSES: u8 = 6;
/// Rounds that Drain lasts at most.
const DRAIN_ROUNDS: u32 = 3;

impl Bbr {
    /// (Again) in Startup.
    pub(super) fn enter_startup(&mut self) {
        self.state = State::Startup;
    }

    /// Section 5.3.1.2: three rounds in which the rate grew by less than a quarter.
    pub(super) fn check_full_bw_reached(&mut self, sample: &RateSample) {
        if self.full_bw.now || !self.round_start || sample.app_limited {
            return;
        }
        if sample.rate >= self.full_bw.rate.times(5, 4) {
            self.full_bw = FullBandwidth { rate: sample.rate, ..FullBandwidth::default() };
            return;
        }
        self.full_bw.rounds += 1;
        self.full_bw.now = self.full_bw.rounds >= FULL_ROUNDS;
        self.full_bw_reached |= self.full_bw.now;
    }

    pub(super) fn check_startup_done(&mut self, acked: &Acked, sample: &RateSample) {
        self.check_startup_high_loss(acked, sample);
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
            self.drain_start_round = self.round_count;
        }
    }

    /// Section 5.3.1.3: a whole round of recovery with more than 2 % lost, in at least six places.
    fn check_startup_high_loss(&mut self, acked: &Acked, sample: &RateSample) {
        if !self.loss_round_start {
            return;
        }
        let recovering = acked.recovering || self.repair == Repair::Fast;
        let enough = if self.selective { self.lost_ranges >= FULL_LOSSES } else { self.lost_ranges > 0 };
        if self.state == State::Startup
            && !self.full_bw_reached
            && recovering
            && enough
            && self.is_inflight_too_high(sample.lost, sample.in_flight)
        {
            self.undo.state = Some(State::Startup);
            self.full_bw_reached = true;
            self.inflight_longterm = self.bdp_multiple(self.bw, UNIT).max(self.inflight_latest);
        }
        self.lost_ranges = 0;
    }

    /// Section 5.3.2: no more than the path holds, or three rounds.
    pub(super) fn check_drain_done(&mut self, acked: &Acked) {
        let drained = |bbr: &Bbr| {
            acked.in_flight <= bbr.inflight(bbr.bw, UNIT)
                || bbr.round_count.wrapping_sub(bbr.drain_start_round) > DRAIN_ROUNDS
        };
        if self.state == State::Drain && drained(self) {
            self.start_probe_bw_down(acked.now);
        }
    }
}
