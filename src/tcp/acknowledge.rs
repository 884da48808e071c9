//! The fifth step of SEGMENT ARRIVES: the ACK field, and everything that an acknowledgment means to the sender.

use std::time::Duration;

use super::acceptance::{self, AckRange};
use super::connection::{Connection, Context, Events, Origin};
use super::due::Due;
use super::habits::Windows;
use super::input::Rejected;
use super::loss::{self, Ack};
use super::marks::Before;
use super::recovery::sent::Delivered;
use super::segment::Segment;
use super::state::{Cause, State};
use super::{marks, syn_sent, timestamp};
use crate::buffer::More;
use crate::counters::DropReason;

/// Fifth: the ACK field.
///
/// # Errors
/// How and why the segment was rejected.
pub(super) fn acknowledge(
    connection: &mut Connection,
    segment: &mut Segment<'_>,
    cx: &mut Context<'_>,
) -> Result<(), Rejected> {
    let space = connection.space();
    if connection.state() == State::SynReceived {
        if !acceptance::establishes(&space, segment.ack) {
            // 9293-3.10.7.4-23
            return Err(Rejected::Reset(DropReason::TcpAckRange));
        }
        // 9293-3.10.7.4-22: ESTABLISHED, and on with the same segment.
        connection.advance(Cause::SynAcknowledged);
        acknowledge_syn(connection, segment, cx);
        marks::opened(connection, segment, cx);
        if connection.origin == Origin::Active {
            syn_sent::take_kept(connection, segment, cx);
        }
        return Ok(());
    }
    let range = acceptance::acknowledgment(&space, segment.ack, connection.snd.max_wnd);
    let flight = connection.flight();
    let delivered = match range {
        AckRange::BeyondNext | AckRange::TooOld => {
            if range == AckRange::TooOld || !cx.config.habits.acks.silent_on_future {
                connection.owe_challenge(cx);
            }
            return Err(Rejected::Drop(DropReason::TcpAckRange));
        }
        AckRange::New => {
            let kept = connection.keeps_text();
            let delivered = new_ack(connection, segment, cx);
            if kept {
                // Closed before the handshake was over: FIN-WAIT-1.
                syn_sent::take_kept(connection, segment, cx);
            }
            delivered
        }
        AckRange::Duplicate => duplicate_ack(connection, segment, cx),
    };
    if connection.ecn.is_some() {
        marks::acknowledged(connection, segment, &Before { flight, delivered }, cx);
    }
    update_window(connection, segment, range == AckRange::New, cx);
    // 9293-3.10.7.4-29, 9293-3.10.7.4-31, 9293-3.10.7.4-32: only the ACK of the FIN itself moves these states.
    if connection.fin_acknowledged() && connection.advance(Cause::FinAcknowledged) {
        connection.watch_fin_wait_2(cx);
        match connection.state() {
            State::Closed => connection.end(Cause::FinAcknowledged, None, cx.pool, cx.transfers),
            State::TimeWait => connection.stop_timers(),
            _ => {}
        }
    }
    Ok(())
}

/// The ACK that completes the handshake: our SYN is acknowledged and the connection is ESTABLISHED.
pub(super) fn acknowledge_syn(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    // 9293-3.10.7.3-10, 9293-3.10.7.4-22
    connection.take_window(segment);
    if matches!(cx.config.habits.windows.offer, Windows::Whole | Windows::WholeSegments) {
        // From now on the window field does not bound it.
        connection.rcv.edge = connection.rcv.edge.max(connection.rcv.nxt + connection.rcv.capacity);
    }
    let mss = connection.segment_payload();
    connection.congestion.get_mut().start(mss, connection.snd.syn_losses);
    new_ack(connection, segment, cx);
    connection.backoff = 0;
    if let Some(srtt) = connection.rtt.srtt() {
        connection.congestion.round_trip_known(srtt);
    }
    connection.events.add(Events::WRITE);
    if connection.snd.fin.is_some() {
        // 9293-3.10.4-3: the application closed while text was waiting for this.
        connection.advance(Cause::Close);
    }
}

/// SND.UNA < SEG.ACK =< SND.NXT; the octets of which it is the first to tell that they have arrived.
// 9293-3.10.7.4-24
fn new_ack(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) -> u32 {
    connection.check_app_limited(cx.now);
    let (flight, in_flight) = (connection.flight(), connection.in_flight());
    if connection.snd.mss_acked < connection.snd.mss {
        connection.note_arrived_size(segment.ack);
    }
    let mut done = Delivered { doubt_from: loss::doubt_from(connection, segment), ..Delivered::default() };
    if let Some(transfer) = connection.transfer.as_mut() {
        transfer.sent.acknowledge(segment.ack, &mut done);
    }
    connection.snd.una = segment.ack;
    if connection.send_buffer.more == More::Held {
        connection.send_buffer.more = More::Unpushed;
    }
    if let Some(ecn) = connection.ecn.as_deref_mut() {
        ecn.acknowledged(segment.ack);
    }
    connection.snd.syn_acknowledged = true;
    // 9293-3.4-1: what is long past moves along, as numbers more than 2^31 apart cannot be compared.
    connection.snd.short_end = connection.snd.short_end.max(segment.ack);
    let text = done.acknowledged - u32::from(done.syn) - u32::from(done.fin);
    connection.send_buffer.advance(cx.pool, text as usize);
    connection.statistics.octets_acknowledged += u64::from(text);
    if text > 0 || done.fin {
        // 9293-3.10.7.4-30: the ACK of our FIN is reported too, and the connection stays.
        connection.events.add(Events::WRITE);
    }
    if connection.snd.up.is_some_and(|up| up.le(segment.ack)) {
        connection.snd.up = None;
    }
    let report = loss::take_blocks(connection, segment, &mut done);
    let rtt = round_trip(connection, segment, &done);
    connection.measured(rtt, segment);
    // 5681-3.1-2: the handshake does not grow cwnd.
    if done.syn {
        connection.restart_timers(cx);
    } else {
        let ack = Ack {
            segment,
            advances: true,
            duplicate: false,
            flight,
            in_flight,
            done: &done,
            report: report.as_ref(),
            rtt,
        };
        loss::acknowledged(connection, &ack, cx);
    }
    if connection.flight() == 0 {
        connection.forget_transfer(cx.transfers);
    }
    done.octets
}

/// The RTT sample that an ACK gives.
fn round_trip(connection: &Connection, segment: &Segment<'_>, done: &Delivered) -> Option<Duration> {
    let Some(resent) = done.acked.again else {
        // 6298-3-2, 9293-MUST-18: each ACK of nothing but what was sent once gives one (Karn's rule); so does a SACK
        // block, of what it is the first to report.
        let once = done.acked.once.or(done.sacked.once)?;
        return Some(segment.arrived - once.at);
    };
    // Something sent twice is among it. What was sent once may have waited at the peer for just that, so only the echoed
    // timestamp can tell.
    // 7323-4.1: this is an ACK of new data.
    let echo = segment.options.timestamp?.echo;
    if !connection.agreed.timestamps || echo == 0 {
        return None;
    }
    // 6298-3-1, 8961-4.2d: and only if it names the last copy. The echo of an earlier one may mean that its ACK was lost:
    // that sample would contain our own timeout, and make the next one longer for no reason.
    if timestamp::is_before(echo, connection.timestamp_value(resent.at)) {
        return None;
    }
    let millis = connection.timestamp_value(segment.arrived).wrapping_sub(echo);
    (millis < 1 << 30).then(|| Duration::from_millis(u64::from(millis)))
}

/// SEG.ACK =< SND.UNA, within what an honest peer may send: not an ACK any more, but perhaps a sign of loss. The octets of which
/// its SACK blocks are the first to tell that they have arrived.
// 9293-3.10.7.4-26: the rest of the segment is processed.
fn duplicate_ack(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) -> u32 {
    // 5681-2-2: all five conditions, so that window updates and data do not count. While the window is closed such ACKs
    // answer probes, which says nothing of a loss.
    // 8985-7.4.2: the second copy of the last segment may arrive when nothing is in flight any more.
    let duplicate = segment.ack == connection.snd.una
        && connection.snd.wnd > 0
        && (connection.flight() > 0 || connection.probe.is_some())
        && segment.is_empty()
        && connection.snd.shift.scale(segment.window) == connection.snd.wnd;
    // With SACK the blocks count, whatever segment carries them; without, the duplicates do.
    let reports = connection.agreed.sack && !segment.options.sack.is_empty();
    if !duplicate && !reports {
        return 0;
    }
    connection.check_app_limited(cx.now);
    let (flight, in_flight) = (connection.flight(), connection.in_flight());
    let mut done = Delivered { doubt_from: loss::doubt_from(connection, segment), ..Delivered::default() };
    let report = loss::take_blocks(connection, segment, &mut done);
    let rtt = done.sacked.once.map(|once| segment.arrived - once.at);
    connection.measured(rtt, segment);
    let ack = Ack { segment, advances: false, duplicate, flight, in_flight, done: &done, report: report.as_ref(), rtt };
    loss::acknowledged(connection, &ack, cx);
    // New text leaves behind a hole, and the queue may grow by as much: a writer that sleeps until SND.UNA advances would
    // leave the path idle for the rest of the round trip.
    connection.events.add(Events::WRITE);
    done.octets
}

/// Takes the send window from the segment if it is not older than the last one that did.
///
/// A segment that acknowledges something new is the newest there is, also if it is a retransmission with an old SEG.SEQ:
/// were its window not taken, SND.UNA + SND.WND would move right although the peer has offered nothing.
// 9293-3.10.7.4-28: and only if SND.UNA =< SEG.ACK, since the window counts from there.
fn update_window(connection: &mut Connection, segment: &Segment<'_>, acknowledges: bool, cx: &mut Context<'_>) {
    let snd = &connection.snd;
    let newer = snd.wl1.lt(segment.seq) || (snd.wl1 == segment.seq && snd.wl2.le(segment.ack));
    if segment.ack.lt(snd.una) || !(newer || acknowledges) {
        return;
    }
    let (closed, wl1) = (snd.wnd == 0, snd.wl1.max(segment.seq));
    connection.take_window(segment);
    connection.snd.wl1 = wl1;
    match (closed, connection.snd.wnd == 0) {
        (true, false) => window_opened(connection, cx),
        // 9293-SHLD-29: the first probe waits for an RTO, also where the timer ran to override silly-window avoidance.
        (false, true) => connection.deadlines.persist.cancel(),
        _ => {}
    }
}

/// The peer's window has opened again.
fn window_opened(connection: &mut Connection, cx: &mut Context<'_>) {
    connection.deadlines.persist.cancel();
    connection.backoff = 0;
    connection.due.clear(Due::WINDOW_PROBE);
    if connection.flight() == 0 {
        connection.restart_if_idle(cx);
    }
    if let Some(transfer) = connection.transfer.as_mut() {
        // What was in flight met a closed window: the peer has dropped it. That says nothing of congestion.
        transfer.sent.mark_all_to_resend();
        connection.due.add(Due::RETRANSMISSION);
    }
    connection.restart_timers(cx);
}

impl Connection {
    /// Takes a round-trip time in, if there is one.
    fn measured(&mut self, rtt: Option<Duration>, segment: &Segment<'_>) {
        let Some(rtt) = rtt else { return };
        self.rtt.sample(rtt);
        self.min_rtt.sample(rtt, segment.arrived);
        // 6298-5.5: the backed-off value held until something was sent and acknowledged without doubt.
        self.backoff = 0;
        self.probe_unmeasured = false;
    }

    /// SND.WND, SND.WL1 and SND.WL2 from this segment.
    pub(super) fn take_window(&mut self, segment: &Segment<'_>) {
        // 7323-2.2-2: the window of a SYN or SYN-ACK is taken as it stands, also of one that came again.
        let wnd =
            if segment.window_unscaled { u32::from(segment.window.0) } else { self.snd.shift.scale(segment.window) };
        self.snd.wnd = wnd;
        self.snd.max_wnd = self.snd.max_wnd.max(wnd);
        self.snd.wl1 = segment.seq;
        self.snd.wl2 = segment.ack;
    }
}
