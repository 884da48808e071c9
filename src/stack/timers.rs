//! Time passes: deadlines of connections, half-open and TIME-WAIT records.

use super::Stack;
use super::deferred::Verdict;
use super::flow::{Flow, PackedFlow};
use super::slab::SlabKey;
use crate::tcp::timer;
use crate::tcp::why::Why;
use crate::time::Instant;

/// Retransmissions of a SYN-ACK before its record goes: for [`SYN_ACK_PATIENCE`](crate::tcp::half_open::SYN_ACK_PATIENCE).
const MAX_SYN_ACK_RETRANSMISSIONS: u8 = 5;

impl Stack {
    /// Handles every deadline that has come by `now`. Packets that arrived before should be handled first: an ACK that
    /// waits in the device's queue may stop a timer.
    pub fn handle_deadline(&mut self, now: Instant) {
        let now = self.advance_to(now);
        while let Some((_, payload)) = self.wheel.pop_expired(now) {
            match PackedFlow::from_bits(payload).unpack() {
                Flow::Connection(key) => self.connection_deadline(key, now),
                Flow::HalfOpen(key) => self.half_open_deadline(key, now),
                Flow::TimeWait(key) => self.leave_time_wait(key),
            }
        }
        self.expire_fragments(now);
        self.forget_promises(now);
        self.send_reports(now);
    }

    fn connection_deadline(&mut self, key: SlabKey, now: Instant) {
        let Some(entry) = self.connections.get(key) else { return };
        match entry.connection.next_deadline() {
            Some(at) if at <= now => {}
            // What the timer was set for has moved on or is over.
            Some(at) => return self.wheel.reschedule(entry.timer, at),
            None => return,
        }
        let orphan = entry.connection.orphan;
        let reset = self.with_connection(key, now, |connection, cx| {
            let was_open = connection.state().is_synchronized();
            let reset = connection.reset(cx, Why::RstTimeout);
            timer::expire(connection, cx);
            let ended = connection.error.is_some() && connection.state() == crate::tcp::state::State::Closed;
            // A peer that does not answer may live: it should not wait for us.
            let told = cx.config.habits.resets.after_timeout || connection.keep_alive_probes > 0;
            (was_open && ended && told).then_some(reset)
        });
        if let Some(Some(reset)) = reset {
            if orphan {
                self.counters.orphans_aborted += 1;
            }
            self.push_reply(reset);
        }
        self.touch(key);
    }

    /// The SYN-ACK once more, or the end of the record.
    fn half_open_deadline(&mut self, key: SlabKey, now: Instant) {
        let (initial, most) = (self.config.tcp.initial_rto, self.config.tcp.max_rto);
        let Some(entry) = self.half_open.get_mut(key) else { return };
        let undecided = entry.verdict != Verdict::Accepted;
        if undecided
            || entry.record.syn_losses >= MAX_SYN_ACK_RETRANSMISSIONS
            || !self.listeners.contains(entry.listener.0)
        {
            self.remove_half_open(key);
            return;
        }
        // 9293-3.10.8-2, 6298-5.5
        entry.record.lose_syn_ack(now);
        let (timer, reply) = (entry.timer, entry.record.syn_ack(entry.tuple, now, Why::SynAckTimeout));
        let next = now + (initial * (1 << entry.record.syn_losses)).min(most);
        self.wheel.reschedule(timer, next);
        self.counters.retransmits += 1;
        self.push_reply(reply);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::sim::Script;

    /// The timer that an ACK has made needless comes, finds nothing to do, and is set to what is due next.
    #[test]
    fn a_timer_that_was_settled_does_nothing_and_the_next_one_is_exact() {
        let mut script = Script::with(|config| config.tcp.min_rto = Duration::from_millis(200));
        let handle = script.accept();
        let rtt = Duration::from_millis(10);
        let mut ack = script.ack;
        for _ in 0..30 {
            assert_eq!(script.send(handle, b"x").len(), 1);
            script.pass(rtt);
            ack = ack.wrapping_add(1);
            assert!(script.peer_acks(ack).is_empty());
        }
        // Everything is acknowledged, and what remains of the timers is silent.
        assert!(script.pass(Duration::from_secs(1)).is_empty());
        assert_eq!(script.stack.next_deadline(), None);

        let sent_at = script.now;
        assert_eq!(script.send(handle, b"y").len(), 1);
        let rto = script.stack.tcp_snapshot(handle).map(|snapshot| snapshot.rto).unwrap();
        let again = script.pass(2 * rto);
        assert_eq!(again[0].at, sent_at + rto, "retransmitted to the nanosecond");
    }
}
