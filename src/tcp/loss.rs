//! What an ACK means to loss recovery and congestion control: the parts of [`super::recovery`], put together.
//!
//! ```text
//!   acknowledged ──┬─ quiet: all in order, nothing to find out      most ACKs
//!                  ├─ with_sack: mistake? -> rack -> losses -> prr   RFC 8985, RFC 9937
//!                  └─ without_sack: new_reno                         RFC 5681, RFC 6582
//! ```

use std::time::Duration;

use super::congestion::{Acked, Loss};
use super::connection::{Connection, Context};
use super::due::Due;
use super::mistake::{is_mistake, undo};
use super::model;
use super::recovery::frto::Frto;
use super::recovery::new_reno::{Action, Phase};
use super::recovery::rack;
use super::recovery::reordering::DUPLICATE_THRESHOLD;
use super::recovery::scoreboard::{self, Report};
use super::recovery::sent::Delivered;
use super::recovery::tail_loss_probe::{Answer, Fate};
use super::recovery::{prr, prr::Prr};
use super::segment::Segment;
use crate::time::Instant;

/// Ranges that SACK blocks may make beyond as many as there are full segments in the peer's window. More are ignored: they
/// are only advice (docs/decisions.md).
const SPARE_RANGES: usize = 64;

/// Segments that may leave at once when a recovery ends, beside the one that its last ACK allows: an initial window in all.
const BURST: u32 = 9;

/// One ACK, and what it brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ack<'a> {
    /// The segment.
    pub segment: &'a Segment<'a>,
    /// SND.UNA has advanced.
    pub advances: bool,
    /// It counts as a duplicate ACK by RFC 5681 section 2.
    pub duplicate: bool,
    /// Octets between SND.UNA and SND.NXT before it.
    pub flight: u32,
    /// Octets in the network before it.
    pub in_flight: u32,
    /// What it has delivered.
    pub done: &'a Delivered,
    /// What its SACK blocks say.
    pub report: Option<&'a Report>,
    /// The round-trip time that it shows.
    pub rtt: Option<Duration>,
}

/// Takes the SACK blocks into the scoreboard.
// 8985-4-1: where SACK is agreed on.
pub(super) fn take_blocks(connection: &mut Connection, segment: &Segment<'_>, done: &mut Delivered) -> Option<Report> {
    if segment.options.sack.is_empty() || !connection.agreed.sack {
        return None;
    }
    let una = connection.snd.una.max(segment.ack);
    let report = scoreboard::read(&segment.options.sack, segment.ack, una, connection.snd.nxt);
    let limit = (connection.snd.max_wnd / connection.segment_payload()) as usize + SPARE_RANGES;
    if let Some(transfer) = connection.transfer.as_mut() {
        let highest = transfer.sent.sacked().last().map(|range| range.1);
        for &block in report.blocks() {
            transfer.sent.sack(block, highest, limit, done);
        }
    }
    Some(report)
}

/// What an ACK means, once SND.UNA, the records and the round-trip time are what they are after it.
pub(super) fn acknowledged(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    model::delivered(connection, ack, cx.now);
    if connection.path.is_some() {
        connection.mtu_probe_acknowledged(cx);
    }
    if !connection.agreed.sack {
        without_sack(connection, ack, cx);
    } else if is_quiet(connection, ack) {
        connection.recovery.advance(connection.snd.una);
        adjust(connection, ack, &Before::of(connection), 0, cx);
        connection.restart_timers(cx);
    } else {
        with_sack(connection, ack, cx);
    }
}

/// An ACK in order, with nothing SACKed, lost, or sent again, and nothing to find out.
fn is_quiet(connection: &Connection, ack: &Ack<'_>) -> bool {
    ack.advances
        && ack.in_flight == ack.flight
        && ack.segment.options.sack.is_empty()
        && connection.recovery.phase == Phase::Open
        && connection.probe.is_none()
        && connection
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.sent.is_plain() && transfer.reorder_at.is_none())
}

/// RACK-TLP and PRR.
fn with_sack(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    let before = Before::of(connection);
    if is_mistake(connection, ack, &cx.config.habits) {
        undo(connection, ack, cx);
    }
    if ack.done.overtaken > 0 {
        connection.reordering.overtaken(ack.done.overtaken, connection.segment_payload());
    }
    let una = connection.snd.una;
    if let Some(transfer) = connection.transfer.as_mut() {
        if transfer.sent.sacked().first().is_some_and(|range| range.0.le(una)) {
            // The peer asks for what it has reported to hold: it has thrown it away. What is missing is left to the timer.
            transfer.sent.forget_sacked();
        }
        transfer.rack.update(ack.done, ack.segment.arrived);
        if cx.config.habits.rack_by_number_last {
            transfer.rack.number_counts_last(ack.done, ack.segment.arrived);
        }
    }
    probe_answered(connection, ack, cx);
    match connection.recovery.advance(una) {
        Some(Phase::FastRecovery) => {
            // 9937-6.4: ssthresh, where PRR has brought the flight near to it. Where it could not, as the peer's window was
            // full, the rest would leave as one burst: slow start takes its place.
            let (in_flight, mss) = (connection.in_flight(), connection.segment_payload());
            connection.congestion.get_mut().recovered(in_flight + BURST * mss, mss);
            recovered(connection, ack);
        }
        Some(_) => recovered(connection, ack),
        None => {}
    }
    let lost = find_losses(connection, &Outstanding { flight: ack.flight, in_flight: ack.in_flight }, cx);
    adjust(connection, ack, &before, lost, cx);
    if ack.advances {
        connection.restart_timers(cx);
    } else {
        connection.keep_timer(cx);
    }
}

/// A recovery is over: the path is believed to reorder less, unless this very ACK tells that something came twice.
// 8985-6.2-4
fn recovered(connection: &mut Connection, ack: &Ack<'_>) {
    if ack.report.is_none_or(|report| report.duplicate.is_none()) {
        connection.reordering.recovered();
    }
}

/// What is on its way when a loss is found, in octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    /// FlightSize: sent, and not acknowledged by number.
    pub flight: u32,
    /// In the network, by the scoreboard.
    pub in_flight: u32,
}

/// How things were before an ACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    phase: Phase,
    /// The path was known to reorder: what was SACKed has grown the window.
    pub reorders: bool,
    /// Segments that duplicate ACKs had told to have arrived.
    pub duplicates: u8,
    /// Whether a timeout was for nothing was still to be found out.
    doubts_timeout: bool,
}

impl Before {
    fn of(connection: &Connection) -> Before {
        let recovery = &connection.recovery;
        Before {
            phase: recovery.phase,
            reorders: connection.reordering.seen,
            duplicates: recovery.duplicates(),
            doubts_timeout: connection.frto() != Frto::Idle,
        }
    }

    /// The octets for which slow start may grow cwnd, of those that the ACK has acknowledged and delivered.
    ///
    /// After a timeout an ACK often covers what arrived long before, which says nothing of what leaves the network now
    /// (RFC 3465 section 2.3): only what the ACK is the first to tell counts; or one segment, where SACK does not tell, or where
    /// it is not known yet what the timeout was.
    // 5682-2.1, 5682-3.1: cwnd is two segments at most behind the first ACK and three behind the second.
    pub(super) fn counted(&self, connection: &Connection, acknowledged: u32, delivered: u32) -> u32 {
        match self.phase {
            Phase::Timeout if self.doubts_timeout || !connection.agreed.sack => {
                acknowledged.min(connection.segment_payload())
            }
            Phase::Timeout => acknowledged.min(delivered),
            Phase::Open | Phase::FastRecovery => acknowledged,
        }
    }
}

/// Finds what is lost by now, and reacts to it; the octets that are newly found.
pub(super) fn find_losses(connection: &mut Connection, before: &Outstanding, cx: &mut Context<'_>) -> u32 {
    let (min_rtt, srtt) = (connection.min_rtt.get(), connection.rtt.srtt());
    let open = connection.recovery.phase == Phase::Open;
    let reordering = connection.reordering;
    let Some(transfer) = connection.transfer.as_mut() else { return 0 };
    // 8985-6.2-4: what was seen to reorder makes no difference between one segment and three.
    let certain = !open || (!reordering.seen && transfer.sent.are_sacked(DUPLICATE_THRESHOLD));
    let window = reordering.window(min_rtt, srtt, certain);
    let losses = rack::detect(&mut transfer.sent, &transfer.rack, window, cx.now);
    transfer.reorder_at = losses.next;
    // 5681-4.3-1, 8985-9.3: the loss of what was sent again is one more sign of congestion, once for each reduction.
    let resent = losses.resent_at.is_some_and(|at| at >= transfer.reduced_at);
    if losses.octets == 0 || (connection.path.is_some() && connection.mtu_probe_lost(cx)) {
        return 0;
    }
    model::lost(connection, cx.now);
    match connection.recovery.phase {
        Phase::Open => enter(connection, before, cx),
        Phase::FastRecovery if resent && cx.config.habits.cwnd.lowers_again() => {
            enter(connection, before, cx);
            // The first reduction was right, whatever becomes of this one.
            connection.undo.forget();
        }
        Phase::Timeout if resent && cx.config.habits.cwnd.lowers_again() => lower_after_timeout(connection, before, cx),
        Phase::FastRecovery | Phase::Timeout => {}
    }
    losses.octets
}

/// What was sent again since a timeout is lost: one more sign of congestion, but no other recovery.
// 5681-4.3-1; 6675-5.1: none begins before all is acknowledged that was sent when the timer expired.
fn lower_after_timeout(connection: &mut Connection, before: &Outstanding, cx: &mut Context<'_>) {
    let mss = connection.segment_payload();
    // A window of one segment cannot be lowered; and a model of the path hears of each loss by itself.
    if connection.congestion.models_path() || connection.congestion.get().window() <= mss {
        return;
    }
    let flight = reduced_from(connection, before.flight.max(mss), cx);
    answer(connection, flight, false, cx);
    // The timeout was right, whatever becomes of this one.
    connection.undo.forget();
    if let Some(transfer) = connection.transfer.as_mut() {
        transfer.reduced_at = cx.now;
    }
}

/// Fast recovery begins, with so much on its way before what was found to be lost.
// 6675-5-1
// 5681-3.2-4: the new window comes from FlightSize, also of what the peer holds already: while its window is full of that,
// next to nothing is in the network, and that is no sign of a path that carries no more.
fn enter(connection: &mut Connection, before: &Outstanding, cx: &mut Context<'_>) {
    let mss = connection.segment_payload();
    let flight = reduced_from(connection, before.flight.max(mss), cx);
    let in_flight = cx.config.habits.cwnd.repaired_from(before.in_flight.max(mss), flight);
    let answered = connection.recovery.phase == Phase::Open && is_answered(connection);
    answer(connection, flight, answered, cx);
    connection.recovery.enter(connection.snd.nxt);
    // 9937-6.2-3: the first one leaves whatever PRR says.
    connection.due.add(Due::RETRANSMISSION);
    // RFC 8985 section 7.1: what becomes of a probe is no question any more.
    connection.due.clear(Due::LOSS_PROBE);
    connection.probe = None;
    if let Some(transfer) = connection.transfer.as_mut() {
        transfer.prr = Prr::new(in_flight);
        transfer.reduced_at = cx.now;
    }
    cx.counters.fast_retransmits += 1;
    tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, flight, "fast retransmit");
}

/// Of what a loss leaves a part; see [`CwndRules::lowered_from`](super::habits::CwndRules).
pub(super) fn reduced_from(connection: &Connection, flight: u32, cx: &Context<'_>) -> u32 {
    cx.config.habits.cwnd.lowered_from(flight, connection.congestion.get().window())
}

/// A mark in the same window of data has lowered cwnd already for the congestion that a loss shows now.
fn is_answered(connection: &Connection) -> bool {
    connection.ecn.as_deref().is_some_and(|ecn| ecn.has_answered(connection.snd.una))
}

/// Tells the controller of a loss, unless it knows of that congestion.
// 3168-6.1.2-1
fn answer(connection: &mut Connection, flight: u32, answered: bool, cx: &Context<'_>) {
    if answered {
        // Nothing is changed that could be taken back, and the mark has left nothing from before it.
        return;
    }
    let mss = connection.segment_payload();
    connection.congestion.get_mut().loss(&Loss { now: cx.now, flight, mss });
    connection.slowed_down();
    let resent = connection.transfer.as_ref().map_or(0, |transfer| transfer.sent.resent_in_flight());
    connection.undo.begin(connection.snd.una, resent);
}

/// What may be in flight after this ACK, which found things as they were `before` and shows the loss of `lost` octets.
fn adjust(connection: &mut Connection, ack: &Ack<'_>, before: &Before, lost: u32, cx: &Context<'_>) {
    if connection.congestion.models_path() {
        model::acked(connection, ack, before.phase == Phase::FastRecovery, lost, cx);
    } else if connection.recovery.phase == Phase::FastRecovery && connection.agreed.sack {
        reduce(connection, ack, lost > 0);
    } else if before.phase != Phase::FastRecovery
        || (connection.recovery.phase == Phase::Open && connection.agreed.sack)
    {
        grow(connection, ack, before, cx);
    }
}

/// In fast recovery: how much may leave for this ACK.
fn reduce(connection: &mut Connection, ack: &Ack<'_>, lost: bool) {
    let (ssthresh, mss) = (connection.congestion.get().slow_start_threshold(), connection.segment_payload());
    if let Some(transfer) = connection.transfer.as_mut() {
        let in_flight = transfer.sent.in_flight();
        let safe = ack.advances && !lost;
        transfer.prr.acked(&prr::Ack { delivered: ack.done.octets, in_flight, safe, ssthresh, mss });
    }
}

/// Outside fast recovery: the window may grow, by what is acknowledged by number.
///
/// It grows by what is delivered in either way, each octet once, for the ACK that ends a recovery with SACK, most of which was
/// delivered before; else by what the rules for cwnd count.
fn grow(connection: &mut Connection, ack: &Ack<'_>, before: &Before, cx: &Context<'_>) {
    // 3168-6.1.2-3: nor for an ACK that echoes a mark.
    if connection.tells_of_mark(ack.segment) {
        return;
    }
    let ends = before.phase == Phase::FastRecovery;
    let octets = if ends {
        let controller = connection.congestion.get();
        let avoids = controller.window() >= controller.slow_start_threshold();
        if avoids { ack.done.octets } else { 0 }
    } else {
        cx.config.habits.cwnd.grown_by(connection, ack, before)
    };
    if octets > 0 {
        let acked = Acked { octets, ..told(connection, ack, cx) };
        connection.congestion.get_mut().acked(&acked);
    } else if let Some(rtt) = ack.rtt.filter(|_| !ends) {
        // 9406-4.2-1: a round trip is one, whatever tells it.
        connection.congestion.get_mut().sampled(rtt);
    }
}

/// What a controller is told of an ACK outside fast recovery that shows no loss: of what is acknowledged by number.
pub(super) fn told(connection: &Connection, ack: &Ack<'_>, cx: &Context<'_>) -> Acked {
    let mss = connection.segment_payload();
    Acked {
        now: cx.now,
        octets: ack.done.acknowledged,
        flight: ack.flight,
        mss,
        piece: cx.max_packet.max(mss),
        rtt: ack.rtt,
        srtt: connection.rtt.srtt(),
        una: connection.snd.una,
        nxt: connection.snd.nxt,
        in_flight: connection.in_flight(),
        lost: 0,
        recovering: false,
        rate: None,
        by_least_of_all: cx.config.habits.slow_start_by_least_of_all,
    }
}

/// What a probe has shown.
fn probe_answered(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    let repeats = ack.duplicate && ack.segment.options.sack.is_empty();
    let seen = Answer { ack: ack.segment.ack, duplicate: ack.report.and_then(|report| report.duplicate), repeats };
    let fate = connection.probe.map_or(Fate::Unknown, |probe| probe.fate(&seen));
    if fate == Fate::Unknown {
        return;
    }
    connection.probe = None;
    if fate == Fate::Repaired && connection.recovery.phase == Phase::Open {
        // 8985-7.4.2: the answer is that of a fast recovery, and it is over at once, as nothing is left to repair.
        let (mss, answered) = (connection.segment_payload(), is_answered(connection));
        let flight = reduced_from(connection, ack.flight.max(mss), cx);
        answer(connection, flight, answered, cx);
        connection.undo.forget();
        let in_flight = connection.in_flight();
        connection.congestion.get_mut().recovered(in_flight + BURST * mss, mss);
        tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, "a probe has repaired a loss");
    }
}

/// From when on what was sent again may have arrived as an earlier copy, by an ACK; see [`rack::doubt_from`].
pub(super) fn doubt_from(connection: &Connection, segment: &Segment<'_>) -> Option<Instant> {
    if connection.statistics.retransmits == 0 {
        return None;
    }
    rack::doubt_from(segment.arrived, connection.min_rtt.get(), echo_time(connection, segment))
}

/// The echo of an ACK as a time: what was sent at or after it is not what was echoed.
fn echo_time(connection: &Connection, segment: &Segment<'_>) -> Option<Instant> {
    let echo = segment.options.timestamp.filter(|timestamp| connection.agreed.timestamps && timestamp.echo != 0)?.echo;
    // The clock counts whole milliseconds: the echoed one has ended at the next.
    let age = connection.timestamp_value(segment.arrived).wrapping_sub(echo);
    let millis = segment.arrived.as_millis().checked_sub(u64::from(age))?;
    (age < 1 << 30).then(|| Instant::from_millis(millis + 1))
}

/// Fast retransmit and fast recovery by duplicate ACKs.
fn without_sack(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    if is_mistake(connection, ack, &cx.config.habits) {
        undo(connection, ack, cx);
    }
    if ack.advances {
        new_reno_ack(connection, ack, cx);
    } else if ack.duplicate && !connection.recovery.duplicates_are_doubtful() {
        duplicate_acks(connection, ack, cx);
    }
}

fn new_reno_ack(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    let mss = connection.segment_payload();
    let (before, mut lost) = (Before::of(connection), 0);
    let mut restart_timer = true;
    match connection.recovery.new_ack(connection.snd.una, ack.done.acknowledged, mss) {
        Action::Retransmit { restart_timer: restart } => {
            if let Some(transfer) = connection.transfer.as_mut() {
                lost = transfer.sent.mark_first_lost(mss);
                connection.due.add(Due::RETRANSMISSION);
            }
            model::lost(connection, cx.now);
            restart_timer = restart;
        }
        Action::LeaveRecovery => {
            let flight = connection.flight();
            connection.congestion.get_mut().recovered(flight, mss);
        }
        Action::None | Action::EnterRecovery { .. } => {}
    }
    adjust(connection, ack, &before, lost, cx);
    if restart_timer || connection.flight() == 0 {
        connection.restart_timers(cx);
    }
}

fn duplicate_acks(connection: &mut Connection, ack: &Ack<'_>, cx: &mut Context<'_>) {
    let (mss, before, mut lost) = (connection.segment_payload(), connection.recovery.phase, 0);
    // The device may have merged several into one.
    for _ in 0..ack.segment.coalesced.max(1) {
        let action = connection.recovery.duplicate_ack(connection.snd.una, connection.snd.nxt, mss);
        if let Action::EnterRecovery { flight } = action {
            if connection.path.is_some() && connection.mtu_probe_asked_for(cx) {
                continue;
            }
            if let Some(transfer) = connection.transfer.as_mut() {
                lost += transfer.sent.mark_first_lost(mss);
                connection.due.add(Due::RETRANSMISSION);
            }
            model::lost(connection, cx.now);
            let (flight, answered) = (reduced_from(connection, flight, cx), is_answered(connection));
            answer(connection, flight, answered, cx);
            cx.counters.fast_retransmits += 1;
            tracing::debug!(target: "glasstcp::recovery", connection = %connection.tuple, flight, "fast retransmit");
        }
    }
    if connection.congestion.models_path() {
        model::acked(connection, ack, before == Phase::FastRecovery, lost, cx);
    }
}
