//! Segments: to the record that they are for, and what becomes of it afterwards.

use std::sync::Arc;

use super::deferred::Verdict;
use super::flow::{Flow, TcpHandle};
use super::siblings::Inquiry;
use super::slab::SlabKey;
use super::{ConnectionEntry, SocketHandle, Stack, TimeWaitEntry};
use crate::counters::DropReason;
use crate::tcp::FourTuple;
use crate::tcp::connection::Donor;
use crate::tcp::half_open;
use crate::tcp::input::{Rejected, segment_arrives};
use crate::tcp::receiver::{AckOwed, Owed};
use crate::tcp::reset::{self, Reply};
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::{Cause, State};
use crate::tcp::time_wait::{self, TimeWait};
use crate::tcp::why::Why;

impl Stack {
    /// SEGMENT ARRIVES, for whomever it is.
    pub(super) fn tcp_input(&mut self, segment: &Segment<'_>) -> Result<(), DropReason> {
        let flow = self.flow_of_segment(&segment.tuple);
        if flow.is_none() && self.leaves(|| Inquiry::segment(segment)) {
            return Err(DropReason::Unclaimed);
        }
        self.counters.segments_in += 1;
        match flow {
            Some(Flow::Connection(key)) => self.connection_input(key, segment),
            Some(Flow::HalfOpen(key)) => self.half_open_input(key, segment),
            Some(Flow::TimeWait(key)) => self.time_wait_input(key, segment),
            None => match self.listener_for(&segment.tuple) {
                Some(listener) => self.listener_input(listener, segment, None),
                None => self.nobody_input(segment),
            },
        }
    }

    /// CLOSED: a RST for everything but a RST.
    pub(super) fn nobody_input(&mut self, segment: &Segment<'_>) -> Result<(), DropReason> {
        self.answer_with_reset(segment, Why::RstNobody);
        Err(DropReason::TcpNobody)
    }

    pub(super) fn answer_with_reset(&mut self, segment: &Segment<'_>, why: Why) {
        if let Some(reply) = reset::reply(segment, &self.config.tcp, why) {
            self.push_reset(reply);
        }
    }

    /// Queues a RST, as far as their rate allows.
    pub(super) fn push_reset(&mut self, reply: Reply) {
        if self.resets.take(self.receiver(reply.tuple.remote_addr), self.now) {
            self.push_reply(reply);
        } else {
            self.counters.count(DropReason::ReplyLimited);
        }
    }

    fn connection_input(&mut self, key: SlabKey, segment: &Segment<'_>) -> Result<(), DropReason> {
        let asked = segment.syn() && self.connections.get(key).is_some_and(|entry| entry.connection.asks_to_count());
        let result =
            self.with_connection(key, segment.arrived, |connection, cx| segment_arrives(connection, segment, cx));
        let Some(result) = result else { return Err(DropReason::TcpNobody) };
        if asked {
            self.learn_of_ecn(key, &segment.tuple);
        }
        if matches!(self.donor, Donor::Taken { .. }) {
            self.donated_to = Some(key);
        }
        let outcome = result.map_err(|rejected| self.rejected(key, segment, rejected));
        self.touch(key);
        outcome
    }

    /// What a segment draws that a connection has rejected.
    #[cold]
    fn rejected(&mut self, key: SlabKey, segment: &Segment<'_>, rejected: Rejected) -> DropReason {
        match rejected {
            Rejected::Drop(reason) => reason,
            Rejected::Reset(reason) => {
                self.answer_with_reset(segment, Why::RstAckRange);
                reason
            }
            Rejected::Abort(reason) => {
                let abort =
                    self.with_connection(key, segment.arrived, |connection, cx| connection.abort_for(reason, cx));
                match abort.flatten() {
                    Some(_) if self.config.tcp.habits.resets.as_closed => {
                        self.answer_with_reset(segment, Why::RstAfterClose);
                    }
                    Some(reply) => self.push_reply(reply),
                    None => {}
                }
                reason
            }
        }
    }

    /// A SYN that asks for counters is answered, or not yet: whether it has got through.
    #[cold]
    fn learn_of_ecn(&mut self, key: SlabKey, tuple: &FourTuple) {
        if let Some(connection) = self.connections.get(key).map(|entry| &entry.connection)
            && connection.state().is_synchronized()
        {
            self.ecn_failures.learn(tuple, connection.was_asked_to_count(), self.now);
        }
    }

    /// After anything that may have changed a connection: it gets its turn to send, its application is told, and a
    /// connection that is over leaves the table of flows.
    pub(super) fn touch(&mut self, key: SlabKey) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        // Hardly any connection opens by Fast Open, so this looks a second time only for those that do.
        let entry = if entry.connection.fast_open.is_none() {
            entry
        } else {
            self.fast_open_progress(key);
            let Some(entry) = self.connections.get_mut(key) else { return };
            entry
        };
        match entry.connection.state() {
            State::TimeWait if !entry.detached => self.enter_time_wait(key),
            State::Closed if !entry.detached => {
                entry.detached = true;
                let tuple = entry.connection.tuple;
                self.wheel.park(entry.timer);
                self.remove_flow(&tuple, Flow::Connection(key));
            }
            _ if !entry.queued && !entry.detached => {
                entry.queued = true;
                if entry.inside { &mut self.loopback.to_send } else { &mut self.to_send }.push_back(key);
            }
            _ => {}
        }
        self.notice_events(key);
        self.release_if_over(key);
        self.wake_starved();
    }

    /// Frees a connection that is over and that nobody holds.
    fn release_if_over(&mut self, key: SlabKey) {
        let over = |entry: &ConnectionEntry| entry.detached && entry.connection.orphan;
        if !self.connections.get(key).is_some_and(over) {
            return;
        }
        if let Some(mut entry) = self.connections.remove(key) {
            entry.connection.forget_transfer(&mut self.transfers);
            entry.connection.send_buffer.clear(&mut self.pool);
            entry.connection.receive_buffer.clear(&mut self.pool);
            self.wheel.remove(entry.timer);
        }
    }

    pub(super) fn notice_events(&mut self, key: SlabKey) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        let noticed = entry.connection.events.0 != 0 && !entry.connection.orphan && !entry.waits;
        if noticed && !entry.listed {
            entry.listed = true;
            self.ready.push_back(SocketHandle::Tcp(TcpHandle(key)));
        }
    }

    /// The flow shrinks to a TIME-WAIT record; what the application still holds stays with the connection.
    fn enter_time_wait(&mut self, key: SlabKey) {
        while self.time_wait.is_full() {
            let Some(oldest) = self.time_wait_order.pop_front() else { break };
            if self.time_wait.contains(oldest) {
                self.counters.time_wait_evicted += 1;
                self.leave_time_wait(oldest);
            }
        }
        let now = self.now;
        let Some(entry) = self.connections.get_mut(key) else { return };
        entry.detached = true;
        let tuple = entry.connection.tuple;
        let record = TimeWait::new(&entry.connection, now, self.config.tcp.time_wait);
        let owes = entry.connection.owed.ack != AckOwed::None;
        // 9293-MUST-58: the record answers now; the connection, which may stand in the queue of senders, must not too.
        entry.connection.owed = Owed::default();
        self.wheel.park(entry.timer);
        let timer = self.wheel.insert(0, record.expires);
        let entry = TimeWaitEntry { tuple, timer, connection: TcpHandle(key), record };
        let Some(time_wait) = self.time_wait.insert(entry) else {
            self.wheel.remove(timer);
            self.remove_flow(&tuple, Flow::Connection(key));
            return;
        };
        self.wheel.set_payload(timer, Flow::TimeWait(time_wait).pack().to_bits());
        self.note_time_wait_order(time_wait);
        self.replace_flow(&tuple, Flow::Connection(key), Flow::TimeWait(time_wait));
        if owes {
            self.push_reply(Reply { why: Why::FinAck, ..record.ack(tuple, now) });
        }
    }

    /// Remembers the order in which records came, so that the oldest can make room; records that are gone are forgotten.
    fn note_time_wait_order(&mut self, newest: SlabKey) {
        self.time_wait_order.push_back(newest);
        if self.time_wait_order.len() > 2 * self.time_wait.len() as usize + 64 {
            let live = &self.time_wait;
            self.time_wait_order.retain(|&key| live.contains(key));
        }
    }

    /// 2 MSL are over, or the tuple is needed: the record goes.
    // 9293-3.10.8-3
    pub(super) fn leave_time_wait(&mut self, key: SlabKey) {
        let Some(entry) = self.time_wait.remove(key) else { return };
        self.wheel.remove(entry.timer);
        self.remove_flow(&entry.tuple, Flow::TimeWait(key));
        // The application may still hold the connection: then it learns of the state CLOSED.
        let handle = entry.connection;
        if let Some(held) = self.connections.get_mut(handle.0) {
            held.connection.advance(Cause::TimeWaitTimeout);
        }
    }

    fn time_wait_input(&mut self, key: SlabKey, segment: &Segment<'_>) -> Result<(), DropReason> {
        // 9293-MAY-2: a cookie could not choose an ISS beyond the old one, so only a listener with room reopens.
        let has_room = |handle: &super::ListenerHandle| {
            self.listeners
                .get(handle.0)
                .is_some_and(|listener| !listener.accept_queue_is_full() && !self.has_no_syn_room(listener))
        };
        let listener = self.listener_for(&segment.tuple).filter(has_room);
        let (now, duration) = (self.now, self.config.tcp.time_wait);
        let limit = self.config.tcp.challenge_acks_per_second;
        let Some(entry) = self.time_wait.get_mut(key) else { return Err(DropReason::TcpNobody) };
        let habit = match self.config.tcp.habits.talkative_time_wait {
            true => entry.record.by_habit(segment, limit),
            false => None,
        };
        match habit.unwrap_or_else(|| entry.record.segment_arrives(segment, listener.is_some(), limit)) {
            time_wait::Action::Drop(reason) => Err(reason),
            time_wait::Action::Ack(reason) => {
                let reply = entry.record.ack(entry.tuple, now);
                self.push_reply(reply);
                Err(reason)
            }
            time_wait::Action::AckAndRestart => {
                // 9293-3.10.7.4-33
                entry.record.expires = now + duration;
                let (timer, expires) = (entry.timer, entry.record.expires);
                let reply = entry.record.ack(entry.tuple, now);
                self.wheel.reschedule(timer, expires);
                self.push_reply(reply);
                Ok(())
            }
            time_wait::Action::Reopen(beyond) => {
                self.leave_time_wait(key);
                match listener {
                    Some(listener) => self.listener_input(listener, segment, Some(beyond)),
                    None => self.nobody_input(segment),
                }
            }
        }
    }

    fn half_open_input(&mut self, key: SlabKey, segment: &Segment<'_>) -> Result<(), DropReason> {
        let Some(entry) = self.half_open.get_mut(key) else { return Err(DropReason::TcpNobody) };
        let listener = entry.listener;
        if !self.listeners.contains(listener.0) {
            // The listener was closed: its records are nobody's.
            self.remove_half_open(key);
            return self.nobody_input(segment);
        }
        if entry.verdict != Verdict::Accepted {
            return self.undecided_input(key, segment);
        }
        match entry.record.segment_arrives(segment, &self.config.tcp.habits) {
            half_open::Action::Drop(reason) => Err(reason),
            half_open::Action::Answer(reply, reason) => {
                self.push_reply(reply);
                Err(reason)
            }
            half_open::Action::Reset(reason) => {
                self.answer_with_reset(segment, Why::RstAckRange);
                Err(reason)
            }
            half_open::Action::Abort(reason) => {
                self.remove_half_open(key);
                self.answer_with_reset(segment, Why::RstSynAgain);
                Err(reason)
            }
            half_open::Action::Remove(outcome) => {
                self.remove_half_open(key);
                outcome
            }
            half_open::Action::Establish => self.establish(key, segment),
        }
    }

    /// The third segment of the handshake: the record becomes a connection, and the segment goes on there.
    fn establish(&mut self, key: SlabKey, segment: &Segment<'_>) -> Result<(), DropReason> {
        let Some(entry) = self.half_open.get(key) else { return Err(DropReason::TcpNobody) };
        let (tuple, listener, record) = (entry.tuple, entry.listener, entry.record);
        self.check_room(listener)?;
        self.remove_half_open(key);
        self.accept_connection(tuple, listener, &record, segment)
    }

    /// Room in the accept queue and in the table. Without it the record stays, and the peer's next segment tries again.
    pub(super) fn check_room(&self, listener: super::ListenerHandle) -> Result<(), DropReason> {
        if self.listeners.get(listener.0).is_none_or(|listener| listener.accept_queue_is_full()) {
            return Err(DropReason::TcpAcceptQueueFull);
        }
        if self.connections.is_full() {
            return Err(DropReason::TcpTableFull);
        }
        Ok(())
    }

    /// Makes a connection of a half-open record, or of what a cookie said, and hands it the segment.
    pub(super) fn accept_connection(
        &mut self,
        tuple: crate::tcp::FourTuple,
        listener: super::ListenerHandle,
        record: &half_open::HalfOpen,
        segment: &Segment<'_>,
    ) -> Result<(), DropReason> {
        let options = match self.listeners.get(listener.0) {
            Some(listener) => Arc::clone(&listener.options),
            None => return self.nobody_input(segment),
        };
        let mut connection = record.connection(tuple, options, &self.config.tcp, segment.arrived);
        if let Some(rtt) = record.round_trip(segment.arrived) {
            connection.rtt.sample(rtt);
            // 8985-6.2-1
            connection.min_rtt.sample(rtt, segment.arrived);
            connection.probe_unmeasured = false;
        }
        let Some(key) = self.insert_connection(connection, true) else {
            return Err(DropReason::TcpTableFull);
        };
        self.counters.passive_opens += 1;
        if let Some(listener_entry) = self.listeners.get_mut(listener.0) {
            listener_entry.accept_queue.push_back(TcpHandle(key));
        }
        self.listener_event(listener);
        self.connection_input(key, segment)
    }

    /// Puts a connection into its tables.
    pub(super) fn insert_connection(
        &mut self,
        mut connection: crate::tcp::connection::Connection,
        waits: bool,
    ) -> Option<SlabKey> {
        let tuple = connection.tuple;
        self.begin_on_path(&mut connection);
        let timer = self.wheel.insert_parked(0);
        let entry = ConnectionEntry {
            connection,
            timer,
            queued: false,
            listed: false,
            detached: false,
            starved: false,
            promised: 0,
            inside: self.is_inside(tuple.remote_addr),
            waits,
            opener: None,
        };
        let Some(key) = self.connections.insert(entry) else {
            self.wheel.remove(timer);
            return None;
        };
        self.wheel.set_payload(timer, Flow::Connection(key).pack().to_bits());
        self.add_flow(&tuple, Flow::Connection(key));
        Some(key)
    }

    pub(super) fn remove_half_open(&mut self, key: SlabKey) {
        let Some(entry) = self.half_open.remove(key) else { return };
        self.wheel.remove(entry.timer);
        self.remove_flow(&entry.tuple, Flow::HalfOpen(key));
        if let Some(listener) = self.listeners.get_mut(entry.listener.0) {
            listener.half_open = listener.half_open.saturating_sub(1);
            if listener.deferred {
                self.syn_room.freed();
                // Who has accepted the SYN may wait for what becomes of it.
                self.listener_event(entry.listener);
            }
        }
    }

    /// An ISS for this tuple, beyond the numbers of its last connection where there was one.
    pub(super) fn initial_sequence(&self, tuple: &crate::tcp::FourTuple, beyond: Option<SeqNumber>) -> SeqNumber {
        let iss = self.sequence.initial(tuple, self.now);
        match beyond {
            // 9293-MAY-2
            Some(old) if iss.le(old) => old + 64_000,
            _ => iss,
        }
    }
}
