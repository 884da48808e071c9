//! How large the buffers of a connection are: as much as its path and its application can use, and not more.
//!
//! A connection begins with a modest receive buffer, so that on a short path its text stays in the processor's cache. The
//! reader shows what it can use: what it takes within one round trip is what the path carries in that time. While that is
//! more than half of the buffer, the window may be what holds the peer back, and the buffer grows. The send buffer needs no
//! memory of its own: it follows what may be in flight.
//!
//! A size that somebody has set is left alone, as Linux does it with SO_RCVBUF and SO_SNDBUF.

use std::time::Duration;

use super::config::{SocketOptions, TcpConfig};
use super::connection::{Connection, Context};
use super::habits::Windows;
use super::recovery::rtt;
use super::segment::Segment;
use super::sequence::SeqNumber;
use crate::buffer::Pool;
use crate::time::Instant;

/// The buffer grows to this many times what the reader takes in one round trip. Slow start doubles what comes in the next
/// one, and the measured time need not begin where a flight does.
const HEADROOM: u32 = 4;

/// A writer may be late by one part in so many of a round trip.
const WRITERS_SHARE: u32 = 4;

/// A window beyond the first one is offered only as long as it is at most one in so many octets of the memory that is free.
const SHARE_OF_MEMORY: usize = 4;

/// Of the packets that the device's queue holds, one in so many is not for the text of one connection.
const SPARE_IN_QUEUE: u64 = 8;

/// What the reader of a connection is measured by: text that arrives, and text that is taken. What arrives and is not taken
/// needs no larger buffer, and what has waited for a reader that slept is no sign of speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderTuning {
    /// Nobody has set the size.
    pub enabled: bool,
    /// When the measurement began, in microseconds. After more than an hour without a read it is not known how long ago
    /// that is; one measurement is wrong then, by less than what an hour's silence costs.
    since: u32,
    /// RCV.NXT then.
    from: SeqNumber,
    /// How far the reader was then: the low 32 bits of its position.
    read: u32,
    /// A hole was filled since then: for that the reader had to wait.
    pub waited: bool,
    /// The shortest round trip that echoed timestamps have shown since then, in milliseconds; none is longer than a minute.
    echoed: u16,
}

/// What has come since a measurement began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Octets that have arrived and octets that the reader has taken: the fewer of them.
    pub octets: u32,
    /// In this time.
    pub elapsed: Duration,
    /// The round-trip time, if it is known.
    pub round_trip: Option<Duration>,
    /// Octets that the buffer may hold.
    pub capacity: u32,
    /// A hole in the text has kept the reader waiting: that it came late is not its own doing.
    pub waited: bool,
}

/// The new capacity, or nothing before the measurement has taken a round trip.
pub fn grown(taken: &Taken) -> Option<u32> {
    let Taken { octets, elapsed, round_trip, capacity, waited } = *taken;
    let much = octets > capacity / 2;
    let over = match round_trip {
        // What is much already before the time is over need not wait for it: slow start does not wait either.
        Some(round_trip) => much || elapsed >= round_trip,
        // As much as a whole buffer takes at least one round trip, whatever that may be.
        None => octets >= capacity,
    };
    if !over {
        return None;
    }
    // A reader that comes late does not take more in a round trip. It may be late by as much as threads are.
    let counted = round_trip.unwrap_or(elapsed) + rtt::GRANULARITY;
    let octets = if elapsed > counted && !waited { scaled(octets, counted, elapsed) } else { octets };
    Some(if octets > capacity / 2 { octets.saturating_mul(HEADROOM) } else { capacity })
}

/// `octets * part / whole`.
fn scaled(octets: u32, part: Duration, whole: Duration) -> u32 {
    u32::try_from(u128::from(octets) * part.as_nanos() / whole.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// Octets that may be queued while so many are in flight and so many may be: beside those in flight, as many as are sent
/// until a writer that was woken has come. What waits longer than that only grows cold in the processor's cache.
pub fn send_capacity(flight: u32, window: u32, config: &TcpConfig) -> u32 {
    let (least, most) = (*config.send_tuning.start(), *config.send_tuning.end());
    flight.saturating_add(least.max(window / WRITERS_SHARE)).clamp(least, most)
}

impl ReaderTuning {
    /// At the start of a connection.
    pub(super) fn new(enabled: bool, from: SeqNumber, read: u32, now: Instant) -> ReaderTuning {
        ReaderTuning { enabled, since: now.as_micros() as u32, from, read, waited: false, echoed: u16::MAX }
    }

    /// RCV.NXT is known now.
    pub(super) fn start(&mut self, from: SeqNumber) {
        self.from = from;
    }
}

impl TcpConfig {
    /// Octets that the receive buffer of such a connection may hold, at first and at most, and whether it is tuned.
    pub(super) fn receive_bounds(&self, options: &SocketOptions, mss: u16) -> (u32, u32, bool) {
        let set = options.receive_capacity.or(self.receive_capacity);
        if self.habits.windows.offer == Windows::Told {
            let first = set.unwrap_or(*self.receive_tuning.start());
            let whole = first - first % u32::from(mss.max(1));
            let first = if whole > 0 { whole } else { first };
            return (first, first, false);
        }
        if let Some(capacity) = set {
            return (capacity, capacity, false);
        }
        let most = self.largest_receive_capacity(options).min(self.queue_capacity(mss));
        let first = match self.habits.windows.offer {
            Windows::Whole | Windows::WholeSegments => {
                self.receive_tuning.start().next_multiple_of(u32::from(mss.max(1)))
            }
            Windows::Steps | Windows::Told => *self.receive_tuning.start(),
        };
        (most.min(first), most, true)
    }

    /// Octets for which windows are scaled: what the buffer may ever hold, and a device may have a longer queue one day.
    pub(super) fn largest_receive_capacity(&self, options: &SocketOptions) -> u32 {
        let memory = u32::try_from(self.buffer_memory).unwrap_or(u32::MAX).max(1);
        let tuned = (*self.receive_tuning.end()).min(memory);
        options.receive_capacity.or(self.receive_capacity).unwrap_or(tuned)
    }

    /// Octets of text that the device's queue holds in full segments, less what others need of it.
    fn queue_capacity(&self, mss: u16) -> u32 {
        let Some(packets) = self.queue_limit else { return u32::MAX };
        let packets = u64::from(packets);
        let octets = (packets - packets / SPARE_IN_QUEUE).max(1) * u64::from(mss);
        u32::try_from(octets).unwrap_or(u32::MAX)
    }
}

impl Connection {
    /// Octets that may wait for the application now: what tuning has added counts only as long as there is memory for it.
    pub(super) fn receive_capacity(&self, config: &TcpConfig, pool: &Pool) -> u32 {
        if !self.rcv.tuning.enabled {
            return self.rcv.capacity;
        }
        let share = u32::try_from(pool.free() / SHARE_OF_MEMORY).unwrap_or(u32::MAX);
        self.rcv.capacity.min(share.max(*config.receive_tuning.start()))
    }

    /// Octets of them that the window may show: of what tuning has added, as much more as has arrived since the last ACK, in
    /// order or not (a path that loses now and then carries no less for it). So the right edge moves by at most twice what
    /// arrives while the reader keeps up, and a peer whose congestion window is far wider does not send all that a larger
    /// buffer can hold as one burst into the path.
    // 9293-SHLD-14: the window grows into a larger buffer.
    pub(super) fn shown_capacity(&self, config: &TcpConfig, pool: &Pool) -> u32 {
        let capacity = self.receive_capacity(config, pool);
        if !self.rcv.tuning.enabled {
            return capacity;
        }
        capacity.min(self.rcv.shown)
    }

    /// The application has set another size, or has none set any more.
    // 9293-SHLD-14: the window grows into a larger buffer, and shrinks into a smaller one only as text arrives.
    pub(crate) fn set_receive_capacity(&mut self, options: &SocketOptions, config: &TcpConfig) {
        let (capacity, _, tuned) = config.receive_bounds(options, self.rcv.mss);
        self.rcv.capacity = capacity;
        self.rcv.tuning.enabled = tuned;
    }

    /// What an echoed timestamp shows of the round trip.
    pub(super) fn note_echo(&mut self, segment: &Segment<'_>) {
        let Some(timestamp) = segment.options.timestamp.filter(|_| self.agreed.timestamps) else { return };
        if timestamp.echo != 0 {
            let millis = self.timestamp_value(segment.arrived).wrapping_sub(timestamp.echo);
            let tuning = &mut self.rcv.tuning;
            tuning.echoed = tuning.echoed.min(u16::try_from(millis).unwrap_or(u16::MAX));
        }
    }

    /// The application has taken text: its buffer grows if the window may be what holds the peer back.
    pub(super) fn tune_reader(&mut self, cx: &Context<'_>) {
        if !self.rcv.tuning.enabled {
            return;
        }
        let tuning = self.rcv.tuning;
        let read = self.receive_buffer.read_position() as u32;
        let taken = Taken {
            octets: self.rcv.nxt.since(tuning.from).min(read.wrapping_sub(tuning.read)),
            elapsed: Duration::from_micros(u64::from((cx.now.as_micros() as u32).wrapping_sub(tuning.since))),
            round_trip: self.receivers_round_trip(),
            capacity: self.rcv.capacity,
            waited: tuning.waited,
        };
        let Some(wanted) = grown(&taken) else { return };
        self.rcv.tuning = ReaderTuning::new(true, self.rcv.nxt, read, cx.now);
        if wanted > self.rcv.capacity {
            let (_, most, tuned) = cx.config.receive_bounds(&self.options, self.rcv.mss);
            let share = u32::try_from(cx.pool.free() / SHARE_OF_MEMORY).unwrap_or(u32::MAX);
            self.rcv.tuning.enabled = tuned;
            self.rcv.capacity = self.rcv.capacity.max(wanted.min(most).min(share));
        }
    }

    /// The round-trip time as the receiver of text knows it: that of the handshake or of what it sent itself, which is exact
    /// on a short path, unless timestamps show that the path has become longer. They tell milliseconds and may count one
    /// that has only begun.
    fn receivers_round_trip(&self) -> Option<Duration> {
        let echoed = self.rcv.tuning.echoed;
        let shown = (echoed != u16::MAX).then(|| Duration::from_millis(u64::from(echoed.saturating_sub(1))));
        self.rtt.srtt().max(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1 << 10;
    const MIB: u32 = 1 << 20;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn taken(octets: u32, elapsed: u64, round_trip: Option<u64>) -> Taken {
        let round_trip = round_trip.map(ms);
        Taken { octets, elapsed: ms(elapsed), round_trip, capacity: 256 * KIB, waited: false }
    }

    #[test]
    fn the_receive_buffer_grows_by_what_a_round_trip_brings() {
        for (octets, elapsed, round_trip, new) in [
            // Too early to say.
            (128 * KIB, 9, Some(10), None),
            (200 * KIB, 9, None, None),
            (0, 0, Some(10), None),
            // Half of the buffer in one round trip is what the window allows without holding anything back.
            (128 * KIB, 10, Some(10), Some(256 * KIB)),
            (129 * KIB, 10, Some(10), Some(516 * KIB)),
            (256 * KIB, 10, Some(10), Some(MIB)),
            (200 * KIB, 5, Some(10), Some(800 * KIB)),
            // A thread may be late by a millisecond, but a reader that sleeps is slow.
            (200 * KIB, 11, Some(10), Some(800 * KIB)),
            (256 * KIB, 44, Some(10), Some(256 * KIB)),
            (256 * KIB, 1_000, Some(10), Some(256 * KIB)),
            (200 * KIB, 22, Some(10), Some(256 * KIB)),
            (256 * KIB, 20, Some(10), Some(4 * (256 * KIB / 20 * 11))),
            // A whole buffer is a round trip where nobody knows how long one is.
            (256 * KIB, 700, None, Some(MIB)),
            (u32::MAX, 10, Some(10), Some(u32::MAX)),
        ] {
            let near = |a: u32, b: u32| a.abs_diff(b) <= 100;
            let got = grown(&taken(octets, elapsed, round_trip));
            let same = got.zip(new).map_or(got == new, |(got, new)| near(got, new));
            assert!(same, "{octets} in {elapsed} of {round_trip:?}: {got:?}, not {new:?}");
        }
    }

    /// What a hole held back was there in time: a buffer that is full behind one was what held the peer back.
    #[test]
    fn a_reader_that_waited_for_a_hole_is_not_slow() {
        for (octets, new) in [(256 * KIB, MIB), (129 * KIB, 516 * KIB), (128 * KIB, 256 * KIB)] {
            let late = Taken { waited: true, ..taken(octets, 33, Some(10)) };
            assert_eq!(grown(&late), Some(new), "{octets}");
            assert_eq!(grown(&Taken { waited: false, ..late }), Some(256 * KIB), "{octets}");
        }
    }

    #[test]
    fn the_send_buffer_follows_the_window() {
        let config = TcpConfig { send_tuning: 256 * KIB..=8 * MIB, ..TcpConfig::default() };
        for (window, capacity) in
            [(0, 256 * KIB), (14_600, 256 * KIB), (MIB, 256 * KIB), (4 * MIB, MIB), (u32::MAX, 8 * MIB)]
        {
            assert_eq!(send_capacity(0, window, &config), capacity);
            assert_eq!(send_capacity(MIB, window, &config), (MIB + capacity).min(8 * MIB));
        }
    }

    #[test]
    fn what_is_set_is_not_tuned_and_what_is_tuned_has_limits() {
        let none = SocketOptions::default();
        let set = SocketOptions { receive_capacity: Some(1_000), ..none };
        let config = TcpConfig { receive_tuning: 256 * KIB..=16 * MIB, ..TcpConfig::default() };
        let fixed = TcpConfig { receive_capacity: Some(5_000), ..config.clone() };
        let queue = |packets| TcpConfig { queue_limit: Some(packets), ..config.clone() };
        let poor = TcpConfig { buffer_memory: 100_000, ..config.clone() };
        for (config, options, bounds) in [
            (&config, &none, (256 * KIB, 16 * MIB, true)),
            (&config, &set, (1_000, 1_000, false)),
            (&fixed, &none, (5_000, 5_000, false)),
            (&fixed, &set, (1_000, 1_000, false)),
            (&queue(500), &none, (256 * KIB, 438 * 1_460, true)),
            (&queue(500), &set, (1_000, 1_000, false)),
            (&queue(16), &none, (14 * 1_460, 14 * 1_460, true)),
            (&queue(0), &none, (1_460, 1_460, true)),
            (&queue(u32::MAX), &none, (256 * KIB, 16 * MIB, true)),
            (&poor, &none, (100_000, 100_000, true)),
        ] {
            assert_eq!(config.receive_bounds(options, 1_460), bounds);
        }
        // The scale is chosen for the most, whatever the queue of today.
        assert_eq!(queue(16).largest_receive_capacity(&none), 16 * MIB);
    }
}
