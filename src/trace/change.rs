//! What a segment has done to a connection, by how things were before it and how they are after it.

use super::annotate::{Act, Reason, Why};
use super::note::{Detail, Numbers, Received};
use crate::stack::slab::SlabKey;
use crate::tcp::acceptance::Space;
use crate::tcp::connection::Connection;
use crate::tcp::receiver::AckOwed;
use crate::tcp::recovery::new_reno::Phase;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::wire::tcp::Flags;

/// How things are with whomever segments of a tuple are for.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The state.
    pub state: State,
    /// The connection, if it is one.
    pub connection: Option<SlabKey>,
    /// By which segments are accepted, where there is more than a listener.
    pub space: Option<Space>,
    /// For people.
    pub numbers: Option<Numbers>,
    /// What may change.
    pub facts: Option<Facts>,
}

/// What a segment may change in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    una: SeqNumber,
    nxt: SeqNumber,
    rcv_nxt: SeqNumber,
    wnd: u32,
    received: u64,
    out_of_order: u64,
    sacked: u32,
    lost: u32,
    phase: Phase,
    /// Losses are found by SACK.
    sack: bool,
    spurious: u16,
    owed: (AckOwed, Why),
    fin_known: bool,
    fin_received: bool,
    fin_acknowledged: bool,
    urgent: Option<SeqNumber>,
    soft_error: bool,
    path_mtu: u32,
}

/// What of a received segment matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// SEG.ACK, where it has one.
    pub ack: Option<SeqNumber>,
    /// The control bits.
    pub flags: Flags,
    /// Octets of text.
    pub text: u32,
}

impl Segment {
    /// SEG.LEN: octets of sequence space.
    pub fn len(&self) -> u32 {
        self.text + u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN))
    }

    /// It occupies no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Facts {
    /// Those of a connection.
    pub fn of(connection: &Connection) -> Facts {
        let sent = connection.transfer.as_ref().map(|transfer| &transfer.sent);
        Facts {
            una: connection.snd.una,
            nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            wnd: connection.snd.wnd,
            received: connection.statistics.octets_received,
            out_of_order: connection.receive_buffer.out_of_order_bytes(),
            sacked: sent.map_or(0, |sent| sent.sacked().octets()),
            lost: sent.map_or(0, |sent| sent.lost().octets()),
            phase: connection.recovery.phase,
            sack: connection.agreed.sack,
            spurious: connection.statistics.spurious,
            owed: (connection.owed.ack, connection.owed.why),
            fin_known: connection.rcv.fin.is_some(),
            fin_received: connection.fin_received(),
            fin_acknowledged: connection.fin_acknowledged(),
            urgent: connection.rcv.urgent.then_some(connection.rcv.up),
            soft_error: connection.soft_error.is_some(),
            path_mtu: connection.path_mtu(),
        }
    }
}

impl Seen {
    /// What a segment has done.
    pub fn changed(&self, now: &Seen, segment: &Segment, received: &mut Received) {
        self.change_of_state(now, segment, received);
        match (self.facts, now.facts) {
            (Some(before), Some(after)) => {
                acknowledged(&before, &after, received);
                if received.dropped.is_none() {
                    self.duplicate_ack(&before, &after, segment, received);
                }
                window(&before, &after, self.state.is_synchronized(), received);
                text(&before, &after, self.state, segment, received);
                owes(&before, &after, segment, received);
            }
            // A half-open record has become a connection, and the segment was its first.
            (None, Some(after)) if self.state == State::SynReceived => {
                let octets = |octets| Detail::Octets(octets);
                received.did(Act::Acknowledged, octets(1));
                received.did(Act::WindowUpdated, octets(u64::from(after.wnd)));
                if after.received > 0 {
                    received.did(Act::Delivered, octets(after.received));
                }
                fin(None, &after, received);
                owe(&after, received);
            }
            // A SYN has opened by Fast Open.
            (None, Some(after)) if now.state == State::SynReceived => {
                if after.received > 0 {
                    received.did(Act::Delivered, Detail::Octets(after.received));
                }
                left(segment, after.received, received);
            }
            (None, None) if self.state == State::Listen && now.state == State::SynReceived => {
                left(segment, 0, received);
            }
            _ => {}
        }
    }

    fn change_of_state(&self, now: &Seen, segment: &Segment, received: &mut Received) {
        let rst = segment.flags.contains(Flags::RST);
        let act = match (self.state, now.state) {
            (State::Listen, State::SynReceived) if now.connection.is_some() => Act::FastOpened,
            (State::Listen, State::SynReceived) => Act::SynTaken,
            (State::TimeWait, State::SynReceived) => Act::TimeWaitReopened,
            (State::TimeWait, State::TimeWait) if received.dropped.is_none() => Act::TimeWaitRestarted,
            (State::SynReceived, State::Listen) => Act::BackToListen,
            (State::SynReceived, State::Closed) if rst && self.connection.is_none() => Act::BackToListen,
            (State::SynSent | State::SynReceived, State::Closed) if rst => Act::Refused,
            (State::SynSent, State::SynReceived) => Act::CrossedSyn,
            (State::SynSent, to) if to.is_synchronized() => Act::Opened,
            (State::SynReceived, to) if to.is_synchronized() => Act::Established,
            (State::Listen, State::Listen) if received.dropped.is_none() && now.space.is_some() => Act::SynAsked,
            (from, State::Closed) if rst && from.is_synchronized() => Act::Reset,
            // An orphan is gone with its last state, and nothing is left to compare.
            (State::LastAck | State::Closing, State::Closed | State::TimeWait) if now.facts.is_none() => {
                Act::FinAcknowledged
            }
            (State::FinWait1, State::TimeWait) if now.facts.is_none() => {
                received.did(Act::FinAcknowledged, Detail::None);
                Act::Fin
            }
            (State::FinWait2, State::TimeWait) if now.facts.is_none() => Act::Fin,
            _ => return,
        };
        received.did(act, Detail::None);
    }

    /// An ACK of nothing new that may be a sign of loss.
    fn duplicate_ack(&self, before: &Facts, after: &Facts, segment: &Segment, received: &mut Received) {
        let outstanding = before.nxt != before.una;
        let same = segment.ack.is_some_and(|ack| ack.le(before.una)) && before.wnd == after.wnd;
        if outstanding && same && segment.is_empty() && self.state.is_synchronized() {
            received.did(Act::DuplicateAck, Detail::None);
        }
    }

    /// What an ICMP error has done.
    pub fn told_by_network(&self, now: &Seen, received: &mut Received) {
        if self.state != now.state && now.state == State::Closed {
            received.did(Act::AttemptFailed, Detail::None);
        }
        if let (Some(before), Some(after)) = (self.facts, now.facts) {
            if after.path_mtu < before.path_mtu {
                received.did(Act::PathMtuLowered, Detail::Octets(u64::from(after.path_mtu)));
            }
            if after.soft_error && !before.soft_error {
                received.did(Act::SoftError, Detail::None);
            }
        }
    }
}

/// What is acknowledged, by number and by SACK, and what that says of the path.
fn acknowledged(before: &Facts, after: &Facts, received: &mut Received) {
    let more = |received: &mut Received, act, before: u32, after: u32| {
        if after > before {
            received.did(act, Detail::Octets(u64::from(after - before)));
        }
    };
    more(received, Act::Acknowledged, 0, after.una.since(before.una));
    more(received, Act::Sacked, before.sacked, after.sacked);
    if after.fin_acknowledged && !before.fin_acknowledged {
        received.did(Act::FinAcknowledged, Detail::None);
    }
    if after.spurious != before.spurious {
        received.did(Act::Undone, Detail::None);
    }
    let (loss, over) = if after.sack { (Act::LossFound, Act::RecoveryEnds) } else { (Act::LossCounted, Act::FullAck) };
    if after.phase != Phase::Open {
        // Otherwise it is to be sent again for another reason, as after a closed window.
        more(received, loss, before.lost, after.lost);
    }
    match (before.phase, after.phase) {
        (Phase::Open | Phase::Timeout, Phase::FastRecovery) => received.did(Act::RecoveryBegins, Detail::None),
        (Phase::FastRecovery | Phase::Timeout, Phase::Open) => received.did(over, Detail::None),
        _ => {}
    }
}

fn window(before: &Facts, after: &Facts, open: bool, received: &mut Received) {
    match (before.wnd, after.wnd) {
        (old, new) if old == new => {}
        (_, 0) => received.did(Act::WindowClosed, Detail::None),
        (0, new) if open => received.did(Act::WindowReopened, Detail::Octets(u64::from(new))),
        (_, new) => received.did(Act::WindowUpdated, Detail::Octets(u64::from(new))),
    }
}

/// What text and FIN have come to.
fn text(before: &Facts, after: &Facts, state: State, segment: &Segment, received: &mut Received) {
    let syn = u32::from(segment.flags.contains(Flags::SYN));
    if state.is_synchronized() && segment.text > 0 {
        let old = before.rcv_nxt.saturating_since(segment.seq + syn).min(segment.text);
        let held = segment.text - old > 0
            && received.dropped.is_none()
            && (after.received, after.out_of_order) == (before.received, before.out_of_order)
            && state.receives_text();
        let octets = if held { segment.text } else { old };
        if octets > 0 {
            received.did(Act::DuplicateText, Detail::Octets(u64::from(octets)));
        }
    }
    if after.received > before.received {
        received.did(Act::Delivered, Detail::Octets(after.received - before.received));
    }
    if after.out_of_order > before.out_of_order {
        received.did(Act::OutOfOrder, Detail::Octets(after.out_of_order - before.out_of_order));
    }
    if after.urgent != before.urgent && after.urgent.is_some() {
        received.did(Act::Urgent, Detail::None);
    }
    fin(Some(before), after, received);
}

/// What of a SYN's text was not taken.
fn left(segment: &Segment, taken: u64, received: &mut Received) {
    let octets = u64::from(segment.text).saturating_sub(taken);
    if octets > 0 {
        received.did(Act::SynTextLeft, Detail::Octets(octets));
    }
}

fn fin(before: Option<&Facts>, after: &Facts, received: &mut Received) {
    if after.fin_received && !before.is_some_and(|before| before.fin_received) {
        received.did(Act::Fin, Detail::None);
    } else if after.fin_known && !before.is_some_and(|before| before.fin_known) {
        received.did(Act::FinEarly, Detail::None);
    }
}

/// The acknowledgment that the segment has made due, or one that it shares.
fn owes(before: &Facts, after: &Facts, segment: &Segment, received: &mut Received) {
    if after.owed != before.owed || !segment.is_empty() {
        owe(after, received);
    }
}

fn owe(after: &Facts, received: &mut Received) {
    let because = Detail::Because(Reason::Segment(after.owed.1));
    match after.owed.0 {
        AckOwed::None => {}
        AckOwed::Delayed => received.did(Act::AckDelayed, Detail::None),
        AckOwed::Now => received.did(Act::AckNow, because),
    }
}
