//! What marks of congestion mean to a connection, in both roles: the receiver counts or echoes them, the sender slows down.
//!
//! The bits and the counters are in [`super::ecn`] and [`super::accurate_ecn`]; here they meet the connection.

use super::accurate_ecn::{self, AccurateEcn, Acknowledged, SentText};
use super::congestion::Loss;
use super::connection::{Connection, Context, Origin};
use super::ecn::{self, Ecn, Feedback, How};
use super::input::Rejected;
use super::loss::reduced_from;
use super::option::Agreed;
use super::plan::{Plan, Reason};
use super::receiver::AckOwed;
use super::recovery::new_reno::Phase;
use super::segment::Segment;
use super::state::State;
use super::why::Why;
use crate::counters::DropReason;
use crate::wire::accurate_ecn::EcnOption;
use crate::wire::option::{MAX_LEN, TcpOptions, len_of_others};
use crate::wire::tcp::Flags;

/// Takes note of a mark on text, and of the word that the peer has slowed down: classic feedback.
// 3168-6.1.5: what lies outside of the window has been cut off or dropped before, and with it its mark.
pub(super) fn text_arrived(connection: &mut Connection, segment: &Segment<'_>) {
    let Some(ecn) = connection.ecn.as_deref_mut().filter(|ecn| ecn.accurate().is_none()) else { return };
    ecn.text_arrived(segment.ecn, segment.flags.contains(Flags::CWR));
    if segment.ecn == ecn::CE {
        // The peer should slow down now, not when the ACK is due.
        connection.owed.ack(AckOwed::Now, Why::MarkAck);
    }
}

/// Of an ACK: octets in flight before it, and those of which it is the first to tell that they have arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub flight: u32,
    pub delivered: u32,
}

/// An acceptable segment, with or without text.
#[inline(never)]
pub(super) fn acknowledged(connection: &mut Connection, segment: &Segment<'_>, before: &Before, cx: &mut Context<'_>) {
    let Some(ecn) = connection.ecn.as_deref_mut() else { return };
    if !matches!(ecn.how, How::Accurate(_)) {
        if connection.tells_of_mark(segment) {
            slow_down(connection, before.flight, cx);
        }
        return;
    }
    // 9768-3.2.2: the three bits are a number only where there is no SYN.
    if !came_with_syn(segment) {
        counters_told(connection, segment, before, cx);
    }
    arrived(connection, segment);
}

/// The segment had a SYN, which trimming may have taken off.
fn came_with_syn(segment: &Segment<'_>) -> bool {
    segment.window_unscaled
}

/// The segment that completes the handshake from SYN-RECEIVED.
pub(super) fn opened(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    let Some(ecn) = connection.ecn.as_deref_mut() else { return };
    let How::Accurate(accurate) = &mut ecn.how else { return };
    if !came_with_syn(segment) {
        accurate.first_option(segment.options.accurate_ecn.as_ref());
        let pure = segment.text_len == 0 && segment.options.sack.is_empty();
        if pure {
            // Also where SYNs have crossed, and the peer has got our SYN,ACK while its own was lost.
            let codepoint = accurate.handshake_told(segment.flags);
            // 9768-3.2.2: our SYN,ACK was not ECN-capable; on its way something has changed that.
            ecn.capable &= codepoint.is_none_or(|codepoint| codepoint == ecn::NOT_ECT);
            if codepoint == Some(ecn::CE) {
                slow_down(connection, 0, cx);
            }
        } else {
            counters_told(connection, segment, &Before::default(), cx);
        }
    }
    arrived(connection, segment);
}

/// The SYN,ACK has come, and the connection is open: a mark on our SYN, as it tells.
// 9768-3.2.2: it is answered, and not counted.
pub(super) fn syn_answered(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    let accurate = connection.ecn.as_deref().is_some_and(|ecn| ecn.accurate().is_some());
    if accurate && accurate_ecn::handshake_codepoint(segment.flags) == Some(ecn::CE) {
        slow_down(connection, 0, cx);
    }
}

/// The counters of an ACK.
fn counters_told(connection: &mut Connection, segment: &Segment<'_>, before: &Before, cx: &mut Context<'_>) {
    let ack = Acknowledged {
        una: segment.ack,
        octets: before.delivered,
        payload: connection.segment_payload(),
        timestamp: segment.options.timestamp.filter(|_| connection.agreed.timestamps).map(|own| own.value),
    };
    let Some(ecn) = connection.ecn.as_deref_mut() else { return };
    let How::Accurate(accurate) = &mut ecn.how else { return };
    let told = accurate.told(segment.flags, segment.options.accurate_ecn.as_ref(), &ack);
    if told.mangled {
        tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, "ECN is mangled on the way");
    }
    ecn.capable &= !told.mangled;
    if told.packets > 0 || told.mangled {
        slow_down(connection, before.flight, cx);
    }
}

/// Counts what has arrived.
fn arrived(connection: &mut Connection, segment: &Segment<'_>) {
    let waits = connection.rcv.nxt != connection.rcv.last_ack;
    let reports = connection.owed.dsack.is_some();
    let Some(accurate) = connection.ecn.as_deref_mut().and_then(Ecn::accurate_mut) else { return };
    let packets = u32::from(segment.coalesced);
    if accurate.arrived(segment.ecn, packets, segment.text_len, waits || reports) {
        connection.owed.ack(AckOwed::Now, Why::MarkAck);
    }
}

/// The peer may have got a packet that was marked on its way: congestion without a loss, found by an ACK before which `flight`
/// octets were in flight.
// 3168-6.1.2-1: halved as for a loss; an ACK of much, as of a super-segment, leaves little in flight and says no more for it.
fn slow_down(connection: &mut Connection, flight: u32, cx: &mut Context<'_>) {
    // While losses are repaired, the window has been lowered already.
    let news = connection.ecn.as_deref().is_some_and(Ecn::is_news);
    if !news || connection.recovery.phase != Phase::Open {
        return;
    }
    connection.slowed_down();
    // What follows is no loss that could prove to be none.
    connection.undo.forget();
    let mss = connection.segment_payload();
    if connection.congestion.get().window() <= mss {
        // A window of one segment, after a timeout, cannot be lowered, and the answer of a larger one, half of it but two
        // segments at least, would raise it. RFC 3168 section 6.1.2: the timer starts afresh.
        connection.restart_timers(cx);
        return;
    }
    let flight = reduced_from(connection, flight.max(mss), cx);
    connection.congestion.get_mut().congestion_experienced(&Loss { now: cx.now, flight, mss });
    cx.counters.ecn_reductions += 1;
    tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, flight, "congestion experienced");
}

/// Takes over what the peer's SYN, or SYN,ACK, says of ECN, for a SYN that has asked for this.
pub(super) fn synchronize(connection: &mut Connection, segment: &Segment<'_>, asked: Agreed, cx: &Context<'_>) {
    let (answer, habits) = (segment.has_ack(), &cx.config.habits);
    // What is agreed to where SYNs cross.
    let accepted = if habits.syn.ecn_with_crossing { cx.config.ecn.accepted() } else { asked.ecn };
    // 3168-6.1.1-1: by a SYN,ACK for our SYN; where both open, the peer's SYN asks as ours does.
    // 9768-3.1.2: by the first one, whichever of our SYNs it answers, also where the last one has asked for nothing.
    let feedback = if answer { asked.ecn.of_syn_ack(segment.flags) } else { accepted.of_syn(segment.flags) };
    (connection.agreed.ecn, connection.agreed.bare_syn) = (feedback, asked.bare_syn);
    let iss = connection.snd.iss;
    connection.ecn = match feedback {
        Feedback::None => None,
        // RFC 3168 section 6.1.1: no text is ECN-capable of who has sent a SYN that did not ask.
        Feedback::Classic => Some(Ecn::classic(!asked.bare_syn)),
        Feedback::Accurate if answer => {
            let option = segment.options.accurate_ecn.as_ref();
            let mut accurate = AccurateEcn::client(segment.ecn, option, segment.text_len, iss);
            accurate.silent = habits.acks.no_ecn_options;
            // 9768-3.2.2: our SYN was not ECN-capable; on its way something has changed that. A code that is to come says that
            // nothing has.
            let unchanged =
                accurate_ecn::handshake_codepoint(segment.flags).is_none_or(|codepoint| codepoint == ecn::NOT_ECT);
            Some(Ecn::new(How::Accurate(accurate), unchanged))
        }
        Feedback::Accurate => {
            // 9768-3.2.3: our SYN,ACK, which is still to leave, is that of a listener.
            let mut accurate = AccurateEcn::server(segment.ecn, iss);
            (accurate.silent, accurate.probes) = (habits.acks.no_ecn_options, true);
            Some(Ecn::new(How::Accurate(accurate), !asked.bare_syn))
        }
    };
}

/// The most that a connection agrees to: one of a listener, or one whose SYN has crossed the peer's.
fn accepted(passive: bool, cx: &Context<'_>) -> Feedback {
    let (ecn, habits) = (cx.config.ecn, &cx.config.habits);
    if passive || habits.syn.ecn_with_crossing { ecn.accepted() } else { ecn.requested() }
}

/// Of a host whose SYNs ask for counters, and for the other feedback, nobody knows what it does.
// 9768-3.1.5
pub(super) fn contradict(one: Feedback, other: Feedback) -> bool {
    matches!((one, other), (Feedback::Accurate, Feedback::Classic) | (Feedback::Classic, Feedback::Accurate))
}

impl Agreed {
    /// Our next SYN asks for ECN.
    pub fn asks_for_ecn(&self) -> bool {
        self.ecn != Feedback::None && !self.bare_syn
    }

    /// Our next SYN does not, as something on the path may drop or refuse SYNs that do.
    // 3168-6.1.1.1: and nor does an answer count that agrees. 9768-3.1.2: one that agrees to count does, as a host that counts
    // goes on with it (RFC 9768 section 3.1.5).
    pub fn ask_for_ecn_no_more(&mut self) {
        match self.ecn {
            Feedback::Accurate => self.bare_syn = true,
            Feedback::Classic | Feedback::None => self.ecn = Feedback::None,
        }
    }
}

impl Connection {
    /// Its first SYN asks for counters, and none is answered yet.
    pub fn asks_to_count(&self) -> bool {
        self.state() == State::SynSent && self.agreed.ecn == Feedback::Accurate
    }

    /// The peer's SYN,ACK answers such a SYN: it agrees to something, or no SYN has left that does not ask.
    pub fn was_asked_to_count(&self) -> bool {
        self.agreed.ecn != Feedback::None || !self.agreed.bare_syn
    }

    /// The sender has lowered its window.
    pub(super) fn slowed_down(&mut self) {
        if let Some(ecn) = self.ecn.as_deref_mut() {
            ecn.slowed_down(self.snd.nxt);
        }
    }

    /// This ACK tells of a mark that was not told before.
    pub(super) fn tells_of_mark(&self, segment: &Segment<'_>) -> bool {
        self.ecn.as_deref().is_some_and(|ecn| ecn.tells(segment.flags) && !came_with_syn(segment))
    }

    /// A SYN, or SYN,ACK, that is known has come once more: the answer to it tells how.
    ///
    /// # Errors
    /// It contradicts the first one.
    // 9768-3.1.1-1, 9768-3.2.2: how the latest has arrived.
    #[cold]
    pub(super) fn syn_came_again(&mut self, segment: &Segment<'_>, cx: &Context<'_>) -> Result<(), Rejected> {
        let passive = self.origin == Origin::Passive;
        if segment.has_ack() {
            // 9768-3.2.2: of a client; and where SYNs have crossed, of both.
            let acceptable = segment.ack.gt(self.snd.iss) && segment.ack.le(self.snd.nxt);
            let counts = Feedback::Accurate.of_syn_ack(segment.flags) == Feedback::Accurate;
            if let Some(accurate) = self.ecn.as_deref_mut().and_then(Ecn::accurate_mut)
                && (!passive && acceptable && counts)
            {
                accurate.syn_ack_arrived(segment.ecn);
            }
            return Ok(());
        }
        if self.state() != State::SynReceived {
            // 9768-3.1.5: once a connection is open, the bits of a SYN mean nothing.
            return Ok(());
        }
        let accepted = accepted(passive, cx);
        if contradict(self.agreed.ecn, accepted.of_syn(segment.flags)) {
            return Err(Rejected::Abort(DropReason::TcpSynRefused));
        }
        if let Some(ecn) = self.ecn.as_deref_mut()
            && let How::Accurate(accurate) = &mut ecn.how
        {
            accurate.syn_arrived = segment.ecn;
            // 9768-3.1.5: a server that has got a SYN which does not ask cannot know what its client does.
            ecn.capable &= !(passive && accurate_ecn::ace(segment.flags) == 0);
        }
        Ok(())
    }

    /// The option of Accurate ECN for a segment with these options.
    // 9768-3.2.3: room for two SACK blocks comes first, and beyond that the counters do. Text has no room for it but in a short
    // segment: an ACK that is due goes before it.
    pub(super) fn ecn_option(&self, ecn: &Ecn, options: &TcpOptions, plan: &Plan) -> Option<EcnOption> {
        let accurate = ecn.accurate()?;
        let blocks = options.sack.len().min(2);
        let sack = if blocks > 0 { 4 + 8 * blocks } else { 0 };
        let room = MAX_LEN - len_of_others(options) - sack;
        if plan.len == 0 {
            return accurate.option(false, room);
        }
        let spare = self.segment_payload().saturating_sub(plan.len) as usize;
        if plan.is_new_text(self) { accurate.option(true, room.min(spare)) } else { None }
    }

    /// A segment with these options has left.
    pub(super) fn ecn_sent(&mut self, plan: &Plan, option: bool) {
        let (full, passive) = (self.segment_payload(), self.origin == Origin::Passive);
        let text = (plan.len > 0).then(|| SentText {
            end: plan.seq + plan.len,
            new: plan.seq == self.snd.nxt,
            full: plan.len.is_multiple_of(full),
        });
        let Some(ecn) = self.ecn.as_deref_mut() else { return };
        if plan.flags.contains(Flags::SYN) {
            ecn.syn_ack_sent(plan.flags, passive && plan.reason == Reason::Retransmission);
        } else {
            ecn.sent(plan.flags, text, option);
        }
    }
}
