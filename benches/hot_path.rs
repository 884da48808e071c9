//! What each step of the path of a segment costs, in time and in allocations: `cargo bench --bench hot_path`.
//!
//! There is no allocation for a packet in the steady state; `tests/no_allocation.rs` sees to it. The stack's steps run
//! over 64 connections in turn, all of them in the cache; `scale` has more.

#[path = "peer/mod.rs"]
mod peer;

use std::cell::RefCell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use glasstcp::config::Config;
use glasstcp::device::RxMeta;
use glasstcp::rng::KeyedRng;
use glasstcp::stack::flow_table::{FlowHasher, FlowTable};
use glasstcp::stack::timer_wheel::TimerWheel;
use glasstcp::stack::{Stack, UdpHandle};
use glasstcp::tcp::segment::{Arrival, Segment};
use glasstcp::time::Instant;
use glasstcp::udp::Message;
use glasstcp::wire::checksum::Checksum;
use glasstcp::wire::parse_ip;
use peer::{Bed, MSS};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Connections that take turns.
const LINES: usize = 64;
/// Octets of a super-segment of whole segments.
const SUPER: usize = 44 * MSS;
/// Sizes of the tables.
const SIZES: [u32; 4] = [1, 1_000, 100_000, 1_000_000];

fn main() {
    divan::main();
}

/// A stack with a socket, and a datagram from a peer to it.
fn datagram_bed(len: usize) -> (Stack, UdpHandle, Vec<u8>, Instant) {
    let (now, config) = (Instant::from_secs(1_000), Config::new(&["10.0.0.2/8".parse().expect("an address")]));
    let mut stack = Stack::new(config, KeyedRng::from_seed(1), now).expect("the settings are good");
    let local = SocketAddr::from(([10, 0, 0, 2], 443));
    let socket = stack.udp_bind(local).expect("the port is free");
    let mut peer = Stack::new(Config::new(&["10.1.0.1/8".parse().expect("an address")]), KeyedRng::from_seed(2), now)
        .expect("the settings are good");
    let sender = peer.udp_bind(SocketAddr::from(([10, 1, 0, 1], 4_433))).expect("the port is free");
    peer.udp_send(now, sender, Some(local), &vec![7; len]).expect("there is room");
    let mut packet = Vec::new();
    peer.transmit(now, 1, |transmit| {
        packet = transmit.to_vec();
        Ok(())
    });
    (stack, socket, packet, now)
}

/// A datagram in, from the packet to the buffer of the application.
#[divan::bench(args = [64, 1_200])]
fn receive_datagram(bencher: Bencher, len: usize) {
    let (mut stack, socket, packet, now) = datagram_bed(len);
    let (meta, mut buffer) = (RxMeta::plain(packet.len()), vec![0; 2_000]);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        stack.handle_packet(now, black_box(&packet), &meta);
        while stack.poll_ready().is_some() {}
        stack.udp_receive_into(socket, &mut buffer, false).map(|meta| meta.len)
    });
}

/// Datagrams out, in one piece that the device cuts or in as many packets.
#[divan::bench(args = [(1_200, false), (24_000, false), (24_000, true)])]
fn send_datagrams(bencher: Bencher, (len, device_cuts): (usize, bool)) {
    let (mut stack, socket, _, now) = datagram_bed(1);
    stack.set_udp_segmentation(device_cuts);
    let (data, to) = (vec![7; len], SocketAddr::from(([10, 1, 0, 1], 4_433)));
    let message = Message { segment_size: Some(1_200), ..Message::to(to, &data) };
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        stack.udp_send_message(now, socket, black_box(&message)).expect("there is room");
        stack.transmit(now, 100, |transmit| {
            black_box(transmit.len());
            Ok(())
        })
    });
}

/// A stack with connections that take turns.
struct Turns {
    bed: Bed,
    next: usize,
}

impl Turns {
    fn new(super_segments: bool) -> RefCell<Turns> {
        let mut bed = Bed::new(LINES);
        if super_segments {
            bed.stack.set_offload(65_535, true);
        }
        bed.warm_up(10);
        RefCell::new(Turns { bed, next: 0 })
    }

    /// The connection whose turn it is.
    fn turn(&mut self) -> usize {
        self.next = (self.next + 1) % LINES;
        self.bed.pass(Duration::from_micros(1));
        self.next
    }
}

#[divan::bench(args = [0, 1_460])]
fn parse_segment(bencher: Bencher, text: usize) {
    let mut bed = Bed::new(1);
    let packet = bed.segment(0, text);
    let arrived = bed.now;
    bencher.counter(BytesCount::new(packet.len())).bench_local(|| {
        let ip = parse_ip(black_box(&packet)).expect("a good packet");
        let arrival = Arrival {
            source: ip.source,
            destination: ip.destination,
            arrived,
            gso_size: 0,
            checksum_vouched: false,
            ecn: 0,
        };
        Segment::parse(ip.payload, &arrival).is_ok()
    });
}

#[divan::bench(args = [40, 1_460, 64_000])]
fn checksum(bencher: Bencher, octets: usize) {
    let bytes = vec![0x67; octets];
    bencher.counter(BytesCount::new(octets)).bench_local(|| {
        let mut sum = Checksum::new();
        sum.add(black_box(&bytes));
        sum.finish()
    });
}

/// From a four-tuple to its value, over all entries in an order that no prefetcher knows.
#[divan::bench(args = SIZES)]
fn demux(bencher: Bencher, entries: u32) {
    let hasher = FlowHasher::new(*b"0123456789abcdef");
    let local = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 80);
    let hash = |value: u32| hasher.hash(local, (IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + (value >> 15))), value as u16));
    let mut table = FlowTable::new();
    (0..entries).for_each(|value| table.insert(hash(value), value));
    let mut value = 0u32;
    bencher.bench_local(|| {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let sought = ((u64::from(value) * u64::from(entries)) >> 32) as u32;
        table.find(hash(sought), |other| other == sought)
    });
}

fn wheel(timers: u32) -> (TimerWheel, Vec<glasstcp::stack::timer_wheel::TimerId>) {
    let mut wheel = TimerWheel::new();
    // Keep-alives in two hours, spread over one.
    let at = |timer: u32| Instant::from_secs(7_200 + u64::from(timer).wrapping_mul(2_654_435_761) % 3_600);
    let ids = (0..timers).map(|timer| wheel.insert(u64::from(timer), at(timer))).collect();
    (wheel, ids)
}

/// A timer of its own comes and goes beside so many others.
#[divan::bench(args = SIZES)]
fn timer_arm_and_cancel(bencher: Bencher, timers: u32) {
    let (mut wheel, _) = wheel(timers);
    let mut nanos = 0;
    bencher.bench_local(|| {
        nanos += 1_000;
        let id = wheel.insert(0, Instant::from_nanos(nanos + 200_000_000));
        wheel.remove(id);
    });
}

/// The timers of so many connections move on, one after the other, as by ACKs.
#[divan::bench(args = SIZES)]
fn timer_re_arm(bencher: Bencher, timers: u32) {
    let (mut wheel, ids) = wheel(timers);
    let (mut nanos, mut next) = (0, 0);
    bencher.bench_local(|| {
        nanos += 1_000;
        next = (next + 7_919) % ids.len();
        wheel.pop_expired(Instant::from_nanos(nanos));
        wheel.reschedule(ids[next], Instant::from_nanos(nanos + 200_000_000));
    });
}

/// A timer is set, and comes due 40 ms later, while so many others wait.
#[divan::bench(args = SIZES)]
fn timer_expire(bencher: Bencher, timers: u32) {
    let (mut wheel, _) = wheel(timers);
    let mut nanos = 0;
    let mut expired = 0;
    bencher.bench_local(|| {
        nanos += 1_000;
        let now = Instant::from_nanos(nanos);
        if let Some((id, _)) = wheel.pop_expired(now) {
            expired += 1;
            wheel.remove(id);
        }
        wheel.insert(0, now + Duration::from_millis(40))
    });
    assert!(nanos < 50_000_000 || expired > 0, "timers do expire");
}

/// `Stack::handle_packet` of a full-sized segment in order.
#[divan::bench(sample_size = 64, sample_count = 2_000)]
fn receive_in_order(bencher: Bencher) {
    let turns = Turns::new(false);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            turns.bed.read(line);
            turns.bed.drain_ready();
            turns.bed.transmit();
            turns.bed.segment(line, MSS)
        })
        .bench_local_refs(|packet| turns.borrow_mut().bed.deliver(packet));
}

/// `Stack::handle_packet` of a segment beyond a hole.
#[divan::bench(sample_size = 64, sample_count = 2_000)]
fn receive_out_of_order(bencher: Bencher) {
    let turns = Turns::new(false);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            if turns.bed.stack.tcp_connection(turns.bed.peers[line].handle).is_some_and(has_hole) {
                let missing = turns.bed.segment(line, MSS);
                turns.bed.deliver(&missing);
                let peer = &mut turns.bed.peers[line];
                peer.seq = peer.seq.wrapping_add(MSS as u32);
            }
            turns.bed.read(line);
            turns.bed.drain_ready();
            turns.bed.transmit();
            turns.bed.segment_at(line, MSS as u32, MSS)
        })
        .bench_local_refs(|packet| turns.borrow_mut().bed.deliver(packet));
}

fn has_hole(connection: &glasstcp::tcp::connection::Connection) -> bool {
    !connection.receive_buffer.out_of_order().is_empty()
}

/// `Stack::handle_packet` of an ACK for one segment in flight.
#[divan::bench(sample_size = 64, sample_count = 2_000)]
fn receive_ack(bencher: Bencher) {
    let turns = Turns::new(false);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            turns.bed.drain_ready();
            turns.bed.send(line, MSS);
            turns.bed.transmit();
            turns.bed.ack(line, MSS)
        })
        .bench_local_refs(|packet| turns.borrow_mut().bed.deliver(packet));
}

/// `poll_ready` and `tcp_receive` of 1,460 octets.
#[divan::bench(sample_size = 64, sample_count = 2_000)]
fn read(bencher: Bencher) {
    let turns = Turns::new(false);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            turns.bed.transmit();
            let packet = turns.bed.segment(line, MSS);
            turns.bed.deliver(&packet);
            line
        })
        .bench_local_values(|line| {
            let mut turns = turns.borrow_mut();
            turns.bed.stack.poll_ready();
            turns.bed.read(line)
        });
}

/// `tcp_send` of so many octets.
#[divan::bench(args = [1_460, SUPER], sample_size = 64, sample_count = 500)]
fn write(bencher: Bencher, octets: usize) {
    let turns = Turns::new(true);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            settle(&mut turns.bed, line, octets);
            line
        })
        .bench_local_values(|line| turns.borrow_mut().bed.send(line, octets));
}

/// What was written on a connection leaves and is acknowledged.
fn settle(bed: &mut Bed, line: usize, octets: usize) {
    bed.transmit();
    let handle = bed.peers[line].handle;
    if bed.stack.tcp_connection(handle).is_some_and(|connection| connection.flight() > 0) {
        let ack = bed.ack(line, octets);
        bed.deliver(&ack);
    }
    bed.drain_ready();
}

/// Plan and emit: `Stack::transmit` of one segment. Without offload the checksum is ours.
#[divan::bench(args = [(1_460, false), (1_460, true), (SUPER, true)], sample_size = 64, sample_count = 500)]
fn transmit(bencher: Bencher, (octets, offload): (usize, bool)) {
    let turns = Turns::new(true);
    turns.borrow_mut().bed.stack.set_offload(65_535, offload);
    bencher
        .with_inputs(|| {
            let mut turns = turns.borrow_mut();
            let line = turns.turn();
            let handle = turns.bed.peers[line].handle;
            if turns.bed.stack.tcp_connection(handle).is_some_and(|connection| connection.flight() > 0) {
                let ack = turns.bed.ack(line, octets);
                turns.bed.deliver(&ack);
            }
            turns.bed.drain_ready();
            turns.bed.send(line, octets);
        })
        .bench_local_values(|()| {
            let mut turns = turns.borrow_mut();
            let now = turns.bed.now;
            let mut sent = 0;
            turns.bed.stack.transmit(now, 1, |transmit| {
                sent = black_box(transmit).len();
                Ok(())
            });
            assert!(sent > octets, "it leaves in one piece: {sent}");
        });
}

/// A request comes, is read and answered, and the next request acknowledges the answer: the whole loop around a stack.
#[divan::bench(args = [1, 100, 1_460])]
fn exchange(bencher: Bencher, octets: usize) {
    let bed = RefCell::new(Bed::new(1));
    bencher
        .with_inputs(|| bed.borrow_mut().request(0, octets))
        .bench_local_refs(|packet| bed.borrow_mut().answer(0, packet, octets));
}
