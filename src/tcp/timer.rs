//! The deadlines of a connection, and what happens when they pass (RFC 9293 section 3.10.8).

use super::congestion::Loss;
use super::connection::{Connection, Context};
use super::due::Due;
use super::recovery::new_reno::Phase;
use super::recovery::{Transfer, tail_loss_probe};
use super::state::{Cause, State};
use super::{loss, model};
use crate::error::SocketError;
use crate::time::Instant;

/// A point in time that may not be set, which is later than any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Default for Deadline {
    fn default() -> Deadline {
        Deadline::NEVER
    }
}

impl Deadline {
    /// Not set.
    pub const NEVER: Deadline = Deadline(Instant::from_nanos(u64::MAX));

    /// Sets it.
    pub fn set(&mut self, at: Instant) {
        self.0 = at;
    }

    /// Sets it unless it is set already.
    pub fn arm(&mut self, at: Instant) {
        if !self.is_set() {
            self.0 = at;
        }
    }

    /// Unsets it.
    pub fn cancel(&mut self) {
        *self = Deadline::NEVER;
    }

    /// It is set.
    pub fn is_set(self) -> bool {
        self != Deadline::NEVER
    }

    /// It is set and has come.
    pub fn is_due(self, now: Instant) -> bool {
        self.is_set() && self.0 <= now
    }

    /// When it is, if it is set.
    pub fn at(self) -> Option<Instant> {
        self.is_set().then_some(self.0)
    }
}

/// What the retransmission timer runs for.
// 8985-8: there is one timer, so no two of them ever run at once; nor beside the zero-window probe (see `settle_persist`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// The retransmission timeout (RFC 6298).
    #[default]
    Timeout,
    /// A tail loss probe (RFC 8985 section 7).
    Probe,
    /// A loss that time alone decides (RFC 8985 section 6.2 step 5).
    Reorder,
}

/// All deadlines of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// The retransmission timer; [`Connection::purpose`] says what it runs for.
    pub retransmit: Deadline,
    /// The zero-window probe, and the override of silly-window avoidance (RFC 9293 section 3.8.6).
    pub persist: Deadline,
    /// The delayed ACK.
    pub delayed_ack: Deadline,
    /// The keep-alive.
    pub keep_alive: Deadline,
    /// The end of patience: R2, for what is not acknowledged. In FIN-WAIT-2, where everything is, that of an orphan with a
    /// peer that does not end.
    pub user_timeout: Deadline,
}

impl Deadlines {
    /// The earliest; see [`Connection::next_deadline`] for what else there is to wait for.
    fn earliest(&self) -> Option<Instant> {
        let Deadlines { retransmit, persist, delayed_ack, keep_alive, user_timeout } = *self;
        retransmit.min(persist).min(delayed_ack).min(keep_alive).min(user_timeout).at()
    }
}

/// Handles every deadline that has passed. What is to be sent for it is decided by [`super::plan`].
pub fn expire(connection: &mut Connection, cx: &mut Context<'_>) {
    let now = cx.now;
    if connection.deadlines.user_timeout.is_due(now) {
        user_timeout(connection, cx);
        return;
    }
    // What waits for its turn leaves next, or goes on waiting.
    connection.due.clear(Due::PACED);
    if connection.deadlines.keep_alive.is_due(now) {
        connection.keep_alive_timeout(cx);
    }
    if connection.deadlines.persist.is_due(now) {
        connection.persist_timeout(cx);
    }
    if connection.deadlines.retransmit.is_due(now) {
        match connection.purpose {
            Purpose::Timeout => retransmission_timeout(connection, cx),
            Purpose::Probe => probe_timeout(connection, cx),
            Purpose::Reorder => reordering_timeout(connection, cx),
        }
    }
}

/// USER TIMEOUT: the connection ends and all calls are told.
// 9293-3.10.8-1, 9293-MUST-20
fn user_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    if connection.state() == State::FinWait2 {
        // The peer keeps its side open, but nobody is left who would read. Nothing is owed to it but an answer to what it
        // may still send, and that is CLOSED's.
        connection.end(Cause::UserTimeout, None, cx.pool, cx.transfers);
        return;
    }
    tracing::debug!(target: "glasstcp::timer", connection = %connection.tuple, "no answer: giving up");
    // 9293-SHLD-25: an attempt to connect that met an ICMP error on its way fails with that.
    let error = connection.soft_error.filter(|_| !connection.state().is_synchronized());
    connection.end(Cause::UserTimeout, Some(error.unwrap_or(SocketError::TimedOut)), cx.pool, cx.transfers);
}

/// PTO: a probe is due.
fn probe_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    // 8985-7.3-1: the timer runs for a probe only where none is in flight and there was a sample since the last one.
    connection.due.put(Due::LOSS_PROBE, connection.flight() > 0);
    // 8985-7.3-3: and then for the timeout, whether the probe can leave or not.
    connection.set_timeout(cx.now + connection.rto(cx.config).duration(), cx);
    tracing::debug!(target: "glasstcp::timer", connection = %connection.tuple, "tail loss probe");
}

/// Nothing has arrived, and the time for what is missing is up.
fn reordering_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    let before = loss::Outstanding { flight: connection.flight(), in_flight: connection.in_flight() };
    let lost = loss::find_losses(connection, &before, cx);
    // What PRR allows is not more for it, but one segment keeps the ACKs coming (also where a recovery begins with this).
    if lost > 0 && connection.recovery.phase == Phase::FastRecovery {
        connection.due.add(Due::RETRANSMISSION);
    }
    connection.choose_timer(cx);
}

/// RETRANSMISSION TIMEOUT: what is in flight is taken for lost, and sending starts over with one segment.
// 9293-3.10.8-2, 6298-5.4, 9293-MUST-22
fn retransmission_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    connection.cancel_retransmission_timer();
    let rto = connection.rto(cx.config).duration();
    let Some(transfer) = connection.transfer.as_mut() else { return };
    let Some(oldest) = transfer.sent.first() else { return };
    // 6298-5.0: not within an RTO of its last transmission, as a fast retransmit does not move the timer.
    let due = oldest.sent_at + rto;
    if due > cx.now {
        connection.set_timeout(due, cx);
        return;
    }
    let limit = patience(connection, cx.now).filter(|_| connection.agreed.sack);
    let (una, open) = (connection.snd.una, connection.recovery.phase == Phase::Open);
    let Some(transfer) = connection.transfer.as_mut() else { return };
    let resent = transfer.sent.resent_in_flight();
    // 5681-3.1-8, 5681-4.3-1: the first time for this segment by this timer. Once something was acknowledged, another
    // timeout is another sign of congestion; so is one after a fast retransmit.
    // By habit one recovery is one sign.
    let once = connection.recovery.phase == Phase::FastRecovery && !cx.config.habits.cwnd.lowers_again();
    let first = open || (!once && transfer.timed_out.is_none_or(|(seq, _)| seq != una));
    match limit {
        // 8985-6.3: what has just been sent still has its time.
        Some(limit) => transfer.sent.mark_lost_until(limit),
        None => transfer.sent.mark_all_lost(),
    }
    transfer.reorder_at = None;
    model::lost(connection, cx.now);
    connection.due.clear(Due::LOSS_PROBE);
    connection.probe = None;
    // FlightSize is all that is not acknowledged by number; but what recovery has let out while other things were SACKed was
    // never in the network at once with them.
    let flight = connection.flight().min(connection.congestion.get().window());
    let flight = loss::reduced_from(connection, flight, cx);
    let loss = Loss { now: cx.now, flight, mss: connection.segment_payload() };
    connection.statistics.timeouts = connection.statistics.timeouts.saturating_add(1);
    cx.counters.timeouts += 1;
    if connection.syn_in_flight() {
        connection.snd.syn_losses = connection.snd.syn_losses.saturating_add(1);
        if connection.state() == State::SynSent {
            connection.offer_less(&cx.config.habits);
        }
    } else {
        if let Some(transfer) = connection.transfer.as_mut() {
            (transfer.timed_out, transfer.reduced_at) = (Some((una, cx.now)), cx.now);
            transfer.frto = transfer.frto.timed_out(open);
        }
        if connection.recovery.phase != Phase::Timeout {
            connection.undo.begin(una, resent);
        } else if first {
            // RFC 4015 section 3.1: what was before the first is not restored once there was another reason.
            connection.undo.forget();
        }
        connection.congestion.get_mut().timeout(&loss, first);
        connection.recovery.timeout(connection.snd.nxt);
        connection.slowed_down();
    }
    // 6298-5.5: doubled, and kept until new data is sent and acknowledged.
    connection.backoff = connection.backoff.saturating_add(1);
    connection.due.add(Due::RETRANSMISSION);
    if !connection.syn_in_flight() {
        connection.path_timed_out(cx);
    }
    if connection.backoff == cx.config.suspect_after {
        // 9293-MUST-20, 9293-SHLD-9, 9293-MUST-47: at R1 the path is suspected, and the application can learn of it. The
        // advice for IP is `path_timed_out` above: a TUN has no other gateway to choose, but its path may have become narrower.
        connection.soft_error.get_or_insert(SocketError::TimedOut);
        tracing::debug!(target: "glasstcp::timer", connection = %connection.tuple, "R1: the path is suspected");
    }
    tracing::debug!(
        target: "glasstcp::timer",
        connection = %connection.tuple,
        backoff = connection.backoff,
        flight = loss.flight,
        "retransmission timeout"
    );
}

/// What was sent until then has had its time, whether it was the first of its kind or not: a round trip and the
/// reordering window ago.
fn patience(connection: &Connection, now: Instant) -> Option<Instant> {
    let srtt = connection.rtt.srtt();
    let rtt = connection.transfer.as_ref().and_then(|transfer| transfer.rack.rtt()).or(srtt)?;
    let window = connection.reordering.window(connection.min_rtt.get(), srtt, true);
    let nanos = u64::try_from((rtt + window).as_nanos()).unwrap_or(u64::MAX);
    Some(Instant::from_nanos(now.as_nanos().saturating_sub(nanos)))
}

impl Connection {
    /// When something is to be done next, if nothing happens until then.
    pub fn next_deadline(&self) -> Option<Instant> {
        let turn = if self.due.has(Due::PACED) { self.next_turn() } else { None };
        let earliest = self.deadlines.earliest();
        turn.map_or(earliest, |turn| Some(earliest.map_or(turn, |earliest| earliest.min(turn))))
    }

    /// Nothing can be sent now, perhaps because its turn by pacing has not come: sets the timers that wait for that to change.
    pub fn settle_timers(&mut self, paced: bool, cx: &Context<'_>) {
        self.due.put(Due::PACED, paced);
        self.settle_persist(cx);
        self.settle_keep_alive();
    }

    /// Starts what must run while something is in flight, if it does not run yet.
    // 6298-5.1
    pub(super) fn start_retransmission_timer(&mut self, cx: &Context<'_>) {
        if !self.deadlines.retransmit.is_set() {
            self.set_timeout(cx.now + self.rto(cx.config).duration(), cx);
        } else if self.purpose == Purpose::Probe {
            // 8985-7.2-1: after new data, too.
            self.choose_timer(cx);
        }
        self.start_user_timeout(cx);
    }

    /// Stops the retransmission timer, whatever it runs for.
    pub(super) fn cancel_retransmission_timer(&mut self) {
        self.deadlines.retransmit.cancel();
        if let Some(transfer) = self.transfer.as_mut() {
            transfer.timeout_at = None;
        }
    }

    /// The retransmission timeout is due then; the timer runs for it, or for what comes first.
    pub(super) fn set_timeout(&mut self, at: Instant, cx: &Context<'_>) {
        if self.agreed.sack
            && let Some(transfer) = self.transfer.as_mut()
        {
            transfer.timeout_at = Some(at);
            self.choose_timer(cx);
        } else {
            self.deadlines.retransmit.set(at);
            self.purpose = Purpose::Timeout;
        }
    }

    /// Sets the retransmission timer for what is next: a loss that time decides, a probe, or the timeout.
    pub(super) fn choose_timer(&mut self, cx: &Context<'_>) {
        let Some(transfer) = self.transfer.as_ref() else { return };
        let Some(timeout_at) = transfer.timeout_at else { return };
        let (at, purpose) = if let Some(at) = transfer.reorder_at {
            (at, Purpose::Reorder)
        } else if cx.config.habits.tail_loss_probes && self.may_probe() {
            let alone = transfer.sent.is_one_segment();
            let least = cx.config.habits.min_loss_probe;
            (cx.now + tail_loss_probe::timeout(self.rtt.srtt(), alone, least), Purpose::Probe)
        } else {
            (timeout_at, Purpose::Timeout)
        };
        // 8985-7.2-2: never later than the timeout.
        self.deadlines.retransmit.set(at.min(timeout_at));
        self.purpose = if at > timeout_at && purpose == Purpose::Reorder { Purpose::Timeout } else { purpose };
    }

    /// The same after what neither sends nor acknowledges anything new: a probe timeout that runs goes on.
    // 8985-7.2-1: only new data and a cumulative ACK start it afresh.
    pub(super) fn keep_timer(&mut self, cx: &Context<'_>) {
        let waits = self.transfer.as_ref().is_some_and(|transfer| transfer.reorder_at.is_some());
        if waits || self.purpose != Purpose::Probe || !self.deadlines.retransmit.is_set() || !self.may_probe() {
            self.choose_timer(cx);
        }
    }

    /// The tail may be probed.
    // 8985-7.2-1, 8985-7.3-1: not in recovery, not with SACKed data, not twice.
    fn may_probe(&self) -> bool {
        let clear = |transfer: &Transfer| transfer.sent.sacked().is_empty() && transfer.sent.lost().is_empty();
        !self.due.has(Due::LOSS_PROBE)
            && self.probe.is_none()
            && !self.probe_unmeasured
            && self.recovery.phase == Phase::Open
            && self.snd.syn_acknowledged
            && self.snd.wnd > 0
            && self.transfer.as_deref().is_some_and(clear)
    }

    /// Starts the clock of R2, if it does not run yet.
    pub fn start_user_timeout(&mut self, cx: &Context<'_>) {
        if !self.deadlines.user_timeout.is_set()
            && let Some(limit) = self.give_up(cx.config)
        {
            self.deadlines.user_timeout.set(cx.now + limit);
        }
    }

    /// R2 was another before: what runs goes on from when it began.
    pub(crate) fn patience_changed(&mut self, before: Option<std::time::Duration>, cx: &Context<'_>) {
        let limit = self.give_up(cx.config).filter(|&limit| Some(limit) != before);
        if let (Some(end), Some(before), Some(limit)) = (self.deadlines.user_timeout.at(), before, limit) {
            let began = end.saturating_since(Instant::ZERO).saturating_sub(before);
            self.deadlines.user_timeout.set(Instant::ZERO + began.saturating_add(limit));
        }
    }

    /// New data was acknowledged: the timers start afresh, or stop when nothing is left.
    pub(super) fn restart_timers(&mut self, cx: &Context<'_>) {
        self.due.clear(Due::LOSS_PROBE);
        self.deadlines.user_timeout.cancel();
        if self.flight() == 0 {
            // 6298-5.2
            self.cancel_retransmission_timer();
        } else {
            // 6298-5.3: a full RTO from now.
            self.set_timeout(cx.now + self.rto(cx.config).duration(), cx);
            self.start_user_timeout(cx);
        }
    }

    /// Everything of a connection whose last state is left to a TIME-WAIT record stops.
    pub(super) fn stop_timers(&mut self) {
        // 9293-3.10.7.4-43: the others stop; the 2 MSL timer is the record's.
        self.deadlines = Deadlines::default();
        self.due.clear(Due::PACED);
    }

    /// Starts the end of FIN-WAIT-2, once nobody is left to read.
    pub(super) fn watch_fin_wait_2(&mut self, cx: &Context<'_>) {
        if self.orphan && self.state() == State::FinWait2 {
            self.deadlines.user_timeout.arm(cx.now + cx.config.fin_wait_2);
        }
    }
}
