//! ProbeRTT (section 5.3.4): for 200 ms little is in flight, so that all flows together see the delay of an empty path.

use std::time::Duration;

use super::{AckPhase, Bbr, MIN_PIPE, State};
use crate::tcp::congestion::Acked;
use crate::tcp::recovery::delivery_rate::RateSample;
use crate::time::Instant;

/// How long little is in flight (BBR.ProbeRTTDuration).
const DURATION: Duration = Duration::from_millis(200);

impl Bbr {
    pub(super) fn check_probe_rtt(&mut self, acked: &Acked, sample: &RateSample) {
        if self.state != State::ProbeRtt && self.probe_rtt_expired && !self.idle_restart {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done_at = None;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(acked);
        }
        if sample.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, acked: &Acked) {
        // What is sent now says nothing of the bandwidth.
        self.delivery.mark_app_limited(acked.in_flight);
        if self.probe_rtt_done_at.is_none() {
            if acked.in_flight <= self.probe_rtt_cwnd() {
                self.probe_rtt_done_at = Some(acked.now + DURATION);
                self.probe_rtt_round_done = false;
                self.start_round();
            }
            return;
        }
        self.probe_rtt_round_done |= self.round_start;
        if self.probe_rtt_round_done {
            self.check_probe_rtt_done(acked.now);
        }
    }

    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_at.is_some_and(|done| now > done) {
            self.probe_rtt_min_at = now;
            self.restore_cwnd();
            self.exit_probe_rtt(now);
        }
    }

    fn exit_probe_rtt(&mut self, now: Instant) {
        self.reset_short_term_model();
        if self.full_bw_reached {
            self.start_probe_bw_down(now);
            self.start_probe_bw_cruise();
        } else {
            self.enter_startup();
        }
    }

    /// Half of what the path holds.
    pub(super) fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp_multiple(self.bw, State::ProbeRtt.cwnd_gain()).max(MIN_PIPE * self.mss)
    }
}
