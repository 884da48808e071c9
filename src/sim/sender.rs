//! What must hold of the sending side of a connection whenever nothing is left to do at once: after each simulated step, in
//! tests and in fuzzing. Everything is counted anew from the records, by other means than the counters that the stack uses.

use std::time::Duration;

use crate::stack::Stack;
use crate::tcp::connection::Connection;
use crate::tcp::due::Due;
use crate::tcp::receiver::AckOwed;
use crate::tcp::recovery::Transfer;
use crate::tcp::recovery::ranges::Ranges;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::tcp::timer::Purpose;
use crate::time::Instant;

/// Checks the sending side of every connection of a stack that has sent all that it can.
///
/// # Panics
/// Where a rule is broken, with the connection in the text.
pub fn check_all(stack: &Stack, now: Instant) {
    for connection in stack.tcp_connections() {
        if let Err(rule) = check(connection) {
            panic!("{now:?}: {rule}\n{connection:#?}");
        }
    }
}

/// Checks the sending side of a connection that has sent all that it can.
///
/// # Errors
/// The rule that is broken.
pub fn check(connection: &Connection) -> Result<(), &'static str> {
    space(connection)?;
    match connection.transfer.as_deref() {
        Some(transfer) => scoreboard(connection, transfer)?,
        None => hold(is_over(connection) || connection.flight() == 0, "records of all that is in flight")?,
    }
    windows(connection)?;
    timers(connection)
}

fn hold(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}

/// Nothing is sent any more, or somebody else answers.
fn is_over(connection: &Connection) -> bool {
    matches!(connection.state(), State::Closed | State::TimeWait)
}

/// The numbers.
fn space(connection: &Connection) -> Result<(), &'static str> {
    let snd = &connection.snd;
    hold(snd.una.le(snd.nxt), "SND.UNA <= SND.NXT")?;
    let end = connection.text_end() + u32::from(snd.fin.is_some());
    hold(is_over(connection) || snd.nxt.le(end) || connection.syn_waits(), "nothing was sent that does not exist")?;
    hold(snd.fin.is_none_or(|fin| fin.ge(snd.una) || connection.fin_acknowledged()), "the FIN stays behind the text")?;
    hold(snd.wnd <= snd.max_wnd, "SND.WND is at most the largest one")
}

/// The records are what is in flight without gaps; SACKed and lost are ranges in it, apart from each other; and each octet in
/// the network is counted once.
fn scoreboard(connection: &Connection, transfer: &Transfer) -> Result<(), &'static str> {
    let (una, nxt, sent) = (connection.snd.una, connection.snd.nxt, &transfer.sent);
    hold(!sent.is_empty() && una.lt(nxt), "no records of nothing")?;
    hold(sent.is_consistent(), "the records are consistent")?;
    let mut at = una;
    for record in sent.iter() {
        hold(
            record.seq == at && record.len > 0 && record.transmissions > 0,
            "records follow each other from SND.UNA on",
        )?;
        at = record.end();
    }
    hold(at == nxt, "the records end at SND.NXT")?;
    ranges(sent.sacked(), una, nxt)?;
    ranges(sent.lost(), una, nxt)?;
    hold(sent.sacked().first().is_none_or(|range| range.0.gt(una)), "SND.UNA is not SACKed")?;
    hold(sent.sacked().is_empty() || connection.agreed.sack, "SACK was agreed on")?;
    hold(in_network(transfer) == Some(connection.in_flight()), "each octet in the network is counted once")
}

/// Sorted, apart from each other, within SND.UNA to SND.NXT, and as many octets as they say.
fn ranges(ranges: &Ranges, una: SeqNumber, nxt: SeqNumber) -> Result<(), &'static str> {
    let (mut at, mut octets) = (None, 0);
    for (left, right) in ranges.iter() {
        let after = at.is_none_or(|at: SeqNumber| at.lt(left));
        hold(after && una.le(left) && left.lt(right) && right.le(nxt), "ranges are disjoint, sorted and in flight")?;
        octets += right.since(left);
        at = Some(right);
    }
    hold(octets == ranges.octets(), "ranges count their octets")
}

/// The octets of the records that are neither SACKed nor taken for lost, found by walking along all three; nothing if some are
/// both.
fn in_network(transfer: &Transfer) -> Option<u32> {
    let sent = &transfer.sent;
    let mut gone: Vec<(SeqNumber, SeqNumber)> = sent.sacked().iter().chain(sent.lost().iter()).collect();
    let first = sent.first()?.seq;
    gone.sort_by_key(|range| range.0.since(first));
    if gone.windows(2).any(|pair| pair[0].1.gt(pair[1].0)) {
        return None;
    }
    let (mut octets, mut gone) = (0, gone.into_iter().peekable());
    for record in sent.iter() {
        octets += record.len;
        while let Some(&(left, right)) = gone.peek().filter(|range| range.0.lt(record.end())) {
            octets -= right.min(record.end()).since(left.max(record.seq));
            if right.gt(record.end()) {
                break;
            }
            gone.next();
        }
    }
    Some(octets)
}

/// cwnd and ssthresh.
// As 5681-3.1-5 says.
fn windows(connection: &Connection) -> Result<(), &'static str> {
    if !connection.snd.syn_acknowledged || is_over(connection) {
        return Ok(());
    }
    let (controller, mss) = (connection.congestion.get(), connection.segment_payload());
    hold(controller.window() >= mss, "cwnd is at least a segment")?;
    hold(controller.slow_start_threshold() >= 2 * mss, "ssthresh is at least two segments")
}

/// A timer runs exactly where something is owed that no ACK may ever come for.
fn timers(connection: &Connection) -> Result<(), &'static str> {
    let deadlines = &connection.deadlines;
    let (retransmit, persist) = (deadlines.retransmit.is_set(), deadlines.persist.is_set());
    if is_over(connection) {
        return hold(!retransmit && !persist, "no timer of a connection that is over");
    }
    let in_flight = connection.flight() > 0;
    let waits = connection.unsent() > 0 || (connection.snd.fin.is_some() && !connection.fin_sent());
    let closed = connection.snd.syn_acknowledged && connection.snd.wnd == 0;
    // As 6298-5.1 and 6298-5.2 say.
    hold(in_flight || !retransmit, "no retransmission timer with nothing in flight")?;
    if closed && (in_flight || waits) {
        // As 9293-SHLD-29 says.
        hold(persist && !retransmit, "a closed window is probed, and nothing else")?;
    } else {
        // After a timeout what is sent again may wait for its turn, by pacing, and starts the timer when it leaves.
        let lost = connection.transfer.as_deref().is_some_and(|transfer| !transfer.sent.lost().is_empty());
        let turn = connection.due.has(Due::PACED) && connection.due.has(Due::RETRANSMISSION) && lost;
        hold(
            retransmit == in_flight || (in_flight && turn),
            "the retransmission timer runs while something is in flight",
        )?;
        hold(waits || !persist, "no persist timer where nothing waits")?;
    }
    let patient = connection.options.user_timeout == Some(Duration::MAX);
    // As 9293-MUST-20 says.
    hold(!in_flight || closed || patient || deadlines.user_timeout.is_set(), "somebody will lose patience")?;
    let late = (connection.owed.ack == AckOwed::Delayed) == deadlines.delayed_ack.is_set();
    hold(late, "the timer of delayed acknowledgments runs while one is owed")?;
    let owed = in_flight || (waits && connection.state().is_synchronized());
    hold(!owed || retransmit || persist || connection.due.has(Due::PACED), "something will happen to what is owed")?;
    hold(!connection.due.has(Due::PACED) || connection.next_turn().is_some(), "what is paced has its turn")?;
    if let Some(transfer) = connection.transfer.as_deref().filter(|_| retransmit) {
        let late = transfer.timeout_at.is_some_and(|at| deadlines.retransmit.at().is_some_and(|set| set > at));
        hold(!late, "nothing runs longer than the timeout")?;
        let reorders = connection.purpose != Purpose::Reorder || transfer.reorder_at.is_some();
        hold(reorders, "a reordering timer has something to decide")?;
    }
    Ok(())
}
