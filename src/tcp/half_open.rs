//! A half-open record: SYN-RECEIVED of a listener, in as few bytes as it takes (RFC 4987 section 3.5).

use std::sync::Arc;
use std::time::Duration;

use super::FourTuple;
use super::acceptance::{self, Acceptance, ResetAction, Space};
use super::accurate_ecn::{self, AccurateEcn, BARE_SYN_ACK};
use super::config::{SocketOptions, TcpConfig};
use super::connection::{Connection, Opening, Origin};
use super::ecn::{Ecn, Feedback, How};
use super::fast_open::FastOpen;
use super::habits::Habits;
use super::initial_sequence::flow_label;
use super::marks::contradict;
use super::option::{self, Agreed};
use super::reset::Reply;
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::state::Cause;
use super::timestamp::is_before;
use super::why::Why;
use super::window::{WindowShift, WireWindow};
use crate::counters::DropReason;
use crate::time::Instant;
use crate::wire::fast_open::Cookie;
use crate::wire::option::{MAX_LEN, TcpOptions, Timestamp, len_of_others};
use crate::wire::tcp::Flags;

/// ACKs that one record sends in answer to unacceptable segments.
const MAX_ANSWERS: u8 = 10;

/// How long a SYN-ACK is sent again: 1 + 2 + 4 + 8 + 16 + 32 s, as deployed stacks do.
pub const SYN_ACK_PATIENCE: Duration = Duration::from_secs(63);

/// What a listener remembers of one SYN, beside its key (the four-tuple).
// 4987-3.5
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    /// ISS of our SYN-ACK.
    pub iss: SeqNumber,
    /// IRS of the peer's SYN.
    pub irs: SeqNumber,
    /// When the SYN-ACK was last sent.
    pub sent_at: Instant,
    /// What both sides agree on.
    pub agreed: Agreed,
    /// The MSS that we announce.
    pub announced: u16,
    /// The largest segment to send.
    pub send_mss: u16,
    /// The window that our SYN-ACK offers.
    pub offered: u16,
    /// How the peer scales its windows.
    pub peer_shift: WindowShift,
    /// How we scale ours.
    pub shift: WindowShift,
    /// Retransmissions of the SYN-ACK.
    pub syn_losses: u8,
    /// The most that we would have agreed to of ECN.
    accepts: Feedback,
    /// Options of Accurate ECN are sent: nothing shows that what has one does not get through.
    ecn_options: bool,
    /// The ECN bits of the IP header of the latest SYN.
    syn_arrived: u8,
    /// Answers to unacceptable segments so far.
    answers: u8,
    /// TTL or hop limit of our answers.
    pub hop_limit: u8,
    /// DSCP of our answers, in the upper six bits.
    pub traffic_class: u8,
}

/// What a segment means to a half-open record.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Nothing.
    Drop(DropReason),
    /// This answer.
    Answer(Reply, DropReason),
    /// A RST of its own (see [`super::reset`]).
    Reset(DropReason),
    /// The same, and the record ends.
    Abort(DropReason),
    /// The record ends and the listener listens on; the segment has done its work, or is dropped for this reason.
    Remove(Result<(), DropReason>),
    /// The record becomes a connection, and the segment goes on there.
    Establish,
}

impl HalfOpen {
    /// From a SYN for a listener with these options.
    // 9293-3.10.7.2-3: RCV.NXT = SEG.SEQ + 1, IRS = SEG.SEQ, SND.NXT = ISS + 1, SND.UNA = ISS.
    // 9293-3.10.7.2-5: text and FIN of the SYN are not acknowledged; the peer sends them again.
    pub fn new(
        segment: &Segment<'_>,
        iss: SeqNumber,
        timestamp_offset: u32,
        announced: u16,
        options: &SocketOptions,
        config: &TcpConfig,
    ) -> HalfOpen {
        let order = option::order(config, options);
        let mut agreed = option::agree(config, order, &segment.options, timestamp_offset, segment.arrived);
        agreed.ecn = config.ecn.accepted().of_syn(segment.flags);
        let (capacity, _, _) = config.receive_bounds(options, announced);
        let ipv6 = segment.tuple.remote_addr.is_ipv6();
        let scaled = |shift| if agreed.scaling { shift } else { WindowShift::default() };
        HalfOpen {
            iss,
            irs: segment.seq,
            sent_at: segment.arrived,
            agreed,
            announced,
            send_mss: option::send_mss(segment.options.mss, announced, ipv6),
            offered: u16::try_from(capacity).unwrap_or(u16::MAX),
            peer_shift: scaled(WindowShift::from_option(segment.options.window_scale.unwrap_or(0))),
            shift: scaled(WindowShift::for_window(config.largest_receive_capacity(options))),
            syn_losses: 0,
            accepts: config.ecn.accepted(),
            ecn_options: !config.habits.acks.no_ecn_options,
            syn_arrived: segment.ecn,
            answers: 0,
            hop_limit: options.hop_limit,
            traffic_class: options.traffic_class(),
        }
    }

    /// The variables by which segments are accepted.
    pub fn space(&self) -> Space {
        Space { una: self.iss, nxt: self.iss + 1, rcv_nxt: self.irs + 1, rcv_wnd: u32::from(self.offered) }
    }

    /// Our SYN-ACK.
    pub fn syn_ack(&self, tuple: FourTuple, now: Instant, why: Why) -> Reply {
        self.syn_ack_with(None, tuple, now, why)
    }

    /// Our SYN-ACK, with a cookie of Fast Open.
    pub fn syn_ack_with(&self, cookie: Option<Cookie>, tuple: FourTuple, now: Instant, why: Why) -> Reply {
        let mut options = option::for_syn_ack(&self.agreed, self.announced, self.shift, self.timestamp_value(now));
        options.fast_open = cookie;
        if self.agreed.ecn == Feedback::Accurate && self.ecn_options {
            options.accurate_ecn = AccurateEcn::option_of_syn_ack(MAX_LEN - len_of_others(&options));
        }
        Reply {
            tuple,
            seq: self.iss,
            ack: self.irs + 1,
            flags: Flags::SYN | Flags::ACK | self.ecn_flags(),
            // 7323-2.2-2: not scaled.
            window: WireWindow(self.offered),
            options,
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            flow_label: flow_label(self.iss),
            why,
        }
    }

    /// The bits of ECN of our SYN-ACK.
    // 3168-6.1.1-1: only if the SYN has asked.
    fn ecn_flags(&self) -> Flags {
        match self.agreed.ecn {
            Feedback::None => Flags::default(),
            Feedback::Classic if self.agreed.bare_syn => Flags::default(),
            Feedback::Classic => Flags::ECE,
            Feedback::Accurate => accurate_ecn::syn_ack_flags(self.syn_arrived, self.syn_losses),
        }
    }

    /// Our SYN-ACK seems to be lost, and is to leave once more.
    // 9768-3.2.3: without the option, and then no segment has it.
    pub fn lose_syn_ack(&mut self, now: Instant) {
        (self.syn_losses, self.sent_at) = (self.syn_losses.saturating_add(1), now);
        self.ecn_options = false;
    }

    fn timestamp_value(&self, now: Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.agreed.timestamp_offset)
    }

    /// The counter of a record that counts: it has seen no mark yet.
    fn first_marks(&self) -> Flags {
        match self.agreed.ecn {
            Feedback::Accurate => AccurateEcn::default().flags(),
            Feedback::Classic | Feedback::None => Flags::default(),
        }
    }

    /// An ACK of what is expected.
    fn ack(&self, tuple: FourTuple, now: Instant) -> Reply {
        let timestamp =
            self.agreed.timestamps.then(|| Timestamp { value: self.timestamp_value(now), echo: self.agreed.ts_recent });
        Reply {
            tuple,
            seq: self.iss + 1,
            ack: self.irs + 1,
            flags: Flags::ACK | self.first_marks(),
            window: self.shift.unscale(u32::from(self.offered)),
            options: TcpOptions { timestamp, ..TcpOptions::default() },
            hop_limit: self.hop_limit,
            traffic_class: self.traffic_class,
            flow_label: flow_label(self.iss),
            why: Why::HalfOpenAck,
        }
    }

    /// The SYN once more: what may have changed in it. False where it contradicts the first one.
    pub fn syn_again(&mut self, segment: &Segment<'_>) -> bool {
        let asks = self.accepts.of_syn(segment.flags);
        match (self.agreed.ecn, asks) {
            // 9768-3.1.5
            (one, other) if contradict(one, other) => return false,
            // 3168-6.1.1.1: where the SYN that asks got no answer, it comes again without.
            // 9768-3.1.5: what was agreed stays, but our text is not ECN-capable.
            (_, Feedback::None) if self.accepts == Feedback::Accurate => self.agreed.bare_syn = true,
            (_, Feedback::None) => self.agreed.ecn = Feedback::None,
            _ => {}
        }
        // 9768-3.1.1-1: how the latest one has arrived.
        self.syn_arrived = segment.ecn;
        // 7323-4.3: the peer takes its round-trip time from what is echoed, which has to be its latest.
        if let Some(timestamp) = segment.options.timestamp
            && self.agreed.timestamps
            && !is_before(timestamp.value, self.agreed.ts_recent)
        {
            (self.agreed.ts_recent, self.agreed.ts_recent_at) = (timestamp.value, segment.arrived);
        }
        true
    }

    /// An answer, as long as this record has some left.
    fn answer(&mut self, segment: &Segment<'_>, reason: DropReason) -> Action {
        if self.answers >= MAX_ANSWERS {
            return Action::Drop(reason);
        }
        self.answers += 1;
        // The SYN once more: our SYN-ACK may have been lost.
        let again = segment.syn() && !segment.has_ack() && segment.seq == self.irs;
        if again && !self.syn_again(segment) {
            return Action::Abort(DropReason::TcpSynRefused);
        }
        let reply = if again {
            // 9768-3.2.3: without the option, as after a timeout.
            self.ecn_options = false;
            self.syn_ack(segment.tuple, segment.arrived, Why::SynAckAgain)
        } else {
            self.ack(segment.tuple, segment.arrived)
        };
        Action::Answer(reply, reason)
    }

    /// The steps of RFC 9293 section 3.10.7.4, as far as SYN-RECEIVED after a passive open goes.
    pub fn segment_arrives(&mut self, segment: &Segment<'_>, habits: &Habits) -> Action {
        let space = self.space();
        let old = segment
            .options
            .timestamp
            .is_some_and(|timestamp| self.agreed.timestamps && is_before(timestamp.value, self.agreed.ts_recent));
        if segment.rst() {
            return match acceptance::reset(&space, segment.seq).by_habit(habits) {
                // 9293-3.10.7.4-13: back to LISTEN, and nobody is told.
                ResetAction::Reset => Action::Remove(Ok(())),
                ResetAction::Challenge => self.answer(segment, DropReason::TcpResetRefused),
                ResetAction::Drop => Action::Drop(DropReason::TcpResetRefused),
            };
        }
        if self.agreed.timestamps && segment.options.timestamp.is_none() && !habits.take_missing_timestamps {
            // 7323-3.2-2: dropped, but the record lives on.
            return Action::Drop(DropReason::TcpNoTimestamp);
        }
        if old {
            return self.answer(segment, DropReason::TcpPaws);
        }
        if acceptance::sequence(&space, segment.seq, segment.len()) != Acceptance::Whole {
            return self.answer(segment, DropReason::TcpOutOfWindow);
        }
        if segment.syn() && segment.seq == self.irs {
            // The SYN once more, which lies in front of the window; only its text lies in it.
            return self.answer(segment, DropReason::TcpOutOfWindow);
        }
        if segment.syn() {
            // 9293-3.10.7.4-18: back to LISTEN.
            return Action::Remove(Err(DropReason::TcpSynRefused));
        }
        if !segment.has_ack() {
            return Action::Drop(DropReason::TcpNoAck);
        }
        if !acceptance::establishes(&space, segment.ack) {
            // 9293-3.10.7.4-23
            return Action::Reset(DropReason::TcpAckRange);
        }
        Action::Establish
    }

    /// The connection that this record becomes: still in SYN-RECEIVED, so that the segment establishes it.
    pub fn connection(
        &self,
        tuple: FourTuple,
        options: Arc<SocketOptions>,
        config: &TcpConfig,
        now: Instant,
    ) -> Connection {
        let opening = Opening {
            tuple,
            iss: self.iss,
            timestamp_offset: self.agreed.timestamp_offset,
            mss: self.announced,
            options,
        };
        let mut connection = Connection::blank(&opening, config, now, Origin::Passive);
        connection.advance_again(Cause::PassiveOpen);
        connection.advance_again(Cause::Syn);
        connection.agreed = self.agreed;
        connection.ecn = self.ecn();
        connection.snd.nxt = self.iss + 1;
        connection.snd.mss = self.send_mss;
        connection.snd.shift = self.peer_shift;
        connection.snd.syn_losses = self.syn_losses;
        connection.rcv.irs = self.irs;
        connection.rcv.nxt = self.irs + 1;
        connection.rcv.last_ack = self.irs + 1;
        connection.rcv.tuning.start(self.irs + 1);
        connection.rcv.edge = self.irs + 1 + u32::from(self.offered);
        connection.rcv.shift = self.shift;
        connection
    }

    /// What the connection knows of marks.
    // 9768-3.1.5: no text is ECN-capable where a SYN has come, or a SYN-ACK was sent, that does not do it.
    fn ecn(&self) -> Option<Box<Ecn>> {
        let capable = !self.agreed.bare_syn;
        match self.agreed.ecn {
            Feedback::None => None,
            Feedback::Classic => Some(Ecn::classic(capable)),
            Feedback::Accurate => {
                let mut accurate = AccurateEcn::server(self.syn_arrived, self.iss);
                accurate.silent = !self.ecn_options;
                Some(Ecn::new(How::Accurate(accurate), capable && self.syn_losses < BARE_SYN_ACK))
            }
        }
    }

    /// The connection that the SYN opens at once by Fast Open: in SYN-RECEIVED, and its SYN-ACK is still to be sent, with this
    /// option. Text of the SYN is not taken yet.
    // 7413-4.2.2-2
    pub fn fast_open(
        &self,
        segment: &Segment<'_>,
        options: Arc<SocketOptions>,
        config: &TcpConfig,
        option: Option<Cookie>,
    ) -> Connection {
        let mut connection = self.connection(segment.tuple, options, config, segment.arrived);
        connection.snd.nxt = self.iss;
        connection.take_window(segment);
        // 6928-2-1: the first window is that of any connection.
        let mss = connection.segment_payload();
        connection.congestion.get_mut().start(mss, 0);
        connection.fast_open = Some(Box::new(FastOpen { option, ..FastOpen::default() }));
        connection
    }

    /// The round-trip time of the handshake, unless the SYN-ACK was sent twice.
    pub fn round_trip(&self, now: Instant) -> Option<std::time::Duration> {
        (self.syn_losses == 0).then(|| now - self.sent_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 4987-3.5
    #[test]
    fn the_record_stays_small() {
        assert!(size_of::<HalfOpen>() <= 96, "{}", size_of::<HalfOpen>());
    }
}
