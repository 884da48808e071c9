//! SEGMENT ARRIVES in SYN-SENT (RFC 9293 section 3.10.7.3).

use super::acknowledge::acknowledge_syn;
use super::connection::{Connection, Context, Events};
use super::ecn::Feedback;
use super::finish::finish;
use super::habits::Habits;
use super::input::Rejected;
use super::marks;
use super::option::{self, Agreed};
use super::receiver::AckOwed;
use super::segment::Segment;
use super::state::Cause;
use super::text::text;
use super::urgent::urgent;
use super::why::Why;
use super::window::WindowShift;
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::wire::option::OptionOrder;

/// Handles one segment in SYN-SENT.
///
/// # Errors
/// How and why it was rejected.
pub(super) fn segment_arrives(
    connection: &mut Connection,
    segment: &Segment<'_>,
    cx: &mut Context<'_>,
) -> Result<(), Rejected> {
    // First: the ACK bit.
    // 9293-3.10.7.3-2: of the SYN alone, or of any part of its text as well.
    let acceptable = segment.has_ack() && segment.ack.gt(connection.snd.iss) && segment.ack.le(connection.snd.nxt);
    if segment.has_ack() && !acceptable {
        // 9293-3.10.7.3-1: nothing for a RST, and else a RST that lets a half-open peer go.
        let reason = DropReason::TcpAckRange;
        return Err(if segment.rst() { Rejected::Drop(reason) } else { Rejected::Reset(reason) });
    }
    // Second: the RST bit.
    // 9293-3.10.7.3-5: there is no RCV.NXT yet; the ACK is what validates a RST.
    if segment.rst() {
        if !acceptable {
            // 9293-3.10.7.3-4
            return Err(Rejected::Drop(DropReason::TcpResetRefused));
        }
        cx.counters.resets_in += 1;
        if connection.agreed.asks_for_ecn() {
            // 3168-6.1.1.1: something on the path may refuse SYNs that ask; whoever means it refuses the next one as well.
            connection.agreed.ask_for_ecn_no_more();
            // Our SYN leaves once more, as it is by now, and does not wait for its timer.
            connection.retransmit_all();
            return Err(Rejected::Drop(DropReason::TcpResetRefused));
        }
        // 9293-3.10.7.3-3
        connection.end(Cause::Reset, Some(SocketError::Refused), cx.pool, cx.transfers);
        return Ok(());
    }
    // Third: security and compartment do not exist here. Fourth: the SYN bit.
    if !segment.syn() {
        // 9293-3.10.7.3-9, 9293-3.10.7.4-39: a FIN here is dropped with the rest.
        return Err(Rejected::Drop(DropReason::TcpNotSyn));
    }
    if segment.fin() && cx.config.drop_syn_fin {
        return Err(Rejected::Drop(DropReason::TcpSynRefused));
    }
    if cx.config.habits.syn.check_echo && acceptable && echoes_another(connection, segment, cx) {
        return Err(Rejected::Reset(DropReason::TcpPaws));
    }
    synchronize(connection, segment, cx);
    if !acceptable {
        // 9293-3.10.7.3-8, 9293-MUST-10: a simultaneous open. Our SYN,ACK repeats the SYN with the same ISS.
        connection.advance(Cause::Syn);
        connection.take_window(segment);
        keep(connection, segment, cx);
        // Our SYN leaves once more, as it is by now, and does not wait for its timer.
        connection.retransmit_all();
        return Ok(());
    }
    // 9293-3.10.7.3-7: ESTABLISHED, and on with what else the segment carries.
    connection.advance(Cause::SynAck);
    acknowledge_syn(connection, segment, cx);
    marks::syn_answered(connection, segment, cx);
    connection.syn_answered(segment);
    connection.owed.ack(AckOwed::Now, Why::SynAckAck);
    let mut rest = *segment;
    rest.trim(connection.rcv.nxt, connection.rcv.edge);
    urgent(connection, &rest);
    text(connection, &rest, cx)?;
    finish(connection, &rest, cx);
    Ok(())
}

/// A SYN-ACK echoes a timestamp that is not of our SYN, which was sent once.
fn echoes_another(connection: &Connection, segment: &Segment<'_>, cx: &Context<'_>) -> bool {
    let Some(echo) = segment.options.timestamp.map(|timestamp| timestamp.echo).filter(|&echo| echo != 0) else {
        return false;
    };
    let (first, last) = (connection.timestamp_value(connection.last_sent), connection.timestamp_value(cx.now));
    connection.snd.syn_losses == 0 && echo.wrapping_sub(first) > last.wrapping_sub(first)
}

/// Keeps the text and the FIN of a SYN that has crossed ours until our own is acknowledged. They are not acknowledged
/// before, so a peer that sends them again loses nothing where there is no memory for them; and there is one such SYN at
/// most, whose text the window of ours bounds.
// 9293-3.10.7.3-8: "queue them for processing after the ESTABLISHED state has been reached". RCV.NXT stays behind the SYN.
fn keep(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    if connection.read_closed || cx.config.habits.syn.forget_crossing_text {
        // Nobody will read it, or it comes again.
        return;
    }
    let mut rest = *segment;
    rest.trim(connection.rcv.nxt, connection.rcv.edge);
    let position = connection.receive_buffer.next();
    let written = connection.receive_buffer.write_at(cx.pool, position, rest.payload);
    let forget = cx.config.habits.syn.forget_crossing_fin && !rest.payload.is_empty();
    if written.is_ok_and(|written| written.advanced == rest.payload.len() as u64) && rest.fin() && !forget {
        connection.rcv.fin = Some(connection.rcv.nxt + rest.payload.len() as u32);
    }
}

/// Our SYN is acknowledged: what came with the peer's is in order now. Of `segment`, which acknowledges it, only what is
/// new remains.
pub(super) fn take_kept(connection: &mut Connection, segment: &mut Segment<'_>, cx: &mut Context<'_>) {
    let kept = connection.receive_buffer.readable() as u32;
    if kept == 0 {
        return;
    }
    connection.rcv.nxt += kept;
    connection.rcv.shown = connection.rcv.shown.saturating_add(kept);
    connection.statistics.octets_received += u64::from(kept);
    connection.events.add(Events::READ);
    connection.owe_ack_in_order(cx);
    segment.trim(connection.rcv.nxt, connection.rcv.edge);
}

/// Takes over what the peer's SYN says.
// 9293-3.10.7.3-6: RCV.NXT = SEG.SEQ + 1, IRS = SEG.SEQ.
fn synchronize(connection: &mut Connection, segment: &Segment<'_>, cx: &Context<'_>) {
    let config = cx.config;
    let asked = connection.agreed;
    let Agreed { order, timestamp_offset, .. } = asked;
    connection.agreed = option::agree(config, order, &segment.options, timestamp_offset, cx.now);
    marks::synchronize(connection, segment, asked, cx);
    let ipv6 = connection.tuple.remote_addr.is_ipv6();
    connection.snd.mss = option::send_mss(segment.options.mss, connection.snd.mss, ipv6);
    if let Some(path) = connection.path.as_mut() {
        // The path is known to take less than our link; that may change.
        path.limit = option::send_mss(segment.options.mss, path.limit, ipv6);
    }
    connection.snd.shift = match segment.options.window_scale {
        Some(count) if connection.agreed.scaling => WindowShift::from_option(count),
        _ => WindowShift::default(),
    };
    if !connection.agreed.scaling {
        connection.rcv.shift = WindowShift::default();
    }
    // The window that our SYN offered begins behind the peer's SYN.
    let offered = connection.rcv.edge.since(connection.rcv.nxt);
    connection.rcv.irs = segment.seq;
    connection.rcv.nxt = segment.seq + 1;
    connection.rcv.edge = connection.rcv.nxt + offered;
    connection.rcv.last_ack = connection.rcv.nxt;
    connection.rcv.tuning.start(connection.rcv.nxt);
    connection.last_received = cx.now;
}

impl Connection {
    /// Our SYN was lost: the next one may offer less, as something on the path may drop it for what it offers.
    pub(super) fn offer_less(&mut self, habits: &Habits) {
        // 3168-6.1.1.1: it does not ask for ECN any more. 9768-3.1.2: for Accurate ECN one more does.
        let retries = habits.syn.ecn_retries.max(u8::from(self.agreed.ecn == Feedback::Accurate));
        if self.snd.syn_losses > retries {
            self.agreed.ask_for_ecn_no_more();
        }
        if habits.syn.bare_after.is_some_and(|losses| self.snd.syn_losses >= losses) {
            self.agreed.order = OptionOrder::MssAlone;
        }
    }
}
