//! The receiving side: what is owed to the peer, when it is due, and the window that is offered.

use std::time::Duration;

use super::config::TcpConfig;
use super::connection::{Connection, Context};
use super::habits::Windows;
use super::option::DEFAULT_MSS_V4;
use super::sequence::SeqNumber;
use super::spaces::ReceiveSpace;
use super::why::Why;
use super::window::{WindowShift, WireWindow};
use crate::time::Instant;
use crate::wire::option::SackBlocks;

/// How urgently an acknowledgment is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AckOwed {
    /// Not at all.
    #[default]
    None,
    /// Before the delayed-ACK timer expires.
    Delayed,
    /// With the next chance to send.
    Now,
}

/// What is owed to the peer after the segments of a batch.
// 9293-MUST-59: the steps only note it; nothing leaves before the whole batch is processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// An acknowledgment.
    pub ack: AckOwed,
    /// What it is owed for.
    pub why: Why,
    /// Duplicate ACKs beyond it, for a peer without SACK, which must count them.
    pub duplicate_acks: u8,
    /// A range received twice, to report once (RFC 2883).
    pub dsack: Option<(SeqNumber, SeqNumber)>,
    /// In which order SACK blocks are told. Boxed, as most connections never receive anything out of order.
    pub sack_order: Option<Box<SackOrder>>,
    /// A keep-alive probe.
    pub keep_alive: bool,
}

/// Where text was received out of order, the latest first and at most once for each range that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackOrder {
    latest: [Option<SeqNumber>; SackBlocks::CAPACITY],
}

impl SackOrder {
    /// Notes text at `seq`, now part of the range `start..end`.
    pub fn note(&mut self, seq: SeqNumber, start: SeqNumber, end: SeqNumber) {
        let known = |at: &Option<SeqNumber>| at.is_some_and(|at| at.since(start) < end.since(start));
        let last = self.latest.iter().position(known).unwrap_or(SackBlocks::CAPACITY - 1);
        self.latest[..=last].rotate_right(1);
        self.latest[0] = Some(seq);
    }

    /// The latest first.
    pub fn iter(&self) -> impl Iterator<Item = SeqNumber> + '_ {
        self.latest.iter().copied().flatten()
    }
}

impl Owed {
    /// An acknowledgment, at least this urgently.
    // 9293-MUST-58, 5681-4.2: however many segments ask for it, it is one.
    pub fn ack(&mut self, urgency: AckOwed, why: Why) {
        if urgency >= self.ack {
            (self.ack, self.why) = (urgency, why);
        }
    }
}

impl Default for Owed {
    fn default() -> Owed {
        let why = Why::Ack;
        Owed { ack: AckOwed::None, why, duplicate_acks: 0, dsack: None, sack_order: None, keep_alive: false }
    }
}

/// What a segment says of the receive window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered {
    /// SEG.WND, as it stands in the header.
    pub field: WireWindow,
    /// The right edge for which that stands.
    pub edge: SeqNumber,
    /// The capacity that shows in it, in octets.
    capacity: u32,
}

impl ReceiveSpace {
    /// What counts as a full-sized segment, in octets.
    fn full_size(&self) -> u32 {
        u32::from(self.segment_size.max(DEFAULT_MSS_V4))
    }
}

impl Connection {
    /// Owes an ACK for new text or a FIN that arrived in order.
    pub(super) fn owe_ack_in_order(&mut self, cx: &Context<'_>) {
        let unacknowledged = self.rcv.nxt.since(self.rcv.last_ack);
        // 9293-SHLD-19: at least every second full-sized segment.
        // The first segments of a connection are acknowledged at once, so that a peer's slow start is not held back.
        let second = match cx.config.habits.acks.by_pairs {
            true => self.owed.ack == AckOwed::Delayed,
            false => unacknowledged >= 2 * self.rcv.full_size(),
        };
        // 2883-4-1: the sender should know at once what it has sent for nothing.
        if second || self.rcv.quick_acks > 0 || self.owed.dsack.is_some() {
            self.owed.ack(AckOwed::Now, Why::Ack);
        } else {
            // 9293-SHLD-18
            self.owed.ack(AckOwed::Delayed, Why::Ack);
            self.deadlines.delayed_ack.arm(cx.now + delay(cx.config));
        }
    }

    /// Owes an ACK at once; `duplicate` for one that a peer without SACK counts.
    // 5681-3.2-1: out of order, or filling a gap.
    pub(super) fn owe_ack_now(&mut self, duplicate: bool, why: Why) {
        if duplicate && !self.agreed.sack && self.owed.ack == AckOwed::Now {
            self.owed.duplicate_acks = self.owed.duplicate_acks.saturating_add(1);
        }
        self.owed.ack(AckOwed::Now, why);
    }

    /// Owes the answer to a segment that is not acceptable, within the limit of this connection.
    pub(super) fn owe_challenge(&mut self, cx: &mut Context<'_>) {
        if self.may_challenge(cx) {
            self.owed.ack(AckOwed::Now, Why::Challenge);
        }
    }

    /// Takes one from the answers that this connection has in a second.
    // 5961-7-1, 5961-7-2: the limit is per connection, so that nobody learns anything from another one's.
    pub(super) fn may_challenge(&mut self, cx: &mut Context<'_>) -> bool {
        let eighths = (cx.now.as_millis() / 125) as u16;
        if eighths.wrapping_sub(self.challenges_since) >= cx.config.habits.acks.challenge_eighths {
            self.challenges_since = eighths;
            self.rcv.challenges = 0;
        }
        if self.rcv.challenges >= cx.config.challenge_acks_per_second {
            cx.counters.challenge_acks_limited += 1;
            return false;
        }
        self.rcv.challenges += 1;
        cx.counters.challenge_acks += 1;
        true
    }

    /// Free receive memory from RCV.NXT on, in octets. Text out of order lies inside it.
    fn free_window(&self, capacity: u32) -> u32 {
        let waiting = u32::try_from(self.receive_buffer.readable()).unwrap_or(u32::MAX);
        capacity.saturating_sub(waiting)
    }

    /// The largest window that can be offered: the buffer, or as much of it as the window field can say.
    fn largest_window(&self, capacity: u32) -> u32 {
        // 7323-2.2-2: the window of a SYN or SYN-ACK is never scaled, so until both are through, no more is offered.
        let shift = if self.state().is_synchronized() { self.rcv.shift } else { WindowShift::default() };
        capacity.min(shift.scale(WireWindow(u16::MAX)))
    }

    /// The right edge to offer now.
    // 9293-SHLD-14: it never moves left of what was offered.
    // 7323-2.4-1: it is kept to the octet, whatever the window field can say of it.
    // 9293-MUST-39: it moves right only by min(buffer / 2, MSS) or more.
    fn next_edge(&self, capacity: u32, config: &TcpConfig) -> SeqNumber {
        let free = self.free_window(capacity);
        if config.habits.windows.offer != Windows::Steps {
            return self.next_edge_of_buffer(free, capacity, config);
        }
        let candidate = self.rcv.nxt + free.min(self.largest_window(capacity));
        let step = self.silly_window_step(capacity);
        if candidate.saturating_since(self.rcv.edge) >= step { candidate } else { self.rcv.edge }
    }

    /// The same where all of the buffer is window. Of an empty one no step is too small: the peer has all of it.
    #[cold]
    fn next_edge_of_buffer(&self, free: u32, capacity: u32, config: &TcpConfig) -> SeqNumber {
        let by_octets = config.habits.windows.offer != Windows::Whole || free == capacity;
        let step = if by_octets { 1 } else { self.silly_window_step(capacity) };
        let candidate = self.rcv.nxt + free;
        if candidate.saturating_since(self.rcv.edge) >= step { candidate } else { self.rcv.edge }
    }

    fn silly_window_step(&self, capacity: u32) -> u32 {
        (capacity / 2).min(self.rcv.full_size().max(self.segment_payload())).max(1)
    }

    /// What the next segment says of the window. `syn` says whether it has that bit.
    // 7323-2.2-2: only with SYN is it not scaled; an ACK or a FIN from SYN-RECEIVED is a segment like any other.
    pub(crate) fn offer(&self, syn: bool, cx: &Context<'_>) -> Offered {
        let capacity = self.shown_capacity(cx.config, cx.pool);
        let edge = self.next_edge(capacity, cx.config);
        let shift = if syn { WindowShift::default() } else { self.rcv.shift };
        let mut window = edge.since(self.rcv.nxt);
        if cx.config.habits.windows.offer == Windows::WholeSegments {
            window = window.next_multiple_of(1 << shift.count());
        }
        Offered { field: shift.unscale(window), edge, capacity }
    }

    /// Owes a window update once reading has made enough room.
    ///
    /// A step that is allowed is not yet worth a segment of its own: it should be an eighth of the largest window too.
    /// When the reader has taken everything, a closed window grows by more, so the peer cannot be left waiting.
    pub(super) fn owe_window_update(&mut self, cx: &Context<'_>) {
        if cx.config.habits.windows.offer == Windows::Told {
            return;
        }
        let capacity = self.shown_capacity(cx.config, cx.pool);
        let growth = self.next_edge(capacity, cx.config).saturating_since(self.rcv.edge);
        let worth = self.silly_window_step(capacity).max(self.largest_window(capacity) / 8);
        let offered = self.rcv.wnd();
        let doubles = growth >= offered && offered <= self.largest_window(capacity) / 2;
        if self.state().receives_text() && growth >= worth && (doubles || !cx.config.habits.windows.reluctant_updates) {
            self.owed.ack(AckOwed::Now, Why::WindowUpdate);
        }
    }

    /// Everything that a segment with an ACK settles, once it has left.
    pub(super) fn acknowledged_peer(&mut self, offered: &Offered) {
        self.rcv.shown = offered.capacity;
        self.rcv.edge = self.rcv.edge.max(offered.edge);
        self.rcv.last_ack = self.rcv.nxt;
        self.owed.ack = AckOwed::None;
        self.owed.dsack = None;
        self.deadlines.delayed_ack.cancel();
        self.rcv.quick_acks = self.rcv.quick_acks.saturating_sub(1);
    }
}

/// How long an acknowledgment may wait.
// 9293-MUST-40: below 0.5 s, whatever the configuration says.
fn delay(config: &TcpConfig) -> Duration {
    config.delayed_ack.min(Duration::from_millis(499))
}

/// An ACK that is owed is due now, for [`super::plan`].
pub(super) fn ack_is_due(connection: &Connection, now: Instant) -> bool {
    match connection.owed.ack {
        AckOwed::None => false,
        AckOwed::Delayed => connection.deadlines.delayed_ack.is_due(now),
        AckOwed::Now => true,
    }
}
