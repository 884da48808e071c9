//! Ours against smoltcp, over a bad network in virtual time: both roles, both address families, either side closes first.
//!
//! smoltcp 0.14 departs from the RFCs in places; what is shaped around that:
//! * any RST in its window kills its connection, so no application here aborts;
//! * it holds at most four pieces out of order and uses no SACK, so recovery from its losses is slow: limits are generous;
//! * its TIME-WAIT lasts 10 s, and it answers nothing but FINs there;
//! * when that is over it throws away what its application has not read yet, so its reader does not pause there;
//! * it may break rules that our own packets are held to, so only those of ours are judged (`Wire::strict`).
//!
//! A seed that fails says how to run it again: `GLASSTCP_SEED=n cargo test --test sim smoltcp::replay`.

use std::cell::Cell;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::Duration;

use crate::smoltcp_device::Queues;
use glasstcp::device::RxMeta;
use glasstcp::device::impair::Impairment;
use glasstcp::device::link::{Link, Side};
use glasstcp::rng::KeyedRng;
use glasstcp::sim::invariant::stream_octet;
use glasstcp::sim::{Pair, Wire};
use glasstcp::stack::{ListenerHandle, TcpHandle};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::time::Instant;
use glasstcp::{Config, SocketError, Stack};
use smoltcp::iface::{self, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};

/// A conversation without progress for longer is a stall.
const LONGEST_STALL: Duration = Duration::from_secs(400);

const OURS: u16 = 5_000;
const THEIRS: u16 = 6_000;

thread_local! {
    /// smoltcp asks for timestamps by a function without an argument.
    static MILLIS: Cell<u32> = const { Cell::new(0) };
}

/// Which side does something first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Ours,
    Theirs,
    Both,
}

#[derive(Clone, Debug)]
struct Scenario {
    seed: u64,
    ipv6: bool,
    connects: Side,
    closes: First,
    /// The side that closes last writes only after the end of the other's stream.
    late: bool,
    /// Octets that ours and theirs send.
    amounts: [u64; 2],
    /// Octets per read, and the chance in a million that a reader pauses after it, with the longest pause.
    read: [(usize, u32, Duration); 2],
    impairments: [Impairment; 2],
    mtu: [usize; 2],
    options: SocketOptions,
    their_buffers: [usize; 2],
    nagle: bool,
    ack_delay: bool,
    timestamps: bool,
}

fn below(rng: &mut KeyedRng, low: u64, high: u64) -> u64 {
    // Small ones as likely as large ones.
    let doublings = u64::from((high / low).ilog2()) + 1;
    let top = low.saturating_mul(2 << rng.below(doublings)).min(high);
    low + rng.below(top - low + 1)
}

fn impairment(rng: &mut KeyedRng, bad: bool) -> Impairment {
    let mut path = Impairment::perfect().delay(Duration::from_micros(rng.below(100_000)));
    if rng.chance(300_000) {
        path = path.rate(below(rng, 200_000, 100_000_000));
    }
    if bad {
        path = path.loss(below(rng, 1_000, 80_000) as u32);
        if rng.chance(400_000) {
            path = path.reorder(below(rng, 1_000, 100_000) as u32, Duration::from_micros(rng.below(50_000)));
        }
        if rng.chance(400_000) {
            path = path.duplicate(below(rng, 1_000, 100_000) as u32);
        }
        if rng.chance(200_000) {
            path = path.corrupt(below(rng, 1_000, 20_000) as u32);
        }
    }
    path
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let mut rng = KeyedRng::from_seed(seed ^ 0x5301);
        let bad = rng.chance(600_000);
        let amount = |rng: &mut KeyedRng| if rng.chance(150_000) { rng.below(2) } else { below(rng, 10, 100_000) };
        let read = |rng: &mut KeyedRng| {
            let pauses = if rng.chance(300_000) { 30_000 } else { 0 };
            (below(rng, 100, 20_000) as usize, pauses, Duration::from_millis(rng.below(5_000)))
        };
        Scenario {
            seed,
            ipv6: rng.chance(400_000),
            connects: if rng.chance(500_000) { Side::A } else { Side::B },
            closes: [First::Ours, First::Theirs, First::Both][rng.below(3) as usize],
            late: rng.chance(300_000),
            amounts: [amount(&mut rng), amount(&mut rng)],
            read: [read(&mut rng), read(&mut rng)],
            impairments: [impairment(&mut rng, bad), impairment(&mut rng, bad)],
            mtu: [[1_280, 1_500, 1_500][rng.below(3) as usize], [1_280, 1_500, 1_500][rng.below(3) as usize]],
            options: SocketOptions {
                nodelay: rng.chance(300_000),
                send_capacity: Some(below(&mut rng, 500, 200_000) as u32),
                receive_capacity: Some(below(&mut rng, 500, 200_000) as u32),
                ..SocketOptions::default()
            },
            their_buffers: [below(&mut rng, 500, 150_000) as usize, below(&mut rng, 500, 150_000) as usize],
            nagle: rng.chance(500_000),
            ack_delay: rng.chance(700_000),
            timestamps: rng.chance(500_000),
        }
    }

    fn address(&self, side: Side) -> SocketAddr {
        let (host, port) = if side == Side::A { (1, OURS) } else { (2, THEIRS) };
        let text = if self.ipv6 { format!("[fd00:67::{host}]:{port}") } else { format!("10.0.0.{host}:{port}") };
        text.parse().unwrap()
    }

    fn pair(&self) -> Pair {
        Pair { a: OURS, b: THEIRS, ipv6: self.ipv6 }
    }
}

/// How far the application of one side has come.
#[derive(Debug, Default)]
struct App {
    written: u64,
    read: u64,
    eof: bool,
    shut: bool,
    read_at: Instant,
}

struct Run {
    scenario: Scenario,
    now: Instant,
    rng: KeyedRng,
    link: Link,
    wire: Wire,
    apps: [App; 2],
    progress: Instant,
    // Ours.
    stack: Stack,
    listener: Option<ListenerHandle>,
    handle: Option<TcpHandle>,
    closed: bool,
    // Theirs.
    iface: Interface,
    device: Queues,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

fn smol_now(now: Instant) -> SmolInstant {
    SmolInstant::from_micros(now.as_micros() as i64)
}

fn smol_address(address: IpAddr) -> IpAddress {
    IpAddress::from(address)
}

impl Run {
    fn new(scenario: Scenario) -> Run {
        let now = Instant::from_secs(1_000);
        let mut config = Config::new(&["10.0.0.1/24".parse().unwrap(), "fd00:67::1/64".parse().unwrap()]);
        config.mtu = scenario.mtu[0];
        // Readers here are slow, but nobody's patience ends.
        config.tcp.orphan = Duration::from_secs(3_600);
        config.tcp.fin_wait_2 = Duration::from_secs(3_600);
        let stack = Stack::new(config, KeyedRng::from_seed(scenario.seed), now).unwrap();
        let mut device = Queues { mtu: scenario.mtu[1], ..Queues::default() };
        let mut settings = iface::Config::new(HardwareAddress::Ip);
        settings.random_seed = scenario.seed;
        let mut iface = Interface::new(settings, &mut device, smol_now(now));
        iface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, 2), 24)).unwrap();
            addresses.push(IpCidr::new(IpAddress::v6(0xfd00, 0x67, 0, 0, 0, 0, 0, 2), 64)).unwrap();
        });
        let [receive, send] = scenario.their_buffers.map(|size| tcp::SocketBuffer::new(vec![0; size]));
        let mut socket = tcp::Socket::new(receive, send);
        // As it is without the features that tests/sim/smoltcp_recovery.rs asks for.
        socket.set_congestion_control(tcp::CongestionControl::None);
        socket.set_nagle_enabled(scenario.nagle);
        if !scenario.ack_delay {
            socket.set_ack_delay(None);
        }
        if scenario.timestamps {
            socket.set_tsval_generator(Some(|| MILLIS.get()));
        }
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        let mut wire = Wire::new(scenario.mtu);
        wire.strict = [true, false];
        let link = Link::new(scenario.impairments[0], scenario.impairments[1], scenario.seed);
        let rng = KeyedRng::from_seed(scenario.seed ^ 0xabc);
        Run {
            now,
            rng,
            link,
            wire,
            apps: Default::default(),
            progress: now,
            stack,
            listener: None,
            handle: None,
            closed: false,
            iface,
            device,
            sockets,
            socket,
            scenario,
        }
    }

    fn open(&mut self) {
        let (ours, theirs) = (self.scenario.address(Side::A), self.scenario.address(Side::B));
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        match self.scenario.connects {
            Side::A => {
                socket.listen((smol_address(theirs.ip()), THEIRS)).unwrap();
                let options = self.scenario.options;
                self.handle = Some(self.stack.tcp_connect(self.now, Some(ours), theirs, options).unwrap());
            }
            Side::B => {
                self.listener = Some(self.stack.tcp_listen(ours, 4, self.scenario.options).unwrap());
                let local = (smol_address(theirs.ip()), THEIRS);
                socket.connect(self.iface.context(), (smol_address(ours.ip()), OURS), local).unwrap();
            }
        }
    }

    /// Lets both sides send what is due now.
    fn flush(&mut self) {
        let (now, link, wire) = (self.now, &mut self.link, &mut self.wire);
        self.stack.transmit(now, 100_000, |transmit| {
            let packet = transmit.to_vec();
            wire.sent(now, Side::A, &packet);
            link.send(now, Side::A, packet);
            Ok(())
        });
        MILLIS.set(now.as_millis() as u32);
        for _ in 0..10_000 {
            let changed = self.iface.poll(smol_now(now), &mut self.device, &mut self.sockets);
            let idle = self.device.sent.is_empty();
            while let Some(packet) = self.device.sent.pop_front() {
                wire.sent(now, Side::B, &packet);
                link.send(now, Side::B, packet);
            }
            if changed == PollResult::None && idle {
                return;
            }
        }
        panic!("{now:?}: smoltcp sends without end");
    }

    /// Goes to the next event; false if there is none before `until`.
    fn step(&mut self, until: Instant) -> bool {
        self.flush();
        let theirs = self.iface.poll_at(smol_now(self.now), &self.sockets);
        let theirs = theirs.map(|at| Instant::from_micros(at.total_micros().max(0) as u64));
        let reads = self.apps.iter().map(|app| app.read_at).filter(|&at| at > self.now).min();
        let all = [self.stack.next_deadline(), self.link.next_arrival(), theirs, reads];
        let Some(at) = all.into_iter().flatten().min().filter(|&at| at <= until) else { return false };
        self.now = self.now.max(at);
        while let Some(arrived) = self.link.receive(self.now, Side::A) {
            self.wire.delivered(self.now, Side::A, &arrived.packet);
            let dropped = self.stack.handle_packet(self.now, &arrived.packet, &RxMeta::plain(arrived.packet.len()));
            if let Some(reason) = dropped.filter(|_| self.wire.print) {
                println!("{:?} ours drops it: {reason}", self.now);
            }
        }
        while let Some(arrived) = self.link.receive(self.now, Side::B) {
            self.wire.delivered(self.now, Side::B, &arrived.packet);
            self.device.received.push_back(arrived.packet);
        }
        self.stack.handle_deadline(self.now);
        self.flush();
        self.wire.passed(self.now);
        true
    }

    /// Which side may write, and which may close, now.
    fn turn(&self, side: usize) -> (bool, bool) {
        let first = match self.scenario.closes {
            First::Ours => side == 0,
            First::Theirs => side == 1,
            First::Both => true,
        };
        let app = &self.apps[side];
        let writes = first || !self.scenario.late || app.eof;
        let closes = app.written == self.scenario.amounts[side] && (first || app.eof);
        (writes, closes)
    }

    fn take(&mut self, side: usize, text: &[u8]) {
        let from = if side == 0 { Side::B } else { Side::A };
        let app = &mut self.apps[side];
        for (at, &octet) in text.iter().enumerate() {
            let wanted = stream_octet(self.scenario.pair(), from, app.read + at as u64);
            assert_eq!(octet, wanted, "{:?}: side {side}, octet {}", self.now, app.read + at as u64);
        }
        app.read += text.len() as u64;
        assert!(app.read <= self.apps[1 - side].written, "read before it was written");
        let (_, chance, longest) = self.scenario.read[side];
        if self.rng.chance(chance) {
            self.apps[side].read_at = self.now + longest;
        }
    }

    fn text(&self, side: usize, most: usize) -> Vec<u8> {
        let app = &self.apps[side];
        let from = if side == 0 { Side::A } else { Side::B };
        let count = (self.scenario.amounts[side] - app.written).min(most as u64);
        (0..count).map(|at| stream_octet(self.scenario.pair(), from, app.written + at)).collect()
    }

    fn ours(&mut self) -> bool {
        let now = self.now;
        if let Some(listener) = self.listener
            && let Ok((handle, remote)) = self.stack.tcp_accept(listener)
        {
            assert_eq!(remote, self.scenario.address(Side::B));
            assert!(self.handle.replace(handle).is_none(), "accepted twice");
        }
        let Some(handle) = self.handle.filter(|_| !self.closed) else { return false };
        assert_eq!(self.stack.tcp_error(handle), None, "{now:?}");
        let mut progress = false;
        if !self.apps[0].eof && self.apps[0].read_at <= now {
            let mut octets = vec![0; self.scenario.read[0].0];
            match self.stack.tcp_receive(now, handle, &mut octets) {
                Ok(0) => (self.apps[0].eof, progress) = (true, true),
                Ok(read) => {
                    self.take(0, &octets[..read]);
                    progress = true;
                }
                Err(error) => assert_eq!(error, SocketError::WouldBlock, "{now:?}"),
            }
        }
        let (writes, closes) = self.turn(0);
        if writes && self.apps[0].written < self.scenario.amounts[0] {
            let octets = self.text(0, 10_000);
            match self.stack.tcp_send(now, handle, &octets) {
                Ok(written) => {
                    self.apps[0].written += written as u64;
                    progress = true;
                }
                Err(error) => assert_eq!(error, SocketError::WouldBlock, "{now:?}"),
            }
        }
        let open = self.stack.tcp_state(handle).is_some_and(|state| state.is_synchronized());
        if closes && !self.apps[0].shut && open {
            self.stack.tcp_shutdown(now, handle, Shutdown::Write).unwrap();
            self.apps[0].shut = true;
            progress = true;
        }
        if self.apps[0].shut && self.apps[0].eof {
            self.stack.tcp_close(now, handle);
            self.closed = true;
            progress = true;
        }
        progress
    }

    fn theirs(&mut self) -> bool {
        let now = self.now;
        let mut progress = false;
        let (writes, _) = self.turn(1);
        let octets = if writes { self.text(1, 10_000) } else { Vec::new() };
        let reads = !self.apps[1].eof && (self.apps[1].read_at <= now || self.state() == tcp::State::TimeWait);
        let mut received = vec![0; self.scenario.read[1].0];
        let socket = self.sockets.get_mut::<tcp::Socket>(self.socket);
        let open = !matches!(socket.state(), tcp::State::Listen | tcp::State::SynSent | tcp::State::SynReceived);
        let mut read = 0;
        if open && reads {
            match socket.recv_slice(&mut received) {
                Ok(count) => read = count,
                Err(tcp::RecvError::Finished) => (self.apps[1].eof, progress) = (true, true),
                Err(error) => panic!("{now:?}: {error:?} in {}", socket.state()),
            }
        }
        if open && !octets.is_empty() {
            let written = socket.send_slice(&octets).unwrap_or_else(|e| panic!("{now:?}: {e:?} in {}", socket.state()));
            self.apps[1].written += written as u64;
            progress |= written > 0;
        }
        if read > 0 {
            self.take(1, &received[..read]);
            progress = true;
        }
        let (_, closes) = self.turn(1);
        if closes && open && !self.apps[1].shut {
            self.sockets.get_mut::<tcp::Socket>(self.socket).close();
            self.apps[1].shut = true;
            progress = true;
        }
        progress
    }

    fn state(&self) -> tcp::State {
        self.sockets.get::<tcp::Socket>(self.socket).state()
    }

    fn run(&mut self) -> Duration {
        self.open();
        let start = self.now;
        let mut longest = Duration::ZERO;
        let mut states = Vec::new();
        while !(self.closed && self.apps[1].eof && self.apps[1].shut) {
            let until = self.now + 2 * LONGEST_STALL;
            self.step(until);
            while self.ours() | self.theirs() {
                self.progress = self.now;
                self.flush();
            }
            if states.last() != Some(&self.state()) {
                states.push(self.state());
            }
            longest = longest.max(self.now - self.progress);
            let connection = self.handle.and_then(|handle| self.stack.tcp_snapshot(handle));
            assert!(
                self.now - self.progress < LONGEST_STALL && self.wire.packets < 1_000_000,
                "{:?}: no progress: {:#?} {states:?} {connection:#?}",
                self.now,
                self.apps
            );
        }
        assert_eq!(self.apps[0].read, self.scenario.amounts[1]);
        assert_eq!(self.apps[1].read, self.scenario.amounts[0]);
        // Both reach their last state: TIME-WAIT is 60 s here and 10 s there.
        if let Some(listener) = self.listener {
            self.stack.listener_close(self.now, listener);
        }
        let until = self.now + Duration::from_secs(1_000);
        while self.step(until) {
            assert!(self.wire.packets < 1_000_000, "packets without end");
        }
        assert_eq!(self.state(), tcp::State::Closed, "{states:?}");
        assert_eq!((self.stack.table_sizes(), self.stack.flows()), ((0, 0, 0), 0));
        assert_eq!((self.stack.buffer_memory(), self.stack.next_deadline()), (0, None));
        longest.max(self.progress - start - longest)
    }
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nreplay: GLASSTCP_SEED={} cargo test --test sim smoltcp::replay\n", self.0);
        }
    }
}

fn run_all(seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| {
            let _replay = Replay(seed);
            Run::new(Scenario::new(seed)).run();
        });
        if run.is_err() {
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "seeds {failed:?} failed; run one by GLASSTCP_SEED=n cargo test --test sim smoltcp::replay"
    );
}

#[test]
fn seeds_0_to_99() {
    run_all(0..100);
}

#[test]
fn seeds_100_to_199() {
    run_all(100..200);
}

/// One seed of your choice (GLASSTCP_SEED), or from there on as many as GLASSTCP_SEEDS says. With GLASSTCP_PRINT set, each
/// segment too.
#[test]
fn replay() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = variable("GLASSTCP_SEED").unwrap_or(3);
    let count = variable("GLASSTCP_SEEDS").unwrap_or(1);
    if count > 1 {
        return run_all(seed..seed + count);
    }
    let _replay = Replay(seed);
    let mut one = Run::new(Scenario::new(seed));
    if std::env::var_os("GLASSTCP_PRINT").is_some() {
        println!("{:#?}", one.scenario);
        one.wire.print = true;
    }
    println!("took {:?}", one.run());
}
