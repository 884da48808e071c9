//! TIME-WAIT: what is left of a connection for 2 MSL, in as few bytes as it takes (RFC 9293 section 3.10.7.4, RFC 1337,
//! RFC 6191).

use std::time::Duration;

use super::FourTuple;
use super::acceptance::{self, Acceptance, Space};
use super::connection::Connection;
use super::initial_sequence::flow_label;
use super::reset::Reply;
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::timestamp::is_before;
use super::why::Why;
use super::window::WireWindow;
use crate::counters::DropReason;
use crate::time::Instant;
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::Flags;

/// The record, beside its key (the four-tuple).
#[derive(Clone, Copy, Debug)]
pub struct TimeWait {
    /// SND.NXT at the end: behind our FIN.
    pub snd_nxt: SeqNumber,
    /// RCV.NXT at the end: behind the peer's FIN.
    pub rcv_nxt: SeqNumber,
    /// RCV.WND at the end, in octets.
    rcv_wnd: u32,
    /// TS.Recent, if timestamps were agreed on.
    ts_recent: u32,
    /// The offset of our timestamp clock.
    timestamp_offset: u32,
    timestamps: bool,
    hop_limit: u8,
    traffic_class: u8,
    flow_label: u32,
    window: WireWindow,
    /// The bits of ECN: the counter of marks at the end, where there is one.
    marks: Flags,
    /// Answers sent in the current second.
    answers: u8,
    answers_since: Instant,
    /// When the record goes.
    pub expires: Instant,
}

/// What a segment means to a TIME-WAIT record.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Nothing.
    Drop(DropReason),
    /// An ACK of what was received, and it stays as long as it would have.
    Ack(DropReason),
    /// An ACK, and the 2 MSL begin again.
    AckAndRestart,
    /// A new connection may take the tuple, with an ISS beyond this number.
    Reopen(SeqNumber),
}

impl TimeWait {
    /// From a connection that has just entered TIME-WAIT.
    pub fn new(connection: &Connection, now: Instant, duration: Duration) -> TimeWait {
        let rcv_wnd = connection.rcv.wnd();
        TimeWait {
            snd_nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            rcv_wnd,
            ts_recent: connection.agreed.ts_recent,
            timestamp_offset: connection.agreed.timestamp_offset,
            timestamps: connection.agreed.timestamps,
            hop_limit: connection.options.hop_limit,
            traffic_class: connection.options.traffic_class(),
            flow_label: flow_label(connection.snd.iss),
            window: connection.rcv.shift.unscale(rcv_wnd),
            marks: connection
                .ecn
                .as_deref()
                .filter(|ecn| ecn.accurate().is_some())
                .map_or(Flags(0), |ecn| ecn.flags(false)),
            answers: 0,
            answers_since: now,
            // 9293-MUST-13
            expires: now + duration,
        }
    }

    /// The variables by which segments are accepted.
    pub fn space(&self) -> Space {
        Space { una: self.snd_nxt, nxt: self.snd_nxt, rcv_nxt: self.rcv_nxt, rcv_wnd: self.rcv_wnd }
    }

    /// An ACK of everything received.
    pub fn ack(&self, tuple: FourTuple, now: Instant) -> Reply {
        let timestamp = self.timestamps.then(|| Timestamp {
            value: (now.as_millis() as u32).wrapping_add(self.timestamp_offset),
            echo: self.ts_recent,
        });
        Reply {
            tuple,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK | self.marks,
            window: self.window,
            options: TcpOptions { timestamp, ..TcpOptions::default() },
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            flow_label: self.flow_label,
            why: Why::TimeWaitAck,
        }
    }

    /// Handles one segment. `listening` says that a listener would take a new connection.
    pub fn segment_arrives(&mut self, segment: &Segment<'_>, listening: bool, limit: u8) -> Action {
        if segment.rst() {
            // 1337-F1, 9293-3.10.7.4-16: an old duplicate RST must not end it.
            return Action::Drop(DropReason::TcpTimeWait);
        }
        if segment.syn() && !segment.has_ack() {
            // 9293-3.10.7.4-20
            if listening && self.syn_is_new(segment) {
                return Action::Reopen(self.snd_nxt);
            }
            // 6191-2-3: the RFC drops it, RFC 5961 answers; we answer (docs/decisions.md), so that a peer that forgot the
            // connection learns of it and resets it.
            return self.answer(segment, limit);
        }
        if self.timestamps && segment.options.timestamp.is_some_and(|own| is_before(own.value, self.ts_recent)) {
            return self.answer(segment, limit);
        }
        let space = self.space();
        if segment.fin() && segment.end() == self.rcv_nxt {
            // 9293-3.10.7.4-33: our last ACK was lost.
            return Action::AckAndRestart;
        }
        match acceptance::sequence(&space, segment.seq, segment.len()) {
            Acceptance::Whole => Action::Drop(DropReason::TcpTimeWait),
            Acceptance::ControlOnly | Acceptance::No => self.answer(segment, limit),
        }
    }

    /// What a segment means by the habit [`talkative_time_wait`](super::habits::Habits::talkative_time_wait); `None` where
    /// habit says nothing.
    pub fn by_habit(&mut self, segment: &Segment<'_>, limit: u8) -> Option<Action> {
        if segment.rst() || segment.syn() {
            return None;
        }
        if !segment.has_ack() {
            return Some(Action::Drop(DropReason::TcpNoAck));
        }
        let again = segment.fin() && segment.end() == self.rcv_nxt;
        let last_ack = segment.is_empty() && segment.seq == self.rcv_nxt && segment.ack == self.snd_nxt;
        (!again && !last_ack).then(|| self.answer(segment, limit))
    }

    /// An ACK, within the limit of this record.
    fn answer(&mut self, segment: &Segment<'_>, limit: u8) -> Action {
        if segment.arrived.saturating_since(self.answers_since) >= Duration::from_secs(1) {
            self.answers_since = segment.arrived;
            self.answers = 0;
        }
        if self.answers >= limit {
            return Action::Drop(DropReason::TcpTimeWait);
        }
        self.answers += 1;
        Action::Ack(DropReason::TcpTimeWait)
    }

    /// A SYN that cannot be an old duplicate.
    fn syn_is_new(&self, segment: &Segment<'_>) -> bool {
        // 9293-MAY-2: beyond everything that the old connection received.
        let beyond = segment.seq.gt(self.rcv_nxt);
        match (self.timestamps, segment.options.timestamp) {
            // 6191-2-1, 9293-SHLD-4
            (true, Some(own)) => is_before(self.ts_recent, own.value) || (own.value == self.ts_recent && beyond),
            // 6191-2-2
            (true, None) => beyond,
            (false, Some(_)) => true,
            (false, None) => beyond,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_stays_small() {
        assert!(size_of::<TimeWait>() <= 64, "{}", size_of::<TimeWait>());
    }
}
