//! The model of the path (section 5.5): its bandwidth, its delay, how much its ACKs come in bunches, and what the last
//! rounds say of both.

use std::time::Duration;

use super::excess::Excess;
use super::{BETA_TENTHS, Bbr, Rate, Repair, UNBOUNDED, UNIT};
use crate::tcp::congestion::Acked;
use crate::tcp::recovery::delivery_rate::RateSample;
use crate::time::Instant;

/// How long a least round-trip time holds (BBR.MinRTTFilterLen).
const MIN_RTT_HOLDS: Duration = Duration::from_secs(10);
/// How long until one is looked for (BBR.ProbeRTTInterval).
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// Rounds that one half of the filter of extra ACKs lasts (half of BBR.ExtraAckedFilterLen).
const EXTRA_ACKED_ROUNDS: u8 = 5;

/// The largest delivery rate of this cycle and the one before (BBR.max_bw_filter).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MaxBandwidth {
    previous: Rate,
    current: Rate,
}

impl MaxBandwidth {
    /// BBR.max_bw.
    pub(super) fn max(&self) -> Rate {
        self.previous.max(self.current)
    }

    /// Takes a sample.
    fn take(&mut self, rate: Rate) {
        self.current = self.current.max(rate);
    }

    /// A cycle is over. One without any sample does not count.
    pub(super) fn advance(&mut self) {
        if self.current != Rate::ZERO {
            (self.previous, self.current) = (self.current, Rate::ZERO);
        }
    }
}

/// Octets that were acknowledged beyond what the bandwidth explains (section 5.5.9).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ExtraAcked {
    /// When the interval began.
    since: Instant,
    /// Octets delivered in it.
    delivered: u64,
    /// The largest of the last rounds, and of those before.
    halves: [u32; 2],
    /// Rounds of the first half.
    rounds: u8,
}

impl ExtraAcked {
    /// A new interval begins.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.delivered = 0;
    }

    /// BBR.extra_acked.
    pub(super) fn max(&self) -> u32 {
        self.halves[0].max(self.halves[1])
    }

    /// A round is over, of so many that a half lasts.
    fn end_round(&mut self, rounds: u8) {
        self.rounds += 1;
        if self.rounds >= rounds {
            self.rounds = 0;
            self.halves = [0, self.halves[0]];
        }
    }

    fn take(&mut self, now: Instant, octets: u32, bw: Rate, cwnd: u32) {
        let mut expected = bw.octets_in(now - self.since);
        if self.delivered <= expected {
            self.restart(now);
            expected = 0;
        }
        self.delivered += u64::from(octets);
        let extra = u32::try_from(self.delivered.saturating_sub(expected)).unwrap_or(u32::MAX);
        self.halves[0] = self.halves[0].max(extra.min(cwnd));
    }
}

/// `octets` times a gain.
pub(super) fn gained(octets: u64, gain: u32) -> u32 {
    u32::try_from(octets.saturating_mul(gain.into()) / u64::from(UNIT)).unwrap_or(UNBOUNDED)
}

impl Bbr {
    /// A round of its own begins.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// Section 5.5.1: a round is over when something is delivered that was sent after it began.
    fn update_round(&mut self, sample: &RateSample, acked: &Acked) {
        self.round_start = acked.rate.is_some() && sample.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.start_round();
            self.round_count = self.round_count.wrapping_add(1);
            self.rounds_since_probe_up = self.rounds_since_probe_up.saturating_add(1);
        }
    }

    /// Section 5.5.5.
    fn update_max_bw(&mut self, sample: &RateSample, acked: &Acked) {
        self.update_round(sample, acked);
        // What the application limits counts only where it shows that there is more.
        if sample.rate > Rate::ZERO && (sample.rate >= self.bandwidth.max() || !sample.app_limited) {
            self.bandwidth.take(sample.rate);
        }
    }

    /// The largest of this round so far.
    pub(super) fn update_latest_delivery_signals(&mut self, acked: &Acked, sample: &RateSample) {
        self.bw_latest = self.bw_latest.max(sample.rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.loss_round_start = acked.rate.is_some() && sample.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = self.delivered;
        }
    }

    /// The next round starts with what this ACK says.
    pub(super) fn advance_latest_delivery_signals(&mut self, sample: &RateSample) {
        if self.loss_round_start {
            self.bw_latest = sample.rate;
            self.inflight_latest = sample.delivered;
        }
    }

    /// Nothing is known of this round.
    pub(super) fn reset_congestion_signals(&mut self) {
        self.is_loss_in_round = false;
        self.is_marked_in_round = false;
        self.excess = Excess::default();
        self.bw_latest = Rate::ZERO;
        self.inflight_latest = 0;
    }

    /// Section 5.5.10.3: once in a round with losses, unless there is a probe, the short-term bounds come down to what was
    /// delivered, by three tenths at most.
    pub(super) fn update_congestion_signals(&mut self, acked: &Acked, sample: &RateSample) {
        self.update_max_bw(sample, acked);
        if !self.loss_round_start {
            return;
        }
        let congested = self.is_marked_in_round || !self.selective || self.is_excess_high();
        // Unlike in the draft losses that chance explains change nothing: at 1 % the rate would fall with each round.
        if self.is_loss_in_round && congested && !self.state.is_accelerating() {
            if self.bw_shortterm == Rate::MAX {
                self.bw_shortterm = self.bandwidth.max();
            }
            if self.inflight_shortterm == UNBOUNDED {
                self.inflight_shortterm = self.cwnd;
            }
            self.bw_shortterm = self.bw_latest.max(self.bw_shortterm.times(BETA_TENTHS, 10));
            let lowered = u64::from(self.inflight_shortterm) * u64::from(BETA_TENTHS) / 10;
            self.inflight_shortterm = self.inflight_latest.max(lowered as u32);
        }
        self.is_loss_in_round = false;
        self.is_marked_in_round = false;
        // A loss that nothing was done about, and a mark of congestion, are an episode of one round.
        self.undo.open &= self.repair != Repair::None;
    }

    /// The short-term bounds are gone.
    pub(super) fn reset_short_term_model(&mut self) {
        self.bw_shortterm = Rate::MAX;
        self.inflight_shortterm = UNBOUNDED;
    }

    pub(super) fn update_ack_aggregation(&mut self, acked: &Acked) {
        if self.round_start {
            let rounds = if self.full_bw_reached { EXTRA_ACKED_ROUNDS } else { 1 };
            self.extra_acked.end_round(rounds);
        }
        self.extra_acked.take(acked.now, acked.octets, self.bw, self.cwnd);
    }

    /// Section 5.3.4.3: the least round-trip time of the last 10 s, and of the last 5 s.
    pub(super) fn update_min_rtt(&mut self, acked: &Acked) {
        let now = acked.now;
        self.probe_rtt_expired = now > self.probe_rtt_min_at + PROBE_RTT_INTERVAL;
        if let Some(rtt) = acked.rtt
            && (rtt < self.probe_rtt_min_delay || self.probe_rtt_expired)
        {
            self.probe_rtt_min_delay = rtt;
            self.probe_rtt_min_at = now;
        }
        let expired = now > self.min_rtt_at + MIN_RTT_HOLDS;
        if self.probe_rtt_min_delay < self.min_rtt || expired {
            self.min_rtt = self.probe_rtt_min_delay;
            self.min_rtt_at = self.probe_rtt_min_at;
        }
    }

    /// The bandwidth-delay product at this bandwidth, times a gain.
    pub(super) fn bdp_multiple(&self, bw: Rate, gain: u32) -> u32 {
        if self.min_rtt == Duration::MAX {
            return self.initial_cwnd;
        }
        gained(bw.octets_in(self.min_rtt), gain)
    }
}
