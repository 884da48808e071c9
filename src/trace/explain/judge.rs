//! Where an end departs from what its own connection asks of it.

use super::Finding;
use super::fault::Fault;
use super::replay::{Received, Replay};
use crate::tcp::connection::Connection as Tcb;
use crate::tcp::recovery::delivered::Stamp;
use crate::tcp::recovery::new_reno::Phase;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::trace::connection::Connection;
use crate::trace::segment::{Seg, Side, Sum};
use crate::wire::option::TcpOptions;
use crate::wire::tcp::Flags;

/// How long an ACK may be held back (RFC 9293 section 3.8.6.3), and what clocks may be off by.
const ACK_DELAY_NS: u64 = 500_000_000 + 50_000_000;
/// Less than the least RTO that anybody uses, less a tenth.
const LEAST_RTO_NS: u64 = 180_000_000;
/// Less than the first RTO of all (RFC 6298 section 2), less a tenth.
const FIRST_RTO_NS: u64 = 900_000_000;
/// Octets of options that every segment has once timestamps are agreed on.
const MAX_OPTIONS: u32 = 40;

/// An ACK that is owed.
#[derive(Clone, Copy, Debug)]
struct Owed {
    frame: u64,
    since_ns: u64,
    upto: SeqNumber,
    /// It may be held back for ever, as their number is limited.
    challenge: bool,
}

/// What is known of an end beside its connection.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) connection: &'a Connection,
    pub(super) side: Side,
    pub(super) near: bool,
    partial: bool,
    owed: Option<Owed>,
    /// The last acknowledgment and the furthest right edge that the end has sent.
    last_ack: Option<i64>,
    edge: Option<i64>,
    /// The furthest right edge that the peer has offered, and the end of what it has sent.
    peer_edge: Option<i64>,
    peer_end: i64,
    /// The end of what this end has sent, and where its FIN stands.
    end: i64,
    fin: Option<i64>,
    pub(super) syn_ns: Option<u64>,
    /// ACKs from the peer that say nothing new, since the last that did.
    duplicates: u32,
    /// What the last received segment was, if a RST in answer to it would be wrong.
    no_reset: Option<Fault>,
    reset: bool,
    told_size: bool,
    /// A SYN of the peer had an option of Fast Open.
    pub(super) cookie_asked: bool,
    /// What the capture lacks of the peer, and whether it lacks anything of either end.
    holes: Vec<(i64, i64)>,
    incomplete: bool,
    /// What both agreed on.
    timestamps: bool,
    sack: bool,
}

pub(super) fn fault(fault: Fault, text: String) -> Finding {
    Finding { fault: Some(fault), text }
}

pub(super) fn note(text: String) -> Finding {
    Finding { fault: None, text }
}

fn millis(ns: u64) -> String {
    format!("{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000)
}

impl<'a> Judge<'a> {
    pub(super) fn new(connection: &'a Connection, side: Side, near: bool, partial: bool) -> Judge<'a> {
        let options = |side| connection.syn(side).map(|syn| syn.options.parsed()).unwrap_or_default();
        let (own, peer): (TcpOptions, TcpOptions) = (options(side), options(side.other()));
        Judge {
            connection,
            side,
            near,
            partial,
            owed: None,
            last_ack: None,
            edge: None,
            peer_edge: None,
            peer_end: 0,
            end: 0,
            fin: None,
            syn_ns: None,
            duplicates: 0,
            no_reset: None,
            reset: false,
            told_size: false,
            cookie_asked: false,
            incomplete: Side::BOTH.iter().any(|&side| !connection.holes(side).is_empty()),
            holes: connection.holes(side.other()),
            timestamps: own.timestamp.is_some() && peer.timestamp.is_some(),
            sack: own.sack_permitted && peer.sack_permitted,
        }
    }

    /// What the capture lacks of what the peer sent.
    pub(super) fn holes(&self) -> &[(i64, i64)] {
        &self.holes
    }

    /// The capture lacks packets of one end or the other.
    pub(super) fn incomplete(&self) -> bool {
        self.incomplete
    }

    /// A fault, unless a packet that the capture lacks may excuse it.
    fn unless_incomplete(&self, found: Fault, text: String) -> Finding {
        if self.incomplete {
            note(format!("{}, unless a packet that the capture lacks excuses it: {text}", found.word()))
        } else {
            fault(found, text)
        }
    }

    /// Time has passed until this segment.
    pub(super) fn passes(&mut self, seg: &Seg) -> Vec<Finding> {
        let Some(owed) = self.owed else { return Vec::new() };
        let waited = seg.time_ns.saturating_sub(owed.since_ns);
        if waited <= ACK_DELAY_NS || !self.near {
            return Vec::new();
        }
        self.owed = None;
        let text = format!("frame {} waits for its ACK since {}", owed.frame, millis(waited));
        // Answers to what is not acceptable are limited, and the limit is the end's own.
        vec![if owed.challenge { note(text) } else { self.unless_incomplete(Fault::AckMissing, text) }]
    }

    /// The end has received a segment.
    pub(super) fn received(&mut self, seg: &Seg, received: &Received, replay: &Replay<'_>) -> Vec<Finding> {
        if seg.sum != Sum::Bad {
            self.peer_end = self.peer_end.max(seg.end());
        }
        self.no_reset = match received.dropped {
            _ if received.owes_reset => None,
            _ if seg.has(Flags::RST) => Some(Fault::ResetOnReset),
            Some(_) if received.challenge && seg.has(Flags::SYN) && replay.state().is_synchronized() => {
                Some(Fault::ResetOnSyn)
            }
            Some(crate::counters::DropReason::TcpAckRange) if replay.state().is_synchronized() => {
                Some(Fault::ResetOnAck)
            }
            _ => None,
        };
        if seg.has(Flags::SYN) && !seg.has(Flags::ACK) {
            self.cookie_asked |= !seg.options.cookies().is_empty();
            if received.dropped.is_none() && replay.state() == State::SynReceived {
                // Behind our SYN: what a server may send before the handshake is over.
                self.peer_edge = Some(1 + i64::from(seg.window));
            }
        }
        if received.dropped.is_none() && seg.has(Flags::ACK) && !seg.has(Flags::RST) {
            let edge = seg.ack_at + self.connection.window(seg) as i64;
            self.peer_edge = Some(self.peer_edge.map_or(edge, |known| known.max(edge)));
            let news = received.acts.iter().any(|act| act.starts_with("acked="));
            self.duplicates = if news { 0 } else { self.duplicates + u32::from(seg.is_empty()) };
        }
        self.reset |= replay.state() == State::Closed && seg.has(Flags::RST) && received.dropped.is_none();
        if received.owes_ack && self.owed.is_none() {
            if let Some(upto) = replay.rcv_nxt() {
                let challenge = received.challenge;
                self.owed = Some(Owed { frame: seg.frame, since_ns: seg.time_ns, upto, challenge });
            }
        } else if let (Some(owed), false) = (&mut self.owed, received.owes_ack) {
            // What was owed was settled by an end of the connection.
            owed.challenge |= replay.state() == State::Closed;
        }
        Vec::new()
    }

    /// The end sends a segment; the connection is as it was before that.
    pub(super) fn sent(&mut self, seg: &Seg, replay: &Replay<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        if seg.sum == Sum::Bad {
            findings.push(fault(Fault::BadChecksum, "the receiver will drop it".to_owned()));
        }
        if seg.has(Flags::RST) {
            self.sends_reset(seg, replay, &mut findings);
            return findings;
        }
        if self.reset {
            findings.push(fault(Fault::AfterReset, "there is no connection any more".to_owned()));
        }
        self.handshake(seg, &mut findings);
        self.fast_open(seg, replay, &mut findings);
        self.options(seg, replay, &mut findings);
        self.acknowledges(seg, replay, &mut findings);
        if let Some(tcb) = replay.tcb().filter(|_| !seg.has(Flags::SYN)) {
            self.sends_octets(seg, tcb, &mut findings);
        }
        findings
    }

    /// The end has sent it.
    pub(super) fn has_sent(&mut self, seg: &Seg) {
        self.no_reset = None;
        if seg.has(Flags::RST) {
            (self.owed, self.reset) = (None, true);
            return;
        }
        self.end = self.end.max(seg.end());
        if seg.has(Flags::FIN) {
            self.fin = Some(seg.end());
        }
        if seg.has(Flags::SYN) {
            self.syn_ns = Some(seg.time_ns);
        }
        if !seg.has(Flags::ACK) {
            return;
        }
        self.last_ack = Some(self.last_ack.map_or(seg.ack_at, |ack| ack.max(seg.ack_at)));
        let edge = seg.ack_at + self.connection.window(seg) as i64;
        self.edge = Some(self.edge.map_or(edge, |known| known.max(edge)));
        let settled = |owed: &Owed| owed.challenge || SeqNumber(seg.ack).ge(owed.upto);
        if self.owed.as_ref().is_some_and(settled) {
            self.owed = None;
        }
    }

    fn sends_reset(&mut self, seg: &Seg, replay: &Replay<'_>, findings: &mut Vec<Finding>) {
        if let Some(wrong) = self.no_reset.filter(|_| self.near) {
            findings.push(fault(wrong, "in answer to the segment before".to_owned()));
        }
        // A peer in SYN-SENT believes a RST only if it acknowledges its SYN.
        let refuses = replay.state() == State::Closed && self.end == 0 && !self.reset;
        if refuses
            && self.connection.has_syn(self.side.other())
            && (!seg.has(Flags::ACK) || seg.ack_at != self.peer_end)
        {
            let expected = self.peer_end;
            findings.push(fault(Fault::WrongReset, format!("ACK {} instead of {expected}", seg.ack_at)));
        }
    }

    fn handshake(&mut self, seg: &Seg, findings: &mut Vec<Finding>) {
        if !seg.has(Flags::SYN) {
            return;
        }
        if seg.at != 0 {
            findings.push(fault(Fault::SynChanged, format!("{} beside the first one", seg.at)));
        }
        if let Some(before) = self.syn_ns.filter(|_| seg.at == 0) {
            let waited = seg.time_ns.saturating_sub(before);
            // An answer to a SYN that came again is no retransmission by a timer.
            if waited < FIRST_RTO_NS && !seg.has(Flags::ACK) {
                findings.push(fault(Fault::SynAgainEarly, format!("after {}", millis(waited))));
            }
        }
        let peer = self.connection.syn(self.side.other()).filter(|syn| seg.has(Flags::ACK) && syn.frame < seg.frame);
        let Some(peer) = peer.map(|syn| syn.options.parsed()) else { return };
        let own = seg.options.parsed();
        if own.window_scale.is_some() && peer.window_scale.is_none() {
            findings.push(fault(Fault::ScaleUnasked, "the SYN has no window scale".to_owned()));
        }
        if own.timestamp.is_some() && peer.timestamp.is_none() {
            findings.push(fault(Fault::TimestampsUnasked, "the SYN has no timestamp".to_owned()));
        }
        if own.sack_permitted && !peer.sack_permitted {
            findings.push(fault(Fault::SackUnasked, "the SYN does not permit SACK".to_owned()));
        }
    }

    fn options(&mut self, seg: &Seg, replay: &Replay<'_>, findings: &mut Vec<Finding>) {
        if seg.has(Flags::SYN) {
            return;
        }
        let options = seg.options.parsed();
        if options.mss.is_some() {
            findings.push(fault(Fault::LateMss, "the MSS belongs to the SYN".to_owned()));
        }
        if options.sack_permitted {
            findings.push(fault(Fault::LateSackPermitted, "SACK-permitted belongs to the SYN".to_owned()));
        }
        if self.partial {
            return;
        }
        match (self.timestamps, options.timestamp.is_some()) {
            (true, false) => findings.push(fault(Fault::TimestampMissing, "the receiver may drop it".to_owned())),
            (false, true) => findings.push(fault(Fault::TimestampUnagreed, "the receiver ignores it".to_owned())),
            _ => {}
        }
        if options.sack.is_empty() {
            return;
        }
        if !self.sack {
            findings.push(fault(Fault::SackUnagreed, "the receiver ignores them".to_owned()));
        }
        let Some(tcb) = replay.tcb() else { return };
        let base = SeqNumber(self.connection.base(self.side.other()).unwrap_or(0));
        let most = base + self.peer_end as u32;
        let invented = options.sack.iter().find(|&(left, right)| {
            let (left, right) = (SeqNumber(left), SeqNumber(right));
            // Where the first block is a duplicate, it may be below everything (RFC 2883).
            right.gt(most) || left.ge(right) && right.gt(tcb.rcv.nxt)
        });
        if let Some((left, right)) = invented {
            let relative = |seq: u32| SeqNumber(seq).since(base);
            let text = format!("{}..{} of {} that have arrived", relative(left), relative(right), self.peer_end);
            findings.push(self.unless_incomplete(Fault::SackInvented, text));
        }
    }

    fn acknowledges(&mut self, seg: &Seg, replay: &Replay<'_>, findings: &mut Vec<Finding>) {
        if !seg.has(Flags::ACK) {
            if !seg.has(Flags::SYN) {
                findings.push(fault(Fault::NoAckFlag, "the receiver drops it".to_owned()));
            }
            return;
        }
        if let Some(next) = replay.rcv_nxt()
            && SeqNumber(seg.ack).gt(next)
        {
            let octets = SeqNumber(seg.ack).since(next);
            findings.push(
                self.unless_incomplete(Fault::AcksUnsent, format!("{octets} octets more than have arrived in order")),
            );
        }
        if let Some(before) = self.last_ack.filter(|&before| seg.ack_at < before) {
            if self.near {
                findings.push(fault(Fault::AckGoesBack, format!("{} after {before}", seg.ack_at)));
            }
            // Its window is as old as its acknowledgment.
            return;
        }
        let (edge, unit) = (seg.ack_at + self.connection.window(seg) as i64, self.unit(self.side));
        if let Some(before) = self.edge.filter(|&before| edge + unit <= before && !self.partial && self.near) {
            findings.push(fault(Fault::WindowShrunk, format!("the right edge moves from {before} to {edge}")));
        }
    }

    /// Octets that one step of the window field of this side stands for.
    fn unit(&self, side: Side) -> i64 {
        1 << self.connection.shift(side).unwrap_or(14)
    }

    fn sends_octets(&mut self, seg: &Seg, tcb: &Tcb, findings: &mut Vec<Finding>) {
        if seg.is_empty() {
            return;
        }
        if seg.at > self.end && self.end > 0 {
            let missing = seg.at - self.end;
            findings.push(note(format!("{missing} octets before it are not in the capture")));
        }
        let beyond_fin = self.fin.filter(|&fin| seg.end() > fin);
        if let Some(fin) = beyond_fin {
            findings.push(fault(Fault::BeyondFin, format!("its FIN stands at {}", fin - 1)));
        }
        if let Some(edge) = self.peer_edge.filter(|_| !self.partial) {
            let beyond = seg.end() - edge;
            // One octet is how a closed window is probed, and a FIN alone may go with it.
            let probe = seg.len() == 1 && tcb.usable_window() == 0;
            if beyond >= self.unit(self.side.other()) && !probe && beyond_fin.is_none() {
                findings.push(
                    self.unless_incomplete(Fault::BeyondWindow, format!("{beyond} octets beyond the edge at {edge}")),
                );
            }
        }
        let most = u32::from(tcb.snd.mss);
        if seg.text > most && !self.told_size && !self.partial {
            self.told_size = true;
            findings.push(note(format!(
                "{} octets in a segment, where the peer takes {} at most: a super-segment that a device cuts later, or else \
                 against 9293-MUST-16",
                seg.text,
                most.max(MAX_OPTIONS)
            )));
        }
        if SeqNumber(seg.seq).lt(tcb.snd.nxt) {
            self.sends_again(seg, tcb, findings);
        }
    }

    /// Something again: by its timer, or with a sign of loss.
    fn sends_again(&self, seg: &Seg, tcb: &Tcb, findings: &mut Vec<Finding>) {
        let seq = SeqNumber(seg.seq);
        if (seq + seg.len()).le(tcb.snd.una) {
            findings.push(note("all of it is acknowledged already".to_owned()));
            return;
        }
        let Some(transfer) = &tcb.transfer else { return };
        let at = seq.max(tcb.snd.una);
        let Some(record) = transfer.sent.iter().find(|record| record.seq.le(at) && at.lt(record.end())) else { return };
        let waited = replay_now(seg, self.connection).saturating_sub(record.sent_at.as_nanos());
        // 8985-6.2-5: what left later has arrived.
        let overtaken = transfer
            .rack
            .latest()
            .is_some_and(|latest| latest.is_after(Stamp { at: record.sent_at, end: record.end() }));
        let signs = self.duplicates > 0
            || overtaken
            || !transfer.sent.sacked().is_empty()
            || !transfer.sent.lost().is_empty()
            || tcb.recovery.phase != Phase::Open
            || tcb.snd.wnd == 0;
        // A probe of the tail leaves after two round trips (RFC 8985 section 7.2).
        let patience = tcb.rtt.srtt().map_or(LEAST_RTO_NS, |srtt| {
            (srtt.as_nanos() as u64).saturating_mul(17).checked_div(10).unwrap_or(0).min(LEAST_RTO_NS)
        });
        if waited < patience && !signs && self.near && !self.partial {
            let known = tcb.rtt.srtt().map_or("unknown".to_owned(), |srtt| millis(srtt.as_nanos() as u64));
            findings.push(self.unless_incomplete(
                Fault::AgainEarly,
                format!("after {}, at a round-trip time of {known}", millis(waited)),
            ));
        }
    }
}

/// The virtual time of a segment.
fn replay_now(seg: &Seg, connection: &Connection) -> u64 {
    super::replay::START.as_nanos() + seg.time_ns.saturating_sub(connection.start_ns())
}
