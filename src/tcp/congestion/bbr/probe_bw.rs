//! The cycle of ProbeBW (section 5.3.3): slower, as fast, refilled, faster, and again.

use std::time::Duration;

use super::excess::Excess;
use super::{AckPhase, Bbr, FullBandwidth, MIN_PIPE, Rate, State, UNBOUNDED, UNIT};
use crate::tcp::congestion::Acked;
use crate::tcp::recovery::delivery_rate::RateSample;
use crate::time::Instant;

/// What is left free of the long-term bound for others, in hundredths (BBR.Headroom).
const HEADROOM_PERCENT: u64 = 15;
/// The time between two probes: 2 s, and at random up to 1 s more.
const PROBE_WAIT: Duration = Duration::from_secs(2);
const PROBE_WAIT_RANDOM_MILLIS: u64 = 1_000;
/// In rounds, at most: how long Reno would take to come back from a loss.
const RENO_ROUNDS: u32 = 63;
/// Doublings of the slope at which the long-term bound grows.
const MAX_SLOPE: u8 = 30;

impl Bbr {
    pub(super) fn start_probe_bw_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = UNBOUNDED;
        self.pick_probe_wait();
        self.cycle_at = now;
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::ProbeBwDown;
    }

    pub(super) fn start_probe_bw_cruise(&mut self) {
        self.state = State::ProbeBwCruise;
    }

    pub(super) fn start_probe_bw_refill(&mut self) {
        self.reset_short_term_model();
        // What the probe does to the path is judged by its own losses.
        self.excess = Excess::default();
        self.probe_up_rounds = 0;
        self.probe_up_acked = 0;
        self.prev_probe_precautionary = false;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::ProbeBwRefill;
    }

    fn start_probe_bw_up(&mut self, sample: &RateSample) {
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw(sample.rate);
        self.state = State::ProbeBwUp;
        self.raise_inflight_longterm_slope();
    }

    /// The search for the full rate begins anew, from this rate.
    pub(super) fn reset_full_bw(&mut self, rate: Rate) {
        self.full_bw = FullBandwidth { rate, ..FullBandwidth::default() };
    }

    /// Section 5.3.3.9, on each ACK.
    pub(super) fn update_probe_bw(&mut self, acked: &Acked, sample: &RateSample) {
        if !self.full_bw_reached || self.adapt_long_term_model(acked, sample) {
            return;
        }
        match self.state {
            State::ProbeBwDown => {
                if self.is_time_to_probe(acked.now) {
                    self.start_probe_bw_refill();
                } else if self.is_time_to_cruise(acked) {
                    self.start_probe_bw_cruise();
                }
            }
            State::ProbeBwCruise => {
                if self.is_time_to_probe(acked.now) {
                    self.start_probe_bw_refill();
                }
            }
            State::ProbeBwRefill => {
                if self.round_start {
                    self.is_bw_probe_sample = true;
                    self.start_probe_bw_up(sample);
                }
            }
            State::ProbeBwUp => {
                if self.is_time_to_go_down(acked, sample) {
                    self.prev_probe_too_high = false;
                    self.start_probe_bw_down(acked.now);
                }
            }
            State::Startup | State::Drain | State::ProbeRtt => {}
        }
    }

    /// What the ACKs of a probe say of the bandwidth and of the long-term bound; true if a state was left.
    fn adapt_long_term_model(&mut self, acked: &Acked, sample: &RateSample) -> bool {
        if self.ack_phase == AckPhase::ProbeStarting && self.round_start {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.ack_phase == AckPhase::ProbeStopping && self.round_start {
            self.is_bw_probe_sample = false;
            self.ack_phase = AckPhase::Init;
            if self.state.is_probe_bw() && !sample.app_limited {
                self.bandwidth.advance();
            }
            // The cautious probe lost little: at once another one, which is not cautious.
            if self.state.is_probe_bw() && self.prev_probe_precautionary && !self.prev_probe_too_high {
                self.start_probe_bw_refill();
                return true;
            }
        }
        if self.is_inflight_too_high(sample.lost, sample.in_flight) || self.inflight_longterm == UNBOUNDED {
            return false;
        }
        self.inflight_longterm = self.inflight_longterm.max(sample.in_flight);
        if self.state == State::ProbeBwUp {
            self.probe_inflight_longterm_upward(acked);
        }
        false
    }

    fn is_time_to_cruise(&self, acked: &Acked) -> bool {
        acked.in_flight <= self.inflight_with_headroom() && acked.in_flight <= self.inflight(self.bandwidth.max(), UNIT)
    }

    fn is_time_to_go_down(&mut self, acked: &Acked, sample: &RateSample) -> bool {
        // Where the last probe went too high, this one ends as soon as it comes as far.
        if self.prev_probe_too_high && acked.in_flight >= self.inflight_longterm {
            self.prev_probe_precautionary = true;
            return true;
        }
        if self.is_cwnd_limited(acked) && self.cwnd >= self.inflight_longterm {
            // The bound is what limits the rate, not the path.
            self.reset_full_bw(sample.rate);
            return false;
        }
        self.full_bw.now
    }

    /// Two to three seconds have passed, or as many rounds as Reno would need.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let rounds = (self.target_inflight() / self.mss.max(1)).min(RENO_ROUNDS);
        now > self.cycle_at + self.bw_probe_wait || self.rounds_since_probe_up >= rounds
    }

    fn pick_probe_wait(&mut self) {
        self.rounds_since_probe_up = self.random_below(2) as u32;
        self.bw_probe_wait = PROBE_WAIT + Duration::from_millis(self.random_below(PROBE_WAIT_RANDOM_MILLIS));
    }

    /// What is wanted in flight: what the path holds, unless congestion has cut the window.
    pub(super) fn target_inflight(&self) -> u32 {
        self.bdp_multiple(self.bw, UNIT).min(self.cwnd)
    }

    /// The long-term bound, less what is left free for others.
    pub(super) fn inflight_with_headroom(&self) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = (u64::from(self.inflight_longterm) * HEADROOM_PERCENT / 100) as u32;
        self.inflight_longterm.saturating_sub(headroom.max(self.mss)).max(MIN_PIPE * self.mss)
    }

    /// The window is what limits sending.
    fn is_cwnd_limited(&self, acked: &Acked) -> bool {
        self.usage.fills(self.cwnd, acked)
    }

    /// The long-term bound grows by 1, 2, 4 ... segments in a round.
    fn raise_inflight_longterm_slope(&mut self) {
        self.probe_up_acked_per_inc = (self.cwnd >> self.probe_up_rounds).max(self.mss);
        self.probe_up_rounds = (self.probe_up_rounds + 1).min(MAX_SLOPE);
    }

    fn probe_inflight_longterm_upward(&mut self, acked: &Acked) {
        if !self.is_cwnd_limited(acked) || self.cwnd < self.inflight_longterm {
            return;
        }
        self.probe_up_acked = self.probe_up_acked.saturating_add(acked.octets);
        let steps = self.probe_up_acked / self.probe_up_acked_per_inc.max(1);
        self.probe_up_acked -= steps * self.probe_up_acked_per_inc;
        self.inflight_longterm = self.inflight_longterm.saturating_add(steps.saturating_mul(self.mss));
        if self.round_start {
            self.raise_inflight_longterm_slope();
        }
    }
}
