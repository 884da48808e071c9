//! Listeners that do not answer a SYN by themselves: the application says whether it is accepted or refused, and may find
//! out first whether it can serve. A transparent proxy connects to the real destination before it answers for it.
//!
//! ```text
//!   SYN -> a record that answers nothing -> tcp_next_syn -> tcp_accept_syn: SYN-ACK, and on as with any listener
//!                                                        -> tcp_refuse_syn: RST, remembered for copies of the SYN
//!                                        -> DECISION_TIME is over: forgotten; the next copy of the SYN asks again
//! ```
//!
//! The peer sends its SYN again while it has no answer. A copy changes nothing, nor does a SYN by which the same peer begins
//! anew: the decision is about the tuple, and asked for once.
//!
//! There is no cookie to fall back on: one would be a decision. Where the SYN queue is full, the oldest record makes room.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::{Flow, ListenerHandle, SynHandle, TcpHandle};
use super::listen::note_syn_received;
use super::slab::SlabKey;
use super::{HalfOpenEntry, Stack};
use crate::counters::DropReason;
use crate::error::SocketError;
use crate::tcp::FourTuple;
use crate::tcp::reset;
use crate::tcp::segment::Segment;
use crate::tcp::why::Why;
use crate::time::Instant;

/// How long the application may take to decide: as long as peers send their SYN again (1 + 2 + 4 + 8 + 16 + 32 s).
pub(super) const DECISION_TIME: Duration = Duration::from_secs(63);

/// How long a refusal is remembered for copies of the SYN that were on their way, or whose RST was lost: the copies of the
/// first 7 s, and some time on the way.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// How old a SYN is at least that makes room for another, or its SYN-ACK if it has been accepted: by then honest peers have
/// finished the handshake, or send their SYN again.
// The first interval of their timer: 6298-2.1.
const EVICTION_AGE: Duration = Duration::from_secs(1);

/// How many SYN-ACKs that are on their way are passed over to find a record that can go.
const MAX_PASSED: usize = 8;

/// What has been decided about a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is answered by a SYN-ACK.
    Accepted,
    /// Nothing yet: the application is asked.
    Asked,
    /// It was answered by a RST.
    Refused,
}

/// A SYN that waits for the application's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingSyn {
    /// By what it is accepted or refused.
    pub handle: SynHandle,
    /// From whom it is.
    pub peer: SocketAddr,
    /// Which address and port it asks for.
    pub local: SocketAddr,
}

impl Stack {
    /// The next SYN of a deferring listener (see [`ListenOptions::deferred`](super::ListenOptions)) about which nothing is
    /// decided.
    ///
    /// Anybody can have the application asked as often as he likes (a SYN, a RST behind it, the next SYN; or SYNs from ever
    /// new ports), and what has been asked may be forgotten meanwhile. So the application has to bound the work that it
    /// does for SYNs by itself.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn tcp_next_syn(&mut self, listener: ListenerHandle) -> Result<PendingSyn, SocketError> {
        let listener = self.listeners.get_mut(listener.0).ok_or(SocketError::BadHandle)?;
        while let Some(handle) = listener.asked.pop_front() {
            // Its peer may have given up, or waited too long.
            if let Some(entry) = self.half_open.get(handle.0) {
                return Ok(PendingSyn { handle, peer: entry.tuple.remote(), local: entry.tuple.local() });
            }
        }
        Err(SocketError::WouldBlock)
    }

    /// Accepts a SYN: the SYN-ACK leaves now. The connection is accepted from the listener once it is open.
    ///
    /// # Errors
    /// `Aborted` when the peer has given up, or nothing was decided for too long.
    pub fn tcp_accept_syn(&mut self, now: Instant, handle: SynHandle) -> Result<(), SocketError> {
        let now = self.advance_to(now);
        let initial = self.config.tcp.initial_rto;
        let listeners = &self.listeners;
        let asked =
            |entry: &&mut HalfOpenEntry| entry.verdict == Verdict::Asked && listeners.contains(entry.listener.0);
        let entry = self.half_open.get_mut(handle.0).filter(asked).ok_or(SocketError::Aborted)?;
        entry.verdict = Verdict::Accepted;
        // The round trip begins here.
        entry.record.sent_at = now;
        let (tuple, timer, reply) = (entry.tuple, entry.timer, entry.record.syn_ack(entry.tuple, now, Why::SynAck));
        self.wheel.reschedule(timer, now + initial);
        note_syn_received(&tuple);
        self.push_reply(reply);
        Ok(())
    }

    /// Refuses a SYN: a RST leaves now, as from a port on which nobody listens.
    ///
    /// # Errors
    /// `Aborted` when the peer has given up, or nothing was decided for too long.
    pub fn tcp_refuse_syn(&mut self, now: Instant, handle: SynHandle) -> Result<(), SocketError> {
        let now = self.advance_to(now);
        let entry = self.half_open.get_mut(handle.0).filter(|entry| entry.verdict == Verdict::Asked);
        let entry = entry.ok_or(SocketError::Aborted)?;
        entry.verdict = Verdict::Refused;
        let record = &entry.record;
        let timestamp = record.agreed.timestamps.then_some(record.agreed.ts_recent);
        let reply = reset::refuse(entry.tuple, record.irs, timestamp, record.hop_limit);
        let (timer, listener) = (entry.timer, entry.listener);
        self.wheel.reschedule(timer, now + REFUSAL_TIME);
        // What is refused must not keep out what comes.
        if self.listeners.get(listener.0).is_none_or(|listener| listener.half_open > listener.backlog / 2) {
            self.remove_half_open(handle.0);
        }
        self.push_reset(reply);
        Ok(())
    }

    /// Takes the connection with these ends that waits to be accepted, whatever else waits.
    ///
    /// # Errors
    /// `WouldBlock` while its handshake goes on; `Aborted` when it has ended.
    pub fn tcp_accept_pair(&mut self, listener: ListenerHandle, tuple: &FourTuple) -> Result<TcpHandle, SocketError> {
        let waiting = self.listeners.get_mut(listener.0).ok_or(SocketError::BadHandle)?;
        let connections = &self.connections;
        let is_it =
            |handle: &TcpHandle| connections.get(handle.0).is_some_and(|entry| entry.connection.tuple == *tuple);
        if let Some(at) = waiting.accept_queue.iter().position(is_it)
            && let Some(handle) = waiting.accept_queue.remove(at)
        {
            self.accepted(handle)?;
            return Ok(handle);
        }
        match self.flow(tuple) {
            Some(Flow::HalfOpen(_)) => Err(SocketError::WouldBlock),
            _ => Err(SocketError::Aborted),
        }
    }

    /// A SYN has come to a deferring listener: its record is there, and the application is asked.
    pub(super) fn ask(&mut self, listener: ListenerHandle, key: SlabKey) {
        let half_open = &self.half_open;
        let Some(entry) = self.listeners.get_mut(listener.0) else { return };
        let most = 2 * entry.half_open as usize + 64;
        for queue in [&mut entry.asked, &mut entry.syn_order] {
            queue.push_back(SynHandle(key));
            if queue.len() > most {
                // Those whose peers have given up.
                queue.retain(|handle| half_open.contains(handle.0));
            }
        }
        self.listener_event(listener);
    }

    /// Makes room for one more SYN by the end of the oldest; false where all may still come to something.
    // 4987-3.2: the oldest is recycled. A flood of forged SYNs shortens the time to decide and shuts out nobody.
    pub(super) fn evict_syn(&mut self, listener: ListenerHandle) -> bool {
        let mut passed = 0;
        while passed < MAX_PASSED {
            let Some(order) = self.listeners.get_mut(listener.0).map(|listener| &mut listener.syn_order) else { break };
            let Some(oldest) = order.pop_front() else { break };
            let Some(entry) = self.half_open.get(oldest.0) else { continue };
            // What has been sent again was sent long ago.
            if entry.record.syn_losses > 0 || self.now.saturating_since(entry.record.sent_at) >= EVICTION_AGE {
                self.counters.syns_evicted += 1;
                self.remove_half_open(oldest.0);
                return true;
            }
            if entry.verdict != Verdict::Accepted {
                // Those behind it are younger.
                order.push_front(oldest);
                break;
            }
            order.push_back(oldest);
            passed += 1;
        }
        false
    }

    /// A segment for a record that has not answered by a SYN-ACK: its listener is still in LISTEN.
    pub(super) fn undecided_input(&mut self, key: SlabKey, segment: &Segment<'_>) -> Result<(), DropReason> {
        let Some(entry) = self.half_open.get(key) else { return Err(DropReason::TcpNobody) };
        let (listener, refused, irs) = (entry.listener, entry.verdict == Verdict::Refused, entry.record.irs);
        if segment.rst() {
            // Only what comes right behind the SYN is from its sender.
            if segment.seq != irs + 1 {
                return Err(DropReason::TcpResetRefused);
            }
            self.remove_half_open(key);
            return Ok(());
        }
        if segment.has_ack() || !segment.syn() {
            // 9293-3.10.7.2-2: nothing was sent that it could acknowledge.
            if segment.has_ack() {
                self.answer_with_reset(segment, Why::RstListen);
            }
            return Err(DropReason::TcpListenIgnored);
        }
        match (segment.seq != irs, refused) {
            // The peer begins anew, and the last decision was about another attempt.
            (true, true) => {
                self.remove_half_open(key);
                self.listener_input(listener, segment, None)
            }
            (true, false) => {
                self.syn_anew(key, segment);
                Ok(())
            }
            (false, true) => {
                self.answer_with_reset(segment, Why::RstRefused);
                Err(DropReason::TcpNobody)
            }
            (false, false) => {
                if self.half_open.get_mut(key).is_some_and(|entry| !entry.record.syn_again(segment)) {
                    self.remove_half_open(key);
                    self.answer_with_reset(segment, Why::RstSynAgain);
                }
                Err(DropReason::TcpSynUndecided)
            }
        }
    }

    /// The peer begins anew before anything is decided: the question is the same, and so is the time for it, but the answer
    /// will be to this SYN.
    fn syn_anew(&mut self, key: SlabKey, segment: &Segment<'_>) {
        let Some(entry) = self.half_open.get(key) else { return };
        let Some(listener) = self.listeners.get(entry.listener.0) else { return };
        let (sent_at, options) = (entry.record.sent_at, *listener.options);
        let mut record = self.record_of_syn(segment, entry.record.iss, &options);
        record.sent_at = sent_at;
        if let Some(entry) = self.half_open.get_mut(key) {
            entry.record = record;
        }
    }
}
