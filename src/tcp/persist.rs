//! The persist timer: zero-window probes and the override of silly-window avoidance (RFC 9293 section 3.8.6).

use std::time::Duration;

use super::connection::{Connection, Context};
use super::due::Due;
use crate::buffer::More;

/// How long silly-window avoidance, Nagle's algorithm with nothing in flight, or a cork may hold text back
/// (RFC 9293 section 3.8.6.2.1: 0.1 to 1 s).
// 9293-MUST-60: nothing that was written waits longer where the windows allow it.
pub const OVERRIDE: Duration = Duration::from_millis(200);

impl Connection {
    /// Something waits for the peer's window. A SYN does not, also not one of a connection that is closing already.
    pub(super) fn is_window_closed(&self) -> bool {
        let waiting = self.unsent() > 0 || self.flight() > 0 || (self.snd.fin.is_some() && !self.fin_sent());
        self.state().is_synchronized() && self.snd.syn_acknowledged && waiting && self.snd.wnd == 0
    }

    /// Sets or stops the persist timer, once it is clear that nothing can be sent now.
    pub(super) fn settle_persist(&mut self, cx: &Context<'_>) {
        if self.is_window_closed() {
            // From here on probes take the place of retransmissions: no answer to them says anything of the path.
            if self.deadlines.retransmit.is_set() || !self.deadlines.persist.is_set() {
                self.cancel_retransmission_timer();
                self.backoff = 0;
                // 9293-SHLD-29: the first probe after one retransmission timeout.
                self.deadlines.persist.set(cx.now + self.rto(cx.config).duration());
            }
            if self.options.user_timeout.is_some() {
                // docs/decisions.md: the application's own limit holds although the peer answers.
                self.start_user_timeout(cx);
            } else if !self.probe_sent() {
                // 9293-SHLD-17: what lies beyond the edge of a window that has shrunk may wait as long as it takes.
                self.deadlines.user_timeout.cancel();
            }
            return;
        }
        self.due.clear(Due::WINDOW_PROBE);
        if self.state().is_synchronized() && self.unsent() > 0 && (self.flight() == 0 || self.holds_back()) {
            let wait = if cx.config.habits.override_after_rto { self.rto(cx.config).duration() } else { OVERRIDE };
            self.deadlines.persist.arm(cx.now + wait);
        } else {
            self.deadlines.persist.cancel();
        }
    }

    /// A probe has been sent since the window closed.
    fn probe_sent(&self) -> bool {
        self.backoff > 0
    }

    /// The persist timer has expired: a probe leaves, or a short segment.
    // 9293-MUST-36, 9293-MUST-35
    pub(super) fn persist_timeout(&mut self, cx: &Context<'_>) {
        self.deadlines.persist.cancel();
        if self.is_window_closed() {
            self.due.add(Due::WINDOW_PROBE);
            // 9293-SHLD-30: the interval doubles.
            self.backoff = self.backoff.saturating_add(1);
            self.deadlines.persist.set(cx.now + self.rto(cx.config).duration());
            self.start_user_timeout(cx);
        } else {
            self.due.add(Due::SHORT_TEXT);
            self.send_buffer.more = More::Nothing;
        }
    }
}
