//! What a packet costs beside many connections: `cargo bench --bench scale`. It needs about 2 GB of memory.
//!
//! The cost should be the same for a thousand and for a million, apart from what the processor's caches miss. All
//! connections have their keep-alive timer set, readiness is looked at after each packet, and deadlines are asked for as a
//! real loop does.

#[path = "peer/mod.rs"]
mod peer;

use std::cell::RefCell;
use std::time::Duration;

use divan::{AllocProfiler, Bencher};
use peer::Bed;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Octets of a request, of its answer, and of a segment.
const TEXT: usize = 64;

fn main() {
    divan::main();
}

/// Which connection is next.
#[derive(Clone, Copy, Debug)]
enum Order {
    Turns,
    Random,
}

const CASES: [(usize, Order); 7] = [
    (1, Order::Turns),
    (1_000, Order::Turns),
    (1_000, Order::Random),
    (100_000, Order::Turns),
    (100_000, Order::Random),
    (1_000_000, Order::Turns),
    (1_000_000, Order::Random),
];

struct Lines {
    bed: Bed,
    order: Order,
    last: usize,
    random: u64,
}

impl Lines {
    fn new(connections: usize, order: Order) -> RefCell<Lines> {
        // Each segment is acknowledged at once, so that the work does not depend on how long a connection waits.
        let mut bed = Bed::with(connections, |config| config.tcp.delayed_ack = Duration::ZERO);
        bed.pass(Duration::from_secs(1));
        RefCell::new(Lines { bed, order, last: 0, random: 1 })
    }

    fn next(&mut self) -> usize {
        let connections = self.bed.peers.len();
        self.last = match self.order {
            Order::Turns => (self.last + 1) % connections,
            Order::Random => {
                self.random =
                    self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((u128::from(self.random) * connections as u128) >> 64) as usize
            }
        };
        self.last
    }
}

/// A segment comes, its reader is told and reads, and an ACK leaves.
#[divan::bench(args = CASES, sample_size = 64, sample_count = 3_000)]
fn receive_and_ack(bencher: Bencher, (connections, order): (usize, Order)) {
    let lines = Lines::new(connections, order);
    bencher
        .with_inputs(|| {
            let mut lines = lines.borrow_mut();
            let line = lines.next();
            (line, lines.bed.segment(line, TEXT))
        })
        .bench_local_refs(|(line, packet)| {
            let bed = &mut lines.borrow_mut().bed;
            bed.pass(Duration::from_micros(1));
            bed.deliver(packet);
            let ready = bed.drain_ready();
            let read = bed.read(*line);
            let sent = bed.transmit();
            assert_eq!((ready, read, sent), (1, TEXT, 1), "told, read and acknowledged");
            bed.stack.next_deadline()
        });
}

/// Two packets in, one out: a request comes, is read and answered, and the ACK of the answer comes.
#[divan::bench(args = CASES, sample_size = 64, sample_count = 3_000)]
fn exchange(bencher: Bencher, (connections, order): (usize, Order)) {
    let lines = Lines::new(connections, order);
    bencher
        .with_inputs(|| {
            let mut lines = lines.borrow_mut();
            let line = lines.next();
            let request = lines.bed.segment(line, TEXT);
            (line, request, lines.bed.ack(line, TEXT))
        })
        .bench_local_refs(|(line, request, ack)| {
            let bed = &mut lines.borrow_mut().bed;
            bed.answer(*line, request, TEXT);
            bed.deliver(ack);
            bed.drain_ready();
            assert_eq!(bed.transmit(), 0, "an ACK is not answered");
            bed.stack.next_deadline()
        });
}
