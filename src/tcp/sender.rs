//! The sending side: how large a segment may be and how much may leave.

use super::congestion::Algorithm;
use super::connection::{Connection, Context};
use super::ecn::Ecn;
use super::plan::Plan;
use super::recovery::new_reno::Phase;
use super::sequence::SeqNumber;
use crate::wire::option::{SackBlocks, TcpOptions, Timestamp};

impl Connection {
    /// Octets of text in a full segment: the effective send MSS less the options that every segment carries.
    // 9293-MUST-16, 6691-2: option space comes off the text of each segment.
    pub fn segment_payload(&self) -> u32 {
        let options = if self.agreed.timestamps { 12 } else { 0 };
        u32::from(self.snd.mss).saturating_sub(options).max(1)
    }

    /// SND.UNA + SND.WND: the right edge of what the peer allows.
    pub fn send_edge(&self) -> SeqNumber {
        self.snd.una + self.snd.wnd
    }

    /// Octets that one step of the peer's window field stands for.
    pub fn window_unit(&self) -> u32 {
        1 << self.snd.shift.count()
    }

    /// Octets that the peer's window still allows beyond SND.NXT.
    // 9293-MUST-34: a window that has shrunk below what is in flight leaves zero, not less.
    // 9293-SHLD-15: and then nothing new is sent.
    pub fn usable_window(&self) -> u32 {
        self.send_edge().saturating_since(self.snd.nxt)
    }

    /// SEG.SEQ of a segment without text: SND.NXT, but not the octet with which a closed window is probed. Beyond that
    /// window the peer would drop an acknowledgment, which then waits for the next probe, and a reset, which never comes
    /// again.
    pub(super) fn control_seq(&self) -> SeqNumber {
        let probing = self.snd.syn_acknowledged && self.snd.wnd == 0 && self.flight() == 1;
        if probing { self.snd.una } else { self.snd.nxt }
    }

    /// Octets that congestion control still allows.
    // 5681-2-1: never more in flight than cwnd; without SACK it is inflated by what has left the network.
    // 6675-5-3: with SACK the scoreboard knows what has left, and PRR says how much may leave during a recovery.
    pub fn usable_congestion_window(&self) -> u32 {
        let Some(transfer) = self.transfer.as_ref() else { return self.congestion.get().window() };
        let window = if self.congestion.governs_recovery() {
            self.congestion.get().window()
        } else if self.agreed.sack && self.recovery.phase == Phase::FastRecovery {
            return transfer.prr.allowance();
        } else {
            self.congestion.get().window().saturating_add_signed(self.recovery.inflation())
        };
        window.saturating_sub(transfer.sent.in_flight())
    }

    /// Another congestion control algorithm takes over the window.
    pub fn switch_congestion(&mut self, algorithm: Algorithm) {
        let seed = u64::from(self.snd.iss.0) << 32 | u64::from(self.agreed.timestamp_offset);
        let mss = self.segment_payload();
        self.congestion.switch(algorithm, seed, mss);
        if let Some(srtt) = self.rtt.srtt() {
            self.congestion.round_trip_known(srtt);
        }
    }

    /// Our timestamp clock: milliseconds, with the offset of this connection.
    // 7323-5.4, 7323-7.1
    pub fn timestamp_value(&self, now: crate::time::Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.agreed.timestamp_offset)
    }

    /// The options of a segment without SYN: the timestamp, where there is something to tell SACK blocks, without text, and the
    /// counters of Accurate ECN. Those that every segment has are of fixed size, so that there is room for its text.
    pub(super) fn fill_options(&self, options: &mut TcpOptions, now: crate::time::Instant, plan: &Plan) {
        if self.agreed.timestamps {
            // 7323-3.2-1: in every segment once both SYNs had them.
            options.timestamp = Some(Timestamp { value: self.timestamp_value(now), echo: self.agreed.ts_recent });
        }
        let ecn = self.ecn.as_deref();
        // 9768-3.2.2: an ACK of ACKs has none; one that reports a duplicate answers text as well.
        let answers_acks = ecn.is_some_and(Ecn::answers_acks) && self.owed.dsack.is_none();
        if self.agreed.sack && plan.len == 0 && !answers_acks {
            self.fill_sack(options);
        }
        if let Some(ecn) = ecn {
            options.accurate_ecn = self.ecn_option(ecn, options, plan);
        }
    }

    /// SACK blocks: the D-SACK, the range that the last segment fell into, then the others, the latest first.
    // 2018-4-1: only if the peer's SYN permitted it.
    // 2018-4-2: on every ACK while data is held out of order.
    fn fill_sack(&self, options: &mut TcpOptions) {
        let held = self.receive_buffer.out_of_order();
        if held.is_empty() && self.owed.dsack.is_none() {
            return;
        }
        let room = if self.agreed.timestamps { 3 } else { 4 };
        // 2883-4-1: what was received twice comes first, once.
        if let Some((left, right)) = self.owed.dsack {
            options.sack.push(left.0, right.0);
        }
        let next = self.receive_buffer.next();
        let seq = |position: u64| self.rcv.nxt + (position - next) as u32;
        // 2018-4-3: then the block of the segment that caused this ACK; 2883-4-2: which is second behind a D-SACK; then
        // those that were reported most recently, so that each is told several times although ACKs may be lost.
        let position = |at: SeqNumber| next + u64::from(at.saturating_since(self.rcv.nxt));
        let latest =
            self.owed.sack_order.iter().flat_map(|order| order.iter()).filter_map(|at| held.containing(position(at)));
        let mut told: [Option<(u64, u64)>; SackBlocks::CAPACITY] = Default::default();
        let mut count = 0;
        for block in latest.chain(held.iter()) {
            if options.sack.len() >= room {
                break;
            }
            if !told.contains(&Some(block)) {
                options.sack.push(seq(block.0).0, seq(block.1).0);
                told[count] = Some(block);
                count += 1;
            }
        }
    }

    /// Sending starts again after an idle time: cwnd may be too old to be true.
    pub(super) fn restart_after_idle(&mut self, cx: &Context<'_>) {
        if self.flight() == 0 && self.unsent() == 0 {
            self.restart_if_idle(cx);
        }
    }

    /// The same, where it is known that nothing was in flight.
    pub(super) fn restart_if_idle(&mut self, cx: &Context<'_>) {
        if cx.config.habits.restart_after_idle
            && cx.now.saturating_since(self.last_sent) > self.rto(cx.config).duration()
        {
            let mss = self.segment_payload();
            self.congestion.get_mut().restart(mss);
        }
    }
}
