//! The controls (section 5.6): pacing rate, send quantum and window.

use std::time::Duration;

use super::{Bbr, MIN_PIPE, Rate, Repair, State, UNBOUNDED, UNIT};
use crate::tcp::congestion::Acked;
use crate::tcp::recovery::pacing;

/// What the pacing rate is below the bandwidth, in hundredths (BBR.PacingMarginPercent).
const PACING_MARGIN_PERCENT: u32 = 1;
/// Quanta that are in flight at least, so that offloads have work at both ends (BBR.offload_budget).
const OFFLOAD_QUANTA: u32 = 3;

impl Bbr {
    /// Section 5.6.2: the initial window in a round-trip time.
    pub(super) fn init_pacing_rate(&mut self, rtt: Duration) {
        let nominal = Rate::new(self.initial_cwnd.into(), rtt.max(Duration::from_micros(1)));
        self.pacing_rate = nominal.times(State::Startup.pacing_gain(), UNIT).max(self.least_pacing_rate());
        self.send_quantum = pacing::quantum(self.pacing_rate, self.mss);
    }

    /// Before the path was full once the rate only rises: samples may be limited by the application.
    pub(super) fn set_pacing_rate_with_gain(&mut self, gain: u32) {
        let rate = self.bw.times(gain, UNIT).times(100 - PACING_MARGIN_PERCENT, 100);
        if rate > Rate::ZERO && (self.full_bw_reached || rate > self.pacing_rate) {
            self.pacing_rate = rate.max(self.least_pacing_rate());
        }
    }

    /// One segment in a second, so that sending never stops.
    fn least_pacing_rate(&self) -> Rate {
        Rate::from_octets_per_sec(self.mss.into())
    }

    pub(super) fn update_controls(&mut self, acked: &Acked) {
        if let Some(rtt) = acked.rtt {
            self.round_trip_known(rtt);
        }
        self.set_pacing_rate_with_gain(self.state.pacing_gain());
        self.send_quantum = pacing::quantum(self.pacing_rate, self.mss);
        self.set_cwnd(acked.octets);
    }

    /// Section 5.6.4.6: towards what the model wants, by no more than what was delivered.
    fn set_cwnd(&mut self, delivered: u32) {
        let max_inflight = self.max_inflight();
        let grown = self.cwnd.saturating_add(delivered);
        if self.full_bw_reached {
            self.cwnd = grown.min(max_inflight);
        } else if self.cwnd < max_inflight || self.delivered < u64::from(self.initial_cwnd) {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
    }

    /// Section 5.6.4.7: what the losses of the last cycle and of the last rounds allow.
    pub(super) fn bound_cwnd_for_model(&mut self) {
        let cap = match self.state {
            State::ProbeBwDown | State::ProbeBwRefill | State::ProbeBwUp => self.inflight_longterm,
            State::ProbeRtt | State::ProbeBwCruise => self.inflight_with_headroom(),
            State::Startup | State::Drain => UNBOUNDED,
        };
        self.cwnd = self.cwnd.min(cap.min(self.inflight_shortterm).max(self.min_pipe()));
    }

    fn min_pipe(&self) -> u32 {
        MIN_PIPE * self.mss
    }

    /// At least what offloads and pipelining need.
    fn quantization_budget(&self, inflight: u32) -> u32 {
        let inflight = inflight.max(self.send_quantum.saturating_mul(OFFLOAD_QUANTA)).max(self.min_pipe());
        if self.state == State::ProbeBwUp { inflight.saturating_add(2 * self.mss) } else { inflight }
    }

    /// What the path holds at this bandwidth, times a gain.
    pub(super) fn inflight(&self, bw: Rate, gain: u32) -> u32 {
        self.quantization_budget(self.bdp_multiple(bw, gain))
    }

    /// BBR.max_inflight.
    fn max_inflight(&self) -> u32 {
        let inflight = self.bdp_multiple(self.bw, self.state.cwnd_gain());
        self.quantization_budget(inflight.saturating_add(self.extra_acked.max()))
    }

    /// Before recovery or ProbeRTT cuts it.
    pub(super) fn save_cwnd(&mut self) {
        let whole = self.repair == Repair::None && self.state != State::ProbeRtt;
        self.prior_cwnd = if whole { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }

    pub(super) fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}
