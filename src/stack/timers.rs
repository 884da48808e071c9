//! Time passes: deadlines of connections, half-open and TIME-WAIT records.

use super::Stack;
use super::flow::{Flow, PackedFlow};
use super::slab::SlabKey;
use crate::tcp::timer;
use crate::time::Instant;

/// Retransmissions of a SYN-ACK before its record goes: 1 + 2 + 4 + 8 + 16 s, as deployed stacks do.
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
    }

    fn connection_deadline(&mut self, key: SlabKey, now: Instant) {
        let Some(entry) = self.connections.get(key) else { return };
        match entry.connection.deadlines.earliest() {
            Some(at) if at <= now => {}
            // What the timer was set for has moved on or is over.
            Some(at) => return self.wheel.reschedule(entry.timer, at),
            None => return,
        }
        let orphan = entry.connection.orphan;
        let reset = self.with_connection(key, now, |connection, cx| {
            let was_open = connection.state().is_synchronized();
            let reset = connection.reset(cx);
            timer::expire(connection, cx);
            let ended = connection.error.is_some() && connection.state() == crate::tcp::state::State::Closed;
            // A peer that does not answer may live: it should not wait for us.
            (was_open && ended).then_some(reset)
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
        let initial = self.config.tcp.initial_rto;
        let Some(entry) = self.half_open.get_mut(key) else { return };
        if entry.record.syn_losses >= MAX_SYN_ACK_RETRANSMISSIONS || !self.listeners.contains(entry.listener.0) {
            self.remove_half_open(key);
            return;
        }
        // 9293-3.10.8-2, 6298-5.5
        entry.record.syn_losses += 1;
        entry.record.sent_at = now;
        let (timer, reply) = (entry.timer, entry.record.syn_ack(entry.tuple, now));
        let next = now + initial * (1 << entry.record.syn_losses);
        self.wheel.reschedule(timer, next);
        self.counters.retransmits += 1;
        self.push_reply(reply);
    }
}
