//! The eighth step of SEGMENT ARRIVES: the FIN bit.

use super::connection::{Connection, Context, Events};
use super::habits::AfterFin;
use super::receiver::AckOwed;
use super::segment::Segment;
use super::sequence::SeqNumber;
use super::state::{Cause, State};
use super::why::Why;

/// Takes note of where the peer's stream ends, if a segment with FIN tells it: before its text is stored, which may fill
/// the gap in front of what a peer has sent beyond its own FIN.
pub(super) fn note_end(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    let fin = position(segment);
    // A FIN in front of text that was delivered already is a peer's mistake and ends nothing.
    let timely = fin.ge(connection.rcv.nxt);
    if !timely || !connection.state().receives_text() || connection.rcv.fin.is_some() {
        return;
    }
    connection.rcv.fin = Some(fin);
    let held = connection.receive_buffer.next() + u64::from(fin.since(connection.rcv.nxt));
    if connection.receive_buffer.out_of_order().iter().any(|(_, end)| end > held) {
        // 9293-3.10.7.4-38: text behind the FIN is no text; what was held before is asked for again.
        connection.receive_buffer.discard_out_of_order(cx.pool);
    }
}

/// Where the FIN of a segment stands.
fn position(segment: &Segment<'_>) -> SeqNumber {
    segment.text_seq() + segment.payload.len() as u32
}

/// Eighth: the FIN bit. It is a position in sequence space, and is processed when everything before it is here. The
/// seventh step has noted it.
pub(super) fn finish(connection: &mut Connection, segment: &Segment<'_>, cx: &mut Context<'_>) {
    let end = connection.rcv.fin.filter(|&fin| segment.fin() && fin == position(segment));
    if end.is_some_and(|fin| fin.gt(connection.rcv.nxt)) {
        // It waits for the text in front of it. Text that came with it has its duplicate ACK already.
        connection.owe_ack_now(segment.payload.is_empty(), Why::FinEarlyAck);
    }
    // 9293-3.10.7.4-40: also when a later segment has filled the gap in front of it.
    if connection.rcv.fin != Some(connection.rcv.nxt) {
        return;
    }
    connection.rcv.nxt += 1;
    // 9293-3.10.7.4-41, 9293-3.10.7.4-42, 9293-3.10.7.4-43, 9293-3.10.7.4-44: by the table. The ACK of our own FIN, if
    // this segment carries it, was seen in the fifth step.
    connection.advance(Cause::Fin);
    match cx.config.habits.acks.after_fin {
        AfterFin::LateAck if connection.state() == State::CloseWait && has_heard(connection, segment) => {
            (connection.rcv.quick_acks, connection.owed.dsack) = (0, None);
            connection.owe_ack_in_order(cx);
        }
        AfterFin::AckAndFin if connection.state() == State::Closing => {
            connection.retransmit_all();
            connection.owed.ack(AckOwed::Now, Why::FinAck);
        }
        _ => connection.owed.ack(AckOwed::Now, Why::FinAck),
    }
    connection.events.add(Events::READ);
    if connection.state() == State::TimeWait {
        connection.stop_timers();
    }
}

/// There was text; that of a SYN whose handshake this segment ends does not count.
fn has_heard(connection: &Connection, segment: &Segment<'_>) -> bool {
    let only_syn = connection.fast_open.is_some() && segment.payload.is_empty();
    connection.statistics.octets_received > 0 && !only_syn
}
