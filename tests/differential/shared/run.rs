//! One conversation from beginning to end, between any two endpoints, by the virtual clock or by the real one.
//!
//! The opener is side A. A tap at each end writes a capture, which is read again by the reader of `glasstcp trace`.

use std::time::Duration;

use glasstcp::device::link::Link;
use glasstcp::device::pcapng::{Direction, PcapngWriter};
use glasstcp::sim::invariant::stream_octet;
use glasstcp::sim::{Pair, Side};
use glasstcp::time::Instant;

use super::endpoint::{Endpoint, Read};
use super::normal::{self, Conversation};
use super::scenario::{App, Close, Scenario};

/// The ports of the opener and the acceptor.
pub const PORTS: [u16; 2] = [5_000, 6_000];

/// The longest time that anything may take, on the clock in use.
const LONGEST: Duration = Duration::from_secs(400);

/// What time it is.
pub trait Clock {
    /// Now.
    fn now(&mut self) -> Instant;

    /// Waits for `until`, or for less where something may have happened by itself.
    fn wait(&mut self, until: Option<Instant>);

    /// Nothing more will happen once this much time has passed without a packet and without a timer.
    fn quiet(&self) -> Duration;
}

/// The virtual clock: it goes where it is wanted.
pub struct Virtual(pub Instant);

impl Clock for Virtual {
    fn now(&mut self) -> Instant {
        self.0
    }

    fn wait(&mut self, until: Option<Instant>) {
        self.0 = self.0.max(until.expect("something is to happen"));
    }

    fn quiet(&self) -> Duration {
        Duration::ZERO
    }
}

/// One application, on its way.
#[derive(Debug)]
struct Progress {
    app: App,
    opened: Option<Instant>,
    written: u64,
    write_at: Instant,
    read: u64,
    eof: bool,
    shut: bool,
    closed: bool,
    failed: bool,
}

/// What came of a conversation.
pub struct Outcome {
    /// The tap at the opener, and that at the acceptor.
    pub taps: [Conversation; 2],
    /// The captures of both.
    pub captures: [Vec<u8>; 2],
    /// Octets that each application has read, whether it saw the end of the stream, and whether its connection failed.
    pub read: [(u64, bool, bool); 2],
}

struct Run<'a, C> {
    scenario: &'a Scenario,
    ends: [&'a mut dyn Endpoint; 2],
    clock: C,
    link: Link,
    progress: [Progress; 2],
    taps: [PcapngWriter<Vec<u8>>; 2],
    packets: usize,
    latest: Instant,
    sent: Vec<Vec<u8>>,
}

const SIDES: [Side; 2] = [Side::A, Side::B];

/// Runs a conversation.
///
/// # Panics
/// Where a stream is not what was written, or does not come to its end.
pub fn run<'a, C: Clock>(scenario: &'a Scenario, ends: [&'a mut dyn Endpoint; 2], mut clock: C, seed: u64) -> Outcome {
    let start = clock.now();
    let mut link = Link::new(scenario.path.impairments[0], scenario.path.impairments[1], seed);
    for (side, mut is_lost) in SIDES.into_iter().zip(scenario.is_lost()) {
        let direction = link.direction_mut(side);
        direction.set_drop_if(Some(Box::new(move |packet, _| is_lost(packet))));
        for &(after, change) in &scenario.path.changes {
            direction.schedule(start + after, change);
        }
    }
    let progress = scenario.apps.map(|app| Progress {
        app,
        opened: None,
        written: 0,
        write_at: start,
        read: 0,
        eof: false,
        shut: false,
        closed: false,
        failed: false,
    });
    let taps = [0, 1].map(|_| PcapngWriter::new(Vec::new(), "differential test", "tap", &scenario.name).unwrap());
    let run = Run { scenario, ends, clock, link, progress, taps, packets: 0, latest: start, sent: Vec::new() };
    run.finish()
}

impl<C: Clock> Run<'_, C> {
    fn finish(mut self) -> Outcome {
        let start = self.clock.now();
        if !self.scenario.refused {
            self.ends[1].listen(start);
        }
        self.ends[0].connect(start);
        loop {
            let now = self.clock.now();
            self.turn(now);
            // What is reset before anybody has accepted it is nothing to the acceptor.
            let [opener, acceptor] = &self.progress;
            let over = opener.closed && (acceptor.closed || acceptor.opened.is_none());
            let next = self.next(now);
            if over && self.link.next_arrival().is_none() && self.is_quiet(now, next) {
                break;
            }
            assert!(
                self.packets < 200_000 && now - start < LONGEST && (next.is_some() || !self.clock.quiet().is_zero()),
                "{}: no end after {:?} and {} packets: {:#?}",
                self.scenario.name,
                now - start,
                self.packets,
                self.progress
            );
            self.clock.wait(next);
        }
        let read = [0, 1].map(|side| (self.progress[side].read, self.progress[side].eof, self.progress[side].failed));
        let captures = self.taps.map(|tap| tap.finish().unwrap());
        let taps = [0, 1].map(|side| {
            let mut found = normal::read(&captures[side]).unwrap();
            assert_eq!(found.len(), 1, "{}: one conversation", self.scenario.name);
            found.remove(0)
        });
        Outcome { taps, captures, read }
    }

    /// Nothing more is to come: in virtual time, nothing is due.
    fn is_quiet(&self, now: Instant, next: Option<Instant>) -> bool {
        let quiet = self.clock.quiet();
        if quiet.is_zero() { next.is_none() } else { now - self.latest >= quiet }
    }

    fn next(&mut self, now: Instant) -> Option<Instant> {
        let ends = self.ends.iter_mut().filter_map(|end| end.next(now)).min();
        let apps = self.progress.iter().filter_map(|progress| progress.wake(now)).min();
        [ends, apps, self.link.next_arrival()].into_iter().flatten().min()
    }

    /// Everything that happens now.
    fn turn(&mut self, now: Instant) {
        for side in SIDES {
            while let Some(arrived) = self.link.receive(now, side) {
                self.tap(now, side, Direction::In, &arrived.packet);
                self.ends[at(side)].receive(now, &arrived.packet);
            }
        }
        loop {
            self.flush(now);
            if !(self.act(now, Side::A) | self.act(now, Side::B)) {
                break;
            }
        }
        self.flush(now);
    }

    fn flush(&mut self, now: Instant) {
        for side in SIDES {
            let mut sent = std::mem::take(&mut self.sent);
            self.ends[at(side)].transmit(now, &mut sent);
            for packet in sent.drain(..) {
                self.tap(now, side, Direction::Out, &packet);
                self.link.send(now, side, packet);
            }
            self.sent = sent;
        }
    }

    fn tap(&mut self, now: Instant, side: Side, direction: Direction, packet: &[u8]) {
        self.packets += 1;
        self.latest = now;
        self.taps[at(side)].packet(now.as_nanos(), direction, packet, &[]).unwrap();
    }

    /// The application of a side does what it can now; the answer is whether it did anything.
    fn act(&mut self, now: Instant, side: Side) -> bool {
        let (progress, end) = (&mut self.progress[at(side)], &mut self.ends[at(side)]);
        if progress.closed {
            return false;
        }
        if end.has_failed() {
            progress.failed = true;
            end.close(now);
            progress.closed = true;
            return true;
        }
        if progress.opened.is_none() {
            if self.scenario.refused && side == Side::B {
                progress.closed = true;
                return true;
            }
            if !end.is_open(now) {
                return false;
            }
            progress.opened = Some(now);
        }
        let ipv6 = self.scenario.ipv6;
        let pair = Pair { a: PORTS[0], b: PORTS[1], ipv6 };
        let read = progress.read(&mut **end, now, |at| stream_octet(pair, side.other(), at));
        let wrote = progress.write(&mut **end, now, |at| stream_octet(pair, side, at));
        let closed = progress.close(&mut **end, now);
        read | wrote | closed
    }
}

fn at(side: Side) -> usize {
    usize::from(side == Side::B)
}

impl Progress {
    fn since_open(&self, time: Duration) -> Option<Instant> {
        self.opened.map(|opened| opened + time)
    }

    /// When it wants to act whatever happens.
    fn wake(&self, now: Instant) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let drop = if let Close::Drop(time) = self.app.close { self.since_open(time) } else { None };
        let times = [self.since_open(self.app.read_after), drop, Some(self.write_at)];
        times.into_iter().flatten().filter(|&at| at > now).min()
    }

    fn read(&mut self, end: &mut dyn Endpoint, now: Instant, octet: impl Fn(u64) -> u8) -> bool {
        if self.eof || self.since_open(self.app.read_after).is_none_or(|at| at > now) {
            return false;
        }
        let mut buffer = [0; 16 << 10];
        match end.read(now, &mut buffer) {
            Read::Nothing => return false,
            Read::Octets(count) => {
                let wanted = (self.read..).map(octet);
                assert!(buffer[..count].iter().copied().eq(wanted.take(count)), "the stream is not what was written");
                self.read += count as u64;
            }
            Read::End => self.eof = true,
            Read::Failed => {
                self.failed = true;
                end.close(now);
                self.closed = true;
            }
        }
        true
    }

    fn write(&mut self, end: &mut dyn Endpoint, now: Instant, octet: impl Fn(u64) -> u8) -> bool {
        let allowed = self.app.allowed(self.read, self.eof);
        let (most, gap) = self.app.write;
        if self.closed || self.shut || self.written >= allowed || self.write_at > now {
            return false;
        }
        let count = (allowed - self.written).min(most as u64);
        let octets: Vec<u8> = (self.written..self.written + count).map(octet).collect();
        let written = end.write(now, &octets) as u64;
        self.written += written;
        if written > 0 {
            self.write_at = now + gap;
        }
        written > 0
    }

    fn close(&mut self, end: &mut dyn Endpoint, now: Instant) -> bool {
        if self.closed {
            return false;
        }
        let all = self.written == self.app.send;
        match self.app.close {
            Close::Abort(read) if all && self.read >= read => {
                end.abort(now);
                self.closed = true;
                return true;
            }
            Close::Drop(time) if self.since_open(time).is_some_and(|at| at <= now) => {
                end.close(now);
                self.closed = true;
                return true;
            }
            Close::Abort(_) | Close::Drop(_) => return false,
            Close::WhenWritten | Close::AfterPeer => {}
        }
        let may = all && (self.eof || self.app.close == Close::WhenWritten);
        let mut progress = false;
        if may && !self.shut {
            end.shutdown(now);
            self.shut = true;
            progress = true;
        }
        if self.shut && self.eof {
            end.close(now);
            self.closed = true;
            progress = true;
        }
        progress
    }
}

/// The name of a capture.
pub fn capture_name(scenario: &Scenario, stacks: [&str; 2], side: usize) -> String {
    let name: String = scenario.name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    format!("{name}.{}-{}.{}.pcapng", stacks[0], stacks[1], ["opener", "acceptor"][side])
}

/// Writes the captures of a conversation where GLASSTCP_TRACES says.
pub fn keep(scenario: &Scenario, stacks: [&str; 2], outcome: &Outcome) {
    let Some(directory) = std::env::var_os("GLASSTCP_TRACES") else { return };
    std::fs::create_dir_all(&directory).expect("the directory of the captures");
    for (side, capture) in outcome.captures.iter().enumerate() {
        let file = std::path::Path::new(&directory).join(capture_name(scenario, stacks, side));
        std::fs::write(file, capture).expect("a capture");
    }
}
