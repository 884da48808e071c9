//! What a path does to packets, as plain data.

use std::time::Duration;

use super::codel::CoDel;
use super::red::Red;

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
    /// Losses that come in bursts, beside `loss_per_million`.
    pub burst: Option<Burst>,
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
    /// The same in packets.
    pub queue_packets: Option<usize>,
    /// What the queue does beside dropping what finds no room.
    pub discipline: Discipline,
    /// The largest packet that passes, where that is less than the hosts think.
    pub narrow: Option<Narrow>,
}

/// A link that takes less than its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The largest packet that passes, in bytes.
    pub mtu: usize,
    /// The router before it tells the sender of what it has dropped (RFC 1191). Else the link is a black hole.
    pub tells: bool,
}

/// Losses in bursts (Gilbert and Elliott): a path that is now good, now bad, and changes by chance before each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Packets in a million before which a good path turns bad.
    pub begin_per_million: u32,
    /// Packets in a million before which a bad path turns good: a burst is 1,000,000 / this many packets long on average.
    pub end_per_million: u32,
    /// Packets in a million that are lost on a bad path.
    pub loss_per_million: u32,
}

/// How a queue is managed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Discipline {
    /// What finds no room is dropped, and nothing else.
    #[default]
    DropTail,
    /// Controlled delay (RFC 8289).
    CoDel(CoDel),
    /// Random early detection (RFC 2309 section 4).
    Red(Red),
}

impl Discipline {
    /// It marks the packets of those who do ECN instead of dropping them.
    pub fn marks(&self) -> bool {
        match self {
            Discipline::DropTail => false,
            Discipline::CoDel(codel) => codel.ecn,
            Discipline::Red(red) => red.ecn,
        }
    }
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

    /// The same with losses in bursts.
    #[must_use]
    pub fn burst(self, burst: Burst) -> Impairment {
        Impairment { burst: Some(burst), ..self }
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

    /// The same with a queue of so many packets.
    #[must_use]
    pub fn queue_packets(self, packets: usize) -> Impairment {
        Impairment { queue_packets: Some(packets), ..self }
    }

    /// The same with a queue that is managed so.
    #[must_use]
    pub fn discipline(self, discipline: Discipline) -> Impairment {
        Impairment { discipline, ..self }
    }

    /// The same with a link that takes less than its neighbours.
    #[must_use]
    pub fn narrow(self, narrow: Narrow) -> Impairment {
        Impairment { narrow: Some(narrow), ..self }
    }

    /// The time for which a packet of `len` bytes holds the line.
    pub fn time_on_line(&self, len: usize) -> Duration {
        let Some(rate) = self.rate_bits_per_second else { return Duration::ZERO };
        let nanos = len as u128 * 8 * 1_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
