//! A bad network in virtual time: what a path does to the packets of one direction.
//!
//! A packet first waits in a drop-tail queue for its turn on a line of limited rate, then meets its fate on the way: lost,
//! changed, doubled, delayed. Nothing here reads a clock, and the same seed gives the same fate.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::{RxChecksum, RxMeta};
use crate::rng::KeyedRng;
use crate::time::Instant;

/// What a path does to packets. The default is a perfect path: nothing is lost and everything arrives at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Impairment {
    /// Bits per second that the line carries, counted from the IP header on; `None`: unlimited. 0 counts as 1.
    pub rate_bits_per_second: Option<u64>,
    /// The time from the end of the line to the arrival.
    pub delay: Duration,
    /// Each packet is delayed by up to this much more, evenly distributed. A jitter beyond the distance between packets
    /// reorders them.
    pub jitter: Duration,
    /// Packets in a million that are lost, after they have used the line.
    pub loss_per_million: u32,
    /// Packets in a million that are delayed by `reorder_delay` more, so that later ones overtake them.
    pub reorder_per_million: u32,
    /// The additional delay of a reordered packet.
    pub reorder_delay: Duration,
    /// Packets in a million that arrive twice, the second right behind the first.
    pub duplicate_per_million: u32,
    /// Packets in a million in which one bit is flipped.
    pub corrupt_per_million: u32,
    /// The bytes that the queue before the line holds, with the packet that is being sent; more are dropped. `None`:
    /// unlimited. A line that is idle takes any packet. Only with a rate does a queue form.
    pub queue_bytes: Option<usize>,
}

impl Impairment {
    /// A path that does nothing to packets.
    pub fn perfect() -> Impairment {
        Impairment::default()
    }

    /// The same with a line of this many bits per second.
    #[must_use]
    pub fn rate(self, bits_per_second: u64) -> Impairment {
        Impairment { rate_bits_per_second: Some(bits_per_second), ..self }
    }

    /// The same with this one-way delay.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Impairment {
        Impairment { delay, ..self }
    }

    /// The same with up to this much additional delay per packet.
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Impairment {
        Impairment { jitter, ..self }
    }

    /// The same with so many packets in a million lost.
    #[must_use]
    pub fn loss(self, per_million: u32) -> Impairment {
        Impairment { loss_per_million: per_million, ..self }
    }

    /// The same with so many packets in a million delayed by `delay` more.
    #[must_use]
    pub fn reorder(self, per_million: u32, delay: Duration) -> Impairment {
        Impairment { reorder_per_million: per_million, reorder_delay: delay, ..self }
    }

    /// The same with so many packets in a million doubled.
    #[must_use]
    pub fn duplicate(self, per_million: u32) -> Impairment {
        Impairment { duplicate_per_million: per_million, ..self }
    }

    /// The same with one bit flipped in so many packets in a million.
    #[must_use]
    pub fn corrupt(self, per_million: u32) -> Impairment {
        Impairment { corrupt_per_million: per_million, ..self }
    }

    /// The same with a queue of so many bytes.
    #[must_use]
    pub fn queue(self, bytes: usize) -> Impairment {
        Impairment { queue_bytes: Some(bytes), ..self }
    }

    /// The time for which a packet of `len` bytes holds the line.
    fn time_on_line(&self, len: usize) -> Duration {
        let Some(rate) = self.rate_bits_per_second else { return Duration::ZERO };
        let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What happened to the packets of one direction, counted in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImpairedCounters {
    /// Given to [`Impaired::send`].
    pub sent: u64,
    /// Handed out by [`Impaired::receive`], duplicates included.
    pub received: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped because the test's own function said so.
    pub dropped: u64,
    /// Dropped because the queue was full.
    pub overflowed: u64,
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
}

/// One direction of an impaired path, with the packets on their way; see the module's text.
pub struct Impaired {
    impairment: Impairment,
    rng: KeyedRng,
    /// By arrival and then by order of sending; the number is unique.
    on_the_way: BTreeMap<(Instant, u64), (Vec<u8>, RxMeta)>,
    next_number: u64,
    /// For each packet that has not left the line: when it will, and its length in bytes.
    queue: VecDeque<(Instant, usize)>,
    queued_bytes: usize,
    /// When the line has sent all that was given to it.
    line_free: Instant,
    drop_if: Option<DropIf>,
    counters: ImpairedCounters,
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
            rng,
            on_the_way: BTreeMap::new(),
            next_number: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            line_free: Instant::ZERO,
            drop_if: None,
            counters: ImpairedCounters::default(),
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

    /// Drops each packet for which `drop_if` says so, before the queue; for directed tests like "lose the first FIN".
    pub fn set_drop_if(&mut self, drop_if: Option<DropIf>) {
        self.drop_if = drop_if;
    }

    /// What happened so far.
    pub fn counters(&self) -> ImpairedCounters {
        self.counters
    }

    /// Bytes in the queue at `now`, with the packet that is being sent.
    pub fn queued_bytes(&mut self, now: Instant) -> usize {
        while let Some(&(leaves, len)) = self.queue.front()
            && leaves <= now
        {
            self.queue.pop_front();
            self.queued_bytes -= len;
        }
        self.queued_bytes
    }

    /// Sends a packet at `now`, which must not go back. `meta.len` is ignored.
    pub fn send(&mut self, now: Instant, mut packet: Vec<u8>, meta: RxMeta) {
        let mut meta = RxMeta { len: packet.len(), ..meta };
        let number = self.counters.sent;
        self.counters.sent += 1;
        let fate = self.draw_fate(packet.len());
        if self.drop_if.as_mut().is_some_and(|drop_if| drop_if(&packet, number)) {
            self.counters.dropped += 1;
            return;
        }
        let Some(left) = self.pass_line(now, packet.len()) else {
            self.counters.overflowed += 1;
            return;
        };
        if fate.lost {
            self.counters.lost += 1;
            return;
        }
        let mut arrival = left + self.impairment.delay + fate.jitter;
        if fate.reordered {
            self.counters.reordered += 1;
            arrival += self.impairment.reorder_delay;
        }
        if fate.corrupted && !packet.is_empty() {
            self.counters.corrupted += 1;
            packet[(fate.corrupted_bit / 8) as usize] ^= 1 << (fate.corrupted_bit % 8);
            meta.checksum = RxChecksum::Unverified;
        }
        if fate.duplicated {
            self.counters.duplicated += 1;
            self.put_on_the_way(arrival, packet.clone(), meta);
        }
        self.put_on_the_way(arrival, packet, meta);
    }

    /// When the next packet arrives, if any is on its way.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.on_the_way.first_key_value().map(|(&(arrival, _), _)| arrival)
    }

    /// Hands out the next packet that has arrived by `now`: in order of arrival, and of sending for the same arrival.
    pub fn receive(&mut self, now: Instant) -> Option<Arrived> {
        let next = self.on_the_way.first_entry()?;
        let (arrived, _) = *next.key();
        if arrived > now {
            return None;
        }
        let (packet, meta) = next.remove();
        self.counters.received += 1;
        Some(Arrived { packet, arrived, meta })
    }

    fn draw_fate(&mut self, len: usize) -> Fate {
        let Impairment { jitter, .. } = self.impairment;
        let jitter_nanos = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
        Fate {
            lost: self.rng.chance(self.impairment.loss_per_million),
            duplicated: self.rng.chance(self.impairment.duplicate_per_million),
            reordered: self.rng.chance(self.impairment.reorder_per_million),
            corrupted: self.rng.chance(self.impairment.corrupt_per_million),
            corrupted_bit: self.rng.below(len as u64 * 8),
            jitter: Duration::from_nanos(self.rng.below(jitter_nanos.saturating_add(1))),
        }
    }

    /// When a packet of `len` bytes has left the line, or nothing if the queue has no room.
    fn pass_line(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let queued = self.queued_bytes(now);
        let limit = self.impairment.queue_bytes.unwrap_or(usize::MAX);
        if queued > 0 && queued.saturating_add(len) > limit {
            return None;
        }
        self.line_free = self.line_free.max(now) + self.impairment.time_on_line(len);
        self.queue.push_back((self.line_free, len));
        self.queued_bytes += len;
        Some(self.line_free)
    }

    fn put_on_the_way(&mut self, arrival: Instant, packet: Vec<u8>, meta: RxMeta) {
        self.on_the_way.insert((arrival, self.next_number), (packet, meta));
        self.next_number += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn impaired(impairment: Impairment, seed: u64) -> Impaired {
        Impaired::new(impairment, KeyedRng::from_seed(seed))
    }

    /// Sends `count` packets of `len` bytes, one each `gap`; the first four bytes are the number.
    fn send_many(path: &mut Impaired, count: u32, len: usize, gap: Duration) {
        for number in 0..count {
            let mut packet = vec![0; len];
            packet[..4].copy_from_slice(&number.to_be_bytes());
            path.send(Instant::ZERO + gap * number, packet, RxMeta::plain(len));
        }
    }

    fn receive_all(path: &mut Impaired) -> Vec<(u64, u32)> {
        let end = Instant::from_nanos(u64::MAX);
        let number = |packet: &[u8]| u32::from_be_bytes(packet[..4].try_into().unwrap());
        std::iter::from_fn(|| path.receive(end)).map(|a| (a.arrived.as_nanos(), number(&a.packet))).collect()
    }

    #[test]
    fn a_perfect_path_delivers_at_once_and_in_order() {
        let mut path = impaired(Impairment::perfect(), 1);
        send_many(&mut path, 3, 40, Duration::ZERO);
        assert_eq!(path.next_arrival(), Some(Instant::ZERO));
        assert_eq!(receive_all(&mut path), [(0, 0), (0, 1), (0, 2)]);
        assert_eq!(path.counters(), ImpairedCounters { sent: 3, received: 3, ..Default::default() });
    }

    #[test]
    fn nothing_arrives_before_its_time() {
        let mut path = impaired(Impairment::perfect().delay(5 * MS), 1);
        path.send(Instant::from_millis(10), vec![1], RxMeta::plain(1));
        assert_eq!(path.next_arrival(), Some(Instant::from_millis(15)));
        assert_eq!(path.receive(Instant::from_nanos(14_999_999)), None);
        // The arrival is told as it was, however late somebody asks.
        assert_eq!(path.receive(Instant::from_millis(99)).unwrap().arrived, Instant::from_millis(15));
        assert_eq!(path.next_arrival(), None);
    }

    #[test]
    fn the_line_sends_one_packet_after_the_other() {
        // 1,000 bytes at 8 Mbit/s are 1 ms each.
        let mut path = impaired(Impairment::perfect().rate(8_000_000).delay(10 * MS), 1);
        send_many(&mut path, 3, 1000, Duration::ZERO);
        assert_eq!(path.queued_bytes(Instant::from_micros(1_500)), 2000);
        assert_eq!(receive_all(&mut path), [(11_000_000, 0), (12_000_000, 1), (13_000_000, 2)]);
        path.send(Instant::from_millis(50), vec![0; 1000], RxMeta::plain(1000));
        assert_eq!(path.next_arrival(), Some(Instant::from_millis(61)), "an idle line starts anew");
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        let mut path = impaired(Impairment::perfect().rate(8_000_000).queue(2500), 1);
        send_many(&mut path, 5, 1000, Duration::ZERO);
        assert_eq!(path.counters().overflowed, 3);
        path.send(Instant::from_millis(1), vec![0, 0, 0, 9, 0], RxMeta::plain(5));
        assert_eq!(receive_all(&mut path).iter().map(|&(_, number)| number).collect::<Vec<_>>(), [0, 1, 9]);
        path.send(Instant::from_secs(1), vec![0; 9000], RxMeta::plain(9000));
        assert_eq!(path.counters().overflowed, 3, "an idle line takes any packet");
    }

    #[test]
    fn chances_are_met_and_repeat_by_seed() {
        let bad = Impairment::perfect()
            .delay(20 * MS)
            .jitter(MS)
            .loss(100_000)
            .duplicate(50_000)
            .corrupt(20_000)
            .reorder(30_000, 40 * MS);
        let run = |seed| {
            let mut path = impaired(bad, seed);
            send_many(&mut path, 10_000, 100, 2 * MS);
            (receive_all(&mut path), path.counters())
        };
        let (arrived, counters) = run(7);
        assert_eq!((arrived.clone(), counters), run(7));
        assert_ne!(arrived, run(8).0);
        assert!((900..1100).contains(&counters.lost), "{counters:?}");
        assert!((390..510).contains(&counters.duplicated), "{counters:?}");
        assert!((130..230).contains(&counters.corrupted), "{counters:?}");
        assert!((210..330).contains(&counters.reordered), "{counters:?}");
        assert_eq!(counters.received, counters.sent - counters.lost + counters.duplicated);
        assert!(arrived.is_sorted_by_key(|&(at, _)| at));
    }

    #[test]
    fn one_packets_fate_does_not_move_the_next() {
        let lost = |impairment: Impairment| {
            let mut path = impaired(impairment, 3);
            send_many(&mut path, 1000, 50, MS);
            let arrived: Vec<_> = receive_all(&mut path).into_iter().map(|(_, number)| number).collect();
            (0..1000).filter(|number| !arrived.contains(number)).collect::<Vec<u32>>()
        };
        let plain = Impairment::perfect().loss(50_000);
        assert!(!lost(plain).is_empty());
        assert_eq!(lost(plain), lost(plain.duplicate(500_000).jitter(10 * MS)));
    }

    #[test]
    fn corruption_flips_one_bit_and_ends_the_vouching() {
        let mut path = impaired(Impairment::perfect().corrupt(1_000_000), 1);
        let meta = RxMeta { checksum: RxChecksum::Verified, ..RxMeta::plain(64) };
        path.send(Instant::ZERO, vec![0; 64], meta);
        let arrived = path.receive(Instant::ZERO).unwrap();
        assert_eq!(arrived.packet.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(arrived.meta, RxMeta::plain(64));
    }

    #[test]
    fn a_directed_test_chooses_its_victims() {
        let mut path = impaired(Impairment::perfect(), 1);
        path.set_drop_if(Some(Box::new(|packet, number| number == 1 || packet[3] == 3)));
        send_many(&mut path, 5, 40, MS);
        assert_eq!(receive_all(&mut path).iter().map(|&(_, number)| number).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(path.counters().dropped, 2);
    }
}
