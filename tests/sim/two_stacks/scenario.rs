//! What one seed decides: the network, the settings, the connections, and what each application does.

use std::net::SocketAddr;
use std::time::Duration;

use glasstcp::Config;
use glasstcp::device::impair::{CoDel, Discipline, Impairment};
use glasstcp::rng::KeyedRng;
use glasstcp::sim::{AppPlan, Ending, Pair, Side, World};
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::ecn::EcnMode;
use glasstcp::time::Instant;

/// The port of the listeners.
pub const SERVER: u16 = 80;

/// Who opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    One(Side),
    Both,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub pair: Pair,
    pub opener: Opener,
    pub at: Instant,
    pub options: [SocketOptions; 2],
    pub apps: [AppPlan; 2],
}

/// What the device of a host does for it.
#[derive(Clone, Copy, Debug)]
pub enum Offload {
    /// It cuts super-segments, and perhaps completes checksums.
    Cuts { checksum: bool },
    /// It hands them to the peer as they are, up to this length.
    Whole { max_packet: usize },
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub start: Instant,
    pub configs: [Config; 2],
    pub impairments: [Impairment; 2],
    pub offload: [Option<Offload>; 2],
    pub plans: Vec<Plan>,
    /// All of it once more on the same ports, while one side may still be in TIME-WAIT.
    pub again: bool,
}

/// Dice, with a few shapes of randomness.
pub struct Dice(pub KeyedRng);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.0.below(many) == 0
    }

    /// Between the two, small ones as likely as large ones.
    pub fn scale(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).max(1).ilog2() + 1;
        let top = low.saturating_mul(2 << self.below(u64::from(doublings))).min(high);
        low + self.below(top - low + 1)
    }

    pub fn millis(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.below(most * 1_000 + 1))
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

pub fn impairment(dice: &mut Dice) -> Impairment {
    let mut path = Impairment::perfect().delay(dice.millis(150));
    if dice.one_in(2) {
        let rate = dice.scale(100_000, 1_000_000_000);
        path = path.rate(rate);
        if dice.one_in(2) {
            path = path.queue(dice.scale(4_000, 500_000) as usize);
        }
    }
    if dice.one_in(2) {
        path = path.loss(dice.scale(1_000, 100_000) as u32);
    }
    if dice.one_in(3) {
        path = path.jitter(dice.millis(30));
    }
    if dice.one_in(3) {
        let delay = dice.millis(50);
        path = path.reorder(dice.scale(1_000, 200_000) as u32, delay);
    }
    if dice.one_in(4) {
        path = path.duplicate(dice.scale(1_000, 100_000) as u32);
    }
    if dice.one_in(4) {
        path = path.corrupt(dice.scale(1_000, 30_000) as u32);
    }
    path
}

pub fn config(host: u8, ipv6: bool, dice: &mut Dice) -> Config {
    let mut addresses = vec![format!("10.0.0.{host}/24").parse().unwrap()];
    if ipv6 {
        addresses.push(format!("fd00:67::{host}/64").parse().unwrap());
    }
    let mut config = Config::new(&addresses);
    config.mtu = dice.pick(&[if ipv6 { 1_280 } else { 576 }, 1_500, 1_500, 1_500, 9_000]);
    let tcp = &mut config.tcp;
    tcp.timestamps = !dice.one_in(4);
    tcp.sack = !dice.one_in(4);
    tcp.window_scaling = !dice.one_in(4);
    tcp.quick_acks = dice.pick(&[0, 16]);
    tcp.time_wait = Duration::from_secs(1 + dice.below(60));
    // Applications here read slowly, but they do read: nobody's patience ends.
    tcp.fin_wait_2 = Duration::from_secs(3_600);
    tcp.orphan = Duration::from_secs(3_600);
    if dice.one_in(4) {
        // Not enough for everybody at once, perhaps on both sides: text that waits to be sent must leave room for text
        // that arrives.
        tcp.buffer_memory = dice.scale(80_000, 400_000) as usize;
    }
    config
}

pub fn options(dice: &mut Dice) -> SocketOptions {
    SocketOptions {
        nodelay: dice.one_in(3),
        cork: dice.one_in(8),
        keep_alive: dice.one_in(8),
        keep_alive_idle: Duration::from_secs(1 + dice.below(10)),
        keep_alive_interval: Duration::from_secs(5),
        send_capacity: (!dice.one_in(3)).then(|| dice.scale(200, 1 << 20) as u32),
        receive_capacity: (!dice.one_in(3)).then(|| dice.scale(200, 1 << 20) as u32),
        max_segment: dice.one_in(6).then(|| dice.scale(88, 1_460) as u16),
        ..SocketOptions::default()
    }
}

pub fn amount(dice: &mut Dice) -> u64 {
    match dice.below(8) {
        0 => 0,
        1 => 1 + dice.below(10),
        2 | 3 => dice.below(5_000),
        4 | 5 => dice.below(40_000),
        _ => dice.below(250_000),
    }
}

pub fn app_plan(send: u64, expect: u64, resets: bool, dice: &mut Dice) -> AppPlan {
    let at = dice.below(send + expect + 1);
    let ending = match dice.below(4) {
        0 if resets => dice.pick(&[Ending::Abort(at), Ending::Linger(at), Ending::Drop(at)]),
        0 | 1 => Ending::HalfClose,
        2 => Ending::Close,
        _ => Ending::AfterPeer,
    };
    let pause = |dice: &mut Dice| match dice.below(4) {
        0 => (20_000, Duration::from_millis(dice.scale(100, 8_000))),
        1 => (200_000, Duration::from_millis(dice.scale(1, 300))),
        _ => (0, Duration::ZERO),
    };
    let small = send < 2_000 && dice.one_in(2);
    AppPlan {
        send,
        expect,
        write_size: if small { 1 + dice.below(20) as usize } else { dice.scale(500, 100_000) as usize },
        write_pause: pause(dice),
        read_size: if expect < 2_000 && dice.one_in(2) { 7 } else { dice.scale(200, 100_000) as usize },
        read_pause: pause(dice),
        read_after: if dice.one_in(5) { dice.millis(7_000) } else { Duration::ZERO },
        flush: dice.one_in(2),
        uncork: dice.one_in(6),
        ending,
    }
}

pub fn plan(number: u16, start: Instant, ipv6: bool, resets: bool, dice: &mut Dice) -> Plan {
    let opener = match dice.below(5) {
        0 => Opener::Both,
        1 | 2 => Opener::One(Side::B),
        _ => Opener::One(Side::A),
    };
    let (a, b) = match opener {
        Opener::One(Side::A) => (40_000 + number, SERVER),
        Opener::One(Side::B) => (SERVER, 40_000 + number),
        Opener::Both => (5_000 + number, 6_000 + number),
    };
    let amounts = [amount(dice), amount(dice)];
    let mut apps = [app_plan(amounts[0], amounts[1], resets, dice), app_plan(amounts[1], amounts[0], resets, dice)];
    if apps[0].ending == Ending::AfterPeer && apps[1].ending == Ending::AfterPeer {
        apps[1].ending = Ending::HalfClose;
    }
    let at = start + if dice.one_in(2) { Duration::ZERO } else { dice.millis(3_000) };
    let options = [options(dice), options(dice)];
    Plan { pair: Pair { a, b, ipv6: ipv6 && dice.one_in(2) }, opener, at, options, apps }
}

impl Scenario {
    pub fn new(seed: u64) -> Scenario {
        let mut dice = Dice(KeyedRng::from_seed(seed ^ 0x5eed));
        let ipv6 = dice.one_in(2);
        let resets = dice.one_in(5);
        let configs = [config(1, ipv6, &mut dice), config(2, ipv6, &mut dice)];
        let impairments = [impairment(&mut dice), impairment(&mut dice)];
        // Dice of its own, so that the seeds of old are what they were.
        let mut more = Dice(KeyedRng::from_seed(seed ^ 0x0ff1));
        let offload = [0, 1].map(|_| {
            let cuts = dice.one_in(4).then(|| Offload::Cuts { checksum: dice.one_in(2) });
            if more.one_in(3) { Some(Offload::Whole { max_packet: more.scale(3_000, 65_535) as usize }) } else { cuts }
        });
        let base = Instant::from_secs(1_000);
        let count = 1 + dice.below(4) as u16;
        let mut plans: Vec<Plan> = (0..count).map(|number| plan(number, base, ipv6, resets, &mut dice)).collect();
        for options in plans.iter_mut().flat_map(|plan| &mut plan.options) {
            options.congestion = more.pick(&Algorithm::ALL);
        }
        let (mut configs, mut impairments) = (configs, impairments);
        for config in &mut configs {
            config.tcp.ecn = more.pick(&[EcnMode::Off, EcnMode::Accept, EcnMode::Request, EcnMode::Request]);
        }
        for path in impairments.iter_mut().filter(|path| path.rate_bits_per_second.is_some()) {
            // A queue that marks, or one that drops early.
            if more.one_in(2) {
                path.discipline = Discipline::CoDel(CoDel { ecn: !more.one_in(4), ..CoDel::default() });
            }
        }
        // And again: how marks are told, by all that there are.
        let mut how = Dice(KeyedRng::from_seed(seed ^ 0xacec));
        if how.one_in(2) {
            for config in &mut configs {
                config.tcp.ecn = how.pick(&EcnMode::ALL);
            }
        }
        let mut scenario =
            Scenario { seed, start: base, configs, impairments, offload, plans, again: !resets && dice.one_in(3) };
        match dice.below(3) {
            0 => scenario.wrap_sequence_numbers(&mut dice),
            1 => scenario.wrap_timestamps(&mut dice),
            _ => {}
        }
        scenario
    }

    pub fn world(&self) -> World {
        World::starting_at(self.start, self.configs.clone(), self.impairments, self.seed).unwrap()
    }

    pub fn address(&self, pair: Pair, side: Side) -> SocketAddr {
        let (host, port) = if side == Side::A { (1, pair.a) } else { (2, pair.b) };
        let text = if pair.ipv6 { format!("[fd00:67::{host}]:{port}") } else { format!("10.0.0.{host}:{port}") };
        text.parse().unwrap()
    }

    pub fn opener(&self, number: usize) -> Side {
        match self.plans[number].opener {
            Opener::One(side) => side,
            Opener::Both => Side::A,
        }
    }

    /// Opens the first connection in a world of its own, to see its numbers.
    pub fn first(&self) -> (u32, u32) {
        let mut world = self.world();
        let (side, pair) = (self.opener(0), self.plans[0].pair);
        let (local, remote) = (self.address(pair, side), self.address(pair, side.other()));
        let handle = world.stack(side).tcp_connect(self.start, Some(local), remote, SocketOptions::default()).unwrap();
        let connection = world.stack(side).tcp_connection(handle).unwrap();
        (connection.snd.iss.0, connection.agreed.timestamp_offset)
    }

    pub fn later(&mut self, by: Duration) {
        self.start += by;
        self.plans.iter_mut().for_each(|plan| plan.at += by);
    }

    /// Starts when the first connection's numbers are about to wrap.
    pub fn wrap_sequence_numbers(&mut self, dice: &mut Dice) {
        let target = 0_u32.wrapping_sub(dice.scale(1, 100_000) as u32);
        let ticks = target.wrapping_sub(self.first().0);
        self.later(Duration::from_micros(u64::from(ticks) * 4));
        let behind = self.plans[0].at - self.start;
        assert_eq!(target, self.first().0, "{behind:?}");
    }

    /// Starts when the first connection's timestamps are about to wrap.
    pub fn wrap_timestamps(&mut self, dice: &mut Dice) {
        let target = 0_u32.wrapping_sub(dice.scale(1, 10_000) as u32);
        let now = (self.start.as_millis() as u32).wrapping_add(self.first().1);
        self.later(Duration::from_millis(u64::from(target.wrapping_sub(now))));
    }
}
