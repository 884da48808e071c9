//! Full speed with the default settings, in virtual time: the buffers grow with the path and with nothing else, and neither
//! slow start nor the size of the pieces holds a transfer back.

use std::time::Duration;

use glasstcp::config::Config;
use glasstcp::device::impair::Impairment;
use glasstcp::sim::{Side, World};
use glasstcp::stack::TcpHandle;
use glasstcp::tcp::config::SocketOptions;
use glasstcp::tcp::congestion::Algorithm;
use glasstcp::tcp::snapshot::Snapshot;
use glasstcp::time::Instant;

const MS: Duration = Duration::from_millis(1);
const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

/// How super-segments travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pieces {
    /// There are none.
    Plain,
    /// They are cut on the way.
    Cut,
    /// They reach the peer whole.
    Whole,
}

/// A client on side A that always writes, and a server on side B that reads as it is told.
struct Bulk {
    world: World,
    client: TcpHandle,
    server: TcpHandle,
    data: Vec<u8>,
    buffer: Vec<u8>,
    /// Octets that the server has read.
    read: u64,
    /// The most that has waited in the client's buffer.
    most_queued: u32,
}

impl Bulk {
    fn open(path: Impairment, pieces: Pieces, change: impl Fn(&mut Config)) -> Bulk {
        let configs = [1, 2].map(|host| {
            let mut config = Config::new(&[format!("10.0.0.{host}/24").parse().unwrap()]);
            change(&mut config);
            config
        });
        let (socket, short) = (configs[0].tcp.socket, configs[0].tcp.buffer_memory < 1 << 30);
        let mut world = World::new(configs, [path; 2], 7).unwrap();
        if short {
            // Where memory is short, each packet is looked at too.
            world.watch().check_text = false;
        }
        for side in [Side::A, Side::B] {
            match pieces {
                Pieces::Plain => {}
                Pieces::Cut => world.offload(side, 65_535, true),
                Pieces::Whole => world.offload_whole(side, 65_535),
            }
        }
        let (to, now) = ("10.0.0.2:80".parse().unwrap(), world.now());
        let listener = world.stack(Side::B).tcp_listen(to, 8, socket).unwrap();
        let client = world.stack(Side::A).tcp_connect(now, None, to, socket).unwrap();
        let mut server = None;
        assert!(world.run_until(Duration::from_secs(5), |world| {
            server = server.or_else(|| world.stack(Side::B).tcp_accept(listener).ok());
            server.is_some()
        }));
        let (server, _) = server.unwrap();
        let (data, buffer) = (vec![1; 1 << 20], vec![0; 1 << 20]);
        Bulk { world, client, server, data, buffer, read: 0, most_queued: 0 }
    }

    /// Lets the two work for so long; the server reads at most `most` octets each time that something happens, and not
    /// more often than every `pause`.
    fn run(&mut self, time: Duration, most: usize, pause: Duration) -> u64 {
        let before = self.read;
        let until = self.world.now() + time;
        let mut read_at = self.world.now();
        while self.world.now() < until {
            let now = self.world.now();
            while self.world.stack(Side::A).tcp_send(now, self.client, &self.data).is_ok() {}
            let stack = self.world.stack(Side::B);
            while now >= read_at {
                let buffer = &mut self.buffer[..most];
                match stack.tcp_receive(now, self.server, buffer) {
                    Ok(octets) => self.read += octets as u64,
                    Err(_) => break,
                }
                if !pause.is_zero() {
                    read_at = now + pause;
                }
            }
            for side in [Side::A, Side::B] {
                while self.world.stack(side).poll_ready().is_some() {}
            }
            self.world.flush();
            let client = self.client();
            self.most_queued = self.most_queued.max(client.unsent + client.flight);
            self.world.step(if read_at > now { until.min(read_at) } else { until });
        }
        self.read - before
    }

    fn client(&mut self) -> Snapshot {
        self.world.stack(Side::A).tcp_snapshot(self.client).unwrap()
    }

    fn server(&mut self) -> Snapshot {
        self.world.stack(Side::B).tcp_snapshot(self.server).unwrap()
    }

    /// Octets that may wait for the server.
    fn capacity(&mut self) -> u32 {
        self.world.stack(Side::B).tcp_connection(self.server).unwrap().rcv.capacity
    }

    /// The part of this rate that text made up in this time, in percent.
    fn percent(octets: u64, time: Duration, bits_per_second: u64) -> u64 {
        (u128::from(octets) * 8 * 100 * 1_000_000_000 / (u128::from(bits_per_second) * time.as_nanos())) as u64
    }
}

fn path(bits_per_second: u64, round_trip: Duration) -> Impairment {
    Impairment::perfect().rate(bits_per_second).delay(round_trip / 2)
}

const GIGABIT: u64 = 1_000_000_000;

/// Where a peer acknowledges a whole super-segment at a time, too: slow start doubles, and reaches the path's capacity
/// within so many round trips.
///
/// 5681-3.1-6
#[test]
fn every_path_is_full_with_the_default_settings() {
    for (rate, round_trip, pieces, round_trips) in [
        (GIGABIT, MS, Pieces::Plain, 10),
        (GIGABIT, MS, Pieces::Cut, 10),
        (GIGABIT, MS, Pieces::Whole, 10),
        (GIGABIT, 100 * MS, Pieces::Plain, 15),
        (GIGABIT, 100 * MS, Pieces::Cut, 15),
        (GIGABIT, 100 * MS, Pieces::Whole, 15),
        (10 * GIGABIT, 20 * MS, Pieces::Whole, 16),
        (80 * GIGABIT, MS / 20, Pieces::Whole, 14),
    ] {
        let mut bulk = Bulk::open(path(rate, round_trip), pieces, |_| {});
        bulk.run(round_trip * round_trips, 1 << 20, Duration::ZERO);
        let time = (round_trip * 4).max(5 * MS);
        let percent = Bulk::percent(bulk.run(time, 1 << 20, Duration::ZERO), time, rate);
        // 1,448 of 1,500 octets are text.
        assert!(percent >= 95, "{rate} b/s, {round_trip:?}, {pieces:?}: {percent} %");
        assert_eq!(bulk.client().statistics.retransmits, 0);
    }
}

/// On a short path the buffers stay what the processor's cache can hold.
#[test]
fn buffers_stay_small_on_a_short_path() {
    for (rate, round_trip, pieces, largest) in
        [(GIGABIT, MS, Pieces::Plain, 512 * KIB), (80 * GIGABIT, MS / 20, Pieces::Whole, 4 * MIB)]
    {
        let mut bulk = Bulk::open(path(rate, round_trip), pieces, |_| {});
        bulk.run(100 * MS, 1 << 20, Duration::ZERO);
        assert!(bulk.capacity() <= largest, "{}", bulk.capacity());
        assert!(bulk.most_queued <= 2 * largest, "{}", bulk.most_queued);
    }
}

/// A reader that does not use its buffer gets no larger one: not one that takes little at a time, and not one that sleeps.
#[test]
fn a_slow_reader_gets_no_larger_window() {
    for (most, pause) in [(4_000, MS), (100, Duration::from_micros(20)), (1 << 20, 500 * MS), (60_000, 20 * MS)] {
        for pieces in [Pieces::Plain, Pieces::Whole] {
            let mut bulk = Bulk::open(path(GIGABIT, 10 * MS), pieces, |_| {});
            let read = bulk.run(Duration::from_secs(3), most, pause);
            assert!(read > 256 * 1_024, "{most} each {pause:?}: {read}");
            assert_eq!(bulk.capacity(), 256 * KIB, "{most} each {pause:?}, {pieces:?}");
        }
    }
}

/// What is offered beyond the first window is there: a quarter of what is free at most.
#[test]
fn memory_limits_the_window() {
    for memory in [600_000, 4 << 20, 16 << 20] {
        let mut bulk = Bulk::open(path(GIGABIT, 100 * MS), Pieces::Whole, |config| config.tcp.buffer_memory = memory);
        let first = (256 * KIB).min(memory as u32);
        let most = first.max(memory as u32 / 4);
        for _ in 0..100 {
            bulk.run(20 * MS, 1 << 20, Duration::ZERO);
            assert!(bulk.capacity() <= most && bulk.server().rcv_wnd <= most, "{memory}: {}", bulk.capacity());
        }
        assert!(bulk.read > 4 * u64::from(first), "{memory}: {}", bulk.read);
    }
}

/// What has been granted is not offered any more while somebody else has the memory; the first window always is, and the
/// right edge stays where it is (the invariants watch that).
#[test]
fn memory_that_somebody_else_takes_is_not_offered() {
    let memory = 16 << 20;
    let mut bulk = Bulk::open(path(GIGABIT, 50 * MS), Pieces::Whole, |config| config.tcp.buffer_memory = memory);
    bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
    let (granted, offered) = (bulk.capacity(), bulk.server().rcv_wnd);
    assert!(granted > 3 * MIB && offered > 2 * MIB, "{granted} {offered}");
    // Another connection that nobody reads.
    let (to, now) = ("10.0.0.2:81".parse().unwrap(), bulk.world.now());
    let large = SocketOptions { receive_capacity: Some(13 << 20), ..SocketOptions::default() };
    bulk.world.stack(Side::B).tcp_listen(to, 8, large).unwrap();
    let other = bulk.world.stack(Side::A).tcp_connect(now, None, to, SocketOptions::default()).unwrap();
    while bulk.world.stack(Side::B).buffer_memory() < 13 << 20 {
        let now = bulk.world.now();
        bulk.world.stack(Side::A).tcp_send(now, other, &bulk.data).ok();
        bulk.run(10 * MS, 1 << 20, Duration::ZERO);
        assert!(now < Instant::from_secs(1_020), "{}", bulk.world.stack(Side::B).buffer_memory());
    }
    let before = bulk.read;
    bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
    let free = (memory - bulk.world.stack(Side::B).buffer_memory()) as u32;
    assert!(bulk.server().rcv_wnd <= free / 3 && bulk.capacity() >= granted, "{} of {free}", bulk.server().rcv_wnd);
    assert!(bulk.read - before > u64::from(MIB), "and it goes on");
}

#[test]
fn what_is_set_is_not_tuned() {
    let mut bulk = Bulk::open(path(GIGABIT, 20 * MS), Pieces::Whole, |config| {
        config.tcp.receive_capacity = Some(300_000);
        config.tcp.socket.send_capacity = Some(400_000);
    });
    bulk.run(500 * MS, 1 << 20, Duration::ZERO);
    assert_eq!((bulk.capacity(), bulk.most_queued), (300_000, 400_000));
    // The socket may change its mind.
    for set in [Some(200_000), None] {
        let (now, server) = (bulk.world.now(), bulk.server);
        bulk.world.stack(Side::B).tcp_set_options(now, server, |options| options.receive_capacity = set).unwrap();
        bulk.run(500 * MS, 1 << 20, Duration::ZERO);
        assert_eq!(bulk.capacity(), set.unwrap_or(300_000));
    }
    let mut bulk = Bulk::open(path(GIGABIT, 20 * MS), Pieces::Whole, |config| {
        config.tcp.socket.receive_capacity = Some(300_000);
    });
    bulk.run(100 * MS, 1 << 20, Duration::ZERO);
    assert_eq!(bulk.capacity(), 300_000);
    let (now, server) = (bulk.world.now(), bulk.server);
    bulk.world.stack(Side::B).tcp_set_options(now, server, |options| options.receive_capacity = None).unwrap();
    bulk.run(500 * MS, 1 << 20, Duration::ZERO);
    // Its scale is that of the SYN, so the window stays what that can say.
    assert!(bulk.capacity() > 300_000);
}

/// A queue that holds so many packets, before a device that drops what is more: the window fits it.
#[test]
fn the_window_fits_the_queue_of_the_device() {
    for (limit, drops) in [(Some(500), false), (None, true)] {
        let queue = path(GIGABIT, 20 * MS).queue(500 * 1_500);
        let mut bulk = Bulk::open(queue, Pieces::Plain, |config| config.tcp.queue_limit = limit);
        // A stack can be told later, too.
        bulk.world.stack(Side::B).set_queue_limit(limit);
        bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
        assert_eq!(bulk.client().statistics.retransmits > 0, drops, "{limit:?}");
        if let Some(packets) = limit {
            assert!(bulk.capacity() <= packets * 1_460 && bulk.capacity() > packets * 1_200, "{}", bulk.capacity());
            assert!(bulk.client().snd_wnd <= packets * 1_460);
        }
    }
}

/// ACKs that come two segments at a time do not make pieces of two segments, and a small window loses nothing by waiting.
#[test]
fn pieces_are_whole_where_the_device_cuts() {
    for (window, least) in [(16 * MIB, 40), (512 * KIB, 40), (128 * KIB, 10), (20_000, 1), (5_000, 1), (1_448, 1)] {
        let speed = |pieces| {
            let mut bulk = Bulk::open(path(GIGABIT, 20 * MS), pieces, |config| {
                config.tcp.receive_capacity = Some(window);
                config.tcp.send_capacity = Some(64 * MIB);
            });
            bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
            let before = bulk.client().statistics.segments_out;
            let read = bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
            let sent = u64::from(bulk.client().statistics.segments_out - before);
            assert_eq!(bulk.client().statistics.retransmits, 0);
            (read, read / 1_448 / sent.max(1))
        };
        let ((plain, _), (cut, size)) = (speed(Pieces::Plain), speed(Pieces::Cut));
        assert!(size >= least, "{window}: pieces of {size} segments");
        // An eighth of a window waits at most.
        assert!(cut * 100 >= plain * 90, "{window}: {cut}, not {plain}");
    }
}

/// One ACK for each super-segment, at once: none waits for the peer's timer, and none is told twice.
#[test]
fn a_super_segment_is_acknowledged_once_and_at_once() {
    let mut bulk = Bulk::open(path(GIGABIT, 10 * MS), Pieces::Whole, |config| {
        (config.tcp.quick_acks, config.tcp.delayed_ack) = (0, 400 * MS);
        config.tcp.receive_capacity = Some(4 << 20);
    });
    bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
    let (sent, acknowledged) = (bulk.client().statistics.segments_out, bulk.server().statistics.segments_out);
    assert!(acknowledged > sent / 4 && acknowledged <= sent + 16, "{acknowledged} for {sent}");
    assert!(bulk.client().srtt.unwrap() < 100 * MS, "no timer of 400 ms is in it");
}

/// The goodput of a transfer over a path, in kilobits per second.
fn goodput(sack: bool, link: Impairment, time: Duration) -> (u64, u32) {
    let mut bulk = Bulk::open(link, Pieces::Plain, |config| {
        config.tcp.sack = sack;
        config.tcp.socket.congestion = Algorithm::Reno;
    });
    let octets = bulk.run(time, 1 << 20, Duration::ZERO);
    (octets * 8 / time.as_millis() as u64, bulk.client().statistics.timeouts.into())
}

/// What SACK is worth. Where single packets are lost at random it is Reno that holds the speed down, with SACK and without:
/// each loss halves the window. Where a queue overflows and many packets of one window are lost, they are repaired in one
/// round trip instead of one for each.
#[test]
fn losses_cost_less_with_sack() {
    let seconds = Duration::from_secs;
    for (name, link, time, least, percent) in [
        ("0.1 % of 100 Mb/s, 20 ms", path(100_000_000, 20 * MS).loss(1_000), seconds(20), 25_000, 90),
        ("1 % of 100 Mb/s, 20 ms", path(100_000_000, 20 * MS).loss(10_000), seconds(20), 6_000, 95),
        ("3 % of 100 Mb/s, 20 ms", path(100_000_000, 20 * MS).loss(30_000), seconds(20), 2_800, 105),
        ("a short queue before 100 Mb/s, 20 ms", path(100_000_000, 20 * MS).queue(150_000), seconds(3), 80_000, 250),
        (
            "a short queue before 100 Mb/s, 100 ms",
            path(100_000_000, 100 * MS).queue(300_000),
            seconds(5),
            35_000,
            1_000,
        ),
        (
            "a short queue before 1 Gb/s, 100 ms",
            path(1_000_000_000, 100 * MS).queue(3_000_000),
            seconds(5),
            250_000,
            800,
        ),
    ] {
        let (without, with) = (goodput(false, link, time), goodput(true, link, time));
        println!(
            "{name}: {} kb/s and {} timeouts without SACK, {} and {} with it",
            without.0, without.1, with.0, with.1
        );
        assert!(
            with.0 >= least && with.0 * 100 >= without.0 * percent,
            "{name}: {without:?} without, {with:?} with SACK"
        );
        assert!(with.1 <= without.1, "{name}");
    }
}

/// What an algorithm makes of a path of 100 Mb/s: goodput of ten seconds in percent once it has begun, and the smoothed
/// round-trip time at ten points of them, the median, in microseconds.
fn steady(algorithm: Algorithm, round_trip: Duration, loss: u32, pieces: Pieces) -> (u64, u64) {
    let rate = 100_000_000;
    let path = path(rate, round_trip).loss(loss).queue(2 * rate as usize / 8 / 1_000 * round_trip.as_millis() as usize);
    let mut bulk = Bulk::open(path, pieces, |config| config.tcp.socket.congestion = algorithm);
    bulk.run(Duration::from_secs(5), 1 << 20, Duration::ZERO);
    let mut delays = Vec::new();
    let mut octets = 0;
    for _ in 0..10 {
        octets += bulk.run(Duration::from_secs(1), 1 << 20, Duration::ZERO);
        delays.push(bulk.client().srtt.unwrap().as_micros() as u64);
    }
    delays.sort_unstable();
    // A path that keeps the order gives no reason to take back a recovery.
    assert_eq!(bulk.client().statistics.spurious, 0, "{algorithm}");
    (Bulk::percent(octets, Duration::from_secs(10), rate), delays[5])
}

/// BBR fills a path whatever it loses by chance, and keeps its queue short, where CUBIC takes each loss for congestion and
/// fills the queue without any. 96 % is what headers leave of the path.
#[test]
fn bbr_fills_the_path_with_and_without_losses() {
    for pieces in [Pieces::Plain, Pieces::Cut, Pieces::Whole] {
        for (round_trip, loss, least) in
            [(20, 0, 91), (20, 1_000, 91), (20, 10_000, 90), (100, 0, 90), (100, 1_000, 90), (100, 10_000, 87)]
        {
            let (bbr, delay) = steady(Algorithm::Bbr, round_trip * MS, loss, pieces);
            let (cubic, standing) = steady(Algorithm::Cubic, round_trip * MS, loss, pieces);
            let what = format!("{round_trip} ms, {loss} of a million, {pieces:?}");
            println!("{what}: BBR {bbr} % in {delay} us, CUBIC {cubic} % in {standing} us");
            assert!(bbr >= least, "{what}: {bbr} %");
            // The serialization of one piece comes with it.
            assert!(delay <= u64::from(round_trip) * 1_000 + 1_500, "{what}: {delay} us");
            assert!(loss < 10_000 || bbr > 2 * cubic, "{what}: {bbr} %, CUBIC {cubic} %");
        }
    }
}
