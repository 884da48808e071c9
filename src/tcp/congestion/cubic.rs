//! CUBIC (RFC 9438): after a loss the window returns to where it was along a cubic curve of time, flat around that point.
//!
//! ```text
//!   cwnd                                   convex: looks for more
//!    W_max  - - - - - - - - ___------__.-'
//!              concave  .-'            |
//!                     /                |
//!   0.7 W_max       |                  K    t
//! ```
//!
//! The curve itself is in `cubic_curve`; what happens to it is here.

use std::time::Duration;

use super::cubic_curve::Curve;
use super::hystart::{GROWTH_DIVISOR, HyStart, Phase};
use super::usage::Usage;
use super::{Acked, Controller, Loss, initial_window, resized};

/// beta_cubic: what a loss leaves of the window, in tenths.
// 9438-4.6-1
const BETA_TENTHS: u64 = 7;

/// Segments of a window that is too small for the older rule of HyStart.
const SMALL: u32 = 16;

/// The state of CUBIC, in octets.
#[derive(Clone, Debug)]
pub struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    /// How much of cwnd is in use.
    usage: Usage,
    /// Of the first slow start.
    hystart: HyStart,
    /// What comes after it. Nothing of a curve is kept before the first loss: most connections end without one.
    later: Option<Box<Later>>,
}

/// After the first slow start.
#[derive(Clone, Copy, Debug, Default)]
struct Later {
    curve: Curve,
    /// What the last loss has changed.
    before: Option<Before>,
}

/// What the last loss has changed (RFC 9438 section 4.9.2).
#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: u32,
    ssthresh: u32,
    curve: Curve,
    /// It was the first slow start.
    initial: bool,
}

impl Cubic {
    /// Before the handshake.
    pub fn new() -> Cubic {
        // 9438-4.10: with HyStart++.
        let hystart = HyStart::new();
        Cubic { cwnd: initial_window(536), ssthresh: u32::MAX, usage: Usage::new(), hystart, later: None }
    }

    /// What there is after the first slow start, which is over with this.
    fn later(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    /// ssthresh after a loss, before its floor: 0.7 of what was in flight. What recovery has let out beyond cwnd is no reason
    /// for a larger one.
    // 9438-4.6-1
    fn reduced(&self, loss: &Loss) -> u32 {
        (u64::from(loss.flight.min(self.cwnd)) * BETA_TENTHS / 10) as u32
    }

    /// Keeps what was, and notes where the window was.
    fn remember(&mut self) {
        let (cwnd, ssthresh, initial) = (self.cwnd, self.ssthresh, self.later.is_none());
        let later = self.later();
        later.before = Some(Before { cwnd, ssthresh, curve: later.curve, initial });
        let curve = &mut later.curve;
        // 9438-4.7: a flow that has to give way makes room faster.
        curve.w_max = if cwnd < curve.w_max { (u64::from(cwnd) * (10 + BETA_TENTHS) / 20) as u32 } else { cwnd };
        curve.prior = cwnd;
        curve.epoch = None;
    }

    /// A loss, or a mark of congestion, with the least window that it leaves.
    fn reduce(&mut self, loss: &Loss, least: u32) {
        let reduced = self.reduced(loss);
        self.remember();
        self.cwnd = reduced.max(least);
        self.ssthresh = reduced.max(2 * loss.mss);
    }

    /// Slow start: up to ssthresh, and what is left of the ACK then counts in congestion avoidance.
    fn slow_start(&mut self, acked: &Acked) {
        let mut growth = acked.slow_start_growth();
        // 9406-4.3: only the first.
        if self.later.is_none() {
            let (una, nxt, rtt) = (acked.una, acked.nxt, acked.rtt);
            let phase = if acked.by_least_of_all {
                self.hystart.acked_by_least_of_all(una, nxt, rtt, self.cwnd < SMALL * acked.mss)
            } else {
                self.hystart.acked(una, nxt, rtt)
            };
            match phase {
                Phase::SlowStart => {}
                // 9406-4.2-3
                Phase::Conservative => growth /= GROWTH_DIVISOR,
                Phase::Over => {
                    // A window of one segment, after lost SYNs, is none to go on from.
                    self.ssthresh = self.cwnd.max(2 * acked.mss);
                    self.later();
                    return;
                }
            }
        }
        // A window that was not used gives no reason for a larger one (RFC 7661).
        if self.usage.fills_half(self.cwnd) {
            self.cwnd = self.cwnd.saturating_add(growth).min(self.ssthresh);
        }
    }
}

impl Default for Cubic {
    fn default() -> Cubic {
        Cubic::new()
    }
}

impl Controller for Cubic {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn slow_start_threshold(&self) -> u32 {
        self.ssthresh
    }

    fn start(&mut self, mss: u32, syn_losses: u8) {
        // 5681-3.1-3, 6928-2-2
        self.cwnd = if syn_losses > 1 { mss } else { initial_window(mss) };
    }

    fn adopt(&mut self, window: u32, slow_start_threshold: u32, _mss: u32) {
        (self.cwnd, self.ssthresh) = (window, slow_start_threshold);
        if slow_start_threshold != u32::MAX {
            // 9406-4.3: HyStart++ is for the initial slow start alone.
            self.later();
        }
    }

    fn acked(&mut self, acked: &Acked) {
        self.usage.acked(acked);
        if acked.recovering {
            return;
        }
        // 5681-3.1-1
        if self.cwnd < self.ssthresh {
            self.slow_start(acked);
        } else {
            let (cwnd, used) = (self.cwnd, self.usage.fills(self.cwnd, acked));
            self.cwnd = self.later().curve.acked(cwnd, acked, used);
        }
    }

    fn sampled(&mut self, rtt: Duration) {
        if self.later.is_none() {
            self.hystart.sampled(rtt);
        }
    }

    fn watches_delay(&self) -> bool {
        self.later.is_none()
    }

    fn loss(&mut self, loss: &Loss) {
        // 9406-4.2-4: in whatever phase it was.
        self.reduce(loss, 2 * loss.mss);
    }

    fn congestion_experienced(&mut self, loss: &Loss) {
        self.reduce(loss, loss.mss);
    }

    fn timeout(&mut self, loss: &Loss, first: bool) {
        // 9438-4.8: ssthresh by 0.7, and the next stage begins at its own plateau.
        if first {
            self.reduce(loss, loss.mss);
        }
        let curve = &mut self.later().curve;
        (curve.w_max, curve.epoch) = (0, None);
        // 5681-3.1-9, 8961-4.3
        self.cwnd = loss.mss;
    }

    fn undo(&mut self) {
        let Some(later) = self.later.as_mut() else { return };
        let Some(before) = later.before.take() else { return };
        // 9438-4.9: only if the window is smaller than it was.
        if self.cwnd < before.cwnd {
            self.cwnd = before.cwnd;
            self.ssthresh = self.ssthresh.max(before.ssthresh);
            later.curve = before.curve;
            if before.initial {
                // 9406-4.3: the initial slow start goes on, and nothing but HyStart++ knows where it is to end.
                self.later = None;
            }
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
        if let Some(later) = self.later.as_mut() {
            // The window that the path had is found again by slow start (RFC 7661), and the curve begins anew there.
            self.ssthresh = self.ssthresh.max(self.cwnd - self.cwnd / 4);
            later.curve.epoch = None;
        }
        // 5681-4.1
        self.cwnd = self.cwnd.min(initial_window(mss));
    }
}

#[cfg(test)]
#[path = "cubic_tests.rs"]
mod tests;
