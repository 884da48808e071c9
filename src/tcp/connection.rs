//! The record of one connection (the TCB of RFC 9293 section 3.3.1).

use std::sync::Arc;
use std::time::Duration;

use super::FourTuple;
use super::acceptance::Space;
use super::config::{SocketOptions, TcpConfig};
use super::congestion::Congestion;
use super::due::Due;
use super::ecn::{Ecn, Feedback};
use super::fast_open::FastOpen;
use super::half_open::SYN_ACK_PATIENCE;
use super::option::{self, Agreed};
use super::path_mtu::Path;
use super::receiver::Owed;
use super::recovery::frto::Frto;
use super::recovery::min_rtt::MinRtt;
use super::recovery::new_reno::NewReno;
use super::recovery::reordering::Reordering;
use super::recovery::rto::{Rto, RtoBounds};
use super::recovery::rtt::RttEstimator;
use super::recovery::tail_loss_probe::Probe;
use super::recovery::undo::Undo;
use super::recovery::{Transfer, TransferPool};
use super::sequence::SeqNumber;
use super::spaces::{ReceiveSpace, SendSpace};
use super::state::{Cause, State, transition};
use super::timer::{Deadlines, Purpose};
use super::tuning::{self, ReaderTuning};
use super::window::WindowShift;
use crate::buffer::{Chunk, More, Pool, ReceiveBuffer, SendBuffer};
use crate::counters::Counters;
use crate::error::SocketError;
use crate::ip::path_mtu::PathMtus;
use crate::time::Instant;

/// Who opened it. SYN-RECEIVED needs to know (RFC 9293 section 3.10.7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By a listener.
    // 9293-MUST-11: what came from a passive open is a half-open record until it is established; only an active open
    // can be a connection in SYN-RECEIVED.
    Passive,
    /// By our application.
    Active,
}

/// What happened since the application last looked: bits of [`Connection::events`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Events(pub u8);

impl Events {
    /// There is more to read, or the stream has ended.
    pub const READ: Events = Events(1);
    /// There is more room to write, or the connection is open, or writing fails now.
    pub const WRITE: Events = Events(2);
    /// The connection has ended in an error.
    pub const ERROR: Events = Events(4);
    /// Urgent data is announced.
    pub const URGENT: Events = Events(8);

    /// Notes these as well.
    pub fn add(&mut self, events: Events) {
        self.0 |= events.0;
    }

    /// Any of these.
    pub fn any(self, events: Events) -> bool {
        self.0 & events.0 != 0
    }
}

/// Figures of one connection, for people and programs that watch it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Octets of text that the peer has acknowledged.
    pub octets_acknowledged: u64,
    /// Octets of text received in order.
    pub octets_received: u64,
    /// Segments retransmitted.
    pub retransmits: u32,
    /// Retransmission timeouts, as far as 16 bits count.
    pub timeouts: u16,
    /// Recoveries that were taken back, as nothing had been lost; as far as 16 bits count.
    pub spurious: u16,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent.
    pub segments_out: u32,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its endpoints.
    // 9293-MUST-45: the local address is part of the key and never changes.
    pub tuple: FourTuple,
    state: State,
    /// Who opened it.
    pub origin: Origin,
    /// What happened since the application last looked.
    pub events: Events,
    /// The application has let go of it: nobody reads or writes any more.
    pub orphan: bool,
    /// The application has closed its reading side.
    pub read_closed: bool,
    /// Why it ended, until the application has been told.
    pub error: Option<SocketError>,
    /// An error that the connection survives (RFC 9293 section 3.9.2.2), until the application asks.
    pub soft_error: Option<SocketError>,
    /// The send sequence space.
    pub snd: SendSpace,
    /// The receive sequence space.
    pub rcv: ReceiveSpace,
    /// What both sides agreed on in the handshake.
    pub agreed: Agreed,
    /// What is owed to the peer.
    pub owed: Owed,
    /// Marks of congestion, in both directions; exists only where both sides do ECN.
    pub ecn: Option<Box<Ecn>>,
    /// Text from SND.UNA on.
    pub send_buffer: SendBuffer,
    /// Text for the application, and text out of order.
    pub receive_buffer: ReceiveBuffer,
    /// Exists only while something is in flight.
    pub transfer: Option<Box<Transfer>>,
    /// The round-trip time.
    pub rtt: RttEstimator,
    /// The least round-trip time of the last minutes.
    pub min_rtt: MinRtt,
    /// Loss recovery: its phase, and how it goes on without SACK.
    pub recovery: NewReno,
    /// How much the path reorders.
    pub reordering: Reordering,
    /// What may turn out to have been a mistake.
    pub undo: Undo,
    /// The tail loss probe whose fate is not known: also when everything is acknowledged, the next ACK may tell.
    pub probe: Option<Probe>,
    /// No round-trip time was measured since the last probe, or since the connection began.
    pub probe_unmeasured: bool,
    /// What is known of a path that is narrower than our link.
    pub path: Option<Box<Path>>,
    /// How it opens with more than a handshake, until it is open.
    pub fast_open: Option<Box<FastOpen>>,
    /// The congestion controller.
    pub congestion: Congestion,
    /// Doublings of the RTO or of the probe interval.
    pub backoff: u8,
    /// What leaves at the next chance.
    pub due: Due,
    /// Keep-alives sent without an answer.
    pub keep_alive_probes: u8,
    /// When the current second of challenge ACKs began, in eighths of a second, as far as 16 bits count.
    pub challenges_since: u16,
    /// What the retransmission timer runs for.
    pub purpose: Purpose,
    /// When timers expire.
    pub deadlines: Deadlines,
    /// When something was last sent that occupies sequence space.
    pub last_sent: Instant,
    /// When anything last arrived from the peer.
    pub last_received: Instant,
    /// What the application has set. Connections of one listener share it until one of them is set differently.
    pub options: Arc<SocketOptions>,
    /// Figures.
    pub statistics: Statistics,
}

/// What a new connection starts from.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Its endpoints.
    pub tuple: FourTuple,
    /// Our initial sequence number.
    pub iss: SeqNumber,
    /// The offset of our timestamp clock.
    pub timestamp_offset: u32,
    /// The MSS that we announce.
    pub mss: u16,
    /// What the socket asks for.
    pub options: Arc<SocketOptions>,
}

impl Connection {
    /// An active open: SYN-SENT, with the SYN not sent yet.
    // 9293-3.10.1-2: SND.UNA = ISS; SND.NXT becomes ISS + 1 when the SYN leaves.
    pub fn active(opening: &Opening, config: &TcpConfig, now: Instant) -> Connection {
        let mut connection = Connection::blank(opening, config, now, Origin::Active);
        connection.advance(Cause::ActiveOpen);
        connection
    }

    /// In CLOSED, with nothing known of the peer.
    pub(super) fn blank(opening: &Opening, config: &TcpConfig, now: Instant, origin: Origin) -> Connection {
        let Opening { tuple, iss, timestamp_offset, mss, ref options } = *opening;
        let (capacity, _, tuned) = config.receive_bounds(options, mss);
        let largest = config.largest_receive_capacity(options);
        let ecn = if origin == Origin::Active { config.ecn.requested() } else { Feedback::None };
        Connection {
            tuple,
            state: State::Closed,
            origin,
            events: Events::default(),
            orphan: false,
            read_closed: false,
            error: None,
            soft_error: None,
            snd: SendSpace::new(iss, mss),
            rcv: ReceiveSpace {
                nxt: SeqNumber(0),
                edge: SeqNumber(0),
                irs: SeqNumber(0),
                last_ack: SeqNumber(0),
                up: SeqNumber(0),
                urgent: false,
                fin: None,
                capacity,
                shown: capacity,
                tuning: ReaderTuning::new(tuned, SeqNumber(0), 0, now),
                shift: if config.window_scaling { WindowShift::for_window(largest) } else { WindowShift::default() },
                mss,
                segment_size: 0,
                quick_acks: config.quick_acks,
                challenges: 0,
            },
            agreed: Agreed { timestamp_offset, ecn, order: option::order(config, options), ..Agreed::default() },
            ecn: None,
            owed: Owed::default(),
            send_buffer: SendBuffer::default(),
            receive_buffer: ReceiveBuffer::default(),
            transfer: None,
            rtt: RttEstimator::default(),
            min_rtt: MinRtt::default(),
            recovery: NewReno::new(iss),
            reordering: Reordering::default(),
            undo: Undo::default(),
            probe: None,
            probe_unmeasured: true,
            path: None,
            fast_open: None,
            congestion: Congestion::new(options.congestion, u64::from(iss.0) << 32 | u64::from(timestamp_offset)),
            backoff: 0,
            due: Due::default(),
            keep_alive_probes: 0,
            challenges_since: 0,
            purpose: Purpose::default(),
            deadlines: Deadlines::default(),
            last_sent: now,
            last_received: now,
            options: Arc::clone(options),
            statistics: Statistics::default(),
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Changes the state by the table; false where the cause means nothing in this state.
    pub fn advance(&mut self, cause: Cause) -> bool {
        let from = self.state;
        let known = self.advance_again(cause);
        if self.state != from {
            tracing::debug!(target: "glasstcp::state", connection = %self.tuple, %from, to = %self.state, cause = cause.label(), "state");
        }
        known
    }

    /// As [`Connection::advance`], for what a half-open record has gone through and told of.
    pub fn advance_again(&mut self, cause: Cause) -> bool {
        let Some(to) = transition(self.state, cause) else { return false };
        self.state = to;
        true
    }

    /// Everything in flight is sent again, the first segment of it whatever cwnd says.
    pub(super) fn retransmit_all(&mut self) {
        if let Some(transfer) = self.transfer.as_mut() {
            transfer.sent.mark_all_to_resend();
        }
        self.due.add(Due::RETRANSMISSION);
    }

    /// The few variables by which segments are accepted.
    pub fn space(&self) -> Space {
        Space { una: self.snd.una, nxt: self.snd.nxt, rcv_nxt: self.rcv.nxt, rcv_wnd: self.rcv.wnd() }
    }

    /// Octets of sequence space between SND.UNA and SND.NXT (FlightSize).
    pub fn flight(&self) -> u32 {
        self.snd.nxt.since(self.snd.una)
    }

    /// Octets of sequence space that are thought to be in the network: FlightSize less what is SACKed, and what is lost
    /// and not sent again (pipe).
    pub fn in_flight(&self) -> u32 {
        self.transfer.as_ref().map_or(0, |transfer| transfer.sent.in_flight())
    }

    /// Whether the last timeout was a mistake.
    pub fn frto(&self) -> Frto {
        self.transfer.as_ref().map_or(Frto::Idle, |transfer| transfer.frto)
    }

    /// Our SYN has left and is not acknowledged.
    pub fn syn_in_flight(&self) -> bool {
        !self.snd.syn_acknowledged && self.snd.nxt != self.snd.iss
    }

    /// Our SYN has not left yet.
    pub fn syn_waits(&self) -> bool {
        !self.snd.syn_acknowledged && self.snd.nxt == self.snd.iss
    }

    /// The application holds short segments back.
    pub fn holds_back(&self) -> bool {
        self.options.cork || self.send_buffer.more == More::Held
    }

    /// The sequence number of the first octet in the send buffer.
    pub fn text_una(&self) -> SeqNumber {
        if self.snd.syn_acknowledged { self.snd.una } else { self.snd.iss + 1 }
    }

    /// The sequence number after the last octet in the send buffer.
    pub fn text_end(&self) -> SeqNumber {
        self.text_una() + self.send_buffer.len() as u32
    }

    /// Octets from `seq` to the end of the record that it belongs to, where the application wants that kept apart from what
    /// follows, and something does.
    pub fn record_rest(&self, seq: SeqNumber) -> Option<u32> {
        let end = self.send_buffer.record_end(seq.saturating_since(self.text_una()) as usize)?;
        (end < self.send_buffer.len()).then(|| (self.text_una() + end as u32).saturating_since(seq))
    }

    /// Octets of text that have never been sent.
    pub fn unsent(&self) -> u32 {
        let nxt = if self.syn_waits() { self.snd.iss + 1 } else { self.snd.nxt };
        self.text_end().saturating_since(nxt)
    }

    /// Our FIN has been sent at least once.
    pub fn fin_sent(&self) -> bool {
        self.snd.fin.is_some_and(|fin| self.snd.nxt.gt(fin))
    }

    /// Our FIN has been acknowledged.
    // Pitfall 25: FIN is a sequence number; no other ACK counts as its acknowledgment.
    pub fn fin_acknowledged(&self) -> bool {
        self.snd.fin.is_some_and(|fin| self.snd.una.gt(fin))
    }

    /// The peer's FIN has been received, with everything before it.
    pub fn fin_received(&self) -> bool {
        self.rcv.fin.is_some_and(|fin| self.rcv.nxt.gt(fin))
    }

    /// The retransmission timeout as it stands, backoff included.
    pub fn rto(&self, config: &TcpConfig) -> Rto {
        // 6298-5.7: a SYN that timed out, and no sample since: 3 s once data is sent.
        let syn_timed_out = self.snd.syn_losses > 0 && self.state.is_synchronized();
        let initial = if syn_timed_out { config.initial_rto.max(Duration::from_secs(3)) } else { config.initial_rto };
        let bounds = RtoBounds { initial, min: config.min_rto, max: config.max_rto };
        Rto::new(&self.rtt, &bounds, self.backoff)
    }

    /// R2: how long anything may stay unanswered, or `None` for ever.
    // 9293-MUST-21: set per connection, infinity included.
    pub fn give_up(&self, config: &TcpConfig) -> Option<Duration> {
        // 9293-MUST-23: a SYN has its own. Who sent the one that our SYN-ACK answers may be forged, as with a half-open record.
        let default = match (self.state.is_synchronized(), self.origin) {
            (true, _) => config.give_up,
            (false, Origin::Active) => self.options.give_up_syn.unwrap_or(config.give_up_syn),
            (false, Origin::Passive) => SYN_ACK_PATIENCE,
        };
        let limit = self.options.user_timeout.unwrap_or(default);
        (limit != Duration::MAX).then_some(limit)
    }

    /// What has arrived is not the application's yet: it came with a SYN that has crossed ours, which is not acknowledged
    /// yet. The state may be FIN-WAIT-1 by then.
    pub fn keeps_text(&self) -> bool {
        !self.snd.syn_acknowledged && self.origin == Origin::Active
    }

    /// Octets that may be queued for sending.
    pub fn send_capacity(&self, config: &TcpConfig) -> u32 {
        let set = self.options.send_capacity.or(config.send_capacity);
        set.unwrap_or_else(|| {
            let window = self.congestion.get().window().min(self.snd.max_wnd);
            tuning::send_capacity(self.flight(), window, config)
        })
    }

    /// Ends the connection for this cause: CLOSED, with the error kept for the application and all queues flushed.
    pub fn end(&mut self, cause: Cause, error: Option<SocketError>, pool: &mut Pool, transfers: &mut TransferPool) {
        if self.keeps_text() {
            // What a SYN has brought that crossed ours was never the application's.
            self.receive_buffer.clear(pool);
        }
        self.advance(cause);
        debug_assert_eq!(self.state, State::Closed, "{cause:?} ends a connection");
        self.error = self.error.or(error);
        self.send_buffer.clear(pool);
        self.forget_transfer(transfers);
        self.receive_buffer.discard_out_of_order(pool);
        self.deadlines = Deadlines::default();
        self.owed = Owed::default();
        self.due = Due::default();
        self.events.add(Events::READ);
        self.events.add(Events::WRITE);
        self.events.add(Events::ERROR);
    }

    /// Gives back the records of what is in flight.
    pub fn forget_transfer(&mut self, transfers: &mut TransferPool) {
        if let Some(transfer) = self.transfer.take() {
            transfers.put(transfer);
        }
    }
}

/// What the functions of a connection may use besides the connection.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of what is happening: for a packet, when it arrived.
    pub now: Instant,
    /// The settings of the stack.
    pub config: &'a TcpConfig,
    /// Buffer memory.
    pub pool: &'a mut Pool,
    /// Boxes for what is in flight.
    pub transfers: &'a mut TransferPool,
    /// Counters of the stack.
    pub counters: &'a mut Counters,
    /// The paths that are narrower than our link.
    pub paths: &'a mut PathMtus,
    /// Octets of IP packet that may leave in one piece where the device cuts super-segments, else 0.
    pub max_packet: u32,
    /// The chunk in which the packet lies, where it lies in one.
    pub donor: &'a mut Donor,
}

/// A chunk that a connection may keep, because the text of a packet lies in it and would have to be copied.
#[derive(Debug, Default)]
pub enum Donor {
    /// There is none.
    #[default]
    None,
    /// It may be had.
    Offered,
    /// Somebody keeps it.
    Taken {
        /// The address of the text.
        text: usize,
        /// What comes in its place.
        spare: Chunk,
    },
}
