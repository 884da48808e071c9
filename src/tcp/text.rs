//! The seventh step of SEGMENT ARRIVES: the segment text.

use super::connection::{Connection, Context, Donor, Events};
use super::finish;
use super::input::Rejected;
use super::marks;
use super::receiver::AckOwed;
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::why::Why;
use crate::buffer::Written;
use crate::counters::DropReason;

/// Seventh: the segment text, already cut to the window.
///
/// # Errors
/// How and why the segment was rejected.
pub(super) fn text(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) -> Result<(), Rejected> {
    if segment.fin() {
        finish::note_end(connection, segment, cx);
    }
    let mut payload = segment.payload;
    if let Some(fin) = connection.rcv.fin {
        // 9293-3.10.7.4-38: nothing follows a FIN, wherever it stands.
        payload = &payload[..payload.len().min(fin.saturating_since(segment.seq) as usize)];
    }
    if payload.is_empty() || !connection.state().receives_text() {
        return Ok(());
    }
    if connection.orphan {
        // 9293-SHLD-3: the application has closed and can never read this; the peer should know.
        return Err(Rejected::Abort(DropReason::TcpAfterClose));
    }
    take(connection, segment, payload, cx)
}

/// The text of a SYN that opens by Fast Open. A FIN behind it is not taken, and comes again.
// 7413-4.2.2-2: what has no room is not acknowledged, and comes again too.
pub fn text_of_syn(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    let mut rest = *segment;
    rest.trim(connection.rcv.nxt, connection.rcv.edge);
    if !rest.payload.is_empty() {
        connection.agreed.syn_text = take(connection, &rest, rest.payload, cx).is_ok();
    }
}

/// Takes text in, whatever the state.
fn take(
    connection: &mut Connection,
    segment: &Segment<'_>,
    payload: &[u8],
    cx: &mut Context<'_>,
) -> Result<(), Rejected> {
    connection.note_echo(segment);
    marks::text_arrived(connection, segment);
    let wire_segment = payload.len() / usize::from(segment.coalesced.max(1));
    connection.rcv.segment_size =
        connection.rcv.segment_size.max(u16::try_from(wire_segment).unwrap_or(u16::MAX)).min(connection.rcv.mss);
    let held = part_held(connection, segment, payload);
    match store(connection, segment, payload, cx) {
        Ok(written) => {
            if connection.agreed.sack && connection.owed.dsack.is_none() {
                connection.owed.dsack = held;
            }
            received(connection, segment, &written, cx);
            Ok(())
        }
        Err(reason) => {
            // The peer sends it again; until then it is told where we are.
            connection.owe_ack_now(true, Why::NoRoomAck);
            Err(Rejected::Drop(reason))
        }
    }
}

/// The first part of the text that is held out of order already.
// 2883-4-2: whether it is the whole text or not; of several parts only the first is told (RFC 2883 section 4.2).
fn part_held(connection: &Connection, segment: &Segment<'_>, payload: &[u8]) -> Option<(SeqNumber, SeqNumber)> {
    let (buffer, nxt) = (&connection.receive_buffer, connection.rcv.nxt);
    if buffer.out_of_order().is_empty() {
        return None;
    }
    let start = buffer.next() + u64::from(segment.seq.since(nxt));
    let (from, to) = buffer.out_of_order().first_within(start, start + payload.len() as u64)?;
    let seq = |position: u64| nxt + (position - buffer.next()) as u32;
    Some((seq(from), seq(to)))
}

/// Copies the text to its place, in order or out of order by the same call; a super-segment in order takes its chunk along.
// 9293-SHLD-31: what begins beyond RCV.NXT is held.
fn store(
    connection: &mut Connection,
    segment: &Segment<'_>,
    payload: &[u8],
    cx: &mut Context<'_>,
) -> Result<Written, DropReason> {
    let buffer = &mut connection.receive_buffer;
    let in_order = segment.seq == connection.rcv.nxt;
    let position = buffer.next() + u64::from(segment.seq.since(connection.rcv.nxt));
    if in_order && !connection.read_closed && matches!(cx.donor, Donor::Offered) {
        let len = payload.len() as u64;
        if let Some(spare) = buffer.promise(cx.pool, payload.len()) {
            *cx.donor = Donor::Taken { text: payload.as_ptr().addr(), spare };
            return Ok(Written { advanced: len, new: len, filled_gap: false });
        }
    }
    let written = buffer.write_at(cx.pool, position, payload);
    match written {
        Ok(written) => Ok(written),
        Err(_) if in_order => {
            // Under pressure, what waits out of order goes first: the peer still has it.
            buffer.discard_out_of_order(cx.pool);
            // Then as much of the segment as there is room for. A whole one may need a large chunk where only a small one
            // is left, and two hosts that both insisted on whole segments could wait for each other for ever.
            let halves = (0..).map(|n| payload.len() >> n).take_while(|&octets| octets > 0);
            let mut written = halves.map(|octets| buffer.write_at(cx.pool, position, &payload[..octets]));
            written.find_map(Result::ok).ok_or(DropReason::TcpNoMemory)
        }
        Err(_) => Err(DropReason::TcpOutOfOrderFull),
    }
}

/// Advances RCV.NXT over what is now in order and owes the acknowledgment.
// 9293-3.10.7.4-36, 9293-3.10.7.4-37
fn received(connection: &mut Connection, segment: &Segment<'_>, written: &Written, cx: &mut Context<'_>) {
    connection.rcv.shown = connection.rcv.shown.saturating_add(written.new as u32);
    connection.rcv.nxt += written.advanced as u32;
    connection.statistics.octets_received += written.advanced;
    if written.advanced == 0 {
        note_out_of_order(connection, segment);
        // 9293-MAY-13, 5681-3.2-1
        connection.owe_ack_now(true, Why::DuplicateAck);
        return;
    }
    // Duplicate ACKs that have not left yet would now repeat the new number, and look like duplicates of that.
    connection.owed.duplicate_acks = 0;
    if connection.read_closed {
        let waiting = connection.receive_buffer.readable();
        connection.receive_buffer.skip(cx.pool, waiting);
    } else {
        // 9293-MAY-17: the reader is woken by text, with PSH or without.
        connection.events.add(Events::READ);
    }
    connection.rcv.tuning.waited |= written.filled_gap;
    if written.filled_gap || !connection.receive_buffer.out_of_order().is_empty() {
        // 5681-3.2-1: it fills a gap, wholly or in part.
        connection.owed.ack(AckOwed::Now, Why::GapAck);
    } else {
        connection.owe_ack_in_order(cx);
    }
}

/// Notes that the range which this segment is now part of is the latest news.
fn note_out_of_order(connection: &mut Connection, segment: &Segment<'_>) {
    let (nxt, buffer) = (connection.rcv.nxt, &connection.receive_buffer);
    let position = buffer.next() + u64::from(segment.seq.since(nxt));
    if let Some((start, end)) = buffer.out_of_order().containing(position) {
        let seq = |position: u64| nxt + (position - buffer.next()) as u32;
        connection.owed.sack_order.get_or_insert_default().note(segment.seq, seq(start), seq(end));
    }
}
