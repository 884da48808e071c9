//! One flow over one bottleneck, with nothing of the stack but a controller, delivery-rate sampling and pacing; and any
//! events in any order. Used by tests/sim/congestion.rs and by the fuzz target `congestion`.

use std::collections::VecDeque;
use std::time::Duration;

use glasstcp::rng::KeyedRng;
use glasstcp::tcp::congestion::{Acked, Algorithm, Congestion, Loss, Rate};
use glasstcp::tcp::recovery::delivery_rate::RateStamp;
use glasstcp::tcp::sequence::SeqNumber;
use glasstcp::time::Instant;

/// Octets of a segment.
pub const MSS: u32 = 1_448;

/// Where sequence numbers begin: they wrap soon.
const START: u32 = u32::MAX - 100_000;

/// Deliveries of later segments that show a loss.
const REORDERING: u64 = 3;

/// A bottleneck.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Octets per second.
    pub rate: Rate,
    /// The round-trip time of an empty path.
    pub delay: Duration,
    /// Octets that may wait.
    pub queue: u32,
    /// Segments in a million that vanish.
    pub loss: u32,
}

/// What the application sends.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// As much as possible.
    Greedy,
    /// So much.
    Limited(Rate),
}

/// A segment in the network.
#[derive(Clone, Copy, Debug)]
struct Transmission {
    /// The how many-eth transmission it is.
    number: u64,
    /// The segment.
    segment: u64,
    sent_at: Instant,
    stamp: RateStamp,
    /// When its ACK comes; never, if it was dropped.
    answered_at: Option<Instant>,
}

/// One flow.
pub struct Flow {
    /// The controller.
    pub congestion: Congestion,
    /// The path; it may change.
    pub path: Path,
    /// What is sent.
    pub source: Source,
    /// The time.
    pub now: Instant,
    rng: KeyedRng,
    /// Segments sent at least once, and those of them that have arrived: `arrived[0]` is the first that has not.
    next: u64,
    first: u64,
    arrived: VecDeque<bool>,
    transit: VecDeque<Transmission>,
    again: VecDeque<u64>,
    transmissions: u64,
    link_free_at: Instant,
    recover: Option<u64>,
    timeout_until: Option<u64>,
    progress_at: Instant,
    srtt: Option<Duration>,
    min_rtt: Option<Duration>,
    /// Segments that were delivered for the first time.
    pub delivered: u64,
    /// Segments that were dropped.
    pub dropped: u64,
    /// Timeouts.
    pub timeouts: u32,
    /// The longest that a segment has waited.
    pub longest_wait: Duration,
}

impl Flow {
    /// A flow that is about to begin.
    pub fn new(algorithm: Algorithm, path: Path, source: Source, seed: u64) -> Flow {
        let mut congestion = Congestion::new(algorithm, seed);
        congestion.get_mut().start(MSS, 0);
        Flow {
            congestion,
            path,
            source,
            now: Instant::from_millis(1),
            rng: KeyedRng::from_seed(seed),
            next: 0,
            first: 0,
            arrived: VecDeque::new(),
            transit: VecDeque::new(),
            again: VecDeque::new(),
            transmissions: 0,
            link_free_at: Instant::ZERO,
            recover: None,
            timeout_until: None,
            progress_at: Instant::ZERO,
            srtt: None,
            min_rtt: None,
            delivered: 0,
            dropped: 0,
            timeouts: 0,
            longest_wait: Duration::ZERO,
        }
    }

    fn pipe(&self) -> u32 {
        self.transit.len() as u32 * MSS
    }

    fn seq(segment: u64) -> SeqNumber {
        SeqNumber(START) + (segment as u32).wrapping_mul(MSS)
    }

    fn has_data(&self) -> bool {
        match self.source {
            Source::Greedy => true,
            Source::Limited(rate) => rate.octets_in(self.now - Instant::ZERO) >= (self.next + 1) * u64::from(MSS),
        }
    }

    /// Everything until `end`.
    pub fn run_until(&mut self, end: Instant) {
        loop {
            let pacing = self.send();
            let answer = self.transit.iter().find_map(|transmission| transmission.answered_at);
            let timeout = (!self.transit.is_empty()).then(|| self.progress_at + self.rto());
            let data = match self.source {
                Source::Limited(rate) if !self.has_data() => {
                    Some(Instant::ZERO + rate.time_for((self.next + 1) * u64::from(MSS)) + Duration::from_nanos(1))
                }
                _ => None,
            };
            let next = [pacing, answer, timeout, data].into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if answer.is_some_and(|at| at <= self.now) {
                self.answer();
            } else if timeout.is_some_and(|at| at <= self.now) {
                self.timeout();
            }
            self.check();
        }
    }

    fn rto(&self) -> Duration {
        Duration::from_millis(200) + self.srtt.unwrap_or(Duration::from_millis(800)) * 2
    }

    /// Sends what may leave; when the rest may, if pacing says so.
    fn send(&mut self) -> Option<Instant> {
        loop {
            let window = self.congestion.get().window();
            let mut room = window.saturating_sub(self.pipe());
            if self.pipe() == 0 {
                room = room.max(MSS);
            }
            if self.again.is_empty() && !self.has_data() {
                if room >= MSS {
                    self.congestion.mark_app_limited(self.pipe());
                }
                return None;
            }
            if room < MSS {
                return None;
            }
            if let Err(at) = self.congestion.may_send(self.now) {
                assert!(at > self.now);
                return Some(at);
            }
            let mut piece = self.congestion.get().send_quantum().min(room) / MSS;
            while piece > 0 && (!self.again.is_empty() || self.has_data()) {
                self.transmit();
                piece -= 1;
            }
        }
    }

    fn transmit(&mut self) {
        let segment = self.again.pop_front().unwrap_or_else(|| {
            self.arrived.push_back(false);
            self.next += 1;
            self.next - 1
        });
        if self.transit.is_empty() {
            self.progress_at = self.now;
        }
        let stamp = self.congestion.on_send(self.now, self.pipe(), MSS);
        let waits = self.link_free_at - self.now;
        let drops = self.path.rate.octets_in(waits) > self.path.queue.into() || self.rng.chance(self.path.loss);
        let answered_at = (!drops).then(|| {
            self.longest_wait = self.longest_wait.max(waits);
            self.link_free_at = self.link_free_at.max(self.now) + self.path.rate.time_for(MSS.into());
            self.link_free_at + self.path.delay
        });
        self.dropped += u64::from(drops);
        self.transmissions += 1;
        let number = self.transmissions;
        self.transit.push_back(Transmission { number, segment, sent_at: self.now, stamp, answered_at });
    }

    /// The ACK of the oldest segment that arrives.
    fn answer(&mut self) {
        let flight = ((self.next - self.first) as u32) * MSS;
        let Some(index) = self.transit.iter().position(|transmission| transmission.answered_at.is_some()) else {
            return;
        };
        let Some(sent) = self.transit.remove(index) else { return };
        self.progress_at = self.now;
        let rtt = self.now - sent.sent_at;
        self.srtt = Some(self.srtt.map_or(rtt, |srtt| (srtt * 7 + rtt) / 8));
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |least| least.min(rtt)));
        self.congestion.on_delivered(self.now, &sent.stamp, sent.sent_at, MSS);
        self.delivered += 1;
        self.arrived[(sent.segment - self.first) as usize] = true;
        while self.arrived.front() == Some(&true) {
            self.arrived.pop_front();
            self.first += 1;
        }
        let was_recovering = self.recover.is_some();
        let lost = self.find_losses(sent.number, flight);
        if self.recover.is_some_and(|end| self.first >= end) {
            self.recover = None;
            self.congestion.get_mut().recovered(u32::MAX, MSS);
        }
        if self.timeout_until.is_some_and(|end| self.first >= end) {
            self.timeout_until = None;
        }
        let rate = self.congestion.sample(self.min_rtt);
        let in_flight = self.pipe();
        self.congestion.get_mut().acked(&Acked {
            now: self.now,
            octets: MSS,
            flight,
            mss: MSS,
            piece: MSS,
            rtt: Some(rtt),
            srtt: self.srtt,
            una: Flow::seq(self.first),
            nxt: Flow::seq(self.next),
            in_flight,
            lost,
            recovering: was_recovering,
            rate,
            by_least_of_all: false,
        });
    }

    /// What was sent well before something that has arrived is lost.
    fn find_losses(&mut self, delivered: u64, flight: u32) -> u32 {
        let mut octets = 0;
        while let Some(&sent) = self.transit.front()
            && sent.number + REORDERING <= delivered
        {
            self.transit.pop_front();
            self.again.push_back(sent.segment);
            self.congestion.on_lost(self.now, &sent.stamp, Flow::seq(sent.segment), MSS, true);
            octets += MSS;
        }
        if octets > 0 && self.recover.is_none() && self.timeout_until.is_none() {
            self.recover = Some(self.next);
            self.congestion.get_mut().loss(&Loss { now: self.now, flight, mss: MSS });
        }
        octets
    }

    fn timeout(&mut self) {
        let flight = ((self.next - self.first) as u32) * MSS;
        while let Some(sent) = self.transit.pop_front() {
            self.again.push_back(sent.segment);
            self.congestion.on_lost(self.now, &sent.stamp, Flow::seq(sent.segment), MSS, true);
        }
        let first = self.timeout_until.is_none();
        self.congestion.get_mut().timeout(&Loss { now: self.now, flight, mss: MSS }, first);
        (self.recover, self.timeout_until) = (None, Some(self.next));
        self.progress_at = self.now;
        self.timeouts += 1;
    }

    fn check(&self) {
        check(&self.congestion, MSS, self.timeout_until.is_some());
    }
}

/// What holds for every controller at every time.
pub fn check(congestion: &Congestion, mss: u32, after_timeout: bool) {
    let controller = congestion.get();
    let least = if congestion.algorithm() == Algorithm::Bbr && !after_timeout { 4 * mss } else { mss };
    assert!(controller.window() >= least, "{congestion:?}");
    assert!(controller.slow_start_threshold() >= 2 * mss, "{congestion:?}");
    assert!(controller.send_quantum() >= 2 * mss, "{congestion:?}");
    assert!(controller.pacing_rate() != Some(Rate::ZERO), "{congestion:?}");
    assert_eq!(controller.pacing_rate().is_some(), controller.governs_recovery(), "{congestion:?}");
}

/// Bytes as a source of numbers; at their end only zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn one_in(&mut self, count: u8) -> bool {
        self.byte().is_multiple_of(count)
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Small and large numbers alike.
    fn number(&mut self) -> u32 {
        let shift = self.byte() % 32;
        self.word() >> shift
    }
}

/// Any events in any order: nothing overflows, and the invariants hold.
pub fn play(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mss = [MSS, 88, 65_483, 536][usize::from(bytes.byte() % 4)];
    let algorithm = Algorithm::ALL[usize::from(bytes.byte() % 3)];
    let mut congestion = Congestion::new(algorithm, bytes.word().into());
    congestion.get_mut().start(mss, bytes.byte());
    let mut now = Instant::from_nanos(u64::from(bytes.number()));
    let (mut una, mut nxt) = (SeqNumber(bytes.word()), SeqNumber(0));
    nxt += una.0;
    let mut sent: VecDeque<(RateStamp, Instant, u32)> = VecDeque::new();
    let mut shrunk = true;
    while !bytes.0.is_empty() {
        let flight = nxt.since(una);
        let loss = Loss { now, flight, mss };
        match bytes.byte() % 12 {
            0 => now += Duration::from_nanos(u64::from(bytes.word()) << (bytes.byte() % 24)),
            1 => now += Duration::from_micros(u64::from(bytes.number())),
            2..=4 => {
                let octets = (bytes.number() % (1 << 20)).max(1).min((1 << 30) - flight.min(1 << 30));
                if octets > 0 {
                    let stamp = congestion.on_send(now, flight, octets);
                    sent.push_back((stamp, now, octets));
                    nxt += octets;
                }
            }
            5..=7 => {
                ack(&mut congestion, &mut bytes, &mut sent, now, (&mut una, nxt), mss);
                shrunk = false;
            }
            8 => {
                congestion.get_mut().loss(&loss);
                shrunk = true;
            }
            9 => {
                congestion.get_mut().timeout(&loss, bytes.one_in(2));
                shrunk = true;
            }
            10 => match bytes.byte() % 4 {
                0 => congestion.get_mut().undo(),
                1 => congestion.get_mut().recovered(bytes.number(), mss),
                2 => congestion.get_mut().restart(mss),
                _ => {
                    congestion.get_mut().congestion_experienced(&loss);
                    shrunk = true;
                }
            },
            _ => {
                congestion.mark_app_limited(flight);
                if bytes.one_in(16) {
                    congestion.switch(Algorithm::ALL[usize::from(bytes.byte() % 3)], 7, mss);
                    shrunk = true;
                }
            }
        }
        check(&congestion, mss, shrunk);
    }
}

/// An ACK of some of what was sent, with losses among the rest.
fn ack(
    congestion: &mut Congestion,
    bytes: &mut Bytes<'_>,
    sent: &mut VecDeque<(RateStamp, Instant, u32)>,
    now: Instant,
    (una, nxt): (&mut SeqNumber, SeqNumber),
    mss: u32,
) {
    let flight = nxt.since(*una);
    let (mut octets, mut lost) = (0, 0);
    for _ in 0..bytes.byte() % 4 {
        let Some((stamp, sent_at, len)) = sent.pop_front() else { break };
        if bytes.one_in(5) {
            congestion.on_lost(now, &stamp, *una + octets, len, len.is_multiple_of(2));
            lost += len;
        }
        congestion.on_delivered(now, &stamp, sent_at, len);
        octets += len;
    }
    *una += octets;
    let rtt = (!bytes.one_in(3)).then(|| Duration::from_micros(u64::from(bytes.number())));
    let min_rtt = (!bytes.one_in(2)).then(|| Duration::from_micros(u64::from(bytes.number())));
    let rate = congestion.sample(min_rtt);
    let acked = Acked {
        now,
        octets,
        flight,
        mss,
        piece: if bytes.one_in(2) { mss } else { 65_535.max(mss) },
        rtt,
        srtt: rtt,
        una: *una,
        nxt,
        in_flight: flight - octets,
        lost,
        recovering: bytes.one_in(4),
        rate,
        by_least_of_all: false,
    };
    congestion.get_mut().acked(&acked);
}
