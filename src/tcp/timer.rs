//! The deadlines of a connection, and what happens when they pass (RFC 9293 section 3.10.8).

use super::congestion::Loss;
use super::connection::{Connection, Context};
use super::recovery::new_reno::Phase;
use super::state::{Cause, State};
use crate::error::SocketError;
use crate::time::Instant;

/// A point in time that may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// All deadlines of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// The retransmission timeout (RFC 6298).
    pub retransmit: Deadline,
    /// The zero-window probe, and the override of silly-window avoidance (RFC 9293 section 3.8.6).
    pub persist: Deadline,
    /// The delayed ACK.
    pub delayed_ack: Deadline,
    /// The keep-alive.
    pub keep_alive: Deadline,
    /// R2: the end of patience.
    pub user_timeout: Deadline,
    /// The end of FIN-WAIT-2 for an orphan.
    pub fin_wait_2: Deadline,
}

impl Deadlines {
    /// The earliest.
    pub fn earliest(&self) -> Option<Instant> {
        let Deadlines { retransmit, persist, delayed_ack, keep_alive, user_timeout, fin_wait_2 } = *self;
        let all = [retransmit, persist, delayed_ack, keep_alive, user_timeout, fin_wait_2];
        all.into_iter().filter_map(Deadline::at).min()
    }
}

/// Handles every deadline that has passed. What is to be sent for it is decided by [`super::plan`].
pub fn expire(connection: &mut Connection, cx: &mut Context<'_>) {
    let now = cx.now;
    if connection.deadlines.user_timeout.is_due(now) {
        user_timeout(connection, cx);
        return;
    }
    if connection.deadlines.fin_wait_2.is_due(now) {
        // The peer keeps its side open, but nobody is left who would read. Nothing is owed to it but an answer to what it
        // may still send, and that is CLOSED's.
        connection.end(Cause::UserTimeout, None, cx.pool, cx.transfers);
        return;
    }
    if connection.deadlines.keep_alive.is_due(now) {
        connection.keep_alive_timeout(cx);
    }
    if connection.deadlines.persist.is_due(now) {
        connection.persist_timeout(cx);
    }
    if connection.deadlines.retransmit.is_due(now) {
        retransmission_timeout(connection, cx);
    }
}

/// USER TIMEOUT: the connection ends and all calls are told.
// 9293-3.10.8-1, 9293-MUST-20
fn user_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    tracing::debug!(target: "glasstcp::timer", connection = %connection.tuple, "no answer: giving up");
    // 9293-SHLD-25: an attempt to connect that met an ICMP error on its way fails with that.
    let error = connection.soft_error.filter(|_| !connection.state().is_synchronized());
    connection.end(Cause::UserTimeout, Some(error.unwrap_or(SocketError::TimedOut)), cx.pool, cx.transfers);
}

/// RETRANSMISSION TIMEOUT: what is in flight is taken for lost, and sending starts over with one segment.
// 9293-3.10.8-2, 6298-5.4, 9293-MUST-22
fn retransmission_timeout(connection: &mut Connection, cx: &mut Context<'_>) {
    connection.deadlines.retransmit.cancel();
    let rto = connection.rto(cx.config).duration();
    let Some(transfer) = connection.transfer.as_mut() else { return };
    let Some(oldest) = transfer.sent.first() else { return };
    // 6298-5.0: not within an RTO of its last transmission, as a fast retransmit does not move the timer.
    let due = oldest.sent_at + rto;
    if due > cx.now {
        connection.deadlines.retransmit.set(due);
        return;
    }
    // 5681-3.1-8, 5681-4.3-1: the first time by this timer, although a fast retransmit may have been lost before.
    let first = connection.recovery.phase != Phase::Timeout;
    transfer.sent.mark_all_lost();
    let loss = Loss { now: cx.now, flight: connection.flight(), mss: connection.segment_payload() };
    connection.statistics.timeouts += 1;
    cx.counters.timeouts += 1;
    if connection.syn_in_flight() {
        connection.snd.syn_losses = connection.snd.syn_losses.saturating_add(1);
    } else {
        connection.congestion.get_mut().timeout(&loss, first);
        connection.recovery.timeout(connection.snd.nxt);
    }
    // 6298-5.5: doubled, and kept until new data is sent and acknowledged.
    connection.backoff = connection.backoff.saturating_add(1);
    connection.retransmit_now = true;
    if connection.backoff == cx.config.suspect_after {
        // 9293-MUST-20, 9293-SHLD-9, 9293-MUST-47: at R1 the path is suspected, and the application can learn of it.
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

impl Connection {
    /// Nothing can be sent now: sets the timers that wait for that to change.
    pub fn settle_timers(&mut self, cx: &Context<'_>) {
        self.settle_persist(cx);
        self.settle_keep_alive();
    }

    /// Starts what must run while something is in flight, if it does not run yet.
    // 6298-5.1
    pub(super) fn start_retransmission_timer(&mut self, cx: &Context<'_>) {
        let at = cx.now + self.rto(cx.config).duration();
        self.deadlines.retransmit.arm(at);
        self.start_user_timeout(cx);
    }

    /// Starts the clock of R2, if it does not run yet.
    pub fn start_user_timeout(&mut self, cx: &Context<'_>) {
        if let Some(limit) = self.give_up(cx.config) {
            self.deadlines.user_timeout.arm(cx.now + limit);
        }
    }

    /// New data was acknowledged: the timers start afresh, or stop when nothing is left.
    pub(super) fn restart_timers(&mut self, cx: &Context<'_>) {
        self.deadlines.user_timeout.cancel();
        if self.flight() == 0 {
            // 6298-5.2
            self.deadlines.retransmit.cancel();
        } else {
            // 6298-5.3: a full RTO from now.
            self.deadlines.retransmit.set(cx.now + self.rto(cx.config).duration());
            self.start_user_timeout(cx);
        }
    }

    /// Everything of a connection whose last state is left to a TIME-WAIT record stops.
    pub(super) fn stop_timers(&mut self) {
        // 9293-3.10.7.4-43: the others stop; the 2 MSL timer is the record's.
        self.deadlines = Deadlines::default();
    }

    /// Starts the end of FIN-WAIT-2, once nobody is left to read.
    pub(super) fn watch_fin_wait_2(&mut self, cx: &Context<'_>) {
        if self.orphan && self.state() == State::FinWait2 {
            self.deadlines.fin_wait_2.arm(cx.now + cx.config.fin_wait_2);
        }
    }
}
