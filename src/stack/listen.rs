//! LISTEN: SYNs become half-open records or cookies, and ACKs of cookies become connections.

use std::net::IpAddr;

use super::deferred::{DECISION_TIME, Verdict};
use super::fast_open::FastOpened;
use super::flow::Flow;
use super::{HalfOpenEntry, ListenerHandle, SocketHandle, Stack};
use crate::counters::DropReason;
use crate::ip::bind::BindOptions;
use crate::tcp::FourTuple;
use crate::tcp::accurate_ecn;
use crate::tcp::config::SocketOptions;
use crate::tcp::ecn::Feedback;
use crate::tcp::fast_open::ListenFastOpen;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::option::{announced_mss, send_mss};
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::{Cause, State};
use crate::tcp::syn_cookie;
use crate::tcp::why::Why;
use crate::wire::option::Timestamp;
use crate::wire::tcp::Flags;

/// How a listener listens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListenOptions {
    /// Limit of the SYN queue and of the accept queue, each. Default 1,024.
    pub backlog: u32,
    /// What its connections start with.
    pub socket: SocketOptions,
    /// How it is bound. By default with SO_REUSEADDR, as `std::net` binds listeners.
    pub bind: BindOptions,
    /// No SYN is answered before the application has decided about it (see [`Stack::tcp_next_syn`]), for at most 63 s.
    /// While the SYN queue is full, the oldest that has waited for 1 s or more makes room (an answer to it would come to
    /// nothing, and its peer's next SYN asks anew); if all are younger, SYNs are dropped, and their peers send them again.
    /// Default off.
    ///
    /// Such a listener is readable while a SYN *or* a connection waits: whoever asks for its readiness has to take both.
    pub deferred: bool,
    /// How it takes Fast Open, if it does; not together with `deferred`. Default off: text of a SYN may be delivered twice (see
    /// [`fast_open`](crate::tcp::fast_open)), so it is for services whose requests may be repeated.
    // 7413-2
    pub fast_open: Option<ListenFastOpen>,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions {
            backlog: 1_024,
            socket: SocketOptions::default(),
            bind: BindOptions { reuse_address: true, ..BindOptions::default() },
            deferred: false,
            fast_open: None,
        }
    }
}

/// Tells of the change of state that no connection makes.
pub(super) fn note_syn_received(tuple: &FourTuple) {
    tracing::debug!(target: "glasstcp::state", connection = %tuple, from = %State::Listen, to = %State::SynReceived, cause = Cause::Syn.label(), "state");
}

impl Stack {
    /// RFC 9293 section 3.10.7.2. `beyond` is where the sequence numbers of the tuple's last connection ended.
    pub(super) fn listener_input(
        &mut self,
        handle: ListenerHandle,
        segment: &Segment<'_>,
        beyond: Option<SeqNumber>,
    ) -> Result<(), DropReason> {
        // 9293-3.10.7.2-1: first, a RST is ignored.
        if segment.rst() {
            return Err(DropReason::TcpListenIgnored);
        }
        if segment.has_ack() && segment.syn() && self.config.tcp.habits.syn.silent_on_syn_ack {
            return Err(DropReason::TcpListenIgnored);
        }
        // 9293-3.10.7.2-2: second, an ACK.
        if segment.has_ack() {
            return self.listener_ack(handle, segment);
        }
        // 9293-3.10.7.2-6, 9293-3.10.7.4-39: fourth, all that is no SYN, a FIN too.
        if !segment.syn() {
            return Err(DropReason::TcpListenIgnored);
        }
        if segment.fin() && self.config.tcp.drop_syn_fin {
            return Err(DropReason::TcpSynRefused);
        }
        self.listener_syn(handle, segment, beyond)
    }

    /// Third: a SYN.
    // 9293-3.10.7.2-3, 9293-3.10.7.2-4, 9293-MUST-41: a record of its own; the listener and other records stay as they are.
    fn listener_syn(
        &mut self,
        handle: ListenerHandle,
        segment: &Segment<'_>,
        beyond: Option<SeqNumber>,
    ) -> Result<(), DropReason> {
        let Some(listener) = self.listeners.get(handle.0) else { return Err(DropReason::TcpNobody) };
        if listener.accept_queue_is_full() {
            return Err(DropReason::TcpAcceptQueueFull);
        }
        let (options, deferred) = (*listener.options, listener.deferred);
        // 4987-3.2: bounded per listener and in all.
        if self.has_no_syn_room(listener) {
            if !deferred {
                return self.send_cookie(handle, segment);
            }
            // A cookie would be a decision.
            if !self.evict_syn(handle) {
                return Err(DropReason::TcpSynQueueFull);
            }
        }
        let tuple = segment.tuple;
        let cookie = match self.fast_open_syn(handle, segment, beyond) {
            FastOpened::Yes => return Ok(()),
            FastOpened::No(cookie) => cookie,
        };
        let record = self.record_of_syn(segment, self.initial_sequence(&tuple, beyond), &options);
        let (verdict, patience) = match deferred {
            true => (Verdict::Asked, DECISION_TIME),
            false => (Verdict::Accepted, self.config.tcp.initial_rto),
        };
        let timer = self.wheel.insert(0, self.now + patience);
        let entry = HalfOpenEntry { tuple, listener: handle, timer, verdict, record };
        let Some(key) = self.half_open.insert(entry) else {
            self.wheel.remove(timer);
            return Err(DropReason::TcpSynQueueFull);
        };
        self.wheel.set_payload(timer, Flow::HalfOpen(key).pack().to_bits());
        self.add_flow(&tuple, Flow::HalfOpen(key));
        if let Some(listener) = self.listeners.get_mut(handle.0) {
            listener.half_open += 1;
            if deferred {
                self.syn_room.taken();
            }
        }
        if verdict == Verdict::Asked {
            self.ask(handle, key);
            return Ok(());
        }
        note_syn_received(&tuple);
        let why = if cookie.is_some() { Why::SynAckTells } else { Why::SynAck };
        self.push_reply(record.syn_ack_with(cookie, tuple, self.now, why));
        Ok(())
    }

    /// What is remembered of a SYN.
    pub(super) fn record_of_syn(&self, segment: &Segment<'_>, iss: SeqNumber, options: &SocketOptions) -> HalfOpen {
        let remote = segment.tuple.remote_addr;
        let announced = self.announced_mss_for(options.max_segment, remote);
        let offset = self.sequence.timestamp_offset(&segment.tuple);
        let mut record = HalfOpen::new(segment, iss, offset, announced, options, &self.config.tcp);
        if let Some(most) = self.config.tcp.announce_at_most {
            record.announced = announced.min(most);
        }
        record
    }

    /// The MSS to announce.
    pub(super) fn announced_mss_for(&self, limit: Option<u16>, remote: IpAddr) -> u16 {
        let mss = announced_mss(self.mtu_towards(remote), remote.is_ipv6());
        limit.map_or(mss, |limit| limit.clamp(crate::tcp::option::MIN_MSS, mss))
    }

    /// The SYN queue is full: the SYN-ACK carries what a record would.
    fn send_cookie(&mut self, handle: ListenerHandle, segment: &Segment<'_>) -> Result<(), DropReason> {
        // Cookies have no rate of their own: one SYN draws one answer of its size, as it would with room in the queue, and
        // a limit that the flood uses up would shut out the honest.
        if !self.config.tcp.syn_cookies {
            return Err(DropReason::TcpSynQueueFull);
        }
        let now = self.now;
        let tuple = segment.tuple;
        let Some(listener) = self.listeners.get_mut(handle.0) else { return Err(DropReason::TcpNobody) };
        listener.note_cookie(now);
        let options = *listener.options;
        let announced = self.announced_mss_for(options.max_segment, tuple.remote_addr);
        let mss = send_mss(segment.options.mss, announced, tuple.remote_addr.is_ipv6());
        let iss = self.cookies.make(&tuple, segment.seq, mss, now);
        let offset = self.sequence.timestamp_offset(&tuple);
        let mut record = HalfOpen::new(segment, iss, offset, announced, &options, &self.config.tcp);
        // A cookie has no room to remember it. Of counters the ACK of the SYN-ACK tells (RFC 9768 section 5.1).
        if record.agreed.ecn != Feedback::Accurate {
            record.agreed.ecn = Feedback::None;
        }
        if !record.agreed.timestamps {
            // Nothing can carry them.
            record.agreed.scaling = false;
            record.agreed.sack = false;
        }
        let mut reply = record.syn_ack(tuple, now, Why::SynAckCookie);
        if let Some(timestamp) = &mut reply.options.timestamp {
            // The bits are set before the offset is added, so that they can be read behind it.
            let clock = timestamp.value.wrapping_sub(offset);
            timestamp.value = syn_cookie::encode_options(clock, &segment.options).wrapping_add(offset);
        }
        self.counters.cookies_sent += 1;
        self.push_reply(reply);
        Ok(())
    }

    /// An ACK to a listener: the answer to a cookie, or a stray.
    fn listener_ack(&mut self, handle: ListenerHandle, segment: &Segment<'_>) -> Result<(), DropReason> {
        let now = self.now;
        let plain = !segment.syn() && segment.flags.contains(Flags::ACK);
        let expected = self.listeners.get(handle.0).is_some_and(|listener| listener.expects_cookies(now));
        if !(plain && expected) {
            self.answer_with_reset(segment, Why::RstListen);
            return Err(DropReason::TcpListenIgnored);
        }
        let (irs, iss) = (segment.seq - 1, segment.ack - 1);
        let Some(mss) = self.cookies.check(&segment.tuple, irs, iss, now) else {
            // Text or a FIN may stand behind something that was lost, and only what follows the SYN can be checked. Nothing
            // remembers its place, but the peer sends all of it again; a RST would cost an honest peer its connection.
            if segment.is_empty() {
                self.answer_with_reset(segment, Why::RstCookie);
            }
            return Err(DropReason::TcpBadCookie);
        };
        self.check_room(handle)?;
        let Some(listener) = self.listeners.get(handle.0) else { return Err(DropReason::TcpNobody) };
        let options = *listener.options;
        let record = self.record_of_cookie(segment, irs, iss, mss, &options);
        self.counters.cookies_valid += 1;
        self.accept_connection(segment.tuple, handle, &record, segment)
    }

    /// The half-open record that a cookie stands for: as if the SYN had come with what the cookie says.
    fn record_of_cookie(
        &self,
        segment: &Segment<'_>,
        irs: SeqNumber,
        iss: SeqNumber,
        mss: u16,
        options: &crate::tcp::config::SocketOptions,
    ) -> HalfOpen {
        let tuple = segment.tuple;
        let offset = self.sequence.timestamp_offset(&tuple);
        let mut syn = *segment;
        syn.seq = irs;
        syn.flags = Flags::SYN;
        if self.config.tcp.ecn.accepted() == Feedback::Accurate && accurate_ecn::ace(segment.flags) > 1 {
            // No other client has these bits.
            syn.flags |= Feedback::Accurate.request();
        }
        syn.ecn = 0;
        syn.options = Default::default();
        syn.options.mss = Some(mss);
        if let Some(timestamp) = segment.options.timestamp {
            // 4987-3.6-2
            let (window_scale, sack_permitted) = syn_cookie::decode_options(timestamp.echo.wrapping_sub(offset));
            syn.options.window_scale = window_scale;
            syn.options.sack_permitted = sack_permitted;
            syn.options.timestamp = Some(Timestamp { value: timestamp.value, echo: 0 });
        }
        let announced = self.announced_mss_for(options.max_segment, tuple.remote_addr);
        let mut record = HalfOpen::new(&syn, iss, offset, announced, options, &self.config.tcp);
        // When the SYN-ACK left is not known, so there is no RTT sample.
        record.syn_losses = 1;
        record
    }

    /// Tells the application of a listener that there is something to accept.
    pub(super) fn listener_event(&mut self, handle: ListenerHandle) {
        let Some(listener) = self.listeners.get_mut(handle.0) else { return };
        if !listener.event {
            listener.event = true;
            self.ready.push_back(SocketHandle::Listener(handle));
        }
    }
}
