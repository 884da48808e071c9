//! A bad network in virtual time: what a path does to the packets of one direction.
//!
//! A packet first waits in a queue for its turn on a line of limited rate, then meets its fate on the way: lost, changed,
//! doubled, delayed. Nothing here reads a clock, and the same seed gives the same fate.

mod codel;
mod ecn;
mod impairment;
mod red;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

pub use codel::CoDel;
pub use impairment::{Burst, Discipline, Impairment, Narrow};
pub use red::Red;
pub use schedule::Change;

use super::{RxChecksum, RxMeta};
use crate::rng::KeyedRng;
use crate::time::Instant;
use codel::CoDelState;
use red::{RedState, Verdict};
use schedule::Schedule;

/// What happened to the packets of one direction, counted in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImpairedCounters {
    /// Given to [`Impaired::send`].
    pub sent: u64,
    /// Handed out by [`Impaired::receive`], duplicates included.
    pub received: u64,
    /// Lost by chance, in bursts too.
    pub lost: u64,
    /// Dropped because the test's own function said so.
    pub dropped: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
    /// Dropped by the discipline of the queue.
    pub managed: u64,
    /// Marked with congestion experienced by the discipline of the queue.
    pub marked: u64,
    /// Lost because the path was down.
    pub cut: u64,
    /// Dropped because they were too large for the link.
    pub too_large: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Changed by one bit.
    pub corrupted: u64,
    /// Delayed so that others may overtake.
    pub reordered: u64,
}

/// Decides from a packet and its number (the first sent is 0) whether it is dropped; see [`Impaired::set_drop_if`].
pub type DropIf = Box<dyn FnMut(&[u8], u64) -> bool + Send>;

/// A packet at the end of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// From its IP header on.
    pub packet: Vec<u8>,
    /// When it arrived, which may be before it was asked for.
    pub arrived: Instant,
    /// As it was sent, except that nobody vouches for a packet that was changed.
    pub meta: RxMeta,
    /// By which its sender knows it; see [`Impaired::send_tagged`].
    pub tag: u64,
}

/// What befell one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was dropped or lost.
    Gone,
    /// One of its bits was flipped, so that its receiver will not take it.
    Corrupted,
    /// The queue has marked it.
    Marked,
    /// It has waited so long in the queue and goes on the line now.
    Waited(Duration),
}

/// One line of what is kept by [`Impaired::keep_log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When the packet was sent, or its turn in the queue came.
    pub at: Instant,
    /// Which packet.
    pub tag: u64,
    /// What befell it.
    pub event: Event,
}

/// One direction of an impaired path, with the packets on their way; see the module's text.
pub struct Impaired {
    impairment: Impairment,
    rng: KeyedRng,
    /// For what came later than the first seeds that shall be what they were.
    more_rng: KeyedRng,
    schedule: Schedule,
    down: bool,
    burst: bool,
    /// By arrival and then by order of sending; the number is unique.
    on_the_way: BTreeMap<(Instant, u64), OnTheWay>,
    next_number: u64,
    /// For each packet that has not left the line: when it will, and its length in bytes.
    queue: VecDeque<(Instant, usize)>,
    queued_bytes: usize,
    /// Packets whose turn is decided only when it comes (CoDel), and their bytes.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    codel: CoDelState,
    red: RedState,
    /// When the line has sent all that was given to it.
    line_free: Instant,
    drop_if: Option<DropIf>,
    counters: ImpairedCounters,
    carried_bytes: u64,
    log: Option<Vec<LogEntry>>,
}

struct OnTheWay {
    packet: Vec<u8>,
    meta: RxMeta,
    tag: u64,
}

/// A packet in a queue that is managed at its head.
struct Waiting {
    way: OnTheWay,
    fate: Fate,
    since: Instant,
}

/// The random part of a packet's fate. It is drawn whole for each packet, so that no outcome (nor a changed setting) moves
/// the random numbers of the packets behind it.
struct Fate {
    lost: bool,
    duplicated: bool,
    reordered: bool,
    corrupted: bool,
    corrupted_bit: u64,
    jitter: Duration,
}

impl Impaired {
    /// A direction without packets.
    pub fn new(impairment: Impairment, rng: KeyedRng) -> Impaired {
        Impaired {
            impairment,
            more_rng: KeyedRng::new(rng.clone().key()),
            rng,
            schedule: Schedule::default(),
            down: false,
            burst: false,
            on_the_way: BTreeMap::new(),
            next_number: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            codel: CoDelState::default(),
            red: RedState::default(),
            line_free: Instant::ZERO,
            drop_if: None,
            counters: ImpairedCounters::default(),
            carried_bytes: 0,
            log: None,
        }
    }

    /// What is done to packets that are sent from now on.
    pub fn impairment(&self) -> &Impairment {
        &self.impairment
    }

    /// Changes what is done to packets that are sent from now on. Those on their way arrive as planned.
    pub fn set_impairment(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    /// Lets the path change at a time to come, for packets that are sent from then on.
    pub fn schedule(&mut self, at: Instant, change: Change) {
        self.schedule.add(at, change);
    }

    /// Drops each packet for which `drop_if` says so, before the queue; for directed tests like "lose the first FIN".
    pub fn set_drop_if(&mut self, drop_if: Option<DropIf>) {
        self.drop_if = drop_if;
    }

    /// What happened so far.
    pub fn counters(&self) -> ImpairedCounters {
        self.counters
    }

    /// Bytes that were put on the line.
    pub fn carried_bytes(&self) -> u64 {
        self.carried_bytes
    }

    /// Keeps a log from now on of what befalls each packet. Its owner takes it by [`Impaired::take_log`], after each call.
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// Hands out what is in the log and empties it.
    pub fn take_log(&mut self) -> impl Iterator<Item = LogEntry> + '_ {
        self.log.iter_mut().flat_map(|log| log.drain(..))
    }

    /// Bytes in the queue at `now`, with the packet that is being sent.
    pub fn queued_bytes(&mut self, now: Instant) -> usize {
        self.take_turns(now);
        self.leave_line(now);
        self.queued_bytes + self.waiting_bytes
    }

    /// Sends a packet at `now`, which must not go back. `meta.len` is ignored.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>, meta: RxMeta) {
        self.send_tagged(now, packet, meta, 0);
    }

    /// As [`Impaired::send`], with a tag by which the packet is known in the log and at its arrival.
    pub fn send_tagged(&mut self, now: Instant, packet: Vec<u8>, meta: RxMeta, tag: u64) {
        self.take_turns(now);
        self.change(now);
        let meta = RxMeta { len: packet.len(), ..meta };
        let number = self.counters.sent;
        self.counters.sent += 1;
        let fate = self.draw_fate(packet.len());
        let red_draw = self.more_rng.below(1_000_000) as u32;
        if self.drop_if.as_mut().is_some_and(|drop_if| drop_if(&packet, number)) {
            self.counters.dropped += 1;
            return self.note(now, tag, Event::Gone);
        }
        if self.is_too_large(&packet) {
            self.counters.too_large += 1;
            return self.note(now, tag, Event::Gone);
        }
        if self.down {
            self.counters.cut += 1;
            return self.note(now, tag, Event::Gone);
        }
        if !self.has_room(now, packet.len()) {
            self.counters.overflowed += 1;
            return self.note(now, tag, Event::Gone);
        }
        let mut way = OnTheWay { packet, meta, tag };
        let discipline = self.impairment.discipline;
        match discipline {
            Discipline::CoDel(_) => {
                self.waiting_bytes += way.packet.len();
                self.waiting.push_back(Waiting { way, fate, since: now });
                self.take_turns(now);
                return;
            }
            Discipline::Red(red) if !self.passes_red(&red, now, &mut way, red_draw) => {
                self.counters.managed += 1;
                return self.note(now, tag, Event::Gone);
            }
            _ => {}
        }
        let left = self.enter_line(now, now, &way);
        self.travel(left, way, &fate);
    }

    /// The link does not take a packet of this length.
    pub fn is_too_large(&self, packet: &[u8]) -> bool {
        self.impairment.narrow.is_some_and(|narrow| packet.len() > narrow.mtu)
    }

    /// When the next packet arrives, if any is on its way. Where the queue is managed at its head, it may be that only the
    /// turn of a packet comes then.
    pub fn next_arrival(&self) -> Option<Instant> {
        let arrival = self.on_the_way.first_key_value().map(|(&(arrival, _), _)| arrival);
        let turn = self.waiting.front().map(|head| self.line_free.max(head.since));
        arrival.into_iter().chain(turn).min()
    }

    /// Hands out the next packet that has arrived by `now`: in order of arrival, and of sending for the same arrival.
    pub fn receive(&mut self, now: Instant) -> Option<Arrived> {
        self.take_turns(now);
        let next = self.on_the_way.first_entry()?;
        let (arrived, _) = *next.key();
        if arrived > now {
            return None;
        }
        let OnTheWay { packet, meta, tag } = next.remove();
        self.counters.received += 1;
        Some(Arrived { packet, arrived, meta, tag })
    }

    fn draw_fate(&mut self, len: usize) -> Fate {
        let Impairment { jitter, burst, .. } = self.impairment;
        let jitter_nanos = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
        let (turn, in_burst) = (self.more_rng.below(1_000_000), self.more_rng.below(1_000_000));
        let mut lost_in_burst = false;
        if let Some(burst) = burst {
            let chance = if self.burst { burst.end_per_million } else { burst.begin_per_million };
            self.burst ^= turn < u64::from(chance);
            lost_in_burst = self.burst && in_burst < u64::from(burst.loss_per_million);
        }
        Fate {
            lost: self.rng.chance(self.impairment.loss_per_million) | lost_in_burst,
            duplicated: self.rng.chance(self.impairment.duplicate_per_million),
            reordered: self.rng.chance(self.impairment.reorder_per_million),
            corrupted: self.rng.chance(self.impairment.corrupt_per_million),
            corrupted_bit: self.rng.below(len as u64 * 8),
            jitter: Duration::from_nanos(self.rng.below(jitter_nanos.saturating_add(1))),
        }
    }

    /// What the schedule says has changed by now.
    fn change(&mut self, now: Instant) {
        while let Some(change) = self.schedule.due(now) {
            match change {
                Change::Delay(delay) => self.impairment.delay = delay,
                Change::Rate(rate) => self.impairment.rate_bits_per_second = Some(rate),
                Change::Loss(per_million) => self.impairment.loss_per_million = per_million,
                Change::Down => self.down = true,
                Change::Up => self.down = false,
            }
        }
    }

    /// The queue takes a packet of `len` bytes.
    fn has_room(&mut self, now: Instant, len: usize) -> bool {
        let bytes = self.queued_bytes(now);
        let packets = self.queue.len() + self.waiting.len();
        let fits = |queued: usize, more: usize, limit: Option<usize>| {
            queued == 0 || queued.saturating_add(more) <= limit.unwrap_or(usize::MAX)
        };
        fits(bytes, len, self.impairment.queue_bytes) && fits(packets, 1, self.impairment.queue_packets)
    }

    /// RED lets the packet pass, perhaps with a mark.
    fn passes_red(&mut self, red: &Red, now: Instant, way: &mut OnTheWay, draw: u32) -> bool {
        let idle = (now - self.line_free, self.impairment.time_on_line(codel::MAX_PACKET));
        match self.red.arrives(red, self.queued_bytes, idle, draw) {
            Verdict::Pass => true,
            Verdict::Notify if red.ecn && ecn::mark(&mut way.packet) => {
                self.counters.marked += 1;
                self.note(now, way.tag, Event::Marked);
                true
            }
            Verdict::Notify | Verdict::Drop => false,
        }
    }

    /// Packets of a queue that is managed at its head, whose turn has come by `now`.
    fn take_turns(&mut self, now: Instant) {
        while let Some(head) = self.waiting.front() {
            let turn = self.line_free.max(head.since);
            if turn > now {
                return;
            }
            let wait = turn - head.since;
            let Some(Waiting { mut way, fate, since }) = self.waiting.pop_front() else { return };
            self.waiting_bytes -= way.packet.len();
            if let Discipline::CoDel(codel) = self.impairment.discipline
                && self.codel.drops(&codel, turn, wait, self.waiting_bytes)
            {
                if !(codel.ecn && ecn::mark(&mut way.packet)) {
                    self.counters.managed += 1;
                    self.note(turn, way.tag, Event::Gone);
                    continue;
                }
                self.counters.marked += 1;
                self.note(turn, way.tag, Event::Marked);
            }
            let left = self.enter_line(turn, since, &way);
            self.travel(left, way, &fate);
        }
    }

    /// Forgets packets that have left the line by now.
    fn leave_line(&mut self, now: Instant) {
        while let Some(&(leaves, len)) = self.queue.front()
            && leaves <= now
        {
            self.queue.pop_front();
            self.queued_bytes -= len;
        }
    }

    /// When a packet that may enter the line from `now` on, and has waited since `since`, has left it.
    fn enter_line(&mut self, now: Instant, since: Instant, way: &OnTheWay) -> Instant {
        let len = way.packet.len();
        let turn = self.line_free.max(now);
        self.note(turn, way.tag, Event::Waited(turn - since));
        self.leave_line(now);
        self.line_free = turn + self.impairment.time_on_line(len);
        self.queue.push_back((self.line_free, len));
        self.queued_bytes += len;
        self.carried_bytes += len as u64;
        self.line_free
    }

    /// A packet has left the line.
    fn travel(&mut self, left: Instant, mut way: OnTheWay, fate: &Fate) {
        if fate.lost {
            self.counters.lost += 1;
            return self.note(left, way.tag, Event::Gone);
        }
        let mut arrival = left + self.impairment.delay + fate.jitter;
        if fate.reordered {
            self.counters.reordered += 1;
            arrival += self.impairment.reorder_delay;
        }
        if fate.corrupted && !way.packet.is_empty() {
            self.counters.corrupted += 1;
            way.packet[(fate.corrupted_bit / 8) as usize] ^= 1 << (fate.corrupted_bit % 8);
            way.meta.checksum = RxChecksum::Unverified;
            self.note(left, way.tag, Event::Corrupted);
        }
        if fate.duplicated {
            self.counters.duplicated += 1;
            self.put_on_the_way(arrival, OnTheWay { packet: way.packet.clone(), ..way });
        }
        self.put_on_the_way(arrival, way);
    }

    fn put_on_the_way(&mut self, arrival: Instant, way: OnTheWay) {
        self.on_the_way.insert((arrival, self.next_number), way);
        self.next_number += 1;
    }

    fn note(&mut self, at: Instant, tag: u64, event: Event) {
        if let Some(log) = &mut self.log {
            log.push(LogEntry { at, tag, event });
        }
    }
}

impl fmt::Debug for Impaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Impaired")
            .field("impairment", &self.impairment)
            .field("on_the_way", &self.on_the_way.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
