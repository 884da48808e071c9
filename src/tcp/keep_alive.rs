//! Keep-alives (RFC 9293 section 3.8.4).
// 9293-MAY-5: they exist, for those who ask.

use super::connection::{Connection, Context};
use super::state::Cause;
use crate::error::SocketError;

impl Connection {
    /// Keep-alives are wanted and possible.
    // 9293-MUST-24, 9293-MUST-25, 9293-MAY-5: off unless asked for, per connection.
    fn keeps_alive(&self) -> bool {
        self.options.keep_alive && self.state().is_synchronized() && !self.orphan
    }

    /// Sets or stops the keep-alive timer. It is not moved by each segment: when it expires, it looks at what has arrived.
    pub(super) fn settle_keep_alive(&mut self) {
        if self.keeps_alive() {
            // 9293-MUST-27: the interval is the application's.
            let at = self.last_received + self.options.keep_alive_idle;
            self.deadlines.keep_alive.arm(at);
        } else {
            self.deadlines.keep_alive.cancel();
        }
    }

    /// The keep-alive timer has expired.
    pub(super) fn keep_alive_timeout(&mut self, cx: &mut Context<'_>) {
        self.deadlines.keep_alive.cancel();
        if !self.keeps_alive() {
            return;
        }
        let idle_until = self.last_received + self.options.keep_alive_idle;
        // 9293-MUST-26: only after a whole interval in which nothing arrived, and with nothing outstanding.
        if self.keep_alive_probes == 0 && idle_until > cx.now {
            self.deadlines.keep_alive.set(idle_until);
            return;
        }
        if self.flight() > 0 {
            // What is in flight finds out by itself whether the peer lives. Idleness is looked for anew.
            self.deadlines.keep_alive.set(cx.now + self.options.keep_alive_idle);
            return;
        }
        // 9293-MUST-29: one unanswered probe proves nothing; a run of them does.
        if self.keep_alive_probes >= self.options.keep_alive_probes {
            self.end(Cause::UserTimeout, Some(SocketError::TimedOut), cx.pool, cx.transfers);
            return;
        }
        self.keep_alive_probes += 1;
        self.owed.keep_alive = true;
        self.deadlines.keep_alive.set(cx.now + self.options.keep_alive_interval);
    }
}
