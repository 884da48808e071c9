//! The response to loss (sections 5.5.10 and 5.5.11), and how it is taken back.

use super::excess::Excess;
use super::{BETA_TENTHS, Bbr, Rate, Repair, State, Undo};
use crate::tcp::congestion::Lost;

/// More than one in so many octets lost is too much (BBR.LossThresh, 2 %).
pub(super) const LOSS_THRESHOLD: u64 = 50;

/// More than 2 % of what was in flight is lost.
pub(super) fn is_too_high(lost: u32, in_flight: u32) -> bool {
    u64::from(lost) * LOSS_THRESHOLD > u64::from(in_flight)
}

/// How much was in flight when the losses went beyond 2 %: this record may be a super-segment, of which a part fits.
pub(super) fn inflight_at_loss(lost: &Lost) -> u32 {
    let inflight_before = lost.sample.in_flight.saturating_sub(lost.octets);
    let lost_before = lost.sample.lost.saturating_sub(lost.octets);
    let allowed = u64::from(inflight_before).saturating_sub(u64::from(lost_before) * LOSS_THRESHOLD);
    // (2 % of what was in flight - what was lost) / (1 - 2 %)
    inflight_before.saturating_add((allowed / (LOSS_THRESHOLD - 1)) as u32)
}

impl Bbr {
    /// Something is lost. What was before the first loss of an episode is kept until the episode ends: unlike in the draft
    /// not from each round anew, since a probe that ends by a loss begins a round, and what it has changed would be lost.
    pub(super) fn note_loss(&mut self) {
        if !self.is_loss_in_round {
            self.loss_round_delivered = self.delivered;
        }
        if !self.undo.open {
            self.save_cwnd();
            self.undo = Undo {
                kept: true,
                open: true,
                state: None,
                bw_shortterm: self.bw_shortterm,
                inflight_shortterm: self.inflight_shortterm,
                inflight_longterm: self.inflight_longterm,
            };
        }
        self.is_loss_in_round = true;
    }

    /// The episode is over: the window comes back, and the next loss begins another one.
    pub(super) fn end_repair(&mut self) {
        self.repair = Repair::None;
        self.undo.open = false;
        self.restore_cwnd();
    }

    /// IsInflightTooHigh (section 5.5.10.2): more than 2 % of a round trip, and more than chance explains. A peer without SACK
    /// shows one loss in a round trip at most, so there each counts.
    pub(super) fn is_inflight_too_high(&self, lost: u32, in_flight: u32) -> bool {
        if self.selective { is_too_high(lost, in_flight) && self.is_excess_high() } else { lost > 0 }
    }

    /// One record is lost. Of those sent in a probe for bandwidth, too many mean that the probe went too high.
    pub(super) fn handle_lost(&mut self, lost: &Lost) {
        self.selective = lost.selective;
        self.excess.lost(lost.octets, self.by_chance(), self.mss);
        self.note_loss();
        if self.lost_ranges == 0 || lost.seq != self.lost_end {
            self.lost_ranges = self.lost_ranges.saturating_add(1);
        }
        self.lost_end = lost.seq + lost.octets;
        if self.is_bw_probe_sample && self.is_inflight_too_high(lost.sample.lost, lost.sample.in_flight) {
            self.handle_inflight_too_high(lost);
        }
    }

    fn handle_inflight_too_high(&mut self, lost: &Lost) {
        self.prev_probe_too_high = true;
        // Once for each probe.
        self.is_bw_probe_sample = false;
        if !lost.sample.app_limited {
            let least = (u64::from(self.target_inflight()) * u64::from(BETA_TENTHS) / 10) as u32;
            self.inflight_longterm = inflight_at_loss(lost).max(least);
        }
        if self.state == State::ProbeBwUp {
            self.undo.state = Some(State::ProbeBwUp);
            self.start_probe_bw_down(lost.now);
        }
    }

    /// Section 5.5.11.2: nothing was lost.
    pub(super) fn handle_spurious_loss(&mut self) {
        if !std::mem::take(&mut self.undo.kept) {
            return;
        }
        self.end_repair();
        self.excess = Excess::default();
        self.is_loss_in_round = false;
        self.reset_full_bw(Rate::ZERO);
        self.bw_shortterm = self.bw_shortterm.max(self.undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(self.undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(self.undo.inflight_longterm);
        match self.undo.state.take() {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_bw_reached = false;
                if self.state != State::ProbeRtt {
                    self.enter_startup();
                }
            }
            Some(State::ProbeBwUp) if !matches!(self.state, State::ProbeBwUp | State::ProbeRtt) => {
                self.start_probe_bw_refill();
            }
            _ => {}
        }
    }
}
