//! One end of a captured connection, as the state machine of this crate sees it.

use std::sync::Arc;
use std::time::Duration;

mod opening;

use super::facts::Facts;
use super::mirror::octets;
use crate::buffer::Pool;
use crate::counters::{Counters, DropReason};
use crate::ip::path_mtu::{PathMtus, Settings};
use crate::tcp::FourTuple;
use crate::tcp::acceptance::Space;
use crate::tcp::config::{SocketOptions, TcpConfig};
use crate::tcp::connection::{Connection as Tcb, Context, Donor, Origin};
use crate::tcp::half_open::{self, HalfOpen};
use crate::tcp::input::{Rejected, segment_arrives};
use crate::tcp::receiver::AckOwed;
use crate::tcp::recovery::TransferPool;
use crate::tcp::segment::Segment;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::tcp::time_wait::{self, TimeWait};
use crate::tcp::why::Why;
use crate::tcp::window::WireWindow;
use crate::time::Instant;
use crate::trace::annotate::{Act, Asked, acceptance_rule, drop_rule};
use crate::trace::connection::Connection;
use crate::trace::segment::{Seg, Side, Sum};
use crate::wire::option::{TcpOptions, Timestamp};
use crate::wire::tcp::Flags;

/// Virtual time begins late enough that nothing is before it.
pub(super) const START: Instant = Instant::from_secs(1_000);
/// Buffer memory: as much as the largest window.
const MEMORY: usize = 1 << 30;
/// The window of an end of which nobody knows how it scales.
const UNKNOWN_WINDOW: u32 = 1 << 30;
/// Text at a time; what it is does not matter.
const TEXT: usize = 64 << 10;

/// What became of a received segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Why it was dropped, if it was.
    pub(super) dropped: Option<DropReason>,
    /// The rule.
    pub(super) rule: Option<&'static str>,
    /// What it did.
    pub(super) acts: Vec<String>,
    /// An ACK is owed for it.
    pub(super) owes_ack: bool,
    /// The ACK is one that may be held back: a challenge, or the answer to what is not acceptable.
    pub(super) challenge: bool,
    /// A RST is the answer.
    pub(super) owes_reset: bool,
}

/// What stands for the end.
#[derive(Debug)]
enum End {
    Closed,
    Listen,
    HalfOpen(HalfOpen),
    Open(Box<Tcb>),
    TimeWait(TimeWait),
}

/// What a connection needs around it.
#[derive(Debug)]
struct Around {
    config: TcpConfig,
    pool: Pool,
    transfers: TransferPool,
    counters: Counters,
    paths: PathMtus,
    donor: Donor,
}

impl Around {
    fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            now,
            config: &self.config,
            pool: &mut self.pool,
            transfers: &mut self.transfers,
            counters: &mut self.counters,
            paths: &mut self.paths,
            max_packet: 0,
            donor: &mut self.donor,
        }
    }
}

/// The replay of one end.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    connection: &'a Connection,
    side: Side,
    tuple: FourTuple,
    end: End,
    around: Around,
    options: Arc<SocketOptions>,
    partial: bool,
    /// The SYN,ACK has left once.
    answered: bool,
    now: Instant,
    text: Vec<u8>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(connection: &'a Connection, side: Side) -> Replay<'a> {
        let longest = connection.segs.iter().map(|seg| seg.text as usize).max().unwrap_or(0);
        let partial = !connection.segs.first().is_some_and(|seg| seg.has(Flags::SYN) && !seg.has(Flags::ACK));
        let config = TcpConfig { send_capacity: Some(1 << 30), challenge_acks_per_second: 100, ..TcpConfig::default() };
        let around = Around {
            config,
            pool: Pool::new(MEMORY),
            transfers: TransferPool::default(),
            counters: Counters::default(),
            paths: PathMtus::new(Settings::default()),
            donor: Donor::None,
        };
        let mut replay = Replay {
            connection,
            side,
            tuple: FourTuple::new(connection.address(side), connection.address(side.other())),
            end: End::Closed,
            around,
            options: Arc::new(SocketOptions::default()),
            partial,
            answered: false,
            now: START,
            text: vec![0; longest.max(TEXT)],
        };
        if partial {
            replay.begin_in_the_middle();
        } else if connection.segs.first().is_some_and(|seg| seg.from != side) {
            replay.end = End::Listen;
        }
        replay
    }

    /// The beginning is missing.
    pub(super) fn partial(&self) -> bool {
        self.partial
    }

    /// The state of the end.
    pub(super) fn state(&self) -> State {
        match &self.end {
            End::Closed => State::Closed,
            End::Listen => State::Listen,
            End::HalfOpen(_) => State::SynReceived,
            End::Open(tcb) => tcb.state(),
            End::TimeWait(_) => State::TimeWait,
        }
    }

    /// The connection, while there is one.
    pub(super) fn tcb(&self) -> Option<&Tcb> {
        match &self.end {
            End::Open(tcb) => Some(tcb),
            _ => None,
        }
    }

    /// The end of what has arrived in order.
    pub(super) fn rcv_nxt(&self) -> Option<SeqNumber> {
        match &self.end {
            End::HalfOpen(record) => Some(record.irs + 1),
            // Of a FIN on a SYN that was taken, as well.
            End::Open(tcb) if tcb.state() == State::SynReceived && tcb.rcv.fin == Some(tcb.rcv.nxt) => {
                Some(tcb.rcv.nxt + u32::from(tcb.opens_early()))
            }
            End::Open(tcb) if tcb.state() != State::SynSent => Some(tcb.rcv.nxt),
            End::TimeWait(record) => Some(record.rcv_nxt),
            _ => None,
        }
    }

    fn space(&self) -> Option<Space> {
        match &self.end {
            End::HalfOpen(record) => Some(record.space()),
            End::Open(tcb) => Some(tcb.space()),
            _ => None,
        }
    }

    fn advance(&mut self, seg: &Seg) -> Instant {
        let since = Duration::from_nanos(seg.time_ns.saturating_sub(self.connection.start_ns()));
        self.now = self.now.max(START + since);
        self.now
    }

    fn segment_of(&self, flags: Flags, seq: SeqNumber, ack: SeqNumber, options: TcpOptions) -> Segment<'static> {
        Segment {
            tuple: self.tuple,
            seq,
            ack,
            flags,
            window: WireWindow(u16::MAX),
            window_unscaled: flags.contains(Flags::SYN),
            urgent: seq,
            options,
            text_len: 0,
            payload: &[],
            arrived: self.now,
            coalesced: 1,
            ecn: 0,
        }
    }

    // ---- received ----

    /// The end receives a segment.
    pub(super) fn receive(&mut self, place: usize, seg: &Seg) -> Received {
        let now = self.advance(seg);
        if seg.sum == Sum::Bad {
            let reason = DropReason::TcpChecksum;
            return Received { dropped: Some(reason), rule: Some("9293-MUST-3"), ..Received::default() };
        }
        let text = std::mem::take(&mut self.text);
        let mss = self.tcb().map_or(1_460, |tcb| u32::from(tcb.rcv.mss)).max(1);
        let segment = Segment {
            window: WireWindow(seg.window),
            urgent: SeqNumber(seg.seq) + u32::from(seg.urgent),
            text_len: seg.text,
            payload: &text[..(seg.text as usize).min(text.len())],
            arrived: now,
            coalesced: seg.text.div_ceil(mss).clamp(1, u32::from(u16::MAX)) as u16,
            ecn: seg.traffic_class & 3,
            ..self.segment_of(seg.flags, SeqNumber(seg.seq), SeqNumber(seg.ack), seg.options.parsed())
        };
        let asked = Asked {
            state: self.state(),
            space: self.space(),
            seq: segment.seq,
            len: segment.len(),
            ack: segment.has_ack().then_some(segment.ack),
            syn: segment.syn(),
            rst: segment.rst(),
        };
        let challenges = self.around.counters.challenge_acks;
        let mut received = match &self.end {
            End::Closed => nobody(seg),
            End::Listen => self.listener(place, seg, &segment),
            End::HalfOpen(_) => self.half_open(&segment),
            End::Open(_) => self.open(&segment),
            End::TimeWait(_) => self.time_wait(&segment),
        };
        received.challenge |= self.around.counters.challenge_acks != challenges;
        received.rule = match received.dropped {
            Some(reason) => Some(drop_rule(reason, &asked)),
            None => received.rule.or_else(|| acceptance_rule(&asked)),
        };
        self.text = text;
        received
    }

    fn half_open(&mut self, segment: &Segment<'_>) -> Received {
        let End::HalfOpen(record) = &mut self.end else { return Received::default() };
        let answer = |reason: DropReason| Received { owes_ack: true, challenge: true, ..dropped(reason, false) };
        match record.segment_arrives(segment, &self.around.config.habits) {
            half_open::Action::Drop(reason) => dropped(reason, false),
            half_open::Action::Answer(_, reason) => answer(reason),
            half_open::Action::Reset(reason) => dropped(reason, true),
            half_open::Action::Abort(reason) => {
                self.end = End::Closed;
                dropped(reason, true)
            }
            half_open::Action::Remove(outcome) => {
                self.end = End::Listen;
                let acts = vec![Act::BackToListen.word().to_owned()];
                Received { acts, dropped: outcome.err(), rule: Some(Act::BackToListen.rule()), ..Received::default() }
            }
            half_open::Action::Establish => {
                let options = Arc::clone(&self.options);
                let mut tcb = record.connection(self.tuple, options, &self.around.config, segment.arrived);
                if let Some(rtt) = record.round_trip(segment.arrived) {
                    tcb.rtt.sample(rtt);
                    tcb.min_rtt.sample(rtt, segment.arrived);
                }
                self.end = End::Open(Box::new(tcb));
                let mut received = self.open(segment);
                received.acts.insert(0, Act::Established.word().to_owned());
                received
            }
        }
    }

    fn open(&mut self, segment: &Segment<'_>) -> Received {
        let End::Open(tcb) = &mut self.end else { return Received::default() };
        let before = Facts::of(tcb);
        let mut cx = self.around.context(segment.arrived);
        let result = segment_arrives(tcb, segment, &mut cx);
        if !tcb.keeps_text() {
            // The text of a SYN that has crossed waits for the end of the handshake.
            let readable = tcb.receive_buffer.readable();
            tcb.receive_buffer.skip(cx.pool, readable);
        }
        let after = Facts::of(tcb);
        let mut received = Received { acts: before.acts(&after), ..Received::default() };
        if tcb.origin == Origin::Active
            && tcb.state().is_synchronized()
            && let Some(answer) = tcb.fast_open.take().and_then(|fast_open| fast_open.answer)
        {
            opening::answered(&answer, &mut received);
        }
        received.owes_ack = tcb.owed.ack != AckOwed::None || tcb.owed.duplicate_acks > 0;
        match result {
            Ok(()) => {}
            Err(Rejected::Drop(reason)) => {
                received.dropped = Some(reason);
                received.challenge = true;
            }
            Err(Rejected::Reset(reason) | Rejected::Abort(reason)) => {
                received.dropped = Some(reason);
                received.owes_reset = true;
            }
        }
        match tcb.state() {
            State::TimeWait => {
                let record = TimeWait::new(tcb, segment.arrived, self.around.config.time_wait);
                self.end = End::TimeWait(record);
            }
            State::Closed => self.end = End::Closed,
            _ => {}
        }
        received
    }

    fn time_wait(&mut self, segment: &Segment<'_>) -> Received {
        let End::TimeWait(record) = &mut self.end else { return Received::default() };
        match record.segment_arrives(segment, false, u8::MAX) {
            time_wait::Action::Drop(reason) => dropped(reason, false),
            time_wait::Action::Ack(reason) => Received { owes_ack: true, challenge: true, ..dropped(reason, false) },
            time_wait::Action::AckAndRestart | time_wait::Action::Reopen(_) => {
                let act = Act::TimeWaitRestarted;
                let acts = vec![act.word().to_owned()];
                Received { acts, rule: Some(act.rule()), owes_ack: true, ..Received::default() }
            }
        }
    }

    /// Where the end acknowledges what lies in a hole of the capture, that must have arrived: it is put in, and the answer is
    /// how many octets that were.
    pub(super) fn fill(&mut self, seg: &Seg, holes: &[(i64, i64)]) -> Option<i64> {
        let now = self.advance(seg);
        let End::Open(tcb) = &mut self.end else { return None };
        let upto = SeqNumber(seg.ack);
        if !seg.has(Flags::ACK) || !upto.gt(tcb.rcv.nxt) || !tcb.state().receives_text() {
            return None;
        }
        let (from, to) = (seg.ack_at - i64::from(upto.since(tcb.rcv.nxt)), seg.ack_at);
        let lacks: i64 = holes.iter().map(|&(left, right)| (right.min(to) - left.max(from)).max(0)).sum();
        if lacks == 0 {
            return None;
        }
        tcb.rcv.edge = tcb.rcv.edge.max(upto);
        let stamp = tcb.agreed.timestamps.then_some(Timestamp { value: tcb.agreed.ts_recent, echo: 0 });
        let (una, window) = (tcb.snd.una, tcb.snd.shift.unscale(tcb.snd.wnd));
        while let Some(tcb) = self.tcb().filter(|tcb| upto.gt(tcb.rcv.nxt) && tcb.state().receives_text()) {
            let (next, text) = (tcb.rcv.nxt, std::mem::take(&mut self.text));
            let options = TcpOptions { timestamp: stamp, ..TcpOptions::default() };
            let len = (upto.since(next) as usize).min(text.len());
            let segment = Segment {
                window,
                text_len: len as u32,
                payload: &text[..len],
                arrived: now,
                ..self.segment_of(Flags::ACK, next, una, options)
            };
            self.open(&segment);
            self.text = text;
            if self.tcb().is_none_or(|tcb| tcb.rcv.nxt == next) {
                break;
            }
        }
        Some(lacks)
    }

    // ---- sent ----

    /// The end has sent a segment: what its application must have done is done here too.
    pub(super) fn send(&mut self, seg: &Seg) -> Vec<String> {
        let now = self.advance(seg);
        if seg.has(Flags::RST) {
            if let End::Open(tcb) = &mut self.end {
                tcb.abort(&mut self.around.context(now), Why::RstAbort);
            }
            self.end = if matches!(self.end, End::Listen) { End::Listen } else { End::Closed };
            return Vec::new();
        }
        if seg.has(Flags::SYN) && !seg.has(Flags::ACK) && matches!(self.end, End::Closed) {
            return self.connect(seg, now);
        }
        match &mut self.end {
            End::HalfOpen(record) => {
                if !seg.has(Flags::SYN) {
                    return Vec::new();
                }
                let again = std::mem::replace(&mut self.answered, true);
                if again {
                    record.lose_syn_ack(now);
                }
                record.sent_at = now;
                vec![if again { Why::SynAckAgain } else { opening::why(seg, false) }.word().to_owned()]
            }
            End::Open(_) => self.mirror(seg, now),
            End::Closed | End::Listen | End::TimeWait(_) => Vec::new(),
        }
    }

    /// Puts down what the end has sent on its connection.
    fn mirror(&mut self, seg: &Seg, now: Instant) -> Vec<String> {
        let text = std::mem::take(&mut self.text);
        let End::Open(tcb) = &mut self.end else { return Vec::new() };
        let mut cx = self.around.context(now);
        let owed = (tcb.owed.clone(), tcb.deadlines.delayed_ack, tcb.rcv.edge);
        let mut acts = Vec::new();
        if seg.has(Flags::SYN) {
            opening::syn(tcb, seg, &text, &mut cx, &mut acts);
        } else {
            octets(tcb, seg, &text, &mut cx, &mut acts);
        }
        tcb.rcv.edge = owed.2;
        if seg.has(Flags::ACK) {
            let ack = SeqNumber(seg.ack);
            if ack.lt(tcb.rcv.nxt) {
                // It does not know of everything that was captured before.
                (tcb.owed, tcb.deadlines.delayed_ack) = (owed.0, owed.1);
                tcb.rcv.last_ack = ack;
            }
            let window = match (seg.has(Flags::SYN), self.partial) {
                (true, _) => u32::from(seg.window),
                (false, true) => UNKNOWN_WINDOW,
                (false, false) => tcb.rcv.shift.scale(WireWindow(seg.window)),
            };
            tcb.rcv.edge = tcb.rcv.edge.max(ack + window);
        }
        self.text = text;
        acts
    }
}

fn nobody(seg: &Seg) -> Received {
    Received { owes_reset: !seg.has(Flags::RST), ..dropped(DropReason::TcpNobody, false) }
}

fn dropped(reason: DropReason, owes_reset: bool) -> Received {
    Received { dropped: Some(reason), owes_reset, ..Received::default() }
}
