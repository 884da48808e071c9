//! Scenarios: what two applications do, and what the path between them does to packets.

use std::time::Duration;

use glasstcp::device::impair::{Burst, Change, CoDel, Discipline, Impairment, Red};
use glasstcp::sim::Side;
use glasstcp::wire::tcp::{self, Flags};
use glasstcp::wire::{parse_ip, protocol};

/// What sort of scenario it is: differences are explained for each sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing is lost, and everybody reads at once.
    Clean,
    /// Somebody writes in small pieces, or reads late.
    Slow,
    /// The connection does not end by two FINs in turn, or never begins.
    Ending,
    /// One packet, known by what it carries, is lost, doubled or late.
    Directed,
    /// A path of the simulator's matrix, where chance decides.
    Matrix,
    /// The same with other seeds, and conversations of which everything is by chance: in longer runs alone.
    Chance,
}

impl Class {
    pub const ALL: [Class; 6] =
        [Class::Clean, Class::Slow, Class::Ending, Class::Directed, Class::Matrix, Class::Chance];

    pub fn name(self) -> &'static str {
        match self {
            Class::Clean => "clean",
            Class::Slow => "slow",
            Class::Ending => "ending",
            Class::Directed => "directed",
            Class::Matrix => "matrix",
            Class::Chance => "chance",
        }
    }
}

/// How an application ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It ends its stream when it has written everything.
    WhenWritten,
    /// It ends its stream after the end of the peer's.
    AfterPeer,
    /// It resets the connection when it has written everything and read so much.
    Abort(u64),
    /// It lets go at this time after the opening, whatever there is to read.
    Drop(Duration),
}

/// What one application does.
#[derive(Clone, Copy, Debug)]
pub struct App {
    /// Octets that it writes in all.
    pub send: u64,
    /// Octets per write at most, and the time between two writes.
    pub write: (usize, Duration),
    /// It may write so much at once.
    pub at_once: u64,
    /// For each so many octets that it has read, it may write so many more.
    pub answers: (u64, u64),
    /// It reads from this time after the opening on.
    pub read_after: Duration,
    /// It writes only after the end of the peer's stream.
    pub late: bool,
    pub close: Close,
}

impl App {
    /// Writes so much as fast as it can, and ends its stream.
    pub fn sends(octets: u64) -> App {
        App {
            send: octets,
            write: (10_000, Duration::ZERO),
            at_once: octets,
            answers: (0, 0),
            read_after: Duration::ZERO,
            late: false,
            close: Close::WhenWritten,
        }
    }

    /// Reads, and ends its stream after the peer.
    pub fn listens() -> App {
        App { close: Close::AfterPeer, ..App::sends(0) }
    }

    /// How much it may have written when it has read so much.
    pub fn allowed(&self, read: u64, eof: bool) -> u64 {
        if self.late && !eof {
            return 0;
        }
        let (per, gives) = self.answers;
        let more = read.checked_div(per).unwrap_or(0) * gives;
        (self.at_once + more).min(self.send)
    }
}

/// A packet that something happens to: which of its kind, counted from 1, in which direction.
#[derive(Clone, Copy, Debug)]
pub enum Victim {
    /// From the opener (true) or the acceptor, the nth segment with this flag.
    Flag(bool, Flags, u32),
    /// The nth segment with text.
    Text(bool, u32),
    /// All segments with text of which the place among the segments with text is in this range.
    Texts(bool, u32, u32),
    /// The nth ACK without text, SYN or FIN.
    Ack(bool, u32),
}

/// What the path does.
#[derive(Clone, Debug, Default)]
pub struct Path {
    /// From the opener to the acceptor, and back.
    pub impairments: [Impairment; 2],
    pub changes: Vec<(Duration, Change)>,
    pub lost: Vec<Victim>,
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub class: Class,
    pub ipv6: bool,
    /// Of the opener and of the acceptor.
    pub apps: [App; 2],
    pub path: Path,
    pub mtu: usize,
    pub receive_capacity: u32,
    pub nodelay: bool,
    /// Nobody listens.
    pub refused: bool,
    /// It makes sense by the real clock too: it is short.
    pub real: bool,
}

impl Scenario {
    /// Over a perfect path of 10 ms, there and back.
    pub fn new(name: &str, class: Class, opener: App, acceptor: App) -> Scenario {
        let path = Impairment::perfect().delay(ms(5));
        Scenario {
            name: name.to_owned(),
            class,
            ipv6: false,
            apps: [opener, acceptor],
            path: Path { impairments: [path; 2], ..Path::default() },
            mtu: 1_500,
            receive_capacity: 256 << 10,
            nodelay: false,
            refused: false,
            real: true,
        }
    }

    /// The nature of a packet of this scenario.
    pub fn is_lost(&self) -> [impl FnMut(&[u8]) -> bool + Send + 'static; 2] {
        [true, false].map(|opener| {
            let victims: Vec<Victim> =
                self.path.lost.iter().copied().filter(|victim| victim.opener() == opener).collect();
            let mut counts = vec![0; victims.len()];
            move |packet: &[u8]| {
                let Some((flags, len)) = nature(packet) else { return false };
                let mut lost = false;
                for (victim, count) in victims.iter().zip(&mut counts) {
                    lost |= victim.strikes(flags, len, count);
                }
                lost
            }
        })
    }
}

impl Victim {
    fn opener(self) -> bool {
        match self {
            Victim::Flag(opener, ..) | Victim::Text(opener, _) | Victim::Texts(opener, ..) | Victim::Ack(opener, _) => {
                opener
            }
        }
    }

    fn strikes(self, flags: Flags, len: usize, count: &mut u32) -> bool {
        let (is_one, from, to) = match self {
            Victim::Flag(_, flag, nth) => (flags.contains(flag), nth, nth),
            Victim::Text(_, nth) => (len > 0, nth, nth),
            Victim::Texts(_, from, to) => (len > 0, from, to),
            Victim::Ack(_, nth) => {
                let more = [Flags::SYN, Flags::FIN, Flags::RST].iter().any(|&flag| flags.contains(flag));
                (len == 0 && !more, nth, nth)
            }
        };
        *count += u32::from(is_one);
        is_one && (from..=to).contains(count)
    }
}

/// Flags and octets of text of a packet.
fn nature(packet: &[u8]) -> Option<(Flags, usize)> {
    let ip = parse_ip(packet).ok().filter(|ip| ip.protocol == protocol::TCP)?;
    let (header, text) = tcp::parse(ip.payload).ok()?;
    Some((header.flags, text.len()))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let mut all = clean();
    all.extend(slow());
    all.extend(ending());
    all.extend(directed());
    all.extend(matrix());
    all
}

fn clean() -> Vec<Scenario> {
    let new = |name: &str, opener, acceptor| Scenario::new(name, Class::Clean, opener, acceptor);
    let answer = |octets| App { at_once: 0, answers: (100, octets), ..App::sends(octets) };
    let mut all = vec![
        new("nothing", App::sends(0), App::listens()),
        new("request, the client closes", App { close: Close::WhenWritten, ..App::sends(100) }, answer(3_000)),
        new("request, the server closes", App { close: Close::AfterPeer, ..App::sends(100) }, answer(3_000)),
        new(
            "ping-pong",
            App { at_once: 10, answers: (10, 10), ..App::sends(100) },
            App { at_once: 0, answers: (10, 10), close: Close::AfterPeer, ..App::sends(100) },
        ),
        new("up", App::sends(300_000), App::listens()),
        new("down", App::listens(), App::sends(300_000)),
        new("both ways", App::sends(100_000), App::sends(100_000)),
        new("half-closed", App::sends(20_000), App { late: true, close: Close::AfterPeer, ..App::sends(50_000) }),
        new("up, in one write", App { write: (14_600, Duration::ZERO), ..App::sends(14_600) }, App::listens()),
    ];
    let mut far = new("up, far away", App::sends(300_000), App::listens());
    far.path.impairments = [Impairment::perfect().delay(ms(100)); 2];
    let mut narrow = new("down, MTU 1280", App::listens(), App::sends(50_000));
    narrow.mtu = 1_280;
    // The kernel has the MTU of its device.
    narrow.real = false;
    let mut line = new("up, 10 Mb/s", App::sends(300_000), App::listens());
    line.path.impairments = [Impairment::perfect().rate(10_000_000).delay(ms(10)); 2];
    let six = ["up", "down"].map(|name| {
        let (up, down) = (App::sends(50_000), App::listens());
        let (opener, acceptor) = if name == "up" { (up, down) } else { (down, up) };
        Scenario { ipv6: true, ..new(&format!("{name}, IPv6"), opener, acceptor) }
    });
    all.extend([far, narrow, line]);
    all.extend(six);
    all
}

fn slow() -> Vec<Scenario> {
    let new = |name, opener, acceptor| Scenario::new(name, Class::Slow, opener, acceptor);
    let small = App { write: (50, ms(3)), ..App::sends(1_000) };
    let after = |time| App { read_after: time, ..App::listens() };
    let short = |scenario| Scenario { receive_capacity: 8_192, ..scenario };
    vec![
        new("small writes", small, App::listens()),
        Scenario { nodelay: true, ..new("small writes, no delay", small, App::listens()) },
        short(new("late reader", App::sends(40_000), after(ms(700)))),
        short(new("very late reader", App::sends(40_000), after(ms(2_500)))),
        short(new("late reader of the acceptor's text", after(ms(700)), App::sends(40_000))),
        short(new("small buffer", App::sends(100_000), App::listens())),
    ]
}

fn ending() -> Vec<Scenario> {
    let new = |name, opener, acceptor| Scenario::new(name, Class::Ending, opener, acceptor);
    let drops = App { read_after: Duration::from_secs(3_600), close: Close::Drop(ms(300)), ..App::sends(0) };
    vec![
        new("both close at once", App::sends(0), App::sends(0)),
        new("both send and close", App::sends(1_000), App::sends(1_000)),
        new("the opener aborts", App { close: Close::Abort(0), ..App::sends(1_000) }, App::listens()),
        new("the acceptor aborts", App::sends(1_000), App { close: Close::Abort(1_000), ..App::sends(0) }),
        new("closed with text unread", App { close: Close::AfterPeer, ..App::sends(1_000) }, drops),
        new("closed amid text", App::sends(200_000), App { close: Close::Drop(ms(8)), ..App::sends(0) }),
        Scenario { refused: true, ..new("refused", App::sends(10), App::listens()) },
    ]
}

fn directed() -> Vec<Scenario> {
    let up = |name: &str, lost: &[Victim]| {
        let mut scenario = Scenario::new(name, Class::Directed, App::sends(60_000), App::listens());
        scenario.path.lost = lost.to_vec();
        scenario
    };
    let changed = |name: &str, change: fn(Impairment) -> Impairment| {
        let mut scenario = up(name, &[]);
        scenario.path.impairments[0] = change(scenario.path.impairments[0]);
        scenario
    };
    let request = |name: &str, lost: &[Victim]| Scenario {
        apps: [App::sends(100), App { at_once: 0, answers: (100, 1_000), ..App::sends(1_000) }],
        ..up(name, lost)
    };
    vec![
        request("the SYN is lost", &[Victim::Flag(true, Flags::SYN, 1)]),
        request("the SYN,ACK is lost", &[Victim::Flag(false, Flags::SYN, 1)]),
        request("the ACK of the SYN,ACK is lost", &[Victim::Ack(true, 1)]),
        request("the request is lost", &[Victim::Text(true, 1)]),
        request("the answer is lost", &[Victim::Text(false, 1)]),
        request("the first FIN is lost", &[Victim::Flag(true, Flags::FIN, 1)]),
        request("the second FIN is lost", &[Victim::Flag(false, Flags::FIN, 1)]),
        up("the FIN of the reader is lost", &[Victim::Flag(false, Flags::FIN, 1)]),
        up("one segment is lost", &[Victim::Text(true, 15)]),
        up("two segments are lost", &[Victim::Text(true, 15), Victim::Text(true, 17)]),
        // The eleventh segment is the third once more.
        up("one segment is lost twice", &[Victim::Text(true, 3), Victim::Text(true, 11)]),
        up("a burst is lost", &[Victim::Texts(true, 12, 17)]),
        up("the tail is lost", &[Victim::Texts(true, 40, 42)]),
        up("an ACK is lost", &[Victim::Ack(false, 4)]),
        up("a flight of ACKs is lost", &[Victim::Ack(false, 3), Victim::Ack(false, 4), Victim::Ack(false, 5)]),
        changed("every packet comes twice", |path| path.duplicate(1_000_000)),
        changed("some come late", |path| path.reorder(50_000, ms(3))),
    ]
}

const RATES: [u64; 2] = [10_000_000, 100_000_000];
const RTTS_MS: [u64; 3] = [1, 20, 100];
const LOSSES: [u32; 4] = [0, 1_000, 10_000, 50_000];

/// The paths of tests/sim/matrix.rs, with text one way or the other and an end.
fn matrix() -> Vec<Scenario> {
    let mut all = Vec::new();
    for rate in RATES {
        for rtt in RTTS_MS {
            for loss in LOSSES {
                let queue = (rate / 8 * rtt / 1_000).max(15_000) as usize;
                let line = Impairment::perfect().rate(rate).delay(ms(rtt) / 2).queue(queue);
                let name = format!("{} Mb/s, {rtt} ms, {}.{} %", rate / 1_000_000, loss / 10_000, loss / 1_000 % 10);
                all.extend(each_way(&name, [line.loss(loss), line], &[], rtt <= 20));
            }
        }
    }
    let line = Impairment::perfect().rate(20_000_000).delay(ms(20)).queue(100_000);
    let burst = Burst { begin_per_million: 1_000, end_per_million: 200_000, loss_per_million: 500_000 };
    let outage = [(ms(100), Change::Down), (ms(300), Change::Up)];
    let route = [(ms(100), Change::Delay(ms(60))), (ms(400), Change::Delay(ms(10)))];
    for (name, there, back, changes) in [
        ("reordering", line.reorder(20_000, ms(5)), line, &[][..]),
        ("late", line.reorder(20_000, ms(60)), line, &[]),
        ("duplicates", line.duplicate(20_000), line, &[]),
        ("ack-loss", line, line.loss(200_000), &[]),
        ("burst-loss", line.burst(burst), line, &[]),
        ("outage", line, line, &outage),
        ("route", line, line, &route),
        ("codel", line.discipline(Discipline::CoDel(CoDel::default())), line, &[]),
        ("red", line.discipline(Discipline::Red(Red::for_queue(100_000))), line, &[]),
    ] {
        all.extend(each_way(name, [there, back], changes, true));
    }
    all
}

/// The opener sends over the first direction, or the acceptor does.
fn each_way(name: &str, path: [Impairment; 2], changes: &[(Duration, Change)], real: bool) -> [Scenario; 2] {
    [true, false].map(|up| {
        let (sender, receiver) = (App::sends(400_000), App::listens());
        let (opener, acceptor) = if up { (sender, receiver) } else { (receiver, sender) };
        let name = format!("{name}, {}", if up { "up" } else { "down" });
        let mut scenario = Scenario::new(&name, Class::Matrix, opener, acceptor);
        let [there, back] = path;
        scenario.path.impairments = if up { [there, back] } else { [back, there] };
        scenario.path.changes = changes.to_vec();
        scenario.real = real;
        scenario
    })
}

/// The direction of the path that begins at this side; side A is the opener.
pub fn index(side: Side) -> usize {
    usize::from(side == Side::B)
}
