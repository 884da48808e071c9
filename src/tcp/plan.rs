//! What leaves next: the one place where sending is decided.
//!
//! [`next`] is pure: it reads the connection and the time, and says what to send, if there is anything. Window, congestion
//! window, Nagle, silly-window avoidance, zero-window probes, delayed ACKs and FIN all meet here; [`super::output`] builds what
//! is decided, and only its success changes the connection.

use super::connection::Connection;
use super::due::Due;
use super::ecn::Ecn;
use super::habits::{Burst, Habits};
use super::nagle::{Offer, may_send};
use super::receiver::ack_is_due;
use super::recovery::Transfer;
use super::recovery::new_reno::Phase;
use super::sequence::SeqNumber;
use super::state::State;
use crate::buffer::More;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Segments that may be in flight beyond as many as fill the peer's window, before short ones wait (docs/decisions.md).
const SPARE_RECORDS: usize = 64;

/// A piece waits for more until it is one in so many octets of the windows, or a whole super-segment.
const DEFERRED_SHARE: u32 = 8;

/// What the device and the path allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Octets of IP packet that may leave in one piece where the device cuts super-segments; else 0: one segment each.
    pub max_packet: u32,
    /// The same for new text over IPv4 where the device takes packets whose length their header cannot say (BIG TCP), else 0.
    pub big_packet: u32,
    /// What leaves in one piece is bounded by habit (see [`Habits::burst`]).
    pub burst: Option<Burst>,
    /// Probes of a closed window carry no text.
    pub empty_probes: bool,
}

impl Limits {
    /// What habit sets.
    pub fn set_habits(&mut self, habits: &Habits) {
        (self.burst, self.empty_probes) = (habits.burst, habits.empty_window_probes);
    }
}

/// Why something is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Our SYN or SYN,ACK for the first time.
    Syn,
    /// New text, perhaps with our FIN.
    Text,
    /// Our FIN alone.
    Fin,
    /// Something again that was taken for lost.
    Retransmission,
    /// A tail loss probe: new text, or the last segment again.
    LossProbe,
    /// New text in a segment that is larger than the path is known to take (RFC 4821).
    MtuProbe,
    /// A zero-window probe.
    Probe,
    /// A keep-alive probe.
    KeepAlive,
    /// An acknowledgment, a duplicate one, or a window update.
    Ack,
}

impl Reason {
    /// Pacing spreads it; acknowledgments and probes leave at once.
    pub(super) const fn is_paced(self) -> bool {
        matches!(self, Reason::Text | Reason::Fin | Reason::Retransmission | Reason::MtuProbe)
    }

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Syn => "SYN",
            Reason::Text => "text",
            Reason::Fin => "FIN",
            Reason::Retransmission => "retransmission",
            Reason::LossProbe => "tail loss probe",
            Reason::MtuProbe => "path MTU probe",
            Reason::Probe => "zero-window probe",
            Reason::KeepAlive => "keep-alive",
            Reason::Ack => "ACK",
        }
    }
}

/// One (super-)segment to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// Octets of text.
    pub len: u32,
    /// The control bits.
    pub flags: Flags,
    /// Why.
    pub reason: Reason,
}

impl Plan {
    /// It carries text for the first time, and not to probe a window: what may be marked on its way.
    // 3168-6.1.4, 3168-6.1.5, 3168-6.1.6: no pure ACK, no retransmission, no window probe. 3168-5: the loss of text is
    // detected, and answered as a mark would be.
    pub fn is_new_text(&self, connection: &Connection) -> bool {
        self.len > 0 && self.seq == connection.snd.nxt && !matches!(self.reason, Reason::Probe | Reason::Syn)
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send this and ask again.
    Send(Plan),
    /// Something waits for its turn until this time: pacing.
    Paced(Instant),
    /// Nothing until something happens, such as a deadline.
    Idle,
}

/// Decides.
pub fn next(connection: &Connection, now: Instant, limits: &Limits) -> Decision {
    // In TIME-WAIT the record of that name answers.
    if matches!(connection.state(), State::Closed | State::TimeWait) {
        return Decision::Idle;
    }
    let plan = syn(connection)
        .or_else(|| report(connection, now))
        .or_else(|| outstanding(connection, now, limits))
        .or_else(|| mtu_probe(connection, now))
        .or_else(|| new_text(connection, now, limits))
        .or_else(|| without_text(connection, now, limits));
    let Some(plan) = plan else { return Decision::Idle };
    match connection.turn(now, limits) {
        Err(at) if plan.reason.is_paced() => instead(connection, now, at, limits),
        _ => Decision::Send(plan),
    }
}

/// Text waits for its turn until `at`: what may leave before it. No probe of the tail is due, or it would have come first.
#[inline(never)]
fn instead(connection: &Connection, now: Instant, at: Instant, limits: &Limits) -> Decision {
    without_text(connection, now, limits).map_or(Decision::Paced(at), Decision::Send)
}

/// What leaves where no text does.
fn without_text(connection: &Connection, now: Instant, limits: &Limits) -> Option<Plan> {
    probe(connection, limits).or_else(|| keep_alive(connection)).or_else(|| acknowledgment(connection, now))
}

/// Our SYN, which nothing can precede.
fn syn(connection: &Connection) -> Option<Plan> {
    connection.syn_waits().then(|| Plan {
        seq: connection.snd.iss,
        len: connection.syn_room().min(connection.unsent()),
        flags: syn_flags(connection),
        reason: Reason::Syn,
    })
}

fn syn_flags(connection: &Connection) -> Flags {
    // 3168-6.1.1-1: ECE and CWR ask, ECE alone answers. 9768-3.1.1-1: and so do more of the three bits.
    match (connection.state() == State::SynSent, connection.ecn.as_deref()) {
        (true, _) if connection.agreed.asks_for_ecn() => Flags::SYN | connection.agreed.ecn.request(),
        (true, _) => Flags::SYN,
        (false, ecn) => {
            let answer = ecn.map_or(Flags::default(), |ecn| ecn.syn_ack_flags(connection.snd.syn_losses));
            Flags::SYN | Flags::ACK | answer
        }
    }
}

/// What has been sent may have to be sent again, or asked about.
fn outstanding(connection: &Connection, now: Instant, limits: &Limits) -> Option<Plan> {
    let transfer = connection.transfer.as_deref()?;
    early_text(connection, transfer, now, limits)
        .or_else(|| retransmission(connection, transfer, limits))
        .or_else(|| tail_probe(connection, transfer))
}

/// After a timeout that may have been for nothing: new text before anything is sent again.
fn early_text(connection: &Connection, transfer: &Transfer, now: Instant, limits: &Limits) -> Option<Plan> {
    let allowance = transfer.frto.allowance();
    if allowance == 0 {
        return None;
    }
    text(connection, &Sendable::of(connection)?, now, allowance, limits)
}

/// Octets from here on that may be sent again as far as the peer's window goes.
// 9293-SHLD-16: what lies in the window, also in one that has shrunk. 7323-2.4-2: what was in the window when it was
// first sent may be off its edge by less than the scale's unit. 9293-MAY-7: nothing further than that.
fn in_window(connection: &Connection, seq: SeqNumber) -> u32 {
    let hidden = connection.window_unit() - 1;
    if connection.snd.wnd == 0 { 0 } else { (connection.send_edge() + hidden).saturating_since(seq) }
}

/// What is taken for lost, oldest first.
// 6675-4-3: lost and not sent again first, then new text. RACK-TLP takes the place of the other two rules.
fn retransmission(connection: &Connection, transfer: &Transfer, limits: &Limits) -> Option<Plan> {
    let sent = &transfer.sent;
    let (seq, run) = sent.first_lost()?;
    if sent.is_syn_lost() {
        let plan = Plan { seq, len: 0, flags: syn_flags(connection), reason: Reason::Retransmission };
        return connection.due.has(Due::RETRANSMISSION).then_some(plan);
    }
    let mss = connection.segment_payload();
    // 7413-4.2.2-1: a SYN leaves again without its text, which waits for the answer; so does text behind a SYN-ACK.
    if transfer.frto.waits(mss) || connection.syn_in_flight() {
        return None;
    }
    let in_window = in_window(connection, seq);
    // Once nothing is left in the network, one segment is always allowed.
    let nothing_in_network = sent.in_flight() == 0;
    let mut allowed = connection.usable_congestion_window();
    if connection.due.has(Due::RETRANSMISSION) || nothing_in_network {
        allowed = allowed.max(mss);
    }
    // By habit, what left in one piece is sent again as such.
    let run = if limits.burst.is_some() { run.min(sent.run_of_record(seq)) } else { run };
    let run = connection.record_rest(seq).map_or(run, |rest| rest.min(run));
    let octets = run.min(allowed).min(in_window).min(max_payload(connection, false, limits));
    if octets == 0 || (octets < mss.min(run) && octets < in_window) {
        return None;
    }
    let octets = if octets > mss { octets - octets % mss } else { octets };
    Some(pushed(piece(connection, seq, octets, Reason::Retransmission), mss, limits))
}

/// A tail loss probe: one segment of new text where there is some and the peer has room, whatever cwnd says; else the last
/// segment again.
// 8985-7.3-2
fn tail_probe(connection: &Connection, transfer: &Transfer) -> Option<Plan> {
    if !connection.due.has(Due::LOSS_PROBE) {
        return None;
    }
    let mss = connection.segment_payload();
    let new = connection.unsent().min(connection.usable_window()).min(mss);
    if new > 0 {
        return Some(piece(connection, connection.snd.nxt, new, Reason::LossProbe));
    }
    let last = transfer.sent.last()?;
    let seq = last.last_segment();
    let octets = last.end().since(seq).min(mss + u32::from(last.fin));
    // One that the window has left behind would be dropped: the timeout that runs now sends from the other end.
    (in_window(connection, seq) > 0).then(|| piece(connection, seq, octets, Reason::LossProbe))
}

/// New text that shows whether the path takes larger segments.
fn mtu_probe(connection: &Connection, now: Instant) -> Option<Plan> {
    connection.path.as_ref()?;
    let octets = connection.mtu_probe(now)?;
    Some(piece(connection, connection.snd.nxt, octets, Reason::MtuProbe))
}

/// What may leave as far as the state goes.
struct Sendable {
    /// Octets of text.
    queued: u32,
    /// Our FIN, behind them.
    fin: bool,
    /// Octets of sequence space that the peer has room for.
    window: u32,
    /// 1 where our SYN-ACK is in flight in front of them: no window of text counts it.
    syn: u32,
}

impl Sendable {
    /// `None` for nothing.
    fn of(connection: &Connection) -> Option<Sendable> {
        let queued = connection.unsent();
        let fin = connection.snd.fin.is_some() && !connection.fin_sent();
        if queued == 0 && !fin {
            return None;
        }
        if connection.state().is_synchronized() && !connection.syn_in_flight() {
            Some(Sendable { queued, fin, window: connection.usable_window(), syn: 0 })
        } else if connection.state() == State::SynReceived && connection.opens_early() {
            // 7413-4.2.2-2: a server may answer before the handshake is over; its FIN waits with its state.
            let window = connection.usable_window().saturating_add(1);
            (queued > 0).then_some(Sendable { queued, fin: false, window, syn: 1 })
        } else {
            // 9293-3.10.2-3: what was written during the handshake waits for its end. A FIN that need not wait for text leaves
            // from SYN-RECEIVED (RFC 9293 section 3.10.4), before the peer's first window.
            (queued == 0).then_some(Sendable { queued, fin, window: 1, syn: 0 })
        }
    }
}

/// New text, and our FIN behind it.
fn new_text(connection: &Connection, now: Instant, limits: &Limits) -> Option<Plan> {
    let sendable = Sendable::of(connection)?;
    // What is lost goes first (and is all that the congestion window allows).
    let lost = |transfer: &Transfer| !transfer.sent.lost().is_empty() && transfer.frto.allowance() == 0;
    if connection.transfer.as_deref().is_some_and(lost) {
        return None;
    }
    text(connection, &sendable, now, connection.usable_congestion_window(), limits)
}

/// The same with `allowed` octets by congestion control.
fn text(connection: &Connection, sendable: &Sendable, now: Instant, allowed: u32, limits: &Limits) -> Option<Plan> {
    let Sendable { queued, fin: fin_waits, window, syn } = *sendable;
    if queued == 0 {
        // Congestion control counts octets of text; the FIN takes one of sequence space, which the window must have.
        return (window > 0).then(|| piece(connection, connection.snd.nxt, 1, Reason::Fin));
    }
    let mss = connection.segment_payload();
    // 6928-2-1: the first window is one of text; the SYN-ACK in flight takes nothing of it.
    let usable = window.min(allowed.saturating_add(syn));
    // Of a record with others behind it nothing is gained by holding back its last segment: it gets no longer.
    let record = connection.record_rest(connection.snd.nxt);
    let queued = record.map_or(queued, |rest| rest.min(queued));
    let fin_waits = fin_waits && record.is_none();
    let offer = Offer {
        queued,
        usable,
        mss,
        max_wnd: connection.snd.max_wnd,
        idle: connection.snd.short_end.le(connection.snd.una) || record.is_some(),
        // Nothing is gained by holding back the last segment of all.
        no_delay: (connection.options.nodelay || fin_waits || connection.snd.up.is_some()) && !is_crowded(connection),
        cork: connection.holds_back() && !fin_waits && record.is_none(),
        overridden: connection.due.has(Due::SHORT_TEXT),
    };
    if !may_send(&offer) {
        return None;
    }
    let deferred = match &limits.burst {
        None => queued > usable && is_deferred(connection, usable, limits),
        Some(burst) => queued > usable.max(mss) && connection.waits_for_share(burst, usable, now),
    };
    if deferred {
        return None;
    }
    let mut len = queued.min(usable).min(max_payload(connection, true, limits));
    if len > mss {
        // A super-segment is whole segments, unless it empties the queue and its tail may leave too.
        let tail = len % mss;
        let tail_may_leave = len == queued && (offer.idle || offer.no_delay) && !offer.cork;
        len -= if tail_may_leave { 0 } else { tail };
    }
    // 9293-3.10.4-4, 9293-3.10.4-6: FIN only behind all text, and with it where the window has room.
    let fin = u32::from(fin_waits && len == queued && window > len);
    Some(pushed(piece(connection, connection.snd.nxt, len + fin, Reason::Text), mss, limits))
}

/// A piece that is small only because the windows have opened by no more yet is not worth a packet of its own where the
/// device cuts: the next ACK makes it larger.
///
/// At least two segments are in flight then, so an ACK is due without the peer's timer, or else ours expires: nothing waits
/// for this alone. A small part of the windows is enough, as the path runs dry while their whole waits. In recovery the
/// clock of the ACKs must not stop.
fn is_deferred(connection: &Connection, usable: u32, limits: &Limits) -> bool {
    let (mss, flight) = (connection.segment_payload(), connection.flight());
    let whole = max_payload(connection, false, limits) / mss * mss;
    let recovery = &connection.recovery;
    whole > mss
        && usable < whole.min((flight + usable) / DEFERRED_SHARE)
        && flight >= 2 * mss
        && recovery.phase == Phase::Open
        && recovery.inflation() == 0
        && !connection.due.has(Due::SHORT_TEXT)
}

/// So many segments are in flight that most of them must be short: each costs a record, so Nagle's algorithm holds then,
/// whatever the application says.
fn is_crowded(connection: &Connection) -> bool {
    let records = connection.transfer.as_ref().map_or(0, |transfer| transfer.sent.len());
    records >= (connection.snd.wnd / connection.segment_payload()) as usize + SPARE_RECORDS
}

/// A zero-window probe: one octet, new or again. What rounding alone may have put outside the window is sent again whole.
// 9293-MUST-36
// 7323-2.4-2: a peer that still has room for less than the scale's unit can only call it a window of zero.
fn probe(connection: &Connection, limits: &Limits) -> Option<Plan> {
    // A probe that was due may have become needless while the device was busy.
    if !connection.due.has(Due::WINDOW_PROBE) || !connection.is_window_closed() {
        return None;
    }
    if limits.empty_probes {
        let flags = Flags::ACK | marks(connection);
        return Some(Plan { seq: connection.snd.una - 1, len: 0, flags, reason: Reason::Probe });
    }
    let hidden = connection.window_unit() - 1;
    let octets = connection.flight().min(hidden).min(connection.segment_payload()).max(1);
    Some(piece(connection, connection.snd.una, octets, Reason::Probe))
}

/// A keep-alive: no text, one before SND.NXT, so that the peer must answer.
// 9293-SHLD-12
fn keep_alive(connection: &Connection) -> Option<Plan> {
    connection.owed.keep_alive.then(|| Plan {
        seq: connection.snd.nxt - 1,
        len: 0,
        flags: Flags::ACK | marks(connection),
        reason: Reason::KeepAlive,
    })
}

/// An acknowledgment on its own. With anything to tell beside the number it would have gone before all text.
fn acknowledgment(connection: &Connection, now: Instant) -> Option<Plan> {
    owes_acknowledgment(connection, now).then(|| pure_ack(connection, false))
}

/// An acknowledgment that has SACK blocks or counters to tell goes first and alone: text leaves no room for them.
fn report(connection: &Connection, now: Instant) -> Option<Plan> {
    if !owes_acknowledgment(connection, now) {
        return None;
    }
    let blocks = has_blocks(connection);
    let counts = connection.ecn.as_deref().is_some_and(Ecn::goes_alone);
    (blocks || counts).then(|| pure_ack(connection, blocks))
}

fn owes_acknowledgment(connection: &Connection, now: Instant) -> bool {
    let due = ack_is_due(connection, now) || connection.owed.duplicate_acks > 0;
    due && connection.state() != State::SynSent
}

/// With SACK blocks, or without.
// 9293-3.10.7.4-37: SEQ = SND.NXT where the peer takes it, ACK = RCV.NXT.
fn pure_ack(connection: &Connection, blocks: bool) -> Plan {
    let flags = match connection.ecn.as_deref() {
        // 9768-3.2.2: with SACK blocks it can only count.
        Some(ecn) if !blocks => ecn.ack_flags(),
        _ => marks(connection),
    };
    Plan { seq: connection.control_seq(), len: 0, flags: Flags::ACK | flags, reason: Reason::Ack }
}

/// There are SACK blocks to tell.
fn has_blocks(connection: &Connection) -> bool {
    let held = !connection.receive_buffer.out_of_order().is_empty() || connection.owed.dsack.is_some();
    connection.agreed.sack && held
}

/// By habit, a piece of several segments is pushed at its end.
fn pushed(mut plan: Plan, mss: u32, limits: &Limits) -> Plan {
    if limits.burst.is_some() && plan.len > mss {
        plan.flags |= Flags::PSH;
    }
    plan
}

/// `octets` of sequence space from `seq` on: text, and the FIN where it lies in them.
fn piece(connection: &Connection, seq: SeqNumber, octets: u32, reason: Reason) -> Plan {
    let rest = connection.record_rest(seq);
    let octets = rest.map_or(octets, |rest| rest.min(octets));
    let end = seq + octets;
    let fin = connection.snd.fin.is_some_and(|fin| end.gt(fin));
    // 9293-3.10.2-4: every segment of text acknowledges.
    let mut flags = Flags::ACK;
    let len = octets - u32::from(fin);
    if fin {
        flags |= Flags::FIN;
    }
    // 9293-MUST-61, 9293-SHLD-27: PSH on the segment that empties the queue, however many writes filled it; and at the end of
    // each record.
    let empties = (seq + len) == connection.text_end() && connection.send_buffer.more == More::Nothing;
    if len > 0 && (empties || rest == Some(len)) {
        flags |= Flags::PSH;
    }
    // 9293-3.10.2-5: URG while the pointer is ahead.
    if connection.snd.up.is_some_and(|up| up.gt(seq)) {
        flags |= Flags::URG;
    }
    let mut plan = Plan { seq, len, flags, reason };
    if let Some(ecn) = connection.ecn.as_deref() {
        plan.flags |= ecn.flags(plan.is_new_text(connection));
    }
    plan
}

/// The bits of ECN of what has no new text.
// 3168-6.1.3: on every ACK; a segment of text acknowledges too.
fn marks(connection: &Connection) -> Flags {
    connection.ecn.as_deref().map_or(Flags::default(), |ecn| ecn.flags(false))
}

/// Octets of text that may leave in one piece, for the first time or again: one segment, or more where the device cuts; no less
/// than in a segment.
// 9293-MUST-16: several small segments may fit into one packet of the link, but the peer never sees them in one.
fn max_payload(connection: &Connection, new: bool, limits: &Limits) -> u32 {
    let mss = connection.segment_payload();
    if let Some(most) = connection.ecn.as_deref().and_then(|ecn| ecn.max_text(new, mss)) {
        return most;
    }
    let (headers, big) = if connection.tuple.remote_addr.is_ipv6() { (60, 0) } else { (40, limits.big_packet) };
    let packet = if new { limits.max_packet.max(big) } else { limits.max_packet };
    let options = u32::from(connection.snd.mss) - mss;
    let most = packet.saturating_sub(headers + options);
    // What leaves at once is no more than a quantum, in whole segments.
    let mut quantum = connection.congestion.send_quantum();
    if let Some(burst) = limits.burst {
        quantum = quantum.min(connection.burst_octets(burst.least));
    }
    if quantum < most { (quantum - quantum % mss).max(mss) } else { most.max(mss) }
}
