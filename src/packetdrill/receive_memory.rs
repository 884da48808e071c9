//! How much a connection may receive, as Linux counts it: what arrives is charged with the memory that it lies in, and the
//! window is a part of the rest. Other personas leave it to the stack.
//!
//! The stack is told the result before anything leaves (`Windows::Told`); what Linux takes beyond the window, or drops inside
//! of it, is decided here before the stack sees it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::descriptor::Socket;
use super::host::Host;
use crate::stack::TcpHandle;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::receiver::AckOwed;
use crate::tcp::sequence::SeqNumber;
use crate::tcp::state::State;
use crate::tcp::why::Why;
use crate::time::Instant;

/// A connection begins with a half of its buffer for windows: 128 of 256 parts.
const HALF: u32 = 128;

/// Octets of memory that the record of one packet takes, and what its first part holds of the packet.
const RECORD: u32 = 256;
const FIRST_PART: u32 = 3_712;
/// What lies beside the octets in the first part.
const BESIDE: u32 = 64 + 320;
const PAGE: u32 = 4_096;

/// Segments with which a sender begins.
const INITIAL_SEGMENTS: u32 = 10;

/// Octets of memory that a packet of `len` octets lies in, as it comes through a TUN device: one part, and pages, in runs of
/// eight at most.
fn memory_of(len: u32) -> u32 {
    let first = (len.min(FIRST_PART) + BESIDE).next_power_of_two().max(512);
    let rest = len.saturating_sub(FIRST_PART).next_multiple_of(PAGE);
    first + RECORD + rest
}

/// What arrived, and the memory that it lies in until it is read.
#[derive(Clone, Copy, Debug)]
struct Held {
    end: SeqNumber,
    memory: u32,
}

/// A segment on its way to a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    /// Its ends: ours and the peer's.
    pub ends: (SocketAddr, SocketAddr),
    /// The connection, if there was one before it came.
    pub handle: Option<TcpHandle>,
    /// SEG.SEQ.
    pub seq: SeqNumber,
    /// Octets of text.
    pub len: u32,
    /// Octets of text in each segment that it was made of.
    pub segment: u32,
    /// Octets of the packet.
    pub packet: u32,
    /// It ends with a FIN.
    pub fin: bool,
    /// It has another flag that matters more than its text: SYN or RST.
    pub control: bool,
}

impl Incoming {
    fn end(&self) -> SeqNumber {
        self.seq + self.len
    }
}

/// Segments that were refused, as Linux counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// They ended beyond the window.
    pub beyond_window: u32,
    /// The window was closed.
    pub zero_window: u32,
    /// There was no memory for them.
    pub no_memory: u32,
}

/// The receive memory of one connection.
#[derive(Clone, Debug)]
pub(super) struct ReceiveMemory {
    /// The connection.
    pub handle: TcpHandle,
    /// What may be charged, and whether the application has said so.
    buffer: u32,
    locked: bool,
    /// Parts of 256 of the memory that are text.
    ratio: u32,
    /// The largest window.
    clamp: u32,
    /// What the window has grown to.
    threshold: u32,
    /// What counts as a segment.
    segment: u32,
    held: VecDeque<Held>,
    /// What the reader takes in a round trip, and since when and where that is measured.
    space: u32,
    since: (Instant, SeqNumber),
    /// What was dropped in the window: for it there was no memory.
    no_memory: bool,
    /// Where the window shrinks with the memory (`tcp_shrink_window`): the right edge of the most that was ever offered.
    shrinks: bool,
    most_edge: SeqNumber,
}

fn reader(connection: &Connection) -> SeqNumber {
    connection.rcv.nxt - u32::from(connection.fin_received()) - connection.receive_buffer.readable() as u32
}

fn window_now(connection: &Connection) -> u32 {
    connection.rcv.edge.saturating_since(connection.rcv.nxt)
}

/// The window field of the last segment in octets.
fn last_window(connection: &Connection) -> u32 {
    connection.rcv.edge.saturating_since(connection.rcv.last_ack)
}

impl ReceiveMemory {
    /// Of a new connection, whose buffer is so large.
    fn new(handle: TcpHandle, connection: &Connection, buffer: u32, locked: bool, now: Instant) -> ReceiveMemory {
        let mss = u32::from(connection.rcv.mss);
        let full = buffer / 2;
        // A segment is kept free.
        let clamp = if full > 2 * mss { (2 * mss).max(full - mss) } else { full };
        let window = last_window(connection);
        let threshold = window.min(clamp);
        ReceiveMemory {
            handle,
            buffer,
            locked,
            ratio: HALF,
            clamp,
            threshold,
            segment: u32::from(connection.snd.mss).min(mss).min(window / 2).clamp(88, 536),
            held: VecDeque::new(),
            space: threshold.min(window).min(INITIAL_SEGMENTS * mss),
            since: (now, connection.rcv.nxt),
            no_memory: false,
            shrinks: false,
            most_edge: connection.rcv.edge,
        }
    }

    fn charged(&self) -> u32 {
        self.held.iter().map(|held| held.memory).sum()
    }

    fn part(&self, memory: u32) -> u32 {
        u32::try_from((u64::from(memory) * u64::from(self.ratio)) >> 8).unwrap_or(u32::MAX)
    }

    fn free(&self) -> u32 {
        self.part(self.buffer.saturating_sub(self.charged()))
    }

    fn set_clamp(&mut self, clamp: u32, window: u32) {
        let clamp = clamp.max(1_152);
        if clamp < self.clamp {
            self.threshold = self.threshold.min(clamp);
        } else {
            self.threshold = self.threshold.max(window.min(clamp));
        }
        self.clamp = clamp;
    }

    /// Learns from a segment how much of its memory is text.
    fn measure(&mut self, incoming: &Incoming, memory: u32, connection: &Connection) {
        if incoming.segment < self.segment {
            return;
        }
        if incoming.segment != self.segment {
            let ratio = (u64::from(incoming.len) * 256 / u64::from(memory.max(1))).clamp(1, 255) as u32;
            if ratio != self.ratio {
                self.ratio = ratio;
                self.set_clamp(self.part(self.buffer), last_window(connection));
                self.space = self.space.min(self.clamp);
            }
        }
        self.segment = incoming.segment.min(u32::from(connection.rcv.mss));
    }

    /// Lets the window grow by what was received.
    fn grow(&mut self, incoming: &Incoming, memory: u32, most: u32, connection: &Connection) {
        let room = self.clamp.min(self.free()).saturating_sub(self.threshold);
        if room == 0 || incoming.len < 128 {
            return;
        }
        let mss = u32::from(connection.rcv.mss);
        let step = if self.part(memory) <= incoming.len {
            2 * mss
        } else {
            let (mut memory, mut window, mut step) = (self.part(memory) / 2, self.part(most) / 2, 0);
            while self.threshold <= window && step == 0 {
                step = if memory <= incoming.len { 2 * self.segment } else { 0 };
                (memory, window) = (memory / 2, window / 2);
            }
            step
        };
        if step > 0 {
            self.threshold += room.min(step.max(2 * incoming.len));
        }
    }

    /// A segment of text that was not refused.
    fn take_in(&mut self, incoming: &Incoming, most: u32, accepted: bool, connection: &Connection) {
        let end = incoming.end();
        if end.le(reader(connection)) || self.held.iter().any(|held| held.end == end) {
            return;
        }
        let held = Held { end, memory: memory_of(incoming.packet) };
        let in_order = end.le(connection.rcv.nxt);
        if in_order {
            self.held.push_back(held);
        }
        self.measure(incoming, held.memory, connection);
        self.grow(incoming, held.memory, most, connection);
        if !in_order {
            self.held.push_back(held);
            if accepted {
                self.grow_buffer(self.space, end.since(connection.rcv.nxt), most);
            }
        }
        self.no_memory = false;
    }

    /// The buffer follows what the reader takes.
    fn grow_buffer(&mut self, taken: u32, beyond: u32, most: u32) {
        if self.locked {
            return;
        }
        let wanted = u64::from(taken) * 2 + u64::from(beyond);
        let buffer = u32::try_from(wanted * 256 / u64::from(self.ratio)).unwrap_or(u32::MAX).min(most);
        if buffer > self.buffer {
            self.buffer = buffer;
            self.clamp = self.part(buffer);
        }
    }

    /// The window to offer now.
    fn window(&self, connection: &Connection) -> u32 {
        if self.no_memory {
            return 0;
        }
        let unit = connection.rcv.shift.count();
        let align = |octets: u32| octets.next_multiple_of(1 << unit);
        let (full, free) = (self.part(self.buffer), self.free());
        let segment = self.segment.min(full).max(1);
        let free = if self.shrinks && unit > 0 { free >> unit << unit } else { free };
        let wanted = if free < full / 2 && (free < full >> 4 || free < segment) {
            0
        } else if self.shrinks && unit > 0 {
            return if free > self.threshold { align(self.threshold) } else { free };
        } else {
            let free = free.min(self.threshold);
            let last = last_window(connection);
            if unit > 0 {
                align(free)
            } else if i64::from(last) <= i64::from(free) - i64::from(segment) || last > free {
                free - free % segment
            } else if segment == full && free > last + full / 2 {
                free
            } else {
                last
            }
        };
        let now = window_now(connection);
        let wanted = if wanted < now { align(now) } else { wanted };
        wanted.min(u32::from(u16::MAX) << unit)
    }

    /// Less than half is free: the reader is late, and ACKs need not hurry.
    fn is_half_full(&self) -> bool {
        self.free() < self.part(self.buffer) / 2
    }

    /// Forgets what was read.
    fn forget_read(&mut self, connection: &Connection) {
        let reader = reader(connection);
        self.held.retain(|held| held.end.gt(reader));
    }
}

/// Tells the stack what to offer.
fn tell(memory: &mut ReceiveMemory, connection: &mut Connection) {
    memory.forget_read(connection);
    let window = memory.window(connection);
    if memory.no_memory || memory.shrinks {
        connection.rcv.edge = connection.rcv.nxt + window.min(window_now(connection));
    }
    memory.most_edge = memory.most_edge.max(connection.rcv.nxt + window);
    connection.rcv.capacity = connection.receive_buffer.readable() as u32 + window;
}

/// An ACK of text that is owed at once, as Linux sees it: it waits where the reader is late.
fn delay_ack(memory: &ReceiveMemory, connection: &mut Connection, cx: &Context<'_>) {
    let owed = &mut connection.owed;
    if !memory.is_half_full() || owed.ack != AckOwed::Now || owed.why != Why::Ack || owed.dsack.is_some() {
        return;
    }
    connection.rcv.quick_acks = 0;
    let unacknowledged = connection.rcv.nxt.since(connection.rcv.last_ack);
    if unacknowledged <= memory.segment || memory.window(connection) < last_window(connection) {
        connection.owed.ack = AckOwed::Delayed;
        connection.deadlines.delayed_ack.arm(cx.now + cx.config.delayed_ack);
    }
}

impl Host {
    /// The receive buffer that nobody has set: at first, and at most.
    fn receive_bounds(&self) -> (u32, u32) {
        let rmem = self.settings.knobs.list("net.ipv4.tcp_rmem");
        (rmem.get(1).copied().unwrap_or(540_000), rmem.get(2).copied().unwrap_or(15 << 20))
    }

    fn receive_memory(&mut self, handle: TcpHandle) -> Option<usize> {
        if let Some(index) = self.receive.iter().position(|memory| memory.handle == handle) {
            return Some(index);
        }
        let connection = self.stack.tcp_connection(handle)?;
        if !connection.state().is_synchronized() && connection.state() != State::SynReceived {
            return None;
        }
        let set = connection.options.receive_capacity;
        let buffer = set.map_or(self.receive_bounds().0, |octets| octets.saturating_mul(2));
        // What the handshake has offered, also where its window field could not say all of it.
        let first = (buffer / 2).max(1);
        let mss = u32::from(connection.rcv.mss) - if connection.agreed.timestamps { 12 } else { 0 };
        let offered = if first > mss { first - first % mss } else { first };
        self.stack.with_tcp(handle, |connection, _| {
            connection.rcv.edge = connection.rcv.edge.max(connection.rcv.irs + 1 + offered);
            if connection.statistics.octets_received == 0 && !connection.fin_received() {
                connection.rcv.last_ack = connection.rcv.nxt;
            }
        });
        let connection = self.stack.tcp_connection(handle)?;
        self.receive.push(ReceiveMemory::new(handle, connection, buffer, set.is_some(), self.now));
        Some(self.receive.len() - 1)
    }

    /// The right edge of the window before a segment is looked at.
    pub(super) fn window_edge(&mut self, incoming: &Incoming) -> SeqNumber {
        let Some(handle) = incoming.handle.filter(|&handle| self.receive_memory(handle).is_some()) else {
            return incoming.seq;
        };
        self.stack.tcp_connection(handle).map_or(incoming.seq, |connection| connection.rcv.edge)
    }

    /// A segment comes to a connection: false where it is dropped, and answered.
    // As tcp_sequence and tcp_data_queue of Linux: beyond the window one segment is taken whole, if nothing waits for the reader.
    pub(super) fn admit(&mut self, incoming: &Incoming) -> bool {
        let shrinks = self.settings.knobs.number("net.ipv4.tcp_shrink_window") == Some(1);
        let Some(handle) = incoming.handle else { return true };
        let Some(index) = self.receive_memory(handle) else { return true };
        let Some(connection) = self.stack.tcp_connection(handle) else { return true };
        let memory = &mut self.receive[index];
        memory.shrinks = shrinks;
        let (nxt, end, waits) = (connection.rcv.nxt, incoming.end(), connection.receive_buffer.readable() > 0);
        let (edge, most) = (connection.rcv.edge.max(nxt), memory.most_edge.max(nxt));
        if incoming.control || !connection.state().receives_text() {
            return true;
        }
        let (seq, text) = (incoming.seq, incoming.len > 0);
        let mut needed = end + u32::from(incoming.fin);
        if !text && !incoming.fin {
            // An ACK counts as far as any window went.
            needed = if seq.ge(edge) && seq.le(most) { seq + 1 } else { nxt };
        } else if seq.gt(nxt) && seq.ge(edge) {
            self.refused.beyond_window += 1;
            return true;
        } else if end.ge(nxt) {
            let beyond = text && waits && end.gt(most);
            let closed = text && edge == nxt;
            let no_room = text && memory.charged() > memory.buffer && (waits || seq.gt(nxt));
            if beyond || closed || no_room {
                let counter = match (beyond, closed) {
                    (true, _) => &mut self.refused.beyond_window,
                    (false, true) => &mut self.refused.zero_window,
                    (false, false) => &mut self.refused.no_memory,
                };
                *counter += 1;
                memory.no_memory |= no_room && !beyond && !closed;
                self.stack.with_tcp(handle, |connection, _| {
                    connection.owed.ack(AckOwed::Now, Why::Unacceptable);
                    if !beyond && seq.lt(nxt) && connection.agreed.sack {
                        connection.owed.dsack = Some((seq, nxt));
                    }
                    tell(memory, connection);
                });
                return false;
            }
        }
        if needed.gt(edge) {
            self.stack.with_tcp(handle, |connection, _| {
                connection.rcv.edge = needed;
                connection.rcv.capacity = connection.rcv.capacity.max(needed.since(nxt));
            });
        }
        true
    }

    /// The stack has had this segment, before which the window ended there.
    pub(super) fn received(&mut self, incoming: &Incoming, edge: SeqNumber) {
        let Some(handle) = incoming.handle.or_else(|| self.stack.tcp_between(incoming.ends.0, incoming.ends.1)) else {
            return;
        };
        let most = self.receive_bounds().1;
        let accepted = self.table.values().any(|entry| entry.socket == Socket::Tcp(handle));
        let Some(index) = self.receive_memory(handle) else { return };
        let memory = &mut self.receive[index];
        self.stack.with_tcp(handle, |connection, cx| {
            if incoming.handle.is_some() {
                connection.rcv.edge = edge.max(connection.rcv.nxt);
            }
            if incoming.len > 0 && !connection.orphan {
                memory.take_in(incoming, most, accepted, connection);
            }
            tell(memory, connection);
            delay_ack(memory, connection, cx);
            if memory.charged() > memory.buffer && incoming.end().le(connection.rcv.nxt) {
                // There was no memory for it, and it was taken all the same.
                connection.owed.ack(AckOwed::Now, Why::NoRoomAck);
            }
        });
    }

    /// Something was read: the window may have grown by so much that the peer should know.
    pub(super) fn reader_came(&mut self, handle: TcpHandle) {
        let most = self.receive_bounds().1;
        let now = self.now;
        let Some(index) = self.receive_memory(handle) else { return };
        let memory = &mut self.receive[index];
        self.stack.with_tcp(handle, |connection, _| {
            memory.forget_read(connection);
            let taken = reader(connection).since(memory.since.1);
            let over = connection.rtt.srtt().is_some_and(|rtt| now.saturating_since(memory.since.0) >= rtt);
            if over {
                if taken > memory.space {
                    memory.space = taken;
                    memory.grow_buffer(taken, 0, most);
                }
                memory.since = (now, reader(connection));
            }
            memory.no_memory = false;
            let before = window_now(connection);
            tell(memory, connection);
            let window = memory.window(connection);
            let told = 2 * before <= memory.clamp && window > 0 && window >= 2 * before;
            if told && connection.state().receives_text() {
                connection.owed.ack(AckOwed::Now, Why::WindowUpdate);
            }
        });
    }

    /// The window of a connection may have changed.
    pub(super) fn offer_windows(&mut self, handle: TcpHandle) {
        let Some(index) = self.receive_memory(handle) else { return };
        let memory = &mut self.receive[index];
        self.stack.with_tcp(handle, |connection, _| tell(memory, connection));
    }

    /// `SO_RCVBUF` was set on a connection.
    pub(super) fn receive_buffer_set(&mut self, handle: TcpHandle, octets: u32) {
        if let Some(index) = self.receive_memory(handle) {
            let memory = &mut self.receive[index];
            (memory.buffer, memory.locked) = (octets.saturating_mul(2), true);
            self.offer_windows(handle);
        }
    }

    /// What is charged, and what may be.
    pub(super) fn receive_memory_of(&self, handle: TcpHandle) -> Option<(u32, u32)> {
        let memory = self.receive.iter().find(|memory| memory.handle == handle)?;
        Some((memory.charged(), memory.buffer))
    }

    /// Forgets the memory of connections that are gone.
    pub(super) fn forget_receive_memory(&mut self) {
        let stack = &self.stack;
        self.receive.retain(|memory| stack.tcp_connection(memory.handle).is_some());
    }
}
