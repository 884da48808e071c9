//! SEGMENT ARRIVES (RFC 9293 section 3.10.7): the steps, in the order and by the names of the RFC.
//!
//! Nothing is sent here. What the segment makes due is noted in [`Connection::owed`], and [`super::plan`] decides after
//! the whole batch.

use super::acceptance::{self, Acceptance, ResetAction};
use super::acknowledge::acknowledge;
use super::connection::{Connection, Context, Origin};
use super::ecn::NOT_ECT;
use super::finish::finish;
use super::receiver::AckOwed;
use super::segment::Segment;
use super::state::{Cause, State};
use super::syn_sent;
use super::text::text;
use super::timestamp;
use super::urgent::urgent;
use super::why::Why;
use crate::counters::DropReason;
use crate::error::SocketError;

/// Why a segment went no further than one of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It is dropped; what it is answered with, if anything, is noted as owed.
    Drop(DropReason),
    /// It is dropped and answered with a RST of its own (see [`super::reset`]).
    Reset(DropReason),
    /// The application is gone and there is data for it: the connection is reset (RFC 9293 section 3.6.1). Or a SYN resets it,
    /// by a habit that is not the default.
    Abort(DropReason),
}

/// Handles one segment of a connection.
///
/// # Errors
/// How and why the segment was rejected. That is no failure: the connection is as it should be.
pub fn segment_arrives(
    connection: &mut Connection,
    segment: &Segment<'_>,
    cx: &mut Context<'_>,
) -> Result<(), Rejected> {
    connection.statistics.segments_in = connection.statistics.segments_in.wrapping_add(1);
    if connection.state() == State::SynSent {
        return syn_sent::segment_arrives(connection, segment, cx);
    }
    let mut segment = *segment;
    sequence(connection, &mut segment, cx)?; //     first
    reset(connection, &segment, cx)?; //            second
    if connection.state() == State::Closed {
        return Ok(());
    }
    // 9293-3.10.7.4-17: third: security and compartment do not exist here, and systems without them skip the check.
    syn(connection, &segment, cx)?; //              fourth
    connection.heard_from_peer(cx);
    if !segment.has_ack() {
        // 9293-3.10.7.4-21
        return Err(Rejected::Drop(DropReason::TcpNoAck));
    }
    acknowledge(connection, &mut segment, cx)?; //  fifth
    if connection.state() == State::Closed {
        return Ok(());
    }
    urgent(connection, &segment); //                sixth
    text(connection, &segment, cx)?; //             seventh
    finish(connection, &segment, cx); //            eighth
    Ok(())
}

/// First: the sequence number. Leaves only what lies in the window.
fn sequence(connection: &mut Connection, segment: &mut Segment<'_>, cx: &mut Context<'_>) -> Result<(), Rejected> {
    if timestamp::is_missing(connection, segment) && !cx.config.habits.take_missing_timestamps {
        // 7323-3.2-2: dropped, but the connection lives on.
        return Err(Rejected::Drop(DropReason::TcpNoTimestamp));
    }
    // 7323-5.3-1: before the sequence number.
    if timestamp::is_old(connection, segment) {
        answer_unacceptable(connection, segment, cx)?;
        return Err(Rejected::Drop(DropReason::TcpPaws));
    }
    if segment.rst() {
        // 9293-SHLD-2: a RST is tested by its sequence number alone, in the second step, and its text is nobody's.
        return Ok(());
    }
    let (next, edge) = (connection.rcv.nxt, connection.rcv.edge);
    match acceptance::sequence(&connection.space(), segment.seq, segment.len()) {
        Acceptance::Whole => {
            timestamp::update(connection, segment);
            note_duplicate(connection, segment);
            segment.trim(next, edge);
            Ok(())
        }
        Acceptance::ControlOnly => {
            answer_unacceptable(connection, segment, cx)?;
            // 9768-3.2.2: only the marks of what is acceptable count.
            segment.ecn = NOT_ECT;
            segment.trim(next, next);
            Ok(())
        }
        Acceptance::No => {
            // 9293-3.10.7.4-6
            answer_unacceptable(connection, segment, cx)?;
            Err(Rejected::Drop(DropReason::TcpOutOfWindow))
        }
    }
}

/// Owes the answer to an unacceptable segment: an ACK of what is expected.
///
/// Text and FIN are repeated by a timer, so their answers need no limit of their own; two ends that disagree without
/// sending either could answer each other for ever, so those are limited.
fn answer_unacceptable(
    connection: &mut Connection,
    segment: &Segment<'_>,
    cx: &mut Context<'_>,
) -> Result<(), Rejected> {
    if segment.syn() && segment.seq == connection.rcv.irs {
        connection.syn_came_again(segment, cx)?;
    }
    // 9293-MAY-8: also, and for ever, each probe of a closed window.
    if segment.rst() {
        // 9293-3.10.7.4-7
    } else if connection.opens_early() && segment.syn() && segment.seq == connection.rcv.irs {
        // The SYN once more: our SYN-ACK may have been lost.
        connection.repeat_syn_ack(cx);
    } else if segment.payload.is_empty() && !segment.fin() {
        let crossed = segment.syn() && connection.keeps_text() && segment.seq == connection.rcv.irs;
        if crossed && connection.agreed.sack && cx.config.habits.syn.forget_crossing_text {
            connection.owed.dsack = Some((segment.seq, segment.seq + 1));
        }
        connection.owe_challenge(cx);
    } else {
        note_duplicate(connection, segment);
        connection.owed.ack(AckOwed::Now, Why::Unacceptable);
    }
    Ok(())
}

/// Notes the part of the text that was received before, to be reported once.
// 2883-4-1, 9768-3.1.1-2
fn note_duplicate(connection: &mut Connection, segment: &Segment<'_>) {
    let (left, right) = (segment.text_seq(), segment.text_seq() + segment.payload.len() as u32);
    if connection.agreed.sack && !segment.payload.is_empty() && left.lt(connection.rcv.nxt) {
        connection.owed.dsack = Some((left, right.min(connection.rcv.nxt)));
    }
}

/// Second: the RST bit.
fn reset(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) -> Result<(), Rejected> {
    if !segment.rst() {
        return Ok(());
    }
    match acceptance::reset(&connection.space(), segment.seq).by_habit(&cx.config.habits) {
        ResetAction::Reset => {
            cx.counters.resets_in += 1;
            // 9293-3.10.7.4-14: refused while it is still being opened.
            // 9293-3.10.7.4-15, 9293-3.10.7.4-16: reset after.
            // In CLOSING and LAST-ACK too whoever still holds it is told, though the RFC only deletes the TCB there: our FIN, and
            // perhaps text before it, was never acknowledged, so it may be lost. What has arrived is read all the same.
            let error = match connection.state() {
                State::SynReceived if connection.origin == Origin::Active => SocketError::Refused,
                _ => SocketError::Reset,
            };
            connection.end(Cause::Reset, Some(error), cx.pool, cx.transfers);
            Ok(())
        }
        ResetAction::Challenge => {
            connection.owe_challenge(cx);
            Err(Rejected::Drop(DropReason::TcpResetRefused))
        }
        ResetAction::Drop => Err(Rejected::Drop(DropReason::TcpResetRefused)),
    }
}

/// Fourth: the SYN bit. On a connection (also one in SYN-RECEIVED that we opened) it draws a challenge ACK.
// 9293-3.10.7.4-19
fn syn(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) -> Result<(), Rejected> {
    if !segment.syn() {
        return Ok(());
    }
    if cx.config.habits.resets.insecure_syn && connection.state().is_synchronized() {
        return Err(Rejected::Abort(DropReason::TcpSynRefused));
    }
    connection.owe_challenge(cx);
    Err(Rejected::Drop(DropReason::TcpSynRefused))
}

impl Connection {
    /// The peer lives: it was heard of just now.
    fn heard_from_peer(&mut self, cx: &Context<'_>) {
        self.last_received = cx.now;
        self.keep_alive_probes = 0;
        // 9293-MUST-37, docs/decisions.md: an answered probe counts for nothing, unless the application has set its own limit.
        // A SYN is no probe, whatever window the peer's had.
        if self.snd.wnd == 0 && self.snd.syn_acknowledged && self.options.user_timeout.is_none() {
            self.deadlines.user_timeout.cancel();
        }
    }
}
